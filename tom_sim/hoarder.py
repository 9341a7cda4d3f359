"""A relay that keeps every message and receipt for ever, and plays them to anybody at any time."""

from __future__ import annotations

import random
from typing import Final

from attrs import evolve

from tom_ref import codec
from tom_ref.frames import Envelope, HoldingQuery, Receipt, Stamp
from tom_ref.validate import message_id, signed_receipt, signed_stamp
from tom_sim.liars import Busy
from tom_sim.world import Channel, Host, World

_KEPT: Final = 400
"""count: the most messages, and the most receipts, that one keeps."""

_PAUSE: Final = 5_000
"""ms from the question to the message."""


class Hoarder(Busy):
    """It never purges: what it saw it offers again, properly stamped and asked about before, or as it came.

    It also forges receipts, with itself as the recipient or with its own signature, and plays true ones
    before and long after their time.
    """

    name = "hoarder"
    period = (60_000, 1_800_000)

    def __init__(self, world: World, host: Host, chance: random.Random) -> None:
        super().__init__(world, host, chance)
        self._envelopes: dict[bytes, Envelope] = {}
        self._receipts: dict[bytes, Receipt] = {}

    def incoming(self, host: Host, channel: Channel, data: bytes) -> bool:
        """Keeps what it sees, and doesn't always let its node have the receipt."""
        if data[:1] == b"\x01" or data[:1] == b"\x02":
            frame = self.decode(data)
            if isinstance(frame, Envelope) and len(self._envelopes) < _KEPT:
                self._envelopes.setdefault(message_id(frame.header_bytes), frame)
            elif isinstance(frame, Receipt) and len(self._receipts) < _KEPT:
                self._receipts.setdefault(frame.message_id, frame)
                return self.chance.random() < 0.5
        return True

    def act(self) -> None:
        """A few old things to everybody."""
        linked = {channel.other.host.id for channel in self.host.channels.values() if channel.other}
        away = [one for one in self._envelopes.values() if one.header.recipient not in linked]
        for _ in range(self.chance.randint(1, 4)):
            if self._envelopes:
                # Best of all what is for somebody who is away: whoever believes it might keep it.
                self._offer(self.chance.choice(away or list(self._envelopes.values())))
            if self._receipts:
                self.tell(codec.encode_frame(self.chance.choice(list(self._receipts.values()))))

    def _offer(self, envelope: Envelope) -> None:
        """Ask first, then hand over, with a stamp for whom it goes to; or a receipt that is none."""
        message, header = message_id(envelope.header_bytes), envelope.header
        kind = self.chance.randrange(4)
        if kind == 0:
            self.tell(codec.encode_envelope(envelope))
            return
        if kind == 1:
            recipient = self.chance.choice((self.host.id, header.recipient))
            now = self.world.time_of(self.host)
            receipt = Receipt(
                message,
                header.subnet,
                header.term,
                header.sender,
                recipient,
                self.host.id,
                header.created_at,
                header.ttl,
                now,
            )
            signature = self.host.identity.signing_key.sign(signed_receipt(receipt))
            self.tell(codec.encode_frame(evolve(receipt, signature=signature)))
            return
        for channel in list(self.host.channels.values()):
            if channel.other is None:
                continue
            target, moment = channel.other.host.id, envelope.trail[-1].arrived_at
            signed = signed_stamp(message, envelope.trail[-1], moment, target)
            stamp = Stamp(moment, target, self.host.identity.signing_key.sign(signed))
            self.world.transmit(channel, codec.encode_frame(HoldingQuery(message)))
            again = evolve(envelope, trail=(*envelope.trail, stamp))
            self.world.later(_PAUSE, self.world.transmit, channel, codec.encode_envelope(again))
