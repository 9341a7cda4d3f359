"""The Double Ratchet, without header encryption (TOM-SESSION-020 ff.).

Signal's "The Double Ratchet Algorithm", revision 1, in its recommended form: KDF_RK is HKDF-SHA256, KDF_CK is
HMAC-SHA256 over 0x01 and 0x02, and each message key gives a ChaCha20-Poly1305 key and nonce through HKDF.

Every function takes a ratchet and returns a new one: whoever drops the result (because a message did not
authenticate) has changed nothing (TOM-SESSION-032).  A ratchet always has a sending chain: the new ratchet
key pair is drawn when the peer's new key arrives, not when the next message is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve, field, frozen

from tom_ref import crypto
from tom_ref.constants import MAX_SKIPPED_KEYS, Purpose
from tom_ref.crypto import Entropy, Secret32, hkdf, hmac_sha256, labelled
from tom_ref.errors import ProtocolError, Reason

_ROOT_INFO: Final = labelled("ToM/1 session root")
_MESSAGE_INFO: Final = labelled("ToM/1 session message")
_MESSAGE_SALT: Final = bytes(32)
_KEY_AND_NONCE: Final = crypto.KEY_SIZE + crypto.NONCE_SIZE


@frozen
class Chain:
    """A symmetric-key chain: its present key and the number of the next message."""

    key: Secret32
    number: int


@frozen
class SkippedKey:
    """The key of a message that has not arrived; erased from ``until`` (ms) on, when no such message can be
    alive.
    """

    key: Secret32
    until: int


@frozen
class Ratchet:
    """One end of a Double Ratchet.

    ``secret`` and ``public`` are this end's ratchet key pair, ``peer_key`` the other end's public key;
    ``previous_count`` is the length of the sending chain before this one (PN in Signal's document);
    ``receiving`` is ``None`` until the initiator has received a first message.  ``skipped`` maps (ratchet
    key, message number) to a key, at most 256 entries, and is never changed in place.
    """

    root_key: Secret32
    secret: Secret32
    public: bytes
    peer_key: bytes
    sending: Chain
    receiving: Chain | None
    previous_count: int
    skipped: Mapping[tuple[bytes, int], SkippedKey] = field(repr=False)


def _root_step(root_key: Secret32, shared: bytes) -> tuple[Secret32, Chain]:
    """KDF_RK (TOM-SESSION-021): the next root key and a new chain."""
    output = hkdf(shared, root_key.reveal(), _ROOT_INFO, 64)
    return Secret32(output[:32]), Chain(Secret32(output[32:]), 0)


def _chain_step(chain: Chain) -> tuple[Chain, Secret32]:
    """KDF_CK (TOM-SESSION-022): the chain one message on, and that message's key."""
    return (
        Chain(Secret32(hmac_sha256(chain.key, b"\x02")), chain.number + 1),
        Secret32(hmac_sha256(chain.key, b"\x01")),
    )


def _turn(
    root_key: Secret32, secret: Secret32, peer_key: bytes, entropy: Entropy
) -> tuple[Secret32, Chain, Secret32, Chain]:
    """A whole Diffie-Hellman ratchet step (TOM-SESSION-025): root key, receiving chain, new secret, sending
    chain.
    """
    crypto.validate_x25519_public(peer_key)
    root_key, receiving = _root_step(root_key, crypto.x25519(secret, peer_key))
    fresh = crypto.draw_secret(entropy, Purpose.SESSION_RATCHET)
    root_key, sending = _root_step(root_key, crypto.x25519(fresh, peer_key))
    return root_key, receiving, fresh, sending


def begin(shared_secret: Secret32, prekey: bytes, entropy: Entropy) -> Ratchet:
    """The initiator's ratchet, from the X3DH secret and the responder's signed prekey (TOM-SESSION-023)."""
    secret = crypto.draw_secret(entropy, Purpose.SESSION_RATCHET)
    root_key, sending = _root_step(shared_secret, crypto.x25519(secret, prekey))
    return Ratchet(root_key, secret, crypto.x25519_public(secret), prekey, sending, None, 0, {})


def answer(shared_secret: Secret32, prekey: Secret32, ratchet_key: bytes, entropy: Entropy) -> Ratchet:
    """The responder's ratchet, from the X3DH secret and the first ratchet key it sees (TOM-SESSION-024).

    Raises ``ProtocolError(BAD_KEY)`` for a ratchet key that is not canonical or of low order.
    """
    root_key, receiving, secret, sending = _turn(shared_secret, prekey, ratchet_key, entropy)
    return Ratchet(root_key, secret, crypto.x25519_public(secret), ratchet_key, sending, receiving, 0, {})


def _with_chains(ratchet: Ratchet, sending: Chain, receiving: Chain | None) -> Ratchet:
    """``attrs.evolve`` by hand, on the way of every message: a tenth of its time."""
    return Ratchet(
        ratchet.root_key,
        ratchet.secret,
        ratchet.public,
        ratchet.peer_key,
        sending,
        receiving,
        ratchet.previous_count,
        ratchet.skipped,
    )


def sending_key(ratchet: Ratchet) -> tuple[Ratchet, Secret32]:
    """The key of the next message, whose number is ``ratchet.sending.number``, and the ratchet after it."""
    sending, key = _chain_step(ratchet.sending)
    return _with_chains(ratchet, sending, ratchet.receiving), key


def receiving_key(
    ratchet: Ratchet, ratchet_key: bytes, previous_count: int, number: int, *, until: int, entropy: Entropy
) -> tuple[Ratchet, Secret32]:
    """The key of a received message and the ratchet after it, to be committed once the message has
    authenticated.

    ``ratchet_key``, ``previous_count`` and ``number`` are the message's header fields; the keys of messages
    it shows to be missing are kept until ``until`` (ms).  Raises ``ProtocolError``: ``TOO_MANY_SKIPPED``
    before anything is computed (TOM-SESSION-027), ``REPLAYED`` for a key already used (TOM-SESSION-028),
    ``BAD_KEY`` for a new ratchet key that is not canonical or of low order.
    """
    place = (ratchet_key, number)
    stored = ratchet.skipped.get(place)
    if stored is not None:
        rest = {where: key for where, key in ratchet.skipped.items() if where != place}
        return evolve(ratchet, skipped=rest), stored.key

    receiving = ratchet.receiving
    if receiving is not None and ratchet_key == ratchet.peer_key:
        if number < receiving.number:
            raise ProtocolError(Reason.REPLAYED, f"message {number}")
        if number == receiving.number:
            receiving, key = _chain_step(receiving)
            return _with_chains(ratchet, ratchet.sending, receiving), key
        _bound(ratchet, number - receiving.number)
        skipped = dict(ratchet.skipped)
        receiving, key = _chain_step(_skip(receiving, number, ratchet_key, until, skipped))
        return evolve(ratchet, receiving=receiving, skipped=skipped), key

    _bound(ratchet, number + (0 if receiving is None else max(0, previous_count - receiving.number)))
    skipped = dict(ratchet.skipped)
    if receiving is not None:
        _skip(receiving, previous_count, ratchet.peer_key, until, skipped)
    root_key, receiving, secret, sending = _turn(ratchet.root_key, ratchet.secret, ratchet_key, entropy)
    receiving, key = _chain_step(_skip(receiving, number, ratchet_key, until, skipped))
    turned = Ratchet(
        root_key,
        secret,
        crypto.x25519_public(secret),
        ratchet_key,
        sending,
        receiving,
        ratchet.sending.number,
        skipped,
    )
    return turned, key


def _bound(ratchet: Ratchet, missing: int) -> None:
    """Refuse to keep more than 256 keys, before deriving any of them (TOM-SESSION-027)."""
    if len(ratchet.skipped) + missing > MAX_SKIPPED_KEYS:
        raise ProtocolError(Reason.TOO_MANY_SKIPPED, f"{len(ratchet.skipped)} kept and {missing} more")


def _skip(
    chain: Chain, number: int, ratchet_key: bytes, until: int, skipped: dict[tuple[bytes, int], SkippedKey]
) -> Chain:
    """Step ``chain`` to ``number``, adding the keys passed over to ``skipped``, the caller's own copy."""
    while chain.number < number:
        place = (ratchet_key, chain.number)
        chain, key = _chain_step(chain)
        skipped[place] = SkippedKey(key, until)
    return chain


def without_expired(ratchet: Ratchet, now: int) -> Ratchet:
    """The ratchet without the skipped keys whose messages can't be alive any more (TOM-SESSION-029)."""
    if not ratchet.skipped:
        return ratchet
    alive = {place: key for place, key in ratchet.skipped.items() if now < key.until}
    return ratchet if len(alive) == len(ratchet.skipped) else evolve(ratchet, skipped=alive)


def _key_and_nonce(message_key: Secret32) -> tuple[bytes, bytes]:
    """The AEAD key and nonce of one message (TOM-SESSION-030)."""
    output = hkdf(message_key, _MESSAGE_SALT, _MESSAGE_INFO, _KEY_AND_NONCE)
    return output[: crypto.KEY_SIZE], output[crypto.KEY_SIZE :]


def seal(message_key: Secret32, plaintext: bytes, associated: bytes) -> bytes:
    """The ciphertext of one message, 16 bytes longer than ``plaintext`` (TOM-SESSION-031)."""
    key, nonce = _key_and_nonce(message_key)
    return crypto.seal(key, nonce, plaintext, associated)


def open_sealed(message_key: Secret32, ciphertext: bytes, associated: bytes) -> bytes:
    """The plaintext of one message; ``ProtocolError(BAD_SEAL)`` if it does not authenticate
    (TOM-SESSION-031).
    """
    key, nonce = _key_and_nonce(message_key)
    return crypto.open_sealed(key, nonce, ciphertext, associated)
