------------------------------ MODULE MC_Moves --------------------------------
(* TLC wrapper: symmetry, all states of the inductive invariant.              *)
EXTENDS Moves, TLC
Sym == Permutations(Honest \ Crashers) \union Permutations(Crashers) \union Permutations(Liars)
MaxOf(X) == CHOOSE x \in X : \A y \in X : y <= x
Children == { [att |-> a, who |-> W] : a \in Attempts, W \in { X \in SUBSET All : Cardinality(X) >= MIN } }
Places == {Parent, Nowhere} \union Children
Deeds == {Act(Parent, 1), Act(Parent, 2)} \union { Act(g, 1) : g \in Children }
IndInit ==
  /\ founder \in [Attempts -> All]
  /\ signed \in [Honest -> SUBSET Attempts]
  /\ top = [h \in Honest |-> MaxOf({0} \union signed[h])]
  /\ voted \in SUBSET Honest /\ clean \in SUBSET Honest
  /\ CleanMovers
  /\ gen \in SUBSET Children
  /\ MoversOnly /\ OneGenesis
  /\ home \in [Honest -> Places]
  /\ AtHome
  /\ gone \in [Honest -> SUBSET Places]
  /\ acts \in [Honest -> SUBSET Deeds]
  /\ down \in SUBSET Crashers
  /\ IndInv
==============================================================================
