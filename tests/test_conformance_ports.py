"""Starting adapters in each language, and two ports beside each other."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import cli, diff, init, selftest
from conformance.adapters.python import Adapter
from conformance.broken import BROKEN
from conformance.case import Polarity
from conformance.diff import Difference, asking, differ, search, shrunk
from conformance.mutants import needless
from conformance.protocol import Kind, Reply
from conformance.runner import run
from conformance.selftest import InProcess
from conformance.sources import kept
from conformance.suite import requirements, suite
from tests.npm import npm

REFERENCE = f"{sys.executable} -m conformance.adapters.python"


def smoke(command: list[str]) -> None:
    made = run(command, profile="smoke", seed="1")
    assert made.conformant == "true", [(one.case.id, one.message) for one in made.unexpected]


def need(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"NOT RUN: {tool} is not on this machine")


def built(folder: Path, *words: str) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_python_adapter_passes_the_smoke_level(tmp_path: Path) -> None:
    init.write("python", tmp_path / "port")
    smoke([sys.executable, str(tmp_path / "port/adapter.py")])


def test_the_c_adapter_builds_and_passes_the_smoke_level(tmp_path: Path) -> None:
    need("make")
    need("cc")
    init.write("c", tmp_path)
    built(tmp_path, "make")
    smoke([str(tmp_path / "adapter")])


@pytest.mark.slow
def test_the_rust_adapter_builds_and_passes_the_smoke_level(tmp_path: Path) -> None:
    need("cargo")
    init.write("rust", tmp_path)
    built(tmp_path, "cargo", "build", "--offline")
    smoke([str(tmp_path / "target/debug/adapter")])


@pytest.mark.slow
def test_the_typescript_adapter_builds_and_passes_the_smoke_level(tmp_path: Path) -> None:
    """As its own notice says: npm install && npx tsc."""
    init.write("ts", tmp_path)
    assert len((tmp_path / "adapter.ts").read_text(encoding="utf-8").splitlines()) <= 200
    npm("install", tmp_path)
    built(tmp_path, "npx", "tsc")
    smoke(["node", str(tmp_path / "dist/adapter.js")])


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("x")
    assert cli.main(["init", "c", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert cli.main(["init", "c", str(tmp_path / "port")]) == 0
    assert "tom-conformance smoke -- ./adapter" in capsys.readouterr().out


# --- differences ------------------------------------------------------------------------------------------


def test_two_runs_of_one_port_don_t_differ() -> None:
    ask = asking(InProcess(Adapter()), InProcess(Adapter()))
    assert search(ask, "1", 500, codes=True) is None


def broken(name: str) -> InProcess:
    adapter = Adapter()
    twist = BROKEN[name].twist
    assert twist is not None
    twist(adapter)
    return InProcess(adapter)


def test_the_first_difference_is_found_and_small() -> None:
    found = search(asking(InProcess(Adapter()), broken("accepts-the-refused")), "1", 500)
    assert found is not None
    assert (found.first.kind, found.second.kind) == (Kind.REJECT, Kind.OK)
    assert len(found.data) <= 2


def test_other_codes_are_no_difference_unless_asked_for() -> None:
    ask = asking(InProcess(Adapter()), broken("one-code"))
    assert search(ask, "1", 300) is None
    assert search(ask, "1", 300, codes=True) is not None


def test_answers_that_contradict() -> None:
    accepts, refuses = Reply(Kind.OK, {"a": 1}), Reply(Kind.REJECT, "truncated")
    assert differ(accepts, refuses, codes=False)
    assert differ(accepts, Reply(Kind.OK, {"a": 2}), codes=False)
    assert not differ(accepts, accepts, codes=True)
    assert not differ(Reply(Kind.IGNORE), Reply(Kind.IGNORE), codes=True)


def test_shrinking_finds_the_smallest() -> None:
    assert shrunk(bytes(range(200)), lambda data: 77 in data) == b"\x4d"
    assert shrunk(b"", lambda _: True) == b""


def test_a_difference_is_kept_as_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    bad = Difference("frame", b"\x08\x00", Reply(Kind.OK, {}), Reply(Kind.REJECT, "truncated"), 1)
    good = Difference("extensions", b"\x00", Reply(Kind.OK, {}), Reply(Kind.REJECT, "truncated"), 1)
    assert "2 bytes of frame" in diff.keep(bad, tmp_path).read_text(encoding="utf-8")
    diff.keep(good, tmp_path)
    cases = {case.polarity: case for case in kept.cases()}
    assert cases[Polarity.NEGATIVE].steps[0].expect.codes >= {"truncated"}
    assert cases[Polarity.POSITIVE].steps[1].expect.value == {"bytes": "00"}


def test_the_command_compares(capsys: pytest.CaptureFixture[str]) -> None:
    other = f"{sys.executable} -m conformance.broken accepts-the-refused"
    assert cli.main(["diff", REFERENCE, REFERENCE, "--inputs", "40", "--seed", "1"]) == 0
    assert "no difference" in capsys.readouterr().out
    assert cli.main(["diff", REFERENCE, other, "--seed", "1", "--inputs", "500"]) == 1
    assert "again: tom-conformance diff --seed 1" in capsys.readouterr().out
    assert cli.main(["diff", REFERENCE, f"{sys.executable} -c pass"]) == 3
    assert cli.main(["diff", REFERENCE, f"{sys.executable} -m conformance.broken nameless"]) == 3


# --- pytest, and the recorded self-test -------------------------------------------------------------------


def pytest_run(tmp_path: Path, port: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Another pytest, in a folder of its own."""
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "conformance.pytest_plugin",
                "-p",
                "no:cacheprovider",
            ),
            *("--rootdir", str(tmp_path), "-c", "/dev/null", "--tom-port", port, "--tom-profile", "smoke"),
            *words,
            str(tmp_path),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_plugin_shows_each_case_as_a_test(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, REFERENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 passed" in done.stdout
    done = pytest_run(tmp_path, f"{sys.executable} -m conformance.broken accepts-the-refused")
    assert done.returncode == 1
    assert "TOM-WIRE-005" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_recorded_self_test_is_of_this_suite() -> None:
    """The table of the documentation site; `tom-conformance selftest --report conformance/selftest.json`."""
    held = selftest.recorded()
    made = suite("1")
    assert list(selftest.stale(held, made, needless())) == []
    assert all(one["caught"] for one in held["broken"])
    assert held["not_killed"] == []
    assert set(held["mutants"]) <= set(requirements())


def test_a_self_test_of_another_suite_is_stale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held, made = selftest.recorded(), suite("1")
    other = copy.deepcopy(held)
    other["broken"][0]["name"] = "no-such-port"
    other["killers"]["TOM-WIRE-006"] = "no-such-case"
    del other["killers"]["TOM-WIRE-004"]
    other["without_case"] = ["TOM-WIRE-002"]
    said = "\n".join(selftest.stale(other, made, needless()))
    for part in ("no broken port no-such-port", "is new", "TOM-WIRE-004 has cases now", "no-such-case isn't"):
        assert part in said
    assert "TOM-WIRE-002 has a case now" in said
    for text in (None, "{", "[]"):
        path = tmp_path / "selftest.json"
        if text is not None:
            path.write_text(text, encoding="utf-8")
        monkeypatch.setattr(selftest, "RECORDED", path)
        assert selftest.recorded() == {}
