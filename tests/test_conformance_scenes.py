"""Bytes that a port chooses itself are judged by rules: good ones are taken, others named."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from conformance.case import compare, ok
from conformance.proposed import loosened
from conformance.protocol import Kind, Reply
from conformance.sources.subnets import Subnet
from tests.subnets import descriptor, founded
from tom_ref import codec, constants, records, vrf
from tom_ref.admission import request
from tom_ref.draft import Roles
from tom_ref.term import Surroundings, Term, own_heartbeat
from tom_ref.term_frames import Evidence, HeartbeatProof, Proposal

HOME = founded(4)
RECORD = HOME.record
PRESENT = records.record_hash(RECORD)
LEADER = next(node for node in HOME.nodes if node.node_id == Roles(RECORD).leader(1))


def term(count: int) -> Term:
    """The leader's term, with so many heartbeats to show."""
    beats = tuple(
        HeartbeatProof(place, own_heartbeat(RECORD, PRESENT, node.node_id, node.signing_key).signature)
        for place, node in enumerate(HOME.nodes[:count])
    )
    return Term(
        RECORD,
        own_id=LEADER.node_id,
        signing_key=LEADER.signing_key,
        prove=lambda alpha: vrf.prove(LEADER.vrf_secret, alpha),
        surroundings=Surroundings(lambda: Evidence(beats), lambda _: None),
    )


def proposed(count: int) -> tuple[Term, list[dict[str, Any]]]:
    """What the leader of slot 1 sends."""
    made = term(count)
    frames = made.tick(RECORD.start + RECORD.slot_ms + 1).frames
    return made, [{"is": "SendFrame", "link": 1, "data": codec.encode_frame(one).hex()} for one in frames]


def expected() -> dict[str, Any]:
    """What is expected of a leader that has all heartbeats."""
    made, effects = proposed(4)
    return {"$effects": [loosened(one, LEADER.node_id, [made]) for one in effects], "$undialled": []}


def faults(effects: list[dict[str, Any]]) -> list[str]:
    return compare(ok({"effects": expected()}), Reply(Kind.OK, {"effects": effects}), {})


def test_a_leader_includes_what_it_likes() -> None:
    assert all(list(one["data"]) in (["$block"], ["$vote"]) for one in expected()["$effects"])
    assert faults(proposed(4)[1]) == []
    assert faults(proposed(2)[1]) == []


def test_a_vote_for_another_block_is_noticed() -> None:
    assert faults([proposed(2)[1][0], proposed(4)[1][1]])
    assert faults(proposed(2)[1][:1])


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": bytes(64)},
        {"record": evolve(RECORD, term=1)},
        {"evidence": Evidence()},
    ],
)
def test_a_block_that_breaks_a_rule_is_noticed(changes: dict[str, Any]) -> None:
    block, vote = proposed(4)[1]
    frame = codec.decode_frame(bytes.fromhex(block["data"]))
    assert isinstance(frame, Proposal)
    wanted = expected()["$effects"][0]["data"]
    for data in ("00", "zz", 5, vote["data"]):
        assert compare(ok({"a": wanted}), Reply(Kind.OK, {"a": data}), {})
    data = codec.encode_frame(evolve(frame, **changes)).hex()
    assert compare(ok({"a": wanted}), Reply(Kind.OK, {"a": data}), {})


def test_a_nonce_is_free_and_has_to_show_its_work() -> None:
    newcomer, sponsor = founded(5).nodes[4], HOME.nodes[0]
    join = request(RECORD, descriptor(newcomer), sponsor.node_id, None)
    data = codec.encode_frame(join).hex()
    effect = loosened({"is": "SendFrame", "link": 1, "data": data}, newcomer.node_id, [])
    assert list(effect["data"]) == ["$worked"]
    assert effect["data"]["$worked"]["bits"] == constants.JOIN_WORK_BITS
    for frame, good in (
        (join, True),
        (evolve(join, work_nonce=join.work_nonce - 1), False),
        (evolve(join, sponsor=HOME.nodes[1].node_id), False),
    ):
        made = compare(ok({"a": effect["data"]}), Reply(Kind.OK, {"a": codec.encode_frame(frame).hex()}), {})
        assert (made == []) is good
    assert compare(ok({"a": effect["data"]}), Reply(Kind.OK, {"a": "00"}), {})


def test_whom_a_node_has_to_seek_is_dialled_since_it_was_asked_last() -> None:
    dial = {"is": "Dial", "node_id": "aa", "addresses": []}
    bound: dict[str, Any] = {}

    def step(sought: list[str] | None, *effects: dict[str, Any]) -> list[str]:
        wanted: dict[str, Any] = {"$effects": [], "$undialled": []}
        wanted |= {} if sought is None else {"$sought": sought}
        return compare(ok({"effects": wanted}), Reply(Kind.OK, {"effects": list(effects)}), bound)

    assert step(None, dial) == []
    assert step(["aa"]) == []
    assert step(["aa"])
    assert step(["aa"], dial) == []


def test_a_subnet_names_its_port() -> None:
    members = Subnet("a seed", 0, 3)
    members.run(100)
    assert members.look()["linked"] == sorted(members[index].id.hex() for index in (1, 2))
