"""Known failures: what a port's author has declared not to work yet, as TOML.

::

    [[known]]
    case = "wire-header-0007"
    outcome = "fail"          # or "broken", "skip"
    message = "step 1"        # how its message begins
    issue = "https://…"
    expires = 2027-01-01

A list can only be as long as it is true: a listed case that passes, is never seen, fails otherwise or has
expired makes the run fail.  And a listed MUST never counts as conformant.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import frozen

OUTCOMES = ("fail", "broken", "skip")


class KnownError(Exception):
    """A list that is not in form."""


@frozen
class Known:
    """One listed case."""

    case: str
    outcome: str
    message: str
    issue: str
    expires: dt.date

    def contradicts(self, outcome: str, message: str, today: dt.date | None = None) -> str:
        """Why an outcome is not the one listed; empty when it is."""
        if outcome == "pass":
            return "listed as a known failure, and passes"
        if outcome != self.outcome:
            return f"{outcome}, listed as {self.outcome}"
        if not message.startswith(self.message):
            return f"fails otherwise: {message[:120]}"
        if (today or dt.datetime.now(tz=dt.UTC).date()) >= self.expires:
            return f"expired on {self.expires.isoformat()}"
        return ""


def load(path: Path) -> list[Known]:
    """Read a list; raises :class:`KnownError`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KnownError(f"{path}: {error}") from None
    entries = content.get("known", [])
    if content.keys() - {"known"} or not isinstance(entries, list):
        raise KnownError(f"{path}: only [[known]] entries belong here")
    made = [_entry(path, entry) for entry in entries]
    names = [one.case for one in made]
    if len(set(names)) != len(names):
        raise KnownError(f"{path}: a case is listed twice")
    return made


def _entry(path: Path, entry: Any) -> Known:
    if not isinstance(entry, dict) or entry.keys() != {"case", "outcome", "message", "issue", "expires"}:
        raise KnownError(f"{path}: an entry has case, outcome, message, issue, expires")
    if not all(isinstance(entry[name], str) for name in ("case", "outcome", "message", "issue")):
        raise KnownError(f"{path}: {entry['case']}: texts, please")
    if entry["outcome"] not in OUTCOMES or not isinstance(entry["expires"], dt.date):
        raise KnownError(
            f"{path}: {entry['case']}: outcome is one of {', '.join(OUTCOMES)}; expires is a date"
        )
    return Known(**entry)


def written(entries: Iterable[Known]) -> str:
    """The list as TOML."""
    lines = []
    for entry in sorted(entries, key=lambda one: one.case):
        lines += [
            "[[known]]",
            f"case = {_quoted(entry.case)}",
            f"outcome = {_quoted(entry.outcome)}",
            f"message = {_quoted(entry.message)}",
            f"issue = {_quoted(entry.issue)}",
            f"expires = {entry.expires.isoformat()}",
            "",
        ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped)
    return f'"{escaped}"'
