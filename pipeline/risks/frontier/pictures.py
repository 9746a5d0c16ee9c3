"""The picture of the privacy frontier: what is claimed and shown, who is found, what it costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, axes_of, save_picture
from pipeline.risks.drawing import SMALL_TEXT, TEXT, band, guide

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE, NO_NOISE = "privacy_frontier.svg", "none"
TITLE = "What differential privacy costs"
# Kinds of models are no defenses and have none of their colours.
GREYS = ("#333333", "#8A6D3B", "#5B4A91", "#7A7A7A")
MARKERS, DASHES = ("o", "s", "^", "D"), ("-", (0, (5, 2)), (0, (2, 2)), (0, (5, 2, 1, 2)))
PANELS = (
    ("accuracy", "right answers"),
    ("sensitivity", "sensitivity"),
    ("lira_tpr_at_1pct", "members found at 1 % FPR"),
    ("epsilon_lower_bound", "epsilon shown to be spent"),
)


def labels(table: pd.DataFrame) -> list[str]:
    """What each epsilon is called."""
    return [
        NO_NOISE if np.isnan(epsilon) else f"{epsilon:.3g}" for epsilon in table["epsilon_claimed"]
    ]


def places(table: pd.DataFrame) -> dict[str, float]:
    """Where each epsilon stands: in order, evenly spaced, no noise last."""
    ordered = table.drop_duplicates("epsilon_claimed").sort_values(
        "epsilon_claimed", na_position="last"
    )
    return {label: float(place) for place, label in enumerate(labels(ordered))}


def draw(table: pd.DataFrame, shows: str, folder: Path) -> Picture:
    """Four panels against epsilon: right answers, sensitivity, members found, epsilon audited.

    Args:
        table: `frontier`.
        shows: what is to be seen, in words.
        folder: where the picture is written.
    """
    figure, axes = axes_of(2, 2, (5.8, 5.6))
    ticks = places(table)
    for at, (model, curve) in enumerate(table.groupby("model", sort=False)):
        x = [ticks[label] for label in labels(curve)]
        look: dict[str, Any] = {
            "color": GREYS[at % len(GREYS)],
            "marker": MARKERS[at % len(MARKERS)],
            "linestyle": DASHES[at % len(DASHES)],
        }
        for axis, (name, _) in zip(axes, PANELS, strict=True):
            axis.plot(x, curve[name], markersize=4, linewidth=1.3, label=str(model), **look)
            if f"{name}_low" in curve:
                band(axis, x, curve[f"{name}_low"], curve[f"{name}_high"], look["color"])
    _limits(axes, table, ticks)
    for axis, (_, title) in zip(axes, PANELS, strict=True):
        axis.set_title(title, fontsize=TEXT)
        axis.set_xticks(list(ticks.values()), list(ticks))
        axis.tick_params(labelsize=SMALL_TEXT)
    figure.supxlabel("epsilon (none = trained without noise)", fontsize=TEXT)
    handles, names = axes[3].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper left", ncols=4, frameon=False, fontsize=SMALL_TEXT
    )
    return save_picture(figure, folder / PICTURE, TITLE, shows)


def _limits(axes: "Sequence[Axes]", table: pd.DataFrame, ticks: dict[str, float]) -> None:
    """Lines of what is no result: guessing, what is claimed, what the audit could show."""
    right, ill, found, spent = axes
    right.set_ylim(0, 1)
    ill.set_ylim(0, 1)
    found.axhline(0.01, color=GUIDE, linestyle=(0, (5, 3)), linewidth=1, label="guessing")
    found.set_ylim(bottom=0)
    claimed = table.drop_duplicates("epsilon_claimed").dropna(subset="epsilon_claimed")
    claimed = claimed.sort_values("epsilon_claimed")
    at = [ticks[label] for label in labels(claimed)]
    guide(spent, at, list(claimed["epsilon_claimed"]), "claimed, or guessing")
    most = table["epsilon_ceiling"].max()
    most_shown = [most] * len(ticks)
    look: dict[str, Any] = {"color": GUIDE, "linestyle": ":", "linewidth": 1.2}
    spent.plot(list(ticks.values()), most_shown, label="most it could show", **look)
    # Linear near 0, where most bounds lie, logarithmic above, where the claims lie.
    spent.set_yscale("symlog", linthresh=0.5)
    marks = [mark for mark in (0, 0.5, 1, 2, 4, 8, 16, 32, 64) if mark <= 2 * most]
    spent.set_yticks(marks, [f"{mark:g}" for mark in marks])
    spent.minorticks_off()
    spent.set_ylim(bottom=-0.02)
