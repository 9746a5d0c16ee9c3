"""What few patients say where a bootstrap is too sure: shares near 0 or 1, and their differences.

Of what is true of nobody a bootstrap draws nobody; of what is true of one of 53 it draws 0 to 3.
Both are too sure of what 53 others would show: intervals and errors are made wide enough here.

Shapes: n records; `whose` (n,) int64 says whose each is, numbered from 0. Records of one patient
count as if they said the same (`effective_number`): of a share of records that is the right number
where they do, and never too large.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from pipeline.statistics import Array
from pipeline.statistics.patients import added, effective_number, numbered

REACH = 3.0  # standard errors: what is nearer to 0 or 1 is not normal
FEW = 10  # patients who answer differently; of fewer a difference is not normal
ROUNDING = 1e-6  # a spread of sums in float32 that is none
HALVINGS = 60  # of an interval in which a bound is looked for


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); 0 to 1 of nobody."""
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, denominator = successes / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / denominator
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / denominator
    return max(0.0, centre - half), min(1.0, centre + half)


def wilson_of_patients(
    successes: float, whose: Array, confidence: float = 0.95
) -> tuple[float, float]:
    """`wilson` of records, several of which may be of one patient, as if those said the same.

    Args:
        successes: among the n records.
        whose: (n,) int64, the patient of each, from 0.
        confidence: of the interval.
    """
    n = effective_number(whose)
    return wilson(successes * (n / max(1, len(whose))), n, confidence)


def is_at_edge(figure: float, se: float) -> bool:
    """Whether a figure of 0 to 1 is too near to either for its standard error to be believed."""
    return not min(figure, 1 - figure) > REACH * se or se < ROUNDING


def widened_share(
    share: float, bounds: tuple[float, float], n: float, confidence: float
) -> tuple[float, float]:
    """Bounds of a share of n independent answers, and Wilson's: whichever is further out.

    Wilson's alone hold too rarely just above 0, a bootstrap's too rarely everywhere near it; one
    mends the other (docs/intervals.md).
    """
    low, high = wilson(share * n, n, confidence)
    return min(low, share, bounds[0]), max(high, share, bounds[1])  # share: rounding


def widened_auroc(
    area: float, bounds: tuple[float, float], ill: float, healthy: float, confidence: float
) -> tuple[float, float]:
    """The same of an AUROC, by a score interval: method 5 of Newcombe 2006, doi:10.1002/sim.2324.

    Args:
        area: as measured.
        bounds: of a bootstrap.
        ill: how many, independent of each other.
        healthy: likewise.
        confidence: of the interval.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def inside(theta: float) -> bool:
        middle = (ill + healthy) / 2 - 1
        spread = 1 + middle * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * spread / (ill * healthy)
        return abs(area - theta) <= z * sqrt(max(variance, 0.0))

    def bound(end: float) -> float:
        within, without = area, end
        for _ in range(HALVINGS):
            half = (within + without) / 2
            within, without = (half, without) if inside(half) else (within, half)
        return within

    return min(bound(0.0), bounds[0]), max(bound(1.0), bounds[1])


@dataclass(frozen=True, eq=False)
class Share:
    """What a share is the mean of.

    Attributes:
        each: (N,) in 0 to 1, what each record adds; NaN = it is not asked about.
        whose: (N,) int64, the patient of each record; None = each is of somebody else.
    """

    each: Array
    whose: Array | None = None

    @property
    def asked(self) -> Array:
        """(N,) bool, of which records it is."""
        return ~np.isnan(self.each)

    @property
    def patients(self) -> Array:
        """(n,) int64, the patients of those who are asked about, from 0."""
        asked = self.asked
        return np.arange(asked.sum()) if self.whose is None else numbered(self.whose[asked])

    @property
    def number(self) -> float:
        """How many independent answers it is of, at the least."""
        return effective_number(self.patients)

    def widened(
        self, share: float, bounds: tuple[float, float], confidence: float
    ) -> tuple[float, float]:
        """`widened_share`."""
        return widened_share(share, bounds, self.number, confidence)


@dataclass(frozen=True)
class Ranked:
    """Of how many ill and healthy patients an AUROC is, independent of each other."""

    ill: float
    healthy: float

    def widened(
        self, area: float, bounds: tuple[float, float], confidence: float
    ) -> tuple[float, float]:
        """`widened_auroc`."""
        return widened_auroc(area, bounds, self.ill, self.healthy, confidence)


def error_of_share(share: Share, se: float) -> float:
    """The standard error of a share; near 0 or 1 as if two more patients were asked, one of each.

    Agresti and Caffo 2000, doi:10.1080/00031305.2000.10474560.
    """
    return sqrt(se**2 + _more(share)) if share.asked.any() else se


def _more(share: Share) -> float:
    """The variance that two more patients, one of each kind, add to a share near 0 or 1."""
    known, whose = share.each[share.asked], share.patients
    if not len(known):
        return 0.0
    own = added((known - known.mean()) / len(known), whose)
    at_edge = is_at_edge(float(known.mean()), sqrt(np.square(own).sum()))
    return (effective_number(whose) + 2) ** -2 if at_edge else 0.0


def error_of_difference(one: Share, other: Share, se: float) -> float:
    """The standard error of the difference of two shares, wide enough where few tell them apart.

    Of the same records it is that of McNemar's test, with a patient more on either side (Bonett and
    Price 2012, doi:10.3102/1076998611411915), where fewer than `FEW` patients answer differently,
    or all differ alike. Of others each share has `error_of_share`.

    Args:
        one: a share.
        other: what is taken away from it, of the same N records.
        se: of the difference, by a bootstrap over patients.
    """
    if np.isnan(se):
        return se
    if not np.array_equal(one.asked, other.asked):
        return sqrt(se**2 + _more(one) + _more(other))
    each = (one.each - other.each)[one.asked]
    if not len(each):
        return se
    own = added(each / len(each), one.patients)
    squares = float(np.square(own).sum())
    alike = 1 - abs(float(own.sum())) <= REACH * se
    if not alike and float(np.abs(own).sum()) ** 2 > FEW * squares:
        return se
    return max(se, sqrt(squares + 2 / (one.number + 2) ** 2))
