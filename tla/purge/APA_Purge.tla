------------------------------ MODULE APA_Purge -----------------------------
(***************************************************************************)
(* Purge with literal constants, for Apalache:                             *)
(*   apalache-mc typecheck APA_Purge.tla                                   *)
(*   apalache-mc check --length=10 --inv=Safety APA_Purge.tla              *)
(*   apalache-mc check --init=IndInv --inv=IndInv --length=1 APA_Purge.tla *)
(*   apalache-mc check --init=IndInv --inv=Safety --length=0 APA_Purge.tla *)
(* TLC runs it as a smoke test (smoke-apalache.cfg).                       *)
(***************************************************************************)
EXTENDS Integers, FiniteSets, purge_types

Relays == {"a"}
First == {"a"}
BYZ == TRUE
LIARS == {FALSE}
TTL == 1
EPS == 1
RETAIN == 3
FROM == "created"
MAXT == 6
SENDBY == 0
SKEWS == {-1, 0, 1}
STARTSKEWS == {-1, 1}
CLOCK == "monotone"
Steppers == {"r"}
Crashers == {"r"}
\* @type: Set(Str);
Leavers == {}
MAXLOST == 0
\* @type: Set(Set(Str));
CUTS == {}
AIR == FALSE
BROKEN == "none"
TRACE == FALSE

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

INSTANCE PurgeInd

Safety ==
  /\ AtMostOnce /\ DeliveredIffReceipt /\ PurgeJustified /\ NoResurrection
  /\ TtlBound /\ TombOutlivesCopies /\ ExpiredIsFinal /\ BoundedState
=============================================================================
