"""What programs read of this site: ``protocol.json`` and ``llms.txt``, written beside the pages.

``protocol.json`` has every requirement with its address on the site, every frame by its first byte, every format
with its fields, every reason code, constant and named draw: the same sources that the specification's tables are made from.
``llms.txt`` is a short index in the form that https://llmstxt.org proposes, for programs that read prose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from tom_site import chapters, title_of

from conformance.declared import frame_types
from tom_ref import constants, wire
from tom_ref.errors import Reason
from tools.spec import tables

ROOT = Path(__file__).resolve().parents[2]

PAGES = (
    ("Four ways in", "index", "what ToM is and where to begin"),
    ("Just try it", "first-steps", "a network of real processes on one machine, step by step"),
    ("Use the library", "use-the-library", "send and receive from a program"),
    ("Write a port", "writing-a-port", "from an empty folder to a conformant node"),
    ("Check the models", "models", "run the TLA+ models, take a rule away, read the counterexample"),
    ("Decode it by hand", "by-hand", "captured bytes with their solution"),
    ("Conformance", "conformance", "how to attach a port, and what shows each requirement"),
    ("Parameters", "parameters", "every constant with unit, value and reason"),
    ("Reason codes", "reason-codes", "every code with its requirements"),
    ("The command line", "cli", "every command with its output"),
    ("The simulator", "simulator", "whole networks in virtual time, with faults and liars"),
    ("Threat model", "threat-model", "who may be hostile, what leaks, what is taken on trust"),
    ("Questions", "faq", "how ToM compares, honestly"),
    ("Glossary", "glossary", "the words of the specification"),
    ("The library", "generated/reference", "the public names of tom_ref"),
    ("Decisions", "generated/decisions", "why things are as they are"),
)


def protocol() -> dict[str, Any]:
    """The machine-readable index as a value for JSON."""
    source = (ROOT / "tom_ref" / "constants.py").read_text(encoding="utf-8")
    errors = (ROOT / "tom_ref" / "errors.py").read_text(encoding="utf-8")
    meanings = tables.documented_members(errors, "Reason")
    draws = tables.documented_members(source, "Purpose")
    requirements = json.loads((ROOT / "spec" / "requirements.json").read_text(encoding="utf-8"))
    return {
        "protocol": "ToM/1",
        "about": "Generated from the sources of the specification; https://json.org numbers are exact.",
        "requirements": [
            {**entry, "page": f"generated/{entry['chapter']}.html#{entry['id']}"}
            for entry in requirements["requirements"]
        ],
        "frames": {f"{number:#04x}": name.replace("_", "-") for number, name in frame_types().items()},
        "formats": {
            name: [
                {
                    "name": field.name,
                    "type": field.type.replace("`", ""),
                    "bytes": field.size,
                    "size": field.size_text.replace("`", ""),
                    "meaning": field.note,
                }
                for field in tables.layout_fields(struct, wire.LAYOUTS)
            ]
            for name, struct in wire.LAYOUTS.items()
        },
        "reasons": {member.value: meanings[member.name] for member in Reason},
        "constants": [
            {
                "name": constant.name,
                "value": constant.value,
                "unit": constant.unit,
                "why": constant.why,
                "section": constant.section,
            }
            for constant in tables.read_constants(source, vars(constants))
        ],
        "draws": {member.value: draws[member.name] for member in constants.Purpose},
    }


def pages() -> list[tuple[str, str, str]]:
    """Title, address and content of every page: those of :data:`PAGES`, and whatever else there is."""
    described = {page for _, page, _ in PAGES}
    others = sorted(path for path in (ROOT / "docs").glob("*.md") if path.stem not in described)
    return [*PAGES, *((path.stem.capitalize(), path.stem, title_of(path)) for path in others)]


def llms(chapters: list[tuple[str, str]]) -> str:
    """The index for programs that read prose: pages, chapters, machine-readable files."""
    lines = [
        "# ToM, The Open Messaging",
        "",
        "> A protocol that moves messages between devices with no server: specification, TLA+ models, Python",
        "> reference implementation, test vectors and conformance suite.",
        "",
        "## Pages",
        "",
        *(f"- [{title}]({page}.html): {about}" for title, page, about in pages()),
        "",
        "## Specification",
        "",
        *(f"- [{title}]({page}.html)" for title, page in chapters),
        "",
        "## For programs",
        "",
        "- [protocol.json](protocol.json): requirements, frames, formats, reason codes, constants, named draws",
        "",
    ]
    return "\n".join(lines)


def write(app: Sphinx, error: Exception | None) -> None:
    """Write both files once the pages are built."""
    if error is not None or app.builder.name not in {"html", "dirhtml"}:
        return
    out = Path(app.outdir)
    index = json.dumps(protocol(), indent=1, ensure_ascii=False)
    (out / "protocol.json").write_text(index + "\n", encoding="utf-8")
    listed = [(title_of(path), f"generated/{path.stem}") for path in chapters()]
    (out / "llms.txt").write_text(llms(listed), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
