"""Settings that every test shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tom_ref import constants

# No time limit for one example: a busy machine is no failure, and pytest-timeout catches what hangs.  In CI
# the examples are the same in every run, so that a red build can be repeated; new ones are found locally and
# by the fuzzer.
settings.register_profile("tom", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("tom")


def pytest_addoption(parser: pytest.Parser) -> None:
    """One seed of the term schedules, to repeat what failed."""
    parser.addoption(
        "--term-seed", type=int, default=None, help="run the term schedules with this seed alone"
    )


@pytest.fixture(autouse=True)
def less_work(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newcomers of the networks in :mod:`tests.homes` work for milliseconds instead of half a second.

    Both sides ask for the same amount, whatever it is; vectors, the conformance suite and real processes have
    the real one.
    """
    if "Homes" in vars(request.module):
        monkeypatch.setattr(constants, "JOIN_WORK_BITS", 8)
