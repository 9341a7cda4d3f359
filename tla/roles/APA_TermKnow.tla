---------------------------- MODULE APA_TermKnow -----------------------------
(* Apalache wrapper of TermKnow, for bounded checks and for traces.           *)
(*   apalache-mc check --length=12 --inv=TermAgreement,RoleAgreement APA_TermKnow.tla *)
(*   apalache-mc simulate --length=30 --max-run=100 --output-traces APA_TermKnow.tla *)
EXTENDS Integers, FiniteSets, roles_typedefs
VARIABLES
  \* @type: Int -> Int;
  par,
  \* @type: Int -> Set(Int);
  anc,
  \* @type: Str -> Set(Int);
  votes,
  \* @type: Str -> Int;
  clock,
  \* @type: Str -> Set(Int);
  know,
  \* @type: Str -> Int;
  last,
  \* @type: Str -> Int;
  tip,
  \* @type: Str -> Bool;
  mute,
  \* @type: Str -> Int;
  held,
  \* @type: $step;
  step
INSTANCE TermKnow WITH
  Honest <- {"h1", "h2", "h3"}, F <- 1, S <- 2, Q <- 3, VARIANTS <- 1, SKEW <- 1, Slots <- 1..2, Blocks <- 1..2,
  Fragile <- {"h1"}, RUN <- 3, CURRENT <- TRUE, RISING <- TRUE, LONGEST <- TRUE, DISKLAST <- TRUE,
  DISKTIP <- TRUE, ABSTAIN <- TRUE, HOLDS <- TRUE, EARLY <- FALSE, TRACE <- TRUE
==============================================================================
