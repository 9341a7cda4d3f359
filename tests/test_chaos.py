"""A share of real processes killed at once: a sample; the long run is ``make chaos``."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import trio
from rich.console import Console

from tests.chaos import Plan, Run, Written, main, parse, play, report
from tests.cli_process import gone

SMALL = Plan(seed=3, nodes=4, lost=25, before=6, after=12, pause=100, slot=300)


@pytest.mark.slow
def test_no_message_between_survivors_is_lost_or_doubled(tmp_path: Path) -> None:
    """TOM-DELIVERY-052, TOM-PURGE-001: four processes, one of them killed while messages are under way."""
    told: list[tuple[str, int, int]] = []
    run = Run(tmp_path, SMALL, lambda *what: told.append(what))
    assert trio.run(play, run)
    assert run.stuck == ""
    assert run.faults() == []
    assert len(run.victims) == 1
    judged = run.judged()
    assert sum(message.after for message in judged) == SMALL.after
    assert all(message.new == 1 and message.state == "delivered" for message in judged)
    assert run.normal_after() is not None
    assert {what for what, done, total in told if done == total} == {
        "nodes listen",
        "nodes are members",
        "messages are written",
        "messages have arrived",
    }
    for member in run.members:
        assert member.process is not None
        assert gone(member.process.pid)
        assert not member.socket.exists()


def played(folder: Path) -> Run:
    """A run as it would be after all went well, without its processes."""
    run = Run(folder, SMALL, lambda *_: None)
    run.killed_at = 10.0
    one, other = run.survivors[:2]
    for number in range(4):
        run.written.append(
            Written(number, one, other, 9.0 + number, number > 1, 9.5 + number, 1, {"id"}, "delivered")
        )
    return run


def printed(run: Run) -> tuple[int, str]:
    """The exit code of a run's report, and its text."""
    out = io.StringIO()
    return report(run, Console(file=out, width=100)), out.getvalue()


def test_what_is_lost_or_doubled_is_said_with_the_command(tmp_path: Path) -> None:
    """The exit code is 1 then, and the seed is named."""
    code, text = printed(played(tmp_path))
    assert code == 0
    assert "Normal again after 0.0 s" in text
    run = played(tmp_path)
    run.written[3].shown_at = None
    run.written[2].new = 2
    run.written[1].ids.add("another id")
    run.written[0].shown_at = 20.0
    run.strange.append("node 1 was shown what nobody wrote")
    run.ended_early.update(member.number for member in run.members)
    code, text = printed(run)
    assert code == 1
    assert len(re.findall("^FAILED", text, re.MULTILINE)) == 4 + len(run.survivors)
    assert "message 3" in text
    assert "Never normal again" in text
    assert text.endswith(f"To do it again: {SMALL.command()}\n")
    late = played(tmp_path)
    late.written[2].shown_at = 30.0
    assert late.normal_after() == 2.0


def test_the_same_seed_loses_the_same_nodes(tmp_path: Path) -> None:
    """The share is rounded; two nodes stay, whatever is asked for."""
    first, second = (Run(tmp_path, Plan(seed=7, lost=50), lambda *_: None) for _ in range(2))
    assert [member.number for member in first.victims] == [member.number for member in second.victims]
    assert len(first.survivors) == 8
    assert Plan(nodes=3, lost=60).kills == 1
    assert Plan(nodes=16, lost=1).kills == 1


def test_bad_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started by them; the command that a run names asks for the same run."""
    for arguments in (["--lost", "99"], ["--nodes", "2"], ["--slot", "5"], ["--seed", "x"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "--lost is from 1 to 60" in capsys.readouterr().err
    assert parse(SMALL.command().split()[3:]) == SMALL
