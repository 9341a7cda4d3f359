"""Setting up says clearly what is missing, and the lock file pins everything and names no place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
BASH = shutil.which("bash")


def bootstrap(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up with nothing on the PATH but what a shell needs and what stands in ``folder``."""
    assert BASH is not None
    for name in ("bash", "dirname", "rm", "touch"):
        tool = shutil.which(name)
        assert tool is not None
        (folder / name).symlink_to(tool)
    return subprocess.run(
        [BASH, str(ROOT / "tools" / "bootstrap.sh"), str(folder / "venv")],
        env={"PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def script(path: Path, body: str) -> None:
    path.write_text(f"#!{BASH}\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("present", [False, True])
def test_a_missing_or_old_python_is_one_clear_line(tmp_path: Path, present: bool) -> None:
    if present:
        script(tmp_path / "python3", "exit 1")
    done = bootstrap(tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ToM needs Python 3.11 or later")
    assert not (tmp_path / "venv").exists()


def test_a_named_python_is_the_only_one_tried(tmp_path: Path) -> None:
    script(tmp_path / "old", "exit 1")
    (tmp_path / "python3.11").symlink_to(sys.executable)
    done = bootstrap(tmp_path, TOM_PYTHON=str(tmp_path / "old"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ToM needs Python 3.11 or later")


def test_a_python_without_venv_is_one_clear_line(tmp_path: Path) -> None:
    script(tmp_path / "python3.11", 'case "$*" in *ensurepip*) exit 1;; esac')
    done = bootstrap(tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "lacks the venv module" in done.stderr


def test_every_pinned_package_has_a_hash() -> None:
    blocks = re.findall(r"^(\S+)==[^\n]*((?:\n    [^\n]*)*)", LOCK, re.MULTILINE)
    assert len(blocks) > 50
    assert [name for name, rest in blocks if "--hash=sha256:" not in rest] == []


def test_the_lock_names_no_index_and_no_host() -> None:
    assert re.findall(r"https?:|file:|--(?:extra-)?index|--find-links|--trusted-host| @ ", LOCK) == []


def test_every_requirement_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in ("test", "fuzz", "bench", "docs"):
        wanted += project["optional-dependencies"][extra]
    locked = {
        name.lower().replace("_", "-") for name in re.findall(r"^([A-Za-z0-9._-]+)==", LOCK, re.MULTILINE)
    }
    names = {re.split(r"[\[<>=!; ]", entry)[0].lower() for entry in wanted}
    assert names - locked == set()


def test_the_environment_is_the_locked_one() -> None:
    """`make setup` ran: what is imported here is what the lock file says."""
    from importlib.metadata import version

    for name in ("attrs", "construct", "pynacl", "trio"):
        assert f"\n{name}=={version(name)}" in LOCK


def test_ci_runs_everything() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert re.search(r"^make test$", text, re.MULTILINE)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
