"""Many real nodes of one subnet on virtual time: they dial each other, are cut apart, crash and sleep."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from functools import partial

from tests.network import Draws, declared_change
from tests.subnets import FAST, START, founded, identities
from tom_ref.draft import Roles
from tom_ref.effects import (
    CloseLink,
    Deliver,
    Dial,
    Effect,
    Event,
    Invited,
    Persist,
    Progress,
    Report,
    SendFrame,
    Signalled,
    Table,
)
from tom_ref.frames import Address, Transport
from tom_ref.identity import Identity
from tom_ref.inputs import (
    AddPeer,
    Begin,
    ClockMeasured,
    DialFailed,
    FrameReceived,
    Input,
    LinkDown,
    LinkUp,
    SendMessage,
    SetAddresses,
    Start,
    Wake,
)
from tom_ref.node import Node
from tom_ref.term_frames import BlockHeader, Invitation, TermRecord
from tom_ref.timing import Timing

LATENCY = 3
"""ms: how long a frame travels."""


class Computer:
    """A node with its disk, its clock's error, and all that it asked for."""

    def __init__(self, index: int, identity: Identity, timing: Timing, offset: int = 0) -> None:
        self.index = index
        self.identity = identity
        self.timing = timing
        self.offset = offset
        self.entropy = Draws(f"computer {index}")
        self.disk: dict[tuple[Table, bytes], bytes] = {}
        self.links: dict[int, tuple[int, int]] = {}
        """The other computer and its number for each link."""
        self.reports: list[Report] = []
        self.delivered: list[Deliver] = []
        self.progress: list[Progress] = []
        self.invitations: list[Invitation] = []
        self.signals: list[Signalled] = []
        self.sent: list[tuple[int, bytes]] = []
        """Every frame, with the time at which it left."""
        self.node: Node | None = None
        self.crash_before: Callable[[tuple[Effect, ...]], bool] | None = None
        self.crash_after: Callable[[tuple[Effect, ...]], bool] | None = None

    @property
    def id(self) -> bytes:
        """The NodeId."""
        return self.identity.node_id

    @property
    def running(self) -> Node:
        """The node, which is not down."""
        assert self.node is not None
        return self.node

    def events(self, event: Event) -> list[Report]:
        """What was reported of one kind."""
        return [report for report in self.reports if report.event is event]


class Members:
    """Computers by number; the first ``count`` of them begin with one genesis."""

    def __init__(
        self,
        count: int,
        *,
        strangers: int = 0,
        timing: Timing = FAST,
        offsets: dict[int, int] | None = None,
        nonce: bytes = bytes(32),
    ) -> None:
        self.now = START
        self.timing = timing
        self.founded = founded(count, timing, nonce=nonce)
        nodes = [*self.founded.nodes, *identities(strangers, 1_000)]
        offsets = {} if offsets is None else offsets
        self.computers = [
            Computer(index, node, timing, offsets.get(index, 0)) for index, node in enumerate(nodes)
        ]
        self.by_id = {computer.id: computer for computer in self.computers}
        self.asleep: set[int] = set()
        self._parts: list[frozenset[int]] = []
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._links = 0
        self.records: dict[tuple[bytes, int], TermRecord] = {}
        """Every record that was present anywhere."""
        for computer in self.computers:
            self.boot(computer.index)
        for computer in self.computers[:count]:
            for other in self.computers[:count]:
                if other is not computer:
                    self.do(computer.index, AddPeer(other.id, self._address(other.index)))
            self.do(computer.index, Begin(self.founded.genesis))

    def __getitem__(self, index: int) -> Computer:
        """The computer of that number."""
        return self.computers[index]

    @staticmethod
    def _address(index: int) -> tuple[Address, ...]:
        return (Address(Transport.MEMORY, str(index)),)

    # --- computers --------------------------------------------------------------------------------------

    def boot(self, index: int) -> None:
        """Start a computer on what its disk holds."""
        computer = self[index]
        computer.node = self._made(computer)
        self.do(index, Start())
        self.do(index, SetAddresses(self._address(index)))

    def _made(self, computer: Computer) -> Node:
        return Node(
            computer.identity,
            entropy=computer.entropy,
            now=self.now + computer.offset,
            records=[(table, key, value) for (table, key), value in computer.disk.items()],
            timing=computer.timing,
        )

    def kill(self, index: int) -> None:
        """A computer vanishes; the others' links end."""
        computer = self[index]
        computer.node = None
        for link in list(computer.links):
            self._cut(index, link, "gone")
        computer.links.clear()

    def sleep(self, index: int) -> None:
        """The lid is closed: no step, no frame, the links end."""
        self.asleep.add(index)
        for link in list(self[index].links):
            self._cut(index, link, "asleep")

    def wake(self, index: int) -> None:
        """The lid is opened; the node goes on with what it had in memory."""
        self.asleep.discard(index)
        self.do(index, Wake())

    def part(self, *groups: Iterable[int]) -> None:
        """Computers of different groups don't reach each other; without groups all do."""
        self._parts = [frozenset(group) for group in groups]
        for computer in self.computers:
            for link, (other, _) in list(computer.links.items()):
                if not self._reaches(computer.index, other):
                    self._cut(computer.index, link, "partition")

    def _reaches(self, one: int, other: int) -> bool:
        if one in self.asleep or other in self.asleep or self[other].node is None:
            return False
        return not self._parts or any(one in part and other in part for part in self._parts)

    # --- steps ------------------------------------------------------------------------------------------

    def do(self, index: int, what: Input) -> tuple[Effect, ...]:
        """One step of one node, carried out."""
        computer = self[index]
        if computer.node is None or index in self.asleep:
            return ()
        was = computer.node.home.standing
        effects = self._stepped(computer, computer.node, what)
        declared_change(was, computer.node.home.standing)
        if computer.crash_before is not None and computer.crash_before(effects):
            computer.crash_before = None
            self.kill(index)
            return ()
        for effect in effects:
            if isinstance(effect, Persist):
                assert effect is effects[0], "Persist comes first"
                for change in effect.changes:
                    if change.value is None:
                        computer.disk.pop((change.table, change.key), None)
                    else:
                        computer.disk[change.table, change.key] = change.value
        if computer.crash_after is not None and computer.crash_after(effects):
            computer.crash_after = None
            self.kill(index)
            return ()
        for effect in effects:
            self._carry_out(computer, effect)
        record = computer.node.home.record
        if record is not None:
            self.records[record.subnet, record.term] = record
        self._set_alarm(computer)
        return effects

    def _stepped(self, computer: Computer, node: Node, what: Input) -> tuple[Effect, ...]:
        return node.step(what, self.now + computer.offset)

    def _carry_out(self, computer: Computer, effect: Effect) -> None:
        if isinstance(effect, SendFrame):
            computer.sent.append((self.now, effect.data))
            if effect.link in computer.links:
                self._at(LATENCY, partial(self._arrive, computer.index, effect.link, effect.data))
        elif isinstance(effect, Dial):
            self._at(LATENCY, partial(self._dialled, computer.index, effect.node_id))
        elif isinstance(effect, CloseLink):
            if effect.link in computer.links:
                self._cut(computer.index, effect.link, effect.reason)
        elif isinstance(effect, Report):
            computer.reports.append(effect)
        elif isinstance(effect, Deliver):
            computer.delivered.append(effect)
        elif isinstance(effect, Progress):
            computer.progress.append(effect)
        elif isinstance(effect, Signalled):
            computer.signals.append(effect)
        elif isinstance(effect, Invited):
            computer.invitations.append(effect.invitation)

    def _at(self, delay: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, action))

    def _set_alarm(self, computer: Computer) -> None:
        deadline = computer.running.next_deadline()
        if deadline is not None:
            self._at(
                max(0, deadline - self.now - computer.offset), partial(self._alarm, computer, computer.node)
            )

    def _alarm(self, computer: Computer, node: Node | None) -> None:
        if computer.node is node and node is not None:
            deadline = node.next_deadline()
            if deadline is not None and deadline <= self.now + computer.offset:
                self.do(computer.index, Wake())

    def dial(self, index: int, other: int) -> None:
        """One computer links to another, whatever its node wants."""
        self._dialled(index, self[other].id)

    def _dialled(self, index: int, node: bytes) -> None:
        other = self.by_id.get(node)
        if other is None or not self._reaches(index, other.index):
            self.do(index, DialFailed(node))
            return
        self._links += 2
        link, back = self._links, self._links + 1
        self[index].links[link] = (other.index, back)
        other.links[back] = (index, link)
        theirs = other.running.descriptor
        self.do(other.index, LinkUp(back, self[index].running.descriptor, initiated=False))
        self.do(index, LinkUp(link, theirs, initiated=True))
        for end, number, apart in ((other, back, self[index]), (self[index], link, other)):
            if number in end.links:
                self.do(end.index, ClockMeasured(number, apart.offset - end.offset, 2 * LATENCY))

    def _arrive(self, index: int, link: int, data: bytes) -> None:
        ends = self[index].links.get(link)
        if ends is not None:
            self.do(ends[0], FrameReceived(ends[1], data))

    def _cut(self, index: int, link: int, reason: str) -> None:
        other, back = self[index].links.pop(link)
        self[other].links.pop(back, None)
        self.do(index, LinkDown(link, reason))
        self.do(other, LinkDown(back, reason))

    # --- time -------------------------------------------------------------------------------------------

    def run(self, milliseconds: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, at most so long; stops early when ``until`` holds.  Says whether it does."""
        end, look = self.now + milliseconds, self.now
        while self._events and self._events[0][0] <= end:
            if until is not None and self.now >= look:
                if until():
                    return True
                look = self.now + self.timing.slot_ms // 3
            when, _, action = heapq.heappop(self._events)
            self.now = max(self.now, when)
            action()
        self.now = end
        return until is None or until()

    def slots(self, count: int, until: Callable[[], bool] | None = None) -> bool:
        """The same in slots."""
        return self.run(count * self.timing.slot_ms, until)

    def slot_start(self, subnet: bytes, term: int, slot: int) -> int:
        """When a slot of a vote began."""
        record = self.records[subnet, term]
        return record.start + slot * record.slot_ms

    def leader(self, header: BlockHeader) -> bytes:
        """Who proposed a block."""
        return Roles(self.records[header.subnet, header.term]).leader(header.slot)

    # --- what to look at --------------------------------------------------------------------------------

    def homes(self, members: Collection[int] | None = None) -> dict[bytes, list[int]]:
        """Who is a member of which subnet."""
        found: dict[bytes, list[int]] = {}
        for computer in self.computers:
            if computer.node is None or (members is not None and computer.index not in members):
                continue
            home = computer.node.home
            if home.is_member and home.record is not None:
                found.setdefault(home.record.subnet, []).append(computer.index)
        return found

    def send(self, sender: int, recipient: int, content: bytes, ttl: int = 3_600_000) -> int:
        """Send a message; returns its handle."""
        handle = self[sender].running.next_handle
        self.do(sender, SendMessage(handle, self[recipient].id, content, ttl))
        return handle

    def shown(self, index: int) -> list[bytes]:
        """The contents of the messages that a node showed as new."""
        return [delivered.content for delivered in self[index].delivered if not delivered.again]
