----------------------------- MODULE MC_TraceTerm -----------------------------
(* Whether logs of real validators are behaviours of TermKnow: each entry     *)
(* must be that very step of the model, and leave what the validator had on   *)
(* its disk.  TheLogs, one log a term, is a constant that the runner writes   *)
(* into a module of its own (python -m tla.runner validate).  TLC says which  *)
(* logs it could follow to their end, and at which entry of the others no     *)
(* step of the model is left.                                                 *)
(* - A block is called by its slot: nobody lies, so a slot has one.           *)
(* - What a validator knew already it may learn again, and a restart that     *)
(*   lost nothing is no step: neither changes the state.                      *)
EXTENDS TermKnow, Sequences, TLC
CONSTANT TheLogs
VARIABLES run, at       \* which log; the entry to come
TraceSlots == 1..S
OnDisk(e) == last'[e.node] = e.last /\ Cardinality(anc'[tip'[e.node]]) = e.lock
\* an entry about a restart is written after the first step that follows it, in which the lock may rise
Restored(e) == last'[e.node] = e.last /\ Cardinality(anc'[tip'[e.node]]) <= e.lock
Nothing == UNCHANGED vars
Lost(h) == know[h] # Chain(tip[h])
Explains(e) ==
  \/ e.name = "Tick" /\ Tick(e.node) /\ clock'[e.node] = e.slot
  \/ e.name = "Propose" /\ Propose(e.block, e.parent)
  \/ e.name = "Learn" /\ IF e.block \in know[e.node] THEN Nothing ELSE Learn(e.node, e.block)
  \/ e.name = "Vote" /\ par[e.block] = e.parent /\ Vote(e.node, e.block) /\ OnDisk(e)
  \/ e.name = "Restart" /\ (IF Lost(e.node) THEN Restart(e.node) ELSE Nothing) /\ Restored(e)
  \/ e.name = "Adopt" /\ Adopt(e.node, e.block)
TraceInit == Init /\ run \in 1..Len(TheLogs) /\ at = 1
TraceNext == /\ at <= Len(TheLogs[run]) /\ at' = at + 1 /\ UNCHANGED run
             /\ Explains(TheLogs[run][at])
Ended == at > Len(TheLogs[run])
Tell == /\ Ended => PrintT(<<"explained", run>>)
        /\ ~Ended /\ ~ENABLED TraceNext => PrintT(<<"refused", run, at>>)
==============================================================================
