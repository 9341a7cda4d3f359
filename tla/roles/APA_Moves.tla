------------------------------ MODULE APA_Moves ------------------------------
(* Apalache wrapper of Moves: two honest members and a liar, one attempt.     *)
(*   apalache-mc check --length=8 --inv=MoveEndsParent,OneGenesis,NeverBack APA_Moves.tla *)
(*   apalache-mc check --init=Init --inv=IndInv --length=0 APA_Moves.tla      *)
EXTENDS Integers, FiniteSets, roles_typedefs
VARIABLES
  \* @type: Int -> Str;
  founder,
  \* @type: Set(Str);
  voted,
  \* @type: Str -> Int;
  top,
  \* @type: Str -> Set(Int);
  signed,
  \* @type: Set(Str);
  clean,
  \* @type: Set($genesis);
  gen,
  \* @type: Str -> $genesis;
  home,
  \* @type: Str -> Set($genesis);
  gone,
  \* @type: Str -> Set($act);
  acts,
  \* @type: Set(Str);
  down
INSTANCE Moves WITH
  Honest <- {"h1", "h2"}, Liars <- {"b1"}, Q <- 2, Attempts <- {1}, MIN <- 2, HEALS <- FALSE, Crashers <- {"h1"},
  RESIGN <- TRUE, CANCEL <- TRUE, LATEST <- TRUE, DISKMOVE <- TRUE, LEAVES <- TRUE
==============================================================================
