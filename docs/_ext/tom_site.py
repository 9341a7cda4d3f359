"""Puts the specification, the decisions and the changelog on the site, without a second copy.

While a page is read, ``<!-- tom:include PATH -->`` is replaced by the file PATH of the repository.  Pages for
the chapters and decisions are written at the start of each build, from the folders themselves, so that a new
chapter is on the site without anybody listing it.  Each requirement gets its id as an anchor,
``#TOM-WIRE-016``, and every mention of an id elsewhere on the site links there.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from diagrams import Box, bytes_picture, cycle_picture, states_picture
from docutils import nodes
from example_bytes import details
from exercise import markdown as exercise_markdown
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

from tom_ref import wire
from tom_ref.linkstates import TRANSITIONS
from tom_ref.states import HOME, MESSAGE
from tools.spec import tables

LOGGER = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
IDENTIFIER = re.compile(r"TOM-[A-Z]+-\d{3}")
INCLUDE = re.compile(r"^<!-- tom:include (?P<path>[\w./-]+) -->$", re.MULTILINE)
CHAPTER_LINK = re.compile(r"\]\((?:\.\./)*(?:spec/)?(?P<chapter>\d{2}-[a-z-]+)\.md(?P<fragment>#[\w-]+)?\)")
LAYOUT_BLOCK = re.compile(
    r"^<!-- generated:layout (?P<name>[\w-]+) -->\n.*?^<!-- /generated -->$", re.MULTILINE | re.DOTALL
)
STATES_BLOCK = re.compile(r"^<!-- generated:example (?P<name>link|message|home)-states -->$", re.MULTILINE)
DEFINITION = re.compile(r"^- \*\*(TOM-[A-Z]+-\d{3})\*\*", re.MULTILINE)


def chapters() -> list[Path]:
    """The chapters of the specification, in order."""
    return sorted((ROOT / "spec").glob("[0-9][0-9]-*.md"))


def title_of(path: Path) -> str:
    """The first heading of a Markdown file."""
    match = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1].strip() if match else path.stem


def write_if_changed(path: Path, text: str) -> None:
    """Write a page; leave it alone when it is the same, so that builds stay incremental."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def generate_pages(app: Sphinx) -> None:
    """Write the one-line pages that stand for chapters, and the list of chapters and decisions."""
    folder = Path(app.srcdir) / "generated"
    wanted = set()
    for path in chapters():
        page = folder / path.name
        write_if_changed(page, f"<!-- tom:include spec/{path.name} -->\n")
        wanted.add(page)
    entries = "\n".join(f"{path.stem[:2]} {title_of(path)} <{path.stem}>" for path in chapters())
    index = folder / "specification.md"
    write_if_changed(
        index,
        "# The specification\n\n"
        "Everything that is needed to write an implementation that works with every other. Every rule has "
        f"an id, and the id is its address on this site. {printable_links(app)}\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n",
    )
    wanted.add(index)
    decisions = sorted((Path(app.srcdir) / "adr").glob("[0-9][0-9][0-9][0-9]-*.md"))
    listed = "\n".join(f"../adr/{path.stem}" for path in decisions)
    index = folder / "decisions.md"
    write_if_changed(
        index,
        "# Decisions\n\n"
        "Why things are as they are: one page for each decision, with what else was considered. A decision "
        "that is overturned stays, and says by which other.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n",
    )
    wanted.add(index)
    wanted.add(write_reference(folder))
    write_if_changed(folder / "exercise.txt", exercise_markdown())
    wanted.add(folder / "printable.md")
    for page in folder.glob("*.md"):
        if page not in wanted:
            page.unlink()


def printable_links(app: Sphinx) -> str:
    """Where the same is one document; ``make docs`` makes the PDF where there is a Chromium."""
    text = "To print or to read in one piece: <a href='../printable/tom-1.html'>one page</a>"
    if app.tags.has("pdf"):
        text += " or <a href='../printable/tom-1.pdf'>PDF</a>"
    return f"{text}."


def write_reference(folder: Path) -> Path:
    """Write the page with the library's public modules, from the lowest layer up to the drivers."""
    package = ROOT / "tom_ref"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(found["layers"] for found in contracts if found.get("containers") == ["tom_ref"])
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for layer in reversed(layers)
        for module in layer.split("|")
        for path in (package / f"{module.strip()}.py", *sorted((package / module.strip()).glob("*.py")))
        if path.exists() and not path.name.startswith("_")
    ]
    text = "\n".join(f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in names)
    page = folder / "reference.md"
    write_if_changed(
        page,
        "# The library\n\n"
        "`tom_ref` computes and touches nothing outside: time and entropy are arguments. Only "
        "`tom_ref.drivers` has sockets, files and clocks.\n\n" + text,
    )
    return page


def include_sources(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace include comments by the files they name, and note them as dependencies of the page."""

    def insert(match: re.Match[str]) -> str:
        path = ROOT / match["path"]
        app.env.note_dependency(str(path))
        return path.read_text(encoding="utf-8")

    text = INCLUDE.sub(insert, source[0])
    generated = Path(app.srcdir) / "generated"
    here = (Path(app.srcdir) / docname).parent
    up = os.path.relpath(generated, here)

    def chapter_link(match: re.Match[str]) -> str:
        return f"]({up}/{match['chapter']}.md{match['fragment'] or ''})"

    text = LAYOUT_BLOCK.sub(with_picture_and_example, text)
    if app.tags.has("printable"):  # Nobody unfolds paper.
        text = text.replace("<details ", "<details open ")
    text = STATES_BLOCK.sub(lambda match: raw_html(picture_of_states(match["name"])) + match[0], text)
    source[0] = CHAPTER_LINK.sub(chapter_link, text)


def with_picture_and_example(block: re.Match[str]) -> str:
    """A byte table with its picture before it and real bytes behind it."""
    example = details(block["name"])
    return (
        raw_html(layout_picture(block["name"])) + block[0] + "\n\n" + (raw_html(example) if example else "")
    )


def raw_html(markup: str) -> str:
    """Markup that is put on the page as it is."""
    return f"```{{raw}} html\n{markup}\n```\n\n"


def layout_picture(name: str) -> str:
    """The picture of a declared format."""
    fields = tables.layout_fields(wire.LAYOUTS[name], wire.LAYOUTS)
    picture: str = bytes_picture(
        name, [Box(field.name, field.size_text, field.size, field.note) for field in fields]
    )
    return picture


def picture_of_states(name: str) -> str:
    """The picture of a machine, from the table that the code follows."""
    picture: str
    if name == "link":
        picture = states_picture(
            "link",
            {
                state.value: {trigger.value: target.value for trigger, target in ways.items()}
                for state, ways in TRANSITIONS.items()
            },
        )
    elif name == "message":
        picture = states_picture(
            "message",
            {
                state.name.lower(): {sign.value: target.name.lower() for sign, target in ways.items()}
                for state, ways in MESSAGE.items()
            },
        )
    else:
        picture = cycle_picture(
            "home",
            {
                standing.value: {change.cause: target.value for target, change in ways.items()}
                for standing, ways in HOME.items()
            },
        )
    return picture


def requirement_pages() -> dict[str, str]:
    """Which page defines which requirement."""
    return {
        identifier: f"generated/{path.stem}"
        for path in chapters()
        for identifier in DEFINITION.findall(path.read_text(encoding="utf-8"))
    }


def link_requirements(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give each requirement its anchor, and make every mention of an id a link to it."""
    pages = requirement_pages()
    anchored = set()
    for strong in list(doctree.findall(nodes.strong)):
        identifier = strong.astext()
        if pages.get(identifier) != page_of(strong, docname) or not is_definition(strong):
            continue
        item = strong.parent.parent
        item["ids"] += [identifier, identifier.lower()]
        anchored.add(identifier)
        strong.replace_self(link(app, docname, docname, identifier, classes=["requirement-id"]))
    here = {docname, *(one["docname"] for one in doctree.findall(addnodes.start_of_file))}
    for identifier, page in pages.items():
        if page in here and identifier not in anchored:
            LOGGER.warning("%s has no anchor on its page", identifier, location=docname)
    for text in list(doctree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.Element) or inside_link_or_heading(text):
            continue
        parts = re.split(f"({IDENTIFIER.pattern})", text.astext())
        if len(parts) == 1 or not any(part in pages for part in parts):
            continue
        replaced: list[nodes.Node] = [
            link(app, docname, pages[part], part) if part in pages else nodes.Text(part)
            for part in parts
            if part
        ]
        text.parent.replace(text, replaced)


def page_of(node: nodes.Node, docname: str) -> str:
    """The page that a node comes from, also where several were put into one document."""
    while node is not None:
        if isinstance(node, nodes.section) and "docname" in node:
            return str(node["docname"])
        node = node.parent
    return docname


def is_definition(strong: nodes.strong) -> bool:
    """Whether a bold id begins a list item, as that of a requirement does."""
    paragraph = strong.parent
    if not isinstance(paragraph, nodes.paragraph) or not isinstance(paragraph.parent, nodes.list_item):
        return False
    return not any(node.astext() for node in paragraph.children[: paragraph.index(strong)])


def inside_link_or_heading(node: nodes.Node) -> bool:
    """Whether the text stands where no further link may be put."""
    parent = node.parent
    while parent is not None:
        if isinstance(parent, nodes.reference | nodes.title | nodes.literal_block):
            return True
        parent = parent.parent
    return False


def link(app: Sphinx, source: str, target: str, identifier: str, **attributes: Any) -> nodes.reference:
    """A link to a requirement, in a form that every builder of HTML understands."""
    address = f"#{identifier}"
    if source != target and app.builder.name != "singlehtml":
        address = app.builder.get_relative_uri(source, target) + address
    return nodes.reference("", identifier, internal=True, refuri=address, **attributes)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", generate_pages)
    app.connect("source-read", include_sources)
    app.connect("doctree-resolved", link_requirements)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
