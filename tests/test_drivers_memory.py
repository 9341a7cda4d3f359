"""Networks of real nodes with every kind of fault: the promises hold, and the checks would notice if not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest

from tom_ref.drivers import memory
from tom_ref.drivers.memory import Faults, PropertyError, Simulation
from tom_ref.drivers.store import MemoryStore
from tom_ref.effects import Change, Persist, Table
from tom_ref.receiving import Receiving
from tom_ref.relaying import Relaying
from tom_ref.sending import Sending
from tom_ref.states import Sign

ROUGH = Faults(loss=0.1, repetition=0.3, latency=400, crash=0.05, cuts=10, partitions=4)
SEEDS_A_TEST = 10


def play(first: int, *, real_links: bool) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        outcome = Simulation(seed, real_links=real_links).run()
        assert outcome.sent == outcome.delivered > 0


@pytest.mark.parametrize("first", range(0, 30, SEEDS_A_TEST))
@pytest.mark.parametrize("real_links", [False, True], ids=["frames", "links"])
def test_the_promises_hold(first: int, real_links: bool) -> None:
    """A failure prints the seed and the command that repeats it."""
    play(first, real_links=real_links)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(30, 200, SEEDS_A_TEST))
@pytest.mark.parametrize("real_links", [False, True], ids=["frames", "links"])
def test_the_promises_hold_for_many_more_seeds(first: int, real_links: bool) -> None:
    play(first, real_links=real_links)


def test_the_seeds_cover_every_kind_of_fault() -> None:
    faults = [Simulation(seed).faults for seed in range(30)]
    for name in ("loss", "repetition", "crash", "cuts", "partitions"):
        values = {getattr(fault, name) for fault in faults}
        assert 0 in values
        assert len(values) > 1
    outcomes = [Simulation(seed).run() for seed in (0, 1, 4, 5)]
    assert sum(outcome.crashes for outcome in outcomes) > 100
    assert sum(outcome.shown_again for outcome in outcomes) > 5


def test_a_run_is_the_same_again_in_another_process_with_another_hash_seed() -> None:
    def digest(hash_seed: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "tom_ref.drivers.memory", "--seed", "1"],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
        return ended.stdout

    assert digest("1") == digest("2")
    assert Simulation(1).run().digest[:16] in digest("3")
    assert Simulation(2).run().digest[:16] not in digest("3")


def test_the_hook_is_called_after_every_step() -> None:
    calls = []
    outcome = Simulation(2, check=lambda simulation: calls.append(simulation.now)).run()
    assert len(calls) == outcome.steps
    assert calls == sorted(calls)


def test_a_failure_names_the_seed_and_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(simulation: Simulation) -> None:
        simulation._require(simulation.now < 5_000, "time passed")

    with pytest.raises(PropertyError, match=r"(?s)time passed.*memory --seed 3 --real-links"):
        Simulation(3, real_links=True, check=fail).run()
    assert memory.main(["--seed", "2", "--verbose"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("seed 2: 3 nodes")
    assert "LinkUp" in err


# --- the checks notice what they are there for ----------------------------------------------------------


def fails_somewhere(expected: str, seeds: Iterable[int] = range(25), faults: Faults = ROUGH) -> None:
    """One of the seeds must fail, and for this reason."""
    found = set()
    for seed in seeds:
        try:
            Simulation(seed, faults=faults).run()
        except PropertyError as error:
            found.add(str(error).partition("\n")[0])
            if expected in str(error):
                return
    pytest.fail(f"no run failed with {expected!r}, but with {found}")


def without(table: Table) -> Callable[[MemoryStore, Iterable[Persist], int], None]:
    """A store that never gets to know a table."""
    apply = MemoryStore.apply

    def broken(self: MemoryStore, persists: Iterable[Persist], now: int) -> None:
        kept = [Persist(tuple(c for c in p.changes if c.table is not table)) for p in persists]
        apply(self, kept, now)

    return broken


def test_a_store_that_loses_sessions_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(self: MemoryStore, persists: Iterable[Persist], now: int) -> None:
        """The first state of a session is kept for ever."""
        for persist in persists:
            for change in persist.changes:
                key = (change.table, change.key)
                if change.value is None:
                    self._records.pop(key, None)
                elif change.table is not Table.SESSION or key not in self._records:
                    self._records[key] = change.value

    monkeypatch.setattr(MemoryStore, "apply", stale)
    fails_somewhere("one message key was used for two messages")


def test_a_recipient_that_forgets_in_a_crash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "apply", without(Table.INBOX))
    fails_somewhere("was lost")


def test_a_sender_that_forgets_in_a_crash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    restored = Simulation._boot

    def boot(self: Simulation, host: memory._Host) -> None:
        host.store._records = {
            key: v for key, v in host.store._records.items() if key[0] is not Table.PENDING
        }
        restored(self, host)

    monkeypatch.setattr(Simulation, "_boot", boot)
    fails_somewhere("was lost")


def test_a_recipient_that_keeps_no_receipts_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receiving, "known_receipt", lambda *_: None)
    fails_somewhere("never got its receipt", seeds=range(5))


def test_a_sender_that_takes_the_first_answer_for_a_receipt_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Sending.trail_report

    def hasty(self: Sending, step: object, peer: bytes, report: object) -> bool:
        done = original(self, step, peer, report)  # type: ignore[arg-type]
        pending = self.by_message(report.message_id)  # type: ignore[attr-defined]
        if pending is not None:
            self._finish(step, pending, Sign.RECEIPTED)  # type: ignore[arg-type]
        return done

    monkeypatch.setattr(Sending, "trail_report", hasty)
    fails_somewhere("delivered without a receipt")


def test_a_relay_that_keeps_receipts_to_itself_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relaying, "receipt", lambda *_: None)
    fails_somewhere("never got its receipt", seeds=range(5), faults=Faults())


def test_an_inbox_that_is_not_erased_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = MemoryStore.apply

    def keep(self: MemoryStore, persists: Iterable[Persist], now: int) -> None:
        def kept(change: Change) -> bool:
            return change.value is not None or change.table is not Table.INBOX

        apply(self, [Persist(tuple(filter(kept, p.changes))) for p in persists], now)

    monkeypatch.setattr(MemoryStore, "apply", keep)
    fails_somewhere("still holds", seeds=range(5), faults=Faults())
    fails_somewhere("after it was acknowledged", faults=Faults(crash=0.1))


def test_effects_that_leave_before_they_are_written_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Simulation._commit

    def hasty(self: Simulation, host: memory._Host, incarnation: int) -> None:
        if host.incarnation == incarnation and host.node is not None and self.now < 60_000:
            group = list(host.group)
            if self._chance.random() < 0.05:
                for effects in group:
                    for effect in effects:
                        if not isinstance(effect, Persist):
                            self._carry_out(host, effect)
                self._crash(host)
                return
        commit(self, host, incarnation)

    monkeypatch.setattr(Simulation, "_commit", hasty)
    fails_somewhere("a message was shown that was not taken")
