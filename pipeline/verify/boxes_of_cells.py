"""Boxes of cells of many records, looked into together: bounds, records to try, and halves.

A box is bounded by the sum of the least value that each tree has among its leaves in the box. What
cannot be proved is halved where that raises the bounds most, of all cuts of all values.
"""

from typing import NamedTuple

import numpy as np

from pipeline.config import Norm
from pipeline.statistics import Array
from pipeline.verify.leaves_in_reach import Asked
from pipeline.verify.nearest import SAME_RADIUS

FOLLOWED = 16  # trees whose worst leaves a guess goes for


class Box(NamedTuple):
    """A box of one record.

    Attributes:
        record: whose.
        low: (F,) the first place of each feature among its cells in reach; `high`: the last.
        leaves: the leaves (an index) that it meets, in order.
    """

    record: int
    low: Array
    high: Array
    leaves: Array


class Opened(NamedTuple):
    """What is known of a box that was looked into.

    Attributes:
        bound: the least margin that its leaves leave possible, each tree by itself.
        tried: margins of the records that were tried, and the cells (F,) of each.
        parts: bounds of both halves, and these; none of one cell alone, nor where a record that was
            tried is within reach and wrong beyond rounding.
    """

    bound: float
    tried: list[tuple[float, Array]]
    parts: list[tuple[float, Box]]


class Boxes(NamedTuple):
    """B boxes side by side, with N leaves in all; features come first.

    Attributes:
        record: (B,) whose.
        low: (F, B) as of `Box`; `high` likewise.
        leaf: (N,) the leaves, those of a box one after another.
        box: (N,) in which.
        begin: (B * T + 1,) where the leaves of each tree in each box begin, the least value first;
            none has no leaf: a box holds a record, and a leaf holds it.
        tree: (N,) int64, number of a tree in a box, of B * T.
        first: (F, N) int32 place of each leaf; `last` likewise.
        value: (N,) what a leaf adds.
        start: (B,) margin without any leaf.
        own: (F, B) cells of the records themselves.
    """

    record: Array
    low: Array
    high: Array
    leaf: Array
    box: Array
    begin: Array
    tree: Array
    first: Array
    last: Array
    value: Array
    start: Array
    own: Array

    @classmethod
    def of(cls, asked: Asked, boxes: list[Box]) -> "Boxes":
        """Boxes side by side."""
        record = np.array([one.record for one in boxes])
        leaf = np.concatenate([one.leaves for one in boxes])
        box = np.repeat(np.arange(len(boxes)), [len(one.leaves) for one in boxes])
        tree = box * asked.trees + asked.tree.take(leaf)
        return cls(
            record,
            np.stack([one.low for one in boxes], 1),
            np.stack([one.high for one in boxes], 1),
            leaf,
            box,
            np.flatnonzero(np.diff(tree, prepend=-1, append=-1)),
            tree,
            asked.low.take(leaf, 1),
            asked.high.take(leaf, 1),
            asked.value.take(leaf),
            asked.start[record],
            asked.own[:, record],
        )

    @property
    def least(self) -> Array:
        """(B, T) the least value of each tree."""
        return self.value.take(self.begin[:-1]).reshape(len(self.record), -1)

    def holds(self, cells: Array) -> Array:
        """(F, N) whether a leaf holds the cells (F, B) of its box."""
        own = cells.take(self.box, 1)
        return (self.first <= own) & (self.last >= own)

    def margins(self, cells: Array) -> Array:
        """(B,) margins of cells (F, B)."""
        at = np.flatnonzero(self.holds(cells).all(0))
        return self.start + np.bincount(self.box[at], self.value[at], len(self.start))


def opened(asked: Asked, boxes: list[Box], norm: Norm, within: Array, level: Array) -> list[Opened]:
    """Looks into boxes: whether they are proved, else at some of their records, else at halves.

    Args:
        asked: about which records.
        boxes: B boxes.
        norm: of the distance.
        within: (B,) how far records may lie.
        level: (B,) the margin above which nothing is looked for.
    """
    there = Boxes.of(asked, boxes)
    bound = there.start + there.least.sum(1)
    found = [Opened(least, [], []) for least in bound.tolist()]
    left = np.flatnonzero(bound <= level)
    if not len(left):
        return found
    if len(left) < len(boxes):  # the others are proved
        there, within = Boxes.of(asked, [boxes[one] for one in left]), within[left]
    guess = guessed(there)
    least, margin = lowered(there, guess, asked.rounding)
    nearest = np.clip(there.own, there.low, there.high)
    every = [(there.margins(one), one) for one in (nearest, guess)]
    right = np.ones(len(left), dtype=bool)
    for margins, cells in [*every, (margin, least)]:
        far = asked.distances(there.record, cells, norm) > within
        right &= (margins >= -asked.rounding) | far
        for one, said, own in zip(left.tolist(), margins.tolist(), cells.T, strict=True):
            found[one].tried.append((said, own))
    left = left[right]
    if len(left):
        if not right.all():
            there = Boxes.of(asked, [boxes[one] for one in left])
        for one, parts in zip(left.tolist(), halves(there, level[left]), strict=True):
            found[one].parts.extend(parts)
    return found


def guessed(boxes: Boxes) -> Array:
    """(F, B) cells in the worst leaf of each tree in turn, as far as these have cells in common.

    The trees that have the most to lose come first, and a few of them are enough; of what they have
    in common the nearest.
    """
    worst = boxes.begin[:-1].reshape(len(boxes.record), -1)
    best = boxes.begin[1:].reshape(worst.shape) - 1
    gain = boxes.value.take(best) - boxes.value.take(worst)
    order = np.argsort(-gain, axis=1, kind="stable")[:, :FOLLOWED]
    low, high = boxes.low, boxes.high
    for leaf in np.take_along_axis(worst, order, 1).T:
        below = np.maximum(low, boxes.first.take(leaf, 1))
        above = np.minimum(high, boxes.last.take(leaf, 1))
        common = (below <= above).all(0)
        low, high = np.where(common, below, low), np.where(common, above, high)
    return np.clip(boxes.own, low, high)


def lowered(boxes: Boxes, cells: Array, rounding: float) -> tuple[Array, Array]:
    """Cells from which no other cell of one feature alone leads to a lower margin.

    Args:
        boxes: in which.
        cells: (F, B) where to begin.
        rounding: what a margin must win.

    Returns:
        (F, B) the cells, and (B,) their margins.
    """
    features, count = cells.shape
    cells, every = cells.copy(), np.arange(count)
    holds = boxes.holds(cells)
    hit = np.flatnonzero(holds.all(0))
    best = boxes.start + np.bincount(boxes.box.take(hit), boxes.value.take(hit), count)
    width = boxes.high - boxes.low + 1
    size = int(width.max(initial=1)) + 1
    outside = np.arange(size) >= width[:, :, None]
    begins = np.maximum(boxes.first - boxes.low.take(boxes.box, 1), 0)
    ends = np.minimum(boxes.last - boxes.low.take(boxes.box, 1) + 1, width.take(boxes.box, 1))
    row = (np.arange(features)[:, None] * count + boxes.box) * size  # of a feature in a box
    begins, ends = (one + row for one in (begins, ends))
    while features:
        met = np.flatnonzero(np.add.reduce(~holds, axis=0, dtype=np.int16) == ~holds)  # the others
        value = np.tile(boxes.value, features).take(met)
        steps = np.bincount(begins.ravel().take(met), value, features * count * size)
        steps -= np.bincount(ends.ravel().take(met), value, features * count * size)
        margins = steps.reshape(features, count, size).cumsum(2) + boxes.start[:, None]
        margins[outside] = np.inf
        each = margins.transpose(1, 0, 2).reshape(count, -1)
        feature, at = np.divmod(each.argmin(1), size)
        least = margins[feature, every, at]
        lower = np.flatnonzero(least < best - rounding)
        if not len(lower):
            break
        best[lower] = least[lower]
        cells[feature[lower], lower] = (boxes.low[feature, every] + at)[lower]
        holds = boxes.holds(cells)
    return cells, best


class _Cut(NamedTuple):
    """The cut of each of B boxes: value, feature, the last place below it, bounds of both sides."""

    raised: Array
    feature: Array
    place: Array
    below: Array
    beyond: Array


def halves(boxes: Boxes, level: Array) -> list[list[tuple[float, Box]]]:
    """Both parts of each box and their bounds, cut where these are raised most.

    Those alone that are bounded at most by a level (B,), and none of one cell alone.
    """
    cut = _cut(boxes, level)
    parts: list[list[tuple[float, Box]]] = [[] for _ in cut.raised]
    at = (cut.feature.take(boxes.box), np.arange(len(boxes.box)))
    place = cut.place.take(boxes.box)
    for bounds, meets, side in (
        (cut.below, boxes.first[at] <= place, 1),
        (cut.beyond, boxes.last[at] > place, 0),
    ):
        chosen = np.flatnonzero(meets)
        leaves = boxes.leaf.take(chosen)
        ends = np.searchsorted(boxes.box.take(chosen), np.arange(len(parts) + 1)).tolist()
        for number in np.flatnonzero((cut.raised > -np.inf) & (bounds <= level)).tolist():
            low, high = boxes.low[:, number], boxes.high[:, number]
            feature, last = int(cut.feature[number]), int(cut.place[number])
            if side:
                high = high.copy()
                high[feature] = last
            else:
                low = low.copy()
                low[feature] = last + 1
            own = leaves[ends[number] : ends[number + 1]]
            parts[number].append(
                (float(bounds[number]), Box(int(boxes.record[number]), low, high, own))
            )
    return parts


def _cut(boxes: Boxes, level: Array) -> _Cut:
    """Where to cut; `raised` is -inf of cells alone."""
    features, count = boxes.low.shape
    several = np.diff(boxes.begin) > 1  # the others say the same on both sides
    start = boxes.start + np.where(several.reshape(count, -1), 0.0, boxes.least).sum(1)
    kept = np.flatnonzero(several.take(boxes.tree))
    box, tree, value = (one.take(kept) for one in (boxes.box, boxes.tree, boxes.value))
    width = boxes.high - boxes.low + 1
    size = int(width.max(initial=1))
    begins = np.maximum(boxes.first.take(kept, 1) - boxes.low.take(box, 1), 0)
    ends = np.maximum(boxes.high.take(box, 1) - boxes.last.take(kept, 1), 0)
    bounds = _bounds(np.concatenate([begins, ends]), box, tree, value, (count, size))
    bounds = bounds + start[:, None]  # of no leaves whole numbers
    below, down, places = bounds[:features, :, :-1], bounds[features:], np.arange(size - 1)
    beyond = np.take_along_axis(down, np.maximum(width[:, :, None] - 2 - places, 0), 2)
    raised = np.minimum(below, level[:, None]) + np.minimum(beyond, level[:, None])
    raised[places >= width[:, :, None] - 1] = -np.inf
    each = raised.transpose(1, 0, 2).reshape(count, -1)
    if not each.shape[1]:
        return _Cut(np.full(count, -np.inf), *np.zeros((4, count), np.int64))
    feature, at = np.divmod(each.argmax(1), size - 1)
    where = (feature, np.arange(count), at)
    low = boxes.low[feature, where[1]]
    return _Cut(raised[where], feature, low + at, below[where], beyond[where])


def _bounds(at: Array, box: Array, tree: Array, value: Array, shape: tuple[int, int]) -> Array:
    """(K, B, cells) of each box and place the sum over the trees of the least leaves up to there.

    Args:
        at: (K, N) place from which on each leaf counts, from 0, in K ways; the least values of a
            tree first, the trees one after another.
        box: (N,) whose it is.
        tree: (N,) likewise, as of `Boxes`.
        value: (N,) what it says.
        shape: boxes and cells.
    """
    ways, (count, size) = np.arange(len(at))[:, None], shape
    # of a tree only leaves count that begin before all that say less: a number for each tree and
    # way that is below all numbers before it, so that the least one begins anew
    trees = int(tree[-1]) + 1 if len(tree) else 0
    far = np.minimum.accumulate((at - (tree + ways * trees) * size).ravel())
    new = np.ones(len(far), dtype=bool)
    np.not_equal(far[1:], far[:-1], out=new[1:])
    first = np.flatnonzero(new)
    less = np.tile(value, len(at)).take(first)
    whose = (tree + ways * trees).ravel().take(first)
    same = np.flatnonzero(whose[1:] == whose[:-1])
    less[same] -= less[same + 1]  # until here the next one was the least
    place = ((ways * count + box) * size + at).ravel().take(first)
    return np.bincount(place, less, len(at) * count * size).reshape(-1, *shape).cumsum(2)


# ---- what needs no halves ----


def proved_at_once(asked: Asked, steps: list[Array]) -> Array:
    """(P,) which of ascending distances is the last within which the bound of a ball proves all.

    Under linf. The first of them, 0, needs no proof.
    """
    record = np.repeat(np.arange(len(steps)), np.diff(asked.begin))
    nearest = np.clip(asked.own.take(record, 1), asked.low, asked.high)
    far = asked.moves(record, nearest).max(0, initial=0.0)
    tree = record * asked.trees + asked.tree
    begin = np.flatnonzero(np.diff(tree, prepend=-1))
    size = np.array([len(one) for one in steps])
    radius = np.full((len(steps), size.max()), np.inf)
    for row, one in enumerate(steps):
        radius[row, : len(one)] = one * (1 + SAME_RADIUS)
    below, above = np.zeros_like(size), size
    while (below + 1 < above).any():
        at = (below + above) // 2
        reached = far <= radius[np.arange(len(at)), at].take(record)
        least = np.minimum.reduceat(np.where(reached, asked.value, np.inf), begin)
        proved = asked.start + least.reshape(len(at), -1).sum(1) > asked.rounding
        below, above = np.where(proved, at, below), np.where(proved, above, at)
    return below


def drawn_in(asked: Asked, record: int, cells: Array) -> Array:
    """The nearest cells with a wrong answer on the way from cells (F,) back to a record.

    All values come back together, each as far as it lies beyond a distance under linf. Where
    rounding could decide of all of them, the cells themselves.
    """
    every = slice(*asked.begin[record : record + 2])
    moves, feature = asked.distance[:, record], np.arange(len(cells))[:, None]
    own, there = asked.own[:, record, None], cells[:, None]
    side = np.where(there >= own, 1, -1)
    near = np.where(side > 0, asked.low[:, every], asked.high[:, every])  # where a leaf begins
    off = np.where(side > 0, asked.high[:, every], asked.low[:, every])  # and where it ends
    met = ((side * near <= side * there) & (side * off >= side * own)).all(0)
    near, off = near[:, met], off[:, met]
    ahead, ends = side * near > side * own, side * off < side * there
    enters = np.where(ahead, moves[feature, near], 0.0).max(0, initial=0.0)
    beyond = np.where(ends, off + side, off)
    leaves = np.where(ends, moves[feature, beyond], np.inf).min(0, initial=np.inf)
    last = float(asked.distances(np.array([record]), there, "linf")[0])
    radii = np.unique(np.concatenate([enters, leaves]))
    radii = radii[radii <= last]
    value = asked.value[every][met]
    come, gone = (
        _sums(at[enters < leaves], value[enters < leaves], radii) for at in (enters, leaves)
    )
    wrong = np.flatnonzero(asked.start[record] + come - gone < -asked.rounding)
    if not len(wrong):
        return cells
    close = moves <= radii[wrong[0]]
    return np.clip(cells, close.argmax(1), close.shape[1] - 1 - close[:, ::-1].argmax(1))


def _sums(at: Array, value: Array, radii: Array) -> Array:
    """Of each radius the sum of the values at most as far off."""
    order = np.argsort(at)
    sums = np.append(0.0, np.cumsum(value[order]))
    return sums[np.searchsorted(at[order], radii, side="right")]
