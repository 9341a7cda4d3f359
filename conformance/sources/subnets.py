"""Scripts of whole subnets: a member is the port, the others and the wires between them are the reference.

A script is played once with all nodes from ``tom_ref``; what the port's node was given becomes the steps of
the case, and what it did becomes what is expected.  Who leads, relays and keeps follows from the run's seed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from attrs import evolve, frozen

from conformance.adapters.nodes import Held
from conformance.case import Case, Polarity
from conformance.sources.sweeps import SuiteError
from conformance.sources.tape import DependentError, Tape
from tests.members import Computer, Members
from tests.subnets import identity
from tom_ref import codec, records
from tom_ref.crypto import sha256
from tom_ref.effects import Effect, Table
from tom_ref.frames import Envelope, Header, HoldingQuery, Kind, Receipt, Stamp
from tom_ref.inputs import (
    Begin,
    CommandError,
    Found,
    FrameReceived,
    Input,
    JoinSubnet,
    MakeInvitation,
)
from tom_ref.node import Node
from tom_ref.term import own_heartbeat
from tom_ref.term_frames import (
    Counts,
    Move,
    VitalsReport,
    Vote,
)
from tom_ref.timing import Timing
from tom_ref.validate import message_id, signed_header, signed_receipt, signed_stamp

SLOT: Final = 300
TTL: Final = 180_000


class Subnet(Members):
    """Members of one subnet; one is taken down."""

    def __init__(self, seed: str, port: int, count: int, *, strangers: int = 0, slot: int = SLOT) -> None:
        self.tape = Tape()
        self.port = port
        self._slot = slot
        self._seed = seed
        self._held: Held | None = None
        super().__init__(
            count,
            strangers=strangers,
            timing=Timing.fast(slot),
            nonce=hashlib.sha256(seed.encode()).digest(),
        )

    @property
    def held(self) -> Held:
        """The port's node."""
        assert self._held is not None
        return self._held

    def _made(self, computer: Computer) -> Node:
        if computer.index != self.port:
            return super()._made(computer)
        now = self.now + computer.offset
        if self._held is not None:
            self._held = self.tape.restart("port", self._held, now)
        else:
            secret, draws = _secret_of(computer.id), f"{self._seed}/draws"
            config = {"secret": secret.hex(), "subnet": bytes(32).hex(), "slot_ms": self._slot}
            seed = hashlib.sha256(draws.encode()).hexdigest()
            self._held = self.tape.make("port", {"seed": seed, "now": now, "config": config})
        computer.disk = self._held.disk
        return self._held.node

    def _stepped(self, computer: Computer, node: Node, what: Input) -> tuple[Effect, ...]:
        if computer.index != self.port:
            return super()._stepped(computer, node, what)
        return self.tape.do("port", self.held, what, self.now + computer.offset)

    def look(self) -> dict[str, Any]:
        """Look at the port's node."""
        return self.tape.inspect("port", self.held)

    def hand(self, data: bytes, other: int | None = None) -> tuple[Effect, ...]:
        """The port gets a frame over one of its links, or over that to a certain member."""
        links = self[self.port].links
        link = next(number for number, (index, _) in links.items() if other in {None, index})
        return self.do(self.port, FrameReceived(link, data))

    def fits(self, holds: bool) -> None:  # noqa: FBT001 - what is checked
        """Ask for another subnet unless this one fits the script."""
        if not holds:
            raise DependentError(self._seed)

    def tried(self, what: Input) -> None:
        """A command that the port's node may refuse."""
        with contextlib.suppress(CommandError):
            self.do(self.port, what)

    def sure(self, holds: bool, what: str) -> None:  # noqa: FBT001 - what is checked
        """A script that shows nothing is a fault of the suite's."""
        if not holds:
            raise SuiteError(f"{self._seed}: {what}")


def _secret_of(node: bytes) -> bytes:
    """The secret of one of the nodes of :mod:`tests.subnets`."""
    number = next(n for n in (*range(16), *range(1_000, 1_016)) if identity(n).node_id == node)
    return sha256(b"ToM test node %d" % number)


@frozen
class Scene:
    """A script with what it shows."""

    name: str
    about: str
    rules: tuple[str, ...]
    play: Callable[[str], Subnet]
    level: int
    pair: str


SCENES: Final[list[Scene]] = []
Play = Callable[[str], Subnet]
TRIES: Final = 40
"""So many subnets are founded until one fits a script: who leads in them follows from their seeds."""


def registering(scenes: list[Scene]) -> Callable[..., Callable[[Play], Play]]:
    """A decorator that lists scripts."""

    def scene(about: str, *rules: str, pair: str = "", level: int = 7) -> Callable[[Play], Play]:
        def register(play: Play) -> Play:
            name = "subnet-" + play.__name__.strip("_").replace("_", "-")
            scenes.append(Scene(name, about, _ids(rules), play, level, pair))
            return play

        return register

    return scene


_scene = registering(SCENES)


def _ids(rules: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"TOM-{rule}" for rule in rules)


# --- reports ----------------------------------------------------------------------------------------------


def _report(members: Subnet, signer: int, counts: Counts, **changes: Any) -> bytes:
    record = members[members.port].running.home.record
    assert record is not None
    present = records.record_hash(record)
    node = members[signer].identity
    signed = records.signed_report(record.subnet, record.term, present, counts)
    made = VitalsReport(
        record.subnet, record.term, present, node.node_id, counts, node.signing_key.sign(signed)
    )
    return codec.encode_frame(evolve(made, **changes))


_WELL: Final = Counts(10, 10, 0, 0, (10, *(0,) * 7))


@_scene("a member's first report is passed on once, a second is not", "VITALS-004", "ROLES-002", "ROLES-114")
def _reports(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4)
    members.run(100)
    members.hand(_report(members, 3, _WELL))
    members.hand(_report(members, 3, _WELL))
    members.look()
    return members


@_scene(
    "reports for another record, of a stranger, unsigned, and a second one",
    "VITALS-004",
    pair="subnet-reports",
)
def _bad_reports(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4, strangers=1)
    members.run(100)
    members.hand(_report(members, 3, _WELL, record=bytes(32)))
    members.hand(_report(members, 4, _WELL))
    members.hand(_report(members, 3, _WELL, signature=bytes(64)))
    members.hand(_report(members, 3, _WELL))
    members.hand(_report(members, 3, Counts(1, 0, 0, 0, (0,) * 8)))
    members.look()
    return members


@_scene(
    "what a member signs where it has left is refused",
    "ROLES-093",
    "ROLES-096",
    "ROLES-103",
    pair="subnet-reports",
)
def _mover_signs(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4)
    members.run(100)
    record = members[0].running.home.record
    roles = members[0].running.home.roles
    assert record is not None
    assert roles is not None
    present = records.record_hash(record)
    mover = members[3].identity
    founder = roles.fork_founder(1)
    signed = records.signed_move(record.subnet, record.term, present, 1, founder)
    move = Move(
        record.subnet, record.term, present, 1, founder, mover.node_id, mover.signing_key.sign(signed)
    )
    members.hand(codec.encode_frame(move), 3)
    beat = own_heartbeat(record, present, mover.node_id, mover.signing_key)
    vote = Vote(record.subnet, record.term, present, 1, b"b" * 32, mover.node_id, bytes(64))
    for frame in (beat, vote):
        members.hand(codec.encode_frame(evolve(frame, signature=bytes(64))), 3)
    members.look()
    return members


def _vote(members: Subnet, voter: int, **changes: Any) -> bytes:
    record = members[members.port].running.home.record
    assert record is not None
    node = members[voter].identity
    unsigned = Vote(
        record.subnet, record.term, records.record_hash(record), 1, b"b" * 32, node.node_id, bytes(64)
    )
    vote = evolve(unsigned, **changes)
    if "signature" not in changes:
        signed = records.signed_vote(vote.subnet, vote.term, vote.present, vote.slot, vote.block)
        vote = evolve(vote, signature=node.signing_key.sign(signed))
    return codec.encode_frame(vote)


@_scene("a vote for a block that is still to come is passed on once", "ROLES-136", "ROLES-117", "ROLES-114")
def _vote_before_block(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4)
    members.run(100)
    members.hand(_vote(members, 3))
    members.hand(_vote(members, 3))
    members.look()
    return members


@_scene(
    "votes without a signature, of a stranger, and in a slot that is far off",
    "ROLES-136",
    "ROLES-117",
    pair="subnet-vote-before-block",
)
def _bad_votes(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4, strangers=1)
    members.run(100)
    members.hand(_vote(members, 3, signature=bytes(64)))
    members.hand(_vote(members, 4))
    members.hand(_vote(members, 3, slot=1_000))
    members.look()
    return members


@_scene("a member can be in one subnet only", "ROLES-002", pair="subnet-reports")
def _second_home(seed: str) -> Subnet:
    members = Subnet(seed, 0, 3)
    members.run(100)
    members.do(1, MakeInvitation(members.now + 60_000))
    for what in (Found(), Begin(members.founded.genesis), JoinSubnet(members[1].invitations[-1])):
        members.tried(what)
    members.look()
    return members


# --- custody ----------------------------------------------------------------------------------------------


def _ranked(seed: str, count: int = 5) -> list[int]:
    """Sender 0, recipient 1, then the ranks for this pair, by number."""
    members = Members(count, timing=Timing.fast(12_000), nonce=hashlib.sha256(seed.encode()).digest())
    roles = members[0].running.home.roles
    assert roles is not None
    return [0, 1, *(members.by_id[node].index for node in roles.duty(members[0].id, members[1].id))]


def _kept(seed: str, port: int) -> Subnet:
    """A message waits for a recipient that is away."""
    members = Subnet(seed, port, 5, slot=12_000)
    members.run(500)
    members.send(0, 1, b"meet first", ttl=TTL)
    members.run(500)
    members.kill(1)
    members.send(0, 1, b"while away", ttl=TTL)
    members.run(1_000)
    kept = [c.index for c in members.computers if any(table is Table.CUSTODY for table, _ in c.disk)]
    members.sure(sorted(kept) == sorted(_ranked(seed)[2:4]), f"kept by {kept}")
    return members


_KEPT: Final = ("PURGE-014", "PURGE-016", "PURGE-017", "PURGE-020", "PURGE-021", "PURGE-027", "PURGE-038")


@_scene("the sender of a message that waits", *_KEPT, "PURGE-018", "DELIVERY-042", "ROLES-081")
def _depositor(seed: str) -> Subnet:
    members = _kept(seed, 0)
    members.look()
    members.boot(1)
    members.run(3_000)
    members.sure(members.shown(1)[-1:] == [b"while away"], "it wasn't shown")
    members.look()
    return members


@_scene("the first custodian of a message that waits", *_KEPT, "PURGE-045", "PURGE-047", "PURGE-048")
def _custodian(seed: str) -> Subnet:
    rank = _ranked(seed)[2]
    members = _kept(seed, rank)
    members.look()
    for name in (0, _ranked(seed)[3]):
        members.hand(codec.encode_frame(HoldingQuery(_waiting(members))), name)
    members.boot(rank)
    for other in (0, *_ranked(seed)[3:]):
        members.dial(rank, other)
    members.run(500)
    members.look()
    members.boot(1)
    members.run(3_000)
    members.look()
    return members


@_scene("the recipient of a message that waited", *_KEPT, "PURGE-028", "PURGE-030", "PURGE-008", "PURGE-009")
def _collects(seed: str) -> Subnet:
    members = _kept(seed, 1)
    members.boot(1)
    members.run(3_000)
    members.look()
    return members


def _waiting(members: Subnet) -> bytes:
    """The id of the message in custody."""
    return next(key for c in members.computers for table, key in sorted(c.disk) if table is Table.CUSTODY)


def _opaque(members: Subnet, sender: int, hop: int, limit: int = 8) -> Envelope:
    """An envelope for member 1 that nobody can open, on its way to a node."""
    home = members[sender].running.home.record
    assert home is not None
    body = b"opaque" * 20
    ends = members[sender].id, members[1].id
    dated = members.now, 60_000, limit
    header = Header(Kind.MESSAGE, home.subnet, home.term, *ends, *dated, (), len(body), sha256(body))
    data = codec.encode_header(header)
    key = members[sender].identity.signing_key
    stamp = key.sign(signed_stamp(message_id(data), None, members.now, members[hop].id))
    trail = (Stamp(members.now, members[hop].id, stamp),)
    return Envelope(header, data, key.sign(signed_header(data)), 0, trail, body)


@_scene(
    "what nobody asked about isn't kept, nor what could never be handed on, and strangers hear of nothing",
    "PURGE-014",
    "PURGE-016",
    "PURGE-020",
    "PURGE-021",
    "PURGE-027",
    "PURGE-045",
    "PURGE-047",
    "PURGE-048",
    pair="subnet-custodian",
)
def _not_kept(seed: str) -> Subnet:
    rank = _ranked(seed)[2]
    outsider = _ranked(seed)[-1]
    members = _kept(seed, rank)
    members.hand(codec.encode_frame(HoldingQuery(_waiting(members))), outsider)
    short = _opaque(members, outsider, rank, 1)
    members.hand(codec.encode_frame(HoldingQuery(message_id(short.header_bytes))), outsider)
    members.hand(codec.encode_frame(short), outsider)
    unasked = evolve(_opaque(members, outsider, rank), work_nonce=1)
    members.part([rank, outsider], [n for n in range(5) if n not in {rank, outsider, 1}])
    members.hand(codec.encode_frame(unasked), outsider)
    members.look()
    return members


@_scene(
    "a receipt that somebody else signed moves no copy",
    "PURGE-017",
    "PURGE-024",
    "PURGE-027",
    "PURGE-038",
    pair="subnet-custodian",
)
def _forged(seed: str) -> Subnet:
    rank = _ranked(seed)[2]
    members = _kept(seed, rank)
    forger = members[_ranked(seed)[3]]
    held = codec.CUSTODY.decode(members[rank].disk[Table.CUSTODY, _waiting(members)])
    envelope = codec.decode_envelope(held.envelope)
    header = envelope.header
    ends = header.sender, header.recipient
    dated = header.created_at, header.ttl, members.now
    receipt = Receipt(_waiting(members), header.subnet, header.term, *ends, bytes(32), *dated)
    forged = evolve(receipt, signature=forger.identity.signing_key.sign(signed_receipt(receipt)))
    members.hand(codec.encode_frame(forged))
    members.look()
    return members


def played(scenes: Sequence[Scene], seed: str) -> Iterator[Case]:
    """Every scene, played anew; in another subnet where it doesn't fit, or relies on the port's evidence."""
    for scene in scenes:
        for attempt in range(TRIES):
            try:
                members = scene.play(f"{seed}/{scene.name}/{attempt}")
            except DependentError:
                continue
            break
        else:
            raise SuiteError(f"{scene.name}: {TRIES} subnets don't fit")
        yield Case(
            scene.name,
            scene.level,
            scene.rules,
            Polarity.NEGATIVE if scene.pair else Polarity.POSITIVE,
            scene.about,
            tuple(members.tape.steps),
            pair=scene.pair,
            source="script",
            derived=True,
        )


def playing(scenes: Sequence[Scene]) -> Callable[[str], Iterator[Case]]:
    """A source of the cases of these scenes; a seed's are played once."""

    @cache
    def once(seed: str) -> tuple[Case, ...]:
        return tuple(played(scenes, seed))

    return lambda seed: iter(once(seed))


cases = playing(SCENES)
"""Every scene, played anew once for each seed."""
