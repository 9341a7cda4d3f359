"""Real processes that form a subnet from one invitation (issue: roles nobody chooses).

Nothing is configured but the invitation: who relays is drafted.  All nodes share this computer's clock, so
their terms take seconds (``--fast``, TOM-ROLES-118).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli_process import DEADLINE, Running, new_identity, tom
from tom_ref.drivers.control import MAX_CLIENTS, socket_path

pytestmark = pytest.mark.slow


class Subnet:
    """Nodes by name, each ``tom node`` or ``tom join`` in a process of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.ids: dict[str, str] = {}
        self.running: dict[str, Running] = {}
        self._stack = stack

    def path(self, name: str) -> Path:
        """The secret file of a node."""
        return self.folder / f"{name}.tom"

    def make(self, name: str) -> None:
        """An identity."""
        self.ids[name] = new_identity(self.path(name))

    def start(self, name: str, *arguments: str, until: str = "listening") -> None:
        """Run ``tom node`` or ``tom join``."""
        command = arguments or ("node",)
        listen = () if "--listen" in command else ("--listen", "127.0.0.1:0")
        node = Running(*command, "-i", self.path(name), *listen, "--fast", "--json")
        self.running[name] = self._stack.enter_context(node)
        node.until(until)

    def invite(self, name: str) -> str:
        """An invitation by a member."""
        done = tom("invite", "-i", self.path(name), "--json")
        assert done.returncode == 0, done.stderr
        text = json.loads(done.stdout)["invitation"]
        assert isinstance(text, str)
        return text

    def status(self, name: str) -> dict[str, Any]:
        """What a node says of itself."""
        done = tom("status", "-i", self.path(name), "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document

    def until(self, name: str, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask a node again and again until its status is as wanted."""
        end = time.monotonic() + DEADLINE
        while True:
            status = self.status(name)
            if ready(status):
                return status
            assert time.monotonic() < end, status
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """A node vanishes without a word."""
        self.running.pop(name).process.kill()

    def send(self, sender: str, recipient: str, text: str) -> list[dict[str, Any]]:
        """Send from a running node; the journey's steps."""
        done = tom("send", self.ids[recipient], text, "-i", self.path(sender), "--json", "--wait", "40")
        assert done.returncode == 0, (done.stdout, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def received(self, name: str) -> dict[str, Any]:
        """The next message that a running node has for its application."""
        done = tom("listen", "-i", self.path(name), "--count", "1", "--json")
        assert done.returncode == 0, done.stderr
        message = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(message, dict)
        return message


def in_pool(count: int) -> Callable[[dict[str, Any]], bool]:
    """Whether so many members may hold roles."""
    return lambda status: sum("validator" in member["roles"] for member in status.get("members", [])) >= count


@contextmanager
def formed(folder: Path, *newcomers: str) -> Iterator[Subnet]:
    """A founds, the others join with one and the same invitation; all hold roles."""
    with ExitStack() as stack:
        subnet = Subnet(folder, stack)
        for name in ("a", *newcomers):
            subnet.make(name)
        subnet.start("a")
        invitation = subnet.invite("a")
        for name in newcomers:
            subnet.start(name, "join", invitation)
        for name in ("a", *newcomers):
            subnet.until(name, in_pool(1 + len(newcomers)))
        yield subnet


def text_of(message: dict[str, Any]) -> str:
    """A message's content."""
    return bytes.fromhex(message["content"]).decode()


def test_three_processes_and_nothing_but_one_invitation(tmp_path: Path) -> None:
    """They talk through a drafted relay; a fourth needs no reconfiguration; a restart needs no invitation."""
    with formed(tmp_path, "b", "c") as subnet:
        steps = subnet.send("b", "c", "over a drafted relay")
        assert steps[-1]["state"] == "delivered"
        message = subnet.received("c")
        assert text_of(message) == "over a drafted relay"
        assert message["relay"] == subnet.ids["a"]
        # Everybody computes the same roles: of any term that two of them were asked in.
        told: dict[int, list[Any]] = {}
        agreed = 0
        while agreed < 3:
            status = subnet.status("abc"[agreed % 3])
            roles = [(member["id"], member["roles"]) for member in status["members"]]
            if status["term"] in told:
                assert roles == told[status["term"]]
                agreed += 1
            told[status["term"]] = roles

        # A fourth comes by the invitation of somebody else.
        subnet.make("d")
        subnet.start("d", "join", subnet.invite("c"))
        subnet.until("d", lambda status: status["standing"] != "joining")
        subnet.send("d", "b", "as a guest or a member")
        assert text_of(subnet.received("b")) == "as a guest or a member"
        subnet.until("d", lambda status: status["standing"] == "member")

        # A restart needs no invitation.
        subnet.kill("b")
        subnet.start("b")
        assert subnet.status("b")["standing"] == "member"
        subnet.send("a", "b", "welcome back")
        assert text_of(subnet.received("b")) == "welcome back"


@pytest.mark.parametrize("victim", ["a", "b", "c", "d"])
def test_killing_any_one_costs_no_message(tmp_path: Path, victim: str) -> None:
    """Four nodes; one vanishes, also one that has a message in its hands; what the others send arrives."""
    with formed(tmp_path, "b", "c", "d") as subnet:
        left = [name for name in "abcd" if name != victim]
        # Frozen first: what is handed to it now stays in its hands.
        process = subnet.running[victim].process
        process.send_signal(signal.SIGSTOP)
        pending = [
            Running(
                "send",
                subnet.ids[to],
                f"{sender} to {to}",
                "-i",
                subnet.path(sender),
                "--json",
                "--wait",
                "60",
            )
            for sender in left
            for to in left
            if sender != to
        ]
        with ExitStack() as stack:
            for send in pending:
                stack.enter_context(send)
            for send in pending:
                send.until("sent|delivered")
            subnet.kill(victim)
            for send in pending:
                assert send.end() == 0, (send.out, send.err)
        for name in left:
            texts = sorted(text_of(subnet.received(name)) for _ in range(len(left) - 1))
            assert texts == sorted(f"{other} to {name}" for other in left if other != name)


# --- bad input ------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Subnet]:
    """One node that founded a subnet."""
    with ExitStack() as stack:
        subnet = Subnet(tmp_path, stack)
        subnet.make("a")
        subnet.start("a")
        yield subnet


def refused(done: Any, code: int, *parts: str) -> None:
    """It ends with this code, says this and no traceback."""
    assert done.returncode == code, (done.stdout, done.stderr)
    for part in parts:
        assert part in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_invitations_that_are_none(alone: Subnet) -> None:
    """TOM-ROLES-119, 120: tampered, cut short, an own one, expired; nothing is written."""
    invitation = alone.invite("a")
    alone.make("b")
    bad = {
        invitation[:-9] + "aaaaaaaaa": "bad_signature",
        invitation[:37]: "bad_text",  # 33 letters of base32 stand for no whole bytes
        invitation[:44]: "truncated",
        "tom1qqq": "bad_text",
        "": "bad_text",
    }
    for text, reason in bad.items():
        refused(tom("join", text, "-i", alone.path("c"), "--fast"), 1, reason)
        assert not Path(alone.path("c")).exists()
    short = tom("invite", "-i", alone.path("a"), "--hours", "0.0001", "--json")
    time.sleep(0.5)
    expired = json.loads(short.stdout)["invitation"]
    refused(tom("join", expired, "-i", alone.path("b"), "--fast"), 1, "expired")
    alone.running["a"].process.terminate()
    alone.running["a"].end()
    # A node that has a home already stays there; its own invitation changes nothing.
    alone.start("a", "join", invitation)
    assert alone.status("a")["standing"] == "member"


def test_an_inviter_that_is_gone(alone: Subnet) -> None:
    """The newcomer goes on trying and says what it waits for."""
    invitation = alone.invite("a")
    place = alone.status("a")["address"].rpartition("@")[2]
    alone.kill("a")
    alone.make("b")
    alone.start("b", "join", invitation)
    alone.running["b"].until("not reached|refused|can't be reached|Trying on", alone.running["b"].err)
    assert alone.status("b")["standing"] == "joining"
    alone.start("a", "node", "--listen", place)
    alone.until("b", lambda status: status["standing"] == "member")


def test_commands_without_a_running_node(tmp_path: Path) -> None:
    """They say what to do."""
    new_identity(tmp_path / "a.tom")
    for command in ("invite", "status", "leave"):
        refused(tom(command, "-i", tmp_path / "a.tom"), 2, "No node runs with this identity", "tom node")


def ask(path: Path, data: bytes, *, close: bool = True) -> bytes:
    """Say something to a control socket and hear it out."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(os.fspath(socket_path(path)))
        client.sendall(data)
        if close:
            client.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := client.recv(65_536):
            heard += piece
        return heard


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (b"not json\n", "bad_text"),
        (b"[]\n", "bad_text"),
        (b"[" * 100_000 + b"\n", "bad_text"),
        (b'{"do": "status"}', "truncated"),
        (b'{"do": "fly"}\n', "bad_value"),
        (b'{"do": "send", "to": 1, "content": ""}\n', "bad_value"),
        (b'{"do": "send", "to": "tom1", "content": ""}\n', "bad_text"),
        (b'{"do": "send", "to": "tom1", "content": "zz"}\n', "bad_text"),
        (b'{"do": "send", "to": "tom1", "content": "00", "route": "up"}\n', "bad_value"),
        (b'{"do": "invite", "valid_for": true}\n', "bad_value"),
        (b'{"do": "invite", "valid_for": -5}\n', "expired"),
        (b'{"do": "join", "invitation": "tom:"}\n', None),
        (b"\xff\xfe\n", "bad_text"),
    ],
)
def test_garbage_on_the_control_socket(alone: Subnet, request_: bytes, reason: str | None) -> None:
    """Each is refused with a reason, and the node goes on."""
    answer = json.loads(ask(alone.path("a"), request_))
    assert answer["ok"] is False
    assert reason is None or answer["reason"] == reason
    assert alone.status("a")["standing"] == "member"


def test_a_control_socket_is_bounded_and_its_users_own(alone: Subnet) -> None:
    """Too long a line is refused; silent clients do not shut others out for long; nobody else can enter."""
    path = socket_path(alone.path("a"))
    assert path.parent.stat().st_mode & 0o077 == 0
    answer = json.loads(ask(alone.path("a"), b"x" * 2_300_000, close=False))
    assert answer["reason"] == "too_large"
    with ExitStack() as stack:
        for _ in range(MAX_CLIENTS):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(os.fspath(path))
        end = time.monotonic() + DEADLINE
        while tom("status", "-i", alone.path("a"), "--json").returncode and time.monotonic() < end:
            time.sleep(0.5)
        assert alone.status("a")["standing"] == "member"


def test_an_interrupted_listener_loses_no_message(alone: Subnet) -> None:
    """What a listener was told and didn't acknowledge is told to the next one, marked."""
    alone.make("b")
    alone.start("b", "join", alone.invite("a"))
    alone.until("b", lambda status: status["standing"] != "joining")
    alone.send("b", "a", "important")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(os.fspath(socket_path(alone.path("a"))))
        client.sendall(b'{"do": "receive"}\n')
        told = json.loads(client.recv(65_536))["message"]
    assert told["again"] is False
    message = alone.received("a")
    assert (text_of(message), message["again"]) == ("important", True)


def test_leaving(alone: Subnet) -> None:
    """A member that leaves is left out of the next record and knows it."""
    alone.make("b")
    alone.start("b", "join", alone.invite("a"))
    alone.until("b", lambda status: status["standing"] == "member")
    assert tom("leave", "-i", alone.path("b")).returncode == 0
    alone.until("b", lambda status: status["standing"] == "none")
    alone.until("a", lambda status: len(status["members"]) == 1)


def test_status_and_invitation_for_people(alone: Subnet) -> None:
    """The tables name everybody's roles; the QR code is drawn."""
    shown = tom("status", "-i", alone.path("a"), "--once").stdout.decode()
    assert "member" in shown
    assert "this node" in shown
    assert "validator" in shown
    health = tom("status", "-i", alone.path("a"), "--health").stdout.decode()
    assert "delivered" in health or "none yet" in health
    assert "relays" in health
    drawn = tom("invite", "-i", alone.path("a"), "--qr").stdout.decode()
    assert "▀" in drawn
    assert drawn.splitlines()[-1].startswith("tom:")
