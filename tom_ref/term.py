"""One term: the vote on the successor of the present record, an instance of Streamlet (Chan and Shi, 2020).

A :class:`Term` takes proposals, votes and the time, and returns what is to be written to disk, then sent.
The rules it obeys mention no network: it may be late, partitioned, restarted and lied to, and agreement
holds (model ``TermKnow``).  Remote input never raises; what breaks a rule is refused with a code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from tom_ref import codec, constants, records
from tom_ref.blocktree import Block, BlockTree
from tom_ref.crypto import SigningKey, verify
from tom_ref.draft import Roles
from tom_ref.errors import ProtocolError, Reason
from tom_ref.term_frames import (
    NO_HASH,
    Ballot,
    BlockHeader,
    Certificate,
    Evidence,
    FinalityProof,
    Heartbeat,
    Proposal,
    TermFrame,
    TermRecord,
    Vote,
)

_SLOT_LIMIT: Final = (1 << 32) - 1
_BLOCKS_A_SLOT: Final = 2
"""A second block of a slot shows that its leader lies; a third would only fill memory."""
_VOTES_A_SLOT: Final = 2
"""Likewise for the votes of one validator in one slot."""
_WAITING: Final = 16
"""The most proposals kept whose parent isn't known yet."""


@frozen
class TermOutput:
    """What came of one input.

    ``persist`` must be on disk before any of ``frames`` leaves (TOM-ROLES-035).  ``frames`` are for all
    neighbours.  ``final`` is set once, when the successor of the present record is final.
    """

    persist: bytes | None = None
    frames: tuple[TermFrame, ...] = ()
    final: FinalityProof | None = None
    refused: ProtocolError | None = None
    fresh: bool = False
    """Whether the input was valid and new, so that neighbours should hear of it."""
    twice: bool = False
    """Whether somebody else signs with this node's key."""


@frozen
class Surroundings:
    """What a term asks of the rest of its node; both are pure look-ups."""

    evidence: Callable[[], Evidence]
    """The evidence to propose, from which a record follows by the rules."""
    heard: Callable[[bytes], int | None]
    """When a member's heartbeat for the present record arrived, in ms (TOM-ROLES-051)."""


@define
class _Work:
    """The outcome of one input while it is being worked out."""

    persist: bytes | None = None
    frames: list[TermFrame] = field(factory=list)
    final: FinalityProof | None = None
    fresh: bool = False
    twice: bool = False

    def output(self, refused: ProtocolError | None = None) -> TermOutput:
        return TermOutput(self.persist, tuple(self.frames), self.final, refused, self.fresh, self.twice)


class Term:
    """The vote on the successor of one record, as one member sees it.

    ``prove`` returns this node's VRF proof for an input.  ``stored`` is what :attr:`TermOutput.persist` said
    last, before a restart; ``abstain`` is set where nobody can be sure that it is the latest (TOM-ROLES-037).
    Raises ``ProtocolError`` when ``stored`` is corrupt.
    """

    def __init__(
        self,
        record: TermRecord,
        *,
        own_id: bytes,
        signing_key: SigningKey,
        prove: Callable[[bytes], bytes],
        surroundings: Surroundings,
        stored: bytes | None = None,
        abstain: bool = False,
    ) -> None:
        self.record: Final = record
        self.roles: Final = Roles(record)
        self.present: Final = records.record_hash(record)
        self.tree: Final = BlockTree(self.roles, self.present)
        self.last_slot = 0
        """The last slot that this node voted in."""
        self.locked_height = 0
        """The greatest height of a parent that it voted for."""
        self.abstains = abstain
        self.final: FinalityProof | None = None
        self._own_id = own_id
        self._signing_key = signing_key
        self._prove = prove
        self._surroundings = surroundings
        self._voter = own_id in self.roles.validators
        self._waiting: dict[bytes, Proposal] = {}
        self._early: dict[tuple[bytes, int], dict[bytes, Vote]] = {}
        """Votes by (voter, slot) and block: for blocks not known yet, and to count a liar's."""
        self._own_votes: set[bytes] = set()
        self._restored_slot = 0
        """Up to this slot an own vote or block may be from before a restart."""
        self._seen_slot = -1
        if stored is not None:
            self._restore(stored)

    # --- time ---------------------------------------------------------------------------------------------

    def slot(self, now: int) -> int:
        """The slot that is current at ``now``; -1 before slot 0 (TOM-ROLES-019)."""
        passed = (now - self.record.start) // self.record.slot_ms
        return max(-1, min(passed, _SLOT_LIMIT))

    def slot_start(self, slot: int) -> int:
        """When a slot begins, in ms."""
        return self.record.start + slot * self.record.slot_ms

    def next_deadline(self, now: int) -> int | None:
        """When :meth:`tick` is due: the start of the next slot; ``None`` once the record is final."""
        if self.final is not None:
            return None
        return self.slot_start(max(1, self.slot(now) + 1))

    # --- inputs -------------------------------------------------------------------------------------------

    def tick(self, now: int) -> TermOutput:
        """Run the rules of the current slot (TOM-ROLES-020)."""
        work = _Work()
        self._run_slot(work, now)
        return work.output()

    def on_proposal(self, proposal: Proposal, now: int) -> TermOutput:
        """Take a leader's block (TOM-ROLES-024 to 026, 029, 046)."""
        work = _Work()
        try:
            self._take(work, proposal, now)
        except ProtocolError as error:
            return work.output(error)
        self._run_slot(work, now)
        return work.output()

    def on_vote(self, vote: Vote, now: int) -> TermOutput:
        """Take a validator's vote (TOM-ROLES-025, 117, 136)."""
        work = _Work()
        try:
            self._count(work, vote, now)
        except ProtocolError as error:
            return work.output(error)
        self._run_slot(work, now)
        return work.output()

    def on_finality(self, proof: FinalityProof) -> TermOutput:
        """Take a proof that the successor is final (TOM-ROLES-043, 044)."""
        if self.final is not None:
            return TermOutput()
        try:
            records.check_finality(self.roles, self.present, proof)
        except ProtocolError as error:
            return TermOutput(refused=error)
        self.final = proof
        return TermOutput(final=proof, fresh=True)

    def knows(self, header: BlockHeader) -> bool:
        """Whether a block has its place in the tree, so that it need not come again."""
        return self.tree.get(records.block_hash(header)) is not None

    def frames(self) -> list[TermFrame]:
        """What a neighbour has to hear to catch up in this term: the longest chain and its open blocks."""
        if self.final is not None:
            return [self.final]
        chain = self.tree.chain(self.tree.tip)
        latest = max((block.slot for block in chain), default=0)
        open_blocks = [
            block
            for slot in range(latest + 1, self._seen_slot + 1)
            for block in self.tree.in_slot(slot)
            if slot > self._seen_slot - _WAITING
        ]
        found: list[TermFrame] = [block.proposal for block in (*chain, *open_blocks)]
        for block in (*chain[-1:], *open_blocks):
            found += [self._vote_frame(block, voter, signature) for voter, signature in block.votes.items()]
        return found

    # --- proposals ----------------------------------------------------------------------------------------

    def _take(self, work: _Work, proposal: Proposal, now: int) -> None:
        header = proposal.header
        records.check_place(self.roles, self.present, header)
        if header.slot > self.slot(now) + 1:
            raise ProtocolError(Reason.WRONG_SLOT, f"slot {header.slot} is to come")  # TOM-ROLES-117
        block = records.block_hash(header)
        if self.final is not None or self.tree.get(block) or self._waiting.get(block) == proposal:
            return
        signed = records.signed_block(header)
        leader = self.roles.leader(header.slot)
        try:
            verify(leader, signed, proposal.signature)
        except ProtocolError:
            raise ProtocolError(Reason.WRONG_LEADER, f"slot {header.slot}") from None
        if not self.tree.knows_parent(header.parent):
            # The leader didn't sign the certificate: whoever passed the block on may have spoiled it, so that
            # what comes later takes its place.
            new = block not in self._waiting
            self._wait(proposal, block)
            work.fresh = new
            return
        if len(self.tree.in_slot(header.slot)) >= _BLOCKS_A_SLOT and not self._vouched(header, block):
            raise ProtocolError(Reason.OVERLOADED, f"a third block in slot {header.slot}")
        self._add(work, proposal, block)
        work.fresh = True
        work.twice = leader == self._own_id and header.slot > self._restored_slot

    def _vouched(self, header: BlockHeader, block: bytes) -> bool:
        """Whether a block that waits for this one shows it notarized (TOM-ROLES-116).

        A liar that shows different blocks of its slot to different members must not cut some of them off from
        the one that became notarized.
        """
        for child in [held for held in self._waiting.values() if held.header.parent == block]:
            try:
                records.check_certificate(self.roles, header, child.certificate)
            except ProtocolError:
                continue
            return True
        return False

    def _wait(self, proposal: Proposal, block: bytes) -> None:
        self._waiting.pop(block, None)
        same = [held for held in self._waiting.values() if held.header.slot == proposal.header.slot]
        if len(same) >= _BLOCKS_A_SLOT:
            raise ProtocolError(Reason.OVERLOADED, f"a third block waits in slot {proposal.header.slot}")
        if len(self._waiting) >= _WAITING:
            oldest = min(self._waiting, key=lambda known: self._waiting[known].header.slot)
            if self._waiting[oldest].header.slot >= proposal.header.slot:
                raise ProtocolError(Reason.OVERLOADED, "too many blocks without a parent")
            del self._waiting[oldest]
        self._waiting[block] = proposal

    def _add(self, work: _Work, proposal: Proposal, block: bytes) -> None:
        """Insert a block whose parent is known; then what waited for it."""
        header = proposal.header
        parent = self.tree.get(header.parent)
        if header.slot <= self.tree.slot_of(header.parent):
            raise ProtocolError(Reason.WRONG_SLOT, "not above the parent's slot")
        if self.tree.height_of(header.parent) >= constants.MAX_PROOF_BLOCKS:
            # TOM-ROLES-128
            raise ProtocolError(Reason.TOO_LARGE, "a chain longer than a proof of finality may be")
        if parent is None:
            if proposal.certificate:
                raise ProtocolError(Reason.NO_QUORUM, "votes for the present record")
            self._check_first(proposal)
        else:
            if proposal.record is not None:
                raise ProtocolError(Reason.BAD_RECORD, "a later block with a record")
            was = parent.notarized
            self.tree.notarize_by(parent, proposal.certificate)
            if not was:
                self._notarized(work, parent)
        added = self.tree.add(proposal, block)
        for (_, slot), votes in self._early.items():
            vote = votes.get(block)
            if vote is not None and slot == header.slot:
                self._add_vote(work, added, vote.voter, vote.signature)
        for waiting in [known for known, held in self._waiting.items() if held.header.parent == block]:
            held = self._waiting.pop(waiting)
            if len(self.tree.in_slot(held.header.slot)) < _BLOCKS_A_SLOT or self._vouched(
                held.header, waiting
            ):
                with contextlib.suppress(ProtocolError):
                    self._add(work, held, waiting)

    def _check_first(self, proposal: Proposal) -> None:
        """Recompute the record from the evidence, byte for byte (TOM-ROLES-029, 046)."""
        header, record, evidence = proposal.header, proposal.record, proposal.evidence
        if record is None or evidence is None:
            raise ProtocolError(Reason.BAD_RECORD, "a first block without a record")
        if header.evidence != records.evidence_hash(evidence):
            raise ProtocolError(Reason.BAD_RECORD, "the evidence isn't the header's")
        proposer = self.roles.leader(header.slot)
        expected = records.next_record(
            self.roles, self.present, evidence, slot=header.slot, proposer=proposer, proof=record.proof
        )
        if expected != record or header.record != records.record_hash(record):
            raise ProtocolError(Reason.BAD_RECORD, "the record doesn't follow from the evidence")

    # --- votes --------------------------------------------------------------------------------------------

    def _count(self, work: _Work, vote: Vote, now: int) -> None:
        if vote.subnet != self.record.subnet:
            raise ProtocolError(Reason.WRONG_SUBNET, "vote")
        if vote.term != self.record.term or vote.present != self.present:
            raise ProtocolError(Reason.WRONG_TERM, f"a vote of term {vote.term}")
        if vote.voter not in self.roles.validators:
            raise ProtocolError(Reason.NO_QUORUM, "a vote of a node that is no validator")
        current = self.slot(now)
        if not current - constants.SLOT_MEMORY <= vote.slot <= current + 1:
            raise ProtocolError(Reason.WRONG_SLOT, f"a vote in slot {vote.slot} at {current}")
        held = self._early.setdefault((vote.voter, vote.slot), {})
        block = self.tree.get(vote.block)
        if self.final is not None or vote.block in held or (block and vote.voter in block.votes):
            return
        if block is not None and block.slot != vote.slot:
            raise ProtocolError(Reason.WRONG_SLOT, "not the block's slot")
        if len(held) >= _VOTES_A_SLOT:
            raise ProtocolError(Reason.OVERLOADED, f"a third vote in slot {vote.slot}")
        records.check_vote(vote)
        held[vote.block] = vote
        work.fresh = True
        work.twice = (
            vote.voter == self._own_id
            and vote.slot > self._restored_slot
            and vote.block not in self._own_votes
        )
        if block is not None:
            self._add_vote(work, block, vote.voter, vote.signature)

    def _add_vote(self, work: _Work, block: Block, voter: bytes, signature: bytes) -> None:
        if self.tree.vote(block, voter, signature):
            self._notarized(work, block)

    def _notarized(self, work: _Work, block: Block) -> None:
        if self.final is None:
            self.final = work.final = self.tree.finality(block)

    # --- the rules of a slot --------------------------------------------------------------------------------

    def _run_slot(self, work: _Work, now: int) -> None:
        current = self.slot(now)
        if current > self._seen_slot:
            self._seen_slot = current
            self._forget(current - constants.SLOT_MEMORY)
        # Once the next record is final nobody votes here any more (TOM-ROLES-038).
        if self.final is not None or current < 1 or not self._voter or self.abstains:
            return
        if current <= self.last_slot:
            return
        if self.roles.leader(current) == self._own_id:
            self._propose(work, current)
        else:
            self._vote(work, current)

    def _forget(self, slot: int) -> None:
        self.tree.forget_before(slot)
        self._early = {key: votes for key, votes in self._early.items() if key[1] >= slot}

    def _propose(self, work: _Work, slot: int) -> None:
        """Propose on the longest notarized chain, newest tip, own vote first (TOM-ROLES-027 to 029)."""
        tip = self.tree.get(self.tree.tip)
        if tip is not None and tip.height >= constants.MAX_PROOF_BLOCKS:
            return
        proposal = self._first_block(slot) if tip is None else self._later_block(slot, tip)
        block = records.block_hash(proposal.header)
        added = self.tree.add(proposal, block)
        work.frames.append(proposal)
        self._cast(work, added)

    def _first_block(self, slot: int) -> Proposal:
        evidence = self._surroundings.evidence()
        proof = self._prove(records.seed_alpha(self.record.term, self.record.seed))
        record = records.next_record(
            self.roles, self.present, evidence, slot=slot, proposer=self._own_id, proof=proof
        )
        header = BlockHeader(
            self.record.subnet,
            self.record.term,
            self.present,
            slot,
            self.present,
            records.record_hash(record),
            records.evidence_hash(evidence),
        )
        return Proposal(header, self._sign_block(header), (), record, evidence)

    def _later_block(self, slot: int, tip: Block) -> Proposal:
        header = BlockHeader(
            self.record.subnet, self.record.term, self.present, slot, tip.hash, NO_HASH, NO_HASH
        )
        return Proposal(header, self._sign_block(header), self.tree.certificate(tip))

    def _sign_block(self, header: BlockHeader) -> bytes:
        return self._signing_key.sign(records.signed_block(header))

    def _vote(self, work: _Work, slot: int) -> None:
        """Vote for the first valid block of the slot that extends a longest chain (030 to 034, 051)."""
        height = self.tree.height
        for block in self.tree.in_slot(slot):
            parent_height = block.height - 1
            longest = parent_height == height and self.tree.is_notarized(block.parent)
            if longest and parent_height >= self.locked_height and self._fair(block):
                self._cast(work, block)
                return

    def _fair(self, block: Block) -> bool:
        """Whether the record leaves out nobody whose heartbeat this node held in time (TOM-ROLES-051)."""
        record, evidence = block.proposal.record, block.proposal.evidence
        if record is None or evidence is None:
            return True  # A later block says nothing about members.
        kept = {member.node for member in record.roster if member.absent == 0}
        kept |= {self.record.roster[proof.index].node for proof in evidence.leaves}
        deadline = self.slot_start(block.slot) - self.record.slot_ms
        missing = [member.node for member in self.record.roster if member.node not in kept]
        arrivals = [self._surroundings.heard(node) for node in missing]
        return all(heard is None or heard >= deadline for heard in arrivals)

    def _cast(self, work: _Work, block: Block) -> None:
        """Vote: first to disk, then to the neighbours (TOM-ROLES-032, 035)."""
        header = block.proposal.header
        self.last_slot = header.slot
        self.locked_height = max(self.locked_height, block.height - 1)
        self._own_votes.add(block.hash)
        work.persist = self._stored(header.parent)
        signature = self._signing_key.sign(
            records.signed_vote(header.subnet, header.term, header.present, header.slot, block.hash)
        )
        work.frames.append(self._vote_frame(block, self._own_id, signature))
        self._add_vote(work, block, self._own_id, signature)

    @staticmethod
    def _vote_frame(block: Block, voter: bytes, signature: bytes) -> Vote:
        header = block.proposal.header
        return Vote(header.subnet, header.term, header.present, header.slot, block.hash, voter, signature)

    # --- disk ---------------------------------------------------------------------------------------------

    def _stored(self, parent: bytes) -> bytes:
        chain = self.tree.chain(parent)
        certificate: Certificate = self.tree.certificate(chain[-1]) if chain else ()
        proposals = [codec.encode_frame(block.proposal) for block in chain]
        return codec.TERM.encode(
            present=self.present,
            last_slot=self.last_slot,
            height=self.locked_height,
            block_count=len(proposals),
            blocks=[{"length": len(data), "proposal": data} for data in proposals],
            vote_count=len(certificate),
            certificate=[{"index": ballot.index, "signature": ballot.signature} for ballot in certificate],
        )

    def _restore(self, stored: bytes) -> None:
        """Take last slot and longest chain from the disk, and treat that chain as known (TOM-ROLES-036)."""
        parsed = codec.TERM.decode(stored)
        if parsed.present != self.present:
            return
        tip: Block | None = None
        for item in parsed.blocks:
            proposal = codec.decode_frame(item.proposal)
            if not isinstance(proposal, Proposal):
                raise ProtocolError(Reason.BAD_VALUE, "a stored block that is no proposal")
            block = records.block_hash(proposal.header)
            self._add(_Work(), proposal, block)
            tip = self.tree.get(block)
        if tip is not None:
            self.tree.notarize_by(
                tip, tuple(Ballot(item.index, item.signature) for item in parsed.certificate)
            )
        self.last_slot = self._restored_slot = parsed.last_slot
        self.locked_height = parsed.height


def own_heartbeat(record: TermRecord, present: bytes, own_id: bytes, signing_key: SigningKey) -> Heartbeat:
    """This node's proof of presence for a record whose hash is ``present`` (TOM-ROLES-053)."""
    signed = records.signed_heartbeat(record.subnet, record.term, present)
    return Heartbeat(record.subnet, record.term, present, own_id, signing_key.sign(signed))
