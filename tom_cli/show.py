"""How the command line shows ids, bytes and texts."""

from __future__ import annotations


def short(node_id: str) -> str:
    """A NodeId's text with its middle left out, enough to tell nodes apart: ``tom1qqqsyqc…x7kl2m``."""
    return f"{node_id[:12]}…{node_id[-6:]}"


def readable(content: bytes, limit: int = 200) -> str:
    """Content as text where it is text, and as its size and beginning where it isn't; never control codes."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return f"{len(content):,} bytes: {content[:16].hex(' ')}…"
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
