"""Subnets for tests: identities from small numbers, a genesis signed by all of them."""

from __future__ import annotations

from attrs import frozen

from tom_ref import records, vrf
from tom_ref.crypto import Secret32, sha256
from tom_ref.frames import Descriptor
from tom_ref.identity import Identity, make_prekey, sign_descriptor
from tom_ref.term_frames import Genesis, Join, TermRecord
from tom_ref.timing import Timing

START = 1_700_000_000_000
"""ms: when the subnets of the tests begin."""

FAST = Timing.fast(300)


def identity(number: int) -> Identity:
    """A node's keys; the same number always gives the same node."""
    return Identity.from_secret(Secret32(sha256(b"ToM test node %d" % number)))


def identities(count: int, first: int = 0) -> list[Identity]:
    """Some nodes, ascending by their ids as rosters are."""
    return sorted((identity(first + number) for number in range(count)), key=lambda node: node.node_id)


@frozen
class Founded:
    """A founded subnet: its nodes in the order of the roster."""

    nodes: list[Identity]
    genesis: Genesis

    @property
    def record(self) -> TermRecord:
        """The first record."""
        return self.genesis.record


def founded(count: int, timing: Timing = FAST, *, start: int = START, nonce: bytes = bytes(32)) -> Founded:
    """A subnet of ``count`` founders."""
    nodes = identities(count)
    subnet = records.founded_subnet([node.node_id for node in nodes], nonce)
    alpha = records.genesis_alpha(subnet)
    proofs = [vrf.prove(node.vrf_secret, alpha) for node in nodes]
    record = records.genesis_record(
        {node.node_id: node.vrf_key for node in nodes},
        nonce,
        {node.node_id: vrf.proof_to_hash(proof) for node, proof in zip(nodes, proofs, strict=True)},
        start,
        timing,
    )
    signed = records.signed_genesis(record)
    signatures = tuple(node.signing_key.sign(signed) for node in nodes)
    return Founded(nodes, Genesis(record, nonce, tuple(proofs), signatures))


def descriptor(node: Identity, now: int = START) -> Descriptor:
    """A node's descriptor, valid at ``now``."""
    prekey = make_prekey(1, Secret32(sha256(b"prekey" + node.node_id)), now)
    return sign_descriptor(node, prekey, created_at=now, addresses=())


def joined(record: TermRecord, newcomer: Identity, sponsor: Identity) -> Join:
    """A join with its work done and its sponsor's signature."""
    nonce = records.find_join_work(record.subnet, record.term, newcomer.node_id)
    signed = records.signed_join(record.subnet, record.term, newcomer.node_id, newcomer.vrf_key)
    return Join(
        record.subnet,
        record.term,
        descriptor(newcomer),
        nonce,
        sponsor.node_id,
        sponsor.signing_key.sign(signed),
    )
