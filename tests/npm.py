"""Packages of npm that a test needs: fetched for it, from npm's registry."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PATIENCE = 120
"""s: the longest that npm may take."""


def npm(command: str, folder: Path, *packages: str) -> None:
    """Run npm in a folder; where npm isn't, or reaches no registry, the test is NOT RUN."""
    if shutil.which("npm") is None:
        pytest.skip("NOT RUN: npm is not on this machine")
    words = ["npm", command, "--no-audit", "--no-fund", "--loglevel=error", *packages]
    try:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"NOT RUN: npm had no answer from its registry within {PATIENCE} s")
    unreachable = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENOTCACHED", "network")
    if done.returncode and any(word in done.stderr for word in unreachable):
        pytest.skip("NOT RUN: npm can't reach its registry")
    assert done.returncode == 0, done.stderr
