"""Runs cases against a port and judges each answer.  Whatever can't be shown to be right is not passed."""

from __future__ import annotations

import contextlib
import enum
import fnmatch
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, Self

from attrs import define, field, frozen

from conformance import SPEC_VERSION
from conformance.case import PROFILES, Case, compare, filled
from conformance.known import Known
from conformance.port import Port, PortError
from conformance.protocol import MAX_RESTARTS, TIMEOUT, Kind, Reply
from conformance.suite import requirements, smoke_suite, specification_digest, suite, suite_digest

AGREE_SHARE: Final = 0.05
"""The part of the cases that is run a second time, to see whether the answers agree."""
_TRANSCRIPT: Final = 4_096


class Verdict(enum.StrEnum):
    """What came of a case."""

    PASS = "pass"
    FAIL = "fail"
    BROKEN = "broken"
    """The adapter misbehaved while it ran."""
    SKIP = "skip"
    """The port says that it doesn't support it."""
    NOT_RUN = "not_run"
    """The adapter was given up before."""


class Asked(Protocol):
    """What the runner asks: a child process, or an adapter in this process."""

    def ask(self, command: str, parameters: Mapping[str, Any]) -> Reply:
        """Answer one request; raises ``PortError``."""

    def close(self) -> None:
        """End."""


@frozen
class Exchange:
    """One request with its reply."""

    cmd: str
    p: Any = field(repr=False)
    reply: Reply | None


@frozen
class Outcome:
    """What came of one case."""

    case: Case
    verdict: Verdict
    message: str = ""
    transcript: tuple[Exchange, ...] = field(default=(), repr=False)
    seconds: float = 0.0
    known: bool = False
    """Whether it fails as a list of known failures says."""


@frozen
class Finding:
    """Something wrong with the adapter as a whole."""

    kind: str
    detail: str


@define
class Results:
    """A whole run."""

    command: tuple[str, ...]
    profile: str
    seed: str
    filtered: bool
    hello: Mapping[str, Any]
    outcomes: list[Outcome]
    findings: list[Finding]
    suite_digest: str
    spec_digest: str
    seconds: float
    given_up: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many cases came to which verdict."""
        count = dict.fromkeys((verdict.value for verdict in Verdict), 0)
        for outcome in self.outcomes:
            count[outcome.verdict.value] += 1
        return count

    @property
    def unexpected(self) -> list[Outcome]:
        """What didn't pass and no list of known failures foretold; a skip has to be declared, too."""
        return [one for one in self.outcomes if one.verdict is not Verdict.PASS and not one.known]

    def by_requirement(self) -> dict[str, str]:
        """The verdict on each requirement that a case of the run cites: the worst of its cases."""
        worst = (Verdict.BROKEN, Verdict.FAIL, Verdict.NOT_RUN, Verdict.SKIP, Verdict.PASS)
        found: dict[str, Verdict] = {}
        for outcome in self.outcomes:
            for rule in outcome.case.requirements:
                held = found.get(rule, Verdict.PASS)
                found[rule] = min(held, outcome.verdict, key=worst.index)
        return {rule: found[rule].value for rule in sorted(found)}

    @property
    def conformant(self) -> str:
        """``true`` only when every MUST case of the profile ran and passed; ``false`` or ``incomplete``."""
        levels = requirements()
        musts = [
            outcome
            for outcome in self.outcomes
            if any(levels[rule].level == "MUST" for rule in outcome.case.requirements)
        ]
        if self.given_up or self.findings or not musts:
            return "false"
        if any(outcome.verdict in {Verdict.FAIL, Verdict.BROKEN} for outcome in musts):
            return "false"
        if self.filtered or any(outcome.verdict is not Verdict.PASS for outcome in musts):
            return "incomplete"
        return "true"

    @property
    def exit_code(self) -> int:
        """0 as declared, 1 unexpected result, 3 the adapter is broken."""
        if self.given_up:
            return 3
        return 1 if self.unexpected or self.findings else 0


class Attached:
    """A port that is started again when it has misbehaved, a few times."""

    def __init__(self, start: Callable[[], Asked]) -> None:
        self._start = start
        self._port: Asked | None = None
        self.restarts = -1
        self.hello: Mapping[str, Any] = {}
        self.findings: list[Finding] = []

    def port(self) -> Asked:
        """The running port; raises ``PortError`` when it can't be had any more."""
        if self._port is None:
            if self.restarts >= MAX_RESTARTS:
                raise GivenUpError(f"started again {MAX_RESTARTS} times, and it misbehaved each time")
            self.restarts += 1
            port = self._start()
            try:
                hello = checked_hello(port.ask("hello", {}))
            except GivenUpError:
                port.close()
                raise
            if self.hello and hello != self.hello:
                self.findings.append(Finding("hello_changes", "another hello after a restart"))
            self.hello = hello
            self._port = port
        return self._port

    def lost(self) -> None:
        """The port misbehaved; its process is gone."""
        self._port = None

    def close(self) -> None:
        """End the port."""
        if self._port is not None:
            self._port.close()
            self._port = None


class GivenUpError(Exception):
    """No further case can be run."""


def checked_hello(reply: Reply) -> Mapping[str, Any]:
    """What a port says of itself; raises :class:`GivenUpError` when that is not in form."""
    value = reply.value
    if reply.kind is not Kind.OK or not isinstance(value, dict):
        raise GivenUpError(f"hello is answered {reply.kind.value}")
    form = {"spec": str, "levels": list, "features": list, "limits": dict, "port": dict}
    for name, kind in form.items():
        if not isinstance(value.get(name), kind):
            raise GivenUpError(f"hello: {name} is missing or no {kind.__name__}")
    if value.keys() != form.keys():
        raise GivenUpError(f"hello: {sorted(value.keys() - form.keys())} are not asked for")
    if value["spec"] != SPEC_VERSION:
        raise GivenUpError(f"hello: {str(value['spec'])[:20]!r} is not {SPEC_VERSION}")
    if not all(isinstance(item, str) for item in value["features"]):
        raise GivenUpError("hello: features are not texts")
    if not all(isinstance(item, int) for item in value["levels"]):
        raise GivenUpError("hello: levels are no numbers")
    if not all(isinstance(value["port"].get(name), str) for name in ("name", "version", "commit")):
        raise GivenUpError("hello: port has no name, version and commit")
    return value


def claims(features: Sequence[str], command: str) -> bool:
    """Whether a port says that it supports a command."""
    return any(fnmatch.fnmatchcase(command, pattern) for pattern in features)


def run_case(port: Asked, case: Case, features: Sequence[str] = ("*",)) -> Outcome:
    """Run one case; raises nothing."""
    bound: dict[str, Any] = {}
    transcript: list[Exchange] = []
    started = time.perf_counter()

    def outcome(verdict: Verdict, message: str = "") -> Outcome:
        return Outcome(case, verdict, message, tuple(transcript), time.perf_counter() - started)

    unclaimed = sorted(command for command in case.commands if not _allowed(features, command))
    if unclaimed:
        return outcome(Verdict.SKIP, f"the port doesn't claim {', '.join(unclaimed)}")
    for number, step in enumerate(case.steps, 1):
        try:
            parameters = filled(step.p, bound)
        except KeyError as error:
            return outcome(Verdict.FAIL, f"step {number}: nothing was bound to {error}")
        try:
            reply = port.ask(step.cmd, parameters)
        except PortError as fault:
            transcript.append(Exchange(step.cmd, parameters, None))
            return outcome(Verdict.BROKEN, str(fault))
        transcript.append(Exchange(step.cmd, parameters, reply))
        if reply.kind is Kind.UNSUPPORTED and step.expect.kind is not Kind.UNSUPPORTED:
            return outcome(
                Verdict.FAIL, f"step {number}: claims {step.cmd} and answers unsupported: {reply.value}"
            )
        faults = compare(step.expect, reply, bound)
        if faults:
            return outcome(Verdict.FAIL, f"step {number}, {step.cmd}: " + "; ".join(faults[:5]))
    return outcome(Verdict.PASS)


def _allowed(features: Sequence[str], command: str) -> bool:
    """Nobody claims a command that nobody knows, and everybody answers it."""
    group = command.partition(".")[0]
    return group in {"hello", "reset"} or group.startswith("x") or claims(features, command)


def selected(cases: Sequence[Case], profile: str, pattern: str = "*") -> list[Case]:
    """The cases of a profile whose ids match."""
    levels = PROFILES[profile]
    return [case for case in cases if case.level in levels and fnmatch.fnmatchcase(case.id, pattern)]


def run(
    command: Sequence[str],
    *,
    profile: str = "full",
    seed: str = "0",
    pattern: str = "*",
    known: Sequence[Known] = (),
    jobs: int = 1,
    timeout: float = TIMEOUT,
    start: Callable[[], Asked] | None = None,
    stop_after: int | None = None,
    fresh: bool = False,
    first: Sequence[str] = (),
) -> Results:
    """Run the cases of a profile.

    ``start`` makes another port than the command's process; with ``stop_after`` so many cases that don't pass
    are enough.  With ``fresh`` the scenes are played anew.  The cases named in ``first`` come
    before the others.
    """
    began = time.perf_counter()
    with _Early(command, timeout) as early:
        if start is None and jobs > 0:
            early.begin(1 if profile == "smoke" or pattern != "*" else jobs)
        every = smoke_suite(seed) if profile == "smoke" else suite(seed, fresh=fresh)
        cases = selected(every, profile, pattern)
        random.Random(f"{seed}/order").shuffle(cases)  # noqa: S311 - an order, no secret
        if first:
            cases.sort(key=lambda case: case.id not in first)
        workers = max(1, min(jobs, len(cases) or 1))
        shares = [cases[index::workers] for index in range(workers)]
        runs = [_Worker(start or early.next, share, seed, stop_after) for share in shares]
        if workers == 1:
            runs[0].run()
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(_Worker.run, runs))
    outcomes = sorted((one for worker in runs for one in worker.outcomes), key=lambda one: one.case.id)
    findings = [finding for worker in runs for finding in worker.findings]
    judged, misses = _with_known(outcomes, known)
    findings += misses
    return Results(
        tuple(command),
        profile,
        seed,
        pattern != "*",
        runs[0].attached.hello,
        judged,
        sorted(set(findings), key=lambda one: (one.kind, one.detail)),
        suite_digest(seed, fresh=fresh, smoke=profile == "smoke"),
        specification_digest(),
        time.perf_counter() - began,
        "; ".join(sorted({worker.given_up for worker in runs if worker.given_up})),
    )


class _Early:
    """Adapters that load what they need while the cases are made."""

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self._command = command
        self._timeout = timeout
        self._ports: list[Port] = []

    def begin(self, count: int) -> None:
        """Start so many; what can't be started is told when it is asked for."""
        with contextlib.suppress(PortError):
            for _ in range(count):
                self._ports.append(Port(self._command, timeout=self._timeout))

    def next(self) -> Port:
        """One that was started before, or another; raises ``PortError``."""
        try:
            return self._ports.pop()
        except IndexError:
            return Port(self._command, timeout=self._timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for port in self._ports:
            port.kill()


class _Worker:
    """One attached port with its share of the cases."""

    def __init__(
        self, start: Callable[[], Asked], cases: Sequence[Case], seed: str, stop_after: int | None
    ) -> None:
        self.attached = Attached(start)
        self._cases = cases
        self._seed = seed
        self.outcomes: list[Outcome] = []
        self.findings: list[Finding] = []
        self.given_up = ""
        self._left = stop_after

    def run(self) -> None:
        """Run them all."""
        for case in self._cases:
            outcome = self._one(case)
            self.outcomes.append(outcome)
            if outcome.verdict is not Verdict.PASS and self._left is not None:
                self._left -= 1
                if self._left <= 0:
                    self.attached.close()
                    return
        if not self.given_up:
            self._again()
            self._unclaimed()
        self.attached.close()
        self.findings += self.attached.findings

    def _one(self, case: Case) -> Outcome:
        if self.given_up:
            return Outcome(case, Verdict.NOT_RUN, self.given_up)
        try:
            port = self.attached.port()
        except PortError as fault:
            self.attached.lost()
            if not self.attached.hello:
                self.given_up = str(fault)
            return Outcome(case, Verdict.BROKEN, str(fault))
        except GivenUpError as error:
            self.given_up = str(error)
            return Outcome(case, Verdict.NOT_RUN, self.given_up)
        outcome = run_case(port, case, self.attached.hello["features"])
        if outcome.verdict is Verdict.BROKEN:
            self.attached.lost()
        return outcome

    def _again(self) -> None:
        """The same case twice must agree."""
        chance = random.Random(f"{self._seed}/again")  # noqa: S311 - a choice, no secret
        simple = [outcome for outcome in self.outcomes if len(outcome.transcript) == len(outcome.case.steps)]
        count = min(len(simple), max(20, int(AGREE_SHARE * len(simple))))
        for outcome in chance.sample(simple, count):
            if outcome.verdict not in {Verdict.PASS, Verdict.FAIL}:
                continue
            again = self._one(outcome.case)
            if again.verdict is not outcome.verdict or replies(again) != replies(outcome):
                self.findings.append(
                    Finding("not_repeatable", f"{outcome.case.id}: another answer the second time")
                )

    def _unclaimed(self) -> None:
        """What a port doesn't claim it answers ``unsupported``."""
        features = self.attached.hello.get("features", ())
        probes: dict[str, Mapping[str, Any]] = {}
        for case in self._cases:
            for step in case.steps[:1]:
                if not _allowed(features, step.cmd):
                    probes.setdefault(step.cmd, step.p)
        for command, parameters in sorted(probes.items()):
            try:
                reply = self.attached.port().ask(command, parameters)
            except PortError as fault:
                self.attached.lost()
                self.findings.append(Finding(fault.fault.value, f"{command}: {fault.detail}"))
            except GivenUpError as error:
                self.given_up = str(error)
                return
            else:
                if reply.kind is not Kind.UNSUPPORTED:
                    detail = f"answers {command}, which it doesn't claim, with {reply.kind.value}"
                    self.findings.append(Finding("lies_about_features", detail))


def replies(outcome: Outcome) -> list[Any]:
    """What was answered, without the handles of nodes, which a port names as it likes."""
    return [
        None
        if exchange.reply is None
        else (
            exchange.reply.kind,
            "" if exchange.cmd in {"node.new", "node.restore"} else exchange.reply.value,
        )
        for exchange in outcome.transcript
    ]


def _with_known(outcomes: Sequence[Outcome], known: Sequence[Known]) -> tuple[list[Outcome], list[Finding]]:
    """Mark what was foretold; what was foretold and didn't come is a finding."""
    listed = {one.case: one for one in known}
    judged: list[Outcome] = []
    findings: list[Finding] = []
    seen: set[str] = set()
    for outcome in outcomes:
        entry = listed.get(outcome.case.id)
        if entry is None:
            judged.append(outcome)
            continue
        seen.add(entry.case)
        wrong = entry.contradicts(outcome.verdict.value, outcome.message)
        if wrong:
            findings.append(Finding("known_failure", f"{entry.case}: {wrong}"))
        judged.append(
            Outcome(
                outcome.case,
                outcome.verdict,
                outcome.message,
                outcome.transcript,
                outcome.seconds,
                known=not wrong,
            )
        )
    findings += [Finding("known_failure", f"{name}: never seen") for name in sorted(listed.keys() - seen)]
    return judged, findings
