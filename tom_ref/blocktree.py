"""The blocks of one term that a node knows: a tree whose root is the present record.

It says which blocks are notarized, which chain is longest and which record is final.  Whether to vote is
:mod:`tom_ref.term`'s business.  Everything is bounded; nothing here is signed or sent.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from tom_ref import constants, records
from tom_ref.draft import Roles
from tom_ref.errors import ProtocolError, Reason
from tom_ref.term_frames import Ballot, Certificate, FinalityProof, Proposal, ProvenBlock


@define
class Block:
    """One block of the tree."""

    hash: bytes
    proposal: Proposal
    height: int
    """1 for a first block."""
    votes: dict[bytes, bytes] = field(factory=dict)
    """Verified votes: signatures by NodeId."""
    notarized: bool = False

    @property
    def slot(self) -> int:
        """The slot that the block was proposed in."""
        return self.proposal.header.slot

    @property
    def parent(self) -> bytes:
        """Hash of the parent block, or of the present record."""
        return self.proposal.header.parent


@define
class BlockTree:
    """Blocks by hash; all of them hang together down to the present record."""

    roles: Roles
    present: bytes
    """Hash of the present record: height 0, slot 0, notarized."""
    _blocks: dict[bytes, Block] = field(factory=dict)
    _validators: frozenset[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Look the validators up once."""
        self._validators = frozenset(self.roles.validators)

    def __len__(self) -> int:
        """How many blocks are kept."""
        return len(self._blocks)

    def __iter__(self) -> Iterator[Block]:
        """The blocks that are kept, in the order in which they came."""
        return iter(self._blocks.values())

    def get(self, block: bytes) -> Block | None:
        """A block by its hash."""
        return self._blocks.get(block)

    def in_slot(self, slot: int) -> list[Block]:
        """The blocks proposed in a slot, in the order in which they came."""
        return [block for block in self._blocks.values() if block.slot == slot]

    def knows_parent(self, parent: bytes) -> bool:
        """Whether a block's parent is here."""
        return parent == self.present or parent in self._blocks

    def height_of(self, block: bytes) -> int:
        """The height of a known block; 0 for the present record."""
        return 0 if block == self.present else self._blocks[block].height

    def slot_of(self, block: bytes) -> int:
        """The slot of a known block; 0 for the present record."""
        return 0 if block == self.present else self._blocks[block].slot

    def is_notarized(self, block: bytes) -> bool:
        """Whether a known block is notarized, as the present record always is."""
        return block == self.present or self._blocks[block].notarized

    @property
    def height(self) -> int:
        """The height of the longest notarized chain (TOM-ROLES-033)."""
        return max((block.height for block in self._blocks.values() if block.notarized), default=0)

    @property
    def tip(self) -> bytes:
        """The tip of the longest notarized chain, of several the one with the highest slot (027)."""
        return max(
            (block for block in self._blocks.values() if block.notarized),
            key=lambda block: (block.height, block.slot),
            default=_Root(self.present),
        ).hash

    def add(self, proposal: Proposal, block: bytes) -> Block:
        """Insert a block whose parent is known and notarized."""
        header = proposal.header
        added = Block(block, proposal, self.height_of(header.parent) + 1)
        self._blocks[block] = added
        return added

    def notarize_by(self, block: Block, certificate: Certificate) -> None:
        """Take a certificate for a block (TOM-ROLES-040); raises ``no_quorum``."""
        records.check_certificate(self.roles, block.proposal.header, certificate, block.votes)
        for ballot in certificate:
            block.votes[self.roles.record.roster[ballot.index].node] = ballot.signature
        block.notarized = True

    def vote(self, block: Block, voter: bytes, signature: bytes) -> bool:
        """Count a verified vote; whether it made the block notarized (TOM-ROLES-040)."""
        if voter not in self._validators:
            raise ProtocolError(Reason.NO_QUORUM, "a vote of a node that is no validator")
        block.votes.setdefault(voter, signature)
        if block.notarized or len(block.votes) < self.roles.quorum or not self.is_notarized(block.parent):
            return False
        block.notarized = True
        return True

    def certificate(self, block: Block) -> Certificate:
        """The votes that notarize a block: a quorum of those known, ascending by index."""
        ballots = sorted((self.roles.index[node], signature) for node, signature in block.votes.items())
        return tuple(Ballot(index, signature) for index, signature in ballots[: self.roles.quorum])

    def chain(self, block: bytes) -> list[Block]:
        """The blocks from the first one to ``block``; empty for the present record."""
        found = list(self._down(block))
        found.reverse()
        return found

    def _down(self, block: bytes) -> Iterator[Block]:
        while block != self.present:
            here = self._blocks[block]
            yield here
            block = here.parent

    def finality(self, block: Block) -> FinalityProof | None:
        """The proof that ``block``, just notarized, makes its chain's record final (TOM-ROLES-041 to 043)."""
        chain = self.chain(block.hash)
        length = records.final_length([each.slot for each in chain])
        record = chain[0].proposal.record
        if length is None or record is None:
            return None
        final = chain[:length]
        return FinalityProof(
            record, tuple(ProvenBlock(each.proposal.header, self.certificate(each)) for each in final)
        )

    def forget_before(self, slot: int) -> None:
        """Drop blocks of earlier slots on which no longest chain stands, and keep to the bound."""
        keep = {each.hash for each in self.chain(self.tip)}
        keep |= {each.parent for each in self._blocks.values()}
        for each in sorted(self._blocks.values(), key=lambda each: each.slot):
            if each.hash in keep:
                continue
            if each.slot < slot or len(self._blocks) > constants.MAX_BLOCKS:
                del self._blocks[each.hash]


@define
class _Root:
    """The present record where a block is asked for."""

    hash: bytes
