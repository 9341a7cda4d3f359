"""The Noise handshake: ``Noise_XX_25519_ChaChaPoly_SHA256`` by the Noise specification, revision 34.

Generic Noise and nothing of ToM: what the messages carry and what follows is :mod:`tom_ref.link`'s business.
Section numbers in this module are those of the specification.

Theory of operation.  A pattern is data: for each message a tuple of tokens.  :class:`Handshake` walks
through it, one side writing while the other reads.  Every step computes a new :class:`SymmetricState` from a
copy of the present one and stores it only when the whole message was processed, so a message that
does not authenticate leaves the handshake as it was.  When the pattern is through, :meth:`Handshake.finish`
gives :class:`TransportKeys`, a different type with different abilities: nothing can be encrypted for
transport before the handshake is over, and no handshake message after it.

Only the suite of this node is implemented: X25519, ChaCha20-Poly1305, SHA-256.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

from attrs import define, field, frozen

from tom_ref import crypto
from tom_ref.constants import MAX_NOISE_MESSAGE, Purpose
from tom_ref.crypto import KEY_SIZE, TAG_SIZE, Entropy, Secret32
from tom_ref.errors import LocalError, ProtocolError, Reason

MAX_NONCE: Final = 2**64 - 1
"""The nonce that is never used for a message (section 5.1); ``Rekey`` uses it."""

_ZEROS: Final = bytes(32)


class NonceExhaustedError(LocalError):
    """2^64 - 1 messages were sealed under one key; no further one may be."""


class WrongTurnError(LocalError):
    """A handshake was asked to write, read or finish when it is not its turn."""


# --- patterns are data (section 7) --------------------------------------------------------------------


class Token(enum.Enum):
    """The parts of a handshake message (section 7.1)."""

    E = "e"
    S = "s"
    EE = "ee"
    ES = "es"
    SE = "se"


Pattern: TypeAlias = tuple[tuple[Token, ...], ...]
"""For each message, the initiator's first, its tokens.  Patterns with pre-messages are not supported."""

PATTERNS: Final[dict[str, Pattern]] = {
    "NN": (
        (Token.E,),
        (Token.E, Token.EE),
    ),
    "XX": (
        (Token.E,),
        (Token.E, Token.EE, Token.S, Token.ES),
        (Token.S, Token.SE),
    ),
}
"""The patterns by name: XX is the link's; NN has no static keys and shows that the machine is generic."""


# --- cipher state (section 5.1) ------------------------------------------------------------------------


@define
class CipherState:
    """A key and a counter.  Without a key, plaintext passes through (before the first Diffie-Hellman)."""

    _key: Secret32 | None = field(default=None, repr=False, alias="key")
    nonce: int = 0

    @property
    def has_key(self) -> bool:
        """Whether anything is encrypted yet."""
        return self._key is not None

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Seal ``plaintext``, adding 16 bytes, and advance the nonce; raises :class:`NonceExhaustedError`."""
        if self._key is None:
            return plaintext
        if self.nonce >= MAX_NONCE:
            raise NonceExhaustedError
        sealed = crypto.seal(self._key, bytes(4) + self.nonce.to_bytes(8, "little"), plaintext, associated)
        self.nonce += 1
        return sealed

    def decrypt(self, sealed: bytes, associated: bytes = b"") -> bytes:
        """Open ``sealed`` and advance the nonce, which stays as it is unless the message authenticates.

        Raises ``ProtocolError``: ``bad_seal``, or ``link_expired`` when the nonces are used up.
        """
        if self._key is None:
            return sealed
        if self.nonce >= MAX_NONCE:
            raise ProtocolError(Reason.LINK_EXPIRED, "no nonce left")
        plaintext = crypto.open_sealed(
            self._key, bytes(4) + self.nonce.to_bytes(8, "little"), sealed, associated
        )
        self.nonce += 1
        return plaintext

    def rekey(self) -> None:
        """Replace the key by a function of itself (sections 4.2 and 11.3); the nonce goes on."""
        if self._key is None:
            raise ValueError("there is no key to replace")
        last = bytes(4) + MAX_NONCE.to_bytes(8, "little")
        self._key = Secret32(crypto.seal(self._key, last, _ZEROS)[:KEY_SIZE])


# --- symmetric state (section 5.2) ---------------------------------------------------------------------


def _hkdf2(chaining_key: bytes, input_key: bytes) -> tuple[bytes, bytes]:
    """``HKDF(chaining_key, input_key_material, 2)`` of section 4.3: RFC 5869 with an empty info."""
    output = crypto.hkdf(input_key, salt=chaining_key, info=b"", length=2 * KEY_SIZE)
    return output[:KEY_SIZE], output[KEY_SIZE:]


@define
class SymmetricState:
    """The running hash ``h``, the chaining key ``ck`` and the cipher state of a handshake."""

    _chaining_key: bytes = field(repr=False, alias="chaining_key")
    hash: bytes
    cipher: CipherState = field(factory=CipherState)

    @classmethod
    def initialize(cls, protocol_name: bytes) -> SymmetricState:
        """``InitializeSymmetric``: the name itself, zero-padded, if it fits the hash, else its hash."""
        start = protocol_name.ljust(32, b"\0") if len(protocol_name) <= 32 else crypto.sha256(protocol_name)
        return cls(start, start)

    def copy(self) -> SymmetricState:
        """An independent copy, to work on until the message is known to be good."""
        cipher = CipherState(self.cipher._key, self.cipher.nonce)  # noqa: SLF001 - same module
        return SymmetricState(self._chaining_key, self.hash, cipher)

    def mix_hash(self, data: bytes) -> None:
        """``MixHash``."""
        self.hash = crypto.sha256(self.hash + data)

    def mix_key(self, input_key: bytes) -> None:
        """``MixKey``: the nonce of the new key begins at zero."""
        self._chaining_key, key = _hkdf2(self._chaining_key, input_key)
        self.cipher = CipherState(Secret32(key))

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """``EncryptAndHash``."""
        sealed = self.cipher.encrypt(plaintext, self.hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        """``DecryptAndHash``; raises ``ProtocolError(bad_seal)``."""
        plaintext = self.cipher.decrypt(sealed, self.hash)
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """``Split``: the initiator's and the responder's sending keys."""
        first, second = _hkdf2(self._chaining_key, b"")
        return CipherState(Secret32(first)), CipherState(Secret32(second))


# --- handshake state (section 5.3) ---------------------------------------------------------------------


@frozen
class TransportKeys:
    """What a finished handshake leaves: one cipher state for each direction and what was agreed upon."""

    send: CipherState
    receive: CipherState
    handshake_hash: bytes
    """32 bytes, the same on both sides and unique to the handshake (section 11.2)."""
    remote_static: bytes | None
    """The peer's static public key, proved by the handshake; None in patterns without one."""


class Handshake:
    """One side of one handshake; it alternates between writing and reading until :attr:`finished`.

    ``prologue`` is any data that both sides must agree upon.  ``static`` is this side's X25519 secret, which
    patterns with the token ``s`` need (``ValueError`` if it is missing).  Each side draws one ephemeral key,
    32 bytes of entropy named ``link/ephemeral``, when it writes its first message.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        prologue: bytes,
        entropy: Entropy,
        static: Secret32 | None = None,
        pattern: str = "XX",
    ) -> None:
        self._initiator = initiator
        self._messages = PATTERNS[pattern]
        own = self._messages[0 if initiator else 1 :: 2]
        if static is None and any(Token.S in message for message in own):
            raise ValueError(f"{pattern} needs a static key")
        self._entropy = entropy
        self._position = 0
        self._static = static
        self._ephemeral: Secret32 | None = None
        self._remote_static: bytes | None = None
        self._remote_ephemeral: bytes | None = None
        self._symmetric = SymmetricState.initialize(
            f"Noise_{pattern}_25519_ChaChaPoly_SHA256".encode("ascii")
        )
        self._symmetric.mix_hash(prologue)

    @property
    def finished(self) -> bool:
        """Whether all messages were written and read."""
        return self._position == len(self._messages)

    @property
    def writes_next(self) -> bool:
        """Whether the next message is this side's to write."""
        return not self.finished and (self._position % 2 == 0) == self._initiator

    @property
    def remote_static(self) -> bytes | None:
        """The peer's static public key, once a message that proves nothing yet has brought it."""
        return self._remote_static

    def write_message(self, payload: bytes = b"") -> bytes:
        """``WriteMessage``: the next message, with ``payload`` in it.

        Raises :class:`WrongTurnError`, or ``ValueError`` for a payload that would make the message longer
        than 65,535 bytes; nothing has changed then.
        """
        if not self.writes_next:
            raise WrongTurnError("the handshake is not to write now")
        symmetric = self._symmetric.copy()
        ephemeral = self._ephemeral
        parts = []
        for token in self._messages[self._position]:
            if token is Token.E:
                ephemeral = crypto.draw_secret(self._entropy, Purpose.LINK_EPHEMERAL)
                public = crypto.x25519_public(ephemeral)
                symmetric.mix_hash(public)
                parts.append(public)
            elif token is Token.S:
                assert self._static is not None
                parts.append(symmetric.encrypt_and_hash(crypto.x25519_public(self._static)))
            else:
                symmetric.mix_key(self._agree(token, ephemeral, self._remote_ephemeral, self._remote_static))
        parts.append(symmetric.encrypt_and_hash(payload))
        message = b"".join(parts)
        if len(message) > MAX_NOISE_MESSAGE:
            raise ValueError(f"a handshake message of {len(message)} bytes; at most {MAX_NOISE_MESSAGE} go")
        self._symmetric, self._ephemeral = symmetric, ephemeral
        self._position += 1
        return message

    def read_message(self, message: bytes) -> bytes:
        """``ReadMessage``: the payload of the peer's next message.

        Raises ``ProtocolError``, and the handshake is as it was: ``bad_handshake`` for a message that is
        too short or does not authenticate, ``too_large`` for one above 65,535 bytes, ``bad_key`` for a key
        of low order.  Raises :class:`WrongTurnError` when this side is not to read.
        """
        if self.finished or self.writes_next:
            raise WrongTurnError("the handshake is not to read now")
        if len(message) > MAX_NOISE_MESSAGE:
            raise ProtocolError(Reason.TOO_LARGE, f"a handshake message of {len(message)} bytes")
        symmetric = self._symmetric.copy()
        remote_ephemeral, remote_static = self._remote_ephemeral, self._remote_static
        position = 0
        try:
            for token in self._messages[self._position]:
                if token in {Token.E, Token.S}:
                    size = KEY_SIZE + (TAG_SIZE if token is Token.S and symmetric.cipher.has_key else 0)
                    piece = message[position : position + size]
                    if len(piece) != size:
                        raise ProtocolError(Reason.BAD_HANDSHAKE, "a message that ends within a key")
                    position += size
                    if token is Token.E:
                        remote_ephemeral = piece
                        symmetric.mix_hash(piece)
                    else:
                        remote_static = symmetric.decrypt_and_hash(piece)
                else:
                    symmetric.mix_key(self._agree(token, self._ephemeral, remote_ephemeral, remote_static))
            payload = symmetric.decrypt_and_hash(message[position:])
        except ProtocolError as error:
            if error.reason is Reason.BAD_SEAL:
                raise ProtocolError(
                    Reason.BAD_HANDSHAKE, f"message {self._position + 1} does not authenticate"
                ) from None
            raise
        self._symmetric = symmetric
        self._remote_ephemeral, self._remote_static = remote_ephemeral, remote_static
        self._position += 1
        return payload

    def finish(self) -> TransportKeys:
        """``Split``: the transport keys; raises :class:`WrongTurnError` before the handshake's end."""
        if not self.finished:
            raise WrongTurnError("the handshake is not finished")
        first, second = self._symmetric.split()
        send, receive = (first, second) if self._initiator else (second, first)
        return TransportKeys(send, receive, self._symmetric.hash, self._remote_static)

    def _agree(
        self,
        token: Token,
        ephemeral: Secret32 | None,
        remote_ephemeral: bytes | None,
        remote_static: bytes | None,
    ) -> bytes:
        """The Diffie-Hellman result of a token; its first letter is the initiator's key, its second the
        responder's.
        """
        initiators, responders = token.value[0], token.value[1]
        own, theirs = (initiators, responders) if self._initiator else (responders, initiators)
        secret = ephemeral if own == "e" else self._static
        public = remote_ephemeral if theirs == "e" else remote_static
        assert secret is not None, "the pattern agrees on a key before it is there"
        assert public is not None, "the pattern agrees on a key before it is there"
        return crypto.x25519(secret, public)
