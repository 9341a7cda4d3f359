"""The command ``tom-conformance``.

Exit codes: 0 as declared · 1 an unexpected result · 2 wrong usage · 3 the adapter is broken · 4 the suite's
own check failed.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import json
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.table import Table

from conformance import SPEC_VERSION, SUITE_VERSION, known, reports
from conformance.case import LEVELS, PROFILES, Case, Polarity
from conformance.declared import dump
from conformance.port import Port, PortError, resolved
from conformance.protocol import TIMEOUT
from conformance.runner import GivenUpError, Results, Verdict, checked_hello, run, selected
from conformance.sources.sweeps import SuiteError
from conformance.suite import proportions, requirements, suite

AS_DECLARED: Final = 0
UNEXPECTED: Final = 1
USAGE: Final = 2
BROKEN: Final = 3
OWN_CHECK: Final = 4

MOST_EXPLAINED: Final = 10

Profile = Literal["smoke", "codec", "core", "full"]

app = App(
    name="tom-conformance",
    help="Prove or refute that a port speaks ToM/1. What follows `--` is the command of its adapter.",
    version=f"suite {SUITE_VERSION}, {SPEC_VERSION}",
)


class UsageError(Exception):
    """Wrong usage."""


class _Given:
    """The command behind ``--``, which cyclopts doesn't see."""

    port: tuple[str, ...] = ()


def _port() -> tuple[str, ...]:
    if not _Given.port:
        raise UsageError("name the adapter's command behind --")
    return tuple(resolved(_Given.port))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False, soft_wrap=True)


def _seed(given: str | None) -> str:
    return secrets.token_hex(4) if given is None else given


def _failures(path: Path | None) -> list[known.Known]:
    if path is None:
        return []
    try:
        return known.load(path)
    except known.KnownError as error:
        raise UsageError(str(error)) from None


@app.command(name="run")
def run_command(
    *,
    profile: Profile = "full",
    case: str = "*",
    seed: str | None = None,
    known_failures: Annotated[Path | None, Parameter(name="--known")] = None,
    jobs: int = 2,
    report: Path | None = None,
    timeout: float = TIMEOUT,
    fresh: bool = False,
) -> int:
    """Run a profile against the adapter behind `--`.

    Args:
        profile: Which levels.
        case: Only cases whose id matches this pattern.
        seed: Repeats a run; else one is drawn and printed.
        known_failures: A TOML list of failures that are known.
        jobs: How many adapters run at once.
        report: A folder for results.json, junit.xml, report.html, summary.md and badge.svg.
        timeout: Seconds for one answer.
        fresh: Play the scenes of whole subnets anew from the seed, which takes ten seconds more.
    """
    port, seed = _port(), _seed(seed)
    made = run(
        port,
        profile=profile,
        seed=seed,
        pattern=case,
        known=_failures(known_failures),
        jobs=jobs,
        timeout=timeout,
        fresh=fresh,
    )
    if not made.outcomes:
        raise UsageError(f"no case of the profile {profile} matches {case!r}")
    _say(made)
    if report is not None:
        for path in reports.write(made, report):
            print(path)
    return made.exit_code


@app.command
def smoke() -> int:
    """Run the first cases only: does the adapter answer at all?"""
    made = run(_port(), profile="smoke", seed=_seed(None))
    _say(made)
    return made.exit_code


def _say(made: Results) -> None:
    console = _console()
    for outcome in made.unexpected[:MOST_EXPLAINED]:
        if outcome.verdict is not Verdict.NOT_RUN:
            console.print(reports.explained(outcome, made.command, made.seed), markup=False)
            console.print()
    more = len(made.unexpected) - MOST_EXPLAINED
    if more > 0:
        console.print(f"… and {more} more", markup=False)
    table = Table(title=f"{SPEC_VERSION} conformance, profile {made.profile}", title_justify="left")
    for name in ("level", "passed", "of"):
        table.add_column(name, justify="left" if name == "level" else "right")
    for level, name in LEVELS.items():
        here = [one for one in made.outcomes if one.case.level == level]
        if here:
            passed = sum(one.verdict is Verdict.PASS for one in here)
            table.add_row(f"{level} {name}", str(passed), str(len(here)))
    console.print(table)
    for finding in made.findings:
        console.print(f"adapter: {finding.kind}: {finding.detail}", markup=False)
    if made.given_up:
        console.print(f"given up: {made.given_up}", markup=False)
    counts = ", ".join(f"{count} {name}" for name, count in made.counts.items() if count)
    console.print(f"{counts} in {made.seconds:.1f} s; seed {made.seed}", markup=False)
    console.print(f"conformant: {made.conformant}", markup=False)


@app.command(name="list")
def list_command(
    *, profile: Profile = "full", case: str = "*", seed: str = "0", as_json: bool = False
) -> int:
    """List the cases of a profile: id, level, polarity, requirements. What is expected is not told.

    Args:
        profile: Which levels.
        case: Only ids that match.
        seed: Of the run.
        as_json: One JSON object a line.
    """
    for one in selected(suite(seed), profile, case):
        if as_json:
            print(json.dumps(_listed(one), sort_keys=True))
        else:
            sign = "+" if one.polarity is Polarity.POSITIVE else "-"
            print(f"{sign} {one.level} {one.id}  {' '.join(one.requirements)}  {one.about}")
    return AS_DECLARED


def _listed(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "level": case.level,
        "polarity": case.polarity.value,
        "pair": case.pair,
        "requirements": list(case.requirements),
        "about": case.about,
        "source": case.source,
    }


@app.command
def explain(name: str, *, seed: str = "0") -> int:
    """Explain a case or a requirement.

    Args:
        name: The id of either.
        seed: Of the run.
    """
    every = suite(seed)
    rule = requirements().get(name)
    if rule is not None:
        print(f"{rule.id} ({rule.level}, spec/{rule.anchor})\n\n{rule.sentence}\n")
        for case in every:
            if name in case.requirements:
                print(f"{case.polarity.value:8} {case.id}: {case.about}")
        return AS_DECLARED
    for case in every:
        if case.id == name:
            _explain_case(case)
            return AS_DECLARED
    raise UsageError(f"no case and no requirement {name!r}")


def _explain_case(case: Case) -> None:
    print(f"{case.id}: {case.about}\n{case.polarity.value}, level {case.level} ({LEVELS[case.level]})")
    if case.pair:
        print(f"beside {case.pair}")
    for rule in case.requirements:
        print(f"  {rule}: {requirements()[rule].sentence}")
    for number, step in enumerate(case.steps, 1):
        print(f"\n{number}. {step.cmd} {json.dumps(step.p, indent=1, ensure_ascii=False)}")
        print(f"   expected: {step.expect.describe()}")
        if step.expect.value is not None:
            print(json.dumps(step.expect.value, indent=1, ensure_ascii=False))


@app.command
def matrix(*ports: str, profile: Profile = "core", seed: str | None = None) -> int:
    """Run several ports and show them beside each other; each port is one quoted command.

    Args:
        ports: Commands, each quoted as one word.
        profile: Which levels.
        seed: Repeats a run.
    """
    if len(ports) < 2:
        raise UsageError("name two ports or more, each as one quoted word")
    seed = _seed(seed)
    runs = [run(resolved(shlex.split(port)), profile=profile, seed=seed) for port in ports]
    table = Table(title=f"profile {profile}, seed {seed}", title_justify="left")
    table.add_column("level")
    for one in runs:
        table.add_column(str(one.hello.get("port", {}).get("name", one.command[0])), justify="right")
    for level in sorted(PROFILES[profile]):
        row = [f"{level} {LEVELS[level]}"]
        for one in runs:
            here = [outcome for outcome in one.outcomes if outcome.case.level == level]
            row.append(f"{sum(outcome.verdict is Verdict.PASS for outcome in here)} of {len(here)}")
        table.add_row(*row)
    table.add_row("conformant", *[one.conformant for one in runs])
    _console().print(table)
    return max(one.exit_code for one in runs)


@app.command
def lint(*, seed: str | None = None) -> int:
    """Check the suite itself: ids, requirements, pairs, proportions.

    Args:
        seed: Of the run.
    """
    every = suite(_seed(seed))
    faults = list(proportions(every))
    for fault in faults:
        print(fault)
    negative = sum(case.polarity is Polarity.NEGATIVE for case in every)
    derived = sum(case.derived for case in every)
    print(f"{len(every)} cases, {negative} negative and paired, {derived} from the seed")
    return OWN_CHECK if faults else AS_DECLARED


@app.command
def regen(*, check: bool = False) -> int:
    """Make the test vectors and the generated formats again, or compare them byte for byte.

    Args:
        check: Write nothing; fail if anything would change.
    """
    from tools.spec.__main__ import main as make_spec  # noqa: PLC0415
    from tools.vectors.__main__ import main as make_vectors  # noqa: PLC0415

    arguments = ["--check"] if check else []
    code = make_vectors(arguments) or make_spec(arguments)
    return OWN_CHECK if code else AS_DECLARED


@app.command(name="selftest")
def selftest_command(
    *,
    seed: str | None = None,
    only: str = "*",
    mutants: bool = True,
    jobs: int = 2,
    report: Path | None = None,
) -> int:
    """Show that the suite catches what is broken, and nothing else.

    Args:
        seed: Repeats a run.
        jobs: How many broken ports and mutants are tried at once.
        only: Broken ports whose names match this pattern.
        mutants: Whether to try one mutant a MUST as well.
        report: A file for the results, as JSON; `coverage` and the next self-test read what is in
            conformance/selftest.json.
    """
    from conformance import selftest  # noqa: PLC0415 - it loads every broken port
    from conformance.broken import BROKEN  # noqa: PLC0415 - as above
    from conformance.mutants import needless, try_rules  # noqa: PLC0415 - as above

    seed = _seed(seed)
    began = time.monotonic()
    right = run([sys.executable, "-m", "conformance.adapters.python"], seed=seed, jobs=2)
    fault = selftest.sound(right)
    cases = len(right.outcomes)
    print(f"the reference: {cases} cases in {right.seconds:.1f} s, conformant: {right.conformant}")
    if fault:
        print(f"void, because the reference itself fails: {fault}\nseed {seed}")
        return OWN_CHECK
    whole = only == "*" and mutants
    faults = selftest.fresh_faults(seed) if whole else []
    if faults:
        print(f"void, because the reference fails scenes that were just played: {faults[0]}\nseed {seed}")
        return OWN_CHECK
    names = [name for name in BROKEN if fnmatch.fnmatchcase(name, only)]
    catches = selftest.broken_ports(seed, names, jobs=jobs) if names else []
    for catch in catches:
        if not catch.caught:
            print(f"ESCAPED  {catch.name}: {catch.about}: {catch.by}")
    escaped = sum(not catch.caught for catch in catches)
    seconds = time.monotonic() - began
    print(f"{len(catches) - escaped} of {len(catches)} broken ports caught in {seconds:.0f} s; seed {seed}")
    tried = try_rules(suite(seed), jobs=jobs) if mutants else None
    if tried is not None:
        print(tried.said)
    stale = [] if report or not whole else list(selftest.stale(selftest.recorded(), suite(seed), needless()))
    if stale:
        print(f"conformance/selftest.json is stale, write it with --report: {'; '.join(stale[:5])}")
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(selftest.as_json(catches, tried, seed), encoding="utf-8")
    bad = escaped or stale or (tried is not None and not tried.sound)
    if bad:
        print(f"again: tom-conformance selftest --seed {seed}")
    return OWN_CHECK if bad else AS_DECLARED


@app.command(name="coverage")
def coverage_command(
    *,
    form: Annotated[Literal["table", "json", "markdown"], Parameter(name="--format")] = "table",
    selftest: Path | None = None,
    seed: str = "0",
) -> int:
    """Show for each requirement the code, models, cases and mutants that belong to it.

    Args:
        form: For people, programs, or the documentation site.
        selftest: What `selftest --report` wrote, for the mutants.
        seed: Of the run.
    """
    from conformance import coverage  # noqa: PLC0415 - it reads every source

    killed = {}
    if selftest is not None:
        try:
            killed = json.loads(selftest.read_text(encoding="utf-8"))["mutants"]
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{selftest}: {error}") from None
    made = coverage.rows(suite(seed), killed)
    if form == "json":
        print(coverage.as_json(made), end="")
    elif form == "markdown":
        print(coverage.as_markdown(made), end="")
    else:
        columns = (
            "must",
            "both",
            "one-sided",
            "positive",
            "negative",
            "runner",
            "excluded",
            "open",
            "killed",
        )
        table = Table(title="MUSTs by what shows them", title_justify="left")
        table.add_column("chapter")
        for name in columns:
            table.add_column(name, justify="right")
        for chapter, count in coverage.totals(made).items():
            table.add_row(chapter, *[str(count[name]) for name in columns])
        _console().print(table)
    return AS_DECLARED


@app.command(name="init")
def init_command(language: Literal["ts", "rust", "c", "python"], folder: Path) -> int:
    """Write a starting adapter that passes the smoke level.

    Args:
        language: Of your port.
        folder: Where; it has to be empty or not there.
    """
    from conformance import init  # noqa: PLC0415

    try:
        written = init.write(language, folder)
    except OSError as error:
        raise UsageError(str(error)) from None
    about = init.LANGUAGES[language]
    for path in written:
        print(path)
    steps = [" ".join(words) for words in about.build]
    print("\nin this folder:  " + " && ".join([*steps, "tom-conformance smoke -- " + " ".join(about.run)]))
    print("what comes next: docs/writing-a-port.md")
    return AS_DECLARED


@app.command(name="diff")
def diff_command(
    first: str,
    second: str,
    *,
    seed: str | None = None,
    inputs: int = 20_000,
    codes: bool = False,
    keep: bool = False,
) -> int:
    """Give two ports the same random inputs until they differ; make the first difference small.

    Args:
        first: The command of one adapter, quoted as one word.
        second: The command of the other.
        seed: Repeats a search.
        inputs: How many inputs at most.
        codes: Whether another reason code is a difference, too.
        keep: Keep the difference as a case of the suite.
    """
    from conformance import diff  # noqa: PLC0415

    seed = _seed(seed)
    ports = [Port(resolved(shlex.split(command))) for command in (first, second)]
    try:
        for port in ports:
            checked_hello(port.ask("hello", {}))
        found = diff.search(diff.asking(*ports), seed, inputs, codes=codes)
    except GivenUpError as error:
        print(f"tom-conformance: {error}", file=sys.stderr)
        return BROKEN
    finally:
        for port in ports:
            port.kill()
    if found is None:
        print(f"no difference in {inputs} inputs; seed {seed}")
        return AS_DECLARED
    print(f"input {found.asked}: {diff.said(found)}\n  bytes {found.data.hex()}")
    structure = reports.structure_of(found.format, found.data)
    for line in dump(structure, found.data) if structure else ():
        print(f"    {line}")
    print(f"  again: tom-conformance diff --seed {seed} {shlex.quote(first)} {shlex.quote(second)}")
    if keep:
        print(f"  kept as {diff.keep(found)}")
    return UNEXPECTED


known_app = App(name="known", help="Known failures.")
app.command(known_app)


@known_app.default
def known_command(
    file: Path,
    *,
    fix: bool = False,
    profile: Profile = "full",
    issue: str = "",
    days: int = 90,
    seed: str | None = None,
) -> int:
    """Compare a list of known failures with a run, or write it anew.

    Args:
        file: The list.
        fix: Write the list as the run has it.
        profile: Which levels.
        issue: What new entries name as their issue.
        days: For how long new entries are good.
        seed: Repeats a run.
    """
    held = _failures(file if file.exists() else None)
    made = run(_port(), profile=profile, seed=_seed(seed), known=[] if fix else held)
    if not fix:
        _say(made)
        return made.exit_code
    if not issue and any(not one.issue for one in held):
        raise UsageError("--issue says where the failures are being worked on")
    by_case = {one.case: one for one in held}
    today = dt.datetime.now(tz=dt.UTC).date()
    entries = []
    for outcome in made.outcomes:
        if outcome.verdict.value in known.OUTCOMES:
            old = by_case.get(outcome.case.id)
            expires = old.expires if old else today + dt.timedelta(days=days)
            place = old.issue if old else issue
            message = outcome.message.split(":", 1)[0]
            entries.append(known.Known(outcome.case.id, outcome.verdict.value, message, place, expires))
    file.write_text(known.written(entries), encoding="utf-8")
    print(f"{len(entries)} known failures in {file}")
    return made.exit_code if made.given_up else AS_DECLARED


def _guarded(call: Callable[[], Any]) -> int:
    try:
        code = call()
    except UsageError as error:
        print(f"tom-conformance: {error}", file=sys.stderr)
        return USAGE
    except SuiteError as error:
        print(f"tom-conformance: the suite is at fault:\n{error}", file=sys.stderr)
        return OWN_CHECK
    except PortError as fault:
        print(f"tom-conformance: {fault}", file=sys.stderr)
        return BROKEN
    return code if isinstance(code, int) else AS_DECLARED


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _Given.port = ()
    if "--" in words:
        place = words.index("--")
        words, _Given.port = words[:place], tuple(words[place + 1 :])

    def call() -> Any:
        try:
            return app(words, exit_on_error=False, print_error=True, result_action="return_value")
        except CycloptsError:
            return USAGE

    return _guarded(call)
