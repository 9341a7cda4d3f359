"""Replays of ``test-vectors/balance/``."""

from __future__ import annotations

from tests.vector_replay import Replay
from tom_ref.ledger import work_bits
from tools.vectors.balance import queued, settled, shown

REPLAY: dict[str, Replay] = {
    "balance-settle": settled,
    "balance-work": shown,
    "balance-work-bits": lambda given: {"bits": work_bits(given["balance"])},
    "balance-queue": queued,
}
