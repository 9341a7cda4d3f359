"""The clocks of the simulated computers: each differs from true time, and may be set."""

from __future__ import annotations

from typing import Final

BEGIN: Final = 1_800_000_000_000
"""ms since the epoch: true time when every simulation begins."""


class Clock:
    """What one computer's clock says; ``offset`` is its difference from true time in ms.

    Never goes back, as the contract of a driver demands (:mod:`tom_ref.effects`): set back, it stands still
    until time has caught up.
    """

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._last = 0

    def restart(self, offset: int) -> None:
        """A new process reads the clock afresh: it may be behind what the last one read."""
        self.offset = offset
        self._last = 0

    def read(self, elapsed: int) -> int:
        """The time in ms since the epoch, ``elapsed`` ms of true time after the beginning."""
        time = BEGIN + elapsed + self.offset
        if time < self._last:
            return self._last
        self._last = time
        return time

    def reaches(self, time: int) -> int:
        """After how many ms of true time since the beginning this clock says ``time`` or more."""
        return time - self.offset - BEGIN
