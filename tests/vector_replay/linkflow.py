"""Replays of ``test-vectors/link/flow.json``."""

from __future__ import annotations

from tests.vector_replay import Replay
from tools.vectors import linkflow

REPLAY: dict[str, Replay] = {"link-flow": linkflow.flow}
