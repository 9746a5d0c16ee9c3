"""Whether a probability is what it says, and what decisions are worth: pure functions of arrays.

Shapes: N records, S seeds (each record is scored once per seed by a model that did not train on
it), R bootstrap resamples. `y` (N,) is 0 or 1; `score` (S, N) are log-odds of class 1.
"""

from statistics import NormalDist

import numpy as np

from pipeline.statistics import Array
from pipeline.statistics.operating_point import logistic
from pipeline.statistics.patients import added

BINS = 10  # of the expected calibration error, of equally many answers
STEPS = 50  # of Newton's method, at most
RIDGE = 1e-12  # on the curvature, which a saturated score leaves next to singular


def slope_and_intercept(
    score: Array, y: Array, confidence: float, whose: Array | None = None
) -> dict[str, float]:
    """How the log-odds would have to be stretched and moved to be right (Cox 1958).

    The logistic regression of y on the score: slope 1 and intercept 0 where a model is calibrated;
    a slope below 1 says that it is too sure. The interval is that of the sandwich variance with a
    patient's seeds and records as one cluster (Liang and Zeger 1986, doi:10.1093/biomet/73.1.13).

    Args:
        score: (S, N) log-odds.
        y: (N,).
        confidence: of the intervals.
        whose: (N,) int64, the patient of each record from 0; None = each is of somebody else.

    Returns:
        `calibration_slope` and `calibration_intercept`, each with `_low, _high`; NaN where the
        scores separate the classes, or are all the same: then there is none.
    """
    score = np.atleast_2d(score)
    names = ("calibration_intercept", "calibration_slope")
    if _separates(score, y) or np.ptp(score) == 0:
        return {f"{n}{suffix}": np.nan for n in names for suffix in ("", "_low", "_high")}
    spread = score.std()
    inputs = np.stack([np.ones_like(score), score / spread], -1)
    beta = np.zeros(2)
    for _ in range(STEPS):
        chance = logistic(inputs @ beta)
        slope = np.einsum("snk,sn->k", inputs, y - chance)
        bread = np.einsum("snk,snl,sn->kl", inputs, inputs, chance * (1 - chance))
        step = np.linalg.solve(bread, slope)
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    each = np.einsum("snk,sn->nk", inputs, y - logistic(inputs @ beta))
    each = each if whose is None else added(each.T, whose).T
    inverse = np.linalg.inv(bread)
    units = np.array([1, 1 / spread])
    se = np.sqrt(np.diag(inverse @ (each.T @ each) @ inverse)) * units
    z, beta = NormalDist().inv_cdf((1 + confidence) / 2), beta * units
    return {
        f"{name}{suffix}": float(value + side * z * error)
        for name, value, error in zip(names, beta, se, strict=True)
        for suffix, side in (("", 0), ("_low", -1), ("_high", 1))
    }


def _separates(score: Array, y: Array) -> bool:
    ill, healthy = score[:, y == 1], score[:, y == 0]
    return bool(ill.min() >= healthy.max() or healthy.min() >= ill.max())


def platt(score: Array, y: Array) -> tuple[float, float]:
    """By what line log-odds become probabilities: Platt scaling, by maximum likelihood.

    Platt 1999, with his smoothed targets, which keep the line finite where scores separate the
    classes; Newton's method with halved steps (Lin, Lin and Weng 2007,
    doi:10.1007/s10994-007-5018-6).

    Args:
        score: (N,) log-odds of class 1, by models that did not train on the patient.
        y: (N,) 0 or 1, both present.

    Returns:
        slope and intercept; the slope is above 0 only where the ill score higher.
    """
    score, ill = np.asarray(score, np.float64), int((y == 1).sum())
    target = np.where(y == 1, (ill + 1) / (ill + 2), 1 / (len(y) - ill + 2))
    spread = score.std()
    if spread == 0:
        return 0.0, float(np.log(target.sum()) - np.log((1 - target).sum()))
    centre = score.mean()
    inputs = np.stack([np.ones_like(score), (score - centre) / spread], -1)

    def loss(beta: Array) -> float:
        value = inputs @ beta
        return float((np.logaddexp(0, value) - target * value).sum())

    beta = np.zeros(2)
    for _ in range(STEPS):
        chance = logistic(inputs @ beta)
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
        step = np.linalg.solve(curvature + RIDGE * np.eye(2), inputs.T @ (target - chance))
        share, before = 1.0, loss(beta)
        while loss(beta + share * step) > before and share > 1e-6:
            share /= 2
        beta = beta + share * step
        if np.abs(step).max() < 1e-10:
            break
    slope = beta[1] / spread
    return float(slope), float(beta[0] - slope * centre)


def expected_calibration_error(probability: Array, y: Array, weights: Array) -> tuple[float, Array]:
    """How far, on average, the share of the ill is from what was said, in bins of equal size.

    Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602. It is positive even of a calibrated model, by
    what chance does to a bin.

    Args:
        probability: (S, N).
        y: (N,).
        weights: (R, N) of a bootstrap over patients; the bins stay.

    Returns:
        the error, seeds averaged, and (R,) its resamples.
    """
    probability = np.atleast_2d(probability)
    place = probability.argsort(1, kind="stable").argsort(1) * BINS // probability.shape[1]
    missed = probability - y
    error, drawn, size = 0.0, np.zeros(len(weights)), weights.sum(1)
    for one, bins in zip(missed, place, strict=True):
        of_bin = np.where(bins == np.arange(BINS)[:, None], one, 0.0)  # (BINS, N)
        error += np.abs(of_bin.sum(1)).sum() / len(y)
        drawn += np.abs(weights @ of_bin.T.astype(weights.dtype)).sum(1) / size
    return float(error / len(missed)), drawn / len(missed)


def net_benefit(called: Array, y: Array, odds: float) -> Array:
    """(N,): what calling each patient ill is worth, seeds averaged; their mean is the net benefit.

    An ill patient who is called counts 1, a healthy one who is called costs the odds (Vickers and
    Elkin 2006, doi:10.1177/0272989X06295361): those of the probability from which on a false alarm
    is worth a found illness.

    Args:
        called: (S, N) bool, who is called ill.
        y: (N,).
        odds: of that probability.
    """
    share = np.atleast_2d(called).mean(0)
    return np.asarray(np.where(y == 1, share, -odds * share))
