"""What a run leaves: results.json, junit.xml, a page in one file, a summary in Markdown, a badge."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
import junitparser

from conformance import SPEC_VERSION, SUITE_VERSION
from conformance.case import LEVELS
from conformance.declared import dump, frame_types
from conformance.runner import Exchange, Outcome, Results, Verdict
from conformance.suite import requirements

TEMPLATES: Final = Path(__file__).with_name("templates")
_LONGEST: Final = 4_096
_SLOWEST: Final = 10
_STRUCTURES: Final[Mapping[str, str]] = {
    "header": "header",
    "descriptor": "descriptor",
    "handshake-payload": "handshake_payload",
    "extensions": "extensions",
    "records": "record",
    "term-record": "term_record",
    "block-header": "block_header",
    "evidence": "evidence",
    "invitation": "invitation",
}


def structure_of(name: str, data: bytes) -> str | None:
    """Which declared structure some bytes of a format are."""
    if name == "frame":
        return frame_types().get(data[0]) if data else None
    if name == "session-message":
        return {1: "session_initial", 2: "session_regular"}.get(data[1]) if len(data) > 1 else None
    return _STRUCTURES.get(name)


def cut(value: Any, limit: int = _LONGEST) -> Any:
    """A value as it is, or the beginning of its JSON when that is too long."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def exchange(one: Exchange) -> dict[str, Any]:
    """A request with its reply."""
    reply = None if one.reply is None else {one.reply.kind.value: cut(one.reply.value)}
    return {"cmd": one.cmd, "p": cut(one.p), "reply": reply}


def results(run: Results) -> dict[str, Any]:
    """The content of results.json; all that differs between two runs with one seed is under ``times``."""
    slow = sorted(run.outcomes, key=lambda one: -one.seconds)[:_SLOWEST]
    return {
        "schema": "results-1",
        "suite": {"version": SUITE_VERSION, "sha256": run.suite_digest},
        "spec": {"version": SPEC_VERSION, "sha256": run.spec_digest},
        "port": {
            "command": list(run.command),
            "sha256": program_digest(run.command),
            "hello": dict(run.hello),
        },
        "profile": run.profile,
        "seed": run.seed,
        "filtered": run.filtered,
        "conformant": run.conformant,
        "exit_code": run.exit_code,
        "given_up": run.given_up,
        "counts": run.counts,
        "findings": [{"kind": one.kind, "detail": one.detail} for one in run.findings],
        "requirements": run.by_requirement(),
        "cases": [_case(one) for one in run.outcomes],
        "times": {
            "finished_at": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
            "seconds": round(run.seconds, 3),
            "slowest": {one.case.id: round(one.seconds, 4) for one in slow},
        },
    }


def _case(outcome: Outcome) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": outcome.case.id,
        "level": outcome.case.level,
        "verdict": outcome.verdict.value,
        "requirements": list(outcome.case.requirements),
        "polarity": outcome.case.polarity.value,
    }
    if outcome.verdict is not Verdict.PASS:
        made["message"] = outcome.message
        made["known"] = outcome.known
        made["transcript"] = [exchange(one) for one in outcome.transcript]
    return made


def program_digest(command: tuple[str, ...]) -> str:
    """SHA-256 of the files that the command names, so that a report says what it is about."""
    hasher = hashlib.sha256()
    for word in command:
        path = Path(word)
        if path.is_file():
            hasher.update(path.read_bytes())
    return hasher.hexdigest()


def junit(run: Results) -> junitparser.JUnitXml:
    """The run for continuous integration."""
    suite = junitparser.TestSuite(f"ToM/1 {run.profile}")
    made = []
    for outcome in run.outcomes:
        case = junitparser.TestCase(outcome.case.id, f"level {outcome.case.level}", round(outcome.seconds, 6))
        if outcome.verdict in {Verdict.SKIP, Verdict.NOT_RUN} or outcome.known:
            case.result = [junitparser.Skipped(outcome.message or outcome.verdict.value)]
        elif outcome.verdict is not Verdict.PASS:
            case.result = [junitparser.Failure(outcome.message, outcome.verdict.value)]
        made.append(case)
    for finding in run.findings:
        case = junitparser.TestCase(f"adapter: {finding.kind}", "adapter")
        case.result = [junitparser.Failure(finding.detail, finding.kind)]
        made.append(case)
    suite.add_testcases(made)
    document = junitparser.JUnitXml("tom-conformance")
    document.add_testsuite(suite)
    return document


def chapters(run: Results) -> list[dict[str, Any]]:
    """For each chapter how many of its requirements are met, by the cases of the run."""
    verdicts = run.by_requirement()
    found: dict[str, dict[str, Any]] = {}
    for rule in requirements().values():
        row = found.setdefault(
            rule.chapter, {"chapter": rule.chapter, "rules": 0, "checked": 0, "pass": 0, "bad": []}
        )
        row["rules"] += 1
        verdict = verdicts.get(rule.id)
        if verdict is not None:
            row["checked"] += 1
            if verdict == Verdict.PASS:
                row["pass"] += 1
            else:
                row["bad"].append((rule.id, verdict))
    return list(found.values())


def explained(outcome: Outcome, command: tuple[str, ...], seed: str) -> str:
    """A failure for people: the rule's sentence, what was expected and said, the bytes, how to repeat it."""
    lines = [f"{outcome.verdict.value.upper()}  {outcome.case.id}: {outcome.case.about}"]
    known = requirements()
    lines += [f"  {rule}: {known[rule].sentence}" for rule in outcome.case.requirements]
    lines.append(f"  {outcome.message}")
    for one in outcome.transcript[-1:]:
        lines.append(f"  asked    {one.cmd} {json.dumps(cut(one.p, 300), ensure_ascii=False)}")
        said = "nothing" if one.reply is None else f"{one.reply.kind.value} {cut(one.reply.value, 300)}"
        lines.append(f"  answered {said}")
        if one.cmd == "codec.decode":
            data = bytes.fromhex(one.p["bytes"])
            structure = structure_of(one.p["format"], data)
            if structure:
                lines += [f"    {line}" for line in dump(structure, data)]
    lines.append(
        f"  again: tom-conformance run --case {outcome.case.id} --seed {seed} -- {' '.join(command)}"
    )
    return "\n".join(lines)


def markdown(run: Results) -> str:
    """A summary for a pull request."""
    return _rendered("summary.md.j2", run)


def page(run: Results) -> str:
    """One HTML file that needs nothing else."""
    return _rendered("report.html.j2", run)


def _rendered(name: str, run: Results) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    failed = [outcome for outcome in run.outcomes if outcome.verdict is not Verdict.PASS]
    return environment.get_template(name).render(
        run=run,
        counts=run.counts,
        chapters=chapters(run),
        levels=LEVELS,
        by_level=_by_level(run),
        failed=[(one, explained(one, run.command, run.seed)) for one in failed[:200]],
        more=max(0, len(failed) - 200),
        suite=SUITE_VERSION,
        spec=SPEC_VERSION,
    )


def _by_level(run: Results) -> list[tuple[int, str, int, int]]:
    rows = []
    for level, name in LEVELS.items():
        here = [outcome for outcome in run.outcomes if outcome.case.level == level]
        if here:
            rows.append((level, name, sum(one.verdict is Verdict.PASS for one in here), len(here)))
    return rows


def badge(run: Results) -> str:
    """A small picture that says the verdict."""
    text = {"true": f"{run.profile}: conformant", "false": f"{run.profile}: fails"}.get(
        run.conformant, f"{run.profile}: incomplete"
    )
    colour = {"true": "#2e7d32", "false": "#c62828"}.get(run.conformant, "#9e6f00")
    width = 52 + 7 * len(text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
        f'aria-label="ToM/1 {text}"><rect width="{width}" height="20" rx="3" fill="#444"/>'
        f'<rect x="48" width="{width - 48}" height="20" rx="3" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="7" y="14">ToM/1</text><text x="54" y="14">{text}</text></g></svg>\n'
    )


def write(run: Results, folder: Path) -> list[Path]:
    """Write every report; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "results.json": json.dumps(results(run), indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        "report.html": page(run),
        "summary.md": markdown(run),
        "badge.svg": badge(run),
    }
    paths = []
    for name, text in content.items():
        (folder / name).write_text(text, encoding="utf-8")
        paths.append(folder / name)
    junit(run).write(str(folder / "junit.xml"))
    return [*paths, folder / "junit.xml"]
