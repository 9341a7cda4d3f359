"""Bytes to frames and back, all but those of *Roles and terms*: strict, canonical, bounded.

Every ``decode_*`` takes untrusted bytes and returns a frame class or raises
:class:`~tom_ref.errors.ProtocolError`; nothing else can come out, whatever the bytes.  Every ``encode_*``
takes a frame class of this node's own making and applies the same rules, so that nothing leaves which a
peer would refuse; it raises ``ProtocolError`` too.

A value has exactly one encoding (TOM-WIRE-002): fixed widths, explicit lengths, ascending extension types,
no trailing bytes.  Caps are applied before anything is allocated (TOM-WIRE-003): the length of the input
first, then each count and length inside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Final, NoReturn

from construct import Struct

from tom_ref import constants, wire
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import (
    Address,
    Chunk,
    Close,
    Descriptor,
    DescriptorAnswer,
    DescriptorQuery,
    Envelope,
    Extension,
    Frame,
    FrameType,
    HandshakePayload,
    Header,
    Holding,
    HoldingAnswer,
    HoldingQuery,
    Kind,
    Ping,
    Pong,
    Receipt,
    Record,
    RecordType,
    Refusal,
    Rekey,
    SessionInitial,
    SessionMessage,
    SessionRegular,
    Stamp,
    TrailReport,
    Transport,
    UnknownFrame,
    UnknownRecord,
    Window,
)
from tom_ref.layout import Layout

KNOWN_CRITICAL: Final[frozenset[int]] = frozenset()
"""Extension types with bit 15 set that this version understands: none yet."""

GREASE_EXTENSION_TYPES: Final = tuple(0x0A0A + 0x1010 * k for k in range(8))
"""Extension types reserved to keep receivers tolerant (RFC 8701); none of them is critical."""

GREASE_TYPES: Final = tuple(0x8A + 0x10 * k for k in range(8))
"""Frame and record types reserved likewise; all of them may be ignored."""

NON_CRITICAL_TYPE: Final = 0x80
_REASON_TEXT: Final = re.compile(rb"[a-z][a-z_]{0,%d}" % (constants.MAX_REASON_BYTES - 1))
_ADDRESS_TEXT: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % constants.MAX_ADDRESS_BYTES)
_SUITE: Final = 1


def refuse(reason: Reason, detail: str) -> NoReturn:
    """Raise a :class:`ProtocolError`."""
    raise ProtocolError(reason, detail)


class Format:
    """One declared layout with the cap on its size."""

    def __init__(self, name: str, declaration: Struct[Any, Any], cap: int) -> None:
        self._layout = Layout(name, declaration)
        self._cap = cap

    def parse(self, data: bytes) -> Any:
        """Parse a value that fills ``data``; raises :class:`ProtocolError`."""
        if len(data) > self._cap:
            refuse(Reason.TOO_LARGE, f"{self._layout.name}: {len(data)} bytes, at most {self._cap}")
        return self._layout.parse(data)

    def build(self, values: Mapping[str, Any]) -> bytes:
        """Build a value; raises :class:`ProtocolError` when one doesn't fit."""
        data = self._layout.build(values)
        if len(data) > self._cap:
            refuse(Reason.TOO_LARGE, f"{self._layout.name}: {len(data)} bytes, at most {self._cap}")
        return data


_EXTENSIONS = Format("extensions", wire.EXTENSIONS, constants.MAX_EXTENSION_BYTES)
_DESCRIPTOR_BODY = Format("descriptor", wire.DESCRIPTOR_BODY, constants.MAX_DESCRIPTOR)
_DESCRIPTOR = Format("descriptor", wire.DESCRIPTOR, constants.MAX_DESCRIPTOR)
_HANDSHAKE_PAYLOAD = Format("handshake payload", wire.HANDSHAKE_PAYLOAD, constants.MAX_NOISE_MESSAGE)
_HEADER = Format("header", wire.HEADER, constants.MAX_HEADER)
_HEADER_PREFIX = Format("header prefix", wire.HEADER_PREFIX, constants.MAX_HEADER)
_STAMP = Format("stamp", wire.STAMP, 256)
_ENVELOPE = Format("envelope", wire.ENVELOPE, constants.MAX_FRAME)
_RECEIPT_BODY = Format("receipt", wire.RECEIPT_BODY, constants.MAX_HEADER)
_RECEIPT = Format("receipt", wire.RECEIPT, constants.MAX_HEADER)
_TRAIL_REPORT = Format("trail report", wire.TRAIL_REPORT, 34 + 104 * 255)
_REFUSAL = Format("refusal", wire.REFUSAL, 34 + 255)
_DESCRIPTOR_QUERY = Format("descriptor query", wire.DESCRIPTOR_QUERY, 256)
_DESCRIPTOR_ANSWER = Format("descriptor answer", wire.DESCRIPTOR_ANSWER, 35 + constants.MAX_DESCRIPTOR)
_HOLDING_QUERY = Format("holding query", wire.HOLDING_QUERY, 64)
_HOLDING_ANSWER = Format("holding answer", wire.HOLDING_ANSWER, 64)
_RECORD = Format("record", wire.RECORD, constants.MAX_NOISE_MESSAGE)
_CHUNK = Format("chunk", wire.RECORD_CHUNK, 12 + constants.CHUNK_SIZE)
_WINDOW = Format("window", wire.RECORD_WINDOW, 256)
_PING = Format("ping", wire.RECORD_PING, 256)
_PONG = Format("pong", wire.RECORD_PONG, 256)
_REKEY = Format("rekey", wire.RECORD_REKEY, 256)
_CLOSE = Format("close", wire.RECORD_CLOSE, 255)
_SESSION_INITIAL = Format("session message", wire.SESSION_INITIAL, constants.MAX_PAYLOAD)
_SESSION_REGULAR = Format("session message", wire.SESSION_REGULAR, constants.MAX_PAYLOAD)


# --- parts --------------------------------------------------------------------------------------------


def check_version(name: str, version: int) -> None:
    """Refuse a version that this node doesn't speak (code ``unknown_version``)."""
    if version != constants.VERSION:
        refuse(Reason.UNKNOWN_VERSION, f"{name}: {version}")


def _check_extensions(extensions: Iterable[tuple[int, bytes]], *, own: bool = False) -> None:
    """Apply the rules of an extension list (TOM-WIRE-010 to 012).

    What this node sends itself may be critical without being known to it: tests send such things.
    """
    size = 1
    last = -1
    count = 0
    for kind, value in extensions:
        count += 1
        size += 4 + len(value)
        if kind <= last:
            refuse(Reason.NON_CANONICAL, "extension types not ascending")
        last = kind
        if kind & 0x8000 and kind not in KNOWN_CRITICAL and not own:
            refuse(Reason.UNKNOWN_CRITICAL_EXTENSION, f"type {kind:#06x}")
    if count > constants.MAX_EXTENSIONS or size > constants.MAX_EXTENSION_BYTES:
        refuse(Reason.TOO_LARGE, f"extensions: {count} with {size} bytes")


def read_extensions(parsed: Any) -> tuple[Extension, ...]:
    """The extensions of a parsed structure, checked (TOM-WIRE-010 to 012)."""
    if not parsed.count:
        return ()
    _check_extensions((item.type, item.value) for item in parsed.items)
    return tuple(Extension(item.type, item.value) for item in parsed.items)


def write_extensions(extensions: tuple[Extension, ...]) -> dict[str, Any]:
    """The values from which a list of this node's own extensions is built."""
    if extensions:
        _check_extensions(((item.type, item.value) for item in extensions), own=True)
    return {
        "count": len(extensions),
        "items": [{"type": e.type, "length": len(e.value), "value": e.value} for e in extensions],
    }


def encode_extensions(extensions: tuple[Extension, ...]) -> bytes:
    """Return the encoding of an extension list, 1 to 4096 bytes (TOM-WIRE-010)."""
    return _EXTENSIONS.build(write_extensions(extensions))


def decode_extensions(data: bytes) -> tuple[Extension, ...]:
    """Decode an extension list that fills ``data`` (TOM-WIRE-010)."""
    return read_extensions(_EXTENSIONS.parse(data))


def _reason_text(text: bytes) -> str:
    if not _REASON_TEXT.fullmatch(text):
        refuse(Reason.BAD_TEXT, "reason code")
    return text.decode("ascii")


def _lifetime(ttl: int, created_at: int) -> None:
    if not 0 < ttl <= constants.MAX_TTL:
        refuse(Reason.BAD_LIFETIME, f"ttl {ttl} ms")
    if created_at >= 1 << 62:
        refuse(Reason.BAD_VALUE, "created_at")


# --- descriptors --------------------------------------------------------------------------------------


def read_address(item: Any) -> Address:
    """The meaning of one parsed address."""
    if not _ADDRESS_TEXT.fullmatch(item.text):
        refuse(Reason.BAD_TEXT, "address")
    try:
        transport = Transport(item.transport)
    except ValueError:
        raise ProtocolError(Reason.UNKNOWN_KIND, f"transport {item.transport}") from None
    return Address(transport, item.text.decode("ascii"))


def write_addresses(addresses: tuple[Address, ...]) -> list[dict[str, Any]]:
    """The values from which a list of addresses is built, at most eight."""
    written = []
    for address in addresses:
        text = address.text.encode("utf-8")
        if not _ADDRESS_TEXT.fullmatch(text):
            refuse(Reason.BAD_TEXT, "address")
        written.append({"transport": int(address.transport), "length": len(text), "text": text})
    if len(written) > constants.MAX_ADDRESSES:
        refuse(Reason.TOO_LARGE, f"{len(written)} addresses")
    return written


def _descriptor_values(descriptor: Descriptor) -> dict[str, Any]:
    addresses = write_addresses(descriptor.addresses)
    return {
        "version": constants.VERSION,
        "node_id": descriptor.node_id,
        "vrf_key": descriptor.vrf_key,
        "link_key": descriptor.link_key,
        "session_key": descriptor.session_key,
        "prekey_id": descriptor.prekey_id,
        "prekey": descriptor.prekey,
        "prekey_from": descriptor.prekey_from,
        "prekey_until": descriptor.prekey_until,
        "min_version": descriptor.min_version,
        "max_version": descriptor.max_version,
        "created_at": descriptor.created_at,
        "address_count": len(addresses),
        "addresses": addresses,
        "extensions": write_extensions(descriptor.extensions),
    }


def encode_descriptor_body(descriptor: Descriptor) -> bytes:
    """Return the bytes that a descriptor's signature covers (before ``labelled``)."""
    return _DESCRIPTOR_BODY.build(_descriptor_values(descriptor))


def encode_descriptor(descriptor: Descriptor) -> bytes:
    """Return a descriptor with its signature, at most 8192 bytes."""
    return _DESCRIPTOR.build({"body": _descriptor_values(descriptor), "signature": descriptor.signature})


def decode_descriptor(data: bytes) -> Descriptor:
    """Decode a descriptor that fills ``data``.  The signature is not verified here (see identity)."""
    parsed = _DESCRIPTOR.parse(data)
    body = parsed.body
    check_version("descriptor", body.version)
    if body.address_count > constants.MAX_ADDRESSES:
        refuse(Reason.TOO_LARGE, f"{body.address_count} addresses")
    addresses = tuple(read_address(item) for item in body.addresses)
    extensions = read_extensions(body.extensions)
    return Descriptor(
        body.node_id,
        body.vrf_key,
        body.link_key,
        body.session_key,
        body.prekey_id,
        body.prekey,
        body.prekey_from,
        body.prekey_until,
        body.min_version,
        body.max_version,
        body.created_at,
        addresses,
        extensions,
        parsed.signature,
    )


def encode_handshake_payload(payload: HandshakePayload) -> bytes:
    """Return the payload of handshake message 2 or 3."""
    descriptor = encode_descriptor(payload.descriptor)
    return _HANDSHAKE_PAYLOAD.build(
        {
            "version": constants.VERSION,
            "length": len(descriptor),
            "descriptor": descriptor,
            "extensions": write_extensions(payload.extensions),
        }
    )


def decode_handshake_payload(data: bytes) -> HandshakePayload:
    """Decode the payload of handshake message 2 or 3.  The descriptor's signature is not verified here."""
    parsed = _HANDSHAKE_PAYLOAD.parse(data)
    check_version("handshake payload", parsed.version)
    extensions = read_extensions(parsed.extensions)
    return HandshakePayload(decode_descriptor(parsed.descriptor), extensions)


# --- envelope -----------------------------------------------------------------------------------------


def _header_values(header: Header) -> dict[str, Any]:
    _lifetime(header.ttl, header.created_at)
    if not 1 <= header.hop_limit <= constants.MAX_HOPS:
        refuse(Reason.BAD_VALUE, f"hop limit {header.hop_limit}")
    if header.payload_length > constants.MAX_PAYLOAD:
        refuse(Reason.TOO_LARGE, f"payload of {header.payload_length} bytes")
    return {
        "version": constants.VERSION,
        "kind": int(header.kind),
        "subnet": header.subnet,
        "term": header.term,
        "sender": header.sender,
        "recipient": header.recipient,
        "created_at": header.created_at,
        "ttl": header.ttl,
        "hop_limit": header.hop_limit,
        "extensions": write_extensions(header.extensions),
        "payload_length": header.payload_length,
        "payload_hash": header.payload_hash,
    }


def encode_header(header: Header) -> bytes:
    """Return the header's bytes, which the sender signs and whose hash is the message id."""
    return _HEADER.build(_header_values(header))


def encode_header_prefix(header: Header) -> bytes:
    """Return the header's bytes up to its extensions: what the session authenticates as well.

    The payload's length and hash are left out because the payload isn't there yet when it is encrypted.
    """
    return _HEADER_PREFIX.build(_header_values(header))


def decode_header(data: bytes) -> Header:
    """Decode an envelope header that fills ``data``.  The signature is not verified here."""
    parsed = _HEADER.parse(data)
    check_version("header", parsed.version)
    try:
        kind = Kind(parsed.kind)
    except ValueError:
        raise ProtocolError(Reason.UNKNOWN_KIND, f"envelope kind {parsed.kind}") from None
    _lifetime(parsed.ttl, parsed.created_at)
    if not 1 <= parsed.hop_limit <= constants.MAX_HOPS:
        refuse(Reason.BAD_VALUE, f"hop limit {parsed.hop_limit}")
    if parsed.payload_length > constants.MAX_PAYLOAD:
        refuse(Reason.TOO_LARGE, f"payload of {parsed.payload_length} bytes")
    extensions = read_extensions(parsed.extensions)
    return Header(
        kind,
        parsed.subnet,
        parsed.term,
        parsed.sender,
        parsed.recipient,
        parsed.created_at,
        parsed.ttl,
        parsed.hop_limit,
        extensions,
        parsed.payload_length,
        parsed.payload_hash,
    )


def encode_stamp(stamp: Stamp) -> bytes:
    """Return a stamp's 104 bytes; the next stamp signs their hash."""
    return _STAMP.build(_stamp_values(stamp))


def decode_stamp(data: bytes) -> Stamp:
    """Decode a stamp that fills ``data``.  The signature is not verified here (see validate)."""
    return _read_trail((_STAMP.parse(data),))[0]


def _stamp_values(stamp: Stamp) -> dict[str, Any]:
    return {
        "arrived_at": stamp.arrived_at,
        "next_hop": stamp.next_hop,
        "signature": stamp.signature,
    }


def _read_trail(items: Iterable[Any]) -> tuple[Stamp, ...]:
    return tuple(Stamp(item.arrived_at, item.next_hop, item.signature) for item in items)


def _trail_length(count: int, limit: int) -> None:
    if not count:
        refuse(Reason.BAD_VALUE, "empty trail")
    if count > limit:
        refuse(Reason.PATH_TOO_LONG, f"{count} stamps, at most {limit}")


def encode_envelope(envelope: Envelope) -> bytes:
    """Return the envelope frame, at most ``MAX_FRAME`` bytes.  ``header_bytes`` go out as they are."""
    _trail_length(len(envelope.trail), envelope.header.hop_limit)
    return _ENVELOPE.build(
        {
            "header_length": len(envelope.header_bytes),
            "header": envelope.header_bytes,
            "signature": envelope.signature,
            "work_nonce": envelope.work_nonce,
            "trail_count": len(envelope.trail),
            "trail": [_stamp_values(stamp) for stamp in envelope.trail],
            "payload": envelope.payload,
        }
    )


def decode_envelope(data: bytes) -> Envelope:
    """Decode an envelope frame.  Signatures are not verified here (see validate)."""
    parsed = _ENVELOPE.parse(data)
    if parsed.header_length > constants.MAX_HEADER:
        refuse(Reason.TOO_LARGE, f"header of {parsed.header_length} bytes")
    header = decode_header(parsed.header)
    _trail_length(parsed.trail_count, header.hop_limit)
    if len(parsed.payload) != header.payload_length:
        refuse(Reason.PAYLOAD_MISMATCH, f"{len(parsed.payload)} bytes, {header.payload_length} signed")
    return Envelope(
        header,
        parsed.header,
        parsed.signature,
        parsed.work_nonce,
        _read_trail(parsed.trail),
        parsed.payload,
    )


# --- other frames -------------------------------------------------------------------------------------


def _receipt_values(receipt: Receipt) -> dict[str, Any]:
    _lifetime(receipt.ttl, receipt.created_at)
    return {
        "version": constants.VERSION,
        "message_id": receipt.message_id,
        "subnet": receipt.subnet,
        "term": receipt.term,
        "sender": receipt.sender,
        "recipient": receipt.recipient,
        "relay": receipt.relay,
        "created_at": receipt.created_at,
        "ttl": receipt.ttl,
        "received_at": receipt.received_at,
        "extensions": write_extensions(receipt.extensions),
    }


def encode_receipt_body(receipt: Receipt) -> bytes:
    """Return the bytes that a receipt's signature covers (before ``labelled``)."""
    return _RECEIPT_BODY.build(_receipt_values(receipt))


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the receipt frame."""
    return _RECEIPT.build({"body": _receipt_values(receipt), "signature": receipt.signature})


def decode_receipt(data: bytes) -> Receipt:
    """Decode a receipt frame.  The signature is not verified here (see validate)."""
    parsed = _RECEIPT.parse(data)
    body = parsed.body
    check_version("receipt", body.version)
    _lifetime(body.ttl, body.created_at)
    extensions = read_extensions(body.extensions)
    return Receipt(
        body.message_id,
        body.subnet,
        body.term,
        body.sender,
        body.recipient,
        body.relay,
        body.created_at,
        body.ttl,
        body.received_at,
        extensions,
        parsed.signature,
    )


def _encode_trail_report(report: TrailReport) -> bytes:
    _trail_length(len(report.trail), constants.MAX_HOPS)
    return _TRAIL_REPORT.build(
        {
            "message_id": report.message_id,
            "trail_count": len(report.trail),
            "trail": [_stamp_values(stamp) for stamp in report.trail],
        }
    )


def _decode_trail_report(data: bytes) -> TrailReport:
    parsed = _TRAIL_REPORT.parse(data)
    _trail_length(parsed.trail_count, constants.MAX_HOPS)
    return TrailReport(parsed.message_id, _read_trail(parsed.trail))


def _encode_refusal(refusal: Refusal) -> bytes:
    reason = refusal.reason.encode("ascii", "replace")
    _reason_text(reason)
    return _REFUSAL.build({"message_id": refusal.message_id, "length": len(reason), "reason": reason})


def _decode_refusal(data: bytes) -> Refusal:
    parsed = _REFUSAL.parse(data)
    return Refusal(parsed.message_id, _reason_text(parsed.reason))


def _encode_descriptor_query(query: DescriptorQuery) -> bytes:
    return _DESCRIPTOR_QUERY.build({"node_id": query.node_id})


def _decode_descriptor_query(data: bytes) -> DescriptorQuery:
    return DescriptorQuery(_DESCRIPTOR_QUERY.parse(data).node_id)


def _encode_descriptor_answer(answer: DescriptorAnswer) -> bytes:
    descriptor = b"" if answer.descriptor is None else encode_descriptor(answer.descriptor)
    if answer.descriptor is not None and answer.descriptor.node_id != answer.node_id:
        refuse(Reason.NODE_MISMATCH, "descriptor answer")
    return _DESCRIPTOR_ANSWER.build(
        {"node_id": answer.node_id, "length": len(descriptor), "descriptor": descriptor}
    )


def _decode_descriptor_answer(data: bytes) -> DescriptorAnswer:
    parsed = _DESCRIPTOR_ANSWER.parse(data)
    if not parsed.length:
        return DescriptorAnswer(parsed.node_id, None)
    descriptor = decode_descriptor(parsed.descriptor)
    if descriptor.node_id != parsed.node_id:
        refuse(Reason.NODE_MISMATCH, "descriptor answer")
    return DescriptorAnswer(parsed.node_id, descriptor)


def _encode_holding_query(query: HoldingQuery) -> bytes:
    return _HOLDING_QUERY.build({"message_id": query.message_id})


def _decode_holding_query(data: bytes) -> HoldingQuery:
    return HoldingQuery(_HOLDING_QUERY.parse(data).message_id)


def _check_holding(holding: int, until: int) -> Holding:
    """Nothing is held until no time; everything else until some (TOM-PURGE-046)."""
    try:
        held = Holding(holding)
    except ValueError:
        raise ProtocolError(Reason.BAD_VALUE, f"holding {holding}") from None
    if (held is Holding.NOTHING) != (until == 0):
        refuse(Reason.BAD_VALUE, f"holding {held.value} until {until}")
    return held


def _encode_holding_answer(answer: HoldingAnswer) -> bytes:
    _check_holding(answer.holding, answer.until)
    return _HOLDING_ANSWER.build(
        {"message_id": answer.message_id, "holding": int(answer.holding), "until": answer.until}
    )


def _decode_holding_answer(data: bytes) -> HoldingAnswer:
    parsed = _HOLDING_ANSWER.parse(data)
    return HoldingAnswer(parsed.message_id, _check_holding(parsed.holding, parsed.until), parsed.until)


FRAME_DECODERS: Final[dict[int, Callable[[bytes], Frame]]] = {
    FrameType.ENVELOPE: decode_envelope,
    FrameType.RECEIPT: decode_receipt,
    FrameType.TRAIL_REPORT: _decode_trail_report,
    FrameType.REFUSAL: _decode_refusal,
    FrameType.DESCRIPTOR_QUERY: _decode_descriptor_query,
    FrameType.DESCRIPTOR_ANSWER: _decode_descriptor_answer,
    FrameType.HOLDING_QUERY: _decode_holding_query,
    FrameType.HOLDING_ANSWER: _decode_holding_answer,
}

FRAME_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    Envelope: encode_envelope,
    Receipt: encode_receipt,
    TrailReport: _encode_trail_report,
    Refusal: _encode_refusal,
    DescriptorQuery: _encode_descriptor_query,
    DescriptorAnswer: _encode_descriptor_answer,
    HoldingQuery: _encode_holding_query,
    HoldingAnswer: _encode_holding_answer,
    UnknownFrame: lambda frame: bytes((frame.type,)) + frame.body,
}


# --- link records -------------------------------------------------------------------------------------


def _chunk(body: bytes) -> Chunk:
    parsed = _CHUNK.parse(body)
    if not parsed.data:
        refuse(Reason.BAD_CHUNK, "no data")
    if not 0 < parsed.total <= constants.MAX_FRAME:
        refuse(Reason.TOO_LARGE, f"frame of {parsed.total} bytes")
    if parsed.offset + len(parsed.data) > parsed.total:
        refuse(Reason.BAD_CHUNK, "data beyond the frame's end")
    return Chunk(parsed.stream, parsed.total, parsed.offset, parsed.data)


def _window(body: bytes) -> Window:
    return Window(_WINDOW.parse(body).limit)


def _ping(body: bytes) -> Ping:
    parsed = _PING.parse(body)
    return Ping(parsed.nonce, parsed.sent_at)


def _pong(body: bytes) -> Pong:
    parsed = _PONG.parse(body)
    return Pong(parsed.nonce, parsed.ping_sent_at, parsed.received_at, parsed.sent_at)


def _rekey(body: bytes) -> Rekey:
    return Rekey(_REKEY.parse(body).generation)


def _close(body: bytes) -> Close:
    return Close(_reason_text(_CLOSE.parse(body).reason))


_RECORD_DECODERS: Final[dict[int, Callable[[bytes], Record]]] = {
    RecordType.CHUNK: _chunk,
    RecordType.WINDOW: _window,
    RecordType.PING: _ping,
    RecordType.PONG: _pong,
    RecordType.REKEY: _rekey,
    RecordType.CLOSE: _close,
}


def decode_record(kind: int, body: bytes) -> Record:
    """Decode one link record's body (TOM-LINK); ``kind`` is its type byte."""
    decoder = _RECORD_DECODERS.get(kind)
    if decoder is not None:
        return decoder(body)
    if kind >= NON_CRITICAL_TYPE:
        return UnknownRecord(kind, body)
    refuse(Reason.UNKNOWN_RECORD, f"type {kind:#04x}")


def decode_records(plaintext: bytes) -> list[Record]:
    """Decode all records of one Noise transport message, in order; there is at least one (TOM-LINK)."""
    records: list[Record] = []
    position = 0
    while position < len(plaintext) or not records:
        # The three bytes of wire.RECORD's head by hand: a test holds them against the declaration.
        length = int.from_bytes(plaintext[position + 1 : position + 3], "big")
        end = position + 3 + length
        if end > len(plaintext):
            refuse(Reason.TRUNCATED, "record")
        records.append(decode_record(plaintext[position], plaintext[position + 3 : end]))
        position = end
    return records


def encode_record(record: Record) -> bytes:
    """Return one link record with its type and length."""
    if isinstance(record, Chunk):
        kind, body = (
            RecordType.CHUNK,
            _CHUNK.build(
                {"stream": record.stream, "total": record.total, "offset": record.offset, "data": record.data}
            ),
        )
    elif isinstance(record, Window):
        kind, body = RecordType.WINDOW, _WINDOW.build({"limit": record.limit})
    elif isinstance(record, Ping):
        kind, body = RecordType.PING, _PING.build({"nonce": record.nonce, "sent_at": record.sent_at})
    elif isinstance(record, Pong):
        kind, body = (
            RecordType.PONG,
            _PONG.build(
                {
                    "nonce": record.nonce,
                    "ping_sent_at": record.ping_sent_at,
                    "received_at": record.received_at,
                    "sent_at": record.sent_at,
                }
            ),
        )
    elif isinstance(record, Rekey):
        kind, body = RecordType.REKEY, _REKEY.build({"generation": record.generation})
    elif isinstance(record, Close):
        text = record.reason.encode("ascii", "replace")
        _reason_text(text)
        kind, body = RecordType.CLOSE, _CLOSE.build({"reason": text})
    else:
        return _RECORD.build({"type": record.type, "length": len(record.body), "body": record.body})
    return _RECORD.build({"type": int(kind), "length": len(body), "body": body})


# --- session messages ---------------------------------------------------------------------------------


def encode_session_message(message: SessionMessage) -> bytes:
    """Return a session message, the payload of an envelope."""
    values: dict[str, Any] = {
        "suite": _SUITE,
        "session_id": message.session_id,
        "ratchet_key": message.ratchet_key,
        "previous_count": message.previous_count,
        "number": message.number,
        "ciphertext": message.ciphertext,
    }
    if isinstance(message, SessionInitial):
        values["session_key"] = message.session_key
        values["ephemeral"] = message.ephemeral
        values["prekey_id"] = message.prekey_id
        values["begun_at"] = message.begun_at
        return _SESSION_INITIAL.build(values)
    return _SESSION_REGULAR.build(values)


def decode_session_message(data: bytes) -> SessionMessage:
    """Decode an envelope's payload.  The ciphertext is not opened here (see session)."""
    if len(data) < 2:
        refuse(Reason.TRUNCATED, "session message")
    if data[0] != _SUITE:
        refuse(Reason.UNKNOWN_KIND, f"suite {data[0]}")
    if data[1] not in {1, 2}:
        refuse(Reason.UNKNOWN_KIND, f"session message type {data[1]}")
    parsed = (_SESSION_INITIAL if data[1] == 1 else _SESSION_REGULAR).parse(data)
    if len(parsed.ciphertext) < 16:
        refuse(Reason.TRUNCATED, "ciphertext")
    if data[1] == 1:
        return SessionInitial(
            parsed.session_id,
            parsed.session_key,
            parsed.ephemeral,
            parsed.prekey_id,
            parsed.begun_at,
            parsed.ratchet_key,
            parsed.previous_count,
            parsed.number,
            parsed.ciphertext,
        )
    return SessionRegular(
        parsed.session_id, parsed.ratchet_key, parsed.previous_count, parsed.number, parsed.ciphertext
    )


# --- stored records -----------------------------------------------------------------------------------


class StoredFormat:
    """A record of the local store: canonical and versioned like everything else, but never on the wire."""

    def __init__(self, name: str, declaration: Struct[Any, Any], cap: int) -> None:
        """Read ``declaration``; ``cap`` is the most bytes a record may have."""
        self._name = name
        self._format = Format(name, declaration, cap)

    def encode(self, **values: object) -> bytes:
        """Return the record's bytes; raises :class:`ProtocolError` when a value is out of range."""
        return self._format.build({"version": constants.VERSION, **values})

    def decode(self, data: bytes) -> SimpleNamespace:
        """Decode a record that fills ``data``; raises :class:`ProtocolError`."""
        parsed: SimpleNamespace = self._format.parse(data)
        check_version(self._name, parsed.version)
        return parsed


def holders(nodes: Iterable[bytes]) -> list[dict[str, bytes]]:
    """NodeIds as the items of a stored list."""
    return [{"node": node} for node in nodes]


def nodes(items: Iterable[Any]) -> tuple[bytes, ...]:
    """The items of a stored list as NodeIds."""
    return tuple(item.node for item in items)


PENDING: Final = StoredFormat("pending message", wire.STORED_PENDING, constants.MAX_FRAME)
INBOX: Final = StoredFormat("inbox message", wire.STORED_INBOX, constants.MAX_FRAME)
SEEN: Final = StoredFormat("seen message", wire.STORED_SEEN, 2 * constants.MAX_HEADER)
CUSTODY: Final = StoredFormat("copy in custody", wire.STORED_CUSTODY, constants.MAX_FRAME + 4_096)
TOMBSTONE: Final = StoredFormat("tombstone", wire.STORED_TOMBSTONE, 2 * constants.MAX_HEADER + 8_192)
VERDICT: Final = StoredFormat("verdict", wire.STORED_VERDICT, 64)
PREKEY: Final = StoredFormat("prekey", wire.STORED_PREKEY, 256)
