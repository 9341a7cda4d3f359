------------------------------ MODULE PurgeInd ------------------------------
(***************************************************************************)
(* Why Purge is right: an inductive invariant, one lemma for each concern. *)
(* TLC checks the induction at tiny bounds (INIT IndInv, NEXT Next: every  *)
(* state that satisfies the invariant, reachable or not, is a beginning);  *)
(* Apalache can take the same text (APA_Purge).  Restricted to the         *)
(* adversarial network (AIR = FALSE), an honest sender, nobody leaving.    *)
(* The conjuncts are in the order in which TLC can enumerate them.         *)
(***************************************************************************)
EXTENDS Purge

\* Readings stay within EPS of the truth; the stamp is the sender's reading.
LemmaClock ==
  /\ now \in 0..MAXT
  /\ skew \in [Honest -> SKEWS]
  /\ liar = FALSE /\ born = 0
  /\ verdict \in {"none", "pending", "sent", "relayed", "delivered", "expired"}
  /\ stamp \in SKEWS
  /\ verdict = "none" => stamp = 0
  \* a clock that never goes back has passed the stamp that it wrote
  /\ Clock(S) >= stamp \/ verdict = "none"

\* Who has a receipt, who had one, until when; what was erased was due.
LemmaRetention ==
  /\ forgot \in SUBSET Honest
  /\ \A n \in forgot : Clock(n) >= stamp + RETAIN
  /\ tomb \in SUBSET (Honest \ forgot)
  /\ until = [n \in Honest |-> IF n \in tomb THEN stamp + RETAIN ELSE 0]
  /\ signed = (R \in tomb \union forgot)
  /\ signed \/ (tomb = {} /\ forgot = {})

\* Copies, what was purged and why; the sender holds or has purged what it wrote.
LemmaCustody ==
  /\ copy \in SUBSET (Holders \ (tomb \union forgot))
  /\ purged \in SUBSET (Holders \ copy)
  /\ (tomb \union forgot) \ {R} \subseteq purged
  /\ \A n \in purged : n \in tomb \union forgot \/ ~Fresh(n)
  /\ (verdict # "none") = (S \in copy \union purged)
  /\ verdict \in {"none", "pending"} => Within(copy \union purged, {S}) /\ ~signed
  /\ \A n \in copy : n \in Crashers \/ now <= born + TTL + 2 * EPS

\* The sender's word.
LemmaVerdict ==
  /\ (verdict = "delivered") = (S \in tomb \union forgot)
  /\ verdict = "expired" => Clock(S) >= stamp + TTL + 2 * EPS

\* What cannot happen in this instance; and who is running.
LemmaUp ==
  /\ up \in {Honest \ d : d \in SUBSET Crashers}
  /\ lost = {} /\ cut = {} /\ airMsg = {} /\ airRcpt = {}

\* Memory, disk and screen of the recipient.
LemmaRecipient ==
  /\ mem \in {"no", "got"}
  /\ mem = "got" => ~signed /\ R \in up /\ Out
  /\ acked \in BOOLEAN /\ inbox \in BOOLEAN
  /\ signed = (inbox \/ acked) /\ ~(inbox /\ acked)
  /\ shown \in {0, 1} /\ lit \in BOOLEAN
  /\ ~signed => shown = 0 /\ ~lit
  /\ inbox => (shown = 1) = lit
  /\ acked => shown = 1
  /\ R \notin up => ~lit

\* The bounds that time keeps, since it waits for what is due.
LemmaBounds == TtlBound /\ TraceBound /\ OwnClockBound

IndInv ==
  /\ LemmaClock /\ LemmaRetention /\ LemmaCustody /\ LemmaVerdict /\ LemmaUp /\ LemmaRecipient
  /\ LemmaBounds
  /\ step = [name |-> "Init", node |-> "", how |-> ""]
=============================================================================
