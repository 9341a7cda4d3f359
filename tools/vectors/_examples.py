"""Worked examples in the specification: blocks ``<!-- generated:example NAME -->`` filled with real values.

A module of this package that has examples has a function ``examples() -> dict[str, str]``: name → Markdown.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(
    r"(?P<start>^<!-- generated:example (?P<name>[a-z0-9-]+) -->\n).*?(?P<end>^<!-- /generated -->$)",
    re.MULTILINE | re.DOTALL,
)


def generate(package: str, path: list[str]) -> dict[str, str]:
    """Every example by name."""
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(path):
        if not module.name.startswith("_"):
            make = getattr(importlib.import_module(f"{package}.{module.name}"), "examples", None)
            if make is not None:
                found.update(make())
    return found


def filled(text: str, examples: Mapping[str, str]) -> str:
    """A chapter's text with its example blocks filled; those that nobody makes stay as they are."""

    def fill(block: re.Match[str]) -> str:
        made = examples.get(block["name"])
        return block[0] if made is None else f"{block['start']}\n{made.strip()}\n\n{block['end']}"

    return _BLOCK.sub(fill, text)


def unmade(examples: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Which examples the chapters want and nobody makes."""
    for chapter in sorted(folder.glob("*.md")):
        for block in _BLOCK.finditer(chapter.read_text(encoding="utf-8")):
            if block["name"] not in examples:
                yield f"spec/{chapter.name}: nobody makes the example {block['name']}"


def outdated(examples: Mapping[str, str], folder: Path) -> Iterator[tuple[Path, str]]:
    """The chapters whose examples are not what is made now, with what their text is to be."""
    for chapter in sorted(folder.glob("*.md")):
        text = chapter.read_text(encoding="utf-8")
        wanted = filled(text, examples)
        if wanted != text:
            yield chapter, wanted
