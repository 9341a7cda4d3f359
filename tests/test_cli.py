"""The ``tom`` command, as real processes: what it prints, what it leaves on disk, how it ends."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import pytest

from tests.cli_process import COMMAND, DEADLINE, ROOT, Running, environment, new_identity, tom, tom_here
from tom_cli.main import app
from tom_ref.constants import MAX_CONTENT

NODE = r"tom1[02-9ac-hj-np-z]{58}"
ADDRESS = rf"{NODE}@127\.0\.0\.1:\d+"


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    new_identity(tmp_path / "alice.tom")
    return tmp_path / "alice.tom"


@pytest.fixture
def bob(tmp_path: Path) -> tuple[Path, str]:
    return tmp_path / "bob.tom", new_identity(tmp_path / "bob.tom")


def refused(done: subprocess.CompletedProcess[bytes], code: int, *parts: str) -> None:
    """It ended with this code and one plain complaint that holds these parts; no traceback."""
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert said.startswith("tom: "), said
    assert "Traceback" not in said
    for part in parts:
        assert part in said, said


# --- help and version -----------------------------------------------------------------------------------


def test_without_arguments_it_shows_help() -> None:
    alone, asked = tom(), tom("--help")
    assert (alone.returncode, alone.stderr) == (0, b"")
    assert alone.stdout == asked.stdout
    for command in ("demo", "id", "inspect", "listen", "node", "send"):
        assert re.search(rf"^│ {command} ", alone.stdout.decode(), re.MULTILINE)


@pytest.mark.parametrize(
    "command", ["", "id", "id new", "id show", "node", "send", "listen", "inspect", "demo"]
)
def test_every_help_has_examples_and_fits(command: str) -> None:
    done = tom_here(*command.split(), "--help")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert max(map(len, text.splitlines())) <= 80
    examples = text.partition("Examples:")[2]
    assert f"tom {command}" in examples
    assert "[default: False]" not in text
    assert "()" not in text


def test_examples_in_help_are_valid_commands(tmp_path: Path) -> None:
    """Every example parses, with a NodeId in the place of ``tom1…``."""
    name = new_identity(tmp_path / "x.tom")
    seen = 0
    for command in ["", "id", "id new", "id show", "node", "send", "listen", "inspect", "demo"]:
        examples = tom_here(*command.split(), "--help").stdout.decode().partition("Examples:")[2]
        for line in re.findall(r"^(?:date \| )?tom (?!COMMAND)(.*)$", examples, re.MULTILINE):
            words = re.sub(r"  +[a-z ,]*$", "", line).replace("tom1…", name)
            app.parse_args(words, exit_on_error=False, print_error=False)
            seen += 1
    assert seen > 15


def test_wrong_usage_says_where_help_is() -> None:
    refused(tom_here("nosuch"), 2, "nosuch", "tom --help")
    refused(tom_here("send"), 2, "TO", "tom send --help")
    refused(tom_here("node", "--bogus"), 2, "--bogus", "tom node --help")
    refused(tom_here("inspect", "00", "--as", "nothing"), 2, "nothing", "tom inspect --help")


@pytest.mark.parametrize(
    "slot", [("--slot", "300"), ("--fast", "--slot", "59"), ("--fast", "--slot", "60001")]
)
def test_slots_of_other_lengths_are_for_fast_networks(tmp_path: Path, slot: tuple[str, ...]) -> None:
    """TOM-ROLES-118: and nothing is made before that is said."""
    path = tmp_path / "never-made.tom"
    refused(tom_here("node", *slot, "--identity", path), 2, "--slot", "60 to 60000")
    assert not path.exists()


def test_version_from_the_installed_package(tmp_path: Path) -> None:
    """From a wheel, unpacked elsewhere: nothing of the source tree is needed."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=DEADLINE,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    asked = "import tom_cli.main as m, sys; print(m.__file__, flush=True); m.main(['--version'])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", asked],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path / "installed")),
        check=True,
        capture_output=True,
        timeout=DEADLINE,
    )
    where, version = done.stdout.decode().split()
    assert where.startswith(str(tmp_path))
    assert version == wheel.name.split("-")[1]


def test_nothing_dishonest_in_the_command() -> None:
    """The node that flips bits is in a module that the command never imports."""
    asked = (
        "import sys, tom_cli.main; from tom_ref.drivers import library; from tom_ref import node;"
        "print('tom_cli.actor' in sys.modules, library.Node is node.Node)"
    )
    done = subprocess.run([sys.executable, "-c", asked], env=environment(), capture_output=True, check=True)
    assert done.stdout == b"False True\n"
    tree = ast.parse((ROOT / "tom_cli" / "main.py").read_text())
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "setattr"]


# --- id -------------------------------------------------------------------------------------------------


def test_id_new_and_show(tmp_path: Path) -> None:
    path = tmp_path / "a.tom"
    made = tom("id", "new", path)
    assert made.returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"No passphrase protects this file" in made.stdout
    name = re.search(rf"^NodeId       ({NODE})$", made.stdout.decode(), re.MULTILINE)
    assert name
    shown = tom("id", "show", path)
    assert shown.stdout == made.stdout.partition(b"\n\n")[0] + b"\n"
    assert not [line for line in shown.stdout.decode().splitlines() if line != line.rstrip()]
    document = json.loads(tom("id", "show", path, "--json").stdout)
    assert document["id"] == name[1]
    assert document["path"] == str(path)
    for key in ("node_id", "vrf_key", "link_key", "session_key"):
        assert re.fullmatch("[0-9a-f]{64}", document[key])
        if key != "node_id":
            assert document[key].encode() in shown.stdout


def test_id_new_never_overwrites(alice: Path) -> None:
    before = alice.read_bytes()
    refused(tom("id", "new", alice), 1, "exists already", "left as it is")
    assert alice.read_bytes() == before


def test_id_in_the_default_place(tmp_path: Path) -> None:
    env = environment(HOME=str(tmp_path))
    refused(tom("id", "show", environ=env), 2, "There is no identity", "Make one: tom id new")
    assert tom("id", "new", environ=env).returncode == 0
    place = tmp_path / ".tom"
    assert place.stat().st_mode & 0o777 == 0o700
    assert tom("id", "show", environ=env).returncode == 0
    named = environment(HOME=str(tmp_path), TOM_IDENTITY=str(tmp_path / "other.tom"))
    assert tom("id", "new", environ=named).returncode == 0
    assert (tmp_path / "other.tom").exists()


def test_id_where_nothing_can_be_written(tmp_path: Path) -> None:
    refused(tom("id", "new", tmp_path / "none" / "a.tom"), 1, "No such file or directory")
    (tmp_path / "file").write_bytes(b"")
    env = environment(HOME=str(tmp_path / "file"))
    refused(tom("id", "new", environ=env), 1, "Not a directory")


@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(200), b"x" * 100_000], ids=len)
def test_a_corrupt_secret_file_is_left_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tom"
    path.write_bytes(content)
    path.chmod(0o600)
    before = path.stat()
    refused(tom_here("id", "show", path), 1, "bad_secret_file", "restore it from a copy")
    refused(tom_here("listen", "-i", path), 1, "bad_secret_file")
    assert path.read_bytes() == content
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.tom"]


def test_a_damaged_secret_file_is_left_untouched(alice: Path) -> None:
    damaged = bytearray(alice.read_bytes())
    damaged[-1] ^= 1
    alice.write_bytes(damaged)
    refused(tom("id", "show", alice), 1, "bad_secret_file")
    assert alice.read_bytes() == damaged


def test_a_secret_file_that_others_can_read(alice: Path) -> None:
    alice.chmod(0o644)
    for command in (("id", "show", alice), ("listen", "-i", alice)):
        refused(tom(*command), 1, "mode 0644", f"chmod 600 '{alice}'")
    alice.chmod(0o600)
    assert tom("id", "show", alice).returncode == 0


def test_an_identity_in_use(alice: Path) -> None:
    with Running("listen", "-i", alice) as running:
        running.until(f"^{NODE}$")
        refused(tom("node", "-i", alice), 1, "identity_in_use", "Stop that one")
        refused(tom("listen", "-i", alice, "--at", "127.0.0.1:0"), 1, "identity_in_use")
        assert tom("id", "show", alice).returncode == 0
        running.interrupt()
        assert running.end() == 130


# --- passphrases ----------------------------------------------------------------------------------------


def test_a_passphrase_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "sealed.tom"
    right, wrong = environment(TOM_PASSPHRASE="Käse und Brot"), environment(TOM_PASSPHRASE="Brot")
    made = tom("id", "new", path, environ=right)
    assert made.returncode == 0
    assert b"No passphrase" not in made.stdout
    assert tom("id", "show", path, environ=right).returncode == 0
    refused(tom("id", "show", path, environ=wrong), 1, "wrong_passphrase")
    refused(tom("id", "show", path), 1, "wrong_passphrase: missing", "--passphrase")


def test_a_passphrase_for_a_file_without_one(alice: Path) -> None:
    done = tom("id", "show", alice, environ=environment(TOM_PASSPHRASE="x"))
    refused(done, 1, "the file has none", "unset TOM_PASSPHRASE")


def on_terminal(answers: list[tuple[str, str]], *arguments: str | Path) -> tuple[int, str]:
    """Run the command on a terminal of its own and answer its questions; exit code and all it showed."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        os.execve(COMMAND[0], [*COMMAND, *map(str, arguments)], environment(TERM="dumb"))
    shown = b""
    deadline = time.monotonic() + DEADLINE
    waiting = list(answers)
    try:
        while True:
            ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, shown
            try:
                data = os.read(terminal, 4_096)
            except OSError:
                data = b""
            if not data:
                break
            shown += data
            if waiting and waiting[0][0] in shown.decode(errors="replace"):
                os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_passphrase_from_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "sealed.tom"
    words = "correct horse"
    asked = [("Passphrase: ", words), ("The same again: ", words)]
    code, shown = on_terminal(asked, "id", "new", path, "-p")
    assert code == 0, shown
    assert words not in shown, "what is typed is not shown"
    code, shown = on_terminal([("Passphrase: ", words)], "id", "show", path, "-p")
    assert code == 0, shown
    code, shown = on_terminal([("Passphrase: ", "wrong")], "id", "show", path, "-p")
    assert code == 1
    assert "wrong_passphrase" in shown
    assert tom("id", "show", path, environ=environment(TOM_PASSPHRASE=words)).returncode == 0


def test_passphrases_that_differ_or_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "sealed.tom"
    differing = [("Passphrase: ", "one"), ("The same again: ", "two")]
    code, shown = on_terminal(differing, "id", "new", path, "-p")
    assert (code, "differ; nothing was written" in shown) == (2, True), shown
    code, shown = on_terminal([("Passphrase: ", "")], "id", "new", path, "-p")
    assert (code, "protects nothing" in shown) == (2, True), shown
    assert list(tmp_path.iterdir()) == []


# --- node, send, listen ---------------------------------------------------------------------------------


def test_a_message_across_three_processes(tmp_path: Path, alice: Path, bob: tuple[Path, str]) -> None:
    path, name = bob
    new_identity(tmp_path / "carol.tom")
    with Running("node", "-i", tmp_path / "carol.tom", "--listen", "127.0.0.1:0") as relay:
        address = relay.until(f"^{ADDRESS}$")[0]
        with Running("listen", "-i", path, "-r", address, "--count", "2") as listening:
            listening.until(f"^{name}$")
            relay.until(f"linked +{name[:12]}…{name[-6:]}")
            sent = tom("send", name, "two\nlines \x1b[2J", "-i", alice, "-r", address)
            assert (sent.returncode, sent.stderr) == (0, b"")
            words = [line.split()[2] for line in sent.stdout.decode().splitlines()[:-1]]
            assert words in (["pending", "sent", "relayed", "delivered"], ["pending", "relayed", "delivered"])
            assert re.search(rf"delivered  receipt of {name[:12]}…{name[-6:]} verified", sent.stdout.decode())
            message = re.search(r"^message ([0-9a-f]{64})$", sent.stdout.decode(), re.MULTILINE)
            assert message
            assert not [line for line in sent.stdout.decode().splitlines() if line != line.rstrip()]
            assert max(map(len, sent.stdout.decode().splitlines())) <= 80
            sender = json.loads(tom("id", "show", alice, "--json").stdout)["id"]
            listening.until(f"^\\d\\d:\\d\\d:\\d\\d  {sender}$")
            listening.until(r"^  two$")
            listening.until(r"^  lines ·\[2J$")
            as_json = tom(
                "send", name, "--file", "-", "-i", alice, "-r", address, "--json", stdin=b"\xff\x00"
            )
            assert as_json.returncode == 0
            steps = [json.loads(line) for line in as_json.stdout.splitlines()]
            assert [steps[0]["state"], steps[-1]["state"]] == ["pending", "delivered"]
            listening.until(r"^  2 bytes: ff 00 ")
            assert listening.end() == 0
            assert listening.err == []
        for event in ("received", "relayed", "receipt passed back"):
            line = relay.until(rf"^\d\d:\d\d:\d\d  {event} +tom1").string
            assert message[1][:8] in line
            assert len(line) <= 80
        relay.interrupt()
        assert relay.end() == 130
        assert relay.err == []


def test_json_of_a_node_and_a_listener(tmp_path: Path, alice: Path, bob: tuple[Path, str]) -> None:
    path, name = bob
    with Running("listen", "-i", path, "--at", "127.0.0.1:0", "--json", "--count", "1") as listening:
        listening.until("listening")
        first = json.loads(listening.out[0])
        assert (first["event"], first["id"], first["pid"]) == ("listening", name, listening.process.pid)
        text = "not UTF-8: \udcff"
        sent = tom("send", name, text, "-i", alice, "--peer", first["address"], "--route", "direct")
        assert sent.returncode == 0, sent.stderr
        assert listening.end() == 0
        message = json.loads(listening.out[1])
        assert bytes.fromhex(message["content"]) == os.fsencode(text)
        assert message["relay"] is None
        assert message["again"] is False
    with Running("node", "-i", path, "--listen", "127.0.0.1:0", "--json") as node:
        node.until("listening")
        address = json.loads(node.out[0])["address"]
        with Running("listen", "-i", alice, "-r", address) as other:
            node.until('"linked"')
            other.interrupt()
            assert other.end() == 130
        node.until('"unlinked"')
        node.process.terminate()
        assert node.end() == 130
    events = [json.loads(line)["event"] for line in node.out]
    assert events[0] == "listening"
    assert [event for event in events if event in {"founded", "linked", "unlinked"}] == [
        "founded",
        "linked",
        "unlinked",
    ]


def test_an_offline_recipient_gets_it_later(tmp_path: Path, alice: Path, bob: tuple[Path, str]) -> None:
    """The message waits with the sender's identity and goes on with the next command that uses it."""
    path, name = bob
    new_identity(tmp_path / "carol.tom")
    with Running("node", "-i", tmp_path / "carol.tom", "--listen", "127.0.0.1:0") as relay:
        address = relay.until(f"^{ADDRESS}$")[0]
        late = tom("send", name, "the first", "-i", alice, "-r", address, "--wait", "1")
        assert late.stdout.split()[2] == b"pending"
        refused(late, 3, "No receipt within 1 s", "stays stored", "goes on")
        with Running("listen", "-i", path, "-r", address, "--count", "2", "--json") as listening:
            relay.until(f"linked +{name[:12]}…{name[-6:]}")
            again = tom("send", name, "the second", "-i", alice, "-r", address)
            assert again.returncode == 0, again.stderr
            # Should the second have been delivered before the first was tried again: any command goes on.
            with Running("listen", "-i", alice, "-r", address):
                assert listening.end() == 0
        shown = {bytes.fromhex(json.loads(line)["content"]) for line in listening.out[1:]}
        assert shown == {b"the first", b"the second"}


@pytest.mark.slow
def test_a_message_that_expires_exits_with_3(alice: Path, bob: tuple[Path, str]) -> None:
    done = tom("send", bob[1], "short-lived", "-i", alice, "--ttl", "0.2")
    refused(done, 3, "expired")
    assert "expired" in done.stdout.decode()


def test_nobody_to_send_through(alice: Path, bob: tuple[Path, str]) -> None:
    done = tom("send", bob[1], "x", "-i", alice, "--wait", "0")
    refused(done, 3, "give --relay or --peer")
    assert [line.split()[2] for line in done.stdout.decode().splitlines()] == ["pending"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def test_an_unreachable_relay(alice: Path, bob: tuple[Path, str]) -> None:
    relay = f"{bob[1]}@127.0.0.1:{free_port()}"
    done = tom("send", bob[1], "x", "-i", alice, "-r", relay, "--wait", "2")
    where = relay.partition("@")[2]
    refused(done, 3, f"{bob[1][:12]}…{bob[1][-6:]}: Nothing answers at {where}: Connection refused.")
    with Running("listen", "-i", alice, "-r", relay) as listening:
        said = listening.until("Connection refused", listening.err).string
        assert said.endswith("Connection refused. Trying on.")
        listening.interrupt()
        assert listening.end() == 130


def test_another_node_than_expected(tmp_path: Path, alice: Path, bob: tuple[Path, str]) -> None:
    """The address is right, the NodeId is somebody else's."""
    path, name = bob
    other = new_identity(tmp_path / "other.tom")
    with Running("node", "-i", path, "--listen", "127.0.0.1:0") as relay:
        place = relay.until(f"^{ADDRESS}$")[0].partition("@")[2]
        done = tom("send", name, "x", "-i", alice, "-r", f"{other}@{place}", "--wait", "2")
        refused(done, 3, f"{place} answered, but not as this node")


def test_a_port_in_use(alice: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        measured = ("node", "--listen", "127.0.0.1:0", "--metrics", place)
        for command in (("node", "--listen", place), ("listen", "--at", place), measured):
            done = tom(*command, "-i", alice)
            refused(done, 1, f"already listens at {place}", "choose another port, or 0")
            assert done.stdout == b""
            assert (b"--metrics" in done.stderr) is (command is measured)


def test_a_file_that_is_no_identity(tmp_path: Path) -> None:
    other = tmp_path / "README.md"
    other.write_text("hello", encoding="utf-8")
    refused(tom_here("status", "-i", other), 2, "is no identity")


def test_addresses_that_are_none(alice: Path, bob: tuple[Path, str]) -> None:
    refused(tom_here("node", "-i", alice, "--listen", "nonsense"), 2, "host:port")
    refused(tom_here("node", "-i", alice, "--listen", "0.0.0.0:0"), 2, "--announce")
    refused(tom_here("node", "-i", alice, "--listen", "192.0.2.7:0"), 1, "not an address of this computer")
    refused(tom_here("listen", "-i", alice, "--at", "127.0.0.1:99999"), 2, "host:port")
    refused(tom_here("listen", "-i", alice, "-r", "tom1"), 2, "tom1…@host:port")
    refused(tom_here("listen", "-i", alice, "--count", "-1"), 2, "--count")
    refused(tom_here("send", bob[1], "x", "-i", alice, "--peer", f"{bob[1]}@127.0.0.1:0"), 2, "to connect to")


def test_a_node_on_all_interfaces_says_what_host_to_put_in(alice: Path) -> None:
    with Running("node", "-i", alice, "--listen", f"0.0.0.0:{free_port()}") as node:
        node.until(rf"^{NODE}@HOST:\d+$")
        node.until("^HOST stands for")
        node.interrupt()
        assert node.end() == 130
    with Running("node", "-i", alice, "--listen", "0.0.0.0:0", "--announce", "a.example:70") as node:
        node.until(rf"^{NODE}@a\.example:70$")


def test_mistyped_ids(alice: Path, bob: tuple[Path, str]) -> None:
    _, name = bob
    swapped = name[:20] + ("q" if name[20] != "q" else "p") + name[21:]
    for wrong in (
        "",
        "tom1",
        "bob",
        name[:-1],
        name + "q",
        swapped,
        "x" + name[1:],
        name.upper()[:30] + name[30:],
    ):
        refused(tom_here("send", wrong, "x", "-i", alice), 2, "is no NodeId", "copy all of it")
    refused(tom_here("send", name, "x", "-i", alice.with_name("none.tom")), 2, "no identity", "tom id new")
    refused(tom_here("send", name, "x", "-i", bob[0]), 2, "own NodeId")
    refused(tom("send", swapped, "x", "-i", alice), 2, "is no NodeId", "copy all of it")


def test_what_to_send(tmp_path: Path, alice: Path, bob: tuple[Path, str]) -> None:
    send = partial(tom_here, "send", bob[1], "-i", alice)
    refused(send(), 2, "Give either a text or --file")
    refused(send("text", "--file", "-"), 2, "Give either a text or --file")
    refused(send("--file", tmp_path / "none"), 2, "can't be read: No such file")
    refused(send("--file", tmp_path), 2, "can't be read: Is a directory")
    refused(
        tom("send", bob[1], "-i", alice, "--file", "-", stdin=bytes(MAX_CONTENT + 1)),
        2,
        "at most 1,048,576 bytes",
    )
    for ttl in ("0", "-1", "nan", "inf", "86401"):
        refused(send("x", f"--ttl={ttl}"), 2, "--ttl")
    for wait in ("-1", "nan"):
        refused(send("x", f"--wait={wait}"), 2, "--wait")
    assert not alice.with_name("alice.tom-store").exists(), "a refused message touches nothing"


# --- when the surroundings fail ---------------------------------------------------------------------------


def limit_files(size: int) -> None:
    """In the child: a file can't grow beyond so many bytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_for_an_identity(tmp_path: Path) -> None:
    done = tom("id", "new", tmp_path / "a.tom", limit=partial(limit_files, 16))
    refused(done, 1, "can't be created")
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left"


@pytest.mark.parametrize("size", [0, 4_096, 65_536])
def test_a_full_disk_for_the_store(alice: Path, bob: tuple[Path, str], size: int) -> None:
    """The message is not taken, and says so; afterwards the identity works as before."""
    before = alice.read_bytes()
    done = tom(
        "send",
        bob[1],
        "--file",
        "-",
        "-i",
        alice,
        "--wait",
        "5",
        stdin=bytes(500_000),
        limit=partial(limit_files, size),
    )
    refused(done, 1, "store")
    assert alice.read_bytes() == before
    refused(tom("send", bob[1], "x", "-i", alice, "--wait", "0"), 3, "pending")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--help",), ("demo", "--json"), ("inspect", "7f00")], ids=str)
def test_output_to_a_full_disk(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=DEADLINE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode() == "tom: The output can't be written: No space left on device.\n"


@pytest.mark.parametrize("json_", [False, True])
def test_a_reader_that_has_enough(tmp_path: Path, alice: Path, json_: bool) -> None:
    """``tom node | head -1``: it ends at its next line, without a word."""
    options = ["--json"] if json_ else []
    with Running("node", "-i", alice, "--listen", "127.0.0.1:0", *options) as node:
        address = node.until(ADDRESS)[0]
        _, name = node, new_identity(tmp_path / "bob.tom")
        done = subprocess.Popen(
            [*COMMAND, "listen", "-i", str(tmp_path / "bob.tom"), "-r", address, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        assert done.stdout is not None
        assert done.stderr is not None
        assert name.encode() in done.stdout.readline()
        if not json_:
            assert b"Ctrl-C" in done.stdout.readline()
        done.stdout.close()
        node.until(f"linked.*{name[-6:]}")
        sent = tom("send", name, "into the void", "-i", _third(tmp_path), "-r", address, "--wait", "10")
        assert sent.returncode in {0, 3}
        assert done.wait(DEADLINE) == 1
        assert done.stderr.read() == b""
        done.stderr.close()
        node.interrupt()
        assert node.end() == 130


@pytest.mark.parametrize("json_", [False, True])
def test_a_delivered_message_outlives_its_output(tmp_path: Path, alice: Path, json_: bool) -> None:
    """``tom send | head -1`` (here: a pipe whose reader is gone): the exit code tells of the message."""
    options = ["--json"] if json_ else []
    with Running("listen", "-i", alice, "--at", "127.0.0.1:0", *options) as listener:
        address = listener.until(ADDRESS)[0]
        command = [*COMMAND, "send", address.partition("@")[0], "x", "-i", str(_third(tmp_path))]
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as broken:  # noqa: PTH123 - a descriptor
            done = subprocess.run(
                [*command, "--peer", address, "--route", "direct", *options],
                stdout=broken,
                stderr=subprocess.PIPE,
                env=environment(),
                timeout=DEADLINE,
                check=False,
            )
        assert (done.returncode, done.stderr) == (0, b"")
        listener.until('"content": "78"' if json_ else "^  x$")
        listener.interrupt()
        assert listener.end() == 130


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-", "<&-"])
def test_streams_that_are_closed(tmp_path: Path, closed: str) -> None:
    """No traceback, and the secret file doesn't get the number of a standard stream."""
    path = tmp_path / "new.tom"
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {closed}', *COMMAND, "id", "new", str(path)],
        capture_output=True,
        env=environment(),
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert tom("id", "show", path).returncode == 0


@pytest.mark.parametrize("command", ["node", "listen"])
def test_who_makes_an_identity(tmp_path: Path, command: str) -> None:
    """What begins a node's life makes its identity, as the library does; what uses one doesn't."""
    path = tmp_path / "fresh.tom"
    if command == "listen":
        refused(tom("listen", "-i", path), 2, "There is no identity", "tom id new")
        assert not path.exists()
        return
    with Running("node", "-i", path, "--listen", "127.0.0.1:0") as node:
        name = node.until(ADDRESS)[0].partition("@")[0]
        node.until("A new identity was made", node.err)
        node.interrupt()
        assert node.end() == 130
    assert json.loads(tom("id", "show", path, "--json").stdout)["id"] == name
    assert path.stat().st_mode & 0o077 == 0


def _third(folder: Path) -> Path:
    new_identity(folder / "third.tom")
    return folder / "third.tom"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(alice: Path, bob: tuple[Path, str], number: signal.Signals) -> None:
    commands: list[tuple[tuple[str | Path, ...], str]] = [
        (("node", "--listen", "127.0.0.1:0"), ADDRESS),
        (("listen",), NODE),
        (("send", bob[1], "x"), "pending"),
    ]
    for command, ready in commands:
        with Running(*command, "-i", alice) as running:
            running.until(ready)
            running.process.send_signal(number)
            assert running.end() == 130
            assert running.err == []


# --- inspect ----------------------------------------------------------------------------------------------

KINDS = {
    "descriptor.json": "descriptor",
    "extensions.json": "extensions",
    "frame.json": "frame",
    "handshake-payload.json": "handshake",
    "header.json": "header",
    "records.json": "records",
    "session-message.json": "session",
}
VECTORS = ROOT / "test-vectors" / "wire"


def test_every_kind_of_vector_can_be_inspected() -> None:
    assert {path.name for path in VECTORS.glob("*.json")} == set(KINDS)


@pytest.mark.parametrize("file", KINDS)
def test_inspect_agrees_with_the_vectors(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every byte is shown once, in order; valid vectors are accepted, invalid ones refused with their code.

    The command runs in this process here: a process for each of the hundreds of vectors takes too long.
    """
    accepted = 0
    cases = json.loads((VECTORS / file).read_text())["cases"]
    for case in cases:
        code = app(["inspect", case["input"]["bytes"], "--as", KINDS[file], "--json"])
        document = json.loads(capsys.readouterr().out)
        assert "".join(row["hex"] for row in document["fields"]) == case["input"]["bytes"], case["id"]
        offset = 0
        for row in document["fields"]:
            assert row["offset"] == offset, case["id"]
            offset += len(row["hex"]) // 2
        assert document["size"] == offset
        assert document["accepted"] is case["valid"], case["id"]
        assert code == (0 if case["valid"] else 1)
        if case["valid"]:
            accepted += 1
            assert document["refusal"] is None
            assert "(not described)" not in [row["field"] for row in document["fields"]], case["id"]
        else:
            assert document["refusal"].partition(":")[0] == case["reason"], case["id"]
    assert 0 < accepted < len(cases)


@pytest.mark.parametrize("file", KINDS)
def test_inspect_for_people(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first vector of every kind of frame: within 80 columns, every field named once."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = set()
    for case in json.loads((VECTORS / file).read_text())["cases"]:
        first = case["input"]["bytes"][:2]
        if not case["valid"] or first in shown:
            continue
        shown.add(first)
        app(["inspect", case["input"]["bytes"], "--as", KINDS[file], "--json"])
        fields = [row["field"] for row in json.loads(capsys.readouterr().out)["fields"]]
        assert app(["inspect", case["input"]["bytes"], "--as", KINDS[file]]) == 0
        text = capsys.readouterr().out
        lines = text.splitlines()
        assert max(map(len, lines)) <= 80
        assert lines == [line.rstrip() for line in lines]
        for field in fields:
            assert field in text
        assert "well formed" in lines[-1]
        assert f"{len(case['input']['bytes']) // 2:,} bytes" in lines[-1]


def test_inspect_shows_exact_lines() -> None:
    done = tom("inspect", "02000800000000000000ff", "--as", "records")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == EXACT


EXACT = [
    "records",
    "11 bytes",
    "",
    "offset  bytes                    field            meaning",
    "     0  02 00 08                 record[0]        window, 8 bytes",
    "     3  00 00 00 00 00 00 00 ff  record[0].limit  255 (bytes of frames the peer",
    "                                                  may begin, counted from the",
    "                                                  start of the link)",
    "",
    "well formed: 11 bytes, decoded and rebuilt alike",
]


def test_the_documented_dumps_are_the_real_ones() -> None:
    blocks = re.findall(
        r"^```console\n\$ tom (inspect .*)\n((?s:.*?))```$", DOCUMENT.read_text(), re.MULTILINE
    )
    assert len(blocks) == 3
    for command, shown in blocks:
        done = tom_here(*command.split())
        assert (done.stdout + done.stderr).decode() == shown


DOCUMENT = ROOT / "docs" / "cli.md"


def test_inspect_reads_hex_files_and_standard_input(tmp_path: Path) -> None:
    frame = bytes.fromhex("05" + "ab" * 32)
    raw, text, loose = tmp_path / "raw", tmp_path / "hex", tmp_path / "loose"
    raw.write_bytes(frame)
    text.write_text(frame.hex())
    loose.write_text(frame.hex(" ", 4) + "\n")
    wanted = tom("inspect", frame.hex(), "--json")
    assert json.loads(wanted.stdout)["kind"] == "descriptor query"
    for source in (raw, text, loose):
        assert tom("inspect", source, "--json").stdout == wanted.stdout
        assert tom("inspect", "-", "--json", stdin=source.read_bytes()).stdout == wanted.stdout


def test_inspect_refuses(tmp_path: Path) -> None:
    done = tom_here("inspect", "7f616e79")
    assert done.returncode == 1
    assert done.stderr == b"refused: unknown_frame: type 0x7f\n"
    refused(tom_here("inspect", "zz"), 2, "'zz' is neither hex", "nor a file")
    refused(tom_here("inspect", "012"), 2, "neither hex (two digits a byte)")
    refused(tom_here("inspect", tmp_path), 2, "neither hex")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(4 * MAX_CONTENT + 1)
    refused(tom_here("inspect", large), 2, "no frame is that large")


def test_sigterm_ends_a_node_that_a_script_put_in_the_background(tmp_path: Path) -> None:
    """A shell without job control starts background commands with SIGINT ignored; SIGTERM still ends them."""
    script = (
        "from tom_cli.main import main; import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); main()"
    )
    subprocess.run([sys.executable, "-m", "tom_cli.main", "id", "new", "n.tom"], cwd=tmp_path, check=True)
    arguments = ["node", "--identity", "n.tom", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("tom1")
        process.terminate()
        assert process.wait(timeout=60) == 130


def test_an_ascii_terminal_is_no_reason_for_a_traceback(tmp_path: Path) -> None:
    """Characters that the output can't show are replaced."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "tom_cli.main", "demo"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
