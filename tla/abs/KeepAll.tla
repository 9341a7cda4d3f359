------------------------------- MODULE KeepAll ------------------------------
(***************************************************************************)
(* The network that erases nothing it ever learnt about a message: the     *)
(* same steps as Purge, but every node keeps for ever that it had a        *)
(* receipt (told) or gave a copy up (dropped), and there is no time.       *)
(* CompactionSafe: Purge, which erases its receipts, behaves as some run   *)
(* of this specification, that is, forgetting is never seen.               *)
(***************************************************************************)
CONSTANTS
  \* @type: Set(Str);
  Nodes

VARIABLES
  \* @type: Set(Str);
  copy,
  \* @type: Set(Str);
  dropped,
  \* @type: Set(Str);
  told,
  \* @type: Bool;
  receipt

vars == <<copy, dropped, told, receipt>>

Init == copy = {} /\ dropped = {} /\ told = {} /\ receipt = FALSE

\* Taking a copy: only what was neither had nor is known to be over.
Take(n) ==
  /\ n # "r" /\ n \notin copy \union dropped \union told
  /\ copy' = copy \union {n} /\ UNCHANGED <<dropped, told, receipt>>
\* Given up for its age; it is not taken again.
Drop(n) ==
  /\ n \in copy
  /\ copy' = copy \ {n} /\ dropped' = dropped \union {n} /\ UNCHANGED <<told, receipt>>
\* The recipient takes the message, once.
Open ==
  /\ "r" \notin told
  /\ told' = told \union {"r"} /\ receipt' = TRUE /\ UNCHANGED <<copy, dropped>>
\* The receipt arrives, at a holder or at the sender, once.
Learn(n) ==
  /\ receipt /\ n \notin told /\ (n \in copy \/ n = "s")
  /\ copy' = copy \ {n} /\ told' = told \union {n}
  /\ dropped' = IF n \in copy THEN dropped \union {n} ELSE dropped
  /\ UNCHANGED receipt

Next == Open \/ \E n \in Nodes : Take(n) \/ Drop(n) \/ Learn(n)
Spec == Init /\ [][Next]_vars

NeverTwice == copy \intersect (dropped \union told) = {}
=============================================================================
