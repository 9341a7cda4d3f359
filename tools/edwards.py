"""The group edwards25519 in a few lines of Python: for constructing test vectors, never for secrets.

An oracle that shares no code with the implementation: it makes points, torsion and signatures that libsodium
refuses to make.
"""

from __future__ import annotations

import hashlib
from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
ROOT: Final = pow(2, (P - 1) // 4, P)
"""A square root of -1."""

Point = tuple[int, int]
IDENTITY: Final[Point] = (0, 1)


def add(left: Point, right: Point) -> Point:
    """The sum of two points (RFC 8032, section 5.1.4, affine)."""
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def multiply(scalar: int, point: Point) -> Point:
    """``scalar · point``."""
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def encode(point: Point) -> bytes:
    """The canonical encoding."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(encoded: bytes) -> Point | None:
    """The point of an encoding, canonical or not; ``None`` if y belongs to none."""
    number = int.from_bytes(encoded, "little")
    y = (number & (2**255 - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square:
        return None
    return (P - x if x & 1 != number >> 255 else x) % P, y


def _point(encoded: bytes) -> Point:
    point = decode(encoded)
    assert point is not None
    return point


BASE: Final = _point(b"\x58" + b"\x66" * 31)


def _torsion() -> Point:
    """A point of order 8: L times a point of order 8·L."""
    for y in range(2, 100):
        point = decode(y.to_bytes(32, "little"))
        if point is not None and multiply(4, multiply(L, point)) != IDENTITY:
            return multiply(L, point)
    raise AssertionError


TORSION: Final = _torsion()


def secret_scalar(seed: bytes) -> int:
    """The scalar of an Ed25519 seed (RFC 8032, section 5.1.5)."""
    return int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & ((1 << 254) - 8) | 1 << 254


def challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    """Ed25519's k, modulo L."""
    return int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % L


def sign_with(
    seed: bytes, nonce: int, message: bytes, public: bytes | None = None, torsion: Point = IDENTITY
) -> bytes:
    """A signature with a chosen nonce, over a chosen public key, whose R carries ``torsion``."""
    scalar = secret_scalar(seed)
    key = encode(multiply(scalar, BASE)) if public is None else public
    commitment = encode(add(multiply(nonce, BASE), torsion))
    response = (nonce + challenge(commitment, key, message) * scalar) % L
    return commitment + response.to_bytes(32, "little")
