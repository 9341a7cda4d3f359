------------------------------ MODULE Counter -------------------------------
(* Two workers count up to MAX together; then the counter starts again.      *)
(* Small enough to know every number of its state space by hand.             *)
EXTENDS Integers, Apalache

CONSTANTS
  \* @type: Set(Str);
  Workers,
  \* @type: Int;
  MAX,
  \* @type: Bool;
  GREEDY,      \* TRUE: a worker counts on past MAX
  \* @type: Bool;
  TRACE

VARIABLES
  \* @type: Int;
  count,
  \* @type: Str -> Set(Int);
  seen,
  \* @type: { name: Str, node: Str };
  step

vars == <<count, seen, step>>

\* @type: (Str, Str) => { name: Str, node: Str };
Named(name, node) == IF TRACE THEN [name |-> name, node |-> node] ELSE [name |-> "", node |-> ""]

Init ==
  /\ count = 0
  /\ seen = [w \in Workers |-> {}]
  /\ step = Named("Init", "")

Increment(w) ==
  /\ \/ GREEDY
     \/ count < MAX
  /\ count <= MAX
  /\ count' = count + 1
  /\ seen' = [seen EXCEPT ![w] = @ \union {count}]
  /\ step' = Named("Increment", w)

Reset ==
  /\ count = MAX
  /\ count >= 0                 \* always so: a guard that nobody can miss
  /\ count' = 0
  /\ step' = Named("Reset", "")
  /\ UNCHANGED seen

Next == Reset \/ \E w \in Workers : Increment(w)

Spec == Init /\ [][Next]_vars
Bounded == count <= MAX
SeenBounded == \A w \in Workers : \A i \in seen[w] : i <= MAX
NeverReset == [][count' > count]_vars
=============================================================================
