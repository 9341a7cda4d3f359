"""Mutation of guards: drop or negate one conjunct and see whether any instance notices.

A mutant is noticed when an instance comes out otherwise than pinned: another verdict, another
number of distinct states, another depth, a counterexample of another length.  Instances that
contain the mutated module run from the cheapest upwards until one notices.
"""

from __future__ import annotations

import fnmatch
import random
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen
from rich.console import Console
from rich.table import Table

from tla.runner.actions import actions_of, guards_of
from tla.runner.check import Reporter
from tla.runner.closure import library_of, sources_of
from tla.runner.config import Config
from tla.runner.errors import Exit, RunnerError
from tla.runner.instances import Instance
from tla.runner.manifest import Pin, sha256_of
from tla.runner.output import Output
from tla.runner.sany import Place, parse_tree
from tla.runner.tlc import SMALL, OvergrownError, Result, Verdict, run_named, run_tlc

EQUIVALENTS = "equivalents.toml"
MUTANT_SECONDS = 240
"""After so long an instance has not noticed; it is long enough for TLC to report its progress."""
NOT_CORE = ("MC_", "APA_")


@frozen
class Mutant:
    """One change to one guard."""

    area: str
    module: str
    action: str
    """The action, or the operator it uses, that the guard stands in."""
    guard: str
    """The guard's text on one line."""
    change: str
    """``drop`` or ``negate``."""
    place: Place

    @property
    def name(self) -> str:
        """What reports and declared equivalents call it."""
        return f"{self.area}/{self.module}!{self.action}: {self.change} {self.guard}"


@frozen
class Equivalent:
    """A mutant that nobody can notice, and why."""

    area: str
    action: str
    guard: str
    change: str
    reason: str

    def covers(self, mutant: Mutant) -> bool:
        """Whether this declares that mutant."""
        return (
            self.area == mutant.area
            and self.action == mutant.action
            and " ".join(self.guard.split()) == mutant.guard
            and self.change in (mutant.change, "both")
        )


@frozen
class Outcome:
    """What became of a mutant."""

    mutant: Mutant
    noticed_by: str | None
    how: str
    runs: int
    declared: Equivalent | None = None

    @property
    def survived(self) -> bool:
        """Nobody noticed, and nobody declared it equivalent."""
        return self.noticed_by is None and self.declared is None


def read_equivalents(root: Path) -> list[Equivalent]:
    """Declared equivalents, from ``equivalents.toml`` of the root and of each area."""
    found: list[Equivalent] = []
    for file in [root / EQUIVALENTS, *sorted(root.glob(f"*/{EQUIVALENTS}"))]:
        if not file.is_file():
            continue
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8"))
            found.extend(Equivalent(**entry) for entry in document.get("equivalent", ()))
        except (tomllib.TOMLDecodeError, TypeError) as error:
            raise RunnerError(f"{file}: {error}") from error
    for one in found:
        if len(one.reason) < 20:
            raise RunnerError(
                f"{EQUIVALENTS}: {one.action}, {one.guard}: a reason takes more than {one.reason!r}"
            )
    return found


def text_at(source: str, place: Place) -> str:
    """The text at a place, exactly."""
    lines = source.splitlines()[place.line - 1 : place.end_line]
    if len(lines) == 1:
        return lines[0][place.column - 1 : place.end_column]
    return "\n".join([lines[0][place.column - 1 :], *lines[1:-1], lines[-1][: place.end_column]])


def apply_change(source: str, place: Place, change: str) -> str:
    """The module's text with one guard dropped (``TRUE``) or negated.

    Columns carry meaning in TLA+: everything that stays keeps its column, by means of line breaks.
    """
    lines = source.splitlines()
    before = lines[place.line - 1][: place.column - 1]
    rest = lines[place.end_line - 1][place.end_column :]
    if change == "drop":
        body = [before + "TRUE"]
    else:
        text = text_at(source, place).split("\n")
        body = [before + "~(", " " * (place.column - 1) + text[0], *text[1:]]
        body[-1] += ")"
    if rest.strip():
        body.append(" " * place.end_column + rest)
    return "\n".join([*lines[: place.line - 1], *body, *lines[place.end_line :]]) + "\n"


def mutants_of(
    instances: Sequence[Instance], root: Path, area: str | None, kinds: Sequence[str] = ("main",)
) -> list[Mutant]:
    """Every mutant of the main models (or of other kinds), in the order of areas, modules and lines."""
    library = library_of(root)
    found: dict[str, Mutant] = {}
    seen: set[tuple[str, str]] = set()
    for instance in instances:
        if instance.kind not in kinds or (
            area is not None and not fnmatch.fnmatchcase(instance.area_name, area)
        ):
            continue
        config = instance.read_config()
        key = (str(instance.module), config.next or "Next")
        if key in seen:
            continue
        seen.add(key)
        sources = sources_of(instance.module, library)
        tree = parse_tree(sources, instance.module_name)
        stubs = {file.stem for file in (root / "stubs").glob("*.tla")}
        modules = {name for name in sources if not name.startswith(NOT_CORE) and name not in stubs}
        for action in actions_of(tree, config.next):
            for guard in guards_of(tree, action, modules):
                place = guard.node.place
                text = " ".join(text_at(sources[place.module], place).split())
                for change in ("drop", "negate"):
                    mutant = Mutant(instance.area_name, place.module, guard.definition, text, change, place)
                    found.setdefault(f"{place}{change}", mutant)
    return sorted(found.values(), key=lambda m: (m.area, m.module, m.place.line, m.place.column, m.change))


def judges_for(
    mutant: Mutant,
    instances: Iterable[Instance],
    pins: Mapping[str, Pin],
    closures: Mapping[str, Mapping[str, str]],
    limit: int,
) -> list[Instance]:
    """The instances that could notice a mutant, cheapest first; at most ``limit`` pinned states each."""
    able = [
        instance
        for instance in instances
        if instance.name in pins
        and instance.mode == "check"
        and pins[instance.name].distinct <= limit
        and mutant.module in closures[instance.name]
    ]
    # A passing instance explores everything and so notices most; the others stop early.
    return sorted(able, key=lambda one: (one.expect != "pass", pins[one.name].distinct, one.name))


def noticed(pin: Pin, result: Result) -> str | None:
    """How a result differs from its pin; None if it does not."""
    if result.verdict.value != pin.verdict or (pin.property or None) != result.violated:
        if result.verdict is Verdict.VIOLATION:
            return f"{result.violated} is violated"
        if result.verdict is Verdict.BROKEN:
            return "cannot be evaluated: " + (result.problems[0] if result.problems else "")[:80]
        return f"verdict {result.verdict.value}"
    if result.distinct != pin.distinct:
        return f"{result.distinct:,} states instead of {pin.distinct:,}"
    if result.depth != pin.depth:
        return f"depth {result.depth} instead of {pin.depth}"
    if pin.trace is not None and len(result.trace) != pin.trace:
        return f"counterexample of {len(result.trace)} states instead of {pin.trace}"
    return None


class Arena:
    """Runs mutants against the instances."""

    def __init__(
        self, instances: Sequence[Instance], root: Path, pins: Mapping[str, Pin], limit: int
    ) -> None:
        library = library_of(root)
        self.pins = pins
        # An instance that changed since it was pinned would notice its own change.
        self.instances = [
            one for one in instances if one.name in pins and pins[one.name].sha256 == sha256_of(one, library)
        ]
        self.stale = len(instances) - len(self.instances)
        self.limit = limit
        self.sources = {one.name: sources_of(one.module, library) for one in instances}
        self.equivalents = read_equivalents(root)

    def judge(self, mutant: Mutant) -> Outcome:
        """Run the instances until one notices."""
        declared = next((one for one in self.equivalents if one.covers(mutant)), None)
        runs = 0
        for instance in judges_for(mutant, self.instances, self.pins, self.sources, self.limit):
            pin = self.pins[instance.name]
            runs += 1
            try:
                result = self.run(mutant, instance, pin)
            except OvergrownError as grown:
                how = f"already {grown} instead of {pin.distinct:,}"
                return Outcome(mutant, instance.name, how, runs, declared)
            if result.verdict is Verdict.BROKEN and not result.distinct:
                # A guard cannot spoil parsing, configuration or the initial states: this is our own mistake.
                problems = "; ".join(result.problems)[:300]
                raise RunnerError(
                    f"{instance.name} cannot be run with {mutant.name}: {problems}", Exit.BROKEN
                )
            if result.verdict is Verdict.TIMEOUT:
                continue
            how_noticed = noticed(pin, result)
            if how_noticed is not None:
                return Outcome(mutant, instance.name, how_noticed, runs, declared)
        return Outcome(
            mutant, None, "nobody noticed" if runs else "no instance is cheap enough to ask", runs, declared
        )

    def run(self, mutant: Mutant, instance: Instance, pin: Pin) -> Result:
        """Run an instance with the mutated module; :class:`OvergrownError` as soon as that tells."""
        sources = dict(self.sources[instance.name])
        sources[mutant.module] = apply_change(sources[mutant.module], mutant.place, mutant.change)

        def watch(output: Output) -> None:
            # The original ends, well or badly, at so many states; one that goes on is another.
            if output.distinct > pin.distinct:
                raise OvergrownError(output.distinct)

        def run(config: Config) -> Result:
            return run_tlc(
                sources,
                instance.module_name,
                config,
                small=pin.distinct < SMALL,
                timeout=MUTANT_SECONDS,
                watch=watch,
            )

        return run_named(run, instance.read_config(), instance.violates)


def sample_of(mutants: Sequence[Mutant], number: int | None, seed: int) -> list[Mutant]:
    """All of them, or a seeded sample that takes from every area alike, in the original order."""
    if number is None or number >= len(mutants):
        return list(mutants)
    chooser = random.Random(seed)  # noqa: S311 - a sample, not a secret
    areas = sorted({mutant.area for mutant in mutants})
    shares = {area: [m for m in mutants if m.area == area] for area in areas}
    chosen: list[Mutant] = []
    for area in areas:
        chooser.shuffle(shares[area])
    while len(chosen) < number:
        for area in areas:
            if shares[area] and len(chosen) < number:
                chosen.append(shares[area].pop())
    order = {id(mutant): index for index, mutant in enumerate(mutants)}
    return sorted(chosen, key=lambda mutant: order[id(mutant)])


def mutate(
    instances: Sequence[Instance],
    root: Path,
    pins: Mapping[str, Pin],
    *,
    area: str | None,
    kinds: Sequence[str] = ("main",),
    sample: int | None,
    seed: int,
    limit: int,
    workers: int,
    console: Console,
) -> tuple[list[Outcome], Exit]:
    """Run the mutants, print a report; :attr:`Exit.SURVIVORS` if one survived without a declared reason."""
    everything = mutants_of(instances, root, area, kinds)
    chosen = sample_of(everything, sample, seed)
    if not chosen:
        raise RunnerError("no guard to mutate: is there an instance of kind main?")
    arena = Arena(instances, root, pins, limit)
    stale = f"; {arena.stale} instances without a current pin are not asked" if arena.stale else ""
    console.print(f"{len(chosen)} of {len(everything)} mutants{stale}", highlight=False)
    with Reporter(len(chosen), console) as reporter, ThreadPoolExecutor(max_workers=workers) as pool:

        def one(mutant: Mutant) -> Outcome:
            reporter.begin(mutant.name, None)
            outcome = arena.judge(mutant)
            by = (
                f"noticed by {outcome.noticed_by}: "
                if outcome.noticed_by
                else "SURVIVED: "
                if outcome.survived
                else "equivalent: "
            )
            reporter.end(mutant.name, f"{by}{outcome.how}")
            return outcome

        outcomes = list(pool.map(one, chosen))
    return outcomes, print_outcomes(
        outcomes, arena.equivalents, console, whole=len(chosen) == len(everything) and area is None
    )


def print_outcomes(
    outcomes: Sequence[Outcome], equivalents: Sequence[Equivalent], console: Console, *, whole: bool
) -> Exit:
    """The table at the end; declared equivalents that were noticed, or name no mutant, are errors too."""
    table = Table(title="Mutated guards", title_justify="left", pad_edge=False)
    for name in ("area", "module", "mutants", "noticed", "equivalent", "survived"):
        table.add_column(name, justify="left" if name in ("area", "module") else "right")
    groups = sorted({(one.mutant.area, one.mutant.module) for one in outcomes})
    for area, module in groups:
        group = [one for one in outcomes if (one.mutant.area, one.mutant.module) == (area, module)]
        table.add_row(
            area,
            module,
            str(len(group)),
            str(sum(one.noticed_by is not None for one in group)),
            str(sum(one.noticed_by is None and one.declared is not None for one in group)),
            str(sum(one.survived for one in group)),
        )
    console.print(table)
    bad = False
    for one in outcomes:
        if one.survived:
            bad = True
            console.print(
                f"SURVIVED {one.mutant.name} (line {one.mutant.place.line}; {one.how} in {one.runs} runs)",
                style="red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        elif one.declared is not None and one.noticed_by is not None:
            bad = True
            console.print(
                f"declared equivalent, but noticed by {one.noticed_by}: {one.mutant.name}",
                style="red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    if whole:
        for equivalent in equivalents:
            if not any(equivalent.covers(one.mutant) for one in outcomes):
                bad = True
                console.print(
                    f"declared equivalent, but no such guard: {equivalent.action}: {equivalent.guard}",
                    style="red",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
    return Exit.SURVIVORS if bad else Exit.OK
