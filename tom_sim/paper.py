"""A subnet on paper: real records from real evidence, without nodes and links.

Members sign heartbeats, headers, receipts and reports with their keys; :func:`tom_ref.records.next_record`
verifies all of it and computes the next record, as every validator does.  So what an attacker gains from term
to term is computed by the code that runs, at a small part of the cost of whole nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import evolve

from tom_ref import codec, records, vrf
from tom_ref.crypto import Secret32, sha256
from tom_ref.draft import Roles
from tom_ref.frames import Header, Kind, Receipt
from tom_ref.identity import Identity
from tom_ref.term_frames import (
    Counts,
    Delivery,
    Evidence,
    HeartbeatProof,
    TermRecord,
    VitalsProof,
)
from tom_ref.timing import Timing
from tom_ref.validate import message_id, signed_header, signed_receipt
from tom_sim.clocks import BEGIN
from tom_sim.promises import Promises
from tom_sim.streams import Streams

SLOT: Final = 1
"""Records become final with the block of this slot."""


class Paper:
    """A subnet of ``members`` founders, whose records follow one another as fast as they are computed."""

    def __init__(self, streams: Streams, members: int, timing: Timing | None = None) -> None:
        timing = Timing() if timing is None else timing
        secrets = (Secret32(streams.key("secret", number)) for number in range(members))
        self.nodes: Final = sorted(map(Identity.from_secret, secrets), key=lambda node: node.node_id)
        """Ascending by NodeId, as rosters are."""
        nonce = streams.key("nonce")
        subnet = records.founded_subnet([node.node_id for node in self.nodes], nonce)
        alpha = records.genesis_alpha(subnet)
        outputs = {node.node_id: vrf.proof_to_hash(vrf.prove(node.vrf_secret, alpha)) for node in self.nodes}
        keys = {node.node_id: node.vrf_key for node in self.nodes}
        self.record: TermRecord = records.genesis_record(keys, nonce, outputs, BEGIN, timing)
        self._by_id: Final = {node.node_id: node for node in self.nodes}
        self._promises: Final = Promises()
        self._count = 0

    @property
    def roles(self) -> Roles:
        """The roles of the present record."""
        return Roles(self.record)

    def balance(self, node: Identity) -> int:
        """Of a member, in bytes."""
        member = self.record.member(node.node_id)
        assert member is not None
        return member.balance

    def weight(self, node: Identity) -> int:
        """How often a member counts in the draft of relays."""
        member = self.record.member(node.node_id)
        assert member is not None
        return 1 << member.weight

    def delivery(self, sender: Identity, recipient: Identity, relay: bytes, size: int) -> Delivery:
        """The evidence that ``size`` bytes were delivered over ``relay``, whether they were or not."""
        self._count += 1
        header = Header(
            Kind.MESSAGE,
            self.record.subnet,
            self.record.term,
            sender.node_id,
            recipient.node_id,
            BEGIN + self._count,
            60_000,
            32,
            (),
            size,
            sha256(b"%d" % self._count),
        )
        data = codec.encode_header(header)
        receipt = Receipt(
            message_id(data),
            header.subnet,
            header.term,
            header.sender,
            header.recipient,
            relay,
            header.created_at,
            header.ttl,
            header.created_at + 100,
        )
        receipt = evolve(receipt, signature=recipient.signing_key.sign(signed_receipt(receipt)))
        return Delivery(data, sender.signing_key.sign(signed_header(data)), receipt)

    def next_term(
        self,
        deliveries: Iterable[Delivery] = (),
        *,
        absent: frozenset[bytes] = frozenset(),
        reports: Mapping[bytes, Counts] | None = None,
        proposer: bytes | None = None,
    ) -> TermRecord:
        """End the term with this evidence; every promise that a record keeps alone is checked."""
        record, roles = self.record, self.roles
        present = records.record_hash(record)
        signed = records.signed_heartbeat(record.subnet, record.term, present)
        index = roles.index
        there = [node for node in self.nodes if node.node_id in index and node.node_id not in absent]
        beats = [HeartbeatProof(index[node.node_id], node.signing_key.sign(signed)) for node in there]
        said = [self._report(present, node, counts) for node, counts in sorted((reports or {}).items())]
        leader = self._by_id[proposer or next(node for node in roles.leaders if node not in absent)]
        evidence = Evidence(
            heartbeats=tuple(beats),
            deliveries=tuple(sorted(deliveries, key=lambda one: one.receipt.message_id)),
            reports=tuple(said),
        )
        self.record = records.next_record(
            roles,
            present,
            evidence,
            slot=SLOT,
            proposer=leader.node_id,
            proof=vrf.prove(leader.vrf_secret, records.seed_alpha(record.term, record.seed)),
        )
        self._promises.check_record(self.record, records.record_hash(self.record))
        return self.record

    def _report(self, present: bytes, node: bytes, counts: Counts) -> VitalsProof:
        record = self.record
        signed = records.signed_report(record.subnet, record.term, present, counts)
        return VitalsProof(self.roles.index[node], counts, self._by_id[node].signing_key.sign(signed))

    def on_duty(self, sender: Identity, recipient: Identity) -> tuple[bytes, ...]:
        """The relays of a pair whose deliveries count."""
        return self.roles.duty(sender.node_id, recipient.node_id)[:3]
