"""Chapter *Session*, rule by rule, where test_session.py doesn't already cite the rule."""

from __future__ import annotations

import pytest
from attrs import evolve

from tests.session_parties import HOUR, PREFIX, START, CountedEntropy, Party, Sent, only, pair, talking
from tom_ref import codec, crypto, session, session_store, x3dh
from tom_ref.constants import (
    EPS,
    MAX_SESSIONS_PER_PEER,
    MAX_SKIPPED_KEYS,
    MAX_TTL,
    PREKEY_ERASE_AFTER,
    PREKEY_VALIDITY,
    SESSION_ERASE_AFTER,
    SESSION_IDLE,
    SESSION_WORN_AFTER,
)
from tom_ref.crypto import Secret32, hkdf, labelled
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import SessionInitial, SessionRegular


def first_draw(party: Party, purpose: str) -> Secret32:
    return Secret32(CountedEntropy(party.name.encode())(purpose, 32))


def agreed(alice: Party, bob: Party) -> Secret32:
    """The X3DH secret of the first session that Alice begins."""
    return x3dh.initiator_secret(
        alice.local.session_secret,
        first_draw(alice, "session/ephemeral"),
        bob.local.session_key,
        bob.prekeys[1].public,
    )


def root_step(root_key: bytes, shared: bytes) -> tuple[bytes, bytes]:
    output = hkdf(shared, root_key, labelled("ToM/1 session root"), 64)
    return output[:32], output[32:]


def test_a_payload_is_one_message_of_suite_one() -> None:
    """TOM-SESSION-001, TOM-SESSION-002: nothing before or behind it, and its first byte is the suite."""
    alice, bob = pair()
    for _ in range(2):
        message = alice.send(b"one", START)
        assert message.data[0] == 1
        assert codec.encode_session_message(codec.decode_session_message(message.data)) == message.data
        for changed in (b"\x02" + message.data[1:], b"\x01" + message.data):
            with pytest.raises(ProtocolError):
                bob.receive(evolve(message, data=changed), START)
        bob.receive(message, START)
        alice.receive(bob.send(b"", START), START)


def test_initial_messages_repeat_the_key_agreement() -> None:
    """TOM-SESSION-003: each of them lets the recipient join, and into the same session."""
    alice, bob = pair()
    fields = set()
    for k in range(3):
        decoded = codec.decode_session_message(alice.send(b"", START + k).data)
        assert isinstance(decoded, SessionInitial)
        fields.add(
            (
                decoded.session_id,
                decoded.session_key,
                decoded.ephemeral,
                decoded.prekey_id,
                decoded.begun_at,
                decoded.ratchet_key,
            )
        )
    assert len(fields) == 1
    assert bob.receive(alice.send(b"the fourth is the first to arrive", START + 4), START + 4)


def test_the_initiators_first_chain() -> None:
    """TOM-SESSION-020, TOM-SESSION-023."""
    alice, bob = pair()
    state = session.initiate(alice.local, bob.descriptor, START, alice.entropy).ratchet
    ratchet_secret = first_draw(alice, "session/ratchet")
    shared = crypto.x25519(ratchet_secret, bob.prekeys[1].public)
    root_key, chain = root_step(agreed(alice, bob).reveal(), shared)
    assert state.root_key.reveal() == root_key
    assert state.sending.key.reveal() == chain
    assert (state.sending.number, state.previous_count, state.receiving) == (0, 0, None)
    assert state.peer_key == bob.prekeys[1].public


def test_the_responders_first_chains() -> None:
    """TOM-SESSION-020, TOM-SESSION-024."""
    alice, bob = pair()
    bob.receive(alice.send(b"", START), START)
    theirs = crypto.x25519_public(first_draw(alice, "session/ratchet"))
    root_key, receiving = root_step(agreed(alice, bob).reveal(), crypto.x25519(bob.prekeys[1].secret, theirs))
    own = first_draw(bob, "session/ratchet")
    root_key, sending = root_step(root_key, crypto.x25519(own, theirs))
    state = only(bob).ratchet
    assert state.root_key.reveal() == root_key
    assert state.sending.key.reveal() == sending
    assert state.receiving is not None
    assert state.receiving.key.reveal() == crypto.hmac_sha256(receiving, b"\x02")
    assert state.public == crypto.x25519_public(own)


def test_a_message_that_fails_changes_nothing() -> None:
    """TOM-SESSION-032: not even when it would have turned the ratchet and skipped keys."""
    alice, bob = talking()
    for _ in range(5):
        alice.send(b"lost", START)
    message = alice.send(b"shown", START)
    before, record = bob.peer, session_store.encode_peer_sessions(bob.peer)
    with pytest.raises(ProtocolError):
        bob.receive(evolve(message, prefix=b"another header"), START)
    assert bob.peer is before
    assert session_store.encode_peer_sessions(bob.peer) == record
    assert bob.receive(message, START) == b"shown"


def test_why_the_state_is_stored_before_anything_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOM-SESSION-037, TOM-SESSION-038: a state that goes back uses a key and nonce twice."""
    used = []
    seal = crypto.seal

    def watch(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        used.append((key, nonce))
        return seal(key, nonce, plaintext, associated)

    monkeypatch.setattr("tom_ref.ratchet.crypto.seal", watch)
    alice, _ = talking()
    used.clear()
    copy = alice.peer
    alice.send(b"before the crash", START)
    alice.send(b"stored, so the next key", START)
    assert used[0] != used[1]
    alice.peer = copy
    alice.send(b"after a restoration", START)
    assert used[2] == used[0]


def test_what_each_end_knows() -> None:
    """TOM-SESSION-051: begun, confirmed, settled, for both ends."""
    alice, bob = pair()

    def known(party: Party) -> tuple[bool, bool]:
        return only(party).confirmed, only(party).settled_at != 0

    first = alice.send(b"", START)
    assert known(alice) == (False, False)
    bob.receive(first, START)
    bob.receive(alice.send(b"", START), START)
    assert known(bob) == (False, False)
    answers = [bob.send(b"", START), bob.send(b"", START)]
    for answer in answers:
        alice.receive(answer, START)
        assert known(alice) == (True, False)
    bob.receive(alice.send(b"", START), START)
    assert known(bob) == (True, True)
    assert known(alice) == (True, False)
    alice.receive(bob.send(b"", START), START)
    assert known(alice) == (True, True)


def test_a_late_answer_of_the_first_chain_settles_nothing() -> None:
    """TOM-SESSION-051: it is the second ratchet key that counts, not the second message."""
    alice, bob = pair()
    bob.receive(alice.send(b"", START), START)
    late, seen = bob.send(b"late", START), bob.send(b"seen", START)
    alice.receive(seen, START)
    alice.receive(late, START)
    assert not only(alice).settled_at


@pytest.mark.parametrize("use", ["send", "receive"])
def test_what_is_due_is_erased_before_use(use: str) -> None:
    """TOM-SESSION-060: even when no timer has fired."""
    alice, bob = talking()
    alice.send(b"missing", START)
    bob.receive(alice.send(b"shown", START), START)
    assert only(bob).ratchet.skipped
    later = START + MAX_TTL
    if use == "send":
        bob.send(b"", later)
    else:
        bob.receive(alice.send(b"", later), later)
    assert not only(bob).ratchet.skipped


def test_secrets_of_the_beginning_are_not_kept() -> None:
    """TOM-SESSION-033, TOM-SESSION-068: no X3DH, ephemeral or replaced secret is stored."""
    alice, bob = pair()
    shared = agreed(alice, bob).reveal()
    gone = {shared, first_draw(alice, "session/ephemeral").reveal(), bob.prekeys[1].secret.reveal()}
    first = alice.send(b"", START)
    bob.receive(first, START)
    for party in (alice, bob):
        record = session_store.encode_peer_sessions(party.peer)
        assert not any(secret in record for secret in gone)
    gone.add(first_draw(alice, "session/ratchet").reveal())
    alice.receive(bob.send(b"", START), START)
    record = session_store.encode_peer_sessions(alice.peer)
    assert not any(secret in record for secret in gone)


def test_the_numbers_that_the_chapter_states() -> None:
    """TOM-SESSION-027, 029, 052, 053, 061, 062, 066: prose and constants agree."""
    assert MAX_SKIPPED_KEYS == 256
    assert MAX_SESSIONS_PER_PEER == 8
    assert MAX_TTL == 24 * HOUR
    assert EPS == 5_000
    assert SESSION_WORN_AFTER == SESSION_ERASE_AFTER == PREKEY_ERASE_AFTER == MAX_TTL + 2 * EPS
    assert SESSION_IDLE == 28 * 24 * HOUR
    assert SESSION_IDLE + 2 * SESSION_ERASE_AFTER == 30 * 24 * HOUR + 20_000
    assert PREKEY_VALIDITY + PREKEY_ERASE_AFTER == 72 * HOUR + 10_000


def test_regular_messages_of_the_responder() -> None:
    """TOM-SESSION-035: the responder never repeats the key agreement."""
    alice, bob = pair()
    bob.receive(alice.send(b"", START), START)
    messages = [bob.send(b"", START).data for _ in range(3)]
    assert all(isinstance(codec.decode_session_message(data), SessionRegular) for data in messages)
    stranger = Sent(b"", messages[0], PREFIX, START)
    with pytest.raises(ProtocolError) as caught:
        bob.receive(stranger, START)
    assert caught.value.reason is Reason.BAD_SEAL
