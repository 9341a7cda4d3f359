"""What a node holds, in the words of the formal models."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from tom_ref.draft import Roles
from tom_ref.effects import Effect
from tom_ref.frames import Descriptor
from tom_ref.inputs import Input
from tom_ref.term import Term
from tom_ref.term_frames import TermRecord


class Simulated(Protocol):
    """What a world needs of a node."""

    @property
    def descriptor(self) -> Descriptor:
        """Its own descriptor."""

    @property
    def present(self) -> bytes:
        """Hash of the record that it holds; empty for none."""

    @property
    def term(self) -> Term | None:
        """Its vote on the next record; ``None`` outside of any subnet."""

    @property
    def next_handle(self) -> int:
        """A handle for the next message."""

    def step(self, what: Input, now: int) -> tuple[Effect, ...]:
        """Take one input at ``now``."""

    def next_deadline(self) -> int | None:
        """When to wake it."""

    def view(self) -> View | None:
        """What it holds; ``None`` outside of any subnet."""


@frozen
class View:
    """The variables of the Roles models, for one node."""

    record: TermRecord
    present: bytes
    """Hash of the present record."""
    roles: Roles
    """As the node computed them."""
    slot: int
    """The slot in which it last ran the rules."""
    last_slot: int
    """The last slot that it voted in."""
    notarized: frozenset[bytes]
    """Hashes of the blocks whose quorum it holds."""
    tip: bytes
    """The tip of its longest notarized chain."""

    def leader(self, slot: int) -> bytes:
        """Who leads a slot of the present term."""
        return self.roles.leader(slot)


def view_of_term(term: Term) -> View:
    """The view of a member, from its vote on the next record."""
    return View(
        term.record,
        term.present,
        term.roles,
        term._seen_slot,  # noqa: SLF001 - looked at, never changed
        term.last_slot,
        frozenset(),
        term.tree.tip,
    )
