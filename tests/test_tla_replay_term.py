"""The behaviours of the models of a term on real code: what they do it does, what broken ones do it refuses.

Each trace of ``Term``, ``TermKnow`` or ``TermSlot`` in ``test-vectors/tla`` is played step by step on
:class:`~tom_ref.term.Term`, one for each honest validator.  All slots are led by the liar, who is one of the
validators where the model has one, and else a member that was away in the term before: it proposes what the
model says and shows a block to a validator when the model has that one vote for it, as a real one votes at
once.  What a validator learns reaches it as late as it may: when its slot is over, or with a vote.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve

from tests.subnets import FAST, founded
from tom_ref import records, vrf
from tom_ref.crypto import sha256
from tom_ref.draft import Roles
from tom_ref.errors import ProtocolError
from tom_ref.identity import Identity
from tom_ref.term import Surroundings, Term, TermOutput
from tom_ref.term_frames import (
    NO_HASH,
    Ballot,
    BlockHeader,
    Certificate,
    Evidence,
    FinalityProof,
    HeartbeatProof,
    Proposal,
    ProvenBlock,
    TermRecord,
    Vote,
)

FOLDER: Final = Path(__file__).parents[1] / "test-vectors" / "tla"
MODELS: Final = {"MC_Term.tla", "MC_TermKnow.tla", "MC_TermSlot.tla"}

REFUSED: Final = {
    "roles-bad-backup-votes": "Vote",
    "roles-bad-chain-no-longest": "HonestLeads",
    "roles-bad-early-roles": "Adopt",
    "roles-bad-falling-slots": "Vote",
    "roles-bad-forget-disk": "Restart",
    "roles-bad-forget-slot": "Forget",
    "roles-bad-forget-slot-crash": "Restart",
    "roles-bad-forget-tip": "Forget",
    "roles-bad-no-longest": "HonestLeads",
    "roles-bad-old-slot-vote": "Vote",
    "roles-bad-old-slots": "Vote",
}
"""What the broken models do, and a real validator doesn't."""
AFTER_ALL: Final = {
    "roles-bad-forget-slot": "Vote",
    "roles-bad-forget-slot-crash": "Vote",
    "roles-bad-forget-tip": "HonestLeads",
}
"""And what it doesn't do either after a crash in which it forgot less than the model's."""
STRICTER: Final = {
    "roles-know-4v-1b-equivocate-run-002": "Propose",
    "roles-know-4v-1b-equivocate-run-004": "Propose",
}
"""Here the model's liar proposes two different later blocks of one slot on one parent, which nobody can: such
a block says nothing but its place (TOM-ROLES-023)."""
FOLLOWED: Final = {"roles-bad-two-blocks"}
"""Every vote of this one is allowed; what is wrong with it is that it takes two blocks for final."""


class RefusedError(Exception):
    """The real code doesn't take the model's step."""


def plain(value: Any) -> Any:
    """A value of a trace without its wrapping."""
    if isinstance(value, dict):
        if "#bigint" in value:
            return int(value["#bigint"])
        if "#set" in value:
            return frozenset(plain(item) for item in value["#set"])
        if "#map" in value:
            return {plain(key): plain(item) for key, item in value["#map"]}
        return {key: plain(item) for key, item in value.items() if key != "#meta"}
    return value


@pytest.fixture(autouse=True)
def _liar_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of the roster leads every slot."""
    monkeypatch.setattr(Roles, "leader", lambda roles, _slot: roles.record.roster[-1].node)


class World:
    """The validators of a trace, and the liar."""

    def __init__(self, constants: dict[str, str]) -> None:
        names = sorted(constants["Honest"].strip("{}").replace(" ", "").split(","))
        self.liars = int(constants["F"])
        self.variants = int(constants.get("VARIANTS", "2"))
        subnet = founded(len(names) + 1, FAST)
        *honest, self.leader = subnet.nodes
        away = 0 if self.liars else 1
        roster = tuple(
            evolve(member, absent=away) if member.node == self.leader.node_id else member
            for member in subnet.record.roster
        )
        self.record: TermRecord = evolve(subnet.record, roster=roster)
        self.roles = Roles(self.record)
        assert self.roles.quorum == int(constants["Q"])
        assert len(self.roles.validators) == len(names) + self.liars
        self.present = records.record_hash(self.record)
        self.nodes: dict[str, Identity] = dict(zip(names, honest, strict=True))
        self.terms = {name: self.begin(name) for name in names}
        self.disks: dict[str, bytes | None] = dict.fromkeys(names)
        self.clocks = dict.fromkeys(names, 0)
        self.proposals: dict[int, Proposal] = {}
        self.parents: dict[int, int] = {}
        self.ballots: dict[int, dict[bytes, bytes]] = {}
        """Signatures by voter, of every vote that left an honest validator."""
        self.voted: dict[str, set[int]] = {name: set() for name in names}
        self.pending: dict[str, set[int]] = {name: set() for name in names}

    @cached_property
    def heartbeats(self) -> tuple[HeartbeatProof, ...]:
        """Everybody's."""
        signed = records.signed_heartbeat(self.record.subnet, self.record.term, self.present)
        keys = {node.node_id: node.signing_key for node in (*self.nodes.values(), self.leader)}
        return tuple(
            HeartbeatProof(index, keys[member.node].sign(signed))
            for index, member in enumerate(self.record.roster)
        )

    def begin(self, name: str, *, stored: bytes | None = None, abstain: bool = False) -> Term:
        """A validator as it starts."""
        node = self.nodes[name]
        return Term(
            self.record,
            own_id=node.node_id,
            signing_key=node.signing_key,
            prove=lambda alpha: vrf.prove(node.vrf_secret, alpha),
            surroundings=Surroundings(Evidence, lambda _: None),
            stored=stored,
            abstain=abstain,
        )

    # --- blocks and votes -------------------------------------------------------------------------------

    def slot(self, block: int) -> int:
        """The slot of a block; variants of a slot follow one another."""
        return (block + self.variants - 1) // self.variants

    def chain(self, block: int) -> list[int]:
        """A block and those below it, from the first one up."""
        found = []
        while block:
            found.append(block)
            block = self.parents[block]
        return found[::-1]

    def hash(self, block: int) -> bytes:
        """A block's hash; 0 is the present record."""
        return records.block_hash(self.proposals[block].header) if block else self.present

    def propose(self, block: int, parent: int) -> None:
        """The liar signs a block; first ones of one slot differ by what they show."""
        if block in self.proposals:
            assert self.parents[block] == parent
            return
        record, slot = self.record, self.slot(block)
        place = (record.subnet, record.term, self.present, slot, self.hash(parent))
        successor = evidence = None
        if parent == 0:
            evidence = Evidence(heartbeats=self.heartbeats[: len(self.nodes) + block % 2])
            successor = records.next_record(
                self.roles,
                self.present,
                evidence,
                slot=slot,
                proposer=self.leader.node_id,
                proof=vrf.prove(self.leader.vrf_secret, records.seed_alpha(record.term, record.seed)),
            )
            header = BlockHeader(*place, records.record_hash(successor), records.evidence_hash(evidence))
        else:
            header = BlockHeader(*place, NO_HASH, NO_HASH)
        signed = records.signed_block(header)
        if any(sha256(signed) == self.hash(one) for one in self.proposals):
            raise RefusedError("two blocks of one slot on one parent are the same one")
        signature = self.leader.signing_key.sign(signed)
        self.parents[block] = parent
        self.ballots[block] = {}
        certificate = self.certificate(parent) if parent else ()
        self.proposals[block] = Proposal(header, signature, certificate, successor, evidence)
        if self.liars:
            self.ballots[block][self.leader.node_id] = self.leader.signing_key.sign(self._vote(block))

    def _vote(self, block: int) -> bytes:
        header = self.proposals[block].header
        return records.signed_vote(header.subnet, header.term, header.present, header.slot, self.hash(block))

    def certificate(self, block: int) -> Certificate:
        """The votes that notarize a block."""
        index = self.roles.index
        ballots = sorted((index[node], signature) for node, signature in self.ballots[block].items())
        assert len(ballots) >= self.roles.quorum, "the model notarizes what has no quorum"
        return tuple(Ballot(place, signature) for place, signature in ballots[: self.roles.quorum])

    def proof(self, blocks: list[int]) -> FinalityProof:
        """What would prove a chain final, if it is."""
        proven = tuple(ProvenBlock(self.proposals[b].header, self.certificate(b)) for b in blocks)
        record = self.proposals[blocks[0]].record
        assert record is not None
        return FinalityProof(record, proven)

    def notarized(self) -> Iterator[int]:
        """All blocks with a quorum."""
        return (block for block, votes in self.ballots.items() if len(votes) >= self.roles.quorum)

    def records(self) -> set[bytes]:
        """The records that somebody could prove final by the votes cast so far."""
        found = set()
        for block in self.notarized():
            proof = self.proof(self.chain(block))
            try:
                records.check_finality(self.roles, self.present, proof)
            except ProtocolError:
                continue
            found.add(records.record_hash(proof.record))
        return found

    # --- what a validator hears and does ----------------------------------------------------------------

    def now(self, name: str) -> int:
        """A validator's clock, within its slot."""
        return self.terms[name].slot_start(self.clocks[name]) + 1

    def take(self, name: str, output: TermOutput, allowed: int | None = None) -> None:
        """What came of an input: to disk first, then out; only the vote that the model has it cast."""
        if output.persist is not None:
            self.disks[name] = output.persist
        for frame in output.frames:
            assert isinstance(frame, Vote), "a validator that doesn't lead only votes"
            block = next(one for one in self.proposals if self.hash(one) == frame.block)
            if block != allowed:
                raise RefusedError(f"{name} votes for {block}")
            assert output.persist is not None, "a vote that isn't on disk"
            records.check_vote(frame)
            self.ballots[block][frame.voter] = frame.signature
            self.voted[name].add(block)

    def show(self, name: str, block: int, allowed: int | None = None) -> None:
        """A block reaches a validator."""
        self.take(name, self.terms[name].on_proposal(self.proposals[block], self.now(name)), allowed)

    def show_votes(self, name: str, block: int) -> None:
        """A block and all votes for it reach a validator."""
        self.show(name, block)
        header = self.proposals[block].header
        for voter, signature in self.ballots[block].items():
            frame = Vote(
                header.subnet, header.term, header.present, header.slot, self.hash(block), voter, signature
            )
            self.take(name, self.terms[name].on_vote(frame, self.now(name)))

    def deliver(self, name: str, below: int) -> None:
        """What a validator has learnt reaches it, as far as the slots below this one.

        But for what makes a record final: the model has a step of its own for that.
        """
        for block in sorted(self.pending[name]):
            slots = [0, *(self.slot(one) for one in self.chain(block))]
            ends = any(slots[end] - slots[end - 2] == 2 for end in range(2, len(slots)))
            if self.slot(block) < below and not ends:
                self.pending[name].discard(block)
                for one in self.chain(block):
                    self.show_votes(name, one)

    # --- the models' steps ------------------------------------------------------------------------------

    def tick(self, name: str) -> None:
        """A validator's clock enters the next slot."""
        self.clocks[name] += 1
        self.take(name, self.terms[name].tick(self.now(name)))
        self.deliver(name, self.clocks[name])

    def vote(self, name: str, block: int) -> None:
        """A validator is shown a block, and votes for it."""
        while self.clocks[name] < self.slot(block):
            self.tick(name)
        self.deliver(name, self.clocks[name])
        for one in self.chain(self.parents[block]):
            self.show(name, one)
        self.show(name, block, allowed=block)
        if block not in self.voted[name]:
            raise RefusedError(f"{name} doesn't vote for {block}")

    def learn(self, name: str, block: int) -> None:
        """Votes for a block, and the chain below it, are on their way."""
        self.pending[name] |= set(self.chain(block))
        self.deliver(name, self.clocks[name])

    def adopt(self, name: str, first: int) -> None:
        """A validator is shown why a record is final."""
        chains = [self.chain(block) for block in self.notarized()]
        best = max((chain for chain in chains if chain[0] == first), key=len)
        for end in range(1, len(best) + 1):
            output = self.terms[name].on_finality(self.proof(best[:end]))
            if output.final is not None:
                assert output.final.record == self.proposals[first].record
                self.pending[name].clear()
                return
        raise RefusedError(f"{name} doesn't take the record of {first} for final")

    def restart(self, name: str) -> None:
        """A crash: the disk stays."""
        held = self.terms[name].final
        self.terms[name] = self.begin(name, stored=self.disks[name], abstain=self.terms[name].abstains)
        if held is not None:
            # The record is on disk, and with it the proof.
            self.terms[name].on_finality(held)
        self.pending[name].clear()

    def restore(self, name: str) -> None:
        """The disk comes back from a backup of before the term."""
        self.disks[name] = None
        self.terms[name] = self.begin(name, abstain=True)
        self.pending[name].clear()

    # --- the state --------------------------------------------------------------------------------------

    def compare(self, state: Any) -> None:
        """Votes, slots, locks, muteness and records are the model's."""
        heights = {block: len(below) for block, below in state["anc"].items()}
        for name, term in self.terms.items():
            lock = state["lock"][name] if "lock" in state else heights[state["tip"][name]]
            expected: dict[str, object] = {"lock": lock}
            found: dict[str, object] = {"lock": term.locked_height}
            if "last" in state:
                expected |= {"last": state["last"][name], "votes": state["votes"][name]}
                found |= {"last": term.last_slot, "votes": frozenset(self.voted[name])}
            if "held" in state:
                held = state["held"][name]
                record = self.proposals[held].record if held else None
                final = term.final.record if term.final is not None else None
                expected |= {"held": record, "mute": state["mute"][name], "clock": state["clock"][name]}
                found |= {"held": final, "mute": term.abstains, "clock": self.clocks[name]}
                known = {self.hash(block) for block in state["know"][name] - {0}}
                if (
                    any(
                        term.tree.is_notarized(block.hash) and block.hash not in known
                        for slot in range(1, 8)
                        for block in term.tree.in_slot(slot)
                    )
                    and final is None
                ):
                    # A restart leaves the chain of the last vote, the model's that of its highest parent.
                    assert self.restarted(name)
            if found != expected:
                raise RefusedError(f"{name}: {found} and not {expected}")

    def restarted(self, name: str) -> bool:
        """Whether a validator ever came back from its disk."""
        return self.terms[name]._restored_slot > 0


def steps(states: list[Any], raw: list[Any]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The steps of a trace: the number of the state, the action, and what it was done to and by."""
    for number in range(1, len(states)):
        before, after = states[number - 1], states[number]
        action = raw[number]["#meta"]["action"]
        found: dict[str, Any] = {}
        for key in ("votes", "clock", "know", "held", "last", "lock", "mute"):
            # Where two of them name a validator it is the same one.
            for name in before.get(key, {}):
                if before[key][name] != after[key][name]:
                    found["name"] = name
        if action == "Vote":
            (found["block"],) = after["votes"][found["name"]] - before["votes"][found["name"]]
        elif action == "Learn":
            found["block"] = max(after["know"][found["name"]] - before["know"][found["name"]])
        elif action == "Adopt":
            found["block"] = after["held"][found["name"]]
        yield number, action, found


def play(world: World, before: Any, after: Any, action: str, found: dict[str, Any]) -> None:
    """One step of the models Term and TermKnow on the real validators."""
    if action == "Propose":
        (block,) = [one for one in after["par"] if before["par"][one] != after["par"][one]]
        world.propose(block, after["par"][block])
    elif action == "Vote":
        world.propose(found["block"], after["par"][found["block"]])
        world.vote(found["name"], found["block"])
    elif action in {"Learn", "Adopt"}:
        getattr(world, action.lower())(found["name"], found["block"])
    elif action == "Forget":
        world.restart(found["name"])
    else:
        getattr(world, action.lower())(found["name"])


def rounds(before: Any, after: Any, world: World) -> list[tuple[tuple[tuple[str, ...], int, int], ...]]:
    """Who may have voted for what in a slot of TermSlot, which keeps no votes: (voters, block, parent) each.

    As few as a quorum takes: votes that change nothing are left out.
    """
    first = 2 * before["slot"] + 1
    heights = {block: len(below) for block, below in after["anc"].items()}
    names = sorted(world.terms)
    need = world.roles.quorum - world.liars
    blocks = [block for block in (first, first + 1) if block in after["ntz"]]
    groups = list(itertools.combinations(names, need))
    found = []
    for chosen in itertools.product(groups, repeat=len(blocks)):
        voters = [name for group in chosen for name in group]
        locks = dict(before["lock"])
        for group, block in zip(chosen, blocks, strict=True):
            for name in group:
                locks[name] = max(locks[name], heights[after["par"][block]])
        if len(set(voters)) == len(voters) and locks == after["lock"]:
            found.append(
                tuple((g, block, after["par"][block]) for g, block in zip(chosen, blocks, strict=True))
            )
    return found


def load(path: Path) -> tuple[dict[str, str], list[Any], list[Any]]:
    """A trace: the model's constants, its states, and these with their wrapping."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return document["#meta"]["constants"], [plain(s) for s in document["states"]], document["states"]


def replay(path: Path, *, crashes_compared: bool = True) -> tuple[str | None, World]:
    """Play a trace; the action that the real code refused, if it refused one, and the world."""
    constants, states, raw = load(path)
    world = World(constants)
    compared = True
    for number, action, found in steps(states, raw):
        try:
            play(world, states[number - 1], states[number], action, found)
            compared = compared and (crashes_compared or action not in {"Forget", "Restart"})
            if compared:
                world.compare(states[number])
        except RefusedError:
            return action, world
    return None, world


def replay_slots(path: Path, *, crashes_compared: bool = True) -> tuple[set[str | None], list[World]]:
    """Play a trace of TermSlot in every way it may have come about; what was refused in these ways.

    A way that is not refused ends the search.
    """
    constants, states, raw = load(path)
    refused: set[str | None] = set()
    worlds: list[World] = []

    def follow(chosen: list[Any]) -> None:
        # From the beginning each time: a signature costs less than a copy of the world.
        world = World(constants)
        compared = True
        for number, action, found in steps(states, raw):
            before, after = states[number - 1], states[number]
            try:
                if action == "Forget":
                    world.restart(found["name"])
                    compared = crashes_compared
                elif number > len(chosen):
                    for way in rounds(before, after, world) or [()]:
                        if not worlds:
                            follow([*chosen, way])
                    return
                else:
                    for voters, block, parent in chosen[number - 1]:
                        world.propose(block, parent)
                        for name in voters:
                            world.vote(name, block)
                if compared:
                    world.compare(after)
            except RefusedError:
                refused.add(action)
                return
            if action == "Forget" and number > len(chosen):
                chosen = [*chosen, ()]
        refused.add(None)
        worlds.append(world)

    follow([])
    return refused, worlds


def traces(*kinds: str) -> list[Path]:
    """The traces of the models of one term, of these kinds."""
    known = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["traces"]
    found = []
    for trace in known:
        path = FOLDER / trace["file"]
        if trace["kind"] in kinds and trace["file"].startswith("roles-"):
            source = json.loads(path.read_text(encoding="utf-8"))["#meta"]["source"]
            if source in MODELS:
                found.append(path)
    return found


def stem(path: Path) -> str:
    """A trace's name."""
    return path.name.split(".")[0]


def is_slotwise(path: Path) -> bool:
    """Whether it is a trace of TermSlot."""
    return "slot" in json.loads(path.read_text(encoding="utf-8"))["vars"]


def test_there_are_traces_to_play() -> None:
    """The folder holds behaviours and attacks of all three models."""
    assert {stem(path) for path in traces("attack")} == {*REFUSED, *FOLLOWED}
    assert len(traces("witness")) >= 11
    assert len(traces("behaviour")) >= 12


@pytest.mark.parametrize("path", traces("witness", "behaviour"), ids=stem)
def test_a_behaviour_of_the_model_can_be_played(path: Path) -> None:
    """TOM-ROLES-024 to 045: what the model does the real code does, step by step."""
    if is_slotwise(path):
        refused, worlds = replay_slots(path)
        assert None in refused
    else:
        action, world = replay(path, crashes_compared=stem(path) != "roles-see-term-forget")
        assert action == STRICTER.get(stem(path))
        worlds = [world]
    for world in worlds:
        assert len(world.records()) <= 1


@pytest.mark.parametrize("path", traces("attack"), ids=stem)
def test_an_attack_of_the_model_is_refused(path: Path) -> None:
    """TOM-ROLES-030 to 045: what a rule forbids the real code doesn't do, and no two records are final."""
    for crashes_compared in (True, False):
        expected = REFUSED.get(stem(path))
        if not crashes_compared:
            expected = AFTER_ALL.get(stem(path), expected if expected not in {"Forget", "Restart"} else None)
        if is_slotwise(path):
            refused, worlds = replay_slots(path, crashes_compared=crashes_compared)
            assert refused == {expected}
        else:
            action, world = replay(path, crashes_compared=crashes_compared)
            assert action == expected
            worlds = [world]
        for world in worlds:
            assert len(world.records()) <= 1
