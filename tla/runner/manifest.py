"""The pinned results, ``tla/manifest.json``: what every instance came to when somebody last looked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tla.runner.closure import fingerprint
from tla.runner.errors import RunnerError
from tla.runner.instances import Instance
from tla.runner.tlc import Result, Verdict

FORMAT = 1


@frozen
class Pin:
    """The result of one instance.  All runs use one TLC worker, so that nothing here depends on luck.

    ``trace`` is the number of states of the counterexample; None for a pass and for a temporal
    property, whose counterexample TLC looks for with several threads.
    """

    mode: str
    expect: str
    property: str | None
    verdict: str
    distinct: int
    depth: int
    trace: int | None
    sha256: str
    generated: int | None = None
    """States that were generated, the same ones counted again: a step too many shows here even where it
    leads to no new state.  None for a temporal property, a simulation, and a pin from before this was one."""


def sha256_of(instance: Instance, library: Sequence[Path]) -> str:
    """The fingerprint of an instance's modules, configuration and options."""
    extra = ""
    if instance.simulate is not None:
        extra = f"simulate {instance.simulate.num} {instance.simulate.depth} {instance.simulate.seed}"
    return fingerprint(instance.module, instance.config.read_text(encoding="utf-8"), list(library), extra)


def pin_of(instance: Instance, result: Result, sha256: str) -> Pin:
    """What to pin for this result; ``sha256`` is the fingerprint of what was run."""
    trace, loose = None, result.violated_kind == "temporal"
    if result.verdict is Verdict.VIOLATION and not loose:
        trace = len(result.trace)
    return Pin(
        mode=instance.mode,
        expect=instance.expect,
        property=instance.violates if instance.expect == "violation" else None,
        verdict=result.verdict.value,
        distinct=result.distinct if instance.mode == "check" else result.generated,
        depth=result.depth,
        trace=trace,
        sha256=sha256,
        generated=result.generated if instance.mode == "check" and not loose else None,
    )


def read_manifest(file: Path) -> dict[str, Pin]:
    """The pins by instance name; empty if there is no file yet; :class:`RunnerError` if it is damaged."""
    if not file.exists():
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise RunnerError(f"{file}: format {document['format']}, not {FORMAT}")
        return {name: Pin(**entry) for name, entry in document["instances"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunnerError(f"{file}: not a manifest: {error}") from error


def write_manifest(file: Path, pins: Mapping[str, Pin]) -> None:
    """Write all pins, sorted by name, so that a change shows as the lines that changed."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "about": "Pinned results of the models; written by `python -m tla.runner pin`, never by hand.",
        "instances": {name: _entry(pins[name]) for name in sorted(pins)},
    }
    # In one step, so that another run never reads half a manifest.
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    fresh.replace(file)


def _entry(pin: Pin) -> dict[str, Any]:
    entry = asdict(pin)
    if pin.generated is None:
        del entry["generated"]
    return entry


def differences(pinned: Pin | None, found: Pin) -> list[str]:
    """What changed, in words; empty when nothing did."""
    if pinned is None:
        return ["not pinned yet"]
    changes = []
    for name, before in asdict(pinned).items():
        after = getattr(found, name)
        if name == "generated" and None in (before, after):
            continue
        if before != after:
            if name == "sha256":
                changes.append("the model or its configuration changed")
            else:
                changes.append(f"{name} was {_say(before)}, is {_say(after)}")
    return changes


def _say(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)
