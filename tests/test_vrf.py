"""The verifiable random function: RFC 9381's vectors, an independent prover, and all that is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tom_ref import crypto, vrf
from tom_ref.crypto import Secret32
from tom_ref.errors import ProtocolError, Reason
from tools import edwards
from tools.vectors import vrf as vrf_vectors

SEED = st.binary(min_size=32, max_size=32)
ALPHA = st.binary(max_size=60)

# RFC 9381 appendix B.3: the intermediate values H and x.
INTERMEDIATE = (
    (
        "91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318",
        "307c83864f2833cb427a2ef1c00a013cfdff2768d980c0a3a520f006904de94f",
    ),
    (
        "5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551",
        "68bd9ed75882d52815a97585caf4790a7f6c6b3b7f821c5e259a24b02e502e51",
    ),
    (
        "bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a",
        "909a8b755ed902849023a55b15c23d11ba4d7f4ec5c2f51b1325a181991ea95c",
    ),
)


def refused(reason: Reason) -> pytest.RaisesExc[ProtocolError]:
    return pytest.raises(ProtocolError, check=lambda error: error.reason is reason)


@pytest.mark.parametrize(
    ("example", "intermediate"),
    list(zip(vrf_vectors.RFC_9381, INTERMEDIATE, strict=True)),
    ids=["16", "17", "18"],
)
def test_rfc_9381(example: tuple[str, ...], intermediate: tuple[str, str]) -> None:
    """TOM-ID-017: examples 16, 17 and 18, with the point H and the scalar x."""
    secret, public, alpha, proof, output = map(bytes.fromhex, example[1:])
    hashed, scalar = map(bytes.fromhex, intermediate)
    assert vrf.public_key(secret) == public
    assert vrf._encode_to_curve(public, alpha) == hashed
    assert edwards.secret_scalar(secret) == int.from_bytes(scalar, "little")
    assert vrf.prove(Secret32(secret), alpha) == vrf.prove(secret, alpha) == proof
    assert vrf.verify(public, alpha, proof) == vrf.proof_to_hash(proof) == output


def model_proof(seed: bytes, alpha: bytes) -> tuple[bytes, bytes]:
    """Proof and output by RFC 9381 section 5, from hashlib and the independent model of the curve only."""
    scalar = edwards.secret_scalar(seed)
    public = edwards.encode(edwards.multiply(scalar, edwards.BASE))
    point = vrf_vectors.hash_to_curve(public, alpha)
    gamma = edwards.multiply(scalar, point)
    expanded = hashlib.sha512(seed).digest()
    nonce = (
        int.from_bytes(hashlib.sha512(expanded[32:] + edwards.encode(point)).digest(), "little") % edwards.L
    )
    points = (point, gamma, edwards.multiply(nonce, edwards.BASE), edwards.multiply(nonce, point))
    material = public + b"".join(map(edwards.encode, points))
    challenge = hashlib.sha512(b"\x03\x02" + material + b"\x00").digest()[:16]
    response = (nonce + int.from_bytes(challenge, "little") * scalar) % edwards.L
    cleared = edwards.encode(edwards.multiply(8, gamma))
    output = hashlib.sha512(b"\x03\x03" + cleared + b"\x00").digest()
    return edwards.encode(gamma) + challenge + response.to_bytes(32, "little"), output


@settings(max_examples=12, deadline=None)
@given(SEED, ALPHA)
def test_proofs_against_the_model(seed: bytes, alpha: bytes) -> None:
    """TOM-ID-017."""
    proof, output = model_proof(seed, alpha)
    assert vrf.prove(seed, alpha) == proof
    assert vrf.verify(vrf.public_key(seed), alpha, proof) == output


@given(SEED, ALPHA)
def test_proof_and_verification_agree(seed: bytes, alpha: bytes) -> None:
    """TOM-ID-017, 022: 80 bytes, 64 bytes, the same each time."""
    proof = vrf.prove(seed, alpha)
    assert len(proof) == vrf.PROOF_SIZE
    output = vrf.verify(vrf.public_key(seed), alpha, proof)
    assert len(output) == vrf.OUTPUT_SIZE
    assert output == vrf.proof_to_hash(proof) == vrf.proof_to_hash(vrf.prove(seed, alpha))


@given(SEED, ALPHA, st.integers(0, 639))
def test_any_flipped_bit_is_refused(seed: bytes, alpha: bytes, bit: int) -> None:
    """TOM-ID-019 to 021: a tampered proof never verifies, so an input has exactly one output."""
    proof = bytearray(vrf.prove(seed, alpha))
    proof[bit // 8] ^= 1 << bit % 8
    with refused(Reason.BAD_PROOF):
        vrf.verify(vrf.public_key(seed), alpha, bytes(proof))


@given(SEED, SEED, ALPHA, ALPHA)
def test_a_proof_is_for_one_key_and_one_input(one: bytes, two: bytes, alpha: bytes, other: bytes) -> None:
    """TOM-ID-021."""
    proof = vrf.prove(one, alpha)
    for seed, asked in ((two, alpha), (one, other)):
        if (seed, asked) != (one, alpha):
            with refused(Reason.BAD_PROOF):
                vrf.verify(vrf.public_key(seed), asked, proof)


@pytest.mark.parametrize(("rules", "about", "public", "alpha", "proof", "reason"), vrf_vectors.refusals())
def test_what_is_refused(
    rules: list[str], about: str, public: bytes, alpha: bytes, proof: bytes, reason: Reason
) -> None:
    """TOM-ID-018 to 021."""
    with refused(reason):
        vrf.verify(public, alpha, proof)


def test_the_owner_can_make_only_one_proof() -> None:
    """TOM-ID-019: the torsioned proof that the RFC would take stands for the same output, and is refused."""
    torsioned = vrf_vectors.proof_with_torsion(vrf_vectors.SEED, vrf_vectors.ALPHA)
    gamma = edwards.decode(torsioned[:32])
    honest = edwards.decode(vrf.prove(vrf_vectors.SEED, vrf_vectors.ALPHA)[:32])
    assert gamma is not None
    assert honest is not None
    assert gamma != honest
    assert edwards.multiply(8, gamma) == edwards.multiply(8, honest)
    calls: tuple[Callable[[], object], ...] = (
        lambda: vrf.verify(vrf.public_key(vrf_vectors.SEED), vrf_vectors.ALPHA, torsioned),
        lambda: vrf.proof_to_hash(torsioned),
    )
    for call in calls:
        with refused(Reason.BAD_PROOF):
            call()


@given(st.binary(max_size=100))
def test_proof_to_hash_is_total(proof: bytes) -> None:
    """TOM-ID-019, 020 for any bytes."""
    with refused(Reason.BAD_PROOF):
        vrf.proof_to_hash(proof)


@given(SEED, st.binary(min_size=80, max_size=80))
def test_verification_is_total(public: bytes, proof: bytes) -> None:
    """Any key, any proof: one of the two codes."""
    with pytest.raises(ProtocolError) as caught:
        vrf.verify(public, b"", proof)
    assert caught.value.reason in {Reason.BAD_KEY, Reason.BAD_PROOF}


def test_keys_are_validated() -> None:
    """TOM-ID-018."""
    vrf.validate_key(vrf.public_key(bytes(32)))
    with refused(Reason.BAD_KEY):
        vrf.validate_key(b"\x01" + bytes(31))
    with pytest.raises(ValueError):
        vrf.prove(bytes(31), b"")


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        ((edwards.P + 3).to_bytes(32, "little"), "not canonical"),
        ((2).to_bytes(32, "little"), "not on the curve"),
        (edwards.encode(edwards.TORSION), "of small order: the identity once the cofactor is cleared"),
        ((1 | 1 << 255).to_bytes(32, "little"), "x = 0 with the sign bit set"),
    ],
)
def test_hashing_goes_on_after_a_hash_that_is_no_point(
    monkeypatch: pytest.MonkeyPatch, candidate: bytes, why: str
) -> None:
    """TOM-ID-017, RFC 9381 section 5.4.1.1: such a hash isn't taken, the next counter is."""
    good = edwards.encode(edwards.BASE)
    hashes = iter((candidate, good))
    asked = []

    def fake(data: bytes) -> bytes:
        asked.append(data)
        return next(hashes) + bytes(32)

    monkeypatch.setattr(crypto, "sha512", fake)
    found = vrf._encode_to_curve(bytes(32), b"alpha")
    assert found == edwards.encode(edwards.multiply(8, edwards.BASE))
    assert [data[-2:] for data in asked] == [b"\x00\x00", b"\x01\x00"]
