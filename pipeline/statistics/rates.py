"""Figures of merit and their intervals: pure functions of arrays.

Shapes: N patients, S seeds (each patient is scored once per seed by a model that did not train on
them), R bootstrap resamples. `y` (N,) is 0 or 1, class 1 = disease present; `predicted` (S, N)
likewise; `score` (S, N) = P(class 1).
"""

from typing import Any

import numpy as np

from pipeline.statistics import Array

DEGENERATE_BALANCED_ACCURACY = 0.6


def confusion(predicted: Array, y: Array) -> dict[str, float]:
    """Counts tn, fp, fn, tp, averaged over seeds."""
    predicted = np.atleast_2d(predicted)
    cells = {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}
    return {
        cell: float(((y == actual) & (predicted == answer)).sum(1).mean())
        for cell, (actual, answer) in cells.items()
    }


def classification(predicted: Array, y: Array) -> dict[str, float]:
    """Rates of a two-class answer, each computed from the seed-averaged confusion matrix.

    A rate whose denominator is empty (for example precision when nobody is called ill) is 0; so is
    the correlation `mcc`.
    """
    c = confusion(predicted, y)
    tn, fp, fn, tp = c["tn"], c["fp"], c["fn"], c["tp"]
    sensitivity, specificity = _share(tp, tp + fn), _share(tn, tn + fp)
    return {
        "accuracy": _share(tp + tn, tp + tn + fp + fn),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "precision": _share(tp, tp + fp),
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "mcc": _share(tp * tn - fp * fn, ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5),
        "missed_diagnosis_rate": _share(fn, tp + fn),
        "false_alarm_rate": _share(fp, tn + fp),
        "predicted_positive_rate": _share(tp + fp, tp + tn + fp + fn),
    }


def classification_report(predicted: Array, y: Array, classes: list[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class, from the seed-averaged confusion matrix."""
    c = confusion(predicted, y)
    cells = ((c["tn"], c["fn"], c["fp"]), (c["tp"], c["fp"], c["fn"]))  # hits, false calls, misses
    return [
        {
            "class": name,
            "precision": _share(hit, hit + false),
            "recall": _share(hit, hit + missed),
            "f1": _share(2 * hit, 2 * hit + false + missed),
            "support": round(hit + missed),
        }
        for name, (hit, false, missed) in zip(classes, cells, strict=True)
    ]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def brier(score: Array, y: Array) -> float:
    """Mean squared error of the probability; 0 is perfect, 0.25 is a coin."""
    return float(((score - y) ** 2).mean())


def pairwise_wins(score: Array, y: Array) -> Array:
    """(P, Q): in what share of the seeds each positive outscores each negative.

    A tie counts half.
    """
    score = np.atleast_2d(score)
    positive, negative = score[:, y == 1, None], score[:, None, y == 0]
    return np.asarray(((positive > negative) + 0.5 * (positive == negative)).mean(0))


def auroc(score: Array, y: Array) -> float:
    """Area under the ROC curve (the Mann-Whitney statistic), averaged over seeds; NaN of one class.

    Args:
        score: (N,) or (S, N).
        y: (N,) 0 or 1.
    """
    if not (y == 1).any() or not (y == 0).any():
        return float("nan")
    return float(placements(score, y)[y == 1].mean())


def placements(score: Array, y: Array) -> Array:
    """(N,): the share of the other class that each patient outscores or is outscored by.

    Of an ill patient the share of the healthy below, of a healthy one that of the ill above; ties
    count half, seeds are averaged. Found by order, where `pairwise_wins` compares pair by pair.
    """
    score, ill = np.atleast_2d(score), y == 1
    won = np.zeros(len(y))
    for one in score:
        high, low = np.sort(one[ill]), np.sort(one[~ill])
        beaten = sum(np.searchsorted(low, one[ill], side=side) for side in ("left", "right"))
        won[ill] += beaten / 2
        below = sum(np.searchsorted(high, one[~ill], side=side) for side in ("left", "right"))
        won[~ill] += len(high) - below / 2
    sizes = np.where(ill, max((~ill).sum(), 1), max(ill.sum(), 1))
    return np.asarray(won / sizes / len(score))


def roc_curve(score: Array, y: Array, points: int) -> tuple[Array, Array]:
    """Sensitivity at evenly spaced false-alarm rates, averaged over seeds; starts at (0, 0)."""
    grid = np.linspace(0, 1, points)
    curves = []
    for one in np.atleast_2d(score):
        thresholds = np.unique(one)[::-1]
        tpr, fpr = (np.r_[0.0, _share_above(one[y == of], thresholds)] for of in (1, 0))
        # The best sensitivity at a false-alarm rate not above the grid's: a step curve, without
        # optimistic slopes.
        curves.append(tpr[np.searchsorted(fpr, grid, side="right") - 1])
    mean = np.mean(curves, 0)
    mean[0] = 0.0
    return grid, mean


def _share_above(score: Array, thresholds: Array) -> Array:
    """The share of scores that are at least each threshold; NaN of nobody."""
    if not len(score):
        return np.full(len(thresholds), np.nan)
    below = np.searchsorted(np.sort(score), thresholds, side="left")
    return np.asarray((len(score) - below) / len(score))


def is_degenerate(predicted: Array, y: Array) -> bool:
    """Whether the answers carry next to no information: balanced accuracy below 0.6.

    Whoever says the same of everybody has 0.5, whatever share is ill, and whoever finds less than a
    fifth of a class has below 0.6. A share of answers has no limit: of a rare disease a useful
    model calls few ill.
    """
    balanced = classification(predicted, y)["balanced_accuracy"]
    return bool(balanced < DEGENERATE_BALANCED_ACCURACY)
