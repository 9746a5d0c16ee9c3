"""The picture of inversion: what members are told more than others, of each measurement."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, axes_of, save_picture
from pipeline.risks.drawing import OPEN, SMALL_TEXT, TEXT, name_panels, styles_for
from pipeline.risks.risk import Context

TITLE = "Attribute inference: what members are told more than others"


def draw(differences: pd.DataFrame, shows: str, context: Context, folder: Path) -> Picture:
    """A row for each measurement, a mark with its interval for each defense.

    Args:
        differences: rows `difference` of `inversion` of one attacker.
        shows: what is to be seen, in words.
        context: by whose order defenses have their colours.
        folder: where the picture is written.
    """
    attributes = list(differences["attribute"].unique())
    names = [str(name) for name in differences["defense"].unique()]
    styles = styles_for(names, context)
    figure, (axis,) = axes_of(1, 1, (OPEN[0], 0.9 + 0.16 * len(attributes) * (len(names) + 1)))
    axis.axvline(0, color=GUIDE, linestyle=(0, (5, 3)), linewidth=1, label="no difference")
    for at, name in enumerate(names):
        own = differences[differences["defense"] == name].dropna(subset="share")
        style = styles[name]
        shift = (at - (len(names) - 1) / 2) * 0.8 / len(names)
        axis.errorbar(
            100 * own["share"],
            [attributes.index(one) + shift for one in own["attribute"]],
            xerr=[
                100 * (own["share"] - own["share_low"]),
                100 * (own["share_high"] - own["share"]),
            ],
            color=style.colour,
            marker=style.marker,
            markersize=4,
            linestyle="none",
            linewidth=1.2,
            label=context.display(name),
        )
    axis.set_yticks(range(len(attributes)), attributes, fontsize=TEXT)
    axis.set_ylim(len(attributes) - 0.5, -0.5)
    axis.set_xlabel(
        "error of a guess that the model takes away:\nmembers less others, points of 100",
        fontsize=TEXT,
    )
    axis.tick_params(axis="x", labelsize=SMALL_TEXT)
    name_panels(figure, {context.display(name): styles[name] for name in names})
    return save_picture(figure, folder / "inversion.svg", TITLE, shows)
