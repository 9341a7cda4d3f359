"""One run: a subnet is founded, storms come and go, liars lie, and every promise is watched.

Time passes in rounds.  Each begins with a storm, in which everything of :class:`~tom_sim.faults.Faults` goes
wrong, and ends with a calm, in which the network works and only the liars don't.  At the end of each calm
the promises that need one are checked: a term ended within the bound of slots, and messages arrived.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TextIO

from attrs import define, field, frozen

from tom_ref import records, vrf
from tom_ref.effects import Effect, Event, Report
from tom_ref.inputs import AddPeer, Begin, Input, Route, SetAddresses
from tom_ref.node import Node
from tom_ref.term_frames import Genesis
from tom_ref.timing import Timing
from tom_sim import faults as fault_module
from tom_sim import liars, memo
from tom_sim.clocks import BEGIN, Clock
from tom_sim.faults import Faults
from tom_sim.promises import Observer, PromiseError, Promises
from tom_sim.streams import Streams
from tom_sim.term_log import TermLog
from tom_sim.traffic import Traffic
from tom_sim.view import Simulated
from tom_sim.voter import Voter
from tom_sim.whole import Whole
from tom_sim.world import Host, World

FOUNDED: Final = 60_000
"""ms: slot 0 of the first term begins so long after the beginning, so that links exist by then."""

ROUND: Final = 4
"""count: terms from one storm to the next."""

HOUR: Final = 3_600_000

MESSAGES: Final = 4.0
"""count: messages a term that applications send, when nothing else is said."""


def _nobody(_: float) -> None:
    """Nobody wants to know how far a run is."""


class BrokenPromiseError(AssertionError):
    """A promise was broken; the text says which, what went before, and how to see it again."""

    def __init__(self, promise: str, text: str, faults: Faults) -> None:
        super().__init__(text)
        self.promise = promise
        self.text = text
        self.faults = faults

    def __reduce__(self) -> tuple[type[BrokenPromiseError], tuple[str, str, Faults]]:
        """Errors travel between the processes of a campaign."""
        return type(self), (self.promise, self.text, self.faults)


@frozen
class Setup:
    """What a run is: with the same set-up every run is the same."""

    seed: int
    nodes: int = 8
    terms: int = 10
    """The run goes on until so many terms could have ended."""
    faults: Faults | None = None
    """``None``: drawn from the seed."""
    liars: int | None = None
    """How many lie; ``None``: drawn, below a third."""
    liar_kind: str | None = None
    """``None``: drawn for each."""
    messages: float = MESSAGES
    """Messages a term that applications send; 0 for none."""
    real_links: bool = False
    only_terms: bool = False
    """Only the vote on records runs (:mod:`tom_sim.voter`), without messages."""
    timing: Timing = field(factory=Timing)
    split: tuple[int, int] | None = None
    """(ms, ms): from when to when the network is cut in two, the first seven twelfths against the others."""

    def command(self) -> str:
        """The command that repeats this run."""
        text = f"tom sim --seed {self.seed} --nodes {self.nodes} --terms {self.terms}"
        if self.liars is not None:
            text += f" --liars {self.liars}"
        if self.liar_kind is not None:
            text += f" --liar-kind '{self.liar_kind}'"
        if self.faults is not None:
            text += f" --faults {fault_module.text(self.faults)}"
        if self.messages != MESSAGES:
            text += f" --messages {self.messages:g}"
        if self.real_links:
            text += " --links real"
        if self.only_terms:
            text += " --only-terms"
        if self.split is not None:
            text += f" --split {self.split[0] // 60_000}-{self.split[1] // 60_000}"
        return text


@define
class Outcome:
    """What a run did."""

    setup: Setup
    faults: Faults
    liars: dict[int, str] = field(factory=dict)
    terms: int = 0
    """Terms that ended with a record."""
    forks: int = 0
    sent: int = 0
    delivered: int = 0
    expired: int = 0
    latencies: list[int] = field(factory=list)
    slots: list[int] = field(factory=list)
    """For each term, the slots from its beginning until every honest member there had the next record."""
    steps: int = 0
    frames: int = 0
    bytes: int = 0
    crashes: int = 0
    hours: float = 0.0
    refusals: dict[str, int] = field(factory=dict)
    checks: int = 0
    """How often a promise that needs a calm was checked."""
    digest: str = ""


class Refusals(Observer):
    """Counts what nodes refuse, and why."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def effect(self, host: Host, effect: Effect) -> None:
        """A report of a refusal names its code."""
        if isinstance(effect, Report) and effect.event is Event.REFUSED:
            self.counts[effect.detail.partition(":")[0]] += 1

    def stepped(self, host: Host, what: Input, effects: Sequence[Effect]) -> None:
        """Nothing."""


def found(hosts: Sequence[Host], nonce: bytes, start: int, timing: Timing) -> Genesis:
    """The first record of a subnet of these computers, signed by all; ``start`` is in ms."""
    nodes = sorted((host.identity for host in hosts), key=lambda identity: identity.node_id)
    subnet = records.founded_subnet([node.node_id for node in nodes], nonce)
    alpha = records.genesis_alpha(subnet)
    proofs = tuple(vrf.prove(node.vrf_secret, alpha) for node in nodes)
    record = records.genesis_record(
        {node.node_id: node.vrf_key for node in nodes},
        nonce,
        {node.node_id: vrf.proof_to_hash(proof) for node, proof in zip(nodes, proofs, strict=True)},
        start,
        timing,
    )
    signed = records.signed_genesis(record)
    genesis = Genesis(record, nonce, proofs, tuple(node.signing_key.sign(signed) for node in nodes))
    records.check_genesis(genesis, timing)
    return genesis


class Simulation:
    """One run of a :class:`Setup`."""

    def __init__(
        self,
        setup: Setup,
        progress: Callable[[float], None] = _nobody,
        log: TextIO | None = None,
        *,
        story: bool = True,
    ) -> None:
        """Without ``story`` there is no digest and no tale of the last steps, and a third less to do."""
        self.setup = setup
        self.progress = progress
        """Told the share of the run that is done."""
        self.streams = Streams(setup.seed)
        faults = self.weather() if setup.faults is None else setup.faults
        self.faults = faults
        self.promises = Promises()
        self.refusals = Refusals()
        self.promises.listeners.append(self.refusals)
        if log is not None:
            self.promises.listeners.append(TermLog(log))
        self.world = World(
            self.streams, faults, self.promises, self._make_node, real_links=setup.real_links, log=story
        )
        self.promises.world = self.world
        self.world.after_boot = self._introduce
        self.world.measures = not setup.only_terms
        self.promises.clock = self._role_time
        self.traffic = Traffic(self.world, self.streams.chance("traffic"), setup.timing.eps)
        self.promises.listeners.append(self.traffic)
        self.outcome = Outcome(setup, faults)
        skew = self.streams.chance("skew")
        for index in range(setup.nodes):
            offset = skew.randint(-faults.skew, faults.skew) if faults.skew else 0
            self.world.add(Host(index, self.streams.branch("host", index), Clock(offset)))
        self.genesis = found(self.world.hosts, self.streams.key("nonce"), BEGIN + FOUNDED, setup.timing)
        self._storms = self.streams.chance("storms")
        self._calm_since = 0
        self._choose_liars()

    def _role_time(self, host: Host) -> int:
        """What a node's slots go by."""
        time = self.world.time_of(host)
        return host.node.time(time) if isinstance(host.node, Whole) else time

    # --- set-up -------------------------------------------------------------------------------------------

    def weather(self) -> Faults:
        """What goes wrong when nothing is said about it."""
        return fault_module.drawn(self.streams.chance("faults"))

    def _choose_liars(self) -> None:
        chance = self.streams.chance("liars")
        most = (self.setup.nodes - 1) // 3
        count = chance.randint(0, most) if self.setup.liars is None else self.setup.liars
        for index in sorted(chance.sample(range(self.setup.nodes), count)):
            host = self.world.hosts[index]
            branch = self.streams.chance("liar", index)
            if self.setup.liar_kind is None:
                host.liar = liars.drawn(self.world, host, branch)
            else:
                host.liar = liars.KINDS[self.setup.liar_kind](self.world, host, branch)
            self.outcome.liars[index] = host.liar.name

    def _ring(self, host: Host) -> list[Host]:
        """Whom a computer knows how to reach from the beginning."""
        count = len(self.world.hosts)
        distances = [1 << power for power in range(7) if 1 << power < count]
        return [self.world.hosts[(host.index + distance) % count] for distance in distances]

    def _make_node(self, host: Host, now: int) -> Simulated:
        if not self.setup.only_terms:
            return Whole(
                Node(
                    host.identity,
                    entropy=host.entropy,
                    now=now,
                    records=host.store.load(),
                    timing=self.setup.timing,
                )
            )
        neighbours = self._ring(host)
        return Voter(
            host.identity,
            now=now,
            stored=host.store.load(),
            genesis=self.genesis.record,
            neighbours=[(other.id, other.address) for other in neighbours],
            address=str(host.index),
        )

    def _introduce(self, host: Host) -> None:
        """What an application tells its node after every start; the genesis once."""
        if self.setup.only_terms:
            return
        self.world.feed(host, SetAddresses((host.address,)))
        for other in self._ring(host):
            self.world.feed(host, AddPeer(other.id, (other.address,)))
        if host.node is not None and not host.node.present:
            self.world.feed(host, Begin(self.genesis))

    @property
    def honest(self) -> list[Host]:
        """The computers that don't lie."""
        return [host for host in self.world.hosts if host.liar is None]

    # --- the run ------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Play it through; raises :class:`BrokenPromiseError` for a promise that is broken."""
        try:
            self._play()
        except PromiseError as error:
            raise self._broken(error) from None
        return self._finish()

    def _broken(self, error: PromiseError) -> BrokenPromiseError:
        last = "\n".join(self.world.recent()[-25:])
        lying = ", ".join(f"{index} {name}" for index, name in self.outcome.liars.items()) or "none"
        text = (
            f"{error}\n\nThe last steps:\n{last}\n\n{self.faults}\nLiars: {lying}\n\n"
            f"To see it again:\n    {self.setup.command()}\n"
        )
        return BrokenPromiseError(error.promise, text, self.faults)

    def _play(self) -> None:
        setup, world = self.setup, self.world
        for host in world.hosts:
            world.at(self._storms.randint(0, 5_000), world.boot, host)
        term = self.term_length
        end = FOUNDED + setup.terms * term
        self._plan_messages(end)
        now = 0
        if setup.split is not None:
            world.at(
                setup.split[0], world.part, [int(12 * host.index >= 7 * setup.nodes) for host in world.hosts]
            )
            world.at(setup.split[1], world.heal)
        if not self.faults.any:
            while now < end:
                now = min(now + term, end)
                world.run(now)
                self.progress(now / end)
            self._check_calm()
            return
        while now < end:
            self.progress(now / end)
            length = ROUND * term
            storm = int(length * self.faults.storm)
            self._begin_storm(now, storm)
            world.run(now + storm)
            self._end_storm()
            calm = max(length - storm, self._calm_needed())
            now += storm + calm
            world.run(now)
            self._check_calm()

    @property
    def term_length(self) -> int:
        """How long a term takes when all goes well, in ms."""
        return self.setup.timing.term_ms + 3 * self.setup.timing.slot_ms

    def _calm_needed(self) -> int:
        """Within how many ms a term must end once the network is calm."""
        timing = self.setup.timing
        return timing.term_ms + (self.bound + 2) * timing.slot_ms

    @property
    def bound(self) -> int:
        """Slots of calm within which a term ends: twice through all leaders, and a turn more."""
        return 2 * self.setup.nodes + 6

    def _plan_messages(self, end: int) -> None:
        """Applications write at random times to random members; nobody does while only the vote runs."""
        chance = self.streams.chance("applications")
        term = self.setup.timing.term_ms
        honest = self.honest
        if self.setup.only_terms or len(honest) < 2:
            return
        for _ in range(int(self.setup.messages * end / term)):
            sender, recipient = chance.sample(honest, 2)
            route = Route.DIRECT_FIRST if chance.random() < 0.2 else Route.RELAY_FIRST
            self.world.at(FOUNDED // 2 + chance.randrange(end), self._say, sender, recipient, route)

    def _say(self, sender: Host, recipient: Host, route: Route) -> None:
        self.traffic.say(sender, recipient, route=route)

    # --- storms -------------------------------------------------------------------------------------------

    def _begin_storm(self, now: int, length: int) -> None:
        world, faults, chance = self.world, self.faults, self._storms
        world.calm = False
        hours = length / HOUR
        for host in world.hosts:
            for _ in range(_poisson(chance, faults.crashes * hours)):
                world.at(now + chance.randrange(length), self._doom, host)
            for _ in range(_poisson(chance, faults.cuts * hours)):
                world.at(now + chance.randrange(length), world.cut_one, host, chance)
            for _ in range(_poisson(chance, faults.steps * hours)):
                world.at(now + chance.randrange(length), self._set_clock, host)
        for _ in range(_poisson(chance, faults.partitions * hours)):
            at = now + chance.randrange(length)
            world.at(at, self._part)
            world.at(min(at + chance.randint(1_000, faults.apart), now + length - 1), world.heal)

    def _end_storm(self) -> None:
        self.world.calm = True
        self.world.heal()
        self._calm_since = self.world.now
        for host in self.world.hosts:
            host.doomed = False

    def _doom(self, host: Host) -> None:
        host.doomed = host.node is not None and not self.world.calm

    def _set_clock(self, host: Host) -> None:
        if host.liar is None:
            host.clock.offset = self._storms.randint(-self.faults.skew, self.faults.skew)

    def _part(self) -> None:
        share = self._storms.choice((0.25, 0.5))
        self.world.part([int(self._storms.random() < share) for _ in self.world.hosts])

    # --- what needs a calm --------------------------------------------------------------------------------

    def _check_calm(self) -> None:
        """EventuallyFinal: a term ended in this calm, and all honest members hold the same record."""
        self.outcome.checks += 1
        held: dict[tuple[bytes, int], list[int]] = {}
        for host in self.honest:
            if host.node is None:
                raise PromiseError("EventuallyFinal", f"node {host.index} is off in a calm")
            view = host.node.view()
            if view is None:
                raise PromiseError("EventuallyFinal", f"node {host.index} has no home")
            held.setdefault((view.record.subnet, view.record.term), []).append(host.index)
        terms = sorted(term for _, term in held)
        self.promises.require(
            "EventuallyFinal",
            len(terms) == 1 or (len(terms) == 2 and terms[1] - terms[0] == 1),
            f"after a calm of {(self.world.now - self._calm_since) // 1000} s, terms and who holds them: "
            + "; ".join(
                f"{term}: {nodes}" for (_, term), nodes in sorted(held.items(), key=lambda x: x[0][1])
            ),
        )
        age = self.world.now - self.promises.last_new
        most = self._calm_needed()
        self.promises.require(
            "EventuallyFinal", age <= most, f"no term ended for {age // 1000} s, though the network is calm"
        )
        self._check_messages()

    def _check_messages(self) -> None:
        """DeliveredInTime: what was sent long enough ago has arrived, with its receipt."""
        for message in self.traffic.overdue(self._calm_since):
            raise PromiseError(
                "DeliveredInTime",
                f"message {message.number} from {message.sender} to {message.recipient} is "
                f"{message.state.name}, {'shown' if message.shown_at is not None else 'not shown'}, "
                f"{(self.world.now - message.asked_at) // 1000} s after it was sent",
            )

    def _finish(self) -> Outcome:
        outcome, world = self.outcome, self.world
        outcome.terms = self.promises.terms_ended
        outcome.forks = self.promises.forks
        outcome.steps, outcome.frames, outcome.crashes = world.steps, world.frames, world.crashes
        outcome.bytes = sum(host.bytes_sent for host in world.hosts)
        outcome.hours = world.now / HOUR
        traffic = self.traffic
        outcome.sent = sum(message.taken for message in traffic.sent)
        outcome.delivered, outcome.expired = traffic.delivered, traffic.expired
        outcome.latencies = traffic.latencies
        outcome.refusals = dict(sorted(self.refusals.counts.items()))
        outcome.digest = world.digest()
        return outcome


def _poisson(chance: random.Random, mean: float) -> int:
    """How often something of this mean happens."""
    count, left = 0, mean
    while (left := left - chance.expovariate(1.0)) > 0:
        count += 1
    return count


def play(setup: Setup, progress: Callable[[float], None] = _nobody, log: TextIO | None = None) -> Outcome:
    """One run; raises :class:`BrokenPromiseError` for a promise that is broken.

    ``log`` takes the steps of the terms (:mod:`tom_sim.term_log`).
    """
    with memo.shared():
        return Simulation(setup, progress, log).run()
