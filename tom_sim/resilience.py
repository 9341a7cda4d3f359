"""Many nodes are lost at once, for good: what comes of the messages between the survivors.

Real nodes with the durations of ToM/1 on virtual time.  A share of them is switched off in the middle of a
term: nothing is said any more, no link is closed, so that the others notice only when their links hear
nothing for ``IDLE_TIMEOUT``, as a real link does.  The survivors go on writing to each other at a steady
rate.  All other promises are watched as in every run (:mod:`tom_sim.promises`).
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import asdict, evolve, field, fields, frozen

from tom_ref.constants import IDLE_TIMEOUT, PING_INTERVAL
from tom_ref.timing import Timing
from tom_sim import campaign, memo
from tom_sim.campaign import percentile
from tom_sim.faults import NONE
from tom_sim.simulation import FOUNDED, BrokenPromiseError, Setup, Simulation
from tom_sim.traffic import Sent
from tom_sim.world import Host

SIZES: Final = (16, 32, 64)
LOSSES: Final = (10, 30, 50)
"""percent"""

NORMAL_WITHIN: Final = 5_000
"""ms: a message that is shown within this time came as it comes on a good day."""

NORMAL_SHARE: Final = 0.99
"""Delivery is normal in a term in which at least this share of messages came so."""

MINUTE: Final = 60_000
_LAST_WORDS: Final = 180_000
"""ms: nobody writes in the last minutes, so that everything written has its time to arrive."""


def _nobody(_: float) -> None:
    """Nobody wants to know how far a run is."""


@frozen
class Loss:
    """One run: with the same values every run is the same."""

    seed: int
    nodes: int
    lost: int
    """percent of the nodes"""
    before: int = 1
    """Terms before the loss."""
    after: int = 6
    """Terms after it."""
    pause: int = 4_000
    """ms: from one message to the next."""
    timing: Timing = field(factory=Timing)

    def command(self) -> str:
        """The command that repeats this run."""
        return (
            f"tom sim resilience --nodes {self.nodes} --lost {self.lost} --seeds {self.seed}-{self.seed + 1}"
            f" --terms {self.after} --before {self.before} --pause {self.pause}"
        )


@frozen
class Minute:
    """The messages that were written in one minute."""

    nodes: int
    lost: int
    seed: int
    minute: int
    """Since the loss; below 0 before it."""
    sent: int
    delivered: int
    normal: int
    """Of these, those that were shown within ``NORMAL_WITHIN``."""
    latency_50: int
    """ms: half of those delivered were shown within this time."""
    latency_99: int


@frozen
class Result:
    """What came of one run."""

    nodes: int
    lost: int
    seed: int
    survivors: int
    sent: int
    """Messages between survivors, written after the loss."""
    delivered: int
    """Of these, those that were shown to their recipients."""
    slowest: int
    """ms: the longest time to delivery after the loss."""
    back_after: int
    """s: from the loss until delivery was normal, and stayed so to the end; -1 if it never was."""
    record_after: int
    """s: from the loss to the first record without the lost; -1 if there was none."""
    forks: int
    term_s: int
    """s: the length of a term."""
    steps: int
    seconds: float
    """Real time."""
    minutes: tuple[Minute, ...] = ()
    broken: str = ""
    """The promise that was broken, with its story; empty when all held."""

    @property
    def share(self) -> float:
        """Of the messages between survivors written after the loss, those that were delivered."""
        return self.delivered / self.sent if self.sent else 1.0


class LossRun(Simulation):
    """One run of a :class:`Loss`."""

    def __init__(self, loss: Loss, progress: Callable[[float], None]) -> None:
        self.loss = loss
        setup = Setup(
            loss.seed,
            nodes=loss.nodes,
            terms=loss.before + loss.after,
            faults=NONE,
            liars=0,
            messages=0,
            timing=loss.timing,
        )
        super().__init__(setup, progress, story=False)
        chance = self.streams.chance("loss", loss.lost)
        count = round(loss.nodes * loss.lost / 100)
        self.lost: Final = frozenset(chance.sample(range(loss.nodes), count))
        self.survivors: Final = [host for host in self.world.hosts if host.index not in self.lost]
        term = self.term_length
        self.at: Final = FOUNDED + loss.before * term + chance.randrange(term // 4, 3 * term // 4)
        """ms: when they are lost."""
        self.end: Final = self.at + loss.after * term
        self.record_at: int | None = None
        self._chance = chance

    def _play(self) -> None:
        world, loss = self.world, self.loss
        boots = self.streams.chance("boots")
        for host in world.hosts:
            world.at(boots.randint(0, 5_000), world.boot, host)
        for when in range(FOUNDED, self.end - _LAST_WORDS, loss.pause):
            world.at(when, self._say_something)
        world.at(self.at, self._lose)
        for now in range(0, self.end, MINUTE // 2):
            world.run(min(now + MINUTE // 2, self.end))
            self.progress(min(now / self.end, 1.0))
            self._look_for_record()
        self._check_survivors()

    def _say_something(self) -> None:
        sender, recipient = self._chance.sample(self.survivors, 2)
        self.traffic.say(sender, recipient)

    def _lose(self) -> None:
        for index in sorted(self.lost):
            self.world.switch_off(self.world.hosts[index], self._notice)

    def _notice(self) -> int:
        """When an end is noticed: nothing was heard for so long, and a ping came not too long before."""
        return IDLE_TIMEOUT - self._chance.randrange(PING_INTERVAL)

    def _look_for_record(self) -> None:
        """Whether all survivors hold a record that lists none of the lost."""
        if self.record_at is not None or self.world.now < self.at or not self.lost:
            return
        gone = {self.world.hosts[index].id for index in self.lost}
        if all(self._without(host, gone) for host in self.survivors):
            self.record_at = self.world.now

    @staticmethod
    def _without(host: Host, gone: set[bytes]) -> bool:
        view = host.node.view() if host.node is not None else None
        return view is not None and not gone.intersection(
            member.node for member in view.record.roster if member.absent == 0
        )

    def _check_survivors(self) -> None:
        """At the end the survivors are one subnet."""
        held = {host.node.view().record.subnet for host in self.survivors}  # type: ignore[union-attr]
        self.promises.require("EventuallyFinal", len(held) == 1, f"the survivors are in {len(held)} subnets")

    # --- figures ------------------------------------------------------------------------------------------

    def result(self, seconds: float) -> Result:
        """The figures of the run."""
        loss = self.loss
        taken = [message for message in self.traffic.sent if message.taken]
        after = [message for message in taken if message.asked_at >= self.at]
        delivered = [latency(message) for message in after if message.shown_at is not None]
        minutes = tuple(self._minutes(taken))
        return Result(
            loss.nodes,
            loss.lost,
            loss.seed,
            len(self.survivors),
            len(after),
            len(delivered),
            max(delivered, default=0),
            self._back_after(after),
            -1 if self.record_at is None else (self.record_at - self.at) // 1_000,
            self.promises.forks,
            loss.timing.term_ms // 1_000,
            self.world.steps,
            round(seconds, 1),
            minutes,
        )

    def _minutes(self, taken: Sequence[Sent]) -> Iterator[Minute]:
        by_minute: dict[int, list[Sent]] = {}
        for message in taken:
            by_minute.setdefault((message.asked_at - self.at) // MINUTE, []).append(message)
        for minute, messages in sorted(by_minute.items()):
            latencies = [latency(message) for message in messages if message.shown_at is not None]
            yield Minute(
                self.loss.nodes,
                self.loss.lost,
                self.loss.seed,
                minute,
                len(messages),
                len(latencies),
                sum(map(is_normal, messages)),
                percentile(latencies, 0.5),
                percentile(latencies, 0.99),
            )

    def _back_after(self, after: Sequence[Sent]) -> int:
        """s, in whole minutes: from the loss until every further term is normal; -1 if none ever was."""
        term = self.loss.timing.term_ms
        for begin in range(self.at, self.end - _LAST_WORDS, MINUTE):
            terms: dict[int, list[bool]] = {}
            for message in after:
                if message.asked_at >= begin:
                    terms.setdefault((message.asked_at - begin) // term, []).append(is_normal(message))
            if all(sum(normal) >= NORMAL_SHARE * len(normal) for normal in terms.values()):
                return (begin - self.at) // 1_000
        return -1


def latency(message: Sent) -> int:
    """How long it took from the application's request until the message was shown, in ms."""
    assert message.shown_at is not None
    return message.shown_at - message.asked_at


def is_normal(message: Sent) -> bool:
    """Whether a message came as on a good day."""
    return message.shown_at is not None and latency(message) <= NORMAL_WITHIN


def run_one(loss: Loss, progress: Callable[[float], None] = _nobody) -> Result:
    """One run, whatever comes of it."""
    started = time.monotonic()
    with memo.shared():
        run = LossRun(loss, progress)
        try:
            run.run()
        except BrokenPromiseError as error:
            return evolve(run.result(time.monotonic() - started), broken=error.text)
        return run.result(time.monotonic() - started)


def losses(seeds: range, sizes: Sequence[int], shares: Sequence[int], like: Loss) -> Iterator[Loss]:
    """One run for each size, share and seed, the large ones first, since they take longest."""
    for nodes in sorted(sizes, reverse=True):
        for lost in shares:
            for seed in seeds:
                yield evolve(like, seed=seed, nodes=nodes, lost=lost)


def run_many(what: Sequence[Loss], *, scheduler: str, workers: int) -> Iterator[Result]:
    """The results of all runs as they come in, as :func:`tom_sim.campaign.run` gives rows."""
    return campaign.run(what, scheduler=scheduler, workers=workers, one=run_one)


def table(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """For each size and share lost, over all seeds, the figures for people; the names first."""
    rows: list[tuple[str, ...]] = [
        (
            "nodes",
            "lost",
            "runs",
            "sent after the loss",
            "delivered",
            "slowest",
            "normal again after",
            "new record after",
        )
    ]
    keys = sorted({(result.nodes, result.lost) for result in results})
    for nodes, lost in keys:
        runs = [result for result in results if (result.nodes, result.lost) == (nodes, lost)]
        sent, delivered = (sum(getattr(run, name) for run in runs) for name in ("sent", "delivered"))
        rows.append(
            (
                str(nodes),
                f"{lost} %",
                str(len(runs)),
                f"{sent:,}",
                f"{100 * delivered / max(sent, 1):.2f} %",
                f"{max(run.slowest for run in runs) / 1_000:.0f} s",
                _terms([run.back_after for run in runs], runs[0].term_s),
                _terms([run.record_after for run in runs], runs[0].term_s).replace("never", "not in the run"),
            )
        )
    return rows


def _terms(seconds: Sequence[int], term: int) -> str:
    """The longest of some times, in terms."""
    return "never" if min(seconds) < 0 else f"{max(seconds) / term:.1f} terms"


def write_markdown(path: Path, rows: Sequence[Sequence[str]], command: str, *, numbers: bool = True) -> None:
    """A table as a fragment for a page, and the command that makes it."""
    lines = [
        f"<!-- made by {command} -->",
        "| " + " | ".join(rows[0]) + " |",
        "|" + ("---:|" if numbers else "---|") * len(rows[0]),
        *("| " + " | ".join(row) + " |" for row in rows[1:]),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """A line for each run."""
    names = [one.name for one in fields(Result) if one.name not in {"minutes", "broken", "seconds"}]
    rows = [asdict(result, recurse=False) for result in _sorted(results)]
    write_rows(path, names, rows)


def write_minutes(path: Path, results: Sequence[Result]) -> None:
    """A line for each minute of each run."""
    names = [one.name for one in fields(Minute)]
    write_rows(path, names, [asdict(minute) for result in _sorted(results) for minute in result.minutes])


def _sorted(results: Sequence[Result]) -> list[Result]:
    return sorted(results, key=lambda result: (result.nodes, result.lost, result.seed))


def write_rows(path: Path, names: Sequence[str], rows: Iterable[dict[str, object]]) -> None:
    """Rows as CSV, with a line of names; what has another name is left out."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
