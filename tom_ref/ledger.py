"""The ledger: what deliveries move between balances, how balances fade, and the work that a debt costs.

Whole numbers in, whole numbers out; who is who, and whether a delivery is proved, is settled before
(:mod:`tom_ref.records`).  Whatever happens here, balances and pot together stay what they were: what one
side loses the other gains (TOM-BALANCE-001).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from tom_ref import constants, crypto
from tom_ref.crypto import labelled, leading_zero_bits, sha256


@frozen
class Charge:
    """One delivery that counts: ``sender`` used ``relay`` for ``size`` bytes (TOM-BALANCE-002, 003)."""

    sender: bytes
    relay: bytes
    size: int


def allowance(balance: int) -> int:
    """How many bytes of one sender's messages earn credit in one term (TOM-BALANCE-006).

    A debtor gives less, and nobody more than ``ALLOWANCE``: who sends to an accomplice through an accomplice
    moves no more than that, whatever it sends.
    """
    return min(constants.ALLOWANCE, max(0, constants.ALLOWANCE + balance))


def faded(balance: int, elapsed: int) -> int:
    """A balance after ``elapsed`` ms: closer to zero, rounded towards zero (TOM-BALANCE-007)."""
    left = constants.DECAY - min(elapsed, constants.DECAY)
    size = abs(balance) * left // constants.DECAY
    return size if balance >= 0 else -size


def settle(balances: Mapping[bytes, int], charges: Iterable[Charge], elapsed: int) -> dict[bytes, int]:
    """The balances of the next record, before anybody leaves (TOM-BALANCE-004 to 007).

    ``balances`` are those of the present record, by NodeId; ``charges`` come ascending by message id and name
    only nodes with a balance; ``elapsed`` is the time in ms between the two records' starts.  The pot takes
    the difference of the sums.
    """
    settled = {node: faded(balance, elapsed) for node, balance in balances.items()}
    left = {node: allowance(balance) for node, balance in balances.items()}
    for charge in charges:
        credit = min(charge.size, left[charge.sender])
        left[charge.sender] -= credit
        settled[charge.sender] -= charge.size
        settled[charge.relay] += credit
    return settled


# --- progressive load -----------------------------------------------------------------------------------


def work_bits(balance: int) -> int:
    """The leading zero bits that relays ask of a sender with this balance (TOM-BALANCE-010).

    Nothing while the sender is not in debt; from then on one bit more for each doubling of the debt.
    """
    if balance >= 0:
        return 0
    doublings = ((constants.LOAD_UNIT - balance) // constants.LOAD_UNIT).bit_length() - 1
    return min(constants.WORK_FIRST_BITS + doublings, constants.WORK_MOST_BITS)


def _work(message: bytes, nonce: int) -> bytes:
    return labelled("ToM/1 work", message, nonce.to_bytes(8, "big"))


def work_done(message: bytes, nonce: int) -> int:
    """The leading zero bits of the work that a nonce shows for a message id (TOM-BALANCE-009)."""
    return leading_zero_bits(sha256(_work(message, nonce)))


def search_work(message: bytes, bits: int, first: int, tries: int) -> int | None:
    """The first of ``tries`` nonces from ``first`` on that shows ``bits`` zero bits; ``None`` if none does.

    A search in bounded parts, so that a node goes on with its other business in between.
    """
    return crypto.find_work(_work(message, first), bits, tries)
