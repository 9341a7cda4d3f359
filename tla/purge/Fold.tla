--------------------------------- MODULE Fold -------------------------------
(***************************************************************************)
(* Compaction of evidence: a delivery's evidence (header and receipt) waits *)
(* in `pool`, is folded into the balance by the record that closes its     *)
(* term, and is erased (TOM-PURGE-039 to -041).  Anybody may show old      *)
(* evidence again at any time, for ever.                                   *)
(* CompactionSafe: the folded ledger shows the balance of the ledger that  *)
(* keeps every message id it ever credited (`ever`, a history variable).   *)
(* The twin folds evidence of any term, and credits a message twice.       *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
  \* @type: Set(Str);
  Messages,
  \* @type: Int;
  TERMS,
  \* @type: Bool;
  ANYTERM

VARIABLES
  \* @type: Int;
  term,
  \* @type: Str -> Int;
  termOf,
  \* @type: Set(Str);
  receipts,
  \* @type: Set(Str);
  pool,
  \* @type: Int;
  balance,
  \* @type: Set(Str);
  ever

vars == <<term, termOf, receipts, pool, balance, ever>>

Init ==
  /\ term = 0 /\ termOf \in [Messages -> 0..TERMS]
  /\ receipts = {} /\ pool = {} /\ balance = 0 /\ ever = {}

Deliver(m) ==
  /\ m \notin receipts /\ termOf[m] <= term
  /\ receipts' = receipts \union {m} /\ UNCHANGED <<term, termOf, pool, balance, ever>>
Submit(m) ==
  /\ m \in receipts /\ m \notin pool
  /\ ANYTERM \/ termOf[m] = term
  /\ pool' = pool \union {m} /\ ever' = ever \union {m}
  /\ UNCHANGED <<term, termOf, receipts, balance>>
Close ==
  /\ term < TERMS
  /\ term' = term + 1
  /\ balance' = balance + Cardinality(pool) /\ pool' = {}
  /\ UNCHANGED <<termOf, receipts, ever>>

Next == Close \/ \E m \in Messages : Deliver(m) \/ Submit(m)
Spec == Init /\ [][Next]_vars

CompactionSafe == balance + Cardinality(pool) = Cardinality(ever)
\* Nothing of a closed term is kept.
OnlyThePresent == \A m \in pool : termOf[m] = term

IndInv ==
  /\ term \in 0..TERMS /\ termOf \in [Messages -> 0..TERMS]
  /\ receipts \in SUBSET Messages /\ pool \in SUBSET receipts /\ ever \in SUBSET receipts
  /\ balance \in 0..Cardinality(Messages)
  /\ pool \subseteq ever
  /\ \A m \in receipts : termOf[m] <= term
  /\ OnlyThePresent
  /\ \A m \in ever \ pool : termOf[m] < term
  /\ CompactionSafe
NeverFolded == balance = 0
NeverOldEvidence == ~(\E m \in receipts : termOf[m] < term)
=============================================================================
