"""The greedy search is exact where it is said to be: one value, among the points it looks at."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch

import tiny
from pipeline.attacks.evasion.greedy import sparse
from pipeline.models.answers import margin
from tiny import SPARSE

POINTS = 6


@pytest.fixture(scope="module")
def x():
    return tiny.records(60, seed=1).x.view(3, 20, 5)


def brute_force(models, x, y, changes, points=POINTS):
    """The smallest margin over every choice of features and of points."""
    best = margin(models(x), y)
    for chosen in combinations([index for index in range(5) if SPARSE.mutable[index]], changes):
        ladders = [
            torch.linspace(float(SPARSE.lower[index]), float(SPARSE.upper[index]), points)
            for index in chosen
        ]
        for values in torch.cartesian_prod(*ladders).view(-1, changes):
            forged = x.clone()
            for index, value in zip(chosen, values, strict=True):
                on_grid = (
                    torch.round(value / SPARSE.step[index]) * SPARSE.step[index]
                    if SPARSE.step[index]
                    else value
                )
                forged[..., index] = torch.where(
                    x[..., index].isnan(), x[..., index], on_grid.float()
                )
            best = torch.minimum(best, margin(models(forged), y))
    return best


@pytest.mark.parametrize("hidden", [(), (8, 6)], ids=["linear", "network"])
def test_one_value_equals_brute_force(x, hidden):
    models = tiny.population(3, hidden=hidden)
    y = models(x).argmax(-1)
    x_adv = sparse(models, x, y, SPARSE, eps=1, points=POINTS)
    torch.testing.assert_close(
        margin(models(x_adv), y), brute_force(models, x, y, 1), rtol=1e-4, atol=1e-4
    )


def test_on_a_linear_model_greed_is_exact_for_two_values_too(x):
    models = tiny.population(3, hidden=())
    y = models(x).argmax(-1)
    x_adv = sparse(models, x, y, SPARSE, eps=2, points=POINTS)
    torch.testing.assert_close(
        margin(models(x_adv), y), brute_force(models, x, y, 2), rtol=1e-4, atol=1e-4
    )


def test_more_values_never_hurt_and_the_first_stay(x):
    models = tiny.population(3)
    y = models(x).argmax(-1)
    grid = torch.arange(6.0)[:, None, None, None]
    x_adv = sparse(models, x, y, SPARSE, eps=grid, points=POINTS)
    margins = margin(models(x_adv), y)
    assert (margins.diff(dim=0) <= 1e-6).all()
    assert (margins[2] < margins[1]).any()
    changed = (x_adv != x) & ~x.isnan()
    assert (changed.sum(-1) <= grid[..., 0]).all()
    assert (changed[1:] | ~changed[:-1]).all()
    assert (changed[5] <= SPARSE.mutable).all()


def test_more_points_never_hurt_when_they_hold_the_fewer(x):
    models = tiny.population(3)
    y = models(x).argmax(-1)
    continuous = replace(SPARSE, step=torch.zeros(5, dtype=torch.float64))
    coarse, fine = (
        margin(models(sparse(models, x, y, continuous, eps=1, points=points)), y)
        for points in (5, 9)
    )
    assert (fine <= coarse + 1e-4).all()
    assert (fine < coarse - 1e-3).any()


def test_one_radius_per_record_is_that_radius_of_the_grid(x):
    models = tiny.population(3)
    y = models(x).argmax(-1)
    grid = torch.arange(3.0)[:, None, None, None]
    whole = sparse(models, x, y, SPARSE, eps=grid, points=POINTS)
    radii = torch.arange(60).view(3, 20, 1) % 3
    each = sparse(models, x, y, SPARSE, eps=radii, points=POINTS)
    expected = whole.gather(0, radii[None].expand(1, 3, 20, 5))[0]
    torch.testing.assert_close(each, expected, equal_nan=True, rtol=0, atol=0)
