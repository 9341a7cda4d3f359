------------------------------ MODULE TermKnow -------------------------------
(* One term with explicit knowledge: what each validator has received, where  *)
(* its clock stands, what is in memory and what is on disk.  It refines Term  *)
(* (checked by TLC: MC_TermKnow!Refines), and its step names are the inputs   *)
(* of the conformance traces.                                                 *)
(* - clocks: each validator walks through the slots on its own, at most SKEW  *)
(*   slots from the others (SKEW = S: any skew);                              *)
(* - network: Learn(h, b) hands h the votes that notarize b, with the chain   *)
(*   below it (a proposal carries its parent's votes).  What is never learnt  *)
(*   is lost or still under way; while a partition lasts, nothing is learnt   *)
(*   across it; so loss, delay, reordering, duplication, partition and heal   *)
(*   are all choices of when Learn happens;                                   *)
(* - liars: F of them, whose votes count for every block.  Any slot may be    *)
(*   led by one, who proposes up to VARIANTS blocks on any notarized block,   *)
(*   in any slot's order, early or late, or none; honest leaders do less;     *)
(* - Restart: crash and restart; memory is lost, the disk stays;              *)
(* - Restore: the disk comes back from a backup; the validator then abstains  *)
(*   until the next record;                                                   *)
(* - Adopt: h holds a proof of finality and takes the new record, and with it *)
(*   the roles; a late joiner is one that learns, and adopts, late.           *)
(* Rules: TOM-ROLES-023 .. 045.                                              *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Honest,
  \* @type: Int;
  F,
  \* @type: Int;
  S,
  \* @type: Int;
  Q,
  \* @type: Int;
  VARIANTS,
  \* @type: Int;
  SKEW,
  \* @type: Set(Int);
  Slots,
  \* @type: Set(Int);
  Blocks,
  \* @type: Set(Str);
  Fragile,      \* the validators that may crash or be restored (a bound of the instance)
  \* --- one switch a rule; each twin turns exactly one
  \* @type: Int;
  RUN,          \* 3
  \* @type: Bool;
  CURRENT,      \* vote only in the current slot
  \* @type: Bool;
  RISING,       \* vote only above every slot ever voted in
  \* @type: Bool;
  LONGEST,      \* vote only for an extension of a longest notarized chain known
  \* @type: Bool;
  DISKLAST,     \* the last slot voted is on disk before the vote leaves
  \* @type: Bool;
  DISKTIP,      \* so is the tip voted on, with its votes
  \* @type: Bool;
  ABSTAIN,      \* a validator restored from a backup does not vote in this term
  \* @type: Bool;
  HOLDS,        \* who holds the next record does not vote in this term
  \* @type: Bool;
  EARLY,        \* (twin) a record is adopted when notarized
  \* @type: Bool;
  TRACE
VARIABLES
  \* @type: Int -> Int;
  par,          \* -1 = not proposed
  \* @type: Int -> Set(Int);
  anc,
  \* @type: Str -> Set(Int);
  votes,        \* history: votes that left an honest validator
  \* @type: Str -> Int;
  clock,
  \* @type: Str -> Set(Int);
  know,         \* blocks whose quorum the validator holds, in memory
  \* @type: Str -> Int;
  last,         \* on disk
  \* @type: Str -> Int;
  tip,          \* on disk, with its chain and votes
  \* @type: Str -> Bool;
  mute,         \* restored from a backup
  \* @type: Str -> Int;
  held,         \* the record adopted; 0 = the present one
  \* @type: $step;
  step
vars == <<par, anc, votes, clock, know, last, tip, mute, held, step>>
Blocks0 == {0} \union Blocks
Slot(b) == (b + VARIANTS - 1) \div VARIANTS
Ht(b) == Cardinality(anc[b])
Ntz(b) == IF b = 0 THEN TRUE
          ELSE /\ par[b] # -1
               /\ Cardinality({h \in Honest : b \in votes[h]}) + F >= Q
Chain(b) == anc[b] \union {b}
Said(name, h, b, p) == IF TRACE THEN [name |-> name, node |-> h, block |-> b, parent |-> p] ELSE NoStep
Init ==
  /\ par = [b \in Blocks0 |-> -1] /\ anc = [b \in Blocks0 |-> {}]
  /\ votes = [h \in Honest |-> {}]
  /\ clock = [h \in Honest |-> 0]
  /\ know = [h \in Honest |-> {0}]
  /\ last = [h \in Honest |-> 0] /\ tip = [h \in Honest |-> 0]
  /\ mute = [h \in Honest |-> FALSE]
  /\ held = [h \in Honest |-> 0]
  /\ step = NoStep
Tick(h) ==
  /\ clock[h] < S
  /\ \A g \in Honest : clock[h] + 1 - clock[g] <= SKEW
  /\ clock' = [clock EXCEPT ![h] = @ + 1]
  /\ step' = Said("Tick", h, 0, 0)
  /\ UNCHANGED <<par, anc, votes, know, last, tip, mute, held>>
\* the leader of b's slot publishes b on p; not before somebody's clock is there
Propose(b, p) ==
  /\ par[b] = -1 /\ Slot(p) < Slot(b) /\ Ntz(p)
  /\ IF b > 1 /\ Slot(b - 1) = Slot(b) THEN par[b - 1] # -1 ELSE TRUE
  /\ \E h \in Honest : clock[h] >= Slot(b)
  /\ par' = [par EXCEPT ![b] = p]
  /\ anc' = [anc EXCEPT ![b] = Chain(p)]
  /\ step' = Said("Propose", "", b, p)
  /\ UNCHANGED <<votes, clock, know, last, tip, mute, held>>
Learn(h, b) ==
  /\ b \notin know[h] /\ Ntz(b) /\ held[h] = 0
  /\ know' = [know EXCEPT ![h] = @ \union Chain(b)]
  /\ step' = Said("Learn", h, b, 0)
  /\ UNCHANGED <<par, anc, votes, clock, last, tip, mute, held>>
\* disk first (last, tip), then the vote leaves: one step, because nobody acts on a vote that has not left
Vote(h, b) ==
  /\ par[b] # -1
  /\ IF CURRENT THEN Slot(b) = clock[h] ELSE Slot(b) <= clock[h]
  /\ IF RISING THEN Slot(b) > last[h]
     ELSE Slot(b) # last[h] /\ \A c \in votes[h] : Slot(c) # Slot(b)
  /\ par[b] \in know[h]
  /\ LONGEST => \A c \in know[h] : Ht(c) <= Ht(par[b])
  /\ ~(ABSTAIN /\ mute[h]) /\ ~(HOLDS /\ held[h] # 0)
  /\ votes' = [votes EXCEPT ![h] = @ \union {b}]
  /\ last' = [last EXCEPT ![h] = IF Slot(b) > @ THEN Slot(b) ELSE @]
  /\ tip' = [tip EXCEPT ![h] = IF Ht(par[b]) > Ht(@) THEN par[b] ELSE @]
  /\ step' = Said("Vote", h, b, par[b])
  /\ UNCHANGED <<par, anc, clock, know, mute, held>>
Restart(h) ==
  /\ h \in Fragile
  /\ LET t == IF DISKTIP THEN tip[h] ELSE 0
         l == IF DISKLAST THEN last[h] ELSE 0
     IN /\ know[h] # Chain(t) \/ tip[h] # t \/ last[h] # l
        /\ know' = [know EXCEPT ![h] = Chain(t)]
        /\ tip' = [tip EXCEPT ![h] = t]
        /\ last' = [last EXCEPT ![h] = l]
  /\ step' = Said("Restart", h, 0, 0)
  /\ UNCHANGED <<par, anc, votes, clock, mute, held>>
\* a backup from before the term; the validator notices (a counter beside the backup, or the clock) and is mute
Restore(h) ==
  /\ h \in Fragile /\ ~mute[h] /\ last[h] # 0 /\ held[h] = 0
  /\ know' = [know EXCEPT ![h] = {0}]
  /\ tip' = [tip EXCEPT ![h] = 0]
  /\ last' = [last EXCEPT ![h] = 0]
  /\ mute' = [mute EXCEPT ![h] = TRUE]
  /\ step' = Said("Restore", h, 0, 0)
  /\ UNCHANGED <<par, anc, votes, clock, held>>
Rec(m) == { b \in Chain(m) : Ht(b) = 1 }
\* the proof of finality of m, out of the blocks K
FinalIn(m, K) ==
  /\ m # 0 /\ m \in K
  /\ \E c \in K : par[c] = m /\ Slot(c) = Slot(m) + 1
  /\ RUN = 3 => Slot(par[m]) = Slot(m) - 1
Adopt(h, r) ==
  /\ held[h] = 0
  /\ \E m \in Blocks : r \in Rec(m) /\ (FinalIn(m, know[h]) \/ (EARLY /\ m \in know[h]))
  /\ held' = [held EXCEPT ![h] = r]
  /\ step' = Said("Adopt", h, r, 0)
  /\ UNCHANGED <<par, anc, votes, clock, know, last, tip, mute>>
Next ==
  \/ \E b \in Blocks, p \in Blocks0 : Propose(b, p)
  \/ \E h \in Honest : Tick(h) \/ Restart(h) \/ Restore(h)
  \/ \E h \in Honest, b \in Blocks : Learn(h, b) \/ Vote(h, b) \/ Adopt(h, b)
Spec == Init /\ [][Next]_vars
------------------------------------------------------------------------------
Ntzd == { b \in Blocks0 : Ntz(b) }
Finals == LET K == Ntzd IN { m \in K : FinalIn(m, K) }
TermAgreement  == LET X == Finals IN \A m1, m2 \in X : Rec(m1) = Rec(m2)
ChainAgreement == LET X == Finals IN \A m1, m2 \in X : m1 = m2 \/ m1 \in anc[m2] \/ m2 \in anc[m1]
\* roles are a function of the record held (Draft!NoSelfSelection), so equal records are equal roles
RoleAgreement  == \A g, h \in Honest : held[g] # 0 /\ held[h] # 0 => held[g] = held[h]
OncePerSlot    == \A h \in Honest : \A b, c \in votes[h] : Slot(b) = Slot(c) => b = c
\* at most one vote a slot, in the current slot, slots rising, also across a crash
VoteOnce == [][\A h \in Honest : \A b \in votes'[h] \ votes[h] :
                 Slot(b) = clock[h] /\ \A c \in votes[h] : Slot(b) > Slot(c)]_vars
\* the disk never knows less than was voted, unless the validator is mute
DiskFirst == \A h \in Honest : mute[h] \/
               \A b \in votes[h] : Slot(b) <= last[h] /\ Ht(par[b]) <= Ht(tip[h])
KnowledgeSound == \A h \in Honest : \A b \in know[h] : Ntz(b) /\ Chain(b) \subseteq know[h]
------------------------------------------------------------------------------
\* reachability witnesses, expected to be violated
NeverTick    == \A h \in Honest : clock[h] = 0
NeverPropose == \A b \in Blocks : par[b] = -1
NeverLearn   == \A h \in Honest : know[h] = {0}
NeverVote    == \A h \in Honest : votes[h] = {}
NeverRestore == \A h \in Honest : ~mute[h]
NeverAdopt   == \A h \in Honest : held[h] = 0
\* somebody lost from memory what it had learnt but not voted on
NeverRestart == [][\A h \in Honest : know[h] \subseteq know'[h] \/ mute'[h]]_vars
NeverSkew    == \A g, h \in Honest : clock[g] - clock[h] <= 1
==============================================================================
