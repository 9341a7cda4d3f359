"""Links over real TCP: handshakes, floods, silence, garbage, and addresses as text."""

from __future__ import annotations

import logging
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from tom_ref import codec
from tom_ref.bech32m import node_id_to_text
from tom_ref.constants import MAX_CONTENT, PING_INTERVAL, SEND_QUEUE_CAP
from tom_ref.crypto import Secret32
from tom_ref.drivers import connection, tcp
from tom_ref.drivers.connection import Connection
from tom_ref.drivers.errors import AddressError, ListenError, UnreachableError
from tom_ref.drivers.library import OpenNode, open_node
from tom_ref.drivers.system import system_entropy
from tom_ref.drivers.tcp import (
    connect,
    format_host_port,
    format_peer,
    open_listeners,
    parse_host_port,
    parse_node_id,
    parse_peer,
)
from tom_ref.effects import DeliveryState, Effect
from tom_ref.frames import Address, Transport
from tom_ref.identity import Identity
from tom_ref.inputs import (
    AddPeer,
    ClockMeasured,
    DialFailed,
    Input,
    LinkCongested,
    LinkDown,
    LinkUp,
    LinkWritable,
)
from tom_ref.link import Link, LinkOpened

DEADLINE = 30
ANYWHERE = "127.0.0.1:0"
STRANGER = Identity.from_secret(Secret32(bytes(range(32))))


class Steps:
    """A trace that can be waited on."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self._changed = trio.Event()

    def __call__(self, _: int, what: Input, __: tuple[Effect, ...]) -> None:
        self.inputs.append(what)
        self._changed.set()
        self._changed = trio.Event()

    def of(self, kind: type[Any]) -> list[Any]:
        return [what for what in self.inputs if isinstance(what, kind)]

    async def until(self, kind: type[Any], count: int = 1) -> list[Any]:
        while len(found := self.of(kind)) < count:
            await self._changed.wait()
        return found


def place_of(node: OpenNode) -> tuple[str, int]:
    return parse_host_port(str(node.address).partition("@")[2])


@asynccontextmanager
async def stranger(
    node: OpenNode, expected: bytes | None = None
) -> AsyncIterator[tuple[trio.SocketStream, Link]]:
    """A raw connection to a node and the initiator's end of a link over it, not begun."""
    stream = await connect(*place_of(node))
    async with stream, open_node(None) as other:
        own = other._runner.node.descriptor
        link = Link.initiator(
            static=other._identity.link_secret,
            descriptor=codec.encode_descriptor(own),
            binding=b"",
            entropy=system_entropy,
            now=other._runner.now(),
            expected_node=expected,
        )
        yield stream, link


async def shake_hands(stream: trio.SocketStream, link: Link, now: int) -> None:
    while True:
        while data := link.data_to_send(now):
            await stream.send_all(data)
        event = link.next_event()
        if isinstance(event, LinkOpened):
            while data := link.data_to_send(now):
                await stream.send_all(data)
            return
        if event is None:
            data = await stream.receive_some(65_536)
            assert data, "closed in the handshake"
            link.receive_data(bytes(data), now)


# --- addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("example.org:65535", "example.org", 65_535),
        ("[2001:db8::1]:0", "2001:db8::1", 0),
        ("xn--bcher-kva.example.:7", "xn--bcher-kva.example.", 7),
        ("a:1", "a", 1),
    ],
)
def test_host_and_port(text: str, host: str, port: int) -> None:
    assert parse_host_port(text) == (host, port)
    assert format_host_port(host, port) == text


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for parse in (parse_host_port, parse_peer, parse_node_id):
        try:
            value = parse(text)
        except AddressError:
            continue
        if parse is parse_host_port:
            assert parse_host_port(format_host_port(*value)) == value


@given(st.binary(min_size=32, max_size=32), st.integers(1, 65_535))
def test_a_peers_text_comes_back(node_id: bytes, port: int) -> None:
    address = Address(Transport.TCP, f"[::1]:{port}")
    assert parse_peer(format_peer(node_id, address)) == (node_id, address)
    assert parse_peer(f" {format_peer(node_id, address).upper().replace('[::1]', '[::1]')}\n") == (
        node_id,
        address,
    )


# --- connecting -----------------------------------------------------------------------------------------


async def test_what_cannot_be_reached_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    (listener,) = await open_listeners("127.0.0.1", 0)
    port = listener.socket.getsockname()[1]
    with pytest.raises(ListenError, match=f"already listens at 127.0.0.1:{port}"):
        await open_listeners("127.0.0.1", port)
    await listener.aclose()
    with pytest.raises(UnreachableError, match=f"Nothing answers at 127.0.0.1:{port}: .*refused"):
        await connect("127.0.0.1", port)

    async def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    async def silence(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", no_such_name)
    with pytest.raises(UnreachableError, match="No computer named nowhere"):
        await connect("nowhere", 1)
    monkeypatch.setattr(trio, "open_tcp_stream", silence)
    monkeypatch.setattr(tcp, "CONNECT_TIME", 0.01)
    with pytest.raises(UnreachableError, match="within"):
        await connect("192.0.2.1", 1)


async def test_every_dial_ends_in_a_link_or_in_a_failure(autojump_clock: trio.testing.MockClock) -> None:
    """Nobody there, somebody else there, somebody who says nothing, no address at all."""
    steps = Steps()
    async with open_node(None, listen=ANYWHERE) as other, open_node(None, trace=steps) as node:
        (deaf,) = await open_listeners("127.0.0.1", 0)
        (gone,) = await open_listeners("127.0.0.1", 0)
        places = [listener.socket.getsockname()[1] for listener in (deaf, gone)]
        await gone.aclose()
        names = []
        for index, text in enumerate([f"127.0.0.1:{places[1]}", str(other.address).partition("@")[2]]):
            name = node_id_to_text(Identity.from_secret(Secret32(bytes([index + 1]) * 32)).node_id)
            names.append(name)
            node.add_peer(f"{name}@{text}", relay=True)
        await steps.until(DialFailed, 2)
        assert {node_id_to_text(what.node_id) for what in steps.of(DialFailed)} == set(names)
        assert "refused" in str(node.unreachable[names[0]])
        assert "not as this node" in str(node.unreachable[names[1]])
        assert not steps.of(LinkUp)
        await deaf.aclose()


async def test_the_second_address_serves_when_the_first_does_not() -> None:
    steps = Steps()
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE) as relay, open_node(None, trace=steps) as node:
            (gone,) = await open_listeners("127.0.0.1", 0)
            port = gone.socket.getsockname()[1]
            await gone.aclose()
            addresses = (
                Address(Transport.WEBRTC, "ignored"),
                Address(Transport.TCP, f"127.0.0.1:{port}"),
                Address(Transport.TCP, str(relay.address).partition("@")[2]),
            )
            node._runner.feed(AddPeer(relay.node_id, addresses, relay=True))
            await node.wait_linked(relay.id)
            assert not steps.of(DialFailed)


@pytest.mark.parametrize("slow", [False, True])
async def test_a_link_measures_again_when_the_answer_took_too_long(
    slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOM-PURGE-053: one ping when a link opens; another at once after an answer that says nothing."""
    if slow:
        monkeypatch.setattr(connection, "EPS", -1)  # Then every answer takes too long.
    steps = Steps()
    with trio.fail_after(PING_INTERVAL / 2_000):
        async with open_node(None, listen=ANYWHERE) as relay, open_node(None, trace=steps) as node:
            node.add_peer(str(relay.address), relay=True)
            await node.wait_linked(relay.id)
            await steps.until(ClockMeasured, 3 if slow else 1)
            delivery = await node.send(relay.id, b"x")
            await delivery.delivered()
    assert (len(steps.of(ClockMeasured)) == 1) != slow


async def test_two_nodes_that_dial_each_other_at_once_keep_one_link_and_it_works() -> None:
    with trio.fail_after(DEADLINE):
        for _ in range(5):
            async with open_node(None, listen=ANYWHERE) as one, open_node(None, listen=ANYWHERE) as other:
                one.add_peer(str(other.address), relay=True)
                other.add_peer(str(one.address), relay=True)
                deliveries = [await one.send(other.id, b"x"), await other.send(one.id, b"x")]
                for delivery in deliveries:
                    await delivery.delivered()
                while {len(node._runner.channels) for node in (one, other)} != {1}:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                await (await one.send(other.id, b"y")).delivered()
                await (await other.send(one.id, b"y")).delivered()


# --- accepting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(70_000),
        b"\xff\xff" + bytes(65_535),
        struct.pack(">H", 32) + bytes(32),
    ],
    ids=["http", "zeros", "large", "low order"],
)
async def test_garbage_ends_only_its_own_connection(data: bytes) -> None:
    steps = Steps()
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE, trace=steps) as node:
            stream = await connect(*place_of(node))
            async with stream:
                try:
                    await stream.send_all(data)
                    await stream.send_eof()
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
            assert not steps.of(LinkUp)
            async with stranger(node, node.node_id) as (good, link):
                await shake_hands(good, link, node._runner.now())
                await steps.until(LinkUp)


async def test_an_unfinished_handshake_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tom_ref.link.HANDSHAKE_TIMEOUT", 100)
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE) as node:
            stream = await connect(*place_of(node))
            async with stream:
                assert await stream.receive_some() == b"", "the node hung up"


async def test_a_link_ends_when_its_transport_does_and_the_node_hears_it() -> None:
    steps = Steps()
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE, trace=steps) as node:
            async with stranger(node) as (stream, link):
                await shake_hands(stream, link, node._runner.now())
                await steps.until(LinkUp)
                reset = struct.pack("ii", 1, 0)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            (down,) = await steps.until(LinkDown)
            assert down.link == steps.of(LinkUp)[0].link
            await node._runner.carried_out()
            assert not node.linked


async def test_a_silent_peer_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tom_ref.link.PING_INTERVAL", 50)
    monkeypatch.setattr("tom_ref.link.IDLE_TIMEOUT", 150)
    monkeypatch.setattr("tom_ref.drivers.runner.LONGEST_SLEEP", 0.02)
    steps = Steps()
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE, trace=steps) as node, stranger(node) as (stream, link):
            await shake_hands(stream, link, node._runner.now())
            (down,) = await steps.until(LinkDown)
            assert down.reason == "idle_timeout"


async def test_more_connections_than_allowed_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 2)
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE) as node:
            first, second = [await connect(*place_of(node)) for _ in range(2)]
            await trio.testing.wait_all_tasks_blocked(0.05)
            third = await connect(*place_of(node))
            assert await third.receive_some() == b""
            await first.aclose()
            while True:
                again = await connect(*place_of(node))
                with trio.move_on_after(0.05) as waiting:
                    await again.receive_some()
                await again.aclose()
                if waiting.cancelled_caught:
                    break
            for stream in (second, third):
                await stream.aclose()


# --- pressure -------------------------------------------------------------------------------------------


async def test_a_backlog_far_beyond_what_a_link_takes_is_delivered_once_there_is_one() -> None:
    """24 MiB wait for a recipient who was away; a link queues 8 MiB at most."""
    count = 24
    assert count * MAX_CONTENT > 2 * SEND_QUEUE_CAP
    steps = Steps()
    with trio.fail_after(4 * DEADLINE):
        async with open_node(None, listen=ANYWHERE) as bob, open_node(None, trace=steps) as alice:
            deliveries = [alice.send_nowait(bob.id, bytes([n]) * MAX_CONTENT) for n in range(count)]
            assert all(delivery.state is DeliveryState.PENDING for delivery in deliveries)
            alice.add_peer(str(bob.address), relay=True)
            got = set()
            for _ in range(count):
                message = await bob.receive()
                assert len(message.content) == MAX_CONTENT
                got.add(message.content[0])
                message.acknowledge()
            assert got == set(range(count))
            for delivery in deliveries:
                await delivery.delivered()
            assert len(steps.of(LinkUp)) == 1, "one link carried all of it"
            assert steps.of(LinkCongested)
            await steps.until(LinkWritable)


async def test_frames_beyond_every_bound_are_dropped_and_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "OVERFLOW_CAP", 2 * MAX_CONTENT)
    monkeypatch.setattr("tom_ref.constants.RETRY_FIRST", 300)
    with trio.fail_after(4 * DEADLINE):
        async with open_node(None, listen=ANYWHERE) as bob, open_node(None) as alice:
            deliveries = [alice.send_nowait(bob.id, bytes([n]) * MAX_CONTENT) for n in range(16)]
            alice.add_peer(str(bob.address), relay=True)
            for _ in deliveries:
                (await bob.receive()).acknowledge()
            for delivery in deliveries:
                await delivery.delivered()


async def test_a_peer_that_does_not_read_holds_up_nobody_else() -> None:
    steps = Steps()
    with trio.fail_after(2 * DEADLINE):
        async with (
            open_node(None, listen=ANYWHERE, trace=steps) as node,
            open_node(None, peers=[str(node.address)]) as alice,
            stranger(node) as (stream, link),
        ):
            await shake_hands(stream, link, node._runner.now())
            (up,) = await steps.until(LinkUp)
            sleeper = up.descriptor.node_id
            for number in range(20):
                node.send_nowait(sleeper, bytes([number]) * MAX_CONTENT, route="direct")
            await steps.until(LinkCongested)
            delivery = await alice.send(node.id, b"still there?", route="direct")
            await node.receive()
            await delivery.delivered()


async def test_a_link_with_full_queues_still_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a node whose peer reads nothing takes the farewell's time, not for ever."""
    steps = Steps()
    begin = trio.current_time()
    with trio.fail_after(DEADLINE), trio.CancelScope() as outer:
        async with open_node(None, listen=ANYWHERE, trace=steps) as node, stranger(node) as (stream, link):
            await shake_hands(stream, link, node._runner.now())
            (up,) = await steps.until(LinkUp)
            for number in range(20):
                node.send_nowait(up.descriptor.node_id, bytes([number]) * MAX_CONTENT, route="direct")
            await steps.until(LinkCongested)
            assert all(isinstance(channel, Connection) for channel in node._runner.channels)
            begin = trio.current_time()
            outer.cancel()
            await trio.sleep_forever()
    assert trio.current_time() - begin < DEADLINE / 2


async def test_no_room_for_a_connection_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Without a free file descriptor a node waits, says so once, without a traceback, and then accepts."""
    async with open_node(None, listen="127.0.0.1:0") as node:
        host, port = place_of(node)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        with trio.socket.socket() as client:
            free = os.dup(0)
            os.close(free)
            # No number below the limit is free: the next descriptor is refused, whoever asks.
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
            try:
                await client.connect((host, port))
                while not caplog.records:  # noqa: ASYNC110 - a log has no event
                    await trio.sleep(0.01)
                await trio.sleep(3 * tcp.ACCEPT_AGAIN)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            stream = trio.SocketStream(client)
            async with open_node(None) as other:
                link = Link.initiator(
                    static=other._identity.link_secret,
                    descriptor=codec.encode_descriptor(other._runner.node.descriptor),
                    binding=b"",
                    entropy=system_entropy,
                    now=other._runner.now(),
                    expected_node=node.node_id,
                )
                await shake_hands(stream, link, other._runner.now())
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.exc_info for record in told] == [None]
    assert "No room for another connection" in told[0].getMessage()
