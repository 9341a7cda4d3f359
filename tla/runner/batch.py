"""Many mutants in one run of TLC: the number of the mutant is one more variable, which never changes.

A virtual machine that starts for one mutant spends most of its time on starting.  Here the state spaces of
all mutants of an instance are explored side by side, each counted by itself: a mutant is noticed when it has
other than the pinned number of states, or breaks an invariant.  Number 0 is the model as it is; if it
doesn't come out as pinned, the run proves nothing and is thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from tla.runner.config import Config
from tla.runner.sany import Place
from tla.runner.tlc import Result, Verdict, run_tlc

NUMBER = "mutant_number"
DECLARATION = "MutantNumber"
ROOT = "MutantBatch"
BATCH_SECONDS = 3_600
_EXTENDS = re.compile(r"^EXTENDS\s+([\w\s,]*\w)[ \t]*$", re.MULTILINE)
_SAID = re.compile(r'^<<"(?P<what>full|more|violated)", (?P<number>\d+)(?:, "(?P<name>\w+)")?>>$')


@frozen
class Change:
    """One mutant as a batch sees it."""

    number: int
    """From 1."""
    module: str
    place: Place
    change: str
    """``drop`` or ``negate``."""


def extended_by(sources: Mapping[str, str], root: str) -> set[str]:
    """The modules whose variables are those of ``root``: itself and what it extends, at any depth."""
    found: set[str] = set()
    ahead = [root]
    while ahead:
        name = ahead.pop()
        if name in sources and name not in found:
            found.add(name)
            line = _EXTENDS.search(sources[name])
            ahead.extend(re.split(r"[\s,]+", line[1]) if line else [])
    return found


def overlap(one: Place, other: Place) -> bool:
    """Whether two places of one module have text in common."""
    begin, end = (one.line, one.column), (one.end_line, one.end_column)
    return begin <= (other.end_line, other.end_column) and (other.line, other.column) <= end


def apart(changes: Iterable[Change]) -> list[list[Change]]:
    """Groups in which no two guards overlap, unless they are the very same."""
    groups: list[list[Change]] = []
    for change in changes:
        for group in groups:
            if not any(
                change.module == other.module
                and change.place != other.place
                and overlap(change.place, other.place)
                for other in group
            ):
                group.append(change)
                break
        else:
            groups.append([change])
    return groups


def merged(source: str, changes: Sequence[Change]) -> str:
    """A module's text in which each guard asks for the number; everything that stays keeps its column."""
    lines = source.splitlines()
    places = {change.place for change in changes}
    for place in sorted(places, key=lambda one: (one.line, one.column), reverse=True):
        here = [change for change in changes if change.place == place]
        numbers = {
            kind: ", ".join(str(change.number) for change in here if change.change == kind)
            for kind in ("drop", "negate")
        }
        before = lines[place.line - 1][: place.column - 1]
        rest = lines[place.end_line - 1][place.end_column :]
        text = lines[place.line - 1 : place.end_line]
        text[-1] = text[-1][: place.end_column]
        text[0] = " " * (place.column - 1) + text[0][place.column - 1 :]
        dropped, negated = (f"IF {NUMBER} \\in {{{numbers[kind]}}} THEN " for kind in ("drop", "negate"))
        body = [f"{before}({dropped}TRUE ELSE {negated}~("]
        body += [*text[:-1], text[-1] + ") ELSE ("]
        body += [*text[:-1], text[-1] + "))"]
        if rest.strip():
            body.append(" " * place.end_column + rest)
        lines[place.line - 1 : place.end_line] = body
    first = next(index for index, line in enumerate(lines) if line.startswith("EXTENDS "))
    lines[first] = lines[first].replace("EXTENDS ", f"EXTENDS {DECLARATION}, ", 1)
    return "\n".join(lines) + "\n"


def root_text(root: str, config: Config, highest: int, pinned: int) -> str:
    """The module that counts the states of each number, and says when it has all, or more, or a wrong one."""
    begin, step = config.init or "Init", config.next or "Next"
    counter, flag = f"1 + {NUMBER}", f"{highest + 2} + {NUMBER}"
    watched = "".join(
        f"  /\\ {name} \\/ TLCGet({flag}) = 1\n"
        f'     \\/ (TLCSet({flag}, 1) /\\ PrintT(<<"violated", {NUMBER}, "{name}">>))\n'
        for name in config.invariants
    )
    return (
        f"---- MODULE {ROOT} ----\n"
        f"EXTENDS {root}, {DECLARATION}, TLC\n"
        f"ASSUME \\A register \\in 1..{2 * highest + 3} : TLCSet(register, 0)\n"
        f"BatchInit == {begin} /\\ {NUMBER} \\in 0..{highest}\n"
        f"BatchNext == {step} /\\ UNCHANGED {NUMBER}\n"
        "BatchWatch ==\n"
        f"  /\\ TLCSet({counter}, TLCGet({counter}) + 1)\n"
        f'  /\\ TLCGet({counter}) = {pinned} => PrintT(<<"full", {NUMBER}>>)\n'
        f'  /\\ TLCGet({counter}) = {pinned + 1} => PrintT(<<"more", {NUMBER}>>)\n'
        f"{watched}"
        f"BatchBound == TLCGet({counter}) <= {pinned}\n"
        "====\n"
    )


def suits(config: Config) -> bool:
    """Whether an instance can be run so: a specification of initial states and steps, no view."""
    plain = config.specification == "Spec" or (config.specification is None and config.init is not None)
    return plain and config.view is None and bool(config.invariants)


def noticed_in(
    sources: Mapping[str, str],
    root: str,
    config: Config,
    pinned: int,
    changes: Sequence[Change],
) -> dict[int, str] | None:
    """Which of the changes an instance notices, and how; None if the run proves nothing.

    ``pinned`` is the number of distinct states of the model as it is.  The changes don't overlap.
    """
    found: dict[int, str] = {}
    left = list(changes)
    while left:
        result = _run(sources, root, config, pinned, left)
        said: dict[int, dict[str, str]] = {}
        for line in result.chatter:
            match = _SAID.match(line)
            if match:
                said.setdefault(int(match["number"]), {})[match["what"]] = match["name"] or ""
        if result.verdict is Verdict.BROKEN and result.trace:
            # A guard kept a step from being evaluated that cannot be: whose it was shows in the state.
            number = int(dict(result.trace[-1].text)[NUMBER])
            if number == 0:
                return None
            found[number] = "cannot be evaluated: " + " ".join(result.problems)[:80]
            left = [change for change in left if change.number != number]
            continue
        if result.verdict is not Verdict.PASS or set(said.get(0, ())) != {"full"}:
            return None
        for change in left:
            words = said.get(change.number, {})
            if "violated" in words:
                found[change.number] = f"{words['violated']} is violated"
            elif "more" in words:
                found[change.number] = f"more than {pinned:,} states"
            elif "full" not in words:
                found[change.number] = f"fewer than {pinned:,} states"
        return found
    return found


def _run(
    sources: Mapping[str, str], root: str, config: Config, pinned: int, changes: Sequence[Change]
) -> Result:
    texts = dict(sources)
    for module in {change.module for change in changes}:
        texts[module] = merged(sources[module], [c for c in changes if c.module == module])
    texts[DECLARATION] = f"---- MODULE {DECLARATION} ----\nVARIABLE {NUMBER}\n====\n"
    texts[ROOT] = root_text(root, config, max(change.number for change in changes), pinned)
    batched = evolve(
        config,
        specification=None,
        init="BatchInit",
        next="BatchNext",
        invariants=("BatchWatch",),
        properties=(),
        constraints=(*config.constraints, "BatchBound"),
    )
    return run_tlc(texts, ROOT, batched, timeout=BATCH_SECONDS)
