"""Figures of a recipe are those of its margins; a difference is that of two recipes."""

import numpy as np
import pytest

from pipeline.models.answers import disease_score, predicted
from pipeline.risks.evasion.recipes import recipe_figures
from pipeline.statistics import rates

N = 80


@pytest.fixture
def halves():
    train = np.random.default_rng(5).random((6, N)) < 0.5
    return np.concatenate([train, train[:3]])


@pytest.fixture
def y():
    return (np.random.default_rng(6).random(N) < 0.4).astype(np.int64)


def margins(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 1, (2, N)), rng.normal(0.5, 1, (9, N))


def test_values_are_those_of_the_rates(halves, y):
    reported, of_halves = margins(0)
    found = recipe_figures((reported, of_halves), halves, y, models=10)
    expected = rates.classification(predicted(reported, y), y)
    for figure in ("accuracy", "sensitivity", "specificity"):
        assert found[figure].value == pytest.approx(expected[figure])
    assert found["auroc"].value == pytest.approx(rates.auroc(disease_score(reported, y), y))
    assert {one.spread.models for one in found.values()} == {10}


def test_a_difference_is_that_of_two_recipes_and_paired(halves, y):
    one, other = margins(0), margins(1)
    apart = [recipe_figures(side, halves, y, models=10) for side in (one, other)]
    paired = recipe_figures(one, halves, y, models=10, against=other)
    for figure, estimate in paired.items():
        assert estimate.value == pytest.approx(apart[0][figure].value - apart[1][figure].value)
    with_itself = recipe_figures(one, halves, y, models=10, against=one)
    assert {(found.value, found.se()) for found in with_itself.values()} == {(0.0, 0.0)}


def test_whom_a_half_model_saw_is_not_read(halves, y):
    reported, of_halves = margins(0)
    blank = np.where(halves, np.nan, of_halves)
    one, other = (
        recipe_figures((reported, side), halves, y, models=10) for side in (of_halves, blank)
    )
    assert one == other
