"""The cryptographic primitives of ToM, bytes in and bytes out: the only import of PyNaCl.

Everything here is a standard construct under one strict rule, so that two implementations agree on every
input:

======================  ==================================================================================
Ed25519                 RFC 8032, cofactorless, ``S < L``, canonical and torsion-free keys (TOM-ID-010 ff.)
X25519                  RFC 7748, low-order keys and all-zero results refused
AEAD                    ChaCha20-Poly1305 with a 96-bit nonce, RFC 8439
hash, HMAC, HKDF        SHA-256 and SHA-512 (FIPS 180-4), RFC 2104, RFC 5869
passphrase              Argon2id version 1.3 with one lane, RFC 9106
======================  ==================================================================================

Errors: a key, signature or ciphertext from outside that breaks a rule raises :class:`ProtocolError`; an
argument of the wrong length or type is a mistake of the caller and raises ``ValueError`` or ``TypeError``.
No message of an exception ever holds a secret.  Python can't promise that secrets leave memory: nothing here
claims to wipe them.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias, final

import nacl.exceptions
from nacl import bindings as _sodium

from tom_ref.errors import ProtocolError, Reason

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method: object) -> object:
        """``typing.override``, which Python 3.11 doesn't have yet."""
        return method


Entropy: TypeAlias = Callable[[str, int], bytes]
"""``entropy(purpose, length)`` returns fresh bytes.  Every draw is named, so that runs can be replayed."""

LABEL_PREFIX: Final = "ToM/1 "
"""Every domain-separation label starts with this."""

KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
HASH_SIZE: Final = 32
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
SALT_SIZE: Final = 16

FIELD_PRIME: Final = 2**255 - 19
"""The prime p of Curve25519 and edwards25519."""

GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""The prime order L of the base point (RFC 8032, section 5.1)."""

VALIDATED_KEYS_KEPT: Final = 4096
"""How many public keys' validation results are remembered (a check costs 43 µs, a verification 53 µs)."""


# --- secrets ---------------------------------------------------------------------------------------------


@final
class Secret32:
    """Thirty-two secret bytes that don't show in ``repr``, ``str``, formatting, exceptions or pickles.

    Immutable.  ``==`` takes constant time; it has no hash, so that it can't become the key of a table.
    Raises ``ValueError`` unless given exactly 32 bytes.
    """

    __slots__ = ("_value",)
    _value: bytes

    def __init__(self, value: bytes) -> None:
        object.__setattr__(self, "_value", _exactly(value, 32, "secret"))

    def reveal(self) -> bytes:
        """The secret itself.  Never log, format or raise what this returns."""
        return self._value

    @override
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret32 can't be changed")

    @override
    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret32 can't be changed")

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret32):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    @override
    def __repr__(self) -> str:
        return "Secret32(hidden)"

    def __copy__(self) -> Secret32:
        return self

    def __deepcopy__(self, memo: object) -> Secret32:
        return self

    @override
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret32 can't be pickled")


KeyMaterial: TypeAlias = Secret32 | bytes
"""A 32-byte secret key, hidden or bare."""


def _exactly(value: bytes, size: int, what: str) -> bytes:
    """``value`` if it is ``bytes`` of that size; else ``TypeError`` or ``ValueError`` without it."""
    if not isinstance(value, bytes):
        raise TypeError(f"{what} must be bytes")
    if len(value) != size:
        raise ValueError(f"{what} must be {size} bytes, not {len(value)}")
    return value


def _key(value: KeyMaterial, what: str) -> bytes:
    return value.reveal() if isinstance(value, Secret32) else _exactly(value, KEY_SIZE, what)


def draw(entropy: Entropy, purpose: str, size: int) -> bytes:
    """``size`` bytes of entropy for ``purpose``; ``ValueError`` if the source returns another number."""
    return _exactly(entropy(purpose, size), size, f"entropy for {purpose}")


def draw_secret(entropy: Entropy, purpose: str) -> Secret32:
    """A fresh 32-byte secret for ``purpose``."""
    return Secret32(draw(entropy, purpose, 32))


def equal(left: bytes, right: bytes) -> bool:
    """Whether two byte strings are equal, in a time that depends on their lengths only."""
    return hmac.compare_digest(left, right)


# --- hashes ----------------------------------------------------------------------------------------------


def labelled(label: str, *parts: bytes) -> bytes:
    """The unambiguous, domain-separated encoding of ``parts`` (TOM-ID-001).

    u8 length of the label, the label (ASCII, starts with ``ToM/1 ``), then for each part its u32 length
    and its bytes.  Raises ``ValueError`` for a label that is not of that form.
    """
    if not (label.isascii() and label.startswith(LABEL_PREFIX) and len(label) <= 255):
        raise ValueError("a label is ASCII, starts with 'ToM/1 ' and has at most 255 bytes")
    encoded = [bytes((len(label),)), label.encode("ascii")]
    for part in parts:
        encoded.append(len(part).to_bytes(4, "big"))
        encoded.append(part)
    return b"".join(encoded)


def sha256(data: bytes) -> bytes:
    """SHA-256: 32 bytes."""
    return hashlib.sha256(data).digest()


def leading_zero_bits(digest: bytes) -> int:
    """How many bits of a digest are zero before the first one (TOM-BALANCE-009, TOM-ROLES-113)."""
    return 8 * len(digest) - int.from_bytes(digest, "big").bit_length()


def find_work(data: bytes, bits: int, tries: int | None = None) -> int | None:
    """The first u64 nonce whose hash begins with ``bits`` zero bits (TOM-BALANCE-009, TOM-ROLES-113).

    ``data`` is what is hashed with the nonce to begin with, which is its last eight bytes.  ``None`` when
    none of ``tries`` nonces does; without ``tries`` the search goes on until one is found.
    """
    started = hashlib.sha256(data[:-8])
    first = int.from_bytes(data[-8:], "big")
    most = ((1 << (8 * HASH_SIZE - bits)) - 1).to_bytes(HASH_SIZE, "big")
    for nonce in itertools.count(first) if tries is None else range(first, first + tries):
        attempt = started.copy()
        attempt.update(nonce.to_bytes(8, "big"))
        if attempt.digest() <= most:
            return nonce
    return None


def sha512(data: bytes) -> bytes:
    """SHA-512: 64 bytes."""
    return hashlib.sha512(data).digest()


def hmac_sha256(key: KeyMaterial, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) under a key of any length: 32 bytes."""
    return hmac.digest(key.reveal() if isinstance(key, Secret32) else key, data, "sha256")


def hkdf_extract(salt: bytes, input_key: KeyMaterial) -> bytes:
    """HKDF-Extract (RFC 5869, section 2.2): a 32-byte pseudorandom key.  No salt is 32 zero bytes."""
    return hmac_sha256(salt, input_key.reveal() if isinstance(input_key, Secret32) else input_key)


def hkdf_expand(pseudorandom_key: KeyMaterial, info: bytes, length: int) -> bytes:
    """HKDF-Expand (RFC 5869, section 2.3): 1 to 8160 bytes; ``ValueError`` for another length."""
    if not 1 <= length <= 255 * HASH_SIZE:
        raise ValueError("HKDF gives 1 to 8160 bytes")
    block = b""
    output = b""
    for counter in range(1, -(-length // HASH_SIZE) + 1):
        block = hmac_sha256(pseudorandom_key, block + info + bytes((counter,)))
        output += block
    return output[:length]


def hkdf(input_key: KeyMaterial, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869), extract then expand: 1 to 8160 bytes."""
    return hkdf_expand(hkdf_extract(salt, input_key), info, length)


def argon2id(passphrase: bytes, salt: bytes, operations: int, memory: int) -> bytes:
    """A 32-byte key from a passphrase: Argon2id 1.3, one lane (RFC 9106).

    ``salt`` is 16 bytes, ``operations`` the number of passes (at least 1), ``memory`` in bytes (at least
    8192; whole KiB count).  The caller bounds both: this call takes that much memory.  ``ValueError`` for
    values outside the range, ``MemoryError`` where there is no such memory.
    """
    _exactly(salt, SALT_SIZE, "salt")
    if not 1 <= operations < 2**32 or not 8192 <= memory < 2**42:
        raise ValueError("Argon2id takes at least one pass and 8 KiB")
    algorithm = _sodium.crypto_pwhash_ALG_ARGON2ID13
    try:
        return _sodium.crypto_pwhash_alg(KEY_SIZE, passphrase, salt, operations, memory, algorithm)
    except nacl.exceptions.RuntimeError:
        raise MemoryError(f"Argon2id got no {memory} bytes") from None


# --- Ed25519 ---------------------------------------------------------------------------------------------


@final
class SigningKey:
    """An Ed25519 key pair expanded from its 32-byte seed (RFC 8032, section 5.1.5); the seed stays hidden.

    Saves the 18 microseconds that :func:`sign` spends on the expansion of a bare seed.
    """

    __slots__ = ("_expanded", "public")
    _expanded: bytes
    public: bytes

    def __init__(self, seed: KeyMaterial) -> None:
        public, expanded = _sodium.crypto_sign_seed_keypair(_key(seed, "seed"))
        object.__setattr__(self, "public", public)
        object.__setattr__(self, "_expanded", expanded)

    @override
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a SigningKey can't be changed")

    @override
    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a SigningKey can't be changed")

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of ``message``."""
        return _sodium.crypto_sign(message, self._expanded)[:SIGNATURE_SIZE]

    @override
    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"

    @override
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a SigningKey can't be pickled")


def signing_public(seed: KeyMaterial) -> bytes:
    """The 32-byte Ed25519 public key of a 32-byte seed."""
    return SigningKey(seed).public


def sign(key: SigningKey | KeyMaterial, message: bytes) -> bytes:
    """The 64-byte Ed25519 signature of ``message`` under a key or a 32-byte seed."""
    return (key if isinstance(key, SigningKey) else SigningKey(key)).sign(message)


def is_prime_order_point(encoded: bytes) -> bool:
    """Whether 32 bytes are the canonical encoding of a point of edwards25519 of order L exactly."""
    return bool(_sodium.crypto_core_ed25519_is_valid_point(_exactly(encoded, KEY_SIZE, "point")))


_is_valid_public = functools.lru_cache(maxsize=VALIDATED_KEYS_KEPT)(is_prime_order_point)


def validate_signing_public(public: bytes) -> None:
    """Refuse an Ed25519 or VRF public key that is not canonical, of small order or torsioned: ``BAD_KEY``."""
    if not _is_valid_public(_exactly(public, KEY_SIZE, "public key")):
        raise ProtocolError(Reason.BAD_KEY, "not a canonical point of prime order")


def _opens(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        _sodium.crypto_sign_open(signature + message, public)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


_TORSIONED_COMMITMENT: Final = (
    bytes.fromhex("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"),
    b"ToM",
    bytes.fromhex(
        "359dbf604a3b3bedc20d5408b9d4770fbe52c922979b3178d02ab8d41c9c3a4e"
        "be8ddb80702b95e422cf232a317d309e5476d19da5af7c50ed27077b0813d903"
    ),
)
"""A signature whose R carries a point of order 2: only a *cofactored* equation holds for it."""


def _library_is_cofactored() -> bool:
    """Whether this build of libsodium verifies with the cofactored equation, as PyNaCl 1.6.2's does not.

    Then R needs its own check: with A and R both of prime order the two equations are the same.
    """
    return _opens(*_TORSIONED_COMMITMENT)


_CHECK_COMMITMENT = _library_is_cofactored()


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Accept a 64-byte Ed25519 signature or raise, by the one strict rule of ToM.

    ``BAD_KEY``: the public key is not a canonical encoding of a point of order L.  ``BAD_SIGNATURE``: S is
    not below L, R is not a canonical encoding of a point of order L, or ``S·B = R + k·A`` (no cofactor)
    does not hold.  libsodium checks S, R and the equation; it lets a torsioned A through, so that is added.
    """
    _exactly(signature, SIGNATURE_SIZE, "signature")
    validate_signing_public(public)
    if not _equation.opens(public, message, signature) or (
        _CHECK_COMMITMENT and not is_prime_order_point(signature[:KEY_SIZE])
    ):
        raise ProtocolError(Reason.BAD_SIGNATURE)


class _Equation:
    """How the equation of a signature is checked in this process."""

    def __init__(self) -> None:
        self.opens: Callable[[bytes, bytes, bytes], bool] = _opens


_equation: Final = _Equation()


def remember_verifications(most: int) -> None:
    """Keep the outcomes of the last ``most`` signature checks of this process; 0 for none, as at the start.

    For a process that plays many nodes, each of which verifies the same signatures: the equation is a pure
    function of key, message and signature, so nothing is skipped, only not computed again.
    """
    _equation.opens = functools.lru_cache(maxsize=most)(_opens) if most else _opens


# --- the group behind Ed25519, for the VRF ----------------------------------------------------------------
# Points are 32-byte encodings.  Each function raises ProtocolError(BAD_KEY) for an encoding that libsodium
# refuses (not on the curve; for multiplication also non-canonical).  Scalars are 32 bytes, little-endian.


def point_add(left: bytes, right: bytes) -> bytes:
    """The sum of two points; torsion is allowed."""
    _exactly(left, KEY_SIZE, "point")
    _exactly(right, KEY_SIZE, "point")
    try:
        return _sodium.crypto_core_ed25519_add(left, right)
    except nacl.exceptions.RuntimeError:
        raise ProtocolError(Reason.BAD_KEY, "not a point") from None


def point_subtract(left: bytes, right: bytes) -> bytes:
    """The difference of two points; torsion is allowed."""
    _exactly(left, KEY_SIZE, "point")
    _exactly(right, KEY_SIZE, "point")
    try:
        return _sodium.crypto_core_ed25519_sub(left, right)
    except nacl.exceptions.RuntimeError:
        raise ProtocolError(Reason.BAD_KEY, "not a point") from None


def point_multiply(scalar: KeyMaterial, point: bytes) -> bytes:
    """``scalar · point`` for a point of order L, a scalar that is not a multiple of L; else ``BAD_KEY``."""
    _exactly(point, KEY_SIZE, "point")
    try:
        return _sodium.crypto_scalarmult_ed25519_noclamp(_key(scalar, "scalar"), point)
    except nacl.exceptions.RuntimeError:
        raise ProtocolError(Reason.BAD_KEY, "not a point of prime order, or a zero scalar") from None


def point_multiply_base(scalar: KeyMaterial) -> bytes:
    """``scalar · B`` for a scalar that is not a multiple of L; ``BAD_KEY`` if it is."""
    try:
        return _sodium.crypto_scalarmult_ed25519_base_noclamp(_key(scalar, "scalar"))
    except nacl.exceptions.RuntimeError:
        raise ProtocolError(Reason.BAD_KEY, "a zero scalar") from None


def scalar_reduce(wide: bytes) -> bytes:
    """A 64-byte little-endian number modulo L."""
    return _sodium.crypto_core_ed25519_scalar_reduce(_exactly(wide, 64, "wide scalar"))


def scalar_multiply_add(left: KeyMaterial, right: KeyMaterial, addend: KeyMaterial) -> bytes:
    """``left · right + addend`` modulo L."""
    product = _sodium.crypto_core_ed25519_scalar_mul(_key(left, "scalar"), _key(right, "scalar"))
    return _sodium.crypto_core_ed25519_scalar_add(product, _key(addend, "scalar"))


# --- X25519 ----------------------------------------------------------------------------------------------

_LOW_ORDER_U: Final = frozenset(
    value.to_bytes(32, "little")
    for value in (
        0,
        1,
        FIELD_PRIME - 1,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
    )
)
"""The canonical u-coordinates of points of order 1, 2, 4 and 8 on Curve25519 and its twist."""


def x25519_public(secret: KeyMaterial) -> bytes:
    """The 32-byte X25519 public key of a 32-byte secret (RFC 7748, section 6.1)."""
    return _sodium.crypto_scalarmult_base(_key(secret, "secret key"))


def validate_x25519_public(public: bytes) -> None:
    """Refuse a 32-byte X25519 public key that is not reduced modulo p or is of low order: ``BAD_KEY``.

    For keys that are published and compared as bytes; :func:`x25519` itself masks and reduces (RFC 7748).
    """
    _exactly(public, KEY_SIZE, "public key")
    if int.from_bytes(public, "little") >= FIELD_PRIME:
        raise ProtocolError(Reason.BAD_KEY, "not a canonical X25519 key")
    if public in _LOW_ORDER_U:
        raise ProtocolError(Reason.BAD_KEY, "an X25519 key of low order")


def x25519(secret: KeyMaterial, public: bytes) -> bytes:
    """The 32-byte shared secret of RFC 7748; ``BAD_KEY`` for a public key of low order (all-zero result)."""
    _exactly(public, KEY_SIZE, "public key")
    try:
        shared = _sodium.crypto_scalarmult(_key(secret, "secret key"), public)
    except nacl.exceptions.RuntimeError:
        raise ProtocolError(Reason.BAD_KEY, "an X25519 key of low order") from None
    return shared


# --- ChaCha20-Poly1305 -----------------------------------------------------------------------------------


def seal(key: KeyMaterial, nonce: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """ChaCha20-Poly1305 (RFC 8439): the ciphertext followed by its 16-byte tag.

    ``key`` is 32 bytes, ``nonce`` 12 bytes and never used twice with one key.
    """
    return _sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
        plaintext, associated, _exactly(nonce, NONCE_SIZE, "nonce"), _key(key, "key")
    )


def open_sealed(key: KeyMaterial, nonce: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
    """The plaintext of :func:`seal`; ``BAD_SEAL`` if it was not sealed so or is shorter than a tag."""
    _exactly(nonce, NONCE_SIZE, "nonce")
    secret = _key(key, "key")
    if len(sealed) < TAG_SIZE:
        raise ProtocolError(Reason.BAD_SEAL, "shorter than its tag")
    try:
        return _sodium.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, associated, nonce, secret)
    except nacl.exceptions.CryptoError:
        raise ProtocolError(Reason.BAD_SEAL) from None
