"""``tom demo`` as a stranger runs it: three real processes, and nothing left of them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli_process import DEADLINE, Running, gone, tom
from tom_ref.bech32m import node_id_from_text
from tom_ref.constants import MAX_CONTENT

pytestmark = pytest.mark.slow

HEX_32 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
NODE = {"type": "string", "pattern": "^tom1[02-9ac-hj-np-z]{58}$"}
DOCUMENT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": [
        "delivered",
        "message_id",
        "path",
        "receipt_verified",
        "payload_sha256",
        "steps",
        "nodes",
        "relay_saw_plaintext",
        "answer_received",
        "flipped_bit_refused_with",
        "relay",
        "terms_to_form",
        "killed",
    ],
    "additionalProperties": False,
    "properties": {
        "delivered": {"type": "boolean"},
        "message_id": HEX_32,
        "path": {"type": "array", "items": NODE, "minItems": 2},
        "receipt_verified": {"type": "boolean"},
        "payload_sha256": HEX_32,
        "steps": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["at_ms", "node", "event"],
                "additionalProperties": False,
                "properties": {
                    "at_ms": {"type": "integer", "minimum": 0},
                    "node": {"enum": ["A", "B", "C", "D"]},
                    "event": {"type": "string", "pattern": "^[a-z_]+$"},
                },
            },
        },
        "nodes": {
            "type": "array",
            "minItems": 3,
            "maxItems": 12,
            "items": {
                "type": "object",
                "required": ["name", "id", "pid", "address"],
                "additionalProperties": False,
                "properties": {
                    "name": {"enum": ["A", "B", "C", "D"]},
                    "id": NODE,
                    "pid": {"type": "integer", "minimum": 2},
                    "address": {"type": ["string", "null"]},
                },
            },
        },
        "relay_saw_plaintext": {"type": ["boolean", "null"]},
        "answer_received": {"type": "boolean"},
        "flipped_bit_refused_with": {"type": "string"},
        "relay": {"enum": ["C", "D"]},
        "terms_to_form": {"type": "integer", "minimum": 3},
        "killed": {
            "type": "object",
            "required": ["node", "delivered", "arrived_over"],
            "additionalProperties": False,
            "properties": {
                "node": {"enum": ["C", "D"]},
                "delivered": {"const": True},
                "arrived_over": {"enum": ["C", "D", None]},
            },
        },
    },
}

JOURNEY = [
    ("A", "encrypted"),
    ("A", "handed_over"),
    ("C", "received"),
    ("C", "relayed"),
    ("B", "received"),
    ("B", "decrypted"),
    ("B", "receipt_signed"),
    ("A", "receipt_verified"),
]
"""The order that causes impose; A verifies the trail at any time after C relayed.  The receipt comes
to A over its own link with B or back over C, whichever is faster."""


def actors(parent: int) -> set[int]:
    """The nodes that this process has started."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(status.rpartition(")")[2].split()[1]) == parent and b"\0tom_cli.actor\0" in command:
                found.add(int(entry.name))
    return found


def check(document: dict[str, Any], content: bytes, names: str = "ACDB") -> None:
    """Everything that the document promises, for a demo that went well."""
    jsonschema.Draft202012Validator(DOCUMENT).validate(document)
    assert document["delivered"] is True
    assert document["receipt_verified"] is True
    assert document["answer_received"] is True
    assert document["relay_saw_plaintext"] is (None if len(content) < 12 else False)
    assert document["payload_sha256"] == hashlib.sha256(content).hexdigest()
    assert document["flipped_bit_refused_with"] == "payload_mismatch"
    nodes = {node["name"]: node for node in document["nodes"]}
    assert list(nodes) == list(names)
    relay = document["relay"]
    assert document["path"] == [nodes[name]["id"] for name in ("A", relay, "B")]
    for node in nodes.values():
        assert len(node_id_from_text(node["id"])) == 32
        assert gone(node["pid"])
        assert re.fullmatch(rf"{node['id']}@127\.0\.0\.1:\d+", node["address"])
    assert len({node["pid"] for node in nodes.values()}) == len(names)
    killed = document["killed"]
    assert killed["arrived_over"] != killed["node"]
    assert killed["arrived_over"] is not None or len(names) == 3
    steps = [(step["node"], step["event"]) for step in document["steps"]]
    assert [step["at_ms"] for step in document["steps"]] == sorted(s["at_ms"] for s in document["steps"])
    journey = [(relay if node == "C" else node, event) for node, event in JOURNEY]
    there = [step for step in steps[: steps.index(("A", "receipt_verified")) + 1] if step in journey]
    assert there == journey
    if ("A", "trail_verified") in steps:
        # The receipt may overtake the relay's word, on its own way.
        assert steps.index(("A", "trail_verified")) > steps.index((relay, "relayed"))
    # The answer may have another relay: a term can end in between.
    answer = [step for step in steps[steps.index(("B", "encrypted")) :] if step != ("B", "trail_verified")]
    kept = [(node if node in "AB" else "C", event) for node, event in answer]
    back = [({"A": "B", "B": "A"}.get(node, node), event) for node, event in JOURNEY]
    assert [step for step in kept if step in back] == back


def test_demo_shows_the_journey_and_what_the_relay_saw() -> None:
    words = "The words of this message are for B alone."
    with Running("demo", "--message", words) as demo:
        pids = started(demo)
        assert demo.end() == 0
    text = "\n".join(demo.out)
    assert demo.err == []
    assert len(set(pids.values())) == 4
    assert all(gone(pid) for pid in pids.values())
    assert max(map(len, demo.out)) <= 80
    relay = re.search(r"What the relay ([CD]) saw", text)
    assert relay is not None
    places = [
        text.index(part)
        for part in (
            "nobody says who relays",
            "4 members, all may hold roles",
            "A encrypts end to end",
            "A hands the envelope over",
            f"{relay[1]} can't read it",
            "B decrypts it",
            "B signs the receipt",
            "A verifies the receipt: delivered",
            "B answers",
            "B encrypts end to end",
            "A decrypts it",
            "B verifies the receipt: delivered",
            "turns dishonest",
            "flips one bit",
            "B refuses it  (payload_mismatch",
            "The drafted relay is killed",
            "is killed (SIGKILL)",
            "What the relay",
            "No piece of the message stands in it (searched).",
            f"path          A → {relay[1]} → B",
            words,
            "flipped bit   refused by B: payload_mismatch",
            "killed relay",
        )
    ]
    assert places == sorted(places)
    assert text.index("B signs the receipt") < text.index(f"{relay[1]} verifies the receipt, passes it back")
    assert text.count(words) == 1, "shown where B reads it, nowhere else"


def started(demo: Running) -> dict[str, int]:
    """The processes of all nodes, as the table tells them."""
    rows = {
        "A": r"^A  sender +(\d+) ",
        "C": r"^C +(\d+) ",
        "D": r"^D +(\d+) ",
        "B": r"^B  recipient +(\d+) ",
    }
    return {name: int(demo.until(row)[1]) for name, row in rows.items()}


def test_demo_document_and_its_processes() -> None:
    """The processes are really there while it runs, as children of the command, and gone afterwards."""
    with Running("demo", "--json") as demo:
        seen: set[int] = set()
        deadline = time.monotonic() + DEADLINE
        while demo.process.poll() is None and time.monotonic() < deadline:
            seen |= actors(demo.process.pid)
        assert demo.end() == 0
    assert demo.err == []
    document = json.loads("\n".join(demo.out))
    check(document, b"Hello from A. Nobody on the way can read this.")
    assert {node["pid"] for node in document["nodes"]} <= seen


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(range(256)) * 7 + b"\xff\x00\n",
        pytest.param(random.Random(1).randbytes(MAX_CONTENT), id="1 MiB"),
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_demo_carries_any_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "content.bin"
    path.write_bytes(content)
    done = tom("demo", "--file", path, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    check(json.loads(done.stdout), content)


def test_demo_with_a_binary_file_prints_no_control_codes(tmp_path: Path) -> None:
    path = tmp_path / "content.bin"
    path.write_bytes(b"\x1b[2J\x07" + bytes(range(128, 256)))
    done = tom("demo", "--file", path)
    assert done.returncode == 0
    assert not set(range(32)) & set(done.stdout) - {0x0A}
    assert b"133 bytes: 1b 5b 32 4a 07" in done.stdout


def test_demo_takes_markup_as_plain_text() -> None:
    done = tom("demo", "--message", "[bold]not[/bold] [/nothing] markup")
    assert done.returncode == 0, done.stderr
    assert b"[bold]not[/bold] [/nothing] markup" in done.stdout


def test_demo_refuses_too_much(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(MAX_CONTENT + 1))
    done = tom("demo", "--file", path)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"at most 1,048,576 bytes" in done.stderr


def test_demo_wants_one_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    assert tom("demo", "--message", "x", "--file", path).returncode == 2
    assert tom("demo", "--file", tmp_path / "none").returncode == 2


@pytest.mark.parametrize(
    ("victim", "said"), [("A", "A, the sender,"), ("C", "C"), ("B", "B, the recipient,")]
)
def test_demo_ends_when_a_process_dies(victim: str, said: str) -> None:
    """One clear sentence, exit code 1, no process left."""
    with Running("demo") as demo:
        pids = started(demo)
        os.kill(pids[victim], signal.SIGKILL)
        begun = time.monotonic()
        assert demo.end() == 1
        took = time.monotonic() - begun
    assert demo.err == [f"tom: The demo can't go on: {said} stopped running (it was ended by SIGKILL)."]
    assert all(gone(pid) for pid in pids.values())
    assert took < 25, "it must not wait for what can't happen any more"


@pytest.mark.parametrize("nodes", [3, 7])
def test_demo_with_other_numbers_of_nodes(nodes: int) -> None:
    """With three there is no relay left after the kill, and the message arrives directly."""
    done = tom("demo", "--nodes", str(nodes), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert len(document["nodes"]) == nodes
    assert document["killed"]["delivered"] is True
    if nodes == 3:
        assert document["killed"] == {"node": "C", "delivered": True, "arrived_over": None}


@pytest.mark.parametrize("nodes", ["2", "13", "many"])
def test_demo_refuses_other_numbers(nodes: str) -> None:
    assert tom("demo", "--nodes", nodes).returncode == 2


def test_demo_as_json_ends_when_a_node_dies() -> None:
    with Running("demo", "--json") as demo:
        deadline = time.monotonic() + DEADLINE
        while not (running := actors(demo.process.pid)):
            assert time.monotonic() < deadline
        os.kill(min(running), signal.SIGKILL)
        assert demo.end() == 1
    document = json.loads("\n".join(demo.out))
    assert document["delivered"] is False
    assert document["receipt_verified"] is False
    assert "A, the sender, stopped running" in document["error"]
    assert len(demo.err) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_interrupted_leaves_nothing(number: signal.Signals) -> None:
    with Running("demo") as demo:
        pids = started(demo).values()
        demo.process.send_signal(number)
        # The demo may be through by then.
        assert demo.end() in {130, 0}
    assert demo.err == []
    assert all(gone(pid) for pid in pids)


def test_demo_killed_leaves_no_orphans() -> None:
    with Running("demo") as demo:
        pids = started(demo).values()
        demo.process.kill()
        demo.process.wait(DEADLINE)
        deadline = time.monotonic() + DEADLINE
        while not all(gone(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)
