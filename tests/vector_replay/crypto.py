"""Replays of ``test-vectors/crypto/`` and ``test-vectors/vrf/``."""

from __future__ import annotations

from typing import Any

from tests.vector_replay import Replay
from tom_ref import crypto, vrf

unhex = bytes.fromhex


def labelled(given: dict[str, Any]) -> dict[str, Any]:
    return {"encoded": crypto.labelled(given["label"], *map(unhex, given["parts"])).hex()}


def hkdf(given: dict[str, Any]) -> dict[str, Any]:
    key, salt, info = (unhex(given[name]) for name in ("input_key", "salt", "info"))
    return {"output": crypto.hkdf(key, salt, info, given["length"]).hex()}


def ed25519_sign(given: dict[str, Any]) -> dict[str, Any]:
    seed, message = unhex(given["seed"]), unhex(given["message"])
    signature = crypto.sign(seed, message)
    public = crypto.signing_public(seed)
    crypto.verify(public, message, signature)
    return {"public": public.hex(), "signature": signature.hex()}


def ed25519_verify(given: dict[str, Any]) -> dict[str, Any]:
    crypto.verify(unhex(given["public"]), unhex(given["message"]), unhex(given["signature"]))
    return {}


def x25519(given: dict[str, Any]) -> dict[str, Any]:
    return {"shared": crypto.x25519(unhex(given["secret"]), unhex(given["public"])).hex()}


def x25519_public_key(given: dict[str, Any]) -> dict[str, Any]:
    crypto.validate_x25519_public(unhex(given["public"]))
    return {}


def aead_open(given: dict[str, Any]) -> dict[str, Any]:
    key, nonce, sealed, associated = (unhex(given[name]) for name in ("key", "nonce", "sealed", "associated"))
    plaintext = crypto.open_sealed(key, nonce, sealed, associated)
    assert crypto.seal(key, nonce, plaintext, associated) == sealed
    return {"plaintext": plaintext.hex()}


def argon2id(given: dict[str, Any]) -> dict[str, Any]:
    cost = given["operations"], given["memory_kib"] * 1024
    return {"key": crypto.argon2id(unhex(given["passphrase"]), unhex(given["salt"]), *cost).hex()}


def vrf_prove(given: dict[str, Any]) -> dict[str, Any]:
    secret, alpha = unhex(given["secret"]), unhex(given["alpha"])
    proof = vrf.prove(secret, alpha)
    return {
        "public": vrf.public_key(secret).hex(),
        "proof": proof.hex(),
        "output": vrf.proof_to_hash(proof).hex(),
    }


def vrf_verify(given: dict[str, Any]) -> dict[str, Any]:
    output = vrf.verify(unhex(given["public"]), unhex(given["alpha"]), unhex(given["proof"]))
    return {"output": output.hex()}


REPLAY: dict[str, Replay] = {
    "labelled": labelled,
    "hkdf-sha256": hkdf,
    "ed25519-sign": ed25519_sign,
    "ed25519-verify": ed25519_verify,
    "x25519": x25519,
    "x25519-public-key": x25519_public_key,
    "chacha20-poly1305-open": aead_open,
    "argon2id": argon2id,
    "vrf-prove": vrf_prove,
    "vrf-verify": vrf_verify,
}
