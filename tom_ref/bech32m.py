"""Bech32m, the text form of a NodeId: strict, short, and with a checksum that names no wrong node (BIP-350).

A text is ``prefix 1 data checksum`` in 32 characters that are hard to confuse.  Everything that is not
exactly the encoding is refused with ``BAD_TEXT`` (TOM-ID-007): mixed case, a foreign prefix, another length,
padding bits that are set.  All capitals are allowed, because QR codes hold them in less space.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tom_ref.errors import ProtocolError, Reason

NODE_ID_PREFIX: Final = "tom"
"""The human-readable part of a NodeId."""

NODE_ID_TEXT_SIZE: Final = 62
"""characters: ``tom``, ``1``, 52 for 256 bits, 6 for the checksum."""

MAX_TEXT_SIZE: Final = 90
"""characters: the longest text for which BIP-350 guarantees what its checksum detects."""

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CONSTANT: Final = 0x2BC830A3
"""What distinguishes Bech32m from Bech32, where it is 1."""

_CHECKSUM_WORDS: Final = 6


def _remainder(words: Iterable[int]) -> int:
    """The remainder of the words, as a polynomial over GF(32), modulo the code's generator."""
    state = 1
    for word in words:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ word
        for bit, factor in enumerate(_GENERATOR):
            if top >> bit & 1:
                state ^= factor
    return state


def _expanded(prefix: str) -> list[int]:
    return [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]


def encode_words(prefix: str, words: Iterable[int]) -> str:
    """The Bech32m text of five-bit words; ``ValueError`` for a prefix or words that have none."""
    data = list(words)
    if not prefix or any(not 33 <= ord(c) <= 126 or c.isupper() for c in prefix):
        raise ValueError("a prefix is of printable ASCII without capitals")
    if any(not 0 <= word < 32 for word in data):
        raise ValueError("a word has five bits")
    if len(prefix) + 1 + len(data) + _CHECKSUM_WORDS > MAX_TEXT_SIZE:
        raise ValueError(f"a text has at most {MAX_TEXT_SIZE} characters")
    checksum = _remainder([*_expanded(prefix), *data, *(0,) * _CHECKSUM_WORDS]) ^ _CONSTANT
    data += [checksum >> 5 * (5 - place) & 31 for place in range(_CHECKSUM_WORDS)]
    return prefix + "1" + "".join(_ALPHABET[word] for word in data)


def decode_words(text: str) -> tuple[str, list[int]]:
    """The prefix, in small letters, and the five-bit words of a Bech32m text; ``BAD_TEXT`` if it is none."""
    if len(text) > MAX_TEXT_SIZE:
        raise ProtocolError(Reason.BAD_TEXT, "too long")
    if any(not 33 <= ord(character) <= 126 for character in text):
        raise ProtocolError(Reason.BAD_TEXT, "a character that is not printable ASCII")
    lowered = text.lower()
    if text not in {lowered, text.upper()}:
        raise ProtocolError(Reason.BAD_TEXT, "mixed case")
    prefix, separator, data = lowered.rpartition("1")
    if not separator or not prefix or len(data) < _CHECKSUM_WORDS:
        raise ProtocolError(Reason.BAD_TEXT, "no prefix, or no checksum")
    words = [_VALUES.get(character, -1) for character in data]
    if -1 in words:
        raise ProtocolError(Reason.BAD_TEXT, "a character outside the alphabet")
    if _remainder([*_expanded(prefix), *words]) != _CONSTANT:
        raise ProtocolError(Reason.BAD_TEXT, "wrong checksum")
    return prefix, words[:-_CHECKSUM_WORDS]


def encode(prefix: str, data: bytes) -> str:
    """The Bech32m text of whole bytes, padded with zero bits."""
    words = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << words * 5 - len(data) * 8
    return encode_words(prefix, (number >> 5 * (words - 1 - place) & 31 for place in range(words)))


def decode(prefix: str, text: str, size: int) -> bytes:
    """The ``size`` bytes of a Bech32m text with that prefix; ``BAD_TEXT`` if it is not their encoding."""
    found, words = decode_words(text)
    if found != prefix:
        raise ProtocolError(Reason.BAD_TEXT, "another prefix")
    if len(words) != -(-size * 8 // 5):
        raise ProtocolError(Reason.BAD_TEXT, "another length")
    number = 0
    for word in words:
        number = number << 5 | word
    padding = len(words) * 5 - size * 8
    if number & ((1 << padding) - 1):
        raise ProtocolError(Reason.BAD_TEXT, "padding that is not zero")
    return (number >> padding).to_bytes(size, "big")


def node_id_to_text(node_id: bytes) -> str:
    """The 62 characters that stand for a 32-byte NodeId, in small letters (TOM-ID-006)."""
    if len(node_id) != 32:
        raise ValueError("a NodeId is 32 bytes")
    return encode(NODE_ID_PREFIX, node_id)


def node_id_from_text(text: str) -> bytes:
    """The 32-byte NodeId of its text, in small letters or capitals; else ``BAD_TEXT`` (TOM-ID-007)."""
    return decode(NODE_ID_PREFIX, text, 32)
