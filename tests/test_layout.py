"""Every layout against construct's own interpreter: the declaration is the one source of truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import construct
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tom_ref import wire
from tom_ref.errors import ProtocolError, Reason
from tom_ref.layout import Layout

DECLARATIONS = sorted(
    (name, value) for name, value in vars(wire).items() if isinstance(value, construct.Struct)
)


def values_for(
    declaration: construct.Struct[Any, Any], draw: Callable[[st.SearchStrategy[Any]], Any]
) -> dict[str, Any]:
    """Random values of a declaration, with lengths and counts that fit."""
    values: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    for renamed in reversed(declaration.subcons):
        name, subcon = renamed.name, renamed.subcon
        while isinstance(subcon, construct.Renamed):
            subcon = subcon.subcon
        if isinstance(subcon, construct.FormatField):
            bits = 8 * subcon.length
            values[name] = lengths.get(name, draw(st.integers(0, 2**bits - 1)))
        elif isinstance(subcon, construct.Const):
            values[name] = subcon.value
        elif isinstance(subcon, construct.Struct):
            values[name] = values_for(subcon, draw)
        elif isinstance(subcon, construct.Array):
            items = [values_for(subcon.subcon, draw) for _ in range(draw(st.integers(0, 2)))]
            values[name] = items
            lengths[repr(subcon.count).split("'")[1]] = len(items)
        elif isinstance(subcon, construct.Bytes) and isinstance(subcon.length, int):
            values[name] = draw(st.binary(min_size=subcon.length, max_size=subcon.length))
        elif isinstance(subcon, construct.Bytes):
            values[name] = draw(st.binary(max_size=20))
            lengths[repr(subcon.length).split("'")[1]] = len(values[name])
        else:
            values[name] = draw(st.binary(max_size=20))
    return values


def plain(value: Any) -> Any:
    """Parsed values of either parser as dictionaries and lists."""
    if isinstance(value, construct.Container):
        return {key: plain(item) for key, item in value.items() if key != "_io"}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "__dict__"):
        return {key: plain(item) for key, item in vars(value).items()}
    return value


@pytest.mark.parametrize(("name", "declaration"), DECLARATIONS, ids=[name for name, _ in DECLARATIONS])
def test_a_layout_is_its_declaration(name: str, declaration: construct.Struct[Any, Any]) -> None:
    """TOM-WIRE-001: same bytes built, same values parsed, same inputs refused as construct itself."""
    layout = Layout(name, declaration)

    @given(st.data(), st.integers(0, 500), st.binary(max_size=4))
    @settings(max_examples=60)
    def check(data: st.DataObject, cut: int, tail: bytes) -> None:
        values = values_for(declaration, data.draw)
        built = declaration.build(values)
        assert layout.build(values) == built
        assert plain(layout.parse(built)) == plain(declaration.parse(built))
        shortened = built[: cut % (len(built) + 1)] + tail
        with_rest = construct.Struct("value" / declaration, "rest" / construct.GreedyBytes)
        try:
            expected = with_rest.parse(shortened)
        except construct.ConstructError:
            expected = None
        try:
            accepted = layout.parse(shortened)
        except ProtocolError:
            assert expected is None or expected.rest
        else:
            assert expected is not None
            assert plain(accepted) == plain(expected.value)

    check()


def test_values_that_do_not_fit_are_refused() -> None:
    """TOM-WIRE-007: lengths and ranges are checked in building, too."""
    extension = Layout("extension", wire.EXTENSION)
    extensions = Layout("extensions", wire.EXTENSIONS)
    stamp = Layout("stamp", wire.STAMP)
    for layout, values in [
        (extension, {"type": 1, "length": 2, "value": b"x"}),
        (extension, {"type": 65_536, "length": 1, "value": b"x"}),
        (extensions, {"count": 1, "items": []}),
        (stamp, {"arrived_at": 1, "next_hop": b"short", "signature": bytes(64)}),
        (stamp, {"arrived_at": -1, "next_hop": bytes(32), "signature": bytes(64)}),
    ]:
        with pytest.raises(ProtocolError) as caught:
            layout.build(values)
        assert caught.value.reason is Reason.BAD_VALUE


def test_an_unknown_part_of_construct_is_refused_at_once() -> None:
    """A declaration that this module can't read never becomes a layout."""
    with pytest.raises(TypeError, match="VarInt"):
        Layout("bad", construct.Struct("number" / construct.VarInt))
