"""Which cases show what must not be done, and which rules a refusal upholds besides the one it names.

Most cases that show something left undone are refused with a code.  Some aren't: a vote that isn't cast, a
link that isn't kept, a copy that isn't erased yet are results like others.  Such a case stands beside one in
which it *is* done, and differs from that as little as possible.  The table is one for all chapters, because
the ids never change and the pairs are what is worth reading beside each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

UNDONE: Final[Mapping[str, str]] = {
    # what has no room is refused, whoever comes first
    "balance-queue-0004": "balance-queue-0001",
    "balance-queue-0005": "balance-queue-0001",
    # no allowance is left, none is won within the term, nothing fades without time
    "balance-settle-0005": "balance-settle-0006",
    "balance-settle-0008": "balance-settle-0003",
    "balance-settle-0011": "balance-settle-0010",
    # no work without a debt
    "balance-work-bits-0003": "balance-work-bits-0004",
    # the newer link is closed
    "link-choice-0004": "link-choice-0001",
    "link-choice-0005": "link-choice-0006",
    "link-choice-0016": "link-choice-0018",
    "link-choice-0017": "link-choice-0018",
    # not begun beyond the window
    "link-flow-0002": "link-flow-0001",
    "link-flow-0004": "link-flow-0003",
    # what follows a CLOSE is nothing
    "link-records-0013": "link-records-0012",
    "link-clock-0006": "link-clock-0002",
    # not issued yet, not with a number in use, not erased yet, not taken for one's newest
    "prekey-rotation-0002": "prekey-rotation-0003",
    "prekey-rotation-0004": "prekey-rotation-0003",
    "prekey-rotation-0005": "prekey-rotation-0006",
    "prekey-rotation-0008": "prekey-rotation-0007",
    # not erased yet
    "purge-erase-0002": "purge-erase-0003",
    "purge-erase-0004": "purge-erase-0005",
    "purge-erase-0008": "purge-erase-0009",
    "purge-erase-0010": "purge-erase-0011",
    # who holds it gets no second copy
    "purge-ranks-0002": "purge-ranks-0001",
    "purge-ranks-0005": "purge-ranks-0001",
    "purge-ranks-0007": "purge-ranks-0006",
    "purge-ranks-0010": "purge-ranks-0006",
    "purge-ranks-0015": "purge-ranks-0011",
    # too few vouch, or the wrong ones
    "roles-catching-up-0002": "roles-catching-up-0001",
    "roles-catching-up-0003": "roles-catching-up-0001",
    "roles-catching-up-0004": "roles-catching-up-0001",
    "roles-catching-up-0008": "roles-catching-up-0007",
    "roles-catching-up-0009": "roles-catching-up-0001",
    "roles-catching-up-0010": "roles-catching-up-0001",
    "roles-catching-up-0011": "roles-catching-up-0001",
    "roles-catching-up-0012": "roles-catching-up-0001",
    # one neighbour, two that contradict each other, a slow answer: the own clock stays right
    "roles-clock-0002": "roles-clock-0003",
    "roles-clock-0004": "roles-clock-0003",
    "roles-clock-0008": "roles-clock-0009",
    "roles-clock-0011": "roles-clock-0010",
    "roles-admission-0005": "roles-admission-0004",
    "roles-answer-0006": "roles-answer-0002",
    "roles-gossip-0007": "roles-gossip-0001",
    "roles-judged-0008": "roles-judged-0007",
    # who stayed in strength doesn't dissolve
    "roles-met-0004": "roles-met-0005",
    "roles-moved-0003": "roles-moved-0002",
    "roles-newcomer-0003": "roles-newcomer-0001",
    "roles-newcomer-0006": "roles-newcomer-0001",
    # back before its eighth absence; seven deliveries, and direct ones, are worth no weight
    "roles-next-0006": "roles-next-0005",
    "roles-next-0028": "roles-next-0027",
    "roles-next-0030": "roles-next-0027",
    "roles-route-0003": "roles-route-0002",
    "roles-route-0005": "roles-route-0001",
    "roles-route-0009": "roles-route-0008",
    "roles-route-0010": "roles-route-0008",
    "roles-route-0011": "roles-route-0008",
    "roles-route-0012": "roles-route-0008",
    # no second proposal, no vote
    "roles-streamlet-0002": "roles-streamlet-0001",
    "roles-streamlet-0003": "roles-streamlet-0001",
    "roles-streamlet-0006": "roles-streamlet-0004",
    "roles-streamlet-0007": "roles-streamlet-0004",
    "roles-streamlet-0008": "roles-streamlet-0004",
    "roles-streamlet-0009": "roles-streamlet-0004",
    "roles-streamlet-0011": "roles-streamlet-0010",
    "roles-streamlet-0012": "roles-streamlet-0013",
    # one session is given up, a key is gone, a worn session isn't used
    "session-conversation-0005": "session-conversation-0002",
    "session-conversation-0006": "session-conversation-0003",
    "session-conversation-0007": "session-conversation-0002",
}
"""A case that succeeds and shows something left undone, and the one beside it in which it is done."""

ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "descriptor-newest-0003": ("NOTATION-002",),
    "link-clock-0006": ("NOTATION-001",),
    "roles-record-0004": ("NOTATION-001",),
    "roles-seed-0001": ("NOTATION-004",),
    "roles-answer-0006": ("ROLES-058", "ROLES-115", "ROLES-127"),
    "roles-met-0004": ("ROLES-148",),
    "roles-next-0034": ("PURGE-039",),
    "roles-route-0004": ("ROLES-145",),
    "roles-route-0003": ("ROLES-145",),
    "roles-child-0001": ("VITALS-008",),
    "roles-child-0023": ("VITALS-008",),
    "roles-child-0024": ("VITALS-008",),
    "roles-streamlet-0001": ("ROLES-071",),
    "roles-streamlet-0002": ("ROLES-027",),
    "roles-streamlet-0003": ("ROLES-071",),
    "roles-newcomer-0003": ("ROLES-149",),
    "balance-work-0002": ("BALANCE-009", "BALANCE-010"),
    "balance-work-0006": ("BALANCE-009", "BALANCE-010"),
    "delivery-message-0003": ("DELIVERY-004", "DELIVERY-005"),
    "delivery-receipt-0011": ("DELIVERY-020",),
    "descriptor-newest-0101": ("ID-033",),
    "descriptor-newest-0102": ("ID-033", "NOTATION-002"),
    "descriptor-verify-0104": ("ID-040",),
    "descriptor-verify-0120": ("ID-001", "ID-009"),
    "descriptor-verify-0121": ("ID-002",),
    "link-handshake-0009": ("LINK-015",),
    "link-handshake-0016": ("LINK-024",),
    "link-handshake-0018": ("LINK-024",),
    "link-handshake-0019": ("LINK-024",),
    "link-handshake-0015": ("LINK-024",),
    "link-handshake-0030": ("LINK-010",),
    "link-handshake-0036": ("LINK-012",),
    "link-handshake-0042": ("LINK-014",),
    "link-open-0011": ("LINK-060",),
    "link-records-0019": ("WIRE-051",),
    "link-records-0040": ("LINK-070",),
    "link-records-0041": ("LINK-061",),
    "link-records-0044": ("LINK-081",),
    "link-records-0046": ("LINK-032",),
    "link-script-0015": ("LINK-060",),
    "node-id-text-0101": ("ID-008",),
    "node-id-text-0105": ("ID-006",),
    "node-id-text-0116": ("ID-006",),
    "prekey-rotation-0005": ("SESSION-066", "ID-041"),
    "prekey-rotation-0006": ("SESSION-066",),
    "purge-room-0002": ("DELIVERY-062",),
    "purge-room-0003": ("DELIVERY-062",),
    "roles-finality-0014": ("ROLES-004",),
    "roles-judged-0013": ("ROLES-019",),
    "roles-judged-0015": ("ROLES-021", "ROLES-022", "ROLES-073", "ROLES-074"),
    "roles-next-0009": ("ROLES-017",),
    "roles-next-0017": ("ROLES-072",),
    "roles-next-0024": ("ROLES-065",),
    "roles-judged-0018": ("ROLES-029", "ROLES-034"),
    "roles-judged-0017": ("ROLES-034",),
    "roles-judged-0001": ("ROLES-034",),
    "roles-judged-0034": ("ROLES-017",),
    "roles-judged-0032": ("ROLES-031", "ROLES-032"),
    "roles-judged-0035": ("ROLES-032",),
    "roles-gossip-0015": ("ROLES-020",),
    "roles-gossip-0010": ("ROLES-053", "ROLES-076"),
    "roles-finality-0007": ("ROLES-018",),
    "roles-genesis-0006": ("ROLES-012",),
    "roles-route-0009": ("ROLES-080",),
    "roles-route-0010": ("ROLES-080",),
    "roles-seed-0002": ("ROLES-069", "NOTATION-004"),
    "secret-file-0105": ("ID-051",),
    "session-conversation-0001": ("SESSION-014",),
    "session-conversation-0006": ("SESSION-060",),
    "session-conversation-0007": ("SESSION-051",),
    "session-open-initial-0111": ("SESSION-014",),
    "session-open-initial-0106": ("SESSION-024", "SESSION-025"),
    "session-open-later-0104": ("SESSION-020",),
    "session-open-initial-0101": ("SESSION-002",),
    "session-open-initial-0109": ("SESSION-003",),
    "session-open-initial-0114": ("SESSION-011", "SESSION-012"),
    "session-open-initial-0117": ("SESSION-034",),
    "session-open-later-0102": ("SESSION-026",),
    "vrf-verify-0101": ("ID-017",),
    "vrf-verify-0103": ("ID-022",),
}
"""A case, and rules that it upholds beside those that its chapter's generator names; without ``TOM-``."""


def refined(content: dict[str, Any], *, undone: dict[str, str], also: dict[str, tuple[str, ...]]) -> None:
    """Complete the cases of one file from the tables; what was used is taken out of them."""
    for case in content["cases"]:
        if case["id"] in undone:
            case["pair"] = undone.pop(case["id"])
        more = [f"TOM-{rule}" for rule in also.pop(case["id"], ())]
        case["requirements"] += [rule for rule in more if rule not in case["requirements"]]
