"""A message for an absent recipient, and a crash at each instant of its way: nothing lost, nothing twice.

The nodes are real, the wires and the disks are not: an instant is one step of one node, before its changes
are written, or between that and everything that follows from them.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.homes import FAST, Homes
from tests.test_spec_purge import NAMES, signed_genesis
from tom_ref.effects import Deliver, DeliveryState, Effect, Persist, Progress, Table
from tom_ref.inputs import Acknowledge, Begin, Input, LinkDown, SendMessage

TTL = 24_000
INSTANTS = 100
"""Steps at which a node crashes, each in both ways: 200 crashes."""


class Crashing(Homes):
    """Nodes of which one crashes at one step."""

    left: int | None = None
    written = False
    crashed = ""
    needed = 0
    """Steps until the recipient had been back for a while."""

    def do(self, name: str, what: Input) -> tuple[Effect, ...]:
        """One step; the one that was armed is the last thing that its node does."""
        if self.left is None or name in self.dead:
            return super().do(name, what)
        self.left -= 1
        if self.left >= 0:
            return super().do(name, what)
        self.left, self.crashed = None, f"{name} at {type(what).__name__}"
        peer = self.peers[name]
        effects = peer.node.step(what, self.now)
        if self.written:
            for effect in effects:
                if isinstance(effect, Persist):
                    self._write(name, effect)
        self._vanish(name)
        return ()

    def _write(self, name: str, persist: Persist) -> None:
        for change in persist.changes:
            if change.value is None:
                self.peers[name].disk.pop((change.table, change.key), None)
            else:
                self.peers[name].disk[change.table, change.key] = change.value

    def _vanish(self, name: str) -> None:
        """Nothing is left of the node but its disk; its neighbours notice, and it starts again."""
        links = dict(self.peers[name].links)
        self.peers[name].restart(self.now)
        for other, link in links.items():
            if self.ends.pop(link, None) is not None:
                self.peers[other].links.pop(name, None)
                self.do(other, LinkDown(link, "crash"))
        self.queue = type(self.queue)(item for item in self.queue if item[1] in self.ends)
        self.start(name)


def survive(instant: int, *, written: bool) -> Crashing:
    """The whole way of one message, with a crash at one instant of it; ``left`` is what was not needed."""
    net = Crashing(*NAMES)
    genesis = signed_genesis(net, NAMES)
    for name in NAMES:
        net.do(name, Begin(genesis))
    for one in NAMES:
        for other in NAMES:
            if one < other and other not in net[one].links:
                net.connect(one, other)
    net.run()
    net.send("A", "B", b"meet first", ttl=TTL)
    net.stop("B")
    handle = net["A"].node.next_handle
    net.left, net.written = instant, written
    net.do("A", SendMessage(handle, net["B"].id, b"while away", TTL))
    net.pass_time(2_000)
    net.start("B")
    taken = (Table.PENDING, handle.to_bytes(8, "big")) in net["A"].disk
    net.pass_time(1_500)
    net.needed = instant - (net.left or 0)
    net.pass_time(15_500)
    where = f"instant {instant}, written {written}: {net.crashed}"
    shown = [what for what in net["B"].of(Deliver) if what.content == b"while away"]
    told = [what.state for what in net["A"].of(Progress) if what.handle == handle]
    if not taken and not told:
        assert not shown, where
        return net
    assert shown, f"lost: {where}"
    assert sum(not what.again for what in shown) <= 1, f"new twice: {where}"
    assert len({what.message_id for what in shown}) == 1, where
    assert told[-1] is DeliveryState.DELIVERED, f"no receipt: {where}"
    for what in shown[:1]:
        if (Table.INBOX, what.message_id) in net["B"].disk:
            net.do("B", Acknowledge(what.message_id))
    net.pass_time(6_000 + 2 * FAST.eps)
    message = shown[0].message_id
    left = [(name, table) for name in NAMES for table, key in net[name].disk if key == message]
    assert left == [], where
    return net


@cache
def steps() -> int:
    """How many steps the message's way takes, until its sender has the receipt."""
    net = survive(10**9, written=False)
    assert not net.crashed
    return net.needed


def instants(first: int) -> list[int]:
    """A tenth of the instants, spread over the whole way."""
    return [number * steps() // INSTANTS for number in range(first, INSTANTS, 10)]


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("number", [0, 3, 6, 9])
def test_a_crash_at_some_instants_loses_and_doubles_nothing(number: int, *, written: bool) -> None:
    """TOM-PURGE-001, 014, 024, 028: of the sender, a custodian or the recipient."""
    assert survive(instants(0)[number], written=written).crashed


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10))
def test_a_crash_at_any_instant_loses_and_doubles_nothing(first: int) -> None:
    """TOM-PURGE-001, 014, 024, 028: 200 crashes in all, of several nodes in every batch."""
    crashes = {
        survive(at, written=written).crashed[:1] for at in instants(first) for written in (False, True)
    }
    assert "" not in crashes
    assert len(crashes) > 2
