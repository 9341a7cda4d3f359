------------------------------ MODULE MC_Custody ----------------------------
EXTENDS Custody
NeverPlaced == Cardinality(copies) < WANT
NeverCopiedOn == ~(term > 0 /\ copies # {} /\ Sender \notin present /\ Cardinality(copies) = WANT)
NeverRotated == ~(stage = "kept" /\ copies \intersect duty = {} /\ Cardinality(copies) = WANT)
=============================================================================
