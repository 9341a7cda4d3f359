"""The Chromium of this machine, for what only a browser can do: print the specification, try the site.

Nothing is ever downloaded.  It is the program that the variable ``CHROMIUM`` names, or the first of
:data:`NAMES` on the ``PATH``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOW: Final = "no Chromium: `apt-get install chromium`, or name one with CHROMIUM=/path/to/chromium"
"""How to get one, in a line."""


def find() -> str | None:
    """The path of a Chromium, or ``None``."""
    named = os.environ.get("CHROMIUM")
    if named is not None:
        return shutil.which(named)
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A running Chromium without a window; raises ``LookupError`` with :data:`HOW` where there is none."""
    path = find()
    if path is None:
        raise LookupError(HOW)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- only where there is a browser

    # Chromium's own sandbox can't start as root, as in containers; it only opens pages that are made here.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield running
        finally:
            running.close()
