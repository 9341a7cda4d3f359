------------------------------ MODULE MC_Custody ----------------------------
EXTENDS Custody
IndInit ==
  /\ term \in 0..TERMS
  /\ present \in SUBSET Members
  /\ away \in SUBSET present /\ Cardinality(away) <= 1
  /\ duty \in SUBSET (present \ {Sender}) /\ Cardinality(duty) <= CUSTODIANS
  /\ first = duty
  /\ copies \in SUBSET (present \ Liars)
  /\ claims \in SUBSET (present \intersect Liars)
  /\ toll \in 0..TOLL
  /\ stage \in {"placing", "kept", "delivered"}
NeverPlaced == Cardinality(copies) < WANT
NeverCopiedOn == ~(term > 0 /\ copies # {} /\ Sender \notin present /\ copies \intersect first = {})
NeverRotated == ~(stage = "kept" /\ copies \intersect duty = {} /\ Cardinality(copies) = WANT)
=============================================================================
