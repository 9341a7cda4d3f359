-------------------------------- MODULE Draft --------------------------------
(* The role map is a function of (roster, seed) only.  Members draft for      *)
(* themselves, each with its own view: the records it holds, whom it has      *)
(* heard lately, what it would like its own weight to be.  The hash is a      *)
(* random oracle: any ranking per (seed, id, draw).                           *)
(* An id of weight 2 has two draws and counts the better (TOM-ROLES-073).     *)
(* Rules: TOM-ROLES-072 .. 076.                                              *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Members,
  \* @type: Set(Str);
  Ids,
  \* @type: Set(Int);
  Seeds,
  \* @type: Set(Int);
  Values,       \* range of the hash
  \* @type: Bool;
  ROSTERED,     \* drafts from the whole pool of the record (twin: from those it has heard)
  \* @type: Bool;
  WEIGHED       \* takes weights from the record (twin: its own from itself)
VARIABLES
  \* @type: <<Int, Str, Int>> -> Int;
  hash,
  \* @type: Str -> Set(Str);
  heard,
  \* @type: Str -> Int;
  claim,        \* the weight a member would like to have
  \* @type: Str -> Set(Str);
  roster,       \* of the record from which the member last drafted
  \* @type: Str -> Int;
  seed,         \* 0 = has not drafted
  \* @type: Str -> Set(Str);
  roles
vars == <<hash, heard, claim, roster, seed, roles>>
Draws == {1, 2}
Inputs == Seeds \X Ids \X Draws
Init ==
  /\ hash \in { f \in [Inputs -> Values] : \A x, y \in Inputs : x # y /\ x[1] = y[1] => f[x] # f[y] }
  /\ heard = [m \in Members |-> {m}]
  /\ claim = [m \in Members |-> 1]
  /\ roster = [m \in Members |-> {}] /\ seed = [m \in Members |-> 0] /\ roles = [m \in Members |-> {}]
Hear(m, i) ==
  /\ i \notin heard[m]
  /\ heard' = [heard EXCEPT ![m] = @ \union {i}]
  /\ UNCHANGED <<hash, claim, roster, seed, roles>>
Claim(m) ==
  /\ claim[m] = 1 /\ claim' = [claim EXCEPT ![m] = 2]
  /\ UNCHANGED <<hash, heard, roster, seed, roles>>
WeightOf(m, i) == IF ~WEIGHED /\ m = i THEN claim[m] ELSE 1
Key(m, s, i) == IF WeightOf(m, i) = 2 /\ hash[<<s, i, 2>>] < hash[<<s, i, 1>>] THEN hash[<<s, i, 2>>]
                ELSE hash[<<s, i, 1>>]
Third(n) == (n + 2) \div 3
Compute(m, s, R) ==
  /\ seed[m] = 0
  /\ LET P == IF ROSTERED THEN R ELSE R \intersect heard[m]
     IN roles' = [roles EXCEPT ![m] =
                    { i \in P : Cardinality({ j \in P : Key(m, s, j) <= Key(m, s, i) }) <= Third(Cardinality(R)) }]
  /\ roster' = [roster EXCEPT ![m] = R]
  /\ seed' = [seed EXCEPT ![m] = s]
  /\ UNCHANGED <<hash, heard, claim>>
Next == \E m \in Members : \/ Claim(m)
                           \/ \E i \in Ids : Hear(m, i)
                           \/ \E s \in Seeds, R \in SUBSET Ids : R # {} /\ Compute(m, s, R)
Spec == Init /\ [][Next]_vars
NoSelfSelection == \A g, h \in Members :
  seed[g] # 0 /\ seed[g] = seed[h] /\ roster[g] = roster[h] => roles[g] = roles[h]
NeverHear    == \A m \in Members : heard[m] = {m}
NeverClaim   == \A m \in Members : claim[m] = 1
NeverCompute == \A m \in Members : seed[m] = 0
NeverBoth    == \E m \in Members : seed[m] = 0
==============================================================================
