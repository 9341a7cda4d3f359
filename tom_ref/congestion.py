"""Messages of others that wait for a busy link, in fair queues (TOM-BALANCE-014, 015).

A message that waits here was verified; it is in nobody's custody, and its sender still has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field, frozen

from tom_ref import constants
from tom_ref.fairqueue import FairQueue
from tom_ref.frames import Envelope
from tom_ref.step import Step
from tom_ref.timers import Timer, Timers


@frozen
class Waiting:
    """One message and the neighbour that it came from, with its link then."""

    message: bytes
    envelope: Envelope
    previous: tuple[bytes, int]

    @property
    def size(self) -> int:
        """The bytes that count for its neighbour's share."""
        return len(self.envelope.header_bytes) + len(self.envelope.payload)


@define
class Congestion:
    """A queue for each busy link, by the peer at its other end; each message waits once."""

    timers: Timers = field(repr=False)
    _queues: dict[bytes, FairQueue[Waiting]] = field(factory=dict)
    _messages: set[bytes] = field(factory=set)

    def waits_for(self, peer: bytes) -> bool:
        """Whether something waits for the link to a peer."""
        return peer in self._queues

    def wait(self, step: Step, peer: bytes, waiting: Waiting) -> list[Waiting]:
        """Let a message wait for the link to ``peer``; returns what is to be refused for lack of room."""
        if waiting.message in self._messages:
            return []
        queue = self._queues.setdefault(peer, FairQueue())
        self._messages.add(waiting.message)
        refused = queue.push(waiting.previous[0], waiting, waiting.size)
        self._messages.difference_update(one.message for one in refused)
        self.timers.set(Timer.DRAIN, peer, step.now + 1)
        return refused

    def drain(self, step: Step, peer: bytes) -> Iterator[Waiting]:
        """The messages whose turn it is, ``DRAIN_BURST`` bytes of them; the timer brings the next ones."""
        queue, size = self._queues.get(peer), 0
        while queue is not None and size < constants.DRAIN_BURST:
            waiting = queue.pop()
            if waiting is None:
                self.timers.cancel(Timer.DRAIN, peer)
                del self._queues[peer]
                return
            size += waiting.size
            self._messages.discard(waiting.message)
            self.timers.set(Timer.DRAIN, peer, step.now + 1)
            yield waiting

    def lost(self, peer: bytes) -> list[Waiting]:
        """The link is gone: everything that waited for it."""
        queue = self._queues.pop(peer, None)
        self.timers.cancel(Timer.DRAIN, peer)
        waiting = [] if queue is None else queue.clear()
        self._messages.difference_update(one.message for one in waiting)
        return waiting
