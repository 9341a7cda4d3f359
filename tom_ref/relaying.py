"""Messages of others that pass through: handed on, and the way back remembered until the receipt passes.

A relay holds no payload: only the message id, the hop before, the hop after and the time to forget.  What
it forgets in a crash costs the sender a retry, never the message.
"""

from __future__ import annotations

from attrs import define, evolve, field

from tom_ref import codec, constants
from tom_ref.crypto import SigningKey
from tom_ref.effects import Event
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Envelope, Header, Receipt, Refusal, Stamp, TrailReport
from tom_ref.step import Step
from tom_ref.timers import Timer, Timers
from tom_ref.validate import check_receipt, retention_end, signed_stamp


@define
class _Passage:
    """The way back of one message."""

    header: Header
    previous: bytes
    following: bytes
    receipt: bytes | None = None


@define
class Relaying:
    """The table of passages, at most ``MAX_IN_FLIGHT`` of them."""

    own_id: bytes
    signing_key: SigningKey = field(repr=False)
    timers: Timers = field(repr=False)
    eps: int = constants.EPS
    """ms: the most by which the clocks of this network are wrong."""
    _passages: dict[bytes, _Passage] = field(factory=dict)

    def forward(
        self,
        step: Step,
        message: bytes,
        envelope: Envelope,
        previous: tuple[bytes, int],
        ways: list[tuple[bytes, int]],
    ) -> None:
        """Stamp a verified envelope and hand it on; raises ``ProtocolError`` when this node does not.

        Rejects ``path_too_long``, ``no_route`` and ``overloaded`` (TOM-DELIVERY-041).
        """
        header = envelope.header
        self.check(message, envelope)
        if not ways:
            raise ProtocolError(Reason.NO_ROUTE, "no link towards the recipient")
        following, link = ways[0]
        signed = signed_stamp(message, envelope.trail[-1], step.now, following)
        stamp = Stamp(step.now, following, self.signing_key.sign(signed))
        passed_on = evolve(envelope, trail=(*envelope.trail, stamp))
        self._passages[message] = _Passage(header, previous[0], following)
        self.timers.set(
            Timer.IN_FLIGHT_EXPIRY, message, retention_end(header.created_at, header.ttl, self.eps)
        )
        step.send(link, codec.encode_envelope(passed_on))
        step.send(previous[1], codec.encode_frame(TrailReport(message, passed_on.trail)))
        step.report(Event.RELAYED, following, message, f"{len(envelope.payload)} bytes of ciphertext")

    def carries(self, message: bytes) -> bool:
        """Whether the message was handed on before and its receipt hasn't passed back."""
        return message in self._passages

    def check(self, message: bytes, envelope: Envelope) -> None:
        """Reject what this node could not hand on by any way: ``path_too_long`` and ``overloaded``."""
        if len(envelope.trail) >= envelope.header.hop_limit:
            raise ProtocolError(Reason.PATH_TOO_LONG, f"{len(envelope.trail)} stamps")
        if message not in self._passages and len(self._passages) >= constants.MAX_IN_FLIGHT:
            raise ProtocolError(Reason.OVERLOADED, "too many messages in flight")

    def receipt(self, step: Step, receipt: Receipt, data: bytes) -> tuple[bytes, bytes] | None:
        """Verify a receipt for a passage; returns the hop before and the frame to send there.

        ``None`` when this node knows no such passage: a late or replayed receipt creates no state.
        """
        passage = self._passages.get(receipt.message_id)
        if passage is None:
            return None
        check_receipt(receipt, passage.header, receipt.message_id)
        passage.receipt = data
        step.report(Event.RECEIPT_PASSED_BACK, passage.previous, receipt.message_id)
        return passage.previous, data

    def waiting_for(self, peer: bytes) -> list[tuple[bytes, bytes]]:
        """Receipts (message id, frame) that could not be passed back to ``peer`` yet."""
        return [
            (message, passage.receipt)
            for message, passage in self._passages.items()
            if passage.previous == peer and passage.receipt is not None
        ]

    def known_until(self, message: bytes, peer: bytes) -> int | None:
        """Until when, ms, the way back of a message is remembered, if ``peer`` is on it."""
        passage = self._passages.get(message)
        if passage is None:
            return None
        header = passage.header
        if peer not in {self.own_id, passage.previous, passage.following, header.sender, header.recipient}:
            return None
        return retention_end(header.created_at, header.ttl, self.eps)

    def forget(self, message: bytes) -> None:
        """The receipt has passed, or the message's retention is over."""
        del self._passages[message]
        self.timers.cancel(Timer.IN_FLIGHT_EXPIRY, message)

    def back(self, peer: bytes, message: bytes) -> bytes | None:
        """The hop before, if ``peer`` is the one this message was handed to."""
        passage = self._passages.get(message)
        return passage.previous if passage is not None and passage.following == peer else None

    def link_lost(self, peer: bytes) -> list[tuple[bytes, Refusal]]:
        """The next hop vanished: tell the hops before, so that the senders reroute at once."""
        lost = [
            (message, passage)
            for message, passage in self._passages.items()
            if passage.following == peer and passage.receipt is None
        ]
        for message, _ in lost:
            self.forget(message)
        return [(passage.previous, Refusal(message, Reason.NO_ROUTE.value)) for message, passage in lost]
