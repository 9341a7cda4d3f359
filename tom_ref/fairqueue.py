"""Fair queues: what waits for a busy link leaves in turns by where it came from (TOM-BALANCE-014, 015).

Deficit round robin (Shreedhar and Varghese, 1995): every source with something waiting is visited in turn and
may send ``QUANTUM`` bytes more than last time; what it doesn't use it keeps for its next turn.  So each
source gets the same number of bytes, whatever the sizes of its messages, and one that floods delays itself.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

from attrs import define, field

from tom_ref import constants

Item = TypeVar("Item")

QUANTUM: Final = 65_536
"""bytes: what a source may send more at each of its turns; a few ordinary messages."""


@define
class _Source(Generic[Item]):
    """What one neighbour has waiting for a link."""

    waiting: deque[tuple[int, Item]] = field(factory=deque)
    size: int = 0
    deficit: int = 0
    """Bytes it may send before its next turn."""


class FairQueue(Generic[Item]):
    """What waits for one link, at most ``MAX_QUEUED_BYTES`` and ``MAX_QUEUED`` items."""

    def __init__(self) -> None:
        """Start empty."""
        self._sources: dict[bytes, _Source[Item]] = {}
        self._turns: deque[bytes] = deque()
        self._size = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def push(self, source: bytes, item: Item, size: int) -> list[Item]:
        """Let an item of ``size`` bytes wait; returns what is to be refused so that all fits.

        The newest items of the source that has most bytes waiting go first; that can be this very item.
        """
        held = self._sources.get(source)
        if held is None:
            held = self._sources[source] = _Source()
            self._turns.append(source)
        held.waiting.append((size, item))
        held.size += size
        self._size += size
        self._count += 1
        refused = []
        while self._size > constants.MAX_QUEUED_BYTES or self._count > constants.MAX_QUEUED:
            longest = max(self._sources, key=lambda known: self._sources[known].size)
            refused.append(self._take(longest, newest=True))
        return refused

    def pop(self) -> Item | None:
        """The item whose turn it is; ``None`` when nothing waits."""
        while self._turns:
            source = self._turns[0]
            held = self._sources[source]
            size = held.waiting[0][0]
            if size <= held.deficit:
                held.deficit -= size
                return self._take(source, newest=False)
            held.deficit += QUANTUM
            self._turns.rotate(-1)
        return None

    def clear(self) -> list[Item]:
        """Everything that waits, when the link is gone."""
        items = [item for held in self._sources.values() for _, item in held.waiting]
        self._sources.clear()
        self._turns.clear()
        self._size = self._count = 0
        return items

    def _take(self, source: bytes, *, newest: bool) -> Item:
        held = self._sources[source]
        size, item = held.waiting.pop() if newest else held.waiting.popleft()
        held.size -= size
        self._size -= size
        self._count -= 1
        if not held.waiting:
            # Who has nothing waiting saves nothing up for later.
            del self._sources[source]
            self._turns.remove(source)
        return item
