"""What the bytes of chapter *Roles and terms* mean: one frozen class for each format.

As in :mod:`tom_ref.frames`, values come from a decoder that has checked them or from this node's own code on
the way to an encoder.  Ids, hashes and public keys have 32 bytes, signatures 64, VRF proofs 80; times are ms
since the Unix epoch.  Balances and the pot are signed whole numbers, written with 2^63 added.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from tom_ref.frames import Address, Descriptor, Extension, Receipt

NO_HASH: Final = bytes(32)
"""32 zero bytes where a hash is expected and there is none."""

NO_PROOF: Final = bytes(80)
"""80 zero bytes: the VRF proof of a first genesis, whose founders' proofs stand beside it."""

NO_TERM: Final = 2**64 - 1
"""The term in a query of a node that holds no record."""


@frozen
class Counts:
    """What a member counted of its own messages since its last report (TOM-VITALS-002)."""

    ended: int = 0
    """Delivered or expired."""
    delivered: int = 0
    rerouted: int = 0
    """Of those that ended: handed over more than once."""
    recovered: int = 0
    """Of the rerouted ones: delivered."""
    latency: tuple[int, ...] = (0,) * 8
    """The delivered ones by their time from sending to receipt, in the classes of ``vitals.CLASSES``."""


@frozen
class Vitals:
    """The vital signs of a subnet in one record (TOM-VITALS-005)."""

    delivery: int = 1_000
    """Permille of messages delivered."""
    survival: int = 1_000
    """Permille of rerouted messages delivered."""
    latency: tuple[int, ...] = (0,) * 8
    """Permille of delivered messages by time."""
    reports: int = 0
    """Reports of validators in the evidence."""
    forks: int = 0
    """Forks in the lineage."""


@frozen
class Member:
    """One entry of a roster."""

    node: bytes
    vrf_key: bytes
    admitted: int
    """Term of the record that first listed it; 0 for a founder."""
    absent: int = 0
    """Consecutive terms without proof of presence, 0 to 7."""
    weight: int = 0
    """0, 1, 2 or 3 for the weights 1, 2, 4 and 8 in this record's draft of relays."""
    next_weight: int = 0
    """The same for the next record's draft."""
    balance: int = 0


@frozen
class TermRecord:
    """What a subnet agreed on for one term; every role follows from it (TOM-ROLES-003 to 015)."""

    subnet: bytes
    term: int
    previous: bytes
    start: int
    """When slot 0 of the vote on the next record begins."""
    seed: bytes = field(repr=False)
    proposer: bytes
    proof: bytes = field(repr=False)
    slot_ms: int
    term_ms: int
    fork_ms: int
    relay_share: int
    custody: int
    roster: tuple[Member, ...]
    """Ascending by node id, 1 to 64 members."""
    pot: int = 0
    vitals: Vitals | None = None
    """``None`` until there are any."""
    extensions: tuple[Extension, ...] = ()

    def member(self, node: bytes) -> Member | None:
        """The entry of a node, if the record lists it."""
        return next((member for member in self.roster if member.node == node), None)


@frozen
class BlockHeader:
    """What a leader signs (TOM-ROLES-023)."""

    subnet: bytes
    term: int
    present: bytes
    slot: int
    parent: bytes
    record: bytes
    """Hash of the new record in a first block; zeros in a later one."""
    evidence: bytes
    """Hash of the evidence in a first block; zeros in a later one."""


@frozen
class Ballot:
    """A vote inside a certificate: ``index`` is the voter's place in the present record's roster."""

    index: int
    signature: bytes


Certificate = tuple[Ballot, ...]
"""The votes for one block, ascending by index."""


@frozen
class HeartbeatProof:
    """A heartbeat for the present record inside evidence."""

    index: int
    signature: bytes


@frozen
class LeaveProof:
    """A leave inside evidence."""

    index: int
    signature: bytes


@frozen
class Delivery:
    """Evidence that a message was delivered: the sender's signed header and the recipient's receipt."""

    header_bytes: bytes
    signature: bytes
    receipt: Receipt


@frozen
class Join:
    """A newcomer's request, with its work and its sponsor's word (TOM-ROLES-063); also a frame.

    ``signature`` is zero until the sponsor has signed.
    """

    subnet: bytes
    term: int
    descriptor: Descriptor
    work_nonce: int
    sponsor: bytes
    signature: bytes = bytes(64)


@frozen
class VitalsProof:
    """A report of vital signs inside evidence."""

    index: int
    counts: Counts
    signature: bytes


@frozen
class Evidence:
    """What a first block shows for its record."""

    heartbeats: tuple[HeartbeatProof, ...] = ()
    """Ascending by index."""
    leaves: tuple[LeaveProof, ...] = ()
    """Ascending by index."""
    joins: tuple[Join, ...] = ()
    """In the order of TOM-ROLES-064, each node once."""
    deliveries: tuple[Delivery, ...] = ()
    """Ascending by message id, each once."""
    reports: tuple[VitalsProof, ...] = ()
    """Ascending by index."""


# --- frames -------------------------------------------------------------------------------------------


@frozen
class Proposal:
    """A block with what a voter needs to judge it."""

    header: BlockHeader
    signature: bytes
    certificate: Certificate = ()
    """The parent's votes; empty when the parent is the present record."""
    record: TermRecord | None = None
    evidence: Evidence | None = None


@frozen
class Vote:
    """A validator's vote for a block."""

    subnet: bytes
    term: int
    present: bytes
    slot: int
    block: bytes
    voter: bytes
    signature: bytes


@frozen
class Heartbeat:
    """A member's proof of presence for a record."""

    subnet: bytes
    term: int
    record: bytes
    node: bytes
    signature: bytes


@frozen
class ProvenBlock:
    """A block header with the votes that notarize it."""

    header: BlockHeader
    certificate: Certificate


@frozen
class FinalityProof:
    """A record with the chain of notarized blocks that makes it final (TOM-ROLES-043)."""

    record: TermRecord
    blocks: tuple[ProvenBlock, ...]


@frozen
class RecordQuery:
    """Asks for the present record; ``term`` is the asker's own, ``NO_TERM`` when it holds none."""

    subnet: bytes
    term: int


@frozen
class RecordAnswer:
    """The present record and the one before, with heartbeats that vouch for the present one."""

    present: TermRecord
    previous: TermRecord | None = None
    heartbeats: tuple[Heartbeat, ...] = ()


@frozen
class VitalsReport:
    """A member's report of what it counted (TOM-VITALS-001)."""

    subnet: bytes
    term: int
    record: bytes
    node: bytes
    counts: Counts
    signature: bytes


@frozen
class Leave:
    """A member wants to be left out of the next record."""

    subnet: bytes
    term: int
    node: bytes
    signature: bytes


@frozen
class Move:
    """A member leaves a subnet, as of a record, for a child that ``founder`` founds."""

    subnet: bytes
    term: int
    record: bytes
    attempt: int
    founder: bytes
    node: bytes
    signature: bytes


@frozen
class Child:
    """The genesis of a child with the moves it rests on and the parent's record."""

    record: TermRecord
    signature: bytes
    parent: TermRecord
    moves: tuple[Move, ...]


@frozen
class Genesis:
    """The first record of a subnet, signed by all its founders, in the order of the roster."""

    record: TermRecord
    nonce: bytes
    proofs: tuple[bytes, ...]
    signatures: tuple[bytes, ...]


@frozen
class Conversation:
    """The one record of a conversation subnet; participants ascending, a signature of each."""

    home: bytes
    term: int
    participants: tuple[bytes, ...]
    nonce: bytes
    signatures: tuple[bytes, ...]


@frozen
class ConversationEnd:
    """A participant ends a conversation subnet."""

    conversation: bytes
    node: bytes
    signature: bytes


@frozen
class Invitation:
    """What a newcomer is handed outside the network (TOM-ROLES-119)."""

    inviter: bytes
    subnet: bytes
    term: int
    record: bytes
    token: bytes = field(repr=False)
    expires_at: int
    addresses: tuple[Address, ...]
    signature: bytes = bytes(64)


@frozen
class Signal:
    """Opaque bytes from one member to another over a neighbour of both."""

    sender: bytes
    recipient: bytes
    body: bytes = field(repr=False)


TermFrame = (
    Proposal
    | Vote
    | Heartbeat
    | FinalityProof
    | RecordQuery
    | RecordAnswer
    | Join
    | Leave
    | Move
    | Child
    | Genesis
    | Conversation
    | ConversationEnd
    | Signal
    | VitalsReport
)
"""Every frame of the chapters *Roles and terms* and *Vital signs*."""
