"""Values of ``tom_ref`` as JSON and back: bytes as hex, integers of 2^53 and more as decimal strings.

``plain`` names the class of a structure in the member ``is``; ``revive`` rebuilds it.
"""

from __future__ import annotations

import enum
import types
import typing
from functools import cache
from typing import Any, Final, cast

import attrs

from conformance.protocol import SAFE_INTEGER
from tom_ref import effects, frames, inputs, term_frames
from tom_ref.errors import ProtocolError, Reason

_MODULES: Final = (frames, term_frames, inputs, effects)


def plain(value: object) -> Any:
    """A value as JSON."""
    kind: Any = type(value)
    if kind is bytes:
        return cast("bytes", value).hex()
    if kind is int:
        number = cast("int", value)
        return number if -SAFE_INTEGER < number < SAFE_INTEGER else str(number)
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    names = _field_names(kind)
    if names is not None:
        return {"is": kind.__name__} | {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return plain(int(value))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, enum.StrEnum):
        return value.value
    return value


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...] | None:
    """The names of a structure's fields; ``None`` for what is no structure."""
    return tuple(one.name for one in attrs.fields(kind)) if attrs.has(kind) else None


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
    if value is None:
        return None
    if isinstance(value, dict):
        kind, fields = _members(value["is"])
        return kind(**{name: _revive(value[name], inner) for name, inner in fields if name in value})
    if hint is bytes:
        return bytes.fromhex(value)
    if hint is int:
        return int(value)
    if isinstance(value, list):
        inner = _item(hint)
        return tuple(_revive(item, inner) for item in value)
    return hint(value) if isinstance(hint, type) and issubclass(hint, enum.Enum) else value


@cache
def _members(name: str) -> tuple[type[Any], tuple[tuple[str, Any], ...]]:
    """A structure with its fields and what each of them holds when it isn't ``None``."""
    kind = _class(name)
    return kind, tuple((one.name, _present(one.type)) for one in attrs.fields(kind))


def _present(hint: Any) -> Any:
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        return next(item for item in typing.get_args(hint) if item is not type(None))
    return hint


@cache
def _item(hint: Any) -> Any:
    """What a tuple has as its items."""
    return _present(typing.get_args(hint)[0]) if typing.get_origin(hint) is tuple else object
