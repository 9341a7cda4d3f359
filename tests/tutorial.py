"""Runs the commands and programs that the documentation shows, and compares what they print.

A comment stands directly above each block (it is not seen on the page):

``<!-- run -->``
    The block's commands run one after the other in the page's own folder; all blocks of a page share it.
``<!-- run: OPTION, OPTION -->``
    ``keep`` leaves the last command running to the page's end (as one that ends in ``&`` is in any case), and
    goes on as soon as what is shown has come; ``retry`` repeats a command until it prints what is shown;
    ``loose`` wants the lines shown, in any order and among others; ``exit N`` wants that exit code;
    ``tom1…=FILE`` says whose NodeId is meant by ``tom1…``.
``<!-- run by WHAT -->``
    Something else runs these commands, each by one of those named: ``make test``, files of tests (which
    :mod:`tests.shown_commands` checks), another page, a workflow.
``<!-- not run: REASON -->``
    Nothing runs them; :data:`NOT_RUN` must list the page's reason.
``<!-- output -->``
    Above a block of text: what the program before it prints.

What differs from run to run matches as what it is: a number as a number, a NodeId, hex digits or an
invitation as one, ``…`` as anything, and a line ``…`` as any lines.  A NodeId or an invitation that was
printed is put in wherever a later command names it.  A node that the page lets listen at port 7700
listens at a free one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from attrs import define, field, frozen

from tests.cli_process import ROOT, environment

DEADLINE: Final = 100.0
"""s: how long anything here may take."""
PAUSE: Final = 0.2
"""s: between two tries of a command that is repeated."""
SHELLS: Final = {"console", "sh", "bash", "shell"}
BLOCK: Final = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?(?P<fence>```+)(?P<language>[\w{}-]*)[^\n]*\n"
    r"(?P<body>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_COMMANDS: Final = re.compile(
    r"(?:\$ )?(?:make|python3?|tom|tom-\w+|pip|git|cargo|npm|npx|pre-commit)(?: |$)"
)
_TOKENS: Final = re.compile(
    r"(?P<node>tom1[02-9ac-hj-np-z]{58})"
    r"|(?P<short>tom1[02-9ac-hj-np-z]*…[02-9ac-hj-np-z]*)"
    r"|(?P<invitation>tom:[a-z2-7]*…?)"
    r"|(?P<hex>\b(?=[0-9a-f]*\d)[0-9a-f]{8,}…?)"
    r"|(?P<number>\d[\d,.]*)"
    r"|(?P<rule>[─╭╮╰╯│]+)"
    r"|(?P<any>…)"
    r"|(?P<space>\s+)"
)
_PATTERNS: Final = {
    "short": r"tom1[02-9ac-hj-np-z]*…?[02-9ac-hj-np-z]*",
    "hex": r"[0-9a-f]+…?",
    "number": r"\d[\d,.]*",
    "rule": r"[─╭╮╰╯│]+",
    "any": r".*?",
    "space": r"\s+",
}


@frozen
class Command:
    """One command and the lines that the page shows behind it."""

    text: str
    shown: tuple[str, ...]


@frozen
class Block:
    """A block of a page."""

    page: str
    line: int
    mark: str
    language: str
    body: str

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"

    @property
    def options(self) -> dict[str, str]:
        """What stands behind ``run:``, as far as it has a value with it."""
        words = self.mark.partition(":")[2].split(",") if self.mark.startswith(("run:", "output:")) else []
        found = {}
        for word in words:
            name, _, value = word.strip().replace("=", " ", 1).partition(" ")
            found[name] = value
        return found

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands of a console block."""
        found: list[tuple[str, list[str]]] = []
        for line in self.body.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and found[-1][0].endswith("\\") and not found[-1][1]:
                found[-1] = (f"{found[-1][0]}\n{line}", [])
            elif found:
                found[-1][1].append(line)
        return tuple(Command(text, tuple(_trimmed(shown))) for text, shown in found)


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a page."""
    text = path.read_text(encoding="utf-8")
    page = path.relative_to(ROOT).as_posix()
    return [
        Block(
            page,
            text.count("\n", 0, match.start("fence")) + 1,
            match["mark"] or "",
            match["language"],
            match["body"],
        )
        for match in BLOCK.finditer(text)
    ]


def is_commands(block: Block) -> bool:
    """Whether a block shows commands that a reader will type."""
    if block.language in SHELLS:
        return True
    lines = [line for line in block.body.splitlines() if line.strip()]
    return block.language in {"", "text"} and bool(lines) and bool(_COMMANDS.match(lines[0]))


@define
class Background:
    """A process that goes on, and what it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(factory=list)

    def read(self) -> None:
        """Collect its lines until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))


class Session:
    """The folder of a page, what runs there, and what was printed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.folder.mkdir()
        self.values: dict[str, str] = {}
        self.invitation = ""
        self.printed: list[str] = []
        self.port = _free_port()
        self.running: list[Background] = []
        scripts = str(Path(sys.executable).parent)
        self.environment = environment(
            HOME=str(self.folder), NO_COLOR="1", PATH=f"{scripts}:{os.environ['PATH']}", PYTHONUNBUFFERED="1"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self.running:
            if one.process.poll() is None:
                os.killpg(one.process.pid, signal.SIGINT)
        for one in self.running:
            try:
                one.process.wait(DEADLINE / 4)
            except subprocess.TimeoutExpired:
                os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait()
            assert one.process.stdout is not None
            one.process.stdout.close()

    def run(self, block: Block) -> None:
        """Run a block's commands; ``AssertionError`` when one fails or prints something else."""
        for number, command in enumerate(block.commands, start=1):
            text = self.substituted(command.text, block)
            last = number == len(block.commands)
            if ("keep" in block.options and last) or text.endswith("&"):
                self._start(text.rstrip("&"), command, block)
            elif "retry" in block.options:
                self._retry(text, command, block)
            else:
                code, lines = self._execute(text)
                wanted = int(block.options.get("exit", "0"))
                assert code == wanted, f"{block.where}: $ {text}\nexit code {code}\n" + "\n".join(lines)
                self._compare(command, lines, block)
                self.printed = lines

    def run_python(self, block: Block) -> None:
        """Run a program that a page shows."""
        done = subprocess.run(
            [sys.executable, "-"],
            input=self.substituted(block.body, block),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, f"{block.where}: {done.stderr}"
        self.printed = done.stdout.splitlines()

    def check_output(self, block: Block) -> None:
        """Compare what was printed last with what a block of text shows."""
        shown = tuple("…" if line.strip() == "..." else line for line in block.body.splitlines())
        absent = missing(shown, self.printed, self.values, loose="loose" in block.options)
        printed = "\n  ".join(self.printed)
        assert absent is None, (
            f"{block.where}: the page shows\n  {absent}\nand what was printed is\n  {printed}"
        )

    def substituted(self, text: str, block: Block) -> str:
        """A command with what was printed before in its place, and without its comments."""
        if block.language != "python":
            text = re.sub(r"(^|\s)#[^\n]*", "", text).rstrip()
        for shown, value in self.values.items():
            text = text.replace(shown, value)
        if re.search(r"tom:[a-z2-7]*…", text):
            assert self.invitation, f"{block.where}: no invitation was printed before"
            text = re.sub(r"tom:[a-z2-7]*…", self.invitation, text)
        if "tom1…" in block.options:
            shown_id = json.loads(self._output(f"tom id show {block.options['tom1…']} --json"))["id"]
            text = text.replace("tom1…", shown_id)
        text = text.replace("127.0.0.1:7700", f"127.0.0.1:{self.port}")
        if re.match(r"tom node\b", text) and "--listen" not in text:
            text = text.replace("tom node", f"tom node --listen 127.0.0.1:{self.port}", 1)
        return text

    def _output(self, text: str) -> str:
        code, lines = self._execute(text)
        assert code == 0, lines
        return "\n".join(lines)

    def _execute(self, text: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return done.returncode, done.stdout.splitlines()

    def _start(self, text: str, command: Command, block: Block) -> None:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {text}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        background = Background(process)
        self.running.append(background)
        threading.Thread(target=background.read, daemon=True).start()
        end = time.monotonic() + DEADLINE
        while True:
            lines = list(background.lines)
            shown = Command(command.text, (*command.shown, "…"))  # it goes on printing
            absent = self._missing(shown, lines, block)
            if lines and absent is None:
                break
            ended = process.poll() is not None
            assert not ended or command.shown, f"{block.where}: $ {text}\nended: " + "\n".join(lines)
            assert time.monotonic() < end, f"{block.where}: $ {text}\nno {absent!r} in\n" + "\n".join(lines)
            time.sleep(PAUSE)
        self._compare(shown, lines, block)

    def _retry(self, text: str, command: Command, block: Block) -> None:
        end = time.monotonic() + DEADLINE
        while True:
            code, lines = self._execute(text)
            absent = self._missing(command, lines, block)
            if code == 0 and (absent is None or not command.shown):
                break
            assert time.monotonic() < end, (
                f"{block.where}: $ {text}\nexit code {code}, no {absent!r} in\n" + "\n".join(lines)
            )
            time.sleep(PAUSE)
        self._compare(command, lines, block)

    def _missing(self, command: Command, lines: list[str], block: Block) -> str | None:
        return missing(command.shown, lines, self.values, loose="loose" in block.options)

    def _compare(self, command: Command, lines: list[str], block: Block) -> None:
        for line in lines:
            if found := re.search(r"\btom:[a-z2-7]{40,}", line):
                self.invitation = found[0]
        if not command.shown:
            return
        absent = self._missing(command, lines, block)
        assert absent is None, (
            f"{block.where}: $ {command.text}\nthe page shows\n  {absent}\nand the command printed\n  "
            + "\n  ".join(lines)
        )
        self.values |= bound(command.shown, lines, self.values)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def expression(shown: str, values: dict[str, str]) -> re.Pattern[str]:
    """What a line that is shown matches; a NodeId that isn't known yet is a group of its own."""
    parts: list[str] = []
    at = 0
    for match in _TOKENS.finditer(shown.strip()):
        parts.append(re.escape(shown.strip()[at : match.start()]))
        kind = match.lastgroup
        assert kind is not None
        if kind == "node":
            parts.append(re.escape(values[match[0]]) if match[0] in values else r"tom1[02-9ac-hj-np-z]{58}")
        elif kind == "invitation":
            parts.append(r"tom:(?:[a-z2-7]*…?)")
        else:
            parts.append(_PATTERNS[kind])
        at = match.end()
    parts.append(re.escape(shown.strip()[at:]))
    return re.compile("".join(parts))


def missing(shown: tuple[str, ...], lines: list[str], values: dict[str, str], *, loose: bool) -> str | None:
    """The first line that is shown and wasn't printed, or one that was printed and isn't shown."""
    wanted = [line for line in shown if line.strip()]
    printed = [line.strip() for line in lines if line.strip()]
    if loose:
        for line in (line for line in wanted if line.strip() != "…"):
            if not any(expression(line, values).fullmatch(one) for one in printed):
                return line
        return None
    return _in_order(wanted, printed, values)


def _in_order(wanted: list[str], printed: list[str], values: dict[str, str]) -> str | None:
    at = 0
    skipping = False
    for line in wanted:
        if line.strip() == "…":
            skipping = True
            continue
        matches = expression(line, values).fullmatch
        if skipping:
            while at < len(printed) and not matches(printed[at]):
                at += 1
        if at >= len(printed) or not matches(printed[at]):
            return line
        at, skipping = at + 1, False
    if not skipping and at < len(printed):
        return f"(nothing more, and yet: {printed[at]})"
    return None


def bound(shown: tuple[str, ...], lines: list[str], values: dict[str, str]) -> dict[str, str]:
    """NodeIds that are shown, each with the one that was printed in its place."""
    found: dict[str, str] = {}
    for line in shown:
        ids = [match[0] for match in _TOKENS.finditer(line) if match.lastgroup == "node"]
        if not ids:
            continue
        for one in lines:
            if expression(line, values).fullmatch(one.strip()):
                real = re.findall(r"tom1[02-9ac-hj-np-z]{58}", one)
                found |= dict(zip(ids, real, strict=True))
                break
    return found


def pages() -> Iterator[Path]:
    """Every page that people read: of the site, and beside the sources."""
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))
    yield from sorted((ROOT / "docs").glob("*.md"))
    yield from sorted((ROOT / "spec").glob("*.md"))
    for folder in ("tla", "test-vectors", "conformance", "changelog.d", "formats", "bench", "fuzz"):
        yield from sorted((ROOT / folder).glob("README.md"))
