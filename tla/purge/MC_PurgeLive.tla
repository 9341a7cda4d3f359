---------------------------- MODULE MC_PurgeLive ----------------------------
(***************************************************************************)
(* Purge under fairness.                                                   *)
(*                                                                         *)
(* Propagating: time stands still (MAXT = 0), so that no copy can go by    *)
(* expiring and only the receipt can remove it; the network loses packets, *)
(* but not the same one for ever; crashed nodes start again.               *)
(*                                                                         *)
(* Erasing: time goes on to the end of the horizon (longer than any        *)
(* retention), the liar replays what it wants, nothing else is fair than   *)
(* time, erasure, starting again, and the application reading its inbox.   *)
(***************************************************************************)
EXTENDS MC_Purge

Propagating ==
  /\ Spec
  /\ SF_vars(SendReceipt)
  /\ \A n \in Holders : SF_vars(Learn(n, "net")) /\ SF_vars(Tell(n))
  /\ \A n \in Honest : WF_vars(Restart(n))
  /\ WF_vars(Cut({}))

\* Once the recipient has signed, all copies go and the sender knows, if the crashes end.
\* (A node that is up only in the moments in which no receipt flies learns nothing.)
ReceiptPropagates == <>[](up = Honest) => (signed ~> (copy = {} /\ verdict = "delivered"))

Erasing ==
  /\ Spec
  /\ WF_vars(Tick({}))
  /\ \A n \in Honest : WF_vars(Restart(n)) /\ WF_vars(ExpireTomb(n))
  /\ \A n \in Holders : WF_vars(ExpireCopy(n))
  /\ WF_vars(Expired) /\ WF_vars(LetGo) /\ WF_vars(Show) /\ WF_vars(Acknowledge)

NothingLeft ==
  /\ copy = {} /\ tomb = {} /\ mem = "no" /\ ~inbox
  /\ verdict \notin {"pending", "sent", "relayed"}
EventuallyErased == <>[]NothingLeft
=============================================================================
