------------------------- MODULE AtMostOnceDelivery -------------------------
(***************************************************************************)
(* What a user is promised about one message, and nothing about how.       *)
(*   word    what the sender's application is told                         *)
(*   receipt the recipient has signed that it has the message              *)
(*   app     the recipient's application: "no", "has" (it is kept for it   *)
(*           until it acknowledges), "done"                                *)
(*   shown   how often it was shown since the last start; a restart before *)
(*           the acknowledgement may show it again, with the same id       *)
(* P1: the sender hears "delivered" only after the receipt was signed, and *)
(* a message whose sender heard "expired" is not taken any more.           *)
(* P2: taken once; shown at most once between two starts; never after the  *)
(* application has acknowledged it.                                        *)
(***************************************************************************)
EXTENDS Integers

VARIABLES
  \* @type: Str;
  word,
  \* @type: Bool;
  receipt,
  \* @type: Str;
  app,
  \* @type: Int;
  shown

vars == <<word, receipt, app, shown>>

Init == word = "none" /\ receipt = FALSE /\ app = "no" /\ shown = 0

Write == word = "none" /\ word' = "waiting" /\ UNCHANGED <<receipt, app, shown>>
Take ==
  /\ app = "no" /\ ~receipt /\ word = "waiting"
  /\ app' = "has" /\ receipt' = TRUE /\ UNCHANGED <<word, shown>>
Show == app = "has" /\ shown = 0 /\ shown' = 1 /\ UNCHANGED <<word, receipt, app>>
Acknowledge == app = "has" /\ shown = 1 /\ app' = "done" /\ UNCHANGED <<word, receipt, shown>>
Restart == app = "has" /\ shown = 1 /\ shown' = 0 /\ UNCHANGED <<word, receipt, app>>
Hear == word = "waiting" /\ receipt /\ word' = "delivered" /\ UNCHANGED <<receipt, app, shown>>
GiveUp == word = "waiting" /\ word' = "expired" /\ UNCHANGED <<receipt, app, shown>>

Next == Write \/ Take \/ Show \/ Acknowledge \/ Restart \/ Hear \/ GiveUp
Spec == Init /\ [][Next]_vars

AtMostOnce == shown <= 1
DeliveredIffReceipt == (word = "delivered" => receipt) /\ (receipt <=> app # "no")
=============================================================================
