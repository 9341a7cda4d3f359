"""Genesis, seed, draft, duty, evidence and the next record (spec/08-roles.md)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from attrs import evolve

from tests.subnets import FAST, START, founded, identity, joined
from tests.test_spec_roles_formats import delivery
from tom_ref import constants, records, vrf
from tom_ref.crypto import sha256
from tom_ref.draft import Roles, draft, draft_key, eligible, pair_label, quorum, tolerated
from tom_ref.errors import ProtocolError, Reason
from tom_ref.identity import Identity
from tom_ref.term import own_heartbeat
from tom_ref.term_frames import (
    NO_HASH,
    Ballot,
    BlockHeader,
    Child,
    Evidence,
    FinalityProof,
    Genesis,
    HeartbeatProof,
    LeaveProof,
    Member,
    Move,
    ProvenBlock,
    TermRecord,
)
from tom_ref.timing import Timing

SUBNET = founded(4)
NODES = SUBNET.nodes
RECORD = SUBNET.record
PRESENT = records.record_hash(RECORD)
ROLES = Roles(RECORD)
LEADER = next(node for node in NODES if node.node_id == ROLES.leader(1))


def heartbeat_proofs(nodes: list[Identity], record: TermRecord = RECORD) -> tuple[HeartbeatProof, ...]:
    """The heartbeats of some members, as evidence."""
    present, roles = records.record_hash(record), Roles(record)
    return tuple(
        sorted(
            (
                HeartbeatProof(
                    roles.index[node.node_id],
                    own_heartbeat(record, present, node.node_id, node.signing_key).signature,
                )
                for node in nodes
            ),
            key=lambda proof: proof.index,
        )
    )


def leave_proof(node: Identity, record: TermRecord = RECORD) -> LeaveProof:
    """A member's wish to leave, as evidence."""
    signed = records.signed_leave(record.subnet, record.term)
    return LeaveProof(Roles(record).index[node.node_id], node.signing_key.sign(signed))


def succeed(evidence: Evidence, record: TermRecord = RECORD, **changes: Any) -> TermRecord:
    """The record that follows, proposed by the leader of slot 1."""
    roles = Roles(record)
    proposer = next(node for node in NODES if node.node_id == roles.leader(1))
    arguments: dict[str, Any] = {
        "slot": 1,
        "proposer": proposer.node_id,
        "proof": vrf.prove(proposer.vrf_secret, records.seed_alpha(record.term, record.seed)),
        **changes,
    }
    return records.next_record(roles, records.record_hash(record), evidence, **arguments)


def refused(reason: Reason, evidence: Evidence, record: TermRecord = RECORD, **changes: Any) -> None:
    """The evidence is refused with this code."""
    with pytest.raises(ProtocolError) as caught:
        succeed(evidence, record, **changes)
    assert caught.value.reason is reason


ALL = heartbeat_proofs(NODES)

# --- draft ----------------------------------------------------------------------------------------------


def test_quorums_and_what_they_tolerate() -> None:
    """TOM-ROLES-018: the table of the chapter."""
    assert [quorum(count) for count in (1, 2, 3, 4, 7, 10, 64)] == [1, 2, 2, 3, 5, 7, 43]
    assert [tolerated(count) for count in (1, 2, 3, 4, 7, 10, 64)] == [0, 0, 0, 1, 2, 3, 21]


def test_the_draft_is_a_sorted_hash() -> None:
    """TOM-ROLES-073, 074: recomputed by hand from the text of the rule."""
    seed, label, node = b"s" * 32, b"relay", b"n" * 32

    def by_hand(number: int) -> bytes:
        parts = (seed, label, node, number.to_bytes(4, "big"))
        text = b"\x0bToM/1 draft" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return sha256(text)

    assert draft_key(seed, label, node, 1) == by_hand(0)
    assert draft_key(seed, label, node, 4) == min(by_hand(number) for number in range(4))
    nodes = [(bytes((number,)) * 32, 1) for number in range(20)]
    order = draft(seed, label, nodes)
    assert order == tuple(sorted(order, key=lambda one: draft_key(seed, label, one, 1)))
    assert draft(seed, label, reversed(nodes)) == order
    assert [one for one in order if one != order[3]] == list(
        draft(seed, label, [pair for pair in nodes if pair[0] != order[3]])
    )


def test_a_weight_counts_exactly() -> None:
    """TOM-ROLES-075: weight 8 against seven of weight 1 comes first about 8 times of 15."""
    nodes = [(bytes((number,)) * 32, 8 if number == 0 else 1) for number in range(8)]
    first = Counter(draft(number.to_bytes(32, "big"), b"relay", nodes)[0] for number in range(3000))
    assert 1450 < first[bytes(32)] < 1750


def test_leaders_have_two_slots_in_turn() -> None:
    """TOM-ROLES-021, 022."""
    assert sorted(ROLES.leaders) == [node.node_id for node in NODES]
    assert [ROLES.leader(slot) for slot in range(1, 11)] == [
        ROLES.leaders[place] for place in (0, 0, 1, 1, 2, 2, 3, 3, 0, 0)
    ]


def test_who_may_hold_a_role() -> None:
    """TOM-ROLES-017, 066, 072: two terms after admission; validators were there."""
    late = Member(b"\xff" * 32, bytes(32), admitted=3)
    assert [eligible(late, term) for term in (3, 4, 5)] == [False, False, True]
    away = evolve(RECORD.roster[0], absent=1)
    roles = Roles(evolve(RECORD, term=4, roster=(away, *RECORD.roster[1:], late)))
    assert late not in roles.pool
    assert away in roles.pool
    assert roles.validators == tuple(member.node for member in RECORD.roster[1:])
    assert late.node in roles.members


def test_relays_guardians_and_their_numbers() -> None:
    """TOM-ROLES-077, 078."""
    big = Roles(founded(20).record)
    assert len(big.relays) == 7
    assert len(big.guardians) == 3
    assert len(ROLES.relays) == 2
    assert len(ROLES.guardians) == 1
    everyone = Roles(evolve(founded(20).record, relay_share=12))
    assert len(everyone.relays) == 20


def test_duty_is_the_same_for_both_ends_and_leaves_them_out() -> None:
    """TOM-ROLES-080: relays first, then all others, in one order."""
    roles = Roles(founded(9).record)
    nodes = sorted(roles.members)
    duty = roles.duty(nodes[0], nodes[5])
    assert duty == roles.duty(nodes[5], nodes[0])
    assert sorted((*duty, nodes[0], nodes[5])) == nodes
    relays = [node for node in roles.relays if node not in {nodes[0], nodes[5]}]
    assert set(duty[: len(relays)]) == set(relays)
    assert len(pair_label(nodes[0], nodes[1])) == 68
    guest = b"\x01" * 32
    assert len(roles.duty(guest, nodes[0])) == 8


def test_remembered_duties_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A liar that names ever new guests doesn't fill memory."""
    monkeypatch.setattr("tom_ref.draft._CACHE", 2)
    roles = Roles(RECORD)
    for number in range(5):
        roles.duty(bytes((number,)) * 32, NODES[0].node_id)
        assert len(roles._duties) <= 2


def test_the_mesh_connects_everybody() -> None:
    """TOM-ROLES-112: at most six steps between any two of 64; a newcomer gets two."""
    record = evolve(
        RECORD,
        roster=tuple(Member(sha256(bytes((n,))), bytes(32), admitted=0) for n in range(64)),
    )
    roles = Roles(record)
    ways = {node: set(roles.mesh(node)) for node in roles.members}
    assert all(len(reached) == 6 for reached in ways.values())
    start = next(iter(roles.members))
    reached, steps = {start}, 0
    while len(reached) < 64:
        reached |= {peer for node in reached for peer in ways[node]}
        steps += 1
    assert steps <= 6
    assert len(roles.mesh(b"\x09" * 32)) == 2
    assert Roles(founded(1).record).mesh(founded(1).nodes[0].node_id) == ()


def test_founders_of_forks_and_relays_of_conversations() -> None:
    """TOM-ROLES-089, 110."""
    founders = {ROLES.fork_founder(attempt) for attempt in range(1, 40)}
    assert founders == set(ROLES.members)
    assert ROLES.conversation_relays(b"c" * 32) != ()
    assert set(ROLES.conversation_relays(b"c" * 32)) <= set(ROLES.relays)


# --- genesis --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_genesis_of_any_number_of_founders_verifies(count: int) -> None:
    """TOM-ROLES-011 to 015."""
    records.check_genesis(founded(count).genesis, FAST)


def resigned(**changes: Any) -> Genesis:
    """The genesis with a changed record, signed anew by everybody."""
    record = evolve(RECORD, **changes)
    signed = records.signed_genesis(record)
    return evolve(
        SUBNET.genesis,
        record=record,
        signatures=tuple(node.signing_key.sign(signed) for node in NODES),
    )


BROKEN_GENESES: list[tuple[str, Genesis, Reason]] = [
    ("015 term", resigned(term=1), Reason.BAD_RECORD),
    ("015 previous", resigned(previous=b"x" * 32), Reason.BAD_RECORD),
    (
        "015 admitted",
        resigned(roster=(evolve(RECORD.roster[0], admitted=1), *RECORD.roster[1:])),
        Reason.BAD_RECORD,
    ),
    (
        "015 balance",
        resigned(
            roster=(
                evolve(RECORD.roster[0], balance=1),
                evolve(RECORD.roster[1], balance=-1),
                *RECORD.roster[2:],
            )
        ),
        Reason.BAD_RECORD,
    ),
    ("007 slot", resigned(slot_ms=FAST.slot_ms - 1), Reason.BAD_VALUE),
    ("008 term_ms", resigned(term_ms=FAST.slot_ms), Reason.BAD_VALUE),
    ("009 fork_ms", resigned(fork_ms=FAST.slot_ms), Reason.BAD_VALUE),
    ("011 id", resigned(subnet=b"i" * 32), Reason.BAD_RECORD),
    ("013 seed", resigned(seed=b"s" * 32), Reason.BAD_RECORD),
    ("proposer", resigned(proposer=NODES[0].node_id), Reason.BAD_RECORD),
    ("proof", resigned(proof=b"p" * 80), Reason.BAD_RECORD),
    (
        "014 signature",
        evolve(SUBNET.genesis, signatures=SUBNET.genesis.signatures[::-1]),
        Reason.BAD_SIGNATURE,
    ),
    ("012 proof", evolve(SUBNET.genesis, proofs=SUBNET.genesis.proofs[::-1]), Reason.BAD_PROOF),
    ("nonce", evolve(SUBNET.genesis, nonce=b"n" * 32), Reason.BAD_RECORD),
]


@pytest.mark.parametrize(("rule", "genesis", "reason"), BROKEN_GENESES, ids=lambda value: str(value)[:14])
def test_a_genesis_that_breaks_one_rule_is_refused(rule: str, genesis: Genesis, reason: Reason) -> None:
    """TOM-ROLES-007 to 015."""
    del rule
    with pytest.raises(ProtocolError) as caught:
        records.check_genesis(genesis, FAST)
    assert caught.value.reason is reason


def test_a_genesis_of_a_faster_network_is_refused() -> None:
    """TOM-ROLES-007, 118: a node of ToM/1 proper doesn't take part in slots that its clock can't keep."""
    with pytest.raises(ProtocolError) as caught:
        records.check_genesis(SUBNET.genesis, Timing())
    assert caught.value.reason is Reason.BAD_VALUE


# --- the next record ------------------------------------------------------------------------------------


def test_the_next_record_follows_from_the_evidence() -> None:
    """TOM-ROLES-004, 047, 048, 055, 068, 069."""
    record = succeed(Evidence(heartbeats=ALL))
    assert record.term == 1
    assert record.previous == PRESENT
    assert record.start == RECORD.start + RECORD.slot_ms + RECORD.term_ms
    output = vrf.proof_to_hash(record.proof)
    assert record.seed == records.next_seed(1, RECORD.seed, output)
    assert record.proposer == LEADER.node_id
    assert [member.absent for member in record.roster] == [0, 0, 0, 0]
    later = succeed(Evidence(heartbeats=ALL), slot=5)
    assert later.start == RECORD.start + 5 * RECORD.slot_ms + RECORD.term_ms
    assert later.seed == record.seed


def test_who_is_not_heard_is_absent_and_at_last_out() -> None:
    """TOM-ROLES-055, 056: the balance of who is left out goes to the pot."""
    here = heartbeat_proofs(NODES[1:])
    record = succeed(Evidence(heartbeats=here))
    assert [member.absent for member in record.roster] == [1, 0, 0, 0]
    gone = evolve(RECORD.roster[0], absent=7, balance=5_000)
    poor = evolve(RECORD.roster[1], balance=-5_000)
    old = evolve(RECORD, roster=(gone, poor, *RECORD.roster[2:]))
    record = succeed(Evidence(heartbeats=heartbeat_proofs(NODES[1:], old)), old)
    assert record.member(NODES[0].node_id) is None
    assert record.pot == -sum(member.balance for member in record.roster) == 4_999
    back = succeed(Evidence(heartbeats=heartbeat_proofs(NODES, old)), old)
    assert back.roster[0].absent == 0


def test_who_leaves_is_left_out() -> None:
    """TOM-ROLES-057."""
    record = succeed(Evidence(heartbeats=ALL, leaves=(leave_proof(NODES[2]),)))
    assert [member.node for member in record.roster] == [
        node.node_id for node in NODES if node is not NODES[2]
    ]
    refused(Reason.BAD_SIGNATURE, Evidence(leaves=(LeaveProof(0, leave_proof(NODES[2]).signature),)))
    refused(Reason.BAD_VALUE, Evidence(leaves=(LeaveProof(9, bytes(64)),)))


def test_a_subnet_that_everybody_leaves_has_no_next_record() -> None:
    """TOM-ROLES-005: a roster is never empty."""
    leaves = sorted((leave_proof(node) for node in NODES), key=lambda proof: proof.index)
    refused(Reason.BAD_RECORD, Evidence(leaves=tuple(leaves)))


def test_forged_heartbeats_and_proofs_are_refused() -> None:
    """TOM-ROLES-046, 070: evidence is verified, not believed."""
    refused(Reason.BAD_SIGNATURE, Evidence(heartbeats=(HeartbeatProof(1, ALL[0].signature),)))
    refused(Reason.BAD_VALUE, Evidence(heartbeats=(HeartbeatProof(7, ALL[0].signature),)))
    other = next(node for node in NODES if node is not LEADER)
    proof = vrf.prove(other.vrf_secret, records.seed_alpha(0, RECORD.seed))
    refused(Reason.BAD_PROOF, Evidence(), proof=proof)
    refused(Reason.BAD_PROOF, Evidence(), proof=vrf.prove(LEADER.vrf_secret, b"another input"))
    refused(Reason.WRONG_LEADER, Evidence(), proposer=b"\x07" * 32)


def in_order(joins: list[Any], record: TermRecord = RECORD) -> tuple[Any, ...]:
    """Joins in their drawn order."""
    return tuple(sorted(joins, key=lambda join: records.join_order(record.seed, join.descriptor.node_id)))


JOINS = in_order([joined(RECORD, identity(60 + number), NODES[number]) for number in range(3)])


def test_newcomers_are_admitted_in_their_drawn_order_up_to_the_cap() -> None:
    """TOM-ROLES-049, 064, 065: two of three here; admitted is the record's term; weight 0."""
    record = succeed(Evidence(heartbeats=ALL, joins=JOINS))
    listed = {join.descriptor.node_id for join in JOINS[:2]}
    assert {member.node for member in record.roster} == set(ROLES.members) | listed
    for node in listed:
        newcomer = record.member(node)
        assert newcomer is not None
        assert (newcomer.admitted, newcomer.weight, newcomer.balance) == (1, 0, 0)
    assert [records.admissions(count) for count in (1, 4, 8, 9, 64)] == [2, 2, 2, 3, 16]
    refused(Reason.NON_CANONICAL, Evidence(joins=JOINS[::-1]))


def test_a_full_subnet_admits_nobody() -> None:
    """TOM-ROLES-001: 64 members stay 64."""
    others = [Member(sha256(bytes((n,))), bytes(32), admitted=0, absent=1) for n in range(60)]
    full = evolve(RECORD, roster=tuple(sorted((*RECORD.roster, *others), key=lambda member: member.node)))
    evidence = Evidence(
        heartbeats=heartbeat_proofs(NODES, full), joins=in_order([joined(full, identity(60), NODES[0])])
    )
    assert len(succeed(evidence, full).roster) == 64


BAD_JOINS: list[tuple[str, Any, Reason]] = [
    ("subnet", evolve(JOINS[0], subnet=b"x" * 32), Reason.WRONG_SUBNET),
    ("term", evolve(JOINS[0], term=1), Reason.WRONG_TERM),
    ("member", joined(RECORD, NODES[1], NODES[0]), Reason.BAD_RECORD),
    ("sponsor", evolve(JOINS[0], sponsor=b"s" * 32), Reason.NODE_MISMATCH),
    ("113 work", evolve(JOINS[0], work_nonce=JOINS[0].work_nonce + 1), Reason.BAD_WORK),
    ("063 signature", evolve(JOINS[0], signature=bytes(64)), Reason.BAD_SIGNATURE),
    (
        "descriptor",
        evolve(JOINS[0], descriptor=evolve(JOINS[0].descriptor, signature=bytes(64))),
        Reason.BAD_SIGNATURE,
    ),
    (
        "010 vrf key",
        evolve(JOINS[0], descriptor=evolve(JOINS[0].descriptor, vrf_key=NODES[0].vrf_key)),
        Reason.BAD_SIGNATURE,
    ),
]


@pytest.mark.parametrize(("rule", "join", "reason"), BAD_JOINS, ids=lambda value: str(value)[:14])
def test_a_join_that_breaks_one_rule_is_refused(rule: str, join: Any, reason: Reason) -> None:
    """TOM-ROLES-010, 063, 113."""
    del rule
    records.check_join(JOINS[0], ROLES)
    with pytest.raises(ProtocolError) as caught:
        records.check_join(join, ROLES)
    assert caught.value.reason is reason


# --- weights --------------------------------------------------------------------------------------------


def deliveries(count: int, relay: bytes, term: int = 0) -> tuple[Any, ...]:
    """Deliveries between the two founders for whom ``relay`` is on duty, ascending by id."""
    ends = [place for place, node in enumerate(NODES) if node.node_id != relay][:2]
    made = [delivery(ends[0], ends[1], relay, term, salt) for salt in range(count)]
    return tuple(sorted(made, key=lambda one: one.receipt.message_id))


def weights(record: TermRecord, node: bytes) -> tuple[int, int]:
    """Weight and next weight of a member."""
    found = record.member(node)
    assert found is not None
    return found.weight, found.next_weight


def test_weights_rise_with_duties_fulfilled_and_fall_with_duties_failed() -> None:
    """TOM-ROLES-049, 084, 085: eight credits; none of eight for a relay."""
    relay, idle = ROLES.relays
    for count, expected in ((7, 0), (8, 1)):
        record = succeed(Evidence(heartbeats=ALL, deliveries=deliveries(count, relay)))
        assert weights(record, relay) == (0, expected)
    heavy = evolve(
        RECORD,
        roster=tuple(evolve(member, next_weight=2 if member.node == idle else 3) for member in RECORD.roster),
    )
    record = succeed(
        Evidence(heartbeats=heartbeat_proofs(NODES, heavy), deliveries=deliveries(8, relay)), heavy
    )
    assert weights(record, relay) == (3, 3)
    assert weights(record, idle) == (2, 1)


def test_a_member_in_debt_is_drawn_more_often() -> None:
    """TOM-ROLES-086."""
    owing = evolve(RECORD.roster[0], balance=-4)
    record = succeed(Evidence(), evolve(RECORD, roster=(owing, *RECORD.roster[1:]), pot=4))
    assert weights(record, owing.node) == (0, 1)


def test_what_counts_as_a_delivery() -> None:
    """TOM-PURGE-039, TOM-ROLES-083: this term, this subnet, both signatures; credit only by duty."""
    relay = ROLES.relays[0]
    good = deliveries(1, relay)[0]
    charge = records.charged(good, ROLES)
    assert charge is not None
    assert charge.relay == relay
    stranger = deliveries(1, b"\x08" * 32)[0]
    assert records.charged(stranger, ROLES) is None
    for bad, reason in (
        (deliveries(1, relay, term=1)[0], Reason.WRONG_TERM),
        (evolve(good, signature=bytes(64)), Reason.BAD_SIGNATURE),
        (evolve(good, receipt=evolve(good.receipt, signature=bytes(64))), Reason.BAD_SIGNATURE),
        (evolve(good, receipt=evolve(good.receipt, received_at=1)), Reason.BAD_SIGNATURE),
    ):
        with pytest.raises(ProtocolError) as caught:
            records.charged(bad, ROLES)
        assert caught.value.reason is reason
    with pytest.raises(ProtocolError) as caught:
        records.charged(good, Roles(evolve(RECORD, subnet=b"o" * 32)))
    assert caught.value.reason is Reason.WRONG_SUBNET


def test_deliveries_of_one_relay_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-052: 64 a relay, here three."""
    monkeypatch.setattr(constants, "MAX_DELIVERIES_PER_RELAY", 3)
    relay = ROLES.relays[0]
    succeed(Evidence(heartbeats=ALL, deliveries=deliveries(3, relay)))
    refused(Reason.TOO_LARGE, Evidence(heartbeats=ALL, deliveries=deliveries(4, relay)))


# --- certificates and finality ----------------------------------------------------------------------------


def certificate(header: BlockHeader, nodes: list[Identity]) -> tuple[Ballot, ...]:
    """The votes of some members for a block."""
    signed = records.signed_vote(
        header.subnet, header.term, header.present, header.slot, records.block_hash(header)
    )
    return tuple(
        sorted(
            (Ballot(ROLES.index[node.node_id], node.signing_key.sign(signed)) for node in nodes),
            key=lambda ballot: ballot.index,
        )
    )


def chain(*slots: int) -> FinalityProof:
    """A proof with blocks in these slots, voted for by three of four."""
    record = succeed(Evidence(heartbeats=ALL), slot=slots[0])
    evidence = records.evidence_hash(Evidence(heartbeats=ALL))
    blocks: list[ProvenBlock] = []
    parent = PRESENT
    for place, slot in enumerate(slots):
        header = BlockHeader(
            RECORD.subnet,
            0,
            PRESENT,
            slot,
            parent,
            NO_HASH if place else records.record_hash(record),
            NO_HASH if place else evidence,
        )
        blocks.append(ProvenBlock(header, certificate(header, NODES[:3])))
        parent = records.block_hash(header)
    return FinalityProof(record, tuple(blocks))


@pytest.mark.parametrize("slots", [(1, 2), (1, 3, 4, 5), (2, 3, 4), (1, 2, 3)])
def test_three_consecutive_slots_prove_a_record(slots: tuple[int, ...]) -> None:
    """TOM-ROLES-041, 043: the present record counts as slot 0."""
    records.check_finality(ROLES, PRESENT, chain(*slots))


@pytest.mark.parametrize("slots", [(2, 3), (1, 3), (1, 2, 4), (3, 5, 6)])
def test_fewer_than_three_in_a_row_prove_nothing(slots: tuple[int, ...]) -> None:
    """TOM-ROLES-041: code no_quorum."""
    with pytest.raises(ProtocolError) as caught:
        records.check_finality(ROLES, PRESENT, chain(*slots))
    assert caught.value.reason is Reason.NO_QUORUM


def changed(proof: FinalityProof, place: int, **changes: Any) -> FinalityProof:
    """A proof with one header changed and voted for anew."""
    header = evolve(proof.blocks[place].header, **changes)
    blocks = list(proof.blocks)
    blocks[place] = ProvenBlock(header, certificate(header, NODES[:3]))
    return evolve(proof, blocks=tuple(blocks))


PROOF = chain(1, 2)
FEW = evolve(PROOF.blocks[1], certificate=PROOF.blocks[1].certificate[:2])
BROKEN_PROOFS: list[tuple[str, FinalityProof, Reason]] = [
    ("025 subnet", changed(PROOF, 0, subnet=b"x" * 32), Reason.WRONG_SUBNET),
    ("025 term", changed(PROOF, 0, term=1), Reason.WRONG_TERM),
    ("025 present", changed(PROOF, 1, present=b"x" * 32), Reason.WRONG_TERM),
    ("parent", changed(PROOF, 1, parent=b"x" * 32), Reason.BAD_RECORD),
    ("042 record", evolve(PROOF, record=chain(2, 3, 4).record), Reason.BAD_RECORD),
    ("029 two firsts", changed(PROOF, 1, record=b"r" * 32, evidence=b"e" * 32), Reason.BAD_RECORD),
    ("026 slot", changed(PROOF, 1, slot=1), Reason.WRONG_SLOT),
    (
        "040 two votes",
        evolve(
            PROOF,
            blocks=(PROOF.blocks[0], evolve(PROOF.blocks[1], certificate=PROOF.blocks[1].certificate[:2])),
        ),
        Reason.NO_QUORUM,
    ),
]


@pytest.mark.parametrize(("rule", "proof", "reason"), BROKEN_PROOFS, ids=lambda value: str(value)[:14])
def test_a_proof_that_breaks_one_rule_is_refused(rule: str, proof: FinalityProof, reason: Reason) -> None:
    """TOM-ROLES-025, 026, 029, 040 to 043."""
    del rule
    records.check_finality(ROLES, PRESENT, PROOF)
    with pytest.raises(ProtocolError) as caught:
        records.check_finality(ROLES, PRESENT, proof)
    assert caught.value.reason is reason


def test_a_certificate_holds_votes_of_different_validators() -> None:
    """TOM-ROLES-040: a vote twice, of a member that is no validator, of nobody, forged."""
    header = PROOF.blocks[0].header
    votes = certificate(header, NODES[:3])
    records.check_certificate(ROLES, header, votes)
    known = {NODES[ballot.index].node_id: ballot.signature for ballot in votes}
    records.check_certificate(ROLES, header, votes, known)
    for bad in (
        (votes[0], votes[0], votes[1]),
        (votes[0], votes[1], Ballot(9, votes[2].signature)),
        (votes[0], votes[1], Ballot(votes[2].index, votes[1].signature)),
    ):
        with pytest.raises(ProtocolError) as caught:
            records.check_certificate(ROLES, header, bad)
        assert caught.value.reason is Reason.NO_QUORUM
    away = Roles(evolve(RECORD, roster=(evolve(RECORD.roster[0], absent=1), *RECORD.roster[1:])))
    with pytest.raises(ProtocolError, match="no validator"):
        records.check_certificate(away, header, votes)


def test_the_shortest_proof_is_taken() -> None:
    """TOM-ROLES-043: what comes after proves nothing more."""
    long = chain(1, 2, 3, 4)
    assert records.final_blocks(long.blocks) == long.blocks[:2]
    assert records.final_blocks(chain(1, 3).blocks) is None


# --- forks ------------------------------------------------------------------------------------------------

ATTEMPT = 2
FOUNDER = next(node for node in NODES if node.node_id == ROLES.fork_founder(ATTEMPT))
OTHERS = [node for node in NODES if node is not FOUNDER]


def move(node: Identity, attempt: int = ATTEMPT) -> Move:
    """A member's move."""
    founder = ROLES.fork_founder(attempt)
    signed = records.signed_move(RECORD.subnet, 0, PRESENT, attempt, founder)
    return Move(RECORD.subnet, 0, PRESENT, attempt, founder, node.node_id, node.signing_key.sign(signed))


def child(movers: list[Identity], listed: list[Member], **changes: Any) -> Child:
    """The founder's genesis for some movers."""
    proof = vrf.prove(FOUNDER.vrf_secret, records.child_alpha(ATTEMPT, RECORD.seed))
    record = records.child_record(ROLES, PRESENT, ATTEMPT, members=listed, proof=proof, start=START + 10**6)
    record = evolve(record, **changes)
    moves = tuple(sorted((move(node) for node in movers), key=lambda one: one.node))
    return Child(record, FOUNDER.signing_key.sign(records.signed_genesis(record)), RECORD, moves)


def entries(nodes: list[Identity]) -> list[Member]:
    """The parent's entries of some members."""
    return [member for member in RECORD.roster if member.node in {node.node_id for node in nodes}]


def test_a_child_follows_from_the_moves() -> None:
    """TOM-ROLES-097 to 101: it lists those that moved, or its founder with a newcomer."""
    three = [FOUNDER, *OTHERS[:2]]
    genesis = child(three, entries(three))
    assert records.check_child(genesis, FAST) == ATTEMPT
    assert genesis.record.subnet == records.child_subnet(RECORD.subnet, PRESENT, ATTEMPT, FOUNDER.node_id)
    newcomer = Member(identity(70).node_id, identity(70).vrf_key, admitted=0)
    assert records.check_child(child([FOUNDER], [*entries([FOUNDER]), newcomer]), FAST) == ATTEMPT


def broken_children() -> list[tuple[str, Child, Reason]]:
    """One rule broken in each."""
    three = [FOUNDER, *OTHERS[:2]]
    good = child(three, entries(three))
    newcomer = Member(identity(70).node_id, identity(70).vrf_key, admitted=0)
    other_key = [evolve(entries(three)[0], vrf_key=identity(70).vrf_key), *entries(three)[1:]]
    return [
        ("101 term", child(three, entries(three), term=1), Reason.BAD_RECORD),
        ("101 seed", child(three, entries(three), seed=b"s" * 32), Reason.BAD_RECORD),
        ("099 id", child(three, entries(three), subnet=b"s" * 32), Reason.BAD_RECORD),
        ("007 slot", child(three, entries(three), slot_ms=1), Reason.BAD_VALUE),
        ("097 not moved", child([FOUNDER], entries(three)), Reason.BAD_RECORD),
        ("097 without founder", child(three, entries(OTHERS[:2])), Reason.BAD_RECORD),
        ("098 alone", child(three, entries([FOUNDER])), Reason.BAD_RECORD),
        ("098 newcomer", child(three, [*entries(three), newcomer]), Reason.BAD_RECORD),
        ("010 key", child(three, other_key), Reason.BAD_RECORD),
        ("101 signature", evolve(good, signature=bytes(64)), Reason.BAD_SIGNATURE),
        ("two attempts", evolve(good, moves=(good.moves[0], move(OTHERS[2], 3))), Reason.BAD_RECORD),
        ("100 proof", evolve(good, record=evolve(good.record, proof=bytes(80))), Reason.BAD_PROOF),
    ]


@pytest.mark.parametrize(("rule", "genesis", "reason"), broken_children(), ids=lambda value: str(value)[:14])
def test_a_child_that_breaks_one_rule_is_refused(rule: str, genesis: Child, reason: Reason) -> None:
    """TOM-ROLES-097 to 101."""
    del rule
    with pytest.raises(ProtocolError) as caught:
        records.check_child(genesis, FAST)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subnet": b"x" * 32}, Reason.WRONG_SUBNET),
        ({"term": 1}, Reason.WRONG_TERM),
        ({"record": b"x" * 32}, Reason.WRONG_TERM),
        ({"founder": OTHERS[0].node_id}, Reason.WRONG_LEADER),
        ({"node": b"\x07" * 32}, Reason.NODE_MISMATCH),
        ({"signature": bytes(64)}, Reason.BAD_SIGNATURE),
    ],
)
def test_a_move_that_breaks_one_rule_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """TOM-ROLES-089."""
    records.check_move(move(OTHERS[0]), ROLES, PRESENT)
    with pytest.raises(ProtocolError) as caught:
        records.check_move(evolve(move(OTHERS[0]), **changes), ROLES, PRESENT)
    assert caught.value.reason is reason
