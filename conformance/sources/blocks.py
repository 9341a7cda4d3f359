"""First blocks whose record breaks exactly one rule of how a record follows from the one before.

A leader that counts wrongly, or for itself, proposes a record that looks like any other: signed, hashed,
within every bound.  Only who computes it anew can tell.  For each rule the record that follows is shown and
taken, and beside it the one that a leader without that rule would propose, to be refused as ``bad_record``.
The founders' subnet follows from the run's seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from attrs import evolve, frozen

from conformance.case import Case, Polarity, Step, ok, reject
from tom_ref import codec, constants, records, term_codec
from tom_ref.crypto import labelled, sha256
from tom_ref.draft import Roles
from tom_ref.errors import Reason
from tom_ref.term_frames import (
    Counts,
    Delivery,
    Evidence,
    LeaveProof,
    Member,
    Proposal,
    TermRecord,
    Vitals,
    VitalsProof,
)
from tools.vectors import _roles
from tools.vectors._roles import Subnet, identity

DAY: Final = constants.DECAY
_MOST_OWED: Final = constants.ALLOWANCE - 1
_POT: Final = slice(239, 247)
"""Where the pot stands in a record's bytes."""
Wrong = Callable[[TermRecord], TermRecord | bytes]


@frozen
class Scene:
    """A present record with what was seen in it, the rules that it shows, and how a record can break them."""

    name: str
    about: str
    present: TermRecord
    evidence: Evidence
    rules: tuple[str, ...]
    wrong: Mapping[str, tuple[tuple[str, ...], Wrong]]
    """By what is wrong: the rules broken, and the change."""
    slot: int = 1


class Leader:
    """The founders, and whoever of them leads."""

    def __init__(self, seed: str) -> None:
        self.home = _roles.founded(7, hashlib.sha256(f"{seed}/blocks".encode()).digest())
        self.record = self.home.record

    def present(self, **changes: Any) -> TermRecord:
        """The first record, changed."""
        return evolve(self.record, **changes)

    def members(self, **changes: Mapping[int, Any]) -> tuple[Member, ...]:
        """The roster, each field changed at the places named."""
        return tuple(
            evolve(member, **{field: by[place] for field, by in changes.items() if place in by})
            for place, member in enumerate(self.record.roster)
        )

    def owing(self, balances: Mapping[int, int], **changes: Any) -> TermRecord:
        """A record with these balances; the pot has what is missing to zero."""
        roster = self.members(balance=balances)
        return self.present(roster=roster, pot=-sum(balances.values()), **changes)

    def beats(self, present: TermRecord, places: Sequence[int] | None = None) -> Any:
        """Everybody's heartbeat, or those of some."""
        proofs = _roles.heartbeat_proofs(self.home.nodes, present)
        return proofs if places is None else tuple(proofs[place] for place in places)

    def delivered(self, present: TermRecord, count: int, rank: int = 0) -> tuple[Delivery, ...]:
        """So many messages of the first member to the second over the relay of that rank."""
        sender, recipient = self.home.nodes[:2]
        relay = Roles(present).duty(sender.node_id, recipient.node_id)[rank]
        made = [_roles.delivery(sender, recipient, relay, present, b"%d" % n) for n in range(count)]
        return tuple(sorted(made, key=lambda one: one.receipt.message_id))

    def reports(self, present: TermRecord, counts: Sequence[Counts]) -> tuple[VitalsProof, ...]:
        """The first members' reports."""
        present_hash = records.record_hash(present)
        return tuple(
            VitalsProof(
                place,
                counted,
                node.signing_key.sign(
                    records.signed_report(present.subnet, present.term, present_hash, counted)
                ),
            )
            for place, (node, counted) in enumerate(zip(self.home.nodes, counts, strict=False))
        )

    def _home(self, present: TermRecord) -> Subnet:
        return evolve(self.home, genesis=evolve(self.home.genesis, record=present))

    def right(self, scene: Scene) -> Proposal:
        """The first block of the slot's leader."""
        return _roles.first_block(self._home(scene.present), scene.slot, scene.evidence)

    def wrong(self, scene: Scene, made: Proposal, wrong: Wrong) -> bytes:
        """The same with a changed record, hashed and signed as if that were right."""
        assert made.record is not None
        record = wrong(made.record)
        data = record if isinstance(record, bytes) else term_codec.encode_record(record)
        header = evolve(made.header, record=sha256(labelled("ToM/1 record", data)))
        signed = _roles.signed_block(self._home(scene.present), header, made)
        if isinstance(record, TermRecord):
            return codec.encode_frame(evolve(signed, record=record))
        return codec.encode_frame(signed).replace(term_codec.encode_record(made.record), data)


def _roster(change: Callable[[Member], Member], *places: int) -> Wrong:
    """The record with some members changed."""

    def apply(record: TermRecord) -> TermRecord:
        roster = tuple(
            change(member) if not places or place in places else member
            for place, member in enumerate(record.roster)
        )
        return evolve(record, roster=roster)

    return apply


def _shift(amount: int, source: int | None, target: int | None) -> Wrong:
    """The record with an amount moved between two members, or the pot where it is ``None``."""

    def apply(record: TermRecord) -> TermRecord:
        roster, pot = list(record.roster), record.pot
        for place, gain in ((source, -amount), (target, amount)):
            if place is None:
                pot += gain
            else:
                roster[place] = evolve(roster[place], balance=roster[place].balance + gain)
        return evolve(record, roster=tuple(roster), pot=pot)

    return apply


def _pot(amount: int) -> Wrong:
    """The bytes of the record with so much more in the pot, which comes from nowhere."""

    def apply(record: TermRecord) -> bytes:
        data = term_codec.encode_record(record)
        pot = int.from_bytes(data[_POT], "big") + amount
        return data[: _POT.start] + pot.to_bytes(8, "big") + data[_POT.stop :]

    return apply


def _sorted(roster: Sequence[Member]) -> tuple[Member, ...]:
    return tuple(sorted(roster, key=lambda one: one.node))


def _place(record: TermRecord, node: bytes) -> int:
    return next(place for place, member in enumerate(record.roster) if member.node == node)


def _scenes(leader: Leader) -> Iterator[Scene]:
    yield from _presence(leader)
    yield from _weights(leader)
    yield from _balances(leader)
    yield from _vitals(leader)


def _presence(leader: Leader) -> Iterator[Scene]:
    weighty = leader.present(term=3, roster=leader.members(next_weight={0: 2, 1: 1}, absent={2: 7}))
    everybody = tuple(place for place in range(7) if place != 2)
    joins = (_roles.join(identity(40), leader.home.nodes[0], weighty),)
    yield Scene(
        "presence",
        "one is away for the eighth term, one joins",
        weighty,
        Evidence(leader.beats(weighty, everybody), (), joins),
        ("ROLES-047", "ROLES-049", "ROLES-056", "ROLES-065", "ROLES-066", "ROLES-069", "BALANCE-008"),
        {
            "keeps the one that is gone": (
                ("ROLES-056",),
                lambda record: evolve(
                    record,
                    roster=tuple(sorted((*record.roster, weighty.roster[2]), key=lambda one: one.node)),
                ),
            ),
            "skips a weight": (("ROLES-049",), _roster(lambda m: evolve(m, weight=(m.weight + 1) % 4))),
            "makes the newcomer eligible at once": (
                ("ROLES-065", "ROLES-066"),
                _roster(lambda m: evolve(m, admitted=0)),
            ),
            "gives the newcomer something": (
                ("BALANCE-008",),
                lambda record: _shift(1, None, _place(record, identity(40).node_id))(record),
            ),
            "keeps the seed": (("ROLES-069",), lambda record: evolve(record, seed=weighty.seed)),
        },
    )
    record = leader.record
    yield Scene(
        "relays",
        "all are there",
        record,
        Evidence(leader.beats(record)),
        ("ROLES-077", "VITALS-009", "PURGE-016"),
        {
            "drafts more relays": (
                ("ROLES-077", "VITALS-009"),
                lambda made: evolve(made, relay_share=made.relay_share + 1),
            ),
            "asks for more copies": (
                ("PURGE-016", "VITALS-009"),
                lambda made: evolve(made, custody=made.custody + 1),
            ),
        },
    )
    parting = evolve(leader.owing({0: -700, 3: 300}), term=3)
    leave = LeaveProof(3, leader.home.nodes[3].signing_key.sign(records.signed_leave(parting.subnet, 3)))
    yield Scene(
        "leave",
        "who leaves leaves its balance to the pot",
        parting,
        Evidence(leader.beats(parting), (leave,)),
        ("BALANCE-008", "BALANCE-001"),
        {
            "gives it to another member": (("BALANCE-008",), _shift(300, None, 0)),
            "lets it get lost": (("BALANCE-001",), _pot(-300)),
        },
    )


def _weights(leader: Leader) -> Iterator[Scene]:
    nodes = leader.home.nodes
    weighty = leader.present(roster=leader.members(next_weight=dict.fromkeys(range(7), 2)), relay_share=12)
    relay = _place(weighty, Roles(weighty).duty(nodes[0].node_id, nodes[1].node_id)[0])
    idle = next(place for place in range(2, 7) if place != relay)
    yield Scene(
        "credits",
        "one relay carried eight messages, the others none",
        weighty,
        Evidence(leader.beats(weighty), (), (), leader.delivered(weighty, 8)),
        ("ROLES-075", "ROLES-078", "ROLES-081", "ROLES-083", "ROLES-084", "ROLES-085", "PURGE-039"),
        {
            "leaves the busy relay as it was": (
                ("ROLES-084",),
                _roster(lambda m: evolve(m, next_weight=2), relay),
            ),
            "leaves an idle relay as it was": (
                ("ROLES-085",),
                _roster(lambda m: evolve(m, next_weight=2), idle),
            ),
        },
    )
    indebted = leader.owing({0: -1, 1: 1})
    yield Scene(
        "debt",
        "a member owes one byte",
        indebted,
        Evidence(leader.beats(indebted)),
        ("ROLES-086",),
        {
            "gives the debtor no weight": (("ROLES-086",), _roster(lambda m: evolve(m, next_weight=0), 0)),
            "gives a creditor a weight": (("ROLES-086",), _roster(lambda m: evolve(m, next_weight=1), 1)),
        },
    )


def _charge(delivery: Delivery) -> int:
    header = codec.decode_header(delivery.header_bytes)
    return len(delivery.header_bytes) + header.payload_length


def _balances(leader: Leader) -> Iterator[Scene]:
    nodes, record = leader.home.nodes, leader.record
    relay = _place(record, Roles(record).duty(nodes[0].node_id, nodes[1].node_id)[0])
    (one,) = leader.delivered(record, 1)
    charge = _charge(one)
    yield Scene(
        "charge",
        "one delivery is charged and credited",
        record,
        Evidence(leader.beats(record), (), (), (one,)),
        ("BALANCE-001", "BALANCE-002", "BALANCE-003", "BALANCE-004", "BALANCE-005", "PURGE-040"),
        {
            "charges nothing": (("BALANCE-002", "BALANCE-004"), _shift(charge, relay, 0)),
            "charges twice": (("BALANCE-004", "PURGE-040"), _shift(charge, 0, None)),
            "charges the payload alone": (
                ("BALANCE-003",),
                _shift(len(one.header_bytes), relay, 0),
            ),
            "credits the pot": (("BALANCE-005",), _shift(charge, relay, None)),
            "makes a byte out of nothing": (("BALANCE-001",), _pot(1)),
        },
    )
    (fourth,) = leader.delivered(record, 1, rank=3)
    yield Scene(
        "no-duty",
        "a relay of rank 4 earns nothing",
        record,
        Evidence(leader.beats(record), (), (), (fourth,)),
        ("BALANCE-002", "ROLES-083"),
        {
            "credits it": (
                ("BALANCE-002", "ROLES-083"),
                _shift(_charge(fourth), 0, _place(record, fourth.receipt.relay)),
            )
        },
    )
    # What is left of the allowance is one byte less than the charge.
    faded = _faded(record, -_MOST_OWED, slot=1)
    short = leader.owing({0: -_MOST_OWED, 2: 9_999})
    (last,) = leader.delivered(short, 1)
    helper = _place(short, last.receipt.relay)
    assert faded < 0
    yield Scene(
        "allowance",
        "a sender's allowance is all but used up",
        short,
        Evidence(leader.beats(short), (), (), (last,)),
        ("BALANCE-005", "BALANCE-006", "BALANCE-007"),
        {
            "credits the whole charge": (
                ("BALANCE-005", "BALANCE-006"),
                _shift(_charge(last) - 1, None, helper),
            ),
            "credits nothing": (("BALANCE-006",), _shift(1, helper, None)),
            "doesn't let the debt fade": (
                ("BALANCE-007",),
                _shift(faded + _MOST_OWED, 0, None),
            ),
        },
    )


def _faded(record: TermRecord, balance: int, slot: int) -> int:
    """What a balance is after one term."""
    elapsed = min(slot * record.slot_ms + record.term_ms, DAY)
    return -(-balance * (DAY - elapsed) // DAY) if balance < 0 else balance * (DAY - elapsed) // DAY


def _vitals(leader: Leader) -> Iterator[Scene]:
    before = Vitals(delivery=800, survival=950, latency=(0,) * 8)
    sick = leader.present(vitals=before, relay_share=6, custody=3)

    def counts(delivered: int, ended: int, recovered: int = 0, rerouted: int = 0) -> Counts:
        return Counts(ended, delivered, rerouted, recovered, (delivered, *(0,) * 7))

    told = [counts(80, 100), counts(85, 100), counts(90, 100), counts(99, 100), counts(100, 100)]
    yield Scene(
        "reports",
        "five of seven report, nobody rerouted anything",
        sick,
        Evidence(leader.beats(sick), (), (), (), leader.reports(sick, told)),
        ("VITALS-005", "VITALS-006", "VITALS-007", "VITALS-009"),
        {
            "takes the mean": (("VITALS-006",), _signs(delivery=908)),
            "takes the higher of the middle": (("VITALS-006",), _signs(delivery=990)),
            "keeps what it was": (("VITALS-005",), _signs(delivery=800)),
            "forgets what nobody reported": (("VITALS-007",), _signs(survival=1_000)),
            "leaves the relays as they were": (("VITALS-009",), lambda made: evolve(made, relay_share=6)),
            "leaves the copies as they were": (("VITALS-009",), lambda made: evolve(made, custody=3)),
        },
    )
    yield Scene(
        "few-reports",
        "four of seven report, too few to say anything",
        sick,
        Evidence(leader.beats(sick), (), (), (), leader.reports(sick, told[:4])),
        ("VITALS-007",),
        {"believes them": (("VITALS-007",), _signs(delivery=850))},
    )


def _signs(**changes: Any) -> Wrong:
    def apply(record: TermRecord) -> TermRecord:
        assert record.vitals is not None
        return evolve(record, vitals=evolve(record.vitals, **changes))

    return apply


@cache
def _made(seed: str) -> tuple[Case, ...]:
    leader = Leader(seed)
    return tuple(case for scene in _scenes(leader) for case in _cases(leader, scene))


def _cases(leader: Leader, scene: Scene) -> Iterator[Case]:
    right = leader.right(scene)
    assert right.record is not None
    present = term_codec.encode_record(scene.present).hex()
    named = f"block-{scene.name}"
    proof = right.record.proof
    following = {
        "present": present,
        "evidence": term_codec.encode_evidence(scene.evidence).hex(),
        "slot": scene.slot,
        "proposer": right.record.proposer.hex(),
        "proof": proof.hex(),
    }
    shown = _judged(present, codec.encode_frame(right))
    yield Case(
        named,
        5,
        _ids(scene.rules),
        Polarity.POSITIVE,
        f"{scene.about}: the record that follows",
        (
            Step("roles.next", following, ok(_roles.following(following))),
            Step("roles.judged", shown, ok(_roles.judged(shown))),
        ),
        source="blocks",
        derived=True,
    )
    for what, (rules, wrong) in scene.wrong.items():
        bad = _judged(present, leader.wrong(scene, right, wrong))
        yield Case(
            f"{named}-{what.replace(' ', '-')}",
            5,
            _ids((*rules, "ROLES-046", "ROLES-034")),
            Polarity.NEGATIVE,
            f"{scene.about}: a record that {what}",
            (Step("roles.judged", bad, reject(Reason.BAD_RECORD.value)),),
            pair=named,
            source="blocks",
            derived=True,
        )


def _judged(present: str, block: bytes) -> dict[str, Any]:
    return {"present": present, "known": [], "frame": block.hex(), "now": _roles.at(2)}


def _ids(rules: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"TOM-{rule}" for rule in rules)


def cases(seed: str) -> Iterator[Case]:
    """Every scene with its wrong records, for one seed."""
    yield from _made(seed)
