"""Whether to accept an envelope, a trail or a receipt: clause by clause, each with its requirement.

Every function returns on *accept* and raises :class:`ProtocolError` on *reject*; none of them changes
anything.  What to *ignore* is the caller's business (TOM-DELIVERY).  Cheap checks come before signatures.
"""

from __future__ import annotations

from tom_ref import codec, constants
from tom_ref.crypto import labelled, sha256, verify
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import NO_NODE, Envelope, Header, Receipt, Stamp


def signed_header(header_bytes: bytes) -> bytes:
    """The bytes that a header's signature covers and whose SHA-256 is the message id (TOM-DELIVERY-002)."""
    return labelled("ToM/1 header", header_bytes)


def message_id(header_bytes: bytes) -> bytes:
    """The 32-byte id of the message with this header (TOM-DELIVERY-002)."""
    return sha256(signed_header(header_bytes))


def signed_stamp(message: bytes, previous: Stamp | None, arrived_at: int, next_hop: bytes) -> bytes:
    """The bytes that a stamp's signature covers (TOM-DELIVERY-010)."""
    link = sha256(codec.encode_stamp(previous)) if previous is not None else bytes(32)
    return labelled("ToM/1 stamp", message, link, arrived_at.to_bytes(8, "big"), next_hop)


def signed_receipt(receipt: Receipt) -> bytes:
    """The bytes that a receipt's signature covers (TOM-DELIVERY-020)."""
    return labelled("ToM/1 receipt", codec.encode_receipt_body(receipt))


def retention_end(created_at: int, ttl: int, eps: int = constants.EPS) -> int:
    """When every trace of a message is erased, in ms: counted from the *signed* time (TOM-PURGE-035)."""
    return created_at + ttl + 2 * eps


def check_header(header: Header, subnet: bytes, now: int, eps: int = constants.EPS) -> None:
    """Reject a header of another subnet, from the future, or whose lifetime is over.

    ``eps`` is the most, in ms, by which the clocks of this network are wrong.
    """
    if header.subnet != subnet:
        raise ProtocolError(Reason.WRONG_SUBNET, "header")
    if header.created_at > now + 2 * eps:
        raise ProtocolError(Reason.FUTURE_DATE, f"{header.created_at - now} ms ahead")
    if now >= header.expires_at:
        raise ProtocolError(Reason.EXPIRED, f"{now - header.expires_at} ms ago")


def check_trail(
    header: Header, message: bytes, trail: tuple[Stamp, ...], known: tuple[Stamp, ...] = ()
) -> tuple[bytes, ...]:
    """Verify a chain of stamps and return its signers, the sender first, then the last next hop.

    ``known`` are stamps at the front that this node has verified or made itself; they must be repeated
    exactly.  Rejects ``loop`` where a node stands twice, ``bad_signature`` where a stamp does not verify.
    """
    if trail[: len(known)] != known:
        raise ProtocolError(Reason.BAD_SIGNATURE, "the trail's beginning was changed")
    nodes = [header.sender, *(stamp.next_hop for stamp in trail)]
    if len(set(nodes)) != len(nodes):
        raise ProtocolError(Reason.LOOP, f"after {len(trail)} stamps")
    previous: Stamp | None = None
    for index, stamp in enumerate(trail):
        if index >= len(known):
            signed = signed_stamp(message, previous, stamp.arrived_at, stamp.next_hop)
            verify(nodes[index], signed, stamp.signature)
        previous = stamp
    return tuple(nodes)


def check_envelope(  # noqa: PLR0917 - what it is checked against
    envelope: Envelope, own_id: bytes, peer: bytes, subnet: bytes, now: int, eps: int = constants.EPS
) -> bytes:
    """Verify an envelope that ``peer`` handed to this node and return its message id (TOM-DELIVERY-030).

    The payload's length was checked in decoding.  Rejects ``wrong_subnet``, ``future_date``, ``expired``,
    ``payload_mismatch``, ``wrong_hop``, ``node_mismatch``, ``loop``, ``bad_signature``, ``bad_key``.
    """
    header = envelope.header
    check_header(header, subnet, now, eps)
    if sha256(envelope.payload) != header.payload_hash:
        raise ProtocolError(Reason.PAYLOAD_MISMATCH, "hash")
    trail = envelope.trail
    if trail[-1].next_hop != own_id:
        raise ProtocolError(Reason.WRONG_HOP, "the last stamp names another node")
    last_signer = trail[-2].next_hop if len(trail) > 1 else header.sender
    if last_signer != peer:
        raise ProtocolError(Reason.NODE_MISMATCH, "handed over by another node than the last one stamped")
    signed = signed_header(envelope.header_bytes)
    verify(header.sender, signed, envelope.signature)
    message = sha256(signed)
    check_trail(header, message, trail)
    return message


def check_receipt(receipt: Receipt, header: Header, message: bytes) -> None:
    """Verify a receipt for the message with this header (TOM-DELIVERY-021).

    Rejects ``wrong_recipient`` when it speaks of another message or is signed by somebody else than the
    recipient, ``bad_signature`` when the signature does not verify.
    """
    claimed = (
        receipt.message_id,
        receipt.subnet,
        receipt.term,
        receipt.sender,
        receipt.recipient,
        receipt.created_at,
        receipt.ttl,
    )
    signed = (
        message,
        header.subnet,
        header.term,
        header.sender,
        header.recipient,
        header.created_at,
        header.ttl,
    )
    if claimed != signed:
        raise ProtocolError(Reason.WRONG_RECIPIENT, "the receipt is not for this message")
    if receipt.relay in {receipt.sender, receipt.recipient} and receipt.relay != NO_NODE:
        raise ProtocolError(Reason.BAD_VALUE, "a receipt's relay is one of the two ends")
    verify(receipt.recipient, signed_receipt(receipt), receipt.signature)
