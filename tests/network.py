"""A handful of real nodes joined by perfect wires: for tests of the node's rules, one step at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from tom_ref import codec
from tom_ref.crypto import Secret32, sha256
from tom_ref.effects import (
    CloseLink,
    Deliver,
    DeliveryState,
    Dial,
    Drained,
    Effect,
    Event,
    Persist,
    Progress,
    Report,
    SendFrame,
    Table,
)
from tom_ref.identity import Identity
from tom_ref.inputs import (
    ClockMeasured,
    FrameReceived,
    Input,
    LinkDown,
    LinkUp,
    Route,
    SendMessage,
    Start,
    Wake,
)
from tom_ref.node import Node, subnet_id
from tom_ref.states import HOME, Standing

START = 1_800_000_000_000
SUBNET = subnet_id("test")

T = TypeVar("T")


class Draws:
    """Deterministic named entropy for one node."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, purpose: str, size: int) -> bytes:
        """Draw ``size`` bytes."""
        self._count += 1
        block = sha256(f"{self._seed}/{purpose}/{self._count}".encode())
        return (block * (size // 32 + 1))[:size]


def declared_change(was: Standing, now_is: Standing) -> None:
    """A node's standing changed as ``tom_ref.states.HOME`` declares, or not at all."""
    assert was is now_is or now_is in HOME[was], f"{was} became {now_is}"


class Peer:
    """One node with its disk and everything it asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity = Identity.from_secret(Secret32(sha256(name.encode())))
        self.disk: dict[tuple[Table, bytes], bytes] = {}
        self.entropy = Draws(name)
        self.links: dict[str, int] = {}
        self.effects: list[Effect] = []
        self.starts = 0
        self.node = self._make(START)

    def _make(self, now: int) -> Node:
        records = [(table, key, value) for (table, key), value in self.disk.items()]
        return Node(self.identity, subnet=SUBNET, entropy=self.entropy, now=now, records=records)

    def restart(self, now: int) -> None:
        """Forget everything but the disk."""
        self.links.clear()
        self.node = self._make(now)

    @property
    def id(self) -> bytes:
        """The NodeId."""
        return self.identity.node_id

    def of(self, kind: type[T]) -> list[T]:
        """All effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]


class Network:
    """Peers by name, wires between them, and one clock."""

    def __init__(self, *names: str) -> None:
        self.now = START
        self.peers = {name: Peer(name) for name in names}
        self.queue: deque[tuple[str, int, bytes]] = deque()
        self.ends: dict[int, tuple[str, str]] = {}
        self._next_link = 1
        self.tamper: Callable[[str, str, codec.AnyFrame], bytes | None] | None = None
        for name in names:
            self.do(name, Start())

    def __getitem__(self, name: str) -> Peer:
        """The peer of that name."""
        return self.peers[name]

    def do(self, name: str, what: Input) -> tuple[Effect, ...]:
        """One step of one node; its frames are queued, its changes written."""
        peer = self.peers[name]
        was = peer.node.home.standing
        effects = peer.node.step(what, self.now)
        declared_change(was, peer.node.home.standing)
        for position, effect in enumerate(effects):
            if isinstance(effect, Persist):
                assert position == 0, "Persist comes first"
                for change in effect.changes:
                    if change.value is None:
                        peer.disk.pop((change.table, change.key), None)
                    else:
                        peer.disk[change.table, change.key] = change.value
            elif isinstance(effect, SendFrame):
                self.queue.append((name, effect.link, effect.data))
            elif isinstance(effect, CloseLink) and effect.link in self.ends:
                self.cut_link(effect.link, effect.reason)
        peer.effects.extend(effects)
        return effects

    def connect(self, initiator: str, responder: str) -> int:
        """Join two nodes; each reads the other's clock, as every link does right after it opened."""
        link = self.opened(initiator, responder)
        for name, other in ((initiator, responder), (responder, initiator)):
            if link in self.ends:
                self.do(name, ClockMeasured(link, self.clock(other) - self.clock(name), 4))
        return link

    def opened(self, initiator: str, responder: str) -> int:
        """Join two nodes, before any clock is read."""
        link = self._next_link
        self._next_link += 1
        self.ends[link] = (initiator, responder)
        first, second = self.peers[initiator], self.peers[responder]
        first.links[responder] = second.links[initiator] = link
        self.do(initiator, LinkUp(link, second.node.descriptor, initiated=True))
        if link in self.ends:
            self.do(responder, LinkUp(link, first.node.descriptor, initiated=False))
        return link

    def clock(self, name: str) -> int:
        """What a node's own clock reads."""
        del name
        return self.now

    def cut(self, one: str, other: str) -> None:
        """Cut the wire between two nodes; frames on it are lost."""
        self.cut_link(self.peers[one].links[other], "cut")

    def cut_link(self, link: int, reason: str) -> None:
        """Cut one wire."""
        ends = self.ends.pop(link)
        self.queue = deque(item for item in self.queue if item[1] != link)
        for name, other in (ends, ends[::-1]):
            if self.peers[name].links.get(other) == link:
                del self.peers[name].links[other]
            self.do(name, LinkDown(link, reason))

    def kill(self, name: str) -> None:
        """A node vanishes; its neighbours notice."""
        for other in list(self.peers[name].links):
            self.cut(name, other)

    def run(self, limit: int = 10_000) -> None:
        """Carry frames until none is left."""
        while self.queue:
            limit -= 1
            assert limit, "frames without end"
            name, link, data = self.queue.popleft()
            if link not in self.ends:
                continue
            one, other = self.ends[link]
            target = other if name == one else one
            carried: bytes | None = data
            if self.tamper is not None:
                carried = self.tamper(name, target, codec.decode_frame(data))
            if carried is not None:
                self.do(target, FrameReceived(link, carried))

    def send(
        self,
        sender: str,
        recipient: str,
        content: bytes = b"hello",
        *,
        ttl: int = 60_000,
        route: Route = Route.RELAY_FIRST,
    ) -> int:
        """Send a message and carry it as far as it goes; returns its handle."""
        handle = self.peers[sender].node.next_handle
        self.do(sender, SendMessage(handle, self.peers[recipient].id, content, ttl, route))
        self.run()
        return handle

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass, waking every node at each of its deadlines."""
        end = self.now + milliseconds
        while True:
            due = [d for peer in self.peers.values() if (d := peer.node.next_deadline()) is not None]
            self.now = max(self.now, min([*due, end]))
            if self.now >= end and not any(d <= end for d in due):
                break
            for name in self.peers:
                self.do(name, Wake())
            self.run()

    # --- what happened --------------------------------------------------------------------------------

    def states(self, name: str, handle: int) -> list[DeliveryState]:
        """The states an own message went through."""
        return [p.state for p in self.peers[name].of(Progress) if p.handle == handle]

    def shown(self, name: str) -> list[bytes]:
        """Contents shown as new, in order."""
        return [d.content for d in self.peers[name].of(Deliver) if not d.again]

    def events(self, name: str, event: Event) -> list[Report]:
        """Reports of one kind."""
        return [report for report in self.peers[name].of(Report) if report.event is event]

    def dials(self, name: str) -> list[Dial]:
        """Dial effects so far."""
        return self.peers[name].of(Dial)

    def drained(self, name: str) -> int:
        """How many ``Drained`` effects there were."""
        return len(self.peers[name].of(Drained))
