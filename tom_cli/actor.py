"""One node in a process of its own, steered by JSON lines: what the demo and the crash tests run.

It is an ordinary application of the library: it opens a node, sends what it is told to and tells what
happens.  Lines on standard input are commands, lines on standard output are events, one JSON object each,
bytes as lowercase hex, times in ms since the Unix epoch.

Commands: ``{"do": "send", "to", "content", "ttl"?, "route"?}``, ``{"do": "relay", "address"}``,
``{"do": "invite"}``, ``{"do": "duty", "to"}``, ``{"do": "flip", "on": bool}``, ``{"do": "quit"}``.  Closing
standard input quits as well.

Events: ``ready``, ``report`` (dated when the node decided it, which is before it is on disk), ``progress``,
``message``, ``home`` (a new record is present), ``invitation``, ``duty`` (who carries messages to a node, in
this order), ``flipping``, ``seen`` (with ``--watch``: every envelope that came in, as its bytes), ``error``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import trio
from attrs import evolve

from tom_ref import codec
from tom_ref.bech32m import node_id_from_text, node_id_to_text
from tom_ref.drivers import library
from tom_ref.effects import Effect, Event, Progress, Report, SendFrame
from tom_ref.errors import LocalError, ProtocolError
from tom_ref.frames import Envelope
from tom_ref.inputs import FrameReceived, Input
from tom_ref.node import Node
from tom_ref.timing import Timing


def tell(event: str, at: int | None = None, /, **details: object) -> None:
    """Write one event, dated ``at`` ms or now."""
    line = {"event": event, "at_ms": time.time_ns() // 1_000_000 if at is None else at, **details}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class DishonestNode(Node):
    """A node that, while ``flipping``, changes one bit of every ciphertext it hands on."""

    flipping = False

    def step(self, what: Input, now: int) -> tuple[Effect, ...]:
        """As an honest node, but for the bit."""
        effects = super().step(what, now)
        if not DishonestNode.flipping:
            return effects
        return tuple(_flipped(effect) if isinstance(effect, SendFrame) else effect for effect in effects)


def _flipped(effect: SendFrame) -> SendFrame:
    frame = codec.decode_frame(effect.data)
    if not isinstance(frame, Envelope):
        return effect
    payload = frame.payload[:-1] + bytes((frame.payload[-1] ^ 1,))
    return evolve(effect, data=codec.encode_envelope(evolve(frame, payload=payload)))


def _trace(now: int, what: Input, effects: tuple[Effect, ...], *, watch: bool) -> None:
    """Tell what a step did, dated with the step's own time: so causes come before their effects."""
    if watch and isinstance(what, FrameReceived) and what.data[:1] == b"\x01":
        tell("seen", now, frame=what.data.hex())
    for effect in effects:
        if isinstance(effect, Report):
            tell(
                "report",
                now,
                what=effect.event.value,
                peer=node_id_to_text(effect.peer),
                message_id=None if effect.message_id is None else effect.message_id.hex(),
                detail=effect.detail,
            )


async def _lines() -> AsyncIterator[dict[str, Any]]:
    """The commands on standard input."""
    buffer = b""
    stream = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
    async for data in stream:
        buffer += data
        *whole, buffer = buffer.split(b"\n")
        for line in whole:
            yield json.loads(line)


async def _follow(delivery: library.Delivery, name: str) -> None:
    try:
        async for step in delivery.journey():
            if isinstance(step, Progress):
                tell(
                    "progress",
                    name=name,
                    state=step.state.name.lower(),
                    message_id=None if step.message_id is None else step.message_id.hex(),
                    trail=[codec.encode_stamp(stamp).hex() for stamp in step.trail],
                    receipt=None if step.receipt is None else codec.encode_receipt(step.receipt).hex(),
                )
    except LocalError as error:
        tell("error", text=str(error))


async def _messages(node: library.OpenNode) -> None:
    async for message in node:
        tell(
            "message",
            message_id=message.id.hex(),
            sender=message.sender,
            relay=message.relay,
            content=message.content.hex(),
            again=message.again,
        )


async def _command(node: library.OpenNode, nursery: trio.Nursery, command: dict[str, Any]) -> bool:
    """Carry out one command; ``False`` means to quit."""
    match command["do"]:
        case "send":
            delivery = await node.send(
                command["to"],
                bytes.fromhex(command["content"]),
                ttl=command.get("ttl"),
                route=command.get("route", "relay"),
            )
            nursery.start_soon(_follow, delivery, command.get("name", ""))
        case "relay":
            node.add_peer(command["address"], relay=True)
        case "invite":
            tell("invitation", text=await node.invite())
        case "duty":
            roles = node.status().roles
            duty = () if roles is None else roles.duty(node.node_id, node_id_from_text(command["to"]))
            tell("duty", nodes=[node_id_to_text(one) for one in duty])
        case "flip":
            DishonestNode.flipping = command["on"]
            tell("flipping", on=command["on"])
        case "quit":
            return False
        case other:
            tell("error", text=f"unknown command {other!r}")
    return True


async def _records(node: library.OpenNode) -> None:
    """Tell of the home at the beginning and with each new record."""
    reports = node.reports()
    _tell_home(node)
    async for report in reports:
        if report.event is Event.RECORD:
            _tell_home(node)


def _tell_home(node: library.OpenNode) -> None:
    status = node.status()
    if status.record is not None and status.roles is not None:
        tell(
            "home",
            term=status.record.term,
            members=len(status.record.roster),
            pool=[node_id_to_text(member.node) for member in status.roles.pool],
            standing=status.standing.value,
        )


async def act(arguments: argparse.Namespace) -> None:
    """Run the node until it is told to quit."""
    trace = partial(_trace, watch=arguments.watch)
    async with (
        library.open_node(
            arguments.identity,
            listen=arguments.listen,
            relays=arguments.relay,
            found=arguments.found,
            join=arguments.join,
            timing=Timing.fast(arguments.slot_ms) if arguments.slot_ms else None,
            trace=trace,
        ) as node,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_messages, node)
        nursery.start_soon(_records, node)
        tell("ready", id=node.id, address=node.address, pid=os.getpid())
        async for command in _lines():
            try:
                if not await _command(node, nursery, command):
                    break
            except (LocalError, ProtocolError) as error:
                tell("error", text=str(error))
        nursery.cancel_scope.cancel()


async def _act_alone(act_: Callable[[], Awaitable[None]]) -> None:
    """Run it; what goes wrong is raised as itself, not in a group of one."""
    try:
        await act_()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def main() -> None:
    """The command line of one actor."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--identity", help="secret file; without it a temporary identity")
    parser.add_argument("--listen", help="host:port")
    parser.add_argument("--relay", action="append", default=[], help="tom1…@host:port")
    parser.add_argument("--found", action="store_true", help="found a subnet")
    parser.add_argument("--join", help="join a subnet by this invitation")
    parser.add_argument("--slot-ms", type=int, default=0, help="a network of one computer, with such slots")
    parser.add_argument("--watch", action="store_true", help="tell every envelope that comes in")
    parser.add_argument("--dishonest", action="store_true", help="obey the command flip")
    arguments = parser.parse_args()
    if arguments.dishonest:
        setattr(library, "Node", DishonestNode)  # noqa: B010 - the one thing an honest program can't ask for
    try:
        trio.run(_act_alone, partial(act, arguments))
    except (LocalError, ProtocolError) as error:
        tell("error", text=str(error))
        sys.exit(1)
    except BrokenPipeError:
        # Whoever started this process is gone; so there is nobody to tell.
        os._exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
