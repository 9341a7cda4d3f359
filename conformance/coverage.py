"""Traceability: requirement, sentence, code, model, cases, mutant; what is covered and what is not."""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from conformance.case import Case
from conformance.suite import covered, requirements
from tools.spec.lint import citations

ROOT: Final = Path(__file__).resolve().parents[1]
EXCLUSIONS: Final = Path(__file__).with_name("exclusions.toml")
MOST_EXCLUDED: Final = 0.05
_SHOWN: Final = 3
_REASONED: Final = frozenset({"excluded", "one-sided"})

BROKEN_FOR: Final[Mapping[str, str]] = {
    "TOM-CONF-001": "not-utf-8",
    "TOM-CONF-002": "two-replies",
    "TOM-CONF-003": "upper-case",
    "TOM-CONF-004": "big-numbers",
    "TOM-CONF-005": "two-verdicts",
    "TOM-CONF-006": "knows-everything",
    "TOM-CONF-007": "silent",
    "TOM-CONF-008": "nameless",
    "TOM-CONF-009": "remembers",
    "TOM-CONF-010": "forgetful",
    "TOM-CONF-020": "late",
    "TOM-CONF-021": "lost-member",
    "TOM-CONF-022": "extra-member",
}
"""Rules about adapters: the broken port that stands in for a mutant.  The runner holds them in every case."""


@frozen
class Row:
    """What is known of one requirement."""

    id: str
    level: str
    chapter: str
    sentence: str
    code: tuple[str, ...]
    """Files of the library that cite it."""
    models: tuple[str, ...]
    """Files of the models that cite it."""
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    mutant: str
    """A mutant or broken port that a case citing it kills; empty when none was tried or found."""
    excluded: str
    """Why no case can show it."""
    one_sided: str
    """Why there is nothing in it that could be refused or left undone."""

    @property
    def state(self) -> str:
        """``both``, ``one-sided``, ``positive``, ``negative``, ``excluded``, ``runner`` or ``open``."""
        if self.excluded:
            return "excluded"
        if self.positive and self.negative:
            return "both"
        if self.id in BROKEN_FOR:
            return "runner"
        if self.positive:
            return "one-sided" if self.one_sided else "positive"
        return "negative" if self.negative else "open"


@functools.cache
def exclusions() -> Mapping[str, str]:
    """The requirements that no case can show, with the reason; ``ValueError`` for a faulty list."""
    content = tomllib.loads(EXCLUSIONS.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for entry in content["excluded"]:
        name, reason = entry["requirement"], entry["reason"]
        if name not in requirements() or name in found or not reason:
            raise ValueError(f"{EXCLUSIONS.name}: {name}")
        found[name] = reason
    musts = sum(rule.level == "MUST" for rule in requirements().values())
    if len(found) > MOST_EXCLUDED * musts:
        raise ValueError(f"{EXCLUSIONS.name}: {len(found)} of {musts} are excluded")
    return found


@functools.cache
def one_sided() -> Mapping[str, str]:
    """MUSTs that only a positive case can show, with the reason; ``ValueError`` for a faulty list."""
    content = tomllib.loads(EXCLUSIONS.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for entry in content["one_sided"]:
        name, reason = entry["requirement"], entry["reason"]
        if name not in requirements() or name in found or name in exclusions() or not reason:
            raise ValueError(f"{EXCLUSIONS.name}: {name}")
        found[name] = reason
    return found


@functools.cache
def equivalents() -> Mapping[str, str]:
    """MUSTs with cases for which every mutant within reach is equivalent, with the reason."""
    content = tomllib.loads(EXCLUSIONS.read_text(encoding="utf-8"))
    return {entry["requirement"]: entry["reason"] for entry in content.get("equivalent", [])}


@functools.cache
def _cited() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """For code and models which files cite a requirement."""
    found: dict[str, dict[str, set[str]]] = {"tom_ref": {}, "tla": {}}
    for citation in citations(ROOT):
        folder = citation.path.split("/", 1)[0]
        if folder in found:
            found[folder].setdefault(citation.id, set()).add(citation.path)
    return {
        folder: {rule: tuple(sorted(paths)) for rule, paths in by.items()} for folder, by in found.items()
    }


def rows(cases: Sequence[Case], killed: Mapping[str, str] | None = None) -> list[Row]:
    """One row a requirement; ``killed`` has the mutants of a self-test by requirement."""
    by_rule = covered(cases)
    cited = _cited()
    mutants = dict(killed or {})
    return [
        Row(
            rule.id,
            rule.level,
            rule.chapter,
            rule.sentence,
            cited["tom_ref"].get(rule.id, ()),
            cited["tla"].get(rule.id, ()),
            tuple(sorted(by_rule[rule.id][0])),
            tuple(sorted(by_rule[rule.id][1])),
            mutants.get(rule.id) or (f"port {BROKEN_FOR[rule.id]}" if rule.id in BROKEN_FOR else ""),
            exclusions().get(rule.id, ""),
            one_sided().get(rule.id, ""),
        )
        for rule in requirements().values()
    ]


def totals(made: Sequence[Row]) -> dict[str, dict[str, int]]:
    """For each chapter how many MUSTs stand where, and for all."""
    states = ("must", "both", "one-sided", "positive", "negative", "runner", "excluded", "open", "killed")
    found: dict[str, dict[str, int]] = {}
    for row in made:
        if row.level != "MUST":
            continue
        for name in (row.chapter, "all"):
            count = found.setdefault(name, dict.fromkeys(states, 0))
            count["must"] += 1
            count[row.state] += 1
            count["killed"] += bool(row.mutant)
    found["all"] = found.pop("all")
    return found


def as_json(made: Sequence[Row]) -> str:
    """Everything, for programs."""
    content = [
        {
            "id": row.id,
            "level": row.level,
            "chapter": row.chapter,
            "sentence": row.sentence,
            "code": list(row.code),
            "models": list(row.models),
            "positive": list(row.positive),
            "negative": list(row.negative),
            "mutant": row.mutant,
            "excluded": row.excluded,
            "one_sided": row.one_sided,
            "state": row.state,
        }
        for row in made
    ]
    return json.dumps({"totals": totals(made), "requirements": content}, indent=1, ensure_ascii=False) + "\n"


def as_markdown(made: Sequence[Row]) -> str:
    """A page of the documentation site."""
    lines = [
        "| chapter | MUSTs | both | one-sided | only one | runner | excluded | no case yet | killed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for chapter, count in totals(made).items():
        one = count["positive"] + count["negative"]
        cells = (
            chapter,
            count["must"],
            count["both"],
            count["one-sided"],
            one,
            count["runner"],
            count["excluded"],
            count["open"],
            count["killed"],
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    chapter = ""
    for row in made:
        if row.chapter != chapter:
            chapter = row.chapter
            lines += [
                "",
                f"## {chapter}",
                "",
                "| requirement | level | state | code | models | cases + | cases − | mutant |",
                "|---|---|---|---|---|---:|---:|---|",
            ]
        shown = (
            row.id,
            row.level,
            f"{row.state}: {row.excluded or row.one_sided}" if row.state in _REASONED else row.state,
            _files(row.code),
            _files(row.models),
            len(row.positive),
            len(row.negative),
            _code(row.mutant),
        )
        lines.append("| " + " | ".join(str(cell) for cell in shown) + " |")
    return "\n".join(lines) + "\n"


def _files(paths: Sequence[str]) -> str:
    shown = ", ".join(path.split("/", 1)[1] for path in paths[:_SHOWN])
    return shown + (" …" if len(paths) > _SHOWN else "")


def _code(text: str, limit: int = 70) -> str:
    if not text:
        return ""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "`" + cut.replace("|", "\\|").replace("`", "'").replace("\n", " ") + "`"


def as_dict(made: Sequence[Row]) -> dict[str, Any]:
    """The totals alone."""
    return totals(made)["all"]
