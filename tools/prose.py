"""``python -m tools.prose``: the prose agrees with the declarations, is spelled well and leads nowhere wrong.

Five checks over the specification, the site's own pages and the README:

* **numbers**: every number written with a thousands separator is the value of a constant of
  ``tom_ref/constants.py``, or of an expression over constants that ``tools/prose.toml`` lists.  Whoever
  changes a constant finds every sentence that named the old value.
* **named numbers**: where a number stands beside a constant's name, as in "`EPS` (5 s)", "72 hours
  (`MAX_TTL`)" or "2 EPS = 10 s", it is that constant's value, whatever its unit and however small.
* **names**: every word in capitals with an underscore is a constant.
* **spelling**: ``codespell``, with the words of ``tools/prose.toml`` let through.
* **links and pictures**: every relative link leads to a file, and every picture has a text for those who
  don't see it.

Generated blocks and code are left out: they are made from the declarations or run by the tests.
"""

from __future__ import annotations

import ast
import operator
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from tom_ref import constants
from tools.spec import tables

ROOT: Final = Path(__file__).resolve().parents[1]
_GENERATED: Final = re.compile(r"<!-- generated:.*?<!-- /generated -->", re.DOTALL)
_FENCE: Final = re.compile(r"^(```+|~~~+).*?^\1[ ]*$", re.DOTALL | re.MULTILINE)
_NUMBER: Final = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,])")
_NAME: Final = re.compile(r"(?<![\w-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w-])")
_LINK: Final = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_VALUE: Final = r"(?P<number>\d[\d,]*(?:\.\d+)?)(?:\s+(?P<unit>[A-Za-z]+|%))?"
_CONSTANT: Final = (
    r"(?<![\w.])(?:(?P<factor>\d+)[ ·]+)?`?(?P<name>(?<![\w-])[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*)`?(?![\w`(-])"
)
_JOINED: Final = r"(?:\s+\((?:that is |about |=\s*)?|,?\s+(?:is|are|=|of)\s+(?:at (?:most|least) )?)"
_OPERATOR_BEFORE: Final = re.compile(r"[-+−*·×/]\s*(?:\d+ )?`?$")
_OPERATOR_BEHIND: Final = re.compile(r"\s*[-+−*×/]\s*[\w`]")
_NAMED: Final = (
    re.compile(_CONSTANT + _JOINED + _VALUE),
    re.compile(r"(?<![\w.,])" + _VALUE + r"\s+\((?:that is )?" + _CONSTANT + r"\)"),
)
_UNITS: Final[Mapping[str, Mapping[str, int]]] = {
    "ms": {
        **dict.fromkeys(("ms", "milliseconds", "millisecond"), 1),
        **dict.fromkeys(("s", "seconds", "second"), 1000),
        **dict.fromkeys(("min", "minutes", "minute"), 60_000),
        **dict.fromkeys(("h", "hours", "hour"), 3_600_000),
        **dict.fromkeys(("d", "days", "day"), 86_400_000),
    },
    "bytes": {
        **dict.fromkeys(("B", "bytes", "byte"), 1),
        "KiB": 1 << 10,
        "MiB": 1 << 20,
        "GiB": 1 << 30,
    },
    "KiB": {"KiB": 1, "MiB": 1 << 10},
    "permille": {"permille": 1, "percent": 10, "%": 10},
}
"""How many of a constant's own unit others are."""
_OPERATORS: Final[Mapping[type, Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


@attrs.frozen
class Finding:
    """One thing that is wrong, and where."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def pages(root: Path) -> list[Path]:
    """The prose that is checked: chapters, pages of the site, the README; decisions are history."""
    found = [*sorted((root / "spec").glob("*.md")), *sorted((root / "docs").glob("*.md")), root / "README.md"]
    return [path for path in found if path.exists()]


def prose_of(text: str) -> str:
    """The text with generated blocks and code fences blanked, line numbers unchanged."""

    def blank(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n")

    return _FENCE.sub(blank, _GENERATED.sub(blank, text))


def evaluate(expression: str, values: Mapping[str, Any]) -> int:
    """The value of an expression of constants, whole numbers, ``+``, ``-`` and ``*``.

    Raises ``ValueError`` for anything else, ``KeyError`` for a name that is not a constant.
    """

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.Name):
            return int(values[node.id])
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        raise ValueError(f"not an expression of constants: {expression}")

    return value(ast.parse(expression, mode="eval").body)


def number_findings(where: str, prose: str, allowed: frozenset[int]) -> Iterator[Finding]:
    """Numbers that no constant and no listed expression has."""
    for line, text in enumerate(prose.splitlines(), start=1):
        for match in _NUMBER.finditer(text):
            if int(match[0].replace(",", "")) not in allowed:
                yield Finding(
                    f"{where}:{line}", f"{match[0]} is the value of no constant; see tools/prose.toml"
                )


def named_findings(where: str, prose: str, declared: Mapping[str, tuple[int, str]]) -> Iterator[Finding]:
    """Numbers beside a constant's name that are not its value; ``declared`` has value and unit of each."""
    for pattern in _NAMED:
        for match in pattern.finditer(prose):
            if match["name"] not in declared or _OPERATOR_BEFORE.search(prose[: match.start()]):
                continue
            if pattern is _NAMED[0] and _OPERATOR_BEHIND.match(prose[match.end() :]):
                continue
            value, unit = declared[match["name"]]
            scale = _UNITS.get(unit, {}).get(match["unit"] or "", 1)
            said = round(float(match["number"].replace(",", "")) * scale, 6)
            if said != value * int(match["factor"] or 1):
                line = prose.count("\n", 0, match.start()) + 1
                text = " ".join(match[0].split())
                yield Finding(f"{where}:{line}", f"{text}: {match['name']} is {value:,} {unit}")


def name_findings(where: str, prose: str, names: frozenset[str]) -> Iterator[Finding]:
    """Names of constants that don't exist."""
    for line, text in enumerate(prose.splitlines(), start=1):
        for match in _NAME.finditer(text):
            if match[0] not in names:
                yield Finding(f"{where}:{line}", f"{match[0]} is no constant; see tools/prose.toml")


def link_findings(root: Path, page: Path, prose: str) -> Iterator[Finding]:
    """Relative links that lead to no file, and pictures without a text."""
    where = page.relative_to(root).as_posix()
    for line, text in enumerate(prose.splitlines(), start=1):
        for match in _LINK.finditer(text):
            target, _, _ = match["target"].partition("#")
            if match["picture"] and not match["text"].strip():
                yield Finding(f"{where}:{line}", f"the picture {target} has no text in its place")
            outside = re.match(r"[a-z]+:", target) or not target
            generated = "generated/" in target and (root / "spec" / Path(target).name).exists()
            written = Path(target).name in {"specification.md", "decisions.md", "reference.md"}
            if not outside and not generated and not written and not (page.parent / target).exists():
                yield Finding(f"{where}:{line}", f"the link to {target} leads nowhere")


def spelling_findings(paths: list[Path], root: Path, words: list[str]) -> Iterator[Finding]:
    """What ``codespell`` takes for a misspelling."""
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words-list", ",".join(words) or "-"]
    done = subprocess.run(
        [*command, *(path.relative_to(root).as_posix() for path in paths)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 65}:
        yield Finding("codespell", f"could not run: {done.stderr.strip() or done.returncode}")
    for line in done.stdout.splitlines():
        where, _, what = line.partition(": ")
        yield Finding(where, f"spelling: {what}")


def findings(root: Path = ROOT) -> list[Finding]:
    """Everything that is wrong with the prose under ``root``."""
    settings = tomllib.loads((root / "tools" / "prose.toml").read_text(encoding="utf-8"))
    values = {name: value for name, value in vars(constants).items() if name.isupper()}
    derived = [evaluate(expression, values) for expression in settings["numbers"]]
    allowed = frozenset([*derived, *(value for value in values.values() if isinstance(value, int))])
    names = frozenset([*values, *settings["names"]])
    source = (ROOT / "tom_ref" / "constants.py").read_text(encoding="utf-8")
    declared = {
        one.name: (one.value, one.unit)
        for one in tables.read_constants(source, vars(constants))
        if isinstance(one.value, int)
    }
    found: list[Finding] = []
    for page in pages(root):
        where = page.relative_to(root).as_posix()
        prose = prose_of(page.read_text(encoding="utf-8"))
        found += number_findings(where, prose, allowed)
        found += named_findings(where, prose, declared)
        found += name_findings(where, prose, names)
        found += link_findings(root, page, prose)
    found += spelling_findings(pages(root), root, settings["words"])
    return found


def main() -> int:
    """Print what is wrong; exit 1 when anything is."""
    found = findings()
    for finding in found:
        print(finding)
    print(f"prose: {len(pages(ROOT))} pages, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
