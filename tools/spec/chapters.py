"""Reads the chapters of the specification: requirements, keywords, code blocks and generated blocks.

A requirement is one list item that starts at column 0 with its id in bold and runs to the next blank line or
list item::

    - **TOM-LINK-007** A responder MUST refuse … (code `bad_static_key`).

Everything here works on text; nothing imports the reference implementation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

KEYWORD: Final = re.compile(
    r"\b(MUST NOT|MUST|SHALL NOT|SHALL|REQUIRED|SHOULD NOT|SHOULD|NOT RECOMMENDED|RECOMMENDED|MAY|OPTIONAL)\b"
)
LEVELS: Final = {
    "MUST": "MUST",
    "MUST NOT": "MUST",
    "SHALL": "MUST",
    "SHALL NOT": "MUST",
    "REQUIRED": "MUST",
    "SHOULD": "SHOULD",
    "SHOULD NOT": "SHOULD",
    "RECOMMENDED": "SHOULD",
    "NOT RECOMMENDED": "SHOULD",
    "MAY": "MAY",
    "OPTIONAL": "MAY",
}
STRENGTH: Final = ("MUST", "SHOULD", "MAY")

IDENTIFIER: Final = re.compile(r"\bTOM-[A-Z]+-\d{3}\b")
_ITEM: Final = re.compile(r"^- \*\*(?P<id>TOM-[A-Z]+-\d+)\*\*\s+(?P<text>\S.*)$")
_MALFORMED_ITEM: Final = re.compile(r"^\s*[-*+]\s+\**\s*TOM-[A-Za-z]+-\d+")
_LIST_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s")
_FENCE: Final = re.compile(r"^\s*(```+|~~~+)")
_BLOCK_START: Final = re.compile(r"^<!--\s*generated:(?P<name>[^>]*?)\s*-->\s*$")
_BLOCK_END: Final = re.compile(r"^<!--\s*/generated\s*-->\s*$")
_INLINE_CODE: Final = re.compile(r"`[^`]*`")
_SNAKE_CODE: Final = re.compile(r"`([a-z][a-z0-9_]*)`")
# "(code `a` for none, `b` for more)": everything in backticks up to the closing parenthesis.
_CODES_IN_PARENTHESES: Final = re.compile(r"\([^()]*?\bcodes?\b:?\s+(`[^()]*)\)")
# "code `a`", "codes `a` and `b`", "code: `a`, `b` or `c`".
_NAMED_CODES: Final = re.compile(r"\bcodes?\b:?\s+((?:`[^`]+`(?:\s*,\s*(?:or|and)?\s*|\s+(?:or|and)\s+)?)+)")

CHAPTER_NAME: Final = re.compile(r"^\d{2}-[a-z0-9-]+\.md$")
KEYWORD_CHAPTER: Final = "02-notation"


@attrs.frozen
class Requirement:
    """One rule of the specification, as it stands in the prose."""

    id: str
    level: str
    chapter: str
    sentence: str
    codes: tuple[str, ...]
    line: int

    @property
    def prefix(self) -> str:
        """The part of the id that belongs to the chapter, for example ``TOM-WIRE``."""
        return self.id.rpartition("-")[0]

    @property
    def anchor(self) -> str:
        """Where the rule stands: file and fragment."""
        return f"{self.chapter}.md#{self.id}"


@attrs.frozen
class Problem:
    """Something that a lint found: the file and line, the rule that is broken, and how."""

    where: str
    rule: str
    message: str


@attrs.frozen
class Block:
    """A generated block: its name with arguments, and the lines between its two markers."""

    name: str
    start: int
    end: int
    body: str


@attrs.frozen
class Chapter:
    """One file of the specification, taken apart."""

    name: str
    text: str
    requirements: tuple[Requirement, ...]
    blocks: tuple[Block, ...]
    problems: tuple[Problem, ...]


def named_codes(sentence: str) -> tuple[str, ...]:
    """The texts that the sentence presents as reason codes: those after the word "code" or "codes"."""
    found: list[str] = []
    for match in (*_CODES_IN_PARENTHESES.finditer(sentence), *_NAMED_CODES.finditer(sentence)):
        found.extend(text.strip("`") for text in _INLINE_CODE.findall(match[1]))
    return tuple(dict.fromkeys(found))


def snake_words(sentence: str) -> tuple[str, ...]:
    """Every word in backticks that could be a reason code by its form."""
    return tuple(dict.fromkeys(_SNAKE_CODE.findall(sentence)))


def level_of(sentence: str) -> str | None:
    """The strongest keyword outside of code in the sentence, as MUST, SHOULD or MAY."""
    found = {LEVELS[word] for word in KEYWORD.findall(_INLINE_CODE.sub("", sentence))}
    return next((level for level in STRENGTH if level in found), None)


def parse(name: str, text: str) -> Chapter:
    """Take a chapter apart; ``name`` is the file's name without ``.md``."""
    reader = _Reader(name)
    for number, line in enumerate(text.splitlines(), start=1):
        reader.feed(number, line)
    reader.finish()
    return Chapter(name, text, tuple(reader.requirements), tuple(reader.blocks), tuple(reader.problems))


def load(folder: Path) -> list[Chapter]:
    """All chapters of the folder, in order."""
    return [parse(path.stem, path.read_text(encoding="utf-8")) for path in chapter_files(folder)]


def chapter_files(folder: Path) -> Iterator[Path]:
    """The chapter files ``NN-name.md`` of the folder, in order."""
    return (path for path in sorted(folder.glob("*.md")) if CHAPTER_NAME.match(path.name))


class _Reader:
    """The state of reading one chapter line by line."""

    def __init__(self, chapter: str) -> None:
        self.chapter = chapter
        self.requirements: list[Requirement] = []
        self.blocks: list[Block] = []
        self.problems: list[Problem] = []
        self._fence: str | None = None
        self._block: tuple[str, int, list[str]] | None = None
        self._item: tuple[str, int, list[str]] | None = None
        self._paragraph: list[tuple[int, str]] = []

    def feed(self, number: int, line: str) -> None:
        if self._block is not None:
            self._feed_block(number, line)
            return
        fence = _FENCE.match(line)
        if self._fence is not None:
            if fence and line.strip().startswith(self._fence) and not line.strip().strip(self._fence[0]):
                self._fence = None
            return
        if fence:
            self._close()
            self._fence = fence[1]
            return
        if start := _BLOCK_START.match(line):
            self._close()
            self._block = (" ".join(start["name"].split()), number, [])
            return
        if _BLOCK_END.match(line):
            self._problem(number, "block", "a generated block ends here that began nowhere")
            return
        if not line.strip():
            self._close()
        elif _LIST_ITEM.match(line):
            self._feed_list_item(number, line)
        elif self._item is not None:
            self._item[2].append(line.strip())
        else:
            self._paragraph.append((number, line))

    def finish(self) -> None:
        self._close()
        if self._fence is not None:
            self._problem(0, "block", "a code block is not closed")
        if self._block is not None:
            self._problem(self._block[1], "block", f"generated:{self._block[0]} is not closed")

    def _feed_block(self, number: int, line: str) -> None:
        assert self._block is not None
        name, start, body = self._block
        if _BLOCK_START.match(line):
            self._problem(number, "block", f"a generated block begins inside generated:{name}")
        if _BLOCK_END.match(line):
            self.blocks.append(Block(name, start, number, "\n".join(body)))
            self._block = None
        else:
            body.append(line)

    def _feed_list_item(self, number: int, line: str) -> None:
        self._close()
        if match := _ITEM.match(line):
            self._item = (match["id"], number, [match["text"].strip()])
            return
        if _MALFORMED_ITEM.match(line):
            self._problem(number, "form", "a requirement begins with `- **TOM-CHAPTER-000** ` at column 0")
        self._paragraph.append((number, line))

    def _close(self) -> None:
        """End the requirement or the paragraph that is being read."""
        if self._item is not None:
            self._close_item(*self._item)
            self._item = None
        lines, self._paragraph = self._paragraph, []
        if self.chapter == KEYWORD_CHAPTER and any("RFC 2119" in line for _, line in lines):
            return
        for number, line in lines:
            for word in KEYWORD.findall(_INLINE_CODE.sub("", line)):
                self._problem(number, "keyword", f"{word} outside of a requirement")

    def _close_item(self, identifier: str, number: int, lines: list[str]) -> None:
        sentence = " ".join(" ".join(lines).split())
        level = level_of(sentence)
        if not IDENTIFIER.fullmatch(identifier):
            self._problem(number, "form", f"{identifier}: an id has three digits")
        if level is None:
            self._problem(number, "level", f"{identifier} has no MUST, SHOULD or MAY")
        if not sentence.endswith((".", ".)")):
            self._problem(number, "form", f"{identifier} is not a full sentence: it ends without a full stop")
        codes = named_codes(sentence)
        self.requirements.append(
            Requirement(identifier, level or "MUST", self.chapter, sentence, codes, number)
        )

    def _problem(self, line: int, rule: str, message: str) -> None:
        self.problems.append(Problem(f"spec/{self.chapter}.md:{line}", rule, message))
