"""The driver's contract: written, then carried out in order; many steps a commit; none after a failure."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tom_ref.constants import PREKEY_INTERVAL
from tom_ref.crypto import Secret32
from tom_ref.drivers import runner as runner_module
from tom_ref.drivers.errors import NodeStoppedError, StoreError
from tom_ref.drivers.runner import GROUP_BYTES, Runner
from tom_ref.drivers.store import MemoryStore
from tom_ref.drivers.system import DeterministicEntropy
from tom_ref.effects import (
    CloseLink,
    Deliver,
    Dial,
    Held,
    Invited,
    Persist,
    Progress,
    Report,
    SendFrame,
    Table,
)
from tom_ref.errors import Reason
from tom_ref.frames import Address, Transport
from tom_ref.identity import Identity
from tom_ref.inputs import (
    AddPeer,
    ClockSet,
    CommandError,
    FrameReceived,
    Input,
    LinkUp,
    SendMessage,
    Start,
    Wake,
)
from tom_ref.node import Node, subnet_id

SUBNET = subnet_id("test")
BEGIN = 1_800_000_000_000


class TrioClock:
    """The run's (mock) clock in ms, and what somebody set it forward by."""

    def __init__(self) -> None:
        self.begin = trio.current_time()
        self.set_forward = 0
        self.told = 0

    def now(self) -> int:
        return BEGIN + int((trio.current_time() - self.begin) * 1000) + self.set_forward

    def take_step(self) -> int:
        by, self.told = self.told, 0
        return by


class Recorder(MemoryStore):
    """A store, an application and (by :class:`Wire`) a link that write down in which order they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: StoreError | None = None
        self.frames: list[bytes] = []
        self.inside = 0

    # the store
    def apply(self, persists: Iterable[Persist], now: int) -> None:
        assert now >= BEGIN
        self.inside += 1
        assert self.inside == 1, "two commits at once"
        assert self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        persists = list(persists)
        self.log.append(f"commit {len(persists)}")
        super().apply(persists, now)
        self.inside -= 1

    def checkpoint(self) -> None:
        self.log.append("checkpoint")

    # the application
    def delivered(self, what: Deliver) -> None:
        self.log.append("delivered")

    def progressed(self, what: Progress) -> None:
        self.log.append(f"{what.handle} {what.state.name}")
        if what.state.name == "PENDING":
            assert what.handle.to_bytes(8, "big") in {k for t, k, _ in self.load() if t is Table.PENDING}

    def reported(self, what: Report) -> None:
        self.log.append(what.event.value)

    def drained(self) -> None:
        self.log.append("drained")

    def invited(self, what: Invited) -> None:
        self.log.append(f"invited to term {what.invitation.term}")

    def held(self, what: Held) -> None:
        self.log.append(f"held: {what.holding.name.lower()}")

    def dial(self, what: Dial) -> None:
        self.log.append("dial")

    @property
    def link(self) -> Wire:
        return Wire(self)


class Wire:
    def __init__(self, record: Recorder) -> None:
        self.record = record

    def send(self, frame: bytes) -> None:
        self.record.log.append("frame")
        self.record.frames.append(frame)

    def close(self, reason: str) -> None:
        self.record.log.append(f"close {reason}")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit takes no time: a virtual clock doesn't wait for threads."""

    async def run_sync(function: Callable[..., object], *arguments: object) -> object:
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


def make(seed: int, store: MemoryStore) -> Node:
    identity = Identity.from_secret(Secret32(bytes([seed]) * 32))
    entropy = DeterministicEntropy(bytes([seed]) * 32)
    return Node(identity, subnet=SUBNET, entropy=entropy, now=BEGIN, records=store.load())


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Runner, Recorder, TrioClock]]:
    record = Recorder()
    clock = TrioClock()
    runner = Runner(make(1, record), record, clock, record, dial=record.dial)
    async with trio.open_nursery() as nursery:
        await nursery.start(runner.run)
        await runner.carried_out()
        record.log.clear()
        yield runner, record, clock
        nursery.cancel_scope.cancel()


def peer() -> Node:
    node = make(2, MemoryStore())
    node.step(Start(), BEGIN)
    return node


def message(runner: Runner, recipient: bytes, content: bytes = b"x") -> SendMessage:
    return SendMessage(runner.node.next_handle, recipient, content, 60_000)


async def test_nothing_is_carried_out_before_it_is_written() -> None:
    async with running() as (runner, record, _):
        other = peer()
        link = runner.attach(record.link)
        runner.feed(LinkUp(link, other.descriptor, initiated=True))
        await runner.carried_out()
        record.log.clear()
        record.gate.clear()
        runner.feed(message(runner, other.node_id))
        with trio.move_on_after(0.1) as waiting:
            await runner.carried_out()
        assert waiting.cancelled_caught
        assert record.log == []
        assert record.load() == [r for r in record.load() if r[0] is not Table.PENDING]
        record.gate.set()
        await runner.carried_out()
        assert record.log == ["commit 1", "0 PENDING", "encrypted", "frame", "handed_over", "0 SENT"]


async def test_steps_that_come_while_the_disk_is_busy_share_the_next_commit_and_keep_their_order() -> None:
    async with running() as (runner, record, _):
        other = peer()
        runner.feed(LinkUp(runner.attach(record.link), other.descriptor, initiated=True))
        await runner.carried_out()
        record.log.clear()
        record.gate.clear()
        runner.feed(message(runner, other.node_id))
        await trio.testing.wait_all_tasks_blocked(0.05)
        for _ in range(20):
            runner.feed(message(runner, other.node_id))
        record.gate.set()
        await runner.carried_out()
        assert [line for line in record.log if line.startswith("commit")] == ["commit 1", "commit 20"]
        sent = [line for line in record.log if line.endswith("SENT")]
        assert sent == [f"{handle} SENT" for handle in range(21)]


async def test_sources_wait_while_a_full_group_waits_for_the_disk() -> None:
    async with running() as (runner, record, _):
        other = peer()
        runner.feed(LinkUp(runner.attach(record.link), other.descriptor, initiated=True))
        await runner.carried_out()
        record.gate.clear()
        fed = 0

        async def source() -> None:
            nonlocal fed
            for _ in range(40):
                await runner.room()
                runner.feed(message(runner, other.node_id, bytes(100_000)))
                fed += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(source)
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert fed < 40
            assert fed * 100_000 <= 2 * GROUP_BYTES + 200_000
            record.gate.set()
        await runner.carried_out()
        assert len(record.frames) == 40


async def test_a_failed_commit_stops_the_node_and_everybody_learns_it() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(NodeStoppedError, match="disk on fire"), flatten_subgroups=True):
        async with running() as (runner, record, _):
            other = peer()
            runner.feed(LinkUp(runner.attach(record.link), other.descriptor, initiated=True))
            await runner.carried_out()
            record.log.clear()
            record.failure = StoreError("disk on fire")
            runner.feed(message(runner, other.node_id))
            with trio.CancelScope(shield=True), pytest.raises(NodeStoppedError, match="disk on fire"):
                await runner.carried_out()
            assert record.log == [], "nothing that depends on the commit happens"
            assert runner.stopped
            with pytest.raises(NodeStoppedError) as refused:
                runner.feed(Wake())
            assert refused.value.__cause__ is record.failure
            with trio.CancelScope(shield=True):
                await runner.room()
                with pytest.raises(NodeStoppedError):
                    await runner.carried_out()


async def test_a_refused_command_changes_nothing_and_the_node_goes_on() -> None:
    async with running() as (runner, record, _):
        with pytest.raises(CommandError) as refused:
            runner.feed(message(runner, runner.node.node_id))
        assert refused.value.reason is Reason.BAD_VALUE
        await runner.carried_out()
        assert record.log == []
        runner.feed(message(runner, peer().node_id))
        await runner.carried_out()
        assert record.log == ["commit 1", "0 PENDING"]


async def test_effects_for_links_that_are_gone_are_dropped() -> None:
    async with running() as (runner, record, _):
        other = peer()
        link = runner.attach(record.link)
        runner.feed(LinkUp(link, other.descriptor, initiated=True))
        await runner.carried_out()
        record.log.clear()
        runner.detach(link)
        runner.feed(message(runner, other.node_id))
        runner.feed(FrameReceived(link, b"\xff not a frame"))
        await runner.carried_out()
        assert "frame" not in record.log
        assert not any(line.startswith("close") for line in record.log)


async def test_dial_and_close_are_carried_out() -> None:
    async with running() as (runner, record, _):
        other = peer()
        runner.feed(AddPeer(other.node_id, (Address(Transport.MEMORY, "x"),), relay=True))
        await runner.carried_out()
        assert record.log == ["dial"]
        link = runner.attach(record.link)
        runner.feed(LinkUp(link, other.descriptor, initiated=True))
        runner.feed(FrameReceived(link, b"\x7f not a frame"))
        await runner.carried_out()
        assert record.log[-1] == "close unknown_frame"


# --- time -------------------------------------------------------------------------------------------------


async def test_the_node_is_woken_at_its_deadlines(
    inline: None, autojump_clock: trio.testing.MockClock
) -> None:
    async with running() as (runner, record, _):
        runner.feed(SendMessage(0, peer().node_id, b"x", 60_000))
        await runner.carried_out()
        await trio.sleep(69.9)
        assert "0 EXPIRED" not in record.log
        await trio.sleep(0.2)
        assert "0 EXPIRED" in record.log
        held = {key for table, key, _ in record.load() if table is Table.PREKEY}
        await trio.sleep(PREKEY_INTERVAL / 1000)
        assert len({key for table, key, _ in record.load() if table is Table.PREKEY}) > len(held)


async def test_a_clock_that_is_set_forward_is_noticed_soon(
    inline: None, autojump_clock: trio.testing.MockClock
) -> None:
    """A laptop that wakes up: the monotonic clock stood still, so the sleep goes on, but not for long."""
    async with running() as (runner, record, clock):
        runner.feed(SendMessage(0, peer().node_id, b"x", 3_600_000))
        await runner.carried_out()
        clock.set_forward = 4_000_000
        await trio.sleep(runner_module.LONGEST_SLEEP + 0.1)
        await runner.carried_out()
        assert "0 EXPIRED" in record.log


async def test_a_node_is_told_first_that_its_clock_was_set(
    inline: None, autojump_clock: trio.testing.MockClock
) -> None:
    """TOM-ROLES-137: before whatever comes next, and once."""
    async with running() as (runner, _, clock):
        seen: list[Input] = []
        runner._trace = lambda _now, what, _effects: seen.append(what)
        clock.told = clock.set_forward = 4_000_000
        runner.feed(Wake())
        runner.feed(Wake())
        assert seen == [ClockSet(4_000_000), Wake(), Wake()]


async def test_traces_leave_the_disk_within_a_second_of_any_commit(
    inline: None, autojump_clock: trio.testing.MockClock
) -> None:
    async with running() as (runner, record, _):
        await trio.sleep(2)
        record.log.clear()
        for _ in range(10):
            runner.feed(message(runner, peer().node_id))
            await runner.carried_out()
            await trio.sleep(0.3)
        assert record.log.count("checkpoint") in {2, 3}, "not at every commit either"
        await trio.sleep(1)
        record.log.clear()
        await trio.sleep(10)
        assert "checkpoint" not in record.log, "an idle node leaves its disk alone"


def test_only_frames_count_as_bytes() -> None:
    """The bound is on what goes out; what only goes to the application is bounded by the node."""
    group = runner_module._Group()
    group.add((SendFrame(1, bytes(100)), CloseLink(1, "bye"), Persist(())), BEGIN)
    assert (group.bytes, len(group.effects), len(group.persists), group.latest) == (100, 2, 1, BEGIN)
