"""What epsilon an audit has shown a mechanism to exceed.

Lower bounds that hold with a given confidence. The evidence is slots: in each a canary was in or
out of the training data by its own fair coin, the other coins being known, and left a score. Three
readings, each with an assumption of its own:

- `guessing_bound`: how many coins are guessed. A mechanism that is mu-GDP (Dong, Roth & Su 2019,
  arXiv:1905.02383) lets a fair coin be guessed with probability cdf(mu / 2) at most, whatever its
  noise looks like, so the share of right guesses (Clopper & Pearson 1934) bounds mu from below. It
  refutes a claim of mu-GDP; for epsilon it is read along the Gaussian curve (Nasr et al. 2023,
  arXiv:2302.07956).
- `gaussian_bound`: scores are taken to be normal (Andrew et al. 2023, arXiv:2302.03098).
- `count_bound`: nothing is assumed of the mechanism (Jagielski, Ullman & Oprea 2020,
  arXiv:2006.07709; Nasr et al. 2021, arXiv:2101.04535), and little is seen.

All of them take slots to be independent.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.statistics import Array
from pipeline.statistics.accounting import gaussian_epsilon, gaussian_mu

MAX_EPSILON = 50.0  # no audit shows more
SIZE_SHARE = 0.1  # of the error of `gaussian_bound`, for the size of the noise
# in standard deviations of the claimed noise, at which `most_counted` calls members
THRESHOLDS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)


class Slots(NamedTuple):
    """What an auditor knows of n canaries, each (n,).

    Attributes:
        score: along the canary, in standard deviations of the noise that is claimed.
        member: bool, its own fair coin.
        strength: how far a member moves the score, as a share of `mu`.
        mu: of one record, as claimed, in the same standard deviations.
    """

    score: Array
    member: Array
    strength: Array
    mu: float


def clopper_pearson(
    successes: Array | int, n: Array | int, confidence: float = 0.95
) -> tuple[Array, Array]:
    """Exact two-sided intervals of proportions (Clopper & Pearson 1934); (0, 1) for no trials."""
    from scipy.stats import beta  # here, as below: it takes a second to import

    successes, n = np.asarray(successes), np.asarray(n)
    tail = (1 - confidence) / 2
    low = np.where(successes > 0, beta.ppf(tail, np.maximum(successes, 1), n - successes + 1), 0.0)
    high = np.where(
        successes < n, beta.ppf(1 - tail, successes + 1, np.maximum(n - successes, 1)), 1.0
    )
    return low, high


def guessing_bound(correct: int, guesses: int, confidence: float) -> float:
    """Lower bound of mu (of at least 0) from so many right guesses of fair coins.

    Args:
        correct: Right guesses.
        guesses: All of them; none is left out.
        confidence: Of the bound, one-sided.
    """
    from scipy.special import ndtri

    share = float(clopper_pearson(correct, guesses, 2 * confidence - 1)[0])
    return 2 * float(ndtri(share)) if share > 0.5 else 0.0


def gaussian_bound(slots: Slots, confidence: float) -> float:
    """Lower bound of mu (of at least 0), where scores are normal with one variance.

    A line is fitted through scores against `strength * member`. Its slope over the standard
    deviation is mu: a lower bound of the first over an upper bound of the second, which share the
    error.
    """
    from scipy.stats import chi2, t

    x = slots.strength * slots.member
    error, degrees = 1 - confidence, len(x) - 2
    centred = x - x.mean()
    squares = float((centred**2).sum())
    if degrees < 1 or squares == 0:
        return 0.0
    slope = float((centred * slots.score).sum()) / squares
    rest = slots.score - slots.score.mean() - slope * centred
    size = float(np.sqrt((rest**2).sum() / degrees))
    slope -= float(t.isf((1 - SIZE_SHARE) * error, degrees)) * size / squares**0.5
    size *= float(np.sqrt(degrees / chi2.ppf(SIZE_SHARE * error, degrees)))
    if slope <= 0:
        return 0.0
    return slope / size if size > 0 else float("inf")


def count_bound(
    true_positives: int,
    positives: int,
    false_positives: int,
    negatives: int,
    delta: float,
    confidence: float = 0.95,
) -> float:
    """Lower bound of epsilon from how often canaries were called members, when in and when out.

    A private mechanism has P(called | in) <= e^epsilon P(called | out) + delta, and P(not called |
    out) <= e^epsilon P(not called | in) + delta. One lower bound of the true positive rate and one
    upper bound of the false positive rate, each wrong with probability at most (1 - confidence) /
    2, serve both: the bounds of the not-called rates are their complements, so the second
    inequality spends no further error.

    Args:
        true_positives: Slots with the canary in which it was called a member.
        positives: Slots with the canary.
        false_positives: Slots without it in which it was called a member.
        negatives: Slots without it.
        delta: Of the claim under audit.
        confidence: Of the bound.

    Returns:
        epsilon of at least 0.
    """
    tp, n_in, fp, n_out = (
        np.asarray(count) for count in (true_positives, positives, false_positives, negatives)
    )
    return max(0.0, float(_log_ratio(tp, n_in, fp, n_out, delta, confidence)))


def _log_ratio(
    tp: Array, positives: Array, fp: Array, negatives: Array, delta: float, confidence: float
) -> Array:
    """The bound of `count_bound` before it is cut off at 0; -inf where nothing can be said."""
    tpr, fpr = (
        clopper_pearson(tp, positives, confidence)[0],
        clopper_pearson(fp, negatives, confidence)[1],
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        called, not_called = (
            np.log(np.maximum(tpr - delta, 0) / fpr),
            np.log(np.maximum(1 - fpr - delta, 0) / (1 - tpr)),
        )
    return np.asarray(np.maximum(called, not_called))


def most_counted(
    score: Array, member: Array, delta: float, confidence: float
) -> tuple[float, float]:
    """The best `count_bound` over `THRESHOLDS`, each with its share of the error, and its ceiling.

    Args:
        score: (n,) in standard deviations of the claimed noise.
        member: (n,) bool.
        delta: Of the claim under audit.
        confidence: Of the best bound, over all thresholds together (Bonferroni).
    """
    each = 1 - (1 - confidence) / len(THRESHOLDS)
    inside, outside = score[member], score[~member]
    sizes = len(inside), len(outside)
    found = [
        count_bound(
            int((inside >= one).sum()), sizes[0], int((outside >= one).sum()), sizes[1], delta, each
        )
        for one in THRESHOLDS
    ]
    return max(found), count_bound(sizes[0], sizes[0], 0, sizes[1], delta, each)


def bounds(slots: Slots, delta: float, confidence: float, gaussian: bool) -> dict[str, Any]:
    """All bounds of epsilon at one confidence, and the most that each could have shown.

    Args:
        slots: The evidence, chosen before looking at scores.
        delta: Of the claim under audit.
        confidence: Of each bound, one-sided.
        gaussian: Whether what is claimed is a Gaussian mechanism; if not, only counts say anything.

    Returns:
        guessing, gaussian (None where they say nothing), counts; guessing_ceiling,
        counts_ceiling; guesses and correct.
    """
    counts, most = most_counted(slots.score, slots.member, delta, confidence)
    guesses = slots.score > slots.strength * slots.mu / 2
    correct, n = int((guesses == slots.member).sum()), len(guesses)

    def epsilon(mu: float) -> float | None:
        return as_epsilon(mu, delta) if gaussian else None

    return {
        "guessing": epsilon(guessing_bound(correct, n, confidence)),
        "gaussian": epsilon(gaussian_bound(slots, confidence)),
        "counts": counts,
        "guessing_ceiling": epsilon(guessing_bound(n, n, confidence)),
        "counts_ceiling": most,
        "guesses": n,
        "correct": correct,
    }


def as_epsilon(mu: float, delta: float) -> float:
    """Epsilon of a mu-GDP mechanism, `MAX_EPSILON` at most."""
    if mu <= 0:
        return 0.0
    return gaussian_epsilon(min(mu, gaussian_mu(MAX_EPSILON, delta)), delta)
