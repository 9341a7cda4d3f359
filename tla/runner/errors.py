"""Exit codes of the runner, and the one exception that carries them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a run of the runner ended with.  The values are part of its interface."""

    OK = 0
    """Everything came out as declared and pinned."""
    DIFFERENT = 1
    """A model came out otherwise than declared, pinned, or covered."""
    USAGE = 2
    """Wrong arguments, or an ``instances.toml`` or ``manifest.json`` that is not valid."""
    NO_TOOL = 3
    """No Java, or not the pinned TLC."""
    BROKEN = 4
    """A model that TLC cannot parse, configure or evaluate, or that ran out of time."""
    DRIFT = 5
    """A generated file (table, trace, manifest) is not what the models yield now."""
    SURVIVORS = 6
    """A mutated guard that nothing noticed."""
    LINT = 7
    """A model that breaks a rule of the house."""
    NOT_RUN = 77
    """Apalache is not installed: nothing was checked."""


class RunnerError(Exception):
    """Something the user has to mend; printed as one line, without a traceback."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code
