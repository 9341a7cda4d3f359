------------------------------- MODULE Stuck --------------------------------
(* Counts to two and then has no next step.                                  *)
EXTENDS Integers
VARIABLE x
Init == x = 0
Next == x < 2 /\ x' = x + 1
TypeOK == x \in 0..2
=============================================================================
