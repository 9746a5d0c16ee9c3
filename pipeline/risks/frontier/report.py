"""What is said of the price of privacy.

Three pictures and a table, all of them functions of `frontier_table`.
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import Chapter, Finding, Note, Picture, Table
from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import COLOURS, axes_of, save_picture
from pipeline.risks.risk import Context, Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE, NO_NOISE = "privacy_frontier.svg", "none"
NOT_COVERED = (
    "Not covered by any of these epsilons: the choice of steps, learning rate and clipping, made "
    "once for all of them; publishing several of these models, whose budgets add up and whose "
    "noise is the same but for its size, so that two of them cancel part of it; thresholds and "
    "this page's figures; a patient with several records; readers who know the noise's seed."
)


def draw(table: pd.DataFrame, folder: Path) -> Picture:
    """Three panels against epsilon: audited and claimed epsilon, members found, right answers."""
    figure, axes = axes_of(1, 3, (13, 4))
    ticks = _places(table)
    for colour, (model, curve) in zip(
        cycle(COLOURS[1:]), table.groupby("model", sort=False), strict=False
    ):
        x = [ticks[label] for label in _labels(curve)]
        _audited(axes[0], x, curve, colour, str(model))
        _band(axes[1], x, curve, "lira_tpr_at_1pct", color=colour, label=str(model))
        _band(axes[2], x, curve, "accuracy", color=colour, label=f"{model}: accuracy")
        label = f"{model}: sensitivity"
        _band(axes[2], x, curve, "sensitivity", color=colour, linestyle="--", label=label)
    claimed = table.drop_duplicates("epsilon_claimed").dropna(subset="epsilon_claimed")
    at = [ticks[label] for label in _labels(claimed)]
    axes[0].plot(at, claimed["epsilon_claimed"], color="#767676", linewidth=1, label="claimed")
    axes[0].plot(
        list(ticks.values()),
        [table["epsilon_ceiling"].max()] * len(ticks),
        ":",
        color="#767676",
        label="most it could show",
    )
    axes[1].axhline(0.01, linestyle="--", color="#767676", linewidth=0.8, label="guessing")
    titles = (
        "epsilon: claimed, and proved to be spent",
        "members found while 1 % are accused wrongly",
        "accuracy (line), sensitivity (dashed)",
    )
    for axis, title, place in zip(
        axes, titles, ((0.02, 0.2), "upper left", "lower left"), strict=True
    ):
        axis.set_xticks(list(ticks.values()), list(ticks))
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epsilon (none = no noise)")
        axis.legend(frameon=False, fontsize=7, loc=place)
    # Linear near 0, where most bounds lie, logarithmic above, where the claims lie.
    axes[0].set_yscale("symlog", linthresh=0.5)
    axes[0].set_yticks(marks := [0, 0.1, 0.2, 0.5, 1, 2, 4, 8], [f"{mark:g}" for mark in marks])
    axes[0].minorticks_off()
    axes[0].set_ylim(bottom=-0.02)
    axes[1].set_ylim(bottom=0)
    axes[2].set_ylim(0, 1)
    return save_picture(
        figure,
        folder / PICTURE,
        "What differential privacy costs",
        "epsilon claimed and proved to be spent, members found, and accuracy, against epsilon",
    )


def finding(tables: Tables, context: Context) -> Finding | None:
    """The worst that was found, in one sentence; None: nothing was measured."""
    return None


def cover(tables: Tables, context: Context, folder: Path) -> Picture | None:
    """Its picture for the first screen; None: it has none."""
    return None


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    return ()


def _labels(table: pd.DataFrame) -> list[str]:
    return [
        NO_NOISE if np.isnan(epsilon) else f"{epsilon:.3g}" for epsilon in table["epsilon_claimed"]
    ]


def _places(table: pd.DataFrame) -> dict[str, float]:
    """Where each epsilon stands: in order, evenly spaced, no noise last."""
    ordered = table.drop_duplicates("epsilon_claimed").sort_values(
        "epsilon_claimed", na_position="last"
    )
    return {label: float(place) for place, label in enumerate(_labels(ordered))}


def _audited(axis: "Axes", x: list[float], curve: pd.DataFrame, colour: str, label: str) -> None:
    axis.plot(
        x,
        curve["epsilon_lower_bound"],
        "-",
        marker="o",
        markersize=4,
        color=colour,
        label=f"{label}: at least",
    )


def _band(axis: "Axes", x: list[float], curve: pd.DataFrame, name: str, **line: Any) -> None:
    axis.plot(x, curve[name], marker="o", markersize=3, **line)
    low, high = curve[f"{name}_low"], curve[f"{name}_high"]
    axis.fill_between(x, low, high, color=line["color"], alpha=0.12, linewidth=0)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: what each epsilon costs, and what it is worth against an attacker."""
    table = tables.get("frontier", pd.DataFrame())
    if not len(table):
        return ()
    first, silent = table.iloc[0], table[table["epsilon_claimed"].isna()]
    power = ", ".join(
        f"{line['model']} {line['epsilon_lower_bound']:.2f}" for _, line in silent.iterrows()
    )
    control = (
        f" Without noise, where epsilon has no limit, it shows {power}." if len(silent) else ""
    )
    how = Note(
        f"The same models at several epsilons, delta {first['delta']:g}, one record added or "
        "removed; only the noise differs. "
        f'"found at 1 %": members recognised by {first["attack"]} on {first["targets"]} models of '
        "each epsilon, each trained on a random half, while 1 % of the others are taken for "
        f'members. "proved": answered rightly, whatever is forged within eps {first["radius"]:g} '
        f'of the threat model {first["threat"]}; "at least" where some patients are undecided. '
        'Intervals: bootstrap over patients. "spends at least": shown by an auditor who sees every '
        f"noisy gradient, and the most that so many guesses could have shown.{control}"
    )
    return (
        Chapter(
            "What privacy costs",
            [how, Table(_shown(table)), Note(NOT_COVERED), draw(table, folder)],
        ),
    )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    proved = [
        cell if exact else f"at least {cell}"
        for cell, exact in zip(
            with_interval(table, "proved_accuracy"), table["proved_exact"], strict=True
        )
    ]
    spends = zip(table["epsilon_lower_bound"], table["epsilon_ceiling"], strict=True)
    return pd.DataFrame(
        {
            "model": _marked(table),
            "epsilon": _labels(table),
            "noise": table["noise_multiplier"].map("{:.2f}".format),
            "accuracy": with_interval(table, "accuracy"),
            "AUROC": with_interval(table, "auroc"),
            "sensitivity": with_interval(table, "sensitivity"),
            "proved": proved,
            "found at 1 %": with_interval(table, "lira_tpr_at_1pct"),
            "AUROC of the attack": with_interval(table, "lira_auroc"),
            "spends at least": [f"{low:.2f} (of {most:.2f})" for low, most in spends],
        }
    )


def _marked(table: pd.DataFrame) -> list[str]:
    """A degenerate model says so wherever it is named."""
    marks: Any = zip(table["model"], table["degenerate"], strict=True)
    return [f"{model} [degenerate]" if degenerate else str(model) for model, degenerate in marks]
