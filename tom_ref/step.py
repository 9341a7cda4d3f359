"""What one step of a node collects: store changes first, then effects in their order."""

from __future__ import annotations

from tom_ref.effects import Change, Effect, Event, Persist, Report, SendFrame, Table


class Step:
    """The outcome of one step while it is being worked out."""

    def __init__(self, now: int) -> None:
        """``now`` is the step's time in ms."""
        self.now = now
        self._changes: dict[tuple[Table, bytes], bytes | None] = {}
        self._effects: list[Effect] = []

    @property
    def writes(self) -> bool:
        """Whether the store changes."""
        return bool(self._changes)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Write a record before any effect of this step."""
        self._changes[table, key] = value

    def erase(self, table: Table, key: bytes) -> None:
        """Erase a record before any effect of this step."""
        self._changes[table, key] = None

    def emit(self, effect: Effect) -> None:
        """Add an effect behind the others."""
        self._effects.append(effect)

    def send(self, link: int, data: bytes) -> None:
        """Hand a frame to a link."""
        self._effects.append(SendFrame(link, data))

    def report(self, event: Event, peer: bytes, message: bytes | None = None, detail: str = "") -> None:
        """Tell whoever watches."""
        self._effects.append(Report(event, peer, message, detail))

    def finish(self) -> tuple[Effect, ...]:
        """All effects, the one ``Persist`` in front (TOM-DELIVERY-050)."""
        if not self._changes:
            return tuple(self._effects)
        changes = tuple(Change(table, key, value) for (table, key), value in self._changes.items())
        return (Persist(changes), *self._effects)
