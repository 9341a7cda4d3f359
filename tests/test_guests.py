"""What a member carries for its guests (TOM-ROLES-067, TOM-BALANCE-016)."""

from __future__ import annotations

import pytest

from tests.homes import Homes
from tom_ref import constants
from tom_ref.effects import DeliveryState, Event
from tom_ref.errors import ProtocolError, Reason
from tom_ref.guests import Guests
from tom_ref.home import Standing
from tom_ref.inputs import JoinSubnet

TERM = (b"s" * 32, 7)
NEXT = (b"s" * 32, 8)


def refused(guests: Guests, term: tuple[bytes, int], guest: bytes, size: int) -> str:
    """The text of the refusal."""
    with pytest.raises(ProtocolError) as caught:
        guests.carry(term, guest, size)
    assert caught.value.reason is Reason.OVERLOADED
    return str(caught.value)


def test_a_guest_has_its_share_of_a_term() -> None:
    """TOM-BALANCE-016: to the last byte; what was refused isn't counted; a new term begins at nothing."""
    guests = Guests()
    guests.carry(TERM, b"one", constants.GUEST_BYTES - 1)
    assert "guest's" in refused(guests, TERM, b"one", 2)
    guests.carry(TERM, b"one", 1)
    refused(guests, TERM, b"one", 1)
    guests.carry(TERM, b"two", 1)
    guests.carry(NEXT, b"one", constants.GUEST_BYTES)


def test_ever_new_ids_get_no_more() -> None:
    """TOM-BALANCE-016: all guests together have a share, and so many are counted."""
    guests = Guests()
    full = constants.GUESTS_BYTES // constants.GUEST_BYTES
    for number in range(full):
        guests.carry(TERM, b"guest %d" % number, constants.GUEST_BYTES)
    assert "guests'" in refused(guests, TERM, b"one more", 1)
    for number in range(constants.MAX_GUESTS):
        guests.carry(NEXT, b"guest %d" % number, 1)
    assert "guests'" in refused(guests, NEXT, b"one more", 1)
    guests.carry(NEXT, b"guest 0", 1)


def test_a_guest_that_wants_more_waits_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-BALANCE-016, TOM-ROLES-067: its host refuses, its other messages and everybody else's go on."""
    monkeypatch.setattr(constants, "GUEST_BYTES", 20_000)
    net = Homes("A", "B", "C", "N")
    net.form("A", "B", "C")
    net.settle()
    net.next_record("A", "B", "C")
    net.do("N", JoinSubnet(net.invite("A")))
    net.pass_time(10)
    assert net.standing("N") is Standing.GUEST
    # Nobody but its host can be reached.
    monkeypatch.setattr(net, "apart", lambda one, other: "N" in {one, other} and "A" not in {one, other})
    for other in "BC":
        if other in net["N"].links:
            net.cut("N", other)
    small = net.send("N", "B", b"small")
    net.pass_time(100)
    assert net.states("N", small)[-1] is DeliveryState.DELIVERED
    large = net.send("N", "B", bytes(30_000))
    members = net.send("A", "B", bytes(30_000))
    net.pass_time(100)
    assert net.states("A", members)[-1] is DeliveryState.DELIVERED
    assert net.states("N", large)[-1] is not DeliveryState.DELIVERED
    assert "overloaded" in net.last("A", Event.REFUSED).detail
    net.next_record("A", "B", "C", "N")
    net.pass_time(20_000)
    assert net.standing("N") is Standing.MEMBER
    assert net.states("N", large)[-1] is DeliveryState.DELIVERED
