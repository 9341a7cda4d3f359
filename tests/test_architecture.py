"""The direction of imports, and who may touch the outside world.

`lint-imports` proves the layers of ``pyproject.toml``.  Here, from the syntax trees, stands what it cannot:
which library belongs to which module, wherever in the file and however it is imported.  Each rule is shown to
fail on a sample that breaks it.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What touches clocks, entropy, files, sockets, processes, threads or the terminal.
OUTSIDE_WORLD = frozenset(
    [
        "asyncio",
        "atexit",
        "concurrent",
        "ctypes",
        "fcntl",
        "getpass",
        "glob",
        "io",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "pickle",
        "platform",
        "queue",
        "random",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shelve",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "syslog",
        "tempfile",
        "termios",
        "threading",
        "time",
        "tkinter",
        "trio",
        "urllib",
        "uuid",
        "http",
        "anyio",
        "rich",
        "cyclopts",
        "aiortc",
        "datetime",
        "dbm",
    ]
)

# Libraries that only the named modules of tom_ref may import.
OWNERS = {
    "nacl": frozenset({"crypto"}),
    "hashlib": frozenset({"crypto"}),
    "hmac": frozenset({"crypto"}),
    "construct": frozenset({"wire", "layout", "delivery_codec"}),
}

# The project's other packages, all of them above tom_ref.
ABOVE = frozenset({"tom_cli", "tools", "tests", "conformance", "tla"})

# Modules that may catch or name what construct raises.
KNOW_CONSTRUCT_ERRORS = frozenset({"delivery_codec", "layout"})

BUILTINS_OUTSIDE = frozenset(
    {"open", "input", "print", "exec", "eval", "compile", "breakpoint", "__import__"}
)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in the tree, also those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "." * node.level + (node.module or "")
                continue
            yield node.lineno, node.module or ""
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def violations(package: Path) -> list[str]:
    """Every breach of the rules in the package, as ``module:line: what``; drivers/ is free."""
    found = []
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        if relative.parts[0] == "drivers":
            continue
        module = ".".join(relative.with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, name in imported(tree):
            top = name.partition(".")[0]
            if name.startswith("."):
                found.append(f"{module}:{line}: relative import")
            elif top in OUTSIDE_WORLD | ABOVE or module not in OWNERS.get(top, {module}):
                found.append(f"{module}:{line}: imports {top}")
            elif name.startswith("tom_ref.drivers") and module != "__init__":
                # The package's front names them for type checkers and loads them when they are asked for;
                # test_library.py checks that it loads no earlier.
                found.append(f"{module}:{line}: imports the drivers")
        found.extend(f"{module}:{line}: {what}" for line, what in used(tree, module))
    return found


def used(tree: ast.AST, module: str) -> Iterator[tuple[int, str]]:
    """(line, what) of forbidden built-ins, and of construct's exceptions where they don't belong."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in BUILTINS_OUTSIDE
        ):
            yield node.lineno, f"calls {node.func.id}()"
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        if module not in KNOW_CONSTRUCT_ERRORS and name in CONSTRUCT_ERRORS:
            yield node.lineno, f"names {name}"  # type: ignore[attr-defined]
        if isinstance(node, ast.ExceptHandler) and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        ):
            yield node.lineno, "catches everything"


CONSTRUCT_ERRORS = frozenset(
    {"ConstructError", "StreamError", "SizeofError", "FormatFieldError", "ConstError"}
)


def test_only_the_drivers_touch_the_outside_world() -> None:
    assert (ROOT / "tom_ref" / "wire.py").exists()
    assert violations(ROOT / "tom_ref") == []


def test_there_is_something_to_check() -> None:
    tree = ast.parse((ROOT / "tom_ref" / "crypto.py").read_text(encoding="utf-8"))
    assert any(name.startswith("nacl") for _, name in imported(tree))
    tree = ast.parse((ROOT / "tom_ref" / "wire.py").read_text(encoding="utf-8"))
    assert any(name.startswith("construct") for _, name in imported(tree))


@pytest.mark.parametrize("module", sorted(OUTSIDE_WORLD))
def test_every_forbidden_module_is_noticed(tmp_path: Path, module: str) -> None:
    (tmp_path / "link.py").write_text(f"import {module}\n")
    assert violations(tmp_path) == [f"link:1: imports {module}"]
    (tmp_path / "link.py").write_text(f"def f():\n    from {module} import x\n")
    assert set(violations(tmp_path)) == {f"link:2: imports {module}"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nacl.bindings", "imports nacl"),
        ("from nacl import bindings", "imports nacl"),
        ("from hashlib import sha256", "imports hashlib"),
        ("from construct import Struct", "imports construct"),
        ("from tom_ref.drivers import store", "imports the drivers"),
        ("import tom_ref.drivers.store", "imports the drivers"),
        ("from tom_ref import drivers", "imports the drivers"),
        ("import tom_cli.main", "imports tom_cli"),
        ("from . import codec", "relative import"),
        ("open('/etc/hosts')", "calls open()"),
        ("print('x')", "calls print()"),
        ("__import__('time')", "calls __import__()"),
        ("try:\n    pass\nexcept errors.StreamError:\n    pass", "names StreamError"),
        ("try:\n    pass\nexcept Exception:\n    pass", "catches everything"),
        ("try:\n    pass\nexcept:\n    pass", "catches everything"),
    ],
)
def test_a_bad_sample_fails(tmp_path: Path, source: str, expected: str) -> None:
    (tmp_path / "node.py").write_text(source + "\n")
    found = violations(tmp_path)
    assert found
    assert all(violation.endswith(expected) for violation in found)


def test_the_owners_and_the_drivers_are_free(tmp_path: Path) -> None:
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "tcp.py").write_text("import trio, os, time\nopen('x')\n")
    (tmp_path / "crypto.py").write_text("import nacl.bindings\nimport hashlib\n")
    (tmp_path / "wire.py").write_text("from construct import Struct\n")
    assert violations(tmp_path) == []


def layers() -> list[list[str]]:
    """The layers of tom_ref, highest first, from the one place that states them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(
        contract
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == ["tom_ref"]
    )
    assert contract["exhaustive"] is True
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def upward_imports(package: Path, order: list[list[str]]) -> list[str]:
    """Every import of a module in the same or a higher layer, and every module without a layer."""
    rank = {name: height for height, layer in enumerate(reversed(order)) for name in layer}
    found = []
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).with_suffix("").parts[0]
        if own == "__init__":
            continue
        if own not in rank:
            found.append(f"{own} has no layer")
            continue
        for line, name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if parts[0] != "tom_ref" or len(parts) < 2 or parts[1] not in rank or parts[1] == own:
                continue
            if rank[parts[1]] >= rank[own]:
                found.append(f"{own}:{line}: imports {parts[1]}")
    return found


def test_nothing_imports_upwards() -> None:
    assert upward_imports(ROOT / "tom_ref", layers()) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("codec", "from tom_ref.node import Node", "codec:1: imports node"),
        ("crypto", "from tom_ref import codec", "crypto:1: imports codec"),
        ("crypto", "def f():\n    import tom_ref.wire", "crypto:2: imports wire"),
        ("link", "from tom_ref import session", "link:1: imports session"),
        ("gossip", "", "gossip has no layer"),
    ],
)
def test_an_upward_import_is_noticed(tmp_path: Path, module: str, source: str, expected: str) -> None:
    (tmp_path / f"{module}.py").write_text(source + "\n")
    assert expected in upward_imports(tmp_path, layers())


def test_a_downward_import_is_fine(tmp_path: Path) -> None:
    (tmp_path / "node.py").write_text("from tom_ref.codec import decode_frame\nfrom tom_ref import errors\n")
    assert upward_imports(tmp_path, layers()) == []
