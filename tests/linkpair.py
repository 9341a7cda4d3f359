"""Helpers of the link tests: nodes with fixed keys, a connected pair, a peer that sends what it likes."""

from __future__ import annotations

import hashlib

from attrs import define, evolve, field

from tom_ref import codec, crypto
from tom_ref.constants import PREKEY_VALIDITY
from tom_ref.crypto import Entropy, Secret32
from tom_ref.frames import Descriptor, HandshakePayload, Record
from tom_ref.handshake import Handshake, TransportKeys
from tom_ref.identity import DESCRIPTOR_LABEL, Identity
from tom_ref.link import PROLOGUE_LABEL, Framing, Link, LinkClosed, LinkEvent, LinkFrame, LinkOpened, State

NOW = 1_800_000_000_000


def entropy(name: str) -> Entropy:
    """A source that gives the same bytes in every run, and different ones at each draw."""
    count = 0

    def draw(purpose: str, size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{name} {purpose} {count}".encode()).digest(size)

    return draw


def _secret(name: str, purpose: str) -> Secret32:
    return Secret32(hashlib.sha256(f"{name} {purpose}".encode()).digest())


class Party:
    """A node with fixed keys."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity = Identity.from_secret(_secret(name, "identity"))
        self.static = self.identity.link_secret
        self.descriptor = self.sign(
            Descriptor(
                node_id=self.identity.node_id,
                vrf_key=self.identity.vrf_key,
                link_key=self.identity.link_key,
                session_key=self.identity.session_key,
                prekey_id=1,
                prekey=crypto.x25519_public(_secret(name, "prekey")),
                prekey_from=NOW,
                prekey_until=NOW + PREKEY_VALIDITY,
                min_version=1,
                max_version=1,
                created_at=NOW,
                addresses=(),
                extensions=(),
            )
        )

    def sign(self, descriptor: Descriptor) -> Descriptor:
        """The descriptor with this party's signature over it."""
        body = codec.encode_descriptor_body(descriptor)
        return evolve(descriptor, signature=self.identity.sign(DESCRIPTOR_LABEL, body))

    @property
    def node_id(self) -> bytes:
        return self.identity.node_id

    @property
    def payload(self) -> bytes:
        return codec.encode_handshake_payload(HandshakePayload(self.descriptor))

    def link(
        self,
        *,
        initiate: bool,
        binding: bytes = b"",
        expected_node: bytes | None = None,
        framing: Framing = Framing.STREAM,
        grease: bool = False,
        source: str = "",
    ) -> Link:
        make = Link.initiator if initiate else Link.responder
        return make(
            static=self.static,
            descriptor=codec.encode_descriptor(self.descriptor),
            binding=binding,
            entropy=entropy(source or self.name),
            now=NOW,
            expected_node=expected_node,
            framing=framing,
            grease=grease,
        )


ALICE, BOB, CAROL = Party("alice"), Party("bob"), Party("carol")


def events(link: Link) -> list[LinkEvent]:
    """All events that wait."""
    taken = []
    while (event := link.next_event()) is not None:
        taken.append(event)
    return taken


def state(link: Link) -> State:
    """The link's state, in a form that type checkers don't take for unchanging."""
    return link.state


def writable(link: Link) -> bool:
    """Likewise for the property of that name."""
    return link.writable


def output(link: Link, now: int = NOW) -> list[bytes]:
    """All bytes that wait, as the pieces in which they are given."""
    pieces = []
    while piece := link.data_to_send(now):
        pieces.append(piece)
    return pieces


@define
class Pair:
    """Two links over a perfect transport; what each reported so far is in ``seen``."""

    first: Link
    second: Link
    seen: tuple[list[LinkEvent], list[LinkEvent]] = field(factory=lambda: ([], []))

    def pump(self, now: int = NOW) -> None:
        """Deliver until both are silent."""
        busy = True
        while busy:
            busy = False
            for index, (sender, receiver) in enumerate(
                ((self.first, self.second), (self.second, self.first))
            ):
                self.seen[index].extend(events(sender))
                while piece := sender.data_to_send(now):
                    busy = True
                    self.seen[index].extend(events(sender))
                    receiver.receive_data(piece, now)
                    self.seen[1 - index].extend(events(receiver))
                self.seen[index].extend(events(sender))

    def frames(self, index: int) -> list[bytes]:
        return [event.frame for event in self.seen[index] if isinstance(event, LinkFrame)]

    def closed(self, index: int) -> LinkClosed | None:
        found = [event for event in self.seen[index] if isinstance(event, LinkClosed)]
        assert len(found) <= 1
        return found[0] if found else None


def connected(*, grease: bool = False, framing: Framing = Framing.STREAM) -> Pair:
    """Alice, who initiated, and Bob; both have reported that the link is open."""
    pair = Pair(
        ALICE.link(initiate=True, grease=grease, framing=framing),
        BOB.link(initiate=False, grease=grease, framing=framing),
    )
    pair.pump()
    for index, peer in ((0, BOB), (1, ALICE)):
        (opened,) = pair.seen[index]
        assert isinstance(opened, LinkOpened)
        assert opened.descriptor == peer.descriptor
        pair.seen[index].clear()
    return pair


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


class Raw:
    """A peer that speaks Noise correctly and, inside it, says whatever the test wants."""

    def __init__(
        self, link: Link, *, party: Party = CAROL, payload: bytes | None = None, binding: bytes = b""
    ) -> None:
        self.link = link
        self.party = party
        self.payload = party.payload if payload is None else payload
        self.handshake = Handshake(
            initiator=not link.initiated,
            prologue=crypto.labelled(PROLOGUE_LABEL, binding),
            entropy=entropy("raw"),
            static=party.static,
        )
        self.keys: TransportKeys | None = None

    def connect(self) -> list[LinkEvent]:
        """Go through the handshake; the link's events so far."""
        if self.link.initiated:
            self.handshake.read_message(self.link.data_to_send(NOW)[2:])
            self.hand_over(self.handshake.write_message(self.payload))
            taken = events(self.link)
            if reply := self.link.data_to_send(NOW):
                self.handshake.read_message(reply[2:])
        else:
            self.hand_over(self.handshake.write_message())
            taken = events(self.link)
            self.handshake.read_message(self.link.data_to_send(NOW)[2:])
            self.hand_over(self.handshake.write_message(self.payload))
            taken += events(self.link)
        if self.handshake.finished:
            self.keys = self.handshake.finish()
        return taken

    def hand_over(self, message: bytes, now: int = NOW) -> None:
        self.link.receive_data(framed(message), now)

    def say(self, *records: bytes, now: int = NOW) -> list[LinkEvent]:
        """Send one message with these encoded records; the link's events."""
        assert self.keys is not None
        self.hand_over(self.keys.send.encrypt(b"".join(records)), now)
        return events(self.link)

    def heard(self, now: int = NOW) -> list[Record]:
        """All records that the link sends."""
        assert self.keys is not None
        records = []
        for piece in output(self.link, now):
            assert int.from_bytes(piece[:2], "big") == len(piece) - 2
            records += codec.decode_records(self.keys.receive.decrypt(piece[2:]))
        return records


def raw(*, initiate: bool = False) -> Raw:
    """A raw peer (Carol) connected to Bob's link; Bob initiates or not."""
    peer = Raw(BOB.link(initiate=initiate))
    (opened,) = peer.connect()
    assert isinstance(opened, LinkOpened)
    return peer
