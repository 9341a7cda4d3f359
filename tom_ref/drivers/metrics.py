"""A running node's vital signs for Prometheus: its text format over HTTP, at ``/metrics``.

What is told is about the subnet as a whole and about this node, and says nothing of any other node: there is
no label with a NodeId, so whoever may read the figures doesn't learn who the members are, and the number of
series doesn't grow with them.  Keys, addresses, contents and message ids are told nowhere.

Whoever reaches the port may read.  By default that is this computer alone; a page in a browser of this
computer can't, since a request that names another host than this computer is refused (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from importlib import metadata
from typing import Final, Protocol

import h11
import trio
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

from tom_ref.constants import PERMILLE
from tom_ref.drivers.errors import AddressError
from tom_ref.drivers.tcp import Listening, PatientListener, open_listeners, parse_host_port
from tom_ref.effects import Event, Report
from tom_ref.errors import Reason
from tom_ref.home import HomeStatus, Standing
from tom_ref.term_frames import Member, TermRecord
from tom_ref.vitals import CLASSES

PATH: Final = b"/metrics"

MAX_READERS: Final = 16
"""count: the most connections that are served at once; more are closed."""

MAX_REQUEST: Final = 8_192
"""bytes: the largest head of a request."""

READER_PATIENCE: Final = 10.0
"""s: from a connection to the end of the answer."""

_CHUNK: Final = 4_096
_HAS_PORT: Final = re.compile(r":\d+$")
_OTHER: Final = "other"
_REASONS: Final = frozenset(reason.value for reason in Reason)
_TWELFTHS: Final = 12


class Watched(Protocol):
    """What is measured of a node; :class:`~tom_ref.drivers.library.OpenNode` has it."""

    @property
    def node_id(self) -> bytes:
        """Its NodeId, 32 bytes."""
        ...

    @property
    def linked(self) -> frozenset[str]:
        """The linked nodes."""
        ...

    @property
    def writable(self) -> bool:
        """Whether it takes another message."""
        ...

    def status(self) -> HomeStatus:
        """The home subnet."""
        ...

    def reports(self) -> Reports:
        """What it does from now on."""
        ...


class Reports(Protocol):
    """What a node does, as it happens."""

    def __aiter__(self) -> Reports:
        """Itself."""
        ...

    async def __anext__(self) -> Report:
        """The next thing."""
        ...


class Events:
    """How often the node did what, and why it refused what it refused, since counting began."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.events: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def count(self, report: Report) -> None:
        """Count one report; a refusal by its reason code, which are a closed set."""
        self.events[report.event.value] += 1
        if report.event is Event.REFUSED:
            reason = report.detail.partition(":")[0]
            self.refusals[reason if reason in _REASONS else _OTHER] += 1


class NodeCollector(Collector):
    """The figures of one node, taken at the moment they are asked for."""

    def __init__(self, node: Watched, events: Events) -> None:
        """``events`` is what somebody else counts."""
        self._node = node
        self._events = events

    def collect(self) -> Iterable[Metric]:
        """All figures; those of the subnet only while there is one."""
        yield from self._own()
        status = self._node.status()
        if status.record is not None and status.roles is not None:
            yield from _subnet(status.record, status)
            yield from _vital_signs(status.record)
            yield from self._member(status)

    def _own(self) -> Iterator[Metric]:
        node, status = self._node, self._node.status()
        yield InfoMetricFamily("tom", "The software", {"version": metadata.version("tom-ref")})
        yield StateSetMetricFamily(
            "tom_standing",
            "What this node is in its home subnet",
            {standing.value: standing is status.standing for standing in Standing},
        )
        yield _gauge("tom_links", "Links that this node holds", len(node.linked))
        yield _gauge("tom_writable", "1 while this node takes another message to send", int(node.writable))
        events = CounterMetricFamily(
            "tom_events", "What this node did since figures are served, by kind", labels=["event"]
        )
        for event in Event:
            events.add_metric([event.value], self._events.events[event.value])
        yield events
        refusals = CounterMetricFamily(
            "tom_refusals",
            "What this node refused since figures are served, by reason code",
            labels=["reason"],
        )
        for reason, count in sorted(self._events.refusals.items()):
            refusals.add_metric([reason], count)
        yield refusals

    def _member(self, status: HomeStatus) -> Iterator[Metric]:
        record, roles, own = status.record, status.roles, self._node.node_id
        assert record is not None
        assert roles is not None
        held = GaugeMetricFamily("tom_own_role", "1 for the roles that this node holds", labels=["role"])
        for role, nodes in (
            ("relay", roles.relays),
            ("validator", roles.validators),
            ("guardian", roles.guardians),
        ):
            held.add_metric([role], int(own in nodes))
        yield held
        member = next((one for one in record.roster if one.node == own), None)
        if member is not None:
            yield _gauge(
                "tom_own_balance_bytes", "This node's balance; below 0 it is in debt", member.balance
            )
            yield _gauge(
                "tom_own_weight", "How often this node counts in the draft of relays", 1 << member.weight
            )
            yield _gauge(
                "tom_own_absent_terms", "Terms in a row without proof of its presence", member.absent
            )


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _subnet(record: TermRecord, status: HomeStatus) -> Iterator[Metric]:
    roles = status.roles
    assert roles is not None
    yield _gauge("tom_term", "Number of the present term record", record.term)
    yield _gauge("tom_slot", "Slot of the vote on the next record; -1 before it begins", status.slot)
    members = GaugeMetricFamily("tom_members", "Members by presence in the last term", labels=["presence"])
    active = sum(member.absent == 0 for member in record.roster)
    members.add_metric(["active"], active)
    members.add_metric(["absent"], len(record.roster) - active)
    yield members
    holders = GaugeMetricFamily("tom_role_holders", "How many members hold a role", labels=["role"])
    for role, nodes in (
        ("relay", roles.relays),
        ("validator", roles.validators),
        ("guardian", roles.guardians),
    ):
        holders.add_metric([role], len(nodes))
    yield holders
    yield _gauge("tom_heard_members", "Members whose presence in this term was heard of", len(status.heard))
    yield _gauge("tom_quorum_votes", "Votes that make a block notarized", roles.quorum)
    yield _gauge(
        "tom_relay_share_ratio", "Part of the pool that serves as relays", record.relay_share / _TWELFTHS
    )
    yield _gauge("tom_custody_copies", "Copies kept of a message for an absent recipient", record.custody)
    yield _gauge("tom_pot_bytes", "The pot: minus the sum of all balances", record.pot)
    yield _balances(record.roster)


def _balances(roster: Sequence[Member]) -> Metric:
    """The distribution as five numbers, whatever the number of members; no number says whose it is."""
    balances = sorted(member.balance for member in roster)
    family = GaugeMetricFamily(
        "tom_balance_bytes", "Distribution of the members' balances", labels=["quantile"]
    )
    for part in range(5):
        family.add_metric([f"{part / 4:g}"], balances[(len(balances) - 1) * part // 4])
    return family


def _vital_signs(record: TermRecord) -> Iterator[Metric]:
    vitals = record.vitals
    if vitals is None:
        return
    yield _gauge("tom_delivery_ratio", "Messages delivered, of those that ended", vitals.delivery / PERMILLE)
    yield _gauge(
        "tom_survival_ratio",
        "Messages delivered, of those that lost their first way",
        vitals.survival / PERMILLE,
    )
    latency = GaugeMetricFamily(
        "tom_latency_ratio",
        "Share of delivered messages whose receipt came within so many seconds: medians of classes, added up",
        labels=["le"],
    )
    total = 0
    bounds = [f"{bound / 1000:g}" for bound in CLASSES] + ["+Inf"]
    for bound, share in zip(bounds, vitals.latency, strict=True):
        total += share
        latency.add_metric([bound], total / PERMILLE)
    yield latency
    yield _gauge(
        "tom_vitals_reports", "Reports that the present record's vital signs come from", vitals.reports
    )
    yield _gauge("tom_forks", "Forks in this subnet's lineage", vitals.forks)


# --- serving --------------------------------------------------------------------------------------------


async def serve(
    node: Watched,
    host: str,
    port: int,
    task_status: trio.TaskStatus[tuple[str, ...]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve figures at ``http://host:port/metrics`` until cancelled; tells the places, with real ports.

    Port 0 takes any free one.  Raises :class:`~tom_ref.drivers.errors.ListenError`.
    """
    listening = Listening(await open_listeners(host, port))
    events = Events()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(node, events))
    limit = trio.CapacityLimiter(MAX_READERS)

    async def serve_one(stream: trio.SocketStream) -> None:
        await _serve_one(registry, stream, limit)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_count, node.reports(), events)
        task_status.started(tuple(address.text for address in listening.addresses))
        await trio.serve_listeners(serve_one, [PatientListener(one) for one in listening.listeners])


async def _count(reports: Reports, events: Events) -> None:
    async for report in reports:
        events.count(report)


async def _serve_one(
    registry: CollectorRegistry, stream: trio.SocketStream, limit: trio.CapacityLimiter
) -> None:
    async with stream:
        try:
            limit.acquire_nowait()
        except trio.WouldBlock:
            return
        try:
            # A reader that has gone, or takes too long, is no concern of the node's.
            with (
                suppress(trio.BrokenResourceError, trio.ClosedResourceError),
                trio.move_on_after(READER_PATIENCE),
            ):
                await _answer(registry, stream)
        finally:
            limit.release()


async def _answer(registry: CollectorRegistry, stream: trio.SocketStream) -> None:
    """Read one request and answer it; the connection ends with the answer."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
    head = False
    try:
        request = await _request(connection, stream)
        if request is None:
            return
        head = request.method == b"HEAD"
        status = _judge(request, stream)
    except h11.RemoteProtocolError as error:
        status = HTTPStatus(error.error_status_hint)
    good = status is HTTPStatus.OK
    body = generate_latest(registry) if good else f"{status.value} {status.phrase}\n".encode()
    headers = [
        ("Content-Type", CONTENT_TYPE_PLAIN_0_0_4 if good else "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "GET, HEAD"))
    answer = connection.send(h11.Response(status_code=status, headers=headers, reason=status.phrase)) or b""
    if not head:
        answer += connection.send(h11.Data(data=body)) or b""
    await stream.send_all(answer + (connection.send(h11.EndOfMessage()) or b""))
    await stream.send_eof()
    # Closed with unread bytes, a connection is reset, and the answer may be lost.
    left = MAX_REQUEST
    while left > 0 and (data := await stream.receive_some(_CHUNK)):
        left -= len(data)


async def _request(connection: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
    """The head of the one request; ``None`` when the reader went away before it was whole."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await stream.receive_some(_CHUNK))


def _judge(request: h11.Request, stream: trio.SocketStream) -> HTTPStatus:
    """Whether a request is answered with figures; the status that says why not."""
    if not _names_this_place(request, stream):
        return HTTPStatus.FORBIDDEN
    if request.target.partition(b"?")[0] != PATH:
        return HTTPStatus.NOT_FOUND
    if request.method not in {b"GET", b"HEAD"}:
        return HTTPStatus.METHOD_NOT_ALLOWED
    return HTTPStatus.OK


def _names_this_place(request: h11.Request, stream: trio.SocketStream) -> bool:
    """Whether a request to a loopback address names one; elsewhere a name may stand for any address."""
    if not ipaddress.ip_address(stream.socket.getsockname()[0]).is_loopback:
        return True
    named = next((value for name, value in request.headers if name == b"host"), b"").decode("latin-1")
    try:
        host, _ = parse_host_port(named if _HAS_PORT.search(named) else f"{named}:80")
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except (AddressError, ValueError):
        return False
