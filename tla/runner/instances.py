"""The declared instances: which model, which configuration, which result.

Each area of models (a folder of ``tla/``) declares its own in ``instances.toml``; the schema is
``instances.schema.json`` beside this file.
"""

from __future__ import annotations

import fnmatch
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
from attrs import field, frozen

from tla.runner.config import Config, read_config
from tla.runner.errors import Exit, RunnerError

SCHEMA_FILE = Path(__file__).with_name("instances.schema.json")
DEFAULT_TIMEOUT = {"check": 1800, "deep": 4 * 3600}


@frozen
class Simulation:
    """Random behaviours instead of all behaviours: how many, how long (states), and the seed."""

    num: int
    depth: int
    seed: int


@frozen
class Instance:
    """One model with one configuration and the result its author declares."""

    name: str
    area: Path
    module: Path
    """Absolute path of the module's ``.tla`` file."""
    config: Path
    """Absolute path of the ``.cfg`` file."""
    expect: str
    kind: str
    tier: str
    about: str
    violates: str | None = None
    checks: tuple[str, ...] = ()
    twin_of: str | None = None
    mode: str = "check"
    simulate: Simulation | None = None
    witness_of: str | None = None
    requirements: tuple[str, ...] = ()
    sweep: Mapping[str, int | str | bool] = field(factory=dict)
    coverage: bool | None = None
    timeout: int = 1800

    @property
    def area_name(self) -> str:
        """The part of the name before the slash."""
        return self.name.split("/", 1)[0]

    @property
    def module_name(self) -> str:
        """The name of the root module."""
        return self.module.stem

    def read_config(self) -> Config:
        """Parse the configuration; :class:`RunnerError` if it is not one."""
        return read_config(self.config)


def _where(error: jsonschema.ValidationError, document: Mapping[str, Any]) -> str:
    path = list(error.absolute_path)
    if len(path) >= 2 and path[0] == "instance":
        entry = document["instance"][path[1]]
        name = entry.get("name", f"number {int(path[1]) + 1}") if isinstance(entry, dict) else path[1]
        rest = ".".join(str(part) for part in path[2:])
        return f"instance {name}" + (f", {rest}" if rest else "")
    return ".".join(str(part) for part in path) or "the file"


def read_instances(file: Path) -> list[Instance]:
    """Read and validate one ``instances.toml``.

    Raises :class:`RunnerError` that names the file, the instance and the field.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunnerError(f"{file}: {error}") from error
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    errors = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(document), key=lambda e: list(map(str, e.path))
    )
    if errors:
        raise RunnerError(
            "; ".join(f"{file}: {_where(error, document)}: {error.message}" for error in errors[:5])
        )
    area = file.parent
    found = []
    for entry in document["instance"]:
        name = entry["name"]
        module = (area / (entry["module"] + ".tla")).resolve()
        config = (area / entry["config"]).resolve()
        for path, what in ((module, "module"), (config, "config")):
            if not path.is_file():
                raise RunnerError(f"{file}: instance {name}, {what}: there is no file {path}")
        if name.split("/")[0] != area.name:
            raise RunnerError(f"{file}: instance {name}: the name must begin with {area.name}/")
        simulate = Simulation(**entry["simulate"]) if "simulate" in entry else None
        found.append(
            Instance(
                name=name,
                area=area,
                module=module,
                config=config,
                expect=entry["expect"],
                kind=entry["kind"],
                tier=entry["tier"],
                about=entry["about"],
                violates=entry.get("property"),
                checks=tuple(entry.get("checks", ())),
                twin_of=entry.get("twin_of"),
                mode=entry.get("mode", "check"),
                simulate=simulate,
                witness_of=entry.get("witness_of"),
                requirements=tuple(entry.get("requirements", ())),
                sweep=entry.get("sweep", {}),
                coverage=entry.get("coverage"),
                timeout=entry.get("timeout", DEFAULT_TIMEOUT[entry["tier"]]),
            )
        )
    return found


def check_consistent(instances: Iterable[Instance]) -> None:
    """What the schema cannot say: unique names, twins of passing instances, checked properties.

    Raises :class:`RunnerError` on the first few inconsistencies.
    """
    by_name: dict[str, Instance] = {}
    problems = []
    for instance in instances:
        if instance.name in by_name:
            problems.append(f"{instance.name}: declared twice")
        by_name[instance.name] = instance
    for instance in by_name.values():
        checked = set(instance.read_config().properties_and_invariants)
        missing = [name for name in instance.checks if name not in checked]
        if missing:
            problems.append(f"{instance.name}: {instance.config.name} does not check {', '.join(missing)}")
        if instance.violates is not None and instance.violates not in checked:
            problems.append(f"{instance.name}: {instance.config.name} does not check {instance.violates}")
        if instance.twin_of is not None:
            original = by_name.get(instance.twin_of)
            if original is None:
                problems.append(f"{instance.name}: twin_of names no instance: {instance.twin_of}")
            elif original.expect != "pass":
                problems.append(f"{instance.name}: twin_of {instance.twin_of} is not expected to pass")
            elif instance.violates not in original.read_config().properties_and_invariants:
                problems.append(f"{instance.name}: {instance.twin_of} does not check {instance.violates}")
    if problems:
        raise RunnerError("; ".join(problems[:8]))


def load_instances(root: Path, only: str | None = None) -> list[Instance]:
    """All declared instances below ``root``, in the order of the areas' names and of their files.

    With ``only``, a glob like ``roles/term-*``, just the areas it can match, so that one area is
    not held up by another that is being worked on.  Raises :class:`RunnerError` when there are
    none, or one is not valid.
    """
    files = sorted(root.glob("*/instances.toml"))
    if only is not None and "/" in only:
        files = [file for file in files if fnmatch.fnmatchcase(file.parent.name, only.split("/")[0])]
    if not files:
        raise RunnerError(f"no instances.toml below {root}")
    found = [instance for file in files for instance in read_instances(file)]
    check_consistent(found)
    return found


def select(
    instances: Iterable[Instance],
    *,
    tier: str | None = None,
    only: str | None = None,
    kinds: Iterable[str] = (),
) -> list[Instance]:
    """Those of a tier (``deep`` includes ``check``), whose name matches the glob, of these kinds.

    Raises :class:`RunnerError` when nothing matches, so that a mistyped glob never passes.
    """
    wanted = set(kinds)
    found = [
        instance
        for instance in instances
        if (tier is None or tier in (instance.tier, "deep"))
        and (only is None or fnmatch.fnmatchcase(instance.name, only))
        and (not wanted or instance.kind in wanted)
    ]
    if not found:
        raise RunnerError(f"no instance matches (tier {tier}, only {only})", Exit.USAGE)
    return found
