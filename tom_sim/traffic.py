"""Applications that write to each other, and the promises of delivery.

The names of the promises are those of ``tla/purge`` where there is one: ``AtMostOnce`` (shown as new once,
and never after it was acknowledged), ``DeliveredIffReceipt`` ("delivered" comes with the recipient's valid
receipt, and only for what the recipient stored), ``Authentic`` (what is shown was sent, by this sender, to
this recipient), ``StatesRise``, ``SaidOnce`` (a final state is said once a start), ``ExpiredInTime``,
``KeysOnce`` (no message key encrypts two texts) and ``DeliveredInTime`` (between honest members of one
subnet, once the network is calm).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field

from tom_ref import codec, constants
from tom_ref.crypto import sha256, verify
from tom_ref.effects import Change, Deliver, DeliveryState, Effect, Progress, Table
from tom_ref.errors import ProtocolError
from tom_ref.frames import Envelope
from tom_ref.inputs import Acknowledge, CommandError, Route, SendMessage, Taken
from tom_ref.validate import retention_end, signed_receipt
from tom_sim.promises import Observer, PromiseError
from tom_sim.world import Host, World

TTL: Final = 3_600_000
"""ms: the lifetime of the messages."""

IN_TIME: Final = 180_000
"""ms of calm within which every message between honest members of one subnet arrives, with its receipt at
the sender: time for links to come back, for three relays to be tried, and for liars among them."""

_ENVELOPE: Final = 1


@define
class Sent:
    """A message that an application wanted to send."""

    number: int
    sender: int
    recipient: int
    content: bytes = field(repr=False)
    asked_at: int
    """ms of true time when the application asked."""
    taken: bool = False
    """Whether it was written to the sender's disk."""
    ttl: int = TTL
    """ms"""
    created_at: int = 0
    """ms by the sender's clock."""
    message_id: bytes | None = None
    shown_at: int | None = None
    shown_as_new: int = 0
    acknowledged: bool = False
    state: DeliveryState = DeliveryState.PENDING
    said_in: int = 0
    """In which life of its sender's node the final state was said last; 0 for none."""


class Traffic(Observer):
    """All messages of a run."""

    def __init__(self, world: World, chance: random.Random, eps: int = constants.EPS) -> None:
        self.world = world
        self.eps = eps
        self.clock: Callable[[Host], int] = world.time_of
        """Reads a node's network time."""
        self.sent: list[Sent] = []
        self.open: dict[int, Sent] = {}
        """Messages that have not come to an end, by number."""
        self.latencies: list[int] = []
        """ms from the application's request to the moment the recipient's application saw it."""
        self.delivered = 0
        self.expired = 0
        self.refused = 0
        self._chance = chance
        self._by_content: dict[bytes, Sent] = {}
        self._by_id: dict[bytes, Sent] = {}
        self._handles: dict[tuple[int, int], Sent] = {}
        self._stored: set[bytes] = set()
        self._keys: dict[tuple[bytes, bytes, int], bytes] = {}
        self._checked: set[bytes] = set()

    # --- applications -----------------------------------------------------------------------------------

    def say(self, sender: Host, recipient: Host, *, route: Route = Route.RELAY_FIRST, ttl: int = TTL) -> bool:
        """An application sends a message of random content, for ``ttl`` ms; whether its node took it."""
        if sender.node is None:
            return False
        number = len(self.sent)
        size = self._chance.choice((0, 5, 60, 300, 300, 2_000))
        content = b"%d " % number + self._chance.randbytes(size)
        message = Sent(number, sender.index, recipient.index, content, self.world.now, ttl=ttl)
        message.created_at = self.clock(sender)
        handle = sender.node.next_handle
        self._handles[sender.index, handle] = message
        self._by_content[content] = message
        try:
            self.world.feed(sender, SendMessage(handle, recipient.id, content, ttl, route))
        except CommandError:
            del self._handles[sender.index, handle]
            del self._by_content[content]
            self.refused += 1
            return False
        self.sent.append(message)
        self.open[number] = message
        return True

    def _acknowledge(self, host: Host, incarnation: int, message: bytes) -> None:
        if host.node is None or host.incarnation != incarnation:
            return
        try:
            self.world.feed(host, Acknowledge(message))
        except CommandError as error:
            raise PromiseError("Acknowledged", f"node {host.index} refuses to forget: {error}") from None

    def _take(self, host: Host, incarnation: int, handle: int) -> None:
        if host.node is not None and host.incarnation == incarnation:
            self.world.feed(host, Taken(handle))

    # --- what the world tells -----------------------------------------------------------------------------

    def wrote(self, host: Host, changes: Sequence[Change]) -> None:
        """Messages are taken, stored and forgotten when the disk says so."""
        for change in changes:
            if change.table is Table.PENDING:
                if change.value is not None:
                    message = self._handles.get((host.index, int.from_bytes(change.key, "big")))
                    if message is not None:
                        message.taken = True
            elif change.table is Table.SEEN:
                if change.value is not None:
                    self._stored.add(change.key)
            elif change.table is Table.INBOX and change.value is None and change.key in self._by_id:
                self._by_id[change.key].acknowledged = True

    def crashed(self, host: Host) -> None:
        """What never reached the disk was never taken: its application knows."""
        for message in [
            message for message in self.open.values() if message.sender == host.index and not message.taken
        ]:
            del self.open[message.number]

    def sending(self, host: Host, data: bytes) -> None:
        """No message key may encrypt two texts, whatever crashed in between."""
        if not data or data[0] != _ENVELOPE:
            return
        seen = sha256(data)[:16]
        if seen in self._checked:
            return
        self._checked.add(seen)
        try:
            frame = codec.decode_frame(data)
            if not isinstance(frame, Envelope) or frame.header.sender != host.id:
                return
            message = codec.decode_session_message(frame.payload)
        except ProtocolError:
            return
        key = message.session_id, message.ratchet_key, message.number
        same = self._keys.setdefault(key, frame.payload) == frame.payload
        self._require("KeysOnce", same, f"node {host.index} uses one message key for two messages")

    def effect(self, host: Host, effect: Effect) -> None:
        """Messages are shown, and reach states."""
        if host.liar is not None:
            return
        if isinstance(effect, Deliver):
            self._shown(host, effect)
        elif isinstance(effect, Progress):
            self._progressed(host, effect)

    def _shown(self, host: Host, what: Deliver) -> None:
        message = self._by_content.get(what.content)
        where = f"node {host.index}"
        if message is None:
            raise PromiseError("Authentic", f"{where} shows a message that nobody sent")
        sender = self.world.hosts[message.sender]
        self._require("Authentic", message.taken, f"{where} shows a message that was not taken")
        self._require(
            "Authentic",
            message.recipient == host.index and sender.id == what.sender,
            f"{where} shows message {message.number} as another's",
        )
        self._require(
            "AtMostOnce",
            message.message_id in {None, what.message_id},
            f"{where} shows message {message.number} under two ids",
        )
        self._require(
            "AtMostOnce",
            not message.acknowledged,
            f"{where} shows message {message.number} after it was acknowledged",
        )
        message.message_id = what.message_id
        self._by_id[what.message_id] = message
        if not what.again:
            message.shown_as_new += 1
            self._require(
                "AtMostOnce",
                message.shown_as_new == 1,
                f"{where} shows message {message.number} twice as new",
            )
        if message.shown_at is None:
            message.shown_at = self.world.now
            self.latencies.append(self.world.now - message.asked_at)
        delay = self._chance.choice((0, 1, 500, 5_000))
        self.world.later(delay, self._acknowledge, host, host.incarnation, what.message_id)

    def _progressed(self, host: Host, what: Progress) -> None:
        message = self._handles.get((host.index, what.handle))
        if message is None:
            return
        name = f"message {message.number}"
        self._require(
            "StatesRise",
            what.state >= message.state,
            f"{name} was {message.state.name}, now {what.state.name}",
        )
        message.state = what.state
        if what.state >= DeliveryState.DELIVERED:
            self._require(
                "SaidOnce", message.said_in != host.incarnation, f"{name} comes to an end twice in one life"
            )
            message.said_in = host.incarnation
            self.world.later(0, self._take, host, host.incarnation, what.handle)
        if what.state is DeliveryState.DELIVERED:
            receipt = what.receipt
            if receipt is None:
                raise PromiseError("DeliveredIffReceipt", f"{name} is delivered without a receipt")
            try:
                verify(self.world.hosts[message.recipient].id, signed_receipt(receipt), receipt.signature)
            except ProtocolError as error:
                raise PromiseError("DeliveredIffReceipt", f"{name}: a forged receipt: {error}") from None
            self._require(
                "DeliveredIffReceipt",
                receipt.message_id == what.message_id and receipt.message_id in self._stored,
                f"{name}: a receipt for what the recipient never stored",
            )
            self.delivered += self.open.pop(message.number, None) is not None
        elif what.state is DeliveryState.EXPIRED:
            self._require(
                "ExpiredInTime",
                self.clock(host) >= retention_end(message.created_at, message.ttl, self.eps),
                f"{name} expired before its time",
            )
            self.expired += self.open.pop(message.number, None) is not None

    # --- in time ------------------------------------------------------------------------------------------

    def overdue(self, calm_since: int) -> list[Sent]:
        """Messages that should have arrived: asked for, and the network calm, for so long."""
        latest = self.world.now - IN_TIME
        if calm_since > latest:
            return []
        return [
            message
            for message in self.open.values()
            if message.taken
            and message.asked_at <= latest
            and self.world.now - message.asked_at < message.ttl - IN_TIME
            and all(self.world.hosts[end].node for end in (message.sender, message.recipient))
        ]

    @staticmethod
    def _require(promise: str, holds: bool, what: str) -> None:  # noqa: FBT001 - a condition
        if not holds:
            raise PromiseError(promise, what)
