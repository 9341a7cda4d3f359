"""The command line.  Exit codes are those of :class:`tla.runner.errors.Exit`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tla.runner.apalache import apalache
from tla.runner.check import Judged, default_workers, print_report, run_many, write_json
from tla.runner.closure import library_of
from tla.runner.config import Config
from tla.runner.errors import Exit, RunnerError
from tla.runner.instances import Instance, load_instances, select
from tla.runner.java import find_toolbox, java_version
from tla.runner.lint import lint
from tla.runner.manifest import Pin, read_manifest, sha256_of, write_manifest
from tla.runner.mutate import mutate, without_guard
from tla.runner.story import tell
from tla.runner.tables import FILES, Tables, update
from tla.runner.tlc import PROCESSES, CancelledError, run_instance
from tla.runner.traces import check_traces, generate, traced
from tla.runner.validate import validate

ROOT = Path(__file__).resolve().parents[1]

EXIT_CODES = """exit codes:
  0  everything as declared and pinned
  1  a model came out otherwise than declared, pinned or covered
  2  wrong arguments, or an instances.toml or manifest.json that is not valid
  3  no Java, or not the pinned TLC
  4  a model that TLC cannot parse, configure or evaluate, or that ran out of time
  5  a generated file is not what the models yield now
  6  a mutated guard that nothing noticed
  7  a model that breaks a rule of the house
 77  Apalache is not installed: nothing was checked"""


def _console(*, stderr: bool = False) -> Console:
    # Off a terminal rich would cut tables at 80 columns, which helps nobody in a log.
    width = None if sys.stdout.isatty() else 160
    return Console(stderr=stderr, width=width, soft_wrap=False)


def _check(arguments: argparse.Namespace) -> Exit:
    console = _console(stderr=arguments.json == "-")
    instances = select(
        load_instances(arguments.root, arguments.only), tier=arguments.tier, only=arguments.only
    )
    pins = read_manifest(arguments.root / "manifest.json")
    tools = find_toolbox()
    console.print(
        f"TLC 2.15, {java_version(tools.java)}; {len(instances)} instances, {arguments.workers} at a time",
        highlight=False,
    )
    report = run_many(
        instances,
        arguments.root,
        pins,
        workers=arguments.workers,
        console=console,
        compare=not arguments.no_pins,
    )
    print_report(report, console)
    if arguments.json:
        write_json(report, arguments.json)
    if arguments.only is None and not arguments.no_pins:
        stale = sorted(set(pins) - {instance.name for instance in load_instances(arguments.root)})
        if stale:
            console.print(
                f"pinned, but declared no more: {', '.join(stale)} (run pin to drop them)", style="red"
            )
            return max(report.exit, Exit.DIFFERENT)
    return report.exit


def declared_pins(file: Path, everything: Sequence[Instance]) -> dict[str, Pin]:
    """The pins of declared instances; those of areas that were not read stay."""
    names = {instance.name for instance in everything}
    areas = {instance.area_name for instance in everything}
    return {
        name: pin
        for name, pin in read_manifest(file).items()
        if name in names or name.split("/", maxsplit=1)[0] not in areas
    }


def _pin(arguments: argparse.Namespace) -> Exit:
    console = _console()
    everything = load_instances(arguments.root, arguments.only)
    chosen = select(everything, tier=arguments.tier, only=arguments.only)
    file = arguments.root / "manifest.json"
    pins = read_manifest(file)
    library = library_of(arguments.root)
    if arguments.stale:
        chosen = [
            one for one in chosen if one.name not in pins or pins[one.name].sha256 != sha256_of(one, library)
        ]
        if not chosen:
            write_manifest(file, declared_pins(file, everything))
            console.print("nothing is stale")
            return Exit.OK

    def keep(judged: Judged) -> None:
        # Read again each time: another pin may be at work, and an interrupted one has not run in vain.
        kept = declared_pins(file, everything)
        if not judged.complaints:
            kept[judged.instance.name] = judged.pin
        write_manifest(file, kept)

    report = run_many(
        chosen,
        arguments.root,
        pins,
        workers=arguments.workers,
        console=console,
        compare=False,
        coverage=False,
        each=keep,
    )
    print_report(report, console)
    good = [judged for judged in report.judged if not judged.complaints]
    console.print(
        f"pinned {len(good)} of {len(report.judged)}; what fails its declaration is never pinned",
        highlight=False,
    )
    return report.exit


def _list(arguments: argparse.Namespace) -> Exit:
    pins = read_manifest(arguments.root / "manifest.json")
    table = Table(title="Declared instances", title_justify="left", pad_edge=False)
    for name in ("instance", "kind", "tier", "expected", "about"):
        table.add_column(name, overflow="fold")
    table.add_column("pinned states", justify="right")
    for instance in select(
        load_instances(arguments.root, arguments.only), tier=arguments.tier, only=arguments.only
    ):
        expected = "holds" if instance.expect == "pass" else f"violates {instance.violates}"
        pin = pins.get(instance.name)
        table.add_row(
            instance.name,
            instance.kind,
            instance.tier,
            expected,
            instance.about,
            f"{pin.distinct:,}" if pin else "—",
        )
    _console().print(table)
    return Exit.OK


def changed(instance: Instance, settings: Sequence[str]) -> Config:
    """The instance's configuration with named steps and other constants.

    Raises :class:`RunnerError` for a constant it doesn't have.
    """
    config = traced(instance.read_config())
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or config.constant(name.strip()) is None:
            known = ", ".join(key for key, _, _ in config.constants)
            raise RunnerError(f"--set {setting}: {instance.name} has the constants {known}")
        config = config.with_constant(name.strip(), value.strip())
    return config


def _explain(arguments: argparse.Namespace) -> Exit:
    console = _console()
    for instance in select(load_instances(arguments.root, arguments.name), tier="deep", only=arguments.name):
        config = changed(instance, arguments.set)
        drop = arguments.drop
        sources = None if drop is None else without_guard(instance, arguments.root, drop)
        result = run_instance(instance, library_of(arguments.root), config=config, sources=sources)
        tell(instance, result, console)
    return Exit.OK


def _witnesses(arguments: argparse.Namespace) -> Exit:
    instances = select(
        load_instances(arguments.root), tier=arguments.tier, only=arguments.only, kinds=("witness",)
    )
    pins = read_manifest(arguments.root / "manifest.json")
    console = _console()
    report = run_many(
        instances,
        arguments.root,
        pins,
        workers=arguments.workers,
        console=console,
        compare=False,
        coverage=False,
    )
    table = Table(title="Every action can be reached", title_justify="left", pad_edge=False)
    for name in ("action", "instance", "steps", "verdict"):
        table.add_column(name)
    for judged in report.judged:
        steps = str(len(judged.result.trace) - 1) if judged.good else ""
        table.add_row(
            judged.instance.witness_of,
            judged.instance.name,
            steps,
            "reached" if judged.good else "NOT REACHED",
        )
    console.print(table)
    return report.exit


def _mutate(arguments: argparse.Namespace) -> Exit:
    instances = load_instances(arguments.root, f"{arguments.area}/*" if arguments.area else None)
    pins = read_manifest(arguments.root / "manifest.json")
    _, code = mutate(
        instances,
        arguments.root,
        pins,
        area=arguments.area,
        kinds=("main", "lemma") if arguments.all_models else ("main",),
        sample=arguments.sample,
        seed=arguments.seed,
        limit=arguments.limit,
        workers=arguments.workers,
        console=_console(),
        record=arguments.record,
    )
    return code


def _traces(arguments: argparse.Namespace) -> Exit:
    instances = load_instances(arguments.root)
    pins = read_manifest(arguments.root / "manifest.json")
    folder = arguments.out or arguments.root.parent / "test-vectors" / "tla"
    if arguments.check:
        return check_traces(
            instances, arguments.root, pins, folder, workers=arguments.workers, console=_console()
        )
    generate(instances, arguments.root, pins, folder, workers=arguments.workers, console=_console())
    return Exit.OK


def _validate(arguments: argparse.Namespace) -> Exit:
    return validate(arguments.log, arguments.root, _console())


def _lint(arguments: argparse.Namespace) -> Exit:
    console = _console()
    findings = lint(arguments.root, load_instances(arguments.root))
    for finding in findings:
        console.print(f"{finding.where}: {finding.what}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(findings)} findings", highlight=False)
    return Exit.LINT if findings else Exit.OK


def _tables(arguments: argparse.Namespace) -> Exit:
    console = _console()
    instances = load_instances(arguments.root)
    tables = Tables(arguments.root, instances, read_manifest(arguments.root / "manifest.json"))
    files = arguments.files or [arguments.root.parent / name for name in FILES]
    changed = update(files, tables, check=arguments.check)
    for file in changed:
        verb = "is not what the pins say" if arguments.check else "filled"
        console.print(f"{file.name}: {verb}", highlight=False)
    return Exit.DRIFT if changed and arguments.check else Exit.OK


def _apalache(arguments: argparse.Namespace) -> Exit:
    return apalache(
        arguments.root,
        only=arguments.only,
        wanted=arguments.what or ("typecheck", "bounded", "inductive", "simulate"),
        out=arguments.out,
        timeout=arguments.timeout,
        console=_console(),
    )


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tla.runner",
        description="Runs ToM's TLA+ models.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="folder that holds the areas (default: the tla folder)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], Exit], about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=about,
            description=about,
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    def selecting(command: argparse.ArgumentParser, *, running: bool = True) -> argparse.ArgumentParser:
        command.add_argument("--tier", choices=("check", "deep"), default="check", help="deep includes check")
        command.add_argument(
            "--only", metavar="GLOB", help="instances whose name matches, e.g. 'roles/term-*'"
        )
        if running:
            command.add_argument(
                "--workers",
                type=_positive,
                default=default_workers(),
                metavar="N",
                help="TLC processes side by side, each with one worker, so that every count is deterministic",
            )
        return command

    check = selecting(add("check", _check, "run instances, compare with declarations and pins"))
    check.add_argument("--json", metavar="FILE", help="write the report as JSON too (- for standard output)")
    check.add_argument("--no-pins", action="store_true", help="judge by the declarations only")
    pin = selecting(add("pin", _pin, "run instances and pin their results in manifest.json"))
    pin.add_argument("--stale", action="store_true", help="only those without a pin, or changed since")
    selecting(add("list", _list, "show the declared instances"), running=False)
    explain = add("explain", _explain, "run an instance and tell its counterexample as a story")
    explain.add_argument("name", metavar="NAME", help="name of an instance, or a glob")
    explain.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a constant, to see what breaks; may be repeated",
    )
    explain.add_argument(
        "--drop",
        metavar="GUARD",
        help="leave out one guard of the model, named by its text or by OPERATOR: TEXT",
    )
    selecting(add("witnesses", _witnesses, "show for every action that it can be reached"))
    mutants = add("mutate", _mutate, "drop and negate every guard of the main models and see who notices")
    mutants.add_argument("--area", metavar="GLOB", help="only this area")
    mutants.add_argument("--all-models", action="store_true", help="the models of lemmas too")
    mutants.add_argument(
        "--sample", type=_positive, metavar="N", help="so many mutants only, chosen by the seed"
    )
    mutants.add_argument("--seed", type=int, default=1)
    mutants.add_argument(
        "--record",
        action="store_true",
        help="keep the outcomes in mutants.json, and run only what is not there yet; may be interrupted",
    )
    mutants.add_argument(
        "--limit",
        type=_positive,
        default=3_000_000,
        metavar="STATES",
        help="ask only instances of at most so many states",
    )
    mutants.add_argument("--workers", type=_positive, default=default_workers(), metavar="N")
    traces = add("traces", _traces, "write behaviours of the models as ITF JSON")
    traces.add_argument(
        "--check", action="store_true", help="write nothing, fail if the files are not up to date"
    )
    traces.add_argument("--out", type=Path, metavar="FOLDER", help="default: test-vectors/tla")
    traces.add_argument("--workers", type=_positive, default=default_workers(), metavar="N")
    log = add("validate", _validate, "see whether a simulation's log is a behaviour of the model TermKnow")
    log.add_argument("log", type=Path, metavar="LOG", help="what tom sim --log wrote")
    add("lint", _lint, "check the form of the models, and that every property, twin and witness is there")
    tables = add("tables", _tables, "fill the generated tables of the specification")
    tables.add_argument("--check", action="store_true", help="write nothing, fail on drift")
    tables.add_argument("files", nargs="*", type=Path, help=f"default: {', '.join(FILES)}")
    symbolic = add(
        "apalache", _apalache, "typecheck, bounded, inductive, simulate with Apalache, if it is installed"
    )
    symbolic.add_argument(
        "what", nargs="*", metavar="QUESTION", help="typecheck, bounded, inductive, simulate"
    )
    symbolic.add_argument("--only", metavar="TEXT", help="wrappers whose name contains this")
    symbolic.add_argument("--out", type=Path, metavar="FOLDER", help="keep ITF traces here")
    symbolic.add_argument("--timeout", type=float, default=900, metavar="SECONDS", help="per question")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        # Ended from outside, it ends its TLC processes as well.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments.root = arguments.root.resolve()
    try:
        return int(arguments.run(arguments))
    except RunnerError as error:
        print(f"tla.runner: {error}", file=sys.stderr)
        return int(error.code)
    except (KeyboardInterrupt, CancelledError):
        PROCESSES.stop()
        print("tla.runner: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
