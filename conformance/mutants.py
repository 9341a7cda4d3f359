"""Mutants: the reference implementation with one rule switched off, one at a time.

The library knows nothing of it: a mutant is a function whose syntax tree was changed, compiled, and put in
its place for a while.  Five kinds of change are made:

``guard``      an ``if`` that refuses is never true
``bound``      a comparison takes its limit as well, or no longer
``literal``    a label of the protocol has another letter, a number is one more
``operation``  a sum is a difference, ``and`` is ``or``, ``not`` is dropped
``parameter``  a number of :mod:`tom_ref.constants` is one more

For each MUST those mutants are tried that a case citing it runs through, until one of these cases fails: then
the suite would notice if a port broke the rule.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import importlib
import inspect
import io
import pkgutil
import signal
import sys
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, frozen

import tom_ref
from conformance.adapters.python import Adapter
from conformance.case import Case
from conformance.coverage import BROKEN_FOR, equivalents, exclusions
from conformance.protocol import Kind
from conformance.runner import Verdict, run_case
from conformance.selftest import InProcess, Killed, Tried, beside, recorded
from conformance.suite import requirements
from tom_ref import constants

PATIENCE: Final = 2.0
"""Seconds for one case of a mutant, which may never end."""
MOST_CASES: Final = 40
"""So many cases that cite a rule are tried on a mutant."""
MOST_TRIES: Final = 60
"""So many mutants are tried for a rule."""
_FILES: Final = str(Path(tom_ref.__file__).parent)
_FLIPPED: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_REFUSING: Final = frozenset({"ProtocolError", "CommandError", "refuse", "_refuse", "refused"})


@frozen
class Site:
    """One place where the library can be changed."""

    module: str
    function: str
    """Qualified name of the outermost function or method."""
    kind: str
    number: int
    """Counts the sites of one kind in the function."""
    line: int
    text: str
    codes: tuple[str, ...] = ()
    """For a guard: the reason codes that it refuses with."""

    @property
    def name(self) -> str:
        """Names it for people."""
        return (
            f"{self.module.removeprefix('tom_ref.')}.{self.function} {self.kind} {self.number}: {self.text}"
        )


class _StuckError(BaseException):
    """A case of a mutant didn't end."""


# --- finding the places --------------------------------------------------------------------------------


@functools.cache
def modules() -> tuple[types.ModuleType, ...]:
    """Every module of the library that computes."""
    return tuple(
        importlib.import_module(f"tom_ref.{info.name}")
        for info in pkgutil.iter_modules(tom_ref.__path__)
        if info.name != "drivers"
    )


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def _guards(function: ast.FunctionDef) -> list[ast.If]:
    return [node for node in ast.walk(function) if isinstance(node, ast.If) and _refuses(node.body)]


def _refuses(body: Sequence[ast.stmt]) -> bool:
    first = body[0]
    if isinstance(first, ast.Raise):
        return True
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Call):
        called = first.value.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        return name in _REFUSING
    return isinstance(first, ast.Return) and len(body) == 1


def _bounds(function: ast.FunctionDef) -> list[ast.Compare]:
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Compare) and any(type(operator) in _FLIPPED for operator in node.ops)
    ]


def _literals(function: ast.FunctionDef) -> list[ast.Constant]:
    """Labels and numbers, but those of docstrings and messages."""
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Constant)
        and (
            (isinstance(node.value, str) and node.value.startswith("ToM/1"))
            or (isinstance(node.value, int) and not isinstance(node.value, bool))
            or (isinstance(node.value, bytes) and len(node.value) > 0)
        )
    ]


def _operations(function: ast.FunctionDef) -> list[ast.BinOp | ast.BoolOp | ast.UnaryOp]:
    return [
        node
        for node in ast.walk(function)
        if (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)))
        or isinstance(node, ast.BoolOp)
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
    ]


def _other(node: ast.Constant) -> None:
    value = node.value
    if isinstance(value, str):
        node.value = value[:-1] + ("x" if value[-1] != "x" else "y")
    elif isinstance(value, bytes):
        node.value = bytes((value[0] ^ 1,)) + value[1:]
    elif isinstance(value, int):
        node.value = value + 1


def _turn(node: ast.BinOp | ast.BoolOp | ast.UnaryOp) -> None:
    if isinstance(node, ast.BinOp):
        node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    else:
        node.op = ast.UAdd()
        node.operand = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])


def _codes(node: ast.If) -> tuple[str, ...]:
    return tuple(
        sorted(
            inner.attr.lower()
            for statement in node.body
            for inner in ast.walk(statement)
            if isinstance(inner, ast.Attribute)
            and isinstance(inner.value, ast.Name)
            and inner.value.id == "Reason"
        )
    )


@functools.cache
def sites() -> tuple[Site, ...]:
    """Every place, in the order of the sources."""
    found: list[Site] = []
    for module in modules():
        name = module.__name__
        for function, node in _functions(_tree(name)):
            for number, guard in enumerate(_guards(node)):
                text = ast.unparse(guard.test)
                found.append(Site(name, function, "guard", number, guard.lineno, text, _codes(guard)))
            for number, bound in enumerate(_bounds(node)):
                found.append(Site(name, function, "bound", number, bound.lineno, ast.unparse(bound)))
            for number, literal in enumerate(_literals(node)):
                text = ast.unparse(literal)
                found.append(Site(name, function, "literal", number, literal.lineno, text))
            for number, operation in enumerate(_operations(node)):
                text = ast.unparse(operation)
                found.append(Site(name, function, "operation", number, operation.lineno, text))
    for name, value in vars(constants).items():
        if name.isupper() and isinstance(value, int) and not isinstance(value, bool):
            found.append(Site("tom_ref.constants", name, "parameter", 0, 0, f"{name} = {value + 1}"))
    return tuple(found)


# --- changing them -------------------------------------------------------------------------------------


def _holder(module: types.ModuleType, qualified: str) -> types.FunctionType | None:
    owner, _, name = qualified.rpartition(".")
    place: Any = vars(module).get(owner) if owner else module
    held = None if place is None else vars(place).get(name)
    for attribute in ("fget", "__func__", "__wrapped__"):
        held = getattr(held, attribute, held) if not isinstance(held, types.FunctionType) else held
    return held if isinstance(held, types.FunctionType) else None


def _compiled(site: Site) -> types.CodeType:
    tree = copy.deepcopy(_tree(site.module))
    node = next(node for name, node in _functions(tree) if name == site.function)
    if site.kind == "guard":
        guard = _guards(node)[site.number]
        guard.test = ast.copy_location(ast.Constant(value=False), guard.test)
    elif site.kind == "literal":
        _other(_literals(node)[site.number])
    elif site.kind == "operation":
        _turn(_operations(node)[site.number])
    else:
        bound = _bounds(node)[site.number]
        bound.ops = [_FLIPPED.get(type(operator), type(operator))() for operator in bound.ops]
    code = compile(ast.fix_missing_locations(tree), sys.modules[site.module].__file__ or "", "exec")
    for name in site.function.split("."):
        code = next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == name)
    return code


@contextlib.contextmanager
def mutated(site: Site) -> Iterator[bool]:
    """The library with one site changed; ``False`` when that can't be done."""
    if site.kind == "parameter":
        with _parameter(site.function):
            yield True
        return
    function = _holder(sys.modules[site.module], site.function)
    code = _compiled(site) if function is not None else None
    if function is None or code is None or code.co_freevars != function.__code__.co_freevars:
        yield False
        return
    right = function.__code__
    function.__code__ = code
    try:
        yield True
    finally:
        function.__code__ = right


@contextlib.contextmanager
def _parameter(name: str) -> Iterator[None]:
    right = getattr(constants, name)
    holders = [module for module in modules() if vars(module).get(name) is right or module is constants]
    for module in holders:
        setattr(module, name, right + 1)
    try:
        yield
    finally:
        for module in holders:
            setattr(module, name, right)


# --- trying them -------------------------------------------------------------------------------------


@define
class Traced:
    """Which functions of the library each case runs through."""

    functions: dict[str, frozenset[tuple[str, str]]]
    """By the id of the case: module and qualified name."""


def traced(cases: Sequence[Case]) -> Traced:
    """Run every case once, and watch."""
    found: dict[str, frozenset[tuple[str, str]]] = {}
    port = InProcess(Adapter())
    for case in cases:
        seen: set[types.CodeType] = set()

        def watch(frame: types.FrameType, event: str, _: Any, seen: set[types.CodeType] = seen) -> None:
            if event == "call":
                seen.add(frame.f_code)

        sys.setprofile(watch)
        try:
            run_case(port, case)
        finally:
            sys.setprofile(None)
        found[case.id] = frozenset(
            (f"tom_ref.{Path(code.co_filename).stem}", _outermost(code.co_qualname))
            for code in seen
            if code.co_filename.startswith(_FILES)
        )
    return Traced(found)


def _outermost(qualified: str) -> str:
    return qualified.split(".<locals>", 1)[0]


def _stuck(*_: Any) -> None:
    raise _StuckError


def failing(site: Site, cases: Sequence[Case]) -> tuple[Case, str] | None:
    """The first of the cases that fails on a mutant, with its message."""
    with mutated(site) as possible:
        if not possible:
            return None
        port = InProcess(Adapter())
        held = signal.signal(signal.SIGALRM, _stuck)
        try:
            for case in cases:
                signal.setitimer(signal.ITIMER_REAL, PATIENCE)
                try:
                    with contextlib.redirect_stderr(io.StringIO()):
                        outcome = run_case(port, case)
                except _StuckError:
                    return case, "doesn't end"
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                if outcome.verdict is not Verdict.PASS:
                    return case, outcome.message
        finally:
            signal.signal(signal.SIGALRM, held)
    return None


def _own_functions(cases: Sequence[Case], trace: Traced) -> dict[tuple[str, str], int]:
    """The functions that cases run through, with how many of the cases do."""
    count: dict[tuple[str, str], int] = {}
    for case in cases:
        for function in trace.functions[case.id]:
            count[function] = count.get(function, 0) + 1
    return count


def candidates(
    rule: str, cases: Sequence[Case], trace: Traced, rarity: Mapping[tuple[str, str], int]
) -> list[Site]:
    """The mutants worth trying for a rule, the likeliest first."""
    mine = _own_functions(cases, trace)
    codes = {
        code
        for case in cases
        for step in case.steps
        if step.expect.kind is Kind.REJECT
        for code in step.expect.codes
    }
    texts = _mentions()

    kinds = ("guard", "bound", "literal", "operation")

    def order(site: Site) -> tuple[bool, bool, int, int]:
        cited = rule in texts.get((site.module, site.function), "")
        fits = bool(codes & set(site.codes))
        return not cited, not fits, kinds.index(site.kind), rarity.get((site.module, site.function), 1)

    possible = [site for site in sites() if site.kind != "parameter" and (site.module, site.function) in mine]
    parameters = [site for site in sites() if site.kind == "parameter" and site.function in _sentence(rule)]
    return [*parameters, *sorted(possible, key=order)][:MOST_TRIES]


def _sentence(rule: str) -> str:
    return requirements()[rule].sentence


@functools.cache
def _mentions() -> Mapping[tuple[str, str], str]:
    """What stands in each function, comments included."""
    found = {}
    for module in modules():
        lines = inspect.getsource(module).splitlines()
        for name, node in _functions(_tree(module.__name__)):
            found[module.__name__, name] = "\n".join(lines[node.lineno - 1 : node.end_lineno])
    return found


def control(cases: Sequence[Case]) -> Killed | None:
    """The control mutant: a decoder that takes any version.  It must die, or the run is void."""
    site = next(site for site in sites() if site.function == "check_version" and site.kind == "guard")
    rule = "TOM-WIRE-006"
    killer = failing(site, [case for case in cases if rule in case.requirements][:MOST_CASES])
    return None if killer is None else Killed(rule, site.name, killer[0].id, killer[1])


def kill_all(cases: Sequence[Case], trace: Traced, rules: Sequence[str]) -> tuple[list[Killed], list[str]]:
    """For each rule a mutant that a case citing it kills; and the rules for which there is none."""
    rarity = _own_functions(cases, trace)
    by_rule: dict[str, list[Case]] = {}
    for case in cases:
        for rule in case.requirements:
            by_rule.setdefault(rule, []).append(case)
    killed: list[Killed] = []
    left: list[str] = []
    for rule in rules:
        citing = _chosen(by_rule.get(rule, []))
        found = _first_kill(rule, citing, trace, rarity) if citing else None
        if found is None:
            left.append(rule)
        else:
            killed.append(found)
    return killed, left


def try_rules(cases: Sequence[Case], rules: Sequence[str] = (), *, jobs: int = 1) -> Tried:
    """Mutants for the rules named, or for every MUST that a case can show.

    The mutant and the case of the last self-test are tried first; only for what they don't show all others.
    """
    began = time.monotonic()
    died = control(cases)
    wanted = rules or wanted_rules()
    cited = {rule for case in cases for rule in case.requirements}
    tried = [rule for rule in wanted if rule in cited]
    killed, left = _known_kills(cases, tried, jobs) if died else ([], tried)
    if died and left:
        trace = traced(cases)
        shares = [left[place::jobs] for place in range(jobs)]
        made = beside(functools.partial(kill_all, cases, trace), [share for share in shares if share], jobs)
        killed = sorted([*killed, *(one for found, _ in made for one in found)], key=_requirement)
        left = sorted(rule for _, missed in made for rule in missed)
    left = [rule for rule in left if not died or rule not in equivalents()]
    without = [rule for rule in wanted if rule not in cited]
    return Tried(died, tuple(killed), tuple(left), tuple(without), time.monotonic() - began)


def wanted_rules() -> list[str]:
    """Every MUST for which there has to be a mutant."""
    without = needless()
    return [rule.id for rule in requirements().values() if rule.level == "MUST" and rule.id not in without]


def needless() -> frozenset[str]:
    """The rules that are shown by broken ports, or are excluded."""
    return frozenset(BROKEN_FOR) | frozenset(exclusions())


def _requirement(killed: Killed) -> str:
    return killed.requirement


def _known_kills(cases: Sequence[Case], rules: Sequence[str], jobs: int) -> tuple[list[Killed], list[str]]:
    """Which rules the mutants and the cases of the last self-test still show, and the others."""
    held = recorded()
    names, killers = held.get("mutants", {}), held.get("killers", {})
    by_name = {site.name: site for site in sites()}
    by_id = {case.id: case for case in cases}
    hints = [
        (rule, by_name[names[rule]], by_id[killers[rule]])
        for rule in rules
        if names.get(rule) in by_name
        and killers.get(rule) in by_id
        and rule in by_id[killers[rule]].requirements
    ]
    shares = [hints[place::jobs] for place in range(jobs)]
    killed = sorted((one for found in beside(_still, shares, jobs) for one in found), key=_requirement)
    shown = {one.requirement for one in killed}
    return killed, [rule for rule in rules if rule not in shown]


def _still(hints: Sequence[tuple[str, Site, Case]]) -> list[Killed]:
    """Those of the mutants that their cases still notice."""
    found = []
    for rule, site, case in hints:
        killer = failing(site, [case])
        if killer is not None:
            found.append(Killed(rule, site.name, case.id, killer[1]))
    return found


def _chosen(cases: Sequence[Case]) -> list[Case]:
    """A few cases of each polarity, spread over all."""
    step = max(1, len(cases) // MOST_CASES)
    return list(cases[::step])[:MOST_CASES]


def _first_kill(
    rule: str, citing: Sequence[Case], trace: Traced, rarity: Mapping[tuple[str, str], int]
) -> Killed | None:
    for site in candidates(rule, citing, trace, rarity):
        through = [
            case
            for case in citing
            if site.kind == "parameter" or (site.module, site.function) in trace.functions[case.id]
        ]
        killer = failing(site, through)
        if killer is not None:
            return Killed(rule, site.name, killer[0].id, killer[1])
    return None
