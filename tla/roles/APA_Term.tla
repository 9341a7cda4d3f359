------------------------------ MODULE APA_Term -------------------------------
(* Apalache wrapper of Term: four validators, one of them lying, three slots. *)
(* TLC runs it too, as a smoke test.                                          *)
(*   apalache-mc check --length=6 --inv=TermAgreement,ChainAgreement APA_Term.tla  *)
(*   apalache-mc check --init=Init --inv=IndInv --length=0 APA_Term.tla       *)
(*   apalache-mc check --init=IndInv --inv=IndInv --length=1 APA_Term.tla     *)
(*   apalache-mc check --init=IndInv --inv=Safety --length=0 APA_Term.tla     *)
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
  \* @type: $step;
  step
INSTANCE Term WITH
  Honest <- {"h1", "h2", "h3"}, F <- 1, S <- 3, Q <- 3, VARIANTS <- 1, Slots <- 1..3, Blocks <- 1..3,
  RUN <- 3, LOCK <- TRUE, RISING <- TRUE, DISKLAST <- TRUE, DISKLOCK <- TRUE, TRACE <- FALSE
IndInit == TypeOK /\ step = NoStep /\ IndInv
==============================================================================
