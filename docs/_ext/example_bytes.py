"""Real bytes for every declared format, taken from the test vectors and read field by field.

Nothing here is written by hand: the bytes are those of ``test-vectors/``, the fields those of
``tom_ref.wire``.  :func:`example` finds the most telling instance of a format, wherever it stands inside
another one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from conformance.declared import RECORD_BODIES, Span, frame_types, spans
from tom_ref import codec, wire
from tom_ref.crypto import Secret32, sha256
from tom_ref.errors import ProtocolError
from tom_ref.frames import UnknownFrame
from tom_ref.identity import Identity
from tom_ref.records import signed_report
from tom_ref.term_codec import decode_evidence, decode_record, encode_evidence
from tom_ref.term_frames import Counts, Evidence, Signal, VitalsProof, VitalsReport

ROOT: Final = Path(__file__).resolve().parents[2]
VECTORS: Final = ROOT / "test-vectors"
COMFORTABLE: Final = 900
"""Bytes: an example longer than this is taken only when there is no shorter one."""
_MOMENTS: Final = ("_at", "_from", "_until", "start", "until")
_SHOWN: Final = 32
_STRUCTURES: Final = {
    "wire-descriptor": "descriptor",
    "wire-extensions": "extensions",
    "wire-handshake-payload": "handshake_payload",
    "wire-header": "header",
}


@frozen
class Example:
    """Bytes of one format, and the case of the test vectors that they come from."""

    layout: str
    data: bytes
    case: str


def _cases() -> Iterator[tuple[str, str, str, str]]:
    """(algorithm, case, member, hex) of every valid case's input and output."""
    for path in sorted(VECTORS.glob("*/*.json")):
        if path.parent.name in {"tla", "noise", "schemas"}:
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        for case in content["cases"]:
            if case["valid"]:
                for part in (case["input"], case.get("output", {})):
                    for member, text in _texts(part, ""):
                        yield content["algorithm"], case["id"], member, text


def _texts(value: Any, member: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, member)
    elif isinstance(value, str) and value:
        yield member, value


def _structure(algorithm: str, member: str, data: bytes) -> str | None:
    """What the bytes of a vector are, if they are a whole value of a format."""
    if member == "bytes" and algorithm in _STRUCTURES:
        return _STRUCTURES[algorithm]
    if algorithm == "wire-session-message" and member == "bytes":
        return "session_initial" if data[1] == 1 else "session_regular"
    if algorithm == "secret-file" and member == "file":
        return "secret_file_plain" if data[9:10] == b"\x00" else "secret_file_sealed"
    try:
        if member in {"record", "present"}:
            decode_record(data)
            return "term_record"
        if member == "evidence":
            decode_evidence(data)
            return "evidence"
        frame = codec.decode_frame(data)
    except ProtocolError:
        return None
    return None if isinstance(frame, UnknownFrame) else frame_types().get(data[0])


@cache
def corpus() -> tuple[Example, ...]:
    """Every value of a format in the vectors, those inside others included, each byte string once."""
    found: dict[tuple[str, bytes], Example] = {}

    def add(layout: str, data: bytes, case: str) -> None:
        found.setdefault((layout, data), Example(layout.replace("_", "-"), data, case))

    for algorithm, case, member, text in _cases():
        if algorithm == "roles-invitation" and text.lower().startswith("tom:"):
            data, structure = _invitation(text), "invitation"
        else:
            try:
                data = bytes.fromhex(text)
            except ValueError:
                continue
            if algorithm == "wire-records" and member == "bytes":
                for record in _records(data):
                    add("record", record, case)
                    if record[0] in RECORD_BODIES and len(record) > 3:
                        add(RECORD_BODIES[record[0]], record[3:], case)
                continue
            named = _structure(algorithm, member, data) if data else None
            if named is None:
                continue
            structure = named
        if (structure, data) not in found:
            for inner, extent in instances(structure, data):
                add(inner, extent, case)
    for structure, data in _made():
        for inner, extent in instances(structure, data):
            add(inner, extent, "")
    return tuple(found.values())


def _made() -> Iterator[tuple[str, bytes]]:
    """Formats that no vector has, made with the reference implementation from fixed secrets."""
    member = Identity.from_secret(Secret32(b"\x01" * 32))
    other = Identity.from_secret(Secret32(b"\x02" * 32))
    subnet, record = sha256(b"subnet"), sha256(b"present record")
    counts = Counts(ended=12, delivered=11, rerouted=2, recovered=1, latency=(3, 4, 2, 1, 0, 0, 1, 0))
    signature = member.signing_key.sign(signed_report(subnet, 7, record, counts))
    report = VitalsReport(subnet, 7, record, member.node_id, counts, signature)
    yield "vitals_report", codec.encode_frame(report)
    proof = VitalsProof(1, counts, signature)
    yield "evidence", encode_evidence(Evidence((), (), (), (), (proof,)))
    yield "signal", codec.encode_frame(Signal(member.node_id, other.node_id, b"opaque bytes"))


def _invitation(text: str) -> bytes:
    letters = text[len("tom:") :].upper()
    return base64.b32decode(letters + "=" * (-len(letters) % 8))


def _records(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = 3 + int.from_bytes(data[at + 1 : at + 3], "big")
        yield data[at : at + size]
        at += size


def instances(structure: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The structure itself and every one inside it, with its bytes."""
    extents: dict[str, tuple[str, int, int]] = {}
    everything = list(spans(structure, data))
    for span in everything:
        parent = span.path.rpartition(".")[0]
        extents.setdefault(parent, (span.structure, span.offset, span.offset))
    for parent, (name, _, _) in extents.items():
        inside = [span for span in everything if not parent or span.path.startswith(f"{parent}.")]
        start = min(span.offset for span in inside)
        end = max(span.offset + span.size for span in inside)
        yield name, data[start:end]


@cache
def example(layout: str) -> Example | None:
    """The example of a format that shows most of its fields, the shorter of two that show as many."""
    candidates = [one for one in corpus() if one.layout == layout]
    short = [one for one in candidates if len(one.data) <= COMFORTABLE]
    if not candidates:
        return None
    if not short:
        return min(candidates, key=lambda one: (len(one.data), one.case))
    return max(short, key=lambda one: (_fields(one), -len(one.data), one.case))


def _fields(one: Example) -> int:
    """How many different fields have at least a byte."""
    found = {
        (span.structure, span.field) for span in spans(one.layout.replace("-", "_"), one.data) if span.size
    }
    return len(found)


def meaning(span: Span, data: bytes) -> str:
    """A field's value in words: a number, a text, a moment; nothing for bytes that have no other form."""
    piece = data[span.offset : span.offset + span.size]
    if span.kind == "integer":
        number = int.from_bytes(piece, "big")
        if (
            span.size == 8
            and span.field.endswith(_MOMENTS)
            and 1_000_000_000_000 < number < 4_000_000_000_000
        ):
            moment = datetime.fromtimestamp(number / 1000, UTC)
            return f"{number:,} = {moment:%Y-%m-%d %H:%M:%S}.{number % 1000:03d} UTC"
        if span.size == 8 and number >= 1 << 62 and "2^63" in span.note:
            return f"{number - (1 << 63):,} plus 2^63"
        return f"{number:,}"
    if not span.size:
        return "nothing"
    if span.field in {"text", "reason"} and piece.isascii():
        return f"“{piece.decode('ascii')}”"
    return ""


def table(layout: str, data: bytes) -> str:
    """The fields of some bytes as an HTML table: offset, field, bytes, value and meaning."""
    rows = []
    for span in spans(layout.replace("-", "_"), data):
        piece = data[span.offset : span.offset + span.size]
        shown = piece[:_SHOWN].hex(" ")
        if len(piece) > _SHOWN:
            shown += f" … {len(piece) - _SHOWN:,} more"
        value = meaning(span, data)
        note = "" if span.note == value else f"<span class='note'>{escape(span.note)}</span>"
        path = re.sub(r"([._])", r"\1<wbr>", escape(span.path))
        rows.append(
            f"<tr><td>{span.offset}</td><td><code>{path}</code></td><td class='hex'>{shown}</td>"
            f"<td>{escape(value)}{'<br>' if value and note else ''}{note}</td></tr>"
        )
    head = "<tr><th>offset</th><th>field</th><th>bytes</th><th>value, meaning</th></tr>"
    return (
        "<div class='table-wrapper docutils container'><table class='docutils tom-dump'>"
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def hex_lines(data: bytes, width: int = 32) -> str:
    """Bytes as lines of hex."""
    return "\n".join(data[at : at + width].hex(" ") for at in range(0, len(data), width))


def details(layout: str) -> str:
    """The example of a format as a fold-out piece of HTML; empty when the vectors have none."""
    found = example(layout)
    if found is None:
        return ""
    origin = f"From the test vector <code>{found.case}</code>:" if found.case else "Made by the reference:"
    size = f"{len(found.data):,} byte{'' if len(found.data) == 1 else 's'}"
    return (
        f"<details class='tom-example'><summary>Example of <code>{layout}</code>, {size}, field by field"
        f"</summary><p>{origin}</p>"
        f"<pre class='hex'>{hex_lines(found.data)}</pre>{table(layout, found.data)}</details>"
    )


def missing() -> list[str]:
    """The declared formats of which the vectors have no example."""
    return [layout for layout in wire.LAYOUTS if example(layout) is None]
