------------------------------ MODULE APA_Chain ------------------------------
(* Apalache wrapper of Chain: two validators a term, one changes.             *)
(*   apalache-mc check --init=Init --inv=IndInv --length=0 APA_Chain.tla      *)
(*   apalache-mc check --init=IndInit --inv=IndInv --length=1 APA_Chain.tla   *)
(*   apalache-mc check --init=IndInit --inv=RoleAgreement,NextAgreement --length=0 APA_Chain.tla *)
EXTENDS Integers, FiniteSets, roles_typedefs
VARIABLES
  \* @type: Int -> Int;
  par,
  \* @type: Int -> Set(Int);
  anc,
  \* @type: Str -> Set(Int);
  votes,
  \* @type: Str -> Int;
  last,
  \* @type: Str -> Int;
  lock,
  \* @type: Str -> Int;
  rec,
  \* @type: Int -> (Str -> Int);
  second
INSTANCE Chain WITH
  Both <- {"h2"}, Odd <- {"h1"}, Even <- {"h4"}, Late <- {"z"}, F <- 0, S <- 3, Q <- 2, Blocks <- 1..3,
  VOUCH <- 1, EARLY <- FALSE, KEEP <- TRUE, GOON <- TRUE
IndInit == IndInv
==============================================================================
