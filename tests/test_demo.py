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
                    "node": {"enum": ["A", "B", "C"]},
                    "event": {"type": "string", "pattern": "^[a-z_]+$"},
                },
            },
        },
        "nodes": {
            "type": "array",
            "minItems": 3,
            "maxItems": 3,
            "items": {
                "type": "object",
                "required": ["name", "id", "pid", "address"],
                "additionalProperties": False,
                "properties": {
                    "name": {"enum": ["A", "B", "C"]},
                    "id": NODE,
                    "pid": {"type": "integer", "minimum": 2},
                    "address": {"type": ["string", "null"]},
                },
            },
        },
        "relay_saw_plaintext": {"type": ["boolean", "null"]},
        "answer_received": {"type": "boolean"},
        "flipped_bit_refused_with": {"type": "string"},
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
    ("C", "receipt_passed_back"),
    ("A", "receipt_verified"),
]
"""The order that causes impose; A verifies the trail at any time after C relayed."""


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


def check(document: dict[str, Any], content: bytes) -> None:
    """Everything that the document promises, for a demo that went well."""
    jsonschema.Draft202012Validator(DOCUMENT).validate(document)
    assert document["delivered"] is True
    assert document["receipt_verified"] is True
    assert document["answer_received"] is True
    assert document["relay_saw_plaintext"] is (None if len(content) < 12 else False)
    assert document["payload_sha256"] == hashlib.sha256(content).hexdigest()
    assert document["flipped_bit_refused_with"] == "payload_mismatch"
    nodes = {node["name"]: node for node in document["nodes"]}
    assert set(nodes) == {"A", "B", "C"}
    assert document["path"] == [nodes[name]["id"] for name in "ACB"]
    for node in nodes.values():
        assert len(node_id_from_text(node["id"])) == 32
        assert gone(node["pid"])
    assert len({node["pid"] for node in nodes.values()}) == 3
    assert re.fullmatch(rf"{nodes['C']['id']}@127\.0\.0\.1:\d+", nodes["C"]["address"])
    steps = [(step["node"], step["event"]) for step in document["steps"]]
    assert [step["at_ms"] for step in document["steps"]] == sorted(s["at_ms"] for s in document["steps"])
    there = [step for step in steps[: steps.index(("A", "receipt_verified")) + 1] if step in JOURNEY]
    assert there == JOURNEY
    assert steps.index(("A", "trail_verified")) > steps.index(("C", "relayed"))
    back = [(({"A": "B", "B": "A"}).get(node, node), event) for node, event in JOURNEY]
    assert [step for step in steps[steps.index(("B", "encrypted")) :] if step in back] == back


def test_demo_shows_the_journey_and_what_the_relay_saw() -> None:
    words = "The words of this message are for B alone."
    with Running("demo", "--message", words) as demo:
        rows = [demo.until(rf"^{name}  {role} +(\d+) ") for name, role in zip("ACB", ROLES, strict=True)]
        pids = {int(row[1]) for row in rows}
        assert demo.end() == 0
    text = "\n".join(demo.out)
    assert demo.err == []
    assert len(pids) == 3
    assert all(gone(pid) for pid in pids)
    assert max(map(len, demo.out)) <= 80
    places = [
        text.index(part)
        for part in (
            "A encrypts end to end",
            "A hands the envelope over",
            "C can't read it",
            "B decrypts it",
            "B signs the receipt",
            "C verifies the receipt, passes it back",
            "A verifies the receipt: delivered",
            "B answers",
            "B encrypts end to end",
            "A decrypts it",
            "B verifies the receipt: delivered",
            "C turns dishonest",
            "C flips one bit",
            "B refuses it  (payload_mismatch",
            "What the relay C saw",
            "No piece of the message stands in it (searched).",
            "path         A → C → B",
            words,
            "flipped bit  refused by B: payload_mismatch",
        )
    ]
    assert places == sorted(places)
    assert text.count(words) == 1, "shown where B reads it, nowhere else"


ROLES = ("sender", "relay", "recipient")


def test_demo_document_and_its_processes() -> None:
    """The three processes are really there while it runs, as children of the command, and gone afterwards."""
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
        b"hi",
        bytes(4_096),
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


@pytest.mark.parametrize("victim", ["A", "C", "B"])
def test_demo_ends_when_a_process_dies(victim: str) -> None:
    """One clear sentence, exit code 1, no process left."""
    role = dict(zip("ACB", ROLES, strict=True))[victim]
    with Running("demo") as demo:
        pids = {
            name: int(demo.until(rf"^{name}  {its} +(\d+) ")[1])
            for name, its in zip("ACB", ROLES, strict=True)
        }
        os.kill(pids[victim], signal.SIGKILL)
        begun = time.monotonic()
        assert demo.end() == 1
        took = time.monotonic() - begun
    assert demo.err == [
        f"tom: The demo can't go on: {victim}, the {role}, stopped running (it was ended by SIGKILL)."
    ]
    assert all(gone(pid) for pid in pids.values())
    assert took < 25, "it must not wait for what can't happen any more"


def test_demo_as_json_ends_when_the_relay_dies() -> None:
    with Running("demo", "--json") as demo:
        deadline = time.monotonic() + DEADLINE
        while not (started := actors(demo.process.pid)):
            assert time.monotonic() < deadline
        os.kill(min(started), signal.SIGKILL)
        assert demo.end() == 1
    document = json.loads("\n".join(demo.out))
    assert document["delivered"] is False
    assert document["receipt_verified"] is False
    assert "C, the relay, stopped running" in document["error"]
    assert len(demo.err) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_interrupted_leaves_nothing(number: signal.Signals) -> None:
    with Running("demo") as demo:
        pids = [int(demo.until(rf"^{n}  {its} +(\d+) ")[1]) for n, its in zip("ACB", ROLES, strict=True)]
        demo.process.send_signal(number)
        # The demo may be through by then.
        assert demo.end() in {130, 0}
    assert demo.err == []
    assert all(gone(pid) for pid in pids)


def test_demo_killed_leaves_no_orphans() -> None:
    with Running("demo") as demo:
        pids = [int(demo.until(rf"^{n}  {its} +(\d+) ")[1]) for n, its in zip("ACB", ROLES, strict=True)]
        demo.process.kill()
        demo.process.wait(DEADLINE)
        deadline = time.monotonic() + DEADLINE
        while not all(gone(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)
