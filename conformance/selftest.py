"""The suite tests itself: every broken port and every mutant must be caught, or nobody is judged by it."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import field, frozen

from conformance.adapters.python import Adapter
from conformance.broken import BROKEN, Broken
from conformance.case import Case
from conformance.port import Fault, PortError
from conformance.protocol import BadReplyError, Reply, parse_reply, reply_line
from conformance.runner import Asked, Results, Verdict, run, run_case
from conformance.sources import scenes
from conformance.suite import requirements, suite

RECORDED: Final = Path(__file__).parent / "selftest.json"
"""What the last whole self-test found: for the documentation, and what the next one tries first."""

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
    cases: tuple[str, ...] = ()
    """The first that failed."""


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


def fresh_faults(seed: str) -> list[str]:
    """What the reference does otherwise than scenes say that were played just now; one line each."""
    port = InProcess(Adapter())
    outcomes = [run_case(port, case) for case in scenes.cases(seed, fresh=True)]
    return [f"{one.case.id}: {one.message}" for one in outcomes if one.verdict is not Verdict.PASS]


_One = TypeVar("_One")
_Made = TypeVar("_Made")


def beside(work: Callable[[_One], _Made], many: Sequence[_One], jobs: int) -> list[_Made]:
    """Do the same to each of many, so many at a time: processes, as all threads would be broken."""
    if jobs < 2 or len(many) < 2:
        return [work(one) for one in many]
    _TASKS.extend(partial(work, one) for one in many)
    try:
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
            return list(pool.map(_do, range(len(_TASKS))))
    finally:
        _TASKS.clear()


_TASKS: Final[list[Callable[[], Any]]] = []
"""What is done beside each other: a fork has it, with all cases, and only results go through a pipe."""


def _do(place: int) -> Any:
    return _TASKS[place]()


def recorded() -> dict[str, Any]:
    """What the last whole self-test found; empty when there is no record that can be read."""
    try:
        content = json.loads(RECORDED.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def try_broken(broken: Broken, seed: str, first: Sequence[str] = ()) -> Results:
    """Run the suite against one broken port, the cases named ``first`` before the others."""
    if broken.talk is not None:
        return run(
            adapter_command(broken.name),
            seed=seed,
            profile="core",
            timeout=PROCESS_TIMEOUT,
            stop_after=ENOUGH,
            first=first,
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
        # What has to be named is found at the end of a run; else one case that fails catches it.
        enough = None if broken.names else 1
        return run((), seed=seed, start=start, stop_after=enough, first=first)


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
    cases = tuple(one.case.id for one in failures[:ENOUGH])
    return Catch(broken.name, broken.about, caught, by, rules, len(failures), cases)


def broken_ports(seed: str, names: Sequence[str] = (), *, jobs: int = 1) -> list[Catch]:
    """Try every broken port, or those named; first with the cases that caught it the last time."""
    known = {one["name"]: tuple(one.get("cases", ())) for one in recorded().get("broken", ())}
    suite(seed)  # made before any process is forked
    wanted = list(names) or list(BROKEN)
    return beside(partial(_caught, seed, known), wanted, jobs)


def _caught(seed: str, known: Mapping[str, Sequence[str]], name: str) -> Catch:
    broken = BROKEN[name]
    return judged(broken, try_broken(broken, seed, known.get(name, ())))


def as_json(catches: Sequence[Catch], tried: Tried | None, seed: str) -> str:
    """The results for programs, and for the table of the documentation site."""
    content = {
        "seed": seed,
        "broken": [
            {
                "name": one.name,
                "about": one.about,
                "caught": one.caught,
                "by": one.by,
                "cases": list(one.cases),
            }
            for one in catches
        ],
        "mutants": {} if tried is None else {one.requirement: one.mutant for one in tried.killed},
        "killers": {} if tried is None else {one.requirement: one.case for one in tried.killed},
        "not_killed": [] if tried is None else list(tried.left),
        "without_case": [] if tried is None else list(tried.without_case),
    }
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def stale(held: Mapping[str, Any], cases: Sequence[Case], needless: Collection[str]) -> Iterator[str]:
    """Where a record of a self-test isn't of this suite; ``needless`` are the MUSTs that need no mutant."""
    names = {one["name"] for one in held.get("broken", ())}
    yield from (f"no broken port {name} any more" for name in sorted(names - set(BROKEN)))
    yield from (f"the broken port {name} is new" for name in sorted(set(BROKEN) - names))
    by_id = {case.id: case for case in cases}
    cited = {rule for case in cases for rule in case.requirements}
    musts = {rule.id for rule in requirements().values() if rule.level == "MUST"} - set(needless)
    killers = held.get("killers", {})
    for rule in sorted(musts & cited - set(killers)):
        yield f"{rule} has cases now and no mutant"
    for rule, name in killers.items():
        if name.startswith("trace-"):
            continue  # which behaviours are run is drawn by the seed
        if rule not in musts or name not in by_id or rule not in by_id[name].requirements:
            yield f"{rule}: {name} isn't a case of it any more"
    yield from (f"{rule} has a case now" for rule in sorted(cited & set(held.get("without_case", ()))))


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
