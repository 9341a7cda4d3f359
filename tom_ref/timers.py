"""Named deadlines with one earliest: absolute times, no ticks.

A heap with lazy removal: setting and cancelling cost O(log n), and a cancelled or moved deadline never fires.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterator


class Timer(enum.StrEnum):
    """What a deadline is for."""

    RETRY = "retry"
    """Key: handle.  Try the next way for an own message."""
    WORK = "work"
    """Key: handle.  Go on looking for the work that an own message needs."""
    DRAIN = "drain"
    """Key: NodeId.  Hand more over of what waits for a link to this peer."""
    HAND_OVER = "hand_over"
    """No key.  Hand over more own messages than one step may."""
    PENDING_ERASE = "pending_erase"
    """Key: handle.  An own message's lifetime ends: its bytes go."""
    PENDING_EXPIRY = "pending_expiry"
    """Key: handle.  An own message's retention ends: no receipt counts any more."""
    IN_FLIGHT_EXPIRY = "in_flight_expiry"
    """Key: message id.  Forget the way back."""
    CUSTODY = "custody"
    """Key: message id.  Look at a copy in custody: is its recipient there, do its holders answer?"""
    CUSTODY_EXPIRY = "custody_expiry"
    """Key: message id.  A copy's lifetime ends."""
    TOMBSTONE_EXPIRY = "tombstone_expiry"
    """Key: message id.  A receipt's retention ends."""
    SEEN_EXPIRY = "seen_expiry"
    """Key: message id.  Forget a receipt."""
    PREKEY = "prekey"
    """No key.  Publish a new prekey, erase old ones."""
    SESSIONS = "sessions"
    """Key: NodeId.  Erase skipped keys and sessions that are due."""
    SLOT = "slot"
    """No key.  The next slot of the term begins."""
    HEARTBEAT = "heartbeat"
    """No key.  Show presence again at the record's start."""
    JOIN = "join"
    """No key.  Ask again for the record, or to be admitted."""
    INVITATION_EXPIRY = "invitation_expiry"
    """Key: token.  Forget an invitation."""
    CONVERSATION = "conversation"
    """Key: id of a conversation subnet.  Erase it, nothing was sent in it."""
    MESH = "mesh"
    """No key.  See that the links of the mesh are held."""
    REDIAL = "redial"
    """Key: NodeId.  Try to link a relay again."""


Entry = tuple[Timer, bytes]


class Timers:
    """A table of deadlines in ms, keyed by what they are for."""

    def __init__(self) -> None:
        """Start with no deadline."""
        self._deadlines: dict[Entry, int] = {}
        self._heap: list[tuple[int, Entry]] = []
        self._held: frozenset[Timer] = frozenset()

    def hold(self, kinds: frozenset[Timer]) -> None:
        """From now on nothing of these kinds is due; with no kinds, everything is again when its time is."""
        self._held = kinds
        self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(when, what) for what, when in self._deadlines.items() if what[0] not in self._held]
        heapq.heapify(self._heap)

    def set(self, timer: Timer, key: bytes, deadline: int) -> None:
        """Set or move a deadline."""
        entry = (timer, key)
        if self._deadlines.get(entry) != deadline:
            self._deadlines[entry] = deadline
            if timer not in self._held:
                heapq.heappush(self._heap, (deadline, entry))
            if len(self._heap) > 64 + 2 * len(self._deadlines):
                self._rebuild()

    def cancel(self, timer: Timer, key: bytes) -> None:
        """Remove a deadline, if it is set."""
        self._deadlines.pop((timer, key), None)

    def next_deadline(self) -> int | None:
        """The earliest deadline in ms of those that aren't held back, or ``None``."""
        while self._heap and self._deadlines.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due_of(self, timers: frozenset[Timer], now: int) -> list[Entry]:
        """Remove and return the deadlines of some kinds at or before ``now``, earliest first."""
        due: list[Entry] = []
        others: list[tuple[int, Entry]] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            found = heapq.heappop(self._heap)
            if found[1][0] in timers:
                del self._deadlines[found[1]]
                due.append(found[1])
            else:
                others.append(found)
        for other in others:
            heapq.heappush(self._heap, other)
        return due

    def due(self, now: int) -> Iterator[Entry]:
        """Yield and remove every deadline at or before ``now``, earliest first."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, entry = heapq.heappop(self._heap)
            del self._deadlines[entry]
            yield entry
