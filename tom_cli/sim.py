"""``tom sim``: real nodes in virtual time, with faults and liars, every promise checked after every step."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

from attrs import asdict
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tom_cli import experiments
from tom_cli.show import print_table
from tom_ref.errors import LocalError
from tom_ref.timing import Timing
from tom_sim import campaign, faults, liars
from tom_sim.campaign import Row
from tom_sim.simulation import HOUR, MESSAGES, BrokenPromiseError, Outcome, Setup, play

FAILED: Final = 1
USAGE: Final = 2
MOST_NODES: Final = 64
MOST_MESSAGES: Final = 100_000

app = App(
    name="sim",
    help="Simulate a network: real nodes in virtual time, with faults and liars.",
    help_epilogue="\n".join(
        [
            "Examples:",
            "",
            "tom sim --nodes 16 --hours 2 --seed 7",
            "tom sim --nodes 12 --split 30-120 --faults none --terms 30",
            "tom sim --faults rough,loss=0.3 --liars 2 --liar-kind equivocator",
            "tom sim campaign --seeds 0-100 --nodes 7 --terms 20 --out campaign.csv",
            "tom sim resilience --nodes 16 --lost 50 --out figures",
        ]
    ),
)

experiments.add_to(app)

Seed = Annotated[int, Parameter(help="The run that everything is drawn from. Default: 0")]
Nodes = Annotated[int, Parameter(help="How many nodes, 1 to 64. Default: 8")]
Terms = Annotated[int | None, Parameter(help="How many terms it lasts. Default: 10")]
FaultText = Annotated[
    str,
    Parameter(
        name="--faults",
        help="none, mild, rough or drawn (from the seed), then name=value after commas. Default: drawn",
    ),
]
LiarCount = Annotated[
    int | None, Parameter(name="--liars", help="How many lie. Default: drawn, below a third of the nodes.")
]
LiarKind = Annotated[str | None, Parameter(help=f"What they do: {', '.join(sorted(liars.KINDS))}.")]
Messages = Annotated[float, Parameter(help=f"Messages a term that applications send. Default: {MESSAGES:g}")]
Links = Annotated[str, Parameter(help="real: with handshakes and encryption on every link. Default: plain")]
OnlyTerms = Annotated[
    bool, Parameter(help="Only the vote on records runs, without messages: much faster.", negative=())
]
AsJson = Annotated[bool, Parameter(name="--json", help="One JSON document for programs.", negative=())]


class SimulationUsageError(LocalError):
    """An option that can't be used; the text says what is possible."""


def _setup(
    *,
    seed: int,
    nodes: int,
    terms: int | None,
    hours: float | None,
    fault_text: str,
    liar_count: int | None,
    liar_kind: str | None,
    messages: float,
    links: str,
    only_terms: bool,
    split: str | None = None,
) -> Setup:
    if not 1 <= nodes <= MOST_NODES:
        raise SimulationUsageError(f"--nodes is from 1 to {MOST_NODES}.")
    if terms is not None and hours is not None:
        raise SimulationUsageError("Give either --terms or --hours.")
    if (terms is not None and terms < 1) or (hours is not None and not 0 < hours <= 24 * 366):
        raise SimulationUsageError("A run lasts a term or more, and 8,784 hours at most.")
    if liar_count is not None and not 0 <= liar_count <= nodes:
        raise SimulationUsageError("--liars is from 0 to --nodes.")
    if liar_kind is not None and liar_kind not in liars.KINDS:
        raise SimulationUsageError(f"--liar-kind is one of: {', '.join(sorted(liars.KINDS))}.")
    if not 0 <= messages <= MOST_MESSAGES:
        raise SimulationUsageError(f"--messages is from 0 to {MOST_MESSAGES:,}.")
    if links not in {"plain", "real"}:
        raise SimulationUsageError("--links is plain or real.")
    try:
        chosen = faults.parse(fault_text)
    except faults.FaultError as error:
        raise SimulationUsageError(f"--faults: {error}.") from error
    timing = Timing()
    if hours is not None:
        terms = max(1, round(hours * HOUR / (timing.term_ms + 3 * timing.slot_ms)))
    return Setup(
        seed,
        nodes,
        10 if terms is None else terms,
        chosen,
        liar_count,
        liar_kind,
        messages,
        links == "real",
        only_terms,
        timing,
        None if split is None else _minutes(split),
    )


def _minutes(text: str) -> tuple[int, int]:
    begin, dash, end = text.partition("-")
    if not (dash and begin.isdecimal() and end.isdecimal() and int(begin) < int(end)):
        raise SimulationUsageError("--split is two minutes, such as 30-120.")
    return int(begin) * 60_000, int(end) * 60_000


def seeds_of(text: str) -> tuple[int, int]:
    """From one seed up to before another; raises ``ExperimentUsageError``."""
    seeds = experiments.span(text, "--seeds", "0-100")
    return seeds.start, seeds.stop


def console_for(*, json_: bool) -> Console:
    """Where people read: not where programs read their JSON."""
    return Console(stderr=json_, highlight=False)


def progress_bar(console: Console) -> Progress:
    """A progress bar on a terminal; elsewhere nothing."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@app.default
def run(
    *,
    seed: Seed = 0,
    nodes: Nodes = 8,
    terms: Terms = None,
    hours: Annotated[float | None, Parameter(help="How long it lasts, instead of --terms.")] = None,
    faults_: FaultText = "drawn",
    liars_: LiarCount = None,
    liar_kind: LiarKind = None,
    messages: Messages = MESSAGES,
    links: Links = "plain",
    only_terms: OnlyTerms = False,
    split: Annotated[
        str | None,
        Parameter(help="Cut the network in two from one minute to another: seven twelfths against the rest."),
    ] = None,
    log: Annotated[
        Path | None,
        Parameter(help="Write every term's steps as JSON lines, for TLC to check; nobody may lie."),
    ] = None,
    json_: AsJson = False,
) -> int:
    """Play one network through; the same seed and options give the same run, byte for byte.

    Exit code 1 says that a promise of the protocol was broken, and how to see it again.
    """
    setup = _setup(
        seed=seed,
        nodes=nodes,
        terms=terms,
        hours=hours,
        fault_text=faults_,
        liar_count=liars_,
        liar_kind=liar_kind,
        messages=messages,
        links=links,
        only_terms=only_terms,
        split=split,
    )
    if log is not None and setup.liars != 0:
        raise SimulationUsageError("--log goes with --liars 0: it can't tell two blocks of one slot.")
    console = console_for(json_=json_)
    started = time.monotonic()
    try:
        with progress_bar(console) as bar, _opened(log) as stream:
            task = bar.add_task(f"{setup.terms} terms of {setup.nodes} nodes", total=1.0)
            outcome = play(setup, lambda share: bar.update(task, completed=share), stream)
    except BrokenPromiseError as error:
        if json_:
            print_json(broken=error.promise, story=error.text, command=setup.command())
        else:
            console.print(error.text, markup=False, style="red")
        return FAILED
    row = campaign.row_of(outcome, time.monotonic() - started)
    if json_:
        print_json(
            **asdict(row), command=setup.command(), liar_kinds=outcome.liars, refusals=outcome.refusals
        )
    else:
        _show(console, outcome, row)
    return 0


@contextmanager
def _opened(log: Path | None) -> Iterator[TextIO | None]:
    """The log to write to, if one is wanted."""
    if log is None:
        yield None
        return
    try:
        stream = log.open("w", encoding="utf-8")
    except OSError as error:
        raise SimulationUsageError(f"--log {log}: {error.strerror}.") from error
    with stream:
        yield stream


def print_json(**values: Any) -> None:
    """One document on the output."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _show(console: Console, outcome: Outcome, row: Row) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    lying = ", ".join(f"{index}: {name}" for index, name in sorted(outcome.liars.items())) or "nobody"
    table.add_row("network", f"{row.nodes} nodes, {row.hours:.1f} virtual hours in {row.seconds:.1f} s")
    table.add_row("went wrong", faults.text(outcome.faults))
    table.add_row("lied", lying)
    table.add_row("terms", f"{row.terms} ended, {row.forks} forks, {row.crashes} crashes")
    table.add_row("messages", f"{row.sent} sent, {row.delivered} delivered, {row.expired} expired")
    if row.delivered:
        table.add_row(
            "shown within",
            f"{row.latency_50:,} ms half, {row.latency_95:,} ms 95 %, {row.latency_99:,} ms 99 %",
        )
    table.add_row("steps", f"{row.steps:,}, each checked; {row.frames:,} frames")
    refusals = ", ".join(f"{count} {code}" for code, count in outcome.refusals.items()) or "nothing"
    table.add_row("refused", refusals)
    table.add_row("promises", f"[bold green]all held[/], the calm ones checked {row.checks} times")
    table.add_row("digest", row.digest[:16])
    print_table(console, table)
    console.print(f"To see it again: {outcome.setup.command()}", style="dim", soft_wrap=True)


@app.command(name="campaign")
def many(
    *,
    seeds: Annotated[str, Parameter(help="From one seed up to before another, such as 0-100.")] = "0-20",
    nodes: Nodes = 8,
    terms: Terms = None,
    faults_: FaultText = "drawn",
    liars_: LiarCount = None,
    liar_kind: LiarKind = None,
    messages: Messages = MESSAGES,
    only_terms: OnlyTerms = False,
    scheduler: Annotated[
        str,
        Parameter(help="local: a Dask cluster on this computer; none: plain processes; or an address."),
    ] = campaign.LOCAL,
    workers: Annotated[int, Parameter(help="How many processes on this computer. Default: 2")] = 2,
    out: Annotated[Path | None, Parameter(help="Write a row of figures for each seed, as CSV.")] = None,
    json_: AsJson = False,
) -> int:
    """Play many seeds; every one has to keep every promise."""
    first, end = seeds_of(seeds)
    if not 1 <= workers <= 1_024:
        raise SimulationUsageError("--workers is from 1 to 1024.")
    like = _setup(
        seed=0,
        nodes=nodes,
        terms=terms,
        hours=None,
        fault_text=faults_,
        liar_count=liars_,
        liar_kind=liar_kind,
        messages=messages,
        links="plain",
        only_terms=only_terms,
    )
    console = console_for(json_=json_)
    rows: list[Row] = []
    started = time.monotonic()
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("seeds, {task.fields[broken]} broken"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=end - first, broken=0)
        what = campaign.setups(first, end, like)
        for row in campaign.run(what, scheduler=scheduler, workers=workers, one=campaign.run_one):
            rows.append(row)
            bar.update(task, advance=1, broken=sum(bool(one.broken) for one in rows))
    if out is not None:
        campaign.write_csv(out, rows)
    broken = [row for row in rows if row.broken]
    if json_:
        print_json(**_totals(rows, time.monotonic() - started), broken=[asdict(row) for row in broken])
    else:
        _show_campaign(console, rows, time.monotonic() - started)
        for row in broken[:3]:
            console.print(f"\n{row.story}", markup=False, style="red")
    return FAILED if broken else 0


def _totals(rows: Sequence[Row], seconds: float) -> dict[str, Any]:
    names = (
        "terms",
        "forks",
        "sent",
        "delivered",
        "expired",
        "crashes",
        "steps",
        "frames",
        "checks",
        "liars",
    )
    sums: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in names}
    return {
        "seeds": len(rows),
        **sums,
        "hours": round(sum(row.hours for row in rows), 1),
        "seconds": round(seconds, 1),
    }


def _show_campaign(console: Console, rows: Sequence[Row], seconds: float) -> None:
    totals = _totals(rows, seconds)
    kept = sum(not row.broken for row in rows)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right")
    for name in (
        "seeds",
        "terms",
        "forks",
        "sent",
        "delivered",
        "expired",
        "crashes",
        "liars",
        "steps",
        "frames",
    ):
        table.add_row(name, f"{totals[name]:,}")
    table.add_row("virtual hours", f"{totals['hours']:,}")
    table.add_row("seconds", f"{totals['seconds']:,}")
    print_table(console, table)
    colour = "green" if kept == len(rows) else "red"
    console.print(f"[bold {colour}]{kept} of {len(rows)} seeds kept every promise[/]")
