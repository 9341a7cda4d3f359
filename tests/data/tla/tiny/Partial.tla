------------------------------ MODULE Partial -------------------------------
(* Init leaves y open: TLC cannot evaluate it.                               *)
VARIABLES x, y
Init == x = 0
Next == x' = x /\ y' = y
=============================================================================
