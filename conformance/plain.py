"""Values of ``tom_ref`` as JSON and back: bytes as hex, integers of 2^53 and more as decimal strings.

``plain`` names the class of a structure in the member ``is``; ``revive`` rebuilds it.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, cast

import attrs

from conformance.protocol import SAFE_INTEGER
from tom_ref import effects, frames, inputs, term_frames
from tom_ref.errors import ProtocolError, Reason

_MODULES: Final = (frames, term_frames, inputs, effects)


def plain(value: object) -> Any:
    """A value as JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if attrs.has(type(value)):
        kind = cast("type[attrs.AttrsInstance]", type(value))
        fields = {field.name: plain(getattr(value, field.name)) for field in attrs.fields(kind)}
        return {"is": kind.__name__} | fields
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < SAFE_INTEGER else str(int(value))
    if isinstance(value, enum.StrEnum):
        return value.value
    return value


@cache
def _class(name: str) -> type[Any]:
    for module in _MODULES:
        found = getattr(module, name, None)
        if isinstance(found, type) and attrs.has(found):
            return attrs.resolve_types(found)
    raise ProtocolError(Reason.BAD_VALUE, f"no structure {name[:40]!r}")


def revive(value: Any, hint: Any = object) -> Any:
    """The value that JSON stands for, where ``hint`` is the type expected; ``bad_value`` if there is none."""
    try:
        return _revive(value, hint)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProtocolError(Reason.BAD_VALUE, f"{type(error).__name__}: {error}") from None


def _revive(value: Any, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if value is None:
        return None
    if isinstance(value, Mapping):
        kind = _class(value["is"])
        fields = attrs.fields(kind)
        return kind(**{one.name: _revive(value[one.name], one.type) for one in fields if one.name in value})
    if origin in {types.UnionType, typing.Union}:
        hint = next(item for item in typing.get_args(hint) if item is not type(None))
        return _revive(value, hint)
    if isinstance(value, list):
        inner = typing.get_args(hint)[0] if origin is tuple else object
        return tuple(_revive(item, inner) for item in value)
    if hint is bytes:
        return bytes.fromhex(value)
    if hint is int:
        return int(value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint(value)
    return value
