"""Trees that somebody else wrote down, checked before anything follows their nodes."""

from collections.abc import Mapping

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading.sets import Sides, expanded
from pipeline.models.trees import Tree
from pipeline.statistics import Array

DEEPEST = 4096  # questions on a path
MOST_NODES = 2**25  # of all trees together, each filled up to the largest


def checked_tree(
    feature: Array,
    threshold: Array,
    left: Array,
    right: Array,
    missing_left: Array,
    value: Array,
    leaf: Array,
    *,
    features: int,
    where: str,
    sides: Mapping[int, Sides] | None = None,
) -> Tree:
    """A tree of K nodes, the root first, as `pipeline.models.trees.Tree` has it.

    Args:
        feature: (K,) as `Tree`, whatever it says of a leaf; `threshold`, `left`, `right` likewise.
        threshold: may be +-inf: all values that are not missing go one way.
        left: child.
        right: child.
        missing_left: (K,) bool.
        value: (K,), whatever it says elsewhere than at a leaf.
        leaf: (K,) bool.
        features: D.
        where: file and tree, for the message.
        sides: of nodes that ask for a set of values; their thresholds are not looked at.

    Returns:
        Nodes that the root does not lead to are left out; the order stays where every child
        comes after its parent.

    Raises:
        BadInput: arrays of unequal length, a child or a feature that does not exist, a node that
            two lead to (a cycle among them), a threshold that is NaN, a leaf that is not finite, a
            path too deep.
    """
    parts = {"feature": feature, "threshold": threshold, "left": left, "right": right}
    parts |= {"missing": missing_left, "value": value, "leaf": leaf}
    nodes = len(leaf)
    if not nodes:
        raise BadInput(f"{where}: has no nodes")
    for name, part in parts.items():
        if part.shape != (nodes,):
            raise BadInput(
                f"{where}: {name}: {part.size} entries where there are {nodes} nodes; damaged"
            )
    leaf, inner = leaf.astype(bool), ~leaf.astype(bool)
    if inner.any():
        _check_inner(feature[inner], threshold[inner], left[inner], right[inner], features, where)
    if not np.isfinite(value[leaf]).all():
        raise BadInput(f"{where}: the value of a leaf is not a finite number; damaged")
    own = np.arange(nodes)
    tree = Tree(
        feature=np.where(leaf, 0, feature).astype(np.int64),
        threshold=np.where(leaf, 0.0, threshold).astype(np.float64),
        left=np.where(leaf, own, left).astype(np.int64),
        right=np.where(leaf, own, right).astype(np.int64),
        missing_left=missing_left.astype(bool),
        value=np.where(leaf, value, 0.0).astype(np.float64),
    )
    ordered, place = _in_order(tree, _walked(tree, inner, where), inner)
    kept = {int(place[node]): one for node, one in (sides or {}).items() if place[node] >= 0}
    return expanded(ordered, kept)


def _check_inner(
    feature: Array, threshold: Array, left: Array, right: Array, features: int, where: str
) -> None:
    """Thresholds are numbers, and every feature exists; children are checked on the way."""
    if not ((feature >= 0) & (feature < features)).all():
        raise BadInput(
            f"{where}: a node asks about feature {_outside(feature, features)} of {features}; "
            "damaged"
        )
    if np.isnan(threshold).any():
        raise BadInput(f"{where}: a threshold is NaN; damaged")


def _outside(values: Array, size: int) -> int:
    return int(values[(values < 0) | (values >= size)][0])


def _walked(tree: Tree, inner: Array, where: str) -> Array:
    """The nodes that the root leads to, level by level."""
    nodes = len(inner)
    for children in (tree.left[inner], tree.right[inner]):
        if not ((children >= 0) & (children < nodes)).all():
            raise BadInput(
                f"{where}: a node has the child {_outside(children, nodes)} of {nodes} nodes; "
                "damaged"
            )
    seen, levels, known = np.zeros(nodes, bool), [np.array([0])], 1
    seen[0] = True
    while len(levels[-1]):
        asks = levels[-1][inner[levels[-1]]]
        children = np.concatenate([tree.left[asks], tree.right[asks]])
        seen[children] = True
        known += len(children)
        if np.count_nonzero(seen) < known:
            raise BadInput(f"{where}: two nodes lead to one: no tree; damaged")
        levels.append(children)
        if len(levels) > DEEPEST:
            raise BadInput(f"{where}: deeper than {DEEPEST} questions, which is not read")
    return np.concatenate(levels)


def _in_order(tree: Tree, walked: Array, inner: Array) -> tuple[Tree, Array]:
    """The nodes that are reached, children after their parents; where each stands, -1 = nowhere."""
    own = np.arange(len(inner))
    after = ((tree.left > own) & (tree.right > own))[inner].all()
    if after and len(walked) == len(inner):
        return tree, own
    place = np.full(len(inner), -1)
    place[walked] = np.arange(len(walked))
    kept = Tree(*(part[walked] for part in tree))
    return kept._replace(left=place[kept.left], right=place[kept.right]), place


def check_size(trees: list[Tree], where: str) -> None:
    """Refuses an ensemble that would not fit.

    Raises:
        BadInput: there are no trees, or too many nodes.
    """
    if not trees:
        raise BadInput(f"{where}: has no trees")
    if len(trees) * max(len(tree.value) for tree in trees) > MOST_NODES:
        raise BadInput(f"{where}: more than {MOST_NODES} nodes, which are not read")
