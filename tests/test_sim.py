"""The simulator: runs repeat, promises hold, and each promise can be broken by leaving out its rule."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.cli_process import environment, tom, tom_here
from tom_ref import draft
from tom_ref.draft import Roles
from tom_ref.receiving import Receiving
from tom_ref.relaying import Relaying
from tom_ref.sending import Sending
from tom_ref.term import Term
from tom_sim import campaign, faults, liars
from tom_sim.simulation import BrokenPromiseError, Outcome, Setup, play
from tom_sim.streams import Streams

pytestmark = pytest.mark.slow

SMALL = Setup(0, nodes=5, terms=4)
VOTERS = Setup(0, nodes=7, terms=6, only_terms=True, messages=0)

# --- runs repeat ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("like", [SMALL, VOTERS, evolve(SMALL, real_links=True, terms=2)])
def test_a_seed_gives_the_same_run(like: Setup) -> None:
    """Byte for byte, whatever ran before; another seed gives another."""
    first = play(evolve(like, seed=3))
    other = play(evolve(like, seed=4))
    again = play(evolve(like, seed=3))
    assert first.digest == again.digest != other.digest
    assert (first.steps, first.frames) == (again.steps, again.frames)
    assert first.steps > 500


def test_branches_are_named() -> None:
    """Drawing more from one changes nothing in another."""
    streams = Streams(9)
    before = streams.chance("network").random()
    for _ in range(10):
        streams.chance("disk").random()
    assert streams.chance("network").random() == before
    assert streams.branch("a").key("b") == streams.key("a", "b") != streams.key("b", "a")
    assert streams.key("1") != streams.key(1)


def test_a_run_can_be_told_as_its_command() -> None:
    """The command of a failure gives the very run back."""
    setup = Setup(
        7, nodes=6, terms=3, faults=faults.parse("rough,loss=0.3"), liars=1, liar_kind="forger", messages=2.0
    )
    words = setup.command().split()
    assert words[:2] == ["tom", "sim"]
    text = setup.command().split("--liar-kind ")[1]
    assert text.startswith("'forger'")
    done = tom_here("sim", *[word.strip("'") for word in words[2:]], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == play(setup).digest


@pytest.mark.parametrize("text", ["none", "mild", "rough", "rough,loss=0.3", "loss=0.1,crashes=2,storm=0.5"])
def test_faults_as_text(text: str) -> None:
    """What is printed is read back."""
    known = faults.parse(text)
    assert known is not None
    assert faults.parse(faults.text(known)) == known


@pytest.mark.parametrize(
    "text", ["wild", "loss=much", "gremlins=1", "loss=-1", "loss=2", "loss=nan", "crashes=inf", "mild,rough"]
)
def test_faults_that_are_none(text: str) -> None:
    """They are refused with what is possible."""
    with pytest.raises(faults.FaultError):
        faults.parse(text)


# --- promises hold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_whole_nodes_keep_every_promise(seed: int) -> None:
    """Loss, crashes, partitions, clocks and liars below a third, drawn from the seed."""
    outcome = play(Setup(seed, nodes=7, terms=8))
    assert outcome.terms >= 8
    assert outcome.delivered == outcome.sent > 10


@pytest.mark.parametrize("kind", sorted(liars.KINDS))
def test_every_kind_of_liar_is_survived(kind: str) -> None:
    """Two of seven, in rough weather; liars do act: something of theirs is refused, or withheld."""
    outcome = play(Setup(5, nodes=7, terms=6, faults=faults.MILD, liars=2, liar_kind=kind))
    assert outcome.terms >= 6
    assert set(outcome.liars.values()) == {kind}


@pytest.mark.parametrize("seed", range(4))
def test_sixteen_voters_agree(seed: int) -> None:
    """Up to five liars among sixteen, many terms."""
    assert play(Setup(seed, nodes=16, terms=12, only_terms=True, messages=0)).terms >= 12


def test_a_calm_network_delivers_everything_at_once() -> None:
    """Without faults and liars nothing is refused and nothing is late."""
    outcome = play(Setup(1, nodes=6, terms=4, faults=faults.NONE, liars=0))
    assert outcome.delivered == outcome.sent > 5
    assert outcome.crashes == 0
    assert max(outcome.latencies) < 2_000


# --- each promise can be broken ---------------------------------------------------------------------------


def broken(setup: Setup, promise: str) -> str:
    """The run breaks this promise; returns the story."""
    with pytest.raises(BrokenPromiseError) as caught:
        play(setup)
    assert caught.value.promise == promise, caught.value.text
    assert setup.command() in caught.value.text
    return caught.value.text


def test_a_vote_that_is_not_written_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-035: DiskFirst."""
    cast = Term._cast

    def hasty(self: Term, work: Any, block: Any) -> None:
        cast(self, work, block)
        work.persist = None

    monkeypatch.setattr(Term, "_cast", hasty)
    broken(VOTERS, "DiskFirst")


def breaking(like: Setup, seeds: int) -> str:
    """The promise that the first seed that breaks one breaks; every seed's run has the same rule missing."""
    for seed in range(seeds):
        try:
            play(evolve(like, seed=seed))
        except BrokenPromiseError as error:
            return error.promise
    raise AssertionError(f"{seeds} seeds broke nothing")


def test_a_quorum_of_a_third(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-018: TermAgreement, with liars that show two faces, while the network falls apart."""
    monkeypatch.setattr(draft, "quorum", lambda validators: validators // 3 + 1)
    weather = faults.parse("loss=0.1,latency=1500,partitions=20,apart=300000,storm=0.8")
    like = evolve(VOTERS, terms=12, faults=weather, liars=2, liar_kind="equivocator")
    assert breaking(like, 12) in {"TermAgreement", "ChainAgreement"}


def test_nobody_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    """EventuallyFinal."""
    monkeypatch.setattr(Term, "_vote", lambda self, work, slot: None)
    broken(evolve(VOTERS, faults=faults.NONE, liars=0), "EventuallyFinal")


def test_votes_in_a_slot_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-030: VoteOnce."""
    slot = Term.slot
    monkeypatch.setattr(Term, "slot", lambda self, now: slot(self, now + self.record.slot_ms))
    broken(evolve(VOTERS, faults=faults.NONE, liars=0), "VoteOnce")


def test_a_validator_that_forgets_its_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-036: a crash after a vote, and the slot is voted in again."""

    def forgets(self: Term, stored: bytes) -> None:
        """Nothing is taken from the disk."""

    monkeypatch.setattr(Term, "_restore", forgets)
    weather = faults.parse("loss=0.2,repetition=0.2,latency=900,crashes=60,away=400,storm=0.8")
    like = evolve(VOTERS, nodes=4, terms=16, faults=weather, liars=1)
    assert breaking(like, 10) in {"VoteOnce", "VoteRising", "ProposeOnce"}


def test_roles_that_depend_on_who_computes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-076: RoleAgreement."""
    made: list[Roles] = []
    leaders = Roles.__dict__["leaders"].func

    def own(self: Roles) -> tuple[bytes, ...]:
        made.append(self)
        order: tuple[bytes, ...] = leaders(self)
        return order if len(made) % 2 else order[::-1]

    monkeypatch.setattr(Roles, "leaders", property(own))
    broken(evolve(VOTERS, faults=faults.NONE, liars=0), "RoleAgreement")


def test_a_relay_that_swallows(monkeypatch: pytest.MonkeyPatch) -> None:
    """DeliveredInTime: if all relays swallow and there is no direct way."""
    monkeypatch.setattr(Relaying, "forward", lambda self, *_: None)
    monkeypatch.setattr(Sending, "attempt", _never_to_the_recipient(Sending.attempt))
    broken(Setup(2, nodes=5, terms=6, faults=faults.NONE, liars=0), "DeliveredInTime")


def _never_to_the_recipient(attempt: Callable[..., bool]) -> Callable[..., bool]:
    def restricted(self: Sending, step: Any, pending: Any, ways: list[tuple[bytes, int]]) -> bool:
        return attempt(self, step, pending, [way for way in ways if way[0] != pending.recipient])

    return restricted


def test_a_recipient_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-DELIVERY-062: a forgotten message is shown twice; or its key used again is noticed."""
    monkeypatch.setattr(Receiving, "known_receipt", lambda self, message: None)
    weather = faults.parse("loss=0.3,repetition=0.5,latency=900,storm=0.8")
    like = evolve(SMALL, nodes=4, terms=6, faults=weather, liars=0, messages=10)
    assert breaking(like, 6) in {"AtMostOnce", "KeysOnce", "DeliveredInTime", "DeliveredIffReceipt"}


# --- campaigns --------------------------------------------------------------------------------------------


def test_a_broken_promise_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the promise and carries the story."""
    monkeypatch.setattr(Term, "_vote", lambda self, work, slot: None)
    row = campaign.run_one(evolve(VOTERS, faults=faults.NONE, liars=0))
    assert row.broken == "EventuallyFinal"
    assert "tom sim --seed 0" in row.story


def test_percentiles() -> None:
    """The smallest value that covers the share."""
    assert [campaign.percentile(range(1, 101), share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert campaign.percentile([7], 0.5) == 7
    assert campaign.percentile([], 0.5) == 0


@pytest.mark.parametrize("scheduler", [campaign.PLAIN, campaign.LOCAL])
def test_a_campaign_from_the_command_line(tmp_path: Path, scheduler: str) -> None:
    """In plain processes and on a Dask cluster of this computer: the same rows."""
    out = tmp_path / "rows.csv"
    done = tom(
        "sim",
        "campaign",
        "--seeds",
        "3-6",
        "--nodes",
        "4",
        "--terms",
        "3",
        "--scheduler",
        scheduler,
        "--out",
        out,
    )
    assert done.returncode == 0, done.stderr
    assert b"3 of 3 seeds kept every promise" in done.stdout
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["3", "4", "5"]
    assert rows[0]["digest"] == play(Setup(3, nodes=4, terms=3)).digest
    assert all(row["broken"] == "" for row in rows)


def test_a_run_from_the_command_line() -> None:
    """For people: the figures, and the command that repeats it."""
    done = tom("sim", "--nodes", "4", "--terms", "2", "--seed", "5")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    assert "all held" in shown
    assert "tom sim --seed 5 --nodes 4 --terms 2" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nodes", "0"),
        ("--nodes", "65"),
        ("--terms", "0"),
        ("--terms", "2", "--hours", "1"),
        ("--liars", "9", "--nodes", "4"),
        ("--liar-kind", "saint"),
        ("--faults", "wild"),
        ("--messages", "inf"),
        ("--messages", "nan"),
        ("--messages", "-4"),
        ("--links", "rusty"),
        ("--split", "20-10"),
        ("campaign", "--seeds", "7"),
        ("campaign", "--workers", "0"),
    ],
)
def test_options_that_can_not_be(arguments: tuple[str, ...]) -> None:
    """Wrong usage, said in a line."""
    done = tom_here("sim", *arguments)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"tom: ")


def test_a_scheduler_that_is_not_there() -> None:
    """Said in a line as well."""
    done = tom("sim", "campaign", "--seeds", "0-1", "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert b"can't be used" in done.stderr


def test_an_outcome_begins_empty() -> None:
    """A row of a run that did not happen has zeros."""
    row = campaign.row_of(Outcome(SMALL, faults.NONE), 0.0)
    assert (row.terms, row.latency_99, row.broken) == (0, 0, "")


def test_a_run_is_the_same_in_every_process() -> None:
    """Nothing depends on the order of a set: Python hashes bytes differently in each process."""
    digests = set()
    for hash_seed in ("1", "2"):
        done = tom(
            "sim",
            "--nodes",
            "5",
            "--terms",
            "3",
            "--seed",
            "3",
            "--json",
            environ=environment(PYTHONHASHSEED=hash_seed),
        )
        digests.add(json.loads(done.stdout)["digest"])
    assert len(digests) == 1
