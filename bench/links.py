"""Link set-ups, and what a link costs beside its AEAD."""

from __future__ import annotations

import os
from time import perf_counter

from nacl import bindings

from tom_ref import codec
from tom_ref.crypto import Secret32
from tom_ref.identity import Identity, make_prekey, sign_descriptor
from tom_ref.link import Link, LinkFrame

NOW = 1_800_000_000_000
FRAME = bytes(1300)


def entropy(_: str, size: int) -> bytes:
    """The system's."""
    return os.urandom(size)


class _Side:
    """One node's keys."""

    def __init__(self) -> None:
        self.identity = Identity.from_secret(Secret32(os.urandom(32)))
        prekey = make_prekey(1, Secret32(os.urandom(32)), NOW)
        self.descriptor = codec.encode_descriptor(sign_descriptor(self.identity, prekey, NOW))


def connected(one: _Side, other: _Side) -> tuple[Link, Link]:
    """A pair of open links."""
    first = Link.initiator(
        static=one.identity.link_secret, descriptor=one.descriptor, binding=b"", entropy=entropy, now=NOW
    )
    second = Link.responder(
        static=other.identity.link_secret, descriptor=other.descriptor, binding=b"", entropy=entropy, now=NOW
    )
    for _ in range(3):
        carry(first, second)
        carry(second, first)
    return first, second


def carry(source: Link, target: Link) -> int:
    """Carry what one side has to send; returns how many frames came out."""
    frames = 0
    while data := source.data_to_send(NOW):
        target.receive_data(data, NOW)
        while (event := target.next_event()) is not None:
            frames += isinstance(event, LinkFrame)
    return frames


def measure(scale: float) -> dict[str, float | int]:
    """Set-ups and frames a second."""
    one, other = _Side(), _Side()
    count = int(200 * scale)
    started = perf_counter()
    for _ in range(count):
        connected(one, other)
    set_up = (perf_counter() - started) / count
    first, second = connected(one, other)
    batch, rounds = 64, int(100 * scale)
    best = float("inf")
    for _ in range(rounds):
        started = perf_counter()
        for _ in range(batch):
            first.send(FRAME)
        got = carry(first, second)
        carry(second, first)
        best = min(best, perf_counter() - started)
        assert got == batch
    key, nonce, block = os.urandom(32), bytes(12), bytes(63_000)
    times = []
    for _ in range(20):
        started = perf_counter()
        sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(block, b"", nonce, key)
        bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, b"", nonce, key)
        times.append(perf_counter() - started)
    aead = min(times) * batch * len(FRAME) / len(block)
    return {
        "set-ups a second, both sides on one processor": 1 / set_up,
        "frames of 1,300 bytes a second, sent and received": batch / best,
        "the AEAD alone, frames a second": batch / aead,
        "ratio to the AEAD alone": best / aead,
    }
