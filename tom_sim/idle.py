"""A month of a network in which nobody writes any more: what its nodes keep doesn't grow with its age.

On the first day every application writes to every other, sometimes to a computer that is off; then nothing
happens but terms that pass, prekeys that are renewed and presence that is shown.  ``StoreFlat``: after the
days in which prekeys and sessions of the beginning are due, no store is larger on any day than on the last of
them, by more than what the present record varies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

from tom_ref.effects import Table
from tom_ref.timing import Timing
from tom_sim import memo
from tom_sim.faults import NONE
from tom_sim.forgetting import Forgetting
from tom_sim.promises import PromiseError
from tom_sim.purging import DAY, MINUTE, coarse, without_collections
from tom_sim.simulation import FOUNDED, HOUR, Setup, Simulation
from tom_sim.world import Host

SETTLED: Final = 4
"""count: days after which everything of the first is gone: prekeys and sessions live two days and a bit."""

SLACK: Final = 256
"""bytes: what a store varies from day to day: the proof of a record has a signature more or less."""

TIMING: Final = Timing(slot_ms=15 * MINUTE, term_ms=6 * HOUR, fork_ms=DAY, silence_ms=30 * MINUTE)


@frozen
class Month:
    """The most bytes that each node keeps on each day."""

    days: tuple[tuple[int, ...], ...]
    """By day and node; looked at once a slot."""
    terms: int
    messages: int
    digest: str


def size_of(host: Host) -> int:
    """The bytes of all keys and values in a computer's store.

    Without the block that it voted for last: one record, there while a vote is under way, overwritten by the
    next.
    """
    return sum(len(key) + len(value) for table, key, value in host.store.load() if table is not Table.TERM)


class Idle(Simulation):
    """A network that is used for a day."""

    def __init__(self, seed: int, nodes: int = 4) -> None:
        super().__init__(Setup(seed, nodes, faults=NONE, liars=0, timing=TIMING))
        self.forgetting = Forgetting(self.world, TIMING.eps, self.genesis.record.custody)
        self.promises.listeners.append(self.forgetting)
        self.traffic.clock = self.forgetting.reading

    def month(self, days: int, progress: Callable[[float], None]) -> Month:
        """Play it through; raises :class:`PromiseError`."""
        world = self.world
        for host in world.hosts:
            world.boot(host)
        world.run(FOUNDED)
        self._use()
        sizes: list[tuple[int, ...]] = []
        for day in range(1, days + 1):
            largest = [0] * len(world.hosts)
            for slot in range(DAY // TIMING.slot_ms):
                world.run(FOUNDED + (day - 1) * DAY + (slot + 1) * TIMING.slot_ms)
                largest = [max(most, size_of(host)) for most, host in zip(largest, world.hosts, strict=True)]
            sizes.append(tuple(largest))
            self._check_day(day, sizes)
            progress(day / days)
        return Month(
            tuple(sizes),
            self.promises.terms_ended,
            self.traffic.delivered + self.traffic.expired,
            world.digest(),
        )

    def _use(self) -> None:
        """The only day on which anybody writes."""
        world = self.world
        for host in world.hosts:
            for other in world.hosts:
                if host is not other:
                    begin = FOUNDED + (3 * host.index + other.index) * 20 * MINUTE
                    world.at(begin, self._say, host, other)
        last = world.hosts[-1]
        world.at(FOUNDED + 3 * HOUR, world.crash, last, 2 * HOUR)

    def _say(self, sender: Host, recipient: Host, *_: object) -> None:
        self.traffic.say(sender, recipient, ttl=6 * HOUR)

    def _check_day(self, day: int, sizes: list[tuple[int, ...]]) -> None:
        self.forgetting.search()
        if day <= SETTLED:
            return
        for host, now, before in zip(self.world.hosts, sizes[-1], sizes[SETTLED - 1], strict=True):
            if now > before + SLACK:
                raise PromiseError(
                    "StoreFlat",
                    f"node {host.index} keeps {now:,} bytes on day {day}, {before:,} on day {SETTLED}",
                )
        left = {Table.PENDING, Table.INBOX, Table.SEEN, Table.CUSTODY, Table.TOMBSTONE, Table.VERDICT}
        for host in self.world.hosts:
            found = {table.value for table, _, _ in host.store.load() if table in left}
            if found:
                raise PromiseError("StoreFlat", f"node {host.index} still keeps {', '.join(sorted(found))}")


def idle(seed: int, days: int, nodes: int = 4, progress: Callable[[float], None] = lambda _: None) -> Month:
    """A month, or as many days as are wanted; raises :class:`PromiseError` for a store that grows."""
    with memo.shared(), coarse(), without_collections():
        return Idle(seed, nodes).month(days, progress)
