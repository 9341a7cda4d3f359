"""The adapter of the reference implementation: ``python -m conformance.adapters.python``.

It answers every command of the chapter *Conformance* with ``tom_ref``, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

from conformance import SPEC_VERSION
from conformance.adapters.computations import computation
from conformance.adapters.nodes import Nodes
from conformance.plain import plain, revive
from conformance.protocol import Kind, Reply, reply_line
from tom_ref import codec, constants, term_codec
from tom_ref.errors import ProtocolError
from tom_ref.inputs import CommandError

FORMATS: Final[Mapping[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]]] = {
    "extensions": (codec.decode_extensions, codec.encode_extensions),
    "header": (codec.decode_header, codec.encode_header),
    "frame": (codec.decode_frame, codec.encode_frame),
    "descriptor": (codec.decode_descriptor, codec.encode_descriptor),
    "handshake-payload": (codec.decode_handshake_payload, codec.encode_handshake_payload),
    "records": (
        codec.decode_records,
        lambda records: b"".join(codec.encode_record(record) for record in records),
    ),
    "session-message": (codec.decode_session_message, codec.encode_session_message),
    "term-record": (term_codec.decode_record, term_codec.encode_record),
    "block-header": (term_codec.decode_block_header, term_codec.encode_block_header),
    "evidence": (term_codec.decode_evidence, term_codec.encode_evidence),
    "invitation": (term_codec.decode_invitation, term_codec.encode_invitation),
}
"""What ``codec.decode`` and ``codec.encode`` know, by the name of the format."""

FEATURES: Final = (
    "balance.*",
    "codec.*",
    "crypto.*",
    "delivery.*",
    "hello",
    "identity.*",
    "link.*",
    "node.*",
    "purge.*",
    "reset",
    "roles.*",
    "session.*",
    "vitals.*",
    "vrf.*",
)


class Adapter:
    """Answers requests; what a port in another language has as its adapter."""

    def __init__(self) -> None:
        self.nodes = Nodes()
        self.features: tuple[str, ...] = FEATURES

    def handle(self, command: str, given: Any) -> Reply:
        """The reply to one request; nothing is raised."""
        try:
            value = self.answer(command, given)
        except ProtocolError as error:
            return Reply(Kind.REJECT, error.reason.value)
        except CommandError as error:
            return Reply(Kind.REJECT, error.reason.value)
        except NotImplementedError as error:
            return Reply(Kind.UNSUPPORTED, str(error))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is an answer, too
            traceback.print_exc(file=sys.stderr)
            return Reply(Kind.ERROR, f"{type(error).__name__}: {error}")
        return Reply(Kind.OK, value)

    def answer(self, command: str, given: Any) -> Any:
        """The result of a command; raises what :meth:`handle` turns into replies."""
        if command == "hello":
            return self.hello()
        if command == "reset":
            self.nodes.clear()
            return {}
        if command == "bye":
            return {}
        group = command.partition(".")[0]
        if command == "codec.decode":
            return self.decode(given["format"], bytes.fromhex(given["bytes"]))
        if command == "codec.encode":
            return self.encode(given["format"], given["value"])
        if group == "node":
            return self.nodes.answer(command, given)
        known = computation(command)
        if known is None or group == "wire":
            raise NotImplementedError(f"no command {command}")
        return known(given)

    def hello(self) -> dict[str, Any]:
        """What this adapter is and can do."""
        return {
            "spec": SPEC_VERSION,
            "levels": [0, 1, 2, 3, 4, 5, 6, 7],
            "features": list(self.features),
            "limits": {"max_frame": constants.MAX_FRAME},
            "port": {"name": "tom_ref", "version": "0.1.0.dev0", "commit": ""},
        }

    def decode(self, name: str, data: bytes) -> dict[str, Any]:
        """The fields of a value."""
        return {"value": plain(self.format(name)[0](data))}

    def encode(self, name: str, value: Any) -> dict[str, Any]:
        """The bytes of a value."""
        return {"bytes": self.format(name)[1](revive(value)).hex()}

    def format(self, name: str) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        """How a format is read and written."""
        if name not in FORMATS:
            raise NotImplementedError(f"no format {name}")
        return FORMATS[name]


def serve(adapter: Adapter, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer line by line until ``bye`` or the end."""
    for line in requests:
        request = json.loads(line)
        reply = adapter.handle(request["cmd"], request["p"])
        replies.write(reply_line(request["id"], reply))
        replies.flush()
        if request["cmd"] == "bye":
            break


def private_stdout() -> BinaryIO:
    """A copy of stdout for replies alone; whatever else is printed from now on goes to stderr."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def main() -> int:
    """The command."""
    serve(Adapter(), sys.stdin.buffer, private_stdout())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
