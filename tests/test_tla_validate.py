"""Logs of the simulator, checked by TLC against the model of a term: real nodes do what it allows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from tla.runner.cli import main
from tla.runner.errors import Exit, RunnerError
from tla.runner.validate import read_log, unexplained, validate
from tom_cli.main import main as tom
from tom_ref import codec
from tom_ref.term import Term
from tom_sim import faults
from tom_sim.simulation import Setup, play

TLA = Path(__file__).parents[1] / "tla"
ROUGH = faults.parse("rough,crashes=20")


def played(seed: int, terms: int = 3) -> str:
    """The log of a run of four nodes in which much goes wrong, and nobody lies."""
    stream = io.StringIO()
    play(Setup(seed, 4, terms, ROUGH, 0, only_terms=True), log=stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def log() -> str:
    return played(11)


def ended(command: list[str]) -> object:
    """The exit code of a command of ``tom``."""
    with pytest.raises(SystemExit) as caught:
        tom(command)
    return caught.value.code


def lines_of(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


def written(folder: Path, lines: list[dict[str, Any]]) -> Path:
    file = folder / "log.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def test_a_log_of_real_nodes_is_a_behaviour_of_the_model(log, tmp_path):
    """TOM-ROLES-020 to 045: through crashes, losses and skewed clocks, each step is one of the model's."""
    file = written(tmp_path, lines_of(log))
    terms = read_log(file)
    names = {entry.name for term in terms for entry in term.entries}
    assert names == {"Tick", "Propose", "Vote", "Learn", "Adopt", "Restart"}
    said = io.StringIO()
    assert validate(file, TLA, Console(file=said, width=200)) is Exit.OK
    assert f"{len(terms)} of {len(terms)} terms" in said.getvalue()


def test_an_altered_log_is_none(log, tmp_path):
    """One entry that is another, one that is missing, one too many: each is found where it stands."""
    (first, *_) = read_log(written(tmp_path, lines_of(log)))
    vote = next(index for index, entry in enumerate(first.entries) if entry.name == "Vote")
    adopt = next(index for index, entry in enumerate(first.entries) if entry.name == "Adopt")
    learn = max(
        index
        for index, entry in enumerate(first.entries[:adopt])
        if entry.name == "Learn" and entry.node == first.entries[adopt].node
    )
    entry = first.entries[vote]
    cases = [
        (vote, [evolve(entry, numbers={**entry.numbers, "last": 7})], vote),
        (vote, [entry, entry], vote + 1),
        (learn, [], adopt - 1),
        (0, [], 0),
    ]
    altered = [
        evolve(first, term=number, entries=[*first.entries[:at], *instead, *first.entries[at + 1 :]])
        for number, (at, instead, _) in enumerate(cases)
    ]
    refused = {one.term: one.entry for one in unexplained([first, *altered], TLA)}
    assert refused == {
        number: altered[number].entries[found_at] for number, (_, _, found_at) in enumerate(cases)
    }


def test_a_node_that_forgets_its_votes_is_found(monkeypatch, tmp_path):
    """TOM-ROLES-036: a restart from a disk that lost the last slot is not the model's."""

    def forgetful(term: Term, stored: bytes) -> None:
        term._restored_slot = codec.TERM.decode(stored).last_slot

    monkeypatch.setattr(Term, "_restore", forgetful)
    file = tmp_path / "log.ndjson"
    file.write_text(played(12), encoding="utf-8")
    refused = unexplained(read_log(file), TLA)
    assert {one.entry.name for one in refused} == {"Restart"}


@pytest.mark.parametrize(
    ("number", "change", "says"),
    [
        (0, {"format": 2}, "another format"),
        (0, {"model": "Purge"}, "another format"),
        (1, {"quorum": 9}, "a quorum"),
        (1, {"quorum": True}, "no number"),
        (1, {"validators": 3}, "line 2"),
        (2, {"present": "00"}, "line 3"),
        (2, {"name": "Sleep"}, "no action"),
        (2, {"slot": 1_000_000}, "200 slots"),
        (2, {"slot": -1}, "no number"),
        (2, {"node": "00"}, "line 3"),
        (2, {"name": "Vote"}, "no block"),
    ],
)
def test_what_is_no_log(log, tmp_path, number, change, says):
    lines = lines_of(log)[:4]
    lines[number] |= change
    with pytest.raises(RunnerError, match=says) as caught:
        read_log(written(tmp_path, lines))
    assert caught.value.code is Exit.USAGE


def test_what_is_no_file_or_says_nothing(log, tmp_path, monkeypatch):
    with pytest.raises(RunnerError, match="gone"):
        read_log(tmp_path / "gone")
    with pytest.raises(RunnerError, match="no term"):
        read_log(written(tmp_path, lines_of(log)[:1]))
    with pytest.raises(RunnerError, match="twice"):
        read_log(written(tmp_path, [*lines_of(log)[:2], lines_of(log)[1]]))
    monkeypatch.setattr("tla.runner.validate.MOST_ENTRIES", 3)
    with pytest.raises(RunnerError, match="more than"):
        read_log(written(tmp_path, lines_of(log)))


def test_the_commands(log, tmp_path, capsys):
    file = tmp_path / "run.ndjson"
    options = ["sim", "--nodes", "3", "--terms", "1", "--faults", "none", "--only-terms"]
    assert ended([*options, "--liars", "0", "--log", str(file)]) == 0
    assert [line["name"] for line in lines_of(file.read_text())[1:3]] == ["Term", "Tick"]
    assert ended([*options, "--log", str(file)]) != 0
    assert ended([*options, "--liars", "0", "--log", str(tmp_path)]) != 0
    assert "--log" in capsys.readouterr().err
    lines = lines_of(file.read_text())
    del lines[2]
    assert main(["validate", str(written(tmp_path, lines))]) == Exit.DIFFERENT
    assert "no step of TermKnow explains Vote of" in capsys.readouterr().out
