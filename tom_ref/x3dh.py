"""X3DH without one-time prekeys: the first shared secret of a session (TOM-SESSION-010 ff.).

Signal's "The X3DH Key Agreement Protocol", revision 1, with curve X25519, hash SHA-256 and ToM's own info.
``F`` is 32 bytes of 0xFF, as that document sets for X25519.  The signature on the prekey is the one on the
descriptor that carries it, so nothing here verifies it: take keys from verified descriptors only.
"""

from __future__ import annotations

from typing import Final

from tom_ref.crypto import Secret32, hkdf, labelled, sha256, x25519

SUITE: Final = 1
"""X25519, HKDF-SHA256, HMAC-SHA256, ChaCha20-Poly1305.  A hybrid with a post-quantum KEM gets the next
number.
"""

SESSION_ID_SIZE: Final = 16
"""bytes: enough that two sessions of one pair of nodes never share one by chance."""

_PREFIX: Final = b"\xff" * 32
_SALT: Final = bytes(32)
_INFO: Final = labelled("ToM/1 x3dh", bytes((SUITE,)))


def _derive(dh1: bytes, dh2: bytes, dh3: bytes) -> Secret32:
    return Secret32(hkdf(_PREFIX + dh1 + dh2 + dh3, _SALT, _INFO, 32))


def initiator_secret(
    session: Secret32, ephemeral: Secret32, peer_session: bytes, peer_prekey: bytes
) -> Secret32:
    """The secret as the initiator computes it (TOM-SESSION-011).

    ``session`` and ``ephemeral`` are this node's secrets, the peer's keys 32 bytes each.  Raises
    ``ProtocolError(BAD_KEY)`` for a key of low order.
    """
    return _derive(
        x25519(session, peer_prekey), x25519(ephemeral, peer_session), x25519(ephemeral, peer_prekey)
    )


def responder_secret(
    session: Secret32, prekey: Secret32, peer_session: bytes, peer_ephemeral: bytes
) -> Secret32:
    """The same secret as the responder computes it (TOM-SESSION-012).  Raises ``ProtocolError(BAD_KEY)``."""
    return _derive(
        x25519(prekey, peer_session), x25519(session, peer_ephemeral), x25519(prekey, peer_ephemeral)
    )


def session_id(initiator: bytes, responder: bytes, ephemeral: bytes, prekey: bytes, begun_at: int) -> bytes:
    """The 16 bytes that name a session (TOM-SESSION-017).

    From two node ids and two public keys of 32 bytes each, and the time in ms at which the initiator began
    it.
    """
    parts = (initiator, responder, ephemeral, prekey, begun_at.to_bytes(8, "big"))
    return sha256(labelled("ToM/1 session id", *parts))[:SESSION_ID_SIZE]
