"""Two ports beside each other: the same random inputs for both, the first difference made small and kept."""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from conformance.protocol import Kind, Reply
from conformance.runner import Asked
from conformance.sources.sweeps import bases

KEPT: Final = Path(__file__).with_name("kept")
"""What was found becomes a case of the suite."""


@frozen
class Difference:
    """An input that two ports answer differently."""

    format: str
    data: bytes
    first: Reply
    second: Reply
    asked: int
    """How many inputs it took."""


Ask = Callable[[str, bytes], tuple[Reply, Reply]]


def asking(first: Asked, second: Asked) -> Ask:
    """Both answers to one input; what ``codec.decode`` accepts is encoded again, and both results count."""

    def both(name: str, data: bytes) -> tuple[Reply, Reply]:
        return _answer(first, name, data), _answer(second, name, data)

    return both


def _answer(port: Asked, name: str, data: bytes) -> Reply:
    reply = port.ask("codec.decode", {"format": name, "bytes": data.hex()})
    if reply.kind is not Kind.OK:
        return reply
    again = port.ask("codec.encode", {"format": name, "value": reply.value.get("value")})
    encoded = again.value if again.kind is Kind.OK else {again.kind.value: again.value}
    return Reply(Kind.OK, {**reply.value, "again": encoded})


def differ(one: Reply, other: Reply, *, codes: bool) -> bool:
    """Whether two answers contradict each other; of several broken rules any code is right."""
    if one.kind is not other.kind:
        return True
    if one.kind is Kind.REJECT:
        return codes and one.value != other.value
    return one.kind is Kind.OK and one.value != other.value


def inputs(seed: str) -> Iterator[tuple[str, bytes]]:
    """Values of every format, as they are, then changed at random, without end."""
    chance = random.Random(f"{seed}/diff")  # noqa: S311 - test inputs
    stock = [(base.format, base.data) for base in bases(seed)]
    yield from stock
    while True:
        name, data = chance.choice(stock)
        for _ in range(chance.randint(1, 3)):
            data = _changed(data, chance, stock)
        yield name, data


def _changed(data: bytes, chance: random.Random, stock: list[tuple[str, bytes]]) -> bytes:
    if not data:
        return chance.randbytes(chance.randint(1, 8))
    at = chance.randrange(len(data))
    how = chance.randrange(6)
    if how == 0:
        return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
    if how == 1:
        return data[:at] + bytes((chance.choice((0, 1, 2, 0x7F, 0x80, 0xFF)),)) + data[at + 1 :]
    if how == 2:
        return data[:at]
    if how == 3:
        return data[:at] + chance.randbytes(chance.randint(1, 4)) + data[at:]
    if how == 4:
        return data[:at] + data[at + chance.randint(1, 8) :]
    other = chance.choice(stock)[1]
    return data[:at] + other[chance.randrange(len(other) + 1) :]


def search(ask: Ask, seed: str, most: int, *, codes: bool = False) -> Difference | None:
    """The first difference among so many inputs, made small."""
    for number, (name, data) in enumerate(inputs(seed), 1):
        if number > most:
            return None
        first, second = ask(name, data)
        if differ(first, second, codes=codes):
            small = shrunk(data, functools.partial(_still, ask, name, codes))
            return Difference(name, small, *ask(name, small), number)
    return None


def _still(ask: Ask, name: str, codes: bool, trial: bytes) -> bool:  # noqa: FBT001 - for partial
    return differ(*ask(name, trial), codes=codes)


def shrunk(data: bytes, still: Callable[[bytes], bool]) -> bytes:
    """The smallest bytes that a patient search finds for which something still holds."""
    size = max(1, len(data) // 2)
    while size:
        at = 0
        while at < len(data):
            trial = data[:at] + data[at + size :]
            if still(trial):
                data = trial
            else:
                at += size
        size //= 2
    for at in range(len(data)):
        for value in (0, 1):
            if data[at] > value:
                trial = data[:at] + bytes((value,)) + data[at + 1 :]
                if still(trial):
                    data = trial
                    break
    return data


def keep(found: Difference, folder: Path = KEPT) -> Path:
    """Write a difference as a case; the reference implementation says what is right."""
    name = f"kept-{found.format}-{hashlib.sha256(found.data).hexdigest()[:8]}"
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"id": name, "format": found.format, "bytes": found.data.hex(), "about": said(found)}
    path.write_text(
        json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return path


def said(found: Difference) -> str:
    """The difference in one line."""
    return f"{len(found.data)} bytes of {found.format}: {brief(found.first)}, and {brief(found.second)}"


def brief(reply: Reply) -> str:
    """An answer in a few words."""
    value: Any = reply.value
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return f"{reply.kind.value} {text[:120]}".strip()
