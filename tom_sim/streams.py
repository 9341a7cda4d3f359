"""A tree of random generators that grows from one seed; every purpose has its own branch.

A branch is named, not counted: drawing more for one purpose changes nothing for another, so a run stays
comparable when a fault or a liar is added.
"""

from __future__ import annotations

import hashlib
import random
from typing import Final

_LABEL: Final = b"ToM simulation stream"


class Streams:
    """The branch of ``seed`` with these names."""

    def __init__(self, seed: int, *path: str | int) -> None:
        self.seed = seed
        self.path = path

    def branch(self, *names: str | int) -> Streams:
        """The branch below this one."""
        return Streams(self.seed, *self.path, *names)

    def key(self, *names: str | int) -> bytes:
        """32 bytes that belong to the branch below this one."""
        parts = [_LABEL, str(self.seed).encode()]
        parts += [f"{type(name).__name__}:{name}".encode() for name in (*self.path, *names)]
        return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()

    def chance(self, *names: str | int) -> random.Random:
        """A generator for the branch below this one; equal names give equal draws."""
        return random.Random(int.from_bytes(self.key(*names), "big"))  # noqa: S311 - to be repeated
