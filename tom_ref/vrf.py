"""The verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381, suite 0x03).

A node proves with its VRF key what its random value for an input is; everybody can check it and nobody can
choose it.  Section numbers are those of RFC 9381.  Where it leaves room, ToM takes the strict side, so that
all ports agree: the public key and the proof's point Gamma are canonical points of order L (TOM-ID-018, 019).

The input ``alpha`` must be public: the time that hashing it to the curve takes depends on it (section 7.4).
"""

from __future__ import annotations

from typing import Final

from tom_ref import crypto
from tom_ref.crypto import FIELD_PRIME, GROUP_ORDER, KEY_SIZE, KeyMaterial
from tom_ref.errors import ProtocolError, Reason

PROOF_SIZE: Final = 80
"""bytes: Gamma (32), challenge c (16), s (32)."""

OUTPUT_SIZE: Final = 64
"""bytes: a SHA-512 hash."""

_SUITE: Final = b"\x03"
_CHALLENGE_SIZE: Final = 16
_IDENTITY: Final = b"\x01" + bytes(31)


def _times_cofactor(point: bytes) -> bytes:
    """``8 · point``: three doublings, because libsodium multiplies only points that are torsion-free."""
    for _ in range(3):
        point = crypto.point_add(point, point)
    return point


def _encode_to_curve(public: bytes, alpha: bytes) -> bytes:
    """Section 5.4.1.1, try and increment: a point of order L, the same for everybody."""
    for counter in range(256):  # pragma: no branch - each try succeeds with probability one half
        candidate = crypto.sha512(_SUITE + b"\x01" + public + alpha + bytes((counter,)) + b"\x00")[:KEY_SIZE]
        point = _decoded(candidate)
        if point is not None:
            return point
    raise AssertionError("256 hashes in a row that are no points")  # pragma: no cover - probability 2^-256


def _decoded(candidate: bytes) -> bytes | None:
    """``8 · point`` for a canonical encoding (RFC 8032, section 5.1.3), unless that is the identity."""
    if int.from_bytes(candidate, "little") & (2**255 - 1) >= FIELD_PRIME:
        return None
    try:
        point = _times_cofactor(candidate)
    except ProtocolError:
        return None
    return None if point == _IDENTITY else point


def _challenge(*points: bytes) -> bytes:
    """Section 5.4.3."""
    return crypto.sha512(_SUITE + b"\x02" + b"".join(points) + b"\x00")[:_CHALLENGE_SIZE]


def _wide(challenge: bytes) -> bytes:
    return challenge + bytes(KEY_SIZE - _CHALLENGE_SIZE)


def public_key(secret: KeyMaterial) -> bytes:
    """The 32-byte public key of a 32-byte secret: the same derivation as Ed25519's (section 5.5)."""
    return crypto.signing_public(secret)


def validate_key(public: bytes) -> None:
    """Refuse a 32-byte public key that is no canonical point of order L: ``BAD_KEY`` (section 5.4.5)."""
    crypto.validate_signing_public(public)


def prove(secret: KeyMaterial, alpha: bytes) -> bytes:
    """The 80-byte proof for ``alpha`` under a 32-byte secret (section 5.1); deterministic."""
    seed = secret.reveal() if isinstance(secret, crypto.Secret32) else secret
    public = public_key(seed)
    expanded = crypto.sha512(seed)
    clamped = int.from_bytes(expanded[:KEY_SIZE], "little") & ((1 << 254) - 8) | 1 << 254
    scalar = clamped.to_bytes(KEY_SIZE, "little")
    point = _encode_to_curve(public, alpha)
    gamma = crypto.point_multiply(scalar, point)
    nonce = crypto.scalar_reduce(crypto.sha512(expanded[KEY_SIZE:] + point))
    challenge = _challenge(
        public, point, gamma, crypto.point_multiply_base(nonce), crypto.point_multiply(nonce, point)
    )
    return gamma + challenge + crypto.scalar_multiply_add(_wide(challenge), scalar, nonce)


def verify(public: bytes, alpha: bytes, proof: bytes) -> bytes:
    """The 64-byte output for ``alpha`` if ``proof`` is right (section 5.3).

    ``BAD_KEY`` for a public key that :func:`validate_key` refuses, ``BAD_PROOF`` for any other fault.
    """
    validate_key(public)
    gamma, challenge, response = _split(proof)
    point = _encode_to_curve(public, alpha)
    wide = _wide(challenge)
    try:
        first = crypto.point_subtract(
            crypto.point_multiply_base(response), crypto.point_multiply(wide, public)
        )
        second = crypto.point_subtract(
            crypto.point_multiply(response, point), crypto.point_multiply(wide, gamma)
        )
    except ProtocolError:
        # A zero scalar: nobody can find a valid proof with one.
        raise ProtocolError(Reason.BAD_PROOF, "a zero scalar") from None
    if _challenge(public, point, gamma, first, second) != challenge:
        raise ProtocolError(Reason.BAD_PROOF)
    return _output(gamma)


def proof_to_hash(proof: bytes) -> bytes:
    """The 64-byte output that a proof stands for (section 5.2), without any check that the proof is right.

    Only for proofs that this node made or verified.  ``BAD_PROOF`` if the bytes are no proof at all.
    """
    gamma, _, _ = _split(proof)
    return _output(gamma)


def _split(proof: bytes) -> tuple[bytes, bytes, bytes]:
    """Section 5.4.4, and Gamma of order L."""
    if len(proof) != PROOF_SIZE:
        raise ProtocolError(Reason.BAD_PROOF, "not 80 bytes")
    gamma = proof[:KEY_SIZE]
    response = proof[KEY_SIZE + _CHALLENGE_SIZE :]
    if int.from_bytes(response, "little") >= GROUP_ORDER:
        raise ProtocolError(Reason.BAD_PROOF, "s is not reduced")
    if not crypto.is_prime_order_point(gamma):
        raise ProtocolError(Reason.BAD_PROOF, "Gamma is not a canonical point of prime order")
    return gamma, proof[KEY_SIZE : KEY_SIZE + _CHALLENGE_SIZE], response


def _output(gamma: bytes) -> bytes:
    return crypto.sha512(_SUITE + b"\x03" + _times_cofactor(gamma) + b"\x00")
