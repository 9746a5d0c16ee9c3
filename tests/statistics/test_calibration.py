"""Calibration against scikit-learn, closed forms and simulation; net benefit by hand."""

import numpy as np
import pytest
from sklearn.calibration import _sigmoid_calibration
from sklearn.linear_model import LogisticRegression

from pipeline.statistics.calibration import (
    expected_calibration_error,
    net_benefit,
    platt,
    slope_and_intercept,
)
from pipeline.statistics.intervals import Sampling, bootstrap_weights

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


@pytest.mark.parametrize("stretch", [0.05, 1.0, 4.0])
def test_a_line_is_that_of_scikit_learn(stretch):
    score, y = cohort(2, stretch=stretch, shift=0.7)
    slope, intercept = platt(score, y)
    a, b = _sigmoid_calibration(score, y)  # of 1 / (1 + exp(a score + b)), with Platt's targets
    assert (slope, intercept) == pytest.approx((-a, -b), rel=1e-3, abs=1e-3)


def test_a_line_makes_its_own_scores_right_but_for_its_smoothed_targets():
    score, y = cohort(3, n=5000, stretch=0.2, shift=-0.5)
    slope, intercept = platt(score, y)
    again = slope_and_intercept(slope * score + intercept, y, 0.95)
    assert again["calibration_slope"] == pytest.approx(1, abs=0.01)
    assert again["calibration_intercept"] == pytest.approx(0, abs=0.01)
    assert platt(slope * score + intercept, y) == pytest.approx((1, 0), abs=1e-6)


def test_no_small_change_of_a_line_makes_its_records_likelier():
    score, y = cohort(4, n=80)
    ill = (y == 1).sum()
    target = np.where(y == 1, (ill + 1) / (ill + 2), 1 / (len(y) - ill + 2))

    def loss(slope, intercept):
        value = slope * score + intercept
        return (np.logaddexp(0, value) - target * value).sum()

    best = platt(score, y)
    steps = [(d, e) for d in (-1e-3, 0, 1e-3) for e in (-1e-3, 0, 1e-3) if d or e]
    assert all(loss(best[0] + d, best[1] + e) > loss(*best) for d, e in steps)


def test_a_line_stays_finite_and_says_when_the_order_is_wrong():
    y = np.array([0, 0, 0, 1, 1])
    apart = np.array([-300.0, -200.0, -100.0, 100.0, 200.0])
    slope, intercept = platt(apart, y)
    assert 0 < slope < np.inf
    assert np.isfinite(intercept)
    assert platt(-apart, y)[0] == pytest.approx(-slope)
    flat, same = platt(np.full(5, 7.0), y)
    assert flat == 0
    share = (2 * 3 / 4 + 3 * 1 / 5) / 5  # of the smoothed targets
    assert same == pytest.approx(np.log(share / (1 - share)))


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


@pytest.mark.parametrize("copies", [2, 4])
def test_copied_records_of_a_patient_leave_all_intervals_as_they_are(copies):
    score, y = cohort(3, n=200)
    score = np.stack([score, score + 0.1])
    whose = np.arange(200).repeat(copies)
    once = slope_and_intercept(score, y, 0.95)
    again = score.repeat(copies, 1), y.repeat(copies)
    often = slope_and_intercept(*again, 0.95, whose)
    assert often == pytest.approx(once, rel=1e-6)
    narrow = slope_and_intercept(*again, 0.95)
    assert narrow["calibration_slope_low"] > once["calibration_slope_low"]
    assert slope_and_intercept(score, y, 0.95, np.arange(200)) == once
    chance = 1 / (1 + np.exp(-score))
    draws = [
        expected_calibration_error(side, truth, Sampling(50, 0.95, 0, patients).weights(len(truth)))
        for side, truth, patients in (
            (chance, y, None),
            (chance.repeat(copies, 1), y.repeat(copies), whose),
        )
    ]
    np.testing.assert_allclose(draws[0][1], draws[1][1], rtol=1e-4)
