"""What was read answers as what was grown does; a member knows its own records alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)

import groves
import tiny
from pipeline.data.schema import Schema
from pipeline.defenses import growing
from pipeline.files import BadInput, FailedCheck
from tiny import same_bits

LIBRARY = {
    "forest": lambda seed: RandomForestClassifier(
        7, max_depth=4, min_samples_leaf=2, random_state=seed
    ),
    "extra_trees": lambda seed: ExtraTreesClassifier(
        7, max_depth=4, min_samples_leaf=2, random_state=seed
    ),
    "boosting": lambda seed: HistGradientBoostingClassifier(
        max_iter=6,
        max_leaf_nodes=5,
        learning_rate=0.5,
        min_samples_leaf=5,
        early_stopping=False,
        random_state=seed,
    ),
}
every_kind = pytest.mark.parametrize("name", LIBRARY)


@every_kind
def test_it_says_what_the_library_says_of_whom_it_has_not_seen(name):
    """Missing values among them."""
    models, dataset, plan = groves.grown(name)
    said = models.log_odds(dataset.x.expand(plan.size, -1, -1)).sigmoid()
    for member, (train, seed) in enumerate(zip(plan.train, plan.seeds.tolist(), strict=True)):
        own = LIBRARY[name](seed % 2**32).fit(dataset.x[train].numpy(), dataset.y[train].numpy())
        np.testing.assert_allclose(
            said[member].numpy(), own.predict_proba(dataset.x.numpy())[:, 1], rtol=0, atol=2e-6
        )


@every_kind
def test_a_member_depends_on_its_own_training_records_alone(name):
    models, dataset, plan = groves.grown(name)
    x, y = dataset.x.clone(), dataset.y.clone()
    x[~plan.train[0]], y[~plan.train[0]] = 50.0, 1 - y[~plan.train[0]]
    one = plan.select(torch.tensor([0]))
    alone = groves.RECIPES[name](replace(dataset, x=x, y=y), one, None)
    assert same_bits(alone(dataset.x[None])[0], models(dataset.x.expand(plan.size, -1, -1))[0])


def test_a_wrong_reader_is_found_out(monkeypatch):
    read = growing.scikit.grown

    def strict(library):
        found = read(library)
        lower = [
            tree._replace(threshold=np.nextafter(tree.threshold.astype(np.float32), -np.inf))
            for tree in found.trees
        ]
        return found._replace(trees=lower)

    monkeypatch.setattr(growing.scikit, "grown", strict)
    dataset = tiny.records(120, seed=0)
    with pytest.raises(FailedCheck, match="answers otherwise"):
        groves.RECIPES["forest"](dataset, tiny.plan(dataset), None)


@every_kind
def test_one_class_alone_and_three_classes_are_refused_in_a_line(name):
    dataset = tiny.records(40, seed=0)
    plan = tiny.plan(dataset)
    for given, line in (
        (
            replace(dataset, y=torch.zeros_like(dataset.y)),
            r"^[a-z_]+: [^\n]*one class alone[^\n]*$",
        ),
        (
            replace(
                dataset,
                schema=Schema(
                    dataset.schema.names, dataset.schema.features, "outcome", ("a", "b", "c")
                ),
            ),
            r"^[a-z_]+: [^\n]*3 classes$",
        ),
    ):
        with pytest.raises(BadInput, match=line):
            groves.RECIPES[name](given, plan, None)


def test_the_risk_does_not_fall_with_what_is_rising():
    """And does fall somewhere without: the records are noisy enough."""
    dataset = tiny.records(200, seed=2, missing=0.0, signal=0.3)
    plan = tiny.plan(dataset, folds=2, seeds=1).select(torch.tensor([0]))
    numbers = {"rounds": 30, "leaves": 15, "rate": 0.3, "leaf": 5}
    x = dataset.x[:50].repeat(40, 1, 1)
    x[..., 0] = torch.linspace(60, 200, 40)[:, None]
    falls = []
    for rising in (["glucose"], []):
        models = growing.boosting(dataset, plan, None, rising=rising, **numbers)
        odds = models.log_odds(x.view(1, -1, 5)).view(40, 50)
        falls.append(bool((odds.diff(dim=0) < -1e-9).any()))
    assert falls == [False, True]
    with pytest.raises(BadInput, match="boosting: rising: 'glucos' is no feature; did you mean"):
        growing.boosting(dataset, plan, None, rising=["glucos"], **numbers)
