"""What the vectors of moves, healing and conversation subnets compute, for the generator and the replay."""

from __future__ import annotations

from tom_ref import codec, records, term_codec
from tom_ref.conversation_subnets import (
    check_conversation,
    check_end,
    conversation_id,
)
from tom_ref.draft import Roles
from tom_ref.errors import ProtocolError, Reason
from tom_ref.moves import Moves, judge_child, rank_of_child, rank_of_parent
from tom_ref.term_frames import Child, Conversation, ConversationEnd, Move
from tools.vectors._roles import TIMING, Given, identity, unhex


def _move(text: str) -> Move:
    frame = codec.decode_frame(unhex(text))
    if not isinstance(frame, Move):
        raise ProtocolError(Reason.UNKNOWN_FRAME, "a move was expected")
    return frame


def _child(text: str) -> Child:
    frame = codec.decode_frame(unhex(text))
    if not isinstance(frame, Child):
        raise ProtocolError(Reason.UNKNOWN_FRAME, "a child was expected")
    return frame


def _conversation(text: str) -> Conversation:
    frame = codec.decode_frame(unhex(text))
    if not isinstance(frame, Conversation):
        raise ProtocolError(Reason.UNKNOWN_FRAME, "a conversation was expected")
    return frame


def moved(given: Given) -> Given:
    """What a member makes of moves over its record, one after the other: the last one counts."""
    moves = Moves(unhex(given["node"]), identity(0).signing_key, lambda alpha: alpha)
    moves.rebase(Roles(term_codec.decode_record(unhex(given["record"]))))
    if given["own"] is not None:
        moves.own = _move(given["own"])
    for held in given["held"]:
        moves.take(_move(held))
    new = moves.take(_move(given["move"]))
    following = moves.next_attempt()
    base = moves.base
    assert base is not None
    return {
        "new": new,
        "attempts": [move.attempt for move in moves.held],
        "next_attempt": following,
        "next_founder": base.fork_founder(following).hex(),
    }


def met(given: Given) -> Given:
    """Which of two subnets of one lineage dissolves when their members meet; ``ours`` may be the parent."""
    theirs = _child(given["theirs"])
    judge_child(theirs, TIMING, given["now"])
    parent = records.record_hash(theirs.parent)
    if given["ours"] is None:
        if parent != records.record_hash(term_codec.decode_record(unhex(given["record"]))):
            raise ProtocolError(Reason.WRONG_SUBNET, "a child of another record")
        own = rank_of_parent(theirs)
    else:
        ours = _child(given["ours"])
        if parent != records.record_hash(ours.parent):
            raise ProtocolError(Reason.WRONG_SUBNET, "a child of another lineage")
        own = rank_of_child(ours)
    return {"dissolves": "ours" if rank_of_child(theirs).beats(own) else "theirs"}


def conversed(given: Given) -> Given:
    """A conversation subnet's record, and its id."""
    conversation = _conversation(given["conversation"])
    check_conversation(conversation)
    return {
        "id": conversation_id(conversation).hex(),
        "participants": [node.hex() for node in conversation.participants],
    }


def ended(given: Given) -> Given:
    """Whether an end is one of a conversation subnet's participants'."""
    conversation = _conversation(given["conversation"])
    frame = codec.decode_frame(unhex(given["end"]))
    if not isinstance(frame, ConversationEnd) or frame.conversation != conversation_id(conversation):
        raise ProtocolError(Reason.WRONG_SUBNET, "another conversation's end")
    if frame.node not in conversation.participants:
        raise ProtocolError(Reason.NODE_MISMATCH, "an end by somebody that takes no part")
    check_end(frame)
    return {"ended": True}
