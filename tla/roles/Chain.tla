-------------------------------- MODULE Chain --------------------------------
(* Chaining of terms: each record is the genesis block of the next term's     *)
(* instance.  Term 1 is an instance of Term (one block a slot is enough below *)
(* n/3: MC_Term checks equivocation); its first block is a candidate record   *)
(* r with a validator set of its own.  A member that takes r starts the       *)
(* instance of r; one that has not learnt a final record goes on in term 1.   *)
(* The instance of r is one abstract vote a validator, for one of two records *)
(* of term 3.                                                                 *)
(* - Take: by proof of finality (three blocks with their votes);              *)
(* - Heartbeat: whoever holds a record says so; liars say anything;           *)
(* - CatchUp: a member that was away when the votes were there takes a record *)
(*   vouched for by the heartbeats of VOUCH validators it last knew;          *)
(* - Join: a newcomer (late joiner) takes the record of its invitation,       *)
(*   cross-checked: its inviter and two more members, VOUCH ids in all.       *)
(* Rules: TOM-ROLES-016 .. 018, 038, 058 .. 062 (catching up).               *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Both,         \* honest, validator in term 1 and in either term 2
  \* @type: Set(Str);
  Odd,          \* honest, validator in term 1 and, if the record's slot is odd, in term 2
  \* @type: Set(Str);
  Even,         \* honest, validator only if the record's slot is even
  \* @type: Set(Str);
  Late,         \* honest, no validator: sleepers and newcomers
  \* @type: Int;
  F,
  \* @type: Int;
  S,
  \* @type: Int;
  Q,
  \* @type: Set(Int);
  Blocks,
  \* --- one rule a switch
  \* @type: Int;
  VOUCH,        \* F + 1
  \* @type: Bool;
  EARLY,        \* (twin) a record is taken when notarized
  \* @type: Bool;
  KEEP,         \* whoever holds record t + 1 never votes in term t
  \* @type: Bool;
  GOON          \* term 2 goes on to vote on term 3 (a bound of the instance)
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
  rec,          \* record held: 0 = the genesis of term 1
  \* @type: Int -> (Str -> Int);
  second        \* second[r][h]: the record of term 3 that h voted for in r's instance (0 = none)
vars == <<par, anc, votes, last, lock, rec, second>>
V1 == Both \union Odd
Members == V1 \union Even \union Late
V(r) == IF r % 2 = 1 THEN Both \union Odd ELSE Both \union Even
Blocks0 == {0} \union Blocks
Ht(b) == Cardinality(anc[b])
Ntz(b) == IF b = 0 THEN TRUE
          ELSE par[b] # -1 /\ Cardinality({h \in V1 : b \in votes[h]}) + F >= Q
Init ==
  /\ par = [b \in Blocks0 |-> -1] /\ anc = [b \in Blocks0 |-> {}]
  /\ votes = [h \in V1 |-> {}] /\ last = [h \in V1 |-> 0] /\ lock = [h \in V1 |-> 0]
  /\ rec = [h \in Members |-> 0]
  /\ second = [r \in Blocks |-> [h \in Members |-> 0]]
Vote(h, b, p) ==
  /\ KEEP => rec[h] = 0
  /\ b > last[h] /\ p < b /\ par[b] \in {-1, p} /\ Ntz(p) /\ Ht(p) >= lock[h]
  /\ par' = [par EXCEPT ![b] = p]
  /\ anc' = [anc EXCEPT ![b] = anc[p] \union {p}]
  /\ votes' = [votes EXCEPT ![h] = @ \union {b}]
  /\ last' = [last EXCEPT ![h] = b]
  /\ lock' = [lock EXCEPT ![h] = IF Ht(p) > @ THEN Ht(p) ELSE @]
  /\ UNCHANGED <<rec, second>>
Final(m) ==
  /\ m # 0 /\ par[m] # -1 /\ Ntz(m) /\ par[m] = m - 1
  /\ \E c \in Blocks : par[c] = m /\ c = m + 1 /\ Ntz(c)
FinalRecs == { r \in Blocks : par[r] = 0 /\ \E m \in Blocks : Final(m) /\ r \in anc[m] \union {m} }
Take(h, r) ==
  /\ rec[h] = 0 /\ h \notin Late
  /\ r \in FinalRecs \/ (EARLY /\ par[r] = 0 /\ Ntz(r))
  /\ rec' = [rec EXCEPT ![h] = r]
  /\ UNCHANGED <<par, anc, votes, last, lock, second>>
\* liars vouch for any candidate record, final or not
CatchUp(h, r) ==
  /\ h \in Late /\ rec[h] = 0
  /\ par[r] = 0 \/ F >= VOUCH
  /\ Cardinality({ g \in V1 : rec[g] = r }) + F >= VOUCH
  /\ rec' = [rec EXCEPT ![h] = r]
  /\ UNCHANGED <<par, anc, votes, last, lock, second>>
VoteNext(h, r, x) ==
  /\ GOON /\ rec[h] = r /\ h \in V(r) /\ second[r][h] = 0
  /\ second' = [second EXCEPT ![r][h] = x]
  /\ UNCHANGED <<par, anc, votes, last, lock, rec>>
Next == \/ \E h \in V1, b \in Blocks, p \in Blocks0 : Vote(h, b, p)
        \/ \E h \in Members, r \in Blocks : \/ Take(h, r) \/ CatchUp(h, r)
                                            \/ \E x \in {1, 2} : VoteNext(h, r, x)
Spec == Init /\ [][Next]_vars
------------------------------------------------------------------------------
\* inductive invariant, lemma by lemma
TypeOK ==
  /\ par \in [Blocks0 -> {-1} \union Blocks0] /\ anc \in [Blocks0 -> SUBSET Blocks0]
  /\ votes \in [V1 -> SUBSET Blocks] /\ last \in [V1 -> Blocks0] /\ lock \in [V1 -> Blocks0]
  /\ rec \in [Members -> Blocks0] /\ second \in [Blocks -> [Members -> {0, 1, 2}]]
\* term 1: as in Term
Voting ==
  /\ par[0] = -1 /\ anc[0] = {}
  /\ \A b \in Blocks :
       IF par[b] = -1 THEN anc[b] = {} /\ \A h \in V1 : b \notin votes[h]
       ELSE par[b] < b /\ Ntz(par[b]) /\ anc[b] = anc[par[b]] \union {par[b]}
  /\ \A h \in V1 : /\ \A b \in votes[h] : b <= last[h] /\ Ht(par[b]) <= lock[h]
                   /\ \A b, c \in votes[h] : b < c => Ht(par[b]) <= Ht(par[c])
\* who holds a record holds a final one
Held == \A h \in Members : rec[h] # 0 => rec[h] \in FinalRecs
\* who votes in a record's instance holds that record
Counted == \A r \in Blocks, h \in Members : second[r][h] # 0 => rec[h] = r /\ h \in V(r)
IndInv == TypeOK /\ Voting /\ Held /\ Counted
------------------------------------------------------------------------------
Second(r, x) == Cardinality({h \in V(r) : second[r][h] = x}) + F >= Q
TermAgreement == \A r1, r2 \in FinalRecs : r1 = r2
RoleAgreement == \A g, h \in Members : rec[g] # 0 /\ rec[h] # 0 => rec[g] = rec[h]
NextAgreement == \A r1, r2 \in Blocks, x1, x2 \in {1, 2} :
                   Second(r1, x1) /\ Second(r2, x2) => r1 = r2 /\ x1 = x2
\* whoever holds record t + 1 never votes in term t
NoOldVotes == [][\A h \in V1 : votes'[h] # votes[h] => rec[h] = 0]_vars
\* witnesses
NeverVote      == \A h \in V1 : votes[h] = {}
NeverTake      == \A h \in Members \ Late : rec[h] = 0
NeverCatchUp   == \A h \in Late : rec[h] = 0
NeverSecond    == \A r \in Blocks : \A x \in {1, 2} : ~Second(r, x)
NeverStraggler == ~ \E h \in V1 : rec[h] = 0 /\ (\E g \in Members : rec[g] # 0) /\ \E b \in votes[h] : Final(b - 1)
==============================================================================
