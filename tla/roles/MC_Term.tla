------------------------------- MODULE MC_Term --------------------------------
(* TLC wrapper: bounds, symmetry, and all states that satisfy the inductive   *)
(* invariant (ancestors, last and lock follow from parents and votes).        *)
EXTENDS Term, TLC
MCSlots == 1..S
MCBlocks == 1..(VARIANTS * S)
Sym == Permutations(Honest)
MaxOf(X) == CHOOSE x \in X : \A y \in X : y <= x
Parents == { f \in [Blocks0 -> {-1} \union Blocks0] :
               f[0] = -1 /\ \A b \in Blocks : f[b] = -1 \/ Slot(f[b]) < Slot(b) }
Ballots == { v \in SUBSET Blocks : \A b, c \in v : Slot(b) = Slot(c) => b = c }
Up(A) == [b \in Blocks0 |-> A[b] \union UNION { A[c] : c \in A[b] }]
\* enough for chains of eight blocks
Ancestors(p) == Up(Up(Up([b \in Blocks0 |-> IF p[b] = -1 THEN {} ELSE {p[b]}])))
IndInit ==
  /\ par \in Parents
  /\ anc = Ancestors(par)
  /\ votes \in [Honest -> Ballots]
  /\ Tree
  /\ last = [h \in Honest |-> MaxOf({0} \union { Slot(b) : b \in votes[h] })]
  /\ lock = [h \in Honest |-> MaxOf({0} \union { Ht(par[b]) : b \in votes[h] })]
  /\ step = NoStep
  /\ IndInv
==============================================================================
