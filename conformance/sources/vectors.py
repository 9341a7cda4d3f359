"""Cases from ``test-vectors/``: each vector is one case; what it computes is the command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from conformance.case import Case, Polarity, Step, ok, reject

ROOT: Final = Path(__file__).resolve().parents[2] / "test-vectors"
FOREIGN: Final = frozenset({"noise", "schemas", "tla"})
"""Folders in another form: published vectors, schemas, behaviours of the models."""

LEVEL_OF_FOLDER: Final[Mapping[str, int]] = {
    "wire": 1,
    "crypto": 2,
    "identity": 2,
    "vrf": 2,
    "link": 3,
    "session": 4,
    "delivery": 4,
    "roles": 5,
    "purge": 6,
    "custody": 6,
    "balance": 6,
    "vitals": 6,
}


def command_of(folder: str, algorithm: str) -> str:
    """The command that computes an algorithm (TOM-CONF-020)."""
    if folder == "wire":
        return "codec.decode"
    return f"{folder}.{algorithm.removeprefix(folder + '-')}"


@cache
def files() -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Every vector file by its path below ``test-vectors/``."""
    return tuple(
        (path.relative_to(ROOT).as_posix(), json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(ROOT.rglob("*.json"))
        if path.relative_to(ROOT).parts[0] not in FOREIGN
    )


def cases() -> Iterator[Case]:
    """One case a vector; a format is also encoded back."""
    for path, content in files():
        folder, algorithm = path.split("/")[0], content["algorithm"]
        level = LEVEL_OF_FOLDER.get(folder, 5)
        for vector in content["cases"]:
            yield _case(vector, command_of(folder, algorithm), algorithm, level)


def _case(vector: Mapping[str, Any], command: str, algorithm: str, level: int) -> Case:
    given = vector["input"]
    if command == "codec.decode":
        given = {"format": algorithm.removeprefix("wire-"), **given}
    if not vector["valid"]:
        steps = [Step(command, given, reject(vector["reason"]))]
    else:
        steps = [Step(command, given, ok(vector["output"]))]
        if command == "codec.decode":
            value = {"format": given["format"], "value": vector["output"]["value"]}
            steps.append(Step("codec.encode", value, ok({"bytes": given["bytes"]})))
    return Case(
        id=vector["id"],
        level=level,
        requirements=tuple(vector["requirements"]),
        polarity=Polarity.NEGATIVE if "pair" in vector else Polarity.POSITIVE,
        about=vector["about"],
        steps=tuple(steps),
        pair=vector.get("pair", ""),
        source="vector",
    )
