"""Nodes that form a subnet of their own: real nodes, wires that can be cut, clocks that can be wrong.

What :class:`~tests.network.Network` does, and besides: a node that dials is linked, as long as both live and
no partition is between them; each clock has an offset; a node can be stopped and started from its disk.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.network import Network, Peer
from tom_ref import codec
from tom_ref.effects import Dial, Effect, Event, Invited, Report, SendFrame
from tom_ref.frames import Address, Transport
from tom_ref.identity import Identity
from tom_ref.inputs import (
    ClockMeasured,
    DialFailed,
    Found,
    FrameReceived,
    Input,
    JoinSubnet,
    MakeInvitation,
    SetAddresses,
    Start,
    Wake,
)
from tom_ref.node import Node
from tom_ref.records import record_hash
from tom_ref.states import Standing
from tom_ref.term_frames import Invitation, TermRecord
from tom_ref.timing import Timing

FAST = Timing.fast(300)
SLOT = FAST.slot_ms
TERM = FAST.term_ms
HOUR = 3_600_000


class Resident(Peer):
    """A node whose network has fast terms."""

    copied = False
    """Whether its next start is from a disk that may not be the latest."""

    def set_clock(self, now: int) -> None:
        """Begin anew, without a past, at this time."""
        self.node = self._make(now)

    def _make(self, now: int) -> Node:
        records = [(table, key, value) for (table, key), value in self.disk.items()]
        return Node(
            self.identity,
            entropy=self.entropy,
            now=now,
            records=records,
            timing=FAST,
            restored_copy=self.copied,
        )


class Homes(Network):
    """Residents that reach each other at addresses that are their names."""

    def __init__(self, *names: str) -> None:
        self.skew: dict[str, int] = {}
        self.dead: set[str] = set()
        self.sides: list[set[str]] = []
        self.dialled: list[tuple[str, Dial]] = []
        super().__init__()
        for name in names:
            self.add(name)

    def add(
        self, name: str, *, skew: int = 0, secret_of: str | None = None, identity: Identity | None = None
    ) -> None:
        """Another node, without a home; ``secret_of`` gives it somebody else's secret."""
        self.skew[name] = skew
        peer = Resident(secret_of or name)
        peer.name = name
        peer.identity = identity or peer.identity
        peer.set_clock(self.now + skew)
        self.peers[name] = peer
        self.start(name)

    def start(self, name: str) -> None:
        """Start a node from its disk."""
        self.dead.discard(name)
        self.do(name, Start())
        self.do(name, SetAddresses((Address(Transport.MEMORY, name),)))

    def stop(self, name: str) -> None:
        """A node vanishes."""
        self.kill(name)
        self.dead.add(name)

    def restart(self, name: str, *, copied: bool = False) -> None:
        """A node comes back with its disk."""
        self.kill(name)
        peer = self.peers[name]
        assert isinstance(peer, Resident)
        peer.copied = copied
        peer.restart(self.now + self.skew[name])
        peer.copied = False
        self.start(name)
        self.run()

    def do(self, name: str, what: Input) -> tuple[Effect, ...]:
        """One step by the node's own clock."""
        true = self.now
        self.now += self.skew.get(name, 0)
        try:
            effects = super().do(name, what)
        finally:
            self.now = true
        self.dialled += [(name, effect) for effect in effects if isinstance(effect, Dial)]
        return effects

    def apart(self, one: str, other: str) -> bool:
        """Whether a partition is between two nodes."""
        return any((one in side) != (other in side) for side in self.sides)

    def split(self, *side: str) -> None:
        """Cut all wires between these nodes and the rest."""
        self.sides.append(set(side))
        for name in side:
            for other in list(self.peers[name].links):
                if self.apart(name, other):
                    self.cut(name, other)

    def run(self, limit: int = 200_000) -> None:
        """Carry frames and make links until nothing is left to do."""
        while True:
            super().run(limit)
            if not self.dialled:
                return
            name, dial = self.dialled.pop(0)
            target = dial.addresses[0].text
            peer = self.peers.get(target)
            if name in self.dead:
                continue
            if peer is None or target in self.dead or self.apart(name, target) or peer.id != dial.node_id:
                self.do(name, DialFailed(dial.node_id))
            elif target not in self.peers[name].links:
                self.connect(name, target)

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass; each living node wakes at its deadlines."""
        self.run()
        end = self.now + milliseconds
        while True:
            due = [
                (deadline - self.skew[name], name)
                for name, peer in self.peers.items()
                if name not in self.dead and (deadline := peer.node.next_deadline()) is not None
            ]
            when, name = min(due, default=(end + 1, ""))
            if when > end:
                break
            self.now = max(self.now, when)
            self.do(name, Wake())
            self.run()
        self.now = end

    def clock(self, name: str) -> int:
        """What a node's own clock reads."""
        return self.now + self.skew[name]

    def set_clock(self, name: str, skew: int) -> None:
        """Somebody sets a node's clock; its links notice when they ping next."""
        self.skew[name] = skew
        for other, link in list(self.peers[name].links.items()):
            apart = self.skew[other] - skew
            self.do(name, ClockMeasured(link, apart, 4))
            self.do(other, ClockMeasured(link, -apart, 4))

    # --- subnets --------------------------------------------------------------------------------------

    def invite(self, host: str, *, validity: int = HOUR) -> Invitation:
        """An invitation of a member."""
        expires_at = self.now + self.skew[host] + validity
        [invited] = [e for e in self.do(host, MakeInvitation(expires_at)) if isinstance(e, Invited)]
        return invited.invitation

    def join(self, name: str, host: str) -> None:
        """Let a node join by invitation; it is a guest at least when this returns."""
        self.do(name, JoinSubnet(self.invite(host)))
        self.pass_time(3_000)

    def form(self, founder: str, *others: str) -> None:
        """Found a subnet and let others join it until all are members."""
        self.do(founder, Found())
        for name in others:
            self.do(name, JoinSubnet(self.invite(founder)))
        for _ in range(40):
            self.pass_time(TERM)
            if all(self.standing(name) is Standing.MEMBER for name in others):
                return
        raise AssertionError(f"not all joined: {[self.standing(name) for name in others]}")

    def settle(self, terms: int = 3) -> None:
        """Let some terms pass, so that members of today are eligible."""
        self.pass_time(terms * (TERM + 6 * SLOT))

    def next_record(self, *names: str) -> None:
        """Let time pass until these nodes have just got a new record."""
        terms = [self.term(name) for name in names]
        for _ in range(100):
            self.pass_time(SLOT // 4)
            if all(self.term(name) > term for name, term in zip(names, terms, strict=True)):
                return
        raise AssertionError(f"no new record: {terms}")

    def standing(self, name: str) -> Standing:
        """What a node is in its home."""
        return self.peers[name].node.home.standing

    def record(self, name: str) -> TermRecord:
        """A node's present record."""
        record = self.peers[name].node.home.record
        assert record is not None, f"{name} has no record"
        return record

    def term(self, name: str) -> int:
        """The number of a node's present term."""
        return self.record(name).term

    def roster(self, name: str) -> set[str]:
        """The names of a node's fellow members."""
        names = {peer.id: known for known, peer in self.peers.items()}
        return {names[member.node] for member in self.record(name).roster}

    def agree(self, names: Iterable[str]) -> bool:
        """Whether these nodes hold one record."""
        return len({record_hash(self.record(name)) for name in names}) == 1

    def refusals(self, name: str) -> list[str]:
        """The codes that a node reported for what it refused."""
        return [report.detail.partition(":")[0] for report in self.events(name, Event.REFUSED)]

    def last(self, name: str, event: Event) -> Report:
        """The last report of a kind."""
        return self.events(name, event)[-1]


def hand(net: Homes, name: str, peer: str, frame: codec.AnyFrame | bytes) -> tuple[Effect, ...]:
    """Hand a frame to a node as if a linked peer sent it; nothing is carried on."""
    data = frame if isinstance(frame, bytes) else codec.encode_frame(frame)
    effects = net.do(name, FrameReceived(net[name].links[peer], data))
    net.queue.clear()
    return effects


def give(net: Homes, name: str, peer: str, frame: codec.AnyFrame) -> tuple[Effect, ...]:
    """Hand a frame to a node as if a linked peer sent it, and carry what comes of it."""
    effects = net.do(name, FrameReceived(net[name].links[peer], codec.encode_frame(frame)))
    net.run()
    return effects


def answers(effects: tuple[Effect, ...]) -> list[codec.AnyFrame]:
    """The frames that a step sent."""
    return [codec.decode_frame(effect.data) for effect in effects if isinstance(effect, SendFrame)]


def refused(effects: tuple[Effect, ...]) -> list[str]:
    """The codes with which a step refused something."""
    return [
        effect.detail.partition(":")[0]
        for effect in effects
        if isinstance(effect, Report) and effect.event is Event.REFUSED
    ]


def alone(name: str = "A") -> Homes:
    """A subnet of one."""
    net = Homes(name)
    net.do(name, Found())
    return net
