"""Parses what TLC 2.15 prints in ``-tool`` mode.

There every message is framed by ``@!@!@STARTMSG code:class @!@!@`` and ``@!@!@ENDMSG code @!@!@``.
The parser is fed line by line, knows the codes that matter, keeps unknown error texts, and never
guesses: what is no framed message (parser chatter, ``Print``) is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import define, field, frozen

_START = re.compile(r"^@!@!@STARTMSG (\d+):(\d+) @!@!@$")
_END = re.compile(r"^@!@!@ENDMSG (\d+) @!@!@$")
_COUNTS = re.compile(
    r"([\d,.]+) states generated.*?, ([\d,.]+) distinct states found.*?, ([\d,.]+) states left"
)
_PROGRESS_DEPTH = re.compile(r"Progress\((\d+)\)")
_DEPTH = re.compile(r"depth of the complete state graph search is (\d+)")
_SIMULATED = re.compile(
    r"([\d,.]+) states (?:generated|checked)|number of states generated: ([\d,.]+)", re.IGNORECASE
)
_INVARIANT = re.compile(r"Invariant (.+?) is (?:violated|equal to FALSE)")
_PROPERTY = re.compile(r"(?:Action p|P)roperty (.+?) is (?:violated|not correct|false)")
_STATE_HEAD = re.compile(r"^(\d+): (.*)$")
_ACTION = re.compile(r"^<(.+?) line (\d+), col (\d+) to line (\d+), col (\d+) of module (\S+?)>")
_COVERAGE = re.compile(r"^<(\S+) (line \d+, col \d+ to line \d+, col \d+ of module (\S+))>: (\d+):(\d+)")
_FRAME = re.compile(r"@!@!@(?:START|END)MSG [\d:]+ @!@!@")
_ASSIGNED = re.compile(r"^(?:/\\ )?[A-Za-z0-9_]+ = ")
_CONJUNCT = re.compile(r"^/\\ ([A-Za-z0-9_]+) = (.*)$")

CHATTER = 2_000
"""The most lines outside of messages that are kept."""
COUNT_CODES = {2199, 2200, 2206}
SIMULATION_CODES = {2209, 2210}
STATE_CODES = {2122, 2217, 2218}
COVERAGE_CODES = {2772, 2773}
EXPECTED_CODES = {2104, 2114, 2116, 2121, 2264}
"""Of the class of errors, but handled or said by another message."""
INVARIANT_CODES = {2107, 2110, 2146}
ACTION_PROPERTY_CODES = {2108, 2112}
PROBLEM_CODES = {
    1000,
    1001,
    1002,
    1005,
    1101,
    1102,
    2105,
    2106,
    2109,
    2111,
    2113,
    2118,
    2143,
    2154,
    2156,
    2171,
    2279,
    3002,
    5001,
    5002,
    5003,
    5004,
    5005,
    5006,
} | set(range(2222, 2247))


@frozen
class TraceState:
    """One state of a behaviour."""

    number: int
    """From 1."""
    action: str
    """Name of the action that led here; ``Init`` for the first state."""
    location: str
    """Where that action stands, as TLC prints it."""
    text: tuple[tuple[str, str], ...]
    """Variable and value as TLA+ text, in TLC's order."""


@frozen
class ActionCount:
    """How often an action was taken, from ``-coverage``."""

    action: str
    module: str
    distinct: int
    taken: int


@define
class Output:
    """Everything known about a run, kept up to date line by line."""

    generated: int = 0
    distinct: int = 0
    queue: int = 0
    depth: int = 0
    complete: bool = False
    deadlock: bool = False
    assumption: str | None = None
    violated: str | None = None
    """The invariant or property TLC named, or the place it printed instead; ``""`` for a temporal one."""
    violated_kind: str | None = None
    """``invariant``, ``action``, ``temporal``."""
    trace: list[TraceState] = field(factory=list)
    loop: int | None = None
    """Number of the state to which the last one returns."""
    stuttering: bool = False
    coverage: list[ActionCount] = field(factory=list)
    problems: list[str] = field(factory=list)
    """Texts of errors other than violations."""
    chatter: list[str] = field(factory=list)
    """The last lines outside of messages; SANY's complaints are among them."""
    finished: bool = False
    _code: int = 0
    _severity: int = 0
    _lines: list[str] | None = None

    def feed(self, line: str) -> bool:
        """Take one line (without its end); True when counts or phase changed."""
        line = line.rstrip("\r\n")
        start = _START.match(line)
        if start:
            # A start inside a message means that its end was lost; what there is counts.
            if self._lines is not None:
                self._message()
            self._code, self._severity, self._lines = int(start[1]), int(start[2]), []
            return False
        if _END.match(line) and self._lines is not None:
            return self._message()
        if self._lines is not None:
            self._lines.append(line)
        elif line.strip():
            self.chatter.append(line)
            del self.chatter[:-CHATTER]
        return False

    def close(self) -> None:
        """No more lines: a message whose end never came still counts."""
        if self._lines is not None:
            self._message()

    def _message(self) -> bool:
        lines, self._lines = self._lines or [], None
        body = "\n".join(lines)
        code = self._code
        if code in COUNT_CODES:
            return self._counts(body)
        if code in SIMULATION_CODES:
            count = _SIMULATED.search(body)
            if count:
                self.generated = _number(count[1] or count[2])
            return bool(count)
        if code in STATE_CODES:
            self._state(lines, code)
        elif code in COVERAGE_CODES:
            self._covered(body)
        elif code in INVARIANT_CODES:
            self._violation("invariant", _INVARIANT, body)
        elif code in ACTION_PROPERTY_CODES:
            self._violation("action", _PROPERTY, body)
        elif code in PROBLEM_CODES or (self._severity == 1 and code not in EXPECTED_CODES):
            self.problems.append(_plain(body))
        else:
            self._remark(code, body)
        return False

    def _remark(self, code: int, body: str) -> None:
        """Messages that set one thing."""
        if code == 2201:
            self.coverage.clear()
        elif code == 2193:
            self.complete = True
        elif code == 2186:
            self.finished = True
        elif code == 2114:
            self.deadlock = True
        elif code == 2104:
            self.assumption = body
        elif code == 2116 and self.violated is None:
            self.violated, self.violated_kind = "", "temporal"
        elif code == 2194:
            depth = _DEPTH.search(body)
            self.depth = int(depth[1]) if depth else self.depth

    def _violation(self, kind: str, pattern: re.Pattern[str], body: str) -> None:
        if self.violated is None:
            named = pattern.search(body)
            self.violated, self.violated_kind = (named[1] if named else ""), kind
            # An initial state that breaks a property is printed inside the message itself.
            state = [line for line in body.splitlines()[1:] if line.strip()]
            if state and not self.trace and _ASSIGNED.match(state[0]):
                self._state(["1: <Initial predicate>", *state], 2217)

    def _counts(self, body: str) -> bool:
        counts = _COUNTS.search(body)
        if counts:
            self.generated, self.distinct, self.queue = (_number(text) for text in counts.groups())
        depth = _PROGRESS_DEPTH.search(body)
        if depth:
            self.depth = int(depth[1])
        return bool(counts)

    def _state(self, lines: list[str], code: int) -> None:
        head = _STATE_HEAD.match(lines[0]) if lines else None
        if head is None:
            return
        number, description = int(head[1]), head[2]
        if code == 2122:
            self.loop = number
            return
        if code == 2218 or description.startswith("Stuttering"):
            self.stuttering = True
            return
        if description.startswith("Back to state"):
            self.loop = number
            return
        action = _ACTION.match(description)
        name = (
            action[1] if action else "Init" if "Initial predicate" in description else description.strip("<>")
        )
        self.trace.append(TraceState(number, name, description, tuple(_assignments(lines[1:]))))

    def _covered(self, body: str) -> None:
        for match in map(_COVERAGE.match, body.splitlines()):
            if match:
                self.coverage.append(ActionCount(match[1], match[3], int(match[4]), int(match[5])))


def _plain(body: str) -> str:
    """On one line, without the frames of messages that were printed inside this one."""
    return " ".join(_FRAME.sub(" ", body).split())


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _assignments(lines: Iterable[str]) -> list[tuple[str, str]]:
    """``/\\ x = value`` per variable; a value may go on over several lines.

    With a single variable TLC prints ``x = value`` without the conjunction sign.
    """
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        match = _CONJUNCT.match(line)
        if match is None and not found and line.strip():
            match = re.match(r"^([A-Za-z0-9_]+) = (.*)$", line)
        if match:
            found.append((match[1], [match[2]]))
        elif found and line.strip():
            found[-1][1].append(line)
    return [(name, "\n".join(parts)) for name, parts in found]


def parse_states(text: str) -> list[TraceState]:
    """Parse a behaviour that ``-simulate num=...,file=...`` wrote: ``STATE_1 == ...`` and so on.

    TLC writes no action names there; the history variable carries them.
    """
    found = []
    for block in re.split(r"^STATE_(?=\d+ == )", text, flags=re.MULTILINE)[1:]:
        head, _, rest = block.partition("==")
        number = int(head)
        lines = [line for line in rest.splitlines() if line.strip() and not line.startswith("====")]
        found.append(TraceState(number, "Init" if number == 1 else "Next", "", tuple(_assignments(lines))))
    return found


def parse_output(text: str) -> Output:
    """Parse a whole recorded output."""
    output = Output()
    for line in text.splitlines():
        output.feed(line)
    output.close()
    return output
