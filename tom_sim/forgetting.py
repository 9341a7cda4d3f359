"""The promises of the chapter *Purge*, checked after every step and every write of every honest node.

The names are those of ``tla/purge``.  What is looked at is what reaches the disks: copies (a custodian's, a
sender's), receipts (a holder's, a recipient's), and when either goes.

* ``PurgeJustified``: a copy goes with a receipt that its recipient signed, written in the same transaction,
  or at its expiry; for nothing else.
* ``NoResurrection``, ``BoundedState``: what was erased never comes back; a receipt replaces a copy, no more.
* ``TtlBound``, ``TraceBound``: in true time no running node holds a copy after created_at + ttl + 2 EPS, or
  anything at all after 2 EPS more.
* ``OwnClockBound``: when a step is written, nothing is left that was due by that step's reading.
* ``NotBeforeItsTime``: in true time no copy goes without a receipt more than EPS before its expiry, and no
  receipt so long before the end of its retention, whatever a computer's clock says.
* ``TombOutlivesCopies``, ``ExpiredIsFinal``: no receipt goes, and no sender says "expired", while an honest
  node's clock would still let it take the message.
* ``NoOrphan``: once as many keep a message as its record says, some honest node has it, while no more than
  one is lost for good.

:meth:`Forgetting.search` holds whole stores against it: past retention neither the id of a message nor its
ciphertext stands anywhere, in whatever table.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from attrs import define, field

from tom_ref import codec
from tom_ref.effects import Change, DeliveryState, Effect, Persist, Progress, Table
from tom_ref.errors import ProtocolError
from tom_ref.frames import Header
from tom_ref.inputs import Input
from tom_ref.validate import check_receipt, message_id, retention_end
from tom_sim.clocks import BEGIN
from tom_sim.promises import Observer, PromiseError
from tom_sim.whole import Whole
from tom_sim.world import Host, World

CANARY: Final = 32
"""bytes of a ciphertext that a store is searched for."""

_RECEIPTS: Final = (Table.TOMBSTONE, Table.SEEN)


@define
class Letter:
    """A message, from the moment that its honest sender wrote it."""

    message: bytes
    header: Header
    sender: int
    born: int
    """ms of true time."""
    canary: bytes = field(repr=False)
    ends_at: int = 0
    """ms: the end of retention, by a clock."""
    keepers: int = 0
    """The most custodians that its sender knew of."""
    signed: bool = False
    """Whether its recipient has written a receipt."""
    copies: dict[int, None] = field(factory=dict)
    """Who has a copy on disk, by index."""
    tombs: dict[int, None] = field(factory=dict)
    """Who has a receipt on disk."""
    purged: set[int] = field(factory=set)
    """Who erased a copy."""
    forgot: set[int] = field(factory=set)
    """Who erased a receipt."""

    def __str__(self) -> str:
        """For people."""
        return f"message {self.message.hex()[:12]}"


@define
class _Disk:
    """What one computer has on disk, and when it has to go by its own clock."""

    handles: dict[bytes, Letter] = field(factory=dict)
    due: list[tuple[int, bytes, bool]] = field(factory=list)
    """(reading, message, whether a copy): a heap; what is gone already is skipped."""
    readings: deque[int] = field(factory=deque)
    """Of the steps whose changes are not written yet."""
    last: int | None = None
    """Reading of the last step of this incarnation."""
    knows_since: int | None = None
    """ms: when it began to know the time in this incarnation."""
    late: list[tuple[Letter, bool]] = field(factory=list)
    """What was past its bound while the computer was off."""


@define
class Counts:
    """What was kept and erased."""

    copies: int = 0
    by_receipt: int = 0
    by_expiry: int = 0
    receipts: int = 0
    forgotten: int = 0
    searches: int = 0


class Forgetting(Observer):
    """Watches what a world's honest nodes keep; raises :class:`PromiseError`."""

    def __init__(self, world: World, eps: int, custody: int) -> None:
        self.world = world
        self.eps = eps
        self.custody = custody
        """How many custodians a record asks for."""
        self.letters: dict[bytes, Letter] = {}
        self.counts = Counts()
        self.learned: Callable[[Host], None] = _nothing
        """Called when a computer begins to know the time after a start."""
        self.lost: set[int] = set()
        """Computers that are gone for good."""
        self._disks: dict[int, _Disk] = {}
        self._bounds: list[tuple[int, bytes, int, bool]] = []
        """(ms of true time, message, index, whether a copy): a heap."""

    # --- what the world tells -----------------------------------------------------------------------------

    def stepped(self, host: Host, what: Input, effects: Sequence[Effect]) -> None:
        """After each step, before it is written: what was due at the step before is gone by now."""
        self._in_time()
        if host.liar is not None:
            return
        disk = self._disk(host)
        if disk.last is not None and not host.group:
            self._nothing_due(host, disk, disk.last)
        disk.last = self.reading(host) if not isinstance(host.node, Whole) else host.node.purge_clock
        if disk.knows_since is None and disk.last is not None:
            disk.knows_since = self.world.now
            self.learned(host)
        if effects and type(effects[0]) is Persist:
            disk.readings.append(self.reading(host) if disk.last is None else disk.last)

    def crashed(self, host: Host) -> None:
        """What was not written is lost; what fell due meanwhile is erased at the start."""
        disk = self._disk(host)
        disk.readings.clear()
        disk.last = disk.knows_since = None

    def wrote(self, host: Host, changes: Sequence[Change]) -> None:
        """A transaction: what comes, and what goes and why."""
        if host.liar is not None:
            return
        disk = self._disk(host)
        reading = disk.readings.popleft()
        receipts = {change.key: change for change in changes if change.table in _RECEIPTS and change.value}
        for change in changes:
            if change.table is Table.PENDING:
                self._sender(host, disk, change, reading, receipts)
            elif change.table is Table.CUSTODY:
                letter = self.letters.get(change.key)
                if letter is not None:
                    self._copy(host, letter, change.value is not None, reading, receipts)
        for change in changes:
            letter = self.letters.get(change.key) if change.table in _RECEIPTS else None
            if letter is not None:
                self._receipt(host, letter, change, reading)

    def effect(self, host: Host, effect: Effect) -> None:
        """A sender that says "expired" has the last word."""
        if isinstance(effect, Progress) and effect.state is DeliveryState.EXPIRED and host.liar is None:
            letter = self.letters.get(effect.message_id or b"")
            if letter is not None:
                self._nobody_takes("ExpiredIsFinal", letter, f"node {host.index} says expired")

    # --- copies and receipts --------------------------------------------------------------------------------

    def _sender(
        self, host: Host, disk: _Disk, change: Change, reading: int, receipts: dict[bytes, Change]
    ) -> None:
        letter = disk.handles.get(change.key)
        if change.value is None:
            if letter is not None:
                self._copy(host, letter, False, reading, receipts)
                del disk.handles[change.key]
            return
        stored = codec.PENDING.decode(change.value)
        if not stored.header:
            return
        if letter is None:
            letter = disk.handles[change.key] = self._written(host, stored.header, stored.content)
        letter.keepers = max(letter.keepers, stored.custodian_count)
        self._copy(host, letter, bool(stored.content), reading, receipts)

    def _written(self, host: Host, header_bytes: bytes, content: bytes) -> Letter:
        header = codec.decode_header(header_bytes)
        letter = Letter(message_id(header_bytes), header, host.index, self.world.now, content[-CANARY:])
        letter.ends_at = retention_end(header.created_at, header.ttl, self.eps)
        return self.letters.setdefault(letter.message, letter)

    def _copy(
        self,
        host: Host,
        letter: Letter,
        there: bool,  # noqa: FBT001 - what the disk says
        reading: int,
        receipts: dict[bytes, Change],
    ) -> None:
        index, where = host.index, f"node {host.index}"
        if there:
            if index in letter.copies:
                return
            self._require(
                "NoResurrection",
                index not in letter.purged and index not in letter.forgot,
                f"{where} keeps {letter} again, after it had erased it",
            )
            self._require(
                "NoResurrection",
                reading < letter.header.expires_at,
                f"{where} keeps {letter}, which has expired",
            )
            letter.copies[index] = None
            self.counts.copies += 1
            self._watch(host, letter, copy=True)
        elif index in letter.copies:
            expired = reading >= letter.header.expires_at
            self._require(
                "PurgeJustified",
                expired or self._is_receipt(letter, receipts.get(letter.message)),
                f"{where} erases its copy of {letter}, without a receipt, "
                f"{(letter.header.expires_at - reading) // 1000} s before it expires",
            )
            justified = self._is_receipt(letter, receipts.get(letter.message))
            self._not_before(letter.header.expires_at, letter, f"{where} erases its copy", justified)
            del letter.copies[index]
            letter.purged.add(index)
            self.counts.by_expiry += expired
            self.counts.by_receipt += not expired

    @staticmethod
    def _is_receipt(letter: Letter, change: Change | None) -> bool:
        """Whether a record holds a receipt that the recipient of a message signed for it."""
        if change is None or change.value is None:
            return False
        form = codec.TOMBSTONE if change.table is Table.TOMBSTONE else codec.SEEN
        try:
            receipt = codec.decode_receipt(form.decode(change.value).receipt)
            check_receipt(receipt, letter.header, letter.message)
        except ProtocolError:
            return False
        return True

    def _receipt(self, host: Host, letter: Letter, change: Change, reading: int) -> None:
        index, where = host.index, f"node {host.index}"
        if change.value is None:
            if index in letter.tombs:
                del letter.tombs[index]
                self._nobody_takes("TombOutlivesCopies", letter, f"{where} erases its receipt")
                self._not_before(letter.ends_at, letter, f"{where} erases its receipt")
                letter.forgot.add(index)
                self.counts.forgotten += 1
            return
        if index in letter.tombs:
            return
        own = change.table is Table.SEEN
        letter.signed |= own
        self._require(
            "BoundedState",
            index not in letter.forgot and (own or index in letter.purged),
            f"{where} keeps a receipt for {letter}, of which it had no copy, or which it had forgotten",
        )
        self._require(
            "PurgeJustified",
            self._is_receipt(letter, change),
            f"{where} keeps a receipt for {letter} that its recipient didn't sign",
        )
        self._require(
            "BoundedState", reading < letter.ends_at, f"{where} keeps a receipt for {letter} after retention"
        )
        letter.tombs[index] = None
        self.counts.receipts += 1
        self._watch(host, letter, copy=False)

    # --- time ---------------------------------------------------------------------------------------------

    def reading(self, host: Host) -> int:
        """What a computer's purge clock reads; while that is off or waits for the time, the least it may be.

        Its own clock may be wrong by days; what its neighbours will tell it is within EPS of the truth.
        """
        whole = host.node
        if not isinstance(whole, Whole) or whole.purge_clock is None:
            return self._truth - self.eps
        return whole.time(self.world.time_of(host))

    def said(self, host: Host) -> int:
        """What the states that a node tells are judged by; before it knows the time, what it had written."""
        whole = host.node
        if isinstance(whole, Whole) and whole.purge_clock is None:
            return whole.written
        return self.reading(host)

    @property
    def _truth(self) -> int:
        """True time in ms since the epoch."""
        return BEGIN + self.world.now

    def knows_since(self, host: Host) -> int | None:
        """Since when a computer that is on has known the time, in ms; ``None`` while it doesn't."""
        return self._disk(host).knows_since if host.node is not None else None

    def _watch(self, host: Host, letter: Letter, *, copy: bool) -> None:
        own = letter.header.expires_at if copy else letter.ends_at
        heapq.heappush(self._disk(host).due, (own, letter.message, copy))
        bound = letter.born + letter.header.ttl + (2 if copy else 4) * self.eps
        heapq.heappush(self._bounds, (bound, letter.message, host.index, copy))

    def _in_time(self) -> None:
        """TtlBound, TraceBound: what is past its bound is with nobody who is on and knows the time."""
        bounds, now = self._bounds, self.world.now
        while bounds and bounds[0][0] < now:
            _, message, index, copy = heapq.heappop(bounds)
            letter, host = self.letters[message], self.world.hosts[index]
            if self._held(letter, index, copy=copy):
                disk = self._disk(host)
                if host.node is None or disk.last is None or host.group:
                    disk.late.append((letter, copy))
                else:
                    self._too_long(letter, host, copy=copy)

    def _nothing_due(self, host: Host, disk: _Disk, reading: int) -> None:
        """OwnClockBound: every step erases what is due at its reading."""
        while disk.due and disk.due[0][0] <= reading:
            when, message, copy = heapq.heappop(disk.due)
            letter = self.letters[message]
            self._require(
                "OwnClockBound",
                not self._held(letter, host.index, copy=copy),
                f"node {host.index} still has {'a copy of' if copy else 'a receipt for'} {letter}, "
                f"{reading - when} ms after it was due by its own clock",
            )
        for letter, copy in disk.late:
            if self._held(letter, host.index, copy=copy):
                self._too_long(letter, host, copy=copy)
        disk.late.clear()

    def _too_long(self, letter: Letter, host: Host, *, copy: bool) -> None:
        raise PromiseError(
            "TtlBound" if copy else "TraceBound",
            f"node {host.index} has {'a copy of' if copy else 'a receipt for'} {letter} "
            f"{(self.world.now - letter.born) / 1000:.3f} s after it was written, with a ttl of "
            f"{letter.header.ttl / 1000:.0f} s",
        )

    def _not_before(self, when: int, letter: Letter, what: str, justified: bool = False) -> None:  # noqa: FBT001, FBT002
        early = when - self.eps - self._truth
        self._require(
            "NotBeforeItsTime",
            justified or early <= 0,
            f"{what} of {letter} {(early + self.eps) / 1000:.3f} s before its time",
        )

    def _nobody_takes(self, promise: str, letter: Letter, what: str) -> None:
        for host in self.world.hosts:
            if host.liar is None and host.index not in self.lost:
                self._require(
                    promise,
                    self.reading(host) >= letter.header.expires_at,
                    f"{what} while node {host.index} would still take {letter}",
                )

    # --- now and then -------------------------------------------------------------------------------------

    def check_orphans(self) -> None:
        """NoOrphan: whom enough custodians promised to keep has a holder left."""
        if len(self.lost) > 1:
            return
        for letter in self.letters.values():
            if letter.keepers >= self.custody and not letter.signed and self._live(letter):
                self._require("NoOrphan", bool(letter.copies), f"no honest node has {letter} any more")

    def _live(self, letter: Letter) -> bool:
        """Whether every honest node would still take it."""
        return all(
            self.reading(host) < letter.header.expires_at
            for host in self.world.hosts
            if host.liar is None and host.index not in self.lost
        )

    def leave(self, host: Host) -> None:
        """A computer is gone for good, with its disk."""
        self.lost.add(host.index)
        for letter in self.letters.values():
            letter.copies.pop(host.index, None)
            letter.tombs.pop(host.index, None)
        self.check_orphans()

    def undelivered(self, reaches: Callable[[int, int], bool]) -> Iterable[Letter]:
        """Messages that wait although a holder ``reaches`` their recipient (both are indices)."""
        for letter in self.letters.values():
            recipient = self.world.by_id[letter.header.recipient].index
            reached = any(reaches(holder, recipient) for holder in letter.copies)
            if reached and not letter.signed and self._live(letter):
                yield letter

    def search(self) -> None:
        """TraceBound, for whole stores: past retention no store has a message's id or ciphertext.

        The recipient's plaintext is its application's, and evidence for credit goes with its term
        (TOM-PURGE-041): what was voted on in a term that is still open is not looked at for its messages.
        """
        self.counts.searches += 1
        for host in self.world.hosts:
            whole = host.node
            if host.liar is not None or not isinstance(whole, Whole) or host.group:
                continue
            records = [record for record in host.store.load() if record[0] is not Table.INBOX]
            closed = b"".join(key + value for table, key, value in records if table is not Table.TERM)
            voted = b"".join(value for table, _, value in records if table is Table.TERM)
            record = whole.node.home.record
            term = None if record is None else (record.subnet, record.term)
            reading = self._disk(host).last or 0
            for letter in self.letters.values():
                if letter.ends_at > reading:
                    continue
                searched = closed if (letter.header.subnet, letter.header.term) == term else closed + voted
                for needle, name in ((letter.message, "id"), (letter.canary, "ciphertext")):
                    if needle in searched:
                        table = next(t for t, key, value in records if needle in key or needle in value)
                        raise PromiseError(
                            "TraceBound",
                            f"the {name} of {letter} stands in node {host.index}'s table {table.value} "
                            f"{(reading - letter.ends_at) // 1000} s after the end of retention",
                        )
            named = {kept.message for kept in whole.node.kept}
            stored = {key for table, key, _ in records if table in {Table.CUSTODY, Table.TOMBSTONE}}
            self._require(
                "DiskFirst", named == stored, f"node {host.index} keeps something else than its disk has"
            )

    # --- small things -------------------------------------------------------------------------------------

    def _disk(self, host: Host) -> _Disk:
        disk = self._disks.get(host.index)
        if disk is None:
            disk = self._disks[host.index] = _Disk()
        return disk

    @staticmethod
    def _held(letter: Letter, index: int, *, copy: bool) -> bool:
        return index in (letter.copies if copy else letter.tombs)

    @staticmethod
    def _require(promise: str, holds: bool, what: str) -> None:  # noqa: FBT001 - a condition
        if not holds:
            raise PromiseError(promise, what)


def _nothing(_: Host) -> None:
    """Nobody wants to know who knows the time."""
