"""Figures equal scikit-learn's, a formula or a loop; intervals cover as often as they say."""

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.statistics.intervals import (
    bootstrap_auroc,
    bootstrap_mean,
    bootstrap_weights,
    interval,
    paired_difference,
    wilson,
)
from pipeline.statistics.rates import (
    area_under_curve,
    auroc,
    brier,
    classification,
    classification_report,
    confusion,
    is_degenerate,
    pairwise_wins,
    roc_curve,
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


@pytest.fixture
def predicted(score):
    return (score > 0.5).astype(np.int64)


# ---- rates ----


def test_confusion_is_the_mean_of_scikit_learns_over_seeds(predicted, y):
    cells = np.mean([reference.confusion_matrix(y, one).ravel() for one in predicted], 0)
    close(list(confusion(predicted, y).values()), cells)
    assert list(confusion(predicted, y)) == ["tn", "fp", "fn", "tp"]
    assert sum(confusion(predicted, y).values()) == N


@pytest.mark.parametrize("seed", range(SEEDS))
def test_rates_of_one_seed_equal_scikit_learn(predicted, y, seed):
    answer = predicted[seed]
    sensitivity, specificity = (
        reference.recall_score(y, answer, pos_label=label) for label in (1, 0)
    )
    expected = {
        "accuracy": reference.accuracy_score(y, answer),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": reference.balanced_accuracy_score(y, answer),
        "precision": reference.precision_score(y, answer),
        "f1": reference.f1_score(y, answer),
        "mcc": reference.matthews_corrcoef(y, answer),
        "missed_diagnosis_rate": 1 - sensitivity,
        "false_alarm_rate": 1 - specificity,
        "predicted_positive_rate": answer.mean(),
    }
    figures = classification(answer, y)
    assert figures.keys() == expected.keys()
    close(list(figures.values()), list(expected.values()))


def test_rates_of_several_seeds_come_from_all_their_answers_together(predicted, y):
    pooled = classification(predicted.ravel(), np.tile(y, SEEDS))
    close(list(classification(predicted, y).values()), list(pooled.values()))


@pytest.mark.parametrize("answer", [0, 1])
def test_a_rate_without_denominator_is_zero(y, answer):
    figures = classification(np.full(N, answer), y)
    assert figures["mcc"] == 0
    assert figures["balanced_accuracy"] == 0.5
    assert figures["precision"] == (y.mean() if answer else 0)
    assert classification(np.full(4, answer), np.ones(4))["specificity"] == 0
    assert classification(np.full(4, answer), np.zeros(4))["sensitivity"] == 0


def test_classification_report_equals_scikit_learn(predicted, y):
    names = ["healthy", "ill"]
    expected = reference.classification_report(
        y, predicted[0], target_names=names, output_dict=True
    )
    lines = classification_report(predicted[0], y, names)
    assert [line["class"] for line in lines] == names
    for line in lines:
        of_class = expected[line["class"]]
        close(
            [line["precision"], line["recall"], line["f1"]],
            [of_class[k] for k in ("precision", "recall", "f1-score")],
        )
        assert line["support"] == of_class["support"]


def test_brier_equals_scikit_learn(score, y):
    close(brier(score, y), np.mean([reference.brier_score_loss(y, one) for one in score]))
    assert brier(np.full((2, N), 0.5), y) == 0.25
    assert brier(y.astype(float), y) == 0


# ---- curves ----


def test_auroc_equals_scikit_learn_ties_included(score, y):
    assert len(np.unique(score)) < 12
    close(auroc(score, y), np.mean([reference.roc_auc_score(y, one) for one in score]))


@pytest.mark.parametrize(
    ("score", "area"),
    [
        ([0.1, 0.2, 0.8, 0.9], 1.0),
        ([0.9, 0.8, 0.2, 0.1], 0.0),
        ([0.5] * 4, 0.5),
        ([0.1, 0.6, 0.6, 0.9], 0.875),
    ],
)
def test_auroc_of_known_answers(score, area):
    assert auroc(np.array(score), np.array([0, 0, 1, 1])) == area


def test_pairwise_wins_equals_a_loop(score, y):
    wins = pairwise_wins(score, y)
    for i, p in enumerate(np.flatnonzero(y == 1)[:10]):
        for j, q in enumerate(np.flatnonzero(y == 0)[:10]):
            close(
                wins[i, j], np.mean([(one[p] > one[q]) + 0.5 * (one[p] == one[q]) for one in score])
            )
    assert wins.shape == (y.sum(), (1 - y).sum())


@pytest.mark.parametrize("points", [2, 11, 101])
def test_roc_curve_is_the_step_curve_of_scikit_learns_points(score, y, points):
    grid, tpr = roc_curve(score, y, points)
    close(grid, np.linspace(0, 1, points))
    expected = np.zeros(points)
    for one in score:
        fprs, tprs, _ = reference.roc_curve(y, one, drop_intermediate=False)
        expected += [max(t for f, t in zip(fprs, tprs, strict=True) if f <= at) for at in grid]
    expected[0] = 0
    close(tpr, expected / SEEDS)


def test_roc_curve_counts_a_point_that_lies_on_the_grid():
    score, y = (
        np.array([0.9, 0.8, 0.4, 0.3]),
        np.array([0, 1, 0, 1]),
    )  # (0, 0) (1/2, 0) (1/2, 1/2) (1, 1/2) (1, 1)
    assert roc_curve(score, y, 3)[1].tolist() == [0, 0.5, 1]
    assert roc_curve(1 - score, y, 3)[1].tolist() == [0, 1, 1]


def test_roc_curve_rises_from_nothing_to_everything(score, y):
    _, tpr = roc_curve(score, y, 101)
    assert tpr[0] == 0
    assert tpr[-1] == 1
    assert (np.diff(tpr) >= 0).all()


def test_area_under_the_roc_curve_is_close_to_auroc(rng, y):
    fine = y + rng.normal(size=(SEEDS, N))
    grid, tpr = roc_curve(fine, y, 1001)
    close(np.trapezoid(tpr, grid), auroc(fine, y), 0.01)


def test_area_under_curve():
    assert area_under_curve(np.array([0.0]), np.array([0.7])) == 0.7
    assert area_under_curve(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == 0.5
    close(
        area_under_curve(np.array([0.0, 0.1, 0.5]), np.array([0.9, 0.7, 0.3])),
        (0.1 * 0.8 + 0.4 * 0.5) / 0.5,
    )
    close(area_under_curve(np.array([0.0, 0.05, 0.2, 1.0]), np.full(4, 0.6)), 0.6)


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


def test_a_resample_without_the_patients_asked_for_is_finite():
    weights = np.array([[2, 0], [0, 2]], dtype=np.float32)
    assert (
        bootstrap_mean(np.array([0.3, 0.8]), weights, where=np.array([True, False])).tolist()[1]
        == 0
    )
    assert np.isfinite(bootstrap_auroc(np.array([[0.1, 0.9]]), np.array([0, 1]), weights)).all()


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
    easy = (rng.random(N) < 0.5).astype(float)
    paired = paired_difference(easy, easy - 0.01, bootstrap_weights(N, 200, seed=0))
    close([paired["low"], paired["high"]], 0.01, 1e-6)
    close(paired["se"], 0, 1e-6)


def test_no_difference_is_no_difference(rng):
    a = rng.random(N)
    paired = paired_difference(a, a, bootstrap_weights(N, 200, seed=0))
    assert set(paired.values()) == {0.0}


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


# ---- degenerate models ----


def answers(tp, fn, fp, tn):
    """Predictions and classes with the given confusion matrix."""
    return np.repeat([1, 0, 1, 0], [tp, fn, fp, tn]), np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])


@pytest.mark.parametrize(
    ("cells", "degenerate", "why"),
    [
        ((0, 35, 0, 65), True, "everyone is healthy"),
        ((35, 0, 65, 0), True, "everyone is ill"),
        ((30, 5, 10, 55), False, "a good model"),
        ((5, 0, 0, 95), False, "one class for exactly 95 %, and right"),
        ((4, 0, 0, 96), True, "one class for 96 %, right or not"),
        ((96, 0, 0, 4), True, "likewise the other class"),
        ((30, 20, 20, 30), False, "balanced accuracy of exactly 0.6"),
        ((29, 21, 20, 30), True, "balanced accuracy of 0.59"),
        ((5, 30, 60, 5), True, "worse than chance"),
    ],
)
def test_is_degenerate(cells, degenerate, why):
    assert is_degenerate(*answers(*cells)) is degenerate, why


def test_is_degenerate_averages_over_seeds():
    good, y = answers(30, 5, 10, 55)
    assert not is_degenerate(np.stack([good, good, np.zeros_like(good)]), y)
    assert is_degenerate(np.stack([good, *[np.zeros_like(good)] * 3]), y)
