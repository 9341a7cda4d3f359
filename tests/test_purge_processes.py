"""Real processes: a message waits with drafted custodians, is delivered, and then nobody has it any more."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli_process import DEADLINE, tom
from tests.test_subnet_processes import Subnet, formed, text_of
from tom_ref import codec
from tom_ref.drivers.store import Store
from tom_ref.drivers.tcp import parse_node_id
from tom_ref.effects import Table

pytestmark = pytest.mark.slow

TTL = 20
"""s: the message's lifetime; EPS is 50 ms with --fast."""


def audit(subnet: Subnet, name: str, message: str) -> dict[str, dict[str, Any]]:
    """What a node and its neighbours hold of a message, by the name of the node."""
    done = tom("purge-audit", message, "-i", subnet.path(name), "--json")
    assert done.returncode == 0, done.stderr
    names = {node: known for known, node in subnet.ids.items()}
    return {names[held["node"]]: held for held in json.loads(done.stdout)["holdings"]}


def on_disk(subnet: Subnet, name: str) -> bytes:
    """Every byte that a node has written, whatever the file."""
    return b"".join(file.read_bytes() for file in subnet.folder.glob(f"{name}.tom-store*"))


def ciphertext(subnet: Subnet, name: str) -> bytes:
    """Part of the encrypted message that a node, which runs no more, still wanted to send."""
    with closing(Store(subnet.folder / f"{name}.tom-store", parse_node_id(subnet.ids[name]))) as store:
        [content] = [
            codec.PENDING.decode(value).content for table, _, value in store.load() if table is Table.PENDING
        ]
    return bytes(content[-32:])


def test_a_message_outlives_its_sender_and_first_custodian_and_then_vanishes(tmp_path: Path) -> None:
    """Delivered once when the recipient is back; past retention no living store has its id or ciphertext."""
    with formed(tmp_path, "b", "c", "d", "e") as subnet:
        subnet.send("b", "e", "so that there is a session")
        assert text_of(subnet.received("e")) == "so that there is a session"
        subnet.kill("e")
        sent = time.monotonic()
        done = tom(
            *("send", subnet.ids["e"], "for when you are back", "-i", subnet.path("b"), "--json"),
            *("--wait", "3", "--ttl", str(TTL)),
        )
        steps = [json.loads(line) for line in done.stdout.splitlines()]
        [message] = {step["message_id"] for step in steps if step.get("message_id")}
        held = audit(subnet, "b", message)
        keepers = [name for name in "acd" if held.get(name, {}).get("holding") == "copy"]
        assert len(keepers) == 2, held
        sender = subnet.running["b"].process
        subnet.kill("b")
        sender.wait(DEADLINE)
        needles = (bytes.fromhex(message), ciphertext(subnet, "b"))
        # Before, the custodian's file has both: the search finds what is there.
        assert all(needle in on_disk(subnet, keepers[1]) for needle in needles)
        subnet.kill(keepers[0])
        subnet.start("e")
        received = subnet.received("e")
        assert text_of(received) == "for when you are back"
        assert received["message_id"] == message
        living = [name for name in "acde" if name in subnet.running]
        end = time.monotonic() + TTL + DEADLINE
        while any(needle in on_disk(subnet, name) for name in living for needle in needles):
            assert time.monotonic() < end, {n: [x in on_disk(subnet, n) for x in needles] for n in living}
            time.sleep(0.2)
        assert time.monotonic() - sent > TTL, "retention was not waited for"
