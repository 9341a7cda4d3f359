"""A plugin for pytest: each case is a test.  ``pytest -p conformance.pytest_plugin --tom-port "COMMAND"``.

The runner remains what decides; the plugin only shows its verdicts among a port's other tests.
"""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from conformance import reports
from conformance.case import PROFILES, Case
from conformance.port import Port, PortError, resolved
from conformance.runner import Attached, GivenUpError, Verdict, run_case, selected
from conformance.suite import suite

_ATTACHED = pytest.StashKey[Attached]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("tom", "conformance to ToM/1")
    group.addoption("--tom-port", help="the command of the adapter, as one word")
    group.addoption("--tom-profile", default="full", choices=sorted(PROFILES), help="which levels")
    group.addoption("--tom-seed", default="0", help="repeats a run")


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for each case."""
    command = config.getoption("--tom-port")
    if not command:
        return
    words = resolved(shlex.split(command))
    config.stash[_ATTACHED] = Attached(lambda: Port(words))
    cases = selected(suite(config.getoption("--tom-seed")), config.getoption("--tom-profile"))
    items.extend(
        CaseItem.from_parent(session, name=case.id, case=case, command=tuple(words)) for case in cases
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the port."""
    attached = config.stash.get(_ATTACHED, None)
    if attached is not None:
        attached.close()


class NotConformantError(Exception):
    """A case that didn't pass; the text explains it."""


class CaseItem(pytest.Item):
    """One case."""

    def __init__(self, *, case: Case, command: tuple[str, ...], **options: Any) -> None:
        super().__init__(**options)
        self.case = case
        self.command = command

    def runtest(self) -> None:
        """Run it against the attached port."""
        attached = self.config.stash[_ATTACHED]
        try:
            port = attached.port()
        except (PortError, GivenUpError) as error:
            attached.lost()
            raise NotConformantError(str(error)) from None
        outcome = run_case(port, self.case, attached.hello["features"])
        if outcome.verdict is Verdict.BROKEN:
            attached.lost()
        if outcome.verdict is Verdict.SKIP:
            pytest.skip(outcome.message)
        if outcome.verdict is not Verdict.PASS:
            seed = self.config.getoption("--tom-seed")
            raise NotConformantError(reports.explained(outcome, self.command, seed))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The explanation alone."""
        if isinstance(excinfo.value, NotConformantError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where it belongs."""
        return self.path, None, f"ToM/1 level {self.case.level}: {self.case.id}"
