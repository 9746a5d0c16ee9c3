"""Ensembles of trees, as clinics use them: forests, extremely random trees, boosting.

scikit-learn grows them; what it grew is read into arrays and checked against its own answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np

from pipeline.config import Config, Count, Positive
from pipeline.config.settings import Whole
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.models.reading import held_against, made_up, on_thresholds, scikit
from pipeline.models.trees import Trees
from pipeline.parallel import share_out
from pipeline.statistics import Array
from pipeline.validation import check_both, check_names, check_two

Kind = Literal["forest", "extra_trees"]


class Grow(Protocol):
    """How a library grows an ensemble of so many numbers."""

    def __call__(self, x: Array, y: Array, seed: int, weight: Array | None = None) -> Any:
        """A fitted model of records (N, D), their classes (N,), and how much each counts (N,)."""


def forest(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    kind: Kind,
    trees: Count,
    depth: Whole,
    leaf: Count,
) -> Trees:
    """A forest (Breiman 2001), or extremely random trees (Geurts et al. 2006).

    Args:
        dataset: the records, of two classes.
        plan: who trains.
        cfg: not read.
        kind: which of the two.
        trees: how many.
        depth: of each at most; 0 = as deep as they grow.
        leaf: training records in a leaf at least: the fewer, the better it remembers them.

    Raises:
        BadInput: there are more than two classes, or a member trains on one class alone.
        FailedCheck: what was read answers otherwise than what was grown.
    """
    grow = forest_of(dataset.schema, kind=kind, trees=trees, depth=depth, leaf=leaf)
    return each(kind, dataset, plan, grow)


@dataclass(frozen=True)
class GrowForest:
    """A `Grow` of the numbers that `forest` has."""

    kind: Kind
    trees: int
    depth: int
    leaf: int

    def __call__(self, x: Array, y: Array, seed: int, weight: Array | None = None) -> Any:
        """Of scikit-learn's two classes of forest, the one of this kind."""
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

        make = RandomForestClassifier if self.kind == "forest" else ExtraTreesClassifier
        return make(
            self.trees,
            max_depth=self.depth or None,
            min_samples_leaf=self.leaf,
            random_state=seed,
            n_jobs=1,
        ).fit(x, y, weight)


def forest_of(_: Schema, *, kind: Kind, trees: int, depth: int, leaf: int) -> Grow:
    """How a forest of these numbers is grown, as `forest` has them."""
    return GrowForest(kind, trees, depth, leaf)


def boosting(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    rounds: Count,
    leaves: Count,
    rate: Positive,
    leaf: Count,
    rising: list[str],
) -> Trees:
    """Gradient boosting on histograms (Ke et al. 2017), as scikit-learn has it.

    Few leaves, few rounds and a low rate make answers that change in small steps; where disease is
    the likelier the higher a measurement, `rising` leaves an attacker one direction for each aim.

    Args:
        dataset: the records, of two classes.
        plan: who trains.
        cfg: not read.
        rounds: trees, one a round; always all of them.
        leaves: of a tree at most.
        rate: of learning.
        leaf: training records in a leaf at least.
        rising: features with which the risk does not fall.

    Raises:
        BadInput: there are more than two classes, or a member trains on one class alone; or a
            feature is not known.
        FailedCheck: what was read answers otherwise than what was grown.
    """
    grow = boosting_of(
        dataset.schema, rounds=rounds, leaves=leaves, rate=rate, leaf=leaf, rising=rising
    )
    return each("boosting", dataset, plan, grow)


@dataclass(frozen=True)
class GrowBoosting:
    """A `Grow` of the numbers that `boosting` has.

    `directions`: for each feature 1 where the risk does not fall with it, else 0.
    """

    rounds: int
    leaves: int
    rate: float
    leaf: int
    directions: tuple[int, ...] | None

    def __call__(self, x: Array, y: Array, seed: int, weight: Array | None = None) -> Any:
        """Scikit-learn's boosting on histograms."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            max_iter=self.rounds,
            max_leaf_nodes=self.leaves,
            learning_rate=self.rate,
            min_samples_leaf=self.leaf,
            early_stopping=False,
            monotonic_cst=None if self.directions is None else list(self.directions),
            random_state=seed,
        ).fit(x, y, weight)


def boosting_of(
    schema: Schema, *, rounds: int, leaves: int, rate: float, leaf: int, rising: list[str]
) -> Grow:
    """How gradient boosting of these numbers is grown, as `boosting` has them.

    Raises:
        BadInput: a feature is not known.
    """
    check_names(rising, schema.names, "boosting: rising", "feature")
    directions = tuple(int(name in rising) for name in schema.names) if rising else None
    return GrowBoosting(rounds, leaves, rate, leaf, directions)


# Whose numbers stand in `model`, by its name.
GROWN: dict[str, Callable[..., Grow]] = {
    "forest": forest_of,
    "extra_trees": forest_of,
    "boosting": boosting_of,
}


def each(
    name: str, dataset: Dataset, plan: Plan, grow: Callable[[Array, Array, int], Any]
) -> Trees:
    """One ensemble a member, on its own training records, read and held against the library's.

    Args:
        name: of the recipe.
        dataset: the records.
        plan: who trains.
        grow: how one is grown, from records, classes and a seed; each by whichever process is free.

    Raises:
        BadInput: there are more than two classes, or a member trains on one class alone.
        FailedCheck: what was read answers otherwise than what was grown.
    """
    check_two(name, dataset.schema.classes)
    unseen, jobs = made_up(dataset.schema, int(plan.seeds[0])), []
    for train, seed in zip(plan.train, plan.seeds.tolist(), strict=True):
        x, y = dataset.x[train].numpy(), dataset.y[train].numpy()
        check_both(name, y.tolist())
        jobs.append((name, grow, x, y, seed % 2**32, unseen))
    return grown_by_all(name, _grown_and_checked, jobs, plan.labels, dataset.x.shape[1])


def grown_by_all(
    name: str,
    grow_one: Callable[..., scikit.Grown],
    jobs: Sequence[tuple[Any, ...]],
    labels: tuple[str, ...],
    features: int,
) -> Trees:
    """One population of `grow_one(*job)` for each job, each by whichever process is free."""
    import_module("sklearn.ensemble")  # here, once, and not in every process
    return trees_of(name, share_out(grow_one, jobs), labels, features)


def trees_of(
    name: str, members: Sequence[scikit.Grown], labels: tuple[str, ...], features: int
) -> Trees:
    """What was grown as one population."""
    return Trees.of(
        name,
        [one.trees for one in members],
        labels,
        features=features,
        link=members[0].link,
        base=[one.base for one in members],
    )


def _grown_and_checked(
    name: str,
    grow: Callable[[Array, Array, int], Any],
    x: Array,
    y: Array,
    seed: int,
    unseen: Array,
) -> scikit.Grown:
    """One member, which answers as the library's on its own records, nobody's, and thresholds."""
    library = grow(x, y, seed)
    member = grown(library)
    read = trees_of(name, [member], (name,), x.shape[1])
    records = np.concatenate([x, unseen, on_thresholds(read, x)])
    held_against(read, _asked(library), records, what=name)
    return member


def grown(library: Any) -> scikit.Grown:
    """The trees of a model that was grown here."""
    found = scikit.grown(library)
    assert found is not None
    return found


def _asked(library: Any) -> Callable[[Array], Array]:
    return lambda x: np.asarray(library.predict_proba(x)[:, 1])
