"""Many nodes killed at once, as real processes on the loopback: what becomes of the others' messages.

    python -m tests.chaos --nodes 16 --lost 30 --seed 1

Each node is ``tom node`` or ``tom join`` in a process of its own, with its own files in a temporary folder
and a port that the system picks; they form one subnet from one invitation.  Random pairs write to each other.
In the middle of that a share of the processes is killed (SIGKILL: nothing is said, nothing saved), and the
others go on.  Every message between two survivors must be shown to its recipient, as new once.  Prints what
happened as a table; the exit code is 1 when a message was lost or doubled, with the command that does it
again.  The draws repeat with the seed, the order of what the processes do does not.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import trio
from attrs import define, field, frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.cli_process import COMMAND, environment
from tom_ref.drivers import control
from tom_ref.errors import LocalError
from tom_sim.resilience import NORMAL_WITHIN

STARTED_WITHIN: Final = 60.0
"""s: a process that was started must listen by then."""

FORMED_WITHIN: Final = 300.0
"""s: by then all must be members."""

SETTLED_WITHIN: Final = 60.0
"""s: after the last message was written, everything must have arrived by then."""

ENDED_WITHIN: Final = 10.0
"""s: a process that is told to end is given so long before it is killed."""

AT_ONCE: Final = 4
"""count: the most processes that start at the same time."""

_CHUNK: Final = 65_536


@frozen
class Plan:
    """What a run does; the same seed draws the same pairs and the same losses."""

    seed: int = 1
    nodes: int = 16
    lost: int = 30
    """percent of the nodes"""
    before: int = 40
    """Messages before the loss."""
    after: int = 160
    """Messages between survivors after it."""
    pause: int = 250
    """ms: from one message to the next."""
    slot: int = 1_000
    """ms: the length of a slot; sixteen processes on two cores need more than the 300 ms of ``--fast``."""

    @property
    def kills(self) -> int:
        """How many nodes are killed: at least one, and two are left."""
        return min(max(1, round(self.nodes * self.lost / 100)), self.nodes - 2)

    def command(self) -> str:
        """The command that does it again."""
        return (
            f"python -m tests.chaos --nodes {self.nodes} --lost {self.lost} --seed {self.seed}"
            f" --before {self.before} --after {self.after} --pause {self.pause} --slot {self.slot}"
        )


class ChaosError(Exception):
    """The run came to no result: something did not start or form in time; the text says what."""


@define(eq=False)
class Member:
    """One node: a process and its files."""

    number: int
    path: Path
    process: trio.Process | None = None
    id: str = ""
    lines: Counter[str] = field(factory=Counter)
    """How often each event was said."""
    sees: str = ""
    """What it said of its subnet last."""
    last: str = ""
    """The last line of its standard error."""

    @property
    def socket(self) -> Path:
        """Where the running node is steered."""
        return control.socket_path(self.path)


@define(eq=False)
class Written:
    """One message."""

    number: int
    sender: Member
    recipient: Member
    asked_at: float
    """s, of the run's clock."""
    after: bool
    """Whether it was written after the loss."""
    shown_at: float | None = None
    new: int = 0
    """How often it was shown as new."""
    ids: set[str] = field(factory=set)
    state: str = ""
    refusal: str = ""
    """Why the node did not take it."""

    @property
    def latency(self) -> float | None:
        """s: until it was shown."""
        return None if self.shown_at is None else self.shown_at - self.asked_at


def _leaves(errors: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    """The errors of nested groups."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


class Run:
    """A run: its processes, its messages, and what the processes say."""

    def __init__(self, folder: Path, plan: Plan, tell: Callable[[str, int, int], None]) -> None:
        self.plan: Final = plan
        self.tell: Final = tell
        """Takes what is being done, how much of it is done, and how much there is."""
        self.members: Final = [Member(number, folder / f"{number:02}.tom") for number in range(plan.nodes)]
        chance = random.Random(plan.seed)
        # The founder isn't spared: who made the subnet has no part in it that others haven't.
        self.victims: Final = chance.sample(self.members, plan.kills)
        self.survivors: Final = [member for member in self.members if member not in self.victims]
        self.written: Final[list[Written]] = []
        self.strange: Final[list[str]] = []
        """What was shown and nobody wrote."""
        self.killed_at: float | None = None
        self.formed_after = 0.0
        self.stuck = ""
        """Why the run came to no result; empty when it did."""
        self.ended_early: Final[set[int]] = set()
        self._chance: Final = chance
        self._changed = trio.Event()
        self._listening = 0

    # --- what happens -------------------------------------------------------------------------------------

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _until(self, holds: Callable[[], bool], within: float) -> bool:
        """Wait until something holds, no longer than so many seconds; whether it did."""
        with trio.move_on_after(within):
            while not holds():
                await self._changed.wait()
        return holds()

    async def _read(self, member: Member) -> None:
        """What a process says on its standard output, a JSON object a line."""
        assert member.process is not None
        assert member.process.stdout is not None
        rest = b""
        async for data in member.process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if said["event"] == "listening":
                    member.id = said["id"]
                member.lines[said["event"]] += 1
            self._note()
        self._note()

    async def _read_errors(self, member: Member) -> None:
        assert member.process is not None
        assert member.process.stderr is not None
        rest = b""
        async for data in member.process.stderr:
            rest = (rest + data)[-_CHUNK:]
        member.last = rest.decode("utf-8", "replace").strip()

    # --- processes ----------------------------------------------------------------------------------------

    async def _start(self, nursery: trio.Nursery, member: Member, *arguments: str) -> None:
        """Start ``tom node`` or ``tom join``, and wait until it listens."""
        member.process = await trio.lowlevel.open_process(
            [
                *COMMAND, *arguments, "--identity", str(member.path),
                "--listen", "127.0.0.1:0", "--fast", "--slot", str(self.plan.slot), "--json",
            ],
            stdout=PIPE,
            stderr=PIPE,
            env=environment(),
        )  # fmt: skip
        process = member.process
        nursery.start_soon(self._read, member)
        nursery.start_soon(self._read_errors, member)
        await self._until(lambda: bool(member.id) or process.poll() is not None, STARTED_WITHIN)
        if not member.id:
            raise ChaosError(f"node {member.number} doesn't listen: {member.last or 'no word from it'}")

    async def _end(self, member: Member) -> None:
        """End a process that this run started, politely and then not."""
        process = member.process
        if process is None:
            return
        if process.poll() is not None:
            self.ended_early.add(member.number)
            return
        process.terminate()
        with trio.move_on_after(ENDED_WITHIN):
            await process.wait()
        if process.poll() is None:
            process.kill()
            await process.wait()

    async def _end_all(self) -> None:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for member in self.members:
                    nursery.start_soon(self._end, member)
            for member in self.members:
                # Who was killed could not remove it.
                member.socket.unlink(missing_ok=True)

    async def _ask(self, member: Member, **what: object) -> dict[str, Any]:
        """One question to a running node."""
        async with (
            control.connect(member.socket) as stream,
            aclosing(control.ask(stream, **what)) as answers,
        ):
            async for answer in answers:
                return answer
        raise ChaosError(f"node {member.number} doesn't answer")

    async def _is_in(self, member: Member) -> bool:
        """Whether a node is in one subnet with all others."""
        status = (await self._ask(member, do="status"))["status"]
        listed = status.get("members", ())
        member.sees = f"term {status.get('term')}, {len(listed)} members, {len(status['links'])} links"
        return len(listed) == self.plan.nodes and all("validator" in one["roles"] for one in listed)

    # --- the run ------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """All of it; ``stuck`` says why when it came to no result."""
        async with trio.open_nursery() as nursery:
            try:
                await self._form(nursery)
                await self._write(nursery)
            except* (ChaosError, LocalError) as errors:
                self.stuck = "; ".join(map(str, _leaves(errors)))
            finally:
                await self._end_all()
            nursery.cancel_scope.cancel()

    async def _form(self, nursery: trio.Nursery) -> None:
        """Start all, and wait until each is a member that may hold roles."""
        began = trio.current_time()
        first, *others = self.members
        count = len(self.members)
        self.tell("nodes listen", 0, count)
        await self._start(nursery, first, "node")
        invitation = (await self._ask(first, do="invite"))["invitation"]
        limit = trio.CapacityLimiter(AT_ONCE)

        async def start(member: Member) -> None:
            async with limit:
                await self._start(nursery, member, "join", invitation)
                self.tell("nodes listen", sum(bool(one.id) for one in self.members), count)

        async with trio.open_nursery() as starting:
            for member in others:
                starting.start_soon(start, member)
        inside: set[int] = set()

        def has_more(member: Member, records: int) -> bool:
            return member.lines["record"] > records

        async def come_in(member: Member) -> None:
            # With each record that a node holds as present all may be members.
            seen = member.lines["record"]
            while not await self._is_in(member):
                await self._until(partial(has_more, member, seen), FORMED_WITHIN)
                seen = member.lines["record"]
            inside.add(member.number)
            self.tell("nodes are members", len(inside), count)

        with trio.move_on_after(FORMED_WITHIN):
            async with trio.open_nursery() as waiting:
                for member in self.members:
                    waiting.start_soon(come_in, member)
        if len(inside) < count:
            raise ChaosError(
                f"only {len(inside)} of {count} became members within {FORMED_WITHIN:.0f} s; "
                f"the first one sees: {first.sees}"
            )
        self.formed_after = trio.current_time() - began

    async def _write(self, nursery: trio.Nursery) -> None:
        """Messages, the loss, more messages, and the wait until everything has arrived."""
        plan = self.plan
        for member in self.members:
            nursery.start_soon(self._listen, member)
        await self._until(lambda: self._listening == plan.nodes, STARTED_WITHIN)
        total = plan.before + plan.after
        at = trio.current_time()
        for number in range(total):
            if number == plan.before:
                self._kill()
            among = self.members if self.killed_at is None else self.survivors
            sender, recipient = self._chance.sample(among, 2)
            message = Written(number, sender, recipient, trio.current_time(), self.killed_at is not None)
            self.written.append(message)
            nursery.start_soon(self._send, message)
            self.tell("messages are written", number + 1, total)
            at += plan.pause / 1_000
            await trio.sleep_until(at)
        await self._until(self._settled, SETTLED_WITHIN)

    def _kill(self) -> None:
        """Kill the victims, all at once."""
        for victim in self.victims:
            assert victim.process is not None
            victim.process.send_signal(signal.SIGKILL)
        self.killed_at = trio.current_time()

    def _settled(self) -> bool:
        """Whether everything between survivors was shown, and each sender has its receipt."""
        done = [message for message in self.judged() if message.shown_at and message.state == "delivered"]
        self.tell("messages have arrived", len(done), len(self.judged()))
        return len(done) == len(self.judged())

    async def _send(self, message: Written) -> None:
        """Hand a message to its sender's node, and wait for its final state."""
        try:
            async with (
                control.connect(message.sender.socket) as stream,
                aclosing(
                    control.ask(
                        stream,
                        do="send",
                        to=message.recipient.id,
                        content=str(message.number).encode().hex(),
                    )
                ) as answers,
            ):
                async for answer in answers:
                    message.state = answer.get("state", message.state)
        except (LocalError, OSError) as error:
            message.refusal = str(error)
        self._note()

    async def _listen(self, member: Member) -> None:
        """Take what arrives at a node, until it is gone."""
        try:
            async with (
                control.connect(member.socket) as stream,
                aclosing(control.ask(stream, do="receive")) as answers,
            ):
                self._listening += 1
                self._note()
                async for answer in answers:
                    self._shown(member, answer["message"])
                    await control.acknowledge(stream)
        except (LocalError, OSError):
            return

    def _shown(self, member: Member, what: dict[str, Any]) -> None:
        number = int(bytes.fromhex(what["content"]))
        message = self.written[number] if number < len(self.written) else None
        if message is None or message.recipient is not member or message.sender.id != what["sender"]:
            self.strange.append(f"node {member.number} was shown {what['content']} that nobody wrote to it")
            return
        message.ids.add(what["message_id"])
        message.new += not what["again"]
        if message.shown_at is None:
            message.shown_at = trio.current_time()
        self._note()

    # --- what came of it ----------------------------------------------------------------------------------

    def judged(self) -> list[Written]:
        """The messages between survivors, of before and after the loss."""
        alive = set(self.survivors)
        return [message for message in self.written if {message.sender, message.recipient} <= alive]

    def faults(self) -> list[str]:
        """What did not hold, in words."""
        found = list(self.strange)
        for message in self.judged():
            name = f"message {message.number} ({message.sender.number} to {message.recipient.number})"
            if message.shown_at is None:
                why = message.refusal or message.state or "its sender had no receipt"
                found.append(f"{name} was lost: {why}")
        found += [
            f"message {message.number} was shown as new {message.new} times, under {len(message.ids)} ids"
            for message in self.written
            if message.new > 1 or len(message.ids) > 1
        ]
        found += [
            f"node {member.number} ended by itself: {member.last}"
            for member in self.survivors
            if member.number in self.ended_early
        ]
        return found

    def normal_after(self) -> float | None:
        """s: from the loss until every later message came within ``NORMAL_WITHIN``; ``None`` if never."""
        assert self.killed_at is not None
        late = [
            message.asked_at
            for message in self.judged()
            if message.after and (message.latency is None or message.latency > NORMAL_WITHIN / 1_000)
        ]
        if not late:
            return 0.0
        on_time = [m.asked_at for m in self.judged() if m.after and m.asked_at > max(late)]
        return min(on_time) - self.killed_at if on_time else None


def table(run: Run) -> Table:
    """The figures of a run, for people."""
    found = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("between survivors", "written", "shown", "slowest", "doubled"):
        found.add_column(name, justify="left" if name == "between survivors" else "right")
    for name, after in (("before the loss", False), ("after the loss", True)):
        messages = [message for message in run.judged() if message.after is after]
        latencies = [message.latency for message in messages if message.latency is not None]
        found.add_row(
            name,
            str(len(messages)),
            str(len(latencies)),
            f"{max(latencies, default=0):.1f} s",
            str(sum(message.new > 1 for message in messages)),
        )
    return found


def report(run: Run, console: Console) -> int:
    """Print what came of a run; its exit code."""
    plan, normal = run.plan, run.normal_after()
    console.print(
        f"{plan.nodes} processes, members of one subnet after {run.formed_after:.0f} s; "
        f"{len(run.victims)} killed at once ({', '.join(str(one.number) for one in run.victims)})."
    )
    console.print(table(run))
    console.print(
        "Never normal again."
        if normal is None
        else f"Normal again after {normal:.1f} s: "
        f"every later message was shown within {NORMAL_WITHIN / 1_000:g} s."
    )
    faults = run.faults()
    for fault in faults:
        console.print(f"FAILED: {fault}", markup=False)
    console.print(f"To do it again: {plan.command()}", markup=False, soft_wrap=True)
    return 1 if faults else 0


@asynccontextmanager
async def interruptible(scope: trio.CancelScope) -> AsyncIterator[None]:
    """Ctrl-C and a polite end cancel the scope, so that no process is left behind."""

    async def wait(signals: AsyncIterator[int]) -> None:
        async for _ in signals:
            scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, signals)
            yield
            nursery.cancel_scope.cancel()


async def play(run: Run) -> bool:
    """Play a run; whether it was played to its end."""
    with trio.CancelScope() as scope:
        async with interruptible(scope):
            await run.play()
    return not scope.cancelled_caught


def parse(arguments: Sequence[str]) -> Plan:
    """The command's options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Kill many nodes at once, as real processes, and see what comes of the messages.",
    )
    parser.add_argument("--nodes", type=int, default=Plan().nodes, help="3 to 64")
    parser.add_argument("--lost", type=int, default=Plan().lost, help="percent of the nodes, 1 to 60")
    parser.add_argument("--seed", type=int, default=Plan().seed, help="what pairs and losses are drawn from")
    parser.add_argument("--before", type=int, default=Plan().before, help="messages before the loss")
    parser.add_argument("--after", type=int, default=Plan().after, help="messages after it")
    parser.add_argument("--pause", type=int, default=Plan().pause, help="ms from one message to the next")
    parser.add_argument("--slot", type=int, default=Plan().slot, help="ms: the length of a slot")
    asked = parser.parse_args(arguments)
    for name, least, most in (
        ("nodes", 3, 64),
        ("lost", 1, 60),
        ("before", 0, 10_000),
        ("after", 1, 10_000),
        ("pause", 10, 60_000),
        ("slot", 60, 60_000),
    ):
        if not least <= getattr(asked, name) <= most:
            parser.error(f"--{name} is from {least} to {most}.")
    return Plan(**vars(asked))


def main(arguments: Sequence[str]) -> int:
    """The command."""
    plan = parse(arguments)
    console = Console(highlight=False)
    with (
        tempfile.TemporaryDirectory(prefix="tom-chaos-") as folder,
        Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as bar,
    ):
        task = bar.add_task("", total=plan.nodes)
        run = Run(
            Path(folder),
            plan,
            lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
        ended = trio.run(play, run)
    if run.stuck:
        console.print(f"FAILED: {run.stuck}", markup=False)
        console.print(f"To do it again: {plan.command()}", markup=False, soft_wrap=True)
        return 1
    if not ended:
        console.print("Interrupted; all processes have ended.")
        return 130
    return report(run, console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
