-------------------------------- MODULE Tables ------------------------------
(***************************************************************************)
(* A recipient's table of receipts (its duplicate memory) has room for CAP *)
(* messages.  Anybody may flood it.  What a promise needs is never evicted: *)
(* when it is full, new work is refused and can be offered again later     *)
(* (TOM-PURGE-015).  Each message lives LIFE ticks; its entry goes at its  *)
(* own end and never before.  The broken twin evicts an entry to make      *)
(* room, and shows a message twice.                                        *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
  \* @type: Set(Str);
  Messages,
  \* @type: Int;
  CAP,
  \* @type: Int;
  LIFE,
  \* @type: Int;
  MAXT,
  \* @type: Bool;
  EVICT

VARIABLES
  \* @type: Int;
  now,
  \* @type: Str -> Int;
  stamp,
  \* @type: Set(Str);
  known,
  \* @type: Str -> Int;
  shown,
  \* @type: Set(Str);
  refused

vars == <<now, stamp, known, shown, refused>>
Fresh(m) == now < stamp[m] + LIFE

Init ==
  /\ now = 0 /\ known = {} /\ refused = {}
  /\ stamp \in [Messages -> 0..LIFE]
  /\ shown = [m \in Messages |-> 0]

Accept(m) ==
  /\ Fresh(m) /\ stamp[m] <= now /\ m \notin known /\ shown[m] < 2
  /\ Cardinality(known) < CAP
  /\ known' = known \union {m}
  /\ shown' = [shown EXCEPT ![m] = @ + 1]
  /\ UNCHANGED <<now, stamp, refused>>
Evict(m, old) ==
  /\ EVICT /\ Fresh(m) /\ stamp[m] <= now /\ m \notin known /\ old \in known /\ shown[m] < 2
  /\ Cardinality(known) = CAP
  /\ known' = (known \ {old}) \union {m}
  /\ shown' = [shown EXCEPT ![m] = @ + 1]
  /\ UNCHANGED <<now, stamp, refused>>
RefuseFull(m) ==
  /\ Fresh(m) /\ stamp[m] <= now /\ m \notin known /\ Cardinality(known) = CAP
  /\ refused' = refused \union {m} /\ UNCHANGED <<now, stamp, known, shown>>
Erase(m) ==
  /\ m \in known /\ ~Fresh(m)
  /\ known' = known \ {m} /\ UNCHANGED <<now, stamp, shown, refused>>
Tick ==
  /\ now < MAXT /\ \A m \in known : Fresh(m)
  /\ now' = now + 1 /\ UNCHANGED <<stamp, known, shown, refused>>

Next ==
  \/ \E m \in Messages : Accept(m) \/ RefuseFull(m) \/ Erase(m)
  \/ \E m \in Messages, old \in Messages : Evict(m, old)
  \/ Tick
Spec == Init /\ [][Next]_vars

AtMostOnce == \A m \in Messages : shown[m] <= 1
TableBounded == Cardinality(known) <= CAP
\* A refused message is not lost to it: it can still be taken.
NeverTakenAfterRefusal == \A m \in refused : shown[m] = 0

IndInv ==
  /\ now \in 0..MAXT /\ stamp \in [Messages -> 0..LIFE]
  /\ known \in SUBSET Messages /\ refused \in SUBSET Messages
  /\ shown \in [Messages -> 0..1]
  /\ Cardinality(known) <= CAP
  /\ \A m \in Messages : shown[m] = 1 /\ Fresh(m) => m \in known
  /\ \A m \in known : shown[m] = 1
=============================================================================
