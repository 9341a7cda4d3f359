"""The formats as ``tom_ref.wire`` declares them, walked field by field over real bytes.

From here come the boundary sweeps, the annotated hex dumps, the Kaitai Struct description and the Wireshark
dissector (:mod:`conformance.formats`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import construct
from attrs import frozen

from tom_ref import wire

INSIDE: Final[Mapping[tuple[str, str], str]] = {
    ("envelope", "header"): "header",
    ("handshake_payload", "descriptor"): "descriptor",
    ("descriptor_answer", "descriptor"): "descriptor",
    ("proposal", "record"): "term_record",
    ("proposal", "evidence"): "evidence",
    ("join_body", "descriptor"): "descriptor",
    ("delivery", "header"): "header",
    ("delivery", "receipt"): "receipt",
    ("record_answer", "present"): "term_record",
    ("record_answer", "previous"): "term_record",
    ("term_record", "vitals"): "vitals",
    ("child", "record"): "term_record",
    ("child", "parent"): "term_record",
    ("genesis", "record"): "term_record",
}
"""Byte fields that hold another format, which the declarations leave to the decoders."""

RECORD_BODIES: Final[Mapping[int, str]] = {
    1: "record_chunk",
    2: "record_window",
    3: "record_ping",
    4: "record_pong",
    5: "record_rekey",
    6: "record_close",
}

_RANGE: Final = re.compile(r"(?:^|[;,] )(\d[\d,]*)(?: to (\d[\d,]*))?(?:$|[:;, ])")


def _declarations() -> dict[str, Any]:
    return {name.lower(): value for name, value in vars(wire).items() if isinstance(value, construct.Struct)}


DECLARED: Final[Mapping[str, Any]] = _declarations()
"""Every declared structure by its name in lower case."""

_NAME_OF: Final = {id(value): name for name, value in DECLARED.items()}


def frame_types() -> dict[int, str]:
    """The structure of each frame, by its first byte."""
    found = {}
    for name, declaration in DECLARED.items():
        if name.startswith(("stored_", "secret_", "session_")):
            continue
        for field in declaration.subcons:
            subcon = bare(field)
            if field.name == "type" and isinstance(subcon, construct.Const):
                found[subcon.value[0]] = name
    return dict(sorted(found.items()))


def bare(subcon: Any) -> Any:
    """A field's declaration without its name and note."""
    while isinstance(subcon, construct.Renamed):
        subcon = subcon.subcon
    return subcon


def note(subcon: Any) -> str:
    """The text behind ``*``."""
    while isinstance(subcon, construct.Renamed):
        if subcon.docs:
            return str(subcon.docs)
        subcon = subcon.subcon
    return ""


def structure_name(subcon: Any) -> str:
    """The name under which a nested structure is declared."""
    return _NAME_OF[id(subcon)]


class _Recorder:
    def __init__(self) -> None:
        self.name = ""

    def __getitem__(self, name: str) -> int:
        self.name = name
        return 0


def names(expression: Any) -> str:
    """Which field an expression such as ``this.length`` means."""
    recorder = _Recorder()
    expression(recorder)
    return recorder.name


@frozen
class Span:
    """One field in some bytes."""

    path: str
    structure: str
    field: str
    kind: str
    """``integer``, ``bytes``, ``constant`` or ``rest``."""
    offset: int
    size: int
    note: str
    measures: bool = False
    """Whether it is the length or count of another field."""

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The range that its note gives, if any."""
        found = _RANGE.search(self.note)
        if found is None or self.kind != "integer":
            return None
        low = int(found[1].replace(",", ""))
        return low, int((found[2] or found[1]).replace(",", ""))


def spans(structure: str, data: bytes, offset: int = 0, path: str = "") -> Iterator[Span]:
    """The fields of a structure in valid bytes, in their order, those of nested structures included."""
    for span, _ in _walk(structure, data, offset, path):
        yield span


def size_of(structure: str, data: bytes, offset: int = 0) -> int:
    """How many bytes a structure takes."""
    return max((end for _, end in _walk(structure, data, offset, "")), default=offset) - offset


def _walk(structure: str, data: bytes, offset: int, path: str) -> Iterator[tuple[Span, int]]:
    declaration = DECLARED[structure]
    measuring = measuring_fields(declaration)
    values: dict[str, int] = {}
    for field in declaration.subcons:
        name, subcon = field.name, bare(field)
        here = f"{path}.{name}" if path else name

        about, counts = note(field), name in measuring

        if isinstance(subcon, construct.FormatField):
            size = subcon.sizeof()
            values[name] = int.from_bytes(data[offset : offset + size], "big")
            made = Span(here, structure, name, "integer", offset, size, about, counts)
            offset += size
            yield made, offset
        elif isinstance(subcon, construct.Const):
            made = Span(here, structure, name, "constant", offset, len(subcon.value), about, counts)
            offset += len(subcon.value)
            yield made, offset
        elif isinstance(subcon, construct.Array):
            for index in range(values[names(subcon.count)]):
                if not isinstance(bare(subcon.subcon), construct.Struct):
                    size = bare(subcon.subcon).sizeof()
                    made = Span(f"{here}[{index}]", structure, name, "bytes", offset, size, about)
                    offset += size
                    yield made, offset
                    continue
                inner = structure_name(bare(subcon.subcon))
                for item, offset in _walk(inner, data, offset, f"{here}[{index}]"):  # noqa: B020
                    yield item, offset
        elif isinstance(subcon, construct.Struct):
            for item, offset in _walk(structure_name(subcon), data, offset, here):  # noqa: B020
                yield item, offset
        else:
            size = _length(subcon, values, len(data) - offset)
            kind = "rest" if subcon is construct.GreedyBytes else "bytes"
            made = Span(here, structure, name, kind, offset, size, about, counts)
            inside = _inside(structure, name, values)
            if inside and size:
                for item, _ in _walk(inside, data[: offset + size], offset, here):
                    yield item, item.offset + item.size
                offset += size
            else:
                offset += size
                yield made, offset


def _length(subcon: Any, values: Mapping[str, int], left: int) -> int:
    if subcon is construct.GreedyBytes:
        return left
    return subcon.length if isinstance(subcon.length, int) else values[names(subcon.length)]


def _inside(structure: str, name: str, values: Mapping[str, int]) -> str | None:
    if (structure, name) == ("record", "body"):
        return RECORD_BODIES.get(values["type"])
    return INSIDE.get((structure, name))


def measuring_fields(declaration: Any) -> frozenset[str]:
    """The fields that give a length or count to another one."""
    found = set()
    for field in declaration.subcons:
        subcon = bare(field)
        if isinstance(subcon, construct.Array):
            found.add(names(subcon.count))
        elif isinstance(subcon, construct.Bytes) and not isinstance(subcon.length, int):
            found.add(names(subcon.length))
    return frozenset(found)


def dump(structure: str, data: bytes, width: int = 16) -> Iterator[str]:
    """An annotated hex dump: one line a field; bytes that no field explains at the end."""
    end = 0
    try:
        for span in spans(structure, data):
            if span.offset + span.size > len(data):
                yield f"{span.offset:06x}  {data[span.offset :].hex(' ')}  … {span.path}: cut"
                return
            shown = data[span.offset : span.offset + span.size]
            text = shown[:width].hex(" ") + (" …" if len(shown) > width else "")
            yield f"{span.offset:06x}  {text:<{3 * width + 1}} {span.path}"
            end = max(end, span.offset + span.size)
    except (IndexError, KeyError):
        pass
    if end < len(data):
        more = " …" if len(data) - end > width else ""
        yield f"{end:06x}  {data[end : end + width].hex(' ')}{more}  (rest)"
