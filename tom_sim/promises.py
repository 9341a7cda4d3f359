"""The promises of the protocol, checked after every step of every honest node.

The names are those of the formal models (``tla/roles``, ``tla/purge``), so that a failure here points to the
property, and by it to the rules, that it breaks.  What is looked at is what left a node, what is on its disk,
and what :meth:`Node.inspect` says it holds; never what it might have meant.

A liar is not checked: it breaks whatever it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field, frozen

from tom_ref import codec, term_codec
from tom_ref.draft import Roles, eligible
from tom_ref.effects import Change, Effect, Persist, Table
from tom_ref.errors import ProtocolError
from tom_ref.inputs import Input
from tom_ref.records import block_hash, record_hash
from tom_ref.term_frames import Heartbeat, Leave, Move, Proposal, TermRecord, Vote
from tom_sim.view import View
from tom_sim.world import Host, World

WATCHED: Final = frozenset({7, 8, 9, 14, 15})
"""Types of frames that bind their maker: proposal, vote, heartbeat, leave, move."""


class PromiseError(AssertionError):
    """A promise of the protocol was broken; ``promise`` is its name."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise
        self.what = what

    def __reduce__(self) -> tuple[type[PromiseError], tuple[str, str]]:
        """Errors travel between the processes of a campaign."""
        return type(self), (self.promise, self.what)


@frozen
class Held:
    """A record, and the first node that was seen to hold it."""

    hash: bytes
    record: TermRecord
    by: int


@define
class Signed:
    """What one honest node was seen to sign; outlives its crashes."""

    votes: dict[tuple[bytes, int], dict[int, bytes]] = field(factory=dict)
    """By subnet and term: the block voted for in each slot."""
    blocks: dict[tuple[bytes, int], dict[int, bytes]] = field(factory=dict)
    """By subnet and term: the block proposed in each slot."""
    attempts: dict[tuple[bytes, bytes], int] = field(factory=dict)
    """By subnet and record: the latest attempt moved for."""
    voted: dict[bytes, dict[int, None]] = field(factory=dict)
    """By record: the slots it voted in, as they reached its disk."""
    left: set[bytes] = field(factory=set)
    """Subnets that it moved out of or left."""
    acting: bytes | None = None
    """The subnet it acted in last."""
    highest: dict[bytes, int] = field(factory=dict)
    """By subnet: the highest term of a record it held."""
    taken_at: dict[tuple[bytes, int], int] = field(factory=dict)
    """By subnet and term: when it first held the record, in ms."""


Trace = Callable[[str, Host, tuple[object, ...]], None]


class Promises:
    """Watches a world; raises :class:`PromiseError` at the first step that breaks a promise."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.records: dict[tuple[bytes, int], Held] = {}
        """By subnet and term: the record, which is the same with everybody."""
        self.by_hash: dict[bytes, tuple[TermRecord, Roles]] = {}
        self.signed: dict[int, Signed] = {}
        self.terms_ended = 0
        self.forks = 0
        self.last_new = 0
        """When an honest node last took a new record, in ms."""
        self.listeners: list[Observer] = []
        self.trace: Trace | None = None
        self.clock: Callable[[Host], int] | None = None
        """Reads what a node's slots go by, where that isn't its computer's clock."""
        self._views: dict[int, tuple[int, bytes]] = {}
        self._cast: dict[int, tuple[int, bytes, int]] = {}
        self._decoded: dict[bytes, object] = {}

    # --- what a world tells -------------------------------------------------------------------------------

    def stepped(self, host: Host, what: Input, effects: Sequence[Effect]) -> None:
        """After each step: the record that the node holds, and its roles."""
        for listener in self.listeners:
            listener.stepped(host, what, effects)
        if host.liar is not None or host.node is None:
            return
        if effects and type(effects[0]) is Persist:
            self._casts(host)
        present = host.node.present
        known = self._views.get(host.index)
        if known == (host.incarnation, present):
            return
        self._views[host.index] = (host.incarnation, present)
        view = host.node.view()
        if view is not None:
            self._holds(host, view)

    def wrote(self, host: Host, changes: Sequence[Change]) -> None:
        """What is on a disk; compared when something leaves."""
        for listener in self.listeners:
            listener.wrote(host, changes)
        if host.liar is None:
            for change in changes:
                if change.table is Table.TERM and change.value is not None:
                    stored = codec.TERM.decode(change.value)
                    self._voted(host, stored.present, stored.last_slot)

    def effect(self, host: Host, effect: Effect) -> None:
        """Delivery's business."""
        for listener in self.listeners:
            listener.effect(host, effect)

    def crashed(self, host: Host) -> None:
        """A crash excuses nothing."""
        for listener in self.listeners:
            listener.crashed(host)

    def sending(self, host: Host, data: bytes) -> None:
        """A frame leaves an honest node: whatever it signed itself binds it."""
        for listener in self.listeners:
            listener.sending(host, data)
        if not data or data[0] not in WATCHED:
            return
        frame = self._decoded.get(data)
        if frame is None:
            try:
                frame = codec.decode_frame(data)
            except ProtocolError:
                what = f"node {host.index} sends a frame that nobody can read"
                raise PromiseError("OwnFramesValid", what) from None
            if len(self._decoded) > 50_000:
                self._decoded.clear()
            self._decoded[data] = frame
        match frame:
            case Vote() if frame.voter == host.id:
                self._votes(host, frame)
            case Proposal():
                self._proposes(host, frame)
            case Heartbeat() if frame.node == host.id:
                self._acts(host, frame.subnet)
            case Leave() if frame.node == host.id:
                self._of(host).left.add(frame.subnet)
            case Move() if frame.node == host.id:
                self._moves(host, frame)

    # --- records and roles --------------------------------------------------------------------------------

    def _holds(self, host: Host, view: View) -> None:
        record, present = view.record, view.present
        place = record.subnet, record.term
        held = self.records.get(place)
        signed = self._of(host)
        if held is None:
            self.check_record(record, present)
            self.records[place] = Held(present, record, host.index)
            self.by_hash[present] = record, Roles(record)
            if record.term:
                self.terms_ended += 1
            elif record.proposer != bytes(32):
                self.forks += 1
        else:
            self.require(
                "TermAgreement",
                held.hash == present,
                f"nodes {held.by} and {host.index} hold two records of term {record.term}",
            )
        self.last_new = self.world.now if self.world is not None else 0
        roles = self.by_hash[present][1]
        self.require(
            "RoleAgreement",
            (view.roles.relays, view.roles.guardians, view.roles.leaders)
            == (roles.relays, roles.guardians, roles.leaders),
            f"node {host.index} computes other roles from the record of term {record.term}",
        )
        highest = signed.highest.get(record.subnet, -1)
        self.require(
            "NeverBack",
            record.term >= highest,
            f"node {host.index} goes back from term {highest} to {record.term}",
        )
        signed.highest[record.subnet] = record.term
        signed.taken_at.setdefault(place, self.last_new)
        self.require(
            "NoSplitBrain",
            record.subnet not in signed.left,
            f"node {host.index} holds a record of a subnet that it left",
        )
        if self.trace is not None:
            self.trace("Adopt", host, (record, present))

    def check_record(self, record: TermRecord, present: bytes) -> None:
        """What can be said of a record alone."""
        self._sums_to_zero(record)
        self.require("RecordHash", record_hash(record) == present, f"term {record.term} under another hash")
        before = self.records.get((record.subnet, record.term - 1))
        if before is not None:
            self.require(
                "ChainAgreement",
                record.previous == before.hash,
                f"term {record.term} doesn't follow from term {record.term - 1}",
            )
        roles = Roles(record)
        pool = [member for member in record.roster if eligible(member, record.term)]
        listed = {member.node for member in pool}
        drawn = {"relay": roles.relays, "guardian": roles.guardians, "leader": roles.leaders}
        for name, nodes in drawn.items():
            self.require(
                "RoleOnlyIfRostered",
                listed.issuperset(nodes) and len(set(nodes)) == len(nodes),
                f"a {name} of term {record.term} is not in the pool",
            )
        quotas = {
            "relay": -(-len(pool) * record.relay_share // 12),
            "guardian": -(-len(pool) // 8),
            "leader": sum(member.absent == 0 for member in pool),
        }
        for name, quota in quotas.items():
            self.require(
                "QuotaMet",
                len(drawn[name]) == quota,
                f"{len(drawn[name])} of {quota} as {name} in term {record.term}",
            )

    def _sums_to_zero(self, record: TermRecord) -> None:
        """In each record that an honest node holds or proposes, in whatever subnet (TOM-BALANCE-001)."""
        balance = sum(member.balance for member in record.roster) + record.pot
        self.require(
            "BalancesSumToZero", balance == 0, f"the balances of term {record.term} sum to {balance}"
        )

    # --- what binds ---------------------------------------------------------------------------------------

    def _of(self, host: Host) -> Signed:
        signed = self.signed.get(host.index)
        if signed is None:
            signed = self.signed[host.index] = Signed()
        return signed

    def _acts(self, host: Host, subnet: bytes) -> None:
        """Something that only a member of this subnet does."""
        signed = self._of(host)
        self.require(
            "NoSplitBrain", subnet not in signed.left, f"node {host.index} acts in a subnet that it left"
        )
        if signed.acting is not None and signed.acting != subnet:
            self.require(
                "NoSplitBrain",
                signed.acting in signed.left,
                f"node {host.index} acts in two subnets, without a move or a leave between",
            )
        signed.acting = subnet

    def _moves(self, host: Host, move: Move) -> None:
        signed = self._of(host)
        latest = signed.attempts.get((move.subnet, move.record), 0)
        if move.attempt == latest:
            return
        self.require(
            "MovesRise",
            move.attempt > latest,
            f"node {host.index} moves for attempt {move.attempt} after {latest}",
        )
        signed.attempts[move.subnet, move.record] = move.attempt
        signed.left.add(move.subnet)
        on_disk = any(table is Table.MOVE for table, _, _ in host.store.load())
        self.require("DiskFirst", on_disk, f"a move of node {host.index} leaves before it is on disk")

    def _proposes(self, host: Host, proposal: Proposal) -> None:
        header = proposal.header
        place = header.subnet, header.term
        held = self.by_hash.get(header.present)
        if held is None or held[1].leader(header.slot) != host.id:
            return
        if proposal.record is not None:
            self._sums_to_zero(proposal.record)
        blocks = self._of(host).blocks.setdefault(place, {})
        block = block_hash(header)
        earlier = blocks.setdefault(header.slot, block)
        self.require(
            "ProposeOnce",
            earlier == block,
            f"node {host.index} proposes two blocks in slot {header.slot} of term {header.term}",
        )
        self._acts(host, header.subnet)

    def _casts(self, host: Host) -> None:
        """A vote is cast in the slot that is current by the node's own clock (TOM-ROLES-030)."""
        view = host.node.view() if host.node is not None else None
        if view is None or self.world is None:
            return
        cast = self._cast.get(host.index)
        now = host.incarnation, view.present, view.last_slot
        if cast == now:
            return
        self._cast[host.index] = now
        if cast is not None and cast[:2] == now[:2] and view.last_slot:
            passed = (self.clock or self.world.time_of)(host) - view.record.start
            slot = passed // view.record.slot_ms
            self.require(
                "VoteOnce",
                slot == view.last_slot,
                f"node {host.index} votes in slot {view.last_slot} while slot {slot} is current",
            )

    def _voted(self, host: Host, present: bytes, slot: int) -> None:
        """Votes rise in the order in which they are written (TOM-ROLES-031, 036).

        Not in the order in which they leave: a vote that had no link to leave by may be asked for later.
        """
        if not slot:
            return
        slots = self._of(host).voted.setdefault(present, {})
        latest = next(reversed(slots), 0)
        self.require(
            "VoteRising",
            slot >= latest,
            f"node {host.index} writes that it voted in slot {slot}, after slot {latest}",
        )
        slots[slot] = None

    def _votes(self, host: Host, vote: Vote) -> None:
        place = vote.subnet, vote.term
        signed = self._of(host)
        votes = signed.votes.setdefault(place, {})
        if votes.get(vote.slot) == vote.block:
            return
        what = f"node {host.index} in slot {vote.slot} of term {vote.term}"
        self.require("VoteOnce", vote.slot not in votes, f"{what}: a second vote")
        self.require(
            "VoteRising",
            vote.slot > max(votes, default=0) or vote.slot in signed.voted.get(vote.present, {}),
            f"{what}: a vote below slot {max(votes, default=0)}, never written",
        )
        votes[vote.slot] = vote.block
        self._acts(host, vote.subnet)
        # The step that makes a record final may hold the vote that completed it.
        taken = signed.taken_at.get((vote.subnet, vote.term + 1))
        patience = 0 if self.world is None else self.world.now - self.world.faults.disk
        self.require(
            "NoOldVotes",
            signed.highest.get(vote.subnet, -1) <= vote.term or (taken is not None and taken >= patience),
            f"{what}: it held the next record",
        )
        self.require("DiskFirst", self._on_disk(host, vote), f"{what}: the vote leaves before it is on disk")
        if self.trace is not None:
            self.trace("Vote", host, (vote,))

    @staticmethod
    def _on_disk(host: Host, vote: Vote) -> bool:
        for table, _, value in host.store.load():
            try:
                if table is Table.TERM:
                    stored = codec.TERM.decode(value)
                    if stored.present == vote.present and stored.last_slot >= vote.slot:
                        return True
                elif table is Table.RECORD:
                    # Who holds the next record on disk never votes in this term again (TOM-ROLES-038).
                    record = term_codec.decode_record(value)
                    if record.subnet == vote.subnet and record.term > vote.term:
                        return True
            except ProtocolError:
                continue
        return False

    def require(self, promise: str, holds: bool, what: str) -> None:  # noqa: FBT001 - a condition
        """Raise unless it holds."""
        if not holds:
            raise PromiseError(promise, what)


class Observer:
    """Watches and does nothing; a base for those that want to see one thing."""

    def stepped(self, host: Host, what: Input, effects: Sequence[Effect]) -> None:
        """A node took a step."""

    def wrote(self, host: Host, changes: Sequence[Change]) -> None:
        """Changes reached a disk."""

    def sending(self, host: Host, data: bytes) -> None:
        """A frame leaves an honest node."""

    def effect(self, host: Host, effect: Effect) -> None:
        """Another effect is carried out."""

    def crashed(self, host: Host) -> None:
        """A computer crashed."""
