"""``python -m tools.spec [--check]``: regenerate and lint the specification, or only look."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from conformance import formats
from tom_ref import constants, errors, wire
from tools.spec import chapters, lint, tables

ROOT = Path(__file__).resolve().parents[2]
TESTING = ("tests/", "conformance/", "test-vectors/", "tla/")


def gather_sources(requirements: Sequence[chapters.Requirement]) -> tables.Sources:
    """What the generated tables are made from: the reference implementation's declarations."""
    errors_source = Path(errors.__file__).read_text(encoding="utf-8")
    constants_source = Path(constants.__file__).read_text(encoding="utf-8")
    return tables.Sources(
        layouts=wire.LAYOUTS,
        reasons=errors.Reason,
        reason_meanings=tables.documented_members(errors_source, "Reason"),
        constants=tables.read_constants(constants_source, vars(constants)),
        purposes=constants.Purpose,
        purpose_meanings=tables.documented_members(constants_source, "Purpose"),
        requirements=requirements,
    )


def run(root: Path, *, check: bool) -> tuple[list[chapters.Chapter], list[chapters.Problem]]:
    """Lint the specification under ``root``; regenerate what is generated unless ``check`` is set."""
    folder = root / "spec"
    parsed = chapters.load(folder)
    requirements = [requirement for chapter in parsed for requirement in chapter.requirements]
    sources = gather_sources(requirements)
    retired = lint.load_retired(folder / "retired.json")
    problems = [problem for chapter in parsed for problem in chapter.problems]
    if not parsed:
        problems.append(chapters.Problem("spec/", "form", "there are no chapters"))

    vocabulary = {
        field.name for layout in wire.LAYOUTS.values() for field in tables.layout_fields(layout, wire.LAYOUTS)
    }
    problems += lint.check_ids(parsed, retired)
    problems += lint.check_codes(requirements, [reason.value for reason in errors.Reason], vocabulary)
    problems += lint.check_citations(lint.citations(root), {requirement.id for requirement in requirements})
    problems += tables.missing_layouts(parsed, wire.LAYOUTS)

    for chapter in parsed:
        filled, unfilled = tables.fill(chapter, sources)
        problems += unfilled
        path = folder / f"{chapter.name}.md"
        if filled != chapter.text:
            if check:
                message = "generated blocks are stale; run `make spec`"
                problems.append(chapters.Problem(f"spec/{path.name}", "drift", message))
            else:
                path.write_text(filled, encoding="utf-8")
    expected = lint.as_json(requirements)
    if check:
        problems += lint.check_drift(expected, folder / "requirements.json")
        if root == ROOT:
            message = "differs from the declarations; run `make spec`"
            problems += [chapters.Problem(f"formats/{name}", "drift", message) for name in formats.outdated()]
    else:
        if root == ROOT:
            formats.write()
        (folder / "requirements.json").write_text(expected, encoding="utf-8")
    return parsed, problems


def chapter_table(parsed: Iterable[chapters.Chapter], cited: Iterable[lint.Citation]) -> Table:
    """How many requirements each chapter has, of which level, and how many are cited by code and by tests."""
    by_code: set[str] = set()
    by_tests: set[str] = set()
    for citation in cited:
        if citation.path.startswith(TESTING):
            by_tests.add(citation.id)
        elif citation.path.startswith(("tom_ref/", "tom_cli/")):
            by_code.add(citation.id)
    table = Table(title="Requirements", title_justify="left")
    table.add_column("chapter")
    for name in ("rules", "MUST", "SHOULD", "MAY", "in code", "in tests"):
        table.add_column(name, justify="right")
    totals = [0] * 6
    for chapter in parsed:
        levels = [requirement.level for requirement in chapter.requirements]
        identifiers = {requirement.id for requirement in chapter.requirements}
        row = [
            len(levels),
            *(levels.count(level) for level in chapters.STRENGTH),
            len(identifiers & by_code),
            len(identifiers & by_tests),
        ]
        totals = [total + number for total, number in zip(totals, row, strict=True)]
        table.add_row(chapter.name, *map(str, row))
    table.add_section()
    table.add_row("all", *map(str, totals))
    return table


def problem_table(problems: Iterable[chapters.Problem]) -> Table:
    """What is wrong, and where."""
    table = Table(title="Problems", title_justify="left")
    table.add_column("where", overflow="fold")
    table.add_column("rule")
    table.add_column("what", overflow="fold")
    for problem in problems:
        table.add_row(problem.where, problem.rule, problem.message)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit code is 1 when there are problems."""
    parser = argparse.ArgumentParser(prog="python -m tools.spec", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when something is stale")
    parser.add_argument("--untested", action="store_true", help="also list the requirements no test cites")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)

    parsed, problems = run(ROOT, check=options.check)
    cited = lint.citations(ROOT)
    console.print(chapter_table(parsed, cited))
    if options.untested:
        tested = {citation.id for citation in cited if citation.path.startswith(TESTING)}
        for chapter in parsed:
            for requirement in chapter.requirements:
                if requirement.id not in tested:
                    console.print(f"{requirement.id}  {requirement.level:6}  {requirement.sentence}")
    if problems:
        console.print(problem_table(problems))
        console.print(f"{len(problems)} problems in the specification")
        return 1
    console.print("The specification is consistent.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
