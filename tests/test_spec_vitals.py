"""Reports, medians, adaptation (spec/12-vitals.md)."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.network import Network
from tests.subnets import FAST, identity
from tests.test_spec_balance import home_of
from tests.test_spec_roles_records import ALL, NODES, PRESENT, RECORD, ROLES, SUBNET, refused, succeed
from tom_ref import codec, constants, records, term_codec
from tom_ref.draft import tolerated
from tom_ref.effects import Event
from tom_ref.errors import ProtocolError, Reason
from tom_ref.identity import Identity
from tom_ref.inputs import FrameReceived
from tom_ref.step import Step
from tom_ref.term_frames import Counts, Evidence, TermRecord, Vitals, VitalsProof, VitalsReport
from tom_ref.vitals import CLASSES, Pulse, adapted, forked, lower_median, permille, summarized

FINE = Counts(10, 10, 2, 2, (10, 0, 0, 0, 0, 0, 0, 0))
POOR = Counts(10, 5, 4, 1, (0, 5, 0, 0, 0, 0, 0, 0))


def proof(
    node: Identity, counts: Counts, record: TermRecord = RECORD, present: bytes = PRESENT
) -> VitalsProof:
    """A member's report as evidence."""
    signed = records.signed_report(record.subnet, record.term, present, counts)
    index = next(place for place, member in enumerate(record.roster) if member.node == node.node_id)
    return VitalsProof(index, counts, node.signing_key.sign(signed))


# --- what a member counts -------------------------------------------------------------------------------


def test_a_pulse_counts_by_class() -> None:
    """TOM-VITALS-002: the bounds belong to the class below; what expired has no time."""
    pulse = Pulse()
    for latency in (0, 100, 101, 300, 100_000, 100_001):
        pulse.ended(latency, rerouted=latency == 300)
    pulse.ended(None, rerouted=True)
    pulse.ended(None, rerouted=False)
    counts = pulse.counts
    assert counts == Counts(8, 6, 2, 1, (2, 2, 0, 0, 0, 0, 1, 1))
    assert pulse.take() == counts
    assert pulse.counts == Counts()
    assert len(CLASSES) == 7


def test_a_pulse_stops_at_its_bound() -> None:
    """TOM-VITALS-002: at most 65,535."""
    pulse = Pulse()
    for _ in range(65_536):
        pulse.ended(None, rerouted=False)
    assert pulse.counts.ended == 65_535


# --- formats --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "counts",
    [
        Counts(1, 2, 0, 0, (2, 0, 0, 0, 0, 0, 0, 0)),
        Counts(1, 0, 2, 0),
        Counts(3, 1, 1, 2, (1, 0, 0, 0, 0, 0, 0, 0)),
        Counts(3, 1, 2, 2, (1, 0, 0, 0, 0, 0, 0, 0)),
        Counts(3, 1, 0, 0, (1, 1, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_parts_are_no_more_than_their_wholes(counts: Counts) -> None:
    """TOM-VITALS-003: neither made nor taken, as a frame or in evidence."""
    with pytest.raises(ProtocolError) as caught:
        term_codec.encode_counts(counts)
    assert caught.value.reason is Reason.BAD_VALUE
    fine = codec.encode_frame(VitalsReport(bytes(32), 1, bytes(32), bytes(32), FINE, bytes(64)))
    start = 1 + 32 + 8 + 32 + 32
    numbers = (counts.ended, counts.delivered, counts.rerouted, counts.recovered, *counts.latency)
    broken = fine[:start] + b"".join(number.to_bytes(2, "big") for number in numbers) + fine[start + 24 :]
    with pytest.raises(ProtocolError) as caught:
        codec.decode_frame(broken)
    assert caught.value.reason is Reason.BAD_VALUE


def test_a_report_and_a_record_with_signs_survive_their_formats() -> None:
    """TOM-VITALS-004, TOM-ROLES-126."""
    report = VitalsReport(RECORD.subnet, 3, PRESENT, NODES[0].node_id, POOR, bytes(range(64)))
    assert codec.decode_frame(codec.encode_frame(report)) == report
    assert codec.encode_frame(report)[:1] == b"\x20"
    record = evolve(RECORD, vitals=Vitals(950, 3, (1, 2, 3, 4, 5, 6, 7, 1_000), 64, 9))
    data = term_codec.encode_record(record)
    assert term_codec.decode_record(data) == record
    place = data.index(b"\x00\x17" + (950).to_bytes(2, "big"))
    shorter = data[:place] + b"\x00\x16" + data[place + 2 : place + 24] + data[place + 25 :]
    with pytest.raises(ProtocolError) as caught:
        term_codec.decode_record(shorter)
    assert caught.value.reason is Reason.BAD_VALUE


# --- signs ----------------------------------------------------------------------------------------------


def test_the_lower_median() -> None:
    """TOM-VITALS-006."""
    assert [lower_median(values) for values in ([5], [9, 1], [3, 1, 2], [4, 3, 2, 1])] == [5, 1, 2, 2]
    assert permille(2, 3) == 666


def test_signs_follow_from_the_evidence() -> None:
    """TOM-VITALS-005 to 007: three of four say something; the liar's is one of them."""
    reports = tuple(
        proof(node, counts) for node, counts in zip(NODES, (FINE, POOR, FINE, Counts()), strict=True)
    )
    record = succeed(Evidence(heartbeats=ALL, reports=reports))
    assert record.vitals == Vitals(1_000, 1_000, (1_000, 0, 0, 0, 0, 0, 0, 0), 4, 0)
    # Two of four are too few, whatever they say.
    record = succeed(Evidence(heartbeats=ALL, reports=reports[:2]))
    assert record.vitals == Vitals(reports=2)
    assert (record.relay_share, record.custody) == (RECORD.relay_share, RECORD.custody)


def test_reports_are_verified_and_count_only_from_validators() -> None:
    """TOM-VITALS-001, 005: over this record; an absent member's is verified and counts for nothing."""
    stranger = evolve(proof(NODES[0], FINE), signature=proof(NODES[1], FINE).signature)
    refused(Reason.BAD_SIGNATURE, Evidence(heartbeats=ALL, reports=(stranger,)))
    other = proof(NODES[0], FINE, present=bytes(32))
    refused(Reason.BAD_SIGNATURE, Evidence(heartbeats=ALL, reports=(other,)))
    refused(Reason.BAD_VALUE, Evidence(heartbeats=ALL, reports=(evolve(other, index=4),)))
    away = next(place for place, node in enumerate(NODES) if node.node_id != ROLES.leader(1))
    roster = tuple(evolve(member, absent=int(place == away)) for place, member in enumerate(RECORD.roster))
    old = evolve(RECORD, roster=roster)
    present = records.record_hash(old)
    reports = tuple(proof(node, FINE, old, present) for node in NODES)
    record = succeed(Evidence(reports=reports), old)
    assert record.vitals is not None
    assert record.vitals.reports == 3


@given(
    st.integers(1, 64),
    st.data(),
)
def test_liars_move_a_sign_no_further_than_honest_reports_span(members: int, data: st.DataObject) -> None:
    """TOM-VITALS-006, 007: f of n say anything, the proposer chooses whom to count."""
    liars = tolerated(members)
    rate = st.integers(0, 100).map(lambda good: Counts(100, good, 0, 0, (good, 0, 0, 0, 0, 0, 0, 0)))
    honest = data.draw(st.lists(rate, min_size=members - liars, max_size=members - liars))
    lies = data.draw(
        st.lists(st.sampled_from([Counts(1), Counts(1, 1, 0, 0, (0,) * 7 + (1,))]), max_size=liars)
    )
    chosen = data.draw(st.lists(st.sampled_from(range(len(honest))), unique=True))
    reports = [*lies, *(honest[place] for place in chosen)]
    before = Vitals(delivery=777)
    signs, worst = summarized(before, reports, liars)
    if worst is None:
        assert len(reports) < 2 * liars + 1
        assert signs.delivery == 777
        return
    rates = [10 * counts.delivered for counts in (honest[place] for place in chosen)]
    assert min(rates) <= signs.delivery <= max(rates)


def test_a_fork_is_counted() -> None:
    """TOM-VITALS-008."""
    assert forked(None) == Vitals(forks=1)
    assert forked(Vitals(900, 800, (1,) * 8, 7, 65_535)) == Vitals(900, 800, (1,) * 8, 0, 65_535)
    broken = evolve(RECORD, vitals=Vitals())
    with pytest.raises(ProtocolError) as caught:
        records.check_genesis(evolve(SUBNET.genesis, record=broken), FAST)
    assert caught.value.reason is Reason.BAD_RECORD


# --- adaptation -----------------------------------------------------------------------------------------


def test_adaptation_takes_one_step_within_its_bounds() -> None:
    """TOM-VITALS-009."""
    low, high = constants.VITALS_LOW, constants.VITALS_HIGH
    assert adapted(4, 2, low - 1) == (5, 3)
    assert adapted(12, 4, 0) == (12, 4)
    assert adapted(7, 3, low) == adapted(7, 3, high - 1) == adapted(7, 3, None) == (7, 3)
    assert adapted(7, 3, high) == (6, 2)
    assert adapted(4, 2, 1_000) == (4, 2)


def test_a_subnet_in_trouble_drafts_more_relays_and_goes_back() -> None:
    """TOM-VITALS-009: through records, with news and without."""
    poor = tuple(proof(node, POOR) for node in NODES)
    record = succeed(Evidence(heartbeats=ALL, reports=poor))
    assert (record.relay_share, record.custody) == (5, 3)
    assert record.vitals is not None
    assert (record.vitals.delivery, record.vitals.survival) == (500, 250)
    present = records.record_hash(record)
    no_news = succeed(Evidence(), record)
    assert (no_news.relay_share, no_news.custody) == (5, 3)
    assert no_news.vitals == evolve(record.vitals, reports=0)
    fine = tuple(proof(node, FINE, record, present) for node in NODES)
    back = succeed(Evidence(reports=fine), record)
    assert (back.relay_share, back.custody) == (4, 2)


# --- a node ---------------------------------------------------------------------------------------------


def homely() -> Network:
    """Three linked members of one home."""
    net = Network("A", "B", "C")
    home_of(net, {}, starts_in=200_000)
    for one, other in (("A", "C"), ("B", "C")):
        net.connect(one, other)
    net.run()
    return net


def reports_of(net: Network, name: str) -> dict[bytes, Counts]:
    """The reports that a node would put into a block."""
    roster = net[name].node.home.record.roster  # type: ignore[union-attr]
    evidence = net[name].node.home._evidence()
    return {roster[entry.index].node: entry.counts for entry in evidence.reports}


def test_members_report_at_the_start_and_pass_it_on() -> None:
    """TOM-VITALS-001, 002, 004: A's delivered message and its expired one reach B by way of C."""
    net = homely()
    net.send("A", "B")
    net.send("A", "B", ttl=1_000)
    net.cut("B", "C")
    net.send("A", "B", b"lost", ttl=1_000)
    net.pass_time(2 * constants.EPS + 2_000)
    net.connect("B", "C")
    net.run()
    record = net["A"].node.home.record
    assert record is not None
    net.pass_time(record.start - net.now + 1)
    for name in "ABC":
        counts = reports_of(net, name)[net["A"].id]
        assert (counts.ended, counts.delivered) == (3, 2)
        assert len(reports_of(net, name)) == 3
    assert net["A"].node.home.pulse.counts == Counts()


def test_a_report_is_refused_for_another_record_or_node_and_kept_once() -> None:
    """TOM-VITALS-004."""
    net = homely()
    record = net["C"].node.home.record
    assert record is not None
    present = records.record_hash(record)

    def report(signer: Identity, counts: Counts = FINE, **changes: Any) -> None:
        signed = records.signed_report(record.subnet, record.term, present, counts)
        frame = VitalsReport(
            record.subnet, record.term, present, signer.node_id, counts, signer.signing_key.sign(signed)
        )
        net.do("C", FrameReceived(net["C"].links["A"], codec.encode_frame(evolve(frame, **changes))))

    def refusals() -> list[str]:
        return [event.detail.split(":")[0] for event in net.events("C", Event.REFUSED)]

    report(net["A"].identity, record=bytes(32))
    report(identity(99))
    report(net["A"].identity, signature=bytes(64))
    assert refusals() == ["wrong_term", "node_mismatch", "bad_signature"]
    report(net["A"].identity)
    report(net["A"].identity, POOR)
    assert reports_of(net, "C") == {net["A"].id: FINE}
    report(net["A"].identity, subnet=bytes(32))
    assert refusals() == ["wrong_term", "node_mismatch", "bad_signature"]
    # A second start of the timer reports nothing twice.
    net.pass_time(record.start - net.now + 1)
    assert len(reports_of(net, "C")) == 3
    assert reports_of(net, "C")[net["A"].id] == FINE
    step = Step(net.now)
    net["C"].node.home.show_presence(step)
    assert not any(getattr(effect, "data", b"")[:1] == b"\x20" for effect in step.finish())
