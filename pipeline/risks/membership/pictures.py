"""Pictures of membership: log-log ROC, where few are accused wrongly and an attack hurts."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, Style, axes_of, save_picture
from pipeline.risks.drawing import (
    OPEN,
    SMALL_TEXT,
    TEXT,
    at_ends,
    guide,
    name_axes,
    name_panels,
    outer_only,
    panels,
    styles_for,
    thinned,
)
from pipeline.risks.membership.tables import STRONGEST
from pipeline.risks.risk import Context

UP_TO = 0.1  # of the others are taken for members: beyond, all curves run into one corner
RATE = 0.01
TITLE = "Membership inference: members found against others accused"
AXES = {"x": "others taken for members (false positive rate)", "y": "members found (TPR)"}


def strongest_curve(curves: pd.DataFrame, variant: str) -> pd.DataFrame:
    """The ROC of the strongest attack on one defense; of two that were chosen that of the first."""
    return curves[curves["attack"] == variant.split(" and ")[0]]


def draw(
    table: pd.DataFrame, curves: pd.DataFrame, shows: str, context: Context, folder: Path
) -> Picture:
    """One panel: a line for each defense, with the interval of its strongest attack at 1 %.

    Args:
        table: `membership`.
        curves: `plots/membership_roc`.
        shows: what is to be seen, in words.
        context: by whose order defenses have their colours.
        folder: where the picture is written.
    """
    lines = table[table["attack"] == STRONGEST]
    styles = styles_for(lines["defense"], context)
    least = max(float(curves["fpr"].min()), 1e-3)
    figure, (axis,) = axes_of(1, 1, OPEN)
    ends, colours = {}, []
    for line in lines.to_dict("records"):
        style = styles[str(line["defense"])]
        curve = strongest_curve(curves[curves["defense"] == line["defense"]], str(line["variant"]))
        curve = curve[curve["fpr"].between(least, UP_TO)]
        if not len(curve):
            continue
        name = context.display(str(line["defense"]))
        _roc(axis, curve, style, name)
        if line["tpr_at_1pct"] > 0:
            reach = [[line["tpr_at_1pct"] - line["tpr_at_1pct_low"]]]
            reach += [[line["tpr_at_1pct_high"] - line["tpr_at_1pct"]]]
            axis.errorbar(
                [RATE], [line["tpr_at_1pct"]], yerr=reach, capsize=3, **_mark(style), label=None
            )
        last = curve.sort_values("fpr").iloc[-1]
        ends[name] = (float(last["fpr"]), float(last["tpr"]))
        colours.append(style.colour)
    guide(axis, [least, UP_TO], [least, UP_TO], "guessing")
    ends["guessing"] = (UP_TO, UP_TO)
    axis.set(xscale="log", yscale="log", xlim=(least, UP_TO), ylim=(least, None))
    axis.set_xlabel(AXES["x"], fontsize=TEXT)
    axis.set_ylabel(AXES["y"], fontsize=TEXT)
    axis.tick_params(labelsize=TEXT)
    _in_percent(axis)
    at_ends(axis, ends, [*colours, GUIDE])
    return save_picture(figure, folder / "membership_roc.svg", TITLE, shows)


def draw_all(curves: pd.DataFrame, context: Context, folder: Path) -> Picture:
    """A panel for each attack, a line for each defense."""
    attacks = list(curves["attack"].unique())
    rows, columns, size = panels(len(attacks))
    figure, axes = axes_of(rows, columns, size)
    styles = styles_for(curves["defense"], context)
    shown = {
        context.display(name): styles[name] for name in dict.fromkeys(curves["defense"].astype(str))
    }
    least = max(float(curves["fpr"].min()), 1e-3)
    for at, (axis, attack) in enumerate(zip(axes, attacks, strict=False)):
        for name in dict.fromkeys(curves["defense"].astype(str)):
            own = curves[(curves["attack"] == attack) & (curves["defense"] == name)]
            _roc(axis, own[own["fpr"] >= least], styles[name], context.display(name))
        guide(axis, [least, 1], [least, 1], "guessing")
        axis.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1))
        axis.set_title(attack, fontsize=SMALL_TEXT)
        _in_percent(axis)
        outer_only(axis, at, len(attacks))
    for axis in axes[len(attacks) :]:
        axis.set_visible(False)
    name_axes(figure, AXES["x"], AXES["y"], len(attacks))
    name_panels(figure, shown, markers=False)
    return save_picture(
        figure,
        folder / "membership_attacks.svg",
        "Membership inference: every attack",
        f"log-log ROC of {len(attacks)} membership attacks, a panel each, a line for each of "
        f"{len(shown)} defenses; the figures stand in the table of every attack",
    )


def _roc(axis: object, curve: pd.DataFrame, style: Style, name: str) -> None:
    curve = curve[(curve["fpr"] > 0) & (curve["tpr"] > 0)]
    if len(curve):
        curve = curve[thinned(np.log(curve["fpr"]), np.log(curve["tpr"]))]
    axis.plot(  # type: ignore[attr-defined]
        curve["fpr"],
        curve["tpr"],
        color=style.colour,
        linestyle=style.dash,
        linewidth=1.4,
        label=name,
    )


def _mark(style: Style) -> dict[str, object]:
    return {"color": style.colour, "marker": style.marker, "markersize": 5, "linestyle": "none"}


def _in_percent(axis: object) -> None:
    """Ticks at decades, in percent; none between, which would be unreadable."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for one in (axis.xaxis, axis.yaxis):  # type: ignore[attr-defined]
        one.set_major_locator(LogLocator(10))
        one.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        one.set_minor_locator(NullLocator())
