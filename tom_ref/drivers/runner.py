"""The event loop around one node: inputs in, steps, one commit for all of them, then their effects.

Theory of operation.  :meth:`Runner.feed` takes an input from anywhere (a link, a timer, the application) and
steps the node at once; the effects go into the group that is being *filled*.  One task takes a whole group,
writes all its changes in one transaction, and only then carries out the other effects in their order.  While
the disk is busy with one group, in a worker thread, the next one fills.  So the number of steps that share a
commit grows with the load by itself, and nothing leaves the node before what it depends on is on disk.

The commit runs in a thread: throughput is the same as without (both wait for the disk), but links, timers and
the next steps go on meanwhile, for the 4 ms of a small commit as for the 40 ms of one with megabytes.

A commit that fails stops the node for good (:class:`NodeStoppedError`): memory and disk must not drift apart.

Every queue is bounded: sources of inputs wait in :meth:`Runner.room` while a group is full.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import trio

from tom_ref.drivers.errors import NodeStoppedError, StoreError
from tom_ref.drivers.store import RecordStore
from tom_ref.effects import (
    CloseLink,
    Deliver,
    Dial,
    Drained,
    Effect,
    Held,
    Invited,
    Persist,
    Progress,
    Report,
    SendFrame,
    Signalled,
)
from tom_ref.inputs import ClockSet, Input, Start, Wake
from tom_ref.node import Node

_LOG: Final = logging.getLogger(__name__)

GROUP_BYTES: Final = 1_048_576
"""bytes: a group with this much to send is full.  Two groups and what a link holds before it says that it is
congested stay well below what a link takes at all."""

GROUP_EFFECTS: Final = 4_096
"""count: a group with this many effects is full."""

ERASE_AFTER: Final = 1.0
"""s: the last traces of what was erased leave the disk at most this long after the commit."""

LONGEST_SLEEP: Final = 5.0
"""s: the longest sleep without a look at the clock, which may have been set forward meanwhile."""

Trace: TypeAlias = Callable[[int, Input, tuple[Effect, ...]], None]
"""Called after every step with its time, input and effects, before anything is written or sent."""


class Clock(Protocol):
    """Milliseconds since the epoch that never go back."""

    def now(self) -> int:
        """The time in ms."""
        ...

    def take_step(self) -> int:
        """By how many ms somebody set the clock since this was asked last; 0 where nobody can tell."""
        ...


class Channel(Protocol):
    """An open link to a peer, whatever carries it.  Neither method waits."""

    def send(self, frame: bytes) -> None:
        """Queue a frame."""
        ...

    def close(self, reason: str) -> None:
        """End the link, telling the peer why."""
        ...


class Application(Protocol):
    """Where a node's effects for its own application go.  No method waits."""

    def delivered(self, what: Deliver) -> None:
        """A message for the application."""
        ...

    def progressed(self, what: Progress) -> None:
        """An own message reached a state."""
        ...

    def reported(self, what: Report) -> None:
        """Something happened."""
        ...

    def drained(self) -> None:
        """There is room for messages again."""
        ...

    def invited(self, what: Invited) -> None:
        """An invitation that was asked for."""
        ...

    def held(self, what: Held) -> None:
        """What a node says that it still has of a message."""
        ...


class _Group:
    """Steps that are committed together."""

    def __init__(self) -> None:
        self.persists: list[Persist] = []
        self.effects: list[Effect] = []
        self.bytes = 0
        self.latest = 0
        self.carried_out = trio.Event()

    @property
    def empty(self) -> bool:
        return not self.persists and not self.effects

    @property
    def full(self) -> bool:
        return self.bytes >= GROUP_BYTES or len(self.effects) >= GROUP_EFFECTS

    def add(self, effects: tuple[Effect, ...], now: int) -> None:
        for effect in effects:
            if isinstance(effect, Persist):
                self.persists.append(effect)
            else:
                self.effects.append(effect)
                if isinstance(effect, SendFrame):
                    self.bytes += len(effect.data)
        self.latest = now


class Runner:
    """Runs ``node`` on ``store`` and ``clock``; ``dial`` begins to make a link, without waiting for it.

    Feed it from one trio run only.  :meth:`run` must be running for anything to be carried out.
    """

    def __init__(
        self,
        node: Node,
        store: RecordStore,
        clock: Clock,
        application: Application,
        *,
        dial: Callable[[Dial], None],
        trace: Trace | None = None,
    ) -> None:
        self.node = node
        self._store = store
        self._clock = clock
        self._application = application
        self._dial = dial
        self._trace = trace
        self._links: dict[int, Channel] = {}
        self._next_link = 1
        self._filling = _Group()
        self._committing: _Group | None = None
        self._work = trio.Event()
        self._taken = trio.Event()
        self._alarm = trio.Event()
        self._alarm_at: int | None = None
        self._failure: BaseException | None = None
        self._stopped = False

    # --- inputs ---------------------------------------------------------------------------------------

    def now(self) -> int:
        """The node's time in ms."""
        return self._clock.now()

    def feed(self, what: Input) -> None:
        """Step the node; the effects follow as soon as they are safe.

        Raises ``CommandError`` for a command that can't be carried out, with nothing changed, and
        :class:`NodeStoppedError` once the node has stopped.
        """
        if self._stopped:
            raise self._stop_error()
        now = self._clock.now()
        by = self._clock.take_step()
        if by:
            self._step(ClockSet(by), now)
        self._step(what, now)
        deadline = self.node.next_deadline()
        if deadline is not None and (self._alarm_at is None or deadline < self._alarm_at):
            self._alarm.set()

    def _step(self, what: Input, now: int) -> None:
        effects = self.node.step(what, now)
        if self._trace is not None:
            self._trace(now, what, effects)
        if effects:
            self._filling.add(effects, now)
            self._work.set()

    async def room(self) -> None:
        """Wait while a full group waits for the disk; sources of inputs that can wait come here first."""
        while self._filling.full and not self._stopped:
            await self._taken.wait()

    async def carried_out(self) -> None:
        """Wait until everything fed so far is on disk and its effects are carried out.

        Raises :class:`NodeStoppedError` if that can't happen any more.
        """
        group = self._committing if self._filling.empty else self._filling
        if self._stopped:
            raise self._stop_error()
        if group is None:
            await trio.lowlevel.checkpoint()
            return
        await group.carried_out.wait()
        if self._stopped:
            raise self._stop_error()

    async def sleep_towards(self, deadline: int) -> None:
        """Sleep until a time in ms of the node's clock, or a while of the way to it."""
        await trio.sleep(min(max(0, deadline - self._clock.now()) / 1000, LONGEST_SLEEP))

    # --- links ----------------------------------------------------------------------------------------

    def attach(self, channel: Channel) -> int:
        """Give an open link its number; ``LinkUp`` is fed by the caller."""
        number = self._next_link
        self._next_link += 1
        self._links[number] = channel
        return number

    def detach(self, number: int) -> None:
        """Forget a link; ``LinkDown`` is fed by the caller."""
        self._links.pop(number, None)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All open links."""
        return tuple(self._links.values())

    # --- running --------------------------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        """Whether the node takes no inputs any more."""
        return self._stopped

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the node and run it until cancelled; raises :class:`NodeStoppedError` when it can't go on."""
        try:
            async with trio.open_nursery() as nursery:
                self.feed(Start())
                nursery.start_soon(self._keep_time)
                nursery.start_soon(self._commit_groups)
                task_status.started()
        finally:
            self._stop()

    def _stop(self) -> None:
        self._stopped = True
        self._filling.carried_out.set()
        if self._committing is not None:
            self._committing.carried_out.set()
        self._taken.set()

    def _stop_error(self) -> NodeStoppedError:
        error = NodeStoppedError(
            "The node doesn't run any more."
            if self._failure is None
            else f"The node stopped, because it can't keep its records: {self._failure}"
        )
        error.__cause__ = self._failure
        return error

    async def _keep_time(self) -> None:
        while True:
            self._alarm = trio.Event()
            self._alarm_at = self.node.next_deadline()
            if self._alarm_at is None:
                await self._alarm.wait()
                continue
            with trio.move_on_after(LONGEST_SLEEP):
                left = max(0, self._alarm_at - self._clock.now()) / 1000
                with trio.move_on_after(left):
                    await self._alarm.wait()
            if self._clock.now() >= self._alarm_at:
                await self.room()
                self.feed(Wake())

    async def _commit_groups(self) -> None:
        try:
            await self._commit_for_ever()
        except StoreError as error:
            self._failure = error
            raise self._stop_error() from error

    async def _commit_for_ever(self) -> None:
        erase_at = float("inf")
        while True:
            with trio.move_on_at(erase_at):
                await self._work.wait()
            if not self._filling.empty:
                group = self._take_group()
                if group.persists:
                    await trio.to_thread.run_sync(self._store.apply, group.persists, group.latest)
                    erase_at = min(erase_at, trio.current_time() + ERASE_AFTER)
                for effect in group.effects:
                    self._carry_out(effect)
                self._committing = None
                group.carried_out.set()
                await trio.lowlevel.checkpoint()
            if trio.current_time() >= erase_at:
                erase_at = float("inf")
                await trio.to_thread.run_sync(self._store.checkpoint)

    def _take_group(self) -> _Group:
        group = self._committing = self._filling
        self._filling = _Group()
        self._work = trio.Event()
        self._taken.set()
        self._taken = trio.Event()
        return group

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendFrame():
                channel = self._links.get(effect.link)
                if channel is not None:
                    channel.send(effect.data)
            case CloseLink():
                channel = self._links.get(effect.link)
                if channel is not None:
                    channel.close(effect.reason)
            case Dial():
                self._dial(effect)
            case Deliver():
                self._application.delivered(effect)
            case Progress():
                self._application.progressed(effect)
            case Report():
                _LOG.debug("%s %s %s", effect.event.value, effect.peer.hex()[:12], effect.detail)
                self._application.reported(effect)
            case Drained():
                self._application.drained()
            case Invited():
                self._application.invited(effect)
            case Signalled():
                _LOG.debug("signal of %s: no transport here asks for any", effect.sender.hex()[:12])
            case Held():
                self._application.held(effect)
            case Persist():
                raise AssertionError("changes are written before")
