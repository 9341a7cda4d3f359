"""TLC configuration files: read, and written anew with other properties or constants."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import evolve, frozen

from tla.runner.errors import Exit, RunnerError

_SECTIONS = {
    "SPECIFICATION": "specification",
    "INIT": "init",
    "NEXT": "next",
    "CONSTANT": "constants",
    "CONSTANTS": "constants",
    "INVARIANT": "invariants",
    "INVARIANTS": "invariants",
    "PROPERTY": "properties",
    "PROPERTIES": "properties",
    "SYMMETRY": "symmetry",
    "CONSTRAINT": "constraints",
    "CONSTRAINTS": "constraints",
    "ACTION_CONSTRAINT": "action_constraints",
    "ACTION_CONSTRAINTS": "action_constraints",
    "VIEW": "view",
}
_COMMENT = re.compile(r"\(\*.*?\*\)|\\\*[^\n]*", re.DOTALL)
_ASSIGNMENT = re.compile(
    r"(?P<name>[A-Za-z0-9_]+)\s*(?P<op>=|<-)\s*(?:\[\s*[A-Za-z0-9_]+\s*\]\s*)?"
    r"(?P<value>\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|\"[^\"]*\"|-?[A-Za-z0-9_]+)"
)


@frozen
class Config:
    """A parsed configuration; every list in the order of the file."""

    specification: str | None = None
    init: str | None = None
    next: str | None = None
    constants: tuple[tuple[str, str, str], ...] = ()
    """(name, ``=`` or ``<-``, right-hand side as text)."""
    invariants: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    symmetry: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    action_constraints: tuple[str, ...] = ()
    view: str | None = None

    @property
    def properties_and_invariants(self) -> tuple[str, ...]:
        """Everything this configuration checks."""
        return self.invariants + self.properties

    def constant(self, name: str) -> str | None:
        """The text assigned to a constant, or None."""
        return next((value for key, _, value in self.constants if key == name), None)

    def with_constant(self, name: str, value: str) -> Config:
        """The same with another value for a constant that is already assigned."""
        return evolve(
            self,
            constants=tuple(
                (k, "=" if k == name else o, value if k == name else v) for k, o, v in self.constants
            ),
        )

    def only(self, checked: str) -> Config:
        """The same, checking one invariant or property and nothing else."""
        return evolve(
            self,
            invariants=tuple(n for n in self.invariants if n == checked),
            properties=tuple(n for n in self.properties if n == checked),
        )

    def unchecked(self) -> Config:
        """The same, checking nothing, without symmetry: for random behaviours."""
        return evolve(self, invariants=(), properties=(), symmetry=())

    def render(self) -> str:
        """The text of the file, from which the same configuration is read again."""
        lines = []
        if self.specification:
            lines.append(f"SPECIFICATION {self.specification}")
        if self.init:
            lines.append(f"INIT {self.init}")
        if self.next:
            lines.append(f"NEXT {self.next}")
        if self.constants:
            lines.append("CONSTANTS")
            lines.extend(f"  {name} {op} {value}" for name, op, value in self.constants)
        for keyword, names in (
            ("SYMMETRY", self.symmetry),
            ("CONSTRAINTS", self.constraints),
            ("ACTION_CONSTRAINTS", self.action_constraints),
            ("INVARIANTS", self.invariants),
            ("PROPERTIES", self.properties),
        ):
            if names:
                lines.append(" ".join((keyword, *names)))
        if self.view:
            lines.append(f"VIEW {self.view}")
        return "\n".join(lines) + "\n"


def parse_config(text: str, source: str = "configuration") -> Config:
    """Parse the text of a ``.cfg`` file; :class:`RunnerError` on what it does not understand."""
    bare = _COMMENT.sub(" ", text)
    pieces = re.split(
        r"(?<![A-Za-z0-9_])(" + "|".join(sorted(_SECTIONS, key=len, reverse=True)) + r")(?![A-Za-z0-9_])",
        bare,
    )
    if pieces[0].strip():
        raise RunnerError(f"{source}: does not begin with a keyword: {pieces[0].strip()[:40]!r}", Exit.BROKEN)
    names: dict[str, list[str]] = {section: [] for section in _SECTIONS.values()}
    constants: list[tuple[str, str, str]] = []
    for keyword, body in zip(pieces[1::2], pieces[2::2], strict=True):
        section = _SECTIONS[keyword]
        if section == "constants":
            rest = _ASSIGNMENT.sub(lambda m: _keep(m, constants), body)
            if rest.strip():
                raise RunnerError(f"{source}: cannot read this constant: {rest.strip()[:60]!r}", Exit.BROKEN)
        else:
            names[section].extend(body.split())
    for section in ("specification", "init", "next", "view"):
        if len(names[section]) > 1:
            raise RunnerError(f"{source}: {section} given more than once", Exit.BROKEN)

    def one(section: str) -> str | None:
        return names[section][0] if names[section] else None

    return Config(
        specification=one("specification"),
        init=one("init"),
        next=one("next"),
        constants=tuple(constants),
        invariants=tuple(names["invariants"]),
        properties=tuple(names["properties"]),
        symmetry=tuple(names["symmetry"]),
        constraints=tuple(names["constraints"]),
        action_constraints=tuple(names["action_constraints"]),
        view=one("view"),
    )


def _keep(match: re.Match[str], constants: list[tuple[str, str, str]]) -> str:
    constants.append((match["name"], match["op"], " ".join(match["value"].split())))
    return ""


def read_config(file: Path) -> Config:
    """Parse a ``.cfg`` file; :class:`RunnerError` if it cannot be read or understood."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunnerError(f"{file}: {error}") from error
    return parse_config(text, str(file))
