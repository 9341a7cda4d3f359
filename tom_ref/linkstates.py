"""What a link tells its caller, and its states and transitions as data (specification chapter 5).

Nothing here acts: :mod:`tom_ref.link` does, and every change of its state follows :data:`TRANSITIONS`.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

from attrs import field, frozen

from tom_ref.constants import DUPLICATE_LINK_AGE
from tom_ref.frames import Descriptor

BYE: Final = "bye"
"""The reason of a link that ends because one side has no more use for it."""

# --- events -------------------------------------------------------------------------------------------


@frozen
class LinkOpened:
    """The handshake is done: the peer is who its descriptor, verified here, says."""

    descriptor: Descriptor
    handshake_hash: bytes
    """32 bytes, the same at both ends and unique to this link."""


@frozen
class LinkFrame:
    """A whole frame arrived, 1 to ``MAX_FRAME`` bytes; what it means is for :mod:`tom_ref.codec` to say."""

    frame: bytes = field(repr=False)


@frozen
class LinkMeasured:
    """A ping was answered.  Both values rest on the peer's word and are not bounded."""

    round_trip: int
    """ms, not negative."""
    offset: int
    """ms by which the peer's clock is ahead of this one's."""


@frozen
class LinkDrained:
    """A link that was not :attr:`Link.writable` is again."""


@frozen
class LinkClosed:
    """The link is dead: the last event, exactly one for each link."""

    reason: str
    """A :class:`Reason`, ``bye``, or a code of a later version that the peer sent."""
    cause: Trigger
    """Which side or circumstance ended it."""
    detail: str = ""
    """For the log of this node; never a secret."""


LinkEvent: TypeAlias = LinkOpened | LinkFrame | LinkMeasured | LinkDrained | LinkClosed

# --- states are data ----------------------------------------------------------------------------------


class State(enum.Enum):
    """Where a link is in its life."""

    AWAIT_MESSAGE_1 = "await message 1"
    """A responder's start."""
    AWAIT_MESSAGE_2 = "await message 2"
    """An initiator's start; its message 1 is on its way."""
    AWAIT_MESSAGE_3 = "await message 3"
    """A responder that answered."""
    OPEN = "open"
    """Records flow."""
    CLOSED = "closed"
    """The end."""


class Trigger(enum.Enum):
    """What moves a link from one state to another."""

    MESSAGE_1 = "message 1 read"
    MESSAGE_2 = "message 2 read, peer accepted"
    MESSAGE_3 = "message 3 read, peer accepted"
    CLOSE_RECORD = "peer sent CLOSE"
    FAULT = "peer broke a rule"
    TIMEOUT = "time-out"
    TRANSPORT_END = "transport ended"
    LOCAL_CLOSE = "closed here"
    EXPIRED = "numbers of this side used up"


_ENDINGS: Final = {
    Trigger.FAULT: State.CLOSED,
    Trigger.TIMEOUT: State.CLOSED,
    Trigger.TRANSPORT_END: State.CLOSED,
    Trigger.LOCAL_CLOSE: State.CLOSED,
}

TRANSITIONS: Final[dict[State, dict[Trigger, State]]] = {
    State.AWAIT_MESSAGE_1: {Trigger.MESSAGE_1: State.AWAIT_MESSAGE_3, **_ENDINGS},
    State.AWAIT_MESSAGE_2: {Trigger.MESSAGE_2: State.OPEN, **_ENDINGS},
    State.AWAIT_MESSAGE_3: {Trigger.MESSAGE_3: State.OPEN, **_ENDINGS},
    State.OPEN: {Trigger.CLOSE_RECORD: State.CLOSED, Trigger.EXPIRED: State.CLOSED, **_ENDINGS},
    State.CLOSED: {},
}
"""Every transition of a link; the diagram in the specification is generated from it."""


class Framing(enum.Enum):
    """How Noise messages travel (TOM-LINK-002, 003)."""

    STREAM = "stream"
    """Over an ordered stream of bytes: each message behind its length, two bytes."""
    MESSAGES = "messages"
    """Over ordered, reliable messages (WebRTC data channels): each message as it is."""


# --- round trip and clock offset ------------------------------------------------------------------------


def measure(asked_at: int, received_at: int, answered_at: int, returned_at: int) -> LinkMeasured:
    """Round trip and clock offset from the four times of a ping, in ms (RFC 5905, section 8).

    The first and the last are of this node's clock, the other two of the peer's.  The offset is positive
    when the peer's clock is ahead, and rounded down.
    """
    round_trip = (returned_at - asked_at) - (answered_at - received_at)
    offset = ((received_at - asked_at) + (answered_at - returned_at)) // 2
    return LinkMeasured(max(0, round_trip), offset)


# --- two links between the same nodes -----------------------------------------------------------------


def keep_new_link(
    own: bytes, peer: bytes, held_initiator: bytes, new_initiator: bytes, held_for: int = 0
) -> bool:
    """Whether a new link between ``own`` and ``peer`` replaces the one held (TOM-LINK-090 to 093).

    All four are NodeIds; ``held_for`` is the age, ms, of the held link since it opened.  Both ends come to
    the same answer: of two links that were dialled at once the lower NodeId's stays; of two by the same node
    the newer; and any new link replaces one that is older than a simultaneous dial can explain, since
    nobody dials a node it is linked to: the peer has lost the held one.
    """
    if held_initiator == new_initiator or held_for > DUPLICATE_LINK_AGE:
        return True
    return new_initiator == min(own, peer)
