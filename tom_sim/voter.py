"""The smallest node that takes part in terms: for campaigns on agreement alone, without messages.

It runs the real :class:`tom_ref.term.Term` on real records and real frames, with heartbeats, gossip, proofs
of finality and catching up; it has no sessions, no admissions and no forks.  Many seeds of it cost what one
of the whole :class:`tom_ref.node.Node` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tom_ref import codec, records, term_codec, vrf
from tom_ref.constants import KEY_BYTES
from tom_ref.crypto import Secret32, sha256
from tom_ref.draft import tolerated
from tom_ref.effects import Change, Dial, Effect, Event, Persist, Report, SendFrame, Table
from tom_ref.errors import ProtocolError
from tom_ref.frames import Address, Descriptor, Transport
from tom_ref.identity import Identity, make_prekey, sign_descriptor
from tom_ref.inputs import DialFailed, FrameReceived, Input, LinkDown, LinkUp, Start
from tom_ref.term import Surroundings, Term, TermOutput, own_heartbeat
from tom_ref.term_frames import (
    Evidence,
    FinalityProof,
    Heartbeat,
    HeartbeatProof,
    Proposal,
    RecordAnswer,
    RecordQuery,
    TermFrame,
    TermRecord,
    Vote,
)
from tom_sim.view import View, view_of_term

_PRESENT: Final = b"present"
_SEEN: Final = 4_096
_EARLY: Final = 256
_REDIAL: Final = 15_000
_ASK: Final = 20_000


class Voter:
    """A member of one subnet; ``neighbours`` are the ids and addresses of those it links to."""

    def __init__(
        self,
        identity: Identity,
        *,
        now: int,
        stored: Iterable[tuple[Table, bytes, bytes]],
        genesis: TermRecord,
        neighbours: Iterable[tuple[bytes, Address]],
        address: str,
    ) -> None:
        self.identity = identity
        self._neighbours = dict(neighbours)
        self._links: dict[int, bytes] = {}
        self._seen: dict[bytes, None] = {}
        self._redial_at: int | None = None
        self._ask_at = now
        self._again_at: int | None = None
        prekey = make_prekey(1, Secret32(sha256(b"prekey" + identity.node_id)), now)
        self._descriptor = sign_descriptor(
            identity, prekey, created_at=now, addresses=(Address(Transport.MEMORY, address),)
        )
        self._changes: list[Change] = []
        self._effects: list[Effect] = []
        self._early: dict[bytes, dict[bytes, Heartbeat]] = {}
        self._proof: FinalityProof | None = None
        self._proof_data: bytes | None = None
        self._previous: TermRecord | None = None
        self._now = now
        self._deadline: int | None = now
        record, term = genesis, None
        for table, key, value in stored:
            if table is Table.RECORD and key == _PRESENT:
                record = term_codec.decode_record(value)
            elif table is Table.TERM:
                term = value
        self._present(record, term)

    def _present(self, record: TermRecord, stored: bytes | None = None) -> None:
        self._arrived: dict[bytes, int] = {}
        self._heartbeats: dict[bytes, Heartbeat] = {}
        self._again_at = record.start
        self.term = Term(
            record,
            own_id=self.identity.node_id,
            signing_key=self.identity.signing_key,
            prove=lambda alpha: vrf.prove(self.identity.vrf_secret, alpha),
            surroundings=Surroundings(self._evidence, self._arrived.get),
            stored=stored,
        )
        for heartbeat in self._early.pop(self.term.present, {}).values():
            self._keep(heartbeat)
        self._early.clear()

    # --- what a world reads -------------------------------------------------------------------------------

    @property
    def descriptor(self) -> Descriptor:
        """Its own descriptor."""
        return self._descriptor

    @property
    def next_handle(self) -> int:
        """It sends no messages."""
        return 0

    @property
    def present(self) -> bytes:
        """Hash of the present record."""
        return self.term.present

    def view(self) -> View:
        """What it holds."""
        return view_of_term(self.term)

    def next_deadline(self) -> int | None:
        """When to wake it."""
        return self._deadline

    def _next_deadline(self) -> int | None:
        times = [self.term.next_deadline(self._now), self._redial_at, self._again_at]
        return min((time for time in times if time is not None), default=None)

    # --- one step -----------------------------------------------------------------------------------------

    def step(self, what: Input, now: int) -> tuple[Effect, ...]:
        """Take one input at ``now`` ms."""
        self._now = now = max(now, self._now)
        if type(what) is FrameReceived and (self._deadline is None or now < self._deadline):
            # Most frames come over several links: what was seen changes nothing while nothing is due.
            key = sha256(what.data)
            if key in self._seen:
                return ()
        self._changes, self._effects = [], []
        match what:
            case FrameReceived():
                self._received(what.link, what.data)
            case LinkUp():
                self._linked(what.link, what.descriptor.node_id)
            case LinkDown():
                self._links.pop(what.link, None)
                self._redial_at = self._redial_at or now + _REDIAL
            case DialFailed():
                self._redial_at = self._redial_at or now + _REDIAL
            case Start():
                self._dial()
                self._say(self._own_heartbeat())
            case _:
                pass
        self._timers(now)
        self._deadline = self._next_deadline()
        if self._changes:
            return (Persist(tuple(self._changes)), *self._effects)
        return tuple(self._effects)

    def _timers(self, now: int) -> None:
        if self._redial_at is not None and now >= self._redial_at:
            self._redial_at = None
            self._dial()
        if self._again_at is not None and now >= self._again_at:
            self._again_at = None
            self._say(self._own_heartbeat())
        deadline = self.term.next_deadline(now)
        if deadline is not None and self.term.slot(now) > self.term._seen_slot:  # noqa: SLF001
            self._carry(self.term.tick(now))
            if self.term.slot(now) >= 3 and now >= self._ask_at:
                self._ask_at = now + _ASK
                self._say(RecordQuery(self.term.record.subnet, self.term.record.term))

    def _dial(self) -> None:
        linked = set(self._links.values())
        for node, address in self._neighbours.items():
            if node not in linked:
                self._effects.append(Dial(node, (address,)))

    def _linked(self, link: int, peer: bytes) -> None:
        self._links[link] = peer
        greeting: list[TermFrame] = [
            RecordQuery(self.term.record.subnet, self.term.record.term),
            *self._heartbeats.values(),
            *self.term.frames(),
        ]
        if self._proof is not None:
            greeting.insert(0, self._proof)
        for frame in greeting:
            self._effects.append(SendFrame(link, codec.encode_frame(frame)))

    def _say(self, frame: TermFrame, data: bytes | None = None, *, but: int = 0) -> None:
        data = codec.encode_frame(frame) if data is None else data
        self._remember(data)
        for link in self._links:
            if link != but:
                self._effects.append(SendFrame(link, data))

    def _remember(self, data: bytes) -> bool:
        key = sha256(data)
        if key in self._seen:
            return False
        if len(self._seen) >= _SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None
        return True

    # --- frames -------------------------------------------------------------------------------------------

    def _received(self, link: int, data: bytes) -> None:
        if not self._remember(data):
            return
        try:
            frame = codec.decode_frame(data)
        except ProtocolError as error:
            self._refused(link, error)
            return
        match frame:
            case Proposal():
                self._judged(link, frame, data, self.term.on_proposal(frame, self._now))
            case Vote():
                self._judged(link, frame, data, self.term.on_vote(frame, self._now))
            case FinalityProof():
                self._judged(link, frame, data, self.term.on_finality(frame))
            case Heartbeat():
                self._heard(link, frame, data)
            case RecordQuery():
                self._seen.pop(sha256(data), None)
                self._answer(link, frame)
            case RecordAnswer():
                self._catch_up(frame)
            case _:
                pass

    def _refused(self, link: int, error: ProtocolError) -> None:
        peer = self._links.get(link, bytes(KEY_BYTES))
        self._effects.append(Report(Event.REFUSED, peer, None, str(error)))

    def _judged(self, link: int, frame: TermFrame, data: bytes, output: TermOutput) -> None:
        if output.refused is not None:
            self._refused(link, output.refused)
            self._seen.pop(sha256(data), None)
            # A proof for the record that this node holds, with other votes in it, is no news and no question:
            # two nodes that answered each other's proofs with their own would never stop.
            term = _term_of(frame)
            if term is not None and term < self.term.record.term:
                self._answer(link, RecordQuery(self.term.record.subnet, term))
            return
        if output.fresh:
            self._say(frame, data, but=link)
        self._carry(output)

    def _carry(self, output: TermOutput) -> None:
        if output.persist is not None:
            self._changes.append(Change(Table.TERM, _PRESENT, output.persist))
        for frame in output.frames:
            self._say(frame)
        if output.final is not None:
            self._proof, self._proof_data = output.final, None
            self._say(output.final)
            self._take(output.final.record)

    def _take(self, record: TermRecord) -> None:
        """Make a record present, on disk first."""
        self._previous = self.term.record
        self._changes = [
            Change(Table.RECORD, _PRESENT, term_codec.encode_record(record)),
            Change(Table.TERM, _PRESENT, None),
        ]
        self._present(record)
        self._say(self._own_heartbeat())

    # --- presence and catching up -------------------------------------------------------------------------

    def _own_heartbeat(self) -> Heartbeat:
        heartbeat = own_heartbeat(
            self.term.record, self.term.present, self.identity.node_id, self.identity.signing_key
        )
        self._keep(heartbeat)
        return heartbeat

    def _keep(self, heartbeat: Heartbeat) -> bool:
        if heartbeat.node in self._heartbeats or heartbeat.node not in self.term.roles.members:
            return False
        self._heartbeats[heartbeat.node] = heartbeat
        self._arrived[heartbeat.node] = self._now
        return True

    def _heard(self, link: int, heartbeat: Heartbeat, data: bytes) -> None:
        record = self.term.record
        if heartbeat.subnet != record.subnet:
            return
        if heartbeat.term < record.term:
            self._answer(link, RecordQuery(record.subnet, heartbeat.term))
            return
        if heartbeat.term > record.term + 1 or heartbeat.node not in self.term.roles.members:
            return
        try:
            records.check_heartbeat(heartbeat)
        except ProtocolError as error:
            self._refused(link, error)
            return
        if heartbeat.record == self.term.present:
            if self._keep(heartbeat):
                self._say(heartbeat, data, but=link)
        elif heartbeat.term == record.term + 1:
            # It comes from a member that has the next record already; this one may have it in a moment.
            held = self._early.setdefault(heartbeat.record, {})
            if sum(map(len, self._early.values())) < _EARLY and heartbeat.node not in held:
                held[heartbeat.node] = heartbeat
                self._say(heartbeat, data, but=link)

    def _evidence(self) -> Evidence:
        index = self.term.roles.index
        proofs = [HeartbeatProof(index[node], held.signature) for node, held in self._heartbeats.items()]
        return Evidence(heartbeats=tuple(sorted(proofs, key=lambda proof: proof.index)))

    def _answer(self, link: int, query: RecordQuery) -> None:
        record = self.term.record
        if query.subnet != record.subnet or query.term >= record.term:
            return
        if self._proof is not None and query.term == record.term - 1:
            if self._proof_data is None:
                self._proof_data = codec.encode_frame(self._proof)
            data = self._proof_data
        else:
            heartbeats = tuple(sorted(self._heartbeats.values(), key=lambda heartbeat: heartbeat.node))
            data = codec.encode_frame(RecordAnswer(record, self._previous, heartbeats))
        self._effects.append(SendFrame(link, data))

    def _catch_up(self, answer: RecordAnswer) -> None:
        """Adopt a later record for which enough of the validators that it knew vouch (TOM-ROLES-059)."""
        own, later = self.term.record, answer.present
        if later.subnet != own.subnet or later.term <= own.term:
            return
        named = records.record_hash(later)
        vouching = set()
        for heartbeat in answer.heartbeats:
            if (heartbeat.subnet, heartbeat.term, heartbeat.record) != (later.subnet, later.term, named):
                continue
            try:
                records.check_heartbeat(heartbeat)
            except ProtocolError:
                continue
            vouching.add(heartbeat.node)
        known = self.term.roles.validators
        if len(vouching.intersection(known)) <= tolerated(len(known)):
            return
        self._proof = self._proof_data = None
        self._take(later)
        self._previous = answer.previous


def _term_of(frame: TermFrame) -> int | None:
    """The term in which the maker of a frame seems to be."""
    match frame:
        case FinalityProof():
            return frame.record.term
        case Proposal():
            return frame.header.term
        case Vote():
            return frame.term
        case _:
            return None
