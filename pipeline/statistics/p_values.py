"""How surprising a measurement is where everything is as claimed; all of them two-sided.

A p-value of at most `rate / checks` refutes the claim; over all checks together that happens to a
true one with probability `rate` at most (Bonferroni), however the checks depend on each other.
"""

import math


def normal(z: float) -> float:
    """Of one standard normal number."""
    return math.erfc(abs(z) / math.sqrt(2))


def chi_square(total: float, degrees: float) -> float:
    """Of a sum of `degrees` squares of independent standard normal numbers."""
    from scipy.stats import chi2  # here, as below: it takes a second to import

    return _two_sided(chi2.cdf(total, degrees), chi2.sf(total, degrees))


def binomial(successes: int, trials: int, rate: float) -> float:
    """Of so many successes of independent trials."""
    from scipy.stats import binom

    below, above = binom.cdf(successes, trials, rate), binom.sf(successes - 1, trials, rate)
    return _two_sided(below, above)


def spread_of_counts(total: float, cells: int, inverse_variances: float, rate: float) -> float:
    """Of the squared deviations of binomial counts, each over its variance, added up.

    A sum of squares with the mean and the variance of such a total takes its place: the variance
    of one term is 2 + (1 - 6 p (1 - p)) / (n p (1 - p)). Approximate; good where no cell decides.

    Args:
        total: Sum over cells.
        cells: How many there are.
        inverse_variances: Sum over cells of 1 / (n p (1 - p)).
        rate: p, in (0, 1).
    """
    variance = 2 * cells + (1 - 6 * rate * (1 - rate)) * inverse_variances
    return chi_square(total * 2 * cells / variance, 2 * cells**2 / variance)


def likeness(cosine: float, dimensions: int, pairs: int) -> float:
    """Of the largest |cosine| among `pairs` of independent normal vectors (Bonferroni)."""
    from scipy.stats import beta

    one = float(beta.sf(cosine * cosine, 0.5, (dimensions - 1) / 2))
    return _at_most_1(pairs * one)


def of_many(least: float, count: int) -> float:
    """Of the least of so many p-values (Bonferroni)."""
    return _at_most_1(count * least)


def _two_sided(below: float, above: float) -> float:
    return _at_most_1(2 * min(float(below), float(above)))


def _at_most_1(value: float) -> float:
    """NaN stays: what could not be measured is no evidence for a claim."""
    return 1.0 if value > 1 else value
