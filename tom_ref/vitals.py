"""Vital signs: what a member counts, what the members' reports say together, and how the subnet adapts.

A liar can report anything.  A sign is the lower median of at least 2f + 1 reports that have something to say
about it, f being the number of validators that may lie; so it lies between two honest reports, whatever f of
them say (TOM-VITALS-006).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import evolve

from tom_ref import constants
from tom_ref.term_frames import Counts, Vitals

CLASSES: Final = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
"""ms: upper bounds of the first seven classes of latency; the eighth is everything above (TOM-VITALS-002)."""

_MOST: Final = 0xFFFF


class Pulse:
    """What this node counts of its own messages until its next report (TOM-VITALS-002)."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """What was counted since the last report."""
        return self._counts

    def ended(self, latency: int | None, *, rerouted: bool) -> None:
        """Count an own message that was delivered after ``latency`` ms, or expired (``None``).

        Beyond 65,535 messages nothing more is counted; the shares stay what they were.
        """
        held = self._counts
        if held.ended == _MOST:
            return
        classes = list(held.latency)
        if latency is not None:
            classes[sum(latency > bound for bound in CLASSES)] += 1
        self._counts = Counts(
            held.ended + 1,
            held.delivered + (latency is not None),
            held.rerouted + rerouted,
            held.recovered + (rerouted and latency is not None),
            tuple(classes),
        )

    def take(self) -> Counts:
        """What was counted; counting begins anew."""
        counts, self._counts = self._counts, Counts()
        return counts


def permille(part: int, whole: int) -> int:
    """How many thousandths of the whole, rounded down."""
    return constants.PERMILLE * part // whole


def lower_median(values: Sequence[int]) -> int:
    """The middle of the sorted values; of two middles the lower (TOM-VITALS-006)."""
    return sorted(values)[(len(values) - 1) // 2]


def _sign(
    reports: Sequence[Counts],
    enough: int,
    whole: Callable[[Counts], int],
    part: Callable[[Counts], int],
) -> int | None:
    """The median of one share over the reports that have something to say; ``None`` for too few."""
    shares = [permille(part(counts), whole(counts)) for counts in reports if whole(counts)]
    return lower_median(shares) if len(shares) >= enough else None


def summarized(before: Vitals | None, reports: Sequence[Counts], liars: int) -> tuple[Vitals, int | None]:
    """The vital signs of the next record, and the worse of delivery and survival (TOM-VITALS-005 to 007).

    ``before`` are those of the present record, ``reports`` what different validators counted, ``liars`` how
    many validators may lie.  A sign about which too few have something to say stays as it was, and with no
    news of either share the second value is ``None``.
    """
    held = Vitals() if before is None else before
    enough = 2 * liars + 1
    delivery = _sign(reports, enough, lambda one: one.ended, lambda one: one.delivered)
    survival = _sign(reports, enough, lambda one: one.rerouted, lambda one: one.recovered)
    classes = [
        _sign(reports, enough, lambda one: one.delivered, lambda one, place=place: one.latency[place])  # type: ignore[misc]
        for place in range(8)
    ]
    signs = evolve(
        held,
        delivery=held.delivery if delivery is None else delivery,
        survival=held.survival if survival is None else survival,
        latency=tuple(old if new is None else new for old, new in zip(held.latency, classes, strict=True)),
        reports=len(reports),
    )
    return signs, min((news for news in (delivery, survival) if news is not None), default=None)


def forked(before: Vitals | None) -> Vitals:
    """The vital signs of a child's genesis: one fork more (TOM-VITALS-008)."""
    held = Vitals() if before is None else before
    return evolve(held, reports=0, forks=min(held.forks + 1, _MOST))


def adapted(relay_share: int, custody: int, worst: int | None) -> tuple[int, int]:
    """Relay share and custody copies of the next record, at most one step away (TOM-VITALS-009).

    ``worst`` is the worse share in permille; with no news, and between the two marks, nothing moves: what
    helped isn't taken away before it has helped.
    """
    if worst is not None and worst < constants.VITALS_LOW:
        return (
            min(relay_share + 1, constants.RELAY_SHARE_MOST),
            min(custody + 1, constants.CUSTODY_COPIES_MOST),
        )
    if worst is not None and worst >= constants.VITALS_HIGH:
        return max(relay_share - 1, constants.RELAY_SHARE), max(custody - 1, constants.CUSTODY_COPIES)
    return relay_share, custody
