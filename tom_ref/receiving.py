"""Messages for this node: shown at most once, receipted, kept until the application acknowledges them.

Order at the recipient (TOM-DELIVERY-060): the plaintext, the receipt and the session's new state are written
in one transaction; then the receipt is sent and the message is shown.  Whatever crashes in between, the
message is neither lost nor shown as new twice.
"""

from __future__ import annotations

from attrs import define, evolve, field

from tom_ref import codec, constants
from tom_ref.crypto import SigningKey
from tom_ref.effects import Deliver, Event, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import NO_NODE, Header, Receipt
from tom_ref.step import Step
from tom_ref.timers import Timer, Timers
from tom_ref.validate import retention_end, signed_receipt


@define
class _Shown:
    """A message the application has not acknowledged."""

    sequence: int
    sender: bytes
    content: bytes = field(repr=False)
    created_at: int
    received_at: int
    relay: bytes


@define
class Receiving:
    """The recipient's memory: receipts by message id, and the inbox."""

    own_id: bytes
    signing_key: SigningKey = field(repr=False)
    timers: Timers = field(repr=False)
    eps: int = constants.EPS
    """ms: the most by which the clocks of this network are wrong."""
    _seen: dict[bytes, tuple[int, bytes]] = field(factory=dict)
    _inbox: dict[bytes, _Shown] = field(factory=dict)
    _inbox_bytes: int = 0
    _sequence: int = 0

    def restore_seen(self, message: bytes, record: bytes) -> None:
        """Take a stored receipt back."""
        stored = codec.SEEN.decode(record)
        self._seen[message] = (stored.keep_until, stored.receipt)
        self.timers.set(Timer.SEEN_EXPIRY, message, stored.keep_until)

    def restore_inbox(self, message: bytes, record: bytes) -> None:
        """Take a stored message back; :meth:`show_again` shows it."""
        stored = codec.INBOX.decode(record)
        self._inbox[message] = _Shown(
            stored.sequence,
            stored.sender,
            stored.content,
            stored.created_at,
            stored.received_at,
            stored.relay,
        )
        self._inbox_bytes += len(stored.content)
        self._sequence = max(self._sequence, stored.sequence + 1)

    def show_again(self, step: Step) -> None:
        """After a restart: show what was not acknowledged, in the order of arrival."""
        for message, shown in sorted(self._inbox.items(), key=lambda item: item[1].sequence):
            step.emit(_deliver(message, shown, again=True))

    def known_receipt(self, message: bytes) -> bytes | None:
        """The receipt frame for a message that was received before."""
        seen = self._seen.get(message)
        return seen[1] if seen is not None else None

    def known_until(self, message: bytes) -> int | None:
        """Until when, ms, the receipt for a message is kept."""
        seen = self._seen.get(message)
        return None if seen is None else seen[0]

    def check_room(self, header: Header) -> None:
        """Refuse new work rather than evict what a promise needs (TOM-DELIVERY-062)."""
        if (
            len(self._inbox) >= constants.MAX_INBOX
            or self._inbox_bytes + header.payload_length > constants.MAX_INBOX_BYTES
            or len(self._seen) >= constants.MAX_SEEN
        ):
            raise ProtocolError(Reason.OVERLOADED, "the recipient has no room")

    def accept(
        self, step: Step, message: bytes, header: Header, content: bytes, previous: tuple[bytes, int]
    ) -> Receipt:
        """Store and show a decrypted message and send its receipt to the hop that brought it."""
        peer, link = previous
        relay = NO_NODE if peer == header.sender else peer
        receipt = Receipt(
            message,
            header.subnet,
            header.term,
            header.sender,
            header.recipient,
            relay,
            header.created_at,
            header.ttl,
            step.now,
        )
        receipt = evolve(receipt, signature=self.signing_key.sign(signed_receipt(receipt)))
        frame = codec.encode_receipt(receipt)
        shown = _Shown(self._sequence, header.sender, content, header.created_at, step.now, relay)
        keep_until = retention_end(header.created_at, header.ttl, self.eps)
        step.put(
            Table.SEEN, message, codec.SEEN.encode(keep_until=keep_until, length=len(frame), receipt=frame)
        )
        step.put(
            Table.INBOX,
            message,
            codec.INBOX.encode(
                sequence=shown.sequence,
                sender=shown.sender,
                created_at=shown.created_at,
                received_at=shown.received_at,
                relay=relay,
                content_length=len(content),
                content=content,
            ),
        )
        self._sequence += 1
        self._seen[message] = (keep_until, frame)
        self._inbox[message] = shown
        self._inbox_bytes += len(content)
        self.timers.set(Timer.SEEN_EXPIRY, message, keep_until)
        step.report(Event.DECRYPTED, header.sender, message, f"{len(content)} bytes of content")
        step.send(link, frame)
        step.report(Event.RECEIPT_SIGNED, peer, message)
        step.emit(_deliver(message, shown, again=False))
        return receipt

    def acknowledge(self, step: Step, message: bytes) -> bool:
        """Erase an inbox message's plaintext; ``False`` when there is none."""
        shown = self._inbox.pop(message, None)
        if shown is None:
            return False
        self._inbox_bytes -= len(shown.content)
        step.erase(Table.INBOX, message)
        return True

    def forget(self, step: Step, message: bytes) -> None:
        """Retention is over: erase the receipt.  The message itself waits for the application."""
        self._seen.pop(message, None)
        step.erase(Table.SEEN, message)


def _deliver(message: bytes, shown: _Shown, *, again: bool) -> Deliver:
    return Deliver(
        message,
        shown.sender,
        shown.content,
        shown.created_at,
        shown.received_at,
        shown.relay,
        again,
    )
