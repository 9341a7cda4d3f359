----------------------------- MODULE MC_Counter -----------------------------
(* TLC's view of Counter: fairness, and formulas that only TLC checks.       *)
EXTENDS Counter
FairSpec == Spec /\ WF_vars(Next)
\* The counter comes back to zero again and again.
AlwaysAgain == []<>(count = 0)
ReachesTwo == <>(count = 2)
NeverThere == []<>(count = 9)
NotReset == ~(count = 0 /\ seen # [w \in Workers |-> {}])
NotIncremented == count = 0
=============================================================================
