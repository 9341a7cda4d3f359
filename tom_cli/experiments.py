"""``tom sim resilience`` and ``tom sim attacks``: experiments with figures, tables and plots."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from attrs import asdict
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tom_cli.show import print_table
from tom_ref.errors import LocalError
from tom_sim import attacks, campaign, plots, resilience

FAILED: Final = 1
PROMISED: Final = 0.99
"""Of the messages between survivors written after the loss, at least this share arrives."""


class ExperimentUsageError(LocalError):
    """An option that can't be used; the text says what is possible."""


Out = Annotated[
    Path | None, Parameter(help="A folder for the figures as CSV, the table, and plots as SVG and PNG.")
]
AsJson = Annotated[bool, Parameter(name="--json", help="One JSON document for programs.", negative=())]


def span(text: str, what: str, example: str = "0-5") -> range:
    """Numbers from one up to before another, given as ``0-5``; ``example`` is for the complaint."""
    first, dash, end = text.partition("-")
    if not (dash and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise ExperimentUsageError(f"{what} is two numbers, the lower one first, such as {example}.")
    return range(int(first), int(end))


def numbers(text: str, what: str, least: int, most: int) -> list[int]:
    """Numbers after commas, each within bounds."""
    parts = text.split(",")
    if not all(part.isdecimal() and least <= int(part) <= most for part in parts):
        raise ExperimentUsageError(f"{what} is a number from {least} to {most}, or several after commas.")
    return [int(part) for part in parts]


def show(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """A table for people; the names of its columns come first."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if place == 0 else "right", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    print_table(console, table)


def folder(path: Path) -> Path:
    """The folder for what is written, made if there is none."""
    path.mkdir(parents=True, exist_ok=True)
    return path


def tell_json(**values: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def lose(
    *,
    nodes: Annotated[str, Parameter(help="How many nodes, 3 to 64. Default: 16,32,64")] = "16,32,64",
    lost: Annotated[
        str, Parameter(help="Which part of them is lost, in percent. Default: 10,30,50")
    ] = "10,30,50",
    seeds: Annotated[str, Parameter(help="From one seed up to before another. Default: 0-3")] = "0-3",
    terms: Annotated[int, Parameter(help="How many terms after the loss. Default: 6")] = 6,
    before: Annotated[int, Parameter(help="How many terms before it. Default: 1")] = 1,
    pause: Annotated[int, Parameter(help="From one message to the next, in ms. Default: 4000")] = 4_000,
    scheduler: Annotated[
        str,
        Parameter(help="local: a Dask cluster on this computer; none: plain processes; or an address."),
    ] = campaign.LOCAL,
    workers: Annotated[int, Parameter(help="How many processes on this computer. Default: 2")] = 2,
    out: Out = None,
    json_: AsJson = False,
) -> int:
    """Lose many nodes at once, for good, and see what comes of the messages between the others.

    Exit code 1 says that less than 99 % of them arrived, or that another
    promise was broken.
    """
    if not 1 <= terms <= 100 or not 1 <= workers <= 1_024:
        raise ExperimentUsageError("--terms is from 1 to 100, --workers from 1 to 1024.")
    if not 0 <= before <= 100 or not 100 <= pause <= 60_000:
        raise ExperimentUsageError("--before is from 0 to 100, --pause from 100 to 60000.")
    what = list(
        resilience.losses(
            span(seeds, "--seeds"),
            numbers(nodes, "--nodes", 3, 64),
            numbers(lost, "--lost", 0, 60),
            resilience.Loss(0, 3, 0, before, terms, pause),
        )
    )
    console = Console(stderr=json_, highlight=False)
    results: list[resilience.Result] = []
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs {task.fields[last]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=len(what), last="")
        for result in resilience.run_many(what, scheduler=scheduler, workers=workers):
            results.append(result)
            bar.update(task, advance=1, last=f"(last: {result.nodes} nodes, {result.share:.1%} delivered)")
    command = (
        f"tom sim resilience --nodes {nodes} --lost {lost} --seeds {seeds} --terms {terms}"
        f" --before {before} --pause {pause}"
    )
    rows = resilience.table(results)
    if out is not None:
        _write(folder(out), results, rows, f"{command} --out FOLDER")
    good = all(result.share >= PROMISED and not result.broken for result in results)
    if json_:
        tell_json(
            kept=good,
            command=command,
            runs=[asdict(result, filter=lambda field, _: field.name != "minutes") for result in results],
        )
        return 0 if good else FAILED
    show(console, rows)
    colour, word = ("green", "kept") if good else ("red", "broken")
    console.print(f"[bold {colour}]promise {word}[/]: 99 % between survivors arrive")
    for result in results:
        if result.broken:
            console.print(f"\n{result.broken}", markup=False, style="red")
    return 0 if good else FAILED


def _write(
    where: Path, results: Sequence[resilience.Result], rows: Sequence[Sequence[str]], command: str
) -> None:
    resilience.write_csv(where / "resilience.csv", results)
    resilience.write_minutes(where / "resilience-minutes.csv", results)
    resilience.write_markdown(where / "resilience-table.md", rows, command)
    plots.resilience(where / "resilience", results, resilience.NORMAL_WITHIN / 1_000)


def attack(
    *,
    only: Annotated[
        str | None, Parameter(help=f"Only some, after commas: {', '.join(attacks.ATTACKS)}.")
    ] = None,
    seed: Annotated[int, Parameter(help="What everything is drawn from. Default: 0")] = 0,
    quick: Annotated[bool, Parameter(help="A fifth of the size.", negative=())] = False,
    out: Out = None,
    json_: AsJson = False,
) -> int:
    """Try attacks on balance, roles and links, and say what each one gains.

    Exit code 1 says that an attack gained more than the design states.
    """
    names = list(attacks.ATTACKS) if only is None else only.split(",")
    for name in names:
        if name not in attacks.ATTACKS:
            raise ExperimentUsageError(f"--only is one or several of: {', '.join(attacks.ATTACKS)}.")
    console = Console(stderr=json_, highlight=False)
    findings: dict[str, attacks.Finding] = {}
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=name)
            size = attacks.SIZES[name] // (5 if quick else 1)
            findings[name] = attacks.run_one((name, seed, size))
            bar.advance(task)
    rows = attacks.table(list(findings.values()))
    if out is not None:
        command = f"tom sim attacks --seed {seed}{' --quick' if quick else ''} --out FOLDER"
        _write_attacks(folder(out), findings, rows, command, seed)
    good = all(finding.holds for finding in findings.values())
    if json_:
        tell_json(
            kept=good,
            attacks=[
                asdict(finding, filter=lambda field, _: field.name != "series") | {"holds": finding.holds}
                for finding in findings.values()
            ],
        )
        return 0 if good else FAILED
    for finding in findings.values():
        colour, word = ("green", "holds") if finding.holds else ("red", "BROKEN")
        console.print(f"[bold]{finding.attack}[/]  [{colour}]{word}[/]")
        for name, text in (
            ("gains", finding.gain),
            ("honest", finding.honest),
            ("bound", finding.stated),
            ("not prevented", finding.limit),
        ):
            console.print(f"  {name:<14}{text}", markup=False, soft_wrap=True)
    return 0 if good else FAILED


def _write_attacks(
    where: Path,
    findings: dict[str, attacks.Finding],
    rows: Sequence[Sequence[str]],
    command: str,
    seed: int,
) -> None:
    resilience.write_markdown(where / "attacks-table.md", rows, command, numbers=False)
    resilience.write_rows(
        where / "attacks.csv",
        ("attack", "seed", "value", "bound", "holds", "gain", "honest", "stated", "limit"),
        [asdict(finding) | {"holds": finding.holds} for finding in findings.values()],
    )
    if "flooding" in findings:
        plots.flooding(where / "flooding", findings["flooding"])
    if {"accomplices", "free-riders"} <= findings.keys():
        plots.balances(where / "balances", findings["accomplices"], findings["free-riders"])
    seasons = [attacks.adaptation(seed, adapts=adapts) for adapts in (True, False)]
    plots.adaptation(where / "adaptation", *seasons)
    resilience.write_rows(
        where / "adaptation.csv",
        ("adapts", "term", "gone", "delivered", "custody", "relay_share"),
        [
            asdict(season) | {"adapts": adapts}
            for adapts, run in zip((True, False), seasons, strict=True)
            for season in run
        ],
    )


def add_to(app: App) -> None:
    """Make the experiments commands of ``tom sim``."""
    app.command(lose, name="resilience")
    app.command(attack, name="attacks")
