"""Tree ensembles as one population, saved without pickle; `reading` reads them from libraries.

An ensemble is kept as arrays of nodes. A value goes left where it is at most the node's threshold,
a missing one where the node says. What the leaves say is added up: log-odds of boosting, or the
mean probability of a forest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from pipeline.models.stacked import Stacked
from pipeline.statistics import Array

KIND = "trees"
Link = Literal["log_odds", "probability"]
# what a probability is taken for at least, and one minus it at most: log-odds stay finite
LEAST_CHANCE = 1e-6
WALKED_AT_ONCE = 2**17  # paths of records through trees, as many as caches hold


class Tree(NamedTuple):
    """One tree as arrays over its K nodes, the root first; a leaf is its own child.

    Where a split asks for a set of values several nodes ask, and lead to the same children.

    Attributes:
        feature: (K,) that is asked about.
        threshold: (K,) float64; a value at most as large goes left.
        left: (K,) child; `right` likewise.
        missing_left: (K,) bool, where a missing value goes.
        value: (K,) float64, what a leaf says; 0 elsewhere.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    value: Array


@dataclass(frozen=True)
class TreeEnsemble:
    """The shape of an ensemble.

    Attributes:
        name: of the recipe that grew it.
        features: D.
        trees: of each member.
        depth: of the deepest one.
        link: what the sum over the trees is.
    """

    name: str
    features: int
    trees: int
    depth: int
    link: Link


@dataclass(frozen=True)
class Trees(Stacked):
    """M ensembles of trees: a `Population` of scores, whose structure the verifier reads.

    Attributes:
        architecture: the common shape.
        preprocessing: empty; trees take records as they are.
        parameters: `feature`, `threshold`, `left`, `right`, `missing_left`, `value`, each (M, T, K)
            as in `Tree`, filled up with leaves; and `base` (M,), what a sum begins with.
        labels: a readable name of each member.
        facts: what the recipe says of itself, JSON-able.
        cut: (M,) float64, log-odds from which on a member calls ill.
    """

    kind: ClassVar[dict[str, str]] = {"kind": KIND}
    architecture: TreeEnsemble

    @classmethod
    def of(
        cls,
        name: str,
        members: Sequence[Sequence[Tree]],
        labels: tuple[str, ...],
        *,
        features: int,
        link: Link,
        base: Sequence[float],
    ) -> Self:
        """The population of ensembles of equally many trees each."""
        most = max(len(tree.value) for trees in members for tree in trees)
        parameters = _stacked(members, most)
        depth = max(_depth(tree) for trees in members for tree in trees)
        shape = TreeEnsemble(name, features, len(members[0]), depth, link)
        parameters["base"] = torch.tensor(base, dtype=torch.float64)
        return cls(shape, {}, parameters, labels)

    @property
    def gradients(self) -> bool:
        """There are none: answers are constant between thresholds."""
        return False

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The members of several populations of equally many trees, one after another."""
        nodes = max(part.parameters["value"].shape[-1] for part in parts)
        depth = max(part.architecture.depth for part in parts)
        return super().join([part._filled_up_to(nodes, depth) for part in parts])

    def _filled_up_to(self, nodes: int, depth: int) -> Self:
        """The same ensembles with leaves that nobody reaches, asked so many questions."""
        own = _stacked([self.trees(number) for number in range(self.size)], nodes)
        return replace(
            self,
            architecture=replace(self.architecture, depth=depth),
            parameters={**self.parameters, **own},
        )

    def double(self) -> Self:
        """Itself: sums are in float64 anyway."""
        return self

    def to(self, device: str) -> Self:
        """Itself: whatever device asks, NumPy walks down the trees."""
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (..., M, B, 2) of records (..., M, B, D); log-odds in float64, as x is written."""
        if x.dim() > 3:
            return torch.stack([self(block) for block in x])
        odds = self.log_odds(x) - self.cut[:, None]
        return torch.stack([torch.zeros_like(odds), odds], -1).to(x)

    def log_odds(self, x: Tensor) -> Tensor:
        """(M, B) float64 of records (M, B, D), whatever the cut."""
        return self.odds_of(self.totals(x.detach()))

    def odds_of(self, total: Tensor) -> Tensor:
        """Log-odds of what the trees add up to, or of their mean probability."""
        if self.architecture.link == "log_odds":
            return total
        return total.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE).logit()

    def totals(self, x: Tensor) -> Tensor:
        """(M, B) float64: what the trees of each member add up to, a mean of probabilities."""
        sums = np.zeros(x.shape[:-1])
        for number, records in enumerate(x.double().cpu().numpy()):
            sums[number] = self._sums(number, records)
        total = self.parameters["base"][:, None] + torch.from_numpy(sums)
        return total / self.architecture.trees if self._averages else total

    @property
    def _averages(self) -> bool:
        return self.architecture.link == "probability"

    def _sums(self, number: int, records: Array) -> Array:
        """(B,) the sum of the leaves that records (B, D) float64 fall into."""
        own = Tree(*(self.parameters[name][number].numpy() for name in Tree._fields))
        paths = _Paths.of(own, self.architecture.features)
        at_once = max(1, WALKED_AT_ONCE // self.architecture.trees)
        parts = np.split(records, range(at_once, len(records), at_once))
        # one tree after another: `sum` goes by how many records are asked about together
        return np.concatenate([paths.said(part).cumsum(0)[-1] for part in parts])

    def decide_at(self, cut: Tensor) -> Self:
        """The same ensembles, calling ill from other log-odds (M,) on."""
        return replace(self, cut=cut.double())

    def trees(self, number: int) -> list[Tree]:
        """The trees of one member, filled up with leaves that nobody reaches."""
        own = {name: self.parameters[name][number].numpy() for name in Tree._fields}
        return [
            Tree(*(own[name][place] for name in Tree._fields))
            for place in range(self.architecture.trees)
        ]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; raises as `Stacked.read`."""
        return cls.read(folder, lambda shape: TreeEnsemble(**shape))


def _stacked(members: Sequence[Sequence[Tree]], nodes: int) -> dict[str, Tensor]:
    """The fields of trees (M, T, K), filled up to so many nodes."""
    return {
        field: torch.from_numpy(
            np.stack([[_filled(field, tree, nodes) for tree in trees] for trees in members])
        )
        for field in Tree._fields
    }


def _filled(field: str, tree: Tree, nodes: int) -> Array:
    """An array of a tree with leaves behind it, each its own child."""
    values = getattr(tree, field)
    more = np.arange(len(values), nodes) if field in ("left", "right") else np.zeros(nodes)
    behind = more if field in ("left", "right") else more[len(values) :]
    return np.concatenate([values, behind.astype(values.dtype)])


@dataclass(frozen=True)
class _Paths:
    """T trees of K nodes each as one list of nodes, on which many records walk down together.

    Attributes:
        column: (T*K,) what is asked about: a row of `_seen_twice`.
        threshold: (T*K,) float64.
        child: (2*T*K,) the left child of a node, behind it the right one, places in this list.
        inner: (T*K,) bool, whether it asks.
        value: (T, K) float64, what a leaf says.
    """

    column: Array
    threshold: Array
    child: Array
    inner: Array
    value: Array

    @classmethod
    def of(cls, trees: Tree, features: int) -> Self:
        """The paths of trees (T, K) that ask about so many features."""
        first = np.arange(len(trees.value))[:, None] * trees.value.shape[1]
        return cls(
            column=(trees.feature + features * trees.missing_left).ravel(),
            threshold=trees.threshold.ravel(),
            child=np.stack([trees.left + first, trees.right + first], -1).ravel(),
            inner=_asks(trees).ravel(),
            value=trees.value,
        )

    def said(self, records: Array) -> Array:
        """(T, B) float64: the leaf of each tree that records (B, D) fall into."""
        trees, nodes = self.value.shape
        seen, count = _seen_twice(records), len(records)
        ends = np.repeat(np.arange(trees) * nodes, count)
        way = np.flatnonzero(self.inner.take(ends))  # a record in a tree, while it is asked
        node, record = ends.take(way), way % count
        while len(node):
            value = seen.take(self.column.take(node) * count + record)
            right = ~(value <= self.threshold.take(node))
            node = self.child.take(2 * node + right)
            ends[way] = node
            on = np.flatnonzero(self.inner.take(node))
            node, way, record = node.take(on), way.take(on), record.take(on)
        return self.value.take(ends).reshape(trees, count)


def _seen_twice(records: Array) -> Array:
    """(2*D, B): records (B, D) column by column, for nodes that send a missing value right.

    It is NaN there, which no threshold holds. And once more for those that send it left, where it
    lies below every threshold.
    """
    return np.concatenate([records.T, np.where(np.isnan(records), -np.inf, records).T])


def _asks(trees: Tree) -> Array:
    """(..., K) bool: the nodes that are no leaf, of trees (..., K)."""
    other: Array = trees.left != np.arange(trees.left.shape[-1])
    return other


def _depth(tree: Tree) -> int:
    """How many questions the longest path asks."""
    asks, level, asked = _asks(tree), np.zeros(1, dtype=np.int64), 0
    while len(level := level[asks[level]]):
        level = np.unique(np.concatenate([tree.left[level], tree.right[level]]))
        asked += 1
    return asked
