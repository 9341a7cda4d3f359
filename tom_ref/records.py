"""Term records: what is hashed and signed, and how the next record follows from the present one.

Everything here is computed by everybody alike, byte for byte, from the present record and the evidence that
a block carries (TOM-ROLES-046).  No clock enters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attrs import evolve

from tom_ref import constants, crypto, term_codec, vrf
from tom_ref.codec import decode_header
from tom_ref.crypto import labelled, leading_zero_bits, sha256, verify
from tom_ref.draft import Roles, tolerated
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Descriptor
from tom_ref.identity import verify_descriptor
from tom_ref.ledger import Charge, settle
from tom_ref.term_frames import (
    NO_HASH,
    NO_PROOF,
    BlockHeader,
    Certificate,
    Child,
    Counts,
    Delivery,
    Evidence,
    FinalityProof,
    Genesis,
    Heartbeat,
    Join,
    Leave,
    Member,
    Move,
    ProvenBlock,
    TermRecord,
    Vitals,
    VitalsReport,
    Vote,
)
from tom_ref.timing import Timing
from tom_ref.validate import check_receipt, signed_header
from tom_ref.vitals import adapted, forked, summarized


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


# --- what is hashed and signed --------------------------------------------------------------------------


def record_hash(record: TermRecord) -> bytes:
    """The 32-byte hash of a record (TOM-ROLES-004)."""
    return sha256(labelled("ToM/1 record", term_codec.encode_record(record)))


def evidence_hash(evidence: Evidence) -> bytes:
    """The 32-byte hash of a block's evidence (TOM-ROLES-023)."""
    return sha256(labelled("ToM/1 evidence", term_codec.encode_evidence(evidence)))


def signed_block(header: BlockHeader) -> bytes:
    """The bytes that a leader signs and whose hash is the block's (TOM-ROLES-023)."""
    return labelled("ToM/1 block", term_codec.encode_block_header(header))


def block_hash(header: BlockHeader) -> bytes:
    """The 32-byte hash of a block (TOM-ROLES-023)."""
    return sha256(signed_block(header))


def signed_vote(subnet: bytes, term: int, present: bytes, slot: int, block: bytes) -> bytes:
    """The bytes that a validator signs to vote for a block."""
    return labelled("ToM/1 vote", subnet, _u64(term), present, _u32(slot), block)


def signed_heartbeat(subnet: bytes, term: int, record: bytes) -> bytes:
    """The bytes that a member signs to show its presence (TOM-ROLES-053)."""
    return labelled("ToM/1 heartbeat", subnet, _u64(term), record)


def signed_leave(subnet: bytes, term: int) -> bytes:
    """The bytes that a member signs to leave (TOM-ROLES-057)."""
    return labelled("ToM/1 leave", subnet, _u64(term))


def signed_join(subnet: bytes, term: int, node: bytes, vrf_key: bytes) -> bytes:
    """The bytes that a sponsor signs for a newcomer (TOM-ROLES-063)."""
    return labelled("ToM/1 join", subnet, _u64(term), node, vrf_key)


def signed_move(subnet: bytes, term: int, record: bytes, attempt: int, founder: bytes) -> bytes:
    """The bytes that a member signs to move to a child (TOM-ROLES-088)."""
    return labelled("ToM/1 move", subnet, _u64(term), record, _u32(attempt), founder)


def signed_genesis(record: TermRecord) -> bytes:
    """The bytes that founders sign (TOM-ROLES-014, 101)."""
    return labelled("ToM/1 genesis", term_codec.encode_record(record))


def signed_report(subnet: bytes, term: int, record: bytes, counts: Counts) -> bytes:
    """The bytes that a member signs to report its vital signs (TOM-VITALS-001)."""
    return labelled("ToM/1 vitals", subnet, _u64(term), record, term_codec.encode_counts(counts))


def check_report(report: VitalsReport) -> None:
    """Verify the signature of a report of vital signs; raises ``bad_signature`` or ``bad_key``."""
    signed = signed_report(report.subnet, report.term, report.record, report.counts)
    verify(report.node, signed, report.signature)


def check_vote(vote: Vote) -> None:
    """Verify a vote's signature (TOM-ROLES-136); raises ``bad_signature`` or ``bad_key``."""
    verify(
        vote.voter,
        signed_vote(vote.subnet, vote.term, vote.present, vote.slot, vote.block),
        vote.signature,
    )


def check_heartbeat(heartbeat: Heartbeat) -> None:
    """Verify a heartbeat's signature; raises ``bad_signature`` or ``bad_key``."""
    verify(
        heartbeat.node,
        signed_heartbeat(heartbeat.subnet, heartbeat.term, heartbeat.record),
        heartbeat.signature,
    )


def check_leave(leave: Leave) -> None:
    """Verify a leave's signature; raises ``bad_signature`` or ``bad_key``."""
    verify(leave.node, signed_leave(leave.subnet, leave.term), leave.signature)


# --- seeds ----------------------------------------------------------------------------------------------


def genesis_alpha(subnet: bytes) -> bytes:
    """Each founder's VRF input (TOM-ROLES-012)."""
    return labelled("ToM/1 vrf genesis", subnet)


def genesis_seed(subnet: bytes, outputs: Sequence[bytes]) -> bytes:
    """The seed of a first genesis from all founders' VRF outputs, in the order of ids (TOM-ROLES-013)."""
    return sha256(labelled("ToM/1 genesis seed", subnet, *outputs))


def seed_alpha(term: int, seed: bytes) -> bytes:
    """The VRF input of the proposer that succeeds the record of ``term`` with ``seed`` (TOM-ROLES-068)."""
    return labelled("ToM/1 vrf seed", _u64(term), seed)


def next_seed(term: int, seed: bytes, output: bytes) -> bytes:
    """The seed of the record of ``term`` from the seed before and the proposer's output (TOM-ROLES-069)."""
    return sha256(labelled("ToM/1 seed", _u64(term), seed, output))


def child_alpha(attempt: int, seed: bytes) -> bytes:
    """The VRF input of a child's founder (TOM-ROLES-100)."""
    return labelled("ToM/1 vrf child", _u32(attempt), seed)


def child_seed(attempt: int, seed: bytes, output: bytes) -> bytes:
    """The seed of a child's genesis (TOM-ROLES-100)."""
    return sha256(labelled("ToM/1 child seed", _u32(attempt), seed, output))


# --- genesis --------------------------------------------------------------------------------------------


def founded_subnet(founders: Sequence[bytes], nonce: bytes) -> bytes:
    """The id of a subnet that begins with founders, given ascending (TOM-ROLES-011)."""
    return sha256(labelled("ToM/1 founded subnet", b"".join(founders), nonce))


def genesis_record(
    founders: Mapping[bytes, bytes],
    nonce: bytes,
    outputs: Mapping[bytes, bytes],
    start: int,
    timing: Timing,
) -> TermRecord:
    """The first record of a subnet.

    ``founders`` maps each NodeId to its VRF key, ``outputs`` to its VRF output for :func:`genesis_alpha`;
    ``nonce`` has 32 bytes, ``start`` is in ms (TOM-ROLES-011 to 015).
    """
    nodes = sorted(founders)
    subnet = founded_subnet(nodes, nonce)
    return TermRecord(
        subnet=subnet,
        term=0,
        previous=NO_HASH,
        start=start,
        seed=genesis_seed(subnet, [outputs[node] for node in nodes]),
        proposer=NO_HASH,
        proof=NO_PROOF,
        slot_ms=timing.slot_ms,
        term_ms=timing.term_ms,
        fork_ms=timing.fork_ms,
        relay_share=constants.RELAY_SHARE,
        custody=constants.CUSTODY_COPIES,
        roster=tuple(Member(node, founders[node], admitted=0) for node in nodes),
    )


def check_durations(record: TermRecord, timing: Timing) -> None:
    """Refuse a record whose slots this node's clock can't keep (TOM-ROLES-007 to 009; ``bad_value``)."""
    if record.slot_ms < timing.least_slot:
        raise ProtocolError(Reason.BAD_VALUE, f"slots of {record.slot_ms} ms")
    if record.term_ms < constants.TERM_SLOTS * record.slot_ms:
        raise ProtocolError(Reason.BAD_VALUE, f"terms of {record.term_ms} ms")
    if record.fork_ms < constants.FORK_SLOTS * record.slot_ms:
        raise ProtocolError(Reason.BAD_VALUE, f"a fork time-out of {record.fork_ms} ms")


def _check_fresh(record: TermRecord) -> None:
    """What a genesis of either kind has in common (TOM-ROLES-015, 101)."""
    if record.term or record.previous != NO_HASH or record.pot:
        raise ProtocolError(Reason.BAD_RECORD, "a genesis with a past")
    for member in record.roster:
        if member != Member(member.node, member.vrf_key, admitted=0):
            raise ProtocolError(Reason.BAD_RECORD, "a founder with a past")


def check_genesis(genesis: Genesis, timing: Timing) -> None:
    """Verify a first record with its founders' proofs and signatures (TOM-ROLES-011 to 015).

    Rejects ``bad_record``, ``bad_value``, ``bad_proof``, ``bad_signature``, ``bad_key``.
    """
    record = genesis.record
    _check_fresh(record)
    check_durations(record, timing)
    nodes = [member.node for member in record.roster]
    if record.subnet != founded_subnet(nodes, genesis.nonce):
        raise ProtocolError(Reason.BAD_RECORD, "the id doesn't follow from the founders")
    if record.proposer != NO_HASH or record.proof != NO_PROOF or record.vitals is not None:
        raise ProtocolError(Reason.BAD_RECORD, "a first genesis has no proposer and no vital signs")
    outputs = [
        vrf.verify(member.vrf_key, genesis_alpha(record.subnet), proof)
        for member, proof in zip(record.roster, genesis.proofs, strict=True)
    ]
    if record.seed != genesis_seed(record.subnet, outputs):
        raise ProtocolError(Reason.BAD_RECORD, "the seed doesn't follow from the proofs")
    signed = signed_genesis(record)
    for node, signature in zip(nodes, genesis.signatures, strict=True):
        verify(node, signed, signature)


# --- admission ------------------------------------------------------------------------------------------


def admissions(members: int) -> int:
    """The most newcomers that one record admits (TOM-ROLES-064)."""
    return max(2, -(-members // 4))


def join_order(seed: bytes, node: bytes) -> bytes:
    """What joins are sorted by (TOM-ROLES-064)."""
    return sha256(labelled("ToM/1 join order", seed, node))


def _work(subnet: bytes, term: int, node: bytes, nonce: int) -> bytes:
    return labelled("ToM/1 join work", subnet, _u64(term), node, _u64(nonce))


def join_work(subnet: bytes, term: int, node: bytes, nonce: int) -> int:
    """The leading zero bits of a newcomer's work (TOM-ROLES-113)."""
    return leading_zero_bits(sha256(_work(subnet, term, node, nonce)))


def find_join_work(subnet: bytes, term: int, node: bytes) -> int:
    """A newcomer's work: 2^16 hashes on average (TOM-ROLES-113)."""
    nonce = crypto.find_work(_work(subnet, term, node, 0), constants.JOIN_WORK_BITS)
    assert nonce is not None  # searched until it is found
    return nonce


def check_newcomer(join: Join, roles: Roles) -> None:
    """Verify a join but for its sponsor's signature (TOM-ROLES-010, 063, 113).

    Rejects ``wrong_subnet``, ``wrong_term``, ``bad_record`` for a member, ``bad_work``, ``node_mismatch`` for
    a sponsor that is no member, and whatever the descriptor deserves.
    """
    record, descriptor = roles.record, join.descriptor
    if join.subnet != record.subnet:
        raise ProtocolError(Reason.WRONG_SUBNET, "join")
    if join.term != record.term:
        raise ProtocolError(Reason.WRONG_TERM, f"a join of term {join.term}")
    if descriptor.node_id in roles.members:
        raise ProtocolError(Reason.BAD_RECORD, "a member joins")
    if join.sponsor not in roles.members:
        raise ProtocolError(Reason.NODE_MISMATCH, "the sponsor is no member")
    if join_work(join.subnet, join.term, descriptor.node_id, join.work_nonce) < constants.JOIN_WORK_BITS:
        raise ProtocolError(Reason.BAD_WORK, "join")
    # Judged as of its own date: everybody has to come to the same result, whenever it looks.
    verify_descriptor(descriptor, descriptor.created_at)


def check_join(join: Join, roles: Roles) -> None:
    """Verify a join that its sponsor signed (TOM-ROLES-063)."""
    check_newcomer(join, roles)
    verify(join.sponsor, _sponsored(join, join.descriptor), join.signature)


def _sponsored(join: Join, descriptor: Descriptor) -> bytes:
    return signed_join(join.subnet, join.term, descriptor.node_id, descriptor.vrf_key)


# --- the next record ------------------------------------------------------------------------------------


def charged(delivery: Delivery, roles: Roles) -> Charge | None:
    """Verify a delivery; what it counts for, or ``None`` when it counts for nothing (TOM-BALANCE-002, 003).

    It counts when both ends are members and the receipt's relay had the duty.  Raises ``wrong_subnet`` or
    ``wrong_term`` for another term's (TOM-PURGE-039), and what header and receipt deserve.
    """
    header = decode_header(delivery.header_bytes)
    record = roles.record
    if header.subnet != record.subnet:
        raise ProtocolError(Reason.WRONG_SUBNET, "delivery")
    if header.term != record.term:
        raise ProtocolError(Reason.WRONG_TERM, f"a delivery of term {header.term}")
    signed = signed_header(delivery.header_bytes)
    check_receipt(delivery.receipt, header, sha256(signed))
    verify(header.sender, signed, delivery.signature)
    relay = delivery.receipt.relay
    if not {header.sender, header.recipient} <= roles.members:
        return None
    if relay not in roles.on_duty(header.sender, header.recipient):
        return None
    return Charge(header.sender, relay, len(delivery.header_bytes) + header.payload_length)


def _charges(evidence: Evidence, roles: Roles) -> list[Charge]:
    """What the evidence's deliveries count for, ascending by message id (TOM-BALANCE-002 to 005)."""
    found = []
    counted: Counter[bytes] = Counter()
    for delivery in evidence.deliveries:
        charge = charged(delivery, roles)
        if charge is not None:
            found.append(charge)
            counted[charge.relay] += 1
            if counted[charge.relay] > constants.MAX_DELIVERIES_PER_RELAY:
                raise ProtocolError(Reason.TOO_LARGE, "deliveries of one relay")
    return found


def _present(evidence: Evidence, roles: Roles, present: bytes) -> frozenset[bytes]:
    record = roles.record
    signed = signed_heartbeat(record.subnet, record.term, present)
    found = set()
    for proof in evidence.heartbeats:
        node = _listed(record, proof.index)
        verify(node, signed, proof.signature)
        found.add(node)
    return frozenset(found)


def _leaving(evidence: Evidence, roles: Roles) -> frozenset[bytes]:
    record = roles.record
    signed = signed_leave(record.subnet, record.term)
    found = set()
    for proof in evidence.leaves:
        node = _listed(record, proof.index)
        verify(node, signed, proof.signature)
        found.add(node)
    return frozenset(found)


def _signs(evidence: Evidence, roles: Roles, present: bytes) -> tuple[Vitals, int | None]:
    """What the validators' reports say together (TOM-VITALS-004 to 007)."""
    record, validators = roles.record, frozenset(roles.validators)
    reports = []
    for proof in evidence.reports:
        node = _listed(record, proof.index)
        verify(node, signed_report(record.subnet, record.term, present, proof.counts), proof.signature)
        if node in validators:
            reports.append(proof.counts)
    return summarized(record.vitals, reports, tolerated(len(validators)))


def _listed(record: TermRecord, index: int) -> bytes:
    if index >= len(record.roster):
        raise ProtocolError(Reason.BAD_VALUE, f"member {index}")
    return record.roster[index].node


def _next_weight(member: Member, credits_of: Counter[bytes], relays: frozenset[bytes]) -> int:
    """The weight of the record after the next (TOM-ROLES-084 to 086)."""
    weight = member.next_weight
    if credits_of[member.node] >= constants.DUTY_CREDITS:
        weight += 1
    elif (
        member.node in relays and not credits_of[member.node] and credits_of.total() >= constants.DUTY_CREDITS
    ):
        weight -= 1
    if member.balance < 0:
        weight += 1
    return min(max(weight, 0), constants.MAX_WEIGHT)


def next_record(
    roles: Roles, present: bytes, evidence: Evidence, *, slot: int, proposer: bytes, proof: bytes
) -> TermRecord:
    """The record that a first block of ``slot`` carries, computed from its evidence (TOM-ROLES-046 to 072).

    ``present`` is the hash of the present record, whose roles are ``roles``; ``proof`` is the proposer's VRF
    proof for :func:`seed_alpha`.  Raises :class:`ProtocolError` when evidence or proof break a rule.
    """
    record = roles.record
    listed = record.member(proposer)
    if listed is None:
        raise ProtocolError(Reason.WRONG_LEADER, "the proposer is no member")
    output = vrf.verify(listed.vrf_key, seed_alpha(record.term, record.seed), proof)
    there, leaving = _present(evidence, roles, present), _leaving(evidence, roles)
    charges, relays = _charges(evidence, roles), frozenset(roles.relays)
    signs, worst = _signs(evidence, roles, present)
    relay_share, custody = adapted(record.relay_share, record.custody, worst)
    credits_of = Counter(charge.relay for charge in charges)
    term, start = record.term + 1, record.start + slot * record.slot_ms + record.term_ms
    balances = {member.node: member.balance for member in record.roster}
    settled = settle(balances, charges, start - record.start)
    roster = []
    for member in record.roster:
        absent = 0 if member.node in there else member.absent + 1
        if absent >= constants.ABSENT_LIMIT or member.node in leaving:
            continue
        roster.append(
            evolve(
                member,
                absent=absent,
                weight=member.next_weight,
                next_weight=_next_weight(member, credits_of, relays),
                balance=settled[member.node],
            )
        )
    roster += _admitted(evidence, roles, constants.MAX_MEMBERS - len(roster), term)
    if not roster:
        raise ProtocolError(Reason.BAD_RECORD, "nobody is left")
    return evolve(
        record,
        term=term,
        previous=present,
        start=start,
        seed=next_seed(term, record.seed, output),
        proposer=proposer,
        proof=proof,
        relay_share=relay_share,
        custody=custody,
        vitals=signs,
        roster=tuple(sorted(roster, key=lambda member: member.node)),
        # What faded, what nobody was credited, and what leavers had (TOM-BALANCE-008).
        pot=-sum(member.balance for member in roster),
    )


def _admitted(evidence: Evidence, roles: Roles, room: int, term: int) -> list[Member]:
    """The newcomers of a record: the first of the joins in their drawn order (TOM-ROLES-064, 065)."""
    seed = roles.record.seed
    order = [join_order(seed, join.descriptor.node_id) for join in evidence.joins]
    if order != sorted(order):
        raise ProtocolError(Reason.NON_CANONICAL, "joins not in their drawn order")
    for join in evidence.joins:
        check_join(join, roles)
    most = min(room, admissions(len(roles.record.roster)))
    return [
        Member(join.descriptor.node_id, join.descriptor.vrf_key, admitted=term)
        for join in evidence.joins[:most]
    ]


# --- certificates and finality --------------------------------------------------------------------------


def check_certificate(
    roles: Roles,
    header: BlockHeader,
    certificate: Certificate,
    known: Mapping[bytes, bytes] = MappingProxyType({}),
) -> None:
    """Verify that a quorum of validators voted for a block (TOM-ROLES-040; ``no_quorum``).

    ``known`` are votes for this very block that were verified before, signatures by NodeId.
    """
    record = roles.record
    validators = frozenset(roles.validators)
    if len(certificate) < roles.quorum:
        raise ProtocolError(Reason.NO_QUORUM, f"{len(certificate)} votes of {roles.quorum}")
    signed = signed_vote(header.subnet, header.term, header.present, header.slot, block_hash(header))
    last = -1
    for ballot in certificate:
        if not last < ballot.index < len(record.roster):
            raise ProtocolError(Reason.NO_QUORUM, f"a vote of member {ballot.index}")
        last = ballot.index
        node = record.roster[ballot.index].node
        if node not in validators:
            raise ProtocolError(Reason.NO_QUORUM, "a vote of a member that is no validator")
        if known.get(node) == ballot.signature:
            continue
        try:
            verify(node, signed, ballot.signature)
        except ProtocolError as error:
            raise ProtocolError(Reason.NO_QUORUM, f"a vote that does not verify: {error.reason}") from None


def check_place(roles: Roles, present: bytes, header: BlockHeader) -> None:
    """Verify that a block belongs to the vote on the successor of this record (TOM-ROLES-025)."""
    if header.subnet != roles.record.subnet:
        raise ProtocolError(Reason.WRONG_SUBNET, "block")
    if header.term != roles.record.term or header.present != present:
        raise ProtocolError(Reason.WRONG_TERM, f"a block of term {header.term}")


def check_finality(roles: Roles, present: bytes, proof: FinalityProof) -> None:
    """Verify that a record is the final successor of the present one (TOM-ROLES-041 to 043).

    The blocks form a chain from the present record; the last three of them (the present record counts as slot
    0) are in consecutive slots.  Rejects ``wrong_subnet``, ``wrong_term``, ``wrong_slot``, ``no_quorum``,
    ``bad_record``.
    """
    blocks = proof.blocks
    parent, slot = present, 0
    for place, block in enumerate(blocks):
        header = block.header
        check_place(roles, present, header)
        if header.parent != parent or (header.record != NO_HASH) != (place == 0):
            raise ProtocolError(Reason.BAD_RECORD, "not a chain from the present record")
        if header.slot <= slot:
            raise ProtocolError(Reason.WRONG_SLOT, f"slot {header.slot} after {slot}")
        parent, slot = block_hash(header), header.slot
    slots = [0, *(block.header.slot for block in blocks)]
    if len(slots) < 3 or slots[-1] - slots[-3] != 2:
        raise ProtocolError(Reason.NO_QUORUM, "no three consecutive slots at the end")
    if blocks[0].header.record != record_hash(proof.record):
        raise ProtocolError(Reason.BAD_RECORD, "the record isn't the first block's")
    for block in blocks:
        check_certificate(roles, block.header, block.certificate)


def final_blocks(blocks: Sequence[ProvenBlock]) -> Sequence[ProvenBlock] | None:
    """The shortest part of a notarized chain that proves its first block final, or ``None``."""
    length = final_length([block.header.slot for block in blocks])
    return None if length is None else blocks[:length]


def final_length(chain: Sequence[int]) -> int | None:
    """How many blocks of a notarized chain with these slots prove its first block final, or ``None``."""
    slots = [0, *chain]
    return next((end for end in range(2, len(slots)) if slots[end] - slots[end - 2] == 2), None)


# --- forks ----------------------------------------------------------------------------------------------


def child_subnet(parent: bytes, record: bytes, attempt: int, founder: bytes) -> bytes:
    """The id of a child (TOM-ROLES-099)."""
    return sha256(labelled("ToM/1 child", parent, record, _u32(attempt), founder))


def check_move(move: Move, roles: Roles, present: bytes) -> None:
    """Verify a move over this record (TOM-ROLES-089).

    Rejects ``wrong_subnet``, ``wrong_term``, ``wrong_leader``, ``node_mismatch``, ``bad_signature``.
    """
    record = roles.record
    if move.subnet != record.subnet:
        raise ProtocolError(Reason.WRONG_SUBNET, "move")
    if move.term != record.term or move.record != present:
        raise ProtocolError(Reason.WRONG_TERM, f"a move over term {move.term}")
    if move.founder != roles.fork_founder(move.attempt):
        raise ProtocolError(Reason.WRONG_LEADER, f"founder of attempt {move.attempt}")
    if move.node not in roles.members:
        raise ProtocolError(Reason.NODE_MISMATCH, "the mover is no member")
    signed = signed_move(move.subnet, move.term, move.record, move.attempt, move.founder)
    verify(move.node, signed, move.signature)


def child_record(
    roles: Roles, present: bytes, attempt: int, *, members: Sequence[Member], proof: bytes, start: int
) -> TermRecord:
    """The genesis of a child (TOM-ROLES-097 to 101).

    ``members`` are those that moved, and newcomers for whom the founder forks; ``proof`` is the founder's VRF
    proof for :func:`child_alpha`; ``start`` is in ms.
    """
    parent = roles.record
    founder = roles.fork_founder(attempt)
    listed = next(member for member in parent.roster if member.node == founder)
    output = vrf.verify(listed.vrf_key, child_alpha(attempt, parent.seed), proof)
    return evolve(
        parent,
        subnet=child_subnet(parent.subnet, present, attempt, founder),
        term=0,
        previous=NO_HASH,
        start=start,
        seed=child_seed(attempt, parent.seed, output),
        proposer=founder,
        proof=proof,
        vitals=forked(parent.vitals),
        roster=tuple(
            Member(member.node, member.vrf_key, admitted=0)
            for member in sorted(members, key=lambda member: member.node)
        ),
        pot=0,
    )


def check_child(child: Child, timing: Timing) -> int:
    """Verify a child's genesis with its moves; returns its attempt (TOM-ROLES-097 to 101).

    Rejects ``bad_record``, ``bad_value``, ``bad_proof``, ``bad_signature`` and what a move deserves.
    """
    record, parent = child.record, child.parent
    _check_fresh(record)
    check_durations(record, timing)
    roles, present = Roles(parent), record_hash(parent)
    for move in child.moves:
        check_move(move, roles, present)
    attempts = {move.attempt for move in child.moves}
    if len(attempts) != 1:
        raise ProtocolError(Reason.BAD_RECORD, "moves of several attempts")
    attempt = attempts.pop()
    moved = {move.node for move in child.moves}
    founder = roles.fork_founder(attempt)
    listed = {member.node for member in record.roster}
    newcomers = listed - moved
    if founder not in moved or founder not in listed or len(listed) < 2:
        raise ProtocolError(Reason.BAD_RECORD, "a child without its founder, or of one")
    if newcomers and (moved & listed != {founder} or newcomers & roles.members):
        raise ProtocolError(Reason.BAD_RECORD, "a child lists those that moved")
    expected = child_record(
        roles, present, attempt, members=record.roster, proof=record.proof, start=record.start
    )
    if expected != record:
        raise ProtocolError(Reason.BAD_RECORD, "the genesis doesn't follow from the moves")
    for member in record.roster:
        held = parent.member(member.node)
        if held is not None and held.vrf_key != member.vrf_key:
            raise ProtocolError(Reason.BAD_RECORD, "a member with another VRF key")
    verify(founder, signed_genesis(record), child.signature)
    return attempt
