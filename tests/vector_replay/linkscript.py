"""Replays of ``test-vectors/link/script.json``."""

from __future__ import annotations

from tests.vector_replay import Replay
from tools.vectors import linkscript

REPLAY: dict[str, Replay] = {"link-script": linkscript.script}
