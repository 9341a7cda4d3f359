"""Computers, links and the one queue of events: virtual time in ms since :data:`tom_sim.clocks.BEGIN`.

A computer carries out a node's effects as :mod:`tom_ref.drivers.runner` would: the changes of a step (or of a
group of steps, when the disk is slow) are written at once, then its other effects follow in their order.  A
crash may come before the writing, or between any two of the effects.

Links carry frames, each with a delay of its own, or with ``real_links`` the bytes of a real
:class:`tom_ref.link.Link` in their order.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from tom_ref import codec
from tom_ref.crypto import Secret32
from tom_ref.drivers.store import MemoryStore
from tom_ref.drivers.system import DeterministicEntropy
from tom_ref.effects import Change, CloseLink, Dial, Effect, Persist, SendFrame
from tom_ref.frames import Address, Transport
from tom_ref.identity import Identity
from tom_ref.inputs import ClockMeasured, DialFailed, FrameReceived, Input, LinkDown, LinkUp, Start, Wake
from tom_ref.link import Link, LinkClosed, LinkFrame, LinkMeasured, LinkOpened
from tom_sim.clocks import Clock
from tom_sim.faults import Faults
from tom_sim.streams import Streams
from tom_sim.view import Simulated

KEPT_STEPS: Final = 60
"""count: the last steps that a failure shows."""


class Channel:
    """One end of a link."""

    __slots__ = (
        "alive",
        "arrives_at",
        "dialled",
        "host",
        "link",
        "number",
        "opened",
        "other",
        "wake_at",
    )

    def __init__(self, host: Host, number: int) -> None:
        self.host = host
        self.number = number
        self.other: Channel | None = None
        self.dialled: Host | None = None
        self.link: Link | None = None
        self.opened = False
        self.alive = True
        self.arrives_at = 0
        self.wake_at: int | None = None


class Liar(Protocol):
    """What makes a computer dishonest: everything that leaves its node passes through here."""

    name: str

    def began(self, host: Host) -> None:
        """Its node was made, or made again after a crash."""

    def outgoing(self, host: Host, channel: Channel, data: bytes) -> Sequence[bytes]:
        """The frames that leave instead of this one."""

    def incoming(self, host: Host, channel: Channel, data: bytes) -> bool:
        """A frame arrives; whether its node shall see it."""


class Observer(Protocol):
    """Whoever watches everything, above all :mod:`tom_sim.promises`."""

    def stepped(self, host: Host, what: Input, effects: Sequence[Effect]) -> None:
        """A node took a step; its effects are still to come."""

    def wrote(self, host: Host, changes: Sequence[Change]) -> None:
        """Changes reached a disk."""

    def sending(self, host: Host, data: bytes) -> None:
        """A node hands a frame to a link; what it wrote before is on its disk."""

    def effect(self, host: Host, effect: Effect) -> None:
        """Any other effect is carried out."""

    def crashed(self, host: Host) -> None:
        """A computer lost everything but its disk."""


class Host:
    """One computer: a node, its disk, its clock and its links."""

    def __init__(self, index: int, streams: Streams, clock: Clock) -> None:
        self.index = index
        self.identity = Identity.from_secret(Secret32(streams.key("secret")))
        self.entropy = DeterministicEntropy(streams.key("entropy"))
        self.clock = clock
        self.store = MemoryStore()
        self.node: Simulated | None = None
        self.incarnation = 0
        self.gone = False
        """It never comes back."""
        self.on_since = 0
        """ms: when it was switched on last."""
        self.channels: dict[int, Channel] = {}
        self.next_link = 1
        self.group: list[tuple[Effect, ...]] = []
        self.wake_at: int | None = None
        self.doomed = False
        """The next commit is cut short by a crash."""
        self.liar: Liar | None = None
        self.part = 0
        """Which part of a partitioned network it is in."""
        self.frames_sent = 0
        self.bytes_sent = 0
        self.crashes = 0

    @property
    def id(self) -> bytes:
        """Its node's 32-byte id."""
        return self.identity.node_id

    @property
    def honest(self) -> bool:
        """Whether it does nothing but what its node says."""
        return self.liar is None

    @property
    def address(self) -> Address:
        """Where it is reached."""
        return Address(Transport.MEMORY, str(self.index))


Action = Callable[..., None]


class World:
    """All computers and the network between them."""

    def __init__(
        self,
        streams: Streams,
        faults: Faults,
        observer: Observer,
        make_node: Callable[[Host, int], Simulated],
        *,
        real_links: bool = False,
        log: bool = True,
    ) -> None:
        self.streams = streams
        self.faults = faults
        self.calm = True
        """Nothing goes wrong now, but what liars do."""
        self.real_links = real_links
        self.measures = False
        """Plain links measure the clocks of their two ends, as real ones do with their pings."""
        self.observer = observer
        self.hosts: list[Host] = []
        self.by_id: dict[bytes, Host] = {}
        self.now = 0
        self.steps = 0
        self.frames = 0
        self.crashes = 0
        self.duplicate_links = 0
        self.verbose: Callable[[str], None] | None = None
        self.before_boot: Callable[[Host], None] = _nothing
        self.after_boot: Callable[[Host], None] = _nothing
        self._make_node = make_node
        self._events: list[tuple[int, int, Action, tuple[Any, ...]]] = []
        self._count = 0
        self._network = streams.chance("network")
        self._disks = streams.chance("disks")
        self._crashing = streams.chance("crashes")
        self._hash = hashlib.sha256() if log else None
        self._recent: deque[tuple[int, int, Input, tuple[Effect, ...]]] = deque(maxlen=KEPT_STEPS)

    # --- time -----------------------------------------------------------------------------------------

    def at(self, when: int, action: Action, *arguments: Any) -> None:
        """Do something at a time, not before now."""
        self._count += 1
        heapq.heappush(self._events, (max(when, self.now), self._count, action, arguments))

    def later(self, delay: int, action: Action, *arguments: Any) -> None:
        """Do something after a delay in ms."""
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, action, arguments))

    def run(self, until: int, done: Callable[[], bool] | None = None) -> bool:
        """Play all events up to a time, or until ``done`` says so after one; returns whether it did."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, action, arguments = heapq.heappop(events)
            action(*arguments)
            if done is not None and done():
                return True
        self.now = max(self.now, until)
        return False

    def time_of(self, host: Host) -> int:
        """What a computer's clock says, in ms since the epoch."""
        return host.clock.read(self.now)

    def digest(self) -> str:
        """SHA-256 over every step of every node: equal exactly when two runs were the same."""
        return self._hash.hexdigest() if self._hash is not None else ""

    def recent(self) -> list[str]:
        """The last steps, for people."""
        return [self._line(*step) for step in self._recent]

    def _line(self, now: int, index: int, what: Input, effects: tuple[Effect, ...]) -> str:
        did = ", ".join(map(describe, effects)) or "nothing"
        return f"{now / 1000:12.3f} s  node {index:2d}  {describe(what)} -> {did}"

    # --- computers ------------------------------------------------------------------------------------

    def add(self, host: Host) -> None:
        """A new computer; it is still off."""
        self.hosts.append(host)
        self.by_id[host.id] = host

    def boot(self, host: Host) -> None:
        """Switch a computer on, with what its disk holds."""
        if host.node is not None or host.gone:
            return
        host.incarnation += 1
        host.on_since = self.now
        host.wake_at = None
        host.doomed = False
        self.before_boot(host)
        host.node = self._make_node(host, self.time_of(host))
        if host.liar is not None:
            host.liar.began(host)
        self.feed(host, Start())
        self.after_boot(host)

    def crash(self, host: Host, away: int | None = None) -> None:
        """A computer loses everything but its disk, and comes back after ``away`` ms."""
        if host.node is None:
            return
        host.crashes += 1
        self.crashes += 1
        host.node = None
        host.group = []
        host.doomed = False
        for channel in list(host.channels.values()):
            self.drop(channel, "crash")
        host.channels.clear()
        self.observer.crashed(host)
        if away is None:
            away = self._crashing.randint(10, max(11, self.faults.away))
        self.later(away, self.boot, host)

    def switch_off(self, host: Host, notice: Callable[[], int]) -> None:
        """A computer vanishes for good and closes no link: each other end notices after ``notice()`` ms."""
        ends = [channel.other for channel in host.channels.values() if channel.other is not None]
        for channel in host.channels.values():
            channel.alive = False
        host.node, host.group = None, []
        host.channels.clear()
        for end in ends:
            self.later(notice(), self._notice, end, "idle_timeout")

    def feed(self, host: Host, what: Input) -> None:
        """Step a node, and carry out what it says."""
        node = host.node
        if node is None:
            return
        effects = node.step(what, host.clock.read(self.now))
        self.steps += 1
        if self._hash is not None:
            self._note(host, what, effects)
        self.observer.stepped(host, what, effects)
        if effects:
            if host.group or (self.faults.disk and not self.calm):
                self._join_group(host, effects)
            else:
                self._commit_now(host, effects)
        if host.node is node:
            deadline = node.next_deadline()
            if deadline is not None:
                when = host.clock.reaches(deadline)
                if host.wake_at is None or when < host.wake_at:
                    host.wake_at = when
                    self.at(when, self._wake, host, host.incarnation, when)

    def _wake(self, host: Host, incarnation: int, when: int) -> None:
        if host.incarnation == incarnation and host.wake_at == when:
            host.wake_at = None
            self.feed(host, Wake())

    def _note(self, host: Host, what: Input, effects: tuple[Effect, ...]) -> None:
        assert self._hash is not None
        update = self._hash.update
        name = type(what).__name__.encode()
        if type(what) is FrameReceived:
            update(b"%d %d %s %d " % (self.now, host.index, name, what.link) + what.data)
        else:
            update(b"%d %d %s " % (self.now, host.index, name))
        for effect in effects:
            update(type(effect).__name__.encode())
            if type(effect) is SendFrame:
                update(b"%d " % effect.link)
                update(effect.data)
            elif type(effect) is Persist:
                for change in effect.changes:
                    update(change.key)
                    update(b"-" if change.value is None else change.value)
            else:
                update(repr(effect).encode())
        self._recent.append((self.now, host.index, what, effects))
        if self.verbose is not None:
            self.verbose(self._line(self.now, host.index, what, effects))

    # --- commit ---------------------------------------------------------------------------------------

    def _join_group(self, host: Host, effects: tuple[Effect, ...]) -> None:
        if not host.group:
            delay = self._disks.randint(0, self.faults.disk) if self.faults.disk else 0
            self.later(delay, self._commit_group, host, host.incarnation)
        host.group.append(effects)

    def _commit_group(self, host: Host, incarnation: int) -> None:
        if host.incarnation != incarnation or host.node is None:
            return
        group, host.group = host.group, []
        persists = [effect for effects in group for effect in effects if type(effect) is Persist]
        others = [effect for effects in group for effect in effects if type(effect) is not Persist]
        self._carry_out(host, persists, others)

    def _commit_now(self, host: Host, effects: tuple[Effect, ...]) -> None:
        if type(effects[0]) is Persist:
            self._carry_out(host, [effects[0]], effects[1:])
        else:
            self._carry_out(host, (), effects)

    def _carry_out(self, host: Host, persists: Sequence[Persist], others: Sequence[Effect]) -> None:
        limit: int | None = None
        if host.doomed:
            limit = self._crashing.randint(-1, len(others))
        if limit != -1:
            if persists:
                host.store.apply(persists, 0)
                for persist in persists:
                    self.observer.wrote(host, persist.changes)
            incarnation = host.incarnation
            for effect in others[:limit]:
                if type(effect) is SendFrame:
                    channel = host.channels.get(effect.link)
                    if channel is not None and channel.alive:
                        self._send(host, channel, effect.data)
                else:
                    self._other_effect(host, effect)
                    if host.node is None or host.incarnation != incarnation:
                        return
        if limit is not None:
            self.crash(host)

    def _other_effect(self, host: Host, effect: Effect) -> None:
        match effect:
            case CloseLink():
                channel = host.channels.get(effect.link)
                if channel is not None:
                    self._hang_up(channel, effect.reason)
            case Dial():
                self._dial(host, effect)
            case Persist():
                raise AssertionError("a Persist that is not the first effect of its step")
            case _:
                self.observer.effect(host, effect)

    # --- frames ---------------------------------------------------------------------------------------

    def _send(self, host: Host, channel: Channel, data: bytes) -> None:
        if host.liar is None:
            self.observer.sending(host, data)
            self.transmit(channel, data)
        else:
            for frame in host.liar.outgoing(host, channel, data):
                self.transmit(channel, frame)

    def transmit(self, channel: Channel, data: bytes) -> None:
        """A frame enters a link; it may be lost, repeated or late."""
        host = channel.host
        host.frames_sent += 1
        host.bytes_sent += len(data)
        self.frames += 1
        if channel.link is not None:
            channel.link.send(data)
            self._pump(channel)
            return
        other = channel.other
        if other is None:
            return
        if self.calm:
            delay = 1 + int(self._network.random() * self.faults.latency)
            self.later(delay, self._arrive, other, data)
            return
        faults = self.faults
        chance = self._network.random
        if faults.loss and chance() < faults.loss:
            return
        copies = 2 if faults.repetition and chance() < faults.repetition else 1
        for _ in range(copies):
            longest = faults.late if faults.spike and chance() < faults.spike else faults.latency
            self.later(1 + int(chance() * longest), self._arrive, other, data)

    def _arrive(self, channel: Channel, data: bytes) -> None:
        if channel.alive:
            host = channel.host
            if host.liar is None or host.liar.incoming(host, channel, data):
                self.feed(host, FrameReceived(channel.number, data))

    # --- links ----------------------------------------------------------------------------------------

    def latency(self) -> int:
        """A delay of the network in ms."""
        return 1 + int(self._network.random() * self.faults.latency)

    def separated(self, one: Host, other: Host) -> bool:
        """Whether nothing passes between two computers."""
        return one.part != other.part

    def _dial(self, host: Host, what: Dial) -> None:
        target = self.by_id.get(what.node_id)
        named = {address.text for address in what.addresses if address.transport is Transport.MEMORY}
        if target is None or str(target.index) not in named:
            target = next((self.hosts[int(text)] for text in sorted(named) if text.isdecimal()), None)
        self.later(2 * self.latency(), self._answer, host, host.incarnation, what.node_id, target)

    def _answer(self, host: Host, incarnation: int, node_id: bytes, other: Host | None) -> None:
        """A dialled computer answers, or does not."""
        if host.incarnation != incarnation or host.node is None:
            return
        if (
            other is None
            or other.node is None
            or other.id != node_id
            or other is host
            or self.separated(host, other)
        ):
            self.feed(host, DialFailed(node_id))
            return
        near, far = self._new_channel(host), self._new_channel(other)
        near.other, far.other = far, near
        near.dialled = other
        if self.real_links:
            near.link = self._new_link(host, other)
            far.link = self._new_link(other, None)
            self._pump(near)
            self._pump(far)
            return
        near.opened = far.opened = True
        mine, theirs = host.node.descriptor, other.node.descriptor
        self.feed(host, LinkUp(near.number, theirs, initiated=True))
        if far.alive:
            self.feed(other, LinkUp(far.number, mine, initiated=False))
        if self.measures:
            self._measure(near)
            self._measure(far)

    def measure(self, host: Host) -> None:
        """Both ends of all links of a computer look at each other's clocks."""
        for channel in list(host.channels.values()):
            for end in (channel, channel.other):
                if end is not None:
                    self._measure(end)

    def _measure(self, channel: Channel) -> None:
        """What a ping would say, without the error of its way."""
        if channel.alive and channel.other is not None and channel.other.alive:
            apart = self.time_of(channel.other.host) - self.time_of(channel.host)
            self.feed(channel.host, ClockMeasured(channel.number, apart, 2))

    def _new_channel(self, host: Host) -> Channel:
        channel = Channel(host, host.next_link)
        host.next_link += 1
        host.channels[channel.number] = channel
        return channel

    def _hang_up(self, channel: Channel, reason: str) -> None:
        """A node closes its end; the other end notices later."""
        if channel.link is not None:
            channel.link.close(reason)
            self._pump(channel)
            return
        other = channel.other
        self._ended(channel, reason)
        if other is not None:
            self.later(self.latency(), self._notice, other, reason)

    def _notice(self, channel: Channel, reason: str) -> None:
        if channel.alive:
            self._ended(channel, reason)

    def _ended(self, channel: Channel, reason: str) -> None:
        """This end of a link is gone; its node is told."""
        channel.alive = False
        channel.host.channels.pop(channel.number, None)
        if channel.opened:
            self.feed(channel.host, LinkDown(channel.number, reason))
        elif channel.dialled is not None:
            self.feed(channel.host, DialFailed(channel.dialled.id))

    def drop(self, channel: Channel, reason: str) -> None:
        """The transport breaks under a link; either end notices after a while."""
        for end in (channel, channel.other):
            if end is None:
                continue
            if end.host.node is None:
                end.alive = False
            elif end.alive:
                if self.real_links:
                    self.later(self.latency(), self._arrive_bytes, end, b"")
                else:
                    self.later(self.latency(), self._notice, end, reason)
        for end in (channel, channel.other):
            if end is not None:
                end.other = None

    def part(self, parts: Sequence[int]) -> None:
        """Put each computer into a part, given for each index; links between parts break."""
        for host, part in zip(self.hosts, parts, strict=True):
            host.part = part
        for host in self.hosts:
            for channel in list(host.channels.values()):
                if channel.other is not None and self.separated(host, channel.other.host):
                    self.drop(channel, "partition")

    def heal(self) -> None:
        """All computers reach each other again."""
        for host in self.hosts:
            host.part = 0

    def cut_one(self, host: Host, chance: random.Random) -> None:
        """One of the links of a computer breaks."""
        channels = [channel for channel in host.channels.values() if channel.other is not None]
        if channels:
            self.drop(chance.choice(channels), "cut")

    # --- real links -----------------------------------------------------------------------------------

    def _new_link(self, host: Host, expected: Host | None) -> Link:
        assert host.node is not None
        descriptor = codec.encode_descriptor(host.node.descriptor)
        static, entropy, now = host.identity.link_secret, host.entropy, self.time_of(host)
        if expected is None:
            return Link.responder(static=static, descriptor=descriptor, binding=b"", entropy=entropy, now=now)
        return Link.initiator(
            static=static,
            descriptor=descriptor,
            binding=b"",
            entropy=entropy,
            now=now,
            expected_node=expected.id,
        )

    def _pump(self, channel: Channel) -> None:
        """Take a real link's events and bytes; bytes arrive in order."""
        link = channel.link
        assert link is not None
        if not channel.alive:
            return
        self._take_events(channel, link)
        while data := link.data_to_send(self.time_of(channel.host)):
            self._write(channel, data)
            self._take_events(channel, link)
        if self._has_ended(channel):
            self._write(channel, b"")
            return
        deadline = link.next_deadline()
        if deadline is not None:
            when = max(self.now + 1, channel.host.clock.reaches(deadline))
            if channel.wake_at is None or when < channel.wake_at:
                channel.wake_at = when
                self.at(when, self._link_timeout, channel, when)

    @staticmethod
    def _has_ended(channel: Channel) -> bool:
        return not channel.alive

    def _write(self, channel: Channel, data: bytes) -> None:
        if channel.other is not None:
            channel.arrives_at = max(channel.arrives_at, self.now + self.latency())
            self.at(channel.arrives_at, self._arrive_bytes, channel.other, data)

    def _arrive_bytes(self, channel: Channel, data: bytes) -> None:
        if not channel.alive:
            return
        assert channel.link is not None
        if data:
            channel.link.receive_data(data, self.time_of(channel.host))
        else:
            channel.link.receive_end(self.time_of(channel.host))
        self._pump(channel)

    def _take_events(self, channel: Channel, link: Link) -> None:
        while (event := link.next_event()) is not None:
            match event:
                case LinkOpened():
                    channel.opened = True
                    self.feed(channel.host, LinkUp(channel.number, event.descriptor, link.initiated))
                    if self.measures and channel.alive:
                        link.ping()
                case LinkFrame():
                    self._arrive(channel, event.frame)
                case LinkMeasured():
                    self.feed(channel.host, ClockMeasured(channel.number, event.offset, event.round_trip))
                case LinkClosed():
                    self._ended(channel, event.reason)
                case _:
                    pass

    def _link_timeout(self, channel: Channel, when: int) -> None:
        if channel.alive and channel.wake_at == when and channel.link is not None:
            channel.wake_at = None
            channel.link.handle_timeout(self.time_of(channel.host))
            self._pump(channel)


def _nothing(_: Host) -> None:
    """What is done before or after a start when nobody wants anything."""


def describe(what: object) -> str:
    """An input or effect in a few words, without content."""
    if isinstance(what, FrameReceived):
        return f"frame {what.data[0] if what.data else '-'} ({len(what.data)} bytes) on {what.link}"
    if isinstance(what, SendFrame):
        return f"send {what.data[0] if what.data else '-'} ({len(what.data)} bytes) on {what.link}"
    if isinstance(what, Persist):
        tables = sorted({change.table.value for change in what.changes})
        return f"write {'+'.join(tables)}"
    name = getattr(what, "event", None)
    if name is not None:
        return f"{name}({getattr(what, 'detail', '')})"
    return type(what).__name__
