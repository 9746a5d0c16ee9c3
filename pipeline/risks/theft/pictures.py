"""Pictures of theft: how faithful a copy is, against the number of queries."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, axes_of, save_picture
from pipeline.risks.drawing import (
    OPEN,
    SMALL_TEXT,
    TEXT,
    at_ends,
    band,
    name_axes,
    name_panels,
    outer_only,
    panels,
    styles_for,
)
from pipeline.risks.risk import Context
from pipeline.risks.theft.measure.copies import TRUE_LABELS
from pipeline.risks.theft.measure.victims import PLAIN
from pipeline.risks.theft.tables import best_copies, faithful

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Model extraction: fidelity of the most faithful copy"
UNASKED = "no query:\ndiagnoses known"
QUERIES = "queries (records asked about)"


def draw(table: pd.DataFrame, shows: str, context: Context, folder: Path) -> Picture:
    """One panel: a line for each defense, and what known diagnoses teach without any query.

    Args:
        table: `theft`.
        shows: what is to be seen, in words.
        context: by whose order defenses have their colours.
        folder: where the picture is written.
    """
    best = faithful(table)
    names = [str(name) for name in dict.fromkeys(best["defense"])]
    styles = styles_for(names, context)
    figure, (axis,) = axes_of(1, 1, OPEN)
    ends, colours = {}, []
    for name in names:
        curve, style = best[best["defense"] == name].sort_values("budget"), styles[name]
        label = context.display(name)
        axis.plot(
            curve["budget"],
            curve["fidelity"],
            linewidth=1.4,
            markersize=4,
            label=label,
            **style.line,
        )
        band(axis, curve["budget"], curve["fidelity_low"], curve["fidelity_high"], style.colour)
        ends[label] = (float(curve["budget"].iloc[-1]), float(curve["fidelity"].iloc[-1]))
        colours.append(style.colour)
    known = best_copies(table[table["strategy"] == TRUE_LABELS])
    known = known[known["defense"] == names[0]].sort_values("budget")
    if len(known):
        _diagnoses(axis, known)
        last = known.iloc[-1]
        ends[UNASKED] = (float(last["budget"]), float(last["fidelity"]))
        colours.append(GUIDE)
    _in_queries(axis)
    axis.set_ylim(top=1.005)
    axis.set_xlabel(QUERIES, fontsize=TEXT)
    axis.set_ylabel("test patients given the same class\n(fidelity)", fontsize=TEXT)
    axis.tick_params(labelsize=SMALL_TEXT)
    at_ends(axis, ends, colours)
    return save_picture(figure, folder / "theft.svg", TITLE, shows)


def draw_all(table: pd.DataFrame, strategy: str, context: Context, folder: Path) -> Picture:
    """A panel for each kind of answer, a line for each defense, by one strategy."""
    best = best_copies(table)
    asked = best[(best["strategy"] == strategy) & (best["api"] == PLAIN)]
    accesses = list(dict.fromkeys(asked["access"]))
    names = [str(name) for name in dict.fromkeys(asked["defense"])]
    styles = styles_for(names, context)
    rows, columns, size = panels(len(accesses))
    figure, axes = axes_of(rows, columns, size)
    least = float(asked["fidelity_low"].min())
    for at, (axis, access) in enumerate(zip(axes, accesses, strict=False)):
        for name in names:
            curve = asked[(asked["access"] == access) & (asked["defense"] == name)]
            axis.plot(
                curve["budget"],
                curve["fidelity"],
                linewidth=1.3,
                markersize=3,
                label=context.display(name),
                **styles[name].line,
            )
        _in_queries(axis)
        axis.set_ylim(least - 0.02, 1.01)
        axis.set_title(str(access).replace("_", " "), fontsize=SMALL_TEXT)
        outer_only(axis, at, len(accesses))
    for axis in axes[len(accesses) :]:
        axis.set_visible(False)
    name_axes(figure, QUERIES, "fidelity", len(accesses))
    name_panels(figure, {context.display(name): styles[name] for name in names})
    return save_picture(
        figure,
        folder / "theft_answers.svg",
        f"Model extraction by what an answer shows, strategy {strategy}",
        f"fidelity against queries: a panel for each of {len(accesses)} kinds of answers, a line "
        f"for each of {len(names)} defenses; the figures stand in theft.csv",
    )


def _in_queries(axis: "Axes") -> None:
    """Numbers of queries as they are written, at decades."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:_.0f}".replace("_", " "))
    )
    axis.xaxis.set_minor_locator(NullLocator())


def _diagnoses(axis: "Axes", known: pd.DataFrame) -> None:
    """What as many known diagnoses teach: no query, no colour."""
    axis.plot(
        known["budget"],
        known["fidelity"],
        color=GUIDE,
        linestyle=(0, (5, 3)),
        marker=".",
        linewidth=1,
        label=UNASKED,
    )
