"""Groups of patients, as the data set's bands and the diagnosis cut them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pipeline.config import DataConfig
from pipeline.statistics import Array


def groups_of(
    x: Array, names: Sequence[str], y: Array, data: DataConfig
) -> dict[tuple[str, str], Array]:
    """By (what cuts, name of the group): who belongs to it, (N,) bool.

    Args:
        x: (N, D) records; NaN = missing, in no band.
        names: of the D columns. A band of what is no column is left out, as it is of images.
        y: (N,) class indices.
        data: its `classes` and `bands`.
    """
    groups = {(data.target, name): y == index for index, name in enumerate(data.classes)}
    for name, cuts in data.bands.items():
        if name not in names:
            continue
        values, edges = x[:, list(names).index(name)], [-np.inf, *cuts, np.inf]
        for band, (low, high) in zip(band_names(cuts), pairwise(edges), strict=True):
            groups[name, band] = (values >= low) & (values < high)
    return groups


def band_names(cuts: Sequence[float]) -> list[str]:
    """What people call the groups between cuts: `below 30`, `30 to below 45`, `45 and above`."""
    between = [f"{low:g} to below {high:g}" for low, high in pairwise(cuts)]
    return [f"below {cuts[0]:g}", *between, f"{cuts[-1]:g} and above"]
