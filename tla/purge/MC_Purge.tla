------------------------------ MODULE MC_Purge ------------------------------
(***************************************************************************)
(* Purge for TLC: the sets a configuration cannot write, and the negated   *)
(* goals of the witnesses (each is expected to be violated: the violation  *)
(* is the proof that the action, or the interplay, happens).               *)
(***************************************************************************)
EXTENDS Purge

NoSkew == {0}
Ends1 == {-1, 1}
Ends2 == {-2, 2}
Skews1 == {-1, 0, 1}
Skews2 == {-2, -1, 0, 1, 2}
NoCuts == {}
CutsA == {{}, {"a"}}
CutsAC == {{}, {"a"}, {"c"}}
CutsAll == {{}, {"a"}, {"c"}, {"r"}, {"s"}}

\* One tick less than TtlBound: the bound is tight.
TtlBoundLess == \A n \in copy \intersect up : now <= born + Limit - 1

NeverWrite == step.name # "Write"
NeverWriteAhead == step.name # "WriteAhead"
NeverSend == step.name # "Send"
NeverTakeOver == step.name # "TakeOver"
NeverExpired == step.name # "Expired"
NeverStore == step.name # "Store"
NeverStoreReplayed == ~(step.name = "Store" /\ step.how = "byz")
NeverAnswer == step.name # "Answer"
NeverRefuseStale == step.name # "RefuseStale"
NeverRefuseAhead == step.name # "RefuseAhead"
NeverForward == step.name # "Forward"
NeverCopyOn == step.name # "CopyOn"
NeverGet == step.name # "Get"
NeverPersist == step.name # "Persist"
NeverLetGo == step.name # "LetGo"
NeverShow == step.name # "Show"
NeverAcknowledge == step.name # "Acknowledge"
NeverSendReceipt == step.name # "SendReceipt"
NeverReReceipt == step.name # "ReReceipt"
NeverLearn == step.name # "Learn"
NeverLearnReplayed == ~(step.name = "Learn" /\ step.how = "byz")
NeverForge == step.name # "Forge"
NeverIgnoreReceipt == step.name # "IgnoreReceipt"
NeverIgnoreLate == ~(step.name = "IgnoreReceipt" /\ step.node \in forgot)
NeverTell == step.name # "Tell"
NeverExpireCopy == step.name # "ExpireCopy"
NeverExpireTomb == step.name # "ExpireTomb"
NeverTick == step.name # "Tick"
NeverClockStep == step.name # "ClockStep"
NeverCrash == step.name # "Crash"
NeverRestart == step.name # "Restart"
NeverLeave == step.name # "Leave"
NeverLoseMsg == step.name # "LoseMsg"
NeverLoseReceipt == step.name # "LoseReceipt"
NeverCut == step.name # "Cut"
NeverHeal == step.name # "Heal"
\* A crash after the plaintext was shown and before it was acknowledged: shown again.
NeverShownAgain == ~(step.name = "Show" /\ R \in tomb /\ signed /\ Clock(R) >= stamp + TTL)
\* The late joiner: back with a live copy when everybody else has only the receipt.
NeverLateJoiner == ~(step.name = "Restart" /\ step.node \in copy /\ copy = {step.node} /\ tomb = Honest \ copy)
\* Everything is over, nobody remembers anything, and the message had been delivered.
NeverAllForgotten == ~(acked /\ copy = {} /\ tomb = {} /\ forgot = Honest)
=============================================================================
