"""SIGKILL at random instants while messages wait in custody: a sample; the long run is a command.

`python -m tests.custody_kills --kills 200 --seed 7` is the same with two hundred instants.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.custody_kills import Records, run, shares

KILLS = 10


def test_no_kill_loses_or_doubles_a_message_that_waits_for_its_recipient(tmp_path: Path) -> None:
    """TOM-PURGE-001, 002, 014, 017, 021, 028 to 031: real processes, real files, real kills."""
    everything = run(tmp_path, seed=1, kills=KILLS)
    assert everything.faults(KILLS) == []
    assert len(everything.taken) > 3
    assert everything.kills.keys() == {"sender", "one", "two", "recipient"}
    assert everything.over
    assert everything.left == dict.fromkeys(("sender", "one", "two", "recipient"), 0)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([{"what": "taken", "content": "x"}], "lost"),
        ([{"what": "shown", "id": name, "content": "x", "again": False} for name in "ab"], "two ids"),
        ([{"what": "shown", "id": "a", "content": "x", "again": False}] * 2, "shown as new twice"),
        ([{"what": "final", "state": "EXPIRED"}], "expired"),
        ([], "nothing was ever in custody"),
    ],
)
def test_what_goes_wrong_is_seen(lines: list[dict[str, object]], fault: str) -> None:
    """The check can fail, for each of its reasons; and says how many kills there were."""
    records = Records()
    for line in lines:
        records.note(json.dumps(line).encode())
    if fault != "nothing was ever in custody":
        records.events.update(kept=1, purged=1)
    assert [found for found in records.faults(0) if fault in found]
    assert not any("left in stores" in found for found in records.faults(0))
    records.left["one"] = 1
    assert "messages are left in stores: {'one': 1}" in records.faults(0)
    assert "0 kills instead of 3" in records.faults(3)


def test_the_run_is_over_when_nobody_keeps_a_copy() -> None:
    """Not before each of the four has said that it keeps none."""
    records = Records()
    for name in ("sender", "one", "two"):
        records.note(b'{"what": "holds", "copies": 0}', name)
    assert not records.over
    for copies in (1, 0):
        records.note(b'{"what": "holds", "copies": %d}' % copies, "recipient")
        assert records.over is (copies == 0)


def test_every_node_has_its_share_of_the_kills() -> None:
    """As even as can be."""
    assert shares(200) == dict.fromkeys(("sender", "one", "two", "recipient"), 50)
    assert sum(shares(10).values()) == 10
