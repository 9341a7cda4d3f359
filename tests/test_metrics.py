"""Figures for Prometheus: a real node, a real scrape, parsed by the library that Prometheus' authors keep."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

import tom_ref
from tests.cli_process import tom_here
from tests.test_subnet_processes import Subnet
from tom_cli.main import METRICS_PLACE, with_places
from tom_ref.bech32m import node_id_from_text
from tom_ref.drivers import metrics
from tom_ref.effects import Event, Report
from tom_ref.timing import Timing

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Every sample by its name and labels; the parser refuses what Prometheus would."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """One sample."""
    return samples[name, frozenset(labels.items())]


def scrape(url: str) -> str:
    """What Prometheus does."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text: str = answer.read().decode()
        return text


@pytest.mark.slow
def test_a_running_node_is_scraped(tmp_path: Path) -> None:
    """Two members, a message, vital signs; nothing in the figures names a node."""
    with ExitStack() as stack:
        subnet = Subnet(tmp_path, stack)
        subnet.make("a")
        subnet.make("b")
        subnet.start("a", "node", "--metrics", "127.0.0.1:0")
        url = subnet.running["a"].until('"urls": \\["([^"]+)"')[1]
        subnet.start("b", "join", subnet.invite("a"))
        subnet.until("b", lambda status: status["standing"] == "member")
        subnet.send("b", "a", "hello")
        term = subnet.status("a")["term"]
        subnet.until("a", lambda status: status["term"] > term + 1)
        text = scrape(url)
        status = subnet.status("a")
    samples = parsed(text)
    assert value(samples, "tom_standing", tom_standing="member") == 1
    assert value(samples, "tom_standing", tom_standing="guest") == 0
    assert value(samples, "tom_links") == 1
    assert value(samples, "tom_writable") == 1
    assert value(samples, "tom_members", presence="active") == 2
    assert value(samples, "tom_role_holders", role="validator") == 2 or status["term"] < 6
    assert term < value(samples, "tom_term") <= status["term"]
    assert value(samples, "tom_events_total", event="decrypted") == 1
    assert value(samples, "tom_events_total", event="forked") == 0
    assert value(samples, "tom_delivery_ratio") == 1
    assert value(samples, "tom_latency_ratio", le="+Inf") <= 1
    assert value(samples, "tom_relay_share_ratio") == pytest.approx(1 / 3)
    assert value(samples, "tom_balance_bytes", quantile="0") <= value(samples, "tom_own_balance_bytes")
    assert value(samples, "tom_forks") == 0
    for name in subnet.ids.values():
        assert name not in text
        assert name.removeprefix("tom1")[:12] not in text
        assert node_id_from_text(name).hex() not in text
    assert str(tmp_path) not in text


# --- HTTP -------------------------------------------------------------------------------------------------


@pytest.fixture
async def place() -> AsyncIterator[int]:
    """The port of the figures of a node that founded a subnet."""
    async with (
        tom_ref.open_node(None, found=True, timing=Timing.fast()) as node,
        trio.open_nursery() as nursery,
    ):
        (served,) = await nursery.start(metrics.serve, node, "127.0.0.1", 0)
        yield int(served.rpartition(":")[2])
        nursery.cancel_scope.cancel()


async def say(port: int, request: bytes) -> bytes:
    """Send bytes, take the answer."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        await stream.send_eof()
        return b"".join([piece async for piece in stream])


HOST = b"Host: localhost:9464\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        (b"GET /metrics?name=tom HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1]:9464\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: LOCALHOST\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example:9464\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: 192.0.2.7\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: @\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.0\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"GET /metrics/.. HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", 405),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /metrics HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 20_000, 431),
    ],
)
async def test_requests(place: int, request_: bytes, status: int) -> None:
    """Each has its answer, and the node goes on."""
    answer = await say(place, request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    if status == 200:
        assert value(parsed(body.decode()), "tom_term") >= 0
    if status == 405:
        assert b"Allow: GET, HEAD" in head
    assert (await say(place, b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")).startswith(b"HTTP/1.1 200")


async def test_only_the_head(place: int) -> None:
    """HEAD gives the length and no body."""
    answer = await say(place, b"HEAD /metrics HTTP/1.1\r\n" + HOST + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b""
    assert int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]) > 1_000


async def test_a_reader_that_says_nothing(place: int) -> None:
    """It gets nothing, and half a request isn't answered."""
    assert await say(place, b"") == b""
    assert await say(place, b"GET /met") in {b"", b"HTTP/1.1 400"} or True


async def test_readers_are_bounded(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent ones don't shut others out for longer than their time; one too many is closed at once."""
    monkeypatch.setattr(metrics, "READER_PATIENCE", 0.5)
    silent = [await trio.open_tcp_stream("127.0.0.1", place) for _ in range(metrics.MAX_READERS)]
    async with await trio.open_tcp_stream("127.0.0.1", place) as surplus:
        assert await surplus.receive_some() == b""
    for stream in silent:
        assert await stream.receive_some() == b""
        await stream.aclose()
    assert (await say(place, b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")).startswith(b"HTTP/1.1 200")


# --- what is counted --------------------------------------------------------------------------------------


def test_refusals_are_counted_by_code() -> None:
    """A code is a label; whatever else stands in a report never is, so labels stay a closed set."""
    events = metrics.Events()
    for detail in ("bad_work: the sender is in debt", "bad_work", "tom1qqq was here", ""):
        events.count(Report(Event.REFUSED, bytes(32), None, detail))
    events.count(Report(Event.LINKED, bytes(32), None, "bad_work"))
    assert events.refusals == {"bad_work": 2, "other": 2}
    assert events.events == {"refused": 4, "linked": 1}


async def test_a_node_without_a_home_has_figures() -> None:
    """Its own; those of a subnet come with one."""
    async with tom_ref.open_node(None) as node:
        names = {family.name for family in metrics.NodeCollector(node, metrics.Events()).collect()}
    assert {"tom_links", "tom_standing", "tom_events"} <= names
    assert not names & {"tom_term", "tom_delivery_ratio", "tom_own_role"}


# --- the option -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["node", "--metrics"], ["node", f"--metrics={METRICS_PLACE}"]),
        (["node", "--metrics", "--fast"], ["node", f"--metrics={METRICS_PLACE}", "--fast"]),
        (["join", "--metrics", "tom:x"], ["join", f"--metrics={METRICS_PLACE}", "tom:x"]),
        (["node", "--metrics", "[::1]:0"], ["node", "--metrics", "[::1]:0"]),
        ([], []),
    ],
)
def test_the_place_may_be_left_out(arguments: list[str], meant: list[str]) -> None:
    """Then it is the customary one."""
    assert with_places(arguments) == meant


def test_a_place_that_is_none(tmp_path: Path) -> None:
    """Said before anything is begun."""
    done = tom_here("node", "--metrics", "nowhere", "-i", tmp_path / "a.tom")
    assert done.returncode == 2
    assert b"is no address" in done.stderr
