"""Three processes on loopback: messages a second with verified receipts, round trips, bytes, memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import trio

from tom_ref.drivers import library

ROOT = Path(__file__).resolve().parents[1]
CONTENT = bytes(1024)
TTL = 60_000


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


async def _until_told(node: library.OpenNode) -> None:
    """Say where the node is and wait until standard input closes."""
    _say(address=node.address, id=node.id)
    await trio.to_thread.run_sync(sys.stdin.read)


async def relay() -> None:
    """C: relays until standard input closes."""
    async with library.open_node(None, listen="127.0.0.1:0") as node:
        await _until_told(node)


async def recipient(address: str, folder: str) -> None:
    """B: takes and acknowledges everything."""
    path = Path(folder) / "b.tom"
    async with library.open_node(path, relays=[address]) as node, trio.open_nursery() as nursery:

        async def read() -> None:
            async for _ in node:
                pass

        await node.wait_linked()
        nursery.start_soon(read)
        await _until_told(node)
        nursery.cancel_scope.cancel()


async def sender(address: str, folder: str, to: str, count: int, in_flight: int) -> None:
    """A: sends ``count`` messages, ``in_flight`` at a time, and says how long the receipts took."""
    path = Path(folder) / "a.tom"
    async with library.open_node(path, relays=[address], ttl=TTL) as node:
        await (await node.send(to, b"opens the session")).delivered()
        limit = trio.CapacityLimiter(in_flight)

        async def one() -> None:
            async with limit:
                await (await node.send(to, CONTENT)).delivered()

        started = perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)
        _say(seconds=perf_counter() - started)


class _Process:
    """One child with a line of JSON to say."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.throughput", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> dict[str, Any]:
        """The next thing it says."""
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def memory(self) -> float:
        """Resident MiB."""
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.exists():
            return float("nan")
        found = re.search(r"VmRSS:\s+(\d+)", status.read_text(encoding="ascii"))
        return int(found[1]) / 1024 if found else float("nan")

    def end(self) -> None:
        """Close its standard input and wait."""
        self._process.communicate(timeout=30)


def run(count: int, in_flight: int) -> tuple[float, float]:
    """Messages a second, and the idle relay's memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        c = _Process("relay")
        address = c.line()["address"]
        b = _Process("recipient", address, folder)
        to = b.line()["id"]
        idle = c.memory()
        a = _Process("sender", address, folder, to, str(count), str(in_flight))
        seconds = a.line()["seconds"]
        for process in (a, b, c):
            process.end()
    return count / seconds, idle


def measure(scale: float) -> dict[str, float | int]:
    """Rates with one and with many messages in flight; every one stored on disk and receipted."""
    one, idle = run(int(300 * scale), 1)
    some, _ = run(int(1500 * scale), 16)
    many, _ = run(int(3000 * scale), 128)
    return {
        "messages a second, 1 in flight (send, receipt, next)": one,
        "messages a second, 16 in flight": some,
        "messages a second, 128 in flight": many,
        "memory of an idle relay, MiB": idle,
    }


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "relay":
        trio.run(relay)
    elif role == "recipient":
        trio.run(partial(recipient, rest[0], rest[1]))
    else:
        trio.run(partial(sender, rest[0], rest[1], rest[2], int(rest[3]), int(rest[4])))
