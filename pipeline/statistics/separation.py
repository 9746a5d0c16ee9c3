"""How well scores tell members from others, and how sure that is: pure functions of arrays.

Shapes: T target models, N patients, R bootstrap resamples. `scores` (T, N), HIGHER = MORE LIKELY A
MEMBER; `member` (T, N) bool. A decision is "member" where score >= threshold. TPR = share of
members that are called so, FPR = share of others.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.statistics import Array

AT_ONCE = 4096  # patients whose histograms exist at once
BINS = 1000  # of the bootstrap's histograms, at most
# so many others must be expected above a threshold before its false-positive rate means anything
RULE_OF_THREE = 3
# of the targets, even and odd: what is chosen on one half is judged on the other, both ways
HALVES = (slice(0, None, 2), slice(1, None, 2))
SLACK = 1 + 1e-12  # 0.29 x 100 is 28.999999999999996


def auroc(member_scores: Array, nonmember_scores: Array) -> float:
    """The chance that a member outscores somebody else; a tie counts half.

    Not a number if one side is empty.
    """
    if not member_scores.size or not nonmember_scores.size:
        return float("nan")
    others = np.sort(nonmember_scores, axis=None)
    below, not_above = (
        np.searchsorted(others, member_scores.ravel(), side=side) for side in ("left", "right")
    )
    return float((below + not_above).mean() / (2 * others.size))


def tpr_at_fpr(member_scores: Array, nonmember_scores: Array, fpr: float) -> float:
    """The largest TPR of any threshold whose FPR is at most `fpr`.

    Equal scores stand or fall together.

    Args:
        member_scores: of any shape, not empty.
        nonmember_scores: likewise.
        fpr: in [0, 1].
    """
    return float(_tpr(member_scores, nonmember_scores, np.array([fpr]))[0])


def roc_log(member_scores: Array, nonmember_scores: Array, points: int) -> tuple[Array, Array]:
    """The ROC curve for logarithmic axes.

    `points` false-positive rates from one nonmember in all to 1, and the TPRs.
    """
    fprs = np.geomspace(1 / nonmember_scores.size, 1, points)
    return fprs, _tpr(member_scores, nonmember_scores, fprs)


def _tpr(member_scores: Array, nonmember_scores: Array, fprs: Array) -> Array:
    members, others = np.sort(member_scores, axis=None), np.sort(nonmember_scores, axis=None)[::-1]
    allowed = np.floor(fprs * others.size * SLACK).astype(int)
    # The threshold lies just above the best-scored of those others who must not be called members.
    above = members.size - np.searchsorted(
        members, others[np.minimum(allowed, others.size - 1)], side="right"
    )
    return np.asarray(np.where(allowed >= others.size, 1.0, above / members.size))


def advantage(scores: Array, member: Array) -> float:
    """TPR - FPR at one threshold for all targets (Yeom et al. 2018, arXiv:1709.01604).

    The best threshold of every other target is applied to the rest, both ways, and the two figures
    are averaged: chosen and judged on the same targets, it would look better than it is. May be
    negative.

    Args:
        scores: (T, N); NaN of one target, which leaves nobody to choose on.
        member: (T, N) bool.
    """
    if len(scores) < len(HALVES):
        return float("nan")
    return float(np.mean([advantage_on(half, scores, member) for half in range(len(HALVES))]))


def advantage_on(half: int, scores: Array, member: Array) -> float:
    """TPR - FPR on one half of the targets, at the best threshold of the other half."""
    chosen, judged = HALVES[1 - half], HALVES[half]
    called = scores[judged] >= _best_threshold(scores[chosen], member[chosen])
    return float(called[member[judged]].mean() - called[~member[judged]].mean())


def _best_threshold(scores: Array, member: Array) -> float:
    """The score at which TPR - FPR is largest.

    Infinity if nothing beats calling nobody a member.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked, hit = scores.ravel()[order], member.ravel()[order]
    gain = np.cumsum(hit) / max(hit.sum(), 1) - np.cumsum(~hit) / max((~hit).sum(), 1)
    last_of_its_value = np.r_[ranked[1:] != ranked[:-1], True]
    gain = np.where(last_of_its_value, gain, -np.inf)
    best = int(gain.argmax())
    return float(ranked[best]) if gain[best] > 0 else float("inf")


def bootstrap(
    scores: Array, member: Array, weights: Array, fprs: list[float]
) -> tuple[Array, Array]:
    """Resampled AUROCs and TPRs.

    Patients are drawn, each with the scores that all targets give to them. Every patient becomes
    two histograms, of the scores by models that trained on them and by the others; a resample is
    their weighted sum, one matrix product for all. Up to `BINS` different scores there is a bin for
    each, and the figures are exact. Otherwise half of the bins' edges are evenly spaced order
    statistics of all scores; a quarter lie just above each of the best-scored nonmembers, and a
    quarter just above others whose ranks grow geometrically. Hence: scores within a bin count as
    tied in the AUROC (an error below 1e-4), and a TPR is that of the best edge, which cannot be too
    high, and is exact where few nonmembers are allowed.

    Args:
        scores: (T, N).
        member: (T, N) bool.
        weights: (R, N) of `metrics.bootstrap_weights`.
        fprs: F false-positive rates.

    Returns:
        (R,) AUROCs; (R, F) TPRs, each the largest of any edge with FPR <= the rate asked for. Not a
        number in a resample without members or without others.
    """
    edges = _edges(scores, member)
    patients, bins = scores.shape[1], len(edges)
    # counts are whole numbers up to T x N
    exact = np.float32 if scores.size < 2**24 else np.float64

    def at_least(chosen: Array) -> Array:
        """(R, bins): how many of the resample's chosen scores reach each edge."""
        reached: Array = np.zeros((len(weights), bins), dtype=exact)
        for first in range(0, patients, AT_ONCE):
            some = slice(first, first + AT_ONCE)
            own = chosen[:, some]
            width = own.shape[1]
            cell = np.searchsorted(edges, scores[:, some], side="right") - 1
            cell = (cell + bins * np.arange(width))[own]
            histograms = np.bincount(cell, minlength=width * bins).reshape(width, bins)
            above: Array = histograms[:, ::-1].cumsum(1).astype(exact)[:, ::-1]
            drawn: Array = weights[:, some].astype(exact)
            reached = reached + drawn @ above
        return reached

    with np.errstate(invalid="ignore", divide="ignore"):
        tpr, fpr = (count / count[:, :1] for count in (at_least(member), at_least(~member)))
    none = np.zeros((len(weights), 1), dtype=exact)
    # beyond the last edge, nobody is called a member
    tpr, fpr = (np.hstack([tpr, none]), np.hstack([fpr, none]))
    areas = (fpr[:, :-1] - fpr[:, 1:]) * (tpr[:, :-1] + tpr[:, 1:])
    rates = np.full((len(weights), len(fprs)), np.nan)
    rows = np.arange(len(weights))
    for column, rate in enumerate(fprs):
        first = (fpr > rate * (1 + 1e-6)).sum(1)  # the rates fall along the edges
        rates[:, column] = np.where(np.isnan(fpr[:, 0] + tpr[:, 0]), np.nan, tpr[rows, first])
    return areas.sum(1, dtype=np.float64) / 2, rates


def _edges(scores: Array, member: Array) -> Array:
    """Rising lower edges of the bins, all of them scores; the first is the smallest."""
    pooled = np.unique(scores)
    if len(pooled) <= BINS:
        return pooled
    everyone, others = np.sort(scores, axis=None), np.sort(scores[~member])[::-1]
    even = everyone[np.linspace(0, everyone.size - 1, BINS // 2).astype(int)]
    if not others.size:
        return np.unique(even)
    top = min(BINS // 4, others.size)
    ranks = np.r_[np.arange(top), np.geomspace(top, others.size, BINS // 4).astype(int) - 1]
    just_above = np.searchsorted(pooled, others[ranks], side="right")
    return np.unique(np.r_[even, pooled[just_above[just_above < len(pooled)]]])


def strongest(scores: Mapping[str, Array], member: Array) -> tuple[str, ...]:
    """The attack with the largest AUROC, for each half of the targets chosen on the other half.

    Chosen and judged on the same targets, the largest of several figures would look better than it
    is.

    Args:
        scores: of each attack, (T, N).
        member: (T, N) bool.

    Returns:
        a name for each of `HALVES`; of equals, the first. Of one target the first there is, named
            before anything was measured.
    """
    if len(member) < len(HALVES):
        return (next(iter(scores)),)
    return tuple(
        max(scores, key=lambda name: _known(_area(scores[name][other], member[other])))
        for other in HALVES[::-1]
    )


def most_exposing(exposures: Mapping[str, tuple[Array, ...]]) -> tuple[str, ...]:
    """The same by the mean over patients of `by_patient`, which is given for each half (N,)."""
    return tuple(
        max(exposures, key=lambda name: _known(float(mean_known(exposures[name][other], 0))))
        for other in (1, 0)
    )


def mean_known(values: Array, axis: int) -> Array:
    """The mean of what is a number; where nothing is, not a number."""
    count = np.asarray((~np.isnan(values)).sum(axis))
    total = np.asarray(np.nansum(values, axis))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _area(scores: Array, member: Array) -> float:
    return auroc(scores[member], scores[~member])


def _known(value: float) -> float:
    return -np.inf if np.isnan(value) else value


def by_patient(scores: Array, member: Array) -> Array:
    """Each patient's own risk: the AUROC of models that trained on them against the others.

    Args:
        scores: (T, N).
        member: (T, N) bool.

    Returns:
        (N,), ties half; not a number for a patient on whom all models trained, or none.
    """
    from scipy.stats import rankdata  # here, because it takes long to import

    members, others = member.sum(0), (~member).sum(0)
    wins = (rankdata(scores, axis=0) * member).sum(0) - members * (members + 1) / 2
    with np.errstate(invalid="ignore"):
        return np.asarray(wins / (members * others))


def enough_for(fpr: float, nonmembers: int) -> bool:
    """Whether so many nonmembers can show a false-positive rate.

    The rule of three asks for 3 / fpr of them.
    """
    return nonmembers * SLACK >= RULE_OF_THREE / fpr
