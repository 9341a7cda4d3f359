"""Which files an instance consists of, and one fingerprint over all of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from tla.runner.errors import Exit, RunnerError

STANDARD_MODULES = frozenset(
    (
        "Bags",
        "FiniteSets",
        "Integers",
        "Naturals",
        "Randomization",
        "RealTime",
        "Reals",
        "Sequences",
        "TLC",
        "Toolbox",
    )
)
_IDENTIFIER = r"[A-Za-z0-9_]*[A-Za-z_][A-Za-z0-9_]*"
_EXTENDS = re.compile(rf"\bEXTENDS\s+({_IDENTIFIER}(?:\s*,\s*{_IDENTIFIER})*)")
_INSTANCE = re.compile(rf"\bINSTANCE\s+({_IDENTIFIER})")


def strip_comments(text: str) -> str:
    """The text with every comment (nested ones too) replaced by spaces, so that columns stay.

    Strings are respected; line breaks are kept.
    """
    out = []
    position, depth, length = 0, 0, len(text)
    while position < length:
        two = text[position : position + 2]
        if two == "(*":
            depth += 1
            out.append("  ")
            position += 2
        elif depth and two == "*)":
            depth -= 1
            out.append("  ")
            position += 2
        elif depth:
            out.append("\n" if text[position] == "\n" else " ")
            position += 1
        elif two == "\\*":
            end = text.find("\n", position)
            end = length if end < 0 else end
            out.append(" " * (end - position))
            position = end
        elif text[position] == '"':
            end = position + 1
            while end < length and text[end] not in '"\n':
                end += 2 if text[end] == "\\" else 1
            out.append(text[position : end + 1])
            position = end + 1
        else:
            out.append(text[position])
            position += 1
    return "".join(out)


def code_of(text: str) -> str:
    """The module without comments and without blank lines; indentation, which has meaning, stays."""
    lines = (line.rstrip() for line in strip_comments(text).splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def references(text: str, *, named: bool = True) -> list[str]:
    """Names of the modules that a module's text extends or instantiates, without repetition.

    With ``named=False`` instances under a name (``T == INSTANCE Term``) are left out.
    """
    bare = strip_comments(text)
    found: dict[str, None] = {}
    for match in _EXTENDS.finditer(bare):
        for name in match[1].split(","):
            found[name.strip()] = None
    for match in _INSTANCE.finditer(bare):
        if named or not bare[: match.start()].rstrip().endswith("=="):
            found[match[1]] = None
    return list(found)


def library_of(root: Path) -> list[Path]:
    """The folders TLC looks into: the stubs, then every folder below ``root`` that holds a module."""
    folders = {file.parent for file in root.rglob("*.tla") if "runner" not in file.relative_to(root).parts}
    stubs = root / "stubs"
    return [stubs, *sorted(folders - {stubs})]


def closure_of(module: Path, library: list[Path]) -> dict[str, Path]:
    """Every non-standard module that ``module`` needs, itself first, by name.

    Raises :class:`RunnerError` when one is missing.
    """
    found: dict[str, Path] = {}
    queue = [(module.stem, module)]
    while queue:
        name, file = queue.pop(0)
        if name in found:
            continue
        found[name] = file
        for needed in references(file.read_text(encoding="utf-8")):
            if needed in found:
                continue
            path = next((p for p in _places(needed, file, module, library) if p.is_file()), None)
            if path is not None:
                queue.append((needed, path))
            elif needed not in STANDARD_MODULES:
                raise RunnerError(f"{file}: module {needed} is nowhere in the library", Exit.BROKEN)
    return found


def sources_of(module: Path, library: list[Path]) -> dict[str, str]:
    """The text of every module in the closure, by name."""
    return {name: file.read_text(encoding="utf-8") for name, file in closure_of(module, library).items()}


def _places(name: str, file: Path, root_module: Path, library: list[Path]) -> Iterator[Path]:
    for folder in (root_module.parent, file.parent, *library):
        yield folder / f"{name}.tla"


def fingerprint(module: Path, config_text: str, library: list[Path], extra: str = "") -> str:
    """SHA-256 (hex) over the code of the whole closure, the configuration and the options.

    Comments and blank lines don't count: they can't change a result, and nobody should have to
    run two million states again for a better comment.
    """
    digest = hashlib.sha256()
    for name, file in sorted(closure_of(module, library).items()):
        body = code_of(file.read_text(encoding="utf-8")).encode()
        digest.update(f"{name} {len(body)}\n".encode())
        digest.update(body)
    body = code_of(config_text).encode()
    digest.update(f"cfg {len(body)}\n".encode() + body)
    digest.update(extra.encode())
    return digest.hexdigest()
