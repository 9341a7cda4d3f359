"""The behaviours of the model Purge on real nodes: they do what it does, and don't what a broken one does."""

from __future__ import annotations

import json

import pytest

from tests.purge_world import ATTACKS, FOLDER, RUNS, Replay


def replayed(name: str) -> Replay:
    """A trace on real nodes."""
    replay = Replay(json.loads((FOLDER / name).read_text(encoding="utf-8")))
    replay.run()
    return replay


@pytest.mark.parametrize("name", RUNS)
def test_the_nodes_do_what_the_model_does(name: str) -> None:
    """TOM-PURGE-011 to 013, 022 to 026, 028, 030, 032, 034 to 037: every behaviour, step by step."""
    assert replayed(name).parted == []


@pytest.mark.parametrize("twin", ATTACKS)
def test_the_nodes_part_from_a_model_that_lacks_a_rule(twin: str) -> None:
    """The counterexamples of the broken twins are attacks that the nodes don't go along with."""
    assert replayed(f"purge-bad-{twin}.itf.json").parted


def test_every_run_of_the_model_is_there() -> None:
    """A replay of nothing proves nothing."""
    assert len(RUNS) > 80
