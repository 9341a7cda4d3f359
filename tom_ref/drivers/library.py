"""ToM for applications: open a node, send, receive.

.. code-block:: python

    async with tom_ref.open_node("alice.tom", join="tom:…") as node:
        delivery = await node.send("tom1…", b"hello")
        receipt = await delivery.delivered()

        async for message in node:
            print(message.sender, message.content)

The first node of a subnet is opened with ``found=True`` and a place to listen at, and gives invitations
out with ``await node.invite()``.  Whoever has joined once stays: ``join`` is taken only by a node
without a home.  No node is told who relays; the subnet drafts its relays itself.

What an application can rely on
-------------------------------

- **Taken or not.**  ``send`` returns once the message is safely stored; it will be delivered or expire,
  whatever crashes.  When ``send`` raises, cancellation included, the message was not taken.
- **Shown once.**  A message is shown as new at most once.  Until it is acknowledged it is shown again after a
  restart, marked ``again``.  ``async for`` acknowledges a message when the loop comes back for the next one;
  leaving the loop early leaves the last message unacknowledged unless ``message.acknowledge()`` was called.
- **Delivered means receipted.**  ``delivered()`` returns the recipient's signed receipt, verified, and raises
  :class:`NotDelivered` when none was seen before the message expired.
- **Cancellation is safe everywhere.**  A cancelled ``async for`` loses nothing.
- If the node can't go on (a full disk, for instance), the block is left with :class:`NodeStoppedError`.

Times are ms since the Unix epoch, durations ms.  Everything here belongs to one trio run.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

import trio
from attrs import evolve

from tom_ref.bech32m import node_id_to_text
from tom_ref.constants import DEFAULT_TTL, EPS, INVITATION_VALIDITY, KEY_BYTES, MAX_PENDING
from tom_ref.crypto import Secret32
from tom_ref.drivers import secret_file
from tom_ref.drivers.connection import Connection
from tom_ref.drivers.control import serve, socket_path
from tom_ref.drivers.errors import (
    AddressError,
    ClockError,
    NodeStoppedError,
    NoRoomError,
    NotDelivered,
    StoreCorruptError,
    UnreachableError,
)
from tom_ref.drivers.runner import Runner, Trace
from tom_ref.drivers.store import Store
from tom_ref.drivers.system import SystemClock, system_entropy
from tom_ref.drivers.tcp import (
    TcpTransport,
    format_host_port,
    format_peer,
    parse_host_port,
    parse_node_id,
    parse_peer,
)
from tom_ref.effects import Deliver, DeliveryState, Event, Held, Invited, Progress, Report
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import NO_NODE, Address, Receipt, Transport
from tom_ref.home import HomeStatus
from tom_ref.identity import Identity, new_secret
from tom_ref.inputs import (
    Acknowledge,
    AddPeer,
    AskHolding,
    CommandError,
    Found,
    JoinSubnet,
    LeaveSubnet,
    MakeInvitation,
    Route,
    SendMessage,
    SetAddresses,
    Taken,
)
from tom_ref.invitation import invitation_from_text, invitation_to_text
from tom_ref.node import Node, subnet_id
from tom_ref.states import Standing
from tom_ref.timing import Timing

DEFAULT_SUBNET: Final = "ToM"
"""The name of the subnet that a node belongs to when none is given."""

STORE_SUFFIX: Final = "-store"
"""The store of the node with the secret file ``alice.tom`` is ``alice.tom-store``, beside it."""

SHUTDOWN_TIME: Final = 2.0
"""s: how long a node that is closed tries to write and send what is finished already."""

MAX_JOURNEY: Final = 512
"""count: the most steps of one message's journey that are kept."""

HOLDING_WAIT: Final = 3_000
"""ms: how long a question about what is held waits for answers where nothing else is said."""

MAX_HOLDINGS: Final = 1_024
"""count: the most answers to questions about what is held that are kept."""

MAX_UNREAD_REPORTS: Final = 65_536
"""count: a reader of reports that is this far behind loses the oldest ones."""

NodeName: TypeAlias = bytes | str
"""A node: its 32-byte id or the text ``tom1…``."""

_ROUTES: Final = {"relay": Route.RELAY_FIRST, "direct": Route.DIRECT_FIRST}
_BEFORE_SENT: Final = {Event.ENCRYPTED, Event.HANDED_OVER}
_AT_HOME: Final = {Event.FOUNDED, Event.GUEST, Event.ADMITTED, Event.LEFT_OUT, Event.RECORD}


def _node_id(name: NodeName) -> bytes:
    if isinstance(name, str):
        return parse_node_id(name)
    if len(name) != KEY_BYTES:
        raise ValueError(f"a node id has {KEY_BYTES} bytes")
    return name


class _Signal:
    """Wakes everybody who waits for a change."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def fire(self) -> None:
        self._event.set()
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()


class Message:
    """A message that arrived."""

    def __init__(self, what: Deliver, node: OpenNode) -> None:
        self._node = node
        self.id: Final = what.message_id
        """32 bytes; the same when the message is shown again."""
        self.sender_id: Final = what.sender
        """The sender's NodeId, 32 bytes."""
        self.content: Final = what.content
        """What the sender gave to ``send``."""
        self.created_at: Final = what.created_at
        """When it was sent, ms, by the sender's clock."""
        self.received_at: Final = what.received_at
        """When it arrived, ms."""
        self.again: Final = what.again
        """True after a restart: it may have been shown before."""
        self.acknowledged = False
        """Whether the application is done with it."""
        self._relay = what.relay
        self._what = what

    def _again(self) -> Deliver:
        return evolve(self._what, again=True)

    @property
    def sender(self) -> str:
        """The sender as text, ``tom1…``."""
        return node_id_to_text(self.sender_id)

    @property
    def relay(self) -> str | None:
        """The node that brought it, as text; ``None`` when that was the sender itself."""
        return None if self._relay == NO_NODE else node_id_to_text(self._relay)

    def acknowledge(self) -> None:
        """Say that the application is done with the message: it is erased and not shown again.

        Doing so twice is harmless.  Raises :class:`NodeStoppedError` when the node was closed.
        """
        if not self.acknowledged:
            self._node._feed_acknowledge(self.id)  # noqa: SLF001 - one module
            self.acknowledged = True

    def __repr__(self) -> str:
        return f"Message(id={self.id.hex()[:16]}…, sender={self.sender}, {len(self.content)} bytes)"


class Messages:
    """The messages of a node, one after another; see ``async for message in node``."""

    def __init__(self, node: OpenNode) -> None:
        self._node = node
        self._last: Message | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self._last is not None:
            self._last.acknowledge()
            self._last = None
        self._last = await self._node._next_message()  # noqa: SLF001 - one module
        return self._last


class Delivery:
    """A message of this node's own on its way."""

    def __init__(self, handle: int, recipient: bytes) -> None:
        self._handle = handle
        self._recipient = recipient
        self._stored = False
        self._signal = _Signal()
        self._stopped: NodeStoppedError | None = None
        self._steps: list[Progress | Report] = []
        self.state = DeliveryState.PENDING
        """Where the message is; it only ever rises."""
        self.id: bytes | None = None
        """The 32-byte message id, once the message is encrypted."""
        self.receipt: Receipt | None = None
        """The recipient's receipt, once it is delivered."""

    @property
    def recipient(self) -> str:
        """The recipient as text, ``tom1…``."""
        return node_id_to_text(self._recipient)

    @property
    def finished(self) -> bool:
        """Whether it is delivered or expired."""
        return self.state >= DeliveryState.DELIVERED

    async def wait(self, state: DeliveryState = DeliveryState.DELIVERED) -> DeliveryState:
        """Wait until the message has come to ``state`` or further, and say where it is then.

        Raises :class:`NotDelivered` when it expired and ``state`` is another, and :class:`NodeStoppedError`
        when the node is closed before; opened again, the node goes on with the message.
        """
        await trio.lowlevel.checkpoint()
        while not self.finished and (self.state < state or not self._stored):
            if self._stopped is not None:
                raise self._stopped
            await self._signal.wait()
        if self.state is DeliveryState.EXPIRED and state is not DeliveryState.EXPIRED:
            raise NotDelivered(f"No receipt from {self.recipient} was seen before the message expired.")
        return self.state

    async def delivered(self) -> Receipt:
        """Wait for the recipient's verified receipt; raises as :meth:`wait` does."""
        await self.wait(DeliveryState.DELIVERED)
        assert self.receipt is not None
        return self.receipt

    def journey(self) -> Journey:
        """``async for`` over every step of the message, from its first, until it is delivered or expired.

        A step is a :class:`~tom_ref.effects.Progress` or a :class:`~tom_ref.effects.Report`.
        """
        return Journey(self)

    def __repr__(self) -> str:
        name = "not encrypted yet" if self.id is None else f"{self.id.hex()[:16]}…"
        return f"Delivery({name}, {self.state.name.lower()})"

    # --- from the node --------------------------------------------------------------------------------

    def _progressed(self, what: Progress, earlier: list[Report]) -> None:
        self._stored = True
        if what.message_id is not None:
            self.id = what.message_id
        self._steps.extend(earlier)
        self._steps.append(what)
        self.state = max(self.state, what.state)
        if what.receipt is not None:
            self.receipt = what.receipt
        self._signal.fire()

    def _reported(self, what: Report) -> None:
        if len(self._steps) < MAX_JOURNEY:
            self._steps.append(what)
            self._signal.fire()

    def _stop(self, error: NodeStoppedError) -> None:
        self._stopped = error
        self._signal.fire()


class Journey:
    """The steps of one message, as they happen; see :meth:`Delivery.journey`."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._position = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Progress | Report:
        delivery = self._delivery
        await trio.lowlevel.checkpoint()
        while self._position >= len(delivery._steps):  # noqa: SLF001 - one module
            if delivery.finished:
                raise StopAsyncIteration
            if delivery._stopped is not None:  # noqa: SLF001 - one module
                raise delivery._stopped  # noqa: SLF001 - one module
            await delivery._signal.wait()  # noqa: SLF001 - one module
        self._position += 1
        return delivery._steps[self._position - 1]  # noqa: SLF001 - one module


class Reports:
    """What a node does, as it happens; see :meth:`OpenNode.reports`.  Ends when the node is closed."""

    def __init__(self) -> None:
        self._unread: deque[Report] = deque(maxlen=MAX_UNREAD_REPORTS)
        self._signal = _Signal()
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Report:
        await trio.lowlevel.checkpoint()
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            await self._signal.wait()
        return self._unread.popleft()

    def _add(self, what: Report) -> None:
        self._unread.append(what)
        self._signal.fire()

    def _end(self) -> None:
        self._ended = True
        self._signal.fire()


class OpenNode:
    """A running node; made by :func:`open_node`."""

    def __init__(self, identity: Identity, ttl: int) -> None:
        self._identity = identity
        self._ttl = ttl
        self._runner: Runner
        self._addresses: tuple[Address, ...] = ()
        self._inbox: deque[Deliver] = deque()
        self._inbox_signal = _Signal()
        self._room_signal = _Signal()
        self._links_signal = _Signal()
        self._home_signal = _Signal()
        self._invitations: deque[Invited] = deque()
        self._holdings: deque[Held] = deque(maxlen=MAX_HOLDINGS)
        self._deliveries: dict[int, Delivery] = {}
        self._verdicts: dict[int, Progress] = {}
        self._by_message: dict[bytes, Delivery] = {}
        self._early: OrderedDict[bytes, list[Report]] = OrderedDict()
        self._readers: weakref.WeakSet[Reports] = weakref.WeakSet()
        self._unreachable: dict[bytes, UnreachableError] = {}
        self._linked: set[bytes] = set()
        self._next_handle = 0

    # --- about the node -------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """This node's NodeId as text, ``tom1…``."""
        return node_id_to_text(self._identity.node_id)

    @property
    def node_id(self) -> bytes:
        """This node's NodeId, 32 bytes."""
        return self._identity.node_id

    @property
    def address(self) -> str | None:
        """How others reach this node, ``tom1…@host:port``; ``None`` when it has no address to name."""
        return format_peer(self.node_id, self._addresses[0]) if self._addresses else None

    @property
    def addresses(self) -> tuple[str, ...]:
        """All such texts."""
        return tuple(format_peer(self.node_id, address) for address in self._addresses)

    @property
    def linked(self) -> frozenset[str]:
        """The nodes this one has a link to, as text."""
        return frozenset(map(node_id_to_text, self._linked))

    @property
    def unreachable(self) -> dict[str, UnreachableError]:
        """The nodes, as text, that could not be reached when last tried, and why.  Dialling goes on."""
        return {node_id_to_text(node): error for node, error in self._unreachable.items()}

    async def wait_linked(self, to: NodeName | None = None) -> None:
        """Wait until there is a link to this node, or to any."""
        wanted = None if to is None else _node_id(to)
        await trio.lowlevel.checkpoint()
        while not (self._linked if wanted is None else wanted in self._linked):
            self._check_running()
            await self._links_signal.wait()

    def add_peer(self, address: str, *, relay: bool = False) -> None:
        """Tell the node that another is reached at ``tom1…@host:port``; it may serve as a relay."""
        node_id, place = parse_peer(address)
        self._runner.feed(AddPeer(node_id, (place,), relay))

    # --- the subnet -----------------------------------------------------------------------------------

    def status(self) -> HomeStatus:
        """What this node is in its home subnet, the present record, and who does what."""
        return self._runner.node.status()

    async def invite(self, *, valid_for: int = INVITATION_VALIDITY) -> str:
        """Make an invitation, good for newcomers for ``valid_for`` ms: the text ``tom:…``.

        Whoever has it can join, so keep it like a key.  Raises ``CommandError``: ``wrong_subnet`` for
        a node that is no member, ``bad_value`` for one that listens nowhere, ``overloaded`` when too many
        invitations are open.
        """
        self._check_running()
        self._runner.feed(MakeInvitation(self._runner.now() + valid_for))
        with trio.CancelScope(shield=True):
            await self._runner.carried_out()
        return invitation_to_text(self._invitations.popleft().invitation)

    def join(self, invitation: str) -> None:
        """Join the subnet of an invitation (``tom:…``): its guest at once, a member with a coming record.

        A node that is there already or on its way looks for the inviter at the invitation's addresses.
        Raises ``ProtocolError`` (``bad_text`` and what else breaks a rule) for a text that is no invitation,
        and ``CommandError``: ``expired``, ``bad_signature``, ``node_mismatch`` for an own one,
        ``wrong_subnet`` for a node that has another home.
        """
        self._check_running()
        self._runner.feed(JoinSubnet(invitation_from_text(invitation.strip())))

    def found(self) -> None:
        """Found a subnet of this node alone; nothing happens for a node that has a home or is joining one."""
        self._check_running()
        if self.status().standing is Standing.NONE:
            self._runner.feed(Found())

    def leave(self) -> None:
        """Ask to be left out of the next record; raises ``CommandError`` for a node without a home."""
        self._check_running()
        self._runner.feed(LeaveSubnet())

    async def wait_home(self, *, member: bool = False) -> HomeStatus:
        """Wait until the node can be reached in its home: as a guest of a member, or as a member itself."""
        wanted = {Standing.MEMBER} if member else {Standing.MEMBER, Standing.GUEST}
        await trio.lowlevel.checkpoint()
        while self.status().standing not in wanted:
            self._check_running()
            await self._home_signal.wait()
        return self.status()

    async def holdings(self, message_id: bytes, *, wait: int = HOLDING_WAIT) -> list[Held]:
        """What this node and its neighbours say that they still have of a message, its own word first.

        Waits until every neighbour has answered, at most ``wait`` ms.  A node tells only the message's two
        ends and those it counts as its holders; to all others it has nothing (TOM-PURGE-047).
        """
        self._check_running()
        self._holdings.clear()
        self._runner.feed(AskHolding(message_id))
        found: dict[bytes, Held] = {}
        with trio.move_on_after(wait / 1000):
            while len(found) <= len(self._linked):
                await trio.sleep(0.01)
                found |= {held.peer: held for held in self._holdings if held.message_id == message_id}
        return sorted(found.values(), key=lambda held: (held.peer != self.node_id, held.peer))

    # --- sending --------------------------------------------------------------------------------------

    async def send(
        self,
        to: NodeName,
        content: bytes,
        *,
        ttl: int | None = None,
        route: Literal["relay", "direct"] = "relay",
    ) -> Delivery:
        """Take a message for delivery; returns once it is safely stored.

        ``content`` has at most 1 MiB; ``ttl`` is its lifetime in ms, at most 24 h; ``route`` names the way
        that is tried first.  Waits while too many messages of this node wait for a receipt.  Whenever it
        raises, cancellation included, the message was **not** taken: ``CommandError`` for one that can't be
        sent (too long, to itself), :class:`AddressError` for a mistyped NodeId.
        """
        command = self._command(to, content, ttl, route)
        await trio.lowlevel.checkpoint_if_cancelled()
        delivery: Delivery | None = None
        while delivery is None:
            await self._runner.room()
            try:
                delivery = self._submit(command)
            except NoRoomError:
                await self._room_signal.wait()
        # From here on the message is taken; storing it takes ms, so it is not abandoned half-way.
        with trio.CancelScope(shield=True):
            await self._runner.carried_out()
        return delivery

    def send_nowait(
        self,
        to: NodeName,
        content: bytes,
        *,
        ttl: int | None = None,
        route: Literal["relay", "direct"] = "relay",
    ) -> Delivery:
        """As :meth:`send`, without waiting: raises :class:`NoRoomError` when there is no room.

        It returns before the message is stored: ``await delivery.wait(DeliveryState.PENDING)`` waits for
        that.
        """
        return self._submit(self._command(to, content, ttl, route))

    @property
    def writable(self) -> bool:
        """Whether :meth:`send_nowait` would take a message of ordinary size."""
        return self._runner.node.writable

    def _command(self, to: NodeName, content: bytes, ttl: int | None, route: str) -> SendMessage:
        if route not in _ROUTES:
            raise ValueError("route is 'relay' or 'direct'")
        if not isinstance(content, bytes):
            raise TypeError("content must be bytes")
        lifetime = self._ttl if ttl is None else ttl
        return SendMessage(0, _node_id(to), content, lifetime, _ROUTES[route])

    def _submit(self, command: SendMessage) -> Delivery:
        self._check_running()
        handle = max(self._next_handle, self._runner.node.next_handle)
        delivery = Delivery(handle, command.recipient)
        self._deliveries[handle] = delivery
        try:
            self._runner.feed(
                SendMessage(handle, command.recipient, command.content, command.ttl, command.route)
            )
        except CommandError as error:
            del self._deliveries[handle]
            if error.reason is Reason.OVERLOADED:
                raise NoRoomError("Too many messages of this node wait for a receipt.") from error
            raise
        self._next_handle = handle + 1
        return delivery

    def verdicts(self) -> list[Progress]:
        """Final states of messages that an earlier run sent, each told once; they are taken by this call.

        A handle counts the messages of this node; ``receipt`` is there as long as it is kept.
        """
        told, self._verdicts = list(self._verdicts.values()), {}
        for what in told:
            self._take(what.handle)
        return told

    # --- receiving ------------------------------------------------------------------------------------

    def __aiter__(self) -> Messages:
        """The messages that arrive, each shown to one reader."""
        return Messages(self)

    async def receive(self) -> Message:
        """The next message; the caller acknowledges it.  A cancelled call has taken none."""
        return await self._next_message()

    async def _next_message(self) -> Message:
        await trio.lowlevel.checkpoint()
        while not self._inbox:
            self._check_running()
            await self._inbox_signal.wait()
        return Message(self._inbox.popleft(), self)

    def put_back(self, message: Message) -> None:
        """Let a message that was taken and not acknowledged be the next one again, marked ``again``."""
        if not message.acknowledged:
            self._inbox.appendleft(message._again())  # noqa: SLF001 - one module
            self._inbox_signal.fire()

    def _feed_acknowledge(self, message: bytes) -> None:
        self._check_running()
        self._runner.feed(Acknowledge(message))

    def reports(self) -> Reports:
        """``async for`` over what the node does from now on (:class:`~tom_ref.effects.Report`)."""
        reader = Reports()
        if self._runner.stopped:
            reader._end()  # noqa: SLF001 - one module
        self._readers.add(reader)
        return reader

    def _check_running(self) -> None:
        if self._runner.stopped:
            raise NodeStoppedError("The node was closed.")

    # --- the runner's Application ---------------------------------------------------------------------

    def delivered(self, what: Deliver) -> None:
        """A message for the application (called by the runner)."""
        self._inbox.append(what)
        self._inbox_signal.fire()

    def progressed(self, what: Progress) -> None:
        """An own message reached a state (called by the runner)."""
        earlier = [] if what.message_id is None else self._early.pop(what.message_id, [])
        delivery = self._deliveries.get(what.handle)
        if what.state >= DeliveryState.DELIVERED and delivery is None:
            self._verdicts[what.handle] = what
        if delivery is None:
            return
        delivery._progressed(what, earlier)  # noqa: SLF001 - one module
        if what.message_id is not None:
            self._by_message[what.message_id] = delivery
        if delivery.finished:
            del self._deliveries[what.handle]
            self._take(what.handle)
            if delivery.id is not None:
                self._by_message.pop(delivery.id, None)

    def _take(self, handle: int) -> None:
        with suppress(NodeStoppedError):
            self._runner.feed(Taken(handle))

    def reported(self, what: Report) -> None:
        """Something happened (called by the runner)."""
        if what.event is Event.LINKED:
            self._linked.add(what.peer)
            self._unreachable.pop(what.peer, None)
            self._links_signal.fire()
        elif what.event is Event.UNLINKED:
            self._linked.discard(what.peer)
            self._links_signal.fire()
        elif what.event in _AT_HOME:
            self._home_signal.fire()
        if what.message_id is not None:
            delivery = self._by_message.get(what.message_id)
            if delivery is not None:
                delivery._reported(what)  # noqa: SLF001 - one module
            elif what.event in _BEFORE_SENT:
                self._early.setdefault(what.message_id, []).append(what)
                if len(self._early) > MAX_PENDING:
                    self._early.popitem(last=False)
        for reader in self._readers:
            reader._add(what)  # noqa: SLF001 - one module

    def drained(self) -> None:
        """There is room again (called by the runner)."""
        self._room_signal.fire()

    def held(self, what: Held) -> None:
        """A node says what it still has of a message (called by the runner)."""
        self._holdings.append(what)

    def invited(self, what: Invited) -> None:
        """An invitation is made (called by the runner)."""
        self._invitations.append(what)

    # --- life -----------------------------------------------------------------------------------------

    def _note_unreachable(self, node_id: bytes, error: UnreachableError) -> None:
        self._unreachable[node_id] = error

    async def _finish(self) -> None:
        """Carry out what is under way, say goodbye to the peers."""
        with trio.move_on_after(SHUTDOWN_TIME):
            with suppress(NodeStoppedError):
                await self._runner.carried_out()
            async with trio.open_nursery() as nursery:
                for channel in self._runner.channels:
                    assert isinstance(channel, Connection)
                    nursery.start_soon(channel.part)

    def _end(self) -> None:
        stopped = NodeStoppedError("The node was closed.")
        for delivery in self._deliveries.values():
            delivery._stop(stopped)  # noqa: SLF001 - one module
        for reader in self._readers:
            reader._end()  # noqa: SLF001 - one module
        for signal in (self._inbox_signal, self._room_signal, self._links_signal, self._home_signal):
            signal.fire()


@asynccontextmanager
async def open_node(
    path: str | os.PathLike[str] | None,
    *,
    passphrase: str | None = None,
    listen: str | None = None,
    announce: Iterable[str] | None = None,
    relays: Iterable[str] = (),
    peers: Iterable[str] = (),
    subnet: bytes | str = DEFAULT_SUBNET,
    ttl: int = DEFAULT_TTL,
    join: str | None = None,
    found: bool = False,
    timing: Timing | None = None,
    control: bool = False,
    trust_clock: bool = False,
    trace: Trace | None = None,
) -> AsyncIterator[OpenNode]:
    """Run a node for as long as the ``async with`` block lasts.

    ``path`` names the secret file, which is made if there is none; the node's records are kept beside it, in
    ``path`` + ``-store``.  ``None`` gives a temporary identity that leaves nothing behind.  ``listen`` is
    ``host:port`` (port 0: any free one); ``announce`` names the ``host:port`` texts at which others reach the
    node, where that is not what it listens at.  ``relays`` and ``peers`` are ``tom1…@host:port``; relays are
    linked to all the time.  ``subnet`` is the name or the 32-byte id to which messages belong while the node
    has no home, ``ttl`` the messages' lifetime in ms where ``send`` names none.  ``join`` is an invitation's
    text (:meth:`OpenNode.join`); with ``found`` a node that has no home then founds one.  ``timing`` is what
    the subnet's nodes agreed on, where it isn't that of ToM/1.  With ``control`` other processes of this
    user can steer the node (:mod:`tom_ref.drivers.control`).  ``trace`` is called with every step (time,
    input, effects).

    Raises :class:`SecretFileError`, ``ProtocolError`` (``identity_in_use``, ``wrong_passphrase``,
    ``bad_secret_file``), :class:`StoreError`, :class:`ListenError`, :class:`AddressError`, and
    :class:`ClockError` when the computer's clock is behind a time at which the node already ran: set it
    right, or use ``trust_clock=True`` if that earlier time was the wrong one.
    """
    listen_at = None if listen is None else parse_host_port(listen)
    announced = None if announce is None else tuple(_announced(text) for text in announce)
    known = [(*parse_peer(text), True) for text in relays] + [(*parse_peer(text), False) for text in peers]
    subnet_bytes = subnet_id(subnet) if isinstance(subnet, str) else subnet
    with ExitStack() as resources:
        secret = await trio.to_thread.run_sync(_load_secret, path, passphrase, resources)
        identity = Identity.from_secret(secret)
        store = await trio.to_thread.run_sync(_open_store, path, identity, resources)
        clock = SystemClock(_floor(store, trust_clock=trust_clock))
        handle = OpenNode(identity, ttl)
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                transport = TcpTransport(
                    identity,
                    system_entropy,
                    nursery,
                    failed=handle._note_unreachable,  # noqa: SLF001
                )
                runner = Runner(
                    _make_node(identity, subnet_bytes, clock, store, timing),
                    store,
                    clock,
                    handle,
                    dial=transport.dial,
                    trace=trace,
                )
                transport.runner = handle._runner = runner  # noqa: SLF001 - one module
                try:
                    await nursery.start(runner.run)
                    if listen_at is not None:
                        listening = await transport.listen(*listen_at)
                        transport.serve(listening)
                        handle._addresses = listening.reachable if announced is None else announced  # noqa: SLF001
                        runner.feed(SetAddresses(handle._addresses))  # noqa: SLF001 - one module
                    for node_id, address, relay in known:
                        runner.feed(AddPeer(node_id, (address,), relay))
                    if control and path is not None:
                        await nursery.start(serve, handle, socket_path(Path(path)))
                    if join is not None:
                        handle.join(join)
                    if found:
                        handle.found()
                    yield handle
                except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery
                    failure = error
                finally:
                    # When the block itself is cancelled, so are the tasks that could carry a goodbye.
                    cancelled = trio.current_effective_deadline() == -math.inf
                    with trio.CancelScope(shield=True):
                        transport.stop_listening()
                        if not cancelled:
                            await handle._finish()  # noqa: SLF001 - one module
                    nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            failure = _the_only_one(group)
        finally:
            handle._end()  # noqa: SLF001 - one module
        if failure is not None:
            raise failure


def _load_secret(
    path: str | os.PathLike[str] | None, passphrase: str | None, resources: ExitStack
) -> Secret32:
    if path is None:
        return new_secret(system_entropy)
    locked, _ = secret_file.load_or_create(path, passphrase, system_entropy)
    return resources.enter_context(locked).secret


def _open_store(path: str | os.PathLike[str] | None, identity: Identity, resources: ExitStack) -> Store:
    beside = None if path is None else Path(path).with_name(Path(path).name + STORE_SUFFIX)
    return resources.enter_context(Store(beside, identity.node_id))


def _floor(store: Store, *, trust_clock: bool) -> int:
    """The time before which the node's clock must not begin; raises :class:`ClockError`."""
    now = SystemClock().now()
    behind = store.last_time - now
    if trust_clock:
        store.reset_time(now)
    elif behind > 2 * EPS:
        ran = datetime.fromtimestamp(store.last_time / 1000, tz=UTC)
        raise ClockError(
            f"This node last ran at {ran:%Y-%m-%d %H:%M:%S} UTC, {behind // 1000} s after what the "
            "computer's clock says now. Set the clock right. If that earlier time was the wrong one, start "
            "the node once with the computer's clock trusted (trust_clock)."
        )
    return store.last_time


def _make_node(
    identity: Identity, subnet: bytes, clock: SystemClock, store: Store, timing: Timing | None
) -> Node:
    try:
        return Node(
            identity,
            subnet=subnet,
            entropy=system_entropy,
            now=clock.now(),
            records=store.load(),
            timing=timing,
        )
    except ProtocolError as error:
        raise StoreCorruptError(
            f"A record in {store!r} is damaged ({error}). Move the store away to begin a new one; messages "
            "that waited in it are lost, the identity is not."
        ) from error


def _announced(text: str) -> Address:
    host, port = parse_host_port(text)
    if port == 0:
        raise AddressError(f"{text!r} is announced to others, so it needs its real port.")
    return Address(Transport.TCP, format_host_port(host, port))


def _the_only_one(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception in a nest of groups of one; the group itself where there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return group if isinstance(error, BaseExceptionGroup) else error
