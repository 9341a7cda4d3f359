"""Runs Apalache, where it is installed; where it is not, says so loudly and claims nothing.

It works on the ``APA_*.tla`` wrappers: literal constants and an INSTANCE of a core module.  What is
asked of each follows from what it defines:

============  ==================================================================================
typecheck     always
bounded       every promised property that is a state predicate there, for ``LENGTH`` steps
inductive     with ``IndInit`` and ``IndInv``: the base, the step, and that it implies those
simulate      random behaviours, written as ITF
============  ==================================================================================
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen
from rich.console import Console
from rich.table import Table

from tla.runner.closure import library_of, sources_of
from tla.runner.errors import Exit
from tla.runner.properties import read_properties
from tla.runner.sany import STATE, parse_tree

PINNED = {"0.61.0": "Java 17", "0.62.1": "Java 21 and later"}
LENGTH = 8
OUTCOMES = {0: "ok", 12: "violation", 75: "unsupported", 120: "type error", 150: "parse error"}


@frozen
class Job:
    """One question to Apalache."""

    module: Path
    what: str
    arguments: tuple[str, ...]


def find_apalache() -> str | None:
    """``$APALACHE_HOME/bin/apalache-mc``, else ``apalache-mc`` on ``PATH``, else None."""
    home = os.environ.get("APALACHE_HOME")
    if home:
        candidate = Path(home) / "bin" / "apalache-mc"
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    return shutil.which("apalache-mc")


def version_of(executable: str) -> str:
    """The version it reports, e.g. ``0.61.0``; empty if it reports none."""
    done = subprocess.run([executable, "version"], capture_output=True, text=True, check=False, timeout=120)
    match = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return match[0] if match else ""


def wrappers(root: Path, only: str | None) -> list[Path]:
    """The wrappers below ``root``; ``only`` is a part of the name."""
    return [file for file in sorted(root.rglob("APA_*.tla")) if only is None or only in file.stem]


def jobs_for(module: Path, root: Path, wanted: Sequence[str]) -> list[Job]:
    """What to ask about one wrapper."""
    name = module.name
    sources = sources_of(module, library_of(root))
    tree = parse_tree(sources, module.stem)
    defined = {
        definition.name
        for definition in tree.by_name.values()
        if definition.level <= STATE and not definition.arity
    }
    promised = [one.name for one in read_properties(root) if one.name in defined]
    jobs = []
    if "typecheck" in wanted:
        jobs.append(Job(module, "typecheck", ("typecheck", name)))
    if "bounded" in wanted and promised:
        jobs.append(
            Job(
                module,
                f"bounded: {', '.join(promised)}",
                ("check", f"--length={LENGTH}", f"--inv={','.join(promised)}", name),
            )
        )
    if "inductive" in wanted and {"IndInit", "IndInv"} <= defined:
        jobs.append(
            Job(module, "inductive: base", ("check", "--init=Init", "--inv=IndInv", "--length=0", name))
        )
        jobs.append(
            Job(module, "inductive: step", ("check", "--init=IndInit", "--inv=IndInv", "--length=1", name))
        )
        if promised:
            invariants = f"--inv={','.join(promised)}"
            jobs.append(
                Job(module, "inductive: implies", ("check", "--init=IndInit", invariants, "--length=0", name))
            )
    if "simulate" in wanted:
        jobs.append(
            Job(module, "simulate", ("simulate", "--length=20", "--max-run=20", "--output-traces", name))
        )
    return jobs


def run_job(executable: str, job: Job, root: Path, out: Path | None, timeout: float) -> tuple[int, float]:
    """Run one job in a fresh folder; returns exit code (-1 on time-out) and seconds.

    Modules are copied side by side, but not the stubs: Apalache has its own Apalache and Variants.
    """
    stubs = {file.stem for file in (root / "stubs").glob("*.tla")}
    with tempfile.TemporaryDirectory(prefix="apalache-") as name:
        folder = Path(name)
        for module, text in sources_of(job.module, library_of(root)).items():
            if module not in stubs:
                (folder / f"{module}.tla").write_text(text, encoding="utf-8")
        run = folder / "run"
        command, *rest = job.arguments
        begin = time.monotonic()
        try:
            done = subprocess.run(
                [executable, command, f"--out-dir={folder / 'out'}", f"--run-dir={run}", *rest],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
            )
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -1
        if out is not None and run.is_dir():
            for trace in sorted(run.glob("*.itf.json")):
                out.mkdir(parents=True, exist_ok=True)
                shutil.copy(trace, out / f"{job.module.stem}-{trace.name}")
        return code, time.monotonic() - begin


def apalache(
    root: Path, *, only: str | None, wanted: Sequence[str], out: Path | None, timeout: float, console: Console
) -> Exit:
    """Ask everything about every wrapper; :attr:`Exit.NOT_RUN` when Apalache is not installed."""
    executable = find_apalache()
    modules = wrappers(root, only)
    if executable is None:
        pinned = " or ".join(f"{version} ({java})" for version, java in PINNED.items())
        console.print(
            "NOT RUN: Apalache is not installed, so it typechecked, bounded and proved inductive nothing "
            f"({len(modules)} modules wait). Install release {pinned}, and set APALACHE_HOME or put "
            "apalache-mc on PATH.",
            style="bold red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return Exit.NOT_RUN
    version = version_of(executable)
    console.print(f"Apalache {version or 'of unknown version'} ({executable})", highlight=False)
    if version not in PINNED:
        console.print(
            f"NOT the pinned version ({', '.join(PINNED)}): results may differ", style="bold yellow"
        )
    table = Table(title="Apalache", title_justify="left", pad_edge=False)
    for heading in ("module", "question", "time", "answer"):
        table.add_column(heading)
    worst = Exit.OK
    for module in modules:
        for job in jobs_for(module, root, wanted):
            code, seconds = run_job(executable, job, root, out, timeout)
            answer = OUTCOMES.get(code, "timed out" if code == -1 else f"exit code {code}")
            console.print(f"{module.stem}: {job.what}: {answer}, {seconds:.0f} s", highlight=False)
            table.add_row(module.stem, job.what, f"{seconds:.0f} s", answer)
            if code != 0:
                worst = max(worst, Exit.DIFFERENT if code == 12 else Exit.BROKEN)
    console.print(table)
    return worst
