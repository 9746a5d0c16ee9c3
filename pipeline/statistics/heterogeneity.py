"""How far a figure differs between sites beyond chance: random effects of K estimates."""

from dataclasses import dataclass

import numpy as np

from pipeline.statistics import Array

WIDEST = 1e3  # standard deviations between sites, above which none is looked for


@dataclass(frozen=True)
class RandomEffects:
    """What K sites say together, and what they say of one that was not among them.

    Attributes:
        mean: over sites, and its interval (`low`, `high`).
        between: the standard deviation between sites beyond chance, with its interval.
        further: the interval of the figure at one more site; NaN of two sites.
    """

    mean: float
    low: float
    high: float
    between: float
    between_low: float
    between_high: float
    further: tuple[float, float]


def random_effects(values: Array, se: Array, confidence: float = 0.95) -> RandomEffects | None:
    """Random effects: the field's way to sum up a model that was tried site by site.

    The spread after DerSimonian and Laird (1986) with the interval of Viechtbauer (2007), the mean
    after Hartung and Knapp (2001), never narrower than without them, the interval of a further site
    after Higgins et al. (2009, JRSS A 172:137). Few sites say little: that is what wide intervals
    are for.

    Args:
        values: (K,) one figure at each site.
        se: (K,) its standard error there, above 0.
        confidence: of the intervals.

    Returns:
        None of fewer than two sites.
    """
    from scipy.stats import t  # here, as below: it takes a second to import

    if len(values) < 2:
        return None
    weight = 1 / np.square(se)
    excess = _spread(values, se, 0.0) - (len(values) - 1)
    room = weight.sum() - np.square(weight).sum() / weight.sum()
    variance = max(0.0, float(excess / room))
    weight = 1 / (np.square(se) + variance)
    mean = float((weight * values).sum() / weight.sum())
    own = max(1.0, _spread(values, se, variance) / (len(values) - 1)) / weight.sum()
    reach = float(t.ppf((1 + confidence) / 2, len(values) - 1))
    wider = float(t.ppf((1 + confidence) / 2, len(values) - 2)) if len(values) > 2 else np.nan
    half, whole = reach * float(own) ** 0.5, wider * float(own + variance) ** 0.5
    least, most = _interval_between(values, se, confidence)
    between = variance**0.5
    return RandomEffects(
        mean,
        mean - half,
        mean + half,
        between,
        min(least, between),
        max(most, between),
        (mean - whole, mean + whole),
    )


def _spread(values: Array, se: Array, variance: float) -> float:
    """Cochran's Q about the weighted mean, if sites differ by this variance."""
    weight = 1 / (np.square(se) + variance)
    mean = (weight * values).sum() / weight.sum()
    return float((weight * np.square(values - mean)).sum())


def _interval_between(values: Array, se: Array, confidence: float) -> tuple[float, float]:
    """The standard deviations at which Q is as large as chance makes it at either end."""
    from scipy.optimize import brentq
    from scipy.stats import chi2

    ends = []
    for tail in ((1 + confidence) / 2, (1 - confidence) / 2):
        wanted = float(chi2.ppf(tail, len(values) - 1))

        def beyond(sd: float, wanted: float = wanted) -> float:
            return _spread(values, se, sd * sd) - wanted

        ends.append(0.0 if beyond(0.0) <= 0 else float(brentq(beyond, 0.0, WIDEST)))
    return ends[0], ends[1]
