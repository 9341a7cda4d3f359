"""``make bench``: what ToM costs, each figure beside the same work done bare, all in one run.

Machines differ and are noisy: read the ratios, not the absolute numbers.  Nothing here is a test and nothing
passes or fails.  ``--quick`` runs a tenth of everything; ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402 - the repository comes first
from rich.table import Table  # noqa: E402

from bench import codecs, journey, links, throughput  # noqa: E402

Figures = dict[str, Any]


def import_time() -> Figures:
    """Seconds to start Python and import the package, beside Python alone (best of five)."""

    def best(code: str) -> float:
        times = []
        for _ in range(5):
            started = perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
            times.append(perf_counter() - started)
        return min(times)

    bare = best("pass")
    return {
        "python alone, ms": 1000 * bare,
        "import tom_ref, ms": 1000 * (best("import tom_ref") - bare),
        "import tom_ref.node, ms": 1000 * (best("import tom_ref.node") - bare),
        "import the library with trio, ms": 1000 * (best("import tom_ref.drivers.library") - bare),
    }


def show(console: Console, title: str, figures: Figures) -> None:
    """One table."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}" if isinstance(value, float) else f"{value:,}")
    console.print(table)
    console.print()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    scale = 0.1 if arguments.quick else 1.0
    console = Console(highlight=False)
    console.print(f"Python {platform.python_version()}, {os.cpu_count()} processors, {platform.machine()}\n")
    parts: list[tuple[str, Callable[[], Figures]]] = [
        ("One message of 1 KiB through A, C and B, without I/O", lambda: journey.measure(scale)),
        ("Codec: the envelope of a 1 KiB message", lambda: codecs.measure(scale)),
        ("Links", lambda: links.measure(scale)),
        ("Three processes on TCP, 1 KiB messages, verified receipts", lambda: throughput.measure(scale)),
        ("Start", import_time),
    ]
    results: dict[str, Figures] = {}
    for title, measure in parts:
        with console.status(f"{title} …"):
            results[title] = measure()
        show(console, title, results[title])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
