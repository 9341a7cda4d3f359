"""The chapter *Notation*: hashing with labels, order of bytes, time, and the deterministic test profile."""

from __future__ import annotations

import ast
import hmac
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tom_ref import crypto
from tom_ref.constants import Purpose
from tom_ref.drivers.system import DeterministicEntropy

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = (ROOT / "spec" / "02-notation.md").read_text(encoding="utf-8")

labels = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40).map("ToM/1 ".__add__)


def worked_example() -> bytes:
    """The bytes printed in the chapter, comments left out."""
    block = re.search(r"```\n(0d .*?)```", CHAPTER, re.DOTALL)
    assert block is not None
    return bytes.fromhex("".join(re.split(r"\s{3,}", line)[0] for line in block[1].splitlines()))


def test_the_worked_example_is_right() -> None:
    """TOM-ID-001, TOM-NOTATION-004: the bytes and the hash that the chapter prints."""
    encoded = crypto.labelled("ToM/1 example", b"ab", b"")
    assert worked_example() == encoded
    assert len(encoded) == 24
    assert f"`{crypto.sha256(encoded).hex()}`" in CHAPTER


@pytest.mark.parametrize(
    "label", ["", "ToM/1", "tom/1 x", "ToM/2 x", " ToM/1 x", "ToM/1 ü", "ToM/1 " + "x" * 250]
)
def test_a_label_of_another_form_is_refused(label: str) -> None:
    """TOM-ID-002: ASCII, the prefix with its space, at most 255 bytes."""
    with pytest.raises(ValueError, match="label"):
        crypto.labelled(label)


def test_the_longest_label_is_accepted() -> None:
    """TOM-ID-002: 255 bytes are allowed."""
    label = "ToM/1 " + "x" * 249
    assert crypto.labelled(label) == b"\xff" + label.encode()


@given(
    labels, st.lists(st.binary(max_size=20), max_size=4), labels, st.lists(st.binary(max_size=20), max_size=4)
)
def test_two_calls_agree_only_on_equal_arguments(
    label: str, parts: list[bytes], other_label: str, other_parts: list[bytes]
) -> None:
    """TOM-ID-001: the encoding is injective."""
    same = (label, parts) == (other_label, other_parts)
    assert (crypto.labelled(label, *parts) == crypto.labelled(other_label, *other_parts)) == same


@given(labels, st.binary(max_size=20), st.binary(max_size=20))
def test_where_parts_are_cut_matters(label: str, first: bytes, second: bytes) -> None:
    """TOM-ID-001: the same bytes as one part or as two are told apart."""
    assert crypto.labelled(label, first + second) != crypto.labelled(label, first, second)


def labelled_calls() -> dict[str, set[int]]:
    """For every label that tom_ref passes literally to labelled(): the numbers of parts it is used with."""
    found: dict[str, set[int]] = {}
    for path in sorted((ROOT / "tom_ref").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            first = node.args[0]
            if name == "labelled" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.setdefault(first.value, set()).add(len(node.args) - 1)
    return found


def test_every_label_has_one_number_of_parts() -> None:
    """TOM-ID-002: one purpose for each label."""
    calls = labelled_calls()
    assert calls
    assert {label: counts for label, counts in calls.items() if len(counts) != 1} == {}


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_byte_strings_are_ordered_by_their_first_difference(left: bytes, right: bytes) -> None:
    """TOM-NOTATION-002: unsigned bytes, the beginning of a string before the string."""
    expected = next((a < b for a, b in zip(left, right, strict=False) if a != b), len(left) < len(right))
    assert (left < right) == expected


def printed_draws() -> list[tuple[str, int, int, bytes]]:
    """The table of draws in the chapter: purpose, n, length, bytes."""
    rows = re.findall(r"^\| `([a-z/]+)` \| (\d+) \| (\d+) \| `([0-9a-f]+)` \|$", CHAPTER, re.MULTILINE)
    return [(purpose, int(n), int(length), bytes.fromhex(drawn)) for purpose, n, length, drawn in rows]


def draw_by_hand(seed: bytes, purpose: str, n: int, length: int) -> bytes:
    """The formula of TOM-NOTATION-012 with RFC 5869 written out, for up to 32 bytes."""
    info = b""
    for size, part in ((1, b"ToM/1 test entropy"), (4, purpose.encode("ascii")), (4, n.to_bytes(8, "big"))):
        info += len(part).to_bytes(size, "big") + part
    pseudorandom = hmac.digest(bytes(32), seed, "sha256")
    return hmac.digest(pseudorandom, info + b"\x01", "sha256")[:length]


def test_draws_of_the_test_profile_follow_from_the_seed() -> None:
    """TOM-NOTATION-011, TOM-NOTATION-012: by name, in order within a name, as printed in the chapter."""
    seed = bytes(range(32))
    entropy = DeterministicEntropy(seed)
    rows = printed_draws()
    assert len(rows) == 3
    for purpose, n, length, expected in rows:
        assert entropy(purpose, length) == expected
        assert draw_by_hand(seed, purpose, n, length) == expected


@given(st.permutations([purpose for purpose in Purpose for _ in range(2)]))
def test_the_order_of_different_purposes_is_free(order: list[Purpose]) -> None:
    """TOM-NOTATION-011: only the order within one purpose counts."""
    entropy = DeterministicEntropy(bytes(32))
    drawn: dict[str, list[bytes]] = {}
    for purpose in order:
        drawn.setdefault(purpose, []).append(entropy(purpose, 16))
    for name, values in drawn.items():
        assert values == [draw_by_hand(bytes(32), name, n, 16) for n in (0, 1)]


def test_no_two_draws_are_the_same() -> None:
    """TOM-NOTATION-009: neither within a purpose nor across purposes."""
    entropy = DeterministicEntropy(bytes(32))
    drawn = [entropy(purpose, 32) for purpose in Purpose for _ in range(8)]
    assert len(set(drawn)) == len(drawn)
