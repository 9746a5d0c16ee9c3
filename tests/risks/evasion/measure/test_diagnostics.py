"""Measurements of a model: closed forms on healthy ones, and each fault planted and found."""

import numpy as np
import pytest
import torch

import related
from pipeline.models.answers import margin
from pipeline.risks.evasion.evidence import MEASUREMENTS
from pipeline.risks.evasion.measure.diagnostics import (
    UNBOUNDED_EPS,
    answers_are_probabilities,
    convergence_gap,
    diagnose,
    gradient_agreement,
    nondeterminism,
    unbounded_accuracy,
    unconstrained,
    zero_gradient_share,
)
from risks.evasion.made_up import MEMBERS, RECORDS, Liar, Still, trained_models
from tiny import CLINICAL, UNCONSTRAINED, population, records

SCALE = CLINICAL.scale


@pytest.fixture
def models():
    """Wide enough that no record meets dead units only."""
    return population(MEMBERS, hidden=(32, 32))


@pytest.fixture
def linear():
    return population(MEMBERS, hidden=())


@pytest.fixture
def x():
    return records(MEMBERS * RECORDS, seed=1).x.view(MEMBERS, RECORDS, -1)


def answered(model, x):
    """Diagnoses that the model gets right."""
    return model(x).argmax(-1)


def seeded():
    return torch.Generator().manual_seed(0)


# ---- zero gradients ----


def test_a_model_of_moderate_certainty_has_gradients(models, x):
    assert zero_gradient_share(models, x, answered(models, x)) == 0


def test_cross_entropy_dies_where_the_other_class_underflows(models, x):
    def certain(records):
        return 300 * models(records)

    y = answered(models, x)
    margins = margin(certain(x), y)
    dead = (margins > 104).float().mean()  # exp(-104) is 0 in float32, denormals included
    assert 0.2 < dead < 1
    assert zero_gradient_share(certain, x, y) == pytest.approx(float(dead), abs=1e-6)
    assert zero_gradient_share(certain, x, y, "margin") == 0


def test_only_rightly_answered_records_count(models, x):
    def certain(records):
        return 1e6 * models(records)

    right = answered(models, x)
    everyone = zero_gradient_share(certain, x, right)
    assert everyone > 0.99
    one_wrong = right.clone()
    one_wrong[:, 0] = 1 - one_wrong[:, 0]
    assert zero_gradient_share(certain, x, one_wrong) == zero_gradient_share(
        certain, x[:, 1:], right[:, 1:]
    )
    assert zero_gradient_share(certain, x, 1 - right) == 0


def test_a_record_without_any_value_does_not_count(models, x):
    empty = x.clone()
    empty[:, : RECORDS // 2] = torch.nan
    assert zero_gradient_share(models, empty, answered(models, empty)) == 0


def test_own_pullback_and_autograd_measure_the_same(models, x):
    y = answered(models, x)
    assert zero_gradient_share(lambda r: models(r), x, y) == zero_gradient_share(models, x, y)


# ---- right gradients ----


def agreement(model, reference, x):
    return gradient_agreement(model, x, answered(reference, x), SCALE, reference=reference.double())


@pytest.mark.parametrize("hidden", [(), (8, 6)])
def test_a_true_gradient_agrees_with_finite_differences(x, hidden):
    models = population(MEMBERS, hidden=hidden)
    assert agreement(models, models, x) > 0.99999
    assert agreement(lambda r: models(r), models, x) > 0.99999


@pytest.mark.parametrize(
    "lie",
    [
        lambda grad: -grad,
        torch.zeros_like,
        lambda grad: grad.roll(1, -1),
        lambda grad: grad * torch.tensor([1.0, -1.0, 1.0, 1.0, 1.0]),  # one feature
        lambda grad: grad * torch.tensor([1.0, 1.0, -1.0])[:, None, None],  # one member
        lambda grad: grad.sign(),
    ],
)
def test_a_false_gradient_does_not(models, x, lie):
    assert agreement(Liar(models, lie), models, x) < 0.99


def test_the_length_of_a_gradient_does_not_matter(models, x):
    assert agreement(Liar(models, lambda grad: 1e3 * grad), models, x) > 0.99999


def test_a_straight_through_estimator_is_seen(models, x):
    """Rounded forwards only: the model is flat where its gradient says it is not."""

    def rounded(records):
        return torch.where(records.isnan(), records, torch.round(records / 10) * 10)

    def straight_through(records):
        return models(records + (rounded(records) - records).detach())

    y = answered(straight_through, x)
    value = gradient_agreement(
        straight_through, x, y, SCALE, reference=lambda r: models.double()(rounded(r))
    )
    assert value == 0


def test_a_model_that_is_flat_everywhere_agrees_with_itself(models, x):
    flat = type(models)(
        models.architecture,
        models.preprocessing,
        {name: torch.zeros_like(value) for name, value in models.parameters.items()},
        models.labels,
    )
    assert agreement(flat, flat, x) == 1


# ---- answers ----


def test_the_same_question_twice(models, x):
    generator = seeded()

    def nervous(records):
        logits = models(records)
        return logits + 0.5 * torch.rand(logits.shape, generator=generator)

    assert nondeterminism(models, x) == 0
    assert 0.3 < nondeterminism(nervous, x) < 0.5


def test_probabilities_are_told_from_logits(models, x):
    def softmaxed(records, members=MEMBERS):
        logits = models(records)
        return torch.cat([logits[:members].softmax(-1), logits[members:]])

    assert answers_are_probabilities(models, x) == 0
    assert answers_are_probabilities(softmaxed, x) == 1
    assert answers_are_probabilities(lambda r: softmaxed(r, 1), x) == pytest.approx(1 / MEMBERS)
    assert answers_are_probabilities(lambda r: softmaxed(r).log(), x) == 0
    assert (
        answers_are_probabilities(lambda r: torch.tensor([1.5, -0.5]).expand(*r.shape[:2], 2), x)
        == 0
    )


# ---- attacks that have converged, attacks without limits ----


def test_on_a_linear_model_the_gap_is_the_ground_that_the_missing_steps_cover(linear, x):
    """PGD walks straight: n steps of 0.2 eps cost 0.2 n eps times the l1 norm of the gradient."""
    y = answered(linear, x)
    logits, pull = linear.pullback(x)
    away = torch.stack([2 * y - 1.0, 1.0 - 2 * y], -1).flip(-1)
    slope = (pull(away).double() * SCALE).abs().sum(-1)
    reach = margin(logits, y).double() / slope
    eps = float(reach.median() / 0.3)
    lost = ((reach > 0.2 * eps) & (reach <= 0.4 * eps)).double().mean()
    assert lost > 0.05
    gap = convergence_gap(
        linear, x, y, UNCONSTRAINED, eps=eps, generator=seeded(), steps=1, step_size=0.2
    )
    assert gap == pytest.approx(float(lost), abs=1 / y.numel() + 1e-6)


def test_enough_steps_leave_no_gap(linear, x):
    y = answered(linear, x)
    assert convergence_gap(linear, x, y, CLINICAL, eps=0.5, generator=seeded()) == 0


def test_nothing_survives_without_limits(linear, x):
    assert unbounded_accuracy(linear, x, answered(linear, x), CLINICAL, generator=seeded()) == 0


def test_a_model_that_passes_no_gradient_back_survives_and_should_not(models, x):
    y = answered(models, x)
    assert (
        unbounded_accuracy(lambda r: models(Still.apply(r)), x, y, CLINICAL, generator=seeded())
        == 1
    )


def test_what_the_clinic_protects_is_not_protected_without_limits(linear, x):
    """A model that looks at the age alone cannot be attacked in the clinic."""
    weight = torch.zeros_like(linear.parameters["weight0"])
    weight[:, -1] = torch.tensor([-1.0, 1.0])
    age = type(linear)(
        linear.architecture,
        linear.preprocessing,
        {**linear.parameters, "weight0": weight},
        linear.labels,
    )
    x = x.nan_to_num(50.0)
    y = answered(age, x)
    assert convergence_gap(age, x, y, CLINICAL, eps=100.0, generator=seeded()) == 0
    assert unbounded_accuracy(age, x, y, CLINICAL, generator=seeded()) == 0


def test_without_limits_everything_is_in_reach():
    free = unconstrained(CLINICAL)
    x = records(5, seed=0, missing=0.0).x
    low, high = free.box(x, UNBOUNDED_EPS)
    torch.testing.assert_close(
        high - x, (UNBOUNDED_EPS * SCALE).expand(5, -1), rtol=1e-6, atol=1e-3
    )
    torch.testing.assert_close(x - low, (UNBOUNDED_EPS * SCALE).expand(5, -1), rtol=1e-6, atol=1e-3)
    assert torch.equal(free.scale, CLINICAL.scale)


# ---- all of it ----


def test_a_healthy_population(smoke_text):
    models, x, y = trained_models(smoke_text)
    assert (answered(models, x) == y).float().mean() > 0.7
    figures = diagnose(models, x, y, CLINICAL, eps=0.3, seed=0)
    assert figures.keys() == MEASUREMENTS.keys() - {"violations", "attack_beats_proof"}
    assert all(isinstance(value, float) and np.isfinite(value) for value in figures.values())
    for name in ("zero_gradient_share", "nondeterminism", "answers_are_probabilities"):
        assert figures[name] == 0, name
    assert figures["gradient_agreement"] > 0.9999
    assert abs(figures["convergence_gap"]) < 0.005
    assert figures["unbounded_accuracy"] < 0.3


def test_the_same_seed_gives_the_same_figures_whatever_the_global_state(models, x):
    before = {name: value.clone() for name, value in models.parameters.items()}
    torch.manual_seed(1)
    state = torch.get_rng_state()
    figures = diagnose(models, x, answered(models, x), CLINICAL, eps=0.3, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert diagnose(models, x, answered(models, x), CLINICAL, eps=0.3, seed=0) == figures
    assert all(torch.equal(before[name], value) for name, value in models.parameters.items())


def test_an_attack_without_limits_keeps_no_relations():
    """The planted fault: with relations kept, hardly a record could go anywhere."""
    models, data = related.models(2), related.records(60, seed=3)
    x = data.x.expand(2, -1, -1)
    y = models(x).argmax(-1)
    found = diagnose(models, x, y, related.threat(), eps=0.3, seed=0)
    assert found["unbounded_accuracy"] < 0.2
