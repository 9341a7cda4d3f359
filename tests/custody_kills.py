"""Sender, custodians and recipient in processes of their own, killed at random instants: a seeded run.

    python -m tests.custody_kills --kills 200 --seed 7

Four members of one subnet, each a real process with a real store, linked over the loopback.  One sends
numbered messages to another; every one of them is killed (SIGKILL) at random instants and started again, the
recipient after a pause in which its messages go into custody.  When nothing is killed any more, each message
that ``send`` took must have been shown, under one id, as new once in all lives, and no store may hold a copy.
Prints the seed, and what happened; the exit code says whether everything held.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import PIPE

import trio
from attrs import evolve

from tom_ref import codec, records, vrf
from tom_ref.bech32m import node_id_from_text, node_id_to_text
from tom_ref.draft import Roles
from tom_ref.drivers.library import STORE_SUFFIX, Delivery, OpenNode, open_node
from tom_ref.drivers.store import Store
from tom_ref.drivers.system import SystemClock
from tom_ref.effects import DeliveryState, Event, Table
from tom_ref.frames import Holding
from tom_ref.identity import Identity
from tom_ref.inputs import Begin
from tom_ref.term_frames import Genesis
from tom_ref.timing import Timing

TIMING = evolve(Timing(), silence_ms=2_000)
"""Terms of ten minutes: one holds for the whole run; a holder is silent after two seconds."""

NAMES = ("sender", "one", "two", "recipient")
SETTLED_WITHIN = 240
"""s: when nothing is killed any more, every message must have arrived by then."""


# --- a node, in its own process ---------------------------------------------------------------------------


def say(what: str, **values: object) -> None:
    """One line to the run, in one write: it is there whole or not at all."""
    os.write(1, json.dumps({"what": what, **values}).encode() + b"\n")


async def live(folder: str, name: str, life: str) -> None:
    """One life of a node, until it is killed or its input ends."""
    plan = json.loads((Path(folder) / "plan.json").read_text(encoding="utf-8"))
    peers = [address for other, address in plan["addresses"].items() if other != name]
    listen = plan["addresses"][name].partition("@")[2]
    path = Path(folder) / f"{name}.tom"
    async with (
        open_node(path, listen=listen, peers=peers, timing=TIMING) as node,
        trio.open_nursery() as nursery,
    ):
        if node.status().record is None:
            genesis = codec.decode_frame(bytes.fromhex(plan["genesis"]))
            assert isinstance(genesis, Genesis)
            node._runner.feed(Begin(genesis))
        say("ready")
        nursery.start_soon(report, node)
        nursery.start_soon(show, node)
        with trio.CancelScope() as sending:
            nursery.start_soon(listen_to, sending, nursery.cancel_scope)
            if name == "sender":
                await send(node, nursery, plan["to"], life)


async def send(node: OpenNode, nursery: trio.Nursery, to: str, life: str) -> None:
    """Numbered messages, until told to finish; and every final state."""
    nursery.start_soon(earlier, node)
    number = 0
    while True:
        content = f"{life} {number}"
        delivery = await node.send(to, content.encode())
        say("taken", content=content)
        nursery.start_soon(finish, delivery)
        number += 1
        await trio.sleep(0.05)


async def finish(delivery: Delivery) -> None:
    """Wait for the end of a message of this life."""
    state = await delivery.wait(DeliveryState.EXPIRED)
    say("final", state=state.name)


async def earlier(node: OpenNode) -> None:
    """The final states of messages of earlier lives."""
    while True:
        for verdict in node.verdicts():
            say("final", state=verdict.state.name)
        await trio.sleep(0.1)


async def show(node: OpenNode) -> None:
    """Messages that arrive; the loop acknowledges each when it asks for the next."""
    async for message in node:
        say("shown", id=message.id.hex(), content=message.content.decode(), again=message.again)
        await trio.sleep(0.005)


async def report(node: OpenNode) -> None:
    """What custody does, and how many copies are left each time; first how many the disk brought."""
    reports = node.reports()
    say("holds", copies=copies_of(node))
    async for what in reports:
        if what.event in {Event.KEPT, Event.COPIED, Event.PURGED}:
            say(what.event.value)
            say("holds", copies=copies_of(node))


def copies_of(node: OpenNode) -> int:
    """How many messages of others a node keeps."""
    return sum(kept.holding is Holding.COPY for kept in node._runner.node.kept)


async def listen_to(sending: trio.CancelScope, everything: trio.CancelScope) -> None:
    """The first line ends the sending, the end of the input everything."""
    async with trio.lowlevel.FdStream(os.dup(0)) as commands:
        while await commands.receive_some():
            sending.cancel()
    everything.cancel()


# --- the run ----------------------------------------------------------------------------------------------


class Records:
    """What all nodes said in all their lives."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.shown: dict[str, set[str]] = {}
        self.new: Counter[str] = Counter()
        self.final: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.again = 0
        self.kills: Counter[str] = Counter()
        self.copies: dict[str, int] = {}
        """How many copies each node last said that it keeps."""
        self.left: dict[str, int] = {}
        """Rows of messages under way that were found in a store at the end."""
        self.changed = trio.Event()

    def note(self, line: bytes, name: str = "") -> None:
        """One line of some node."""
        said = json.loads(line)
        what = said["what"]
        if what == "taken":
            self.taken.add(said["content"])
        elif what == "final":
            self.final[said["state"]] += 1
        elif what == "shown":
            self.shown.setdefault(said["content"], set()).add(said["id"])
            self.again += said["again"]
            self.new[said["id"]] += not said["again"]
        elif what == "holds":
            self.copies[name] = said["copies"]
        else:
            self.events[what] += 1
        self.changed.set()
        self.changed = trio.Event()

    def more_kept(self, before: int) -> bool:
        """Whether more was put into custody than that."""
        return self.events["kept"] > before

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        while not holds():
            await self.changed.wait()

    @property
    def settled(self) -> bool:
        """Whether everything that was taken has been shown."""
        return self.taken <= self.shown.keys()

    @property
    def over(self) -> bool:
        """Whether every sender's message is delivered, and nobody keeps a copy any more."""
        delivered = self.final["DELIVERED"] >= len(self.taken)
        return self.settled and delivered and self.copies.keys() >= {*NAMES} and not any(self.copies.values())

    def faults(self, kills: int) -> list[str]:
        """What did not hold, in words."""
        found = []
        if self.kills.total() != kills:
            found.append(f"{self.kills.total()} kills instead of {kills}")
        lost = self.taken - self.shown.keys()
        if lost:
            found.append(f"lost: {sorted(lost)}")
        if any(len(ids) > 1 for ids in self.shown.values()):
            found.append("one message under two ids")
        twice = [message for message, count in self.new.items() if count > 1]
        if twice:
            found.append(f"shown as new twice: {twice}")
        if self.final["EXPIRED"]:
            found.append("a sender was told that a message expired")
        if any(self.left.values()):
            found.append(f"messages are left in stores: {self.left}")
        if not self.events["kept"] or not self.events["purged"]:
            found.append("nothing was ever in custody: the run proves little")
        return found


def identities(folder: Path) -> dict[str, Identity]:
    """The four nodes' identities; each is made by opening its node once."""
    found: dict[str, Identity] = {}

    async def make() -> None:
        for name in NAMES:
            async with open_node(folder / f"{name}.tom", timing=TIMING) as node:
                found[name] = node._identity

    trio.run(make)
    return found


def genesis_of(nodes: dict[str, Identity], start: int) -> Genesis:
    """A first record that all signed, whose draft makes relays of the two that neither send nor receive."""
    wanted = {nodes[name].node_id for name in ("one", "two")}
    signers = sorted(nodes.values(), key=lambda node: node.node_id)
    for number in range(1_000):
        nonce = number.to_bytes(32, "big")
        subnet = records.founded_subnet([node.node_id for node in signers], nonce)
        proofs = tuple(vrf.prove(node.vrf_secret, records.genesis_alpha(subnet)) for node in signers)
        outputs = {
            node.node_id: vrf.proof_to_hash(proof) for node, proof in zip(signers, proofs, strict=True)
        }
        keys = {node.node_id: node.vrf_key for node in signers}
        record = records.genesis_record(keys, nonce, outputs, start, TIMING)
        if set(Roles(record).relays) == wanted:
            signed = records.signed_genesis(record)
            return Genesis(record, nonce, proofs, tuple(node.signing_key.sign(signed) for node in signers))
    raise AssertionError("no draft of a thousand makes relays of these two")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def prepare(folder: Path, now: int) -> None:
    """Identities, addresses and the genesis, for all lives."""
    nodes = identities(folder)
    texts = {name: node_id_to_text(node.node_id) for name, node in nodes.items()}
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    plan = {
        "genesis": codec.encode_frame(genesis_of(nodes, now)).hex(),
        "to": texts["recipient"],
        "addresses": {name: f"{texts[name]}@127.0.0.1:{ports[name]}" for name in NAMES},
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


class Life:
    """One process of a node, from its start to its end."""

    def __init__(self, process: trio.Process, everything: Records, name: str) -> None:
        self.process = process
        self.everything = everything
        self.name = name
        self.lines = 0

    async def read(self) -> None:
        """Note every whole line until the process is gone."""
        assert self.process.stdout is not None
        rest = b""
        async for data in self.process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.everything.note(line, self.name)
            self.lines += len(lines)

    async def until(self, lines: int) -> None:
        """Wait until it has said so much."""
        await self.everything.until(lambda: self.lines >= lines)


async def begin(folder: Path, name: str, life: str) -> trio.Process:
    """Start a process."""
    return await trio.lowlevel.open_process(
        [sys.executable, __file__, "--live", str(folder), name, life],
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
    )


async def die_often(folder: Path, name: str, kills: int, chance: random.Random, everything: Records) -> Life:
    """Kill a node and start it again, ``kills`` times; returns its last life, which goes on."""
    for number in range(kills):
        life = Life(await begin(folder, name, f"{name}-{number}"), everything, name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.read)
            if number == 0:
                # In every run something waits in custody before anything but the recipient is killed.
                await everything.until(
                    lambda: bool(everything.shown if name == "recipient" else everything.events["kept"])
                )
            elif chance.random() < 0.9:
                # A random line, and a moment after it: between what the node did there and what follows.
                await life.until(1)
                with trio.move_on_after(chance.random() * 4.0):
                    await life.until(chance.randint(2, 40))
                await trio.sleep(chance.random() * 0.03)
            else:
                await trio.sleep(chance.random() * 1.5)
            life.process.kill()
        assert await life.process.wait() == -signal.SIGKILL
        everything.kills[name] += 1
        if name == "recipient":
            # It stays away until something was put into custody for it, if anything is.
            kept = everything.events["kept"]
            with trio.move_on_after(8.0 if number else SETTLED_WITHIN):
                await everything.until(partial(everything.more_kept, kept))
        await trio.sleep(chance.random() * 0.3)
    return Life(await begin(folder, name, f"{name}-last"), everything, name)


def shares(kills: int) -> dict[str, int]:
    """How often each node is killed."""
    return {name: kills // 4 + (place < kills % 4) for place, name in enumerate(reversed(NAMES))}


async def survive(folder: Path, seed: int, kills: int) -> Records:
    """The run, on prepared stores."""
    everything = Records()
    chances = random.Random(seed)
    lives: list[Life] = []

    async def play(name: str, count: int, chance: random.Random) -> None:
        life = await die_often(folder, name, count, chance, everything)
        lives.append(life)
        everyone.start_soon(life.read)

    async with trio.open_nursery() as everyone:
        async with trio.open_nursery() as players:
            for name, count in shares(kills).items():
                players.start_soon(play, name, count, random.Random(chances.random()))
        for life in lives:
            await life.until(1)
            assert life.process.stdin is not None
            await life.process.stdin.send_all(b"finish\n")
        with trio.move_on_after(SETTLED_WITHIN):
            await everything.until(lambda: everything.over)
        for life in lives:
            assert life.process.stdin is not None
            await life.process.stdin.aclose()
            await life.process.wait()
    everything.left = {name: left_in(folder, name) for name in NAMES}
    return everything


def left_in(folder: Path, name: str) -> int:
    """How many messages under way a store still holds: own ones, and copies for others."""
    own = node_id_from_text(json.loads((folder / "plan.json").read_text())["addresses"][name].split("@")[0])
    store = Store(folder / f"{name}.tom{STORE_SUFFIX}", own)
    try:
        return sum(table in {Table.CUSTODY, Table.PENDING} for table, _, _ in store.load())
    finally:
        store.close()


def run(folder: Path, seed: int, kills: int) -> Records:
    """Prepare and survive."""
    prepare(folder, SystemClock().now())
    return trio.run(survive, folder, seed, kills)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.custody_kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        everything = run(Path(folder), asked.seed, asked.kills)
    faults = everything.faults(asked.kills)
    print(
        f"seed {asked.seed}: {everything.kills.total()} kills {dict(everything.kills)}, "
        f"{len(everything.taken)} messages taken, {len(everything.shown)} shown, "
        f"{everything.again} shown again after a start, finals {dict(everything.final)}, "
        f"custody {dict(everything.events)}"
    )
    for fault in faults:
        print(f"FAILED: {fault}")
    print(f"To see it again: python -m tests.custody_kills --kills {asked.kills} --seed {asked.seed}")
    return 1 if faults else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--live"]:
        trio.run(partial(live, *sys.argv[2:]))
    else:
        sys.exit(main())
