"""Runs many instances, as many at once as there are workers, and judges each."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Self

from attrs import frozen
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from tla.runner.closure import library_of
from tla.runner.errors import Exit
from tla.runner.instances import Instance
from tla.runner.java import find_toolbox
from tla.runner.manifest import Pin, differences, pin_of, sha256_of
from tla.runner.output import ActionCount, Output
from tla.runner.tlc import PROCESSES, SMALL, Result, Verdict, run_instance

KIND_ORDER = {"main": 0, "refinement": 1, "liveness": 2, "induction": 3, "sweep": 4, "lemma": 5}


COVERAGE_STATES = 100_000
"""Instances up to this size run with coverage."""


@frozen
class Judged:
    """A result together with what is wrong with it."""

    instance: Instance
    result: Result
    pin: Pin
    complaints: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """As declared and as pinned."""
        return not self.complaints and not self.changes


@frozen
class Report:
    """All judged results of one command."""

    judged: tuple[Judged, ...]
    uncovered: tuple[str, ...]
    """``module: action`` for every action of a main model that was never taken."""
    seconds: float
    processor_seconds: float = 0.0
    """Of all TLC processes together: what the run costs, whatever else the machine does."""

    @property
    def exit(self) -> Exit:
        """The exit code that fits."""
        if any(
            one.result.verdict in (Verdict.BROKEN, Verdict.TIMEOUT, Verdict.ASSUMPTION) for one in self.judged
        ):
            return Exit.BROKEN
        if self.uncovered or not all(one.good for one in self.judged):
            return Exit.DIFFERENT
        return Exit.OK


def complaints_about(instance: Instance, result: Result) -> list[str]:
    """How a result differs from the declaration; a twin must fail with exactly the named property."""
    if result.verdict in (Verdict.BROKEN, Verdict.TIMEOUT, Verdict.ASSUMPTION):
        text = result.problems[0] if result.problems else result.verdict.value
        return [
            f"{result.verdict.value} after {result.seconds:.0f} s"
            if result.verdict is Verdict.TIMEOUT
            else text
        ]
    if instance.expect == "pass" and result.verdict is not Verdict.PASS:
        what = f"{result.violated} is violated" if result.violated else result.verdict.value
        return [f"expected to pass, but {what}"]
    if instance.expect == "violation":
        if result.verdict is Verdict.PASS:
            return [f"expected to violate {instance.violates}, but nothing is violated"]
        if result.violated != instance.violates:
            found = "a property TLC does not name" if result.violated == "?" else result.violated
            return [f"expected to violate {instance.violates}, but it is {found or result.verdict.value}"]
    return []


def wants_coverage(instances: Sequence[Instance], pins: Mapping[str, Pin]) -> set[str]:
    """Names of the instances to run with ``-coverage`` (which costs two fifths more time).

    Of every main module: those that say so; else all small passing ones, whatever their kind, as one
    leaves out what another is for; else the cheapest.
    """
    mains = {instance.module for instance in instances if instance.kind == "main"}
    chosen: set[str] = set()
    for module in mains:
        able = [
            instance
            for instance in instances
            if instance.module == module
            and instance.expect == "pass"
            and instance.mode == "check"
            and instance.coverage is not False
        ]
        told = [instance for instance in able if instance.coverage]
        small = [instance for instance in able if _size(instance, pins) <= COVERAGE_STATES]
        cheapest = sorted(able, key=lambda one: (_size(one, pins), one.name))[:1]
        chosen.update(instance.name for instance in told or small or cheapest)
    return chosen


def _size(instance: Instance, pins: Mapping[str, Pin]) -> int:
    pin = pins.get(instance.name)
    return pin.distinct if pin is not None else 1_000_000


def in_order(instances: Iterable[Instance], pins: Mapping[str, Pin]) -> list[Instance]:
    """The largest first, so that no core idles at the end; unknown ones by kind."""

    def key(instance: Instance) -> tuple[int, int, str]:
        pin = pins.get(instance.name)
        guess = 3_000_000 if instance.tier == "deep" else 100_000 if instance.kind in KIND_ORDER else 10_000
        return (-(pin.distinct if pin else guess), KIND_ORDER.get(instance.kind, 9), instance.name)

    return sorted(instances, key=key)


def is_small(instance: Instance, pin: Pin | None) -> bool:
    """Whether the run is likely to be over before the optimising compiler has paid for itself."""
    return pin.distinct < SMALL if pin is not None else instance.kind in ("witness", "twin", "smoke")


class Reporter:
    """Progress: a live display on a terminal, plain lines elsewhere."""

    def __init__(self, total: int, console: Console) -> None:
        self.console = console
        self.total = total
        self.done = 0
        self.live = console.is_terminal
        self._lock = threading.Lock()
        self._started: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._all: TaskID | None = None

    def __enter__(self) -> Self:
        if self.live:
            self._progress.start()
            self._all = self._progress.add_task("instances", total=self.total, note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self._progress.stop()

    def begin(self, name: str, expected: int | None) -> None:
        """An instance starts; ``expected`` distinct states, if known."""
        with self._lock:
            self._started[name] = time.monotonic()
            if self.live:
                self._tasks[name] = self._progress.add_task(name, total=expected, note="starting")

    def watch(self, name: str, output: Output) -> None:
        """New counts of a running instance."""
        note = f"{output.distinct or output.generated:,} states, depth {output.depth}"
        with self._lock:
            if self.live:
                self._progress.update(self._tasks[name], completed=output.distinct, note=note)
            elif time.monotonic() - self._started[name] > 5 and output.queue:
                self.console.print(f"        {name}: {note}", highlight=False)

    def end(self, name: str, text: str) -> None:
        """An instance ended."""
        with self._lock:
            self.done += 1
            if self.live:
                self._progress.remove_task(self._tasks.pop(name))
                if self._all is not None:
                    self._progress.update(self._all, completed=self.done)
            self.console.print(f"[{self.done}/{self.total}] {name}: {text}", markup=False, highlight=False)


def run_many(
    instances: Sequence[Instance],
    root: Path,
    pins: Mapping[str, Pin],
    *,
    workers: int,
    console: Console,
    compare: bool = True,
    coverage: bool = True,
    each: Callable[[Judged], None] | None = None,
) -> Report:
    """Run all instances and judge them, in the given order in the report.

    ``compare=False`` leaves the pins out of the judgement (for ``pin`` and for development).
    ``each`` gets every judgement as it falls.
    """
    find_toolbox()
    library = library_of(root)
    covered = wants_coverage(instances, pins) if coverage else set()
    begin = time.monotonic()
    spent = _children_seconds()
    done: dict[str, Judged] = {}
    with Reporter(len(instances), console) as reporter, ThreadPoolExecutor(max_workers=workers) as pool:

        def one(instance: Instance) -> Judged:
            pinned = pins.get(instance.name)
            # Before the run, so that an edit meanwhile shows as a change and is not pinned unseen.
            sha256 = sha256_of(instance, library)
            reporter.begin(instance.name, pinned.distinct if pinned else None)
            result = run_instance(
                instance,
                library,
                coverage=instance.name in covered,
                small=is_small(instance, pinned),
                watch=lambda output: reporter.watch(instance.name, output),
                heap_megabytes=4096 if instance.tier == "deep" else 2048,
            )
            found = pin_of(instance, result, sha256)
            complaints = complaints_about(instance, result)
            changes = differences(pinned, found) if compare else []
            judged = Judged(instance, result, found, tuple(complaints), tuple(changes))
            reporter.end(instance.name, sentence(judged))
            return judged

        pending: set[Future[Judged]] = {pool.submit(one, instance) for instance in in_order(instances, pins)}
        try:
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    judged = future.result()
                    done[judged.instance.name] = judged
                    if each is not None:
                        each(judged)
        except BaseException:
            for future in pending:
                future.cancel()
            PROCESSES.stop()
            raise
    report = tuple(done[instance.name] for instance in instances)
    uncovered = tuple(uncovered_actions(report, covered))
    return Report(report, uncovered, time.monotonic() - begin, _children_seconds() - spent)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def uncovered_actions(judged: Iterable[Judged], covered: set[str]) -> list[str]:
    """Actions that no run with ``-coverage`` of the same root module ever took.

    The action's witness counts as well, and so does a broken twin whose counterexample takes the
    action: some exist only where a rule is switched off, such as forgetting what must be on disk.
    """
    judged = list(judged)
    witnessed = {
        (one.instance.module_name, one.instance.witness_of)
        for one in judged
        if one.instance.kind == "witness" and not one.complaints
    }
    witnessed |= {
        (one.instance.module_name, state.action)
        for one in judged
        if one.instance.kind == "twin" and not one.complaints
        for state in one.result.trace
    }
    taken: dict[str, dict[tuple[str, str], int]] = {}
    for one in judged:
        if one.instance.name in covered and one.result.verdict is Verdict.PASS:
            counts = taken.setdefault(one.instance.module_name, {})
            for count in one.result.coverage:
                _add(counts, count)
    return [
        f"{root}: {module}!{action} is never taken"
        for root, counts in sorted(taken.items())
        for (module, action), number in sorted(counts.items())
        if number == 0 and (root, action) not in witnessed
    ]


def _add(counts: dict[tuple[str, str], int], count: ActionCount) -> None:
    key = (count.module, count.action)
    counts[key] = counts.get(key, 0) + count.taken


def sentence(judged: Judged) -> str:
    """One line about a result."""
    result = judged.result
    counts = f"{judged.pin.distinct:,} states, depth {result.depth}, {result.seconds:.1f} s"
    text = f"{_verdict_text(judged)}, {counts}"
    wrong = (*judged.complaints, *judged.changes)
    return text + ("" if not wrong else " — " + "; ".join(wrong))


def _verdict_text(judged: Judged) -> str:
    result = judged.result
    if judged.complaints:
        return "WRONG"
    if judged.changes:
        return "CHANGED"
    if result.verdict is Verdict.VIOLATION:
        return f"fails as it must ({result.violated})"
    return "holds"


def print_report(report: Report, console: Console) -> None:
    """The table at the end, then what is wrong, then how to accept it."""
    table = Table(title="Models", title_justify="left", pad_edge=False)
    for name in ("model", "property", "instance"):
        table.add_column(name, overflow="fold")
    for name in ("distinct states", "depth", "time"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for judged in report.judged:
        instance, result = judged.instance, judged.result
        if instance.expect == "violation":
            checked = f"not {instance.violates}" if instance.kind == "witness" else str(instance.violates)
        else:
            checked = " ".join(instance.checks or instance.read_config().properties_and_invariants)
        style = "green" if judged.good else "red"
        table.add_row(
            instance.module_name,
            checked,
            instance.name,
            f"{judged.pin.distinct:,}",
            str(result.depth),
            f"{result.seconds:.1f} s",
            f"[{style}]{_verdict_text(judged)}[/{style}]",
        )
    console.print(table)
    wrong = [judged for judged in report.judged if not judged.good]
    for judged in wrong:
        for text in (*judged.complaints, *judged.changes):
            console.print(f"{judged.instance.name}: {text}", style="red", markup=False, highlight=False)
        for problem in judged.result.problems[1:6]:
            console.print(f"    {problem}", markup=False, highlight=False)
    for text in report.uncovered:
        console.print(f"coverage: {text}", style="red", markup=False, highlight=False)
    total = sum(judged.pin.distinct for judged in report.judged)
    console.print(
        f"{len(report.judged)} instances, {total:,} distinct states, {report.seconds:.0f} s "
        f"({report.processor_seconds:.0f} s of processor time): "
        + (
            "all as declared and pinned"
            if report.exit is Exit.OK
            else f"{len(wrong)} otherwise than declared or pinned"
        ),
        highlight=False,
    )
    changed = [judged.instance.name for judged in wrong if judged.changes and not judged.complaints]
    if changed:
        console.print(
            f"To accept a changed result: python -m tla.runner pin --only '{changed[0]}'", highlight=False
        )


def report_as_json(report: Report) -> dict[str, Any]:
    """Everything in the report, for other programs."""
    return {
        "seconds": round(report.seconds, 1),
        "processor_seconds": round(report.processor_seconds, 1),
        "exit": int(report.exit),
        "uncovered": list(report.uncovered),
        "instances": [
            {
                "name": one.instance.name,
                "module": one.instance.module_name,
                "kind": one.instance.kind,
                "verdict": one.result.verdict.value,
                "violated": one.result.violated,
                "distinct": one.result.distinct,
                "generated": one.result.generated,
                "depth": one.result.depth,
                "trace": len(one.result.trace),
                "seconds": round(one.result.seconds, 1),
                "complaints": list(one.complaints),
                "changes": list(one.changes),
                "problems": list(one.result.problems),
                "coverage": {f"{c.module}!{c.action}": c.taken for c in one.result.coverage},
            }
            for one in report.judged
        ],
    }


def default_workers() -> int:
    """Number of TLC processes side by side: the usable cores."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def write_json(report: Report, file: str) -> None:
    """Write the report to a file, or to standard output for ``-``."""
    text = json.dumps(report_as_json(report), indent=1) + "\n"
    if file == "-":
        sys.stdout.write(text)
    else:
        Path(file).write_text(text, encoding="utf-8")
