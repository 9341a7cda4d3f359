"""The real node as a world sees it: :class:`tom_ref.node.Node` with the names of :mod:`tom_sim.view`."""

from __future__ import annotations

from tom_ref.frames import Descriptor
from tom_ref.node import Node
from tom_ref.term import Term
from tom_sim.view import View, view_of_term


class Whole:
    """A real node; nothing is changed, some things are looked at."""

    __slots__ = ("next_deadline", "node", "step")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.step = node.step
        self.next_deadline = node.next_deadline

    @property
    def descriptor(self) -> Descriptor:
        """Its own descriptor."""
        return self.node.descriptor

    @property
    def next_handle(self) -> int:
        """A handle for the next message."""
        return self.node.next_handle

    @property
    def term(self) -> Term | None:
        """Its vote on the next record; ``None`` outside of any subnet."""
        return self.node.home.term

    @property
    def present(self) -> bytes:
        """Hash of the record that it holds; empty for none."""
        term = self.node.home.term
        return b"" if term is None else term.present

    @property
    def purge_clock(self) -> int | None:
        """The highest reading of its network time, in ms; ``None`` while it waits for one after a start."""
        return self.node._now if self.node.knows_time else None  # noqa: SLF001 - looked at, never changed

    @property
    def written(self) -> int:
        """What its purge clock goes on from while it waits, and reads when it doesn't, in ms."""
        return self.node._now  # noqa: SLF001 - looked at, never changed

    def time(self, device: int) -> int:
        """What its roles go by while its computer's clock says ``device``, in ms."""
        return max(self.node._now, device + self.node.clock_offset)  # noqa: SLF001 - looked at, never changed

    def view(self) -> View | None:
        """What it holds; ``None`` outside of any subnet."""
        term = self.node.home.term
        return None if term is None else view_of_term(term)
