"""Records, proofs, children and answers as the other members of a subnet would make them.

A script that wants a certain state of affairs doesn't wait until chance brings it about: it holds the keys of
all, and signs what is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from conformance.sources.subnets import Subnet
from tests.subnets import joined
from tom_ref import codec, constants, records, vrf
from tom_ref.crypto import sha256
from tom_ref.draft import Roles
from tom_ref.frames import Envelope, Header, Kind, Stamp
from tom_ref.identity import Identity
from tom_ref.moves import Moves
from tom_ref.term import own_heartbeat
from tom_ref.term_frames import (
    NO_HASH,
    Ballot,
    BlockHeader,
    Child,
    Evidence,
    FinalityProof,
    HeartbeatProof,
    Leave,
    LeaveProof,
    Move,
    Proposal,
    ProvenBlock,
    RecordAnswer,
    TermRecord,
)
from tom_ref.validate import message_id, signed_header, signed_stamp
from tools.vectors._roles import vote


def present(members: Subnet) -> TermRecord:
    """The record that the port holds."""
    record = members[members.port].running.home.record
    assert record is not None
    return record


def keys(members: Subnet) -> dict[bytes, Identity]:
    """Everybody's keys."""
    return {computer.id: computer.identity for computer in members.computers}


def beats(record: TermRecord, nodes: Iterable[Identity]) -> tuple[HeartbeatProof, ...]:
    """Heartbeats over a record as evidence."""
    index, present_hash = Roles(record).index, records.record_hash(record)
    made = [
        own_heartbeat(record, present_hash, node.node_id, node.signing_key)
        for node in nodes
        if node.node_id in index
    ]
    return tuple(
        HeartbeatProof(place, signature)
        for place, signature in sorted((index[beat.node], beat.signature) for beat in made)
    )


def first_block(members: Subnet, record: TermRecord, slot: int, evidence: Evidence) -> Proposal:
    """What the leader of a slot proposes on a record."""
    roles, present_hash = Roles(record), records.record_hash(record)
    leader = keys(members)[roles.leader(slot)]
    proof = vrf.prove(leader.vrf_secret, records.seed_alpha(record.term, record.seed))
    following = records.next_record(
        roles, present_hash, evidence, slot=slot, proposer=leader.node_id, proof=proof
    )
    header = BlockHeader(
        record.subnet,
        record.term,
        present_hash,
        slot,
        present_hash,
        records.record_hash(following),
        records.evidence_hash(evidence),
    )
    return Proposal(header, leader.signing_key.sign(records.signed_block(header)), (), following, evidence)


def later_block(
    members: Subnet, record: TermRecord, parent: BlockHeader, slot: int, voters: Sequence[Identity]
) -> Proposal:
    """What the leader of a later slot proposes on a block."""
    header = evolve(parent, slot=slot, parent=records.block_hash(parent), record=NO_HASH, evidence=NO_HASH)
    leader = keys(members)[Roles(record).leader(slot)]
    signature = leader.signing_key.sign(records.signed_block(header))
    return Proposal(header, signature, ballots(record, parent, voters))


def ballots(record: TermRecord, header: BlockHeader, voters: Sequence[Identity]) -> tuple[Ballot, ...]:
    """Votes for a block, ascending by index."""
    index = Roles(record).index
    cast = sorted((index[node.node_id], vote(node, header).signature) for node in voters)
    return tuple(Ballot(place, signature) for place, signature in cast)


def voters(members: Subnet, record: TermRecord, *, with_port: bool = False) -> list[Identity]:
    """A quorum, without the port unless there is none without it."""
    roles, held = Roles(record), keys(members)
    others = [held[node] for node in roles.validators if with_port or node != members[members.port].id]
    members.sure(len(others) >= roles.quorum, "no quorum without the port")
    return others[: roles.quorum]


def finality(
    members: Subnet, record: TermRecord, evidence: Evidence, *, with_port: bool = False, short: int = 0
) -> FinalityProof:
    """A proof that the record of the first slot is final; ``short`` of so many votes."""
    first = first_block(members, record, 1, evidence)
    assert first.record is not None
    signing = voters(members, record, with_port=with_port)[short:]
    second = later_block(members, record, first.header, 2, signing)
    blocks = tuple(
        ProvenBlock(block.header, ballots(record, block.header, signing)) for block in (first, second)
    )
    return FinalityProof(first.record, blocks)


def shown(members: Subnet, record: TermRecord, *but: int) -> Evidence:
    """Evidence with everybody's heartbeat, but those of some."""
    nodes = [computer.identity for computer in members.computers if computer.index not in but]
    return Evidence(beats(record, nodes))


def advance(members: Subnet, evidence: Evidence | None = None, *, with_port: bool = False) -> FinalityProof:
    """The port is given the proof of its next record."""
    record = present(members)
    proof = finality(members, record, evidence or shown(members, record), with_port=with_port)
    members.hand(codec.encode_frame(proof))
    members.sure(present(members) == proof.record, "the next record isn't present")
    return proof


def left_out(members: Subnet, record: TermRecord, *indices: int) -> Evidence:
    """Evidence with leaves of some."""
    index = Roles(record).index
    signed = records.signed_leave(record.subnet, record.term)
    proofs = sorted((index[members[i].id], members[i].identity.signing_key.sign(signed)) for i in indices)
    return evolve(
        shown(members, record), leaves=tuple(LeaveProof(place, signature) for place, signature in proofs)
    )


def leave(members: Subnet, index: int, record: TermRecord) -> bytes:
    """A member asks to be left out."""
    signature = members[index].identity.signing_key.sign(records.signed_leave(record.subnet, record.term))
    return codec.encode_frame(Leave(record.subnet, record.term, members[index].id, signature))


def joining(members: Subnet, record: TermRecord, newcomer: int, sponsor: int) -> Evidence:
    """Evidence with a newcomer's join."""
    join = joined(record, members[newcomer].identity, members[sponsor].identity)
    return evolve(shown(members, record), joins=(join,))


def answer(
    members: Subnet, record: TermRecord, who: Iterable[int], previous: TermRecord | None = None
) -> bytes:
    """A later record with heartbeats that vouch for it."""
    present_hash = records.record_hash(record)
    made = [own_heartbeat(record, present_hash, members[i].id, members[i].identity.signing_key) for i in who]
    vouching = tuple(sorted(made, key=lambda beat: beat.node))
    return codec.encode_frame(RecordAnswer(record, previous, vouching))


def move(members: Subnet, index: int, record: TermRecord, attempt: int) -> Move:
    """A member's move over a record."""
    roles, present_hash = Roles(record), records.record_hash(record)
    founder = roles.fork_founder(attempt)
    signed = records.signed_move(record.subnet, record.term, present_hash, attempt, founder)
    node = members[index].identity
    return Move(
        record.subnet,
        record.term,
        present_hash,
        attempt,
        founder,
        node.node_id,
        node.signing_key.sign(signed),
    )


def child(members: Subnet, record: TermRecord, attempt: int, movers: Sequence[int], start: int) -> Child:
    """The child that the founder of an attempt founds with those that moved."""
    roles = Roles(record)
    founder = keys(members)[roles.fork_founder(attempt)]
    made = Moves(founder.node_id, founder.signing_key, lambda alpha: vrf.prove(founder.vrf_secret, alpha))
    made.rebase(roles)
    made.own = move(members, members.by_id[founder.node_id].index, record, attempt)
    for index in movers:
        if members[index].id != founder.node_id:
            made.take(move(members, index, record, attempt))
    found = made.found(start, ())
    assert found is not None
    return found


def envelope(
    members: Subnet,
    place: tuple[bytes, int],
    ends: tuple[int, int],
    hop: int,
    body: bytes,
    *,
    limit: int = constants.MAX_HOPS,
) -> Envelope:
    """A message that nobody can open, as its sender hands it to a node.

    ``place`` is the subnet and term that it names, ``ends`` are sender and recipient, ``limit`` its hops.
    """
    sender, recipient = (members[index] for index in ends)
    dated = members.now, 60_000, limit
    header = Header(Kind.MESSAGE, *place, sender.id, recipient.id, *dated, (), len(body), sha256(body))
    data = codec.encode_header(header)
    key, receiver = sender.identity.signing_key, members[hop].id
    stamp = key.sign(signed_stamp(message_id(data), None, members.now, receiver))
    trail = (Stamp(members.now, receiver, stamp),)
    return Envelope(header, data, key.sign(signed_header(data)), 0, trail, body)
