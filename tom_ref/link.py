"""The link: one encrypted connection between two neighbours, without any I/O (specification chapter 5).

The caller's contract
---------------------

A :class:`Link` is fed with what arrived and asked for what to send.  It never waits, reads no clock and draws
no entropy but what it is given, and bytes from outside never make it raise.  The caller

1. makes it with :meth:`Link.initiator` or :meth:`Link.responder` as soon as the transport is connected;
2. hands over what arrives: :meth:`Link.receive_data`, and :meth:`Link.receive_end` when the transport ended;
3. after **every** call of any method takes events with :meth:`Link.next_event` until there is none, one at a
   time: the link's properties are as of the event just taken;
4. then takes bytes with :meth:`Link.data_to_send` until there are none and writes each in full and in order
   before it takes the next, which is what lets a small frame overtake a large one;
5. calls :meth:`Link.handle_timeout` at :meth:`Link.next_deadline`, which any call may move both ways.  Late
   and spurious calls are harmless;
6. after :class:`LinkClosed` writes what :meth:`Link.data_to_send` still gives (the CLOSE record, where the
   peer can read one) and ends the transport.  A closed link stays closed and ignores what it is handed.

``now`` is in ms since the Unix epoch; a clock that goes backwards counts as standing still.  A caller that
can't take more frames stops taking events and reading the transport: the peer's window then runs out.  One
that has more frames to send than fit watches :attr:`Link.writable` and the event :class:`LinkDrained`.

Theory of operation
-------------------

``data -> messages -> records -> frames``.  ``receive_data`` only buffers.  ``next_event`` takes one Noise
message after another from the buffer, opens it, and walks through its records until one makes an event.
In the other direction frames wait in :class:`~tom_ref.multiplex.Outbound` until ``data_to_send`` fills one
Noise message with records and seals it; nothing is sealed ahead of time.

States, transitions and events stand in :mod:`tom_ref.linkstates`; every change of state goes through
``Link._move`` and so through :data:`TRANSITIONS`.  Frames and flow control are :mod:`tom_ref.multiplex`.
"""

from __future__ import annotations

from collections import deque
from typing import Final, assert_never

from tom_ref import codec, crypto
from tom_ref.constants import (
    HANDSHAKE_TIMEOUT,
    IDLE_TIMEOUT,
    LINK_INPUT_CAP,
    MAX_HANDSHAKE_MESSAGE,
    MAX_NOISE_MESSAGE,
    PING_INTERVAL,
    REKEY_GRACE,
    REKEY_INTERVAL,
    REKEY_MESSAGES,
    Purpose,
)
from tom_ref.crypto import TAG_SIZE, Entropy, Secret32
from tom_ref.errors import LocalError, ProtocolError, Reason
from tom_ref.frames import (
    Chunk,
    Close,
    Descriptor,
    HandshakePayload,
    Ping,
    Pong,
    RecordType,
    Rekey,
    UnknownRecord,
    Window,
)
from tom_ref.handshake import Handshake, NonceExhaustedError, TransportKeys
from tom_ref.identity import verify_descriptor
from tom_ref.linkstates import (
    BYE,
    TRANSITIONS,
    Framing,
    LinkClosed,
    LinkDrained,
    LinkEvent,
    LinkFrame,
    LinkMeasured,
    LinkOpened,
    State,
    Trigger,
    keep_new_link,
    measure,
)
from tom_ref.multiplex import Inbound, NumbersUsedUpError, Outbound, SendQueueFullError

__all__ = [
    "BYE",
    "PROLOGUE_LABEL",
    "TRANSITIONS",
    "Framing",
    "InputFullError",
    "Link",
    "LinkClosed",
    "LinkDrained",
    "LinkEvent",
    "LinkFrame",
    "LinkMeasured",
    "LinkNotOpenError",
    "LinkOpened",
    "SendQueueFullError",
    "State",
    "Trigger",
    "keep_new_link",
]

PROLOGUE_LABEL: Final = "ToM/1 link"
"""The label of the handshake's prologue, which also holds the transport's channel binding (TOM-LINK-011)."""


class LinkNotOpenError(LocalError):
    """The handshake is not done yet, or the link is closed."""


class InputFullError(LocalError):
    """Data was handed over while the events of earlier data were not taken."""


_CHUNK_TYPE: Final = int(RecordType.CHUNK)
_GREASE_SIZE: Final = 8
_REKEY_SIZE: Final = 7
_ROOM: Final = MAX_NOISE_MESSAGE - TAG_SIZE - _REKEY_SIZE - 3 - _GREASE_SIZE
"""bytes: how many bytes of records a message takes besides a reserved one and a final REKEY."""


class Link:
    """One end of one link; see the module's documentation for the caller's contract."""

    __slots__ = (
        "_created",
        "_ended",
        "_entropy",
        "_events",
        "_expected",
        "_framing",
        "_grease",
        "_handshake",
        "_heard",
        "_inbound",
        "_input",
        "_input_messages",
        "_input_size",
        "_keys",
        "_now",
        "_outbound",
        "_output",
        "_own",
        "_own_payload",
        "_peer",
        "_ping",
        "_ping_due",
        "_plain",
        "_pong",
        "_position",
        "_receive_count",
        "_receive_generation",
        "_receive_since",
        "_send_count",
        "_send_generation",
        "_send_since",
        "_state",
        "initiated",
    )

    initiated: bool
    """Whether this side began the handshake."""

    def __init__(
        self,
        *,
        initiate: bool,
        static: Secret32,
        descriptor: bytes,
        binding: bytes,
        entropy: Entropy,
        now: int,
        expected_node: bytes | None,
        framing: Framing,
        grease: bool,
    ) -> None:
        own = codec.decode_descriptor(descriptor)
        if own.link_key != crypto.x25519_public(static):
            raise ValueError("the descriptor names another link key")
        self.initiated = initiate
        self._own = own.node_id
        self._own_payload = codec.encode_handshake_payload(HandshakePayload(own))
        self._expected = expected_node
        self._entropy = entropy
        self._framing = framing
        self._grease = grease
        self._state = State.AWAIT_MESSAGE_2 if initiate else State.AWAIT_MESSAGE_1
        self._peer: Descriptor | None = None
        self._handshake: Handshake | None = Handshake(
            initiator=initiate,
            prologue=crypto.labelled(PROLOGUE_LABEL, binding),
            entropy=entropy,
            static=static,
        )
        self._keys: TransportKeys | None = None
        self._events: deque[LinkEvent] = deque()
        # time
        self._now = self._created = self._heard = now
        # from bytes to records
        self._input = bytearray()
        self._input_messages: deque[bytes] = deque()
        self._input_size = 0
        self._ended = False
        self._plain = b""
        self._position = 0
        self._inbound = Inbound()
        # from frames to bytes
        self._outbound = Outbound()
        self._output: deque[bytes] = deque()
        # keys
        self._send_count = self._receive_count = 0
        self._send_since = self._receive_since = now
        self._send_generation = self._receive_generation = 0
        # pings
        self._ping_due = False
        self._ping: Ping | None = None
        self._pong: tuple[Ping, int] | None = None
        if initiate:
            self._output.append(self._handshake.write_message())

    @classmethod
    def initiator(
        cls,
        *,
        static: Secret32,
        descriptor: bytes,
        binding: bytes,
        entropy: Entropy,
        now: int,
        expected_node: bytes | None = None,
        framing: Framing = Framing.STREAM,
        grease: bool = False,
    ) -> Link:
        """A link that this side begins.

        ``static`` is this node's X25519 link secret and ``descriptor`` its own encoded descriptor;
        ``binding`` is the transport's channel binding (empty on TCP); ``expected_node`` the NodeId that must
        answer, where it is known; with ``grease`` a reserved record is sent in each message, which keeps
        peers tolerant (RFC 8701).  Raises ``ProtocolError`` for an own descriptor that does not decode and
        ``ValueError`` for one that names another link key.
        """
        return cls(
            initiate=True,
            static=static,
            descriptor=descriptor,
            binding=binding,
            entropy=entropy,
            now=now,
            expected_node=expected_node,
            framing=framing,
            grease=grease,
        )

    @classmethod
    def responder(
        cls,
        *,
        static: Secret32,
        descriptor: bytes,
        binding: bytes,
        entropy: Entropy,
        now: int,
        expected_node: bytes | None = None,
        framing: Framing = Framing.STREAM,
        grease: bool = False,
    ) -> Link:
        """A link that the other side begins; arguments as for :meth:`initiator`."""
        return cls(
            initiate=False,
            static=static,
            descriptor=descriptor,
            binding=binding,
            entropy=entropy,
            now=now,
            expected_node=expected_node,
            framing=framing,
            grease=grease,
        )

    # --- what a caller may ask ------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    @property
    def peer(self) -> Descriptor | None:
        """The peer's verified descriptor, once the link was open."""
        return self._peer

    @property
    def writable(self) -> bool:
        """Whether the link wants more frames; after False, :class:`LinkDrained` tells when it does again."""
        return self._state is State.OPEN and self._outbound.writable

    def next_deadline(self) -> int | None:
        """When, in ms since the epoch, :meth:`handle_timeout` has something to do; None on a closed link."""
        if self._state is State.CLOSED:
            return None
        if self._state is not State.OPEN:
            return self._created + HANDSHAKE_TIMEOUT
        if self._ping is None and not self._ping_due:
            return self._heard + PING_INTERVAL
        return self._heard + IDLE_TIMEOUT

    # --- what a caller does ---------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: int) -> None:
        """Buffer what arrived: any piece of the stream, or one message with :attr:`Framing.MESSAGES`.

        A piece of up to 128 KiB always fits when all events were taken before.  Raises
        :class:`InputFullError`, with nothing buffered, when more than ``LINK_INPUT_CAP`` bytes would wait.
        """
        if self._state is State.CLOSED:
            return
        size = len(data) + (2 if self._framing is Framing.MESSAGES else 0)
        if self._input_size + size > LINK_INPUT_CAP:
            raise InputFullError(f"{self._input_size} bytes wait for their events to be taken")
        self._advance(now)
        self._input_size += size
        if self._framing is Framing.MESSAGES:
            self._input_messages.append(data)
        else:
            self._input += data

    def receive_end(self, now: int) -> None:
        """The transport ended; what came before is still processed."""
        self._advance(now)
        self._ended = True

    def next_event(self) -> LinkEvent | None:
        """The next thing that happened, or None."""
        if not self._events and self._state is not State.CLOSED:
            try:
                event = self._process()
            except ProtocolError as error:
                self._end(Trigger.FAULT, error.reason, error.detail)
            else:
                if event is not None:
                    return event
        return self._events.popleft() if self._events else None

    def send(self, frame: bytes) -> None:
        """Queue a frame of 1 to ``MAX_FRAME`` bytes.

        Frames up to ``CHUNK_SIZE`` keep their order among themselves and overtake larger ones.  Nothing
        changes when it raises: :class:`LinkNotOpenError`, :class:`SendQueueFullError`, or ``ValueError``
        for another size.
        """
        if self._state is not State.OPEN:
            raise LinkNotOpenError(self._state.value)
        self._outbound.queue(frame)

    def ping(self) -> None:
        """Ask for the round trip and the clock offset; :class:`LinkMeasured` will tell.

        Does nothing while an earlier ping is not answered.  Raises :class:`LinkNotOpenError`.
        """
        if self._state is not State.OPEN:
            raise LinkNotOpenError(self._state.value)
        self._ping_due = self._ping is None

    def close(self, reason: str = BYE) -> None:
        """End the link and tell the peer why; queued frames are dropped.  Does nothing on a closed link.

        Raises ``ValueError`` for a reason that is not a code (lower-case letters and underscores).
        """
        try:
            codec.encode_record(Close(reason))
        except ProtocolError:
            raise ValueError("not a reason code") from None
        if self._state is not State.CLOSED:
            self._end(Trigger.LOCAL_CLOSE, reason)

    def handle_timeout(self, now: int) -> None:
        """Do what is due at ``now``: give up a handshake or a silent peer, or send a ping."""
        self._advance(now)
        if self._state is State.OPEN:
            silence = self._now - self._heard
            if silence >= IDLE_TIMEOUT:
                self._end(Trigger.TIMEOUT, Reason.IDLE_TIMEOUT, f"nothing heard for {silence} ms")
            elif silence >= PING_INTERVAL:
                self.ping()
        elif self._state is not State.CLOSED and self._now >= self._created + HANDSHAKE_TIMEOUT:
            self._end(Trigger.TIMEOUT, Reason.HANDSHAKE_TIMEOUT, f"in state {self._state.value!r}")

    def data_to_send(self, now: int) -> bytes:
        """The next bytes for the transport: one Noise message at most (65,537 bytes), empty when none.

        With :attr:`Framing.MESSAGES` they are one message of the transport.
        """
        self._advance(now)
        if self._output:
            return self._framed(self._output.popleft())
        if self._state is not State.OPEN:
            return b""
        parts: list[bytes | memoryview] = []
        try:
            drained = self._outbound.fill(parts, self._control_records(parts))
        except NumbersUsedUpError:
            self._end(Trigger.EXPIRED, Reason.LINK_EXPIRED, "no frame number left")
            return self.data_to_send(now)
        if not parts:
            return b""
        if drained and not self._events:
            self._events.append(LinkDrained())
        if self._grease:
            parts.insert(0, self._grease_record())
        rekey = self._send_count + 1 >= REKEY_MESSAGES or self._now - self._send_since >= REKEY_INTERVAL
        if rekey:
            parts.append(codec.encode_record(Rekey(self._send_generation + 1)))
        sealed = self._seal(b"".join(parts))
        if sealed is None:
            self._end(Trigger.EXPIRED, Reason.LINK_EXPIRED, "no nonce left")
            return b""
        if rekey:
            assert self._keys is not None
            self._keys.send.rekey()
            self._send_generation += 1
            self._send_count = 0
            self._send_since = self._now
        return self._framed(sealed)

    # --- life and death -------------------------------------------------------------------------------

    def _advance(self, now: int) -> None:
        self._now = max(self._now, now)

    def _move(self, trigger: Trigger) -> None:
        self._state = TRANSITIONS[self._state][trigger]

    def _end(self, trigger: Trigger, reason: str, detail: str = "") -> None:
        """Die: tell the peer where that is possible, forget everything, say so in one last event."""
        self._move(trigger)
        if self._keys is None:
            self._output.clear()
        elif trigger not in {Trigger.CLOSE_RECORD, Trigger.TRANSPORT_END}:
            sealed = self._seal(codec.encode_record(Close(str(reason))))
            if sealed is not None:
                self._output.append(sealed)
        self._handshake = self._keys = None
        self._events.append(LinkClosed(str(reason), trigger, detail))
        self._input = bytearray()
        self._input_messages.clear()
        self._input_size = 0
        self._plain = b""
        self._position = 0
        self._inbound = Inbound()
        self._outbound = Outbound()

    # --- from bytes to messages -----------------------------------------------------------------------

    def _process(self) -> LinkEvent | None:
        """Work on what is buffered until something makes an event."""
        while self._state is not State.CLOSED:
            if self._position < len(self._plain):
                event = self._next_record()
            else:
                message = self._take_message()
                if message is None:
                    if self._ended:
                        self._end(
                            Trigger.TRANSPORT_END, Reason.TRUNCATED, "the transport ended without CLOSE"
                        )
                    return None
                if self._state is State.OPEN:
                    self._open(message)
                    continue
                event = self._shake_hands(message)
            if event is not None:
                return event
        return None

    def _take_message(self) -> bytes | None:
        """Take one whole Noise message from the buffer (TOM-LINK-002 to 005)."""
        largest = MAX_NOISE_MESSAGE if self._state is State.OPEN else MAX_HANDSHAKE_MESSAGE
        if self._framing is Framing.MESSAGES:
            if not self._input_messages:
                return None
            message = self._input_messages.popleft()
            size = len(message)
        else:
            if len(self._input) < 2:
                return None
            size = self._input[0] << 8 | self._input[1]
            if size <= largest and len(self._input) < 2 + size:
                return None
            message = bytes(self._input[2 : 2 + size])
            del self._input[: 2 + size]
        if size > largest:
            raise ProtocolError(Reason.TOO_LARGE, f"a message of {size} bytes, at most {largest}")
        self._input_size -= 2 + size
        return message

    def _framed(self, message: bytes) -> bytes:
        if self._framing is Framing.MESSAGES:
            return message
        return len(message).to_bytes(2, "big") + message

    # --- handshake ------------------------------------------------------------------------------------

    def _shake_hands(self, message: bytes) -> LinkEvent | None:
        """Read one message of the handshake, and write the next."""
        handshake = self._handshake
        assert handshake is not None
        payload = handshake.read_message(message)
        if self._state is State.AWAIT_MESSAGE_1:
            if payload:
                raise ProtocolError(Reason.BAD_HANDSHAKE, "message 1 carries a payload")
            self._output.append(handshake.write_message(self._own_payload))
            self._move(Trigger.MESSAGE_1)
            return None
        if self._state is State.AWAIT_MESSAGE_3:
            # From here on a refusal can be told to the peer.
            self._keys = handshake.finish()
        peer = self._accept_peer(payload)
        if self._state is State.AWAIT_MESSAGE_2:
            self._output.append(handshake.write_message(self._own_payload))
            self._keys = handshake.finish()
            self._move(Trigger.MESSAGE_2)
        else:
            self._move(Trigger.MESSAGE_3)
        assert self._keys is not None
        self._handshake = None
        self._peer = peer
        self._heard = self._send_since = self._receive_since = self._now
        return LinkOpened(peer, self._keys.handshake_hash)

    def _accept_peer(self, payload: bytes) -> Descriptor:
        """Check whom the handshake leads to (TOM-LINK-020 to 023)."""
        assert self._handshake is not None
        descriptor = codec.decode_handshake_payload(payload).descriptor
        if descriptor.node_id == self._own:
            raise ProtocolError(Reason.SELF_LINK)
        if self._expected is not None and descriptor.node_id != self._expected:
            raise ProtocolError(Reason.NODE_MISMATCH, "another node answered")
        if descriptor.link_key != self._handshake.remote_static:
            raise ProtocolError(Reason.BAD_STATIC_KEY)
        verify_descriptor(descriptor, self._now)
        return descriptor

    # --- records that arrive --------------------------------------------------------------------------

    def _open(self, message: bytes) -> None:
        """Open one transport message; its records come next."""
        assert self._keys is not None
        if (
            self._receive_count >= REKEY_GRACE * REKEY_MESSAGES
            or self._now - self._receive_since > REKEY_GRACE * REKEY_INTERVAL
        ):
            raise ProtocolError(Reason.LINK_EXPIRED, "the peer did not replace its key")
        self._plain = self._keys.receive.decrypt(message)
        if not self._plain:
            raise ProtocolError(Reason.TRUNCATED, "a message without a record")
        self._position = 0
        self._receive_count += 1
        self._heard = self._now

    def _next_record(self) -> LinkEvent | None:
        """Walk through the records of the message in hand until one makes an event."""
        plain = self._plain
        end = len(plain)
        position = self._position
        while position < end:
            body = position + 3
            after = body + (plain[position + 1] << 8 | plain[position + 2]) if body <= end else end + 1
            if after > end:
                raise ProtocolError(Reason.TRUNCATED, "record")
            kind = plain[position]
            self._position = position = after
            if kind == _CHUNK_TYPE:
                frame = self._inbound.chunk(plain, body, after)
                if frame is not None:
                    return LinkFrame(frame)
            else:
                event = self._control(kind, plain[body:after])
                if event is not None or self._state is State.CLOSED:
                    return event
        self._plain = b""
        self._position = 0
        return None

    def _control(self, kind: int, body: bytes) -> LinkEvent | None:
        """Act on a record that is no chunk."""
        record = codec.decode_record(kind, body)
        match record:
            case Window():
                self._outbound.set_limit(record.limit)
            case Ping():
                if self._pong is not None:
                    raise ProtocolError(Reason.FLOW_CONTROL, "a second ping before the first was answered")
                self._pong = (record, self._now)
            case Pong():
                return self._measure(record)
            case Rekey():
                self._rekey(record)
            case Close():
                self._end(Trigger.CLOSE_RECORD, record.reason)
            case UnknownRecord():
                pass
            case Chunk():  # pragma: no cover - Inbound.chunk takes them
                raise AssertionError
            case _:
                assert_never(record)
        return None

    def _measure(self, pong: Pong) -> LinkMeasured:
        """Take the answer to the ping that is outstanding (TOM-LINK-072, 073)."""
        ping = self._ping
        if ping is None or pong.nonce != ping.nonce or pong.ping_sent_at != ping.sent_at:
            raise ProtocolError(Reason.BAD_VALUE, "a pong that answers no ping")
        if pong.sent_at < pong.received_at:
            raise ProtocolError(Reason.BAD_VALUE, "a pong that left before its ping came")
        self._ping = None
        return measure(ping.sent_at, pong.received_at, pong.sent_at, self._now)

    def _rekey(self, record: Rekey) -> None:
        """Replace the receiving key: the message in hand was the last one under the old (TOM-LINK-062)."""
        assert self._keys is not None
        if record.generation != self._receive_generation + 1:
            raise ProtocolError(Reason.BAD_VALUE, f"generation {record.generation}")
        if self._position != len(self._plain):
            raise ProtocolError(Reason.TRAILING_BYTES, "a record after REKEY")
        self._keys.receive.rekey()
        self._receive_generation += 1
        self._receive_count = 0
        self._receive_since = self._now

    # --- records to send ------------------------------------------------------------------------------

    def _seal(self, plaintext: bytes) -> bytes | None:
        """Seal one message; None when the key has no nonce left."""
        assert self._keys is not None
        try:
            sealed = self._keys.send.encrypt(plaintext)
        except NonceExhaustedError:
            return None
        self._send_count += 1
        return sealed

    def _control_records(self, parts: list[bytes | memoryview]) -> int:
        """Append what is due besides frames; the room that is left, in bytes."""
        if self._pong is not None:
            ping, received_at = self._pong
            self._pong = None
            parts.append(codec.encode_record(Pong(ping.nonce, ping.sent_at, received_at, self._now)))
        if self._ping_due:
            nonce = int.from_bytes(crypto.draw(self._entropy, Purpose.LINK_PING, 8), "big")
            self._ping_due = False
            self._ping = Ping(nonce, self._now)
            parts.append(codec.encode_record(self._ping))
        if self._inbound.grant_due:
            parts.append(codec.encode_record(Window(self._inbound.grant())))
        return _ROOM - sum(map(len, parts))

    def _grease_record(self) -> bytes:
        """A record that every receiver ignores (RFC 8701)."""
        drawn = crypto.draw(self._entropy, Purpose.GREASE, _GREASE_SIZE)
        kind = codec.GREASE_TYPES[drawn[0] % len(codec.GREASE_TYPES)]
        return codec.encode_record(UnknownRecord(kind, drawn[1 : 1 + drawn[1] % _GREASE_SIZE]))
