------------------------------- MODULE TermSlot ------------------------------
(* Term, reduced, to reach more slots.  A vote in slot s depends only on      *)
(* notarizations of lower slots and on the voter's own earlier votes, so      *)
(* every behaviour of Term (with rising slots) can be reordered slot by slot  *)
(* without changing any vote: swap two neighbouring votes of different        *)
(* validators whenever the later one is for the lower slot; it neither needs  *)
(* nor disables the other.  A block that its slot leaves without a quorum     *)
(* never gets one, so only its effect on the locks stays.                     *)
(* Everything Term says of liars, loss, skew and crashes holds here.  The     *)
(* twin in which old slots may be voted in breaks the reordering, and lives   *)
(* in Term and TermKnow.                                                      *)
(* Rules: TOM-ROLES-030 .. 045.                                              *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Honest,
  \* @type: Int;
  F,            \* liars; they vote for everything
  \* @type: Int;
  S,
  \* @type: Int;
  Q,
  \* @type: Set(Int);
  Blocks,       \* 1..2*S; blocks 2s-1 and 2s are the two variants of slot s
  \* @type: Int;
  RUN,
  \* @type: Bool;
  LOCK,
  \* @type: Bool;
  DISKLOCK,
  \* @type: Bool;
  TRACE
VARIABLES
  \* @type: Int;
  slot,         \* slots done
  \* @type: Set(Int);
  ntz,          \* notarized blocks
  \* @type: Int -> Int;
  par,
  \* @type: Int -> Set(Int);
  anc,
  \* @type: Str -> Int;
  lock,
  \* @type: $step;
  step
vars == <<slot, ntz, par, anc, lock, step>>
Blocks0 == {0} \union Blocks
Slot(b) == (b + 1) \div 2
Ht(b) == Cardinality(anc[b])
Max(a, b) == IF a > b THEN a ELSE b
Said(name, b, p) == IF TRACE THEN [name |-> name, node |-> "", block |-> b, parent |-> p] ELSE NoStep
Init ==
  /\ slot = 0 /\ ntz = {0}
  /\ par = [b \in Blocks0 |-> -1]
  /\ anc = [b \in Blocks0 |-> {}]
  /\ lock = [h \in Honest |-> 0]
  /\ step = NoStep
May(h, p) == LOCK => Ht(p) >= lock[h]
\* voters V1 for variant 1 on parent p1, V2 for variant 2 on parent p2
Round(name, V1, p1, V2, p2) ==
  LET b1 == 2*slot + 1  b2 == 2*slot + 2
      n1 == V1 # {} /\ Cardinality(V1) + F >= Q
      n2 == V2 # {} /\ Cardinality(V2) + F >= Q
  IN /\ p1 \in ntz /\ p2 \in ntz
     /\ \A h \in V1 : May(h, p1)
     /\ \A h \in V2 : May(h, p2)
     /\ slot' = slot + 1
     /\ ntz' = ntz \union (IF n1 THEN {b1} ELSE {}) \union (IF n2 THEN {b2} ELSE {})
     /\ par' = [b \in Blocks0 |-> IF b = b1 /\ n1 THEN p1 ELSE IF b = b2 /\ n2 THEN p2 ELSE par[b]]
     /\ anc' = [b \in Blocks0 |-> IF b = b1 /\ n1 THEN anc[p1] \union {p1}
                                  ELSE IF b = b2 /\ n2 THEN anc[p2] \union {p2} ELSE anc[b]]
     /\ lock' = [h \in Honest |-> IF h \in V1 THEN Max(lock[h], Ht(p1))
                                  ELSE IF h \in V2 THEN Max(lock[h], Ht(p2)) ELSE lock[h]]
     /\ step' = Said(name, b1, p1)
HonestLeads == slot < S /\ \E V \in SUBSET Honest, p \in Blocks0 : Round("HonestLeads", V, p, {}, 0)
LiarLeads   == slot < S /\ F > 0 /\ \E V1, V2 \in SUBSET Honest, p1, p2 \in Blocks0 :
                 V1 # {} /\ V2 # {} /\ V1 \intersect V2 = {} /\ Round("LiarLeads", V1, p1, V2, p2)
Forget(h)   == /\ ~DISKLOCK /\ lock[h] # 0 /\ lock' = [lock EXCEPT ![h] = 0]
               /\ step' = Said("Forget", 0, 0) /\ UNCHANGED <<slot, ntz, par, anc>>
Next == HonestLeads \/ LiarLeads \/ \E h \in Honest : Forget(h)
Spec == Init /\ [][Next]_vars
------------------------------------------------------------------------------
Final(m) ==
  /\ m # 0 /\ m \in ntz
  /\ \E c \in ntz : par[c] = m /\ Slot(c) = Slot(m) + 1
  /\ RUN = 3 => Slot(par[m]) = Slot(m) - 1
Finals == { m \in Blocks : Final(m) }
Rec(m) == { b \in anc[m] \union {m} : Ht(b) = 1 }
TermAgreement  == \A m1, m2 \in Finals : Rec(m1) = Rec(m2)
ChainAgreement == \A m1, m2 \in Finals : m1 = m2 \/ m1 \in anc[m2] \/ m2 \in anc[m1]
\* witnesses, expected to be violated
NeverFinal   == Finals = {}
NeverLiar    == step.name # "LiarLeads"
NeverLate    == ~ \E m \in Finals : Slot(m) = S - 1 /\ \A x \in Rec(m) : Slot(x) = S - 2
\* a first block that was notarized, and lost
NeverLoser   == ~ \E a \in ntz, m \in Finals : a # 0 /\ par[a] = 0 /\ a \notin Rec(m) /\ Slot(a) = 1
\* three first blocks are notarized, three candidate records with public seeds: whoever delays votes picks any
Three == \A b \in {1, 3, 5} : b \in ntz /\ par[b] = 0
NeverPickThird == ~ (Three /\ \E m \in Finals : Rec(m) = {5})
==============================================================================
