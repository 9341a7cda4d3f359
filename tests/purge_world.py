"""Real nodes that go through a behaviour of the model Purge, one step of the model after the other.

A tick of the model is ``TICK`` ms.  Sender, recipient and relays are real nodes; the network and the liar are
this file: it makes every packet that a step of the model delivers.  After each step, what is on the nodes'
disks is what the model has, but for entries that are due: a real node erases them before anything else
(TOM-PURGE-036), the model at a step of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from tests.network import Draws
from tom_ref import codec, records, vrf
from tom_ref.crypto import Secret32, sha256
from tom_ref.effects import Deliver, Effect, Persist, SendFrame, Table
from tom_ref.frames import NO_NODE, Envelope, HoldingQuery, Receipt, Refusal, Stamp
from tom_ref.identity import Identity
from tom_ref.inputs import (
    Acknowledge,
    Begin,
    ClockMeasured,
    FrameReceived,
    Input,
    LinkDown,
    LinkUp,
    SendMessage,
    Start,
    Wake,
)
from tom_ref.node import Node
from tom_ref.term_frames import Genesis
from tom_ref.timing import Timing
from tom_ref.validate import message_id, signed_receipt, signed_stamp

TICK: Final = 1_000
BEGIN: Final = 1_800_000_000_000
FOLDER: Final = Path(__file__).resolve().parents[1] / "test-vectors" / "tla"
NODES: Final = "srac"
MET: Final = 99
"""The number of a link that is gone again."""
EARLY: Final = -10
"""ticks: when the nodes begin, before any clock of a trace."""
RUNS: Final = sorted(
    path.name
    for kind in ("main", "packets", "partition", "small-lying-sender")
    for path in FOLDER.glob(f"purge-{kind}-run-*.itf.json")
)
ATTACKS: Final = (
    "accept-stale",
    "clock-free",
    "clock-in-ram",
    "copies-in-ram",
    "drop-on-forward",
    "forged-receipt",
    "forged-receipt-sender",
    "future-unchecked",
    "inbox-in-ram",
    "late-receipts",
    "receipts-in-ram",
    "receipts-in-ram-recipient",
    "retention-from-arrival",
    "sender-drops",
    "short-retention",
    "stray-receipts",
    "tombstone-ignored",
    "verdict-early",
)
"""Broken models whose last step a real node does not follow, seen in what it has on disk."""


def plain(value: Any) -> Any:
    """A value of a trace without its wrappers."""
    if isinstance(value, dict):
        if "#bigint" in value:
            return int(value["#bigint"])
        if "#set" in value:
            return frozenset(plain(item) for item in value["#set"])
        return {name: plain(item) for name, item in value.items() if name != "#meta"}
    return value


class World:
    """Real nodes of one trace, each with its disk and its clock."""

    def __init__(self, eps: int, ttl: int) -> None:
        self.timing = Timing(eps=eps * TICK)
        self.ttl = ttl * TICK
        self.identities = {name: Identity.from_secret(Secret32(self.secret(name))) for name in NODES}
        self.disks: dict[str, dict[tuple[Table, bytes], bytes]] = {name: {} for name in NODES}
        self.last_time = dict.fromkeys(NODES, 0)
        """ms: what the store remembers of a node's clock (TOM-PURGE-007)."""
        self.entropy = {name: Draws(name) for name in NODES}
        self.nodes: dict[str, Node] = {}
        self.links: dict[tuple[str, str], int] = {}
        self.shown: dict[bytes, int] = {}
        self.envelope: Envelope | None = None
        self.genesis = self._genesis()
        for name in NODES:
            self.boot(name, EARLY)
            self.do(name, Begin(self.genesis), EARLY)
        self.descriptors = {name: self.nodes[name].descriptor for name in NODES}
        for name in NODES:
            self.link(name, EARLY)

    def _genesis(self) -> Genesis:
        nodes = sorted(self.identities.values(), key=lambda node: node.node_id)
        subnet = records.founded_subnet([node.node_id for node in nodes], bytes(32))
        proofs = [vrf.prove(node.vrf_secret, records.genesis_alpha(subnet)) for node in nodes]
        betas = {n.node_id: vrf.proof_to_hash(p) for n, p in zip(nodes, proofs, strict=True)}
        keys = {node.node_id: node.vrf_key for node in nodes}
        record = records.genesis_record(keys, bytes(32), betas, BEGIN, self.timing)
        signed = records.signed_genesis(record)
        return Genesis(record, bytes(32), tuple(proofs), tuple(n.signing_key.sign(signed) for n in nodes))

    def secret(self, name: str) -> bytes:
        """A node's secret."""
        return sha256(b"replay " + name.encode())

    def id(self, name: str) -> bytes:
        """A NodeId."""
        return self.identities[name].node_id

    def boot(self, name: str, clock: int) -> None:
        """A node from its disk."""
        rows = [(table, key, value) for (table, key), value in self.disks[name].items()]
        self.nodes[name] = Node(
            self.identities[name],
            entropy=self.entropy[name],
            now=max(self.last_time[name], BEGIN + clock * TICK),
            records=rows,
            timing=self.timing,
        )
        self.do(name, Start(), clock)

    def link(self, name: str, clock: int) -> None:
        """The links that packets come over; no relay has one to the recipient, who is away for it."""
        for other in NODES:
            if other != name and (name == "r" or other != "r"):
                number = NODES.index(name) * 8 + NODES.index(other)
                self.links[name, other] = number
                self.do(name, LinkUp(number, self.descriptors[other], initiated=True), clock)
                self.do(name, ClockMeasured(number, 0, 0), clock)

    def do(self, name: str, what: Input, clock: int) -> tuple[Effect, ...]:
        """One step; what it writes is written, what it sends is lost."""
        effects = self.nodes[name].step(what, BEGIN + clock * TICK)
        for effect in effects:
            if isinstance(effect, Persist):
                self.last_time[name] = max(self.last_time[name], BEGIN + clock * TICK)
                for change in effect.changes:
                    if change.value is None:
                        self.disks[name].pop((change.table, change.key), None)
                    else:
                        self.disks[name][change.table, change.key] = change.value
            elif isinstance(effect, Deliver) and not effect.again:
                self.shown[effect.message_id] = self.shown.get(effect.message_id, 0) + 1
        return effects

    # --- packets ----------------------------------------------------------------------------------------

    def packet(self, target: str) -> Envelope:
        """The message as it comes to a node straight from its sender."""
        assert self.envelope is not None
        message = self.message
        signed = signed_stamp(message, None, BEGIN, self.id(target))
        stamp = Stamp(BEGIN, self.id(target), self.identities["s"].signing_key.sign(signed))
        return evolve(self.envelope, trail=(stamp,))

    @property
    def message(self) -> bytes:
        """The message's id."""
        assert self.envelope is not None
        return message_id(self.envelope.header_bytes)

    def receipt(self, signer: str = "r") -> Receipt:
        """The recipient's receipt, or one that somebody else signed."""
        for table, key in self.disks["r"]:
            if signer == "r" and table is Table.SEEN and key == self.message:
                stored = codec.SEEN.decode(self.disks["r"][table, key]).receipt
                found = codec.decode_frame(stored)
                assert isinstance(found, Receipt)
                return found
        assert self.envelope is not None
        header = self.envelope.header
        receipt = Receipt(
            self.message,
            header.subnet,
            header.term,
            header.sender,
            header.recipient,
            NO_NODE,
            header.created_at,
            header.ttl,
            BEGIN,
        )
        return evolve(receipt, signature=self.identities[signer].signing_key.sign(signed_receipt(receipt)))

    def offer(self, name: str, clock: int) -> list[codec.AnyFrame]:
        """A packet with the message reaches a node; what it sends back over that link."""
        source = "s" if name != "s" else "a"
        number = self.links[name, source]
        if name != "r":
            self.do(name, FrameReceived(number, codec.encode_frame(HoldingQuery(self.message))), clock)
        effects = self.do(name, FrameReceived(number, codec.encode_frame(self.packet(name))), clock)
        return [codec.decode_frame(e.data) for e in effects if isinstance(e, SendFrame) and e.link == number]

    def tell(self, name: str, receipt: Receipt, clock: int) -> None:
        """A packet with a receipt reaches a node."""
        source = "a" if name != "a" else "c"
        self.do(name, FrameReceived(self.links[name, source], codec.encode_frame(receipt)), clock)

    # --- what is on disk --------------------------------------------------------------------------------

    def has(self, name: str, table: Table) -> bool:
        """Whether a node has the message in a table."""
        return (table, self.message) in self.disks[name]

    def copies(self) -> set[str]:
        """Who holds the bytes of the message for others."""
        found = {name for name in "ac" if self.has(name, Table.CUSTODY)}
        pending = [value for (table, _), value in self.disks["s"].items() if table is Table.PENDING]
        return found | {"s" for value in pending if codec.PENDING.decode(value).content}

    def verdicts(self) -> list[int]:
        """The final states that the sender's application was told."""
        stored = [value for (table, _), value in self.disks["s"].items() if table is Table.VERDICT]
        return [int(codec.VERDICT.decode(value).state) for value in stored]

    def tombstones(self) -> set[str]:
        """Who holds its receipt."""
        found = {name for name in "sac" if self.has(name, Table.TOMBSTONE)}
        return found | ({"r"} if self.has("r", Table.SEEN) else set())


class Replay:
    """One trace, step by step."""

    def __init__(self, trace: dict[str, Any], make: Callable[[int, int], World] = World) -> None:
        constants = trace["#meta"]["constants"]
        self.eps, self.ttl = int(constants["EPS"]), int(constants["TTL"])
        self.states = [(state["#meta"], plain(state)) for state in trace["states"]]
        self.relays = {name for name in "ac" if f'"{name}"' in constants["Relays"]}
        self.world = make(self.eps, self.ttl)
        self.written = False
        self.parted: list[str] = []
        self.known: Receipt | None = None
        self.ahead: set[str] = set()
        """Nodes that had erased a due copy when the model still let a receipt take its place."""

    def run(self) -> None:
        """All steps; where the nodes part from the model, ``parted`` says how."""
        before = self.states[0][1]
        for meta, state in self.states[1:]:
            action = meta["action"]
            node = meta["parameters"].get("node", "")
            self.step(action, node, before, state)
            self.compare(f"{meta['index']} {action}({node})", state)
            before = state

    def clock(self, state: dict[str, Any], name: str) -> int:
        """A node's reading, in ticks."""
        return int(state["now"] + state["skew"].get(name, 0))

    def step(self, action: str, node: str, before: dict[str, Any], state: dict[str, Any]) -> None:
        """What a step of the model is for real nodes."""
        world = self.world
        at = self.clock(before, node) if node else 0
        if action in {"Write", "WriteAhead"}:
            self.write(int(state["stamp"]), lying=action == "WriteAhead")
        elif action == "Store":
            if any(isinstance(frame, Refusal) for frame in world.offer(node, at)):
                self.parted.append(f"Store({node}) is refused")
        elif action in {"Answer", "ReReceipt"}:
            said = world.offer(node, at)
            due = at >= before["stamp"] + self.ttl + 2 * self.eps
            if node not in self.ahead and not due and not any(isinstance(frame, Receipt) for frame in said):
                self.parted.append(f"{action}({node}) answers {said}")
        elif action in {"RefuseStale", "RefuseAhead"}:
            code = "expired" if action == "RefuseStale" else "future_date"
            if Refusal(world.message, code) not in world.offer(node, at):
                self.parted.append(f"{action}({node}) is not refused")
        elif action in {"Persist", "LetGo"}:
            world.offer("r", self.clock(before, "r"))
        elif action == "Acknowledge":
            if world.has("r", Table.INBOX):
                world.do("r", Acknowledge(world.message), self.clock(before, "r"))
        elif action in {"Learn", "IgnoreReceipt"}:
            if node in before["copy"] and at >= before["stamp"] + self.ttl:
                self.ahead.add(node)
            world.tell(node, self.receipt(), at)
        elif action == "Forge":
            world.tell(node, world.receipt("c"), at)
        elif action == "Restart":
            world.boot(node, at)
            world.link(node, at)

    def receipt(self) -> Receipt:
        """The receipt that is on the wire; the recipient may have forgotten it since."""
        if self.known is None or self.world.has("r", Table.SEEN):
            self.known = self.world.receipt()
        return self.known

    def write(self, stamp: int, *, lying: bool) -> None:
        """The message comes into being; a lying sender is no node of ours from then on."""
        world = self.world
        command = SendMessage(1, world.id("r"), b"one message", world.ttl)
        before = dict(world.disks["s"])
        if lying:
            node = Node(
                world.identities["s"], entropy=Draws("liar"), now=BEGIN + stamp * TICK, timing=world.timing
            )
            node.step(Start(), BEGIN + stamp * TICK)
            node.step(Begin(world.genesis), BEGIN + stamp * TICK)
            node.step(LinkUp(1, world.descriptors["r"], initiated=True), BEGIN + stamp * TICK)
            effects = node.step(command, BEGIN + stamp * TICK)
            [change] = [
                c for e in effects if isinstance(e, Persist) for c in e.changes if c.table is Table.PENDING
            ]
            assert change.value is not None
            pending = codec.PENDING.decode(change.value)
        else:
            # The sender has met the recipient and knows its descriptor, but has no link to it.
            world.do("s", LinkUp(MET, world.descriptors["r"], initiated=True), stamp)
            world.do("s", LinkDown(MET, "bye"), stamp)
            world.do("s", command, stamp)
            [pending] = [
                codec.PENDING.decode(value)
                for (table, key), value in world.disks["s"].items()
                if table is Table.PENDING and (table, key) not in before
            ]
        header = codec.decode_header(pending.header)
        world.envelope = Envelope(header, pending.header, pending.signature, 0, (), pending.content)
        self.written = True

    def compare(self, where: str, state: dict[str, Any]) -> None:
        """Hold the disks against the model's state."""
        if not self.written:
            return
        world, up = self.world, set(state["up"])
        for name in sorted(up & {*self.relays, "s", "r"}):
            world.do(name, Wake(), self.clock(state, name))
        honest = {*self.relays, "r", "s"} - set(state["lost"]) - ({"s"} if state["liar"] else set())
        end = state["stamp"] + self.ttl
        fresh = {name for name in honest if self.clock(state, name) < end}
        kept = {name for name in honest - self.ahead if self.clock(state, name) < end + 2 * self.eps}
        model = set(state["copy"]) & fresh, set(state["tomb"]) & kept
        real = world.copies() & fresh, world.tombstones() & kept
        if model != real:
            self.parted.append(f"{where}: the model has copies and receipts {model}, the nodes {real}")
        if "r" in honest and state["inbox"] != world.has("r", Table.INBOX):
            self.parted.append(f"{where}: plaintext {state['inbox']} in the model")
        final = {"delivered": 4, "expired": 5}.get(state["verdict"])
        if final and "s" in up & honest and world.verdicts() != [final]:
            self.parted.append(
                f"{where}: {state['verdict']} in the model, {world.verdicts()} to the application"
            )
        if max(world.shown.values(), default=0) > 1:
            raise AssertionError(f"{where}: shown twice as new")
