"""What can go wrong around a node: errors that a person can act on.

Their text is one plain sentence that says what happened and what to do; the command line prints it as it is.
"""

from __future__ import annotations

from tom_ref.errors import LocalError


class DriverError(LocalError):
    """The base of everything below."""


# --- files --------------------------------------------------------------------------------------------


class SecretFileError(DriverError):
    """The secret file can't be read or written, or its permissions are too wide."""


class StoreError(DriverError):
    """The store can't be used.  A running node stops, since memory and disk must not drift apart."""


class StoreFullError(StoreError):
    """There is no room on the disk."""


class StoreReadOnlyError(StoreError):
    """The store, its folder or its disk can't be written to."""


class StoreCorruptError(StoreError):
    """The file is no store of ToM, or is damaged."""


class StoreMismatchError(StoreError):
    """The store belongs to another node or to a later version of ToM."""


class ClockError(DriverError):
    """The computer's clock is behind a time at which this node already ran."""


# --- network ------------------------------------------------------------------------------------------


class AddressError(DriverError):
    """A text is not an address of the expected form."""


class ListenError(DriverError):
    """The node can't listen at this address (in use, not this computer's, not permitted)."""


class ControlError(DriverError):
    """A running node can't be steered: there is none, or its socket isn't safe to use."""


class UnreachableError(DriverError):
    """No connection to this address could be made."""


# --- the library --------------------------------------------------------------------------------------


class NodeStoppedError(DriverError):
    """The node doesn't run any more; ``__cause__`` is the reason if it was not asked to stop."""


class NoRoomError(DriverError):
    """Too many messages wait for a receipt; wait for room, or use ``send``, which does."""


class NotDelivered(DriverError):  # noqa: N818 - reads as what it says: await delivery.delivered()
    """No receipt was seen before the message expired.  It may have arrived all the same."""
