"""Starting adapters: a small program in each language that passes the smoke level; the rest is to come."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from attrs import frozen

TEMPLATES: Final = Path(__file__).with_name("templates") / "init"


@frozen
class Language:
    """How a starting adapter is built and run, from its folder."""

    name: str
    build: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]


LANGUAGES: Final = {
    "ts": Language("TypeScript", (("npm", "install"), ("npx", "tsc")), ("node", "dist/adapter.js")),
    "rust": Language("Rust", (("cargo", "build", "--release"),), ("target/release/adapter",)),
    "c": Language("C", (("make",),), ("./adapter",)),
    "python": Language("Python", (), ("python3", "adapter.py")),
}


def write(language: str, folder: Path) -> list[Path]:
    """Write a starting adapter into a folder that is empty or not there; raises ``FileExistsError``."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    shutil.copytree(TEMPLATES / language, folder, dirs_exist_ok=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())
