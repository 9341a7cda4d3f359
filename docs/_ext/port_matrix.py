"""The matrix of ports and chapters: the reference as it is now, and every port whose report was handed in.

A port's report is the ``results.json`` that ``tom-conformance run --report`` leaves, kept as
``conformance/ports/NAME/results.json``.  The reference is asked while the site is built, so its row can't be old;
a report made with another suite or specification says so in its row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
from sphinx.application import Sphinx

from conformance import reports
from conformance.selftest import reference
from conformance.suite import requirements

ROOT: Final = Path(__file__).resolve().parents[2]
PORTS: Final = ROOT / "conformance" / "ports"
SCHEMA: Final = ROOT / "conformance" / "schemas" / "results-1.json"


def handed_in(folder: Path = PORTS) -> dict[str, dict[str, Any]]:
    """The reports in a folder by the ports' names; raises ``ValueError`` for one out of form."""
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    found = {}
    for path in sorted(folder.glob("*/results.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if errors := [error.message for error in schema.iter_errors(content)]:
            raise ValueError(f"{path.parent.name}: {errors[0]}")
        if content["filtered"]:
            raise ValueError(f"{path.parent.name}: the report is of some cases only")
        found[path.parent.name] = content
    return found


def cell(verdicts: Mapping[str, str], chapter: str) -> str:
    """How many of the requirements that the run's cases cite are met in a chapter."""
    asked = [
        verdicts[rule.id]
        for rule in requirements().values()
        if rule.chapter == chapter and rule.id in verdicts
    ]
    met = asked.count("pass")
    if not asked:
        return "–"
    return f"{met}" if met == len(asked) else f"**{met}** of {len(asked)}"


def matrix(results: Mapping[str, Mapping[str, Any]], now: Mapping[str, Any]) -> str:
    """The table in Markdown: a row for each port; ``now`` is a report of the present suite."""
    chapters = list(dict.fromkeys(rule.chapter for rule in requirements().values()))
    lines = [
        "| port | profile | conformant | " + " | ".join(chapter[:2] for chapter in chapters) + " |",
        "|---|---|---|" + "---:|" * len(chapters),
    ]
    for name, content in results.items():
        same = all(content[part]["sha256"] == now[part]["sha256"] for part in ("suite", "spec"))
        verdict = content["conformant"] + ("" if same else ", by an older suite")
        cells = " | ".join(cell(content["requirements"], chapter) for chapter in chapters)
        lines.append(f"| {name} | `{content['profile']}` | {verdict} | {cells} |")
    named = ", ".join(f"{chapter[:2]} [{chapter[3:]}](generated/{chapter}.md)" for chapter in chapters)
    total = ", ".join(
        f"{sum(rule.chapter == chapter for rule in requirements().values())} in {chapter[:2]}"
        for chapter in chapters
    )
    said = (
        "Each number is of requirements that cases of the run cite and that all of them show to be met; where it is "
        f"less than what was asked, both are given. The chapters are {named}; they have {total} requirements."
    )
    return "\n".join((*lines, "", said, ""))


def generate(app: Sphinx) -> None:
    """Write the table."""
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    now = reports.results(reference("0"))
    text = matrix({"Python reference": now, **handed_in()}, now)
    path = folder / "conformance-ports.txt"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    if not app.tags.has("printable"):
        app.connect("builder-inited", generate, priority=400)
    return {"parallel_read_safe": True}
