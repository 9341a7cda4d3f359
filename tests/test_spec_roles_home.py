"""A node's home: founding, joining, presence, leaving, catching up, and what forgers get (chapter 08).

Real nodes over wires that a test may cut, hold or tamper with.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from tests.homes import HOUR, SLOT, TERM, Homes, alone, answers, give, hand, refused
from tests.network import START, Network
from tests.subnets import founded, identity, joined
from tom_ref import codec, constants, records, term_codec
from tom_ref.admission import request
from tom_ref.codec import AnyFrame
from tom_ref.directory import Directory
from tom_ref.draft import Roles
from tom_ref.effects import (
    CloseLink,
    Deliver,
    DeliveryState,
    Dial,
    Effect,
    Event,
    Persist,
    Progress,
    Report,
    Signalled,
    Table,
)
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Address, DescriptorAnswer, DescriptorQuery, Envelope, Transport
from tom_ref.inputs import (
    AddPeer,
    Begin,
    ClockMeasured,
    CommandError,
    Found,
    FrameReceived,
    JoinSubnet,
    LeaveSubnet,
    MakeInvitation,
    SendMessage,
    SendSignal,
    SetAddresses,
    Wake,
)
from tom_ref.invitation import shown_token, sign_invitation
from tom_ref.states import Standing
from tom_ref.step import Step
from tom_ref.term_frames import (
    NO_HASH,
    NO_TERM,
    FinalityProof,
    Heartbeat,
    Join,
    Leave,
    Member,
    Proposal,
    RecordAnswer,
    RecordQuery,
    Signal,
    TermRecord,
    Vote,
)

ABC = ("A", "B", "C")
ABCD = ("A", "B", "C", "D")


def three() -> Homes:
    """A subnet of three, all of them eligible."""
    net = Homes(*ABC)
    net.form(*ABC)
    net.settle()
    net.next_record(*ABC)
    return net


def four() -> Homes:
    """A subnet of four, all of them eligible."""
    net = Homes(*ABCD)
    net.form(*ABCD)
    net.settle()
    net.next_record(*ABCD)
    return net


def by_node(*beats: Heartbeat) -> tuple[Heartbeat, ...]:
    """Heartbeats in the order of an answer."""
    return tuple(sorted(beats, key=lambda beat: beat.node))


def heartbeat(net: Homes, name: str, **changes: Any) -> Heartbeat:
    """A node's heartbeat for its present record, signed as it should be unless it is changed before."""
    record, node = net.record(name), net[name].identity
    beat = Heartbeat(record.subnet, record.term, records.record_hash(record), node.node_id, bytes(64))
    beat = evolve(beat, **changes)
    signed = records.signed_heartbeat(beat.subnet, beat.term, beat.record)
    return evolve(beat, signature=node.signing_key.sign(signed))


# --- founding -----------------------------------------------------------------------------------------------


def test_a_subnet_of_one_goes_from_term_to_term() -> None:
    """TOM-ROLES-011 to 018: one validator, quorum one, everything final by its own votes."""
    net = alone()
    assert net.standing("A") is Standing.MEMBER
    assert net.term("A") == 0
    net.settle(4)
    assert net.term("A") >= 3
    roles = net["A"].node.home.roles
    assert roles is not None
    assert (roles.quorum, roles.relays, roles.validators) == (1, (net["A"].id,), (net["A"].id,))
    status = net["A"].node.status()
    assert status.heard == (net["A"].id,)
    assert status.last_slot in {0, 1, 2}
    assert net.refusals("A") == []


def test_who_has_a_home_founds_and_joins_none() -> None:
    """TOM-ROLES-002: a home at a time."""
    net = three()
    other = Homes("X")
    other.do("X", Found())
    for command in (Found(), JoinSubnet(other.invite("X"))):
        with pytest.raises(CommandError) as caught:
            net.do("B", command)
        assert caught.value.reason is Reason.WRONG_SUBNET
    assert net.standing("B") is Standing.MEMBER


def test_founders_may_begin_together() -> None:
    """TOM-ROLES-014: a genesis that both signed; nobody else begins with it, nor with a forged one."""
    subnet = founded(2, start=1_800_000_000_000)
    net = Homes("X")
    with pytest.raises(CommandError) as caught:
        net.do("X", Begin(subnet.genesis))
    assert caught.value.reason is Reason.NODE_MISMATCH
    assert net.standing("X") is Standing.NONE
    forged = evolve(subnet.genesis, signatures=(bytes(64), bytes(64)))
    with pytest.raises(CommandError) as caught:
        net.do("X", Begin(forged))
    assert caught.value.reason is Reason.BAD_SIGNATURE
    for name, node in zip(("one", "two"), subnet.nodes, strict=True):
        net.add(name, identity=node)
        net.do(name, Begin(subnet.genesis))
    net.connect("one", "two")
    net.settle()
    assert net.agree(("one", "two"))
    assert net.term("one") >= 2


# --- joining ------------------------------------------------------------------------------------------------


def test_a_newcomer_is_a_guest_at_once_and_sends() -> None:
    """TOM-ROLES-062, 063, 067: it holds the record, which doesn't list it, and its messages are carried."""
    net = three()
    net.add("N")
    net.do("N", JoinSubnet(net.invite("A")))
    assert net.standing("N") is Standing.JOINING
    net.pass_time(10)
    assert net.standing("N") is Standing.GUEST
    assert net.last("N", Event.GUEST).detail == f"term {net.term('A')}"
    handle = net.send("N", "B", b"from outside")
    back = net.send("B", "N", b"from inside")
    net.pass_time(2_000)
    assert net.states("N", handle)[-1] is DeliveryState.DELIVERED
    assert net.states("B", back)[-1] is DeliveryState.DELIVERED
    assert net["N"].node.status().host == net["A"].id


def test_a_newcomer_is_listed_in_the_next_record_and_eligible_two_terms_later() -> None:
    """TOM-ROLES-065, 066: from guest to member to a role."""
    net = three()
    net.add("N")
    net.join("N", "A")
    for _ in range(40):
        net.pass_time(SLOT)
        if net.standing("N") is Standing.MEMBER:
            break
    member = net.record("A").member(net["N"].id)
    assert member is not None
    assert member.admitted == net.term("A")
    roles = net["A"].node.home.roles
    assert roles is not None
    assert net["N"].id not in {each.node for each in roles.pool}
    assert net.events("N", Event.ADMITTED)[-1].detail == f"term {member.admitted}"
    net.settle(3)
    roles = net["N"].node.home.roles
    assert roles is not None
    assert net["N"].id in roles.validators
    assert net.agree((*ABC, "N"))


def changed(net: Homes, inviter: str, **changes: Any) -> JoinSubnet:
    """Join by an invitation that its inviter might have made otherwise."""
    invitation = evolve(net.invite(inviter), **changes)
    return JoinSubnet(sign_invitation(invitation, net[inviter].identity.signing_key))


ELSEWHERE = (Address(Transport.MEMORY, "elsewhere"),)


def test_a_newcomer_takes_a_later_invitation() -> None:
    """TOM-ROLES-062: on its way, its inviter having moved; as a guest, the inviter not knowing its token."""
    net = three()
    net.add("N")
    net.do("N", changed(net, "A", addresses=ELSEWHERE, token=bytes(16)))
    net.pass_time(5_000)
    assert net.standing("N") is Standing.JOINING
    with pytest.raises(CommandError) as caught:
        net.do("N", changed(net, "A", expires_at=net.now))
    assert caught.value.reason is Reason.EXPIRED
    other = Homes("X")
    other.do("X", Found())
    with pytest.raises(CommandError) as caught:
        net.do("N", JoinSubnet(other.invite("X")))
    assert caught.value.reason is Reason.WRONG_SUBNET
    net.do("N", changed(net, "A", token=bytes(16)))
    net.restart("N")
    net.settle(2)
    assert net.standing("N") is Standing.GUEST
    net.do("N", JoinSubnet(net.invite("A")))
    assert len(net.events("N", Event.JOINING)) == 1
    net.settle(2)
    assert net.standing("N") is Standing.MEMBER


def test_a_member_looks_for_an_inviter_where_its_invitation_says() -> None:
    """TOM-ROLES-002: it stays where it is, and needs no invitation that is its own or has expired."""
    net = three()
    for useless in (changed(net, "A", expires_at=net.now), JoinSubnet(net.invite("B"))):
        assert net.do("B", useless) == ()
    net.cut("B", "A")
    assert Dial(net["A"].id, ELSEWHERE) in net.do("B", changed(net, "A", addresses=ELSEWHERE))
    assert net.standing("B") is Standing.MEMBER


def test_a_newcomer_that_restarts_goes_on_where_it_was() -> None:
    """TOM-ROLES-036: as a joining node, as a guest, as a member."""
    net = three()
    net.add("N")
    net.split("N")
    net.do("N", JoinSubnet(net.invite("A")))
    net.restart("N")
    assert net.standing("N") is Standing.JOINING
    net.sides.clear()
    net.pass_time(1_100)
    assert net.standing("N") is Standing.GUEST
    net.restart("N")
    assert net.standing("N") is Standing.GUEST
    net.settle(2)
    assert net.standing("N") is Standing.MEMBER
    net.restart("N")
    assert net.standing("N") is Standing.MEMBER
    assert net.agree((*ABC, "N"))


@pytest.mark.parametrize("kind", ["expired", "own", "forged"])
def test_what_is_no_good_invitation_is_refused(kind: str) -> None:
    """TOM-ROLES-119: codes expired, bad_signature; nothing changes."""
    net = three()
    net.add("N")
    invitation = net.invite("A", validity=SLOT)
    name, expected = "N", Reason.BAD_SIGNATURE
    if kind == "expired":
        net.pass_time(SLOT)
        expected = Reason.EXPIRED
    elif kind == "own":
        invitation = evolve(invitation, inviter=net["N"].id)
        invitation = sign_invitation(invitation, net["N"].identity.signing_key)
        expected = Reason.NODE_MISMATCH
    else:
        invitation = evolve(invitation, signature=bytes(64))
    with pytest.raises(CommandError) as caught:
        net.do(name, JoinSubnet(invitation))
    assert caught.value.reason is expected
    assert net.standing(name) is Standing.NONE


def test_an_invitation_that_runs_out_unused_is_given_up() -> None:
    """TOM-ROLES-119: the host was never reached."""
    net = three()
    net.add("N")
    net.split("N")
    net.do("N", JoinSubnet(net.invite("A", validity=1_500)))
    net.pass_time(2_500)
    assert net.standing("N") is Standing.NONE
    assert net.events("N", Event.LEFT_OUT)[0].detail == "the invitation has expired"
    assert not [key for key in net["N"].disk if key[0] is Table.RECORD]


def test_only_members_invite_and_only_so_many() -> None:
    """TOM-ROLES-119, 123: no home, nothing listens, an end in the past, too many open ones."""
    net = alone()
    net.add("N")
    with pytest.raises(CommandError) as caught:
        net.do("N", MakeInvitation(net.now + HOUR))
    assert caught.value.reason is Reason.WRONG_SUBNET
    with pytest.raises(CommandError) as caught:
        net.do("A", MakeInvitation(net.now))
    assert caught.value.reason is Reason.EXPIRED
    for _ in range(constants.MAX_INVITATIONS):
        net.invite("A", validity=SLOT)
    with pytest.raises(CommandError) as caught:
        net.do("A", MakeInvitation(net.now + HOUR))
    assert caught.value.reason is Reason.OVERLOADED
    net.restart("A")
    with pytest.raises(CommandError):
        net.do("A", MakeInvitation(net.now + HOUR))
    net.pass_time(SLOT)
    net.invite("A")
    net.do("A", SetAddresses(()))
    with pytest.raises(CommandError) as caught:
        net.do("A", MakeInvitation(net.now + HOUR))
    assert caught.value.reason is Reason.BAD_VALUE


def test_a_stored_invitation_that_is_none_stops_the_node() -> None:
    """A corrupt disk is said to be corrupt."""
    net = alone()
    net.invite("A")
    [key] = [key for key in net["A"].disk if key[0] is Table.INVITATION]
    net["A"].disk[key] = b"1"
    with pytest.raises(ProtocolError):
        net.restart("A")
    del net["A"].disk[key]
    net["A"].disk[Table.RECORD, b"other"] = b""
    with pytest.raises(ProtocolError):
        net.restart("A")


# --- what a newcomer believes -------------------------------------------------------------------------------


def forged_answers(net: Homes) -> Iterator[tuple[str, RecordAnswer, str | None]]:
    """Answers of an inviter that break one rule each, and the code (``None``: waited on)."""
    record = net.record("A")
    beats = by_node(*(heartbeat(net, name) for name in ABC))
    good = RecordAnswer(record, None, beats)
    others = tuple(beat for beat in beats if beat.node != net["A"].id)

    def vouched(changed: TermRecord) -> RecordAnswer:
        present = records.record_hash(changed)
        signed = [heartbeat(net, name, record=present, term=changed.term) for name in ABC]
        return RecordAnswer(changed, None, by_node(*signed))

    later = evolve(record, term=record.term + 1)
    strangers = tuple(member for member in record.roster if member.node != net["A"].id)
    stranger = heartbeat_of_stranger(net)
    yield "another record of the term", vouched(evolve(record, seed=b"s" * 32)), "bad_record"
    yield "an older record", vouched(evolve(record, term=record.term - 1)), "bad_record"
    yield "not of the inviter's", vouched(evolve(later, roster=strangers)), "node_mismatch"
    stuffed = Member(stranger.node, bytes(32), admitted=0)
    roster = tuple(sorted((*record.roster, stuffed), key=lambda member: member.node))
    yield "a forged roster", vouched(evolve(record, roster=roster)), "bad_record"
    yield "too fast", vouched(evolve(later, slot_ms=299)), "bad_value"
    yield "forged", evolve(good, heartbeats=(evolve(beats[0], signature=bytes(64)),)), "bad_signature"
    yield "nobody vouches", evolve(good, heartbeats=()), None
    yield "one vouches", evolve(good, heartbeats=others[:1]), None
    yield "one and the inviter", evolve(good, heartbeats=by_node(heartbeat(net, "A"), others[0])), None
    yield "one and a stranger", evolve(good, heartbeats=by_node(others[0], stranger)), None
    yield "another subnet", evolve(good, present=evolve(record, subnet=b"x" * 32)), None


def heartbeat_of_stranger(net: Homes) -> Heartbeat:
    """A heartbeat for A's record of a node that it doesn't list."""
    record, stranger = net.record("A"), identity(5)
    present = records.record_hash(record)
    signed = records.signed_heartbeat(record.subnet, record.term, present)
    return Heartbeat(record.subnet, record.term, present, stranger.node_id, stranger.signing_key.sign(signed))


@pytest.mark.parametrize("number", range(11))
def test_a_newcomer_cross_checks_what_its_inviter_says(number: int) -> None:
    """TOM-ROLES-062: the invitation's subnet, its record or a later one, the inviter and two more members."""
    net = three()
    net.add("N")
    net.split("N")
    net.do("N", JoinSubnet(net.invite("A")))
    kind, forged, code = list(forged_answers(net))[number]
    net.sides.clear()
    net.tamper = lambda sender, target, frame: (
        codec.encode_frame(forged)
        if target == "N" and isinstance(frame, RecordAnswer)
        else codec.encode_frame(frame)
    )
    net.pass_time(2_000)
    assert net.standing("N") is Standing.JOINING, kind
    assert net.refusals("N")[:1] == ([] if code is None else [code])
    net.tamper = None
    net.pass_time(3_000)
    assert net.standing("N") is not Standing.JOINING, "the true answer is taken"


def test_only_the_inviter_is_believed() -> None:
    """TOM-ROLES-062: another member's answer, good as it is, is no ground."""
    net = three()
    net.add("N")
    net.split("N", "A")
    net.do("N", JoinSubnet(net.invite("A")))
    net.queue.clear()
    net.dialled.clear()
    net.sides.clear()
    net.connect("N", "B")
    net.queue.clear()
    beats = by_node(*(heartbeat(net, name) for name in ABC))
    hand(net, "N", "B", RecordAnswer(net.record("B"), None, beats))
    assert net.standing("N") is Standing.JOINING


# --- who is sponsored ---------------------------------------------------------------------------------------


def outsider() -> Homes:
    """Three members and a node without a home that is linked to all of them."""
    net = three()
    net.add("N")
    for name in ABC:
        net.connect("N", name)
    net.run()
    return net


def asked(net: Homes, sponsor: str, token: bytes | None) -> Join:
    """A request of N's."""
    return request(net.record("A"), net["N"].node.descriptor, net[sponsor].id, token)


def test_who_shows_the_token_is_sponsored() -> None:
    """TOM-ROLES-121, 122: the sponsor's signature takes the token's place before others see it."""
    net = outsider()
    token = net.invite("A").token
    effects = hand(net, "A", "N", asked(net, "A", token))
    gossip = [frame for frame in answers(effects) if isinstance(frame, Join)]
    assert gossip
    assert all(join.signature[32:] != bytes(32) for join in gossip)
    assert net.events("A", Event.SPONSORED)[-1].peer == net["N"].id
    assert refused(hand(net, "B", "N", gossip[0])) == []
    assert answers(hand(net, "A", "N", asked(net, "A", token))) == [], "asked again, it is on its way"
    assert refused(hand(net, "C", "N", gossip[0])) == []
    assert hand(net, "C", "B", gossip[0]) == (), "heard before"


def test_who_was_not_invited_is_not_sponsored() -> None:
    """TOM-ROLES-122: code node_mismatch for no token, another's token, another sponsor, another's link."""
    net = outsider()
    token = net.invite("A").token
    stranger = request(net.record("A"), net["N"].node.descriptor, net["A"].id, b"t" * 16)
    for bad in (asked(net, "A", None), stranger, asked(net, "B", token)):
        assert refused(hand(net, "A", "N", bad)) == ["node_mismatch"]
    assert refused(hand(net, "A", "B", asked(net, "A", token))) == ["node_mismatch"]
    record, descriptor = net.record("A"), net["N"].node.descriptor
    shown = shown_token(token, record.subnet, record.term, descriptor.node_id)
    lazy = next(
        nonce
        for nonce in itertools.count()
        if records.join_work(record.subnet, record.term, descriptor.node_id, nonce) < constants.JOIN_WORK_BITS
    )
    idle = Join(record.subnet, record.term, descriptor, lazy, net["A"].id, shown)
    assert refused(hand(net, "A", "N", idle)) == ["bad_work"]
    assert net["A"].node.home.admission.joins == ()


def test_one_sponsor_does_not_bring_the_world() -> None:
    """TOM-ROLES-064, 123: joins in bulk from one party; the others' still find room (code overloaded)."""
    net = outsider()
    record = net.record("A")
    liar, honest = net["B"].identity, net["C"].identity
    newcomers = [identity(100 + number) for number in range(4)]
    codes = [refused(give(net, "A", "B", joined(record, node, liar))) for node in newcomers[:3]]
    assert codes == [[], [], ["overloaded"]]
    assert refused(give(net, "A", "B", joined(record, newcomers[3], honest))) == []
    assert len(net["A"].node.home.admission.joins) == 3
    net.settle(1)
    assert len(net.record("A").roster) == 5, "three and two that the record admits"
    assert net.agree(ABC)


def test_a_full_table_of_joins_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-123: whoever sponsors."""
    monkeypatch.setattr(constants, "MAX_JOINS", 1)
    net = outsider()
    record = net.record("A")
    assert refused(hand(net, "A", "B", joined(record, identity(100), net["B"].identity))) == []
    late = joined(record, identity(101), net["C"].identity)
    assert refused(hand(net, "A", "B", late)) == ["overloaded"]


def test_a_join_that_breaks_a_rule_is_refused() -> None:
    """TOM-ROLES-010, 063: of a member, by a sponsor that is none, forged, of an older term."""
    net = outsider()
    record = net.record("A")
    good = joined(record, identity(100), net["B"].identity)
    member = joined(record, net["C"].identity, net["B"].identity)
    stranger = joined(record, identity(100), identity(101))
    forged = evolve(good, signature=b"\x01" * 64)
    for bad, code in ((member, "bad_record"), (stranger, "node_mismatch"), (forged, "bad_signature")):
        assert refused(hand(net, "A", "B", bad)) == [code]
    older = joined(evolve(record, term=record.term - 1), identity(100), net["B"].identity)
    [told] = answers(hand(net, "A", "B", older))
    assert isinstance(told, FinalityProof), "who is behind is told"
    assert answers(hand(net, "A", "B", evolve(older, work_nonce=0))) == [], "and told once"


# --- presence -----------------------------------------------------------------------------------------------


def test_presence_is_shown_when_a_record_comes_and_when_it_starts() -> None:
    """TOM-ROLES-053 to 055: everybody's heartbeat reaches everybody, and nobody counts as absent."""
    net = four()
    net.pass_time(2 * SLOT)
    assert len(net["A"].node.status().heard) == 4
    assert {member.absent for member in net.record("A").roster} == {0}


def test_heartbeats_that_prove_nothing_are_refused() -> None:
    """TOM-ROLES-054: forged, of no member, for another record, of another subnet."""
    net = three()
    net.connect("A", "B") if "B" not in net["A"].links else None
    beat = heartbeat(net, "C")
    held = net["A"].node.status().heard
    cases = [
        (evolve(beat, signature=bytes(64)), ["bad_signature"]),
        (heartbeat_of_stranger(net), ["node_mismatch"]),
        (heartbeat(net, "C", record=b"r" * 32), ["wrong_term"]),
        (heartbeat(net, "C", subnet=b"s" * 32), []),
        (heartbeat(net, "C", term=net.term("C") - 1), []),
    ]
    for bad, codes in cases:
        assert refused(hand(net, "A", "B", bad)) == codes
    assert net["A"].node.status().heard == held


@pytest.mark.slow
def test_who_is_away_for_eight_terms_is_left_out() -> None:
    """TOM-ROLES-055, 056, 061: it isn't counted meanwhile, and comes back as a newcomer does."""
    net = four()
    net.stop("D")
    seen = []
    for _ in range(12):
        net.next_record("A")
        member = net.record("A").member(net["D"].id)
        seen.append(None if member is None else member.absent)
    assert max(absent for absent in seen if absent is not None) == 7
    assert seen[-1] is None
    assert net.agree(ABC)
    net.restart("D")
    net.pass_time(3 * SLOT)
    assert net.standing("D") is Standing.GUEST, "caught up with a record that doesn't list it"
    assert net.events("D", Event.CAUGHT_UP)
    assert net.events("D", Event.LEFT_OUT)
    net.settle(2)
    assert net.standing("D") is Standing.MEMBER, "within a day it needs no invitation (TOM-ROLES-146)"


@pytest.mark.slow
def test_who_was_just_left_out_comes_back_by_any_member() -> None:
    """TOM-ROLES-122: the previous record lists it, so that no invitation is needed."""
    net = four()
    net.stop("D")
    while net.record("A").member(net["D"].id) is not None:
        net.pass_time(SLOT)
    net.restart("D")
    net.pass_time(2 * SLOT)
    assert net.standing("D") is Standing.GUEST
    net.settle(1)
    assert net.standing("D") is Standing.MEMBER
    member = net.record("A").member(net["D"].id)
    assert member is not None
    assert member.admitted > 0


# --- leaving ------------------------------------------------------------------------------------------------


def test_a_member_that_leaves_is_not_in_the_next_record() -> None:
    """TOM-ROLES-057: and forgets its home, also on its disk."""
    net = three()
    net.do("C", LeaveSubnet())
    assert net.standing("C") is Standing.MEMBER, "until the next record"
    net.settle(2)
    assert net.standing("C") is Standing.NONE
    assert net.roster("A") == {"A", "B"}
    assert not [key for key in net["C"].disk if key[0] in {Table.RECORD, Table.TERM}]
    with pytest.raises(CommandError):
        net.do("C", LeaveSubnet())
    net.do("C", Found())
    assert net.standing("C") is Standing.MEMBER


def test_a_leave_outlives_a_restart_and_a_term() -> None:
    """TOM-ROLES-057: who is cut off when it asks is left out later."""
    net = three()
    net.split("C")
    net.do("C", LeaveSubnet())
    net.settle(2)
    assert net.roster("A") == {"A", "B", "C"}
    net.restart("C")
    net.sides.clear()
    net.settle(2)
    assert net.standing("C") is Standing.NONE
    assert net.roster("A") == {"A", "B"}


def test_the_last_member_leaves_at_once_and_so_does_a_guest() -> None:
    """TOM-ROLES-057: nobody has to agree."""
    net = alone()
    net.add("N")
    net.do("N", JoinSubnet(net.invite("A")))
    net.pass_time(10)
    assert net.standing("N") is Standing.GUEST
    net.do("N", LeaveSubnet())
    assert net.standing("N") is Standing.NONE
    net = alone()
    net.do("A", LeaveSubnet())
    assert net.standing("A") is Standing.NONE


def test_all_may_leave_at_once() -> None:
    """TOM-ROLES-057: a record lists somebody, so the proposer stays for one more, and then leaves alone."""
    net = three()
    for name in ABC:
        net.do(name, LeaveSubnet())
    net.settle(3)
    assert {net.standing(name) for name in ABC} == {Standing.NONE}


def test_a_forged_leave_counts_for_nothing() -> None:
    """TOM-ROLES-057: nor one of a node that is no member, nor one of an older term."""
    net = three()
    record = net.record("A")
    forged = Leave(record.subnet, record.term, net["C"].id, bytes(64))
    assert refused(hand(net, "A", "B", forged)) == ["bad_signature"]
    node = identity(5)
    signature = node.signing_key.sign(records.signed_leave(record.subnet, record.term))
    assert refused(hand(net, "A", "B", Leave(record.subnet, record.term, node.node_id, signature))) == [
        "node_mismatch"
    ]
    key = net["C"].identity.signing_key
    for term in (record.term - 1, record.term + 1):
        old = Leave(record.subnet, term, net["C"].id, key.sign(records.signed_leave(record.subnet, term)))
        assert refused(hand(net, "A", "B", old)) == []
    signature = key.sign(records.signed_leave(record.subnet, record.term))
    good = Leave(record.subnet, record.term, net["C"].id, signature)
    assert [type(frame) for frame in answers(give(net, "A", "B", good))] == [Leave]
    assert hand(net, "A", "B", good) == (), "heard before"
    net.settle(1)
    assert net.roster("A") == {"A", "B"}


# --- catching up --------------------------------------------------------------------------------------------


def test_a_member_that_slept_catches_up() -> None:
    """TOM-ROLES-058 to 060: by the vouching of those it knew, and it is present again."""
    net = four()
    net.stop("D")
    net.settle(3)
    net.restart("D")
    net.pass_time(2 * SLOT)
    assert net.agree(ABCD)
    assert net.events("D", Event.CAUGHT_UP)
    net.settle(2)
    member = net.record("A").member(net["D"].id)
    assert member is not None
    assert member.absent == 0
    assert net.agree(ABCD)


def test_a_member_that_missed_one_proof_is_given_it() -> None:
    """TOM-ROLES-044, 058: the proof itself, no vouching needed."""
    net = four()
    net.stop("D")
    before = net.term("A")
    while net.term("A") == before:
        net.pass_time(SLOT)
    net.restart("D")
    assert net.agree(ABCD)
    assert not net.events("D", Event.CAUGHT_UP)


def test_all_restart_at_once_and_find_each_other() -> None:
    """TOM-ROLES-112, 132: the addresses of members are on disk; those of former members are not."""
    net = three()
    for name in ABC:
        net.stop(name)
    for name in ABC:
        net.restart(name)
    net.settle(1)
    assert net.agree(ABC)
    assert net["A"].links
    stored = {key[1] for key in net["A"].disk if key[0] is Table.MEMBER}
    assert stored == {net["B"].id, net["C"].id}
    net.do("C", LeaveSubnet())
    net.settle(2)
    assert {key[1] for key in net["A"].disk if key[0] is Table.MEMBER} == {net["B"].id}
    assert not [key for key in net["C"].disk if key[0] is Table.MEMBER]


def later_records(net: Homes, count: int) -> list[RecordAnswer]:
    """Later records that somebody makes up."""
    record = net.record("D")
    return [
        RecordAnswer(evolve(record, term=record.term + 2 + number, seed=bytes((number,)) * 32), None, ())
        for number in range(count)
    ]


def test_a_sleeper_is_not_led_astray_nor_kept_away() -> None:
    """TOM-ROLES-059, 060: one liar of four vouches for what it likes, and offers records without number."""
    net = four()
    sleeper, liar = "D", "C"
    net.stop("D")
    net.settle(2)
    net.split("D")
    net.restart("D")
    net.connect("C", "D")
    net.queue.clear()
    for answer in later_records(net, constants.MAX_OFFERED + 4):
        present = records.record_hash(answer.present)
        beat = heartbeat(net, liar, term=answer.present.term, record=present)
        assert refused(hand(net, sleeper, liar, evolve(answer, heartbeats=(beat,)))) == []
        hand(net, sleeper, liar, beat)
    assert net.term("D") < net.term("A"), "f vouchers are too few"
    assert not net.events("D", Event.CAUGHT_UP)
    net.sides.clear()
    net.settle(1)
    assert net.agree(("A", "B", "D"))


def test_offers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-059: one record of each neighbour, of so many neighbours."""
    monkeypatch.setattr(constants, "MAX_OFFERED", 1)
    net = three()
    for peer in ("B", "C"):
        if peer not in net["A"].links:
            net.connect("A", peer)
            net.run()
        later = evolve(net.record("A"), term=net.term("A") + 5)
        assert hand(net, "A", peer, RecordAnswer(later, None, ())) == ()
    assert len(net["A"].node.home._offered) == 1


def test_old_and_foreign_answers_say_nothing() -> None:
    """TOM-ROLES-059: nothing older than what is held, nothing of another subnet, nothing forged."""
    net = four()
    record = net.record("A")
    for present in (record, evolve(record, term=record.term - 1), evolve(record, subnet=b"s" * 32)):
        assert hand(net, "A", "B" if "B" in net["A"].links else "C", RecordAnswer(present, None, ())) == ()
    later = evolve(record, term=record.term + 3)
    peer = next(iter(net["A"].links))
    forged = evolve(heartbeat(net, peer, term=later.term), signature=bytes(64))
    assert refused(hand(net, "A", peer, RecordAnswer(later, None, (forged,)))) == ["bad_signature"]
    assert net.term("A") == record.term


def test_a_record_with_slots_too_short_is_not_adopted() -> None:
    """TOM-ROLES-007, 059: whoever vouches (code bad_value)."""
    net = three()
    record = net.record("A")
    later = evolve(record, term=record.term + 2, slot_ms=10)
    present = records.record_hash(later)
    peer = next(iter(net["A"].links))
    beats = [heartbeat(net, name, term=later.term, record=present) for name in ("B", "C")]
    answer = RecordAnswer(later, None, by_node(*beats))
    assert refused(hand(net, "A", peer, answer)) == ["bad_value"]
    assert net.term("A") == record.term


def test_the_latest_of_two_good_records_is_taken() -> None:
    """TOM-ROLES-060: two neighbours are at different terms, both well vouched for."""
    net = three()
    record = net.record("A")
    first, second = (evolve(record, term=record.term + more) for more in (2, 3))
    for later in (first, second):
        beat = heartbeat(net, "B", term=later.term, record=records.record_hash(later))
        assert heartbeat(net, "B").record != beat.record
    beat = heartbeat(net, "C", term=first.term, record=records.record_hash(first))
    peers = list(net["A"].links)
    hand(net, "A", peers[0], RecordAnswer(first, None, ()))
    hand(net, "A", peers[-1], RecordAnswer(second, None, ()))
    assert net.term("A") == record.term
    hand(net, "A", peers[0], heartbeat(net, "B", term=second.term, record=records.record_hash(second)))
    assert net.term("A") == (second.term if len(peers) > 1 else record.term)


def test_questions_are_answered_each_in_its_way() -> None:
    """TOM-ROLES-025, 058, 115, 127: of the same term, an older one, none, a later one, another subnet."""
    net = three()
    peer = next(iter(net["A"].links))
    record = net.record("A")
    for term in (NO_TERM, 0):
        [answer] = answers(hand(net, "A", peer, RecordQuery(record.subnet, term)))
        assert isinstance(answer, RecordAnswer)
        assert answer.present == record
        assert answer.previous is not None
        assert len(answer.heartbeats) == 3
    [proof] = answers(hand(net, "A", peer, RecordQuery(NO_HASH, record.term - 1)))
    assert isinstance(proof, FinalityProof)
    same = answers(hand(net, "A", peer, RecordQuery(record.subnet, record.term)))
    assert len([frame for frame in same if isinstance(frame, Heartbeat)]) == 3
    assert hand(net, "A", peer, RecordQuery(b"s" * 32, 0)) == ()
    net.pass_time(SLOT)
    [question] = answers(hand(net, "A", peer, RecordQuery(record.subnet, record.term + 1)))
    assert question == RecordQuery(record.subnet, record.term)
    assert hand(net, "A", peer, RecordQuery(record.subnet, record.term + 1)) == (), "not asked again at once"


def test_who_has_no_home_answers_nothing() -> None:
    """Frames of this chapter concern members and guests."""
    net = Homes("A", "B")
    net.connect("A", "B")
    record = three().record("A")
    beat = Heartbeat(record.subnet, record.term, records.record_hash(record), b"n" * 32, bytes(64))
    signal = Signal(net["B"].id, net["A"].id, b"")
    for frame in (RecordQuery(NO_HASH, 0), beat, RecordAnswer(record, None, ()), signal):
        assert hand(net, "A", "B", frame) == ()


# --- the vote -----------------------------------------------------------------------------------------------


def last_frames(net: Homes, name: str, kind: type[AnyFrame]) -> list[AnyFrame]:
    """All frames of a kind that a node sent."""
    return [frame for frame in answers(tuple(net[name].effects)) if isinstance(frame, kind)]


def test_frames_of_an_ended_term_are_answered_with_the_record() -> None:
    """TOM-ROLES-025, 038: old proposals, votes and proofs change nothing."""
    net = three()
    peer = next(iter(net["A"].links))
    net.cut("A", peer)
    net.connect("A", peer)
    net.run()
    old_vote = last_frames(net, "A", Vote)[0]
    old_block = last_frames(net, "A", Proposal)[0]
    term = net.term("A")
    assert isinstance(old_vote, Vote)
    assert hand(net, "A", peer, old_vote) == (), "heard before"
    [told] = answers(hand(net, "A", peer, evolve(old_vote, slot=7)))
    assert isinstance(told, RecordAnswer | FinalityProof)
    assert answers(hand(net, "A", peer, old_block)) == []
    proof = last_frames(net, "A", FinalityProof)
    assert hand(net, "A", peer, proof[-1]) == (), "the proof of the present record is no news"
    assert net.term("A") == term


def test_a_bad_block_or_vote_is_reported_with_its_code() -> None:
    """TOM-ROLES-024, 040, 117: and not passed on."""
    net = three()
    peer = next(iter(net["A"].links))
    net.pass_time(net.record("A").start + 20 - net.now)
    record = net.record("A")
    present = records.record_hash(record)
    vote = Vote(record.subnet, record.term, present, 1, b"b" * 32, net["B"].id, bytes(64))
    assert refused(hand(net, "A", peer, vote)) == ["bad_signature"]
    assert hand(net, "A", peer, vote) == (), "not even looked at again"
    far = evolve(vote, slot=9)
    assert refused(hand(net, "A", peer, far)) == ["wrong_slot"]
    assert refused(hand(net, "A", peer, far)) == ["wrong_slot"], "it may be right later"
    [proof] = last_frames(net, "A", FinalityProof)[-1:]
    assert isinstance(proof, FinalityProof)
    header = evolve(proof.blocks[0].header, term=record.term, present=present)
    forged = FinalityProof(proof.record, (evolve(proof.blocks[0], header=header), proof.blocks[1]))
    assert refused(hand(net, "A", peer, forged)) == ["bad_record"]
    assert net.term("A") == record.term


def test_all_validators_but_one_are_gone() -> None:
    """TOM-ROLES-016: the roles stay in force, the term ends when one of three comes back."""
    net = three()
    roles = net["A"].node.home.roles
    assert roles is not None
    term = net.term("A")
    net.stop("B")
    net.stop("C")
    net.settle(4)
    assert net.term("A") - term <= 1
    stuck = net.term("A")
    assert net["A"].node.home.roles is not None
    net.settle(4)
    assert net.term("A") == stuck
    net.restart("B")
    net.settle(2)
    assert net.term("A") > stuck
    assert net.agree(("A", "B"))
    net.restart("C")
    net.settle(2)
    assert net.agree(ABC)


def test_a_disk_from_a_backup_abstains_until_the_next_record() -> None:
    """TOM-ROLES-037: also when it is started once more meanwhile."""
    net = three()
    net.restart("C", copied=True)
    term = net.term("C")

    def abstains() -> bool:
        view = net["C"].node.home.term
        assert view is not None
        return view.abstains

    assert abstains()
    net.restart("C")
    assert abstains(), "it still can't be sure"
    while net.term("C") == term:
        net.pass_time(SLOT)
    assert not abstains()
    assert net.agree(ABC)


def test_a_second_node_with_this_secret_is_noticed() -> None:
    """TOM-ROLES-037: a vote of its own that it didn't cast; it abstains, also after a restart."""
    net = four()
    net.pass_time(net.record("D").start + 20 - net.now)
    record, node = net.record("D"), net["D"].identity
    present = records.record_hash(record)
    peer = next(iter(net["D"].links))
    for block in (b"b" * 32, b"c" * 32):
        signed = records.signed_vote(record.subnet, record.term, present, 1, block)
        signature = node.signing_key.sign(signed)
        hand(net, "D", peer, Vote(record.subnet, record.term, present, 1, block, node.node_id, signature))
        assert len(net.events("D", Event.IDENTITY_TWICE)) == 1, "said once"
    net.restart("D")
    view = net["D"].node.home.term
    assert view is not None
    assert view.abstains
    net.settle(2)
    assert net.agree(ABCD)


def test_who_has_moved_repeats_no_vote_of_its_own() -> None:
    """TOM-ROLES-092, 127: asked what it knows, it passes on what others said."""
    net = three()
    net.split("C")
    net.pass_time(TERM + 8 * SLOT)
    net.connect("C", "A")
    net.queue.clear()
    question = RecordQuery(net.record("C").subnet, net.term("C"))

    def own() -> set[type]:
        frames = answers(hand(net, "C", "A", question))
        roles = net["C"].node.home.roles
        assert roles is not None
        votes = {type(frame) for frame in frames if isinstance(frame, Vote) and frame.voter == net["C"].id}
        blocks = [frame.header.slot for frame in frames if isinstance(frame, Proposal)]
        return votes | {Proposal for slot in blocks if roles.leader(slot) == net["C"].id}

    assert own() == {Vote, Proposal}
    net["C"].node.home.forks._sign(Step(net.now))
    assert net.standing("C") is Standing.MOVING
    assert own() == set()


@pytest.mark.slow
def test_two_nodes_with_one_secret_break_nothing() -> None:
    """TOM-ROLES-037: started from a copy of the disk, each linked to others."""
    net = four()
    net.add("D2", secret_of="D")
    net["D2"].disk.update(net["D"].disk)
    for turn in range(6):
        net.restart("D2", copied=turn == 0)
        for name in ("A", "B"):
            if name not in net["D2"].links:
                net.connect("D2", name)
        net.settle(1)
        assert net.agree(ABC)


@pytest.mark.parametrize("victim", ABC)
def test_a_restart_at_any_step_breaks_nothing(victim: str) -> None:
    """TOM-ROLES-035, 036: a member is restarted after each of its steps through two terms."""
    net = three()
    cast: dict[tuple[int, int], bytes] = {}
    begun = net.term("A")
    for _ in range(60):
        net.pass_time(SLOT // 4)
        net.restart(victim)
        for frame in last_frames(net, victim, Vote):
            assert isinstance(frame, Vote)
            if frame.voter == net[victim].id:
                assert cast.setdefault((frame.term, frame.slot), frame.block) == frame.block
        net[victim].effects.clear()
    net.settle(2)
    assert net.term("A") > begun
    assert net.agree(ABC)


def test_the_disk_is_written_before_a_vote_leaves() -> None:
    """TOM-ROLES-035, 091: in the same step, in front."""
    net = three()
    voted = 0
    for name in ABC:
        for _ in range(2):
            net[name].effects.clear()
    net.settle(1)
    for name in ABC:
        effects: list[Effect] = net[name].effects
        for position, effect in enumerate(effects):
            frame = answers((effect,))
            if frame and isinstance(frame[0], Vote) and frame[0].voter == net[name].id:
                before = [e for e in effects[:position] if isinstance(e, Persist)]
                assert any(change.table is Table.TERM for e in before for change in e.changes)
                voted += 1
    assert voted


def test_only_two_records_are_kept() -> None:
    """TOM-ROLES-003: on disk and in memory, however old the subnet is."""
    net = three()
    sizes = []
    for _ in range(5):
        net.settle(1)
        tables = {Table.RECORD, Table.TERM}
        rows = {key: len(value) for key, value in net["A"].disk.items() if key[0] in tables}
        assert {key[1] for key in rows} <= {b"present", b"previous", b"proof", b""}
        sizes.append(sum(rows.values()))
    assert max(sizes) - min(sizes) < 1_000
    stored = term_codec.decode_record(net["A"].disk[Table.RECORD, b"previous"])
    assert stored.term == net.term("A") - 1


@pytest.mark.slow
@pytest.mark.parametrize("skew", [300_000, -300_000, 20])
def test_a_clock_minutes_off_is_set_right_by_its_neighbours(skew: int) -> None:
    """TOM-ROLES-129, 130: the node says so, goes on in the right slots, and is nobody's trouble."""
    net = four()
    for name in ("A", "B", "C"):
        if name not in net["D"].links:
            net.connect("D", name)
    net.set_clock("D", skew)
    said = [report.detail for report in net.events("D", Event.CLOCK_OFF)]
    assert said == ([f"{skew} ms"] if abs(skew) > 50 else [])
    assert not any(net.events(name, Event.CLOCK_OFF) for name in ABC)
    assert net["D"].node.clock_offset == -skew
    assert {net[name].node.clock_offset for name in ABC} == {0}
    for _ in range(3):
        net.next_record(*ABCD)
    assert net.agree(ABCD)
    member = net.record("A").member(net["D"].id)
    assert member is not None
    assert member.absent == 0
    if skew > 50:
        net.pass_time(skew)  # It stood still till now.
    handle = net.send("D", "A", b"in time")
    net.pass_time(1_000)
    assert net.states("D", handle)[-1] is DeliveryState.DELIVERED


@pytest.mark.parametrize("skew", [300_000, -300_000])
def test_a_newcomer_whose_clock_is_minutes_off_is_told(skew: int) -> None:
    """TOM-ID-026, TOM-ROLES-130: whose date is refused, or who refuses a date, says that a clock is wrong."""
    net = three()
    net["A"].node.step(SetAddresses(()), net.now)
    net.do("A", SetAddresses((Address(Transport.MEMORY, "A"),)))
    net.add("D", skew=skew)
    net.do("D", JoinSubnet(net.invite("A")))
    net.pass_time(3_000)
    assert net.standing("D") is Standing.JOINING
    assert "future_date" in net.last("D", Event.CLOCK_OFF).detail


def test_time_does_not_go_back_when_a_clock_is_set_right() -> None:
    """TOM-ROLES-129: it stands still until the rest has come up."""
    net = Homes(*ABC)
    net.add("D", skew=1_000)
    for name in ("A", "B"):
        net.connect("D", name)
    deadline = net["D"].node.next_deadline()
    assert net["D"].node.clock_offset == -1_000
    net.cut("D", "A")
    assert net["D"].node.clock_offset == -1_000, "one neighbour and its own clock disagree: it stays"
    for measured in (ClockMeasured(99, 5_000, 1), ClockMeasured(net["D"].links["B"], 5_000, 101)):
        net.do("D", measured)
        assert net["D"].node.clock_offset == -1_000, "a link that it doesn't hold, and too slow an answer"
    net.set_clock("D", 20)
    assert net["D"].node.clock_offset == 0, "its clock is set right, the neighbour bears it out"
    again = net["D"].node.next_deadline()
    assert deadline is not None
    assert again is not None
    assert deadline - again == 1_000
    net.cut("D", "B")
    assert net["D"].node.clock_offset == 0


# --- routes and links ---------------------------------------------------------------------------------------


def duty(net: Homes, sender: str, recipient: str) -> list[str]:
    """The names on a pair's duty list, by the sender's present record."""
    roles = net[sender].node.home.roles
    assert roles is not None
    names = {peer.id: name for name, peer in net.peers.items()}
    return [names[node] for node in roles.duty(net[sender].id, net[recipient].id)]


def no_credit(net: Homes, name: str) -> list[str]:
    """What a node said about routes that earn nothing."""
    return [report.detail for report in net.events(name, Event.NO_CREDIT)]


def test_the_drafted_relay_carries_and_the_receipt_names_it() -> None:
    """TOM-ROLES-076, 080, 081: sender, relay and recipient agree on rank 1; nobody has anything to say."""
    net = four()
    for sender, recipient in itertools.permutations(ABCD, 2):
        first = duty(net, sender, recipient)[0]
        handle = net.send(sender, recipient)
        net.pass_time(20)
        [done] = [p for p in net[sender].of(Progress) if p.handle == handle and p.receipt is not None]
        assert done.receipt is not None
        assert done.receipt.relay == net[first].id
    assert [no_credit(net, name) for name in ABCD] == [[], [], [], []]


@pytest.mark.slow
def test_a_relay_that_dies_in_the_middle_of_a_message_costs_nothing() -> None:
    """TOM-ROLES-081: rank 2 carries it, though rank 1 had it."""
    net = four()
    first, second = duty(net, "A", "B")[:2]
    net.tamper = lambda sender, target, frame: (
        None if sender == first and isinstance(frame, Envelope) else codec.encode_frame(frame)
    )
    handle = net.send("A", "B", b"not lost")
    assert net.states("A", handle)[-1] is DeliveryState.RELAYED
    assert net.shown("B") == []
    net.stop(first)
    net.run()
    net.pass_time(5_000)
    assert net.shown("B") == [b"not lost"]
    [done] = [p for p in net["A"].of(Progress) if p.receipt is not None]
    assert done.receipt is not None
    assert done.receipt.relay == net[second].id


@pytest.mark.slow
def test_a_wrong_route_costs_the_credit_and_is_said_by_all_three() -> None:
    """TOM-ROLES-079, 083: code wrong_route; the message arrives."""
    net = Homes(*"ABCDEF")
    net.form(*"ABCDEF")
    net.settle()
    net.next_record(*"ABCDEF")
    ranks = duty(net, "A", "B")
    assert len(ranks) == 4
    last = ranks[3]
    for name in ranks[:3]:
        net.stop(name)
    net.run()
    if last not in net["A"].links:
        net.connect("A", last)
        net.run()
    if "B" in net["A"].links:
        net.cut("A", "B")
    net.sides.append({"A"})
    handle = net.send("A", "B", b"by the way")
    net.pass_time(3_000)
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED
    assert net.shown("B") == [b"by the way"]
    for name in ("A", "B", last):
        assert no_credit(net, name) == ["wrong_route"]


def test_an_old_term_costs_the_credit_never_the_delivery() -> None:
    """TOM-ROLES-082: a message that was on its way for longer than two terms (code wrong_term)."""
    net = four()
    net.tamper = lambda sender, target, frame: (
        None if isinstance(frame, Envelope) else codec.encode_frame(frame)
    )
    handle = net.send("A", "B", b"late", ttl=HOUR)
    for _ in range(3):
        net.next_record("A")
    net.tamper = None
    while not net.shown("B"):
        net.pass_time(SLOT)
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED
    [shown] = net["B"].of(Deliver)
    carriers = {net[name].id: name for name in ABCD}
    for name in ("A", "B", carriers[shown.relay]):
        assert no_credit(net, name) == ["wrong_term"]


def test_deliveries_become_evidence_and_weight() -> None:
    """TOM-ROLES-050, 052, 084: eight credited deliveries raise the weight, which counts a record later."""
    net = four()
    relay = duty(net, "A", "B")[0]
    for number in range(constants.DUTY_CREDITS):
        net.send("A", "B", b"%d" % number)
    net.next_record(*ABCD)
    member = net.record("A").member(net[relay].id)
    assert member is not None
    assert (member.weight, member.next_weight) == (0, 1)
    assert member.balance > 0
    assert net.agree(ABCD)
    net.next_record(*ABCD)
    member = net.record("A").member(net[relay].id)
    assert member is not None
    assert member.weight == 1


def test_evidence_keeps_to_its_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-052: so many deliveries a relay, so many in all."""
    net = four()
    for number in range(4):
        net.send("A", "B", b"%d" % number)
    home = net["A"].node.home
    assert len(home._evidence().deliveries) == 4
    monkeypatch.setattr(constants, "MAX_DELIVERIES_PER_RELAY", 3)
    assert len(home._evidence().deliveries) == 3
    monkeypatch.setattr("tom_ref.home._EVIDENCE_ROOM", 1_000)
    assert 0 < len(home._evidence().deliveries) < 3


def test_two_relays_carry_where_the_first_has_no_link() -> None:
    """TOM-DELIVERY-040, TOM-ROLES-080: A hands to C, C to D, D to B, and no further."""
    net = four()
    first, second = duty(net, "A", "B")[:2]
    for one, other in itertools.combinations(ABCD, 2):
        if other in net[one].links:
            net.cut(one, other)
    net.dialled.clear()
    for one, other in (("A", first), (first, second), (second, "B")):
        net.connect(one, other)
    net.queue.clear()
    net.dialled.clear()
    handle = net["A"].node.next_handle
    net.do("A", SendMessage(handle, net["B"].id, b"over two", 60_000))
    Network.run(net)
    assert net.shown("B") == [b"over two"]
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED
    [done] = [p for p in net["A"].of(Progress) if p.receipt is not None]
    assert done.receipt is not None
    assert done.receipt.relay == net[second].id


def outside_of(net: Homes, name: str) -> str:
    """Somebody that the mesh of the present record doesn't link to a node; linked to it now."""
    roles = net[name].node.home.roles
    assert roles is not None
    meshed = roles.meshed(net[name].id)
    assert all(net[name].id in roles.mesh(peer) or peer in roles.mesh(net[name].id) for peer in meshed)
    other = next(known for known, peer in net.peers.items() if peer.id not in meshed | {net[name].id})
    if other not in net[name].links:
        net.connect(name, other)
        net.run()
    return other


@pytest.mark.slow
def test_links_outside_the_mesh_are_made_on_need_and_closed_when_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TOM-ROLES-112, 131: the mesh stays, the rest goes after LINK_IDLE, and beyond MAX_LINKS at once."""
    members = "ABCDEF"
    net = Homes(*members)
    net.form(*members)
    net.settle()
    for cap, value in (("LINK_IDLE", 0), ("MAX_LINKS", 1)):
        net.next_record(*members)
        other = outside_of(net, "A")
        net["A"].effects.clear()
        with monkeypatch.context() as patch:
            patch.setattr(constants, cap, value)
            net.pass_time(1_200)
        assert {effect.reason for effect in net["A"].of(CloseLink)} == {"idle_timeout"}
        assert other not in net["A"].links
        assert net["A"].links, "the mesh stays"
        assert set(net["A"].node.linked) == {net[name].id for name in net["A"].links}


def test_ways_to_peers_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is bounded: those that are not relays make room, the oldest first."""
    monkeypatch.setattr(constants, "MAX_DESCRIPTORS", 2)
    net = alone()
    for number in range(4):
        address = Address(Transport.MEMORY, f"nobody {number}")
        net.do("A", AddPeer(identity(number).node_id, (address,), relay=number < 2))
    net.dialled.clear()
    assert len(net["A"].node._neighbours._wanted) == 3


@pytest.mark.slow
def test_sixty_four_members_reach_each_other_over_two_relays_at_most() -> None:
    """TOM-ROLES-001, 112, 133: over the links of the mesh alone, none made on need."""
    subnet = founded(64, start=START)
    net = Homes()
    names = {node.node_id: f"n{number:02}" for number, node in enumerate(subnet.nodes)}
    for node in subnet.nodes:
        net.add(names[node.node_id], identity=node)
    roles = Roles(subnet.record)
    for node in subnet.nodes:
        for peer in roles.mesh(node.node_id):
            one, other = names[node.node_id], names[peer]
            if other not in net[one].links:
                net.connect(one, other)
    net.queue.clear()
    for name in names.values():
        net.do(name, Begin(subnet.genesis))
    net.queue.clear()
    far = [
        (one.node_id, other.node_id)
        for one, other in itertools.combinations(subnet.nodes, 2)
        if other.node_id not in roles.meshed(one.node_id)
    ]
    for sender, recipient in far[::80]:
        net[names[recipient]].effects.clear()
        net.do(names[sender], AddPeer(recipient, ()))
        handle = net[names[sender]].node.next_handle
        net.do(names[sender], SendMessage(handle, recipient, b"far", 60_000))
        net.dialled.clear()
        Network.run(net)
        assert net.shown(names[recipient]) == [b"far"]
        assert net.states(names[sender], handle)[-1] is DeliveryState.DELIVERED
        [relayed] = [p for p in net[names[sender]].of(Progress) if p.state is DeliveryState.RELAYED][-1:]
        assert len(relayed.trail) in {2, 3}


def test_signals_pass_over_a_neighbour_of_both() -> None:
    """TOM-ROLES-087: to a member without a link; what nobody may pass on is refused with its code."""
    net = Homes(*"ABCDEF")
    net.form(*"ABCDEF")
    net.settle()
    net.next_record(*"ABCDEF")
    for name in "BCDEF":
        if name in net["A"].links:
            net.cut("A", name)
    net.dialled.clear()
    for one, other in (("A", "C"), ("C", "B")):
        if other not in net[one].links:
            net.connect(one, other)
            net.dialled.clear()
    net.do("A", SendSignal(net["B"].id, b"offer"))
    Network.run(net)
    assert net["B"].of(Signalled) == [Signalled(net["A"].id, b"offer")]
    assert refused(hand(net, "C", "A", Signal(net["B"].id, net["A"].id, b""))) == ["node_mismatch"]
    assert refused(hand(net, "C", "A", Signal(net["A"].id, b"n" * 32, b""))) == ["no_route"]
    many = [
        refused(hand(net, "C", "A", Signal(net["A"].id, net["B"].id, bytes((number,)))))
        for number in range(constants.MAX_SIGNALS)
    ]
    assert many[0] == []
    assert many[-1] == ["overloaded"]
    net.now += SLOT
    assert refused(hand(net, "C", "A", Signal(net["A"].id, net["B"].id, b"again"))) == []


def test_a_signal_that_can_not_go_is_the_callers_fault() -> None:
    """Codes bad_value, too_large, no_route; nothing leaves."""
    net = three()
    for recipient, body, reason in (
        (net["A"].id, b"", Reason.BAD_VALUE),
        (b"n" * 32, b"", Reason.BAD_VALUE),
        (net["B"].id, bytes(constants.MAX_SIGNAL + 1), Reason.TOO_LARGE),
    ):
        with pytest.raises(CommandError) as caught:
            net.do("A", SendSignal(recipient, body))
        assert caught.value.reason is reason
    net.split("A")
    with pytest.raises(CommandError) as caught:
        net.do("A", SendSignal(net["B"].id, b""))
    assert caught.value.reason is Reason.NO_ROUTE


@pytest.mark.slow
def test_a_descriptor_is_asked_for_where_the_mesh_has_it() -> None:
    """TOM-ROLES-134: of those that the mesh links to it, else of everybody."""
    net = Homes(*"ABCDEF")
    net.form(*"ABCDEF")
    net.settle()
    net.next_record(*"ABCDEF")
    roles = net["A"].node.home.roles
    assert roles is not None
    names = {peer.id: name for name, peer in net.peers.items()}
    outside = next(name for name in "BCDEF" if net[name].id not in roles.meshed(net["A"].id))
    meshed = {names[node] for node in roles.meshed(net[outside].id)}
    others = [name for name in "BCDEF" if name not in {outside, *meshed}]
    for name in meshed | {outside}:
        if name in net["A"].links:
            net.cut("A", name)
    net.dialled.clear()
    net["A"].node._directory._descriptors.pop(net[outside].id, None)
    net.add("N")
    net.connect("N", "A")
    net.dialled.clear()
    query = DescriptorQuery(net[outside].id)
    assert DescriptorAnswer(net[outside].id, None) in answers(hand(net, "A", "N", query))
    assert all(name not in net["A"].links for name in meshed), others
    helper = min(meshed)
    net.connect("A", helper)
    net.queue.clear()
    net.dialled.clear()
    net.now += 2_000
    asked = net.do("A", FrameReceived(net["A"].links["N"], codec.encode_frame(query)))
    assert DescriptorQuery(net[outside].id) in answers(asked)
    net["N"].effects.clear()
    net["A"].effects.clear()
    Network.run(net)
    given = DescriptorAnswer(net[outside].id, net[outside].node.descriptor)
    assert given in answers(tuple(net["A"].effects))


def test_who_waits_for_descriptors_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is bounded."""
    monkeypatch.setattr(constants, "MAX_QUERIES", 1)
    directory = Directory(b"o" * 32)
    for node in (b"a" * 32, b"b" * 32):
        for asker in (b"1", b"2", b"1"):
            directory.wait(node, asker)
    assert directory.waited_for(b"a" * 32) == ()
    assert directory.waited_for(b"b" * 32) == (b"1", b"2")
    assert directory.waited_for(b"b" * 32) == ()


# --- bounds -------------------------------------------------------------------------------------------------


def test_what_was_heard_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is bounded: hashes of gossip, and of whom was asked."""
    monkeypatch.setattr(constants, "MAX_HEARD", 8)
    monkeypatch.setattr(constants, "MAX_QUERIES", 1)
    net = four()
    assert net.agree(ABCD)
    peer = next(iter(net["A"].links))
    record, node = net.record("A"), net["B"].identity
    leave = Leave(
        record.subnet,
        record.term,
        node.node_id,
        node.signing_key.sign(records.signed_leave(record.subnet, record.term)),
    )
    join = joined(record, identity(100), node)
    for frame in (heartbeat(net, "B"), leave, join):
        hand(net, "A", peer, frame)
        for number in range(8):
            hand(net, "A", peer, evolve(heartbeat(net, "B"), record=bytes((number,)) * 32))
            hand(net, "A", peer, evolve(leave, signature=bytes((number,)) * 64))
        assert answers(hand(net, "A", peer, frame)) == [], "forgotten, and still no news"


@pytest.mark.slow
def test_a_guest_without_a_link_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-122: who was left out asks when a member is linked."""
    net = four()
    net.stop("D")
    while net.record("A").member(net["D"].id) is not None:
        net.pass_time(SLOT)
    net.restart("D")
    net.pass_time(SLOT)
    assert net.standing("D") is Standing.GUEST
    net.split("D")
    net["D"].effects.clear()
    net.pass_time(4 * SLOT)
    assert not [frame for frame in answers(tuple(net["D"].effects)) if isinstance(frame, Join)]


def test_a_first_record_is_no_news_to_who_has_a_home() -> None:
    """TOM-ROLES-002: whatever a neighbour sends, nobody is moved to another subnet."""
    net = three()
    peer = next(iter(net["A"].links))
    assert hand(net, "A", peer, founded(2).genesis) == ()


def test_a_node_with_a_home_wakes_for_nothing_without_harm() -> None:
    """A spurious wake changes nothing."""
    net = three()
    before = net.term("A")
    assert [e for e in net.do("A", Wake()) if isinstance(e, Report)] == []
    assert net.term("A") == before


def test_the_work_of_a_newcomer_is_found() -> None:
    """TOM-ROLES-113: sixteen zero bits."""
    nonce = records.find_join_work(b"s" * 32, 3, b"n" * 32)
    assert records.join_work(b"s" * 32, 3, b"n" * 32, nonce) >= constants.JOIN_WORK_BITS
