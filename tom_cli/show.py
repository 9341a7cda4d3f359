"""How the command line shows ids, bytes, texts and tables."""

from __future__ import annotations

from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Table


def short(node_id: str) -> str:
    """A NodeId's text with its middle left out, enough to tell nodes apart: ``tom1qqqsyqc…x7kl2m``."""
    return f"{node_id[:12]}…{node_id[-6:]}"


def readable(content: bytes, limit: int = 200) -> str:
    """Content as text where it is text, and as its size and beginning where it isn't; never control codes."""
    if not content:
        return "(nothing: 0 bytes)"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        more = "…" if len(content) > 16 else ""
        return f"{len(content):,} bytes: {content[:16].hex(' ')}{more}"
    safe = "".join(character if character.isprintable() else "·" for character in text[:limit])
    return safe if len(text) <= limit else f"{safe}… ({len(content):,} bytes)"


def hex_lines(data: bytes, most: int) -> str:
    """The beginning of ``data`` as a hex dump of at most ``most`` lines of 16 bytes."""
    lines = []
    for offset in range(0, min(len(data), 16 * most), 16):
        piece = data[offset : offset + 16]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
        lines.append(f"{offset:06x}  {piece.hex(' '):<47}  {text}")
    if len(data) > 16 * most:
        lines.append(f"…       {len(data) - 16 * most:,} more bytes")
    return "\n".join(lines)


def print_table(console: Console, table: Table) -> None:
    """Print a table without the blanks that would fill its lines to their full width."""
    for line in console.render_lines(table, pad=False):
        segments = list(line)
        while segments and not segments[-1].text.strip():
            segments.pop()
        if segments:
            last = segments[-1]
            segments[-1] = Segment(last.text.rstrip(), last.style)
        console.print(Segments([*segments, Segment.line()]), soft_wrap=True, end="")
