"""The formats of spec/08-roles.md: what is accepted, what is refused, and that nothing else can happen."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.subnets import FAST, START, descriptor, founded, identity, joined
from tom_ref import codec, constants, invitation, records, term_codec, vrf
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Address, Header, Kind, Receipt, Transport
from tom_ref.term import own_heartbeat
from tom_ref.term_frames import (
    NO_HASH,
    NO_TERM,
    Ballot,
    BlockHeader,
    Child,
    Conversation,
    ConversationEnd,
    Delivery,
    Evidence,
    FinalityProof,
    HeartbeatProof,
    Invitation,
    Join,
    Leave,
    LeaveProof,
    Move,
    Proposal,
    ProvenBlock,
    RecordAnswer,
    RecordQuery,
    Signal,
    TermRecord,
    Vitals,
    Vote,
)
from tom_ref.timing import Timing
from tom_ref.validate import message_id, signed_header, signed_receipt

SUBNET = founded(4)
RECORD = SUBNET.record
HASH = bytes(range(32))
SIGNATURE = bytes(range(64))
NODES = [node.node_id for node in SUBNET.nodes]
JOIN = joined(RECORD, identity(50), SUBNET.nodes[0])


def delivery(sender: int, recipient: int, relay: bytes, term: int = 0, salt: int = 0) -> Delivery:
    """A delivered message between two founders, signed by both."""
    one, other = SUBNET.nodes[sender], SUBNET.nodes[recipient]
    header = Header(
        Kind.MESSAGE,
        RECORD.subnet,
        term,
        one.node_id,
        other.node_id,
        START + salt,
        60_000,
        32,
        (),
        0,
        bytes(32),
    )
    data = codec.encode_header(header)
    receipt = Receipt(
        message_id(data),
        header.subnet,
        term,
        header.sender,
        header.recipient,
        relay,
        header.created_at,
        header.ttl,
        START + 5,
    )
    receipt = evolve(receipt, signature=other.signing_key.sign(signed_receipt(receipt)))
    return Delivery(data, one.signing_key.sign(signed_header(data)), receipt)


EVIDENCE = Evidence(
    (HeartbeatProof(0, SIGNATURE), HeartbeatProof(3, SIGNATURE)),
    (LeaveProof(2, SIGNATURE),),
    (JOIN,),
    (delivery(0, 1, NODES[2]),),
)
FIRST = BlockHeader(RECORD.subnet, 0, HASH, 1, HASH, HASH, HASH)
LATER = BlockHeader(RECORD.subnet, 0, HASH, 2, HASH, NO_HASH, NO_HASH)
VOTES = (Ballot(0, SIGNATURE), Ballot(2, SIGNATURE), Ballot(3, SIGNATURE))
HEARTBEATS = tuple(own_heartbeat(RECORD, HASH, node.node_id, node.signing_key) for node in SUBNET.nodes)
MOVE = Move(RECORD.subnet, 0, HASH, 1, NODES[0], NODES[1], SIGNATURE)
INVITATION = Invitation(
    NODES[0],
    RECORD.subnet,
    3,
    HASH,
    bytes(16),
    START,
    (Address(Transport.TCP, "192.0.2.7:7700"),),
    SIGNATURE,
)

FRAMES: dict[int, Any] = {
    7: Proposal(FIRST, SIGNATURE, (), RECORD, EVIDENCE),
    8: Vote(RECORD.subnet, 0, HASH, 3, HASH, NODES[0], SIGNATURE),
    9: HEARTBEATS[0],
    10: FinalityProof(RECORD, (ProvenBlock(FIRST, VOTES), ProvenBlock(LATER, VOTES))),
    11: RecordQuery(RECORD.subnet, NO_TERM),
    12: RecordAnswer(RECORD, RECORD, HEARTBEATS),
    13: JOIN,
    14: Leave(RECORD.subnet, 7, NODES[0], SIGNATURE),
    15: MOVE,
    16: Child(RECORD, SIGNATURE, RECORD, (MOVE,)),
    17: SUBNET.genesis,
    18: Conversation(RECORD.subnet, 1, tuple(NODES[:2]), HASH, (SIGNATURE, SIGNATURE)),
    19: ConversationEnd(HASH, NODES[0], SIGNATURE),
    20: Signal(NODES[0], NODES[1], b"offer"),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_has_one_encoding(kind: int) -> None:
    """TOM-WIRE-002: the first byte names the frame; decoding and encoding again gives the same bytes."""
    data = codec.encode_frame(FRAMES[kind])
    assert data[0] == kind
    assert codec.decode_frame(data) == FRAMES[kind]
    assert codec.encode_frame(codec.decode_frame(data)) == data


def test_what_may_be_absent() -> None:
    """A later block carries no record, an answer maybe no previous record, a subnet maybe no joins."""
    for frame in (
        Proposal(LATER, SIGNATURE, VOTES),
        RecordAnswer(RECORD),
        Proposal(FIRST, SIGNATURE, (), RECORD, Evidence()),
        Signal(NODES[0], NODES[1], b""),
    ):
        assert codec.decode_frame(codec.encode_frame(frame)) == frame


@pytest.mark.parametrize("kind", FRAMES)
def test_cut_or_lengthened_frames_are_refused(kind: int) -> None:
    """TOM-WIRE-003, 004, 008: each prefix is refused with a code; so is a byte too many."""
    data = codec.encode_frame(FRAMES[kind])
    ends = {*range(1, min(len(data), 400)), *range(400, len(data), 97), len(data) - 1}
    for end in sorted(ends):
        if kind == 20 and end >= 65:
            continue  # A signal's body is the rest of its frame.
        with pytest.raises(ProtocolError):
            codec.decode_frame(data[:end])
    if kind != 20:
        with pytest.raises(ProtocolError) as caught:
            codec.decode_frame(data + b"\0")
        assert caught.value.reason in {Reason.TRAILING_BYTES, Reason.TOO_LARGE}


@given(st.sampled_from(sorted(FRAMES)), st.binary(max_size=600), st.integers(0, 10**6))
def test_nothing_but_a_value_or_a_refusal_comes_out(kind: int, noise: bytes, place: int) -> None:
    """TOM-WIRE-008: random bytes, and valid frames with a hole of random bytes in them."""
    data = codec.encode_frame(FRAMES[kind])
    start = place % len(data)
    for candidate in (bytes((kind,)) + noise, data[:start] + noise + data[start + len(noise) :]):
        try:
            frame = codec.decode_frame(candidate)
        except ProtocolError:
            continue
        assert codec.encode_frame(frame) == candidate


def member(**changes: Any) -> TermRecord:
    """The record with one member changed."""
    return evolve(RECORD, roster=(evolve(RECORD.roster[0], **changes), *RECORD.roster[1:]))


BAD_RECORDS: list[tuple[str, TermRecord, Reason]] = [
    ("005 empty", evolve(RECORD, roster=()), Reason.BAD_VALUE),
    ("005 unsorted", evolve(RECORD, roster=RECORD.roster[::-1]), Reason.BAD_VALUE),
    ("005 twice", evolve(RECORD, roster=(RECORD.roster[0], *RECORD.roster)), Reason.BAD_VALUE),
    ("005 weight", member(weight=4), Reason.BAD_VALUE),
    ("005 next weight", member(next_weight=4), Reason.BAD_VALUE),
    ("056 absent", member(absent=8), Reason.BAD_VALUE),
    ("006 balance", member(balance=5), Reason.BAD_RECORD),
    ("006 pot", evolve(RECORD, pot=1), Reason.BAD_RECORD),
    ("077 share", evolve(RECORD, relay_share=0), Reason.BAD_VALUE),
    ("077 share", evolve(RECORD, relay_share=13), Reason.BAD_VALUE),
    ("custody", evolve(RECORD, custody=0), Reason.BAD_VALUE),
    ("slot", evolve(RECORD, slot_ms=0), Reason.BAD_VALUE),
    ("term", evolve(RECORD, term_ms=0), Reason.BAD_VALUE),
    ("start", evolve(RECORD, start=1 << 62), Reason.BAD_VALUE),
    ("126 share", evolve(RECORD, vitals=Vitals(delivery=1_001)), Reason.BAD_VALUE),
    ("126 time", evolve(RECORD, vitals=Vitals(latency=(0,) * 7 + (1_001,))), Reason.BAD_VALUE),
    ("126 reports", evolve(RECORD, vitals=Vitals(reports=65)), Reason.BAD_VALUE),
]


@pytest.mark.parametrize(("rule", "record", "reason"), BAD_RECORDS, ids=lambda value: str(value)[:16])
def test_records_that_no_evidence_makes(rule: str, record: TermRecord, reason: Reason) -> None:
    """TOM-ROLES-005, 006, 126: neither encoded nor decoded."""
    del rule
    with pytest.raises(ProtocolError) as caught:
        term_codec.encode_record(record)
    assert caught.value.reason is reason


def test_balances_may_be_negative_if_they_sum_to_zero() -> None:
    """TOM-ROLES-006: written with 2^63 added."""
    roster = (evolve(RECORD.roster[0], balance=-7), evolve(RECORD.roster[1], balance=5), *RECORD.roster[2:])
    record = evolve(RECORD, roster=roster, pot=2)
    data = term_codec.encode_record(record)
    assert term_codec.decode_record(data) == record
    broken = data.replace((2 + (1 << 63)).to_bytes(8, "big"), (3 + (1 << 63)).to_bytes(8, "big"))
    with pytest.raises(ProtocolError) as caught:
        term_codec.decode_record(broken)
    assert caught.value.reason is Reason.BAD_RECORD


def test_a_record_of_another_version_is_refused() -> None:
    """TOM-WIRE-006: code unknown_version."""
    data = term_codec.encode_record(RECORD)
    with pytest.raises(ProtocolError) as caught:
        term_codec.decode_record(b"\x02" + data[1:])
    assert caught.value.reason is Reason.UNKNOWN_VERSION


def many_members(count: int) -> TermRecord:
    """A record with so many members."""
    roster = tuple(
        evolve(RECORD.roster[0], node=number.to_bytes(32, "big")) for number in range(1, count + 1)
    )
    return evolve(RECORD, roster=roster)


def test_a_subnet_has_at_most_64_members() -> None:
    """TOM-ROLES-001, 005."""
    assert len(term_codec.decode_record(term_codec.encode_record(many_members(64))).roster) == 64
    with pytest.raises(ProtocolError) as caught:
        term_codec.encode_record(many_members(65))
    assert caught.value.reason is Reason.BAD_VALUE


BAD_FRAMES: list[tuple[str, Any, Reason]] = [
    ("124 votes", Proposal(LATER, SIGNATURE, VOTES[::-1]), Reason.NON_CANONICAL),
    ("124 votes twice", Proposal(LATER, SIGNATURE, (VOTES[0], VOTES[0])), Reason.NON_CANONICAL),
    (
        "votes",
        Proposal(LATER, SIGNATURE, tuple(Ballot(index, SIGNATURE) for index in range(65))),
        Reason.TOO_LARGE,
    ),
    ("029 first without record", Proposal(FIRST, SIGNATURE, (), None, EVIDENCE), Reason.BAD_VALUE),
    ("029 first without evidence", Proposal(FIRST, SIGNATURE, (), RECORD, None), Reason.BAD_VALUE),
    ("029 later with record", Proposal(LATER, SIGNATURE, VOTES, RECORD, EVIDENCE), Reason.BAD_VALUE),
    ("125 half", Proposal(evolve(FIRST, evidence=NO_HASH), SIGNATURE, (), RECORD), Reason.BAD_VALUE),
    ("slot 0", Proposal(evolve(LATER, slot=0), SIGNATURE, VOTES), Reason.BAD_VALUE),
    ("slot 0 vote", evolve(FRAMES[8], slot=0), Reason.BAD_VALUE),
    ("043 one block", FinalityProof(RECORD, (ProvenBlock(FIRST, VOTES),)), Reason.BAD_VALUE),
    ("vouchers", RecordAnswer(RECORD, None, HEARTBEATS[::-1]), Reason.NON_CANONICAL),
    ("attempt 0", evolve(MOVE, attempt=0), Reason.BAD_VALUE),
    ("moves", Child(RECORD, SIGNATURE, RECORD, ()), Reason.BAD_VALUE),
    ("moves", Child(RECORD, SIGNATURE, RECORD, (MOVE, MOVE)), Reason.NON_CANONICAL),
    ("014", evolve(SUBNET.genesis, proofs=(), signatures=()), Reason.BAD_SIGNATURE),
    ("one", Conversation(HASH, 1, (NODES[0],), HASH, (SIGNATURE,)), Reason.BAD_VALUE),
    ("order", Conversation(HASH, 1, (NODES[1], NODES[0]), HASH, (SIGNATURE,) * 2), Reason.NON_CANONICAL),
    ("109", Conversation(HASH, 1, tuple(NODES[:2]), HASH, (SIGNATURE,)), Reason.BAD_SIGNATURE),
    ("signal", Signal(NODES[0], NODES[1], bytes(16_385)), Reason.TOO_LARGE),
]


@pytest.mark.parametrize(("rule", "frame", "reason"), BAD_FRAMES, ids=lambda value: str(value)[:16])
def test_frames_that_break_a_rule_are_not_even_made(rule: str, frame: Any, reason: Reason) -> None:
    """TOM-ROLES-014, 029, 043, 109, 124, 125: an encoder applies the decoder's rules."""
    del rule
    with pytest.raises(ProtocolError) as caught:
        codec.encode_frame(frame)
    assert caught.value.reason is reason


BAD_EVIDENCE: list[tuple[Evidence, Reason]] = [
    (evolve(EVIDENCE, heartbeats=EVIDENCE.heartbeats[::-1]), Reason.NON_CANONICAL),
    (evolve(EVIDENCE, leaves=EVIDENCE.leaves * 2), Reason.NON_CANONICAL),
    (evolve(EVIDENCE, joins=EVIDENCE.joins * 2), Reason.NON_CANONICAL),
    (evolve(EVIDENCE, deliveries=EVIDENCE.deliveries * 2), Reason.NON_CANONICAL),
    (evolve(EVIDENCE, joins=(JOIN,) * 65), Reason.TOO_LARGE),
    (evolve(EVIDENCE, deliveries=EVIDENCE.deliveries * 1025), Reason.TOO_LARGE),
    (
        evolve(EVIDENCE, heartbeats=tuple(HeartbeatProof(index, SIGNATURE) for index in range(65))),
        Reason.TOO_LARGE,
    ),
]


@pytest.mark.parametrize(("evidence", "reason"), BAD_EVIDENCE)
def test_evidence_is_bounded_and_in_order(evidence: Evidence, reason: Reason) -> None:
    """TOM-ROLES-052, 124."""
    with pytest.raises(ProtocolError) as caught:
        term_codec.encode_evidence(evidence)
    assert caught.value.reason is reason


def test_evidence_is_decoded_with_the_same_bounds() -> None:
    """TOM-ROLES-052: a count that says too much is refused before anything is made of it."""
    data = bytearray(term_codec.encode_evidence(Evidence()))
    assert data == b"\0\0\0\0\0\0"
    with pytest.raises(ProtocolError) as caught:
        term_codec.decode_evidence(bytes(constants.MAX_EVIDENCE + 1))
    assert caught.value.reason is Reason.TOO_LARGE
    joins = codec.encode_frame(JOIN)[1:] * 65
    with pytest.raises(ProtocolError) as caught:
        term_codec.decode_evidence(b"\0\0\x41" + joins + b"\0\0\0")
    assert caught.value.reason is Reason.TOO_LARGE
    one = term_codec.encode_evidence(Evidence(deliveries=EVIDENCE.deliveries))[5:-1]
    many = b"\0\0\0\x04\x01" + one * 1025 + b"\0"
    with pytest.raises(ProtocolError) as caught:
        term_codec.decode_evidence(many[: constants.MAX_EVIDENCE])
    assert caught.value.reason in {Reason.TRUNCATED, Reason.TOO_LARGE}


def test_a_delivery_holds_a_header_that_decodes() -> None:
    """What a delivery carries is read when it is taken, not when it is counted."""
    assert term_codec.header_of(EVIDENCE.deliveries[0]).sender == NODES[0]
    broken = evolve(EVIDENCE.deliveries[0], header_bytes=b"junk")
    with pytest.raises(ProtocolError):
        term_codec.encode_evidence(Evidence(deliveries=(broken,)))


def test_block_headers_alone() -> None:
    """TOM-ROLES-023: the bytes that are hashed and signed."""
    with pytest.raises(ProtocolError):
        term_codec.decode_block_header(b"\x02" + term_codec.encode_block_header(FIRST)[1:])
    for header in (FIRST, LATER):
        assert term_codec.decode_block_header(term_codec.encode_block_header(header)) == header


# --- invitations ----------------------------------------------------------------------------------------


def test_an_invitation_is_text_and_back() -> None:
    """TOM-ROLES-119, 120: in small letters or in capitals, and nothing between."""
    signed = invitation.sign_invitation(evolve(INVITATION, expires_at=START + 1), SUBNET.nodes[0].signing_key)
    text = invitation.invitation_to_text(signed)
    assert text.startswith("tom:")
    assert text == text.lower()
    for variant in (text, text.upper()):
        assert invitation.invitation_from_text(variant) == signed
    invitation.check_invitation(signed, START)
    with pytest.raises(ProtocolError) as caught:
        invitation.check_invitation(signed, START + 1)
    assert caught.value.reason is Reason.EXPIRED
    with pytest.raises(ProtocolError) as caught:
        invitation.check_invitation(evolve(signed, term=9), START)
    assert caught.value.reason is Reason.BAD_SIGNATURE
    assert bytes(16).hex() not in repr(signed)


TEXT = invitation.invitation_to_text(INVITATION)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tom",
        TEXT[4:],
        TEXT.upper()[:10] + TEXT[10:],
        TEXT + "a",
        TEXT + "=",
        TEXT + "!",
        TEXT[:-1] + "1",
        "tom:" + "a" * 10_000,
        "tom:é",
        TEXT.replace(":", " "),
    ],
)
def test_other_texts_are_no_invitations(text: str) -> None:
    """TOM-ROLES-120: code bad_text."""
    with pytest.raises(ProtocolError) as caught:
        invitation.invitation_from_text(text)
    assert caught.value.reason is Reason.BAD_TEXT


def test_a_text_has_no_other_form() -> None:
    """TOM-ROLES-120: base32 has spare bits at its end; they are zero."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    longer = evolve(INVITATION, addresses=(Address(Transport.TCP, "192.0.2.77:7700"),))
    texts = [invitation.invitation_to_text(one) for one in (INVITATION, longer)]
    spare = [text for text in texts if len(text[4:]) % 8]
    assert spare
    for text in spare:
        other = text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]
        with pytest.raises(ProtocolError) as caught:
            invitation.invitation_from_text(other)
        assert caught.value.reason is Reason.BAD_TEXT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"addresses": ()}, Reason.BAD_VALUE),
        ({"addresses": INVITATION.addresses * 9}, Reason.BAD_VALUE),
        ({"addresses": (Address(Transport.TCP, "nö"),)}, Reason.BAD_TEXT),
        ({"expires_at": 1 << 62}, Reason.BAD_VALUE),
    ],
)
def test_an_invitation_is_bounded(changes: dict[str, Any], reason: Reason) -> None:
    """TOM-ROLES-119."""
    with pytest.raises(ProtocolError) as caught:
        term_codec.encode_invitation(evolve(INVITATION, **changes))
    assert caught.value.reason is reason


def test_a_decoder_of_invitations_has_the_same_bounds() -> None:
    """TOM-ROLES-119: nine addresses, none, another version."""
    data = term_codec.encode_invitation(INVITATION)
    address = data[-64 - 16 : -64]
    count = len(data) - 64 - 16 - 1
    assert data[count] == 1
    for bad in (
        data[:count] + b"\x09" + address * 9 + data[-64:],
        data[:count] + b"\0" + data[-64:],
        b"\x02" + data[1:],
        data[:-1],
        data + b"\0",
    ):
        with pytest.raises(ProtocolError):
            term_codec.decode_invitation(bad)


# --- timing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"slot_ms": 11_999}, {"term_ms": 95_999}, {"fork_ms": 383_999}, {"eps": 0}, {"slot_margin": 0}],
)
def test_durations_that_the_rules_cannot_work_with(changes: dict[str, int]) -> None:
    """TOM-ROLES-007 to 009."""
    with pytest.raises(ValueError, match=r"slot|term|fork|eps"):
        Timing(**changes)


def test_a_fast_network_keeps_the_proportions() -> None:
    """TOM-ROLES-118: EPS and margin of its own."""
    fast = Timing.fast(600)
    assert fast.least_slot == fast.slot_ms == 600
    assert Timing().least_slot == 12_000
    assert fast.term_ms == 4_800


def test_the_examples_stand_on_real_keys() -> None:
    """The genesis used above verifies, so the formats above are those of real values."""
    records.check_genesis(SUBNET.genesis, FAST)
    assert vrf.verify(SUBNET.nodes[0].vrf_key, records.genesis_alpha(RECORD.subnet), SUBNET.genesis.proofs[0])
    assert isinstance(JOIN, Join)
    assert descriptor(identity(50)) == JOIN.descriptor


def test_a_block_names_record_and_evidence_or_neither() -> None:
    """TOM-ROLES-125: also before it is sent (code bad_value)."""
    header = BlockHeader(b"s" * 32, 0, b"p" * 32, 1, b"p" * 32, b"r" * 32, NO_HASH)
    with pytest.raises(ProtocolError) as caught:
        term_codec.encode_block_header(header)
    assert caught.value.reason is Reason.BAD_VALUE
