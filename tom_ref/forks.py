"""Forks and healing: when a member moves, which child it follows, how relatives become one subnet again.

:class:`~tom_ref.moves.Moves` keeps the rules of moves; this module says when they are used, and speaks with
the neighbours about it (TOM-ROLES-088 to 108).  A member moves only when it has itself watched the vote fail
for the fork time-out: a computer that slept has seen nothing, and asks before it does what can't be undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from attrs import define, field, frozen

from tom_ref import codec, constants, records
from tom_ref.draft import Roles, tolerated
from tom_ref.effects import Event, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.moves import Moves, Rank, judge_child, rank_of_child, rank_of_parent
from tom_ref.step import Step
from tom_ref.term_frames import (
    NO_TERM,
    Child,
    Heartbeat,
    Join,
    Leave,
    Move,
    RecordAnswer,
    RecordQuery,
    TermFrame,
    TermRecord,
)
from tom_ref.timing import Timing

_SLEPT_SLOTS: Final = 3
"""A node that didn't wake for this many slots has slept: what it missed it can't hold against others."""
_KIN: Final = 8
"""The most subnets of the same lineage that are remembered."""
_SOUGHT: Final = 2
"""How many lost members are looked for at once."""


class Host(Protocol):
    """What forks need of the home that they are part of."""

    @property
    def own_id(self) -> bytes:
        """This node's id."""

    @property
    def record(self) -> TermRecord | None:
        """The present record."""

    @property
    def roles(self) -> Roles | None:
        """The roles of the present record."""

    @property
    def is_member(self) -> bool:
        """Whether this node acts as a member of the present record."""

    def joins(self) -> Sequence[Join]:
        """The joins that wait to be recorded, in their drawn order."""

    def leaves_wait(self) -> bool:
        """Whether a leave waits to be recorded."""

    def linked(self) -> tuple[bytes, ...]:
        """Every linked peer."""

    def hush(self) -> None:
        """Vote, propose and show presence no more for the present record."""

    def sign_leave(self) -> Leave:
        """This node's leave out of the present record's subnet."""

    def gossip(self, step: Step, frame: TermFrame) -> None:
        """Tell all neighbours something of this node's own."""

    def pass_on(self, step: Step, peer: bytes, data: bytes) -> None:
        """Tell all neighbours but one what that one said."""

    def tell(self, step: Step, peer: bytes, frame: TermFrame) -> None:
        """Tell one neighbour."""

    def enter(self, step: Step, record: TermRecord, proof: bytes, heartbeats: Iterable[Heartbeat]) -> None:
        """Make a record of another subnet present."""


@frozen
class _Live:
    """A record of a kin subnet that enough members of the common record vouched for."""

    child: Child
    answer: RecordAnswer
    rank: Rank


@define
class Forks:
    """One node's part in the forks of its home."""

    host: Host = field(repr=False)
    moves: Moves
    timing: Timing
    _watching: int = 0
    """Since when this node has watched the present vote without a gap, ms."""
    _ticked: int = 0
    _quorate: bool = False
    """Whether a quorum gave signs of life within the fork time-out, when it was looked last."""
    _heard: dict[bytes, int] = field(factory=dict)
    """When each member gave a sign of life last, ms."""
    _followed_at: int = 0
    _kin: dict[bytes, Child] = field(factory=dict)
    """Other children of this lineage, by the hash of their genesis."""
    _live: dict[bytes, _Live] = field(factory=dict)
    """Those that are known to be alive, by the same."""
    _former: dict[bytes, int] = field(factory=dict)
    """Who may come back without an invitation, and until when, ms."""
    _place: int = 0
    """Who is looked for next among the lost."""

    # --- what others ask --------------------------------------------------------------------------------

    def served(self, subnet: bytes) -> bool:
        """Whether messages of an ancestor or a relative are carried here, too (TOM-ROLES-145)."""
        child = self.moves.child
        return (
            subnet in self.moves.left
            or (child is not None and subnet == child.parent.subnet)
            or any(subnet == kin.record.subnet for kin in self._kin.values())
        )

    def knows(self, node: bytes, now: int) -> bool:
        """Whether a newcomer was a member of this lineage and so needs no invitation (TOM-ROLES-107, 146)."""
        child = self.moves.child
        return (child is not None and child.parent.member(node) is not None) or now < self._former.get(
            node, 0
        )

    @property
    def provisional(self) -> bool:
        """Whether the home is a child without a record of its own (TOM-ROLES-103)."""
        record = self.host.record
        return record is not None and self.moves.follows and record.term == 0

    @property
    def lineage(self) -> frozenset[bytes]:
        """The members of the parent's record, whose addresses are kept so that they are found again."""
        child = self.moves.child
        return frozenset() if child is None else frozenset(member.node for member in child.parent.roster)

    def lost(self, step: Step) -> tuple[bytes, ...]:
        """Whom to look for: members of the lineage that the present record doesn't list (TOM-ROLES-147)."""
        child, record = self.moves.child, self.host.record
        assert record is not None, "the mesh is a record's"
        parents = () if child is None else child.parent.roster
        wanted = {member.node for member in parents} | {
            node for node, until in self._former.items() if step.now < until
        }
        wanted |= {member.node for kin in self._kin.values() for member in kin.record.roster}
        away = sorted(wanted - {member.node for member in record.roster} - {self.host.own_id})
        if not away:
            return ()
        self._place += _SOUGHT
        return tuple(away[(self._place + number) % len(away)] for number in range(min(_SOUGHT, len(away))))

    # --- disk -------------------------------------------------------------------------------------------

    def store(self, step: Step) -> None:
        """Write what must never be forgotten, before anything that follows leaves (TOM-ROLES-091)."""
        for key, value in self.moves.stored().items():
            if value is None:
                step.erase(Table.MOVE, key)
            else:
                step.put(Table.MOVE, key, value)

    def restored(self, roles: Roles | None, now: int) -> None:
        """All rows are back; raises ``bad_value`` for a move whose record is not held."""
        self._watching = self._ticked = self._followed_at = now
        self.moves.restored(None if roles is None else roles.record, now)
        if roles is not None and self.moves.own is None and self.host.is_member:
            self.moves.rebase(roles)

    # --- what home tells --------------------------------------------------------------------------------

    def heard(self, node: bytes, now: int) -> None:
        """A member gave a sign of life: a heartbeat, vote, proposal or move."""
        self._heard[node] = now

    def became(self, step: Step, before: TermRecord | None, roles: Roles) -> None:
        """A record became present."""
        record = roles.record
        self._heard.clear()
        self._quorate = False
        self._watching = self._ticked = step.now
        if before is not None and before.subnet == record.subnet:
            gone = {member.node for member in before.roster} - roles.members
            self._remember_former(gone, step.now)
        if self.moves.homeless and not self.moves.over(record):
            self.moves.own = None  # The parent lives on, or another subnet took this node in.
            self.store(step)
        if not self.host.is_member or self.provisional:
            return
        if self.moves.own is not None and self.moves.follows:
            self.moves.settle()
        self.moves.rebase(roles)
        self.moves.left.pop(record.subnet, None)  # Listed again since: the old resignation is over.
        self.store(step)

    def _remember_former(self, nodes: Iterable[bytes], now: int) -> None:
        self._former = {node: until for node, until in self._former.items() if now < until}
        for node in sorted(nodes):
            if len(self._former) < _KIN * constants.MAX_MEMBERS:
                self._former[node] = now + constants.FORMER_MEMORY

    def forgot(self, step: Step) -> None:
        """The home is given up; what was left stays left."""
        self.moves.own = self.moves.child = None
        self._kin.clear()
        self._live.clear()
        self._former.clear()
        self.store(step)

    # --- time -------------------------------------------------------------------------------------------

    def tick(self, step: Step) -> None:
        """A slot of the vote began, or, without a home, of the wait for one."""
        record, now = self.host.record, step.now
        assert record is not None, "slots are a record's"
        slept = now > max(self._ticked, record.start) + _SLEPT_SLOTS * record.slot_ms
        self._ticked = now
        if slept or self._quorum_returned(record, now):
            self._watching = now
        if self.moves.homeless:
            self._seek_home(step, record)
        elif self.provisional:
            if now >= self._followed_at + constants.CHILD_WAIT_SLOTS * record.slot_ms:
                self._sign(step)
        elif self.host.is_member and self._due(record, now):
            self._sign(step)

    def _quorum_returned(self, record: TermRecord, now: int) -> bool:
        """Whether a quorum gives signs of life that gave none: it gets its time to agree (TOM-ROLES-140)."""
        roles, was = self.host.roles, self._quorate
        assert roles is not None, "slots are a record's"
        alive = [
            node
            for node in roles.validators
            if node == self.host.own_id or now - self._heard.get(node, 0) < record.fork_ms
        ]
        self._quorate = len(alive) >= roles.quorum
        return self._quorate and not was

    def _due(self, record: TermRecord, now: int) -> bool:
        """Whether a change waits and the quorum has been gone for long enough (TOM-ROLES-088, 098, 140)."""
        if now < max(record.start, self._watching) + record.fork_ms:
            return False
        others = [member.node for member in record.roster if member.node != self.host.own_id]
        silent = [node for node in others if now - self._heard.get(node, 0) >= record.fork_ms]
        if len(silent) == len(others):  # A lone survivor forks only to admit somebody.
            return bool(self.host.joins())
        return bool(silent) or bool(self.host.joins()) or self.host.leaves_wait()

    def _seek_home(self, step: Step, record: TermRecord) -> None:
        now = step.now
        if self.moves.may_found(now):
            child = self.moves.found(now + record.slot_ms, self.host.joins())
            if child is not None:
                self._follow(step, child, None)
                return
        # Two that step together, one attempt apart, would stay so for ever (TOM-ROLES-150).
        wait = constants.FOUNDER_WAIT_SLOTS + 1 if self.moves.behind else constants.MOVE_WAIT_SLOTS
        if now < self.moves.signed_at + wait * record.slot_ms:
            return
        live = self._best()
        if live is None:
            self._sign(step)
        else:
            self._enter(step, live)

    def _best(self) -> _Live | None:
        found = list(self._live.values())
        return next((one for one in found if not any(other.rank.beats(one.rank) for other in found)), None)

    def _sign(self, step: Step) -> None:
        """Move, first on disk: from here on nothing is signed in the parent (TOM-ROLES-091, 092)."""
        base = self.moves.base
        assert base is not None, "a member has a base"
        left_child = self.provisional
        move = self.moves.sign(step.now)
        self.store(step)
        step.report(Event.MOVED, move.founder, detail=f"attempt {move.attempt}")
        if left_child:
            self.host.enter(step, base.record, b"", ())
        self.host.hush()
        self.host.gossip(step, move)

    # --- moves and children -----------------------------------------------------------------------------

    def on_move(self, step: Step, peer: bytes, move: Move, data: bytes) -> bool:
        """Take a member's move; ``False`` when it is not over this node's base."""
        base = self.moves.base
        if base is not None and move.record == records.record_hash(base.record):
            if self.moves.take(move):
                self.heard(move.node, step.now)
                self.host.pass_on(step, peer, data)
            return True
        child = self.moves.child
        if child is not None and move.subnet == child.parent.subnet:
            self.host.tell(step, peer, child)
            return True
        return False

    def on_child(self, step: Step, peer: bytes, child: Child, data: bytes) -> None:
        """Take a child's genesis: follow it, or remember it as a relative (TOM-ROLES-102, 105)."""
        judge_child(child, self.timing, step.now)
        record, genesis = self.host.record, records.record_hash(child.record)
        if self.moves.may_follow(child) or self._invited(child):
            self._follow(step, child, (peer, data))
            return
        assert record is not None, "without a home no child is taken"
        if genesis in self._kin:
            return
        if record.subnet == child.record.subnet:
            if self.moves.child is None:
                self.moves.child = child
                self.store(step)
            return
        if not self._related(child):
            raise ProtocolError(Reason.WRONG_SUBNET, "a child of another lineage")
        if len(self._kin) >= _KIN:
            oldest = next(iter(self._kin))
            del self._kin[oldest]
            self._live.pop(oldest, None)
        self._kin[genesis] = child
        self.host.pass_on(step, peer, data)
        if self.moves.child is not None:
            self.host.tell(step, peer, self.moves.child)
        self.host.tell(step, peer, RecordQuery(child.record.subnet, NO_TERM))

    def _invited(self, child: Child) -> bool:
        """Whether a lone survivor founded a child to admit this guest (TOM-ROLES-098)."""
        record, own = self.host.record, child.record.member(self.host.own_id)
        return record == child.parent and own is not None and child.parent.member(own.node) is None

    def _related(self, child: Child) -> bool:
        own, record = self.moves.child, self.host.record
        parent = records.record_hash(child.parent)
        if own is not None and parent == records.record_hash(own.parent):
            return True
        return record is not None and record.subnet == child.parent.subnet

    def _follow(self, step: Step, child: Child, source: tuple[bytes, bytes] | None) -> None:
        self.moves.follow(child)
        self._followed_at = step.now
        self._kin.clear()
        self._live.clear()
        self.store(step)
        if source is None:
            self.host.gossip(step, child)
        else:
            self.host.pass_on(step, *source)
        size = len(child.record.roster)
        step.report(
            Event.FORKED, child.record.proposer, detail=f"{child.record.subnet.hex()}, {size} members"
        )
        self.host.enter(step, child.record, codec.encode_frame(child), ())

    # --- meeting ----------------------------------------------------------------------------------------

    def link_up(self, step: Step, peer: bytes) -> None:
        """Tell a neighbour that didn't found this child with us what it descends from."""
        child = self.moves.child
        if child is not None and not self.moves.homeless and child.record.member(peer) is None:
            self.host.tell(step, peer, child)

    def look(self, step: Step) -> None:
        """Ask linked relatives again how they are (TOM-ROLES-147)."""
        record, child, linked = self.host.record, self.moves.child, self.host.linked()
        assert record is not None, "the mesh is a record's"
        asked = [
            (kin.record, kin.record.subnet)
            for kin in self._kin.values()
            if self.moves.homeless or rank_of_child(kin).beats(self._own_rank(kin))
        ]
        if child is not None and rank_of_parent(child).beats(rank_of_child(child)):
            asked.append((child.parent, child.parent.subnet))
        for other, subnet in asked:
            strangers = [
                node for node in linked if other.member(node) is not None and record.member(node) is None
            ]
            members = strangers or [node for node in linked if other.member(node) is not None]
            for peer in members[:_SOUGHT]:
                self.host.tell(step, peer, RecordQuery(subnet, NO_TERM))

    def on_foreign_query(self, step: Step, peer: bytes, query: RecordQuery) -> None:
        """Somebody asks for a record of the parent: say which child this is, and ask in return."""
        child = self.moves.child
        if child is not None and not self.moves.homeless and query.subnet == child.parent.subnet:
            self.host.tell(step, peer, child)
            if query.term != NO_TERM:
                self.host.tell(step, peer, RecordQuery(query.subnet, NO_TERM))

    def on_answer(self, step: Step, answer: RecordAnswer) -> None:
        """Take another subnet's present record, with verified heartbeats (TOM-ROLES-105, 148)."""
        subnet = answer.present.subnet
        for genesis, kin in list(self._kin.items()):
            if kin.record.subnet == subnet and self._vouched(kin.parent, answer):
                self._remember_former((member.node for member in answer.present.roster), step.now)
                if answer.present.term >= 1 and self._trusts(kin):
                    self._live[genesis] = _Live(kin, answer, rank_of_child(kin))
        child = self.moves.child
        if child is not None and subnet == child.parent.subnet and self._vouched(child.parent, answer):
            self._remember_former((member.node for member in answer.present.roster), step.now)
            if answer.present.term >= child.parent.term + 2:
                genesis = records.record_hash(child.parent)
                self._live[genesis] = _Live(child, answer, rank_of_parent(child))
        best = self._best()
        if self.moves.homeless or best is None:
            return
        if not self.provisional and best.rank.beats(self._own_rank(best.child)):
            self._enter(step, best)

    def _vouched(self, common: TermRecord, answer: RecordAnswer) -> bool:
        """Whether one honest member of the common record at least holds this record as present."""
        validators = Roles(common).validators
        present = records.record_hash(answer.present)
        vouching = {
            heartbeat.node
            for heartbeat in answer.heartbeats
            if heartbeat.record == present and answer.present.member(heartbeat.node) is not None
        }
        return len(vouching.intersection(validators)) > tolerated(len(validators))

    def _trusts(self, kin: Child) -> bool:
        """Whether the common record is one that this node held itself, or took with its home."""
        own, base = self.moves.child, self.moves.base
        known = [record for record in (self.host.record, own and own.parent, base and base.record) if record]
        return kin.parent in known

    def _own_rank(self, other: Child) -> Rank:
        """This node's own subnet, as the other one would see it."""
        own = self.moves.child
        return rank_of_parent(other) if own is None else rank_of_child(own)

    def _enter(self, step: Step, live: _Live) -> None:
        """Leave the present subnet for a live one of the same lineage, as its guest (TOM-ROLES-106, 107)."""
        record = self.host.record
        assert record is not None, "a home is left for another"
        if self.host.is_member:
            leave = self.host.sign_leave()
            self.moves.leave(record)
            self.host.gossip(step, leave)
        self._remember_former(self.lineage | {member.node for member in record.roster}, step.now)
        parent = live.answer.present.subnet == live.child.parent.subnet
        self.moves.own, self.moves.child = None, None if parent else live.child
        self._kin.clear()
        self._live.clear()
        self.store(step)
        step.report(Event.DISSOLVED, self.host.own_id, detail=f"into {live.answer.present.subnet.hex()}")
        self.host.enter(step, live.answer.present, b"", live.answer.heartbeats)
