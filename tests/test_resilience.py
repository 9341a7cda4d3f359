"""Many nodes lost at once: delivery between the survivors (issue: balance and vital signs)."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from attrs import evolve

from tests.cli_process import tom_here
from tom_ref.sending import Sending
from tom_sim import resilience
from tom_sim.resilience import Loss, run_one

pytestmark = pytest.mark.slow

DATA = Path(__file__).resolve().parents[1] / "docs" / "data"
SMALL = Loss(0, nodes=5, lost=40, after=5, pause=20_000)


@pytest.fixture(scope="module")
def small() -> resilience.Result:
    """One small run."""
    return run_one(SMALL)


def test_what_the_survivors_write_arrives(small: resilience.Result) -> None:
    """TOM-ROLES-088 to 104, 135; TOM-DELIVERY-052: at once after a minute, and they found a child."""
    assert small.broken == ""
    assert small.survivors == 3
    assert small.sent > 100
    assert small.share >= 0.99
    assert 0 <= small.back_after <= 120
    assert 0 < small.record_after < 5 * small.term_s
    assert small.forks == 1


def test_figures_come_from_the_minutes(small: resilience.Result) -> None:
    """Each minute counts what was written in it."""
    after = [minute for minute in small.minutes if minute.minute >= 0]
    assert sum(minute.sent for minute in after) == small.sent
    assert sum(minute.delivered for minute in after) == small.delivered
    assert all(minute.normal <= minute.delivered <= minute.sent for minute in small.minutes)
    rows = resilience.table([small, evolve(small, seed=1, back_after=-1)])
    assert rows[1][:3] == ("5", "40 %", "2")
    assert "never" in rows[1]


def test_nodes_that_do_not_reroute_lose_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-DELIVERY-052 left out: the figure shows it."""
    attempt = Sending.attempt

    def once(self: Sending, step: object, pending: object, ways: object) -> bool:
        if pending.attempts:  # type: ignore[attr-defined]
            self.retry_later(step, pending)  # type: ignore[arg-type]
            return True
        return attempt(self, step, pending, ways)  # type: ignore[arg-type]

    monkeypatch.setattr(Sending, "attempt", once)
    assert run_one(evolve(SMALL, before=0, after=1, pause=2_000)).share < 1


def test_the_command(tmp_path: Path) -> None:
    """It writes figures and plots, and says whether the promise was kept."""
    done = tom_here(
        "sim", "resilience", "--nodes", "4", "--lost", "25", "--seeds", "0-1", "--terms", "1",
        "--scheduler", "none", "--workers", "1", "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert b"promise kept" in done.stdout
    names = {path.name for path in tmp_path.iterdir()}
    made = {"csv", "svg", "png"}
    assert names == {f"resilience.{kind}" for kind in made} | {
        "resilience-minutes.csv",
        "resilience-table.md",
    }


def test_the_page_keeps_the_promise() -> None:
    """After 50 % loss at 64 nodes at least 99 % arrives; delivery is normal again within a term."""
    with (DATA / "resilience.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["nodes"]) for row in rows} == {16, 32, 64}
    for row in rows:
        assert int(row["delivered"]) >= 0.99 * int(row["sent"])
        assert 0 <= int(row["back_after"]) <= int(row["term_s"])
    assert any(row["nodes"] == "64" and row["lost"] == "50" for row in rows)


def test_a_run_names_its_command() -> None:
    """What repeats it."""
    command = "tom sim resilience --nodes 16 --lost 50 --seeds 3-4 --terms 6 --before 1 --pause 4000"
    assert Loss(3, 16, 50).command() == command
