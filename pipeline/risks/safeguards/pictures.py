"""Safeguards against the radius: two attackers of one sanitiser as two lines of its colour."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.numbers import interval_text
from pipeline.presentation.pictures import axes_of, save_picture, styles_of
from pipeline.risks.drawing import OPEN, SMALL_TEXT, at_ends

PICTURE = "safeguards.svg"
TITLE = "Right answers behind sanitisers: ignored (dashed), and attacked through (solid)"
DASHED: Any = (0, (4, 2))


def draw(table: pd.DataFrame, unit: str, folder: Path) -> Picture:
    """Right answers against the radius, behind every sanitiser and of every recipe beside.

    Args:
        table: `sanitised`, with a column `name` of what each row is called.
        unit: of the radius, for the axis.
        folder: where the picture is written.
    """
    figure, (axis,) = axes_of(1, 1, OPEN)
    names = list(dict.fromkeys(table["name"]))
    styles = styles_of(names)
    ends: dict[str, tuple[float, float]] = {}
    said = []
    for name in names:
        own, style = table[table["name"] == name], styles[name]
        for attacker, dash in (("ignoring", DASHED), ("adaptive", "-")):
            lines = own[own["attacker"].isin(["none", attacker])].sort_values("eps")
            hollow = attacker == "ignoring"
            axis.plot(
                lines["eps"],
                lines["accuracy"],
                color=style.colour,
                linestyle=dash,
                linewidth=1.3,
                marker=style.marker,
                markersize=4,
                markerfacecolor="none" if hollow else style.colour,
            )
        last = lines.iloc[-1]
        ends[name] = (float(last["eps"]), float(last["accuracy"]))
        bounds = (last[f"accuracy{end}"] for end in ("", "_low", "_high"))
        said.append(f"{name} {interval_text(*bounds)}")
    largest = float(table["eps"].max())
    axis.set(xlim=(-0.03 * largest, 1.03 * largest), ylim=(-0.02, 1.0))
    axis.set_xlabel(f"eps, {unit}", fontsize=SMALL_TEXT)
    axis.set_ylabel("right answers", fontsize=SMALL_TEXT)
    at_ends(axis, ends, [styles[name].colour for name in names])
    shows = (
        f"Right answers fall as eps grows. At eps {largest:g}, attacked through the sanitiser: "
        f"{'; '.join(said)}."
    )
    return save_picture(figure, folder / PICTURE, TITLE, shows)
