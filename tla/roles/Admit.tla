-------------------------------- MODULE Admit --------------------------------
(* Terms, admission, eligibility and the draft: who can hold a role, and what *)
(* was known of a seed when its holder was registered.                        *)
(* - The adversary always knows the present seed.  If it proposes the next    *)
(*   record it knows the next seed too, since that depends on its own VRF     *)
(*   output only; if it will also propose the one after, it knows that as     *)
(*   well (Foresee).  `horizon` is the last term whose seed it knows.  RUNMAX *)
(*   bounds how many consecutive records it proposes: it is the assumption    *)
(*   under which eligibility after ELIG terms is enough, and it is swept.     *)
(* - The draft is a ranking by hash: for each term any order (`rank`).        *)
(* - An id registered in term t is in record t + 1 ("admitted t + 1").        *)
(* Rules: TOM-ROLES-063 .. 067 (admission), 072 .. 083.                      *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Founders,
  \* @type: Set(Str);
  Later,        \* ids that may register
  \* @type: Int;
  TERMS,
  \* @type: Int;
  RUNMAX,
  \* @type: Set(Int);
  Ranks,        \* 1..number of ids
  \* --- rules and their twins
  \* @type: Int;
  ELIG,         \* terms between admission and the first role: 2
  \* @type: Bool;
  PRESENT,      \* the pool is cut to the present roster
  \* @type: Bool;
  POOLFIRST,    \* the quota is filled from the pool (not: drawn, then filtered)
  \* @type: Bool;
  FALLBACK      \* a duty list goes on with the other members when the relays are used up
VARIABLES
  \* @type: Int;
  term,
  \* @type: Int;
  horizon,
  \* @type: Int;
  run,          \* consecutive records proposed by the adversary, the present one being the last
  \* @type: Str -> Int;
  admitted,     \* -1 = not in the roster of the present record; 0 = founder
  \* @type: Str -> Int;
  before,       \* the same, of the previous record
  \* @type: Set(Str);
  joining,
  \* @type: Set(Str);
  leaving,
  \* @type: Str -> Int;
  knew,         \* horizon when the id was registered (history)
  \* @type: Str -> Int;
  rank
vars == <<term, horizon, run, admitted, before, joining, leaving, knew, rank>>
Ids == Founders \union Later
Orders == { r \in [Ids -> Ranks] : \A i, j \in Ids : i # j => r[i] # r[j] }
Init ==
  /\ term = 0 /\ horizon = 0 /\ run = 0
  /\ admitted = [i \in Ids |-> IF i \in Founders THEN 0 ELSE -1]
  /\ before = admitted
  /\ joining = {} /\ leaving = {}
  /\ knew = [i \in Ids |-> -1]
  /\ rank \in Orders
Foresee ==
  /\ horizon < TERMS /\ run + (horizon - term) < RUNMAX
  /\ horizon' = horizon + 1
  /\ UNCHANGED <<term, run, admitted, before, joining, leaving, knew, rank>>
Register(i) ==
  /\ i \in Later /\ admitted[i] = -1 /\ i \notin joining
  /\ joining' = joining \union {i}
  /\ knew' = [knew EXCEPT ![i] = horizon]
  /\ UNCHANGED <<term, horizon, run, admitted, before, leaving, rank>>
\* leaves by its own signature, by a move, or after eight silent terms
Leave(i) ==
  /\ admitted[i] # -1 /\ i \notin leaving
  /\ leaving' = leaving \union {i}
  /\ UNCHANGED <<term, horizon, run, admitted, before, joining, knew, rank>>
NextTerm ==
  /\ term < TERMS
  /\ term' = term + 1
  /\ horizon' = IF horizon > term THEN horizon ELSE term + 1
  /\ run' = IF horizon > term THEN run + 1 ELSE 0
  /\ before' = admitted
  /\ admitted' = [i \in Ids |-> IF i \in leaving THEN -1
                                ELSE IF i \in joining THEN term + 1 ELSE admitted[i]]
  /\ joining' = {} /\ leaving' = {}
  /\ knew' = [i \in Ids |-> IF i \in leaving THEN -1 ELSE knew[i]]
  /\ rank' \in Orders
Next == Foresee \/ NextTerm \/ \E i \in Ids : Register(i) \/ Leave(i)
Spec == Init /\ [][Next]_vars
------------------------------------------------------------------------------
Roster == { i \in Ids : admitted[i] # -1 }
Eligible(a) == a = 0 \/ (a > 0 /\ a + ELIG <= term)
Pool == IF PRESENT THEN { i \in Roster : Eligible(admitted[i]) }
        ELSE { i \in Ids : Eligible(before[i]) }
\* place of i in the draft of X, from 1
Place(i, X) == Cardinality({ j \in X : rank[j] <= rank[i] })
Third(n) == (n + 2) \div 3
Eighth(n) == (n + 7) \div 8
Relays == IF POOLFIRST THEN { i \in Pool : Place(i, Pool) <= Third(Cardinality(Pool)) }
          ELSE { i \in Roster : Place(i, Roster) <= Third(Cardinality(Pool)) } \intersect Pool
Guardians == { i \in Pool : Place(i, Pool) <= Eighth(Cardinality(Pool)) }
Holders == Relays \union Guardians
Duty(a, b) == (IF FALLBACK THEN Pool ELSE Relays) \ {a, b}
SnapshotBeforeSeed == \A i \in Holders : knew[i] < term
RoleOnlyIfRostered == Holders \subseteq Roster
QuotaMet == /\ Cardinality(Relays) = Third(Cardinality(Pool))
            /\ Cardinality(Guardians) = Eighth(Cardinality(Pool))
\* whoever talks to whom, somebody third has the duty, as soon as three can have it
CoverageKept == Cardinality(Pool) >= 3 => \A a, b \in Roster : Duty(a, b) # {}
\* witnesses
NeverForesee == horizon <= term
NeverAdmit   == \A i \in Later : admitted[i] = -1
NeverLater   == Holders \subseteq Founders
NeverLeave   == \A i \in Founders : admitted[i] = 0
NeverRun     == run < RUNMAX
==============================================================================
