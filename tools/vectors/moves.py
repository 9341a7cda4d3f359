"""Vectors for moves, for meeting relatives, and for conversation subnets (chapter *Roles and terms*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from tom_ref import constants, records, term_codec, vrf
from tom_ref.conversation_subnets import conversation_id, signed_conversation, signed_end
from tom_ref.errors import Reason
from tom_ref.term_frames import Child, Conversation, ConversationEnd, Member, Move
from tools.vectors import Content, _moves
from tools.vectors._roles import START, Given, Subnet, frame, identity
from tools.vectors.roles import Book, rules, spoilt, subnet


def _move(home: Subnet, node: Any, attempt: int, **changes: Any) -> Move:
    """A member's move, changed before it is signed."""
    record = home.record
    blank = Move(
        record.subnet,
        record.term,
        home.present,
        attempt,
        home.roles.fork_founder(attempt),
        node.node_id,
        bytes(64),
    )
    blank = evolve(blank, **changes)
    signed = records.signed_move(blank.subnet, blank.term, blank.record, blank.attempt, blank.founder)
    return evolve(blank, signature=node.signing_key.sign(signed))


def _child(home: Subnet, count: int, attempt: int = 1, start: int = START) -> Child:
    """A child of so many members, the founder among them."""
    founder = next(node for node in home.nodes if node.node_id == home.roles.fork_founder(attempt))
    nodes = [founder, *(node for node in home.nodes if node is not founder)][:count]
    proof = vrf.prove(founder.vrf_secret, records.child_alpha(attempt, home.record.seed))
    members = [Member(node.node_id, node.vrf_key, admitted=0) for node in nodes]
    record = records.child_record(
        home.roles, home.present, attempt, members=members, proof=proof, start=start
    )
    moves = sorted((_move(home, node, attempt) for node in nodes), key=lambda one: one.node)
    signature = founder.signing_key.sign(records.signed_genesis(record))
    return Child(record, signature, home.record, tuple(moves))


def _moved() -> Content:
    book = Book(
        "roles-moved",
        _moves.moved,
        "A member `node` of `record`, whose latest move is `own` or none, holds moves and takes one more: "
        "whether that is new to it, the attempts held by member (its own included), and what it signs next.",
    )
    home = subnet(4)
    one, two, three, four = home.nodes
    record = term_codec.encode_record(home.record).hex()

    def given(move: Move, own: Move | None = None, held: Sequence[Move] = ()) -> Given:
        return {
            "record": record,
            "node": one.node_id.hex(),
            "own": None if own is None else frame(own),
            "held": [frame(known) for known in held],
            "move": frame(move),
        }

    def bad(numbers: Sequence[int], about: str, made: Given, reason: Reason, pair: str) -> None:
        book.bad(rules(*numbers), about, made, reason, pair)

    first = book.good(rules(89, 90), "the first attempt of another member", given(_move(home, two, 1)))
    higher = book.good(
        rules(90), "a later one takes its place", given(_move(home, two, 5), held=[_move(home, two, 2)])
    )
    book.good(rules(90), "an earlier one doesn't", given(_move(home, two, 2), held=[_move(home, two, 5)]))
    book.good(rules(90, 94), "its own is higher", given(_move(home, two, 3), own=_move(home, one, 7)))
    leap = constants.MAX_ATTEMPT_LEAP
    far = book.good(rules(141), "as far ahead as may be", given(_move(home, three, leap)))
    beyond = _move(home, three, leap + 1)
    bad((141,), "one attempt further", given(beyond), Reason.OVERLOADED, far)
    bad((141,), "the last attempt there is", given(_move(home, four, 2**32 - 1)), Reason.OVERLOADED, far)
    own = _move(home, one, 3)
    bad((141,), "too far from its own", given(_move(home, four, leap + 4), own), Reason.OVERLOADED, far)
    other = home.roles.fork_founder(1)
    wrong = next(node.node_id for node in home.nodes if node.node_id != other)
    bad((89,), "another founder", given(_move(home, two, 1, founder=wrong)), Reason.WRONG_LEADER, first)
    bad((89,), "another subnet", given(_move(home, two, 1, subnet=b"s" * 32)), Reason.WRONG_SUBNET, first)
    bad((89,), "another term", given(_move(home, two, 1, term=1)), Reason.WRONG_TERM, first)
    bad((89,), "another record", given(_move(home, two, 1, record=b"r" * 32)), Reason.WRONG_TERM, first)
    stranger = _move(home, identity(70), 1)
    bad((89,), "a mover that is no member", given(stranger), Reason.NODE_MISMATCH, first)
    stolen = evolve(_move(home, two, 5), signature=_move(home, three, 5).signature)
    bad((89,), "signed by another member", given(stolen), Reason.BAD_SIGNATURE, higher)
    raised = evolve(_move(home, two, 1), attempt=5, founder=home.roles.fork_founder(5))
    bad((90,), "signed for another attempt", given(raised), Reason.BAD_SIGNATURE, higher)
    for about, data, reason in spoilt(bytes.fromhex(frame(_move(home, two, 1)))):
        bad((89,), about, given(_move(home, two, 1)) | {"move": data.hex()}, reason, first)
    return book.file()


def _met() -> Content:
    book = Book(
        "roles-met",
        _moves.met,
        "A member of a child `ours`, or of the parent's `record` where that is null, meets a member of the "
        "child `theirs` at `now`: which subnet dissolves.  Both are known to be alive.",
    )
    home, small = subnet(6), subnet(4)

    def given(ours: Child | None, theirs: Child, now: int = START) -> Given:
        return {
            "record": term_codec.encode_record(home.record).hex(),
            "ours": None if ours is None else frame(ours),
            "theirs": frame(theirs),
            "now": now,
        }

    two, three, four, second = _child(home, 2), _child(home, 3), _child(home, 4), _child(home, 3, 2)
    good = book.good(rules(105), "three meet four", given(three, four))
    book.good(rules(105), "four meet three", given(four, three))
    book.good(rules(105), "three meet three: the ids decide", given(three, second))
    book.good(rules(105, 142), "four that stayed of six meet two", given(None, two))
    parent = book.good(rules(105, 142), "three stayed, fewer than the quorum of four", given(None, three))
    ahead = 2 * constants.EPS + constants.SLOT
    edge = book.good(rules(144), "as early as may be", given(None, two, START - ahead))

    def bad(  # noqa: PLR0917 - a table
        numbers: Sequence[int],
        about: str,
        theirs: Child,
        reason: Reason,
        pair: str = good,
        ours: Child | None = three,
        now: int = START,
    ) -> None:
        book.bad(rules(*numbers), about, given(ours, theirs, now), reason, pair)

    bad((144,), "a moment too early", two, Reason.FUTURE_DATE, edge, None, START - ahead - 1)
    bad((105,), "a child of another lineage", _child(small, 3), Reason.WRONG_SUBNET)
    bad((105,), "of another record than the parent's", _child(small, 3), Reason.WRONG_SUBNET, parent, None)
    bad(
        (101,),
        "a genesis that its founder didn't sign",
        evolve(four, signature=bytes(64)),
        Reason.BAD_SIGNATURE,
    )
    larger = evolve(four, record=evolve(four.record, roster=_child(home, 5).record.roster))
    bad((97,), "a roster with one that didn't move", larger, Reason.BAD_RECORD)
    bad((97,), "a move left out", evolve(four, moves=four.moves[1:]), Reason.BAD_RECORD)
    bad((99,), "another id", evolve(four, record=evolve(four.record, subnet=bytes(32))), Reason.BAD_RECORD)
    bad((101,), "of term 1", evolve(four, record=evolve(four.record, term=1)), Reason.BAD_RECORD)
    forged = (evolve(four.moves[0], signature=bytes(64)), *four.moves[1:])
    bad((89,), "a forged move", evolve(four, moves=forged), Reason.BAD_SIGNATURE)
    return book.file()


def _talk(*nodes: Any, **changes: Any) -> Conversation:
    """A conversation's record, changed before all sign it."""
    ordered = sorted(nodes, key=lambda node: node.node_id)
    names = tuple(node.node_id for node in ordered)
    blank = Conversation(b"h" * 32, 7, names, b"n" * 32, (bytes(64),) * len(names))
    blank = evolve(blank, **changes)
    signed = signed_conversation(blank)
    return evolve(blank, signatures=tuple(node.signing_key.sign(signed) for node in ordered))


def _conversations() -> Content:
    book = Book(
        "roles-conversation",
        _moves.conversed,
        "A conversation frame with all signatures: the id of the conversation subnet and who takes part.",
    )
    one, two, three = (identity(number) for number in (60, 61, 62))
    talk = _talk(one, two)

    def given(made: Conversation) -> Given:
        return {"conversation": frame(made)}

    good = book.good(rules(109), "two", given(talk))
    book.good(rules(109), "another nonce, another id", given(_talk(one, two, nonce=b"m" * 32)))
    trio = book.good(rules(109), "three", given(_talk(one, two, three)))

    def bad(about: str, made: Given, reason: Reason, pair: str = good) -> None:
        book.bad(rules(109), about, made, reason, pair)

    bad("of another home", given(evolve(talk, home=b"x" * 32)), Reason.BAD_SIGNATURE)
    bad("of another term", given(evolve(talk, term=8)), Reason.BAD_SIGNATURE)
    bad("of another nonce", given(evolve(talk, nonce=bytes(32))), Reason.BAD_SIGNATURE)
    bad(
        "signatures changed over", given(evolve(talk, signatures=talk.signatures[::-1])), Reason.BAD_SIGNATURE
    )
    unsigned = evolve(talk, signatures=(talk.signatures[0], bytes(64)))
    bad("one that didn't sign", given(unsigned), Reason.BAD_SIGNATURE)
    crowd = _talk(one, two, three)
    fewer = evolve(crowd, participants=crowd.participants[:2], signatures=crowd.signatures[:2])
    bad("one left out", given(fewer), Reason.BAD_SIGNATURE, trio)
    for about, data, reason in spoilt(bytes.fromhex(frame(talk))):
        bad(about, {"conversation": data.hex()}, reason)
    return book.file()


def _ends() -> Content:
    book = Book(
        "roles-conversation-end",
        _moves.ended,
        "A conversation frame, and an end that a node which holds it hears.",
    )
    one, two, three = (identity(number) for number in (60, 61, 62))
    talk = _talk(one, two)
    subnet_id = conversation_id(talk)

    def given(node: Any, signer: Any, named: bytes = subnet_id, signed: bytes = subnet_id) -> Given:
        end = ConversationEnd(named, node.node_id, signer.signing_key.sign(signed_end(signed)))
        return {"conversation": frame(talk), "end": frame(end)}

    good = book.good(rules(111), "by the one", given(one, one))
    book.good(rules(111), "by the other", given(two, two))
    for about, made, reason in (
        ("by somebody that takes no part", given(three, three), Reason.NODE_MISMATCH),
        ("in another's name", given(one, three), Reason.BAD_SIGNATURE),
        ("of another conversation", given(one, one, b"c" * 32, b"c" * 32), Reason.WRONG_SUBNET),
        ("signed for another conversation", given(one, one, signed=b"c" * 32), Reason.BAD_SIGNATURE),
    ):
        book.bad(rules(111), about, made, reason, good)
    return book.file()


def files() -> dict[str, Content]:
    """The files about moves, relatives and conversations."""
    return {
        "roles/moved.json": _moved(),
        "roles/met.json": _met(),
        "roles/conversation.json": _conversations(),
        "roles/conversation-end.json": _ends(),
    }
