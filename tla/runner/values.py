"""TLA+ values as TLC prints them, as Python values and as ITF JSON.

=================  =======================  ==========================
TLA+               Python                   ITF
=================  =======================  ==========================
``TRUE``           ``bool``                 ``true``
``-3``             ``int``                  ``{"#bigint": "-3"}``
``"a"``, ``m1``    ``str``                  ``"a"``
``{1, 2}``         ``frozenset``            ``{"#set": [...]}``
``<<1, 2>>``       ``tuple``                ``{"#tup": [...]}``
``[a |-> 1]``      :class:`Record`          ``{"a": ...}``
``(1 :> 2 @@ ..)`` :class:`Function`        ``{"#map": [[k, v], ...]}``
=================  =======================  ==========================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from frozendict import frozendict

from tla.runner.errors import Exit, RunnerError

Value: TypeAlias = Any
"""One of the Python values in the table above."""


class Record(frozendict):  # type: ignore[type-arg]
    """A record: field names to values."""


class Function(frozendict):  # type: ignore[type-arg]
    """A function: arguments to values."""


_TOKEN = re.compile(
    r"\s*(?P<token>\|->|:>|@@|<<|>>|\.\.|[\[\]{}(),]|\"(?:[^\"\\]|\\.)*\"|-?\d+(?![A-Za-z_0-9])|[A-Za-z0-9_]+)"
)


class _Tokens:
    def __init__(self, text: str) -> None:
        self._tokens = list(_split(text))
        self._position = 0

    def peek(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if token is None or (expected is not None and token != expected):
            raise RunnerError(f"not a TLA+ value: expected {expected or 'more'}, found {token}", Exit.BROKEN)
        self._position += 1
        return token


def _split(text: str) -> Iterator[str]:
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise RunnerError(f"not a TLA+ value: {text[position : position + 40]!r}", Exit.BROKEN)
        yield match["token"]
        position = match.end()


def parse_value(text: str) -> Value:
    """Parse one printed value; :class:`RunnerError` on anything else."""
    tokens = _Tokens(text)
    value = _value(tokens)
    if tokens.peek() is not None:
        raise RunnerError(f"not a TLA+ value: {tokens.peek()!r} after the end", Exit.BROKEN)
    return value


def _value(tokens: _Tokens) -> Value:
    token = tokens.take()
    if token == "{":
        return frozenset(_list(tokens, "}"))
    if token == "<<":
        return tuple(_list(tokens, ">>"))
    if token == "[":
        return _record(tokens)
    if token == "(":
        return _function(tokens)
    if token[0] == '"':
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), token[1:-1])
    if token in ("TRUE", "FALSE"):
        return token == "TRUE"
    if re.fullmatch(r"-?\d+", token):
        if tokens.peek() == "..":
            tokens.take()
            return frozenset(range(int(token), int(tokens.take()) + 1))
        return int(token)
    if re.fullmatch(r"[A-Za-z0-9_]+", token):
        return token
    raise RunnerError(f"not a TLA+ value: {token!r}", Exit.BROKEN)


def _list(tokens: _Tokens, closing: str) -> list[Any]:
    items: list[Any] = []
    while tokens.peek() != closing:
        if items:
            tokens.take(",")
        items.append(_value(tokens))
    tokens.take(closing)
    return items


def _record(tokens: _Tokens) -> Record:
    fields: dict[str, Any] = {}
    while tokens.peek() != "]":
        if fields:
            tokens.take(",")
        name = tokens.take()
        tokens.take("|->")
        fields[name] = _value(tokens)
    tokens.take("]")
    return Record(fields)


def _function(tokens: _Tokens) -> Function:
    entries: dict[Any, Any] = {}
    while tokens.peek() != ")":
        if entries:
            tokens.take("@@")
        argument = _value(tokens)
        tokens.take(":>")
        entries[argument] = _value(tokens)
    tokens.take(")")
    return Function(entries)


def sort_key(value: Value) -> tuple[Any, ...]:
    """A total order over values of all shapes, so that sets and functions print the same every time."""
    if isinstance(value, bool):
        return (0, value)
    if isinstance(value, int):
        return (1, value)
    if isinstance(value, str):
        return (2, value)
    if isinstance(value, tuple):
        return (3, len(value), tuple(sort_key(item) for item in value))
    if isinstance(value, frozenset):
        return (4, len(value), tuple(sorted(sort_key(item) for item in value)))
    assert isinstance(value, frozendict)
    return (5, len(value), tuple(sorted((sort_key(k), sort_key(v)) for k, v in value.items())))


def render(value: Value) -> str:
    """The value in TLA+ notation, in a fixed order."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "<<" + ", ".join(map(render, value)) + ">>"
    if isinstance(value, frozenset):
        return "{" + ", ".join(render(item) for item in sorted(value, key=sort_key)) + "}"
    if isinstance(value, Record):
        return "[" + ", ".join(f"{name} |-> {render(item)}" for name, item in value.items()) + "]"
    assert isinstance(value, Function)
    entries = sorted(value.items(), key=lambda entry: sort_key(entry[0]))
    return "(" + " @@ ".join(f"{render(key)} :> {render(item)}" for key, item in entries) + ")"


def to_itf(value: Value) -> Value:
    """The value as the objects ``itf_py`` serialises; sets and functions keep their order afterwards."""
    if isinstance(value, Record):
        record_type = NamedTuple("Rec", [(name, object) for name in sorted(value)])  # type: ignore[misc]
        return record_type(**{name: to_itf(item) for name, item in value.items()})
    if isinstance(value, Function):
        return frozendict({to_itf(key): to_itf(item) for key, item in value.items()})
    if isinstance(value, frozenset):
        return frozenset(to_itf(item) for item in value)
    if isinstance(value, tuple):
        return tuple(to_itf(item) for item in value)
    return value


def canonical(document: Value) -> Value:
    """ITF JSON with the elements of sets and maps sorted, so that equal values are equal texts."""
    if isinstance(document, list):
        return [canonical(item) for item in document]
    if isinstance(document, Mapping):
        if "#set" in document:
            return {"#set": sorted((canonical(item) for item in document["#set"]), key=repr)}
        if "#map" in document:
            return {
                "#map": sorted(
                    ([canonical(k), canonical(v)] for k, v in document["#map"]), key=lambda e: repr(e[0])
                )
            }
        return {name: canonical(item) for name, item in document.items()}
    return document
