"""The home subnet: the present record, the vote on the next one, who is there, who comes in, catching up.

A node has no home, is *joining* one, is its *guest* (it holds the record, which doesn't list it) or its
*member*.  Everybody who holds a record computes the same roles from it.  What members tell each other is
gossip: passed on once, to all neighbours but the one it came from (TOM-ROLES-114).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

from attrs import define, evolve, field, frozen

from tom_ref import codec, constants, records, term_codec, vrf
from tom_ref.admission import Admission, is_request, request
from tom_ref.crypto import Entropy, draw, sha256
from tom_ref.draft import Roles, tolerated
from tom_ref.effects import Event, Signalled, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.forks import Forks
from tom_ref.frames import Address, Descriptor, Header, Receipt
from tom_ref.identity import Identity
from tom_ref.inputs import CommandError
from tom_ref.invitation import check_invitation
from tom_ref.ledger import work_bits
from tom_ref.moves import Moves
from tom_ref.states import HOME
from tom_ref.states import Standing as Standing  # noqa: PLC0414 -- belongs to the status
from tom_ref.step import Step
from tom_ref.term import Surroundings, Term, TermOutput, own_heartbeat
from tom_ref.term_frames import (
    NO_HASH,
    NO_TERM,
    Child,
    Delivery,
    Evidence,
    FinalityProof,
    Genesis,
    Heartbeat,
    HeartbeatProof,
    Invitation,
    Join,
    Leave,
    LeaveProof,
    Move,
    Proposal,
    RecordAnswer,
    RecordQuery,
    Signal,
    TermFrame,
    TermRecord,
    VitalsProof,
    VitalsReport,
    Vote,
)
from tom_ref.timers import Timer, Timers
from tom_ref.timing import Timing
from tom_ref.vitals import Pulse

_PRESENT: Final = b"present"
_PREVIOUS: Final = b"previous"
_PROOF: Final = b"proof"
_INVITATION: Final = b"invitation"
_LEAVING: Final = b"leaving"
_ABSTAIN: Final = b"abstain"
_ROWS: Final = frozenset({_PRESENT, _PREVIOUS, _PROOF, _INVITATION, _LEAVING, _ABSTAIN})
_ONLY: Final = b""
_ASK_PAUSE: Final = 1_000
"""ms between two questions to the same end."""
_STALLED_SLOTS: Final = 4
"""A vote that takes longer than this asks its neighbours what it missed."""
_EVIDENCE_ROOM: Final = constants.MAX_EVIDENCE - 32_768
"""bytes of evidence for joins and deliveries; the rest is for presence."""
_TRANSIENT: Final = frozenset({Reason.WRONG_SLOT, Reason.WRONG_TERM, Reason.OVERLOADED, Reason.NO_ROUTE})
"""Refusals of frames that may be right later, or elsewhere."""


def _work_asked(roles: Roles, sender: bytes) -> int:
    member = roles.record.member(sender)
    return 0 if member is None else work_bits(member.balance)


class Outlet(Protocol):
    """How a home speaks to neighbours."""

    def tell(self, step: Step, peer: bytes, data: bytes) -> bool:
        """Hand a frame to a linked peer; ``False`` when there is no link."""

    def tell_all(self, step: Step, data: bytes, but: bytes | None) -> None:
        """Hand a frame to every linked peer but one."""

    def linked(self) -> tuple[bytes, ...]:
        """Every linked peer."""

    def learn(self, step: Step, descriptor: Descriptor) -> None:
        """Keep a descriptor that came with a join."""

    def descriptor(self) -> Descriptor:
        """This node's own descriptor."""

    def reach(self, step: Step, peer: bytes, addresses: tuple[Address, ...]) -> None:
        """Dial a peer, and keep trying."""


@frozen
class HomeStatus:
    """What a person may want to know of a node's home."""

    standing: Standing
    record: TermRecord | None
    roles: Roles | None
    slot: int
    """The current slot of the vote; -1 before it begins."""
    last_slot: int
    """The last slot this node voted in."""
    heard: tuple[bytes, ...]
    """Members whose heartbeat for the present record is held."""
    host: bytes | None
    """Whom a joining node or a guest asks."""
    provisional: bool = False
    """Whether the home is a child whose first own record isn't final yet (TOM-ROLES-103)."""


@define
class _Term:
    """What belongs to the present record and is forgotten with it (TOM-ROLES-003)."""

    term: Term
    proof: bytes
    """The frame that proves the record: finality, genesis or child; empty when it was adopted."""
    heartbeats: dict[bytes, tuple[Heartbeat, int]] = field(factory=dict)
    leaves: dict[bytes, Leave] = field(factory=dict)
    reports: dict[bytes, VitalsReport] = field(factory=dict)
    deliveries: dict[bytes, Delivery] = field(factory=dict)
    request: Join | None = None
    """This node's own request for admission: its work is done once."""
    signals: Counter[tuple[bytes, int]] = field(factory=Counter)
    """How many signals each neighbour had passed on in the present stretch of a slot's length."""
    told: set[bytes] = field(factory=set)
    """Who was given the record because it spoke of an older one."""

    @property
    def record(self) -> TermRecord:
        """The present record."""
        return self.term.record

    def forget_deliveries(self, expired: int) -> None:
        """Let go of the evidence of messages whose lifetime was over at ``expired`` ms (TOM-PURGE-055)."""
        for message, delivery in list(self.deliveries.items()):
            if delivery.receipt.created_at + delivery.receipt.ttl <= expired:
                del self.deliveries[message]


class Home:
    """One node's home subnet, or the way there."""

    def __init__(
        self, identity: Identity, *, entropy: Entropy, timing: Timing, timers: Timers, outlet: Outlet
    ) -> None:
        self.own_id: Final = identity.node_id
        self.forks: Final = Forks(
            self,
            Moves(identity.node_id, identity.signing_key, partial(vrf.prove, identity.vrf_secret)),
            timing,
        )
        self.admission: Final = Admission(identity.node_id, identity.signing_key, entropy, timers)
        self.pulse: Final = Pulse()
        self._identity = identity
        self._entropy = entropy
        self._timing = timing
        self._timers = timers
        self._outlet = outlet
        self._now: _Term | None = None
        self._previous: Roles | None = None
        self._invitation: Invitation | None = None
        self._leaving = False
        self._stored: dict[bytes, bytes] = {}
        self._stored_term: bytes | None = None
        self._heard: dict[bytes, None] = {}
        self._vouchers: dict[bytes, Heartbeat] = {}
        """The latest heartbeat for a later record of each member of the present one."""
        self._offered: dict[bytes, RecordAnswer] = {}
        """The later record that each neighbour offered last."""
        self._asked: dict[bytes, int] = {}

    # --- what others read -------------------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        """What this node is in its home."""
        if self._now is None:
            return Standing.NONE if self._invitation is None else Standing.JOINING
        if self.forks.moves.homeless:
            return Standing.MOVING
        listed = self.own_id in self._now.term.roles.members
        return (
            Standing.MEMBER if listed and not self.forks.moves.resigned(self._now.record) else Standing.GUEST
        )

    @property
    def record(self) -> TermRecord | None:
        """The present record."""
        return None if self._now is None else self._now.record

    @property
    def roles(self) -> Roles | None:
        """The roles of the present record, in force until the next one is final (TOM-ROLES-016, 045)."""
        return None if self._now is None else self._now.term.roles

    @property
    def term(self) -> Term | None:
        """The vote on the next record."""
        return None if self._now is None else self._now.term

    def status(self, now: int) -> HomeStatus:
        """A summary for people."""
        held = self._now
        return HomeStatus(
            self.standing,
            self.record,
            self.roles,
            -1 if held is None else held.term.slot(now),
            0 if held is None else held.term.last_slot,
            () if held is None else tuple(sorted(held.heartbeats)),
            None if self._invitation is None else self._invitation.inviter,
            self.forks.provisional,
        )

    def serves(self, subnet: bytes) -> bool:
        """Whether messages of a subnet are carried here (TOM-DELIVERY-030)."""
        return self._now is not None and (self._now.record.subnet == subnet or self.forks.served(subnet))

    def guest_term(self, subnet: bytes, neighbour: bytes) -> tuple[bytes, int] | None:
        """The present term of this member's subnet if ``neighbour`` is its guest (TOM-BALANCE-016)."""
        if self.standing is not Standing.MEMBER or self.roles is None or self.roles.record.subnet != subnet:
            return None
        listed = [roles.members for roles in (self.roles, self._previous) if roles is not None]
        return None if any(neighbour in members for members in listed) else (subnet, self.roles.record.term)

    def roles_of(self, header: Header) -> Roles | None:
        """The roles of the record that a header's term names, if it is kept (TOM-ROLES-082)."""
        for roles in (self.roles, self._previous):
            if (
                roles is not None
                and roles.record.term == header.term
                and roles.record.subnet == header.subnet
            ):
                return roles
        return None

    def route_fault(self, header: Header, relay: bytes) -> Reason | None:
        """Why a relay earns nothing for a message, if so (TOM-ROLES-080 to 083).

        ``wrong_term`` where neither kept record is the header's, ``wrong_route`` where the relay isn't among
        the first three of the duty list.
        """
        if not self.serves(header.subnet):
            return None
        roles = self.roles_of(header)
        if roles is None:
            return Reason.WRONG_TERM
        return None if relay in roles.on_duty(header.sender, header.recipient) else Reason.WRONG_ROUTE

    def own_work(self) -> int:
        """The bits of work that this node's messages need by the present record (TOM-BALANCE-010, 013)."""
        return 0 if self.roles is None else _work_asked(self.roles, self.own_id)

    def work_asked(self, sender: bytes) -> int:
        """The bits of work below which a relay refuses: the least that kept records ask (TOM-BALANCE-011)."""
        return min(
            (_work_asked(roles, sender) for roles in (self.roles, self._previous) if roles is not None),
            default=0,
        )

    # --- disk -------------------------------------------------------------------------------------------

    def restore(self, table: Table, key: bytes, value: bytes) -> None:
        """Take a stored row back; :meth:`restored` follows when all are there."""
        if table is Table.INVITATION:
            self.admission.restore(key, value)
        elif table is Table.TERM:
            codec.TERM.decode(value)
            self._stored_term = value
        elif table is Table.RECORD and key in _ROWS:
            self._stored[key] = value
        elif table is Table.MOVE:
            self.forks.moves.restore(key, value)
        else:
            raise ProtocolError(Reason.BAD_VALUE, f"a stored row of {table.value} that is not known")

    def restored(self, now: int, *, abstain: bool = False) -> None:
        """Put the rows together; raises ``ProtocolError`` when they are corrupt.

        ``abstain`` is set when the store may not be the latest (TOM-ROLES-037).
        """
        stored = self._stored
        if _INVITATION in stored:
            self._invitation = term_codec.decode_invitation(stored[_INVITATION])
        if _PREVIOUS in stored:
            self._previous = Roles(term_codec.decode_record(stored[_PREVIOUS]))
        self._leaving = _LEAVING in stored
        if _PRESENT in stored:
            record = term_codec.decode_record(stored[_PRESENT])
            abstain = abstain or stored.get(_ABSTAIN) == records.record_hash(record)
            abstain = abstain or self.forks.moves.resigned(record)
            self._now = self._term_of(record, stored.get(_PROOF, b""), self._stored_term, abstain=abstain)
        self.forks.restored(self.roles, now)
        self._stored, self._stored_term = {}, None

    def _term_of(
        self, record: TermRecord, proof: bytes, stored: bytes | None = None, *, abstain: bool = False
    ) -> _Term:
        secret = self._identity.vrf_secret
        term = Term(
            record,
            own_id=self.own_id,
            signing_key=self._identity.signing_key,
            prove=lambda alpha: vrf.prove(secret, alpha),
            surroundings=Surroundings(self._evidence, self._heard_at),
            stored=stored,
            abstain=abstain,
        )
        return _Term(term, proof)

    def _store(self, step: Step) -> None:
        held = self._now
        assert held is not None, "there is a record to store"
        step.put(Table.RECORD, _PRESENT, term_codec.encode_record(held.record))
        step.put(Table.RECORD, _PROOF, held.proof)
        if self._previous is None:
            step.erase(Table.RECORD, _PREVIOUS)
        else:
            step.put(Table.RECORD, _PREVIOUS, term_codec.encode_record(self._previous.record))
        step.erase(Table.TERM, _ONLY)
        step.erase(Table.RECORD, _ABSTAIN)

    # --- commands ---------------------------------------------------------------------------------------

    def start(self, step: Step) -> None:
        """The node starts: go on where the disk says."""
        if self._now is not None:
            if self._now.term.abstains:
                step.put(Table.RECORD, _ABSTAIN, self._now.term.present)
            self._enter(step, self._now)
        elif self._invitation is not None:
            self._call_host(step)

    def found(self, step: Step) -> None:
        """Found a subnet of this node alone (TOM-ROLES-011 to 015); ``CommandError`` when it has a home."""
        self._check_homeless()
        nonce = draw(self._entropy, constants.Purpose.SUBNET_NONCE, 32)
        subnet = records.founded_subnet([self.own_id], nonce)
        proof = vrf.prove(self._identity.vrf_secret, records.genesis_alpha(subnet))
        record = records.genesis_record(
            {self.own_id: self._identity.vrf_key},
            nonce,
            {self.own_id: vrf.proof_to_hash(proof)},
            step.now,
            self._timing,
        )
        signature = self._identity.signing_key.sign(records.signed_genesis(record))
        self.take_genesis(step, Genesis(record, nonce, (proof,), (signature,)))
        step.report(Event.FOUNDED, self.own_id, detail=record.subnet.hex())

    def take_genesis(self, step: Step, genesis: Genesis) -> None:
        """Begin with a first record that several founders signed; ``ProtocolError`` when it isn't valid."""
        self._check_homeless()
        records.check_genesis(genesis, self._timing)
        if genesis.record.member(self.own_id) is None:
            raise ProtocolError(Reason.NODE_MISMATCH, "this node is none of the founders")
        self._become(step, genesis.record, codec.encode_frame(genesis))

    def join(self, step: Step, invitation: Invitation, now: int) -> None:
        """Join the inviter's subnet (TOM-ROLES-062, 063); ``CommandError`` when that can't be.

        A node that is there already or on its way takes a later invitation in place of the one that it
        holds, since the inviter may be reached elsewhere now; who is there needs none that has expired, nor
        an own one.  ``now`` is the device's time in ms: a node that waits for the time (TOM-PURGE-008) has
        an older one.
        """
        if not self._leads_home(invitation):
            self._check_homeless()
        elif self._now is not None and (now >= invitation.expires_at or invitation.inviter == self.own_id):
            return
        try:
            check_invitation(invitation, now)
        except ProtocolError as error:
            raise CommandError(error.reason, error.detail) from None
        if invitation.inviter == self.own_id:
            raise CommandError(Reason.NODE_MISMATCH, "an own invitation")
        was = self.standing
        if was in {Standing.MEMBER, Standing.MOVING}:
            self._outlet.reach(step, invitation.inviter, invitation.addresses)
            return
        self._invitation = invitation
        step.put(Table.RECORD, _INVITATION, term_codec.encode_invitation(invitation))
        if self._now is not None:
            self._now.request = None  # The token that it shows is the earlier one's.
            self._ask_admission(step)
            return
        if was is Standing.NONE:
            step.report(Event.JOINING, invitation.inviter)
        self._call_host(step)

    def _leads_home(self, invitation: Invitation) -> bool:
        """Whether an invitation is to the subnet that this node is in, or on its way to."""
        if self._now is not None:
            return invitation.subnet == self._now.record.subnet
        return self._invitation is not None and invitation.subnet == self._invitation.subnet

    def _check_homeless(self) -> None:
        """A node is a member of one home at a time (TOM-ROLES-002)."""
        if self.standing is not Standing.NONE:
            raise CommandError(Reason.WRONG_SUBNET, "this node has a home; leave it first")

    def invite(self, step: Step, addresses: tuple[Address, ...], expires_at: int) -> None:
        """Make an invitation (TOM-ROLES-119); ``CommandError`` for a node that is no member."""
        if self._now is None or self.standing is not Standing.MEMBER:
            raise CommandError(Reason.WRONG_SUBNET, "only a member can invite")
        self.admission.invite(step, self._now.record, addresses, expires_at)

    def leave(self, step: Step) -> None:
        """Ask to be left out of the next record (TOM-ROLES-057); at once for who is no member."""
        held = self._now
        if self.standing is Standing.NONE:
            raise CommandError(Reason.WRONG_SUBNET, "this node has no home")
        if held is None or self.standing is not Standing.MEMBER or len(held.record.roster) == 1:
            self._forget_home(step)
            return
        self._leaving = True
        step.put(Table.RECORD, _LEAVING, b"\x01")
        self._send_leave(step, held)

    def _send_leave(self, step: Step, held: _Term) -> None:
        held.leaves[self.own_id] = leave = self.sign_leave()
        self._gossip(step, leave)

    def _forget_home(self, step: Step) -> None:
        for key in sorted(_ROWS):
            step.erase(Table.RECORD, key)
        step.erase(Table.TERM, _ONLY)
        for timer in (Timer.SLOT, Timer.HEARTBEAT, Timer.JOIN):
            self._timers.cancel(timer, _ONLY)
        self.forks.forgot(step)
        self._now = self._previous = self._invitation = None
        self._leaving = False
        self.admission.new_term()
        step.report(Event.LEFT_OUT, self.own_id)

    # --- a record becomes present -------------------------------------------------------------------------

    def _become(self, step: Step, record: TermRecord, proof: bytes) -> None:
        """Make a record present; erase what belonged to the one before the last (TOM-ROLES-003, 044)."""
        was = self.standing
        before = None if self._now is None else self._now.term
        self._previous = before.roles if before is not None and before.present == record.previous else None
        self._now = self._term_of(record, proof, abstain=self.forks.moves.resigned(record))
        self.forks.became(step, None if before is None else before.record, self._now.term.roles)
        self.admission.new_term()
        self._offered.clear()
        self._store(step)
        step.report(Event.RECORD, record.proposer, detail=f"term {record.term}")
        now_is = self.standing
        if was is Standing.MEMBER and self._leaving and (now_is is Standing.GUEST or len(record.roster) == 1):
            self._forget_home(step)
            return
        if was is not now_is:
            for event in filter(None, (HOME[was][now_is].event,)):
                step.report(event, self.own_id, detail=f"term {record.term}")
            if now_is is Standing.MEMBER:
                self._invitation = None
                step.erase(Table.RECORD, _INVITATION)
        vouchers, self._vouchers = self._vouchers, {}
        self._enter(step, self._now)
        self._take_heartbeats(step, vouchers.values())

    def _enter(self, step: Step, held: _Term) -> None:
        """Show presence, ask for admission, set the timers."""
        if self.standing is Standing.MEMBER:
            heartbeat = own_heartbeat(held.record, held.term.present, self.own_id, self._identity.signing_key)
            held.heartbeats[self.own_id] = (heartbeat, step.now)
            self._gossip(step, heartbeat)
            if held.record.start > step.now:
                self._timers.set(Timer.HEARTBEAT, _ONLY, held.record.start)
            if self._leaving:
                self._send_leave(step, held)
        else:
            self._timers.cancel(Timer.HEARTBEAT, _ONLY)
        if self.standing is Standing.GUEST:
            self._ask_admission(step)
        self._set_slot_timer(step)

    def show_presence(self, step: Step) -> None:
        """The record's start has come: show presence again (TOM-ROLES-053)."""
        held = self._now
        assert held is not None, "only a member shows presence"
        self._gossip(step, held.heartbeats[self.own_id][0])
        self._report_vitals(step, held)

    def _report_vitals(self, step: Step, held: _Term) -> None:
        """Say how it went since the last report, once a term (TOM-VITALS-001)."""
        if self.own_id in held.reports:
            return
        record, present, counts = held.record, held.term.present, self.pulse.take()
        signed = records.signed_report(record.subnet, record.term, present, counts)
        signature = self._identity.signing_key.sign(signed)
        report = VitalsReport(record.subnet, record.term, present, self.own_id, counts, signature)
        held.reports[self.own_id] = report
        self._gossip(step, report)

    def _set_slot_timer(self, step: Step) -> None:
        held = self._now
        deadline = None if held is None else held.term.next_deadline(step.now)
        if held is not None and deadline is None and self.standing is Standing.MOVING:
            deadline = step.now + held.record.slot_ms  # The parent ended, but not for who has moved.
        if deadline is not None:
            self._timers.set(Timer.SLOT, _ONLY, deadline)

    def run_slot(self, step: Step) -> None:
        """The next slot has begun (TOM-ROLES-019, 020); a vote that drags on asks around (TOM-ROLES-127)."""
        held = self._now
        assert held is not None, "a record has slots"
        slot = held.term.slot(step.now)
        held.forget_deliveries(step.now - 2 * self._timing.eps)
        self._carry_out(step, held.term.tick(step.now), None, b"")
        if self._now is held and slot > 0 and slot % _STALLED_SLOTS == 0:
            for peer in self._outlet.linked():
                self._query(step, peer)
        if self._now is held:
            self.forks.tick(step)
        self._set_slot_timer(step)

    # --- the term ---------------------------------------------------------------------------------------

    def _carry_out(self, step: Step, output: TermOutput, peer: bytes | None, data: bytes) -> None:
        """Do what a term's output says: disk first (TOM-ROLES-035)."""
        if output.persist is not None:
            step.put(Table.TERM, _ONLY, output.persist)
        if output.fresh and peer is not None:
            self._outlet.tell_all(step, data, peer)
        for frame in output.frames:
            self._gossip(step, frame)
        if output.refused is not None and peer is not None:
            step.report(Event.REFUSED, peer, None, str(output.refused))
        if output.twice:
            self._twice(step)
        if output.final is not None:
            proof = codec.encode_frame(output.final)
            if proof != data:  # What came as a proof was passed on already.
                self._gossip(step, output.final)
            if self.standing is Standing.MOVING:
                return  # Whatever becomes final there (TOM-ROLES-092).
            self._become(step, output.final.record, proof)

    def _twice(self, step: Step) -> None:
        """Somebody else signs with this secret: vote no more in this term (TOM-ROLES-037)."""
        held = self._now
        if held is not None and not held.term.abstains:
            held.term.abstains = True
            step.put(Table.RECORD, _ABSTAIN, held.term.present)
            step.report(Event.IDENTITY_TWICE, self.own_id)

    def _evidence(self) -> Evidence:
        """What this node knows for the next record, within the caps (TOM-ROLES-052, 064)."""
        held = self._now
        assert held is not None, "a term asks"
        record, index = held.record, held.term.roles.index
        joins = self.joins()
        room = _EVIDENCE_ROOM
        taken: list[Join] = []
        for join in joins[: records.admissions(len(record.roster))]:
            room -= len(codec.encode_frame(join))
            taken.append(join)
        deliveries, counted = [], dict[bytes, int]()
        for message in sorted(held.deliveries):
            delivery = held.deliveries[message]
            relay = delivery.receipt.relay
            size = len(delivery.header_bytes) + 64 + len(codec.encode_receipt(delivery.receipt)) + 4
            if size > room or counted.get(relay, 0) >= constants.MAX_DELIVERIES_PER_RELAY:
                continue
            room -= size
            counted[relay] = counted.get(relay, 0) + 1
            deliveries.append(delivery)
        # When all that are there leave, whoever proposes stays as the last one, and leaves alone.
        leaves_nobody = not taken and held.leaves.keys() >= held.heartbeats.keys()
        return Evidence(
            tuple(
                HeartbeatProof(place, signature)
                for place, signature in sorted(
                    (index[node], heartbeat.signature) for node, (heartbeat, _) in held.heartbeats.items()
                )
            ),
            tuple(
                LeaveProof(place, signature)
                for place, signature in sorted(
                    (index[node], leave.signature)
                    for node, leave in held.leaves.items()
                    if node != self.own_id or not leaves_nobody
                )
            ),
            tuple(taken),
            tuple(deliveries[: constants.MAX_DELIVERIES]),
            tuple(
                VitalsProof(place, report.counts, report.signature)
                for place, report in sorted(
                    ((index[node], report) for node, report in held.reports.items()),
                    key=lambda entry: entry[0],
                )
            ),
        )

    def _heard_at(self, node: bytes) -> int | None:
        held = self._now
        arrived = None if held is None else held.heartbeats.get(node)
        return None if arrived is None else arrived[1]

    def delivered(self, header: Header, header_bytes: bytes, signature: bytes, receipt: Receipt) -> None:
        """Keep the evidence of a delivery of this term, as long as there is room (TOM-PURGE-039)."""
        held = self._now
        if (
            held is not None
            and (header.subnet, header.term) == (held.record.subnet, held.record.term)
            and receipt.relay != NO_HASH
            and len(held.deliveries) < constants.MAX_DELIVERIES
        ):
            held.deliveries[receipt.message_id] = Delivery(header_bytes, signature, receipt)

    # --- what forks ask ---------------------------------------------------------------------------------

    @property
    def is_member(self) -> bool:
        """Whether this node acts as a member of the present record."""
        return self.standing is Standing.MEMBER

    def joins(self) -> tuple[Join, ...]:
        """The joins that wait to be recorded, in their drawn order (TOM-ROLES-064)."""
        record = self.record
        assert record is not None, "joins are to a record's subnet"
        seed = record.seed
        return tuple(
            sorted(self.admission.joins, key=lambda join: records.join_order(seed, join.descriptor.node_id))
        )

    def leaves_wait(self) -> bool:
        """Whether a leave waits to be recorded."""
        return self._now is not None and bool(self._now.leaves)

    def hush(self) -> None:
        """Vote, propose and show presence no more for the present record (TOM-ROLES-092)."""
        held = self._now
        assert held is not None, "who moves holds a record"
        held.term.abstains = True
        held.heartbeats.pop(self.own_id, None)
        self._timers.cancel(Timer.HEARTBEAT, _ONLY)

    def sign_leave(self) -> Leave:
        """This node's leave out of the present record's subnet (TOM-ROLES-057)."""
        record = self.record
        assert record is not None, "who leaves holds a record"
        signature = self._identity.signing_key.sign(records.signed_leave(record.subnet, record.term))
        return Leave(record.subnet, record.term, self.own_id, signature)

    def linked(self) -> tuple[bytes, ...]:
        """Every linked peer."""
        return self._outlet.linked()

    def gossip(self, step: Step, frame: TermFrame) -> None:
        """Tell all neighbours something of this node's own."""
        self._gossip(step, frame)

    def pass_on(self, step: Step, peer: bytes, data: bytes) -> None:
        """Tell all neighbours but one what that one said."""
        self._remember(data)
        self._outlet.tell_all(step, data, peer)

    def tell(self, step: Step, peer: bytes, frame: TermFrame) -> None:
        """Tell one neighbour."""
        self._outlet.tell(step, peer, codec.encode_frame(frame))

    def enter(self, step: Step, record: TermRecord, proof: bytes, heartbeats: Iterable[Heartbeat]) -> None:
        """Make a record of another subnet present, with heartbeats that were verified."""
        self._become(step, record, proof)
        self._take_heartbeats(step, heartbeats)
        for peer in self._outlet.linked():
            self._query(step, peer)

    # --- gossip -----------------------------------------------------------------------------------------

    def _gossip(self, step: Step, frame: TermFrame) -> None:
        """Tell all neighbours something of this node's own."""
        data = codec.encode_frame(frame)
        self._remember(data)
        self._outlet.tell_all(step, data, None)

    def _remember(self, data: bytes) -> None:
        if len(self._heard) >= constants.MAX_HEARD:
            for oldest in list(self._heard)[: constants.MAX_HEARD // 4]:
                del self._heard[oldest]
        self._heard[sha256(data)] = None

    def has_heard(self, data: bytes) -> bool:
        """Whether these bytes came before, so that they need not even be decoded."""
        return sha256(data) in self._heard

    def link_up(self, step: Step, peer: bytes) -> None:
        """A link opened: each end asks the other for what it missed (TOM-ROLES-115)."""
        self._asked.pop(peer, None)
        self.forks.link_up(step, peer)
        if self._now is not None:
            self._now.told.discard(peer)
        if self._now is not None or self._invitation is not None:
            self._query(step, peer)

    def _query(self, step: Step, peer: bytes) -> None:
        last = self._asked.get(peer)
        if last is not None and step.now < last + min(_ASK_PAUSE, self._timing.slot_ms):
            return
        if len(self._asked) >= constants.MAX_QUERIES:
            self._asked.clear()
        self._asked[peer] = step.now
        if self._now is not None:
            query = RecordQuery(self._now.record.subnet, self._now.record.term)
        elif self._invitation is not None and self._invitation.inviter == peer:
            query = RecordQuery(self._invitation.subnet, NO_TERM)
        else:
            return
        self._outlet.tell(step, peer, codec.encode_frame(query))

    # --- frames -----------------------------------------------------------------------------------------

    def on_frame(self, step: Step, peer: bytes, frame: codec.AnyFrame, data: bytes) -> None:
        """Take a frame of this chapter from a neighbour; what breaks a rule is reported and dropped."""
        handler = self._handlers.get(type(frame))
        if handler is None:
            return
        try:
            handler(self, step, peer, frame, data)
        except ProtocolError as error:
            step.report(Event.REFUSED, peer, None, str(error))
            if error.reason not in _TRANSIENT:
                self._remember(data)

    def _on_proposal(self, step: Step, peer: bytes, frame: Proposal, data: bytes) -> None:
        held = self._same_place(step, peer, frame.header.subnet, frame.header.term)
        if held is not None:
            output = held.term.on_proposal(frame, step.now)
            if output.fresh:
                self.forks.heard(held.term.roles.leader(frame.header.slot), step.now)
            # A block that waits for its parent may come again, with other votes for it.
            done = output.refused is not None or held.term.knows(frame.header)
            self._settle(step, output, peer, data, done=done)

    def _on_vote(self, step: Step, peer: bytes, frame: Vote, data: bytes) -> None:
        held = self._same_place(step, peer, frame.subnet, frame.term)
        if held is not None:
            self._check_unmoved(frame.voter, held)
            output = held.term.on_vote(frame, step.now)
            if output.fresh:
                self.forks.heard(frame.voter, step.now)
            self._settle(step, output, peer, data)

    def _check_unmoved(self, node: bytes, held: _Term) -> None:
        """Refuse what somebody signs in a subnet that it has left (TOM-ROLES-096)."""
        if self.forks.moves.cancelled(node, held.record):
            raise ProtocolError(Reason.MOVED, "its signer has moved")

    def _on_move(self, step: Step, peer: bytes, frame: Move, data: bytes) -> None:
        if not self.forks.on_move(step, peer, frame, data):
            self._same_place(step, peer, frame.subnet, frame.term)
        held = self._now
        if held is not None and self.forks.moves.cancelled(frame.node, held.record):
            held.heartbeats.pop(frame.node, None)

    def _on_child(self, step: Step, peer: bytes, frame: Child, data: bytes) -> None:
        if self._now is not None:
            self.forks.on_child(step, peer, frame, data)
            self._remember(data)

    def _on_finality(self, step: Step, peer: bytes, frame: FinalityProof, data: bytes) -> None:
        first = frame.blocks[0].header
        present = self.record
        if present is not None and (first.subnet, first.term + 1) == (present.subnet, present.term):
            # News to nobody: each member's own proof has other votes in it.  Who answered it with its own
            # proof would be answered in turn, for ever.
            return
        held = self._same_place(step, peer, first.subnet, first.term)
        if held is not None:
            self._settle(step, held.term.on_finality(frame), peer, data)

    def _settle(self, step: Step, output: TermOutput, peer: bytes, data: bytes, *, done: bool = True) -> None:
        refused = output.refused
        if done and (refused is None or refused.reason not in _TRANSIENT):
            self._remember(data)
        self._carry_out(step, output, peer, data)
        self._set_slot_timer(step)

    def _same_place(self, step: Step, peer: bytes, subnet: bytes, term: int) -> _Term | None:
        """The present term if a frame belongs to it; else whoever is behind is told (TOM-ROLES-025, 058)."""
        held = self._now
        if held is None or held.record.subnet != subnet:
            return None
        if term < held.record.term:
            if peer not in held.told:
                held.told.add(peer)
                self._answer(step, peer, held, term)
            return None
        if term > held.record.term:
            self._query(step, peer)
            return None
        return held

    def _on_query(self, step: Step, peer: bytes, frame: RecordQuery, _: bytes) -> None:
        held = self._now
        if held is None:
            return
        if frame.subnet not in {held.record.subnet, NO_HASH}:
            self.forks.on_foreign_query(step, peer, frame)
            return
        if frame.term == held.record.term:
            for known in self._known(held):
                self._outlet.tell(step, peer, codec.encode_frame(known))
        elif frame.term == NO_TERM or frame.term < held.record.term:
            self._answer(step, peer, held, frame.term)
            if frame.term == NO_TERM:
                self.forks.link_up(step, peer)  # A newcomer learns what its home descends from.
        else:
            self._query(step, peer)

    def _known(self, held: _Term) -> list[TermFrame]:
        """Everything of the present term that a neighbour may have missed (TOM-ROLES-115)."""
        moved = self.standing is Standing.MOVING
        return [
            *(heartbeat for heartbeat, _ in held.heartbeats.values()),
            *self.admission.joins,
            *held.leaves.values(),
            *held.reports.values(),
            *self.forks.moves.held,
            *(known for known in held.term.frames() if not (moved and self._is_own(held, known))),
        ]

    def _is_own(self, held: _Term, frame: TermFrame) -> bool:
        """Whether this node voted or proposed it: who has moved says nothing more there (TOM-ROLES-092)."""
        if isinstance(frame, Vote):
            return frame.voter == self.own_id
        return isinstance(frame, Proposal) and held.term.roles.leader(frame.header.slot) == self.own_id

    def _answer(self, step: Step, peer: bytes, held: _Term, term: int) -> None:
        """Give the present record, or its proof to who holds the one before (TOM-ROLES-044, 058)."""
        if term + 1 == held.record.term and held.proof[:1] == b"\x0a":
            self._outlet.tell(step, peer, held.proof)
            return
        heartbeats = sorted((beat for beat, _ in held.heartbeats.values()), key=lambda beat: beat.node)
        previous = None if self._previous is None else self._previous.record
        answer = RecordAnswer(held.record, previous, tuple(heartbeats))
        self._outlet.tell(step, peer, codec.encode_frame(answer))

    def _on_answer(self, step: Step, peer: bytes, frame: RecordAnswer, _: bytes) -> None:
        for heartbeat in frame.heartbeats:
            records.check_heartbeat(heartbeat)
        if self._now is None:
            self._follow_invitation(step, peer, frame)
            return
        held = self._now
        if frame.present.subnet != held.record.subnet:
            self.forks.on_answer(step, frame)
            return
        if frame.present.term <= held.record.term:
            return
        if len(self._offered) >= constants.MAX_OFFERED:
            self._offered.pop(next(iter(self._offered)))
        self._offered[peer] = frame
        for heartbeat in frame.heartbeats:
            self._vouch(held, heartbeat)
        self._catch_up(step, held)

    def _vouch(self, held: _Term, heartbeat: Heartbeat) -> None:
        """Note a verified heartbeat for a later record: the latest of each member last known."""
        known = self._vouchers.get(heartbeat.node)
        if (
            heartbeat.node in held.term.roles.members
            and heartbeat.subnet == held.record.subnet
            and heartbeat.term > max(held.record.term, -1 if known is None else known.term)
        ):
            self._vouchers[heartbeat.node] = heartbeat

    def _catch_up(self, step: Step, held: _Term) -> None:
        """Adopt the latest record that enough of the validators last known vouch for (TOM-ROLES-059, 060)."""
        validators = held.term.roles.validators
        enough = tolerated(len(validators)) + 1
        vouched = Counter(self._vouchers[node].record for node in validators if node in self._vouchers)
        # For who has moved, the next record may be final and yet the last: a subnet that lives gets further.
        least = held.record.term + (2 if self.standing is Standing.MOVING else 1)
        found = [
            answer
            for answer in self._offered.values()
            if vouched[records.record_hash(answer.present)] >= enough and answer.present.term >= least
        ]
        if not found:
            return
        best = max(found, key=lambda answer: answer.present.term)
        records.check_durations(best.present, self._timing)
        step.report(Event.CAUGHT_UP, self.own_id, detail=f"term {best.present.term}")
        self._adopt(step, best)

    def _adopt(self, step: Step, answer: RecordAnswer) -> None:
        """Make a record present that came without a proof, and what came with it."""
        self._become(step, answer.present, b"")
        if answer.previous is not None and records.record_hash(answer.previous) == answer.present.previous:
            self._previous = Roles(answer.previous)
            self._store(step)
        self._take_heartbeats(step, answer.heartbeats)

    def _take_heartbeats(self, step: Step, heartbeats: Iterable[Heartbeat]) -> None:
        """Keep verified heartbeats that are for the present record, and pass them on."""
        held = self._now
        for heartbeat in heartbeats:
            if (
                held is not None
                and heartbeat.node in held.term.roles.members
                and heartbeat.record == held.term.present
                and heartbeat.node not in held.heartbeats
            ):
                held.heartbeats[heartbeat.node] = (heartbeat, step.now)
                self._gossip(step, heartbeat)

    def _on_heartbeat(self, step: Step, peer: bytes, frame: Heartbeat, data: bytes) -> None:
        held = self._now
        if held is None or frame.subnet != held.record.subnet:
            return
        if frame.term > held.record.term:
            records.check_heartbeat(frame)
            self._vouch(held, frame)
            self._query(step, peer)
            self._catch_up(step, held)
            return
        if self._same_place(step, peer, frame.subnet, frame.term) is None:
            return
        if frame.record != held.term.present:
            raise ProtocolError(Reason.WRONG_TERM, "a heartbeat for another record of this term")
        if frame.node not in held.term.roles.members:
            raise ProtocolError(Reason.NODE_MISMATCH, "a heartbeat of a node that is no member")
        self._check_unmoved(frame.node, held)
        records.check_heartbeat(frame)
        self._remember(data)
        if frame.node not in held.heartbeats:
            self.forks.heard(frame.node, step.now)
            held.heartbeats[frame.node] = (frame, step.now)
            self._outlet.tell_all(step, data, peer)

    def _on_report(self, step: Step, peer: bytes, frame: VitalsReport, data: bytes) -> None:
        """Keep a member's first report of the term (TOM-VITALS-004)."""
        held = self._same_place(step, peer, frame.subnet, frame.term)
        if held is None:
            return
        if frame.record != held.term.present:
            raise ProtocolError(Reason.WRONG_TERM, "a report for another record of this term")
        if frame.node not in held.term.roles.members:
            raise ProtocolError(Reason.NODE_MISMATCH, "a report of a node that is no member")
        records.check_report(frame)
        self._remember(data)
        if frame.node not in held.reports:
            held.reports[frame.node] = frame
            self._outlet.tell_all(step, data, peer)

    def _on_leave(self, step: Step, peer: bytes, frame: Leave, data: bytes) -> None:
        held = self._same_place(step, peer, frame.subnet, frame.term)
        if held is None:
            return
        if frame.node not in held.term.roles.members:
            raise ProtocolError(Reason.NODE_MISMATCH, "a leave of a node that is no member")
        records.check_leave(frame)
        self._remember(data)
        if frame.node not in held.leaves:
            held.leaves[frame.node] = frame
            self._outlet.tell_all(step, data, peer)

    # --- signals ----------------------------------------------------------------------------------------

    def signal(self, step: Step, recipient: bytes, body: bytes) -> None:
        """Send a signal over a linked member that the mesh links to the recipient, else over any.

        Raises ``CommandError`` when there is none, or the body is too long.
        """
        held = self._now
        if held is None or recipient not in held.term.roles.members or recipient == self.own_id:
            raise CommandError(Reason.BAD_VALUE, "a signal is for another member")
        if len(body) > constants.MAX_SIGNAL:
            raise CommandError(Reason.TOO_LARGE, f"a signal of {len(body)} bytes")
        meshed = held.term.roles.meshed(recipient)
        linked = sorted(self._outlet.linked(), key=lambda peer: (peer != recipient, peer not in meshed))
        if not linked:
            raise CommandError(Reason.NO_ROUTE, "no link to send a signal over")
        self._outlet.tell(step, linked[0], codec.encode_frame(Signal(self.own_id, recipient, body)))

    def _on_signal(self, step: Step, peer: bytes, frame: Signal, data: bytes) -> None:
        """Take a signal, or pass it on to a linked member, so many a slot (TOM-ROLES-087)."""
        held = self._now
        if held is None:
            return
        if frame.recipient == self.own_id:
            step.emit(Signalled(frame.sender, frame.body))
            return
        if frame.sender != peer:
            raise ProtocolError(Reason.NODE_MISMATCH, "a signal of somebody else")
        period = step.now // held.record.slot_ms
        for old in [key for key in held.signals if key[1] != period]:
            del held.signals[old]
        if held.signals[peer, period] >= constants.MAX_SIGNALS:
            raise ProtocolError(Reason.OVERLOADED, "too many signals")
        held.signals[peer, period] += 1
        if not self._outlet.tell(step, frame.recipient, data):
            raise ProtocolError(Reason.NO_ROUTE, "no link to the recipient of a signal")

    # --- joining ----------------------------------------------------------------------------------------

    def _call_host(self, step: Step) -> None:
        """Link to the inviter and ask it for the record; again after a pause."""
        invitation = self._invitation
        assert invitation is not None, "this node was invited"
        if step.now >= invitation.expires_at:
            step.report(Event.LEFT_OUT, invitation.inviter, detail="the invitation has expired")
            self._forget_home(step)
            return
        self._outlet.reach(step, invitation.inviter, invitation.addresses)
        self._query(step, invitation.inviter)
        self._timers.set(Timer.JOIN, _ONLY, step.now + _ASK_PAUSE)

    def _follow_invitation(self, step: Step, peer: bytes, answer: RecordAnswer) -> None:
        """A newcomer takes the record of its inviter, cross-checked with two members (TOM-ROLES-062)."""
        invitation, record = self._invitation, answer.present
        if invitation is None or peer != invitation.inviter or record.subnet != invitation.subnet:
            return
        present = records.record_hash(record)
        if record.term < invitation.term or (record.term == invitation.term and present != invitation.record):
            raise ProtocolError(Reason.BAD_RECORD, "not the record of the invitation")
        members = Roles(record).members
        if invitation.inviter not in members:
            raise ProtocolError(Reason.NODE_MISMATCH, "the inviter is no member")
        others = {
            heartbeat.node
            for heartbeat in answer.heartbeats
            if heartbeat.record == present and heartbeat.node in members - {invitation.inviter}
        }
        if len(others) < min(2, len(members) - 1):
            return
        records.check_durations(record, self._timing)
        self._adopt(step, answer)

    def ask_again(self, step: Step) -> None:
        """Nothing came of the last question."""
        if self.standing is Standing.JOINING:
            self._call_host(step)
        elif self.standing is Standing.GUEST:
            self._ask_admission(step)

    def _ask_admission(self, step: Step) -> None:
        """A guest asks its sponsor to be listed in the next record (TOM-ROLES-061, 063)."""
        held, invitation = self._now, self._invitation
        assert held is not None, "a guest holds a record"
        self._timers.set(Timer.JOIN, _ONLY, step.now + max(_ASK_PAUSE, 2 * held.record.slot_ms))
        if self.own_id in held.term.roles.members:
            if self.own_id not in held.leaves:
                self._send_leave(step, held)  # Still listed, though it has left: first out, then in again.
            return
        linked = [peer for peer in self._outlet.linked() if peer in held.term.roles.members]
        if invitation is not None:
            sponsor, token = invitation.inviter, invitation.token
            if sponsor not in linked:
                self._outlet.reach(step, sponsor, invitation.addresses)
                return
        elif linked:
            # Another one each time: not every member knows every former one.
            turn = step.now // max(_ASK_PAUSE, 2 * held.record.slot_ms)
            sponsor, token = sorted(linked)[turn % len(linked)], None
        else:
            return
        if held.request is not None and token is None:
            held.request = evolve(held.request, sponsor=sponsor)  # Its work is done, whoever sponsors it.
        elif held.request is None or held.request.sponsor != sponsor:
            held.request = request(held.record, self._outlet.descriptor(), sponsor, token)
        self._outlet.tell(step, sponsor, codec.encode_frame(held.request))

    def _on_join(self, step: Step, peer: bytes, frame: Join, data: bytes) -> None:
        held = self._same_place(step, peer, frame.subnet, frame.term)
        if held is None:
            return
        roles, newcomer = held.term.roles, frame.descriptor.node_id
        if is_request(frame):
            if newcomer != peer:
                raise ProtocolError(Reason.NODE_MISMATCH, "a request for somebody else")
            if any(join.descriptor.node_id == newcomer for join in self.admission.joins):
                return
            former = self._previous is not None and newcomer in self._previous.members
            former = former or self.forks.knows(newcomer, step.now)
            sponsored = self.admission.sponsor(frame, roles, former=former)
            step.report(Event.SPONSORED, newcomer)
            self._gossip(step, sponsored)
        elif self.admission.take(frame, roles):
            self._remember(data)
            self._outlet.tell_all(step, data, peer)
        self._outlet.learn(step, frame.descriptor)

    _handlers: Final[dict[type, Callable[..., None]]] = {
        Proposal: _on_proposal,
        Vote: _on_vote,
        FinalityProof: _on_finality,
        RecordQuery: _on_query,
        RecordAnswer: _on_answer,
        Heartbeat: _on_heartbeat,
        Leave: _on_leave,
        VitalsReport: _on_report,
        Join: _on_join,
        Move: _on_move,
        Child: _on_child,
        Signal: _on_signal,
    }
