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
from conformance.sources.tape import Tape
from tests.members import Computer, Members
from tests.subnets import identity
from tom_ref import codec, constants, records
from tom_ref.conversation_subnets import signed_end
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
    LeaveSubnet,
    MakeInvitation,
)
from tom_ref.node import Node
from tom_ref.term import own_heartbeat
from tom_ref.term_frames import (
    Conversation,
    ConversationEnd,
    Counts,
    Move,
    RecordQuery,
    Signal,
    VitalsReport,
    Vote,
)
from tom_ref.timing import Timing
from tom_ref.validate import message_id, signed_header, signed_receipt, signed_stamp

SLOT: Final = 300
TTL: Final = 180_000


class Subnet(Members):
    """Members of one subnet; one or two are taken down, each on its own."""

    def __init__(
        self, seed: str, port: int, count: int, *, strangers: int = 0, slot: int = SLOT, beside: int = -1
    ) -> None:
        self.tapes = {port: Tape()} | ({beside: Tape()} if beside >= 0 else {})
        self.port = port
        self.beside = beside
        self._slot = slot
        self._seed = seed
        self._held: dict[int, Held] = {}
        super().__init__(
            count,
            strangers=strangers,
            timing=Timing.fast(slot),
            nonce=hashlib.sha256(seed.encode()).digest(),
        )

    def _made(self, computer: Computer) -> Node:
        index, tape = computer.index, self.tapes.get(computer.index)
        if tape is None:
            return super()._made(computer)
        now = self.now + computer.offset
        if index in self._held:
            held = tape.restart("port", self._held[index], now)
        else:
            secret, draws = _secret_of(computer.id), f"{self._seed}/draws/{index}"
            config = {"secret": secret.hex(), "subnet": bytes(32).hex(), "slot_ms": self._slot}
            seed = hashlib.sha256(draws.encode()).hexdigest()
            held = tape.make("port", {"seed": seed, "now": now, "config": config})
        self._held[index] = held
        computer.disk = held.disk
        return held.node

    def _stepped(self, computer: Computer, node: Node, what: Input) -> tuple[Effect, ...]:
        tape = self.tapes.get(computer.index)
        if tape is None:
            return super()._stepped(computer, node, what)
        return tape.do("port", self._held[computer.index], what, self.now + computer.offset)

    def look(self) -> dict[str, Any]:
        """Look at the nodes that are taken down; what is seen of the port."""
        seen = {index: tape.inspect("port", self._held[index]) for index, tape in self.tapes.items()}
        return seen[self.port]

    def hand(self, data: bytes, other: int | None = None) -> tuple[Effect, ...]:
        """The port gets a frame over one of its links, or over that to a certain member."""
        links = self[self.port].links
        link = next(number for number, (index, _) in links.items() if other in {None, index})
        return self.do(self.port, FrameReceived(link, data))

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
    beside: tuple[str, str, tuple[str, ...]] | None = None
    """Name, subject and rules of a second case, of the node beside."""


SCENES: Final[list[Scene]] = []
Play = Callable[[str], Subnet]


def _scene(
    about: str,
    *rules: str,
    pair: str = "",
    level: int = 7,
    beside: tuple[str, str, tuple[str, ...]] | None = None,
) -> Callable[[Play], Play]:
    def register(play: Play) -> Play:
        name = "subnet-" + play.__name__.strip("_").replace("_", "-")
        SCENES.append(Scene(name, about, _ids(rules), play, level, pair, beside))
        return play

    return register


def _ids(rules: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"TOM-{rule}" for rule in rules)


# --- terms ------------------------------------------------------------------------------------------------


def _two_terms(members: Subnet) -> None:
    """Until everybody is in term 2."""
    members.sure(
        members.slots(60, lambda: all(c.running.home.record.term > 1 for c in members.computers)),  # type: ignore[union-attr]
        "no second term",
    )


@_scene(
    "three members go from term to term, and talk",
    "NOTATION-006",
    "ROLES-003",
    "ROLES-016",
    "ROLES-019",
    "ROLES-020",
    "ROLES-028",
    "ROLES-044",
    "ROLES-053",
    "ROLES-071",
    "ROLES-076",
    "ROLES-079",
    "ROLES-088",
    "ROLES-114",
    "ROLES-140",
    "VITALS-001",
    "VITALS-002",
    "BALANCE-013",
    "PURGE-041",
)
def _terms(seed: str) -> Subnet:
    members = Subnet(seed, 0, 3)
    members.send(0, 1, b"first")
    members.send(1, 0, b"second")
    _two_terms(members)
    members.look()
    members.slots(3)
    return members


@_scene(
    "a member that is left alone keeps the record that it has, and founds nothing",
    "ROLES-016",
    "ROLES-030",
    "ROLES-045",
    "ROLES-088",
    "ROLES-108",
    "ROLES-140",
    pair="subnet-terms",
)
def _alone(seed: str) -> Subnet:
    members = Subnet(seed, 0, 3)
    members.slots(6)
    for other in (1, 2):
        members.kill(other)
    members.slots(80)
    members.sure(members[0].running.home.record.term < 2, "a term without a quorum")  # type: ignore[union-attr]
    members.look()
    return members


@_scene(
    "a member without a turn proposes nothing and shows no output of its own",
    "ROLES-022",
    "ROLES-027",
    "ROLES-028",
    "ROLES-071",
    pair="subnet-terms",
)
def _no_turn(seed: str) -> Subnet:
    founded_by = Members(3, timing=Timing.fast(SLOT), nonce=hashlib.sha256(seed.encode()).digest())
    roles = founded_by[0].running.home.roles
    assert roles is not None
    other = next(c.index for c in founded_by.computers if c.id not in {roles.leader(1), roles.leader(3)})
    members = Subnet(seed, other, 3)
    start = founded_by.founded.record.start
    members.run(max(0, start + 3 * SLOT - members.now))
    members.look()
    return members


@_scene(
    "what is offered for a term that is over gets no vote, and erased records give nothing away",
    "ROLES-003",
    "ROLES-038",
    "ROLES-039",
    "PURGE-041",
    pair="subnet-terms",
)
def _old_term(seed: str) -> Subnet:
    members = Subnet(seed, 0, 3)
    members.slots(1)
    old = members.founded.record
    _two_terms(members)
    proposals = [data for _, data in members[1].sent + members[2].sent if data[:1] == b"\x07"]
    members.sure(bool(proposals), "nobody proposed")
    stale = next(data for data in proposals if codec.decode_frame(data).header.term == old.term)  # type: ignore[union-attr]
    members.hand(stale)
    members.hand(codec.encode_frame(RecordQuery(old.subnet, old.term)))
    members.look()
    return members


@_scene("every fourth slot a member asks, and is told", "ROLES-127", "ROLES-115", "ROLES-058")
def _restarted(seed: str) -> Subnet:
    members = Subnet(seed, 0, 3)
    members.slots(8)
    members.kill(0)
    members.slots(4)
    members.boot(0)
    for other in (1, 2):
        members.dial(0, other)
    _two_terms(members)
    members.look()
    return members


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


@_scene("a member's first report is passed on once, a second is not", "VITALS-004", "ROLES-114")
def _reports(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4)
    members.run(100)
    members.hand(_report(members, 3, _WELL))
    members.hand(_report(members, 3, _WELL))
    members.look()
    return members


@_scene(
    "reports for another record, of a stranger, unsigned, and a second one",
    "VITALS-001",
    "VITALS-002",
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


# --- forks ------------------------------------------------------------------------------------------------


def _cut(members: Subnet) -> None:
    """Two of five are cut off."""
    members.slots(8)
    members.part([0, 1, 2], [3, 4])
    subnet = members.founded.record.subnet
    members.sure(
        members.slots(500, lambda: all(members[i].running.home.record.subnet != subnet for i in (3, 4))),  # type: ignore[union-attr]
        "the two don't fork",
    )


@_scene(
    "two of five are cut off, found a child, and come back",
    "ROLES-088",
    "ROLES-091",
    "ROLES-102",
    "ROLES-103",
    "ROLES-104",
    "ROLES-106",
    "ROLES-107",
    "ROLES-108",
    "ROLES-140",
    "ROLES-142",
    "ROLES-143",
    "ROLES-145",
    "ROLES-146",
    "ROLES-147",
    "ROLES-148",
    "VITALS-008",
    beside=(
        "subnet-others-come-back",
        "a member sees others go and come back, and sponsors them",
        ("ROLES-002", "ROLES-093", "ROLES-107", "ROLES-145", "ROLES-146"),
    ),
)
def _forks_and_heals(seed: str) -> Subnet:
    members = Subnet(seed, 3, 5, beside=0)
    _cut(members)
    members.look()
    members.slots(20)
    members.part()

    def healed() -> bool:
        homes = members.homes()
        return len(homes) == 1 and all(len(home) == 5 for home in homes.values())

    members.sure(members.slots(900, healed), "the two don't come back")
    members.look()
    return members


@_scene(
    "who has moved votes, proposes and shows presence in its parent no more, also after a restart",
    "ROLES-002",
    "ROLES-039",
    "ROLES-091",
    "ROLES-092",
    "ROLES-143",
    "ROLES-102",
    pair="subnet-forks-and-heals",
)
def _moved(seed: str) -> Subnet:
    members = Subnet(seed, 3, 5)
    parent = members.founded.record
    _cut(members)
    blocks = [data for c in members.computers[:3] for _, data in c.sent if data[:1] == b"\x07"]
    members.boot(3)
    members.dial(3, 4)
    members.run(20)
    for data in blocks[-2:]:
        members.hand(data, 4)
    members.hand(codec.encode_frame(RecordQuery(parent.subnet, parent.term)), 4)
    members.look()
    return members


@_scene(
    "what a member signs where it has left is refused",
    "ROLES-093",
    "ROLES-096",
    "ROLES-103",
    pair="subnet-terms",
)
def _mover_signs(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4)
    members.slots(2)
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


# --- newcomers --------------------------------------------------------------------------------------------


@_scene(
    "a newcomer is invited, a guest at once, and a member later",
    "ROLES-061",
    "ROLES-067",
    "ROLES-087",
    "ROLES-104",
    "ROLES-149",
)
def _newcomer(seed: str) -> Subnet:
    members = Subnet(seed, 2, 2, strangers=1)
    members.slots(2)
    members.do(0, MakeInvitation(members.now + 600_000))
    members.do(2, JoinSubnet(members[0].invitations[-1]))
    members.dial(2, 0)
    members.run(500)
    members.look()
    members.send(2, 1, b"from a guest")

    def admitted() -> bool:
        record = members[0].running.home.record
        return record is not None and record.member(members[2].id) is not None

    members.sure(members.slots(80, admitted), "the newcomer isn't admitted")
    members.slots(4)
    members.look()
    return members


@_scene(
    "a newcomer with an invitation that is over, and a member with one",
    "ROLES-002",
    "ROLES-061",
    "ROLES-067",
    "ROLES-104",
    pair="subnet-newcomer",
)
def _no_newcomer(seed: str) -> Subnet:
    members = Subnet(seed, 2, 2, strangers=1)
    members.slots(2)
    members.do(0, MakeInvitation(members.now + 60_000))
    invitation = members[0].invitations[-1]
    members.run(60_001)
    for what in (JoinSubnet(invitation), LeaveSubnet(), MakeInvitation(members.now + 60_000)):
        members.tried(what)
    members.look()
    return members


@_scene("a member can be in one subnet only", "ROLES-002", pair="subnet-terms")
def _second_home(seed: str) -> Subnet:
    members = Subnet(seed, 0, 3)
    members.slots(1)
    members.do(1, MakeInvitation(members.now + 60_000))
    for what in (Found(), Begin(members.founded.genesis), JoinSubnet(members[1].invitations[-1])):
        members.tried(what)
    members.look()
    return members


# --- conversation subnets ---------------------------------------------------------------------------------


def _chatting(members: Subnet, one: int, other: int) -> bytes:
    for number in range(constants.CONVERSATION_NEED):
        sender, recipient = (one, other) if number % 2 == 0 else (other, one)
        members.send(sender, recipient, b"chat %d" % number, ttl=60_000)
        members.run(100)
    place = members[one].running._subnets.place(members[other].id, members.now)  # noqa: SLF001 - to know its name
    members.sure(place is not None, "no conversation subnet")
    assert place is not None
    return place[0]


@_scene(
    "two members talk, get a subnet of their own, and lose it when they are silent",
    "ROLES-110",
    "ROLES-157",
    "ROLES-159",
    "ROLES-160",
    "ROLES-161",
    "ROLES-162",
)
def _conversation(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4, slot=12_000)
    members.slots(2)
    _chatting(members, 0, 1)
    members.send(0, 1, b"inside", ttl=60_000)
    members.run(200)
    members.look()
    members.run(constants.CONVERSATION_IDLE + 1_000)
    members.look()
    return members


@_scene(
    "a relay carries what two others say in their subnet, and keeps nothing of it",
    "ROLES-151",
    "ROLES-158",
    "ROLES-161",
)
def _carries(seed: str) -> Subnet:
    members = Subnet(seed, 2, 3, slot=12_000)
    members.slots(2)
    members.part([0, 2], [1, 2])
    _chatting(members, 0, 1)
    members.send(0, 1, b"inside", ttl=60_000)
    members.run(200)
    seen = members.look()
    members.sure(seen["conversations"] == 0, "a relay has a conversation on its disk")
    return members


@_scene(
    "a member that is about to be silent keeps the subnet in which its message waits",
    "ROLES-160",
    "ROLES-162",
    pair="subnet-conversation",
)
def _waits(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4, slot=12_000)
    members.slots(2)
    subnet = _chatting(members, 0, 1)
    members.kill(1)
    members.send(0, 1, b"waits", ttl=3_600_000)
    members.run(constants.CONVERSATION_IDLE + 6_000)
    ended = members[1].identity.signing_key.sign(signed_end(subnet))
    members.hand(codec.encode_frame(ConversationEnd(subnet, members[1].id, ended)))
    seen = members.look()
    members.sure(seen["conversations"] == 1, "it was erased")
    return members


@_scene(
    "a conversation that somebody else signed, an end that nobody signed, a signal that isn't one",
    "ROLES-151",
    "ROLES-157",
    "ROLES-158",
    "ROLES-159",
    "ROLES-161",
    "ROLES-110",
    "ROLES-087",
    pair="subnet-conversation",
)
def _bad_conversation(seed: str) -> Subnet:
    members = Subnet(seed, 0, 4, slot=12_000)
    members.slots(2)
    subnet = _chatting(members, 0, 1)
    home = members[0].running.home.record
    assert home is not None
    names = tuple(sorted((members[0].id, members[2].id)))
    unsigned = Conversation(home.subnet, home.term, names, bytes(32), (bytes(64), bytes(64)))
    ended = ConversationEnd(subnet, members[2].id, bytes(64))
    signal = Signal(members[2].id, members[0].id, b"\x12 no conversation")
    lying = Signal(members[3].id, members[1].id, b"hello")
    for frame in (unsigned, ended, signal, lying):
        members.hand(codec.encode_frame(frame), 2)
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


@_scene("the sender of a message that waits", *_KEPT, "PURGE-018", "PURGE-043", "DELIVERY-042", "ROLES-081")
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


@_scene("a holder that falls silent is replaced by the next rank", "PURGE-019", "PURGE-020", "PURGE-021")
def _replaces(seed: str) -> Subnet:
    first, second = _ranked(seed)[2:4]
    members = _kept(seed, first)
    members.kill(second)
    members.run(120_000)
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


@_scene(
    "nothing is erased or taken after a start before a link says what time it is",
    "PURGE-008",
    "PURGE-009",
    "PURGE-007",
    "PURGE-043",
    pair="subnet-collects",
)
def _no_time_yet(seed: str) -> Subnet:
    rank = _ranked(seed)[2]
    members = _kept(seed, rank)
    members.kill(rank)
    members.part([rank], [n for n in range(5) if n != rank])
    members.run(TTL + 50_000)
    members.boot(rank)
    members.run(500)
    members.look()
    return members


@_scene(
    "a copy goes at its expiry, with all that refers to it",
    "PURGE-034",
    "PURGE-038",
    "PURGE-036",
    "PURGE-007",
)
def _copy_goes(seed: str) -> Subnet:
    rank = _ranked(seed)[2]
    members = _kept(seed, rank)
    for step in (TTL - 10_000, 12_000):
        members.run(step)
        members.look()
    return members


@cache
def _played(seed: str) -> tuple[Case, ...]:
    found = []
    for scene in SCENES:
        members = scene.play(f"{seed}/{scene.name}")
        told = [(members.port, scene.name, scene.about, scene.rules)]
        if scene.beside is not None:
            name, about, rules = scene.beside
            told.append((members.beside, name, about, _ids(rules)))
        found += [
            Case(
                name,
                scene.level,
                rules,
                Polarity.NEGATIVE if scene.pair else Polarity.POSITIVE,
                about,
                tuple(members.tapes[index].steps),
                pair=scene.pair,
                source="script",
                derived=True,
            )
            for index, name, about, rules in told
        ]
    return tuple(found)


def cases(seed: str) -> Iterator[Case]:
    """Every scene, played anew."""
    yield from _played(seed)
