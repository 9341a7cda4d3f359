"""Behaviours of the models as ITF JSON, for the conformance suite and for every port.

Chosen so that nothing depends on luck:

- every broken twin's counterexample, as an *attack* that the code must refuse or survive;
- every witness, so that every action occurs;
- of seeded random behaviours of the main models those that add an outcome of an action (the
  action together with the variables it changed) or a pair of consecutive actions, greedily.

Every file names the instance, the digest over its modules and configuration, and the seed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import itf_py
import jsonschema
from attrs import frozen
from rich.console import Console
from rich.table import Table

from tla.runner.closure import fingerprint, library_of, sources_of
from tla.runner.config import Config
from tla.runner.errors import Exit, RunnerError
from tla.runner.instances import Instance, Simulation
from tla.runner.manifest import Pin
from tla.runner.output import TraceState, parse_states
from tla.runner.story import STEP_VARIABLE, changes_between, name_of_step, values_of
from tla.runner.tlc import Verdict, run_tlc
from tla.runner.values import canonical, to_itf

SCHEMA_FILE = Path(__file__).with_name("itf.schema.json")
SEED = 20_250_101
SIMULATION = Simulation(num=400, depth=40, seed=SEED)
AREA_BUDGET = 1_400_000
"""Bytes of random behaviours kept per area."""
TOTAL_BUDGET = 3_000_000
TRACE_CONSTANT = "TRACE"
TRACE_STATES = 60_000
"""A model whose pinned search is larger runs without the history variable."""


@frozen
class Behaviour:
    """One trace to be written."""

    name: str
    instance: Instance
    kind: str
    """``attack``, ``witness`` or ``behaviour``."""
    states: tuple[TraceState, ...]
    loop: int | None
    """Index from 0 of the state to which the last one returns."""
    sha256: str
    seed: int | None
    constants: tuple[tuple[str, str, str], ...]

    def parsed(self) -> list[tuple[str, dict[str, str], dict[str, Any], list[str]]]:
        """Per state: name of the step, parameters, values, variables that changed."""
        found: list[tuple[str, dict[str, str], dict[str, Any], list[str]]] = []
        before: dict[str, Any] = {}
        for state in self.states:
            values = values_of(state)
            name, parameters = name_of_step(state, values)
            changed = sorted(
                {change.place.split("[")[0].split(".")[0] for change in changes_between(before, values)}
            )
            found.append((name, parameters, values, changed if before else []))
            before = values
        return found

    def features(self) -> list[set[tuple[str, ...]]]:
        """Per state, what it adds: the outcome of its action, and the pair with the action before."""
        found: list[set[tuple[str, ...]]] = []
        before: str | None = None
        for index, (name, parameters, _, changed) in enumerate(self.parsed()):
            if index == 0:
                found.append(set())
                continue
            outcome = ("outcome", name, parameters.get("outcome", ""), *changed)
            found.append({outcome} if before is None else {outcome, ("pair", before, name)})
            before = name
        return found


def as_itf(behaviour: Behaviour) -> dict[str, Any]:
    """The ITF document, sets and maps in a fixed order."""
    states = []
    steps = behaviour.parsed()
    variables = [name for name, _ in behaviour.states[0].text if name != STEP_VARIABLE]
    for index, (name, parameters, values, changed) in enumerate(steps):
        meta = {"index": index, "action": name, "parameters": parameters, "changed": changed}
        states.append(itf_py.State(meta=meta, values={key: to_itf(values[key]) for key in variables}))
    instance = behaviour.instance
    meta = {
        "format": "ITF",
        "format-description": "https://apalache-mc.org/docs/adr/015adr-trace.html",
        "description": instance.about,
        "kind": behaviour.kind,
        "violates": instance.violates if behaviour.kind == "attack" else None,
        "witness_of": instance.witness_of,
        "instance": instance.name,
        "source": instance.module.name,
        "requirements": list(instance.requirements),
        "model_sha256": behaviour.sha256,
        "constants": {name: value for name, _, value in behaviour.constants},
        "seed": behaviour.seed,
    }
    trace = itf_py.Trace(meta=meta, params=[], vars=variables, states=states, loop=behaviour.loop)
    document: dict[str, Any] = canonical(itf_py.trace_to_json(trace))
    return document


def render_itf(document: Mapping[str, Any]) -> str:
    """JSON text with one line a state, so that a change can be read in a diff."""
    head = {name: value for name, value in document.items() if name != "states"}
    text = json.dumps(head, indent=1, sort_keys=True)[:-2]
    states = ",\n".join(
        "  " + json.dumps(state, separators=(",", ":"), sort_keys=True) for state in document["states"]
    )
    return f'{text},\n "states": [\n{states}\n ]\n}}\n'


def verify(text: str) -> None:
    """Read a rendered trace with ``itf_py`` and the schema; :class:`RunnerError` if either objects."""
    document = json.loads(text)
    try:
        jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))).validate(
            document
        )
        again = canonical(itf_py.trace_to_json(itf_py.trace_from_json(document)))
    except (jsonschema.ValidationError, ValueError, TypeError, KeyError) as error:
        raise RunnerError(f"not a readable ITF trace: {error}", Exit.BROKEN) from error
    if again != document:
        raise RunnerError("an ITF trace reads back as another one", Exit.BROKEN)


def traced(config: Config) -> Config:
    """The same with the history variable that names each step, where the model has one."""
    return config.with_constant(TRACE_CONSTANT, "TRUE") if config.constant(TRACE_CONSTANT) else config


def _loop_of(loop: int | None, length: int, *, stuttering: bool) -> int | None:
    if stuttering:
        return length - 1
    return loop - 1 if loop is not None else None


def counterexample(instance: Instance, library: Sequence[Path], pin: Pin | None) -> Behaviour:
    """Run a twin or a witness with its history variable and take the counterexample."""
    config = instance.read_config()
    if instance.violates is not None:
        config = config.only(instance.violates)
    if pin is None or pin.distinct <= TRACE_STATES:
        config = traced(config)
    result = run_tlc(
        sources_of(instance.module, list(library)),
        instance.module_name,
        config,
        simulate=instance.simulate,
        timeout=instance.timeout,
    )
    if result.verdict is not Verdict.VIOLATION or not result.trace:
        raise RunnerError(f"{instance.name}: no counterexample ({result.verdict.value})", Exit.DIFFERENT)
    kind = "witness" if instance.kind == "witness" else "attack"
    return Behaviour(
        name=instance.name.replace("/", "-"),
        instance=instance,
        kind=kind,
        states=result.trace,
        loop=_loop_of(result.loop, len(result.trace), stuttering=result.stuttering),
        sha256=fingerprint(instance.module, instance.config.read_text(encoding="utf-8"), list(library)),
        seed=None,
        constants=config.constants,
    )


def simulated(instance: Instance, library: Sequence[Path]) -> list[Behaviour]:
    """Seeded random behaviours of a main model."""
    config = traced(instance.read_config()).unchecked()
    collected: list[list[TraceState]] = []

    def collect(folder: Path) -> None:
        files = sorted(
            folder.glob("behaviour_*"), key=lambda file: [int(part) for part in file.name.split("_")[1:]]
        )
        collected.extend(parse_states(file.read_text(encoding="utf-8")) for file in files)

    result = run_tlc(
        sources_of(instance.module, list(library)),
        instance.module_name,
        config,
        simulate=SIMULATION,
        timeout=300,
        collect=collect,
    )
    if result.verdict is not Verdict.PASS:
        raise RunnerError(
            f"{instance.name}: simulation ended with {result.verdict.value}: {result.problems}", Exit.BROKEN
        )
    sha256 = fingerprint(instance.module, instance.config.read_text(encoding="utf-8"), list(library))
    return [
        Behaviour(
            name=f"{instance.name.replace('/', '-')}-run",
            instance=instance,
            kind="behaviour",
            states=tuple(states),
            loop=None,
            sha256=sha256,
            seed=SEED,
            constants=config.constants,
        )
        for states in collected
        if len(states) > 1
    ]


@frozen
class _Candidate:
    behaviour: Behaviour
    features: tuple[frozenset[tuple[str, ...]], ...]

    def all_features(self) -> set[tuple[str, ...]]:
        return set().union(*self.features)

    def cut(self, known: set[tuple[str, ...]]) -> tuple[Behaviour, int]:
        """The behaviour up to the last state that adds something, and how much it adds."""
        fresh = self.all_features() - known
        seen = set(known)
        last = 0
        for index, features in enumerate(self.features):
            if features - seen:
                last = index
                seen |= features
        states = self.behaviour.states[: last + 1]
        return (
            Behaviour(
                name=self.behaviour.name,
                instance=self.behaviour.instance,
                kind="behaviour",
                states=states,
                loop=None,
                sha256=self.behaviour.sha256,
                seed=self.behaviour.seed,
                constants=self.behaviour.constants,
            ),
            len(fresh),
        )


def choose(candidates: Sequence[Behaviour], known: set[tuple[str, ...]], budget: int) -> list[Behaviour]:
    """Greedily those that add most per state, until nothing is new or the budget (bytes) is spent."""
    pool = [_Candidate(one, tuple(frozenset(step) for step in one.features())) for one in candidates]
    chosen: list[Behaviour] = []
    spent = 0
    while pool:
        scored = []
        for index, candidate in enumerate(pool):
            behaviour, adds = candidate.cut(known)
            if adds:
                scored.append((-adds / len(behaviour.states), index, behaviour, candidate))
        if not scored:
            break
        _, index, behaviour, candidate = min(scored, key=lambda entry: entry[:2])
        size = len(render_itf(as_itf(behaviour)))
        pool.pop(index)
        if spent + size > budget:
            continue
        spent += size
        known |= set().union(*candidate.features[: len(behaviour.states)])
        chosen.append(behaviour)
    return chosen


def generate(
    instances: Iterable[Instance],
    root: Path,
    pins: Mapping[str, Pin],
    folder: Path,
    *,
    workers: int,
    console: Console,
) -> dict[str, Any]:
    """Write all traces into ``folder`` (emptied first) and return the index."""
    library = library_of(root)
    declared = [one for one in instances if one.tier == "check"]
    broken = [one for one in declared if one.kind in ("twin", "witness") and one.mode == "check"]
    mains = [one for one in declared if one.kind == "main" and one.mode == "check" and _has_step(one)]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        fixed = list(pool.map(lambda one: counterexample(one, library, pins.get(one.name)), broken))
        random = list(pool.map(lambda one: simulated(one, library), mains))
    files: dict[str, str] = {}
    entries = []
    covered: dict[str, set[tuple[str, ...]]] = {}
    kept: list[Behaviour] = list(fixed)
    for behaviour in fixed:
        if behaviour.kind == "witness":
            covered.setdefault(behaviour.instance.area_name, set()).update(*behaviour.features())
    areas = sorted({one.area_name for one in mains})
    possible: dict[str, set[tuple[str, ...]]] = {}
    for area in areas:
        group = [(main, runs) for main, runs in zip(mains, random, strict=True) if main.area_name == area]
        left = AREA_BUDGET
        for _, runs in group:
            known = covered.setdefault(area, set())
            for run in runs:
                possible.setdefault(area, set()).update(*run.features())
            chosen = choose(runs, known, left)
            left -= sum(len(render_itf(as_itf(one))) for one in chosen)
            kept.extend(chosen)
    counters: dict[str, int] = {}
    for behaviour in kept:
        document = as_itf(behaviour)
        text = render_itf(document)
        verify(text)
        name = behaviour.name
        if behaviour.kind == "behaviour":
            counters[name] = counters.get(name, 0) + 1
            name = f"{name}-{counters[name]:03}"
        files[f"{name}.itf.json"] = text
        entries.append(
            {
                "file": f"{name}.itf.json",
                "kind": behaviour.kind,
                "instance": behaviour.instance.name,
                "violates": document["#meta"]["violates"],
                "states": len(behaviour.states),
                "actions": sorted({state["#meta"]["action"] for state in document["states"][1:]}),
            }
        )
    index = {
        "about": "Behaviours of the models in tla/; written by `python -m tla.runner traces`, never by hand.",
        "seed": SEED,
        "coverage": {
            area: {
                "outcomes": _share(covered[area], possible.get(area, set()), "outcome"),
                "pairs": _share(covered[area], possible.get(area, set()), "pair"),
            }
            for area in areas
        },
        "traces": sorted(entries, key=lambda entry: str(entry["file"])),
    }
    files["index.json"] = json.dumps(index, indent=1) + "\n"
    files["itf.schema.json"] = SCHEMA_FILE.read_text(encoding="utf-8")
    total = sum(len(text.encode()) for text in files.values())
    if total > TOTAL_BUDGET:
        raise RunnerError(f"the traces take {total:,} bytes, more than {TOTAL_BUDGET:,}", Exit.DRIFT)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        if old.name not in files:
            old.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    _print(index, total, console)
    return index


def _has_step(instance: Instance) -> bool:
    return instance.read_config().constant(TRACE_CONSTANT) is not None


def _share(covered: set[tuple[str, ...]], possible: set[tuple[str, ...]], kind: str) -> dict[str, int]:
    seen = {feature for feature in covered | possible if feature[0] == kind}
    return {"seen": len(seen), "kept": len({feature for feature in covered if feature[0] == kind})}


def _print(index: Mapping[str, Any], total: int, console: Console) -> None:
    table = Table(title="Traces", title_justify="left", pad_edge=False)
    for name in ("kind", "traces", "states"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind in ("attack", "witness", "behaviour"):
        group = [entry for entry in index["traces"] if entry["kind"] == kind]
        table.add_row(kind, str(len(group)), f"{sum(entry['states'] for entry in group):,}")
    console.print(table)
    for area, shares in index["coverage"].items():
        console.print(
            f"{area}: {shares['outcomes']['kept']} of {shares['outcomes']['seen']} outcomes, "
            f"{shares['pairs']['kept']} of {shares['pairs']['seen']} pairs of actions",
            highlight=False,
        )
    console.print(f"{total:,} bytes", highlight=False)


def check_traces(
    instances: Sequence[Instance],
    root: Path,
    pins: Mapping[str, Pin],
    folder: Path,
    *,
    workers: int,
    console: Console,
) -> Exit:
    """Generate anew elsewhere and compare file by file."""
    with tempfile.TemporaryDirectory(prefix="tla-traces-") as name:
        fresh = Path(name)
        generate(instances, root, pins, fresh, workers=workers, console=console)
        names = {file.name for file in fresh.iterdir()} | {file.name for file in folder.glob("*.json")}
        drift = [
            one
            for one in sorted(names)
            if not (fresh / one).is_file()
            or not (folder / one).is_file()
            or (fresh / one).read_bytes() != (folder / one).read_bytes()
        ]
    for one in drift:
        console.print(
            f"{folder.name}/{one} is not what the models yield now",
            style="red",
            markup=False,
            highlight=False,
        )
    return Exit.DRIFT if drift else Exit.OK
