"""Ensembles of trees, as clinics use them: forests, extremely random trees, boosting.

scikit-learn grows them; what it grew is read into arrays and checked against its own answers.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch

from pipeline.config import Config, Count, Positive
from pipeline.config.settings import Whole
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import BadInput
from pipeline.models.reading import held_against, made_up, on_thresholds, scikit
from pipeline.models.trees import Trees
from pipeline.statistics import Array
from pipeline.validation import check_names


def forest(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    kind: Literal["forest", "extra_trees"],
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
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    make = RandomForestClassifier if kind == "forest" else ExtraTreesClassifier

    def grow(x: Array, y: Array, seed: int) -> Any:
        return make(
            trees, max_depth=depth or None, min_samples_leaf=leaf, random_state=seed, n_jobs=1
        ).fit(x, y)

    return _each(kind, dataset, plan, grow)


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
    from sklearn.ensemble import HistGradientBoostingClassifier

    check_names(rising, dataset.schema.names, "boosting: rising", "feature")
    directions = [int(name in rising) for name in dataset.schema.names]

    def grow(x: Array, y: Array, seed: int) -> Any:
        return HistGradientBoostingClassifier(
            max_iter=rounds,
            max_leaf_nodes=leaves,
            learning_rate=rate,
            min_samples_leaf=leaf,
            early_stopping=False,
            monotonic_cst=directions if rising else None,
            random_state=seed,
        ).fit(x, y)

    return _each("boosting", dataset, plan, grow)


def _each(
    name: str, dataset: Dataset, plan: Plan, grow: Callable[[Array, Array, int], Any]
) -> Trees:
    """One ensemble a member, on its own training records, read and held against the library's."""
    classes = len(dataset.schema.classes)
    if classes != 2:
        raise BadInput(f"{name}: answers about one disease, but there are {classes} classes")
    libraries, members = [], []
    for train, seed in zip(plan.train, plan.seeds.tolist(), strict=True):
        y = dataset.y[train].numpy()
        if len(np.unique(y)) < 2:
            raise BadInput(f"{name}: a model would train on one class alone; take fewer folds")
        library = grow(dataset.x[train].numpy(), y, seed % 2**32)
        grown = scikit.grown(library)
        assert grown is not None
        libraries.append(library)
        members.append(grown)
    read = Trees.of(
        name,
        [grown.trees for grown in members],
        plan.labels,
        features=dataset.x.shape[1],
        link=members[0].link,
        base=[grown.base for grown in members],
    )
    for member, library in enumerate(libraries):
        own = dataset.x[plan.train[member]].numpy()
        records = np.concatenate([own, made_up(dataset.schema, int(plan.seeds[0]))])
        one = read.select(torch.tensor([member]))
        records = np.concatenate([records, on_thresholds(one, own)])
        held_against(one, _asked(library), records, what=name)
    return read


def _asked(library: Any) -> Callable[[Array], Array]:
    return lambda x: np.asarray(library.predict_proba(x)[:, 1])
