"""Annotated hex dumps: every field of a frame with its offset, bytes and meaning.

The rows come from the declarations in :mod:`tom_ref.wire`, so a dump can't disagree with the decoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import construct
from attrs import frozen

from conformance.declared import DECLARED, INSIDE, bare, frame_types, structure_name
from tom_ref import codec, wire
from tom_ref.errors import ProtocolError
from tom_ref.validate import message_id

FRAMES: Final[dict[int, tuple[str, construct.Struct[Any, Any]]]] = {
    number: (name.replace("_", " "), DECLARED[name]) for number, name in frame_types().items()
}

RECORDS: Final[dict[int, tuple[str, construct.Struct[Any, Any]]]] = {
    1: ("chunk", wire.RECORD_CHUNK),
    2: ("window", wire.RECORD_WINDOW),
    3: ("ping", wire.RECORD_PING),
    4: ("pong", wire.RECORD_PONG),
    5: ("rekey", wire.RECORD_REKEY),
    6: ("close", wire.RECORD_CLOSE),
}

_MOMENT: Final = re.compile(r"(.+_)?(at|from|until)|start")
_REAL: Final = range(1_000_000_000_000, 4_000_000_000_000)
"""ms: the years 2001 to 2096; other numbers are shown as numbers."""


@frozen
class Row:
    """One field: where it stands, its bytes, what it is called and what it means."""

    offset: int
    data: bytes
    field: str
    meaning: str


@frozen
class _Field:
    """A declared field: its full name, its own name and its note."""

    path: str
    name: str
    note: str


class _Dump:
    """Walks a declaration over bytes and yields what it finds until the bytes end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.complete = True

    def take(self, length: int) -> bytes:
        piece = self.data[self.position : self.position + length]
        self.complete = self.complete and len(piece) == length
        self.position += len(piece)
        return piece

    def walk(self, name: str, declaration: construct.Struct[Any, Any], path: str = "") -> Iterator[Row]:
        values: dict[str, Any] = {}
        for renamed in declaration.subcons:
            if not self.complete:
                return
            field, note = renamed.name, renamed.docs
            subcon = renamed.subcon
            while isinstance(subcon, construct.Renamed):
                subcon = subcon.subcon
            yield from self._field(name, _Field(path + field, field, note), subcon, values)

    def _field(
        self,
        name: str,
        about: _Field,
        subcon: construct.Construct[Any, Any],
        values: dict[str, Any],
    ) -> Iterator[Row]:
        start = self.position
        path, field, note = about.path, about.name, about.note
        if isinstance(subcon, construct.Struct):
            yield from self.walk(structure_name(subcon), subcon, f"{path}.")
        elif isinstance(subcon, construct.Array):
            count = values[repr(subcon.count).split("'")[1]]
            for index in range(count):
                yield from self._item(subcon.subcon, f"{path}[{index}]", about)
        elif isinstance(subcon, construct.FormatField):
            piece = self.take(subcon.length)
            values[field] = number = int.from_bytes(piece, "big")
            yield Row(start, piece, path, _number(field, number, note))
        elif isinstance(subcon, construct.Const):
            yield Row(start, self.take(len(subcon.value)), path, f"{note}: {name}")
        else:
            piece = self.take(self._length(subcon, values))
            inside = INSIDE.get((name.replace(" ", "_"), field))
            if inside is not None and piece:
                self.position = start
                before, self.data = self.data, self.data[: start + len(piece)]
                whole, self.complete = self.complete, True
                yield from self.walk(inside, DECLARED[inside], f"{path}.")
                rest = self.data[self.position :]
                if rest:
                    yield Row(self.position, rest, f"{path} (rest)", f"{len(rest):,} bytes too many")
                self.data, self.position, self.complete = before, start + len(piece), whole
            else:
                yield Row(start, piece, path, _octets(field, piece, note))

    def _item(self, subcon: construct.Construct[Any, Any], path: str, about: _Field) -> Iterator[Row]:
        """One item of a list: a structure, or bytes of a fixed length."""
        if self.complete and isinstance(bare(subcon), construct.Struct):
            yield from self.walk(structure_name(bare(subcon)), bare(subcon), f"{path}.")
        elif self.complete:
            start = self.position
            piece = self.take(bare(subcon).sizeof())
            yield Row(start, piece, path, _octets(about.name, piece, about.note))

    def _length(self, subcon: construct.Construct[Any, Any], values: dict[str, Any]) -> int:
        if not isinstance(subcon, construct.Bytes):
            return len(self.data) - self.position
        if isinstance(subcon.length, int):
            return subcon.length
        length: int = values[repr(subcon.length).split("'")[1]]
        return length


def _number(field: str, number: int, note: str) -> str:
    if _MOMENT.fullmatch(field) and number in _REAL:
        moment = datetime.fromtimestamp(number / 1000, UTC)
        return f"{number:,} = {moment:%Y-%m-%d %H:%M:%S}.{number % 1000:03d} UTC"
    if note == f"{number}":
        return note
    if note.startswith(f"{number} ") and not note.startswith(f"{number} to "):
        return f"{number} ({note.removeprefix(f'{number} ')})"
    return f"{number:,} ({note})" if note else f"{number:,}"


def _octets(field: str, piece: bytes, note: str) -> str:
    if field in {"text", "reason"} and piece.isascii():
        return f'"{piece.decode("ascii")}"'
    return f"{len(piece):,} bytes: {note}" if len(piece) not in {32, 64} else note


KINDS: Final = ("frame", "descriptor", "header", "records", "session", "handshake", "extensions")


def dump(data: bytes, kind: str = "frame") -> tuple[str, list[Row], str | None]:
    """Describe ``data`` as one of :data:`KINDS`.

    Returns a title, the rows (as far as the bytes go) and ``None``, or the reason code and detail with which
    the decoder refuses these bytes.
    """
    walker = _Dump(data)
    rows: list[Row] = []
    title = kind
    refusal = None
    try:
        if kind == "frame":
            title, declaration = FRAMES.get(data[0], ("unknown frame", None)) if data else ("nothing", None)
            if declaration is not None:
                rows = list(walker.walk(title, declaration))
            elif data:
                rule = "ignored" if data[0] & 0x80 else "not defined; below 0x80, so refused"
                rows = [Row(0, data[:1], "type", f"frame type {data[0]:#04x}: {rule}")]
                if data[1:]:
                    rows.append(Row(1, data[1:], "body", f"{len(data) - 1:,} bytes, not described"))
            decoded = codec.decode_frame(data)
            if title == "envelope":
                title = f"envelope\nmessage id {message_id(decoded.header_bytes).hex()}"  # type: ignore[union-attr]
        elif kind == "records":
            rows = list(_records(data))
            codec.decode_records(data)
        else:
            declaration, decode = {
                "descriptor": (wire.DESCRIPTOR, codec.decode_descriptor),
                "header": (wire.HEADER, codec.decode_header),
                "session": (
                    wire.SESSION_INITIAL if data[1:2] == b"\x01" else wire.SESSION_REGULAR,
                    codec.decode_session_message,
                ),
                "handshake": (wire.HANDSHAKE_PAYLOAD, codec.decode_handshake_payload),
                "extensions": (wire.EXTENSIONS, codec.decode_extensions),
            }[kind]
            title = {"session": "session message", "handshake": "handshake payload"}.get(kind, kind)
            rows = list(walker.walk(title, declaration))
            decode(data)
    except ProtocolError as error:
        refusal = str(error)
    end = rows[-1].offset + len(rows[-1].data) if rows else 0
    if end < len(data):
        rows.append(Row(end, data[end:], "(not described)", f"{len(data) - end:,} bytes"))
    return title, rows, refusal


def _records(data: bytes) -> Iterator[Row]:
    position = 0
    index = 0
    while position < len(data):
        head = _Dump(data)
        head.position = position
        kind = data[position]
        length = int.from_bytes(data[position + 1 : position + 3], "big")
        name, declaration = RECORDS.get(kind, (f"unknown record {kind:#04x}", None))
        start = data[position : position + 3]
        if len(start) < 3:
            yield Row(position, start, f"record[{index}]", f"{name}, incomplete")
            return
        yield Row(position, start, f"record[{index}]", f"{name}, {length:,} bytes")
        position += 3
        body = data[position : position + length]
        if declaration is not None:
            inner = _Dump(body)
            for row in inner.walk(name, declaration, f"record[{index}]."):
                yield Row(position + row.offset, row.data, row.field, row.meaning)
            if body[inner.position :]:
                rest = body[inner.position :]
                many = f"{len(rest):,} bytes too many"
                yield Row(position + inner.position, rest, f"record[{index}] (rest)", many)
        elif body:
            yield Row(position, body, f"record[{index}].body", "ignored")
        position += len(body)
        if len(body) < length:
            return
        index += 1
