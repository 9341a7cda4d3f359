"""Everything that can happen to a node: the closed union of inputs to :meth:`tom_ref.node.Node.step`.

The first group comes from drivers and so, in the end, from the network: it never makes ``step`` raise.  The
second group are commands of this node's own application: a bad one raises :class:`CommandError` and
changes nothing.
"""

from __future__ import annotations

import enum

from attrs import field, frozen

from tom_ref.errors import LocalError, Reason
from tom_ref.frames import Address, Descriptor
from tom_ref.term_frames import Genesis, Invitation


class CommandError(LocalError):
    """A command of the local application can't be carried out; the node's state is unchanged.

    ``reason`` is one of the specification's codes where one fits (``overloaded``, ``too_large``, ...).
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class Route(enum.IntEnum):
    """Which way the sender tries first (TOM-DELIVERY); the other way remains as a fallback."""

    RELAY_FIRST = 1
    DIRECT_FIRST = 2


# --- from the network, by way of a driver -----------------------------------------------------------------


@frozen
class Start:
    """The first input after the node was made or restored: dial, show again what was not acknowledged."""


@frozen
class LinkUp:
    """A link finished its handshake; ``descriptor`` is the peer's, verified by the link."""

    link: int
    descriptor: Descriptor
    initiated: bool


@frozen
class LinkDown:
    """A link ended, whatever the cause."""

    link: int
    reason: str


@frozen
class LinkWritable:
    """A link that had too much queued takes frames again."""

    link: int


@frozen
class LinkCongested:
    """A link has so much queued that relays should refuse new work for it."""

    link: int


@frozen
class ClockMeasured:
    """A link measured its neighbour's clock: ``offset`` is that clock less this node's own, both in ms."""

    link: int
    offset: int
    round_trip: int


@frozen
class ClockSet:
    """Somebody set the device's clock by so many ms, forward or back, since the last input (TOM-ROLES-137).

    Not time that passed, also not while the device slept.
    """

    by: int


@frozen
class DialFailed:
    """No link to this node could be made."""

    node_id: bytes


@frozen
class FrameReceived:
    """A whole frame came over a link: untrusted bytes."""

    link: int
    data: bytes = field(repr=False)


@frozen
class Wake:
    """Time has passed.  A late or spurious one is harmless."""


# --- from the application ---------------------------------------------------------------------------------


@frozen
class SendMessage:
    """Send ``content`` (0 to 1,048,576 bytes) to ``recipient``; ``handle`` names it in ``Progress`` effects.

    ``handle`` is a number the application has not used before; ``ttl`` is in ms, 1 to 86,400,000.
    """

    handle: int
    recipient: bytes
    content: bytes = field(repr=False)
    ttl: int
    route: Route = Route.RELAY_FIRST


@frozen
class Acknowledge:
    """The application has dealt with a delivered message: its plaintext is erased."""

    message_id: bytes


@frozen
class Taken:
    """Ask all neighbours what they have of a message; each answers with a :class:`~tom_ref.effects.Held`."""

    handle: int


@frozen
class AskHolding:
    """Ask all neighbours what they still have of a message; a :class:`~tom_ref.effects.Held` each."""

    message_id: bytes


@frozen
class AddPeer:
    """Tell the node how a peer can be reached; with ``relay`` it is used as a relay, in order of addition."""

    node_id: bytes
    addresses: tuple[Address, ...]
    relay: bool = False


@frozen
class SetAddresses:
    """The addresses at which this node now listens; a new descriptor is signed and announced."""

    addresses: tuple[Address, ...]


@frozen
class Found:
    """Found a subnet of this node alone; others join it by invitation."""


@frozen
class Begin:
    """Begin with a first record that several founders signed outside the network."""

    genesis: Genesis


@frozen
class JoinSubnet:
    """Join the inviter's subnet: its guest at once, a member when the next record is final."""

    invitation: Invitation


@frozen
class MakeInvitation:
    """Make an invitation good until ``expires_at`` (ms); an :class:`~tom_ref.effects.Invited` follows."""

    expires_at: int


@frozen
class LeaveSubnet:
    """Ask to be left out of the next record."""


@frozen
class SendSignal:
    """Have a neighbour of both pass opaque bytes (0 to 16,384) to a member without a link to this node."""

    recipient: bytes
    body: bytes = field(repr=False)


NetworkInput = (
    Start
    | LinkUp
    | LinkDown
    | LinkWritable
    | LinkCongested
    | ClockMeasured
    | ClockSet
    | DialFailed
    | FrameReceived
    | Wake
)
Command = (
    SendMessage
    | Acknowledge
    | Taken
    | AskHolding
    | AddPeer
    | SetAddresses
    | Found
    | Begin
    | JoinSubnet
    | MakeInvitation
    | LeaveSubnet
    | SendSignal
)
Input = NetworkInput | Command
