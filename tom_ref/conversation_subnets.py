"""Conversation subnets: for two members that talk much: one signed record, two relays, no trace.

The participant with the lower id opens it when the need is there, by a record that the other one signs, too.
It has no votes.  Whoever is handed a message in it is shown the record first, so that any member can relay
(TOM-ROLES-109 to 111, 156 to 161).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, evolve, field

from tom_ref import codec, constants
from tom_ref.crypto import Entropy, SigningKey, draw, labelled, sha256, verify
from tom_ref.effects import Event, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.step import Step
from tom_ref.term_frames import Conversation, ConversationEnd, TermRecord
from tom_ref.timers import Timer, Timers

_UNSIGNED: Final = bytes(64)
_STORE_EVERY: Final = 60_000
"""ms: the time of the last message is written at most this often."""


def signed_conversation(conversation: Conversation) -> bytes:
    """The bytes that every participant signs, and whose hash is the id (TOM-ROLES-109)."""
    return labelled(
        "ToM/1 conversation",
        conversation.home,
        conversation.term.to_bytes(8, "big"),
        b"".join(conversation.participants),
        conversation.nonce,
    )


def conversation_id(conversation: Conversation) -> bytes:
    """The id of a conversation subnet (TOM-ROLES-109)."""
    return sha256(signed_conversation(conversation))


def signed_end(conversation: bytes) -> bytes:
    """The bytes that a participant signs to end a conversation subnet (TOM-ROLES-111)."""
    return labelled("ToM/1 conversation end", conversation)


def check_conversation(conversation: Conversation) -> None:
    """Verify all signatures; raises ``bad_signature`` or ``bad_key`` (TOM-ROLES-109)."""
    signed = signed_conversation(conversation)
    for node, signature in zip(conversation.participants, conversation.signatures, strict=True):
        verify(node, signed, signature)


def check_end(end: ConversationEnd) -> None:
    """Verify an end's signature; raises ``bad_signature`` or ``bad_key``."""
    verify(end.node, signed_end(end.conversation), end.signature)


@define
class _Open:
    """A conversation subnet that is known here."""

    conversation: Conversation
    last: int
    """When something was sent in it last, ms."""
    heard: int = 0
    """When the other end gave a sign of life last, ms."""
    stored: int = 0
    told: set[bytes] = field(factory=set)
    """Neighbours that were shown the record over the link they have now."""


@define
class _Traffic:
    """Messages with one peer within the idle time."""

    times: deque[int] = field(factory=lambda: deque(maxlen=constants.CONVERSATION_NEED))
    sent: int = 0
    received: int = 0
    """When the last one went each way, ms."""


@define
class ConversationSubnets:
    """Those that this node takes part in or carries."""

    own_id: bytes
    signing_key: SigningKey = field(repr=False)
    entropy: Entropy = field(repr=False)
    timers: Timers = field(repr=False)
    _open: dict[bytes, _Open] = field(factory=dict)
    _pairs: dict[tuple[bytes, bytes], bytes] = field(factory=dict)
    """The open conversation subnet of a home with a peer."""
    _traffic: dict[bytes, _Traffic] = field(factory=dict)
    _offered: dict[bytes, Conversation] = field(factory=dict)
    """What this node has signed first, by peer."""

    # --- what others read -------------------------------------------------------------------------------

    def serves(self, subnet: bytes, sender: bytes, recipient: bytes) -> bool:
        """Whether a message of two participants in a conversation subnet is taken (TOM-ROLES-158)."""
        held = self._open.get(subnet)
        return held is not None and {sender, recipient} <= set(held.conversation.participants)

    def known(self, subnet: bytes) -> bool:
        """Whether a conversation subnet is known here."""
        return subnet in self._open

    def place(self, peer: bytes, now: int, home: bytes) -> tuple[bytes, int] | None:
        """Subnet and term of a message to a peer, if one of this home is open and the peer is there (162)."""
        subnet = self._pairs.get((home, peer))
        if subnet is None or now >= self._open[subnet].heard + constants.CONVERSATION_FRESH:
            return None
        return subnet, self._open[subnet].conversation.term

    # --- disk -------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        """Take a stored conversation subnet back; raises ``ProtocolError`` when it is corrupt."""
        stored = codec.CONVERSATION.decode(value)
        conversation = codec.decode_frame(stored.frame)
        if not isinstance(conversation, Conversation) or conversation_id(conversation) != key:
            raise ProtocolError(Reason.BAD_VALUE, "a stored conversation that is none")
        self._insert(conversation, stored.last)

    def _insert(self, conversation: Conversation, last: int) -> _Open:
        subnet = conversation_id(conversation)
        self._open[subnet] = held = _Open(conversation, last)
        if self.own_id in conversation.participants:
            for peer in conversation.participants:
                self._pairs[conversation.home, peer] = subnet
        self.timers.set(Timer.CONVERSATION, subnet, last + constants.CONVERSATION_IDLE)
        return held

    def _store(self, step: Step, subnet: bytes, held: _Open) -> None:
        if self.own_id in held.conversation.participants:
            frame = codec.encode_frame(held.conversation)
            row = codec.CONVERSATION.encode(last=held.last, length=len(frame), frame=frame)
            step.put(Table.CONVERSATION, subnet, row)
            held.stored = held.last

    # --- need -------------------------------------------------------------------------------------------

    def went(self, peer: bytes, now: int, record: TermRecord | None, *, sent: bool) -> Conversation | None:
        """A message went to or came from a peer; returns what to offer it when the need is there (156)."""
        subnet = None if record is None else self._pairs.get((record.subnet, peer))
        if subnet is not None:
            self._open[subnet].heard = now
            return None
        traffic = self._traffic.get(peer)
        if traffic is None:
            if len(self._traffic) >= constants.MAX_QUERIES:
                self._traffic.pop(next(iter(self._traffic)))
            traffic = self._traffic[peer] = _Traffic()
        traffic.times.append(now)
        if sent:
            traffic.sent = now
        else:
            traffic.received = now
        oldest = now - constants.CONVERSATION_IDLE
        both = min(traffic.sent, traffic.received) > oldest
        much = len(traffic.times) == constants.CONVERSATION_NEED and traffic.times[0] > oldest
        if not (both and much) or record is None or self.own_id > peer:
            return None
        if record.member(peer) is None or record.member(self.own_id) is None or not self._room():
            return None
        traffic.times.clear()
        return self._offer(peer, record)

    def _room(self) -> bool:
        return len(set(self._pairs.values())) < constants.MAX_CONVERSATIONS

    def _offer(self, peer: bytes, record: TermRecord) -> Conversation:
        nonce = draw(self.entropy, constants.Purpose.CONVERSATION_NONCE, 32)
        participants = (self.own_id, peer)
        blank = Conversation(record.subnet, record.term, participants, nonce, (_UNSIGNED, _UNSIGNED))
        own = self.signing_key.sign(signed_conversation(blank))
        self._offered[peer] = offer = evolve(blank, signatures=(own, _UNSIGNED))
        while len(self._offered) > constants.MAX_CONVERSATIONS:
            del self._offered[next(iter(self._offered))]
        return offer

    # --- frames -----------------------------------------------------------------------------------------

    def on_conversation(
        self,
        step: Step,
        conversation: Conversation,
        record: TermRecord | None,
        related: Callable[[bytes], bool],
    ) -> Conversation | None:
        """Take a record; returns it with this node's signature when that was asked for (TOM-ROLES-157).

        ``related`` says of a subnet whether this node carries its messages, too, such as its home's parent's.
        Raises ``wrong_subnet`` for a home that is neither that nor this node's, ``node_mismatch`` for one
        between others than members, ``overloaded`` when too many are open, and what its signatures deserve.
        """
        subnet = conversation_id(conversation)
        held = self._open.get(subnet)
        if held is not None:
            if not (self.own_id in conversation.participants and _UNSIGNED in conversation.signatures):
                return None
            return held.conversation  # The answer was lost.
        signed = _UNSIGNED not in conversation.signatures
        own = record is not None and conversation.home == record.subnet and conversation.term <= record.term
        if record is None or not (own or (signed and related(conversation.home))):
            raise ProtocolError(Reason.WRONG_SUBNET, "a conversation of another home")
        answer: Conversation | None = None
        if self.own_id in conversation.participants:
            if not self._room():
                raise ProtocolError(Reason.OVERLOADED, "too many conversations are open")
            if own:
                conversation, answer = self._countersign(conversation, record)
        elif len(self._open) >= constants.MAX_CARRIED_CONVERSATIONS:
            raise ProtocolError(Reason.OVERLOADED, "too many conversations are carried")
        check_conversation(conversation)
        held = self._insert(conversation, step.now)
        held.heard = step.now
        self._store(step, subnet, held)
        for peer in conversation.participants:
            self._offered.pop(peer, None)
            self._traffic.pop(peer, None)
            if peer != self.own_id and self.own_id in conversation.participants:
                step.report(Event.CONVERSATION_OPENED, peer, detail=subnet.hex())
        return answer

    def _countersign(
        self, conversation: Conversation, record: TermRecord
    ) -> tuple[Conversation, Conversation | None]:
        if any(record.member(node) is None for node in conversation.participants):
            raise ProtocolError(Reason.NODE_MISMATCH, "a conversation with somebody that is no member")
        place = conversation.participants.index(self.own_id)
        if conversation.signatures[place] != _UNSIGNED:
            return conversation, None
        signatures = list(conversation.signatures)
        signatures[place] = self.signing_key.sign(signed_conversation(conversation))
        signed = evolve(conversation, signatures=tuple(signatures))
        return signed, signed

    def on_end(self, step: Step, end: ConversationEnd) -> tuple[bytes, ...]:
        """A participant ends it: every trace goes (TOM-ROLES-111); returns the neighbours that were shown it.

        Raises ``node_mismatch`` for an end by somebody else, and what its signature deserves.
        """
        held = self._open.get(end.conversation)
        if held is None:
            return ()
        if end.node not in held.conversation.participants:
            raise ProtocolError(Reason.NODE_MISMATCH, "an end by somebody that takes no part")
        check_end(end)
        return self._erase(step, end.conversation)

    # --- sending ----------------------------------------------------------------------------------------

    def touch(self, step: Step, subnet: bytes) -> None:
        """Something was sent in it."""
        held = self._open.get(subnet)
        if held is None:
            return
        held.last = step.now
        self.timers.set(Timer.CONVERSATION, subnet, step.now + constants.CONVERSATION_IDLE)
        if step.now >= held.stored + _STORE_EVERY:
            self._store(step, subnet, held)

    def untold(self, subnet: bytes, peer: bytes) -> bytes | None:
        """The frame to show a neighbour before it is handed the first message; ``None`` when it knows."""
        held = self._open.get(subnet)
        if held is None or peer in held.told:
            return None
        held.told.add(peer)
        return codec.encode_frame(held.conversation)

    def show_again(self, peer: bytes) -> None:
        """A neighbour may have forgotten what it was shown: its link ended, or it says so (TOM-ROLES-159)."""
        for held in self._open.values():
            held.told.discard(peer)

    # --- the end ----------------------------------------------------------------------------------------

    def idle(self, step: Step, subnet: bytes) -> tuple[ConversationEnd | None, tuple[bytes, ...]]:
        """Nothing was sent for the idle time: erase every trace; returns the end and whom to tell it."""
        participates = self.own_id in self._open[subnet].conversation.participants
        told = self._erase(step, subnet)
        if not participates:
            return None, ()
        return ConversationEnd(subnet, self.own_id, self.signing_key.sign(signed_end(subnet))), told

    def _erase(self, step: Step, subnet: bytes) -> tuple[bytes, ...]:
        held = self._open.pop(subnet)
        self.timers.cancel(Timer.CONVERSATION, subnet)
        if self.own_id in held.conversation.participants:
            step.erase(Table.CONVERSATION, subnet)
            for peer in held.conversation.participants:
                pair = held.conversation.home, peer
                if self._pairs.get(pair) == subnet:
                    del self._pairs[pair]
                self._traffic.pop(peer, None)
                if peer != self.own_id:
                    step.report(Event.CONVERSATION_ENDED, peer, detail=subnet.hex())
        return tuple(sorted(held.told))
