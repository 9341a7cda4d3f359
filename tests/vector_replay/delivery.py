"""Replays of ``test-vectors/delivery/``."""

from __future__ import annotations

from typing import Any

from tests.vector_replay import Replay
from tom_ref import codec
from tom_ref.node import subnet_id
from tom_ref.validate import check_envelope, check_receipt, message_id
from tools.vectors.delivery import open_message

unhex = bytes.fromhex


def envelope(given: dict[str, Any]) -> dict[str, Any]:
    decoded = codec.decode_envelope(unhex(given["frame"]))
    own, peer, subnet = unhex(given["own_node"]), unhex(given["from_node"]), unhex(given["subnet"])
    return {"message_id": check_envelope(decoded, own, peer, subnet, given["now"]).hex()}


def receipt(given: dict[str, Any]) -> dict[str, Any]:
    header_bytes = unhex(given["header"])
    decoded = codec.decode_receipt(unhex(given["frame"]))
    check_receipt(decoded, codec.decode_header(header_bytes), message_id(header_bytes))
    return {"message_id": decoded.message_id.hex(), "relay": decoded.relay.hex()}


REPLAY: dict[str, Replay] = {
    "delivery-envelope": envelope,
    "delivery-receipt": receipt,
    "delivery-message": open_message,
    "subnet-id": lambda given: {"subnet": subnet_id(given["name"]).hex()},
}
