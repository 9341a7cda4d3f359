"""The draft: the one function behind every role, and the roles that follow from a record.

Everything here is a pure function of a record; presence, reachability and claims don't enter
(TOM-ROLES-076).  :class:`Roles` computes the roles of one record once and answers from tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final

from tom_ref import constants
from tom_ref.crypto import labelled, sha256
from tom_ref.term_frames import Member, TermRecord

DUTY_RANKS: Final = 3
"""How many of a pair's duty list a sender tries, and a record credits (TOM-ROLES-081)."""
_CACHE: Final = 4_096
"""The most duty lists that one :class:`Roles` remembers: all pairs of 64 members and some guests."""


def quorum(validators: int) -> int:
    """How many votes of so many validators notarize a block: two thirds, rounded up (TOM-ROLES-018)."""
    return -(-2 * validators // 3)


def tolerated(validators: int) -> int:
    """How many of so many validators may lie: the greatest number below a third (TOM-ROLES-059)."""
    return (validators - 1) // 3


def draft_key(seed: bytes, label: bytes, node: bytes, weight: int) -> bytes:
    """The 32-byte key by which a member is sorted: the least of ``weight`` hashes (TOM-ROLES-073).

    ``weight`` is at least 1.  The least of w uniform values comes first w times as often as one value.
    """
    head = labelled("ToM/1 draft", seed, label, node) + (4).to_bytes(4, "big")
    return min(sha256(head + number.to_bytes(4, "big")) for number in range(weight))


def draft(seed: bytes, label: bytes, weights: Iterable[tuple[bytes, int]]) -> tuple[bytes, ...]:
    """Nodes in their drawn order; ``weights`` are (NodeId, weight) (TOM-ROLES-074)."""
    return tuple(
        node for _, node in sorted((draft_key(seed, label, node, weight), node) for node, weight in weights)
    )


def eligible(member: Member, term: int) -> bool:
    """Whether a member may hold roles in a record of this term (TOM-ROLES-066)."""
    return member.admitted == 0 or member.admitted + constants.WAIT_TERMS <= term


def pair_label(first: bytes, second: bytes) -> bytes:
    """The 68-byte label of a pair: the same whichever is named first."""
    low, high = sorted((first, second))
    return b"pair" + low + high


class Roles:
    """The roles of one record, each computed when first asked for."""

    def __init__(self, record: TermRecord) -> None:
        """``record`` is the record whose roles these are."""
        self.record: Final = record
        self._duties: dict[bytes, tuple[bytes, ...]] = {}

    @cached_property
    def members(self) -> frozenset[bytes]:
        """The NodeIds that the roster lists."""
        return frozenset(member.node for member in self.record.roster)

    @cached_property
    def index(self) -> dict[bytes, int]:
        """The place of each member in the roster, from 0."""
        return {member.node: place for place, member in enumerate(self.record.roster)}

    @cached_property
    def pool(self) -> tuple[Member, ...]:
        """The members that may hold roles, ascending by NodeId (TOM-ROLES-072)."""
        return tuple(member for member in self.record.roster if eligible(member, self.record.term))

    @cached_property
    def validators(self) -> tuple[bytes, ...]:
        """Who votes on the next record: the pool's members that were there (TOM-ROLES-017)."""
        return tuple(member.node for member in self.pool if member.absent == 0)

    @cached_property
    def quorum(self) -> int:
        """The votes that notarize a block (TOM-ROLES-018)."""
        return quorum(len(self.validators))

    @cached_property
    def leaders(self) -> tuple[bytes, ...]:
        """The leader order of the term (TOM-ROLES-021)."""
        return self._draw(b"leader", self.validators)

    def leader(self, slot: int) -> bytes:
        """Who may propose in a slot, 1 or above (TOM-ROLES-022)."""
        return self.leaders[(slot - 1) // 2 % len(self.leaders)]

    @cached_property
    def relays(self) -> tuple[bytes, ...]:
        """The drafted relays, best first; others are served all the same (TOM-ROLES-075, 077, 079)."""
        weighted = [(member.node, 1 << member.weight) for member in self.pool]
        order = draft(self.record.seed, b"relay", weighted)
        return order[: -(-len(order) * self.record.relay_share // 12)]

    @cached_property
    def guardians(self) -> tuple[bytes, ...]:
        """Who brings newcomers in; in a roster of at most eight any member can (TOM-ROLES-078)."""
        order = self._draw(b"guardian", (member.node for member in self.pool))
        return order[: -(-len(order) // 8)]

    def duty(self, first: bytes, second: bytes) -> tuple[bytes, ...]:
        """Who carries messages between two nodes, in this order, the two left out (TOM-ROLES-080)."""
        label = pair_label(first, second)
        held = self._duties.get(label)
        if held is None:
            relays = frozenset(self.relays)
            order = self._draw(
                label, (member.node for member in self.pool if member.node not in {first, second})
            )
            held = (
                *(node for node in order if node in relays),
                *(node for node in order if node not in relays),
            )
            if len(self._duties) >= _CACHE:
                self._duties.clear()
            self._duties[label] = held
        return held

    def on_duty(self, first: bytes, second: bytes) -> tuple[bytes, ...]:
        """Who of them is tried in turn, and earns credit for it (TOM-ROLES-081, 083)."""
        return self.duty(first, second)[:DUTY_RANKS]

    def fork_founder(self, attempt: int) -> bytes:
        """Who founds the child of an attempt: the first of all members (TOM-ROLES-089)."""
        label = b"fork" + attempt.to_bytes(4, "big")
        return self._draw(label, (member.node for member in self.record.roster))[0]

    def conversation_relays(self, conversation: bytes) -> tuple[bytes, ...]:
        """The two relays of a conversation subnet, or fewer (TOM-ROLES-110)."""
        return self._draw(b"conversation" + conversation, self.relays)[:2]

    @cached_property
    def ring(self) -> tuple[bytes, ...]:
        """All members in the drawn order by which links are made (TOM-ROLES-112)."""
        return self._draw(b"mesh", (member.node for member in self.record.roster))

    def mesh(self, own: bytes) -> tuple[bytes, ...]:
        """The members that ``own`` links to: 1, 2, 4, … places after it in a drawn ring (TOM-ROLES-112).

        Any two members are then connected over at most log2 of their number, whoever holds which address.
        """
        if own not in self.members:
            return self.ring[:2]
        place = self.ring.index(own)
        return tuple(dict.fromkeys(self._place(place + distance) for distance in self._distances))

    def meshed(self, own: bytes) -> frozenset[bytes]:
        """The members that ``own`` links to, and those that link to it."""
        if own not in self.members:
            return frozenset(self.ring[:2])
        place = self.ring.index(own)
        return frozenset(self._place(place - distance) for distance in self._distances) | {*self.mesh(own)}

    @cached_property
    def _distances(self) -> tuple[int, ...]:
        size = len(self.ring)
        return tuple(1 << power for power in range(size.bit_length()) if 1 << power < size)

    def _place(self, place: int) -> bytes:
        return self.ring[place % len(self.ring)]

    def _draw(self, label: bytes, nodes: Iterable[bytes]) -> tuple[bytes, ...]:
        return draft(self.record.seed, label, ((node, 1) for node in nodes))
