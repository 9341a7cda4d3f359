"""The ``tom`` command.

Exit codes: 0 done · 1 it could not be done (standard error says what and what to do) · 2 wrong usage ·
3 the message was not delivered in time · 130 interrupted.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import trio
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tom_cli import demo as demonstration
from tom_cli.dump import Row, dump
from tom_cli.show import readable, short
from tom_ref.bech32m import node_id_to_text
from tom_ref.constants import DEFAULT_TTL, MAX_CONTENT
from tom_ref.crypto import Secret32
from tom_ref.drivers import library, secret_file
from tom_ref.drivers.errors import NotDelivered
from tom_ref.drivers.system import system_entropy
from tom_ref.effects import DeliveryState, Event, Progress, Report
from tom_ref.errors import LocalError, ProtocolError, Reason
from tom_ref.identity import Identity, new_secret

FAILED: Final = 1
USAGE: Final = 2
NOT_DELIVERED: Final = 3
INTERRUPTED: Final = 130

app = App(
    name="tom",
    help="ToM, The Open Messaging: messages from A to B with no server.",
    version_flags=["--version"],
    result_action="return_value",
)
id_app = App(name="id", help="Make and show identities.")
app.command(id_app)


def default_identity() -> Path:
    """Where the identity is kept when no path is given: ``$TOM_IDENTITY``, else ``~/.tom/identity.tom``."""
    named = os.environ.get("TOM_IDENTITY")
    return Path(named) if named else Path.home() / ".tom" / "identity.tom"


IdentityPath = Annotated[
    Path | None,
    Parameter(
        name=["--identity", "-i"],
        help="The secret file; its records are kept beside it. Default: $TOM_IDENTITY or ~/.tom/identity.tom",
    ),
]
Relays = Annotated[
    tuple[str, ...],
    Parameter(name=["--relay", "-r"], help="A relay to use, tom1…@host:port; may be repeated.", negative=()),
]
AsJson = Annotated[
    bool, Parameter(name="--json", help="One JSON document or line for programs.", negative=())
]
AskPassphrase = Annotated[
    bool,
    Parameter(
        name=["--passphrase", "-p"],
        help="Ask for the passphrase of the secret file ($TOM_PASSPHRASE is taken without asking).",
        negative=(),
    ),
]


class UsageError(LocalError):
    """The command was given something that it can't use."""


def passphrase(*, ask: bool, confirm: bool = False) -> str | None:
    """The passphrase from the environment or the terminal; ``None`` when there is none."""
    given = os.environ.get("TOM_PASSPHRASE")
    if given:
        return given
    if not ask:
        return None
    first = getpass.getpass("Passphrase: ")
    if not first:
        raise UsageError("An empty passphrase protects nothing; leave --passphrase out instead.")
    if confirm and getpass.getpass("The same again: ") != first:
        raise UsageError("The two passphrases differ; nothing was written.")
    return first


def out() -> Console:
    """Standard output, for people."""
    return Console(highlight=False)


def err() -> Console:
    """Standard error, for people."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def tell_json(**values: object) -> None:
    """One JSON line on standard output."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


# --- id -----------------------------------------------------------------------------------------------


@id_app.command
def new(path: Path | None = None, /, *, passphrase_: AskPassphrase = False, json_: AsJson = False) -> int:
    """Make a new identity: a secret file that only you can read, and the NodeId that goes with it.

    Parameters
    ----------
    path
        Where to write the secret file; it must not exist.
    """
    target = path or default_identity()
    words = passphrase(ask=passphrase_, confirm=True)
    if path is None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = new_secret(system_entropy)
    secret_file.create(target, secret, words, system_entropy)
    _show_identity(secret, target, protected=words is not None, json_=json_)
    return 0


@id_app.command
def show(path: Path | None = None, /, *, passphrase_: AskPassphrase = False, json_: AsJson = False) -> int:
    """Show the NodeId and the public keys of an identity.

    Parameters
    ----------
    path
        The secret file.
    """
    target = path or default_identity()
    with secret_file.load(target, passphrase(ask=passphrase_)) as locked:
        _show_identity(locked.secret, target, protected=None, json_=json_)
    return 0


def _show_identity(secret: Secret32, path: Path, *, protected: bool | None, json_: bool) -> None:
    identity = Identity.from_secret(secret)
    name = node_id_to_text(identity.node_id)
    keys = {
        "vrf_key": identity.vrf_key.hex(),
        "link_key": identity.link_key.hex(),
        "session_key": identity.session_key.hex(),
    }
    if json_:
        tell_json(id=name, node_id=identity.node_id.hex(), **keys, path=str(path))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("NodeId", f"[bold]{name}")
    for key, value in keys.items():
        table.add_row(key.replace("_", " "), value)
    table.add_row("secret file", Text(str(path)))
    out().print(table)
    if protected is False:
        out().print(
            "\nNo passphrase protects this file (see --passphrase): whoever reads it can be you. Keep a copy.",
            style="dim",
        )


# --- node, send, listen -------------------------------------------------------------------------------


def _identity_path(identity: Path | None) -> Path:
    path = identity or default_identity()
    if not path.exists():
        made = f"tom id new {path}" if identity else "tom id new"
        raise UsageError(f"There is no identity at {path}. Make one: {made}")
    return path


@app.command
def node(
    *,
    listen: Annotated[
        str, Parameter(help="host:port to listen at; port 0 takes any free one.")
    ] = "127.0.0.1:7700",
    announce: Annotated[
        tuple[str, ...],
        Parameter(
            help="host:port at which others reach this node, where it isn't what it listens at.", negative=()
        ),
    ] = (),
    identity: IdentityPath = None,
    relay: Relays = (),
    passphrase_: AskPassphrase = False,
    json_: AsJson = False,
) -> int:
    """Run a node that listens and relays until it is interrupted; prints its address first."""
    path = _identity_path(identity)
    words = passphrase(ask=passphrase_)

    async def run() -> int:
        async with library.open_node(
            path, passphrase=words, listen=listen, announce=announce or None, relays=relay
        ) as opened:
            if json_:
                tell_json(event="listening", id=opened.id, address=opened.address, pid=os.getpid())
            else:
                out().print(f"[bold]{opened.address}", soft_wrap=True)
                out().print(
                    "Give this address to others as their --relay. Ctrl-C ends the node.", style="dim"
                )
            async for report in opened.reports():
                _show_report(report, json_=json_)
        return 0

    return _run(run)


def _show_report(report: Report, *, json_: bool) -> None:
    name = node_id_to_text(report.peer)
    if json_:
        message = None if report.message_id is None else report.message_id.hex()
        tell_json(event=report.event.value, peer=name, message_id=message, detail=report.detail)
        return
    line = Text(f"{report.event.value.replace('_', ' '):<20}")
    line.append(f" {short(name)}", style="cyan")
    if report.message_id is not None:
        line.append(f"  {report.message_id.hex()[:12]}", style="dim")
    if report.detail:
        line.append(f"  {report.detail}")
    out().print(line, soft_wrap=True)


@app.command
def send(
    to: str,
    text: str | None = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(help="Send this file's content; - reads standard input.")] = None,
    identity: IdentityPath = None,
    relay: Relays = (),
    peer: Annotated[
        tuple[str, ...], Parameter(help="A node that can be reached directly, tom1…@host:port.", negative=())
    ] = (),
    route: Annotated[Literal["relay", "direct"], Parameter(help="Which way to try first.")] = "relay",
    ttl: Annotated[float, Parameter(help="The message's lifetime in seconds, at most 86400.")] = DEFAULT_TTL
    / 1000,
    wait: Annotated[float, Parameter(help="How many seconds to wait for the receipt.")] = 30.0,
    passphrase_: AskPassphrase = False,
    json_: AsJson = False,
) -> int:
    """Send a message and wait for its receipt.

    A message without a receipt stays stored with the identity and goes on whenever a command runs with it.

    Parameters
    ----------
    to
        The recipient's NodeId, tom1….
    text
        What to send, unless --file is given.
    """
    content = _content(text, file)
    path = _identity_path(identity)
    words = passphrase(ask=passphrase_)

    async def run() -> int:
        async with library.open_node(path, passphrase=words, relays=relay, peers=peer) as opened:
            delivery = await opened.send(to, content, ttl=round(ttl * 1000), route=route)
            with trio.move_on_after(wait) as patience:
                async for step in delivery.journey():
                    _show_step(step, json_=json_)
                await delivery.delivered()
            if patience.cancelled_caught:
                reasons = [str(error) for error in opened.unreachable.values()]
                _say_waiting(delivery, wait, reasons, linked=bool(opened.linked))
                return NOT_DELIVERED
        return 0

    return _run(run)


def _content(text: str | None, file: Path | None) -> bytes:
    if (text is None) == (file is None):
        raise UsageError("Give either a text or --file.")
    if file is None:
        assert text is not None
        return text.encode("utf-8")
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(MAX_CONTENT + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(MAX_CONTENT + 1)
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}.") from error
    if len(content) > MAX_CONTENT:
        raise UsageError(f"A message has at most {MAX_CONTENT:,} bytes; {file} has more.")
    return content


def _show_step(step: Progress | Report, *, json_: bool) -> None:
    if isinstance(step, Report):
        if not json_ and step.event in {Event.REROUTED, Event.REFUSED}:
            _show_report(step, json_=False)
        return
    message = None if step.message_id is None else step.message_id.hex()
    if json_:
        trail = [node_id_to_text(stamp.next_hop) for stamp in step.trail]
        tell_json(state=step.state.name.lower(), message_id=message, trail=trail)
        return
    line = Text(
        f"{step.state.name.lower():<10}", style="green" if step.state is DeliveryState.DELIVERED else ""
    )
    if step.trail:
        line.append(" → ".join(["", *(short(node_id_to_text(stamp.next_hop)) for stamp in step.trail)]))
    if step.receipt is not None:
        line.append(f" receipt of {short(node_id_to_text(step.receipt.recipient))} verified", style="green")
    if message is not None:
        line.append(f"  message {message[:16]}…", style="dim")
    out().print(line, soft_wrap=True)


def _say_waiting(delivery: library.Delivery, wait: float, reasons: list[str], *, linked: bool) -> None:
    why = (
        " ".join(reasons)
        if reasons
        else "The recipient has not answered through any relay."
        if linked
        else "No relay and no address of the recipient is known: give --relay or --peer."
    )
    err().print(
        f"No receipt within {wait:g} s; the message is {delivery.state.name.lower()}. {why} "
        "It stays stored and goes on whenever a command runs with this identity."
    )


@app.command
def listen(
    *,
    at: Annotated[
        str | None, Parameter(help="host:port to listen at, if others are to reach this node.")
    ] = None,
    count: Annotated[int, Parameter(help="End after so many messages; 0 goes on until interrupted.")] = 0,
    identity: IdentityPath = None,
    relay: Relays = (),
    passphrase_: AskPassphrase = False,
    json_: AsJson = False,
) -> int:
    """Show messages as they arrive."""
    path = _identity_path(identity)
    words = passphrase(ask=passphrase_)

    async def run() -> int:
        async with library.open_node(path, passphrase=words, listen=at, relays=relay) as opened:
            if json_:
                tell_json(event="listening", id=opened.id, address=opened.address, pid=os.getpid())
            else:
                out().print(f"[bold]{opened.address or opened.id}", soft_wrap=True)
                out().print("This is where others write to. Ctrl-C ends.", style="dim")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_warn_unreachable, opened)
                await _show_messages(opened, count, json_=json_)
                nursery.cancel_scope.cancel()
        return 0

    return _run(run)


async def _warn_unreachable(opened: library.OpenNode) -> None:
    """Say once when a relay can't be reached; dialling goes on."""
    said: set[str] = set()
    while True:
        for name, error in opened.unreachable.items():
            if name not in said:
                said.add(name)
                err().print(f"tom: {error} Trying on.")
        await trio.sleep(0.5)


async def _show_messages(opened: library.OpenNode, count: int, *, json_: bool) -> None:
    shown = 0
    async for message in opened:
        if json_:
            tell_json(
                event="message",
                message_id=message.id.hex(),
                sender=message.sender,
                relay=message.relay,
                content=message.content.hex(),
                again=message.again,
            )
        else:
            line = Text(short(message.sender), style="bold cyan")
            line.append(f"  {readable(message.content, 2_000)}", style="default not bold")
            if message.again:
                line.append("  (shown again)", style="dim")
            out().print(line, soft_wrap=True)
        message.acknowledge()
        shown += 1
        if shown == count:
            return


# --- inspect ------------------------------------------------------------------------------------------


@app.command
def inspect(
    source: str,
    /,
    *,
    as_: Annotated[
        Literal["frame", "descriptor", "header", "records", "session", "handshake"],
        Parameter(name="--as", help="What the bytes are."),
    ] = "frame",
    json_: AsJson = False,
) -> int:
    """Print an annotated hex dump of a frame, field by field, and say whether a node would accept it.

    Parameters
    ----------
    source
        The bytes in hex, the path of a file that holds them (raw or as hex), or - for standard input.
    """
    data = _bytes_of(source)
    title, rows, refusal = dump(data, as_)
    if json_:
        fields = [
            {"offset": r.offset, "hex": r.data.hex(), "field": r.field, "meaning": r.meaning} for r in rows
        ]
        tell_json(kind=title, size=len(data), accepted=refusal is None, refusal=refusal, fields=fields)
        return FAILED if refusal else 0
    _show_dump(title, rows, len(data))
    if refusal:
        err().print(f"[bold red]refused[/]: {refusal}")
        return FAILED
    out().print(
        f"[bold green]canonical[/]: a node decodes these {len(data):,} bytes and rebuilds the same ones"
    )
    return 0


def _bytes_of(source: str) -> bytes:
    if source == "-":
        raw = sys.stdin.buffer.read(4 * MAX_CONTENT)
    else:
        try:
            return bytes.fromhex(source)
        except ValueError:
            pass
        try:
            with Path(source).open("rb") as opened:
                raw = opened.read(4 * MAX_CONTENT)
        except (OSError, ValueError) as error:
            raise UsageError(f"{source[:60]!r} is neither hex nor a file that can be read.") from error
    try:
        return bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        return raw


def _show_dump(title: str, rows: list[Row], size: int) -> None:
    out().print(f"[bold]{title}[/], {size:,} bytes\n", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("offset", justify="right", style="dim")
    table.add_column("bytes", no_wrap=True)
    table.add_column("field", style="cyan", no_wrap=True)
    table.add_column("meaning", overflow="fold")
    for row in rows:
        lines = [row.data[i : i + 8].hex(" ") for i in range(0, min(len(row.data), 64), 8)] or ["-"]
        if len(row.data) > 64:
            lines.append(f"… {len(row.data) - 64:,} more")
        table.add_row(str(row.offset), "\n".join(lines), Text(row.field), Text(row.meaning))
    out().print(table)


# --- demo ---------------------------------------------------------------------------------------------


@app.command
def demo(
    *,
    message: Annotated[str | None, Parameter(help="What A writes to B.")] = None,
    file: Annotated[Path | None, Parameter(help="Let A send this file's content instead.")] = None,
    json_: AsJson = False,
) -> int:
    """See a message travel: three processes, real sockets, a relay that can't read what it carries."""
    if message is not None and file is not None:
        raise UsageError("Give either --message or --file.")
    content = _content(demonstration.DEFAULT_MESSAGE if message is None and file is None else message, file)
    console = out()
    stage = demonstration.Silent() if json_ else demonstration.Stage(console)

    async def run() -> int:
        outcome = await demonstration.play(content, stage)
        if json_:
            sys.stdout.write(json.dumps(outcome.document(), indent=2) + "\n")
        else:
            demonstration.show_outcome(console, outcome)
        return 0

    try:
        return _run(run)
    except demonstration.DemoError as error:
        if json_:
            sys.stdout.write(json.dumps(demonstration.failure(str(error)), indent=2) + "\n")
        err().print(f"tom: {error}")
        return FAILED


# --- start --------------------------------------------------------------------------------------------


def _run(run: Callable[[], Coroutine[Any, Any, int]]) -> int:
    result: int = trio.run(run)
    return result


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    try:
        code = app(arguments)
    except UsageError as error:
        err().print(f"tom: {error}", markup=False)
        code = USAGE
    except NotDelivered as error:
        err().print(f"tom: {error}", markup=False)
        code = NOT_DELIVERED
    except ProtocolError as error:
        err().print(f"tom: {_advice(error)}", markup=False)
        code = FAILED
    except LocalError as error:
        err().print(f"tom: {error}", markup=False)
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - open until the interpreter has flushed it
        code = FAILED
    sys.exit(code if isinstance(code, int) else 0)


def _advice(error: ProtocolError) -> str:
    advice = {
        Reason.WRONG_PASSPHRASE: "Try --passphrase, or set TOM_PASSPHRASE.",
        Reason.BAD_SECRET_FILE: "The file was left as it is; restore it from a copy.",
        Reason.IDENTITY_IN_USE: "End the other process, or use another --identity.",
        Reason.BAD_TEXT: "A NodeId begins with tom1 and has 62 characters.",
    }
    return f"{error}. {advice.get(error.reason, '')}".rstrip()


if __name__ == "__main__":
    main()
