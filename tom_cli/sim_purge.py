"""``tom sim purge`` and ``tom sim idle``: what a network keeps of its messages in a day, and in a month."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from attrs import asdict
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tom_cli.show import print_table
from tom_cli.sim import (
    FAILED,
    MOST_NODES,
    AsJson,
    LiarCount,
    Seed,
    SimulationUsageError,
    console_for,
    print_json,
    progress_bar,
    seeds_of,
)
from tom_sim import campaign
from tom_sim.idle import SETTLED, idle
from tom_sim.promises import PromiseError
from tom_sim.purging import KINDS, PurgeRow, PurgeSetup, play, run_one
from tom_sim.simulation import BrokenPromiseError

_SUMS: Final = (
    "sent",
    "delivered",
    "expired",
    "copies",
    "by_receipt",
    "by_expiry",
    "receipts",
    "forgotten",
    "crashes",
    "away",
    "left",
    "wrong",
    "corrected",
    "liars",
    "steps",
    "frames",
)
_WORDS: Final = {
    "copies": "copies kept",
    "by_receipt": "erased by receipt",
    "by_expiry": "erased by expiry",
    "receipts": "receipts kept",
    "forgotten": "receipts erased",
    "away": "away for hours",
    "left": "left for good",
    "wrong": "starts with a wrong clock",
    "corrected": "set right by neighbours",
}


def purge(
    *,
    seed: Seed = 0,
    seeds: Annotated[
        str | None, Parameter(help="Many days instead of one: from one seed up to before another, 0-1000.")
    ] = None,
    nodes: Annotated[int, Parameter(help="How many nodes, 3 to 64. Default: 6")] = 6,
    liars_: LiarCount = None,
    liar_kind: Annotated[str | None, Parameter(help=f"What they do: {', '.join(sorted(KINDS))}.")] = None,
    scheduler: Annotated[
        str,
        Parameter(
            help="With --seeds: local for a Dask cluster on this computer, none for plain processes, "
            "or an address. Default: none"
        ),
    ] = campaign.PLAIN,
    workers: Annotated[int, Parameter(help="With --seeds: how many processes. Default: 2")] = 2,
    out: Annotated[Path | None, Parameter(help="With --seeds: write a row for each, as CSV.")] = None,
    json_: AsJson = False,
) -> int:
    """Play a day: recipients away for hours, roles that rotate, a liar that keeps everything and replays it.

    After each step every promise of the chapter Purge is checked; at the end no honest node may have a trace
    of any message. Exit code 1 says that a promise was broken, and how to see it again.
    """
    if not 3 <= nodes <= MOST_NODES:
        raise SimulationUsageError(f"--nodes is from 3 to {MOST_NODES}.")
    if liars_ is not None and not 0 <= liars_ <= nodes - 2:
        raise SimulationUsageError("--liars leaves at least two honest nodes.")
    if liar_kind is not None and liar_kind not in KINDS:
        raise SimulationUsageError(f"--liar-kind is one of: {', '.join(sorted(KINDS))}.")
    if not 1 <= workers <= 1_024:
        raise SimulationUsageError("--workers is from 1 to 1024.")
    if seeds is None and out is not None:
        raise SimulationUsageError("--out is for --seeds.")
    setup = PurgeSetup(seed, nodes=nodes, liars=liars_, liar_kind=liar_kind)
    if seeds is not None:
        return _campaign(setup, seeds_of(seeds), scheduler, workers, out, json_=json_)
    console = console_for(json_=json_)
    try:
        with progress_bar(console) as bar:
            task = bar.add_task(f"a day of {nodes} nodes", total=1.0)
            row = play(setup, lambda share: bar.update(task, completed=share))
    except BrokenPromiseError as error:
        if json_:
            print_json(broken=error.promise, story=error.text, command=setup.command())
        else:
            console.print(error.text, markup=False, style="red")
        return FAILED
    if json_:
        print_json(**asdict(row), command=setup.command())
    else:
        _show_day(console, setup, row)
    return 0


def _show_day(console: Console, setup: PurgeSetup, row: PurgeRow) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("network", f"{row.nodes} nodes, {row.hours:.1f} virtual hours in {row.seconds:.1f} s")
    table.add_row("went wrong", f"{row.crashes} crashes, {row.away} away for hours, {row.left} left for good")
    table.add_row("clocks", f"{row.wrong} starts with a wrong one, {row.corrected} set right by neighbours")
    table.add_row("lied", str(row.liars))
    table.add_row("terms", f"{row.terms} ended")
    table.add_row("messages", f"{row.sent} sent, {row.delivered} delivered, {row.expired} expired")
    erased = f"{row.by_receipt} erased for a receipt, {row.by_expiry} at their expiry"
    table.add_row("copies", f"{row.copies} kept, {erased}")
    table.add_row("receipts", f"{row.receipts} kept, {row.forgotten} erased at the end of retention")
    table.add_row("steps", f"{row.steps:,}, each checked; {row.searches} times all stores searched")
    table.add_row("promises", "[bold green]all held[/], nothing is left")
    table.add_row("digest", row.digest[:16])
    print_table(console, table)
    console.print(f"To see it again: {setup.command()}", style="dim", soft_wrap=True)


def _campaign(
    like: PurgeSetup, seeds: tuple[int, int], scheduler: str, workers: int, out: Path | None, *, json_: bool
) -> int:
    console = console_for(json_=json_)
    rows: list[PurgeRow] = []
    started = time.monotonic()
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days, {task.fields[broken]} broken"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=seeds[1] - seeds[0], broken=0)
        what = campaign.setups(*seeds, like)
        for row in campaign.run(what, scheduler=scheduler, workers=workers, one=run_one):
            rows.append(row)
            bar.update(task, advance=1, broken=sum(bool(one.broken) for one in rows))
    if out is not None:
        campaign.write_csv(out, rows)
    broken = [row for row in rows if row.broken]
    sums = _sums(rows, time.monotonic() - started)
    if json_:
        print_json(**sums, broken=[asdict(row) for row in broken])
    else:
        _show_campaign(console, sums, len(rows) - len(broken))
        for row in broken[:3]:
            console.print(f"\n{row.story}", markup=False, style="red")
    return FAILED if broken else 0


def _sums(rows: Sequence[PurgeRow], seconds: float) -> dict[str, Any]:
    sums: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in _SUMS}
    hours = round(sum(row.hours for row in rows), 1)
    return {"seeds": len(rows), **sums, "hours": hours, "seconds": round(seconds, 1)}


def _show_campaign(console: Console, sums: dict[str, Any], kept: int) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right")
    for name, value in sums.items():
        table.add_row({**_WORDS, "hours": "virtual hours"}.get(name, name), f"{value:,}")
    print_table(console, table)
    colour = "green" if kept == sums["seeds"] else "red"
    console.print(f"[bold {colour}]{kept} of {sums['seeds']} days kept every promise[/]")


def idle_month(
    *,
    seed: Seed = 0,
    days: Annotated[int, Parameter(help="How many days, 5 to 366. Default: 30")] = 30,
    nodes: Annotated[int, Parameter(help="How many nodes, 2 to 16. Default: 4")] = 4,
    json_: AsJson = False,
) -> int:
    """Play a network that is used for a day and then idle: its stores must not grow with its age.

    Exit code 1 says that a store grew, or kept something of a message.
    """
    if not SETTLED < days <= 366 or not 2 <= nodes <= 16:
        raise SimulationUsageError("--days is from 5 to 366, --nodes from 2 to 16.")
    console = console_for(json_=json_)
    started = time.monotonic()
    try:
        with progress_bar(console) as bar:
            task = bar.add_task(f"{days} days of {nodes} nodes", total=1.0)
            month = idle(seed, days, nodes, lambda share: bar.update(task, completed=share))
    except PromiseError as error:
        command = f"tom sim idle --seed {seed} --days {days} --nodes {nodes}"
        if json_:
            print_json(broken=error.promise, story=error.what, command=command)
        else:
            console.print(f"{error}\n\nTo see it again:\n    {command}", markup=False, style="red")
        return FAILED
    if json_:
        print_json(**asdict(month))
        return 0
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("day", justify="right")
    for index in range(nodes):
        table.add_column(f"node {index}", justify="right")
    for day, sizes in enumerate(month.days, 1):
        if day <= SETTLED + 1 or day % 5 == 0 or day == days:
            table.add_row(str(day), *(f"{size:,}" for size in sizes))
    print_table(console, table)
    spent = f"{month.terms} terms in {time.monotonic() - started:.1f} s"
    console.print(
        f"[bold green]no store grew[/], in bytes; {month.messages} messages on the first day, {spent}"
    )
    return 0
