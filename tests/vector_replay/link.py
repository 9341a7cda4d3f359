"""Replays of ``test-vectors/link/``.

Handshakes and sealed messages are computed a second time by implementations that share nothing with tom_ref:
``noiseprotocol`` and the ChaCha20-Poly1305 of ``cryptography``.
"""

from __future__ import annotations

import warnings
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection

from tests.vector_replay import Replay
from tom_ref import codec
from tom_ref.frames import HandshakePayload, Rekey
from tools.vectors import link

unhex = bytes.fromhex


def handshake(given: dict[str, Any]) -> dict[str, Any]:
    output = link.handshake(given)
    binding = unhex(given["binding"])
    prologue = b"\x0aToM/1 link" + len(binding).to_bytes(4, "big") + binding
    own = codec.encode_handshake_payload(
        HandshakePayload(codec.decode_descriptor(unhex(given["descriptor"])))
    )
    peer = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
    peer.set_prologue(prologue)
    peer.set_keypair_from_private_bytes(Keypair.STATIC, unhex(given["link_secret"]))
    peer.set_keypair_from_private_bytes(Keypair.EPHEMERAL, unhex(given["ephemeral"]))
    (peer.set_as_initiator if given["role"] == "initiator" else peer.set_as_responder)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.start_handshake()
    sent = []
    received = list(given["received"])
    if given["role"] == "initiator":
        sent.append(bytes(peer.write_message(b"")))
        peer.read_message(unhex(received.pop(0)))
        sent.append(bytes(peer.write_message(own)))
    else:
        assert bytes(peer.read_message(unhex(received.pop(0)))) == b""
        sent.append(bytes(peer.write_message(own)))
        peer.read_message(unhex(received.pop(0)))
    assert peer.handshake_finished
    assert [message.hex() for message in sent] == output["sent"]
    assert peer.get_handshake_hash().hex() == output["handshake_hash"]
    assert peer.noise_protocol.cipher_state_encrypt.k.hex() == output["send_key"]
    assert peer.noise_protocol.cipher_state_decrypt.k.hex() == output["receive_key"]
    return output


class _Cipher:
    """Noise's cipher state once more, with another library."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.key = unhex(given["key"])
        self.number = int(given["nonce"], 16)

    def next(self) -> tuple[ChaCha20Poly1305, bytes]:
        nonce = bytes(4) + self.number.to_bytes(8, "little")
        self.number += 1
        return ChaCha20Poly1305(self.key), nonce

    def follow(self, plaintext: bytes) -> None:
        if isinstance(codec.decode_records(plaintext)[-1], Rekey):
            self.key = ChaCha20Poly1305(self.key).encrypt(bytes(4) + b"\xff" * 8, bytes(32), b"")[:32]


def seal(given: dict[str, Any]) -> dict[str, Any]:
    output = link.seal(given)
    cipher = _Cipher(given)
    sealed = []
    for message in map(unhex, given["messages"]):
        key, nonce = cipher.next()
        sealed.append(key.encrypt(nonce, message, b"").hex())
        cipher.follow(message)
    assert output == {"sealed": sealed}
    return output


def open_sealed(given: dict[str, Any]) -> dict[str, Any]:
    output = link.open_sealed(given)
    cipher = _Cipher(given)
    messages = []
    for message in map(unhex, given["sealed"]):
        key, nonce = cipher.next()
        plaintext = key.decrypt(nonce, message, b"")
        messages.append(plaintext.hex())
        cipher.follow(plaintext)
    assert output == {"messages": messages}
    return output


REPLAY: dict[str, Replay] = {
    "link-handshake": handshake,
    "link-seal": seal,
    "link-open": open_sealed,
    "link-records": link.records,
    "link-clock": link.clock,
    "link-choice": link.choice,
}
