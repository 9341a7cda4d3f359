"""The console script ``tom-conformance``; the suite needs the specification and the vectors beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


def main() -> int:
    """The command, or the advice to use a clone."""
    if not (ROOT / "test-vectors").is_dir() or not (ROOT / "spec/requirements.json").is_file():
        print(
            "tom-conformance: run it from a clone of the repository, where spec/ and test-vectors/ are",
            file=sys.stderr,
        )
        return 4
    from conformance.cli import main as command  # noqa: PLC0415 - it needs what was looked for

    return command()
