"""From which score on a model calls a patient ill: rules that see training records alone.

A cut is a log-odds: above it a patient is called ill. It lies midway between two scores, so that no
record that it was chosen on lies on it.
"""

from collections.abc import Callable, Mapping

import numpy as np

from pipeline.statistics import Array

Rule = Callable[[Array, Array, float], float]
BEYOND = 1.0  # log-odds from the last score to a cut that nobody, or everybody, passes


def cut_at_threshold(score: Array, y: Array, threshold: float) -> float:
    """The cut that a probability is; it looks at no record."""
    return logit(threshold)


def cut_at_specificity(score: Array, y: Array, specificity: float) -> float:
    """The smallest cut below which at least this share of the healthy lies."""
    return _with_below(score[y == 0], np.ceil(specificity * (y == 0).sum() - 1e-9))


def cut_at_sensitivity(score: Array, y: Array, sensitivity: float) -> float:
    """The largest cut above which at least this share of the ill lies."""
    ill = (y == 1).sum()
    return _with_below(score[y == 1], ill - np.ceil(sensitivity * ill - 1e-9))


def cut_of_youden(score: Array, y: Array, unused: float) -> float:
    """The cut of the largest sum of sensitivity and specificity; of equals the smallest.

    Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3.
    """
    values, place = np.unique(score, return_inverse=True)
    healthy, ill = (np.bincount(place[y == one], minlength=len(values)) for one in (0, 1))
    below = np.cumsum(healthy) / healthy.sum() - np.cumsum(ill) / ill.sum()
    gain = np.concatenate([[0.0], below])  # of a cut below all scores, after the first, ...
    return _after(values, int(gain.argmax()))


def cut_at_prevalence(score: Array, y: Array, unused: float) -> float:
    """The cut above which as many lie as are ill."""
    return _with_below(score, (y == 0).sum())


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


def _with_below(score: Array, count: float) -> float:
    """The smallest cut below which at least so many scores lie."""
    values, counts = np.unique(score, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    return _after(values, int(np.searchsorted(below, count)))


def _after(values: Array, place: int) -> float:
    """Midway between the sorted values before and after a place; `BEYOND` the ends."""
    if place == 0:
        return float(values[0] - BEYOND)
    if place == len(values):
        return float(values[-1] + BEYOND)
    return float((values[place - 1] + values[place]) / 2)
