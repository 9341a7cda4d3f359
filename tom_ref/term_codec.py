"""The formats of *Roles and terms*: bytes to values and back, strict, canonical, bounded.

The rules are those of :mod:`tom_ref.delivery_codec`: whatever the bytes, a decoder returns a value or raises
:class:`~tom_ref.errors.ProtocolError`, and an encoder refuses what a decoder would.  Signatures, proofs and
hashes are not verified here (see records and term).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from tom_ref import constants, wire
from tom_ref.delivery_codec import (
    Format,
    StoredFormat,
    check_version,
    decode_descriptor,
    decode_header,
    decode_receipt,
    encode_descriptor,
    encode_receipt,
    read_address,
    read_extensions,
    refuse,
    write_addresses,
    write_extensions,
)
from tom_ref.errors import Reason
from tom_ref.frames import Header
from tom_ref.term_frames import (
    NO_HASH,
    Ballot,
    BlockHeader,
    Certificate,
    Child,
    Conversation,
    ConversationEnd,
    Counts,
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
    Member,
    Move,
    Proposal,
    ProvenBlock,
    RecordAnswer,
    RecordQuery,
    Signal,
    TermFrame,
    TermRecord,
    Vitals,
    VitalsProof,
    VitalsReport,
    Vote,
)

_SIGN: Final = 1 << 63
_FIXED_CAP: Final = 512
_TERM_RECORD = Format("term record", wire.TERM_RECORD, constants.MAX_TERM_RECORD)
_BLOCK_HEADER = Format("block header", wire.BLOCK_HEADER, _FIXED_CAP)
_EVIDENCE = Format("evidence", wire.EVIDENCE, constants.MAX_EVIDENCE)
_PROPOSAL = Format(
    "proposal", wire.PROPOSAL, constants.MAX_EVIDENCE + constants.MAX_TERM_RECORD + 65 * 255 + _FIXED_CAP
)
_VOTE = Format("vote", wire.VOTE, _FIXED_CAP)
_HEARTBEAT = Format("heartbeat", wire.HEARTBEAT, _FIXED_CAP)
_FINALITY = Format("proof of finality", wire.FINALITY, constants.MAX_FRAME)
_RECORD_QUERY = Format("record query", wire.RECORD_QUERY, _FIXED_CAP)
_RECORD_ANSWER = Format("record answer", wire.RECORD_ANSWER, constants.MAX_FRAME)
_JOIN = Format("join", wire.JOIN, constants.MAX_DESCRIPTOR + _FIXED_CAP)
_LEAVE = Format("leave", wire.LEAVE, _FIXED_CAP)
_MOVE = Format("move", wire.MOVE, _FIXED_CAP)
_CHILD = Format("child", wire.CHILD, constants.MAX_FRAME)
_GENESIS = Format("genesis", wire.GENESIS, constants.MAX_FRAME)
_CONVERSATION = Format("conversation", wire.CONVERSATION, 32 * _FIXED_CAP)
_CONVERSATION_END = Format("conversation end", wire.CONVERSATION_END, _FIXED_CAP)
_INVITATION_BODY = Format("invitation", wire.INVITATION_BODY, constants.MAX_INVITATION)
_INVITATION = Format("invitation", wire.INVITATION, constants.MAX_INVITATION)
_VITALS = Format("vital signs", wire.VITALS, _FIXED_CAP)
_COUNTS = Format("counts", wire.VITALS_COUNTS, _FIXED_CAP)
_VITALS_REPORT = Format("report of vital signs", wire.VITALS_REPORT, _FIXED_CAP)
_SIGNAL = Format("signal", wire.SIGNAL, constants.MAX_SIGNAL + _FIXED_CAP)


def _ascending(name: str, values: Iterable[Any]) -> None:
    """Every list that is a set has one order: each value above the one before (TOM-ROLES-124)."""
    last = None
    for value in values:
        if last is not None and value <= last:
            refuse(Reason.NON_CANONICAL, f"{name} not ascending")
        last = value


def _at_most(name: str, count: int, most: int) -> None:
    if count > most:
        refuse(Reason.TOO_LARGE, f"{count} {name}, at most {most}")


def _between(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        refuse(Reason.BAD_VALUE, f"{name} {value}")


# --- records ------------------------------------------------------------------------------------------


def _check_record(record: TermRecord) -> None:
    """What every record keeps, whatever came before it (TOM-ROLES-001, 005, 006)."""
    _between("number of members", len(record.roster), 1, constants.MAX_MEMBERS)
    for earlier, later in zip(record.roster, record.roster[1:], strict=False):
        if earlier.node >= later.node:
            refuse(Reason.BAD_VALUE, "the roster is not ascending")
    for member in record.roster:
        _between("absent", member.absent, 0, constants.ABSENT_LIMIT - 1)
        _between("weight", member.weight, 0, constants.MAX_WEIGHT)
        _between("next_weight", member.next_weight, 0, constants.MAX_WEIGHT)
    _between("relay_share", record.relay_share, 1, 12)
    _between("custody", record.custody, 1, 8)
    for name, duration in (("slot_ms", record.slot_ms), ("term_ms", record.term_ms)):
        _between(name, duration, 1, (1 << 32) - 1)
    _between("start", record.start, 0, (1 << 62) - 1)
    if record.vitals is not None:
        _check_vitals(record.vitals)
    if sum(member.balance for member in record.roster) + record.pot != 0:
        refuse(Reason.BAD_RECORD, "balances and pot don't sum to zero")


_LATENCY: Final = tuple(
    field.name for field in wire.VITALS_COUNTS.subcons if field.name.startswith(("within", "beyond"))
)
"""The fields of the eight classes of latency, in counts and in vital signs."""


def _read_latency(parsed: Any) -> tuple[int, ...]:
    return tuple(getattr(parsed, name) for name in _LATENCY)


def _check_counts(counts: Counts) -> None:
    """A part is no more than the whole (TOM-VITALS-003)."""
    if not (counts.recovered <= counts.rerouted <= counts.ended and counts.delivered <= counts.ended):
        refuse(Reason.BAD_VALUE, "a part of the counts is more than the whole")
    if counts.recovered > counts.delivered or sum(counts.latency) != counts.delivered:
        refuse(Reason.BAD_VALUE, "the counts of delivered messages differ")


def _counts_values(counts: Counts) -> dict[str, Any]:
    _check_counts(counts)
    return {
        "ended": counts.ended,
        "delivered": counts.delivered,
        "rerouted": counts.rerouted,
        "recovered": counts.recovered,
        **dict(zip(_LATENCY, counts.latency, strict=True)),
    }


def _read_counts(parsed: Any) -> Counts:
    counts = Counts(parsed.ended, parsed.delivered, parsed.rerouted, parsed.recovered, _read_latency(parsed))
    _check_counts(counts)
    return counts


def encode_counts(counts: Counts) -> bytes:
    """Return the 24 bytes of a report's counts, as they are signed (TOM-VITALS-002)."""
    return _COUNTS.build(_counts_values(counts))


def _check_vitals(vitals: Vitals) -> None:
    for name, permille in (("delivery", vitals.delivery), ("survival", vitals.survival)):
        _between(name, permille, 0, constants.PERMILLE)
    for permille in vitals.latency:
        _between("latency", permille, 0, constants.PERMILLE)
    _between("reports", vitals.reports, 0, constants.MAX_MEMBERS)


def _encode_vitals(vitals: Vitals) -> bytes:
    return _VITALS.build(
        {
            "delivery": vitals.delivery,
            "survival": vitals.survival,
            **dict(zip(_LATENCY, vitals.latency, strict=True)),
            "reports": vitals.reports,
            "forks": vitals.forks,
        }
    )


def _decode_vitals(data: bytes) -> Vitals | None:
    if not data:
        return None
    if len(data) != wire.VITALS.sizeof():
        refuse(Reason.BAD_VALUE, f"vital signs of {len(data)} bytes")
    parsed = _VITALS.parse(data)
    return Vitals(parsed.delivery, parsed.survival, _read_latency(parsed), parsed.reports, parsed.forks)


def _record_values(record: TermRecord) -> dict[str, Any]:
    _check_record(record)
    vitals = b"" if record.vitals is None else _encode_vitals(record.vitals)
    return {
        "version": constants.VERSION,
        "subnet": record.subnet,
        "term": record.term,
        "previous": record.previous,
        "start": record.start,
        "seed": record.seed,
        "proposer": record.proposer,
        "proof": record.proof,
        "slot_ms": record.slot_ms,
        "term_ms": record.term_ms,
        "fork_ms": record.fork_ms,
        "relay_share": record.relay_share,
        "custody": record.custody,
        "pot": record.pot + _SIGN,
        "vitals_length": len(vitals),
        "vitals": vitals,
        "member_count": len(record.roster),
        "roster": [
            {
                "node": member.node,
                "vrf_key": member.vrf_key,
                "admitted": member.admitted,
                "absent": member.absent,
                "weight": member.weight,
                "next_weight": member.next_weight,
                "balance": member.balance + _SIGN,
            }
            for member in record.roster
        ],
        "extensions": write_extensions(record.extensions),
    }


def _read_record(parsed: Any) -> TermRecord:
    check_version("term record", parsed.version)
    record = TermRecord(
        parsed.subnet,
        parsed.term,
        parsed.previous,
        parsed.start,
        parsed.seed,
        parsed.proposer,
        parsed.proof,
        parsed.slot_ms,
        parsed.term_ms,
        parsed.fork_ms,
        parsed.relay_share,
        parsed.custody,
        tuple(
            Member(
                item.node,
                item.vrf_key,
                item.admitted,
                item.absent,
                item.weight,
                item.next_weight,
                item.balance - _SIGN,
            )
            for item in parsed.roster
        ),
        parsed.pot - _SIGN,
        _decode_vitals(parsed.vitals),
        read_extensions(parsed.extensions),
    )
    _check_record(record)
    return record


def encode_record(record: TermRecord) -> bytes:
    """Return a term record's bytes, at most 16,384."""
    return _TERM_RECORD.build(_record_values(record))


def decode_record(data: bytes) -> TermRecord:
    """Decode a term record that fills ``data`` (TOM-ROLES-005, 006)."""
    return _read_record(_TERM_RECORD.parse(data))


# --- blocks and votes ---------------------------------------------------------------------------------


def _block_values(header: BlockHeader) -> dict[str, Any]:
    _between("slot", header.slot, 1, (1 << 32) - 1)
    if (header.record == NO_HASH) != (header.evidence == NO_HASH):
        refuse(Reason.BAD_VALUE, "a block names both record and evidence, or neither")
    return {
        "version": constants.VERSION,
        "subnet": header.subnet,
        "term": header.term,
        "present": header.present,
        "slot": header.slot,
        "parent": header.parent,
        "record": header.record,
        "evidence": header.evidence,
    }


def _read_block(parsed: Any) -> BlockHeader:
    check_version("block header", parsed.version)
    header = BlockHeader(
        parsed.subnet,
        parsed.term,
        parsed.present,
        parsed.slot,
        parsed.parent,
        parsed.record,
        parsed.evidence,
    )
    _block_values(header)
    return header


def encode_block_header(header: BlockHeader) -> bytes:
    """Return a block header's bytes, over which leader and hash go (TOM-ROLES-023)."""
    return _BLOCK_HEADER.build(_block_values(header))


def decode_block_header(data: bytes) -> BlockHeader:
    """Decode a block header that fills ``data``."""
    return _read_block(_BLOCK_HEADER.parse(data))


def _read_certificate(items: Sequence[Any]) -> Certificate:
    _at_most("votes", len(items), constants.MAX_MEMBERS)
    _ascending("certificate", (item.index for item in items))
    return tuple(Ballot(item.index, item.signature) for item in items)


def _certificate_values(certificate: Certificate) -> list[dict[str, Any]]:
    _at_most("votes", len(certificate), constants.MAX_MEMBERS)
    _ascending("certificate", (ballot.index for ballot in certificate))
    return [{"index": ballot.index, "signature": ballot.signature} for ballot in certificate]


def _encode_proposal(proposal: Proposal) -> bytes:
    record = b"" if proposal.record is None else encode_record(proposal.record)
    evidence = b"" if proposal.evidence is None else encode_evidence(proposal.evidence)
    _check_parts(proposal.header, len(record), len(evidence))
    return _PROPOSAL.build(
        {
            "header": _block_values(proposal.header),
            "signature": proposal.signature,
            "vote_count": len(proposal.certificate),
            "certificate": _certificate_values(proposal.certificate),
            "record_length": len(record),
            "record": record,
            "evidence_length": len(evidence),
            "evidence": evidence,
        }
    )


def _check_parts(header: BlockHeader, record_length: int, evidence_length: int) -> None:
    """A first block carries record and evidence, a later one neither (TOM-ROLES-029, 125)."""
    first = header.record != NO_HASH
    if first != bool(record_length) or first != bool(evidence_length):
        refuse(Reason.BAD_VALUE, "a first block carries record and evidence, a later one neither")


def _decode_proposal(data: bytes) -> Proposal:
    parsed = _PROPOSAL.parse(data)
    header = _read_block(parsed.header)
    _check_parts(header, parsed.record_length, parsed.evidence_length)
    return Proposal(
        header,
        parsed.signature,
        _read_certificate(parsed.certificate),
        decode_record(parsed.record) if parsed.record_length else None,
        decode_evidence(parsed.evidence) if parsed.evidence_length else None,
    )


def _encode_vote(vote: Vote) -> bytes:
    _between("slot", vote.slot, 1, (1 << 32) - 1)
    return _VOTE.build(
        {
            "subnet": vote.subnet,
            "term": vote.term,
            "present": vote.present,
            "slot": vote.slot,
            "block": vote.block,
            "voter": vote.voter,
            "signature": vote.signature,
        }
    )


def _decode_vote(data: bytes) -> Vote:
    parsed = _VOTE.parse(data)
    _between("slot", parsed.slot, 1, (1 << 32) - 1)
    return Vote(
        parsed.subnet,
        parsed.term,
        parsed.present,
        parsed.slot,
        parsed.block,
        parsed.voter,
        parsed.signature,
    )


def _encode_finality(proof: FinalityProof) -> bytes:
    _between("number of blocks", len(proof.blocks), 2, constants.MAX_PROOF_BLOCKS)
    return _FINALITY.build(
        {
            "block_count": len(proof.blocks),
            "blocks": [
                {
                    "header": _block_values(block.header),
                    "vote_count": len(block.certificate),
                    "certificate": _certificate_values(block.certificate),
                }
                for block in proof.blocks
            ],
            "record": _record_values(proof.record),
        }
    )


def _decode_finality(data: bytes) -> FinalityProof:
    parsed = _FINALITY.parse(data)
    _between("number of blocks", parsed.block_count, 2, constants.MAX_PROOF_BLOCKS)
    blocks = tuple(
        ProvenBlock(_read_block(block.header), _read_certificate(block.certificate))
        for block in parsed.blocks
    )
    return FinalityProof(_read_record(parsed.record), blocks)


# --- evidence -----------------------------------------------------------------------------------------


def _join_values(join: Join) -> dict[str, Any]:
    descriptor = encode_descriptor(join.descriptor)
    return {
        "subnet": join.subnet,
        "term": join.term,
        "work_nonce": join.work_nonce,
        "sponsor": join.sponsor,
        "signature": join.signature,
        "descriptor_length": len(descriptor),
        "descriptor": descriptor,
    }


def _read_join(parsed: Any) -> Join:
    return Join(
        parsed.subnet,
        parsed.term,
        decode_descriptor(parsed.descriptor),
        parsed.work_nonce,
        parsed.sponsor,
        parsed.signature,
    )


def header_of(delivery: Delivery) -> Header:
    """The meaning of a delivery's header bytes."""
    return decode_header(delivery.header_bytes)


def _delivery_values(delivery: Delivery) -> dict[str, Any]:
    receipt = encode_receipt(delivery.receipt)
    decode_header(delivery.header_bytes)
    return {
        "header_length": len(delivery.header_bytes),
        "header": delivery.header_bytes,
        "signature": delivery.signature,
        "receipt_length": len(receipt),
        "receipt": receipt,
    }


def _check_evidence(evidence: Evidence) -> None:
    for name, indices in (
        ("heartbeats", [proof.index for proof in evidence.heartbeats]),
        ("leaves", [proof.index for proof in evidence.leaves]),
        ("reports", [proof.index for proof in evidence.reports]),
    ):
        _at_most(name, len(indices), constants.MAX_MEMBERS)
        _ascending(name, indices)
    _at_most("joins", len(evidence.joins), constants.MAX_JOINS)
    if len({join.descriptor.node_id for join in evidence.joins}) != len(evidence.joins):
        refuse(Reason.NON_CANONICAL, "a newcomer twice")
    _at_most("deliveries", len(evidence.deliveries), constants.MAX_DELIVERIES)
    _ascending("deliveries", (delivery.receipt.message_id for delivery in evidence.deliveries))


def encode_evidence(evidence: Evidence) -> bytes:
    """Return the evidence of a block, at most 262,144 bytes (TOM-ROLES-052)."""
    _check_evidence(evidence)
    return _EVIDENCE.build(
        {
            "heartbeat_count": len(evidence.heartbeats),
            "heartbeats": [
                {"index": proof.index, "signature": proof.signature} for proof in evidence.heartbeats
            ],
            "leave_count": len(evidence.leaves),
            "leaves": [{"index": proof.index, "signature": proof.signature} for proof in evidence.leaves],
            "join_count": len(evidence.joins),
            "joins": [_join_values(join) for join in evidence.joins],
            "delivery_count": len(evidence.deliveries),
            "deliveries": [_delivery_values(delivery) for delivery in evidence.deliveries],
            "report_count": len(evidence.reports),
            "reports": [
                {
                    "index": proof.index,
                    "counts": _counts_values(proof.counts),
                    "signature": proof.signature,
                }
                for proof in evidence.reports
            ],
        }
    )


def _read_delivery(item: Any) -> Delivery:
    decode_header(item.header)
    return Delivery(item.header, item.signature, decode_receipt(item.receipt))


def decode_evidence(data: bytes) -> Evidence:
    """Decode the evidence of a block that fills ``data`` (TOM-ROLES-052)."""
    parsed = _EVIDENCE.parse(data)
    _at_most("joins", parsed.join_count, constants.MAX_JOINS)
    _at_most("deliveries", parsed.delivery_count, constants.MAX_DELIVERIES)
    evidence = Evidence(
        tuple(HeartbeatProof(item.index, item.signature) for item in parsed.heartbeats),
        tuple(LeaveProof(item.index, item.signature) for item in parsed.leaves),
        tuple(_read_join(item) for item in parsed.joins),
        tuple(_read_delivery(item) for item in parsed.deliveries),
        tuple(VitalsProof(item.index, _read_counts(item.counts), item.signature) for item in parsed.reports),
    )
    _check_evidence(evidence)
    return evidence


def _encode_join(join: Join) -> bytes:
    return _JOIN.build({"body": _join_values(join)})


def _decode_join(data: bytes) -> Join:
    return _read_join(_JOIN.parse(data).body)


# --- presence and catching up -------------------------------------------------------------------------


def _heartbeat_values(heartbeat: Heartbeat) -> dict[str, Any]:
    return {
        "subnet": heartbeat.subnet,
        "term": heartbeat.term,
        "record": heartbeat.record,
        "node": heartbeat.node,
        "signature": heartbeat.signature,
    }


def _read_heartbeat(parsed: Any) -> Heartbeat:
    return Heartbeat(parsed.subnet, parsed.term, parsed.record, parsed.node, parsed.signature)


def _encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    return _HEARTBEAT.build({"body": _heartbeat_values(heartbeat)})


def _decode_heartbeat(data: bytes) -> Heartbeat:
    return _read_heartbeat(_HEARTBEAT.parse(data).body)


def _encode_query(query: RecordQuery) -> bytes:
    return _RECORD_QUERY.build({"subnet": query.subnet, "term": query.term})


def _decode_query(data: bytes) -> RecordQuery:
    parsed = _RECORD_QUERY.parse(data)
    return RecordQuery(parsed.subnet, parsed.term)


def _check_vouchers(heartbeats: Sequence[Heartbeat]) -> None:
    _at_most("heartbeats", len(heartbeats), constants.MAX_MEMBERS)
    _ascending("heartbeats", (heartbeat.node for heartbeat in heartbeats))


def _encode_answer(answer: RecordAnswer) -> bytes:
    present = encode_record(answer.present)
    previous = b"" if answer.previous is None else encode_record(answer.previous)
    _check_vouchers(answer.heartbeats)
    return _RECORD_ANSWER.build(
        {
            "present_length": len(present),
            "present": present,
            "previous_length": len(previous),
            "previous": previous,
            "heartbeat_count": len(answer.heartbeats),
            "heartbeats": [_heartbeat_values(heartbeat) for heartbeat in answer.heartbeats],
        }
    )


def _decode_answer(data: bytes) -> RecordAnswer:
    parsed = _RECORD_ANSWER.parse(data)
    heartbeats = tuple(_read_heartbeat(item) for item in parsed.heartbeats)
    _check_vouchers(heartbeats)
    return RecordAnswer(
        decode_record(parsed.present),
        decode_record(parsed.previous) if parsed.previous_length else None,
        heartbeats,
    )


def _encode_report(report: VitalsReport) -> bytes:
    return _VITALS_REPORT.build(
        {
            "subnet": report.subnet,
            "term": report.term,
            "record": report.record,
            "node": report.node,
            "counts": _counts_values(report.counts),
            "signature": report.signature,
        }
    )


def _decode_report(data: bytes) -> VitalsReport:
    parsed = _VITALS_REPORT.parse(data)
    counts = _read_counts(parsed.counts)
    return VitalsReport(parsed.subnet, parsed.term, parsed.record, parsed.node, counts, parsed.signature)


def _encode_leave(leave: Leave) -> bytes:
    return _LEAVE.build(
        {"subnet": leave.subnet, "term": leave.term, "node": leave.node, "signature": leave.signature}
    )


def _decode_leave(data: bytes) -> Leave:
    parsed = _LEAVE.parse(data)
    return Leave(parsed.subnet, parsed.term, parsed.node, parsed.signature)


# --- forks --------------------------------------------------------------------------------------------


def _move_values(move: Move) -> dict[str, Any]:
    _between("attempt", move.attempt, 1, (1 << 32) - 1)
    return {
        "subnet": move.subnet,
        "term": move.term,
        "record": move.record,
        "attempt": move.attempt,
        "founder": move.founder,
        "node": move.node,
        "signature": move.signature,
    }


def _read_move(parsed: Any) -> Move:
    move = Move(
        parsed.subnet,
        parsed.term,
        parsed.record,
        parsed.attempt,
        parsed.founder,
        parsed.node,
        parsed.signature,
    )
    _move_values(move)
    return move


def encode_move(move: Move) -> bytes:
    """Return a move's frame."""
    return _MOVE.build({"body": _move_values(move)})


def decode_move(data: bytes) -> Move:
    """Decode a move's frame that fills ``data``."""
    return _read_move(_MOVE.parse(data).body)


def _encode_child(child: Child) -> bytes:
    record, parent = encode_record(child.record), encode_record(child.parent)
    _check_moves(child.moves)
    return _CHILD.build(
        {
            "record_length": len(record),
            "record": record,
            "signature": child.signature,
            "parent_length": len(parent),
            "parent": parent,
            "move_count": len(child.moves),
            "moves": [_move_values(move) for move in child.moves],
        }
    )


def _check_moves(moves: Sequence[Move]) -> None:
    _between("number of moves", len(moves), 1, constants.MAX_MEMBERS)
    _ascending("moves", (move.node for move in moves))


def _decode_child(data: bytes) -> Child:
    parsed = _CHILD.parse(data)
    moves = tuple(_read_move(item) for item in parsed.moves)
    _check_moves(moves)
    return Child(decode_record(parsed.record), parsed.signature, decode_record(parsed.parent), moves)


def _encode_genesis(genesis: Genesis) -> bytes:
    record = encode_record(genesis.record)
    _check_founders(genesis.record, len(genesis.proofs), len(genesis.signatures))
    return _GENESIS.build(
        {
            "nonce": genesis.nonce,
            "record_length": len(record),
            "record": record,
            "founder_count": len(genesis.proofs),
            "founders": [
                {"proof": proof, "signature": signature}
                for proof, signature in zip(genesis.proofs, genesis.signatures, strict=True)
            ],
        }
    )


def _check_founders(record: TermRecord, proofs: int, signatures: int) -> None:
    if not len(record.roster) == proofs == signatures:
        refuse(Reason.BAD_SIGNATURE, "a genesis is signed by each of its founders")


def _decode_genesis(data: bytes) -> Genesis:
    parsed = _GENESIS.parse(data)
    record = decode_record(parsed.record)
    _check_founders(record, parsed.founder_count, parsed.founder_count)
    return Genesis(
        record,
        parsed.nonce,
        tuple(founder.proof for founder in parsed.founders),
        tuple(founder.signature for founder in parsed.founders),
    )


# --- conversations and signals ------------------------------------------------------------------------


def _check_participants(participants: Sequence[bytes], signatures: int) -> None:
    _between("number of participants", len(participants), 2, constants.MAX_PARTICIPANTS)
    _ascending("participants", participants)
    if signatures != len(participants):
        refuse(Reason.BAD_SIGNATURE, "a conversation is signed by each of its participants")


def _encode_conversation(conversation: Conversation) -> bytes:
    _check_participants(conversation.participants, len(conversation.signatures))
    return _CONVERSATION.build(
        {
            "home": conversation.home,
            "term": conversation.term,
            "nonce": conversation.nonce,
            "count": len(conversation.participants),
            "participants": [
                {"node": node, "signature": signature}
                for node, signature in zip(conversation.participants, conversation.signatures, strict=True)
            ],
        }
    )


def _decode_conversation(data: bytes) -> Conversation:
    parsed = _CONVERSATION.parse(data)
    participants = tuple(item.node for item in parsed.participants)
    _check_participants(participants, len(participants))
    return Conversation(
        parsed.home,
        parsed.term,
        participants,
        parsed.nonce,
        tuple(item.signature for item in parsed.participants),
    )


def _encode_conversation_end(end: ConversationEnd) -> bytes:
    return _CONVERSATION_END.build(
        {"conversation": end.conversation, "node": end.node, "signature": end.signature}
    )


def _decode_conversation_end(data: bytes) -> ConversationEnd:
    parsed: SimpleNamespace = _CONVERSATION_END.parse(data)
    return ConversationEnd(parsed.conversation, parsed.node, parsed.signature)


def _encode_signal(signal: Signal) -> bytes:
    _at_most("bytes of a signal", len(signal.body), constants.MAX_SIGNAL)
    return _SIGNAL.build({"sender": signal.sender, "recipient": signal.recipient, "body": signal.body})


def _decode_signal(data: bytes) -> Signal:
    parsed = _SIGNAL.parse(data)
    _at_most("bytes of a signal", len(parsed.body), constants.MAX_SIGNAL)
    return Signal(parsed.sender, parsed.recipient, parsed.body)


# --- invitations --------------------------------------------------------------------------------------


def _invitation_values(invitation: Invitation) -> dict[str, Any]:
    _between("expires_at", invitation.expires_at, 0, (1 << 62) - 1)
    _between("number of addresses", len(invitation.addresses), 1, constants.MAX_ADDRESSES)
    return {
        "version": constants.VERSION,
        "inviter": invitation.inviter,
        "subnet": invitation.subnet,
        "term": invitation.term,
        "record": invitation.record,
        "token": invitation.token,
        "expires_at": invitation.expires_at,
        "address_count": len(invitation.addresses),
        "addresses": write_addresses(invitation.addresses),
    }


def encode_invitation_body(invitation: Invitation) -> bytes:
    """Return the bytes that an invitation's signature covers (before ``labelled``)."""
    return _INVITATION_BODY.build(_invitation_values(invitation))


def encode_invitation(invitation: Invitation) -> bytes:
    """Return an invitation's bytes, at most 4,096."""
    return _INVITATION.build({"body": _invitation_values(invitation), "signature": invitation.signature})


def decode_invitation(data: bytes) -> Invitation:
    """Decode an invitation that fills ``data``.  The signature is not verified here (see invitation)."""
    parsed = _INVITATION.parse(data)
    body = parsed.body
    check_version("invitation", body.version)
    _at_most("addresses", body.address_count, constants.MAX_ADDRESSES)
    invitation = Invitation(
        body.inviter,
        body.subnet,
        body.term,
        body.record,
        body.token,
        body.expires_at,
        tuple(read_address(item) for item in body.addresses),
        parsed.signature,
    )
    _invitation_values(invitation)
    return invitation


TERM: Final = StoredFormat("term", wire.STORED_TERM, 16 * constants.MAX_FRAME)
"""What a validator has on disk before its vote leaves (TOM-ROLES-035)."""

CONVERSATION: Final = StoredFormat("conversation", wire.STORED_CONVERSATION, 2_048)
"""A conversation subnet that a node takes part in."""

LEFT: Final = StoredFormat("subnets left", wire.STORED_LEFT, 1_024)
"""The subnets that a node has left for good (TOM-ROLES-143)."""

TERM_DECODERS: Final[Mapping[int, Callable[[bytes], TermFrame]]] = {
    7: _decode_proposal,
    8: _decode_vote,
    9: _decode_heartbeat,
    10: _decode_finality,
    11: _decode_query,
    12: _decode_answer,
    13: _decode_join,
    14: _decode_leave,
    15: decode_move,
    16: _decode_child,
    17: _decode_genesis,
    18: _decode_conversation,
    19: _decode_conversation_end,
    20: _decode_signal,
    32: _decode_report,
}
"""By the first byte of the frame."""

TERM_ENCODERS: Final[Mapping[type, Callable[[Any], bytes]]] = {
    Proposal: _encode_proposal,
    Vote: _encode_vote,
    Heartbeat: _encode_heartbeat,
    FinalityProof: _encode_finality,
    RecordQuery: _encode_query,
    RecordAnswer: _encode_answer,
    Join: _encode_join,
    Leave: _encode_leave,
    Move: encode_move,
    Child: _encode_child,
    Genesis: _encode_genesis,
    Conversation: _encode_conversation,
    ConversationEnd: _encode_conversation_end,
    Signal: _encode_signal,
    VitalsReport: _encode_report,
}
