"""The objects that runner and adapter exchange, one JSON object a line (TOM-CONF-001 to 012).

``schemas/adapter-1.json`` describes the same; ``tests/test_conformance_protocol.py`` holds one against the
other.  Here it is written out because a run checks thousands of replies.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

MAX_LINE: Final = 8 * 1024 * 1024
"""The longest line, its line feed not counted."""

TIMEOUT: Final = 5.0
"""Seconds that an adapter has for an answer."""

MAX_RESTARTS: Final = 10
"""How often a run starts an adapter again before it gives up."""

SAFE_INTEGER: Final = 2**53
"""Integers from here on travel as decimal strings."""


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Kind(enum.StrEnum):
    """What a reply says."""

    OK = "ok"
    REJECT = "reject"
    IGNORE = "ignore"
    UNSUPPORTED = "unsupported"
    ERROR = "error"


@frozen
class Reply:
    """One answer of an adapter."""

    kind: Kind
    value: Any = None
    """``ok``: the result.  ``reject``: the reason code.  ``unsupported`` and ``error``: a text."""


class BadReplyError(Exception):
    """A line that is no reply."""


def request_line(number: str, command: str, parameters: Mapping[str, Any]) -> bytes:
    """One request, with its line feed."""
    return _line({"id": number, "cmd": command, "p": parameters})


def reply_line(number: Any, reply: Reply) -> bytes:
    """One reply, with its line feed; for adapters."""
    value: Any = reply.value
    if reply.kind is Kind.REJECT:
        value = {"code": reply.value}
    elif reply.kind is Kind.IGNORE:
        value = True
    elif reply.kind is Kind.UNSUPPORTED:
        value = {"reason": reply.value}
    elif reply.kind is Kind.ERROR:
        value = {"message": reply.value, "trace": ""}
    return _line({"id": number, reply.kind.value: value})


def _line(content: Any) -> bytes:
    return _ENCODER.encode(content).encode() + b"\n"


def _text(value: Any, *names: str, optional: str = "") -> bool:
    allowed = {*names, optional} if optional else set(names)
    return (
        isinstance(value, dict)
        and set(names) <= value.keys() <= allowed
        and all(isinstance(item, str) for item in value.values())
    )


def parse_reply(line: bytes) -> tuple[Any, Reply]:
    """The id and the reply in one line (without its line feed); raises :class:`BadReplyError`."""
    try:
        content = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadReplyError(f"no JSON object: {error}") from None
    if not isinstance(content, dict) or "id" not in content:
        raise BadReplyError("no object with an id")
    number = content.pop("id")
    if len(content) != 1:
        raise BadReplyError(f"exactly one of ok, reject, ignore, unsupported, error, not {sorted(content)}")
    name, value = content.popitem()
    if name == Kind.OK and isinstance(value, dict):
        return number, Reply(Kind.OK, value)
    if name == Kind.REJECT and _text(value, "code"):
        return number, Reply(Kind.REJECT, value["code"])
    if name == Kind.IGNORE and value is True:
        return number, Reply(Kind.IGNORE)
    if name == Kind.UNSUPPORTED and _text(value, "reason"):
        return number, Reply(Kind.UNSUPPORTED, value["reason"])
    if name == Kind.ERROR and _text(value, "message", optional="trace"):
        return number, Reply(Kind.ERROR, value["message"])
    raise BadReplyError(f"not the form of {name!r}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name twice in one object")
    return content


def _whole(digits: str) -> int:
    number = int(digits)
    if not -SAFE_INTEGER < number < SAFE_INTEGER:
        raise BadReplyError("an integer of 2^53 and more that is no string")
    return number


def _refuse_fraction(digits: str) -> Any:
    finite = math.isfinite(float(digits))
    raise BadReplyError("a number with a fraction" if finite else "a number out of range")


_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_float=_refuse_fraction,
    parse_int=_whole,
    object_pairs_hook=_unique,
)
