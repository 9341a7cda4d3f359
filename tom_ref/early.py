"""What comes over links before a node knows the time: kept in its order, within bounds (TOM-PURGE-049, 050).

A node that begins with a written reading of its purge clock takes part in nothing until two clocks agree
(TOM-PURGE-008).  A link measures its neighbour's clock right after it opened, without the node; what comes
over links until then waits here, and is taken up as if it came at that moment.
"""

from __future__ import annotations

from attrs import define, field

from tom_ref import constants
from tom_ref.inputs import FrameReceived, LinkUp


@define
class EarlyInputs:
    """Links that opened, and frames of theirs: ``MAX_EARLY_LINK`` bytes of each, ``MAX_EARLY`` of all."""

    _links: dict[int, LinkUp] = field(factory=dict)
    _sizes: dict[int, int] = field(factory=dict)
    _inputs: list[LinkUp | FrameReceived] = field(factory=list, repr=False)

    def holds(self, link: int) -> bool:
        """Whether a link waits here."""
        return link in self._links

    def peer_of(self, link: int) -> bytes | None:
        """The NodeId at the other end of a link that waits here."""
        waiting = self._links.get(link)
        return None if waiting is None else waiting.descriptor.node_id

    def opened(self, what: LinkUp) -> bool:
        """Keep an open link; ``False`` when there are too many."""
        if len(self._links) >= constants.MAX_LINKS:
            return False
        self._links[what.link] = what
        self._sizes[what.link] = 0
        self._inputs.append(what)
        return True

    def received(self, what: FrameReceived) -> bool:
        """Keep a frame of a link that waits here; ``False`` when there is no room."""
        size = self._sizes[what.link] + len(what.data) + constants.EARLY_FRAME_COST
        others = sum(self._sizes.values()) - self._sizes[what.link]
        if size > constants.MAX_EARLY_LINK or others + size > constants.MAX_EARLY:
            return False
        self._sizes[what.link] = size
        self._inputs.append(what)
        return True

    def drop(self, link: int) -> LinkUp:
        """Forget a link that waits here with everything that came over it."""
        del self._sizes[link]
        self._inputs = [what for what in self._inputs if what.link != link]
        return self._links.pop(link)

    def end(self) -> list[LinkUp | FrameReceived]:
        """Everything that waits, in its order; nothing is left."""
        inputs, self._inputs = self._inputs, []
        self._links.clear()
        self._sizes.clear()
        return inputs
