"""Who passes the guard, against the attacker's reach."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.numbers import interval_text
from pipeline.presentation.pictures import axes_of, save_picture, styles_of
from pipeline.risks.drawing import OPEN, SMALL_TEXT, at_ends

PICTURE = "guard.svg"
TITLE = "Turned and answered, by the reach of an attacker who knows the guard"


def draw(table: pd.DataFrame, unit: str, folder: Path) -> Picture:
    """The share that passes, of every recipe and radius.

    Args:
        table: rows of `guard_attacks` of one attacker, with a column `name` of what each is called.
        unit: of the radius, for the axis.
        folder: where the picture is written.
    """
    figure, (axis,) = axes_of(1, 1, OPEN)
    names = list(dict.fromkeys(table["name"]))
    styles, ends, said = styles_of(names), {}, []
    for name in names:
        own, style = table[table["name"] == name].sort_values("eps"), styles[name]
        axis.plot(
            own["eps"],
            own["passed"],
            color=style.colour,
            linewidth=1.3,
            marker=style.marker,
            markersize=4,
        )
        axis.fill_between(
            own["eps"], own["passed_low"], own["passed_high"], color=style.colour, alpha=0.12
        )
        last = own.iloc[-1]
        ends[name] = (float(last["eps"]), float(last["passed"]))
        bounds = interval_text(*(float(last[f"passed{end}"]) for end in ("", "_low", "_high")))
        said.append(f"{name} {bounds} at eps {last['eps']:g}")
    largest = float(table["eps"].max())
    axis.set(xlim=(-0.03 * largest, 1.03 * largest), ylim=(-0.02, 1.0))
    axis.set_xlabel(f"eps, {unit}", fontsize=SMALL_TEXT)
    axis.set_ylabel("share of all patients", fontsize=SMALL_TEXT)
    at_ends(axis, ends, [styles[name].colour for name in names])
    shows = f"Nobody passes up to r; beyond it more the further he reaches: {'; '.join(said)}."
    return save_picture(figure, folder / PICTURE, TITLE, shows)
