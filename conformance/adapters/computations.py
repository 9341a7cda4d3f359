"""What the Python adapter computes for each algorithm of the test vectors, with ``tom_ref`` alone.

``tests/vector_replay`` computes the same and checks it with second libraries; a port is judged without those.
An algorithm that isn't named here is taken from there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from tom_ref import bech32m, codec, crypto, identity, vrf
from tom_ref.crypto import Secret32
from tom_ref.identity import Identity
from tom_ref.node import subnet_id
from tom_ref.validate import check_envelope, check_receipt, message_id
from tools.vectors import delivery, link, linkflow, linkscript, session

Computation = Callable[[Any], dict[str, Any]]
unhex: Final = bytes.fromhex


def _named(given: Mapping[str, Any], *names: str) -> list[bytes]:
    return [unhex(given[name]) for name in names]


def _labelled(given: Any) -> dict[str, Any]:
    return {"encoded": crypto.labelled(given["label"], *map(unhex, given["parts"])).hex()}


def _hkdf(given: Any) -> dict[str, Any]:
    key, salt, info = _named(given, "input_key", "salt", "info")
    return {"output": crypto.hkdf(key, salt, info, given["length"]).hex()}


def _sign(given: Any) -> dict[str, Any]:
    seed, message = _named(given, "seed", "message")
    return {"public": crypto.signing_public(seed).hex(), "signature": crypto.sign(seed, message).hex()}


def _verify(given: Any) -> dict[str, Any]:
    crypto.verify(*_named(given, "public", "message", "signature"))
    return {}


def _x25519(given: Any) -> dict[str, Any]:
    return {"shared": crypto.x25519(*_named(given, "secret", "public")).hex()}


def _x25519_public_key(given: Any) -> dict[str, Any]:
    crypto.validate_x25519_public(unhex(given["public"]))
    return {}


def _open(given: Any) -> dict[str, Any]:
    return {"plaintext": crypto.open_sealed(*_named(given, "key", "nonce", "sealed", "associated")).hex()}


def _argon2id(given: Any) -> dict[str, Any]:
    passphrase, salt = _named(given, "passphrase", "salt")
    return {"key": crypto.argon2id(passphrase, salt, given["operations"], given["memory_kib"] * 1024).hex()}


def _vrf_prove(given: Any) -> dict[str, Any]:
    secret, alpha = _named(given, "secret", "alpha")
    proof = vrf.prove(secret, alpha)
    output = vrf.proof_to_hash(proof)
    return {"public": vrf.public_key(secret).hex(), "proof": proof.hex(), "output": output.hex()}


def _vrf_verify(given: Any) -> dict[str, Any]:
    return {"output": vrf.verify(*_named(given, "public", "alpha", "proof")).hex()}


def _identity_keys(given: Any) -> dict[str, Any]:
    secret = unhex(given["secret"])
    node = Identity.from_secret(Secret32(secret))
    return {
        "identity_secret": crypto.hkdf(secret, b"", crypto.labelled("ToM/1 key identity"), 32).hex(),
        "vrf_secret": node.vrf_secret.reveal().hex(),
        "link_secret": node.link_secret.reveal().hex(),
        "session_secret": node.session_secret.reveal().hex(),
        "node_id": node.node_id.hex(),
        "vrf_key": node.vrf_key.hex(),
        "link_key": node.link_key.hex(),
        "session_key": node.session_key.hex(),
        "node_id_text": bech32m.node_id_to_text(node.node_id),
    }


def _node_id_text(given: Any) -> dict[str, Any]:
    return {"node_id": bech32m.node_id_from_text(given["text"]).hex()}


def _descriptor_verify(given: Any) -> dict[str, Any]:
    descriptor = codec.decode_descriptor(unhex(given["descriptor"]))
    expected = given["expected_node"]
    identity.verify_descriptor(descriptor, given["now"], None if expected is None else unhex(expected))
    return {
        "node_id": descriptor.node_id.hex(),
        "created_at": descriptor.created_at,
        "prekey_id": descriptor.prekey_id,
        "signed": crypto.labelled("ToM/1 descriptor", codec.encode_descriptor_body(descriptor)).hex(),
    }


def _descriptor_newest(given: Any) -> dict[str, Any]:
    held = None if given["held"] is None else codec.decode_descriptor(unhex(given["held"]))
    kept = identity.newer(held, codec.decode_descriptor(unhex(given["offered"])))
    return {"kept": codec.encode_descriptor(kept).hex()}


def _prekey_rotation(given: Any) -> dict[str, Any]:
    held = [
        identity.make_prekey(one["prekey_id"], Secret32(unhex(one["secret"])), one["valid_from"])
        for one in given["held"]
    ]
    rotation = identity.rotate_prekeys(held, given["now"], lambda _, size: unhex(given["entropy"])[:size])
    return {
        "current": rotation.current.prekey_id,
        "current_public": rotation.current.public.hex(),
        "current_until": rotation.current.valid_until,
        "issued": rotation.issued,
        "held": [prekey.prekey_id for prekey in rotation.held],
        "erased": list(rotation.erased),
        "next_at": rotation.next_at,
    }


def _secret_file(given: Any) -> dict[str, Any]:
    return {"secret": identity.decode_secret_file(unhex(given["file"]), given["passphrase"]).reveal().hex()}


def _envelope(given: Any) -> dict[str, Any]:
    decoded = codec.decode_envelope(unhex(given["frame"]))
    own, peer, subnet = _named(given, "own_node", "from_node", "subnet")
    return {"message_id": check_envelope(decoded, own, peer, subnet, given["now"]).hex()}


def _receipt(given: Any) -> dict[str, Any]:
    header_bytes = unhex(given["header"])
    decoded = codec.decode_receipt(unhex(given["frame"]))
    check_receipt(decoded, codec.decode_header(header_bytes), message_id(header_bytes))
    return {"message_id": decoded.message_id.hex(), "relay": decoded.relay.hex()}


COMPUTATIONS: Final[dict[str, Computation]] = {
    "labelled": _labelled,
    "hkdf-sha256": _hkdf,
    "ed25519-sign": _sign,
    "ed25519-verify": _verify,
    "x25519": _x25519,
    "x25519-public-key": _x25519_public_key,
    "chacha20-poly1305-open": _open,
    "argon2id": _argon2id,
    "vrf-prove": _vrf_prove,
    "vrf-verify": _vrf_verify,
    "identity-keys": _identity_keys,
    "node-id-text": _node_id_text,
    "descriptor-verify": _descriptor_verify,
    "descriptor-newest": _descriptor_newest,
    "prekey-rotation": _prekey_rotation,
    "secret-file": _secret_file,
    "link-handshake": link.handshake,
    "link-seal": link.seal,
    "link-open": link.open_sealed,
    "link-records": link.records,
    "link-clock": link.clock,
    "link-choice": link.choice,
    "link-script": linkscript.script,
    "link-flow": linkflow.flow,
    "x3dh-initiator": session.x3dh_initiator,
    "x3dh-responder": session.x3dh_responder,
    "session-id": session.session_id,
    "session-key-schedule": session.key_schedule,
    "session-conversation": session.conversation,
    "session-open-initial": session.open_initial,
    "session-open-later": session.open_later,
    "delivery-envelope": _envelope,
    "delivery-receipt": _receipt,
    "delivery-message": delivery.open_message,
    "subnet-id": lambda given: {"subnet": subnet_id(given["name"]).hex()},
}


def computation(command: str) -> Computation | None:
    """What answers ``group.name``, the command of an algorithm called ``group-name`` or ``name``."""
    group, _, name = command.partition(".")
    for algorithm in (f"{group}-{name}", name):
        found = COMPUTATIONS.get(algorithm)
        if found is not None:
            return found
    return _further().get(f"{group}-{name}") or _further().get(name)


@cache
def _further() -> dict[str, Computation]:
    found: dict[str, Computation] = importlib.import_module("tests.vector_replay").gather()
    return found
