"""The end-to-end sessions with every peer: sealed and opened, stored before anything leaves."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from tom_ref import codec, session
from tom_ref.crypto import Entropy
from tom_ref.effects import Table
from tom_ref.frames import Descriptor
from tom_ref.identity import Identity
from tom_ref.session import LocalKeys, PeerSessions, Prekey
from tom_ref.session_store import decode_peer_sessions, encode_peer_sessions
from tom_ref.step import Step
from tom_ref.timers import Timer, Timers


@define
class Conversations:
    """All sessions, by peer."""

    identity: Identity = field(repr=False)
    entropy: Entropy = field(repr=False)
    timers: Timers = field(repr=False)
    _peers: dict[bytes, PeerSessions] = field(factory=dict, repr=False)

    @property
    def _local(self) -> LocalKeys:
        return LocalKeys(self.identity.node_id, self.identity.session_secret, self.identity.session_key)

    def restore(self, peer: bytes, record: bytes) -> None:
        """Take the stored sessions with a peer back."""
        sessions = decode_peer_sessions(record)
        self._peers[peer] = sessions
        self._schedule(peer, sessions)

    def _get(self, peer: bytes) -> PeerSessions:
        held = self._peers.get(peer)
        return PeerSessions(self.identity.node_id, peer) if held is None else held

    def _commit(self, step: Step, peer: bytes, sessions: PeerSessions) -> None:
        if sessions.sessions or sessions.closed:
            self._peers[peer] = sessions
            step.put(Table.SESSION, peer, encode_peer_sessions(sessions))
        else:
            self._peers.pop(peer, None)
            step.erase(Table.SESSION, peer)
        self._schedule(peer, sessions)

    def _schedule(self, peer: bytes, sessions: PeerSessions) -> None:
        deadline = session.next_deadline(sessions)
        if deadline is None:
            self.timers.cancel(Timer.SESSIONS, peer)
        else:
            self.timers.set(Timer.SESSIONS, peer, deadline)

    def seal(
        self, step: Step, peer: bytes, descriptor: Descriptor | None, plaintext: bytes, prefix: bytes
    ) -> bytes:
        """Encrypt for a peer; raises ``ProtocolError`` when neither a session nor a prekey serves."""
        sessions, payload = session.send(
            self._get(peer),
            self._local,
            descriptor,
            plaintext,
            header_prefix=prefix,
            now=step.now,
            entropy=self.entropy,
        )
        self._commit(step, peer, sessions)
        return payload

    def open(
        self,
        step: Step,
        peer: bytes,
        descriptor: Descriptor | None,
        prekeys: Mapping[int, Prekey],
        payload: bytes,
        *,
        prefix: bytes,
        sent_at: int,
    ) -> bytes:
        """Decrypt a peer's message; raises ``ProtocolError`` and leaves every session as it was."""
        sessions, plaintext = session.receive(
            self._get(peer),
            self._local,
            prekeys,
            descriptor,
            payload,
            header_prefix=prefix,
            sent_at=sent_at,
            now=step.now,
            entropy=self.entropy,
        )
        self._commit(step, peer, sessions)
        return plaintext

    def doubt(self, step: Step, peer: bytes, payload: bytes) -> None:
        """The peer says it doesn't know the session of this own message: begin another next time."""
        held = self._peers.get(peer)
        if held is not None:
            named = codec.decode_session_message(payload).session_id
            self._commit(step, peer, session.abandon(held, named))

    def prune(self, step: Step, peer: bytes) -> None:
        """Erase skipped keys and sessions that are due (TOM-SESSION)."""
        self._commit(step, peer, session.prune(self._peers[peer], step.now))
