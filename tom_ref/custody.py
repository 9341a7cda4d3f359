"""Messages kept for absent recipients, and the receipts that take their place (*Purge*).

A copy never moves: it goes for a verified receipt or at its expiry, for nothing else (TOM-PURGE-017).  The
receipt is the tombstone: it replaces the copy in one transaction, answers every offer of the message, and is
erased at the end of retention.  Its sender keeps the receipt of an own message here, too.

This slice decides and keeps; whom a node is linked to it is told by :class:`Reach`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from attrs import define, evolve, field, frozen

from tom_ref import codec, constants
from tom_ref.crypto import SigningKey
from tom_ref.draft import Roles
from tom_ref.effects import Event, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import (
    Envelope,
    Header,
    Holding,
    HoldingAnswer,
    HoldingQuery,
    Receipt,
    Stamp,
    TrailReport,
)
from tom_ref.step import Step
from tom_ref.timers import Timer, Timers
from tom_ref.validate import check_receipt, message_id, retention_end, signed_stamp

_ANOTHERS: Final = 2**64 - 1
"""The handle of a message that is not this node's own."""


class Reach(Protocol):
    """The way to other nodes."""

    def tell(self, step: Step, peer: bytes, data: bytes) -> bool:
        """Hand a frame to a linked peer; ``False`` when there is no link."""

    def linked_to(self, peer: bytes) -> bool:
        """Whether there is a link to a peer."""

    def seek(self, step: Step, peer: bytes) -> None:
        """Try to get a link to a peer."""


@define
class Copy:
    """One message in custody."""

    message: bytes
    envelope: Envelope = field(repr=False)
    deposited_by: bytes
    """The neighbour that handed it over."""
    arrived_at: int
    """ms, by this node's clock."""
    named: tuple[bytes, ...]
    """The custodians that the message's own record ranks first (TOM-PURGE-016)."""
    copied: tuple[bytes, ...] = ()
    """Whom this node copied it to."""
    confirmed: set[bytes] = field(factory=set)
    """Who said that it holds a copy."""
    declined: set[bytes] = field(factory=set)
    """Who refused to hold one."""
    asked: set[bytes] = field(factory=set)
    """Who was asked and has not answered."""
    looks: int = 0

    @property
    def header(self) -> Header:
        """The signed header."""
        return self.envelope.header

    @property
    def size(self) -> int:
        """The bytes that count for the quotas."""
        return len(self.envelope.header_bytes) + len(self.envelope.payload)

    @property
    def holders(self) -> tuple[bytes, ...]:
        """Who counts as a holder, this node among them (TOM-PURGE-020)."""
        trail = (stamp.next_hop for stamp in self.envelope.trail)
        found = dict.fromkeys(
            (self.header.sender, *self.named, *trail, *self.copied, *sorted(self.confirmed))
        )
        return tuple(node for node in found if node != self.header.recipient)


@define
class Tombstone:
    """A verified receipt."""

    receipt: bytes
    """The frame."""
    keep_until: int
    handle: int
    untold: tuple[bytes, ...]
    """Holders that it was not sent to yet."""


@frozen
class Kept:
    """What a node holds of one message, for people (``tom purge-audit``)."""

    message: bytes
    holding: Holding
    sender: bytes
    recipient: bytes
    until: int
    """ms: when it is erased at the latest."""
    holders: tuple[bytes, ...]
    """Who else counts as a holder, as far as this node knows."""


@define
class _Share:
    """What is held for one recipient or from one depositor."""

    count: int = 0
    size: int = 0


@define
class Custody:
    """Copies and tombstones by message id, bounded; nothing is ever evicted (TOM-PURGE-015)."""

    own_id: bytes
    signing_key: SigningKey = field(repr=False)
    timers: Timers = field(repr=False)
    reach: Reach = field(repr=False)
    eps: int = constants.EPS
    silence: int = constants.CUSTODY_SILENCE
    """ms: out of reach for this long is silent."""
    _copies: dict[bytes, Copy] = field(factory=dict, repr=False)
    _tombstones: dict[bytes, Tombstone] = field(factory=dict, repr=False)
    _own: dict[int, bytes] = field(factory=dict)
    """Own messages that were delivered, by handle."""
    _shares: dict[tuple[str, bytes], _Share] = field(factory=dict, repr=False)
    _size: int = 0
    _out_of_reach: dict[bytes, int] = field(factory=dict)
    """Since when, ms, there is no link to a holder."""
    _expected: dict[tuple[bytes, bytes], None] = field(factory=dict, repr=False)
    """Messages and the neighbours that asked about them: what follows is for custody."""

    # --- disk -------------------------------------------------------------------------------------------

    def restore_copy(self, message: bytes, record: bytes) -> None:
        """Take a stored copy back; raises ``ProtocolError`` when it is corrupt."""
        stored = codec.CUSTODY.decode(record)
        envelope = codec.decode_envelope(stored.envelope)
        if message_id(envelope.header_bytes) != message:
            raise ProtocolError(Reason.BAD_VALUE, "a stored copy of another message")
        named, copied = codec.nodes(stored.named), codec.nodes(stored.copied)
        self._insert(Copy(message, envelope, stored.deposited_by, stored.arrived_at, named, copied))

    def restore_tombstone(self, message: bytes, record: bytes) -> None:
        """Take a stored receipt back; raises ``ProtocolError`` when it is corrupt."""
        stored = codec.TOMBSTONE.decode(record)
        codec.decode_receipt(stored.receipt)
        self._bury(
            message, Tombstone(stored.receipt, stored.keep_until, stored.handle, codec.nodes(stored.untold))
        )

    def _store_copy(self, step: Step, copy: Copy) -> None:
        envelope = codec.encode_envelope(copy.envelope)
        step.put(
            Table.CUSTODY,
            copy.message,
            codec.CUSTODY.encode(
                deposited_by=copy.deposited_by,
                arrived_at=copy.arrived_at,
                named_count=len(copy.named),
                named=codec.holders(copy.named),
                copied_count=len(copy.copied),
                copied=codec.holders(copy.copied),
                length=len(envelope),
                envelope=envelope,
            ),
        )

    def _store_tombstone(self, step: Step, message: bytes, tombstone: Tombstone) -> None:
        step.put(
            Table.TOMBSTONE,
            message,
            codec.TOMBSTONE.encode(
                keep_until=tombstone.keep_until,
                handle=tombstone.handle,
                untold_count=len(tombstone.untold),
                untold=codec.holders(tombstone.untold),
                length=len(tombstone.receipt),
                receipt=tombstone.receipt,
            ),
        )

    # --- what is held -----------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether there is no room for another receipt, so that nothing new may begin."""
        return len(self._copies) + len(self._tombstones) >= constants.MAX_TOMBSTONES

    def holds(self, message: bytes) -> bool:
        """Whether a copy is in custody here."""
        return message in self._copies

    def known_receipt(self, message: bytes) -> bytes | None:
        """The receipt frame for a message, once it was verified."""
        tombstone = self._tombstones.get(message)
        return None if tombstone is None else tombstone.receipt

    def own_receipt(self, handle: int) -> bytes | None:
        """The receipt frame of an own message."""
        message = self._own.get(handle)
        return None if message is None else self._tombstones[message].receipt

    @property
    def last_own(self) -> int:
        """The highest handle of an own message whose receipt is kept; -1 for none."""
        return max(self._own, default=-1)

    def kept(self) -> tuple[Kept, ...]:
        """Everything held, by message id: to be looked at."""
        copies = [
            Kept(
                copy.message,
                Holding.COPY,
                copy.header.sender,
                copy.header.recipient,
                copy.header.expires_at,
                copy.holders,
            )
            for copy in self._copies.values()
        ]
        tombstones = []
        for message, tombstone in self._tombstones.items():
            receipt = codec.decode_receipt(tombstone.receipt)
            tombstones.append(
                Kept(
                    message,
                    Holding.RECEIPT,
                    receipt.sender,
                    receipt.recipient,
                    tombstone.keep_until,
                    tombstone.untold,
                )
            )
        return tuple(sorted((*copies, *tombstones), key=lambda kept: kept.message))

    def _insert(self, copy: Copy) -> None:
        self._copies[copy.message] = copy
        self._size += copy.size
        for share in self._shares_of(copy.header.recipient, copy.deposited_by):
            share.count += 1
            share.size += copy.size
        self.timers.set(Timer.CUSTODY_EXPIRY, copy.message, copy.header.expires_at)

    def _shares_of(self, recipient: bytes, depositor: bytes) -> tuple[_Share, _Share]:
        shares = self._shares
        return (
            shares.setdefault(("recipient", recipient), _Share()),
            shares.setdefault(("depositor", depositor), _Share()),
        )

    def _remove(self, step: Step, copy: Copy, why: str) -> None:
        """Erase a copy with everything that refers to it (TOM-PURGE-038)."""
        del self._copies[copy.message]
        self._size -= copy.size
        for kind, node in (("recipient", copy.header.recipient), ("depositor", copy.deposited_by)):
            share = self._shares[kind, node]
            share.count -= 1
            share.size -= copy.size
            if not share.count:
                del self._shares[kind, node]
        if not self._copies:
            self._out_of_reach.clear()
        step.erase(Table.CUSTODY, copy.message)
        for timer in (Timer.CUSTODY, Timer.CUSTODY_EXPIRY):
            self.timers.cancel(timer, copy.message)
        step.report(Event.PURGED, copy.header.recipient, copy.message, why)

    # --- taking -----------------------------------------------------------------------------------------

    def check_room(self, header: Header, size: int, depositor: bytes) -> None:
        """Refuse rather than evict: ``overloaded`` beyond any bound (TOM-PURGE-015, 044)."""
        shares = {
            kind: self._shares.get((kind, node), _Share())
            for kind, node in (("recipient", header.recipient), ("depositor", depositor))
        }
        check_bounds(
            len(self._tombstones),
            (len(self._copies), self._size),
            {kind: (share.count, share.size) for kind, share in shares.items()},
            size,
        )

    def expects(self, message: bytes, peer: bytes) -> bool:
        """Whether a neighbour asked about a message before it handed it over (TOM-PURGE-014)."""
        return (message, peer) in self._expected

    def take(
        self, step: Step, message: bytes, envelope: Envelope, depositor: bytes, named: tuple[bytes, ...]
    ) -> None:
        """Take custody of a verified envelope, or say again that it is held (TOM-PURGE-014).

        The acknowledgement is a trail report with the trail as it came.  Raises ``ProtocolError``:
        ``path_too_long`` for what could never be handed on, ``overloaded``.
        """
        self._expected.pop((message, depositor), None)
        held = self._copies.get(message)
        if held is None:
            if len(envelope.trail) >= envelope.header.hop_limit:
                raise ProtocolError(Reason.PATH_TOO_LONG, f"{len(envelope.trail)} stamps")
            held = Copy(message, envelope, depositor, step.now, named)
            self.check_room(envelope.header, held.size, depositor)
            self._insert(held)
            self._store_copy(step, held)
            self.timers.set(Timer.CUSTODY, message, step.now)
            step.report(Event.KEPT, depositor, message, f"{held.size} bytes")
        else:
            held.confirmed.add(depositor)
        self.reach.tell(step, depositor, codec.encode_frame(TrailReport(message, envelope.trail)))

    # --- offering and copying ---------------------------------------------------------------------------

    def start(self, step: Step) -> None:
        """Offer every copy again after a start, and go on telling receipts (TOM-PURGE-021)."""
        for message in self._copies:
            self.timers.set(Timer.CUSTODY, message, step.now)

    def link_up(self, step: Step, peer: bytes) -> None:
        """A node is back: tell it the receipts it lacks, then ask about the copies (TOM-PURGE-021, 027)."""
        self._out_of_reach.pop(peer, None)
        for message, tombstone in list(self._tombstones.items()):
            if peer in tombstone.untold:
                self._tell(step, message, tombstone)
        for copy in self._copies.values():
            copy.declined.discard(peer)
            if peer == copy.header.recipient or peer in copy.holders:
                self._ask(step, copy, peer)

    def link_down(self, step: Step, peer: bytes) -> None:
        """A node is out of reach."""
        for copy in self._copies.values():
            copy.asked.discard(peer)
            if peer in copy.holders:
                self._out_of_reach.setdefault(peer, step.now)

    def ask(self, step: Step, message: bytes, peer: bytes) -> bool:
        """Ask a linked node what it holds of a message."""
        return self.reach.tell(step, peer, codec.encode_frame(HoldingQuery(message)))

    def silent(self, peer: bytes, now: int) -> bool:
        """Whether a node has been out of reach for long; the first question begins the count."""
        if peer == self.own_id or self.reach.linked_to(peer):
            self._out_of_reach.pop(peer, None)
            return False
        return now - self._out_of_reach.setdefault(peer, now) >= self.silence

    def look(self, step: Step, message: bytes, roles: Roles | None) -> None:
        """Offer a copy, hold it against the other holders, copy it on when one is silent (TOM-PURGE-019).

        ``roles`` are those of the present record.  The next look follows after a pause that doubles.
        """
        copy = self._copies[message]
        pause = min(constants.RETRY_FIRST << min(copy.looks, 16), constants.RETRY_MAX, self.silence)
        copy.looks += 1
        self.timers.set(Timer.CUSTODY, message, step.now + pause)
        self._approach(step, copy, copy.header.recipient)
        trail = {stamp.next_hop for stamp in copy.envelope.trail}
        known = {*trail, *copy.copied, *copy.confirmed, *copy.declined}
        for peer in copy.named:
            if peer not in known:
                self._approach(step, copy, peer)
        if roles is not None:
            for peer in self.wanted(copy, roles, step.now):
                self._approach(step, copy, peer)

    def wanted(self, copy: Copy, roles: Roles, now: int) -> tuple[bytes, ...]:
        """The next rank, when too few holders answer: by the draft of the present record (TOM-PURGE-019).

        Three while none of them is linked, so that one can be.
        """
        holders = copy.holders
        answering = [peer for peer in holders if peer not in copy.declined and not self.silent(peer, now)]
        if len(answering) > roles.record.custody or len(copy.copied) >= constants.MAX_HOLDERS:
            return ()
        return next_ranks(roles, copy.header, (*holders, *copy.declined), self.reach.linked_to)

    def _approach(self, step: Step, copy: Copy, peer: bytes) -> None:
        if self.reach.linked_to(peer):
            self._ask(step, copy, peer)
        else:
            self.reach.seek(step, peer)

    def _ask(self, step: Step, copy: Copy, peer: bytes) -> None:
        """Ask before the payload is sent: it may hold it, or a receipt (TOM-PURGE-045)."""
        self.ask(step, copy.message, peer)
        copy.asked.add(peer)

    def holding(
        self, message: bytes, peer: bytes, otherwise: tuple[Holding, int] | None
    ) -> tuple[Holding, int]:
        """What is held of a message and until when, as far as it is ``peer``'s business (TOM-PURGE-047).

        ``otherwise`` is what the other parts of the node have of it.  A receipt is said to anybody; a copy
        only to the ends and the holders of the message.
        """
        tombstone, copy = self._tombstones.get(message), self._copies.get(message)
        if tombstone is not None:
            return Holding.RECEIPT, tombstone.keep_until
        if copy is not None and (peer in {copy.header.recipient, *copy.holders} or peer in copy.asked):
            return Holding.COPY, copy.header.expires_at
        return (Holding.NOTHING, 0) if otherwise is None else otherwise

    def answer(
        self, step: Step, peer: bytes, link: int, message: bytes, otherwise: tuple[Holding, int] | None
    ) -> None:
        """Answer what is held here of a message; a receipt goes before the answer (TOM-PURGE-045)."""
        tombstone = self._tombstones.get(message)
        if tombstone is not None:
            step.send(link, tombstone.receipt)
            self._told(step, message, tombstone, peer)
        holding, until = self.holding(message, peer, otherwise)
        if holding is Holding.NOTHING:
            if len(self._expected) >= constants.MAX_CUSTODY:
                self._expected.pop(next(iter(self._expected)))
            self._expected[message, peer] = None
        step.send(link, codec.encode_frame(HoldingAnswer(message, holding, until)))

    def answered(self, step: Step, peer: bytes, link: int, answer: HoldingAnswer) -> None:
        """A node that was asked has answered: hand it the copy if it has nothing."""
        copy = self._copies.get(answer.message_id)
        if copy is None or peer not in copy.asked:
            return
        copy.asked.discard(peer)
        if answer.holding is Holding.COPY:
            copy.confirmed.add(peer)
        elif answer.holding is Holding.PASSAGE:
            copy.declined.add(peer)
        elif answer.holding is Holding.NOTHING and peer != copy.header.sender:
            self._hand_over(step, copy, peer, link)

    def _hand_over(self, step: Step, copy: Copy, peer: bytes, link: int) -> None:
        envelope = copy.envelope
        if peer in {stamp.next_hop for stamp in envelope.trail}:
            return  # A trail that names a node twice is refused; it was handed the message before.
        if peer != copy.header.recipient and peer not in copy.copied:
            if len(copy.copied) >= constants.MAX_HOLDERS:
                return
            copy.copied = (*copy.copied, peer)
            self._store_copy(step, copy)
        signed = signed_stamp(copy.message, envelope.trail[-1], copy.arrived_at, peer)
        stamp = Stamp(copy.arrived_at, peer, self.signing_key.sign(signed))
        step.send(link, codec.encode_envelope(evolve(envelope, trail=(*envelope.trail, stamp))))
        step.report(Event.COPIED, peer, copy.message)

    def refused(self, step: Step, message: bytes, peer: bytes) -> Copy | None:
        """A node did not take a copy; returns the copy if that was its recipient."""
        copy = self._copies.get(message)
        if copy is None:
            return None
        if peer == copy.header.recipient:
            return copy
        if peer in copy.copied:
            copy.copied = tuple(node for node in copy.copied if node != peer)
            copy.declined.add(peer)
            self._store_copy(step, copy)
            self.timers.set(Timer.CUSTODY, message, step.now)
        return None

    def acknowledged(self, message: bytes, peer: bytes) -> bytes | None:
        """A node reports that it keeps a copy from here; returns who deposited it, to be told as well."""
        copy = self._copies.get(message)
        if copy is None or peer not in copy.copied:
            return None
        copy.confirmed.add(peer)
        return copy.deposited_by

    # --- receipts ---------------------------------------------------------------------------------------

    def receipt(self, step: Step, receipt: Receipt, data: bytes) -> Envelope | None:
        """Verify a receipt for a copy, and put it in its place (TOM-PURGE-022 to 027).

        Returns the envelope whose copy was erased; ``None`` when this node holds none, and nothing changed.
        Raises ``ProtocolError`` for a receipt that fails.
        """
        copy = self._copies.get(receipt.message_id)
        if copy is None:
            return None
        check_receipt(receipt, copy.header, receipt.message_id)
        step.report(Event.RECEIPT_VERIFIED, receipt.recipient, receipt.message_id)
        self._remove(step, copy, "receipt")
        self.bury(step, copy.header, data, copy.holders)
        return copy.envelope

    def bury(
        self, step: Step, header: Header, receipt: bytes, holders: Iterable[bytes], handle: int = _ANOTHERS
    ) -> None:
        """Keep a verified receipt until the end of retention, and send it to the other holders."""
        message = codec.decode_receipt(receipt).message_id
        untold = tuple(node for node in dict.fromkeys(holders) if node != self.own_id)
        keep_until = retention_end(header.created_at, header.ttl, self.eps)
        tombstone = Tombstone(receipt, keep_until, handle, untold)
        self._bury(message, tombstone)
        self._store_tombstone(step, message, tombstone)
        self._tell(step, message, tombstone)

    def _bury(self, message: bytes, tombstone: Tombstone) -> None:
        self._tombstones[message] = tombstone
        if tombstone.handle != _ANOTHERS:
            self._own[tombstone.handle] = message
        self.timers.set(Timer.TOMBSTONE_EXPIRY, message, tombstone.keep_until)

    def _tell(self, step: Step, message: bytes, tombstone: Tombstone) -> None:
        for peer in tombstone.untold:
            if self.reach.tell(step, peer, tombstone.receipt):
                self._told(step, message, tombstone, peer)

    def _told(self, step: Step, message: bytes, tombstone: Tombstone, peer: bytes) -> None:
        if peer in tombstone.untold:
            tombstone.untold = tuple(node for node in tombstone.untold if node != peer)
            self._store_tombstone(step, message, tombstone)

    # --- erasure ----------------------------------------------------------------------------------------

    def expire(self, step: Step, message: bytes) -> None:
        """The expiry is reached: erase the copy (TOM-PURGE-034)."""
        self._remove(step, self._copies[message], "expiry")

    def forget(self, step: Step, message: bytes) -> None:
        """The end of retention is reached: erase the receipt (TOM-PURGE-035)."""
        self._own.pop(self._tombstones.pop(message).handle, None)
        step.erase(Table.TOMBSTONE, message)


def check_bounds(
    receipts: int, copies: tuple[int, int], shares: Mapping[str, tuple[int, int]], size: int
) -> None:
    """Whether one more copy of ``size`` bytes fits; ``copies`` and ``shares`` are counts and bytes.

    Raises ``ProtocolError`` (``overloaded``): nothing ever makes room (TOM-PURGE-015, 044).
    """
    count, total = copies
    if (
        receipts + count >= constants.MAX_TOMBSTONES
        or count >= constants.MAX_CUSTODY
        or total + size > constants.MAX_CUSTODY_BYTES
    ):
        raise ProtocolError(Reason.OVERLOADED, "no room for another copy")
    for kind, (held, held_size) in shares.items():
        if held >= constants.MAX_CUSTODY_SHARE or held_size + size > constants.MAX_CUSTODY_SHARE_BYTES:
            raise ProtocolError(Reason.OVERLOADED, f"too much is kept for this {kind}")


def first_ranks(roles: Roles, header: Header) -> tuple[bytes, ...]:
    """The custodians of a message by the roles of its own record (TOM-PURGE-016)."""
    return roles.duty(header.sender, header.recipient)[: roles.record.custody]


def next_ranks(
    roles: Roles, header: Header, holders: Iterable[bytes], linked: Callable[[bytes], bool], most: int = 3
) -> tuple[bytes, ...]:
    """The next rank that holds no copy: the best that is linked, or some to be linked (TOM-PURGE-019)."""
    taken = frozenset(holders)
    order = [node for node in roles.duty(header.sender, header.recipient) if node not in taken]
    for node in order:
        if linked(node):
            return (node,)
    return tuple(order[:most])
