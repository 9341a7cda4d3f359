"""The Kaitai Struct description and the Wireshark dissector, run by their own tools on the vectors' bytes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kaitaistruct import BytesIO, KaitaiStream

from conformance import formats
from conformance.declared import DECLARED, Span, frame_types, spans
from conformance.sources import sweeps, vectors
from conformance.sources.nodes import Stage
from tests.linkpair import ALICE, BOB, NOW, events
from tests.npm import npm
from tom_ref.crypto import open_sealed
from tom_ref.link import Framing

COMPILER = "kaitai-struct-compiler@0.11.0"
COMPILE = """
const Compiler = require(process.argv[2]);
const compile = Compiler.compile ? Compiler : new Compiler();
let text = ""; process.stdin.on("data", (d) => text += d).on("end", () =>
  compile.compile("python", JSON.parse(text), null, false).then(
    (files) => process.stdout.write(JSON.stringify(files)),
    (error) => { console.error(String(error)); process.exit(1); }));
"""
STRUCTURES = {
    "header": "header",
    "descriptor": "descriptor",
    "handshake-payload": "handshake_payload",
    "extensions": "extensions",
    "term-record": "term_record",
    "block-header": "block_header",
    "evidence": "evidence",
    "invitation": "invitation",
}


def structure(name: str, data: bytes) -> str:
    """The declared structure of some valid bytes of a format; empty where there is none."""
    if name == "frame":
        return frame_types().get(data[0], "")
    if name == "session-message":
        return {1: "session_initial", 2: "session_regular"}[data[1]]
    return STRUCTURES.get(name, "")


def samples() -> Iterator[tuple[str, bytes]]:
    """Every valid value of the codec's vectors, and one of each format from the sweeps."""
    for _, content in vectors.files():
        algorithm = content["algorithm"]
        if algorithm.startswith("wire-"):
            for case in content["cases"]:
                if case["valid"]:
                    data = bytes.fromhex(case["input"]["bytes"])
                    name = structure(algorithm.removeprefix("wire-"), data)
                    if name:
                        yield name, data
    for base in sweeps.bases("1"):
        name = structure(base.format, base.data)
        if name:
            yield name, base.data


SAMPLES = list(samples())


def test_the_files_are_what_the_declarations_say(tmp_path: Path) -> None:
    assert formats.outdated() == []
    assert sorted(formats.outdated(tmp_path)) == ["tom.ksy", "tom.lua"]
    formats.write(tmp_path)
    assert formats.outdated(tmp_path) == []


def test_the_description_is_yaml_of_what_is_compiled() -> None:
    assert yaml.safe_load((formats.ROOT / "tom.ksy").read_text(encoding="utf-8")) == formats.ksy()


def test_every_frame_and_structure_is_described() -> None:
    description = formats.ksy()
    assert set(description["seq"][0]["type"]["cases"].values()) == {*frame_types().values(), "unknown_frame"}
    assert {name for name in DECLARED if not name.startswith(("stored_", "secret_"))} - {
        "header_prefix"
    } <= set(description["types"])


# --- Kaitai Struct ----------------------------------------------------------------------------------------


def compiler(folder: Path) -> str:
    """Where the compiler is: named, or fetched into the folder."""
    named = os.environ.get("TOM_KAITAI_COMPILER", "")
    if not named:
        npm("install", folder, COMPILER)
    found = subprocess.run(
        ["node", "-p", f"require.resolve({named or 'kaitai-struct-compiler'!r})"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@pytest.fixture(scope="module")
def tom(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The parser that Kaitai's compiler makes."""
    tmp_path = tmp_path_factory.mktemp("kaitai")
    script = tmp_path / "compile.js"
    script.write_text(COMPILE, encoding="utf-8")
    done = subprocess.run(
        ["node", str(script), compiler(tmp_path)],
        input=json.dumps(formats.ksy()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / "tom.py"
    path.write_text(json.loads(done.stdout)["tom.py"], encoding="utf-8")
    specification = importlib.util.spec_from_file_location("tom_kaitai", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.Tom


def value_at(parsed: Any, path: str) -> Any:
    """The value of a field that :func:`conformance.declared.spans` names."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        parsed = parsed[int(part)] if part.isdigit() else getattr(parsed, part)
    return parsed


def same(parsed: Any, span: Span, data: bytes) -> bool:
    raw = data[span.offset : span.offset + span.size]
    value = value_at(parsed, span.path)
    if span.kind == "integer":
        return bool(value == int.from_bytes(raw, "big"))
    return bool(value == raw)


def test_kaitai_reads_every_vector(tom: Any) -> None:
    """Each field of each value has the same bytes as in the declaration."""
    fields = 0
    for name, data in SAMPLES:
        kind = getattr(tom, "".join(part.capitalize() for part in name.split("_")))
        parsed = kind(KaitaiStream(BytesIO(data)))
        if hasattr(parsed, "_read") and not hasattr(parsed, DECLARED[name].subcons[0].name):
            parsed._read()
        for span in spans(name, data):
            if not span.size:
                continue
            assert same(parsed, span, data), (name, span.path)
            fields += 1
    assert fields > 1_000


def test_kaitai_chooses_the_frame_by_its_first_byte(tom: Any) -> None:
    for name, data in SAMPLES:
        if name in frame_types().values():
            frame = tom(KaitaiStream(BytesIO(data)))
            assert type(frame.frame).__name__ == "".join(part.capitalize() for part in name.split("_"))


# --- Wireshark --------------------------------------------------------------------------------------------


def pcap(packets: list[bytes], linktype: int) -> bytes:
    """A capture file: classic pcap, one packet a second."""
    head = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 20, linktype)
    body = [
        struct.pack(">IIII", second, 0, len(packet), len(packet)) + packet
        for second, packet in enumerate(packets)
    ]
    return head + b"".join(body)


USER0, USER1 = 147, 148
CHUNK_DATA = "tom.record_chunk.data"


def dissected(tmp_path: Path, packets: list[bytes], linktype: int = USER0) -> list[ET.Element]:
    """What tshark makes of some packets."""
    if shutil.which("tshark") is None:
        pytest.skip("NOT RUN: tshark is not on this machine")
    capture = tmp_path / "tom.pcap"
    capture.write_bytes(pcap(packets, linktype))
    script = formats.ROOT / "tom.lua"
    environment = {**os.environ, "HOME": str(tmp_path), "WIRESHARK_RUN_FROM_BUILD_DIRECTORY": ""}
    done = subprocess.run(
        ["tshark", "-X", f"lua_script:{script}", "-r", str(capture), "-T", "pdml"],
        capture_output=True,
        env=environment,
        check=False,
        timeout=120,
    )
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert "Lua" not in said, said
    return ET.fromstring(done.stdout).findall("packet")


def fields_of(packet: ET.Element) -> list[tuple[str, str]]:
    """The fields in their order, with their bytes."""
    return [
        (field.get("name", ""), field.get("value", ""))
        for field in packet.iter("field")
        if field.get("name", "").startswith("tom.") and field.get("value") is not None
    ]


def test_wireshark_reads_every_frame_of_the_vectors(tmp_path: Path) -> None:
    """Each field that the declaration names is in the tree with its bytes, and nothing is malformed."""
    frames = [(name, data) for name, data in SAMPLES if name in frame_types().values()]
    packets = dissected(tmp_path, [data for _, data in frames])
    assert len(packets) == len(frames)
    for (name, data), packet in zip(frames, packets, strict=True):
        shown = fields_of(packet)
        assert not [one for one, _ in shown if one in {"tom.cut", "tom.rest"}], name
        for span in spans(name, data):
            raw = data[span.offset : span.offset + span.size].hex()
            if raw:
                assert (f"tom.{span.structure}.{span.field}", raw) in shown, (name, span.path)


def test_wireshark_shows_what_is_cut(tmp_path: Path) -> None:
    name, data = next((name, data) for name, data in SAMPLES if name == "vote")
    packets = dissected(tmp_path, [data[:-1], data + b"x"])
    assert [b"tom.cut" in ET.tostring(packet) for packet in packets] == [True, False]
    assert b"tom.rest" in ET.tostring(packets[1])
    assert name == "vote"


def test_wireshark_reads_a_conversation_taken_from_encrypted_links(tmp_path: Path) -> None:
    """Frames of real nodes go over a real link; a key log that only this test writes opens the capture."""
    sent = conversation()
    assert {data[0] for data in sent} >= {1, 2, 3}
    key_log: list[bytes] = []
    wire = encrypted(sent, key_log)
    plaintexts = [
        open_sealed(key, bytes(4) + number.to_bytes(8, "little"), sealed)
        for number, (key, sealed) in enumerate(zip(key_log, wire, strict=True))
    ]
    packets = dissected(tmp_path, plaintexts, USER1)
    assert len(packets) == len(wire)
    carried = [value for packet in packets for name, value in fields_of(packet) if name == CHUNK_DATA]
    assert carried == [frame.hex() for frame in sent]
    assert all("tom.cut" not in dict(fields_of(packet)) for packet in packets)


def conversation() -> list[bytes]:
    """The frames of a message over a relay, in the order in which they were sent."""
    stage = Stage("capture", "C")
    frames: list[bytes] = []
    real = stage.do

    def do(name: str, what: Any, **draws: list[bytes]) -> dict[str, Any]:
        made = real(name, what, **draws)
        frames.extend(bytes.fromhex(one["data"]) for one in made["effects"] if one["is"] == "SendFrame")
        return made

    stage.do = do  # type: ignore[method-assign]
    stage.relayed()
    stage.send()
    stage.run()
    return [frame for frame in frames if frame[0] in {1, 2, 3}]


def encrypted(frames: list[bytes], key_log: list[bytes]) -> list[bytes]:
    """The Noise messages of a real link that carries these frames; its key goes to the log."""
    one, other = (
        party.link(initiate=first, framing=Framing.MESSAGES) for party, first in ((ALICE, True), (BOB, False))
    )
    for _ in range(3):
        for sender, receiver in ((one, other), (other, one)):
            if data := sender.data_to_send(NOW):
                receiver.receive_data(data, NOW)
                events(receiver)
    keys = one._keys
    assert keys is not None
    wire: list[bytes] = []
    while data := one.data_to_send(NOW):
        wire.append(data)
    for frame in frames:
        one.send(frame)
        while data := one.data_to_send(NOW):
            wire.append(data)
    assert keys.send._key is not None
    key_log += [keys.send._key.reveal()] * len(wire)
    return wire
