"""Replays of ``test-vectors/session/``.

The key agreement, the names and the key schedule are computed again with ``cryptography`` and hashlib.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.vector_replay import Replay
from tools.vectors import session

unhex = bytes.fromhex


def _exchange(secret: str, public: str) -> bytes:
    return X25519PrivateKey.from_private_bytes(unhex(secret)).exchange(
        X25519PublicKey.from_public_bytes(unhex(public))
    )


def _hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(key)


def _agreed(*secrets: bytes) -> str:
    info = b"\x0aToM/1 x3dh\x00\x00\x00\x01\x01"
    return _hkdf(b"\xff" * 32 + b"".join(secrets), bytes(32), info, 32).hex()


def x3dh_initiator(given: dict[str, Any]) -> dict[str, Any]:
    output = session.x3dh_initiator(given)
    again = _agreed(
        _exchange(given["session_secret"], given["peer_prekey"]),
        _exchange(given["ephemeral_secret"], given["peer_session_key"]),
        _exchange(given["ephemeral_secret"], given["peer_prekey"]),
    )
    assert output["shared_secret"] == again
    return output


def x3dh_responder(given: dict[str, Any]) -> dict[str, Any]:
    output = session.x3dh_responder(given)
    again = _agreed(
        _exchange(given["prekey_secret"], given["peer_session_key"]),
        _exchange(given["session_secret"], given["peer_ephemeral"]),
        _exchange(given["prekey_secret"], given["peer_ephemeral"]),
    )
    assert output["shared_secret"] == again
    return output


def session_id(given: dict[str, Any]) -> dict[str, Any]:
    parts = [unhex(given[name]) for name in ("initiator_node", "responder_node", "ephemeral", "prekey")]
    parts.append(given["begun_at"].to_bytes(8, "big"))
    encoded = b"\x10ToM/1 session id" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    output = session.session_id(given)
    assert output["session_id"] == hashlib.sha256(encoded).hexdigest()[:32]
    return output


def key_schedule(given: dict[str, Any]) -> dict[str, Any]:
    root = _hkdf(unhex(given["shared"]), unhex(given["root_key"]), b"\x12ToM/1 session root", 64)
    chain, messages = root[32:], []
    for _ in range(given["messages"]):
        message_key, chain = (hmac.digest(chain, byte, "sha256") for byte in (b"\x01", b"\x02"))
        output = _hkdf(message_key, bytes(32), b"\x15ToM/1 session message", 44)
        messages.append(
            {
                "message_key": message_key.hex(),
                "key": output[:32].hex(),
                "nonce": output[32:].hex(),
                "next_chain_key": chain.hex(),
            }
        )
    again = {"root_key": root[:32].hex(), "chain_key": root[32:].hex(), "messages": messages}
    assert session.key_schedule(given) == again
    return again


REPLAY: dict[str, Replay] = {
    "x3dh-initiator": x3dh_initiator,
    "x3dh-responder": x3dh_responder,
    "session-id": session_id,
    "session-key-schedule": key_schedule,
    "session-conversation": session.conversation,
    "session-open-initial": session.open_initial,
    "session-open-later": session.open_later,
}
