"""What many nodes in one process would compute many times: pure functions, remembered by their arguments.

Every node of a run decodes the same frames, verifies the same signatures and proofs, and computes the same
record from the same evidence.  Each of these is a pure function of bytes or frozen values, so one answer
serves all: nothing is skipped, it is only not computed again.  What fails is never remembered.

Large values are recognized by their identity, not compared: since all nodes share what they decode, the same
frame is the same object with all of them.
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
    (term_codec, "encode_block_header", FRAMES),
    (records, "block_hash", FRAMES),
)

_OF_ONE: Final[tuple[tuple[Any, str, int], ...]] = (
    (codec, "encode_frame", FRAMES),
    (term_codec, "encode_record", RECORDS),
    (term_codec, "encode_evidence", RECORDS),
    (records, "record_hash", RECORDS),
    (records, "evidence_hash", RECORDS),
)
"""Functions of one large frozen value."""


def _same(function: Callable[[Any], Any], most: int) -> Callable[[Any], Any]:
    """A function of one frozen value, remembered by the value's identity; the oldest answers go."""
    answers: dict[int, tuple[Any, Any]] = {}

    def remembering(value: Any) -> Any:
        held = answers.get(id(value))
        if held is not None:
            return held[1]
        answer = function(value)
        if len(answers) >= most:
            del answers[next(iter(answers))]
        answers[id(value)] = value, answer  # As long as the value is held, nothing else has its identity.
        return answer

    return remembering


def _same_next_record(function: Callable[..., Any]) -> Callable[..., Any]:
    """:func:`tom_ref.records.next_record`, remembered by its present record's hash and its evidence."""
    answers: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def remembering(roles: Any, present: bytes, evidence: Any, **of_block: Any) -> Any:
        key = present, id(evidence), *sorted(of_block.items())
        held = answers.get(key)
        if held is not None:
            return held[1]
        answer = function(roles, present, evidence, **of_block)
        if len(answers) >= RECORDS:
            del answers[next(iter(answers))]
        answers[key] = evidence, answer
        return answer

    return remembering


@contextmanager
def shared() -> Iterator[None]:
    """Within this context all nodes of the process share what they compute."""
    kept: list[tuple[Any, str, Callable[..., Any]]] = []
    crypto.remember_verifications(SIGNATURES)
    for module, name, most in _PURE:
        function = getattr(module, name)
        kept.append((module, name, function))
        setattr(module, name, lru_cache(maxsize=most)(function))
    for module, name, most in _OF_ONE:
        function = getattr(module, name)
        kept.append((module, name, function))
        setattr(module, name, _same(function, most))
    kept.append((records, "next_record", records.next_record))
    setattr(records, "next_record", _same_next_record(records.next_record))  # noqa: B010 - as above
    try:
        yield
    finally:
        crypto.remember_verifications(0)
        for module, name, function in kept:
            setattr(module, name, function)
