"""What a port sends in bytes of its own choice: judged by the rules, not by the bytes.

Which evidence a leader includes is its own affair, so that its first block, and with it the hash of that
block and of all behind it, may differ from the reference's.  What the specification fixes is checked here:
place, slot, parent, signature, the proof of the VRF, the record that follows from the evidence, and that the
vote which goes with a block is for that block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve

from tom_ref import codec, constants, records, term_codec
from tom_ref.admission import is_request
from tom_ref.crypto import verify
from tom_ref.draft import Roles
from tom_ref.errors import ProtocolError
from tom_ref.frames import Envelope
from tom_ref.ledger import work_done
from tom_ref.term import Term
from tom_ref.term_frames import BlockHeader, Join, Proposal, Vote
from tom_ref.validate import message_id


def loosened(effect: dict[str, Any], own_id: bytes, terms: Iterable[Term], asked: int = 0) -> dict[str, Any]:
    """An effect as it is expected of a port: bytes of its own choice become rules.

    They are a leader's own block and its vote for it, and the nonce of an envelope or a request to join;
    ``asked`` is the work, in bits, that the node's own messages need.
    """
    if effect.get("is") != "SendFrame":
        return effect
    frame = codec.decode_frame(bytes.fromhex(effect["data"]))
    if isinstance(frame, Envelope) and frame.header.sender == own_id and frame.work_nonce:
        return effect | {"data": {"$worked": {"frame": effect["data"], "bits": asked}}}
    if isinstance(frame, Join) and frame.descriptor.node_id == own_id and is_request(frame):
        return effect | {"data": {"$worked": {"frame": effect["data"], "bits": constants.JOIN_WORK_BITS}}}
    for term in terms:
        if isinstance(frame, Proposal) and frame.header.present == term.present:
            header = frame.header
            if term.roles.leader(header.slot) == own_id:
                parent = term.tree.get(header.parent)
                above = "" if parent is None else _header(parent.proposal.header)
                return effect | {"data": {"$block": _place(term, header.slot) | {"parent": above}}}
        if isinstance(frame, Vote) and (frame.present, frame.voter) == (term.present, own_id):
            if term.roles.leader(frame.slot) != own_id:
                return effect
            return effect | {"data": {"$vote": _place(term, frame.slot)}}
    return effect


def relies_on_own(term: Term, own_id: bytes) -> bool:
    """Whether another voted for a block that this node proposed: what follows depends on its evidence."""
    return any(
        term.roles.leader(block.slot) == own_id and (block.notarized or block.votes.keys() - {own_id})
        for block in term.tree
    )


def _place(term: Term, slot: int) -> dict[str, Any]:
    return {"present": term_codec.encode_record(term.record).hex(), "slot": slot}


def _header(header: BlockHeader) -> str:
    return term_codec.encode_block_header(header).hex()


def block_fault(given: Mapping[str, Any], actual: Any, bound: dict[str, Any]) -> str:
    """What is wrong with a proposal of the port's; empty for a good one, which is bound for its vote."""

    def judge(roles: Roles, frame: Any) -> str:
        if not isinstance(frame, Proposal):
            return f"{type(frame).__name__}, not a proposal"
        header, present = frame.header, records.record_hash(roles.record)
        records.check_place(roles, present, header)
        parent = term_codec.decode_block_header(bytes.fromhex(given["parent"])) if given["parent"] else None
        expected = present if parent is None else records.block_hash(parent)
        if header.slot != given["slot"] or header.parent != expected:
            return f"a block of slot {header.slot}, or on another parent"
        leader = roles.leader(header.slot)
        verify(leader, records.signed_block(header), frame.signature)
        if parent is not None:
            records.check_certificate(roles, parent, frame.certificate)
            if frame.record is not None:
                return "a later block with a record"
        else:
            if frame.record is None or frame.evidence is None or frame.certificate:
                return "a first block without a record, or with votes"
            record = records.next_record(
                roles, present, frame.evidence, slot=header.slot, proposer=leader, proof=frame.record.proof
            )
            if record != frame.record or header.record != records.record_hash(record):
                return "a record that doesn't follow from the evidence"
            if header.evidence != records.evidence_hash(frame.evidence):
                return "other evidence than the header names"
        bound[_name(given)] = records.block_hash(header).hex()
        return ""

    return _judged(given, actual, judge)


def vote_fault(given: Mapping[str, Any], actual: Any, bound: Mapping[str, Any]) -> str:
    """What is wrong with the port's vote for its own block of a slot; empty for a good one."""

    def judge(roles: Roles, frame: Any) -> str:
        if not isinstance(frame, Vote):
            return f"{type(frame).__name__}, not a vote"
        present = records.record_hash(roles.record)
        if (frame.subnet, frame.term, frame.present) != (roles.record.subnet, roles.record.term, present):
            return "a vote over another record"
        if frame.slot != given["slot"] or frame.voter != roles.leader(frame.slot):
            return f"a vote in slot {frame.slot}, or of another"
        if bound.get(_name(given)) != frame.block.hex():
            return "a vote for another block than the own one"
        records.check_vote(frame)
        return ""

    return _judged(given, actual, judge)


def work_fault(given: Mapping[str, Any], actual: Any, _: dict[str, Any]) -> str:
    """What is wrong with an envelope or a join whose nonce is the port's choice; empty for a good one."""
    try:
        expected = codec.decode_frame(bytes.fromhex(given["frame"]))
        frame = codec.decode_frame(bytes.fromhex(actual))
    except (ProtocolError, ValueError, TypeError) as error:
        return f"no frame: {error}"
    if not isinstance(frame, (Envelope, Join)) or _unworked(frame) != _unworked(expected):
        return "another frame, not only another nonce"
    shown = (
        work_done(message_id(frame.header_bytes), frame.work_nonce)
        if isinstance(frame, Envelope)
        else records.join_work(frame.subnet, frame.term, frame.descriptor.node_id, frame.work_nonce)
    )
    return "" if shown >= given["bits"] else f"{shown} bits of work, not {given['bits']}"


def _unworked(frame: Any) -> Any:
    return evolve(frame, work_nonce=0)


def _judged(given: Mapping[str, Any], actual: Any, judge: Callable[[Roles, Any], str]) -> str:
    roles = Roles(term_codec.decode_record(bytes.fromhex(given["present"])))
    try:
        return judge(roles, codec.decode_frame(bytes.fromhex(actual)))
    except (ProtocolError, ValueError, TypeError) as error:
        return f"not what a leader sends: {error}"


def _name(given: Mapping[str, Any]) -> str:
    return f"own block of slot {given['slot']} over {given['present'][-64:]}"
