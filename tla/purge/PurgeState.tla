----------------------------- MODULE PurgeState -----------------------------
(***************************************************************************)
(* One message, from its writing to the moment nobody remembers it.        *)
(*                                                                         *)
(* Nodes: the sender "s", the recipient "r", the honest relays of the      *)
(* message's term (Relays; those in First are its custodians, ranks 1 and  *)
(* 2, the others come after), and, where BYZ holds, a relay that lies: it  *)
(* never purges, replays the message to anybody at any time, forges        *)
(* receipts and keeps true ones to replay them.                            *)
(*                                                                         *)
(* What is abstracted, and why that is sound.                              *)
(*  - One message: no rule of the chapter couples two messages except the  *)
(*    size of the tables (module Tables) and the ledger (module Fold).     *)
(*  - A packet in flight is its kind and its destination.  The network may *)
(*    lose it, deliver it late, twice ("dup": handled and still there), in *)
(*    any order.  Who sent it matters to no guard.                         *)
(*  - A signature is a fact: `signed` says that the recipient has signed   *)
(*    the receipt; whoever shows one before that shows a forgery.          *)
(*  - True time is `now`; the reading of the purge clock of node n is      *)
(*    now + skew[n], within EPS of the truth (TOM-PURGE-006).  CLOCK says  *)
(*    how the clocks of Steppers move (nobody's, when "constant"):         *)
(*    "monotone": it jumps forward or stands still while time goes on, but *)
(*    never goes back (the rule);                                          *)
(*    "free": it also jumps back (the clock without the rule).             *)
(*  - Copy, receipt (tombstone), plaintext, verdict are on disk and        *)
(*    survive a crash; `mem` and `lit` (shown since the start) do not.     *)
(*  - A partition isolates a set of nodes out of CUTS; finer ones are      *)
(*    losses.                                                              *)
(* Time does not pass while a running honest node has an erasure to do     *)
(* (TOM-PURGE-036); a node that is switched off erases when it returns     *)
(* (TOM-PURGE-037).                                                        *)
(*                                                                         *)
(* BROKEN names the one rule that a broken twin leaves out; "none" is the  *)
(* protocol.  RETAIN and FROM are what the threshold sweep turns.          *)
(***************************************************************************)
EXTENDS Integers, FiniteSets, purge_types

CONSTANTS
  \* @type: Set(Str);
  Relays,
  \* @type: Set(Str);
  First,
  \* @type: Bool;
  BYZ,
  \* @type: Set(Bool);
  LIARS,
  \* @type: Int;
  TTL,
  \* @type: Int;
  EPS,
  \* @type: Int;
  RETAIN,
  \* @type: Str;
  FROM,
  \* @type: Int;
  MAXT,
  \* @type: Int;
  SENDBY,
  \* @type: Set(Int);
  SKEWS,
  \* @type: Set(Int);
  STARTSKEWS,
  \* @type: Str;
  CLOCK,
  \* @type: Set(Str);
  Steppers,
  \* @type: Set(Str);
  Crashers,
  \* @type: Set(Str);
  Leavers,
  \* @type: Int;
  MAXLOST,
  \* @type: Set(Set(Str));
  CUTS,
  \* @type: Bool;
  AIR,
  \* @type: Str;
  BROKEN,
  \* @type: Bool;
  TRACE

VARIABLES
  \* @type: Int;
  now,
  \* @type: Str -> Int;
  skew,
  \* @type: Bool;
  liar,
  \* @type: Str;
  verdict,
  \* @type: Int;
  stamp,
  \* @type: Int;
  born,
  \* @type: Set(Str);
  copy,
  \* @type: Set(Str);
  tomb,
  \* @type: Str -> Int;
  until,
  \* @type: Set(Str);
  up,
  \* @type: Set(Str);
  lost,
  \* @type: Set(Str);
  cut,
  \* @type: Set(Str);
  airMsg,
  \* @type: Set(Str);
  airRcpt,
  \* @type: Str;
  mem,
  \* @type: Bool;
  inbox,
  \* @type: Bool;
  lit,
  \* @type: Int;
  shown,
  \* @type: Bool;
  acked,
  \* @type: Bool;
  signed,
  \* @type: Set(Str);
  purged,
  \* @type: Set(Str);
  forgot,
  \* @type: $step;
  step

clocks == <<now, skew>>
letter == <<liar, stamp, born>>
alive  == <<up, lost, cut>>
air    == <<airMsg, airRcpt>>
screen == <<mem, inbox, lit, shown, acked, signed>>
disk   == <<copy, tomb, until, purged, forgot>>
vars   == <<clocks, letter, verdict, disk, alive, air, screen, step>>

S == "s"
R == "r"
Honest  == {S, R} \union Relays
Holders == {S} \union Relays
\* Where a receipt travels: the sender and the ranks (TOM-PURGE-027).
ToldOf  == {S} \union Relays
Addressees == IF BROKEN = "receipt-to-sender-only" THEN {S} ELSE ToldOf

Clock(n)   == now + skew[n]
Fresh(n)   == Clock(n) < stamp + TTL                       \* TOM-PURGE-012
NotAhead(n) == BROKEN = "no-future-check" \/ stamp <= Clock(n) + 2 * EPS   \* TOM-PURGE-011
Out        == verdict \notin {"none", "pending"}           \* it has left its sender
On(n)      == n \in up /\ n \notin cut

\* @type: (Str, Str, Str) => Bool;
Log(name, node, how) ==
  step' = IF TRACE THEN [name |-> name, node |-> node, how |-> how] ELSE step

\* How a packet reaches an honest node: "net" (and is gone), "dup" (and comes
\* again), "byz" (the lying relay plays it, whenever it likes).
\* (What "dup" and "byz" do to the state is the same, so where the liar is about and no
\* trace is wanted "dup" is left out.)
HOW == IF BYZ /\ ~TRACE THEN {"net", "byz"} ELSE {"net", "dup", "byz"}
\* @type: (Str, Str, Set(Str), Bool) => Bool;
Reaches(how, d, flight, known) == IF how = "byz" THEN BYZ /\ known ELSE d \in flight
\* @type: (Str, Str, Set(Str)) => Set(Str);
After(how, d, flight) == IF how = "net" THEN flight \ {d} ELSE flight
\* A step without effect is worth a state only where traces are wanted.
\* @type: (Bool) => Bool;
Shows(effect) == TRACE \/ effect

\* @type: (Set(Str)) => Set(Str);
Flying(ds) == IF AIR THEN ds ELSE {}

Deadline(n) == IF FROM = "created" THEN stamp + RETAIN ELSE Clock(n) + RETAIN

Init ==
  /\ now = 0
  /\ skew \in [Honest -> STARTSKEWS]
  /\ liar \in LIARS
  /\ verdict = "none"
  /\ stamp = 0 /\ born = 0
  /\ copy = {} /\ tomb = {} /\ purged = {} /\ forgot = {}
  /\ until = [n \in Honest |-> 0]
  /\ up = Honest /\ lost = {} /\ cut = {}
  /\ airMsg = {} /\ airRcpt = {}
  /\ mem = "no" /\ inbox = FALSE /\ lit = FALSE /\ shown = 0 /\ acked = FALSE /\ signed = FALSE
  /\ step = [name |-> "Init", node |-> "", how |-> ""]
=============================================================================
