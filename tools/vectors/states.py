"""The tables of states in the chapters on delivery and roles, from the data that the code follows."""

from __future__ import annotations

from collections.abc import Iterable

from tom_ref.states import HOME, MESSAGE
from tools.vectors import Content


def table(rows: Iterable[tuple[str, str, str]]) -> str:
    """A state a row, what happens in it, and the state that follows."""
    lines = [f"| {before} | {what} | {after} |" for before, what, after in rows]
    return "\n".join(("| state | what happens | next state |", "| --- | --- | --- |", *lines))


def examples() -> dict[str, str]:
    """Every change of a message's state and of a node's standing."""
    return {
        "message-states": table(
            (state.name.lower(), sign.value, after.name.lower())
            for state, ways in MESSAGE.items()
            for sign, after in ways.items()
        ),
        "home-states": table(
            (standing.value, change.cause, after.value)
            for standing, ways in HOME.items()
            for after, change in ways.items()
        ),
    }


def files() -> dict[str, Content]:
    """None: the states are shown, the vectors of delivery and roles check what comes of them."""
    return {}
