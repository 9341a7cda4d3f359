"""The runner: verdicts, known failures, reports, and that two runs with one seed are the same."""

from __future__ import annotations

import copy
import datetime as dt
import gzip
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from conformance import case as cases
from conformance import cli, known, reports
from conformance import entry as script
from conformance.adapters.python import Adapter
from conformance.broken import BROKEN, Broken
from conformance.case import Case, Expect, Polarity, Step, compare, filled, ok, reject
from conformance.declared import dump
from conformance.known import Known, KnownError
from conformance.protocol import Kind, Reply
from conformance.runner import Results, Verdict, run
from conformance.selftest import InProcess, adapter_command, broken_ports, judged, try_broken
from conformance.sources import scenes, sweeps
from conformance.suite import covered, digest, problems, proportions, requirements, suite
from tests.purge_world import ATTACKS
from tom_ref.crypto import seal

REFERENCE = [sys.executable, "-m", "conformance.adapters.python"]
SCHEMA = json.loads((Path(reports.__file__).parent / "schemas/results-1.json").read_text(encoding="utf-8"))


def in_process(seed: str = "1", **options: Any) -> Results:
    return run(("reference",), seed=seed, start=lambda: InProcess(Adapter()), **options)


# --- comparing --------------------------------------------------------------------------------------------


def faults(expected: Any, actual: Any, bound: dict[str, Any] | None = None) -> list[str]:
    return compare(ok(expected), Reply(Kind.OK, actual), {} if bound is None else bound)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {"a": 1}),
        ({"a": {"$any": True}}, {"a": [1]}),
        ({"a": {"$absent": True}}, {}),
        ({"a": {"$unordered": [1, {"$any": True}]}}, {"a": [7, 1]}),
        ({"a": [1, "x"]}, {"a": [1, "x"]}),
        ({"a": None}, {"a": None}),
    ],
)
def test_what_matches(expected: Any, actual: Any) -> None:
    assert faults(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({}, {"b": 2}),
        ({"a": {"$absent": True}}, {"a": None}),
        ({"a": {"$unordered": [1, 1]}}, {"a": [1, 2]}),
        ({"a": {"$unordered": [1]}}, {"a": [1, 1]}),
        ({"a": [1]}, {"a": {}}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": {"b": 1}}, {"a": [1]}),
        ({"a": None}, {"a": 0}),
    ],
)
def test_what_differs(expected: Any, actual: Any) -> None:
    assert faults(expected, actual)


def test_what_is_bound_is_used_later() -> None:
    bound: dict[str, Any] = {}
    assert faults({"h": {"$bind": "one"}}, {"h": "n7"}, bound) == []
    assert filled({"h": {"$ref": "one"}, "list": [{"$ref": "one"}]}, bound) == {"h": "n7", "list": ["n7"]}
    with pytest.raises(KeyError):
        filled({"$ref": "two"}, bound)


def test_a_ciphertext_is_opened() -> None:
    rule = {"key": "11" * 32, "nonce": "22" * 12, "associated": "33", "plaintext": b"hello".hex()}
    sealed = seal(b"\x11" * 32, b"\x22" * 12, b"hello", b"\x33").hex()
    assert faults({"c": {"$opens_as": rule}}, {"c": sealed}) == []
    assert faults({"c": {"$opens_as": rule | {"plaintext": "00"}}}, {"c": sealed})
    assert faults({"c": {"$opens_as": rule}}, {"c": sealed[:-2] + "00"})
    assert faults({"c": {"$opens_as": rule}}, {"c": 1})


def test_any_of_the_codes_is_right_and_no_other() -> None:
    expect = reject("truncated", "too_large")
    assert compare(expect, Reply(Kind.REJECT, "too_large"), {}) == []
    assert compare(expect, Reply(Kind.REJECT, "bad_value"), {})
    assert compare(expect, Reply(Kind.IGNORE), {})
    assert compare(expect, Reply(Kind.OK, {}), {})
    assert compare(Expect(Kind.UNSUPPORTED), Reply(Kind.ERROR, "x"), {})


# --- the suite --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_suite_keeps_what_it_promises() -> None:
    made = suite("7")
    assert list(problems(made)) == []
    assert [fault for fault in proportions(made) if "no sweep" not in fault] == []
    assert list(proportions(made[:10]))


@pytest.mark.slow
def test_ids_polarity_and_pairs_don_t_depend_on_the_seed() -> None:
    def shape(seed: str) -> list[tuple[str, str, str, tuple[str, ...]]]:
        # Which behaviours of the models are played is drawn by the seed (ADR 0086).
        return [
            (one.id, one.polarity, one.pair, one.requirements)
            for one in suite(seed, fresh=seed == "c")
            if not one.id.startswith("trace-")
        ]

    assert shape("a") == shape("b") == shape("c")
    assert digest(suite("a")) != digest(suite("b"))
    assert digest(sweep := suite("a")) == digest(sweep)


def test_scenes_are_read_as_they_are_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is what is played from the same seed; a file that says otherwise is named, and mended."""
    kept = {case.id: case for case in scenes.cases("1")}
    made = list(scenes.played("chains", scenes.SEED, drawn=False))
    assert [case.id for case in made] == ["chain-of-200-blocks", "chain-of-201-blocks"]
    assert digest(made) == digest([kept[case.id] for case in made])
    assert not any(case.derived for case in kept.values())
    monkeypatch.setattr(scenes, "SOURCES", ("chains",))
    assert scenes.outdated() == {}
    monkeypatch.setattr(scenes, "FOLDER", tmp_path / "scenes")
    found = scenes.outdated()
    assert [path.name for path in found] == ["chains.json.gz"]
    scenes.write(found)
    assert scenes.outdated() == {}
    (tmp_path / "scenes/chains.json.gz").write_bytes(gzip.compress(b"{}"))
    assert scenes.outdated() == found


def test_the_seed_draws_which_behaviours_of_the_model_are_run() -> None:
    drawn = [{case.model for case in scenes.cases(seed)} for seed in ("1", "1", "2")]
    assert drawn[0] == drawn[1] != drawn[2]
    runs = {len([name for name in one if "-run-" in name]) for one in drawn}
    assert runs == {scenes.DRAWN + 1}
    assert len({case.model for case in scenes.cases("1")} - {""}) == len(ATTACKS) + scenes.DRAWN + 1


def test_a_faulty_case_is_named() -> None:
    good = Case("g", 1, ("TOM-WIRE-001",), Polarity.POSITIVE, "good", (Step("x", {}, ok({})),))
    step = Step("x", {}, reject("truncated"))
    bad = Case("b", 1, ("TOM-WIRE-001",), Polarity.NEGATIVE, "bad", (step,), pair="g")
    assert list(problems((good, bad))) == []
    wrong = {
        "no requirement": Case("b", 1, ("TOM-WIRE-" + "999",), Polarity.NEGATIVE, "", (step,), pair="g"),
        "its pair": Case("b", 1, ("TOM-WIRE-001",), Polarity.NEGATIVE, "", (step,), pair="b"),
        "have this id": Case("g", 1, ("TOM-WIRE-001",), Polarity.POSITIVE, "", (step,)),
        "without requirement": Case("b", 99, (), Polarity.POSITIVE, "", ()),
        "no reason codes": Case(
            "b", 1, ("TOM-WIRE-001",), Polarity.NEGATIVE, "", (Step("x", {}, reject("nope")),), pair="g"
        ),
        "has no pair": Case("b", 1, ("TOM-WIRE-001",), Polarity.POSITIVE, "", (step,), pair="g"),
    }
    for says, case in wrong.items():
        assert any(says in line for line in problems((good, case))), says


def test_a_pair_covers_the_rule_that_its_sibling_breaks() -> None:
    positive, negative = covered(suite("1"))["TOM-WIRE-005"]
    assert positive
    assert negative


def test_a_sweep_whose_answer_follows_from_nothing_stops_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "LOOSE", frozenset())
    with pytest.raises(sweeps.SuiteError):
        list(sweeps.cases("1"))


# --- a run ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_reference_conforms_in_a_process_of_its_own() -> None:
    """The whole full profile, over pipes, in at most ten seconds on an idle machine."""
    made = run(REFERENCE, seed="1")
    assert made.conformant == "true", [(one.case.id, one.message) for one in made.unexpected[:5]]
    assert made.exit_code == 0
    assert len(made.outcomes) >= 2_500
    assert made.counts["pass"] == len(made.outcomes)


@pytest.mark.slow
def test_two_runs_with_one_seed_differ_in_nothing_but_times() -> None:
    one, other = (reports.results(in_process("9", pattern="*-00[0-4]*")) for _ in range(2))
    for content in (one, other):
        assert content.pop("times")["seconds"] > 0
    assert one == other
    assert one["cases"] != reports.results(in_process("10", pattern="sweep-*"))["cases"]


def test_several_adapters_at_once_come_to_the_same() -> None:
    one = reports.results(in_process("9", pattern="link-*"))
    other = reports.results(in_process("9", pattern="link-*", jobs=3))
    one.pop("times")
    other.pop("times")
    assert one == other


def test_only_some_cases_give_incomplete() -> None:
    assert in_process(pattern="wire-header-*").conformant == "incomplete"


def failing(*ids: str, seed: str = "1", **options: Any) -> Results:
    """A run of a port that fails some cases."""
    wrong = {
        (step.cmd, json.dumps(step.p, sort_keys=True))
        for case in suite(seed)
        if case.id in ids
        for step in case.steps[-1:]
    }

    class Wrong(Adapter):
        def handle(self, command: str, given: Mapping[str, Any]) -> Reply:
            if (command, json.dumps(given, sort_keys=True)) in wrong:
                return Reply(Kind.OK, {"wrong": True})
            return super().handle(command, given)

    return run(("wrong",), seed=seed, start=lambda: InProcess(Wrong()), **options)


def entry(case: str, outcome: str = "fail", message: str = "step 1", **changes: Any) -> Known:
    given: dict[str, Any] = {"issue": "https://example.org/1", "expires": dt.date(2999, 1, 1)} | changes
    return Known(case, outcome, message, **given)


@pytest.mark.slow
def test_a_failure_is_explained() -> None:
    made = failing("wire-header-0057", pattern="wire-*")
    assert made.exit_code == 1
    assert made.conformant == "false"
    (outcome,) = made.unexpected
    text = reports.explained(outcome, made.command, made.seed)
    assert "TOM-WIRE-005: A decoder MUST reject input that ends before" in text
    assert "ok, not reject with truncated" in text
    assert "tom-conformance run --case wire-header-0057 --seed 1 -- wrong" in text
    assert "version" in text
    assert made.by_requirement()["TOM-WIRE-005"] == "fail"
    assert made.by_requirement()["TOM-WIRE-031"] == "pass"


@pytest.mark.slow
def test_a_known_failure_is_no_surprise_and_no_conformance() -> None:
    made = failing("wire-header-0057", known=[entry("wire-header-0057")], pattern="wire-*")
    assert made.exit_code == 0
    assert made.conformant == "false"


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        (entry("wire-header-0008"), "passes"),
        (entry("nowhere-0001"), "never seen"),
        (entry("wire-header-0057", "broken"), "listed as broken"),
        (entry("wire-header-0057", message="step 2"), "fails otherwise"),
        (entry("wire-header-0057", expires=dt.date(2020, 1, 1)), "expired"),
    ],
)
def test_a_list_that_isn_t_true_fails_the_run(listed: Known, says: str) -> None:
    made = failing("wire-header-0057", known=[listed], pattern="wire-header-*")
    assert made.exit_code == 1
    assert any(says in finding.detail for finding in made.findings)


def test_a_list_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    entries = [entry("b-0001", message='says "no"\\\n'), entry("a-0001")]
    path.write_text(known.written(entries), encoding="utf-8")
    assert known.load(path) == sorted(entries, key=lambda one: one.case)


@pytest.mark.parametrize(
    "text",
    [
        "no toml",
        "other = 1",
        "[[known]]\ncase = 'a'",
        "[[known]]\ncase=1\noutcome='fail'\nmessage=''\nissue=''\nexpires=2030-01-01",
        "[[known]]\ncase='a'\noutcome='pass'\nmessage=''\nissue=''\nexpires=2030-01-01",
        "[[known]]\ncase='a'\noutcome='fail'\nmessage=''\nissue=''\nexpires='soon'",
        "[[known]]\ncase='a'\noutcome='fail'\nmessage=''\nissue=''\nexpires=2030-01-01\n" * 2,
    ],
)
def test_a_list_out_of_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "known.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KnownError):
        known.load(path)
    with pytest.raises(KnownError):
        known.load(tmp_path / "missing.toml")


@pytest.mark.slow
def test_the_reports_are_in_form(tmp_path: Path) -> None:
    made = failing("wire-header-0057", "wire-header-0058", pattern="wire-*")
    content = reports.results(made)
    Draft202012Validator(SCHEMA).validate(content)
    broken = copy.deepcopy(content)
    broken["conformant"] = "yes"
    assert not Draft202012Validator(SCHEMA).is_valid(broken)
    paths = reports.write(made, tmp_path / "reports")
    assert {path.name for path in paths} == {
        "results.json",
        "junit.xml",
        "report.html",
        "summary.md",
        "badge.svg",
    }
    assert all(path.stat().st_size for path in paths)
    assert json.loads((tmp_path / "reports/results.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(content | {"times": json.loads((tmp_path / "reports/results.json").read_text())["times"]})
    )
    assert 'failures="2"' in (tmp_path / "reports/junit.xml").read_text(encoding="utf-8")
    page = (tmp_path / "reports/report.html").read_text(encoding="utf-8")
    assert "not conformant" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "fails" in (tmp_path / "reports/badge.svg").read_text(encoding="utf-8")
    assert "| 04-wire |" in (tmp_path / "reports/summary.md").read_text(encoding="utf-8")


def test_a_dump_names_the_fields_and_survives_anything() -> None:
    base = next(one for one in sweeps.bases("1") if one.name == "vote")
    assert any(line.endswith(" voter") for line in dump("vote", base.data))
    assert any("cut" in line for line in dump("vote", base.data[:50]))
    assert list(dump("vote", b"")) != [None]
    assert any("(rest)" in line for line in dump("vote", base.data + b"abc"))
    for structure in ("finality", "envelope", "record_answer"):
        for length in range(0, 200, 7):
            list(dump(structure, bytes(range(256))[:length]))


# --- ports that are broken --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["echo", "dies", "wrong-id", "huge-line", "claims-nothing"])
def test_broken_ports_are_caught_and_named(name: str) -> None:
    (catch,) = broken_ports("1", [name])
    assert catch.caught, catch


def test_there_are_at_least_forty_broken_ports() -> None:
    assert len(BROKEN) >= 40


@pytest.mark.slow
def test_a_sound_port_is_not_taken_for_a_broken_one() -> None:
    """What judges the broken ports can say no."""
    results = in_process()
    assert not judged(BROKEN["always-accepts"], results).caught


def test_a_port_that_hangs_each_time_is_given_up() -> None:
    """TOM-CONF-007: started again ten times, then the run ends; nothing passed."""
    hello = InProcess(Adapter()).ask("hello", {}).value
    code = (
        "import json, sys, time\n"
        f"number = json.loads(sys.stdin.readline())['id']\nhello = json.loads({json.dumps(hello)!r})\n"
        "print(json.dumps({'id': number, 'ok': hello}), flush=True)\ntime.sleep(3600)"
    )
    made = run([sys.executable, "-c", code], seed="1", profile="codec", timeout=1.0)
    assert made.exit_code == 3
    assert made.given_up
    assert made.counts["broken"] == 11
    assert made.counts["not_run"] > 1_000
    assert made.conformant == "false"


def test_a_broken_process_never_passes_as_a_whole() -> None:
    made = try_broken(BROKEN["dies"], "1")
    assert made.conformant == "false"
    assert any(one.verdict is Verdict.BROKEN for one in made.outcomes)


# --- the command ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_runs_lists_and_explains(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pattern = ["--case", "wire-header-005*", "--seed", "1"]
    assert cli.main(["run", *pattern, "--report", str(tmp_path), "--", *REFERENCE]) == 0
    assert "conformant: incomplete" in capsys.readouterr().out
    assert cli.main(["list", *pattern]) == 0
    out = capsys.readouterr().out
    assert "wire-header-0057" in out
    assert "reject" not in out
    assert cli.main(["list", *pattern, "--as-json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["level"] == 1
    assert cli.main(["explain", "wire-header-0057"]) == 0
    assert "reject with truncated" in capsys.readouterr().out
    assert cli.main(["explain", "TOM-WIRE-005"]) == 0
    assert "wire-header-0057" in capsys.readouterr().out
    assert cli.main(["lint"]) in {0, 4}
    assert "negative and paired" in capsys.readouterr().out
    assert cli.main(["smoke", "--", *REFERENCE]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "--profile", "everything", "--", "x"],
        ["run", "--case", "no-such-case", "--", *REFERENCE],
        ["run", "--known", "missing.toml", "--", "x"],
        ["explain", "TOM-WIRE-" + "999"],
        ["matrix", "one"],
        ["nothing"],
    ],
)
def test_wrong_usage_is_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert "Traceback" not in "".join(capsys.readouterr())


def test_a_broken_adapter_is_three(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["smoke", "--", sys.executable, "-c", "pass"]) == 3
    assert "died" in capsys.readouterr().out


def test_a_suite_at_fault_is_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "proportions", lambda _: ["too few"])
    assert cli.main(["lint"]) == 4

    def fails(_: str) -> Any:
        raise sweeps.SuiteError("no")

    monkeypatch.setattr(cli, "suite", fails)
    assert cli.main(["lint"]) == 4


def test_known_failures_are_fixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "known.toml"
    port = adapter_command("accepts-the-refused")
    words = ["known", str(path), "--profile", "smoke", "--seed", "1"]
    assert cli.main([*words, "--fix", "--issue", "https://example.org/1", "--", *port]) == 0
    listed = known.load(path)
    assert listed
    assert cli.main([*words, "--", *port]) == 0
    assert "conformant: false" in capsys.readouterr().out
    assert cli.main([*words, "--", *REFERENCE]) == 1


def test_ports_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["matrix", " ".join(REFERENCE), " ".join(adapter_command("one-code")), "--profile", "smoke"]
    assert cli.main(words) == 1
    assert "11 of 11" in capsys.readouterr().out


def test_every_level_has_a_profile() -> None:
    assert set(cases.LEVELS) == set().union(*cases.PROFILES.values())
    assert all(rule.level in {"MUST", "SHOULD", "MAY"} for rule in requirements().values())


def test_the_console_script_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(script, "ROOT", tmp_path)
    assert script.main() == 4
    assert "clone" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["tom-conformance", "lint"])
    script.main()
    assert "negative and paired" in capsys.readouterr().out


@pytest.mark.slow
def test_the_selftest_says_what_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["selftest", "--seed", "1", "--only", "one-code", "--no-mutants"]) == 0
    assert "1 of 1 broken ports caught" in capsys.readouterr().out
    harmless = Broken("harmless", "has nothing wrong", twist=lambda _: None)
    monkeypatch.setitem(BROKEN, "harmless", harmless)
    assert cli.main(["selftest", "--seed", "1", "--only", "harmless", "--no-mutants"]) == 4
    assert "ESCAPED  harmless" in capsys.readouterr().out


@pytest.mark.slow
def test_the_selftest_is_void_when_the_reference_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "run", lambda *_, **__: failing("wire-header-0057", pattern="wire-*"))
    assert cli.main(["selftest"]) == 4
    assert "void" in capsys.readouterr().out
