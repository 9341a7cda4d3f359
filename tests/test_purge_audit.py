"""`tom purge-audit`, against running nodes: the table, the JSON, and what can't be asked or answered."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli_process import Running, new_identity, tom, tom_here
from tom_cli.purge import WHY

NOTHING = {"holding": "nothing", "until": 0, "why": WHY["nothing"]}


def holdings(path: Path, message: str, *more: str) -> list[dict[str, Any]]:
    """The answers, as a program reads them."""
    done = tom_here("purge-audit", message, "-i", path, "--json", *more)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["message_id"] == message
    found = said["holdings"]
    assert isinstance(found, list)
    return found


def sent(path: Path, to: str, wait: str) -> str:
    """Send from a running node; the message's id."""
    done = tom("send", to, "hello", "-i", path, "--json", "--wait", wait)
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    [message] = {step["message_id"] for step in steps if step.get("message_id")}
    assert isinstance(message, str)
    return message


def test_who_holds_what_is_shown_with_the_reason(tmp_path: Path) -> None:
    """TOM-PURGE-045, 047: in a table and as JSON; an unknown id; a neighbour that does not answer."""
    with ExitStack() as stack:
        path = tmp_path / "alice.tom"
        alice, bob = new_identity(path), new_identity(tmp_path / "bob.tom")
        other = stack.enter_context(
            Running("node", "-i", tmp_path / "bob.tom", "--listen", "127.0.0.1:0", "--json")
        )
        other.until("listening")
        invitation = json.loads(tom("invite", "-i", tmp_path / "bob.tom", "--json").stdout)["invitation"]
        own = stack.enter_context(Running("join", invitation, "-i", path, "--json"))
        own.until("listening|ready|linked|guest|join")

        # Delivered: both ends have the receipt, and say until when and why.
        delivered = sent(path, bob, "40")
        found = holdings(path, delivered)
        assert [(held["node"], held["holding"]) for held in found] == [(alice, "receipt"), (bob, "receipt")]
        assert all(held["why"] == WHY["receipt"] and held["until"] > 0 for held in found)
        # What nobody has, nobody says more of; capital letters are the same id.
        assert all(held.items() >= NOTHING.items() for held in holdings(path, "ab" * 32))
        assert tom_here("purge-audit", "AB" * 32, "-i", path).returncode == 0

        # A neighbour that can't answer is waited for no longer than asked, and isn't in the answer.
        other.process.send_signal(signal.SIGSTOP)
        waiting = sent(path, bob, "1")
        [held] = holdings(path, waiting, "--wait", "0.3")
        assert (held["node"], held["holding"], held["why"]) == (alice, "copy", WHY["copy"])
        table = tom_here("purge-audit", waiting, "-i", path, "--wait", "0.3")
        assert table.returncode == 0, table.stderr
        assert "(this node) copy 23 h 59 min it keeps" in " ".join(table.stdout.decode().split())
        other.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("message", ["", "abc", "zz" * 32, "ab" * 31, "ab" * 33])
def test_what_is_no_message_id_is_said_so(message: str, tmp_path: Path) -> None:
    """Before anything is asked."""
    done = tom_here("purge-audit", message, "-i", tmp_path / "nobody.tom")
    assert done.returncode == 2
    assert b"64 hexadecimal digits" in done.stderr
    assert b"Traceback" not in done.stderr


def test_without_a_running_node_nobody_can_be_asked(tmp_path: Path) -> None:
    """Said in a line, with what to do."""
    path = tmp_path / "alice.tom"
    new_identity(path)
    done = tom_here("purge-audit", "ab" * 32, "-i", path)
    assert done.returncode == 2
    assert b"Start one: tom node, or tom join." in done.stderr
