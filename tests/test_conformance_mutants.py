"""Mutants and traceability: what is switched off is noticed, put back, and counted honestly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance import cli, coverage, mutants
from conformance.adapters.python import Adapter
from conformance.case import Case
from conformance.coverage import BROKEN_FOR, exclusions, rows, totals
from conformance.mutants import Site, control, failing, kill_all, mutated, sites, traced, try_rules
from conformance.runner import Verdict, run_case
from conformance.selftest import InProcess, Killed, Tried
from conformance.suite import requirements, suite
from tom_ref import constants, delivery_codec
from tom_ref.errors import ProtocolError


def citing(*rules: str) -> list[Case]:
    return [case for case in suite("1") if set(rules) & set(case.requirements)]


def test_there_are_sites_of_every_kind() -> None:
    kinds = {site.kind for site in sites()}
    assert kinds == {"guard", "bound", "literal", "operation", "parameter"}
    assert len({(site.module, site.function, site.kind, site.number) for site in sites()}) == len(sites())


def test_a_mutant_is_put_back() -> None:
    site = next(one for one in sites() if one.function == "check_version" and one.kind == "guard")
    with mutated(site) as possible:
        assert possible
        delivery_codec.check_version("anything", 9)
    with pytest.raises(ProtocolError):
        delivery_codec.check_version("anything", 9)
    site = next(one for one in sites() if one.kind == "parameter" and one.function == "EPS")
    before = constants.EPS
    with mutated(site):
        assert before + 1 == constants.EPS
    assert before == constants.EPS


@pytest.mark.slow
def test_every_site_can_be_made_or_says_that_it_can_t() -> None:
    """No change of the sources stops the self-test: a few of each kind and module are compiled."""
    seen: set[tuple[str, str]] = set()
    for site in sites():
        if (site.module, site.kind) not in seen:
            seen.add((site.module, site.kind))
            with mutated(site):
                pass
    port = InProcess(Adapter())
    assert all(run_case(port, case).verdict is Verdict.PASS for case in citing("TOM-WIRE-006"))


def test_the_control_mutant_dies() -> None:
    killed = control(suite("1"))
    assert killed is not None
    assert killed.requirement == "TOM-WIRE-006"


def test_a_run_is_void_when_the_control_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "control", lambda _: None)
    tried = try_rules(suite("1"), ["TOM-WIRE-006"])
    assert not tried.sound
    assert "VOID" in tried.said


def test_rules_of_the_wire_are_killed_by_cases_that_cite_them() -> None:
    rules = ["TOM-WIRE-004", "TOM-WIRE-006", "TOM-WIRE-032", "TOM-WIRE-034"]
    cases = citing(*rules)
    killed, left = kill_all(cases, traced(cases), rules)
    assert left == []
    by_id = {case.id: case for case in cases}
    assert all(one.requirement in by_id[one.case].requirements for one in killed)


def test_a_rule_that_no_case_checks_stays_open() -> None:
    """A case that cites a rule without checking it kills nothing."""
    site = next(one for one in sites() if one.function == "check_version" and one.kind == "guard")
    idle = [case for case in suite("1") if case.id == "smoke-labelled"]
    assert failing(site, idle) is None
    killed, left = kill_all(idle, traced(idle), ["TOM-WIRE-032"])
    assert (killed, left) == ([], ["TOM-WIRE-032"])


def test_what_is_declared_equivalent_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = [case for case in suite("1") if case.id == "smoke-labelled"]
    monkeypatch.setattr(mutants, "control", lambda _: Killed("TOM-WIRE-006", "m", "c"))
    monkeypatch.setattr(mutants, "MOST_TRIES", 0)
    monkeypatch.setattr(mutants, "recorded", dict)
    assert not try_rules(idle, ["TOM-ID-002"]).sound
    monkeypatch.setattr(mutants, "equivalents", lambda: {"TOM-ID-002": "a reason"})
    assert try_rules(idle, ["TOM-ID-002"]).sound


def test_what_killed_the_last_time_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant and a case of the record are enough; where they no longer are, all others are tried."""
    rules = ["TOM-WIRE-004", "TOM-WIRE-006"]
    cases = citing(*rules)
    first = try_rules(cases, rules)
    assert first.sound
    assert [one.requirement for one in first.killed] == rules
    held = {
        "mutants": {one.requirement: one.mutant for one in first.killed},
        "killers": {one.requirement: one.case for one in first.killed},
    }
    monkeypatch.setattr(mutants, "recorded", lambda: held)
    with monkeypatch.context() as patch:
        patch.setattr(mutants, "kill_all", lambda *_: pytest.fail("the record was enough"))
        again = try_rules(cases, rules, jobs=2)
    assert again.killed == first.killed
    held["mutants"]["TOM-WIRE-006"] = held["mutants"]["TOM-WIRE-004"]
    held["killers"]["TOM-WIRE-004"] = "no such case"
    found = try_rules(cases, rules, jobs=2)
    assert found.sound
    assert [one.requirement for one in found.killed] == rules


def test_a_mutant_that_never_ends_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "PATIENCE", 0.2)

    class Endless(Adapter):
        def handle(self, command: str, given: Any) -> Any:
            while True:
                pass

    monkeypatch.setattr(mutants, "Adapter", Endless)
    site = Site("tom_ref.constants", "EPS", "parameter", 0, 0, "")
    killer = failing(site, citing("TOM-WIRE-006")[:1])
    assert killer is not None
    assert killer[1] == "doesn't end"


def test_what_is_open_is_said() -> None:
    tried = Tried(Killed("TOM-WIRE-006", "m", "c"), (), ("TOM-WIRE-032",), ("TOM-WIRE-033",), 1.0)
    assert not tried.sound
    assert "NOT KILLED  TOM-WIRE-032" in tried.said
    assert "1 MUSTs have no case" in tried.said


# --- traceability -----------------------------------------------------------------------------------------


def test_every_must_has_a_state_and_few_are_excluded() -> None:
    made = rows(suite("1"))
    count = totals(made)["all"]
    states = ("both", "one-sided", "positive", "negative", "runner", "excluded", "open")
    assert sum(count[name] for name in states) == count["must"]
    assert count["must"] == sum(rule.level == "MUST" for rule in requirements().values())
    assert count["excluded"] <= coverage.MOST_EXCLUDED * count["must"]
    assert set(exclusions()) <= set(requirements())
    assert set(BROKEN_FOR) <= set(requirements())


def test_a_row_names_code_cases_and_mutant() -> None:
    row = next(one for one in rows(suite("1"), {"TOM-WIRE-010": "m"}) if one.id == "TOM-WIRE-010")
    assert row.state == "both"
    assert any(path.startswith("tom_ref/") for path in row.code)
    assert row.mutant == "m"
    assert "types in an extension list" in row.sentence


@pytest.mark.parametrize(
    "text",
    [
        '[[excluded]]\nrequirement = "TOM-NOWHERE-1"\nreason = "x"',
        '[[excluded]]\nrequirement = "TOM-WIRE-001"\nreason = ""',
        '[[excluded]]\nrequirement = "TOM-WIRE-001"\nreason = "x"\n' * 2,
    ],
)
def test_a_faulty_list_of_exclusions_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "exclusions.toml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(coverage, "EXCLUSIONS", path)
    with pytest.raises(ValueError, match=r"exclusions\.toml"):
        exclusions.__wrapped__()


@pytest.mark.slow
def test_the_command_shows_coverage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = tmp_path / "selftest.json"
    results.write_text(json.dumps({"mutants": {"TOM-WIRE-010": "guard"}}), encoding="utf-8")
    assert cli.main(["coverage"]) == 0
    assert "04-wire" in capsys.readouterr().out
    assert cli.main(["coverage", "--format", "json", "--selftest", str(results)]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["totals"]["all"]["must"] > 400
    assert any(one["mutant"] == "guard" for one in content["requirements"])
    assert cli.main(["coverage", "--format", "markdown"]) == 0
    assert "| TOM-WIRE-010 | MUST | both |" in capsys.readouterr().out
    assert cli.main(["coverage", "--selftest", str(tmp_path / "missing")]) == 2
