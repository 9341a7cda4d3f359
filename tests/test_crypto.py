"""The primitives against an independent library, an independent model of the curve, and misuse."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
from collections.abc import Callable

import nacl.bindings
import nacl.exceptions
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from tom_ref import crypto
from tom_ref.crypto import Secret32, SigningKey
from tom_ref.errors import ProtocolError, Reason
from tools import edwards
from tools.vectors import crypto as crypto_vectors

KEY = st.binary(min_size=32, max_size=32)
MESSAGE = st.binary(max_size=200)
SECRET_BYTES = bytes(range(100, 132))


def refused(reason: Reason) -> pytest.RaisesExc[ProtocolError]:
    return pytest.raises(ProtocolError, check=lambda error: error.reason is reason)


# --- secrets ----------------------------------------------------------------------------------------------


def test_a_secret_does_not_show() -> None:
    """TOM-ID-050: neither repr, str, formatting nor pickling gives it away."""
    secret = Secret32(SECRET_BYTES)
    shown = f"{secret} {secret!r} {[secret]} {secret!s:>40}"
    for trace in (SECRET_BYTES.hex(), repr(SECRET_BYTES)[2:10], SECRET_BYTES.decode("latin1")):
        assert trace not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        pickle.dumps(SigningKey(secret))
    assert SECRET_BYTES.hex() not in repr(SigningKey(secret))
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_immutable_and_compares() -> None:
    secret = Secret32(SECRET_BYTES)
    assert secret.reveal() == SECRET_BYTES
    assert secret == Secret32(SECRET_BYTES)
    assert secret != Secret32(bytes(32))
    assert secret != SECRET_BYTES
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    with pytest.raises(TypeError):
        hash(secret)
    for holder in (secret, SigningKey(secret)):
        name = "_value" if isinstance(holder, Secret32) else "public"
        with pytest.raises(AttributeError):
            setattr(holder, name, bytes(32))
        with pytest.raises(AttributeError):
            delattr(holder, name)
    assert secret.reveal() == SECRET_BYTES


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_secret_of_another_size_is_refused_without_showing_it(size: int) -> None:
    """TOM-ID-050: the exception names the size only."""
    with pytest.raises(ValueError) as caught:
        Secret32(b"Z" * size)
    assert "Z" not in str(caught.value)
    with pytest.raises(TypeError):
        Secret32(bytearray(32))  # type: ignore[arg-type]


def test_draws_are_named_and_checked() -> None:
    asked = []

    def entropy(purpose: str, size: int) -> bytes:
        asked.append((purpose, size))
        return bytes(size)

    assert crypto.draw(entropy, "link/ping", 8) == bytes(8)
    assert crypto.draw_secret(entropy, "identity/secret") == Secret32(bytes(32))
    assert asked == [("link/ping", 8), ("identity/secret", 32)]
    with pytest.raises(ValueError):
        crypto.draw(lambda purpose, size: bytes(size - 1), "link/ping", 8)


@given(MESSAGE, MESSAGE)
def test_equal_is_equality(left: bytes, right: bytes) -> None:
    assert crypto.equal(left, right) == (left == right)
    assert crypto.equal(left, bytes(bytearray(left)))


# --- hashes and derivation --------------------------------------------------------------------------------


def test_labelled_by_hand() -> None:
    """TOM-ID-001."""
    assert crypto.labelled("ToM/1 x", b"\xaa", b"") == bytes.fromhex("07546f4d2f31207800000001aa00000000")


PARTS = st.lists(st.binary(max_size=5), max_size=4)
LABELS = st.sampled_from(["ToM/1 a", "ToM/1 aa", "ToM/1 b"])


@given(LABELS, PARTS, LABELS, PARTS)
def test_labelled_is_unambiguous(one: str, parts: list[bytes], other: str, others: list[bytes]) -> None:
    """TOM-ID-001: two encodings are equal only if all that went in is."""
    same = crypto.labelled(one, *parts) == crypto.labelled(other, *others)
    assert same == ((one, parts) == (other, others))


@pytest.mark.parametrize("label", ["", "tom/1 x", "ToM/2 x", "ToM/1 é", "ToM/1 " + "x" * 250])
def test_a_bad_label_is_refused(label: str) -> None:
    """TOM-ID-002."""
    with pytest.raises(ValueError):
        crypto.labelled(label)


@given(st.binary(max_size=100), MESSAGE)
def test_hashes_against_the_standard_library(key: bytes, data: bytes) -> None:
    assert crypto.sha256(data) == hashlib.sha256(data).digest()
    assert crypto.sha512(data) == hashlib.sha512(data).digest()
    assert crypto.hmac_sha256(key, data) == hmac.new(key, data, "sha256").digest()


@given(KEY, st.binary(max_size=80), st.binary(max_size=80), st.integers(1, 300))
def test_hkdf_against_cryptography(key: bytes, salt: bytes, info: bytes, length: int) -> None:
    """TOM-ID-004's function, also with a hidden key."""
    expected = HKDF(hashes.SHA256(), length, salt, info).derive(key)
    assert crypto.hkdf(key, salt, info, length) == expected
    assert crypto.hkdf(Secret32(key), salt, info, length) == expected
    extracted = crypto.hkdf_extract(salt, Secret32(key))
    assert crypto.hkdf_expand(Secret32(extracted), info, length) == expected


@pytest.mark.parametrize("length", [-1, 0, 8161])
def test_hkdf_has_a_range(length: int) -> None:
    assert len(crypto.hkdf(b"", b"", b"", 8160)) == 8160
    with pytest.raises(ValueError):
        crypto.hkdf(b"", b"", b"", length)


@pytest.mark.parametrize(("operations", "memory"), [(1, 8), (2, 9), (3, 65), (4, 1023)])
def test_argon2id_against_cryptography(operations: int, memory: int) -> None:
    """The function of the secret file (TOM-ID-049)."""
    salt = bytes(range(16))
    expected = Argon2id(salt=salt, length=32, iterations=operations, lanes=1, memory_cost=memory)
    assert crypto.argon2id(b"pass", salt, operations, memory * 1024) == expected.derive(b"pass")


@pytest.mark.parametrize(
    ("operations", "memory"), [(0, 8192), (1, 8191), (2**32, 8192), (1, 2**42), (-1, -1)]
)
def test_argon2id_has_a_range(operations: int, memory: int) -> None:
    with pytest.raises(ValueError):
        crypto.argon2id(b"pass", bytes(16), operations, memory)
    with pytest.raises(ValueError):
        crypto.argon2id(b"pass", bytes(15), 1, 8192)


def test_argon2id_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """libsodium reports that it got no memory: a clear error, and no half-made key."""

    def fail(*arguments: object) -> bytes:
        raise nacl.exceptions.RuntimeError("Unexpected failure in key derivation")

    monkeypatch.setattr(nacl.bindings, "crypto_pwhash_alg", fail)
    with pytest.raises(MemoryError):
        crypto.argon2id(b"pass", bytes(16), 1, 8192)


# --- Ed25519 ----------------------------------------------------------------------------------------------


@given(KEY, MESSAGE)
def test_signatures_against_cryptography(seed: bytes, message: bytes) -> None:
    """TOM-ID-009: the same signatures, each verifies the other's."""
    oracle = Ed25519PrivateKey.from_private_bytes(seed)
    key = SigningKey(Secret32(seed))
    signature = key.sign(message)
    assert signature == oracle.sign(message)
    assert (
        crypto.sign(seed, message)
        == crypto.sign(Secret32(seed), message)
        == crypto.sign(key, message)
        == signature
    )
    assert key.public == crypto.signing_public(seed) == oracle.public_key().public_bytes_raw()
    crypto.verify(key.public, message, signature)
    oracle.public_key().verify(signature, message)


@given(KEY, MESSAGE, st.integers(0, 511))
def test_any_flipped_bit_is_refused(seed: bytes, message: bytes, bit: int) -> None:
    """TOM-ID-011 to 013."""
    signature = bytearray(crypto.sign(seed, message))
    signature[bit // 8] ^= 1 << bit % 8
    with refused(Reason.BAD_SIGNATURE):
        crypto.verify(crypto.signing_public(seed), message, bytes(signature))


@given(KEY, MESSAGE, st.binary(min_size=64, max_size=64))
def test_verification_is_total(public: bytes, message: bytes, signature: bytes) -> None:
    """Any key and any signature: accepted (which won't happen by chance) or one of the two codes."""
    with pytest.raises(ProtocolError) as caught:
        crypto.verify(public, message, signature)
    assert caught.value.reason in {Reason.BAD_KEY, Reason.BAD_SIGNATURE}


STRICT = crypto_vectors.strict_refusals()


@pytest.mark.parametrize(("rules", "about", "public", "message", "signature", "reason"), STRICT)
@pytest.mark.parametrize("cofactored", [False, True])
def test_the_strict_rule(
    monkeypatch: pytest.MonkeyPatch,
    rules: list[str],
    about: str,
    public: bytes,
    message: bytes,
    signature: bytes,
    reason: Reason,
    *,
    cofactored: bool,
) -> None:
    """TOM-ID-010 to TOM-ID-014: with this libsodium's equation and a cofactored one, the same answer."""
    if cofactored:
        monkeypatch.setattr(crypto, "_opens", cofactored_opens)
        assert crypto._library_is_cofactored()
        monkeypatch.setattr(crypto, "_CHECK_COMMITMENT", True)
    with refused(reason):
        crypto.verify(public, message, signature)


def cofactored_opens(public: bytes, message: bytes, signature: bytes) -> bool:
    """The cofactored equation of RFC 8032 on the independent model, lax about everything but S < L."""
    key, commitment = edwards.decode(public), edwards.decode(signature[:32])
    response = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or response >= edwards.L:
        return False
    k = edwards.challenge(signature[:32], public, message)
    left = edwards.multiply(8 * response, edwards.BASE)
    return left == edwards.multiply(8, edwards.add(commitment, edwards.multiply(k, key)))


def test_honest_signatures_pass_under_both_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ID-013, 014."""
    seed = bytes(range(32))
    signature = crypto.sign(seed, b"message")
    crypto.verify(crypto.signing_public(seed), b"message", signature)
    monkeypatch.setattr(crypto, "_opens", cofactored_opens)
    monkeypatch.setattr(crypto, "_CHECK_COMMITMENT", True)
    crypto.verify(crypto.signing_public(seed), b"message", signature)


def test_other_libraries_are_laxer() -> None:
    """Why the rule is written down: OpenSSL accepts a torsioned key, a small one, and R = identity."""
    lax = 0
    for _, _, public, message, signature, _ in STRICT:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature:
            continue
        lax += 1
    assert lax >= 3


def test_this_libsodium_is_not_cofactored() -> None:
    """The probe at import: were it otherwise, R would be checked on its own."""
    public, message, signature = crypto._TORSIONED_COMMITMENT
    assert cofactored_opens(public, message, signature)
    assert crypto._CHECK_COMMITMENT is crypto._library_is_cofactored()


@settings(max_examples=20, deadline=None)
@given(KEY)
def test_valid_keys_against_the_model(encoded: bytes) -> None:
    """TOM-ID-010 for any 32 bytes."""
    point = edwards.decode(encoded)
    expected = (
        point is not None
        and edwards.encode(point) == encoded
        and point != edwards.IDENTITY
        and edwards.multiply(edwards.L, point) == edwards.IDENTITY
    )
    assert crypto.is_prime_order_point(encoded) == expected


def test_validated_keys_are_remembered_within_bounds() -> None:
    assert crypto._is_valid_public.cache_info().maxsize == crypto.VALIDATED_KEYS_KEPT


def test_lengths_are_the_callers_business() -> None:
    public, good = crypto.signing_public(bytes(32)), crypto.sign(bytes(32), b"")
    calls: list[Callable[[], object]] = [
        lambda: crypto.verify(public[:31], b"", good),
        lambda: crypto.verify(public, b"", good[:63]),
        lambda: crypto.sign(bytes(31), b""),
        lambda: crypto.sign(bytes(64), b""),
        lambda: crypto.signing_public(b""),
        lambda: crypto.is_prime_order_point(bytes(31)),
        lambda: crypto.x25519(bytes(31), bytes(32)),
        lambda: crypto.x25519(bytes(32), bytes(31)),
        lambda: crypto.x25519_public(bytes(33)),
        lambda: crypto.validate_x25519_public(bytes(33)),
        lambda: crypto.seal(bytes(31), bytes(12), b""),
        lambda: crypto.seal(bytes(32), bytes(8), b""),
        lambda: crypto.open_sealed(bytes(31), bytes(12), bytes(16)),
        lambda: crypto.open_sealed(bytes(32), bytes(24), bytes(16)),
        lambda: crypto.point_add(bytes(31), public),
        lambda: crypto.point_subtract(public, bytes(31)),
        lambda: crypto.point_multiply(bytes(31), public),
        lambda: crypto.point_multiply_base(bytes(31)),
        lambda: crypto.scalar_reduce(bytes(32)),
        lambda: crypto.scalar_multiply_add(bytes(32), bytes(31), bytes(32)),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


# --- the group --------------------------------------------------------------------------------------------

SCALAR = st.integers(1, edwards.L - 1)


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


@settings(max_examples=10, deadline=None)
@given(SCALAR, SCALAR)
def test_the_group_against_the_model(left: int, right: int) -> None:
    one, two = edwards.multiply(left, edwards.BASE), edwards.multiply(right, edwards.BASE)
    minus = edwards.multiply(edwards.L - 1, two)
    assert crypto.point_multiply_base(little(left)) == edwards.encode(one)
    assert crypto.point_multiply(Secret32(little(right)), edwards.encode(one)) == edwards.encode(
        edwards.multiply(right, one)
    )
    assert crypto.point_add(edwards.encode(one), edwards.encode(two)) == edwards.encode(edwards.add(one, two))
    assert crypto.point_subtract(edwards.encode(one), edwards.encode(two)) == edwards.encode(
        edwards.add(one, minus)
    )
    assert crypto.scalar_multiply_add(little(left), little(right), little(left)) == little(
        (left * right + left) % edwards.L
    )


@given(st.binary(min_size=64, max_size=64))
def test_reduction_against_integers(wide: bytes) -> None:
    assert crypto.scalar_reduce(wide) == little(int.from_bytes(wide, "little") % edwards.L)


def test_what_is_no_point_is_refused() -> None:
    off, torsion = little(2), edwards.encode(edwards.TORSION)
    base = edwards.encode(edwards.BASE)
    calls: tuple[Callable[[], object], ...] = (
        lambda: crypto.point_add(off, base),
        lambda: crypto.point_add(base, off),
        lambda: crypto.point_subtract(base, off),
        lambda: crypto.point_multiply(little(5), off),
        lambda: crypto.point_multiply(little(5), torsion),
        lambda: crypto.point_multiply(little(0), base),
        lambda: crypto.point_multiply_base(little(0)),
        lambda: crypto.point_multiply_base(little(edwards.L)),
    )
    for call in calls:
        with refused(Reason.BAD_KEY):
            call()


# --- X25519 -----------------------------------------------------------------------------------------------


@given(KEY, KEY)
def test_x25519_against_cryptography(one: bytes, two: bytes) -> None:
    oracle = X25519PrivateKey.from_private_bytes(one)
    peer = crypto.x25519_public(Secret32(two))
    assert crypto.x25519_public(one) == oracle.public_key().public_bytes_raw()
    expected = oracle.exchange(X25519PublicKey.from_public_bytes(peer))
    assert crypto.x25519(Secret32(one), peer) == crypto.x25519(two, crypto.x25519_public(one)) == expected
    crypto.validate_x25519_public(peer)


def test_x25519_iterated() -> None:
    """RFC 7748 section 5.2: once and a thousand times."""
    scalar = point = little(9)
    for turn in range(1, 1001):
        scalar, point = crypto.x25519(scalar, point), scalar
        if turn == 1:
            assert scalar.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert scalar.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


@given(KEY, KEY)
def test_x25519_is_total(secret: bytes, public: bytes) -> None:
    """TOM-ID-015 and 016 for any bytes."""
    number = int.from_bytes(public, "little")
    low = number % 2**255 % edwards.P in {u for _, u in crypto_vectors.LOW_ORDER_U}
    if low:
        with refused(Reason.BAD_KEY):
            crypto.x25519(secret, public)
    else:
        assert crypto.x25519(secret, public) != bytes(32)
    if low or number >= edwards.P:
        with refused(Reason.BAD_KEY):
            crypto.validate_x25519_public(public)
    else:
        crypto.validate_x25519_public(public)


@given(KEY, st.sampled_from([u for _, u in crypto_vectors.LOW_ORDER_U]), st.integers(0, 2))
def test_low_order_keys_are_refused_in_every_encoding(secret: bytes, u: int, form: int) -> None:
    """TOM-ID-015 and 016: as it is, with the highest bit set, and plus p where that fits."""
    encoded = little((u, u | 1 << 255, u + edwards.P if u < 19 else u)[form])
    with refused(Reason.BAD_KEY):
        crypto.x25519(secret, encoded)
    with refused(Reason.BAD_KEY):
        crypto.validate_x25519_public(encoded)


def test_the_low_order_keys_are_the_images_of_the_torsion() -> None:
    """TOM-ID-015: u = (1 + y) / (1 - y) for all torsion but the identity, 0, and p - 1 of the twist."""
    found = {edwards.P - 1, 0}
    for times in range(1, 8):
        y = edwards.multiply(times, edwards.TORSION)[1]
        found.add((1 + y) * pow(1 - y, -1, edwards.P) % edwards.P)
    assert {int.from_bytes(u, "little") for u in crypto._LOW_ORDER_U} == found


# --- ChaCha20-Poly1305 ------------------------------------------------------------------------------------

NONCE = st.binary(min_size=12, max_size=12)


@given(KEY, NONCE, MESSAGE, MESSAGE)
def test_sealing_against_cryptography(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> None:
    sealed = crypto.seal(Secret32(key), nonce, plaintext, associated)
    assert sealed == ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)
    assert crypto.open_sealed(key, nonce, sealed, associated) == plaintext


@given(KEY, NONCE, MESSAGE, st.binary(max_size=60))
def test_opening_is_total(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> None:
    """TOM-ID-045 for any bytes."""
    with refused(Reason.BAD_SEAL):
        crypto.open_sealed(key, nonce, sealed, associated)


@given(KEY, NONCE, MESSAGE, st.data())
def test_any_flipped_bit_breaks_the_seal(
    key: bytes, nonce: bytes, plaintext: bytes, data: st.DataObject
) -> None:
    """TOM-ID-045."""
    sealed = bytearray(crypto.seal(key, nonce, plaintext))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with refused(Reason.BAD_SEAL):
        crypto.open_sealed(key, nonce, bytes(sealed))
