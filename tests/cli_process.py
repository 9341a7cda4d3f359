"""The command line as a real process, watched line by line, for the tests of ``tom``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

from tom_cli.main import main

DEADLINE = 60.0
"""s: how long a test waits for something that happens within ms on an idle computer."""

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "tom_cli.main")


def environment(**more: str) -> dict[str, str]:
    """Of the tests, but with nothing that would steer the command, and 80 columns."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TOM_")}
    return {**kept, "COLUMNS": "80", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **more}


def tom(
    *arguments: str | Path,
    stdin: bytes = b"",
    environ: dict[str, str] | None = None,
    limit: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=environment() if environ is None else environ,
        timeout=DEADLINE,
        preexec_fn=limit,
        check=False,
    )


def tom_here(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """As :func:`tom`, within this process: for the many refusals that take no process to be seen."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    before = signal.getsignal(signal.SIGTERM)
    code: object = None
    try:
        with (
            mock.patch.dict(os.environ, environment(), clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main([str(argument) for argument in arguments])
            except SystemExit as ended:
                code = ended.code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert isinstance(code, int)
    for stream in (out, err):
        stream.flush()
    assert isinstance(out.buffer, io.BytesIO)
    assert isinstance(err.buffer, io.BytesIO)
    return subprocess.CompletedProcess(arguments, code, out.buffer.getvalue(), err.buffer.getvalue())


def new_identity(path: Path) -> str:
    """Make an identity with the command; its NodeId."""
    done = tom_here("id", "new", path, "--json")
    assert done.returncode == 0, done.stderr
    name = json.loads(done.stdout)["id"]
    assert isinstance(name, str)
    return name


class Running:
    """A process of the command: its lines as they come."""

    def __init__(self, *arguments: str | Path, prefix: Sequence[str] = COMMAND) -> None:
        self.process = subprocess.Popen(
            [*prefix, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = threading.Condition()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.out), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.err), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            with self._changed:
                lines.append(line.decode().rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def until(self, pattern: str, lines: list[str] | None = None) -> re.Match[str]:
        """The first line (of standard output, unless told) in which the pattern is found."""
        watched = self.out if lines is None else lines
        found: list[re.Match[str]] = []

        def there() -> bool:
            found[:] = [match for line in list(watched) if (match := re.search(pattern, line))]
            return bool(found) or not any(reader.is_alive() for reader in self._readers)

        with self._changed:
            self._changed.wait_for(there, DEADLINE)
        assert found, f"{pattern!r} did not come; out: {self.out}, err: {self.err}"
        return found[0]

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait for its exit code; afterwards all lines are there."""
        code = self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        if code:
            # Shown by pytest with a test that fails.
            print(f"exit code {code}; out: {self.out}, err: {self.err}")
        return code


def gone(pid: int) -> bool:
    """Whether no process (or only one that its parent has not noticed to have ended) has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"
