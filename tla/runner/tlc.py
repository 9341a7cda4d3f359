"""Runs one instance under TLC, in a folder of its own that is gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path

from attrs import frozen

from tla.runner.closure import sources_of
from tla.runner.config import Config
from tla.runner.errors import RunnerError
from tla.runner.instances import Instance, Simulation
from tla.runner.java import Toolbox, find_toolbox
from tla.runner.output import ActionCount, Output, TraceState

CONFIG_NAME = "run.cfg"
BEHAVIOUR = "behaviour"
SMALL = 30_000
"""Below so many states the quick compiler of the virtual machine wins over the optimising one."""


class Verdict(Enum):
    """What TLC said."""

    PASS = "pass"
    VIOLATION = "violation"
    DEADLOCK = "deadlock"
    ASSUMPTION = "assumption"
    BROKEN = "broken"
    TIMEOUT = "timeout"


@frozen
class Result:
    """The outcome of one run; with one worker everything but ``seconds`` is deterministic."""

    verdict: Verdict
    violated: str | None
    """Name of the property; None unless the verdict is a violation."""
    violated_kind: str | None
    distinct: int
    generated: int
    depth: int
    trace: tuple[TraceState, ...]
    loop: int | None
    stuttering: bool
    coverage: tuple[ActionCount, ...]
    problems: tuple[str, ...]
    chatter: tuple[str, ...]
    """The last lines outside of messages: what ``PrintT`` prints, and what SANY complains of."""
    seconds: float
    exit_code: int


Watcher = Callable[[Output], None]


class CancelledError(Exception):
    """The run was given up because the whole command was."""


class OvergrownError(Exception):
    """A watcher has seen enough: more states than it was prepared for."""

    def __init__(self, states: int) -> None:
        super().__init__(f"{states:,} states")
        self.states = states


class Processes:
    """The running TLC processes, so that a keyboard interrupt ends exactly those."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.stopped = False

    def add(self, process: subprocess.Popen[str]) -> None:
        """Remember a process; end it at once when stopping has begun."""
        with self._lock:
            self._running.add(process)
            if self.stopped:
                _kill(process)

    def remove(self, process: subprocess.Popen[str]) -> None:
        """Forget a process that ended."""
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """End all of them, and every one started from now on."""
        with self._lock:
            self.stopped = True
            for process in self._running:
                _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


PROCESSES = Processes()


def command_line(
    tools: Toolbox,
    folder: Path,
    root: str,
    *,
    simulate: Simulation | None = None,
    coverage: bool = False,
    small: bool = False,
    files: bool = False,
    heap_megabytes: int = 2048,
) -> list[str]:
    """The whole command; one worker, a fixed fingerprint polynomial, liveness only at the end.

    With one worker the search is breadth-first in a fixed order, so that counts, depth and
    counterexample are functions of model and configuration.  Two cores are used by two instances.
    """
    return [
        tools.java,
        "-XX:+UseSerialGC",
        *((f"-XX:SharedArchiveFile={tools.class_data}", "-Xlog:disable") if tools.class_data else ()),
        *(("-XX:TieredStopAtLevel=1",) if small else ()),
        f"-Xmx{heap_megabytes}m",
        "-Xss16m",
        f"-Djava.io.tmpdir={folder}",
        "-cp",
        tools.jar,
        "tlc2.TLC",
        "-tool",
        "-workers",
        "1",
        "-fp",
        "0",
        "-lncheck",
        "final",
        "-deadlock",
        "-checkpoint",
        "0",
        "-metadir",
        str(folder / "meta"),
        "-cleanup",
        *(("-coverage", "1") if coverage else ()),
        *(
            (
                "-simulate",
                f"num={simulate.num}" + (f",file={folder / BEHAVIOUR}" if files else ""),
                "-depth",
                str(simulate.depth),
                "-seed",
                str(simulate.seed),
            )
            if simulate
            else ()
        ),
        "-config",
        CONFIG_NAME,
        f"{root}.tla",
    ]


def run_tlc(
    sources: Mapping[str, str],
    root: str,
    config: Config,
    *,
    simulate: Simulation | None = None,
    coverage: bool = False,
    small: bool = False,
    timeout: float = 540,
    watch: Watcher | None = None,
    tools: Toolbox | None = None,
    collect: Callable[[Path], None] | None = None,
    heap_megabytes: int = 2048,
) -> Result:
    """Run TLC once on the given modules (name to text), of which ``root`` is checked.

    TLC sees copies in a fresh folder, so that a run has exactly the modules that its fingerprint
    covers, whatever happens to the originals meanwhile.

    ``watch`` is called from the reading thread whenever the counts change.  ``timeout`` is in
    seconds.  ``collect`` gets the folder before it goes, with ``behaviour_*`` of a simulation.
    Raises :class:`RunnerError` without Java or TLC, :class:`CancelledError` after
    ``PROCESSES.stop()``; a broken model is a verdict, not an exception.
    """
    tools = tools or find_toolbox()
    with tempfile.TemporaryDirectory(prefix="tla-run-") as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        for module, text in sources.items():
            (model / f"{module}.tla").write_text(text, encoding="utf-8")
        (model / CONFIG_NAME).write_text(config.render(), encoding="utf-8")
        command = command_line(
            tools,
            folder,
            root,
            simulate=simulate,
            coverage=coverage,
            small=small,
            files=collect is not None,
            heap_megabytes=heap_megabytes,
        )
        begin = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                errors="replace",
                cwd=model,
                start_new_session=True,
            )
        except OSError as error:
            raise RunnerError(f"cannot start {tools.java}: {error}") from error
        PROCESSES.add(process)
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            _kill(process)

        timer = threading.Timer(timeout, give_up)
        timer.daemon = True
        timer.start()
        output = Output()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if output.feed(line) and watch is not None:
                    watch(output)
            process.wait()
        except BaseException:
            _kill(process)
            process.wait()
            raise
        finally:
            timer.cancel()
            timer.join()
            PROCESSES.remove(process)
            if process.stdout is not None:
                process.stdout.close()
        output.close()
        seconds = time.monotonic() - begin
        if collect is not None:
            collect(folder)
    if PROCESSES.stopped:
        raise CancelledError
    return judge(output, config, process.returncode, seconds, timed_out=timed_out.is_set())


def judge(
    output: Output, config: Config, exit_code: int, seconds: float, *, timed_out: bool = False
) -> Result:
    """Turn what TLC printed, and its exit code, into a result.

    A pass needs both: the message that says so and exit code 0.
    """
    problems = list(output.problems)
    violated = _name_of(output, config) if output.violated is not None else None
    if timed_out:
        verdict = Verdict.TIMEOUT
    elif output.violated is not None:
        verdict = Verdict.VIOLATION
    elif output.deadlock:
        verdict = Verdict.DEADLOCK
    elif output.assumption is not None:
        verdict = Verdict.ASSUMPTION
        problems.append(" ".join(output.assumption.split()))
    elif exit_code == 0 and not problems and (output.complete or output.finished):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.BROKEN
        problems.extend(_complaints(output.chatter))
        if not problems:
            problems.append(f"TLC ended with exit code {exit_code} and said neither yes nor no")
    return Result(
        verdict=verdict,
        violated=violated,
        violated_kind=output.violated_kind,
        distinct=output.distinct,
        generated=output.generated,
        depth=output.depth,
        trace=tuple(output.trace),
        loop=output.loop,
        stuttering=output.stuttering,
        coverage=tuple(output.coverage),
        problems=tuple(problems),
        chatter=tuple(output.chatter),
        seconds=seconds,
        exit_code=exit_code,
    )


def _complaints(chatter: Sequence[str]) -> list[str]:
    quiet = ("Parsing file", "Semantic processing", "Linting of module", "@!@!@")
    return [line for line in chatter if not line.startswith(quiet)][-12:]


def _name_of(output: Output, config: Config) -> str:
    """The property's name; ``?`` when TLC does not say which of several it was.

    TLC names invariants and action properties written as one box; for temporal formulas and for
    refinements it prints no name or a place in the text.
    """
    if output.violated_kind == "invariant" and output.violated in config.invariants:
        return str(output.violated)
    if output.violated in config.properties:
        return str(output.violated)
    if output.violated_kind != "invariant" and len(config.properties) == 1:
        return config.properties[0]
    return "?"


def run_instance(
    instance: Instance,
    library: Sequence[Path],
    *,
    config: Config | None = None,
    sources: Mapping[str, str] | None = None,
    coverage: bool = False,
    small: bool = False,
    watch: Watcher | None = None,
    tools: Toolbox | None = None,
    heap_megabytes: int = 2048,
) -> Result:
    """Run a declared instance, by its own configuration and modules or others."""
    config = config or instance.read_config()
    sources = sources or sources_of(instance.module, list(library))

    def run(chosen: Config) -> Result:
        return run_tlc(
            sources,
            instance.module_name,
            chosen,
            simulate=instance.simulate,
            coverage=coverage,
            small=small,
            timeout=instance.timeout,
            watch=watch,
            tools=tools,
            heap_megabytes=heap_megabytes,
        )

    return run_named(run, config, instance.violates)


def run_named(run: Callable[[Config], Result], config: Config, wanted: str | None) -> Result:
    """Run, and where TLC does not say which property failed, see whether it is the wanted one.

    If that one alone fails, it is the one; otherwise the name stays ``?``, which no declaration
    matches.
    """
    result = run(config)
    if result.verdict is Verdict.VIOLATION and result.violated == "?" and wanted is not None:
        alone = run(config.only(wanted))
        if alone.verdict is Verdict.VIOLATION:
            return alone
    return result
