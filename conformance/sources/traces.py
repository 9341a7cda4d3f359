"""The behaviours of the model Purge as cases: the port's nodes go through what the model went through.

Sender, recipient and both relays are the port's; what passes between them is made here, as the model has it.
A behaviour of the model itself shows what nodes do.  A counterexample of a model that lacks a rule is an
attack, and shows what they don't go along with.  Every attack is in every run, and some of the behaviours
(:mod:`conformance.sources.scenes`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from conformance.adapters.nodes import Held
from conformance.case import Case, Polarity
from conformance.sources.sweeps import SuiteError
from conformance.sources.tape import Tape
from tests.purge_world import ATTACKS, BEGIN, FOLDER, RUNS, TICK, Replay, World
from tom_ref.effects import Deliver, Effect, Persist
from tom_ref.inputs import CommandError, Input, Start

PAIR: Final = "trace-purge-main-run-001"
"""Stands beside the attacks, and is in every run."""
_LIVES: Final = (
    "TOM-PURGE-011",
    "TOM-PURGE-012",
    "TOM-PURGE-013",
    "TOM-PURGE-014",
    "TOM-PURGE-017",
    "TOM-PURGE-018",
    "TOM-PURGE-022",
    "TOM-PURGE-024",
    "TOM-PURGE-026",
    "TOM-PURGE-028",
    "TOM-PURGE-030",
    "TOM-PURGE-032",
    "TOM-PURGE-034",
    "TOM-PURGE-035",
    "TOM-PURGE-036",
    "TOM-PURGE-037",
)
_BROKEN: Final = {
    "accept-stale": ("TOM-PURGE-012",),
    "clock-free": ("TOM-PURGE-006", "TOM-PURGE-008"),
    "clock-in-ram": ("TOM-PURGE-006", "TOM-PURGE-007"),
    "copies-in-ram": ("TOM-PURGE-014", "TOM-PURGE-020"),
    "drop-on-forward": ("TOM-PURGE-017",),
    "forged-receipt": ("TOM-PURGE-022", "TOM-PURGE-024"),
    "forged-receipt-sender": ("TOM-PURGE-022", "TOM-PURGE-003"),
    "future-unchecked": ("TOM-PURGE-011",),
    "inbox-in-ram": ("TOM-PURGE-028", "TOM-PURGE-033"),
    "late-receipts": ("TOM-PURGE-026",),
    "receipts-in-ram": ("TOM-PURGE-024",),
    "receipts-in-ram-recipient": ("TOM-PURGE-028", "TOM-PURGE-030"),
    "retention-from-arrival": ("TOM-PURGE-035",),
    "sender-drops": ("TOM-PURGE-018",),
    "short-retention": ("TOM-PURGE-035",),
    "stray-receipts": ("TOM-PURGE-025",),
    "tombstone-ignored": ("TOM-PURGE-013",),
    "verdict-early": ("TOM-PURGE-004", "TOM-PURGE-034"),
}


class _Recorded(World):
    """The nodes of a trace, all of them the port's."""

    def __init__(self, seed: str, eps: int, ttl: int) -> None:
        self.tape = Tape()
        self.held: dict[str, Held] = {}
        self._seed = seed
        super().__init__(eps, ttl)

    def secret(self, name: str) -> bytes:
        """A node's secret, from the seed of the run."""
        return hashlib.sha256(f"{self._seed}/{name}".encode()).digest()

    def boot(self, name: str, clock: int) -> None:
        """A node begins, or ends and begins again."""
        now = max(self.last_time[name], BEGIN + clock * TICK)
        if name in self.held:
            held = self.tape.restart(name, self.held[name], now)
        else:
            config = {"secret": self.secret(name).hex(), "subnet": bytes(32).hex(), "eps_ms": self.timing.eps}
            seed = hashlib.sha256(f"{self._seed}/draws/{name}".encode()).hexdigest()
            held = self.tape.make(name, {"seed": seed, "now": now, "config": config})
        self.held[name] = held
        self.nodes[name] = held.node
        self.disks[name] = held.disk
        self.do(name, Start(), clock)

    def do(self, name: str, what: Input, clock: int) -> tuple[Effect, ...]:
        """One step, taken down."""
        now = BEGIN + clock * TICK
        try:
            effects = self.tape.do(name, self.held[name], what, now)
        except CommandError:
            return ()
        if any(isinstance(effect, Persist) for effect in effects):
            self.last_time[name] = max(self.last_time[name], now)
        for effect in effects:
            if isinstance(effect, Deliver) and not effect.again:
                self.shown[effect.message_id] = self.shown.get(effect.message_id, 0) + 1
        return effects


class _Replay(Replay):
    """A trace whose states are looked at on the way."""

    world: _Recorded

    def compare(self, where: str, state: dict[str, Any]) -> None:
        """Hold the nodes against the model, and look at them."""
        super().compare(where, state)
        for name in sorted({*self.relays, "s", "r"} & set(state["up"])):
            self.world.tape.inspect(name, self.world.held[name])


def _replayed(path: Path, seed: str) -> _Replay:
    trace = json.loads(path.read_text(encoding="utf-8"))
    replay = _Replay(trace, lambda eps, ttl: _Recorded(f"{seed}/{path.name}", eps, ttl))
    replay.run()
    return replay


def cases(seed: str, *, runs: Sequence[str] = RUNS) -> Iterator[Case]:
    """These behaviours and all attacks."""
    for name in runs:
        replay = _replayed(FOLDER / name, seed)
        if replay.parted:
            raise SuiteError(f"{name}: {replay.parted[0]}")
        yield Case(
            f"trace-{name.removesuffix('.itf.json')}",
            7,
            _LIVES,
            Polarity.POSITIVE,
            "nodes do what the model does",
            tuple(replay.world.tape.steps),
            source="model",
            derived=True,
            model=name,
        )
    for twin in ATTACKS:
        name = f"purge-bad-{twin}.itf.json"
        replay = _replayed(FOLDER / name, seed)
        if not replay.parted:
            raise SuiteError(f"{name}: the nodes go along with the attack")
        yield Case(
            f"attack-purge-{twin}",
            7,
            _BROKEN[twin],
            Polarity.NEGATIVE,
            f"nodes don't do what a model without a rule does: {twin}",
            tuple(replay.world.tape.steps),
            pair=PAIR,
            source="model",
            derived=True,
            model=name,
        )
