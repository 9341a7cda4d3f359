"""The chapter *Purge*, rule by rule, on real nodes of a subnet: custody, receipts as tombstones, erasure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve, fields

from tests.homes import FAST, Homes, answers, hand
from tom_ref import codec, constants, records, vrf
from tom_ref.crypto import sha256
from tom_ref.custody import Custody, first_ranks, next_ranks
from tom_ref.effects import (
    Change,
    Deliver,
    DeliveryState,
    Held,
    Persist,
    Progress,
    Report,
    SendFrame,
    Table,
)
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import (
    NO_NODE,
    Envelope,
    Header,
    Holding,
    HoldingAnswer,
    HoldingQuery,
    Kind,
    Receipt,
    Refusal,
    Stamp,
    TrailReport,
)
from tom_ref.inputs import (
    Acknowledge,
    AskHolding,
    Begin,
    ClockMeasured,
    CommandError,
    FrameReceived,
    SendMessage,
    Taken,
    Wake,
)
from tom_ref.node import Node
from tom_ref.step import Step
from tom_ref.term_frames import Genesis
from tom_ref.validate import message_id, retention_end, signed_header, signed_receipt, signed_stamp

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


# --- receipts ---------------------------------------------------------------------------------------------


def envelope_for(
    net: Homes, sender: str, recipient: str, *hops: str, ttl: int = TTL, created_at: int | None = None
) -> Envelope:
    """An envelope whose payload is nothing that can be opened; each hop signs for the next."""
    home = net[sender].node.home.record
    assert home is not None
    payload = sha256(b"payload %d" % net.now) * 4
    header = Header(
        Kind.MESSAGE,
        home.subnet,
        home.term,
        net[sender].id,
        net[recipient].id,
        net.now if created_at is None else created_at,
        ttl,
        32,
        (),
        len(payload),
        sha256(payload),
    )
    data = codec.encode_header(header)
    signature = net[sender].identity.signing_key.sign(signed_header(data))
    trail: list[Stamp] = []
    for signer, hop in pairwise((sender, *hops)):
        signed = signed_stamp(message_id(data), trail[-1] if trail else None, net.now, net[hop].id)
        trail.append(Stamp(net.now, net[hop].id, net[signer].identity.signing_key.sign(signed)))
    return Envelope(header, data, signature, 0, tuple(trail), payload)


def receipt_for(net: Homes, header: Header, signer: str, **changes: Any) -> Receipt:
    """A receipt for a header, signed by a node."""
    receipt = Receipt(
        message_id(codec.encode_header(header)),
        header.subnet,
        header.term,
        header.sender,
        header.recipient,
        NO_NODE,
        header.created_at,
        header.ttl,
        net.now,
    )
    receipt = evolve(receipt, **changes)
    return evolve(receipt, signature=net[signer].identity.signing_key.sign(signed_receipt(receipt)))


def deposit(net: Homes, keeper: str, depositor: str, envelope: Envelope) -> list[codec.AnyFrame]:
    """Ask first, then hand over; returns what is answered to the envelope."""
    message = message_id(envelope.header_bytes)
    hand(net, keeper, depositor, HoldingQuery(message))
    said = answers(hand(net, keeper, depositor, envelope))
    return [frame for frame in said if not isinstance(frame, HoldingQuery)]


def kept_copy() -> tuple[Homes, Envelope, bytes]:
    """C keeps a copy of a message from A to B, who is away."""
    net = home()
    net.stop("B")
    envelope = envelope_for(net, "A", "B", "C")
    [report] = deposit(net, "C", "A", envelope)
    message = message_id(envelope.header_bytes)
    assert report == TrailReport(message, envelope.trail)
    assert (Table.CUSTODY, message) in net["C"].disk
    return net, envelope, message


def test_a_copy_is_on_disk_before_it_is_acknowledged_and_survives_a_crash() -> None:
    """TOM-PURGE-014, 021: acknowledged after the write; offered again after a start."""
    net = home()
    net.stop("B")
    envelope = envelope_for(net, "A", "B", "C")
    hand(net, "C", "A", HoldingQuery(message_id(envelope.header_bytes)))
    effects = hand(net, "C", "A", envelope)
    assert isinstance(effects[0], Persist)
    assert any(change.table is Table.CUSTODY and change.value for change in effects[0].changes)
    net.restart("C")
    net.connect("C", "A") if "A" not in net["C"].links else None
    [kept] = net["C"].node.kept
    assert (kept.message, kept.holding) == (message_id(envelope.header_bytes), Holding.COPY)
    assert kept.until == envelope.header.expires_at
    net.start("B")
    net.pass_time(2_000)
    refusals = {report.detail.partition(":")[0] for report in net["B"].of(Report) if report.detail}
    assert "bad_value" in refusals or any("session" in text or "kind" in text for text in refusals)
    assert (Table.CUSTODY, kept.message) in net["C"].disk, "a recipient's refusal erases nothing"


def test_a_forged_receipt_changes_nothing() -> None:
    """TOM-PURGE-022, 023: another's signature, another message, a flipped bit; the state stays as it was."""
    net, envelope, _ = kept_copy()
    header = envelope.header
    good = receipt_for(net, header, "B")
    before = dict(net["C"].disk)
    forged = {
        "bad_signature": [receipt_for(net, header, "D"), evolve(good, received_at=good.received_at + 1)],
        "wrong_recipient": [
            receipt_for(net, header, "D", recipient=net["D"].id),
            receipt_for(net, header, "B", ttl=header.ttl + 1),
            receipt_for(net, header, "B", created_at=header.created_at + 1),
        ],
        "bad_value": [receipt_for(net, header, "B", relay=header.sender)],
    }
    for code, receipts in forged.items():
        for receipt in receipts:
            effects = hand(net, "C", "D", receipt)
            assert not any(isinstance(effect, Persist | SendFrame) for effect in effects)
            assert [e.detail.partition(":")[0] for e in effects if isinstance(e, Report)] == [code]
    assert net["C"].disk == before


def test_a_receipt_takes_the_copys_place_answers_every_offer_and_goes_at_the_end_of_retention() -> None:
    """TOM-PURGE-013, 024, 026, 027, 030, 035: the tombstone."""
    net, envelope, message = kept_copy()
    receipt = codec.encode_receipt(receipt_for(net, envelope.header, "B"))
    effects = hand(net, "C", "D", receipt)
    assert isinstance(effects[0], Persist)
    written = {(change.table, change.value is None) for change in effects[0].changes}
    assert written >= {(Table.CUSTODY, True), (Table.TOMBSTONE, False)}
    told = {effect.link for effect in effects if isinstance(effect, SendFrame) and effect.data == receipt}
    assert net["C"].links["A"] in told
    before = dict(net["C"].disk)
    assert answers(hand(net, "C", "D", receipt)) == []  # known already
    assert [codec.encode_frame(frame) for frame in deposit(net, "C", "A", envelope)] == [receipt]
    assert net["C"].disk == before
    end = retention_end(envelope.header.created_at, envelope.header.ttl, FAST.eps)
    net.pass_time(end - net.now - 1)
    assert (Table.TOMBSTONE, message) in net["C"].disk
    net.pass_time(1)
    assert (Table.TOMBSTONE, message) not in net["C"].disk
    assert answers(hand(net, "C", "D", receipt)) == []
    assert traces(net, "C", message) == []


def test_a_receipt_for_what_one_never_held_leaves_nothing() -> None:
    """TOM-PURGE-025, 026: no table grows by stray or late receipts."""
    net, envelope, _ = kept_copy()
    before = dict(net["D"].disk)
    assert answers(hand(net, "D", "C", receipt_for(net, envelope.header, "B"))) == []
    assert net["D"].disk == before


def test_holders_that_were_away_get_the_receipt_when_they_are_back() -> None:
    """TOM-PURGE-027: at once or when the holder is linked again; each once, whatever crashed between."""
    net, envelope, _ = kept_copy()
    net.cut("C", "A")
    receipt = codec.encode_receipt(receipt_for(net, envelope.header, "B"))
    hand(net, "C", "D", receipt)
    net.restart("C")
    link = net["C"].links.get("A") or net.connect("C", "A")
    net.run()
    sent = [e for e in net["C"].of(SendFrame) if e.data == receipt and e.link == net["C"].links["A"]]
    assert link
    assert len(sent) == 1


# --- time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("created", "code"),
    [
        (2 * FAST.eps, None),
        (2 * FAST.eps + 1, "future_date"),
        (-TTL + 1, None),
        (-TTL, "expired"),
        (-TTL - 1, "expired"),
    ],
)
def test_custody_is_taken_by_the_signed_date_alone(created: int, code: str | None) -> None:
    """TOM-PURGE-010, 011, 012: 2·EPS ahead at most, and before the expiry."""
    net = home()
    net.stop("B")
    envelope = envelope_for(net, "A", "B", "C", created_at=net.now + created)
    [answer] = deposit(net, "C", "A", envelope)
    if code is None:
        assert isinstance(answer, TrailReport)
    else:
        assert answer == Refusal(message_id(envelope.header_bytes), code)
        assert copies(net, "C") == []


def test_a_copy_goes_at_its_expiry_by_the_nodes_own_clock_and_not_before() -> None:
    """TOM-PURGE-034, 036, 038: with everything that refers to it, before anything else at that reading."""
    net, envelope, message = kept_copy()
    net.pass_time(TTL - 1)
    assert (Table.CUSTODY, message) in net["C"].disk
    net.now += 1
    effects = hand(net, "C", "A", HoldingQuery(message))
    assert answers(effects)[-1] == HoldingAnswer(message, Holding.NOTHING, 0)
    assert traces(net, "C", message) == []
    assert deposit(net, "C", "A", envelope) == [Refusal(message, "expired")]


def test_what_fell_due_while_a_node_was_off_is_erased_before_it_takes_part() -> None:
    """TOM-PURGE-037, 009, 049: the first thing that it does once it knows the time, whatever came before."""
    net, _, message = kept_copy()
    net.stop("C")
    net.now += TTL
    net["C"].restart(net.now)
    net.start("C")
    assert traces(net, "C", message) == [("C", Table.CUSTODY)]
    link = net.opened("C", "A")
    assert net.do("C", FrameReceived(link, codec.encode_frame(HoldingQuery(message)))) == ()
    effects = net.do("C", ClockMeasured(link, 0, 4))
    assert isinstance(effects[0], Persist)
    assert Change(Table.CUSTODY, message, None) in effects[0].changes
    assert HoldingAnswer(message, Holding.NOTHING, 0) in answers(effects)
    assert traces(net, "C", message) == []
    assert net["C"].node.kept == ()


def test_the_purge_clock_never_goes_back_and_is_on_disk() -> None:
    """TOM-PURGE-006, 007: a clock set back revives nothing, not even after a crash."""
    net, envelope, message = kept_copy()
    net.pass_time(TTL)
    assert copies(net, "C") == []
    net.set_clock("C", -TTL)
    assert deposit(net, "C", "A", envelope) == [Refusal(message, "expired")]
    net.restart("C")
    net.connect("C", "A") if "A" not in net["C"].links else None
    net.run()
    assert deposit(net, "C", "A", envelope) == [Refusal(message, "expired")]


def test_a_clock_ahead_of_the_computers_is_written_with_what_it_decided() -> None:
    """TOM-PURGE-007: after a crash the node begins with the reading that it had used."""
    net, _, message = kept_copy()
    node = net["C"].node
    net.set_clock("C", -60_000)  # The links say that it is a minute slow; network time goes on.
    net.do("C", AskHolding(message))
    net.pass_time(TTL)
    assert (Table.CLOCK, b"") in net["C"].disk
    written = int.from_bytes(net["C"].disk[Table.CLOCK, b""], "big")
    assert written > net.now - 60_000
    del node
    net["C"].restart(net.now - 60_000)
    assert net["C"].node._now >= written
    with pytest.raises(ProtocolError, match="a stored clock"):
        Node(
            net["C"].identity,
            entropy=net["C"].entropy,
            now=net.now,
            records=[(Table.CLOCK, b"", b"\x00")],
        )


# --- room -------------------------------------------------------------------------------------------------


def test_a_full_custodian_refuses_and_evicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-015, 044: all bounds, each with its code; what is held stays; later there is room again."""
    net, first, _ = kept_copy()
    held = dict(net["C"].disk)

    def attempt() -> codec.AnyFrame:
        net.now += 1
        [answer] = deposit(net, "C", "A", envelope_for(net, "A", "B", "C"))
        return answer

    size = len(first.header_bytes) + len(first.payload)
    for name, bound in [
        ("MAX_CUSTODY", 1),
        ("MAX_CUSTODY_BYTES", 2 * size - 1),
        ("MAX_CUSTODY_SHARE", 1),
        ("MAX_CUSTODY_SHARE_BYTES", 2 * size - 1),
        ("MAX_TOMBSTONES", 1),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(constants, name, bound)
            answer = attempt()
            assert isinstance(answer, Refusal), name
            assert answer.reason == "overloaded", name
            if name == "MAX_TOMBSTONES":
                assert not net["C"].node.writable
                with pytest.raises(CommandError, match="overloaded"):
                    net.do("C", SendMessage(net["C"].node.next_handle, net["A"].id, b"", TTL))
        assert {key: net["C"].disk.get(key) for key in held if key[0] is Table.CUSTODY} == {
            key: value for key, value in held.items() if key[0] is Table.CUSTODY
        }
    assert isinstance(attempt(), TrailReport)


def test_one_depositor_cannot_fill_the_room_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-044: a flood of one neighbour leaves the others' share."""
    monkeypatch.setattr(constants, "MAX_CUSTODY_SHARE", 3)
    net = home()
    net.stop("B")
    outcomes = []
    for _ in range(6):
        net.now += 1
        outcomes += deposit(net, "C", "A", envelope_for(net, "A", "B", "C"))
    assert [type(outcome) for outcome in outcomes] == [TrailReport] * 3 + [Refusal] * 3
    net.stop("E")
    net.now += 1
    assert isinstance(deposit(net, "C", "D", envelope_for(net, "D", "E", "C"))[0], TrailReport)


def test_only_what_was_asked_about_is_kept() -> None:
    """TOM-PURGE-014: without the question it is transit, and refused where there is no way."""
    net = home()
    net.stop("B")
    net.cut("C", "D")
    net.cut("C", "E")
    envelope = envelope_for(net, "A", "B", "C")
    message = message_id(envelope.header_bytes)
    assert Refusal(message, "no_route") in answers(hand(net, "C", "A", envelope))
    assert copies(net, "C") == []
    deposit(net, "C", "A", envelope)
    assert TrailReport(message, envelope.trail) in answers(hand(net, "C", "A", envelope))


def test_a_rank_that_has_handed_it_on_is_not_asked_twice_in_a_round() -> None:
    """TOM-PURGE-016, 019: it says that it is in transit there; the next rank is asked instead."""
    net = home("A", "B", "C", "D", "E", "F")
    message, order = absent(net)
    first = order[0]
    copy = net[first].node._custody._copies[message]
    other = next(name for name in order[2:])
    copy.asked.add(net[other].id)
    hand(net, first, other, HoldingAnswer(message, Holding.PASSAGE, 5))
    assert net[other].id in copy.declined
    pending = net["A"].node._sending.by_message(message)
    assert pending is not None
    pending.custodians = ()
    pending.asked.add(net[other].id)
    said = answers(hand(net, "A", other, HoldingAnswer(message, Holding.PASSAGE, 5)))
    assert HoldingQuery(message) in said
    pending.asked.add(net[other].id)
    hand(net, "A", other, HoldingAnswer(message, Holding.COPY, 5))
    assert pending.custodians == (net[other].id,)


def test_a_trail_that_is_as_long_as_it_may_be_is_not_kept() -> None:
    """TOM-PURGE-048: what could never be handed on is refused."""
    net = home()
    net.stop("B")
    envelope = envelope_for(net, "A", "B", "C")
    header = evolve(envelope.header, hop_limit=1)
    data = codec.encode_header(header)
    signed = signed_stamp(message_id(data), None, net.now, net["C"].id)
    key = net["A"].identity.signing_key
    short = Envelope(
        header,
        data,
        key.sign(signed_header(data)),
        0,
        (Stamp(net.now, net["C"].id, key.sign(signed)),),
        envelope.payload,
    )
    assert deposit(net, "C", "A", short) == [Refusal(message_id(data), "path_too_long")]


def test_the_memory_of_questions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-015: a flood of questions pushes out older questions only; no copy, no receipt."""
    net, _, message = kept_copy()
    monkeypatch.setattr(constants, "MAX_CUSTODY", 4)
    for number in range(20):
        hand(net, "C", "D", HoldingQuery(sha256(b"%d" % number)))
    assert len(net["C"].node._custody._expected) <= 4
    assert (Table.CUSTODY, message) in net["C"].disk


# --- who learns what --------------------------------------------------------------------------------------


def test_what_is_held_is_said_to_the_ends_and_holders_alone() -> None:
    """TOM-PURGE-045, 047: a stranger hears "nothing"; the receipt goes before the answer."""
    net, envelope, message = kept_copy()
    order = ranks(net, "A", "B")
    holders = {"A", *order[:2], "C"}
    copy = HoldingAnswer(message, Holding.COPY, envelope.header.expires_at)
    for name in "ADE":
        expected = copy if name in holders else HoldingAnswer(message, Holding.NOTHING, 0)
        asked = name in net["C"].node._custody._copies[message].asked
        if not asked:
            assert answers(hand(net, "C", name, HoldingQuery(message))) == [expected], name
    receipt = receipt_for(net, envelope.header, "B")
    hand(net, "C", "D", receipt)
    end = retention_end(envelope.header.created_at, envelope.header.ttl, FAST.eps)
    said = answers(hand(net, "C", "E", HoldingQuery(message)))
    assert said == [receipt, HoldingAnswer(message, Holding.RECEIPT, end)]


def test_a_question_is_answered_by_every_node_and_reported_to_who_asked() -> None:
    """TOM-PURGE-045, 047: the sender's questions, as `tom purge-audit` asks them."""
    net = home()
    message, order = absent(net)
    net.do("A", AskHolding(message))
    net.run()
    held = {name_of(net, what.peer): what.holding for what in net["A"].of(Held)}
    assert held["A"] is Holding.COPY
    assert {name for name, holding in held.items() if holding is Holding.COPY} == {"A", *order[:2]}
    net.start("B")
    net.pass_time(3_000)
    for name in "AB":
        net[name].effects.clear()
        net.do(name, AskHolding(message))
        net.run()
        held = {name_of(net, what.peer): what.holding for what in net[name].of(Held)}
        assert {held["A"], held["B"]} == {Holding.RECEIPT}
    with pytest.raises(CommandError, match="32 bytes"):
        net.do("A", AskHolding(b"short"))
    for number in range(100):
        net.do("A", AskHolding(sha256(b"%d" % number)))
    assert len(net["A"].node._questions) == 64
    assert net["A"].of(Held)[-1].holding is Holding.NOTHING


def test_a_relay_in_transit_says_so_to_those_on_the_way() -> None:
    """TOM-PURGE-047: the way back of a message that was handed on."""
    net = home("A", "B", "C")
    net.cut("A", "B")
    net.tamper = lambda sender, target, frame: (
        None if isinstance(frame, Receipt) else codec.encode_frame(frame)
    )
    net.send("A", "B")
    [passage] = net["C"].node._relaying._passages
    kept = answers(hand(net, "C", "A", HoldingQuery(passage)))
    assert [frame.holding for frame in kept if isinstance(frame, HoldingAnswer)] == [Holding.PASSAGE]
    net.do("C", AskHolding(passage))
    assert net["C"].of(Held)[-1].holding is Holding.PASSAGE
    assert net["C"].node._relaying.known_until(passage, sha256(b"stranger")) is None


# --- the sender -------------------------------------------------------------------------------------------


def test_the_final_state_is_told_at_every_start_until_it_is_taken() -> None:
    """TOM-PURGE-003, 005: with its receipt while that is kept; in the end a number and a state are left."""
    net = home("A", "B", "C")
    handle = net.send("A", "B", ttl=TTL)
    key = handle.to_bytes(8, "big")
    message = net["A"].of(Progress)[-1].message_id
    assert message is not None
    net.restart("A")
    told = [p for p in net["A"].of(Progress) if p.handle == handle and p.state is S.DELIVERED]
    assert len(told) == 2
    assert told[1].receipt == told[0].receipt
    assert net["A"].node.next_handle > handle
    net.pass_time(TTL + 2 * FAST.eps)
    assert traces(net, "A", message) == []
    assert (Table.VERDICT, key) in net["A"].disk
    net.restart("A")
    last = [p for p in net["A"].of(Progress) if p.handle == handle][-1]
    assert (last.state, last.receipt, last.message_id) == (S.DELIVERED, None, None)
    net.do("A", Taken(handle))
    assert (Table.VERDICT, key) not in net["A"].disk
    with pytest.raises(CommandError, match="bad_value"):
        net.do("A", Taken(handle))
    net["A"].effects.clear()
    net.restart("A")
    assert net["A"].of(Progress) == []


def test_expired_is_said_at_the_end_of_retention_and_again_until_taken() -> None:
    """TOM-PURGE-004, 005: not before nobody can take it any more."""
    net = home("A", "B", "C")
    net.stop("B")
    net.cut("A", "C")
    net.dead.add("C")
    net.do("A", SendMessage(7, net["B"].id, b"nobody", TTL))
    end = net.now + TTL + 2 * FAST.eps
    net.pass_time(end - net.now - 1)
    assert net.states("A", 7)[-1] is not S.EXPIRED
    net.pass_time(1)
    assert net.states("A", 7)[-1] is S.EXPIRED
    net.restart("A")
    assert net.states("A", 7)[-2:] == [S.EXPIRED, S.EXPIRED]


def test_a_final_state_that_a_start_brings_about_is_told_once() -> None:
    """TOM-PURGE-005, 037: retention ended while the node was off; it says so once, not twice."""
    net = home("A", "B", "C")
    net.stop("B")
    handle = net.send("A", "B", ttl=TTL)
    net.stop("A")
    net.now += TTL + 2 * FAST.eps
    net["A"].effects.clear()
    net["A"].restart(net.now)
    net.start("A")
    assert net.states("A", handle) == [], "not before it knows the time (TOM-PURGE-009)"
    net.connect("A", "C")
    assert net.states("A", handle) == [S.EXPIRED]
    net["A"].effects.clear()
    net["A"].restart(net.now)
    net.start("A")
    assert net.states("A", handle) == [S.EXPIRED]


def test_untaken_states_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-005, 015: who never takes them is refused more messages, and told when to go on."""
    monkeypatch.setattr(constants, "MAX_VERDICTS", 1)
    net = home("A", "B", "C")
    handle = net.send("A", "B")
    assert not net["A"].node.writable
    with pytest.raises(CommandError, match="overloaded"):
        net.send("A", "B")
    net.do("A", Taken(handle))
    assert net.drained("A") == 1
    assert net.send("A", "B") > handle


def test_erasures_before_a_refused_command_are_not_lost() -> None:
    """TOM-PURGE-036: they are due first; the command's refusal doesn't undo them."""
    net, _, message = kept_copy()
    net.now += TTL
    with pytest.raises(CommandError):
        net.do("C", Taken(1))
    assert net["C"].node.next_deadline() is not None
    assert net["C"].node.kept == ()
    net.do("C", Wake())
    assert traces(net, "C", message) == []


def test_a_sender_that_restarts_knows_its_custodians() -> None:
    """TOM-PURGE-002, 018, 020: the same bytes, the same holders, no third copy."""
    net = home()
    message, order = absent(net)
    payload = sent_payload(net, "A")
    net.restart("A")
    net.pass_time(5_000)
    assert custodians(net, message) == set(order[:2])
    net["A"].effects.clear()
    net.start("B")
    net.pass_time(3_000)
    assert net.shown("B")[-1] == b"while away"
    assert all(
        codec.decode_envelope(e.data).payload == payload for e in net["A"].of(SendFrame) if e.data[0] == 1
    )


def test_a_custodian_that_refuses_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-016: the next rank is asked, until as many keep it as the record says."""
    net = home()
    net.send("A", "B", b"meet first")
    net.stop("B")
    order = ranks(net, "A", "B")
    full = net[order[0]].node._custody
    monkeypatch.setattr(type(full), "check_room", refusing(full, type(full).check_room))
    net.send("A", "B", b"while away", ttl=TTL)
    assert {name for name, _ in copies(net, *NAMES)} == set(order[1:3])


def refusing(full: Custody, check: Callable[..., None]) -> Callable[..., None]:
    """Room everywhere but in one node."""

    def check_room(custody: Custody, header: Header, size: int, depositor: bytes) -> None:
        if custody is full:
            raise ProtocolError(Reason.OVERLOADED, "full")
        check(custody, header, size, depositor)

    return check_room


def test_false_words_about_holding_move_nothing() -> None:
    """TOM-PURGE-019, 045: an answer that nobody asked for, from whoever, changes nothing."""
    net, _, message = kept_copy()
    node = net["C"].node
    node._custody._copies[message].asked.clear()
    before = dict(net["C"].disk)
    for holding, until in [
        (Holding.NOTHING, 0),
        (Holding.COPY, 5),
        (Holding.RECEIPT, 5),
        (Holding.PASSAGE, 5),
    ]:
        for peer in "ADE":
            assert answers(hand(net, "C", peer, HoldingAnswer(message, holding, until))) == []
            assert answers(hand(net, "C", peer, HoldingAnswer(bytes(32), holding, until))) == []
    assert net["C"].disk == before


def test_reports_and_refusals_about_copies_count_only_from_who_has_one() -> None:
    """TOM-PURGE-020: a stranger's words about a copy are nobody's business."""
    net, envelope, message = kept_copy()
    custody = net["C"].node._custody
    assert custody.acknowledged(message, net["E"].id) is None
    assert custody.acknowledged(bytes(32), net["E"].id) is None
    before = dict(net["C"].disk)
    hand(net, "C", "E", Refusal(message, "overloaded"))
    hand(net, "C", "E", Refusal(bytes(32), "overloaded"))
    hand(
        net, "C", "E", Receipt(*[getattr(receipt_for(net, envelope.header, "E"), f) for f in RECEIPT_FIELDS])
    )
    assert net["C"].disk == before


RECEIPT_FIELDS = [field.name for field in fields(Receipt)]


def test_a_guest_deposits_with_its_host_which_hands_copies_to_the_ranks() -> None:
    """TOM-PURGE-016, 019, 020: who reaches one member only is kept by the custodians all the same."""
    net = home()
    net.send("A", "B", b"meet first")
    net.stop("B")
    order = ranks(net, "A", "B")
    host = next(name for name in "CDE" if name not in order[:2])
    for other in list(net["A"].links):
        if other != host:
            net.sides.append({"A"}) if not net.sides else None
            net.cut("A", other)
    net.sides.clear()
    net.tamper = lambda sender, target, frame: (
        None if "A" in {sender, target} and host not in {sender, target} else codec.encode_frame(frame)
    )
    net.send("A", "B", b"while away", ttl=TTL)
    net.pass_time(100)
    assert {name for name, _ in copies(net, *NAMES)} == {host, *order[:2]}
    relayed = [p.trail for p in net["A"].of(Progress) if p.state is S.RELAYED][-1]
    assert relayed[0].next_hop == net[host].id


def test_stored_copies_and_receipts_are_checked_when_they_come_back() -> None:
    """TOM-PURGE-037: a store that was tampered with is refused as a whole."""
    net, envelope, message = kept_copy()
    copy = net["C"].disk[Table.CUSTODY, message]
    receipt = codec.encode_receipt(receipt_for(net, envelope.header, "B"))
    hand(net, "C", "D", receipt)
    tombstone = net["C"].disk[Table.TOMBSTONE, message]
    for table, key, value in [
        (Table.CUSTODY, bytes(32), copy),
        (Table.CUSTODY, message, copy[:-1]),
        (Table.TOMBSTONE, message, tombstone[:-1]),
        (Table.VERDICT, bytes(8), b"\x01"),
    ]:
        with pytest.raises(ProtocolError):
            Node(net["C"].identity, entropy=net["C"].entropy, now=net.now, records=[(table, key, value)])


@pytest.mark.parametrize(
    "data", [b"\x22" + bytes(32) + b"\x04" + bytes(8), b"\x22" + bytes(32) + b"\x00" + b"\x01" * 8]
)
def test_impossible_answers_are_refused(data: bytes) -> None:
    """TOM-PURGE-046: a holding that isn't defined; a time for nothing."""
    with pytest.raises(ProtocolError, match="bad_value"):
        codec.decode_frame(data)
    with pytest.raises(ProtocolError, match="bad_value"):
        codec.encode_frame(HoldingAnswer(bytes(32), Holding.COPY, 0))


def test_a_liar_that_replays_after_the_purge_gets_nowhere() -> None:
    """TOM-PURGE-012, 013, 026: whatever it kept, to whomever, for as long as it likes."""
    net = home()
    message, order = absent(net)
    liar, other = order[0], order[1]
    kept = codec.CUSTODY.decode(net[liar].disk[Table.CUSTODY, message]).envelope
    envelope = codec.decode_envelope(kept)
    net.start("B")
    net.pass_time(3_000)
    shown = list(net.shown("B"))
    receipt = net["A"].of(Progress)[-1].receipt
    assert receipt is not None
    signed = signed_stamp(message, envelope.trail[-1], net.now, net[other].id)
    stamp = Stamp(net.now, net[other].id, net[liar].identity.signing_key.sign(signed))
    replay = evolve(envelope, trail=(*envelope.trail, stamp))
    assert answers(hand(net, other, liar, replay)) == [receipt]
    net.pass_time(TTL + 2 * FAST.eps)
    assert deposit(net, other, liar, replay) == [Refusal(message, "expired")]
    assert answers(hand(net, other, liar, receipt)) == []
    assert traces(net, [name for name in NAMES if name != liar], message, envelope.payload[60:92]) == [
        (name, table) for name, table in traces(net, "B", message) if table is Table.INBOX
    ]
    assert net.shown("B") == shown


def test_next_ranks_prefer_whom_one_is_linked_to() -> None:
    """TOM-PURGE-016, 019: the best linked one; without links the first three to be sought."""
    net = home("A", "B", "C", "D", "E", "F")
    roles = net["A"].node.home.roles
    assert roles is not None
    header = envelope_for(net, "A", "B", "C").header
    duty = roles.duty(net["A"].id, net["B"].id)
    assert first_ranks(roles, header) == duty[:2]
    assert next_ranks(roles, header, duty[:1], lambda _: True) == duty[1:2]
    assert next_ranks(roles, header, duty[:1], lambda node: node == duty[3]) == duty[3:4]
    assert next_ranks(roles, header, (), lambda _: False) == duty[:3]
    assert next_ranks(roles, header, duty, lambda _: False) == ()


def test_a_recipient_that_lost_its_sessions_is_heard_by_the_sender_through_a_custodian() -> None:
    """TOM-SESSION-055, TOM-PURGE-017: the copy stays; the sender's next message begins a new session."""
    net = home()
    for number in range(3):
        net.send("A", "B", b"meet %d" % number)
        net.send("B", "A", b"answer %d" % number)
    net.stop("B")
    net.send("A", "B", b"lost", ttl=TTL)
    net["B"].disk = {key: value for key, value in net["B"].disk.items() if key[0] is not Table.SESSION}
    net["B"].restart(net.now)
    net.sides.append({"A"})
    for other in [name for name in net["A"].links if name in net["B"].links]:
        net.cut("A", other)
    net.sides.clear()
    net.start("B")
    net.pass_time(3_000)
    assert b"lost" not in net.shown("B")
    assert {message for _, message in copies(net, "C", "D", "E")}
    net.send("A", "B", b"heals")
    net.pass_time(3_000)
    assert net.shown("B")[-1] == b"heals"


def test_a_share_is_given_back_copy_by_copy() -> None:
    """TOM-PURGE-034, 044: what one copy took is free again when it goes, and the other stays counted."""
    net, _, message = kept_copy()
    net.now += 5
    later = envelope_for(net, "A", "B", "C", ttl=TTL + 1_000)
    assert isinstance(deposit(net, "C", "A", later)[0], TrailReport)
    net.pass_time(TTL)
    custody = net["C"].node._custody
    assert [kept.message for kept in net["C"].node.kept] == [message_id(later.header_bytes)]
    assert {share.count for share in custody._shares.values()} == {1}
    hand(net, "C", "D", receipt_for(net, later.header, "B"))
    [kept] = net["C"].node.kept
    assert (kept.holding, kept.sender, kept.recipient) == (Holding.RECEIPT, net["A"].id, net["B"].id)
    assert custody._shares == {}
    assert custody._size == 0
    assert message != kept.message


def test_a_copy_is_handed_to_nobody_twice_and_to_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-019, 020: a node of the trail had it; the list of those who got it is bounded."""
    net, _, message = kept_copy()
    custody = net["C"].node._custody
    copy = custody._copies[message]
    other = next(name for name in "DE" if net[name].id not in copy.copied)
    copy.asked |= {net["C"].id, net[other].id}
    step = Step(net.now)
    custody.answered(step, net["C"].id, 1, HoldingAnswer(message, Holding.NOTHING, 0))
    monkeypatch.setattr(constants, "MAX_HOLDERS", 0)
    custody.answered(step, net[other].id, 1, HoldingAnswer(message, Holding.NOTHING, 0))
    custody.look(step, message, None)
    assert not any(isinstance(e, SendFrame) and e.data[:1] == b"\x01" for e in step.finish())
    pending_node = net["A"].node
    net.do("A", SendMessage(50, net["B"].id, b"x", TTL))
    pending = pending_node._sending._pending[50]
    pending.hop = net["C"].id
    monkeypatch.setattr(constants, "MAX_HOLDERS", 64)
    for _ in range(2):
        pending_node._sending.kept_by(step, pending, net["C"].id)
    assert (pending.hop, pending.custodians) == (None, (net["C"].id,))


def test_evidence_of_a_term_that_does_not_end_goes_with_the_messages_retention() -> None:
    """TOM-PURGE-055: without a quorum no record closes the term, and still nobody keeps the message's id."""
    net = home()
    net.send("A", "B", b"over a relay", ttl=3_000)
    net.run()
    assert held_deliveries(net, "A")
    term = net.record("A")
    for name in "CDE":
        net.stop(name)
    net.pass_time(3_000 + 2 * FAST.eps - FAST.slot_ms)
    assert held_deliveries(net, "A")
    net.pass_time(2 * FAST.slot_ms)
    assert net.record("A") == term, "two of five close no term"
    assert not held_deliveries(net, "A")


def held_deliveries(net: Homes, name: str) -> set[bytes]:
    """Of which messages a node would propose the evidence."""
    held = net[name].node.home._now
    assert held is not None
    return {*held.deliveries}
