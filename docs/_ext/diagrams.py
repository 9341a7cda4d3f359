"""Pictures made from the declarations: bytes from ``tom_ref.wire``, states from transition tables.

Each is one ``<svg>`` that takes its colours from the page, so that it suits a light and a dark one, and that
says in words what it shows (``role="img"`` with a label) to those who don't see it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

import attrs

_WIDTH: Final = 760
_GLYPH: Final = 7.3
"""Width in px of a character of the monospaced font at 12 px, with room for fonts that are wider."""

_SMALL: Final = 6.7
"""The same at 11 px."""


@attrs.frozen
class Box:
    """One field of a format: its name, its size in words, and its size in bytes where that is fixed."""

    name: str
    size_text: str
    size: int | None
    note: str


def bytes_picture(name: str, boxes: Sequence[Box]) -> str:
    """The fields of a format one after the other, wider where they are longer, row by row."""
    gap, height, left = 6, 50, 1
    placed: list[tuple[float, int, float, Box]] = []
    x, row = float(left), 0
    for box in boxes:
        words = max(len(box.name), len(_size(box)))
        scale = 0.0 if box.size is None else 26 * math.log2(box.size + 1)
        width = min(_WIDTH - 2.0, max(words * _GLYPH + 14, scale))
        if x > left and x + width > _WIDTH - 1:
            x, row = float(left), row + 1
        placed.append((x, row, width, box))
        x += width
    rows = placed[-1][1] + 1
    total = rows * (height + gap)
    label = f"Bytes of {name}: " + ", ".join(f"{box.name} ({_size(box)})" for box in boxes)
    parts = []
    for x, row, width, box in placed:
        y = row * (height + gap) + 1
        middle = x + width / 2
        kind = "box" if box.size is not None else "box varies"
        parts.append(
            f"<g><title>{escape(box.note or box.name)}</title>"
            f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height - 2}"/>'
            f'<text x="{middle:.1f}" y="{y + 20}">{escape(box.name)}</text>'
            f'<text class="size" x="{middle:.1f}" y="{y + 37}">{escape(_size(box))}</text></g>'
        )
    return _svg("bytes", label, _WIDTH, total, parts)


def _size(box: Box) -> str:
    if box.size is None:
        return box.size_text.replace("`", "")
    return f"{box.size} B"


def states_picture(name: str, transitions: Mapping[str, Mapping[str, str]]) -> str:
    """The states of a machine as boxes, each transition as an arrow with its triggers.

    ``transitions`` maps a state to {trigger: next state}.  States stand in columns by how many steps they
    are from one that nothing leads to.  Triggers that lead the same way share an arrow; those that lead from
    every state that has a way out to the same one stand once, under a frame around these states.
    """
    shared = _shared(transitions)
    own = {
        state: {trigger: target for trigger, target in ways.items() if trigger not in shared}
        for state, ways in transitions.items()
    }
    column = _columns(transitions)
    by_column: dict[int, list[str]] = {}
    for state in transitions:
        by_column.setdefault(column[state], []).append(state)
    box_width, box_height, row_height = max(map(len, transitions)) * _GLYPH + 26, 40, 90
    height = max(len(states) for states in by_column.values()) * row_height + 10
    gaps = [60.0] * len(by_column)
    targets = sorted(set(shared.values()), key=list(transitions).index)
    words = [
        (column[source], _broken(triggers))
        for source, target, triggers in _arrows(own)
        if column[target] - column[source] == 1
    ]
    if len(targets) > 1:
        words += [(column[target] - 1, _to(shared, target)) for target in targets]
    for index, triggers in words:
        gaps[index] = max(gaps[index], max(map(len, triggers)) * _SMALL + 44)
    start = [box_width / 2 + 14 + index * box_width + sum(gaps[:index]) for index in sorted(by_column)]
    centre = {
        state: (start[index], 4 + height * (position + 0.5) / len(states))
        for index, states in by_column.items()
        for position, state in enumerate(states)
    }
    width = start[-1] + box_width / 2 + 4
    marker = f"url(#arrow-{name})"
    parts, described = [_marker(name)], []
    for source, target, triggers in _arrows(own):
        (x1, y1), (x2, y2) = centre[source], centre[target]
        x1, x2 = x1 + box_width / 2, x2 - box_width / 2
        along, next_to = 0.5, column[target] - column[source] == 1
        text_y = (y1 + y2) / 2 + (5 - 13 * len(_broken(triggers)) if next_to else 18)
        parts.append(f'<path class="way" d="M{x1:.0f},{y1:.0f} L{x2:.0f},{y2:.0f}" marker-end="{marker}"/>')
        parts.append(_lines(x1 + along * (x2 - x1), text_y, _broken(triggers)))
        described.append(f"{source} to {target} on {' or '.join(triggers)}")
    if targets:
        right = max(x for state, (x, _) in centre.items() if transitions[state]) + box_width / 2 + 10
        bottom = height + (22 if len(targets) == 1 else 0)
        parts.append(
            f'<rect class="frame" x="2" y="2" width="{right - 2:.0f}" height="{bottom - 2:.0f}" rx="9"/>'
        )
        described += [
            f"each of these to {target} on {' or '.join(_to(shared, target))}" for target in targets
        ]
        if len(targets) == 1:
            x2, y2 = centre[targets[0]]
            parts.append(
                f'<path class="way" d="M{right:.0f},{bottom - 12} L{x2:.0f},{bottom - 12} '
                f'L{x2:.0f},{y2 + box_height / 2:.0f}" marker-end="{marker}"/>'
            )
            parts.append(_lines(right / 2, bottom + 16, ["from any of these: " + ", ".join(shared)]))
            bottom += 24
        for target in targets if len(targets) > 1 else ():
            x2, y2 = centre[target]
            x2 -= box_width / 2
            parts.append(
                f'<path class="way" d="M{right:.0f},{y2:.0f} L{x2:.0f},{y2:.0f}" marker-end="{marker}"/>'
            )
            triggers = _to(shared, target)
            parts.append(_lines((right + x2) / 2, y2 - 13 * len(triggers) + 5, triggers))
        height = bottom
    parts += [_box(state, x, y, box_width, box_height) for state, (x, y) in centre.items()]
    return _svg("states", f"States of {name}: " + "; ".join(described), width, height + 2, parts)


def _broken(triggers: Iterable[str]) -> list[str]:
    """Triggers as lines, broken where they have a comma."""
    return [line for trigger in triggers for line in re.sub(", ", ",\n", trigger).split("\n")]


def _to(shared: Mapping[str, str], target: str) -> list[str]:
    return [trigger for trigger, reached in shared.items() if reached == target]


def cycle_picture(name: str, transitions: Mapping[str, Mapping[str, str]]) -> str:
    """The states of a machine that can come back: one below the other, in the order that is given.

    Ways down lead straight or along the right side, ways up along the left, longer ones further out.  A
    trigger that leads from every state but one to this one stands once, at a frame around the others.
    """
    states = list(transitions)
    home, everywhere = _to_first(transitions)
    box_width, box_height, row_height, margin = 130, 36, 88, 14
    middle, top = _WIDTH / 2, 24.0
    height = top + row_height * (len(states) - 1) + box_height + 2 * margin
    left, right = middle - box_width / 2, middle + box_width / 2
    line = {state: top + box_height / 2 + row_height * index for index, state in enumerate(states)}
    marker = f"url(#arrow-{name})"
    parts, described = [_marker(name)], []
    if everywhere:
        first, last = line[states[1]] - box_height / 2 - margin, height - 2
        parts.append(
            f'<rect class="frame" x="2" y="{first:.0f}" width="{_WIDTH - 4}" height="{last - first:.0f}" rx="9"/>'
            f'<path class="way" d="M60,{first:.0f} L60,{line[home]:.0f} L{left - 2:.0f},{line[home]:.0f}" '
            f'marker-end="{marker}"/>'
        )
        parts.append(_lines(70, line[home] - 8, ["from any of these: " + ", ".join(everywhere)], "start"))
        described.append(f"each of the others to {home} on {' or '.join(everywhere)}")
    for source, target, every in _arrows(transitions):
        triggers = [trigger for trigger in every if not (target == home and trigger in everywhere)]
        if not triggers:
            continue
        described.append(f"{source} to {target} on {' or '.join(triggers)}")
        span = states.index(target) - states.index(source)
        y1, y2 = line[source], line[target]
        text_y = (y1 + y2) / 2 + 4 - 6.5 * (len(triggers) - 1)
        if span == 1:
            parts.append(
                f'<path class="way" d="M{middle:.0f},{y1 + box_height / 2:.0f} '
                f'L{middle:.0f},{y2 - box_height / 2 - 1:.0f}" marker-end="{marker}"/>'
            )
            parts.append(_lines(middle + 6, text_y, triggers, "start"))
            continue
        side, out = (right, 1) if span > 0 else (left, -1)
        reach = side + out * (48 + 38 * abs(span))
        y1, y2 = y1 + 7 * out, y2 - 7 * out
        parts.append(
            f'<path class="way" d="M{side:.0f},{y1:.0f} C{reach:.0f},{y1:.0f} {reach:.0f},{y2:.0f} '
            f'{side + out:.0f},{y2:.0f}" marker-end="{marker}"/>'
        )
        words = side + out * (36 + 28.5 * abs(span) + 6)
        parts.append(_lines(words, text_y, triggers, "start" if out > 0 else "end"))
    parts += [_box(state, middle, line[state], box_width, box_height) for state in states]
    return _svg("states", f"States of {name}: " + "; ".join(described), _WIDTH, height, parts)


def _to_first(transitions: Mapping[str, Mapping[str, str]]) -> tuple[str, list[str]]:
    """The first state, and the triggers that lead to it from every other one."""
    first, *others = transitions
    shared = [
        trigger
        for trigger, target in transitions[others[0]].items()
        if target == first and all(transitions[state].get(trigger) == first for state in others)
    ]
    return first, shared


def _marker(name: str) -> str:
    return (
        f'<defs><marker id="arrow-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path class="head" d="M0,0 L8,4 L0,8 z"/></marker></defs>'
    )


def _box(state: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="state" rx="9" x="{x - width / 2:.0f}" y="{y - height / 2:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}"/><text x="{x:.0f}" y="{y + 4:.0f}">{escape(state)}</text>'
    )


def _lines(x: float, y: float, lines: Sequence[str], anchor: str = "middle") -> str:
    spans = "".join(
        f'<tspan x="{x:.0f}" dy="{0 if number == 0 else 13}">{escape(line)}</tspan>'
        for number, line in enumerate(lines)
    )
    return f'<text class="trigger {anchor}" x="{x:.0f}" y="{y:.0f}">{spans}</text>'


def _shared(transitions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The triggers that lead from every state with a way out to the same one, each with that one."""
    leaving = [ways for ways in transitions.values() if ways]
    return {
        trigger: target
        for trigger, target in leaving[0].items()
        if all(ways.get(trigger) == target for ways in leaving)
    }


def _arrows(transitions: Mapping[str, Mapping[str, str]]) -> Iterable[tuple[str, str, list[str]]]:
    for source, ways in transitions.items():
        merged: dict[str, list[str]] = {}
        for trigger, target in ways.items():
            merged.setdefault(target, []).append(trigger)
        for target, triggers in merged.items():
            yield source, target, triggers


def _columns(transitions: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """For each state the longest way to it from a state that nothing leads to (machines without cycles)."""
    column = dict.fromkeys(transitions, 0)
    for _ in transitions:
        for source, ways in transitions.items():
            for target in ways.values():
                column[target] = max(column[target], column[source] + 1)
    if max(column.values()) >= len(transitions):
        raise ValueError("a machine with a cycle can't be laid out in columns")
    return column


def _svg(kind: str, label: str, width: float, height: float, parts: Iterable[str]) -> str:
    return (
        f'<svg class="tom-{kind}" role="img" aria-label="{escape(label, quote=True)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" xmlns="http://www.w3.org/2000/svg">'
        + "".join(parts)
        + "</svg>"
    )
