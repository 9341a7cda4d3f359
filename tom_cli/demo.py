"""``tom demo``: a subnet of real processes, a message, what its relay can't do, and how it does without."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field, frozen
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tom_cli.show import hex_lines, print_table, readable, short
from tom_ref import codec
from tom_ref.bech32m import node_id_from_text, node_id_to_text
from tom_ref.errors import ProtocolError
from tom_ref.frames import Envelope, Receipt, Stamp
from tom_ref.validate import check_receipt, check_trail, message_id

DEFAULT_MESSAGE: Final = "Hello from A. Nobody on the way can read this."
ANSWER: Final = b"Hello A, this is B. It arrived."

PATIENCE: Final = 60.0
"""s: what does not happen by then is given up."""

STOP_TIME: Final = 5.0
"""s: a process that does not end by then is killed."""

HOLD_BACK: Final = 60
"""ms that a step is held back on the screen."""

LONGEST_HOLD: Final = 3_000
"""ms that a step waits on the screen for the one that caused it."""

SEARCHABLE: Final = 12
"""bytes: shorter contents could stand in a ciphertext by chance, or in the numbers before it."""

_HERE: Final = str(Path(__file__).resolve().parents[1])

SLOT_MS: Final = 200
"""ms: all nodes share this computer's clock, so slots can be short (TOM-ROLES-118); a term takes 2 s."""

LEAST_NODES: Final = 3
MOST_NODES: Final = 12

KILLS_TRIED: Final = 8
"""count: a term may end between the question who relays and the message; then it is tried again."""

_COLOURS: Final = {"A": "cyan", "B": "green"}
_OTHERS: Final = ("yellow", "magenta", "blue", "red")
_ROLES: Final = {"A": "sender", "B": "recipient"}

_STORY: Final[dict[str, str]] = {
    "encrypted": "encrypts end to end, signs the header",
    "handed_over": "hands the envelope over",
    "received": "checks signature, hash and dates",
    "relayed": "can't read it, stamps it, hands it on",
    "trail_verified": "verifies the relay's stamp: relayed",
    "decrypted": "decrypts it",
    "receipt_signed": "signs the receipt",
    "receipt_passed_back": "verifies the receipt, passes it back",
    "receipt_verified": "verifies the receipt: delivered",
    "flipped": "flips one bit of the ciphertext, hands it on",
    "refused": "refuses it",
    "rerouted": "looks for another way",
    "killed": "is killed (SIGKILL), with the message in its hands",
}

_CAUSES: Final = {
    "handed_over": "encrypted",
    "received by the relay": "handed_over",
    "relayed": "received by the relay",
    "trail_verified": "relayed",
    "received": "relayed",
    "decrypted": "received",
    "receipt_signed": "decrypted",
    "receipt_passed_back": "receipt_signed",
    "receipt_verified": "receipt_signed",
    "refused": "relayed",
    "rerouted": "refused",
    "killed": "handed_over",
}
"""What must have happened before a step of the same message can."""


def _colour(name: str) -> str:
    return _COLOURS.get(name) or _OTHERS[(ord(name) - ord("C")) % len(_OTHERS)]


class DemoError(Exception):
    """The demo could not be shown; the text says why."""


@frozen
class Step:
    """One thing that happened on the way."""

    at: int
    node: str
    event: str
    message: str
    detail: str


@define
class Actor:
    """One node's process, and everything it has told."""

    name: str
    process: trio.Process
    heard: Callable[[Actor, dict[str, Any]], None]
    id: str = ""
    address: str | None = None
    pid: int = 0
    events: list[dict[str, Any]] = field(factory=list)
    doomed: bool = False
    """Whether its end is a part of the story."""

    @property
    def mark(self) -> int:
        """How much it has told so far."""
        return len(self.events)

    async def listen(self) -> None:
        """Take in the process's events until it ends."""
        stdout = self.process.stdout
        assert stdout is not None
        buffer = b""
        async for data in stdout:
            buffer += data
            *whole, buffer = buffer.split(b"\n")
            for line in whole:
                event = json.loads(line)
                self.events.append(event)
                self.heard(self, event)
        await self.process.wait()

    async def do(self, **command: object) -> None:
        """Give the process a command."""
        assert self.process.stdin is not None
        # If the process is gone, whoever waits for what it should do is told why.
        with suppress(trio.BrokenResourceError):
            await self.process.stdin.send_all(json.dumps(command).encode() + b"\n")


class Demo:
    """The actors and the story they tell."""

    def __init__(self, nursery: trio.Nursery, show: Silent) -> None:
        self._nursery = nursery
        self._show = show
        self.actors: dict[str, Actor] = {}
        self.names: dict[str, str] = {}
        self.steps: list[Step] = []
        self.started: int | None = None
        self.dishonest = False
        self.trouble: str | None = None
        """Why the demo can't go on."""
        self._unshown: list[Step] = []
        self._awaited: Counter[str] = Counter()
        self._changed = trio.Event()

    def __getitem__(self, name: str) -> Actor:
        """The actor of that name."""
        return self.actors[name]

    # --- the processes --------------------------------------------------------------------------------

    async def start(self, name: str, *options: str) -> None:
        """Start a process and wait until its node runs."""
        # Exactly this code runs there, whatever the working directory holds; and Ctrl-C reaches only the
        # demo, which then ends its processes.
        paths = [_HERE, *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-P", "-m", "tom_cli.actor", *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        except OSError as error:
            raise DemoError(f"The process of {name} can't be started: {error.strerror}.") from error
        actor = Actor(name, process, self._heard)
        self.actors[name] = actor
        self._nursery.start_soon(self._watch, actor)
        ready = await self.until(name, "to start", lambda event: event["event"] == "ready")
        actor.id, actor.address, actor.pid = ready["id"], ready["address"], ready["pid"]
        self.names[actor.id] = name

    async def _watch(self, actor: Actor) -> None:
        await actor.listen()
        code = actor.process.returncode
        assert code is not None
        if actor.doomed:
            return
        how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"its exit code was {code}"
        self._fail(f"The demo can't go on: {_who(actor.name)} stopped running ({how}).")

    def _fail(self, text: str) -> None:
        self.trouble = self.trouble or text
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(
        self, name: str, what: str, matches: Callable[[dict[str, Any]], bool], since: int = 0
    ) -> dict[str, Any]:
        """The first event of an actor, from a mark on, that matches.

        Raises :class:`DemoError` when any process ended or fails, or after ``PATIENCE``.
        """
        events = self[name].events
        position = since
        with trio.move_on_after(PATIENCE):
            while True:
                while position < len(events):
                    position += 1
                    if matches(events[position - 1]):
                        return events[position - 1]
                if self.trouble is not None:
                    raise DemoError(self.trouble)
                await self._changed.wait()
        raise DemoError(
            f"The demo can't go on: {_who(name)} had {PATIENCE:.0f} s {what}, and did not. "
            "Is this computer very busy? Try again."
        )

    async def stop(self) -> None:
        """End the processes that were started here."""
        for actor in self.actors.values():
            if actor.process.returncode is None:
                actor.process.terminate()
                # One that is frozen hears it only then.
                actor.process.send_signal(signal.SIGCONT)
        with trio.move_on_after(STOP_TIME):
            for actor in self.actors.values():
                await actor.process.wait()
        for actor in self.actors.values():
            if actor.process.returncode is None:
                actor.process.kill()
                await actor.process.wait()

    # --- the story ------------------------------------------------------------------------------------

    def _heard(self, actor: Actor, event: dict[str, Any]) -> None:
        if event["event"] == "error":
            self._fail(f"The demo can't go on: {_who(actor.name)} says: {event['text']}")
        elif event["event"] == "home" and actor.name == "A" and self.started is None:
            self._show.home(event["term"], event["members"], len(event["pool"]))
        elif (
            event["event"] == "report"
            and event["what"] in _STORY
            and event["message_id"] is not None
            and self.started is not None
        ):
            what = event["what"]
            if what == "relayed" and self.dishonest:
                what = "flipped"
            self._unshown.append(
                Step(
                    event["at_ms"] - self.started,
                    actor.name,
                    what,
                    event["message_id"] or "",
                    event["detail"],
                )
            )
        self._wake()

    def note(self, node: str, event: str, message: str) -> None:
        """Add what no node can tell of itself."""
        at = time.time_ns() // 1_000_000 - (self.started or 0)
        self._unshown.append(Step(at, node, event, message, ""))

    def begin_to_tell(self) -> None:
        """Begin to show steps."""
        self._nursery.start_soon(self.tell)

    async def tell(self) -> None:
        """Show the steps as they happen, each after what caused it: the lines of three processes come in
        in any order.
        """
        while True:
            await trio.sleep(0.02)
            now = time.time_ns() // 1_000_000 - (self.started or 0)
            self._unshown.sort(key=_order)
            told = {(step.message, _place(step)) for step in self.steps}
            while self._unshown:
                step = self._unshown[0]
                cause = _CAUSES.get(_place(step))
                due = cause is None or (step.message, cause) in told or step.at < now - LONGEST_HOLD
                if step.at > now - HOLD_BACK or not due:
                    break
                del self._unshown[0]
                self.steps.append(step)
                told.add((step.message, _place(step)))
                self._show(step)
            self._wake()

    async def until_told(self, event: str) -> None:
        """Wait until an act's last event is shown, which it may be already."""
        self._awaited[event] += 1
        with trio.move_on_after(PATIENCE):
            while sum(step.event == event for step in self.steps) < self._awaited[event]:
                await self._changed.wait()


def _who(name: str) -> str:
    return f"{name}, the {_ROLES[name]}," if name in _ROLES else name


def _place(step: Step) -> str:
    """What a step is in a message's journey: the relay receives it, and so does the recipient."""
    if step.event == "received" and step.node not in _ROLES:
        return "received by the relay"
    return "relayed" if step.event == "flipped" else step.event


def _order(step: Step) -> tuple[int, int]:
    """By time, and within one ms by cause."""
    depth = 0
    place = _place(step)
    if step.event == "handed_over" and step.detail != "attempt 1":
        # The message goes another way because somebody refused it.
        place, depth = "rerouted", 1
    while place in _CAUSES:
        place = _CAUSES[place]
        depth += 1
    return step.at, depth


@frozen
class Outcome:
    """What the demo proved."""

    delivered: bool
    message: bytes
    path: tuple[str, ...]
    receipt_verified: bool
    content: bytes
    answer: bytes
    envelope: Envelope
    tampering: str
    steps: tuple[Step, ...]
    nodes: tuple[dict[str, Any], ...]
    relay: str
    """The name of the drafted relay of the first message."""
    terms: int
    """The term in which all nodes could hold roles."""
    killed: str
    """The name of the node that was killed with a message in its hands."""
    arrived_over: str | None
    """Who brought that message; ``None`` when A handed it over itself."""

    @property
    def readable_by_relay(self) -> bool | None:
        """Whether any 16 bytes in a row of the content stand in what the relay saw; ``None``: too short."""
        if len(self.content) < SEARCHABLE:
            return None
        size = min(16, len(self.content))
        pieces = {self.content[i : i + size] for i in range(0, len(self.content) - size + 1, size)}
        seen = self.envelope.payload
        return any(seen[i : i + size] in pieces for i in range(len(seen) - size + 1))

    def document(self) -> dict[str, Any]:
        """The one JSON document of ``tom demo --json``."""
        return {
            "delivered": self.delivered,
            "message_id": self.message.hex(),
            "path": list(self.path),
            "receipt_verified": self.receipt_verified,
            "payload_sha256": hashlib.sha256(self.content).hexdigest(),
            "steps": [{"at_ms": s.at, "node": s.node, "event": s.event} for s in self.steps],
            "nodes": list(self.nodes),
            "relay_saw_plaintext": self.readable_by_relay,
            "answer_received": self.answer == ANSWER,
            "flipped_bit_refused_with": self.tampering,
            "relay": self.relay,
            "terms_to_form": self.terms,
            "killed": {"node": self.killed, "delivered": True, "arrived_over": self.arrived_over},
        }


def failure(text: str) -> dict[str, Any]:
    """The JSON document when the demo could not be shown."""
    return {
        "delivered": False,
        "message_id": None,
        "path": [],
        "receipt_verified": False,
        "payload_sha256": None,
        "steps": [],
        "nodes": [],
        "error": text,
    }


class Silent:
    """Shows nothing: for ``--json``."""

    def __call__(self, step: Step) -> None:
        """Ignore a step."""

    def beginning(self, count: int) -> None:
        """Ignore the beginning."""

    def heading(self, text: str) -> None:
        """Ignore a heading."""

    def nodes(self, actors: list[Actor]) -> None:
        """Ignore the nodes."""

    def home(self, term: int, members: int, pool: int) -> None:
        """Ignore a new record."""


class Stage(Silent):
    """Shows the journey on a terminal, as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._columns = ""

    def beginning(self, count: int) -> None:
        """What is going on until there is something to see."""
        self._console.print(f"Starting {count} nodes, each in a process of its own …", style="dim")
        self._console.print(
            f"They share this computer's clock, so slots take {SLOT_MS} ms and terms seconds.",
            style="dim",
        )

    def heading(self, text: str) -> None:
        """A line between two acts."""
        self._console.print()
        self._console.rule(f"[bold]{text}")

    def nodes(self, actors: list[Actor]) -> None:
        """Who takes part."""
        self._columns = "".join(actor.name for actor in actors)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("", "", "process", "listens at", "NodeId"):
            table.add_column(column, no_wrap=True)
        for actor in actors:
            address = actor.address.rpartition("@")[2] if actor.address else "-"
            name = f"[bold {_colour(actor.name)}]{actor.name}"
            table.add_row(name, _ROLES.get(actor.name, ""), str(actor.pid), address, short(actor.id))
        print_table(self._console, table)

    def home(self, term: int, members: int, pool: int) -> None:
        """How far the subnet is, once it is said who takes part."""
        if not self._columns:
            return
        may = "all may" if pool == members else f"{pool} may"
        line = f"  term {term:<3} {members} {'member' if members == 1 else 'members'}, {may} hold roles"
        self._console.print(line, style="dim")

    def __call__(self, step: Step) -> None:
        """One step of the journey."""
        line = Text()
        line.append(f"{step.at:>6} ms  ", style="dim")
        for name in self._columns:
            here = name == step.node
            line.append(f"{'●' if here else '│'}", style=_colour(name) if here else "dim")
            line.append("   " if len(self._columns) < 6 else " ")
        line.append(f"{step.node} ", style=f"bold {_colour(step.node)}")
        line.append(_STORY[step.event])
        if step.detail and len(line) + len(step.detail) + 4 <= self._console.width:
            line.append(f"  ({step.detail})", style="dim")
        self._console.print(line, soft_wrap=True)


async def play(content: bytes, stage: Silent, count: int = 4) -> Outcome:
    """Run the whole demo with so many nodes; raises :class:`DemoError` when something doesn't happen."""
    outcome: Outcome | None = None
    failure: DemoError | None = None
    async with trio.open_nursery() as nursery:
        demo = Demo(nursery, stage)
        try:
            outcome = await _play(demo, content, stage, count)
        except DemoError as error:
            failure = error
        finally:
            with trio.CancelScope(shield=True):
                await demo.stop()
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    assert outcome is not None
    return outcome


async def _play(demo: Demo, content: bytes, stage: Silent, count: int) -> Outcome:
    names = ["A", *(chr(ord("C") + number) for number in range(count - 2)), "B"]
    terms = await _form(demo, stage, names)

    stage.heading("A writes to B; the draft says who carries it")
    demo.started = time.time_ns() // 1_000_000
    demo.begin_to_tell()
    await demo["A"].do(do="send", to=demo["B"].id, content=content.hex(), name="question")
    arrived = await demo.until("B", "to show the message", lambda event: event["event"] == "message")
    done = await demo.until("A", "to verify the receipt", _progressed("delivered"))
    await demo.until_told("receipt_verified")

    stage.heading("B answers")
    await demo["B"].do(do="send", to=demo["A"].id, content=ANSWER.hex(), name="answer")
    answer = await demo.until("A", "to show the answer", lambda event: event["event"] == "message")
    await demo.until("B", "to verify the answer's receipt", _progressed("delivered"))
    await demo.until_told("receipt_verified")
    steps = tuple(sorted(demo.steps, key=_order))
    if bytes.fromhex(arrived["content"]) != content or bytes.fromhex(answer["content"]) != ANSWER:
        raise DemoError("What arrived is not what was sent.")
    # The trail is taken from what B got: A hears of the stamp too late where the receipt overtakes it.
    before = demo["B"].events[: demo["B"].events.index(arrived)]
    frames = [bytes.fromhex(event["frame"]) for event in before if event["event"] == "seen"]
    trail = codec.decode_envelope(frames[-1]).trail
    relay = demo.names[node_id_to_text(trail[0].next_hop)]
    envelope, receipt, path = _verify(demo, relay, done, trail)

    tampering = await _tamper(demo, stage, content, names[1:-1])
    killed, brought_by = await _kill_the_relay(demo, stage, content)
    nodes = tuple(
        {"name": a.name, "id": a.id, "pid": a.pid, "address": a.address} for a in (demo[n] for n in names)
    )
    return Outcome(
        done["state"] == "delivered",
        message_id(envelope.header_bytes),
        path,
        receipt.message_id == message_id(envelope.header_bytes),
        bytes.fromhex(arrived["content"]),
        bytes.fromhex(answer["content"]),
        envelope,
        tampering,
        steps,
        nodes,
        relay,
        terms,
        killed,
        brought_by,
    )


async def _form(demo: Demo, stage: Silent, names: list[str]) -> int:
    """A founds a subnet, the others join it; returns the term in which all can hold roles."""
    stage.beginning(len(names))
    common = ("--listen", "127.0.0.1:0", "--slot-ms", str(SLOT_MS))
    await demo.start("A", "--found", *common)
    await demo["A"].do(do="invite")
    made = await demo.until("A", "to make an invitation", lambda event: event["event"] == "invitation")
    for name in names[1:]:
        relaying = ("--watch",) if name == "B" else ("--watch", "--dishonest")
        await demo.start(name, "--join", made["text"], *common, *relaying)
    stage.nodes([demo[name] for name in names])
    stage.heading("One invitation, and nobody says who relays")
    ready = [
        await demo.until(name, "to see all hold roles", lambda event: _complete(event, len(names)))
        for name in names
    ]
    return max(int(event["term"]) for event in ready)


def _complete(event: dict[str, Any], count: int) -> bool:
    return event["event"] == "home" and len(event["pool"]) == count


async def _tamper(demo: Demo, stage: Silent, content: bytes, others: list[str]) -> str:
    """The relays flip a bit of what they carry; returns the code with which B refuses it."""
    stage.heading("Whoever relays turns dishonest and flips a bit")
    demo.dishonest = True
    for name in others:
        mark = demo[name].mark
        await demo[name].do(do="flip", on=True)
        await demo.until(name, "to turn dishonest", lambda event: event["event"] == "flipping", mark)
    marks = {name: demo[name].mark for name in "AB"}
    await demo["A"].do(do="send", to=demo["B"].id, content=content.hex(), name="flipped")
    refusal = await demo.until("B", "to refuse the changed message", _message_refused, marks["B"])
    await demo.until("A", "to find an honest way", _progressed("delivered"), marks["A"])
    await demo.until_told("receipt_verified")
    for name in others:
        mark = demo[name].mark
        await demo[name].do(do="flip", on=False)
        await demo.until(name, "to turn honest", lambda event: event["event"] == "flipping", mark)
    demo.dishonest = False
    return str(refusal["detail"].partition(":")[0])


async def _kill_the_relay(demo: Demo, stage: Silent, content: bytes) -> tuple[str, str | None]:
    """Kill the relay that has the message in its hands; returns its name, and who brought it then."""
    stage.heading("The drafted relay is killed with a message in its hands")
    for _ in range(KILLS_TRIED):
        mark = demo["A"].mark
        await demo["A"].do(do="duty", to=demo["B"].id)
        duty = await demo.until("A", "to say who relays", lambda event: event["event"] == "duty", mark)
        victim = demo[demo.names[duty["nodes"][0]]]
        # Frozen, it can take the message and do nothing with it.
        victim.process.send_signal(signal.SIGSTOP)
        marks = {name: demo[name].mark for name in "AB"}
        await demo["A"].do(do="send", to=demo["B"].id, content=content.hex(), name="orphan")
        handed = await demo.until("A", "to hand it over", _reported("handed_over"), marks["A"])
        if handed["peer"] != victim.id:
            victim.process.send_signal(signal.SIGCONT)
            await demo.until("A", "to verify the receipt", _progressed("delivered"), marks["A"])
            await demo.until_told("receipt_verified")
            continue
        victim.doomed = True
        demo.note(victim.name, "killed", handed["message_id"])
        victim.process.kill()
        arrived = await demo.until("B", "to get it", lambda event: event["event"] == "message", marks["B"])
        await demo.until("A", "to verify the receipt", _progressed("delivered"), marks["A"])
        await demo.until_told("receipt_verified")
        return victim.name, demo.names.get(arrived["relay"] or "")
    raise DemoError("The relay changed each time that it was to be killed. Try again.")


def _reported(what: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "report" and event["what"] == what


def _message_refused(event: dict[str, Any]) -> bool:
    return event["event"] == "report" and event["what"] == "refused" and event["message_id"] is not None


def _progressed(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "progress" and event["state"] == state


def _verify(
    demo: Demo, relay: str, done: dict[str, Any], trail: tuple[Stamp, ...]
) -> tuple[Envelope, Receipt, tuple[str, ...]]:
    """Check the receipt and the trail once more, from the bytes that A told, the relay saw and B got."""
    seen = [bytes.fromhex(event["frame"]) for event in demo[relay].events if event["event"] == "seen"]
    envelope = codec.decode_envelope(seen[0])
    message = message_id(envelope.header_bytes)
    receipt = codec.decode_receipt(bytes.fromhex(done["receipt"]))
    if message.hex() != done["message_id"]:
        raise DemoError("the relay saw another message than A sent")
    try:
        check_receipt(receipt, envelope.header, message)
        nodes = check_trail(envelope.header, message, trail)
    except ProtocolError as error:
        raise DemoError(f"the receipt or the trail does not verify: {error}") from error
    assert node_id_from_text(demo["B"].id) == receipt.recipient
    return envelope, receipt, tuple(node_id_to_text(node) for node in nodes)


def show_outcome(console: Console, outcome: Outcome) -> None:
    """What was proved, for people."""
    header = outcome.envelope.header
    saw = Text()
    saw.append("from     ", style="dim").append(f"{short(node_id_to_text(header.sender))}\n")
    saw.append("to       ", style="dim").append(f"{short(node_id_to_text(header.recipient))}\n")
    saw.append("size     ", style="dim").append(f"{header.payload_length:,} bytes of ciphertext\n")
    saw.append("message  ", style="dim").append(f"{outcome.message.hex()}\n\n")
    saw.append(hex_lines(outcome.envelope.payload, 8), style="yellow")
    found = outcome.readable_by_relay
    verdict = {
        None: "The message is too short to be searched for in it.",
        False: "No piece of the message stands in it (searched).",
        True: "A PIECE OF THE MESSAGE STANDS IN IT.",
    }[found]
    saw.append(f"\n\n{verdict}", style="bold red" if found else "bold")
    console.print()
    console.print(
        Panel(saw, title=f"What the relay {outcome.relay} saw", border_style="yellow", expand=False)
    )

    names = {node["id"]: node["name"] for node in outcome.nodes}
    took = next(s.at for s in outcome.steps if s.event == "receipt_verified")
    result = Table(box=None, show_header=False, pad_edge=False)
    result.add_column(style="dim", no_wrap=True)
    result.add_column(overflow="fold")
    result.add_row("path", " → ".join(names.get(node, short(node)) for node in outcome.path))
    result.add_row("B read", Text(readable(outcome.content)))
    result.add_row("A read", Text(readable(outcome.answer)))
    result.add_row(
        "receipt", f"signed by B, verified by {outcome.relay} and A, {took:,} ms after A was asked to send"
    )
    result.add_row("flipped bit", f"refused by B: {outcome.tampering}; A found another way")
    way = f"over {outcome.arrived_over}" if outcome.arrived_over else "from A directly"
    result.add_row("killed relay", f"{outcome.killed}, with a message in its hands; it arrived {way}")
    result.add_row("roles", f"drafted by the network; all could hold one from term {outcome.terms} on")
    console.print(Panel(result, title="[bold green]Delivered", border_style="green", expand=False))
