------------------------------- MODULE Stuck --------------------------------
(* Counts to two and then has no next step.                                  *)
EXTENDS Integers
VARIABLE x
Init == x = 0
Next == x < 2 /\ x' = x + 1
TypeOK == x \in 0..2
NotZero == x # 0
Nonsense == x < 2 \/ x.field = 1
=============================================================================
