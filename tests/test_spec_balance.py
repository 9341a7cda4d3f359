"""Ledger, work and fair queuing (spec/11-balance.md)."""

from __future__ import annotations

from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.network import START, Network
from tests.subnets import FAST, founded
from tests.test_spec_roles_formats import delivery
from tests.test_spec_roles_records import ALL, NODES, RECORD, ROLES, succeed
from tom_ref import codec, constants, records, term_codec
from tom_ref.crypto import sha256
from tom_ref.draft import Roles
from tom_ref.effects import DeliveryState, Event, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.fairqueue import QUANTUM, FairQueue
from tom_ref.frames import Envelope, HoldingAnswer, Refusal
from tom_ref.home import Home
from tom_ref.inputs import AddPeer, LinkCongested, LinkWritable, SendMessage, Start
from tom_ref.ledger import Charge, allowance, faded, search_work, settle, work_bits, work_done
from tom_ref.term_frames import Evidence, Member, TermRecord
from tom_ref.validate import message_id

MEGABYTE = 1_048_576
DAY = 86_400_000

# --- settling -------------------------------------------------------------------------------------------


def test_the_sender_pays_and_the_drafted_relay_earns() -> None:
    """TOM-BALANCE-002 to 005: header and payload, once, and the sums stay zero."""
    relay = ROLES.duty(NODES[0].node_id, NODES[1].node_id)[0]
    made = delivery(0, 1, relay)
    record = succeed(Evidence(heartbeats=ALL, deliveries=(made,)))
    size = len(made.header_bytes)
    balances = {member.node: member.balance for member in record.roster}
    assert balances[NODES[0].node_id] == -size
    assert balances[relay] == size
    assert sum(balances.values()) + record.pot == 0
    assert record.pot == 0


def test_what_does_not_count_moves_nothing() -> None:
    """TOM-BALANCE-002: a relay without the duty, a sender or a recipient that is no member."""
    duty = ROLES.duty(NODES[0].node_id, NODES[1].node_id)
    assert records.charged(delivery(0, 1, duty[0]), ROLES) is not None
    assert records.charged(delivery(0, 1, b"\x05" * 32), ROLES) is None
    for gone in (0, 1):
        roster = tuple(member for member in RECORD.roster if member.node != NODES[gone].node_id)
        assert records.charged(delivery(0, 1, duty[0]), Roles(evolve(RECORD, roster=roster))) is None
    record = succeed(Evidence(heartbeats=ALL, deliveries=(delivery(0, 1, b"\x05" * 32),)))
    assert [member.balance for member in record.roster] == [0, 0, 0, 0]


def test_an_allowance_shrinks_with_debt_and_never_exceeds_its_bound() -> None:
    """TOM-BALANCE-006."""
    most = constants.ALLOWANCE
    assert [allowance(balance) for balance in (0, 5, most, -5, 1 - most, -most, -2 * most)] == [
        most, most, most, most - 5, 1, 0, 0
    ]  # fmt: skip


def test_beyond_the_allowance_the_pot_gets_it() -> None:
    """TOM-BALANCE-005, 006: three charges of one sender, in order, up to the allowance."""
    charges = [
        Charge(b"a", b"c", 7 * MEGABYTE),
        Charge(b"a", b"d", 7 * MEGABYTE),
        Charge(b"a", b"c", 7 * MEGABYTE),
    ]
    settled = settle({b"a": 0, b"c": 0, b"d": 0}, charges, 0)
    assert settled == {b"a": -21 * MEGABYTE, b"c": 9 * MEGABYTE, b"d": 7 * MEGABYTE}
    assert sum(settled.values()) == -(21 - constants.ALLOWANCE // MEGABYTE) * MEGABYTE
    # Who is in debt by the allowance earns nobody anything, and goes on paying.
    owing = settle({b"a": -constants.ALLOWANCE, b"c": 0}, charges[:1], 0)
    assert owing == {b"a": -constants.ALLOWANCE - 7 * MEGABYTE, b"c": 0}


def test_balances_fade_by_half_in_a_week() -> None:
    """TOM-BALANCE-007: towards zero, rounded towards zero, term by term; all gone after DECAY."""
    balance = 1_000_000_000
    for _ in range(7 * 144):
        balance = faded(balance, DAY // 144)
    assert abs(balance - 500_000_000) < 1_000_000
    for size in (1, 999, 10**9):
        assert faded(-size, DAY) == -faded(size, DAY)
        assert 0 <= faded(size, DAY) < size
        assert faded(size, 0) == size
        assert faded(size, constants.DECAY) == faded(size, 10 * constants.DECAY) == 0


def test_elapsed_is_the_time_between_the_records_starts() -> None:
    """TOM-BALANCE-007, 008: what fades and what a leaver had is in the pot."""
    rich = evolve(RECORD.roster[0], balance=constants.DECAY)
    poor = evolve(RECORD.roster[1], balance=-constants.DECAY, absent=7)
    old = evolve(RECORD, roster=(rich, poor, *RECORD.roster[2:]))
    record = succeed(Evidence(), old)
    elapsed = record.start - old.start
    assert record.roster[0].balance == constants.DECAY - elapsed
    assert record.member(poor.node) is None
    assert record.pot == -record.roster[0].balance


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[dict[bytes, int], list[Charge], int]:
    """Balances, charges between their holders, and a time."""
    nodes = [bytes((number,)) * 32 for number in range(draw(st.integers(2, 6)))]
    balances = {node: draw(st.integers(-(2**40), 2**40)) for node in nodes}
    charge = st.builds(Charge, st.sampled_from(nodes), st.sampled_from(nodes), st.integers(0, 2 * MEGABYTE))
    return balances, draw(st.lists(charge, max_size=60)), draw(st.integers(0, 2 * constants.DECAY))


@given(ledgers())
def test_nothing_is_made_and_nobody_moves_more_than_an_allowance(
    case: tuple[dict[bytes, int], list[Charge], int],
) -> None:
    """TOM-BALANCE-004 to 007: debits are whole, credits are bounded, no number is made up."""
    balances, charges, elapsed = case
    settled = settle(balances, charges, elapsed)
    base = settle(balances, [], elapsed)
    debits, credit = Counter[bytes](), Counter[bytes]()
    for charge in charges:
        debits[charge.sender] += charge.size
    gained = sum(settled.values()) - sum(base.values()) + debits.total()
    for charge in charges:
        credit[charge.sender] += charge.size
    assert gained == sum(min(credit[node], allowance(balances[node])) for node in balances)
    assert all(abs(base[node]) <= abs(balances[node]) for node in balances)
    assert all(settled[node] >= base[node] - debits[node] for node in balances)


def test_a_sum_that_is_not_zero_is_refused() -> None:
    """TOM-BALANCE-001, TOM-ROLES-006."""
    bad = evolve(RECORD, roster=(evolve(RECORD.roster[0], balance=1), *RECORD.roster[1:]))
    with pytest.raises(ProtocolError) as caught:
        term_codec.encode_record(bad)
    assert caught.value.reason is Reason.BAD_RECORD


def test_two_accomplices_gain_an_allowance_at_most() -> None:
    """Traffic that serves nobody: a sender's fake deliveries over 40 terms earn its relay one allowance."""
    balances = {b"fake": 0, b"relay": 0}
    for _ in range(40):
        charges = [Charge(b"fake", b"relay", MEGABYTE)] * 64
        balances = settle(balances, charges, 0)
    assert balances[b"relay"] == constants.ALLOWANCE
    assert balances[b"fake"] == -40 * 64 * MEGABYTE


# --- work -----------------------------------------------------------------------------------------------


def test_work_grows_with_the_logarithm_of_the_debt() -> None:
    """TOM-BALANCE-010: the table of the chapter, and the bound."""
    unit = constants.LOAD_UNIT
    debts = [0, 1, unit - 1, unit, 3 * unit - 1, 3 * unit, 7 * unit, 1023 * unit, 2**60]
    assert [work_bits(-debt) for debt in debts] == [0, 8, 8, 9, 9, 10, 11, 18, 24]
    assert work_bits(10) == 0
    assert [work_bits(-debt) for debt in range(0, 4 * unit, unit // 2)] == sorted(
        work_bits(-debt) for debt in range(0, 4 * unit, unit // 2)
    )


def test_work_is_searched_in_parts() -> None:
    """TOM-BALANCE-009: by hand from the rule's text; the search finds the first nonce or nothing."""
    message = b"m" * 32
    found = search_work(message, 10, 0, 100_000)
    assert found is not None
    assert work_done(message, found) >= 10
    assert all(work_done(message, nonce) < 10 for nonce in range(found))
    assert search_work(message, 10, 0, found) is None
    assert search_work(message, 10, found, 1) == found
    text = b"\x0aToM/1 work" + b"\0\0\0\x20" + message + b"\0\0\0\x08" + found.to_bytes(8, "big")
    digest = int.from_bytes(sha256(text), "big")
    assert digest >> (256 - 10) == 0


def home_of(net: Network, balances: dict[str, int], starts_in: int = 10**9) -> TermRecord:
    """Put all peers into one home whose record has these balances, as if restored from disk."""
    members = sorted(
        (
            Member(peer.id, peer.identity.vrf_key, admitted=0, balance=balances.get(name, 0))
            for name, peer in net.peers.items()
        ),
        key=lambda member: member.node,
    )
    record = evolve(
        founded(1, FAST).record,
        start=START + starts_in,
        roster=tuple(members),
        pot=-sum(balances.values()),
    )
    for peer in net.peers.values():
        peer.disk[Table.RECORD, b"present"] = term_codec.encode_record(record)
        peer.disk[Table.RECORD, b"proof"] = b""
        peer.restart(net.now)
    for name in net.peers:
        net.do(name, Start())
    return record


def relayed(balances: dict[str, int]) -> Network:
    """A and B in one home with C, which alone links them."""
    net = Network("A", "B", "C")
    home_of(net, balances)
    for end in "AB":
        net.connect(end, "C")
    net.run()
    return net


def first_envelope(net: Network) -> list[Envelope]:
    """Envelopes that left A, as they leave."""
    seen: list[Envelope] = []

    def watch(source: str, _: str, frame: codec.AnyFrame) -> bytes | None:
        if isinstance(frame, Envelope) and source == "A":
            seen.append(frame)
        return codec.encode_frame(frame)

    net.tamper = watch
    return seen


def test_who_is_in_balance_works_for_nothing() -> None:
    """TOM-BALANCE-010, 013: no work is asked for and none is shown."""
    net = relayed({"A": 5, "C": -5})
    seen = first_envelope(net)
    handle = net.send("A", "B")
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED
    assert [envelope.work_nonce for envelope in seen] == [0]


def test_a_debtor_works_and_is_served() -> None:
    """TOM-BALANCE-012, 013: the work is found in parts and the same message is delivered."""
    net = relayed({"A": -40 * constants.LOAD_UNIT, "C": 40 * constants.LOAD_UNIT})
    seen = first_envelope(net)
    handle = net.send("A", "B")
    net.pass_time(1_000)
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED
    assert len(seen) == 1
    bits = work_bits(-40 * constants.LOAD_UNIT)
    assert bits == 13
    assert work_done(message_id(seen[0].header_bytes), seen[0].work_nonce) >= bits


def test_a_debtors_message_for_an_absent_recipient_is_kept_once_its_work_is_done() -> None:
    """TOM-BALANCE-011, 013: more work than one step does; until it is found nothing is handed over."""
    debt = 256 * constants.LOAD_UNIT
    net = relayed({"A": -debt, "C": debt})
    net.cut("B", "C")
    seen = first_envelope(net)
    net.send("A", "B", b"for later")
    net.pass_time(20_000)
    assert seen
    for envelope in seen:
        assert work_done(message_id(envelope.header_bytes), envelope.work_nonce) >= work_bits(-debt)
    assert [key for table, key in net["C"].disk if table is Table.CUSTODY]
    net.connect("B", "C")
    net.run()
    net.pass_time(5_000)
    assert net.shown("B") == [b"for later"]


def test_a_debt_of_a_new_record_is_worked_for_before_a_copy_is_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TOM-BALANCE-013: the record changes between the question for custody and its answer."""
    bits = 16
    net = relayed({})
    net.cut("B", "C")
    worked: list[int] = []

    def indebted(_: str, target: str, frame: codec.AnyFrame) -> bytes | None:
        if isinstance(frame, HoldingAnswer) and target == "A":
            monkeypatch.setattr(Home, "own_work", lambda self: bits if self.own_id == net["A"].id else 0)
        elif isinstance(frame, Envelope) and Home.own_work(net["A"].node.home) == bits:
            worked.append(work_done(message_id(frame.header_bytes), frame.work_nonce))
        return codec.encode_frame(frame)

    net.tamper = indebted
    net.send("A", "B", b"for later")
    net.pass_time(20_000)
    assert worked
    assert min(worked) >= bits
    assert [key for table, key in net["C"].disk if table is Table.CUSTODY]


def test_a_relay_refuses_a_debtor_without_work() -> None:
    """TOM-BALANCE-011: with the code ``bad_work``; A's other messages go on."""
    net = relayed({"A": -constants.LOAD_UNIT, "C": constants.LOAD_UNIT})
    refusals: list[str] = []

    def cheat(source: str, target: str, frame: codec.AnyFrame) -> bytes | None:
        if isinstance(frame, Envelope) and source == "A":
            lazy = next(
                nonce
                for nonce in range(1_000)
                if work_done(message_id(frame.header_bytes), nonce) < work_bits(-MEGABYTE)
            )
            return codec.encode_envelope(evolve(frame, work_nonce=lazy))
        if isinstance(frame, Refusal) and target == "A":
            refusals.append(frame.reason)
        return codec.encode_frame(frame)

    net.tamper = cheat
    handle = net.send("A", "B")
    net.pass_time(10)
    assert set(refusals) == {"bad_work"}, "to carry it, and to keep it, is refused"
    assert net.shown("B") == []
    net.tamper = None
    net.pass_time(60_000)
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED


def test_a_recipient_asks_for_no_work() -> None:
    """TOM-BALANCE-012: handed over directly, a debtor's message needs none."""
    net = Network("A", "B")
    home_of(net, {"A": -MEGABYTE, "B": MEGABYTE})
    net.connect("A", "B")
    net.run()
    seen = first_envelope(net)
    handle = net.send("A", "B")
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED
    assert [envelope.work_nonce for envelope in seen] == [0]


def test_work_is_looked_for_no_longer_when_the_message_is_gone() -> None:
    """A message whose lifetime ends while its work is looked for costs no further hash."""
    debt = 2**44
    net = relayed({"A": -debt, "C": debt})
    handle = net["A"].node.next_handle
    net.do("A", SendMessage(handle, net["B"].id, b"too dear", 5))
    net.run()
    assert net["A"].node.next_deadline() == net.now + 1
    net.pass_time(5)
    assert net["A"].node.next_deadline() != net.now + 1
    assert net.states("A", handle) == [DeliveryState.PENDING]


# --- fair queuing ---------------------------------------------------------------------------------------


def drained(queue: FairQueue[tuple[str, int]]) -> list[tuple[str, int]]:
    """Everything in its order."""
    found = []
    while (item := queue.pop()) is not None:
        found.append(item)
    return found


def test_sources_take_turns_by_bytes() -> None:
    """TOM-BALANCE-014: one floods with large messages, another sends few small ones."""
    queue = FairQueue[tuple[str, int]]()
    for number in range(30):
        queue.push(b"flood", ("flood", number), 2 * QUANTUM)
    for number in range(8):
        queue.push(b"quiet", ("quiet", number), QUANTUM // 4)
    order = drained(queue)
    assert [item for item in order if item[0] == "quiet"] == [("quiet", number) for number in range(8)]
    assert [item for item in order if item[0] == "flood"] == [("flood", number) for number in range(30)]
    last = max(place for place, item in enumerate(order) if item[0] == "quiet")
    assert last < 11
    assert len(queue) == 0
    assert queue.size == 0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, MEGABYTE)), min_size=1, max_size=60))
def test_shares_differ_by_no_more_than_a_turn_and_a_message(pushes: list[tuple[int, int]]) -> None:
    """TOM-BALANCE-014: while two sources both wait, their bytes stay close, whatever the sizes."""
    queue = FairQueue[tuple[int, int]]()
    waiting = Counter[int]()
    for source, size in pushes:
        for source_gone, _ in queue.push(bytes((source,)), (source, size), size):
            waiting[source_gone] -= 1
        waiting[source] += 1
    sent, alike = Counter[int](), {source for source, count in waiting.items() if count}
    while (item := queue.pop()) is not None:
        source, size = item
        sent[source] += size
        waiting[source] -= 1
        if not waiting[source]:
            alike.discard(source)
        shares = [sent[one] for one in alike]
        assert not shares or max(shares) - min(shares) <= 2 * (QUANTUM + MEGABYTE)
    assert not +waiting


def test_the_longest_queue_pays_for_lack_of_room() -> None:
    """TOM-BALANCE-015: its newest goes; who sends little is not refused."""
    queue = FairQueue[str]()
    room = constants.MAX_QUEUED_BYTES // MEGABYTE
    for number in range(room):
        assert queue.push(b"flood", f"flood {number}", MEGABYTE) == []
    assert queue.push(b"quiet", "quiet", 10) == [f"flood {room - 1}"]
    assert queue.push(b"flood", "flood again", MEGABYTE) == ["flood again"]
    assert len(queue) == room
    assert queue.clear()[-1] == "quiet"
    assert queue.pop() is None


def test_small_messages_are_bounded_by_their_number() -> None:
    """TOM-BALANCE-015: as many as ``MAX_QUEUED``."""
    queue = FairQueue[int]()
    refused = [one for number in range(constants.MAX_QUEUED + 3) for one in queue.push(b"x", number, 1)]
    assert refused == [constants.MAX_QUEUED + place for place in range(3)]


def crowd() -> Network:
    """Two senders, A and D, and B behind the busy relay C."""
    net = Network("A", "B", "C", "D")
    for end in "ABD":
        net.do(end, AddPeer(net["C"].id, (), relay=True))
        net.connect(end, "C")
    net.run()
    # Sessions exist before the link is busy.
    for sender in "AD":
        net.send(sender, "B", b"first")
    net.do("C", LinkCongested(net["C"].links["B"]))
    return net


def test_a_flood_does_not_delay_others() -> None:
    """TOM-BALANCE-014: A fills the queue, D's one message is among the first to leave."""
    net = crowd()
    for number in range(40):
        net.send("A", "B", b"%2d" % number + bytes(60_000))
    net.send("D", "B", b"please")
    assert net.shown("B") == [b"first", b"first"]
    net.do("C", LinkWritable(net["C"].links["B"]))
    net.run()
    # One burst a step: it holds D's message and leaves some of A's waiting.
    assert b"please" in net.shown("B")
    assert len(net.shown("B")) < 12
    net.pass_time(100)
    assert len(net.shown("B")) == 43


def test_while_something_waits_nobody_overtakes() -> None:
    """TOM-BALANCE-014: a new message goes behind those of its neighbour that wait, once each."""
    net = crowd()
    net.send("A", "B", b"one" + bytes(500_000))
    net.send("A", "B", b"two")
    net.pass_time(2_500)  # A retries; what waits already waits once.
    net.do("C", LinkWritable(net["C"].links["B"]))
    net.send("A", "B", b"three")
    net.pass_time(100)
    assert [content[:5].rstrip(b"\0") for content in net.shown("B")[2:]] == [b"one", b"two", b"three"]


def test_what_waits_is_refused_when_it_cannot_go() -> None:
    """A lost link, a full queue and an ended lifetime are each answered with their code."""
    net = crowd()
    net.send("A", "B", b"for nobody")
    net.cut("C", "B")
    net.run()
    assert [report.detail for report in net.events("A", Event.REROUTED)] == ["no_route"]

    net = crowd()
    for _ in range(constants.MAX_QUEUED_BYTES // 1_000_000 + 1):
        net.send("A", "B", bytes(1_000_000))
    assert [report.detail for report in net.events("A", Event.REROUTED)] == ["overloaded"]

    net = crowd()
    net.send("A", "B", b"short-lived", ttl=500)
    net.now += 600
    net.do("C", LinkWritable(net["C"].links["B"]))
    net.run()
    assert [report.detail for report in net.events("C", Event.REFUSED)] == ["expired: 100 ms ago"]
    assert net.shown("B") == [b"first", b"first"]


def test_a_burst_stops_when_the_link_is_busy_again() -> None:
    """The timer of a queue whose link is congested again does nothing until the link takes more."""
    net = crowd()
    for _ in range(10):
        net.send("A", "B", bytes(60_000))
    link = net["C"].links["B"]
    net.do("C", LinkWritable(link))
    net.do("C", LinkCongested(link))
    net.run()
    shown = len(net.shown("B"))
    assert 2 < shown < 12
    net.pass_time(500)
    assert len(net.shown("B")) == shown
