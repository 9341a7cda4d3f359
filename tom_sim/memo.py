"""What many nodes in one process would compute many times: pure functions, remembered by their arguments.

Every node of a run decodes the same frames, verifies the same signatures and proofs, and computes the same
record from the same evidence.  Each of these is a pure function of bytes or frozen values, so one answer
serves all: nothing is skipped, it is only not computed again.  What fails is never remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from tom_ref import codec, crypto, records, term_codec, vrf

SIGNATURES: Final = 20_000
FRAMES: Final = 4_000
RECORDS: Final = 512

_PURE: Final[tuple[tuple[Any, str, int], ...]] = (
    (codec, "decode_frame", FRAMES),
    (vrf, "verify", RECORDS),
    (term_codec, "encode_record", RECORDS),
    (term_codec, "encode_evidence", RECORDS),
    (term_codec, "encode_block_header", FRAMES),
    (records, "record_hash", RECORDS),
    (records, "evidence_hash", RECORDS),
    (records, "block_hash", FRAMES),
)


@contextmanager
def shared() -> Iterator[None]:
    """Within this context all nodes of the process share what they compute."""
    kept: list[tuple[Any, str, Callable[..., Any]]] = []
    crypto.remember_verifications(SIGNATURES)
    for module, name, most in _PURE:
        function = getattr(module, name)
        kept.append((module, name, function))
        setattr(module, name, lru_cache(maxsize=most)(function))
    try:
        yield
    finally:
        crypto.remember_verifications(0)
        for module, name, function in kept:
            setattr(module, name, function)
