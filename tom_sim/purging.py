"""A day of a network that forgets: recipients away for hours, roles that rotate, liars that keep and replay.

Everything of :mod:`tom_sim.simulation` holds here, and besides every promise of the chapter *Purge*
(:mod:`tom_sim.forgetting`).  A day has twelve rounds of two hours, a storm and a calm each; one computer
after the other is switched off for hours, while the others write to it; in half of the runs one leaves for
good.  No message is written that could outlive the day, so that at its end no honest store may have a trace
of any.

A computer's own clock may be wrong by minutes, days or decades when it starts, and right at the next start:
it has to wait for its neighbours then (:attr:`PurgeSetup.wrong`).

A day takes a second or two, because terms are long and because nodes look after what waits for somebody every
ten minutes instead of every fifteen seconds (:data:`COARSE`): what they do then is the same.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from attrs import asdict, evolve, frozen

from tom_ref import constants
from tom_ref.drivers.store import MemoryStore
from tom_ref.inputs import Route
from tom_ref.timing import Timing
from tom_sim import campaign, liars, memo
from tom_sim.clocks import BEGIN
from tom_sim.faults import Faults
from tom_sim.forgetting import Forgetting
from tom_sim.hoarder import Hoarder
from tom_sim.promises import PromiseError
from tom_sim.simulation import FOUNDED, HOUR, BrokenPromiseError, Outcome, Setup, Simulation
from tom_sim.world import Host

MINUTE: Final = 60_000
ROUND: Final = 2 * HOUR
DAY: Final = 24 * HOUR

LAST: Final = 22 * HOUR
"""ms: no message of the day lives longer, and the evidence for its credit goes with the term after."""

PATIENCE: Final = 25 * MINUTE
"""ms: within which a holder and a recipient that are both on, in a calm, are through with a message."""

TTLS: Final = (10 * MINUTE, HOUR, 3 * HOUR, 8 * HOUR, 20 * HOUR)
"""ms: lifetimes of messages."""

TIMING: Final = Timing(slot_ms=8 * MINUTE, term_ms=150 * MINUTE, fork_ms=DAY, silence_ms=15 * MINUTE)
"""Terms of two and a half hours; a network whose quorum is away waits for it."""

COARSE: Final[Mapping[str, int]] = {"RETRY_FIRST": 30_000, "RETRY_MAX": 10 * MINUTE}
"""ms: how often nodes look after what waits."""

KINDS: Final[Mapping[str, type[liars.Lying]]] = {**liars.KINDS, Hoarder.name: Hoarder}
"""What a liar may do here."""

WRONG: Final = (10 * MINUTE, 12 * HOUR, 10 * DAY, 365 * DAY)
"""ms: up to how much a clock is wrong at a start; some begin in 1970 instead."""

WRONG_SHARES: Final = (0.0, 0.3, 0.8)
"""The chance of a start to be such a one, on a day."""

DRAWN: Final = ("hoarder", "hoarder", "hoarder", "tamperer", "withholder", "liar about time")
"""What it is drawn from."""


@contextmanager
def coarse() -> Iterator[None]:
    """Within this context nodes look after waiting messages less often."""
    kept = {name: getattr(constants, name) for name in COARSE}
    for name, value in COARSE.items():
        setattr(constants, name, value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(constants, name, value)


def drawn(chance: random.Random) -> Faults:
    """The weather of a day."""
    return Faults(
        loss=chance.choice([0.0, 0.02, 0.1, 0.25]),
        repetition=chance.choice([0.0, 0.05, 0.2]),
        latency=chance.choice([20, 100, 400, 1_500]),
        spike=chance.choice([0.0, 0.02, 0.1]),
        late=chance.choice([8_000, 30_000]),
        crashes=chance.choice([0.0, 0.2, 1.0]),
        away=chance.choice([2_000, 30_000, 300_000]),
        cuts=chance.choice([0.0, 0.5, 3.0]),
        partitions=chance.choice([0.0, 0.2, 0.5]),
        apart=chance.choice([120_000, 900_000]),
        skew=chance.choice([0, 500, 2_400, 4_800]),
        steps=chance.choice([0.0, 0.5]),
        disk=chance.choice([0, 20]),
        storm=chance.choice([0.4, 0.6]),
    )


@frozen
class PurgeSetup(Setup):
    """What a day is: with the same set-up every day is the same."""

    nodes: int = 6
    timing: Timing = TIMING
    wrong: float | None = None
    """Chance of a start with a wrong clock; drawn if ``None``, or 0 when the faults are given."""

    def command(self) -> str:
        """The command that repeats this day."""
        text = f"tom sim purge --seed {self.seed} --nodes {self.nodes}"
        if self.liars is not None:
            text += f" --liars {self.liars}"
        if self.liar_kind is not None:
            text += f" --liar-kind '{self.liar_kind}'"
        return text


@frozen
class PurgeRow(campaign.Row):
    """What a day did."""

    copies: int = 0
    """Copies that were written to a disk, senders' own among them."""
    by_receipt: int = 0
    """Copies that a receipt replaced."""
    by_expiry: int = 0
    """Copies that expired."""
    receipts: int = 0
    """Receipts that were written to a disk."""
    forgotten: int = 0
    """Receipts that were erased at the end of their retention."""
    searches: int = 0
    """How often all stores were searched for what was past retention."""
    away: int = 0
    """How often a computer was switched off for hours."""
    left: int = 0
    """Computers that left for good."""
    wrong: int = 0
    """How often a computer started with a clock that was wrong by minutes, days or decades."""
    corrected: int = 0
    """How often such a one learned the time from its neighbours."""


def _nobody(_: float) -> None:
    """Nobody wants to know how far a day is."""


class Purging(Simulation):
    """One day of a :class:`PurgeSetup`."""

    def __init__(self, setup: PurgeSetup, progress: Callable[[float], None] = _nobody) -> None:
        super().__init__(setup, progress)
        self.forgetting = Forgetting(self.world, setup.timing.eps, self.genesis.record.custody)
        self.promises.listeners.append(self.forgetting)
        self.traffic.clock = self.forgetting.said
        self.away = 0
        self.wrong = self.corrected = 0
        self._clocks = self.streams.chance("wrong clocks")
        drawn_share = self._clocks.choice(WRONG_SHARES)
        share = setup.wrong if setup.faults is not None or setup.wrong is not None else drawn_share
        # With a liar about time two of three clocks would be wrong: more than the median can bear.
        lying = liars.TimeLiar.name in self.outcome.liars.values()
        self._wrong_share = 0.0 if share is None or lying else share
        self._wrong_now: set[int] = set()
        self.world.before_boot = self._draw_clock
        self.forgetting.learned = self._learned

    # --- set-up -------------------------------------------------------------------------------------------

    def weather(self) -> Faults:
        """The weather of a day."""
        return drawn(self.streams.chance("weather"))

    def _choose_liars(self) -> None:
        chance = self.streams.chance("liars")
        most = (self.setup.nodes - 1) // 3
        count = (chance.random() < 0.8) * most if self.setup.liars is None else self.setup.liars
        for index in sorted(chance.sample(range(self.setup.nodes), count)):
            host, branch = self.world.hosts[index], self.streams.chance("liar", index)
            kind = branch.choice(DRAWN) if self.setup.liar_kind is None else self.setup.liar_kind
            host.liar = KINDS[kind](self.world, host, branch)
            self.outcome.liars[index] = kind

    def _plan(self) -> None:
        """Who is away when, who writes to whom, and who leaves."""
        chance, world, honest = self.streams.chance("day"), self.world, self.honest
        now = HOUR
        while now < DAY - 3 * HOUR:
            host = chance.choice(honest)
            length = int(chance.uniform(0.5, 5.0) * HOUR)
            world.at(now, self._switch_off, host, length)
            for _ in range(chance.randint(1, 4)):
                self._plan_message(chance, now + chance.randrange(length), host)
            now += int(length * chance.uniform(0.7, 1.1))
        for _ in range(12):
            self._plan_message(chance, chance.randrange(FOUNDED, LAST), chance.choice(honest))
        if len(honest) > 4 and chance.random() < 0.5:
            world.at(int(chance.uniform(4, 18) * HOUR), self._leave, chance.choice(honest))

    def _plan_message(self, chance: random.Random, when: int, recipient: Host) -> None:
        lifetimes = [ttl for ttl in TTLS if when + ttl < LAST]
        sender = chance.choice([host for host in self.honest if host is not recipient])
        route = Route.DIRECT_FIRST if chance.random() < 0.2 else Route.RELAY_FIRST
        if lifetimes:
            self.world.at(when, self._write, sender, recipient, route, chance.choice(lifetimes))

    def _write(self, sender: Host, recipient: Host, route: Route, ttl: int) -> None:
        self.traffic.say(sender, recipient, route=route, ttl=ttl)

    def _switch_off(self, host: Host, length: int) -> None:
        if host.node is not None and host.index not in self.forgetting.lost:
            self.away += 1
            self.world.crash(host, length)

    def _leave(self, host: Host) -> None:
        """A computer is gone for good, and its disk with it."""
        host.gone = True
        self.world.crash(host, DAY)
        host.store = MemoryStore()
        self.forgetting.leave(host)

    def _draw_clock(self, host: Host) -> None:
        """What a computer's clock says when it starts: wrong, or right after it was wrong."""
        if host.liar is not None:
            return
        chance, skew = self._clocks, self.faults.skew
        was_wrong = host.index in self._wrong_now
        self._wrong_now.discard(host.index)
        most = (self.setup.nodes - 1) // 2
        if host.incarnation > 1 and len(self._wrong_now) < most and chance.random() < self._wrong_share:
            others = [other.clock.offset for other in self.world.hosts if other is not host]
            offset = self._wrong_offset(chance)
            while any(abs(offset - other) < MINUTE for other in others):
                offset = self._wrong_offset(chance)
            host.clock.restart(offset)
            self._wrong_now.add(host.index)
            self.wrong += 1
        elif was_wrong:
            host.clock.restart(chance.randint(-skew, skew))

    def _learned(self, host: Host) -> None:
        self.corrected += host.index in self._wrong_now

    def _wrong_offset(self, chance: random.Random) -> int:
        """By how many ms a clock is wrong; never by so little that it might be right."""
        if chance.random() < 0.1:
            return -BEGIN
        return chance.choice((-1, 1)) * chance.randint(2 * MINUTE, chance.choice(WRONG))

    def _set_clock(self, host: Host) -> None:
        if host.index in self._wrong_now:
            return
        super()._set_clock(host)
        self.world.later(self._storms.randint(1, 30_000), self.world.measure, host)

    # --- the day ------------------------------------------------------------------------------------------

    def _play(self) -> None:
        world = self.world
        for host in world.hosts:
            world.at(self._storms.randint(0, 5_000), world.boot, host)
        world.run(FOUNDED)
        self._plan()
        for begin in range(0, DAY, ROUND):
            self.progress(begin / DAY)
            storm = int(ROUND * self.faults.storm)
            self._begin_storm(world.now, storm)
            world.run(FOUNDED + begin + storm)
            self._end_storm()
            world.run(FOUNDED + begin + ROUND)
            self._check_calm()
        self._check_end()

    def _check_calm(self) -> None:
        """Who reaches a recipient has delivered; nothing past retention is anywhere; nothing is orphaned."""
        self.outcome.checks += 1
        self.forgetting.check_orphans()
        self.forgetting.search()
        for host in self.honest:
            self.promises.require(
                "KnowsTheTime",
                self._knows(host, self.world.now) or not self._could_know(host),
                f"node {host.index} still waits for the time, though most clocks that it sees are right",
            )
        for letter in self.forgetting.undelivered(self._reach):
            if letter.born <= self.world.now - PATIENCE:
                waits = f"{letter} waits, though a holder reaches its recipient"
                raise PromiseError("DeliveredInTime", waits)

    def _reach(self, one: int, other: int) -> bool:
        """Whether two computers have been on, in a calm, for as long as a delivery takes, in one subnet."""
        ends = [self.world.hosts[index] for index in (one, other)]
        latest = self.world.now - PATIENCE
        views = [host.node.view() for host in ends if host.node is not None and host.on_since <= latest]
        return (
            self._calm_since <= latest
            and len(views) == 2
            and views[0] is not None
            and views[1] is not None
            and views[0].record.subnet == views[1].record.subnet
            and all(self._knows(host, latest) for host in ends)
        )

    def _knows(self, host: Host, since: int) -> bool:
        """Whether a computer is on and has known the time since then."""
        known = self.forgetting.knows_since(host)
        return known is not None and known <= since

    def _could_know(self, host: Host) -> bool:
        """Whether it has been on, in a calm, and most of the clocks that it sees, its own too, are right."""
        latest = self.world.now - PATIENCE
        ends = [channel.other for channel in host.channels.values() if channel.other is not None]
        seen = {host.index, *(end.host.index for end in ends)}
        right = len(seen - self._wrong_now)
        return max(host.on_since, self._calm_since) <= latest and right >= 2 and 2 * right > len(seen)

    def _check_end(self) -> None:
        """EventuallyErased: the day's messages are past retention; no honest node that is on has any."""
        for host in self.honest:
            if host.node is not None:
                letters = self.forgetting.letters.values()
                held = [str(one) for one in letters if host.index in one.tombs or host.index in one.copies]
                self.promises.require(
                    "EventuallyErased", not held, f"node {host.index} still keeps {', '.join(held)}"
                )

    def row(self, seconds: float) -> PurgeRow:
        """The figures of the day, once it is over."""
        row = campaign.row_of(self._finish(), seconds)
        left = len(self.forgetting.lost)
        counts = asdict(self.forgetting.counts)
        return PurgeRow(
            **asdict(row), **counts, away=self.away, left=left, wrong=self.wrong, corrected=self.corrected
        )


@contextmanager
def without_collections() -> Iterator[None]:
    """A day makes few cycles; looking for them costs a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def play(setup: PurgeSetup, progress: Callable[[float], None] = _nobody) -> PurgeRow:
    """One day; raises :class:`BrokenPromiseError` for a promise that is broken."""
    started = time.monotonic()
    with memo.shared(), coarse(), without_collections():
        day = Purging(setup, progress)
        day.run()
        return day.row(time.monotonic() - started)


def run_one(setup: PurgeSetup) -> PurgeRow:
    """One day, whatever comes of it."""
    started = time.monotonic()
    try:
        return play(setup)
    except BrokenPromiseError as error:
        nothing = campaign.row_of(Outcome(setup, error.faults), time.monotonic() - started)
        return PurgeRow(**asdict(evolve(nothing, broken=error.promise, story=error.text)))
