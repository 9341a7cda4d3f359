"""Replays of ``test-vectors/wire/``: decode, show the fields, rebuild."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.vector_replay import Replay
from tom_ref import codec
from tools.vectors.wire import plain


def _decoding(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> Replay:
    def replay(given: dict[str, Any]) -> dict[str, Any]:
        data = bytes.fromhex(given["bytes"])
        value = decode(data)
        assert encode(value) == data
        return {"value": plain(tuple(value) if isinstance(value, list) else value)}

    return replay


def _encode_records(records: list[Any]) -> bytes:
    return b"".join(codec.encode_record(record) for record in records)


REPLAY: dict[str, Replay] = {
    "wire-extensions": _decoding(codec.decode_extensions, codec.encode_extensions),
    "wire-header": _decoding(codec.decode_header, codec.encode_header),
    "wire-frame": _decoding(codec.decode_frame, codec.encode_frame),
    "wire-descriptor": _decoding(codec.decode_descriptor, codec.encode_descriptor),
    "wire-handshake-payload": _decoding(codec.decode_handshake_payload, codec.encode_handshake_payload),
    "wire-records": _decoding(codec.decode_records, _encode_records),
    "wire-session-message": _decoding(codec.decode_session_message, codec.encode_session_message),
}
