"""ToM, The Open Messaging: the reference implementation of ToM/1.

The modules compute and never do I/O; only :mod:`tom_ref.drivers` touches sockets, clocks and entropy.

For applications, :func:`open_node` is all that is needed; see :mod:`tom_ref.drivers.library`.  The names
below are loaded when they are first used, so that importing the package stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tom_ref.drivers.errors import (
        AddressError,
        ClockError,
        DriverError,
        ListenError,
        NodeStoppedError,
        NoRoomError,
        NotDelivered,
        SecretFileError,
        StoreError,
    )
    from tom_ref.drivers.library import Delivery, Message, OpenNode, open_node
    from tom_ref.effects import DeliveryState, Progress, Report
    from tom_ref.errors import LocalError, ProtocolError, Reason
    from tom_ref.inputs import CommandError

__all__ = [
    "AddressError",
    "ClockError",
    "CommandError",
    "Delivery",
    "DeliveryState",
    "DriverError",
    "ListenError",
    "LocalError",
    "Message",
    "NoRoomError",
    "NodeStoppedError",
    "NotDelivered",
    "OpenNode",
    "Progress",
    "ProtocolError",
    "Reason",
    "Report",
    "SecretFileError",
    "StoreError",
    "open_node",
]

_HOMES: Final = {
    "tom_ref.drivers.errors": (
        "AddressError",
        "ClockError",
        "DriverError",
        "ListenError",
        "NoRoomError",
        "NodeStoppedError",
        "NotDelivered",
        "SecretFileError",
        "StoreError",
    ),
    "tom_ref.drivers.library": ("Delivery", "Message", "OpenNode", "open_node"),
    "tom_ref.effects": ("DeliveryState", "Progress", "Report"),
    "tom_ref.errors": ("LocalError", "ProtocolError", "Reason"),
    "tom_ref.inputs": ("CommandError",),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
