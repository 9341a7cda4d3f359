"""The examples of the site: every format has one, and the exercise is solved right.

The decoder that says so knows nothing of ``tom_ref``: it reads the page as a stranger does, with ``struct``,
``hashlib`` and the package ``cryptography``.
"""

from __future__ import annotations

import hashlib
import html
import re
import struct
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tom_cli.dump import dump
from tom_ref import wire

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs" / "_ext"))

import example_bytes
import exercise


def test_every_format_of_the_specification_has_an_example_with_its_fields():
    assert example_bytes.missing() == []
    for layout in wire.LAYOUTS:
        markup = example_bytes.details(layout)
        example = example_bytes.example(layout)
        assert example is not None
        for field in wire.LAYOUTS[layout].subcons:
            if layout != "evidence":  # whose lists are never all filled
                assert field.name.replace("_", "_<wbr>") in markup, layout
        assert example_bytes.hex_lines(example.data) in markup


def test_the_fields_of_an_example_cover_its_bytes_without_gap():
    for layout in wire.LAYOUTS:
        example = example_bytes.example(layout)
        assert example is not None
        at = 0
        for span in example_bytes.spans(layout.replace("-", "_"), example.data):
            assert span.offset == at, (layout, span.path)
            at += span.size
        assert at == len(example.data), layout


def labelled(label: str, *parts: bytes) -> bytes:
    """As the chapter *Notation* says it."""
    text = label.encode("ascii")
    return bytes([len(text)]) + text + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def given(number: int) -> tuple[str, bytes, str]:
    """Of a part of the page: its text, the bytes that are given, and the solution's text."""
    part = re.split(r"^## ", exercise.markdown(), flags=re.MULTILINE)[number]
    data = re.search(r"<pre class='hex'>([^<]+)</pre>", part)
    solution = re.search(r"<summary>Solution</summary>(.+)</details>", part, re.DOTALL)
    assert data is not None
    assert solution is not None
    text = html.unescape(re.sub(r"<[^>]+>", " ", solution[1].replace("<wbr>", "")))
    return part, bytes.fromhex(data[1].replace("\n", " ")), text


def test_the_first_part_is_solved_right():
    _, data, solution = given(1)
    kind, message, length = data[0], data[1:33], data[33]
    assert (kind, len(data)) == (0x04, 34 + length)
    assert data[34:].decode("ascii") in solution
    assert given(2)[2].find(message.hex()) > 0


def test_the_second_part_is_solved_right():
    _, data, solution = given(2)
    kind, header_length = struct.unpack_from(">BH", data)
    header = data[3 : 3 + header_length]
    assert kind == 0x01
    version, message_kind, _subnet, term, sender, recipient, created, ttl, hops, extensions, size, digest = (
        struct.unpack(">BB32sQ32s32sQIBBI32s", header)
    )
    assert (version, message_kind, term, extensions) == (1, 1, 0, 0)
    at = 3 + header_length
    signature, _work, stamps = struct.unpack_from(">64sQB", data, at)
    at += 73
    signed = labelled("ToM/1 header", header)
    Ed25519PublicKey.from_public_bytes(sender).verify(signature, signed)
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(sender).verify(signature, signed[:-1] + b"\x00")
    signer, before = sender, bytes(32)
    for _ in range(stamps):
        arrived, next_hop, stamped = struct.unpack_from(">Q32s64s", data, at)
        message = hashlib.sha256(signed).digest()
        Ed25519PublicKey.from_public_bytes(signer).verify(
            stamped, labelled("ToM/1 stamp", message, before, struct.pack(">Q", arrived), next_hop)
        )
        signer, before = next_hop, hashlib.sha256(data[at : at + 104]).digest()
        at += 104
    payload = data[at:]
    assert (len(payload), hashlib.sha256(payload).digest()) == (size, digest)
    assert stamps <= hops
    for value in (
        sender.hex(),
        recipient.hex(),
        f"{created:,}",
        f"{ttl:,}",
        signer.hex(),
        hashlib.sha256(signed).hexdigest(),
        digest.hex(),
        f"{len(signed)}: ",
        f"{stamps}; ",
    ):
        assert value in solution, value


def test_the_third_part_is_solved_right():
    part, data, solution = given(3)
    key = re.search(r"<code>([0-9a-f]{64})</code>", part)
    count = re.search(r"received (\d+) messages", part)
    assert key is not None
    assert count is not None
    (length,) = struct.unpack_from(">H", data)
    assert length == len(data) - 2
    nonce = bytes(4) + struct.pack("<Q", int(count[1]))
    cipher = ChaCha20Poly1305(bytes.fromhex(key[1]))
    plaintext = cipher.decrypt(nonce, data[2:], None)
    with pytest.raises(InvalidTag):
        cipher.decrypt(bytes(12), data[2:], None)
    assert plaintext.hex() in "".join(solution.split())
    at, frame, kinds = 0, bytearray(), []
    while at < len(plaintext):
        kind, size = struct.unpack_from(">BH", plaintext, at)
        body = plaintext[at + 3 : at + 3 + size]
        kinds.append(kind)
        if kind == 1:
            _, total, offset = struct.unpack_from(">III", body)
            assert offset == len(frame)
            frame += body[12:]
            assert len(frame) <= total
        at += 3 + size
    assert kinds == [3, 1, 1]
    assert bytes(frame) == given(2)[1]


def test_tom_inspect_shows_every_frame_field_by_field_as_the_pages_do():
    for kind, structure in example_bytes.frame_types().items():
        example = example_bytes.example(structure.replace("_", "-"))
        assert example is not None
        assert example.data[0] == kind
        title, rows, refusal = dump(example.data)
        assert title.partition("\n")[0] == structure.replace("_", " ")
        assert refusal is None, structure
        assert [(row.field, row.offset, len(row.data)) for row in rows] == [
            (span.path, span.offset, span.size) for span in example_bytes.spans(structure, example.data)
        ]
        cut = dump(example.data[:-1])
        assert b"".join(row.data for row in cut[1]) == example.data[:-1], structure
