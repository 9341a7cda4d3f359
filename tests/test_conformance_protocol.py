"""The lines between runner and adapter: what is a reply, and what a port can do wrong as a process."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from conformance import protocol
from conformance.port import Fault, Port, PortError, resolved
from conformance.protocol import BadReplyError, Kind, Reply, parse_reply, reply_line, request_line

SCHEMA = json.loads((Path(protocol.__file__).parent / "schemas/adapter-1.json").read_text(encoding="utf-8"))
REPLY = Draft202012Validator(SCHEMA["$defs"]["reply"])
REQUEST = Draft202012Validator(SCHEMA["$defs"]["request"])

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)
NEARLY = st.dictionaries(
    st.sampled_from(["ok", "reject", "ignore", "unsupported", "error", "id", "more"]),
    VALUES
    | st.fixed_dictionaries({"code": st.text(max_size=2)})
    | st.fixed_dictionaries({"reason": st.text(max_size=2)})
    | st.fixed_dictionaries({"message": st.text(max_size=2)}, optional={"trace": st.text(max_size=1)})
    | st.just(True),
    max_size=3,
)


@given(NEARLY)
def test_the_schema_and_the_parser_agree_on_replies(content: Any) -> None:
    """TOM-CONF-005: a reply that one takes the other takes, too."""
    line = json.dumps(content).encode()
    try:
        parse_reply(line)
    except BadReplyError:
        assert not REPLY.is_valid(content)
    else:
        assert REPLY.is_valid(content)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(Kind.OK, {"a": [1, "x"]}),
        Reply(Kind.REJECT, "truncated"),
        Reply(Kind.IGNORE),
        Reply(Kind.UNSUPPORTED, "no"),
        Reply(Kind.ERROR, "oops"),
    ],
)
def test_what_is_written_is_read(reply: Reply) -> None:
    line = reply_line("7", reply)
    assert line.endswith(b"\n")
    assert parse_reply(line[:-1]) == ("7", reply)
    assert REPLY.is_valid(json.loads(line))


def test_a_request_is_in_form() -> None:
    assert REQUEST.is_valid(json.loads(request_line("1", "codec.decode", {"format": "frame"})))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id":"1"}',
        b'{"id":"1","ok":{},"ok":{}}',
        b'{"id":"1","ok":{"a":1.0}}',
        b'{"id":"1","ok":{"a":1e400}}',
        b'{"id":"1","ok":{"a":NaN}}',
        b'{"id":"1","ok":{"a":9007199254740992}}',
        b'{"id":"1","ok":{"a":[{"b":-9007199254740992}]}}',
        b'{"id":"1","ok":[]}',
        b'{"id":"1","ignore":false}',
        b'{"id":"1","reject":{"code":1}}',
        b'\xff{"id":"1","ok":{}}',
        b'{"id":"1","ok":' + b"[" * 100_000,
    ],
)
def test_what_is_no_reply(line: bytes) -> None:
    """TOM-CONF-001, 004, 005."""
    with pytest.raises(BadReplyError):
        parse_reply(line)


# --- processes --------------------------------------------------------------------------------------------


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import json, os, sys, time\n{code}"]


ANSWER = "print(json.dumps({'id': json.loads(line)['id'], 'ok': {'n': n}}), flush=True)"
LOOP = f"for n, line in enumerate(sys.stdin):\n    {ANSWER}\n"


def test_a_port_answers() -> None:
    port = Port(python(LOOP))
    assert [port.ask("hello", {}).value["n"] for _ in range(3)] == [0, 1, 2]
    port.close()


def test_a_port_starts_in_an_empty_folder_with_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the runner's surroundings reaches it."""
    monkeypatch.setenv("TOM_SECRET", "x")
    say = (
        "print(json.dumps({'id': '1', 'ok': {'env': sorted(os.environ), 'files': os.listdir()}}), flush=True)"
    )
    port = Port(python(f"sys.stdin.readline()\n{say}\nsys.stdin.read()"))
    value = port.ask("hello", {}).value
    port.kill()
    assert value["files"] == []
    assert "TOM_SECRET" not in value["env"]
    assert {"HOME", "PATH"} <= set(value["env"])


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("time.sleep(60)", Fault.TIMEOUT),
        ("sys.stdin.close(); os.close(0); time.sleep(60)", Fault.TIMEOUT),
        ("sys.exit(3)", Fault.DIED),
        ("sys.stdin.readline(); os._exit(0)", Fault.DIED),
        ("sys.stdin.readline(); os.close(1); time.sleep(60)", Fault.DIED),
        ("sys.stdin.readline(); print('hello', flush=True); time.sleep(60)", Fault.NOISE),
        ('sys.stdin.readline(); print(\'{"id":"9","ok":{}}\', flush=True); time.sleep(60)', Fault.WRONG_ID),
        ("sys.stdin.readline()\nwhile True: os.write(1, b'x' * 65536)", Fault.LINE_TOO_LONG),
        ("sys.stdin.readline()\nwhile True: os.write(2, b'x' * 65536)", Fault.FLOOD),
        (
            'sys.stdin.readline(); os.write(1, b\'{"id":"1","ok":{}}\\n{}\\n\'); time.sleep(60)',
            Fault.OUT_OF_TURN,
        ),
    ],
)
def test_what_a_process_does_wrong_is_named(code: str, fault: Fault) -> None:
    """TOM-CONF-001, 002, 007: never a hang, never a reply."""
    port = Port(python(code), timeout=1.0)
    began = time.monotonic()
    with pytest.raises(PortError) as caught:
        port.ask("hello", {})
    assert caught.value.fault is fault or (fault is Fault.TIMEOUT and caught.value.fault is Fault.DIED)
    assert time.monotonic() - began < 20
    port.kill()


def test_what_is_said_before_it_is_asked_is_named() -> None:
    port = Port(python("print('ready', flush=True)\n" + LOOP))
    time.sleep(0.5)
    with pytest.raises(PortError) as caught:
        port.ask("hello", {})
    assert caught.value.fault in {Fault.OUT_OF_TURN, Fault.NOISE}


def test_a_large_request_reaches_a_port_that_talks_meanwhile() -> None:
    """Neither side may wait for the other's pipe."""
    code = "sys.stderr.write('e' * 200000); sys.stderr.flush()\n" + LOOP
    port = Port(python(code))
    assert port.ask("x", {"data": "a" * 4_000_000}).value == {"n": 0}
    assert port.stderr.endswith("e")
    port.close()


def test_children_go_with_the_port(tmp_path: Path) -> None:
    """A port that starts processes of its own leaves none behind."""
    note = tmp_path / "child"
    code = (
        "import subprocess\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n" + LOOP
    )
    port = Port(python(code))
    port.ask("hello", {})
    child = int(note.read_text())
    port.kill()
    for _ in range(200):
        if not alive(child):
            return
        time.sleep(0.02)
    pytest.fail("the child lives on")


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_command_that_isn_t_there_is_named() -> None:
    with pytest.raises(PortError) as caught:
        Port(["/nowhere/port"])
    assert caught.value.fault is Fault.NOT_STARTED


def test_arguments_that_name_files_work_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "port.py").write_text("")
    assert resolved(["python3", "port.py", "--fast", "./missing"]) == [
        "python3",
        os.fspath(tmp_path / "port.py"),
        "--fast",
        "./missing",
    ]
