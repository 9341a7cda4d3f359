"""Attacks with figures, adaptation, and sums of balances in every simulated record (spec/11, spec/12)."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.cli_process import tom_here
from tom_ref import ledger, records, term_codec
from tom_ref.term_frames import TermRecord
from tom_sim import attacks, faults
from tom_sim.attacks import ATTACKS, SIZES, Fifo, adaptation, table
from tom_sim.paper import Paper
from tom_sim.promises import PromiseError
from tom_sim.simulation import BrokenPromiseError, Setup, play
from tom_sim.streams import Streams

pytestmark = pytest.mark.slow

DATA = Path(__file__).resolve().parents[1] / "docs" / "data"


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_an_attack_gains_no_more_than_stated(name: str) -> None:
    """TOM-BALANCE-004 to 015, TOM-ROLES-064 to 086: in small; the same seed gives the same figure."""
    size = max(10, SIZES[name] // 10)
    found = attacks.run_one((name, 1, size))
    assert found.holds, found
    assert found.value > 0
    assert found == attacks.run_one((name, 1, size))


def test_without_an_allowance_accomplices_gain_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-BALANCE-006: the attack does find the hole when the rule is left out."""
    monkeypatch.setattr(ledger, "allowance", lambda balance: 1 << 40)
    assert not attacks.accomplices(1, 12).holds


def test_one_queue_for_all_lets_a_flood_through() -> None:
    """TOM-BALANCE-014: what the fair queue is held against does suffer."""
    found = attacks.flooding(1, 5)
    fair, one = dict(found.series["fair queues"]), dict(found.series["one queue"])
    assert fair[8.0] <= found.bound < one[2.0]
    queue = Fifo()
    assert queue.push(b"", 1.0, 1 << 30) == [1.0]
    assert queue.pop() is None


def test_adaptation_helps_and_is_taken_back() -> None:
    """TOM-VITALS-005, 009: against a third of liars, a step a term, up in the storm and down after it."""
    with_rule, without = (adaptation(2, adapts=adapts, terms=30, messages=32) for adapts in (True, False))
    storm = [place for place, season in enumerate(with_rule) if season.gone > 0.1][4:]
    better = [with_rule[place].delivered - without[place].delivered for place in storm]
    assert min(better) > 3
    assert max(season.custody for season in with_rule) == 4
    assert with_rule[-1].custody == with_rule[0].custody == 2
    assert {season.custody for season in without} == {2}
    steps = [after.custody - before.custody for before, after in pairwise(with_rule)]
    assert set(steps) <= {-1, 0, 1}


# --- sums -------------------------------------------------------------------------------------------------


def test_a_ledger_that_makes_bytes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-BALANCE-001: BalancesSumToZero is looked at in every record that a node holds or proposes."""
    original = records.next_record

    def generous(*arguments: Any, **named: Any) -> TermRecord:
        record = original(*arguments, **named)
        return evolve(record, pot=record.pot + 1)

    monkeypatch.setattr(records, "next_record", generous)
    # The codec would refuse to write such a record down; what is shown here is that the simulator looks, too.
    monkeypatch.setattr(term_codec, "_check_record", lambda record: None)
    with pytest.raises(BrokenPromiseError) as caught:
        play(Setup(1, nodes=4, terms=3, faults=faults.NONE, liars=0))
    assert caught.value.promise == "BalancesSumToZero", caught.value.text
    with pytest.raises(PromiseError, match="BalancesSumToZero"):
        Paper(Streams(1), 4).next_term()


# --- the command ------------------------------------------------------------------------------------------


def test_the_command_and_its_figures(tmp_path: Path) -> None:
    """For programs and as files: a table, CSV, plots in both forms."""
    done = tom_here(
        "sim", "attacks", "--quick", "--only", "flooding,id-grinding", "--out", tmp_path, "--json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kept"] is True
    assert [one["attack"] for one in told["attacks"]] == ["flooding", "id grinding"]
    names = {path.name for path in tmp_path.iterdir()}
    assert {"attacks.csv", "attacks-table.md", "flooding.svg", "flooding.png", "adaptation.svg"} <= names
    again = tmp_path / "again"
    tom_here("sim", "attacks", "--quick", "--only", "flooding,id-grinding", "--out", again)
    for name in ("flooding.svg", "attacks.csv", "adaptation.csv"):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("attacks", "--only", "magic"),
        ("resilience", "--nodes", "2"),
        ("resilience", "--nodes", "16,x"),
        ("resilience", "--lost", "90"),
        ("resilience", "--seeds", "5"),
        ("resilience", "--terms", "0"),
        ("resilience", "--pause", "0"),
    ],
)
def test_options_that_can_not_be(arguments: tuple[str, ...]) -> None:
    """Wrong usage, said in a line."""
    done = tom_here("sim", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(b"tom: ")


def test_the_page_shows_what_the_command_found() -> None:
    """The table of the page is that of its CSV, and every bound held."""
    with (DATA / "attacks.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = (DATA / "attacks-table.md").read_text(encoding="utf-8").splitlines()
    assert [row["attack"] for row in rows] == [line.split(" | ")[0].removeprefix("| ") for line in shown[3:]]
    assert len(rows) == len(ATTACKS)
    for row, line in zip(rows, shown[3:], strict=True):
        assert row["holds"] == "True"
        assert all(row[name] in line for name in ("gain", "honest", "stated", "limit"))
    assert len(table([])) == 1
