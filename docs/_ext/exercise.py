"""The exercise *Decode it by hand*: what was recorded on a wire, and its solution, made anew with each build.

The message is that of a test vector; the link around it is sealed here with the reference implementation.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from attrs import frozen
from example_bytes import VECTORS, hex_lines, table

from tom_ref import codec, crypto
from tom_ref.bech32m import node_id_to_text
from tom_ref.crypto import Secret32, labelled, sha256
from tom_ref.errors import Reason
from tom_ref.frames import Chunk, Envelope, Ping, Refusal
from tom_ref.handshake import CipherState
from tom_ref.validate import message_id, signed_header

CASE: Final = "delivery-message-0001"
KEY: Final = sha256(b"exercise")
NONCE: Final = 41
STREAM: Final = 7
REFUSAL: Final = Reason.NO_ROUTE


@frozen
class Exercise:
    """What is given, and what must come out."""

    warm_up: bytes
    """A frame."""
    key: bytes
    nonce: int
    wire: bytes
    """Length and sealed message, as they stood in the stream."""
    plaintext: bytes
    frame: bytes
    envelope: Envelope
    content: bytes


@cache
def exercise() -> Exercise:
    """Make it from the vector."""
    cases = json.loads((VECTORS / "delivery/message.json").read_text(encoding="utf-8"))["cases"]
    case: dict[str, Any] = next(one for one in cases if one["id"] == CASE)
    frame = bytes.fromhex(case["input"]["frame"])
    envelope = codec.decode_frame(frame)
    assert isinstance(envelope, Envelope)
    crypto.verify(envelope.header.sender, signed_header(envelope.header_bytes), envelope.signature)
    cut = len(frame) // 2
    records = (
        Ping(1, envelope.header.created_at + 15),
        Chunk(STREAM, len(frame), 0, frame[:cut]),
        Chunk(STREAM, len(frame), cut, frame[cut:]),
    )
    plaintext = b"".join(codec.encode_record(record) for record in records)
    codec.decode_records(plaintext)
    sealed = CipherState(Secret32(KEY), NONCE).encrypt(plaintext)
    return Exercise(
        warm_up=codec.encode_frame(Refusal(message_id(envelope.header_bytes), REFUSAL.value)),
        key=KEY,
        nonce=NONCE,
        wire=len(sealed).to_bytes(2, "big") + sealed,
        plaintext=plaintext,
        frame=frame,
        envelope=envelope,
        content=bytes.fromhex(case["output"]["content"]),
    )


def markdown() -> str:
    """The three parts, each with its bytes, its questions and its solution."""
    made = exercise()
    return "\n\n".join([_first(made), _second(made), _third(made)]) + "\n"


def _first(made: Exercise) -> str:
    return _part(
        "1. A frame",
        f"Somebody shows you {len(made.warm_up)} bytes of an open link:",
        made.warm_up,
        ("What frame is it? Whom does it concern, and what does it say?", "May you believe it?"),
        f"<p>The first byte says which frame it is: 0x04, a refusal. {len(REFUSAL.value)} bytes of reason follow the "
        f"message id: <code>{REFUSAL.value}</code>. It is a neighbour's word and proves nothing (TOM-DELIVERY-055).</p>"
        + table("refusal", made.warm_up),
    )


def _second(made: Exercise) -> str:
    envelope = made.envelope
    header = envelope.header
    hop = envelope.trail[-1]
    signed = labelled("ToM/1 header", envelope.header_bytes)
    steps = (
        (
            "from",
            f"<code>{header.sender.hex()}</code>, that is <code>{node_id_to_text(header.sender)}</code>",
        ),
        ("to", f"<code>{header.recipient.hex()}</code>"),
        ("written at", f"{header.created_at:,} ms since 1970, good for {header.ttl:,} ms"),
        ("hops so far", f"{len(envelope.trail)}; the last stamp names <code>{hop.next_hop.hex()}</code>"),
        ("bytes under the signature", f"{len(signed)}: <code>{signed[:20].hex()}…</code>"),
        ("message id", f"their SHA-256, <code>{sha256(signed).hex()}</code>"),
        ("signature", "verifies under the sender's NodeId as an Ed25519 key"),
        (
            "payload",
            (
                f"{len(envelope.payload)} bytes, as the header says; their SHA-256 is the header's "
                f"<code>payload_hash</code>, <code>{sha256(envelope.payload).hex()}</code>"
            ),
        ),
    )
    rows = "".join(f"<tr><th>{name}</th><td>{what}</td></tr>" for name, what in steps)
    kind = "session-initial" if envelope.payload[1] == 1 else "session-regular"
    return _part(
        "2. A message on its way",
        f"A relay wrote down {len(made.frame)} bytes:",
        made.frame,
        (
            "Who writes to whom, when, and how long may the message live?",
            "How many hops has it made, and who has it now?",
            "What is its id? Is the signature good? Is this the payload that the sender signed for?",
            "The relay can't read the payload. What can it tell of it all the same?",
        ),
        f"<table class='docutils'>{rows}</table>{table('envelope', made.frame)}"
        f"<p>The payload is a <code>{kind}</code>, the first of a session:</p>{table(kind, envelope.payload)}",
    )


def _third(made: Exercise) -> str:
    sealed = made.wire[2:]
    nonce = bytes(4) + made.nonce.to_bytes(8, "little")
    given = (
        f"Between the two ends of a link over TCP these {len(made.wire)} bytes went by. One end gives you the key of "
        f"this direction, <code>{made.key.hex()}</code>, and says that it had received {made.nonce} messages under it."
    )
    solution = (
        f"<p>The first two bytes are the length, {len(sealed):,}. The rest is ChaCha20-Poly1305 with the nonce "
        f"<code>{nonce.hex()}</code> and no associated data (16 bytes of it are the tag). The plaintext:</p>"
        f"<pre class='hex'>{hex_lines(made.plaintext)}</pre>{_records(made)}"
        f"<p>The two chunks make up a frame of {len(made.frame)} bytes: the one of part 2. With the secret of its "
        "recipient, 32 bytes of 0x02, and of the prekey that it names, 32 bytes of 0x0b, the chapter <em>Session</em> leads "
        f"to the content: “{made.content.decode()}”</p>"
    )
    return _part(
        "3. From the wire",
        given,
        made.wire,
        ("Which records does the plaintext hold?", "Which frame do they carry?"),
        solution,
    )


def _records(made: Exercise) -> str:
    parts = []
    at = 0
    while at < len(made.plaintext):
        size = 3 + int.from_bytes(made.plaintext[at + 1 : at + 3], "big")
        parts.append(table("record", made.plaintext[at : at + size]))
        at += size
    return "".join(parts)


def _part(title: str, given: str, data: bytes, questions: tuple[str, ...], solution: str) -> str:
    asked = "\n".join(f"- {question}" for question in questions)
    return (
        f"## {title}\n\n```{{raw}} html\n<p>{given}</p><pre class='hex'>{hex_lines(data)}</pre>\n```\n\n{asked}\n\n"
        f"```{{raw}} html\n<details class='tom-example'><summary>Solution</summary>{solution}</details>\n```"
    )
