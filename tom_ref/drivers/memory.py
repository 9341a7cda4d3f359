"""A network in memory with a virtual clock and faults: many real nodes, one seed, the same run every time.

Every computer of a :class:`Simulation` runs a real :class:`~tom_ref.node.Node` on a store that outlives its
crashes, as :mod:`tom_ref.drivers.runner` would: steps are grouped, a group's changes are written at once, and
only then its other effects are carried out.  Everything else is drawn from the seed: who is there, who writes
to whom, and what goes wrong.

- *Frames* are lost, repeated, delayed and so reordered, as a dishonest neighbour could do it; with
  ``real_links`` they travel in real :class:`~tom_ref.link.Link` records over ordered bytes instead, which
  only delays and cuts can hurt.
- *Links* are cut, the network is partitioned.
- *Computers* crash: before a group is written, or between its writing and any of the effects that follow;
  they come back with nothing but their store.

Then everything heals.  After each step, and at the end, the promises of the protocol are checked:

1. a message is shown as new at most once, whatever its id; once acknowledged it is never shown again;
2. what is shown was sent, by this sender, to this recipient, with this content;
3. "delivered" comes with the recipient's valid receipt, and only after the recipient stored the message;
4. "expired" comes only after the retention has ended; states only rise;
5. no message is lost: when the network heals before the expiry, every message that was taken is shown;
6. no message key encrypts two texts, whatever crashed in between;
7. when all retention has ended, nothing of any message is left in any store.

A failure names the seed and the command that repeats the run::

    python -m tom_ref.drivers.memory --seed 17
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from attrs import define, field, frozen

from tom_ref import codec
from tom_ref.bech32m import node_id_to_text
from tom_ref.constants import EPS
from tom_ref.crypto import Secret32, sha256, verify
from tom_ref.drivers.store import MemoryStore
from tom_ref.drivers.system import DeterministicEntropy
from tom_ref.effects import (
    CloseLink,
    Deliver,
    DeliveryState,
    Dial,
    Drained,
    Effect,
    Persist,
    Progress,
    Report,
    SendFrame,
    Table,
)
from tom_ref.frames import Address, Envelope, Transport
from tom_ref.identity import Identity
from tom_ref.inputs import (
    Acknowledge,
    AddPeer,
    ClockMeasured,
    CommandError,
    DialFailed,
    FrameReceived,
    Input,
    LinkDown,
    LinkUp,
    Route,
    SendMessage,
    Start,
    Taken,
    Wake,
)
from tom_ref.link import Link, LinkClosed, LinkFrame, LinkMeasured, LinkOpened
from tom_ref.node import Node, subnet_id
from tom_ref.validate import retention_end, signed_receipt

BEGIN: Final = 1_800_000_000_000
"""ms since the epoch: when every simulation begins."""

TTL: Final = 600_000
"""ms: the lifetime of the messages, long enough for the network to heal within."""

HEALED_AT: Final = 60_000
"""ms after the beginning: from here on nothing goes wrong any more."""

SUBNET: Final = subnet_id("simulation")


MessageKey: TypeAlias = tuple[bytes, bytes, int]
"""What determines the key of a session message: session id, sender's ratchet key, number."""


def message_key(frame: bytes) -> tuple[MessageKey, bytes] | None:
    """The message key that an envelope frame uses and the payload under it; ``None`` for other frames."""
    decoded = codec.decode_frame(frame)
    if not isinstance(decoded, Envelope):
        return None
    message = codec.decode_session_message(decoded.payload)
    return (message.session_id, message.ratchet_key, message.number), decoded.payload


class PropertyError(AssertionError):
    """A promise was broken; the text says which, and how to see it again."""


@frozen
class Faults:
    """What goes wrong, as chances from 0 to 1 and times in ms."""

    loss: float = 0.0
    """Of a frame, that it is lost."""
    repetition: float = 0.0
    """Of a frame, that it arrives a second time."""
    latency: int = 20
    """The longest delay."""
    crash: float = 0.0
    """Of a commit, that the computer crashes in it."""
    cuts: int = 0
    """How many links are cut."""
    partitions: int = 0
    """How many times the network is partitioned."""

    @classmethod
    def drawn(cls, chance: random.Random, *, real_links: bool) -> Faults:
        """A mixture from mild to rough."""
        return cls(
            loss=0.0 if real_links else chance.choice([0.0, 0.02, 0.1, 0.3]),
            repetition=0.0 if real_links else chance.choice([0.0, 0.05, 0.3]),
            latency=chance.choice([5, 50, 400, 3_000]),
            crash=chance.choice([0.0, 0.01, 0.03, 0.1]),
            cuts=chance.choice([0, 2, 10]),
            partitions=chance.choice([0, 1, 4]),
        )


@define
class Sent:
    """A message that an application wanted to send."""

    sender: int
    recipient: int
    content: bytes = field(repr=False)
    taken: bool = False
    """Whether it was written to the sender's store."""
    created_at: int = 0
    message_id: bytes | None = None
    shown: int = 0
    shown_as_new: int = 0
    acknowledged: bool = False
    state: DeliveryState = DeliveryState.PENDING


@define
class Outcome:
    """What a simulation did."""

    seed: int
    nodes: int
    faults: Faults
    sent: int = 0
    delivered: int = 0
    steps: int = 0
    frames: int = 0
    crashes: int = 0
    shown_again: int = 0
    digest: str = ""
    """Over every step of every node: equal exactly when two runs were the same."""


class _Channel:
    """One end of a link."""

    def __init__(self, host: _Host, number: int) -> None:
        self.host = host
        self.number = number
        self.incarnation = host.incarnation
        self.other: _Channel | None = None
        self.dialled: _Host | None = None
        self.link: Link | None = None
        self.opened = False
        self.closed = False
        self.arrives_at = 0
        self.wake_at: int | None = None

    @property
    def alive(self) -> bool:
        return not self.closed and self.host.node is not None and self.host.incarnation == self.incarnation


class _Host:
    """A computer: a node, its store and its application."""

    def __init__(self, index: int, seed: bytes, offset: int) -> None:
        self.index = index
        self.identity = Identity.from_secret(Secret32(seed))
        self.entropy = DeterministicEntropy(sha256(b"entropy" + seed))
        self.store = MemoryStore()
        self.offset = offset
        self.node: Node | None = None
        self.incarnation = 0
        self.channels: dict[int, _Channel] = {}
        self.next_link = 1
        self.group: list[tuple[Effect, ...]] = []
        self.wake_at: int | None = None
        self.handles: dict[int, Sent] = {}

    @property
    def id(self) -> bytes:
        return self.identity.node_id


class Simulation:
    """One run.  ``check`` is called with this object after every step of any node."""

    def __init__(
        self,
        seed: int,
        *,
        real_links: bool = False,
        nodes: int | None = None,
        messages: int | None = None,
        faults: Faults | None = None,
        check: Callable[[Simulation], None] | None = None,
    ) -> None:
        self.seed = seed
        self.real_links = real_links
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._check = check
        self.now = 0
        count = self._chance.randint(3, 6) if nodes is None else nodes
        self._messages = self._chance.randint(4, 16) if messages is None else messages
        drawn = Faults.drawn(self._chance, real_links=real_links)
        self.faults = drawn if faults is None else faults
        self.outcome = Outcome(seed, count, self.faults)
        self.hosts = [
            _Host(
                index,
                sha256(f"{seed}/{index}".encode()),
                # Clocks differ, each from true time by less than EPS.
                self._chance.randint(-EPS + 1, EPS - 1) if self._chance.random() < 0.5 else 0,
            )
            for index in range(count)
        ]
        self.sent: list[Sent] = []
        self._by_content: dict[bytes, Sent] = {}
        self._by_id: dict[bytes, Sent] = {}
        self._stored_by_recipient: set[bytes] = set()
        self._keys: dict[MessageKey, bytes] = {}
        self._relays = list(range(self._chance.choice([1, 1, 2, 2, 3]))) if count > 3 else [0]
        self._parts: set[int] = set()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._digest = hashlib.sha256()
        self._log: deque[str] = deque(maxlen=40)

    # --- the run --------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Play it through; raises :class:`PropertyError` when a promise is broken."""
        for host in self.hosts:
            self._boot(host)
        self._plan_traffic()
        self._plan_faults()
        self._at(HEALED_AT, self._heal)
        self._play(lambda: self.now > HEALED_AT and self._settled(), until=HEALED_AT + TTL)
        self._check_nothing_lost()
        self._play(lambda: False, until=self.now + TTL + 4 * EPS)
        self._check_nothing_left()
        self.outcome.sent = sum(message.taken for message in self.sent)
        self.outcome.delivered = sum(message.shown > 0 for message in self.sent)
        self.outcome.digest = self._digest.hexdigest()
        return self.outcome

    def _play(self, done: Callable[[], bool], until: int) -> None:
        while self._events and self._events[0][0] <= until:
            when, _, action = heapq.heappop(self._events)
            self.now = max(self.now, when)
            action()
            if done():
                return

    def _settled(self) -> bool:
        return all(
            message.shown and self._finished(message) for message in self.sent if message.taken
        ) and all(host.node is not None for host in self.hosts)

    def _finished(self, message: Sent) -> bool:
        """Whether the sender's store has let go of the message."""
        host = self.hosts[message.sender]
        return not any(
            table is Table.PENDING and host.handles.get(int.from_bytes(key, "big")) is message
            for table, key, _ in host.store.load()
        )

    def _at(self, when: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action))

    def _later(self, delay: int, action: Callable[[], None]) -> None:
        self._at(self.now + delay, action)

    def _latency(self) -> int:
        return self._chance.randint(1, self.faults.latency)

    @property
    def _faulty(self) -> bool:
        return self.now < HEALED_AT

    def _heal(self) -> None:
        self._parts = set()

    def _plan_traffic(self) -> None:
        for number in range(self._messages):
            sender, recipient = self._chance.sample(range(len(self.hosts)), 2)
            size = self._chance.choice([0, 5, 300, 300, 20_000])
            content = f"{number} ".encode() + self._chance.randbytes(size)
            message = Sent(sender, recipient, content)
            self.sent.append(message)
            self._by_content[content] = message
            self._at(self._chance.randint(0, HEALED_AT // 2), partial(self._send, message))

    def _plan_faults(self) -> None:
        for _ in range(self.faults.cuts):
            self._at(self._chance.randint(0, HEALED_AT - 1), self._cut_some_link)
        for _ in range(self.faults.partitions):
            self._at(self._chance.randint(0, HEALED_AT - 1), self._partition)

    # --- computers ------------------------------------------------------------------------------------

    def time_of(self, host: _Host) -> int:
        """What a computer's clock says, ms since the epoch."""
        return BEGIN + self.now + host.offset

    def _boot(self, host: _Host) -> None:
        records = host.store.load()
        self._chance.shuffle(records)
        host.incarnation += 1
        host.wake_at = None
        host.node = Node(
            host.identity, subnet=SUBNET, entropy=host.entropy, now=self.time_of(host), records=records
        )
        self._feed(host, Start())
        for relay in self._relays:
            if relay != host.index:
                self._introduce(host, relay, relay=True)
        for other in range(len(self.hosts)):
            if other != host.index and self._chance.random() < 0.2:
                self._introduce(host, other, relay=False)

    def _introduce(self, host: _Host, other: int, *, relay: bool) -> None:
        address = Address(Transport.MEMORY, str(other))
        self._feed(host, AddPeer(self.hosts[other].id, (address,), relay))

    def _crash(self, host: _Host) -> None:
        self._note(host, "crashes")
        self.outcome.crashes += 1
        host.node = None
        host.group = []
        for channel in list(host.channels.values()):
            self._drop(channel, "crash")
        host.channels.clear()
        self._later(self._chance.randint(10, 4_000), partial(self._boot, host))

    def _feed(self, host: _Host, what: Input) -> None:
        """Step a node; its effects join the group that is committed next."""
        if host.node is None:
            return
        effects = host.node.step(what, self.time_of(host))
        self.outcome.steps += 1
        self._digest.update(f"{self.now} {host.index} {_described(what)}\n".encode())
        for effect in effects:
            self._digest.update(_described(effect).encode())
        self._note(host, f"{_short(what)} -> {', '.join(map(_short, effects))}")
        if any(isinstance(effect, Persist) for effect in effects[1:]):
            self._fail("a Persist that is not the first effect")
        if effects:
            if not host.group:
                self._later(self._chance.choice([0, 0, 1, 10]), partial(self._commit, host, host.incarnation))
            host.group.append(effects)
        self._set_wake(host)
        if self._check is not None:
            self._check(self)

    def _set_wake(self, host: _Host) -> None:
        assert host.node is not None
        deadline = host.node.next_deadline()
        if deadline is None:
            return
        when = max(self.now, deadline - host.offset - BEGIN)
        if host.wake_at is None or when < host.wake_at:
            host.wake_at = when
            self._at(when, partial(self._wake, host, host.incarnation, when))

    def _wake(self, host: _Host, incarnation: int, when: int) -> None:
        if host.incarnation == incarnation and host.wake_at == when:
            host.wake_at = None
            self._feed(host, Wake())

    # --- commit ---------------------------------------------------------------------------------------

    def _commit(self, host: _Host, incarnation: int) -> None:
        """Write a group, then carry out its effects; a crash may come before, in between or after."""
        if host.incarnation != incarnation or host.node is None:
            return
        group, host.group = host.group, []
        persists = [effect for effects in group for effect in effects if isinstance(effect, Persist)]
        others = [effect for effects in group for effect in effects if not isinstance(effect, Persist)]
        limit: int | None = None
        if self._faulty and self._chance.random() < self.faults.crash:
            limit = self._chance.randint(-1, len(others))
        if limit != -1:
            host.store.apply(persists, self.time_of(host))
            for persist in persists:
                self._written(host, persist)
            for effect in others[:limit]:
                self._carry_out(host, effect)
        if limit is not None:
            self._crash(host)

    def _written(self, host: _Host, persist: Persist) -> None:
        for change in persist.changes:
            if change.table is Table.PENDING and change.value is not None:
                message = host.handles[int.from_bytes(change.key, "big")]
                message.taken = True
            elif change.table is Table.SEEN and change.value is not None:
                self._stored_by_recipient.add(change.key)
            elif change.table is Table.INBOX and change.value is None and change.key in self._by_id:
                self._by_id[change.key].acknowledged = True

    def _carry_out(self, host: _Host, effect: Effect) -> None:
        match effect:
            case SendFrame():
                channel = host.channels.get(effect.link)
                if channel is not None and channel.alive:
                    self.outcome.frames += 1
                    self._check_keys(effect.data)
                    self._transmit(channel, effect.data)
            case CloseLink():
                channel = host.channels.get(effect.link)
                if channel is not None:
                    self._hang_up(channel, effect.reason)
            case Dial():
                self._dial(host, effect)
            case Deliver():
                self._shown(host, effect)
            case Progress():
                self._progressed(host, effect)
            case Report() | Drained():
                pass
            case Persist():
                raise AssertionError("changes are written before")

    # --- applications ---------------------------------------------------------------------------------

    def _send(self, message: Sent) -> None:
        host = self.hosts[message.sender]
        if host.node is None:
            self._later(500, partial(self._send, message))
            return
        handle = host.node.next_handle
        host.handles[handle] = message
        message.created_at = self.time_of(host)
        route = self._chance.choice([Route.RELAY_FIRST, Route.DIRECT_FIRST])
        recipient = self.hosts[message.recipient].id
        self._feed(host, SendMessage(handle, recipient, message.content, TTL, route))

    def _shown(self, host: _Host, what: Deliver) -> None:
        message = self._by_content.get(what.content)
        self._require(message is not None, "a message was shown that nobody sent")
        assert message is not None
        self._require(message.taken, "a message was shown that was not taken")
        self._require(message.recipient == host.index, "a message was shown to another node")
        self._require(
            self.hosts[message.sender].id == what.sender, "a message was shown under another sender"
        )
        self._require(message.message_id in {None, what.message_id}, "one message was shown under two ids")
        self._require(not message.acknowledged, "a message was shown after it was acknowledged")
        message.message_id = what.message_id
        self._by_id[what.message_id] = message
        message.shown += 1
        if what.again:
            self.outcome.shown_again += 1
        else:
            message.shown_as_new += 1
            self._require(message.shown_as_new == 1, "a message was shown as new twice")
        self._later(
            self._chance.choice([0, 1, 500, 5_000]),
            partial(self._acknowledge, host, host.incarnation, what.message_id),
        )

    def _acknowledge(self, host: _Host, incarnation: int, message: bytes) -> None:
        if host.node is None or host.incarnation != incarnation:
            return
        try:
            self._feed(host, Acknowledge(message))
        except CommandError as error:
            self._fail(f"an acknowledgement was refused: {error}")

    def _take(self, host: _Host, incarnation: int, handle: int) -> None:
        if host.node is not None and host.incarnation == incarnation:
            self._feed(host, Taken(handle))

    def _progressed(self, host: _Host, what: Progress) -> None:
        message = host.handles[what.handle]
        self._require(what.state >= message.state, f"{message.state.name} became {what.state.name}")
        message.state = what.state
        if what.state >= DeliveryState.DELIVERED:
            self._later(0, partial(self._take, host, host.incarnation, what.handle))
        if what.state is DeliveryState.DELIVERED:
            receipt = what.receipt
            self._require(receipt is not None, "delivered without a receipt")
            assert receipt is not None
            verify(self.hosts[message.recipient].id, signed_receipt(receipt), receipt.signature)
            self._require(receipt.message_id == what.message_id, "a receipt for another message")
            self._require(
                receipt.message_id in self._stored_by_recipient,
                "a receipt was there before the recipient had stored the message",
            )
        elif what.state is DeliveryState.EXPIRED:
            self._require(
                self.time_of(host) >= retention_end(message.created_at, TTL), "expired before its time"
            )

    # --- links ----------------------------------------------------------------------------------------

    def _separated(self, one: _Host, other: _Host) -> bool:
        return (one.index in self._parts) != (other.index in self._parts)

    def _new_channel(self, host: _Host) -> _Channel:
        channel = _Channel(host, host.next_link)
        host.next_link += 1
        host.channels[channel.number] = channel
        return channel

    def _dial(self, host: _Host, what: Dial) -> None:
        index = int(what.addresses[0].text)
        self._later(self._latency(), partial(self._answer, host, host.incarnation, self.hosts[index]))

    def _answer(self, host: _Host, incarnation: int, other: _Host) -> None:
        """A dialled computer answers, or does not."""
        if host.incarnation != incarnation or host.node is None:
            return
        if other.node is None or self._separated(host, other):
            self._feed(host, DialFailed(other.id))
            return
        near, far = self._new_channel(host), self._new_channel(other)
        near.other, far.other = far, near
        near.dialled = other
        if self.real_links:
            near.link = self._new_link(host, other)
            far.link = self._new_link(other, None)
            self._pump(near)
            self._pump(far)
        else:
            near.opened = far.opened = True
            self._feed(host, LinkUp(near.number, other.node.descriptor, initiated=True))
            self._feed(other, LinkUp(far.number, host.node.descriptor, initiated=False))
            self._feed(host, ClockMeasured(near.number, other.offset - host.offset, 0))
            self._feed(other, ClockMeasured(far.number, host.offset - other.offset, 0))

    def _new_link(self, host: _Host, expected: _Host | None) -> Link:
        assert host.node is not None
        make = partial(
            Link.responder if expected is None else Link.initiator,
            static=host.identity.link_secret,
            descriptor=codec.encode_descriptor(host.node.descriptor),
            binding=b"",
            entropy=host.entropy,
            now=self.time_of(host),
        )
        return make() if expected is None else make(expected_node=expected.id)

    def _transmit(self, channel: _Channel, frame: bytes) -> None:
        if channel.link is not None:
            channel.link.send(frame)
            self._pump(channel)
            return
        copies = 1
        if self._faulty:
            if self._chance.random() < self.faults.loss:
                return
            copies += self._chance.random() < self.faults.repetition
        for _ in range(copies):
            self._later(self._latency(), partial(self._arrive, channel.other, frame))

    def _arrive(self, channel: _Channel | None, data: bytes) -> None:
        """A frame, or bytes of a real link, or the end of them, reach the other side."""
        if channel is None or not channel.alive:
            return
        if channel.link is None:
            self._feed(channel.host, FrameReceived(channel.number, data))
        elif data:
            channel.link.receive_data(data, self.time_of(channel.host))
            self._pump(channel)
        else:
            channel.link.receive_end(self.time_of(channel.host))
            self._pump(channel)

    def _pump(self, channel: _Channel) -> None:
        """Take a real link's events and bytes; bytes arrive in order."""
        link = channel.link
        assert link is not None
        if not channel.alive:
            return
        self._take_events(channel, link)
        while data := link.data_to_send(self.time_of(channel.host)):
            self._write(channel, data)
            self._take_events(channel, link)
        if channel.closed:
            self._write(channel, b"")
        deadline = link.next_deadline()
        if deadline is not None:
            when = max(self.now + 1, deadline - channel.host.offset - BEGIN)
            if channel.wake_at is None or when < channel.wake_at:
                channel.wake_at = when
                self._at(when, partial(self._link_timeout, channel, when))

    def _write(self, channel: _Channel, data: bytes) -> None:
        channel.arrives_at = max(channel.arrives_at, self.now + self._latency())
        self._at(channel.arrives_at, partial(self._arrive, channel.other, data))

    def _take_events(self, channel: _Channel, link: Link) -> None:
        while (event := link.next_event()) is not None:
            match event:
                case LinkOpened():
                    channel.opened = True
                    self._feed(channel.host, LinkUp(channel.number, event.descriptor, link.initiated))
                    link.ping()
                case LinkFrame():
                    self._feed(channel.host, FrameReceived(channel.number, event.frame))
                case LinkMeasured():
                    measured = ClockMeasured(channel.number, event.offset, event.round_trip)
                    self._feed(channel.host, measured)
                    if event.round_trip > 2 * EPS:
                        link.ping()  # TOM-PURGE-053
                case LinkClosed():
                    self._ended(channel, event.reason)
                case _:
                    pass

    def _link_timeout(self, channel: _Channel, when: int) -> None:
        if channel.alive and channel.wake_at == when and channel.link is not None:
            channel.wake_at = None
            channel.link.handle_timeout(self.time_of(channel.host))
            self._pump(channel)

    def _ended(self, channel: _Channel, reason: str) -> None:
        """This end of a link is gone; its node is told."""
        channel.closed = True
        channel.host.channels.pop(channel.number, None)
        if channel.opened:
            self._feed(channel.host, LinkDown(channel.number, reason))
        elif channel.dialled is not None:
            self._feed(channel.host, DialFailed(channel.dialled.id))

    def _hang_up(self, channel: _Channel, reason: str) -> None:
        """A node closes its end; the other end notices later."""
        if channel.link is not None:
            channel.link.close(reason)
            self._pump(channel)
            return
        self._ended(channel, reason)
        if channel.other is not None:
            self._later(self._latency(), partial(self._notice, channel.other, reason))

    def _notice(self, channel: _Channel, reason: str) -> None:
        if channel.alive:
            self._ended(channel, reason)

    def _drop(self, channel: _Channel, reason: str) -> None:
        """The transport breaks under a link; either end notices, after a while."""
        for end in (channel, channel.other):
            if end is not None and end.alive:
                notice = (
                    partial(self._arrive, end, b"") if self.real_links else partial(self._notice, end, reason)
                )
                self._later(self._latency(), notice)
        for end in (channel, channel.other):
            if end is not None:
                end.other = None

    def _cut_some_link(self) -> None:
        channels = [channel for host in self.hosts for channel in host.channels.values() if channel.other]
        if channels:
            self._drop(self._chance.choice(channels), "cut")

    def _partition(self) -> None:
        self._parts = {host.index for host in self.hosts if self._chance.random() < 0.5}
        for host in self.hosts:
            for channel in list(host.channels.values()):
                if channel.other is not None and self._separated(host, channel.other.host):
                    self._drop(channel, "partition")
        self._later(self._chance.randint(100, 20_000), self._heal)

    # --- checks ---------------------------------------------------------------------------------------

    def _check_keys(self, frame: bytes) -> None:
        used = message_key(frame)
        if used is not None:
            key, payload = used
            same = self._keys.setdefault(key, payload) == payload
            self._require(same, "one message key was used for two messages")

    def _check_nothing_lost(self) -> None:
        for number, message in enumerate(self.sent):
            if message.taken:
                self._require(message.shown > 0, f"message {number} was lost: {message}")
                receipted = self._finished(message) and message.state is not DeliveryState.EXPIRED
                self._require(receipted, f"message {number} never got its receipt: {message}")

    def _check_nothing_left(self) -> None:
        for host in self.hosts:
            kept = {Table.PREKEY, Table.SESSION, Table.CLOCK}
            left = [table.value for table, _, _ in host.store.load() if table not in kept]
            self._require(not left, f"node {host.index} still holds {left} after all retention has ended")

    def _require(self, holds: bool, what: str) -> None:  # noqa: FBT001 - a condition
        if not holds:
            self._fail(what)

    def _fail(self, what: str) -> None:
        links = " --real-links" if self.real_links else ""
        last = "\n".join(self._log)
        raise PropertyError(
            f"{what}\n\nThe last steps:\n{last}\n\n{self.faults}\nTo see it again:\n"
            f"    python -m tom_ref.drivers.memory --seed {self.seed}{links} --verbose\n"
        )

    def _note(self, host: _Host, text: str) -> None:
        line = f"{self.now:7} ms  node {host.index} ({node_id_to_text(host.id)[:10]}…)  {text}"
        self._log.append(line)
        if self.verbose:
            sys.stderr.write(line + "\n")

    verbose = False
    """Whether every step is written to the standard error."""


def _short(what: Input | Effect) -> str:
    match what:
        case Report():
            return f"{what.event.value}({what.detail})" if what.detail else what.event.value
        case Progress():
            return f"handle {what.handle} {what.state.name}"
        case Persist():
            changes = (change.table.value + ("" if change.value else " erased") for change in what.changes)
            return f"Persist({', '.join(changes)})"
        case FrameReceived() | SendFrame():
            kind = type(codec.decode_frame(what.data)).__name__
            return f"{type(what).__name__}({what.link}, {kind})"
        case LinkUp() | LinkDown() | CloseLink():
            return f"{type(what).__name__}({what.link})"
        case _:
            return type(what).__name__


def _described(what: Input | Effect) -> str:
    """Everything about an input or effect, as text that is the same in every run."""
    match what:
        case Persist():
            return repr([(change.table.value, change.key, change.value) for change in what.changes])
        case SendFrame() | FrameReceived():
            return f"{type(what).__name__} {what.link} {what.data.hex()}"
        case _:
            return repr(what)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run simulations from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tom_ref.drivers.memory",
        description="Play a network of real nodes with faults drawn from a seed, and check the promises.",
    )
    parser.add_argument("--seed", type=int, default=0, help="the (first) seed")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, counting up")
    parser.add_argument("--real-links", action="store_true", help="frames travel in real links")
    parser.add_argument("--verbose", action="store_true", help="write every step to the standard error")
    options = parser.parse_args(arguments)
    for seed in range(options.seed, options.seed + options.runs):
        simulation = Simulation(seed, real_links=options.real_links)
        simulation.verbose = options.verbose
        try:
            outcome = simulation.run()
        except PropertyError as error:
            sys.stdout.write(f"seed {seed}: {error}")
            return 1
        sys.stdout.write(
            f"seed {seed}: {outcome.nodes} nodes, {outcome.sent} messages, {outcome.crashes} crashes, "
            f"{outcome.steps} steps, {outcome.digest[:16]}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
