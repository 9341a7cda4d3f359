----------------------------- MODULE MC_TermLive ------------------------------
(* TLC wrapper with fairness: a slot passes, whatever happens in it.          *)
EXTENDS TermLive, TLC
MCBlocks == 1..(2 * S)
MCPlaces == 0..(Cardinality(All) - 1)
Sym == Permutations(Honest) \union Permutations(Away) \union Permutations(Liars)
Spec == Init /\ [][Next]_vars /\ WF_vars(Next)
SafeSpec == Init /\ [][Next]_vars
EventuallyFinal == <>Ended
==============================================================================
