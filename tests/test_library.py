"""The interface for applications, over real sockets and real files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import tom_ref
from tests.tutorial import blocks
from tom_ref.bech32m import node_id_to_text
from tom_ref.constants import MAX_CONTENT, MAX_PENDING
from tom_ref.crypto import Secret32, verify
from tom_ref.drivers import library
from tom_ref.drivers.errors import (
    AddressError,
    ClockError,
    ListenError,
    NodeStoppedError,
    NoRoomError,
    NotDelivered,
    SecretFileError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
)
from tom_ref.drivers.library import OpenNode, open_node
from tom_ref.drivers.store import Store
from tom_ref.effects import (
    Change,
    Deliver,
    DeliveryState,
    Effect,
    Event,
    Persist,
    Progress,
    Report,
    Table,
)
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Receipt
from tom_ref.identity import Identity
from tom_ref.inputs import CommandError, Input
from tom_ref.validate import signed_receipt

DEADLINE = 30
"""s: how long a test waits for what must happen; nothing waits for it to pass."""

README = Path(__file__).resolve().parents[1] / "README.md"
ANYWHERE = "127.0.0.1:0"
NOBODY = node_id_to_text(Identity.from_secret(Secret32(bytes(32))).node_id)
OTHER = node_id_to_text(Identity.from_secret(Secret32(bytes(31) + b"o")).node_id)


@asynccontextmanager
async def trio_nodes(folder: Path | None = None) -> AsyncIterator[tuple[OpenNode, OpenNode, OpenNode]]:
    """A relay, Alice and Bob, linked."""
    async with AsyncExitStack() as stack:
        stack.enter_context(trio.fail_after(DEADLINE))
        relay = await stack.enter_async_context(open_node(None, listen=ANYWHERE))
        relays = [str(relay.address)]
        alice, bob = [
            await stack.enter_async_context(open_node(folder and folder / f"{name}.tom", relays=relays))
            for name in ("alice", "bob")
        ]
        await alice.wait_linked(relay.id)
        await bob.wait_linked(relay.node_id)
        await relay.wait_linked(alice.id)
        await relay.wait_linked(bob.id)
        yield relay, alice, bob


# --- sending and receiving ------------------------------------------------------------------------------


async def test_a_message_arrives_and_its_receipt_comes_back() -> None:
    async with trio_nodes() as (relay, alice, bob):
        delivery = await alice.send(bob.id, b"hello")
        message = await anext(aiter(bob))
        assert (message.sender, message.sender_id) == (alice.id, alice.node_id)
        assert message.content == b"hello"
        assert message.relay == relay.id
        assert not message.again
        receipt = await delivery.delivered()
        assert isinstance(receipt, Receipt)
        verify(bob.node_id, signed_receipt(receipt), receipt.signature)
        assert receipt.message_id == delivery.id == message.id
        assert delivery.state is DeliveryState.DELIVERED
        assert delivery.recipient == bob.id
        assert "hello" not in repr(message) + repr(delivery)


def programs(page: Path) -> list[str]:
    """The Python programs that a page shows."""
    return [block.body for block in blocks(page) if block.language == "python"]


async def test_the_program_of_the_readme_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = programs(README)
    monkeypatch.chdir(tmp_path)
    with trio.fail_after(DEADLINE):
        async with open_node("bob.tom", listen=ANYWHERE, found=True) as bob:
            for shown, real in (("tom:…", await bob.invite()), ("tom1…", bob.id), ("trio.run(main)", "")):
                assert shown in program
                program = program.replace(shown, real)
            names: dict[str, Any] = {}
            exec(compile(program, "README.md", "exec"), names)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(names["main"])
                message = await bob.receive()
                assert message.content == b"hello"
                message.acknowledge()
                await (await bob.send(message.sender, b"hello to you")).delivered()
                nursery.cancel_scope.cancel()
    assert capsys.readouterr().out == f"{bob.id} b'hello to you'\n"


def test_the_first_program_of_the_docs_runs_again_in_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """TOM-ROLES-062: the second time Bob listens elsewhere, and only the new invitation says where."""
    page = README.parent / "docs" / "use-the-library.md"
    program = programs(page)[0].replace("trio.run(main)", "")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program, page.name, "exec"), names)

    async def in_time() -> None:
        with trio.fail_after(DEADLINE):
            await names["main"]()

    for _ in range(3):
        trio.run(in_time)
        said = capsys.readouterr().out.splitlines()
        assert said == ["Bob reads: hello", "written by Alice: True", "receipt for that message: True"]


async def test_the_journey_tells_every_step_from_the_first_also_to_those_who_come_late() -> None:
    async with trio_nodes() as (_, alice, bob):
        delivery = await alice.send(bob.id, b"hello")
        early = [step async for step in delivery.journey()]
        late = [step async for step in delivery.journey()]
        assert early == late
        states = [step.state for step in early if isinstance(step, Progress)]
        events = [step.event for step in early if isinstance(step, Report)]
        assert states == [
            DeliveryState.PENDING,
            DeliveryState.SENT,
            DeliveryState.RELAYED,
            DeliveryState.DELIVERED,
        ]
        assert events == [
            Event.ENCRYPTED,
            Event.HANDED_OVER,
            Event.TRAIL_VERIFIED,
            Event.RECEIPT_VERIFIED,
        ]


async def test_wait_returns_at_each_state() -> None:
    async with trio_nodes() as (_, alice, bob):
        delivery = await alice.send(bob.id, b"hello")
        for state in DeliveryState:
            assert await delivery.wait(state) >= min(state, DeliveryState.DELIVERED)


async def test_large_and_empty_messages_and_many_at_once_in_both_directions() -> None:
    async with trio_nodes() as (_, alice, bob):
        contents = [b"", b"x" * MAX_CONTENT, *(f"{number}".encode() * 50 for number in range(60))]

        async def talk(sender: OpenNode, recipient: OpenNode) -> None:
            async with trio.open_nursery() as nursery:
                for content in contents:
                    nursery.start_soon(sender.send, recipient.id, content)
                got = [(await recipient.receive()) for _ in contents]
            assert sorted(message.content for message in got) == sorted(contents)
            assert len({message.id for message in got}) == len(contents)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, alice, bob)
            nursery.start_soon(talk, bob, alice)


async def test_two_nodes_talk_directly() -> None:
    with trio.fail_after(DEADLINE):
        async with (
            open_node(None, listen=ANYWHERE) as bob,
            open_node(None, peers=[str(bob.address)]) as alice,
        ):
            delivery = await alice.send(bob.id, b"direct", route="direct")
            message = await bob.receive()
            assert message.relay is None
            await delivery.delivered()


async def test_a_message_waits_for_its_recipient_and_expires_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tom_ref.constants.EPS", 50)
    async with trio_nodes() as (_, alice, _):
        expiring = await alice.send(NOBODY, b"to nobody", ttl=1)
        waiting = await alice.send(NOBODY, b"to nobody")
        with pytest.raises(NotDelivered, match="No receipt"):
            await expiring.delivered()
        assert await expiring.wait(DeliveryState.EXPIRED) is DeliveryState.EXPIRED
        assert [s.state for s in [x async for x in expiring.journey()] if isinstance(s, Progress)][-1] is (
            DeliveryState.EXPIRED
        )
        assert waiting.state is DeliveryState.PENDING
        assert waiting.id is None


async def test_what_cannot_be_sent_is_refused_and_nothing_is_taken() -> None:
    async with open_node(None) as node:
        with pytest.raises(CommandError, match="too_large"):
            await node.send(NOBODY, b"x" * (MAX_CONTENT + 1))
        with pytest.raises(CommandError, match="bad_value"):
            await node.send(node.id, b"to myself")
        for ttl in (0, -5, 24 * 3_600_000 + 1):
            with pytest.raises(CommandError, match="bad_lifetime"):
                await node.send(NOBODY, b"x", ttl=ttl)
        with pytest.raises(AddressError, match="copy all of it"):
            await node.send(NOBODY[:-1], b"x")
        with pytest.raises(ValueError, match="32 bytes"):
            await node.send(b"short", b"x")
        with pytest.raises(ValueError, match="route"):
            await node.send(NOBODY, b"x", route="moon")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await node.send(NOBODY, "text")  # type: ignore[arg-type]
        assert node._deliveries == {}


async def test_send_waits_for_room_and_send_nowait_refuses() -> None:
    with trio.fail_after(DEADLINE):
        async with open_node(None) as node:
            for _ in range(MAX_PENDING - 1):
                node.send_nowait(NOBODY, b"")
            before = node.writable
            last = node.send_nowait(NOBODY, b"")
            assert (before, node.writable) == (True, False)
            with pytest.raises(NoRoomError):
                node.send_nowait(NOBODY, b"")
            with trio.move_on_after(0.05) as scope:
                await node.send(NOBODY, b"waits")
            assert scope.cancelled_caught
            assert len(node._deliveries) == MAX_PENDING, "a cancelled send took nothing"
            assert await last.wait(DeliveryState.PENDING)


async def test_a_send_that_waits_goes_on_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tom_ref.constants.MAX_PENDING", 8)
    async with trio_nodes() as (_, alice, bob):
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(alice.send, bob.id, str(number).encode())
            got = [await bob.receive() for _ in range(100)]
        assert sorted(int(message.content) for message in got) == list(range(100))


async def test_several_readers_share_the_messages() -> None:
    async with trio_nodes() as (_, alice, bob):
        got: list[bytes] = []

        async def read() -> None:
            async for message in bob:
                got.append(message.content)
                if len(got) == 20:
                    nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(read)
            for number in range(20):
                await alice.send(bob.id, str(number).encode())
        assert sorted(map(int, got)) == list(range(20))


async def test_reports_tell_what_a_node_does_and_end_with_it() -> None:
    async with trio_nodes() as (relay, alice, bob):
        reports = relay.reports()
        delivery = await alice.send(bob.id, b"x")
        await delivery.delivered()
        events = []
        async for report in reports:
            events.append(report.event)
            if report.event is Event.RECEIPT_PASSED_BACK:
                break
        assert events == [Event.RECEIVED, Event.RELAYED, Event.RECEIPT_PASSED_BACK]
    assert [report async for report in relay.reports()] == []


async def test_links_are_known_and_what_cannot_be_reached_is_said() -> None:
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE) as relay:
            assert relay.address == f"{relay.id}@{relay.addresses[0].partition('@')[2]}"
            async with open_node(None, relays=[str(relay.address)]) as alice:
                assert alice.address is None
                await alice.wait_linked()
                assert alice.linked == {relay.id}
                await relay.wait_linked(alice.id)
                listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
                port = listeners[0].socket.getsockname()[1]
                await listeners[0].aclose()
                alice.add_peer(f"{NOBODY}@127.0.0.1:{port}", relay=True)
                while NOBODY not in alice.unreachable:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                assert "Nothing answers" in str(alice.unreachable[NOBODY])
                # A node that answers there, but another one:
                elsewhere = relay.addresses[0].partition("@")[2]
                alice.add_peer(f"{OTHER}@{elsewhere}", relay=True)
                while len(alice.unreachable) < 2:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                assert any("not as this node" in str(error) for error in alice.unreachable.values())


# --- restarts -------------------------------------------------------------------------------------------


async def test_after_a_restart_undelivered_messages_go_on_and_unacknowledged_ones_are_shown_again(
    tmp_path: Path,
) -> None:
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE) as relay:
            alice = partial(open_node, tmp_path / "alice.tom", relays=[str(relay.address)])
            bob = partial(open_node, tmp_path / "bob.tom", relays=[str(relay.address)])
            async with bob() as node:
                bob_id = node.id
            async with alice() as node:
                alice_id = node.id
                for number in range(3):
                    await node.send(bob_id, str(number).encode())
            async with alice() as again, bob() as node:
                assert again.id == alice_id
                first = {}
                async for message in node:
                    first[message.content] = message
                    if len(first) == 3:
                        break
                assert set(first) == {b"0", b"1", b"2"}
                unacknowledged = message
            with pytest.raises(NodeStoppedError):
                unacknowledged.acknowledge()
            async with bob() as node:
                shown = await node.receive()
                assert (shown.id, shown.content, shown.again) == (
                    unacknowledged.id,
                    unacknowledged.content,
                    True,
                )
                assert shown.received_at == unacknowledged.received_at
                shown.acknowledge()
                shown.acknowledge()
            async with bob() as node:
                with trio.move_on_after(0.2) as scope:
                    await node.receive()
                assert scope.cancelled_caught, "what was acknowledged is not shown again"


async def test_final_states_of_an_earlier_run_are_told_until_they_are_taken(tmp_path: Path) -> None:
    """TOM-PURGE-003, 005: with the receipt; once taken, no later run hears of them."""
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE) as relay:
            alice = partial(open_node, tmp_path / "alice.tom", relays=[str(relay.address)])
            bob = partial(open_node, tmp_path / "bob.tom", relays=[str(relay.address)])
            async with bob() as node:
                bob_id = node.id
            async with alice() as node:
                assert node.verdicts() == []
                await node.send(bob_id, b"for later")
            async with bob() as reader:
                async with alice() as node:
                    reports = node.reports()
                    message = await reader.receive()
                    while (await anext(reports)).event is not Event.RECEIPT_VERIFIED:
                        pass
                async with alice() as node:
                    # The node tells them once its first commit is on disk.
                    while not (verdicts := node.verdicts()):  # noqa: ASYNC110 - there is no event
                        await trio.sleep(0.01)
                    [told] = verdicts
                    assert (told.state, told.message_id) == (DeliveryState.DELIVERED, message.id)
                    assert told.receipt is not None
                    verify(reader.node_id, signed_receipt(told.receipt), told.receipt.signature)
                    assert node.verdicts() == []
                async with alice() as node:
                    assert node.verdicts() == []


async def test_a_relay_that_comes_back_is_found_again(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE):
        async with open_node(tmp_path / "relay.tom", listen=ANYWHERE) as relay:
            address = str(relay.address)
        run_relay = partial(open_node, tmp_path / "relay.tom", listen=address.partition("@")[2])
        async with open_node(None, relays=[address]) as alice, open_node(None, relays=[address]) as bob:
            async with run_relay():
                await (await alice.send(bob.id, b"before")).delivered()
            delivery = await alice.send(bob.id, b"meanwhile")
            async with run_relay():
                await delivery.delivered()
            assert [(await bob.receive()).content for _ in range(2)] == [b"before", b"meanwhile"]


async def test_a_second_node_with_the_same_secret_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    async with open_node(tmp_path / "a.tom") as first:
        with pytest.raises(ProtocolError) as refused:
            async with open_node(tmp_path / "a.tom"):
                pass
        assert refused.value.reason is Reason.IDENTITY_IN_USE
    async with open_node(tmp_path / "a.tom") as again:
        assert again.id == first.id


async def test_a_store_of_another_identity_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        async with open_node(tmp_path / f"{name}.tom"):
            pass
    (tmp_path / "a.tom").rename(tmp_path / "kept")
    (tmp_path / "b.tom").rename(tmp_path / "a.tom")
    with pytest.raises(StoreMismatchError):
        async with open_node(tmp_path / "a.tom"):
            pass
    # What was refused is still locked by nobody.
    (tmp_path / "kept").rename(tmp_path / "a.tom")
    async with open_node(tmp_path / "a.tom"):
        pass


async def test_a_passphrase_protects_the_secret(tmp_path: Path) -> None:
    async with open_node(tmp_path / "a.tom", passphrase="open sesame") as node:
        name = node.id
    with pytest.raises(ProtocolError, match="wrong_passphrase"):
        async with open_node(tmp_path / "a.tom"):
            pass
    async with open_node(tmp_path / "a.tom", passphrase="open sesame") as node:
        assert node.id == name


async def test_a_damaged_record_is_refused_in_plain_words(tmp_path: Path) -> None:
    async with open_node(tmp_path / "a.tom"):
        pass
    database = sqlite3.connect(tmp_path / "a.tom-store")
    database.execute("UPDATE records SET value = x'0102' WHERE kind = 'prekey'")
    database.commit()
    database.close()
    with pytest.raises(StoreError, match="damaged"):
        async with open_node(tmp_path / "a.tom"):
            pass


async def test_a_clock_far_behind_the_last_run_is_refused_until_it_is_trusted(tmp_path: Path) -> None:
    async with open_node(tmp_path / "a.tom") as node:
        now = node._runner.now()
        node_id = node.node_id
    with Store(tmp_path / "a.tom-store", node_id) as store:
        ahead = now + 3_600_000
        store.apply([Persist((Change(Table.CLOCK, b"", ahead.to_bytes(8, "big")),))], ahead)
    with pytest.raises(ClockError, match="Set the clock right"):
        async with open_node(tmp_path / "a.tom"):
            pass
    async with open_node(tmp_path / "a.tom", trust_clock=True) as node:
        assert node._runner.now() < now + 60_000
        assert node._runner.node.knows_time, "nor does it go on from what it wrote at the wrong time"
    async with open_node(tmp_path / "a.tom"):
        pass


async def test_a_temporary_node_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_node(None) as one, open_node(None) as other:
        assert one.id != other.id
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - nothing else runs


# --- cancellation ---------------------------------------------------------------------------------------


async def test_a_send_cancelled_at_any_point_was_taken_or_not_and_says_which() -> None:
    """Cancelled after every possible number of checkpoints; what raised never arrives, the rest does."""
    async with trio_nodes() as (_, alice, bob):
        taken: set[bytes] = set()
        refused: set[bytes] = set()
        for number in range(60):
            content = f"number {number}".encode()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def cancel_after(checkpoints: int, scope: trio.CancelScope = scope) -> None:
                        for _ in range(checkpoints):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()

                    nursery.start_soon(cancel_after, number % 12)
                    await alice.send(bob.id, content)
                    taken.add(content)
                    nursery.cancel_scope.cancel()
            if content not in taken:
                refused.add(content)
        with trio.move_on_after(0):
            await alice.send(bob.id, b"cancelled before it began")
            taken.add(b"cancelled before it began")
        assert b"cancelled before it began" not in taken
        end = await alice.send(bob.id, b"end")
        await end.delivered()
        got: set[bytes] = set()
        while got != taken | {b"end"}:
            got.add((await bob.receive()).content)
            assert not got & refused
        assert taken
        with trio.move_on_after(0.2):
            pytest.fail(f"shown, though nobody took it: {await bob.receive()}")


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with trio_nodes() as (_, alice, bob):
        got: list[bytes] = []
        for number in range(40):
            await alice.send(bob.id, str(number).encode())
        while len(got) < 40:
            for checkpoints in range(5):
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:

                        async def cancel(count: int = checkpoints, scope: trio.CancelScope = scope) -> None:
                            for _ in range(count):
                                await trio.lowlevel.checkpoint()
                            scope.cancel()

                        nursery.start_soon(cancel)
                        message = await bob.receive()
                        got.append(message.content)
                        nursery.cancel_scope.cancel()
            with trio.move_on_after(0):
                got.append((await bob.receive()).content)
            await trio.testing.wait_all_tasks_blocked()
        assert sorted(map(int, got)) == list(range(40))


async def test_waiting_for_a_delivery_can_be_cancelled_and_taken_up_again() -> None:
    async with trio_nodes() as (_, alice, bob):
        delivery = await alice.send(bob.id, b"x")
        for wait in (delivery.wait, delivery.delivered, lambda: anext(delivery.journey())):
            with trio.move_on_after(0) as scope:
                await wait()
            assert scope.cancelled_caught
        await delivery.delivered()


async def test_opening_can_be_cancelled_at_any_point(tmp_path: Path) -> None:
    opened = 0
    for checkpoints in range(0, 60, 3):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cancel(count: int = checkpoints, scope: trio.CancelScope = scope) -> None:
                    for _ in range(count):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()

                nursery.start_soon(cancel)
                async with open_node(tmp_path / "a.tom", listen=ANYWHERE):
                    opened += 1
                    await trio.sleep_forever()
    # Whatever was cut off, lock, store and port are free again.
    async with open_node(tmp_path / "a.tom", listen=ANYWHERE) as node:
        assert node.address


# --- failures -------------------------------------------------------------------------------------------


async def test_the_applications_own_errors_come_out_as_they_are(tmp_path: Path) -> None:
    class OwnError(Exception):
        pass

    own = OwnError()
    with pytest.raises(OwnError) as caught:
        async with open_node(tmp_path / "a.tom", listen=ANYWHERE):
            raise own
    assert caught.value is own
    async with open_node(tmp_path / "a.tom"):
        pass


async def test_a_port_in_use_and_foreign_addresses_are_said_plainly(tmp_path: Path) -> None:
    async with open_node(None, listen=ANYWHERE) as first:
        place = str(first.address).partition("@")[2]
        with pytest.raises(ListenError, match="already listens"):
            async with open_node(tmp_path / "a.tom", listen=place):
                pass
    with pytest.raises(ListenError, match="not an address of this computer"):
        async with open_node(None, listen="192.0.2.1:0"):
            pass
    for bad in ("nonsense", "127.0.0.1", "127.0.0.1:70000", ":1", "[::1:5", "a b:5"):
        with pytest.raises(AddressError):
            async with open_node(None, listen=bad):
                pass
    for bad in ("127.0.0.1:5", f"{NOBODY}@127.0.0.1", f"{NOBODY}@127.0.0.1:0", "tom1xyz@127.0.0.1:5"):
        with pytest.raises(AddressError):
            async with open_node(None, relays=[bad]):
                pass
    with pytest.raises(AddressError, match="real port"):
        async with open_node(None, listen=ANYWHERE, announce=["example.org:0"]):
            pass


async def test_announced_addresses_replace_those_listened_at() -> None:
    async with open_node(None, listen="0.0.0.0:0") as node:
        assert node.address is None, "all interfaces is no address to give to others"
    async with open_node(None, listen="0.0.0.0:0", announce=["example.org:4321", "[2001:db8::1]:5"]) as node:
        assert node.addresses == (f"{node.id}@example.org:4321", f"{node.id}@[2001:db8::1]:5")


async def test_a_missing_folder_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match="can't be created"):
        async with open_node(tmp_path / "nowhere" / "a.tom"):
            pass


async def test_a_node_that_cannot_write_stops_with_the_reason(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE), pytest.raises(NodeStoppedError, match="no room") as stopped:  # noqa: PT012
        async with open_node(tmp_path / "a.tom") as node:
            store = node._runner._store
            assert isinstance(store, Store)
            pages = store._database.execute("PRAGMA page_count").fetchone()[0]
            store._database.execute(f"PRAGMA max_page_count = {pages + 1}")
            for _ in range(1000):
                await node.send(NOBODY, b"x" * 10_000)
    assert isinstance(stopped.value.__cause__, StoreFullError)
    with pytest.raises(NodeStoppedError):
        await node.send(NOBODY, b"x")
    async with open_node(tmp_path / "a.tom"):
        pass


async def test_a_failing_node_cancels_a_block_that_waits_for_something_else(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE), pytest.raises(NodeStoppedError):  # noqa: PT012
        async with open_node(tmp_path / "a.tom") as node:
            store = node._runner._store
            assert isinstance(store, Store)
            store._database.execute("PRAGMA query_only = ON")
            node.send_nowait(NOBODY, b"x")
            await trio.sleep_forever()


async def test_everything_refuses_after_the_node_was_closed() -> None:
    async with open_node(None) as node:
        delivery = await node.send(NOBODY, b"x")
        reports = node.reports()
    with pytest.raises(NodeStoppedError):
        await node.send(NOBODY, b"x")
    with pytest.raises(NodeStoppedError):
        node.send_nowait(NOBODY, b"x")
    with pytest.raises(NodeStoppedError):
        await node.receive()
    with pytest.raises(NodeStoppedError):
        await node.wait_linked()
    with pytest.raises(NodeStoppedError):
        await delivery.delivered()
    with pytest.raises(NodeStoppedError):
        async for _ in delivery.journey():
            pass
    async for _ in reports:
        pass


async def test_those_who_wait_learn_that_the_node_was_closed() -> None:
    with trio.fail_after(DEADLINE):
        stopped = 0

        async def expect(wait: Callable[[], Any]) -> None:
            nonlocal stopped
            with pytest.raises(NodeStoppedError):
                await wait()
            stopped += 1

        async with trio.open_nursery() as nursery, open_node(None) as node:
            delivery = await node.send(NOBODY, b"x")
            for wait in (node.receive, node.wait_linked, delivery.delivered):
                nursery.start_soon(expect, wait)
            await trio.testing.wait_all_tasks_blocked()
        assert stopped == 3


# --- the rest -------------------------------------------------------------------------------------------


async def test_the_trace_sees_every_step_before_its_effects_happen() -> None:
    steps: list[tuple[int, Input, tuple[Effect, ...]]] = []
    async with open_node(None, trace=lambda *step: steps.append(step)) as node:
        await node.send(NOBODY, b"x")
    names = [type(what).__name__ for _, what, _ in steps]
    assert names[0] == "Start"
    assert "SendMessage" in names
    assert [now for now, _, _ in steps] == sorted(now for now, _, _ in steps)
    assert not any(isinstance(effect, Deliver) for _, _, effects in steps for effect in effects)


async def test_nodes_of_different_subnets_do_not_exchange_messages() -> None:
    with trio.fail_after(DEADLINE):
        async with open_node(None, listen=ANYWHERE, subnet="one") as bob:
            reports = bob.reports()
            async with open_node(None, peers=[str(bob.address)], subnet="two") as alice:
                delivery = await alice.send(bob.id, b"x", route="direct")
                async for report in reports:
                    if report.event is Event.REFUSED:
                        break
                assert "wrong_subnet" in report.detail
                assert delivery.state is DeliveryState.SENT


def test_the_names_are_exported_lazily() -> None:
    script = (
        "import sys, tom_ref; assert 'trio' not in sys.modules and 'sqlite3' not in sys.modules;"
        "assert set(tom_ref.__all__) <= set(dir(tom_ref)); tom_ref.open_node;"
        "assert 'trio' in sys.modules; print('ok')"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stdout == "ok\n", ended.stderr
    for name in tom_ref.__all__:
        assert getattr(tom_ref, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tom_ref.nonsense  # noqa: B018
    assert tom_ref.open_node is library.open_node
