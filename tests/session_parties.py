"""Two parties for the session tests: keys, descriptors, deterministic entropy, and the node's own duties."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from attrs import Factory, define, evolve, field

from tom_ref import session
from tom_ref.constants import MAX_TTL, PREKEY_ERASE_AFTER, PREKEY_INTERVAL, PREKEY_VALIDITY
from tom_ref.crypto import Secret32, sha256, x25519_public
from tom_ref.frames import Descriptor
from tom_ref.session import LocalKeys, PeerSessions, Prekey
from tom_ref.session_store import decode_peer_sessions, encode_peer_sessions

START = 1_800_000_000_000
HOUR = 3_600_000
PREFIX = b"the envelope's header up to its payload length"


@define
class CountedEntropy:
    """Bytes that depend on the seed, the purpose and how many draws that purpose had before."""

    seed: bytes
    draws: dict[str, int] = field(factory=dict)

    def __call__(self, purpose: str, size: int) -> bytes:
        count = self.draws[purpose] = self.draws.get(purpose, 0) + 1
        return hashlib.shake_256(self.seed + purpose.encode() + count.to_bytes(8, "big")).digest(size)


def local_keys(name: str) -> LocalKeys:
    secret = Secret32(sha256(b"session " + name.encode()))
    return LocalKeys(sha256(b"node " + name.encode()), secret, x25519_public(secret))


def prekey(name: str, valid_from: int = START) -> Prekey:
    secret = Secret32(sha256(b"prekey " + name.encode()))
    return Prekey(secret, x25519_public(secret), valid_from + PREKEY_VALIDITY)


def describe(local: LocalKeys, prekey_id: int, held: Prekey) -> Descriptor:
    return Descriptor(
        node_id=local.node_id,
        vrf_key=bytes(32),
        link_key=bytes(32),
        session_key=local.session_key,
        prekey_id=prekey_id,
        prekey=held.public,
        prekey_from=held.valid_until - PREKEY_VALIDITY,
        prekey_until=held.valid_until,
        min_version=1,
        max_version=1,
        created_at=held.valid_until - PREKEY_VALIDITY,
        addresses=(),
        extensions=(),
    )


@define
class Sent:
    """A message on its way, as an envelope would carry it."""

    plaintext: bytes
    data: bytes
    prefix: bytes
    sent_at: int


@define
class Party:
    """A node as far as sessions go: it keeps its prekeys on schedule and refuses what is expired."""

    name: str
    skew: int = 0
    local: LocalKeys = field(init=False)
    entropy: CountedEntropy = field(init=False)
    prekeys: dict[int, Prekey] = Factory(dict)
    next_prekey: int = 1
    peer: PeerSessions = field(init=False)
    other: Party = field(init=False, repr=False)
    known: Descriptor | None = None

    def __attrs_post_init__(self) -> None:
        self.local = local_keys(self.name)
        self.entropy = CountedEntropy(self.name.encode())

    def meet(self, other: Party) -> None:
        self.other = other
        self.peer = PeerSessions(self.local.node_id, other.local.node_id)

    def clock(self, now: int) -> int:
        return now + self.skew

    def rotate(self, now: int) -> None:
        """Publish a prekey daily, erase it in time (TOM-ID)."""
        now = self.clock(now)
        newest = max((held.valid_until for held in self.prekeys.values()), default=0) - PREKEY_VALIDITY
        if now >= newest + PREKEY_INTERVAL:
            name = f"{self.name} {self.next_prekey}"
            self.prekeys[self.next_prekey] = prekey(name, now)
            self.next_prekey += 1
        for number, held in list(self.prekeys.items()):
            if now >= held.valid_until + PREKEY_ERASE_AFTER:
                del self.prekeys[number]

    @property
    def descriptor(self) -> Descriptor:
        number = max(self.prekeys)
        return describe(self.local, number, self.prekeys[number])

    def learn(self) -> None:
        self.known = self.other.descriptor

    def send(self, plaintext: bytes, now: int, prefix: bytes = PREFIX) -> Sent:
        now = self.clock(now)
        self.peer, data = session.send(
            self.peer,
            self.local,
            self.known,
            plaintext,
            header_prefix=prefix,
            now=now,
            entropy=self.entropy,
        )
        return Sent(plaintext, data, prefix, now)

    def is_expired(self, message: Sent, now: int) -> bool:
        return self.clock(now) >= message.sent_at + MAX_TTL

    def receive(self, message: Sent, now: int, prekeys: Mapping[int, Prekey] | None = None) -> bytes:
        self.peer, plaintext = session.receive(
            self.peer,
            self.local,
            self.prekeys if prekeys is None else prekeys,
            self.known,
            message.data,
            header_prefix=message.prefix,
            sent_at=message.sent_at,
            now=self.clock(now),
            entropy=self.entropy,
        )
        return plaintext

    def restart(self) -> None:
        record = encode_peer_sessions(self.peer)
        peer = decode_peer_sessions(record)
        assert peer == self.peer
        assert encode_peer_sessions(peer) == record
        self.peer = peer

    def prune(self, now: int) -> None:
        self.peer = session.prune(self.peer, self.clock(now))

    def forget(self, now: int) -> None:
        """Lose every session and prekey, as after a reinstallation with the same secret."""
        self.peer = PeerSessions(self.local.node_id, self.other.local.node_id)
        self.prekeys = {}
        self.rotate(now)

    @property
    def sending_on(self) -> bytes | None:
        """The session that a message goes out on when nothing is worn or abandoned."""
        return self.peer.sessions[0].session_id if self.peer.sessions else None


def pair(now: int = START) -> tuple[Party, Party]:
    """Two parties that hold each other's descriptor and no session."""
    alice, bob = Party("alice"), Party("bob")
    alice.meet(bob)
    bob.meet(alice)
    for party in (alice, bob):
        party.rotate(now)
    for party in (alice, bob):
        party.learn()
    return alice, bob


def talking(now: int = START) -> tuple[Party, Party]:
    """Two parties with one settled session, the last message of which was Bob's."""
    alice, bob = pair(now)
    for text in (b"one", b"two"):
        assert bob.receive(alice.send(text, now), now) == text
        assert alice.receive(bob.send(text, now), now) == text
    return alice, bob


def only(party: Party) -> session.SessionState:
    (state,) = party.peer.sessions
    return state


__all__ = ["HOUR", "PREFIX", "START", "CountedEntropy", "Party", "Sent", "describe", "evolve", "local_keys"]
__all__ += ["only", "pair", "prekey", "talking"]
