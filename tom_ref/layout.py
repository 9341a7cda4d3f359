"""From a ``construct`` declaration to a fast and strict parser and builder of the same bytes.

``construct`` declares the formats (:mod:`tom_ref.wire`), but its interpreter takes tens of microseconds a
frame, and its compiled parsers return short values for truncated input instead of raising.  A
:class:`Layout` reads the declaration once and joins runs of fixed-width fields into one ``struct.Struct``.
Tests hold every layout against construct's own interpreter, both ways.

Only the parts of construct that the declarations use are known here: fixed integers, ``Bytes``,
``GreedyBytes``, ``Const``, ``Array`` counted by an earlier field, nested ``Struct``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, NoReturn

import construct

from tom_ref.errors import ProtocolError, Reason

_Reader = Callable[[bytes, int, dict[str, Any]], int]
_Writer = Callable[[Mapping[str, Any], list[bytes]], None]


class _FieldName:
    """Tells which field an expression like ``this.length`` names."""

    def __init__(self) -> None:
        self.name = ""

    def __getitem__(self, name: str) -> int:
        self.name = name
        return 0


def _named(expression: Callable[[Any], Any]) -> str:
    recorder = _FieldName()
    expression(recorder)
    return recorder.name


class Layout:
    """One declared format: ``parse`` and ``build``, total over all bytes and bounded by them."""

    def __init__(self, name: str, declaration: construct.Struct[Any, Any]) -> None:
        """Read a declaration; raises ``TypeError`` for a part of construct that is not known here."""
        self.name: Final = name
        self._readers: list[_Reader] = []
        self._writers: list[_Writer] = []
        run: list[tuple[str, str, int]] = []
        for renamed in declaration.subcons:
            field, subcon = renamed.name, renamed.subcon
            while isinstance(subcon, construct.Renamed):
                subcon = subcon.subcon
            if isinstance(subcon, construct.FormatField):
                run.append((field, subcon.fmtstr[1:], 0))
            elif isinstance(subcon, construct.Bytes) and isinstance(subcon.length, int):
                run.append((field, f"{subcon.length}s", subcon.length))
            else:
                self._add_run(run)
                run = []
                self._add_other(field, subcon)
        self._add_run(run)

    def _add_run(self, run: list[tuple[str, str, int]]) -> None:
        if not run:
            return
        fixed = struct.Struct(">" + "".join(code for _, code, _ in run))
        names = tuple(field for field, _, _ in run)
        lengths = tuple((field, length) for field, _, length in run if length)
        size = fixed.size

        def read(data: bytes, position: int, values: dict[str, Any]) -> int:
            if position + size > len(data):
                self._refuse(Reason.TRUNCATED, names[0])
            values.update(zip(names, fixed.unpack_from(data, position), strict=True))
            return position + size

        def write(values: Mapping[str, Any], parts: list[bytes]) -> None:
            for field, length in lengths:
                if len(values[field]) != length:
                    self._refuse(Reason.BAD_VALUE, f"{field} must have {length} bytes")
            try:
                parts.append(fixed.pack(*[values[field] for field in names]))
            except struct.error:
                self._refuse(Reason.BAD_VALUE, f"one of {', '.join(names)}")

        self._readers.append(read)
        self._writers.append(write)

    def _add_other(self, field: str, subcon: construct.Construct[Any, Any]) -> None:
        if isinstance(subcon, construct.Const):
            self._add_constant(field, subcon.value)
        elif isinstance(subcon, construct.Bytes):
            self._add_bytes(field, _named(subcon.length))
        elif subcon is construct.GreedyBytes:
            self._add_rest(field)
        elif isinstance(subcon, construct.Array):
            self._add_array(field, _named(subcon.count), Layout(field, subcon.subcon))
        elif isinstance(subcon, construct.Struct):
            self._add_nested(field, Layout(field, subcon))
        else:
            raise TypeError(f"{self.name}.{field}: {type(subcon).__name__} is not known here")

    def _add_constant(self, field: str, value: bytes) -> None:
        def read(data: bytes, position: int, values: dict[str, Any]) -> int:
            end = position + len(value)
            if end > len(data):
                self._refuse(Reason.TRUNCATED, field)
            if data[position:end] != value:
                self._refuse(Reason.BAD_VALUE, field)
            values[field] = value
            return end

        self._readers.append(read)
        self._writers.append(lambda _, parts: parts.append(value))

    def _add_bytes(self, field: str, length_field: str) -> None:
        def read(data: bytes, position: int, values: dict[str, Any]) -> int:
            end: int = position + values[length_field]
            if end > len(data):
                self._refuse(Reason.TRUNCATED, field)
            values[field] = data[position:end]
            return end

        def write(values: Mapping[str, Any], parts: list[bytes]) -> None:
            if len(values[field]) != values[length_field]:
                self._refuse(Reason.BAD_VALUE, f"{field} is not {length_field} bytes long")
            parts.append(values[field])

        self._readers.append(read)
        self._writers.append(write)

    def _add_rest(self, field: str) -> None:
        def read(data: bytes, position: int, values: dict[str, Any]) -> int:
            values[field] = data[position:]
            return len(data)

        self._readers.append(read)
        self._writers.append(lambda values, parts: parts.append(values[field]))

    def _add_array(self, field: str, count_field: str, item: Layout) -> None:
        def read(data: bytes, position: int, values: dict[str, Any]) -> int:
            items = []
            for _ in range(values[count_field]):
                value, position = item.read(data, position)
                items.append(value)
            values[field] = items
            return position

        def write(values: Mapping[str, Any], parts: list[bytes]) -> None:
            if len(values[field]) != values[count_field]:
                self._refuse(Reason.BAD_VALUE, f"{field} are not {count_field} in number")
            for value in values[field]:
                item.write(value, parts)

        self._readers.append(read)
        self._writers.append(write)

    def _add_nested(self, field: str, inner: Layout) -> None:
        def read(data: bytes, position: int, values: dict[str, Any]) -> int:
            values[field], position = inner.read(data, position)
            return position

        self._readers.append(read)
        self._writers.append(lambda values, parts: inner.write(values[field], parts))

    def _refuse(self, reason: Reason, detail: str) -> NoReturn:
        raise ProtocolError(reason, f"{self.name}: {detail}")

    def read(self, data: bytes, position: int) -> tuple[SimpleNamespace, int]:
        """Parse one value at ``position``; returns it and the position behind it."""
        values: dict[str, Any] = {}
        for reader in self._readers:
            position = reader(data, position, values)
        return SimpleNamespace(**values), position

    def write(self, values: Mapping[str, Any], parts: list[bytes]) -> None:
        """Append the bytes of one value."""
        for writer in self._writers:
            writer(values, parts)

    def parse(self, data: bytes) -> SimpleNamespace:
        """Parse one value that fills ``data``; raises ``truncated``, ``trailing_bytes`` or ``bad_value``."""
        value, position = self.read(data, 0)
        if position != len(data):
            self._refuse(Reason.TRAILING_BYTES, f"{len(data) - position} bytes too many")
        return value

    def build(self, values: Mapping[str, Any]) -> bytes:
        """Build one value; raises ``bad_value`` where a field doesn't fit its declaration."""
        parts: list[bytes] = []
        self.write(values, parts)
        return b"".join(parts)
