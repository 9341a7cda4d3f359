"""Asks TLC whether the log of a simulation (``tom sim --log FILE``) is a behaviour of the model ``TermKnow``.

Every term of the log is a behaviour of its own; those of equally many validators are checked in one run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen
from rich.console import Console

from tla.runner.closure import library_of, sources_of
from tla.runner.config import Config
from tla.runner.errors import Exit, RunnerError
from tla.runner.tlc import Result, Verdict, run_tlc

FORMAT: Final = 1
ROOT: Final = "TraceRun"
MOST_SLOTS: Final = 200
"""Slots of one term; a model's state grows with them."""
MOST_ENTRIES: Final = 200_000
"""Entries of one log."""
ACTIONS: Final = ("Tick", "Propose", "Learn", "Vote", "Restart", "Adopt")
NUMBERS: Final = ("block", "parent", "slot", "last", "lock")
_TOLD = re.compile(r'^<<"(?P<what>explained|refused)", (?P<run>\d+)(?:, (?P<at>\d+))?>>$')


@frozen
class Entry:
    """One step of the log."""

    line: int
    """Where it stands, from 1."""
    name: str
    node: str
    """``h1`` and so on, by the place among the term's validators."""
    numbers: Mapping[str, int]
    """``block`` and ``parent`` are slots; ``slot``, ``last`` and ``lock`` are the validator's."""

    def rendered(self) -> str:
        """As a record of TLA+."""
        fields = ", ".join(f"{name} |-> {self.numbers[name]}" for name in NUMBERS)
        return f'[name |-> "{self.name}", node |-> "{self.node}", {fields}]'


@define
class TermOfLog:
    """What a log says of the vote on the successor of one record."""

    term: int
    quorum: int
    nodes: tuple[str, ...]
    entries: list[Entry] = field(factory=list)

    @property
    def slots(self) -> int:
        """The highest slot in it, at least 1."""
        return max((entry.numbers[name] for entry in self.entries for name in NUMBERS), default=1) or 1


@frozen
class Refused:
    """The entry of a term that no step of the model explains."""

    term: int
    entry: Entry
    node: str


def read_log(file: Path) -> list[TermOfLog]:
    """The terms of a log in the order of their first entries.

    Raises :class:`RunnerError` for a file that is no such log.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunnerError(f"{file}: {error}") from error
    if len(lines) > MOST_ENTRIES:
        raise RunnerError(f"{file}: more than {MOST_ENTRIES:,} entries")
    terms: dict[str, TermOfLog] = {}
    for number, line in enumerate(lines, 1):
        try:
            _take(terms, number, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunnerError(f"{file}, line {number}: not an entry of a log: {error}") from error
    if not terms:
        raise RunnerError(f"{file}: no term in it")
    return list(terms.values())


def _take(terms: dict[str, TermOfLog], number: int, line: dict[str, Any]) -> None:
    if number == 1:
        if line["format"] != FORMAT or line["model"] != "TermKnow":
            raise ValueError("another format or model")
        return
    name, present = line["name"], line["present"]
    if name == "Term":
        nodes = tuple(line["validators"])
        quorum, term = line["quorum"], line["term"]
        if not (0 < _number(quorum) <= len(nodes) == len(set(nodes))) or present in terms:
            raise ValueError("a term begins twice, or not with validators and a quorum of them")
        terms[present] = TermOfLog(_number(term), quorum, nodes)
        return
    known = terms[present]
    numbers = {key: _number(line[key]) for key in NUMBERS}
    if name not in ACTIONS or max(numbers.values()) > MOST_SLOTS:
        raise ValueError(f"no action, or more than {MOST_SLOTS} slots")
    if name in {"Propose", "Learn", "Vote", "Adopt"} and numbers["block"] == 0:
        raise ValueError("no block")
    node = f"h{known.nodes.index(line['node']) + 1}"
    known.entries.append(Entry(number, name, node, numbers))


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number")
    return value


def unexplained(terms: Iterable[TermOfLog], root: Path) -> list[Refused]:
    """The terms that are no behaviour of the model, each with its first entry that is none of its steps."""
    groups: dict[tuple[int, int], list[TermOfLog]] = {}
    for term in terms:
        groups.setdefault((len(term.nodes), term.quorum), []).append(term)
    found = []
    for group in groups.values():
        told = [match for match in map(_TOLD.match, _run(group, root).chatter) if match is not None]
        if {int(match["run"]) for match in told} != set(range(1, len(group) + 1)):
            raise RunnerError("TLC didn't come to the end of every log", Exit.BROKEN)
        for match in told:
            if match["what"] == "refused":
                term = group[int(match["run"]) - 1]
                entry = term.entries[int(match["at"]) - 1]
                found.append(Refused(term.term, entry, term.nodes[int(entry.node[1:]) - 1]))
    return sorted(found, key=lambda one: one.entry.line)


def _run(group: Sequence[TermOfLog], root: Path) -> Result:
    sources = sources_of(root / "roles" / "MC_TraceTerm.tla", library_of(root))
    logs = ",\n".join("<<" + ",\n".join(entry.rendered() for entry in term.entries) + ">>" for term in group)
    sources[ROOT] = f"---- MODULE {ROOT} ----\nEXTENDS MC_TraceTerm\nRunLogs == <<\n{logs}>>\n====\n"
    result = run_tlc(sources, ROOT, config_of(group), small=True)
    if result.verdict is not Verdict.PASS:
        raise RunnerError("; ".join(result.problems)[:300] or result.verdict.value, Exit.BROKEN)
    return result


def config_of(group: Sequence[TermOfLog]) -> Config:
    """The bounds of the model that the terms need, and every rule in force."""
    slots = max(term.slots for term in group)
    honest = "{" + ", ".join(f'"h{number}"' for number in range(1, len(group[0].nodes) + 1)) + "}"
    values = {
        "Honest": honest,
        "F": "0",
        "S": str(slots),
        "Q": str(group[0].quorum),
        "VARIANTS": "1",
        "SKEW": str(slots),
        "Fragile": honest,
        "RUN": "3",
        "EARLY": "FALSE",
        "TRACE": "FALSE",
    }
    values |= dict.fromkeys(
        ("CURRENT", "RISING", "LONGEST", "DISKLAST", "DISKTIP", "ABSTAIN", "HOLDS"), "TRUE"
    )
    return Config(
        init="TraceInit",
        next="TraceNext",
        constants=(
            *((name, "=", value) for name, value in values.items()),
            ("Slots", "<-", "TraceSlots"),
            ("Blocks", "<-", "TraceSlots"),
            ("TheLogs", "<-", "RunLogs"),
        ),
        invariants=("Tell",),
    )


def validate(file: Path, root: Path, console: Console) -> Exit:
    """Check a log, say what came of it; :attr:`Exit.DIFFERENT` if the model doesn't explain it."""
    terms = read_log(file)
    refused = unexplained(terms, root)
    for one in refused:
        entry = one.entry
        console.print(
            f"line {entry.line}: no step of TermKnow explains {entry.name} of "
            f"{one.node[:8]} in term {one.term}: "
            + ", ".join(f"{name} {entry.numbers[name]}" for name in NUMBERS),
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    entries = sum(len(term.entries) for term in terms)
    console.print(
        f"{len(terms) - len(refused)} of {len(terms)} terms, {entries:,} steps in all, "
        "are behaviours of TermKnow",
        highlight=False,
    )
    return Exit.DIFFERENT if refused else Exit.OK
