"""The records of a node: one SQLite database, and every commit on disk before anything depends on it.

What the database promises
--------------------------

- :meth:`Store.apply` writes the changes of any number of steps in one transaction: all of them or none, and
  on the disk when it returns (write-ahead log, ``synchronous=FULL``).
- Erased and overwritten bytes are zeroed in the database (``secure_delete``).  Their last trace is the
  write-ahead log; :meth:`Store.checkpoint` ends it.  Whoever runs a store calls that at most a second after a
  commit, so that keys and messages are gone when the protocol says they are; it also gives the room of what
  was erased back to the file system, so that an idle node's store doesn't grow.  What a disk keeps below
  its file system (worn blocks, snapshots, backups) is out of any program's reach.
- The secret is not in here.  **Never put back an old copy of a store**: it would use message keys a second
  time.  Losing the store is harmless by comparison; the secret file alone is what a backup needs.  A copy
  is usually recognised by its inode, and its sessions are erased (TOM-SESSION-038); a copy written into the
  very file, or a restored image of the whole disk, can't be recognised.

A store belongs to one node id and remembers the last time it was written, so that the node's clock never goes
back, not even across a restart: what was erased because its time was over can't become young again
(TOM-PURGE-007).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from tom_ref.drivers.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreReadOnlyError,
)
from tom_ref.drivers.files import sync_folder
from tom_ref.effects import Persist, Table

_LOG: Final = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
"""What ``user_version`` holds."""

APPLICATION_ID: Final = int.from_bytes(b"ToM1", "big")
"""What ``application_id`` holds: marks the file as a store of ToM."""

_INCREMENTAL: Final = 2
"""The setting of ``auto_vacuum`` with which free pages are given back on request."""

Record = tuple[Table, bytes, bytes]
"""Table, key, value."""


class RecordStore(Protocol):
    """Where a node's records are kept."""

    def load(self) -> list[Record]:
        """All records."""
        ...

    def apply(self, persists: Iterable[Persist], now: int) -> None:
        """Write all changes or none, safely, before returning."""
        ...

    def checkpoint(self) -> None:
        """Let no trace remain of what was erased or overwritten."""
        ...

    def close(self) -> None:
        """Checkpoint and let go of the files."""
        ...


class MemoryStore:
    """Records in memory, for simulations: they outlive a simulated crash of their node."""

    def __init__(self) -> None:
        self._records: dict[tuple[Table, bytes], bytes] = {}

    def load(self) -> list[Record]:
        """All records."""
        return [(table, key, value) for (table, key), value in self._records.items()]

    def apply(self, persists: Iterable[Persist], now: int) -> None:
        """Write all changes."""
        del now
        for (table, key), value in _merged(persists).items():
            if value is None:
                self._records.pop((table, key), None)
            else:
                self._records[table, key] = value

    def checkpoint(self) -> None:
        """Nothing remains anyway."""

    def close(self) -> None:
        """Nothing to let go of."""


class Store:
    """The records of the node ``node_id`` in the database file ``path``; ``None`` keeps them in memory.

    Raises :class:`StoreError` or one of its kinds: no store, damaged, of another node or a later version,
    open to other users, in use by another process, on a full or read-only disk.

    Any thread may call its methods, one call at a time.
    """

    def __init__(self, path: str | os.PathLike[str] | None, node_id: bytes) -> None:
        self.path = None if path is None else Path(path)
        self._name = "in memory" if self.path is None else str(self.path)
        self._node_id = node_id
        self._residue = False
        self._closed = False
        self.last_time = 0
        """The latest time, ms, of any commit; 0 for a new store."""
        if self.path is not None:
            self._prepare_file(self.path)
        try:
            self._database = sqlite3.connect(
                ":memory:" if self.path is None else self.path,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self._translated(error) from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._database.close()
            raise self._translated(error) from error
        except BaseException:
            self._database.close()
            raise

    def load(self) -> list[Record]:
        """All records; raises :class:`StoreCorruptError` when they can't be read back."""
        try:
            rows = self._database.execute("SELECT kind, key, value FROM records").fetchall()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        try:
            return [(Table(kind), bytes(key), bytes(value)) for kind, key, value in rows]
        except (TypeError, ValueError):
            raise StoreCorruptError(f"The store {self._name} holds a record of an unknown kind.") from None

    def apply(self, persists: Iterable[Persist], now: int) -> None:
        """Write the changes of ``persists``, made at ``now`` (ms) or before, in one transaction.

        They are safely on disk when this returns (TOM-DELIVERY-050).  When it raises :class:`StoreError`
        nothing has changed.
        """
        changes = _merged(persists)
        written = [(table.value, key, value) for (table, key), value in changes.items() if value is not None]
        erased = [(table.value, key) for (table, key), value in changes.items() if value is None]
        execute = self._database.execute
        try:
            execute("BEGIN IMMEDIATE")
            if written:
                self._database.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", written)
            if erased:
                self._database.executemany("DELETE FROM records WHERE kind = ? AND key = ?", erased)
            if now > self.last_time:
                execute("UPDATE about SET last_time = ?", (now,))
            execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself after some failures.
                execute("ROLLBACK")
            raise self._translated(error) from error
        self.last_time = max(now, self.last_time)
        self._residue = True

    def checkpoint(self) -> None:
        """Give back free pages, move the write-ahead log into the database and cut it to nothing.

        After this neither file holds bytes that were erased or overwritten, or room for them (TOM-PURGE-038).
        Raises :class:`StoreError`.
        """
        if not self._residue or self.path is None:
            return
        try:
            # As a script: a statement without columns would be stepped once, and give back one page.
            self._database.executescript("PRAGMA incremental_vacuum")
            blocked, _, _ = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        if blocked:
            raise StoreError(f"The store {self._name} is being read by another program.")
        self._residue = False

    def reset_time(self, now: int) -> None:
        """Begin anew at ``now``, after a time that was wrong, without the node's own reading of its clock.

        Raises :class:`StoreError`.
        """
        execute = self._database.execute
        try:
            execute("BEGIN IMMEDIATE")
            execute("UPDATE about SET last_time = ?", (now,))
            execute("DELETE FROM records WHERE kind = ?", (Table.CLOCK.value,))
            execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                execute("ROLLBACK")
            raise self._translated(error) from error
        self.last_time = now

    def close(self) -> None:
        """Checkpoint and close.  A closed store can't be used again; closing it twice is harmless."""
        if self._closed:
            return
        self._closed = True
        try:
            self.checkpoint()
        finally:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except StoreError:
            if error is None:
                raise

    def __repr__(self) -> str:
        return f"Store({self._name!r})"

    # --- opening --------------------------------------------------------------------------------------

    def _prepare_file(self, path: Path) -> None:
        """Make the file for its owner only, before SQLite makes it for all; its log takes over the mode."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
            if os.fstat(descriptor).st_size == 0:
                sync_folder(path.parent)
        except OSError as error:
            kind = StoreReadOnlyError if isinstance(error, PermissionError) else StoreError
            kind = StoreReadOnlyError if error.strerror and "Read-only" in error.strerror else kind
            raise kind(f"The store {path} can't be opened: {error.strerror}.") from error
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"The store {path} is not a plain file.")
        if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            raise StoreError(
                f"The store {path} is open to other users of this computer (mode "
                f"{stat.S_IMODE(status.st_mode):04o}). If nobody else has read it, run: chmod 600 '{path}'"
            )

    def _open(self) -> None:
        execute = self._database.execute
        # Alone: no shared-memory file, and a second process is refused at once.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA trusted_schema = OFF")
        execute("PRAGMA cell_size_check = ON")
        execute("PRAGMA temp_store = MEMORY")
        execute("PRAGMA secure_delete = ON")
        version = execute("PRAGMA user_version").fetchone()[0]
        application = execute("PRAGMA application_id").fetchone()[0]
        empty = execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not empty and application != APPLICATION_ID:
            raise StoreCorruptError(f"{self._name} is a database, but not a store of ToM.")
        if not empty and version != SCHEMA_VERSION:
            raise StoreMismatchError(
                f"The store {self._name} has version {version}; this program knows version {SCHEMA_VERSION}."
            )
        if empty or execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
            execute("PRAGMA auto_vacuum = INCREMENTAL")
            execute("VACUUM")  # Without it the setting has no effect on a database that has pages already.
        if self.path is not None:
            mode = execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreError(f"The store {self._name} can't keep a write-ahead log here.")
        execute("PRAGMA synchronous = FULL")
        if empty:
            self._create()
        damage = execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise self._damaged()
        node_id, self.last_time = execute("SELECT node_id, last_time FROM about").fetchone() or (b"", 0)
        if node_id != self._node_id:
            raise StoreMismatchError(
                f"The store {self._name} belongs to another node than the secret file. Put the two that "
                "belong together side by side, or move the store away to begin a new one."
            )
        if self._is_a_copy():
            _LOG.warning("The store %s is a copy: its sessions were erased, new ones will begin.", self._name)
            execute("BEGIN IMMEDIATE")
            execute("DELETE FROM records WHERE kind = ?", (Table.SESSION.value,))
            execute("UPDATE about SET inode = ?", (self._inode(),))
            execute("COMMIT")
        self._residue = True
        self.checkpoint()

    def _inode(self) -> int:
        return 0 if self.path is None else self.path.stat().st_ino

    def _is_a_copy(self) -> bool:
        """Whether this is not the file that was written last time, but one made from it."""
        (inode,) = self._database.execute("SELECT inode FROM about").fetchone()
        return bool(inode != self._inode())

    def _create(self) -> None:
        execute = self._database.execute
        execute("BEGIN IMMEDIATE")
        execute(
            "CREATE TABLE records (kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
            " PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )
        execute(
            "CREATE TABLE about (node_id BLOB NOT NULL, last_time INTEGER NOT NULL, inode INTEGER NOT NULL)"
        )
        execute("INSERT INTO about VALUES (?, 0, ?)", (self._node_id, self._inode()))
        execute(f"PRAGMA application_id = {APPLICATION_ID}")
        execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        execute("COMMIT")

    # --- errors ---------------------------------------------------------------------------------------

    def _damaged(self) -> StoreCorruptError:
        return StoreCorruptError(
            f"The store {self._name} is damaged or is no store of ToM. Move it away to begin a new one; "
            "messages that waited in it are lost, the identity is not."
        )

    def _translated(self, error: sqlite3.Error) -> StoreError:
        """The error a person can act on."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return StoreFullError(f"There is no room left on the disk for the store {self._name}.")
        if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
            return StoreReadOnlyError(f"The store {self._name} can't be written to.")
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return self._damaged()
        if code == sqlite3.SQLITE_BUSY:
            return StoreError(f"The store {self._name} is in use by another program.")
        if code == sqlite3.SQLITE_IOERR:
            return StoreError(
                f"The disk failed to read or write the store {self._name}; it may be broken, disconnected or "
                "over quota."
            )
        return StoreError(f"The store {self._name} can't be used: {error}.")


def _merged(persists: Iterable[Persist]) -> dict[tuple[Table, bytes], bytes | None]:
    """The last change of every key: in one transaction the earlier ones don't matter."""
    return {(change.table, change.key): change.value for persist in persists for change in persist.changes}
