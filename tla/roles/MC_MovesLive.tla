---------------------------- MODULE MC_MovesLive ------------------------------
(* TLC wrapper with fairness.                                                 *)
EXTENDS MovesLive, TLC
MCAttempts == 1..LAST
Fair == /\ WF_vars(FoundAny)
        /\ \A h \in Members : WF_vars(SignAny(h)) /\ WF_vars(FollowAny(h)) /\ WF_vars(JoinAny(h))
\* some attempt of the calm has a founder that stays alive
Drawn == \E a \in Attempts : a >= CALM /\ founder[a] \in alive
Spec == Init /\ Drawn /\ [][Next]_vars /\ Fair
SafeSpec == Init /\ Drawn /\ [][Next]_vars
EventuallyFinal == <>[](Settled)
==============================================================================
