"""The chapter *Purge*, rule by rule, on real nodes of a subnet: custody, receipts as tombstones, erasure."""

from __future__ import annotations

from collections.abc import Iterable

from tests.homes import FAST, Homes
from tom_ref import codec, records, vrf
from tom_ref.effects import Deliver, DeliveryState, Progress, SendFrame, Table
from tom_ref.inputs import (
    Acknowledge,
    Begin,
)
from tom_ref.term_frames import Genesis

S = DeliveryState
TTL = 30_000
NAMES = "ABCDE"


def home(*names: str) -> Homes:
    """A subnet whose members all hold roles and are linked to each other."""
    names = names or tuple(NAMES)
    net = Homes(*names)
    genesis = signed_genesis(net, names)
    for name in names:
        net.do(name, Begin(genesis))
    for one in names:
        for other in names:
            if one < other and other not in net[one].links:
                net.connect(one, other)
    net.run()
    return net


def signed_genesis(net: Homes, names: Iterable[str]) -> Genesis:
    """A first record that these nodes signed: founders hold roles at once."""
    nodes = sorted((net[name].identity for name in names), key=lambda node: node.node_id)
    nonce = bytes(32)
    subnet = records.founded_subnet([node.node_id for node in nodes], nonce)
    proofs = [vrf.prove(node.vrf_secret, records.genesis_alpha(subnet)) for node in nodes]
    record = records.genesis_record(
        {node.node_id: node.vrf_key for node in nodes},
        nonce,
        {node.node_id: vrf.proof_to_hash(proof) for node, proof in zip(nodes, proofs, strict=True)},
        net.now,
        FAST,
    )
    signatures = tuple(node.signing_key.sign(records.signed_genesis(record)) for node in nodes)
    return Genesis(record, nonce, tuple(proofs), signatures)


def name_of(net: Homes, node: bytes) -> str:
    """Who that is."""
    return next(name for name, peer in net.peers.items() if peer.id == node)


def ranks(net: Homes, sender: str, recipient: str) -> list[str]:
    """The duty of a pair by the sender's present record."""
    roles = net[sender].node.home.roles
    assert roles is not None
    return [name_of(net, node) for node in roles.duty(net[sender].id, net[recipient].id)]


def absent(net: Homes, sender: str = "A", recipient: str = "B", *, ttl: int = TTL) -> tuple[bytes, list[str]]:
    """Send a message to somebody who is away; returns its id and the ranks it was sent by."""
    net.send(sender, recipient, b"meet first", ttl=ttl)  # Descriptors and a session.
    if recipient not in net.dead:
        net.stop(recipient)
    order = ranks(net, sender, recipient)
    net.send(sender, recipient, b"while away", ttl=ttl)
    net.run()
    [message] = {message for _, message in copies(net, *net.peers) if message != b""} or {b""}
    return message, order


def copies(net: Homes, *names: str) -> list[tuple[str, bytes]]:
    """Who has which message in custody."""
    return [(name, key) for name in names for table, key in sorted(net[name].disk) if table is Table.CUSTODY]


def custodians(net: Homes, message: bytes) -> set[str]:
    """Who keeps a copy of a message."""
    return {name for name in net.peers if name not in net.dead and (Table.CUSTODY, message) in net[name].disk}


def traces(net: Homes, names: Iterable[str], *needles: bytes) -> list[tuple[str, Table]]:
    """Where on the disks of these nodes any of the needles stands."""
    return [
        (name, table)
        for name in names
        for (table, key), value in net[name].disk.items()
        for needle in needles
        if needle in key or needle in value
    ]


def test_an_absent_recipients_message_waits_with_the_first_ranks_and_is_shown_once() -> None:
    """TOM-PURGE-014, 016, 017, 021, 024, 027: kept by ranks 1 and 2, collected on return, receipted."""
    net = home()
    message, order = absent(net)
    assert custodians(net, message) == set(order[:2])
    progress = [p for p in net["A"].of(Progress) if p.message_id == message]
    assert [p.state for p in progress] == [S.SENT, S.RELAYED]
    net.start("B")
    net.pass_time(3_000)
    assert net.shown("B") == [b"meet first", b"while away"]
    assert [p.state for p in net["A"].of(Progress) if p.message_id == message][-1] is S.DELIVERED
    assert copies(net, *NAMES) == []
    holders = {name for name in NAMES if (Table.TOMBSTONE, message) in net[name].disk}
    assert holders == {"A", *order[:2]}


def test_the_message_arrives_though_sender_and_first_custodian_are_gone_for_good() -> None:
    """TOM-PURGE-017, 018, 021, 034, 035: done-when of the chapter; then no living store has a trace of it."""
    net = home()
    message, order = absent(net)
    payload = sent_payload(net, "A")
    net.stop("A")
    net.stop(order[0])
    net.pass_time(2_000)
    net.start("B")
    net.pass_time(4_000)
    assert net.shown("B").count(b"while away") == 1
    for delivered in net["B"].of(Deliver):
        if (Table.INBOX, delivered.message_id) in net["B"].disk:
            net.do("B", Acknowledge(delivered.message_id))
    net.pass_time(TTL + 2 * FAST.eps)
    living = [name for name in NAMES if name not in net.dead]
    assert traces(net, living, message, payload, payload[60:92]) == []
    assert net.shown("B").count(b"while away") == 1


def sent_payload(net: Homes, name: str) -> bytes:
    """The ciphertext of the last envelope that a node sent."""
    frames = [effect.data for effect in net[name].of(SendFrame) if effect.data[:1] == b"\x01"]
    return codec.decode_envelope(frames[-1]).payload


def test_a_silent_custodian_is_replaced_by_the_next_rank_of_the_present_record() -> None:
    """TOM-PURGE-019, 020: after the silence another member holds a copy; nobody erases one for that."""
    net = home("A", "B", "C", "D", "E", "F")
    message, order = absent(net)
    first, second = order[:2]
    net.stop(first)
    net.stop("A")
    net.pass_time(FAST.silence_ms - 500)
    assert custodians(net, message) == {second}
    net.pass_time(FAST.silence_ms)
    others = custodians(net, message) - {second}
    assert second in custodians(net, message)
    assert len(others) >= 1


def test_the_sender_replaces_a_silent_custodian() -> None:
    """TOM-PURGE-018, 019: the sender is a holder like the others."""
    net = home()
    message, order = absent(net)
    for gone in order[:2]:
        net.stop(gone)
    net.pass_time(FAST.silence_ms + 20_000)
    assert custodians(net, message) == set(order[2:3]) - net.dead
