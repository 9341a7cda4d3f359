"""A run as a list of steps of the model ``TermKnow`` (``tla/roles``), so that TLC can say whether it is one.

Each validator's term is looked at after each of its steps; what changed is told in the model's words: a clock
that enters the next slot, a block proposed, a vote, a block learnt to be notarized, a record adopted, a
restart.  A step that writes counts from when it is on the disk: what a crash cut short never was.

``python -m tla.runner validate FILE`` reads what is written here, one JSON object a line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, TextIO

from attrs import define, field

from tom_ref.effects import Change, Effect, Persist
from tom_ref.inputs import Input
from tom_ref.records import block_hash
from tom_ref.term import Term
from tom_sim.promises import Observer
from tom_sim.world import Host

FORMAT: Final = 1
MOST_TERMS: Final = 10_000
"""count: terms whose clocks are remembered; a longer run forgets the oldest."""

Event = dict[str, Any]


@define
class _Seen:
    """What is known of one validator's term since it was last looked at."""

    term: Term
    incarnation: int
    notarized: set[bytes] = field(factory=set)
    votes: set[bytes] = field(factory=set)
    adopted: bool = False


class TermLog(Observer):
    """Writes the log of a run in which nobody lies: two blocks of a slot are not what it can tell."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._seen: dict[int, _Seen] = {}
        self._clocks: dict[bytes, dict[int, int]] = {}
        """By present record: the slot that each validator's clock is in."""
        self._waiting: dict[int, list[Event]] = {}
        """By computer: what is not on its disk yet."""
        self._write({"format": FORMAT, "model": "TermKnow"})

    def _write(self, event: Event) -> None:
        self._stream.write(json.dumps(event, separators=(",", ":")) + "\n")

    # --- what a world tells -------------------------------------------------------------------------------

    def stepped(self, host: Host, what: Input, effects: Sequence[Effect]) -> None:
        """After each step of a node."""
        if host.node is None:
            return
        events = self._changes(host, host.node.term)
        waiting = self._waiting.get(host.index, [])
        if waiting or (effects and type(effects[0]) is Persist):
            self._waiting[host.index] = [*waiting, *events]
        else:
            self._emit(events)

    def wrote(self, host: Host, changes: Sequence[Change]) -> None:
        """What waited for the disk is on it."""
        self._emit(self._waiting.pop(host.index, []))

    def crashed(self, host: Host) -> None:
        """What isn't on the disk never was."""
        self._waiting.pop(host.index, None)

    def _emit(self, events: Sequence[Event]) -> None:
        for event in events:
            self._write(event)

    # --- what changed -------------------------------------------------------------------------------------

    def _changes(self, host: Host, term: Term | None) -> list[Event]:
        seen = self._seen.get(host.index)
        events: list[Event] = []
        again = seen is not None and seen.incarnation != host.incarnation
        if seen is not None and not again:
            events += self._of(host, seen)
        if term is None or (seen is not None and term is seen.term):
            return events
        events += self._begins(host, term)
        fresh = self._seen[host.index] = _Seen(term, host.incarnation)
        same = again and seen is not None and seen.term.present == term.present
        if same and host.id in term.roles.validators:
            back = self._event("Restart", host, term)
            if term._own_votes:  # noqa: SLF001
                # It has voted already in its first step; ``lock`` may have risen with that vote.
                back["last"] = term._restored_slot  # noqa: SLF001
            events.append(back)
        return events + self._of(host, fresh)

    def _begins(self, host: Host, term: Term) -> list[Event]:
        """The term itself, when it is first seen."""
        if term.present in self._clocks:
            return []
        self._clocks[term.present] = {}
        if len(self._clocks) > MOST_TERMS:
            del self._clocks[next(iter(self._clocks))]
        return [
            {
                "name": "Term",
                "term": term.record.term,
                "present": term.present.hex(),
                "validators": [node.hex() for node in term.roles.validators],
                "quorum": term.roles.quorum,
            }
        ]

    def _event(self, name: str, host: Host, term: Term, block: int = 0, parent: int = 0) -> Event:
        return {
            "name": name,
            "present": term.present.hex(),
            "node": host.id.hex(),
            "block": block,
            "parent": parent,
            "slot": self._clocks.get(term.present, {}).get(host.index, 0),
            "last": term.last_slot,
            "lock": term.locked_height,
        }

    def _of(self, host: Host, seen: _Seen) -> list[Event]:
        """What a validator did in its term; a slot names the block of it."""
        term, events = seen.term, []
        clocks = self._clocks.get(term.present)
        if clocks is None or host.id not in term.roles.validators or seen.adopted:
            return []
        while clocks.get(host.index, 0) < term._seen_slot:  # noqa: SLF001 - looked at, never changed
            clocks[host.index] = clocks.get(host.index, 0) + 1
            events.append(self._event("Tick", host, term))
        cast = term._own_votes - seen.votes  # noqa: SLF001
        seen.votes |= cast
        for late in (False, True):
            # A vote is cast on what is known before; it may itself make its block notarized.
            blocks = [block for block in term.tree if block.notarized]
            for block in sorted(blocks, key=lambda each: each.height):
                if block.hash not in seen.notarized and (block.hash in cast) is late:
                    seen.notarized.add(block.hash)
                    events.append(self._event("Learn", host, term, block.slot))
            voted = [] if late else [block for block in term.tree if block.hash in cast]
            for block in sorted(voted, key=lambda each: each.slot):
                parent = term.tree.slot_of(block.parent)
                if term.roles.leader(block.slot) == host.id:
                    events.append(self._event("Propose", host, term, block.slot, parent))
                events.append(self._event("Vote", host, term, block.slot, parent))
        if term.final is not None:
            seen.adopted = True
            events += [
                self._event("Learn", host, term, proven.header.slot)
                for proven in term.final.blocks
                if block_hash(proven.header) not in seen.notarized
            ]
            events.append(self._event("Adopt", host, term, term.final.blocks[0].header.slot))
        return events
