"""Writes at the start of each build what is shown of the models, the constants and the reason codes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx

from tla.runner.instances import load_instances
from tla.runner.manifest import read_manifest
from tla.runner.tables import Tables
from tom_ref import constants
from tom_ref.errors import Reason
from tools.spec import tables

ROOT: Final = Path(__file__).resolve().parents[2]
AREAS: Final = ("roles", "purge", "compose", "abs")


def models() -> dict[str, str]:
    """The tables of the models, made from their declarations and pins."""
    root = ROOT / "tla"
    made = Tables(root, load_instances(root), read_manifest(root / "manifest.json"))
    return {
        "models-properties": made.properties(*AREAS),
        "models-results": made.results(*AREAS),
        "models-twins": made.twins(*AREAS),
        "models-witnesses": made.witnesses(*AREAS),
    }


def parameters() -> str:
    """Every constant with unit, value, reason, and the chapters that speak of it, section by section."""
    source = (ROOT / "tom_ref/constants.py").read_text(encoding="utf-8")
    texts = {
        path.stem: re.sub(
            r"<!-- generated:.*?<!-- /generated -->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        for path in sorted((ROOT / "spec").glob("[0-9][0-9]-*.md"))
    }
    lines: list[str] = []
    section = None
    for constant in tables.read_constants(source, vars(constants)):
        if constant.section != section:
            section = constant.section
            lines += [
                "",
                f"## {section[:1].upper()}{section[1:]}",
                "",
                "| name | value | unit | why | chapters |",
            ]
            lines.append("|---|---:|---|---|---|")
        said = [
            f"[{stem[:2]}](generated/{stem}.md)"
            for stem, text in texts.items()
            if re.search(rf"\b{constant.name}\b", text)
        ]
        value = tables.value_text(constant)
        lines.append(
            f"| `{constant.name}` | {value} | {constant.unit} | {constant.why[:1].upper()}{constant.why[1:]} | "
            f"{', '.join(said)} |"
        )
    return "\n".join(lines) + "\n"


def reasons() -> str:
    """Every reason code with its meaning and the requirements that name it."""
    content = json.loads((ROOT / "spec/requirements.json").read_text(encoding="utf-8"))["requirements"]
    errors = (ROOT / "tom_ref/errors.py").read_text(encoding="utf-8")
    meanings = tables.documented_members(errors, "Reason")
    named: dict[str, list[str]] = {}
    for requirement in content:
        for code in requirement["codes"]:
            named.setdefault(code, []).append(requirement["id"])
    rows = [
        (f"`{member.value}`", meanings[member.name], ", ".join(named.get(member.value, [])) or "–")
        for member in Reason
    ]
    return tables.markdown_table(("code", "meaning", "requirements"), rows) + "\n"


def generate(app: Sphinx) -> None:
    """Write the files that pages include."""
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    for name, text in {**models(), "parameters": parameters(), "reasons": reasons()}.items():
        path = folder / f"{name}.txt"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    if not app.tags.has("printable"):
        app.connect("builder-inited", generate, priority=400)
    return {"version": "1", "parallel_read_safe": True}
