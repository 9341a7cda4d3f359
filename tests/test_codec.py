"""The codec: canonical, strict, bounded, and total over all bytes (spec chapter *Wire format*)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tom_ref import codec, constants, wire
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import (
    Address,
    Chunk,
    Close,
    Descriptor,
    DescriptorAnswer,
    DescriptorQuery,
    Envelope,
    Extension,
    Frame,
    HandshakePayload,
    Header,
    Kind,
    Ping,
    Pong,
    Receipt,
    Record,
    Refusal,
    Rekey,
    SessionInitial,
    SessionMessage,
    SessionRegular,
    Stamp,
    TrailReport,
    Transport,
    UnknownFrame,
    UnknownRecord,
    Window,
)


def octets(size: int) -> st.SearchStrategy[bytes]:
    """Byte strings of one length."""
    return st.binary(min_size=size, max_size=size)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    """Integers of one width."""
    return st.integers(0, 2**bits - 1)


KEY = octets(32)
MOMENT = st.integers(0, 2**62 - 1)
LIFETIME = st.integers(1, constants.MAX_TTL)
EXTENSIONS = st.lists(
    st.tuples(st.integers(0, 0x7FFF), st.binary(max_size=64)), max_size=16, unique_by=lambda item: item[0]
).map(lambda items: tuple(Extension(kind, value) for kind, value in sorted(items)))
ADDRESSES = st.lists(
    st.builds(
        Address,
        st.sampled_from(Transport),
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255),
    ),
    max_size=8,
).map(tuple)
DESCRIPTORS = st.builds(
    Descriptor,
    KEY,
    KEY,
    KEY,
    KEY,
    unsigned(32),
    KEY,
    unsigned(64),
    unsigned(64),
    unsigned(8),
    unsigned(8),
    unsigned(64),
    ADDRESSES,
    EXTENSIONS,
    octets(64),
)
STAMPS = st.builds(Stamp, unsigned(64), KEY, octets(64))
HEADERS = st.builds(
    Header,
    st.sampled_from(Kind),
    KEY,
    unsigned(64),
    KEY,
    KEY,
    MOMENT,
    LIFETIME,
    st.integers(1, 32),
    EXTENSIONS,
    st.integers(0, constants.MAX_PAYLOAD),
    KEY,
)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Envelopes whose header fits their payload and trail."""
    payload = draw(st.binary(max_size=300))
    trail = tuple(draw(st.lists(STAMPS, min_size=1, max_size=5)))
    header = evolve(draw(HEADERS), payload_length=len(payload), hop_limit=draw(st.integers(len(trail), 32)))
    return Envelope(header, codec.encode_header(header), draw(octets(64)), draw(unsigned(64)), trail, payload)


RECEIPTS = st.builds(
    Receipt, KEY, KEY, unsigned(64), KEY, KEY, KEY, MOMENT, LIFETIME, unsigned(64), EXTENSIONS, octets(64)
)
REASONS = st.from_regex(r"[a-z][a-z_]{0,39}", fullmatch=True)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    envelopes(),
    RECEIPTS,
    st.builds(TrailReport, KEY, st.lists(STAMPS, min_size=1, max_size=32).map(tuple)),
    st.builds(Refusal, KEY, REASONS),
    st.builds(DescriptorQuery, KEY),
    st.builds(DescriptorAnswer, KEY, st.none()),
    DESCRIPTORS.map(lambda descriptor: DescriptorAnswer(descriptor.node_id, descriptor)),
    st.builds(UnknownFrame, st.integers(0x80, 0xFF), st.binary(max_size=64)),
)


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    """Chunks that lie inside their frame."""
    data = draw(st.binary(min_size=1, max_size=200))
    offset = draw(st.integers(0, 10_000))
    total = draw(st.integers(offset + len(data), constants.MAX_FRAME))
    return Chunk(draw(unsigned(32)), total, offset, data)


RECORDS: st.SearchStrategy[Record] = st.one_of(
    chunks(),
    st.builds(Window, unsigned(64)),
    st.builds(Ping, unsigned(64), unsigned(64)),
    st.builds(Pong, unsigned(64), unsigned(64), unsigned(64), unsigned(64)),
    st.builds(Rekey, unsigned(32)),
    st.builds(Close, REASONS),
    st.builds(UnknownRecord, st.integers(0x80, 0xFF), st.binary(max_size=64)),
)
SESSION_MESSAGES: st.SearchStrategy[SessionMessage] = st.one_of(
    st.builds(
        SessionInitial,
        octets(16),
        KEY,
        KEY,
        unsigned(32),
        unsigned(64),
        KEY,
        unsigned(32),
        unsigned(32),
        st.binary(min_size=16, max_size=80),
    ),
    st.builds(
        SessionRegular, octets(16), KEY, unsigned(32), unsigned(32), st.binary(min_size=16, max_size=80)
    ),
)


# --- every value comes back, and comes back from nothing else -------------------------------------------


@given(FRAMES)
def test_frames_come_back(frame: Frame) -> None:
    """TOM-WIRE-001, 002: encode then decode is the identity."""
    assert codec.decode_frame(codec.encode_frame(frame)) == frame


@given(st.lists(RECORDS, min_size=1, max_size=5))
def test_records_come_back(records: list[Record]) -> None:
    """TOM-WIRE-001, 002."""
    plaintext = b"".join(codec.encode_record(record) for record in records)
    assert codec.decode_records(plaintext) == records


@given(DESCRIPTORS, EXTENSIONS)
def test_handshake_payloads_come_back(descriptor: Descriptor, extensions: tuple[Extension, ...]) -> None:
    """TOM-WIRE-001, 002."""
    payload = HandshakePayload(descriptor, extensions)
    assert codec.decode_handshake_payload(codec.encode_handshake_payload(payload)) == payload


@given(SESSION_MESSAGES)
def test_session_messages_come_back(message: SessionMessage) -> None:
    """TOM-WIRE-001, 002."""
    assert codec.decode_session_message(codec.encode_session_message(message)) == message


@given(EXTENSIONS)
def test_extensions_come_back(extensions: tuple[Extension, ...]) -> None:
    """TOM-WIRE-013: unknown extensions that aren't critical are kept byte for byte."""
    assert codec.decode_extensions(codec.encode_extensions(extensions)) == extensions


def rebuild_records(records: list[Record]) -> bytes:
    """All records, encoded again."""
    return b"".join(codec.encode_record(record) for record in records)


DECODERS: list[tuple[str, Callable[[bytes], Any], Callable[[Any], bytes], st.SearchStrategy[bytes]]] = [
    ("frame", codec.decode_frame, codec.encode_frame, FRAMES.map(codec.encode_frame)),
    ("header", codec.decode_header, codec.encode_header, HEADERS.map(codec.encode_header)),
    (
        "descriptor",
        codec.decode_descriptor,
        codec.encode_descriptor,
        DESCRIPTORS.map(codec.encode_descriptor),
    ),
    (
        "handshake payload",
        codec.decode_handshake_payload,
        codec.encode_handshake_payload,
        DESCRIPTORS.map(lambda d: codec.encode_handshake_payload(HandshakePayload(d))),
    ),
    ("records", codec.decode_records, rebuild_records, RECORDS.map(codec.encode_record)),
    (
        "session message",
        codec.decode_session_message,
        codec.encode_session_message,
        SESSION_MESSAGES.map(codec.encode_session_message),
    ),
    ("stamp", codec.decode_stamp, codec.encode_stamp, STAMPS.map(codec.encode_stamp)),
    ("extensions", codec.decode_extensions, codec.encode_extensions, EXTENSIONS.map(codec.encode_extensions)),
]


@pytest.mark.parametrize(("name", "decode", "encode", "valid"), DECODERS, ids=[row[0] for row in DECODERS])
def test_any_bytes_are_accepted_canonically_or_refused(
    name: str,
    decode: Callable[[bytes], Any],
    encode: Callable[[Any], bytes],
    valid: st.SearchStrategy[bytes],
) -> None:
    """TOM-WIRE-002, 008: mutated valid input and plain noise; parse, rebuild, compare."""

    @given(
        data=st.one_of(st.binary(max_size=400), valid),
        cut=st.integers(0, 2000),
        at=st.integers(0, 2000),
        flip=st.integers(0, 255),
        tail=st.binary(max_size=3),
    )
    @settings(max_examples=400)
    @example(data=b"", cut=0, at=0, flip=0, tail=b"")
    def check(data: bytes, cut: int, at: int, flip: int, tail: bytes) -> None:
        changed = bytearray(data[: len(data) - cut % (len(data) + 1)] if cut % 3 == 0 else data)
        if changed:
            changed[at % len(changed)] ^= flip
        candidate = bytes(changed) + tail
        try:
            value = decode(candidate)
        except ProtocolError:
            return
        assert encode(value) == candidate, name

    check()


# --- one rule broken at a time, each beside its passing sibling ------------------------------------------


def reason_of(decode: Callable[[bytes], Any], data: bytes) -> Reason:
    """The code with which ``data`` is refused."""
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    return caught.value.reason


HEADER = Header(Kind.MESSAGE, b"s" * 32, 7, b"a" * 32, b"b" * 32, 1_000_000, 60_000, 4, (), 20, b"h" * 32)
STAMP = Stamp(1_000_001, b"c" * 32, b"g" * 64)
ENVELOPE = Envelope(HEADER, codec.encode_header(HEADER), b"x" * 64, 0, (STAMP,), b"p" * 20)
DESCRIPTOR = Descriptor(
    b"n" * 32,
    b"v" * 32,
    b"l" * 32,
    b"e" * 32,
    1,
    b"k" * 32,
    1,
    2,
    1,
    1,
    3,
    (Address(Transport.TCP, "a:1"),),
    (),
)
RECEIPT = Receipt(b"m" * 32, b"s" * 32, 7, b"a" * 32, b"b" * 32, b"c" * 32, 1_000_000, 60_000, 1_000_100)


def changed(data: bytes, offset: int, replacement: bytes) -> bytes:
    """``data`` with some bytes replaced."""
    return data[:offset] + replacement + data[offset + len(replacement) :]


HEADER_BYTES = codec.encode_header(HEADER)
ENVELOPE_BYTES = codec.encode_envelope(ENVELOPE)
RECEIPT_BYTES = codec.encode_receipt(RECEIPT)
DESCRIPTOR_BYTES = codec.encode_descriptor(DESCRIPTOR)


@pytest.mark.parametrize(
    ("requirement", "offset", "replacement", "reason"),
    [
        ("TOM-WIRE-006", 0, b"\x02", Reason.UNKNOWN_VERSION),
        ("TOM-WIRE-031", 1, b"\x02", Reason.UNKNOWN_KIND),
        ("TOM-WIRE-033", 106, (2**62).to_bytes(8, "big"), Reason.BAD_VALUE),
        ("TOM-WIRE-032", 114, bytes(4), Reason.BAD_LIFETIME),
        ("TOM-WIRE-032", 114, (constants.MAX_TTL + 1).to_bytes(4, "big"), Reason.BAD_LIFETIME),
        ("TOM-WIRE-034", 118, b"\x00", Reason.BAD_VALUE),
        ("TOM-WIRE-034", 118, b"\x21", Reason.BAD_VALUE),
        ("TOM-WIRE-037", 120, (constants.MAX_PAYLOAD + 1).to_bytes(4, "big"), Reason.TOO_LARGE),
    ],
)
def test_header_rules(requirement: str, offset: int, replacement: bytes, reason: Reason) -> None:
    """TOM-WIRE-006, 031 to 034, 037: each broken alone; the untouched header is the passing sibling."""
    assert codec.decode_header(HEADER_BYTES) == HEADER, requirement
    assert reason_of(codec.decode_header, changed(HEADER_BYTES, offset, replacement)) is reason


@pytest.mark.parametrize(
    "header",
    [
        evolve(HEADER, ttl=0),
        evolve(HEADER, ttl=constants.MAX_TTL + 1),
        evolve(HEADER, created_at=2**62),
        evolve(HEADER, hop_limit=0),
        evolve(HEADER, hop_limit=33),
        evolve(HEADER, payload_length=constants.MAX_PAYLOAD + 1),
        evolve(HEADER, sender=b"short"),
        evolve(HEADER, term=-1),
        evolve(HEADER, extensions=(Extension(1, bytes(4_100)),)),
    ],
)
def test_nothing_leaves_that_a_peer_would_refuse(header: Header) -> None:
    """TOM-WIRE-007: the encoder applies the decoder's rules."""
    with pytest.raises(ProtocolError):
        codec.encode_header(header)


def test_extension_rules() -> None:
    """TOM-WIRE-010 to 014."""

    def listed(*items: tuple[int, bytes]) -> bytes:
        body = b"".join(struct.pack(">HH", kind, len(value)) + value for kind, value in items)
        return bytes((len(items),)) + body

    grease = [(kind, b"anything") for kind in codec.GREASE_EXTENSION_TYPES]
    assert len(codec.decode_extensions(listed(*grease))) == 8
    assert reason_of(codec.decode_extensions, listed((2, b""), (1, b""))) is Reason.NON_CANONICAL
    assert reason_of(codec.decode_extensions, listed((2, b""), (2, b""))) is Reason.NON_CANONICAL
    assert reason_of(codec.decode_extensions, listed((0x8001, b""))) is Reason.UNKNOWN_CRITICAL_EXTENSION
    assert reason_of(codec.decode_extensions, listed(*((k, b"") for k in range(17)))) is Reason.TOO_LARGE
    assert len(codec.decode_extensions(listed(*((k, b"") for k in range(16))))) == 16
    assert len(codec.decode_extensions(listed((1, bytes(4_091))))) == 1
    assert reason_of(codec.decode_extensions, listed((1, bytes(4_092)))) is Reason.TOO_LARGE
    assert reason_of(codec.decode_extensions, listed((1, b"")) + b"\x00") is Reason.TRAILING_BYTES
    assert reason_of(codec.decode_extensions, b"\x01\x00") is Reason.TRUNCATED
    assert Extension(0x8001, b"").critical
    assert not Extension(1, b"").critical
    critical = codec.encode_extensions((Extension(0x8001, b"x"),))
    assert reason_of(codec.decode_extensions, critical) is Reason.UNKNOWN_CRITICAL_EXTENSION


@pytest.mark.parametrize(
    ("requirement", "data", "reason"),
    [
        ("TOM-WIRE-005", b"", Reason.TRUNCATED),
        ("TOM-WIRE-005", ENVELOPE_BYTES[:60], Reason.TRUNCATED),
        ("TOM-WIRE-020", bytes(constants.MAX_FRAME + 1), Reason.TOO_LARGE),
        ("TOM-WIRE-021", b"\x00", Reason.UNKNOWN_FRAME),
        ("TOM-WIRE-021", b"\x7f", Reason.UNKNOWN_FRAME),
        ("TOM-WIRE-030", b"\x01\x12\x01" + bytes(6_000), Reason.TOO_LARGE),
        ("TOM-WIRE-038", ENVELOPE_BYTES + b"\x00", Reason.PAYLOAD_MISMATCH),
        ("TOM-WIRE-038", ENVELOPE_BYTES[:-1], Reason.PAYLOAD_MISMATCH),
        ("TOM-WIRE-004", RECEIPT_BYTES + b"\x00", Reason.TRAILING_BYTES),
        ("TOM-WIRE-006", changed(RECEIPT_BYTES, 1, b"\x00"), Reason.UNKNOWN_VERSION),
        ("TOM-WIRE-032", changed(RECEIPT_BYTES, 178, bytes(4)), Reason.BAD_LIFETIME),
        ("TOM-WIRE-040", b"\x03" + bytes(32) + b"\x00", Reason.BAD_VALUE),
        ("TOM-WIRE-040", b"\x03" + bytes(32) + b"\x21" + bytes(33 * 104), Reason.PATH_TOO_LONG),
        ("TOM-WIRE-004", b"\x03" + bytes(32) + b"\x01" + bytes(105), Reason.TRAILING_BYTES),
        ("TOM-WIRE-041", b"\x04" + bytes(32) + b"\x00", Reason.BAD_TEXT),
        ("TOM-WIRE-041", b"\x04" + bytes(32) + b"\x01A", Reason.BAD_TEXT),
        ("TOM-WIRE-041", b"\x04" + bytes(32) + b"\x29" + b"a" * 41, Reason.BAD_TEXT),
        ("TOM-WIRE-004", b"\x04" + bytes(32) + b"\x01ab", Reason.TRAILING_BYTES),
        ("TOM-WIRE-004", b"\x05" + bytes(33), Reason.TRAILING_BYTES),
        ("TOM-WIRE-005", b"\x05" + bytes(31), Reason.TRUNCATED),
        ("TOM-WIRE-004", b"\x06" + bytes(34) + b"\x00", Reason.TRAILING_BYTES),
        (
            "TOM-WIRE-043",
            b"\x06" + bytes(32) + len(DESCRIPTOR_BYTES).to_bytes(2, "big") + DESCRIPTOR_BYTES,
            Reason.NODE_MISMATCH,
        ),
    ],
)
def test_frame_rules(requirement: str, data: bytes, reason: Reason) -> None:
    """TOM-WIRE-004 to 006, 020 to 043: each broken alone."""
    assert reason_of(codec.decode_frame, data) is reason, requirement


def test_trail_is_bounded_by_the_signed_hop_limit() -> None:
    """TOM-WIRE-035, 036."""
    four = evolve(ENVELOPE, trail=(STAMP,) * 4)
    assert codec.decode_envelope(codec.encode_envelope(four)) == four
    with pytest.raises(ProtocolError, match="path_too_long"):
        codec.encode_envelope(evolve(ENVELOPE, trail=(STAMP,) * 5))
    with pytest.raises(ProtocolError, match="bad_value"):
        codec.encode_envelope(evolve(ENVELOPE, trail=()))
    count = 1 + 2 + len(HEADER_BYTES) + 64 + 8
    assert ENVELOPE_BYTES[count] == 1
    stamps = ENVELOPE_BYTES[count + 1 : count + 105]
    five = ENVELOPE_BYTES[:count] + b"\x05" + 5 * stamps + b"p" * 20
    assert reason_of(codec.decode_frame, five) is Reason.PATH_TOO_LONG
    none = ENVELOPE_BYTES[:count] + b"\x00" + b"p" * 20
    assert reason_of(codec.decode_frame, none) is Reason.BAD_VALUE


def test_types_to_be_ignored() -> None:
    """TOM-WIRE-022, 051: unknown types from 0x80 on are handed up to be ignored."""
    for kind in codec.GREASE_TYPES:
        assert codec.decode_frame(bytes((kind,)) + b"junk") == UnknownFrame(kind, b"junk")
        assert codec.decode_records(bytes((kind, 0, 1)) + b"j") == [UnknownRecord(kind, b"j")]


@pytest.mark.parametrize(
    ("requirement", "data", "reason"),
    [
        ("TOM-WIRE-005", b"", Reason.TRUNCATED),
        ("TOM-WIRE-050", b"\x00\x00\x00", Reason.UNKNOWN_RECORD),
        ("TOM-WIRE-050", b"\x07\x00\x00", Reason.UNKNOWN_RECORD),
        ("TOM-WIRE-005", b"\x02\x00", Reason.TRUNCATED),
        ("TOM-WIRE-005", b"\x02\x00\x08" + bytes(7), Reason.TRUNCATED),
        ("TOM-WIRE-004", b"\x02\x00\x09" + bytes(9), Reason.TRAILING_BYTES),
        ("TOM-WIRE-005", b"\x02\x00\x07" + bytes(7), Reason.TRUNCATED),
        ("TOM-WIRE-052", b"\x01\x00\x0c" + bytes(4) + b"\x00\x00\x00\x01" + bytes(4), Reason.BAD_CHUNK),
        ("TOM-WIRE-052", b"\x01\x00\x0d" + bytes(4) + b"\x00\x00\x00\x01\x00\x00\x00\x01x", Reason.BAD_CHUNK),
        ("TOM-WIRE-053", b"\x01\x00\x0d" + bytes(12) + b"x", Reason.TOO_LARGE),
        (
            "TOM-WIRE-053",
            b"\x01\x00\x0d" + bytes(4) + b"\x00\x10\x41\x01" + bytes(4) + b"x",
            Reason.TOO_LARGE,
        ),
        (
            "TOM-WIRE-053",
            b"\x01\x40\x0d" + bytes(4) + b"\x00\x01\x00\x00" + bytes(4) + bytes(16_385),
            Reason.TOO_LARGE,
        ),
        ("TOM-WIRE-041", b"\x06\x00\x00", Reason.BAD_TEXT),
        ("TOM-WIRE-041", b"\x06\x00\x02a1", Reason.BAD_TEXT),
    ],
)
def test_record_rules(requirement: str, data: bytes, reason: Reason) -> None:
    """TOM-WIRE-050 to 053 and the general rules: each broken alone."""
    assert reason_of(codec.decode_records, data) is reason, requirement


def test_the_record_head_read_by_hand_is_the_declared_one() -> None:
    """wire.RECORD is the source; decode_records reads its three bytes itself for speed."""
    declared = wire.RECORD.build({"type": 0x9A, "length": 300, "body": bytes(300)})
    assert codec.decode_records(declared) == [UnknownRecord(0x9A, bytes(300))]


@pytest.mark.parametrize(
    ("requirement", "offset", "replacement", "reason"),
    [
        ("TOM-WIRE-006", 0, b"\x00", Reason.UNKNOWN_VERSION),
        ("TOM-WIRE-016", 192, b"\x05", Reason.UNKNOWN_KIND),
        ("TOM-WIRE-015", 194, b"\x20", Reason.BAD_TEXT),
        ("TOM-WIRE-015", 194, b"\xff", Reason.BAD_TEXT),
    ],
)
def test_descriptor_rules(requirement: str, offset: int, replacement: bytes, reason: Reason) -> None:
    """TOM-WIRE-006, 015, 016: each broken alone; the untouched descriptor is the passing sibling."""
    assert codec.decode_descriptor(DESCRIPTOR_BYTES) == DESCRIPTOR, requirement
    assert reason_of(codec.decode_descriptor, changed(DESCRIPTOR_BYTES, offset, replacement)) is reason


def test_descriptor_bounds() -> None:
    """TOM-WIRE-044, 015."""
    address = Address(Transport.TCP, "a" * 255)
    eight = evolve(DESCRIPTOR, addresses=(address,) * 8)
    assert codec.decode_descriptor(codec.encode_descriptor(eight)) == eight
    for broken in (
        evolve(DESCRIPTOR, addresses=(address,) * 9),
        evolve(DESCRIPTOR, addresses=(Address(Transport.TCP, ""),)),
        evolve(DESCRIPTOR, addresses=(Address(Transport.TCP, "a" * 256),)),
        evolve(DESCRIPTOR, addresses=(Address(Transport.TCP, "é:1"),)),
    ):
        with pytest.raises(ProtocolError):
            codec.encode_descriptor(broken)
    nine = b"".join((DESCRIPTOR_BYTES[:191], b"\x09", DESCRIPTOR_BYTES[192:197] * 9, DESCRIPTOR_BYTES[197:]))
    assert reason_of(codec.decode_descriptor, nine) is Reason.TOO_LARGE
    assert reason_of(codec.decode_descriptor, bytes(constants.MAX_DESCRIPTOR + 1)) is Reason.TOO_LARGE
    empty = b"".join((DESCRIPTOR_BYTES[:191], b"\x01\x01\x00", DESCRIPTOR_BYTES[197:]))
    assert reason_of(codec.decode_descriptor, empty) is Reason.BAD_TEXT
    assert reason_of(codec.decode_descriptor, DESCRIPTOR_BYTES + b"\x00") is Reason.TRAILING_BYTES
    with pytest.raises(ProtocolError, match="node_mismatch"):
        codec.encode_frame(DescriptorAnswer(b"z" * 32, DESCRIPTOR))


def test_handshake_payload_rules() -> None:
    """TOM-WIRE-004, 006."""
    data = codec.encode_handshake_payload(HandshakePayload(DESCRIPTOR))
    assert reason_of(codec.decode_handshake_payload, b"\x02" + data[1:]) is Reason.UNKNOWN_VERSION
    assert reason_of(codec.decode_handshake_payload, data + b"\x00") is Reason.TRAILING_BYTES


@pytest.mark.parametrize(
    ("requirement", "data", "reason"),
    [
        ("TOM-WIRE-005", b"\x01", Reason.TRUNCATED),
        ("TOM-WIRE-060", b"\x02\x02" + bytes(72), Reason.UNKNOWN_KIND),
        ("TOM-WIRE-060", b"\x01\x03" + bytes(72), Reason.UNKNOWN_KIND),
        ("TOM-WIRE-061", b"\x01\x02" + bytes(56 + 15), Reason.TRUNCATED),
        ("TOM-WIRE-061", b"\x01\x01" + bytes(124 + 15), Reason.TRUNCATED),
    ],
)
def test_session_message_rules(requirement: str, data: bytes, reason: Reason) -> None:
    """TOM-WIRE-005, 060, 061: each broken alone."""
    assert reason_of(codec.decode_session_message, data) is reason, requirement


def test_the_encoder_refuses_what_is_too_long() -> None:
    """TOM-WIRE-020: an encoder never exceeds a cap."""
    with pytest.raises(ProtocolError, match="too_large"):
        codec.encode_session_message(SessionRegular(bytes(16), bytes(32), 0, 0, bytes(constants.MAX_PAYLOAD)))


def test_a_wrong_first_byte_is_a_wrong_type() -> None:
    """TOM-WIRE-007: a decoder for one frame refuses another."""
    assert reason_of(codec.decode_envelope, RECEIPT_BYTES) is Reason.BAD_VALUE


def test_stored_records_are_canonical_too() -> None:
    """The local store's records follow the same rules."""
    record = codec.SEEN.encode(keep_until=5, length=3, receipt=b"abc")
    assert codec.SEEN.decode(record).receipt == b"abc"
    assert reason_of(codec.SEEN.decode, record + b"\x00") is Reason.TRAILING_BYTES
    assert reason_of(codec.SEEN.decode, b"\x02" + record[1:]) is Reason.UNKNOWN_VERSION
    assert reason_of(codec.SEEN.decode, record[:-1]) is Reason.TRUNCATED
    assert "abc" not in repr(ENVELOPE.header)
