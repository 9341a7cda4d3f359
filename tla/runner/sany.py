"""The syntax tree of a model, as TLC's own front end (SANY) exports it in XML.

Only what lint and mutation need is kept: kind of node, operator, level (0 constant, 1 state,
2 action, 3 temporal), place in the text, children.
"""

from __future__ import annotations

import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import evolve, field, frozen

from tla.runner.closure import references
from tla.runner.errors import Exit, RunnerError
from tla.runner.java import find_toolbox

CONSTANT, STATE, ACTION, TEMPORAL = 0, 1, 2, 3


@frozen
class Place:
    """Where a node stands; lines and columns from 1, the last column included."""

    module: str
    line: int
    column: int
    end_line: int
    end_column: int


@frozen
class Node:
    """One expression.  ``operator`` is the name applied; ``reference`` its definition, if it has one."""

    kind: str
    level: int
    place: Place
    operator: str
    reference: str | None
    operands: tuple[Node, ...]
    bounds: tuple[Node, ...] = ()
    """Domains of bound variables."""
    body: Node | None = None
    """What stands after IN."""
    local: tuple[Definition, ...] = ()
    """Definitions of a LET."""

    def walk(self) -> Iterator[Node]:
        """This node and everything below it, definitions of a LET included."""
        yield self
        for child in (*self.operands, *self.bounds, *((self.body,) if self.body else ())):
            yield from child.walk()
        for definition in self.local:
            yield from definition.body.walk()


@frozen
class Definition:
    """An operator's definition."""

    uid: str
    name: str
    level: int
    place: Place
    arity: int
    body: Node


@frozen
class Declaration:
    """A CONSTANT or VARIABLE."""

    name: str
    kind: str
    place: Place


@frozen
class Tree:
    """A parsed root module with everything it extends or instantiates."""

    root: str
    definitions: Mapping[str, Definition]
    """By identifier."""
    declarations: tuple[Declaration, ...]
    by_name: Mapping[tuple[str, str], Definition] = field(factory=dict)
    """By (module, name)."""
    visible: tuple[str, ...] = ()
    """The modules whose names the root module sees unprefixed, itself first."""

    def find(self, name: str) -> Definition | None:
        """The definition that ``name`` means in the root module: its own, else an extended one.

        A module that is only instantiated under a name (``T == INSTANCE Term``) doesn't count: its
        ``Next`` is ``T!Next``.
        """
        found = (self.by_name.get((module, name)) for module in self.visible)
        return next((one for one in found if one is not None), None)


class _Reader:
    def __init__(self, document: ET.Element) -> None:
        self.root = document.findtext("RootModule") or ""
        self.entries: dict[str, ET.Element] = {}
        context = document.find("context")
        for entry in context if context is not None else ():
            self.entries[entry.findtext("UID") or ""] = entry[1]

    def tree(self) -> Tree:
        definitions, declarations = {}, []
        for uid, element in self.entries.items():
            if element.tag == "UserDefinedOpKind":
                definition = self.definition(uid, element)
                if definition is not None:
                    definitions[uid] = definition
            elif element.tag == "OpDeclNode":
                kind = {"2": "CONSTANT", "3": "VARIABLE"}.get(element.findtext("kind") or "", "BOUND")
                declarations.append(Declaration(element.findtext("uniquename") or "", kind, _place(element)))
        by_name = {(one.place.module, one.name): one for one in definitions.values() if "!" not in one.name}
        return Tree(self.root, definitions, tuple(declarations), by_name)

    def definition(self, uid: str, element: ET.Element) -> Definition | None:
        body = element.find("body")
        if body is None or len(body) == 0:
            return None
        name = element.findtext("uniquename") or ""
        level, arity = int(element.findtext("level") or 0), int(element.findtext("arity") or 0)
        return Definition(uid, name, level, _place(element), arity, self.node(body[0]))

    def node(self, element: ET.Element) -> Node:
        level, place = int(element.findtext("level") or 0), _place(element)
        if element.tag == "OpApplNode":
            operator, reference = self.operator(element)
            operands = element.find("operands")
            bounds = element.find("boundSymbols")
            domains: list[Node] = []
            for bound in bounds if bounds is not None else ():
                domains.extend(self.node(child) for child in bound if child.tag.endswith("Node"))
            children = tuple(self.node(child) for child in operands) if operands is not None else ()
            return Node("apply", level, place, operator, reference, children, tuple(domains))
        if element.tag == "LetInNode":
            body = element.find("body")
            definitions = element.find("opDefs")
            local = []
            for child in definitions if definitions is not None else ():
                uid = child.findtext("UID") or ""
                entry = self.entries.get(uid)
                found = self.definition(uid, entry) if entry is not None else None
                if found is not None:
                    local.append(found)
            inner = self.node(body[0]) if body is not None and len(body) else None
            return Node("let", level, place, "LET", None, (), (), inner, tuple(local))
        text = element.findtext("IntValue") or element.findtext("StringValue") or element.tag
        children = tuple(self.node(child) for child in element if child.tag.endswith("Node"))
        return Node("leaf" if not children else "other", level, place, text, None, children)

    def operator(self, element: ET.Element) -> tuple[str, str | None]:
        operator = element.find("operator")
        if operator is None or len(operator) == 0:
            return "", None
        reference = operator[0]
        uid = reference.findtext("UID") or ""
        entry = self.entries.get(uid)
        name = entry.findtext("uniquename") if entry is not None else None
        kind = {"FormalParamNodeRef": "$formal", "BuiltInKindRef": None}.get(reference.tag, uid)
        return name or "", kind


def _place(element: ET.Element) -> Place:
    location = element.find("location")
    if location is None:
        return Place("", 0, 0, 0, 0)
    paths = ("line/begin", "column/begin", "line/end", "column/end")
    numbers = [int(location.findtext(path) or 0) for path in paths]
    return Place(location.findtext("filename") or "", *numbers)


def parse_tree(sources: Mapping[str, str], root: str) -> Tree:
    """Parse the modules (name to text) with SANY; :class:`RunnerError` when it refuses them."""
    tools = find_toolbox()
    with tempfile.TemporaryDirectory(prefix="tla-sany-") as name:
        folder = Path(name)
        for module, text in sources.items():
            (folder / f"{module}.tla").write_text(text, encoding="utf-8")
        command = [
            tools.java,
            "-XX:+UseSerialGC",
            *((f"-XX:SharedArchiveFile={tools.class_data}", "-Xlog:disable") if tools.class_data else ()),
            "-XX:TieredStopAtLevel=1",
            "-Xss16m",
            f"-Djava.io.tmpdir={name}",
            "-cp",
            tools.jar,
            "tla2sany.xml.XMLExporter",
            "-o",
            f"{root}.tla",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    start = done.stdout.find("<?xml")
    if start < 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise RunnerError(f"SANY refuses {root}: {' '.join(lines[-6:])}", Exit.BROKEN)
    # SANY's own export, of our own modules: nothing of it comes from a stranger.
    tree = _Reader(ET.fromstring(done.stdout[start:])).tree()  # noqa: S314
    return evolve(tree, visible=tuple(visible_modules(sources, root)))


def visible_modules(sources: Mapping[str, str], root: str) -> list[str]:
    """The root module and what it extends or instantiates without a name, directly or not."""
    found: list[str] = []
    queue = [root]
    while queue:
        module = queue.pop(0)
        if module not in found and module in sources:
            found.append(module)
            queue.extend(references(sources[module], named=False))
    return found
