----------------------------- MODULE MC_TermKnow ------------------------------
(* TLC wrapper: bounds, symmetry, and the refinement of Term.  The abstract   *)
(* disk is computed from the history of votes, so the check also says that    *)
(* what is on disk (and muteness) is enough.                                  *)
EXTENDS TermKnow, TLC
MCSlots == 1..S
MCBlocks == 1..(VARIANTS * S)
Sym == Permutations(Honest)
SymFragile == Permutations(Fragile) \union Permutations(Honest \ Fragile)
Voted(b) == \E h \in Honest : b \in votes[h]
MaxOf(X) == CHOOSE x \in X : \A y \in X : y <= x
AbsPar  == [b \in Blocks0 |-> IF Voted(b) THEN par[b] ELSE -1]
AbsAnc  == [b \in Blocks0 |-> IF Voted(b) THEN anc[b] ELSE {}]
AbsLast == [h \in Honest |-> MaxOf({0} \union {Slot(b) : b \in votes[h]})]
AbsLock == [h \in Honest |-> MaxOf({0} \union {Ht(par[b]) : b \in votes[h]})]
A == INSTANCE Term WITH par <- AbsPar, anc <- AbsAnc, last <- AbsLast, lock <- AbsLock, step <- NoStep,
       LOCK <- TRUE, DISKLOCK <- TRUE, RISING <- TRUE, DISKLAST <- TRUE, TRACE <- FALSE
Refines == A!Spec
==============================================================================
