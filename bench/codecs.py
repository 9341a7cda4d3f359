"""The codec beside ``struct`` by hand, construct's interpreter, and protobuf."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from timeit import repeat
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tom_ref import codec, wire
from tom_ref.frames import Envelope, Header, Kind, Stamp

HEADER = Header(
    Kind.MESSAGE,
    os.urandom(32),
    7,
    os.urandom(32),
    os.urandom(32),
    1_800_000_000_000,
    60_000,
    32,
    (),
    1112,
    os.urandom(32),
)
STAMP = Stamp(1_800_000_000_001, os.urandom(32), os.urandom(64))
ENVELOPE = Envelope(HEADER, codec.encode_header(HEADER), os.urandom(64), 0, (STAMP, STAMP), os.urandom(1112))
_HEAD = struct.Struct(">BB32sQ32s32sQIBBI32s")
_STAMP = struct.Struct(">Q32s64s")


def by_hand_encode() -> bytes:
    """The same bytes with ``struct`` and no checks."""
    h = HEADER
    header = _HEAD.pack(
        1, h.kind, h.subnet, h.term, h.sender, h.recipient, h.created_at, h.ttl, h.hop_limit, 0, 1112,
        h.payload_hash,
    )  # fmt: skip
    stamps = b"".join(_STAMP.pack(s.arrived_at, s.next_hop, s.signature) for s in ENVELOPE.trail)
    head = b"\x01" + len(header).to_bytes(2, "big") + header + ENVELOPE.signature + bytes(8)
    return head + bytes((len(ENVELOPE.trail),)) + stamps + ENVELOPE.payload


def by_hand_decode(data: bytes) -> tuple[Any, ...]:
    """The same fields with ``struct`` and no checks."""
    length = int.from_bytes(data[1:3], "big")
    header = _HEAD.unpack_from(data, 3)
    position = 3 + length
    count = data[position + 72]
    stamps = [_STAMP.unpack_from(data, position + 73 + 104 * index) for index in range(count)]
    return header, data[position : position + 64], stamps, data[position + 73 + 104 * count :]


def _protobuf() -> tuple[Callable[[], bytes], Callable[[bytes], Any]]:
    """The same fields as a protobuf message, object and bytes."""
    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in {
        "Stamp": [("arrived_at", "u"), ("next_hop", "b"), ("signature", "b")],
        "Envelope": [
            ("version", "u"),
            ("kind", "u"),
            ("subnet", "b"),
            ("term", "u"),
            ("sender", "b"),
            ("recipient", "b"),
            ("created_at", "u"),
            ("ttl", "u"),
            ("hop_limit", "u"),
            ("payload_hash", "b"),
            ("signature", "b"),
            ("trail", "s"),
            ("payload", "b"),
        ],
    }.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            added.type = {"u": kinds.TYPE_UINT64, "b": kinds.TYPE_BYTES, "s": kinds.TYPE_MESSAGE}[kind]
            if kind == "s":
                added.label, added.type_name = kinds.LABEL_REPEATED, ".bench.Stamp"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    envelope = message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Envelope"))

    def encode() -> bytes:
        h = HEADER
        message = envelope(
            version=1,
            kind=int(h.kind),
            subnet=h.subnet,
            term=h.term,
            sender=h.sender,
            recipient=h.recipient,
            created_at=h.created_at,
            ttl=h.ttl,
            hop_limit=h.hop_limit,
            payload_hash=h.payload_hash,
            signature=ENVELOPE.signature,
            payload=ENVELOPE.payload,
        )
        for stamp in ENVELOPE.trail:
            message.trail.add(arrived_at=stamp.arrived_at, next_hop=stamp.next_hop, signature=stamp.signature)
        data: bytes = message.SerializeToString()
        return data

    return encode, envelope.FromString


def measure(scale: float) -> dict[str, float | int]:
    """Encodings and decodings a second."""
    number = max(1, int(2000 * scale))

    def rate(work: Callable[[], Any]) -> float:
        return number / min(repeat(work, number=number, repeat=5))

    data = codec.encode_envelope(ENVELOPE)
    assert by_hand_encode() == data
    assert codec.decode_envelope(data) == ENVELOPE
    protobuf_encode, protobuf_decode = _protobuf()
    protobuf_data = protobuf_encode()
    values = wire.ENVELOPE.parse(data)
    figures: dict[str, float | int] = {
        "bytes": len(data),
        "bytes as protobuf": len(protobuf_data),
        "encode, checked, a second": rate(lambda: codec.encode_envelope(ENVELOPE)),
        "encode with construct's interpreter": rate(lambda: wire.ENVELOPE.build(values)),
        "encode with struct by hand, unchecked": rate(by_hand_encode),
        "encode with protobuf": rate(protobuf_encode),
        "decode, strict and canonical, a second": rate(lambda: codec.decode_envelope(data)),
        "decode with construct's interpreter": rate(lambda: wire.ENVELOPE.parse(data)),
        "decode with struct by hand, unchecked": rate(lambda: by_hand_decode(data)),
        "decode with protobuf": rate(lambda: protobuf_decode(protobuf_data)),
    }
    return figures
