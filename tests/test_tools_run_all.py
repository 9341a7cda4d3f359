"""The runner of all parts tells the truth: no failed, missing or idle part counts as passed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

from tools import run_all
from tools.run_all import Outcome, Part


def part(code: str) -> Part:
    return Part("sample", "a sample", (sys.executable, "-c", code))


@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        ("print('fine')", "PASS", ""),
        ("import sys; print('broken'); sys.exit(3)", "FAIL", "exit 3: broken"),
        ("import sys; sys.exit(1)", "FAIL", "exit 1: no output"),
        ("import sys; print('no such tool', file=sys.stderr); sys.exit(77)", "NOT RUN", "no such tool"),
        ("import os; os.kill(os.getpid(), 9)", "FAIL", "exit -9: no output"),
    ],
)
def test_the_verdict_follows_the_exit_code(
    code: str, verdict: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_all.run(part(code))
    assert (outcome.verdict, outcome.reason) == (verdict, reason)
    assert outcome.seconds > 0


def test_output_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    run_all.run(part("print('one'); print('two')"))
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_missing_part_fails(tmp_path: Path) -> None:
    absent = run_all.run(Part("absent", "not there", (str(tmp_path / "nothing"),)))
    assert absent.verdict == "FAIL"
    missing = run_all.run(Part("absent", "not there", (sys.executable, "-m", "tools.absent_module")))
    assert missing.verdict == "FAIL"


def test_the_closing_line_counts_parts() -> None:
    sample = part("")
    passed, failed, not_run = (Outcome(sample, verdict, 1.0) for verdict in ("PASS", "FAIL", "NOT RUN"))
    assert run_all.closing_line([passed, passed]) == "2 passed, 0 failed"
    assert run_all.closing_line([passed, failed, not_run]) == "1 passed, 1 failed, 1 skipped"


@pytest.mark.parametrize(
    ("codes", "status", "closing"),
    [
        (["", ""], 0, "2 passed, 0 failed"),
        (["", "raise SystemExit(1)"], 1, "1 passed, 1 failed"),
        (["raise SystemExit(1)", ""], 1, "1 passed, 1 failed"),
        (["", "raise SystemExit(77)"], 0, "1 passed, 0 failed, 1 skipped"),
        (["raise SystemExit(77)"], 1, "0 passed, 0 failed, 1 skipped"),
    ],
)
def test_the_command_fails_when_a_part_does(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    codes: list[str],
    status: int,
    closing: str,
) -> None:
    known = {
        f"part {number}": Part(f"part {number}", "a [sample]", (sys.executable, "-c", code))
        for number, code in enumerate(codes)
    }
    monkeypatch.setattr(run_all, "parts", lambda python, fuzz_seconds: known)
    monkeypatch.setattr(run_all, "SUITES", {"sample": tuple(known)})
    assert run_all.main(["sample"]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == closing
    assert any("part 0" in line and ("PASS" in line or "FAIL" in line or "NOT RUN" in line) for line in lines)


def test_every_suite_is_made_of_known_parts() -> None:
    known = run_all.parts(sys.executable, 1)
    for names in run_all.SUITES.values():
        assert set(names) <= set(known)
    assert set(run_all.SUITES["test"]) == set(known) - {"quick tests"}


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (200.0, "3 min 20 s")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert run_all.duration(seconds) == text


def test_two_lanes_run_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each part waits for the file that the other one makes."""
    code = """
import sys, time
from pathlib import Path
Path(sys.argv[1]).touch()
until = time.monotonic() + 30
while not Path(sys.argv[2]).exists():
    if time.monotonic() > until:
        sys.exit("the other part did not run")
print("met")
"""
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    together = [
        Part("first", "", (sys.executable, "-c", code, one, two)),
        Part("second", "", (sys.executable, "-c", code, two, one)),
        Part("third", "", (sys.executable, "-c", "print('third')"), alone=True),
    ]
    outcomes = list(run_all.run_parts(together, 2, Console()))
    assert [outcome.verdict for outcome in outcomes] == ["PASS"] * 3, outcomes
    assert {outcome.part.name for outcome in outcomes[:2]} == {"first", "second"}
    out = capsys.readouterr().out
    assert "first  | met\n" in out
    assert "second | met\n" in out
    assert "\nthird\n" in out
