"""The search among the cells that one record can reach: what changes an ensemble's answer.

A box of cells is bounded by the sum of the least value that each tree has among its leaves in the
box. What cannot be proved is halved where that raises the bounds most, and those are looked into
first that are bounded lowest. Whether anything within a radius changes the answer is asked of
smaller and smaller gaps between what is proved and what is found.
"""

import heapq
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pipeline.config import Norm
from pipeline.statistics import Array
from pipeline.verify.cells import Reach
from pipeline.verify.nearest import RESOLUTION, SAME_RADIUS

FOLLOWED = 16  # trees whose worst leaves a guess goes for
Box = tuple[Array, Array]  # the first and the last place of each feature among its cells in reach


class Asked(NamedTuple):
    """One record as it is searched: F features that can move, and the L leaves in reach.

    Attributes:
        features: (F,) which they are.
        ways: of each the cells in reach.
        low: (L, F) the first place among those cells that lies in a leaf; `high`: the last.
        value: (L,) what a leaf adds to the margin.
        tree: (L,) whose it is.
        start: margin without any leaf.
        own: (F,) the place of the record's own cell among those in reach.
        rounding: how near 0 a margin is decided by the model itself.
    """

    features: Array
    ways: list[Reach]
    low: Array
    high: Array
    value: Array
    tree: Array
    start: float
    own: Array
    rounding: float

    def inside(self, leaves: Array, low: Array, high: Array) -> Array:
        """Those of the leaves (an index) that a box meets."""
        meets = (self.low[leaves] <= high) & (self.high[leaves] >= low)
        return leaves[meets.all(1)]

    def margin(self, at: Array) -> float:
        """That of a record in these leaves (an index), one of each tree."""
        return self.start + float(self.value[at].sum())

    def bound(self, inside: Array) -> float:
        """The least margin that leaves (an index) leave possible, each tree by itself."""
        least = np.full(int(self.tree[-1]) + 1, np.inf)
        np.minimum.at(least, self.tree[inside], self.value[inside])
        return self.start + float(least.sum())

    def guess(self, inside: Array, low: Array, high: Array) -> Array:
        """Cells in the worst leaf of each tree in turn, as far as these have cells in common.

        The trees that have the most to lose come first, and a few of them are enough; of what they
        have in common the nearest.
        """
        order = inside[np.lexsort((self.value[inside], self.tree[inside]))]
        first = np.unique(self.tree[order], return_index=True)[1]
        last = np.append(first[1:], len(order)) - 1
        worst = order[first]
        gain = self.value[order[last]] - self.value[worst]
        for leaf in worst[np.argsort(-gain, kind="stable")[:FOLLOWED]]:
            below, above = np.maximum(low, self.low[leaf]), np.minimum(high, self.high[leaf])
            if (below <= above).all():
                low, high = below, above
        return np.clip(self.own, low, high)

    def lowered(self, inside: Array, cells: Array, low: Array, high: Array) -> Array:
        """Cells from which no other cell of one feature alone leads to a lower margin.

        Args:
            inside: leaves (an index) that the box meets.
            cells: (F,) where to begin.
            low: (F,) the first cells of the box.
            high: (F,) the last ones.
        """
        cells, best = cells.copy(), np.inf
        first, last, value = self.low[inside], self.high[inside], self.value[inside]
        holds = (first <= cells) & (cells <= last)
        while True:
            before = best
            for j in np.flatnonzero(low < high).tolist():
                others = holds.copy()
                others[:, j] = True
                met = others.all(1)
                begins = np.maximum(first[met, j], low[j]) - low[j]
                ends = np.minimum(last[met, j], high[j]) - low[j] + 1
                size = int(high[j] - low[j]) + 2
                steps = np.bincount(begins, value[met], size) - np.bincount(ends, value[met], size)
                margins = self.start + steps.cumsum()[:-1]
                at = int(margins.argmin())
                if margins[at] < best - self.rounding:
                    best, cells[j] = float(margins[at]), low[j] + at
                    holds[:, j] = (first[:, j] <= cells[j]) & (cells[j] <= last[:, j])
            if best >= before:
                return cells


class Found(NamedTuple):
    """What is known of one record: as `Nearest`, and the values that change the answer."""

    proved: float
    breaks: float
    boxes: int
    values: dict[int, float]


class Spent(Exception):
    """No box is left to open."""


def searched(
    asked: Asked, norm: Norm, largest: float, budget: int, turns: Callable[[dict[int, float]], bool]
) -> Found:
    """The nearest record of which the model says that it changes the answer.

    Under l0 subset after subset of the measurements may take any value; under the other norms the
    radius is halved between what is proved and what is found, to the last value that there is under
    linf, to `RESOLUTION` under l2.

    Args:
        asked: about which record.
        norm: of the distance.
        largest: distance up to which to look.
        budget: boxes.
        turns: whether values of some features, the others as they are, change the answer.
    """
    search = _Search(asked, norm, budget, turns)
    if norm == "l0":
        return search.by_subsets(int(largest))
    return search.by_radius(largest)


def turned(
    asked: Asked, norm: Norm, reach: float, budget: int, turns: Callable[[dict[int, float]], bool]
) -> Found:
    """Whether a record within reach changes the answer, not the nearest one; args as `searched`.

    Under linf or l2. `proved` is `reach` where none does, `breaks` the distance of one that does.
    """
    search = _Search(asked, norm, budget, turns)
    try:
        cells = search.first_broken(search.box(reach), reach)
    except Spent:
        return Found(0.0, np.inf, search.opened, {})
    if cells is None:
        return Found(reach, np.inf, search.opened, {})
    return Found(0.0, search.distance(cells), search.opened, search.values(cells))


class _Search:
    """The search for one record: boxes that were opened, and what `turns` is asked about."""

    def __init__(
        self, asked: Asked, norm: Norm, budget: int, turns: Callable[[dict[int, float]], bool]
    ) -> None:
        self.asked, self.norm, self.budget, self.turns = asked, norm, budget, turns
        self.opened = 0
        self.own = asked.own

    def by_radius(self, largest: float) -> Found:
        """The nearest under linf or l2."""
        steps = self.radii(largest)
        breaks, values, spent = np.inf, dict[int, float](), False
        below, at, above = 0, len(steps) - 1, len(steps)  # nothing breaks within steps[below]
        try:
            while below < at < above:
                cells = self.first_broken(self.box(steps[at]), steps[at])
                if cells is None:
                    below = at
                else:
                    breaks, values = self.distance(cells), self.values(cells)
                    above = min(at, int(np.searchsorted(steps, breaks * (1 - SAME_RADIUS))))
                at = (below + above) // 2
        except Spent:
            spent = True
        if not spent and (self.norm == "linf" or breaks == np.inf):
            return Found(breaks, breaks, self.opened, values)
        # between two steps nothing happens under linf
        proved = float(steps[min(below + (self.norm == "linf"), len(steps) - 1)])
        return Found(min(proved, breaks), breaks, self.opened, values)

    def radii(self, largest: float) -> Array:
        """The distances at which something can happen, ascending from 0."""
        if self.norm == "l2":
            return np.linspace(0, largest, max(1, round(largest / RESOLUTION)) + 1)
        each = [way.distance for way in self.asked.ways]
        every = np.unique(np.concatenate([np.zeros(1), *each]))
        return every[every <= largest * (1 + SAME_RADIUS)]

    def by_subsets(self, most: int) -> Found:
        """The fewest values under l0."""
        count = 0
        try:
            for count in range(1, min(most, len(self.own)) + 1):
                for chosen in combinations(range(len(self.own)), count):
                    low, high = self.own.copy(), self.own.copy()
                    for j in chosen:
                        low[j], high[j] = 0, len(self.asked.ways[j].cell) - 1
                    cells = self.first_broken((low, high), count)
                    if cells is not None:
                        return Found(count, count, self.opened, self.values(cells))
        except Spent:
            return Found(count, np.inf, self.opened, {})
        return Found(np.inf, np.inf, self.opened, {})

    def box(self, radius: float) -> Box:
        """The cells of each feature that lie within a radius, each by itself."""
        ends = [
            np.flatnonzero(way.distance <= radius * (1 + SAME_RADIUS)) for way in self.asked.ways
        ]
        low, high = (np.array([one[place] for one in ends], dtype=np.int64) for place in (0, -1))
        return low, high

    def distance(self, cells: Array) -> float:
        """Of the nearest record in a cell of each feature."""
        if self.norm == "l0":
            return float((cells != self.own).sum())
        each = zip(self.asked.ways, cells, strict=True)
        moves = np.array([way.distance[cell] for way, cell in each])
        if not len(moves):
            return 0.0
        return float(moves.max() if self.norm == "linf" else np.sqrt(np.square(moves).sum()))

    def values(self, cells: Array) -> dict[int, float]:
        """The values that move, by feature."""
        each = zip(self.asked.features, self.asked.ways, cells, strict=True)
        return {int(place): float(way.value[cell]) for place, way, cell in each if cell != way.own}

    def first_broken(self, box: Box, radius: float) -> Array | None:
        """Cells within a radius at which the answer changes; None = proved that there are none.

        Raises:
            Spent: the budget is.
        """
        within = radius * (1 + SAME_RADIUS)
        waiting = [(0.0, 0, *box, np.arange(len(self.asked.value)))]
        count = 0
        while waiting:
            _, _, low, high, leaves = heapq.heappop(waiting)
            if self.opened >= self.budget:
                raise Spent
            self.opened += 1
            inside = self.asked.inside(leaves, low, high)
            if self.asked.bound(inside) > self.asked.rounding:
                continue
            guess = self.asked.guess(inside, low, high)
            lowered = self.asked.lowered(inside, guess, low, high)
            for cells in (guess, lowered, np.clip(self.own, low, high)):
                if self.distance(cells) <= within and self.breaks(inside, cells):
                    return cells
            for least, part in halves(self.asked, inside, low, high):
                nearest = np.clip(self.own, *part)
                if least <= self.asked.rounding and self.distance(nearest) <= within:
                    count += 1
                    heapq.heappush(waiting, (least, count, *part, inside))
        return None

    def breaks(self, inside: Array, cells: Array) -> bool:
        """Whether the answer changes at cells; where rounding could decide, the model says so."""
        margin = self.asked.margin(self.asked.inside(inside, cells, cells))
        if abs(margin) <= self.asked.rounding:
            return self.turns(self.values(cells))
        return margin < 0


def halves(asked: Asked, inside: Array, low: Array, high: Array) -> list[tuple[float, Box]]:
    """Both parts of a box and their bounds, cut where these are raised most.

    None of cells alone.
    """
    best, chosen = -np.inf, None
    several = np.bincount(asked.tree[inside])[asked.tree[inside]] > 1
    start = asked.start + float(asked.value[inside[~several]].sum())  # of trees that say one thing
    inside = inside[several]
    tree, value = np.unique(asked.tree[inside], return_inverse=True)[1], asked.value[inside]
    trees = int(tree[-1]) + 1 if len(tree) else 0
    for j in np.flatnonzero(low < high).tolist():
        cells = int(high[j] - low[j]) + 1
        begins = np.maximum(asked.low[inside, j], low[j]) - low[j]
        ends = np.minimum(asked.high[inside, j], high[j]) - low[j]
        up, down = np.full((2, trees, cells), np.inf)
        np.minimum.at(up, (tree, begins), value)
        np.minimum.at(down, (tree, ends), value)
        left = start + np.minimum.accumulate(up, 1).sum(0)[:-1]
        right = start + np.minimum.accumulate(down[:, ::-1], 1).sum(0)[::-1][1:]
        raised = np.minimum(left, asked.rounding) + np.minimum(right, asked.rounding)
        at = int(raised.argmax())
        if raised[at] > best:
            best = float(raised[at])
            chosen = (j, int(low[j]) + at, float(left[at]), float(right[at]))
    if chosen is None:
        return []
    j, at, lower, upper = chosen
    below, beyond = high.copy(), low.copy()
    below[j], beyond[j] = at, at + 1
    return [(lower, (low, below)), (upper, (beyond, high))]


def lowest(asked: Asked, budget: int) -> float:
    """What the margin is at least in reach, as closely as so many boxes tell."""
    everything = np.arange(len(asked.value))
    last = np.array([len(way.cell) - 1 for way in asked.ways], dtype=np.int64)
    waiting = [(asked.bound(everything), 0, np.zeros_like(last), last, everything)]
    found, count = np.inf, 0
    for _ in range(budget):
        bound, _, low, high, leaves = waiting[0]
        inside = asked.inside(leaves, low, high)
        cells = asked.guess(inside, low, high)
        found = min(found, asked.margin(asked.inside(inside, cells, cells)))
        parts = halves(asked, inside, low, high)
        if bound >= found - asked.rounding or not parts:
            break
        heapq.heappop(waiting)
        for least, part in parts:
            count += 1
            heapq.heappush(waiting, (max(least, bound), count, *part, inside))
    return waiting[0][0]
