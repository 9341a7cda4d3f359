"""What is fuzzed: functions from any bytes to acceptance or ``ProtocolError``.

A target raises ``AssertionError`` when it accepts bytes that it doesn't rebuild, and lets anything but
``ProtocolError`` through, which the fuzzer reports as a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import evolve

from tom_ref import bech32m, codec, session_store
from tom_ref.crypto import Secret32, sha256
from tom_ref.effects import Effect, SendFrame
from tom_ref.errors import ProtocolError
from tom_ref.frames import Envelope, HandshakePayload, Header, Kind, Stamp
from tom_ref.identity import Identity, decode_secret_file, make_prekey, sign_descriptor
from tom_ref.inputs import FrameReceived, LinkUp, Start
from tom_ref.link import Link
from tom_ref.node import Node, subnet_id
from tom_ref.validate import message_id, signed_header, signed_stamp

NOW: Final = 1_767_225_600_000
SUBNET: Final = subnet_id("fuzz")
Target = Callable[[bytes], None]


def entropy(purpose: str, size: int) -> bytes:
    """The same bytes at every draw: a fuzzer needs runs that repeat."""
    return (sha256(purpose.encode()) * (size // 32 + 1))[:size]


def _rebuilds(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> Target:
    def target(data: bytes) -> None:
        try:
            value = decode(data)
        except ProtocolError:
            return
        assert encode(value) == data

    return target


def _identity(number: int) -> Identity:
    return Identity.from_secret(Secret32(bytes([number]) * 32))


def _descriptor(identity: Identity) -> bytes:
    return codec.encode_descriptor(sign_descriptor(identity, make_prekey(1, Secret32(b"p" * 32), NOW), NOW))


NODES: Final = tuple((identity, _descriptor(identity)) for identity in map(_identity, (1, 2, 3)))


def _node_with_links() -> tuple[Node, Identity]:
    (own, _), (peer, one), (_, other) = NODES
    node = Node(own, subnet=SUBNET, entropy=entropy, now=NOW)
    node.step(Start(), NOW)
    node.step(LinkUp(1, codec.decode_descriptor(one), initiated=False), NOW)
    node.step(LinkUp(2, codec.decode_descriptor(other), initiated=False), NOW)
    return node, peer


def node_frames(data: bytes) -> None:
    """Any frame into a node: it never raises, and answers only over links that it holds."""
    node, _ = _node_with_links()
    effects: tuple[Effect, ...] = node.step(FrameReceived(1, data), NOW + 1)
    assert all(effect.link in {1, 2} for effect in effects if isinstance(effect, SendFrame))


def node_payloads(data: bytes) -> None:
    """Any payload in an envelope that is otherwise right: the session opens it or refuses it."""
    node, peer = _node_with_links()
    header = Header(
        Kind.MESSAGE,
        SUBNET,
        0,
        peer.node_id,
        node.node_id,
        NOW,
        60_000,
        4,
        (),
        len(data),
        sha256(data),
    )
    try:
        header_bytes = codec.encode_header(header)
    except ProtocolError:
        return
    signed = signed_stamp(message_id(header_bytes), None, NOW, node.node_id)
    stamp = Stamp(NOW, node.node_id, peer.signing_key.sign(signed))
    signature = peer.signing_key.sign(signed_header(header_bytes))
    envelope = Envelope(header, header_bytes, signature, 0, (stamp,), data)
    node.step(FrameReceived(1, codec.encode_envelope(evolve(envelope, payload=data))), NOW)


def link_bytes(data: bytes) -> None:
    """Any bytes into a responding link: it ends with a reason and never raises."""
    identity, descriptor = NODES[0]
    link = Link.responder(
        static=identity.link_secret, descriptor=descriptor, binding=b"", entropy=entropy, now=NOW
    )
    link.receive_data(data[:65_536], NOW)
    while link.next_event() is not None:
        pass
    link.data_to_send(NOW)


def secret_file(data: bytes) -> None:
    """Any bytes as a secret file without a passphrase."""
    try:
        decode_secret_file(data, None)
    except ProtocolError:
        return


def node_id_text(data: bytes) -> None:
    """Any text as a NodeId."""
    text = data.decode("utf-8", "replace")
    try:
        node_id = bech32m.node_id_from_text(text)
    except ProtocolError:
        return
    assert bech32m.node_id_to_text(node_id) == text.lower()


def _records(records: list[Any]) -> bytes:
    return b"".join(codec.encode_record(record) for record in records)


def _handshake(payload: HandshakePayload) -> bytes:
    return codec.encode_handshake_payload(payload)


TARGETS: Final[dict[str, Target]] = {
    "frame": _rebuilds(codec.decode_frame, codec.encode_frame),
    "header": _rebuilds(codec.decode_header, codec.encode_header),
    "descriptor": _rebuilds(codec.decode_descriptor, codec.encode_descriptor),
    "extensions": _rebuilds(codec.decode_extensions, codec.encode_extensions),
    "records": _rebuilds(codec.decode_records, _records),
    "handshake-payload": _rebuilds(codec.decode_handshake_payload, _handshake),
    "session-message": _rebuilds(codec.decode_session_message, codec.encode_session_message),
    "stored-sessions": _rebuilds(session_store.decode_peer_sessions, session_store.encode_peer_sessions),
    "secret-file": secret_file,
    "node-id-text": node_id_text,
    "link-bytes": link_bytes,
    "node-frames": node_frames,
    "node-payloads": node_payloads,
}
