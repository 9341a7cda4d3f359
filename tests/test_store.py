"""The store on disk: all or nothing, nothing left of what was erased, plain words when it fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tom_ref.drivers.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
)
from tom_ref.drivers.store import MemoryStore, Store
from tom_ref.effects import Change, Persist, Table

NODE = bytes(range(32))
NOW = 1_700_000_000_000


def put(key: bytes, value: bytes, table: Table = Table.PENDING) -> Persist:
    return Persist((Change(table, key, value),))


def erase(key: bytes, table: Table = Table.PENDING) -> Persist:
    return Persist((Change(table, key, None),))


def bytes_on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.tom-store"


@pytest.mark.parametrize("kind", ["disk", "sqlite memory", "memory"])
def test_what_was_applied_is_loaded(kind: str, path: Path) -> None:
    store = MemoryStore() if kind == "memory" else Store(path if kind == "disk" else None, NODE)
    assert store.load() == []
    store.apply([put(b"a", b"1"), put(b"b", b"2"), put(b"a", b"3", Table.INBOX)], NOW)
    store.apply([put(b"b", b"4"), erase(b"a"), erase(b"never was")], NOW + 1)
    expected = {(Table.PENDING, b"b", b"4"), (Table.INBOX, b"a", b"3")}
    assert set(store.load()) == expected
    store.checkpoint()
    store.close()
    if kind == "disk":
        with Store(path, NODE) as again:
            assert set(again.load()) == expected
            assert again.last_time == NOW + 1


def test_changes_of_several_steps_are_one_transaction_and_the_last_one_counts(path: Path) -> None:
    with Store(path, NODE) as store:
        store.apply([put(b"a", b"1"), erase(b"a"), put(b"b", b"1"), put(b"b", b"2")], NOW)
        assert store.load() == [(Table.PENDING, b"b", b"2")]


def test_binary_keys_and_large_values_come_back_exactly(path: Path) -> None:
    records = [(b"\x00", b""), (b"\xff" * 32, os.urandom(1_060_000)), (bytes(8), b"\x00\x00")]
    with Store(path, NODE) as store:
        store.apply([put(key, value) for key, value in records], NOW)
    with Store(path, NODE) as store:
        assert sorted((key, value) for _, key, value in store.load()) == sorted(records)


def test_time_never_goes_back(path: Path) -> None:
    with Store(path, NODE) as store:
        store.apply([put(b"a", b"1")], NOW)
        store.apply([put(b"a", b"2")], NOW - 5_000)
        assert store.last_time == NOW
    with Store(path, NODE) as store:
        assert store.last_time == NOW


def test_after_a_checkpoint_no_file_holds_what_was_erased_or_overwritten(path: Path) -> None:
    erased, overwritten, kept = (name * 40 for name in (b"-erased-", b"-overwritten-", b"-kept-"))
    with Store(path, NODE) as store:
        store.apply([put(b"1", erased), put(b"2", overwritten), put(b"3", kept)], NOW)
        store.apply([put(bytes([index]), erased * 500) for index in range(20)], NOW)
        store.checkpoint()
        store.apply([erase(b"1"), put(b"2", b"new")], NOW)
        store.apply([erase(bytes([index])) for index in range(20)], NOW)
        before = bytes_on_disk(path)
        assert erased in before, "the write-ahead log alone does not erase: the test would prove nothing"
        store.checkpoint()
        after = bytes_on_disk(path)
        assert b"-erased-" not in after
        assert b"-overwritten-" not in after
        assert kept in after
        assert path.with_name(path.name + "-wal").stat().st_size == 0


def test_an_unclean_end_leaves_nothing_behind_once_the_store_is_opened_again(path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from tom_ref.drivers.store import Store
        from tom_ref.effects import Change, Persist, Table
        store = Store({str(path)!r}, {NODE!r})
        store.apply([Persist((Change(Table.INBOX, b"k", b"-plaintext-" * 50),))], 5)
        store.apply([Persist((Change(Table.INBOX, b"k", None), Change(Table.SEEN, b"k", b"receipt")))], 6)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert b"-plaintext-" in bytes_on_disk(path)
    with Store(path, NODE) as store:
        assert store.load() == [(Table.SEEN, b"k", b"receipt")]
        assert store.last_time == 6
        assert b"-plaintext-" not in bytes_on_disk(path)


def test_the_store_and_its_log_are_for_their_owner_only(path: Path) -> None:
    old = os.umask(0)
    try:
        with Store(path, NODE) as store:
            store.apply([put(b"a", b"1")], NOW)
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == {path.name: 0o600, path.name + "-wal": 0o600}


def test_a_store_open_to_others_is_refused(path: Path) -> None:
    Store(path, NODE).close()
    path.chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        Store(path, NODE)


def test_a_second_user_of_one_store_is_refused(path: Path) -> None:
    with Store(path, NODE), pytest.raises(StoreError, match="in use"):
        Store(path, NODE)


def test_a_store_of_another_node_is_refused_and_untouched(path: Path) -> None:
    with Store(path, NODE) as store:
        store.apply([put(b"a", b"1")], NOW)
    before = path.read_bytes()
    with pytest.raises(StoreMismatchError, match="another node"):
        Store(path, bytes(32))
    assert path.read_bytes() == before


def test_a_later_version_is_refused(path: Path) -> None:
    Store(path, NODE).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(StoreMismatchError, match="version 2"):
        Store(path, NODE)


def test_another_programs_database_is_refused_and_untouched(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE theirs (x)")
    database.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match="not a store of ToM"):
        Store(path, NODE)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_untouched(path: Path) -> None:
    path.write_bytes(b"my diary\n" * 1000)
    path.chmod(0o600)
    with pytest.raises(StoreCorruptError):
        Store(path, NODE)
    assert path.read_bytes() == b"my diary\n" * 1000


def test_damage_is_noticed_when_the_store_is_opened(path: Path) -> None:
    with Store(path, NODE) as store:
        store.apply([put(index.to_bytes(8, "big"), os.urandom(900)) for index in range(200)], NOW)
    whole = path.read_bytes()
    refused = 0
    for start in range(4096, len(whole) - 64, len(whole) // 16):
        path.write_bytes(whole[:start] + b"\xee" * 64 + whole[start + 64 :])
        try:
            with Store(path, NODE) as store:
                store.load()
        except StoreCorruptError:
            refused += 1
    # SQLite keeps no checksums: damage within a value is found by what the value is (sealed, signed).
    assert refused > 0
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreCorruptError):
        Store(path, NODE)


def test_a_record_of_an_unknown_kind_is_refused(path: Path) -> None:
    Store(path, NODE).close()
    database = sqlite3.connect(path)
    database.execute("INSERT INTO records VALUES ('other', x'00', x'00')")
    database.commit()
    database.close()
    with Store(path, NODE) as store, pytest.raises(StoreCorruptError, match="unknown kind"):
        store.load()


def test_the_sessions_of_a_copied_store_are_erased_and_all_else_is_kept(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """TOM-SESSION-038: a session continued from an earlier state would use keys twice."""
    with Store(path, NODE) as store:
        store.apply([put(b"p", b"old keys", Table.SESSION), put(b"m", b"message")], NOW)
    backup = path.read_bytes()
    with Store(path, NODE) as store:
        assert len(store.load()) == 2, "the same file is no copy"
        store.apply([put(b"p", b"new keys", Table.SESSION)], NOW)
    moved = path.rename(path.with_name("moved"))
    with Store(moved, NODE) as store:
        assert len(store.load()) == 2, "nor is one under another name"
    path.write_bytes(backup)
    path.chmod(0o600)
    with Store(path, NODE) as store:
        assert store.load() == [(Table.PENDING, b"m", b"message")]
        assert b"old keys" not in bytes_on_disk(path)
        store.apply([put(b"p", b"fresh keys", Table.SESSION)], NOW)
    assert "its sessions were erased" in caplog.text
    with Store(path, NODE) as store:
        assert len(store.load()) == 2


def test_a_folder_in_the_files_place_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Store(tmp_path, NODE)
    with pytest.raises(StoreError, match="can't be opened"):
        Store(tmp_path / "nowhere" / "store", NODE)


def test_a_read_only_store_is_refused_in_plain_words(path: Path) -> None:
    """Root may write to anything, so the process gives that up first."""
    with Store(path, NODE) as store:
        store.apply([put(b"a", b"1")], NOW)
    path.chmod(0o400)
    script = textwrap.dedent(
        f"""
        import os
        from tom_ref.drivers.errors import StoreReadOnlyError
        from tom_ref.drivers.store import Store
        if os.geteuid() == 0:
            os.chown({str(path)!r}, 65534, 65534)
            os.setegid(65534); os.seteuid(65534)
        try:
            Store({str(path)!r}, {NODE!r})
        except StoreReadOnlyError as error:
            print("refused:", error)
        """
    )
    for folder in path.parents:
        if folder.stat().st_uid == os.geteuid() and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o011)
    path.parent.chmod(0o555)
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    path.parent.chmod(0o700)
    assert ended.stdout.startswith("refused: The store"), ended.stderr


def test_a_full_database_changes_nothing_and_works_again_when_there_is_room(path: Path) -> None:
    with Store(path, NODE) as store:
        store.apply([put(b"a", b"1")], NOW)
        pages = store._database.execute("PRAGMA page_count").fetchone()[0]
        store._database.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreFullError, match="no room"):
            store.apply([put(b"small", b"2"), put(b"b", bytes(100_000))], NOW + 1)
        assert store.load() == [(Table.PENDING, b"a", b"1")]
        assert store.last_time == NOW
        store._database.execute("PRAGMA max_page_count = 100000")
        store.apply([put(b"b", bytes(100_000))], NOW + 2)
        assert len(store.load()) == 2


def test_a_disk_that_refuses_to_grow_keeps_everything_committed(path: Path) -> None:
    """A real limit of the operating system on a real process, until the store says so."""
    script = textwrap.dedent(
        f"""
        import os, resource
        from tom_ref.drivers.errors import StoreError
        from tom_ref.drivers.store import Store
        from tom_ref.effects import Change, Persist, Table
        store = Store({str(path)!r}, {NODE!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        for number in range(1000):
            try:
                change = Change(Table.PENDING, number.to_bytes(8, "big"), bytes(5000))
                store.apply([Persist((change,))], number)
            except StoreError as error:
                print(number, type(error).__name__, error)
                break
            print(number, "committed", flush=True)
        os._exit(0)
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    *committed, last = ended.stdout.splitlines()
    assert len(committed) > 10, ended.stderr
    assert "Store" in last
    assert "disk" in last
    with Store(path, NODE) as store:
        keys = sorted(int.from_bytes(key, "big") for _, key, _ in store.load())
    assert keys == list(range(len(committed)))


def test_closing_twice_is_harmless_and_repr_shows_no_record(path: Path) -> None:
    store = Store(path, NODE)
    store.apply([put(b"k", b"plaintext")], NOW)
    assert "plaintext" not in repr(store)
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.apply([put(b"k", b"v")], NOW)


def test_the_room_of_what_was_erased_goes_back_to_the_file_system(path: Path) -> None:
    """TOM-PURGE-038: an idle store is as small as before the messages, and no file of it has their bytes."""
    canary = b"-canary-" * 64
    with Store(path, NODE) as store:
        store.apply([put(b"stays", b"1")], NOW)
        store.checkpoint()
        before = len(bytes_on_disk(path))
        for turn in range(3):
            store.apply([put(bytes([index]), canary * 40) for index in range(100)], NOW + turn)
            store.checkpoint()
            assert len(bytes_on_disk(path)) > before + 1_000_000
            store.apply([erase(bytes([index])) for index in range(100)], NOW + turn)
            store.checkpoint()
            assert len(bytes_on_disk(path)) <= before + 2 * 4_096
            assert b"-canary-" not in bytes_on_disk(path)
        assert store.load() == [(Table.PENDING, b"stays", b"1")]


def test_a_store_that_never_gave_room_back_learns_it_when_opened(path: Path) -> None:
    """TOM-PURGE-038: the setting is made for a database that was begun without it, and nothing is lost."""
    with Store(path, NODE) as store:
        store.apply([put(bytes([index]), b"x" * 20_000) for index in range(50)], NOW)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("PRAGMA auto_vacuum = NONE")
    database.execute("VACUUM")
    database.close()
    with Store(path, NODE) as store:
        assert len(store.load()) == 50
        store.apply([erase(bytes([index])) for index in range(50)], NOW)
        store.checkpoint()
        assert len(bytes_on_disk(path)) < 10 * 4_096
