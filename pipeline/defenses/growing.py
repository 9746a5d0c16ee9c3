"""Ensembles of trees, as clinics use them: forests, extremely random trees, boosting.

scikit-learn grows them; what it grew is read into arrays and checked against its own answers.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
import torch

from pipeline.config import Config, Count, Positive
from pipeline.config.settings import Whole
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.models.reading import held_against, made_up, on_thresholds, scikit
from pipeline.models.trees import Trees
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


def forest_of(_: Schema, *, kind: Kind, trees: int, depth: int, leaf: int) -> Grow:
    """How a forest of these numbers is grown, as `forest` has them."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    make = RandomForestClassifier if kind == "forest" else ExtraTreesClassifier

    def grow(x: Array, y: Array, seed: int, weight: Array | None = None) -> Any:
        return make(
            trees, max_depth=depth or None, min_samples_leaf=leaf, random_state=seed, n_jobs=1
        ).fit(x, y, weight)

    return grow


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


def boosting_of(
    schema: Schema, *, rounds: int, leaves: int, rate: float, leaf: int, rising: list[str]
) -> Grow:
    """How gradient boosting of these numbers is grown, as `boosting` has them.

    Raises:
        BadInput: a feature is not known.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    check_names(rising, schema.names, "boosting: rising", "feature")
    directions = [int(name in rising) for name in schema.names]

    def grow(x: Array, y: Array, seed: int, weight: Array | None = None) -> Any:
        return HistGradientBoostingClassifier(
            max_iter=rounds,
            max_leaf_nodes=leaves,
            learning_rate=rate,
            min_samples_leaf=leaf,
            early_stopping=False,
            monotonic_cst=directions if rising else None,
            random_state=seed,
        ).fit(x, y, weight)

    return grow


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

    Raises:
        BadInput: there are more than two classes, or a member trains on one class alone.
        FailedCheck: what was read answers otherwise than what was grown.
    """
    check_two(name, dataset.schema.classes)
    libraries, members = [], []
    for train, seed in zip(plan.train, plan.seeds.tolist(), strict=True):
        y = dataset.y[train].numpy()
        check_both(name, y.tolist())
        library = grow(dataset.x[train].numpy(), y, seed % 2**32)
        libraries.append(library)
        members.append(grown(library))
    read = Trees.of(
        name,
        [one.trees for one in members],
        plan.labels,
        features=dataset.x.shape[1],
        link=members[0].link,
        base=[one.base for one in members],
    )
    for member, library in enumerate(libraries):
        own = dataset.x[plan.train[member]].numpy()
        records = np.concatenate([own, made_up(dataset.schema, int(plan.seeds[0]))])
        one = read.select(torch.tensor([member]))
        records = np.concatenate([records, on_thresholds(one, own)])
        held_against(one, _asked(library), records, what=name)
    return read


def grown(library: Any) -> scikit.Grown:
    """The trees of a model that was grown here."""
    found = scikit.grown(library)
    assert found is not None
    return found


def _asked(library: Any) -> Callable[[Array], Array]:
    return lambda x: np.asarray(library.predict_proba(x)[:, 1])
