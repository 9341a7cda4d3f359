"""What goes wrong in a simulated network, and how often."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, fields_dict, frozen


class FaultError(ValueError):
    """A description of faults that nobody can follow; the text says what is possible."""


@frozen
class Faults:
    """Chances are from 0 to 1, rates are a number an hour and node (a link, the network), times in ms."""

    loss: float = 0.0
    """Chance of a frame to be lost."""
    repetition: float = 0.0
    """Chance of a frame to arrive a second time."""
    latency: int = 60
    """The longest delay of a frame on most links; each frame draws its own, so frames overtake each other."""
    spike: float = 0.0
    """Chance of a frame to be late by up to ``late``."""
    late: int = 8_000
    """The longest delay of a late frame."""
    crashes: float = 0.0
    """Rate at which a computer crashes at some effect of a step, and comes back with nothing but its disk."""
    away: int = 30_000
    """The longest time that a crashed computer stays away."""
    cuts: float = 0.0
    """Rate at which a node loses one of its links."""
    partitions: float = 0.0
    """Rate at which the network falls into two parts."""
    apart: int = 120_000
    """The longest time that the parts stay apart."""
    skew: int = 0
    """The most by which a clock differs from true time."""
    steps: float = 0.0
    """Rate at which a clock is set, within ``skew``."""
    disk: int = 0
    """The longest time that the changes of a group of steps take to reach the disk."""
    storm: float = 0.6
    """The share of the time in which all this happens; between the storms the network is calm."""

    @property
    def any(self) -> bool:
        """Whether anything goes wrong at all."""
        return any(
            (self.loss, self.repetition, self.spike, self.crashes, self.cuts, self.partitions, self.steps)
        )


NONE: Final = Faults(storm=0.0)
MILD: Final = Faults(
    loss=0.01, repetition=0.02, spike=0.01, crashes=0.2, cuts=1.0, partitions=0.2, skew=500, steps=0.2, disk=5
)
ROUGH: Final = Faults(
    loss=0.1,
    repetition=0.1,
    latency=400,
    spike=0.05,
    late=20_000,
    crashes=3.0,
    cuts=10.0,
    partitions=1.0,
    skew=2_400,
    steps=1.0,
    disk=20,
)
PRESETS: Final[Mapping[str, Faults]] = {"none": NONE, "mild": MILD, "rough": ROUGH}


def drawn(chance: random.Random) -> Faults:
    """A mixture from mild to rough."""
    return Faults(
        loss=chance.choice([0.0, 0.02, 0.1, 0.25]),
        repetition=chance.choice([0.0, 0.05, 0.2]),
        latency=chance.choice([20, 100, 400, 1_500]),
        spike=chance.choice([0.0, 0.02, 0.1]),
        late=chance.choice([2_000, 8_000, 30_000]),
        crashes=chance.choice([0.0, 0.5, 3.0]),
        away=chance.choice([2_000, 30_000, 300_000]),
        cuts=chance.choice([0.0, 2.0, 20.0]),
        partitions=chance.choice([0.0, 0.5, 2.0]),
        apart=chance.choice([10_000, 120_000, 900_000]),
        skew=chance.choice([0, 500, 2_400]),
        steps=chance.choice([0.0, 1.0]),
        disk=chance.choice([0, 20]),
        storm=chance.choice([0.4, 0.6]),
    )


_SHARES: Final = frozenset({"loss", "repetition", "spike", "storm"})


def parse(text: str) -> Faults | None:
    """Faults as text: ``none``, ``mild``, ``rough``, then ``name=value`` after commas; ``drawn`` is ``None``.

    ``None`` means that each seed draws its own.  Raises :class:`FaultError`.
    """
    if text == "drawn":
        return None
    faults = NONE
    known = fields_dict(Faults)
    for number, part in enumerate(filter(None, (part.strip() for part in text.split(",")))):
        name, equals, value = part.partition("=")
        if not equals:
            if number or name not in PRESETS:
                raise FaultError(f"no such faults: {name}; there are drawn, {', '.join(PRESETS)}, name=value")
            faults = PRESETS[name]
            continue
        if name not in known:
            raise FaultError(f"no such fault: {name}; there are {', '.join(known)}")
        try:
            number_of: Any = int(value) if known[name].type in {"int", int} else float(value)
        except ValueError:
            raise FaultError(f"{name} is a number, not {value}") from None
        if not 0 <= number_of < math.inf:
            raise FaultError(f"{name} is a number, and not below 0")
        if name in _SHARES and number_of > 1:
            raise FaultError(f"{name} is a share, from 0 to 1")
        faults = evolve(faults, **{name: number_of})
        if faults.storm == 0.0 and name != "storm":
            faults = evolve(faults, storm=Faults().storm)
    return faults


def text(faults: Faults) -> str:
    """What :func:`parse` reads back."""
    given = [
        f"{name}={getattr(faults, name):g}"
        for name, attribute in fields_dict(Faults).items()
        if getattr(faults, name) != attribute.default
    ]
    preset = next((name for name, known in PRESETS.items() if known == faults), None)
    if preset is not None:
        return preset
    return ",".join([*given, f"storm={faults.storm:g}"])
