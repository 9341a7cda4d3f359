"""The test vectors, against which ports are held.  ``python -m tools.vectors [--check]`` writes or compares.

A module in this package makes the files of one chapter: its ``files() -> dict[str, dict]`` maps paths
below ``test-vectors/`` to content.  Modules whose name begins with an underscore only help.  What others
published stands in the modules as it was published, with its source; everything else is computed by
``tom_ref``, and ``tests/test_vectors.py`` replays all of it.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tom_ref.errors import Reason
from tools.vectors import _examples, _polarity

ROOT: Final = Path(__file__).resolve().parents[2] / "test-vectors"
SPEC: Final = ROOT.parent / "spec"
SCHEMA: Final = "schemas/vectors-1.json"
PUBLISHED: Final = ("noise/", "tla/")
"""Folders in a form of their own: what others published, and the models' behaviours, which their runner
makes and checks."""

Content = dict[str, Any]


def generate() -> dict[str, Content]:
    """Every generated file by its path below ``test-vectors/``; ``ValueError`` if two claim one path."""
    found: dict[str, Content] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("_"):
            continue
        made = importlib.import_module(f"{__name__}.{module.name}").files()
        twice = found.keys() & made.keys()
        if twice:
            raise ValueError(f"{module.name} claims {', '.join(sorted(twice))} again")
        found.update(made)
    undone, also = dict(_polarity.UNDONE), dict(_polarity.ALSO)
    for content in found.values():
        _polarity.refined(content, undone=undone, also=also)
    if undone or also:
        raise ValueError(f"no such cases: {sorted([*undone, *also])}")
    return found


def generate_examples() -> dict[str, str]:
    """Every worked example of the specification by its name."""
    return _examples.generate(__name__, list(__path__))


def serialize(content: Content) -> bytes:
    """The one form of a file: keys sorted, one space of indentation, UTF-8, a line feed at the end."""
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def problems(made: Mapping[str, Content], schema: Content) -> Iterator[str]:
    """What is wrong with the files' content, one line each."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - adapters load this package, too

    validator = Draft202012Validator(schema)
    seen: dict[str, str] = {}
    for path, content in sorted(made.items()):
        faults = sorted(validator.iter_errors(content), key=lambda fault: fault.json_path)
        for fault in faults:
            yield f"{path}: {fault.json_path}: {fault.message[:300]}"
        if not faults:
            yield from _case_problems(path, content, seen)


def _case_problems(path: str, content: Content, seen: dict[str, str]) -> Iterator[str]:
    valid = {case["id"] for case in content["cases"] if case["valid"] and "pair" not in case}
    if content["schema"] != "../" * path.count("/") + SCHEMA:
        yield f"{path}: the schema is {'../' * path.count('/') + SCHEMA} from here"
    for case in content["cases"]:
        name = case["id"]
        if name in seen:
            yield f"{path}: {name} stands in {seen[name]} already"
        seen[name] = path
        if not _numbers_fit(case):
            yield f"{path}: {name}: an integer of 2^53 and more is a decimal string"
        if not case["valid"] and case["reason"] not in {reason.value for reason in Reason}:
            yield f"{path}: {name}: no reason code {case['reason']}"
        if "pair" in case and case["pair"] not in valid:
            yield f"{path}: {name}: its pair {case['pair']} is no valid case of this file"


def _numbers_fit(value: Any) -> bool:
    """Whether no number is too large for a language whose numbers are doubles."""
    if isinstance(value, dict):
        return all(_numbers_fit(item) for item in value.values())
    if isinstance(value, list):
        return all(_numbers_fit(item) for item in value)
    return not isinstance(value, int) or abs(value) < 2**53


def differences(made: Mapping[str, Content], root: Path) -> Iterator[str]:
    """Which files on disk are not byte for byte what was made, are missing, or are made by nobody."""
    for path, content in sorted(made.items()):
        on_disk = root / path
        if not on_disk.is_file():
            yield f"{path}: missing"
        elif on_disk.read_bytes() != serialize(content):
            yield f"{path}: differs from what the generator makes"
    for on_disk in sorted(root.rglob("*.json")):
        path = on_disk.relative_to(root).as_posix()
        if path not in made and path != SCHEMA and not path.startswith(PUBLISHED):
            yield f"{path}: no generator makes it"


def write(made: Mapping[str, Content], root: Path) -> int:
    """Write what differs; returns how many files that were.  Files made by nobody are removed."""
    changed = 0
    for path, content in made.items():
        on_disk = root / path
        data = serialize(content)
        if not on_disk.is_file() or on_disk.read_bytes() != data:
            on_disk.parent.mkdir(parents=True, exist_ok=True)
            on_disk.write_bytes(data)
            changed += 1
    for line in list(differences(made, root)):
        (root / line.partition(":")[0]).unlink()
        changed += 1
    return changed


def load_schema(root: Path) -> Content:
    """The JSON schema of vector files."""
    schema: Content = json.loads((root / SCHEMA).read_text(encoding="utf-8"))
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - as above

    Draft202012Validator.check_schema(schema)
    return schema


def case(
    number: str,
    requirements: Sequence[str],
    about: str,
    inputs: Mapping[str, Any],
    output: Mapping[str, Any],
) -> Content:
    """A case that succeeds."""
    return {
        "id": number,
        "requirements": list(requirements),
        "about": about,
        "valid": True,
        "input": dict(inputs),
        "output": dict(output),
    }


def refusal(
    number: str,
    requirements: Sequence[str],
    about: str,
    inputs: Mapping[str, Any],
    *,
    reason: Reason,
    pair: str,
) -> Content:
    """A case that is refused, beside ``pair``, a case that succeeds and differs as little as possible."""
    return {
        "id": number,
        "requirements": list(requirements),
        "about": about,
        "valid": False,
        "input": dict(inputs),
        "reason": reason.value,
        "pair": pair,
    }


def vector_file(
    chapter: str, algorithm: str, source: str, cases: Sequence[Content], depth: int = 1
) -> Content:
    """One file; ``depth`` is how many folders below ``test-vectors/`` it stands."""
    return {
        "schema": "../" * depth + SCHEMA,
        "chapter": chapter,
        "algorithm": algorithm,
        "source": source,
        "cases": list(cases),
    }
