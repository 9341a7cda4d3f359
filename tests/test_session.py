"""Sessions piece by piece: secrecy after theft, tampering, bounds, their order, forgetting, the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.session_parties import HOUR, PREFIX, START, CountedEntropy, Party, Sent, only, pair, talking
from tom_ref import codec, crypto, ratchet, session, session_store, wire, x3dh
from tom_ref.constants import (
    EPS,
    MAX_CLOSED_SESSIONS,
    MAX_CONTENT,
    MAX_MESSAGE_NUMBER,
    MAX_PAYLOAD,
    MAX_SESSIONS_PER_PEER,
    MAX_SKIPPED_KEYS,
    MAX_TTL,
    PREKEY_ERASE_AFTER,
    PREKEY_VALIDITY,
    SESSION_ERASE_AFTER,
    SESSION_IDLE,
    SESSION_WORN_AFTER,
)
from tom_ref.crypto import Secret32
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import SessionInitial, SessionRegular
from tom_ref.ratchet import Chain
from tom_ref.session import Agreement, ClosedSession, PeerSessions, SessionState

LOW_ORDER = bytes(32)
NOT_CANONICAL = (crypto.FIELD_PRIME + 9).to_bytes(32, "little")


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        action()
    return caught.value.reason


def refused(party: Party, message: Sent, now: int = START) -> Reason:
    """The reason for which a message is refused; nothing may have changed."""
    before = party.peer
    reason = reason_of(lambda: party.receive(message, now))
    assert party.peer is before
    return reason


def altered(message: Sent, **fields: Any) -> Sent:
    """The message with other header fields, as a forger without keys could make it."""
    return evolve(
        message,
        data=codec.encode_session_message(evolve(codec.decode_session_message(message.data), **fields)),
    )


# --- what a thief learns ----------------------------------------------------------------------------------


def thief(victim: Party) -> Party:
    """Somebody with a copy of everything that the victim holds now."""
    copy = Party(victim.name)
    copy.meet(victim.other)
    copy.peer, copy.prekeys, copy.known = victim.peer, dict(victim.prekeys), victim.known
    copy.entropy = CountedEntropy(b"the thief's own")
    return copy


def test_a_stolen_state_opens_nothing_earlier() -> None:
    """TOM-SESSION-033: forward secrecy of a session, for what was sent and what was received."""
    alice, bob = talking()
    recorded = [bob.send(b"to alice %d" % k, START) for k in range(3)]
    for message in recorded:
        alice.receive(message, START)
    stolen = thief(alice)
    stolen.prekeys = {}
    for message in recorded:
        assert refused(stolen, message) is Reason.REPLAYED
    # Not even with the chain keys tried at any number: they only go forward.
    state = only(stolen)
    assert state.ratchet.receiving is not None
    for message in recorded:
        decoded = codec.decode_session_message(message.data)
        for number in range(40):
            forged = evolve(state.ratchet.receiving, number=number)
            rewound = evolve(state, ratchet=evolve(state.ratchet, receiving=forged))
            spliced = evolve(message, data=codec.encode_session_message(evolve(decoded, number=number))).data
            assert (
                reason_of(
                    lambda state=rewound, data=spliced: session.decrypt(  # type: ignore[misc]
                        state, data, header_prefix=PREFIX, sent_at=START, now=START, entropy=stolen.entropy
                    )
                )
                is Reason.BAD_SEAL
            )


def test_a_stolen_state_opens_the_present_and_nothing_after_a_round_trip() -> None:
    """TOM-SESSION-025: post-compromise security: a reply and an answer to it heal the session."""
    alice, bob = talking()
    stolen = thief(alice)
    exposed = bob.send(b"exposed", START)
    assert stolen.receive(exposed, START) == alice.receive(exposed, START)
    # Alice's ratchet key was drawn before the theft, so the reply to it is exposed as well.
    bob.receive(alice.send(b"the key that the thief has", START), START)
    reply = bob.send(b"exposed too", START)
    assert stolen.receive(reply, START) == alice.receive(reply, START)
    # On receiving it she drew a new one: from her next message on the thief is out.
    fresh = alice.send(b"a key that the thief hasn't", START)
    assert bob.receive(fresh, START) == fresh.plaintext
    healed = bob.send(b"healed", START)
    assert refused(stolen, healed) is Reason.BAD_SEAL
    assert alice.receive(healed, START) == b"healed"
    assert only(stolen).ratchet.root_key not in (only(alice).ratchet.root_key, only(bob).ratchet.root_key)


def test_a_stolen_prekey_opens_the_beginnings_until_it_is_erased() -> None:
    """TOM-SESSION-066: the window that the chapter states, both sides of it."""
    alice, bob = pair()
    first = alice.send(b"first", START)
    assert thief(bob).receive(first, START) == b"first"
    bob.receive(first, START)
    erased = START + PREKEY_VALIDITY + PREKEY_ERASE_AFTER
    bob.rotate(erased)
    stolen = thief(bob)
    stolen.peer = PeerSessions(bob.local.node_id, alice.local.node_id)
    assert refused(stolen, first, erased) is Reason.UNKNOWN_PREKEY


def test_nothing_secret_shows() -> None:
    """TOM-SESSION-067."""
    alice, _ = talking()
    state = only(alice)
    secrets = [state.ratchet.root_key, state.ratchet.secret, state.ratchet.sending.key]
    shown = repr(alice.peer) + str(alice.peer) + repr(state.ratchet)
    for secret in secrets:
        assert repr(secret.reveal()) not in shown
        assert secret.reveal().hex() not in shown


# --- tampering --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["initial", "regular"])
def test_every_byte_is_authenticated(kind: str) -> None:
    """TOM-SESSION-031, 032: a message with any byte changed or missing is refused; nothing changes."""
    alice, bob = pair() if kind == "initial" else talking()
    message = alice.send(b"payload", START)
    for position in range(len(message.data)):
        spoilt = bytearray(message.data)
        spoilt[position] ^= 1 << position % 8
        refused(bob, evolve(message, data=bytes(spoilt)))
    for length in (*range(0, 60, 7), *range(len(message.data) - 20, len(message.data))):
        refused(bob, evolve(message, data=message.data[:length]))
    refused(bob, evolve(message, data=message.data + b"\0"))
    refused(bob, evolve(message, prefix=PREFIX + b"\0"))
    refused(bob, evolve(message, prefix=PREFIX[:-1]))
    assert bob.receive(message, START) == b"payload"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """Whatever the bytes: a ProtocolError, and no change."""
    _, bob = talking()
    refused(bob, Sent(b"", data, PREFIX, START))


def test_a_message_is_bound_to_both_ends() -> None:
    """TOM-SESSION-031: the same keys between other nodes give another ciphertext."""
    alice, bob = talking()
    message = alice.send(b"for Bob", START)
    state = only(bob)
    elsewhere = evolve(state, agreement=evolve(state.agreement, responder_node=bytes(32)))
    bob.peer = evolve(bob.peer, sessions=(elsewhere,))
    assert refused(bob, message) is Reason.BAD_SEAL


def test_a_reflected_message_is_refused() -> None:
    """TOM-SESSION-036."""
    alice, bob = pair()
    initial = alice.send(b"to Bob", START)
    assert refused(alice, initial) is Reason.BAD_VALUE
    bob.receive(initial, START)
    alice.receive(bob.send(b"back", START), START)
    regular = alice.send(b"to Bob", START)
    assert refused(alice, regular) is Reason.BAD_SEAL


# --- beginning --------------------------------------------------------------------------------------------


def test_no_session_with_oneself() -> None:
    """A mistake of the caller."""
    alice, _ = pair()
    with pytest.raises(ValueError, match="itself"):
        session.initiate(alice.local, alice.descriptor, START, alice.entropy)
    alice.known = alice.descriptor
    with pytest.raises(ValueError, match="another node"):
        alice.send(b"", START)


def test_a_prekey_outside_its_validity() -> None:
    """TOM-SESSION-013, with 2 EPS of tolerance for a clock that is behind."""
    alice, bob = pair()

    def begin(now: int) -> object:
        return session.initiate(alice.local, bob.descriptor, now, alice.entropy)

    for good in (START - 2 * EPS, START + PREKEY_VALIDITY):
        begin(good)
    for bad in (START - 2 * EPS - 1, START + PREKEY_VALIDITY + 1):
        assert reason_of(lambda bad=bad: begin(bad)) is Reason.STALE_PREKEY  # type: ignore[misc]


def test_a_session_begun_in_the_future() -> None:
    """TOM-SESSION-015."""
    alice, bob = pair()
    message = alice.send(b"", START + 2 * EPS + 1)
    assert refused(bob, message, START) is Reason.FUTURE_DATE
    assert bob.receive(message, START + 1) == b""


@pytest.mark.parametrize("field", ["session_key", "prekey"])
@pytest.mark.parametrize("key", [LOW_ORDER, NOT_CANONICAL])
def test_bad_keys_in_a_descriptor(field: str, key: bytes) -> None:
    """TOM-SESSION-016."""
    alice, bob = pair()
    changes: dict[str, Any] = {field: key}
    alice.known = evolve(bob.descriptor, **changes)
    assert reason_of(lambda: alice.send(b"", START)) is Reason.BAD_KEY
    assert not alice.peer.sessions


@pytest.mark.parametrize("field", ["session_key", "ephemeral", "ratchet_key"])
@pytest.mark.parametrize("key", [LOW_ORDER, NOT_CANONICAL])
def test_bad_keys_in_an_initial_message(field: str, key: bytes) -> None:
    """TOM-SESSION-016."""
    alice, bob = pair()
    bob.known = None
    message = altered(alice.send(b"", START), **{field: key})
    if field == "ephemeral":
        ends = alice.local.node_id, bob.local.node_id
        name = x3dh.session_id(*ends, key, bob.prekeys[1].public, START)
        message = altered(message, session_id=name)
    assert refused(bob, message) is Reason.BAD_KEY


def test_a_bad_ratchet_key_later() -> None:
    """TOM-SESSION-016."""
    alice, bob = talking()
    message = alice.send(b"", START)
    for key in (LOW_ORDER, NOT_CANONICAL):
        assert refused(bob, altered(message, ratchet_key=key)) is Reason.BAD_KEY


def test_a_repeated_beginning_makes_no_second_session() -> None:
    """TOM-SESSION-034, 055: initial messages go on until a reply; each belongs to the one session."""
    alice, bob = pair()
    messages = [alice.send(b"%d" % k, START) for k in range(4)]
    assert all(message.data[1] == 1 for message in messages)
    for message in (messages[2], messages[0], messages[3], messages[1]):
        assert bob.receive(message, START) == message.plaintext
        assert refused(bob, message) is Reason.REPLAYED
    assert only(bob).session_id == only(alice).session_id
    alice.receive(bob.send(b"reply", START), START)
    assert alice.send(b"regular", START).data[1] == 2


def test_a_foreign_session_identity() -> None:
    """TOM-SESSION-019: where the descriptor is known, the key must be the one that it signs."""
    alice, bob = pair()
    message = alice.send(b"", START)
    assert bob.known is not None
    bob.known = evolve(bob.known, session_key=bob.local.session_key)
    assert refused(bob, message) is Reason.BAD_KEY
    bob.known = None
    assert bob.receive(message, START) == b""


# --- bounds -----------------------------------------------------------------------------------------------


def test_content_up_to_one_mebibyte() -> None:
    """TOM-SESSION-005."""
    alice, bob = pair()
    message = alice.send(bytes(MAX_CONTENT), START)
    assert len(message.data) <= MAX_PAYLOAD
    assert bob.receive(message, START) == bytes(MAX_CONTENT)
    before = alice.peer
    with pytest.raises(ValueError, match="at most"):
        alice.send(bytes(MAX_CONTENT + 1), START)
    assert alice.peer is before


def test_at_most_256_keys_are_skipped_in_one_chain() -> None:
    """TOM-SESSION-027."""
    alice, bob = talking()
    messages = [alice.send(b"%d" % k, START) for k in range(MAX_SKIPPED_KEYS + 2)]
    assert refused(bob, messages[-1]) is Reason.TOO_MANY_SKIPPED
    assert bob.receive(messages[-2], START) == messages[-2].plaintext
    assert len(only(bob).ratchet.skipped) == MAX_SKIPPED_KEYS
    late = alice.send(b"one more", START)
    assert refused(bob, late) is Reason.TOO_MANY_SKIPPED
    assert bob.receive(messages[0], START) == b"0"
    assert bob.receive(late, START) == b"one more"
    for message in messages[1:-2]:
        assert bob.receive(message, START) == message.plaintext


def test_at_most_256_keys_are_skipped_over_two_chains() -> None:
    """TOM-SESSION-027: the rest of the chain before and the beginning of the new one count together."""
    alice, bob = talking()
    for missing_before, missing_after, fits in ((200, 56, True), (200, 57, False)):
        alice, bob = talking()
        kept = [alice.send(b"", START) for _ in range(missing_before + 1)]
        bob.receive(kept[0], START)
        alice.receive(bob.send(b"turn", START), START)
        after = [alice.send(b"%d" % k, START) for k in range(missing_after + 1)]
        if fits:
            assert bob.receive(after[-1], START) == after[-1].plaintext
            assert len(only(bob).ratchet.skipped) == MAX_SKIPPED_KEYS
            for message in kept[1:] + after[:-1]:
                assert bob.receive(message, START) == message.plaintext
        else:
            assert refused(bob, after[-1]) is Reason.TOO_MANY_SKIPPED


def test_the_last_number() -> None:
    """TOM-SESSION-004: the count of messages must fit 32 bits."""
    alice, bob = talking()
    message = alice.send(b"", START)
    assert refused(bob, altered(message, number=MAX_MESSAGE_NUMBER + 1)) is Reason.BAD_VALUE
    assert refused(bob, altered(message, number=MAX_MESSAGE_NUMBER)) is Reason.TOO_MANY_SKIPPED
    state = only(alice)
    last = evolve(state.ratchet, sending=evolve(state.ratchet.sending, number=MAX_MESSAGE_NUMBER))
    alice.peer = evolve(alice.peer, sessions=(evolve(state, ratchet=last),))
    alice.known = None
    sent = codec.decode_session_message(alice.send(b"the last", START).data)
    assert sent.number == MAX_MESSAGE_NUMBER
    alice.restart()
    with pytest.raises(ValueError, match="no number left"):
        session.encrypt(only(alice), b"", header_prefix=PREFIX, now=START)
    assert reason_of(lambda: alice.send(b"", START)) is Reason.STALE_PREKEY


def test_a_peer_begins_too_many_sessions() -> None:
    """TOM-SESSION-064."""
    alice, bob = pair()
    opened = 0
    for k in range(MAX_CLOSED_SESSIONS + 1):
        alice.forget(START)
        message = alice.send(b"%d" % k, START + k)
        if opened < MAX_CLOSED_SESSIONS:
            assert bob.receive(message, START + k) == message.plaintext
            opened += 1
            assert len(bob.peer.sessions) <= MAX_SESSIONS_PER_PEER
        else:
            assert refused(bob, message, START + k) is Reason.OVERLOADED
    bob.restart()


# --- the order of sessions --------------------------------------------------------------------------------


def test_both_begin_at_once() -> None:
    """TOM-SESSION-050: the session begun last is used by both; the other is still read."""
    alice, bob = pair()
    from_alice, from_bob = alice.send(b"a", START), bob.send(b"b", START + 1)
    assert alice.receive(from_bob, START) == b"b"
    assert bob.receive(from_alice, START) == b"a"
    assert alice.sending_on == bob.sending_on
    assert alice.sending_on == codec.decode_session_message(from_bob.data).session_id
    for k in range(3):
        assert bob.receive(alice.send(b"%d" % k, START), START) == b"%d" % k
        assert alice.receive(bob.send(b"%d" % k, START), START) == b"%d" % k
    assert len(alice.peer.sessions) == len(bob.peer.sessions) == 2
    later = START + 1 + SESSION_ERASE_AFTER
    alice.prune(later)
    bob.prune(later)
    assert only(alice).session_id == only(bob).session_id


def test_both_begin_in_the_same_millisecond() -> None:
    """TOM-SESSION-050: the lower session id decides."""
    alice, bob = pair()
    from_alice, from_bob = alice.send(b"a", START), bob.send(b"b", START)
    alice.receive(from_bob, START)
    bob.receive(from_alice, START)
    names = [codec.decode_session_message(message.data).session_id for message in (from_alice, from_bob)]
    assert alice.sending_on == bob.sending_on == min(names)


def test_a_peer_that_lost_its_state_begins_anew() -> None:
    """TOM-SESSION-050: the new session is used at once."""
    alice, bob = talking()
    bob.forget(START + 5)
    bob.known = alice.descriptor
    assert alice.receive(bob.send(b"who are you?", START + 5), START + 5) == b"who are you?"
    assert bob.receive(alice.send(b"Alice", START + 6), START + 6) == b"Alice"
    assert alice.sending_on == bob.sending_on


def test_the_later_session_is_later_whatever_the_clock_says() -> None:
    """TOM-SESSION-014: a clock that is behind doesn't make a new session an old one."""
    alice, bob = talking()
    alice.peer = session.abandon(alice.peer, only(alice).session_id)
    message = alice.send(b"new", START - EPS)
    assert bob.receive(message, START - EPS) == b"new"
    begun = [state.agreement.begun_at for state in bob.peer.sessions]
    assert begun == [START + 1, START]


def test_a_refused_session_is_abandoned_until_it_speaks() -> None:
    """TOM-SESSION-055."""
    alice, bob = talking()
    name = only(alice).session_id
    alice.peer = session.abandon(alice.peer, bytes(16))
    assert not only(alice).abandoned
    alice.peer = session.abandon(alice.peer, name)
    alice.restart()
    alice.known = None
    assert codec.decode_session_message(alice.send(b"no other way", START).data).session_id == name
    assert alice.receive(bob.send(b"but I know it", START), START) == b"but I know it"
    assert not only(alice).abandoned
    alice.peer = session.abandon(alice.peer, name)
    alice.learn()
    begun = codec.decode_session_message(alice.send(b"anew", START).data)
    assert isinstance(begun, SessionInitial)


def test_an_earlier_session_serves_where_none_can_be_begun() -> None:
    """TOM-SESSION-054."""
    alice, _ = talking()
    name = only(alice).session_id
    alice.peer = session.abandon(alice.peer, name)
    begun = codec.decode_session_message(alice.send(b"", START).data).session_id
    alice.peer = session.abandon(alice.peer, begun)
    alice.peer = evolve(
        alice.peer, sessions=tuple(evolve(s, abandoned=s.session_id == begun) for s in alice.peer.sessions)
    )
    alice.known = None
    assert codec.decode_session_message(alice.send(b"", START).data).session_id == name


def test_silence_wears_a_session_out() -> None:
    """TOM-SESSION-053."""
    alice, bob = talking()
    name = only(alice).session_id
    alice.send(b"no answer comes", START)
    later = START + SESSION_WORN_AFTER
    bob.rotate(later)
    alice.learn()
    assert codec.decode_session_message(alice.send(b"", later).data).session_id == name
    known, alice.known = alice.known, None
    assert codec.decode_session_message(alice.send(b"", later + 1).data).session_id == name
    alice.known = known
    assert codec.decode_session_message(alice.send(b"", later + 1).data).session_id != name


def test_a_beginning_without_an_answer_lives_as_long_as_its_prekey() -> None:
    """TOM-SESSION-052, 062."""
    alice, bob = pair()
    message = alice.send(b"first", START)
    assert bob.receive(message, START) == b"first"
    end = START + PREKEY_VALIDITY
    assert alice.send(b"last", end).data[1] == 1
    for party in (alice, bob):
        assert reason_of(lambda party=party: party.send(b"", end + 1)) is Reason.STALE_PREKEY  # type: ignore[misc]
        party.prune(end + PREKEY_ERASE_AFTER - 1)
        assert len(party.peer.sessions) == 1
        party.prune(end + PREKEY_ERASE_AFTER)
        assert party.peer == PeerSessions(party.local.node_id, party.other.local.node_id)
        assert session.next_deadline(party.peer) is None


def test_a_session_that_was_answered_outlives_its_prekey() -> None:
    """TOM-SESSION-052: the initiator may have received the answer, so the responder keeps the session."""
    alice, bob = pair()
    bob.receive(alice.send(b"first", START), START)
    answer = bob.send(b"answer", START)
    alice.receive(answer, START)
    for days in (4, 20):
        later = START + days * 24 * HOUR
        alice.prune(later)
        bob.prune(later)
        alice.known = None
        assert bob.receive(alice.send(b"still here", later), later) == b"still here"


def test_an_idle_session_is_not_sent_on_and_then_erased() -> None:
    """TOM-SESSION-052, 062."""
    alice, _ = talking()
    alice.known = None
    idle = START + SESSION_IDLE
    alice.send(b"just in time", idle)
    alice, _ = talking()
    alice.known = None
    assert reason_of(lambda: alice.send(b"", idle + 1)) is Reason.STALE_PREKEY
    gone = idle + 2 * SESSION_ERASE_AFTER
    alice.prune(gone - 1)
    assert session.next_deadline(alice.peer) == gone
    alice.prune(gone)
    assert not alice.peer.sessions


def test_of_too_many_sessions_the_least_useful_gives_way() -> None:
    """TOM-SESSION-061: first those before the latest settled one, then unanswered ones, then the rest."""
    alice, bob = talking()
    settled = only(alice)
    early = evolve(settled, agreement=evolve(settled.agreement, begun_at=START - 9, session_id=bytes(16)))
    fresh = [
        evolve(session.initiate(alice.local, bob.descriptor, START + 1 + k, alice.entropy), confirmed=k == 0)
        for k in range(MAX_SESSIONS_PER_PEER)
    ]
    fresh[0] = evolve(fresh[0], ratchet=settled.ratchet)
    held = sorted([settled, early, *fresh[: MAX_SESSIONS_PER_PEER - 2]], key=lambda state: state.precedence)
    alice.peer = evolve(alice.peer, sessions=tuple(held))
    alice.restart()

    def begin(now: int) -> set[bytes]:
        before = {state.session_id for state in alice.peer.sessions}
        alice.peer = session.abandon(alice.peer, alice.peer.sessions[0].session_id)
        alice.send(b"", now)
        after = {state.session_id for state in alice.peer.sessions}
        assert len(after) == MAX_SESSIONS_PER_PEER
        assert after - before == {alice.peer.sessions[0].session_id}
        return before - after

    assert begin(START + 100) == {early.session_id}
    assert begin(START + 101) == {fresh[1].session_id}
    assert begin(START + 102) == {fresh[2].session_id}
    answered = tuple(evolve(state, confirmed=True, ratchet=settled.ratchet) for state in alice.peer.sessions)
    alice.peer = evolve(alice.peer, sessions=answered)
    assert begin(START + 103) == {settled.session_id}


# --- forgetting -------------------------------------------------------------------------------------------


def test_skipped_keys_are_erased_when_their_messages_are_dead() -> None:
    """TOM-SESSION-029: not before, since the message could come until then."""
    for last_moment in (True, False):
        alice, bob = talking()
        missing, shown = alice.send(b"missing", START), alice.send(b"shown", START)
        arrival = START + 5 * HOUR
        bob.receive(shown, arrival)
        assert session.next_deadline(bob.peer) == START + MAX_TTL
        if last_moment:
            bob.prune(START + MAX_TTL - 1)
            assert bob.receive(missing, START + MAX_TTL - 1) == b"missing"
        else:
            bob.prune(START + MAX_TTL)
            assert not only(bob).ratchet.skipped
            assert refused(bob, missing, START + MAX_TTL) is Reason.REPLAYED


def test_a_date_ahead_keeps_no_key_for_longer() -> None:
    """TOM-SESSION-029: a sender's date counts as at most 2 EPS ahead."""
    alice, bob = talking()
    alice.send(b"missing", START)
    bob.receive(evolve(alice.send(b"shown", START), sent_at=START + 10**9), START)
    (skipped,) = only(bob).ratchet.skipped.values()
    assert skipped.until == START + 2 * EPS + MAX_TTL


def test_a_replayed_beginning_of_an_erased_session() -> None:
    """TOM-SESSION-063."""
    alice, bob = pair()
    first = alice.send(b"first", START)
    bob.receive(first, START)
    bob.peer = session._close(bob.peer, only(bob), START)
    bob.restart()
    assert refused(bob, first) is Reason.REPLAYED
    end = START + PREKEY_VALIDITY + PREKEY_ERASE_AFTER
    assert session.next_deadline(bob.peer) == end
    assert refused(bob, first, end - 1) is Reason.REPLAYED
    assert refused(bob, first, end) is Reason.UNKNOWN_PREKEY
    bob.prune(end)
    assert not bob.peer.closed


def test_an_unknown_session() -> None:
    """TOM-SESSION-056."""
    alice, bob = talking()
    message = alice.send(b"", START)
    bob.forget(START)
    assert refused(bob, message) is Reason.UNKNOWN_SESSION
    stranger = evolve(only(alice), agreement=evolve(only(alice).agreement, session_id=bytes(16)))
    opening = {"header_prefix": PREFIX, "sent_at": START, "now": START, "entropy": alice.entropy}
    assert reason_of(lambda: session.decrypt(stranger, message.data, **opening)) is Reason.UNKNOWN_SESSION  # type: ignore[arg-type]


def test_one_session_by_itself() -> None:
    """The functions on one session, without the order of many (TOM-SESSION-010, 012)."""
    alice, bob = pair()
    begun = session.initiate(alice.local, bob.descriptor, START, alice.entropy)
    begun, data = session.encrypt(begun, b"one", header_prefix=PREFIX, now=START)
    answered, plaintext = session.accept(
        bob.local,
        alice.local.node_id,
        bob.prekeys,
        data,
        header_prefix=PREFIX,
        sent_at=START,
        now=START,
        entropy=bob.entropy,
    )
    assert plaintext == b"one"
    _, data = session.encrypt(answered, b"two", header_prefix=PREFIX, now=START)
    _, plaintext = session.decrypt(
        begun, data, header_prefix=PREFIX, sent_at=START, now=START, entropy=alice.entropy
    )
    assert plaintext == b"two"


# --- the store --------------------------------------------------------------------------------------------

octets = st.binary(min_size=32, max_size=32)
secrets = octets.map(Secret32)
times = st.integers(1, 2**63)
counts = st.integers(0, MAX_MESSAGE_NUMBER)
chains = st.builds(Chain, secrets, counts)


@st.composite
def states(draw: st.DrawFn, local: bytes, peer: bytes) -> SessionState:
    initiator, confirmed = draw(st.booleans()), draw(st.booleans())
    sending = draw(chains)
    secret = draw(secrets)
    places = st.tuples(octets, counts)
    kept = st.builds(ratchet.SkippedKey, secrets, times)
    settled = draw(times) if confirmed and (not initiator or draw(st.booleans())) else 0
    return SessionState(
        agreement=Agreement(
            session_id=draw(st.binary(min_size=16, max_size=16)),
            initiator_node=local if initiator else peer,
            responder_node=peer if initiator else local,
            initiator_key=draw(octets),
            responder_key=draw(octets),
            ephemeral=draw(octets),
            prekey_id=draw(st.integers(0, 2**32 - 1)),
            prekey_until=draw(times),
            begun_at=draw(times),
        ),
        ratchet=ratchet.Ratchet(
            root_key=draw(secrets),
            secret=secret,
            public=crypto.x25519_public(secret),
            peer_key=draw(octets),
            sending=sending,
            receiving=draw(chains) if confirmed or not initiator else None,
            previous_count=draw(st.integers(0, 2**32 - 1)),
            skipped=draw(st.dictionaries(places, kept, max_size=5)),
        ),
        initiator=initiator,
        confirmed=confirmed,
        abandoned=draw(st.booleans()),
        used_at=draw(times),
        settled_at=settled,
        sending_since=draw(times) if sending.number else 0,
    )


@st.composite
def peers(draw: st.DrawFn) -> PeerSessions:
    local, peer = draw(octets), draw(octets)
    held = draw(
        st.lists(states(local, peer), max_size=MAX_SESSIONS_PER_PEER, unique_by=lambda s: s.precedence)
    )
    names = draw(st.lists(st.binary(min_size=16, max_size=16), max_size=5, unique=True))
    closed = tuple(ClosedSession(name, draw(times)) for name in sorted(names))
    return PeerSessions(local, peer, tuple(sorted(held, key=lambda state: state.precedence)), closed)


@settings(max_examples=100, deadline=None)
@given(states(bytes(32), bytes([1]) * 32))
def test_a_session_comes_back_from_its_bytes(state: SessionState) -> None:
    """TOM-SESSION-065."""
    data = session_store.encode_session(state)
    assert session_store.decode_session(data) == state
    assert session_store.encode_session(session_store.decode_session(data)) == data


@settings(max_examples=30, deadline=None)
@given(peers())
def test_all_sessions_come_back_from_their_bytes(peer: PeerSessions) -> None:
    """TOM-SESSION-065."""
    data = session_store.encode_peer_sessions(peer)
    assert session_store.decode_peer_sessions(data) == peer


@settings(max_examples=50, deadline=None)
@given(peers(), st.data())
def test_a_damaged_record_is_refused_or_is_another_record(peer: PeerSessions, data: st.DataObject) -> None:
    """TOM-SESSION-065: nothing but a ProtocolError comes out, and what is accepted has that one encoding."""
    record = bytearray(session_store.encode_peer_sessions(peer))
    for _ in range(data.draw(st.integers(1, 3))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = session_store.decode_peer_sessions(bytes(record))
    except ProtocolError:
        return
    assert session_store.encode_peer_sessions(read) == bytes(record)


def offset_of(name: str) -> int:
    fields = [field.name for field in wire.STORED_SESSION.subcons]
    return sum(field.sizeof() for field in wire.STORED_SESSION.subcons[: fields.index(name)])


def test_broken_records() -> None:
    """TOM-SESSION-065: each rule on its own."""
    alice, bob = talking()
    unanswered, _ = pair()
    unanswered.send(b"", START)
    bob.receive(alice.send(b"", START), START)
    gap = alice.send(b"", START), alice.send(b"", START), alice.send(b"", START)
    bob.receive(gap[2], START)
    assert len(only(bob).ratchet.skipped) == 2

    def broken(state: SessionState, offset: int, value: bytes) -> Reason:
        record = session_store.encode_session(state)
        spoilt = record[:offset] + value + record[offset + len(value) :]
        return reason_of(lambda: session_store.decode_session(spoilt))

    flags, settled_at, since = map(offset_of, ("flags", "settled_at", "sending_since"))
    receiving, skipped = offset_of("receiving_key"), offset_of("skipped")
    first, second = unanswered.peer.sessions[0], only(alice)
    assert broken(second, 0, b"\x02") is Reason.UNKNOWN_VERSION
    assert broken(second, 1, b"\x02") is Reason.UNKNOWN_KIND
    assert broken(second, flags, b"\x0b") is Reason.BAD_VALUE
    assert broken(second, flags, b"\x01") is Reason.BAD_VALUE
    assert broken(first, settled_at, bytes([1] * 8)) is Reason.BAD_VALUE
    assert broken(only(bob), settled_at, bytes(8)) is Reason.BAD_VALUE
    assert broken(second, since, bytes(8)) is Reason.BAD_VALUE
    assert broken(first, receiving, b"\x01") is Reason.BAD_VALUE
    assert broken(first, receiving + 35, b"\x01") is Reason.BAD_VALUE
    assert broken(only(bob), skipped + 32, b"\xff\xff\xff\xff") in {Reason.BAD_VALUE, Reason.NON_CANONICAL}
    assert broken(only(bob), skipped + 76 + 32, b"\xff\xff\xff\xff") is Reason.BAD_VALUE
    assert broken(only(bob), skipped + 76 + 32, b"\0\0\0\0") is Reason.NON_CANONICAL
    record = session_store.encode_session(only(bob))
    assert reason_of(lambda: session_store.decode_session(record[:-1])) is Reason.TRUNCATED
    assert reason_of(lambda: session_store.decode_session(record + b"\0")) is Reason.TRAILING_BYTES
    many = {(bytes(32), k): ratchet.SkippedKey(Secret32(bytes(32)), 1) for k in range(MAX_SKIPPED_KEYS + 1)}
    crowded = evolve(second, ratchet=evolve(second.ratchet, skipped=many))
    full = session_store.encode_session(
        evolve(second, ratchet=evolve(second.ratchet, skipped=dict(list(many.items())[:-1])))
    )
    assert len(session_store.decode_session(full).ratchet.skipped) == MAX_SKIPPED_KEYS
    assert (
        reason_of(lambda: session_store.decode_session(session_store.encode_session(crowded)))
        is Reason.TOO_LARGE
    )


def test_broken_records_of_a_peer() -> None:
    """TOM-SESSION-065: order, number and ends."""
    alice, bob = talking()
    bob.send(b"", START)
    alice.peer = session.abandon(alice.peer, only(alice).session_id)
    alice.send(b"", START)
    one, two = alice.peer.sessions
    closed = tuple(ClosedSession(bytes([k]) * 16, START) for k in range(2))

    def broken(**changes: Any) -> Reason:
        record = session_store.encode_peer_sessions(evolve(alice.peer, **changes))
        return reason_of(lambda: session_store.decode_peer_sessions(record))

    record = session_store.encode_peer_sessions(alice.peer)
    newer = record[:66] + b"\x02" + record[67:]
    assert reason_of(lambda: session_store.decode_peer_sessions(newer)) is Reason.UNKNOWN_VERSION
    assert broken(sessions=(two, one)) is Reason.NON_CANONICAL
    assert broken(sessions=(one, one)) is Reason.NON_CANONICAL
    assert broken(closed=closed[::-1]) is Reason.NON_CANONICAL
    assert broken(peer_node=bytes(32)) is Reason.NODE_MISMATCH
    assert broken(sessions=bob.peer.sessions) is Reason.NODE_MISMATCH
    assert broken(sessions=(one,) * (MAX_SESSIONS_PER_PEER + 1)) is Reason.TOO_LARGE
    assert broken(closed=closed[:1] * (MAX_CLOSED_SESSIONS + 1)) is Reason.TOO_LARGE


def test_regular_messages_name_their_session() -> None:
    """TOM-SESSION-035: the wire's two kinds."""
    alice, bob = talking()
    decoded = codec.decode_session_message(bob.send(b"", START).data)
    assert isinstance(decoded, SessionRegular)
    assert decoded.session_id == only(alice).session_id
