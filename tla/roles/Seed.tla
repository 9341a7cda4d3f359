-------------------------------- MODULE Seed ---------------------------------
(* The seed of the next record, what the adversary knows of it, and how many  *)
(* outcomes it can choose among.  Hash and VRF outputs are symbols: an        *)
(* outcome is the tuple of everything that enters it and that anyone can      *)
(* vary.  Two symbols are equal only if everything hashed is equal.           *)
(* - The leader order of a term is random: the next leader is any member that *)
(*   has not led in this round (TOM-ROLES-021).                               *)
(* - A liar knows all its own outcomes when its turn comes (in fact before),  *)
(*   and may publish one, or let its turn pass.                               *)
(* - An honest leader's VRF output (`beta`) is unknown until it proposes.     *)
(*   With VETO, votes can be delayed (or a liar's vote is pivotal), and what  *)
(*   an honest leader has proposed can be made to fail.                       *)
(* - The content of a record (which joins, which deliveries) is the           *)
(*   proposer's free choice: Contents.                                        *)
(* Rules: TOM-ROLES-068 .. 071 (seed), 021, 022 (leaders), 010.              *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Honest,
  \* @type: Set(Str);
  Liars,
  \* @type: Int;
  TERMS,
  \* @type: Int;
  ROUNDS,       \* how often the leader order is walked through in a term
  \* @type: Set(Int);
  Contents,
  \* @type: Bool;
  VETO,
  \* --- one switch a rule; each twin turns exactly one
  \* @type: Bool;
  VRF,          \* the seed mixes the proposer's VRF output
  \* @type: Bool;
  SECRET,         \* a VRF output is published only in the proposal
  \* @type: Bool;
  FIXEDKEY,     \* the VRF key is fixed at admission
  \* @type: Bool;
  MIXSLOT,      \* (twin) the slot is in the VRF input
  \* @type: Bool;
  MIXROSTER,    \* (twin) the new record's content is in the seed
  \* @type: Bool;
  MIXREC        \* (twin) the present record's hash is in the seed
VARIABLES
  \* @type: Int;
  term,
  \* @type: Int;
  round,
  \* @type: Set(Str);
  todo,         \* who has not led in this round
  \* @type: Str;
  turn,
  \* @type: Str -> Int;
  beta,         \* hidden: the VRF output of an honest member for this term
  \* @type: Set(Str);
  seen,         \* whose output the adversary has seen
  \* @type: Set(Str);
  shown,        \* honest members whose proposal is published
  \* @type: Set($outcome);
  options,      \* outcomes the adversary knew and could still bring about or pass up
  \* @type: Set(Str);
  spoiled,      \* proposers led or vetoed by the adversary
  \* @type: Bool;
  ownrec        \* a liar proposed the present record, and chose its content
vars == <<term, round, todo, turn, beta, seen, shown, options, spoiled, ownrec>>
All == Honest \union Liars
None == ""
Keys == {1, 2}
SlotsOf == {1, 2}
\* everything that x can turn the next seed into
Outs(x) ==
  { [by |-> x, content |-> c, slot |-> s, key |-> k, rec |-> r] :
      c \in IF MIXROSTER /\ x \in Liars THEN Contents ELSE {0},
      s \in IF MIXSLOT THEN { 2 * (round - 1) + i : i \in SlotsOf } ELSE {0},
      k \in IF FIXEDKEY \/ x \in Honest THEN {1} ELSE Keys,
      r \in IF MIXREC /\ ownrec /\ x \in Liars THEN Contents ELSE {0} }
Init ==
  /\ term = 1 /\ round = 1 /\ todo = All /\ turn = None
  /\ beta \in [Honest -> {0, 1}]
  /\ seen = {} /\ shown = {} /\ options = {} /\ spoiled = {} /\ ownrec = FALSE
Lead(x) ==
  /\ turn = None /\ x \in todo
  /\ turn' = x /\ todo' = todo \ {x}
  /\ options' = IF x \in Liars THEN options \union Outs(x) ELSE options
  /\ spoiled' = IF x \in Liars THEN spoiled \union {x} ELSE spoiled
  /\ UNCHANGED <<term, round, beta, seen, shown, ownrec>>
Propose(x) ==
  /\ turn = x /\ x \in Honest /\ x \notin shown
  /\ shown' = shown \union {x} /\ seen' = seen \union {x}
  /\ options' = options \union Outs(x)
  /\ UNCHANGED <<term, round, todo, turn, beta, spoiled, ownrec>>
\* presence without a secret: nothing of the seed is in a heartbeat
Heartbeat(x) ==
  /\ x \in Honest /\ ~SECRET /\ x \notin seen
  /\ seen' = seen \union {x}
  /\ UNCHANGED <<term, round, todo, turn, beta, shown, options, spoiled, ownrec>>
Pass ==
  /\ turn # None
  /\ turn \in Honest => VETO /\ turn \in shown
  /\ spoiled' = spoiled \union {turn}
  /\ turn' = None
  /\ IF todo = {} /\ round < ROUNDS THEN todo' = All /\ round' = round + 1 ELSE UNCHANGED <<todo, round>>
  /\ UNCHANGED <<term, beta, seen, shown, options, ownrec>>
\* the record of x becomes final; with VETO it may be one that was proposed earlier
Finish(x) ==
  /\ turn # None /\ term < TERMS
  /\ IF VETO THEN x \in shown \union spoiled ELSE x = turn /\ (x \in Honest => x \in shown)
  /\ term' = term + 1 /\ round' = 1 /\ todo' = All /\ turn' = None
  /\ beta' \in [Honest -> {0, 1}]
  /\ seen' = {} /\ shown' = {} /\ options' = {} /\ spoiled' = {}
  /\ ownrec' = (x \in Liars)
Next == Pass \/ \E x \in All : Lead(x) \/ Propose(x) \/ Heartbeat(x) \/ Finish(x)
Spec == Init /\ [][Next]_vars
------------------------------------------------------------------------------
\* the worlds compatible with what the adversary has seen
Compatible == { w \in [Honest -> {0, 1}] : \A h \in seen : w[h] = beta[h] }
Outcome(w, h) == IF VRF THEN w[h] ELSE 0
Unpredictable == \A h \in Honest \ shown : Cardinality({ Outcome(w, h) : w \in Compatible }) > 1
BoundedBias == Cardinality(options) <= Cardinality(spoiled) + 1
\* the two regimes
SynchronousBias == VETO \/ Cardinality(options) <= Cardinality(Liars) + 1
DelayedBias     == Cardinality(options) <= Cardinality(All)
\* witnesses
NeverLiarFirst   == ~ (turn \in Liars /\ todo = All \ {turn})
NeverHonestAfter == ~ (turn \in shown /\ spoiled # {})
NeverPass        == spoiled \subseteq Liars
NeverRoundTwo    == round = 1
NeverTwoInARow   == ~ (ownrec /\ turn \in Liars)
NeverFullChoice  == Cardinality(options) < Cardinality(All)
==============================================================================
