"""Real processes over real sockets, killed at random moments: nothing lost, nothing new twice, no key reused.

Two peers talk through a relay.  Each runs in its own process, which is killed (SIGKILL) and started anew,
many times.  The test reads what they say: one line for each message that ``send`` has taken and one for each
that was shown.  The relay, in this process, sees every ciphertext.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest
import trio

from tom_ref.drivers.library import OpenNode, open_node
from tom_ref.drivers.memory import MessageKey, message_key
from tom_ref.effects import Effect
from tom_ref.inputs import FrameReceived, Input

SETTLED_WITHIN = 120
"""s: when nothing is killed any more, every message must have arrived by then."""


# --- a peer, in its own process -------------------------------------------------------------------------


def say(what: str, **values: object) -> None:
    """One line to the test, in one write: it is there whole or not at all."""
    os.write(1, json.dumps({"what": what, **values}).encode() + b"\n")


async def peer(path: str, relay: str, other: str, run: str) -> None:
    """Send numbered messages to the other peer until told to finish, and show what comes."""
    async with open_node(path, relays=[relay]) as node, trio.open_nursery() as nursery:
        say("ready")
        nursery.start_soon(show, node)
        with trio.CancelScope() as sending:
            nursery.start_soon(listen, sending, nursery.cancel_scope)
            number = 0
            while True:
                content = f"{Path(path).stem} {run} {number}"
                await node.send(other, content.encode())
                say("taken", content=content)
                number += 1
                await trio.sleep(0.01)


async def show(node: OpenNode) -> None:
    async for message in node:
        say("shown", id=message.id.hex(), content=message.content.decode(), again=message.again)
        # An application takes its time with a message; then the loop comes back and acknowledges it.
        await trio.sleep(0.005)


async def listen(sending: trio.CancelScope, everything: trio.CancelScope) -> None:
    """The first line ends the sending, the end of the input everything."""
    async with trio.lowlevel.FdStream(os.dup(0)) as commands:
        while await commands.receive_some():
            sending.cancel()
    everything.cancel()


# --- the test -------------------------------------------------------------------------------------------


class Records:
    """What the peers said in all their lives."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.shown: dict[str, set[str]] = {}
        self.new: dict[str, int] = {}
        self.again = 0
        self.lives = 0
        self.changed = trio.Event()

    def note(self, line: bytes) -> None:
        said = json.loads(line)
        if said["what"] == "taken":
            self.taken.add(said["content"])
        elif said["what"] == "shown":
            self.shown.setdefault(said["content"], set()).add(said["id"])
            self.again += said["again"]
            if not said["again"]:
                self.new[said["id"]] = self.new.get(said["id"], 0) + 1
        self.changed.set()
        self.changed = trio.Event()

    @property
    def settled(self) -> bool:
        return self.taken <= self.shown.keys()


class Life:
    """One process of a peer, from its start to its end."""

    def __init__(self, process: trio.Process, records: Records) -> None:
        self.process = process
        self.records = records
        self.lines = 0
        self.shown = 0

    async def read(self) -> None:
        """Note every whole line until the process is gone."""
        assert self.process.stdout is not None
        rest = b""
        async for data in self.process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.lines += 1
                self.shown += b'"shown"' in line
                self.records.note(line)

    async def until(self, *, lines: int = 0, shown: int = 0) -> None:
        while self.lines < lines or self.shown < shown:
            await self.records.changed.wait()


async def live_and_die(
    start: Callable[[str], Awaitable[trio.Process]], records: Records, kills: int, chance: random.Random
) -> Life:
    """Start a peer and kill it, ``kills`` times; returns its last life, which goes on."""
    for number in range(kills):
        life = Life(await start(str(number)), records)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.read)
            moment = chance.random()
            if moment < 0.4:
                await life.until(shown=chance.randint(1, 5))
            elif moment < 0.8:
                await life.until(lines=chance.randint(1, 40))
                await trio.sleep(chance.random() * 0.02)
            else:
                await trio.sleep(chance.random() * 0.8)
            life.process.kill()
        assert await life.process.wait() == -signal.SIGKILL
        records.lives += 1
    return Life(await start("last"), records)


async def survive(folder: Path, seed: int, kills: int) -> tuple[Records, dict[MessageKey, bytes]]:
    chance = random.Random(seed)
    records = Records()
    keys: dict[MessageKey, bytes] = {}

    def tap(_: int, what: Input, __: tuple[Effect, ...]) -> None:
        used = message_key(what.data) if isinstance(what, FrameReceived) else None
        if used is not None:
            key, payload = used
            assert keys.setdefault(key, payload) == payload, "one message key for two ciphertexts"

    names = ("alice", "bob")
    ids = {}
    for name in names:
        async with open_node(folder / f"{name}.tom") as node:
            ids[name] = node.id

    async with open_node(None, listen="127.0.0.1:0", trace=tap) as relay:

        async def start(name: str, other: str, run: str) -> trio.Process:
            command = [sys.executable, __file__, str(folder / f"{name}.tom")]
            return await trio.lowlevel.open_process(
                [*command, str(relay.address), ids[other], run],
                stdin=PIPE,
                stdout=PIPE,
                env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
            )

        lives: list[Life] = []

        async def play(name: str, other: str) -> None:
            own_chance = random.Random(chance.random())
            life = await live_and_die(partial(start, name, other), records, kills, own_chance)
            lives.append(life)
            nursery.start_soon(life.read)

        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as players:
                players.start_soon(play, *names)
                players.start_soon(play, *names[::-1])
            for life in lives:
                await life.until(lines=5)
                assert life.process.stdin is not None
                await life.process.stdin.send_all(b"finish\n")
            with trio.fail_after(SETTLED_WITHIN):
                while not records.settled:
                    await records.changed.wait()
            for life in lives:
                assert life.process.stdin is not None
                await life.process.stdin.aclose()
                assert await life.process.wait() == 0
    return records, keys


def check(records: Records, keys: dict[MessageKey, bytes], kills: int) -> None:
    assert records.lives == 2 * kills
    assert len(records.taken) > 20
    assert records.settled, "a message that was taken is lost"
    assert all(len(ids) == 1 for ids in records.shown.values()), "one message under two ids"
    assert max(records.new.values()) == 1, "a message was shown as new twice"
    assert len(keys) >= len(records.shown)


async def test_peers_that_are_killed_again_and_again_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    check(*await survive(tmp_path, seed=1, kills=5), kills=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
async def test_peers_that_are_killed_many_more_times(tmp_path: Path, seed: int) -> None:
    records, keys = await survive(tmp_path, seed=seed, kills=15)
    check(records, keys, kills=15)
    assert records.again > 0, "no kill fell between showing and acknowledging: the test proves little"


if __name__ == "__main__":
    trio.run(partial(peer, *sys.argv[1:]))
