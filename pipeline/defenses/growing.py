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
from pipeline.data.schema import Dataset, Schema
from pipeline.files import BadInput, FailedCheck
from pipeline.models.trees import Link, Tree, Trees, tree_of_forest, tree_of_histogram
from pipeline.seeds import Stream, generator
from pipeline.statistics import Array

AGREES = 1e-9  # probabilities of the library's and of ours; both add up float64
ASKED = 1000  # made up records, on which the reading is checked beside the training records
Grown = tuple[list[Tree], float]  # the trees of a member, and what a sum begins with


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

    def grow(x: Array, y: Array, seed: int) -> tuple[Any, Grown]:
        grown = make(
            trees, max_depth=depth or None, min_samples_leaf=leaf, random_state=seed, n_jobs=1
        ).fit(x, y)
        return grown, ([tree_of_forest(one.tree_) for one in grown.estimators_], 0.0)

    return _each(kind, dataset, plan, grow, "probability")


def boosting(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    rounds: Count,
    leaves: Count,
    rate: Positive,
    leaf: Count,
) -> Trees:
    """Gradient boosting on histograms (Ke et al. 2017), as scikit-learn has it.

    Args:
        dataset: the records, of two classes.
        plan: who trains.
        cfg: not read.
        rounds: trees, one a round; always all of them.
        leaves: of a tree at most.
        rate: of learning.
        leaf: training records in a leaf at least.

    Raises:
        BadInput: there are more than two classes, or a member trains on one class alone.
        FailedCheck: what was read answers otherwise than what was grown.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    def grow(x: Array, y: Array, seed: int) -> tuple[Any, Grown]:
        grown = HistGradientBoostingClassifier(
            max_iter=rounds,
            max_leaf_nodes=leaves,
            learning_rate=rate,
            min_samples_leaf=leaf,
            early_stopping=False,
            random_state=seed,
        ).fit(x, y)
        trees = [tree_of_histogram(one.nodes) for (one,) in grown._predictors]
        return grown, (trees, float(grown._baseline_prediction[0, 0]))

    return _each("boosting", dataset, plan, grow, "log_odds")


def _each(
    name: str,
    dataset: Dataset,
    plan: Plan,
    grow: Callable[[Array, Array, int], tuple[Any, Grown]],
    link: Link,
) -> Trees:
    """One ensemble a member, on its own training records, read and held against the library's."""
    classes = len(dataset.schema.classes)
    if classes != 2:
        raise BadInput(f"{name}: answers about one disease, but there are {classes} classes")
    members, bases, libraries = [], [], []
    for train, seed in zip(plan.train, plan.seeds.tolist(), strict=True):
        y = dataset.y[train].numpy()
        if len(np.unique(y)) < 2:
            raise BadInput(f"{name}: a model would train on one class alone; take fewer folds")
        library, (trees, base) = grow(dataset.x[train].numpy(), y, seed % 2**32)
        members.append(trees)
        bases.append(base)
        libraries.append(library)
    features = dataset.x.shape[1]
    read = Trees.of(name, members, plan.labels, features=features, link=link, base=bases)
    made_up = _made_up(dataset.schema, int(plan.seeds[0]))
    for member, library in enumerate(libraries):
        records = torch.cat([dataset.x[plan.train[member]], made_up])
        _hold_against(library, read.select(torch.tensor([member])), records)
    return read


def _made_up(schema: Schema, seed: int) -> torch.Tensor:
    """Records drawn from the plausible range, which nobody trained on."""
    low, high = (schema.column(name).float() for name in ("lower", "upper"))
    drawn = torch.rand(ASKED, len(low), generator=generator(Stream.READING, seed))
    return low + drawn * (high - low)


def _hold_against(library: Any, read: Trees, records: torch.Tensor) -> None:
    """Whether both say the same of records.

    Raises:
        FailedCheck: they do not.
    """
    said = library.predict_proba(records.numpy())[:, 1]
    total = read.totals(records[None])[0]
    ours = (total.sigmoid() if read.architecture.link == "log_odds" else total).numpy()
    most = float(np.abs(said - ours).max())
    if not most <= AGREES:
        raise FailedCheck(
            f"{read.architecture.name}: what was read of scikit-learn's model answers otherwise: "
            f"by {most:.2g} in probability; this version of scikit-learn is not known"
        )
