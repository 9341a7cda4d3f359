"""The whole suite: every case of every source for one seed, checked before anybody is judged by it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from conformance.case import LEVELS, Case, Polarity
from conformance.protocol import Kind
from conformance.sources import blocks, hand, kept, nodes, scenes, sweeps, vectors
from conformance.sources.sweeps import SuiteError
from tom_ref.errors import Reason

SPEC: Final = Path(__file__).resolve().parents[1] / "spec"
LEAST_CASES: Final = 2_500
LEAST_NEGATIVE: Final = 0.6
LEAST_DERIVED: Final = 0.25


@frozen
class Requirement:
    """A rule as the specification has it."""

    id: str
    level: str
    chapter: str
    sentence: str
    anchor: str


@cache
def requirements() -> Mapping[str, Requirement]:
    """Every requirement by its id, in the order of the specification."""
    content = json.loads((SPEC / "requirements.json").read_text(encoding="utf-8"))
    return {
        one["id"]: Requirement(one["id"], one["level"], one["chapter"], one["sentence"], one["anchor"])
        for one in content["requirements"]
    }


@cache
def suite(seed: str, *, fresh: bool = False) -> tuple[Case, ...]:
    """Every case, by id; raises :class:`SuiteError` when the suite contradicts itself.

    With ``fresh`` the scenes of whole subnets are played anew from the seed as well.
    """
    return _checked(
        (
            *hand.cases(seed),
            *vectors.cases(),
            *sweeps.cases(seed),
            *blocks.cases(seed),
            *nodes.cases(seed),
            *scenes.cases(seed, fresh=fresh),
            *kept.cases(),
        )
    )


@cache
def smoke_suite(seed: str) -> tuple[Case, ...]:
    """The cases of level 0 alone, which are there at once."""
    return _checked(tuple(case for case in hand.cases(seed) if case.level == 0))


def _checked(made: tuple[Case, ...]) -> tuple[Case, ...]:
    faults = list(problems(made))
    if faults:
        raise SuiteError("\n".join(faults[:20]))
    return tuple(sorted(made, key=lambda case: case.id))


def problems(cases: Sequence[Case]) -> Iterator[str]:
    """What is wrong with the cases, one line each."""
    known = requirements()
    codes = {reason.value for reason in Reason}
    by_id = {case.id: case for case in cases}
    for name, count in Counter(case.id for case in cases).items():
        if count > 1:
            yield f"{name}: {count} cases have this id"
    for case in cases:
        for rule in case.requirements:
            if rule not in known:
                yield f"{case.id}: no requirement {rule}"
        if not case.requirements or not case.steps or case.level not in LEVELS:
            yield f"{case.id}: without requirement, step or level"
        for step in case.steps:
            if step.expect.kind is Kind.REJECT and (not step.expect.codes or not step.expect.codes <= codes):
                yield f"{case.id}: {sorted(step.expect.codes)} are no reason codes"
        if case.polarity is Polarity.NEGATIVE:
            pair = by_id.get(case.pair)
            if pair is None or pair.polarity is not Polarity.POSITIVE:
                yield f"{case.id}: its pair {case.pair!r} is no positive case"
            if case.steps[-1].expect.kind is Kind.ERROR:
                yield f"{case.id}: nobody may be expected to fail"
        elif case.pair:
            yield f"{case.id}: a positive case has no pair"


def proportions(cases: Sequence[Case]) -> Iterator[str]:
    """Where the suite falls short of what it promises."""
    negative = sum(case.polarity is Polarity.NEGATIVE for case in cases)
    derived = sum(case.derived for case in cases)
    for frame in sweeps.unswept():
        yield f"no sweep makes the frame {frame}"
    if len(cases) < LEAST_CASES:
        yield f"{len(cases)} cases, at least {LEAST_CASES} are promised"
    if negative < LEAST_NEGATIVE * len(cases):
        yield f"{negative} of {len(cases)} cases are negative"
    if derived < LEAST_DERIVED * len(cases):
        yield f"{derived} of {len(cases)} cases follow from the seed"


def digest(cases: Sequence[Case]) -> str:
    """SHA-256 over every case, what is expected included."""
    hasher = hashlib.sha256()
    for case in cases:
        content: list[Any] = [case.id, case.level, case.requirements, case.polarity.value, case.pair]
        for step in case.steps:
            content.append([step.cmd, step.p, step.expect.kind.value, step.expect.value])
            content.append(sorted(step.expect.codes))
        hasher.update(json.dumps(content, sort_keys=True).encode() + b"\n")
    return hasher.hexdigest()


@cache
def suite_digest(seed: str, *, fresh: bool = False, smoke: bool = False) -> str:
    """:func:`digest` of a whole suite, worked out once."""
    return digest(smoke_suite(seed) if smoke else suite(seed, fresh=fresh))


@cache
def specification_digest() -> str:
    """SHA-256 over the chapters."""
    hasher = hashlib.sha256()
    for path in sorted(SPEC.glob("*.md")):
        hasher.update(path.name.encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


def covered(cases: Sequence[Case]) -> dict[str, tuple[set[str], set[str]]]:
    """For each requirement its positive and its negative cases.

    The pair of a negative case keeps the rule that the case breaks, so it counts as a positive one.
    """
    found: dict[str, tuple[set[str], set[str]]] = {rule: (set(), set()) for rule in requirements()}
    for case in cases:
        for rule in case.requirements:
            if case.polarity is Polarity.POSITIVE:
                found[rule][0].add(case.id)
            else:
                found[rule][1].add(case.id)
                found[rule][0].add(case.pair)
    return found
