"""Seal, relay, open and receipt by the nodes, beside the same primitives called bare."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from time import perf_counter

from nacl import bindings

from tom_ref.crypto import Secret32
from tom_ref.effects import DeliveryState, Progress, SendFrame
from tom_ref.identity import Identity
from tom_ref.inputs import AddPeer, FrameReceived, LinkUp, SendMessage, Start
from tom_ref.node import Node, subnet_id

NOW = 1_800_000_000_000
CONTENT = bytes(1024)


def entropy(_: str, size: int) -> bytes:
    """The system's."""
    return os.urandom(size)


class _Nodes:
    """A, C and B joined by nothing but function calls."""

    def __init__(self) -> None:
        subnet = subnet_id("bench")
        self.nodes = {
            name: Node(
                Identity.from_secret(Secret32(os.urandom(32))), subnet=subnet, entropy=entropy, now=NOW
            )
            for name in "ACB"
        }
        self.queue: deque[tuple[str, int, bytes]] = deque()
        self.delivered = 0
        self.octets = 0
        for node in self.nodes.values():
            node.step(Start(), NOW)
        relay = self.nodes["C"]
        for link, name in enumerate("AB"):
            node = self.nodes[name]
            node.step(AddPeer(relay.node_id, (), relay=True), NOW)
            self._take(name, node.step(LinkUp(link, relay.descriptor, initiated=True), NOW))
            self._take("C", relay.step(LinkUp(link, node.descriptor, initiated=False), NOW))

    def _take(self, name: str, effects: tuple[object, ...]) -> None:
        for effect in effects:
            if isinstance(effect, SendFrame):
                target = "C" if name != "C" else "AB"[effect.link]
                self.octets += len(effect.data)
                self.queue.append((target, effect.link, effect.data))
            elif isinstance(effect, Progress) and effect.state is DeliveryState.DELIVERED:
                self.delivered += 1

    def message(self) -> None:
        """One message and its receipt."""
        sender, recipient = self.nodes["A"], self.nodes["B"]
        command = SendMessage(sender.next_handle, recipient.node_id, CONTENT, 60_000)
        self._take("A", sender.step(command, NOW))
        while self.queue:
            name, link, data = self.queue.popleft()
            self._take(name, self.nodes[name].step(FrameReceived(link, data), NOW))


def bare(count: int) -> float:
    """Seconds a message for the same primitives: 4 signatures, 8 verifications, 1 seal, 1 open, 8 hashes."""
    public, secret = bindings.crypto_sign_keypair()
    key, nonce, header, payload = os.urandom(32), bytes(12), bytes(180), bytes(1112)
    signed = bindings.crypto_sign(header, secret)
    started = perf_counter()
    for _ in range(count):
        for _ in range(4):
            bindings.crypto_sign(header, secret)
        for _ in range(8):
            bindings.crypto_sign_open(signed, public)
        sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(CONTENT, header, nonce, key)
        bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, header, nonce, key)
        for _ in range(8):
            hashlib.sha256(payload).digest()
    return (perf_counter() - started) / count


def measure(scale: float) -> dict[str, float | int]:
    """Microseconds a message, and the ratio."""
    nodes = _Nodes()
    nodes.message()
    nodes.message()
    count = int(2000 * scale)
    primitives = min(bare(count // 4) for _ in range(3))
    nodes.octets = 0
    best = float("inf")
    for _ in range(4):
        started = perf_counter()
        for _ in range(count // 4):
            nodes.message()
        best = min(best, (perf_counter() - started) / (count // 4))
    assert nodes.delivered == 2 + 4 * (count // 4)
    return {
        "primitives bare, µs a message": 1e6 * primitives,
        "three nodes, µs a message": 1e6 * best,
        "ratio": best / primitives,
        "messages a second on one processor": 1 / best,
        "bytes in frames, all hops and the receipt": round(nodes.octets / (4 * (count // 4))),
        "of them content": 2 * len(CONTENT),
    }
