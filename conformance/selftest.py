"""The suite tests itself: every broken port and every mutant must be caught, or nobody is judged by it."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from conformance.adapters.python import Adapter
from conformance.broken import BROKEN, Broken
from conformance.port import Fault, PortError
from conformance.protocol import BadReplyError, Reply, parse_reply, reply_line
from conformance.runner import Asked, Results, Verdict, run
from conformance.suite import suite

PROCESS_TIMEOUT: Final = 1.5
"""Seconds: the broken ports that fall silent need not be waited for as long as others."""

ENOUGH: Final = 3
"""So many failures of a broken process are enough."""


@frozen
class Catch:
    """How something broken was caught."""

    name: str
    about: str
    caught: bool
    by: str
    """The finding, or the first case that failed."""
    requirements: tuple[str, ...] = ()
    failures: int = 0


class InProcess:
    """An adapter in this process, asked as if it were another: all goes through JSON."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def ask(self, command: str, parameters: Mapping[str, Any]) -> Reply:
        """Answer one request; raises ``PortError`` for a reply out of form, as a process would."""
        given = json.loads(json.dumps(parameters))
        line = reply_line("1", self._adapter.handle(command, given))
        try:
            return parse_reply(line[:-1])[1]
        except BadReplyError as error:
            raise PortError(Fault.NOISE, str(error)) from None

    def close(self) -> None:
        """Nothing to end."""


def adapter_command(name: str) -> list[str]:
    """How a broken port is started."""
    return [sys.executable, "-m", "conformance.broken", name]


def reference(seed: str, profile: str = "full") -> Results:
    """The reference implementation, in this process."""
    return run((), seed=seed, profile=profile, start=lambda: InProcess(Adapter()))


def try_broken(broken: Broken, seed: str) -> Results:
    """Run the suite against one broken port."""
    if broken.talk is not None:
        return run(
            adapter_command(broken.name),
            seed=seed,
            profile="core",
            timeout=PROCESS_TIMEOUT,
            stop_after=ENOUGH,
        )

    def start() -> Asked:
        adapter = Adapter()
        if broken.twist is not None:
            broken.twist(adapter)
        return InProcess(adapter)

    with contextlib.ExitStack() as stack:
        if broken.patch is not None:
            suite(seed)  # made before: what is expected must not be broken as well
            stack.enter_context(contextlib.contextmanager(broken.patch)())
        # What it prints when it stumbles is nobody's business here.
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        return run((), seed=seed, start=start, stop_after=None if broken.names else ENOUGH)


def judged(broken: Broken, results: Results) -> Catch:
    """Whether the results catch it, and name what is wrong."""
    failures = [one for one in results.outcomes if one.verdict not in {Verdict.PASS, Verdict.NOT_RUN}]
    said = [f"{one.kind}: {one.detail}" for one in results.findings]
    said += [one.message for one in failures] + ([results.given_up] if results.given_up else [])
    named = next((text for text in said if broken.names in text), None)
    caught = results.exit_code != 0 and results.conformant != "true" and named is not None
    by = named or "nothing that names it"
    rules: tuple[str, ...] = ()
    if not broken.names and failures:
        by = f"{failures[0].case.id}: {failures[0].message}"
        rules = failures[0].case.requirements
    return Catch(broken.name, broken.about, caught, by, rules, len(failures))


def broken_ports(seed: str, names: Sequence[str] = ()) -> list[Catch]:
    """Try every broken port, or those named."""
    wanted = [BROKEN[name] for name in names] or list(BROKEN.values())
    return [judged(broken, try_broken(broken, seed)) for broken in wanted]


def as_json(catches: Sequence[Catch], tried: Tried | None, seed: str) -> str:
    """The results for programs, and for the table of the documentation site."""
    content = {
        "seed": seed,
        "broken": [
            {"name": one.name, "about": one.about, "caught": one.caught, "by": one.by} for one in catches
        ],
        "mutants": {} if tried is None else {one.requirement: one.mutant for one in tried.killed},
        "killers": {} if tried is None else {one.requirement: one.case for one in tried.killed},
        "not_killed": [] if tried is None else list(tried.left),
        "without_case": [] if tried is None else list(tried.without_case),
    }
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@frozen
class Killed:
    """How a mutant came off."""

    requirement: str
    mutant: str
    case: str
    message: str = field(default="", repr=False)


@frozen
class Tried:
    """What came of the mutants."""

    control: Killed | None
    """The control mutant; when it lives, nothing that is said of the others counts."""
    killed: tuple[Killed, ...]
    left: tuple[str, ...]
    """MUSTs with cases, but without a mutant that one of them kills."""
    without_case: tuple[str, ...]
    """MUSTs that no case cites yet."""
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether the control mutant died and each MUST with cases has a mutant killed."""
        return self.control is not None and not self.left

    @property
    def said(self) -> str:
        """For people."""
        if self.control is None:
            return "VOID: the control mutant lives"
        lines = [f"NOT KILLED  {rule}: no mutant that a case citing it kills" for rule in self.left]
        lines.append(
            f"a mutant killed for {len(self.killed)} of {len(self.killed) + len(self.left)} MUSTs that cases "
            f"cite in {self.seconds:.0f} s; {len(self.without_case)} MUSTs have no case of their own yet"
        )
        return "\n".join(lines)


def sound(results: Results) -> str:
    """Why the reference doesn't pass; empty when it does."""
    if results.conformant == "true" and results.exit_code == 0:
        return ""
    bad = results.unexpected[:3]
    said = [f"{one.case.id}: {one.message}" for one in bad] + [finding.detail for finding in results.findings]
    return "; ".join([*said, results.given_up]) or "it doesn't conform"
