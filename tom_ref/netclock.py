"""Network time: this node's clock, set right by what its neighbours' clocks say.

Agreement rests on no clock (TOM-ROLES-030 to 034), but a slot, a date and the end of a lifetime do.  A single
neighbour can't move this node's time, and a minority of them moves it no further than the rest stand apart.
A reading that no other clock bears out changes nothing: with a single neighbour who says otherwise, or with
none at all, nobody can tell which clock is wrong.
"""

from __future__ import annotations

from attrs import define, field


@define
class NetworkClock:
    """Offsets of open links, and the median of the neighbours' and of this node's own clock (TOM-ROLES-129).

    A neighbour has one clock, however many links it opens.
    """

    eps: int
    """ms: the most by which an honest clock may be wrong."""
    _offsets: dict[int, tuple[bytes, int]] = field(factory=dict)
    """By link, the one measured last at the end: the neighbour's NodeId, and the offset in ms."""
    _offset: int = 0
    _known: bool = False
    _agreed: bool = False

    @property
    def offset(self) -> int:
        """What is added to this node's clock, in ms."""
        return self._offset

    @property
    def off(self) -> bool:
        """Whether this node's own clock is further than EPS from network time (TOM-ROLES-130)."""
        return abs(self._offset) > self.eps

    @property
    def known(self) -> bool:
        """Whether two clocks agreed at some time: the node has a raw network time (TOM-PURGE-008)."""
        return self._known

    @property
    def disputed(self) -> bool:
        """Whether clocks were measured, and no two agree."""
        return bool(self._offsets) and not self._agreed

    def measure(self, link: int, peer: bytes, offset: int, round_trip: int) -> None:
        """Take a neighbour's clock less this node's; one that took too long to say anything is dropped."""
        if round_trip <= 2 * self.eps:
            self._offsets.pop(link, None)
            self._offsets[link] = peer, offset
            self._settle()

    def forget(self, link: int) -> None:
        """A link is gone."""
        if self._offsets.pop(link, None) is not None:
            self._settle()

    def shift(self, by: int) -> None:
        """This node's own clock was set by so many ms: network time stays where it was (TOM-ROLES-137).

        Who never knew it has nothing better than the clock, and goes by that.
        """
        self._offsets = {link: (peer, offset - by) for link, (peer, offset) in self._offsets.items()}
        if self._known:
            self._offset -= by

    def _settle(self) -> None:
        """The median with this node's own clock as one; of the two in the middle, the one nearer to it.

        It counts when another clock is within 2 EPS of it; else the offset stays.
        """
        known = sorted([0, *dict(self._offsets.values()).values()])
        middle = len(known) // 2
        median = known[middle] if len(known) % 2 else min(known[middle - 1 : middle + 1], key=abs)
        self._agreed = sum(abs(offset - median) <= 2 * self.eps for offset in known) > 1
        if self._agreed:
            self._offset, self._known = median, True
