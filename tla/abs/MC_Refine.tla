------------------------------ MODULE MC_Refine -----------------------------
(***************************************************************************)
(* The refinement mappings from Purge to the three targets.                *)
(***************************************************************************)
EXTENDS MC_Purge

WordOf ==
  IF verdict \in {"pending", "sent", "relayed"} THEN "waiting" ELSE verdict
AppOf == IF acked THEN "done" ELSE IF inbox THEN "has" ELSE "no"

Delivery == INSTANCE AtMostOnceDelivery
  WITH word <- WordOf, receipt <- signed, app <- AppOf, shown <- shown
RefinesDelivery == Delivery!Spec

\* A trace: a copy, a receipt, the sender's waiting, the recipient's memory.  A plaintext
\* that the application did not acknowledge yet is the application's, not the network's.
\* A node that is switched off is part of the network while what it has could still be
\* of the present; after that it erases before it takes part again (TOM-PURGE-037).
Waits == verdict \in {"pending", "sent", "relayed"}
HasTrace(n) ==
  n \in copy \/ n \in tomb \/ (n = S /\ Waits) \/ (n = R /\ mem # "no")
Window == TTL + 4 * EPS
Remembered == \E n \in Honest : HasTrace(n) /\ (n \in up \/ now <= born + Window)

Present == INSTANCE PresentOnly
  WITH begun <- (verdict # "none"), remembered <- Remembered, WINDOW <- Window
RefinesPresentOnly == Present!Spec

Keep == INSTANCE KeepAll
  WITH Nodes <- Honest, dropped <- purged, told <- tomb \union forgot, receipt <- signed
CompactionSafe == Keep!Spec
=============================================================================
