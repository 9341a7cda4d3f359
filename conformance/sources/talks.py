"""Scripts of conversation subnets: opened by two that talk much, carried by others, forgotten when silent."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from conformance.sources import crafted
from conformance.sources.subnets import Scene, Subnet, playing, registering
from tom_ref import codec, constants
from tom_ref.conversation_subnets import conversation_id, signed_conversation, signed_end
from tom_ref.draft import Roles
from tom_ref.frames import Envelope, HoldingQuery
from tom_ref.term_frames import Conversation, ConversationEnd, Signal
from tom_ref.validate import message_id

SCENES: Final[list[Scene]] = []
_scene = registering(SCENES)
SLOT: Final = 1_200_000
"""ms: so long that no vote begins while two are silent."""
_UNSIGNED: Final = bytes(64)


def _linked(seed: str, port: int, count: int = 4) -> Subnet:
    members = Subnet(seed, port, count, slot=SLOT)
    members.run(100)
    return members


def _chat(members: Subnet, one: int, other: int) -> bytes:
    """Two members talk until they have a subnet of their own; returns its id."""
    for number in range(constants.CONVERSATION_NEED):
        sender, recipient = (one, other) if number % 2 == 0 else (other, one)
        members.send(sender, recipient, b"chat %d" % number, ttl=60_000)
        members.run(30)
    home = crafted.present(members).subnet
    subnets = members[one].running._subnets  # noqa: SLF001 - to know its name
    place = subnets.place(members[other].id, members.now, home)
    members.sure(place is not None, "no conversation subnet")
    assert place is not None
    return place[0]


def _record(
    members: Subnet, *indices: int, signing: tuple[int, ...] | None = None, number: int = 0, term: int = 0
) -> Conversation:
    """A conversation between members, signed by all of them or by some."""
    home = crafted.present(members)
    names = sorted(indices, key=lambda index: members[index].id)
    nonce = number.to_bytes(32, "big")
    ids = tuple(members[index].id for index in names)
    blank = Conversation(home.subnet, term, ids, nonce, (_UNSIGNED,) * len(ids))
    signed = signed_conversation(blank)
    hands = indices if signing is None else signing
    signatures = [
        members[index].identity.signing_key.sign(signed) if index in hands else _UNSIGNED for index in names
    ]
    return evolve(blank, signatures=tuple(signatures))


def _inside(
    members: Subnet, subnet: bytes, sender: int, recipient: int, body: bytes, *, limit: int = 8
) -> Envelope:
    """A message that names a conversation subnet, as its sender hands it to the port."""
    return crafted.envelope(members, (subnet, 0), (sender, recipient), members.port, body, limit=limit)


def _give(members: Subnet, frame: codec.AnyFrame, other: int) -> None:
    members.hand(codec.encode_frame(frame), other)


# --- opening ----------------------------------------------------------------------------------------------


@_scene(
    "two members talk, get a subnet of their own, show it to who carries, once, and lose it when silent",
    "ROLES-110",
    "ROLES-111",
    "ROLES-156",
    "ROLES-159",
    "ROLES-160",
    "ROLES-161",
    "ROLES-162",
)
def _conversation(seed: str) -> Subnet:
    members = _linked(seed, 0)
    _chat(members, 0, 1)
    for number in range(2):
        members.send(0, 1, b"inside %d" % number, ttl=60_000)
        members.run(50)
    members.look()
    members.run(constants.CONVERSATION_IDLE + 1_000)
    members.look()
    return members


@_scene(
    "after a minute without the other a message names the home; while one waits nothing is erased",
    "ROLES-160",
    "ROLES-162",
    pair="subnet-conversation",
)
def _waits(seed: str) -> Subnet:
    members = _linked(seed, 0)
    subnet = _chat(members, 0, 1)
    members.kill(1)
    members.send(0, 1, b"waits", ttl=3_600_000)
    members.run(constants.CONVERSATION_FRESH)
    members.send(0, 1, b"in the home's name", ttl=1_000)
    members.run(constants.CONVERSATION_IDLE)
    ended = members[1].identity.signing_key.sign(signed_end(subnet))
    _give(members, ConversationEnd(subnet, members[1].id, ended), 2)
    members.sure(members.look()["conversations"] == 1, "it was erased")
    return members


@_scene(
    "a member that is offered a conversation signs it, and sends it back whenever it is offered",
    "ROLES-151",
    "ROLES-157",
    "ROLES-161",
)
def _signs(seed: str) -> Subnet:
    members = _linked(seed, 1)
    offer = _record(members, 0, 1, signing=(0,))
    _give(members, offer, 0)
    _give(members, offer, 0)
    later = _record(members, 1, 2, signing=(2,))
    _give(members, Signal(members[2].id, members[1].id, codec.encode_frame(later)), 3)
    members.look()
    return members


@_scene(
    "another home's, one of a later term, one with a stranger, one that its sender didn't sign: not signed",
    "ROLES-151",
    "ROLES-157",
    "ROLES-161",
    pair="subnet-signs",
)
def _signs_not(seed: str) -> Subnet:
    members = Subnet(seed, 1, 4, strangers=1, slot=SLOT)
    members.run(100)
    _give(members, evolve(_record(members, 0, 1, signing=(0,)), home=bytes(32)), 0)
    _give(members, _record(members, 0, 1, signing=(0,), term=1), 0)
    _give(members, _record(members, 1, 4, signing=(4,)), 0)
    _give(members, _record(members, 0, 1, signing=()), 0)
    _give(members, Signal(members[2].id, members[1].id, b"\x12 no conversation"), 2)
    offered = codec.encode_frame(_record(members, 1, 2, signing=(2,)))
    _give(members, Signal(members[2].id, members[3].id, offered), 2)
    members.sure(members.look()["conversations"] == 0, "one was signed")
    return members


# --- carrying ---------------------------------------------------------------------------------------------


@_scene(
    "a relay that was shown a conversation carries its messages, shows it on, and keeps nothing on disk",
    "ROLES-158",
    "ROLES-159",
    "ROLES-161",
    "ROLES-162",
)
def _carries(seed: str) -> Subnet:
    members = _linked(seed, 2)
    record = _record(members, 0, 1)
    _give(members, record, 0)
    for number in range(2):
        _give(members, _inside(members, conversation_id(record), 0, 1, b"inside %d" % number), 0)
    members.sure(members.look()["conversations"] == 0, "a relay has a conversation on its disk")
    return members


@_scene(
    "what names a conversation that nobody showed, or comes from another, isn't carried, nor after a restart",
    "ROLES-158",
    "ROLES-159",
    "ROLES-161",
    pair="subnet-carries",
)
def _carries_not(seed: str) -> Subnet:
    members = _linked(seed, 2)
    record = _record(members, 0, 1)
    subnet = conversation_id(record)
    _give(members, _inside(members, subnet, 0, 1, b"nobody showed it"), 0)
    _give(members, _record(members, 0, 1, signing=(0,)), 0)
    _give(members, _inside(members, subnet, 0, 1, b"it lacks a signature"), 0)
    _give(members, record, 0)
    _give(members, _inside(members, subnet, 3, 1, b"of another"), 3)
    members.boot(2)
    for other in (0, 1, 3):
        members.dial(other, 2)
    _give(members, _inside(members, subnet, 0, 1, b"forgotten"), 0)
    members.look()
    return members


@_scene(
    "a member that keeps messages keeps none that names a conversation",
    "ROLES-162",
    "PURGE-014",
    pair="subnet-carries",
)
def _keeps_not(seed: str) -> Subnet:
    members = _linked(seed, 2)
    roles = Roles(crafted.present(members))
    members.fits(roles.duty(members[0].id, members[1].id)[0] == members[2].id)
    record = _record(members, 0, 1)
    members.kill(1)
    _give(members, record, 0)
    waiting = _inside(members, conversation_id(record), 0, 1, b"inside")
    _give(members, HoldingQuery(message_id(waiting.header_bytes)), 0)
    _give(members, waiting, 0)
    members.sure(members.look()["custody"] == 0, "it is kept")
    return members


@_scene(
    "a conversation that is one too many to know isn't taken, and its messages aren't carried",
    "ROLES-161",
    pair="subnet-carries",
)
def _knows_too_many(seed: str) -> Subnet:
    members = _linked(seed, 2, 3)
    for number in range(constants.MAX_CARRIED_CONVERSATIONS):
        _give(members, _record(members, 0, 1, number=number), 0)
    record = _record(members, 0, 1, number=constants.MAX_CARRIED_CONVERSATIONS)
    _give(members, record, 0)
    _give(members, _inside(members, conversation_id(record), 0, 1, b"inside"), 0)
    return members


cases = playing(SCENES)
"""Every scene, played anew once for each seed."""
