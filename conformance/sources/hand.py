"""Cases written by hand: the smoke level, which asks whether the adapter answers at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from conformance.case import Case, Expect, Polarity, Step, ok, reject
from conformance.plain import plain
from conformance.protocol import Kind
from tom_ref import codec, constants
from tom_ref.crypto import labelled
from tom_ref.frames import DescriptorQuery
from tom_ref.term_frames import NO_TERM, RecordQuery

_HELLO: Final = {
    "spec": {"$any": True},
    "levels": {"$any": True},
    "features": {"$any": True},
    "limits": {"$any": True},
    "port": {"$any": True},
}

_IGNORED: Final = {"is": "UnknownFrame", "type": 0xFF, "body": {"$any": True}}


def cases(seed: str) -> Iterator[Case]:
    """The smoke level."""
    chance = random.Random(f"{seed}/hand")  # noqa: S311 - test values
    node, subnet = chance.randbytes(32), chance.randbytes(32)
    query = codec.encode_frame(DescriptorQuery(node))
    asks = codec.encode_frame(RecordQuery(subnet, NO_TERM))
    yield _positive("smoke-hello", ("TOM-CONF-008",), "says who it is", Step("hello", {}, ok(_HELLO)))
    yield _positive("smoke-reset", ("TOM-CONF-009",), "forgets what was", Step("reset", {}, ok({})))
    unknown = f"x{chance.randrange(2**32):08x}.nothing"
    unsupported = Expect(Kind.UNSUPPORTED)
    yield _negative(
        "smoke-unknown-command",
        ("TOM-CONF-006",),
        "a command that nobody knows",
        Step(unknown, {}, unsupported),
        "smoke-hello",
    )
    yield _negative(
        "smoke-unknown-format",
        ("TOM-CONF-006",),
        "a format that nobody knows",
        Step("codec.decode", {"format": f"x{chance.randrange(2**32):08x}", "bytes": ""}, unsupported),
        "smoke-decode",
    )
    yield _positive(
        "smoke-decode",
        ("TOM-CONF-003", "TOM-WIRE-002"),
        "decodes a frame of 33 bytes, and encodes it again",
        _decode(query, DescriptorQuery(node)),
        Step(
            "codec.encode",
            {"format": "frame", "value": plain(DescriptorQuery(node))},
            ok({"bytes": query.hex()}),
        ),
    )
    yield _positive(
        "smoke-large-integer",
        ("TOM-CONF-004",),
        "an integer of 2^64 - 1 is a string",
        _decode(asks, RecordQuery(subnet, NO_TERM)),
        derived=True,
    )
    for count in (1, 16, 32):
        yield _negative(
            f"smoke-truncated-{count}",
            ("TOM-WIRE-005",),
            f"{count} bytes of a frame of 33",
            Step("codec.decode", {"format": "frame", "bytes": query[:count].hex()}, reject("truncated")),
            "smoke-decode",
        )
    yield _negative(
        "smoke-trailing",
        ("TOM-WIRE-004",),
        "one byte too many",
        Step("codec.decode", {"format": "frame", "bytes": query.hex() + "00"}, reject("trailing_bytes")),
        "smoke-decode",
    )

    yield Case(
        "hand-frame-largest",
        1,
        ("TOM-WIRE-020",),
        Polarity.POSITIVE,
        "an ignored frame of 1,065,216 bytes",
        (_large(constants.MAX_FRAME, ok({"value": _IGNORED})),),
    )
    yield Case(
        "hand-frame-too-large",
        1,
        ("TOM-WIRE-020", "TOM-WIRE-003"),
        Polarity.NEGATIVE,
        "one byte more",
        (_large(constants.MAX_FRAME + 1, reject("too_large")),),
        pair="hand-frame-largest",
    )
    text = f"ToM/1 {chance.randrange(10**6)}"
    yield _positive(
        "smoke-labelled",
        ("TOM-ID-002",),
        "computes something",
        Step("crypto.labelled", {"label": text, "parts": []}, ok({"encoded": labelled(text).hex()})),
    )


def _large(size: int, expect: Expect) -> Step:
    return Step("codec.decode", {"format": "frame", "bytes": "ff" * size}, expect)


def _decode(data: bytes, value: object) -> Step:
    return Step("codec.decode", {"format": "frame", "bytes": data.hex()}, ok({"value": plain(value)}))


def _positive(name: str, rules: tuple[str, ...], about: str, *steps: Step, derived: bool = True) -> Case:
    return Case(name, 0, rules, Polarity.POSITIVE, about, steps, derived=derived)


def _negative(name: str, rules: tuple[str, ...], about: str, step: Step, pair: str) -> Case:
    return Case(name, 0, rules, Polarity.NEGATIVE, about, (step,), pair=pair, derived=True)
