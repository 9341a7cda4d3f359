"""The models' runner, on recorded output of TLC and on real runs of tiny models."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tla.runner import apalache as apalache_module
from tla.runner import java as java_module
from tla.runner.actions import actions_of, guards_of
from tla.runner.batch import DECLARATION, Change, apart, extended_by, merged, noticed_in, suits
from tla.runner.check import complaints_about, in_order, run_many, uncovered_actions, wants_coverage
from tla.runner.cli import main
from tla.runner.closure import closure_of, code_of, fingerprint, library_of, sources_of, strip_comments
from tla.runner.config import Config, parse_config, read_config
from tla.runner.errors import Exit, RunnerError
from tla.runner.instances import load_instances, read_instances, select
from tla.runner.lint import lint, lint_text, lint_tree, lint_types
from tla.runner.manifest import Pin, differences, pin_of, read_manifest, sha256_of, write_manifest
from tla.runner.mutate import (
    Equivalent,
    apply_change,
    mutants_of,
    mutate,
    noticed,
    print_outcomes,
    read_equivalents,
    sample_of,
)
from tla.runner.output import parse_output, parse_states
from tla.runner.record import RECORD, read_record, write_record
from tla.runner.sany import Place, parse_tree
from tla.runner.story import changes_between, tell
from tla.runner.tables import Tables, fill, update
from tla.runner.tlc import Verdict, judge, run_instance, run_tlc
from tla.runner.traces import check_traces, choose, generate, simulated, verify
from tla.runner.values import Function, Record, parse_value, render, sort_key

DATA = Path(__file__).parent / "data" / "tla"
RECORDED = DATA / "recorded"
TLA = Path(__file__).parents[1] / "tla"

EMPTY = Config()


def recorded(name: str):
    return parse_output((RECORDED / f"{name}.txt").read_text(encoding="utf-8"))


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def instances():
    return load_instances(DATA)


@pytest.fixture(scope="module")
def library():
    return library_of(DATA)


@pytest.fixture(scope="module")
def pins():
    return read_manifest(DATA / "manifest.json")


@pytest.fixture(scope="module")
def report(instances, pins):
    return run_many(instances, DATA, pins, workers=2, console=quiet())


def by_name(report, name):
    return next(one for one in report.judged if one.instance.name == name)


# --- what TLC prints ----------------------------------------------------------------------------------


def test_output_of_a_pass():
    output = recorded("pass")
    result = judge(output, EMPTY, 0, 1.0)
    assert result.verdict is Verdict.PASS
    assert (result.distinct, result.generated, result.depth) == (30, 52, 8)
    assert {(one.action, one.module): one.taken for one in result.coverage} == {
        ("Init", "Counter"): 1,
        ("Increment", "Counter"): 42,
        ("Reset", "Counter"): 9,
    }


def test_output_of_a_broken_invariant():
    output = recorded("invariant")
    result = judge(output, Config(invariants=("Bounded",)), 12, 1.0)
    assert (result.verdict, result.violated, result.violated_kind) == (
        Verdict.VIOLATION,
        "Bounded",
        "invariant",
    )
    assert [state.action for state in result.trace] == ["Init", "Increment", "Increment", "Increment"]
    assert dict(result.trace[-1].text)["count"] == "3"
    assert [state.number for state in result.trace] == [1, 2, 3, 4]


def test_output_of_a_broken_action_property():
    result = judge(recorded("action_property"), Config(properties=("NeverReset", "Other")), 13, 1.0)
    assert (result.violated, result.violated_kind) == ("NeverReset", "action")
    assert result.trace[-1].action == "Reset"


def test_output_of_a_broken_temporal_property_that_stutters():
    output = recorded("liveness")
    assert judge(output, Config(properties=("AlwaysAgain",)), 13, 1.0).violated == "AlwaysAgain"
    # TLC does not say which of two it was, and neither do we.
    assert judge(output, Config(properties=("A", "B")), 13, 1.0).violated == "?"
    assert output.stuttering
    assert output.loop is None
    assert len(output.trace) == 4


def test_output_of_a_broken_temporal_property_that_loops():
    output = recorded("liveness_loop")
    assert output.violated_kind == "temporal"
    assert output.loop is not None
    assert 1 <= output.loop < len(output.trace)
    assert not output.stuttering


def test_output_of_a_deadlock():
    result = judge(recorded("deadlock"), EMPTY, 11, 1.0)
    assert result.verdict is Verdict.DEADLOCK
    assert [dict(state.text)["x"] for state in result.trace] == ["0", "1", "2"]


def test_output_of_an_initial_state_that_breaks_an_invariant():
    result = judge(recorded("initial"), Config(invariants=("NotZero",)), 12, 1.0)
    assert (result.verdict, result.violated) == (Verdict.VIOLATION, "NotZero")
    assert [state.text for state in result.trace] == [(("x", "0"),)]


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("parse_error", 150, "Was expecting"),
        ("unfinished_init", 255, "not a legal state"),
        ("no_such_property", 151, "Missing"),
        ("evaluation", 76, "non-record value"),
    ],
)
def test_output_of_a_broken_model(name, code, says):
    result = judge(recorded(name), EMPTY, code, 1.0)
    assert result.verdict is Verdict.BROKEN
    assert any(says in problem for problem in result.problems)


def test_output_of_a_false_assumption():
    result = judge(recorded("assumption"), EMPTY, 10, 1.0)
    assert result.verdict is Verdict.ASSUMPTION
    assert "line 5" in result.problems[0]


def test_output_of_a_simulation():
    result = judge(recorded("simulation"), EMPTY, 0, 1.0)
    assert result.verdict is Verdict.PASS
    assert result.generated > 5


def test_a_pass_needs_the_word_and_the_exit_code():
    assert judge(recorded("pass"), EMPTY, 1, 1.0).verdict is Verdict.BROKEN
    assert judge(parse_output(""), EMPTY, 0, 1.0).verdict is Verdict.BROKEN
    assert judge(recorded("pass"), EMPTY, 0, 1.0, timed_out=True).verdict is Verdict.TIMEOUT


@pytest.mark.parametrize("name", ["pass", "invariant", "liveness_loop"])
def test_output_cut_anywhere_never_passes_and_never_crashes(name):
    text = (RECORDED / f"{name}.txt").read_text(encoding="utf-8")
    lines = text.splitlines()
    for end in range(len(lines) - 1):
        output = parse_output("\n".join(lines[:end]))
        if name != "pass":
            assert judge(output, EMPTY, 137, 1.0).verdict is not Verdict.PASS
        else:
            assert judge(output, EMPTY, 137, 1.0).verdict is Verdict.BROKEN


@given(st.text())
def test_output_parser_takes_anything(text):
    parse_output(text)


def test_states_of_a_simulated_behaviour():
    text = "---- MODULE x ----\nSTATE_1 == \n/\\ a = 1\n/\\ b = {1,\n  2}\n\n\n"
    text += "STATE_2 == \n/\\ a = 2\n/\\ b = {}\n\n====\n"
    states = parse_states(text)
    assert [state.number for state in states] == [1, 2]
    assert parse_value(dict(states[0].text)["b"]) == frozenset({1, 2})


# --- values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("TRUE", True),
        ("-3", -3),
        ('"a b"', "a b"),
        ("m1", "m1"),
        ("{}", frozenset()),
        ("{1, {2}}", frozenset({1, frozenset({2})})),
        ("<<1, <<>>>>", (1, ())),
        ("1..3", frozenset({1, 2, 3})),
        ('[a |-> 1, b |-> "x"]', Record({"a": 1, "b": "x"})),
        ("(0 :> {} @@ 1 :> {0})", Function({0: frozenset(), 1: frozenset({0})})),
        ("[a |-> (1 :> [b |-> <<TRUE>>])]", Record({"a": Function({1: Record({"b": (True,)})})})),
    ],
)
def test_values(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["", "{", "{1 2}", "[a |->]", "<<1", "(1 :> 2", "1 2", "]", "@@", "[a : 1]"])
def test_what_is_no_value(text):
    with pytest.raises(RunnerError):
        parse_value(text)


simple = st.one_of(st.booleans(), st.integers(-99, 99), st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True))
values = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.frozensets(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, min_size=1, max_size=3).map(
            Record
        ),
        st.dictionaries(st.integers(0, 9), inner, min_size=1, max_size=3).map(Function),
    ),
    max_leaves=12,
)


@given(values)
def test_a_rendered_value_reads_back(value):
    assert parse_value(render(value)) == value
    sort_key(value)


# --- configurations and fingerprints ------------------------------------------------------------------


def test_config_is_read_and_written():
    text = """
    \\* a comment
    SPECIFICATION Spec
    CONSTANTS
      A = {r1, "x", {1}} B <- Other (* and (* nested *) *)
      C = -1
      D <- [Mod] E
    SYMMETRY Sym
    INVARIANTS I J
    INVARIANT K
    PROPERTY P
    CONSTRAINT Small
    """
    config = parse_config(text.replace("(* and (* nested *) *)", ""))
    assert config.constants[:3] == (("A", "=", '{r1, "x", {1}}'), ("B", "<-", "Other"), ("C", "=", "-1"))
    assert config.properties_and_invariants == ("I", "J", "K", "P")
    assert parse_config(config.render()) == config or config.constants[3][0] == "D"
    assert config.only("P").properties_and_invariants == ("P",)
    assert config.with_constant("C", "2").constant("C") == "2"
    assert config.unchecked().properties_and_invariants == ()


@pytest.mark.parametrize("text", ["nonsense", "CONSTANTS A = ", "SPECIFICATION A B", "CONSTANTS A ~ 3"])
def test_config_that_is_none(text):
    with pytest.raises(RunnerError):
        parse_config(text)


def test_every_config_of_the_models_survives_rendering():
    for file in TLA.rglob("*.cfg"):
        config = read_config(file)
        assert parse_config(config.render()) == config, file


def test_comments_go_and_columns_stay():
    text = 'A == 1 (* x (* y *)\n z *) B == "(* no *)" \\* end\nC == 2\n'
    bare = strip_comments(text)
    assert [len(line) for line in bare.splitlines()] == [len(line) for line in text.splitlines()]
    assert '"(* no *)"' in bare
    assert "x" not in bare
    assert "end" not in bare


def test_fingerprint_ignores_comments_and_sees_code(tmp_path):
    module = tmp_path / "M.tla"
    module.write_text("---- MODULE M ----\nEXTENDS N\n====\n")
    inner = tmp_path / "N.tla"
    inner.write_text("---- MODULE N ----\nA == 1\n====\n")
    before = fingerprint(module, "INIT I\n", [tmp_path])
    inner.write_text("---- MODULE N ----\n\n(* why *)\nA == 1 \\* because\n====\n")
    assert fingerprint(module, "INIT I\n\\* more\n", [tmp_path]) == before
    inner.write_text("---- MODULE N ----\nA == 2\n====\n")
    assert fingerprint(module, "INIT I\n", [tmp_path]) != before
    assert fingerprint(module, "INIT J\n", [tmp_path]) != before


def test_closure_takes_the_stubs_and_says_what_is_missing(tmp_path, library):
    assert set(closure_of(DATA / "tiny" / "MC_Counter.tla", library)) == {"MC_Counter", "Counter", "Apalache"}
    module = tmp_path / "M.tla"
    module.write_text("---- MODULE M ----\nEXTENDS Integers, Nowhere\n====\n")
    with pytest.raises(RunnerError, match="Nowhere"):
        closure_of(module, [])


def test_code_of_keeps_indentation():
    assert code_of("A ==\n\n  /\\ x  \n  \\* c\n  /\\ y\n") == "A ==\n  /\\ x\n  /\\ y\n"


# --- declarations -------------------------------------------------------------------------------------


def write_area(folder: Path, text: str) -> Path:
    area = folder / "tiny"
    shutil.copytree(DATA / "tiny", area)
    (area / "instances.toml").write_text(text)
    return area / "instances.toml"


GOOD = """
[[instance]]
name = "tiny/a"
module = "MC_Counter"
config = "counter.cfg"
expect = "pass"
checks = ["Bounded"]
kind = "main"
tier = "check"
about = "something to look at"
"""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('kind = "main"', 'kind = "mane"'), "tiny/a, kind"),
        (('expect = "pass"', 'expect = "violation"'), "property"),
        (('kind = "main"', 'kind = "witness"'), "witness_of"),
        (('kind = "main"', 'kind = "main"\ntypo = 1'), "typo"),
        (('name = "tiny/a"', 'name = "other/a"'), "must begin with tiny/"),
        (('module = "MC_Counter"', 'module = "MC_None"'), "no file"),
        (("[[instance]]", "[[instance]"), "instances.toml"),
        (('mode = "check"', ""), None),
    ],
)
def test_declarations_that_are_wrong(tmp_path, change, says):
    file = write_area(tmp_path, GOOD.replace(*change))
    if says is None:
        assert len(read_instances(file)) == 1
        return
    with pytest.raises(RunnerError, match=says) as caught:
        read_instances(file)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (GOOD, "declared twice"),
        (
            GOOD.replace("tiny/a", "tiny/b").replace('["Bounded"]', '["AlwaysAgain"]'),
            "does not check AlwaysAgain",
        ),
        (
            GOOD.replace("tiny/a", "tiny/b").replace('"main"', '"twin"').replace('"pass"', '"violation"')
            + 'property = "Bounded"\ntwin_of = "tiny/z"\n',
            "names no instance",
        ),
    ],
)
def test_declarations_that_contradict_one_another(tmp_path, more, says):
    write_area(tmp_path, GOOD + more)
    with pytest.raises(RunnerError, match=says):
        load_instances(tmp_path)


def test_selecting_nothing_is_an_error(instances):
    assert [one.name for one in select(instances, only="tiny/counter*", kinds=("main",))] == ["tiny/counter"]
    with pytest.raises(RunnerError):
        select(instances, only="nothing-*")
    with pytest.raises(RunnerError):
        load_instances(DATA / "recorded")


# --- real runs ----------------------------------------------------------------------------------------


def test_everything_tiny_is_as_declared_and_pinned(report):
    assert report.exit is Exit.OK
    assert by_name(report, "tiny/counter").result.distinct == 30
    assert by_name(report, "tiny/counter-live").result.verdict is Verdict.PASS
    assert by_name(report, "tiny/counter-greedy").result.violated == "Bounded"
    # The temporal property among two is found by running it alone.
    assert by_name(report, "tiny/counter-greedy-live").result.violated == "AlwaysAgain"
    assert report.uncovered == ()


def test_a_run_is_deterministic(report, instances, library, pins):
    instance = next(one for one in instances if one.name == "tiny/counter-greedy")
    again = run_instance(instance, library)
    assert again.trace == by_name(report, instance.name).result.trace
    assert differences(pins[instance.name], pin_of(instance, again, sha256_of(instance, library))) == []


def test_real_parse_error_and_real_deadlock_that_is_none(library):
    broken = run_tlc(
        sources_of(DATA / "tiny" / "Broken.tla", library), "Broken", read_config(DATA / "tiny/broken.cfg")
    )
    assert broken.verdict is Verdict.BROKEN
    # A model that ends is no error here: the deadlock check is off, as formulas say what must happen.
    stuck = run_tlc(
        sources_of(DATA / "tiny" / "Stuck.tla", library), "Stuck", read_config(DATA / "tiny/stuck.cfg")
    )
    assert (stuck.verdict, stuck.distinct) == (Verdict.PASS, 3)


def test_a_run_out_of_time(instances, library):
    instance = next(one for one in instances if one.name == "tiny/counter")
    sources = sources_of(instance.module, library)
    result = run_tlc(sources, instance.module_name, instance.read_config(), timeout=0.05)
    assert result.verdict is Verdict.TIMEOUT
    assert complaints_about(instance, result)


def test_every_way_to_differ_from_a_declaration(report):
    passing = by_name(report, "tiny/counter")
    twin = by_name(report, "tiny/counter-greedy")
    live = by_name(report, "tiny/counter-greedy-live")
    assert "Bounded is violated" in complaints_about(passing.instance, twin.result)[0]
    assert "nothing is violated" in complaints_about(twin.instance, passing.result)[0]
    assert "but it is AlwaysAgain" in complaints_about(twin.instance, live.result)[0]


def test_every_way_to_differ_from_a_pin(report, tmp_path):
    found = by_name(report, "tiny/counter").pin
    assert differences(None, found) == ["not pinned yet"]
    assert differences(found, found) == []
    other = Pin("check", "pass", None, "pass", found.distinct + 1, found.depth, None, "0" * 64)
    assert len(differences(other, found)) == 2
    write_manifest(tmp_path / "m.json", {"tiny/counter": found})
    assert read_manifest(tmp_path / "m.json") == {"tiny/counter": found}
    assert read_manifest(tmp_path / "none.json") == {}
    for bad in ("[]", "{", '{"format": 9, "instances": {}}', '{"format": 1, "instances": {"a": {"x": 1}}}'):
        (tmp_path / "m.json").write_text(bad)
        with pytest.raises(RunnerError):
            read_manifest(tmp_path / "m.json")


def test_an_action_never_taken_is_uncovered(report):
    covered = {"tiny/counter"}
    judged = by_name(report, "tiny/counter")
    assert uncovered_actions([judged], covered) == []
    crippled = [
        type(one)(one.action, one.module, one.distinct, 0 if one.action == "Reset" else one.taken)
        for one in judged.result.coverage
    ]
    never = attrs.evolve(judged, result=attrs.evolve(judged.result, coverage=tuple(crippled)))
    assert uncovered_actions([never], covered) == ["MC_Counter: Counter!Reset is never taken"]


def test_order_and_choice_of_coverage(instances, pins):
    assert wants_coverage(instances, pins) == {"tiny/counter", "tiny/counter-live"}
    assert in_order(instances, pins)[0].name == "tiny/counter-greedy-live"


# --- the command line ---------------------------------------------------------------------------------


def run_cli(*arguments: str, root: Path = DATA) -> int:
    return main(["--root", str(root), *arguments])


def test_cli_check_and_its_exit_codes(tmp_path, capsys):
    root = tmp_path / "tla"
    shutil.copytree(DATA, root)
    assert run_cli("check", "--only", "tiny/w-*", "--json", str(tmp_path / "r.json"), root=root) == Exit.OK
    document = json.loads((tmp_path / "r.json").read_text())
    assert {one["verdict"] for one in document["instances"]} == {"violation"}
    # A changed model is a changed result until somebody pins it.
    counter = root / "tiny" / "Counter.tla"
    counter.write_text(counter.read_text().replace("count' = 0", "count' = 1"))
    capsys.readouterr()
    assert run_cli("check", "--only", "tiny/counter", root=root) == Exit.DIFFERENT
    said = capsys.readouterr().out
    assert "pin --only 'tiny/counter'" in said
    assert "the model or its configuration changed" in said
    assert run_cli("pin", "--only", "tiny/counter", root=root) == Exit.OK
    assert run_cli("check", "--only", "tiny/counter", root=root) == Exit.OK
    assert run_cli("pin", "--stale", "--only", "tiny/counter", root=root) == Exit.OK
    # A model that cannot be parsed.
    counter.write_text(counter.read_text().replace("Reset ==", "Reset =="[:-2]))
    assert run_cli("check", "--only", "tiny/counter", root=root) == Exit.BROKEN
    assert run_cli("check", "--only", "nothing") == Exit.USAGE
    with pytest.raises(SystemExit) as caught:
        run_cli("check", "--workers", "0")
    assert caught.value.code == Exit.USAGE


def test_cli_list_witnesses_and_explain(capsys):
    assert run_cli("list") == Exit.OK
    assert "tiny/counter-greedy-live" in capsys.readouterr().out
    assert run_cli("witnesses") == Exit.OK
    assert "NOT REACHED" not in capsys.readouterr().out
    assert run_cli("explain", "tiny/counter-greedy") == Exit.OK
    said = capsys.readouterr().out
    assert "Increment" in said
    assert "count: 2 → 3" in said
    assert "violates Bounded" in said


def test_cli_explain_leaves_a_guard_out(capsys):
    """The guard is named by its text; several that fit, or none, are listed."""
    assert run_cli("explain", "tiny/counter", "--drop", "Increment: count <= MAX") == Exit.OK
    assert "it holds" in capsys.readouterr().out, "the other guard is enough"
    assert run_cli("explain", "tiny/counter", "--drop", "GREEDY \\/ count < MAX") == Exit.OK
    assert "violates Bounded" in capsys.readouterr().out
    assert run_cli("explain", "tiny/counter", "--drop", "count") == Exit.USAGE
    said = capsys.readouterr().err
    assert "4 guards of tiny/counter fit" in said
    assert "Reset: count = MAX" in said
    assert run_cli("explain", "tiny/counter", "--drop", "nothing") == Exit.USAGE
    assert "none of the 4 guards of tiny/counter fits" in capsys.readouterr().err


def test_story_of_records_sets_and_sequences():
    before = {"a": Record({"x": frozenset({1}), "y": (1,)}), "b": Function({1: 2})}
    after = {"a": Record({"x": frozenset({2}), "y": (1, 5)}), "b": Function({1: 3})}
    said = [f"{one.place} {one.before}{one.after}" for one in changes_between(before, after)]
    assert said == ["a.x gains 2", "a.x loses 1", "a.y appends 5", "b[1] 23"]


def test_story_of_a_pass_and_of_a_broken_model(report, instances):
    console = quiet()
    tell(instances[0], by_name(report, "tiny/counter").result, console)
    tell(instances[0], judge(recorded("parse_error"), EMPTY, 150, 1.0), console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "it holds" in said
    assert "Was expecting" in said


def test_no_java_and_no_tlc_are_one_line(monkeypatch, tmp_path, capsys):
    java_module.find_toolbox.cache_clear()
    monkeypatch.setenv("TLA2TOOLS_JAR", str(tmp_path / "other.jar"))
    (tmp_path / "other.jar").write_bytes(b"not TLC")
    assert run_cli("check") == Exit.NO_TOOL
    assert "not the pinned TLC" in capsys.readouterr().err
    monkeypatch.delenv("TLA2TOOLS_JAR")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run_cli("check") == Exit.NO_TOOL
    captured = capsys.readouterr().err
    assert "no Java" in captured
    assert captured.count("\n") == 1
    java_module.find_toolbox.cache_clear()


# --- syntax trees, lint, mutation ---------------------------------------------------------------------


def test_actions_and_guards(library):
    tree = parse_tree(sources_of(DATA / "tiny" / "MC_Counter.tla", library), "MC_Counter")
    actions = actions_of(tree)
    assert [action.name for action in actions] == ["Reset", "Increment"]
    guards = [guard.node.place.line for guard in guards_of(tree, actions[1], {"Counter"})]
    assert len(guards) == 2


GUARDED = """---- MODULE G ----
EXTENDS Integers
VARIABLES x, y
Init == x = 0 /\\ y = 0
Allowed(n) == /\\ x < n
              /\\ y < n
Move(n) ==
  \\/ /\\ Allowed(n) /\\ x + 1 < 5
     /\\ \\/ y = 0
        \\/ x = y
     /\\ x' = x + 1 /\\ UNCHANGED y
  \\/ LET z == y + 1
     IN  /\\ z < n
         /\\ y' = z
         /\\ IF x > 0 THEN x' = x ELSE x' = 0
Next == \\E n \\in {2, 3} : Move(n)
====
"""


def test_guards_in_every_position_and_mutants_that_parse():
    tree = parse_tree({"G": GUARDED}, "G")
    found = [guard for action in actions_of(tree) for guard in guards_of(tree, action, {"G"})]
    assert [guard.node.place.line for guard in found] == [8, 5, 6, 8, 9, 13]
    for number, guard in enumerate(found):
        text = apply_change(GUARDED, guard.node.place, "drop" if number % 2 else "negate")
        assert text != GUARDED
        assert len(actions_of(parse_tree({"G": text}, "G"))) == 1


def test_the_next_of_an_instance_under_a_name_is_not_ours():
    inner = "---- MODULE Inner ----\nVARIABLE x\nOther == x' = x\nNext == Other\n====\n"
    outer = "---- MODULE Outer ----\nVARIABLE x\nI == INSTANCE Inner\nMine == x' = x\nNext == Mine\n====\n"
    root = "---- MODULE Root ----\nEXTENDS Outer\n====\n"
    tree = parse_tree({"Root": root, "Outer": outer, "Inner": inner}, "Root")
    assert [action.name for action in actions_of(tree)] == ["Mine"]
    flat = outer.replace("I == INSTANCE", "INSTANCE").replace("Next == Mine", "Step == Mine")
    tree = parse_tree({"Root": root, "Outer": flat, "Inner": inner}, "Root")
    assert tree.visible == ("Root", "Outer", "Inner")


def test_sany_refusal_is_an_error():
    with pytest.raises(RunnerError, match="SANY refuses"):
        parse_tree({"G": "---- MODULE G ----\nA == \n====\n"}, "G")


@pytest.mark.slow
def test_mutants_noticed_survivors_and_declared_equivalents(tmp_path, instances, pins):
    assert len(mutants_of(instances, DATA, None)) == 8
    outcomes, code = mutate(
        instances, DATA, pins, area="tiny", sample=None, seed=1, limit=10_000, workers=2, console=quiet()
    )
    assert [(one.mutant.guard, one.mutant.change) for one in outcomes if one.survived] == [
        ("count >= 0", "drop")
    ]
    assert code is Exit.SURVIVORS
    declared = """
    [[equivalent]]
    area = "tiny"
    action = "Reset"
    guard = "count >= 0"
    change = "drop"
    reason = "the counter starts at zero and only grows, so that this always holds"
    """
    (tmp_path / "equivalents.toml").write_text(declared)
    (equivalent,) = read_equivalents(tmp_path)

    def judged(equivalent):
        known = [
            attrs.evolve(one, declared=equivalent if equivalent.covers(one.mutant) else None)
            for one in outcomes
        ]
        return print_outcomes(known, [equivalent], quiet(), whole=True)

    assert judged(equivalent) is Exit.OK
    # Declared, but noticed all the same; declared, but there is no such guard.
    assert judged(attrs.evolve(equivalent, change="both")) is Exit.SURVIVORS
    assert judged(attrs.evolve(equivalent, guard="count > 0")) is Exit.SURVIVORS
    (tmp_path / "equivalents.toml").write_text(declared.split("reason", maxsplit=1)[0] + 'reason = "obvious"')
    with pytest.raises(RunnerError, match="a reason takes more"):
        read_equivalents(tmp_path)


@pytest.mark.slow
def test_mutants_of_a_batch_are_recorded_and_not_run_again(tmp_path, monkeypatch):
    root = tmp_path / "tla"
    shutil.copytree(DATA, root)
    (root / "equivalents.toml").write_text(
        '[[equivalent]]\narea = "tiny"\naction = "Reset"\nguard = "count >= 0"\nchange = "drop"\n'
        'reason = "the counter starts at zero and only grows"\n'
    )
    monkeypatch.setattr("tla.runner.mutate.BATCH_LEAST", 1)
    known, current = load_instances(root), read_manifest(root / "manifest.json")

    def run(**options):
        said = io.StringIO()
        options = {"sample": None, "record": True} | options
        outcomes, code = mutate(
            known,
            root,
            current,
            area=None,
            seed=1,
            limit=10_000,
            workers=2,
            console=Console(file=said, width=200),
            **options,
        )
        return outcomes, code, said.getvalue()

    outcomes, code, said = run()
    assert code is Exit.OK
    assert "tiny/counter notices 6 of 8" in said
    assert {one.noticed_by for one in outcomes} >= {"tiny/counter", None}
    assert len({one.how for one in outcomes}) >= 3
    entries = read_record(root / RECORD)
    assert len(entries) == 8
    # Nothing is run again, neither in a batch nor alone.
    again, code, said = run()
    assert code is Exit.OK
    assert "8 of them are on record" in said
    assert [one.runs for one in again] == [0] * 8
    assert Tables(root, known, current).render("mutants").count("\n") == 5
    # A sample is run, and the record is held against all guards.
    assert run(sample=1, record=False)[1] is Exit.OK
    name = next(iter(entries))
    fewer = {key: entry for key, entry in entries.items() if key != name}
    # One that is not complete yet says so.
    write_record(root / RECORD, fewer, 8)
    _, code, said = run(sample=1, record=False)
    assert code is Exit.OK
    assert "1 of 8 mutants are not on record" in said
    assert "Of 8 mutants 1 are not on record" in Tables(root, known, current).render("mutants")
    for changed, says in (
        (fewer, "not on record"),
        ({**entries, name: attrs.evolve(entries[name], sha256="0")}, "with other models"),
        ({**entries, "tiny/Counter!Gone: drop x": entries[name]}, "no such guard"),
    ):
        write_record(root / RECORD, changed, len(changed))
        _, code, said = run(sample=1, record=False)
        assert code is Exit.DRIFT
        assert says in said
    for text in ("{", '{"format": 2, "mutants": {}}', '{"format": 1, "of": 1, "mutants": {"a": {}}}'):
        (root / RECORD).write_text(text)
        with pytest.raises(RunnerError, match=RECORD):
            read_record(root / RECORD)
    assert read_record(root / "none.json") == {}


def test_a_batch_keeps_what_overlaps_apart(library):
    sources = sources_of(DATA / "tiny" / "MC_Counter.tla", library)
    assert extended_by(sources, "MC_Counter") == {"MC_Counter", "Counter", "Apalache"}
    places = [Place("G", 8, 6, 8, 30), Place("G", 8, 20, 8, 30), Place("G", 9, 1, 9, 4)]
    changes = [Change(number, "G", place, "drop") for number, place in enumerate(places, 1)]
    assert [[one.number for one in group] for group in apart(changes)] == [[1, 3], [2]]
    text = merged(GUARDED, [Change(1, "G", Place("G", 8, 9, 8, 18), "negate")])
    assert "IF mutant_number \\in {1} THEN ~(" in text
    assert (
        len(
            parse_tree(
                {"G": text, DECLARATION: f"---- MODULE {DECLARATION} ----\nVARIABLE mutant_number\n====\n"},
                "G",
            ).visible
        )
        == 2
    )


def test_a_batch_that_does_not_count_right_proves_nothing(instances, library):
    instance = next(one for one in instances if one.name == "tiny/counter")
    sources, config = sources_of(instance.module, library), instance.read_config()
    (mutant, *_) = mutants_of(instances, DATA, None)
    change = Change(1, mutant.module, mutant.place, mutant.change)
    assert noticed_in(sources, "MC_Counter", config, 29, [change]) is None
    assert not suits(attrs.evolve(config, view="x"))


def test_a_step_too_many_shows_in_what_was_generated(instances, report, pins):
    judged = by_name(report, "tiny/counter")
    counted = attrs.evolve(judged.pin, generated=52)
    assert judged.pin == counted
    assert noticed(counted, judged.result) is None
    said = noticed(attrs.evolve(counted, generated=51), judged.result)
    assert said == "52 states generated instead of 51"
    assert differences(pins["tiny/counter"], counted) == []
    assert differences(counted, attrs.evolve(counted, generated=51)) == ["generated was 52, is 51"]
    assert by_name(report, "tiny/counter-greedy-live").pin.generated is None


def test_samples_are_seeded_and_fair(instances):
    mutants = mutants_of(instances, DATA, None)
    assert sample_of(mutants, 3, 7) == sample_of(mutants, 3, 7)
    assert sample_of(mutants, None, 7) == mutants
    assert len({tuple(one.name for one in sample_of(mutants, 2, seed)) for seed in range(20)}) > 3


def test_equivalents_match_the_whole_guard():
    mutant = mutants_of(load_instances(DATA), DATA, None)[0]
    one = Equivalent("tiny", mutant.action, mutant.guard, mutant.change, "x" * 30)
    assert one.covers(mutant)
    assert not Equivalent("tiny", mutant.action, "x", mutant.change, "x" * 30).covers(mutant)


UNTYPED = """---- MODULE U ----
EXTENDS Integers, Sequences
CONSTANTS
  \\* @type: Int;
  A,
  B
VARIABLE
  \\* @type: Int;
  x
RECURSIVE F(_)
F(n) == IF n = 0 THEN 0 ELSE F(n - 1)
Pick == CHOOSE y \\in 1..3 : TRUE
Bad(n) == 1..n
All == \\A y : y = y
Texts == STRING
Many == Seq(Int)
Good == 1..A
Init == x = 0 /\\ x \\in 1..x
Next == x' = x
Live == WF_x(Next)
Can == ENABLED Next
====
"""


def test_lint_of_a_core_module():
    said = {finding.what.split(" ")[0] for finding in lint_text("U", UNTYPED)}
    assert said == {"RECURSIVE", "CHOOSE", "STRING", "ENABLED", "fairness", "Seq(S)"}
    assert [finding.what for finding in lint_types("U", UNTYPED)] == ["B has no @type"]
    tree = parse_tree({"U": UNTYPED}, "U")
    assert sorted(finding.what for finding in lint_tree(tree, {"U"})) == sorted(
        [
            "a range whose bounds are not constant in Bad",
            "a range whose bounds are not constant in Init",
            "an unbounded quantifier or choice in All",
        ]
    )
    assert "a tab: columns carry meaning in TLA+" in {one.what for one in lint_text("T", "A ==\t1")}
    parameterised = "M(x) == INSTANCE Foo\nN == INSTANCE Foo\n"
    assert len(lint_text("P", parameterised)) == 1


def test_lint_of_the_tiny_area(instances):
    said = {(finding.where, finding.what) for finding in lint(DATA, instances)}
    assert ("SeenBounded", "checked by a main model, but no broken twin violates it") in said
    assert ("Stuck", "no instance uses this module") in said
    assert not any("no witness" in what for _, what in said)
    without = [one for one in instances if one.name != "tiny/w-reset"]
    assert any("MC_Counter!Reset" in finding.where for finding in lint(DATA, without))


# --- traces and tables --------------------------------------------------------------------------------


@pytest.mark.slow
def test_traces_are_regenerated_byte_for_byte(tmp_path, instances, pins):
    index = generate(instances, DATA, pins, tmp_path, workers=2, console=quiet())
    kinds = [entry["kind"] for entry in index["traces"]]
    assert kinds.count("attack") == 2
    assert kinds.count("witness") == 2
    assert kinds.count("behaviour") == 1
    assert index["coverage"]["tiny"]["pairs"] == {"seen": 3, "kept": 3}
    for entry in index["traces"]:
        verify((tmp_path / entry["file"]).read_text())
    attack = json.loads((tmp_path / "tiny-counter-greedy-live.itf.json").read_text())
    assert attack["loop"] == len(attack["states"]) - 1
    assert attack["#meta"]["violates"] == "AlwaysAgain"
    assert attack["states"][1]["#meta"]["action"] == "Increment"
    assert check_traces(instances, DATA, pins, tmp_path, workers=2, console=quiet()) is Exit.OK
    file = tmp_path / "tiny-w-reset.itf.json"
    file.write_text(file.read_text().replace('"0"', '"1"'))
    (tmp_path / "stray.json").write_text("{}")
    assert check_traces(instances, DATA, pins, tmp_path, workers=2, console=quiet()) is Exit.DRIFT


def test_a_budget_too_small_keeps_nothing(instances, library):
    runs = simulated(instances[0], library)
    assert len(runs) > 100
    assert choose(runs[:20], set(), 10) == []


def test_a_trace_that_is_none_is_refused():
    with pytest.raises(RunnerError):
        verify('{"states": []}')


def test_blocks_of_other_generators_are_left_alone(instances, pins):
    text = "<!-- generated:layout vote -->\nas it was\n<!-- /generated -->"
    assert fill(text, Tables(DATA, instances, pins)) == text


def test_tables_are_filled_and_drift_is_seen(tmp_path, instances, pins):
    tables = Tables(DATA, instances, pins)
    file = tmp_path / "chapter.md"
    blocks = ("results tiny", "twins tiny", "witnesses tiny", "sweep tiny", "properties tiny")
    file.write_text(
        "".join(f"<!-- generated:{name} -->\nstale text\n<!-- /generated -->\n\n" for name in blocks)
    )
    assert update([file], tables, check=True) == [file]
    assert "stale text" in file.read_text()
    assert update([file], tables, check=False) == [file]
    assert update([file], tables, check=True) == []
    text = file.read_text()
    assert "| `MC_Counter` | `tiny/counter` |" in text
    assert "stale text" not in text
    for bad in ("wishes", "results nowhere"):
        with pytest.raises(RunnerError):
            fill(f"<!-- generated:{bad} -->\n<!-- /generated -->", tables)
    with pytest.raises(RunnerError, match="bias"):
        tables.bias()


# --- Apalache -----------------------------------------------------------------------------------------


def test_apalache_absent_is_loud_and_not_a_pass(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("APALACHE_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_cli("apalache") == Exit.NOT_RUN == 77
    assert capsys.readouterr().out.startswith("NOT RUN")


def test_apalache_questions_follow_from_the_wrapper(tmp_path):
    root = tmp_path / "tla"
    shutil.copytree(DATA, root)
    (root / "tiny" / "APA_Counter.tla").write_text(
        "---- MODULE APA_Counter ----\nEXTENDS Integers\nVARIABLE\n  \\* @type: Int;\n  x\nInit == x = 0\n"
        "Next == x' = x\nIndInv == x = 0\nIndInit == x = 0\nBounded == x < 1\n====\n"
    )
    (root / "properties.toml").write_text(
        '[[property]]\nname = "Bounded"\narea = "tiny"\nmeaning = "small"\n'
    )
    wanted = ("typecheck", "bounded", "inductive", "simulate")
    module = root / "tiny" / "APA_Counter.tla"
    asked = [(job.what, job.arguments) for job in apalache_module.jobs_for(module, root, wanted)]
    assert [what for what, _ in asked] == [
        "typecheck",
        "bounded: Bounded",
        "inductive: base",
        "inductive: step",
        "inductive: implies",
        "simulate",
    ]
    assert asked[3][1] == ("check", "--init=IndInit", "--inv=IndInv", "--length=1", "APA_Counter.tla")
    assert apalache_module.jobs_for(module, root, ("typecheck",))[0].arguments == (
        "typecheck",
        "APA_Counter.tla",
    )


def test_the_stubs_are_the_projects_own():
    for file in (DATA / "stubs").glob("*.tla"):
        assert file.read_text() == (TLA / "stubs" / file.name).read_text()
