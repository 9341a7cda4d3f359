"""How test vectors are replayed against tom_ref: one function for each algorithm, by module.

A module here has a dictionary ``REPLAY``: algorithm → function from a case's ``input`` to its ``output``; it
raises ``ProtocolError`` for an input that is to be refused.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

Replay = Callable[[dict[str, Any]], dict[str, Any]]


def gather() -> dict[str, Replay]:
    """Every registered algorithm; two modules must not claim one."""
    found: dict[str, Replay] = {}
    for module in pkgutil.iter_modules(__path__):
        registered = importlib.import_module(f"{__name__}.{module.name}").REPLAY
        assert not found.keys() & registered.keys(), module.name
        found.update(registered)
    return found
