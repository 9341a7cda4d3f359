"""What a member carries for its guests: no record lists them, no ledger charges them (TOM-BALANCE-016)."""

from __future__ import annotations

from attrs import define, field

from tom_ref import constants
from tom_ref.errors import ProtocolError, Reason


@define
class Guests:
    """The bytes carried for each guest in one term; a new term begins at nothing."""

    _term: tuple[bytes, int] | None = None
    _carried: dict[bytes, int] = field(factory=dict)

    def carry(self, term: tuple[bytes, int], guest: bytes, size: int) -> None:
        """Count ``size`` bytes more for a guest in the present term, named by its subnet and number.

        Raises :class:`ProtocolError` with ``OVERLOADED`` when the guest, or all guests together, would have
        more than their share of the term; nothing is counted then.  Reference: TOM-BALANCE-016.
        """
        if term != self._term:
            self._term, self._carried = term, {}
        carried = self._carried.get(guest, 0)
        if carried + size > constants.GUEST_BYTES:
            raise ProtocolError(Reason.OVERLOADED, "the guest's share of this term is used up")
        if sum(self._carried.values()) + size > constants.GUESTS_BYTES or (
            not carried and len(self._carried) >= constants.MAX_GUESTS
        ):
            raise ProtocolError(Reason.OVERLOADED, "the guests' share of this term is used up")
        self._carried[guest] = carried + size
