"""From which score on a model calls a patient ill: rules that see training records alone.

A cut is a log-odds: above it a patient is called ill. It lies midway between two scores, so that no
record that it was chosen on lies on it.
"""

from collections.abc import Callable, Mapping

import numpy as np

from pipeline.statistics import Array

Rule = Callable[[Array, Array, float], float]
ROUNDING = 1e-9  # records; a share times a count is rarely whole
BEYOND = 1.0  # log-odds from the last score to a cut that nobody, or everybody, passes


def cut_at_threshold(score: Array, y: Array, threshold: float) -> float:
    """The cut that a probability is; it looks at no record."""
    return logit(threshold)


def cut_at_specificity(score: Array, y: Array, specificity: float) -> float:
    """The smallest cut below which at least this share of the healthy lies."""
    values, below = _below(score, y == 0)
    return _after(values, int(np.searchsorted(below, specificity * below[-1] - ROUNDING)))


def cut_at_sensitivity(score: Array, y: Array, sensitivity: float) -> float:
    """The largest cut above which at least this share of the ill lies."""
    values, below = _below(score, y == 1)
    missed = (1 - sensitivity) * below[-1] + ROUNDING
    return _after(values, int(np.searchsorted(below, missed, side="right")) - 1)


def cut_of_youden(score: Array, y: Array, unused: float) -> float:
    """The cut of the largest sum of sensitivity and specificity; of equals the smallest.

    Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3.
    """
    (values, healthy), (_, ill) = (_below(score, y == one) for one in (0, 1))
    return _after(values, int((healthy / healthy[-1] - ill / ill[-1]).argmax()))


def cut_at_prevalence(score: Array, y: Array, unused: float) -> float:
    """The smallest cut above which at most as many lie as are ill."""
    values, below = _below(score, y >= 0)
    return _after(values, int(np.searchsorted(below, (y == 0).sum())))


RULES: Mapping[str, Rule] = {
    "threshold": cut_at_threshold,
    "sensitivity": cut_at_sensitivity,
    "specificity": cut_at_specificity,
    "youden": cut_of_youden,
    "prevalence": cut_at_prevalence,
}


def logit(probability: float) -> float:
    """The log-odds of a probability strictly between 0 and 1."""
    return float(np.log(probability) - np.log1p(-probability))


def logistic(log_odds: Array) -> Array:
    """The probability of log-odds: the inverse of `logit`, for arrays of any shape."""
    return np.asarray(0.5 * (1 + np.tanh(log_odds / 2)))


def cut_by(rule: str, score: Array, y: Array, value: float | None) -> float:
    """The cut that a rule of `RULES` finds.

    Args:
        rule: its name.
        score: (N,) log-odds of class 1; of training records.
        y: (N,) 0 or 1, both present unless the rule looks at no record.
        value: the share that the rule asks for, in 0 to 1; None where it asks for none.

    Returns:
        a log-odds, finite.
    """
    return RULES[rule](np.asarray(score, np.float64), y, 0.0 if value is None else value)


def _below(score: Array, counted: Array) -> tuple[Array, Array]:
    """All scores, sorted, each once; and how many of some lie below a cut after each place."""
    values, place = np.unique(score, return_inverse=True)
    counts = np.bincount(place, weights=counted, minlength=len(values))
    return values, np.concatenate([[0], np.cumsum(counts)])


def _after(values: Array, place: int) -> float:
    """Midway between the sorted values before and after a place; `BEYOND` the ends."""
    if place == 0:
        return float(values[0] - BEYOND)
    if place == len(values):
        return float(values[-1] + BEYOND)
    return float((values[place - 1] + values[place]) / 2)
