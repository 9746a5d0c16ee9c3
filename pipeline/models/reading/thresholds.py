"""What a threshold behind monotone steps is in the record's own units, to the last bit.

The steps themselves are asked, in their own precision: the threshold of a record is the largest
float32 value that they still send to the left, found by bisection over the order of float32, for
all nodes at once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.models.reading.refusal import NotReadable
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
) -> list[Tree]:
    """Trees that ask about columns of the record, not about what steps made of them.

    Args:
        trees: which ask about F columns behind the steps, `value <= threshold` in their precision.
        transform: the steps: (R, D) float32 records to (R, F).
        source: (F,) which column of the record each comes of.
        features: D.
        cast: what the trees make of a transformed value before they compare it.

    Raises:
        NotReadable: a column neither ascends nor descends.
    """

    def seen(x: Array) -> Array:
        with np.errstate(over="ignore"):  # beyond float32 is inf, and compares as such
            return transform(x).astype(cast).astype(np.float64)

    inner = [tree.left != np.arange(len(tree.left)) for tree in trees]
    asked = np.concatenate(
        [
            np.stack([tree.feature[asks], tree.threshold[asks]], 1)
            for tree, asks in zip(trees, inner, strict=True)
        ]
    )
    pairs, back = np.unique(asked, axis=0, return_inverse=True)
    column, threshold = pairs[:, 0].astype(np.int64), pairs[:, 1]
    if not len(pairs):
        return list(trees)
    falls = _falling(seen, source, features)
    missing = seen(np.full((1, features), np.nan, np.float32))[0]
    found = _bisected(seen, column, threshold, source, features, falls[column])
    result, start = [], 0
    for tree, asks in zip(trees, inner, strict=True):
        mine = back.reshape(-1)[start : start + int(asks.sum())]
        start += len(mine)
        result.append(_moved(tree, asks, found[mine], source, falls, missing))
    return result


def _falling(seen: Callable[[Array], Array], source: Array, features: int) -> Array:
    """(F,) bool, whether a column descends where the record's ascends."""
    ladder = value_of(np.linspace(-LAST, LAST, LADDER).astype(np.int64))
    ladder = np.unique(np.concatenate([ladder, np.linspace(-1000, 1000, LADDER, dtype=np.float32)]))
    out = seen(np.repeat(ladder[:, None], features, 1))
    up = (out[1:] >= out[:-1]).all(0)
    down = (out[1:] <= out[:-1]).all(0)
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
