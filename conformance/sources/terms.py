"""Scripts of members over several terms: records, reports, guests, work, and who comes in."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from conformance.sources import crafted
from conformance.sources.subnets import Scene, Subnet, playing, registering
from tom_ref import codec, constants, records
from tom_ref.admission import request
from tom_ref.crypto import sha256
from tom_ref.draft import Roles
from tom_ref.term import own_heartbeat
from tom_ref.term_frames import Counts, RecordQuery, Signal, TermRecord, VitalsReport

SCENES: Final[list[Scene]] = []
_scene = registering(SCENES)


def _linked(seed: str, count: int = 4, *, strangers: int = 0, slot: int = 12_000) -> Subnet:
    """Members that are linked, in the first moments of their first term; the port is number 0."""
    members = Subnet(seed, 0, count, strangers=strangers, slot=slot)
    members.run(100)
    return members


def _asks(members: Subnet, subnet: bytes, term: int) -> None:
    members.hand(codec.encode_frame(RecordQuery(subnet, term)), 1)


# --- records ------------------------------------------------------------------------------------------------


@_scene(
    "a record with its proof becomes present; of the older ones the last is kept, also on disk",
    "ROLES-003",
    "ROLES-016",
    "ROLES-044",
    "PURGE-041",
)
def _next_records(seed: str) -> Subnet:
    members = _linked(seed)
    first = crafted.present(members)
    crafted.advance(members)
    members.look()
    crafted.advance(members)
    members.look()
    _asks(members, first.subnet, first.term)
    members.boot(0)
    members.look()
    return members


@_scene(
    "what belongs to a record before the present one counts no more and is told to nobody",
    "ROLES-003",
    "PURGE-041",
    pair="subnet-next-records",
)
def _old_evidence(seed: str) -> Subnet:
    members = _linked(seed)
    first = crafted.present(members)
    beat = own_heartbeat(first, records.record_hash(first), members[3].id, members[3].identity.signing_key)
    members.hand(crafted.leave(members, 3, first), 3)
    crafted.advance(members)
    members.hand(codec.encode_frame(beat), 3)
    members.hand(crafted.leave(members, 2, first), 2)
    _asks(members, first.subnet, first.term + 1)
    crafted.advance(members)
    _asks(members, first.subnet, first.term + 2)
    members.look()
    return members


@_scene(
    "a record whose proof lacks a vote changes no role",
    "ROLES-003",
    "ROLES-016",
    "ROLES-044",
    pair="subnet-next-records",
)
def _unproved(seed: str) -> Subnet:
    members = _linked(seed)
    record = crafted.present(members)
    proof = crafted.finality(members, record, crafted.shown(members, record), short=1)
    members.hand(codec.encode_frame(proof), 1)
    _asks(members, record.subnet, record.term)
    members.look()
    return members


@_scene(
    "a member that the others went on without asks to come in again, like any newcomer",
    "ROLES-061",
    "ROLES-059",
    "ROLES-113",
)
def _left_behind(seed: str) -> Subnet:
    members = _linked(seed)
    later = _without_port(members)
    members.hand(crafted.answer(members, later, (1, 2, 3)), 1)
    members.sure(crafted.present(members) == later, "the later record isn't adopted")
    members.look()
    return members


@_scene(
    "who missed no more than a record that too few vouch for stays what it is",
    "ROLES-061",
    "ROLES-059",
    pair="subnet-left-behind",
)
def _not_left_behind(seed: str) -> Subnet:
    members = _linked(seed)
    later = _without_port(members)
    members.hand(crafted.answer(members, later, (1,)), 1)
    members.look()
    return members


def _without_port(members: Subnet) -> TermRecord:
    """A record some terms later that doesn't list the port."""
    record = crafted.present(members)
    without = tuple(member for member in record.roster if member.node != members[0].id)
    return evolve(record, term=record.term + 5, previous=bytes(31) + b"\x01", roster=without)


# --- reports ------------------------------------------------------------------------------------------------


def _reported(members: Subnet) -> list[VitalsReport]:
    frames = [codec.decode_frame(data) for _, data in members[0].sent]
    return [frame for frame in frames if isinstance(frame, VitalsReport) and frame.node == members[0].id]


@_scene(
    "a member reports at a record's start how it went: delivered, expired, over more than one way",
    "VITALS-001",
    "VITALS-002",
)
def _reports_counts(seed: str) -> Subnet:
    members = _linked(seed, slot=12_000)
    for number in range(3):
        members.send(0, 1, b"arrives %d" % number, ttl=1_000)
    members.run(200)
    members.kill(2)
    members.send(0, 2, b"expires", ttl=1_000)
    members.run(6_000)
    record = crafted.advance(members).record
    members.run(record.start - members.now + 10)
    members.sure(_reported(members)[-1].counts.delivered == 3, "three were delivered")
    members.look()
    return members


@_scene(
    "what others sent, what is on its way, and what was reported before isn't counted; none is sent twice",
    "VITALS-001",
    "VITALS-002",
    pair="subnet-reports-counts",
)
def _reports_nothing(seed: str) -> Subnet:
    members = _linked(seed, slot=12_000)
    members.send(0, 1, b"arrives", ttl=1_000)
    members.send(1, 0, b"of another", ttl=1_000)
    members.run(200)
    record = crafted.advance(members).record
    members.run(record.start - members.now + 10)
    members.kill(2)
    members.send(0, 2, b"on its way", ttl=86_000_000)
    record = crafted.advance(members).record
    members.run(record.start - members.now + 10)
    members.sure(_reported(members)[-1].counts == Counts(0, 0, 0, 0, (0,) * 8), "something was counted")
    members.boot(0)
    members.run(100)
    return members


# --- signals ------------------------------------------------------------------------------------------------


@_scene("a member passes a signal on to a member that it is linked to", "ROLES-087")
def _signals(seed: str) -> Subnet:
    members = _linked(seed)
    members.hand(codec.encode_frame(Signal(members[1].id, members[2].id, b"hello")), 1)
    members.hand(codec.encode_frame(Signal(members[1].id, members[0].id, b"for you")), 1)
    return members


@_scene(
    "another's signal, one for nobody that is linked, and the sixty-fifth of a slot go nowhere",
    "ROLES-087",
    pair="subnet-signals",
)
def _bad_signals(seed: str) -> Subnet:
    members = _linked(seed)
    members.hand(codec.encode_frame(Signal(members[3].id, members[2].id, b"hello")), 1)
    members.hand(codec.encode_frame(Signal(members[1].id, sha256(b"nobody"), b"hello")), 1)
    for number in range(constants.MAX_SIGNALS):
        members.hand(codec.encode_frame(Signal(members[1].id, members[2].id, b"%d" % number)), 1)
    return members


# --- who is served ------------------------------------------------------------------------------------------


def _envelope(members: Subnet, sender: int, hop: int, body: bytes) -> bytes:
    """A message for member 1 in the name of the home."""
    home = crafted.present(members)
    place = home.subnet, home.term
    return codec.encode_envelope(crafted.envelope(members, place, (sender, 1), hop, body))


@_scene(
    "a member without a role, just admitted, and a guest are served",
    "ROLES-067",
    "ROLES-079",
    "BALANCE-016",
)
def _served(seed: str) -> Subnet:
    members = _linked(seed, strangers=2)
    record = crafted.present(members)
    for stranger in (4, 5):
        members.dial(stranger, 0)
    crafted.advance(members, crafted.joining(members, record, 4, 1))
    roles = Roles(crafted.present(members))
    members.sure(members[4].id in roles.members - set(roles.validators), "it is a validator at once")
    for sender in (4, 5):
        members.hand(_envelope(members, sender, 0, b"served %d" % sender), sender)
    return members


@_scene(
    "a guest that had its four megabytes is refused until the next term, a member isn't",
    "ROLES-067",
    "ROLES-079",
    "BALANCE-016",
    pair="subnet-served",
)
def _guest_has_had_its_share(seed: str) -> Subnet:
    members = _linked(seed, strangers=1)
    members.dial(4, 0)
    large = bytes(constants.MAX_CONTENT - 4_096)
    for number in range(constants.GUEST_BYTES // len(large)):
        members.hand(_envelope(members, 4, 0, b"%d" % number + large), 4)
    rest = bytes(20_000)
    members.hand(_envelope(members, 4, 0, b"too much" + rest), 4)
    members.hand(_envelope(members, 2, 0, b"a member's" + rest), 2)
    crafted.advance(members)
    members.hand(_envelope(members, 4, 0, b"again" + rest), 4)
    return members


def _owing(members: Subnet, debt: int) -> None:
    """The port owes so much by the record that it catches up to."""
    record = crafted.present(members)
    roster = tuple(
        evolve(member, balance=-debt if member.node == members[0].id else 0) for member in record.roster
    )
    later = evolve(record, term=record.term + 5, previous=bytes(31) + b"\x01", roster=roster, pot=debt)
    members.hand(crafted.answer(members, later, (1, 2, 3)), 1)
    members.sure(crafted.present(members) == later, "the later record isn't adopted")


@_scene("a sender in debt shows the work that its record asks for", "BALANCE-013", "BALANCE-010")
def _works(seed: str) -> Subnet:
    members = _linked(seed)
    members.send(0, 1, b"acquainted")
    members.run(100)
    _owing(members, constants.LOAD_UNIT)
    members.send(0, 1, b"paid for")
    members.look()
    return members


@_scene(
    "no work is shown without a debt",
    "BALANCE-013",
    "BALANCE-010",
    pair="subnet-works",
)
def _works_not(seed: str) -> Subnet:
    members = _linked(seed)
    members.send(0, 1, b"acquainted")
    members.run(100)
    _owing(members, -constants.LOAD_UNIT)
    members.send(0, 1, b"for nothing")
    members.look()
    return members


# --- who is sought ------------------------------------------------------------------------------------------


@_scene(
    "a member that was long alone seeks everybody that can hold roles, once somebody is there", "PURGE-043"
)
def _seeks(seed: str) -> Subnet:
    members = _linked(seed, 5)
    for other in range(1, 5):
        members.kill(other)
    members.slots(6)
    members.boot(1)
    members.tape.sought(())
    members.dial(1, 0)
    members.run(1_000)
    members.tape.sought(members[other].id for other in (2, 3, 4))
    return members


@_scene(
    "who has links to all of them dials none, however long it is silent",
    "PURGE-043",
    "LINK-094",
    pair="subnet-seeks",
)
def _seeks_nobody(seed: str) -> Subnet:
    members = _linked(seed, 5, slot=120_000)
    members.run(60_000)
    members.look()
    return members


# --- who comes in again -------------------------------------------------------------------------------------


def _request(members: Subnet, newcomer: int, sponsor: int = 0) -> bytes:
    """A request without an invitation."""
    made = request(crafted.present(members), members[newcomer].running.descriptor, members[sponsor].id, None)
    return codec.encode_frame(made)


@_scene("who was left out within a day needs no invitation to come in again", "ROLES-146", "ROLES-063")
def _left_out_lately(seed: str) -> Subnet:
    members = _linked(seed, 5)
    record = crafted.present(members)
    crafted.advance(members, crafted.left_out(members, record, 4))
    crafted.advance(members)
    crafted.advance(members)
    members.hand(_request(members, 4), 4)
    members.look()
    return members


@_scene(
    "a stranger without an invitation isn't sponsored, nor who was left out a day ago",
    "ROLES-146",
    "ROLES-107",
    "ROLES-063",
    pair="subnet-left-out-lately",
)
def _left_out_long_ago(seed: str) -> Subnet:
    members = _linked(seed, 5, strangers=1, slot=12_000_000)
    record = crafted.present(members)
    members.dial(5, 0)
    crafted.advance(members, crafted.left_out(members, record, 4))
    members.hand(_request(members, 5), 5)
    crafted.advance(members)
    members.kill(4)
    members.run(constants.FORMER_MEMORY)
    crafted.advance(members)
    members.boot(4)
    members.dial(4, 0)
    members.hand(_request(members, 4), 4)
    members.look()
    return members


cases = playing(SCENES)
"""Every scene, played anew once for each seed."""
