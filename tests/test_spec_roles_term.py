"""One term: voting, notarizing, finality, the disk (spec/08-roles.md, models Term and TermKnow).

The schedule test runs whole terms of several members with loss, repetition, crashes, skewed clocks and liars,
and checks the models' properties after every step.  A failure prints its seed; repeat one seed with
``pytest tests/test_spec_roles_term.py -k schedules --term-seed N``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from tests.subnets import Founded, founded, identity
from tom_ref import codec, constants, records, vrf
from tom_ref.blocktree import BlockTree
from tom_ref.errors import ProtocolError, Reason
from tom_ref.identity import Identity
from tom_ref.term import Surroundings, Term, TermOutput, own_heartbeat
from tom_ref.term_frames import (
    NO_HASH,
    Ballot,
    BlockHeader,
    Evidence,
    FinalityProof,
    HeartbeatProof,
    LeaveProof,
    Proposal,
    TermFrame,
    TermRecord,
    Vote,
)


def everybody(subnet: Founded) -> Evidence:
    """The heartbeats of all founders."""
    record = subnet.record
    present = records.record_hash(record)
    return Evidence(
        heartbeats=tuple(
            HeartbeatProof(place, own_heartbeat(record, present, node.node_id, node.signing_key).signature)
            for place, node in enumerate(subnet.nodes)
        )
    )


def make(
    subnet: Founded,
    node: Identity,
    *,
    evidence: Evidence | None = None,
    heard: Callable[[bytes], int | None] = lambda _: None,
    **options: Any,
) -> Term:
    """One member's view of the first term."""
    shown = everybody(subnet) if evidence is None else evidence
    return Term(
        subnet.record,
        own_id=node.node_id,
        signing_key=node.signing_key,
        prove=lambda alpha: vrf.prove(node.vrf_secret, alpha),
        surroundings=Surroundings(lambda: shown, heard),
        **options,
    )


SUBNET = founded(4)
NODES = {node.node_id: node for node in SUBNET.nodes}
RECORD = SUBNET.record
PRESENT = records.record_hash(RECORD)


def at(slot: int, into: int = 10) -> int:
    """A time within a slot."""
    return RECORD.start + slot * RECORD.slot_ms + into


def leader(slot: int) -> Identity:
    """Who leads a slot."""
    return NODES[make(SUBNET, SUBNET.nodes[0]).roles.leader(slot)]


def others(slot: int) -> list[Identity]:
    """The members that don't lead a slot."""
    return [node for node in SUBNET.nodes if node is not leader(slot)]


def proposal_of(output: TermOutput) -> Proposal:
    """The proposal among the frames."""
    (found,) = [frame for frame in output.frames if isinstance(frame, Proposal)]
    return found


def votes_of(output: TermOutput) -> list[Vote]:
    """The votes among the frames."""
    return [frame for frame in output.frames if isinstance(frame, Vote)]


FIRST = make(SUBNET, leader(1)).tick(at(1))
"""What the first leader sends in slot 1."""
BLOCK = proposal_of(FIRST)
HASH = records.block_hash(BLOCK.header)


def vote_for(node: Identity, header: BlockHeader, **changes: Any) -> Vote:
    """A vote, signed as it should be unless it is changed before."""
    vote = Vote(
        header.subnet,
        header.term,
        header.present,
        header.slot,
        records.block_hash(header),
        node.node_id,
        bytes(64),
    )
    vote = evolve(vote, **changes)
    signed = records.signed_vote(vote.subnet, vote.term, vote.present, vote.slot, vote.block)
    return evolve(vote, signature=node.signing_key.sign(signed))


def later_block(slot: int, parent: BlockHeader, voters: list[Identity], **changes: Any) -> Proposal:
    """A confirming block of a slot's leader, with these votes for its parent."""
    term = make(SUBNET, SUBNET.nodes[0])
    signed = records.signed_vote(
        parent.subnet, parent.term, parent.present, parent.slot, records.block_hash(parent)
    )
    ballots = sorted((term.roles.index[node.node_id], node.signing_key.sign(signed)) for node in voters)
    header = BlockHeader(RECORD.subnet, 0, PRESENT, slot, records.block_hash(parent), NO_HASH, NO_HASH)
    header = evolve(header, **changes)
    signature = leader(slot).signing_key.sign(records.signed_block(header))
    return Proposal(header, signature, tuple(itertools.starmap(Ballot, ballots)))


def first_block(slot: int, evidence: Evidence) -> Proposal:
    """Another first block of a slot's leader."""
    return proposal_of(make(SUBNET, leader(slot), evidence=evidence).tick(at(slot)))


# --- proposing ------------------------------------------------------------------------------------------


def test_a_leader_votes_for_its_block_before_it_leaves() -> None:
    """TOM-ROLES-027 to 029, 035: one proposal and its own vote, both after the disk."""
    assert FIRST.persist is not None
    assert BLOCK.header.slot == 1
    assert BLOCK.header.parent == PRESENT
    assert BLOCK.record is not None
    (vote,) = votes_of(FIRST)
    assert vote.block == HASH
    term = make(SUBNET, leader(1))
    term.tick(at(1))
    assert term.tick(at(1, 200)).frames == ()
    assert proposal_of(term.tick(at(2))).header.slot == 2


def test_nobody_else_proposes_and_nobody_before_slot_1() -> None:
    """TOM-ROLES-019, 022, 071: slot 0 is the present record's; no proof is shown before its time."""
    for node in others(1):
        assert make(SUBNET, node).tick(at(1)).frames == ()
    for now in (RECORD.start - 1, at(0)):
        assert make(SUBNET, leader(1)).tick(now).frames == ()
    term = make(SUBNET, leader(1))
    assert term.slot(RECORD.start - 10**12) == -1
    assert term.next_deadline(RECORD.start - 5) == RECORD.start + RECORD.slot_ms
    assert term.next_deadline(at(4)) == RECORD.start + 5 * RECORD.slot_ms


def test_a_restarted_leader_does_not_propose_twice() -> None:
    """TOM-ROLES-020, 028, 036: its own vote is on disk."""
    again = make(SUBNET, leader(1), stored=FIRST.persist)
    assert again.last_slot == 1
    assert again.tick(at(1, 250)).frames == ()


def test_a_node_that_is_no_validator_follows_without_voting() -> None:
    """TOM-ROLES-017, 040, 044: a guest learns the next record from proposals and votes."""
    guest = make(SUBNET, identity(99))
    assert guest.tick(at(1)).frames == ()
    assert guest.on_proposal(BLOCK, at(1)).fresh
    for node in SUBNET.nodes[:3]:
        guest.on_vote(vote_for(node, BLOCK.header), at(1))
    second = later_block(2, BLOCK.header, SUBNET.nodes[:3])
    guest.on_proposal(second, at(2))
    outputs = [guest.on_vote(vote_for(node, second.header), at(2)) for node in SUBNET.nodes[:3]]
    assert outputs[2].final is not None
    assert guest.final is outputs[2].final


# --- judging proposals ------------------------------------------------------------------------------------


def broken_proposals() -> list[tuple[str, Proposal, Reason]]:
    """One rule broken in each."""
    header = BLOCK.header
    key = leader(1).signing_key

    def signed(**changes: Any) -> Proposal:
        changed = evolve(header, **changes)
        return evolve(BLOCK, header=changed, signature=key.sign(records.signed_block(changed)))

    assert BLOCK.evidence is not None
    assert BLOCK.record is not None
    less = Evidence(heartbeats=BLOCK.evidence.heartbeats[:2])
    other = others(1)[0]
    proof = vrf.prove(other.vrf_secret, records.seed_alpha(0, RECORD.seed))
    return [
        ("025 subnet", signed(subnet=b"x" * 32), Reason.WRONG_SUBNET),
        ("025 term", signed(term=1), Reason.WRONG_TERM),
        ("025 present", signed(present=b"x" * 32), Reason.WRONG_TERM),
        ("117 future", signed(slot=4), Reason.WRONG_SLOT),
        ("024 signature", evolve(BLOCK, signature=bytes(64)), Reason.WRONG_LEADER),
        (
            "024 leader",
            evolve(BLOCK, signature=other.signing_key.sign(records.signed_block(header))),
            Reason.WRONG_LEADER,
        ),
        ("046 evidence", evolve(BLOCK, evidence=less), Reason.BAD_RECORD),
        (
            "046 record",
            evolve(signed(evidence=records.evidence_hash(less)), evidence=less),
            Reason.BAD_RECORD,
        ),
        ("023 record hash", signed(record=b"r" * 32), Reason.BAD_RECORD),
        ("070 proof", evolve(BLOCK, record=evolve(BLOCK.record, proof=proof)), Reason.BAD_PROOF),
        ("029 no record", evolve(BLOCK, record=None, evidence=None), Reason.BAD_RECORD),
        (
            "026 votes for the present record",
            evolve(BLOCK, certificate=(Ballot(0, bytes(64)),)),
            Reason.NO_QUORUM,
        ),
    ]


@pytest.mark.parametrize(("rule", "proposal", "reason"), broken_proposals(), ids=lambda v: str(v)[:14])
def test_a_proposal_that_breaks_one_rule_is_refused(rule: str, proposal: Proposal, reason: Reason) -> None:
    """TOM-ROLES-023 to 026, 029, 034, 046, 070, 117: nor is it voted for."""
    del rule
    term = make(SUBNET, others(1)[0])
    output = term.on_proposal(proposal, at(1))
    assert output.refused is not None
    assert output.refused.reason is reason
    assert output.frames == ()
    assert output.persist is None
    assert votes_of(term.on_proposal(BLOCK, at(1)))


def test_a_later_block_needs_its_parents_votes() -> None:
    """TOM-ROLES-026, 029: code no_quorum, wrong_slot, bad_record."""
    voters = SUBNET.nodes[:3]
    for bad, reason in (
        (later_block(2, BLOCK.header, voters[:2]), Reason.NO_QUORUM),
        (later_block(1, BLOCK.header, voters), Reason.WRONG_SLOT),
    ):
        term = make(SUBNET, others(2)[0])
        term.on_proposal(BLOCK, at(1))
        output = term.on_proposal(bad, at(2))
        assert output.refused is not None
        assert output.refused.reason is reason
    term = make(SUBNET, others(2)[0])
    term.on_proposal(BLOCK, at(1))
    good = later_block(2, BLOCK.header, voters)
    signature = leader(2).signing_key.sign(
        records.signed_block(evolve(good.header, record=b"r" * 32, evidence=b"e" * 32))
    )
    loaded = evolve(
        good,
        header=evolve(good.header, record=b"r" * 32, evidence=b"e" * 32),
        signature=signature,
        record=BLOCK.record,
        evidence=BLOCK.evidence,
    )
    output = term.on_proposal(loaded, at(2))
    assert output.refused is not None
    assert output.refused.reason is Reason.BAD_RECORD
    assert term.on_proposal(good, at(2)).fresh


def test_a_block_twice_is_no_news() -> None:
    """TOM-ROLES-114: passed on once."""
    term = make(SUBNET, others(1)[0])
    assert term.on_proposal(BLOCK, at(1)).fresh
    again = term.on_proposal(BLOCK, at(1))
    assert not again.fresh
    assert again.refused is None


def test_a_third_block_of_a_slot_is_refused() -> None:
    """TOM-ROLES-116: two show that the leader lies."""
    full = everybody(SUBNET)
    blocks = [first_block(1, Evidence(heartbeats=full.heartbeats[:count])) for count in (1, 2, 3)]
    term = make(SUBNET, others(1)[0])
    outputs = [term.on_proposal(block, at(1)) for block in blocks]
    assert [output.fresh for output in outputs] == [True, True, False]
    assert outputs[2].refused is not None
    assert outputs[2].refused.reason is Reason.OVERLOADED
    assert len(term.tree) == 2


def test_a_block_waits_for_its_parent() -> None:
    """A later block may arrive first; it counts once the parent is there."""
    voters = SUBNET.nodes[:3]
    second = later_block(2, BLOCK.header, voters)
    third = later_block(3, second.header, voters)
    term = make(SUBNET, others(3)[0])
    for block in (third, second):
        output = term.on_proposal(block, at(3))
        assert output.fresh
        assert not output.frames
    assert not term.on_proposal(third, at(3)).fresh
    output = term.on_proposal(BLOCK, at(3))
    assert output.final is not None, "slots 0, 1 and 2 are notarized"
    assert len(term.tree) == 3


def test_blocks_without_a_parent_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest make room for later ones, never the other way."""
    monkeypatch.setattr("tom_ref.term._WAITING", 2)
    term = make(SUBNET, others(1)[0])
    blocks = [later_block(slot, evolve(BLOCK.header, slot=slot), []) for slot in (5, 6, 7)]
    for block in blocks:
        assert term.on_proposal(block, at(8)).fresh
    late = term.on_proposal(later_block(4, evolve(BLOCK.header, slot=3), []), at(8))
    assert late.refused is not None
    assert late.refused.reason is Reason.OVERLOADED


def test_what_waits_is_judged_when_its_parent_comes() -> None:
    """A waiting block that breaks a rule is dropped without harm."""
    voters = SUBNET.nodes[:3]
    term = make(SUBNET, identity(99))
    spoiled = later_block(2, BLOCK.header, voters[:2])
    assert term.on_proposal(spoiled, at(2)).fresh
    assert term.on_proposal(BLOCK, at(2)).refused is None
    assert term.tree.in_slot(2) == []
    assert term.on_proposal(later_block(2, BLOCK.header, voters), at(2)).fresh, "the good one comes after all"


def test_the_notarized_third_block_of_a_slot_is_taken() -> None:
    """TOM-ROLES-116: a leader that shows three blocks of its slot cuts nobody off from the notarized one."""
    full = everybody(SUBNET)
    term = make(SUBNET, next(node for node in others(3) if node is not leader(1)))
    for count in (1, 2):
        shown = first_block(1, Evidence(heartbeats=full.heartbeats[:count]))
        assert term.on_proposal(shown, at(1)).fresh
    child = later_block(3, BLOCK.header, SUBNET.nodes[:3])
    for waiting in (None, evolve(child, certificate=child.certificate[:2])):
        if waiting is not None:
            assert term.on_proposal(waiting, at(3)).fresh, "it waits, but two votes show nothing"
        refused = term.on_proposal(BLOCK, at(3)).refused
        assert refused is not None
        assert refused.reason is Reason.OVERLOADED
    assert not term.on_proposal(child, at(3)).fresh, "the same block, with the votes that somebody took out"
    assert votes_of(term.on_proposal(BLOCK, at(3))), "taken, and what waited for it is voted for"
    assert term.tree.tip == HASH


def test_at_most_two_blocks_of_a_slot_wait() -> None:
    """TOM-ROLES-116: a leader that names parents nobody has fills no table."""
    term = make(SUBNET, others(1)[0])
    parents = [evolve(BLOCK.header, slot=slot) for slot in (2, 3, 4)]
    outputs = [term.on_proposal(later_block(5, parent, []), at(5)) for parent in parents]
    assert [output.fresh for output in outputs] == [True, True, False]
    assert outputs[2].refused is not None
    assert outputs[2].refused.reason is Reason.OVERLOADED


def test_what_waits_obeys_the_bound_of_its_slot() -> None:
    """TOM-ROLES-116: two blocks of slot 3 are known when the parent of a third comes."""
    voters = SUBNET.nodes[:3]
    term = make(SUBNET, identity(99))
    second = later_block(2, BLOCK.header, voters)
    term.on_proposal(later_block(3, second.header, voters), at(3))
    term.on_proposal(BLOCK, at(3))
    full = everybody(SUBNET)
    for count in (1, 2):
        term.on_proposal(first_block(3, Evidence(heartbeats=full.heartbeats[:count])), at(3))
    assert len(term.tree.in_slot(3)) == 2
    term.on_proposal(second, at(3))
    assert len(term.tree.in_slot(3)) == 2


def test_a_chain_ends_where_its_proof_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-128: neither proposed nor accepted (code too_large)."""
    monkeypatch.setattr(constants, "MAX_PROOF_BLOCKS", 1)
    term = make(SUBNET, leader(3))
    term.on_proposal(BLOCK, at(1))
    for node in SUBNET.nodes[:3]:
        term.on_vote(vote_for(node, BLOCK.header), at(1))
    assert term.tick(at(3)).frames == ()
    output = term.on_proposal(later_block(5, BLOCK.header, SUBNET.nodes[:3]), at(5))
    assert output.refused is not None
    assert output.refused.reason is Reason.TOO_LARGE


# --- voting ---------------------------------------------------------------------------------------------


def test_a_validator_votes_once_in_its_current_slot() -> None:
    """TOM-ROLES-020, 030 to 032: not for a second block, not in a slot that is over, not before it begins."""
    full = everybody(SUBNET)
    rival = first_block(1, Evidence(heartbeats=full.heartbeats[:3]))
    node = others(1)[0]
    term = make(SUBNET, node)
    output = term.on_proposal(BLOCK, at(1))
    assert [vote.block for vote in votes_of(output)] == [HASH]
    assert output.persist is not None
    assert term.on_proposal(rival, at(1)).frames == ()
    late = make(SUBNET, next(one for one in others(1) if one is not leader(3)))
    assert late.on_proposal(BLOCK, at(3)).frames == (), "its slot is over"
    early = make(SUBNET, node)
    assert early.on_proposal(BLOCK, at(0)).frames == ()
    assert votes_of(early.tick(at(1)))


def test_a_validator_votes_only_on_a_longest_chain() -> None:
    """TOM-ROLES-033: a first block isn't voted for by who knows a notarized one."""
    voters = SUBNET.nodes[:3]
    node = next(node for node in SUBNET.nodes if node is not leader(3))
    term = make(SUBNET, node)
    term.on_proposal(BLOCK, at(1))
    for voter in voters:
        term.on_vote(vote_for(voter, BLOCK.header), at(1))
    assert term.tree.height == 1
    assert term.tree.tip == HASH
    rival = first_block(3, everybody(SUBNET))
    assert term.on_proposal(rival, at(3)).frames == ()
    good = later_block(3, BLOCK.header, voters)
    assert votes_of(term.on_proposal(good, at(3)))
    assert term.locked_height == 1


def test_a_validator_refuses_to_leave_out_who_was_heard_in_time() -> None:
    """TOM-ROLES-051: more than a slot before the block's; later, or never, is no ground to refuse."""
    full = everybody(SUBNET)
    missing = SUBNET.nodes[0].node_id
    block = first_block(1, Evidence(heartbeats=full.heartbeats[1:]))
    node = next(node for node in others(1) if node.node_id != missing)
    limit = at(1, 0) - RECORD.slot_ms
    for heard, votes in ((limit - 1, 0), (limit, 1), (None, 1)):
        term = make(SUBNET, node, heard={missing: heard}.get)
        assert len(votes_of(term.on_proposal(block, at(1)))) == votes


def test_who_wanted_to_leave_may_be_left_out() -> None:
    """TOM-ROLES-051, 057."""
    full = everybody(SUBNET)
    goer = SUBNET.nodes[0]
    signature = goer.signing_key.sign(records.signed_leave(RECORD.subnet, 0))
    block = first_block(1, Evidence(full.heartbeats[1:], (LeaveProof(0, signature),)))
    node = next(node for node in others(1) if node is not goer)
    term = make(SUBNET, node, heard=lambda _: 0)
    assert votes_of(term.on_proposal(block, at(1)))


def test_who_abstains_neither_votes_nor_proposes() -> None:
    """TOM-ROLES-037."""
    assert make(SUBNET, leader(1), abstain=True).tick(at(1)).frames == ()
    assert make(SUBNET, others(1)[0], abstain=True).on_proposal(BLOCK, at(1)).frames == ()


def test_the_disk_holds_slot_height_and_chain() -> None:
    """TOM-ROLES-035, 036: after a restart nothing is voted twice and the chain is known."""
    voters = SUBNET.nodes[:3]
    node = next(node for node in SUBNET.nodes if node is not leader(3))
    term = make(SUBNET, node)
    term.on_proposal(BLOCK, at(1))
    for voter in voters:
        term.on_vote(vote_for(voter, BLOCK.header), at(1))
    output = term.on_proposal(later_block(3, BLOCK.header, voters), at(3))
    again = make(SUBNET, node, stored=output.persist)
    assert (again.last_slot, again.locked_height) == (3, 1)
    assert again.tree.tip == HASH
    assert again.on_proposal(later_block(3, BLOCK.header, voters), at(3)).frames == ()
    assert again.on_proposal(first_block(5, everybody(SUBNET)), at(5)).frames == ()
    other = founded(4, nonce=b"n" * 32)
    fresh = make(other, node, stored=output.persist)
    assert fresh.last_slot == 0, "another record's state says nothing"


def test_a_corrupt_disk_is_said_to_be_corrupt() -> None:
    """A stored state that isn't one is a ProtocolError, not a vote."""
    assert FIRST.persist is not None
    with pytest.raises(ProtocolError):
        make(SUBNET, leader(1), stored=FIRST.persist[:-1])
    vote = codec.encode_frame(votes_of(FIRST)[0])
    stored = codec.TERM.encode(
        present=PRESENT,
        last_slot=1,
        height=0,
        block_count=1,
        blocks=[{"length": len(vote), "proposal": vote}],
        vote_count=0,
        certificate=[],
    )
    with pytest.raises(ProtocolError) as caught:
        make(SUBNET, leader(1), stored=stored)
    assert caught.value.reason is Reason.BAD_VALUE


# --- counting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subnet": b"x" * 32}, Reason.WRONG_SUBNET),
        ({"term": 1}, Reason.WRONG_TERM),
        ({"present": b"x" * 32}, Reason.WRONG_TERM),
        ({"slot": 4}, Reason.WRONG_SLOT),
        ({"slot": 2}, Reason.WRONG_SLOT),
        ({"voter": b"\x07" * 32}, Reason.NO_QUORUM),
    ],
)
def test_a_vote_that_breaks_one_rule_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """TOM-ROLES-025, 117, 136."""
    term = make(SUBNET, others(1)[0])
    term.on_proposal(BLOCK, at(1))
    bad = term.on_vote(vote_for(others(1)[1], BLOCK.header, **changes), at(1))
    assert bad.refused is not None
    assert bad.refused.reason is reason
    good = term.on_vote(vote_for(others(1)[1], BLOCK.header), at(1))
    assert good.fresh
    assert good.refused is None
    assert not term.on_vote(vote_for(others(1)[1], BLOCK.header), at(1)).fresh


def test_a_forged_vote_is_refused() -> None:
    """TOM-ROLES-136."""
    term = make(SUBNET, others(1)[0])
    forged = evolve(vote_for(others(1)[1], BLOCK.header), signature=bytes(64))
    output = term.on_vote(forged, at(1))
    assert output.refused is not None
    assert output.refused.reason is Reason.BAD_SIGNATURE


def test_an_old_vote_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-ROLES-117: 64 slots back, here two."""
    monkeypatch.setattr(constants, "SLOT_MEMORY", 2)
    term = make(SUBNET, others(1)[0])
    assert term.on_vote(vote_for(others(1)[1], BLOCK.header), at(3)).fresh
    output = term.on_vote(vote_for(others(1)[2], BLOCK.header), at(4))
    assert output.refused is not None
    assert output.refused.reason is Reason.WRONG_SLOT


def test_votes_may_come_before_their_block() -> None:
    """In any order the same block is notarized."""
    term = make(SUBNET, others(1)[0])
    for node in SUBNET.nodes[:3]:
        assert term.on_vote(vote_for(node, BLOCK.header), at(1)).fresh
    assert term.tree.height == 0
    term.on_proposal(BLOCK, at(1))
    assert term.tree.height == 1


def test_a_vote_for_a_block_of_another_slot_stays_uncounted() -> None:
    """A vote names slot and block; when they don't fit it counts for nothing."""
    term = make(SUBNET, others(1)[0])
    for node in SUBNET.nodes[:3]:
        assert term.on_vote(vote_for(node, BLOCK.header, slot=2), at(1)).fresh
    term.on_proposal(BLOCK, at(1))
    assert term.tree.height == 0


def test_a_third_vote_of_one_validator_in_a_slot_is_refused() -> None:
    """TOM-ROLES-116: two show that it lies."""
    term = make(SUBNET, others(1)[0])
    liar = others(1)[1]
    outputs = [
        term.on_vote(vote_for(liar, BLOCK.header, block=bytes((number,)) * 32), at(1)) for number in (1, 2, 3)
    ]
    assert [output.fresh for output in outputs] == [True, True, False]
    assert outputs[2].refused is not None
    assert outputs[2].refused.reason is Reason.OVERLOADED


def test_a_second_node_with_the_same_secret_is_noticed() -> None:
    """TOM-ROLES-037: a vote or block of its own id that this node didn't make."""
    node = others(1)[0]
    term = make(SUBNET, node)
    assert term.on_vote(vote_for(node, BLOCK.header, block=b"\x01" * 32), at(1)).twice
    own = make(SUBNET, node)
    mine = votes_of(own.on_proposal(BLOCK, at(1)))[0]
    assert not own.on_vote(mine, at(1)).twice
    assert make(SUBNET, leader(1)).on_proposal(BLOCK, at(2)).twice


def test_what_it_sent_before_a_restart_is_its_own() -> None:
    """TOM-ROLES-036, 037: the disk says up to which slot; a twin is noticed in the slots after."""
    again = make(SUBNET, leader(1), stored=FIRST.persist)
    assert not again.on_proposal(BLOCK, at(1)).twice
    assert not again.on_vote(votes_of(FIRST)[0], at(1)).twice
    assert again.on_vote(vote_for(leader(1), BLOCK.header, slot=2, block=b"\x01" * 32), at(2)).twice


# --- finality -------------------------------------------------------------------------------------------


def finished() -> FinalityProof:
    """A proof as the members make it."""
    term = make(SUBNET, identity(99))
    voters = SUBNET.nodes[:3]
    term.on_proposal(BLOCK, at(1))
    second = later_block(2, BLOCK.header, voters)
    term.on_proposal(second, at(2))
    outputs = [term.on_vote(vote_for(node, second.header), at(2)) for node in voters]
    final = outputs[-1].final
    assert final is not None
    return final


def test_a_proof_ends_the_term() -> None:
    """TOM-ROLES-038, 042, 044: taken once, then nothing is voted or proposed any more."""
    proof = finished()
    assert proof.record == BLOCK.record
    term = make(SUBNET, leader(1))
    bad = evolve(proof, blocks=proof.blocks[:1])
    refused = term.on_finality(bad).refused
    assert refused is not None
    assert refused.reason is Reason.NO_QUORUM
    assert term.on_finality(proof).final == proof
    assert term.on_finality(proof) == TermOutput()
    assert term.tick(at(1)).frames == ()
    assert term.next_deadline(at(1)) is None
    assert term.frames() == [proof]
    assert not term.on_proposal(BLOCK, at(1)).fresh
    assert not term.on_vote(vote_for(others(1)[0], BLOCK.header), at(1)).fresh


def test_a_notarized_record_is_not_final() -> None:
    """TOM-ROLES-041, 045: blocks in slots 1 and 3 prove nothing yet."""
    term = make(SUBNET, identity(99))
    voters = SUBNET.nodes[:3]
    term.on_proposal(BLOCK, at(1))
    third = later_block(3, BLOCK.header, voters)
    term.on_proposal(third, at(3))
    for node in voters:
        assert term.on_vote(vote_for(node, third.header), at(3)).final is None


def test_a_neighbour_is_told_what_it_missed() -> None:
    """TOM-ROLES-115: chain, open blocks and votes are enough to end the term."""
    term = make(SUBNET, identity(99))
    voters = SUBNET.nodes[:3]
    term.on_proposal(BLOCK, at(1))
    second = later_block(2, BLOCK.header, voters)
    term.on_proposal(second, at(2))
    for node in voters[:2]:
        term.on_vote(vote_for(node, second.header), at(2))
    late = make(SUBNET, voters[2])
    final = None
    for frame in term.frames():
        output = late.on_proposal(frame, at(2)) if isinstance(frame, Proposal) else None
        if isinstance(frame, Vote):
            output = late.on_vote(frame, at(2))
        assert output is not None
        final = final or output.final
    assert final is not None, "its own vote was the third"


# --- the tree -------------------------------------------------------------------------------------------


def test_old_blocks_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest chain stays; what nothing was built on goes by age, and by number."""
    term = make(SUBNET, identity(99))
    voters = SUBNET.nodes[:3]
    term.on_proposal(BLOCK, at(1))
    for node in voters:
        term.on_vote(vote_for(node, BLOCK.header), at(1))
    for slot in (2, 3, 4):
        term.on_proposal(later_block(slot, BLOCK.header, voters), at(slot))
    assert len(term.tree) == 4
    term.tree.forget_before(4)
    assert len(term.tree) == 2
    assert term.tree.get(HASH) is not None
    term.on_proposal(later_block(5, BLOCK.header, voters), at(5))
    monkeypatch.setattr(constants, "MAX_BLOCKS", 2)
    term.tree.forget_before(0)
    assert [len(term.tree.in_slot(slot)) for slot in (1, 4, 5)] == [1, 0, 1], "the oldest went"
    assert term.tree.tip == HASH


def test_a_tree_counts_validators_only() -> None:
    """TOM-ROLES-040: whoever asks."""
    term = make(SUBNET, others(1)[0])
    term.on_proposal(BLOCK, at(1))
    block = term.tree.get(HASH)
    assert block is not None
    with pytest.raises(ProtocolError):
        term.tree.vote(block, b"\x07" * 32, bytes(64))
    empty = BlockTree(term.roles, PRESENT)
    assert empty.tip == PRESENT
    assert empty.chain(PRESENT) == []


# --- schedules ------------------------------------------------------------------------------------------


class BrokenPropertyError(AssertionError):
    """A property of the models does not hold."""


class Run:
    """Members of one term over a network that loses, repeats and reorders, with crashes and liars."""

    def __init__(self, seed: int, count: int, liars: int) -> None:
        self.random = random.Random(seed)
        self.subnet = founded(count)
        self.nodes = self.subnet.nodes
        self.liars = set(self.random.sample(range(count), liars))
        self.skew = [self.random.randint(-40, 40) for _ in range(count)]
        self.disks: list[bytes | None] = [None] * count
        self.terms = [make(self.subnet, node) for node in self.nodes]
        self.cast: dict[tuple[int, int], bytes] = {}
        self.highest = [0] * count
        self.records: dict[int, TermRecord] = {}
        self.calm = False
        self.queue: list[tuple[int, TermFrame]] = []
        self.sent: list[TermFrame] = []

    def take(self, place: int, output: TermOutput) -> None:
        """Check what a member did, write its disk, send its frames."""
        if output.persist is not None:
            self.disks[place] = output.persist
        for frame in output.frames:
            if isinstance(frame, Vote) and frame.voter == self.nodes[place].node_id:
                self.check_vote(place, frame)
            self.send(place, frame)
        if output.final is not None:
            self.records[place] = output.final.record
            if len({records.record_hash(record) for record in self.records.values()}) > 1:
                raise BrokenPropertyError("TermAgreement")

    def check_vote(self, place: int, vote: Vote) -> None:
        """VoteOnce, VoteRising, DiskFirst."""
        held = self.cast.setdefault((place, vote.slot), vote.block)
        if held != vote.block:
            raise BrokenPropertyError("VoteOnce")
        if vote.slot < self.highest[place]:
            raise BrokenPropertyError("VoteRising")
        self.highest[place] = vote.slot
        disk = self.disks[place]
        if disk is None or codec.TERM.decode(disk).last_slot < vote.slot:
            raise BrokenPropertyError("DiskFirst")

    def send(self, source: int, frame: TermFrame) -> None:
        """Each copy may be lost, come twice, or late."""
        self.sent.append(frame)
        for target in range(len(self.nodes)):
            if target == source or target in self.liars:
                continue
            copies = 1 if self.calm else self.random.choice((0, 1, 1, 1, 2))
            self.queue += [(target, frame)] * copies

    def deliver(self, now: int) -> None:
        """Hand out what is on its way, in any order; some of it stays for later slots."""
        while self.queue:
            place = 0 if self.calm else self.random.randrange(len(self.queue))
            if not self.calm and self.random.random() < 0.02:
                break
            target, frame = self.queue.pop(place)
            term, local = self.terms[target], now + self.skew[target]
            if isinstance(frame, Proposal):
                self.take(target, term.on_proposal(frame, local))
            elif isinstance(frame, Vote):
                self.take(target, term.on_vote(frame, local))
            if not self.calm and self.random.random() < 0.01:
                self.crash(target)

    def crash(self, place: int) -> None:
        """The member comes back with its disk alone."""
        self.terms[place] = make(self.subnet, self.nodes[place], stored=self.disks[place])

    def lie(self, slot: int) -> None:
        """Liars propose three blocks and vote for everything, also in old slots."""
        honest = self.terms[next(place for place in range(len(self.nodes)) if place not in self.liars)]
        for place in self.liars:
            node = self.nodes[place]
            if honest.roles.leader(slot) == node.node_id:
                full = everybody(self.subnet)
                for keep in (len(full.heartbeats) - fewer for fewer in range(3)):
                    term = make(self.subnet, node, evidence=Evidence(heartbeats=full.heartbeats[-keep:]))
                    for known in self.sent:
                        if isinstance(known, Proposal) and known.header.slot < slot:
                            term.on_proposal(known, self.time(slot))
                    for frame in term.tick(self.time(slot)).frames:
                        self.send(place, frame)
            for frame in list(self.sent):
                if isinstance(frame, Proposal) and self.random.random() < 0.5:
                    self.send(place, vote_for(node, frame.header))

    def time(self, slot: int) -> int:
        """The middle of a slot."""
        record = self.subnet.record
        return record.start + slot * record.slot_ms + record.slot_ms // 2

    def slots(self, first: int, last: int) -> None:
        """Run some slots."""
        for slot in range(first, last + 1):
            now = self.time(slot)
            if self.calm and slot % 4 == 0:
                self.stabilise()  # TOM-ROLES-127
            for place, term in enumerate(self.terms):
                if place not in self.liars:
                    self.take(place, term.tick(now + self.skew[place]))
            if self.liars and not self.calm:
                self.lie(slot)
            self.deliver(now)

    def stabilise(self) -> None:
        """From here on nothing is lost; members tell each other what they know."""
        self.calm = True
        for place, term in enumerate(self.terms):
            if place not in self.liars:
                for frame in term.frames():
                    if isinstance(frame, FinalityProof):
                        for other in range(len(self.nodes)):
                            if other not in self.liars:
                                self.take(other, self.terms[other].on_finality(frame))
                    else:
                        self.send(place, frame)


CASES = [(1, 0), (2, 0), (3, 0), (4, 1), (7, 2)]


def run(seed: int, count: int, liars: int) -> None:
    """One schedule: a storm, then calm; agreement always, an end in the calm."""
    world = Run(seed, count, liars)
    world.slots(1, 12)
    world.stabilise()
    world.slots(13, 13 + 6 * count)
    honest = [place for place in range(count) if place not in world.liars]
    if not all(place in world.records for place in honest):
        raise BrokenPropertyError("EventuallyFinal")


@pytest.mark.parametrize(("count", "liars"), CASES)
def test_schedules_keep_agreement_and_end(count: int, liars: int, request: pytest.FixtureRequest) -> None:
    """TermAgreement, VoteOnce, VoteRising, DiskFirst at every step; EventuallyFinal once it is calm."""
    one = request.config.getoption("--term-seed")
    for seed in range(12) if one is None else [one]:
        try:
            run(seed, count, liars)
        except BrokenPropertyError as broken:
            pytest.fail(
                f"{broken} with seed {seed}, {count} members, {liars} liars; repeat with\n"
                f"pytest tests/test_spec_roles_term.py -k schedules --term-seed {seed}"
            )


# --- twins: each rule taken away must be noticed ------------------------------------------------------------


def forget_slot(self: Term, parent: bytes) -> bytes:
    """The disk doesn't hold the last slot."""
    slot, self.last_slot = self.last_slot, 0
    stored = ORIGINAL_STORED(self, parent)
    self.last_slot = slot
    return stored


ORIGINAL_STORED = Term._stored
ORIGINAL_RUN = Term._run_slot


def vote_again(self: Term, work: Any, now: int) -> None:
    """Votes for every block of a slot."""
    ORIGINAL_RUN(self, work, now)
    for block in self.tree.in_slot(self.slot(now)):
        if block.hash not in self._own_votes and self.final is None:
            self._cast(work, block)


def early_final(chain: Any) -> Any:
    """One notarized block is taken as final."""
    return 1 if chain else None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "name", "twin", "expected"),
    [
        (Term, "_stored", forget_slot, {"DiskFirst", "VoteOnce"}),
        (Term, "_run_slot", vote_again, {"VoteOnce", "TermAgreement"}),
        (records, "final_length", early_final, {"TermAgreement"}),
        (Term, "_vote", lambda self, work, slot: None, {"EventuallyFinal"}),
        (Term, "_vouched", lambda self, header, block: False, {"EventuallyFinal"}),
    ],
    ids=["forget-slot", "two-votes", "early-record", "never-votes", "two-blocks-only"],
)
def test_a_rule_taken_away_is_noticed(
    target: Any, name: str, twin: Any, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedules can fail: each of the models' twins that the code can play breaks a property."""
    monkeypatch.setattr(target, name, twin)
    noticed = set()
    for seed in range(40):
        for count, liars in ((4, 1), (3, 0)):
            try:
                run(seed, count, liars)
            except BrokenPropertyError as broken:
                noticed.add(str(broken))
        if noticed & expected:
            return
    pytest.fail(f"nothing of {expected} was noticed, but {noticed}")
