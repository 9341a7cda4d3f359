"""Moves: how members whose quorum is gone leave their subnet for a child, each at most into one.

:class:`Moves` is what one member knows of the moves over one record, its *base*: its own latest move, those
of others, and the child that it follows (TOM-ROLES-088 to 104).  It computes, and changes nothing but itself;
what it says is to be stored goes to disk before anything that follows leaves (model ``Moves``).  When to move
is its caller's business (:mod:`tom_ref.forks`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field, frozen

from tom_ref import codec, constants, records
from tom_ref.crypto import SigningKey
from tom_ref.draft import Roles
from tom_ref.errors import ProtocolError, Reason
from tom_ref.term_frames import Child, Join, Member, Move, TermRecord
from tom_ref.timing import Timing

_MOST_LEFT: Final = 16
"""The most subnets remembered as left."""


@frozen
class Rank:
    """How two subnets of one lineage compare: the greater one lives on (TOM-ROLES-105, 142)."""

    can_live: bool
    """``False`` for a parent from which so many moved that no quorum is left in it."""
    size: int
    subnet: bytes
    genesis: bytes
    """Hash of the record that it began with: a founder that lies can give one id to two children."""

    def beats(self, other: Rank) -> bool:
        """Whether the other one dissolves: the smaller roster, then the higher id."""
        ours, theirs = (self.can_live, self.size), (other.can_live, other.size)
        if ours != theirs:
            return ours > theirs
        return (self.subnet, self.genesis) < (other.subnet, other.genesis)


def rank_of_child(child: Child) -> Rank:
    """A child counts by the roster of its genesis, which never changes."""
    record = child.record
    return Rank(
        can_live=True, size=len(record.roster), subnet=record.subnet, genesis=records.record_hash(record)
    )


def rank_of_parent(child: Child) -> Rank:
    """A child's parent counts by its members that didn't move to that child."""
    parent, roles = child.parent, Roles(child.parent)
    moved = {move.node for move in child.moves}
    staying = len(roles.members - moved)
    can_live = len(set(roles.validators) - moved) >= roles.quorum
    return Rank(can_live, staying, parent.subnet, records.record_hash(parent))


@define
class Moves:
    """The moves over one record, and the subnets that this node has left.

    ``prove`` returns this node's VRF proof for an input.
    """

    own_id: bytes
    signing_key: SigningKey = field(repr=False)
    prove: Callable[[bytes], bytes] = field(repr=False)
    own: Move | None = None
    """This node's latest move over the base; ``None`` as long as it hasn't moved."""
    signed_at: int = 0
    """When it was signed, ms; after a restart, when the node started."""
    child: Child | None = None
    """The genesis by which this node's home began, if that is a child (TOM-ROLES-102)."""
    left: dict[bytes, int] = field(factory=dict)
    """Subnets that this node resigned from, with the term as of which it did."""
    _base: Roles | None = None
    _base_hash: bytes = b""
    _held: dict[bytes, Move] = field(factory=dict)
    """The latest move of each member over the base, this node's own left out."""

    # --- what is known ----------------------------------------------------------------------------------

    @property
    def base(self) -> Roles | None:
        """The roles of the record that moves leave."""
        return self._base

    @property
    def held(self) -> tuple[Move, ...]:
        """Every move over the base, ascending by member."""
        others = [move for move in self._held.values() if move.record == self._base_hash]
        moves = others if self.own is None else [*others, self.own]
        return tuple(sorted(moves, key=lambda move: move.node))

    @property
    def follows(self) -> bool:
        """Whether this node follows a child of its latest move."""
        return (
            self.own is not None
            and self.child is not None
            and records.record_hash(self.child.parent) == self.own.record
        )

    @property
    def homeless(self) -> bool:
        """Whether this node has moved and follows no child."""
        return self.own is not None and not self.follows

    def over(self, record: TermRecord) -> bool:
        """Whether a record is the base."""
        return self._base is not None and self._base.record == record

    def resigned(self, record: TermRecord) -> bool:
        """Whether a record's listing of this node is void, because it has left (TOM-ROLES-092, 093, 143)."""
        member, term = record.member(self.own_id), self.left.get(record.subnet)
        return member is not None and term is not None and member.admitted <= term

    def cancelled(self, node: bytes, record: TermRecord) -> bool:
        """Whether a held move voids a record's listing of a member (TOM-ROLES-093, 096)."""
        move, member = self._held.get(node), record.member(node)
        return (
            move is not None
            and member is not None
            and move.subnet == record.subnet
            and record.term <= move.term + 1
            and member.admitted <= move.term
        )

    def highest(self) -> int:
        """The highest attempt seen over the base, 0 when nobody moved."""
        return max((move.attempt for move in self.held), default=0)

    # --- the base ---------------------------------------------------------------------------------------

    def rebase(self, roles: Roles) -> None:
        """A record became present of which this node is an active member: moves from now on leave that one.

        Moves over the record before it are kept for one more term: they void listings in this one.
        """
        present = records.record_hash(roles.record)
        if present == self._base_hash:
            return
        kept = roles.record.previous
        self._held = {node: move for node, move in self._held.items() if move.record == kept}
        self._base, self._base_hash, self.own = roles, present, None

    # --- moving -----------------------------------------------------------------------------------------

    def next_attempt(self) -> int:
        """The attempt to sign next: one more than the last, or the highest seen (TOM-ROLES-090, 094)."""
        last = 0 if self.own is None else self.own.attempt
        return max(last + 1, self.highest())

    @property
    def behind(self) -> bool:
        """Whether others have signed a later attempt (TOM-ROLES-150)."""
        return self.own is not None and self.highest() > self.own.attempt

    def sign(self, now: int) -> Move:
        """Resign from the base's subnet, and from a child of an earlier attempt (TOM-ROLES-089 to 094)."""
        assert self._base is not None, "a member moves"
        record, attempt = self._base.record, self.next_attempt()
        if self.follows:
            assert self.child is not None, "it follows one"
            self._leave(self.child.record.subnet, self.child.record.term)
            self.child = None
        founder = self._base.fork_founder(attempt)
        signed = records.signed_move(record.subnet, record.term, self._base_hash, attempt, founder)
        move = Move(
            record.subnet,
            record.term,
            self._base_hash,
            attempt,
            founder,
            self.own_id,
            self.signing_key.sign(signed),
        )
        self.own, self.signed_at = move, now
        self._leave(record.subnet, record.term)
        return move

    def leave(self, record: TermRecord) -> None:
        """Resign from a subnet that dissolves (TOM-ROLES-106)."""
        self._leave(record.subnet, record.term)
        self.child, self.own = None, None

    def _leave(self, subnet: bytes, term: int) -> None:
        self.left.pop(subnet, None)
        self.left[subnet] = term
        while len(self.left) > _MOST_LEFT:
            del self.left[next(iter(self.left))]

    def take(self, move: Move) -> bool:
        """Keep another member's move; ``False`` when a later or the same one is held.

        Raises what :func:`~tom_ref.records.check_move` raises, and ``overloaded`` for an attempt so far
        beyond this node's own that somebody wants to use the attempts up (TOM-ROLES-141).
        """
        if self._base is None:
            raise ProtocolError(Reason.WRONG_SUBNET, "a move, and no home")
        last = 0 if self.own is None else self.own.attempt
        if move.attempt > last + constants.MAX_ATTEMPT_LEAP:
            raise ProtocolError(Reason.OVERLOADED, f"attempt {move.attempt} after {last}")
        if move.node == self.own_id:
            return False
        held = self._held.get(move.node)
        if held is not None and held.record == self._base_hash and held.attempt >= move.attempt:
            return False
        records.check_move(move, self._base, self._base_hash)
        self._held[move.node] = move
        return True

    # --- founding ---------------------------------------------------------------------------------------

    def may_found(self, now: int) -> bool:
        """Whether this node founds its latest attempt and has waited for the others (TOM-ROLES-097)."""
        own, base = self.own, self._base
        return (
            self.homeless
            and own is not None
            and base is not None
            and own.founder == self.own_id
            and now >= self.signed_at + constants.FOUNDER_WAIT_SLOTS * base.record.slot_ms
        )

    def found(self, now: int, joins: Sequence[Join]) -> Child | None:
        """The one genesis of this node's attempt; ``None`` with nobody to found it with (TOM-ROLES-097, 098).

        ``now`` is its start in ms.  ``joins`` are the newcomers that wait, in their order; one is taken when
        nobody else has moved.  The caller has to :meth:`follow` it, in one step with sending it.
        """
        own, base = self.own, self._base
        assert own is not None, "a founder has moved"
        assert base is not None, "and it moved out of something"
        moves = tuple(move for move in self.held if move.attempt == own.attempt)
        members = [member for move in moves if (member := base.record.member(move.node)) is not None]
        if len(members) < 2:
            newcomers = [join.descriptor for join in joins if join.descriptor.node_id not in base.members]
            members += [Member(one.node_id, one.vrf_key, admitted=0) for one in newcomers[:1]]
        if len(members) < 2:
            return None
        proof = self.prove(records.child_alpha(own.attempt, base.record.seed))
        record = records.child_record(
            base, self._base_hash, own.attempt, members=members, proof=proof, start=now
        )
        signature = self.signing_key.sign(records.signed_genesis(record))
        return Child(record, signature, base.record, moves)

    # --- following --------------------------------------------------------------------------------------

    def may_follow(self, child: Child) -> bool:
        """Whether a valid child is the one to follow (TOM-ROLES-102)."""
        own = self.own
        return (
            self.homeless
            and own is not None
            and child.moves[0].attempt == own.attempt
            and records.record_hash(child.parent) == own.record
            and child.record.member(self.own_id) is not None
        )

    def follow(self, child: Child) -> None:
        """Make a child this node's home: from now on no other of that attempt."""
        self.child = child

    def settle(self) -> None:
        """The child's first own record is final: no move over the parent any more (TOM-ROLES-103)."""
        self.own = None

    # --- disk -------------------------------------------------------------------------------------------

    def stored(self) -> dict[bytes, bytes | None]:
        """The rows of the table: ``moved``, ``followed`` and ``left`` (TOM-ROLES-091)."""
        left = [{"subnet": subnet, "term": term} for subnet, term in self.left.items()]
        return {
            b"moved": None if self.own is None else codec.encode_frame(self.own),
            b"followed": None if self.child is None else codec.encode_frame(self.child),
            b"left": codec.LEFT.encode(count=len(left), left=left) if left else None,
        }

    def restore(self, key: bytes, value: bytes) -> None:
        """Take a row back; raises ``ProtocolError`` when it is corrupt."""
        if key == b"left":
            self.left = {entry.subnet: entry.term for entry in codec.LEFT.decode(value).left}
            return
        frame = codec.decode_frame(value)
        if key == b"moved" and isinstance(frame, Move):
            self.own = frame
        elif key == b"followed" and isinstance(frame, Child):
            self.child = frame
        else:
            raise ProtocolError(Reason.BAD_VALUE, "a stored move that is none")

    def restored(self, present: TermRecord | None, now: int) -> None:
        """Find the base again; raises ``bad_value`` when a move has none."""
        if self.own is None:
            return
        self.signed_at = now
        for record in (present, None if self.child is None else self.child.parent):
            if record is not None and records.record_hash(record) == self.own.record:
                self._base, self._base_hash = Roles(record), self.own.record
                return
        raise ProtocolError(Reason.BAD_VALUE, "a stored move over a record that is not held")


def judge_child(child: Child, timing: Timing, now: int) -> int:
    """Verify a child's genesis and its date; returns its attempt (TOM-ROLES-097 to 101, 144).

    Rejects what :func:`~tom_ref.records.check_child` does, and ``future_date``.
    """
    if child.record.start > now + 2 * timing.eps + child.record.slot_ms:
        raise ProtocolError(Reason.FUTURE_DATE, "a child that begins later")
    return records.check_child(child, timing)
