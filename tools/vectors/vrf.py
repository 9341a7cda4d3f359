"""Vectors for the VRF: the published ones, and what the strict side of RFC 9381 refuses."""

from __future__ import annotations

import hashlib
from typing import Final

from tom_ref import crypto, vrf
from tom_ref.errors import Reason
from tools import edwards
from tools.vectors import Content, case, refusal, vector_file

RFC_9381: Final = (
    (
        "example 16: no input; the first try is a point",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f479d97"
            "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805"
        ),
        (
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff66b71dda49d2de59d03450451af02679"
            "8e8f81cd2e333de5cdf4f3e140fdd8ae"
        ),
    ),
    (
        "example 17: one byte; the second try is a point",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed5933bf0864a62558b3ed7f2fea45c92a465"
            "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02"
        ),
        (
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb5e33821bc613efb94db5e5b54c70a848"
            "a0bef4553a41befc57663b56373a5031"
        ),
    ),
    (
        "example 18: two bytes; the first try is a point",
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf8096bb474e53895c362d8628ee9f9ea3c0"
            "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e"
        ),
        (
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c452118fec1219202a0edcf038bb6373241"
            "578be7217ba85a2687f7a0310b2df19f"
        ),
    ),
)

SEED: Final = bytes(range(32, 64))
ALPHA: Final = b"ToM term 7"


def hash_to_curve(public: bytes, alpha: bytes) -> edwards.Point:
    """RFC 9381 section 5.4.1.1 on the independent model of the curve."""
    for counter in range(256):
        candidate = hashlib.sha512(b"\x03\x01" + public + alpha + bytes((counter, 0))).digest()[:32]
        point = edwards.decode(candidate)
        if point is not None and edwards.encode(point) == candidate:
            return edwards.multiply(8, point)
    raise AssertionError


def proof_with_torsion(seed: bytes, alpha: bytes) -> bytes:
    """A proof whose Gamma carries a part of order 8, made by the key's owner: the RFC's equations hold.

    The RFC's decoding takes such a Gamma; its output is the honest one.  ToM refuses it, so that
    there is one proof a node can be held to.
    """
    scalar = edwards.secret_scalar(seed)
    public = edwards.encode(edwards.multiply(scalar, edwards.BASE))
    point = hash_to_curve(public, alpha)
    gamma = edwards.encode(edwards.add(edwards.multiply(scalar, point), edwards.TORSION))
    for nonce in range(1, 1000):
        points = (edwards.multiply(nonce, edwards.BASE), edwards.multiply(nonce, point))
        material = public + edwards.encode(point) + gamma + b"".join(map(edwards.encode, points))
        challenge = hashlib.sha512(b"\x03\x02" + material + b"\x00").digest()[:16]
        number = int.from_bytes(challenge, "little")
        if number % 8 == 0:
            response = (nonce + number * scalar) % edwards.L
            return gamma + challenge + response.to_bytes(32, "little")
    raise AssertionError


def refusals() -> list[tuple[list[str], str, bytes, bytes, bytes, Reason]]:
    """Proofs that are refused: ids, why, public key, input, proof, reason."""
    public = vrf.public_key(SEED)
    proof = vrf.prove(SEED, ALPHA)
    gamma, challenge, response = proof[:32], proof[32:48], proof[48:]
    other = vrf.public_key(bytes(32))
    beyond = (int.from_bytes(response, "little") + edwards.L).to_bytes(32, "little")
    point = edwards.decode(public)
    assert point is not None
    mixed_key = edwards.encode(edwards.add(point, edwards.TORSION))
    bad_key, bad_proof = Reason.BAD_KEY, Reason.BAD_PROOF

    def flip(value: bytes) -> bytes:
        return bytes((value[0] ^ 1,)) + value[1:]

    return [
        (["TOM-ID-021"], "another input", public, ALPHA + b"!", proof, bad_proof),
        (["TOM-ID-021"], "another node's key", other, ALPHA, proof, bad_proof),
        (["TOM-ID-021"], "a bit of c flipped", public, ALPHA, gamma + flip(challenge) + response, bad_proof),
        (["TOM-ID-021"], "a bit of s flipped", public, ALPHA, gamma + challenge + flip(response), bad_proof),
        (["TOM-ID-021"], "c and s are zero", public, ALPHA, gamma + bytes(48), bad_proof),
        (
            ["TOM-ID-021"],
            "Gamma of another input",
            public,
            ALPHA,
            vrf.prove(SEED, b"")[:32] + challenge + response,
            bad_proof,
        ),
        (["TOM-ID-020"], "s + L", public, ALPHA, gamma + challenge + beyond, bad_proof),
        (["TOM-ID-020"], "one byte short", public, ALPHA, proof[:-1], bad_proof),
        (["TOM-ID-020"], "one byte long", public, ALPHA, proof + b"\x00", bad_proof),
        (["TOM-ID-020"], "empty", public, ALPHA, b"", bad_proof),
        (["TOM-ID-019"], "Gamma is the identity", public, ALPHA, b"\x01" + bytes(31) + proof[32:], bad_proof),
        (
            ["TOM-ID-019"],
            "Gamma is not on the curve",
            public,
            ALPHA,
            b"\x02" + bytes(31) + proof[32:],
            bad_proof,
        ),
        (
            ["TOM-ID-019"],
            "Gamma is not canonical, y = p + 3",
            public,
            ALPHA,
            (edwards.P + 3).to_bytes(32, "little") + proof[32:],
            bad_proof,
        ),
        (
            ["TOM-ID-019"],
            "Gamma with a part of order 8, made by the owner: the equations of the RFC hold",
            public,
            ALPHA,
            proof_with_torsion(SEED, ALPHA),
            bad_proof,
        ),
        (["TOM-ID-018"], "the key is the identity", b"\x01" + bytes(31), ALPHA, proof, bad_key),
        (["TOM-ID-018"], "the key is of order 8", edwards.encode(edwards.TORSION), ALPHA, proof, bad_key),
        (["TOM-ID-018"], "the key has a part of order 8", mixed_key, ALPHA, proof, bad_key),
        (["TOM-ID-018"], "the key is not on the curve", b"\x02" + bytes(31), ALPHA, proof, bad_key),
        (
            ["TOM-ID-018"],
            "the key is not canonical, y = p + 3",
            (edwards.P + 3).to_bytes(32, "little"),
            ALPHA,
            proof,
            bad_key,
        ),
    ]


ABOUT: Final = {
    "vrf-prove": (
        "Bytes are hex. `secret` is the 32-byte secret key of RFC 9381, `alpha` the input; `public` is "
        "its public key, `proof` the 80 bytes of pi and `output` the 64 bytes of beta."
    ),
    "vrf-verify": (
        "Bytes are hex. `alpha` is the input, `proof` the 80 bytes of pi, `output` the 64 bytes of beta, "
        "which only a proof that verifies has."
    ),
}
"""What the fields of each file mean, where their names don't say it."""


def files() -> dict[str, Content]:
    """The files under ``test-vectors/vrf/``."""
    prove = [
        case(
            f"vrf-prove-{number:04}",
            ["TOM-ID-017"],
            about,
            {"secret": secret, "alpha": alpha},
            {"public": public, "proof": proof, "output": output},
        )
        for number, (about, secret, public, alpha, proof, output) in enumerate(RFC_9381, 1)
    ]
    verify = [
        case(
            f"vrf-verify-{number:04}",
            ["TOM-ID-017", "TOM-ID-022"],
            about,
            {"public": public, "alpha": alpha, "proof": proof},
            {"output": output},
        )
        for number, (about, _, public, alpha, proof, output) in enumerate(RFC_9381, 1)
    ]
    proof = vrf.prove(SEED, ALPHA)
    honest = {"public": vrf.public_key(SEED).hex(), "alpha": ALPHA.hex(), "proof": proof.hex()}
    verify.append(
        case(
            "vrf-verify-0004",
            ["TOM-ID-017", "TOM-ID-022"],
            "the honest proof beside which the refused ones stand",
            honest,
            {"output": vrf.verify(vrf.public_key(SEED), ALPHA, proof).hex()},
        )
    )
    verify += [
        refusal(
            f"vrf-verify-{number:04}",
            requirements,
            about,
            {"public": public.hex(), "alpha": alpha.hex(), "proof": wrong.hex()},
            reason=reason,
            pair="vrf-verify-0004",
        )
        for number, (requirements, about, public, alpha, wrong, reason) in enumerate(refusals(), 101)
    ]
    assert crypto.is_prime_order_point(proof[:32])
    return {
        "vrf/vrf-prove.json": vector_file("identity", "vrf-prove", "RFC 9381 appendix B.3", prove)
        | {"about": ABOUT["vrf-prove"]},
        "vrf/vrf-verify.json": vector_file(
            "identity",
            "vrf-verify",
            "RFC 9381 appendix B.3; the others by tom_ref and an independent model of the curve",
            verify,
        )
        | {"about": ABOUT["vrf-verify"]},
    }
