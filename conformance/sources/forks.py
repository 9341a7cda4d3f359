"""Scripts of a member whose quorum is gone: it moves, follows a child, and comes back."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from conformance.sources import crafted
from conformance.sources.subnets import Scene, Subnet, playing, registering
from tests.members import Computer
from tom_ref import codec, records
from tom_ref.admission import request
from tom_ref.draft import Roles
from tom_ref.effects import Dial, Effect, SendFrame
from tom_ref.node import Node
from tom_ref.states import Standing
from tom_ref.term_frames import BlockHeader, Child, Evidence, RecordQuery, TermRecord
from tools.vectors._roles import vote

SCENES: Final[list[Scene]] = []
_scene = registering(SCENES)
SLOT: Final = 12_000
PATIENCE: Final = 60
"""Slots: longer than the fork time-out, and than a founder waits."""


class Still(Subnet):
    """Members of which, after a while, only the port goes on by itself; the others do as they are told."""

    still = False

    def _alarm(self, computer: Computer, node: Node | None) -> None:
        if not self.still or computer.index == self.port:
            super()._alarm(computer, node)

    def _carry_out(self, computer: Computer, effect: Effect) -> None:
        if not (self.still and isinstance(effect, (Dial, SendFrame))):
            super()._carry_out(computer, effect)

    def stop(self, *gone: int) -> None:
        """From now on nothing happens by itself, and some are gone."""
        self.run(100)
        self.still = True
        for index in gone:
            self.kill(index)

    @property
    def standing(self) -> Standing:
        """What the port is in its home."""
        return self[self.port].running.home.standing

    @property
    def other(self) -> int:
        """Whom the port has its first link to."""
        return next(iter(self[self.port].links.values()))[0]

    def give(self, frame: codec.AnyFrame) -> None:
        """The port gets a frame of that member."""
        self.hand(codec.encode_frame(frame), self.other)

    def founder(self, attempt: int = 1) -> int:
        """Who founds the child of an attempt over the first record."""
        return self.by_id[Roles(self.founded.record).fork_founder(attempt)].index

    def sign_of_life(self) -> None:
        """The other member votes, for a block that the port doesn't know."""
        record = self.founded.record
        slot = (self.now - record.start) // record.slot_ms
        members = self.computers
        header = BlockHeader(
            record.subnet, record.term, records.record_hash(record), slot, bytes(32), bytes(32), bytes(32)
        )
        self.give(vote(members[self.other].identity, header))


def _moved(seed: str, count: int = 5) -> Still:
    """The port and one other member are left of some, not the founder, and the port has moved."""
    members = Still(seed, 0, count, slot=SLOT)
    founder = members.founder()
    members.fits(founder != 0)
    other = next(n for n in range(1, count) if n != founder)
    members.stop(*(n for n in range(1, count) if n != other))
    members.slots(20)
    members.sign_of_life()
    members.sure(members.slots(PATIENCE, lambda: members.standing is Standing.MOVING), "it doesn't move")
    return members


# --- moving -----------------------------------------------------------------------------------------------


@_scene(
    "two of five are left: the member moves and says so, once the fork time-out has passed",
    "ROLES-088",
    "ROLES-089",
    "ROLES-091",
    "ROLES-092",
    "ROLES-108",
    "ROLES-140",
    "ROLES-143",
)
def _moves(seed: str) -> Subnet:
    members = _moved(seed)
    members.look()
    return members


@_scene(
    "who takes all others for gone moves for no one, however long it waits",
    "ROLES-088",
    "ROLES-108",
    "ROLES-140",
    pair="subnet-moves",
)
def _alone(seed: str) -> Subnet:
    members = Still(seed, 0, 5, slot=SLOT)
    members.stop(2, 3, 4)
    members.slots(PATIENCE)
    members.sure(members.standing is Standing.MEMBER, "it moved")
    members.look()
    return members


@_scene(
    "a member that slept has seen nothing: it doesn't move when it wakes",
    "ROLES-088",
    "ROLES-140",
    pair="subnet-moves",
)
def _slept(seed: str) -> Subnet:
    members = Still(seed, 0, 5, slot=SLOT)
    members.stop(2, 3, 4)
    members.slots(20)
    members.sleep(0)
    members.slots(20)
    members.wake(0)
    members.dial(0, 1)
    members.sign_of_life()
    members.slots(4)
    members.sure(members.standing is Standing.MEMBER, "it moved")
    members.look()
    return members


def _shown_block(members: Still) -> None:
    """In the next slot that another member leads, its block comes, and the question what the port knows."""
    record = members.founded.record
    roles, slot = Roles(record), (members.now - record.start) // record.slot_ms + 1
    while roles.leader(slot) == members[0].id:
        slot += 1
    members.run(record.start + slot * record.slot_ms + 10 - members.now)
    members.give(crafted.first_block(members, record, slot, crafted.shown(members, record)))
    members.give(RecordQuery(record.subnet, record.term))


@_scene(
    "a member votes for a good block of its slot, and shows presence to who asks",
    "ROLES-030",
    "ROLES-039",
    "ROLES-053",
    "ROLES-092",
)
def _votes(seed: str) -> Subnet:
    members = Still(seed, 0, 5, slot=SLOT)
    members.stop(2, 3, 4)
    _shown_block(members)
    members.look()
    return members


@_scene(
    "who has moved neither votes nor shows presence in the parent, after a restart or a final record",
    "ROLES-039",
    "ROLES-091",
    "ROLES-092",
    "ROLES-143",
    pair="subnet-votes",
)
def _moved_votes_not(seed: str) -> Subnet:
    members = _moved(seed)
    record, other = members.founded.record, members.other
    _shown_block(members)
    members.look()
    members.boot(0)
    members.dial(0, other)
    _shown_block(members)
    members.look()
    members.fits(members.standing is Standing.MOVING)
    members.give(crafted.finality(members, record, crafted.shown(members, record)))
    members.look()
    return members


# --- children ---------------------------------------------------------------------------------------------


@_scene(
    "a child of the latest attempt that lists the member is followed; who isn't in it is told",
    "ROLES-091",
    "ROLES-102",
    "ROLES-103",
    "ROLES-108",
    "ROLES-147",
)
def _follows(seed: str) -> Subnet:
    members = _moved(seed)
    record = members.founded.record
    members.give(crafted.child(members, record, 1, (0, members.other), members.now))
    members.sure(crafted.present(members).subnet != record.subnet, "the child isn't followed")
    members.look()
    away = next(n for n in range(1, 5) if n not in {members.other, members.founder()})
    members.boot(0)
    members.look()
    members.boot(away)
    members.dial(0, away)
    return members


@_scene(
    "a child that doesn't list the member, one of another attempt, a second one of the same: not followed",
    "ROLES-102",
    "ROLES-091",
    "ROLES-108",
    pair="subnet-follows",
)
def _follows_not(seed: str) -> Subnet:
    members = _moved(seed)
    record = members.founded.record
    other = members.other
    for attempt, movers in ((1, (other,)), (2, (0, other))):
        founder = members.founder(attempt)
        members.fits(founder not in {0, other})
        members.give(crafted.child(members, record, attempt, movers, members.now))
        members.look()
    members.give(crafted.child(members, record, 1, (0, other), members.now))
    first = crafted.present(members)
    members.boot(0)
    members.dial(0, other)
    members.give(crafted.child(members, record, 1, (0,), members.now))
    members.sure(crafted.present(members) == first, "the second child is followed")
    members.look()
    return members


def _in_child(seed: str, more: int, count: int) -> tuple[Still, Child]:
    """The port follows a child that has its first own record."""
    members = _moved(seed, count)
    record = members.founded.record
    founder = members.founder()
    others = [n for n in range(1, count) if n != founder][:more]
    child = crafted.child(members, record, 1, (0, *others), members.now)
    members.give(child)
    members.fits(crafted.present(members) == child.record)
    return members, child


@_scene(
    "a mover that the genesis lists leaves first and comes in by an ordinary join, needing no invitation",
    "ROLES-104",
    "ROLES-107",
    "ROLES-146",
)
def _comes_later(seed: str) -> Subnet:
    members, child = _in_child(seed, 2, 5)
    mover = _mover(members, child)
    members.boot(mover)
    members.dial(mover, 0)
    members.hand(crafted.leave(members, mover, child.record), mover)
    crafted.advance(members, crafted.left_out(members, child.record, mover), with_port=True)
    _asks_in(members, mover)
    members.look()
    return members


@_scene(
    "a mover that is still listed, or shows no work, isn't let in",
    "ROLES-104",
    "ROLES-107",
    pair="subnet-comes-later",
)
def _comes_too_early(seed: str) -> Subnet:
    members, child = _in_child(seed, 2, 5)
    mover = _mover(members, child)
    members.boot(mover)
    members.dial(mover, 0)
    _asks_in(members, mover)
    crafted.advance(members, crafted.left_out(members, child.record, mover), with_port=True)
    _asks_in(members, mover, work=False)
    members.look()
    return members


def _mover(members: Still, child: Child) -> int:
    """A member of the child, neither its founder nor whom the port is linked to."""
    others = {members[0].id, child.record.proposer, members[members.other].id}
    return next(members.by_id[m.node].index for m in child.record.roster if m.node not in others)


def _asks_in(members: Subnet, newcomer: int, *, work: bool = True) -> None:
    made = request(crafted.present(members), members[newcomer].running.descriptor, members[0].id, None)
    made = made if work else evolve(made, work_nonce=made.work_nonce - 1)
    members.hand(codec.encode_frame(made), newcomer)


# --- coming back ------------------------------------------------------------------------------------------


def _parent_lives(child: Child) -> TermRecord:
    """A record of the parent, three terms later, of those that stayed."""
    parent = child.parent
    moved = {one.node for one in child.moves}
    roster = tuple(member for member in parent.roster if member.node not in moved)
    return evolve(parent, term=parent.term + 3, previous=bytes(31) + b"\x01", roster=roster)


def _dissolved(seed: str, *, vouched: bool = True, near: bool = True) -> tuple[Still, Child, TermRecord]:
    members, child = _in_child(seed, 0, 7)
    founder = members.founder()
    members.boot(founder)
    members.dial(founder, 0)
    crafted.advance(members, with_port=True)
    later = _parent_lives(child)
    stayed = [members.by_id[member.node].index for member in later.roster]
    teller = founder
    if near:
        teller = stayed[0]
        members.boot(teller)
        members.dial(teller, 0)
    who = stayed if vouched else stayed[:1]
    members.hand(crafted.answer(members, later, who), teller)
    return members, child, later


@_scene(
    "the parent lives and is larger: the member leaves the child for it, and asks there to come in again",
    "ROLES-106",
    "ROLES-108",
    "ROLES-142",
    "ROLES-148",
)
def _dissolves(seed: str) -> Subnet:
    members, _, later = _dissolved(seed)
    members.sure(crafted.present(members) == later, "the child isn't left")
    members.look()
    return members


@_scene(
    "too few vouch for the parent: nothing is left, and nothing reported",
    "ROLES-106",
    "ROLES-108",
    "ROLES-148",
    pair="subnet-dissolves",
)
def _dissolves_not(seed: str) -> Subnet:
    members, child, _ = _dissolved(seed, vouched=False)
    members.sure(crafted.present(members).subnet == child.record.subnet, "the child is left")
    members.look()
    return members


@_scene(
    "who has left a dissolving child acts in it no more, also after a restart",
    "ROLES-106",
    "ROLES-143",
    "ROLES-091",
    pair="subnet-dissolves",
)
def _dissolved_for_good(seed: str) -> Subnet:
    members, child, later = _dissolved(seed, near=False)
    last = crafted.first_block(members, child.record, 1, crafted.shown(members, child.record)).record
    assert last is not None
    members.boot(0)
    founder = members.founder()
    members.dial(founder, 0)
    slot = next(n for n in range(1, 99) if Roles(last).leader(n) != members[0].id)
    block = crafted.first_block(
        members, last, slot, Evidence(crafted.beats(last, [members[founder].identity]))
    )
    members.hand(codec.encode_frame(block), founder)
    members.hand(codec.encode_frame(RecordQuery(last.subnet, last.term)), founder)
    members.hand(codec.encode_frame(child), founder)
    members.sure(crafted.present(members) == later, "it is back in the child")
    members.look()
    return members


@_scene(
    "a neighbour that the genesis of the home lists isn't sent it",
    "ROLES-147",
    pair="subnet-follows",
)
def _told_not(seed: str) -> Subnet:
    members, child = _in_child(seed, 2, 5)
    mover = _mover(members, child)
    members.boot(mover)
    members.dial(mover, 0)
    members.look()
    return members


cases = playing(SCENES)
"""Every scene, played anew once for each seed."""
