"""Images as they were taken, what was changed in them, and what is presented instead."""

from pathlib import Path

import numpy as np

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import axes_of
from pipeline.risks.evasion.pictures.canvas import SMALL_TEXT, WIDTH, finish
from pipeline.risks.evasion.scans import SCANS, pixels
from pipeline.risks.evasion.view import View
from pipeline.statistics import Array

TIMES = 16  # by how much a change is enlarged, at most: it stays within the range of grey levels


def forged(view: View, folder: Path) -> Picture:
    """A row for each image: as taken, the change times 16 around mid-grey, as presented."""
    assert view.cfg.data.image is not None
    table = view.tables[SCANS]
    shape = tuple(view.cfg.data.image.shape)
    ((_, pixel),) = view.cfg.data.features.items()
    reach = (pixel.upper - pixel.lower) / 2
    times = int(max(1, min(TIMES, round(reach / table["eps"].max()))))
    figure, axes = axes_of(len(table), 3, (WIDTH, 1.6 * len(table) + 0.3))
    for row, line in enumerate(table.to_dict("records")):
        taken, presented = pixels(line["taken"], shape), pixels(line["presented"], shape)
        change = (presented - taken) * times + pixel.lower + reach
        own = axes[3 * row : 3 * row + 3]
        for axis, image in zip(own, (taken, change, presented), strict=True):
            axis.imshow(
                _colours((image - pixel.lower) / (pixel.upper - pixel.lower)),
                cmap="gray",
                vmin=0,
                vmax=1,
                interpolation="nearest",
            )
            axis.set_xticks([])
            axis.set_yticks([])
        own[0].set_ylabel(view.budget(line["eps"]), fontsize=SMALL_TEXT)
    for axis, title in zip(
        axes[:3], ("as taken", f"change, {times} times", "as presented"), strict=True
    ):
        axis.set_title(title, fontsize=SMALL_TEXT)
    radii = ", ".join(view.budget(eps) for eps in table["eps"])
    return finish(
        figure,
        view,
        folder / "scans.svg",
        "Images of the ill, before and after",
        f"{len(table)} images of ill patients whom the undefended model finds, each beside the "
        f"image that it calls healthy; changes of at most {radii}.",
        f"Middle: what was changed, {times} times as large, around mid-grey.",
    )


def _colours(image: Array) -> Array:
    """(H, W), or (H, W, 3), in 0 to 1, of an image (C, H, W)."""
    image = image.clip(0, 1)
    return image[0] if len(image) == 1 else np.moveaxis(image[:3], 0, -1)
