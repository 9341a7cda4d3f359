"""Runs the parts of a check one after the other and ends with a table of their verdicts.

``python -m tools.run_all test`` is everything, ``check`` the inner loop; ``lint``, ``types`` and ``coverage``
are single parts.  A part that fails doesn't stop the others.  A part may say that it could not run by exiting
with 77; its last line is then taken as the reason, and the part is listed as NOT RUN, never as passed.

Most parts use one core for most of their time, so ``--lanes`` of them run beside each other, each line of
their output after the name of its part.  Parts that use every core themselves run alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path
from typing import Final

import attrs
from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[1]
NOT_RUN: Final = 77
"""The exit code by which a part says that it could not run here."""


@attrs.frozen
class Part:
    """One command that passes or fails."""

    name: str
    about: str
    command: tuple[str, ...]
    alone: bool = False
    """Whether it keeps every core busy by itself."""


@attrs.frozen
class Outcome:
    """What came of a part."""

    part: Part
    verdict: str
    seconds: float
    reason: str = ""


def parts(python: str, fuzz_seconds: int) -> dict[str, Part]:
    """Every part by its name; ``python`` is the interpreter of the virtual environment."""
    scripts = Path(python).parent
    pytest = (python, "-m", "pytest", "-n", "2", "--dist", "worksteal")
    coverage = ("--cov", "--cov-report=term", "--cov-fail-under=100")
    every = (
        Part("ruff", "style and common mistakes", (python, "-m", "ruff", "check", ".")),
        Part("format", "one layout of the sources", (python, "-m", "ruff", "format", "--check", ".")),
        Part("types", "strict types", (python, "-m", "mypy", *typed_folders(ROOT))),
        Part("imports", "the direction of imports", (str(scripts / "lint-imports"), "--no-cache")),
        Part("spec", "the specification is consistent", (python, "-m", "tools.spec", "--check")),
        Part("prose", "the prose agrees with the declarations", (python, "-m", "tools.prose")),
        Part("vectors", "the test vectors are current", (python, "-m", "tools.vectors", "--check")),
        Part(
            "conformance",
            "the reference conforms, and what is broken is caught",
            (python, "-m", "conformance", "selftest"),
        ),
        Part("quick tests", "tests but the slow ones", (*pytest, "-m", "not slow"), alone=True),
        Part(
            "tests",
            "tests but the slow ones, 100 % branch coverage of what computes",
            (*pytest, "-m", "not slow", *coverage),
            alone=True,
        ),
        Part("slow tests", "processes, simulations, browsers", (*pytest, "-m", "slow"), alone=True),
        Part("fuzz", f"{fuzz_seconds} s of fuzzing", (python, "fuzz/run.py", "--seconds", str(fuzz_seconds))),
        Part("models", "model checking, pinned results", ("make", "model-check")),
        Part(
            "docs",
            "the site builds without a warning, and no link is broken",
            (python, "-m", "tools.site"),
        ),
    )
    return {part.name: part for part in every}


SUITES: Final = {
    "lint": ("ruff", "format", "types", "imports"),
    "types": ("types",),
    "coverage": ("tests",),
    "check": ("ruff", "format", "types", "imports", "spec", "prose", "vectors", "quick tests"),
    "test": (
        "models",
        "conformance",
        "ruff",
        "format",
        "types",
        "imports",
        "spec",
        "prose",
        "vectors",
        "docs",
        "fuzz",
        "tests",
        "slow tests",
    ),
}


def typed_folders(root: Path) -> list[str]:
    """The folders with Python sources that are typed."""
    folders = (
        "tom_ref",
        "tom_cli",
        "tom_sim",
        "tools",
        "tests",
        "tla",
        "conformance",
        "fuzz",
        "bench",
        "docs",
    )
    return [folder for folder in folders if any((root / folder).rglob("*.py"))]


def run(part: Part, *, root: Path = ROOT, prefix: str = "") -> Outcome:
    """Run one part, passing its output through as it comes, each line after ``prefix``."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    started = time.monotonic()
    last: deque[str] = deque(maxlen=1)
    try:
        process = subprocess.Popen(
            part.command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return Outcome(part, "FAIL", 0.0, f"{part.command[0]}: {error.strerror}")
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(prefix + line)
            sys.stdout.flush()
            if line.strip():
                last.append(line.strip())
    seconds = time.monotonic() - started
    if process.returncode == 0:
        return Outcome(part, "PASS", seconds)
    if process.returncode == NOT_RUN:
        return Outcome(part, "NOT RUN", seconds, last[0] if last else "no reason was given")
    return Outcome(part, "FAIL", seconds, f"exit {process.returncode}: {last[0] if last else 'no output'}")


def duration(seconds: float) -> str:
    """A duration for people: ``4.2 s`` or ``3 min 20 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def summary(outcomes: Sequence[Outcome], seconds: float) -> Table:
    """The closing table; ``seconds`` is what all of it took."""
    colours = {"PASS": "green", "FAIL": "bold red", "NOT RUN": "yellow"}
    table = Table(title="Parts", title_justify="left")
    table.add_column("part", no_wrap=True)
    table.add_column("what")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for outcome in outcomes:
        verdict = f"[{colours[outcome.verdict]}]{outcome.verdict}[/]"
        reason = outcome.reason.replace("[", "\\[")
        table.add_row(outcome.part.name, outcome.part.about, duration(outcome.seconds), verdict, reason)
    table.add_section()
    table.add_row("all", "", duration(seconds), "", "")
    return table


def closing_line(outcomes: Sequence[Outcome]) -> str:
    """The last line: how many parts passed, failed and, if any, did not run."""
    count = dict.fromkeys(("PASS", "FAIL", "NOT RUN"), 0)
    for outcome in outcomes:
        count[outcome.verdict] += 1
    line = f"{count['PASS']} passed, {count['FAIL']} failed"
    return line + (f", {count['NOT RUN']} skipped" if count["NOT RUN"] else "")


def run_parts(chosen: Sequence[Part], lanes: int, console: Console) -> Iterator[Outcome]:
    """Run the parts, ``lanes`` at a time where they allow it; the outcomes come as the parts end."""
    for alone, group in groupby(chosen, key=lambda part: part.alone):
        together = list(group)
        if alone or lanes == 1 or len(together) == 1:
            for part in together:
                console.rule(f"[bold]{part.name}[/]: {part.about}", align="left")
                yield run(part)
            continue
        width = max(len(part.name) for part in together)
        console.rule(f"[bold]{lanes} at a time:[/] {', '.join(part.name for part in together)}", align="left")
        with ThreadPoolExecutor(lanes) as pool:
            started = [pool.submit(run, part, prefix=f"{part.name:<{width}} | ") for part in together]
            for done in as_completed(started):
                yield done.result()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit code is 0 only when no part failed and at least one passed."""
    parser = argparse.ArgumentParser(prog="python -m tools.run_all", description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--fuzz-seconds", type=int, default=int(os.environ.get("FUZZ_SECONDS", "60")))
    parser.add_argument(
        "--lanes", type=int, default=min(2, os.cpu_count() or 1), help="how many parts run at a time"
    )
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    known = parts(sys.executable, options.fuzz_seconds)
    outcomes: list[Outcome] = []
    began = time.monotonic()
    for outcome in run_parts([known[name] for name in SUITES[options.suite]], options.lanes, console):
        outcomes.append(outcome)
        console.print(f"[bold]{outcome.part.name}[/]: {outcome.verdict}, {duration(outcome.seconds)}\n")
    outcomes.sort(key=lambda outcome: SUITES[options.suite].index(outcome.part.name))
    console.print(summary(outcomes, time.monotonic() - began))
    print(closing_line(outcomes), flush=True)
    passed = any(outcome.verdict == "PASS" for outcome in outcomes)
    return 0 if passed and all(outcome.verdict != "FAIL" for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
