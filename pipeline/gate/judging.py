"""Pass, fail or unclear: rules, not readings. Pure functions of figures.

A figure is held against a limit by its interval: inside, outside, or on both sides. A comparison is
a test of non-inferiority: one-sided, normal, corrected after Holm over all comparisons of one call.
How many patients would settle what is unclear is an estimate: widths fall as 1 / sqrt(patients),
the figure stays where it is, and such a sample would settle it in 80 of 100 cases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import erfc, inf, sqrt
from statistics import NormalDist
from typing import Literal

from pipeline.statistics.conclusions import holm
from pipeline.statistics.intervals import POWER

Answer = Literal["pass", "fail", "unclear"]


def quantile(level: float) -> float:
    """Of the standard normal distribution."""
    return NormalDist().inv_cdf(level)


@dataclass(frozen=True)
class Interval:
    """A figure with its interval; both bounds are the value where the value alone is held."""

    value: float
    low: float
    high: float

    def se(self, confidence: float) -> float:
        """The standard error that a symmetric interval of this width has."""
        return (self.high - self.low) / 2 / quantile((1 + confidence) / 2)


@dataclass(frozen=True)
class Limits:
    """What a figure must lie between; both ends are allowed."""

    low: float = -inf
    high: float = inf


def held(figure: Interval, limits: Limits) -> Answer:
    """Pass: the whole interval is within; fail: none of it; unclear: some of it."""
    if figure.low >= limits.low and figure.high <= limits.high:
        return "pass"
    if figure.high < limits.low or figure.low > limits.high:
        return "fail"
    return "unclear"


def times_as_many(figure: Interval, limits: Limits, confidence: float) -> float:
    """By how much the number of patients must grow until an unclear figure is told from the limits.

    Infinite where it is at a limit.
    """
    z = quantile((1 + confidence) / 2)
    worst = 0.0
    for limit in (limits.low, limits.high):
        if not figure.low < limit < figure.high:
            continue
        gap = abs(figure.value - limit)
        towards = figure.value - figure.low if figure.value > limit else figure.high - figure.value
        needed = (z + quantile(POWER)) / z * towards
        worst = max(worst, (needed / gap) ** 2 if gap else inf)
    return worst


@dataclass(frozen=True)
class NonInferiority:
    """A comparison with whom one may not fall behind.

    Attributes:
        difference: of the figures; HIGHER = BETTER.
        se: its standard error.
        margin: by less than so much it may be worse, above 0.
    """

    difference: float
    se: float
    margin: float

    @property
    def p(self) -> float:
        """One-sided, of being worse by the margin or more; small: it is not."""
        return _above(self.difference + self.margin, self.se)

    @property
    def p_inferior(self) -> float:
        """One-sided, of being worse by less than the margin; small: it is worse by more."""
        return _above(-self.difference - self.margin, self.se)


def _above(value: float, se: float) -> float:
    """The p-value of a mean of at most 0; without any spread 0 or 1."""
    return erfc(value / se / sqrt(2)) / 2 if se > 0 else float(value <= 0)


@dataclass(frozen=True)
class Compared:
    """What a comparison says, as one of several.

    Attributes:
        answer: pass: told not to be inferior; fail: told to be; else unclear.
        p: of non-inferiority, corrected after Holm.
        low: of the interval of the difference, uncorrected.
        high: likewise.
        times: by how much the patients must grow, were it the hardest of all comparisons.
    """

    answer: Answer
    p: float
    low: float
    high: float
    times: float


def compared(tests: Mapping[str, NonInferiority], confidence: float) -> dict[str, Compared]:
    """Judges all comparisons together.

    Args:
        tests: by the names of their gates.
        confidence: of two-sided intervals; a test is one-sided at half of what it leaves, as usual.
    """
    alpha = (1 - confidence) / 2
    z = quantile(1 - alpha)
    hardest = quantile(1 - alpha / max(len(tests), 1)) + quantile(POWER)
    passed = holm([one.p for one in tests.values()])
    failed = holm([one.p_inferior for one in tests.values()])
    found = {}
    for (name, one), p, p_inferior in zip(tests.items(), passed, failed, strict=True):
        gap = abs(one.difference + one.margin)
        found[name] = Compared(
            answer="pass" if p <= alpha else "fail" if p_inferior <= alpha else "unclear",
            p=p,
            low=one.difference - z * one.se,
            high=one.difference + z * one.se,
            times=(hardest * one.se / gap) ** 2 if gap else inf,
        )
    return found
