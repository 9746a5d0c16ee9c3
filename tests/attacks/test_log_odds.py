"""One scale for all defenses, and what other models predict of a model's answers."""

import pytest
import torch

from pipeline.attacks.log_odds import (
    COMMON_SCALE,
    on_common_scale,
    straight_line,
    sum_over_others,
    without_drift,
)


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def log_odds():
    return 2 * normal(40, seed=2) + normal(32, 40, seed=3)


def test_on_the_common_scale_half_of_the_answers_are_large(log_odds):
    scaled = on_common_scale(log_odds)
    assert float(scaled.abs().median()) == pytest.approx(COMMON_SCALE)
    torch.testing.assert_close(on_common_scale(20 * log_odds), scaled)
    nothing = torch.zeros(4, 5, dtype=torch.float64)
    assert torch.equal(on_common_scale(nothing), nothing)


def test_what_other_models_predict_is_what_a_regression_without_the_model_predicts(log_odds):
    odds, penalty = log_odds, 2.0
    means = odds.mean(0)
    centred = odds - means
    unit = (centred**2).sum(1).mean()
    for t in (0, 7, 31):
        others = centred[torch.arange(len(centred)) != t]
        ridge = others @ others.T + penalty * unit * torch.eye(len(others)).double()
        predicted = torch.linalg.solve(ridge, others @ centred[t]) @ others
        torch.testing.assert_close(
            without_drift(odds, penalty)[t], odds[t] - predicted, rtol=1e-8, atol=1e-8
        )


def test_a_large_penalty_takes_nothing_out(log_odds):
    torch.testing.assert_close(without_drift(log_odds, 1e12), log_odds)


def test_of_each_model_the_sum_is_that_of_all_others(log_odds):
    expected = torch.stack(
        [torch.cat([log_odds[:t], log_odds[t + 1 :]]).sum(0) for t in range(len(log_odds))]
    )
    torch.testing.assert_close(sum_over_others(log_odds), expected)


def test_a_straight_line_is_that_of_weighted_least_squares(log_odds):
    at, weight = normal(40, seed=4), (normal(32, 40, seed=5) > 0).double()
    design = torch.stack([torch.ones(40).double(), at], 1)
    found = straight_line(log_odds, at, weight)
    for t in range(4):
        root = weight[t].sqrt()[:, None]
        solved = torch.linalg.lstsq(root * design, root * log_odds[t][:, None]).solution
        torch.testing.assert_close(found[t], (design @ solved)[:, 0])
