"""The node: dispatches inputs to the slices of its state and commits their outcome.

Theory of operation.  ``Node.step(input, now)`` takes one thing that happened and returns what to do about
it, as a tuple of effects; it computes and never does I/O.  Each slice keeps its own part of the state and
knows nothing of the others:

* ``early``: what comes over links before the time is known;
* ``neighbours``: links, and whom to dial;
* ``directory``: other nodes' descriptors;
* ``keyring``: this node's own descriptor and prekeys;
* ``conversations``: end-to-end sessions;
* ``sending``: own messages until a receipt is verified;
* ``relaying``: the way back of others' messages;
* ``congestion``: others' messages that wait for a busy link, in turns;
* ``custody``: messages kept for absent recipients, and the receipts that take their place;
* ``receiving``: receipts given, and the inbox;
* ``conversation_subnets``: small subnets of members that talk much;
* ``home``: the subnet, its present record and the vote on the next one.

The caller's contract is stated in :mod:`tom_ref.effects`.  Remote input never raises: what breaks a rule
is refused with a code and changes nothing.  A bad command raises ``CommandError`` and changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import evolve, frozen

from tom_ref import codec, constants
from tom_ref.congestion import Congestion, Waiting
from tom_ref.conversation_subnets import ConversationSubnets
from tom_ref.conversations import Conversations
from tom_ref.crypto import Entropy, labelled, sha256
from tom_ref.custody import Custody, Kept, first_ranks
from tom_ref.directory import Directory
from tom_ref.draft import Roles
from tom_ref.early import EarlyInputs
from tom_ref.effects import CloseLink, Effect, Event, Held, Progress, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import (
    NO_NODE,
    Address,
    Descriptor,
    DescriptorAnswer,
    DescriptorQuery,
    Envelope,
    Header,
    Holding,
    HoldingAnswer,
    HoldingQuery,
    Kind,
    Receipt,
    Refusal,
    TrailReport,
    UnknownFrame,
)
from tom_ref.guests import Guests
from tom_ref.home import Home, HomeStatus
from tom_ref.identity import Identity
from tom_ref.inputs import (
    Acknowledge,
    AddPeer,
    AskHolding,
    Begin,
    ClockMeasured,
    ClockSet,
    CommandError,
    DialFailed,
    Found,
    FrameReceived,
    Input,
    JoinSubnet,
    LeaveSubnet,
    LinkCongested,
    LinkDown,
    LinkUp,
    LinkWritable,
    MakeInvitation,
    Route,
    SendMessage,
    SendSignal,
    SetAddresses,
    Start,
    Taken,
    Wake,
)
from tom_ref.keyring import Keyring
from tom_ref.ledger import work_done
from tom_ref.neighbours import Neighbours, in_order
from tom_ref.netclock import NetworkClock
from tom_ref.receiving import Receiving
from tom_ref.relaying import Relaying
from tom_ref.sending import UNDATED, Pending, Sending
from tom_ref.step import Step
from tom_ref.term_frames import Conversation, ConversationEnd, Signal
from tom_ref.timers import Timer, Timers
from tom_ref.timing import Timing
from tom_ref.validate import check_envelope, check_header, message_id

_SESSION_LOST: Final = {
    Reason.UNKNOWN_SESSION.value,
    Reason.UNKNOWN_PREKEY.value,
    Reason.TOO_MANY_SKIPPED.value,
}
"""Refusals after which the next message begins a new session (TOM-SESSION-055)."""


_GOSSIP: Final = frozenset(bytes((kind,)) for kind in (7, 8, 9, 10, 13, 14, 15, 16, 18, 19, 32))
"""First bytes of the frames that members pass on once; a repetition is dropped before it is decoded."""

_ERASURES: Final = frozenset(
    {
        Timer.PENDING_ERASE,
        Timer.PENDING_EXPIRY,
        Timer.IN_FLIGHT_EXPIRY,
        Timer.SEEN_EXPIRY,
        Timer.CUSTODY_EXPIRY,
        Timer.TOMBSTONE_EXPIRY,
    }
)
"""What is due is erased before anything else is done (TOM-PURGE-036)."""

_WAIT_FOR_TIME: Final = _ERASURES | {Timer.PREKEY, Timer.SESSIONS, Timer.CONVERSATION, Timer.RETRY}
"""What isn't done until a started node knows the time (TOM-PURGE-008, 009)."""

_MAX_QUESTIONS: Final = 64
"""The most messages whose holders are being asked for at once."""

_MESH_PAUSE: Final = 1_000
"""ms between two looks at the links of the mesh, at least."""

_CONVERSING: Final = frozenset({b"\x12", b"\x13"})
"""First bytes of signals that hold a frame of a conversation subnet."""

_SHOWN: Final = 4
"""To how many neighbours at once a conversation subnet's record is shown."""

_RELAYS_BEFORE: Final = 2
"""A relay that got the message from its sender may hand it to one more relay, no further."""


class Node:
    """One node of ToM, without I/O.

    ``records`` is what the store holds (empty for a new node), ``timing`` what its network agreed on.  While
    the node has no home its messages belong to the subnet ``subnet`` (32 bytes), whose relays are configured
    by ``AddPeer``.  ``restored_copy`` tells that the store may not be the latest (TOM-ROLES-037).  The first
    input is :class:`~tom_ref.inputs.Start`.  Raises ``ProtocolError`` when a stored record is corrupt.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        entropy: Entropy,
        now: int,
        records: Iterable[tuple[Table, bytes, bytes]] = (),
        subnet: bytes | None = None,
        timing: Timing | None = None,
        restored_copy: bool = False,
    ) -> None:
        subnet = subnet_id("ToM") if subnet is None else subnet
        if len(subnet) != constants.KEY_BYTES:
            raise ValueError("a subnet id has 32 bytes")
        own_id, signing_key = identity.node_id, identity.signing_key
        self._subnet: Final = subnet
        self._now = self._device = now
        self._lead = 0
        self._early: EarlyInputs | None = None
        self._seeks = 0
        self._timers = Timers()
        self._neighbours = Neighbours(own_id, self._timers)
        self._directory = Directory(own_id)
        self._keyring = Keyring(identity, entropy, self._timers)
        self._conversations = Conversations(identity, entropy, self._timers)
        self._subnets = ConversationSubnets(own_id, signing_key, entropy, self._timers)
        self._timing: Final = Timing() if timing is None else timing
        eps = self._timing.eps
        self._sending = Sending(own_id, signing_key, self._timers, eps)
        self._relaying = Relaying(own_id, signing_key, self._timers, eps)
        self._congestion = Congestion(self._timers)
        self._guests = Guests()
        self._receiving = Receiving(own_id, signing_key, self._timers, eps)
        reach = _NodeReach(self._neighbours, self._reach)
        self._custody = Custody(own_id, signing_key, self._timers, reach, eps, self._timing.silence_ms)
        self._questions: dict[bytes, None] = {}
        self._alone_since: int | None = None
        self._substitute = 0
        self._unfinished: Step | None = None
        self._stored_members: dict[bytes, Descriptor] = {}
        outlet = _NodeOutlet(self._neighbours, self._directory, self._keyring)
        self._home = Home(
            identity,
            entropy=entropy,
            timing=self._timing,
            timers=self._timers,
            outlet=outlet,
        )
        self._restore(records)
        self._home.restored(self._now, abstain=restored_copy)
        self._clock = NetworkClock(self._timing.eps)

    def _restore(self, records: Iterable[tuple[Table, bytes, bytes]]) -> None:
        restore: dict[Table, Callable[[bytes, bytes], None]] = {
            Table.PENDING: lambda key, value: self._sending.restore(value, int.from_bytes(key, "big")),
            Table.INBOX: self._receiving.restore_inbox,
            Table.SEEN: self._receiving.restore_seen,
            Table.SESSION: self._conversations.restore,
            Table.PREKEY: lambda _, value: self._keyring.restore(value),
            Table.MEMBER: self._restore_member,
            Table.CUSTODY: self._custody.restore_copy,
            Table.TOMBSTONE: self._custody.restore_tombstone,
            Table.VERDICT: lambda key, value: self._sending.restore_verdict(
                value, int.from_bytes(key, "big")
            ),
            Table.CLOCK: self._restore_clock,
            Table.CONVERSATION: self._subnets.restore,
        }
        for table, key, value in records:
            if table in restore:
                restore[table](key, value)
            else:
                self._home.restore(table, key, value)
        self._sending.skip_to(self._custody.last_own)

    def _restore_member(self, key: bytes, value: bytes) -> None:
        self._stored_members[key] = self._directory.restore(value)

    def _restore_clock(self, _: bytes, value: bytes) -> None:
        if len(value) != 8:
            raise ProtocolError(Reason.BAD_VALUE, "a stored clock")
        # Until two clocks agree it goes on from here by the device's timer, whatever that one's date.
        self._now = int.from_bytes(value, "big")
        self._lead = self._now - self._device
        self._early = EarlyInputs()
        self._timers.hold(_WAIT_FOR_TIME)

    # --- what the driver reads ------------------------------------------------------------------------

    @property
    def node_id(self) -> bytes:
        """This node's 32-byte id."""
        return self._neighbours.own_id

    @property
    def descriptor(self) -> Descriptor:
        """This node's own newest descriptor; present from ``Start`` on."""
        return self._keyring.descriptor

    @property
    def home(self) -> Home:
        """The home subnet: to be looked at, never changed."""
        return self._home

    def status(self) -> HomeStatus:
        """What a person may want to know of the home subnet."""
        return self._home.status(self._now)

    @property
    def linked(self) -> tuple[bytes, ...]:
        """Every linked peer."""
        return self._neighbours.linked()

    @property
    def kept(self) -> tuple[Kept, ...]:
        """The copies and receipts in this node's custody: to be looked at."""
        return self._custody.kept()

    @property
    def writable(self) -> bool:
        """Whether another message would be taken; after a refusal, ``Drained`` tells when it is again."""
        return self._sending.writable and not self._custody.full

    @property
    def next_handle(self) -> int:
        """A handle for the next ``SendMessage``."""
        return self._sending.next_handle

    @property
    def clock_offset(self) -> int:
        """What this node adds to its clock to have network time, in ms (TOM-ROLES-129)."""
        return self._clock.offset if self._early is None else self._lead

    @property
    def knows_time(self) -> bool:
        """Whether it takes part with messages; after a start that waits for a link (TOM-PURGE-008)."""
        return self._early is None

    def next_deadline(self) -> int | None:
        """When to call ``step(Wake(), now)`` at the latest, in ms; ``None`` when nothing is due."""
        deadline = self._timers.next_deadline() if self._unfinished is None else self._now
        return None if deadline is None else deadline - self.clock_offset

    # --- one step -------------------------------------------------------------------------------------

    def step(self, what: Input, now: int) -> tuple[Effect, ...]:
        """Take one input at ``now`` (ms, never going back) and return the effects in their order.

        Inside, ``now`` is network time, which doesn't go back either (TOM-ROLES-129).  Raises
        ``CommandError`` for a command that can't be carried out, and nothing else.
        """
        self._device = now
        if type(what) is ClockSet:
            self._clock.shift(what.by)
            self._lead -= what.by
        self._now = max(self._now, now + self.clock_offset)
        # What was erased before a command that was refused is still to be carried out.
        step, self._unfinished = self._unfinished or Step(self._now), None
        step.now = self._now
        self._fire(step, self._timers.due_of(_ERASURES, step.now))
        try:
            if self._early is None or not self._keep(step, self._early, what):
                self._handlers[type(what)](self, step, what)
        except CommandError:
            self._unfinished = step if step.finish() else None
            raise
        self._fire(step, self._timers.due(step.now))
        if step.writes:
            step.put(Table.CLOCK, b"", self._now.to_bytes(8, "big"))
        return step.finish()

    def _fire(self, step: Step, due: Iterable[tuple[Timer, bytes]]) -> None:
        for timer, key in due:
            if timer is Timer.RETRY:
                self._retry(step, int.from_bytes(key, "big"))
            elif timer is Timer.WORK:
                self._attempt(step, self._sending.get(int.from_bytes(key, "big")))
            elif timer is Timer.DRAIN:
                self._drain(step, key)
            elif timer is Timer.PENDING_ERASE:
                self._sending.erase(step, int.from_bytes(key, "big"))
            elif timer is Timer.PENDING_EXPIRY:
                rerouted = self._sending.get(int.from_bytes(key, "big")).attempts > 1
                self._home.pulse.ended(None, rerouted=rerouted)
                self._sending.expire(step, int.from_bytes(key, "big"))
            elif timer is Timer.IN_FLIGHT_EXPIRY:
                self._relaying.forget(key)
            elif timer is Timer.SEEN_EXPIRY:
                self._receiving.forget(step, key)
            elif timer is Timer.PREKEY:
                self._renew_descriptor(step)
            elif timer is Timer.SESSIONS:
                self._conversations.prune(step, key)
            elif timer is Timer.REDIAL:
                self._neighbours.dial(step, key)
            else:
                self._other_timers[timer](self, step, key)

    # --- links ----------------------------------------------------------------------------------------

    def _start(self, step: Step, _: Start) -> None:
        self._renew_descriptor(step)
        self._receiving.show_again(step)
        self._say_again(step)
        for relay in self._neighbours.relays:
            self._neighbours.dial(step, relay)
        self._home.start(step)
        if self._home.roles is not None:
            self._alone_since = 0
        self._tend_mesh(step)
        if self._early is None:
            self._custody.start(step)
        self._try_waiting(step)

    def _say_again(self, step: Step) -> None:
        """Tell the application the final states that it has not taken, with the receipt while it is kept."""
        for handle, state in self._sending.say_again():
            data = self._custody.own_receipt(handle)
            receipt = None if data is None else codec.decode_receipt(data)
            message = None if receipt is None else receipt.message_id
            step.emit(Progress(handle, state, message, receipt=receipt))

    def _wake(self, step: Step, _: Wake) -> None:
        """Nothing but the timers, which every step fires."""

    def _renew_descriptor(self, step: Step) -> None:
        if self._keyring.renew(step):
            answer = codec.encode_frame(DescriptorAnswer(self.node_id, self.descriptor))
            for peer in self._neighbours.linked():
                self._send_to(step, peer, answer)

    def _set_addresses(self, step: Step, command: SetAddresses) -> None:
        if len(command.addresses) > constants.MAX_ADDRESSES:
            raise CommandError(Reason.TOO_LARGE, f"{len(command.addresses)} addresses")
        self._keyring.addresses = command.addresses
        self._renew_descriptor(step)

    def _add_peer(self, step: Step, command: AddPeer) -> None:
        if len(command.node_id) != constants.KEY_BYTES or command.node_id == self.node_id:
            raise CommandError(Reason.BAD_VALUE, "a peer is another node")
        self._neighbours.add(command.node_id, command.addresses, relay=command.relay)
        if command.relay:
            self._neighbours.dial(step, command.node_id)
        self._try_waiting(step)

    def _link_up(self, step: Step, what: LinkUp) -> None:
        peer = what.descriptor.node_id
        try:
            self._directory.learn(what.descriptor, step.now, self._neighbours.linked())
        except ProtocolError as error:
            step.emit(CloseLink(what.link, error.reason.value))
            if error.reason is Reason.FUTURE_DATE:
                step.report(Event.CLOCK_OFF, peer, detail=str(error))
            return
        replaced = self._neighbours.link_to(peer) is not None
        if not self._neighbours.link_up(step, what.link, peer, initiated=what.initiated):
            return
        for message, receipt in self._relaying.waiting_for(peer):
            step.send(what.link, receipt)
            self._relaying.forget(message)
        if replaced:
            self._sending.released_by(peer)
        self._custody.link_up(step, peer)
        self._home.link_up(step, peer)
        self._come_back(step)
        self._seal_for(step, peer)
        self._try_waiting(step)

    def _link_down(self, step: Step, what: LinkDown) -> None:
        self._clock.forget(what.link)
        peer = self._neighbours.link_down(step, what.link, what.reason)
        if peer is None:
            return
        if what.reason == Reason.FUTURE_DATE.value:
            step.report(Event.CLOCK_OFF, peer, detail=what.reason)
        for previous, refusal in self._relaying.link_lost(peer):
            self._send_to(step, previous, codec.encode_frame(refusal))
        for waiting in self._congestion.lost(peer):
            self._refuse(step, waiting.message, waiting.previous, ProtocolError(Reason.NO_ROUTE, "link lost"))
        self._custody.link_down(step, peer)
        if not self._neighbours.linked():
            self._alone_since = step.now
        self._subnets.show_again(peer)
        self._sending.released_by(peer)
        self._try_waiting(step)

    def _come_back(self, step: Step) -> None:
        """After a start or a long time alone: seek the members that may keep something (TOM-PURGE-043)."""
        since, self._alone_since = self._alone_since, None
        roles = self._home.roles
        if since is not None and roles is not None and step.now - since >= self._timing.silence_ms:
            for member in roles.pool:
                self._reach(step, member.node)

    def _link_writable(self, step: Step, what: LinkWritable) -> None:
        peer = self._neighbours.set_congested(what.link, congested=False)
        if peer is not None:
            self._drain(step, peer)
            self._try_waiting(step)

    def _link_congested(self, _: Step, what: LinkCongested) -> None:
        self._neighbours.set_congested(what.link, congested=True)

    def _clock_measured(self, step: Step, what: ClockMeasured) -> None:
        """A neighbour's clock was read: say so when this node's own is wrong (TOM-ROLES-129, 130)."""
        early, was, disputed = self._early, self._clock.off, self._clock.disputed
        peer = (self._neighbours if early is None else early).peer_of(what.link)
        if peer is None:
            return
        self._clock.measure(what.link, peer, what.offset, what.round_trip)
        if self._clock.off and not was:
            self._say_clock_off(step)
        if early is not None and self._clock.known:
            self._go_on(step, early)
        elif early is not None and self._clock.disputed and not disputed:
            step.report(Event.CLOCK_OFF, self.node_id, detail=f"{-what.offset} ms, or the neighbour's")

    def _clock_set(self, step: Step, _: ClockSet) -> None:
        """The time goes on as before (TOM-ROLES-137); whether the clock is right now is another matter."""
        if self._clock.off:
            self._say_clock_off(step)

    def _say_clock_off(self, step: Step) -> None:
        step.report(Event.CLOCK_OFF, self.node_id, detail=f"{-self._clock.offset} ms")

    # --- before the time is known -------------------------------------------------------------------------

    def _keep(self, step: Step, early: EarlyInputs, what: Input) -> bool:
        """Keep what comes over a link before the time is known (TOM-PURGE-049); ``False`` for all else."""
        if isinstance(what, LinkUp):
            if not early.opened(what):
                self._close_early(step, what)
        elif isinstance(what, FrameReceived) and early.holds(what.link):
            if not early.received(what):
                self._close_early(step, early.drop(what.link))
        elif isinstance(what, LinkDown) and early.holds(what.link):
            self._clock.forget(what.link)
            self._neighbours.dial_failed(step, early.drop(what.link).descriptor.node_id)
        else:
            return False
        return True

    def _close_early(self, step: Step, link: LinkUp) -> None:
        self._clock.forget(link.link)
        step.emit(CloseLink(link.link, Reason.OVERLOADED.value))
        self._neighbours.dial_failed(step, link.descriptor.node_id)

    def _go_on(self, step: Step, early: EarlyInputs) -> None:
        """Two clocks agree: erase what fell due, then take up what waited (TOM-PURGE-037, 049, 051, 054)."""
        self._early = None
        self._now = step.now = max(self._now, self._device + self._clock.offset)
        self._timers.hold(frozenset())
        self._fire(step, self._timers.due_of(_ERASURES, step.now))
        self._sending.date(step)
        self._custody.start(step)
        for what in early.end():
            self._handlers[type(what)](self, step, what)
        self._keyring.redate()
        self._renew_descriptor(step)
        self._try_waiting(step)

    def _dial_failed(self, step: Step, what: DialFailed) -> None:
        self._neighbours.dial_failed(step, what.node_id)

    def _send_to(self, step: Step, peer: bytes, frame: bytes) -> bool:
        link = self._neighbours.link_to(peer)
        if link is None:
            return False
        step.send(link, frame)
        return True

    # --- the home subnet --------------------------------------------------------------------------------

    def _found(self, step: Step, _: Found) -> None:
        self._home.found(step)

    def _begin(self, step: Step, command: Begin) -> None:
        try:
            self._home.take_genesis(step, command.genesis)
        except ProtocolError as error:
            raise CommandError(error.reason, error.detail) from None
        self._tend_mesh(step)

    def _join_subnet(self, step: Step, command: JoinSubnet) -> None:
        self._home.join(step, command.invitation, max(step.now, self._device))

    def _invite(self, step: Step, command: MakeInvitation) -> None:
        self._home.invite(step, self.descriptor.addresses, command.expires_at)

    def _leave_subnet(self, step: Step, _: LeaveSubnet) -> None:
        self._home.leave(step)
        self._tend_mesh(step)

    def _send_signal(self, step: Step, command: SendSignal) -> None:
        self._home.signal(step, command.recipient, command.body)

    def _run_slot(self, step: Step, _: bytes) -> None:
        record = self._home.record
        self._home.run_slot(step)
        if self._home.record is not record:
            self._tend_mesh(step)

    def _show_presence(self, step: Step, _: bytes) -> None:
        self._home.show_presence(step)

    def _ask_again(self, step: Step, _: bytes) -> None:
        self._home.ask_again(step)
        self._tend_mesh(step)

    def _invitation_expires(self, step: Step, token: bytes) -> None:
        self._home.admission.expire(step, token)

    def _look_at_mesh(self, step: Step, _: bytes) -> None:
        self._tend_mesh(step)

    def _tend_mesh(self, step: Step) -> None:
        """Hold links to the members that the mesh names (TOM-ROLES-112); look again after a slot."""
        roles = self._home.roles
        self._store_members(step, frozenset() if roles is None else roles.members | self._home.forks.lineage)
        if roles is None:
            return
        for peer in (*roles.mesh(self.node_id), *self._substitutes(roles)):
            self._reach(step, peer)
        for peer in self._home.forks.lost(step):
            self._reach(step, peer)
        self._home.forks.look(step)
        self._neighbours.tidy(step, roles.meshed(self.node_id))
        self._timers.set(Timer.MESH, b"", step.now + max(_MESH_PAUSE, roles.record.slot_ms))

    def _substitutes(self, roles: Roles) -> tuple[bytes, ...]:
        """Whom to link to for those of the mesh that can't be reached, as many as lack (TOM-ROLES-135)."""
        mesh = roles.mesh(self.node_id)
        lacking = len(mesh) - len(roles.members.intersection(self._neighbours.linked()))
        known = [
            node
            for node in roles.ring
            if node not in {*mesh, self.node_id}
            and self._neighbours.link_to(node) is None
            and self._can_dial(node)
        ]
        if lacking <= 0 or not known or self.node_id not in roles.members:
            return ()
        # Others each time: who is gone would be tried for ever.
        self._substitute += lacking
        return tuple(known[(self._substitute + number) % len(known)] for number in range(lacking))

    def _can_dial(self, node: bytes) -> bool:
        """Whether an address of a node is known."""
        descriptor = self._directory.get(node)
        return self._neighbours.knows(node) or (descriptor is not None and bool(descriptor.addresses))

    def _store_members(self, step: Step, members: frozenset[bytes]) -> None:
        """Keep members' addresses on disk: if all restart at once, they find each other (TOM-ROLES-132)."""
        for gone in sorted(self._stored_members.keys() - members):
            del self._stored_members[gone]
            step.erase(Table.MEMBER, gone)
        for member in sorted(members - {self.node_id}):
            descriptor = self._directory.get(member)
            if descriptor is not None and self._stored_members.get(member) != descriptor:
                self._stored_members[member] = descriptor
                step.put(Table.MEMBER, member, codec.encode_descriptor(descriptor))

    def _reach(self, step: Step, peer: bytes) -> None:
        """Dial a peer that is not linked, or ask for its descriptor."""
        if self._neighbours.link_to(peer) is not None or peer == self.node_id:
            return
        descriptor = self._directory.get(peer)
        if descriptor is None:
            self._look_up(step, peer)
        # Without a descriptor, at the addresses that the application named.
        self._neighbours.dial(step, peer, descriptor.addresses if descriptor else ())

    # --- conversation subnets -----------------------------------------------------------------------------

    def _on_signal(self, step: Step, frame: Signal, previous: tuple[bytes, int], data: bytes) -> None:
        """The frame of a conversation between two without a link comes in a signal (TOM-ROLES-151)."""
        peer = previous[0]
        if frame.recipient != self.node_id or frame.body[:1] not in _CONVERSING:
            self._home.on_frame(step, peer, frame, data)
            return
        try:
            inner = codec.decode_frame(frame.body)
        except ProtocolError as error:
            step.report(Event.REFUSED, peer, None, str(error))
            return
        self._frames[type(inner)](self, step, inner, previous, frame.body)

    def _on_conversation(
        self, step: Step, frame: Conversation, previous: tuple[bytes, int], _: bytes
    ) -> None:
        try:
            answer = self._subnets.on_conversation(step, frame, self._home.record, self._home.forks.served)
        except ProtocolError as error:
            step.report(Event.REFUSED, previous[0], None, str(error))
            return
        if answer is not None:
            self._to_others(step, answer.participants, codec.encode_frame(answer))

    def _on_conversation_end(
        self, step: Step, frame: ConversationEnd, previous: tuple[bytes, int], data: bytes
    ) -> None:
        if self._sending.waits_in(frame.conversation):
            return  # It ends when what this node sent in it has arrived (TOM-ROLES-160).
        try:
            told = self._subnets.on_end(step, frame)
        except ProtocolError as error:
            step.report(Event.REFUSED, previous[0], None, str(error))
            return
        for peer in told:
            self._send_to(step, peer, data)

    def _to_others(self, step: Step, participants: tuple[bytes, ...], data: bytes) -> None:
        for peer in participants:
            if peer != self.node_id and not self._send_to(step, peer, data):
                with contextlib.suppress(CommandError):  # It is offered again later.
                    self._home.signal(step, peer, data)

    def _talked(self, step: Step, peer: bytes, subnet: bytes, *, sent: bool) -> None:
        """A message went to or came from a peer: it may need a subnet of its own (TOM-ROLES-156)."""
        self._subnets.touch(step, subnet)
        offer = self._subnets.went(peer, step.now, self._home.record, sent=sent)
        if offer is not None:
            self._to_others(step, offer.participants, codec.encode_frame(offer))

    def _conversation_idle(self, step: Step, subnet: bytes) -> None:
        if self._sending.waits_in(subnet):
            self._subnets.touch(step, subnet)
            return
        end, told = self._subnets.idle(step, subnet)
        if end is not None:
            for peer in told:
                self._send_to(step, peer, codec.encode_frame(end))

    def _show_conversation(
        self, step: Step, subnet: bytes, ways: list[tuple[bytes, int]]
    ) -> list[tuple[bytes, int]]:
        """Show whoever may be handed a message of a conversation subnet its record first (TOM-ROLES-159)."""
        if not self._subnets.known(subnet):
            return ways
        for peer, link in ways[:_SHOWN]:
            frame = self._subnets.untold(subnet, peer)
            if frame is not None:
                step.send(link, frame)
        return ways[:_SHOWN]

    def _place(self, recipient: bytes, now: int) -> tuple[bytes, int]:
        """Subnet and term of a new header (TOM-DELIVERY-004)."""
        record = self._home.record
        if record is None:
            return self._subnet, 0
        return self._subnets.place(recipient, now, record.subnet) or (record.subnet, record.term)

    def _carriers(self, roles: Roles, header: Header) -> tuple[bytes, ...]:
        """Who carries a message: the relays of its conversation subnet first, then who has the duty."""
        duty = roles.duty(header.sender, header.recipient)
        if not self._subnets.known(header.subnet):
            return duty
        ends = {header.sender, header.recipient}
        drafted = tuple(node for node in roles.conversation_relays(header.subnet) if node not in ends)
        return drafted + tuple(node for node in duty if node not in drafted)

    def _ways(self, pending: Pending) -> list[tuple[bytes, int]]:
        """Whom a sender hands a message to: by duty, then any other member (TOM-ROLES-081)."""
        roles, recipient, route = self._home.roles, pending.recipient, pending.route
        if roles is None:
            return self._neighbours.ways(recipient, route)
        assert pending.header is not None, "only what is encrypted is handed over"
        duty = self._carriers(roles, pending.header)
        others = [peer for peer in self._neighbours.linked() if peer not in duty and peer in roles.members]
        return self._neighbours.open_ways(in_order([*duty, *others], recipient, route))

    def _onward(self, header: Header, visited: tuple[bytes, ...]) -> list[bytes]:
        """Whom a relay hands a message to: the recipient, else the next on duty, once (TOM-DELIVERY-040)."""
        roles = self._home.roles_of(header) or self._home.roles
        if roles is None:
            return in_order(self._neighbours.relays, header.recipient, Route.DIRECT_FIRST)
        order = [header.recipient]
        if len(visited) <= _RELAYS_BEFORE:
            # The mesh says who should have a link to the recipient (TOM-ROLES-133).
            meshed = roles.meshed(header.recipient)
            rest = [node for node in self._carriers(roles, header) if node != self.node_id]
            order += sorted(rest, key=lambda node: node not in meshed)
        return order

    # --- own messages ---------------------------------------------------------------------------------

    def _send_message(self, step: Step, command: SendMessage) -> None:
        if self._custody.full:
            raise CommandError(Reason.OVERLOADED, "too many receipts are kept")
        if self._early is not None:
            self._sending.add(step, command, UNDATED)
            self._seeks = 0
            self._timers.set(Timer.HAND_OVER, b"", step.now)
            return
        pending = self._sending.add(step, command, step.now)
        self._seal(step, pending)
        self._attempt(step, pending)

    def _acknowledge(self, step: Step, command: Acknowledge) -> None:
        if not self._receiving.acknowledge(step, command.message_id):
            raise CommandError(Reason.BAD_VALUE, "no such message waits for an acknowledgement")

    def _taken(self, step: Step, command: Taken) -> None:
        if not self._sending.taken(step, command.handle):
            raise CommandError(Reason.BAD_VALUE, "no final state of this message waits to be taken")

    def _seal(self, step: Step, pending: Pending) -> bool:
        """Encrypt and sign an own message once, as soon as a session or a valid descriptor allows."""
        if pending.header is not None:
            return True
        subnet, term = self._place(pending.recipient, step.now)
        header = Header(
            Kind.MESSAGE,
            subnet,
            term,
            self.node_id,
            pending.recipient,
            pending.created_at,
            pending.ttl,
            constants.MAX_HOPS,
            (),
            0,
            bytes(32),
        )
        descriptor = self._directory.get(pending.recipient)
        try:
            payload = self._conversations.seal(
                step, pending.recipient, descriptor, pending.content, codec.encode_header_prefix(header)
            )
        except ProtocolError:
            self._look_up(step, pending.recipient)
            return False
        signed = evolve(header, payload_length=len(payload), payload_hash=sha256(payload))
        self._sending.sealed(step, pending, signed, payload)
        return True

    def _look_up(self, step: Step, node_id: bytes, among: frozenset[bytes] | None = None) -> None:
        linked = self._neighbours.linked() if among is None else sorted(among)
        if linked and self._directory.may_ask(node_id, step.now):
            query = codec.encode_frame(DescriptorQuery(node_id))
            for peer in linked:
                self._send_to(step, peer, query)

    def _seal_for(self, step: Step, recipient: bytes) -> None:
        for pending in self._sending.unsealed_for(recipient, step.now):
            self._seal(step, pending)

    def _attempt(self, step: Step, pending: Pending) -> None:
        pending.hop = None
        if not self._seal(step, pending):
            self._sending.retry_later(step, pending)
            if not self._neighbours.linked():
                self._dial_for(step, pending)
            return
        assert pending.header is not None, "it was sealed"
        ways = self._ways_for(step, pending)
        # Those of this round first, so that those it shows the record to are those that get the message.
        fresh = [way for way in ways if way[0] not in pending.tried]
        ways = self._show_conversation(step, pending.header.subnet, fresh or ways)
        relayed = any(peer != pending.recipient for peer, _ in ways)
        if relayed and not self._sending.work(step, pending, self._home.own_work()):
            return
        self._subnets.touch(step, pending.header.subnet)
        if not self._sending.attempt(step, pending, ways):
            self._dial_for(step, pending)
            self._deposit(step, pending)

    def _deposit(self, step: Step, pending: Pending) -> None:
        """The recipient can't be reached: ask the best ranks to keep the message (TOM-PURGE-016)."""
        roles, header, message = self._home.roles, pending.header, pending.message
        if roles is None or header is None or message is None or step.now >= pending.expires_at:
            return
        if self._subnets.known(header.subnet):
            return  # Whoever kept it might not know the subnet any more (TOM-ROLES-162).
        keeping = [peer for peer in pending.custodians if not self._custody.silent(peer, step.now)]
        missing = roles.record.custody - len({*keeping, *pending.asked, *pending.deposited})
        ranks = (self._home.roles_of(header) or roles).duty(self.node_id, pending.recipient)
        for peer in (*ranks, *roles.duty(self.node_id, pending.recipient)):
            done = {*pending.custodians, *pending.asked, *pending.deposited, *pending.declined}
            if missing > 0 and peer not in done and self._custody.ask(step, message, peer):
                pending.asked.add(peer)
                missing -= 1

    def _ways_for(self, step: Step, pending: Pending) -> list[tuple[bytes, int]]:
        """Where an own message may go: not where it is kept; to its recipient alone once enough keep it.

        Enough are as many as the present record says, without those out of reach for long (TOM-PURGE-016,
        019).
        """
        ways = self._ways(pending)
        roles = self._home.roles
        if roles is None or not pending.custodians:
            return ways
        answering = [peer for peer in pending.custodians if not self._custody.silent(peer, step.now)]
        if len(answering) >= roles.record.custody:
            return [way for way in ways if way[0] == pending.recipient]
        return [way for way in ways if way[0] not in pending.custodians]

    def _dial_for(self, step: Step, pending: Pending) -> None:
        """No way is open: try to open one."""
        roles = self._home.roles
        if roles is not None:
            for peer in roles.on_duty(self.node_id, pending.recipient):
                self._reach(step, peer)
        for relay in self._neighbours.relays:
            self._neighbours.dial(step, relay)
        self._reach(step, pending.recipient)

    def _try_waiting(self, step: Step, _: bytes = b"") -> None:
        """Try own messages that nobody has, oldest first; what a link might not take waits."""
        if self._early is not None:
            self._seek_time(step)
            return
        handed = 0
        for pending in self._sending.waiting(step.now):
            if handed >= constants.HAND_OVER_BURST:
                self._timers.set(Timer.HAND_OVER, b"", step.now + 1)
                return
            self._attempt(step, pending)
            if pending.hop is not None:
                handed += len(pending.content)

    def _seek_time(self, step: Step) -> None:
        """Dial for own messages that wait for the time, again and again: a link brings it."""
        waiting = self._sending.all()
        for pending in waiting:
            self._dial_for(step, pending)
        if waiting:
            pause = min(constants.RETRY_FIRST << min(self._seeks, 16), constants.RETRY_MAX)
            self._seeks += 1
            self._timers.set(Timer.HAND_OVER, b"", step.now + pause)

    def _retry(self, step: Step, handle: int) -> None:
        pending = self._sending.get(handle)
        if pending.hop is not None:
            step.report(Event.REROUTED, pending.hop, pending.message, "no receipt in time")
        for answers in (pending.asked, pending.deposited, pending.declined):
            answers.clear()
        self._attempt(step, pending)
        self._deposit(step, pending)

    # --- frames ---------------------------------------------------------------------------------------

    def _frame_received(self, step: Step, what: FrameReceived) -> None:
        peer = self._neighbours.peer_of(what.link)
        if peer is None:
            return
        gossip = what.data[:1] in _GOSSIP
        if not gossip or self._home.roles is None or peer not in self._home.roles.members:
            # What members pass on to all comes over other links as well: it is no use of this one.
            self._neighbours.touch(peer, step.now)
        if gossip and self._home.has_heard(what.data):
            return
        try:
            frame = codec.decode_frame(what.data)
        except ProtocolError as error:
            step.report(Event.REFUSED, peer, None, str(error))
            step.emit(CloseLink(what.link, error.reason.value))
            return
        handle = self._frames.get(type(frame))
        if handle is not None:
            handle(self, step, frame, (peer, what.link), what.data)
            return
        record = self._home.record
        self._home.on_frame(step, peer, frame, what.data)
        if self._home.record is not record:
            self._tend_mesh(step)

    def _on_envelope(self, step: Step, frame: Envelope, previous: tuple[bytes, int], _: bytes) -> None:
        message = message_id(frame.header_bytes)
        try:
            receipt = self._receiving.known_receipt(message) or self._custody.known_receipt(message)
            if receipt is not None:
                step.send(previous[1], receipt)
                step.report(Event.DUPLICATE_ANSWERED, previous[0], message)
                return
            header = frame.header
            served = self._home.serves(header.subnet) or self._subnets.serves(
                header.subnet, header.sender, header.recipient
            )
            subnet = frame.header.subnet if served else self._subnet
            check_envelope(frame, self.node_id, previous[0], subnet, step.now, self._timing.eps)
            step.report(Event.RECEIVED, previous[0], message, f"stamps verified: {len(frame.trail)}")
            if frame.header.recipient == self.node_id:
                self._receive(step, message, frame, previous)
            else:
                self._forward(step, message, frame, previous)
        except ProtocolError as error:
            step.send(previous[1], codec.encode_frame(Refusal(message, error.reason.value)))
            step.report(Event.REFUSED, previous[0], message, str(error))

    def _receive(self, step: Step, message: bytes, frame: Envelope, previous: tuple[bytes, int]) -> None:
        header = frame.header
        self._receiving.check_room(header)
        content = self._conversations.open(
            step,
            header.sender,
            self._directory.get(header.sender),
            self._keyring.prekeys(),
            frame.payload,
            prefix=codec.encode_header_prefix(header),
            sent_at=header.created_at,
        )
        receipt = self._receiving.accept(step, message, header, content, previous)
        self._talked(step, header.sender, header.subnet, sent=False)
        self._home.delivered(header, frame.header_bytes, frame.signature, receipt)
        if receipt.relay != NO_NODE:
            self._judge_route(step, message, header, receipt.relay)
            self._send_to(step, header.sender, codec.encode_frame(receipt))

    def _judge_route(self, step: Step, message: bytes, header: Header, relay: bytes) -> None:
        """A wrong route costs the credit and is said, never the delivery (TOM-ROLES-082, 083)."""
        fault = None if self._subnets.known(header.subnet) else self._home.route_fault(header, relay)
        if fault is not None:
            step.report(Event.NO_CREDIT, relay, message, fault.value)

    def _forward(self, step: Step, message: bytes, frame: Envelope, previous: tuple[bytes, int]) -> None:
        header = frame.header
        self._judge_route(step, message, header, self.node_id)
        visited = (header.sender, *(stamp.next_hop for stamp in frame.trail))
        if work_done(message, frame.work_nonce) < self._home.work_asked(header.sender):
            raise ProtocolError(Reason.BAD_WORK, "the sender is in debt")
        guest_term = self._home.guest_term(header.subnet, previous[0])
        if guest_term is not None and not (self._relaying.carries(message) or self._custody.holds(message)):
            self._guests.carry(guest_term, previous[0], len(frame.header_bytes) + len(frame.payload))
        if not self._subnets.known(header.subnet) and self._keeps(message, header, previous[0]):
            roles = self._home.roles_of(header)
            named = () if roles is None else first_ranks(roles, header)
            self._custody.take(step, message, frame, previous[0], named)
            return
        self._subnets.touch(step, header.subnet)
        order = self._onward(header, visited)
        ways = self._show_conversation(step, header.subnet, self._neighbours.open_ways(order, visited))
        if self._home.roles is not None and self._neighbours.link_to(header.recipient) is None:
            self._reach(step, header.recipient)
        queues = [ways[0][0]] if ways else self._neighbours.busy_ways(order, visited)[:1]
        if not queues or (ways and not self._congestion.waits_for(queues[0])):
            self._relaying.forward(step, message, frame, previous, ways)
            return
        self._relaying.check(message, frame)
        for refused in self._congestion.wait(step, queues[0], Waiting(message, frame, previous)):
            self._refuse(
                step, refused.message, refused.previous, ProtocolError(Reason.OVERLOADED, "too much waits")
            )

    def _keeps(self, message: bytes, header: Header, previous: bytes) -> bool:
        """Whether a message is for custody here: no way, and asked about before (TOM-PURGE-014)."""
        if self._neighbours.link_to(header.recipient) is not None:
            return False
        roles = self._home.roles_of(header) or self._home.roles
        if self._custody.holds(message) or roles is None:
            return roles is not None
        ranks = roles.duty(header.sender, header.recipient)
        return self._custody.expects(message, previous) and self.node_id in ranks

    def _drain(self, step: Step, peer: bytes) -> None:
        """Hand over what waits for a link, in turns, while the link takes more (TOM-BALANCE-014)."""
        ways = self._neighbours.open_ways((peer,))
        if not ways:
            return
        for waiting in self._congestion.drain(step, peer):
            source, link = waiting.previous
            previous = (source, self._neighbours.link_to(source) or link)
            try:
                header = waiting.envelope.header
                check_header(header, header.subnet, step.now, self._timing.eps)
                self._relaying.forward(step, waiting.message, waiting.envelope, previous, ways)
            except ProtocolError as error:
                self._refuse(step, waiting.message, previous, error)

    def _refuse(self, step: Step, message: bytes, previous: tuple[bytes, int], error: ProtocolError) -> None:
        self._send_to(step, previous[0], codec.encode_frame(Refusal(message, error.reason.value)))
        step.report(Event.REFUSED, previous[0], message, str(error))

    def _on_receipt(self, step: Step, frame: Receipt, previous: tuple[bytes, int], data: bytes) -> None:
        try:
            delivered = self._sending.receipt(step, frame)
            if delivered is not None:
                pending, header = delivered
                self._talked(step, header.recipient, header.subnet, sent=True)
                self._home.pulse.ended(step.now - pending.created_at, rerouted=pending.attempts > 1)
                self._home.delivered(header, pending.header_bytes, pending.signature, frame)
                if frame.relay != NO_NODE:
                    self._judge_route(step, frame.message_id, header, frame.relay)
                self._custody.bury(step, header, data, pending.custodians, pending.handle)
                return
            kept = self._custody.receipt(step, frame, data)
            if kept is not None:
                self._home.delivered(kept.header, kept.header_bytes, kept.signature, frame)
            back = self._relaying.receipt(step, frame, data)
            if back is not None and self._send_to(step, *back):
                self._relaying.forget(frame.message_id)
        except ProtocolError as error:
            step.report(Event.REFUSED, previous[0], frame.message_id, str(error))

    def _on_trail_report(
        self, step: Step, frame: TrailReport, previous: tuple[bytes, int], data: bytes
    ) -> None:
        try:
            pending = self._sending.by_message(frame.message_id)
            before = () if pending is None else pending.custodians
            if self._sending.trail_report(step, previous[0], frame):
                if pending is not None and pending.custodians != before:
                    self._deposit(step, pending)
                return
            back = self._relaying.back(previous[0], frame.message_id) or self._custody.acknowledged(
                frame.message_id, previous[0]
            )
            if back is not None:
                self._send_to(step, back, data)
        except ProtocolError as error:
            step.report(Event.IGNORED, previous[0], frame.message_id, str(error))

    def _on_refusal(self, step: Step, frame: Refusal, previous: tuple[bytes, int], data: bytes) -> None:
        if frame.reason == Reason.WRONG_SUBNET.value:
            self._subnets.show_again(previous[0])
        deposit = self._sending.by_message(frame.message_id)
        if deposit is not None and previous[0] in deposit.deposited:
            deposit.deposited.discard(previous[0])
            deposit.declined.add(previous[0])
            self._deposit(step, deposit)
            return
        pending = self._sending.refused(frame.message_id, previous[0], step.now)
        if pending is not None:
            step.report(Event.REROUTED, previous[0], frame.message_id, frame.reason)
            if frame.reason in _SESSION_LOST:
                self._conversations.doubt(step, pending.recipient, pending.content)
            self._attempt_another_way(step, pending)
            return
        if frame.reason in _SESSION_LOST:
            kept = self._sending.by_message(frame.message_id)
            if kept is not None and previous[0] in kept.custodians:
                self._conversations.doubt(step, kept.recipient, kept.content)
        copy = self._custody.refused(step, frame.message_id, previous[0])
        if copy is not None and frame.reason in _SESSION_LOST:
            self._send_to(step, copy.deposited_by, data)
        back = self._relaying.back(previous[0], frame.message_id)
        if back is not None:
            self._relaying.forget(frame.message_id)
            self._send_to(step, back, data)

    def _attempt_another_way(self, step: Step, pending: Pending) -> None:
        """At once where a way of this round is left; else the retry timer begins the next round."""
        ways = self._ways_for(step, pending)
        if any(peer not in pending.tried for peer, _ in ways):
            self._attempt(step, pending)
        else:
            self._dial_for(step, pending)
            self._deposit(step, pending)

    # --- custody ----------------------------------------------------------------------------------------

    def _look_at_copy(self, step: Step, message: bytes) -> None:
        self._custody.look(step, message, self._home.roles)

    def _copy_expires(self, step: Step, message: bytes) -> None:
        self._custody.expire(step, message)

    def _tombstone_expires(self, step: Step, message: bytes) -> None:
        self._custody.forget(step, message)

    # --- who holds what ---------------------------------------------------------------------------------

    def _own_holding(self, message: bytes, peer: bytes) -> tuple[Holding, int] | None:
        """What this node has of a message as its end, or as a relay that ``peer`` may know of."""
        seen = self._receiving.known_until(message)
        if seen is not None:
            return Holding.RECEIPT, seen
        pending = self._sending.by_message(message)
        if pending is not None and (peer == pending.recipient or peer in (self.node_id, *pending.custodians)):
            return Holding.COPY, pending.expires_at
        passage = self._relaying.known_until(message, peer)
        return None if passage is None else (Holding.PASSAGE, passage)

    def _ask_holding(self, step: Step, command: AskHolding) -> None:
        if len(command.message_id) != constants.KEY_BYTES:
            raise CommandError(Reason.BAD_VALUE, "a message id has 32 bytes")
        if command.message_id not in self._questions and len(self._questions) >= _MAX_QUESTIONS:
            self._questions.pop(next(iter(self._questions)))
        self._questions[command.message_id] = None
        own = self._own_holding(command.message_id, self.node_id)
        holding, until = self._custody.holding(command.message_id, self.node_id, own)
        step.emit(Held(self.node_id, command.message_id, holding, until))
        query = codec.encode_frame(HoldingQuery(command.message_id))
        for peer in self._neighbours.linked():
            self._send_to(step, peer, query)

    def _on_holding_query(
        self, step: Step, frame: HoldingQuery, previous: tuple[bytes, int], _: bytes
    ) -> None:
        peer, link = previous
        receipt = self._receiving.known_receipt(frame.message_id)
        if receipt is not None:
            step.send(link, receipt)
        self._custody.answer(step, peer, link, frame.message_id, self._own_holding(frame.message_id, peer))

    def _on_holding_answer(
        self, step: Step, frame: HoldingAnswer, previous: tuple[bytes, int], _: bytes
    ) -> None:
        if frame.message_id in self._questions:
            step.emit(Held(previous[0], frame.message_id, frame.holding, frame.until))
        self._custody.answered(step, *previous, frame)
        pending = self._sending.by_message(frame.message_id)
        if pending is None or previous[0] not in pending.asked or step.now >= pending.expires_at:
            return
        pending.asked.discard(previous[0])
        if frame.holding is Holding.COPY:
            self._sending.kept_by(step, pending, previous[0])
        elif frame.holding is Holding.NOTHING:
            if self._sending.work(step, pending, self._home.own_work()):
                self._sending.deposit(step, pending, *previous)
        else:
            pending.declined.add(previous[0])
            self._deposit(step, pending)

    def _on_descriptor_query(
        self, step: Step, frame: DescriptorQuery, previous: tuple[bytes, int], _: bytes
    ) -> None:
        own = frame.node_id == self.node_id
        descriptor = self.descriptor if own else self._directory.get(frame.node_id)
        step.send(previous[1], codec.encode_frame(DescriptorAnswer(frame.node_id, descriptor)))
        roles = self._home.roles
        stale = descriptor is None or descriptor.prekey_until <= step.now
        if not own and stale and roles is not None and frame.node_id in roles.members:
            # Whom the mesh links to it should know; where there is none, somebody else may (TOM-ROLES-134).
            others = roles.members & {*self._neighbours.linked()} - {previous[0], frame.node_id}
            among = roles.meshed(frame.node_id) & others or others
            if among:
                self._directory.wait(frame.node_id, previous[0])
                self._look_up(step, frame.node_id, among)

    def _on_descriptor_answer(
        self, step: Step, frame: DescriptorAnswer, previous: tuple[bytes, int], _: bytes
    ) -> None:
        known = frame.node_id == previous[0] or self._directory.asked_for(frame.node_id)
        if frame.descriptor is None or not known:
            return
        try:
            self._directory.learn(frame.descriptor, step.now, self._neighbours.linked())
        except ProtocolError as error:
            step.report(Event.REFUSED, previous[0], None, str(error))
            return
        for asker in self._directory.waited_for(frame.node_id):
            self._send_to(step, asker, codec.encode_frame(frame))
        for pending in self._sending.unsealed_for(frame.node_id, step.now):
            self._attempt(step, pending)

    def _on_unknown(self, step: Step, frame: UnknownFrame, previous: tuple[bytes, int], _: bytes) -> None:
        """Ignored without an answer (TOM-WIRE-022)."""

    _handlers: Final[dict[type, Callable[[Any, Step, Any], None]]] = {
        Start: _start,
        Wake: _wake,
        LinkUp: _link_up,
        LinkDown: _link_down,
        LinkWritable: _link_writable,
        LinkCongested: _link_congested,
        ClockMeasured: _clock_measured,
        ClockSet: _clock_set,
        DialFailed: _dial_failed,
        FrameReceived: _frame_received,
        SendMessage: _send_message,
        Acknowledge: _acknowledge,
        AskHolding: _ask_holding,
        Taken: _taken,
        AddPeer: _add_peer,
        SetAddresses: _set_addresses,
        Found: _found,
        Begin: _begin,
        JoinSubnet: _join_subnet,
        MakeInvitation: _invite,
        LeaveSubnet: _leave_subnet,
        SendSignal: _send_signal,
    }
    _other_timers: Final[dict[Timer, Callable[[Any, Step, bytes], None]]] = {
        Timer.SLOT: _run_slot,
        Timer.HEARTBEAT: _show_presence,
        Timer.JOIN: _ask_again,
        Timer.INVITATION_EXPIRY: _invitation_expires,
        Timer.HAND_OVER: _try_waiting,
        Timer.MESH: _look_at_mesh,
        Timer.CUSTODY: _look_at_copy,
        Timer.CUSTODY_EXPIRY: _copy_expires,
        Timer.TOMBSTONE_EXPIRY: _tombstone_expires,
        Timer.CONVERSATION: _conversation_idle,
    }
    _frames: Final[dict[type, Callable[[Any, Step, Any, tuple[bytes, int], bytes], None]]] = {
        Envelope: _on_envelope,
        Receipt: _on_receipt,
        TrailReport: _on_trail_report,
        Refusal: _on_refusal,
        DescriptorQuery: _on_descriptor_query,
        DescriptorAnswer: _on_descriptor_answer,
        HoldingQuery: _on_holding_query,
        HoldingAnswer: _on_holding_answer,
        UnknownFrame: _on_unknown,
        Signal: _on_signal,
        Conversation: _on_conversation,
        ConversationEnd: _on_conversation_end,
    }


@frozen
class _NodeReach:
    """How custody speaks to other nodes."""

    neighbours: Neighbours
    dial: Callable[[Step, bytes], None]

    def tell(self, step: Step, peer: bytes, data: bytes) -> bool:
        link = self.neighbours.link_to(peer)
        if link is not None:
            step.send(link, data)
        return link is not None

    def linked_to(self, peer: bytes) -> bool:
        return self.neighbours.link_to(peer) is not None

    def seek(self, step: Step, peer: bytes) -> None:
        self.dial(step, peer)


@frozen
class _NodeOutlet:
    """How the home speaks to this node's neighbours."""

    neighbours: Neighbours
    directory: Directory
    keyring: Keyring

    def tell(self, step: Step, peer: bytes, data: bytes) -> bool:
        link = self.neighbours.link_to(peer)
        if link is None:
            return False
        step.send(link, data)
        return True

    def tell_all(self, step: Step, data: bytes, but: bytes | None) -> None:
        for peer in self.neighbours.linked():
            if peer != but:
                self.tell(step, peer, data)

    def linked(self) -> tuple[bytes, ...]:
        return self.neighbours.linked()

    def learn(self, step: Step, descriptor: Descriptor) -> None:
        with contextlib.suppress(ProtocolError):
            self.directory.learn(descriptor, step.now, self.neighbours.linked())

    def descriptor(self) -> Descriptor:
        return self.keyring.descriptor

    def reach(self, step: Step, peer: bytes, addresses: tuple[Address, ...]) -> None:
        self.neighbours.add(peer, addresses, relay=False)
        self.neighbours.dial(step, peer)


def subnet_id(name: str) -> bytes:
    """The 32-byte id of a configured subnet: SHA-256 of its name, domain-separated (TOM-DELIVERY-003)."""
    return sha256(labelled("ToM/1 subnet", name.encode("utf-8")))
