------------------------------ MODULE TermLive -------------------------------
(* One term ends.  The first G slots are a storm, as in TermSlot: anything    *)
(* can be lost or late.  Then the network is stable: what an honest validator *)
(* knows, all have within the slot.  Away validators are silent for good;     *)
(* liars may propose anything, and vote or show their votes to whom they      *)
(* like, whenever they like.                                                  *)
(* - leaders: `order`, round and round, each for TURN consecutive slots (2);  *)
(* - `ntz`: blocks that have a quorum if the liars show their votes; `open`:  *)
(*   those that every honest validator knows.  In a slot of an honest leader  *)
(*   the liars may show one hidden block to some validators after the         *)
(*   proposal went out (Surprise); it is known to all in the next slot.       *)
(* Rules: TOM-ROLES-018, 019 .. 022, 041.                                    *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Honest,
  \* @type: Set(Str);
  Away,
  \* @type: Set(Str);
  Liars,
  \* @type: Int;
  Q,
  \* @type: Int;
  G,
  \* @type: Int;
  S,
  \* @type: Int;
  TURN,
  \* @type: Set(Int);
  Places,       \* 0..n-1
  \* @type: Set(Int);
  Blocks        \* 1..2*S
VARIABLES
  \* @type: Int -> Str;
  order,
  \* @type: Int;
  slot,
  \* @type: Set(Int);
  ntz,
  \* @type: Set(Int);
  open,
  \* @type: Int -> Int;
  par,
  \* @type: Int -> Set(Int);
  anc,
  \* @type: Str -> Int;
  lock
vars == <<order, slot, ntz, open, par, anc, lock>>
All == Honest \union Away \union Liars
F == Cardinality(Liars)
Blocks0 == {0} \union Blocks
Slot(b) == (b + 1) \div 2
Ht(b) == Cardinality(anc[b])
Max(a, b) == IF a > b THEN a ELSE b
Leader(s) == order[((s - 1) \div TURN) % Cardinality(All)]
Init ==
  /\ order \in { o \in [Places -> All] : \A i, j \in Places : i # j => o[i] # o[j] }
  /\ slot = 0 /\ ntz = {0} /\ open = {0}
  /\ par = [b \in Blocks0 |-> -1] /\ anc = [b \in Blocks0 |-> {}]
  /\ lock = [h \in Honest |-> 0]
\* voters V1, V2 for the two variants; opened: blocks that become known to all by the next slot
Round(V1, p1, V2, p2, shown) ==
  LET b1 == 2*slot + 1  b2 == 2*slot + 2
      n1 == V1 # {} /\ Cardinality(V1) + F >= Q
      n2 == V2 # {} /\ Cardinality(V2) + F >= Q
      o1 == Cardinality(V1) >= Q
  IN /\ slot' = slot + 1
     /\ ntz' = ntz \union (IF n1 THEN {b1} ELSE {}) \union (IF n2 THEN {b2} ELSE {})
     /\ par' = [b \in Blocks0 |-> IF b = b1 /\ n1 THEN p1 ELSE IF b = b2 /\ n2 THEN p2 ELSE par[b]]
     /\ anc' = [b \in Blocks0 |-> IF b = b1 /\ n1 THEN anc[p1] \union {p1}
                                  ELSE IF b = b2 /\ n2 THEN anc[p2] \union {p2} ELSE anc[b]]
     /\ lock' = [h \in Honest |-> IF h \in V1 THEN Max(lock[h], Ht(p1))
                                  ELSE IF h \in V2 THEN Max(lock[h], Ht(p2)) ELSE lock[h]]
     /\ open' = open \union shown \union (IF n1 /\ o1 THEN {b1} ELSE {})
     /\ UNCHANGED order
Storm ==
  /\ slot < G
  /\ \E V1, V2 \in SUBSET Honest, p1, p2 \in ntz, X \in SUBSET ntz :
       /\ V1 \intersect V2 = {} /\ (V1 = {} => V2 = {})
       /\ (V1 = {} => p1 = 0) /\ (V2 = {} => p2 = 0)
       /\ Leader(slot + 1) \notin Liars => V2 = {}
       /\ Leader(slot + 1) \in Away => V1 = {}
       /\ \A h \in V1 : Ht(p1) >= lock[h]
       /\ \A h \in V2 : Ht(p2) >= lock[h]
       /\ X = {} \/ X = ntz
       /\ Round(V1, p1, V2, p2, X)
\* the network is stable from here.  What honest validators voted on they hold, and pass on.
Known == open \union { b \in ntz : \E c \in ntz : b \in anc[c] /\ c \in open }
Best == { b \in Known : \A c \in Known : Ht(c) <= Ht(b) }
Locked == { h \in Honest : \A b \in Known : Ht(b) < lock[h] }
\* an honest validator's tip is on its disk: it shows it, at the latest when it would have to refuse
Show == { b \in ntz : \E h \in Honest : Ht(b) <= lock[h] }
Calm ==
  /\ slot >= G /\ slot < S /\ Leader(slot + 1) \in Honest
  /\ \E p \in Best, X \in SUBSET (ntz \ Known) :
     \E V \in SUBSET Honest :
       /\ Cardinality(X) <= F            \* what the liars show now
       /\ \A h \in Honest \ V : X # {} /\ \E b \in X : Ht(b) > Ht(p)
       /\ \A h \in V : Ht(p) >= lock[h]
       /\ Round(V, p, {}, 0, X)
\* nobody has shown the tip some validator is locked on: one slot passes, and it is known
Catch ==
  /\ slot >= G /\ slot < S /\ Leader(slot + 1) \in Honest
  /\ Locked # {} /\ Round({}, 0, {}, 0, Show)
Liar ==
  /\ slot >= G /\ slot < S /\ Leader(slot + 1) \in Liars
  /\ \E V1, V2 \in SUBSET Honest, p1, p2 \in ntz, X \in SUBSET (ntz \ Known) :
       /\ V1 \intersect V2 = {} /\ (V1 = {} => V2 = {})
       /\ (V1 = {} => p1 = 0) /\ (V2 = {} => p2 = 0)
       /\ \A h \in V1 : Ht(p1) >= lock[h] /\ \A b \in Known : Ht(b) <= Ht(p1)
       /\ \A h \in V2 : Ht(p2) >= lock[h] /\ \A b \in Known : Ht(b) <= Ht(p2)
       /\ Round(V1, p1, V2, p2, X \union { p \in {p1, p2} : p # 0 })
Silent ==
  /\ slot >= G /\ slot < S /\ Leader(slot + 1) \in Away
  /\ Round({}, 0, {}, 0, {})
Next == Storm \/ Calm \/ Catch \/ Liar \/ Silent
------------------------------------------------------------------------------
Final(m) ==
  /\ m # 0 /\ m \in ntz /\ Slot(par[m]) = Slot(m) - 1
  /\ \E c \in ntz : par[c] = m /\ Slot(c) = Slot(m) + 1
FinalOpen(m) == Final(m) /\ m \in open /\ \E c \in open : par[c] = m /\ Slot(c) = Slot(m) + 1
Ended == \E m \in Blocks : FinalOpen(m)
\* the bound, as an invariant: by slot S everybody holds a proof of finality
EndedInTime == slot < S \/ Ended
NeverSurprise == slot < S \/ \E m \in Blocks : Final(m) /\ Slot(m) <= G + 2
NeverCatch == ~ (slot >= G /\ Locked # {})
==============================================================================
