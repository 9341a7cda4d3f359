"""Moves, children, healing (spec/08-roles.md, *Fork and healing*): the rules one by one, then real nodes.

The attacks of the model ``Moves`` (``tla/bad/roles``) are named where the real code refuses them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from tests.members import Members
from tests.subnets import FAST, START, founded, identity, joined
from tom_cli.subnet import _STANDINGS
from tom_ref import codec, constants, records, vrf
from tom_ref.draft import Roles
from tom_ref.effects import Effect, Event, Persist, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.identity import Identity
from tom_ref.inputs import FrameReceived, JoinSubnet, LeaveSubnet, MakeInvitation
from tom_ref.moves import Moves, Rank, judge_child, rank_of_child, rank_of_parent
from tom_ref.states import Standing
from tom_ref.step import Step
from tom_ref.term import own_heartbeat
from tom_ref.term_frames import (
    Child,
    Heartbeat,
    Leave,
    Move,
    Proposal,
    RecordAnswer,
    RecordQuery,
    Vote,
)

FOUR = founded(4)
RECORD = FOUR.record
ROLES = Roles(RECORD)
PRESENT = records.record_hash(RECORD)
SLOT = FAST.slot_ms


def party(node: Identity, roles: Roles = ROLES) -> Moves:
    """What a member knows before anybody moves."""
    moves = Moves(node.node_id, node.signing_key, lambda alpha: vrf.prove(node.vrf_secret, alpha))
    moves.rebase(roles)
    return moves


def refused(reason: Reason, action: Callable[[], object]) -> None:
    """The action raises this code."""
    with pytest.raises(ProtocolError) as caught:
        action()
    assert caught.value.reason is reason


def move_of(node: Identity, attempt: int) -> Move:
    """A member's move over the record of four."""
    founder = ROLES.fork_founder(attempt)
    signed = records.signed_move(RECORD.subnet, 0, PRESENT, attempt, founder)
    return Move(RECORD.subnet, 0, PRESENT, attempt, founder, node.node_id, node.signing_key.sign(signed))


def founder_of(attempt: int) -> Identity:
    """Who founds the child of an attempt."""
    return next(node for node in FOUR.nodes if node.node_id == ROLES.fork_founder(attempt))


def restarted(moves: Moves, node: Identity) -> Moves:
    """The same after a crash: nothing but the disk is left."""
    fresh = Moves(node.node_id, node.signing_key, moves.prove)
    for key, value in moves.stored().items():
        if value is not None:
            fresh.restore(key, value)
    fresh.restored(RECORD, START)
    return fresh


# --- moves ------------------------------------------------------------------------------------------------


def test_attempts_rise_and_begin_with_what_was_seen() -> None:
    """TOM-ROLES-089, 090, 094: 1, or the highest seen; then always a higher one."""
    one, other = party(FOUR.nodes[0]), party(FOUR.nodes[1])
    first = one.sign(START)
    assert (first.attempt, first.founder, first.record) == (1, ROLES.fork_founder(1), PRESENT)
    records.check_move(first, ROLES, PRESENT)
    assert one.sign(START).attempt == 2
    assert other.take(move_of(FOUR.nodes[0], 7))
    assert other.sign(START).attempt == 7
    assert other.sign(START).attempt == 8
    assert not other.take(move_of(FOUR.nodes[0], 7)), "known"
    assert not other.take(move_of(FOUR.nodes[0], 3)), "older"
    assert not other.take(move_of(FOUR.nodes[1], 9)), "its own"
    assert [move.attempt for move in other.held] == [7, 8]


def test_nobody_uses_the_attempts_up() -> None:
    """TOM-ROLES-141: a far attempt is refused, whoever signed it."""
    moves = party(FOUR.nodes[0])
    most = constants.MAX_ATTEMPT_LEAP
    refused(Reason.OVERLOADED, lambda: moves.take(move_of(FOUR.nodes[1], most + 1)))
    refused(Reason.OVERLOADED, lambda: moves.take(move_of(FOUR.nodes[1], 2**32 - 1)))
    assert moves.take(move_of(FOUR.nodes[1], most))
    assert moves.highest() == most


def test_a_move_needs_a_home_and_its_founder() -> None:
    """TOM-ROLES-089: another founder than drawn is refused, and a move where nothing is left."""
    moves = party(FOUR.nodes[0])
    wrong = evolve(move_of(FOUR.nodes[1], 1), founder=ROLES.fork_founder(2))
    if ROLES.fork_founder(1) != ROLES.fork_founder(2):
        refused(Reason.WRONG_LEADER, lambda: moves.take(wrong))
    node = FOUR.nodes[0]
    homeless = Moves(node.node_id, node.signing_key, moves.prove)
    refused(Reason.WRONG_SUBNET, lambda: homeless.take(move_of(FOUR.nodes[1], 1)))
    assert homeless.base is None
    assert homeless.held == ()
    assert not homeless.may_found(START)
    assert not homeless.over(RECORD)
    assert moves.over(RECORD)


def test_a_move_voids_listings_until_a_new_admission() -> None:
    """TOM-ROLES-092, 093, 096, 143: in the record and its successor; one admitted since counts again."""
    moves, other = party(FOUR.nodes[0]), party(FOUR.nodes[1])
    own = moves.sign(START)
    assert other.take(own)
    later = evolve(RECORD, term=1, previous=PRESENT)
    again = evolve(
        later,
        term=5,
        roster=tuple(
            evolve(member, admitted=5) if member.node == own.node else member for member in later.roster
        ),
    )
    assert moves.resigned(RECORD)
    assert moves.resigned(later)
    assert moves.resigned(evolve(later, term=9))
    assert not moves.resigned(again)
    assert not moves.resigned(founded(4, nonce=b"n" * 32).record)
    assert other.cancelled(own.node, RECORD)
    assert other.cancelled(own.node, later)
    assert not other.cancelled(own.node, evolve(later, term=2))
    assert not other.cancelled(FOUR.nodes[2].node_id, RECORD)
    assert not other.cancelled(own.node, founded(4, nonce=b"n" * 32).record)
    assert not other.cancelled(own.node, evolve(RECORD, roster=RECORD.roster[:0]))
    other.rebase(Roles(later))
    assert other.cancelled(own.node, later), "kept for one more term"
    assert other.held == ()
    other.rebase(Roles(later))
    assert other.cancelled(own.node, later)
    other.rebase(Roles(evolve(later, term=2, previous=records.record_hash(later))))
    assert not other.cancelled(own.node, later)


def test_only_so_many_left_subnets_are_remembered() -> None:
    """TOM-ROLES-143: a bounded memory; the oldest goes first."""
    moves = party(FOUR.nodes[0])
    for number in range(20):
        moves.leave(evolve(RECORD, subnet=bytes((number,)) * 32, term=number))
    assert len(moves.left) == 16
    assert min(moves.left.values()) == 4
    assert len(moves.stored()[b"left"] or b"") == 2 + 16 * 40


# --- children -----------------------------------------------------------------------------------------------


def parties(attempt: int, movers: list[Identity]) -> dict[bytes, Moves]:
    """Members that have all signed one attempt and heard of each other."""
    found = {node.node_id: party(node) for node in movers}
    for node in movers:
        for other in movers:
            found[node.node_id].take(move_of(other, attempt))
    for moves in found.values():
        while moves.own is None or moves.own.attempt < attempt:
            moves.sign(START)
    return found


def test_a_founder_waits_and_then_founds_once() -> None:
    """TOM-ROLES-097, 098, 101: after four slots, with those whose moves it holds; nobody else founds."""
    founder = founder_of(1)
    three = [founder, *(node for node in FOUR.nodes if node is not founder)][:3]
    all_moves = parties(1, three)
    moves = all_moves.pop(founder.node_id)
    wait = constants.FOUNDER_WAIT_SLOTS * SLOT
    assert not moves.may_found(START + wait - 1)
    assert moves.may_found(START + wait)
    assert not any(other.may_found(START + wait) for other in all_moves.values())
    child = moves.found(START + wait, ())
    assert child is not None
    assert judge_child(child, FAST, START + wait) == 1
    assert {member.node for member in child.record.roster} == {node.node_id for node in three}
    moves.follow(child)
    assert moves.follows
    assert not moves.homeless
    assert not moves.may_found(START + wait), "once"
    again = restarted(moves, founder)
    assert again.follows
    assert not again.may_found(START + wait), "also after a crash"
    assert again.base is not None


def test_a_founder_alone_founds_only_with_a_newcomer() -> None:
    """TOM-ROLES-098: one newcomer, one that isn't listed already."""
    founder = founder_of(1)
    moves = party(founder)
    moves.sign(START)
    assert moves.found(START, ()) is None
    newcomer = identity(77)
    join = joined(RECORD, newcomer, founder)
    child = moves.found(START, (join, joined(RECORD, identity(78), founder)))
    assert child is not None
    assert judge_child(child, FAST, START) == 1
    assert {member.node for member in child.record.roster} == {founder.node_id, newcomer.node_id}


def test_a_child_of_tomorrow_is_refused() -> None:
    """TOM-ROLES-144: its start is at most a slot and what clocks may differ ahead."""
    founder = founder_of(1)
    moves = parties(1, [founder, next(node for node in FOUR.nodes if node is not founder)])[founder.node_id]
    child = moves.found(START + SLOT + 2 * FAST.eps, ())
    assert child is not None
    assert judge_child(child, FAST, START) == 1
    refused(Reason.FUTURE_DATE, lambda: judge_child(child, FAST, START - 1))


def two_children(attempt: int = 1) -> tuple[Identity, Child, Child]:
    """A founder that lies issues two geneses of one attempt; both list the member that is returned."""
    founder = founder_of(attempt)
    others = [node for node in FOUR.nodes if node is not founder]
    found = []
    for members in (others[:1], others[:2]):
        moves = parties(attempt, [founder, *members])[founder.node_id]
        child = moves.found(START, ())
        assert child is not None
        found.append(child)
    return others[0], found[0], found[1]


def test_of_two_children_one_is_followed() -> None:
    """TOM-ROLES-102, twin two_children: one of the latest attempt, the first one, also after a crash."""
    node, first, second = two_children()
    moves = party(node)
    assert not moves.may_follow(first), "it has not moved"
    moves.sign(START)
    assert moves.may_follow(first)
    assert moves.may_follow(second)
    moves.follow(first)
    assert not moves.may_follow(second)
    assert not restarted(moves, node).may_follow(second)
    assert restarted(moves, node).child == first


def test_a_later_attempt_leaves_every_child_before() -> None:
    """TOM-ROLES-094, 102, 143: for ever; the child of the new attempt is followed."""
    node, first, _ = two_children()
    moves = party(node)
    moves.sign(START)
    moves.follow(first)
    moves.sign(START)
    assert moves.homeless
    assert moves.resigned(first.record)
    assert not moves.may_follow(first)
    assert not restarted(moves, node).may_follow(first)
    other, later, _ = two_children(2)
    second = party(other)
    second.sign(START)
    assert not second.may_follow(later), "another attempt than its own"
    second.sign(START)
    assert second.may_follow(later)
    stranger = evolve(later, record=evolve(later.record, roster=later.record.roster[:0]))
    assert not second.may_follow(stranger), "it isn't listed"
    assert not second.may_follow(evolve(later, parent=evolve(RECORD, term=3))), "over another record"


def test_a_settled_child_ends_the_moves() -> None:
    """TOM-ROLES-103: after its first own record nothing over the parent is signed."""
    node, first, _ = two_children()
    moves = party(node)
    moves.sign(START)
    moves.follow(first)
    moves.settle()
    assert not moves.follows
    assert not moves.homeless
    assert restarted(moves, node).left == {RECORD.subnet: 0}


def test_moves_come_back_from_the_disk() -> None:
    """TOM-ROLES-091, twins forget_move and forget_move_home: nothing signed is forgotten."""
    node, _, _ = two_children()
    moves = party(node)
    assert moves.stored() == {b"moved": None, b"followed": None, b"left": None}
    moves.sign(START)
    moves.sign(START)
    again = restarted(moves, node)
    assert (again.own, again.left, again.homeless) == (moves.own, {RECORD.subnet: 0}, True)
    assert again.next_attempt() == 3
    assert again.resigned(RECORD)


@pytest.mark.parametrize(("key", "value"), [(b"moved", b"\x0b" + bytes(40)), (b"other", b"\x0b" + bytes(40))])
def test_a_corrupt_row_is_refused(key: bytes, value: bytes) -> None:
    """TOM-ROLES-091: a row that is no move stops the node rather than letting it forget."""
    moves = party(FOUR.nodes[0])
    refused(Reason.BAD_VALUE, lambda: moves.restore(key, value))
    moves.sign(START)
    lost = Moves(moves.own_id, moves.signing_key, moves.prove, own=moves.own)
    refused(Reason.BAD_VALUE, lambda: lost.restored(None, START))


# --- ranks --------------------------------------------------------------------------------------------------


def test_the_smaller_then_the_higher_id_dissolves() -> None:
    """TOM-ROLES-105, 142: both sides come to the same, whoever asks."""
    small, large = Rank(True, 5, b"a", b""), Rank(True, 7, b"b", b"")
    assert large.beats(small)
    assert not small.beats(large)
    low, high = Rank(True, 5, b"a", b"z"), Rank(True, 5, b"b", b"y")
    assert low.beats(high)
    assert not high.beats(low)
    dead = Rank(False, 9, b"a", b"")
    assert small.beats(dead)
    _, first, second = two_children()
    assert rank_of_child(second).beats(rank_of_child(first))
    assert rank_of_parent(first) == Rank(False, 2, RECORD.subnet, PRESENT)
    three = Roles(founded(3).record)
    assert three.quorum == 2


# --- real nodes ---------------------------------------------------------------------------------------------


def acted(members: Members) -> None:
    """Nobody signed where it had left, in the order in which its frames left (NoSplitBrain, NeverBack).

    What was signed before may be repeated; the slot of a vote or a block tells when that was.
    """
    for computer in members.computers:
        left: dict[bytes, tuple[int, int]] = {}
        before: set[bytes] = set()
        for when, data in computer.sent:
            if data[0] not in (7, 8, 9, 14, 15) or data in before:
                continue
            before.add(data)
            frame = codec.decode_frame(data)
            if isinstance(frame, Move | Leave) and frame.node == computer.id:
                left[frame.subnet] = (frame.term, when)
                continue
            if isinstance(frame, Heartbeat) and frame.node == computer.id:
                subnet, term, signed_at = frame.subnet, frame.term, when
            elif isinstance(frame, Vote) and frame.voter == computer.id:
                subnet, term = frame.subnet, frame.term
                signed_at = members.slot_start(subnet, term, frame.slot)
            elif isinstance(frame, Proposal) and members.leader(frame.header) == computer.id:
                subnet, term = frame.header.subnet, frame.header.term
                signed_at = members.slot_start(subnet, term, frame.header.slot)
            else:
                continue
            since, moved_at = left.get(subnet, (-2, 0))
            assert term > since + 1 or signed_at <= moved_at, f"{computer.index} acted where it had left"


def one_home(members: Members, count: int) -> Callable[[], bool]:
    """Whether so many are members of one subnet, and nobody of another."""

    def holds() -> bool:
        homes = members.homes()
        return len(homes) == 1 and all(len(home) == count for home in homes.values())

    return holds


def settled(members: Members, count: int) -> Callable[[], bool]:
    """Whether so many have a home that isn't the first one, each child with a record of its own."""

    def holds() -> bool:
        homes = members.homes()
        if members.founded.record.subnet in homes or sum(map(len, homes.values())) != count:
            return False
        nodes = [computer.running for computer in members.computers if computer.node is not None]
        return not any(node.status().provisional for node in nodes)

    return holds


@pytest.mark.slow
def test_twelve_are_cut_into_seven_and_five_and_heal() -> None:
    """TOM-ROLES-088 to 108: both sides fork, messages flow before, during and after, twelve become one."""
    members = Members(12)
    assert members.slots(30, lambda: all(c.running.home.record.term > 1 for c in members.computers))  # type: ignore[union-attr]
    members.send(0, 11, b"before")
    members.slots(3)
    members.part(range(7), range(7, 12))
    members.send(0, 6, b"cut, within")
    members.send(1, 10, b"cut, across")
    assert members.slots(400, settled(members, 12))
    homes = members.homes()
    assert sorted(map(len, homes.values())) == [5, 7]
    assert b"cut, within" in members.shown(6)
    members.send(2, 5, b"forked, within")
    members.send(8, 3, b"forked, across")
    members.slots(10)
    assert b"forked, within" in members.shown(5)
    members.part()
    assert members.slots(600, one_home(members, 12))
    members.send(9, 2, b"healed")
    members.slots(60)
    assert members.shown(10) == [b"cut, across"]
    assert b"forked, across" in members.shown(3)
    assert b"healed" in members.shown(2)
    assert members.shown(11) == [b"before"]
    seven = next(subnet for subnet, home in homes.items() if len(home) == 7)
    assert set(members.homes()) == {seven}
    for computer in members.computers:
        assert len(computer.events(Event.FORKED)) == 1
        assert len(computer.events(Event.DISSOLVED)) == (computer.index >= 7)
    acted(members)


def test_three_come_back_to_a_parent_that_went_on() -> None:
    """TOM-ROLES-092, 093, 105, 142, 148: six of nine keep the quorum, the three come back."""
    members = Members(9)
    members.slots(20)
    members.part(range(6), range(6, 9))
    parent = members.founded.record.subnet
    assert members.slots(
        600, lambda: sorted(map(len, members.homes().values())) == [3, 6] and len(members.homes()) == 2
    )
    assert members.homes()[parent] == list(range(6))
    members.slots(40)
    members.part()
    assert members.slots(800, one_home(members, 9))
    assert set(members.homes()) == {parent}
    record = members[0].running.home.record
    assert record is not None
    returned = [record.member(members[index].id) for index in range(6, 9)]
    assert all(member is not None and member.admitted > 1 for member in returned)
    members.slots(40)
    assert set(members.homes()) == {parent}
    acted(members)


def test_movers_without_a_child_come_back_to_the_parent() -> None:
    """TOM-ROLES-149: who moved and found no child is admitted anew by the living parent."""
    members = Members(4)
    members.slots(20)
    members.part([0, 1, 2], [3])
    mover = members[3]
    step = Step(members.now)
    mover.running.home.forks._sign(step)
    mover.disk.update(
        {
            (change.table, change.key): change.value
            for effect in step.finish()
            if isinstance(effect, Persist)
            for change in effect.changes
            if change.value is not None
        }
    )
    assert mover.running.home.standing is Standing.MOVING
    assert mover.running.status().standing is Standing.MOVING
    members.slots(40)
    members.part()
    assert members.slots(400, one_home(members, 4))
    assert set(members.homes()) == {members.founded.record.subnet}
    assert mover.running.home.record is not None
    own = mover.running.home.record.member(mover.id)
    assert own is not None
    assert own.admitted > 1


@pytest.mark.slow
def test_who_slept_through_the_fork_comes_to_the_child() -> None:
    """TOM-ROLES-104, 140, 142: five closed the lid; on waking they don't move, but join the child."""
    members = Members(12)
    members.slots(20)
    for index in range(7, 12):
        members.sleep(index)
    assert members.slots(400, settled(members, 7)) or members.slots(
        1, lambda: any(len(home) == 7 for home in members.homes(range(7)).values())
    )
    members.slots(60)
    for index in range(7, 12):
        members.wake(index)
    assert members.slots(600, one_home(members, 12))
    assert not any(members[index].events(Event.MOVED) for index in range(7, 12))
    acted(members)


def test_a_night_of_sleep_forks_nothing() -> None:
    """TOM-ROLES-088, 140: all sleep for longer than the time-out, and go on together."""
    members = Members(4)
    members.slots(10)
    for index in range(4):
        members.sleep(index)
    members.slots(500)
    for index in range(4):
        members.wake(index)
        members.slots(1)
    term = members[0].running.home.record.term  # type: ignore[union-attr]
    assert members.slots(200, lambda: members[0].running.home.record.term > term)  # type: ignore[union-attr]
    assert not any(computer.events(Event.MOVED) for computer in members.computers)


def test_a_lone_survivor_forks_only_to_admit_somebody() -> None:
    """TOM-ROLES-098, 140: all validators but one gone; it waits, until it has somebody to admit."""
    members = Members(3, strangers=1)
    members.slots(10)
    members.part([0, 3], [1, 2])
    members.kill(1)
    members.kill(2)
    members.slots(300)
    assert members[0].running.home.standing is Standing.MEMBER
    assert not members[0].events(Event.MOVED)
    members.do(0, MakeInvitation(members.now + 3_600_000))
    members.do(3, JoinSubnet(members[0].invitations[0]))
    assert members.slots(800, lambda: members.homes([0, 3]).get(members.founded.record.subnet) is None)
    assert members.slots(200, lambda: sorted(members.homes([0, 3]).values()) == [[0, 3]])
    members.send(3, 0, b"from the newcomer")
    members.slots(20)
    assert members.shown(0) == [b"from the newcomer"]
    acted(members)


def test_a_subnet_of_one_goes_on_and_never_forks() -> None:
    """TOM-ROLES-018, 140: its one vote is the quorum."""
    members = Members(1)
    members.slots(200)
    assert not members[0].events(Event.MOVED)
    record = members[0].running.home.record
    assert record is not None
    assert record.term > 10


def test_a_founder_that_is_gone_costs_an_attempt() -> None:
    """TOM-ROLES-094, 095, twin one_move: the next attempt has a founder that lives."""
    members = Members(4)
    members.slots(10)
    roles = members[0].running.home.roles
    assert roles is not None
    gone = members.by_id[roles.fork_founder(1)].index
    also = next(index for index in range(4) if index != gone)
    members.kill(gone)
    members.kill(also)
    assert members.slots(600, settled(members, 2))
    left = [computer for computer in members.computers if computer.node is not None]
    assert all(len(computer.events(Event.MOVED)) >= 2 for computer in left)
    acted(members)


def writes(table: Table, key: bytes, *, number: int = 1) -> Callable[[tuple[Effect, ...]], bool]:
    """Whether this step is the one of that number that writes such a row."""
    seen = 0

    def holds(effects: tuple[Effect, ...]) -> bool:
        nonlocal seen
        for effect in effects:
            if isinstance(effect, Persist):
                seen += any(
                    change.table is table and change.key == key and change.value is not None
                    for change in effect.changes
                )
        return seen == number

    return holds


@pytest.mark.parametrize("key", [b"moved", b"followed"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("who", [0, 1])
def test_a_crash_at_each_write_of_a_move(key: bytes, when: str, who: int) -> None:
    """TOM-ROLES-091, twins forget_move, vote_after_move, parent_after_move: before the disk or after."""
    members = Members(4)
    members.slots(10)
    members.part([0, 1], [2, 3])
    computer = members[who]
    if when == "before":
        computer.crash_before = writes(Table.MOVE, key)
    else:
        computer.crash_after = writes(Table.MOVE, key)
    assert members.slots(600, lambda: computer.node is None)
    members.slots(7)
    members.boot(who)
    assert members.slots(1_500, settled(members, 4))
    members.part()
    assert members.slots(800, one_home(members, 4))
    acted(members)


@pytest.mark.slow
def test_a_crash_while_dissolving() -> None:
    """TOM-ROLES-106, twin heal_no_leave: the subnet that was left stays left, whatever crashed."""
    members = Members(4)
    members.slots(10)
    members.part([0, 1], [2, 3])
    assert members.slots(600, settled(members, 4))
    homes = members.homes()
    doomed = max(homes)
    crashed = homes[doomed][0]
    members[crashed].crash_after = lambda effects: any(
        getattr(effect, "event", None) is Event.DISSOLVED for effect in effects
    )
    members.part()
    assert members.slots(300, lambda: members[crashed].node is None)
    members.boot(crashed)
    assert members.slots(800, one_home(members, 4))
    assert set(members.homes()) == {min(homes)}
    assert doomed in members[crashed].running.home.forks.moves.left
    acted(members)


def test_a_mover_that_signed_too_soon_joins_the_child_that_lists_it() -> None:
    """TOM-ROLES-104, 149: its later attempt left that child; it comes in as a guest, by an ordinary join."""
    members = Members(5)
    members.slots(10)
    members.part([0, 1, 2], [3], [4])
    members.kill(3)
    members.kill(4)
    assert members.slots(200, lambda: members[2].running.home.standing is Standing.MOVING)
    members.slots(1)
    members.part([0, 1], [2])
    assert members.slots(400, lambda: any(home == [0, 1] for home in members.homes([0, 1, 2]).values()))
    members.slots(60)
    assert members[2].running.home.standing is Standing.MOVING
    members.part()
    assert members.slots(400, lambda: [0, 1, 2] in members.homes([0, 1, 2]).values())
    own = members[2].running.home.record.member(members[2].id)  # type: ignore[union-attr]
    assert own is not None
    assert own.admitted > 0
    acted(members)


def test_who_joined_the_dissolving_child_comes_along() -> None:
    """TOM-ROLES-107, 146, 147: also a member that never was in the parent, and needs no invitation."""
    members = Members(4, strangers=2)
    members.slots(10)
    members.part([0, 1, 4], [2, 3, 5])
    assert members.slots(600, settled(members, 4))
    for host, newcomer in ((0, 4), (2, 5)):
        members.do(host, MakeInvitation(members.now + 3_600_000))
        members.do(newcomer, JoinSubnet(members[host].invitations[0]))
    assert members.slots(100, lambda: sorted(map(len, members.homes().values())) == [3, 3])
    members.slots(20)
    assert members[4].running.home.forks.moves.child == members[0].running.home.forks.moves.child
    members.part()
    assert members.slots(600, one_home(members, 6))
    acted(members)


def test_a_mover_may_give_its_home_up() -> None:
    """TOM-ROLES-143: what it left stays left, also when it founds anew and when it restarts."""
    members = Members(4)
    members.slots(10)
    members.part([0], [1], [2, 3])
    step = Step(members.now)
    members[0].running.home.forks._sign(step)
    members.do(0, LeaveSubnet())
    assert members[0].running.home.standing is Standing.NONE
    assert not any(key[0] is Table.MOVE and key[1] == b"moved" for key in members[0].disk)
    members.boot(0)
    assert members[0].running.home.forks.moves.left == {members.founded.record.subnet: 1}
    assert members[0].running.home.forks.served(members.founded.record.subnet)


def children_of(count: int) -> list[Child]:
    """Valid geneses over the record of four, of as many attempts."""
    found = []
    for attempt in range(1, count + 1):
        founder = founder_of(attempt)
        other = next(node for node in FOUR.nodes if node is not founder)
        child = parties(attempt, [founder, other])[founder.node_id].found(START, ())
        assert child is not None
        found.append(child)
    return found


def test_relatives_are_remembered_within_bounds() -> None:
    """TOM-ROLES-145: eight of them, the latest; one that is known is not passed on again."""
    members = Members(4)
    members.slots(1)
    home, peer = members[0].running.home, members[1].id
    forks = home.forks
    step = Step(members.now)
    children = children_of(10)
    for child in [*children, children[-1]]:
        forks.on_child(step, peer, child, codec.encode_frame(child))
    assert len(forks._kin) == 8
    assert not home.serves(children[0].record.subnet)
    assert home.serves(children[-1].record.subnet)
    assert not home.serves(b"x" * 32)
    forks._remember_former((number.to_bytes(32, "big") for number in range(600)), members.now)
    assert len(forks._former) == 512
    assert forks.knows((5).to_bytes(32, "big"), members.now)
    assert not forks.knows((5).to_bytes(32, "big"), members.now + constants.FORMER_MEMORY)
    forks._remember_former((), members.now + constants.FORMER_MEMORY)
    assert not forks._former


def test_a_child_of_strangers_is_refused() -> None:
    """TOM-ROLES-105, 145: of another lineage, or where there is no home at all."""
    members = Members(3, strangers=1)
    members.slots(1)
    child = children_of(1)[0]
    step = Step(members.now)
    refused(
        Reason.WRONG_SUBNET,
        lambda: members[0].running.home.forks.on_child(step, members[1].id, child, codec.encode_frame(child)),
    )
    nowhere = members[3].running.home
    nowhere.on_frame(step, members[1].id, child, codec.encode_frame(child))
    nowhere.on_frame(step, members[1].id, move_of(FOUR.nodes[0], 1), b"")
    nowhere.on_frame(step, members[1].id, RecordQuery(RECORD.subnet, 0), b"")
    assert nowhere.standing is Standing.NONE
    assert not nowhere.serves(child.record.subnet)


def test_a_leave_that_waits_is_a_change() -> None:
    """TOM-ROLES-088, 098: with a quorum that gives signs of life and nothing final, a change must wait."""
    members = Members(4)
    members.slots(4)
    home = members[0].running.home
    record = home.record
    assert record is not None
    late = record.start + record.fork_ms
    for node in record.roster:
        home.forks.heard(node.node, late - 1)
    assert not home.forks._due(record, late - 1)
    assert not home.forks._due(record, late), "nothing waits"
    held = home._now
    assert held is not None
    held.leaves[members[1].id] = home.sign_leave()
    assert home.forks._due(record, late)
    home.forks._watching = late
    assert not home.forks._due(record, late), "it slept"


def test_a_grandchild_and_a_liar_with_few_vouchers_lead_nobody() -> None:
    """TOM-ROLES-148: one heartbeat of a liar's own doesn't make a child live; f + 1 of four do."""
    members = Members(4)
    home, forks = members[3].running.home, members[3].running.home.forks
    step = Step(members.now)
    child = next(child for child in children_of(10) if child.record.member(members[3].id) is None)
    forks.on_child(step, members[1].id, child, codec.encode_frame(child))
    present = evolve(child.record, term=1, previous=records.record_hash(child.record))
    liars = [node for node in FOUR.nodes if child.record.member(node.node_id) is not None]
    beats = tuple(
        own_heartbeat(present, records.record_hash(present), node.node_id, node.signing_key) for node in liars
    )
    stray = own_heartbeat(RECORD, PRESENT, liars[0].node_id, liars[0].signing_key)
    forks.on_answer(step, RecordAnswer(present, None, (beats[0], stray)))
    assert home.record == RECORD
    assert not forks._live
    young = evolve(present, term=0, previous=child.record.previous)
    first = tuple(
        own_heartbeat(young, records.record_hash(young), node.node_id, node.signing_key) for node in liars
    )
    forks.on_answer(step, RecordAnswer(young, None, first))
    assert not forks._live, "a genesis isn't alive yet"
    forks.on_answer(step, RecordAnswer(present, None, beats))
    assert home.record == present, "two of four moved: the parent has no quorum any more"
    assert home.standing is Standing.GUEST


def test_a_clock_minutes_off_counts_as_away() -> None:
    """TOM-ROLES-130, 140: three of four go on without it; it neither votes with them nor forks."""
    members = Members(4, offsets={3: 300_000})
    members.slots(60)
    terms = [members[index].running.home.record.term for index in range(3)]  # type: ignore[union-attr]
    assert min(terms) > 2
    assert len(set(terms)) == 1
    assert not any(computer.events(Event.MOVED) for computer in members.computers)
    assert any(computer.events(Event.CLOCK_OFF) for computer in members.computers)
    record = members[0].running.home.record
    assert record is not None
    skewed = record.member(members[3].id)
    assert skewed is not None
    assert skewed.absent > 0


def test_the_status_has_a_word_for_every_standing() -> None:
    """TOM-ROLES-103: a person reads what a node is, also while it moves or its child is provisional."""
    assert set(_STANDINGS) == {standing.value for standing in Standing}
    members = Members(4)
    members.slots(10)
    members.part([0, 1], [2, 3])
    seen = set()
    node = members[0].running
    while (Standing.MOVING, False) not in seen or (Standing.MEMBER, True) not in seen:
        members.slots(1)
        seen.add((node.status().standing, node.status().provisional))
        assert members.now < START + 400 * SLOT


def test_who_has_moved_stays_out_whatever_becomes_final() -> None:
    """TOM-ROLES-092, 093, 096, twin listed_after_move: silent, refused (`moved`), going on by itself."""
    members = Members(4)
    members.slots(10)
    mover, other = members[3], members[0]
    record = mover.running.home.record
    assert record is not None
    mover.running.home.forks._sign(Step(members.now))
    own = mover.running.home.forks.moves.own
    assert own is not None
    link = next(link for link, (index, _) in other.links.items() if index == 3)
    members.do(0, FrameReceived(link, codec.encode_frame(own)))
    members.run(50)
    present = records.record_hash(record)
    beat = own_heartbeat(record, present, mover.id, mover.identity.signing_key)
    vote = Vote(record.subnet, record.term, present, 1, b"b" * 32, mover.id, bytes(64))
    before = len(other.events(Event.REFUSED))
    for frame in (beat, vote):
        # Not as it was before, so that it isn't known already.
        members.do(0, FrameReceived(link, codec.encode_frame(evolve(frame, signature=bytes(64)))))
    refusals = [report.detail for report in other.events(Event.REFUSED)[before:]]
    assert len(refusals) == 2
    assert all(detail.startswith(Reason.MOVED.value) for detail in refusals)
    assert members.slots(20, lambda: other.running.home.record.term == record.term + 1)  # type: ignore[union-attr]
    members.slots(1)
    assert mover.running.home.standing is Standing.MOVING
    assert mover.running.home.record == record, "the next record lists it, and is none of its business"
    listed = other.running.home.record.member(mover.id)  # type: ignore[union-attr]
    assert listed is not None
    assert members.slots(400, one_home(members, 4)), "and it comes back by an ordinary join"
    acted(members)
