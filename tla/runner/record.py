"""The record of the mutants, ``tla/mutants.json``: who noticed each, when all of them were last tried.

An entry holds for the very models it was obtained with: it carries the fingerprint of the instance that
noticed, or, where nobody did, one over all that were asked.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tla.runner.errors import RunnerError
from tla.runner.manifest import Pin

FORMAT = 1
RECORD = "mutants.json"


@frozen
class Entry:
    """What became of one mutant."""

    noticed_by: str | None
    """The instance that came out otherwise than pinned; None if none did."""
    how: str
    limit: int
    """Instances of at most so many pinned states were asked."""
    sha256: str
    """Fingerprint of the instance that noticed, or of all that were asked."""


def fingerprint_of(names: Iterable[str], pins: Mapping[str, Pin]) -> str:
    """One fingerprint over the pinned models of several instances, in any order."""
    text = "".join(f"{name} {pins[name].sha256}\n" for name in sorted(names))
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(file: Path) -> dict[str, Entry]:
    """The entries by the mutant's name; empty without a file; :class:`RunnerError` if it is damaged."""
    return _read(file)[0]


def tried_of(file: Path) -> int | None:
    """How many mutants there were when the record was written; None without a file."""
    return _read(file)[1]


def _read(file: Path) -> tuple[dict[str, Entry], int | None]:
    if not file.exists():
        return {}, None
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise RunnerError(f"{file}: format {document['format']}, not {FORMAT}")
        mutants = {name: Entry(**entry) for name, entry in document["mutants"].items()}
        return mutants, int(document["of"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunnerError(f"{file}: not a record of mutants: {error}") from error


def write_record(file: Path, entries: Mapping[str, Entry], of: int) -> None:
    """Write all entries, sorted by name, in one step; ``of`` is how many mutants there are."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "about": "Who noticed each mutated guard; written by `python -m tla.runner mutate --record`.",
        "of": of,
        "mutants": {name: asdict(entries[name]) for name in sorted(entries)},
    }
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(file)
