----------------------------- MODULE PurgeSteps -----------------------------
(***************************************************************************)
(* What the sender, the relays and the recipient do with the message and   *)
(* with its receipt.  Each guard cites the rule of spec/09-purge.md.       *)
(***************************************************************************)
EXTENDS PurgeState

-----------------------------------------------------------------------------
(* The sender. *)

\* The envelope is on disk before its first byte leaves (TOM-PURGE-001).
Write ==
  /\ verdict = "none" /\ ~liar /\ S \in up /\ now <= SENDBY
  /\ verdict' = "pending" /\ stamp' = Clock(S) /\ born' = now
  /\ copy' = {S}
  /\ Log("Write", S, "")
  /\ UNCHANGED <<clocks, liar, tomb, until, purged, forgot, alive, air, screen>>

\* A lying sender signs whatever stamp it likes; one far in the past is refused
\* everywhere, so the stamps worth trying lie around the present and ahead.
WriteAhead(d) ==
  /\ verdict = "none" /\ liar
  /\ verdict' = "sent" /\ stamp' = now + d /\ born' = now
  /\ Log("WriteAhead", S, "")
  /\ UNCHANGED <<clocks, liar, disk, alive, air, screen>>

\* Sending and sending again are the same bytes (TOM-PURGE-002).
Send ==
  /\ S \in copy /\ On(S) /\ Fresh(S)
  /\ verdict' = IF verdict = "pending" THEN "sent" ELSE verdict
  /\ airMsg' = airMsg \union Flying(First \union {R})
  /\ verdict' # verdict \/ airMsg' # airMsg
  /\ Log("Send", S, "")
  /\ UNCHANGED <<clocks, letter, disk, alive, airRcpt, screen>>

\* A custodian acknowledges what it has on disk (TOM-PURGE-014).
TakeOver(n) ==
  /\ verdict = "sent" /\ S \in copy /\ n \in First /\ n \in copy /\ On(S) /\ On(n)
  /\ verdict' = "relayed"
  /\ IF BROKEN = "sender-drops"
     THEN copy' = copy \ {S} /\ purged' = purged \union {S}
     ELSE UNCHANGED <<copy, purged>>
  /\ Log("TakeOver", n, "")
  /\ UNCHANGED <<clocks, letter, tomb, until, forgot, alive, air, screen>>

VerdictDue ==
  /\ ~liar /\ verdict \in {"pending", "sent", "relayed"}
  /\ Clock(S) >= stamp + (IF BROKEN = "verdict-early" THEN TTL ELSE TTL + 2 * EPS)

\* TOM-PURGE-004: not before nobody can accept it any more.
Expired ==
  /\ S \in up /\ VerdictDue
  /\ verdict' = "expired"
  /\ Log("Expired", S, "")
  /\ UNCHANGED <<clocks, letter, disk, alive, air, screen>>

-----------------------------------------------------------------------------
(* Relays: store, offer, copy to the next rank. *)

Untouched == copy = {} /\ tomb = {} /\ purged = {} /\ forgot = {} /\ mem = "no"

\* @type: (Str) => Bool;
Acceptable(n) ==
  /\ BROKEN = "accept-stale" \/ Fresh(n)
  /\ NotAhead(n)
  /\ BROKEN = "ignore-tomb" \/ n \notin tomb           \* TOM-PURGE-013

Store(n, how) ==
  /\ On(n) /\ n \notin copy /\ Reaches(how, n, airMsg, Out) /\ Acceptable(n)
  /\ copy' = copy \union {n}
  /\ born' = IF liar /\ Untouched THEN now ELSE born
  /\ airMsg' = After(how, n, airMsg)
  /\ Log("Store", n, how)
  /\ UNCHANGED <<clocks, liar, stamp, verdict, tomb, until, purged, forgot, alive, airRcpt, screen>>

\* Offered what it has a receipt for, a node answers with the receipt (TOM-PURGE-013).
Answer(n, how) ==
  /\ On(n) /\ n \in tomb /\ Reaches(how, n, airMsg, Out)
  /\ airMsg' = After(how, n, airMsg)
  /\ airRcpt' = airRcpt \union Flying(ToldOf \ {n})
  /\ Shows(airMsg' # airMsg \/ airRcpt' # airRcpt)
  /\ Log("Answer", n, how)
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, screen>>

\* Refused with a code, nothing remembered (TOM-PURGE-011, -012).
Refuse(n, how) ==
  /\ On(n) /\ n # S /\ n \notin copy /\ n \notin tomb /\ Reaches(how, n, airMsg, Out)
  /\ ~(Fresh(n) /\ NotAhead(n))
  /\ airMsg' = After(how, n, airMsg)
  /\ Shows(airMsg' # airMsg)
  /\ Log(IF Fresh(n) THEN "RefuseAhead" ELSE "RefuseStale", n, how)
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, airRcpt, screen>>

\* A custodian offers its copy to the recipient (TOM-PURGE-021), the late joiner
\* what it took long ago.
Forward(n) ==
  /\ n \in copy \ {S} /\ On(n) /\ Fresh(n)
  /\ airMsg' = airMsg \union Flying({R})
  /\ airMsg' # airMsg \/ BROKEN = "drop-on-forward"
  /\ IF BROKEN = "drop-on-forward"
     THEN copy' = copy \ {n} /\ purged' = purged \union {n}
     ELSE UNCHANGED <<copy, purged>>
  /\ Log("Forward", n, "")
  /\ UNCHANGED <<clocks, letter, verdict, tomb, until, forgot, alive, airRcpt, screen>>

\* A custodian is silent: away, cut off, gone, or the liar.  Whoever holds a copy
\* copies to the next rank and keeps its own (TOM-PURGE-019).
Silent(n) == BYZ \/ \E c \in First : c # n /\ (c \notin up \/ c \in cut)
CopyOn(n, d) ==
  /\ n \in copy /\ On(n) /\ Fresh(n) /\ d \in Relays \ First /\ d # n /\ Silent(n)
  /\ Out
  /\ airMsg' = airMsg \union Flying({d})
  /\ Shows(airMsg' # airMsg)
  /\ Log("CopyOn", n, d)
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, airRcpt, screen>>

-----------------------------------------------------------------------------
(* The recipient: memory, disk, screen, receipt. *)

\* Decrypted, in memory only.
Get(how) ==
  /\ On(R) /\ mem = "no" /\ Reaches(how, R, airMsg, Out) /\ Acceptable(R)
  /\ mem' = "got"
  /\ born' = IF liar /\ Untouched THEN now ELSE born
  /\ airMsg' = After(how, R, airMsg)
  /\ Log("Get", R, how)
  /\ UNCHANGED <<clocks, liar, stamp, verdict, disk, alive, airRcpt, inbox, lit, shown, acked, signed>>

\* Plaintext, duplicate memory and signed receipt in one write (TOM-PURGE-028); whether
\* it is in time is judged at the write, not when it was decrypted.
Persist ==
  /\ mem # "no"
  /\ (Fresh(R) /\ NotAhead(R)) \/ BROKEN = "judge-before-write"
  /\ mem' = "no"
  /\ inbox' = ~(acked /\ BROKEN = "show-first")
  /\ tomb' = tomb \union {R}
  /\ until' = [until EXCEPT ![R] = Deadline(R)]
  /\ signed' = TRUE
  /\ lit' = (mem = "shown")
  /\ Log("Persist", R, "")
  /\ UNCHANGED <<clocks, letter, verdict, copy, purged, forgot, alive, air, shown, acked>>

\* Not in time for the write: it goes from memory, no trace.
LetGo ==
  /\ mem # "no" /\ ~(Fresh(R) /\ NotAhead(R))
  /\ mem' = "no"
  /\ Log("LetGo", R, "")
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, air, inbox, lit, shown, acked, signed>>

\* Only what is on disk is shown, once since the start (TOM-PURGE-029, -031).
Show ==
  /\ R \in up
  /\ \/ /\ inbox /\ ~lit /\ UNCHANGED mem
     \/ /\ BROKEN = "show-first" /\ mem = "got" /\ mem' = "shown"
  /\ shown' = shown + 1 /\ lit' = TRUE
  /\ Log("Show", R, "")
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, air, inbox, acked, signed>>

\* The application acknowledges; the plaintext is erased in that write (TOM-PURGE-032).
Acknowledge ==
  /\ R \in up /\ shown > 0 /\ (inbox \/ mem = "shown")
  /\ acked' = TRUE
  /\ inbox' = (BROKEN = "keep-shown" /\ inbox)
  /\ Log("Acknowledge", R, "")
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, air, mem, lit, shown, signed>>

\* First sending of the receipt, and again until it is forgotten.
SendReceipt ==
  /\ On(R) /\ (R \in tomb \/ (BROKEN = "receipt-first" /\ mem = "got"))
  /\ signed' = TRUE
  /\ airRcpt' = airRcpt \union Flying(Addressees)
  /\ airRcpt' # airRcpt \/ signed' # signed
  /\ Log("SendReceipt", R, "")
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, airMsg, mem, inbox, lit, shown, acked>>

\* A duplicate is answered with the same receipt, never shown (TOM-PURGE-030).
ReReceipt(how) ==
  /\ On(R) /\ R \in tomb /\ Reaches(how, R, airMsg, Out)
  /\ airMsg' = After(how, R, airMsg)
  /\ airRcpt' = airRcpt \union Flying(Addressees)
  /\ Shows(airMsg' # airMsg \/ airRcpt' # airRcpt)
  /\ Log("ReReceipt", R, how)
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, screen>>

-----------------------------------------------------------------------------
(* Receipts. *)

\* A receipt is for somebody who holds the message or waits for it as its sender; to
\* all others it is noise and leaves nothing behind (TOM-PURGE-025, -026).
InTime(n) == BROKEN = "late-receipts" \/ Clock(n) < stamp + RETAIN
Awaits(n) ==
  /\ n = S => ~liar /\ verdict \in {"sent", "relayed"}
  /\ n \in copy \/ n = S \/ BROKEN \in {"stray-receipts", "late-receipts"}

\* @type: (Str) => Bool;
Believe(n) ==
  /\ copy' = copy \ {n}
  /\ purged' = IF n \in copy THEN purged \union {n} ELSE purged
  /\ tomb' = tomb \union {n}
  /\ until' = [until EXCEPT ![n] = Deadline(n)]
  /\ verdict' = IF n = S THEN "delivered" ELSE verdict
  /\ UNCHANGED forgot

\* A verified receipt: it is written and the copy erased in one write (TOM-PURGE-024).
Learn(n, how) ==
  /\ On(n) /\ Awaits(n) /\ InTime(n)
  /\ Reaches(how, n, airRcpt, signed)
  /\ Believe(n)
  /\ airRcpt' = After(how, n, airRcpt)
  /\ Log("Learn", n, how)
  /\ UNCHANGED <<clocks, letter, alive, airMsg, screen>>

\* The liar's own receipt; refused (TOM-PURGE-022, -023).
Forge(n) ==
  /\ BYZ /\ On(n) /\ Awaits(n) /\ InTime(n)
  /\ IF BROKEN = "unverified" THEN Believe(n) ELSE UNCHANGED <<disk, verdict>>
  /\ Shows(BROKEN = "unverified")
  /\ Log("Forge", n, "")
  /\ UNCHANGED <<clocks, letter, alive, air, screen>>

\* Known already, too late, or about nothing one holds: nothing changes (TOM-PURGE-025, -026).
IgnoreReceipt(n, how) ==
  /\ On(n)
  /\ n \in tomb \/ ~Awaits(n) \/ ~InTime(n)
  /\ Reaches(how, n, airRcpt, signed)
  /\ airRcpt' = After(how, n, airRcpt)
  /\ Shows(airRcpt' # airRcpt)
  /\ Log("IgnoreReceipt", n, how)
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, airMsg, screen>>

\* Whoever has the receipt passes it on, along the edges copies took (TOM-PURGE-027).
Tell(n) ==
  /\ n \in tomb /\ On(n)
  /\ BROKEN # "receipt-to-sender-only"
  /\ airRcpt' = airRcpt \union Flying(ToldOf \ {n})
  /\ Shows(airRcpt' # airRcpt)
  /\ Log("Tell", n, "")
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, airMsg, screen>>
=============================================================================
