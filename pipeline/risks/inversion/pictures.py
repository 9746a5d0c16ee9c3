"""The picture of inversion: what members are told more than others, of each measurement."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, axes_of, save_picture
from pipeline.risks.drawing import OPEN, SMALL_TEXT, TEXT, name_panels, styles_for
from pipeline.risks.risk import Context

IMAGES = "Images behind one update each"
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


def draw_images(rebuilt: pd.DataFrame, shows: str, folder: Path) -> Picture:
    """A row for each kind: the originals, what was found of them, and the control.

    Args:
        rebuilt: rows of `image_rebuilt`.
        shows: what is to be seen, in words.
        folder: where the picture is written.
    """
    kinds, count = list(rebuilt["kind"].unique()), rebuilt["place"].nunique()
    figure, axes = axes_of(len(kinds), count, (1.1 * count + 0.6, 1.1 * len(kinds)))
    for axis, line in zip(axes, rebuilt.to_dict("records"), strict=True):
        levels = np.frombuffer(bytes.fromhex(line["pixels"]), dtype=np.uint8)
        image = levels.reshape(line["height"], -1)
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        if line["place"] == 0:
            axis.set_ylabel(line["kind"], fontsize=TEXT)
    return save_picture(figure, folder / "image_updates.svg", IMAGES, shows)
