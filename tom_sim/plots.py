"""Plots of simulations, as SVG and PNG: matplotlib is loaded only where a plot is wanted."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tom_sim.attacks import Finding, Season
from tom_sim.campaign import CampaignError
from tom_sim.resilience import Minute, Result

INK: Final = ("#1b6ca8", "#d1731c", "#2f8f4e", "#8a3ab9")
MARKS: Final = ("o", "s", "^", "D")


def figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure with its axes; raises :class:`CampaignError` where matplotlib isn't installed."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
        matplotlib.use("Agg")
        pyplot: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise CampaignError("Plots need matplotlib: pip install 'tom-ref[sim]'.") from error
    # Equal runs give equal files: ids in an SVG come from a salt, and no date stands in it.
    matplotlib.rcParams.update({"svg.hashsalt": "ToM", "svg.fonttype": "none", "font.size": 10})
    drawn, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.grid(visible=True, color="#dddddd", linewidth=0.7)
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return drawn, axes


def save(drawn: Any, path: Path) -> list[Path]:
    """Write ``path`` with the endings ``.svg`` and ``.png``."""
    made = [path.with_suffix(ending) for ending in (".svg", ".png")]
    drawn.savefig(made[0], metadata={"Date": None, "Creator": None})
    drawn.savefig(made[1], dpi=110, metadata={"Software": None})
    importlib.import_module("matplotlib.pyplot").close(drawn)
    return made


def resilience(path: Path, results: Sequence[Result], normal_s: float) -> list[Path]:
    """Delivery over time around the loss, a panel for each size of network."""
    sizes = sorted({result.nodes for result in results})
    drawn, axes = figure(len(sizes), 1, (7.2, 0.6 + 2.2 * len(sizes)))
    for axis, nodes in zip(axes.flat, sizes, strict=True):
        shares = sorted({result.lost for result in results if result.nodes == nodes})
        for place, lost in enumerate(shares):
            runs = [result for result in results if (result.nodes, result.lost) == (nodes, lost)]
            minutes, normal = _over_time([minute for run in runs for minute in run.minutes])
            axis.plot(
                minutes, normal, color=INK[place], marker=MARKS[place], markersize=3, label=f"{lost} % lost"
            )
            record = [run.record_after / 60 for run in runs if run.record_after >= 0]
            if record:
                axis.axvline(max(record), color=INK[place], linestyle=":", linewidth=1.2)
        axis.axvline(0, color="#444444", linewidth=1)
        axis.set_ylim(-4, 104)
        axis.set_ylabel(f"% shown within {normal_s:g} s")
        axis.set_title(f"{nodes} nodes", loc="left")
        axis.legend(loc="lower right", frameon=False)
    axes.flat[-1].set_xlabel("minutes since the loss in which the messages were written")
    return save(drawn, path)


def _over_time(minutes: Sequence[Minute]) -> tuple[list[int], list[float]]:
    """For each minute the percentage of messages that came as on a good day, over all seeds."""
    sums: dict[int, tuple[int, int]] = {}
    for minute in minutes:
        sent, normal = sums.get(minute.minute, (0, 0))
        sums[minute.minute] = sent + minute.sent, normal + minute.normal
    ordered = sorted((minute, 100 * normal / sent) for minute, (sent, normal) in sums.items() if minute >= -5)
    return [minute for minute, _ in ordered], [share for _, share in ordered]


def _lines(axis: Any, series: dict[str, Sequence[tuple[float, float]]]) -> None:
    for place, (name, points) in enumerate(series.items()):
        axis.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=INK[place],
            marker=MARKS[place],
            markersize=3,
            markevery=max(1, len(points) // 20),
            label=name,
        )
    axis.legend(frameon=False)


def flooding(path: Path, finding: Finding) -> list[Path]:
    """The others' latency against the flood, and what the flood costs."""
    drawn, axes = figure(1, 2, (8.4, 3.4))
    latency, cost = axes.flat
    series = {name: finding.series[name] for name in ("fair queues", "one queue")}
    _lines(latency, series)
    latency.set_yscale("log")
    latency.set_xlabel("flood, in multiples of what the link takes")
    latency.set_ylabel("ms, 99 % of the others' messages")
    latency.set_title("Everybody else's latency", loc="left")
    _lines(cost, {"sender of 32 MiB a term": [(x, max(y, 1)) for x, y in finding.series["cost"]]})
    cost.set_yscale("log", base=2)
    cost.set_xlabel("terms")
    cost.set_ylabel("hashes for one message")
    cost.set_title("The spammer's cost", loc="left")
    return save(drawn, path)


def balances(path: Path, accomplices: Finding, riders: Finding) -> list[Path]:
    """Where faked credit goes, and what free riding costs."""
    drawn, axes = figure(1, 2, (8.4, 3.4))
    faked, cost = axes.flat
    _lines(faked, dict(accomplices.series))
    faked.axhline(16, color="#777777", linestyle="--", linewidth=1)
    faked.set_xlabel("terms")
    faked.set_ylabel("balance in MiB")
    faked.set_title("Accomplices (dashed: allowance)", loc="left")
    _lines(cost, dict(riders.series))
    cost.set_xlabel("terms")
    cost.set_ylabel("hashes for one message")
    cost.set_title("Free riders", loc="left")
    return save(drawn, path)


def adaptation(path: Path, with_rule: Sequence[Season], without: Sequence[Season]) -> list[Path]:
    """Delivery in a storm with the rule and without it, and what the rule does."""
    drawn, axes = figure(2, 1, (7.2, 5.2))
    share, copies = axes.flat
    _lines(
        share,
        {
            "with adaptation": [(one.term, one.delivered) for one in with_rule],
            "without": [(one.term, one.delivered) for one in without],
        },
    )
    share.set_ylabel("% of messages delivered")
    share.set_title("Messages for absent recipients", loc="left")
    copies.step(
        [one.term for one in with_rule],
        [one.custody for one in with_rule],
        where="mid",
        color=INK[0],
        label="custody copies",
    )
    copies.step(
        [one.term for one in with_rule],
        [one.relay_share for one in with_rule],
        where="mid",
        color=INK[1],
        linestyle="--",
        label="relay share, in twelfths",
    )
    copies.set_ylim(0, 13)
    copies.set_ylabel("number")
    copies.set_xlabel("terms (grey: each holder is gone with a chance of 50 %, else 5 %)")
    copies.legend(frameon=False)
    stormy = [one.term for one in with_rule if one.gone > 0.1]
    for axis in (share, copies):
        axis.axvspan(min(stormy) - 0.5, max(stormy) + 0.5, color="#eeeeee", zorder=0)
    return save(drawn, path)
