"""The Noise handshake: published vectors, an independent implementation, and everything that can go wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from tom_ref import crypto
from tom_ref.crypto import Secret32
from tom_ref.errors import ProtocolError, Reason
from tom_ref.handshake import (
    MAX_NONCE,
    PATTERNS,
    CipherState,
    Handshake,
    NonceExhaustedError,
    SymmetricState,
    TransportKeys,
    WrongTurnError,
)

VECTORS = json.loads(
    (Path(__file__).parent.parent / "test-vectors/noise/xx-25519-chachapoly-sha256.json").read_text()
)["vectors"]
PROTOCOL = b"Noise_XX_25519_ChaChaPoly_SHA256"
keys = st.binary(min_size=32, max_size=32)
payloads = st.binary(max_size=200)


def fixed(value: bytes) -> crypto.Entropy:
    def entropy(purpose: str, size: int) -> bytes:
        assert purpose == "link/ephemeral"
        assert size == len(value)
        return value

    return entropy


def ours(
    initiator: bool, static: bytes | None, ephemeral: bytes, prologue: bytes = b"", pattern: str = "XX"
) -> Handshake:
    return Handshake(
        initiator=initiator,
        prologue=prologue,
        entropy=fixed(ephemeral),
        static=None if static is None else Secret32(static),
        pattern=pattern,
    )


def pair(prologue: bytes = b"", other_prologue: bytes | None = None) -> tuple[Handshake, Handshake]:
    return (
        ours(True, b"\1" * 32, b"\2" * 32, prologue),
        ours(False, b"\3" * 32, b"\4" * 32, prologue if other_prologue is None else other_prologue),
    )


def finished() -> tuple[TransportKeys, TransportKeys]:
    alice, bob = pair()
    bob.read_message(alice.write_message())
    alice.read_message(bob.write_message())
    bob.read_message(alice.write_message())
    return alice.finish(), bob.finish()


# --- against the world --------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["protocol_name"])
def test_published_vectors(vector: dict[str, Any]) -> None:
    def side(name: str) -> Handshake:
        static = vector.get(f"{name}_static")
        return ours(
            name == "init",
            None if static is None else bytes.fromhex(static),
            bytes.fromhex(vector[f"{name}_ephemeral"]),
            bytes.fromhex(vector[f"{name}_prologue"]),
            vector["protocol_name"].split("_")[1],
        )

    sides = [side("init"), side("resp")]
    transports: list[TransportKeys] = []
    for number, message in enumerate(vector["messages"]):
        payload, ciphertext = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        writer, reader = number % 2, 1 - number % 2
        if not sides[0].finished:
            assert sides[writer].write_message(payload) == ciphertext
            assert sides[reader].read_message(ciphertext) == payload
        else:
            transports = transports or [side.finish() for side in sides]
            assert transports[writer].send.encrypt(payload) == ciphertext
            assert transports[reader].receive.decrypt(ciphertext) == payload
    assert transports[0].handshake_hash == transports[1].handshake_hash
    if "handshake_hash" in vector:
        assert transports[0].handshake_hash.hex() == vector["handshake_hash"]


def theirs(initiator: bool, static: bytes, prologue: bytes) -> NoiseConnection:
    connection = NoiseConnection.from_name(PROTOCOL)
    connection.set_prologue(prologue)
    connection.set_keypair_from_private_bytes(Keypair.STATIC, static)
    (connection.set_as_initiator if initiator else connection.set_as_responder)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection.start_handshake()
    return connection


@pytest.mark.interop
@settings(max_examples=25, deadline=None)
@given(st.booleans(), keys, keys, keys, payloads, st.lists(payloads, min_size=3, max_size=3), st.data())
def test_interoperates_with_noiseprotocol(
    initiate: bool,
    static: bytes,
    ephemeral: bytes,
    their_static: bytes,
    prologue: bytes,
    contents: list[bytes],
    data: st.DataObject,
) -> None:
    """Both directions, random keys, prologues and payloads, transport messages and rekeying afterwards."""
    mine = ours(initiate, static, ephemeral, prologue)
    other = theirs(not initiate, their_static, prologue)
    for content in contents:
        if mine.writes_next:
            assert bytes(other.read_message(mine.write_message(content))) == content
        else:
            assert mine.read_message(bytes(other.write_message(content))) == content
    transport = mine.finish()
    assert other.handshake_finished
    assert transport.handshake_hash == other.get_handshake_hash()
    assert transport.remote_static == crypto.x25519_public(their_static)
    for _ in range(data.draw(st.integers(0, 4))):
        message = data.draw(payloads)
        assert bytes(other.decrypt(transport.send.encrypt(message))) == message
        assert transport.receive.decrypt(bytes(other.encrypt(message))) == message
        if data.draw(st.booleans()):
            transport.send.rekey()
            other.rekey_inbound_cipher()
        if data.draw(st.booleans()):
            transport.receive.rekey()
            other.rekey_outbound_cipher()


# --- what goes wrong changes nothing ------------------------------------------------------------------


def test_a_changed_byte_anywhere_is_refused_and_the_handshake_goes_on() -> None:
    """Each byte of each message: a failed read restores the checkpoint, and the true message still works."""
    alice, bob = pair(b"prologue")
    sides = [alice, bob]
    for number in range(3):
        writer, reader = sides[number % 2], sides[1 - number % 2]
        message = writer.write_message(b"content")
        for position in range(32 if number == 0 else 0, len(message)):
            changed = bytearray(message)
            changed[position] ^= 1
            if number == 0:  # message 1 is not encrypted: the change shows in the next message
                continue
            with pytest.raises(ProtocolError) as refused:
                reader.read_message(bytes(changed))
            assert refused.value.reason in {Reason.BAD_HANDSHAKE, Reason.BAD_KEY}
        for length in range(len(message)):
            if number == 0 and length >= 32:
                break
            with pytest.raises(ProtocolError) as refused:
                reader.read_message(message[:length])
            assert refused.value.reason is Reason.BAD_HANDSHAKE
        assert reader.read_message(message) == b"content"
    assert alice.finish().handshake_hash == bob.finish().handshake_hash


def test_changes_to_message_1_show_in_message_2() -> None:
    for position in range(39):
        alice, bob = pair()
        message = bytearray(alice.write_message(b"content"))
        message[position] ^= 1
        bob.read_message(bytes(message))
        with pytest.raises(ProtocolError) as refused:
            alice.read_message(bob.write_message())
        assert refused.value.reason is Reason.BAD_HANDSHAKE


def test_other_prologue() -> None:
    alice, bob = pair(b"one", b"two")
    bob.read_message(alice.write_message())
    with pytest.raises(ProtocolError) as refused:
        alice.read_message(bob.write_message())
    assert refused.value.reason is Reason.BAD_HANDSHAKE


def test_low_order_ephemeral_key() -> None:
    _, bob = pair()
    bob.read_message(bytes(32))  # nothing is computed with it yet
    with pytest.raises(ProtocolError) as refused:
        bob.write_message()
    assert refused.value.reason is Reason.BAD_KEY
    alice, _ = pair()
    alice.write_message()
    with pytest.raises(ProtocolError) as refused:
        alice.read_message(bytes(32 + 48 + 16))
    assert refused.value.reason is Reason.BAD_KEY


def test_sizes() -> None:
    alice, bob = pair()
    with pytest.raises(ValueError, match="65536 bytes"):
        alice.write_message(bytes(65_536 - 32))
    message = alice.write_message(bytes(65_535 - 32))
    assert len(message) == 65_535
    with pytest.raises(ProtocolError) as refused:
        bob.read_message(message + b"\0")
    assert refused.value.reason is Reason.TOO_LARGE
    assert bob.read_message(message) == bytes(65_535 - 32)


def test_turns() -> None:
    alice, bob = pair()
    assert alice.writes_next
    assert not bob.writes_next
    with pytest.raises(WrongTurnError):
        alice.read_message(b"")
    with pytest.raises(WrongTurnError):
        bob.write_message()
    bob.read_message(alice.write_message())
    assert bob.remote_static is None
    alice.read_message(bob.write_message())
    with pytest.raises(WrongTurnError):
        alice.finish()
    bob.read_message(alice.write_message())
    assert alice.remote_static == crypto.x25519_public(b"\3" * 32)
    for side in (alice, bob):
        assert side.finished
        assert not side.writes_next
        with pytest.raises(WrongTurnError):
            side.write_message()
        with pytest.raises(WrongTurnError):
            side.read_message(b"")


def test_a_failing_source_of_entropy_changes_nothing() -> None:
    draws = [b"short", b"\2" * 32]
    handshake = Handshake(
        initiator=True,
        prologue=b"",
        entropy=lambda _purpose, _size: draws.pop(0),
        static=Secret32(b"\1" * 32),
    )
    with pytest.raises(ValueError, match="link/ephemeral"):
        handshake.write_message()
    assert handshake.write_message() == ours(True, b"\1" * 32, b"\2" * 32).write_message()


def test_static_key_is_needed_where_the_pattern_sends_one() -> None:
    with pytest.raises(ValueError, match="static"):
        ours(True, None, b"\2" * 32)
    assert set(PATTERNS) == {"NN", "XX"}


def test_long_protocol_names_are_hashed() -> None:
    name = PROTOCOL + b"+"
    assert SymmetricState.initialize(name).hash == hashlib.sha256(name).digest()
    assert SymmetricState.initialize(b"short").hash == b"short" + bytes(27)


# --- transport ----------------------------------------------------------------------------------------


def test_a_message_that_does_not_authenticate_leaves_the_nonce() -> None:
    """GHSA-7g9j-g5jg-3vv3 was this: after forged messages the true one must still open."""
    alice, bob = finished()
    sealed = alice.send.encrypt(b"true")
    for forged in (b"", sealed[:-1], bytes(len(sealed)), sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(ProtocolError) as refused:
            bob.receive.decrypt(forged)
        assert refused.value.reason is Reason.BAD_SEAL
        assert bob.receive.nonce == 0
    assert bob.receive.decrypt(sealed) == b"true"


def test_replay_reflection_and_reordering() -> None:
    alice, bob = finished()
    first, second = alice.send.encrypt(b"1"), alice.send.encrypt(b"2")
    for reader, wrong in ((alice, first), (bob, second)):
        with pytest.raises(ProtocolError):
            reader.receive.decrypt(wrong)
    assert bob.receive.decrypt(first) == b"1"
    with pytest.raises(ProtocolError):
        bob.receive.decrypt(first)
    assert bob.receive.decrypt(second) == b"2"


def test_nonces_end() -> None:
    alice, bob = finished()
    alice.send.nonce = bob.receive.nonce = MAX_NONCE - 1
    sealed = alice.send.encrypt(b"the last")
    assert bob.receive.decrypt(sealed) == b"the last"
    with pytest.raises(NonceExhaustedError):
        alice.send.encrypt(b"one more")
    with pytest.raises(ProtocolError) as refused:
        bob.receive.decrypt(sealed)
    assert refused.value.reason is Reason.LINK_EXPIRED


def test_rekey_on_both_sides() -> None:
    alice, bob = finished()
    before = alice.send.encrypt(b"before")
    alice.send.rekey()
    after = alice.send.encrypt(b"after")
    assert bob.receive.decrypt(before) == b"before"
    with pytest.raises(ProtocolError):
        bob.receive.decrypt(after)
    bob.receive.rekey()
    assert bob.receive.decrypt(after) == b"after"
    assert bob.receive.nonce == 2
    with pytest.raises(ValueError, match="no key"):
        CipherState().rekey()


def test_without_a_key_nothing_is_encrypted() -> None:
    empty = CipherState()
    assert not empty.has_key
    assert empty.encrypt(b"plain") == empty.decrypt(b"plain") == b"plain"


def test_secrets_do_not_show() -> None:
    alice, bob = pair()
    bob.read_message(alice.write_message())
    shown = "".join(repr(x) for x in (alice, bob, alice._symmetric, *finished()))
    for secret in (b"\1" * 32, b"\2" * 32, b"\3" * 32, b"\4" * 32, alice._symmetric._chaining_key):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
    assert "key" not in repr(CipherState(Secret32(b"\5" * 32)))


def test_random_bytes_never_raise_anything_else() -> None:
    generator = random.Random(5)
    for _ in range(300):
        alice, bob = pair()
        junk = generator.randbytes(generator.randrange(200))
        if generator.random() < 0.5:
            alice.write_message()
            reader = alice
        else:
            reader = bob
        with contextlib.suppress(ProtocolError):
            reader.read_message(junk)
