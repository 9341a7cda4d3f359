------------------------------ MODULE APA_Seed -------------------------------
(* Apalache wrapper of Seed: three proposers, one of them lying.              *)
(*   apalache-mc check --length=10 --inv=Unpredictable,BoundedBias APA_Seed.tla *)
EXTENDS Integers, FiniteSets, roles_typedefs
VARIABLES
  \* @type: Int;
  term,
  \* @type: Int;
  round,
  \* @type: Set(Str);
  todo,
  \* @type: Str;
  turn,
  \* @type: Str -> Int;
  beta,
  \* @type: Set(Str);
  seen,
  \* @type: Set(Str);
  shown,
  \* @type: Set($outcome);
  options,
  \* @type: Set(Str);
  spoiled,
  \* @type: Bool;
  ownrec
INSTANCE Seed WITH
  Honest <- {"h1", "h2"}, Liars <- {"b1"}, TERMS <- 2, ROUNDS <- 2, Contents <- {1, 2}, VETO <- TRUE, VRF <- TRUE,
  SECRET <- TRUE, FIXEDKEY <- TRUE, MIXSLOT <- FALSE, MIXROSTER <- FALSE, MIXREC <- FALSE
==============================================================================
