----------------------------- MODULE PresentOnly ----------------------------
(***************************************************************************)
(* "The network remembers only the present": what the running honest nodes *)
(* together know of a message has an end, by true time, whatever the       *)
(* network, the liars and the crashes do.                                  *)
(*   remembered  some honest node has a trace of the message: a copy, a    *)
(*               receipt, the sender's waiting                             *)
(* Within the window a trace may vanish and come again with a node that    *)
(* heard of the message late; after the window, never.                     *)
(* A network with many messages is the product of such specifications.     *)
(***************************************************************************)
EXTENDS Integers

CONSTANT
  \* @type: Int;
  WINDOW

VARIABLES
  \* @type: Int;
  now,
  \* @type: Bool;
  begun,
  \* @type: Int;
  born,
  \* @type: Bool;
  remembered

vars == <<now, begun, born, remembered>>
Present == begun /\ now <= born + WINDOW

Init == now = 0 /\ begun = FALSE /\ born = 0 /\ remembered = FALSE

Begin == ~begun /\ begun' = TRUE /\ born' = now /\ remembered' = TRUE /\ UNCHANGED now
Forget == remembered /\ remembered' = FALSE /\ UNCHANGED <<now, begun, born>>
Recall == ~remembered /\ Present /\ remembered' = TRUE /\ UNCHANGED <<now, begun, born>>
Tick ==
  /\ now' = now + 1 /\ UNCHANGED <<begun, born>>
  /\ remembered' \in {remembered, FALSE}
  /\ remembered' => now + 1 <= born + WINDOW

Next == Begin \/ Forget \/ Recall \/ Tick
Spec == Init /\ [][Next]_vars

OnlyThePresent == remembered => Present
=============================================================================
