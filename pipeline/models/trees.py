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
ANSWERED_AT_ONCE = 2**22  # nodes that records of one member stand at together


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

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (..., M, B, 2) of records (..., M, B, D); log-odds in float64, as x is written."""
        if x.dim() > 3:
            return torch.stack([self(block) for block in x])
        odds = self.log_odds(x) - self.cut[:, None]
        return torch.stack([torch.zeros_like(odds), odds], -1).to(x.dtype)

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
        at_once = max(1, ANSWERED_AT_ONCE // self.architecture.trees)
        each = [
            torch.cat([self._sums(number, part) for part in records.split(at_once)])
            for number, records in enumerate(x)
        ]
        sums = torch.stack(each) if each else torch.zeros(x.shape[:-1], dtype=torch.float64)
        total = self.parameters["base"][:, None] + sums
        return total / self.architecture.trees if self._averages else total

    @property
    def _averages(self) -> bool:
        return self.architecture.link == "probability"

    def _sums(self, number: int, x: Tensor) -> Tensor:
        """(B,) the sum of the leaves that records (B, D) fall into."""
        own = {name: self.parameters[name][number] for name in Tree._fields}
        columns, missing = x.double().T.contiguous(), x.isnan().T.contiguous()
        node = torch.zeros(self.architecture.trees, len(x), dtype=torch.int64, device=x.device)
        for _ in range(self.architecture.depth):
            feature = own["feature"].gather(1, node)
            left = columns.gather(0, feature) <= own["threshold"].gather(1, node)
            gap = missing.gather(0, feature)
            left = torch.where(gap, own["missing_left"].gather(1, node), left)
            node = torch.where(left, own["left"].gather(1, node), own["right"].gather(1, node))
        # one tree after another: `sum` goes by how many records are asked about together
        return own["value"].gather(1, node).cumsum(0)[-1]

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


def _depth(tree: Tree) -> int:
    """How many questions the longest path asks; children come after their parent."""
    depth = np.zeros(len(tree.value), dtype=np.int64)
    for node in range(len(tree.value)):
        for child in (tree.left[node], tree.right[node]):
            if child != node:
                depth[child] = max(depth[child], depth[node] + 1)
    return int(depth.max())
