"""What rules pass on to patients, and shares of these with intervals.

Shapes: S repetitions x N patients.
"""

import numpy as np

from pipeline.config import BASELINE
from pipeline.risks.safeguards.measure.referred import Referrals
from pipeline.statistics import Array, intervals
from pipeline.statistics.intervals import Sampling


def whose_rule(rule: str) -> tuple[str, str]:
    """The recipe and the name of a rule: `adv_train: margin`, `margin`."""
    before, colon, after = rule.partition(": ")
    return (before, after) if colon else (BASELINE, before)


def thresholds(clean: Array, rate: float) -> Array:
    """(S, 1) the doubt from which on a patient is referred, of each repetition.

    So that of N unchanged records the nearest whole number to `rate` N is, and equal doubts alike.

    Args:
        clean: (S, N) doubts of unchanged records; no diagnosis is looked at.
        rate: of them that is to be referred.
    """
    count = round(rate * clean.shape[1])
    if not count:
        return np.full((len(clean), 1), np.inf)
    return np.sort(clean, 1)[:, -count, None]


def proved_to(limit: Array, largest: float) -> float:
    """Below which radius no record passes whose answer an attacker turned, in every repetition.

    Args:
        limit: (S, 1) thresholds of doubts that are proved radii with their sign turned.
        largest: radius that was looked at.
    """
    return float(np.clip(-limit.max(), 0.0, largest))


class Passed:
    """What is passed on to patients: (N,), repetitions averaged.

    Attributes:
        wrong: wrong answers that are not referred.
        turned: answers that were right and are wrong.
        turned_on: of these, those that are not referred.
    """

    wrong: Array
    turned: Array
    turned_on: Array

    def __init__(self, clean: Array, margin: Array, doubt: Array, limit: Array) -> None:
        """From margins and doubts (S, N), unchanged and presented, and thresholds (S, 1)."""
        wrong, on = margin <= 0, doubt < limit
        turned = wrong & (clean > 0)
        self.wrong, self.turned = (wrong & on).mean(0), turned.mean(0)
        self.turned_on = (turned & on).mean(0)


def passed_on(found: Referrals, rule: str, attacker: str, place: int, limit: Array) -> Passed:
    """What a rule passes on of what an attacker presents within one radius."""
    kind = "clean" if attacker == "none" else attacker
    clean = found.margin[f"clean/{rule}"][0].numpy()
    margin, doubt = (one[f"{kind}/{rule}"][place].numpy() for one in (found.margin, found.doubt))
    return Passed(clean, margin, doubt, limit)


def counts(y: Array, sampling: Sampling) -> dict[str, int]:
    """Who is asked about, and how many of them are ill."""
    return {"patients": sampling.patients(len(y)), "ill": sampling.patients(len(y), y == 1)}


def share(
    name: str, each: Array, weights: Array, sampling: Sampling, where: Array | None = None
) -> dict[str, float]:
    """`intervals.bounded_mean_share`, as sure as the sampling is."""
    return intervals.bounded_mean_share(name, each, weights, sampling.confidence, where)


def ratio(
    name: str, part: Array, whole: Array, weights: Array, sampling: Sampling
) -> dict[str, float]:
    """A share of those whom an attacker turned; not a number where he turned nobody."""
    if not whole.sum():
        return intervals.bounded(name, float("nan"), np.zeros(1), sampling.confidence)
    drawn = (weights @ whole.astype(weights.dtype)).astype(np.float64)
    samples = (weights @ part.astype(weights.dtype)) / np.where(drawn > 0, drawn, np.nan)
    found = float(part.sum() / whole.sum())
    return intervals.bounded_share(name, found, samples, weights, sampling.confidence, whole)
