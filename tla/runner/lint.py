"""What the models must look like, beyond what a model checker sees.

- Core modules stay within what both TLC and Apalache accept; wrappers (``MC_*``, ``APA_*``) and the
  stubs are exempt, and so are modules of which the declarations say that they are for TLC only.
- Every constant and variable of a core module has its Snowcat type.
- Every promised property is checked by an instance that passes and violated by a twin.
- Every action of a main model has a witness.
- Every file is used by an instance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

from tla.runner.actions import actions_of
from tla.runner.closure import library_of, sources_of, strip_comments
from tla.runner.instances import Instance
from tla.runner.properties import read_properties
from tla.runner.sany import Node, Tree, parse_tree

WRAPPERS = ("MC_", "APA_")
TLC_ONLY = re.compile(r"\\\*\s*lint:\s*tlc-only\s+\S{3,}.*")
"""A line ``\\* lint: tlc-only REASON`` exempts a module from Apalache's limits."""

_WORDS = {
    "RECURSIVE": "RECURSIVE (use ApaFoldSet or ApaFoldSeqLeft)",
    "CHOOSE": "CHOOSE",
    "STRING": "STRING",
    "ENABLED": "ENABLED",
}
_FAIRNESS = re.compile(r"\b(?:WF|SF)_")
_SEQ = re.compile(r"(?<![A-Za-z0-9_])Seq\s*\(")
_PARAMETERISED = re.compile(r"^\s*[A-Za-z0-9_]+\s*\([^)]*\)\s*==\s*INSTANCE\b", re.MULTILINE)
_UNBOUNDED = {
    "$UnboundedExists",
    "$UnboundedForall",
    "$UnboundedChoose",
    "$TemporalExists",
    "$TemporalForall",
}


@frozen
class Finding:
    """One breach: where, and what."""

    where: str
    what: str


def _line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def lint_text(name: str, text: str) -> list[Finding]:
    """What can be told from a core module's text alone."""
    bare = strip_comments(text)
    found = [
        Finding(f"{name}:{_line_of(bare, match.start())}", f"{what} in a core module")
        for word, what in _WORDS.items()
        for match in re.finditer(rf"(?<![A-Za-z0-9_]){word}(?![A-Za-z0-9_])", bare)
    ]
    for pattern, what in (
        (_FAIRNESS, "fairness"),
        (_SEQ, "Seq(S)"),
        (_PARAMETERISED, "a parameterised INSTANCE"),
    ):
        found.extend(
            Finding(f"{name}:{_line_of(bare, match.start())}", f"{what} in a core module")
            for match in pattern.finditer(bare)
        )
    if "\t" in text:
        found.append(Finding(name, "a tab: columns carry meaning in TLA+"))
    return found


def lint_types(name: str, text: str) -> list[Finding]:
    """A Snowcat annotation between the keyword, or the comma before, and every declared name."""
    bare = strip_comments(text)
    found = []
    for match in re.finditer(r"(?<![A-Za-z0-9_])(?:CONSTANTS?|VARIABLES?)(?![A-Za-z0-9_])", bare):
        position = match.end()
        while True:
            declared = re.compile(r"\s*([A-Za-z0-9_]+)(\s*\([^)]*\))?").match(bare, position)
            if declared is None:
                break
            if "@type:" not in text[position : declared.start(1)]:
                found.append(
                    Finding(f"{name}:{_line_of(bare, declared.start(1))}", f"{declared[1]} has no @type")
                )
            comma = re.compile(r"\s*,").match(bare, declared.end())
            if comma is None:
                break
            position = comma.end()
    return found


def lint_tree(tree: Tree, modules: set[str]) -> list[Finding]:
    """Unbounded quantifiers and ranges with bounds that are not constant."""
    found = []
    seen: set[str] = set()
    for definition in tree.definitions.values():
        if definition.place.module not in modules or "!" in definition.name or definition.uid in seen:
            continue
        seen.add(definition.uid)
        for node in definition.body.walk():
            where = f"{node.place.module}:{node.place.line}"
            if node.operator in _UNBOUNDED:
                found.append(Finding(where, f"an unbounded quantifier or choice in {definition.name}"))
            elif node.operator == ".." and any(not _constant(operand) for operand in node.operands):
                found.append(Finding(where, f"a range whose bounds are not constant in {definition.name}"))
    return list(dict.fromkeys(found))


def _constant(node: Node) -> bool:
    return all(one.level == 0 and one.reference != "$formal" for one in node.walk())


def core_modules(root: Path) -> dict[str, Path]:
    """The core modules of all areas: not wrappers, not stubs, not broken variants, not TLC's only."""
    found = {}
    for file in sorted(root.rglob("*.tla")):
        parts = file.relative_to(root).parts
        if parts[0] in ("stubs", "bad", "runner") or file.stem.startswith(WRAPPERS):
            continue
        found[file.stem] = file
    return found


def lint_modules(root: Path, instances: Sequence[Instance]) -> list[Finding]:
    """All rules about core modules."""
    found: list[Finding] = []
    core = core_modules(root)
    restricted = set()
    for name, file in core.items():
        text = file.read_text(encoding="utf-8")
        found.extend(lint_types(name, text))
        if TLC_ONLY.search(text) is None:
            found.extend(lint_text(name, text))
            restricted.add(name)
    library = library_of(root)
    covered: set[str] = set()
    for instance in _roots(instances):
        sources = sources_of(instance.module, library)
        fresh = (set(sources) & restricted) - covered
        if fresh:
            covered |= fresh
            found.extend(lint_tree(parse_tree(sources, instance.module_name), fresh))
    used = {name for instance in _roots(instances) for name in sources_of(instance.module, library)}
    apalache = {name for file in root.rglob("APA_*.tla") for name in sources_of(file, library)}
    found.extend(
        Finding(name, "no instance uses this module")
        for name in core
        if name not in used and name not in apalache
    )
    return found


def _roots(instances: Iterable[Instance]) -> list[Instance]:
    by_module: dict[Path, Instance] = {}
    for instance in instances:
        by_module.setdefault(instance.module, instance)
    return list(by_module.values())


def lint_properties(root: Path, instances: Sequence[Instance]) -> list[Finding]:
    """Every promised property is checked and has a twin, and so is every one of a main model."""
    passing: dict[str, list[Instance]] = {}
    for instance in instances:
        if instance.expect == "pass":
            for name in instance.read_config().properties_and_invariants:
                passing.setdefault(name, []).append(instance)
    twins = {instance.violates for instance in instances if instance.kind == "twin"}
    found = []
    for promised in read_properties(root):
        if promised.name not in passing:
            found.append(Finding(promised.name, "no instance that passes checks this property"))
        if promised.name not in twins:
            found.append(Finding(promised.name, "no broken twin violates this property"))
    checked = {name for instance in instances if instance.kind == "main" for name in instance.checks}
    found.extend(
        Finding(name, "checked by a main model, but no broken twin violates it")
        for name in sorted(checked - twins)
    )
    return list(dict.fromkeys(found))


def lint_witnesses(root: Path, instances: Sequence[Instance]) -> list[Finding]:
    """Every action of every main model is the ``witness_of`` of some witness of its area."""
    found: list[Finding] = []
    library = library_of(root)
    witnessed = {
        area: {str(one.witness_of) for one in instances if one.kind == "witness" and one.area_name == area}
        for area in {one.area_name for one in instances}
    }
    for instance in _roots(one for one in instances if one.kind == "main"):
        tree = parse_tree(sources_of(instance.module, library), instance.module_name)
        area = instance.area_name
        found.extend(
            Finding(f"{instance.module_name}!{action.name}", f"no witness in {area} shows that it can happen")
            for action in actions_of(tree, instance.read_config().next)
            if action.name not in witnessed[area]
        )
    return list(dict.fromkeys(found))


def lint(root: Path, instances: Sequence[Instance]) -> list[Finding]:
    """All rules."""
    return [
        *lint_modules(root, instances),
        *lint_properties(root, instances),
        *lint_witnesses(root, instances),
    ]
