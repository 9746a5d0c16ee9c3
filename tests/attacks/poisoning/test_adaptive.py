"""Orders and goals of who knows the recipe: closed forms, autograd, and brute force."""

import numpy as np
import pytest
import torch

import tiny
from pipeline.attacks.poisoning.adaptive import kernel, last_layer, linear, scores_of, surest
from pipeline.attacks.poisoning.goals import (
    FOUND_WIDTH,
    GOALS,
    RANKING_WIDTH,
    figures,
    found_slope,
    ranking_slope,
    slopes,
)
from pipeline.attacks.poisoning.influence import Influence
from pipeline.attacks.poisoning.poison import Attacker
from pipeline.attacks.surrogate import train_linear_surrogate
from pipeline.models.mlp import Architecture, initialise
from pipeline.models.networks import Networks, fitted_preprocessing

DATA = tiny.records(60, seed=4)
PLAN = tiny.plan(DATA, folds=3, seeds=1)
SCORE = torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = (torch.arange(40) % 3 == 0).long()


def network(*hidden: int) -> Networks:
    shape = Architecture("mlp", DATA.x.shape[1], 2, hidden)
    constants = fitted_preprocessing(DATA.x, PLAN.train)
    return Networks(shape, constants, initialise(shape, PLAN.seeds), PLAN.labels)


def test_goals_are_those_of_a_plain_loop():
    ill, healthy = SCORE[Y == 1].tolist(), SCORE[Y == 0].tolist()
    train = torch.ones(1, 40, dtype=torch.bool)
    cuts, alarms = torch.tensor([0.3]), torch.tensor([0.25])
    found, hidden, ranking = (
        float(figures(goal, SCORE[None], Y, train, cuts, alarms)[0]) for goal in GOALS.values()
    )
    assert found == np.mean([one > cuts[0] for one in ill])
    assert ranking == pytest.approx(np.mean([a > b for a in ill for b in healthy]))
    line = np.quantile(healthy, 0.75)
    assert np.mean([one > line for one in healthy]) == pytest.approx(0.25, abs=1 / len(healthy))
    assert hidden == np.mean([one > line for one in ill])


def test_slopes_are_derivatives_of_the_smoothed_goals():
    score = SCORE.clone().requires_grad_()
    width = SCORE.std()
    smooth = torch.sigmoid((score[Y == 1] - 0.3) / (FOUND_WIDTH * width)).sum()
    (expected,) = torch.autograd.grad(smooth, score)
    got = found_slope(SCORE, Y, 0.3) / (FOUND_WIDTH * width)
    torch.testing.assert_close(got, expected)
    lead = (score[Y == 1, None] - score[Y == 0]) / (RANKING_WIDTH * width)
    (expected,) = torch.autograd.grad(torch.sigmoid(lead).sum(), score)
    got = ranking_slope(SCORE, Y, 0.3) / (RANKING_WIDTH * width)
    torch.testing.assert_close(got, expected)


def test_nobody_but_training_records_is_known():
    scores = scores_of(network(8), DATA.x)
    cuts = torch.zeros(3, dtype=torch.float64)
    first = slopes(ranking_slope, scores, DATA.y, PLAN.train, cuts)
    other = torch.where(PLAN.train, scores, -scores)
    assert torch.equal(first, slopes(ranking_slope, other, DATA.y, PLAN.train, cuts))
    assert (first[~PLAN.train] == 0).all()


@pytest.mark.parametrize("order", [linear, last_layer])
def test_of_a_linear_model_the_order_is_its_influence(order):
    surrogate = train_linear_surrogate(DATA.x, DATA.y, PLAN)
    scene = Attacker(
        DATA, PLAN, surrogate, tiny.CLINICAL, 0.5, DATA.x[0], DATA.y[:0], torch.Generator()
    )
    expected = Influence.of(scene, DATA.y)
    chance = torch.sigmoid((expected.inputs @ expected.beta[..., None])[..., 0])
    slope = PLAN.train * DATA.y * chance * (1 - chance)
    got = order(surrogate, DATA.x, DATA.y, PLAN.train, slope)
    torch.testing.assert_close(got, expected.of_flips(), rtol=1e-4, atol=1e-6)


def test_the_kernel_is_the_product_of_gradients():
    models = network(7, 5)
    slope = torch.randn(3, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = kernel(models, DATA.x, DATA.y, PLAN.train, slope)
    for member in range(3):
        one = models.select(torch.tensor([member])).double()
        weights = [value.requires_grad_() for value in one.parameters.values()]
        answers = one(DATA.x[None].double())[0]
        score = answers[:, 1] - answers[:, 0]
        each = [
            torch.cat([g.flatten() for g in torch.autograd.grad(s, weights, retain_graph=True)])
            for s in score
        ]
        table = torch.stack(each)
        expected = (2 * DATA.y - 1) * (table @ (slope[member] @ table))
        torch.testing.assert_close(got[member], expected)


def test_the_surest_are_those_with_the_largest_margin():
    models = network(8)
    scores = scores_of(models, DATA.x)
    order = surest(models, DATA.x, DATA.y, PLAN.train, scores)
    assert torch.equal(order, torch.where(DATA.y == 1, scores, -scores))
