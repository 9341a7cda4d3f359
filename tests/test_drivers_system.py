"""Clocks that never go back, and entropy that can be replayed."""

from __future__ import annotations

import hashlib
import hmac
import random
import sys

import pytest

from tom_ref.constants import Purpose
from tom_ref.drivers.system import (
    STEP,
    DeterministicEntropy,
    SystemClock,
    VirtualClock,
    _sleepless,
    system_entropy,
)


class Machine:
    """A computer whose wall clock somebody sets."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000
        self.monotonic = 5_000
        self.sleepless: int | None = 9_000

    def pass_time(self, milliseconds: int) -> None:
        self.monotonic += milliseconds
        self.sleep(milliseconds)

    def sleep(self, milliseconds: int) -> None:
        self.wall += milliseconds
        if self.sleepless is not None:
            self.sleepless += milliseconds

    def clock(self, floor: int = 0) -> SystemClock:
        return SystemClock(
            floor,
            wall=lambda: self.wall,
            monotonic=lambda: self.monotonic,
            sleepless=lambda: self.sleepless,
        )


def test_the_clock_follows_the_wall_clock() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(1_234)
    assert clock.now() == machine.wall
    machine.wall += 7_200_000  # corrected, or woken up
    assert clock.now() == machine.wall
    assert clock.lead == 0


def test_who_sets_the_wall_clock_forward_is_told_from_who_sleeps() -> None:
    """TOM-ROLES-137: by the clock that nobody sets; without one nobody can tell."""
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(1_000)
    machine.sleep(7_200_000)
    machine.wall += STEP  # what is corrected little by little
    clock.now()
    assert clock.take_step() == 0
    machine.pass_time(500)
    machine.wall += 60_000
    clock.now()
    machine.wall += 5_000
    assert clock.now() == machine.wall
    assert clock.take_step() == 65_000
    assert clock.take_step() == 0
    machine.wall -= 90_000
    clock.now()
    assert clock.take_step() == 0, "set back, the clock goes on"
    machine.sleepless = None
    clock = machine.clock()
    machine.wall += 7_200_000
    clock.now()
    assert clock.take_step() == 0


def test_this_computer_can_tell() -> None:
    """Linux and macOS have such a clock; where there is none, sleep and a step look alike."""
    clock = SystemClock()
    clock.now()
    assert clock.take_step() == 0
    assert (_sleepless() is not None) == (sys.platform in {"linux", "darwin"})


def test_a_wall_clock_set_back_is_caught_up_with_at_half_speed() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall -= 60_000
    assert clock.now() == before
    assert clock.lead == 60_000
    for _ in range(1_000):  # many readings don't round the speed away
        machine.pass_time(1)
        clock.now()
    assert clock.now() == before + 500
    machine.pass_time(200_000)
    assert clock.now() == machine.wall or clock.lead == 0
    machine.pass_time(1)
    assert clock.now() >= machine.wall


def test_the_clock_never_goes_back_whatever_happens_to_the_wall_clock() -> None:
    chance = random.Random(7)
    for _ in range(50):
        machine = Machine()
        clock = machine.clock(floor=chance.choice([0, machine.wall + 9_000]))
        last = clock.now()
        for _ in range(200):
            machine.pass_time(chance.randrange(50))
            machine.wall += chance.choice([0, 0, 0, 3_000, -3_000, -50, 50])
            now = clock.now()
            assert now >= last
            last = now
        machine.pass_time(1_000_000)
        machine.pass_time(0)
        clock.now()
        assert clock.now() == machine.wall


def test_the_floor_holds_at_the_start() -> None:
    machine = Machine()
    assert machine.clock(floor=machine.wall + 400).now() == machine.wall + 400


def test_a_large_step_back_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall -= 3_600_000
    clock.now()
    clock.now()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "set back by 3600 s" in caplog.text


def test_the_real_clock_runs() -> None:
    clock = SystemClock()
    first = clock.now()
    assert first > 1_600_000_000_000
    assert clock.now() >= first


def test_a_virtual_clock_moves_forward_only() -> None:
    clock = VirtualClock(10)
    assert clock.take_step() == 0
    clock.advance_to(20)
    assert clock.now() == 20
    with pytest.raises(ValueError, match="back"):
        clock.advance_to(19)


def test_system_entropy_differs() -> None:
    drawn = {system_entropy(Purpose.LINK_EPHEMERAL, 32) for _ in range(100)}
    assert len(drawn) == 100
    assert {len(item) for item in drawn} == {32}


def hkdf_by_hand(seed: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 from its text, apart from the library's."""
    pseudorandom = hmac.new(bytes(32), seed, hashlib.sha256).digest()
    output, block, counter = b"", b"", 0
    while len(output) < size:
        counter += 1
        block = hmac.new(pseudorandom, block + info + bytes([counter]), hashlib.sha256).digest()
        output += block
    return output[:size]


def test_deterministic_entropy_is_the_documented_formula() -> None:
    """TOM-NOTATION-012."""
    seed = bytes(range(32))
    entropy = DeterministicEntropy(seed)
    label, purpose = b"ToM/1 test entropy", b"link/ping"
    for count, size in enumerate((8, 32, 100)):
        info = bytes([len(label)]) + label
        for part in (purpose, count.to_bytes(8, "big")):
            info += len(part).to_bytes(4, "big") + part
        assert entropy(Purpose.LINK_PING, size) == hkdf_by_hand(seed, info, size)


def test_the_order_of_draws_for_different_purposes_does_not_matter() -> None:
    left, right = DeterministicEntropy(bytes(32)), DeterministicEntropy(bytes(32))
    assert [left("link/ping", 8), left("grease", 4), left("link/ping", 8)] == [
        right("link/ping", 8),
        *reversed([right("link/ping", 8), right("grease", 4)]),
    ]
    with pytest.raises(ValueError, match="32 bytes"):
        DeterministicEntropy(b"short")
