"""Figures against what varies: `epsilon`, `eps`, or any other number."""

import re
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import COLOURS, axes_of, display_name, save_picture
from pipeline.sweep.compared import Compared
from pipeline.sweep.jobs import Job, name_of
from pipeline.sweep.shown import Key

SEED = "seed"  # a number, but not an amount of anything
COLUMNS = [
    "key",
    "line",
    "at",
    "risk",
    "figure",
    "job",
    "value",
    "low",
    "high",
    "verdict",
    "control",
]
TITLE = 44  # letters of a line above a panel
WIDE = 2  # panels beside each other
FAR = 8.0  # from the least value to the largest, above which their logarithms are drawn


def curves_table(jobs: Sequence[Job], compared: Compared) -> pd.DataFrame:
    """Every figure against every number that varies.

    Returns:
        one row per key, job and figure: `key`, what varies; `line`, what all jobs along a line have
        in common; `at`, the value of the key; `risk, figure`; the `job`; the figure's `value`,
        `low`, `high`, its `verdict` against `control`, with whom it is compared. Keys with fewer
        than two values along every line are left out.
    """
    rows: list[dict[str, Any]] = []
    for key in dict.fromkeys(key for job in jobs for key in job.varies if key != SEED):
        for job in jobs:
            at = _number(job.varies.get(key, ""))
            if at is None or job.name not in compared.judged:
                continue
            rest = {other: value for other, value in job.varies.items() if other != key}
            own = compared.headlines[compared.headlines["defense"] == job.name]
            named = {
                "key": key,
                "line": name_of(job.defense, rest),
                "at": at,
                "job": job.name,
                "control": compared.references.get(job.name, ""),
            }
            kept = ["risk", "figure", "value", "low", "high", "verdict"]
            rows += [{**named, **line} for _, line in own[kept].iterrows()]
    table = pd.DataFrame(rows, columns=COLUMNS)
    along = table.groupby(["key", "line"])["at"].transform("nunique")
    return table[along > 1].reset_index(drop=True)


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def draw(
    table: pd.DataFrame, key: str, figures: Sequence[Key], compared: Compared, folder: Path
) -> Picture:
    """One panel per figure, one line per defense; jobs without a defense lie across.

    Args:
        table: of `curves_table`.
        key: what varies.
        figures: a panel each.
        compared: where the figures of the controls stand.
        folder: where the picture is drawn.
    """
    own = table[table["key"] == key]
    known = set(zip(own["risk"], own["figure"], strict=True))
    panels = [one for one in figures if one in known]
    rows = -(-len(panels) // WIDE)
    columns = min(WIDE, len(panels))
    figure, axes = axes_of(rows, columns, (5.0 * columns, 3.1 * rows))
    for axis, (risk, named) in zip(axes, panels, strict=False):
        lines = own[(own["risk"] == risk) & (own["figure"] == named)]
        colours = cycle(COLOURS)
        _draw_controls(axis, (risk, named), lines, compared, next(colours))
        for colour, (label, line) in zip(colours, lines.groupby("line", sort=False), strict=False):
            line = line.sort_values("at")
            around = [line["value"] - line["low"], line["high"] - line["value"]]
            axis.errorbar(
                line["at"], line["value"], around, color=colour, marker="o", markersize=4,
                linewidth=1.2, capsize=3, label=str(label),
            )  # fmt: skip
            flagged = line[[bool(compared.judged[job].flags) for job in line["job"]]]
            axis.plot(
                flagged["at"], flagged["value"], color=colour, marker="o", markersize=4,
                linestyle="none", markerfacecolor="white", zorder=3,
            )  # fmt: skip
        values = own["at"]
        if values.min() > 0 and values.max() / values.min() >= FAR:
            axis.set_xscale("log")
            axis.minorticks_off()
        ticks = sorted(values.unique())
        axis.set_xticks(ticks, [f"{at:g}" for at in ticks])
        axis.set_title(fill(named, TITLE), fontsize=9)
        axis.set_xlabel(key, fontsize=9)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    path = folder / f"sweep_{re.sub('[^A-Za-z0-9]', '_', key)}.svg"
    return save_picture(figure, path, f"What {key} changes", _shows(own, key, panels))


def _draw_controls(
    axis: Any, wanted: Key, lines: pd.DataFrame, compared: Compared, colour: str
) -> None:
    found = compared.headlines
    found = found[(found["risk"] == wanted[0]) & (found["figure"] == wanted[1])]
    for name in dict.fromkeys(lines["control"]):
        control = found[found["defense"] == name]
        if len(control):
            line = control.iloc[0]
            flags = " ".join(compared.judged[name].flags)
            axis.axhline(
                line["value"], color=colour, linestyle="--", linewidth=1.2,
                label=display_name(name, flags),
            )  # fmt: skip
            axis.axhspan(line["low"], line["high"], color=colour, alpha=0.1, linewidth=0)


def _shows(own: pd.DataFrame, key: str, panels: Sequence[Key]) -> str:
    lines = ", ".join(dict.fromkeys(own["line"]))
    return (
        f"{'; '.join(named for _, named in panels)}, against {key}, of {lines}, with intervals; "
        "the jobs without a defense lie across; a flagged job is a hollow point. The numbers stand "
        "in the table below."
    )
