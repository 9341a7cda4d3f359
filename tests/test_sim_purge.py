"""A simulated day of a network that forgets: the promises of *Purge* hold, and each of them can be broken."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.cli_process import tom_here
from tom_ref import custody, receiving, sending
from tom_ref.custody import Custody
from tom_ref.drivers.store import Store
from tom_ref.early import EarlyInputs
from tom_ref.effects import Change, DeliveryState, Persist, Progress, Table
from tom_ref.frames import Header, Receipt
from tom_ref.home import Home
from tom_ref.netclock import NetworkClock
from tom_ref.node import Node
from tom_ref.sending import Sending
from tom_ref.step import Step
from tom_sim import memo
from tom_sim.faults import Faults
from tom_sim.idle import SETTLED, Idle, idle
from tom_sim.promises import PromiseError
from tom_sim.purging import DAY, PurgeSetup, Purging, coarse, play, run_one
from tom_sim.simulation import FOUNDED, HOUR, BrokenPromiseError
from tom_sim.whole import Whole

pytestmark = pytest.mark.slow

SETUP = PurgeSetup(0)
CALM = Faults(storm=0.4)
"""Nothing goes wrong but what the day plans: computers that are off for hours, a liar."""


# --- the promises hold ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [3, 28, 65, 19])
def test_a_day_keeps_every_promise(seed: int) -> None:
    """TOM-PURGE-005, 013 to 031, 034 to 038.

    With a liar (3, 28), one that leaves for good (28, 65), a vote that leaves after a later one (28), many
    starts with a wrong clock (19).
    """
    row = run_one(PurgeSetup(seed))
    assert row.broken == "", row.story
    assert row.hours > 24
    assert row.terms >= 8
    assert row.away >= 5
    assert row.delivered > 5
    assert row.expired > 0
    assert row.by_receipt > 10
    assert row.by_expiry > 5
    assert row.forgotten > 20
    assert row.searches == 12
    assert row.corrected <= row.wrong
    assert (row.corrected > 10) == (seed == 19)
    assert (row.liars, row.left) in {(1, 0), (0, 1), (1, 1)}


def test_a_final_state_is_told_again_before_the_time_is_known() -> None:
    """TOM-PURGE-005, 009: written in time, not told before a crash, told at the next start."""
    row = run_one(PurgeSetup(87))
    assert row.broken == "", row.story


def test_half_of_the_clocks_that_a_node_sees_are_wrong() -> None:
    """TOM-ROLES-129, TOM-PURGE-009: it waits until it sees others, and loses nothing."""
    row = run_one(PurgeSetup(8))
    assert row.broken == "", row.story


def test_a_message_written_right_before_the_check_may_be_on_its_way() -> None:
    """DeliveredInTime is about what has had the time for a delivery."""
    row = run_one(PurgeSetup(849))
    assert row.broken == "", row.story


def test_the_same_day_again() -> None:
    """Byte for byte, whatever the process did before."""
    calm = PurgeSetup(8, nodes=3, faults=CALM)
    assert play(calm).digest == play(calm).digest


def test_a_months_stores_stay_as_they_are() -> None:
    """TOM-PURGE-041, 042: thirty days; from the fifth to the last every node keeps the very same bytes."""
    month = idle(1, 30, nodes=3)
    assert len(month.days) == 30
    assert set(month.days[SETTLED:]) == {month.days[SETTLED]}
    assert month.messages > 3
    assert month.terms > 100


def test_the_file_of_an_idle_node_is_flat(tmp_path: Path) -> None:
    """TOM-PURGE-042: a week with the real store of one node; its file is never larger than at first."""
    with memo.shared(), coarse():
        network = Idle(2, nodes=3)
        host = network.world.hosts[0]
        store = Store(tmp_path / "node.tom-store", host.id)
        host.store = store  # type: ignore[assignment]
        sizes = []
        network.month(1, lambda _: None)
        for day in range(1, 8):
            network.world.run(FOUNDED + day * DAY)
            store.checkpoint()
            sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
        store.close()
    assert max(sizes[SETTLED:]) <= max(sizes[:SETTLED]), sizes


# --- each of them can be broken ---------------------------------------------------------------------------


def broken(setup: PurgeSetup) -> str:
    """The promise that the day breaks; its story names the seed and the one command."""
    with pytest.raises(BrokenPromiseError) as caught:
        play(setup)
    assert f"tom sim purge --seed {setup.seed} --nodes {setup.nodes}" in caught.value.text
    return caught.value.promise


@pytest.fixture
def day() -> Iterator[Callable[[PurgeSetup, int], Purging]]:
    """A day, played up to an hour."""
    with ExitStack() as stack:
        stack.enter_context(memo.shared())
        stack.enter_context(coarse())

        def played(setup: PurgeSetup, hours: int) -> Purging:
            purging = Purging(setup)
            for host in purging.world.hosts:
                purging.world.boot(host)
            purging.world.run(FOUNDED)
            purging._plan()
            purging.world.run(hours * HOUR)
            return purging

        yield played


def test_a_custodian_that_drops_what_it_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-017: PurgeJustified (twin drop-on-forward)."""
    hand_over = Custody._hand_over

    def drops(self: Custody, step: Step, copy: Any, peer: bytes, link: int) -> None:
        hand_over(self, step, copy, peer, link)
        self._remove(step, copy, "handed on")

    monkeypatch.setattr(Custody, "_hand_over", drops)
    assert broken(evolve(SETUP, faults=CALM, liars=0)) == "PurgeJustified"


def test_a_receipt_that_is_believed_without_its_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-022: PurgeJustified, against a liar that forges (twin forged-receipt)."""

    def believes(receipt: Receipt, header: Header, message: bytes) -> None:
        """Anything goes."""

    monkeypatch.setattr(custody, "check_receipt", believes)
    monkeypatch.setattr(sending, "check_receipt", believes)
    setup = evolve(SETUP, faults=CALM, liars=1, liar_kind="hoarder")
    assert broken(setup) in {"PurgeJustified", "DeliveredIffReceipt"}


def test_a_relay_that_ignores_its_tombstones(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-013: NoResurrection, against a liar that replays (twin tombstone-ignored)."""
    answer = Custody.answer

    def blind(self: Custody, *what: Any) -> None:
        kept, self._tombstones = self._tombstones, {}
        answer(self, *what)
        self._tombstones = kept

    monkeypatch.setattr(Custody, "answer", blind)
    monkeypatch.setattr(Custody, "known_receipt", lambda self, message: None)
    assert broken(evolve(SETUP, faults=CALM, liars=1, liar_kind="hoarder")) == "NoResurrection"


@pytest.mark.parametrize(("name", "rule"), [("expire", "034"), ("forget", "035")])
def test_an_erasure_that_waits(monkeypatch: pytest.MonkeyPatch, name: str, rule: str) -> None:
    """TOM-PURGE-034, 035, 036: OwnClockBound, TtlBound, TraceBound (twins lazy-expiry, lazy-trace)."""
    assert rule in {"034", "035"}
    monkeypatch.setattr(Custody, name, lambda self, step, message: None)
    assert broken(evolve(SETUP, faults=CALM, liars=0)) in {"OwnClockBound", "TtlBound", "TraceBound"}


def test_clocks_that_are_further_off_than_may_be() -> None:
    """TOM-PURGE-006, 034: by true time a copy outlives its bound, though each clock is obeyed."""
    wrong = Faults(storm=0.4, skew=1_200_000, steps=0.5)
    assert broken(evolve(SETUP, faults=wrong, liars=0)) in {
        "TtlBound",
        "TraceBound",
        "NotBeforeItsTime",
        "ExpiredIsFinal",
        "TombOutlivesCopies",
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_a_node_that_believes_its_clock_at_a_start(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-008, 009: NotBeforeItsTime, TtlBound, TraceBound (the rules before ADR 0091)."""
    setup = PurgeSetup(seed, faults=evolve(CALM, crashes=0.5), liars=0, wrong=0.8)
    assert play(setup).wrong > 3

    def believes(self: Node, key: bytes, value: bytes) -> None:
        """Goes on from the written reading, or from its device's clock where that is ahead."""
        self._now = max(self._now, int.from_bytes(value, "big"))

    monkeypatch.setattr(Node, "_restore_clock", believes)
    assert broken(setup) in {"NotBeforeItsTime", "ExpiredInTime", "TtlBound", "TraceBound"}


def test_a_neighbour_that_is_counted_once_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-129: NotBeforeItsTime, ExpiredIsFinal; a counterexample of this simulation, kept."""
    measure = NetworkClock.measure

    def counts_links(self: NetworkClock, link: int, peer: bytes, offset: int, round_trip: int) -> None:
        measure(self, link, peer[:24] + link.to_bytes(8, "big"), offset, round_trip)

    monkeypatch.setattr(NetworkClock, "measure", counts_links)
    assert broken(PurgeSetup(19)) in {"NotBeforeItsTime", "ExpiredIsFinal"}


def test_a_node_that_never_believes_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-008: KnowsTheTime; most clocks are right, and it goes on waiting."""

    def deaf(self: NetworkClock, link: int, peer: bytes, offset: int, round_trip: int) -> None:
        """Listens to nobody."""

    monkeypatch.setattr(NetworkClock, "measure", deaf)
    assert broken(PurgeSetup(1, faults=CALM, liars=0)) == "KnowsTheTime"


def test_what_is_held_longer_than_true_time_allows(day: Callable[[PurgeSetup, int], Purging]) -> None:
    """TOM-PURGE-034, 035: TtlBound and TraceBound are judged by true time, whatever a node's clock says."""
    purging = day(evolve(SETUP, faults=CALM, liars=0), 8)
    letters = purging.forgetting.letters.values()
    assert any(one.copies for one in letters)
    assert any(one.tombs for one in letters)
    for host in purging.world.hosts:
        purging.world.boot(host)
    keepers = {index for one in letters for index in one.copies}
    while not any(
        isinstance(node := purging.world.hosts[k].node, Whole) and node.purge_clock for k in keepers
    ):
        purging.world.run(purging.world.now + 1)
    purging.world.now += DAY
    found = set()
    for _ in range(200):
        try:
            purging.forgetting._in_time()
        except PromiseError as error:
            found.add(error.promise)
    assert found == {"TtlBound", "TraceBound"}


def test_receipts_that_are_kept_too_short_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-035: TombOutlivesCopies (twin short-retention)."""
    for module in (custody, receiving):
        monkeypatch.setattr(module, "retention_end", lambda created, ttl, eps: created + ttl - 60_000)
    assert broken(evolve(SETUP, faults=CALM, liars=0)) == "TombOutlivesCopies"


def test_a_sender_that_says_expired_too_early(
    day: Callable[[PurgeSetup, int], Purging], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOM-PURGE-004: ExpiredInTime, ExpiredIsFinal (twin verdict-early)."""
    purging = day(evolve(SETUP, faults=CALM, liars=0), 4)
    forgetting = purging.forgetting
    letter = next(one for one in forgetting.letters.values() if forgetting._live(one))
    sender = purging.world.hosts[letter.sender]
    with pytest.raises(PromiseError, match="ExpiredIsFinal"):
        forgetting.effect(sender, Progress(0, DeliveryState.EXPIRED, letter.message))
    monkeypatch.setattr(sending, "retention_end", lambda created, ttl, eps: created + ttl)
    assert broken(evolve(SETUP, faults=CALM, liars=0)) == "ExpiredInTime"


def test_stray_receipts_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-025: BoundedState (twin stray-receipts)."""
    receipt = Custody.receipt

    def keeps(self: Custody, step: Step, what: Receipt, data: bytes) -> Any:
        if not self.holds(what.message_id) and self.known_receipt(what.message_id) is None:
            self.bury(step, what, data, ())  # type: ignore[arg-type]
        return receipt(self, step, what, data)

    monkeypatch.setattr(Custody, "receipt", keeps)
    assert broken(evolve(SETUP, faults=CALM, liars=0)) == "BoundedState"


def test_custodians_that_only_say_that_they_keep(
    day: Callable[[PurgeSetup, int], Purging], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOM-PURGE-014: NoOrphan, when the sender is lost (twin copies-in-ram)."""
    take = Custody.take

    def pretends(self: Custody, step: Step, message: bytes, *rest: Any) -> None:
        take(self, step, message, *rest)
        copy = self._copies.get(message)
        if copy is not None:
            self._remove(step, copy, "pretended")

    setup = evolve(SETUP, faults=CALM, liars=0)
    honest = day(setup, 4)
    kept = next(one for one in honest.forgetting.letters.values() if one.keepers >= 2 and not one.signed)
    honest._leave(honest.world.hosts[kept.sender])
    monkeypatch.setattr(Custody, "take", pretends)
    pretending = day(setup, 4)
    promised = next(
        one for one in pretending.forgetting.letters.values() if one.keepers >= 2 and not one.signed
    )
    with pytest.raises(PromiseError, match="NoOrphan"):
        pretending._leave(pretending.world.hosts[promised.sender])


def test_holders_that_never_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-021: DeliveredInTime; whoever was away comes back, and gets nothing."""
    hand_over, attempt = Custody._hand_over, Sending.attempt

    def to_others(self: Custody, step: Step, copy: Any, peer: bytes, link: int) -> None:
        if peer != copy.header.recipient:
            hand_over(self, step, copy, peer, link)

    def nowhere(self: Sending, step: Step, pending: Any, ways: list[tuple[bytes, int]]) -> bool:
        return attempt(self, step, pending, [])

    monkeypatch.setattr(Custody, "_hand_over", to_others)
    monkeypatch.setattr(Sending, "attempt", nowhere)
    assert broken(evolve(SETUP, seed=1, faults=CALM, liars=0)) == "DeliveredInTime"


def test_a_node_that_keeps_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-042: TraceBound, by a search of the whole store."""
    take = Custody.take

    def notes(self: Custody, step: Step, message: bytes, *rest: Any) -> None:
        take(self, step, message, *rest)
        step.put(Table.CLOCK, b"log", message)

    monkeypatch.setattr(Custody, "take", notes)
    monkeypatch.setattr(Node, "_restore_clock", lambda self, key, value: None)
    assert broken(evolve(SETUP, faults=CALM, liars=0)) == "TraceBound"


def test_a_custodian_that_forgets_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-014, 024: DiskFirst; what it says that it keeps is not on its disk."""
    monkeypatch.setattr(Custody, "_store_copy", lambda self, step, copy: None)
    assert broken(evolve(SETUP, faults=CALM, liars=0)) == "DiskFirst"


def test_a_day_that_is_not_over(day: Callable[[PurgeSetup, int], Purging]) -> None:
    """TOM-PURGE-038: EventuallyErased looks at every honest node."""
    with pytest.raises(PromiseError, match="EventuallyErased"):
        day(evolve(SETUP, faults=CALM, liars=0), 5)._check_end()


def test_a_final_state_that_is_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-005: SaidOnce; the first counterexample of this simulation, kept."""
    monkeypatch.setattr(Sending, "say_again", lambda self: sorted(self._verdicts.items()))
    go_on = Node._go_on

    def say_more(self: Node, step: Step, early: EarlyInputs) -> None:
        go_on(self, step, early)
        self._say_again(step)

    monkeypatch.setattr(Node, "_go_on", say_more)
    assert broken(PurgeSetup(1, faults=CALM)) == "SaidOnce"


def test_a_store_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-042: StoreFlat; and what is left of a message is named."""
    run_slot = Home.run_slot

    def writes(self: Home, step: Step) -> None:
        run_slot(self, step)
        step.put(Table.INVITATION, step.now.to_bytes(16, "big"), bytes(8))

    with monkeypatch.context() as patch:
        patch.setattr(Home, "run_slot", writes)
        with pytest.raises(PromiseError, match=r"StoreFlat: node \d keeps"):
            idle(1, 8, nodes=3)
    network = Idle(1)
    network.world.hosts[2].store.apply([Persist((Change(Table.VERDICT, bytes(8), b"\x04"),))], 0)
    with pytest.raises(PromiseError, match=r"StoreFlat: node 2 still keeps verdict"):
        network._check_day(SETTLED + 1, [(0, 0, 0, 0)] * (SETTLED + 1))


# --- the commands -----------------------------------------------------------------------------------------


def test_a_day_from_the_command_line() -> None:
    """For people, and for programs."""
    done = tom_here("sim", "purge", "--seed", "8", "--nodes", "4")
    assert done.returncode == 0, done.stderr
    assert b"all held" in done.stdout
    assert b"tom sim purge --seed 8 --nodes 4" in done.stdout
    done = tom_here(
        "sim", "purge", "--seed", "8", "--nodes", "4", "--liars", "1", "--liar-kind", "hoarder", "--json"
    )
    said = json.loads(done.stdout)
    assert said["command"] == "tom sim purge --seed 8 --nodes 4 --liars 1 --liar-kind 'hoarder'"
    assert said["broken"] == ""


def test_many_days_from_the_command_line(tmp_path: Path) -> None:
    """A row for each seed."""
    out = tmp_path / "days.csv"
    done = tom_here("sim", "purge", "--seeds", "8-10", "--nodes", "3", "--workers", "2", "--out", out)
    assert done.returncode == 0, done.stderr
    assert b"2 of 2 days kept every promise" in done.stdout
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["8", "9"]
    assert all(int(row["forgotten"]) > 0 for row in rows)


def test_a_broken_day_is_a_row_and_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its story, and the command that repeats it."""
    monkeypatch.setattr(Custody, "forget", lambda self, step, message: None)
    row = run_one(PurgeSetup(3))
    assert row.broken in {"OwnClockBound", "TraceBound"}
    assert "tom sim purge --seed 3 --nodes 6" in row.story
    for arguments in ((), ("--json",), ("--seeds", "3-4", "--workers", "1")):
        done = tom_here("sim", "purge", "--seed", "3", *arguments)
        assert done.returncode == 1
        assert row.broken.encode() in done.stdout
    for arguments in ((), ("--json",)):
        done = tom_here("sim", "idle", "--days", "5", "--seed", "3", *arguments)
        assert done.returncode == 1
        assert b"tom sim idle --seed 3 --days 5 --nodes 4" in done.stdout.replace(b"\n", b" ")


def test_an_idle_network_from_the_command_line() -> None:
    """The bytes of each node, day by day."""
    done = tom_here("sim", "idle", "--days", "5", "--nodes", "2")
    assert done.returncode == 0, done.stderr
    assert b"no store grew" in done.stdout
    done = tom_here("sim", "idle", "--days", "5", "--nodes", "2", "--json")
    assert len(json.loads(done.stdout)["days"]) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("purge", "--nodes", "2"),
        ("purge", "--liars", "5"),
        ("purge", "--liar-kind", "saint"),
        ("purge", "--workers", "0"),
        ("purge", "--seeds", "7"),
        ("purge", "--out", "rows.csv"),
        ("idle", "--days", "3"),
        ("idle", "--nodes", "99"),
    ],
)
def test_options_that_can_not_be(arguments: tuple[str, ...]) -> None:
    """Wrong usage, said in a line."""
    done = tom_here("sim", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(b"tom: ")
