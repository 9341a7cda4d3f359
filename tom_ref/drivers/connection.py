"""One link over one stream of bytes: a reader, a writer and a timer around the sans-IO ``Link``.

There is exactly one writer, and whatever goes wrong with the transport ends the link: a write that was cut
off can't be repaired, since nobody knows how much of it arrived.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Final

import trio

from tom_ref.constants import EPS, MAX_PENDING_BYTES, SEND_QUEUE_CAP
from tom_ref.drivers.errors import NodeStoppedError
from tom_ref.drivers.runner import Runner
from tom_ref.frames import Descriptor
from tom_ref.inputs import ClockMeasured, FrameReceived, LinkCongested, LinkDown, LinkUp, LinkWritable
from tom_ref.link import (
    BYE,
    Link,
    LinkClosed,
    LinkDrained,
    LinkEvent,
    LinkFrame,
    LinkMeasured,
    LinkNotOpenError,
    LinkOpened,
    SendQueueFullError,
)

READ_SIZE: Final = 65_536
"""bytes: the most taken from a transport at once."""

FAREWELL_TIME: Final = 1.0
"""s: how long a closing link tries to tell its peer why."""

OVERFLOW_CAP: Final = MAX_PENDING_BYTES + SEND_QUEUE_CAP
"""bytes: what waits for a link besides what the link itself takes.  All messages that a node may hold fit, so
that the first link after a long absence takes them; what is beyond is dropped, and its sender tries again."""


class Connection:
    """A link over ``stream``.  :meth:`run` it; it announces itself to ``runner`` when it is open."""

    def __init__(self, runner: Runner, stream: trio.abc.Stream, link: Link) -> None:
        self._runner = runner
        self._stream = stream
        self._link = link
        self._number: int | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._congested = False
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._written = trio.Event()
        self._reading = trio.CancelScope()
        self.peer: Descriptor | None = None
        """The peer's verified descriptor, once the link is open."""
        self.opened = trio.Event()
        """Set when the handshake is done."""
        self.closed: LinkClosed | None = None
        """How the link ended."""

    async def run(self) -> None:
        """Handshake, carry frames until the link ends, and close the stream."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._keep_time)
                await self._read()
                with trio.move_on_after(FAREWELL_TIME):
                    await self._written.wait()
                nursery.cancel_scope.cancel()
        finally:
            if self._number is not None and not self._runner.stopped:
                self._announce_end("transport")
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)

    # --- for the runner -------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Queue a frame; when the link has no room at all it waits here, up to ``OVERFLOW_CAP``."""
        if self._waiting:
            self._hold(frame)
        else:
            try:
                self._link.send(frame)
            except SendQueueFullError:
                self._hold(frame)
            except LinkNotOpenError:
                return
        if not self._congested and not self._link.writable and self._number is not None:
            self._congested = True
            self._runner.feed(LinkCongested(self._number))
        self._wake.set()

    def close(self, reason: str) -> None:
        """End the link, telling the peer why."""
        self._link.close(reason)
        self._take_events()

    async def flushed(self) -> None:
        """Wait until everything that the peer takes now was written, or the link has ended."""
        await self._idle.wait()

    async def part(self) -> None:
        """Write what is queued, then close the link and wait until the peer could be told."""
        await self.flushed()
        self.close(BYE)
        await self._written.wait()

    # --- tasks ----------------------------------------------------------------------------------------

    async def _read(self) -> None:
        with self._reading:
            while self.closed is None:
                await self._runner.room()
                try:
                    data = await self._stream.receive_some(READ_SIZE)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    data = b""
                if data:
                    self._link.receive_data(bytes(data), self._runner.now())
                else:
                    self._link.receive_end(self._runner.now())
                self._take_events()

    async def _write(self) -> None:
        while True:
            data = self._link.data_to_send(self._runner.now())
            happened = self._take_events()
            if data:
                try:
                    await self._stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self._link.receive_end(self._runner.now())
                    self._take_events()
                    break
            elif self.closed is not None:
                break
            elif not happened:
                self._wake = trio.Event()
                self._idle.set()
                await self._wake.wait()
                self._idle = trio.Event()
        self._idle.set()
        self._written.set()

    async def _keep_time(self) -> None:
        while (deadline := self._link.next_deadline()) is not None:
            await self._runner.sleep_towards(deadline)
            self._link.handle_timeout(self._runner.now())
            self._take_events()

    # --- events ---------------------------------------------------------------------------------------

    def _take_events(self) -> bool:
        """Handle all that happened; whether anything did."""
        happened = False
        while (event := self._link.next_event()) is not None:
            self._handle(event)
            happened = True
        self._wake.set()
        return happened

    def _handle(self, event: LinkEvent) -> None:
        match event:
            case LinkOpened():
                self.peer = event.descriptor
                self._number = self._runner.attach(self)
                self._runner.feed(LinkUp(self._number, event.descriptor, self._link.initiated))
                self.opened.set()
                self._link.ping()
            case LinkFrame():
                assert self._number is not None
                self._runner.feed(FrameReceived(self._number, event.frame))
            case LinkDrained():
                self._drain()
            case LinkClosed():
                self.closed = event
                self._reading.cancel()
                if self._number is not None:
                    self._announce_end(event.reason)
            case LinkMeasured():
                assert self._number is not None
                self._runner.feed(ClockMeasured(self._number, event.offset, event.round_trip))
                if event.round_trip > 2 * EPS:
                    self._link.ping()  # It says nothing about the clock; the next one may (TOM-PURGE-053).

    def _announce_end(self, reason: str) -> None:
        number, self._number = self._number, None
        assert number is not None
        self._runner.detach(number)
        with suppress(
            NodeStoppedError
        ):  # Who is cancelled says goodbye to its peers after its node has stopped.
            self._runner.feed(LinkDown(number, reason))

    def _hold(self, frame: bytes) -> None:
        if self._waiting_bytes + len(frame) <= OVERFLOW_CAP:
            self._waiting.append(frame)
            self._waiting_bytes += len(frame)

    def _drain(self) -> None:
        """The link takes frames again: first those that wait here, then the node's."""
        while self._waiting and self._link.writable:
            frame = self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            self._link.send(frame)
        if self._congested and not self._waiting and self._link.writable and self._number is not None:
            self._congested = False
            self._runner.feed(LinkWritable(self._number))
