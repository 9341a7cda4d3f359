"""What people see of a subnet: its status as a table, an invitation as text and QR code."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import segno
import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tom_cli.show import short
from tom_ref.drivers import control
from tom_ref.drivers.errors import ControlError

REFRESH: Final = 0.5
"""s: how often a status on the screen is asked for anew."""

_STANDINGS: Final = {
    "none": "no home: tom node founds one, tom join joins one",
    "joining": "joining: waiting for the inviter",
    "guest": "guest: can send and receive; a member with a coming record",
    "member": "member",
    "moving": "moving: the quorum is gone; it left for a child that isn't founded yet",
}
_ROLES: Final = {"relay": "green", "validator": "cyan", "guardian": "magenta"}


async def request(identity: Path, **what: object) -> dict[str, Any]:
    """Ask the running node of an identity one thing; raises :class:`ControlError` when none runs."""
    async with (
        control.connect(control.socket_path(identity)) as stream,
        aclosing(control.ask(stream, **what)) as answers,
    ):
        async for answer in answers:
            return answer
    raise ControlError("The node ended before it had answered.")


# --- status ---------------------------------------------------------------------------------------------


def duration(milliseconds: int) -> str:
    """A time to come, for people."""
    seconds = max(0, milliseconds) / 1000
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02} min"


def size(count: int) -> str:
    """A balance in bytes, for people: with its sign, and no more digits than one looks at."""
    sign, amount = ("-" if count < 0 else "+" if count else ""), float(abs(count))
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{sign}{amount:.0f} {unit}" if unit == "B" else f"{sign}{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def render_status(status: dict[str, Any], now: int) -> RenderableType:
    """The whole status: what this node is, the term, the roster with everybody's roles."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("this node", f"[bold]{short(status['id'])}[/]")
    facts.add_row("standing", _STANDINGS[status["standing"]])
    if status["address"]:
        facts.add_row("listens at", status["address"].rpartition("@")[2])
    facts.add_row("links", str(len(status["links"])))
    if status["subnet"] is None:
        return facts
    child = ", a child whose first record isn't final yet" if status["provisional"] else ""
    facts.add_row("subnet", f"{status['subnet'][:16]}…{child}")
    facts.add_row("term", f"{status['term']}, seed {status['seed'][:16]}…")
    facts.add_row("vote", _vote(status, now))
    return Group(facts, Text(), _roster(status))


def _vote(status: dict[str, Any], now: int) -> str:
    slot = status["slot"]
    if slot < 1:
        first = status["start"] + status["slot_ms"] - now
        return f"on the next record begins in {duration(first)}; {status['quorum']} votes needed"
    voted = status["last_slot_voted"]
    own = f"this node voted in slot {voted}" if voted else "this node has not voted"
    return f"on the next record: slot {slot}, {own}; {status['quorum']} votes needed"


def _roster(status: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column, justify in (("member", "left"), ("roles", "left"), ("weight", "right"), ("balance", "right")):
        table.add_column(column, no_wrap=True, justify=justify)  # type: ignore[arg-type]
    table.add_column("presence")
    for member in status["members"]:
        own = member["id"] == status["id"]
        name = Text(short(member["id"]), style="bold" if own else "")
        roles = Text()
        for role in member["roles"]:
            roles.append(f"{role} ", style=_ROLES[role])
        if not member["roles"]:
            roles.append("none yet" if member["admitted"] else "none", style="dim")
        table.add_row(name, roles, str(member["weight"]), size(member["balance"]), _presence(member, own=own))
    return table


def _presence(member: dict[str, Any], *, own: bool) -> Text:
    if own:
        return Text("this node", style="dim")
    seen = "linked" if member["linked"] else "heard of" if member["heard"] else "not heard of in this term"
    away = f", absent for {member['absent']} terms" if member["absent"] else ""
    return Text(seen + away, style="" if member["linked"] else "dim" if member["heard"] else "yellow")


def render_health(status: dict[str, Any]) -> RenderableType:
    """The vital signs of the present record, and how balances are distributed."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    if status["subnet"] is None:
        facts.add_row("vital signs", "none without a home")
        return facts
    members = status["members"]
    active = sum(member["absent"] == 0 for member in members)
    facts.add_row("members", f"{active} of {len(members)} were there in the last term")
    vitals = status["vitals"]
    if vitals is None:
        facts.add_row("vital signs", "none yet: they come with the next record")
    else:
        facts.add_row("delivered", f"{vitals['delivery_permille'] / 10:.1f} % of messages")
        facts.add_row(
            "survival", f"{vitals['survival_permille'] / 10:.1f} % of those that lost their first way"
        )
        facts.add_row("reports", str(vitals["reports"]))
        facts.add_row("forks", str(vitals["forks"]))
        facts.add_row("time", _histogram(vitals["latency_permille"]))
    balances = sorted(member["balance"] for member in members)
    quartiles = [balances[(len(balances) - 1) * part // 4] for part in range(5)]
    facts.add_row(
        "balances", " · ".join(size(balance) for balance in quartiles) + "  (least, quartiles, most)"
    )
    facts.add_row("pot", size(status["pot"]))
    facts.add_row("relays", f"{status['relay_share']} twelfths of the pool")
    facts.add_row("custody", f"{status['custody']} copies for an absent recipient")
    return facts


def _histogram(permille: list[int]) -> str:
    names = ("≤0.1s", "≤0.3s", "≤1s", "≤3s", "≤10s", "≤30s", "≤100s", "more")
    bars = "▁▂▃▄▅▆▇█"
    return "  ".join(
        f"{name} {bars[min(7, share * 8 // 1001)]}" for name, share in zip(names, permille, strict=True)
    )


async def watch_status(
    console: Console, ask: Callable[[], Any], render: Callable[[dict[str, Any], int], RenderableType]
) -> None:
    """Show a status that updates until it is interrupted."""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            status = (await ask())["status"]
            live.update(render(status, time.time_ns() // 1_000_000), refresh=True)
            await trio.sleep(REFRESH)


# --- invitations ----------------------------------------------------------------------------------------


def qr_code(text: str) -> str:
    """An invitation as a QR code of block characters; capitals take less room in one (TOM-ROLES-120)."""
    drawn = io.StringIO()
    segno.make(text.upper(), error="m", micro=False).terminal(out=drawn, border=2, compact=True)
    return drawn.getvalue().rstrip("\n")
