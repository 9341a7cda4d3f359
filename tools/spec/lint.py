"""The rules that hold between chapters, reason codes, citations and ``spec/requirements.json``."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from tools.spec.chapters import IDENTIFIER, Chapter, Problem, Requirement, snake_words

CITING_FOLDERS: Final = (
    "tom_ref",
    "tom_cli",
    "tests",
    "tla",
    "conformance",
    "fuzz",
    "bench",
    "test-vectors",
    "docs/adr",
    "spec",
)
CITING_SUFFIXES: Final = (".py", ".pyi", ".tla", ".cfg", ".toml", ".json", ".md", ".ts", ".rs")
# The tests of the tools need ids that exist nowhere.
NOT_CITING: Final = ("tests/test_tools_", "tests/data/", "spec/requirements.json", "spec/retired.json")
SIMILAR: Final = 0.85


@attrs.frozen
class Citation:
    """A place outside of the prose that names a requirement."""

    id: str
    path: str
    line: int


def check_ids(chapters: Sequence[Chapter], retired: Mapping[str, str]) -> list[Problem]:
    """Ids are in order within their chapter, never twice, of the chapter's prefix, and not retired."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    owner: dict[str, str] = {}
    for chapter in chapters:
        previous = ""
        first = chapter.requirements[0].prefix if chapter.requirements else ""
        if first in owner:
            problems.append(
                Problem(f"spec/{chapter.name}.md", "prefix", f"{first} belongs to spec/{owner[first]}.md")
            )
        owner.setdefault(first, chapter.name)
        for requirement in chapter.requirements:
            where = f"spec/{chapter.name}.md:{requirement.line}"
            if requirement.id in seen:
                problems.append(
                    Problem(where, "reuse", f"{requirement.id} is already used at {seen[requirement.id]}")
                )
            elif requirement.id in retired:
                reason = retired[requirement.id]
                problems.append(Problem(where, "retired", f"{requirement.id} is retired: {reason}"))
            elif requirement.prefix != first:
                problems.append(
                    Problem(where, "prefix", f"{requirement.id} in a chapter whose ids begin with {first}")
                )
            elif requirement.id < previous:
                problems.append(Problem(where, "order", f"{requirement.id} stands after {previous}"))
            seen.setdefault(requirement.id, where)
            previous = max(previous, requirement.id) if requirement.prefix == first else previous
    return problems


def check_codes(
    requirements: Iterable[Requirement], reasons: Collection[str], vocabulary: Collection[str] = ()
) -> list[Problem]:
    """Every code a requirement names is a reason code, and every reason code is named by a requirement.

    A word in backticks that is almost a reason code, and no word of ``vocabulary`` (fields of the formats),
    is taken for a misspelt one.
    """
    problems: list[Problem] = []
    named: set[str] = set()
    for requirement in requirements:
        where = f"spec/{requirement.chapter}.md:{requirement.line}"
        problems.extend(
            Problem(where, "code", f"{requirement.id} names the unknown code `{code}`")
            for code in requirement.codes
            if code not in reasons
        )
        words = set(snake_words(requirement.sentence))
        named |= words & set(reasons)
        for word in sorted(words - set(reasons) - set(vocabulary) - set(requirement.codes)):
            near = difflib.get_close_matches(word, reasons, n=1, cutoff=SIMILAR)
            if near:
                problems.append(
                    Problem(where, "code", f"{requirement.id} says `{word}`: is `{near[0]}` meant?")
                )
    problems.extend(
        Problem("tom_ref/errors.py", "code", f"no requirement names the code `{code}`")
        for code in reasons
        if code not in named
    )
    return problems


def citations(root: Path) -> list[Citation]:
    """Every place in code, tests, models, vectors and decisions that names a requirement."""
    found: list[Citation] = []
    for folder in CITING_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            relative = path.relative_to(root).as_posix()
            if path.suffix not in CITING_SUFFIXES or relative.startswith(NOT_CITING) or not path.is_file():
                continue
            if "__pycache__" in relative or "node_modules" in relative:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            if "TOM-" not in text:
                continue
            for number, line in enumerate(text.splitlines(), start=1):
                found.extend(
                    Citation(identifier, relative, number) for identifier in IDENTIFIER.findall(line)
                )
    return found


def check_citations(found: Iterable[Citation], known: Collection[str]) -> list[Problem]:
    """Every id that is cited exists."""
    return [
        Problem(f"{citation.path}:{citation.line}", "citation", f"{citation.id} does not exist")
        for citation in found
        if citation.id not in known
    ]


def as_json(requirements: Iterable[Requirement]) -> str:
    """The text of ``spec/requirements.json``."""
    rows = [
        {
            "id": requirement.id,
            "level": requirement.level,
            "chapter": requirement.chapter,
            "anchor": requirement.anchor,
            "sentence": requirement.sentence,
            "codes": list(requirement.codes),
        }
        for requirement in requirements
    ]
    document = {
        "about": "The requirements of ToM/1, extracted from the chapters by `make spec`.",
        "requirements": rows,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def check_drift(expected: str, path: Path) -> list[Problem]:
    """The file holds exactly the expected text; says which ids differ."""
    where = f"spec/{path.name}"
    if not path.exists():
        return [Problem(where, "drift", "missing; run `make spec`")]
    present = path.read_text(encoding="utf-8")
    if present == expected:
        return []
    try:
        old = {row["id"]: row for row in json.loads(present)["requirements"]}
    except (ValueError, KeyError, TypeError):
        return [Problem(where, "drift", "not readable; run `make spec`")]
    new = {row["id"]: row for row in json.loads(expected)["requirements"]}
    changes = [f"+{identifier}" for identifier in new if identifier not in old]
    changes += [f"-{identifier}" for identifier in old if identifier not in new]
    changes += [
        f"~{identifier}" for identifier in new if identifier in old and old[identifier] != new[identifier]
    ]
    shown = ", ".join(changes[:8]) + (f" and {len(changes) - 8} more" if len(changes) > 8 else "")
    return [Problem(where, "drift", f"differs from the prose ({shown or 'order or form'}); run `make spec`")]


def load_retired(path: Path) -> dict[str, str]:
    """The retired ids with the reason of each: ``{"TOM-WIRE-017": "merged into TOM-WIRE-018"}``."""
    if not path.exists():
        return {}
    document: object = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not all(isinstance(reason, str) for reason in document.values()):
        raise ValueError(f"{path.name} must map retired ids to reasons")
    return {str(identifier): str(reason) for identifier, reason in document.items()}
