"""Tree ensembles on a clinic's grid: leaves as boxes of cells, and which cells a record can reach.

Between two thresholds that lie next to each other a value changes no answer: a record is a vector
of cells, one a feature, and a leaf a box of them. Each value that may be presented is compared with
the thresholds once, as the float32 number that it is; cells without such a value do not exist.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.threat import ROUNDING, Threat
from pipeline.models.trees import Tree, Trees
from pipeline.statistics import Array

ROUNDING_OF_SUMS = 1e-9


class Leaves(NamedTuple):
    """The L leaves of an ensemble, those of a tree one after another.

    Attributes:
        low: (L, D) int64, the first cell of each feature that lies in the leaf.
        high: (L, D) int64, the last one; below `low` where only a missing value gets there.
        missing: (L, D) bool, whether a missing value of the feature gets there.
        value: (L,) float64, what the leaf says.
        tree: (L,) int64, whose it is.
    """

    low: Array
    high: Array
    missing: Array
    value: Array
    tree: Array


@dataclass(frozen=True, eq=False)
class Ensemble:
    """One member of a population of tree ensembles, as the verifier reads it.

    Attributes:
        model: the member.
        leaves: of all its trees.
        cuts: of each feature the thresholds, ascending; a value lies in the cell of so many cuts as
            are below it.
        own: who has the last word: the member, or the code that it was read of.
        rounding: of the sum over its trees, what float64 may make of it in another order, and more;
            of a library that adds up float32 what that may.
    """

    model: Trees
    leaves: Leaves
    cuts: list[Array]
    own: Callable[[Tensor], Tensor]
    rounding: float = ROUNDING_OF_SUMS

    @classmethod
    def of(cls, population: Trees, member: int) -> "Ensemble":
        """A member of a population."""
        model = population.select(torch.tensor([member]))
        trees, features = model.trees(0), model.architecture.features
        asked = [
            (tree.feature[node], tree.threshold[node])
            for tree in trees
            for node in range(len(tree.value))
            if tree.left[node] != node
        ]
        cuts = [
            np.unique([threshold for feature, threshold in asked if feature == place])
            for place in range(features)
        ]
        return cls(model, _leaves(trees, cuts), cuts, model)

    @cached_property
    def columns(self) -> Leaves:
        """The leaves with a row for each feature: `low`, `high` and `missing` are (D, L)."""
        low, high, missing, value, tree = self.leaves
        low, high, missing = (np.ascontiguousarray(one.T) for one in (low, high, missing))
        return Leaves(low, high, missing, value, tree)

    @cached_property
    def ranks(self) -> Array:
        """(2, L) the leaves tree by tree, for each class those first that speak most against it."""
        value, tree = self.leaves.value, self.leaves.tree
        return np.stack([np.lexsort((sign * value, tree)) for sign in (-1.0, 1.0)])

    @cached_property
    def threshold(self) -> float:
        """Sum over the trees from which on a patient is called ill."""
        cut = float(self.model.cut[0])
        shape = self.model.architecture
        if shape.link == "log_odds":
            return cut - float(self.model.parameters["base"][0])
        return float(torch.tensor(cut, dtype=torch.float64).sigmoid()) * shape.trees

    def margin(self, records: Tensor, y: Tensor) -> Tensor:
        """(P,) float64, in logits: of the true class of records (P, D), by the model itself."""
        logits = self.own(records.double()[None])[0]
        odds = logits[:, 1] - logits[:, 0]
        return torch.where(y == 1, odds, -odds)

    def in_logits(self, margin: Tensor, y: Tensor) -> Tensor:
        """(P,) margins of classes y (P,), from those of the sums over the trees."""
        if self.model.architecture.link == "log_odds":
            return margin
        total = self.threshold + torch.where(y == 1, margin, -margin)
        odds = self.model.odds_of(total / self.model.architecture.trees) - self.model.cut[0]
        return torch.where(y == 1, odds, -odds)

    def cells(self, place: int, values: Array) -> Array:
        """The cell of each value of a feature."""
        return np.searchsorted(self.cuts[place], values, side="left")


def _leaves(trees: list[Tree], cuts: list[Array]) -> Leaves:
    found: list[list[Array]] = [[], [], [], [], []]
    last = np.array([len(one) for one in cuts])
    for number, tree in enumerate(trees):
        waiting = [(0, np.zeros(len(cuts), np.int64), last.copy(), np.ones(len(cuts), bool))]
        while waiting:
            node, low, high, missing = waiting.pop()
            if tree.left[node] == node:
                parts = (low, high, missing, tree.value[node], np.int64(number))
                for kept, part in zip(found, parts, strict=True):
                    kept.append(part)
                continue
            place = tree.feature[node]
            at = int(np.searchsorted(cuts[place], tree.threshold[node]))
            for child, left in ((tree.left[node], True), (tree.right[node], False)):
                ends = (low.copy(), high.copy())
                if left:
                    ends[1][place] = min(high[place], at)
                else:
                    ends[0][place] = max(low[place], at + 1)
                gap = missing.copy()
                gap[place] &= bool(tree.missing_left[node]) == left
                if ends[0][place] <= ends[1][place] or gap[place]:  # else nobody gets there
                    waiting.append((int(child), *ends, gap))
    return Leaves(*(np.array(part) for part in found))


class Reach(NamedTuple):
    """The cells of one feature that a record can be moved to, ascending.

    Attributes:
        cell: (C,) of the ensemble.
        distance: (C,) of the nearest value in it that may be presented, in units of scale.
        value: (C,) float32, that value.
        own: place of the record's own cell.
    """

    cell: Array
    distance: Array
    value: Array
    own: int


def reach(cuts: Array, x: float, low: float, high: float, step: float, scale: float) -> Reach:
    """The cells that lie between two corners, of a value x that is not missing.

    Args:
        cuts: the thresholds, ascending.
        x: the value as it is recorded, in float32.
        low: the least value that may be presented; on the grid, or x.
        high: the largest.
        step: the grid; 0 = any float32 value.
        scale: the unit of distance.
    """
    if not low < high:
        shown = np.array([x], dtype=np.float32)
        return Reach(np.searchsorted(cuts, shown.astype(np.float64)), np.zeros(1), shown, 0)
    if step > 0:
        ticks = np.arange(round(low / step), round(high / step) + 1) * step
        tick = round(x / step) * step
        true = tick if abs(x - tick) <= TICK_TOLERANCE * step else x
        values = np.append(ticks[np.abs(ticks - true) > TICK_TOLERANCE * step], x)
    else:
        # what float32 makes of a value on the edge may lie beyond it, and counts as on it
        spill = ROUNDING * (abs(x) + max(abs(low), abs(high)))
        values = np.append(_beside(cuts, low - spill, high + spill), x)
        return _nearest(cuts, values, np.maximum(np.abs(values - x) - spill, 0) / scale)
    return _nearest(cuts, values, np.abs(values - true) / scale)


def _nearest(cuts: Array, values: Array, change: Array) -> Reach:
    """Of each cell the value that is nearest; the last one is the patient's own."""
    change[-1] = 0.0
    presented = values.astype(np.float32)
    cell = np.searchsorted(cuts, presented.astype(np.float64), side="left")
    order = np.lexsort((change, cell))
    first = order[np.unique(cell[order], return_index=True)[1]]
    own = int(np.searchsorted(cell[first], cell[-1]))
    return Reach(cell[first], change[first], presented[first], own)


def _beside(cuts: Array, low: float, high: float) -> Array:
    """The float32 values next to each threshold, on both sides."""
    below = cuts.astype(np.float32)
    below = np.where(
        below.astype(np.float64) > cuts, np.nextafter(below, np.float32(-np.inf)), below
    )
    above = np.nextafter(below, np.float32(np.inf))
    values = np.concatenate([below, above]).astype(np.float64)
    return values[(values >= low) & (values <= high)]


def reaches(
    ensemble: Ensemble, x: Tensor, corners: Sequence[Tensor], threat: Threat
) -> list[dict[int, Reach]]:
    """Of each record (P, D) the reach of each feature that is not missing."""
    low, high = (corner.double().numpy() for corner in corners)
    step, scale = threat.step.numpy(), threat.scale.numpy()
    known: dict[tuple[int, float, float, float], Reach] = {}  # many records share a value
    found: list[dict[int, Reach]] = []
    for row, values in enumerate(x.double().numpy()):
        found.append({})
        for place in np.flatnonzero(~np.isnan(values)).tolist():
            asked = (place, values[place], low[row, place], high[row, place])
            if asked not in known:
                known[asked] = reach(ensemble.cuts[place], *asked[1:], step[place], scale[place])
            found[-1][place] = known[asked]
    return found
