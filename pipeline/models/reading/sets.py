"""Splits by sets of values, each written as questions `at most` one after another: exactly.

Both children stay one node each, to which several of the questions may lead. A record's level is a
whole number from 0 on; what lies between two of them counts as the lower one, as it does where a
record is told by its cells.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.files import BadInput
from pipeline.models.trees import Tree
from pipeline.statistics import Array

MOST_CUTS = 4096  # of one split


class Sides(NamedTuple):
    """Which way values go: the other way from each cut to the next.

    Attributes:
        cuts: (C,) float64, ascending; a value at most the first goes as `first` says.
        first: whether that is to the left; without cuts all that is measured goes so.
        missing: whether a missing value goes left.
    """

    cuts: Array
    first: bool
    missing: bool


def holding(
    categories: Array, *, left: bool, missing: bool, where: str, lowest: float | None = None
) -> Sides:
    """Where values go of which a library looks up the whole part among categories.

    Args:
        categories: (K,) int64, not below 0.
        left: whether those among them go left.
        missing: whether a missing value does.
        where: file and tree, for the message.
        lowest: above which values have the whole part 0; None = from 0 on.

    Raises:
        BadInput: they are in more pieces than are read.
    """
    one = np.unique(categories)
    starts, ends = one[~np.isin(one - 1, one)], one[~np.isin(one + 1, one)] + 1
    if len(starts) * 2 > MOST_CUTS:
        raise BadInput(f"{where}: a set of {len(one)} categories, more than are read")
    below = np.nextafter(np.stack([starts, ends], 1).astype(np.float64), -np.inf)
    if lowest is not None and len(one) and one[0] == 0:
        below[0, 0] = lowest
    return Sides(below.reshape(-1), not left, missing)


def of_levels(left: Array, missing: bool) -> Sides:
    """Where the levels of a record go that are `left` (K,) bool."""
    change = np.flatnonzero(left[1:] != left[:-1]) + 1
    cuts = np.nextafter(change.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    return Sides(cuts, bool(left[0]), missing)


def on_levels(trees: Sequence[Tree], held: Mapping[int, Array]) -> list[Tree]:
    """Trees that ask about levels of the record, not about what was made of them.

    Args:
        trees: which ask about columns behind some steps.
        held: of a column the value of each of K levels, and that of a missing one behind them
            (K + 1,); NaN = it is missing there, too.
    """
    result = []
    for tree in trees:
        sides = {}
        inner = tree.left != np.arange(len(tree.left))
        for node in np.flatnonzero(inner & np.isin(tree.feature, list(held))).tolist():
            values = held[int(tree.feature[node])]
            left = np.where(
                np.isnan(values), tree.missing_left[node], values <= tree.threshold[node]
            )
            sides[node] = of_levels(left[:-1], bool(left[-1]))
        result.append(expanded(tree, sides))
    return result


def expanded(tree: Tree, sides: Mapping[int, Sides]) -> Tree:
    """A tree whose nodes of these numbers send values to their sides; children after parents."""
    if not sides:
        return tree
    counts = np.ones(len(tree.left), dtype=np.int64)
    for node, one in sides.items():
        counts[node] = max(1, len(one.cuts))
    place = np.cumsum(counts) - counts
    whose = np.repeat(np.arange(len(counts)), counts)
    made = Tree(*(part[whose] for part in tree))
    made = made._replace(left=place[made.left], right=place[made.right])
    for node, one in sides.items():
        both = {True: place[tree.left[node]], False: place[tree.right[node]]}
        goes = one.first
        last = place[node] + counts[node] - 1
        for at, cut in enumerate(one.cuts if len(one.cuts) else [np.inf], place[node]):
            made.threshold[at] = cut
            made.left[at] = both[goes]
            made.right[at] = both[not goes] if at == last else at + 1
            made.missing_left[at] = goes == one.missing
            goes = not goes
    return made
