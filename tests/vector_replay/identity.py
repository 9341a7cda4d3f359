"""Replays of ``test-vectors/identity/``."""

from __future__ import annotations

from typing import Any

from tests.vector_replay import Replay
from tom_ref import bech32m, codec, crypto, identity
from tom_ref.crypto import Secret32
from tom_ref.identity import Identity

unhex = bytes.fromhex


def identity_keys(given: dict[str, Any]) -> dict[str, Any]:
    secret = unhex(given["secret"])
    node = Identity.from_secret(Secret32(secret))
    seed = crypto.hkdf(secret, b"", crypto.labelled("ToM/1 key identity"), 32)
    assert node.signing_key.sign(b"x") == crypto.sign(seed, b"x")
    return {
        "identity_secret": seed.hex(),
        "vrf_secret": node.vrf_secret.reveal().hex(),
        "link_secret": node.link_secret.reveal().hex(),
        "session_secret": node.session_secret.reveal().hex(),
        "node_id": node.node_id.hex(),
        "vrf_key": node.vrf_key.hex(),
        "link_key": node.link_key.hex(),
        "session_key": node.session_key.hex(),
        "node_id_text": bech32m.node_id_to_text(node.node_id),
    }


def node_id_text(given: dict[str, Any]) -> dict[str, Any]:
    node_id = bech32m.node_id_from_text(given["text"])
    assert bech32m.node_id_to_text(node_id) == given["text"].lower()
    return {"node_id": node_id.hex()}


def descriptor_verify(given: dict[str, Any]) -> dict[str, Any]:
    descriptor = codec.decode_descriptor(unhex(given["descriptor"]))
    expected = given["expected_node"]
    identity.verify_descriptor(descriptor, given["now"], None if expected is None else unhex(expected))
    body = codec.encode_descriptor_body(descriptor)
    return {
        "node_id": descriptor.node_id.hex(),
        "created_at": descriptor.created_at,
        "prekey_id": descriptor.prekey_id,
        "signed": crypto.labelled("ToM/1 descriptor", body).hex(),
    }


def descriptor_newest(given: dict[str, Any]) -> dict[str, Any]:
    held = None if given["held"] is None else codec.decode_descriptor(unhex(given["held"]))
    kept = identity.newer(held, codec.decode_descriptor(unhex(given["offered"])))
    return {"kept": codec.encode_descriptor(kept).hex()}


def prekey_rotation(given: dict[str, Any]) -> dict[str, Any]:
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


def secret_file(given: dict[str, Any]) -> dict[str, Any]:
    return {"secret": identity.decode_secret_file(unhex(given["file"]), given["passphrase"]).reveal().hex()}


REPLAY: dict[str, Replay] = {
    "identity-keys": identity_keys,
    "node-id-text": node_id_text,
    "descriptor-verify": descriptor_verify,
    "descriptor-newest": descriptor_newest,
    "prekey-rotation": prekey_rotation,
    "secret-file": secret_file,
}
