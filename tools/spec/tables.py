"""Fills the specification's generated blocks from the code.

``generated:layout NAME``
    the byte table of ``tom_ref.wire.LAYOUTS[NAME]``
``generated:reasons``
    the reason codes with their meaning and the requirements that name them
``generated:constants``
    the numbers of the protocol with unit and reason; ``generated:constants SECTION`` shows one section
``generated:purposes``
    the named draws of entropy

Blocks of any other name belong to other tools and are left alone.
"""

from __future__ import annotations

import ast
import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import construct

from tools.spec.chapters import Chapter, Problem, Requirement, snake_words

OWN_BLOCKS: Final = ("layout", "reasons", "constants", "purposes")
_INTEGERS: Final = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
_SECTION: Final = re.compile(r"^# --- (?P<name>.+?) -*$")
_HOUR: Final = 3_600_000
_UNIT: Final = re.compile(r"[A-Za-z][A-Za-z ]{0,19}")


@attrs.frozen
class Field:
    """One row of a byte table."""

    name: str
    type: str
    size: int | None
    """Bytes, where fixed."""
    size_text: str
    note: str


@attrs.frozen
class Constant:
    """One number of the protocol, as it is documented in ``constants.py``."""

    name: str
    value: int | str
    unit: str
    why: str
    section: str


# --- byte tables --------------------------------------------------------------------------------------


def layout_fields(struct: Any, layouts: Mapping[str, Any]) -> list[Field]:
    """The rows of one format, from its construct declaration."""
    rows = []
    for part in struct.subcons:
        inner = part.subcon if isinstance(part, construct.Renamed) else part
        name, note = str(getattr(part, "name", "") or ""), str(getattr(part, "docs", "") or "")
        type_text, size_text = _describe(inner, layouts)
        size = _fixed_size(inner)
        rows.append(Field(name, type_text, size, str(size) if size is not None else size_text, note))
    return rows


def _fixed_size(part: Any) -> int | None:
    try:
        return int(part.sizeof())
    except construct.SizeofError:
        return None


def _describe(part: Any, layouts: Mapping[str, Any]) -> tuple[str, str]:
    """The type of a field in words, and its size in words where it is not fixed."""
    if isinstance(part, construct.Renamed):
        return _describe(part.subcon, layouts)
    if isinstance(part, construct.Const):
        value = part.value
        text = f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
        kind, size = _describe(part.subcon, layouts)
        kind = _INTEGERS.get(len(value), kind) if isinstance(value, bytes) else kind
        return f"{kind} = {text}", size
    if isinstance(part, construct.FormatField):
        return _INTEGERS[part.sizeof()], ""
    if isinstance(part, construct.Bytes):
        return "bytes", _reference(part.length)
    if part is construct.GreedyBytes:
        return "bytes", "the rest"
    for name, known in layouts.items():
        if part is known:
            return f"`{name}`", "varies"
    if isinstance(part, construct.Array):
        kind, _ = _describe(part.subcon, layouts)
        return f"list of {kind}", f"{_reference(part.count)} times {_element_size(part.subcon)}"
    raise TypeError(f"no description for {type(part).__name__}")


def _element_size(part: Any) -> str:
    size = _fixed_size(part)
    return "its size" if size is None else str(size)


def _least_size(part: Any) -> int:
    """The size of a part whose every variable field is empty."""
    if (size := _fixed_size(part)) is not None:
        return size
    if isinstance(part, construct.Renamed):
        return _least_size(part.subcon)
    if isinstance(part, construct.Struct):
        return sum(_least_size(inner) for inner in part.subcons)
    return 0


def _reference(length: object) -> str:
    """``this.count`` as the name of the field, ``32`` as it is."""
    if match := re.search(r"\['?(\w+)'?\]$", repr(length)):
        return f"`{match[1]}`"
    return str(length)


def render_layout(name: str, layouts: Mapping[str, Any]) -> str:
    """The Markdown table of one layout; raises ``KeyError`` for a name that is not declared."""
    fields = layout_fields(layouts[name], layouts)
    rows: list[tuple[str, ...]] = []
    offset: int | None = 0
    extra: list[str] = []
    for field in fields:
        place = "…" if offset is None else " + ".join([str(offset), *extra])
        rows.append((place, f"`{field.name}`", field.type, field.size_text, field.note))
        if offset is not None:
            if field.size is not None:
                offset += field.size
            elif field.size_text.startswith("`") and " " not in field.size_text:
                extra.append(field.size_text)
            else:
                offset = None
    total = sum(_least_size(part) for part in layouts[name].subcons)
    fixed = all(field.size is not None for field in fields)
    unit = "byte" if total == 1 else "bytes"
    caption = f"`{name}`: {total} {unit}." if fixed else f"`{name}`: at least {total} {unit}."
    table = markdown_table(("offset", "field", "type", "size", "meaning"), rows)
    return f"{table}\n\n{caption}"


# --- reasons, constants, purposes -----------------------------------------------------------------------


def documented_members(source: str, class_name: str) -> dict[str, str]:
    """The members of a class with the string that stands under each, from the source text."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return {name: text for name, _, text in _documented(node.body)}
    raise ValueError(f"no class {class_name}")


def _documented(body: Sequence[ast.stmt]) -> list[tuple[str, int, str]]:
    """(name, line, docstring) of every assignment; the docstring is empty where there is none."""
    found = []
    for position, node in enumerate(body):
        target: ast.expr | None = None
        if isinstance(node, ast.AnnAssign):
            target = node.target
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        if not isinstance(target, ast.Name):
            continue
        following = body[position + 1] if position + 1 < len(body) else None
        text = ""
        if (
            isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            text = " ".join(following.value.value.split())
        found.append((target.id, node.lineno, text))
    return found


def read_constants(source: str, values: Mapping[str, object]) -> list[Constant]:
    """The constants of ``constants.py``; raises ``ValueError`` for one without unit and reason."""
    sections = {
        number: match["name"]
        for number, line in enumerate(source.splitlines(), start=1)
        if (match := _SECTION.match(line))
    }
    constants = []
    for name, line, text in _documented(ast.parse(source).body):
        if not name.isupper() or name.startswith("_"):
            continue
        unit, colon, why = text.partition(":")
        if not colon or not why.strip() or not _UNIT.fullmatch(unit.strip()):
            raise ValueError(f"{name} needs a docstring of the form 'unit: why'")
        value = values[name]
        if not isinstance(value, int | str):
            raise TypeError(f"{name} is neither a number nor a text")
        section = next((sections[number] for number in sorted(sections, reverse=True) if number < line), "")
        constants.append(Constant(name, value, unit.strip(), why.strip(), section))
    return constants


def render_constants(constants: Iterable[Constant], section: str = "") -> str:
    """The table of the protocol's numbers, or of one section of them."""
    chosen = [constant for constant in constants if not section or constant.section == section]
    if not chosen:
        raise KeyError(f"no constants in the section {section!r}")
    rows = [
        (f"`{constant.name}`", value_text(constant), constant.unit, _sentence(constant.why))
        for constant in chosen
    ]
    return markdown_table(("name", "value", "unit", "why"), rows)


def value_text(constant: Constant) -> str:
    """A constant's value as it is shown: thousands apart, durations in words as well."""
    if isinstance(constant.value, str):
        return f"`{constant.value}`"
    text = f"{constant.value:,}"
    if constant.unit == "ms" and constant.value >= 1000:
        text += f" ({_duration(constant.value)})"
    return text


def _duration(milliseconds: int) -> str:
    for size, name in ((_HOUR, "h"), (60_000, "min"), (1000, "s")):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size} {name}"
    for size, name in ((_HOUR, "h"), (1000, "s")):
        if milliseconds >= size:
            rest = milliseconds % size
            return f"{milliseconds // size} {name}" + (f" {_duration(rest)}" if rest >= 1000 else "")
    return f"{milliseconds} ms"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def render_reasons(
    members: Mapping[str, str], reasons: type[enum.StrEnum], requirements: Iterable[Requirement]
) -> str:
    """The table of reason codes."""
    named: dict[str, list[str]] = {}
    for requirement in requirements:
        for word in snake_words(requirement.sentence):
            named.setdefault(word, []).append(requirement.id)
    rows = [
        (f"`{member.value}`", _sentence(members[member.name]), ", ".join(named.get(member.value, [])) or "—")
        for member in reasons
    ]
    return markdown_table(("code", "meaning", "requirements"), rows)


def render_purposes(members: Mapping[str, str], purposes: type[enum.StrEnum]) -> str:
    """The table of the named draws of entropy."""
    rows = [(f"`{member.value}`", _sentence(members[member.name])) for member in purposes]
    return markdown_table(("draw", "what it is"), rows)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; vertical bars inside cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(" --- " for _ in head) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


# --- filling -------------------------------------------------------------------------------------------


@attrs.frozen
class Sources:
    """What the blocks are made from."""

    layouts: Mapping[str, Any]
    reasons: type[enum.StrEnum]
    reason_meanings: Mapping[str, str]
    constants: Sequence[Constant]
    purposes: type[enum.StrEnum]
    purpose_meanings: Mapping[str, str]
    requirements: Sequence[Requirement]

    def render(self, name: str) -> str | None:
        """The body of a block; None for a block that is another tool's.  ``KeyError``: unknown argument."""
        kind, _, argument = name.partition(" ")
        if kind == "layout":
            return render_layout(argument, self.layouts)
        if kind == "reasons":
            return render_reasons(self.reason_meanings, self.reasons, self.requirements)
        if kind == "constants":
            return render_constants(self.constants, argument)
        if kind == "purposes":
            return render_purposes(self.purpose_meanings, self.purposes)
        return None


def fill(chapter: Chapter, sources: Sources) -> tuple[str, list[Problem]]:
    """The chapter's text with its blocks filled, and the blocks that could not be filled."""
    lines = chapter.text.splitlines()
    problems = []
    for block in reversed(chapter.blocks):
        try:
            body = sources.render(block.name)
        except KeyError as error:
            where = f"spec/{chapter.name}.md:{block.start}"
            problems.append(Problem(where, "block", f"generated:{block.name}: unknown {error}"))
            continue
        if body is not None:
            lines[block.start : block.end - 1] = ["", *body.splitlines(), ""]
    return "\n".join(lines) + "\n", problems


def missing_layouts(chapters: Iterable[Chapter], layouts: Iterable[str]) -> list[Problem]:
    """Formats that are declared in the code and stand in no chapter."""
    shown = {block.name for chapter in chapters for block in chapter.blocks}
    return [
        Problem("tom_ref/wire.py", "block", f"no chapter shows generated:layout {name}")
        for name in layouts
        if f"layout {name}" not in shown
    ]
