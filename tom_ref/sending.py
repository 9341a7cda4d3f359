"""Messages of this node's own, from the application's command to a verified receipt or expiry.

States change as :data:`tom_ref.states.MESSAGE` says (TOM-DELIVERY-001).  A message is encrypted
and signed once; every further attempt sends the same bytes with a new first stamp.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from tom_ref import codec, constants
from tom_ref.crypto import SigningKey
from tom_ref.effects import DeliveryState, Drained, Event, Progress, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Envelope, Header, Receipt, Stamp, TrailReport
from tom_ref.inputs import CommandError, Route, SendMessage
from tom_ref.ledger import search_work
from tom_ref.states import MESSAGE, Sign
from tom_ref.step import Step
from tom_ref.timers import Timer, Timers
from tom_ref.validate import (
    check_receipt,
    check_trail,
    message_id,
    retention_end,
    signed_header,
    signed_stamp,
)

UNDATED: Final = 0
"""The ``created_at`` of a message that was taken before the node knew the time (TOM-PURGE-051)."""


@define
class Pending:
    """An own message for which no receipt has come."""

    handle: int
    recipient: bytes
    created_at: int
    ttl: int
    route: Route
    content: bytes = field(repr=False)
    """Plaintext while ``header`` is ``None``, ciphertext from then on."""
    state: DeliveryState = DeliveryState.PENDING
    header: Header | None = None
    header_bytes: bytes = b""
    signature: bytes = bytes(64)
    message: bytes | None = None
    attempts: int = 0
    looks: int = 0
    hop: bytes | None = None
    """The peer that has it now."""
    tried: tuple[bytes, ...] = ()
    """Peers that had it and did not bring a receipt, since the last round began."""
    stamps: dict[bytes, Stamp] = field(factory=dict)
    """This node's first stamp for each next hop; at most one a way."""
    custodians: tuple[bytes, ...] = ()
    """Who said that it keeps a copy (TOM-PURGE-014, 020)."""
    asked: set[bytes] = field(factory=set)
    """Who was asked to keep one and has not answered."""
    deposited: set[bytes] = field(factory=set)
    """Who was handed one to keep, and has not said that it does."""
    declined: set[bytes] = field(factory=set)
    """Who refused to keep one, since the last round began."""
    work_nonce: int = 0
    """The nonce that showed the most work so far."""
    work_bits: int = 0
    """Leading zero bits that it shows; counted only once work was asked for."""
    searched: int = 0
    """Nonces tried so far."""

    @property
    def key(self) -> bytes:
        """The store's and the timers' key."""
        return self.handle.to_bytes(8, "big")

    @property
    def expires_at(self) -> int:
        """The moment, ms, from which nobody takes the message and its bytes are gone."""
        return self.created_at + self.ttl


@define
class Sending:
    """The table of own messages, at most ``MAX_PENDING`` with ``MAX_PENDING_BYTES`` of content."""

    own_id: bytes
    signing_key: SigningKey = field(repr=False)
    timers: Timers = field(repr=False)
    eps: int = constants.EPS
    """ms: the most by which the clocks of this network are wrong."""
    _pending: dict[int, Pending] = field(factory=dict)
    _by_message: dict[bytes, int] = field(factory=dict)
    _bytes: int = 0
    _refused: bool = False
    _last_handle: int = -1
    _verdicts: dict[int, DeliveryState] = field(factory=dict)
    """Final states that the application has not taken."""
    _untold: list[int] = field(factory=list)
    """Handles of final states that were reached before this start."""

    @property
    def writable(self) -> bool:
        """Whether another message of ordinary size would be taken."""
        return (
            len(self._pending) < constants.MAX_PENDING
            and self._bytes < constants.MAX_PENDING_BYTES
            and len(self._verdicts) < constants.MAX_VERDICTS
        )

    @property
    def next_handle(self) -> int:
        """A handle not used since the oldest stored message."""
        return self._last_handle + 1

    def add(self, step: Step, command: SendMessage, created_at: int) -> Pending:
        """Take a new message; raises ``CommandError`` and changes nothing when it can't be taken."""
        if len(command.recipient) != constants.KEY_BYTES or command.recipient == self.own_id:
            raise CommandError(Reason.BAD_VALUE, "the recipient must be another node's id")
        if len(command.content) > constants.MAX_CONTENT:
            raise CommandError(Reason.TOO_LARGE, f"content of {len(command.content)} bytes")
        if not 0 < command.ttl <= constants.MAX_TTL:
            raise CommandError(Reason.BAD_LIFETIME, f"ttl {command.ttl} ms")
        if not self._last_handle < command.handle < 1 << 63:
            raise CommandError(Reason.BAD_VALUE, "a handle must be above every earlier one")
        if (
            len(self._pending) >= constants.MAX_PENDING
            or self._bytes + len(command.content) > constants.MAX_PENDING_BYTES
            or len(self._verdicts) >= constants.MAX_VERDICTS
        ):
            self._refused = True
            raise CommandError(Reason.OVERLOADED, "too many messages wait for a receipt")
        pending = Pending(
            command.handle, command.recipient, created_at, command.ttl, command.route, command.content
        )
        self._insert(pending)
        self.store(step, pending)
        step.emit(Progress(pending.handle, DeliveryState.PENDING, None))
        return pending

    def restore_verdict(self, record: bytes, handle: int) -> None:
        """Take a final state back that the application has not taken."""
        self._verdicts[handle] = DeliveryState(codec.VERDICT.decode(record).state)
        self._untold.append(handle)
        self._last_handle = max(self._last_handle, handle)

    def skip_to(self, handle: int) -> None:
        """Use no handle up to this one again."""
        self._last_handle = max(self._last_handle, handle)

    def say_again(self) -> list[tuple[int, DeliveryState]]:
        """Handles and final states of before this start that the application has not taken, oldest first.

        Those that this very start brought about were said when it did (TOM-PURGE-005).
        """
        untold, self._untold = sorted(self._untold), []
        return [(handle, self._verdicts[handle]) for handle in untold]

    def taken(self, step: Step, handle: int) -> bool:
        """The application knows a final state: erase it; ``False`` when there is none."""
        if self._verdicts.pop(handle, None) is None:
            return False
        step.erase(Table.VERDICT, handle.to_bytes(8, "big"))
        self._tell_room(step)
        return True

    def restore(self, record: bytes, handle: int) -> None:
        """Take a stored message back; it is tried anew."""
        stored = codec.PENDING.decode(record)
        pending = Pending(
            handle,
            stored.recipient,
            stored.created_at,
            stored.ttl,
            Route(stored.route),
            stored.content,
            DeliveryState(stored.state),
            attempts=stored.attempts,
            custodians=codec.nodes(stored.custodians),
        )
        if stored.header:
            pending.header = codec.decode_header(stored.header)
            pending.header_bytes = stored.header
            pending.signature = stored.signature
            pending.message = message_id(stored.header)
            self._by_message[pending.message] = handle
        self._insert(pending)

    def _insert(self, pending: Pending) -> None:
        self._pending[pending.handle] = pending
        self._last_handle = max(self._last_handle, pending.handle)
        self._bytes += len(pending.content)
        if pending.created_at != UNDATED:
            self._set_timers(pending)

    def _set_timers(self, pending: Pending) -> None:
        self.timers.set(Timer.PENDING_ERASE, pending.key, pending.expires_at)
        self.timers.set(
            Timer.PENDING_EXPIRY, pending.key, retention_end(pending.created_at, pending.ttl, self.eps)
        )

    def date(self, step: Step) -> None:
        """The time is known: date what was taken before it was (TOM-PURGE-051)."""
        for pending in self._pending.values():
            if pending.created_at == UNDATED:
                pending.created_at = step.now
                self._set_timers(pending)
                self.store(step, pending)

    def get(self, handle: int) -> Pending:
        """An own message that waits for a receipt; only such a message has a timer."""
        return self._pending[handle]

    def by_message(self, message: bytes) -> Pending | None:
        """An own message by its id."""
        handle = self._by_message.get(message)
        return None if handle is None else self._pending[handle]

    def all(self) -> list[Pending]:
        """Every own message, oldest first."""
        return list(self._pending.values())

    def waiting(self, now: int) -> list[Pending]:
        """Own messages that live and that no hop has at present, oldest first."""
        return [p for p in self._pending.values() if p.hop is None and p.created_at and now < p.expires_at]

    def waits_in(self, subnet: bytes) -> bool:
        """Whether a message that was written in a subnet has no receipt yet."""
        return any(p.header is not None and p.header.subnet == subnet for p in self._pending.values())

    def unsealed_for(self, recipient: bytes, now: int) -> list[Pending]:
        """Messages for a recipient that live and are not encrypted yet."""
        return [p for p in self.waiting(now) if p.recipient == recipient and p.header is None]

    def store(self, step: Step, pending: Pending) -> None:
        """Write the message's record."""
        step.put(
            Table.PENDING,
            pending.key,
            codec.PENDING.encode(
                state=int(pending.state),
                route=int(pending.route),
                attempts=pending.attempts,
                recipient=pending.recipient,
                created_at=pending.created_at,
                ttl=pending.ttl,
                header_length=len(pending.header_bytes),
                header=pending.header_bytes,
                signature=pending.signature,
                custodian_count=len(pending.custodians),
                custodians=codec.holders(pending.custodians),
                content_length=len(pending.content),
                content=pending.content,
            ),
        )

    def sealed(self, step: Step, pending: Pending, header: Header, payload: bytes) -> None:
        """The message has been encrypted: sign its header, fix its id."""
        header_bytes = codec.encode_header(header)
        pending.signature = self.signing_key.sign(signed_header(header_bytes))
        pending.header, pending.header_bytes = header, header_bytes
        pending.looks = 0
        self._bytes += len(payload) - len(pending.content)
        pending.content = payload
        pending.message = message_id(header_bytes)
        self._by_message[pending.message] = pending.handle
        self.store(step, pending)
        step.report(Event.ENCRYPTED, pending.recipient, pending.message, f"{len(payload)} bytes")

    def retry_later(self, step: Step, pending: Pending) -> None:
        """Look at the message again after a pause that doubles from one look to the next."""
        pause = min(constants.RETRY_FIRST << min(pending.looks, 16), constants.RETRY_MAX)
        pending.looks += 1
        self.timers.set(Timer.RETRY, pending.key, step.now + pause)

    def work(self, step: Step, pending: Pending, bits: int) -> bool:
        """Whether the message shows ``bits`` of work; else goes on looking for it (TOM-BALANCE-013).

        It tries some nonces a step; the work's timer brings the message back in the next millisecond.
        """
        assert pending.message is not None, "an encrypted message"
        if pending.work_bits >= bits:
            return True
        nonce = search_work(pending.message, bits, pending.searched, constants.WORK_PART)
        pending.searched += constants.WORK_PART
        if nonce is None:
            self.timers.set(Timer.WORK, pending.key, step.now + 1)
            return False
        pending.work_nonce, pending.work_bits = nonce, bits
        return True

    def attempt(self, step: Step, pending: Pending, ways: list[tuple[bytes, int]]) -> bool:
        """Hand the message to the best way not tried in this round; ``False`` when there is none now.

        Either way the next look at it is scheduled: after a pause that doubles from ``RETRY_FIRST`` to
        ``RETRY_MAX`` (TOM-DELIVERY-052).
        """
        self.retry_later(step, pending)
        fresh = [way for way in ways if way[0] not in pending.tried]
        if not fresh and ways:
            pending.tried = ()
            fresh = ways
        if not fresh or pending.header is None or pending.message is None:
            return False
        hop, link = fresh[0]
        pending.hop = hop
        pending.tried = (*pending.tried, hop)
        self._hand_over(step, pending, hop, link)
        return True

    def deposit(self, step: Step, pending: Pending, hop: bytes, link: int) -> None:
        """Hand the message to a node that was asked to keep it (TOM-PURGE-016)."""
        pending.deposited.add(hop)
        self._hand_over(step, pending, hop, link)

    def _hand_over(self, step: Step, pending: Pending, hop: bytes, link: int) -> None:
        assert pending.header is not None, "an encrypted message"
        assert pending.message is not None, "an encrypted message"
        signed = signed_stamp(pending.message, None, step.now, hop)
        stamp = Stamp(step.now, hop, self.signing_key.sign(signed))
        pending.stamps[hop] = stamp
        pending.attempts += 1
        step.send(
            link,
            codec.encode_envelope(
                Envelope(
                    pending.header,
                    pending.header_bytes,
                    pending.signature,
                    pending.work_nonce,
                    (stamp,),
                    pending.content,
                )
            ),
        )
        step.report(Event.HANDED_OVER, hop, pending.message, f"attempt {pending.attempts}")
        self._rise(step, pending, Sign.HANDED_OVER, (stamp,))

    def _rise(self, step: Step, pending: Pending, sign: Sign, trail: tuple[Stamp, ...]) -> None:
        state = MESSAGE[pending.state].get(sign)
        if state is not None:
            pending.state = state
            self.store(step, pending)
            step.emit(Progress(pending.handle, state, pending.message, trail))

    def trail_report(self, step: Step, peer: bytes, report: TrailReport) -> bool:
        """Verify a hop's report: the message is relayed.  ``False`` when it is not about an own message."""
        pending = self.by_message(report.message_id)
        if pending is None or pending.header is None:
            return False
        own = pending.stamps.get(peer)
        kept = report.trail[-1].next_hop == peer
        if own is None or (kept and peer not in {*pending.deposited, *pending.custodians}):
            raise ProtocolError(Reason.WRONG_HOP, "a report from a hop that never had the message")
        check_trail(pending.header, report.message_id, report.trail, known=(own,))
        if kept:
            self.kept_by(step, pending, peer)
        step.report(Event.TRAIL_VERIFIED, peer, report.message_id, f"stamps verified: {len(report.trail)}")
        self._rise(step, pending, Sign.REPORTED, report.trail)
        return True

    def kept_by(self, step: Step, pending: Pending, peer: bytes) -> None:
        """A node says that it keeps a copy: the message waits there, no receipt is due from it."""
        pending.deposited.discard(peer)
        if pending.hop == peer:
            pending.hop = None
        if peer not in pending.custodians and len(pending.custodians) < constants.MAX_HOLDERS:
            pending.custodians = (*pending.custodians, peer)
            self.store(step, pending)

    def receipt(self, step: Step, receipt: Receipt) -> tuple[Pending, Header] | None:
        """Verify a receipt: the message is delivered.  ``None`` when it is not about an own message."""
        pending = self.by_message(receipt.message_id)
        if pending is None or pending.header is None:
            return None
        check_receipt(receipt, pending.header, receipt.message_id)
        step.report(Event.RECEIPT_VERIFIED, receipt.recipient, receipt.message_id)
        state = self._finish(step, pending, Sign.RECEIPTED)
        step.emit(Progress(pending.handle, state, receipt.message_id, receipt=receipt))
        return pending, pending.header

    def erase(self, step: Step, handle: int) -> None:
        """The lifetime is over: erase the bytes, but wait on for a receipt (TOM-DELIVERY-051)."""
        pending = self._pending[handle]
        self._bytes -= len(pending.content)
        pending.content = b""
        self.timers.cancel(Timer.RETRY, pending.key)
        self.timers.cancel(Timer.WORK, pending.key)
        self.store(step, pending)

    def expire(self, step: Step, handle: int) -> None:
        """Retention is over and no receipt was seen: nobody can take the message any more."""
        pending = self._pending[handle]
        state = self._finish(step, pending, Sign.OVER)
        step.emit(Progress(handle, state, pending.message))

    def _finish(self, step: Step, pending: Pending, sign: Sign) -> DeliveryState:
        """Nothing of the message stays but its handle and final state, until the application has them."""
        state = MESSAGE[pending.state][sign]
        self._verdicts[pending.handle] = state
        step.put(Table.VERDICT, pending.key, codec.VERDICT.encode(state=int(state)))
        del self._pending[pending.handle]
        if pending.message is not None:
            del self._by_message[pending.message]
        self._bytes -= len(pending.content)
        step.erase(Table.PENDING, pending.key)
        for timer in (Timer.RETRY, Timer.WORK, Timer.PENDING_ERASE, Timer.PENDING_EXPIRY):
            self.timers.cancel(timer, pending.key)
        self._tell_room(step)
        return state

    def _tell_room(self, step: Step) -> None:
        if (
            self._refused
            and len(self._pending) <= constants.MAX_PENDING // 2
            and self._bytes <= constants.MAX_PENDING_BYTES // 2
            and len(self._verdicts) < constants.MAX_VERDICTS
        ):
            self._refused = False
            step.emit(Drained())

    def refused(self, message: bytes, peer: bytes, now: int) -> Pending | None:
        """A hop did not take an own message; returns it when it is to be rerouted now."""
        pending = self.by_message(message)
        if pending is None or pending.hop != peer or now >= pending.expires_at:
            return None
        pending.hop = None
        return pending

    def released_by(self, peer: bytes) -> list[Pending]:
        """A peer's link is gone: the messages it had are to be rerouted."""
        released = [pending for pending in self._pending.values() if pending.hop == peer]
        for pending in released:
            pending.hop = None
        return released
