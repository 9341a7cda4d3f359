"""Many frames over one ordered channel: chunks, their order, and flow control (specification chapter 5).

:class:`Outbound` cuts this side's frames into chunks, :class:`Inbound` joins the peer's.  Neither knows
anything of keys, time or transports: :mod:`tom_ref.link` puts their records into messages.

A frame is charged to the window with its whole length when it begins, so what was begun can always be
completed, and memory is bounded by the window and not by what the peer does (TOM-LINK-046, 050 to 052).
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final

from tom_ref import codec
from tom_ref.constants import (
    CHUNK_SIZE,
    LARGE_FRAME_PATIENCE,
    LARGE_FRAME_RESERVE,
    LINK_GRANT_STEP,
    LINK_WINDOW,
    MAX_FRAME,
    MAX_STREAMS,
    SEND_QUEUE_CAP,
    SEND_QUEUE_FRAME_COST,
    SEND_QUEUE_HIGH,
    SEND_QUEUE_LOW,
)
from tom_ref.errors import LocalError, ProtocolError, Reason
from tom_ref.frames import RecordType

# The heads of wire.RECORD and wire.RECORD_CHUNK by struct, many times as fast as any general decoder; a test
# holds them against the declarations.
_CHUNK_HEAD: Final = struct.Struct(">III")
_RECORD_CHUNK_HEAD: Final = struct.Struct(">BHIII")
_CHUNK_COST: Final = _RECORD_CHUNK_HEAD.size
_CHUNK_TYPE: Final = int(RecordType.CHUNK)
_SMALLEST_CUT: Final = 1_024
"""bytes: a large frame is not cut into less than this to fill up a message."""
_LAST_STREAM: Final = 2**32 - 1


class SendQueueFullError(LocalError):
    """The frame would take the send queue above its cap; the link was not writable long before."""


class NumbersUsedUpError(LocalError):
    """All 2^32 - 1 frame numbers of this direction were used."""


class _Begun:
    """A frame that arrives in more than one chunk."""

    __slots__ = ("data", "total")

    def __init__(self, total: int, data: bytes) -> None:
        self.total = total
        self.data = bytearray(data)


class Inbound:
    """The frames of the peer."""

    __slots__ = ("_begun", "_charged", "_granted", "_next_stream", "_taken")

    def __init__(self) -> None:
        self._begun: dict[int, _Begun] = {}
        self._next_stream = 1
        self._charged = 0
        self._taken = 0
        self._granted = LINK_WINDOW

    @property
    def grant_due(self) -> bool:
        """Whether so much was taken that the peer should be granted more (TOM-LINK-054)."""
        return self._taken + LINK_WINDOW - self._granted >= LINK_GRANT_STEP

    def grant(self) -> int:
        """The new limit, for a WINDOW that is sent now."""
        self._granted = self._taken + LINK_WINDOW
        return self._granted

    def chunk(self, plain: bytes, start: int, end: int) -> bytes | None:
        """Take in the body of a CHUNK, ``plain[start:end]``; the frame, if it is whole now.

        Raises ``ProtocolError`` (TOM-LINK-041 to 046, 052): ``bad_chunk``, ``flow_control``,
        ``too_large``, ``truncated``.
        """
        data = start + _CHUNK_HEAD.size
        size = end - data
        if not 0 < size <= CHUNK_SIZE:
            codec.decode_record(_CHUNK_TYPE, plain[start:end])  # raises, with the reason
        stream, total, offset = _CHUNK_HEAD.unpack_from(plain, start)
        if not 0 < total <= MAX_FRAME or offset + size > total:
            codec.decode_record(_CHUNK_TYPE, plain[start:end])  # raises, with the reason
        if stream == self._next_stream:
            if offset:
                raise ProtocolError(Reason.BAD_CHUNK, "a frame that begins in its middle")
            if self._charged + total > self._granted:
                raise ProtocolError(Reason.FLOW_CONTROL, "more than was granted")
            if size < total and len(self._begun) >= MAX_STREAMS:
                raise ProtocolError(Reason.FLOW_CONTROL, f"more than {MAX_STREAMS} frames in transit")
            self._charged += total
            self._next_stream += 1
            frame = plain[data:end]
            if size < total:
                self._begun[stream] = _Begun(total, frame)
                return None
        else:
            begun = self._begun.get(stream)
            if begun is None or begun.total != total or len(begun.data) != offset:
                raise ProtocolError(Reason.BAD_CHUNK, "a chunk that continues no frame")
            begun.data += plain[data:end]
            if offset + size < total:
                return None
            del self._begun[stream]
            frame = bytes(begun.data)
        self._taken += total
        return frame


class _Cut:
    """A frame of which some chunks are sent."""

    __slots__ = ("frame", "offset", "stream")

    def __init__(self, stream: int, frame: bytes) -> None:
        self.stream = stream
        self.frame = frame
        self.offset = 0


class Outbound:
    """The frames of this side: queued, charged to the peer's window, cut into chunks."""

    __slots__ = (
        "_charged",
        "_congested",
        "_cut",
        "_large",
        "_limit",
        "_next_stream",
        "_overtaken",
        "_queued",
        "_small",
    )

    def __init__(self) -> None:
        self._small: deque[bytes] = deque()
        self._large: deque[bytes] = deque()
        self._cut: deque[_Cut] = deque()
        self._next_stream = 1
        self._charged = 0
        self._limit = LINK_WINDOW
        self._overtaken = 0
        self._queued = 0
        self._congested = False

    @property
    def writable(self) -> bool:
        """Whether the queue wants more: False from ``SEND_QUEUE_HIGH`` until ``SEND_QUEUE_LOW``."""
        return not self._congested

    def queue(self, frame: bytes) -> None:
        """Queue a frame of 1 to ``MAX_FRAME`` bytes; nothing changes when it raises.

        Raises ``ValueError`` for another size and :class:`SendQueueFullError`.
        """
        size = len(frame)
        if not 0 < size <= MAX_FRAME:
            raise ValueError(f"a frame of {size} bytes; 1 to {MAX_FRAME} go")
        queued = self._queued + size + SEND_QUEUE_FRAME_COST
        if queued > SEND_QUEUE_CAP:
            raise SendQueueFullError(f"{self._queued} bytes are queued")
        self._queued = queued
        if queued > SEND_QUEUE_HIGH:
            self._congested = True
        (self._small if size <= CHUNK_SIZE else self._large).append(frame)

    def set_limit(self, limit: int) -> None:
        """Take a WINDOW; raises ``ProtocolError(flow_control)`` for one that shrinks (TOM-LINK-053)."""
        if limit < self._limit:
            raise ProtocolError(Reason.FLOW_CONTROL, "a window that shrinks")
        self._limit = limit

    def fill(self, parts: list[bytes | memoryview], room: int) -> bool:
        """Append CHUNK records of at most ``room`` bytes to ``parts``: small frames whole and in order, then
        large ones in turn (TOM-LINK-048).

        Neither kind starves the other.  While large frames are in transit, small ones leave room for a chunk
        in each message; while one waits for the window, small ones may use ``LARGE_FRAME_PATIENCE`` of it
        and then wait as well, until it begins.  Large ones leave ``LARGE_FRAME_RESERVE`` to small ones.

        Returns whether the queue has drained, once after it was not writable.  Raises
        :class:`NumbersUsedUpError`; the link must end then.
        """
        small = self._small
        kept = CHUNK_SIZE + _CHUNK_COST if self._cut or self._large else 0
        # Counted also while the large frame could begin: else small ones might take its place each time.
        waits = bool(self._large) and len(self._cut) < MAX_STREAMS
        while small:
            size = len(small[0])
            if size + _CHUNK_COST > room - kept or self._charged + size > self._limit:
                break
            if waits:
                if self._overtaken + size > LARGE_FRAME_PATIENCE:
                    break
                self._overtaken += size
            stream = self._begin(size)
            parts.append(_RECORD_CHUNK_HEAD.pack(_CHUNK_TYPE, 12 + size, stream, size, 0))
            parts.append(small.popleft())
            room -= size + _CHUNK_COST
            self._queued -= size + SEND_QUEUE_FRAME_COST
        while room > _CHUNK_COST + _SMALLEST_CUT:
            cut = self._next_large()
            if cut is None:
                break
            frame, offset = cut.frame, cut.offset
            total = len(frame)
            size = min(CHUNK_SIZE, room - _CHUNK_COST, total - offset)
            parts.append(_RECORD_CHUNK_HEAD.pack(_CHUNK_TYPE, 12 + size, cut.stream, total, offset))
            parts.append(memoryview(frame)[offset : offset + size])
            room -= size + _CHUNK_COST
            cut.offset = offset + size
            if cut.offset < total:
                self._cut.append(cut)
            else:
                self._queued -= total + SEND_QUEUE_FRAME_COST
        if self._congested and self._queued <= SEND_QUEUE_LOW:
            self._congested = False
            return True
        return False

    def _next_large(self) -> _Cut | None:
        """The large frame whose turn it is: a new one if it may begin, else the one that waited longest."""
        if self._large and len(self._cut) < MAX_STREAMS:
            size = len(self._large[0])
            if self._charged + size + LARGE_FRAME_RESERVE <= self._limit:
                self._overtaken = 0
                return _Cut(self._begin(size), self._large.popleft())
        return self._cut.popleft() if self._cut else None

    def _begin(self, size: int) -> int:
        """Number a frame and charge it to the window."""
        stream = self._next_stream
        if stream > _LAST_STREAM:
            raise NumbersUsedUpError
        self._next_stream = stream + 1
        self._charged += size
        return stream
