"""The clock and the entropy: of this machine, and deterministic ones for tests and vectors."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Final

from tom_ref.constants import EPS
from tom_ref.crypto import hkdf, labelled

_LOG: Final = logging.getLogger(__name__)

TEST_ENTROPY_LABEL: Final = "ToM/1 test entropy"
"""The label of the deterministic test profile."""

MillisecondSource = Callable[[], int]
"""A reading of a clock in ms."""


def _wall() -> int:
    return time.time_ns() // 1_000_000


def _monotonic() -> int:
    return time.monotonic_ns() // 1_000_000


_SLEEPLESS: Final[int | None] = getattr(
    time, "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME", None
)
"""The system's clock that nobody sets and that goes on while the computer sleeps, where it has one."""

STEP: Final = 1_000
"""ms: the wall clock and that clock part by more only when somebody sets the former."""


def _sleepless() -> int | None:
    return None if _SLEEPLESS is None else time.clock_gettime_ns(_SLEEPLESS) // 1_000_000


class SystemClock:
    """Milliseconds since the Unix epoch that never go back within a process.

    The clock follows the computer's wall clock wherever that is ahead (a corrected clock, a laptop that woke
    up).  When the wall clock is set back, this clock goes on at half its speed until the other has caught up:
    timers still fire, and nothing that was erased because its time was over can become young again.

    ``floor`` is a time, ms, before which the clock never reads: the last one that the store saw.
    """

    def __init__(
        self,
        floor: int = 0,
        *,
        wall: MillisecondSource = _wall,
        monotonic: MillisecondSource = _monotonic,
        sleepless: Callable[[], int | None] = _sleepless,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._sleepless = sleepless
        self._slept = sleepless()
        self._set_by = 0
        self._now = max(floor, wall())
        self._read_at = monotonic()
        self._warned = False

    def now(self) -> int:
        """The time in ms since the epoch."""
        monotonic = self._monotonic()
        elapsed = max(0, monotonic - self._read_at)
        wall = self._wall()
        passed, self._slept = self._slept, self._sleepless()
        if passed is not None and self._slept is not None:
            step = wall - self._now - (self._slept - passed)
            self._set_by += step if step > STEP else 0
        if wall >= self._now:
            self._now = wall
            self._read_at = monotonic
        else:
            # Whole steps of 2 ms, so that many quick readings don't round the half speed down to a stop.
            self._now += elapsed // 2
            self._read_at += elapsed - elapsed % 2
            self._warn(self._now - wall)
        return self._now

    def take_step(self) -> int:
        """By how many ms somebody set the wall clock forward since this was asked last, as far as known."""
        by, self._set_by = self._set_by, 0
        return by

    @property
    def lead(self) -> int:
        """How many ms this clock is ahead of the wall clock: 0 unless that was set back."""
        return max(0, self._now - self._wall())

    def _warn(self, lead: int) -> None:
        if lead > 2 * EPS and not self._warned:
            self._warned = True
            _LOG.warning(
                "The computer's clock was set back by %d s; other nodes may refuse messages until it has "
                "caught up. Restart the node if the earlier time was wrong.",
                lead // 1000,
            )


class VirtualClock:
    """A clock that a test or a simulation moves."""

    def __init__(self, start: int = 1_700_000_000_000) -> None:
        self._now = start

    def now(self) -> int:
        """The time in ms since the epoch."""
        return self._now

    def take_step(self) -> int:
        """Nobody sets it."""
        return 0

    def advance_to(self, now: int) -> None:
        """Move to a time; raises ``ValueError`` for an earlier one."""
        if now < self._now:
            raise ValueError("time doesn't go back")
        self._now = now


def system_entropy(purpose: str, size: int) -> bytes:
    """``size`` bytes from the operating system's generator, whatever the purpose (TOM-NOTATION-008)."""
    del purpose
    return os.urandom(size)


class DeterministicEntropy:
    """Entropy of the deterministic test profile (TOM-NOTATION-012).  Never for real use.

    The n-th draw (n counts from 0, for each purpose on its own) of ``size`` bytes for ``purpose`` is::

        HKDF-SHA256(ikm = seed, salt = 32 zero bytes,
                    info = labelled("ToM/1 test entropy", purpose in ASCII, n as u64),
                    length = size)

    with ``labelled`` as in :func:`tom_ref.crypto.labelled`.  ``seed`` is 32 bytes; a draw has 1 to 8160.
    Since the counter belongs to the purpose, ports are free in the order of draws for different purposes.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ValueError("the seed has 32 bytes")
        self._seed = seed
        self._counters: dict[str, int] = {}

    def __call__(self, purpose: str, size: int) -> bytes:
        """The next ``size`` bytes for ``purpose``."""
        counter = self._counters.get(purpose, 0)
        info = labelled(TEST_ENTROPY_LABEL, purpose.encode("ascii"), counter.to_bytes(8, "big"))
        drawn = hkdf(self._seed, bytes(32), info, size)
        self._counters[str(purpose)] = counter + 1
        return drawn
