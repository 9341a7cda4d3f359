------------------------------ MODULE Assuming ------------------------------
(* An assumption that does not hold.                                         *)
EXTENDS Integers
VARIABLE x
ASSUME 1 > 2
Init == x = 0
Next == x' = x
=============================================================================
