"""Conversation subnets (spec/08-roles.md): opened on need, carried by drafted relays, then forgotten."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from tests.members import Members
from tests.network import Draws
from tests.subnets import START, founded, identity
from tom_ref import codec, constants
from tom_ref.conversation_subnets import (
    ConversationSubnets,
    check_conversation,
    check_end,
    conversation_id,
    signed_conversation,
    signed_end,
)
from tom_ref.crypto import sha256
from tom_ref.effects import Event, Persist, SendFrame, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Envelope
from tom_ref.identity import Identity
from tom_ref.inputs import FrameReceived
from tom_ref.step import Step
from tom_ref.term_frames import Conversation, ConversationEnd, Signal
from tom_ref.timers import Timer, Timers
from tom_ref.timing import Timing

FOUR = founded(4)
RECORD = FOUR.record
A, B, C = FOUR.nodes[:3]
NEED = constants.CONVERSATION_NEED
IDLE = constants.CONVERSATION_IDLE


def unrelated(_: bytes) -> bool:
    """No other subnet's messages are carried."""
    return False


def party(node: Identity) -> ConversationSubnets:
    """One node's conversation subnets."""
    return ConversationSubnets(node.node_id, node.signing_key, Draws("conversation"), Timers())


def talk(
    one: ConversationSubnets, peer: Identity, count: int = NEED, now: int = START
) -> Conversation | None:
    """So many messages in turn; returns the last answer."""
    found = None
    for number in range(count):
        found = one.went(peer.node_id, now + number, RECORD, sent=number % 2 == 0)
    return found


def record_of(
    *nodes: Identity, nonce: bytes = bytes(32), term: int = 0, home: bytes = RECORD.subnet
) -> Conversation:
    """A conversation's record, signed by all."""
    ordered = sorted(nodes, key=lambda node: node.node_id)
    blank = Conversation(
        home, term, tuple(node.node_id for node in ordered), nonce, (bytes(64),) * len(ordered)
    )
    signed = signed_conversation(blank)
    return evolve(blank, signatures=tuple(node.signing_key.sign(signed) for node in ordered))


def refused(reason: Reason, action: Callable[[], object]) -> None:
    """The action raises this code."""
    with pytest.raises(ProtocolError) as caught:
        action()
    assert caught.value.reason is reason


def changes(step: Step) -> dict[tuple[Table, bytes], bytes | None]:
    """What a step writes."""
    return {
        (change.table, change.key): change.value
        for effect in step.finish()
        if isinstance(effect, Persist)
        for change in effect.changes
    }


# --- the record -------------------------------------------------------------------------------------------


def test_the_id_is_the_hash_of_what_is_signed() -> None:
    """TOM-ROLES-109: recomputed by hand."""
    conversation = record_of(A, B, nonce=b"n" * 32, term=7)
    parts = (RECORD.subnet, (7).to_bytes(8, "big"), A.node_id + B.node_id, b"n" * 32)
    text = b"\x12ToM/1 conversation" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert conversation_id(conversation) == sha256(text)
    check_conversation(conversation)
    for broken in (
        evolve(conversation, term=8),
        evolve(conversation, nonce=bytes(32)),
        evolve(conversation, signatures=conversation.signatures[::-1]),
        evolve(conversation, signatures=(conversation.signatures[0], bytes(64))),
    ):
        refused(Reason.BAD_SIGNATURE, lambda broken=broken: check_conversation(broken))  # type: ignore[misc]


def test_the_need_opens_it_and_the_lower_id_offers() -> None:
    """TOM-ROLES-156: sixteen in ten minutes, some each way, between members; not one less."""
    assert talk(party(A), B, NEED - 1) is None
    assert talk(party(B), A) is None, "the higher id waits to be asked"
    offer = talk(party(A), B)
    assert offer is not None
    assert offer.participants == (A.node_id, B.node_id)
    assert offer.signatures[1] == bytes(64)
    one_way = party(A)
    for number in range(2 * NEED):
        assert one_way.went(B.node_id, START + number, RECORD, sent=True) is None
    slow = party(A)
    for number in range(2 * NEED):
        now = START + number * IDLE // (NEED - 1)
        assert slow.went(B.node_id, now, RECORD, sent=number % 2 == 0) is None
    stranger = max((identity(number) for number in range(200, 230)), key=lambda one: one.node_id)
    assert talk(party(A), stranger) is None
    alone = party(A)
    for number in range(NEED):
        assert alone.went(B.node_id, START + number, None, sent=number % 2 == 0) is None
    again = party(A)
    assert talk(again, B) is not None
    assert talk(again, B, NEED - 1, START + 100) is None, "it counts anew"
    assert talk(again, B, 1, START + 200) is not None, "the first offer may be lost"


def test_traffic_with_many_is_bounded() -> None:
    """TOM-ROLES-156: the oldest count makes room."""
    one = party(A)
    for number in range(constants.MAX_QUERIES + 5):
        one.went(number.to_bytes(32, "big"), START, RECORD, sent=True)
    assert len(one._traffic) == constants.MAX_QUERIES


def opened() -> tuple[ConversationSubnets, ConversationSubnets, Conversation]:
    """Two that agreed."""
    first, second = party(A), party(B)
    offer = talk(first, B)
    assert offer is not None
    answer = second.on_conversation(Step(START), offer, RECORD, unrelated)
    assert answer is not None
    assert first.on_conversation(Step(START), answer, RECORD, unrelated) is None
    return first, second, answer


def test_an_offer_is_signed_and_comes_back() -> None:
    """TOM-ROLES-157: both hold the same; an offer that comes again is answered again."""
    first, second, answer = opened()
    check_conversation(answer)
    subnet = conversation_id(answer)
    assert (
        first.place(B.node_id, START, RECORD.subnet)
        == second.place(A.node_id, START, RECORD.subnet)
        == (subnet, 0)
    )
    assert first.serves(subnet, A.node_id, B.node_id)
    assert not first.serves(subnet, A.node_id, C.node_id)
    assert not first.serves(b"x" * 32, A.node_id, B.node_id)
    offer = evolve(answer, signatures=(answer.signatures[0], bytes(64)))
    assert second.on_conversation(Step(START), offer, RECORD, unrelated) == answer
    assert second.on_conversation(Step(START), answer, RECORD, unrelated) is None
    assert talk(first, B) is None, "one is open"


def test_what_is_offered_must_be_right() -> None:
    """TOM-ROLES-109, 157, 161: another home, a term to come, strangers, forged signatures, too many."""
    one, step, stranger = party(B), Step(START), identity(300)
    refused(
        Reason.WRONG_SUBNET,
        lambda: one.on_conversation(step, record_of(A, B, home=b"h" * 32), RECORD, unrelated),
    )
    refused(
        Reason.WRONG_SUBNET, lambda: one.on_conversation(step, record_of(A, B, term=1), RECORD, unrelated)
    )
    refused(Reason.WRONG_SUBNET, lambda: one.on_conversation(step, record_of(A, B), None, unrelated))
    refused(
        Reason.NODE_MISMATCH, lambda: one.on_conversation(step, record_of(B, stranger), RECORD, unrelated)
    )
    forged = evolve(record_of(A, B), signatures=(bytes(64), bytes(64)))
    refused(Reason.BAD_SIGNATURE, lambda: one.on_conversation(step, forged, RECORD, unrelated))
    assert changes(step) == {}
    many = party(B)
    many._pairs = {
        (RECORD.subnet, number.to_bytes(32, "big")): number.to_bytes(32, "big") for number in range(64)
    }
    refused(Reason.OVERLOADED, lambda: many.on_conversation(step, record_of(A, B), RECORD, unrelated))
    full = party(A)
    full._pairs = dict(many._pairs)
    assert talk(full, B) is None


def test_a_relay_carries_within_bounds_and_writes_nothing() -> None:
    """TOM-ROLES-158, 161: it holds the record in memory."""
    relay, step = party(C), Step(START)
    assert relay.on_conversation(step, record_of(A, B), RECORD, unrelated) is None
    subnet = conversation_id(record_of(A, B))
    relay.touch(step, subnet)
    assert relay.known(subnet)
    assert relay.place(A.node_id, START, RECORD.subnet) is None
    assert changes(step) == {}
    for number in range(1, constants.MAX_CARRIED_CONVERSATIONS):
        relay._open[number.to_bytes(32, "big")] = relay._open[subnet]
    more = record_of(A, B, nonce=b"m" * 32)
    refused(Reason.OVERLOADED, lambda: relay.on_conversation(step, more, RECORD, unrelated))
    assert relay.on_conversation(step, record_of(A, B), RECORD, unrelated) is None, "known"
    relay = party(C)
    relay.on_conversation(step, record_of(A, B), RECORD, unrelated)
    assert relay.idle(step, subnet) == (None, ())
    assert not relay.known(subnet)


def test_neighbours_are_shown_it_once_a_link() -> None:
    """TOM-ROLES-159."""
    first, _, answer = opened()
    subnet = conversation_id(answer)
    assert first.untold(subnet, C.node_id) == codec.encode_frame(answer)
    assert first.untold(subnet, C.node_id) is None
    first.show_again(C.node_id)
    assert first.untold(subnet, C.node_id) is not None
    assert first.untold(b"x" * 32, C.node_id) is None
    first.touch(Step(START), b"x" * 32)


def test_after_a_fork_what_waits_is_carried_and_new_messages_name_the_new_home() -> None:
    """TOM-ROLES-157, 158, 161, 162: a complete record of a relative is taken, a half one isn't signed."""
    step, stranger = Step(START), identity(300)
    complete = record_of(A, B, home=b"p" * 32, term=9)
    subnet = conversation_id(complete)

    def related(home: bytes) -> bool:
        return home == complete.home

    relay = party(C)
    refused(Reason.WRONG_SUBNET, lambda: relay.on_conversation(step, complete, RECORD, unrelated))
    refused(Reason.WRONG_SUBNET, lambda: relay.on_conversation(step, complete, None, related))
    assert relay.on_conversation(step, complete, RECORD, related) is None
    assert relay.serves(subnet, A.node_id, B.node_id)
    half = evolve(complete, signatures=(complete.signatures[0], bytes(64)))
    refused(Reason.WRONG_SUBNET, lambda: party(B).on_conversation(step, half, RECORD, related))
    left_behind = record_of(A, stranger, home=b"p" * 32)
    assert party(A).on_conversation(step, left_behind, RECORD, related) is None
    one = party(A)
    one.on_conversation(step, complete, RECORD, related)
    assert one.place(B.node_id, START, complete.home) == (subnet, 9)
    assert one.place(B.node_id, START, RECORD.subnet) is None
    offer = talk(one, B)
    assert offer is not None, "in the new home none is open"
    new = record_of(A, B, nonce=offer.nonce)
    one.on_conversation(step, new, RECORD, related)
    one.on_conversation(step, record_of(A, B, nonce=b"o" * 32), RECORD, unrelated)
    one.idle(step, subnet)
    one.idle(step, conversation_id(new))
    assert one.place(B.node_id, START, RECORD.subnet) is not None, "the later one stays"
    full = party(A)
    full._pairs = {(RECORD.subnet, number.to_bytes(32, "big")): bytes([number]) for number in range(64)}
    refused(Reason.OVERLOADED, lambda: full.on_conversation(step, complete, RECORD, related))


def test_it_ends_when_idle_and_leaves_no_trace() -> None:
    """TOM-ROLES-111: memory, disk and timers; the end is signed for those that were shown it."""
    first, second, answer = opened()
    subnet = conversation_id(answer)
    first.untold(subnet, C.node_id)
    step = Step(START + 60_000)
    first.touch(step, subnet)
    assert changes(step)[Table.CONVERSATION, subnet] is not None
    assert first.timers.next_deadline() == START + 60_000 + IDLE
    early = Step(START + 70_000)
    first.touch(early, subnet)
    assert changes(early) == {}, "not written more than once a minute"
    last = Step(START + 70_000 + IDLE)
    end, told = first.idle(last, subnet)
    assert end is not None
    assert told == (C.node_id,)
    check_end(end)
    assert changes(last) == {(Table.CONVERSATION, subnet): None}
    assert not first.known(subnet)
    assert first.place(B.node_id, START, RECORD.subnet) is None
    assert first.timers.next_deadline() is None
    assert (first._open, first._pairs, first._traffic, first._offered) == ({}, {}, {}, {})
    step = Step(START)
    refused(Reason.BAD_SIGNATURE, lambda: second.on_end(step, evolve(end, signature=bytes(64))))
    foreign = ConversationEnd(subnet, C.node_id, C.signing_key.sign(signed_end(subnet)))
    refused(Reason.NODE_MISMATCH, lambda: second.on_end(step, foreign))
    assert second.known(subnet)
    assert second.on_end(step, end) == ()
    assert changes(step) == {(Table.CONVERSATION, subnet): None}
    assert not second.known(subnet)
    assert second.on_end(step, end) == (), "known no more"


def test_it_comes_back_from_the_disk() -> None:
    """TOM-ROLES-111: with the time that is left; a corrupt row is refused."""
    first, step = party(A), Step(START)
    first.on_conversation(step, record_of(A, B), RECORD, unrelated)
    rows = changes(step)
    subnet = conversation_id(record_of(A, B))
    value = rows[Table.CONVERSATION, subnet]
    assert value is not None
    again = party(A)
    again.restore(subnet, value)
    assert again.place(B.node_id, START, RECORD.subnet) is None, (
        "not before the other end is heard (TOM-ROLES-162)"
    )
    assert again.went(B.node_id, START, RECORD, sent=False) is None
    assert again.place(B.node_id, START, RECORD.subnet) == (subnet, 0)
    assert again.place(B.node_id, START + constants.CONVERSATION_FRESH, RECORD.subnet) is None
    assert list(again.timers.due(START + IDLE)) == [(Timer.CONVERSATION, subnet)]
    refused(Reason.BAD_VALUE, lambda: party(A).restore(b"x" * 32, value))
    end = codec.encode_frame(ConversationEnd(subnet, A.node_id, bytes(64)))
    other = codec.CONVERSATION.encode(last=0, length=len(end), frame=end)
    refused(Reason.BAD_VALUE, lambda: party(A).restore(subnet, other))


def test_offers_are_bounded() -> None:
    """TOM-ROLES-161: what nobody answers is forgotten."""
    one = party(A)
    for number in range(constants.MAX_CONVERSATIONS + 3):
        one._offer(number.to_bytes(32, "big"), RECORD)
    assert len(one._offered) == constants.MAX_CONVERSATIONS


# --- real nodes -------------------------------------------------------------------------------------------


def chatting(members: Members, one: int, other: int) -> None:
    """As many messages as a conversation subnet needs."""
    for number in range(NEED):
        sender, recipient = (one, other) if number % 2 == 0 else (other, one)
        members.send(sender, recipient, b"chat %d" % number, ttl=60_000)
        members.run(100)


def envelopes(members: Members, subnet: bytes) -> list[int]:
    """Who sent messages of a subnet on."""
    found = []
    for computer in members.computers:
        for _, data in computer.sent:
            if data[:1] == b"\x01":
                frame = codec.decode_frame(data)
                if isinstance(frame, Envelope) and frame.header.subnet == subnet:
                    found.append(computer.index)
    return found


def open_between(members: Members, one: int, other: int) -> bytes:
    """The id of the conversation subnet that two nodes hold."""
    place = members[one].running._place(members[other].id, members.now)
    assert members[one].running._subnets.known(place[0])
    assert members[other].running._place(members[one].id, members.now) == place
    return place[0]


def rows(members: Members) -> list[int]:
    """Who has a conversation on disk."""
    return [
        computer.index
        for computer in members.computers
        if any(table is Table.CONVERSATION for table, _ in computer.disk)
    ]


def test_two_members_that_talk_get_a_subnet_and_lose_it_when_idle() -> None:
    """TOM-ROLES-109 to 111, 156 to 161: real nodes, drafted relays, every trace erased."""
    members = Members(6, timing=Timing.fast(3_000))
    members.slots(2)
    chatting(members, 0, 1)
    subnet = open_between(members, 0, 1)
    assert rows(members) == [0, 1]
    members.send(0, 1, b"inside", ttl=60_000)
    members.run(200)
    assert members.shown(1)[-1] == b"inside"
    carriers = envelopes(members, subnet)
    roles = members[0].running.home.roles
    assert roles is not None
    relays = [
        node for node in roles.conversation_relays(subnet) if node not in {members[0].id, members[1].id}
    ]
    ways = relays or list(roles.duty(members[0].id, members[1].id))
    assert carriers == sorted([0, members.by_id[ways[0]].index])
    assert [report.detail for report in members[0].events(Event.CONVERSATION_OPENED)] == [subnet.hex()]
    members.run(IDLE + 1_000)
    assert rows(members) == []
    for computer in members.computers:
        assert not computer.running._subnets._open
        assert subnet not in b"".join(computer.disk.values())
    assert len(members[0].events(Event.CONVERSATION_ENDED)) == 1
    assert len(members[1].events(Event.CONVERSATION_ENDED)) == 1
    members.send(1, 0, b"after", ttl=60_000)
    members.run(500)
    assert members.shown(0)[-1] == b"after"


def test_it_is_agreed_on_without_a_link_and_survives_its_relays() -> None:
    """TOM-ROLES-156, 159, 160: by signals; another member carries when relays die, and nothing is lost."""
    members = Members(6)
    members.slots(6)
    members.part([0, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    chatting(members, 0, 1)
    subnet = open_between(members, 0, 1)
    roles = members[0].running.home.roles
    assert roles is not None
    for node in roles.conversation_relays(subnet):
        index = members.by_id[node].index
        if index not in {0, 1}:
            members.kill(index)
    members.send(0, 1, b"by another way", ttl=600_000)
    members.run(30_000)
    assert members.shown(1)[-1] == b"by another way"


def test_a_message_that_waits_keeps_it_open() -> None:
    """TOM-ROLES-160: the recipient is away for longer than the idle time, restarts, and gets it."""
    members = Members(4, timing=Timing.fast(3_000))
    members.slots(2)
    chatting(members, 0, 1)
    subnet = open_between(members, 0, 1)
    members.kill(1)
    members.send(0, 1, b"waits", ttl=3_600_000)
    members.run(IDLE + 60_000)
    assert members[0].running._subnets.known(subnet)
    end = ConversationEnd(subnet, members[1].id, members[1].identity.signing_key.sign(signed_end(subnet)))
    link = next(iter(members[0].links))
    members.do(0, FrameReceived(link, codec.encode_frame(end)))
    assert members[0].running._subnets.known(subnet), "its message waits in it"
    members.boot(1)
    members.run(60_000)
    assert members.shown(1)[-1] == b"waits"


def test_who_forgot_a_conversation_is_shown_it_again_after_a_pause() -> None:
    """TOM-ROLES-159, TOM-DELIVERY-052: each refuses once a round, more ways than are shown it at once."""
    members = Members(8, timing=Timing.fast(3_000))
    members.slots(2)
    chatting(members, 0, 1)
    subnet = open_between(members, 0, 1)
    members.part([0, *range(2, 8)], range(1, 8))
    members.run(100)
    held = members[0].running._subnets._open[subnet]
    for computer in members.computers[2:]:
        held.told.add(computer.id)
        if computer.running._subnets.known(subnet):
            computer.running._subnets.idle(Step(members.now), subnet)
    before = len(members[0].sent)
    members.send(0, 1, b"once more", ttl=600_000)
    members.run(500)
    refusals = members[0].events(Event.REROUTED)
    assert len(refusals) == 6
    assert {report.peer for report in refusals} == {computer.id for computer in members.computers[2:]}
    handed = [data for _, data in members[0].sent[before:] if data[:1] == b"\x01"]
    assert len(handed) == 6, "nobody is asked twice before the pause"
    members.run(20_000)
    assert members.shown(1)[-1] == b"once more"


def test_bad_frames_are_refused_and_said() -> None:
    """TOM-ROLES-109, 111, 158: nothing is opened, ended or carried by them."""
    members = Members(4)
    members.slots(6)
    chatting(members, 0, 1)
    subnet = open_between(members, 0, 1)
    link = next(iter(members[0].links))
    own = members[0].running.home.record
    assert own is not None
    other = evolve(record_of(A, C, home=own.subnet), signatures=(bytes(64), bytes(64)))
    before = len(members[0].events(Event.REFUSED))
    members.do(0, FrameReceived(link, codec.encode_frame(other)))
    members.do(0, FrameReceived(link, codec.encode_frame(ConversationEnd(subnet, members[2].id, bytes(64)))))
    assert len(members[0].events(Event.REFUSED)) == before + 2
    assert members[0].running._subnets.known(subnet)


def test_signals_that_hold_no_conversation_are_refused() -> None:
    """TOM-ROLES-151: a body that begins like one must be one; any other goes to the application."""
    members = Members(3)
    members.slots(4)
    link = next(iter(members[0].links))
    peer = members[members[0].links[link][0]].id
    before = len(members[0].events(Event.REFUSED))
    broken = Signal(peer, members[0].id, b"\x12 no conversation")
    members.do(0, FrameReceived(link, codec.encode_frame(broken)))
    assert len(members[0].events(Event.REFUSED)) == before + 1
    members.do(0, FrameReceived(link, codec.encode_frame(Signal(peer, members[0].id, b"hello"))))
    assert [one.body for one in members[0].signals] == [b"hello"]


def test_an_end_is_passed_on_to_those_that_were_shown_it() -> None:
    """TOM-ROLES-111, 160: also by a relay; and one idle moment doesn't erase what has a message waiting."""
    members = Members(3)
    members.slots(4)
    chatting(members, 0, 1)
    subnet = open_between(members, 0, 1)
    relay = members[2].running
    record = members[0].running._subnets._open[subnet].conversation
    if not relay._subnets.known(subnet):
        relay._subnets.on_conversation(Step(members.now), record, relay.home.record, unrelated)
    assert relay._subnets.untold(subnet, members[1].id) or relay._subnets.known(subnet)
    end = ConversationEnd(subnet, members[0].id, members[0].identity.signing_key.sign(signed_end(subnet)))
    data = codec.encode_frame(end)
    link = next(link for link, (other, _) in members[2].links.items() if other == 0)
    members.do(2, FrameReceived(link, data))
    members.run(50)
    assert not relay._subnets.known(subnet)
    assert not members[1].running._subnets.known(subnet)
    assert members[0].running._subnets.known(subnet)
    members.part([0], [1, 2])
    members.send(0, 1, b"waits")
    step = Step(members.now)
    members[0].running._conversation_idle(step, subnet)
    assert members[0].running._subnets.known(subnet)


def test_who_was_shown_the_record_is_told_when_it_idles_away() -> None:
    """TOM-ROLES-160: whoever carried for it need not wait for its own idle time."""
    members = Members(3)
    members.slots(4)
    chatting(members, 0, 1)
    subnet = open_between(members, 0, 1)
    node = members[0].running
    node._subnets.untold(subnet, members[2].id)
    step = Step(members.now)
    node._conversation_idle(step, subnet)
    frames = [codec.decode_frame(effect.data) for effect in step.finish() if isinstance(effect, SendFrame)]
    ends = [frame for frame in frames if isinstance(frame, ConversationEnd)]
    assert ends
    assert {(end.conversation, end.node) for end in ends} == {(subnet, members[0].id)}
    assert not node._subnets.known(subnet)
