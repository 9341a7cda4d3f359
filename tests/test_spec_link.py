"""Chapter 5 of the specification, requirement by requirement; each test names the one it checks."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from attrs import evolve

from tests.linkpair import (
    ALICE,
    BOB,
    CAROL,
    NOW,
    Pair,
    Party,
    Raw,
    connected,
    entropy,
    events,
    framed,
    output,
    raw,
    state,
)
from tom_ref import codec, crypto
from tom_ref.codec import GREASE_TYPES, encode_record
from tom_ref.constants import (
    CHUNK_SIZE,
    LINK_WINDOW,
    MAX_FRAME,
    MAX_HANDSHAKE_MESSAGE,
    MAX_STREAMS,
    REKEY_INTERVAL,
    REKEY_MESSAGES,
)
from tom_ref.errors import Reason
from tom_ref.frames import (
    Chunk,
    Close,
    Extension,
    HandshakePayload,
    Ping,
    Pong,
    Rekey,
    UnknownRecord,
    Window,
)
from tom_ref.handshake import MAX_NONCE, Handshake
from tom_ref.link import (
    BYE,
    Framing,
    Link,
    LinkClosed,
    LinkEvent,
    LinkFrame,
    LinkMeasured,
    LinkOpened,
    State,
    Trigger,
    keep_new_link,
)


def ended(taken: list[LinkEvent], reason: str, cause: Trigger = Trigger.FAULT) -> None:
    """The events end with the end of the link, for this reason, and say so once."""
    end = taken[-1]
    assert isinstance(end, LinkClosed)
    assert (end.reason, end.cause) == (reason, cause)
    assert sum(isinstance(event, LinkClosed) for event in taken) == 1


def refused_and_told(peer: Raw, taken: list[LinkEvent], reason: str) -> None:
    """The link ended for this reason and its CLOSE says so."""
    ended(taken, reason)
    assert peer.heard() == [Close(reason)]


def handshake_pair(
    party: Party = CAROL, *, binding: bytes = b"", link: Link | None = None, payload: bytes | None = None
) -> tuple[Link, Raw]:
    link = link or BOB.link(initiate=False)
    return link, Raw(link, party=party, payload=payload, binding=binding)


def chunk(stream: int, total: int, offset: int, data: bytes) -> bytes:
    """A CHUNK record, whatever its values."""
    body = b"".join(value.to_bytes(4, "big") for value in (stream, total, offset)) + data
    return b"\1" + len(body).to_bytes(2, "big") + body


# --- transports ---------------------------------------------------------------------------------------


def test_disorder_ends_the_link() -> None:
    """TOM-LINK-001: what a bad transport does to the data is noticed."""
    for order in ((1, 0), (0, 0), (1,)):
        pair = connected()
        pieces = []
        for content in (b"first", b"second"):
            pair.first.send(content)
            pieces += output(pair.first)
        pair.second.receive_data(b"".join(pieces[index] for index in order), NOW)
        ended(events(pair.second), Reason.BAD_SEAL)


def test_length_prefix_on_streams() -> None:
    """TOM-LINK-002: two bytes, big-endian, count the Noise message."""
    pair = Pair(ALICE.link(initiate=True), BOB.link(initiate=False))
    (first,) = output(pair.first)
    assert first[:2] == b"\0\x20"
    assert len(first) == 34
    link = connected().first
    link.send(bytes(100_000))
    pieces = output(link)
    assert all(int.from_bytes(piece[:2], "big") == len(piece) - 2 for piece in pieces)


def test_no_length_prefix_on_message_transports() -> None:
    """TOM-LINK-003: the same Noise messages, without their length."""
    streamed = output(ALICE.link(initiate=True))
    whole = output(ALICE.link(initiate=True, framing=Framing.MESSAGES))
    assert [piece[2:] for piece in streamed] == whole
    pair = connected(framing=Framing.MESSAGES)
    pair.first.send(bytes(MAX_FRAME))
    pair.pump()
    assert pair.frames(1) == [bytes(MAX_FRAME)]


def test_noise_message_cap() -> None:
    """TOM-LINK-004: on a message transport, 65,536 bytes are one too many."""
    link = connected(framing=Framing.MESSAGES).first
    link.receive_data(bytes(65_536), NOW)
    ended(events(link), Reason.TOO_LARGE)
    link = connected(framing=Framing.MESSAGES).first
    link.receive_data(bytes(65_535), NOW)
    ended(events(link), Reason.BAD_SEAL)


def test_handshake_message_cap() -> None:
    """TOM-LINK-005: the length alone is enough to refuse it, in each state of the handshake."""
    assert MAX_HANDSHAKE_MESSAGE == 12_387
    for initiate in (True, False):
        link = BOB.link(initiate=initiate)
        link.receive_data((12_388).to_bytes(2, "big"), NOW)
        ended(events(link), Reason.TOO_LARGE)
        link = BOB.link(initiate=initiate)
        link.receive_data((12_387).to_bytes(2, "big") + bytes(100), NOW)
        assert events(link) == []
    link = BOB.link(initiate=False, framing=Framing.MESSAGES)
    link.receive_data(bytes(12_388), NOW)
    ended(events(link), Reason.TOO_LARGE)


# --- handshake ----------------------------------------------------------------------------------------


def test_noise_xx() -> None:
    """TOM-LINK-010: the plain Noise handshake, made by hand, opens a link in both roles."""
    for initiate in (True, False):
        peer = Raw(BOB.link(initiate=initiate))
        (opened,) = peer.connect()
        assert isinstance(opened, LinkOpened)
        assert opened.descriptor == CAROL.descriptor
        assert peer.keys is not None
        assert opened.handshake_hash == peer.keys.handshake_hash
        assert peer.say(chunk(1, 5, 0, b"hello")) == [LinkFrame(b"hello")]


def test_prologue() -> None:
    """TOM-LINK-011: label and binding, as bytes."""
    binding = bytes(range(64))
    link, peer = handshake_pair(link=BOB.link(initiate=False, binding=binding), binding=binding)
    peer.connect()
    assert state(link) is State.OPEN
    assert crypto.labelled("ToM/1 link", binding) == b"\x0aToM/1 link" + b"\0\0\0\x40" + binding


def test_empty_binding() -> None:
    """TOM-LINK-012: the prologue without a binding still has the part's length."""
    by_hand = Handshake(
        initiator=True, prologue=b"\x0aToM/1 link\0\0\0\0", entropy=entropy("x"), static=CAROL.static
    )
    link = BOB.link(initiate=False)
    link.receive_data(framed(by_hand.write_message()), NOW)
    assert events(link) == []
    by_hand.read_message(output(link)[0][2:])


def test_other_binding() -> None:
    """TOM-LINK-013: who swapped the fingerprints is found out by the initiator, in message 2."""
    pair = Pair(
        ALICE.link(initiate=True, binding=b"A" * 32 + b"B" * 32),
        BOB.link(initiate=False, binding=b"A" * 32 + b"M" * 32),
    )
    pair.pump()
    closed = pair.closed(0)
    assert closed is not None
    assert closed.reason == Reason.BAD_HANDSHAKE
    assert pair.seen[1] == []


def test_initiator_speaks_first() -> None:
    """TOM-LINK-014: a responder says nothing before message 1."""
    assert output(BOB.link(initiate=False)) == []
    assert len(output(BOB.link(initiate=True))) == 1


def test_ephemeral_keys_are_fresh() -> None:
    """TOM-LINK-015: each link draws its own, 32 bytes by the name link/ephemeral, once."""
    drawn = []

    def source(purpose: str, size: int) -> bytes:
        drawn.append((purpose, size))
        return entropy(str(len(drawn)))(purpose, size)

    firsts = set()
    for _ in range(2):
        link = Link.initiator(
            static=ALICE.static,
            descriptor=codec.encode_descriptor(ALICE.descriptor),
            binding=b"",
            entropy=source,
            now=NOW,
        )
        firsts.add(output(link)[0])
    assert len(firsts) == 2
    assert drawn == [("link/ephemeral", 32)] * 2


def test_message_1_is_empty() -> None:
    """TOM-LINK-016: a payload in message 1 is refused, and nothing of it is used."""
    link, peer = handshake_pair()
    peer.hand_over(peer.handshake.write_message(CAROL.payload))
    ended(events(link), Reason.BAD_HANDSHAKE)
    assert output(link) == []


def test_payloads_carry_the_descriptors() -> None:
    """TOM-LINK-017: in messages 2 and 3, with extensions kept out of the way."""
    payload = codec.encode_handshake_payload(
        HandshakePayload(CAROL.descriptor, (Extension(0x0A0A, b"grease"), Extension(0x7A7A, b"")))
    )
    for initiate in (True, False):
        _, peer = handshake_pair(link=BOB.link(initiate=initiate), payload=payload)
        (opened,) = peer.connect()
        assert isinstance(opened, LinkOpened)
        assert opened.descriptor == CAROL.descriptor
    by_hand = Handshake(
        initiator=True,
        prologue=crypto.labelled("ToM/1 link", b""),
        entropy=entropy("x"),
        static=CAROL.static,
    )
    link = BOB.link(initiate=False)
    link.receive_data(framed(by_hand.write_message()), NOW)
    events(link)
    sent = by_hand.read_message(output(link)[0][2:])
    assert codec.decode_handshake_payload(sent) == HandshakePayload(BOB.descriptor)


def test_bad_handshake_messages() -> None:
    """TOM-LINK-018: short and forged ones, in each state; no CLOSE can be sent."""
    for message in (b"", bytes(31), b"\x09" + bytes(30)):
        link = BOB.link(initiate=False)
        link.receive_data(framed(message), NOW)
        ended(events(link), Reason.BAD_HANDSHAKE)
        assert output(link) == []
    link = BOB.link(initiate=True)
    link.receive_data(framed(b"\x09" * 500), NOW)
    ended(events(link), Reason.BAD_HANDSHAKE)
    assert output(link) == []
    link, peer = handshake_pair()
    peer.hand_over(peer.handshake.write_message())
    events(link)
    output(link)
    link.receive_data(framed(b"\x09" * 500), NOW)
    ended(events(link), Reason.BAD_HANDSHAKE)
    assert output(link) == []


def test_low_order_keys() -> None:
    """TOM-LINK-019: an ephemeral key that gives an all-zero secret."""
    link = BOB.link(initiate=False)
    link.receive_data(framed(bytes(32)), NOW)
    ended(events(link), Reason.BAD_KEY)
    link = BOB.link(initiate=True)
    link.receive_data(framed(bytes(500)), NOW)
    ended(events(link), Reason.BAD_KEY)


@pytest.mark.parametrize("initiate", [True, False])
def test_own_node(initiate: bool) -> None:
    """TOM-LINK-020: a node that reaches itself."""
    _, peer = handshake_pair(BOB, link=BOB.link(initiate=initiate))
    ended(peer.connect(), Reason.SELF_LINK)


@pytest.mark.parametrize("initiate", [True, False])
def test_expected_node(initiate: bool) -> None:
    """TOM-LINK-021: another node than the invitation names; the named one is welcome."""
    link, peer = handshake_pair(link=BOB.link(initiate=initiate, expected_node=ALICE.node_id))
    ended(peer.connect(), Reason.NODE_MISMATCH)
    link, peer = handshake_pair(link=BOB.link(initiate=initiate, expected_node=CAROL.node_id))
    peer.connect()
    assert state(link) is State.OPEN


@pytest.mark.parametrize("initiate", [True, False])
def test_descriptor_of_somebody_else(initiate: bool) -> None:
    """TOM-LINK-022: Carol can't show Alice's valid descriptor, nor her own with another link key."""
    _, peer = handshake_pair(payload=ALICE.payload, link=BOB.link(initiate=initiate))
    ended(peer.connect(), Reason.BAD_STATIC_KEY)
    other = CAROL.sign(evolve(CAROL.descriptor, link_key=ALICE.descriptor.link_key))
    payload = codec.encode_handshake_payload(HandshakePayload(other))
    _, peer = handshake_pair(payload=payload, link=BOB.link(initiate=initiate))
    ended(peer.connect(), Reason.BAD_STATIC_KEY)


def test_invalid_descriptors_and_payloads() -> None:
    """TOM-LINK-023: with the code of the chapter that says what is valid."""
    unsigned = evolve(CAROL.descriptor, created_at=CAROL.descriptor.created_at + 1)
    future = CAROL.sign(evolve(CAROL.descriptor, created_at=NOW + 10_001))
    for descriptor, reason in ((unsigned, Reason.BAD_SIGNATURE), (future, Reason.FUTURE_DATE)):
        _, peer = handshake_pair(payload=codec.encode_handshake_payload(HandshakePayload(descriptor)))
        ended(peer.connect(), reason)
    for payload, reason in (
        (b"", Reason.TRUNCATED),
        (CAROL.payload + b"\0", Reason.TRAILING_BYTES),
        (b"\2" + CAROL.payload[1:], Reason.UNKNOWN_VERSION),
    ):
        _, peer = handshake_pair(payload=payload)
        ended(peer.connect(), reason)


def test_refusals_are_told_where_they_can_be() -> None:
    """TOM-LINK-024: an initiator that refuses sends nothing more, a responder sends CLOSE."""
    link, peer = handshake_pair(payload=ALICE.payload, link=BOB.link(initiate=True))
    peer.connect()
    assert output(link) == []
    link, peer = handshake_pair(payload=ALICE.payload)
    peer.connect()
    assert peer.heard() == [Close(Reason.BAD_STATIC_KEY)]


def test_handshake_timeout() -> None:
    """TOM-LINK-025: 10,000 ms, counted from the beginning in every state of the handshake."""
    waiting, peer = handshake_pair()
    peer.hand_over(peer.handshake.write_message(), NOW + 9_000)
    events(waiting)
    for link in (BOB.link(initiate=True), BOB.link(initiate=False), waiting):
        assert link.next_deadline() == NOW + 10_000
        link.handle_timeout(NOW + 9_999)
        assert events(link) == []
        link.handle_timeout(NOW + 10_000)
        ended(events(link), Reason.HANDSHAKE_TIMEOUT, Trigger.TIMEOUT)


# --- records ------------------------------------------------------------------------------------------


def test_whole_records_only() -> None:
    """TOM-LINK-030: nothing at all, and every cut of a record, are refused."""
    whole = encode_record(Window(LINK_WINDOW)) + chunk(1, 3, 0, b"abc")
    for length in range(len(whole)):
        if length == len(encode_record(Window(LINK_WINDOW))):
            continue
        peer = raw()
        refused_and_told(peer, peer.say(whole[:length]), Reason.TRUNCATED)
    assert raw().say(whole) == [LinkFrame(b"abc")]


def test_forged_transport_messages() -> None:
    """TOM-LINK-031: and a CLOSE says so."""
    peer = raw()
    assert peer.keys is not None
    sealed = peer.keys.send.encrypt(chunk(1, 1, 0, b"x"))
    peer.hand_over(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    refused_and_told(peer, events(peer.link), Reason.BAD_SEAL)


def test_records_in_order() -> None:
    """TOM-LINK-032: frames come out in the order of their last chunks."""
    peer = raw()
    taken = peer.say(chunk(1, 4, 0, b"ab"), chunk(2, 1, 0, b"x"), chunk(1, 4, 2, b"cd"), chunk(3, 1, 0, b"y"))
    assert taken == [LinkFrame(b"x"), LinkFrame(b"abcd"), LinkFrame(b"y")]


def test_coalescing() -> None:
    """TOM-LINK-033: what is ready goes into one message, and no message exceeds the cap."""
    pair = connected()
    for _ in range(100):
        pair.first.send(bytes(600))
    pair.first.ping()
    (piece,) = output(pair.first)
    assert len(piece) > 100 * 600
    for _ in range(100):
        pair.first.send(bytes(1300))
    pieces = output(pair.first)
    assert len(pieces) == 3
    assert all(len(piece) <= 65_537 for piece in pieces)


def test_reserved_records() -> None:
    """TOM-LINK-034: a link with grease sends them, any link ignores them wherever they stand."""
    peer = Raw(BOB.link(initiate=False, grease=True))
    peer.connect()
    kinds = set()
    for _ in range(60):
        peer.link.send(b"frame")
        records = peer.heard()
        assert len(records) == 2
        kinds |= {record.type for record in records if isinstance(record, UnknownRecord)}
    assert len(kinds) > 4
    assert kinds <= set(GREASE_TYPES)
    peer = raw()
    grease = [encode_record(UnknownRecord(kind, bytes(5))) for kind in GREASE_TYPES]
    assert peer.say(*grease, chunk(1, 1, 0, b"x"), *grease) == [LinkFrame(b"x")]
    peer = raw()
    refused_and_told(peer, peer.say(encode_record(UnknownRecord(0x7F, b""))), Reason.UNKNOWN_RECORD)


# --- frames and chunks --------------------------------------------------------------------------------


def test_frame_numbers() -> None:
    """TOM-LINK-040: 1, 2, 3 in the order of the first chunks, whatever the sizes."""
    peer = raw()
    for size in (40_000, 5, 70_000, 6, 16_384):
        peer.link.send(bytes(size))
    firsts = [record.stream for record in peer.heard() if isinstance(record, Chunk) and not record.offset]
    assert firsts == [1, 2, 3, 4, 5]


def test_declared_lengths() -> None:
    """TOM-LINK-041: each chunk repeats its frame's length; 0 and more than the cap are refused."""
    peer = raw()
    peer.link.send(bytes(40_000))
    assert {record.total for record in peer.heard() if isinstance(record, Chunk)} == {40_000}
    for total in (0, MAX_FRAME + 1, 2**32 - 1):
        peer = raw()
        refused_and_told(peer, peer.say(chunk(1, total, 0, b"x")), Reason.TOO_LARGE)


def test_chunk_sizes() -> None:
    """TOM-LINK-042: 1 to 16,384 bytes of data."""
    peer = raw()
    assert peer.say(chunk(1, CHUNK_SIZE, 0, bytes(CHUNK_SIZE))) == [LinkFrame(bytes(CHUNK_SIZE))]
    refused_and_told(peer, peer.say(chunk(2, CHUNK_SIZE + 1, 0, bytes(CHUNK_SIZE + 1))), Reason.TOO_LARGE)
    peer = raw()
    refused_and_told(peer, peer.say(chunk(1, 1, 0, b"")), Reason.BAD_CHUNK)


@pytest.mark.parametrize("offset", [0, 1, 3, 4])
def test_gaps_and_repetitions(offset: int) -> None:
    """TOM-LINK-043: the second chunk of a frame belongs at 2."""
    peer = raw()
    assert peer.say(chunk(1, 5, 0, b"ab")) == []
    refused_and_told(peer, peer.say(chunk(1, 5, offset, b"c")), Reason.BAD_CHUNK)


@pytest.mark.parametrize(
    "second",
    [
        chunk(3, 5, 0, b"c"),  # a number is left out
        chunk(0, 5, 0, b"c"),  # never a number
        chunk(2, 5, 1, b"c"),  # a frame that begins in its middle
        chunk(1, 6, 2, b"c"),  # another length
        chunk(1, 5, 2, b"cdef"),  # beyond its end
    ],
)
def test_chunks_that_do_not_join(second: bytes) -> None:
    """TOM-LINK-044: after the first chunk of frame 1; and a frame that was complete is no more."""
    peer = raw()
    assert peer.say(chunk(1, 5, 0, b"ab")) == []
    refused_and_told(peer, peer.say(second), Reason.BAD_CHUNK)
    peer = raw()
    assert peer.say(chunk(1, 2, 0, b"ab")) == [LinkFrame(b"ab")]
    refused_and_told(peer, peer.say(chunk(1, 2, 0, b"ab")), Reason.BAD_CHUNK)


def test_sixteen_frames() -> None:
    """TOM-LINK-045: 16 incomplete ones join in any order, small ones pass, a 17th is refused."""
    peer = raw()
    assert peer.say(*(chunk(stream, 4, 0, b"ab") for stream in range(1, 17))) == []
    assert peer.say(chunk(17, 2, 0, b"ok")) == [LinkFrame(b"ok")]
    contents = [chunk(stream, 4, 2, bytes([stream, stream])) for stream in range(16, 0, -1)]
    assert peer.say(*contents) == [LinkFrame(b"ab" + bytes([s, s])) for s in range(16, 0, -1)]
    assert peer.say(*(chunk(stream, 4, 0, b"ab") for stream in range(18, 34))) == []
    refused_and_told(peer, peer.say(chunk(34, 4, 0, b"ab")), Reason.FLOW_CONTROL)


def test_a_sender_has_sixteen_frames_in_transit_at_most() -> None:
    """TOM-LINK-045: counted on the wire."""
    peer = raw()
    for _ in range(40):
        peer.link.send(bytes(50_000))
    incomplete: set[int] = set()
    most = 0
    for record in peer.heard():
        assert isinstance(record, Chunk)
        if record.offset + len(record.data) < record.total:
            incomplete.add(record.stream)
        else:
            incomplete.discard(record.stream)
        most = max(most, len(incomplete))
    assert most == MAX_STREAMS
    assert not incomplete


def test_the_window_is_checked_with_the_first_chunk() -> None:
    """TOM-LINK-046: the declared length counts, not the data that came."""
    peer = raw()
    for stream in (1, 2, 3):
        assert peer.say(chunk(stream, MAX_FRAME, 0, b"x")) == []
    refused_and_told(peer, peer.say(chunk(4, MAX_FRAME, 0, b"x")), Reason.FLOW_CONTROL)


def test_begun_frames_are_completed() -> None:
    """TOM-LINK-047: with the smallest possible grants everything queued arrives in the end."""
    pair = connected()
    for number in range(7):
        pair.first.send(bytes([number]) * MAX_FRAME)
    pair.pump()
    assert sorted(frame[0] for frame in pair.frames(1)) == list(range(7))


def test_interleaving() -> None:
    """TOM-LINK-048: a receipt queued behind 1 MiB leaves with the next message."""
    peer = raw()
    peer.link.send(bytes(MAX_FRAME))
    peer.link.data_to_send(NOW)
    peer = raw()
    peer.link.send(bytes(MAX_FRAME))
    piece = peer.link.data_to_send(NOW)
    assert peer.keys is not None
    peer.keys.receive.decrypt(piece[2:])
    peer.link.send(b"receipt")
    piece = peer.link.data_to_send(NOW)
    records = codec.decode_records(peer.keys.receive.decrypt(piece[2:]))
    assert any(isinstance(record, Chunk) and record.data == b"receipt" for record in records)


def test_any_order_of_completion() -> None:
    """TOM-LINK-049: a receiver takes frames in whatever order they become whole."""
    orders = set()
    for order in itertools.permutations((1, 2, 3)):
        peer = raw()
        peer.say(*(chunk(stream, 2, 0, b"a") for stream in (1, 2, 3)))
        taken = peer.say(*(chunk(stream, 2, 1, bytes([stream])) for stream in order))
        orders.add(tuple(event.frame[1] for event in taken if isinstance(event, LinkFrame)))
    assert len(orders) == 6


# --- flow control -------------------------------------------------------------------------------------


def test_initial_window() -> None:
    """TOM-LINK-050: exactly 4 MiB of frames may be begun."""
    assert LINK_WINDOW == 4_194_304
    peer = raw()
    data = bytes(CHUNK_SIZE)
    for stream in range(1, LINK_WINDOW // CHUNK_SIZE + 1):
        assert peer.say(chunk(stream, CHUNK_SIZE, 0, data)) == [LinkFrame(data)]
    refused_and_told_after_windows(peer, peer.say(chunk(257, 1, 0, b"x")))


def refused_and_told_after_windows(peer: Raw, taken: list[LinkEvent]) -> None:
    """The link didn't send its grant yet, so the peer that went beyond the old one is at fault."""
    refused_and_told(peer, taken, Reason.FLOW_CONTROL)


def test_a_sender_keeps_to_the_limit() -> None:
    """TOM-LINK-051: to the byte, and goes on after a grant."""
    peer = raw()
    for _ in range(300):
        peer.link.send(bytes(CHUNK_SIZE))
    assert sum(len(record.data) for record in peer.heard() if isinstance(record, Chunk)) == LINK_WINDOW
    peer.say(encode_record(Window(LINK_WINDOW + 3 * CHUNK_SIZE - 1)))
    assert len(peer.heard()) == 2


def test_a_receiver_enforces_the_limit_it_sent() -> None:
    """TOM-LINK-052: what it took counts only once the WINDOW has left."""
    data = bytes(CHUNK_SIZE)
    full = LINK_WINDOW // CHUNK_SIZE
    for flush in (True, False):
        peer = raw()
        for stream in range(1, full + 1):
            peer.say(chunk(stream, CHUNK_SIZE, 0, data))
        if flush:
            assert peer.heard() == [Window(2 * LINK_WINDOW)]
            assert peer.say(chunk(full + 1, 1, 0, b"x")) == [LinkFrame(b"x")]
        else:
            ended(peer.say(chunk(full + 1, 1, 0, b"x")), Reason.FLOW_CONTROL)


def test_windows_do_not_shrink() -> None:
    """TOM-LINK-053: the same limit again is harmless, one less is not."""
    peer = raw()
    assert peer.say(encode_record(Window(LINK_WINDOW))) == []
    assert peer.say(encode_record(Window(LINK_WINDOW + 7))) == []
    refused_and_told(peer, peer.say(encode_record(Window(LINK_WINDOW + 6))), Reason.FLOW_CONTROL)


def test_grants_come_in_time() -> None:
    """TOM-LINK-054: before 2,097,152 bytes were taken since the last one, and to the full window."""
    peer = raw()
    taken = since = 0
    for stream in range(1, 1000):
        peer.say(chunk(stream, CHUNK_SIZE, 0, bytes(CHUNK_SIZE)))
        taken += CHUNK_SIZE
        since += CHUNK_SIZE
        for record in peer.heard():
            assert record == Window(taken + LINK_WINDOW)
            since = 0
        assert since <= 2_097_152


def test_a_receiver_that_takes_nothing_grants_nothing() -> None:
    """TOM-LINK-055: whoever doesn't take events leaves the peer at the end of its window."""
    pair = connected()
    for _ in range(LINK_WINDOW // CHUNK_SIZE + 10):
        pair.first.send(bytes(CHUNK_SIZE))
    sent = output(pair.first)
    assert sum(map(len, sent)) < LINK_WINDOW + 20_000
    assert output(pair.second) == []


# --- new keys -----------------------------------------------------------------------------------------


def rekeys(peer: Raw, now: int) -> list[Rekey]:
    """The REKEY records in what the link sends; follows them."""
    assert peer.keys is not None
    found = []
    for piece in output(peer.link, now):
        records = codec.decode_records(peer.keys.receive.decrypt(piece[2:]))
        for record in records:
            if isinstance(record, Rekey):
                assert record is records[-1]
                found.append(record)
                peer.keys.receive.rekey()
    return found


def test_a_sender_replaces_its_key_by_count() -> None:
    """TOM-LINK-060: the 65,536th message is the last under a key."""
    peer = raw()
    assert REKEY_MESSAGES == 65_536
    for generation in (1, 2, 3):
        peer.link._send_count = REKEY_MESSAGES - 2
        peer.link.send(b"x")
        assert rekeys(peer, NOW) == []
        peer.link.send(b"x")
        assert rekeys(peer, NOW) == [Rekey(generation)]
        peer.link.send(b"x")
        assert rekeys(peer, NOW) == []
    assert peer.link._send_count == 1


def test_a_sender_replaces_its_key_by_time() -> None:
    """TOM-LINK-060: with the next message after 15 minutes."""
    peer = raw()
    assert REKEY_INTERVAL == 900_000
    peer.link.send(b"x")
    assert rekeys(peer, NOW + 899_999) == []
    assert rekeys(peer, NOW + 900_000) == []
    peer.link.send(b"x")
    assert rekeys(peer, NOW + 900_000) == [Rekey(1)]
    peer.link.send(b"x")
    assert rekeys(peer, NOW + 1_799_999) == []
    peer.link.send(b"x")
    assert rekeys(peer, NOW + 1_800_000) == [Rekey(2)]


def test_both_directions_follow_each_other() -> None:
    """TOM-LINK-061: data flows on across many new keys on both sides, also in full messages."""
    pair = connected(grease=True)
    for turn in range(1, 6):
        for link in (pair.first, pair.second):
            link._send_count = REKEY_MESSAGES - 1
            link.send(bytes(200_000))
        pair.pump()
        assert pair.first._send_generation == pair.second._receive_generation == turn
        assert pair.second._send_generation == pair.first._receive_generation == turn
    assert len(pair.frames(0)) == len(pair.frames(1)) == 5


def test_nothing_behind_rekey() -> None:
    """TOM-LINK-062: not even a record that would be ignored."""
    peer = raw()
    taken = peer.say(encode_record(Rekey(1)), encode_record(UnknownRecord(0x8A, b"")))
    refused_and_told(peer, taken, Reason.TRAILING_BYTES)


@pytest.mark.parametrize("generation", [0, 2, 2**32 - 1])
def test_generations(generation: int) -> None:
    """TOM-LINK-063: 1, then 2; nothing else."""
    peer = raw()
    refused_and_told(peer, peer.say(encode_record(Rekey(generation))), Reason.BAD_VALUE)
    peer = raw()
    assert peer.keys is not None
    for number in (1, 2):
        assert peer.say(encode_record(Rekey(number))) == []
        peer.keys.send.rekey()
    refused_and_told(peer, peer.say(encode_record(Rekey(2))), Reason.BAD_VALUE)


def test_nonces_go_on() -> None:
    """TOM-LINK-064: after a new key the next number is used, and not zero."""
    peer = raw()
    assert peer.keys is not None
    peer.say(encode_record(Rekey(1)))
    peer.keys.send.rekey()
    assert peer.keys.send.nonce == 1
    assert peer.say(chunk(1, 1, 0, b"x")) == [LinkFrame(b"x")]
    peer.keys.send.nonce = 0
    ended(peer.say(chunk(2, 1, 0, b"x")), Reason.BAD_SEAL)


def test_a_receiver_refuses_a_key_that_is_used_too_often() -> None:
    """TOM-LINK-065: message 131,072 is taken, the next one is not."""
    peer = raw()
    peer.link._receive_count = 131_071
    assert peer.say(chunk(1, 1, 0, b"x")) == [LinkFrame(b"x")]
    refused_and_told(peer, peer.say(chunk(2, 1, 0, b"x")), Reason.LINK_EXPIRED)
    peer = raw()
    assert peer.keys is not None
    peer.link._receive_count = 131_071
    assert peer.say(encode_record(Rekey(1))) == []
    peer.keys.send.rekey()
    assert peer.say(chunk(1, 1, 0, b"x")) == [LinkFrame(b"x")]  # the new key's count begins anew


def test_a_receiver_refuses_a_key_that_is_too_old() -> None:
    """TOM-LINK-065: 1,800,000 ms are granted; a new key begins anew."""
    peer = raw()
    assert peer.keys is not None
    assert peer.say(encode_record(Rekey(1)), now=NOW + 1_800_000) == []
    peer.keys.send.rekey()
    assert peer.say(chunk(1, 1, 0, b"x"), now=NOW + 3_600_000) == [LinkFrame(b"x")]
    taken = peer.say(chunk(2, 1, 0, b"x"), now=NOW + 3_600_001)
    ended(taken, Reason.LINK_EXPIRED)


def test_numbers_end() -> None:
    """TOM-LINK-066: a sender without nonces stops; a receiver takes none beyond the last either."""
    peer = raw()
    assert peer.keys is not None
    assert peer.link._keys is not None
    peer.link._keys.receive.nonce = peer.keys.send.nonce = MAX_NONCE - 1
    assert peer.say(chunk(1, 1, 0, b"x")) == [LinkFrame(b"x")]
    peer.hand_over(bytes(20))
    refused_and_told(peer, events(peer.link), Reason.LINK_EXPIRED)
    peer = raw()
    assert peer.link._keys is not None
    peer.link._keys.send.nonce = MAX_NONCE
    peer.link.send(b"x")
    assert output(peer.link) == []
    ended(events(peer.link), Reason.LINK_EXPIRED, Trigger.EXPIRED)


# --- ping and pong ------------------------------------------------------------------------------------


def test_pings_are_answered() -> None:
    """TOM-LINK-070: with the times of arrival and departure."""
    peer = raw()
    peer.say(encode_record(Ping(77, 123)), now=NOW + 40)
    assert peer.heard(NOW + 55) == [Pong(77, 123, NOW + 40, NOW + 55)]


def test_one_ping_at_a_time() -> None:
    """TOM-LINK-071: a second before the answer left is refused; after it, welcome."""
    peer = raw()
    peer.say(encode_record(Ping(1, 0)))
    peer.heard()
    peer.say(encode_record(Ping(2, 0)))
    refused_and_told(peer, peer.say(encode_record(Ping(3, 0))), Reason.FLOW_CONTROL)
    peer = raw()
    refused_and_told(
        peer, peer.say(encode_record(Ping(1, 0)), encode_record(Ping(1, 0))), Reason.FLOW_CONTROL
    )


def test_pongs_that_answer_nothing() -> None:
    """TOM-LINK-072: none asked, another nonce, another time, a second answer."""
    peer = raw()
    refused_and_told(peer, peer.say(encode_record(Pong(1, NOW, NOW, NOW))), Reason.BAD_VALUE)

    def spoil(change: Callable[[Pong], Pong]) -> None:
        peer = raw()
        peer.link.ping()
        (ping,) = peer.heard()
        assert isinstance(ping, Ping)
        good = Pong(ping.nonce, ping.sent_at, NOW, NOW)
        refused_and_told(peer, peer.say(encode_record(change(good))), Reason.BAD_VALUE)

    spoil(lambda good: evolve(good, nonce=good.nonce ^ 1))
    spoil(lambda good: evolve(good, ping_sent_at=good.ping_sent_at + 1))
    peer = raw()
    peer.link.ping()
    (ping,) = peer.heard()
    assert isinstance(ping, Ping)
    pong = encode_record(Pong(ping.nonce, ping.sent_at, NOW, NOW))
    assert peer.say(pong) == [LinkMeasured(0, 0)]
    refused_and_told(peer, peer.say(pong), Reason.BAD_VALUE)


def test_pongs_sent_before_received() -> None:
    """TOM-LINK-073: and what the four times say otherwise."""
    peer = raw()
    peer.link.ping()
    (ping,) = peer.heard()
    assert isinstance(ping, Ping)
    backwards = Pong(ping.nonce, ping.sent_at, NOW + 1, NOW)
    refused_and_told(peer, peer.say(encode_record(backwards)), Reason.BAD_VALUE)
    for received, sent, returned, expected in (
        (NOW, NOW, NOW, LinkMeasured(0, 0)),
        (NOW + 30, NOW + 40, NOW + 70, LinkMeasured(60, 0)),
        (NOW + 1030, NOW + 1040, NOW + 70, LinkMeasured(60, 1000)),
        (NOW - 1000, NOW - 1000, NOW + 1, LinkMeasured(1, -1001)),
        (NOW + 5, NOW + 90, NOW + 20, LinkMeasured(0, 37)),
    ):
        peer = raw()
        peer.link.ping()
        (ping,) = peer.heard()
        assert isinstance(ping, Ping)
        pong = Pong(ping.nonce, ping.sent_at, received, sent)
        assert peer.say(encode_record(pong), now=returned) == [expected]


def test_silence_is_asked_about() -> None:
    """TOM-LINK-074: after 20,000 ms; hearing anything puts it off."""
    peer = raw()
    assert peer.link.next_deadline() == NOW + 20_000
    peer.say(chunk(1, 1, 0, b"x"), now=NOW + 15_000)
    assert peer.link.next_deadline() == NOW + 35_000
    peer.link.handle_timeout(NOW + 34_999)
    assert peer.heard(NOW + 34_999) == []
    peer.link.handle_timeout(NOW + 35_000)
    (ping,) = peer.heard(NOW + 35_000)
    assert isinstance(ping, Ping)
    assert ping.sent_at == NOW + 35_000


def test_silence_ends_the_link() -> None:
    """TOM-LINK-075: bytes that don't authenticate are not heard."""
    peer = raw()
    peer.link.receive_data(b"\0", NOW + 50_000)
    events(peer.link)
    peer.link.handle_timeout(NOW + 59_999)
    assert events(peer.link) == []
    peer.link.handle_timeout(NOW + 60_000)
    ended(events(peer.link), Reason.IDLE_TIMEOUT, Trigger.TIMEOUT)
    assert Close(Reason.IDLE_TIMEOUT) in peer.heard()


# --- the end ------------------------------------------------------------------------------------------


def test_close_is_told_once_and_not_answered() -> None:
    """TOM-LINK-080: the side that closes says why; the other says nothing."""
    pair = connected()
    pair.first.send(b"lost")
    pair.first.close(Reason.OVERLOADED)
    assert len(output(pair.first)) == 1
    pair = connected()
    pair.first.close(Reason.OVERLOADED)
    pair.pump()
    assert pair.closed(0) == LinkClosed(Reason.OVERLOADED, Trigger.LOCAL_CLOSE)
    assert pair.closed(1) == LinkClosed(Reason.OVERLOADED, Trigger.CLOSE_RECORD)
    peer = raw()
    assert len(peer.say(encode_record(Close("bye")))) == 1
    assert output(peer.link) == []


def test_bye() -> None:
    """TOM-LINK-081: the reason of a link that isn't needed any more."""
    peer = raw()
    peer.link.close()
    assert BYE == "bye"
    assert peer.heard() == [Close("bye")]


def test_after_close_nothing_counts() -> None:
    """TOM-LINK-082: neither in the same message nor in later ones; unknown reasons are fine."""
    peer = raw()
    taken = peer.say(encode_record(Close("of_a_later_version")), chunk(1, 1, 0, b"x"), b"\x01")
    assert taken == [LinkClosed("of_a_later_version", Trigger.CLOSE_RECORD)]
    assert peer.say(chunk(1, 1, 0, b"x")) == []


@pytest.mark.parametrize("text", [b"", b"x" * 41, b"Bad", b"bad code", b"_bad", b"b\xc3\xa4d"])
def test_malformed_reasons(text: bytes) -> None:
    """TOM-LINK-083: bad text, or too much of it."""
    peer = raw()
    (end,) = peer.say(b"\x06" + len(text).to_bytes(2, "big") + text)
    assert isinstance(end, LinkClosed)
    assert end.cause is Trigger.FAULT
    assert end.reason in {Reason.BAD_TEXT, Reason.TOO_LARGE}
    assert len(text) > 40 or end.reason == Reason.BAD_TEXT


def test_the_transport_ends() -> None:
    """TOM-LINK-084: what came before it is still taken."""
    peer = raw()
    assert peer.keys is not None
    peer.hand_over(peer.keys.send.encrypt(chunk(1, 1, 0, b"x")))
    peer.link.receive_end(NOW)
    taken = events(peer.link)
    assert taken[0] == LinkFrame(b"x")
    ended(taken, Reason.TRUNCATED, Trigger.TRANSPORT_END)
    assert peer.heard() == []
    for link in (BOB.link(initiate=True), BOB.link(initiate=False)):
        link.receive_end(NOW)
        ended(events(link), Reason.TRUNCATED, Trigger.TRANSPORT_END)


def test_after_a_fault_nothing_counts() -> None:
    """TOM-LINK-085: records behind the fault, in its message or a later one, have no effect."""
    peer = raw()
    ended(peer.say(chunk(9, 1, 0, b"x"), chunk(1, 1, 0, b"x"), encode_record(Close("bye"))), "bad_chunk")
    assert peer.say(chunk(1, 1, 0, b"x")) == []
    assert peer.heard() == [Close(Reason.BAD_CHUNK)]


# --- two links between the same nodes -----------------------------------------------------------------

LOW, HIGH = b"\1" * 32, b"\xf0" + b"\0" * 31


def test_both_ends_keep_the_same_link() -> None:
    """TOM-LINK-090: whatever the order in which the two links opened at each end."""
    for order_low, order_high in itertools.product(((LOW, HIGH), (HIGH, LOW)), repeat=2):
        kept = []
        for own, peer, (held, new) in ((LOW, HIGH, order_low), (HIGH, LOW, order_high)):
            kept.append(new if keep_new_link(own, peer, held, new) else held)
        assert kept == [LOW, LOW]


def test_the_newer_of_two_by_one_node() -> None:
    """TOM-LINK-091: a node that dials again has lost the first."""
    for own, peer in ((LOW, HIGH), (HIGH, LOW)):
        for initiator in (LOW, HIGH):
            assert keep_new_link(own, peer, initiator, initiator)


def test_an_old_link_gives_way() -> None:
    """TOM-LINK-092: beyond 10,000 ms it can't be a simultaneous dial."""
    for own, peer in ((LOW, HIGH), (HIGH, LOW)):
        assert not keep_new_link(own, peer, LOW, HIGH, 10_000)
        assert keep_new_link(own, peer, LOW, HIGH, 10_001)
        assert keep_new_link(own, peer, HIGH, LOW, 10_001)


def test_the_lower_node_ids_link_stays() -> None:
    """TOM-LINK-093: as unsigned bytes: 0x01… is below 0xF0…"""
    for own, peer in ((LOW, HIGH), (HIGH, LOW)):
        assert not keep_new_link(own, peer, LOW, HIGH)
        assert keep_new_link(own, peer, HIGH, LOW)
