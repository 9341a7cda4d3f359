"""Writes the tables of the conformance suite at the start of each build: coverage, and the last self-test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from conformance import coverage
from conformance.suite import suite

ROOT = Path(__file__).resolve().parents[2]
SELFTEST = ROOT / "conformance/selftest.json"


def selftest_table(results: dict[str, Any]) -> str:
    """The broken ports, and how many mutants were killed."""
    lines = ["| broken port | what is wrong with it | caught by |", "|---|---|---|"]
    for one in results["broken"]:
        by = one["by"].replace("|", "\\|").replace("`", "'").replace("\n", " ")
        by = by if len(by) <= 90 else by[:89] + "…"
        lines.append(f"| {one['name']} | {one['about']} | `{by}` |")
    killed, left = len(results["mutants"]), len(results["not_killed"])
    without = len(results["without_case"])
    said = (
        f"Mutants: one killed for {killed} of {killed + left} MUSTs that cases cite; see the table below. "
        f"{without} MUSTs had no case of their own when this was recorded."
    )
    lines += ["", said]
    return "\n".join(lines) + "\n"


def generate(app: Sphinx) -> None:
    """Write both tables."""
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    results = json.loads(SELFTEST.read_text(encoding="utf-8"))
    rows = coverage.rows(suite("0"), results["mutants"])
    for name, text in (
        ("conformance-selftest.txt", selftest_table(results)),
        ("conformance-coverage.txt", coverage.as_markdown(rows).replace("\n## ", "\n### ")),
    ):
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    if not app.tags.has("printable"):
        app.connect("builder-inited", generate, priority=400)
    return {"parallel_read_safe": True}
