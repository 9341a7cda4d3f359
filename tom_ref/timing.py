"""The durations that one network agrees on.

Every node of a network has to use the same ones: EPS decides what a validator and a recipient accept.  The
defaults are those of ToM/1; a network on one machine, whose clocks are one clock, can be much faster
(TOM-ROLES-118).
"""

from __future__ import annotations

from attrs import field, frozen, validators

from tom_ref import constants


@frozen
class Timing:
    """EPS and the durations that a genesis takes from it, all in ms (TOM-ROLES-007 to 009).

    Raises ``ValueError`` when a slot is shorter than the clocks allow, or a term or the fork time-out than
    the slots need.
    """

    eps: int = field(default=constants.EPS, validator=validators.ge(1))
    """The most by which an honest node's clock may differ from true time."""
    slot_margin: int = field(default=constants.SLOT_MARGIN, validator=validators.ge(1))
    """What a slot has beyond 2 EPS: time for a proposal and its votes to travel."""
    slot_ms: int = constants.SLOT
    """Length of a slot."""
    term_ms: int = constants.TERM
    """From the slot of a record to slot 0 of the next vote."""
    fork_ms: int = constants.FORK_TIMEOUT
    """How long a due change of membership waits without a quorum before a member moves."""
    silence_ms: int = field(default=constants.CUSTODY_SILENCE, validator=validators.ge(1))
    """How long a holder has to be out of reach before another is found for it (TOM-PURGE-019)."""

    def __attrs_post_init__(self) -> None:
        """Refuse durations that the rules of agreement can't work with."""
        if self.slot_ms < self.least_slot:
            raise ValueError("a slot is at least 2 EPS and the margin")
        if self.term_ms < constants.TERM_SLOTS * self.slot_ms:
            raise ValueError(f"a term is at least {constants.TERM_SLOTS} slots")
        if self.fork_ms < constants.FORK_SLOTS * self.slot_ms:
            raise ValueError(f"the fork time-out is at least {constants.FORK_SLOTS} slots")

    @property
    def least_slot(self) -> int:
        """The shortest slot, ms, that this node takes part in (TOM-ROLES-007)."""
        return 2 * self.eps + self.slot_margin

    @classmethod
    def fast(cls, slot_ms: int = 300) -> Timing:
        """For nodes that share one clock (one machine, tests, simulations): a term ends in seconds."""
        eps = max(1, slot_ms // 6)
        return cls(
            eps=eps,
            slot_margin=slot_ms - 2 * eps,
            slot_ms=slot_ms,
            term_ms=constants.TERM_SLOTS * slot_ms,
            fork_ms=constants.FORK_SLOTS * slot_ms,
            silence_ms=5 * slot_ms,
        )
