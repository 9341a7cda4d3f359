"""Every test vector against tom_ref, and the generator against its own rules."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from conformance.sources import scenes
from tests import vector_replay
from tom_ref.errors import ProtocolError, Reason
from tools import vectors
from tools.vectors import _examples
from tools.vectors.__main__ import main

REPLAY = vector_replay.gather()
FILES = {
    path.relative_to(vectors.ROOT).as_posix(): json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(vectors.ROOT.rglob("*.json"))
    if path.parent.name != "schemas"
    and not path.relative_to(vectors.ROOT).as_posix().startswith(vectors.PUBLISHED)
}
CASES = [
    pytest.param(content["algorithm"], case, id=case["id"])
    for content in FILES.values()
    for case in content["cases"]
]


@pytest.mark.parametrize(("algorithm", "case"), CASES)
def test_every_case_replays(algorithm: str, case: dict[str, Any]) -> None:
    """A valid case gives its output; an invalid one is refused with its reason."""
    replay = REPLAY[algorithm]
    if case["valid"]:
        assert replay(case["input"]) == case["output"]
    else:
        with pytest.raises(ProtocolError) as caught:
            replay(case["input"])
        assert caught.value.reason.value == case["reason"]


def test_every_replay_has_a_file() -> None:
    assert {content["algorithm"] for content in FILES.values()} == REPLAY.keys()


def test_a_refused_case_differs_from_its_pair() -> None:
    """A pair with the same input would be a contradiction."""
    for content in FILES.values():
        cases = {case["id"]: case for case in content["cases"]}
        for case in content["cases"]:
            if not case["valid"]:
                assert case["input"] != cases[case["pair"]]["input"], case["id"]


# --- the generator itself ---------------------------------------------------------------------------------


def sample() -> dict[str, Any]:
    """One file with one valid and one refused case."""
    good = vectors.case("sample-0001", ["TOM-ID-001"], "a case", {"a": 1}, {"b": 2})
    bad = vectors.refusal(
        "sample-0101", ["TOM-ID-001"], "a refusal", {"a": 2}, reason=Reason.BAD_KEY, pair="sample-0001"
    )
    return {"sample/one.json": vectors.vector_file("identity", "sample", "made for this test", [good, bad])}


def faults(made: dict[str, Any]) -> list[str]:
    return list(vectors.problems(made, vectors.load_schema(vectors.ROOT)))


def test_a_sound_file_has_no_faults() -> None:
    assert faults(sample()) == []


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("id", "sample-0001", "already"),
        ("id", "Sample", "does not match"),
        ("reason", "no_such_reason", "no reason code"),
        ("pair", "sample-0101", "no valid case"),
        ("pair", "sample-0999", "no valid case"),
        ("output", {}, "should not be valid"),
        ("input", {"a": [{"b": 2**53}]}, "decimal string"),
        ("requirements", [], "non-empty"),
        ("requirements", ["ID-1"], "does not match"),
        ("surprise", 1, "unexpected"),
    ],
)
def test_a_faulty_case_is_named(place: str, value: Any, says: str) -> None:
    made = sample()
    made["sample/one.json"]["cases"][1][place] = value
    assert any(says in fault for fault in faults(made)), faults(made)


def test_a_wrong_path_to_the_schema_is_named() -> None:
    made = sample()
    made["sample/one.json"]["schema"] = "../../schemas/vectors-1.json"
    assert any("the schema is" in fault for fault in faults(made))


def test_an_id_used_in_two_files_is_named() -> None:
    made = sample()
    made["sample/two.json"] = copy.deepcopy(made["sample/one.json"])
    assert len([fault for fault in faults(made) if "already" in fault]) == 2


def test_writing_makes_the_files_and_removes_what_nobody_makes(tmp_path: Path) -> None:
    stray = tmp_path / "sample" / "stray.json"
    stray.parent.mkdir()
    stray.write_text("{}")
    kept = tmp_path / "noise" / "published.json"
    kept.parent.mkdir()
    kept.write_text("{}")
    assert len(list(vectors.differences(sample(), tmp_path))) == 2
    assert vectors.write(sample(), tmp_path) == 2
    assert list(vectors.differences(sample(), tmp_path)) == []
    assert vectors.write(sample(), tmp_path) == 0
    assert not stray.exists()
    assert kept.exists()
    text = (tmp_path / "sample/one.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == sample()["sample/one.json"]
    (tmp_path / "sample/one.json").write_text(text.replace("a case", "another"))
    assert any("differs" in line for line in vectors.differences(sample(), tmp_path))


def of_files(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Let the command generate the sample into ``root``: all the vectors would take minutes."""
    schema = root / vectors.SCHEMA
    schema.parent.mkdir(parents=True)
    schema.write_bytes((vectors.ROOT / vectors.SCHEMA).read_bytes())
    monkeypatch.setattr(vectors, "ROOT", root)
    monkeypatch.setattr(vectors, "generate", sample)
    monkeypatch.setattr(scenes, "outdated", dict)


def test_the_command_names_and_writes_scenes_that_are_played_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    of_files(monkeypatch, tmp_path)
    monkeypatch.setattr(vectors, "SPEC", tmp_path / "spec")
    monkeypatch.setattr(vectors, "generate_examples", dict)
    vectors.write(sample(), vectors.ROOT)
    monkeypatch.setattr(scenes, "outdated", lambda: {tmp_path / "scenes/forks.json.gz": b"{}\n"})
    assert main(["--check"]) == 1
    assert "scenes/forks.json.gz: not what is played now" in capsys.readouterr().err
    assert main([]) == 0
    assert gzip.decompress((tmp_path / "scenes/forks.json.gz").read_bytes()) == b"{}\n"


def test_the_command_checks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    of_files(monkeypatch, tmp_path)
    monkeypatch.setattr(vectors, "SPEC", tmp_path / "spec")
    monkeypatch.setattr(vectors, "generate_examples", dict)
    assert main(["--check"]) == 1
    assert "missing" in capsys.readouterr().err
    assert main([]) == 0
    assert "2 cases, 1 changed" in capsys.readouterr().out
    assert main(["--check"]) == 0
    broken = sample()
    broken["sample/one.json"]["cases"][1]["pair"] = "sample-0999"
    monkeypatch.setattr(vectors, "generate", lambda: broken)
    assert main([]) == 1


def test_the_command_fills_the_examples_of_the_specification(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    chapter = tmp_path / "03-sample.md"
    around = "before\n\n<!-- generated:example one -->\n{}<!-- /generated -->\n\nafter\n"
    chapter.write_text(around.format("old\n"))
    of_files(monkeypatch, tmp_path / "vectors")
    vectors.write(sample(), vectors.ROOT)
    monkeypatch.setattr(vectors, "SPEC", tmp_path)
    monkeypatch.setattr(vectors, "generate_examples", lambda: {"one": "new"})
    assert main(["--check"]) == 1
    assert "spec/03-sample.md: its example is not what is made now" in capsys.readouterr().err
    assert main([]) == 0
    assert chapter.read_text() == around.format("\nnew\n\n")
    assert main(["--check"]) == 0
    monkeypatch.setattr(vectors, "generate_examples", dict)
    assert main(["--check"]) == 1
    assert "nobody makes the example one" in capsys.readouterr().err
    assert chapter.read_text() == around.format("\nnew\n\n")


def test_the_examples_of_the_specification_are_what_is_made() -> None:
    assert list(_examples.outdated(vectors.generate_examples(), vectors.SPEC)) == []
