"""The properties the models promise, from ``tla/properties.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path

from attrs import frozen

from tla.runner.errors import RunnerError


@frozen
class Property:
    """A promised property: its name in the models, the chapter it belongs to, what it means."""

    name: str
    area: str
    meaning: str


def read_properties(root: Path) -> list[Property]:
    """All of them in the order of the file; none if there is no file (a tree of experiments)."""
    file = root / "properties.toml"
    if not file.is_file():
        return []
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        return [Property(**entry) for entry in document["property"]]
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise RunnerError(f"{file}: {error}") from error
