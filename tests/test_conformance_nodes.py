"""The scripts of whole nodes show what their names say; a script that shows nothing would prove nothing."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from conformance import selftest
from conformance.adapters.nodes import MOST_NODES
from conformance.adapters.python import Adapter
from conformance.broken import BROKEN
from conformance.case import Case
from conformance.plain import plain, revive
from conformance.protocol import Kind
from conformance.runner import Verdict, run_case
from conformance.selftest import InProcess
from conformance.sources.nodes import SCENES, Stage, cases
from tom_ref.errors import ProtocolError
from tom_ref.inputs import Start

CASES = {case.id: case for case in cases("1")}


def effects(case: Case) -> list[list[dict[str, Any]]]:
    """The effects expected of each step."""
    return [
        step.expect.value["effects"]["$effects"]
        for step in case.steps
        if step.cmd == "node.step" and step.expect.kind is Kind.OK
    ]


def states(name: str) -> list[list[int]]:
    return [[one["state"] for one in step if one["is"] == "Progress"] for step in effects(CASES[name])]


def frames(name: str) -> list[list[str]]:
    """The first byte of each frame sent, by step."""
    return [[one["data"][:2] for one in step if one["is"] == "SendFrame"] for step in effects(CASES[name])]


def flat(lists: list[list[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(lists))


def shown(name: str) -> list[bool]:
    return [one["again"] for step in effects(CASES[name]) for one in step if one["is"] == "Deliver"]


def looks(name: str) -> list[dict[str, Any]]:
    return [step.expect.value for step in CASES[name].steps if step.cmd == "node.inspect"]


def test_the_reference_plays_every_script() -> None:
    port = InProcess(Adapter())
    for case in CASES.values():
        outcome = run_case(port, case)
        assert outcome.verdict is Verdict.PASS, (case.id, outcome.message)


def test_a_message_is_sent_relayed_and_delivered() -> None:
    """TOM-DELIVERY-001."""
    assert flat(states("node-sends")) == [1, 2, 3, 4]
    assert "03" in flat(frames("node-relays"))
    assert "02" in flat(frames("node-relays"))
    assert shown("node-receives") == [False]


def test_a_duplicate_is_answered_and_not_shown() -> None:
    """TOM-DELIVERY-061: the same bytes twice."""
    receipts = [
        one["data"]
        for step in effects(CASES["node-duplicate"])
        for one in step
        if one["is"] == "SendFrame" and one["data"].startswith("02")
    ]
    assert len(receipts) == 2
    assert receipts[0] == receipts[1]
    assert shown("node-duplicate") == [False]


def test_what_is_not_acknowledged_is_shown_again_once() -> None:
    """TOM-DELIVERY-063."""
    assert shown("node-shown-again") == [False, True]
    assert [look["inbox"] for look in looks("node-shown-again")] == [1, 0, 0]


def test_a_message_expires_exactly_at_the_end_of_retention() -> None:
    """TOM-DELIVERY-057."""
    assert [one for one in states("node-expires") if 5 in one] == [[5]]
    assert states("node-expires")[-2] == [5]
    assert not any(5 in one for one in states("node-not-expired-yet"))
    assert looks("node-receipt-goes")[0]["receipts"] == 1
    assert looks("node-receipt-goes")[1]["receipts"] == 0
    assert looks("node-erased-at-start")[-1]["receipts"] == 0


def test_a_resend_is_the_same_message() -> None:
    """TOM-DELIVERY-005: header, signature and payload."""
    sent = [
        one["data"]
        for step in effects(CASES["node-sends-again"])
        for one in step
        if one["is"] == "SendFrame" and one["data"].startswith("01")
    ]
    assert len(sent) >= 2
    assert len({one[:200] for one in sent}) == 1


def test_refusals_are_passed_and_lost_hops_told() -> None:
    """TOM-DELIVERY-041, 045."""
    refusals = {name: "04" in flat(frames(name)) for name in ("node-no-route", "node-hop-lost")}
    assert refusals == {"node-no-route": True, "node-hop-lost": True}
    assert "04" in frames("node-refusal-passed")[-1]


@pytest.mark.parametrize(
    "name",
    ["node-stray-receipt-a", "node-stray-receipt-b", "node-stray-receipt-c", "node-report-backwards"],
)
def test_what_is_ignored_has_no_effect(name: str) -> None:
    assert effects(CASES[name])[-1] == []


def test_hostile_frames_are_refused_with_the_code_of_their_rule() -> None:
    codes = {
        name: [
            code for step in case.steps if step.cmd == "node.step" for code in step.expect.value["refused"]
        ]
        for name, case in CASES.items()
        if name.startswith("node-hostile-")
    }
    assert len(codes) >= 12
    assert all(len(one) == 1 for one in codes.values()), codes


def test_a_prekey_that_is_over_begins_no_session() -> None:
    """TOM-SESSION-013."""
    assert "01" not in flat(frames("node-stale-prekey"))
    assert [look["pending"] for look in looks("node-stale-prekey")] == [1]


def test_a_copy_has_no_sessions() -> None:
    """TOM-SESSION-038."""
    assert [look["sessions"] for look in looks("node-copied")] == [1, 0]


def test_what_does_not_open_changes_nothing() -> None:
    """TOM-SESSION-032: the next message of the session still opens."""
    assert shown("node-unopened") == [False, False]


def test_a_node_asks_for_a_descriptor_and_then_sends() -> None:
    """TOM-DELIVERY-056."""
    assert 4 in flat(states("node-asks"))


def test_two_scripts_of_one_seed_are_the_same() -> None:
    def steps(seed: str) -> list[Any]:
        return [
            (case.id, [(step.cmd, step.p, step.expect.value) for step in case.steps]) for case in cases(seed)
        ]

    assert json.dumps(steps("1")) == json.dumps(steps("1"))
    assert json.dumps(steps("1")) != json.dumps(steps("2"))


@pytest.mark.parametrize(
    "name",
    ["erases-nothing", "writes-nothing", "own-clock", "one-stream", "ignores-draws"],
)
def test_broken_nodes_are_caught(name: str) -> None:
    """Purge forgotten after a restore, retention off, entropy out of order."""
    adapter = Adapter()
    twist = BROKEN[name].twist
    assert twist is not None
    twist(adapter)
    port = selftest.InProcess(adapter)
    failed = [case.id for case in CASES.values() if run_case(port, case).verdict is not Verdict.PASS]
    assert failed


def test_the_table_of_nodes_is_bounded() -> None:
    adapter = Adapter()
    given = Stage("1", "A").steps[0].p
    kinds = [adapter.handle("node.new", given).kind for _ in range(MOST_NODES + 1)]
    assert kinds == [Kind.OK] * MOST_NODES + [Kind.REJECT]
    assert adapter.handle("reset", {}).kind is Kind.OK
    assert adapter.handle("node.new", given).kind is Kind.OK


@pytest.mark.parametrize(
    "value", [{"is": "Nothing"}, {"is": "LinkUp"}, {}, {"is": "FrameReceived", "data": 1}]
)
def test_what_stands_for_no_structure_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError):
        revive(value)
    assert revive(plain(Start())) == Start()


def test_every_scene_has_its_own_name() -> None:
    assert len({scene.name for scene in SCENES}) == len(SCENES)
