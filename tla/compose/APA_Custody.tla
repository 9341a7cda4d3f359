----------------------------- MODULE APA_Custody ----------------------------
(***************************************************************************)
(* Custody with literal constants, for Apalache:                           *)
(*   apalache-mc check --length=10 --inv=NoOrphan,Spare APA_Custody.tla    *)
(*   apalache-mc check --init=IndInv --inv=IndInv --length=1 APA_Custody.tla *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

Members == {"s", "a", "b", "c", "d", "x"}
Liars == {"x"}
CUSTODIANS == 2
TOLL == 1
TERMS == 1
FEWEST == 5
BROKEN == "none"

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

INSTANCE Custody
=============================================================================
