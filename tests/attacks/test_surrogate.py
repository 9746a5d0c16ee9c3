"""The surrogate is logistic regression, and its records transfer."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import tiny
from pipeline.attacks import surrogate as module
from pipeline.attacks.evasion.gradient import pgd
from pipeline.attacks.surrogate import train_linear_surrogate
from pipeline.data.plan import Plan
from pipeline.models.answers import margin
from tiny import UNCONSTRAINED


@pytest.fixture(scope="module")
def data():
    return tiny.records(200, seed=3)


@pytest.fixture(scope="module")
def plan(data):
    return tiny.plan(data, folds=4, seeds=1)


@pytest.mark.parametrize("ridge", [0.1, 1.0, 10.0])
def test_equals_scikit_learn_on_each_members_training_rows(data, plan, ridge):
    surrogate = train_linear_surrogate(data.x, data.y, plan, ridge=ridge)
    inputs = surrogate.standardise(data.x.expand(plan.size, -1, -1))
    for member, rows in enumerate(plan.train):
        model = LogisticRegression(C=1 / ridge, tol=1e-10, max_iter=10_000).fit(
            inputs[member][rows].double().numpy(), data.y[rows].numpy()
        )
        weight, bias = (
            surrogate.parameters["weight0"][member],
            surrogate.parameters["bias0"][member, 0],
        )
        np.testing.assert_allclose(
            (weight[:, 1] - weight[:, 0]).numpy(), model.coef_[0], rtol=1e-3, atol=1e-4
        )
        assert float(bias[1] - bias[0]) == pytest.approx(model.intercept_[0], rel=1e-3, abs=1e-4)


def test_a_record_held_out_does_not_matter(data, plan):
    others = data.x.clone()
    others[plan.held_out[0]] = 0.0
    one = plan.select(torch.tensor([0]))
    a, b = (train_linear_surrogate(x, data.y, one).parameters for x in (data.x, others))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("members", [1, 2, 3])
def test_members_in_blocks_are_the_members_beside_each_other(
    data, plan, monkeypatch, members, classes
):
    answers = data.y + (classes == 3) * (data.x[:, 0].nan_to_num(120.0) > 130)
    sizes = []

    def watched(inputs, *others):
        sizes.append(len(inputs))
        return newton(inputs, *others)

    newton = module._newton
    monkeypatch.setattr(module, "_newton", watched)
    whole = train_linear_surrogate(data.x, answers, plan, classes=classes).parameters
    assert set(sizes) == {plan.size}
    sizes.clear()
    monkeypatch.setattr(module, "AT_ONCE", members * len(data.x) * (data.x.shape[1] + 1))
    parts = train_linear_surrogate(data.x, answers, plan, classes=classes).parameters
    assert max(sizes) == members
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-6, atol=1e-7)


def test_more_classes_and_answers_of_each_members_own(data, plan):
    victim = tiny.population(plan.size, classes=3)
    answers = victim(data.x.expand(plan.size, -1, -1)).argmax(-1)
    surrogate = train_linear_surrogate(data.x, answers, plan, classes=3)
    agrees = (surrogate(data.x.expand(plan.size, -1, -1)).argmax(-1) == answers).float().mean(1)
    majority = torch.stack([torch.bincount(row, minlength=3).max() / len(row) for row in answers])
    assert surrogate.architecture.classes == 3
    assert (agrees > majority + 0.03).float().mean() >= 0.5
    assert agrees.mean() > majority.mean()


def test_separable_answers_and_a_single_class_give_finite_weights(data, plan):
    apart = (data.x[:, 0].nan_to_num(120.0) > 120).long()
    for answers in (apart, torch.zeros_like(apart)):
        surrogate = train_linear_surrogate(data.x, answers, plan)
        assert all(tensor.isfinite().all() for tensor in surrogate.parameters.values())
        assert (
            surrogate(data.x.expand(plan.size, -1, -1)).argmax(-1) == answers
        ).float().mean() > 0.9


def test_records_made_against_the_surrogate_harm_the_victim(data):
    everyone = torch.ones(1, 200, dtype=torch.bool)
    plan = Plan(everyone, ~everyone, torch.tensor([0]), torch.tensor([0]), ("only",))
    victim = tiny.population(1, hidden=(), boost=2.0)
    x, y = data.x[None], victim(data.x[None]).argmax(-1)
    surrogate = train_linear_surrogate(data.x, y[0], plan)
    sent = pgd(
        surrogate, x, y, UNCONSTRAINED, eps=0.5, steps=5, step_size=0.3, generator=torch.Generator()
    )
    own = pgd(
        victim, x, y, UNCONSTRAINED, eps=0.5, steps=5, step_size=0.3, generator=torch.Generator()
    )
    clean, by_surrogate, by_own = (margin(victim(records), y).mean() for records in (x, sent, own))
    assert by_own <= by_surrogate < clean - 0.8 * (clean - by_own)
