"""The picture of forged scans: one scan, untouched and forged in every way."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import axes_of, save_picture
from pipeline.risks.drawing import SMALL_TEXT

NAME = "forgery_shown"  # of its file, as of the table of single patients that it shows
TITLE = "One scan, and what a picture editor makes of it"
IN_A_ROW = 3
TIMES = 4  # by how much a change is enlarged


def draw(table: pd.DataFrame, names: dict[str, str], folder: Path) -> Picture:
    """Of each forgery the scan, and below it what was changed.

    Args:
        table: `forgery_shown`.
        names: of its column `forgery` -> what people call it.
        folder: where the picture is written.
    """
    images = {
        str(line["forgery"]): np.frombuffer(
            bytes.fromhex(str(line["pixels"])), dtype=np.uint8
        ).reshape(int(line["height"]), -1)
        for line in table.to_dict("records")
    }
    genuine = next(iter(images.values())).astype(np.float64)
    rows = -(-len(images) // IN_A_ROW)
    figure, axes = axes_of(2 * rows, IN_A_ROW, (1.7 * IN_A_ROW, 3.6 * rows))
    for axis in axes:
        axis.set_axis_off()
    for place, (name, image) in enumerate(images.items()):
        row, column = divmod(place, IN_A_ROW)
        change = (image - genuine) * TIMES + 127.5
        for below, (shown, title) in enumerate(((image, names[name]), (change, "change"))):
            axis = axes[(2 * row + below) * IN_A_ROW + column]
            axis.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(title, fontsize=SMALL_TEXT)
    others = ", ".join(names[name] for name in list(images)[1:])
    shows = (
        f"One scan of an ill patient as it was taken, and forged in {len(images) - 1} ways: "
        f"{others}. Below each what was changed, {TIMES} times as large, around mid-grey."
    )
    return save_picture(figure, folder / f"{NAME}.svg", TITLE, shows)
