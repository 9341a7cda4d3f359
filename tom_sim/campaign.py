"""Many runs: one for each seed, in several processes, one row of figures for each.

Where the runs take place is a scheduler's business: a Dask cluster on this computer, one at an address, or
plain processes.  A broken promise is a row like any other, with the text that repeats it.
"""

from __future__ import annotations

import csv
import importlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import asdict, evolve, fields, frozen

from tom_ref.errors import LocalError
from tom_sim.simulation import BrokenPromiseError, Outcome, Setup, play

PLAIN: Final = "none"
"""Plain processes, without a scheduler."""

LOCAL: Final = "local"
"""A Dask cluster on this computer."""


class CampaignError(LocalError):
    """A campaign can't be run; the text says what to do."""


@frozen
class Row:
    """What one run did."""

    seed: int
    nodes: int
    liars: int
    terms: int
    forks: int
    sent: int
    delivered: int
    expired: int
    latency_50: int
    """ms: half of the messages were shown within this time."""
    latency_95: int
    latency_99: int
    crashes: int
    steps: int
    frames: int
    checks: int
    """How often the promises that need a calm were checked."""
    hours: float
    """Virtual time."""
    seconds: float
    """Real time."""
    digest: str
    """Of everything that happened: the same on every machine."""
    broken: str = ""
    """The promise that was broken; empty when all held."""
    story: str = ""
    """What went before, and the command that repeats it."""


def percentile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least this share of all is not above; 0 for none."""
    if not values:
        return 0
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]


def row_of(outcome: Outcome, seconds: float) -> Row:
    """The figures of a run."""
    return Row(
        outcome.setup.seed,
        outcome.setup.nodes,
        len(outcome.liars),
        outcome.terms,
        outcome.forks,
        outcome.sent,
        outcome.delivered,
        outcome.expired,
        percentile(outcome.latencies, 0.5),
        percentile(outcome.latencies, 0.95),
        percentile(outcome.latencies, 0.99),
        outcome.crashes,
        outcome.steps,
        outcome.frames,
        outcome.checks,
        round(outcome.hours, 3),
        round(seconds, 2),
        outcome.digest,
    )


SomeSetup = TypeVar("SomeSetup", bound=Setup)
What = TypeVar("What")
Made = TypeVar("Made")


def run_one(setup: Setup) -> Row:
    """One run, whatever comes of it."""
    started = time.monotonic()
    try:
        return row_of(play(setup), time.monotonic() - started)
    except BrokenPromiseError as error:
        nothing = row_of(Outcome(setup, error.faults), time.monotonic() - started)
        return evolve(nothing, broken=error.promise, story=error.text)


def setups(first: int, end: int, like: SomeSetup) -> Iterator[SomeSetup]:
    """One set-up for each seed from ``first`` up to but not including ``end``."""
    for seed in range(first, end):
        yield evolve(like, seed=seed)


def run(what: Iterable[What], *, scheduler: str, workers: int, one: Callable[[What], Made]) -> Iterator[Made]:
    """The rows of all runs as they come in, in any order; ``one`` makes a row of a set-up.

    ``scheduler`` is :data:`PLAIN`, :data:`LOCAL` or the address of a Dask scheduler.  Raises
    :class:`CampaignError` when it can't be used.
    """
    if scheduler == PLAIN:
        with ProcessPoolExecutor(workers) as pool:
            for done in as_completed([pool.submit(one, setup) for setup in what]):
                yield done.result()
        return
    yield from _run_on_dask(list(what), scheduler, workers, one)


def _run_on_dask(
    what: list[What], scheduler: str, workers: int, one: Callable[[What], Made]
) -> Iterator[Made]:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise CampaignError(
            "Dask isn't installed: pip install 'tom-ref[sim]', or use --scheduler none."
        ) from error
    try:
        client: Any = (
            distributed.Client(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=50,
            )
            if scheduler == LOCAL
            else distributed.Client(scheduler, timeout="4s")
        )
    except (OSError, ValueError, TimeoutError) as error:
        raise CampaignError(f"The scheduler {scheduler} can't be used: {error}") from error
    with client:
        futures = client.map(one, what, pure=False)
        for _, row in distributed.as_completed(futures, with_results=True):
            yield row


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """All rows, of one kind, by seed, with a line of names; stories are left out."""
    names = [field.name for field in fields(type(rows[0])) if field.name != "story"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in sorted(rows, key=lambda row: row.seed):
            writer.writerow(asdict(row))
