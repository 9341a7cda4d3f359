------------------------------ MODULE MovesLive ------------------------------
(* Survivors of a lost quorum find a home again.                              *)
(* - Founder(a) for the attempts is any assignment; from attempt CALM on the  *)
(*   network is stable, and some later attempt has a living founder.          *)
(* - Sign: a member whose home has no live quorum signs the next attempt (or  *)
(*   the highest it has seen) when the present one has timed out.  Before     *)
(*   CALM a time-out may strike at any moment; after it only if the founder   *)
(*   is dead, or founded something without a live quorum.                     *)
(* - Found: the founder lists members whose move it received; before CALM any *)
(*   of them, after it all living ones without a home that have signed.       *)
(* - Join: one left over enters a live child by an ordinary join.             *)
(* Rules: TOM-ROLES-088 .. 104.                                              *)
EXTENDS Integers, FiniteSets, roles_typedefs
CONSTANTS
  \* @type: Set(Str);
  Members,
  \* @type: Int;
  DEATHS,       \* members that may still die on the way (before CALM)
  \* @type: Int;
  LAST,         \* attempts 1..LAST
  \* @type: Set(Int);
  Attempts,
  \* @type: Int;
  CALM,
  \* @type: Str;
  MODE          \* "later": may sign a later attempt; "once" (twin): signs one move only
VARIABLES
  \* @type: Int -> Str;
  founder,
  \* @type: Set(Str);
  alive,
  \* @type: Str -> Int;
  top,
  \* @type: Set($genesis);
  gen,
  \* @type: Str -> $genesis;
  home,
  \* @type: Str -> Set(Int);
  sig
vars == <<founder, alive, top, gen, home, sig>>
Nowhere == [att |-> 0, who |-> {}]
Quorum(n) == IF n = 1 THEN 1 ELSE (2*n + 2) \div 3
Living(g) == { h \in g.who \intersect alive : home[h] = g }
Viable(g) == g.att > 0 /\ Cardinality(Living(g)) >= Quorum(Cardinality(g.who))
Homeless(h) == h \in alive /\ ~Viable(home[h])
Lost == { h \in Members : Homeless(h) }
Geneses(a) == { g \in gen : g.att = a }
Init ==
  /\ founder \in [Attempts -> Members]
  /\ alive = Members
  /\ top = [h \in Members |-> 0] /\ gen = {}
  /\ home = [h \in Members |-> Nowhere] /\ sig = [h \in Members |-> {}]
Die(h) ==
  /\ h \in alive /\ Cardinality(Members \ alive) < DEATHS
  /\ \A m \in Members : top[m] < CALM
  /\ \E a \in Attempts : a >= CALM /\ founder[a] \in alive \ {h}
  /\ alive' = alive \ {h}
  /\ UNCHANGED <<founder, top, gen, home, sig>>
\* the attempt that h is waiting for will not give it a home
Hopeless(h) ==
  \/ top[h] = 0
  \/ founder[top[h]] \notin alive
  \/ top[founder[top[h]]] > top[h]
  \/ \E g \in Geneses(top[h]) : h \notin g.who
  \/ \E g \in Geneses(top[h]) :
       home[h] = g /\ \A m \in g.who \intersect alive : home[m] = g \/ top[m] > g.att
Sign(h, a) ==
  /\ Homeless(h) /\ a > top[h]
  /\ (a = top[h] + 1 \/ \E m \in Members : top[m] = a) = TRUE
  /\ (Hopeless(h) \/ top[h] < CALM \/ \E m \in Members : top[m] = a) = TRUE
  /\ MODE = "once" => sig[h] = {}
  /\ top' = [top EXCEPT ![h] = a]
  /\ sig' = [sig EXCEPT ![h] = @ \union {a}]
  /\ home' = [home EXCEPT ![h] = Nowhere]
  /\ UNCHANGED <<founder, alive, gen>>
Signers(a) == { h \in Members : a \in sig[h] }
Found(a, W) ==
  /\ founder[a] \in alive /\ founder[a] \in W /\ top[founder[a]] = a
  /\ Cardinality(W) >= 2 /\ W \subseteq Signers(a) /\ Geneses(a) = {}
  /\ a >= CALM => W = Lost /\ \A h \in W : top[h] = a
  /\ gen' = gen \union {[att |-> a, who |-> W]}
  /\ UNCHANGED <<founder, alive, top, home, sig>>
Follow(h, g) ==
  /\ g \in gen /\ h \in alive /\ h \in g.who /\ g.att = top[h] /\ home[h] = Nowhere
  /\ home' = [home EXCEPT ![h] = g]
  /\ UNCHANGED <<founder, alive, top, gen, sig>>
Join(h, g) ==
  /\ Homeless(h) /\ Lost = {h} /\ g \in gen /\ Viable(g)      \* also one that lists it: its later move cancelled that
  /\ LET G == [att |-> g.att, who |-> g.who \union {h}]
     IN /\ gen' = (gen \ {g}) \union {G}
        /\ home' = [m \in Members |-> IF m = h \/ home[m] = g THEN G ELSE home[m]]
  /\ UNCHANGED <<founder, alive, top, sig>>
Sets == SUBSET Members
FoundAny == \E a \in Attempts, W \in Sets : Found(a, W)
SignAny(h) == \E a \in Attempts : Sign(h, a)
FollowAny(h) == \E a \in Attempts, W \in Sets : Follow(h, [att |-> a, who |-> W])
JoinAny(h) == \E a \in Attempts, W \in Sets : Join(h, [att |-> a, who |-> W])
Next == FoundAny \/ \E h \in Members : Die(h) \/ SignAny(h) \/ FollowAny(h) \/ JoinAny(h)
------------------------------------------------------------------------------
Alone == Cardinality(alive) = 1
Settled == Lost = {} \/ Alone
\* every attempt from CALM on is good, and the model's last attempt is not spent
InBounds == \E a \in Attempts : a >= CALM /\ founder[a] \in alive /\ \A h \in Members : top[h] <= a
NeverJoin == \A g \in gen : \A h \in g.who : g.att \in sig[h]
NeverDie == alive = Members
NeverSecond == \A h \in Members : Cardinality(sig[h]) <= 1
NeverHome == \A h \in Members : ~Viable(home[h])
==============================================================================
