"""The model's behaviours on the real code: witnesses of ``Moves`` are followed, its attacks are refused.

Each trace in ``test-vectors/tla`` is played step by step on :class:`~tom_ref.moves.Moves`.  A model's attempt
stands for the next real one whose founder is drawn as the model's is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.subnets import FAST, START, Founded, founded
from tom_ref import records, vrf
from tom_ref.draft import Roles
from tom_ref.errors import ProtocolError
from tom_ref.identity import Identity
from tom_ref.moves import Moves, judge_child
from tom_ref.term_frames import Child, Move

FOLDER = Path(__file__).parents[1] / "test-vectors" / "tla"
Genesis = tuple[int, frozenset[str]]


STRICTER = {"roles-see-moves-heal.itf.json": "Heal"}
"""Here the model's liar founds a child without itself, which no genesis may be (TOM-ROLES-097)."""


class RefusedError(Exception):
    """The real code doesn't take the model's step."""


def plain(value: Any) -> Any:
    """An ITF value without its wrapping."""
    if isinstance(value, dict):
        if "#bigint" in value:
            return int(value["#bigint"])
        if "#set" in value:
            return [plain(item) for item in value["#set"]]
        if "#tup" in value:
            return [plain(item) for item in value["#tup"]]
        if "#map" in value:
            return {key: plain(item) for key, item in value["#map"]}
        return {key: plain(item) for key, item in value.items() if key != "#meta"}
    return value


def genesis(value: Any) -> Genesis:
    """A model's genesis, to be compared."""
    return value["att"], frozenset(value["who"])


class World:
    """The real members of a trace."""

    def __init__(self, first: Any) -> None:
        parent = next(home for home in first["home"].values() if home["att"] == 0)
        self.subnet: Founded = founded(len(parent["who"]))
        self.roles = Roles(self.subnet.record)
        self.present = records.record_hash(self.subnet.record)
        self.nodes = dict(zip(sorted(parent["who"]), self.subnet.nodes, strict=True))
        self.members = {name: self._fresh(self.nodes[name]) for name in first["home"]}
        self.attempts: dict[int, int] = {}
        real = 0
        for attempt, name in enumerate(first["founder"], 1):
            real += 1
            while self.roles.fork_founder(real) != self.nodes[name].node_id:
                real += 1
            self.attempts[attempt] = real
        self.founders = first["founder"]
        self.children: dict[Genesis, Child] = {}
        self.founded: set[int] = set()

    def _fresh(self, node: Identity) -> Moves:
        moves = Moves(node.node_id, node.signing_key, lambda alpha: vrf.prove(node.vrf_secret, alpha))
        moves.rebase(self.roles)
        return moves

    def move(self, name: str, attempt: int) -> Move:
        """A member's move of a real attempt."""
        node, record = self.nodes[name], self.subnet.record
        founder = self.roles.fork_founder(attempt)
        signed = records.signed_move(record.subnet, record.term, self.present, attempt, founder)
        signature = node.signing_key.sign(signed)
        return Move(record.subnet, record.term, self.present, attempt, founder, node.node_id, signature)

    # --- the model's actions ----------------------------------------------------------------------------

    def sign(self, name: str, attempt: int) -> None:
        """A member moves."""
        moves = self.members[name]
        while moves.own is None or moves.own.attempt < self.attempts[attempt]:
            moves.sign(START)
        if moves.own.attempt != self.attempts[attempt]:
            raise RefusedError("an attempt that is not above the last")

    def found(self, which: Genesis) -> None:
        """A founder issues a genesis; one that lies issues what it likes."""
        attempt, who = which
        name = self.founders[attempt - 1]
        if name in self.members and attempt in self.founded:
            raise RefusedError("an honest founder founds once")
        self.founded.add(attempt)
        liar = self._fresh(self.nodes[name])
        for other in who:
            liar.take(self.move(other, self.attempts[attempt]))
        liar.own = self.move(name, self.attempts[attempt])
        child = liar.found(START, ())
        assert child is not None
        if name not in who:
            roster = tuple(m for m in child.record.roster if m.node != self.nodes[name].node_id)
            record = evolve(child.record, roster=roster)
            signature = self.nodes[name].signing_key.sign(records.signed_genesis(record))
            child = evolve(child, record=record, signature=signature)
        self.children[which] = child

    def follow(self, name: str, which: Genesis) -> None:
        """A member follows a child, as a node does: after judging it."""
        child = self.children[which]
        self._judge(child)
        if not self.members[name].may_follow(child):
            raise RefusedError("not the child to follow")
        self.members[name].follow(child)

    @staticmethod
    def _judge(child: Child) -> None:
        try:
            judge_child(child, FAST, START)
        except ProtocolError as error:
            raise RefusedError(str(error)) from None

    def vote_parent(self, name: str) -> None:
        """A member votes for the parent's next record."""
        if self.members[name].resigned(self.subnet.record):
            raise RefusedError("it has moved")

    def vote_next(self, name: str) -> None:
        """A member acts in the parent's next term, which lists it."""
        if self.members[name].resigned(evolve(self.subnet.record, term=1, previous=self.present)):
            raise RefusedError("its move voids the listing")

    def vote_child(self, name: str) -> None:
        """A member acts in the child that it follows."""
        moves = self.members[name]
        if moves.child is None or moves.resigned(moves.child.record):
            raise RefusedError("it takes part in no such child")

    def heal(self, name: str, which: Genesis) -> None:
        """A member's child dissolves into another one: it leaves the one, and is admitted by the other."""
        moves, child = self.members[name], self.children[which]
        self._judge(child)
        assert moves.child is not None
        if moves.child.record.subnet == child.record.subnet:
            raise RefusedError("two geneses of one attempt: who left the one has left the other")
        moves.leave(moves.child.record)
        moves.child = child

    def restart(self, name: str) -> None:
        """A crash: nothing but the disk is left."""
        moves = self.members[name]
        again = Moves(moves.own_id, moves.signing_key, moves.prove)
        for key, value in moves.stored().items():
            if value is not None:
                again.restore(key, value)
        again.restored(self.subnet.record, START)
        self.members[name] = again

    # --- the state --------------------------------------------------------------------------------------

    def compare(self, state: Any) -> None:
        """Homes and attempts are the model's."""
        for name, moves in self.members.items():
            home = genesis(state["home"][name])
            real = (0, frozenset(self.nodes))
            if moves.child is not None:
                real = next(which for which, child in self.children.items() if child == moves.child)
            elif moves.left:
                real = (-1, frozenset())
            if home != real:
                raise RefusedError(f"{name} is in {sorted(real[1])} of attempt {real[0]}")
            if moves.own is not None and moves.own.attempt != self.attempts[state["top"][name]]:
                raise RefusedError(f"{name} remembers attempt {moves.own.attempt}")


def step(world: World, before: Any, after: Any, action: str) -> None:
    """One step of the model on the real members."""
    if action == "Found":
        (new,) = {genesis(one) for one in after["gen"]} - {genesis(one) for one in before["gen"]}
        world.found(new)
        return
    if action in {"Crash", "Restart"}:
        (name,) = set(before["down"]) ^ set(after["down"])
        if action == "Restart":
            # While it is down nothing happens to it; what it lost shows when it is back.
            world.restart(name)
        return
    changed = {"VoteParent": "acts", "VoteNext": "acts", "VoteChild": "acts", "Sign": "signed"}.get(
        action, "home"
    )
    (name,) = [one for one in world.members if before[changed][one] != after[changed][one]]
    if action == "Sign":
        (attempt,) = set(after["signed"][name]) - set(before["signed"][name])
        world.sign(name, attempt)
    elif action in {"Follow", "Heal"}:
        getattr(world, action.lower())(name, genesis(after["home"][name]))
    else:
        actions = {
            "VoteParent": world.vote_parent,
            "VoteNext": world.vote_next,
            "VoteChild": world.vote_child,
        }
        actions[action](name)


def replay(path: Path) -> str | None:
    """Play a trace; the action that the real code refused, if it refused one."""
    raw = json.loads(path.read_text(encoding="utf-8"))["states"]
    states = [plain(state) for state in raw]
    world = World(states[0])
    for number in range(1, len(states)):
        action = raw[number]["#meta"]["action"]
        try:
            step(world, states[number - 1], states[number], action)
            world.compare(states[number])
        except RefusedError:
            return str(action)
    return None


def traces(kind: str) -> list[Path]:
    """The traces of the model Moves of one kind."""
    known = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["traces"]
    found = []
    for trace in known:
        path = FOLDER / trace["file"]
        if trace["kind"] == kind and trace["file"].startswith("roles-"):
            names = json.loads(path.read_text(encoding="utf-8"))["vars"]
            if {"gone", "clean", "voted"} <= set(names):
                found.append(path)
    return found


def test_there_are_traces_to_play() -> None:
    """The folder holds witnesses and attacks of this model."""
    assert len(traces("witness")) >= 7
    assert len(traces("attack")) >= 7


@pytest.mark.parametrize("path", traces("witness"), ids=lambda path: path.name.split(".")[0])
def test_a_witness_of_the_model_can_be_played(path: Path) -> None:
    """TOM-ROLES-089 to 106: what the model does the real code does, step by step."""
    assert replay(path) == STRICTER.get(path.name)


@pytest.mark.parametrize("path", traces("attack"), ids=lambda path: path.name.split(".")[0])
def test_an_attack_of_the_model_is_refused(path: Path) -> None:
    """TOM-ROLES-091 to 106: what a rule forbids the real code doesn't do."""
    assert replay(path) in {"Restart", "VoteParent", "VoteNext", "Follow", "Heal", "VoteChild"}
