------------------------------ MODULE APA_Admit ------------------------------
(* Apalache wrapper of Admit: two founders and one registered later.          *)
(*   apalache-mc check --length=8 --inv=SnapshotBeforeSeed,QuotaMet APA_Admit.tla *)
EXTENDS Integers, FiniteSets, roles_typedefs
VARIABLES
  \* @type: Int;
  term,
  \* @type: Int;
  horizon,
  \* @type: Int;
  run,
  \* @type: Str -> Int;
  admitted,
  \* @type: Str -> Int;
  before,
  \* @type: Set(Str);
  joining,
  \* @type: Set(Str);
  leaving,
  \* @type: Str -> Int;
  knew,
  \* @type: Str -> Int;
  rank
INSTANCE Admit WITH
  Founders <- {"a", "b"}, Later <- {"x"}, TERMS <- 3, RUNMAX <- 2, Ranks <- {1, 2, 3}, ELIG <- 2, PRESENT <- TRUE,
  POOLFIRST <- TRUE, FALLBACK <- TRUE
==============================================================================
