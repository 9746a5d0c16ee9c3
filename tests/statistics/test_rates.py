"""Every figure equals scikit-learn's, a closed form or a naive loop."""

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.statistics.rates import (
    auroc,
    brier,
    classification,
    classification_report,
    confusion,
    is_degenerate,
    pairwise_wins,
    placements,
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
        ((4, 0, 0, 96), False, "a rare disease, and all found"),
        ((96, 0, 0, 4), False, "likewise the other class"),
        ((53, 0, 19, 1559), False, "4.4 % are called ill of whom 3.2 % are, none missed"),
        ((12, 41, 0, 1578), False, "0.7 % are called ill, rightly: more than a fifth of the ill"),
        ((10, 43, 0, 1578), True, "less than a fifth of the ill, though nobody else"),
        ((0, 53, 0, 1578), True, "a rare disease, and nobody is called ill"),
        ((0, 53, 53, 1525), True, "as many as are ill, but other people"),
        ((30, 20, 20, 30), False, "balanced accuracy of exactly 0.6"),
        ((29, 21, 20, 30), True, "balanced accuracy of 0.59"),
        ((5, 30, 60, 5), True, "worse than chance"),
    ],
)
def test_is_degenerate(cells, degenerate, why):
    assert is_degenerate(*answers(*cells)) is degenerate, why


@pytest.mark.parametrize("ill", [5, 32, 200, 500, 800, 968, 995])
@pytest.mark.parametrize("called", [0, 1])
def test_whoever_says_the_same_of_everybody_is_degenerate_at_any_prevalence(ill, called):
    y = np.repeat([1, 0], [ill, 1000 - ill])
    assert is_degenerate(np.full(1000, called), y)
    assert not is_degenerate(y, y)


def test_is_degenerate_averages_over_seeds():
    good, y = answers(30, 5, 10, 55)
    assert not is_degenerate(np.stack([good, good, np.zeros_like(good)]), y)
    assert is_degenerate(np.stack([good, *[np.zeros_like(good)] * 3]), y)


def test_the_auroc_is_the_mean_of_all_wins(score, y):
    coarse = np.round(score, 1)
    assert auroc(coarse, y) == pytest.approx(float(pairwise_wins(coarse, y).mean()), abs=1e-12)
    assert np.isnan(auroc(coarse, np.zeros_like(y)))


def test_placements_are_the_means_of_wins(score, y):
    coarse = np.round(score, 1)
    wins, found = pairwise_wins(coarse, y), placements(coarse, y)
    close(found[y == 1], wins.mean(1))
    close(found[y == 0], wins.mean(0))
