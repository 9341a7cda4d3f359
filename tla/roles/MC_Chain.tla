------------------------------ MODULE MC_Chain --------------------------------
(* TLC wrapper: bounds, symmetry, all states of the inductive invariant.      *)
EXTENDS Chain, TLC
MCBlocks == 1..S
Sym == Permutations(Both)
MaxOf(X) == CHOOSE x \in X : \A y \in X : y <= x
Parents == { f \in [Blocks0 -> {-1} \union Blocks0] :
               f[0] = -1 /\ \A b \in Blocks : f[b] = -1 \/ f[b] < b }
Up(A) == [b \in Blocks0 |-> A[b] \union UNION { A[c] : c \in A[b] }]
Ancestors(p) == Up(Up(Up([b \in Blocks0 |-> IF p[b] = -1 THEN {} ELSE {p[b]}])))
IndInit ==
  /\ par \in Parents
  /\ anc = Ancestors(par)
  /\ votes \in [V1 -> SUBSET Blocks]
  /\ last = [h \in V1 |-> MaxOf({0} \union votes[h])]
  /\ \A h \in V1 : \A b \in votes[h] : par[b] # -1
  /\ lock = [h \in V1 |-> MaxOf({0} \union { Ht(par[b]) : b \in votes[h] })]
  /\ Voting
  /\ rec \in [Members -> Blocks0]
  /\ Held
  /\ \E pick \in [Members -> {0, 1, 2}] :
       second = [r \in Blocks |-> [h \in Members |-> IF rec[h] = r THEN pick[h] ELSE 0]]
  /\ IndInv
==============================================================================
