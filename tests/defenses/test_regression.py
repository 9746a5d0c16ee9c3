"""Logistic regression: the solution of scikit-learn, for each member on its own rows."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import tiny
from pipeline.data.schema import Dataset, Schema
from pipeline.defenses.regression import logistic
from pipeline.files import BadInput
from pipeline.models.answers import log_odds


def test_each_member_is_the_regression_of_its_own_standardised_rows():
    dataset = tiny.records(200, seed=1)
    plan = tiny.plan(dataset, release=True)
    models = logistic(dataset, plan, None, ridge=1.0)
    for member in range(plan.size):
        rows = plan.train[member].numpy()
        one = models.select(torch.tensor([member]))
        z = one.double().standardise(dataset.x.double()[None])[0].numpy()
        peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000)
        peer.fit(z[rows], dataset.y.numpy()[rows])
        np.testing.assert_allclose(
            log_odds(one, dataset.x[None])[0], peer.decision_function(z), rtol=1e-3, atol=1e-4
        )
        assert np.mean(z[rows]) == pytest.approx(0, abs=1e-6)


def test_a_record_that_a_member_did_not_train_on_does_not_matter():
    dataset = tiny.records(200, seed=1)
    plan = tiny.plan(dataset)
    others = Dataset(dataset.x.clone(), dataset.y, dataset.schema)
    others.x[plan.held_out[0]] = torch.nan
    a, b = (
        logistic(one, plan, None, ridge=1.0).select(torch.tensor([0])).parameters
        for one in (dataset, others)
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_three_classes_are_refused():
    dataset = tiny.records(30, seed=0)
    schema = Schema(dataset.schema.names, dataset.schema.features, "outcome", ("a", "b", "c"))
    with pytest.raises(BadInput, match=r"^logistic: .* 3 classes"):
        logistic(Dataset(dataset.x, dataset.y, schema), tiny.plan(dataset), None, ridge=1.0)
