"""Whether a test runs a command that a page shows, found in the test's syntax tree.

A page that says ``<!-- run by tests/test_x.py -->`` above a command claims that a test of that file runs it.
Here the claim is checked: one test function, with the functions and constants of the test package that it
uses, must hold the command's name, its subcommand and every option of it as strings of the program (not in
a comment or docstring).  So a page that shows an option which the test never passes is found, and a test from
which a command vanishes.
"""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Final

from tests.tutorial import blocks

ROOT: Final = Path(__file__).resolve().parents[1]
SHORT: Final = {"-i": "--identity", "-r": "--relay"}
PROGRAMS: Final = {"tom", "tom-conformance", "npm", "npx"}


def wanted(command: str) -> list[frozenset[str]]:
    """For each part of a command line its subcommand and options: what the test must pass."""
    text = re.sub(r"(^|\s)#[^\n]*", "", command).replace("\\\n", " ").replace("…", "")
    found = []
    for part in re.split(r"&&|&$|;", text):
        words = shlex.split(part.partition("|")[0])
        if not words or words[0] == "cd":
            continue
        program, *rest = words
        if program not in PROGRAMS:
            raise ValueError(f"nothing is known of the program {program}")
        before = rest[: rest.index("--")] if "--" in rest else rest
        options = {SHORT.get(word, word) for word in before if word.startswith("-")}
        subcommand = {before[0]} if before and not before[0].startswith("-") else set()
        found.append(frozenset(options | subcommand))
    return found


@cache
def _module(name: str) -> ast.Module | None:
    path = ROOT / f"{name.replace('.', '/')}.py"
    return ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else None


@cache
def _names(module: str) -> dict[str, tuple[str, ast.AST]]:
    """What a module's names stand for: the module and the definition, those imported from tests included."""
    tree = _module(module)
    found: dict[str, tuple[str, ast.AST]] = {}
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = (module, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id: (module, node.value) for one in targets if isinstance(one, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
            inside = _names(node.module or "")
            found |= {one.asname or one.name: inside[one.name] for one in node.names if one.name in inside}
    return found


def _strings(module: str, node: ast.AST, seen: set[int]) -> set[str]:
    """The strings of a definition and of all that it uses, without docstrings."""
    if id(node) in seen:
        return set()
    seen.add(id(node))
    names = _names(module)
    documentation = {
        id(one.value)
        for one in ast.walk(node)
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
    }
    found: set[str] = set()
    for inner in ast.walk(node):
        if (
            isinstance(inner, ast.Constant)
            and isinstance(inner.value, str)
            and id(inner) not in documentation
        ):
            found.update((inner.value, *inner.value.split()))
        elif isinstance(inner, ast.Name | ast.arg):
            name = inner.id if isinstance(inner, ast.Name) else inner.arg  # A fixture is an argument.
            if name in names:
                found |= _strings(*names[name], seen)
    return found


def runs(runner: str, part: frozenset[str]) -> bool:
    """Whether some test of a file passes all of this."""
    module = runner.removesuffix(".py").replace("/", ".")
    return any(
        part <= {SHORT.get(one, one).partition("=")[0] for one in _strings(module, node, set())}
        for name, (home, node) in _names(module).items()
        if name.startswith("test_") and home == module
    )


def shown_and_run(page: str, part: frozenset[str]) -> bool:
    """Whether a page shows a command with all of this that the tests run as it stands there."""
    return any(
        part <= whole
        for block in blocks(ROOT / page)
        if re.match(r"run(:|$)", block.mark)
        for command in block.commands
        if command.text.split()[0] in PROGRAMS
        for whole in wanted(command.text)
    )


def not_run(command: str, runners: list[str]) -> list[str]:
    """The parts of a command that none of these tests and pages runs; empty when they are all run."""
    return [
        " ".join(sorted(part))
        for part in wanted(command)
        if not any((shown_and_run if one.endswith(".md") else runs)(one, part) for one in runners)
    ]
