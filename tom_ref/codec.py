"""Bytes to frames and back: one door to every format.

:mod:`tom_ref.delivery_codec` and :mod:`tom_ref.term_codec` do the work, chapter by chapter; what this module
adds is the first byte of a frame, which tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tom_ref import constants
from tom_ref.delivery_codec import (
    CUSTODY,
    FRAME_DECODERS,
    FRAME_ENCODERS,
    GREASE_EXTENSION_TYPES,
    GREASE_TYPES,
    INBOX,
    KNOWN_CRITICAL,
    NON_CRITICAL_TYPE,
    PENDING,
    PREKEY,
    SEEN,
    TOMBSTONE,
    VERDICT,
    StoredFormat,
    decode_descriptor,
    decode_envelope,
    decode_extensions,
    decode_handshake_payload,
    decode_header,
    decode_receipt,
    decode_record,
    decode_records,
    decode_session_message,
    decode_stamp,
    encode_descriptor,
    encode_descriptor_body,
    encode_envelope,
    encode_extensions,
    encode_handshake_payload,
    encode_header,
    encode_header_prefix,
    encode_receipt,
    encode_receipt_body,
    encode_record,
    encode_session_message,
    encode_stamp,
    holders,
    nodes,
)
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Frame, UnknownFrame
from tom_ref.term_codec import CONVERSATION, LEFT, TERM, TERM_DECODERS, TERM_ENCODERS
from tom_ref.term_frames import TermFrame

__all__ = [
    "CONVERSATION",
    "CUSTODY",
    "GREASE_EXTENSION_TYPES",
    "GREASE_TYPES",
    "INBOX",
    "KNOWN_CRITICAL",
    "LEFT",
    "PENDING",
    "PREKEY",
    "SEEN",
    "TERM",
    "TOMBSTONE",
    "VERDICT",
    "AnyFrame",
    "StoredFormat",
    "decode_descriptor",
    "decode_envelope",
    "decode_extensions",
    "decode_frame",
    "decode_handshake_payload",
    "decode_header",
    "decode_receipt",
    "decode_record",
    "decode_records",
    "decode_session_message",
    "decode_stamp",
    "encode_descriptor",
    "encode_descriptor_body",
    "encode_envelope",
    "encode_extensions",
    "encode_frame",
    "encode_handshake_payload",
    "encode_header",
    "encode_header_prefix",
    "encode_receipt",
    "encode_receipt_body",
    "encode_record",
    "encode_session_message",
    "encode_stamp",
    "holders",
    "nodes",
]

AnyFrame = Frame | TermFrame
"""Every frame a link carries."""

_DECODERS: Final[Mapping[int, Callable[[bytes], AnyFrame]]] = {**FRAME_DECODERS, **TERM_DECODERS}


def encode_frame(frame: AnyFrame) -> bytes:
    """Return the bytes of any frame; raises :class:`ProtocolError` for one that a peer would refuse."""
    encoder = TERM_ENCODERS.get(type(frame)) or FRAME_ENCODERS[type(frame)]
    return encoder(frame)


def decode_frame(data: bytes) -> AnyFrame:
    """Decode any frame by its first byte.

    Raises :class:`ProtocolError`; an unknown type below 0x80 is ``unknown_frame`` (TOM-WIRE-021), one from
    0x80 on comes back as :class:`UnknownFrame` to be ignored (TOM-WIRE-022).
    """
    if not data:
        raise ProtocolError(Reason.TRUNCATED, "frame")
    if len(data) > constants.MAX_FRAME:
        raise ProtocolError(Reason.TOO_LARGE, f"frame of {len(data)} bytes")
    decoder = _DECODERS.get(data[0])
    if decoder is not None:
        return decoder(data)
    if data[0] >= NON_CRITICAL_TYPE:
        return UnknownFrame(data[0], data[1:])
    raise ProtocolError(Reason.UNKNOWN_FRAME, f"type {data[0]:#04x}")
