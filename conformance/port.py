"""A port under test: a child process, watched so closely that nothing it does can hang or fool a run.

It starts in an empty folder with a clean environment.  Whatever it does wrong, from silence to a line of a
hundred megabytes, comes out as a :class:`PortError` that names it, and the process is gone by then.
"""

from __future__ import annotations

import contextlib
import enum
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from conformance.protocol import MAX_LINE, TIMEOUT, BadReplyError, Reply, parse_reply, request_line

_STDERR_KEPT: Final = 65_536
_STDERR_MOST: Final = 64 * 1024 * 1024
_READ: Final = 262_144


class Fault(enum.StrEnum):
    """What an adapter can do wrong below the level of answers."""

    NOT_STARTED = "not_started"
    TIMEOUT = "timeout"
    DIED = "died"
    NOISE = "noise"
    """A line that is no reply."""
    LINE_TOO_LONG = "line_too_long"
    WRONG_ID = "wrong_id"
    OUT_OF_TURN = "out_of_turn"
    """Something on stdout that nobody asked for."""
    FLOOD = "flood"
    """More on stderr than anybody reads."""


class PortError(Exception):
    """The adapter misbehaved; its process has been ended."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail


def resolved(command: Sequence[str]) -> list[str]:
    """A command that also works from another folder: arguments that name files here become absolute."""
    return [
        str(Path(word).absolute()) if ("/" in word or "." in word) and Path(word).exists() else word
        for word in command
    ]


def clean_environment(home: str) -> dict[str, str]:
    """What a port may see of the environment: where programs are, and an empty home."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return kept | {"HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


class Port:
    """One running adapter."""

    def __init__(self, command: Sequence[str], *, timeout: float = TIMEOUT) -> None:
        """Start it; raises :class:`PortError` if that can't be done."""
        self._timeout = timeout
        self._folder = tempfile.mkdtemp(prefix="tom-conformance-")
        self._out = bytearray()
        self._err = bytearray()
        self._err_total = 0
        self._number = 0
        try:
            self._process = subprocess.Popen(
                list(command),
                cwd=self._folder,
                env=clean_environment(self._folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise PortError(Fault.NOT_STARTED, f"{command[0]}: {error.strerror}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()
        self._stderr = self._process.stderr.fileno()
        for stream in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(stream, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._selector.register(self._stderr, selectors.EVENT_READ)

    @property
    def stderr(self) -> str:
        """The end of what it wrote to stderr."""
        return self._err.decode("utf-8", "replace")

    def ask(self, command: str, parameters: Mapping[str, Any]) -> Reply:
        """Send one request and take its reply; raises :class:`PortError`."""
        self._number += 1
        number = f"{self._number:x}"
        deadline = time.monotonic() + self._timeout
        try:
            self._take_input(0.0)
            if self._out:
                raise PortError(Fault.OUT_OF_TURN, f"before a request: {_shown(self._out)}")
            self._send(request_line(number, command, parameters), deadline)
            line = self._line(deadline)
            try:
                answered, reply = parse_reply(line)
            except BadReplyError as error:
                raise PortError(Fault.NOISE, f"{error}: {_shown(line)}") from None
            if answered != number:
                raise PortError(Fault.WRONG_ID, f"{str(answered)[:40]!r} instead of {number!r}")
            if self._out:
                raise PortError(Fault.OUT_OF_TURN, f"after the reply: {_shown(self._out)}")
        except PortError:
            self.kill()
            raise
        return reply

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        try:
            view = view[os.write(self._stdin, view) :]
        except BlockingIOError:
            pass
        except OSError:
            raise self._gone() from None
        if not view:
            return
        self._selector.register(self._stdin, selectors.EVENT_WRITE)
        try:
            while view:
                for key, _ in self._selector.select(self._left(deadline)):
                    if key.fd == self._stdin:
                        view = view[os.write(self._stdin, view[:65_536]) :]
                    else:
                        self._read(key.fd)
        except OSError:
            raise self._gone() from None
        finally:
            self._selector.unregister(self._stdin)

    def _line(self, deadline: float) -> bytes:
        searched = 0
        while True:
            end = self._out.find(b"\n", searched)
            if 0 <= end <= MAX_LINE:
                line = bytes(self._out[:end])
                del self._out[: end + 1]
                return line
            if len(self._out) > MAX_LINE:
                raise PortError(Fault.LINE_TOO_LONG, f"more than {MAX_LINE} bytes without a line feed")
            searched = len(self._out)
            self._take_input(self._left(deadline))

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise PortError(Fault.TIMEOUT, f"no answer within {self._timeout:g} s")
        return left

    def _take_input(self, wait: float) -> None:
        for key, _ in self._selector.select(wait):
            if key.fd in {self._stdout, self._stderr}:
                self._read(key.fd)

    def _read(self, stream: int) -> None:
        data = os.read(stream, _READ)
        if stream == self._stderr:
            self._err_total += len(data)
            self._err = (self._err + data)[-_STDERR_KEPT:]
            if not data:
                self._selector.unregister(stream)
            elif self._err_total > _STDERR_MOST:
                raise PortError(Fault.FLOOD, f"more than {_STDERR_MOST} bytes on stderr")
        elif data:
            self._out += data
        else:
            raise self._gone()

    def _gone(self) -> PortError:
        code = self._exit_code()
        with contextlib.suppress(OSError, KeyError, PortError):
            while data := os.read(self._stderr, _READ):
                self._err = (self._err + data)[-_STDERR_KEPT:]
        return PortError(Fault.DIED, f"stdout closed, {code}")

    def _exit_code(self) -> str:
        """How it ended; its process id stays taken, so that its children can still be ended as a group."""
        for _ in range(50):
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if ended is not None:
                how = "exit" if ended.si_code == os.CLD_EXITED else "signal"
                return f"{how} {ended.si_status}"
            time.sleep(0.01)
        return "still running"

    def kill(self) -> None:
        """End the process with all its children; may be called twice."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Say goodbye, then end it."""
        with contextlib.suppress(PortError):
            self.ask("bye", {})
        self.kill()


def _shown(data: bytes | bytearray, limit: int = 60) -> str:
    text = bytes(data[:limit]).decode("utf-8", "replace")
    return repr(text) + ("…" if len(data) > limit else "")
