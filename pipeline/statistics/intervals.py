"""How sure a figure is: bootstrap over patients, paired differences, intervals of proportions.

Shapes: N records, S seeds, R bootstrap resamples; `y` (N,) is 0 or 1; `score` (S, N). Patients are
drawn, all records of a patient with them: records of one patient are no independent ones. Where
each patient has one record, a record is a patient.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from pipeline.seeds import Stream, numpy_generator
from pipeline.statistics import Array
from pipeline.statistics.bundles import Bundled, auroc_of_bundles, bundled_weights
from pipeline.statistics.edges import Ranked, Share, error_of_difference, is_at_edge, widened_share
from pipeline.statistics.patients import are_alone, count_of, effective_number, numbered
from pipeline.statistics.rates import pairwise_wins

POWER = 0.8
SAME = 64  # resamples that tell two patients apart
ODD = 0x9E3779B97F5  # whose powers are the digest's factors
PAIRS = 2**22  # of an ill and a healthy patient that are compared one by one, at most


@dataclass(frozen=True, eq=False)
class Sampling:
    """How a figure gets its interval: whom a bootstrap draws, how often, and how sure it is.

    Attributes:
        resamples: R.
        confidence: of the intervals, in 0 to 1.
        seed: of the resamples.
        patient: (N,) whose each record is; None = each is of somebody else.
        bundles: G: of more patients than that, so many random bundles of them are drawn, each
            patient in one; None = patients are drawn one by one.
    """

    resamples: int
    confidence: float
    seed: int
    patient: Array | None = None
    bundles: int | None = None

    def weights(self, records: int) -> Array:
        """(R, N) float32, read only: how often each of N records is drawn, with its patient.

        Of bundles it is a `Bundled`, which is used as such an array is, and holds (R, G).

        Raises:
            ValueError: somebody has several records, and these are not the records.
        """
        whose = self.whose(records)
        if self.bundles is not None and records and whose.max() >= self.bundles:
            return bundled_weights(whose.tobytes(), self.bundles, self.resamples, self.seed)
        if are_alone(whose):
            return bootstrap_weights(records, self.resamples, self.seed)
        return _with_patients(whose.tobytes(), self.resamples, self.seed)

    def whose(self, records: int) -> Array:
        """(N,) int64: the patient of each of N records, from 0 in the order in which they come.

        Raises:
            ValueError: somebody has several records, and these are not the records.
        """
        whose = None if self.patient is None else numbered(self.patient)
        if whose is None or (len(whose) != records and are_alone(whose)):
            return np.arange(records)
        if len(whose) != records:
            raise ValueError(f"{records} records, but patients are known of {len(whose)}")
        return whose

    def patients(self, records: int, where: Array | None = None) -> int:
        """How many patients N records are of, or those `where` (N,) alone."""
        return count_of(self.whose(records), where)

    def of(self, chosen: Array) -> "Sampling":
        """The same for some of the records (indices or a mask)."""
        return self if self.patient is None else replace(self, patient=self.patient[chosen])

    def each_alone(self) -> "Sampling":
        """The same for what is one row a patient, or no patient's record."""
        return replace(self, patient=None)


@lru_cache(maxsize=8)  # many tables ask for the same ones
def bootstrap_weights(n: int, resamples: int, seed: int) -> Array:
    """(R, N) float32, read only: how often each patient is drawn in each resample.

    Patients are drawn, never predictions.
    """
    drawn, chances = numpy_generator(Stream.BOOTSTRAP, seed), np.full(n, 1 / n)
    weights = np.empty((resamples, n), dtype=np.float32)
    for row in weights:  # all at once would first be twice as large, as whole numbers
        row[:] = drawn.multinomial(n, chances)
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=4)
def _with_patients(whose: bytes, resamples: int, seed: int) -> Array:
    """The weights of records, which are those of their patients."""
    place = np.frombuffer(whose, dtype=np.int64)
    weights = bootstrap_weights(int(place.max()) + 1, resamples, seed)[:, place]
    weights.flags.writeable = False
    return weights


def bootstrap_mean(values: Array, weights: Array, where: Array | None = None) -> Array:
    """(R,): the resampled means of per-patient values (N,), over the patients `where` alone.

    Not a number in a resample that holds none of them.
    """
    inside = np.ones(len(values), dtype=bool) if where is None else where
    # In the weights' own precision: turning all of them into double would take longer than the
    # product.
    total, count = (
        weights @ part.astype(weights.dtype) for part in (np.where(inside, values, 0), inside)
    )
    mean = total.astype(np.float64) / np.maximum(count, 1e-9)
    return np.asarray(np.where(count > 0, mean, np.nan))


def bootstrap_auroc(score: Array, y: Array, weights: Array) -> Array:
    """(R,): the resampled AUROCs, averaged over seeds; not a number in a resample of one class.

    Of few patients by one matrix of pairwise wins; of many by their order, as that matrix grows
    with the square of the patients.
    """
    if isinstance(weights, Bundled):
        return auroc_of_bundles(score, y, weights)
    positive, negative = weights[:, y == 1], weights[:, y == 0]
    total = positive.sum(1, dtype=np.float64) * negative.sum(1, dtype=np.float64)
    pairs = int((y == 1).sum()) * int((y == 0).sum())
    if pairs <= PAIRS:
        wins = pairwise_wins(score, y).astype(np.float32)
        won = ((positive @ wins) * negative).sum(1)
    else:
        won = _weighted_wins(np.atleast_2d(score), y, weights)
    return np.asarray(np.where(total > 0, won / np.maximum(total, 1e-9), np.nan))


def _weighted_wins(score: Array, y: Array, weights: Array) -> Array:
    """(R,): the sum over pairs of the ill and the healthy, weighed, of who wins; ties half."""
    won = np.zeros(len(weights))
    for one in score:
        order = np.argsort(one, kind="stable")
        first = np.unique(one[order], return_index=True)[1]
        ill = y[order] == 1
        for rows in np.array_split(np.arange(len(weights)), -(-len(weights) * len(y) // PAIRS)):
            drawn = weights[rows][:, order].astype(np.float64)
            healthy = np.add.reduceat(np.where(ill, 0.0, drawn), first, axis=1)
            below = healthy.cumsum(1) - healthy / 2
            won[rows] += (np.add.reduceat(np.where(ill, drawn, 0.0), first, axis=1) * below).sum(1)
    return won / len(score)


def interval(estimate: float, samples: Array, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of a bootstrap, widened if need be to contain the estimate.

    Percentile, because it needs no jackknife and stays inside [0, 1]; for rates over hundreds of
    patients it agrees with BCa.

    Args:
        estimate: of all patients; not a number where it cannot be estimated, and then the bounds
            are none either.
        samples: (R,); resamples in which it cannot be estimated (NaN) are left out.
        confidence: of the interval.
    """
    known = samples[~np.isnan(samples)]
    if np.isnan(estimate) or not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return min(float(low), estimate), max(float(high), estimate)


def share_interval(
    share: float,
    samples: Array,
    weights: Array,
    confidence: float = 0.95,
    where: Array | None = None,
) -> tuple[float, float]:
    """`interval` of a share of patients; near 0 or 1 no narrower than Wilson's (`edges`).

    Args:
        share: in 0 to 1, or not a number.
        samples: (R,) as of `interval`.
        weights: (R, N) by which they were drawn.
        confidence: of the interval.
        where: (N,) of which records it is a share, or by how much each counts; None = all.
    """
    bounds = interval(share, samples, confidence)
    if np.isnan(share) or not is_at_edge(share, spread_of(samples)):
        return bounds
    asked = None if where is None else where > 0
    counts = None if where is None else where[asked].astype(np.float64)
    n = effective_number(drawn_together(weights, asked), counts)
    return widened_share(share, (share, share) if np.isnan(bounds[0]) else bounds, n, confidence)


def auroc_interval(
    area: float, samples: Array, y: Array, weights: Array, confidence: float = 0.95
) -> tuple[float, float]:
    """`interval` of an AUROC; near 0 or 1 no narrower than Newcombe's (`edges`).

    Args:
        area: in 0 to 1, or not a number.
        samples: (R,) as of `interval`.
        y: (N,) 0 or 1.
        weights: (R, N) by which they were drawn.
        confidence: of the interval.
    """
    bounds = interval(area, samples, confidence)
    if np.isnan(bounds[0]) or not is_at_edge(area, spread_of(samples)):
        return bounds
    return ranked(y, weights).widened(area, bounds, confidence)


def ranked(y: Array, weights: Array, where: Array | None = None) -> Ranked:
    """Of whom an AUROC is: of records (N,) of either class, all or those `where`."""
    asked = np.ones(len(y), dtype=bool) if where is None else where
    both = (drawn_together(weights, asked & (y == of)) for of in (1, 0))
    return Ranked(*map(effective_number, both))


def drawn_together(weights: Array, where: Array | None = None) -> Array:
    """(n,) int64: a number for each patient, of weights (R, N) that draw one with all records.

    Two are taken for one where `SAME` resamples draw both as often, by a digest of 44 bits.

    Args:
        weights: of a bootstrap.
        where: (N,) bool, of which records alone; None = all.
    """
    if isinstance(weights, Bundled):
        return numbered(weights.whose if where is None else weights.whose[where])
    drawn = weights[:SAME].astype(np.float64)
    factors = [float(pow(ODD, 1 + place, 2**44)) for place in range(len(drawn))]
    digest = np.asarray(factors) @ drawn  # whole numbers, exact in any order
    return numbered(digest if where is None else digest[where])


def mean_of(values: Array) -> float:
    """The mean; not a number of nobody."""
    return float(values.mean()) if values.size else float("nan")


def spread_of(samples: Array) -> float:
    """The standard deviation (R,) of resamples in which a figure can be estimated (no NaN)."""
    known = samples[~np.isnan(samples)]
    return float(known.std()) if len(known) else float("nan")


def bounded(name: str, value: float, samples: Array, confidence: float) -> dict[str, float]:
    """A figure and its bootstrap interval as the columns `<name>, <name>_low, <name>_high`."""
    low, high = interval(value, samples, confidence)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def bounded_mean(
    name: str, each: Array, weights: Array, confidence: float, where: Array | None = None
) -> dict[str, float]:
    """`bounded` of the mean of per-patient values (N,), over the patients `where` alone."""
    value = mean_of(each if where is None else each[where])
    return bounded(name, value, bootstrap_mean(each, weights, where), confidence)


def bounded_share(
    name: str,
    share: float,
    samples: Array,
    weights: Array,
    confidence: float,
    where: Array | None = None,
) -> dict[str, float]:
    """`bounded` by `share_interval`."""
    low, high = share_interval(share, samples, weights, confidence, where)
    return {name: share, f"{name}_low": low, f"{name}_high": high}


def bounded_mean_share(
    name: str, each: Array, weights: Array, confidence: float, where: Array | None = None
) -> dict[str, float]:
    """`bounded_mean` by `share_interval`, of values in 0 to 1: shares of each patient's answers."""
    value = mean_of(each if where is None else each[where])
    samples = bootstrap_mean(each, weights, where)
    return bounded_share(name, value, samples, weights, confidence, where)


def bounded_auroc(
    name: str, area: float, samples: Array, y: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """`bounded` by `auroc_interval`."""
    low, high = auroc_interval(area, samples, y, weights, confidence)
    return {name: area, f"{name}_low": low, f"{name}_high": high}


def paired_difference(
    a: Array, b: Array, weights: Array, confidence: float = 0.95, where: Array | None = None
) -> dict[str, float]:
    """Mean of a - b over the same patients, its interval, and the least difference that would show.

    Args:
        a: (N,) per-patient values in 0 to 1, or all in -1 to 0, seeds averaged.
        b: (N,) likewise, of what a is compared with; a itself: they differ in nobody.
        weights: (R, N) of `bootstrap_weights`.
        confidence: of the interval.
        where: (N,) bool, the patients who count; None = all.

    Returns:
        difference, low, high, se, and `smallest_detectable`. Where few patients tell a from b the
        error is that of `edges.error_of_difference`, and the interval no narrower than it makes it.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (a, b)]
    each = sides[0] - sides[1]
    difference = mean_of(each if where is None else each[where])
    samples = bootstrap_mean(each, weights, where)
    low = high = se = difference  # of a figure and itself: 0, whoever is asked
    if a is not b:
        whose = drawn_together(weights, where)
        one, other = (Share(side if where is None else side[where], whose) for side in sides)
        low, high, se = difference_interval(difference, samples, one, other, confidence)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "se": se,
        "smallest_detectable": smallest_detectable(se, confidence),
    }


def difference_interval(
    difference: float, samples: Array, one: Share, other: Share, confidence: float = 0.95
) -> tuple[float, float, float]:
    """`interval` of the difference of two shares, and its standard error.

    Args:
        difference: one less the other, in -1 to 1.
        samples: (R,) as of `interval`.
        one: a share.
        other: what is taken away from it.
        confidence: of the interval.
    """
    from statistics import NormalDist

    low, high = interval(difference, samples, confidence)
    drawn = spread_of(samples)
    se = error_of_difference(one, other, drawn)
    if se > drawn:
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * se
        low, high = min(low, max(difference - reach, -1.0)), max(high, min(difference + reach, 1.0))
    return low, high, se


def smallest_detectable(se: float, confidence: float = 0.95) -> float:
    """The difference that 80 of 100 studies with this standard error would show."""
    from statistics import NormalDist

    return se * (NormalDist().inv_cdf((1 + confidence) / 2) + NormalDist().inv_cdf(POWER))
