"""Mutation of guards: drop or negate one conjunct and see whether any instance notices.

A mutant is noticed when an instance comes out otherwise than pinned: another verdict, another
number of distinct states, another depth, a counterexample of another length.  Instances that
contain the mutated module run until one notices: the one that did so the last time, then those that
noticed the neighbours, then the others from the cheapest upwards.
"""

from __future__ import annotations

import fnmatch
import random
import threading
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path

from attrs import frozen
from rich.console import Console
from rich.table import Table

from tla.runner.actions import actions_of, guards_of
from tla.runner.batch import Change, apart, extended_by, noticed_in, suits
from tla.runner.check import Reporter
from tla.runner.closure import library_of, sources_of
from tla.runner.config import Config
from tla.runner.errors import Exit, RunnerError
from tla.runner.instances import Instance
from tla.runner.manifest import Pin, sha256_of
from tla.runner.output import Output
from tla.runner.record import RECORD, Entry, fingerprint_of, read_record, tried_of, write_record
from tla.runner.sany import Place, parse_tree
from tla.runner.tlc import SMALL, OvergrownError, Result, Verdict, run_named, run_tlc

EQUIVALENTS = "equivalents.toml"
MUTANT_SECONDS = 240
"""After so long an instance has not noticed; it is long enough for TLC to report its progress."""
BATCH_LEAST = 8
"""Fewer mutants are run one by one."""
BARREN = 2
"""So many batches of one kind that notice less than a tenth are the last of that kind."""
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


def without_guard(instance: Instance, root: Path, wanted: str) -> dict[str, str]:
    """The sources of an instance's modules without the one guard whose ``operator: text`` holds ``wanted``.

    Raises :class:`RunnerError` when none does, or several do.
    """
    guards = [one for one in mutants_of([instance], root, None, (instance.kind,)) if one.change == "drop"]
    asked = " ".join(wanted.split())
    fitting = [one for one in guards if asked in f"{one.action}: {one.guard}"]
    if not fitting:
        near = get_close_matches(asked, [f"{one.action}: {one.guard}" for one in guards], 5, 0.0)
        fits = f"none of the {len(guards)} guards of {instance.name} fits; the nearest are"
        raise RunnerError(f"--drop {wanted!r}: {fits}\n  " + "\n  ".join(near))
    if len(fitting) != 1:
        among = [f"\n  {one.action}: {one.guard}" for one in fitting]
        raise RunnerError(
            f"--drop {wanted!r}: {len(fitting)} guards of {instance.name} fit, of these:{''.join(among)}"
        )
    return mutated(sources_of(instance.module, library_of(root)), fitting[0])


def mutated(sources: Mapping[str, str], mutant: Mutant) -> dict[str, str]:
    """The modules' texts with one guard changed."""
    changed = apply_change(sources[mutant.module], mutant.place, mutant.change)
    return {**sources, mutant.module: changed}


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

    def key(one: Instance) -> tuple[int, bool, int, str]:
        # A passing instance explores everything and so notices most; those of a sweep differ in hardly more
        # than a threshold; the others stop early.
        small = pins[one.name].distinct < SMALL
        rank = (0 if small and one.kind != "sweep" else 2) if one.expect == "pass" else 3
        if one.witness_of == mutant.action:
            rank = 1
        # Where steps are pinned, one too many shows.
        return rank, pins[one.name].generated is None, pins[one.name].distinct, one.name

    return sorted(able, key=key)


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
    if pin.generated is not None and result.generated != pin.generated:
        return f"{result.generated:,} states generated instead of {pin.generated:,}"
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
        self.file = root / RECORD
        self.record = read_record(root / RECORD)
        self.of = tried_of(root / RECORD) or 0
        """How many mutants there are, as far as the record knows."""
        self.asked: dict[str, set[str]] = {}
        """By mutant, the instances that didn't notice it in a batch."""
        self._hits: dict[tuple[str, ...], Counter[str]] = {}
        self._lock = threading.Lock()
        # An instance that changed since it was pinned would notice its own change.
        self.instances = [
            one for one in instances if one.name in pins and pins[one.name].sha256 == sha256_of(one, library)
        ]
        self.stale = len(instances) - len(self.instances)
        self.limit = limit
        self.sources = {one.name: sources_of(one.module, library) for one in instances}
        self._constants = {one.name: one.read_config().constants for one in self.instances}
        self.equivalents = read_equivalents(root)

    def able(self, mutant: Mutant) -> list[Instance]:
        """The instances that may be asked, the most promising first."""
        able = judges_for(mutant, self.instances, self.pins, self.sources, self.limit)
        entry = self.record.get(mutant.name)
        likely = [entry.noticed_by] if entry is not None else []
        # A guard that names the rule a twin leaves out matters to that twin, and often to no other.
        likely.extend(
            one.name
            for one in able
            if any(text[:1] == '"' and text in mutant.guard for _, _, text in self._constants[one.name])
        )
        with self._lock:
            for key in ((mutant.module, mutant.action), (mutant.module,)):
                hits = self._hits.get(key, Counter())
                likely.extend(name for name, _ in hits.most_common(2) if self.pins[name].distinct < SMALL)
        rank = {name: place for place, name in reversed(list(enumerate(likely)))}
        return sorted(able, key=lambda one: rank.get(one.name, len(likely)))

    def judge(self, mutant: Mutant) -> Outcome:
        """Run the instances until one notices."""
        outcome = self._judge(mutant)
        if outcome.noticed_by is not None and self.pins[outcome.noticed_by].verdict == Verdict.PASS.value:
            with self._lock:
                for key in ((mutant.module, mutant.action), (mutant.module,)):
                    self._hits.setdefault(key, Counter())[outcome.noticed_by] += 1
        return outcome

    def batches(self, mutants: Sequence[Mutant]) -> Iterator[tuple[Instance, list[Mutant]]]:
        """The instances to be asked about many mutants at once, the cheapest first, with those mutants."""
        for instance in sorted(self.instances, key=lambda one: (self.pins[one.name].distinct, one.name)):
            pin = self.pins[instance.name]
            if (
                instance.expect != "pass"
                or instance.mode != "check"
                or instance.kind in ("liveness", "induction")
                or not pin.distinct <= min(self.limit, SMALL)
                or not suits(instance.read_config())
            ):
                continue
            reach = extended_by(self.sources[instance.name], instance.module_name)
            found = [mutant for mutant in mutants if mutant.module in reach]
            if found:
                yield instance, found

    def judge_many(self, instance: Instance, mutants: Sequence[Mutant]) -> dict[str, Outcome]:
        """Ask one instance about many mutants at once; those it noticed, by name."""
        numbered = dict(enumerate(mutants, 1))
        found: dict[str, Outcome] = {}
        changes = [Change(number, one.module, one.place, one.change) for number, one in numbered.items()]
        for group in apart(changes):
            noticed_here = noticed_in(
                self.sources[instance.name],
                instance.module_name,
                instance.read_config(),
                self.pins[instance.name].distinct,
                group,
            )
            if noticed_here is None:
                continue
            for change in group:
                mutant = numbered[change.number]
                if change.number in noticed_here:
                    declared = next((one for one in self.equivalents if one.covers(mutant)), None)
                    how = noticed_here[change.number]
                    found[mutant.name] = Outcome(mutant, instance.name, how, 1, declared)
                else:
                    self.asked.setdefault(mutant.name, set()).add(instance.name)
        return found

    def entry_of(self, outcome: Outcome) -> Entry:
        """What to record of an outcome."""
        asked = [one.name for one in self.able(outcome.mutant)]
        names = asked if outcome.noticed_by is None else [outcome.noticed_by]
        return Entry(outcome.noticed_by, outcome.how, self.limit, fingerprint_of(names, self.pins))

    def is_current(self, mutant: Mutant) -> bool:
        """Whether the record has this mutant, obtained with the models as they are now."""
        entry = self.record.get(mutant.name)
        if entry is None:
            return False
        able = {one.name for one in judges_for(mutant, self.instances, self.pins, self.sources, entry.limit)}
        names = able if entry.noticed_by is None else {entry.noticed_by}
        return bool(names) and names <= able and entry.sha256 == fingerprint_of(names, self.pins)

    def recorded(self, mutant: Mutant) -> Outcome:
        """The outcome that stands in the record."""
        entry = self.record[mutant.name]
        declared = next((one for one in self.equivalents if one.covers(mutant)), None)
        return Outcome(mutant, entry.noticed_by, entry.how, 0, declared)

    def _judge(self, mutant: Mutant) -> Outcome:
        declared = next((one for one in self.equivalents if one.covers(mutant)), None)
        runs = 0
        for instance in self.able(mutant):
            if instance.name in self.asked.get(mutant.name, ()):
                continue
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
        sources = mutated(self.sources[instance.name], mutant)

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
    record: bool = False,
) -> tuple[list[Outcome], Exit]:
    """Run the mutants, print a report; :attr:`Exit.SURVIVORS` if one survived without a declared reason.

    With ``record`` those whose entry in the record still holds are not run again, and what the others
    come to is written there at once: a run can be cut short and taken up later.  Without, every mutant
    is run, and a record that lacks some of them, or is not of these models, is an error
    (:attr:`Exit.DRIFT`) if there is one at all.
    """
    everything = mutants_of(instances, root, area, kinds)
    chosen = sample_of(everything, sample, seed)
    if not chosen:
        raise RunnerError("no guard to mutate: is there an instance of kind main?")
    arena = Arena(instances, root, pins, limit)
    arena.of = max(arena.of, len(everything))
    stale = f"; {arena.stale} instances without a current pin are not asked" if arena.stale else ""
    console.print(f"{len(chosen)} of {len(everything)} mutants{stale}", highlight=False)
    kept = [mutant for mutant in chosen if record and arena.is_current(mutant)]
    if record:
        console.print(f"{len(kept)} of them are on record", highlight=False)
    done = {mutant.name: arena.recorded(mutant) for mutant in kept}
    writing = threading.Lock()

    def keep(outcomes: Iterable[Outcome]) -> None:
        with writing:
            for outcome in outcomes:
                done[outcome.mutant.name] = outcome
                if record:
                    arena.record[outcome.mutant.name] = arena.entry_of(outcome)
            if record:
                write_record(root / RECORD, arena.record, arena.of)

    barren: Counter[tuple[str, str]] = Counter()
    ahead = [mutant for mutant in chosen if mutant.name not in done]
    for instance, able in arena.batches(ahead):
        left = [mutant for mutant in able if mutant.name not in done]
        like = (instance.area_name, instance.kind)
        # Instances of one kind, above all of a sweep, differ in little: two in vain are enough.
        if len(left) < BATCH_LEAST or barren[like] >= BARREN:
            continue
        noticed_here = arena.judge_many(instance, left)
        console.print(f"{instance.name} notices {len(noticed_here)} of {len(left)}", highlight=False)
        barren[like] = 0 if len(noticed_here) * 10 >= len(left) else barren[like] + 1
        keep(noticed_here.values())
    ahead = [mutant for mutant in chosen if mutant.name not in done]
    with Reporter(len(ahead), console) as reporter, ThreadPoolExecutor(max_workers=workers) as pool:

        def one(mutant: Mutant) -> None:
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
            keep([outcome])

        list(pool.map(one, ahead))
    outcomes = [done[mutant.name] for mutant in chosen]
    whole = len(chosen) == len(everything) and area is None
    code = print_outcomes(outcomes, arena.equivalents, console, whole=whole)
    if record and whole:
        names = {mutant.name for mutant in everything}
        arena.record = {name: entry for name, entry in arena.record.items() if name in names}
        write_record(root / RECORD, arena.record, len(everything))
    elif not record and arena.record and tuple(kinds) == ("main",):
        code = max(code, print_gaps(gaps_in(arena, everything, whole=area is None), console))
        lacking = sum(one.name not in arena.record for one in everything)
        if lacking:
            console.print(f"{lacking} of {len(everything)} mutants are not on record", highlight=False)
    return outcomes, code


def gaps_in(arena: Arena, everything: Sequence[Mutant], *, whole: bool) -> list[str]:
    """What the record lacks, in words: mutants without an entry or with one of other models.

    With ``whole``, entries of guards that are no more as well.  A record that never was complete may lack
    mutants, but what it has must be so.
    """
    complete = len(arena.record) >= (tried_of(arena.file) or 0)
    found = [f"not on record: {one.name}" for one in everything if complete and one.name not in arena.record]
    found.extend(
        f"on record with other models: {one.name}"
        for one in everything
        if one.name in arena.record and not arena.is_current(one)
    )
    found.extend(
        f"on record, but nobody noticed: {one.name}"
        for one in everything
        if one.name in arena.record and arena.recorded(one).survived
    )
    if whole:
        names = {one.name for one in everything}
        found.extend(f"on record, but no such guard: {name}" for name in arena.record if name not in names)
    return found


def print_gaps(gaps: Sequence[str], console: Console) -> Exit:
    """Say what the record lacks, and how to fill it."""
    for gap in gaps[:20]:
        console.print(gap, style="red", markup=False, highlight=False, soft_wrap=True)
    if not gaps:
        return Exit.OK
    console.print(
        f"{len(gaps)} gaps in {RECORD}; python -m tla.runner mutate --record fills them", highlight=False
    )
    return Exit.DRIFT


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
