"""What nodes were given and did, taken down as the steps of a case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.adapters.nodes import Held, inspected
from conformance.case import Step, ok, reject
from conformance.plain import plain
from conformance.proposed import loosened, relies_on_own
from tom_ref.effects import Effect
from tom_ref.inputs import CommandError


def judged(made: dict[str, Any], linked: tuple[str, ...] = ()) -> dict[str, Any]:
    """What is expected of a step; when a node wants to be woken is its own affair.

    ``linked`` are the nodes to which it had links before: it has no reason to dial them (TOM-LINK-094).
    """
    effects = [
        effect
        for effect in made["effects"]
        if effect["is"] != "Dial" and not (effect["is"] == "SendFrame" and effect["data"].startswith("05"))
    ]
    return {
        "effects": {"$effects": effects, "$undialled": list(linked)},
        "refused": made["refused"],
        "events": made["events"],
        "deadline": {"$any": True},
    }


class DependentError(Exception):
    """A script in which the port's own block is notarized can't be told another port."""


class Tape:
    """The steps of the nodes under test, each by a name of the script's."""

    def __init__(self) -> None:
        self.steps: list[Step] = [Step("reset", {}, ok({}))]
        self._handles: dict[str, str] = {}

    def make(self, name: str, given: dict[str, Any]) -> Held:
        """A node begins."""
        held = Held(given, {})
        self._handles[name] = f"h{len(self.steps)}"
        made = ok({"h": {"$bind": self._handles[name]}, "node_id": held.node.node_id.hex()})
        self.steps.append(Step("node.new", given, made))
        return held

    def do(self, name: str, held: Held, what: Any, now: int) -> tuple[Effect, ...]:
        """One input of it; raises ``CommandError`` when the command is refused, which is taken down, too."""
        given = {"h": {"$ref": self._handles[name]}, "input": plain(what), "now": now}
        linked = tuple(sorted(peer.hex() for peer in held.node.linked))
        before = held.node.home.term
        try:
            effects = held.taken(what, now)
        except CommandError as error:
            self.steps.append(Step("node.step", given, reject(error.reason.value)))
            raise
        expected = judged(held.told(effects), linked)
        terms = [term for term in (before, held.node.home.term) if term is not None]
        own = held.node.node_id
        if any(relies_on_own(term, own) for term in terms):
            raise DependentError("what follows depends on the evidence in a block of the port's")
        listed = expected["effects"]["$effects"]
        expected["effects"]["$effects"] = [
            loosened(effect, own, terms, held.node.home.own_work()) for effect in listed
        ]
        self.steps.append(Step("node.step", given, ok(expected)))
        return effects

    def sought(self, nodes: Iterable[bytes]) -> None:
        """By the last step these nodes were dialled; what was dialled before counts no more."""
        self.steps[-1].expect.value["effects"]["$sought"] = sorted(node.hex() for node in nodes)

    def inspect(self, name: str, held: Held) -> dict[str, Any]:
        """Look at it."""
        seen = inspected(held)
        self.steps.append(Step("node.inspect", {"h": {"$ref": self._handles[name]}}, ok(seen)))
        return seen

    def restart(self, name: str, held: Held, now: int, **config: Any) -> Held:
        """It ends, and begins again from its disk."""
        number = len(self.steps)
        handle = {"$ref": self._handles[name]}
        self.steps.append(Step("node.snapshot", {"h": handle}, ok({"snapshot": {"$bind": f"s{number}"}})))
        self.steps.append(Step("node.free", {"h": handle}, ok({})))
        self._handles[name] = f"h{number}"
        given: dict[str, Any] = {"snapshot": {"$ref": f"s{number}"}, "now": now}
        if config:
            given["config"] = config
        node_id = held.node.node_id.hex()
        made = ok({"h": {"$bind": self._handles[name]}, "node_id": node_id})
        self.steps.append(Step("node.restore", given, made))
        again = {**held.given, "now": now, "draws_made": dict(held.entropy.counts)}
        again["config"] = {**held.given["config"], **config}
        return Held(again, dict(held.disk))
