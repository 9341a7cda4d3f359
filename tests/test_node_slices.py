"""Corners of the node's slices that a whole journey doesn't reach."""

from __future__ import annotations

import pytest
from attrs import evolve

from tests.network import START, Draws, Network
from tom_ref import codec, constants, identity
from tom_ref.crypto import Secret32, sha256
from tom_ref.directory import QUERY_PAUSE, Directory
from tom_ref.effects import Deliver, DeliveryState, Event, Progress, Table
from tom_ref.errors import ProtocolError
from tom_ref.frames import Address, Descriptor, DescriptorAnswer, Refusal, Transport
from tom_ref.inputs import (
    AddPeer,
    DialFailed,
    FrameReceived,
    LinkCongested,
    LinkWritable,
    SendMessage,
    Start,
    Wake,
)
from tom_ref.timers import Timer, Timers


def descriptor_of(name: str, created_at: int = START) -> Descriptor:
    """A valid descriptor of a node made from a name."""
    own = identity.Identity.from_secret(Secret32(sha256(name.encode())))
    rotation = identity.rotate_prekeys((), created_at, Draws(name))
    return identity.sign_descriptor(own, rotation.current, created_at)


# --- timers -----------------------------------------------------------------------------------------------


def test_timers_fire_once_in_order_and_only_as_last_set() -> None:
    """Moved and cancelled deadlines never fire."""
    timers = Timers()
    timers.set(Timer.RETRY, b"moved", 10)
    timers.set(Timer.RETRY, b"moved", 30)
    timers.set(Timer.RETRY, b"gone", 5)
    timers.cancel(Timer.RETRY, b"gone")
    timers.cancel(Timer.RETRY, b"never set")
    timers.set(Timer.PREKEY, b"", 20)
    timers.set(Timer.PREKEY, b"", 20)
    assert timers.next_deadline() == 20
    assert list(timers.due(19)) == []
    assert list(timers.due(100)) == [(Timer.PREKEY, b""), (Timer.RETRY, b"moved")]
    assert timers.next_deadline() is None


def test_timers_stay_small_however_often_they_are_moved() -> None:
    """The heap is rebuilt when most of it is out of date."""
    timers = Timers()
    for moment in range(10_000):
        timers.set(Timer.RETRY, b"one", moment)
    assert len(timers._heap) <= 70
    assert timers.next_deadline() == 9_999


# --- directory --------------------------------------------------------------------------------------------


def test_the_newest_descriptor_wins() -> None:
    """TOM-ID: an older or equally old one changes nothing; nobody overwrites this node's own."""
    directory = Directory(descriptor_of("self").node_id)
    old, new = descriptor_of("peer", START), descriptor_of("peer", START + 1)
    assert directory.learn(new, START + 1)
    assert not directory.learn(new, START + 1)
    assert not directory.learn(old, START + 1)
    assert directory.get(old.node_id) == new
    assert not directory.learn(descriptor_of("self"), START)


def test_a_vrf_key_never_changes() -> None:
    """TOM-ID: a newer descriptor with another VRF key is refused."""
    directory = Directory(bytes(32))
    own = identity.Identity.from_secret(Secret32(sha256(b"peer")))
    other = identity.Identity.from_secret(Secret32(sha256(b"other")))
    assert directory.learn(descriptor_of("peer"), START)
    prekey = identity.rotate_prekeys((), START + 1, Draws("peer")).current
    changed = identity.sign_descriptor(evolve(own, vrf_key=other.vrf_key), prekey, START + 1)
    with pytest.raises(ProtocolError, match="bad_key"):
        directory.learn(changed, START + 1)


def test_the_directory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest make room, but never a neighbour's; queries are bounded and paced as well."""
    monkeypatch.setattr(constants, "MAX_DESCRIPTORS", 2)
    monkeypatch.setattr(constants, "MAX_QUERIES", 1)
    directory = Directory(bytes(32))
    one, two, three = (descriptor_of(name) for name in ("one", "two", "three"))
    assert directory.learn(one, START)
    assert directory.learn(two, START)
    assert directory.learn(three, START, linked=(one.node_id,))
    assert directory.get(two.node_id) is None
    assert not directory.learn(two, START, linked=(one.node_id, three.node_id))
    assert directory.may_ask(b"x", START)
    assert not directory.may_ask(b"x", START + QUERY_PAUSE - 1)
    assert directory.may_ask(b"x", START + QUERY_PAUSE)
    assert directory.may_ask(b"y", START)
    assert not directory.asked_for(b"x")


# --- keyring and conversations ----------------------------------------------------------------------------


def test_prekeys_and_sessions_are_erased_on_schedule() -> None:
    """TOM-ID, TOM-SESSION: a month later only the present prekeys are on disk, and no session."""
    net = Network("A", "B")
    net.connect("A", "B")
    net.send("A", "B")
    assert [key for table, key in net["B"].disk if table is Table.SESSION]
    for _ in range(40):
        net.pass_time(constants.PREKEY_INTERVAL)
    for name in "AB":
        prekeys = [key for table, key in net[name].disk if table is Table.PREKEY]
        assert 1 <= len(prekeys) <= 5
        assert not [key for table, key in net[name].disk if table is Table.SESSION]
        assert not [key for table, key in net[name].disk if table is Table.SEEN]


def test_a_session_survives_a_restart() -> None:
    """TOM-SESSION: the stored session goes on where it was; the prekey is the same."""
    net = Network("A", "B")
    net.connect("A", "B")
    net.send("A", "B", b"one")
    net.send("B", "A", b"two")
    before = net["B"].node.descriptor.prekey_id
    for name in "AB":
        net.kill(name) if net[name].links else None
        net[name].restart(net.now + 1)
    net.now += 1
    for name in "AB":
        net.do(name, Start())
    assert net["B"].node.descriptor.prekey_id == before
    net.connect("B", "A")
    net.send("A", "B", b"three")
    assert net.shown("B") == [b"one", b"three"]


# --- node -------------------------------------------------------------------------------------------------


def test_a_handle_is_never_below_a_stored_one() -> None:
    """After a restart with a message pending the next handle lies above it."""
    net = Network("A", "B")
    net.do("A", SendMessage(7, net["B"].id, b"x", 60_000))
    net["A"].restart(net.now)
    assert net["A"].node.next_handle == 8


def test_time_never_goes_back() -> None:
    """A clock that steps back changes nothing in the past."""
    net = Network("A", "B")
    net.connect("A", "B")
    net.now += 1_000
    net.do("A", Wake())
    net.now -= 500
    net.send("A", "B")
    assert [shown.created_at for shown in net["B"].of(Deliver)] == [START + 1_000]


def test_a_neighbour_may_renew_its_own_descriptor_badly() -> None:
    """A bad descriptor from the neighbour itself is refused and reported; the link stays."""
    net = Network("A", "B")
    net.connect("A", "B")
    bad = evolve(net["B"].node.descriptor, created_at=net.now + 1)
    frame = codec.encode_frame(DescriptorAnswer(net["B"].id, bad))
    net.do("A", FrameReceived(net["A"].links["B"], frame))
    assert [report.detail.split(":")[0] for report in net.events("A", Event.REFUSED)] == ["bad_signature"]
    assert net["A"].links


def test_a_refusal_with_no_other_way_waits_for_the_timer() -> None:
    """After the last way of a round refused, the recipient is dialled and the timer begins the next round."""
    net = Network("A", "B", "C")
    net.connect("B", "A")
    net.cut("B", "A")
    net.do("A", AddPeer(net["B"].id, (Address(Transport.TCP, "127.0.0.1:1"),)))
    net.do("A", AddPeer(net["C"].id, (), relay=True))
    net.connect("A", "C")
    net.send("A", "B")
    assert [dial.node_id for dial in net.dials("A")] == [net["B"].id]


def test_a_message_waits_for_the_only_way() -> None:
    """A relay whose only link towards the recipient is congested keeps the message until it takes more."""
    net = Network("A", "B", "C")
    for end in "AB":
        net.do(end, AddPeer(net["C"].id, (), relay=True))
        net.connect(end, "C")
    net.run()
    net.do("C", LinkCongested(net["C"].links["B"]))
    net.send("A", "B")
    assert net.shown("B") == []
    net.do("C", LinkWritable(net["C"].links["B"]))
    net.run()
    assert net.shown("B") == [b"hello"]
    assert net.events("A", Event.REROUTED) == []


def test_an_unsealed_message_expires_too() -> None:
    """A message whose recipient's descriptor never came: erased at the end of retention."""
    net = Network("A", "B")
    net.do("A", SendMessage(0, net["B"].id, b"a secret wish", 1_000))
    net.pass_time(1_000)
    assert not any(b"a secret wish" in value for value in net["A"].disk.values())
    net.pass_time(2 * constants.EPS)
    assert net.states("A", 0) == [DeliveryState.PENDING, DeliveryState.EXPIRED]
    assert not [key for table, key in net["A"].disk if table is Table.PENDING]


def test_a_peer_may_be_named_twice() -> None:
    """A relay named again stays one relay, and remains one when named without ``relay``."""
    net = Network("A", "B", "C")
    for relay in (True, True, False):
        net.do("A", AddPeer(net["C"].id, (), relay=relay))
    net.connect("A", "C")
    net.connect("B", "C")
    net.run()
    net.send("A", "B")
    assert net.shown("B") == [b"hello"]


def test_a_refusal_of_a_message_nobody_knows_is_ignored() -> None:
    """Late and forged refusals change nothing, and none is passed on."""
    net = Network("A", "B", "C")
    for end in "AB":
        net.do(end, AddPeer(net["C"].id, (), relay=True))
        net.connect(end, "C")
    net.run()
    for reason in ("no_route", "unknown_session"):
        frame = codec.encode_frame(Refusal(bytes(32), reason))
        assert net.do("A", FrameReceived(net["A"].links["C"], frame)) == ()
        assert net.do("C", FrameReceived(net["C"].links["A"], frame)) == ()
    handle = net["A"].node.next_handle
    net.do("A", SendMessage(handle, net["B"].id, b"x", 60_000))
    net.run()
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED


def test_relays_named_before_the_start_are_dialled_at_the_start() -> None:
    """The order of configuration and start doesn't matter."""
    net = Network("A", "C")
    net["A"].restart(net.now)
    address = (Address(Transport.TCP, "127.0.0.1:1"),)
    net.do("A", AddPeer(net["C"].id, address, relay=True))
    net.do("A", Start())
    assert [dial.node_id for dial in net.dials("A")] == [net["C"].id]


def test_a_failed_dial_of_a_recipient_is_tried_with_the_message() -> None:
    """A node that isn't a relay is dialled when a message needs it, not for ever."""
    net = Network("A", "B")
    net.do("A", AddPeer(net["B"].id, (Address(Transport.TCP, "127.0.0.1:1"),)))
    net.do("A", SendMessage(0, net["B"].id, b"x", 5_000))
    for _ in range(20):
        net.do("A", DialFailed(net["B"].id))
        net.pass_time(1_000)
    assert 2 <= len(net.dials("A")) <= 5


def test_a_lost_session_table_does_not_stop_a_node() -> None:
    """A refusal about a session that this node lost with part of its disk changes nothing."""
    net = Network("A", "B", "C")
    for end in "AB":
        net.do(end, AddPeer(net["C"].id, (), relay=True))
        net.connect(end, "C")
    net.run()
    net.send("A", "B", b"opens the session")
    net.kill("B")
    net.send("A", "B", b"waits")
    net.kill("A")
    net["A"].disk = {k: v for k, v in net["A"].disk.items() if k[0] is not Table.SESSION}
    net["A"].restart(net.now)
    net.do("A", Start())
    net.do("A", AddPeer(net["C"].id, (), relay=True))
    net.tamper = lambda sender, target, frame: None
    net.connect("A", "C")
    net.run()
    [message] = [p.message_id for p in net["A"].of(Progress) if p.state is DeliveryState.SENT][-1:]
    assert message is not None
    frame = codec.encode_frame(Refusal(message, "unknown_session"))
    net.do("A", FrameReceived(net["A"].links["C"], frame))
    assert [report.detail for report in net.events("A", Event.REROUTED)][-1] == "unknown_session"


def test_nobody_dials_a_node_it_is_linked_to() -> None:
    """TOM-LINK-094: neither with an open link nor while a dial is under way."""
    net = Network("A", "B")
    address = (Address(Transport.TCP, "127.0.0.1:1"),)
    net.do("A", AddPeer(net["B"].id, address, relay=True))
    assert len(net.dials("A")) == 1
    net.do("A", AddPeer(net["B"].id, address, relay=True))
    net.do("A", SendMessage(net["A"].node.next_handle, net["B"].id, b"x", 60_000))
    net.connect("B", "A")
    net.run()
    net.pass_time(constants.RETRY_MAX)
    assert len(net.dials("A")) == 1


def test_a_restart_between_the_two_ends_of_a_message() -> None:
    """TOM-DELIVERY-057: restored without its bytes, the message still expires at the end of retention."""
    net = Network("A", "B")
    net.connect("A", "B")
    net.tamper = lambda sender, target, frame: None
    net.send("A", "B", ttl=1_000)
    net.pass_time(1_000)
    net.kill("A")
    net["A"].restart(net.now)
    net.do("A", Start())
    net.tamper = None
    net.connect("A", "B")
    net.run()
    net.pass_time(2 * constants.EPS)
    assert net.shown("B") == []
    assert net.states("A", 0)[-1] is DeliveryState.EXPIRED


def test_a_message_taken_before_any_link_goes_as_soon_as_there_is_one() -> None:
    """TOM-DELIVERY-056: the first link is asked at once, without waiting for a retry."""
    net = Network("A", "B", "C")
    net.do("A", AddPeer(net["C"].id, (), relay=True))
    net.connect("B", "C")
    handle = net.send("A", "B", b"taken early")
    net.connect("A", "C")
    net.run()
    assert net.states("A", handle)[-1] is DeliveryState.DELIVERED
