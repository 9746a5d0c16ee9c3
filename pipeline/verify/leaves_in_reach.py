"""Records of one ensemble side by side: the cells and the leaves that each can reach.

The search of one record works on few leaves at a time, and most of it would go by between the
operations of NumPy. So records lie beside each other, and their boxes are looked into together.
"""

from typing import NamedTuple

import numpy as np

from pipeline.config import Norm
from pipeline.statistics import Array
from pipeline.verify.cells import Ensemble, Reach


class Asked(NamedTuple):
    """P records as they are searched: F features that can move in any of them, N leaves in all.

    Attributes:
        features: (F,) which they are.
        low: (F, N) int32, the first place among the cells in reach that lies in a leaf; `high`: the
            last.
        value: (N,) what a leaf adds to the margin.
        tree: (N,) whose it is. The leaves of a record lie one after another, those of a tree of it,
            too, the least values first.
        begin: (P + 1,) where the leaves of each record begin.
        start: (P,) margin without any leaf.
        own: (F, P) the place of the record's own cell among those in reach.
        last: (F, P) the last place.
        distance: (F, P, C) of the nearest value in each cell in reach, in units of scale; inf where
            there is no such cell.
        shown: (F, P, C) float32, that value.
        trees: of the ensemble.
        rounding: how near 0 a margin is decided by the model itself.
    """

    features: Array
    low: Array
    high: Array
    value: Array
    tree: Array
    begin: Array
    start: Array
    own: Array
    last: Array
    distance: Array
    shown: Array
    trees: int
    rounding: float

    def inside(self, record: int, low: Array, high: Array) -> Array:
        """The leaves (an index) of a record that a box (F,), (F,) of its cells meets."""
        every = slice(*self.begin[record : record + 2])
        meets = (self.low[:, every] <= high[:, None]) & (self.high[:, every] >= low[:, None])
        leaves: Array = np.flatnonzero(meets.all(0)) + every.start
        return leaves

    def moves(self, record: Array, cells: Array) -> Array:
        """(F, B) how far each value of records (B,) must move to come into cells (F, B)."""
        moves: Array = self.distance[np.arange(len(self.features))[:, None], record, cells]
        return moves

    def distances(self, record: Array, cells: Array, norm: Norm) -> Array:
        """(B,) of the nearest records in cells (F, B)."""
        moves = self.moves(record, cells)
        far: Array
        if norm == "l0":
            far = (cells != self.own[:, record]).sum(0).astype(np.float64)
        elif norm == "linf":
            far = moves.max(0, initial=0.0)
        else:
            far = np.sqrt(np.square(moves).sum(0))
        return far

    def values(self, record: int, cells: Array) -> dict[int, float]:
        """The values that move, by feature, of the nearest record in cells (F,)."""
        moved = np.flatnonzero(cells != self.own[:, record])
        return {
            int(self.features[j]): float(self.shown[j, record, cells[j]]) for j in moved.tolist()
        }


def asked_of(ensemble: Ensemble, x: Array, y: Array, ways: list[dict[int, Reach]]) -> Asked:
    """What is asked of records (P, D) of classes y (P,), each counted from its own class.

    Args:
        ensemble: the ensemble.
        x: float64, NaN = missing.
        y: class indices.
        ways: of each record the reach of each feature that is not missing.
    """
    leaves, sign = ensemble.columns, np.where(y == 1, 1.0, -1.0)
    reached = [_reached(ensemble, ways, place) for place in range(x.shape[1])]
    met = np.ones((len(x), len(leaves.value)), dtype=bool)
    for place, before in enumerate(reached):
        meets = before.take(leaves.low[place], 1) < before.take(leaves.high[place] + 1, 1)
        gap = np.isnan(x[:, place])
        meets[gap] = leaves.missing[place]
        met &= meets
    ill = (y == 1).astype(np.int64)
    for each, order in enumerate(ensemble.ranks):
        met[ill == each] = met[ill == each].take(order, 1)
    record, rank = np.nonzero(met)
    leaf = ensemble.ranks[ill[record], rank]
    moves = [any(len(own[j].cell) > 1 for own in ways if j in own) for j in range(x.shape[1])]
    features = np.flatnonzero(moves)
    low, high = np.zeros((2, len(features), len(leaf)), dtype=np.int32)
    for row, place in enumerate(features.tolist()):
        before = reached[place]
        low[row] = before[record, leaves.low[place][leaf]]
        high[row] = np.maximum(before[record, leaves.high[place][leaf] + 1] - 1, 0)  # 0 of a gap
    return Asked(
        features,
        low,
        high,
        sign[record] * leaves.value[leaf],
        leaves.tree[leaf],
        np.searchsorted(record, np.arange(len(x) + 1)),
        -sign * ensemble.threshold,
        *_places(ways, features),
        ensemble.model.architecture.trees,
        ensemble.rounding,
    )


def _reached(ensemble: Ensemble, ways: list[dict[int, Reach]], place: int) -> Array:
    """(P, cells + 1) int32: how many cells in reach lie before each; none of a missing value."""
    before = np.zeros((len(ways), len(ensemble.cuts[place]) + 2), dtype=np.int32)
    for row, own in enumerate(ways):
        if place in own:
            before[row, own[place].cell + 1] = 1
    return before.cumsum(1, dtype=np.int32)


def _places(ways: list[dict[int, Reach]], features: Array) -> tuple[Array, Array, Array, Array]:
    """`own`, `last`, `distance` and `shown` of `Asked`; a missing value has one cell, its own."""
    shape = len(features), len(ways)
    most = max((len(own[j].cell) for own in ways for j in features.tolist() if j in own), default=1)
    own, last = np.zeros((2, *shape), dtype=np.int32)
    distance, shown = np.full((*shape, most), np.inf), np.zeros((*shape, most), dtype=np.float32)
    distance[:, :, 0] = 0.0
    for row, place in enumerate(features.tolist()):
        for record, each in enumerate(ways):
            if place in each:
                way = each[place]
                cells = len(way.cell)
                own[row, record], last[row, record] = way.own, cells - 1
                distance[row, record, :cells] = way.distance
                shown[row, record, :cells] = way.value
    return own, last, distance, shown
