"""The actions of a model and their guards."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from tla.runner.sany import ACTION, STATE, Definition, Node, Tree

CONJUNCTIONS = ("$ConjList", "\\land")
DISJUNCTIONS = ("$DisjList", "\\lor")


@frozen
class Guard:
    """One conjunct that restrains an action: its definition, and where it stands."""

    definition: str
    node: Node


def next_of(tree: Tree, name: str | None = None) -> Definition | None:
    """The next-state relation: ``name``, or what stands in the box of ``Spec``, or ``Next``."""
    return tree.find(name or "Next")


def actions_of(tree: Tree, next_name: str | None = None) -> list[Definition]:
    """The definitions that the next-state relation is a disjunction of, in its order.

    These are the names TLC prints: it splits disjunctions and quantifiers in the same way.
    """
    start = next_of(tree, next_name)
    found: dict[str, Definition] = {}
    if start is not None:
        _split(tree, start.body, start, found)
    return list(found.values())


def _split(tree: Tree, node: Node, inside: Definition, found: dict[str, Definition]) -> None:
    if node.operator in DISJUNCTIONS or node.operator == "$BoundedExists":
        for operand in node.operands:
            _split(tree, operand, inside, found)
        return
    definition = tree.definitions.get(node.reference or "")
    if node.kind == "apply" and definition is not None and definition.level == ACTION:
        body = definition.body
        if body.operator in DISJUNCTIONS or (body.operator == "$BoundedExists" and _only_calls(tree, body)):
            _split(tree, body, definition, found)
        else:
            found.setdefault(definition.uid, definition)
        return
    found.setdefault(inside.uid, inside)


def _only_calls(tree: Tree, node: Node) -> bool:
    """Whether below disjunctions and quantifiers there are only applications of actions."""
    if node.operator in DISJUNCTIONS or node.operator == "$BoundedExists":
        return all(_only_calls(tree, operand) for operand in node.operands)
    definition = tree.definitions.get(node.reference or "")
    return node.kind == "apply" and definition is not None and definition.level == ACTION


class _Collector:
    """Walks an action and what it is made of, each definition once."""

    def __init__(self, tree: Tree, modules: set[str]) -> None:
        self.tree = tree
        self.modules = modules
        self.found: list[Guard] = []
        self._visited: set[str] = set()

    def enter(self, definition: Definition) -> None:
        if definition.uid not in self._visited and definition.place.module in self.modules:
            self._visited.add(definition.uid)
            self.formula(definition.body, definition)

    def formula(self, node: Node, inside: Definition) -> None:
        for child in conjuncts(node):
            if child.level <= STATE:
                self.guard(child, inside)
            else:
                self.step(child, inside)

    def guard(self, node: Node, inside: Definition) -> None:
        if node.place.module in self.modules and not _is_true(node):
            self.found.append(Guard(inside.name, node))
        called = self.tree.definitions.get(node.reference or "")
        if called is not None and _is_conjunction(called.body):
            self.enter(called)

    def step(self, node: Node, inside: Definition) -> None:
        called = self.tree.definitions.get(node.reference or "")
        if called is not None and node.kind == "apply":
            self.enter(called)
        elif node.operator in (*DISJUNCTIONS, "$BoundedExists"):
            for operand in node.operands:
                self.formula(operand, inside)
        elif node.operator == "$IfThenElse":
            # A branch that says nothing about the next state is a value, not a guard.
            for branch in node.operands[1:]:
                for child in conjuncts(branch):
                    if child.level > STATE:
                        self.step(child, inside)
        elif node.kind == "let" and node.body is not None:
            self.formula(node.body, inside)


def guards_of(tree: Tree, action: Definition, modules: set[str]) -> list[Guard]:
    """Every guard conjunct of an action and of the operators it is made of, within ``modules``.

    A guard is a conjunct that speaks of the present state only.  Where it calls an operator whose
    body is again a conjunction, the conjuncts of that operator count as guards too.
    """
    collector = _Collector(tree, modules)
    collector.enter(action)
    return collector.found


def _is_true(node: Node) -> bool:
    return node.operator == "TRUE" and not node.operands


def _is_conjunction(node: Node) -> bool:
    if node.kind == "let" and node.body is not None:
        return _is_conjunction(node.body)
    return node.operator in CONJUNCTIONS


def conjuncts(node: Node) -> Iterator[Node]:
    """The conjuncts of a formula, nested conjunctions and LETs opened."""
    if node.operator in CONJUNCTIONS:
        for operand in node.operands:
            yield from conjuncts(operand)
    elif node.kind == "let" and node.body is not None and node.body.operator in CONJUNCTIONS:
        yield from conjuncts(node.body)
    else:
        yield node
