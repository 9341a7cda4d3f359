"""Everything a node asks of the world: the closed union of effects that ``Node.step`` returns.

The driver's contract, stated once:

1. Carry out the effects of a step in their order.  :class:`Persist` always comes first; nothing after it
   may happen before its changes are safely on disk, all of them or none.
2. Several steps may be carried out together: first all their ``Persist`` in one transaction, then the rest.
3. If a ``Persist`` fails, stop the node: what it knows and what the disk knows must not drift apart.
4. Call ``step(Wake(), now)`` at or after ``node.next_deadline()``.  Too late or too often is harmless.
5. ``now`` never goes back between calls.
6. When a link has measured its neighbour's clock, hand the node a ``ClockMeasured``; a link is asked to
   measure when it opens, whenever it pings, and again when an answer took longer than 2 EPS.  A node that was
   started again takes part in nothing before such a measurement (TOM-PURGE-008).
"""

from __future__ import annotations

import enum

from attrs import field, frozen

from tom_ref.frames import Address, Holding, Receipt, Stamp
from tom_ref.term_frames import Invitation


class Table(enum.StrEnum):
    """The tables of the local store; each maps key bytes to record bytes."""

    PENDING = "pending"
    """Key: handle, 8 bytes.  Own messages without a receipt."""
    INBOX = "inbox"
    """Key: message id.  Plaintext the application has not acknowledged."""
    SEEN = "seen"
    """Key: message id.  Receipts this node has signed, so that nothing is shown twice."""
    CUSTODY = "custody"
    """Key: message id.  Messages kept for absent recipients."""
    TOMBSTONE = "tombstone"
    """Key: message id.  Receipts this node has verified, so that nothing comes back."""
    VERDICT = "verdict"
    """Key: handle, 8 bytes.  Final states that the application has not taken."""
    CLOCK = "clock"
    """One key.  The purge clock, where it is ahead of the computer's."""
    SESSION = "session"
    """Key: NodeId.  All sessions with that peer."""
    PREKEY = "prekey"
    """Key: prekey id, 4 bytes.  Secrets of published prekeys."""
    RECORD = "record"
    """Key: ``present``, ``previous``, ``proof``, ``invitation``, ``leaving`` or ``abstain``.  The home."""
    TERM = "term"
    """One key.  What a validator voted for last, on disk before its vote leaves."""
    MOVE = "move"
    """Key: ``moved``, ``followed`` or ``left``.  The move, the child followed, subnets left."""
    INVITATION = "invitation"
    """Key: token, 16 bytes.  Open invitations of this node."""
    MEMBER = "member"
    """Key: NodeId.  Descriptors of fellow members, so that they are found again after a restart."""
    CONVERSATION = "conversation"
    """Key: id of a conversation subnet."""


class DeliveryState(enum.IntEnum):
    """Where a message of this node's own is on its way.  It only ever rises (TOM-DELIVERY)."""

    PENDING = 1
    SENT = 2
    RELAYED = 3
    DELIVERED = 4
    EXPIRED = 5


@frozen
class Change:
    """One change of the store: ``value`` replaces what ``key`` held; ``None`` erases it."""

    table: Table
    key: bytes = field(repr=False)
    value: bytes | None = field(repr=False)


@frozen
class Persist:
    """Write these changes atomically before anything that follows."""

    changes: tuple[Change, ...]


@frozen
class SendFrame:
    """Hand these bytes to a link."""

    link: int
    data: bytes = field(repr=False)


@frozen
class CloseLink:
    """End a link, telling the peer this reason code."""

    link: int
    reason: str


@frozen
class Dial:
    """Try to make a link to this node at one of these addresses; answer ``LinkUp`` or ``DialFailed``."""

    node_id: bytes
    addresses: tuple[Address, ...]


@frozen
class Deliver:
    """Show this message to the application.  It is safely stored; the application acknowledges it."""

    message_id: bytes
    sender: bytes
    content: bytes = field(repr=False)
    created_at: int
    received_at: int
    relay: bytes
    """The node that handed it over; 32 zero bytes when that was the sender itself."""
    again: bool
    """True after a restart: it may have been shown before."""


@frozen
class Progress:
    """An own message reached a state, with the evidence for it."""

    handle: int
    state: DeliveryState
    message_id: bytes | None
    """``None`` until the message is encrypted."""
    trail: tuple[Stamp, ...] = ()
    """For SENT and RELAYED: the verified stamps so far."""
    receipt: Receipt | None = None
    """For DELIVERED: the verified receipt."""


class Event(enum.StrEnum):
    """What a node did, for the journey view and for logs; never needed by the protocol."""

    ENCRYPTED = "encrypted"
    HANDED_OVER = "handed_over"
    RELAYED = "relayed"
    RECEIVED = "received"
    DECRYPTED = "decrypted"
    RECEIPT_SIGNED = "receipt_signed"
    RECEIPT_VERIFIED = "receipt_verified"
    RECEIPT_PASSED_BACK = "receipt_passed_back"
    TRAIL_VERIFIED = "trail_verified"
    DUPLICATE_ANSWERED = "duplicate_answered"
    KEPT = "kept"
    """A message was taken into custody."""
    COPIED = "copied"
    """A copy in custody was handed to another holder, or to its recipient."""
    PURGED = "purged"
    """A copy in custody was erased; the detail says why."""
    REFUSED = "refused"
    REROUTED = "rerouted"
    LINKED = "linked"
    UNLINKED = "unlinked"
    IGNORED = "ignored"
    FOUNDED = "founded"
    JOINING = "joining"
    GUEST = "guest"
    ADMITTED = "admitted"
    LEFT_OUT = "left_out"
    RECORD = "record"
    """A new record is present; the detail names its term."""
    SPONSORED = "sponsored"
    CAUGHT_UP = "caught_up"
    IDENTITY_TWICE = "identity_twice"
    """Somebody else signs with this node's secret."""
    CLOCK_OFF = "clock_off"
    """This node's clock is further from its neighbours' than EPS, or a neighbour's from its own."""
    NO_CREDIT = "no_credit"
    """A message came or went another way than the duty of its term; the detail says the code."""
    MOVED = "moved"
    """This node signed a move out of its subnet; the detail names the attempt."""
    FORKED = "forked"
    """This node follows a child; the detail names it and its size."""
    DISSOLVED = "dissolved"
    """This node left its subnet for another one of the same lineage."""
    CONVERSATION_OPENED = "conversation_opened"
    CONVERSATION_ENDED = "conversation_ended"


@frozen
class Report:
    """Something happened that a person may want to see.  No secrets, no content."""

    event: Event
    peer: bytes
    """The other node concerned."""
    message_id: bytes | None = None
    detail: str = ""


@frozen
class Drained:
    """After a refusal for lack of room the node takes messages again."""


@frozen
class Held:
    """What a node says that it still has of a message, after :class:`~tom_ref.inputs.AskHolding`."""

    peer: bytes
    """Who says so; this node itself for what it holds."""
    message_id: bytes
    holding: Holding
    until: int
    """ms: when it is erased at the latest; 0 for nothing."""


@frozen
class Invited:
    """The invitation that a :class:`~tom_ref.inputs.MakeInvitation` asked for."""

    invitation: Invitation


@frozen
class Signalled:
    """Opaque bytes from a member that wants a link; nobody vouches for ``sender`` (TOM-ROLES-087)."""

    sender: bytes
    body: bytes = field(repr=False)


Effect = (
    Held
    | Signalled
    | Invited
    | Persist
    | SendFrame
    | CloseLink
    | Dial
    | Deliver
    | Progress
    | Report
    | Drained
)
