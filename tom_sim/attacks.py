"""Attacks on what the network gives and asks: each tried from a seed, on the code that runs, with its figure.

Where balances, weights and roles are attacked, records are computed on paper (:mod:`tom_sim.paper`); where a
link is, the real queue serves it; where a place in the draft is, the real draft draws.  Each attack says what
the attacker got, what an honest member gets, the bound that the design states, and what it can't prevent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from math import comb, sqrt
from typing import Final

from attrs import evolve, field, frozen

from tom_ref import constants, records, vrf
from tom_ref.constants import ALLOWANCE, DECAY, RETRY_FIRST
from tom_ref.draft import Roles, draft, draft_key
from tom_ref.fairqueue import QUANTUM, FairQueue
from tom_ref.identity import Identity
from tom_ref.ledger import work_bits
from tom_ref.term_frames import Counts, Delivery
from tom_ref.vitals import Pulse
from tom_sim.campaign import percentile
from tom_sim.paper import SLOT, Paper
from tom_sim.streams import Streams

MEGABYTE: Final = 1_048_576
_SURE: Final = 4.0
"""Standard deviations by which a measured rate may differ from what it should be."""

Series = Mapping[str, Sequence[tuple[float, float]]]


@frozen
class Finding:
    """What came of one attack."""

    attack: str
    seed: int
    gain: str
    """What the attacker got."""
    honest: str
    """What an honest member gets."""
    value: float
    """The figure that is held against the bound."""
    bound: float
    stated: str
    """The bound in words."""
    limit: str
    """What the design can't prevent."""
    series: Series = field(factory=dict)
    """Points for plots."""

    @property
    def holds(self) -> bool:
        """Whether the bound held."""
        return self.value <= self.bound


def _pairs(chance: random.Random, nodes: Sequence[Identity], count: int) -> list[tuple[Identity, Identity]]:
    found = []
    for _ in range(count):
        one, other = chance.sample(nodes, 2)
        found.append((one, other))
    return found


def _mib(count: float) -> str:
    return f"{count / MEGABYTE:+.1f} MiB"


# --- two accomplices that fake traffic ------------------------------------------------------------------


def accomplices(seed: int, size: int = 60) -> Finding:
    """Four work together: one sends to another through a third all day, and nothing of it serves anybody."""
    streams = Streams(seed, "accomplices")
    paper, chance = Paper(streams, 16), streams.chance("traffic")
    sender, *friends = chance.sample(paper.nodes, 4)
    ours = {sender.node_id, *(node.node_id for node in friends)}
    others = [node for node in paper.nodes if node.node_id not in ours]
    best, net, on_duty = 0, -(2**62), 0
    weights: list[float] = []
    points: dict[str, list[tuple[float, float]]] = {"the three friends": [], "the sender": []}
    for term in range(size):
        made = []
        way = next(
            (
                (recipient, relay.node_id)
                for recipient, relay in permutations(friends, 2)
                if relay.node_id in paper.on_duty(sender, recipient)
            ),
            None,
        )
        if way is not None:
            on_duty += 1
            made += [paper.delivery(sender, *way, MEGABYTE) for _ in range(32)]
        for one, other in _pairs(chance, others, 24):
            carrier = next(node for node in paper.on_duty(one, other) + _rest(paper) if node not in ours)
            made.append(paper.delivery(one, other, carrier, 16_384))
        paper.next_term(made)
        gained = sum(map(paper.balance, friends))
        best, net = max(best, gained), max(net, gained + paper.balance(sender))
        weights.append(max(map(paper.weight, friends)))
        points["the three friends"].append((term, gained / MEGABYTE))
        points["the sender"].append((term, paper.balance(sender) / MEGABYTE))
    elapsed = size * (paper.record.term_ms + SLOT * paper.record.slot_ms)
    bits = work_bits(paper.balance(sender))
    honest = sum(map(paper.weight, others)) / len(others)
    return Finding(
        "accomplices fake traffic",
        seed,
        f"{_mib(best)} for the relays among them, {_mib(net)} for all four at best; "
        f"the sender then works {bits} bits a message; weight {sum(weights) / size:.1f}",
        f"weight {honest:.1f}",
        best,
        ALLOWANCE * (1 + elapsed / DECAY),
        "a sending id moves ALLOWANCE, and then what fades; for all of them together it is never a gain",
        f"the relay's credit and weight look earned; one of them had the duty in {on_duty} of {size} terms",
        points,
    )


def _rest(paper: Paper) -> tuple[bytes, ...]:
    return tuple(node.node_id for node in paper.nodes)


# --- free riders ------------------------------------------------------------------------------------------


def free_riders(seed: int, size: int = 100) -> Finding:
    """A quarter of the members sends like the others and carries nothing for anybody."""
    streams = Streams(seed, "free riders")
    paper, chance = Paper(streams, 16), streams.chance("traffic")
    riders = chance.sample(paper.nodes, 4)
    lazy = {rider.node_id for rider in riders}
    others = [node for node in paper.nodes if node.node_id not in lazy]
    points: dict[str, list[tuple[float, float]]] = {"free riders": [], "others": []}
    for term in range(size):
        made: list[Delivery] = []
        for sender in paper.nodes:
            recipient = chance.choice([node for node in paper.nodes if node is not sender])
            duty = paper.on_duty(sender, recipient)
            carrier = next((node for node in duty if node not in lazy), None)
            if carrier is not None:
                made.append(paper.delivery(sender, recipient, carrier, 262_144))
        paper.next_term(made)
        for name, nodes in (("free riders", riders), ("others", others)):
            points[name].append((term, _tries(paper, nodes)))
    most = max(tries for _, tries in points["free riders"])
    owed = sum(map(paper.balance, riders)) / len(riders)
    has = sum(map(paper.balance, others)) / len(others)
    return Finding(
        "free riders",
        seed,
        f"balance {_mib(owed)}, {points['free riders'][-1][1]:,.0f} hashes a message",
        f"balance {_mib(has)}, {points['others'][-1][1]:,.0f} hashes a message",
        most,
        2**constants.WORK_MOST_BITS,
        "at most 2^24 hashes a message: dearer, never shut out",
        "hashes are cheap for who has fast hardware; a free rider that sends little pays little",
        points,
    )


def _tries(paper: Paper, nodes: Sequence[Identity]) -> float:
    """Hashes that one message costs on average, over these senders."""
    bits = [work_bits(paper.balance(node)) for node in nodes]
    return sum(2.0**one if one else 0.0 for one in bits) / len(bits)


# --- selective absence ------------------------------------------------------------------------------------


def selective_absence(seed: int, size: int = 60) -> Finding:
    """A member shows its presence, takes the relay's role, and hands nothing on."""
    streams = Streams(seed, "absence")
    paper, chance = Paper(streams, 16), streams.chance("traffic")
    idle = chance.choice(paper.nodes)
    others = [node for node in paper.nodes if node is not idle]
    met: list[tuple[float, float]] = []
    for term in range(size):
        made, delayed = [], 0
        pairs = _pairs(chance, others, 96)
        for one, other in pairs:
            duty = paper.on_duty(one, other)
            delayed += duty[0] == idle.node_id
            carrier = next(node for node in duty if node != idle.node_id)
            made.append(paper.delivery(one, other, carrier, 2_000))
        paper.next_term(made)
        met.append((term, 100 * delayed / len(pairs)))
    half = size // 2
    late = sum(share for _, share in met[half:]) / (size - half)
    early = sum(share for _, share in met[: size // 10]) / (size // 10)
    even = 100 / len(others)
    spread = 100 * sqrt(0.06 * 0.94 / (96 * (size - half)))
    return Finding(
        "selective absence",
        seed,
        f"{late:.1f} % of messages meet it first and lose {RETRY_FIRST // 1_000} s "
        f"({early:.1f} % in the first tenth); weight {paper.weight(idle)}",
        f"weight {sum(map(paper.weight, others)) / len(others):.1f}",
        late,
        even + _SURE * spread,
        "not more than an even share of first ranks",
        "who carries a little keeps its weight; who is refused by one relay alone can only reroute",
        {"% of messages": met},
    )


# --- grinding ids -----------------------------------------------------------------------------------------


def id_grinding(seed: int, size: int = 600) -> Finding:
    """Many ids are tried until one would be the first relay; it is admitted, and two terms later drafted."""
    streams = Streams(seed, "grinding")
    members = [streams.key("member", number) for number in range(15)]
    sizes = [0, 0, 0]
    relays = 6
    for trial in range(size):
        now = streams.key("seed", trial)
        ground = min(
            (streams.key("ground", trial, number) for number in range(64)),
            key=lambda node: draft_key(now, b"relay", node, 1),
        )
        everybody = [(node, 1) for node in (*members, ground)]
        sizes[0] += ground in draft(now, b"relay", everybody)[:relays]
        # Two records later other leaders' proofs have entered the seed twice.
        later = records.next_seed(
            2, records.next_seed(1, now, streams.key("beta", trial)), streams.key("b", trial)
        )
        sizes[1] += ground in draft(later, b"relay", everybody)[:relays]
        sizes[2] += members[0] in draft(later, b"relay", everybody)[:relays]
    ground_now, ground_later, honest = (count / size for count in sizes)
    even = relays / 16
    return Finding(
        "id grinding",
        seed,
        f"a relay in {100 * ground_later:.1f} % of the terms in which it may be one "
        f"({100 * ground_now:.1f} % under the seed it was ground for)",
        f"{100 * honest:.1f} %",
        ground_later,
        even + _SURE * sqrt(even * (1 - even) / size),
        f"{100 * even:.1f} %, an even share",
        "many ids have many shares: f counts ids, not people; admission slows them down to a quarter a term",
    )


# --- a withholding leader ---------------------------------------------------------------------------------


def withholding_leader(seed: int, size: int = 500) -> Finding:
    """One of four proposes only when its own block makes it the first relay of the next term."""
    streams = Streams(seed, "withholding")
    paper = Paper(streams, 4)
    liar = streams.chance("liar").choice(paper.nodes)
    wins = [0, 0]
    withheld = 0
    for _ in range(size):
        # Nobody carries anything here, so that all weights stay equal.
        roles = paper.roles
        proposer = roles.leaders[0]
        if proposer == liar.node_id:
            proof = vrf.prove(liar.vrf_secret, records.seed_alpha(paper.record.term, paper.record.seed))
            drawn = records.next_seed(paper.record.term + 1, paper.record.seed, vrf.proof_to_hash(proof))
            if Roles(evolve(paper.record, seed=drawn)).relays[0] != liar.node_id:
                proposer, withheld = roles.leaders[1], withheld + 1
        paper.next_term(proposer=proposer)
        first = paper.roles.relays[0]
        wins[0] += first == liar.node_id
        wins[1] += first == next(node.node_id for node in paper.nodes if node is not liar)
    rate, honest = (count / size for count in wins)
    expected = 0.25 * (0.25 + 0.75 * 0.25) + 0.75 * 0.25
    return Finding(
        "a withholding leader",
        seed,
        f"the role it wants in {100 * rate:.1f} % of the terms; "
        f"{100 * withheld / size:.0f} % of the terms end two slots later",
        f"{100 * honest:.1f} %",
        rate,
        expected + _SURE * sqrt(expected * (1 - expected) / size),
        f"{100 * expected:.1f} % (n = 4, f = 1), 25 % without",
        "when votes can be delayed as well it chooses among more outcomes (Roles and terms, The seed)",
    )


# --- flooding ---------------------------------------------------------------------------------------------

CAPACITY: Final = MEGABYTE
"""bytes a second: what the link takes."""
_LOADS: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
_NEIGHBOURS: Final = 7
_FLOOD_SIZE: Final = 16_384


def flooding(seed: int, size: int = 30) -> Finding:
    """A neighbour sends through a relay up to eight times what a link takes; seven others send a little."""
    streams = Streams(seed, "flooding")
    fair: list[tuple[float, float]] = []
    fifo: list[tuple[float, float]] = []
    for load in _LOADS:
        for points, queue in ((fair, FairQueue[float]()), (fifo, Fifo())):
            served = _serve(queue, streams.chance("load", str(load)), load, size * 1_000)
            points.append((load, percentile(served, 0.99)))
    cost = _cost_of_spam(streams, max(size, 4))
    return Finding(
        "flooding",
        seed,
        f"{cost[-1][1]:,.0f} hashes a message after {len(cost)} terms; "
        f"others' 99 % latency {fair[-1][1]:.0f} ms (in one queue for all {fifo[-1][1]:,.0f} ms)",
        f"{fair[0][1]:.0f} ms without the flood, no hashes",
        fair[-1][1],
        fair[0][1] + 1_000 * 2 * (QUANTUM + _FLOOD_SIZE) / CAPACITY,
        "at most two turns of the flooder longer (156 ms at 1 MiB/s), however much it sends",
        "a link of its own is the flooder's to fill; what it sends within its turns is carried",
        {"fair queues": fair, "one queue": fifo, "cost": cost},
    )


class Fifo:
    """One queue for all: what fair queues are held against."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, float]] = []
        self.size = 0

    def push(self, source: bytes, item: float, size: int) -> list[float]:
        """As :meth:`FairQueue.push`: what doesn't fit is refused."""
        if self.size + size > constants.MAX_QUEUED_BYTES:
            return [item]
        self._waiting.append((size, item))
        self.size += size
        return []

    def pop(self) -> float | None:
        """What came first."""
        if not self._waiting:
            return None
        size, item = self._waiting.pop(0)
        self.size -= size
        return item


def _serve(queue: FairQueue[float] | Fifo, chance: random.Random, load: float, length: int) -> list[int]:
    """Latencies in ms of what the seven others sent over ``length`` ms; refused ones count as ``length``."""
    arrivals: list[tuple[float, int, int]] = []
    for source in range(_NEIGHBOURS):
        at = 0.0
        while (at := at + chance.expovariate(10 / 1_000)) < length:
            arrivals.append((at, source, 2_048))
    at, step = 0.0, 1_000 * _FLOOD_SIZE / (load * CAPACITY) if load else 0.0
    while load and (at := at + step) < length:
        arrivals.append((at, _NEIGHBOURS, _FLOOD_SIZE))
    arrivals.sort()
    latencies: list[int] = []
    free_at, place = 0.0, 0
    # Items are indices of arrivals; the spammer's are not looked at.
    while True:
        while place < len(arrivals) and arrivals[place][0] <= free_at:
            place = _arrive(queue, arrivals, place, latencies, length)
        item = queue.pop()
        if item is None:
            if place >= len(arrivals):
                return latencies
            free_at = arrivals[place][0]
            continue
        came, source, bytes_ = arrivals[int(item)]
        free_at = max(free_at, came) + 1_000 * bytes_ / CAPACITY
        if source != _NEIGHBOURS:
            latencies.append(round(free_at - came))


def _arrive(
    queue: FairQueue[float] | Fifo,
    arrivals: Sequence[tuple[float, int, int]],
    place: int,
    latencies: list[int],
    length: int,
) -> int:
    _, source, size = arrivals[place]
    refused = queue.push(b"%d" % source, float(place), size)
    latencies.extend(length for item in refused if arrivals[int(item)][1] != _NEIGHBOURS)
    return place + 1


def _cost_of_spam(streams: Streams, terms: int) -> list[tuple[float, float]]:
    """Hashes for one message of a member that sends 32 MiB a term."""
    paper, chance = Paper(streams, 16), streams.chance("spam")
    spammer = chance.choice(paper.nodes)
    points = []
    for term in range(terms):
        recipient = chance.choice([node for node in paper.nodes if node is not spammer])
        carrier = paper.on_duty(spammer, recipient)[0]
        points.append((float(term), _tries(paper, [spammer])))
        paper.next_term([paper.delivery(spammer, recipient, carrier, MEGABYTE) for _ in range(32)])
    return points


# --- eclipse of a newcomer --------------------------------------------------------------------------------


def eclipse(seed: int, size: int = 400) -> Finding:
    """A third of 64 members wants to be all that a newcomer is linked to."""
    streams = Streams(seed, "eclipse")
    chance = streams.chance("who")
    paper = Paper(streams, 64)
    ids = [node.node_id for node in paper.nodes]
    liars = frozenset(chance.sample(ids, 21))
    honest = [node for node in ids if node not in liars]
    both = alone = 0
    links = 0
    for trial in range(size):
        roles = Roles(evolve(paper.record, seed=streams.key("seed", trial)))
        both += liars.issuperset(roles.mesh(bytes(32)))
        newcomer = chance.choice(honest)
        around = roles.meshed(newcomer)
        links = len(around)
        alone += liars.issuperset(around)
    exact = comb(21, links) / comb(63, links)
    guest = both / size
    expected = 21 * 20 / (64 * 63)
    return Finding(
        "eclipse of a newcomer",
        seed,
        f"all {links} neighbours of a member in {100 * alone / size:.1f} % of the terms "
        f"(computed: {100 * exact:.5f} %); both drawn links of a guest in {100 * guest:.1f} %",
        "the guest's link to its inviter stays",
        guest,
        expected + _SURE * sqrt(expected * (1 - expected) / size),
        f"{100 * expected:.1f} % for a guest's two drawn links with a third of liars, drawn anew each term",
        "a liar that invites decides what its guest sees: an invitation is worth what its giver is",
    )


ATTACKS: Final[Mapping[str, Callable[[int, int], Finding]]] = {
    "accomplices": accomplices,
    "free-riders": free_riders,
    "selective-absence": selective_absence,
    "id-grinding": id_grinding,
    "withholding-leader": withholding_leader,
    "flooding": flooding,
    "eclipse": eclipse,
}
SIZES: Final[Mapping[str, int]] = {
    "accomplices": 60,
    "free-riders": 100,
    "selective-absence": 60,
    "id-grinding": 600,
    "withholding-leader": 500,
    "flooding": 30,
    "eclipse": 400,
}
"""Terms, draws or seconds of a full run."""


def run_one(what: tuple[str, int, int]) -> Finding:
    """One attack by its name, from a seed, of a size."""
    name, seed, size = what
    return ATTACKS[name](seed, size)


def table(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """What people read; the names of the columns come first."""
    return [
        ("attack", "seed", "the attacker gets", "an honest member", "stated bound", "holds", "not prevented"),
        *(
            (
                one.attack,
                str(one.seed),
                one.gain,
                one.honest,
                one.stated,
                "yes" if one.holds else "NO",
                one.limit,
            )
            for one in findings
        ),
    ]


# --- adaptation -------------------------------------------------------------------------------------------


@frozen
class Season:
    """One term of :func:`adaptation`."""

    term: int
    gone: float
    """The chance that a holder of a message vanishes before its recipient comes back."""
    delivered: float
    """percent"""
    custody: int
    relay_share: int


def adaptation(seed: int, *, adapts: bool, terms: int = 45, messages: int = 64) -> list[Season]:
    """Messages for absent recipients while holders vanish, with the rule of adaptation or without.

    A third of the members lies in its reports.  ``messages`` is how many each member writes in a term.
    """
    streams = Streams(seed, "adaptation")
    paper, chance = Paper(streams, 16), streams.chance("storm")
    liars = {node.node_id for node in chance.sample(paper.nodes, 5)}
    seasons = []
    for term in range(terms):
        gone = 0.5 if terms // 4 <= term < 3 * terms // 5 else 0.05
        roles, custody = paper.roles, paper.record.custody
        reports: dict[bytes, Counts] = {}
        arrived = 0
        for sender in paper.nodes:
            pulse = Pulse()
            for _ in range(messages):
                recipient = chance.choice([node for node in paper.nodes if node is not sender])
                copies = min(custody, len(roles.duty(sender.node_id, recipient.node_id))) + 1
                safe = any(chance.random() >= gone for _ in range(copies))
                arrived += safe
                pulse.ended(60_000 if safe else None, rerouted=True)
            reports[sender.node_id] = pulse.take()
        for liar in liars:
            good = term % 2 == 0
            reports[liar] = Counts(9, 9 * good, 9, 9 * good, (9 * good, 0, 0, 0, 0, 0, 0, 0))
        seasons.append(
            Season(
                term, gone, 100 * arrived / (messages * len(paper.nodes)), custody, paper.record.relay_share
            )
        )
        paper.next_term(reports=reports)
        if not adapts:
            paper.record = evolve(
                paper.record, custody=constants.CUSTODY_COPIES, relay_share=constants.RELAY_SHARE
            )
    return seasons
