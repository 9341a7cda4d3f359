"""Scripts of whole nodes: the port is one of several, the others are the reference implementation.

A script is played once with all nodes from ``tom_ref``; what the port's node was given becomes the steps of
the case, and what it did becomes what is expected.  Nodes, contents and times follow from the run's seed.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import evolve, frozen

from conformance.adapters.nodes import Held, inspected, snapshot
from conformance.case import Case, Polarity, Step, ok, reject
from conformance.plain import plain
from conformance.sources.sweeps import SuiteError
from conformance.sources.tape import judged
from tom_ref import codec, constants
from tom_ref.crypto import sha256
from tom_ref.effects import SendFrame
from tom_ref.frames import (
    Address,
    DescriptorAnswer,
    DescriptorQuery,
    Envelope,
    Extension,
    Header,
    Receipt,
    Refusal,
    Stamp,
    TrailReport,
    Transport,
)
from tom_ref.frames import (
    Kind as EnvelopeKind,
)
from tom_ref.inputs import (
    Acknowledge,
    AddPeer,
    ClockMeasured,
    CommandError,
    DialFailed,
    FrameReceived,
    LinkDown,
    LinkUp,
    Route,
    SendMessage,
    SetAddresses,
    Start,
    Taken,
    Wake,
)
from tom_ref.validate import message_id, signed_header, signed_receipt, signed_stamp

TTL: Final = 60_000
EPS2: Final = 2 * constants.EPS
YEAR: Final = 365 * 86_400_000


class Stage:
    """Some nodes, wires between them, one clock; the steps of one of them are taken down."""

    def __init__(self, seed: str, port: str, names: str = "ABC") -> None:
        self._chance = random.Random(seed)  # noqa: S311 - test values
        self.port = port
        self.now = self._chance.randrange(1_800_000_000_000, 1_900_000_000_000)
        self.subnet = self._chance.randbytes(32)
        self.steps: list[Step] = []
        self.held: dict[str, Held] = {}
        self.queue: deque[tuple[str, int, bytes]] = deque()
        self.wires: dict[int, tuple[str, str]] = {}
        self.lost: set[str] = set()
        """Names of nodes to which nothing is carried."""
        self._handle = "h0"
        self._links = 0
        for name in names:
            self._make(name)
        for name in names:
            self.do(name, Start())

    def octets(self, size: int = 32) -> bytes:
        """Some bytes."""
        return self._chance.randbytes(size)

    def _make(self, name: str) -> None:
        given = {
            "seed": self.octets().hex(),
            "now": self.now,
            "config": {"secret": self.octets().hex(), "subnet": self.subnet.hex()},
        }
        self.held[name] = Held(given, {})
        if name == self.port:
            node_id = self.held[name].node.node_id.hex()
            made = ok({"h": {"$bind": self._handle}, "node_id": node_id})
            self.steps.append(Step("node.new", given, made))

    def id(self, name: str) -> bytes:
        """A node's id."""
        return self.held[name].node.node_id

    def do(self, name: str, what: Any, **draws: list[bytes]) -> dict[str, Any]:
        """One step of one node; its frames are put on their wires."""
        held = self.held[name]
        linked = tuple(sorted(peer.hex() for peer in held.node.linked))
        given: dict[str, Any] = {"h": {"$ref": self._handle}, "input": plain(what), "now": self.now}
        if draws:
            named = {purpose.replace("_", "/"): many for purpose, many in draws.items()}
            given["draws"] = {purpose: [one.hex() for one in many] for purpose, many in named.items()}
            held.entropy.given = named
        try:
            made = held.step(what, self.now)
        except CommandError as error:
            if name == self.port:
                self.steps.append(Step("node.step", given, reject(error.reason.value)))
            return {"effects": [], "refused": [], "events": [], "deadline": None}
        if name == self.port:
            self.steps.append(Step("node.step", given, ok(judged(made, linked))))
        for effect in made["effects"]:
            if effect["is"] == SendFrame.__name__:
                self.queue.append((name, int(effect["link"]), bytes.fromhex(effect["data"])))
        return made

    def inspect(self) -> dict[str, Any]:
        """Look at the port's node."""
        seen = inspected(self.held[self.port])
        self.steps.append(Step("node.inspect", {"h": {"$ref": self._handle}}, ok(seen)))
        return seen

    def restart(self, *, copied: bool = False) -> None:
        """The port's node ends and begins again from its disk; its wires are gone."""
        held = self.held[self.port]
        number = len(self.steps)
        self.steps.append(
            Step("node.snapshot", {"h": {"$ref": self._handle}}, ok({"snapshot": {"$bind": f"s{number}"}}))
        )
        self.steps.append(Step("node.free", {"h": {"$ref": self._handle}}, ok({})))
        self._handle = f"h{number}"
        given: dict[str, Any] = {"snapshot": {"$ref": f"s{number}"}, "now": self.now}
        config = {"restored_copy": True} if copied else {}
        if config:
            given["config"] = config
        made = ok({"h": {"$bind": self._handle}, "node_id": held.node.node_id.hex()})
        self.steps.append(Step("node.restore", given, made))
        snapshot(held)
        again = {**held.given, "now": self.now, "draws_made": held.entropy.counts}
        again["config"] = {**held.given["config"], **config}
        self.held[self.port] = Held(again, held.disk)
        for link, ends in list(self.wires.items()):
            if self.port in ends:
                del self.wires[link]
                other = ends[1] if ends[0] == self.port else ends[0]
                self.do(other, LinkDown(link, "truncated"))
        self.queue.clear()
        self.do(self.port, Start())

    def link(self, one: str, other: str) -> int:
        """Join two nodes; each reads the other's clock, as every link does right after it opened."""
        link = self.open(one, other)
        for name in (one, other):
            self.do(name, ClockMeasured(link, 0, 4))
        self.run()
        return link

    def open(self, one: str, other: str) -> int:
        """Join two nodes, before any clock is read."""
        self._links += 1
        link = self._links
        self.wires[link] = (one, other)
        for name, peer in ((one, other), (other, one)):
            self.do(name, LinkUp(link, self.held[peer].node.descriptor, initiated=name == one))
        return link

    def cut(self, link: int) -> None:
        """A wire breaks."""
        for name in self.wires.pop(link):
            self.do(name, LinkDown(link, "truncated"))
        self.run()

    def run(self, most: int = 500) -> None:
        """Carry frames until there are none."""
        while self.queue and most:
            most -= 1
            name, link, data = self.queue.popleft()
            if link in self.wires:
                ends = self.wires[link]
                target = ends[1] if ends[0] == name else ends[0]
                if target not in self.lost:
                    self.do(target, FrameReceived(link, data))

    def wait(self, milliseconds: int) -> None:
        """Let time pass and wake everybody once."""
        self.now += milliseconds
        for name in self.held:
            self.do(name, Wake())
        self.run()

    def send(
        self, content: bytes | None = None, *, ttl: int = TTL, route: Route = Route.RELAY_FIRST
    ) -> bytes:
        """A writes to B; returns the envelope's bytes, as they leave A."""
        what = SendMessage(
            self.held["A"].node.next_handle,
            self.id("B"),
            self.octets(20) if content is None else content,
            ttl,
            route,
        )
        made = self.do("A", what)
        frames = [bytes.fromhex(e["data"]) for e in made["effects"] if e["is"] == "SendFrame"]
        return next((frame for frame in frames if frame[0] == 1), b"")

    def envelope(self) -> Envelope:
        """A writes to B; what leaves A."""
        return codec.decode_envelope(self.send())

    def relayed(self, *, acquainted: bool = True) -> tuple[int, int]:
        """A and B are linked to the relay C, which A uses; A knows B's descriptor if they are acquainted."""
        if acquainted:
            self.cut(self.link("A", "B"))
        self.do("A", AddPeer(self.id("C"), (), relay=True))
        return self.link("A", "C"), self.link("C", "B")

    def inject(self, link: int, data: bytes) -> dict[str, Any]:
        """The port gets a frame that its neighbour never sent."""
        return self.do(self.port, FrameReceived(link, data))

    def sign(self, name: str, data: bytes) -> bytes:
        """A node's signature."""
        return self.held[name].identity.signing_key.sign(data)


Script = Callable[[Stage], None]


@frozen
class Scene:
    """A script with what it shows."""

    name: str
    about: str
    port: str
    requirements: tuple[str, ...]
    play: Script
    pair: str = ""
    """For a negative case."""
    level: int = 7


SCENES: Final[list[Scene]] = []


def _scene(about: str, port: str, *rules: str, pair: str = "", level: int = 7) -> Callable[[Script], Script]:
    def register(play: Script) -> Script:
        for name in port:
            label = f"node-{play.__name__.strip('_').replace('_', '-')}"
            full = f"{label}-{name.lower()}" if len(port) > 1 else label
            SCENES.append(Scene(full, about, name, rules, play, pair, level))
        return play

    return register


# --- delivery ---------------------------------------------------------------------------------------------


@_scene(
    "a message goes over the relay, its receipt comes back",
    "A",
    "TOM-DELIVERY-001",
    "TOM-DELIVERY-004",
    "TOM-DELIVERY-011",
    "TOM-DELIVERY-024",
    "TOM-DELIVERY-054",
    "TOM-SESSION-001",
    "TOM-SESSION-002",
    "TOM-SESSION-010",
    "TOM-SESSION-023",
    "TOM-NOTATION-010",
    "TOM-NOTATION-012",
    "TOM-CONF-030",
    "TOM-CONF-031",
)
def _sends(stage: Stage) -> None:
    stage.relayed()
    stage.send()
    stage.run()
    stage.inspect()


@_scene(
    "the relay hands a message on, reports, and passes the receipt back",
    "C",
    "TOM-DELIVERY-011",
    "TOM-DELIVERY-012",
    "TOM-DELIVERY-040",
    "TOM-DELIVERY-042",
    "TOM-DELIVERY-043",
    "TOM-DELIVERY-044",
    "TOM-DELIVERY-038",
)
def _relays(stage: Stage) -> None:
    stage.relayed()
    stage.send()
    stage.run()


@_scene(
    "the recipient opens a message, signs its receipt and shows it once",
    "B",
    "TOM-DELIVERY-060",
    "TOM-PURGE-028",
    "TOM-PURGE-029",
    "TOM-SESSION-024",
)
def _receives(stage: Stage) -> None:
    stage.relayed()
    stage.send()
    stage.run()
    stage.inspect()


@_scene("two messages and an answer, over one session", "AB", "TOM-SESSION-003", "TOM-SESSION-020")
def _converses(stage: Stage) -> None:
    stage.link("A", "B")
    stage.send(b"one", route=Route.DIRECT_FIRST)
    stage.send(b"two", route=Route.DIRECT_FIRST)
    stage.run()
    answer = SendMessage(stage.held["B"].node.next_handle, stage.id("A"), b"three", TTL, Route.DIRECT_FIRST)
    stage.do("B", answer)
    stage.run()
    stage.send(b"four", route=Route.DIRECT_FIRST)
    stage.run()


@_scene("direct first takes the direct link", "A", "TOM-DELIVERY-053")
def _direct_first(stage: Stage) -> None:
    stage.relayed()
    stage.link("A", "B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()


@_scene(
    "relay first takes the relay, although there is a direct link",
    "A",
    "TOM-DELIVERY-053",
    pair="node-direct-first",
)
def _relay_first(stage: Stage) -> None:
    stage.relayed()
    stage.link("A", "B")
    stage.send()
    stage.run()


@_scene(
    "a message that came before is answered with the same receipt and not shown",
    "B",
    "TOM-DELIVERY-061",
    "TOM-PURGE-013",
    "TOM-PURGE-030",
    "TOM-PURGE-031",
    "TOM-PURGE-032",
    "TOM-PURGE-029",
    pair="node-receives",
)
def _duplicate(stage: Stage) -> None:
    link = stage.link("A", "B")
    envelope = stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.inject(link, envelope)
    stage.inspect()


@_scene(
    "what is not acknowledged is shown again after a restart, then no more",
    "B",
    "TOM-DELIVERY-063",
    "TOM-PURGE-032",
    "TOM-PURGE-033",
    "TOM-CONF-034",
)
def _shown_again(stage: Stage) -> None:
    stage.link("A", "B")
    envelope = stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.restart()
    stage.inspect()
    decoded = codec.decode_envelope(envelope)
    stage.do("B", Acknowledge(message_id(decoded.header_bytes)))
    stage.inspect()
    stage.restart()
    stage.inspect()


@_scene(
    "a message is sent again as it was after a restart",
    "A",
    "TOM-DELIVERY-005",
    "TOM-PURGE-001",
    "TOM-PURGE-002",
    pair="node-sends",
)
def _sends_again(stage: Stage) -> None:
    stage.link("A", "B")
    stage.lost.add("B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.restart()
    stage.lost.clear()
    stage.link("A", "B")
    stage.wait(2_000)
    stage.inspect()


@_scene("the pause before the next way is 2,000 ms and doubles", "A", "TOM-DELIVERY-052", "TOM-NOTATION-006")
def _retries(stage: Stage) -> None:
    stage.relayed()
    stage.link("A", "B")
    stage.lost |= {"B", "C"}
    stage.send()
    stage.run()
    for pause in (1_999, 1, 3_999, 1):
        stage.wait(pause)


@_scene(
    "a refusal makes the sender try another way and give nothing up",
    "A",
    "TOM-DELIVERY-052",
    "TOM-DELIVERY-055",
    "TOM-WIRE-042",
    pair="node-sends",
)
def _refused(stage: Stage) -> None:
    link, _ = stage.relayed()
    stage.link("A", "B")
    stage.lost.add("C")
    envelope = stage.envelope()
    stage.inject(link, codec.encode_frame(Refusal(message_id(envelope.header_bytes), "overloaded")))
    stage.run()
    stage.inspect()


@_scene(
    "a message that nobody takes expires when its retention ends, not before",
    "A",
    "TOM-DELIVERY-051",
    "TOM-DELIVERY-057",
    "TOM-PURGE-004",
    "TOM-PURGE-005",
    "TOM-PURGE-018",
    "TOM-PURGE-034",
    "TOM-NOTATION-007",
)
def _expires(stage: Stage) -> None:
    stage.link("A", "B")
    stage.lost.add("B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    for moment in (TTL - 1, 1, EPS2 - 1):
        stage.wait(moment)
        stage.inspect()
    stage.wait(1)
    stage.inspect()
    stage.wait(0)


@_scene(
    "a millisecond before retention ends nothing is expired",
    "A",
    "TOM-DELIVERY-057",
    "TOM-PURGE-004",
    pair="node-expires",
)
def _not_expired_yet(stage: Stage) -> None:
    stage.link("A", "B")
    stage.lost.add("B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.wait(TTL + EPS2 - 1)


@_scene(
    "a receipt is kept until the end of retention and not longer",
    "B",
    "TOM-PURGE-030",
    "TOM-PURGE-035",
)
def _receipt_goes(stage: Stage) -> None:
    stage.link("A", "B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.wait(TTL + EPS2 - 1)
    stage.inspect()
    stage.wait(1)
    stage.inspect()


@_scene(
    "what fell due while the node was off is erased at its start",
    "B",
    "TOM-PURGE-035",
    "TOM-PURGE-037",
    "TOM-CONF-034",
)
def _erased_at_start(stage: Stage) -> None:
    stage.link("A", "B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.inspect()
    stage.now += TTL + EPS2
    stage.restart()
    stage.link("A", "B")
    stage.inspect()


def _offered_again(stage: Stage, *, away: int = 0) -> bytes:
    """B has shown a message, and waits for the time after a start; returns the envelope."""
    stage.link("A", "B")
    envelope = stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.now += away
    stage.restart()
    return envelope


def _linked_early(stage: Stage) -> int:
    """A and B knew each other, and the port waits for the time after a start; returns their link."""
    stage.cut(stage.link("A", "B"))
    stage.restart()
    return stage.open("A", "B")


@_scene(
    "what comes over a link before the time is known is taken up when it is",
    "B",
    "TOM-PURGE-008",
    "TOM-PURGE-049",
    "TOM-PURGE-054",
)
def _taken_up(stage: Stage) -> None:
    envelope = _offered_again(stage)
    link = stage.open("A", "B")
    stage.inject(link, envelope)
    stage.do("B", ClockMeasured(link, 0, 4))
    stage.inspect()


@_scene(
    "nothing is judged by time while the only neighbour contradicts the clock of a node that started",
    "B",
    "TOM-PURGE-008",
    "TOM-PURGE-009",
    "TOM-PURGE-049",
    "TOM-PURGE-052",
    pair="node-taken-up",
)
def _contradicted(stage: Stage) -> None:
    envelope = _offered_again(stage, away=YEAR)
    link = stage.open("A", "B")
    stage.inject(link, envelope)
    stage.do("B", ClockMeasured(link, -YEAR, 4))
    stage.do("B", Wake())
    stage.inspect()


@_scene(
    "what is sent before the time is known waits, and goes out with its date",
    "A",
    "TOM-PURGE-051",
)
def _sent_before(stage: Stage) -> None:
    link = _linked_early(stage)
    stage.now += TTL
    stage.send(route=Route.DIRECT_FIRST)
    stage.inspect()
    stage.now += TTL
    stage.do("A", ClockMeasured(link, 0, 4))
    stage.do("B", ClockMeasured(link, 0, 4))
    stage.run()
    stage.inspect()


@_scene(
    "what is sent before the time is known doesn't go out, and doesn't expire, while the time stays unknown",
    "A",
    "TOM-PURGE-009",
    "TOM-PURGE-051",
    pair="node-sent-before",
)
def _never_dated(stage: Stage) -> None:
    link = _linked_early(stage)
    stage.send(route=Route.DIRECT_FIRST)
    stage.do("A", ClockMeasured(link, YEAR, 4))
    stage.now += TTL + EPS2
    stage.do("A", Wake())
    stage.inspect()


@_scene(
    "no new descriptor is signed and sent while nothing bears out a started node's clock",
    "B",
    "TOM-PURGE-008",
    "TOM-PURGE-054",
    pair="node-taken-up",
)
def _not_redated(stage: Stage) -> None:
    link = _linked_early(stage)
    stage.do("B", ClockMeasured(link, -YEAR, 4))
    stage.do("B", ClockMeasured(link, 0, EPS2 + 1))
    stage.do("B", Wake())
    stage.inspect()


@_scene(
    "two links to one neighbour are one clock",
    "B",
    "TOM-PURGE-008",
    "TOM-ROLES-129",
    pair="node-taken-up",
)
def _one_clock(stage: Stage) -> None:
    envelope = _offered_again(stage)
    for link in [stage.open("A", "B"), stage.open("B", "A")]:
        stage.do("B", ClockMeasured(link, YEAR, 4))
    stage.inject(link, envelope)
    stage.inspect()


@_scene(
    "as many links as may be wait for the time, and are taken up with it",
    "B",
    "TOM-PURGE-049",
    "TOM-PURGE-050",
)
def _most_early(stage: Stage) -> None:
    link = _early_links(stage)
    stage.inject(link, codec.encode_frame(DescriptorQuery(stage.id("B"))))
    stage.do("B", ClockMeasured(link, 0, 4))
    stage.inspect()


@_scene(
    "one link more than may wait for the time is closed",
    "B",
    "TOM-PURGE-050",
    pair="node-most-early",
)
def _one_early_too_many(stage: Stage) -> None:
    link = _early_links(stage)
    stage.do("B", LinkUp(link + 1, stage.held["A"].node.descriptor, initiated=False))
    stage.inspect()


def _early_links(stage: Stage) -> int:
    """B waits for the time with all the links that may wait; returns the last."""
    first = _linked_early(stage)
    descriptor = stage.held["A"].node.descriptor
    for link in range(first + 1, first + constants.MAX_LINKS):
        stage.do("B", LinkUp(link, descriptor, initiated=False))
    return first + constants.MAX_LINKS - 1


# --- what is refused or ignored ---------------------------------------------------------------------------


def _receipt(stage: Stage, envelope: bytes, signer: str, **changes: Any) -> bytes:
    decoded = codec.decode_envelope(envelope)
    header = decoded.header
    receipt = evolve(
        Receipt(
            message_id(decoded.header_bytes),
            header.subnet,
            header.term,
            header.sender,
            header.recipient,
            bytes(32),
            header.created_at,
            header.ttl,
            stage.now,
        ),
        **changes,
    )
    return codec.encode_frame(evolve(receipt, signature=stage.sign(signer, signed_receipt(receipt))))


@_scene(
    "a receipt that somebody else signed changes nothing",
    "A",
    "TOM-DELIVERY-024",
    "TOM-PURGE-003",
    "TOM-PURGE-022",
    "TOM-PURGE-023",
    "TOM-NOTATION-014",
    "TOM-DELIVERY-001",
    "TOM-DELIVERY-051",
    "TOM-PURGE-024",
    pair="node-sends",
)
def _forged_receipt(stage: Stage) -> None:
    link = stage.link("A", "B")
    stage.lost.add("B")
    envelope = stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.inject(link, _receipt(stage, envelope, "C"))
    stage.inspect()


@_scene(
    "a receipt for another lifetime changes nothing",
    "A",
    "TOM-PURGE-022",
    "TOM-PURGE-023",
    pair="node-sends",
)
def _receipt_of_other_lifetime(stage: Stage) -> None:
    link = stage.link("A", "B")
    stage.lost.add("B")
    envelope = stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.inject(link, _receipt(stage, envelope, "B", ttl=TTL + 1))
    stage.inspect()


@_scene(
    "a receipt for a message never seen is ignored",
    "ABC",
    "TOM-DELIVERY-025",
    "TOM-PURGE-025",
    "TOM-DELIVERY-043",
    pair="node-sends",
)
def _stray_receipt(stage: Stage) -> None:
    other = "C" if stage.port != "C" else "A"
    link = stage.link(stage.port, other)
    header = _header(stage, other, stage.port)
    frame = _envelope(stage, header, other, other)
    stage.inject(link, _receipt(stage, frame, stage.port if stage.port != other else "B"))
    stage.inspect()


@_scene(
    "a relay that knows no way says so",
    "C",
    "TOM-DELIVERY-041",
    "TOM-DELIVERY-040",
    pair="node-relays",
)
def _no_route(stage: Stage) -> None:
    stage.do("A", AddPeer(stage.id("C"), (), relay=True))
    stage.link("A", "C")
    stage.link("A", "B")
    stage.send()
    stage.run()


@_scene(
    "a relay that loses the hop after tells the hop before, and forgets",
    "C",
    "TOM-DELIVERY-045",
    pair="node-relays",
)
def _hop_lost(stage: Stage) -> None:
    _, link = stage.relayed()
    stage.lost.add("B")
    stage.send()
    stage.run()
    stage.cut(link)


@_scene(
    "a refusal from the hop after goes to the hop before, its code unchanged",
    "C",
    "TOM-DELIVERY-045",
)
def _refusal_passed(stage: Stage) -> None:
    _, link = stage.relayed()
    stage.lost.add("B")
    envelope = stage.envelope()
    stage.run()
    stage.inject(link, codec.encode_frame(Refusal(message_id(envelope.header_bytes), "overloaded")))


@_scene(
    "a trail report from the hop before is ignored",
    "C",
    "TOM-DELIVERY-046",
    "TOM-DELIVERY-042",
    pair="node-relays",
)
def _report_backwards(stage: Stage) -> None:
    link, _ = stage.relayed()
    stage.lost.add("B")
    envelope = stage.envelope()
    stage.run()
    stage.inject(link, codec.encode_frame(TrailReport(message_id(envelope.header_bytes), envelope.trail)))


@_scene("a forged trail report is ignored", "A", "TOM-DELIVERY-054", pair="node-sends")
def _forged_report(stage: Stage) -> None:
    link, _ = stage.relayed()
    stage.lost.add("C")
    envelope = stage.envelope()
    forged = (*envelope.trail, Stamp(stage.now, stage.id("B"), bytes(64)))
    stage.inject(link, codec.encode_frame(TrailReport(message_id(envelope.header_bytes), forged)))
    stage.inspect()


def _header(stage: Stage, sender: str, recipient: str, **changes: Any) -> Header:
    header = Header(
        EnvelopeKind.MESSAGE,
        stage.subnet,
        0,
        stage.id(sender),
        stage.id(recipient),
        stage.now,
        TTL,
        4,
        (),
        20,
        sha256(bytes(20)),
    )
    return evolve(header, **changes)


def _envelope(
    stage: Stage, header: Header, signer: str, hop: str, to: str = "", *, body: bytes = bytes(20)
) -> bytes:
    data = codec.encode_header(header)
    target = stage.id(to or stage.port)
    stamp = signed_stamp(message_id(data), None, stage.now, target)
    trail = (Stamp(stage.now, target, stage.sign(hop, stamp)),)
    signature = stage.sign(signer, signed_header(data))
    return codec.encode_frame(Envelope(header, data, signature, 0, trail, body))


def _unsigned_extension(stage: Stage) -> bytes:
    """A header with an extension, and the signature of the same without it: as re-encoding would have it."""
    plain_header = _header(stage, "A", "B")
    extended = evolve(plain_header, extensions=(Extension(0x70, b"later"),))
    frame = codec.decode_envelope(_envelope(stage, extended, "A", "A"))
    signature = stage.sign("A", signed_header(codec.encode_header(plain_header)))
    return codec.encode_frame(evolve(frame, signature=signature))


def _hostile(name: str, rule: str, about: str, make: Callable[[Stage], bytes]) -> None:
    def play(stage: Stage) -> None:
        link = stage.link("A", "C")
        stage.link("C", "B")
        stage.inject(link, make(stage))
        stage.inspect()

    besides = _BESIDES.get(name, ("TOM-DELIVERY-038",))
    rules = (rule, *besides, "TOM-NOTATION-014", "TOM-CONF-033")
    SCENES.append(Scene(f"node-hostile-{name}", about, "C", rules, play, "node-relays"))


_BESIDES: Final = {
    "critical": ("TOM-WIRE-022", "TOM-LINK-086"),
    "empty": ("TOM-LINK-086",),
    "expired": ("TOM-PURGE-010", "TOM-DELIVERY-012", "TOM-DELIVERY-038"),
    "extension": ("TOM-DELIVERY-006", "TOM-DELIVERY-038"),
    "future": ("TOM-DELIVERY-004", "TOM-PURGE-010", "TOM-DELIVERY-038"),
    "garbage": ("TOM-LINK-086",),
    "hop": ("TOM-DELIVERY-011", "TOM-DELIVERY-038"),
    "stamp": ("TOM-DELIVERY-012", "TOM-DELIVERY-038"),
    "subnet": ("TOM-DELIVERY-003", "TOM-DELIVERY-038"),
}

for _name, _rule, _about, _make in (
    ("garbage", "TOM-WIRE-008", "a frame of chance bytes", lambda s: b"\x01" + s.octets(200)),
    ("empty", "TOM-WIRE-005", "an empty frame", lambda _: b""),
    ("critical", "TOM-WIRE-021", "an unknown critical frame", lambda s: b"\x7f" + s.octets(20)),
    (
        "future",
        "TOM-DELIVERY-031",
        "an envelope dated 2 EPS and 1 ms ahead",
        lambda s: _envelope(s, _header(s, "A", "B", created_at=s.now + EPS2 + 1), "A", "A"),
    ),
    (
        "expired",
        "TOM-DELIVERY-032",
        "an envelope whose life is over",
        lambda s: _envelope(s, _header(s, "A", "B", created_at=s.now - TTL), "A", "A"),
    ),
    (
        "extension",
        "TOM-WIRE-013",
        "an envelope with an extension that nobody knows, signed without it",
        _unsigned_extension,
    ),
    (
        "subnet",
        "TOM-DELIVERY-030",
        "an envelope of another subnet",
        lambda s: _envelope(s, _header(s, "A", "B", subnet=s.octets()), "A", "A"),
    ),
    (
        "header",
        "TOM-DELIVERY-037",
        "an envelope that its sender didn't sign",
        lambda s: _envelope(s, _header(s, "A", "B"), "B", "A"),
    ),
    (
        "payload",
        "TOM-DELIVERY-033",
        "an envelope with another payload",
        lambda s: _envelope(s, _header(s, "A", "B", payload_hash=s.octets()), "A", "A"),
    ),
    (
        "stamp",
        "TOM-DELIVERY-010",
        "an envelope whose stamp somebody else signed",
        lambda s: _envelope(s, _header(s, "A", "B"), "A", "B"),
    ),
    (
        "hop",
        "TOM-DELIVERY-034",
        "an envelope stamped for another node",
        lambda s: _envelope(s, _header(s, "A", "B"), "A", "A", "B"),
    ),
    (
        "neighbour",
        "TOM-DELIVERY-035",
        "an envelope of a sender that isn't the neighbour",
        lambda s: _envelope(s, _header(s, "B", "A"), "B", "B"),
    ),
    (
        "hops",
        "TOM-DELIVERY-041",
        "an envelope whose trail is full",
        lambda s: _envelope(s, _header(s, "A", "B", hop_limit=1), "A", "A"),
    ),
):
    _hostile(_name, _rule, _about, _make)


@_scene(
    "a relay hands on a header with an extension that it doesn't know, byte for byte",
    "C",
    "TOM-WIRE-013",
    "TOM-DELIVERY-006",
    "TOM-BALANCE-012",
    "TOM-DELIVERY-012",
)
def _extended(stage: Stage) -> None:
    link = stage.link("A", "C")
    stage.link("C", "B")
    header = _header(stage, "A", "B", extensions=(Extension(0x70, b"later"),))
    stage.inject(link, _envelope(stage, header, "A", "A"))
    stage.inspect()


@_scene(
    "a frame that nobody knows yet is passed over, a known one behind it isn't",
    "C",
    "TOM-WIRE-022",
    "TOM-LINK-086",
)
def _unknown_frame(stage: Stage) -> None:
    link = stage.link("A", "C")
    stage.inject(link, b"\xf0" + stage.octets(20))
    stage.inject(link, codec.encode_frame(DescriptorQuery(stage.id("C"))))


@_scene(
    "a refusal whose reason a later version knows moves the sender on",
    "A",
    "TOM-WIRE-042",
    "TOM-DELIVERY-052",
)
def _refused_in_other_words(stage: Stage) -> None:
    link, _ = stage.relayed()
    stage.link("A", "B")
    stage.lost.add("C")
    envelope = stage.envelope()
    stage.inject(link, codec.encode_frame(Refusal(message_id(envelope.header_bytes), "of_a_later_version")))
    stage.run()
    stage.inspect()


@_scene(
    "a receipt that somebody else signed stops at the relay",
    "C",
    "TOM-DELIVERY-044",
    "TOM-DELIVERY-043",
    "TOM-PURGE-022",
    pair="node-relays",
)
def _forged_at_relay(stage: Stage) -> None:
    _, link = stage.relayed()
    stage.lost.add("B")
    envelope = stage.send()
    stage.run()
    stage.inject(link, _receipt(stage, envelope, "A"))
    stage.inspect()


@_scene(
    "a millisecond before the pause is over nothing is tried, whoever wakes the node",
    "A",
    "TOM-DELIVERY-052",
    "TOM-NOTATION-006",
    "TOM-NOTATION-007",
    "TOM-CONF-031",
    pair="node-retries",
)
def _too_early(stage: Stage) -> None:
    stage.relayed()
    stage.link("A", "B")
    stage.lost |= {"B", "C"}
    stage.send()
    stage.run()
    for pause in (0, 1_000, 999):
        stage.wait(pause)
    stage.inspect()


@_scene(
    "what the application has taken is neither shown nor told again",
    "AB",
    "TOM-DELIVERY-063",
    "TOM-PURGE-005",
    "TOM-PURGE-032",
    "TOM-PURGE-033",
    pair="node-shown-again",
)
def _taken(stage: Stage) -> None:
    stage.link("A", "B")
    envelope = codec.decode_envelope(stage.send(route=Route.DIRECT_FIRST))
    stage.run()
    if stage.port == "B":
        stage.do("B", Acknowledge(message_id(envelope.header_bytes)))
    else:
        stage.do("A", Taken(1))
    stage.inspect()
    stage.restart()
    stage.inspect()


@_scene(
    "a millisecond before it is due nothing is erased at a start",
    "B",
    "TOM-PURGE-035",
    "TOM-PURGE-037",
    pair="node-erased-at-start",
)
def _not_erased_at_start(stage: Stage) -> None:
    stage.link("A", "B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.now += TTL + EPS2 - 1
    stage.restart()
    stage.link("A", "B")
    stage.inspect()


@_scene(
    "what is due goes before an input of the same moment counts",
    "A",
    "TOM-PURGE-036",
    "TOM-DELIVERY-051",
    pair="node-expires",
)
def _due_first(stage: Stage) -> None:
    link = stage.link("A", "B")
    stage.lost.add("B")
    envelope = stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.now += TTL
    stage.inject(
        link, codec.encode_frame(Refusal(message_id(codec.decode_envelope(envelope).header_bytes), "bye"))
    )
    stage.inspect()


# --- descriptors and commands -----------------------------------------------------------------------------


@_scene("a node is asked for descriptors that it knows and doesn't", "C", "TOM-DELIVERY-070")
def _asked(stage: Stage) -> None:
    link = stage.link("A", "C")
    stage.link("C", "B")
    for wanted in (stage.id("B"), stage.id("C"), stage.octets()):
        stage.inject(link, codec.encode_frame(DescriptorQuery(wanted)))


@_scene("a node whose addresses change tells its neighbours", "A", "TOM-DELIVERY-072")
def _new_addresses(stage: Stage) -> None:
    stage.link("A", "B")
    stage.now += 10
    stage.do("A", SetAddresses((Address(Transport.TCP, "192.0.2.9:7700"),)))


@_scene("a descriptor that nobody asked for is ignored", "A", "TOM-DELIVERY-071", pair="node-asked")
def _unasked(stage: Stage) -> None:
    link = stage.link("A", "B")
    descriptor = stage.held["C"].node.descriptor
    stage.inject(link, codec.encode_frame(DescriptorAnswer(descriptor.node_id, descriptor)))
    stage.inject(link, codec.encode_frame(DescriptorQuery(descriptor.node_id)))


@_scene(
    "a descriptor that somebody else signed is answered for nobody and begins no session",
    "A",
    "TOM-DELIVERY-056",
    "TOM-DELIVERY-070",
    "TOM-SESSION-010",
    "TOM-ID-037",
    pair="node-asks",
)
def _forged_descriptor(stage: Stage) -> None:
    links = stage.relayed(acquainted=False)
    stage.send()
    right = stage.held["B"].node.descriptor
    forged = evolve(right, created_at=right.created_at + 1)
    stage.lost.add("A")
    stage.inject(links[0], codec.encode_frame(DescriptorAnswer(right.node_id, forged)))
    stage.inject(links[0], codec.encode_frame(DescriptorQuery(right.node_id)))
    stage.inspect()


@_scene(
    "addresses that are as before are no news",
    "A",
    "TOM-DELIVERY-072",
    "TOM-ID-036",
    pair="node-new-addresses",
)
def _same_addresses(stage: Stage) -> None:
    stage.link("A", "B")
    stage.do("A", SetAddresses(()))


@_scene("a node asks for the descriptor that it lacks, then sends", "A", "TOM-DELIVERY-056", "TOM-ID-031")
def _asks(stage: Stage) -> None:
    stage.relayed(acquainted=False)
    if stage.send():
        raise SuiteError("an envelope without a descriptor")
    stage.run()
    stage.inspect()


@_scene(
    "draws handed in with a step are taken before the seed's", "A", "TOM-NOTATION-011", "TOM-NOTATION-009"
)
def _draws(stage: Stage) -> None:
    stage.link("A", "B")
    what = SendMessage(1, stage.id("B"), stage.octets(9), TTL, Route.DIRECT_FIRST)
    stage.do("A", what, session_ephemeral=[stage.octets()], session_ratchet=[stage.octets()])
    stage.run()
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()


@_scene("commands that can't be carried out", "A", "TOM-CONF-032", pair="node-sends")
def _bad_commands(stage: Stage) -> None:
    for what in (
        SendMessage(1, stage.id("B"), b"x", 0, Route.RELAY_FIRST),
        SendMessage(1, stage.id("B"), b"x", constants.MAX_TTL + 1, Route.RELAY_FIRST),
        Acknowledge(stage.octets()),
        AddPeer(stage.id("A"), (), relay=False),
    ):
        stage.do("A", what)
        stage.inspect()


@_scene("a plaintext of 1,048,576 bytes and none longer", "A", "TOM-SESSION-005", pair="node-sends")
def _too_long(stage: Stage) -> None:
    stage.do("A", SendMessage(1, stage.id("B"), bytes(constants.MAX_CONTENT + 1), TTL, Route.RELAY_FIRST))


@_scene("a dial that failed is no reason to stop", "A", "TOM-CONF-031", level=6)
def _dial_failed(stage: Stage) -> None:
    stage.do("A", AddPeer(stage.id("C"), (Address(Transport.TCP, "192.0.2.1:1"),), relay=True))
    stage.do("A", DialFailed(stage.id("C")))
    stage.wait(1_000)


@_scene("a peer with a link isn't dialled", "A", "TOM-LINK-094", pair="node-dial-failed")
def _linked_already(stage: Stage) -> None:
    stage.link("A", "C")
    stage.do("A", AddPeer(stage.id("C"), (Address(Transport.TCP, "192.0.2.1:1"),), relay=True))
    stage.wait(60_000)


@_scene("two descriptors of one moment are dated one after the other", "A", "TOM-ID-036")
def _two_descriptors(stage: Stage) -> None:
    stage.link("A", "B")
    for last in (9, 8):
        stage.do("A", SetAddresses((Address(Transport.TCP, f"192.0.2.{last}:7700"),)))


@_scene("a second receipt for a message is ignored", "A", "TOM-PURGE-026", pair="node-sends")
def _second_receipt(stage: Stage) -> None:
    link = stage.link("A", "B")
    envelope = stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.inject(link, _receipt(stage, envelope, "B"))
    stage.inspect()


@_scene("a receipt after the end of retention is ignored", "A", "TOM-PURGE-026", pair="node-expires")
def _late_receipt(stage: Stage) -> None:
    link = stage.link("A", "B")
    stage.lost.add("B")
    envelope = stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    frame = _receipt(stage, envelope, "B")
    stage.now += TTL + EPS2
    stage.inject(link, frame)
    stage.inspect()


@_scene(
    "what the sender signed but nobody can open changes no session",
    "B",
    "TOM-SESSION-032",
    "TOM-NOTATION-014",
    "TOM-SESSION-001",
    "TOM-DELIVERY-060",
    "TOM-PURGE-029",
    pair="node-receives",
)
def _unopened(stage: Stage) -> None:
    link = stage.link("A", "B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.lost.add("B")
    sent = codec.decode_envelope(stage.send(route=Route.DIRECT_FIRST))
    stage.run()
    payload = sent.payload[:-1] + bytes((sent.payload[-1] ^ 1,))
    header = _header(stage, "A", "B", payload_length=len(payload), payload_hash=sha256(payload))
    stage.inject(link, _envelope(stage, header, "A", "A", body=payload))
    stage.inspect()
    stage.lost.clear()
    stage.wait(2_000)


@_scene(
    "a session that the node began isn't begun by its peer",
    "A",
    "TOM-SESSION-036",
    "TOM-SESSION-035",
    pair="node-converses-a",
)
def _own_session(stage: Stage) -> None:
    link = stage.link("A", "B")
    sent = codec.decode_envelope(stage.send(route=Route.DIRECT_FIRST))
    stage.run()
    header = _header(
        stage,
        "B",
        "A",
        payload_length=len(sent.payload),
        payload_hash=sha256(sent.payload),
    )
    frame = codec.decode_envelope(_envelope(stage, header, "B", "B", body=sent.payload))
    stage.inject(link, codec.encode_frame(frame))
    stage.inspect()


@_scene(
    "no session is begun with a prekey that is over", "A", "TOM-SESSION-013", "TOM-ID-040", pair="node-sends"
)
def _stale_prekey(stage: Stage) -> None:
    stage.cut(stage.link("A", "B"))
    stage.now += constants.PREKEY_VALIDITY + 1
    stage.link("A", "C")
    stage.lost.add("C")
    stage.send(route=Route.DIRECT_FIRST)
    stage.inspect()


@_scene(
    "sessions survive a restart, and no draw is made twice",
    "A",
    "TOM-SESSION-038",
    "TOM-CONF-030",
    "TOM-CONF-034",
)
def _session_stays(stage: Stage) -> None:
    stage.link("A", "B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.restart()
    stage.inspect()
    stage.link("A", "B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()


@_scene(
    "sessions don't survive a restore from a copy",
    "A",
    "TOM-SESSION-038",
    "TOM-CONF-034",
    pair="node-session-stays",
)
def _copied(stage: Stage) -> None:
    stage.link("A", "B")
    stage.send(route=Route.DIRECT_FIRST)
    stage.run()
    stage.inspect()
    stage.restart(copied=True)
    stage.inspect()


def _restored(seed: str) -> Iterator[Case]:
    """A handle that nobody knows, and entropy on its own."""
    chance = random.Random(f"{seed}/restored")  # noqa: S311 - test values
    unknown = f"n{chance.randrange(10**6)}"
    yield Case(
        "node-unknown-handle",
        7,
        ("TOM-CONF-032",),
        Polarity.NEGATIVE,
        "a node that was never made",
        (Step("node.inspect", {"h": unknown}, reject("bad_value")),),
        pair="node-sends",
        source="script",
        derived=True,
    )


def cases(seed: str) -> Iterator[Case]:
    """Every scene, played anew."""
    for scene in SCENES:
        stage = Stage(f"{seed}/{scene.name}", scene.port)
        scene.play(stage)
        yield Case(
            scene.name,
            scene.level,
            scene.requirements,
            Polarity.NEGATIVE if scene.pair else Polarity.POSITIVE,
            scene.about,
            (Step("reset", {}, ok({})), *stage.steps),
            pair=scene.pair,
            source="script",
            derived=True,
        )
    yield from _restored(seed)
