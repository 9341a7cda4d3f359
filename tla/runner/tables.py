"""Fills ``<!-- generated:NAME -->`` blocks of the specification from declarations and pins.

====================  =====================================================================
``results AREA...``   every passing instance: model, what it checks, states, depth
``properties AREA``   every promised property: its meaning, where it is checked, its twin
``twins AREA...``     every broken twin: which rule it leaves out, what fails, in how many steps
``sweep AREA...``     both sides of every threshold
``witnesses AREA...`` every action and the least number of steps to it
``AREA-results`` etc. the same, together with the areas that serve AREA's chapter
``mutants``           who notices what, by module, from ``mutants.json``
``bias``              what spoiling slots is worth, from ``tla/roles/bias.py``
====================  =====================================================================

Only pinned facts stand in them: no wall times, so that the same models give the same text.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tla.runner.errors import Exit, RunnerError
from tla.runner.instances import Instance
from tla.runner.manifest import Pin
from tla.runner.mutate import read_equivalents
from tla.runner.properties import read_properties
from tla.runner.record import RECORD, Entry, read_record, tried_of

SERVING = {"purge": ("compose", "abs")}
"""Areas without a chapter of their own stand in the chapter of another."""
BLOCK = re.compile(r"(<!-- generated:(?P<name>[^>]*?) -->\n)(?P<body>.*?)(<!-- /generated -->)", re.DOTALL)
OTHERS = ("layout", "reasons", "constants", "purposes", "example")
"""Blocks that other generators fill (``tools.spec``, ``tools.vectors``) in the same chapters."""
FILES = ("spec/08-roles.md", "spec/09-purge.md", "tla/README.md")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table; ``numeric`` names the columns to be set flush right."""
    lines = [
        "| " + " | ".join(head) + " |",
        "|" + "|".join("---:" if index in numeric else "---" for index in range(len(head))) + "|",
    ]
    lines.extend("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join(lines) + "\n"


class Tables:
    """The tables over the instances and their pins."""

    def __init__(self, root: Path, instances: Sequence[Instance], pins: Mapping[str, Pin]) -> None:
        self.root = root
        self.instances = instances
        self.pins = pins

    def _of(self, areas: Sequence[str], *kinds: str) -> list[Instance]:
        unknown = set(areas) - {one.area_name for one in self.instances}
        if unknown and not any(one.area_name in areas for one in self.instances):
            raise RunnerError(f"a generated block names unknown areas: {', '.join(sorted(unknown))}")
        return [one for one in self.instances if one.area_name in areas and (not kinds or one.kind in kinds)]

    def _states(self, instance: Instance) -> str:
        pin = self.pins.get(instance.name)
        return f"{pin.distinct:,}" if pin else "not run"

    def _depth(self, instance: Instance) -> str:
        pin = self.pins.get(instance.name)
        return str(pin.depth) if pin and instance.mode == "check" else ""

    def results(self, *areas: str) -> str:
        """Every instance that must pass."""
        rows = [
            (
                f"`{one.module_name}`",
                f"`{one.name}`",
                one.about,
                ", ".join(f"`{name}`" for name in one.checks or one.read_config().properties_and_invariants),
                one.tier,
                self._states(one),
                self._depth(one),
                self._verdict(one),
            )
            for one in self._of(areas, "main", "lemma", "induction", "liveness", "refinement", "smoke")
        ]
        head = ("model", "instance", "what it is", "checks", "tier", "distinct states", "depth", "result")
        return markdown(head, rows, (5, 6))

    def _verdict(self, instance: Instance) -> str:
        pin = self.pins.get(instance.name)
        return (
            "not run" if pin is None else "holds" if pin.verdict == "pass" else f"violates `{pin.property}`"
        )

    def properties(self, *areas: str) -> str:
        """The promised properties, each with its largest passing instance and its twins."""
        rows = []
        for promised in read_properties(self.root):
            if promised.area not in areas:
                continue
            checked = [
                one
                for one in self.instances
                if one.expect == "pass" and promised.name in one.read_config().properties_and_invariants
            ]
            largest = max(checked, key=lambda one: (self._count(one), one.name), default=None)
            twins = [one for one in self.instances if one.kind == "twin" and one.violates == promised.name]
            rows.append(
                (
                    f"`{promised.name}`",
                    promised.meaning,
                    f"`{largest.name}` ({self._states(largest)} states)" if largest else "nowhere",
                    str(len(checked)),
                    ", ".join(f"`{one.name}`" for one in twins) or "none",
                )
            )
        head = (
            "property",
            "meaning",
            "largest instance it holds in",
            "instances",
            "broken twins that violate it",
        )
        return markdown(head, rows, (3,))

    def _count(self, instance: Instance) -> int:
        pin = self.pins.get(instance.name)
        return pin.distinct if pin else 0

    def twins(self, *areas: str) -> str:
        """The broken twins."""
        rows = []
        for one in self._of(areas, "twin"):
            pin = self.pins.get(one.name)
            steps = str(pin.trace - 1) if pin and pin.trace else "a loop" if pin else "not run"
            rows.append((f"`{one.name}`", one.about, f"`{one.violates}`", steps, ", ".join(one.requirements)))
        return markdown(("twin", "what it leaves out", "violates", "steps", "requirements"), rows, (3,))

    def witnesses(self, *areas: str) -> str:
        """Every action and the least number of steps that lead to it."""
        rows = []
        for one in sorted(
            self._of(areas, "witness"), key=lambda each: (each.module_name, str(each.witness_of))
        ):
            pin = self.pins.get(one.name)
            steps = str(pin.trace - 1) if pin and pin.trace else "not run"
            rows.append((f"`{one.module_name}`", f"`{one.witness_of}`", steps))
        return markdown(("model", "action", "steps"), rows, (2,))

    def sweep(self, *areas: str) -> str:
        """Both sides of every threshold; one table per set of coordinates."""
        groups: dict[tuple[str, ...], list[Instance]] = {}
        for one in self._of(areas, "sweep"):
            groups.setdefault(tuple(one.sweep), []).append(one)
        parts = []
        for names, group in groups.items():
            rows = [
                (
                    *(_say(one.sweep[name]) for name in names),
                    ", ".join(
                        f"`{name}`" for name in one.checks or one.read_config().properties_and_invariants
                    ),
                    self._verdict(one),
                    self._states(one),
                )
                for one in sorted(group, key=lambda each: [_order(each.sweep[name]) for name in names])
            ]
            parts.append(markdown((*names, "checks", "result", "distinct states"), rows, (len(names) + 2,)))
        return "\n".join(parts) if parts else "No threshold is declared.\n"

    def mutants(self) -> str:
        """By module: how many mutants, how many are noticed, and by how many instances."""
        entries = read_record(self.root / RECORD)
        declared = read_equivalents(self.root)
        groups: dict[str, list[Entry]] = {}
        for name, entry in entries.items():
            groups.setdefault(name.partition("!")[0], []).append(entry)
        rows = [
            (
                f"`{module}`",
                str(len(group)),
                str(sum(entry.noticed_by is not None for entry in group)),
                str(sum(entry.noticed_by is None for entry in group)),
                str(sum("violated" in entry.how for entry in group)),
                str(len({entry.noticed_by for entry in group} - {None})),
            )
            for module, group in sorted(groups.items())
        ]
        head = (
            "module",
            "mutants",
            "noticed",
            "declared equivalent",
            "of those noticed, by a broken property",
            "by so many instances",
        )
        of = tried_of(self.root / RECORD) or 0
        untried = (
            f"Of {of} mutants {of - len(entries)} are not on record yet: not all instances were asked.\n\n"
            if of > len(entries)
            else ""
        )
        lines = [
            f"- `{one.area}`, `{one.action}`, {one.change} `{' '.join(one.guard.split())}`: {one.reason}"
            for one in declared
        ]
        return (
            untried
            + markdown(head, rows, (1, 2, 3, 4, 5))
            + ("\n" + "\n".join(lines) + "\n" if lines else "")
        )

    def bias(self) -> str:
        """What ``tla/roles/bias.py`` prints: a table in Markdown."""
        script = self.root / "roles" / "bias.py"
        if not script.is_file():
            raise RunnerError(f"{script}: not there, and a generated block asks for it")
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode != 0 or not done.stdout.strip():
            raise RunnerError(
                f"{script}: exit code {done.returncode}: {done.stderr.strip()[-300:]}", Exit.BROKEN
            )
        return done.stdout.rstrip("\n") + "\n"

    def render(self, name: str) -> str:
        """The text of a block; :class:`RunnerError` for a name nobody knows."""
        words = name.replace(",", " ").replace(":", " ").split()
        if len(words) == 1 and "-" in words[0]:
            # `roles-results` is `results roles`; the areas that serve a chapter come with it.
            area, _, kind = words[0].rpartition("-")
            words = [kind, area, *SERVING.get(area, ())]
        makers: dict[str, Callable[..., str]] = {
            "results": self.results,
            "properties": self.properties,
            "twins": self.twins,
            "sweep": self.sweep,
            "witnesses": self.witnesses,
            "mutants": self.mutants,
            "bias": self.bias,
        }
        if not words or words[0] not in makers:
            raise RunnerError(f"unknown generated block {name!r}; known: {', '.join(sorted(makers))}")
        return makers[words[0]](*words[1:])


def _say(value: int | str) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _order(value: int | str) -> tuple[int, int, str]:
    return (0, int(value), "") if isinstance(value, int) else (1, 0, value)


def fill(text: str, tables: Tables) -> str:
    """The text with every block filled anew; those of other generators are left as they are."""

    def one(match: re.Match[str]) -> str:
        if match["name"].split()[:1] and match["name"].split()[0] in OTHERS:
            return match[0]
        return f"{match[1]}{tables.render(match['name'])}{match[4]}"

    return BLOCK.sub(one, text)


def update(files: Sequence[Path], tables: Tables, *, check: bool) -> list[Path]:
    """Fill the blocks of the files; returns those that changed (or would, with ``check``)."""
    changed = []
    for file in files:
        if not file.is_file():
            continue
        before = file.read_text(encoding="utf-8")
        after = fill(before, tables)
        if after != before:
            changed.append(file)
            if not check:
                file.write_text(after, encoding="utf-8")
    return changed
