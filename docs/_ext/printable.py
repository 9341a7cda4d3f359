"""The specification as one document that can be printed: ``sphinx -b singlehtml -t printable``.

Sphinx puts the chapters behind each other.  What is done here makes one document of them: a title page with
version and date, a table of contents, numbered headings, and ids that stay unique.  The ids of requirements
are kept as they are on the site (``#TOM-WIRE-016``); those of headings get their chapter's name in front.
The page holds its style sheets itself: it is one file that needs nothing beside it.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from tom_site import chapters

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = "generated/printable"
KEPT: Final = re.compile(r"TOM-[A-Z]+-\d{3}", re.IGNORECASE)


def version() -> str:
    """The version that ``pyproject.toml`` states."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(settings["project"]["version"])


def edition(root: Path = ROOT) -> str:
    """Date and commit of the sources, the same for whoever builds them; empty outside of a repository."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%cd, commit %h", "--date=format:%-d %B %Y"],  # noqa: S607
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def front_page(date: str) -> str:
    """The document's first page in Markdown, and the list of its chapters."""
    listed = "\n".join(path.stem for path in chapters())
    edition_line = " · ".join(part for part in (f"Version {version()}", date) if part)
    return (
        "# ToM/1: the specification\n\n"
        f"<p class='edition'>{edition_line}</p>\n\n"
        "Everything that is needed to write an implementation that works with every other. Every rule has an id; "
        "tests, vectors and models cite it. MIT licence.\n\n"
        f"```{{toctree}}\n{listed}\n```\n"
    )


def write_front_page(app: Sphinx) -> None:
    """Write the page that stands for the document, when it is the document that is built."""
    page = Path(app.srcdir) / f"{DOCUMENT}.md"
    text = front_page(app.config.tom_edition or edition())
    page.parent.mkdir(exist_ok=True)
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")
    app.config.html_context["style"] = "\n".join(
        (Path(app.srcdir) / name).read_text(encoding="utf-8")
        for name in ("_static/tom.css", "_print/print.css")
    )


def slug(docname: str) -> str:
    """What stands before the ids of a chapter's headings."""
    return docname.rpartition("-")[2] if "-" in docname else docname


def files(doctree: nodes.document) -> Iterator[addnodes.start_of_file]:
    """Each chapter as a part of the whole."""
    yield from doctree.findall(addnodes.start_of_file)


def make_one(_app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Number the headings, keep the ids apart, mend the links, and write the table of contents."""
    if docname != DOCUMENT:
        return
    names = {one["docname"]: slug(one["docname"]) for one in files(doctree)}
    contents = nodes.bullet_list(classes=["contents"])
    for one in files(doctree):
        name = names[one["docname"]]
        _rename(one, name)
        number = str(int(Path(one["docname"]).name[:2]))
        for section in one.children:
            if isinstance(section, nodes.section):
                contents += _numbered(section, number, depth=1)
    for reference in doctree.findall(nodes.reference):
        address = reference.get("refuri", "")
        document, _, anchor = address.removeprefix("#document-").partition("#")
        if address.startswith("#document-") and document in names:
            kept = not anchor or KEPT.fullmatch(anchor)
            reference["refuri"] = f"#{(anchor or names[document]) if kept else f'{names[document]}.{anchor}'}"
    title = next(doctree.findall(nodes.section))
    before = next((child for child in title.children if next(iter(_parts(child)), None) is not None), None)
    heading = nodes.rubric("", "Contents")
    place = title.children.index(before) if before is not None else len(title.children)
    title.insert(place, [heading, contents])


def _parts(node: nodes.Node) -> Iterator[addnodes.start_of_file]:
    if isinstance(node, nodes.Element):
        yield from node.findall(addnodes.start_of_file)


def _rename(chapter: addnodes.start_of_file, name: str) -> None:
    """Put the chapter's name before every id that is no requirement's, and into the links to it."""
    renamed = {}
    first = True
    for node in chapter.findall(nodes.Element):
        for old in node.get("ids", []):
            if not KEPT.fullmatch(old):
                renamed[old] = f"{name}.{old}"
        if "ids" in node and node is not chapter:
            node["ids"] = [renamed.get(old, old) for old in node["ids"]]
        if first and isinstance(node, nodes.section):
            node["ids"].append(name)
            first = False
    for node in chapter.findall(nodes.reference):
        if node.get("refid") in renamed:
            node["refid"] = renamed[node["refid"]]
        anchor = node.get("refuri", "").removeprefix("#")
        if anchor in renamed and node["refuri"].startswith("#"):
            node["refuri"] = f"#{renamed[anchor]}"


def _numbered(section: nodes.section, number: str, depth: int) -> nodes.list_item:
    """Number a section's heading and those inside it; return its entry of the table of contents."""
    title = next(child for child in section.children if isinstance(child, nodes.title))
    address = f"#{section['ids'][0]}"
    text = title.astext()
    title.insert(0, nodes.Text(f"{number} "))
    line = nodes.paragraph("", "", nodes.reference("", f"{number} {text}", internal=True, refuri=address))
    entry = nodes.list_item("", line)
    inner = nodes.bullet_list()
    for count, child in enumerate((c for c in section.children if isinstance(c, nodes.section)), start=1):
        below = _numbered(child, f"{number}.{count}", depth + 1)
        if depth == 1:
            inner += below
    if inner.children:
        entry += inner
    return entry


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("tom_edition", "", "env", types=frozenset({str}))
    if app.tags.has("printable"):
        app.connect("builder-inited", write_front_page, priority=900)
        app.connect("doctree-resolved", make_one, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
