"""Sessions: end-to-end encryption from sender to recipient, whoever carries the bytes (TOM-SESSION).

Theory of operation.  A session is one X3DH run (:mod:`tom_ref.x3dh`) and the Double Ratchet that grows from
it (:mod:`tom_ref.ratchet`).  Whoever has something to say and no session begins one from the recipient's
descriptor; its messages are *initial* ones, which carry all that the recipient needs, until a reply shows
that one of them arrived. Two nodes may begin at once, lose their state, or be restored; so a node keeps a few
sessions with one peer, reads on all of them and writes on one.  :func:`send` says which, by an order that
both ends see alike (TOM-SESSION-050 ff.): the session begun last goes first.  What each end knows about the
other decides how long the rest is kept:

* *confirmed*: this end knows that the other end holds the session;
* *settled*: this end knows that the other knows that too, so nothing is sent on an earlier session any more;
* *worn*: what this end said on a confirmed session has met with silence for longer than a message lives;
* *abandoned*: the other end said that it does not know the session.

All classes are frozen and every function returns the new state beside its result.  A message that does not
authenticate raises, so the caller still holds the old state; nothing is ever half committed
(TOM-SESSION-032). Times are ms since the Unix epoch by this node's clock, but ``sent_at``, the ``created_at``
of the envelope's header, is the sender's.  The caller has verified the header's signature and lifetime, and
the descriptors it passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from tom_ref import codec, ratchet, x3dh
from tom_ref.constants import (
    EPS,
    MAX_CLOSED_SESSIONS,
    MAX_CONTENT,
    MAX_MESSAGE_NUMBER,
    MAX_SESSIONS_PER_PEER,
    MAX_TTL,
    PREKEY_ERASE_AFTER,
    SESSION_ERASE_AFTER,
    SESSION_IDLE,
    SESSION_WORN_AFTER,
    Purpose,
)
from tom_ref.crypto import (
    Entropy,
    Secret32,
    draw_secret,
    equal,
    labelled,
    validate_x25519_public,
    x25519_public,
)
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Descriptor, SessionInitial, SessionMessage, SessionRegular
from tom_ref.ratchet import Ratchet

_ASSOCIATED_LABEL: Final = "ToM/1 session"


@frozen
class LocalKeys:
    """This node's half of every session: its NodeId and its X25519 session identity, secret and public."""

    node_id: bytes
    session_secret: Secret32
    session_key: bytes


@frozen
class Prekey:
    """A signed prekey whose secret this node holds; ``valid_until`` in ms, as its descriptor said."""

    secret: Secret32
    public: bytes
    valid_until: int


@frozen
class Agreement:
    """What one X3DH run fixed for the whole life of a session: its name, its two ends, its keys and its age.

    Node ids and keys are 32 bytes; ``prekey_until`` is when the prekey's validity ends, ``begun_at`` when the
    initiator began the session, by its clock; both ms.
    """

    session_id: bytes
    initiator_node: bytes
    responder_node: bytes
    initiator_key: bytes
    responder_key: bytes
    ephemeral: bytes
    prekey_id: int
    prekey_until: int
    begun_at: int


@frozen
class SessionState:
    """One end of one session.

    ``initiator`` says whether this node began it, ``confirmed`` whether this end knows that the other holds
    it, ``abandoned`` whether the other said that it doesn't. ``used_at`` is when it was last used,
    ``settled_at`` when it was settled (0: not yet), ``sending_since`` when the first message of the present
    sending chain was sent (0: none was); all ms.
    """

    agreement: Agreement
    ratchet: Ratchet
    initiator: bool
    confirmed: bool
    abandoned: bool
    used_at: int
    settled_at: int
    sending_since: int

    @property
    def session_id(self) -> bytes:
        """The 16 bytes that name the session on the wire."""
        return self.agreement.session_id

    @property
    def precedence(self) -> tuple[int, bytes]:
        """Ascending, the order in which both ends prefer sessions (TOM-SESSION-050)."""
        return -self.agreement.begun_at, self.agreement.session_id


@frozen
class ClosedSession:
    """A session begun by the peer and erased here: its initial messages are replays until ``until`` (ms)."""

    session_id: bytes
    until: int


@frozen
class PeerSessions:
    """All sessions between this node and one peer, at most eight, in the order of precedence, and the erased
    ones.
    """

    local_node: bytes
    peer_node: bytes
    sessions: tuple[SessionState, ...] = ()
    closed: tuple[ClosedSession, ...] = ()


# --- one session --------------------------------------------------------------------------------------


def prekey_is_valid(peer: Descriptor, now: int) -> bool:
    """Whether a session may be begun with this descriptor's prekey at ``now`` (TOM-SESSION-013)."""
    return peer.prekey_from - 2 * EPS <= now <= peer.prekey_until


def initiate(
    local: LocalKeys, peer: Descriptor, now: int, entropy: Entropy, *, after: int = 0
) -> SessionState:
    """Begin a session with the node that signed ``peer`` (TOM-SESSION-010).

    ``after`` is the ``begun_at`` of the latest session held with it.  Draws ``session/ephemeral`` and
    ``session/ratchet``.  Raises ``ProtocolError``: ``STALE_PREKEY`` for a prekey outside its validity,
    ``BAD_KEY`` for a key that is not canonical or of low order; ``ValueError`` for this node itself.
    """
    if peer.node_id == local.node_id:
        raise ValueError("a node has no session with itself")
    if not prekey_is_valid(peer, now):
        raise ProtocolError(Reason.STALE_PREKEY, f"valid from {peer.prekey_from} to {peer.prekey_until} ms")
    validate_x25519_public(peer.session_key)
    validate_x25519_public(peer.prekey)
    secret = draw_secret(entropy, Purpose.SESSION_EPHEMERAL)
    ephemeral = x25519_public(secret)
    shared = x3dh.initiator_secret(local.session_secret, secret, peer.session_key, peer.prekey)
    begun_at = max(now, after + 1)
    agreement = Agreement(
        session_id=x3dh.session_id(local.node_id, peer.node_id, ephemeral, peer.prekey, begun_at),
        initiator_node=local.node_id,
        responder_node=peer.node_id,
        initiator_key=local.session_key,
        responder_key=peer.session_key,
        ephemeral=ephemeral,
        prekey_id=peer.prekey_id,
        prekey_until=peer.prekey_until,
        begun_at=begun_at,
    )
    return _fresh(agreement, ratchet.begin(shared, peer.prekey, entropy), now, initiator=True)


def _fresh(agreement: Agreement, begun: Ratchet, now: int, *, initiator: bool) -> SessionState:
    return SessionState(
        agreement,
        begun,
        initiator=initiator,
        confirmed=False,
        abandoned=False,
        used_at=now,
        settled_at=0,
        sending_since=0,
    )


def _associated(agreement: Agreement, header_prefix: bytes, message_header: bytes) -> bytes:
    """What a message is bound to (TOM-SESSION-031); the initiator comes first in both directions."""
    return labelled(
        _ASSOCIATED_LABEL,
        agreement.initiator_key,
        agreement.responder_key,
        agreement.initiator_node,
        agreement.responder_node,
        header_prefix,
        message_header,
    )


def encrypt(
    state: SessionState, plaintext: bytes, *, header_prefix: bytes, now: int
) -> tuple[SessionState, bytes]:
    """Encrypt 0 to 1 MiB for the envelope whose header begins with ``header_prefix`` (TOM-SESSION-030).

    Returns the new state, to be stored before the message leaves, and the message.  Raises ``ValueError`` for
    a longer plaintext or a chain that has no number left.
    """
    if len(plaintext) > MAX_CONTENT:
        raise ValueError(f"{len(plaintext)} bytes, at most {MAX_CONTENT}")
    number = state.ratchet.sending.number
    if number > MAX_MESSAGE_NUMBER:
        raise ValueError("the sending chain has no number left")
    agreement, before = state.agreement, state.ratchet
    after, key = ratchet.sending_key(before)
    message: SessionMessage
    if state.initiator and not state.confirmed:
        message = SessionInitial(
            agreement.session_id,
            agreement.initiator_key,
            agreement.ephemeral,
            agreement.prekey_id,
            agreement.begun_at,
            before.public,
            before.previous_count,
            number,
            b"",
        )
    else:
        message = SessionRegular(agreement.session_id, before.public, before.previous_count, number, b"")
    header = codec.encode_session_message(message)
    ciphertext = ratchet.seal(key, plaintext, _associated(agreement, header_prefix, header))
    state = SessionState(
        agreement,
        after,
        initiator=state.initiator,
        confirmed=state.confirmed,
        abandoned=state.abandoned,
        used_at=max(state.used_at, now),
        settled_at=state.settled_at,
        sending_since=state.sending_since if number else now,
    )
    return state, header + ciphertext


def decrypt(
    state: SessionState, data: bytes, *, header_prefix: bytes, sent_at: int, now: int, entropy: Entropy
) -> tuple[SessionState, bytes]:
    """Open a message of this session.

    Returns the new state, to be stored before a receipt leaves, and the plaintext.  May draw
    ``session/ratchet``. Raises ``ProtocolError``: what :func:`~tom_ref.codec.decode_session_message` refuses,
    ``UNKNOWN_SESSION`` for another session's message, ``BAD_VALUE``, ``REPLAYED``, ``TOO_MANY_SKIPPED``,
    ``BAD_KEY`` or ``BAD_SEAL``.
    """
    message = codec.decode_session_message(data)
    if message.session_id != state.session_id:
        raise ProtocolError(Reason.UNKNOWN_SESSION, "a message of another session")
    return _open(state, message, data, header_prefix=header_prefix, sent_at=sent_at, now=now, entropy=entropy)


def _open(
    state: SessionState,
    message: SessionMessage,
    data: bytes,
    *,
    header_prefix: bytes,
    sent_at: int,
    now: int,
    entropy: Entropy,
) -> tuple[SessionState, bytes]:
    initial = isinstance(message, SessionInitial)
    if initial and state.initiator:
        raise ProtocolError(Reason.BAD_VALUE, "an initial message from the responder")
    if message.number > MAX_MESSAGE_NUMBER:
        raise ProtocolError(Reason.BAD_VALUE, f"message number {message.number}")
    # The caller refuses dates beyond 2 EPS ahead; here they would only keep keys for longer.
    sent_at = min(sent_at, now + 2 * EPS)
    after, key = ratchet.receiving_key(
        ratchet.without_expired(state.ratchet, now),
        message.ratchet_key,
        message.previous_count,
        message.number,
        until=sent_at + MAX_TTL,
        entropy=entropy,
    )
    associated = _associated(state.agreement, header_prefix, data[: len(data) - len(message.ciphertext)])
    plaintext = ratchet.open_sealed(key, message.ciphertext, associated)
    turned = after.public != state.ratchet.public
    # The responder learns from a regular message that the initiator has heard of it; the initiator learns
    # from the second ratchet key it sees that such a message has arrived (TOM-SESSION-051).
    settled = state.confirmed and turned if state.initiator else not initial
    state = SessionState(
        state.agreement,
        after,
        initiator=state.initiator,
        confirmed=state.initiator or state.confirmed or not initial,
        abandoned=False,
        used_at=max(state.used_at, now),
        settled_at=state.settled_at or (now if settled else 0),
        sending_since=0 if turned else state.sending_since,
    )
    return state, plaintext


def accept(
    local: LocalKeys,
    peer_node: bytes,
    prekeys: Mapping[int, Prekey],
    data: bytes,
    *,
    header_prefix: bytes,
    sent_at: int,
    now: int,
    entropy: Entropy,
) -> tuple[SessionState, bytes]:
    """Answer the first initial message of a session that arrives (TOM-SESSION-012): the new state and the
    plaintext.

    ``prekeys`` are this node's own, by id.  Draws ``session/ratchet``.  Raises ``ProtocolError``: what
    :func:`decrypt` raises, ``UNKNOWN_SESSION`` for a regular message, ``UNKNOWN_PREKEY`` for a prekey erased
    or due to be, ``BAD_VALUE`` for a session id that is not that of its keys, ``FUTURE_DATE`` for a session
    begun more than 2 EPS ahead.
    """
    message = codec.decode_session_message(data)
    if isinstance(message, SessionRegular):
        raise ProtocolError(Reason.UNKNOWN_SESSION, "a regular message")
    prekey = prekeys.get(message.prekey_id)
    if prekey is None or now >= prekey.valid_until + PREKEY_ERASE_AFTER:
        raise ProtocolError(Reason.UNKNOWN_PREKEY, f"prekey {message.prekey_id}")
    named = x3dh.session_id(peer_node, local.node_id, message.ephemeral, prekey.public, message.begun_at)
    if message.session_id != named:
        raise ProtocolError(Reason.BAD_VALUE, "a session id that is not that of its keys")
    if message.begun_at > now + 2 * EPS:
        raise ProtocolError(Reason.FUTURE_DATE, f"begun {message.begun_at - now} ms ahead")
    validate_x25519_public(message.session_key)
    validate_x25519_public(message.ephemeral)
    shared = x3dh.responder_secret(
        local.session_secret, prekey.secret, message.session_key, message.ephemeral
    )
    agreement = Agreement(
        session_id=message.session_id,
        initiator_node=peer_node,
        responder_node=local.node_id,
        initiator_key=message.session_key,
        responder_key=local.session_key,
        ephemeral=message.ephemeral,
        prekey_id=message.prekey_id,
        prekey_until=prekey.valid_until,
        begun_at=message.begun_at,
    )
    begun = ratchet.answer(shared, prekey.secret, message.ratchet_key, entropy)
    state = _fresh(agreement, begun, now, initiator=False)
    return _open(state, message, data, header_prefix=header_prefix, sent_at=sent_at, now=now, entropy=entropy)


# --- all sessions with one peer -----------------------------------------------------------------------


def _replace(peer: PeerSessions, state: SessionState) -> PeerSessions:
    """``peer`` with the present state of a session that it holds."""
    name = state.session_id
    sessions = tuple([state if held.session_id == name else held for held in peer.sessions])
    return PeerSessions(peer.local_node, peer.peer_node, sessions, peer.closed)


def _close(peer: PeerSessions, closing: SessionState, now: int) -> PeerSessions:
    """Erase a session; remember it while a replay of its beginning could be opened (TOM-SESSION-063)."""
    closed = peer.closed
    until = closing.agreement.prekey_until + PREKEY_ERASE_AFTER
    if not closing.initiator and now < until:
        record = ClosedSession(closing.session_id, until)
        closed = tuple(sorted((*closed, record), key=lambda item: item.session_id))
    sessions = tuple(held for held in peer.sessions if held.session_id != closing.session_id)
    return evolve(peer, sessions=sessions, closed=closed)


def _add(peer: PeerSessions, state: SessionState, now: int) -> PeerSessions:
    """Hold a new session; where that is one too many, the one least likely to be used gives way
    (TOM-SESSION-061).

    First any before the latest settled one, then one that the other end may not even know, then any other;
    among equals the one begun first.
    """
    if len(peer.sessions) >= MAX_SESSIONS_PER_PEER:
        settled = min((held.precedence for held in peer.sessions if held.settled_at), default=(0, b""))
        gives_way = max(
            peer.sessions,
            key=lambda held: (held.precedence > settled, _is_unanswered(held), held.precedence),
        )
        peer = _close(peer, gives_way, now)
    sessions = tuple(sorted((*peer.sessions, state), key=lambda held: held.precedence))
    return evolve(peer, sessions=sessions)


def _is_unanswered(state: SessionState) -> bool:
    """Whether the responder, as far as this end knows, has never sent on this session."""
    return not state.confirmed and (state.initiator or not state.sending_since)


def _is_sendable(state: SessionState, now: int) -> bool:
    """Whether the peer will still hold this session when a message sent now arrives (TOM-SESSION-052)."""
    if state.ratchet.sending.number > MAX_MESSAGE_NUMBER or now > state.used_at + SESSION_IDLE:
        return False
    return state.confirmed or now <= state.agreement.prekey_until


def _is_worn(state: SessionState, now: int) -> bool:
    """Whether what was said on this session has been met with silence for too long (TOM-SESSION-053)."""
    return state.confirmed and state.sending_since != 0 and now > state.sending_since + SESSION_WORN_AFTER


def send(
    peer: PeerSessions,
    local: LocalKeys,
    descriptor: Descriptor | None,
    plaintext: bytes,
    *,
    header_prefix: bytes,
    now: int,
    entropy: Entropy,
) -> tuple[PeerSessions, bytes]:
    """Encrypt for the peer, on the right session, beginning one if that is due (TOM-SESSION-054).

    ``descriptor`` is the newest of the peer's that this node holds and has verified.  Returns the new state,
    to be stored before the message leaves, and the message.  Raises ``ProtocolError(STALE_PREKEY)`` when
    there is no session to send on and no prekey to begin one with, ``BAD_KEY`` for a descriptor with a bad
    key; ``ValueError`` for a plaintext of more than 1 MiB or a descriptor of another node.
    """
    if descriptor is not None and descriptor.node_id != peer.peer_node:
        raise ValueError("a descriptor of another node")
    peer = prune(peer, now)
    sendable = [held for held in peer.sessions if _is_sendable(held, now)]
    state = sendable[0] if sendable else None
    if state is None or state.abandoned or _is_worn(state, now):
        if descriptor is not None and prekey_is_valid(descriptor, now):
            latest = peer.sessions[0].agreement.begun_at if peer.sessions else 0
            state = initiate(local, descriptor, now, entropy, after=latest)
            peer = _add(peer, state, now)
        elif state is None:
            raise ProtocolError(Reason.STALE_PREKEY, "no valid prekey of the peer is known")
        else:
            state = next((held for held in sendable if not held.abandoned), state)
    state, message = encrypt(state, plaintext, header_prefix=header_prefix, now=now)
    return _replace(peer, state), message


def receive(
    peer: PeerSessions,
    local: LocalKeys,
    prekeys: Mapping[int, Prekey],
    descriptor: Descriptor | None,
    data: bytes,
    *,
    header_prefix: bytes,
    sent_at: int,
    now: int,
    entropy: Entropy,
) -> tuple[PeerSessions, bytes]:
    """Open a message from the peer, on whichever session it belongs to (TOM-SESSION-056).

    ``descriptor`` is the peer's, where this node holds one: a session begun with another session identity is
    refused.  Returns the new state, to be stored before a receipt leaves, and the plaintext.  Raises
    ``ProtocolError``: what :func:`decrypt` and :func:`accept` raise, ``REPLAYED`` for the beginning of a
    session erased here, ``BAD_KEY`` for a foreign session identity, ``OVERLOADED`` when the peer has begun
    too many sessions.
    """
    message = codec.decode_session_message(data)
    peer = prune(peer, now)
    for held in peer.sessions:
        if held.session_id == message.session_id:
            state, plaintext = _open(
                held, message, data, header_prefix=header_prefix, sent_at=sent_at, now=now, entropy=entropy
            )
            return _replace(peer, state), plaintext

    if isinstance(message, SessionInitial):
        if any(item.session_id == message.session_id for item in peer.closed):
            raise ProtocolError(Reason.REPLAYED, "the beginning of a session that was erased")
        if descriptor is not None and not equal(descriptor.session_key, message.session_key):
            raise ProtocolError(Reason.BAD_KEY, "not the peer's session identity")
        if len(peer.closed) + sum(not held.initiator for held in peer.sessions) >= MAX_CLOSED_SESSIONS:
            raise ProtocolError(Reason.OVERLOADED, f"{MAX_CLOSED_SESSIONS} sessions begun by one peer")
    state, plaintext = accept(
        local,
        peer.peer_node,
        prekeys,
        data,
        header_prefix=header_prefix,
        sent_at=sent_at,
        now=now,
        entropy=entropy,
    )
    return _add(peer, state, now), plaintext


def abandon(peer: PeerSessions, session_id: bytes) -> PeerSessions:
    """Note that the peer refused a message of a session, as ``unknown_session`` or ``too_many_skipped``.

    A hint, not a proof: the session is still read, a message received on it takes the hint back, and the next
    message begins a new one if it can (TOM-SESSION-055).
    """
    return evolve(
        peer,
        sessions=tuple(
            evolve(held, abandoned=True) if held.session_id == session_id else held for held in peer.sessions
        ),
    )


# --- forgetting ---------------------------------------------------------------------------------------


def _erase_at(peer: PeerSessions, state: SessionState) -> int:
    """When a session is erased if nothing happens until then (TOM-SESSION-062), ms."""
    deadline = state.used_at + SESSION_IDLE + 2 * SESSION_ERASE_AFTER
    if _is_unanswered(state):
        deadline = min(deadline, state.agreement.prekey_until + PREKEY_ERASE_AFTER)
    for later in peer.sessions:
        if later.settled_at and later.precedence < state.precedence:
            deadline = min(deadline, later.settled_at + SESSION_ERASE_AFTER)
    return deadline


def prune(peer: PeerSessions, now: int) -> PeerSessions:
    """Erase every skipped key, session and memory of one that is due at ``now`` (TOM-SESSION-060 ff.).

    :func:`send` and :func:`receive` begin with it; the caller's timer only makes it happen in time.
    """
    for state in [held for held in peer.sessions if now >= _erase_at(peer, held)]:
        peer = _close(peer, state, now)
    closed = tuple([item for item in peer.closed if now < item.until])
    return PeerSessions(
        peer.local_node, peer.peer_node, tuple([_pruned(held, now) for held in peer.sessions]), closed
    )


def _pruned(state: SessionState, now: int) -> SessionState:
    kept = ratchet.without_expired(state.ratchet, now)
    return state if kept is state.ratchet else evolve(state, ratchet=kept)


def next_deadline(peer: PeerSessions) -> int | None:
    """When :func:`prune` next has something to do, ms; ``None`` when nothing is kept."""
    deadlines = [_erase_at(peer, state) for state in peer.sessions]
    deadlines += [key.until for state in peer.sessions for key in state.ratchet.skipped.values()]
    deadlines += [item.until for item in peer.closed]
    return min(deadlines, default=None)
