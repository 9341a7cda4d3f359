"""The nodes this one is linked to, wants to be linked to, and may hand messages to."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from tom_ref import constants
from tom_ref.effects import CloseLink, Dial, Event
from tom_ref.errors import Reason
from tom_ref.frames import Address
from tom_ref.inputs import Route
from tom_ref.link import keep_new_link
from tom_ref.step import Step
from tom_ref.timers import Timer, Timers

REDIAL_FIRST = 250
REDIAL_MAX = 30_000


@define
class _Neighbour:
    """One held link."""

    link: int
    initiator: bytes
    since: int
    used: int
    """When a frame came over it last, ms."""
    congested: bool = False


@define
class _Wanted:
    """A node this one tries to be linked to."""

    addresses: tuple[Address, ...]
    lasting: bool
    """Redial for as long as the node lives (relays), not only once."""
    pause: int = REDIAL_FIRST
    dialling: bool = False


@define
class Neighbours:
    """Links by peer, and the peers to dial."""

    own_id: bytes
    timers: Timers = field(repr=False)
    relays: list[bytes] = field(factory=list)
    _by_peer: dict[bytes, _Neighbour] = field(factory=dict)
    _by_link: dict[int, bytes] = field(factory=dict)
    _wanted: dict[bytes, _Wanted] = field(factory=dict)

    def peer_of(self, link: int) -> bytes | None:
        """The NodeId at the other end of a held link."""
        return self._by_link.get(link)

    def link_to(self, peer: bytes) -> int | None:
        """The held link to a peer."""
        held = self._by_peer.get(peer)
        return held.link if held else None

    def linked(self) -> tuple[bytes, ...]:
        """Every linked peer."""
        return tuple(self._by_peer)

    def link_up(self, step: Step, link: int, peer: bytes, *, initiated: bool) -> bool:
        """Take a new link, or close it in favour of the held one (TOM-LINK, simultaneous dial)."""
        initiator = self.own_id if initiated else peer
        held = self._by_peer.get(peer)
        if held is not None:
            if not keep_new_link(self.own_id, peer, held.initiator, initiator, step.now - held.since):
                step.emit(CloseLink(link, Reason.DUPLICATE_LINK.value))
                return False
            del self._by_link[held.link]
            step.emit(CloseLink(held.link, Reason.DUPLICATE_LINK.value))
        self._by_peer[peer] = _Neighbour(link, initiator, step.now, step.now)
        self._by_link[link] = peer
        wanted = self._wanted.get(peer)
        if wanted is not None:
            wanted.pause = REDIAL_FIRST
            wanted.dialling = False
        self.timers.cancel(Timer.REDIAL, peer)
        step.report(Event.LINKED, peer)
        return True

    def link_down(self, step: Step, link: int, reason: str) -> bytes | None:
        """Forget a link; returns the peer when it was the one held."""
        peer = self._by_link.pop(link, None)
        if peer is None:
            return None
        del self._by_peer[peer]
        step.report(Event.UNLINKED, peer, detail=reason)
        self._redial_later(step, peer)
        return peer

    def touch(self, peer: bytes, now: int) -> None:
        """A frame came over a link."""
        self._by_peer[peer].used = now

    def tidy(self, step: Step, keep: frozenset[bytes]) -> None:
        """Close links that nobody needs, but those of ``keep`` and to relays that were named (TOM-ROLES-131).

        First what carried nothing for ``LINK_IDLE``; then, beyond ``MAX_LINKS``, what was idle for longest.
        """
        spare = sorted(
            (held.used, peer)
            for peer, held in self._by_peer.items()
            if peer not in keep and peer not in self.relays
        )
        surplus = len(self._by_peer) - constants.MAX_LINKS
        for place, (used, peer) in enumerate(spare):
            if place < surplus or step.now >= used + constants.LINK_IDLE:
                step.emit(CloseLink(self._by_peer[peer].link, Reason.IDLE_TIMEOUT.value))

    def set_congested(self, link: int, *, congested: bool) -> bytes | None:
        """Note whether a link takes more; returns its peer."""
        peer = self._by_link.get(link)
        if peer is not None:
            self._by_peer[peer].congested = congested
        return peer

    def add(self, peer: bytes, addresses: tuple[Address, ...], *, relay: bool) -> None:
        """Learn how a peer is reached."""
        held = self._wanted.get(peer)
        if held is None:
            self._want(peer, _Wanted(addresses, relay))
        else:
            held.addresses = addresses
            held.lasting = held.lasting or relay
        if relay and peer not in self.relays:
            self.relays.append(peer)

    def knows(self, peer: bytes) -> bool:
        """Whether there is an address to dial a peer at."""
        wanted = self._wanted.get(peer)
        return wanted is not None and bool(wanted.addresses)

    def _want(self, peer: bytes, wanted: _Wanted) -> None:
        """Remember how a peer is reached; those that are not to last make room, the oldest first."""
        if len(self._wanted) >= constants.MAX_DESCRIPTORS:
            spare = (node for node, held in self._wanted.items() if not held.lasting)
            self._wanted.pop(next(spare, peer), None)
        self._wanted[peer] = wanted

    def dial(self, step: Step, peer: bytes, addresses: tuple[Address, ...] = ()) -> None:
        """Dial a peer that is not linked and not being dialled, at its known or these addresses."""
        if peer in self._by_peer or peer == self.own_id:
            return
        wanted = self._wanted.get(peer)
        if wanted is None:
            if not addresses:
                return
            wanted = _Wanted(addresses, lasting=False)
            self._want(peer, wanted)
        if not wanted.dialling and wanted.addresses:
            wanted.dialling = True
            step.emit(Dial(peer, wanted.addresses))

    def dial_failed(self, step: Step, peer: bytes) -> None:
        """Try again later where the link is to last."""
        wanted = self._wanted.get(peer)
        if wanted is not None:
            wanted.dialling = False
            self._redial_later(step, peer)

    def _redial_later(self, step: Step, peer: bytes) -> None:
        wanted = self._wanted.get(peer)
        if wanted is None or peer in self._by_peer:
            return
        if wanted.lasting:
            self.timers.set(Timer.REDIAL, peer, step.now + wanted.pause)
            wanted.pause = min(2 * wanted.pause, REDIAL_MAX)
        wanted.dialling = False

    def ways(self, recipient: bytes, route: Route) -> list[tuple[bytes, int]]:
        """The linked peers to hand a message to where relays are configured (TOM-DELIVERY-040, 053)."""
        return self.open_ways(in_order(self.relays, recipient, route))

    def open_ways(self, order: Iterable[bytes], avoid: tuple[bytes, ...] = ()) -> list[tuple[bytes, int]]:
        """Those of some peers that take a message now, as (NodeId, link), in the same order."""
        return [
            (peer, held.link)
            for peer in order
            if peer not in avoid and (held := self._by_peer.get(peer)) is not None and not held.congested
        ]

    def busy_ways(self, order: Iterable[bytes], avoid: tuple[bytes, ...] = ()) -> list[bytes]:
        """Those of some peers that are linked and have too much queued to take a message now."""
        return [
            peer
            for peer in order
            if peer not in avoid and (held := self._by_peer.get(peer)) is not None and held.congested
        ]


def in_order(relays: Iterable[bytes], recipient: bytes, route: Route) -> list[bytes]:
    """The relays and the recipient, in the order in which a sender tries them (TOM-DELIVERY-053)."""
    order = [relay for relay in relays if relay != recipient]
    order.insert(0 if route is Route.DIRECT_FIRST else len(order), recipient)
    return order
