"""Two parties, a bad network and long silences: what sessions promise, whatever the order of events."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.session_parties import HOUR, START, Party, Sent
from tom_ref import crypto, session
from tom_ref.constants import EPS, MAX_SESSIONS_PER_PEER, MAX_SKIPPED_KEYS
from tom_ref.errors import ProtocolError, Reason

DUPLICATE = {Reason.REPLAYED, Reason.BAD_SEAL, Reason.TOO_MANY_SKIPPED, Reason.UNKNOWN_SESSION}
DUPLICATE |= {Reason.UNKNOWN_PREKEY}
"""What a second copy may be refused with; ``bad_seal`` where the chain that it belonged to is gone."""


UNREADABLE = {Reason.UNKNOWN_SESSION, Reason.UNKNOWN_PREKEY, Reason.TOO_MANY_SKIPPED}
"""What a message meets with at a peer that has lost its state, or more than 256 messages."""


class Machine(RuleBasedStateMachine):
    """Loss, reordering, duplication, restarts, simultaneous beginnings, skewed clocks and naps of weeks.

    Neither party ever loses its state, so the strong claim holds: the first copy of a message that arrives
    alive opens, unless more than 256 keys would have to be kept.
    """

    lossy_state = False

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.flying: list[tuple[Party, Sent, int]] = []
        self.arrived: list[tuple[Party, Sent]] = []
        self.delivered: Counter[bytes] = Counter()
        self.count = 0
        self.keys: set[tuple[bytes, bytes]] = set()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("tom_ref.ratchet.crypto.seal", self._seal)
        self.original_seal = _ORIGINAL_SEAL

    def _seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        assert (key, nonce) not in self.keys, "a message key was used twice"
        self.keys.add((key, nonce))
        return self.original_seal(key, nonce, plaintext, associated)

    def teardown(self) -> None:
        self.patch.undo()

    @initialize(skew=st.integers(-EPS, EPS), other_skew=st.integers(-EPS, EPS))
    def meet(self, skew: int, other_skew: int) -> None:
        self.parties = Party("alice", skew), Party("bob", other_skew)
        self.parties[0].meet(self.parties[1])
        self.parties[1].meet(self.parties[0])
        self._keep_house()
        for party in self.parties:
            party.learn()

    def _keep_house(self) -> None:
        for party in self.parties:
            party.rotate(self.now)
        self.flying = [
            (party, message, epoch)
            for party, message, epoch in self.flying
            if not party.is_expired(message, self.now)
        ]
        self.arrived = [
            (party, message) for party, message in self.arrived if not party.is_expired(message, self.now)
        ]

    # --- what parties do ---

    @rule(who=st.integers(0, 1), burst=st.sampled_from([1, 1, 1, 2, 5, 90, 300]))
    def send(self, who: int, burst: int) -> None:
        party = self.parties[who]
        for _ in range(burst):
            self.count += 1
            plaintext = b"%d" % self.count
            message = self._seal_or_stale(party, plaintext)
            if message is None:
                assert party.known is not None
                assert not session.prekey_is_valid(party.known, party.clock(self.now))
                return
            self.flying.append((party.other, message, self._epoch(party)))

    def _seal_or_stale(self, party: Party, plaintext: bytes) -> Sent | None:
        try:
            return party.send(plaintext, self.now, prefix=b"header " + plaintext)
        except ProtocolError as error:
            if error.reason is not Reason.STALE_PREKEY:
                raise
            return None

    def _epoch(self, party: Party) -> int:
        return 0

    @rule(who=st.integers(0, 1))
    def learn(self, who: int) -> None:
        self.parties[who].learn()

    @rule(who=st.integers(0, 1))
    def restart(self, who: int) -> None:
        self.parties[who].restart()

    @rule(who=st.integers(0, 1))
    def prune(self, who: int) -> None:
        self.parties[who].prune(self.now)

    @rule(who=st.integers(0, 1))
    def prune_on_time(self, who: int) -> None:
        party = self.parties[who]
        deadline = session.next_deadline(party.peer)
        assume(deadline is not None)
        assert deadline is not None
        before = party.peer
        assert session.prune(before, min(deadline - 1, party.clock(self.now))) == before
        self.now = max(self.now, deadline - party.skew)
        self._keep_house()
        party.prune(self.now)
        assert party.peer != before

    @rule(
        delta=st.sampled_from([1, 1000, 2 * EPS, HOUR, 6 * HOUR, 23 * HOUR, 25 * HOUR, 49 * HOUR, 73 * HOUR])
    )
    def wait(self, delta: int) -> None:
        self.now += delta
        self._keep_house()

    @rule(days=st.sampled_from([8, 27, 28, 29, 31, 60]))
    def sleep(self, days: int) -> None:
        self.now += days * 24 * HOUR
        self._keep_house()

    # --- what the network does ---

    def _take(self, data: st.DataObject, keep: bool) -> tuple[Party, Sent, int]:
        index = data.draw(st.integers(0, len(self.flying) - 1))
        return self.flying[index] if keep else self.flying.pop(index)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        self._deliver(*self._take(data, keep))

    @precondition(lambda self: self.flying)
    @rule(newest_first=st.booleans())
    def deliver_all(self, newest_first: bool) -> None:
        queue, self.flying = self.flying, []
        for item in reversed(queue) if newest_first else queue:
            self._deliver(*item)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self._take(data, keep=False)

    @precondition(lambda self: len(self.flying) > 20)
    @rule()
    def lose_most(self) -> None:
        self.flying = self.flying[-3:]

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def duplicate(self, data: st.DataObject) -> None:
        party, message = data.draw(st.sampled_from(self.arrived[-40:]))
        self._refused(party, message, DUPLICATE)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), bit=st.integers(0, 7))
    def tamper(self, data: st.DataObject, bit: int) -> None:
        party, message, _ = self._take(data, keep=True)
        position = data.draw(st.integers(0, len(message.data) - 1))
        spoilt = bytearray(message.data)
        spoilt[position] ^= 1 << bit
        self._refused(party, Sent(message.plaintext, bytes(spoilt), message.prefix, message.sent_at), None)

    def _refused(self, party: Party, message: Sent, reasons: set[Reason] | None) -> None:
        before = party.peer
        with pytest.raises(ProtocolError) as caught:
            party.receive(message, self.now)
        assert reasons is None or caught.value.reason in reasons
        assert party.peer is before

    def _deliver(self, party: Party, message: Sent, epoch: int) -> None:
        before = party.peer
        if self.delivered[message.plaintext]:
            self._refused(party, message, DUPLICATE)
            return
        try:
            plaintext = party.receive(message, self.now)
        except ProtocolError as error:
            assert party.peer is before
            self._excuse(party, error.reason, epoch)
            return
        assert plaintext == message.plaintext
        self.delivered[plaintext] += 1
        self.arrived.append((party, message))

    def _excuse(self, party: Party, reason: Reason, epoch: int) -> None:
        """A first copy may only be refused when the table of skipped keys has no room for what is missing."""
        assert reason is Reason.TOO_MANY_SKIPPED

    # --- what always holds ---

    @invariant()
    def bounds(self) -> None:
        for party in getattr(self, "parties", ()):
            assert len(party.peer.sessions) <= MAX_SESSIONS_PER_PEER
            for state in party.peer.sessions:
                assert len(state.ratchet.skipped) <= MAX_SKIPPED_KEYS

    @invariant()
    def at_most_once(self) -> None:
        assert all(count == 1 for count in self.delivered.values())

    def _try(self, party: Party, message: Sent) -> Reason | None:
        try:
            assert party.receive(message, self.now) == message.plaintext
        except ProtocolError as error:
            return error.reason
        return None

    def converse(self) -> None:
        """Let both parties be on line for a while: then they must agree on one session, and ratchet on it."""
        self.flying = []
        for _ in range(3):
            self.now += 25 * HOUR
            self._keep_house()
            for party in self.parties:
                party.learn()
                party.prune(self.now)
            for party in (*self.parties, *self.parties):
                message = party.send(b"still there?", self.now)
                assert self._try(party.other, message) in {None, *UNREADABLE}
        names = {party.sending_on for party in self.parties}
        assert len(names) == 1
        for party in (*self.parties, *self.parties):
            before = party.other.peer.sessions[0].ratchet.public
            message = party.send(b"yes", self.now)
            assert party.other.receive(message, self.now) == b"yes"
            assert party.other.peer.sessions[0].ratchet.public != before


class ForgetfulMachine(Machine):
    """The same with parties that lose every session and prekey: what was sent before may be lost, no more."""

    def __init__(self) -> None:
        super().__init__()
        self.losses = 0

    def _epoch(self, party: Party) -> int:
        return self.losses

    @rule(who=st.integers(0, 1))
    def forget(self, who: int) -> None:
        self.losses += 1
        self.now += 2 * EPS + 1
        self._keep_house()
        self.parties[who].forget(self.now)

    @rule(who=st.integers(0, 1))
    def doubt(self, who: int) -> None:
        """A relay claims that the newest session is not known: true or not, it must do no lasting harm."""
        party = self.parties[who]
        if party.sending_on is not None:
            party.peer = session.abandon(party.peer, party.sending_on)

    def _excuse(self, party: Party, reason: Reason, epoch: int) -> None:
        assert reason is Reason.TOO_MANY_SKIPPED or (self.losses > 0 and reason in UNREADABLE)


def _converging(machine: type[Machine]) -> type[Machine]:
    class Converging(machine):  # type: ignore[valid-type,misc]
        def teardown(self) -> None:
            if hasattr(self, "parties"):
                self.converse()
            super().teardown()

    Converging.__name__ = machine.__name__
    return Converging


_ORIGINAL_SEAL = crypto.seal
SETTINGS = settings(
    max_examples=30,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("machine", [Machine, ForgetfulMachine])
def test_sessions_survive_everything(machine: type[Machine]) -> None:
    """TOM-SESSION-026 to 033, 050 to 063: the state machine of two parties over a bad network."""
    run_state_machine_as_test(_converging(machine), settings=SETTINGS)
