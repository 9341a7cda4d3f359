"""The commands ``node.*``: whole nodes under the deterministic test profile (TOM-CONF-030 to 039).

A node's inputs and effects are those of the chapter *Conformance*.  What an implementation is free in stays
out of them: the form of its store, what it reports to people, the order of the effects of one step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from conformance.plain import plain, revive
from tom_ref.crypto import Secret32, hkdf, labelled
from tom_ref.effects import (
    CloseLink,
    Deliver,
    Dial,
    Drained,
    Effect,
    Event,
    Invited,
    Persist,
    Progress,
    Report,
    SendFrame,
    Signalled,
    Table,
)
from tom_ref.errors import ProtocolError, Reason
from tom_ref.identity import Identity
from tom_ref.inputs import Wake
from tom_ref.node import Node
from tom_ref.timing import Timing

MOST_NODES: Final = 64
_SHOWN: Final = (CloseLink, Deliver, Dial, Drained, Invited, Progress, SendFrame, Signalled)
_SAID: Final = (
    Event.CLOCK_OFF,
    Event.DISSOLVED,
    Event.FORKED,
    Event.IDENTITY_TWICE,
    Event.MOVED,
    Event.NO_CREDIT,
)
"""What a node has to say to its user."""


class Entropy:
    """Named draws from a seed (TOM-NOTATION-012), unless a step hands in the bytes."""

    def __init__(self, seed: bytes, counts: Mapping[str, int] | None = None) -> None:
        self._seed = seed
        self.counts: dict[str, int] = dict(counts or {})
        self.given: dict[str, list[bytes]] = {}

    def __call__(self, purpose: str, size: int) -> bytes:
        """Draw."""
        name = str(getattr(purpose, "value", purpose))
        if self.given.get(name):
            return self.given[name].pop(0)
        count = self.counts.get(name, 0)
        self.counts[name] = count + 1
        info = labelled("ToM/1 test entropy", name.encode("ascii"), count.to_bytes(8, "big"))
        return hkdf(self._seed, bytes(32), info, size)


class Held:
    """One node with its disk."""

    def __init__(self, given: Mapping[str, Any], disk: dict[tuple[Table, bytes], bytes]) -> None:
        self.given = given
        self.disk = disk
        self.entropy = Entropy(bytes.fromhex(given["seed"]), given.get("draws_made"))
        config = given["config"]
        if config.get("restored_copy", False):
            # What `tom_ref.drivers.store` does when it sees that it is a copy (TOM-SESSION-038).
            for table, key in [place for place in disk if place[0] is Table.SESSION]:
                del disk[table, key]
        self.identity = Identity.from_secret(Secret32(bytes.fromhex(config["secret"])))
        self.node = Node(
            self.identity,
            entropy=self.entropy,
            now=given["now"],
            records=[(table, key, value) for (table, key), value in disk.items()],
            subnet=bytes.fromhex(config["subnet"]),
            timing=_timing(config),
            restored_copy=bool(config.get("restored_copy", False)),
        )

    def step(self, what: Any, now: int) -> dict[str, Any]:
        """Take one input; what becomes of it."""
        return self.told(self.taken(what, now))

    def taken(self, what: Any, now: int) -> tuple[Effect, ...]:
        """Take one input and write what has to be written."""
        made = self.node.step(what, now)
        for effect in made:
            if isinstance(effect, Persist):
                for change in effect.changes:
                    if change.value is None:
                        self.disk.pop((change.table, change.key), None)
                    else:
                        self.disk[change.table, change.key] = change.value
        return made

    def told(self, made: tuple[Effect, ...]) -> dict[str, Any]:
        """What the suite is told of a step."""
        refused = [e.detail for e in made if isinstance(e, Report) and e.event is Event.REFUSED]
        return {
            "effects": [plain(effect) for effect in made if isinstance(effect, _SHOWN)],
            "refused": sorted(code_of(detail) for detail in refused),
            "events": sorted({e.event.value for e in made if isinstance(e, Report) and e.event in _SAID}),
            "deadline": self.node.next_deadline(),
        }


def _timing(config: Mapping[str, Any]) -> Timing | None:
    """What the configuration says about slots, or about EPS alone."""
    if "slot_ms" in config:
        return Timing.fast(config["slot_ms"])
    return Timing(eps=config["eps_ms"]) if "eps_ms" in config else None


def code_of(detail: str) -> str:
    """The reason code at the head of a report's detail."""
    return detail.split(":", 1)[0].split(" ", 1)[0]


def persists_first(effects: tuple[Effect, ...]) -> bool:
    """Whether nothing is done before it is on disk."""
    return not any(isinstance(effect, Persist) for effect in effects[1:])


class Nodes:
    """All nodes of an adapter, by handle."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._next = 1
        self.make = Held

    def clear(self) -> None:
        """Forget them all."""
        self._held.clear()

    def answer(self, command: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one ``node.*`` command."""
        if command == "node.new":
            return self._new(self.make(given, {}))
        if command == "node.restore":
            return self._restore(given)
        held = self._held.get(given["h"]) if isinstance(given.get("h"), str) else None
        if held is None:
            raise ProtocolError(Reason.BAD_VALUE, "no node with this handle")
        if command == "node.step":
            draws = given.get("draws", {})
            held.entropy.given = {
                name: [bytes.fromhex(item) for item in many] for name, many in draws.items()
            }
            return held.step(revive(given["input"]), given["now"])
        if command == "node.advance":
            return held.step(Wake(), given["now"])
        if command == "node.inspect":
            return inspected(held)
        if command == "node.snapshot":
            return {"snapshot": snapshot(held)}
        if command == "node.free":
            del self._held[given["h"]]
            return {}
        raise NotImplementedError(f"no command {command}")

    def _new(self, held: Held) -> dict[str, Any]:
        if len(self._held) >= MOST_NODES:
            raise ProtocolError(Reason.OVERLOADED, f"{MOST_NODES} nodes")
        handle = f"n{self._next}"
        self._next += 1
        self._held[handle] = held
        return {"h": handle, "node_id": held.node.node_id.hex()}

    def _restore(self, given: Mapping[str, Any]) -> dict[str, Any]:
        stored = json.loads(bytes.fromhex(given["snapshot"]))
        disk = {
            (Table(table), bytes.fromhex(key)): bytes.fromhex(value) for table, key, value in stored["disk"]
        }
        config = stored["config"] | given.get("config", {})
        made = {"seed": stored["seed"], "config": config, "now": given["now"], "draws_made": stored["draws"]}
        return self._new(self.make(made, disk))


def snapshot(held: Held) -> str:
    """Everything that a restart would find on disk, opaque to the suite."""
    content = {
        "seed": held.given["seed"],
        "config": held.given["config"],
        "draws": held.entropy.counts,
        "disk": sorted((table.value, key.hex(), value.hex()) for (table, key), value in held.disk.items()),
    }
    return json.dumps(content, sort_keys=True).encode().hex()


def inspected(held: Held) -> dict[str, Any]:
    """The abstract state: what the models have as variables, as far as every implementation has it."""
    node = held.node
    count = dict.fromkeys(Table, 0)
    for table, _ in held.disk:
        count[table] += 1
    record = node.home.record
    return {
        "linked": sorted(peer.hex() for peer in node.linked),
        "pending": count[Table.PENDING],
        "inbox": count[Table.INBOX],
        "receipts": count[Table.SEEN],
        "custody": count[Table.CUSTODY],
        "tombstones": count[Table.TOMBSTONE],
        "verdicts": count[Table.VERDICT],
        "records": sum(
            table is Table.RECORD and key in {b"present", b"previous"} for table, key in held.disk
        ),
        "conversations": count[Table.CONVERSATION],
        "sessions": count[Table.SESSION],
        "writable": node.writable,
        "term": None if record is None else record.term,
        "subnet": None if record is None else record.subnet.hex(),
    }
