-------------------------------- MODULE Term ---------------------------------
(* One term of a subnet: the validators agree on the next record with a       *)
(* single-instance Streamlet whose block 0 (slot 0) is the present record.    *)
(*                                                                            *)
(* This is the tractable model.  It has neither messages nor clocks:          *)
(* - a validator that votes must have seen its parent's quorum; whatever else *)
(*   it has or has not received, the only memory that binds it is what is on  *)
(*   disk: the last slot it voted in and the greatest height of a parent it   *)
(*   voted for (`last`, `lock`).  Loss, delay, duplication, reordering and    *)
(*   partition only decide what a validator knows, so they are all covered:   *)
(*   the model allows every vote that some knowledge would allow.             *)
(* - votes of different validators interleave freely, so two validators may   *)
(*   be any number of slots apart (skewed clocks).                            *)
(* - the votes of the F liars count for every block, in any number.  Every    *)
(*   slot may be led by a liar, who may propose VARIANTS different blocks,    *)
(*   early, late, to some or not at all; an honest leader's behaviours are    *)
(*   among these.                                                             *)
(* TermKnow, with explicit knowledge, clocks and crashes, refines this model. *)
(* Rules: TOM-ROLES-030 .. 039 (vote rule), 040 .. 045 (finality).           *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Honest,
  \* @type: Int;
  F,            \* liars
  \* @type: Int;
  S,            \* slots
  \* @type: Int;
  Q,            \* quorum
  \* @type: Int;
  VARIANTS,     \* blocks a slot; 2 = the leader may equivocate
  \* @type: Set(Int);
  Slots,        \* 1..S, literal for Apalache
  \* @type: Set(Int);
  Blocks,       \* 1..VARIANTS*S
  \* --- one switch a rule; each twin turns exactly one
  \* @type: Int;
  RUN,          \* consecutive notarized blocks that make the middle one final: 3
  \* @type: Bool;
  LOCK,         \* vote only on a longest notarized chain you know
  \* @type: Bool;
  RISING,       \* vote only above every slot you ever voted in
  \* @type: Bool;
  DISKLAST,     \* the last slot voted survives a crash
  \* @type: Bool;
  DISKLOCK,     \* the tip voted on survives a crash
  \* @type: Bool;
  TRACE
VARIABLES
  \* @type: Int -> Int;
  par,          \* parent of a block, -1 = nobody has voted for it yet
  \* @type: Int -> Set(Int);
  anc,          \* proper ancestors; a block's height is their number
  \* @type: Str -> Set(Int);
  votes,        \* blocks an honest validator has voted for (history)
  \* @type: Str -> Int;
  last,
  \* @type: Str -> Int;
  lock,
  \* @type: $step;
  step
vars == <<par, anc, votes, last, lock, step>>
Blocks0 == {0} \union Blocks
Slot(b) == (b + VARIANTS - 1) \div VARIANTS
Ht(b) == Cardinality(anc[b])
Ntz(b) == IF b = 0 THEN TRUE
          ELSE /\ par[b] # -1
               /\ Cardinality({h \in Honest : b \in votes[h]}) + F >= Q
Said(name, h, b, p) == IF TRACE THEN [name |-> name, node |-> h, block |-> b, parent |-> p] ELSE NoStep
Init ==
  /\ par = [b \in Blocks0 |-> -1]
  /\ anc = [b \in Blocks0 |-> {}]
  /\ votes = [h \in Honest |-> {}]
  /\ last = [h \in Honest |-> 0]
  /\ lock = [h \in Honest |-> 0]
  /\ step = NoStep
\* h votes for block b on parent p; the first vote also publishes b.  Variants are interchangeable: 2 comes after 1.
Vote(h, b, p) ==
  /\ IF RISING THEN Slot(b) > last[h]
     ELSE Slot(b) # last[h] /\ \A c \in votes[h] : Slot(c) # Slot(b)
  /\ Slot(p) < Slot(b)
  /\ \/ par[b] = p
     \/ /\ par[b] = -1
        /\ IF b > 1 /\ Slot(b - 1) = Slot(b) THEN par[b - 1] # -1 ELSE TRUE
  /\ Ntz(p)
  /\ LOCK => Ht(p) >= lock[h]
  /\ par' = [par EXCEPT ![b] = p]
  /\ anc' = [anc EXCEPT ![b] = anc[p] \union {p}]
  /\ votes' = [votes EXCEPT ![h] = @ \union {b}]
  /\ last' = [last EXCEPT ![h] = IF Slot(b) > @ THEN Slot(b) ELSE @]
  /\ lock' = [lock EXCEPT ![h] = IF Ht(p) > @ THEN Ht(p) ELSE @]
  /\ step' = Said("Vote", h, b, p)
\* a crash and a restart from a disk that lacks something; with everything on disk nothing changes
Forget(h) ==
  /\ (~DISKLAST /\ last[h] # 0) \/ (~DISKLOCK /\ lock[h] # 0)
  /\ last' = IF DISKLAST THEN last ELSE [last EXCEPT ![h] = 0]
  /\ lock' = IF DISKLOCK THEN lock ELSE [lock EXCEPT ![h] = 0]
  /\ step' = Said("Forget", h, 0, 0)
  /\ UNCHANGED <<par, anc, votes>>
Next == \E h \in Honest :
          \/ \E b \in Blocks, p \in Blocks0 : Vote(h, b, p)
          \/ Forget(h)
Spec == Init /\ [][Next]_vars
------------------------------------------------------------------------------
\* m is final: the middle of RUN notarized blocks of consecutive slots (the present record counts as slot 0)
Final(m) ==
  /\ m # 0 /\ par[m] # -1 /\ Ntz(m)
  /\ \E c \in Blocks : par[c] = m /\ Slot(c) = Slot(m) + 1 /\ Ntz(c)
  /\ RUN = 3 => Slot(par[m]) = Slot(m) - 1
Finals == { m \in Blocks : Final(m) }
\* the first block of m's chain carries the new record
Rec(m) == { b \in anc[m] \union {m} : Ht(b) = 1 }
TermAgreement  == LET X == Finals IN \A m1, m2 \in X : Rec(m1) = Rec(m2)
ChainAgreement == LET X == Finals IN \A m1, m2 \in X : m1 = m2 \/ m1 \in anc[m2] \/ m2 \in anc[m1]
VoteOnce == \A h \in Honest : \A b, c \in votes[h] : Slot(b) = Slot(c) => b = c
\* slots only rise (an action property)
VoteRising == [][\A h \in Honest : \A b \in votes'[h] \ votes[h] : \A c \in votes[h] : Slot(b) > Slot(c)]_vars
------------------------------------------------------------------------------
\* inductive invariant, lemma by lemma
TypeOK ==
  /\ par \in [Blocks0 -> {-1} \union Blocks0] /\ anc \in [Blocks0 -> SUBSET Blocks0]
  /\ votes \in [Honest -> SUBSET Blocks]
  /\ last \in [Honest -> {0} \union Slots] /\ lock \in [Honest -> {0} \union Slots]
\* L1: a tree whose inner blocks are notarized and whose slots rise
Tree ==
  /\ par[0] = -1 /\ anc[0] = {}
  /\ \A b \in Blocks :
       IF par[b] = -1 THEN anc[b] = {} /\ \A h \in Honest : b \notin votes[h]
       ELSE Slot(par[b]) < Slot(b) /\ Ntz(par[b]) /\ anc[b] = anc[par[b]] \union {par[b]}
\* L2: what is on disk is what was voted
OnDisk == \A h \in Honest :
  /\ \A b \in votes[h] : Slot(b) <= last[h] /\ Ht(par[b]) <= lock[h]
  /\ last[h] = 0 \/ \E b \in votes[h] : Slot(b) = last[h]
  /\ lock[h] = 0 \/ \E b \in votes[h] : Ht(par[b]) = lock[h]
\* L3: later votes are for parents at least as high
Monotone == \A h \in Honest : \A b, c \in votes[h] : Slot(b) < Slot(c) => Ht(par[b]) <= Ht(par[c])
IndInv == TypeOK /\ Tree /\ OnDisk /\ VoteOnce /\ Monotone
\* what the lemmas give, for every state that satisfies them
Safety == TermAgreement /\ ChainAgreement
------------------------------------------------------------------------------
\* witnesses, expected to be violated
NeverVote    == \A h \in Honest : votes[h] = {}
NeverForget  == step.name # "Forget"
NeverFinal   == Finals = {}
NeverLate    == ~ \E m \in Finals : Slot(m) = S - 1 /\ \A x \in Rec(m) : Slot(x) = S - 2
NeverTwoRecs == ~ \E a, b \in Blocks : a # b /\ Ntz(a) /\ Ntz(b) /\ par[a] = 0 /\ par[b] = 0
==============================================================================
