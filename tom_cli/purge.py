"""What people see of the network's forgetting: who still holds what of a message, and why."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from tom_cli.show import short
from tom_cli.subnet import duration

WHY = {
    "nothing": "it has nothing, or nothing that it tells this node",
    "copy": "it keeps the message until its receipt comes, or its lifetime ends",
    "receipt": "the receipt answers whoever still offers the message, until nobody can",
    "passage": "it handed the message on, and waits for the receipt to pass it back",
}
"""Why a node holds what it says it holds (TOM-PURGE-034, 035, 047)."""


def render(holdings: list[dict[str, Any]], now: int) -> Table:
    """One line a node: what it holds, for how long at most, and why."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("node", "holds", "gone in"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold", style="dim")
    for place, held in enumerate(holdings):
        name = Text(short(held["node"]))
        if place == 0:
            name.append(" (this node)", style="dim")
        left = duration(held["until"] - now) if held["until"] else "–"
        style = "dim" if held["holding"] == "nothing" else "green"
        table.add_row(name, Text(held["holding"], style=style), left, WHY[held["holding"]])
    return table


def explained(holdings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same for programs, each with its reason."""
    return [held | {"why": WHY[held["holding"]]} for held in holdings]
