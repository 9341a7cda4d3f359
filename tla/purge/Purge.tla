------------------------------- MODULE Purge --------------------------------
(***************************************************************************)
(* Purge, complete: erasure, time and faults; the properties of the chapter*)
(* "Purge".  The state and what is abstracted: PurgeState; the nodes'      *)
(* steps: PurgeSteps.                                                      *)
(***************************************************************************)
EXTENDS PurgeSteps

-----------------------------------------------------------------------------
(* Erasure and time. *)

CopyDue(n) ==
  /\ n \in copy
  /\ ~Fresh(n)
  /\ BROKEN = "sender-lingers" /\ n = S => Clock(n) >= stamp + TTL + 2 * EPS
TombDue(n) == n \in tomb /\ Clock(n) >= until[n] /\ BROKEN # "keep-tombs"
Due(n) ==
  /\ n \in up
  /\ CopyDue(n) \/ TombDue(n) \/ (n = S /\ VerdictDue)
     \/ (n = R /\ mem # "no" /\ ~Fresh(R) /\ BROKEN # "judge-before-write")

ExpireCopy(n) ==                                           \* TOM-PURGE-034
  /\ n \in up /\ CopyDue(n)
  /\ copy' = copy \ {n} /\ purged' = purged \union {n}
  /\ Log("ExpireCopy", n, "")
  /\ UNCHANGED <<clocks, letter, verdict, tomb, until, forgot, alive, air, screen>>

ExpireTomb(n) ==                                           \* TOM-PURGE-035
  /\ n \in up /\ TombDue(n)
  /\ tomb' = tomb \ {n} /\ forgot' = forgot \union {n}
  /\ until' = [until EXCEPT ![n] = 0]
  /\ Log("ExpireTomb", n, "")
  /\ UNCHANGED <<clocks, letter, verdict, copy, purged, alive, air, screen>>

\* The purge clock of those in `stall` stands still (it was ahead and waits).
Tick(stall) ==
  /\ now < MAXT
  /\ BROKEN = "lazy-expiry" \/ \A n \in Honest : ~Due(n)   \* TOM-PURGE-036
  /\ \A n \in stall : skew[n] - 1 \in SKEWS
  /\ now' = now + 1
  /\ skew' = [n \in Honest |-> IF n \in stall THEN skew[n] - 1 ELSE skew[n]]
  /\ Log("Tick", "", "")
  /\ UNCHANGED <<letter, verdict, disk, alive, air, screen>>

\* A clock is set: forward only (TOM-PURGE-006); a reading that is not on disk
\* at a crash may also fall back ("clock-in-ram", TOM-PURGE-007).
ClockStep(n, to) ==
  /\ n \in Steppers
  /\ \/ to > skew[n]
     \/ CLOCK = "free" /\ to < skew[n]
     \/ BROKEN = "clock-in-ram" /\ n \notin up /\ to < skew[n]
  /\ skew' = [skew EXCEPT ![n] = to]
  /\ Log("ClockStep", n, "")
  /\ UNCHANGED <<now, letter, verdict, disk, alive, air, screen>>

-----------------------------------------------------------------------------
(* Faults. *)

\* What is on disk stays; a broken twin keeps one table in memory only.
Crash(n) ==
  /\ n \in Crashers /\ n \in up
  /\ up' = up \ {n}
  /\ mem' = IF n = R THEN "no" ELSE mem
  /\ lit' = IF n = R THEN FALSE ELSE lit
  /\ shown' = IF n = R /\ ~acked THEN 0 ELSE shown
  /\ tomb' = IF BROKEN = "receipts-in-ram" THEN tomb \ {n} ELSE tomb
  /\ copy' = IF BROKEN = "copies-in-ram" THEN copy \ {n} ELSE copy
  /\ inbox' = IF BROKEN = "inbox-in-ram" /\ n = R THEN FALSE ELSE inbox
  /\ Log("Crash", n, "")
  /\ UNCHANGED <<clocks, letter, verdict, until, purged, forgot, lost, cut, air, acked, signed>>

\* Starting is not over before what fell due in the meantime is erased (TOM-PURGE-037).
Restart(n) ==
  /\ n \in Honest \ (up \union lost)
  /\ up' = up \union {n}
  /\ LET old  == IF BROKEN # "lazy-start" /\ CopyDue(n) THEN {n} ELSE {}
         over == IF BROKEN # "lazy-start" /\ TombDue(n) THEN {n} ELSE {}
     IN /\ copy' = copy \ old /\ purged' = purged \union old
        /\ tomb' = tomb \ over /\ forgot' = forgot \union over
        /\ until' = [until EXCEPT ![n] = IF n \in over THEN 0 ELSE @]
  /\ verdict' = IF n = S /\ VerdictDue THEN "expired" ELSE verdict
  /\ Log("Restart", n, "")
  /\ UNCHANGED <<clocks, letter, lost, cut, air, screen>>

\* A node leaves for ever and takes its disk along.
Leave(n) ==
  /\ n \in Leavers \ lost /\ Cardinality(lost) < MAXLOST
  /\ lost' = lost \union {n} /\ up' = up \ {n}
  /\ copy' = copy \ {n} /\ tomb' = tomb \ {n}
  /\ Log("Leave", n, "")
  /\ UNCHANGED <<clocks, letter, verdict, until, purged, forgot, cut, air, screen>>

LoseMsg(d) ==
  /\ d \in airMsg /\ airMsg' = airMsg \ {d}
  /\ Log("LoseMsg", d, "")
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, airRcpt, screen>>

LoseReceipt(d) ==
  /\ d \in airRcpt /\ airRcpt' = airRcpt \ {d}
  /\ Log("LoseReceipt", d, "")
  /\ UNCHANGED <<clocks, letter, verdict, disk, alive, airMsg, screen>>

Cut(c) ==
  /\ c # cut /\ cut' = c
  /\ Log(IF c = {} THEN "Heal" ELSE "Cut", "", "")
  /\ UNCHANGED <<clocks, letter, verdict, disk, up, lost, air, screen>>

Next ==
  \/ Write \/ Send \/ Expired
  \/ \E d \in {-EPS, EPS, 2 * EPS, 3 * EPS, 4 * EPS} : WriteAhead(d)
  \/ \E n \in Relays, how \in HOW : Store(n, how)
  \/ \E n \in Relays : TakeOver(n) \/ Forward(n)
  \/ \E n \in Holders, how \in HOW : Answer(n, how) \/ Learn(n, how) \/ IgnoreReceipt(n, how)
  \/ \E n \in Honest, how \in HOW : Refuse(n, how)
  \/ \E n \in Holders, d \in Relays : CopyOn(n, d)
  \/ Persist \/ LetGo \/ Show \/ Acknowledge \/ SendReceipt
  \/ \E how \in HOW : Get(how) \/ ReReceipt(how)
  \/ \E n \in Holders : Forge(n) \/ Tell(n) \/ ExpireCopy(n)
  \/ \E n \in Honest : ExpireTomb(n) \/ Crash(n) \/ Restart(n) \/ Leave(n)
  \/ \E n \in Honest, to \in SKEWS : ClockStep(n, to)
  \/ \E n \in Honest : LoseMsg(n) \/ LoseReceipt(n)
  \/ \E stall \in SUBSET Steppers : Tick(stall)
  \/ \E c \in CUTS : Cut(c)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* Properties. *)

\* @type: (Set(Str), Set(Str)) => Bool;
Within(a, b) == a \subseteq b

TypeOK ==
  /\ now \in 0..MAXT
  /\ \A n \in Honest : skew[n] \in SKEWS
  /\ verdict \in {"none", "pending", "sent", "relayed", "delivered", "expired"}
  /\ Within(copy, Holders) /\ Within(tomb, Honest) /\ Within(purged, Holders) /\ Within(forgot, Honest)
  /\ Within(up, Honest) /\ Within(lost, Leavers)
  /\ Within(airMsg, Honest) /\ Within(airRcpt, Honest)
  /\ mem \in {"no", "got", "shown"} /\ shown \in 0..2

\* P2: between two starts at most once, and never again once acknowledged.
AtMostOnce == shown <= 1

\* P1: the sender says "delivered" exactly when it verified the recipient's receipt;
\* and what the recipient has signed for, its application has or will have.
DeliveredIffReceipt ==
  /\ verdict = "delivered" => signed
  /\ S \in tomb => verdict = "delivered"
  /\ signed => mem # "no" \/ inbox \/ acked
  /\ shown > 0 => signed

\* P3: an honest copy goes only on a receipt that the recipient signed, or when it expires.
PurgeJustified == \A n \in purged : signed \/ ~Fresh(n)

\* P4: no honest store holds what it purged or forgot.
NoResurrection == copy \intersect (purged \union forgot) = {}

\* A running honest node holds a copy at most TTL + 2 EPS of true time after it was
\* written; 2 EPS more where a lying sender dated it as far ahead as is accepted
\* (after the first honest node accepted it).
Limit == IF liar THEN TTL + 4 * EPS ELSE TTL + 2 * EPS
TtlBound == \A n \in copy \intersect up : now <= born + Limit

\* The bound of the design for lying senders too: refuted, see bad/purge.
TtlBoundAnySender == \A n \in copy \intersect up : now <= born + TTL + 2 * EPS

\* Whatever a running node keeps of the message, receipts too, is gone in true time.
TraceBound ==
  \A n \in (copy \union tomb) \intersect up : now <= born + Limit + 2 * EPS

\* P3: by its own clock nobody passes created_at + TTL + 2 EPS with a trace: time waits.
OwnClockBound ==
  \A n \in (copy \union tomb) \intersect up : Due(n) \/ Clock(n) < stamp + TTL + 2 * EPS

\* A receipt is erased only when no honest node can still accept the message.
TombOutlivesCopies == forgot # {} => \A n \in Relays \union {R} : ~Fresh(n)

\* "Expired" is final: nobody accepts the message after its sender said so.
ExpiredIsFinal == verdict = "expired" => \A n \in Relays \union {R} : ~Fresh(n)

\* With one holder lost after custody was acknowledged, a live message that was not
\* delivered is still held (module Custody has any number, with copying between losses).
Live == \A n \in Honest \ lost : Fresh(n)
NoOrphan ==
  (verdict = "relayed" /\ Cardinality(lost) <= 1 /\ Live /\ ~signed) => copy # {}

\* Late, stray or replayed receipts create no state: a receipt takes the place of a copy
\* (or of the sender's waiting), and is never written a second time.
BoundedState == tomb \intersect forgot = {} /\ tomb \subseteq purged \union {S, R}
=============================================================================
