"""What a threshold behind monotone steps is in the record's own units, to the last bit.

The steps themselves are asked, in their own precision: the threshold of a record is the largest
float32 value that they still send to the left, found by bisection over the order of float32, for
all nodes at once.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.models.reading.refusal import NotReadable
from pipeline.models.reading.sets import on_levels
from pipeline.models.trees import Tree
from pipeline.statistics import Array

LAST = 0x7F7FFFFF  # the largest finite float32, counted from 0 in the order of float32
LADDER = 1025  # values on which it is seen whether a column ascends


def value_of(key: Array) -> Array:
    """The float32 that stands so many places above 0, or below, in the order of float32."""
    key = np.asarray(key, dtype=np.int64)
    sign = np.where(key < 0, np.int64(0x80000000), 0)
    return np.asarray((np.abs(key) | sign).astype(np.uint32).view(np.float32))


def in_units(
    trees: Sequence[Tree],
    transform: Callable[[Array], Array],
    source: Array,
    features: int,
    cast: type[Any],
    held: Mapping[int, Array] = MappingProxyType({}),
) -> list[Tree]:
    """Trees that ask about columns of the record, not about what steps made of them.

    Args:
        trees: which ask about F columns behind the steps, `value <= threshold` in their precision.
        transform: the steps: (R, D) float32 records to (R, F).
        source: (F,) which column of the record each comes of.
        features: D.
        cast: what the trees make of a transformed value before they compare it.
        held: of columns that come of one of levels, what each level has become: see `sets`.

    Raises:
        NotReadable: a column neither ascends nor descends.
    """

    def seen(x: Array) -> Array:
        with np.errstate(over="ignore"):  # beyond float32 is inf, and compares as such
            return transform(x).astype(cast).astype(np.float64)

    trees = on_levels(trees, held)
    by_level = [np.isin(tree.feature, list(held)) for tree in trees]
    inner = [
        (tree.left != np.arange(len(tree.left))) & ~known
        for tree, known in zip(trees, by_level, strict=True)
    ]
    asked = np.concatenate(
        [
            np.stack([tree.feature[asks], tree.threshold[asks]], 1)
            for tree, asks in zip(trees, inner, strict=True)
        ]
    )
    pairs, back = np.unique(asked, axis=0, return_inverse=True)
    column, threshold = pairs[:, 0].astype(np.int64), pairs[:, 1]
    trees = [
        tree._replace(feature=np.where(known, source[tree.feature], tree.feature))
        for tree, known in zip(trees, by_level, strict=True)
    ]
    if not len(pairs):
        return trees
    falls = _falling(seen, source, features, held)
    missing = without(seen, source, features)
    found = _bisected(seen, column, threshold, source, features, falls[column])
    result, start = [], 0
    for tree, asks in zip(trees, inner, strict=True):
        mine = back.reshape(-1)[start : start + int(asks.sum())]
        start += len(mine)
        result.append(_moved(tree, asks, found[mine], source, falls, missing))
    return result


def without(seen: Callable[[Array], Array], source: Array, features: int) -> Array:
    """(F,) what is made of a missing value in each column; NaN also where it is refused."""
    gaps = np.full((1, features), np.nan, np.float32)
    try:
        return np.asarray(seen(gaps)[0])
    except ValueError:
        found = np.full(len(source), np.nan)
    for place in np.unique(source):
        gaps = np.where(np.arange(features) == place, np.nan, 0).astype(np.float32)[None]
        with suppress(ValueError):
            found[source == place] = seen(gaps)[0, source == place]
    return found


def tabulated(
    transform: Callable[[Array], Array], source: Array, features: int, levels: Mapping[int, Any]
) -> dict[int, Array]:
    """Of each column that comes of one of levels what is made of each, and of a missing one.

    Args:
        transform: the steps: (R, D) float32 records to (R, F).
        source: (F,) which column of the record each comes of.
        features: D.
        levels: of the record's columns, K of each.

    Returns:
        (K + 1,) float64; NaN = it is missing behind the steps, too, or refused.

    Raises:
        NotReadable: the steps refuse a level.
    """
    places = [place for place in levels if place in source]
    if not places:
        return {}
    most = max(len(levels[place]) for place in places)
    x = np.zeros((most, features), np.float32)
    for place in places:
        x[:, place] = np.minimum(np.arange(most), len(levels[place]) - 1)
    try:
        made = transform(x).astype(np.float64)
    except ValueError as error:
        raise NotReadable(f"a step refuses a level ({' '.join(str(error).split())})") from error
    gone = without(lambda one: transform(one).astype(np.float64), source, features)
    return {
        column: np.append(made[: len(levels[place]), column], gone[column])
        for column, place in enumerate(source.tolist())
        if place in levels
    }


def _falling(
    seen: Callable[[Array], Array], source: Array, features: int, held: Mapping[int, Array]
) -> Array:
    """(F,) bool, whether a column descends where the record's ascends; not of levels."""
    ladder = value_of(np.linspace(-LAST, LAST, LADDER).astype(np.int64))
    ladder = np.unique(np.concatenate([ladder, np.linspace(-1000, 1000, LADDER, dtype=np.float32)]))
    out = seen(np.repeat(ladder[:, None], features, 1))
    up = np.asarray((out[1:] >= out[:-1]).all(0))
    down = (out[1:] <= out[:-1]).all(0)
    up[list(held)] = True
    for place in np.flatnonzero(~(up | down)):
        raise NotReadable(
            f"column {int(source[place])}: what the steps make of it neither ascends nor descends"
        )
    return np.asarray(~up)


def _bisected(
    seen: Callable[[Array], Array],
    column: Array,
    threshold: Array,
    source: Array,
    features: int,
    falls: Array,
) -> Array:
    """(Q,) float64: up to which value of the record a question is answered as of -infinity."""
    raw = source[column]
    order = np.argsort(raw, kind="stable")
    starts = np.searchsorted(raw[order], np.arange(features))
    row = np.empty(len(raw), dtype=np.int64)
    row[order] = np.arange(len(raw)) - starts[raw[order]]
    low, high = np.full(len(raw), -LAST - 1), np.full(len(raw), LAST + 1)
    x = np.zeros((int(row.max()) + 1, features), dtype=np.float32)
    while (high - low > 1).any():
        middle = np.clip((low + high) // 2, -LAST, LAST)
        x[row, raw] = value_of(middle)
        first = (seen(x)[row, column] <= threshold) != falls
        low, high = np.where(first, middle, low), np.where(first, high, middle)
    found = value_of(np.clip(low, -LAST, LAST)).astype(np.float64)
    # as scikit-learn says where all that is measured goes one way
    return np.where(low < -LAST, -np.inf, np.where(low >= LAST, np.inf, found))


def _moved(
    tree: Tree, asks: Array, threshold: Array, source: Array, falls: Array, missing: Array
) -> Tree:
    """A tree with thresholds of the record, children swapped where a column descends."""
    feature, turned = tree.feature[asks], falls[tree.feature[asks]]
    stands = missing[feature]
    gap_left = np.where(np.isnan(stands), tree.missing_left[asks], stands <= tree.threshold[asks])
    result = Tree(*(part.copy() for part in tree))
    result.feature[asks] = source[feature]
    result.threshold[asks] = threshold
    result.left[asks] = np.where(turned, tree.right[asks], tree.left[asks])
    result.right[asks] = np.where(turned, tree.left[asks], tree.right[asks])
    result.missing_left[asks] = gap_left != turned
    return result
