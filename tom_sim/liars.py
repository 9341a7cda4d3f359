"""Computers that lie.  Each runs a real node, to know what an honest one would say, and then does otherwise.

A liar has its own keys and nobody else's; it sees what it receives and nothing more.  What it does is drawn
from the run's seed like everything else.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from attrs import evolve

from tom_ref import codec, crypto, records, vrf
from tom_ref.errors import ProtocolError
from tom_ref.frames import Envelope
from tom_ref.term_frames import (
    NO_HASH,
    Ballot,
    BlockHeader,
    Evidence,
    FinalityProof,
    Heartbeat,
    Join,
    Member,
    Proposal,
    ProvenBlock,
    RecordAnswer,
    TermRecord,
    Vote,
)
from tom_sim.view import View
from tom_sim.world import Channel, Host, World

_PROPOSAL: Final = 7
_VOTE: Final = 8
_HEARTBEAT: Final = 9
_ENVELOPE: Final = 1
_RECEIPT: Final = 2
_KEPT: Final = 256
_BLOCKS_KEPT: Final = 32


def _everybody(_: Host) -> bool:
    return True


class Lying:
    """What all liars share: the frames they see, their keys, and a way to tell half of their neighbours."""

    name = "liar"

    def __init__(self, world: World, host: Host, chance: random.Random) -> None:
        self.world = world
        self.host = host
        self.chance = chance

    def began(self, host: Host) -> None:
        """Its node was made."""

    def outgoing(self, host: Host, channel: Channel, data: bytes) -> Sequence[bytes]:
        """The frames that leave instead."""
        return (data,)

    def incoming(self, host: Host, channel: Channel, data: bytes) -> bool:
        """Whether its node sees a frame."""
        return True

    def view(self) -> View | None:
        """What its node holds."""
        return self.host.node.view() if self.host.node is not None else None

    def tell(self, data: bytes, to: Callable[[Host], bool] = _everybody) -> None:
        """Send a frame to all neighbours, or to some."""
        for channel in list(self.host.channels.values()):
            if channel.alive and channel.opened and channel.other is not None and to(channel.other.host):
                self.world.transmit(channel, data)

    def decode(self, data: bytes) -> object:
        """A frame, or ``None``."""
        try:
            return codec.decode_frame(data)
        except ProtocolError:
            return None

    def vote_for(self, view: View, slot: int, block: bytes) -> bytes:
        """A vote of its own, whatever it voted before."""
        record = view.record
        signed = records.signed_vote(record.subnet, record.term, view.present, slot, block)
        vote = Vote(
            record.subnet,
            record.term,
            view.present,
            slot,
            block,
            self.host.id,
            self.host.identity.signing_key.sign(signed),
        )
        return codec.encode_frame(vote)

    def sign_block(self, header: BlockHeader) -> bytes:
        """The leader's signature."""
        return self.host.identity.signing_key.sign(records.signed_block(header))

    def own_proposal(self, data: bytes, view: View | None) -> Proposal | None:
        """The proposal in a frame, if this node leads its slot."""
        if view is None or not data or data[0] != _PROPOSAL:
            return None
        proposal = self.decode(data)
        if not isinstance(proposal, Proposal) or proposal.header.present != view.present:
            return None
        return proposal if view.leader(proposal.header.slot) == self.host.id else None


def other_proof(host: Host, alpha: bytes, extra: bytes) -> bytes:
    """Another valid VRF proof for the same input: the same output, other bytes.

    A proof isn't unique: its maker may choose another nonce.  That gives two records with one seed.
    """
    seed = host.identity.vrf_secret.reveal()
    public = vrf.public_key(seed)
    expanded = crypto.sha512(seed)
    scalar = (int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | 1 << 254).to_bytes(32, "little")
    point = vrf._encode_to_curve(public, alpha)  # noqa: SLF001 - an attacker reads the specification, too
    gamma = crypto.point_multiply(scalar, point)
    nonce = crypto.scalar_reduce(crypto.sha512(expanded[32:] + point + extra))
    challenge = vrf._challenge(  # noqa: SLF001
        public, point, gamma, crypto.point_multiply_base(nonce), crypto.point_multiply(nonce, point)
    )
    response = crypto.scalar_multiply_add(challenge + bytes(32 - len(challenge)), scalar, nonce)
    return gamma + challenge + response


def _not_in_third(part: int, host: Host) -> bool:
    return host.index % 3 != part


class Equivocator(Lying):
    """Leads with two blocks a slot, one for each half of its neighbours, and votes for both."""

    name = "equivocator"

    def __init__(self, world: World, host: Host, chance: random.Random) -> None:
        super().__init__(world, host, chance)
        self._twins: dict[bytes, bytes | None] = {}
        self._blocks: deque[tuple[BlockHeader, bytes]] = deque(maxlen=_BLOCKS_KEPT)

    def outgoing(self, host: Host, channel: Channel, data: bytes) -> Sequence[bytes]:
        """One half hears one block, the other half another."""
        if not data or data[0] != _PROPOSAL:
            return (data,)
        view = self.view()
        proposal = self.own_proposal(data, view)
        if proposal is None or view is None:
            return (data,)
        if data not in self._twins:
            if len(self._twins) >= _BLOCKS_KEPT:
                self._twins.clear()
            self._twins[data] = self._twin(view, proposal)
        twin = self._twins[data]
        if twin is None:
            return (data,)
        odd = channel.other is not None and channel.other.host.index % 2 == 1
        return (twin, data) if self.chance.random() < 0.1 else (twin if odd else data,)

    def _twin(self, view: View, proposal: Proposal) -> bytes | None:
        header = proposal.header
        if proposal.record is not None and proposal.evidence is not None:
            alpha = records.seed_alpha(view.record.term, view.record.seed)
            proof = other_proof(self.host, alpha, b"twin")
            record = evolve(proposal.record, proof=proof)
            other = evolve(header, record=records.record_hash(record))
            twin = Proposal(other, self.sign_block(other), (), record, proposal.evidence)
        else:
            # A later block says nothing of its own; on another parent, if a certificate for one was seen.
            found = [
                frame
                for parent, frame in self._blocks
                if parent.slot < header.slot and records.block_hash(parent) != header.parent
            ]
            if not found:
                return None
            frame = found[-1]
            carried = self.decode(frame)
            if not isinstance(carried, Proposal) or not carried.certificate:
                return None
            other = evolve(header, parent=carried.header.parent)
            twin = Proposal(other, self.sign_block(other), carried.certificate)
        data = codec.encode_frame(twin)
        for voted in (records.block_hash(header), records.block_hash(twin.header)):
            self.tell(self.vote_for(view, header.slot, voted))
        return data

    def incoming(self, host: Host, channel: Channel, data: bytes) -> bool:
        """Votes for everything, and remembers what can be built upon."""
        if data and data[0] == _PROPOSAL:
            view, proposal = self.view(), self.decode(data)
            if (
                view is not None
                and isinstance(proposal, Proposal)
                and proposal.header.present == view.present
            ):
                known = {frame for _, frame in self._blocks}
                if data not in known:
                    self._blocks.append((proposal.header, data))
                    block = records.block_hash(proposal.header)
                    self.tell(self.vote_for(view, proposal.header.slot, block))
        return True


class DoubleVoter(Lying):
    """Votes for every block that it sees, in whatever slot, again and again, to some and not to others."""

    name = "double voter"

    def __init__(self, world: World, host: Host, chance: random.Random) -> None:
        super().__init__(world, host, chance)
        self._seen: deque[tuple[bytes, int, bytes]] = deque(maxlen=_BLOCKS_KEPT)

    def incoming(self, host: Host, channel: Channel, data: bytes) -> bool:
        """A block is an occasion to vote."""
        if data and data[0] == _PROPOSAL:
            view, proposal = self.view(), self.decode(data)
            if (
                view is not None
                and isinstance(proposal, Proposal)
                and proposal.header.present == view.present
            ):
                block = records.block_hash(proposal.header)
                if (view.present, proposal.header.slot, block) not in self._seen:
                    self._seen.append((view.present, proposal.header.slot, block))
                    for present, slot, known in list(self._seen):
                        if present == view.present:
                            part = self.chance.randrange(3)
                            self.tell(
                                self.vote_for(view, slot, known),
                                partial(_not_in_third, part),
                            )
        return True


class Withholder(Lying):
    """Keeps quiet: no proposals, no votes, no heartbeats or no messages passed on, as drawn."""

    name = "withholder"

    def __init__(self, world: World, host: Host, chance: random.Random) -> None:
        super().__init__(world, host, chance)
        kinds = (_PROPOSAL, _VOTE, _HEARTBEAT, _ENVELOPE, _RECEIPT)
        self._kept = frozenset(kind for kind in kinds if chance.random() < 0.5) or frozenset({_PROPOSAL})
        self._some = chance.random() < 0.5

    def outgoing(self, host: Host, channel: Channel, data: bytes) -> Sequence[bytes]:
        """Drops what it keeps back, from everybody or from some."""
        if data and data[0] in self._kept:
            odd = channel.other is not None and channel.other.host.index % 2 == 1
            if odd or not self._some:
                return ()
        return (data,)


class TimeLiar(Lying):
    """Its clock is minutes off, and jumps: it proposes and votes early or late."""

    name = "liar about time"

    def began(self, host: Host) -> None:
        """Sets its clock, and goes on doing so."""
        self.world.later(1, self._jump, host.incarnation)

    def _jump(self, incarnation: int) -> None:
        if self.host.incarnation != incarnation:
            return
        self.host.clock.offset = self.chance.choice((-240_000, -30_000, -9_000, 0, 9_000, 30_000, 240_000))
        self.world.later(self.chance.randint(60_000, 600_000), self._jump, incarnation)


class Busy(Lying):
    """A liar that acts of itself from time to time."""

    period = (5_000, 60_000)

    def began(self, host: Host) -> None:
        """Begins to act."""
        self.world.later(self.chance.randint(*self.period), self._acts, host.incarnation)

    def _acts(self, incarnation: int) -> None:
        if self.host.incarnation == incarnation and self.host.node is not None:
            self.act()
            self.world.later(self.chance.randint(*self.period), self._acts, incarnation)

    def act(self) -> None:
        """What it does."""


class Flooder(Busy):
    """Sends bursts of rubbish: random bytes, votes with false signatures, blocks of slots to come."""

    name = "flooder"
    period = (10_000, 120_000)

    def act(self) -> None:
        """One burst."""
        view = self.view()
        for _ in range(self.chance.randint(5, 40)):
            self.tell(self._rubbish(view))

    def _rubbish(self, view: View | None) -> bytes:
        chance = self.chance
        kind = chance.randrange(4)
        if view is None or kind == 0:
            return bytes((chance.choice((1, 2, 7, 8, 9, 10, 12, 13, 16, 0x80)),)) + chance.randbytes(
                chance.randrange(400)
            )
        record = view.record
        slot = max(1, view.slot) + chance.randrange(40)
        if kind == 1:
            voter = chance.choice(record.roster).node
            vote = Vote(
                record.subnet,
                record.term,
                view.present,
                slot,
                chance.randbytes(32),
                voter,
                chance.randbytes(64),
            )
            return codec.encode_frame(vote)
        if kind == 2:
            return self.vote_for(view, slot, chance.randbytes(32))
        header = BlockHeader(
            record.subnet, record.term, view.present, slot + 1, chance.randbytes(32), NO_HASH, NO_HASH
        )
        return codec.encode_frame(
            Proposal(header, self.sign_block(header), (Ballot(0, chance.randbytes(64)),))
        )


class Forger(Busy):
    """Forges records, rosters, certificates, proofs of finality, answers and joins."""

    name = "forger"

    def outgoing(self, host: Host, channel: Channel, data: bytes) -> Sequence[bytes]:
        """Half of its own proposals carry a record that doesn't follow from the evidence."""
        view = self.view()
        proposal = self.own_proposal(data, view)
        if proposal is None or proposal.record is None or self.chance.random() < 0.5:
            return (data,)
        record = self._forged(proposal.record)
        header = evolve(proposal.header, record=records.record_hash(record))
        return (codec.encode_frame(Proposal(header, self.sign_block(header), (), record, proposal.evidence)),)

    def _forged(self, record: TermRecord) -> TermRecord:
        chance = self.chance
        roster = list(record.roster)
        place = chance.randrange(len(roster))
        kind = chance.randrange(5)
        if kind == 0:
            roster[place] = evolve(roster[place], balance=roster[place].balance + 1_000)
            return evolve(record, roster=tuple(roster), pot=record.pot - 1_000)
        if kind == 1 and len(roster) > 1:
            balance = roster[place].balance
            del roster[place]
            return evolve(record, roster=tuple(roster), pot=record.pot + balance)
        if kind == 2:
            ghost = Member(crypto.signing_public(chance.randbytes(32)), roster[0].vrf_key, admitted=0)
            return evolve(record, roster=tuple(sorted([*roster, ghost], key=lambda member: member.node)))
        if kind == 3:
            return evolve(record, start=record.start + 1)
        roster[place] = evolve(roster[place], weight=3)
        return evolve(record, roster=tuple(roster))

    def act(self) -> None:
        """One forgery to everybody."""
        view = self.view()
        if view is not None:
            forge = self.chance.choice((self._finality, self._answer, self._join, self._heartbeat))
            self.tell(codec.encode_frame(forge(view)))

    def _finality(self, view: View) -> FinalityProof:
        record = view.record
        alpha = records.seed_alpha(record.term, record.seed)
        proof = vrf.prove(self.host.identity.vrf_secret, alpha)
        forged = evolve(
            record,
            term=record.term + 1,
            previous=view.present,
            start=record.start + record.slot_ms + record.term_ms,
            seed=records.next_seed(record.term + 1, record.seed, vrf.proof_to_hash(proof)),
            proposer=self.host.id,
            proof=proof,
        )
        chain = []
        parent, named = view.present, records.record_hash(forged)
        for slot in (1, 2):
            header = BlockHeader(
                record.subnet,
                record.term,
                view.present,
                slot,
                parent,
                named,
                records.evidence_hash(Evidence()) if slot == 1 else NO_HASH,
            )
            parent, named = records.block_hash(header), NO_HASH
            signed = records.signed_vote(record.subnet, record.term, view.present, slot, parent)
            own = self.host.identity.signing_key.sign(signed)
            # The liar's own signature stands for everybody.
            chain.append(
                ProvenBlock(header, tuple(Ballot(index, own) for index in range(len(record.roster))))
            )
        return FinalityProof(forged, tuple(chain))

    def _answer(self, view: View) -> RecordAnswer:
        record = evolve(
            view.record,
            term=view.record.term + self.chance.randint(1, 9),
            seed=self.chance.randbytes(32),
        )
        return RecordAnswer(record, view.record, (self._signed_heartbeat(record),))

    def _signed_heartbeat(self, record: TermRecord) -> Heartbeat:
        named = records.record_hash(record)
        signed = records.signed_heartbeat(record.subnet, record.term, named)
        return Heartbeat(
            record.subnet, record.term, named, self.host.id, self.host.identity.signing_key.sign(signed)
        )

    def _heartbeat(self, view: View) -> Heartbeat:
        victim = self.chance.choice(view.record.roster).node
        return evolve(self._signed_heartbeat(view.record), node=victim)

    def _join(self, view: View) -> Join:
        assert self.host.node is not None
        return Join(
            view.record.subnet,
            view.record.term,
            self.host.node.descriptor,
            self.chance.randrange(2**64),
            self.host.id,
            self.chance.randbytes(64),
        )


class Replayer(Busy):
    """Says again what was said long ago, by anybody."""

    name = "replayer"

    def __init__(self, world: World, host: Host, chance: random.Random) -> None:
        super().__init__(world, host, chance)
        self._heard: list[bytes] = []

    def incoming(self, host: Host, channel: Channel, data: bytes) -> bool:
        """Keeps a sample of everything it ever heard."""
        if len(self._heard) < _KEPT:
            self._heard.append(data)
        elif self.chance.random() < 0.02:
            self._heard[self.chance.randrange(_KEPT)] = data
        return True

    def act(self) -> None:
        """A few old frames to everybody."""
        for _ in range(min(len(self._heard), 8)):
            self.tell(self.chance.choice(self._heard))


class Tamperer(Lying):
    """Changes a byte of some messages that it should pass on, and of the records in its answers."""

    name = "tamperer"

    def outgoing(self, host: Host, channel: Channel, data: bytes) -> Sequence[bytes]:
        """One frame in four is not what it was."""
        if self.chance.random() < 0.25 and len(data) > 1:
            frame = self.decode(data)
            if isinstance(frame, Envelope | Heartbeat | Vote | RecordAnswer | FinalityProof):
                place = self.chance.randrange(1, len(data))
                changed = bytes((data[place] ^ (1 << self.chance.randrange(8)),))
                return (data[:place] + changed + data[place + 1 :],)
        return (data,)


KINDS: Final[Mapping[str, type[Lying]]] = {
    kind.name: kind
    for kind in (
        Equivocator,
        DoubleVoter,
        Withholder,
        TimeLiar,
        Flooder,
        Forger,
        Replayer,
        Tamperer,
    )
}
"""Every kind of liar by its name."""


def drawn(world: World, host: Host, chance: random.Random) -> Lying:
    """A liar of some kind."""
    return KINDS[chance.choice(sorted(KINDS))](world, host, chance)
