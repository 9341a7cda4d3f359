"""Draw the README's picture: a real run of ``tom demo``, as it looks on a terminal.

``python -m tools.journey_picture`` writes ``docs/journey.svg``.  NodeIds and times differ from run to run, so
no check compares the file.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import trio
from rich.console import Console

from tom_cli import demo

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "journey.svg"


def main() -> int:
    """Run the demo and write the picture."""
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print("[bold]$ tom demo[/]\n")
    outcome = trio.run(demo.play, demo.DEFAULT_MESSAGE.encode(), demo.Stage(console))
    demo.show_outcome(console, outcome)
    names = {node["id"]: node["name"] for node in outcome.nodes}
    path = " → ".join(names[node] for node in outcome.path)
    drawn = console.export_svg(title=f"{path}, and the receipt back")
    # The page that shows the picture must not make a reader fetch a font from somebody else.
    local = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    PICTURE.write_text(local.replace("Fira Code", "DejaVu Sans Mono"), encoding="utf-8")
    print(f"{PICTURE.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
