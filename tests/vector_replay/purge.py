"""Replays of ``test-vectors/purge/``."""

from __future__ import annotations

from tests.vector_replay import Replay
from tools.vectors.purge import accept, compaction, erase, holding, ranks, room, tombstone

REPLAY: dict[str, Replay] = {
    "purge-accept": accept,
    "purge-erase": erase,
    "purge-tombstone": tombstone,
    "purge-room": room,
    "purge-ranks": ranks,
    "purge-holding": holding,
    "purge-compaction": compaction,
}
