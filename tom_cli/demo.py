"""``tom demo``: three processes, one message, its receipt, and what the relay in the middle can't do."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import trio
from attrs import define, field, frozen
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tom_cli.show import hex_lines, readable, short
from tom_ref import codec
from tom_ref.bech32m import node_id_from_text, node_id_to_text
from tom_ref.errors import ProtocolError
from tom_ref.frames import Envelope, Receipt
from tom_ref.validate import check_receipt, check_trail, message_id

DEFAULT_MESSAGE: Final = "Hello from A. Nobody on the way can read this."
ANSWER: Final = b"Hello A, this is B. It arrived."
PATIENCE: Final = 30.0
HOLD_BACK: Final = 100
"""ms that a step is held back on the screen."""

_COLOURS: Final = {"A": "cyan", "B": "green", "C": "yellow"}
_ROLES: Final = {"A": "sender", "C": "relay", "B": "recipient"}

_STORY: Final[dict[str, str]] = {
    "encrypted": "encrypts end to end, signs the header",
    "handed_over": "hands the envelope over",
    "received": "checks signature, hash, dates and trail: all right",
    "relayed": "can't read it; stamps it and hands it on",
    "trail_verified": "verifies the relay's stamp: relayed",
    "decrypted": "decrypts it and shows it to its application",
    "receipt_signed": "signs the receipt",
    "receipt_passed_back": "verifies the receipt, passes it back",
    "receipt_verified": "verifies the receipt: delivered",
    "flipped": "dishonest: flips one bit of the ciphertext and hands it on",
    "refused": "refuses it",
    "rerouted": "looks for another way",
}


class DemoError(Exception):
    """The demo could not be shown; the text says why."""


@frozen
class Step:
    """One thing that happened on the way."""

    at: int
    node: str
    event: str
    peer: str
    detail: str


@define
class Actor:
    """One node's process, and everything it has told."""

    name: str
    process: trio.Process
    tell: Callable[[Actor, dict[str, Any]], None]
    id: str = ""
    address: str | None = None
    pid: int = 0
    events: list[dict[str, Any]] = field(factory=list)
    _changed: trio.Event = field(factory=trio.Event)

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
                self.tell(self, event)
            self._wake()
        self.events.append({"event": "ended", "at_ms": 0})
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, what: str, matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event that matches; raises when the process ends or ``PATIENCE`` is over."""
        position = 0
        with trio.move_on_after(PATIENCE):
            while True:
                while position < len(self.events):
                    event = self.events[position]
                    position += 1
                    if matches(event):
                        return event
                    if event["event"] in {"ended", "error"}:
                        raise DemoError(f"{self.name} stopped: {event.get('text', 'its process ended')}")
                await self._changed.wait()
        raise DemoError(f"{self.name}: {what} did not happen within {PATIENCE:.0f} s")

    async def do(self, **command: object) -> None:
        """Give the process a command."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(json.dumps(command).encode() + b"\n")


class Demo:
    """Three actors and the story they tell."""

    def __init__(self, nursery: trio.Nursery, show: Callable[[Step], None]) -> None:
        self._nursery = nursery
        self._show = show
        self.actors: dict[str, Actor] = {}
        self.names: dict[str, str] = {}
        self.steps: list[Step] = []
        self.started: int | None = None
        self.dishonest = False
        self._unshown: list[Step] = []

    def __getitem__(self, name: str) -> Actor:
        """The actor of that name."""
        return self.actors[name]

    async def start(self, name: str, *options: str) -> Actor:
        """Start a process and wait until its node runs."""
        command = [sys.executable, "-m", "tom_cli.actor", *options]
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        actor = Actor(name, process, self._heard)
        self.actors[name] = actor
        self._nursery.start_soon(actor.listen)
        ready = await actor.until("starting", lambda event: event["event"] == "ready")
        actor.id, actor.address, actor.pid = ready["id"], ready["address"], ready["pid"]
        self.names[actor.id] = name
        return actor

    def _heard(self, actor: Actor, event: dict[str, Any]) -> None:
        if event["event"] != "report" or event["what"] not in _STORY or self.started is None:
            return
        what = event["what"]
        if what == "relayed" and self.dishonest:
            what = "flipped"
        peer = self.names.get(event["peer"], "")
        self._unshown.append(Step(event["at_ms"] - self.started, actor.name, what, peer, event["detail"]))

    def begin(self) -> None:
        """Begin to show steps."""
        self._nursery.start_soon(self.show)

    async def show(self) -> None:
        """Show the steps as they happen, in the order of their times: each is held back for a moment,
        since the lines of three processes don't arrive in that order.
        """
        while True:
            await trio.sleep(0.05)
            self.flush(time.time_ns() // 1_000_000 - (self.started or 0) - HOLD_BACK)

    def flush(self, until: int) -> None:
        """Show every step up to a moment, ms since the beginning."""
        self._unshown.sort(key=lambda step: step.at)
        while self._unshown and self._unshown[0].at <= until:
            step = self._unshown.pop(0)
            self.steps.append(step)
            self._show(step)

    async def end_of_act(self) -> None:
        """Let the last lines of an act come in, then show them."""
        await trio.sleep(2 * HOLD_BACK / 1000)
        self.flush(1 << 62)

    async def stop(self) -> None:
        """End the processes that were started here."""
        for actor in self.actors.values():
            if actor.process.returncode is None:
                actor.process.send_signal(signal.SIGTERM)
        for actor in self.actors.values():
            await actor.process.wait()


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
            "relay_saw_plaintext": len(self.content) >= 8 and self.content in self.envelope.payload,
            "answer_received": self.answer == ANSWER,
            "flipped_bit_refused_with": self.tampering,
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

    def heading(self, text: str) -> None:
        """Ignore a heading."""

    def nodes(self, actors: list[Actor]) -> None:
        """Ignore the nodes."""


class Stage(Silent):
    """Shows the journey on a terminal, as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def heading(self, text: str) -> None:
        """A line between two acts."""
        self._console.print()
        self._console.rule(f"[bold]{text}")

    def nodes(self, actors: list[Actor]) -> None:
        """Who takes part."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("", "role", "process", "listens at", "NodeId"):
            table.add_column(column, no_wrap=True)
        for actor in actors:
            address = actor.address.rpartition("@")[2] if actor.address else "-"
            colour = _COLOURS[actor.name]
            table.add_row(
                f"[bold {colour}]{actor.name}", _ROLES[actor.name], str(actor.pid), address, short(actor.id)
            )
        self._console.print(table)

    def __call__(self, step: Step) -> None:
        """One step of the journey."""
        line = Text()
        line.append(f"{step.at:>6} ms  ", style="dim")
        column = "ACB".index(step.node)
        for index, name in enumerate("ACB"):
            here = index == column
            line.append(f"{'●' if here else '│'}", style=_COLOURS[name] if here else "dim")
            line.append("   ")
        line.append(f"{step.node} ", style=f"bold {_COLOURS[step.node]}")
        line.append(_STORY[step.event])
        if step.detail:
            line.append(f"  ({step.detail})", style="dim")
        self._console.print(line, soft_wrap=True)


async def play(content: bytes, stage: Silent) -> Outcome:
    """Run the whole demo; raises :class:`DemoError` when something doesn't happen."""
    async with trio.open_nursery() as nursery:
        demo = Demo(nursery, stage)
        try:
            outcome = await _play(demo, content, stage)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(10):
                await demo.stop()
        nursery.cancel_scope.cancel()
    return outcome


async def _play(demo: Demo, content: bytes, stage: Silent) -> Outcome:
    relay = await demo.start("C", "--listen", "127.0.0.1:0", "--watch", "--dishonest")
    assert relay.address is not None
    for name in "AB":
        await demo.start(name, "--relay", relay.address)
    for name in "AB":
        await demo[name].until("linking", _reported("linked"))
    stage.nodes([demo[name] for name in "ACB"])

    stage.heading("A writes to B; only C is linked to both")
    demo.started = time.time_ns() // 1_000_000
    demo.begin()
    await demo["A"].do(do="send", to=demo["B"].id, content=content.hex(), name="question")
    arrived = await demo["B"].until("arrival", lambda event: event["event"] == "message")
    done = await demo["A"].until("delivery", _progressed("delivered"))
    relayed = await demo["A"].until("relaying", _progressed("relayed"))

    await demo.end_of_act()
    stage.heading("B answers")
    await demo["B"].do(do="send", to=demo["A"].id, content=ANSWER.hex(), name="answer")
    answer = await demo["A"].until("the answer", lambda event: event["event"] == "message")
    await demo["B"].until("the answer's delivery", _progressed("delivered"))
    await demo.end_of_act()
    steps = tuple(demo.steps)

    envelope, receipt, path = _verify(demo, done, relayed)
    stage.heading("C turns dishonest: it flips one bit of the next ciphertext")
    demo.dishonest = True
    await relay.do(do="flip", on=True)
    await demo["A"].do(do="send", to=demo["B"].id, content=content.hex(), ttl=5_000, name="flipped")
    refusal = await demo["B"].until("refusal", _reported("refused"))
    await demo.end_of_act()
    nodes = tuple(
        {"name": a.name, "id": a.id, "pid": a.pid, "address": a.address}
        for a in (demo["A"], demo["C"], demo["B"])
    )
    return Outcome(
        done["state"] == "delivered",
        message_id(envelope.header_bytes),
        path,
        receipt.message_id == message_id(envelope.header_bytes),
        bytes.fromhex(arrived["content"]),
        bytes.fromhex(answer["content"]),
        envelope,
        refusal["detail"].partition(":")[0],
        steps,
        nodes,
    )


def _reported(what: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "report" and event["what"] == what


def _progressed(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "progress" and event["state"] == state


def _verify(
    demo: Demo, done: dict[str, Any], relayed: dict[str, Any]
) -> tuple[Envelope, Receipt, tuple[str, ...]]:
    """Check the receipt and the trail once more, from the bytes that A told and C saw."""
    seen = [bytes.fromhex(event["frame"]) for event in demo["C"].events if event["event"] == "seen"]
    envelope = codec.decode_envelope(seen[0])
    message = message_id(envelope.header_bytes)
    receipt = codec.decode_receipt(bytes.fromhex(done["receipt"]))
    if message.hex() != done["message_id"]:
        raise DemoError("the relay saw another message than A sent")
    try:
        check_receipt(receipt, envelope.header, message)
        trail = tuple(codec.decode_stamp(bytes.fromhex(stamp)) for stamp in relayed["trail"])
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
    found = outcome.content in outcome.envelope.payload
    verdict = "FOUND in it" if found else "not in it (searched)"
    saw.append(f"\nThe words of the message: {verdict}.", style="bold red" if found else "bold")
    console.print()
    console.print(Panel(saw, title="What the relay C saw", border_style="yellow", expand=False))

    result = Table(box=None, show_header=False, pad_edge=False)
    result.add_column(style="dim")
    result.add_column()
    result.add_row("path", " → ".join(short(node) for node in outcome.path))
    result.add_row("B read", readable(outcome.content))
    result.add_row("A read", readable(outcome.answer))
    result.add_row("receipt", "signed by B, verified by A, by C, and once more here")
    result.add_row("one bit flipped by C", f"refused by B: {outcome.tampering}")
    console.print(Panel(result, title="[bold green]Delivered", border_style="green", expand=False))
