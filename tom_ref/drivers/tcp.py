"""Links over TCP: listening, dialling, and addresses as text."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from tom_ref import codec
from tom_ref.bech32m import node_id_from_text, node_id_to_text
from tom_ref.constants import MAX_ADDRESS_BYTES
from tom_ref.crypto import Entropy
from tom_ref.drivers.connection import Connection
from tom_ref.drivers.errors import AddressError, DriverError, ListenError, UnreachableError
from tom_ref.drivers.runner import Runner
from tom_ref.effects import Dial
from tom_ref.errors import ProtocolError
from tom_ref.frames import Address, Transport
from tom_ref.identity import Identity
from tom_ref.inputs import DialFailed
from tom_ref.link import Link

_LOG: Final = logging.getLogger(__name__)

CONNECT_TIME: Final = 10.0
"""s: a connection that is not made by then is given up."""

MAX_CONNECTIONS: Final = 1_024
"""count: the most accepted connections at once; further ones are closed at once."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""What ``accept`` fails with while this process or computer has no room for a connection."""

ACCEPT_AGAIN: Final = 0.1
"""s: how long a listener without room waits."""

COMPLAIN_AGAIN: Final = 60.0
"""s: how often a lack of room is told at most."""

_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


# --- addresses as text --------------------------------------------------------------------------------


def parse_host_port(text: str) -> tuple[str, int]:
    """Split ``host:port``; an IPv6 address stands in brackets.  Port 0 is allowed (any free one).

    Raises :class:`AddressError`.
    """
    host, colon, port = text.rpartition(":")
    try:
        if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65_535:
            raise ValueError
        if host.startswith("["):
            if not host.endswith("]"):
                raise ValueError
            host = str(ipaddress.IPv6Address(host[1:-1]))
        elif not _HOST.fullmatch(host):
            raise ValueError
    except ValueError:
        raise AddressError(
            f"{text!r} is no address. Write host:port, for example 192.0.2.7:4321 or [2001:db8::7]:4321."
        ) from None
    return host, int(port)


def format_host_port(host: str, port: int) -> str:
    """The text of a host and a port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_peer(text: str) -> tuple[bytes, Address]:
    """Take ``tom1…@host:port`` apart into the NodeId and a TCP address; raises :class:`AddressError`."""
    name, at, place = text.strip().partition("@")
    if not at:
        raise AddressError(
            f"{text!r} is no address of a node. Write tom1…@host:port, as that node prints it."
        )
    host, port = parse_host_port(place)
    if port == 0 or len(place) > MAX_ADDRESS_BYTES:
        raise AddressError(f"{place!r} is no address to connect to.")
    return parse_node_id(name), Address(Transport.TCP, format_host_port(host, port))


def parse_node_id(text: str) -> bytes:
    """The 32-byte NodeId in a text ``tom1…``; raises :class:`AddressError`."""
    try:
        return node_id_from_text(text.strip())
    except ProtocolError as error:
        raise AddressError(
            f"{text!r} is no NodeId: {error.detail or 'mistyped'}. It begins with tom1; copy all of it."
        ) from None


def format_peer(node_id: bytes, address: Address) -> str:
    """The text ``tom1…@host:port``."""
    return f"{node_id_to_text(node_id)}@{address.text}"


# --- the transport ------------------------------------------------------------------------------------


class TcpTransport:
    """Makes links over TCP for one node and runs them in ``nursery``.

    ``failed`` is told why a node could not be reached, for people: the node itself gets an input.
    """

    def __init__(
        self,
        identity: Identity,
        entropy: Entropy,
        nursery: trio.Nursery,
        *,
        failed: Callable[[bytes, UnreachableError], None],
    ) -> None:
        self._identity = identity
        self._entropy = entropy
        self._nursery = nursery
        self._failed = failed
        self._accepted = 0
        self._closing = trio.CancelScope()
        self.runner: Runner
        """To be set before anything is dialled or served."""

    async def listen(self, host: str, port: int) -> Listening:
        """Open the listening sockets, without accepting anything yet; raises :class:`ListenError`."""
        return Listening(await open_listeners(host, port))

    def serve(self, listening: Listening) -> None:
        """Accept connections from now on."""
        self._nursery.start_soon(self._serve, listening)

    def stop_listening(self) -> None:
        """Close the listening sockets; open links go on."""
        self._closing.cancel()

    def dial(self, what: Dial) -> None:
        """Try the addresses one after another until a link is open; feeds ``DialFailed`` if none is."""
        self._nursery.start_soon(self._dial, what)

    def new_link(self, *, expected: bytes | None) -> Link:
        """A fresh link: as initiator to ``expected``, as responder to anybody."""
        make = partial(
            Link.responder if expected is None else Link.initiator,
            static=self._identity.link_secret,
            descriptor=codec.encode_descriptor(self.runner.node.descriptor),
            binding=b"",
            entropy=self._entropy,
            now=self.runner.now(),
        )
        return make() if expected is None else make(expected_node=expected)

    async def _serve(self, listening: Listening) -> None:
        with self._closing:
            # The links run in the other nursery: they outlive the end of listening.
            patient = [PatientListener(listener) for listener in listening.listeners]
            await trio.serve_listeners(self._run_accepted, patient, handler_nursery=self._nursery)

    async def _run_accepted(self, stream: trio.SocketStream) -> None:
        if self._accepted >= MAX_CONNECTIONS or self.runner.stopped:
            await trio.aclose_forcefully(stream)
            return
        self._accepted += 1
        try:
            await Connection(self.runner, stream, self.new_link(expected=None)).run()
        finally:
            self._accepted -= 1

    async def _dial(self, what: Dial) -> None:
        problem = UnreachableError(f"{node_id_to_text(what.node_id)} has no address that this node can use.")
        for address in what.addresses:
            if address.transport is not Transport.TCP:
                continue
            try:
                connection = await self._connect(what.node_id, address)
            except UnreachableError as error:
                problem = error
                continue
            await connection.run()
            if connection.opened.is_set():
                return
            reason = connection.closed.reason if connection.closed is not None else "closed"
            problem = UnreachableError(f"{address.text} answered, but not as this node: {reason}.")
        _LOG.info("%s", problem)
        self._failed(what.node_id, problem)
        if not self.runner.stopped:
            self.runner.feed(DialFailed(what.node_id))

    async def _connect(self, node_id: bytes, address: Address) -> Connection:
        try:
            host, port = parse_host_port(address.text)
            stream = await connect(host, port)
        except DriverError as error:
            raise UnreachableError(str(error)) from error
        return Connection(self.runner, stream, self.new_link(expected=node_id))


class PatientListener(trio.abc.Listener[trio.SocketStream]):
    """Accepts connections; without room for another it says so in one line now and then, and waits."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self._quiet_until = -float("inf")

    async def accept(self) -> trio.SocketStream:
        """The next connection."""
        while True:
            try:
                return await self._listener.accept()
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._complain(error)
            await trio.sleep(ACCEPT_AGAIN)

    async def aclose(self) -> None:
        """Close the socket."""
        await self._listener.aclose()

    def _complain(self, error: OSError) -> None:
        if trio.current_time() >= self._quiet_until:
            self._quiet_until = trio.current_time() + COMPLAIN_AGAIN
            _LOG.warning("No room for another connection (%s); those that come have to wait.", error.strerror)


class Listening:
    """Open listening sockets."""

    def __init__(self, listeners: list[trio.SocketListener]) -> None:
        self.listeners = listeners

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where the sockets listen, with the real port numbers."""
        return tuple(
            Address(Transport.TCP, format_host_port(*listener.socket.getsockname()[:2]))
            for listener in self.listeners
        )

    @property
    def reachable(self) -> tuple[Address, ...]:
        """Those of the addresses that name this computer: not "all interfaces" (0.0.0.0 and [::])."""
        return tuple(
            address
            for address in self.addresses
            if not ipaddress.ip_address(parse_host_port(address.text)[0]).is_unspecified
        )

    async def aclose(self) -> None:
        """Close the sockets."""
        for listener in self.listeners:
            await listener.aclose()


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listening sockets at a host's addresses; raises :class:`ListenError`."""
    place = format_host_port(host, port)
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"Something else already listens at {place}. Stop it, or choose another port, or 0."
        elif error.errno in {errno.EACCES, errno.EPERM}:
            text = f"This user may not listen at {place}. Choose a port above 1023."
        elif isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            text = f"{host} is not an address of this computer, so nothing can listen at {place}."
        else:
            text = f"Listening at {place} failed: {error.strerror or error}."
        raise ListenError(text) from error


async def connect(host: str, port: int) -> trio.SocketStream:
    """A connection to a host; raises :class:`UnreachableError`, after ``CONNECT_TIME`` at the latest."""
    place = format_host_port(host, port)
    with trio.move_on_after(CONNECT_TIME):
        try:
            return await trio.open_tcp_stream(host, port)
        except OSError as error:
            if isinstance(error, socket.gaierror):
                raise UnreachableError(f"No computer named {host} is known.") from error
            raise UnreachableError(f"Nothing answers at {place}: {_cause(error)}.") from error
    raise UnreachableError(f"Nothing answers at {place} within {CONNECT_TIME:.0f} s.")


def _cause(error: BaseException) -> str:
    """The operating system's words for why all attempts failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    # trio's strerror repeats the address.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
