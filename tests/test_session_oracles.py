"""Second oracles: the X3DH and Double Ratchet packages of another author, and a straight-line computation."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Coroutine
from typing import Any, TypeVar

import doubleratchet
import pytest
import x3dh as their_x3dh
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from doubleratchet import Header
from doubleratchet.recommended import (
    HashFunction,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)
from x3dh.crypto_provider import HashFunction as X3DHHashFunction
from x3dh.identity_key_pair import IdentityKeyPairPriv

from tests.session_parties import HOUR, PREFIX, START, CountedEntropy, Party, Sent, only, pair
from tom_ref import codec, session, x3dh
from tom_ref.constants import PREKEY_VALIDITY
from tom_ref.crypto import Secret32, labelled, sha256, x25519_public
from tom_ref.frames import SessionInitial, SessionRegular

pytestmark = pytest.mark.interop
Value = TypeVar("Value")


def run(coroutine: Coroutine[Any, Any, Value]) -> Value:
    """Their interface is asynchronous but never waits."""
    with pytest.raises(StopIteration) as finished:
        coroutine.send(None)
    value: Value = finished.value.value
    return value


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(key)


def exchange(secret: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def public_of(secret: bytes) -> bytes:
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(*raw)


# --- X3DH -----------------------------------------------------------------------------------------------


class TheirX3DH(their_x3dh.BaseState):
    @staticmethod
    def _encode_public_key(key_format: their_x3dh.IdentityKeyFormat, pub: bytes) -> bytes:
        return pub


def their_state(identity: Secret32) -> TheirX3DH:
    return TheirX3DH.create(
        their_x3dh.IdentityKeyFormat.CURVE_25519,
        X3DHHashFunction.SHA_256,
        labelled("ToM/1 x3dh", b"\x01"),
        IdentityKeyPairPriv(identity.reveal()),
    )


@pytest.mark.parametrize("seed", range(5))
def test_their_initiator_agrees_with_our_responder(seed: int) -> None:
    """TOM-SESSION-012."""
    mine, prekey = (Secret32(sha256(f"{seed} {name}".encode())) for name in ("identity", "prekey"))
    theirs = their_state(Secret32(sha256(f"{seed} theirs".encode())))
    # A bundle of ours, signed as their package demands: ToM's own signature is the descriptor's.
    signer = their_state(mine)
    model = signer.model
    model.signed_pre_key.priv = prekey.reveal()
    bundle = _resign(model, mine)
    shared, associated, header = run(theirs.get_shared_secret_active(bundle, require_pre_key=False))
    ours = x3dh.responder_secret(mine, prekey, header.identity_key, header.ephemeral_key)
    assert ours.reveal() == shared
    assert associated == theirs.bundle.identity_key + x25519_public(mine)


def _resign(model: Any, identity: Secret32) -> their_x3dh.Bundle:
    import xeddsa

    forced = xeddsa.priv_force_sign(identity.reveal(), False)
    public = public_of(model.signed_pre_key.priv)
    return their_x3dh.Bundle(
        x25519_public(identity), public, xeddsa.ed25519_priv_sign(forced, public), frozenset()
    )


@pytest.mark.parametrize("seed", range(5))
def test_our_initiator_agrees_with_their_responder(seed: int) -> None:
    """TOM-SESSION-011."""
    mine, ephemeral = (Secret32(sha256(f"{seed} {name}".encode())) for name in ("identity", "ephemeral"))
    theirs = their_state(Secret32(sha256(f"{seed} theirs".encode())))
    bundle = theirs.bundle
    header = their_x3dh.Header(x25519_public(mine), x25519_public(ephemeral), bundle.signed_pre_key, None)
    shared, _, _ = run(theirs.get_shared_secret_passive(header, require_pre_key=False))
    ours = x3dh.initiator_secret(mine, ephemeral, bundle.identity_key, bundle.signed_pre_key)
    assert ours.reveal() == shared


# --- the Double Ratchet -----------------------------------------------------------------------------------


class RootKDF(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return labelled("ToM/1 session root")


class ChainKDF(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


class TheirAEAD(doubleratchet.AEAD):
    @staticmethod
    def _cipher(key: bytes) -> tuple[ChaCha20Poly1305, bytes]:
        output = hkdf(key, bytes(32), labelled("ToM/1 session message"), 44)
        return ChaCha20Poly1305(output[:32]), output[32:]

    @classmethod
    async def encrypt(cls, plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        cipher, nonce = cls._cipher(key)
        return cipher.encrypt(nonce, plaintext, associated_data)

    @classmethod
    async def decrypt(cls, ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        cipher, nonce = cls._cipher(key)
        return cipher.decrypt(nonce, ciphertext, associated_data)


class TheirRatchet(doubleratchet.DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Header) -> bytes:
        return associated_data + ratchet_fields(header)


SETTINGS: dict[str, Any] = {
    "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
    "root_chain_kdf": RootKDF,
    "message_chain_kdf": ChainKDF,
    "message_chain_constant": b"\x02\x01",
    "dos_protection_threshold": 256,
    "max_num_skipped_message_keys": 256,
    "aead": TheirAEAD,
}


def ratchet_fields(header: Header) -> bytes:
    counts = header.previous_sending_chain_length, header.sending_chain_length
    return bytes(header.ratchet_pub) + b"".join(count.to_bytes(4, "big") for count in counts)


def agreed(secrets: tuple[bytes, bytes, bytes]) -> bytes:
    return hkdf(b"\xff" * 32 + b"".join(secrets), bytes(32), labelled("ToM/1 x3dh", b"\x01"), 32)


class TheirParty:
    """A correspondent made of the other package, and of the specification's wire format alone."""

    def __init__(self, party: Party) -> None:
        self.me = party
        self.ratchet: TheirRatchet | None = None
        self.initial = b""
        self.regular = b""

    def _bound(self, prelude: bytes) -> bytes:
        """Everything that is authenticated before the ratchet's own fields."""
        header = prelude + bytes(40)
        return labelled("ToM/1 session", *self.identities, PREFIX, header)[:-40]

    def begin(self, plaintext: bytes, now: int) -> Sent:
        me, peer = self.me.local, self.me.other
        held = peer.prekeys[1]
        ephemeral = sha256(b"their ephemeral")
        begun = now.to_bytes(8, "big")
        name = sha256(
            labelled(
                "ToM/1 session id", me.node_id, peer.local.node_id, public_of(ephemeral), held.public, begun
            )
        )[:16]
        secrets = (
            exchange(me.session_secret.reveal(), held.public),
            exchange(ephemeral, peer.local.session_key),
            exchange(ephemeral, held.public),
        )
        shared = agreed(secrets)
        self.identities = me.session_key, peer.local.session_key, me.node_id, peer.local.node_id
        self.initial = b"\x01\x01" + name + me.session_key + public_of(ephemeral)
        self.initial += b"\0\0\0\x01" + begun
        self.regular = b"\x01\x02" + name
        self.ratchet, encrypted = run(
            TheirRatchet.encrypt_initial_message(
                **SETTINGS,
                shared_secret=shared,
                recipient_ratchet_pub=held.public,
                message=plaintext,
                associated_data=self._bound(self.initial),
            )
        )
        data = self.initial + ratchet_fields(encrypted.header) + encrypted.ciphertext
        return Sent(plaintext, data, PREFIX, now)

    def send(self, plaintext: bytes, now: int) -> Sent:
        assert self.ratchet is not None
        prelude = self.initial or self.regular
        encrypted = run(self.ratchet.encrypt_message(plaintext, self._bound(prelude)))
        return Sent(plaintext, prelude + ratchet_fields(encrypted.header) + encrypted.ciphertext, PREFIX, now)

    def receive(self, message: Sent) -> bytes:
        decoded = codec.decode_session_message(message.data)
        encrypted = doubleratchet.EncryptedMessage(
            Header(decoded.ratchet_key, decoded.previous_count, decoded.number), decoded.ciphertext
        )
        prelude = message.data[: -len(decoded.ciphertext) - 40]
        if self.ratchet is None:
            assert isinstance(decoded, SessionInitial)
            self._answer(decoded, encrypted, prelude)
            return self.plaintext
        self.initial = b""
        return run(self.ratchet.decrypt_message(encrypted, self._bound(prelude)))

    def _answer(self, decoded: SessionInitial, encrypted: Any, prelude: bytes) -> None:
        me, peer = self.me.local, self.me.other.local
        held = self.me.prekeys[decoded.prekey_id].secret.reveal()
        secrets = (
            exchange(held, decoded.session_key),
            exchange(me.session_secret.reveal(), decoded.ephemeral),
            exchange(held, decoded.ephemeral),
        )
        shared = agreed(secrets)
        self.identities = peer.session_key, me.session_key, peer.node_id, me.node_id
        self.regular = b"\x01\x02" + decoded.session_id
        self.ratchet, self.plaintext = run(
            TheirRatchet.decrypt_initial_message(
                **SETTINGS,
                shared_secret=shared,
                own_ratchet_priv=held,
                message=encrypted,
                associated_data=self._bound(prelude),
            )
        )


def converse(ours: Party, theirs: TheirParty) -> None:
    """Both directions, several turns, out of order and with losses."""
    for turn in range(1, 6):
        now = START + turn * HOUR
        to_them = [ours.send(b"to them %d.%d" % (turn, k), now) for k in range(turn)]
        for message in reversed(to_them[1:]):
            assert theirs.receive(message) == message.plaintext
        to_us = [theirs.send(b"to us %d.%d" % (turn, k), now) for k in range(4)]
        for k in (2, 0, 3):
            assert ours.receive(to_us[k], now) == to_us[k].plaintext
        assert theirs.receive(to_them[0]) == to_them[0].plaintext
        ours.restart()
    assert len(only(ours).ratchet.skipped) == 5


def test_we_begin_with_their_implementation() -> None:
    """TOM-SESSION-010 to 036: our initiator, their responder."""
    alice, bob = pair()
    theirs = TheirParty(bob)
    first = [alice.send(b"first %d" % k, START) for k in range(3)]
    for message in (first[1], first[0]):
        assert theirs.receive(message) == message.plaintext
    converse(alice, theirs)


def test_they_begin_with_our_implementation() -> None:
    """TOM-SESSION-010 to 036: their initiator, our responder."""
    alice, bob = pair()
    theirs = TheirParty(alice)
    first = theirs.begin(b"first", START)
    second = theirs.send(b"second", START)
    for message in (second, first):
        assert bob.receive(message, START) == message.plaintext
    converse(bob, theirs)


# --- straight line ----------------------------------------------------------------------------------------


def test_the_first_exchange_in_one_straight_line() -> None:
    """TOM-SESSION-011, 014, 021 to 025, 030, 031: every byte of a message and of its answer, from RFC
    primitives.
    """
    alice, bob = pair()
    seed = CountedEntropy(b"alice")
    draws = {name: seed(name, 32) for name in ("session/ephemeral", "session/ratchet")}
    message = alice.send(b"hello", START, PREFIX)

    ik_a, ik_b = alice.local.session_secret.reveal(), bob.local.session_secret.reveal()
    spk = bob.prekeys[1].secret.reveal()
    ephemeral, ratchet_a = draws["session/ephemeral"], draws["session/ratchet"]
    shared = hkdf(
        b"\xff" * 32
        + exchange(ik_a, public_of(spk))
        + exchange(ephemeral, public_of(ik_b))
        + exchange(ephemeral, public_of(spk)),
        bytes(32),
        b"\x0aToM/1 x3dh" + bytes([0, 0, 0, 1, 1]),
        32,
    )
    begun = START.to_bytes(8, "big")
    ids = alice.local.node_id, bob.local.node_id
    name = hashlib.sha256(
        b"\x10ToM/1 session id"
        + b"".join(
            len(part).to_bytes(4, "big") + part
            for part in (*ids, public_of(ephemeral), public_of(spk), begun)
        )
    ).digest()[:16]
    header = (
        b"\x01\x01" + name + public_of(ik_a) + public_of(ephemeral) + b"\0\0\0\x01" + begun
        + public_of(ratchet_a) + bytes(8)
    )  # fmt: skip
    root_info = b"\x12ToM/1 session root"
    first_root = hkdf(exchange(ratchet_a, public_of(spk)), shared, root_info, 64)
    assert message.data == header + sealed(first_root[32:], b"hello", header, ids, ik_a, ik_b)

    bob.receive(message, START)
    ratchet_b = CountedEntropy(b"bob")("session/ratchet", 32)
    answer = bob.send(b"hi", START, PREFIX)
    second_root = hkdf(exchange(ratchet_b, public_of(ratchet_a)), first_root[:32], root_info, 64)
    header = b"\x01\x02" + name + public_of(ratchet_b) + bytes(8)
    assert answer.data == header + sealed(second_root[32:], b"hi", header, ids, ik_a, ik_b)
    assert isinstance(codec.decode_session_message(answer.data), SessionRegular)


def sealed(
    chain: bytes, plaintext: bytes, header: bytes, ids: tuple[bytes, bytes], ik_a: bytes, ik_b: bytes
) -> bytes:
    message_key = hmac.digest(chain, b"\x01", "sha256")
    output = hkdf(message_key, bytes(32), b"\x15ToM/1 session message", 44)
    parts = (public_of(ik_a), public_of(ik_b), *ids, PREFIX, header)
    associated = b"\x0dToM/1 session" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return ChaCha20Poly1305(output[:32]).encrypt(output[32:], plaintext, associated)


def test_a_prekey_lives_as_long_as_the_parties_believe() -> None:
    """The helper that plays the node agrees with the specification's schedule (TOM-SESSION-013)."""
    alice, _ = pair()
    assert alice.descriptor.prekey_until - alice.descriptor.prekey_from == PREKEY_VALIDITY
    assert session.prekey_is_valid(alice.descriptor, START)
