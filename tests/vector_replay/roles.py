"""Replays of ``test-vectors/roles/``."""

from __future__ import annotations

from tests.vector_replay import Replay
from tools.vectors import _moves, _roles

REPLAY: dict[str, Replay] = {
    "roles-record": _roles.read_record,
    "roles-genesis": _roles.read_genesis,
    "roles-draft": _roles.drafted,
    "roles-roles": _roles.roles_of,
    "roles-duty": _roles.duty,
    "roles-seed": _roles.seeded,
    "roles-signed": _roles.signed,
    "roles-invitation": _roles.invited,
    "roles-next": _roles.following,
    "roles-judged": _roles.judged,
    "roles-finality": _roles.finality,
    "roles-streamlet": _roles.scripted,
    "roles-catching-up": _roles.caught_up,
    "roles-answer": _roles.answered,
    "roles-child": _roles.fathered,
    "roles-admission": _roles.sponsored,
    "roles-newcomer": _roles.followed,
    "roles-clock": _roles.clocked,
    "roles-route": _roles.routed,
    "roles-gossip": _roles.passed_on,
    "roles-moved": _moves.moved,
    "roles-met": _moves.met,
    "roles-conversation": _moves.conversed,
    "roles-conversation-end": _moves.ended,
}
