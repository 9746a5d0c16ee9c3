"""Calibration against scikit-learn, closed forms and simulation; net benefit by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.statistics.calibration import (
    expected_calibration_error,
    net_benefit,
    slope_and_intercept,
)
from pipeline.statistics.intervals import bootstrap_weights

N, SEEDS = 600, 3


def cohort(seed, n=N, stretch=1.0, shift=0.0):
    """Log-odds that would be right if they were not stretched and shifted."""
    rng = np.random.default_rng(seed)
    true = 1.5 * rng.normal(size=n) - 0.5
    y = (rng.random(n) < 1 / (1 + np.exp(-true))).astype(int)
    return (true - shift) / stretch, y


def test_it_is_the_logistic_regression_of_the_diagnosis_on_the_score():
    score, y = cohort(0, stretch=0.3, shift=0.4)
    got = slope_and_intercept(score, y, 0.95)
    peer = LogisticRegression(C=1e12, tol=1e-10).fit(score[:, None], y)
    assert got["calibration_slope"] == pytest.approx(peer.coef_[0, 0], rel=1e-4)
    assert got["calibration_intercept"] == pytest.approx(peer.intercept_[0], abs=1e-4)
    # a score that is too sure by a factor needs that factor less
    assert got["calibration_slope_low"] < 0.3 < got["calibration_slope_high"]


def test_its_interval_holds_the_truth_as_often_as_it_says():
    held = []
    for seed in range(300):
        score, y = cohort(seed, n=300, stretch=0.5)
        noise = np.random.default_rng(seed + 1000).normal(size=(SEEDS, 300)) * 0
        got = slope_and_intercept(score + noise, y, 0.95)
        held.append(got["calibration_slope_low"] <= 0.5 <= got["calibration_slope_high"])
    assert 0.91 <= np.mean(held) <= 0.98


def test_seeds_of_one_patient_are_no_new_patients():
    score, y = cohort(1)
    one = slope_and_intercept(score, y, 0.95)
    three = slope_and_intercept(np.tile(score, (3, 1)), y, 0.95)
    assert three == pytest.approx(one)


def test_where_there_is_none_none_is_made_up():
    y = np.array([0, 0, 1, 1])
    for score in (np.array([-2.0, -1.0, 1.0, 2.0]), np.zeros(4)):
        assert np.isnan(list(slope_and_intercept(score, y, 0.95).values())).all()


def test_the_error_of_a_constant_is_how_far_it_is_from_the_share_of_the_ill():
    y = np.r_[np.zeros(70), np.ones(30)].astype(int)
    y = y[np.random.default_rng(0).permutation(100)]
    y = np.tile([0, 0, 0, 0, 0, 0, 0, 1, 1, 1], 10)  # 30 % in every bin
    weights = bootstrap_weights(100, 200, 0)
    for said, error in ((0.3, 0.0), (0.5, 0.2), (0.05, 0.25)):
        got, drawn = expected_calibration_error(np.full((2, 100), said), y, weights)
        assert got == pytest.approx(error, abs=1e-12)
        assert drawn.shape == (200,)
        assert drawn.min() >= 0


def test_a_naive_loop_over_the_bins_gives_the_same_error_and_resamples():
    score, y = cohort(3)
    probability = 1 / (1 + np.exp(-score))[None]
    weights = bootstrap_weights(N, 20, 0)
    got, drawn = expected_calibration_error(probability, y, weights)
    bins = np.array_split(np.argsort(probability[0], kind="stable"), 10)
    assert got == pytest.approx(
        sum(abs(probability[0, b].mean() - y[b].mean()) * len(b) / N for b in bins)
    )
    by_hand = [
        sum(abs((w[b] * (probability[0, b] - y[b])).sum()) for b in bins) / N for w in weights
    ]
    np.testing.assert_allclose(drawn, by_hand, rtol=1e-4, atol=1e-6)


def test_net_benefit_by_hand_and_at_the_odds_of_the_prevalence():
    y = np.array([1, 1, 0, 0, 0])
    called = np.array([[True, False, True, False, False], [True, True, False, False, False]])
    assert net_benefit(called, y, 0.5).tolist() == [1.0, 0.5, -0.25, 0.0, 0.0]
    # nobody called is worth nothing; everybody is worth nothing at the odds of the prevalence
    assert net_benefit(np.zeros((1, 5), bool), y, 0.5).sum() == 0
    odds = y.mean() / (1 - y.mean())
    assert net_benefit(np.ones((1, 5), bool), y, odds).sum() == pytest.approx(0)
    sensitivity, specificity = 0.75, 1 - 0.5 / 3
    assert net_benefit(called, y, odds).mean() == pytest.approx(
        y.mean() * (sensitivity + specificity - 1)
    )
