"""A running node steered from other processes of the same user: JSON lines over a Unix socket.

The socket stands in a folder that only its user can enter.  One request a connection, one object a line; an
answer that ends has ``ok`` in its last line.  Requests:

* ``{"do": "status"}`` → ``status``, the document of :func:`status_document`;
* ``{"do": "invite", "valid_for": ms}`` → ``invitation``;
* ``{"do": "holding", "message_id": hex, "wait"?: ms}`` → ``holdings``: what this node and its neighbours
  still have of a message, and until when;
* ``{"do": "join", "invitation": text}``, ``{"do": "leave"}``;
* ``{"do": "send", "to", "content", "ttl"?, "route"?}`` → a line with ``step`` for each step of the
  message's journey, then its final ``state``.  Bytes are lowercase hex, times ms;
* ``{"do": "receive"}`` → a line with the next ``message``; then the client says ``{"do": "acknowledge"}``
  when it is done with it, and gets the next one.  A message that isn't acknowledged is the next one again.

What is refused is answered with ``ok`` false, a reason code and a text; nothing else comes of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from tom_ref.bech32m import node_id_to_text
from tom_ref.constants import MAX_CONTENT
from tom_ref.draft import Roles
from tom_ref.drivers.errors import AddressError, ControlError, DriverError
from tom_ref.drivers.tcp import PatientListener
from tom_ref.effects import Held, Progress, Report
from tom_ref.errors import LocalError, ProtocolError, Reason
from tom_ref.home import HomeStatus
from tom_ref.inputs import CommandError

MAX_LINE: Final = 2 * MAX_CONTENT + 65_536
"""bytes: the longest line, a message of the largest size in hex with what stands around it."""

MAX_CLIENTS: Final = 16
"""count: the most connections that are served at once; more are closed."""

MAX_HOLDING_WAIT: Final = 60_000
"""ms: the longest that a question about what is held waits for answers."""

PATIENCE: Final = 10.0
"""s: a connection that asks nothing for this long is closed."""

_CHUNK: Final = 65_536


class Steerable(Protocol):
    """What a control socket needs of a node; :class:`~tom_ref.drivers.library.OpenNode` has it."""

    @property
    def id(self) -> str:
        """The NodeId as text."""
        ...

    @property
    def address(self) -> str | None:
        """How others reach the node."""
        ...

    @property
    def linked(self) -> frozenset[str]:
        """The linked nodes."""
        ...

    def status(self) -> HomeStatus:
        """The home subnet."""
        ...

    async def invite(self, *, valid_for: int = ...) -> str:
        """Make an invitation."""
        ...

    async def holdings(self, message_id: bytes, *, wait: int = ...) -> list[Held]:
        """What this node and its neighbours still have of a message."""
        ...

    def join(self, invitation: str) -> None:
        """Join a subnet."""
        ...

    def leave(self) -> None:
        """Leave it."""
        ...

    async def send(self, to: bytes | str, content: bytes, *, ttl: int | None = ..., route: Any = ...) -> Any:
        """Take a message for delivery."""
        ...

    async def receive(self) -> Any:
        """The next message."""
        ...

    def put_back(self, message: Any) -> None:
        """Let it be the next one again."""
        ...


# --- where the socket stands ----------------------------------------------------------------------------


def socket_path(identity: Path) -> Path:
    """The socket of the node whose secret file is ``identity``.

    Paths of sockets are short (107 bytes on Linux), so it doesn't stand beside the secret file but in a
    folder of the user's own, named by the hash of the secret file's path.
    """
    name = hashlib.sha256(os.fsencode(identity.resolve())).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"tom-{os.getuid()}" / f"{name}.sock"


def _private_folder(folder: Path) -> None:
    """Make the folder, or see that it is the user's own and closed to others; else :class:`ControlError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ControlError(f"{folder} can't be made: {error.strerror}.") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ControlError(f"{folder} must be a folder of your own that nobody else can enter (chmod 700).")


# --- what is told ---------------------------------------------------------------------------------------


def status_document(node: Steerable) -> dict[str, Any]:
    """What a node is in its home subnet, for programs: bytes as hex, times in ms."""
    status = node.status()
    document: dict[str, Any] = {
        "id": node.id,
        "address": node.address,
        "links": sorted(node.linked),
        "standing": status.standing.value,
        "host": None if status.host is None else node_id_to_text(status.host),
        "subnet": None,
    }
    record, roles = status.record, status.roles
    if record is None or roles is None:
        return document
    vitals = record.vitals
    document |= {
        "subnet": record.subnet.hex(),
        "provisional": status.provisional,
        "term": record.term,
        "start": record.start,
        "slot": status.slot,
        "slot_ms": record.slot_ms,
        "term_ms": record.term_ms,
        "last_slot_voted": status.last_slot,
        "seed": record.seed.hex(),
        "quorum": roles.quorum,
        "pot": record.pot,
        "relay_share": record.relay_share,
        "custody": record.custody,
        "vitals": None
        if vitals is None
        else {
            "delivery_permille": vitals.delivery,
            "survival_permille": vitals.survival,
            "latency_permille": list(vitals.latency),
            "reports": vitals.reports,
            "forks": vitals.forks,
        },
        "members": [
            {
                "id": node_id_to_text(member.node),
                "roles": _roles(roles, member.node),
                "admitted": member.admitted,
                "absent": member.absent,
                "weight": 1 << member.weight,
                "balance": member.balance,
                "heard": member.node in status.heard,
                "linked": node_id_to_text(member.node) in node.linked,
            }
            for member in record.roster
        ],
    }
    return document


def _roles(roles: Roles, node: bytes) -> list[str]:
    held = (
        ("relay", roles.relays),
        ("validator", roles.validators),
        ("guardian", roles.guardians),
    )
    return [name for name, nodes in held if node in nodes]


# --- serving --------------------------------------------------------------------------------------------


async def serve(
    node: Steerable, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve requests until cancelled; the caller holds the lock of the node's identity.

    So a socket that is there already is a dead process's.  Raises :class:`ControlError`.
    """
    _private_folder(path.parent)
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    try:
        _remove(path)
        await listening.bind(os.fspath(path))
        listening.listen(MAX_CLIENTS)
    except OSError as error:
        listening.close()
        raise ControlError(f"The socket {path} can't be made: {error.strerror or error}.") from error
    limit = trio.CapacityLimiter(MAX_CLIENTS)

    async def serve_one(stream: trio.SocketStream) -> None:
        await _serve_one(node, stream, limit)

    try:
        task_status.started()
        await trio.serve_listeners(serve_one, [PatientListener(trio.SocketListener(listening))])
    finally:
        with suppress(OSError):
            _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _serve_one(node: Steerable, stream: trio.SocketStream, limit: trio.CapacityLimiter) -> None:
    async with stream:
        try:
            limit.acquire_nowait()
        except trio.WouldBlock:
            return
        try:
            # A client that has gone is no concern of the node's.
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await _answer(node, stream)
                await _hear_out(stream)
        finally:
            limit.release()


async def _hear_out(stream: trio.SocketStream) -> None:
    """Read on what a client still says, within bounds: closed at once, it would not get the answer."""
    await stream.send_eof()
    left = MAX_LINE
    with trio.move_on_after(PATIENCE):
        while left > 0 and (data := await stream.receive_some(_CHUNK)):
            left -= len(data)


class _Lines:
    """The lines of one connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = bytearray()

    async def next(self) -> dict[str, Any] | None:
        """The next object, or ``None``; raises ``too_large``, ``truncated`` and ``bad_text``."""
        while b"\n" not in self._received:
            if len(self._received) > MAX_LINE:
                raise ProtocolError(Reason.TOO_LARGE, "a request's line")
            data = await self._stream.receive_some(_CHUNK)
            if not data:
                if self._received:
                    raise ProtocolError(Reason.TRUNCATED, "a request ends with a line feed")
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise ProtocolError(Reason.BAD_TEXT, "a request is one JSON object")
        return request

    async def tell(self, **values: object) -> None:
        """Answer with one object."""
        await self._stream.send_all(json.dumps(values).encode() + b"\n")


async def _answer(node: Steerable, stream: trio.SocketStream) -> None:
    lines = _Lines(stream)
    tell = lines.tell
    try:
        with trio.fail_after(PATIENCE):
            request = await lines.next()
        if request is not None:
            await _carry_out(node, request, lines)
    except trio.TooSlowError:
        return
    except ProtocolError as error:
        await tell(ok=False, reason=error.reason.value, text=str(error))
    except CommandError as error:
        await tell(ok=False, reason=error.reason.value, text=error.detail)
    except AddressError as error:
        await tell(ok=False, reason=Reason.BAD_TEXT.value, text=str(error))
    except LocalError as error:
        await tell(ok=False, reason=None, text=str(error))


def _take(request: dict[str, Any], name: str, kind: type, *, optional: bool = False) -> Any:
    value = request.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ProtocolError(Reason.BAD_VALUE, f"{name} is to be of type {kind.__name__}")
    return value


async def _carry_out(node: Steerable, request: dict[str, Any], lines: _Lines) -> None:
    tell = lines.tell
    match request.get("do"):
        case "status":
            await tell(ok=True, status=status_document(node))
        case "invite":
            valid_for = _take(request, "valid_for", int, optional=True)
            given = {} if valid_for is None else {"valid_for": valid_for}
            await tell(ok=True, invitation=await node.invite(**given))
        case "holding":
            await _holding(node, request, tell)
        case "join":
            node.join(_take(request, "invitation", str))
            await tell(ok=True)
        case "leave":
            node.leave()
            await tell(ok=True)
        case "send":
            await _send(node, request, tell)
        case "receive":
            await _receive(node, lines)
        case _:
            known = "status, invite, holding, join, leave, send or receive"
            raise ProtocolError(Reason.BAD_VALUE, f"do is {known}")


async def _holding(node: Steerable, request: dict[str, Any], tell: Callable[..., Awaitable[None]]) -> None:
    try:
        message = bytes.fromhex(_take(request, "message_id", str))
    except ValueError:
        raise ProtocolError(Reason.BAD_TEXT, "message_id is lowercase hex") from None
    wait = _take(request, "wait", int, optional=True)
    held = await node.holdings(message, **({} if wait is None else {"wait": min(wait, MAX_HOLDING_WAIT)}))
    await tell(ok=True, holdings=[holding_document(one) for one in held])


def holding_document(held: Held) -> dict[str, Any]:
    """What one node says that it has of a message, for programs."""
    return {
        "node": node_id_to_text(held.peer),
        "message_id": held.message_id.hex(),
        "holding": held.holding.name.lower(),
        "until": held.until,
    }


async def _receive(node: Steerable, lines: _Lines) -> None:
    """Messages one after another, each until it is acknowledged or the client has gone."""
    while True:
        message = await node.receive()
        try:
            await lines.tell(message=message_document(message))
            answer = await lines.next()
            if answer is None:
                return
            if answer.get("do") != "acknowledge":
                raise ProtocolError(Reason.BAD_VALUE, "after a message, do is acknowledge")
            message.acknowledge()
        finally:
            node.put_back(message)


def message_document(message: Any) -> dict[str, Any]:
    """A message that arrived, for programs."""
    return {
        "message_id": message.id.hex(),
        "sender": message.sender,
        "relay": message.relay,
        "content": message.content.hex(),
        "received_at": message.received_at,
        "again": message.again,
    }


async def _send(node: Steerable, request: dict[str, Any], tell: Callable[..., Awaitable[None]]) -> None:
    try:
        content = bytes.fromhex(_take(request, "content", str))
    except ValueError:
        raise ProtocolError(Reason.BAD_TEXT, "content is lowercase hex") from None
    route = _take(request, "route", str, optional=True) or "relay"
    if route not in {"relay", "direct"}:
        raise ProtocolError(Reason.BAD_VALUE, "route is relay or direct")
    delivery = await node.send(
        _take(request, "to", str), content, ttl=_take(request, "ttl", int, optional=True), route=route
    )
    async for step in delivery.journey():
        await tell(step=step_document(step))
    await tell(ok=True, state=delivery.state.name.lower())


def step_document(step: Progress | Report) -> dict[str, Any]:
    """One step of a message's journey, for programs."""
    message = None if step.message_id is None else step.message_id.hex()
    if isinstance(step, Report):
        return {
            "event": step.event.value,
            "peer": node_id_to_text(step.peer),
            "message_id": message,
            "detail": step.detail,
        }
    return {
        "state": step.state.name.lower(),
        "message_id": message,
        "trail": [node_id_to_text(stamp.next_hop) for stamp in step.trail],
        "recipient": None if step.receipt is None else node_id_to_text(step.receipt.recipient),
    }


# --- asking ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def connect(path: Path) -> AsyncIterator[trio.SocketStream]:
    """A connection to a running node; raises :class:`ControlError` where none runs."""
    _check_owned(path)
    try:
        stream = await trio.open_unix_socket(os.fspath(path))
    except OSError as error:
        raise ControlError("No node runs with this identity.") from error
    async with stream:
        yield stream


def _check_owned(path: Path) -> None:
    """Never ask a socket that somebody else may have put there."""
    with suppress(FileNotFoundError):
        found = path.parent.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ControlError(f"{path.parent} isn't a folder of your own that nobody else can enter.")


async def ask(stream: trio.SocketStream, **request: object) -> AsyncGenerator[dict[str, Any], None]:
    """Send one request; every line of the answer, the one with ``ok`` last if it ends.

    Whoever leaves it before its end closes it (``contextlib.aclosing``).

    Raises :class:`ControlError` when the node ends before it has answered, ``CommandError`` or
    :class:`DriverError` for what it refuses.
    """
    broken = ControlError("The node ended before it had answered.")
    try:
        await stream.send_all(json.dumps(request).encode() + b"\n")
        received = b""
        while True:
            data = await stream.receive_some(_CHUNK)
            if not data:
                raise broken
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                answer = json.loads(line)
                if answer.get("ok") is False:
                    raise _refusal(answer)
                yield answer
                if "ok" in answer:
                    return
    except (trio.BrokenResourceError, ValueError):
        raise broken from None


async def acknowledge(stream: trio.SocketStream) -> None:
    """Say that the last message of a ``receive`` is dealt with; raises :class:`ControlError`."""
    try:
        await stream.send_all(b'{"do": "acknowledge"}\n')
    except trio.BrokenResourceError:
        raise ControlError("The node ended before the message was acknowledged.") from None


def _refusal(answer: dict[str, Any]) -> LocalError:
    reason, text = answer.get("reason"), str(answer.get("text"))
    return DriverError(text) if reason is None else CommandError(Reason(reason), text)
