"""Sessions to bytes and back, for the local store: canonical, versioned and strict (TOM-SESSION-065 ff.).

These bytes hold secrets and never leave the node.  Decoding checks what every other module relies on, so that
a damaged record is refused as a whole, with a :class:`ProtocolError`, instead of misbehaving later.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final, NoReturn

from tom_ref import wire
from tom_ref.codec import StoredFormat
from tom_ref.constants import (
    MAX_CLOSED_SESSIONS,
    MAX_MESSAGE_NUMBER,
    MAX_SESSIONS_PER_PEER,
    MAX_SKIPPED_KEYS,
    VERSION,
)
from tom_ref.crypto import Secret32, x25519_public
from tom_ref.errors import ProtocolError, Reason
from tom_ref.ratchet import Chain, Ratchet, SkippedKey
from tom_ref.session import Agreement, ClosedSession, PeerSessions, SessionState
from tom_ref.x3dh import SUITE

_INITIATOR: Final = 1
_CONFIRMED: Final = 2
_ABANDONED: Final = 4

_SKIPPED_BYTES: Final = 76
_SESSION_BYTES: Final = 512 + MAX_SKIPPED_KEYS * _SKIPPED_BYTES
_CLOSED_BYTES: Final = 24

_SESSION: Final = StoredFormat("stored session", wire.STORED_SESSION, _SESSION_BYTES)
_PEER_SESSIONS: Final = StoredFormat(
    "stored sessions",
    wire.STORED_PEER_SESSIONS,
    67 + MAX_SESSIONS_PER_PEER * _SESSION_BYTES + MAX_CLOSED_SESSIONS * _CLOSED_BYTES,
)


def _refuse(reason: Reason, detail: str) -> NoReturn:
    raise ProtocolError(reason, f"stored session: {detail}")


def _values(state: SessionState) -> dict[str, Any]:
    """The fields of one session, but for the version."""
    agreement, ratchet = state.agreement, state.ratchet
    receiving = ratchet.receiving
    skipped = sorted(ratchet.skipped.items())
    return {
        "suite": SUITE,
        "flags": _INITIATOR * state.initiator + _CONFIRMED * state.confirmed + _ABANDONED * state.abandoned,
        "session_id": agreement.session_id,
        "initiator_node": agreement.initiator_node,
        "responder_node": agreement.responder_node,
        "initiator_key": agreement.initiator_key,
        "responder_key": agreement.responder_key,
        "ephemeral": agreement.ephemeral,
        "prekey_id": agreement.prekey_id,
        "prekey_until": agreement.prekey_until,
        "begun_at": agreement.begun_at,
        "used_at": state.used_at,
        "settled_at": state.settled_at,
        "sending_since": state.sending_since,
        "root_key": ratchet.root_key.reveal(),
        "ratchet_secret": ratchet.secret.reveal(),
        "peer_ratchet_key": ratchet.peer_key,
        "sending_key": ratchet.sending.key.reveal(),
        "sending_number": ratchet.sending.number,
        "previous_count": ratchet.previous_count,
        "receiving_key": bytes(32) if receiving is None else receiving.key.reveal(),
        "receiving_number": 0 if receiving is None else receiving.number,
        "skipped_count": len(skipped),
        "skipped": [
            {"ratchet_key": ratchet_key, "number": number, "key": item.key.reveal(), "until": item.until}
            for (ratchet_key, number), item in skipped
        ],
    }


def _read_skipped(items: Iterable[SimpleNamespace]) -> dict[tuple[bytes, int], SkippedKey]:
    skipped: dict[tuple[bytes, int], SkippedKey] = {}
    last = (b"", 0)
    for item in items:
        place = (item.ratchet_key, item.number)
        if place <= last:
            _refuse(Reason.NON_CANONICAL, "skipped keys not ascending")
        if item.number > MAX_MESSAGE_NUMBER:
            _refuse(Reason.BAD_VALUE, "number of a skipped key")
        skipped[place] = SkippedKey(Secret32(item.key), item.until)
        last = place
    return skipped


def _read(parsed: SimpleNamespace) -> SessionState:
    if parsed.version != VERSION:
        _refuse(Reason.UNKNOWN_VERSION, str(parsed.version))
    if parsed.suite != SUITE:
        _refuse(Reason.UNKNOWN_KIND, f"suite {parsed.suite}")
    if parsed.flags > _INITIATOR | _CONFIRMED | _ABANDONED:
        _refuse(Reason.BAD_VALUE, "flags")
    if parsed.skipped_count > MAX_SKIPPED_KEYS:
        _refuse(Reason.TOO_LARGE, f"{parsed.skipped_count} skipped keys")
    if (parsed.sending_since == 0) != (parsed.sending_number == 0):
        _refuse(Reason.BAD_VALUE, "begin of the sending chain")
    initiator = bool(parsed.flags & _INITIATOR)
    confirmed = bool(parsed.flags & _CONFIRMED)
    if bool(parsed.settled_at) > confirmed or (confirmed and not initiator and not parsed.settled_at):
        _refuse(Reason.BAD_VALUE, "settled without being confirmed, or a responder's the other way round")
    receiving = None
    if confirmed or not initiator:
        receiving = Chain(Secret32(parsed.receiving_key), parsed.receiving_number)
    elif any(parsed.receiving_key) or parsed.receiving_number:
        _refuse(Reason.BAD_VALUE, "a receiving chain before the first reply")
    secret = Secret32(parsed.ratchet_secret)
    return SessionState(
        agreement=Agreement(
            session_id=parsed.session_id,
            initiator_node=parsed.initiator_node,
            responder_node=parsed.responder_node,
            initiator_key=parsed.initiator_key,
            responder_key=parsed.responder_key,
            ephemeral=parsed.ephemeral,
            prekey_id=parsed.prekey_id,
            prekey_until=parsed.prekey_until,
            begun_at=parsed.begun_at,
        ),
        ratchet=Ratchet(
            root_key=Secret32(parsed.root_key),
            secret=secret,
            public=x25519_public(secret),
            peer_key=parsed.peer_ratchet_key,
            sending=Chain(Secret32(parsed.sending_key), parsed.sending_number),
            receiving=receiving,
            previous_count=parsed.previous_count,
            skipped=_read_skipped(parsed.skipped),
        ),
        initiator=initiator,
        confirmed=confirmed,
        abandoned=bool(parsed.flags & _ABANDONED),
        used_at=parsed.used_at,
        settled_at=parsed.settled_at,
        sending_since=parsed.sending_since,
    )


def encode_session(state: SessionState) -> bytes:
    """The bytes of one session; hold them as secret as the keys in them."""
    return _SESSION.encode(**_values(state))


def decode_session(data: bytes) -> SessionState:
    """The session that :func:`encode_session` wrote; ``ProtocolError`` for any other bytes."""
    return _read(_SESSION.decode(data))


def encode_peer_sessions(peer: PeerSessions) -> bytes:
    """The bytes of all sessions with one peer; hold them as secret as the keys in them."""
    return _PEER_SESSIONS.encode(
        local_node=peer.local_node,
        peer_node=peer.peer_node,
        session_count=len(peer.sessions),
        sessions=[{"version": VERSION, **_values(state)} for state in peer.sessions],
        closed_count=len(peer.closed),
        closed=[{"session_id": item.session_id, "until": item.until} for item in peer.closed],
    )


def decode_peer_sessions(data: bytes) -> PeerSessions:
    """The sessions that :func:`encode_peer_sessions` wrote; ``ProtocolError`` for any other bytes."""
    parsed = _PEER_SESSIONS.decode(data)
    if parsed.session_count > MAX_SESSIONS_PER_PEER or parsed.closed_count > MAX_CLOSED_SESSIONS:
        _refuse(Reason.TOO_LARGE, f"{parsed.session_count} held and {parsed.closed_count} erased")
    peer = PeerSessions(
        local_node=parsed.local_node,
        peer_node=parsed.peer_node,
        sessions=tuple(_read(item) for item in parsed.sessions),
        closed=tuple(ClosedSession(item.session_id, item.until) for item in parsed.closed),
    )
    if any(left.precedence >= right.precedence for left, right in pairwise(peer.sessions)) or any(
        left.session_id >= right.session_id for left, right in pairwise(peer.closed)
    ):
        _refuse(Reason.NON_CANONICAL, "sessions out of order")
    for state in peer.sessions:
        ends = (peer.local_node, peer.peer_node)
        if (state.agreement.initiator_node, state.agreement.responder_node) != (
            ends if state.initiator else ends[::-1]
        ):
            _refuse(Reason.NODE_MISMATCH, "a session of other nodes")
    return peer
