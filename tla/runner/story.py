"""A counterexample told as a story: which step, by which node, and what changed."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from rich.console import Console
from rich.text import Text

from tla.runner.instances import Instance
from tla.runner.output import TraceState
from tla.runner.tlc import Result, Verdict
from tla.runner.values import Function, Record, Value, parse_value, render

STEP_VARIABLE = "step"
"""The history variable that names each step: a record with ``name`` and the step's parameters."""
NODE_FIELDS = ("node", "who", "relay", "validator", "by", "n", "h", "r")


@frozen
class Change:
    """One place in the state that has another value than before."""

    place: str
    before: str
    after: str


def values_of(state: TraceState) -> dict[str, Any]:
    """The state's variables with parsed values."""
    return {name: parse_value(text) for name, text in state.text}


def changes_between(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """All places that changed, functions and records entered; the step variable left out."""
    found: list[Change] = []
    for name, value in after.items():
        if name != STEP_VARIABLE:
            _compare(name, before.get(name), value, found)
    return found


def _compare(place: str, before: Value, after: Value, found: list[Change]) -> None:
    if before == after:
        return
    if (
        isinstance(before, Record | Function)
        and isinstance(after, Record | Function)
        and set(before) == set(after)
    ):
        for key in after:
            inner = f"{place}.{key}" if isinstance(after, Record) else f"{place}[{render(key)}]"
            _compare(inner, before[key], after[key], found)
        return
    if isinstance(before, frozenset) and isinstance(after, frozenset):
        gone, come = before - after, after - before
        if come:
            found.append(Change(place, "", "gains " + ", ".join(sorted(map(render, come)))))
        if gone:
            found.append(Change(place, "", "loses " + ", ".join(sorted(map(render, gone)))))
        return
    if isinstance(before, tuple) and isinstance(after, tuple) and after[: len(before)] == before:
        found.append(Change(place, "", "appends " + ", ".join(map(render, after[len(before) :]))))
        return
    found.append(Change(place, "—" if before is None else render(before), render(after)))


def name_of_step(state: TraceState, values: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The step's name and its parameters, from the history variable if the model keeps one."""
    step = values.get(STEP_VARIABLE)
    if isinstance(step, Record) and step.get("name", "") not in ("", "Init") and state.number > 1:
        return str(step["name"]), {name: render(value) for name, value in step.items() if name != "name"}
    return state.action, {}


def tell(instance: Instance, result: Result, console: Console) -> None:
    """Print the story of a result."""
    console.print(Text(instance.name, style="bold"), Text(f"— {instance.about}"), highlight=False)
    if result.verdict is Verdict.PASS:
        console.print(
            f"Nothing to tell: it holds, {result.distinct:,} distinct states, depth {result.depth}.",
            highlight=False,
        )
        return
    if not result.trace:
        for problem in result.problems:
            console.print(problem, markup=False, highlight=False)
        return
    before: dict[str, Any] = {}
    for state in result.trace:
        values = values_of(state)
        name, parameters = name_of_step(state, values)
        node = next((parameters[field] for field in NODE_FIELDS if field in parameters), "")
        line = Text(f"{state.number:3}. ")
        line.append(name, style="bold cyan")
        if node:
            line.append(f" at {node}", style="yellow")
        rest = ", ".join(f"{key} = {value}" for key, value in parameters.items() if value and value != node)
        if rest:
            line.append(f"  ({rest})", style="dim")
        console.print(line, highlight=False)
        if state.number == 1:
            for variable, value in values.items():
                if variable != STEP_VARIABLE:
                    console.print(f"       {variable} = {render(value)}", markup=False, highlight=False)
        else:
            changes = changes_between(before, values)
            for change in changes:
                text = (
                    f"{change.place}: {change.before} → {change.after}"
                    if change.before
                    else f"{change.place} {change.after}"
                )
                console.print(f"       {text}", markup=False, highlight=False)
            if not changes:
                console.print("       nothing changes", highlight=False)
        before = values
    if result.loop is not None:
        console.print(f"     … and from here back to step {result.loop}, for ever.", highlight=False)
    if result.stuttering:
        console.print("     … and here it stays for ever.", highlight=False)
    what = f"violates {result.violated}" if result.violated else f"ends in a {result.verdict.value}"
    console.print(Text(f"This behaviour {what}.", style="bold red"))
