"""Who a node is: one secret, four keys, a signed descriptor, rotating prekeys, and the secret's file format.

Theory of operation.  Everything long-lived comes from one :class:`~tom_ref.crypto.Secret32`:
:meth:`Identity.from_secret` derives the four key pairs, each for one use.  The public halves, a signed prekey
and the addresses make the *descriptor*, which others verify with :func:`verify_descriptor` and keep while
:func:`newer` says so.  Prekeys are the only keys that change: :func:`rotate_prekeys` computes, from the
prekeys held and the time, which to issue and which to erase.  The secret file is bytes here; reading, writing
and locking it is the business of the drivers.

Chapter 3 of the specification has the rules; the ids below are its.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

import attrs

from tom_ref import codec, constants, crypto, vrf, wire
from tom_ref.constants import EPS, PREKEY_ERASE_AFTER, PREKEY_INTERVAL, PREKEY_VALIDITY, VERSION, Purpose
from tom_ref.crypto import Entropy, Secret32, SigningKey
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Address, Descriptor, Extension
from tom_ref.layout import Layout

DESCRIPTOR_LABEL: Final = "ToM/1 descriptor"
"""The domain of a descriptor's signature (TOM-ID-023)."""

_KEY_LABELS: Final = ("ToM/1 key identity", "ToM/1 key vrf", "ToM/1 key link", "ToM/1 key session")


# --- the four keys ---------------------------------------------------------------------------------------


def new_secret(entropy: Entropy) -> Secret32:
    """A fresh secret for a new node; draws ``identity/secret``."""
    return crypto.draw_secret(entropy, Purpose.IDENTITY_SECRET)


@attrs.frozen
class Identity:
    """A node's four key pairs: the public halves are 32 bytes each, the secret halves never show.

    ``node_id`` belongs to ``signing_key`` (Ed25519), ``vrf_key`` to ``vrf_secret`` (ECVRF), ``link_key`` to
    ``link_secret`` (X25519, the Noise static key), ``session_key`` to ``session_secret`` (X25519).
    """

    node_id: bytes
    vrf_key: bytes
    link_key: bytes
    session_key: bytes
    signing_key: SigningKey = attrs.field(repr=False)
    vrf_secret: Secret32 = attrs.field(repr=False)
    link_secret: Secret32 = attrs.field(repr=False)
    session_secret: Secret32 = attrs.field(repr=False)

    @classmethod
    def from_secret(cls, secret: Secret32) -> Identity:
        """The identity that a secret stands for (TOM-ID-003, 004)."""
        identity, vrf_secret, link, session = (
            Secret32(crypto.hkdf(secret, b"", crypto.labelled(label), crypto.KEY_SIZE))
            for label in _KEY_LABELS
        )
        signing_key = SigningKey(identity)
        return cls(
            node_id=signing_key.public,
            vrf_key=vrf.public_key(vrf_secret),
            link_key=crypto.x25519_public(link),
            session_key=crypto.x25519_public(session),
            signing_key=signing_key,
            vrf_secret=vrf_secret,
            link_secret=link,
            session_secret=session,
        )

    def sign(self, label: str, *parts: bytes) -> bytes:
        """The 64-byte signature of :func:`~tom_ref.crypto.labelled` parts."""
        return self.signing_key.sign(crypto.labelled(label, *parts))


# --- prekeys ---------------------------------------------------------------------------------------------


@attrs.frozen
class Prekey:
    """A signed prekey with its secret: X25519, usable from ``valid_from`` until ``valid_until`` (ms)."""

    prekey_id: int
    secret: Secret32 = attrs.field(repr=False)
    public: bytes
    valid_from: int
    valid_until: int

    @property
    def erase_at(self) -> int:
        """The moment, ms, from which the secret is gone: no message that used it can arrive in time."""
        return self.valid_until + PREKEY_ERASE_AFTER


@attrs.frozen
class PrekeyRotation:
    """What :func:`rotate_prekeys` decided.

    ``current`` goes into the descriptor; ``held`` are all prekeys to keep, oldest first, ``current`` last;
    ``issued`` says whether ``current`` is new, so that it is stored and a descriptor published;
    ``erased`` are the ids to forget; ``next_at`` (ms) is when to come back.
    """

    current: Prekey
    held: tuple[Prekey, ...]
    issued: bool
    erased: tuple[int, ...]
    next_at: int


def make_prekey(prekey_id: int, secret: Secret32, valid_from: int) -> Prekey:
    """The prekey of a secret, valid for as long as the protocol allows."""
    return Prekey(prekey_id, secret, crypto.x25519_public(secret), valid_from, valid_from + PREKEY_VALIDITY)


def rotate_prekeys(held: Iterable[Prekey], now: int, entropy: Entropy) -> PrekeyRotation:
    """Apply the prekey schedule at ``now`` ms (TOM-ID-038 to 042).

    Erases what is past its time and what a clock that ran ahead dated into the future; issues a prekey when
    there is none or the newest is a day old, drawing ``identity/prekey``.  Calling it too often or too late
    is harmless.  At most five prekeys are held: two days of validity and one of waiting, issued a day apart.
    """
    before = sorted(held, key=lambda prekey: (prekey.valid_from, prekey.prekey_id))
    kept = [prekey for prekey in before if now < prekey.erase_at and prekey.valid_from <= now + 2 * EPS]
    kept_ids = {prekey.prekey_id for prekey in kept}
    erased = tuple(prekey.prekey_id for prekey in before if prekey.prekey_id not in kept_ids)
    issued = not kept or now >= kept[-1].valid_from + PREKEY_INTERVAL
    if issued:
        secret = crypto.draw_secret(entropy, Purpose.IDENTITY_PREKEY)
        kept.append(make_prekey(_free_prekey_id(before, now), secret, now))
    next_at = min(kept[-1].valid_from + PREKEY_INTERVAL, *(prekey.erase_at for prekey in kept))
    return PrekeyRotation(kept[-1], tuple(kept), issued, erased, next_at)


def _free_prekey_id(held: Iterable[Prekey], now: int) -> int:
    """The present second, modulo 2^32: not used again even by a node that lost its store (TOM-ID-039)."""
    taken = {prekey.prekey_id for prekey in held}
    candidate = now // 1000 % 2**32
    while candidate in taken:
        candidate = (candidate + 1) % 2**32
    return candidate


# --- descriptors -----------------------------------------------------------------------------------------


def sign_descriptor(
    identity: Identity,
    prekey: Prekey,
    created_at: int,
    addresses: tuple[Address, ...] = (),
    extensions: tuple[Extension, ...] = (),
    *,
    min_version: int = VERSION,
    max_version: int = VERSION,
) -> Descriptor:
    """This node's signed descriptor, dated ``created_at`` ms (TOM-ID-023; see :func:`next_created_at`).

    Raises ``ProtocolError`` for values that no peer would accept: :func:`verify_descriptor` is applied to it.
    """
    unsigned = Descriptor(
        node_id=identity.node_id,
        vrf_key=identity.vrf_key,
        link_key=identity.link_key,
        session_key=identity.session_key,
        prekey_id=prekey.prekey_id,
        prekey=prekey.public,
        prekey_from=prekey.valid_from,
        prekey_until=prekey.valid_until,
        min_version=min_version,
        max_version=max_version,
        created_at=created_at,
        addresses=addresses,
        extensions=extensions,
    )
    body = codec.encode_descriptor_body(unsigned)
    signed = attrs.evolve(unsigned, signature=identity.sign(DESCRIPTOR_LABEL, body))
    verify_descriptor(signed, created_at)
    return signed


def next_created_at(previous: Descriptor | None, now: int) -> int:
    """The date, ms, of this node's next descriptor: the present, but later than the previous (TOM-ID-036).

    A previous date beyond what peers accept came from a clock that ran ahead; it is disregarded.
    """
    if previous is None or previous.created_at >= now + 2 * EPS:
        return now
    return max(now, previous.created_at + 1)


def verify_descriptor(descriptor: Descriptor, now: int, expected_node: bytes | None = None) -> None:
    """Accept a decoded descriptor at ``now`` ms or raise (TOM-ID-024 to 032).

    ``NODE_MISMATCH`` (not ``expected_node``), ``FUTURE_DATE`` (dated more than 2·EPS ahead), ``BAD_VALUE``
    (versions or prekey dates that make no sense), ``UNKNOWN_VERSION`` (version 1 not spoken), ``BAD_KEY`` (a
    key that is not canonical, of small order, or stands twice), ``BAD_SIGNATURE``.  That the prekey is valid
    at ``now`` is not asked here: an old descriptor still says who a node is (TOM-ID-037).
    """
    if expected_node is not None and descriptor.node_id != expected_node:
        raise ProtocolError(Reason.NODE_MISMATCH, "descriptor of another node")
    if descriptor.created_at > now + 2 * EPS:
        raise ProtocolError(Reason.FUTURE_DATE, f"descriptor dated {descriptor.created_at - now} ms ahead")
    _check_versions(descriptor)
    _check_prekey_dates(descriptor)
    _check_keys(descriptor)
    body = codec.encode_descriptor_body(descriptor)
    crypto.verify(descriptor.node_id, crypto.labelled(DESCRIPTOR_LABEL, body), descriptor.signature)
    vrf.validate_key(descriptor.vrf_key)


def _check_versions(descriptor: Descriptor) -> None:
    if not 1 <= descriptor.min_version <= descriptor.max_version:
        raise ProtocolError(Reason.BAD_VALUE, "protocol versions out of order")
    if not descriptor.min_version <= VERSION <= descriptor.max_version:
        raise ProtocolError(
            Reason.UNKNOWN_VERSION, f"speaks {descriptor.min_version} to {descriptor.max_version}"
        )


def _check_prekey_dates(descriptor: Descriptor) -> None:
    if not 0 < descriptor.prekey_until - descriptor.prekey_from <= PREKEY_VALIDITY:
        raise ProtocolError(Reason.BAD_VALUE, "the prekey's validity is empty or too long")
    if not descriptor.prekey_from - 2 * EPS <= descriptor.created_at <= descriptor.prekey_until:
        raise ProtocolError(Reason.BAD_VALUE, "the descriptor is not dated within its prekey's validity")


def _check_keys(descriptor: Descriptor) -> None:
    exchange_keys = (descriptor.link_key, descriptor.session_key, descriptor.prekey)
    for key in exchange_keys:
        crypto.validate_x25519_public(key)
    if len({*exchange_keys, descriptor.node_id, descriptor.vrf_key}) < 5:
        raise ProtocolError(Reason.BAD_KEY, "one key for two uses")


def newer(held: Descriptor | None, offered: Descriptor) -> Descriptor:
    """``offered`` if it replaces ``held`` (TOM-ID-033 to 035).  Both verified, of the same node.

    The later date wins; at the same date the greater signature, so that all nodes end with the same one.
    ``STALE`` if it does not replace it, ``BAD_KEY`` if a derived key differs: a node's never change.
    ``ValueError`` for descriptors of two nodes.
    """
    if held is None:
        return offered
    if held.node_id != offered.node_id:
        raise ValueError("descriptors of two nodes")
    if (offered.created_at, offered.signature) <= (held.created_at, held.signature):
        raise ProtocolError(Reason.STALE, "descriptor not newer than the one held")
    if _derived_keys(held) != _derived_keys(offered):
        raise ProtocolError(Reason.BAD_KEY, "a key that never changes has changed")
    return offered


def _derived_keys(descriptor: Descriptor) -> tuple[bytes, bytes, bytes]:
    return descriptor.vrf_key, descriptor.link_key, descriptor.session_key


# --- the secret file -------------------------------------------------------------------------------------

_PLAIN: Final = Layout("secret file", wire.SECRET_FILE_PLAIN)
_SEALED: Final = Layout("secret file", wire.SECRET_FILE_SEALED)
_FILE_LABEL: Final = "ToM/1 secret file"
_PROTECTION_AT: Final = 9
_CHECKSUM_SIZE: Final = crypto.HASH_SIZE
_SEALED_SIZE: Final = 32 + crypto.TAG_SIZE
_MIN_MEMORY: Final = 8


def encode_secret_file(
    secret: Secret32,
    passphrase: str | None,
    entropy: Entropy,
    *,
    operations: int = constants.PASSPHRASE_OPERATIONS,
    memory: int = constants.PASSPHRASE_MEMORY,
) -> bytes:
    """The bytes of a secret file: 74 without a passphrase, 126 sealed under one (``wire.SECRET_FILE_*``).

    ``operations`` (passes) and ``memory`` (KiB) are Argon2id's cost.  Draws ``identity/salt`` and
    ``identity/nonce`` when there is a passphrase.  ``ValueError`` for an empty passphrase or a cost
    outside the caps.
    """
    if passphrase is None:
        whole = _PLAIN.build(
            {"version": VERSION, "secret": secret.reveal(), "checksum": bytes(_CHECKSUM_SIZE)}
        )
        return _with_checksum(whole[:-_CHECKSUM_SIZE])
    if not _cost_is_allowed(operations, memory):
        raise ValueError("a cost outside the caps")
    encoded = _passphrase_bytes(passphrase)
    salt = crypto.draw(entropy, Purpose.IDENTITY_SALT, crypto.SALT_SIZE)
    nonce = crypto.draw(entropy, Purpose.IDENTITY_NONCE, crypto.NONCE_SIZE)
    whole = _SEALED.build(
        {
            "version": VERSION,
            "operations": operations,
            "memory": memory,
            "salt": salt,
            "nonce": nonce,
            "sealed": bytes(_SEALED_SIZE),
            "checksum": bytes(_CHECKSUM_SIZE),
        }
    )
    head = whole[: -_SEALED_SIZE - _CHECKSUM_SIZE]
    key = crypto.argon2id(encoded, salt, operations, memory * 1024)
    return _with_checksum(head + crypto.seal(key, nonce, secret.reveal(), head))


def decode_secret_file(data: bytes, passphrase: str | None) -> Secret32:
    """The secret in the bytes of a secret file (TOM-ID-046 to 049).

    ``BAD_SECRET_FILE``: not such a file, damaged, or a cost above the caps; nothing was spent on it then.
    ``WRONG_PASSPHRASE``: the file is sound, but the passphrase is wrong, missing, or given for a file that
    has none (somebody may have put another file in its place).  ``ValueError`` for an empty passphrase.
    """
    if len(data) <= _PROTECTION_AT + _CHECKSUM_SIZE or data != _with_checksum(data[:-_CHECKSUM_SIZE]):
        raise ProtocolError(Reason.BAD_SECRET_FILE, "too short, or the checksum is wrong")
    sealed = data[_PROTECTION_AT] != 0
    try:
        parsed = (_SEALED if sealed else _PLAIN).parse(data)
    except ProtocolError as error:
        raise ProtocolError(Reason.BAD_SECRET_FILE, error.detail) from None
    if parsed.version != VERSION:
        raise ProtocolError(Reason.BAD_SECRET_FILE, f"version {parsed.version}")
    if sealed and not _cost_is_allowed(parsed.operations, parsed.memory):
        raise ProtocolError(Reason.BAD_SECRET_FILE, "a cost outside the caps")
    if sealed != (passphrase is not None):
        raise ProtocolError(Reason.WRONG_PASSPHRASE, "missing" if sealed else "the file has none")
    if passphrase is None:
        return Secret32(parsed.secret)
    encoded = _passphrase_bytes(passphrase)
    key = crypto.argon2id(encoded, parsed.salt, parsed.operations, parsed.memory * 1024)
    try:
        return Secret32(
            crypto.open_sealed(key, parsed.nonce, parsed.sealed, data[: -_SEALED_SIZE - _CHECKSUM_SIZE])
        )
    except ProtocolError:
        raise ProtocolError(Reason.WRONG_PASSPHRASE) from None


def _with_checksum(content: bytes) -> bytes:
    return content + crypto.sha256(crypto.labelled(_FILE_LABEL, content))


def _cost_is_allowed(operations: int, memory: int) -> bool:
    return (
        1 <= operations <= constants.MAX_PASSPHRASE_OPERATIONS
        and _MIN_MEMORY <= memory <= constants.MAX_PASSPHRASE_MEMORY
    )


def _passphrase_bytes(passphrase: str) -> bytes:
    """UTF-8 in normalization form C: keyboards compose letters differently.  ``ValueError`` without it."""
    try:
        encoded = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the passphrase is no text") from None
    if not encoded:
        raise ValueError("the passphrase is empty")
    return encoded
