"""The chapter *Purge* after a start: nothing is judged by time before a second clock bears out the first."""

from __future__ import annotations

import pytest

from tests.homes import FAST, Homes, answers
from tests.network import START, Network
from tests.test_spec_purge import TTL, home, kept_copy, traces
from tom_ref import codec, constants
from tom_ref.effects import CloseLink, Deliver, DeliveryState, Dial, Event, Persist, Report, SendFrame, Table
from tom_ref.frames import (
    Address,
    DescriptorAnswer,
    Envelope,
    HoldingAnswer,
    HoldingQuery,
    Receipt,
    Refusal,
    Transport,
)
from tom_ref.inputs import (
    Acknowledge,
    AddPeer,
    ClockMeasured,
    ClockSet,
    DialFailed,
    FrameReceived,
    LinkDown,
    LinkUp,
    Route,
    SendMessage,
    Start,
    Wake,
)
from tom_ref.validate import message_id

S = DeliveryState
YEAR = 365 * 86_400_000
WRONG = [YEAR, -YEAR, -START]
"""ms by which a device's clock is wrong; the last is one that begins in 1970."""


def shown_once() -> tuple[Homes, Envelope, bytes]:
    """B was shown a message of A's, took it, and signed for it; the envelope comes again whenever we want."""
    net = home("A", "B", "C")
    envelope = on_its_way(net)
    message = message_id(envelope.header_bytes)
    assert any(isinstance(frame, Receipt) for frame in give(net, "B", "A", envelope))
    net.do("B", Acknowledge(message))
    return net, envelope, message


def knows(net: Network, name: str) -> bool:
    """Whether a node knows the time."""
    return net[name].node.knows_time


def on_its_way(net: Homes) -> Envelope:
    """A message that A hands to B, which hasn't come there."""
    handle = net["A"].node.next_handle
    effects = net.do("A", SendMessage(handle, net["B"].id, b"once", 60_000, Route.DIRECT_FIRST))
    net.queue.clear()
    [envelope] = [frame for frame in answers(effects) if isinstance(frame, Envelope)]
    return envelope


def give(net: Homes, name: str, peer: str, frame: codec.AnyFrame) -> list[codec.AnyFrame]:
    """What a node sends when a frame comes over its link; nothing is carried on."""
    effects = net.do(name, FrameReceived(net[name].links[peer], codec.encode_frame(frame)))
    net.queue.clear()
    return answers(effects)


def again(net: Homes, name: str, wrong: int = 0, away: int = 0) -> None:
    """A node is off for a while, and its clock is wrong when it starts."""
    net.stop(name)
    net.now += away
    net.skew[name] = wrong
    net[name].restart(net.now + wrong)
    net.start(name)
    net.dialled.clear()


@pytest.mark.parametrize("wrong", WRONG)
def test_a_clock_that_is_wrong_at_a_start_makes_nobody_forget_or_show_twice(wrong: int) -> None:
    """TOM-PURGE-008, 009, 049, 052: one neighbour's word isn't enough, two are."""
    net, envelope, message = shown_once()
    again(net, "B", wrong, away=1_000)
    offer = FrameReceived(net.opened("B", "A"), codec.encode_frame(envelope))
    assert net.do("B", offer) == ()
    disputed = net.do("B", ClockMeasured(offer.link, -wrong, 4))
    assert [effect.event for effect in disputed if isinstance(effect, Report)] == [Event.CLOCK_OFF]
    assert not any(isinstance(effect, (SendFrame, Deliver, Persist)) for effect in disputed)
    assert net.do("B", Wake()) == ()
    assert not knows(net, "B")
    assert (Table.SEEN, message) in net["B"].disk
    link = net.opened("B", "C")
    net.queue.clear()
    known = net.do("B", ClockMeasured(link, -wrong, 4))
    assert knows(net, "B")
    assert [frame for frame in answers(known) if isinstance(frame, Receipt)]
    assert not any(isinstance(effect, Deliver) for effect in known)
    assert (Table.SEEN, message) in net["B"].disk
    clock = int.from_bytes(net["B"].disk[Table.CLOCK, b""], "big")
    assert abs(clock - net.now) <= FAST.eps
    net.now += 60_000 + 2 * FAST.eps
    net.do("B", Wake())
    assert traces(net, "B", message) == [], "by the right clock it goes in its time"


def test_without_a_written_reading_the_clock_of_the_device_decides() -> None:
    """TOM-PURGE-007, 008: the memory goes; it is the written reading that the rest depends on."""
    net, _, message = shown_once()
    del net["B"].disk[Table.CLOCK, b""]
    again(net, "B", YEAR)
    assert knows(net, "B")
    assert (Table.SEEN, message) not in net["B"].disk


@pytest.mark.parametrize("round_trip", [None, 2 * FAST.eps + 1])
def test_a_node_whose_links_never_measure_keeps_everything(round_trip: int | None) -> None:
    """TOM-PURGE-008, 009, 051, 053: no copy goes, nothing has expired, what is sent waits without a date."""
    net, _, copy = kept_copy()
    net.stop("B")
    handle = net.send("C", "B", ttl=TTL)
    again(net, "C", away=1_000)
    link = net.opened("C", "A")
    if round_trip is not None:
        net.do("C", ClockMeasured(link, 0, round_trip))
    later = net["C"].node.next_handle
    net.do("C", SendMessage(later, net["A"].id, b"undated", TTL))
    kept = dict(net["C"].disk)
    for _ in range(20):
        net.now += TTL
        deadline = net["C"].node.next_deadline()
        assert deadline is not None
        assert deadline > net.now - TTL
        assert not any(isinstance(effect, SendFrame) for effect in net.do("C", Wake()))
    messages = {Table.CUSTODY, Table.PENDING, Table.SEEN, Table.TOMBSTONE, Table.PREKEY, Table.SESSION}
    assert {(*place, row) for place, row in kept.items() if place[0] in messages} <= {
        (*place, row) for place, row in net["C"].disk.items()
    }
    assert (Table.CUSTODY, copy) in net["C"].disk
    assert S.EXPIRED not in net.states("C", handle)
    assert net.states("C", later) == [S.PENDING]
    net.do("C", ClockMeasured(link, 0, 4))
    net.run()
    assert (Table.CUSTODY, copy) not in net["C"].disk
    assert net.states("C", handle)[-1] is S.EXPIRED
    assert net.states("C", later)[-1] is S.DELIVERED
    assert net.shown("A")[-1] == b"undated"


def test_what_is_sent_before_the_time_is_known_survives_another_start() -> None:
    """TOM-PURGE-051: it is on disk at once, and dated when the node knows the time, not before."""
    net = home("A", "B", "C")
    again(net, "A", YEAR)
    handle = net["A"].node.next_handle
    [persist, *_] = net.do("A", SendMessage(handle, net["B"].id, b"later", TTL))
    assert isinstance(persist, Persist)
    stored = codec.PENDING.decode(net["A"].disk[Table.PENDING, handle.to_bytes(8, "big")])
    assert (stored.created_at, stored.header) == (0, b"")
    again(net, "A", away=10 * TTL)
    assert net.states("A", handle) == [S.PENDING]
    net.connect("A", "B")
    net.run()
    net.pass_time(3_000)
    assert net.states("A", handle)[-1] is S.DELIVERED
    [shown] = [d for d in net["B"].of(Deliver) if d.content == b"later"]
    assert shown.created_at >= START + 10 * TTL


def test_a_node_that_waits_dials_for_what_it_has_to_send() -> None:
    """TOM-PURGE-051: a link brings the time, so it goes on trying to open one."""
    net = Network("A", "B")
    net["A"].restart(net.now)
    net.do("A", Start())
    net.do("A", AddPeer(net["B"].id, (Address(Transport.MEMORY, "B"),)))
    net.do("A", SendMessage(0, net["B"].id, b"x", TTL))
    pauses = []
    for tries in range(1, 5):
        assert len(net.dials("A")) == tries
        net.do("A", DialFailed(net["B"].id))
        deadline = net["A"].node.next_deadline()
        assert deadline is not None
        pauses.append(deadline - net.now)
        net.now = deadline
        net.do("A", Wake())
    assert pauses == [min(constants.RETRY_FIRST << power, constants.RETRY_MAX) for power in range(4)]


def test_a_member_that_starts_seeks_everybody() -> None:
    """TOM-PURGE-043: those of the mesh first, then others; with a link and the time, all at once."""
    net = home("A", "B", "C", "D", "E", "F")
    net.pass_time(2 * FAST.term_ms)
    net.stop("B")
    net["B"].restart(net.now)
    net.stop("A")
    members = {net[name].id for name in "ACDEF"}
    effects = [*net.do("B", Start())]
    for _ in range(10):
        net.now += FAST.slot_ms
        for dialled in {effect.node_id for effect in effects if isinstance(effect, Dial)}:
            net.do("B", DialFailed(dialled))
        effects += net.do("B", Wake())
    assert {effect.node_id for effect in effects if isinstance(effect, Dial)} == members
    for dialled in members:
        net.do("B", DialFailed(dialled))
    link = net.opened("B", "C")
    known = net.do("B", ClockMeasured(link, 0, 4))
    assert {effect.node_id for effect in known if isinstance(effect, Dial)} == members - {net["C"].id}


def test_the_age_is_judged_when_a_message_is_written() -> None:
    """TOM-PURGE-012, 049: it came in time, and had expired when its recipient could write it."""
    for away, code in ((59_999, None), (60_000, "expired")):
        net = home("A", "B", "C")
        envelope = on_its_way(net)
        message = message_id(envelope.header_bytes)
        again(net, "B")
        link = net.opened("B", "A")
        net.do("B", FrameReceived(link, codec.encode_frame(envelope)))
        net.now += away
        frames = answers(net.do("B", ClockMeasured(link, 0, 4)))
        assert (Refusal(message, "expired") in frames) == (code == "expired")
        assert any(isinstance(frame, Receipt) for frame in frames) == (code is None)
        assert ((Table.SEEN, message) in net["B"].disk) == (code is None)


def test_a_descriptor_of_the_start_is_dated_anew() -> None:
    """TOM-PURGE-054: neighbours would hold one of before the start for the newer one."""
    net = home("A", "B", "C")
    again(net, "B", YEAR, away=60_000)
    written = net["B"].node.descriptor.created_at
    assert written < net.now
    for name in "AC":
        net.connect("B", name)
    assert abs(net["B"].node.descriptor.created_at - net.now) <= FAST.eps
    told = [frame for frame in answers(tuple(net["B"].effects)) if isinstance(frame, DescriptorAnswer)]
    assert told[-1].descriptor == net["B"].node.descriptor


def test_a_neighbour_with_two_links_has_one_clock() -> None:
    """TOM-PURGE-008, TOM-ROLES-129: two nodes that dial each other at once have two links for a moment."""
    net, _, message = shown_once()
    again(net, "B", away=1_000)
    descriptor = net["A"].node.descriptor
    for link in (101, 102):
        net.do("B", LinkUp(link, descriptor, initiated=link == 101))
        net.do("B", ClockMeasured(link, YEAR, 4))
    assert not knows(net, "B")
    assert (Table.SEEN, message) in net["B"].disk
    net.do("B", LinkUp(103, net["C"].node.descriptor, initiated=True))
    net.do("B", ClockMeasured(103, 0, 4))
    assert knows(net, "B"), "its own clock, and another neighbour's that bears it out"
    assert net["B"].node.clock_offset == 0


def test_two_nodes_that_start_together_do_not_wait_for_each_other() -> None:
    """TOM-PURGE-049, 053: links measure clocks by themselves."""
    net = home("A", "B")
    for name in "AB":
        net.stop(name)
    for name in "AB":
        net[name].restart(net.now)
        net.start(name)
    net.dialled.clear()
    handle = net["A"].node.next_handle
    net.do("A", SendMessage(handle, net["B"].id, b"both", TTL))
    assert not knows(net, "A")
    net.connect("A", "B")
    net.run()
    assert all(knows(net, name) for name in "AB")
    assert net.states("A", handle)[-1] is S.DELIVERED


def test_who_is_alone_goes_on_with_its_terms() -> None:
    """TOM-PURGE-009: by the written reading; the jump that a link brings is as a sleep."""
    net = home("A")
    net.pass_time(3 * FAST.term_ms)
    term = net.term("A")
    again(net, "A", YEAR, away=100 * FAST.term_ms)
    for _ in range(60):
        net.now += FAST.slot_ms
        net.do("A", Wake())
    assert net.term("A") > term
    assert not knows(net, "A")
    assert net.record("A").start < net.now


def test_what_is_kept_before_the_time_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-PURGE-049, 050: by link, in all, and in links; what came over a link that ends goes with it."""
    net, _, message = shown_once()
    data = codec.encode_frame(HoldingQuery(message))
    monkeypatch.setattr(constants, "MAX_EARLY_LINK", 2 * (len(data) + constants.EARLY_FRAME_COST))
    monkeypatch.setattr(constants, "MAX_EARLY", 3 * (len(data) + constants.EARLY_FRAME_COST))
    monkeypatch.setattr(constants, "MAX_LINKS", 2)
    again(net, "B")
    descriptors = {name: net[name].node.descriptor for name in "AC"}
    for link, name in ((101, "A"), (102, "C")):
        net.do("B", LinkUp(link, descriptors[name], initiated=False))
    full = CloseLink(103, "overloaded")
    assert net.do("B", LinkUp(103, descriptors["A"], initiated=False)) == (full,)
    assert net.do("B", FrameReceived(103, data)) == ()
    assert net.do("B", LinkDown(103, "closed")) == ()
    for link in (101, 101, 102):
        assert net.do("B", FrameReceived(link, data)) == ()
    assert net.do("B", FrameReceived(102, data)) == (CloseLink(102, "overloaded"),), "all together"
    net.do("B", LinkDown(102, "closed"))
    assert net.do("B", FrameReceived(101, data)) == (CloseLink(101, "overloaded"),), "one link"
    net.do("B", LinkUp(104, descriptors["C"], initiated=False))
    net.do("B", FrameReceived(104, data))
    assert net.do("B", LinkDown(104, "closed")) == ()
    net.do("B", LinkUp(105, descriptors["C"], initiated=False))
    known = net.do("B", ClockMeasured(105, 0, 4))
    assert net["B"].node.linked == (net["C"].id,)
    assert not any(isinstance(frame, (HoldingAnswer, Receipt)) for frame in answers(known)), "dropped"


@pytest.mark.parametrize("told", [True, False])
def test_a_clock_that_is_set_while_its_node_runs_moves_no_time(*, told: bool) -> None:
    """TOM-ROLES-137, TOM-PURGE-009: set right, hours after the neighbours said so; untold, B forgets."""
    net, _, message = shown_once()
    again(net, "B", -YEAR, away=1_000)
    for name in "AC":
        net.do("B", ClockMeasured(net.opened("B", name), YEAR, 4))
    net.queue.clear()
    assert knows(net, "B")
    net.skew["B"] = 0
    said = net.do("B", ClockSet(YEAR)) if told else net.do("B", Wake())
    assert not any(isinstance(effect, Report) for effect in said), "its clock is right now"
    assert ((Table.SEEN, message) in net["B"].disk) is told
    if told:
        assert net["B"].node.clock_offset == 0
        net.do("B", ClockMeasured(net["B"].links["C"], 0, 4))
        assert net["B"].node.clock_offset == 0


def test_a_clock_that_is_set_wrong_while_its_node_runs_is_said() -> None:
    """TOM-ROLES-130, 137: the others' time goes on; before it is known, the written reading does."""
    net, _, message = shown_once()
    net.skew["B"] = YEAR
    said = net.do("B", ClockSet(YEAR))
    assert [effect.event for effect in said if isinstance(effect, Report)] == [Event.CLOCK_OFF]
    assert net["B"].node.clock_offset == -YEAR
    again(net, "B", -YEAR)
    net.skew["B"] = YEAR
    net.do("B", ClockSet(2 * YEAR))
    assert not knows(net, "B")
    assert (Table.SEEN, message) in net["B"].disk
    assert net["B"].node.clock_offset == -YEAR


def test_who_never_knew_the_time_goes_by_its_clock_when_it_is_set() -> None:
    """TOM-ROLES-137: a new node on a computer that learns the time only after it has started."""
    net = Homes()
    net.add("N", skew=-YEAR)
    net.skew["N"] = 0
    net.do("N", ClockSet(YEAR))
    assert net["N"].node.clock_offset == 0


def test_without_links_the_time_that_they_agreed_on_goes_on() -> None:
    """TOM-PURGE-009, TOM-ROLES-129: the offset stays when the last link goes."""
    net = Homes("A", "B")
    net.add("D", skew=1_000)
    for name in "AB":
        net.connect("D", name) if name not in net["D"].links else None
    offsets = []
    for name in ("A", "B"):
        offsets.append(net["D"].node.clock_offset)
        if name in net["D"].links:
            net.cut("D", name)
    offsets.append(net["D"].node.clock_offset)
    assert offsets == [-1_000] * 3
