-------------------------------- MODULE Moves --------------------------------
(* Forks: moves, child geneses, and who acts where.                           *)
(* Parent: its present record may still become "next record final" from votes *)
(* cast before the moves, which can be delayed but not recalled; one abstract *)
(* completing vote a member (Term covers the rest).  Then a second term of    *)
(* the parent runs.                                                           *)
(* Children: attempts 1, 2, ..; the founder of an attempt is drawn, so any    *)
(* member, liars included.  An honest founder issues one genesis an attempt   *)
(* and lists members whose move for that attempt it received; a liar issues   *)
(* any number, with any of the signers (it can't forge a move).               *)
(* Crash, Restart: a member is away for as long as it likes, and comes back   *)
(* with what is on disk, the moves it signed and its home; the others go on.  *)
(* Heal: a member whose child dissolves leaves it, by signature, and joins    *)
(* another.                                                                   *)
(* Rules: TOM-ROLES-088 .. 108.                                              *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Honest,
  \* @type: Set(Str);
  Liars,
  \* @type: Int;
  Q,            \* quorum of the parent
  \* @type: Set(Int);
  Attempts,
  \* @type: Int;
  MIN,          \* smallest member set of a child
  \* @type: Bool;
  HEALS,        \* the instance has the Heal action
  \* @type: Set(Str);
  Crashers,     \* honest members that may crash and restart
  \* --- one switch a rule; each twin turns exactly one
  \* @type: Bool;
  RESIGN,       \* who has signed a move never votes in that parent again
  \* @type: Bool;
  CANCEL,       \* a move cancels its signer's listing in the parent's next record
  \* @type: Bool;
  LATEST,       \* follow only a child of the latest attempt signed, and one of these
  \* @type: Bool;
  DISKMOVE,     \* moves and home are on disk
  \* @type: Bool;
  LEAVES        \* on healing, a member leaves its child for good before it joins the other
VARIABLES
  \* @type: Int -> Str;
  founder,
  \* @type: Set(Str);
  voted,        \* cast the parent's completing vote
  \* @type: Str -> Int;
  top,          \* latest attempt signed, as the member knows it
  \* @type: Str -> Set(Int);
  signed,       \* history of moves
  \* @type: Set(Str);
  clean,        \* had not cast the completing vote when it first moved (history)
  \* @type: Set($genesis);
  gen,
  \* @type: Str -> $genesis;
  home,
  \* @type: Str -> Set($genesis);
  gone,         \* homes the member has left by signature (history)
  \* @type: Str -> Set($act);
  acts,         \* where the member has acted (history)
  \* @type: Set(Str);
  down          \* members that crashed and have not restarted
vars == <<founder, voted, top, signed, clean, gen, home, gone, acts, down>>
All == Honest \union Liars
N == Cardinality(All)
Parent == [att |-> 0, who |-> All]
Nowhere == [att |-> -1, who |-> {}]
Act(g, t) == [att |-> g.att, who |-> g.who, term |-> t]
ParentFinal == Cardinality(voted) + Cardinality(Liars) >= Q
Init ==
  /\ founder \in [Attempts -> All]
  /\ voted = {} /\ clean = {} /\ gen = {}
  /\ top = [h \in Honest |-> 0] /\ signed = [h \in Honest |-> {}]
  /\ home = [h \in Honest |-> Parent] /\ gone = [h \in Honest |-> {}]
  /\ acts = [h \in Honest |-> {}] /\ down = {}
InParent(h) == home[h] = Parent \/ ~RESIGN
VoteParent(h) ==
  /\ h \notin down /\ h \notin voted /\ InParent(h)
  /\ voted' = voted \union {h}
  /\ acts' = [acts EXCEPT ![h] = @ \union {Act(Parent, 1)}]
  /\ UNCHANGED <<founder, top, signed, clean, gen, home, gone, down>>
\* the parent's next term, by whoever its next record still lists
VoteNext(h) ==
  /\ h \notin down /\ ParentFinal /\ (home[h] = Parent \/ ~CANCEL)
  /\ Act(Parent, 2) \notin acts[h]
  /\ acts' = [acts EXCEPT ![h] = @ \union {Act(Parent, 2)}]
  /\ UNCHANGED <<founder, voted, top, signed, clean, gen, home, gone, down>>
\* the member sees no live quorum at home, and signs a later attempt; its home until then is left
Sign(h, a) ==
  /\ h \notin down /\ a > top[h] /\ a \notin signed[h]
  /\ top' = [top EXCEPT ![h] = a]
  /\ signed' = [signed EXCEPT ![h] = @ \union {a}]
  /\ clean' = IF signed[h] = {} /\ h \notin voted THEN clean \union {h} ELSE clean
  /\ gone' = [gone EXCEPT ![h] = @ \union {home[h]}]
  /\ home' = [home EXCEPT ![h] = Nowhere]
  /\ UNCHANGED <<founder, voted, gen, acts, down>>
Movers(a) == { h \in Honest : a \in signed[h] } \union Liars
Found(a, W) ==
  /\ Cardinality(W) >= MIN /\ W \subseteq Movers(a)
  /\ [att |-> a, who |-> W] \notin gen
  /\ founder[a] \in Honest => /\ founder[a] \in W /\ founder[a] \notin down
                              /\ \A g \in gen : g.att # a
  /\ gen' = gen \union {[att |-> a, who |-> W]}
  /\ UNCHANGED <<founder, voted, top, signed, clean, home, gone, acts, down>>
Follow(h, g) ==
  /\ h \notin down /\ g \in gen /\ h \in g.who /\ g \notin gone[h]
  /\ IF LATEST THEN g.att = top[h] /\ home[h] = Nowhere ELSE g.att \in signed[h] /\ home[h] # g
  /\ home' = [home EXCEPT ![h] = g]
  /\ UNCHANGED <<founder, voted, top, signed, clean, gen, gone, acts, down>>
VoteChild(h) ==
  /\ h \notin down /\ home[h].att > 0 /\ Act(home[h], 1) \notin acts[h]
  /\ acts' = [acts EXCEPT ![h] = @ \union {Act(home[h], 1)}]
  /\ UNCHANGED <<founder, voted, top, signed, clean, gen, home, gone, down>>
Heal(h, g) ==
  /\ HEALS /\ h \notin down /\ home[h].att > 0 /\ g \in gen /\ g # home[h] /\ g \notin gone[h]
  /\ gone' = IF LEAVES THEN [gone EXCEPT ![h] = @ \union {home[h]}] ELSE gone
  /\ home' = [home EXCEPT ![h] = g]
  /\ UNCHANGED <<founder, voted, top, signed, clean, gen, acts, down>>
Crash(h) ==
  /\ h \in Crashers /\ h \notin down
  /\ down' = down \union {h}
  /\ UNCHANGED <<founder, voted, top, signed, clean, gen, home, gone, acts>>
\* from disk; with nothing there it believes that it never left the parent
Restart(h) ==
  /\ h \in down
  /\ down' = down \ {h}
  /\ IF DISKMOVE THEN UNCHANGED <<home, top>>
     ELSE home' = [home EXCEPT ![h] = Parent] /\ top' = [top EXCEPT ![h] = 0]
  /\ UNCHANGED <<founder, voted, signed, clean, gen, gone, acts>>
Next ==
  \/ \E a \in Attempts, W \in SUBSET All : Found(a, W)
  \/ \E h \in Honest : \/ VoteParent(h) \/ VoteNext(h) \/ VoteChild(h)
                       \/ Crash(h) \/ Restart(h)
                       \/ \E a \in Attempts : Sign(h, a)
                       \/ \E a \in Attempts, W \in SUBSET All : Follow(h, [att |-> a, who |-> W])
                       \/ \E a \in Attempts, W \in SUBSET All : Heal(h, [att |-> a, who |-> W])
Spec == Init /\ [][Next]_vars
------------------------------------------------------------------------------
Same(x, g) == x.att = g.att /\ x.who = g.who
\* a member acts only where it has not left, and has left every other place where it acted
NoSplitBrain == [][\A h \in Honest : \A x \in acts'[h] \ acts[h] :
   /\ \A g \in gone[h] : ~Same(x, g)
   /\ \A y \in acts[h] : (x.att = y.att /\ x.who = y.who) \/ \E g \in gone[h] : Same(y, g)]_vars
\* who has moved is out of the parent for ever
NeverBack == \A h \in Honest : signed[h] # {} => home[h] # Parent
\* enough movers without a completing vote end the parent for good; nothing less does
MoveEndsParent == Cardinality(clean) >= N - Q + 1 => ~ParentFinal
NaiveEndsParent == Cardinality({ h \in Honest : signed[h] # {} }) >= N - Q + 1 => ~ParentFinal
\* an honest founder founds once an attempt
OneGenesis == \A g1, g2 \in gen : g1.att = g2.att /\ founder[g1.att] \in Honest => g1 = g2
\* a child is made of those who asked for it
MoversOnly == \A g \in gen : \A h \in g.who \intersect Honest : g.att \in signed[h]
------------------------------------------------------------------------------
\* inductive invariant, lemma by lemma (without healing)
\* the moves on disk are the moves signed
TopSigned == \A h \in Honest : /\ \A a \in signed[h] : a <= top[h]
                               /\ IF signed[h] = {} THEN top[h] = 0 ELSE top[h] \in signed[h]
\* home is the parent exactly as long as nothing is signed; a child is of the latest attempt
AtHome == \A h \in Honest : /\ (home[h] = Parent) <=> (signed[h] = {})
                            /\ home[h].att > 0 => home[h] \in gen /\ home[h].att = top[h] /\ h \in home[h].who
\* what a member left is behind its latest move, and it acted nowhere else but at home
LeftBehind == \A h \in Honest :
  /\ signed[h] # {} => Parent \in gone[h]
  /\ \A g \in gone[h] : g = Nowhere \/ (g = Parent /\ signed[h] # {}) \/ (g.att > 0 /\ g.att < top[h])
  /\ \A x \in acts[h] : Same(x, home[h]) \/ \E g \in gone[h] : Same(x, g)
CleanMovers == /\ \A h \in clean : signed[h] # {}
               /\ clean \intersect voted = {}
Away == down \subseteq Crashers
IndInv == Away /\ TopSigned /\ AtHome /\ LeftBehind /\ CleanMovers /\ MoversOnly /\ OneGenesis
------------------------------------------------------------------------------
NeverVoteParent == voted = {}
NeverVoteNext   == \A h \in Honest : Act(Parent, 2) \notin acts[h]
NeverSign       == \A h \in Honest : signed[h] = {}
NeverFound      == gen = {}
NeverFollow     == \A h \in Honest : home[h].att <= 0
NeverVoteChild  == \A h \in Honest : \A x \in acts[h] : x.att = 0
NeverSecond     == \A h \in Honest : \A x, y \in acts[h] : x.att <= 0 \/ y.att <= x.att
NeverHeal       == \A h \in Honest : \A x \in acts[h] : x.att <= 0 \/ \A y \in acts[h] : y.att # x.att \/ y = x
NeverCrash      == down = {}
\* a member that has moved comes back from a crash
NeverRestart    == [][\A h \in down : h \in down' \/ signed[h] = {}]_vars
NeverTwins      == \A g1, g2 \in gen : g1.att = g2.att => g1 = g2
\* the parent is final although a quorum's worth of its members moved: votes cast before
NeverGhost      == ~(ParentFinal /\ \A h \in Honest : signed[h] # {})
==============================================================================
