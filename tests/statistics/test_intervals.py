"""Intervals equal naive resampling or a closed form, and cover as often as they say."""

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.seeds import Stream, numpy_generator
from pipeline.statistics import intervals
from pipeline.statistics.edges import wilson, wilson_of_patients
from pipeline.statistics.intervals import (
    Sampling,
    bootstrap_auroc,
    bootstrap_mean,
    bootstrap_weights,
    bounded,
    bounded_mean,
    bounded_mean_share,
    drawn_together,
    interval,
    paired_difference,
    share_interval,
)

SEEDS, N = 3, 150


def close(a, b, tolerance=1e-9):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def y(rng):
    return (rng.random(N) < 0.35).astype(np.int64)


@pytest.fixture
def score(rng, y):
    """Coarse, so that ties abound."""
    return np.round(np.clip(0.3 * y + 0.7 * rng.random((SEEDS, N)), 0, 1), 1)


# ---- bootstrap ----


def naive_resamples(weights):
    for row in weights.astype(int):
        yield np.repeat(np.arange(len(row)), row)


def test_each_resample_draws_as_many_patients_as_there_are():
    weights = bootstrap_weights(N, 1000, seed=0)
    assert weights.shape == (1000, N)
    assert (weights.sum(1) == N).all()
    assert (weights >= 0).all()
    # Multinomial: mean 1 and variance 1 - 1/N for each patient.
    close(weights.mean(), 1)
    close(weights.var(0).mean(), 1 - 1 / N, 0.02)


def test_the_same_seed_draws_the_same():
    np.testing.assert_array_equal(
        bootstrap_weights(N, 10, seed=1), bootstrap_weights(N, 10, seed=1)
    )
    assert (bootstrap_weights(N, 10, seed=1) != bootstrap_weights(N, 10, seed=2)).any()


def test_bootstrap_mean_equals_naive_resampling(rng, y):
    values, weights = rng.random(N), bootstrap_weights(N, 20, seed=9)
    drawn = list(naive_resamples(weights))
    close(bootstrap_mean(values, weights), [values[d].mean() for d in drawn], 1e-6)
    ill = y == 1
    close(
        bootstrap_mean(values, weights, where=ill), [values[d][ill[d]].mean() for d in drawn], 1e-6
    )


def test_a_resample_without_the_patients_asked_for_tells_nothing():
    weights = np.array([[2, 0], [0, 2], [1, 1]], dtype=np.float32)
    mean = bootstrap_mean(np.array([0.3, 0.8]), weights, where=np.array([True, False]))
    np.testing.assert_allclose(mean, [0.3, np.nan, 0.3])
    area = bootstrap_auroc(np.array([[0.1, 0.9]]), np.array([0, 1]), weights)
    np.testing.assert_array_equal(area, [np.nan, np.nan, 1.0])
    assert interval(0.3, mean) == pytest.approx((0.3, 0.3))


def test_what_nobody_can_show_has_no_figure_and_no_interval(recwarn):
    weights, nobody = bootstrap_weights(20, 200, seed=1), np.zeros(20, dtype=bool)
    found = bounded_mean("share", np.ones(20), weights, 0.95, where=nobody)
    assert np.isnan(list(found.values())).all()
    pair = paired_difference(np.ones(20), np.zeros(20), weights, where=nobody)
    assert np.isnan(list(pair.values())).all()
    assert wilson(0, 0) == (0.0, 1.0)
    assert not len(recwarn)


def test_many_patients_are_ranked_as_few_are(score, y, monkeypatch):
    weights = bootstrap_weights(N, 30, seed=2)
    coarse = np.round(score, 1)  # with ties
    matrix = bootstrap_auroc(coarse, y, weights)
    monkeypatch.setattr(intervals, "PAIRS", 1000)
    close(bootstrap_auroc(coarse, y, weights), matrix, 1e-6)


def test_weights_are_drawn_row_by_row_as_all_at_once():
    drawn = numpy_generator(Stream.BOOTSTRAP, 4).multinomial(50, np.full(50, 1 / 50), size=30)
    np.testing.assert_array_equal(bootstrap_weights(50, 30, seed=4), drawn)


def test_bootstrap_auroc_equals_naive_resampling(score, y):
    weights = bootstrap_weights(N, 20, seed=9)
    naive = [
        np.mean([reference.roc_auc_score(y[d], one[d]) for one in score])
        for d in naive_resamples(weights)
    ]
    close(bootstrap_auroc(score, y, weights), naive, 1e-5)


def test_interval_is_the_percentile_interval():
    samples = np.arange(1001) / 1000
    close(interval(0.5, samples), (0.025, 0.975))
    close(interval(0.5, samples, confidence=0.8), (0.1, 0.9))


@pytest.mark.parametrize("estimate", [-0.3, 1.4])
def test_interval_contains_its_estimate(estimate):
    low, high = interval(estimate, np.linspace(0, 1, 101))
    assert low <= estimate <= high


def test_a_bounded_figure_is_three_columns():
    samples = np.linspace(0, 1, 101)
    low, high = interval(0.5, samples, 0.9)
    expected = {"x": 0.5, "x_low": low, "x_high": high}
    assert bounded("x", 0.5, samples, 0.9) == expected
    assert list(bounded("x", 0.5, samples, 0.9)) == ["x", "x_low", "x_high"]


def test_a_bounded_mean_is_that_of_the_patients_asked_for(rng, y):
    values, weights, ill = rng.random(N), bootstrap_weights(N, 200, seed=3), y == 1
    found = bounded_mean("x", values, weights, 0.95, where=ill)
    naive = [values[d][ill[d]].mean() for d in naive_resamples(weights)]
    assert found["x"] == values[ill].mean()
    close([found["x_low"], found["x_high"]], np.quantile(naive, [0.025, 0.975]), 1e-6)
    assert bounded_mean("x", values, weights, 0.95)["x"] == values.mean()


@pytest.mark.parametrize("said", [0.0, 0.5, 1.0])
def test_what_is_the_same_of_everybody_is_not_certain(said):
    """Nor more certain of people with several records."""
    weights = bootstrap_weights(40, 100, seed=0)
    alone = bounded_mean_share("x", np.full(40, said), weights, 0.95)
    close([alone["x_low"], alone["x_high"]], wilson(40 * said, 40))
    assert alone["x_low"] <= said <= alone["x_high"]
    twice = bounded_mean_share("x", np.full(80, said), weights.repeat(2, axis=1), 0.95)
    assert twice == alone
    ill = np.arange(40) < 10
    few = bounded_mean_share("x", np.full(40, said), weights, 0.95, ill)
    close([few["x_low"], few["x_high"]], wilson(10 * said, 10))


def test_a_share_that_varies_has_the_interval_of_its_resamples(rng):
    values, weights = rng.random(N), bootstrap_weights(N, 100, seed=1)
    assert bounded_mean_share("x", values, weights, 0.9) == bounded_mean("x", values, weights, 0.9)


def test_a_share_of_nobody_is_anything():
    nobody = np.zeros(40, dtype=bool)
    weights = bootstrap_weights(40, 100, seed=0)
    assert np.isnan(bounded_mean_share("x", np.ones(40), weights, 0.95, nobody)["x_low"])
    assert share_interval(0.0, np.zeros(100), weights, 0.95, nobody) == (0.0, 1.0)


def test_who_is_drawn_together_is_one_patient():
    whose = np.array([0, 0, 1, 2, 1, 0, 3])
    weights = bootstrap_weights(4, 200, seed=0)[:, whose]
    assert drawn_together(weights).tolist() == [0, 0, 1, 2, 1, 0, 3]
    assert drawn_together(bootstrap_weights(768, 64, seed=0)).tolist() == list(range(768))


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_of_a_proportion_covers_at_its_nominal_rate(confidence):
    truth, n, repeats = 0.8, 300, 600
    weights = bootstrap_weights(n, 500, seed=0)
    people = np.random.default_rng(1).random((repeats, n)) < truth
    bounds = [
        interval(one.mean(), bootstrap_mean(one.astype(float), weights), confidence)
        for one in people
    ]
    covered = np.mean([low <= truth <= high for low, high in bounds])
    # Three standard errors of the simulation, and half a point because a proportion jumps by 1/n.
    assert abs(covered - confidence) < 3 * (confidence * (1 - confidence) / repeats) ** 0.5 + 0.005


# ---- paired comparison ----


def test_paired_difference_against_its_closed_form(rng):
    a, b = rng.random(N), rng.random(N)
    paired = paired_difference(a, b, bootstrap_weights(N, 5000, seed=0))
    se = (a - b).std() / N**0.5
    close(paired["difference"], a.mean() - b.mean())
    close(paired["se"] / se, 1, 0.05)
    close(
        [paired["low"], paired["high"]],
        [paired["difference"] - 1.96 * se, paired["difference"] + 1.96 * se],
        0.1 * se,
    )
    close(paired["smallest_detectable"], (1.959964 + 0.841621) * paired["se"], 1e-6)


def test_paired_difference_follows_the_confidence_asked_for(rng):
    a, b, weights = rng.random(N), rng.random(N), bootstrap_weights(N, 500, seed=0)
    wide, narrow = (paired_difference(a, b, weights, confidence) for confidence in (0.99, 0.8))
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]
    close(narrow["smallest_detectable"], (1.281552 + 0.841621) * narrow["se"], 1e-6)


def test_what_is_paired_does_not_pay_for_the_spread_between_patients(rng):
    easy = (rng.random(N) < 0.5) * 0.98 + 0.01
    paired = paired_difference(easy, easy - 0.01, bootstrap_weights(N, 200, seed=0))
    close([paired["low"], paired["high"]], 0.01, 1e-6)
    close(paired["se"], 0, 1e-6)


def test_a_figure_differs_from_itself_in_nobody(rng):
    a = rng.random(N)
    paired = paired_difference(a, a, bootstrap_weights(N, 200, seed=0))
    assert set(paired.values()) == {0.0}


def test_another_that_says_the_same_of_so_many_may_differ_in_others(rng):
    a = rng.random(N)
    paired = paired_difference(a, a.copy(), bootstrap_weights(N, 200, seed=0))
    assert paired["difference"] == 0
    close(paired["se"], 2**0.5 / (N + 2))
    close(
        [paired["low"], paired["high"]], [-1.959964 * paired["se"], 1.959964 * paired["se"]], 1e-6
    )


def test_paired_difference_changes_its_sign_with_its_sides(rng):
    a, b, weights = rng.random(N), rng.random(N), bootstrap_weights(N, 500, seed=0)
    one, other = paired_difference(a, b, weights), paired_difference(b, a, weights)
    close(
        [one["difference"], one["low"], one["high"]],
        [-other["difference"], -other["high"], -other["low"]],
        1e-6,
    )
    close(one["se"], other["se"], 1e-6)


def test_the_smallest_detectable_difference_is_detected_four_times_in_five():
    n, repeats, spread = 200, 400, 0.5
    weights, rng = bootstrap_weights(n, 400, seed=0), np.random.default_rng(1)
    b = np.zeros(n)
    truth = np.mean(
        [
            paired_difference(rng.normal(0, spread, n), b, weights)["smallest_detectable"]
            for _ in range(20)
        ]
    )
    found = [
        paired_difference(truth + rng.normal(0, spread, n), b, weights)["low"] > 0
        for _ in range(repeats)
    ]
    assert 0.73 < np.mean(found) < 0.87  # 0.8, give or take three standard errors
    nothing = [
        paired_difference(rng.normal(0, spread, n), b, weights)["low"] > 0 for _ in range(repeats)
    ]
    assert np.mean(nothing) < 0.06  # 0.025


# Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_published_values(successes, n, low, high):
    close(wilson(successes, n), (low, high), 5e-5)
    close(wilson(n - successes, n), (1 - high, 1 - low), 5e-5)


def test_wilson_stays_inside_and_widens_with_confidence():
    assert wilson(0, 5)[0] == pytest.approx(0, abs=1e-15)
    assert wilson(5, 5)[1] == 1
    assert (
        wilson(3, 10, 0.99)[0]
        < wilson(3, 10, 0.8)[0]
        < 0.3
        < wilson(3, 10, 0.8)[1]
        < wilson(3, 10, 0.99)[1]
    )


# ---- several records of a patient ----

VISITS = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4, 4])


def test_patients_are_drawn_with_all_their_records():
    weights = Sampling(300, 0.95, 0, VISITS * 10 + 3).weights(len(VISITS))
    drawn = bootstrap_weights(5, 300, 0)
    np.testing.assert_array_equal(weights, drawn[:, VISITS])


@pytest.mark.parametrize("patient", [None, np.arange(N), np.arange(N)[::-1] * 3])
def test_of_one_record_each_the_draws_are_those_of_records(patient):
    sampling = Sampling(20, 0.95, 4, patient)
    assert sampling.weights(N) is bootstrap_weights(N, 20, 4)
    assert sampling.patients(N) == N
    assert sampling.of(np.arange(5)).weights(5) is bootstrap_weights(5, 20, 4)


def test_some_records_are_of_the_patients_who_have_them():
    sampling = Sampling(20, 0.95, 0, VISITS)
    assert sampling.patients(10) == 5
    assert sampling.patients(10, VISITS > 2) == 2
    some = sampling.of(np.array([9, 0, 8]))
    np.testing.assert_array_equal(some.whose(3), [0, 1, 0])
    np.testing.assert_array_equal(some.weights(3), bootstrap_weights(2, 20, 0)[:, [0, 1, 0]])
    assert sampling.each_alone().patients(7) == 7
    with pytest.raises(ValueError, match="9 records, but patients are known of 10"):
        sampling.weights(9)


@pytest.mark.parametrize("copies", [2, 5])
def test_copied_records_leave_the_interval_of_a_bootstrap_as_it_is(rng, y, copies):
    score = rng.normal(size=(2, N))
    once, often = (
        Sampling(200, 0.95, 0, np.arange(N).repeat(times)).weights(N * times)
        for times in (1, copies)
    )
    again = score.repeat(copies, 1), y.repeat(copies)
    close(bootstrap_auroc(*again, often), bootstrap_auroc(score, y, once), 1e-5)
    close(bootstrap_mean(again[0][0], often), bootstrap_mean(score[0], once), 1e-5)


def test_wilson_counts_records_that_say_the_same_once():
    assert wilson_of_patients(15, np.arange(148)) == wilson(15, 148)
    close(wilson_of_patients(60, np.arange(148).repeat(4)), wilson(15, 148), 1e-12)
