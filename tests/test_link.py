"""The link as a machine: delivery under any splitting, tampering, bounds, time, its own caller's mistakes.

What the specification demands of a link is in ``test_spec_link.py``; here is what makes this one sound.
"""

from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.linkpair import (
    ALICE,
    BOB,
    NOW,
    Pair,
    Raw,
    connected,
    entropy,
    events,
    framed,
    output,
    raw,
    state,
    writable,
)
from tom_ref import codec, constants, wire
from tom_ref.codec import encode_record
from tom_ref.constants import (
    CHUNK_SIZE,
    LARGE_FRAME_PATIENCE,
    LARGE_FRAME_RESERVE,
    LINK_INPUT_CAP,
    LINK_WINDOW,
    MAX_FRAME,
    SEND_QUEUE_CAP,
    SEND_QUEUE_HIGH,
    SEND_QUEUE_LOW,
)
from tom_ref.crypto import Secret32
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Chunk, Close, Ping, RecordType, UnknownRecord, Window
from tom_ref.handshake import MAX_NONCE
from tom_ref.link import (
    TRANSITIONS,
    Framing,
    InputFullError,
    Link,
    LinkClosed,
    LinkDrained,
    LinkEvent,
    LinkFrame,
    LinkMeasured,
    LinkNotOpenError,
    LinkOpened,
    SendQueueFullError,
    State,
    Trigger,
)
from tom_ref.multiplex import Inbound, Outbound

# --- the good life ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("grease", [False, True])
def test_frames_of_all_sizes_both_ways(framing: Framing, grease: bool) -> None:
    pair = connected(framing=framing, grease=grease)
    sizes = (1, 2, 1300, CHUNK_SIZE, CHUNK_SIZE + 1, 65_535, 3 * CHUNK_SIZE, MAX_FRAME)
    frames = [random.Random(size).randbytes(size) for size in sizes]
    for frame in frames:
        pair.first.send(frame)
        pair.second.send(frame[::-1])
    pair.pump()
    assert sorted(pair.frames(1)) == sorted(frames)
    assert sorted(pair.frames(0)) == sorted(frame[::-1] for frame in frames)
    assert pair.first.peer == BOB.descriptor
    assert pair.second.peer == ALICE.descriptor
    assert pair.closed(0) is None
    assert pair.closed(1) is None


def test_small_frames_keep_their_order_and_overtake_large_ones() -> None:
    pair = connected()
    pair.first.send(b"L" * MAX_FRAME)
    for number in range(500):
        pair.first.send(number.to_bytes(2, "big"))
    pair.pump()
    assert pair.frames(1) == [number.to_bytes(2, "big") for number in range(500)] + [b"L" * MAX_FRAME]


def test_large_frames_are_not_starved_by_small_ones() -> None:
    """While small frames keep coming, a large one gets at least a chunk in every message."""
    pair = connected()
    pair.first.send(b"L" * 10 * CHUNK_SIZE)
    for messages in range(1, 12):
        for _ in range(80):
            pair.first.send(bytes(1000))
        pair.second.receive_data(pair.first.data_to_send(NOW), NOW)
        pair.seen[1].extend(events(pair.second))
        if b"L" * 10 * CHUNK_SIZE in pair.frames(1):
            assert messages == 10
            break
    else:
        pytest.fail("the large frame did not arrive")


def test_a_large_frame_that_waits_for_the_window_gets_its_turn() -> None:
    """Small frames that use up every grant at once overtake it for a while, and then it begins."""
    peer = raw()
    for _ in range(LINK_WINDOW // CHUNK_SIZE):
        peer.link.send(bytes(CHUNK_SIZE))
    peer.heard()  # the window is used up
    peer.link.send(b"L" * MAX_FRAME)
    limit, overtaken = LINK_WINDOW, 0
    totals: list[int] = []
    while MAX_FRAME not in totals:
        assert limit < 2 * LINK_WINDOW, "the large frame never began"
        for _ in range(4):
            peer.link.send(bytes(CHUNK_SIZE))
        limit += 4 * CHUNK_SIZE
        assert set(peer.say(encode_record(Window(limit)))) <= {LinkDrained()}
        totals = [record.total for record in peer.heard() if isinstance(record, Chunk)]
        overtaken += sum(total for total in totals if total == CHUNK_SIZE)
    assert totals.index(MAX_FRAME) == 0
    # What waited behind the large frame followed it at once, from the part of the window kept for small ones.
    assert 0 <= overtaken - LARGE_FRAME_PATIENCE - LARGE_FRAME_RESERVE < 4 * CHUNK_SIZE


def test_small_frames_flow_on_while_large_ones_are_in_transit() -> None:
    """Three frames of 1 MiB fill the window of a slow link: a thousand receipts still pass among them."""
    pair = connected()
    for _ in range(3):
        pair.first.send(bytes(MAX_FRAME))
    for _ in range(30):
        for _ in range(40):
            pair.first.send(bytes(400))
        piece = pair.first.data_to_send(NOW)
        pair.second.receive_data(piece, NOW)
        pair.seen[1].extend(events(pair.second))
        for grant in output(pair.second):
            pair.first.receive_data(grant, NOW)
            assert events(pair.first) == []
        assert {len(frame) for frame in pair.frames(1)} == {400}
    assert len(pair.frames(1)) == 1200


def test_equal_large_frames_share_the_link() -> None:
    """Three frames of 1 MiB are in transit together: their last chunks come close to each other."""
    pair = connected()
    for content in (b"1", b"2", b"3"):
        pair.first.send(content * 1_000_000)
    pieces = output(pair.first)
    done = []
    for number, piece in enumerate(pieces):
        pair.second.receive_data(piece, NOW)
        done += [number for event in events(pair.second) if isinstance(event, LinkFrame)]
    assert len(done) == 3
    assert done[0] >= len(pieces) - 3


def test_many_small_frames_share_a_message() -> None:
    pair = connected()
    for _ in range(64):
        pair.first.send(bytes(500))
    assert len(output(pair.first)) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=8),
    st.lists(st.integers(1, 5000), min_size=1, max_size=40),
    st.booleans(),
)
def test_any_splitting_of_the_stream(sizes: list[int], cuts: list[int], grease: bool) -> None:
    """Whatever pieces the transport delivers, the same events come out, from the handshake on."""
    pair = Pair(ALICE.link(initiate=True, grease=grease), BOB.link(initiate=False))
    frames = [random.Random(index).randbytes(size) for index, size in enumerate(sizes)]
    queued = False
    lengths = itertools.cycle(cuts)
    for _ in range(100):
        for index, (sender, receiver) in enumerate(((pair.first, pair.second), (pair.second, pair.first))):
            stream = b"".join(output(sender))
            while stream:
                cut = next(lengths)
                receiver.receive_data(stream[:cut], NOW)
                pair.seen[1 - index].extend(events(receiver))
                stream = stream[cut:]
        if state(pair.first) is State.OPEN and not queued:
            queued = True
            for frame in frames:
                pair.first.send(frame)
    assert sorted(pair.frames(1)) == sorted(frames)
    assert isinstance(pair.seen[0][0], LinkOpened)


def test_a_byte_at_a_time() -> None:
    pair = Pair(ALICE.link(initiate=True), BOB.link(initiate=False))
    while state(pair.second) is not State.OPEN:
        for sender, receiver in ((pair.first, pair.second), (pair.second, pair.first)):
            for byte in b"".join(output(sender)):
                receiver.receive_data(bytes([byte]), NOW)
                events(receiver)
    pair.first.send(b"frame")
    for byte in b"".join(output(pair.first)):
        assert events(pair.second) == []
        pair.second.receive_data(bytes([byte]), NOW)
    assert events(pair.second) == [LinkFrame(b"frame")]


def test_events_come_one_at_a_time_with_the_state_of_that_moment() -> None:
    """The peer's last frame and its CLOSE arrive together: the link is open until the CLOSE is taken."""
    peer = raw()
    assert peer.keys is not None
    records = encode_record(Chunk(1, 2, 0, b"ab")) + encode_record(Close("bye"))
    peer.hand_over(peer.keys.send.encrypt(records))
    assert state(peer.link) is State.OPEN
    assert peer.link.next_event() == LinkFrame(b"ab")
    assert state(peer.link) is State.OPEN
    assert peer.link.next_event() == LinkClosed("bye", Trigger.CLOSE_RECORD)
    assert state(peer.link) is State.CLOSED
    assert peer.link.next_event() is None


def test_two_runs_give_the_same_bytes() -> None:
    """Time and entropy are arguments: a run can be replayed byte for byte."""

    def run() -> list[bytes]:
        pair = connected(grease=True)
        pair.first.send(b"one")
        pair.first.ping()
        pair.second.send(b"two" * 10_000)
        return output(pair.first) + output(pair.second)

    assert run() == run()


# --- tampering ----------------------------------------------------------------------------------------


def test_tampering_with_any_byte_of_any_message_kills_the_link() -> None:
    """Handshake and transport, length prefix included: nothing opens, nothing raises, one last event."""

    def conversation() -> tuple[Link, Link]:
        return ALICE.link(initiate=True), BOB.link(initiate=False)

    first, second = conversation()
    lengths = []
    for sender, receiver in ((first, second), (second, first), (first, second)):
        (piece,) = output(sender)
        lengths.append(len(piece))
        receiver.receive_data(piece, NOW)
        events(receiver)
    first.send(b"a frame")
    lengths.append(len(b"".join(output(first))))
    for number, length in enumerate(lengths):
        for position in range(0, length, 1 if number in {0, 3} else 7):
            first, second = conversation()
            seen: tuple[list[LinkEvent], list[LinkEvent]] = ([], [])
            index = 0
            for step in range(len(lengths)):
                index = step % 2 if step < 3 else 0
                sender, receiver = ((first, second), (second, first))[index]
                if step == 3:
                    sender.send(b"a frame")
                (piece,) = output(sender)
                if step == number:
                    piece = piece[:position] + bytes([piece[position] ^ 0x80]) + piece[position + 1 :]
                receiver.receive_data(piece, NOW)
                seen[1 - index].extend(events(receiver))
                if step >= number:
                    break
            if number == 0 and position >= 2:  # message 1 is in clear: the answer to it is what fails
                first.receive_data(b"".join(output(second)), NOW)
                seen[0].extend(events(first))
            else:
                receiver.receive_end(NOW)  # a changed length may only leave the link waiting
                seen[1 - index].extend(events(receiver))
            last = [event for event in seen[0] + seen[1] if isinstance(event, LinkClosed)]
            assert len(last) == 1, (number, position)
            assert not any(isinstance(event, LinkFrame) for event in seen[0] + seen[1])


def test_every_truncation_of_a_message() -> None:
    pair = connected()
    pair.first.send(b"a frame")
    (piece,) = output(pair.first)
    for length in range(len(piece)):
        other = connected()
        other.first.send(b"a frame")
        assert output(other.first) == [piece]
        other.second.receive_data(piece[:length], NOW)
        assert events(other.second) == []
        other.second.receive_end(NOW)
        (end,) = events(other.second)
        assert isinstance(end, LinkClosed)
        assert (end.reason, end.cause) == (Reason.TRUNCATED, Trigger.TRANSPORT_END)
        assert output(other.second) == []


def test_replayed_and_reflected_messages() -> None:
    for reflect in (False, True):
        pair = connected()
        pair.first.send(b"a frame")
        (piece,) = output(pair.first)
        pair.second.receive_data(piece, NOW)
        assert events(pair.second) == [LinkFrame(b"a frame")]
        victim = pair.first if reflect else pair.second
        victim.receive_data(piece, NOW)
        (end,) = events(victim)
        assert isinstance(end, LinkClosed)
        assert (end.reason, end.cause) == (Reason.BAD_SEAL, Trigger.FAULT)


def test_a_reflected_handshake() -> None:
    """Whoever only mirrors a dial gets nowhere: message 1 is no message 2."""
    link = ALICE.link(initiate=True)
    link.receive_data(link.data_to_send(NOW), NOW)
    (end,) = events(link)
    assert isinstance(end, LinkClosed)
    assert end.reason == Reason.BAD_HANDSHAKE
    assert output(link) == []


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.binary(max_size=300), max_size=5), st.sampled_from(["first", "second", "open"]), st.booleans()
)
def test_random_bytes_never_raise(pieces: list[bytes], side: str, as_messages: bool) -> None:
    framing = Framing.MESSAGES if as_messages else Framing.STREAM
    if side == "open":
        link = connected(framing=framing).first
    else:
        link = ALICE.link(initiate=side == "first", framing=framing)
    for piece in pieces:
        link.receive_data(piece, NOW)
        events(link)
        output(link)
    link.receive_end(NOW)
    events(link)
    assert state(link) is State.CLOSED


record_bodies = st.one_of(
    st.builds(
        Chunk,
        st.integers(0, 5),
        st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)),
        st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)),
        st.binary(max_size=40),
    ).map(lambda c: (1, b"".join(v.to_bytes(4, "big") for v in (c.stream, c.total, c.offset)) + c.data)),
    st.tuples(st.integers(0, 255), st.binary(max_size=40)),
    st.tuples(st.just(2), st.integers(0, 2**64 - 1).map(lambda value: value.to_bytes(8, "big"))),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(record_bodies, max_size=6), max_size=4))
def test_random_records_never_raise(messages: list[list[tuple[int, bytes]]]) -> None:
    """Authentic but arbitrary: the link goes on, or dies with a code and agrees with the codec."""
    peer = raw()
    for records in messages:
        encoded = b"".join(bytes([kind]) + len(body).to_bytes(2, "big") + body for kind, body in records)
        valid = True
        for kind, body in records:
            try:
                codec.decode_record(kind, body)
            except ProtocolError:
                valid = False
                break
        taken = peer.say(encoded)
        if state(peer.link) is State.CLOSED:
            assert isinstance(taken[-1], LinkClosed)
            return
        assert valid
        assert encoded


# --- the fast readers and writers are the declared formats ------------------------------------------------


@given(st.binary(max_size=60))
def test_the_fast_chunk_reader_refuses_what_the_codec_refuses(body: bytes) -> None:
    expected: Chunk | Reason
    try:
        record = codec.decode_record(RecordType.CHUNK, body)
        assert isinstance(record, Chunk)
        expected = record
    except ProtocolError as error:
        expected = error.reason
    for start in (b"", b"xyz"):
        try:
            frame = Inbound().chunk(start + body + b"more", len(start), len(start) + len(body))
            assert isinstance(expected, Chunk)
            assert frame is None or frame == expected.data
        except ProtocolError as error:
            refused = error.reason
            assert isinstance(expected, Chunk) or expected is refused


@given(st.integers(1, 4), st.integers(1, 200), st.binary(min_size=1, max_size=40))
def test_the_fast_chunk_reader_reads_what_construct_builds(before: int, total: int, data: bytes) -> None:
    body = wire.RECORD_CHUNK.build({"stream": 1, "total": total, "offset": 0, "data": data})
    inbound = Inbound()
    if len(data) > total:
        with pytest.raises(ProtocolError):
            inbound.chunk(bytes(before) + body, before, before + len(body))
    else:
        frame = inbound.chunk(bytes(before) + body, before, before + len(body))
        assert frame == (data if len(data) == total else None)


@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=5))
def test_the_fast_chunk_writer_writes_what_construct_builds(sizes: list[int]) -> None:
    outbound = Outbound()
    for size in sizes:
        outbound.queue(bytes(size))
    while True:
        parts: list[bytes | memoryview] = []
        outbound.fill(parts, 60_000)
        if not parts:
            break
        written = b"".join(parts)
        assert len(written) <= 60_000
        rebuilt = b""
        while len(rebuilt) < len(written):
            record = wire.RECORD.parse(written[len(rebuilt) :])
            chunk = wire.RECORD_CHUNK.parse(record.body)
            body = wire.RECORD_CHUNK.build(
                {"stream": chunk.stream, "total": chunk.total, "offset": chunk.offset, "data": chunk.data}
            )
            rebuilt += wire.RECORD.build({"type": 1, "length": len(body), "body": body})
        assert rebuilt == written


# --- bounds -------------------------------------------------------------------------------------------


def test_the_send_queue_says_enough_and_refuses_more() -> None:
    pair = connected()
    frame = bytes(CHUNK_SIZE)
    cost = CHUNK_SIZE + constants.SEND_QUEUE_FRAME_COST
    count = 0
    while writable(pair.first):
        pair.first.send(frame)
        count += 1
    assert count == SEND_QUEUE_HIGH // cost + 1
    for _ in range(SEND_QUEUE_CAP // cost - count):
        pair.first.send(frame)
    with pytest.raises(SendQueueFullError):
        pair.first.send(frame)
    pair.first.send(b"still fits")
    with pytest.raises(SendQueueFullError):
        pair.first.send(frame)
    pair.pump()
    assert writable(pair.first)
    assert pair.seen[0].count(LinkDrained()) == 1
    assert len(pair.frames(1)) == SEND_QUEUE_CAP // cost + 1


def test_drained_comes_at_the_low_mark_and_once() -> None:
    pair = connected()
    while writable(pair.first):
        pair.first.send(bytes(CHUNK_SIZE))
    sent = 0
    while not writable(pair.first):
        assert events(pair.first) == []
        piece = pair.first.data_to_send(NOW)
        assert piece
        sent += len(piece)
    assert SEND_QUEUE_HIGH - SEND_QUEUE_LOW <= sent <= SEND_QUEUE_HIGH - SEND_QUEUE_LOW + 200_000
    assert events(pair.first) == [LinkDrained()]
    output(pair.first)
    assert events(pair.first) == []


def test_events_that_nobody_takes_do_not_pile_up() -> None:
    pair = connected()
    for _ in range(3):
        while writable(pair.first):
            pair.first.send(bytes(CHUNK_SIZE))
        for piece in output(pair.first):
            pair.second.receive_data(piece, NOW)
            events(pair.second)
        for piece in output(pair.second):
            pair.first.receive_data(piece, NOW)
    assert events(pair.first) == [LinkDrained()]


def test_many_tiny_frames_are_bounded_too() -> None:
    pair = connected()
    for _ in range(SEND_QUEUE_CAP // (1 + constants.SEND_QUEUE_FRAME_COST)):
        pair.first.send(b"x")
    with pytest.raises(SendQueueFullError):
        pair.first.send(b"x")


def test_input_is_bounded_while_events_are_not_taken() -> None:
    for framing in Framing:
        link = connected(framing=framing).first
        link.receive_data(bytes(LINK_INPUT_CAP - 2), NOW)
        with pytest.raises(InputFullError):
            link.receive_data(b"xxx", NOW)
        (end,) = events(link)
        assert isinstance(end, LinkClosed)


def test_the_input_count_returns_to_zero() -> None:
    """Ten times the cap passes through when events are taken."""
    for framing in Framing:
        pair = connected(framing=framing)
        for _ in range(3):
            pair.first.send(bytes(MAX_FRAME))
            pair.pump()
        assert len(pair.frames(1)) == 3
        assert pair.second._input_size == 0


def test_memory_of_a_hostile_peers_frames_is_bounded() -> None:
    """A peer that begins all it may and completes nothing gets no more than the window."""
    peer = raw()
    tracemalloc.start()
    try:
        for stream in (1, 2, 3):
            for offset in range(0, MAX_FRAME - CHUNK_SIZE, CHUNK_SIZE):
                chunk = Chunk(stream, MAX_FRAME, offset, bytes(CHUNK_SIZE))
                assert peer.say(encode_record(chunk)) == []
        current, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current < LINK_WINDOW * 1.2
    assert peak < LINK_WINDOW * 1.5
    (end,) = peer.say(encode_record(Chunk(4, MAX_FRAME, 0, b"x")))
    assert isinstance(end, LinkClosed)
    assert end.reason == Reason.FLOW_CONTROL
    assert peer.link._inbound._begun == {}


def test_declared_lengths_allocate_nothing() -> None:
    peer = raw()
    tracemalloc.start()
    try:
        for stream in (1, 2, 3):
            peer.say(encode_record(Chunk(stream, MAX_FRAME, 0, b"x")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_sender_stays_within_the_window() -> None:
    """Nothing beyond the grant leaves, small or large; what was granted goes on."""
    peer = raw()
    while True:
        try:
            peer.link.send(bytes(CHUNK_SIZE))
        except SendQueueFullError:
            break
    heard = [record for record in peer.heard() if isinstance(record, Chunk)]
    assert len(heard) * CHUNK_SIZE == LINK_WINDOW
    peer.say(encode_record(Window(LINK_WINDOW + CHUNK_SIZE - 1)))
    assert peer.heard() == []
    peer.say(encode_record(Window(LINK_WINDOW + CHUNK_SIZE)))
    assert len(peer.heard()) == 1


def test_small_frames_pass_while_the_window_is_full_of_large_ones() -> None:
    peer = raw()
    for _ in range(5):
        peer.link.send(bytes(MAX_FRAME))
    peer.link.send(b"small")
    heard = [record for record in peer.heard() if isinstance(record, Chunk)]
    assert {chunk.total for chunk in heard} == {MAX_FRAME, 5}
    assert sum(len(chunk.data) for chunk in heard) == 3 * MAX_FRAME + 5
    peer.link.send(b"small again")
    (chunk,) = peer.heard()
    assert isinstance(chunk, Chunk)
    assert chunk.data == b"small again"


# --- numbers that run out -----------------------------------------------------------------------------


def test_a_sender_without_nonces_ends_without_a_word() -> None:
    peer = raw()
    assert peer.link._keys is not None
    peer.link._keys.send.nonce = MAX_NONCE
    peer.link.send(b"x")
    assert peer.link.data_to_send(NOW) == b""
    (end,) = events(peer.link)
    assert isinstance(end, LinkClosed)
    assert (end.reason, end.cause) == (Reason.LINK_EXPIRED, Trigger.EXPIRED)
    assert output(peer.link) == []


@pytest.mark.parametrize("size", [1, CHUNK_SIZE + 1])
def test_a_sender_without_frame_numbers_says_so(size: int) -> None:
    peer = raw()
    peer.link._outbound._next_stream = 2**32 - 1
    peer.link.send(bytes(size))
    assert all(isinstance(record, Chunk) and record.stream == 2**32 - 1 for record in peer.heard())
    assert state(peer.link) is State.OPEN
    peer.link.send(bytes(size))
    assert peer.heard() == [Close(Reason.LINK_EXPIRED)]
    (end,) = events(peer.link)
    assert isinstance(end, LinkClosed)
    assert (end.reason, end.cause) == (Reason.LINK_EXPIRED, Trigger.EXPIRED)


# --- time ---------------------------------------------------------------------------------------------


def test_deadlines_and_spurious_wake_ups() -> None:
    link = ALICE.link(initiate=True)
    assert link.next_deadline() == NOW + 10_000
    link.handle_timeout(NOW + 9_999)
    assert events(link) == []
    link.handle_timeout(NOW + 10_000)
    (end,) = events(link)
    assert isinstance(end, LinkClosed)
    assert (end.reason, end.cause) == (Reason.HANDSHAKE_TIMEOUT, Trigger.TIMEOUT)
    assert output(link) == []
    assert link.next_deadline() is None
    link.handle_timeout(NOW + 90_000)
    assert events(link) == []


def test_a_silent_peer_is_asked_and_then_given_up() -> None:
    pair = connected()
    assert pair.first.next_deadline() == NOW + 20_000
    pair.first.handle_timeout(NOW + 19_999)
    assert output(pair.first, NOW + 19_999) == []
    pair.first.handle_timeout(NOW + 20_000)
    assert pair.first.next_deadline() == NOW + 60_000
    (ping,) = output(pair.first, NOW + 20_000)
    pair.first.handle_timeout(NOW + 40_000)
    assert output(pair.first, NOW + 40_000) == []
    pair.first.handle_timeout(NOW + 60_000)
    (end,) = events(pair.first)
    assert isinstance(end, LinkClosed)
    assert end.reason == Reason.IDLE_TIMEOUT
    pair.second.receive_data(ping + b"".join(output(pair.first)), NOW + 60_000)
    assert events(pair.second) == [LinkClosed(Reason.IDLE_TIMEOUT, Trigger.CLOSE_RECORD)]


def test_an_idle_pair_lives_on_pings() -> None:
    pair = connected()
    now = NOW
    for _ in range(20):
        deadlines = [link.next_deadline() for link in (pair.first, pair.second)]
        now = min(deadline for deadline in deadlines if deadline is not None)
        for link in (pair.first, pair.second):
            link.handle_timeout(now)
        pair.pump(now)
    assert now >= NOW + 20 * 20_000
    assert state(pair.first) is state(pair.second) is State.OPEN
    assert LinkMeasured(0, 0) in pair.seen[0] + pair.seen[1]


def test_a_clock_that_goes_backwards_stands_still() -> None:
    pair = connected()
    pair.first.handle_timeout(NOW + 5_000)
    pair.first.handle_timeout(NOW - 10**9)
    pair.first.ping()
    pair.second.receive_data(b"".join(output(pair.first, NOW - 10**9)), NOW)
    events(pair.second)
    pair.first.receive_data(b"".join(output(pair.second, NOW)), NOW)
    assert events(pair.first) == [LinkMeasured(0, -5_000)]


# --- the local caller ---------------------------------------------------------------------------------


def test_what_the_caller_may_not_do_changes_nothing() -> None:
    link = ALICE.link(initiate=True)
    with pytest.raises(LinkNotOpenError):
        link.send(b"x")
    with pytest.raises(LinkNotOpenError):
        link.ping()
    assert not writable(link)
    pair = connected()
    for frame in (b"", bytes(MAX_FRAME + 1)):
        with pytest.raises(ValueError, match="a frame of"):
            pair.first.send(frame)
    for reason in ("", "Bad Reason", "é", "x" * 41):
        with pytest.raises(ValueError, match="reason"):
            pair.first.close(reason)
    assert state(pair.first) is State.OPEN
    assert output(pair.first) == []
    with pytest.raises(ValueError, match="another link key"):
        Link.initiator(
            static=Secret32(b"\7" * 32),
            descriptor=codec.encode_descriptor(ALICE.descriptor),
            binding=b"",
            entropy=entropy("x"),
            now=NOW,
        )


def test_a_closed_link_ignores_everything() -> None:
    pair = connected()
    pair.first.close()
    pair.pump()
    assert pair.closed(0) == LinkClosed("bye", Trigger.LOCAL_CLOSE)
    assert pair.closed(1) == LinkClosed("bye", Trigger.CLOSE_RECORD)
    for link in (pair.first, pair.second):
        link.receive_data(bytes(LINK_INPUT_CAP + 1), NOW)
        link.receive_end(NOW)
        link.close()
        link.handle_timeout(NOW + 10**9)
        assert not writable(link)
        assert events(link) == []
        assert output(link) == []
        with pytest.raises(LinkNotOpenError):
            link.send(b"x")
        with pytest.raises(LinkNotOpenError):
            link.ping()


def test_closing_during_the_handshake_sends_nothing_and_after_it_both_messages() -> None:
    link = ALICE.link(initiate=True)
    link.close()
    assert output(link) == []
    assert events(link) == [LinkClosed("bye", Trigger.LOCAL_CLOSE)]
    first, second = ALICE.link(initiate=True), BOB.link(initiate=False)
    second.receive_data(b"".join(output(first)), NOW)
    events(second)
    first.receive_data(b"".join(output(second)), NOW)
    events(first)
    first.close("overloaded")
    second.receive_data(b"".join(output(first)), NOW)
    opened, closed = events(second)
    assert isinstance(opened, LinkOpened)
    assert closed == LinkClosed("overloaded", Trigger.CLOSE_RECORD)


def test_a_ping_is_not_repeated_while_it_is_not_answered() -> None:
    peer = raw()
    peer.link.ping()
    peer.link.ping()
    (ping,) = peer.heard()
    assert isinstance(ping, Ping)
    peer.link.ping()
    assert peer.heard() == []


# --- states are data ----------------------------------------------------------------------------------


def test_every_transition_is_reached_and_no_other() -> None:
    """Drives a link through each entry of the table."""

    def awaiting(wanted: State) -> Link:
        if wanted is State.AWAIT_MESSAGE_2:
            return BOB.link(initiate=True)
        link = BOB.link(initiate=False)
        if wanted is State.AWAIT_MESSAGE_3:
            peer = Raw(link)
            peer.hand_over(peer.handshake.write_message())
            events(link)
        return link if wanted is not State.OPEN else raw().link

    def numbers_used_up(link: Link) -> None:
        link._outbound._next_stream = 2**32
        link.send(b"x")
        link.data_to_send(NOW)

    ways: dict[Trigger, Callable[[Link], None]] = {
        Trigger.FAULT: lambda link: link.receive_data(framed(bytes(16)), NOW),
        Trigger.TIMEOUT: lambda link: link.handle_timeout(NOW + 60_000),
        Trigger.TRANSPORT_END: lambda link: link.receive_end(NOW),
        Trigger.LOCAL_CLOSE: lambda link: link.close(),
        Trigger.EXPIRED: numbers_used_up,
    }
    reached = set()
    for before, triggers in TRANSITIONS.items():
        for trigger in triggers:
            if trigger in ways:
                link = awaiting(before)
                assert state(link) is before
                ways[trigger](link)
                (end,) = events(link)
                assert isinstance(end, LinkClosed)
                assert end.cause is trigger
                assert state(link) is triggers[trigger]
                reached.add((before, trigger))
    peer = Raw(BOB.link(initiate=False))
    peer.connect()
    reached |= {(State.AWAIT_MESSAGE_1, Trigger.MESSAGE_1), (State.AWAIT_MESSAGE_3, Trigger.MESSAGE_3)}
    peer.say(encode_record(Close("bye")))
    reached.add((State.OPEN, Trigger.CLOSE_RECORD))
    assert state(raw(initiate=True).link) is State.OPEN
    reached.add((State.AWAIT_MESSAGE_2, Trigger.MESSAGE_2))
    assert reached == {(before, trigger) for before, triggers in TRANSITIONS.items() for trigger in triggers}


def test_secrets_do_not_show() -> None:
    pair = connected()
    shown = repr(pair) + repr(pair.seen) + repr(LinkFrame(b"content"))
    assert "content" not in shown
    assert ALICE.static.reveal().hex() not in shown


def test_unknown_records_may_have_any_body() -> None:
    peer = raw()
    for kind in range(0x80, 0x100):
        assert peer.say(encode_record(UnknownRecord(kind, bytes(kind)))) == []
    assert state(peer.link) is State.OPEN
