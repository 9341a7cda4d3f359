"""The states of a message at its sender and of a node in its home, as data (specification chapters 7 and 8).

Nothing here acts: :mod:`tom_ref.sending` and :mod:`tom_ref.home` do, and what they do at a change is looked
up here.  The diagrams and tables of the specification are made from the same data.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from tom_ref.effects import DeliveryState, Event

# --- a message of this node's own ---------------------------------------------------------------------


class Sign(enum.Enum):
    """What the sender of a message learns or does."""

    HANDED_OVER = "handed to a hop"
    REPORTED = "trail verified"
    RECEIPTED = "receipt verified"
    OVER = "retention over"


_ENDS: Final = {Sign.RECEIPTED: DeliveryState.DELIVERED, Sign.OVER: DeliveryState.EXPIRED}

MESSAGE: Final[Mapping[DeliveryState, Mapping[Sign, DeliveryState]]] = {
    DeliveryState.PENDING: {Sign.HANDED_OVER: DeliveryState.SENT, **_ENDS},
    DeliveryState.SENT: {Sign.REPORTED: DeliveryState.RELAYED, **_ENDS},
    DeliveryState.RELAYED: {**_ENDS},
    DeliveryState.DELIVERED: {},
    DeliveryState.EXPIRED: {},
}
"""Every change of a message's state (TOM-DELIVERY-001); a sign that isn't listed changes nothing."""

# --- a node in its home -------------------------------------------------------------------------------


class Standing(enum.StrEnum):
    """What this node is in its home."""

    NONE = "none"
    JOINING = "joining"
    GUEST = "guest"
    MEMBER = "member"
    MOVING = "moving"
    """It has left by a move, and follows no child yet."""


@frozen
class Change:
    """Why a standing changes, and what the node reports then."""

    cause: str
    event: Event | None
    """``None`` when what caused it has been reported already."""


_GIVEN_UP: Final = Change("leaves", Event.LEFT_OUT)

HOME: Final[Mapping[Standing, Mapping[Standing, Change]]] = {
    Standing.NONE: {
        Standing.JOINING: Change("takes an invitation", Event.JOINING),
        Standing.MEMBER: Change("founds a subnet", Event.ADMITTED),
    },
    Standing.JOINING: {
        Standing.GUEST: Change("record cross-checked", Event.GUEST),
        Standing.MEMBER: Change("record lists it already", Event.ADMITTED),
        Standing.NONE: _GIVEN_UP,
    },
    Standing.GUEST: {
        Standing.MEMBER: Change("listed in a record", Event.ADMITTED),
        Standing.NONE: _GIVEN_UP,
    },
    Standing.MEMBER: {
        Standing.GUEST: Change("left out of a record", Event.LEFT_OUT),
        Standing.MOVING: Change("signs a move", None),
        Standing.NONE: _GIVEN_UP,
    },
    Standing.MOVING: {
        Standing.MEMBER: Change("follows a child, or is taken in", Event.ADMITTED),
        Standing.GUEST: Change("parent goes on without it", None),
        Standing.NONE: _GIVEN_UP,
    },
}
"""Every change of a node's standing."""
