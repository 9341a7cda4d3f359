"""The ``tom`` command.

Exit codes: 0 done · 1 it could not be done (standard error says what and what to do) · 2 wrong usage ·
3 the message was not delivered in time · 130 interrupted (Ctrl-C or SIGTERM).
"""

from __future__ import annotations

import getpass
import importlib
import io
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import trio
from attrs import frozen
from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tom_cli import demo as demonstration
from tom_cli import purge, sim, sim_purge, subnet
from tom_cli.dump import Row, dump
from tom_cli.experiments import ExperimentUsageError
from tom_cli.show import print_table, readable, short
from tom_ref.bech32m import node_id_to_text
from tom_ref.constants import DEFAULT_TTL, KEY_BYTES, MAX_CONTENT, MAX_TTL
from tom_ref.crypto import Secret32
from tom_ref.drivers import control, library, secret_file
from tom_ref.drivers.errors import (
    AddressError,
    ControlError,
    ListenError,
    NotDelivered,
    UnreachableError,
)
from tom_ref.drivers.system import system_entropy
from tom_ref.drivers.tcp import parse_host_port, parse_node_id
from tom_ref.effects import Event, Report
from tom_ref.errors import LocalError, ProtocolError, Reason
from tom_ref.identity import Identity, new_secret
from tom_ref.inputs import CommandError
from tom_ref.invitation import check_invitation, invitation_from_text
from tom_ref.states import Standing
from tom_ref.timing import Timing

FAILED: Final = 1
USAGE: Final = 2
NOT_DELIVERED: Final = 3
INTERRUPTED: Final = 130

MAX_INSPECTED: Final = 4 * MAX_CONTENT
"""bytes: more than any frame has, even as hex."""

MAX_INVITATION_TEXT: Final = 8_192
"""count: characters; more than any invitation has."""

OWN_NODE: Final = "That is this identity's own NodeId; a message goes to another node."

METRICS_PLACE: Final = "127.0.0.1:9464"
"""Where figures are served when --metrics has no value; 9464 is what exporters use by custom."""

MOST_HOURS: Final = 24 * 366
"""h: the longest an invitation may be good for."""

MAX_LINES: Final = 200
"""count: of one message, so many lines are shown to people."""


def _examples(*lines: str) -> str:
    """The examples below a command's help; in Markdown, two blanks at the end of a line break it."""
    return "\n".join(["Examples:", "", *lines])


def _wrong_usage(error: CycloptsError) -> Text:
    command = " ".join(error.command_chain or ())
    return Text(f"tom: {error}\n\nTo see what is possible: tom {command + ' ' if command else ''}--help")


app = App(
    name="tom",
    help="ToM, The Open Messaging: messages from A to B with no server.",
    help_format="plaintext",
    help_epilogue=_examples(
        "tom demo                      see a message travel, now",
        "tom id new                    make an identity of your own",
        "tom node --listen 0.0.0.0:7700 --announce home.example:7700",
        "tom invite                    whom you hand this to can join",
        "tom join tom:…                on another computer",
        "tom status                    who is there, and who does what",
        'tom send tom1… "hello"        from either',
        "",
        "tom COMMAND --help says more about each.",
        "",
        "Exit codes: 0 done, 1 it could not be done, 2 wrong usage, 3 not delivered",
        "in time, 130 interrupted.",
    ),
    version=lambda: metadata.version("tom-ref"),
    version_flags=["--version"],
    result_action="return_value",
    error_formatter=_wrong_usage,
    default_parameter=Parameter(show_default=False),
)
id_app = App(
    name="id",
    help="Make and show identities.",
    help_epilogue=_examples("tom id new", "tom id new alice.tom --passphrase", "tom id show alice.tom"),
)
app.command(id_app)
sim.app.command(sim_purge.purge)
sim.app.command(sim_purge.idle_month, name="idle")
app.command(sim.app)


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
Fast = Annotated[
    bool,
    Parameter(
        name="--fast",
        help="For a network on this computer alone, whose nodes share one clock: terms of seconds instead of "
        "ten minutes. All its nodes need it.",
        negative=(),
    ),
]
Slot = Annotated[
    int | None,
    Parameter(
        help="With --fast: the length of a slot in ms, 60 to 60000; a term has eight. All nodes of a network "
        "need the same. Default: 300"
    ),
]
Listen = Annotated[
    str, Parameter(help="host:port to listen at; port 0 takes any free one. Default: 127.0.0.1:7700")
]
Announce = Annotated[
    tuple[str, ...],
    Parameter(
        help="host:port at which others reach this node, where it isn't what it listens at.", negative=()
    ),
]
Metrics = Annotated[
    str | None,
    Parameter(
        help="Serve figures for Prometheus at http://HOST:PORT/metrics; whoever reaches the port can read "
        "them. Port 0 takes any free one; without a value it is 127.0.0.1:9464."
    ),
]
JoinFirst = Annotated[
    str | None, Parameter(name="--join", help="An invitation, tom:…, for an identity that has no home yet.")
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


class RefusedError(LocalError):
    """The node refuses what it was asked for."""


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


class _Console(Console):
    """Standard output, whose end is the caller's matter."""

    def on_broken_pipe(self) -> None:
        """Let the error out, where Rich would end the process."""
        raise  # noqa: PLE0704 - called while the error is handled


def out() -> Console:
    """Standard output, for people."""
    return _Console(highlight=False)


def err() -> Console:
    """Standard error, for people; in a file a sentence stays on one line."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def complain(text: str) -> None:
    """Say on standard error what went wrong."""
    err().print(f"tom: {text}", markup=False)


def tell_json(**values: object) -> None:
    """One JSON line on standard output."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


# --- id -----------------------------------------------------------------------------------------------


@id_app.command(
    help_epilogue=_examples("tom id new", "tom id new alice.tom", "tom id new alice.tom --passphrase")
)
def new(path: Path | None = None, /, *, passphrase_: AskPassphrase = False, json_: AsJson = False) -> int:
    """Make a new identity: a secret file that only you can read, and the NodeId that goes with it.

    Parameters
    ----------
    path
        Where to write the secret file; it must not exist. Default: $TOM_IDENTITY or ~/.tom/identity.tom
    """
    target = path or default_identity()
    words = passphrase(ask=passphrase_, confirm=True)
    if path is None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = new_secret(system_entropy)
    secret_file.create(target, secret, words, system_entropy)
    _show_identity(secret, target, protected=words is not None, json_=json_)
    return 0


@id_app.command(help_epilogue=_examples("tom id show", "tom id show alice.tom --json"))
def show(path: Path | None = None, /, *, passphrase_: AskPassphrase = False, json_: AsJson = False) -> int:
    """Show the NodeId and the public keys of an identity.

    Parameters
    ----------
    path
        The secret file. Default: $TOM_IDENTITY or ~/.tom/identity.tom
    """
    target = _identity_path(path)
    secret = secret_file.look(target, passphrase(ask=passphrase_))
    _show_identity(secret, target, protected=None, json_=json_)
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
    print_table(out(), table)
    if protected is False:
        out().print(
            "\nNo passphrase protects this file (see --passphrase): whoever reads it can\nwrite as you.",
            style="dim",
        )


# --- node, send, listen -------------------------------------------------------------------------------


def _identity_path(identity: Path | None) -> Path:
    path = identity or default_identity()
    if not path.exists():
        made = f"tom id new {path}" if identity else "tom id new"
        raise UsageError(f"There is no identity at {path}. Make one: {made}")
    return path


def _running_path(identity: Path | None) -> Path:
    """The identity of a running node that is asked for something: nobody else reads its secret file here."""
    path = _identity_path(identity)
    if not secret_file.is_one(path):
        raise UsageError(f"{path} is no identity, or a damaged one. tom id new makes them.")
    return path


def _identity_or_new(identity: Path | None, *, ask: bool) -> tuple[Path, str | None]:
    """The identity of a node that begins, made if there is none (as the library does), and its passphrase."""
    path = identity or default_identity()
    if path.exists():
        return path, passphrase(ask=ask)
    words = passphrase(ask=ask, confirm=True)
    if identity is None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret_file.create(path, new_secret(system_entropy), words, system_entropy)
    complain(f"A new identity was made: {path}")
    return path, words


@app.command(
    help_epilogue=_examples(
        "tom node                      on this computer only",
        "tom node --listen 0.0.0.0:7700 --announce home.example:7700",
        "tom node --listen 127.0.0.1:0 --identity carol.tom",
    )
)
def node(
    *,
    listen: Listen = "127.0.0.1:7700",
    announce: Announce = (),
    identity: IdentityPath = None,
    relay: Relays = (),
    metrics: Metrics = None,
    fast: Fast = False,
    slot: Slot = None,
    passphrase_: AskPassphrase = False,
    json_: AsJson = False,
) -> int:
    """Run a node until it is interrupted; prints its address first.

    A node without a home founds one, and others join it by invitation (tom
    invite). Nobody says who relays: the network drafts its relays. An identity
    that doesn't exist yet is made.
    """
    timing = _timing(fast=fast, slot=slot)
    path, words = _identity_or_new(identity, ask=passphrase_)
    return _run_node(
        path,
        words,
        listen=listen,
        announce=announce,
        relay=relay,
        metrics=metrics,
        timing=timing,
        json_=json_,
    )


@app.command(
    help_epilogue=_examples(
        "tom join tom:…",
        "tom join tom:… --listen 0.0.0.0:7701 --announce home.example:7701",
        "tom join - < invitation.txt",
    )
)
def join(
    invitation: str,
    /,
    *,
    listen: Listen = "127.0.0.1:0",
    announce: Announce = (),
    identity: IdentityPath = None,
    metrics: Metrics = None,
    fast: Fast = False,
    slot: Slot = None,
    passphrase_: AskPassphrase = False,
    json_: AsJson = False,
) -> int:
    """Join a subnet by invitation and run as a node of it until interrupted.

    A newcomer sends and receives at once, as the guest of a member, and is a
    member with one of the next records. From then on tom node does.

    Parameters
    ----------
    invitation
        The text tom:… that tom invite made; - reads it from standard input.
    """
    timing = _timing(fast=fast, slot=slot)
    text = sys.stdin.read(MAX_INVITATION_TEXT) if invitation == "-" else invitation
    _check_invitation(text)
    path, words = _identity_or_new(identity, ask=passphrase_)
    return _run_node(
        path,
        words,
        listen=listen,
        announce=announce,
        invitation=text,
        metrics=metrics,
        timing=timing,
        json_=json_,
    )


def _check_invitation(text: str) -> None:
    """Refuse a text that is no invitation before an identity is made for it."""
    try:
        check_invitation(invitation_from_text(text.strip()), now=0)
    except ProtocolError as error:
        raise RefusedError(
            "That is no invitation as it was made: copy it whole, from tom: to its last letter "
            f"({error.reason.value})."
        ) from error


def _run_node(
    path: Path,
    words: str | None,
    *,
    listen: str,
    announce: tuple[str, ...],
    relay: tuple[str, ...] = (),
    invitation: str | None = None,
    metrics: str | None = None,
    timing: Timing | None,
    json_: bool,
) -> int:
    place = parse_host_port(listen)
    measured = None if metrics is None else parse_host_port(metrics)
    if place[0] in {"0.0.0.0", "::"} and place[1] == 0 and not announce:  # noqa: S104 - what a user wrote
        raise UsageError(f"With {listen} nobody could know the port: name one, or use --announce.")

    async def run() -> int:
        async with (
            library.open_node(
                path,
                passphrase=words,
                listen=listen,
                announce=announce or None,
                relays=relay,
                join=invitation,
                found=invitation is None,
                timing=timing,
                control=True,
            ) as opened,
            trio.open_nursery() as nursery,
        ):
            urls = () if measured is None else await _serve_metrics(nursery, opened, measured)
            _show_start(opened, path, place[1], urls, json_=json_)
            nursery.start_soon(_warn_unreachable, opened)
            async for report in opened.reports():
                _show_report(report, json_=json_)
            nursery.cancel_scope.cancel()
        return 0

    try:
        return _run(run)
    except CommandError as error:
        raise RefusedError(f"This node can't join: {error.detail} ({error.reason.value}).") from error


async def _serve_metrics(
    nursery: trio.Nursery, opened: library.OpenNode, place: tuple[str, int]
) -> tuple[str, ...]:
    """Serve figures for Prometheus; returns where."""
    # Loaded only where it is wanted: it takes a quarter of a second.
    driver = importlib.import_module("tom_ref.drivers.metrics")
    try:
        return tuple(f"http://{one}/metrics" for one in await nursery.start(driver.serve, opened, *place))
    except ListenError as error:
        raise RefusedError(f"--metrics: {error}") from error


def _show_start(
    opened: library.OpenNode, path: Path, port: int, metrics: tuple[str, ...], *, json_: bool
) -> None:
    """Where the node can be reached, and where its figures are."""
    if json_:
        tell_json(event="listening", id=opened.id, address=opened.address, pid=os.getpid())
        if metrics:
            tell_json(event="metrics", urls=metrics)
        return
    out().print(f"[bold]{opened.address or f'{opened.id}@HOST:{port}'}", soft_wrap=True)
    if opened.address is None:
        out().print("HOST stands for a name or address of this computer.", style="dim")
    out().print(_hint(opened, path), style="dim", soft_wrap=True)
    if metrics:
        out().print(f"Figures for Prometheus: {' '.join(metrics)}", style="dim", soft_wrap=True)


def _timing(*, fast: bool, slot: int | None) -> Timing | None:
    if slot is None:
        return Timing.fast() if fast else None
    if not fast or not 60 <= slot <= 60_000:
        raise UsageError(
            "--slot is from 60 to 60000, and needs --fast: other networks have the slots of ToM/1."
        )
    return Timing.fast(slot)


def _hint(opened: library.OpenNode, path: Path) -> str:
    """What a person may want to do next."""
    named = "" if path == default_identity() else f" -i {path}"
    status = opened.status()
    if status.standing is Standing.JOINING:
        return f"Joining; Ctrl-C ends the node. Who is there: tom status{named}"
    count = 0 if status.record is None else len(status.record.roster)
    alone = "Alone so far" if count == 1 else f"One of {count} members"
    return f"{alone}. Invite others: tom invite{named} · who is there: tom status{named}"


# --- the running node ---------------------------------------------------------------------------------


@app.command(
    help_epilogue=_examples(
        "tom invite", "tom invite --hours 1", "tom invite --json -i carol.tom", "tom invite --no-qr"
    )
)
def invite(
    *,
    hours: Annotated[float, Parameter(help="How long it is good for. Default: 24")] = 24.0,
    qr: Annotated[bool | None, Parameter(help="Show the QR code. Default: on a terminal")] = None,
    identity: IdentityPath = None,
    json_: AsJson = False,
) -> int:
    """Make an invitation to the subnet of this identity's running node.

    Whoever has it can join until it expires, so hand it over as you would a key.
    """
    if math.isnan(hours) or not 0 < hours <= MOST_HOURS:
        raise UsageError(f"--hours is a number above 0, at most {MOST_HOURS}.")
    path = _running_path(identity)
    answer = _run_for(subnet.request, path, do="invite", valid_for=round(hours * 3_600_000))
    text = answer["invitation"]
    if json_:
        tell_json(invitation=text)
        return 0
    if sys.stdout.isatty() if qr is None else qr:
        out().print(subnet.qr_code(text), markup=False, soft_wrap=True)
    out().print(text, markup=False, soft_wrap=True)
    err().print(f"Good for {hours:g} h. On the other computer: tom join tom:…", style="dim")
    return 0


@app.command(
    help_epilogue=_examples("tom status", "tom status --once", "tom status --health", "tom status --json")
)
def status(
    *,
    once: Annotated[bool, Parameter(help="Show it once instead of going on.", negative=())] = False,
    health: Annotated[bool, Parameter(help="Show the subnet's vital signs.", negative=())] = False,
    identity: IdentityPath = None,
    json_: AsJson = False,
) -> int:
    """Show the subnet of this identity's running node: who is there and who does what.

    On a terminal it goes on showing it until it is interrupted.
    """
    path = _running_path(identity)
    ask = partial(subnet.request, path, do="status")
    render = (lambda known, _: subnet.render_health(known)) if health else subnet.render_status
    if not json_ and not once and sys.stdout.isatty():

        async def run() -> int:
            await subnet.watch_status(out(), ask, render)
            return 0

        return _run(run)
    known = _run_for(ask)["status"]
    if json_:
        tell_json(**known)
    else:
        out().print(render(known, time.time_ns() // 1_000_000))
    return 0


@app.command(
    name="purge-audit",
    help_epilogue=_examples("tom purge-audit 7a31…", "tom purge-audit 7a31… --json -i carol.tom"),
)
def purge_audit(
    message: str,
    /,
    *,
    wait: Annotated[float, Parameter(help="How long to wait for answers, in seconds.")] = 3.0,
    identity: IdentityPath = None,
    json_: AsJson = False,
) -> int:
    """Show what this identity's running node and its neighbours still hold of a message, and why.

    ``message`` is the message's id in hex, as tom send shows it. Nodes tell only the message's sender, its
    recipient and its holders.
    """
    try:
        known = len(bytes.fromhex(message)) == KEY_BYTES
    except ValueError:
        known = False
    if not known:
        raise UsageError("A message id is 64 hexadecimal digits, as tom send --json shows it.")
    milliseconds = int(wait * 1000)
    asked = {"do": "holding", "message_id": message.lower(), "wait": milliseconds}
    held = _run_for(subnet.request, _running_path(identity), **asked)["holdings"]
    if json_:
        tell_json(message_id=message.lower(), holdings=purge.explained(held))
    else:
        out().print(purge.render(held, time.time_ns() // 1_000_000))
    return 0


@app.command(help_epilogue=_examples("tom leave", "tom leave -i carol.tom"))
def leave(*, identity: IdentityPath = None) -> int:
    """Let this identity's running node ask to be left out of the next record."""
    _run_for(subnet.request, _running_path(identity), do="leave")
    out().print("Asked. The node is left out of the next record; until then it stays a member.", style="dim")
    return 0


def _run_for(
    ask: Callable[..., Coroutine[Any, Any, dict[str, Any]]], *arguments: Any, **named: Any
) -> dict[str, Any]:
    """Ask the running node of an identity; what it refuses is this command's error."""
    try:
        answer: dict[str, Any] = trio.run(partial(ask, *arguments, **named))
    except ControlError as error:
        raise UsageError(f"{error} Start one: tom node, or tom join.") from error
    except CommandError as error:
        raise RefusedError(f"{error.detail} ({error.reason.value}).") from error
    return answer


def _show_report(report: Report, *, json_: bool) -> None:
    name = node_id_to_text(report.peer)
    if json_:
        message = None if report.message_id is None else report.message_id.hex()
        at = time.time_ns() // 1_000_000
        tell_json(event=report.event.value, at_ms=at, peer=name, message_id=message, detail=report.detail)
        return
    line = Text(_clock(time.time_ns() // 1_000_000), style="dim")
    line.append(f"  {report.event.value.replace('_', ' '):<19}", style="default not dim")
    if any(report.peer):
        line.append(f"  {short(name)}", style="cyan not dim")
    if report.message_id is not None:
        line.append(f"  {report.message_id.hex()[:8]}")
    if report.detail:
        # In 80 columns there is room for 17 characters, so longer details get a line of their own.
        gap = "  " if len(line) + len(report.detail) + 2 <= out().width else f"\n{'':10}"
        line.append(f"{gap}{report.detail}", style="default not dim")
    out().print(line, soft_wrap=True)


def _clock(at: int) -> str:
    """The time of day here."""
    return datetime.fromtimestamp(at / 1000).astimezone().strftime("%H:%M:%S")


@app.command(
    help_epilogue=_examples(
        'tom send tom1… "hello"',
        'tom send tom1… "hello" --relay tom1…@relay.example:7700',
        "tom send tom1… --file letter.txt",
        "date | tom send tom1… --file - --peer tom1…@192.0.2.7:7700 --route direct",
    )
)
def send(
    to: str,
    text: str | None = None,
    /,
    *,
    file: Annotated[
        Path | None,
        Parameter(help="Send this file's content; - reads standard input.", allow_leading_hyphen=True),
    ] = None,
    identity: IdentityPath = None,
    relay: Relays = (),
    peer: Annotated[
        tuple[str, ...], Parameter(help="A node that can be reached directly, tom1…@host:port.", negative=())
    ] = (),
    route: Annotated[
        Literal["relay", "direct"], Parameter(help="Which way to try first. Default: relay")
    ] = "relay",
    ttl: Annotated[
        float, Parameter(help="The message's lifetime in seconds, at most and by default 86400.")
    ] = DEFAULT_TTL / 1000,
    wait: Annotated[float, Parameter(help="How many seconds to wait for the receipt. Default: 30")] = 30.0,
    join_: JoinFirst = None,
    fast: Fast = False,
    slot: Slot = None,
    passphrase_: AskPassphrase = False,
    json_: AsJson = False,
) -> int:
    """Send a message and wait for its receipt.

    If a node runs with this identity, it sends the message; else one runs for as
    long as this takes.

    A message without a receipt stays stored with the identity and goes on
    whenever tom send, tom listen or tom node runs with it, until its lifetime is
    over. Exit code 3 says that no receipt came in time.

    Parameters
    ----------
    to
        The recipient's NodeId, tom1….
    text
        What to send, unless --file is given.
    """
    recipient = parse_node_id(to)
    if not 0.001 <= ttl <= MAX_TTL / 1000:
        raise UsageError(f"--ttl is a number of seconds from 0.001 to {MAX_TTL // 1000}.")
    if math.isnan(wait) or wait < 0:
        raise UsageError("--wait is a number of seconds, 0 or more.")
    content = _content(text, file)
    path = _identity_path(identity)
    words = passphrase(ask=passphrase_)
    what = _How(round(ttl * 1000), route, max(wait, 0.05), json_)

    async def run() -> int:
        try:
            async with library.open_node(
                path,
                passphrase=words,
                relays=relay,
                peers=peer,
                join=join_,
                timing=_timing(fast=fast, slot=slot),
            ) as opened:
                if recipient == opened.node_id:
                    raise UsageError(OWN_NODE)
                return await _send_here(opened, recipient, content, what)
        except ProtocolError as error:
            if error.reason is not Reason.IDENTITY_IN_USE or relay or peer or join_:
                raise
            try:
                async with control.connect(control.socket_path(path)) as stream:
                    return await _send_there(stream, to, content, what)
            except ControlError:
                raise error from None

    return _run(run)


@frozen
class _How:
    """How a message is to be sent, and what to show of it."""

    ttl: int
    """ms."""
    route: Literal["relay", "direct"]
    wait: float
    """s, at least a moment, so that what happens at once is shown."""
    json: bool


async def _send_here(opened: library.OpenNode, recipient: bytes, content: bytes, how: _How) -> int:
    """Send from a node of this process."""
    begun = trio.current_time()
    deadline = begun + how.wait
    if opened.status().standing is Standing.JOINING:
        with trio.move_on_at(deadline):
            await opened.wait_home()
    delivery = await opened.send(recipient, content, ttl=how.ttl, route=how.route)
    with trio.move_on_at(deadline) as patience:
        async for step in delivery.journey():
            _tell_step(control.step_document(step), trio.current_time() - begun, json_=how.json)
    if not delivery.finished:
        assert patience.cancelled_caught
        reasons = [_why(name, error) for name, error in opened.unreachable.items()]
        _say_waiting(delivery.state.name.lower(), how.wait, reasons, linked=bool(opened.linked))
        return NOT_DELIVERED
    await delivery.delivered()
    if not how.json and delivery.id is not None:
        _tell_name(delivery.id.hex())
    return 0


async def _send_there(stream: trio.SocketStream, to: str, content: bytes, how: _How) -> int:
    """Let the running node of this identity send."""
    begun = trio.current_time()
    state, message = "pending", None
    asked = control.ask(stream, do="send", to=to, content=content.hex(), ttl=how.ttl, route=how.route)
    with trio.move_on_after(how.wait):
        async with aclosing(asked) as answers:
            async for answer in answers:
                if "step" not in answer:
                    break
                step = answer["step"]
                state, message = step.get("state", state), step["message_id"] or message
                _tell_step(step, trio.current_time() - begun, json_=how.json)
    if state == "expired":
        raise NotDelivered(f"No receipt from {to} was seen before the message expired.")
    if state != "delivered":
        _say_waiting(state, how.wait, [], linked=True)
        return NOT_DELIVERED
    if not how.json and message is not None:
        _tell_name(message)
    return 0


def _content(text: str | None, file: Path | None) -> bytes:
    if (text is None) == (file is None):
        raise UsageError("Give either a text or --file (--file - reads standard input).")
    if file is None:
        assert text is not None
        return os.fsencode(text)
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


_STATES: Final = {
    "pending": "stored on this computer",
    "sent": "handed over to",
    "relayed": "on its way to",
    "expired": "no receipt was seen in its lifetime",
}


def _tell_step(step: dict[str, Any], elapsed: float, *, json_: bool) -> None:
    """Show a step; should nobody read on, the message goes on all the same."""
    try:
        _show_step(step, elapsed, json_=json_)
    except BrokenPipeError:
        _drop_output()


def _tell_name(message: str) -> None:
    """Show the name of a message that was delivered, if anybody still reads."""
    try:
        out().print(f"message {message}", style="dim", soft_wrap=True)
    except BrokenPipeError:
        _drop_output()


def _show_step(step: dict[str, Any], elapsed: float, *, json_: bool) -> None:
    """Show one step of a message's journey (see :func:`tom_ref.drivers.control.step_document`)."""
    line = Text(f"{elapsed * 1000:>6.0f} ms  ", style="dim")
    if "event" in step:
        if not json_ and step["event"] in {Event.REROUTED.value, Event.REFUSED.value}:
            line.append(f"{step['event']:<9}", style="bold yellow not dim")
            line.append(f"  {short(step['peer'])}: {step['detail']}", style="not dim")
            out().print(line, soft_wrap=True)
        return
    state = step["state"]
    if json_:
        tell_json(state=state, message_id=step["message_id"], trail=step["trail"])
        return
    line.append(f"{state:<9}", style="bold green not dim" if state == "delivered" else "bold not dim")
    if step["recipient"] is not None:
        line.append(f"  receipt of {short(step['recipient'])} verified")
    else:
        hops = [short(hop) for hop in step["trail"]]
        line.append("  " + " ".join([_STATES[state], *hops[-1:]]))
        if len(hops) > 1:
            line.append(f", hop {len(hops)}")
    out().print(line, soft_wrap=True)


def _why(name: str, error: UnreachableError) -> str:
    return f"{short(name)}: {error}"


def _say_waiting(state: str, wait: float, reasons: list[str], *, linked: bool) -> None:
    if not reasons:
        reasons = [
            "Others were reached; the recipient has not answered through them. Is it running?"
            if linked
            else "Nobody could be reached. Join a network first (tom join), or give --relay or --peer."
        ]
    complain(f"No receipt within {wait:g} s; the message is {state}.")
    for reason in reasons:
        complain(reason)
    complain("The message stays stored. It goes on whenever tom runs with this identity.")


@app.command(
    help_epilogue=_examples(
        "tom listen",
        "tom listen --join tom:…",
        "tom listen --at 127.0.0.1:7701        reachable for others",
        "tom listen --relay tom1…@relay.example:7700 --count 1 --json",
    )
)
def listen(
    *,
    at: Annotated[
        str | None, Parameter(help="host:port to listen at, if others are to reach this node.")
    ] = None,
    count: Annotated[int, Parameter(help="End after so many messages; 0 goes on until interrupted.")] = 0,
    join_: JoinFirst = None,
    identity: IdentityPath = None,
    relay: Relays = (),
    fast: Fast = False,
    slot: Slot = None,
    passphrase_: AskPassphrase = False,
    json_: AsJson = False,
) -> int:
    """Run a node and show messages as they arrive."""
    if count < 0:
        raise UsageError("--count is 0 or more.")
    if at is not None:
        parse_host_port(at)
    path = _identity_path(identity)
    words = passphrase(ask=passphrase_)

    async def run() -> int:
        node = library.open_node(
            path,
            passphrase=words,
            listen=at,
            relays=relay,
            join=join_,
            timing=_timing(fast=fast, slot=slot),
            control=True,
        )
        try:
            return await _listen_here(node, count, json_=json_)
        except ProtocolError as error:
            if error.reason is not Reason.IDENTITY_IN_USE or relay or at or join_:
                raise
            try:
                return await _listen_there(path, count, json_=json_)
            except ControlError:
                raise error from None

    return _run(run)


async def _listen_here(
    node: AbstractAsyncContextManager[library.OpenNode], count: int, *, json_: bool
) -> int:
    """Show the messages of a node of this process."""
    async with node as opened:
        if json_:
            tell_json(event="listening", id=opened.id, address=opened.address, pid=os.getpid())
        else:
            out().print(f"[bold]{opened.address or opened.id}", soft_wrap=True)
            out().print("This is where others write to. Ctrl-C ends.", style="dim")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_warn_unreachable, opened)
            shown = 0
            async for message in opened:
                _show_message(control.message_document(message), json_=json_)
                message.acknowledge()
                shown += 1
                if shown == count:
                    break
            nursery.cancel_scope.cancel()
    return 0


async def _listen_there(path: Path, count: int, *, json_: bool) -> int:
    """Show the messages of the node that runs with this identity."""
    async with control.connect(control.socket_path(path)) as stream:
        if json_:
            tell_json(event="attached")
        else:
            out().print("Messages of the node that runs with this identity. Ctrl-C ends.", style="dim")
        shown = 0
        async with aclosing(control.ask(stream, do="receive")) as answers:
            async for answer in answers:
                _show_message(answer["message"], json_=json_)
                await control.acknowledge(stream)
                shown += 1
                if shown == count:
                    break
    return 0


async def _warn_unreachable(opened: library.OpenNode) -> None:
    """Say once when a relay can't be reached; dialling goes on."""
    said: set[str] = set()
    while True:
        for name, error in opened.unreachable.items():
            if name not in said:
                said.add(name)
                complain(f"{_why(name, error)} Trying on.")
        await trio.sleep(0.5)


def _show_message(message: dict[str, Any], *, json_: bool) -> None:
    if json_:
        tell_json(event="message", **message)
        return
    line = Text(_clock(message["received_at"]), style="dim")
    line.append(f"  {message['sender']}", style="bold cyan not dim")
    if message["again"]:
        line.append("  again")
    out().print(line, soft_wrap=True)
    out().print(Text(_paragraph(bytes.fromhex(message["content"]))), soft_wrap=True)


def _paragraph(content: bytes) -> str:
    """A message's lines, set off from the line above."""
    try:
        lines = content.decode("utf-8").splitlines() or [""]
    except UnicodeDecodeError:
        return f"  {readable(content)}  (--json shows all of it)"
    shown = [f"  {readable(line.encode(), 2_000) if line else ''}".rstrip() for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES:
        shown.append(f"  … {len(lines) - MAX_LINES:,} more lines (--json shows all of them)")
    return "\n".join(shown if any(shown) else [f"  {readable(b'')}"])


# --- inspect ------------------------------------------------------------------------------------------


@app.command(
    help_epilogue=_examples(
        "tom inspect 0500000000000000000000000000000000000000000000000000000000000000",
        "tom inspect frame.bin",
        "tom inspect --as session payload.hex --json",
    )
)
def inspect(
    source: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    as_: Annotated[
        Literal["frame", "descriptor", "header", "records", "session", "handshake", "extensions"],
        Parameter(name="--as", help="What the bytes are. Default: frame"),
    ] = "frame",
    json_: AsJson = False,
) -> int:
    """Print an annotated hex dump of a frame, field by field, and say whether it is well formed.

    Signatures and dates need more than the bytes, so they are not judged.

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
        kind, _, name = title.partition("\nmessage id ")
        tell_json(
            kind=kind,
            message_id=name or None,
            size=len(data),
            accepted=refusal is None,
            refusal=refusal,
            fields=fields,
        )
        return FAILED if refusal else 0
    _show_dump(title, rows, len(data))
    if refusal:
        err().print(Text.assemble(("refused", "bold red"), f": {refusal}"))
        return FAILED
    out().print(f"\n[bold green]well formed[/]: {len(data):,} bytes, decoded and rebuilt alike")
    return 0


def _bytes_of(source: str) -> bytes:
    if source == "-":
        raw = sys.stdin.buffer.read(MAX_INSPECTED + 1)
    else:
        try:
            return bytes.fromhex(source)
        except ValueError:
            pass
        try:
            with Path(source).open("rb") as opened:
                raw = opened.read(MAX_INSPECTED + 1)
        except (OSError, ValueError) as error:
            shown = source if len(source) <= 60 else f"{source[:60]}…"
            raise UsageError(
                f"{shown!r} is neither hex (two digits a byte) nor a file that can be read."
            ) from error
    if len(raw) > MAX_INSPECTED:
        raise UsageError(f"{source} has more than {MAX_INSPECTED:,} bytes; no frame is that large.")
    try:
        return bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        return raw


def _show_dump(title: str, rows: list[Row], size: int) -> None:
    out().print(Text.assemble((title, "bold"), f"\n{size:,} bytes"), soft_wrap=True)
    if not rows:
        return
    out().print()
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
    print_table(out(), table)


# --- demo ---------------------------------------------------------------------------------------------


@app.command(
    help_epilogue=_examples(
        "tom demo", 'tom demo --message "Can you read this, C?"', "tom demo --file photo.jpg --json"
    )
)
def demo(
    *,
    message: Annotated[str | None, Parameter(help="What A writes to B, instead of a greeting.")] = None,
    file: Annotated[Path | None, Parameter(help="Let A send this file's content instead.")] = None,
    nodes: Annotated[int, Parameter(help="How many nodes, 3 to 12. Default: 4")] = 4,
    json_: AsJson = False,
) -> int:
    """See a message travel: real processes form a network, draft a relay, and lose it."""
    if not demonstration.LEAST_NODES <= nodes <= demonstration.MOST_NODES:
        raise UsageError(f"--nodes is from {demonstration.LEAST_NODES} to {demonstration.MOST_NODES}.")
    if message is not None and file is not None:
        raise UsageError("Give either --message or --file.")
    content = _content(demonstration.DEFAULT_MESSAGE if message is None and file is None else message, file)
    console = out()
    stage = demonstration.Silent() if json_ else demonstration.Stage(console)

    async def run() -> int:
        outcome = await demonstration.play(content, stage, nodes)
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
        complain(str(error))
        return FAILED


# --- start --------------------------------------------------------------------------------------------


def _run(run: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run it; an error comes out as itself, not in a group of one, and an interruption before all others."""
    try:
        result: int = trio.run(run)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from None
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
    return result


def _interrupt(_number: int, _frame: object) -> None:
    signal.raise_signal(signal.SIGINT)


def _open_standard_streams() -> None:
    """Lead streams that were closed into nothing, so that no file or socket of ours gets their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - the system's order
    os.close(descriptor)
    nothing = Path(os.devnull)
    sys.stdin = sys.stdin or nothing.open(encoding="utf-8")
    sys.stdout = sys.stdout or nothing.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nothing.open("w", encoding="utf-8")


def with_places(arguments: list[str]) -> list[str]:
    """The arguments with the customary place after a --metrics that has no value."""
    following = [*arguments[1:], "-"]
    return [
        f"{one}={METRICS_PLACE}" if one == "--metrics" and after.startswith(("-", "tom:")) else one
        for one, after in zip(arguments, following, strict=False)
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    _open_standard_streams()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell script starts what it puts in the background so; SIGTERM is to end it all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a terminal can't show is replaced: a message that was sent is never lost in a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(with_places(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except (UsageError, AddressError, sim.SimulationUsageError, ExperimentUsageError) as error:
        complain(str(error))
        code = USAGE
    except CommandError as error:
        complain(f"The message can't be sent: {error.detail}.")
        code = USAGE
    except NotDelivered as error:
        complain(str(error))
        code = NOT_DELIVERED
    except ProtocolError as error:
        complain(_advice(error))
        code = FAILED
    except LocalError as error:
        complain(str(error))
        code = FAILED
    except EOFError:
        complain("No passphrase was given.")
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has had enough of it.
        _drop_output()
        code = FAILED
    except OSError as error:
        # What belongs to an identity, a store or the network is told by its own error; this is the output.
        complain(f"{error.filename or 'The output'} can't be written: {error.strerror}.")
        _drop_output()
        code = FAILED
    sys.exit(code if isinstance(code, int) else 0)


def _drop_output() -> None:
    """Let the interpreter flush into nothing when it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _advice(error: ProtocolError) -> str:
    advice = {
        Reason.WRONG_PASSPHRASE: (
            "Leave out --passphrase, and unset TOM_PASSPHRASE."
            if error.detail == "the file has none"
            else "Try --passphrase, or set TOM_PASSPHRASE."
        ),
        Reason.BAD_SECRET_FILE: "The file was left as it is; restore it from a copy.",
        Reason.BAD_TEXT: (
            "An invitation begins with tom: and is used whole, as it was made."
            if "invitation" in error.detail
            else "A NodeId begins with tom1 and has 62 characters."
        ),
    }
    return f"{error}. {advice.get(error.reason, '')}".rstrip()


if __name__ == "__main__":
    main()
