"""A case: a few requests to a port, with what it has to answer.  And how an answer is compared.

In what is expected, an object with one of these names stands for a rule instead of a value:

``{"$bind": name}``      anything; later steps may use it in their parameters as ``{"$ref": name}``
``{"$any": true}``       anything
``{"$absent": true}``    the member must not be there
``{"$unordered": [...]}`` a list with these items in any order
``{"$effects": [...], "$undialled": [...]}``  the effects of a step in any order; dials and questions for
                         descriptors, which a port makes as it likes, aside, but for dials of these nodes;
                         with ``"$sought": [...]`` nodes that were dialled since the last step that has it
``{"$opens_as": {...}}`` a ciphertext that the runner opens with ``tom_ref``: ``key``, ``nonce``,
                         ``associated`` and the ``plaintext`` it must hold, as hex
``{"$block": {...}}``    a frame with a block that the port proposes itself, with evidence of its choice:
                         ``present`` (the record), ``slot`` and ``parent`` (a block header, or empty)
``{"$vote": {...}}``     the port's vote for its own block of ``slot`` over ``present``
``{"$worked": {...}}``   an envelope or a join like ``frame`` but for its nonce, which shows ``bits``
                         zero bits
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from conformance.proposed import block_fault, vote_fault, work_fault
from conformance.protocol import Kind, Reply
from tom_ref.crypto import open_sealed
from tom_ref.errors import ProtocolError


class Polarity(enum.StrEnum):
    """Whether a case shows what must be taken, or what must be refused."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


@frozen
class Expect:
    """What a step has to be answered with."""

    kind: Kind
    value: Any = None
    codes: frozenset[str] = frozenset()
    """For ``reject``: any of these."""

    def describe(self) -> str:
        """For people."""
        if self.kind is Kind.REJECT:
            return "reject with " + " or ".join(sorted(self.codes))
        return self.kind.value


def ok(value: Any) -> Expect:
    """The step succeeds with this result."""
    return Expect(Kind.OK, value)


def reject(*codes: str) -> Expect:
    """The step is refused with one of these codes."""
    return Expect(Kind.REJECT, codes=frozenset(codes))


@frozen
class Step:
    """One request and the answer expected."""

    cmd: str
    p: Mapping[str, Any] = field(hash=False)
    expect: Expect = field(hash=False)


@frozen
class Case:
    """One case.  ``id`` is never given to another case."""

    id: str
    level: int
    requirements: tuple[str, ...]
    polarity: Polarity
    about: str
    steps: tuple[Step, ...] = field(hash=False, repr=False)
    pair: str = ""
    """For a negative case: the id of a positive one that differs as little as possible."""
    source: str = "hand"
    derived: bool = False
    """Whether its bytes follow from the seed of the run."""
    model: str = ""
    """The behaviour of a model that it replays."""

    @property
    def commands(self) -> frozenset[str]:
        """What a port must support to run it."""
        return frozenset(step.cmd for step in self.steps)


LEVELS: Final[Mapping[int, str]] = {
    0: "smoke: the adapter answers",
    1: "codec: the wire format",
    2: "cryptography and identity",
    3: "link handshake and records",
    4: "sessions; what one hop checks",
    5: "roles: draft, terms, records",
    6: "purge, custody, balance",
    7: "conversations of several nodes",
}
PROFILES: Final[Mapping[str, frozenset[int]]] = {
    "smoke": frozenset({0}),
    "codec": frozenset(range(3)),
    "core": frozenset(range(5)),
    "full": frozenset(range(8)),
}


_FRAMES: Final[Mapping[str, Callable[[Mapping[str, Any], Any, dict[str, Any]], str]]] = {
    "$block": block_fault,
    "$vote": vote_fault,
    "$worked": work_fault,
}
"""What a port sends in bytes of its own choice, by the name of the rule that stands for it."""
_DIALLED: Final = "$dialled"
"""The name by which the nodes are bound that were dialled since ``$sought`` was looked at last."""


def compare(expect: Expect, reply: Reply, bound: dict[str, Any]) -> list[str]:
    """Where a reply differs from what was expected, one line each; empty when it is right."""
    if reply.kind is not expect.kind:
        said = f" {reply.value}" if reply.kind is not Kind.OK and reply.value is not None else ""
        return [f"{reply.kind.value}{said}, not {expect.describe()}"]
    if expect.kind is Kind.REJECT and reply.value not in expect.codes:
        return [f"reject {reply.value}, not {' or '.join(sorted(expect.codes))}"]
    if expect.kind is Kind.OK:
        faults: list[str] = []
        _match(expect.value, reply.value, "", bound, faults)
        return faults
    return []


def filled(value: Any, bound: Mapping[str, Any]) -> Any:
    """Parameters with what earlier steps bound; raises ``KeyError`` for a name that none did."""
    if isinstance(value, dict):
        if "$ref" in value and len(value) == 1:
            return bound[value["$ref"]]
        return {name: filled(item, bound) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(item, bound) for item in value]
    return value


def _match(expected: Any, actual: Any, path: str, bound: dict[str, Any], faults: list[str]) -> None:
    if isinstance(expected, dict) and len(expected) == 1:
        (name, argument), *_ = expected.items()
        if name == "$any":
            return
        if name == "$bind":
            bound[argument] = actual
            return
        if name == "$unordered":
            _match_unordered(argument, actual, path, bound, faults)
            return
        if name == "$opens_as":
            _match_sealed(argument, actual, path, faults)
            return
        if name in _FRAMES:
            fault = _FRAMES[name](argument, actual, bound)
            faults.extend([f"{path}: {fault}"] if fault else [])
            return
    if isinstance(expected, dict) and "$effects" in expected and "$undialled" in expected:
        _match_effects(expected, actual, path, bound, faults)
    elif isinstance(expected, dict):
        _match_object(expected, actual, path, bound, faults)
    elif isinstance(expected, (list, tuple)):
        if not isinstance(actual, list) or len(actual) != len(expected):
            faults.append(f"{path or 'result'}: {_brief(actual)}, not a list of {len(expected)}")
            return
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            _match(one, other, f"{path}[{index}]", bound, faults)
    elif type(expected) is not type(actual) or expected != actual:
        faults.append(f"{path or 'result'}: {_brief(actual)}, not {_brief(expected)}")


def _match_effects(
    expected: Mapping[str, Any], actual: Any, path: str, bound: dict[str, Any], faults: list[str]
) -> None:
    judged = [item for item in actual if not _free(item)] if isinstance(actual, list) else actual
    _match_unordered(expected["$effects"], judged, path, bound, faults)
    dialled = {
        str(item.get("node_id")) for item in actual if isinstance(item, dict) and item.get("is") == "Dial"
    }
    faults.extend(
        f"{path}: dials {node}, to which it has a link" for node in expected["$undialled"] if node in dialled
    )
    sought = bound[_DIALLED] = bound.get(_DIALLED, frozenset()) | dialled
    if "$sought" in expected:
        bound[_DIALLED] = frozenset()
        missing = [node for node in expected["$sought"] if node not in sought]
        faults.extend(f"{path}: has not dialled {node}" for node in missing)


def _free(effect: Any) -> bool:
    """What a port may do whenever it likes: dial, and ask for a descriptor (TOM-CONF-031)."""
    if not isinstance(effect, dict):
        return False
    asks = effect.get("is") == "SendFrame" and str(effect.get("data", "")).startswith("05")
    return effect.get("is") == "Dial" or asks


def _match_object(
    expected: Mapping[str, Any], actual: Any, path: str, bound: dict[str, Any], faults: list[str]
) -> None:
    if not isinstance(actual, dict):
        faults.append(f"{path or 'result'}: {_brief(actual)}, not an object")
        return
    for name, value in expected.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict) and "$absent" in value and len(value) == 1:
            if name in actual:
                faults.append(f"{here}: there, and must not be")
        elif name not in actual:
            faults.append(f"{here}: missing")
        else:
            _match(value, actual[name], here, bound, faults)
    if not actual.keys() <= expected.keys():
        faults.extend(f"{path}.{name}: not asked for" for name in actual.keys() - expected.keys())


def _match_unordered(
    expected: Sequence[Any], actual: Any, path: str, bound: dict[str, Any], faults: list[str]
) -> None:
    if not isinstance(actual, list) or len(actual) != len(expected):
        faults.append(f"{path}: {_brief(actual)}, not {len(expected)} items")
        return
    left = list(actual)
    for item in expected:
        for candidate in left:
            trial: list[str] = []
            trial_bound = dict(bound)
            _match(item, candidate, path, trial_bound, trial)
            if not trial:
                bound.update(trial_bound)
                left.remove(candidate)
                break
        else:
            faults.append(f"{path}: nothing like {_brief(item)}")


def _match_sealed(argument: Mapping[str, Any], actual: Any, path: str, faults: list[str]) -> None:
    try:
        key, nonce, associated = (bytes.fromhex(argument[name]) for name in ("key", "nonce", "associated"))
        plaintext = open_sealed(key, nonce, bytes.fromhex(actual), associated)
    except (ProtocolError, ValueError, TypeError) as error:
        faults.append(f"{path}: doesn't open: {error}")
        return
    if plaintext.hex() != argument["plaintext"]:
        faults.append(f"{path}: opens as {_brief(plaintext.hex())}, not {_brief(argument['plaintext'])}")


def _brief(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
