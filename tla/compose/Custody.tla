------------------------------- MODULE Custody ------------------------------
(***************************************************************************)
(* Roles and custody together: one undelivered message while terms pass,   *)
(* roles are drawn anew, and members leave for ever with their disks.      *)
(*                                                                         *)
(* The sender "s" and the custodians (ranks 1 and 2 of the message's term) *)
(* hold it: WANT holders.  `duty` is who ranks first in the present        *)
(* record: any set of CUSTODIANS present members, since a draft can give   *)
(* any outcome (area roles); it is drawn anew at each term.  A member of   *)
(* Liars says that it holds and does not.  `believed` is what a careful    *)
(* holder counts: the copies, and the liars' claims.  `first`, the ranks   *)
(* of the message's own term, matters to one broken twin only.             *)
(*                                                                         *)
(* When somebody believed to hold falls silent, a holder copies to the     *)
(* next rank of the present record and keeps its own (TOM-PURGE-017 to     *)
(* -019).  Leaving is sudden.  The promise needs a bound: between two      *)
(* moments at which the holders are complete again, at most TOLL holders   *)
(* are lost.  NoOrphan is checked for the greatest such number,            *)
(* WANT - 1 - liars among them, and fails at the next one (the sweep).     *)
(*                                                                         *)
(* Time, expiry and receipts are those of Purge: here the message lives    *)
(* until `delivered`.  A subnet that splits is a set of members leaving.   *)
(* Crashes keep the disk, so they are silence, not loss.                   *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
  \* @type: Set(Str);
  Members,
  \* @type: Set(Str);
  Liars,
  \* @type: Int;
  CUSTODIANS,
  \* @type: Int;
  TOLL,
  \* @type: Int;
  TERMS,
  \* @type: Int;
  FEWEST,
  \* @type: Str;
  BROKEN

VARIABLES
  \* @type: Int;
  term,
  \* @type: Set(Str);
  present,
  \* @type: Set(Str);
  away,
  \* @type: Set(Str);
  duty,
  \* @type: Set(Str);
  first,
  \* @type: Set(Str);
  copies,
  \* @type: Set(Str);
  claims,
  \* @type: Int;
  toll,
  \* @type: Str;
  stage

vars == <<term, present, away, duty, first, copies, claims, toll, stage>>

Sender == "s"
WANT == CUSTODIANS + 1
Relays == Members \ {Sender}
Drafts(p) == {d \in SUBSET (p \ {Sender}) : Cardinality(d) = CUSTODIANS}

Init ==
  /\ term = 0
  /\ present = Members /\ away = {}
  /\ duty \in Drafts(Members) /\ first = IF BROKEN = "old-ranks-only" THEN duty ELSE {}
  /\ copies = {Sender} /\ claims = {}
  /\ toll = 0 /\ stage = "placing"

\* Those whose holding is believed and who still answer.
Believed == (copies \union claims) \ away
\* To whom a copy may go: by the present record, first those on duty, then any member
\* (the record of the message's own term is erased after two terms).
Ranked == IF BROKEN = "old-ranks-only" THEN first \intersect present ELSE present \ {Sender}
Candidates == Ranked \ (copies \union claims \union away)
Best == IF Candidates \intersect duty # {} THEN Candidates \intersect duty ELSE Candidates
Enough == IF BROKEN = "one-is-enough" THEN CUSTODIANS ELSE WANT
Complete == Cardinality(Believed) >= Enough \/ Candidates = {}

\* Hand it to a custodian, which writes it before it acknowledges; a liar only says so.
Place(h, d) ==
  /\ stage # "delivered" /\ h \in copies \ away /\ d \in Best /\ ~Complete
  /\ IF d \in Liars
     THEN claims' = claims \union {d} /\ UNCHANGED copies
     ELSE copies' = copies \union {d} /\ UNCHANGED claims
  /\ UNCHANGED <<term, present, away, duty, first, toll, stage>>

\* The holders are complete: losses count anew.
Settle ==
  /\ stage # "delivered" /\ Complete /\ (stage = "placing" \/ toll > 0)
  /\ stage' = "kept" /\ toll' = 0
  /\ copies' = IF BROKEN = "sender-drops" THEN copies \ {Sender} ELSE copies
  /\ UNCHANGED <<term, present, away, duty, first, claims>>

\* A member leaves for ever.  One that may hold (or is believed to) costs toll.
Leave(n) ==
  /\ stage = "kept" /\ n \in present /\ Cardinality(present) > FEWEST
  /\ IF n \in copies \union claims THEN toll < TOLL /\ toll' = toll + 1 ELSE UNCHANGED toll
  /\ present' = present \ {n} /\ away' = away \ {n}
  /\ copies' = copies \ {n} /\ claims' = claims \ {n}
  /\ duty' = duty \ {n}
  /\ UNCHANGED <<term, first, stage>>

\* Silent for a while: its disk is not lost, but nobody can count on it.
Sleep(n) ==
  /\ stage = "kept" /\ n \in present \ away /\ away = {}
  /\ away' = {n}
  /\ UNCHANGED <<term, present, duty, first, copies, claims, toll, stage>>
Wake(n) ==
  /\ n \in away /\ away' = away \ {n}
  /\ UNCHANGED <<term, present, duty, first, copies, claims, toll, stage>>

\* The next record: roles drawn anew.  Custody does not move with them.
Rotate(d) ==
  /\ term < TERMS /\ d \in Drafts(present)
  /\ term' = term + 1 /\ duty' = d
  /\ copies' = IF BROKEN = "custody-moves" THEN copies \intersect (d \union {Sender}) ELSE copies
  /\ UNCHANGED <<present, away, first, claims, toll, stage>>

\* The recipient is back and somebody hands it over.
Deliver(h) ==
  /\ stage # "delivered" /\ h \in copies \ away
  /\ stage' = "delivered" /\ copies' = {} /\ claims' = {}
  /\ UNCHANGED <<term, present, away, duty, first, toll>>

Next ==
  \/ \E h \in Members, d \in Members : Place(h, d)
  \/ Settle
  \/ \E n \in Members : Leave(n) \/ Sleep(n) \/ Wake(n) \/ Deliver(n)
  \/ \E d \in SUBSET Relays : Rotate(d)

Spec == Init /\ [][Next]_vars

TypeOK ==
  /\ term \in 0..TERMS /\ toll \in 0..TOLL
  /\ present \subseteq Members /\ away \subseteq present /\ duty \subseteq present
  /\ copies \subseteq present \ Liars /\ claims \subseteq present \intersect Liars
  /\ stage \in {"placing", "kept", "delivered"}

\* No message loses its last honest holder.
NoOrphan == stage = "delivered" \/ copies # {}

\* What makes it so: as many copies as losses can still come, and one more.
Spare ==
  stage = "kept" => Cardinality(copies) >= TOLL - toll + 1

\* The inductive invariant (an initial predicate, too).
IndInv ==
  /\ term \in 0..TERMS
  /\ present \in SUBSET Members /\ Cardinality(present) >= FEWEST
  /\ away \in SUBSET present /\ Cardinality(away) <= 1
  /\ duty \in SUBSET (present \ {Sender}) /\ Cardinality(duty) <= CUSTODIANS
  /\ first = {}
  /\ toll \in 0..TOLL
  /\ claims \in SUBSET (present \intersect Liars)
  /\ copies \in SUBSET (present \ Liars)
  /\ stage \in {"placing", "kept", "delivered"}
  /\ stage = "placing" => Sender \in copies /\ toll = 0
  /\ stage = "delivered" => copies = {}
  /\ Spare
=============================================================================
