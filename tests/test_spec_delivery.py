"""The chapter *Delivery*, rule by rule, on real nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from tests.network import START, SUBNET, Network
from tom_ref import codec, constants
from tom_ref.crypto import Secret32, labelled, sha256
from tom_ref.effects import (
    CloseLink,
    Deliver,
    DeliveryState,
    Dial,
    Drained,
    Effect,
    Event,
    Persist,
    Progress,
    SendFrame,
    Table,
)
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import (
    NO_NODE,
    Address,
    DescriptorAnswer,
    DescriptorQuery,
    Envelope,
    Receipt,
    Refusal,
    Stamp,
    TrailReport,
    Transport,
    UnknownFrame,
)
from tom_ref.identity import Identity
from tom_ref.inputs import (
    Acknowledge,
    AddPeer,
    CommandError,
    DialFailed,
    FrameReceived,
    LinkCongested,
    LinkDown,
    LinkUp,
    LinkWritable,
    Route,
    SendMessage,
    SetAddresses,
    Start,
    Wake,
)
from tom_ref.node import Node, subnet_id
from tom_ref.validate import (
    check_envelope,
    check_receipt,
    check_trail,
    message_id,
    retention_end,
    signed_header,
    signed_receipt,
    signed_stamp,
)

S = DeliveryState
ADDRESS = (Address(Transport.TCP, "127.0.0.1:7700"),)


def triangle() -> Network:
    """A and B, each linked only to the relay C."""
    net = Network("A", "B", "C")
    for end in "AB":
        net.do(end, AddPeer(net["C"].id, (), relay=True))
        net.connect(end, "C")
    net.run()
    return net


def two_relays() -> Network:
    """A and B linked to C and to D."""
    net = Network("A", "B", "C", "D")
    for relay in "CD":
        for end in "AB":
            net.do(end, AddPeer(net[relay].id, (), relay=True))
            net.connect(end, relay)
    net.run()
    return net


def sent_envelope(net: Network, sender: str = "A") -> Envelope:
    """The last envelope a node sent."""
    frames = [codec.decode_frame(e.data) for e in net[sender].of(SendFrame)]
    return [frame for frame in frames if isinstance(frame, Envelope)][-1]


def answer_to(net: Network, name: str, peer: str, frame: codec.AnyFrame | bytes) -> list[codec.AnyFrame]:
    """Hand a frame to a node as if ``peer`` sent it; returns the frames it answers with."""
    data = frame if isinstance(frame, bytes) else codec.encode_frame(frame)
    effects = net.do(name, FrameReceived(net[name].links[peer], data))
    net.queue.clear()
    return [codec.decode_frame(effect.data) for effect in effects if isinstance(effect, SendFrame)]


# --- the whole journey ------------------------------------------------------------------------------------


def test_a_message_travels_and_its_receipt_comes_back() -> None:
    """TOM-DELIVERY-001, 024, 042, 044, 054: every state in its order, each with its evidence."""
    net = triangle()
    handle = net.send("A", "B", b"hello")
    assert net.states("A", handle) == [S.PENDING, S.SENT, S.RELAYED, S.DELIVERED]
    assert net.shown("B") == [b"hello"]
    sent, relayed, delivered = net["A"].of(Progress)[-3:]
    assert [stamp.next_hop for stamp in sent.trail] == [net["C"].id]
    assert [stamp.next_hop for stamp in relayed.trail] == [net["C"].id, net["B"].id]
    assert delivered.receipt is not None
    assert delivered.receipt.relay == net["C"].id
    assert delivered.receipt.message_id == delivered.message_id
    shown = net["B"].of(Deliver)[-1]
    assert (shown.sender, shown.relay, shown.again) == (net["A"].id, net["C"].id, False)
    assert (Table.PENDING, handle.to_bytes(8, "big")) not in net["A"].disk


def test_both_ways_and_many() -> None:
    """TOM-DELIVERY-024: a conversation, every message shown once and in order."""
    net = triangle()
    for number in range(20):
        net.send("A", "B", b"ping %d" % number)
        net.send("B", "A", b"pong %d" % number)
    assert net.shown("B") == [b"ping %d" % number for number in range(20)]
    assert net.shown("A") == [b"pong %d" % number for number in range(20)]


def test_direct_without_a_relay() -> None:
    """TOM-DELIVERY-023, 053: a receipt of a direct message names no relay."""
    net = Network("A", "B")
    net.connect("A", "B")
    handle = net.send("A", "B", b"", route=Route.DIRECT_FIRST)
    assert net.states("A", handle) == [S.PENDING, S.SENT, S.DELIVERED]
    receipt = net["A"].of(Progress)[-1].receipt
    assert receipt is not None
    assert receipt.relay == NO_NODE
    assert net["B"].of(Deliver)[-1].relay == NO_NODE


def test_the_caller_chooses_relay_or_direct_first() -> None:
    """TOM-DELIVERY-053."""
    net = triangle()
    net.connect("A", "B")
    net.send("A", "B", b"by relay", route=Route.RELAY_FIRST)
    assert sent_envelope(net).trail[0].next_hop == net["C"].id
    net.send("A", "B", b"direct", route=Route.DIRECT_FIRST)
    assert sent_envelope(net).trail[0].next_hop == net["B"].id


def test_a_chain_of_relays() -> None:
    """TOM-DELIVERY-040: a relay without a link to the recipient hands on to a relay of its own."""
    net = Network("A", "B", "C", "D")
    net.do("A", AddPeer(net["C"].id, (), relay=True))
    net.do("C", AddPeer(net["D"].id, (), relay=True))
    for one, other in ("AC", "CD", "DB"):
        net.connect(one, other)
    # A learns B's descriptor from B itself: queries go one hop only.
    link = net.connect("A", "B")
    net.cut_link(link, "cut")
    net.run()
    handle = net.send("A", "B")
    assert net.states("A", handle) == [S.PENDING, S.SENT, S.RELAYED, S.DELIVERED]
    hops = [report.peer for report in net.events("C", Event.RELAYED) + net.events("D", Event.RELAYED)]
    assert hops == [net["D"].id, net["B"].id]


def test_largest_content() -> None:
    """A message of 1 MiB is one envelope with one receipt; one byte more is refused locally."""
    net = triangle()
    content = bytes(range(256)) * 4096
    handle = net.send("A", "B", content)
    assert net.states("A", handle)[-1] is S.DELIVERED
    assert net.shown("B") == [content]
    with pytest.raises(CommandError, match="too_large"):
        net.send("A", "B", content + b"x")


# --- formats ----------------------------------------------------------------------------------------------


def test_ids_and_signatures_are_as_specified() -> None:
    """TOM-DELIVERY-002, 003, 010, 020: the exact bytes."""
    header = b"header bytes"
    label = b"ToM/1 header"
    expected = bytes((len(label),)) + label + len(header).to_bytes(4, "big") + header
    assert signed_header(header) == expected
    assert message_id(header) == sha256(expected)
    assert subnet_id("test") == SUBNET == sha256(labelled("ToM/1 subnet", b"test"))
    first = Stamp(5, b"n" * 32, b"s" * 64)
    moment = (6).to_bytes(8, "big")
    assert signed_stamp(b"m" * 32, None, 6, b"x" * 32) == labelled(
        "ToM/1 stamp", b"m" * 32, bytes(32), moment, b"x" * 32
    )
    assert signed_stamp(b"m" * 32, first, 6, b"x" * 32) == labelled(
        "ToM/1 stamp", b"m" * 32, sha256(codec.encode_stamp(first)), moment, b"x" * 32
    )
    receipt = Receipt(b"m" * 32, SUBNET, 0, b"a" * 32, b"b" * 32, NO_NODE, 1, 2, 3)
    assert signed_receipt(receipt) == labelled("ToM/1 receipt", codec.encode_receipt_body(receipt))


def test_the_header_says_when_and_where() -> None:
    """TOM-DELIVERY-004."""
    net = triangle()
    net.now += 5
    net.send("A", "B", ttl=7_000)
    header = sent_envelope(net).header
    assert (header.created_at, header.ttl, header.term, header.subnet) == (START + 5, 7_000, 0, SUBNET)


# --- what every hop checks --------------------------------------------------------------------------------


def signed_by(net: Network, name: str, envelope: Envelope, **changes: Any) -> Envelope:
    """An envelope with a changed header, signed and stamped anew by its sender."""
    header = evolve(envelope.header, **changes)
    data = codec.encode_header(header)
    key = net[name].identity.signing_key
    arrived, hop = envelope.trail[0].arrived_at, envelope.trail[0].next_hop
    stamp = Stamp(arrived, hop, key.sign(signed_stamp(message_id(data), None, arrived, hop)))
    return evolve(
        envelope, header=header, header_bytes=data, signature=key.sign(signed_header(data)), trail=(stamp,)
    )


def flipped(data: bytes) -> bytes:
    """One bit of the last byte changed."""
    return data[:-1] + bytes((data[-1] ^ 1,))


Breaker = Callable[[Network, Envelope], Envelope]
REFUSED: list[tuple[str, Reason, Breaker]] = [
    ("TOM-DELIVERY-030", Reason.WRONG_SUBNET, lambda n, e: signed_by(n, "A", e, subnet=b"o" * 32)),
    (
        "TOM-DELIVERY-031",
        Reason.FUTURE_DATE,
        lambda n, e: signed_by(n, "A", e, created_at=n.now + 2 * constants.EPS + 1),
    ),
    ("TOM-DELIVERY-032", Reason.EXPIRED, lambda n, e: signed_by(n, "A", e, created_at=n.now - 60_000)),
    ("TOM-DELIVERY-033", Reason.PAYLOAD_MISMATCH, lambda _, e: evolve(e, payload=flipped(e.payload))),
    (
        "TOM-DELIVERY-034",
        Reason.WRONG_HOP,
        lambda n, e: evolve(e, trail=(evolve(e.trail[0], next_hop=n["B"].id),)),
    ),
    ("TOM-DELIVERY-037", Reason.BAD_SIGNATURE, lambda _, e: evolve(e, signature=flipped(e.signature))),
    (
        "TOM-DELIVERY-037",
        Reason.BAD_SIGNATURE,
        lambda _, e: evolve(e, trail=(evolve(e.trail[0], arrived_at=e.trail[0].arrived_at + 1),)),
    ),
    (
        "TOM-DELIVERY-037",
        Reason.BAD_SIGNATURE,
        lambda _, e: evolve(
            e,
            header=evolve(e.header, term=9),
            header_bytes=codec.encode_header(evolve(e.header, term=9)),
        ),
    ),
    (
        "TOM-DELIVERY-036",
        Reason.LOOP,
        lambda n, e: evolve(
            e,
            trail=(
                Stamp(1, n["C"].id, bytes(64)),
                Stamp(1, n["A"].id, bytes(64)),
                Stamp(1, n["C"].id, bytes(64)),
            ),
        ),
    ),
]


@pytest.mark.parametrize(
    ("requirement", "reason", "breaker"), REFUSED, ids=[f"{r[0]}-{r[1]}" for r in REFUSED]
)
def test_a_relay_refuses(requirement: str, reason: Reason, breaker: Breaker) -> None:
    """TOM-DELIVERY-030 to 034, 036 to 038: each broken alone; the envelope itself is the passing sibling."""
    net = triangle()
    net.send("A", "B", b"opens the session")
    net.cut("B", "C")
    net.send("A", "B", b"held back")
    envelope = sent_envelope(net)
    net.connect("B", "C")
    net.queue.clear()
    [refusal] = answer_to(net, "C", "A", breaker(net, envelope))
    assert isinstance(refusal, Refusal), requirement
    assert refusal.reason == reason.value
    assert net.events("C", Event.REFUSED)
    [forwarded, report] = answer_to(net, "C", "A", envelope)
    assert isinstance(forwarded, Envelope)
    assert isinstance(report, TrailReport)


def test_a_future_date_within_bounds_is_taken() -> None:
    """TOM-DELIVERY-031, 032: the last moments that are accepted."""
    net = triangle()
    net.send("A", "B")
    envelope = sent_envelope(net)
    early = signed_by(net, "A", envelope, created_at=net.now + 2 * constants.EPS)
    late = signed_by(net, "A", envelope, created_at=net.now - 59_999)
    for accepted in (early, late):
        assert isinstance(answer_to(net, "C", "A", accepted)[0], Envelope)


def test_an_envelope_from_another_neighbour_than_stamped() -> None:
    """TOM-DELIVERY-035: the last signer must be the node at the other end of the link."""
    net = triangle()
    net.send("A", "B")
    [refusal] = answer_to(net, "C", "B", sent_envelope(net))
    assert refusal == Refusal(message_id(sent_envelope(net).header_bytes), "node_mismatch")


def test_a_reflected_envelope_is_refused() -> None:
    """TOM-DELIVERY-034, 035: what A sent, handed back to A."""
    net = triangle()
    net.send("A", "B")
    net.cut("B", "C")
    net.send("A", "B")
    [refusal] = answer_to(net, "A", "C", sent_envelope(net))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "wrong_hop"


def test_a_delivered_envelope_that_is_reflected_is_answered_with_its_receipt() -> None:
    """TOM-PURGE-013: the sender holds the receipt, and answers every offer with it."""
    net = triangle()
    net.send("A", "B")
    [receipt] = answer_to(net, "A", "C", sent_envelope(net))
    assert isinstance(receipt, Receipt)


def test_a_stamp_cannot_be_cut_out_or_put_in() -> None:
    """TOM-DELIVERY-010, 011: B refuses C's envelope without A's stamp, or with one more."""
    net = triangle()
    caught: list[Envelope] = []

    def catch(sender: str, target: str, frame: codec.AnyFrame) -> bytes | None:
        if target == "B" and isinstance(frame, Envelope):
            caught.append(frame)
            return None
        return codec.encode_frame(frame)

    net.tamper = catch
    net.send("A", "B")
    [envelope] = caught
    assert len(envelope.trail) == 2
    cut = evolve(envelope, trail=envelope.trail[1:])
    [refusal] = answer_to(net, "B", "C", cut)
    assert isinstance(refusal, Refusal)
    assert refusal.reason in {"node_mismatch", "bad_signature"}
    extra = Stamp(1, b"x" * 32, bytes(64))
    [refusal] = answer_to(
        net, "B", "C", evolve(envelope, trail=(envelope.trail[0], extra, envelope.trail[1]))
    )
    assert isinstance(refusal, Refusal)
    assert refusal.reason in {"node_mismatch", "bad_signature"}
    assert any(isinstance(frame, Receipt) for frame in answer_to(net, "B", "C", envelope))


# --- relay ------------------------------------------------------------------------------------------------


def test_a_relay_without_a_way_refuses_and_the_message_waits() -> None:
    """TOM-DELIVERY-041, 055: the message stays and goes when the recipient is back."""
    net = triangle()
    net.send("A", "B", b"first")
    net.cut("B", "C")
    handle = net.send("A", "B", b"second")
    assert net.states("A", handle) == [S.PENDING, S.SENT]
    assert [report.detail for report in net.events("A", Event.REROUTED)] == ["no_route"]
    net.connect("B", "C")
    net.pass_time(constants.RETRY_MAX)
    assert net.states("A", handle)[-1] is S.DELIVERED
    assert net.shown("B") == [b"first", b"second"]


def test_the_hop_limit_is_kept() -> None:
    """TOM-DELIVERY-041: a trail as long as the hop limit goes no further."""
    net = triangle()
    net.send("A", "B")
    [refusal] = answer_to(net, "C", "A", signed_by(net, "A", sent_envelope(net), hop_limit=1))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "path_too_long"


def test_a_full_relay_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-DELIVERY-041: no room, no eviction; and a repeated offer of the same message needs none."""
    monkeypatch.setattr(constants, "MAX_IN_FLIGHT", 1)
    net = triangle()
    net.send("A", "B", b"opens the session")
    net.tamper = lambda sender, target, frame: None if target == "B" else codec.encode_frame(frame)
    net.send("A", "B", b"stays in flight")
    first = sent_envelope(net)
    net.send("A", "B", b"refused")
    assert [report.detail.split(":")[0] for report in net.events("C", Event.REFUSED)] == ["overloaded"]
    assert isinstance(answer_to(net, "C", "A", first)[0], Envelope)


def test_a_relay_forgets_at_the_end_of_retention(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-DELIVERY-043: the way back is gone after created_at + ttl + 2·EPS, and room is free again."""
    monkeypatch.setattr(constants, "MAX_IN_FLIGHT", 1)
    net = triangle()
    net.send("A", "B", b"opens the session")
    net.tamper = lambda sender, target, frame: None if target == "B" else codec.encode_frame(frame)
    net.send("A", "B", b"lost", ttl=1_000)
    net.pass_time(1_000 + 2 * constants.EPS)
    net.tamper = None
    handle = net.send("A", "B", b"next")
    assert net.states("A", handle)[-1] is S.DELIVERED


def test_a_relay_keeps_a_receipt_for_a_hop_that_is_away() -> None:
    """TOM-DELIVERY-044: passed back when the hop before is linked again."""
    net = triangle()
    held: list[bytes] = []

    def hold(sender: str, target: str, frame: codec.AnyFrame) -> bytes | None:
        data = codec.encode_frame(frame)
        if isinstance(frame, Receipt) and target == "C":
            held.append(data)
            return None
        return data

    net.tamper = hold
    handle = net.send("A", "B")
    net.tamper = None
    net.cut("A", "C")
    net.do("C", FrameReceived(net["C"].links["B"], held[0]))
    assert net.states("A", handle)[-1] is not S.DELIVERED
    net.connect("A", "C")
    net.run()
    assert net.states("A", handle)[-1] is S.DELIVERED


def test_the_sender_reroutes_when_a_relay_dies_with_the_message() -> None:
    """TOM-DELIVERY-005, 052: the same bytes by another relay, shown once."""
    net = two_relays()
    net.send("A", "B", b"opens the session")
    net.tamper = lambda sender, target, frame: (
        None if isinstance(frame, Envelope) and target == "B" else codec.encode_frame(frame)
    )
    handle = net.send("A", "B", b"in flight")
    first = sent_envelope(net)
    assert first.trail[0].next_hop == net["C"].id
    net.tamper = None
    net.kill("C")
    net.run()
    second = sent_envelope(net)
    assert second.trail[0].next_hop == net["D"].id
    assert (first.header_bytes, first.signature, first.payload) == (
        second.header_bytes,
        second.signature,
        second.payload,
    )
    assert net.states("A", handle)[-1] is S.DELIVERED
    assert net.shown("B") == [b"opens the session", b"in flight"]


def test_a_silent_relay_is_replaced_after_a_pause() -> None:
    """TOM-DELIVERY-052: no receipt within 2,000 ms."""
    net = two_relays()
    net.send("A", "B", b"opens the session")
    net.tamper = lambda sender, target, frame: (
        None if target == "C" and isinstance(frame, Envelope) else codec.encode_frame(frame)
    )
    handle = net.send("A", "B")
    net.pass_time(constants.RETRY_FIRST - 1)
    assert net.states("A", handle) == [S.PENDING, S.SENT]
    net.pass_time(1)
    assert net.states("A", handle) == [S.PENDING, S.SENT, S.RELAYED, S.DELIVERED]


def test_a_relay_that_loses_the_next_hop_says_so_at_once() -> None:
    """TOM-DELIVERY-045: two hops; the far one vanishes, the sender hears of it through the near one."""
    net = two_relays()
    net.send("A", "B", b"opens the session")
    net.tamper = lambda sender, target, frame: None if target == "B" else codec.encode_frame(frame)
    net.send("A", "B", b"stuck at C")
    net.cut("C", "B")
    net.run()
    assert [report.detail for report in net.events("A", Event.REROUTED)] == ["no_route"]
    assert sent_envelope(net).trail[0].next_hop == net["D"].id


def test_refusals_pass_back_along_a_chain() -> None:
    """TOM-DELIVERY-045: the refusal of the second relay reaches the sender by the first."""
    net = Network("A", "B", "C", "D")
    net.do("A", AddPeer(net["C"].id, (), relay=True))
    net.do("C", AddPeer(net["D"].id, (), relay=True))
    for one, other in ("AB", "AC", "CD"):
        net.connect(one, other)
    net.cut("A", "B")
    net.run()
    net.send("A", "B")
    assert [report.detail for report in net.events("A", Event.REROUTED)] == ["no_route"]
    assert not net.events("C", Event.REFUSED)


# --- receipts ---------------------------------------------------------------------------------------------


def delivered_receipt() -> tuple[Network, Receipt, Envelope, int]:
    """A message whose receipt was kept from the sender."""
    net = triangle()
    caught: list[Receipt] = []

    def catch(sender: str, target: str, frame: codec.AnyFrame) -> bytes | None:
        if isinstance(frame, Receipt) and target == "C":
            caught.append(frame)
            return None
        return codec.encode_frame(frame)

    net.tamper = catch
    handle = net.send("A", "B")
    net.tamper = None
    return net, caught[0], sent_envelope(net), handle


RECEIPT_CHANGES: list[dict[str, Any]] = [
    {"subnet": b"o" * 32},
    {"term": 5},
    {"sender": b"o" * 32},
    {"created_at": START + 1},
    {"ttl": 1},
]


@pytest.mark.parametrize("changes", RECEIPT_CHANGES, ids=[next(iter(c)) for c in RECEIPT_CHANGES])
@pytest.mark.parametrize("where", ["A", "C"])
def test_a_receipt_must_be_for_the_message(where: str, changes: dict[str, Any]) -> None:
    """TOM-DELIVERY-021: even when the recipient itself signed it."""
    net, receipt, envelope, handle = delivered_receipt()
    key = net["B"].identity.signing_key
    altered = evolve(receipt, **changes)
    altered = evolve(altered, signature=key.sign(signed_receipt(altered)))
    with pytest.raises(ProtocolError) as caught:
        check_receipt(altered, envelope.header, receipt.message_id)
    assert caught.value.reason is Reason.WRONG_RECIPIENT
    answer_to(net, where, "C" if where == "A" else "B", altered)
    assert net.states("A", handle)[-1] is not S.DELIVERED
    assert net.events(where, Event.REFUSED)


def test_a_forged_receipt_delivers_nothing() -> None:
    """TOM-DELIVERY-022, 023, 024: signed by the relay, with a flipped bit, or naming an end as its relay."""
    net, receipt, envelope, handle = delivered_receipt()
    relay_signed = evolve(receipt, signature=net["C"].identity.signing_key.sign(signed_receipt(receipt)))
    by_relay = evolve(relay_signed, recipient=net["C"].id)
    ends = evolve(receipt, relay=net["A"].id)
    ends = evolve(ends, signature=net["B"].identity.signing_key.sign(signed_receipt(ends)))
    for forged in (relay_signed, by_relay, evolve(receipt, signature=flipped(receipt.signature)), ends):
        answer_to(net, "A", "C", forged)
        with pytest.raises(ProtocolError):
            check_receipt(forged, envelope.header, receipt.message_id)
    assert net.states("A", handle)[-1] is not S.DELIVERED
    answer_to(net, "A", "C", receipt)
    assert net.states("A", handle)[-1] is S.DELIVERED


def test_a_late_or_foreign_receipt_creates_nothing() -> None:
    """TOM-DELIVERY-025."""
    net, receipt, _, handle = delivered_receipt()
    answer_to(net, "A", "C", receipt)
    before = dict(net["A"].disk)
    assert answer_to(net, "A", "C", receipt) == []
    assert net["A"].disk == before
    assert net.states("A", handle).count(S.DELIVERED) == 1
    assert answer_to(net, "B", "C", receipt) == []


# --- sender -----------------------------------------------------------------------------------------------


def test_persist_comes_before_what_depends_on_it() -> None:
    """TOM-DELIVERY-050: in every step that changes the store, at the sender and at the recipient."""
    net = triangle()
    effects = net.do("A", SendMessage(0, net["B"].id, b"x", 60_000))
    assert isinstance(effects[0], Persist)
    net.run()
    handle = net["A"].node.next_handle
    effects = net.do("A", SendMessage(handle, net["B"].id, b"x", 60_000))
    assert isinstance(effects[0], Persist)
    tables = {change.table for change in effects[0].changes}
    assert tables == {Table.PENDING, Table.SESSION, Table.CLOCK}
    assert any(isinstance(effect, SendFrame) for effect in effects)


def test_a_message_expires_at_the_sender() -> None:
    """TOM-DELIVERY-001, 051, 057: bytes gone at created_at + ttl, expired at 2·EPS after that, not before."""
    net = triangle()
    net.send("A", "B", b"opens the session")
    net.kill("B")
    handle = net.send("A", "B", b"never arrives", ttl=10_000)
    end = retention_end(net.now, 10_000)
    payload = sent_envelope(net).payload

    def holds_payload() -> bool:
        return any(payload in value for value in net["A"].disk.values())

    net.pass_time(9_999)
    assert holds_payload()
    net.pass_time(1)
    assert not holds_payload()
    net.pass_time(end - net.now - 1)
    assert net.states("A", handle)[-1] is S.SENT
    net.pass_time(1)
    assert net.states("A", handle)[-1] is S.EXPIRED
    assert not [key for table, key in net["A"].disk if table is Table.PENDING]


def test_an_expired_message_is_not_sent_again() -> None:
    """TOM-DELIVERY-032, 057: no attempt after created_at + ttl, though a receipt still counts."""
    net, receipt, _, handle = delivered_receipt()
    net.tamper = lambda sender, target, frame: None
    message = receipt.message_id
    net.now += 60_000
    before = len(net["A"].of(SendFrame))
    net.do("A", Wake())
    assert answer_to(net, "A", "C", Refusal(message, "no_route")) == []
    net.pass_time(2 * constants.EPS - 1)
    assert len(net["A"].of(SendFrame)) == before
    answer_to(net, "A", "C", receipt)
    assert net.states("A", handle)[-1] is S.DELIVERED


def test_false_trail_reports_move_nothing() -> None:
    """TOM-DELIVERY-054, 046: from a hop that never had it, too short, or with a false stamp."""
    net = two_relays()
    net.send("A", "B", b"opens the session")
    net.tamper = lambda sender, target, frame: None
    handle = net.send("A", "B")
    envelope = sent_envelope(net)
    message = message_id(envelope.header_bytes)
    own = envelope.trail[0]
    false = Stamp(net.now, net["B"].id, bytes(64))
    for peer, trail in [
        ("C", (own,)),
        ("C", (own, false)),
        ("C", (evolve(own, arrived_at=1), false)),
        ("D", (own, false)),
    ]:
        answer_to(net, "A", peer, TrailReport(message, trail))
    assert net.states("A", handle) == [S.PENDING, S.SENT]
    assert len(net.events("A", Event.IGNORED)) == 4
    assert answer_to(net, "D", "A", TrailReport(message, (own, false))) == []


def test_a_descriptor_is_asked_for_and_verified() -> None:
    """TOM-DELIVERY-056, 070, 071: unknown recipient, then a false answer, then the true one."""
    net = triangle()
    handle = net["A"].node.next_handle
    net.do("A", SendMessage(handle, net["B"].id, b"x", 60_000))
    query = [codec.decode_frame(effect.data) for effect in net["A"].of(SendFrame)][-1]
    assert query == DescriptorQuery(net["B"].id)
    net.queue.clear()
    true = net["B"].node.descriptor
    false = evolve(true, session_key=true.link_key)
    answer_to(net, "A", "C", DescriptorAnswer(net["B"].id, false))
    answer_to(net, "A", "C", DescriptorAnswer(net["B"].id, None))
    assert net.states("A", handle) == [S.PENDING]
    assert net.events("A", Event.REFUSED)
    sent = answer_to(net, "A", "C", DescriptorAnswer(net["B"].id, true))
    assert any(isinstance(frame, Envelope) for frame in sent)


def test_unasked_descriptors_are_ignored() -> None:
    """TOM-DELIVERY-071: but for the neighbour's own, which replaces the older one."""
    net = triangle()
    other = Network("Z")
    answer_to(net, "A", "C", DescriptorAnswer(other["Z"].id, other["Z"].node.descriptor))
    assert answer_to(net, "A", "C", DescriptorQuery(other["Z"].id)) == [DescriptorAnswer(other["Z"].id, None)]
    net.do("C", SetAddresses(ADDRESS))
    net.run()
    [answer] = answer_to(net, "A", "C", DescriptorQuery(net["C"].id))
    assert isinstance(answer, DescriptorAnswer)
    assert answer.descriptor is not None
    assert answer.descriptor.addresses == ADDRESS


def test_a_new_descriptor_is_announced() -> None:
    """TOM-DELIVERY-072: with new addresses and with a new prekey."""
    net = triangle()
    before = net["C"].node.descriptor
    net.do("C", SetAddresses(ADDRESS))
    net.run()
    net.pass_time(constants.PREKEY_INTERVAL)
    after = net["C"].node.descriptor
    assert after.prekey_id != before.prekey_id
    [answer] = answer_to(net, "A", "C", DescriptorQuery(net["C"].id))
    assert answer == DescriptorAnswer(net["C"].id, after)
    net.do("C", SetAddresses(ADDRESS))
    assert net["C"].node.descriptor == after


# --- recipient --------------------------------------------------------------------------------------------


def test_one_transaction_then_receipt_then_show() -> None:
    """TOM-DELIVERY-060."""
    net = triangle()
    caught: list[bytes] = []

    def catch(sender: str, target: str, frame: codec.AnyFrame) -> bytes | None:
        data = codec.encode_frame(frame)
        if target == "B" and isinstance(frame, Envelope):
            caught.append(data)
            return None
        return data

    net.tamper = catch
    net.send("A", "B")
    effects = net.do("B", FrameReceived(net["B"].links["C"], caught[0]))
    kinds: list[type[Effect]] = [type(e) for e in effects if isinstance(e, (Persist, SendFrame, Deliver))]
    assert kinds == [Persist, SendFrame, Deliver]
    persist = effects[0]
    assert isinstance(persist, Persist)
    assert {change.table for change in persist.changes} == {
        Table.SEEN,
        Table.INBOX,
        Table.SESSION,
        Table.CLOCK,
    }


def test_a_duplicate_is_answered_with_the_same_receipt() -> None:
    """TOM-DELIVERY-061: shown once, whatever the way it comes, also after a restart."""
    net, receipt, _, handle = delivered_receipt()
    [shown] = net["B"].of(Deliver)
    net.pass_time(constants.RETRY_FIRST)
    assert net.states("A", handle)[-1] is S.DELIVERED
    assert net.events("B", Event.DUPLICATE_ANSWERED)
    final = net["A"].of(Progress)[-1].receipt
    assert final == receipt
    assert net["B"].of(Deliver) == [shown]


def test_a_restart_at_the_recipient_loses_and_doubles_nothing() -> None:
    """TOM-DELIVERY-061, 063: shown again with the same id until acknowledged, receipt repeated."""
    net, receipt, _, handle = delivered_receipt()
    net.kill("B")
    net["B"].restart(net.now)
    net.do("B", Start())
    again = net["B"].of(Deliver)[-1]
    assert (again.again, again.message_id, again.content) == (True, receipt.message_id, b"hello")
    net.connect("B", "C")
    net.pass_time(constants.RETRY_MAX)
    assert net.states("A", handle)[-1] is S.DELIVERED
    assert len(net.shown("B")) == 1
    net.do("B", Acknowledge(receipt.message_id))
    net.kill("B")
    net["B"].restart(net.now)
    count = len(net["B"].of(Deliver))
    net.do("B", Start())
    assert len(net["B"].of(Deliver)) == count


def test_a_restart_at_the_sender_goes_on_with_the_same_bytes() -> None:
    """TOM-DELIVERY-005, 051: encrypted ones as they were, others encrypted when possible."""
    net = triangle()
    net.send("A", "B", b"opens the session")
    net.tamper = lambda sender, target, frame: None
    handle = net.send("A", "B", b"survives")
    first = sent_envelope(net)
    net.kill("A")
    later = net.send("A", "C", b"to C, while nothing is linked")
    net["A"].restart(net.now)
    net.do("A", Start())
    net.do("A", AddPeer(net["C"].id, (), relay=True))
    net.tamper = None
    net.connect("A", "C")
    net.run()
    again = [
        frame
        for effect in net["A"].of(SendFrame)
        if isinstance(frame := codec.decode_frame(effect.data), Envelope)
        and frame.header.recipient == net["B"].id
    ][-1]
    assert (again.header_bytes, again.payload) == (first.header_bytes, first.payload)
    assert net.states("A", handle)[-1] is S.DELIVERED
    assert net.states("A", later)[-1] is S.DELIVERED
    assert net.shown("B") == [b"opens the session", b"survives"]


def test_a_full_recipient_refuses_and_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-DELIVERY-062: refused with a code; taken once the application made room."""
    monkeypatch.setattr(constants, "MAX_INBOX", 1)
    net = triangle()
    net.send("A", "B", b"one")
    handle = net.send("A", "B", b"two")
    assert net.states("A", handle)[-1] is S.RELAYED
    assert [report.detail.split(":")[0] for report in net.events("B", Event.REFUSED)] == ["overloaded"]
    net.do("B", Acknowledge(net["B"].of(Deliver)[0].message_id))
    net.pass_time(constants.RETRY_MAX)
    assert net.states("A", handle)[-1] is S.DELIVERED
    assert net.shown("B") == [b"one", b"two"]


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_INBOX_BYTES", 10), ("MAX_SEEN", 0)], ids=["bytes", "receipts"]
)
def test_the_other_limits_of_the_recipient(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    """TOM-DELIVERY-062."""
    monkeypatch.setattr(constants, name, value)
    net = triangle()
    net.send("A", "B")
    assert net.shown("B") == []
    assert [report.detail.split(":")[0] for report in net.events("B", Event.REFUSED)] == ["overloaded"]


def test_what_cannot_be_opened_is_refused() -> None:
    """TOM-DELIVERY-064: an unknown session, after the recipient lost its disk; new messages get through."""
    net = triangle()
    net.send("A", "B", b"one")
    net.send("B", "A", b"answer")
    net.kill("B")
    net["B"].disk.clear()
    net["B"].restart(net.now)
    net.do("B", Start())
    net.do("B", AddPeer(net["C"].id, (), relay=True))
    net.connect("B", "C")
    net.now += 1
    lost = net.send("A", "B", b"for a session that is gone")
    assert net.states("A", lost)[-1] is S.RELAYED
    assert any(report.detail.startswith("unknown_session") for report in net.events("B", Event.REFUSED))
    net.do("C", SetAddresses(ADDRESS))
    fresh = net["B"].node.descriptor
    net.queue.clear()
    answer_to(net, "A", "C", DescriptorAnswer(net["B"].id, fresh))
    handle = net.send("A", "B", b"begins anew")
    assert net.states("A", handle)[-1] in {S.RELAYED, S.DELIVERED}


def test_memory_of_receipts_ends_with_retention() -> None:
    """TOM-DELIVERY-062: erased at created_at + ttl + 2·EPS; the unacknowledged message stays."""
    net = triangle()
    net.send("A", "B", ttl=1_000)
    assert [key for table, key in net["B"].disk if table is Table.SEEN]
    net.pass_time(1_000 + 2 * constants.EPS)
    assert not [key for table, key in net["B"].disk if table is Table.SEEN]
    assert [key for table, key in net["B"].disk if table is Table.INBOX]


# --- links and noise --------------------------------------------------------------------------------------


def test_bad_bytes_close_the_link() -> None:
    """TOM-LINK-086: what doesn't decode closes the link with its code; an ignorable frame does nothing."""
    net = triangle()
    assert net.do("C", FrameReceived(net["C"].links["A"], codec.encode_frame(UnknownFrame(0x8A, b"")))) == ()
    link = net["C"].links["A"]
    effects = net.do("C", FrameReceived(link, b"\x00"))
    assert CloseLink(link, "unknown_frame") in effects
    assert net.do("C", FrameReceived(99, b"\x00")) == ()


def test_a_link_with_a_bad_descriptor_is_closed() -> None:
    """A descriptor that isn't valid (forged, or from the future) never becomes a link."""
    net = Network("A", "B")
    future = evolve(net["B"].node.descriptor, created_at=net.now + 60_000)
    effects = net.do("A", LinkUp(5, future, initiated=False))
    assert effects[0] == CloseLink(5, "future_date")
    forged = evolve(net["B"].node.descriptor, signature=bytes(64))
    assert net.do("A", LinkUp(6, forged, initiated=False)) == (CloseLink(6, "bad_signature"),)


def test_simultaneous_dial_keeps_one_link() -> None:
    """TOM-LINK: the one that the lower NodeId initiated; messages under way are sent again."""
    net = Network("A", "B")
    lower, higher = sorted("AB", key=lambda name: net[name].id)
    first = net.connect(higher, lower)
    second = net.connect(lower, higher)
    assert net[lower].links == {higher: second}
    assert net[higher].links == {lower: second}
    assert first not in net.ends
    third = net.do(lower, LinkUp(9, net[higher].node.descriptor, initiated=False))
    assert third == (CloseLink(9, "duplicate_link"),)
    handle = net.send("A", "B")
    assert net.states("A", handle)[-1] is S.DELIVERED


def test_relays_are_dialled_and_dialled_again() -> None:
    """Relays are wanted for as long as the node lives; the pause between dials doubles."""
    net = Network("A", "C")
    [dial] = net.do("A", AddPeer(net["C"].id, ADDRESS, relay=True))
    assert dial == Dial(net["C"].id, ADDRESS)
    net.do("A", DialFailed(net["C"].id))
    net.pass_time(249)
    assert len(net.dials("A")) == 1
    net.pass_time(1)
    assert len(net.dials("A")) == 2
    net.do("A", DialFailed(net["C"].id))
    net.pass_time(499)
    assert len(net.dials("A")) == 2
    net.pass_time(1)
    assert len(net.dials("A")) == 3
    net.connect("A", "C")
    net.cut("A", "C")
    net.pass_time(250)
    assert len(net.dials("A")) == 4
    net.do("A", DialFailed(b"q" * 32))
    assert net.do("A", LinkDown(77, "never held")) == ()


def test_a_recipient_with_a_known_address_is_dialled() -> None:
    """TOM-DELIVERY-053: where no relay is linked, the direct way is opened."""
    net = Network("A", "B")
    net.do("A", AddPeer(net["B"].id, ADDRESS))
    handle = net["A"].node.next_handle
    effects = net.do("A", SendMessage(handle, net["B"].id, b"x", 60_000))
    assert Dial(net["B"].id, ADDRESS) in effects
    assert not [e for e in net.do("A", Wake()) if isinstance(e, Dial)]
    net.connect("A", "B")
    net.run()
    assert net.states("A", handle)[-1] is S.DELIVERED


def test_a_descriptors_addresses_serve_for_dialling() -> None:
    """TOM-DELIVERY-053: addresses learnt from a descriptor are used as well."""
    net = Network("A", "B")
    net.do("B", SetAddresses(ADDRESS))
    net.connect("A", "B")
    net.cut("A", "B")
    effects = net.do("A", SendMessage(net["A"].node.next_handle, net["B"].id, b"x", 60_000))
    assert Dial(net["B"].id, ADDRESS) in effects


def test_what_waited_for_a_link_is_handed_over_step_by_step() -> None:
    """No step hands over more than a link takes before it can say that it is busy; all of it arrives."""
    net = triangle()
    net.send("A", "B", b"session")
    net.cut("A", "C")
    size = 200_000
    count = 3 * constants.HAND_OVER_BURST // size + 2
    for number in range(count):
        net.send("A", "B", bytes([number]) * size, ttl=600_000)
    before = len(net["A"].effects)
    net.connect("A", "C")
    sent = [e for e in net["A"].effects[before:] if isinstance(e, SendFrame)]
    assert 0 < sum(len(frame.data) for frame in sent) < constants.HAND_OVER_BURST + 2 * size
    # A link that says that it is full gets nothing more, and the rest when it has room again.
    link = net["A"].links["C"]
    net.do("A", LinkCongested(link))
    held = len(net.shown("B"))
    net.pass_time(5)
    assert len(net.shown("B")) <= held + len(sent)
    net.do("A", LinkWritable(link))
    net.run()
    net.pass_time(20)
    assert sorted(content[0] for content in net.shown("B")[1:]) == list(range(count))


def test_a_congested_link_takes_no_new_work() -> None:
    """Backpressure: a relay refuses, a sender waits for LinkWritable."""
    net = triangle()
    net.send("A", "B", b"opens the session")
    link = net["A"].links["C"]
    net.do("A", LinkCongested(link))
    handle = net.send("A", "B", b"waits")
    assert net.states("A", handle) == [S.PENDING]
    net.do("A", LinkWritable(link))
    net.run()
    assert net.states("A", handle)[-1] is S.DELIVERED
    assert net.do("A", LinkWritable(99)) == ()
    assert net.do("A", LinkCongested(99)) == ()


# --- local commands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "content", "ttl", "handle", "reason"),
    [
        (b"short", b"", 1, 0, Reason.BAD_VALUE),
        (None, b"", 1, 0, Reason.BAD_VALUE),
        (b"b" * 32, bytes(constants.MAX_CONTENT + 1), 1, 0, Reason.TOO_LARGE),
        (b"b" * 32, b"", 0, 0, Reason.BAD_LIFETIME),
        (b"b" * 32, b"", constants.MAX_TTL + 1, 0, Reason.BAD_LIFETIME),
        (b"b" * 32, b"", 1, -1, Reason.BAD_VALUE),
    ],
    ids=["short id", "itself", "too large", "no ttl", "long ttl", "used handle"],
)
def test_bad_commands_change_nothing(
    recipient: bytes | None, content: bytes, ttl: int, handle: int, reason: Reason
) -> None:
    """A bad command raises with a code; nothing is stored, nothing is sent."""
    net = Network("A")
    before = dict(net["A"].disk)
    command = SendMessage(handle, net["A"].id if recipient is None else recipient, content, ttl)
    with pytest.raises(CommandError) as caught:
        net.do("A", command)
    assert caught.value.reason is reason
    assert net["A"].disk == before
    assert net["A"].node.next_handle == 0


def test_other_bad_commands() -> None:
    """Acknowledging twice, too many addresses, a peer that is oneself."""
    net = Network("A")
    for command in (
        Acknowledge(bytes(32)),
        SetAddresses(ADDRESS * 9),
        AddPeer(net["A"].id, ()),
        AddPeer(b"short", ()),
    ):
        with pytest.raises(CommandError):
            net.do("A", command)


def test_a_full_sender_refuses_then_says_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues are bounded, with ``writable`` and one ``Drained``."""
    monkeypatch.setattr(constants, "MAX_PENDING", 2)
    net = triangle()
    net.kill("B")

    def writable() -> bool:
        return net["A"].node.writable

    assert writable()
    net.send("A", "B", b"1")
    net.send("A", "B", b"2")
    assert not writable()
    with pytest.raises(CommandError, match="overloaded"):
        net.send("A", "B", b"3")
    assert net.drained("A") == 0
    net.connect("B", "C")
    net.pass_time(constants.RETRY_MAX)
    assert sorted(net.shown("B")) == [b"1", b"2"]
    assert net.drained("A") == 1
    assert writable()
    assert len(net["A"].of(Drained)) == 1


def test_a_node_begins_with_what_fits() -> None:
    """A wrong subnet length is a mistake of the caller; a corrupt record a ProtocolError."""
    identity = Identity.from_secret(Secret32(b"i" * 32))
    entropy = Network("A")["A"].entropy
    with pytest.raises(ValueError, match="32 bytes"):
        Node(identity, subnet=b"", entropy=entropy, now=START)
    node = Node(identity, subnet=SUBNET, entropy=entropy, now=START)
    with pytest.raises(RuntimeError, match="not been started"):
        _ = node.descriptor
    for table in Table:
        with pytest.raises(ProtocolError):
            Node(identity, subnet=SUBNET, entropy=entropy, now=START, records=[(table, b"k", b"\x01junk")])


def test_signatures_cover_the_received_bytes_and_times_do_not_matter() -> None:
    """TOM-DELIVERY-006, 012: the header's meaning is not encoded anew; a trail's times may run backwards."""
    net = triangle()
    net.send("A", "B")
    envelope = sent_envelope(net)
    other_meaning = evolve(envelope, header=evolve(envelope.header, hop_limit=9))
    assert check_envelope(other_meaning, net["C"].id, net["A"].id, SUBNET, net.now) == message_id(
        envelope.header_bytes
    )
    message, own = message_id(envelope.header_bytes), envelope.trail[0]
    earlier = own.arrived_at - 1_000_000
    stamp = Stamp(
        earlier,
        net["B"].id,
        net["C"].identity.signing_key.sign(signed_stamp(message, own, earlier, net["B"].id)),
    )
    trail = (own, stamp)
    assert check_trail(envelope.header, message, trail) == (net["A"].id, net["C"].id, net["B"].id)
