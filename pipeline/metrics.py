"""Figures of merit and their intervals: pure functions of arrays.

Shapes: N patients, S seeds (each patient is scored once per seed by a model that did not train on them), R bootstrap
resamples. `y` (N,) is 0 or 1, class 1 = disease present; `predicted` (S, N) likewise; `score` (S, N) = P(class 1).
"""

from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DEGENERATE_SHARE = 0.95  # one class predicted for more than this share of the records
DEGENERATE_BALANCED_ACCURACY = 0.6
POWER = 0.8


def confusion(predicted: Array, y: Array) -> dict[str, float]:
    """Counts tn, fp, fn, tp, averaged over seeds."""
    predicted = np.atleast_2d(predicted)
    cells = {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}
    return {cell: float(((y == actual) & (predicted == answer)).sum(1).mean()) for cell, (actual, answer) in cells.items()}


def classification(predicted: Array, y: Array) -> dict[str, float]:
    """Rates of a two-class answer, each computed from the seed-averaged confusion matrix.

    A rate whose denominator is empty (for example precision when nobody is called ill) is 0; so is the correlation `mcc`.
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
    """(P, Q): in what share of the seeds each positive outscores each negative; a tie counts half."""
    score = np.atleast_2d(score)
    positive, negative = score[:, y == 1, None], score[:, None, y == 0]
    return np.asarray(((positive > negative) + 0.5 * (positive == negative)).mean(0))


def auroc(score: Array, y: Array) -> float:
    """Area under the ROC curve (the Mann-Whitney statistic), averaged over seeds."""
    return float(pairwise_wins(score, y).mean())


def roc_curve(score: Array, y: Array, points: int) -> tuple[Array, Array]:
    """Sensitivity at evenly spaced false-alarm rates, averaged over seeds; starts at (0, 0)."""
    grid = np.linspace(0, 1, points)
    curves = []
    for one in np.atleast_2d(score):
        thresholds = np.unique(one)[::-1]
        tpr = np.r_[0.0, [(one[y == 1] >= t).mean() for t in thresholds]]
        fpr = np.r_[0.0, [(one[y == 0] >= t).mean() for t in thresholds]]
        # The best sensitivity at a false-alarm rate not above the grid's: a step curve, without optimistic slopes.
        curves.append(tpr[np.searchsorted(fpr, grid, side="right") - 1])
    mean = np.mean(curves, 0)
    mean[0] = 0.0
    return grid, mean


@lru_cache(maxsize=8)  # many tables ask for the same ones
def bootstrap_weights(n: int, resamples: int, seed: int) -> Array:
    """(R, N) float32, read only: how often each patient is drawn in each resample. Patients are drawn, never predictions."""
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float32)
    weights.flags.writeable = False
    return weights


def bootstrap_mean(values: Array, weights: Array, where: Array | None = None) -> Array:
    """(R,): the resampled means of per-patient values (N,), over the patients `where` only, if given."""
    inside = np.ones(len(values), dtype=bool) if where is None else where
    # In the weights' own precision: turning all of them into double would take longer than the product.
    total, count = (weights @ part.astype(weights.dtype) for part in (np.where(inside, values, 0), inside))
    return np.asarray(total.astype(np.float64) / np.maximum(count, 1e-9))


def bootstrap_auroc(score: Array, y: Array, weights: Array) -> Array:
    """(R,): the resampled AUROCs, seeds averaged first, from one matrix of pairwise wins."""
    wins = pairwise_wins(score, y).astype(np.float32)
    positive, negative = weights[:, y == 1], weights[:, y == 0]
    total = np.maximum(positive.sum(1) * negative.sum(1), 1e-9)
    return np.asarray(((positive @ wins) * negative).sum(1) / total)


def interval(estimate: float, samples: Array, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of a bootstrap, widened if need be to contain the estimate.

    Percentile, because it needs no jackknife and stays inside [0, 1]; for rates over hundreds of patients it agrees with BCa.
    """
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return min(float(low), estimate), max(float(high), estimate)


def paired_difference(a: Array, b: Array, weights: Array, confidence: float = 0.95) -> dict[str, float]:
    """Mean of a - b over the same patients, its interval, and the least true difference this many patients would show.

    Args:
        a: (N,) per-patient values, seeds averaged.
        b: (N,) likewise, of what a is compared with.
        weights: (R, N) of `bootstrap_weights`.
        confidence: of the interval.

    Returns:
        difference, low, high, se, and smallest_detectable: (z of the confidence + z of 80 % power) x se.
    """
    from statistics import NormalDist

    each = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    samples = bootstrap_mean(each, weights)
    low, high = interval(float(each.mean()), samples, confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2) + NormalDist().inv_cdf(POWER)
    se = float(samples.std())
    return {"difference": float(each.mean()), "low": low, "high": high, "se": se, "smallest_detectable": z * se}


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, denominator = successes / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / denominator
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / denominator
    return max(0.0, centre - half), min(1.0, centre + half)


def is_degenerate(predicted: Array, y: Array) -> bool:
    """Whether the answers carry next to no information: one class for almost everyone, or balanced accuracy below 0.6."""
    figures = classification(predicted, y)
    positive = figures["predicted_positive_rate"]
    return max(positive, 1 - positive) > DEGENERATE_SHARE or figures["balanced_accuracy"] < DEGENERATE_BALANCED_ACCURACY


def area_under_curve(eps: Array, values: Array) -> float:
    """Mean height of a curve over its radii (trapezoid); a single radius gives its value."""
    if len(eps) == 1:
        return float(values[0])
    return float(np.trapezoid(values, eps) / (eps[-1] - eps[0]))
