"""What the vectors of the chapter *Roles and terms* compute, and the subnets that they are about.

Each function takes a case's input and returns its output or raises ``ProtocolError``; the generator and the
replay use the same ones, and what a case expects stands in its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from attrs import evolve, frozen

from tom_ref import codec, constants, records, term_codec, vrf
from tom_ref.admission import Admission, is_request
from tom_ref.crypto import Secret32, sha256
from tom_ref.draft import Roles, draft
from tom_ref.effects import Event, Report, SendFrame, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Address, Descriptor, Header, Kind, Receipt, Transport
from tom_ref.identity import Identity, make_prekey, sign_descriptor
from tom_ref.inputs import FrameReceived, JoinSubnet, LinkUp, Start
from tom_ref.invitation import check_invitation, invitation_from_text, invitation_to_text
from tom_ref.netclock import NetworkClock
from tom_ref.node import Node
from tom_ref.step import Step
from tom_ref.term import Surroundings, Term, own_heartbeat
from tom_ref.term_frames import (
    Ballot,
    BlockHeader,
    Child,
    Delivery,
    Evidence,
    FinalityProof,
    Genesis,
    Heartbeat,
    HeartbeatProof,
    Join,
    Leave,
    LeaveProof,
    Move,
    Proposal,
    RecordAnswer,
    TermFrame,
    TermRecord,
    Vote,
)
from tom_ref.timers import Timers
from tom_ref.timing import Timing
from tom_ref.validate import message_id, signed_header, signed_receipt

unhex = bytes.fromhex
Given = dict[str, Any]
T = TypeVar("T")

START: Final = 1_800_000_000_000
TIMING: Final = Timing()


# --- what is computed -----------------------------------------------------------------------------------


def _record(text: str) -> TermRecord:
    return term_codec.decode_record(unhex(text))


def _frame(kind: type[T], text: str) -> T:
    frame = codec.decode_frame(unhex(text))
    if not isinstance(frame, kind):
        raise ProtocolError(Reason.UNKNOWN_FRAME, "another frame was expected")
    return frame


def _number(value: int) -> int | str:
    """Integers of 2^53 and more are decimal strings."""
    return value if abs(value) < 2**53 else str(value)


def read_record(given: Given) -> Given:
    """A record's hash and fields."""
    record = _record(given["record"])
    return {
        "hash": records.record_hash(record).hex(),
        "subnet": record.subnet.hex(),
        "term": _number(record.term),
        "previous": record.previous.hex(),
        "start": record.start,
        "seed": record.seed.hex(),
        "proposer": record.proposer.hex(),
        "slot_ms": record.slot_ms,
        "term_ms": record.term_ms,
        "fork_ms": record.fork_ms,
        "relay_share": record.relay_share,
        "custody": record.custody,
        "pot": _number(record.pot),
        "roster": [
            {
                "node": member.node.hex(),
                "admitted": member.admitted,
                "absent": member.absent,
                "weight": member.weight,
                "next_weight": member.next_weight,
                "balance": _number(member.balance),
            }
            for member in record.roster
        ],
    }


def read_genesis(given: Given) -> Given:
    """Whether a first record holds; its id, hash and seed."""
    genesis = _frame(Genesis, given["genesis"])
    records.check_genesis(genesis, TIMING)
    return {
        "subnet": genesis.record.subnet.hex(),
        "alpha": records.genesis_alpha(genesis.record.subnet).hex(),
        "seed": genesis.record.seed.hex(),
        "hash": records.record_hash(genesis.record).hex(),
    }


def drafted(given: Given) -> Given:
    """The order of a draft."""
    weights = [(unhex(member["node"]), member["weight"]) for member in given["members"]]
    order = draft(unhex(given["seed"]), unhex(given["label"]), weights)
    return {"order": [node.hex() for node in order]}


def roles_of(given: Given) -> Given:
    """All roles of a record."""
    roles = Roles(_record(given["record"]))

    def names(nodes: Sequence[bytes]) -> list[str]:
        return [node.hex() for node in nodes]

    return {
        "pool": names([member.node for member in roles.pool]),
        "validators": names(roles.validators),
        "quorum": roles.quorum,
        "leaders": names(roles.leaders),
        "leader_of_slots": names([roles.leader(slot) for slot in (1, 2, 3, 2**32 - 1)]),
        "relays": names(roles.relays),
        "guardians": names(roles.guardians),
        "ring": names(roles.ring),
        "fork_founders": names([roles.fork_founder(attempt) for attempt in (1, 2, 2**32 - 1)]),
        "conversation_relays": names(roles.conversation_relays(bytes(32))),
    }


def duty(given: Given) -> Given:
    """A pair's duty list."""
    roles = Roles(_record(given["record"]))
    return {"duty": [node.hex() for node in roles.duty(unhex(given["first"]), unhex(given["second"]))]}


def seeded(given: Given) -> Given:
    """The next seed from a proposer's proof; raises ``bad_proof``."""
    alpha = records.seed_alpha(given["term"], unhex(given["seed"]))
    output = vrf.verify(unhex(given["vrf_key"]), alpha, unhex(given["proof"]))
    following = records.next_seed(given["term"] + 1, unhex(given["seed"]), output)
    return {"alpha": alpha.hex(), "output": output.hex(), "next_seed": following.hex()}


def signed(given: Given) -> Given:
    """Whether a signed frame of a present record holds, and what was signed."""
    frame = codec.decode_frame(unhex(given["frame"]))
    roles = Roles(_record(given["present"]))
    present = records.record_hash(roles.record)
    if isinstance(frame, Heartbeat):
        records.check_heartbeat(frame)
        what = records.signed_heartbeat(frame.subnet, frame.term, frame.record)
    elif isinstance(frame, Leave):
        records.check_leave(frame)
        what = records.signed_leave(frame.subnet, frame.term)
    elif isinstance(frame, Join):
        records.check_join(frame, roles)
        node = frame.descriptor
        what = records.signed_join(frame.subnet, frame.term, node.node_id, node.vrf_key)
    elif isinstance(frame, Move):
        records.check_move(frame, roles, present)
        what = records.signed_move(frame.subnet, frame.term, frame.record, frame.attempt, frame.founder)
    else:
        raise ProtocolError(Reason.UNKNOWN_FRAME, "no frame that a member signs alone")
    return {"signed": what.hex()}


def invited(given: Given) -> Given:
    """What an invitation's text says, if it holds."""
    invitation = invitation_from_text(given["text"])
    check_invitation(invitation, given["now"])
    return {
        "inviter": invitation.inviter.hex(),
        "subnet": invitation.subnet.hex(),
        "term": invitation.term,
        "record": invitation.record.hex(),
        "token": invitation.token.hex(),
        "expires_at": invitation.expires_at,
        "addresses": [
            {"transport": int(address.transport), "text": address.text} for address in invitation.addresses
        ],
        "small": invitation_to_text(invitation),
    }


def following(given: Given) -> Given:
    """The record that follows from evidence."""
    roles = Roles(_record(given["present"]))
    record = records.next_record(
        roles,
        records.record_hash(roles.record),
        term_codec.decode_evidence(unhex(given["evidence"])),
        slot=given["slot"],
        proposer=unhex(given["proposer"]),
        proof=unhex(given["proof"]),
    )
    return {"record": term_codec.encode_record(record).hex(), "hash": records.record_hash(record).hex()}


def finality(given: Given) -> Given:
    """Whether a proof makes a record the final successor of the present one."""
    roles = Roles(_record(given["present"]))
    proof = _frame(FinalityProof, given["proof"])
    records.check_finality(roles, records.record_hash(roles.record), proof)
    return {"hash": records.record_hash(proof.record).hex(), "term": proof.record.term}


def _term_of(given: Given, node: Identity, disk: bytes | None = None, *, abstain: bool = False) -> Term:
    evidence = term_codec.decode_evidence(unhex(given["evidence"])) if "evidence" in given else Evidence()
    heard = {unhex(one["node"]): one["at"] for one in given.get("heard", ())}
    return Term(
        _record(given["present"]),
        own_id=node.node_id,
        signing_key=node.signing_key,
        prove=lambda alpha: vrf.prove(node.vrf_secret, alpha),
        surroundings=Surroundings(lambda: evidence, heard.get),
        stored=disk,
        abstain=abstain,
    )


def judged(given: Given) -> Given:
    """A block or vote as an onlooker sees it, after those that it knows already."""
    term = _term_of(given, identity(99))
    for text in [*given["known"], given["frame"]]:
        frame = codec.decode_frame(unhex(text))
        if isinstance(frame, Proposal):
            output = term.on_proposal(frame, given["now"])
        elif isinstance(frame, Vote):
            output = term.on_vote(frame, given["now"])
        else:
            raise ProtocolError(Reason.UNKNOWN_FRAME, "neither block nor vote")
        if output.refused is not None:
            raise output.refused
    return {"tip": term.tree.tip.hex(), "height": term.tree.height, "final": term.final is not None}


def scripted(given: Given) -> Given:
    """What one member does, input by input."""
    node = Identity.from_secret(Secret32(unhex(given["secret"])))
    term = _term_of(given, node)
    disk: bytes | None = None
    did: list[Given] = []
    for step in given["steps"]:
        if step["what"] == "restart":
            term = _term_of(given, node, disk, abstain=step["abstain"])
            did.append({"sent": [], "refused": None, "final": None})
            continue
        frame = codec.decode_frame(unhex(step["frame"])) if step["what"] == "frame" else None
        if isinstance(frame, Proposal):
            output = term.on_proposal(frame, step["now"])
        elif isinstance(frame, Vote):
            output = term.on_vote(frame, step["now"])
        elif isinstance(frame, FinalityProof):
            output = term.on_finality(frame)
        else:
            output = term.tick(step["now"])
        disk = disk if output.persist is None else output.persist
        did.append(
            {
                "sent": [codec.encode_frame(sent).hex() for sent in output.frames],
                "refused": None if output.refused is None else output.refused.reason.value,
                "final": None if output.final is None else records.record_hash(output.final.record).hex(),
            }
        )
    return {"steps": did}


def caught_up(given: Given) -> Given:
    """Which record a member that slept holds after it heard these frames."""
    own = Identity.from_secret(Secret32(unhex(given["secret"])))
    node = Node(
        own,
        entropy=lambda purpose, size: (sha256(purpose.encode()) * (size // 32 + 1))[:size],
        now=given["now"],
        records=[(Table.RECORD, b"present", unhex(given["present"]))],
    )
    node.step(Start(), given["now"])
    for link, text in enumerate(given["neighbours"]):
        neighbour = codec.decode_descriptor(unhex(text))
        node.step(LinkUp(link, neighbour, initiated=False), given["now"])
    for heard in given["heard"]:
        node.step(FrameReceived(heard["link"], unhex(heard["frame"])), given["now"])
    record = node.home.record
    assert record is not None, "it held one"
    return {"present": records.record_hash(record).hex(), "term": record.term}


def answered(given: Given) -> Given:
    """What a member sends back to a neighbour's query."""
    own = Identity.from_secret(Secret32(unhex(given["secret"])))
    node = Node(
        own,
        entropy=lambda purpose, size: (sha256(purpose.encode()) * (size // 32 + 1))[:size],
        now=given["now"],
        records=[
            (Table.RECORD, key, unhex(given[name]))
            for key, name in ((b"present", "present"), (b"previous", "previous"), (b"proof", "proof"))
        ],
    )
    node.step(Start(), given["now"])
    neighbour = codec.decode_descriptor(unhex(given["neighbour"]))
    node.step(LinkUp(1, neighbour, initiated=False), given["now"])
    effects = node.step(FrameReceived(1, unhex(given["query"])), given["now"] + 2_000)
    return {"answers": [effect.data.hex() for effect in effects if isinstance(effect, SendFrame)]}


def fathered(given: Given) -> Given:
    """Whether a child's genesis follows from the moves that it rests on."""
    child = _frame(Child, given["child"])
    attempt = records.check_child(child, TIMING)
    return {
        "attempt": attempt,
        "founder": child.record.proposer.hex(),
        "subnet": child.record.subnet.hex(),
        "seed": child.record.seed.hex(),
        "hash": records.record_hash(child.record).hex(),
    }


def sponsored(given: Given) -> Given:
    """What a member makes of joins, one after the other: the last one counts."""
    node = Identity.from_secret(Secret32(unhex(given["secret"])))
    roles = Roles(_record(given["present"]))
    tokens = iter([unhex(token) for token in given["tokens"]])
    admission = Admission(node.node_id, node.signing_key, lambda *_: next(tokens), Timers())
    for _ in given["tokens"]:
        admission.invite(Step(START), roles.record, (address("192.0.2.1:7700"),), START + 3_600_000)
    made = None
    for text in given["joins"]:
        join_frame = _frame(Join, text)
        if is_request(join_frame):
            made = admission.sponsor(join_frame, roles, former=given["former"])
        else:
            made = join_frame if admission.take(join_frame, roles) else None
    return {"passed_on": None if made is None else codec.encode_frame(made).hex()}


def followed(given: Given) -> Given:
    """What a newcomer with an invitation makes of an answer that came over a link."""
    own = Identity.from_secret(Secret32(unhex(given["secret"])))
    node = _node(own, given)
    invitation = invitation_from_text(given["invitation"])
    node.step(JoinSubnet(invitation), given["now"])
    answerer = codec.decode_descriptor(unhex(given["neighbour"]))
    node.step(LinkUp(1, answerer, initiated=True), given["now"])
    effects = node.step(FrameReceived(1, unhex(given["answer"])), given["now"])
    refused = [
        effect.detail.partition(":")[0]
        for effect in effects
        if isinstance(effect, Report) and effect.event is Event.REFUSED
    ]
    if refused:
        raise ProtocolError(Reason(refused[0]), "the answer")
    return {"standing": node.home.standing.value}


def _node(own: Identity, given: Given, rows: Sequence[tuple[bytes, str]] = ()) -> Node:
    node = Node(
        own,
        entropy=lambda purpose, size: (sha256(purpose.encode()) * (size // 32 + 1))[:size],
        now=given["now"],
        records=[(Table.RECORD, key, unhex(given[name])) for key, name in rows],
    )
    node.step(Start(), given["now"])
    return node


def clocked(given: Given) -> Given:
    """What a node adds to its clock after these measurements."""
    clock = NetworkClock(given["eps"])
    for measured in given["measured"]:
        if measured["round_trip"] is None:
            clock.forget(measured["link"])
        else:
            peer = measured["neighbour"].to_bytes(32, "big")
            clock.measure(measured["link"], peer, measured["offset"], measured["round_trip"])
    return {"offset": clock.offset, "off": clock.off}


def routed(given: Given) -> Given:
    """Why a relay earns nothing for a message, if so."""
    own = Identity.from_secret(Secret32(unhex(given["secret"])))
    node = _node(own, given, ((b"present", "present"), (b"previous", "previous")))
    header = codec.decode_header(unhex(given["header"]))
    fault = node.home.route_fault(header, unhex(given["relay"]))
    return {"fault": None if fault is None else fault.value}


def passed_on(given: Given) -> Given:
    """To which links a member passes a frame on that came over link 0, told twice."""
    own = Identity.from_secret(Secret32(unhex(given["secret"])))
    node = _node(own, given, ((b"present", "present"),))
    for link, text in enumerate(given["neighbours"]):
        node.step(LinkUp(link, codec.decode_descriptor(unhex(text)), initiated=False), given["now"])
    told = []
    for _ in range(2):
        effects = node.step(FrameReceived(0, unhex(given["frame"])), given["now"])
        told.append(
            [
                effect.link
                for effect in effects
                if isinstance(effect, SendFrame) and effect.data == unhex(given["frame"])
            ]
        )
        refused = [
            effect.detail.partition(":")[0]
            for effect in effects
            if isinstance(effect, Report) and effect.event is Event.REFUSED
        ]
        if refused:
            raise ProtocolError(Reason(refused[0]), "gossip")
    return {"first": told[0], "again": told[1]}


# --- subnets to compute with ----------------------------------------------------------------------------


def identity(number: int) -> Identity:
    """A node's keys; its secret is the SHA-256 of ``ToM vector node`` and the number."""
    return Identity.from_secret(Secret32(secret(number)))


def secret(number: int) -> bytes:
    """A node's one secret."""
    return sha256(b"ToM vector node %d" % number)


def descriptor(node: Identity) -> Descriptor:
    """A node's descriptor at the beginning of the vectors' time."""
    prekey = make_prekey(1, Secret32(sha256(b"prekey" + node.node_id)), START)
    return sign_descriptor(node, prekey, created_at=START, addresses=())


@frozen
class Subnet:
    """Nodes in the order of the roster, and their first record."""

    numbers: list[int]
    nodes: list[Identity]
    genesis: Genesis

    @property
    def record(self) -> TermRecord:
        """The first record."""
        return self.genesis.record

    @property
    def present(self) -> bytes:
        """Its hash."""
        return records.record_hash(self.record)

    @property
    def roles(self) -> Roles:
        """Its roles."""
        return Roles(self.record)

    def leader(self, slot: int) -> Identity:
        """Who leads a slot."""
        return next(node for node in self.nodes if node.node_id == self.roles.leader(slot))

    def secret_of(self, node: Identity) -> str:
        """A member's secret, in hex."""
        return secret(self.numbers[self.nodes.index(node)]).hex()


def founded(count: int, nonce: bytes = bytes(32)) -> Subnet:
    """A subnet of nodes 0 to ``count`` - 1."""
    pairs = sorted(((number, identity(number)) for number in range(count)), key=lambda one: one[1].node_id)
    nodes = [node for _, node in pairs]
    subnet = records.founded_subnet([node.node_id for node in nodes], nonce)
    proofs = [vrf.prove(node.vrf_secret, records.genesis_alpha(subnet)) for node in nodes]
    record = records.genesis_record(
        {node.node_id: node.vrf_key for node in nodes},
        nonce,
        {node.node_id: vrf.proof_to_hash(proof) for node, proof in zip(nodes, proofs, strict=True)},
        START,
        TIMING,
    )
    what = records.signed_genesis(record)
    genesis = Genesis(record, nonce, tuple(proofs), tuple(node.signing_key.sign(what) for node in nodes))
    return Subnet([number for number, _ in pairs], nodes, genesis)


def heartbeat_proofs(nodes: Sequence[Identity], record: TermRecord) -> tuple[HeartbeatProof, ...]:
    """Heartbeats as evidence."""
    roles, present = Roles(record), records.record_hash(record)
    beats = [(node, own_heartbeat(record, present, node.node_id, node.signing_key)) for node in nodes]
    return tuple(
        HeartbeatProof(index, signature)
        for index, signature in sorted((roles.index[node.node_id], beat.signature) for node, beat in beats)
    )


def leave_proof(node: Identity, record: TermRecord) -> LeaveProof:
    """A leave as evidence."""
    what = records.signed_leave(record.subnet, record.term)
    return LeaveProof(Roles(record).index[node.node_id], node.signing_key.sign(what))


def join(newcomer: Identity, sponsor: Identity, record: TermRecord) -> Join:
    """A join with its work and its sponsor's word."""
    nonce = records.find_join_work(record.subnet, record.term, newcomer.node_id)
    what = records.signed_join(record.subnet, record.term, newcomer.node_id, newcomer.vrf_key)
    signature = sponsor.signing_key.sign(what)
    return Join(record.subnet, record.term, descriptor(newcomer), nonce, sponsor.node_id, signature)


def delivery(
    sender: Identity, recipient: Identity, relay: bytes, record: TermRecord, text: bytes
) -> Delivery:
    """A delivered message as evidence."""
    header = Header(
        Kind.MESSAGE,
        record.subnet,
        record.term,
        sender.node_id,
        recipient.node_id,
        record.start,
        60_000,
        constants.MAX_HOPS,
        (),
        len(text),
        sha256(text),
    )
    data = codec.encode_header(header)
    receipt = Receipt(
        message_id(data),
        record.subnet,
        record.term,
        sender.node_id,
        recipient.node_id,
        relay,
        header.created_at,
        header.ttl,
        header.created_at + 50,
    )
    receipt = evolve(receipt, signature=recipient.signing_key.sign(signed_receipt(receipt)))
    return Delivery(data, sender.signing_key.sign(signed_header(data)), receipt)


def vote(node: Identity, header: BlockHeader, **changes: Any) -> Vote:
    """A vote, signed as it should be unless it is changed before."""
    block = records.block_hash(header)
    made = Vote(header.subnet, header.term, header.present, header.slot, block, node.node_id, bytes(64))
    made = evolve(made, **changes)
    what = records.signed_vote(made.subnet, made.term, made.present, made.slot, made.block)
    return evolve(made, signature=node.signing_key.sign(what))


def certificate(subnet: Subnet, header: BlockHeader, voters: Sequence[Identity]) -> tuple[Ballot, ...]:
    """Votes for a block, ascending by index."""
    ballots = sorted((subnet.roles.index[node.node_id], vote(node, header).signature) for node in voters)
    return tuple(Ballot(index, signature) for index, signature in ballots)


def first_block(subnet: Subnet, slot: int, evidence: Evidence) -> Proposal:
    """What the leader of a slot proposes first."""
    term = _term_of(
        {
            "present": term_codec.encode_record(subnet.record).hex(),
            "evidence": term_codec.encode_evidence(evidence).hex(),
        },
        subnet.leader(slot),
    )
    [found] = [frame for frame in term.tick(at(slot)).frames if isinstance(frame, Proposal)]
    return found


def signed_block(subnet: Subnet, header: BlockHeader, proposal: Proposal) -> Proposal:
    """A proposal with another header, signed by its slot's leader."""
    signature = subnet.leader(header.slot).signing_key.sign(records.signed_block(header))
    return evolve(proposal, header=header, signature=signature)


def later_block(subnet: Subnet, slot: int, parent: BlockHeader, voters: Sequence[Identity]) -> Proposal:
    """A confirming block with these votes for its parent."""
    block = records.block_hash(parent)
    header = evolve(parent, slot=slot, parent=block, record=bytes(32), evidence=bytes(32))
    signature = subnet.leader(slot).signing_key.sign(records.signed_block(header))
    return Proposal(header, signature, certificate(subnet, parent, voters))


def at(slot: int, into: int = 10) -> int:
    """A time within a slot of the vectors' subnets."""
    return START + slot * constants.SLOT + into


def frame(made: TermFrame | RecordAnswer) -> str:
    """A frame in hex."""
    return codec.encode_frame(made).hex()


def address(text: str) -> Address:
    """An address over TCP."""
    return Address(Transport.TCP, text)
