"""What epsilon an audit has shown a mechanism to exceed.

Lower bounds that hold with a given confidence. Two kinds of evidence. One run: many canaries, each
in or out of the training data by its own fair coin, are guessed at once (Steinke, Nasr & Jagielski
2023, arXiv:2305.08846). Many runs: one canary is guessed again and again (Jagielski, Ullman & Oprea
2020, arXiv:2006.07709; Nasr et al. 2021, arXiv:2101.04535). Scores are higher for likelier members,
and depend on what the mechanism released and on the canaries alone, never on the coins. R is runs,
K canaries of a run.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.statistics import Array

# of the canaries called members, and as many non-members; half and half guesses all of them
SHARES = (0.005, 0.02, 0.1, 0.5)
MAX_EPSILON = 50.0  # no audit shows more: it would need e^50 guesses


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


# ---- one run, many canaries ----


def one_run_p_value(
    canaries: int, guesses: int, correct: int, epsilon: float, delta: float
) -> float:
    """Probability, at most, of so many correct guesses of an (epsilon, delta)-private mechanism.

    Steinke, Nasr & Jagielski 2023 (arXiv:2305.08846), theorem 5.2.

    Args:
        canaries: How many coins were thrown.
        guesses: How many of them were guessed, a number fixed beforehand.
        correct: How many of the guesses were right.
        epsilon: At least 0.
        delta: In [0, 1).

    Returns:
        A p-value in [0, 1].
    """
    if not 0 <= correct <= guesses <= canaries:
        raise ValueError(
            f"need 0 <= correct <= guesses <= canaries, not {correct}, {guesses} and {canaries}"
        )
    from scipy.stats import binom

    right = 1 / (1 + math.exp(-epsilon))
    p_value = float(binom.sf(correct - 1, guesses, right))
    if delta > 0 and correct > 0:
        below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, right))
        p_value += 2 * canaries * delta * float((below / np.arange(1, correct + 1)).max())
    return min(p_value, 1.0)


def one_run_bound(
    canaries: int, guesses: int, correct: int, delta: float, confidence: float = 0.95
) -> float:
    """The largest epsilon whose p-value (`one_run_p_value`) is at most 1 - confidence.

    0 if there is none.
    """

    def refuted(epsilon: float) -> bool:
        return one_run_p_value(canaries, guesses, correct, epsilon, delta) <= 1 - confidence

    low, high = 0.0, MAX_EPSILON
    if not refuted(low):
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def audit_one_run(
    scores: Array,
    member: Array,
    delta: float,
    confidence: float = 0.95,
    shares: Sequence[float] = SHARES,
) -> dict[str, float]:
    """Lower bound of epsilon from calling the highest scores members and the lowest non-members.

    Independent runs on coins of their own are one mechanism: a coin moves one run only, so all R x
    K slots count together.

    Args:
        scores: (R, K), or (K,) of a single run.
        member: Likewise, bool: each slot's own fair coin.
        delta: Of the claim under audit.
        confidence: Of the bound, over all shares together (Bonferroni).
        shares: How many slots are guessed on each side, at least 1, as shares of all. Fixed before
            looking.

    Returns:
        epsilon_lower_bound; guesses, correct and canaries of the share that gave it; ceiling: the
        best bound of any share had all its guesses been right.
    """
    scores, member = _same_shape(scores, member)
    ranked = member[np.argsort(scores, kind="stable")]
    n, each = len(ranked), 1 - (1 - confidence) / len(shares)
    sides = [min(max(round(share * n), 1), n // 2) for share in shares]
    correct = [int(ranked[n - side :].sum() + (~ranked[:side]).sum()) for side in sides]
    bounds = [
        one_run_bound(n, 2 * side, hits, delta, each)
        for side, hits in zip(sides, correct, strict=True)
    ]
    best = int(np.argmax(bounds))
    return {
        "epsilon_lower_bound": bounds[best],
        "guesses": 2 * sides[best],
        "correct": correct[best],
        "canaries": n,
        "ceiling": max(one_run_bound(n, 2 * side, 2 * side, delta, each) for side in sides),
    }


# ---- many runs, one canary ----


def many_run_bound(
    true_positives: int,
    positives: int,
    false_positives: int,
    negatives: int,
    delta: float,
    confidence: float = 0.95,
) -> float:
    """Lower bound of epsilon from how often one canary was called a member, with and without it.

    A private mechanism has P(called | in) <= e^epsilon P(called | out) + delta, and P(not called |
    out) <= e^epsilon P(not called | in) + delta. One lower bound of the true positive rate and one
    upper bound of the false positive rate, each wrong with probability at most (1 - confidence) /
    2, serve both: the bounds of the not-called rates are their complements, so the second
    inequality spends no further error.

    Args:
        true_positives: Runs with the canary in which it was called a member.
        positives: Runs with the canary.
        false_positives: Runs without it in which it was called a member.
        negatives: Runs without it.
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
    """The bound of `many_run_bound` before it is cut off at 0; -inf where nothing can be said."""
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


def audit_many_runs(
    scores: Array, member: Array, threshold: float, delta: float, confidence: float = 0.95
) -> dict[str, float]:
    """Lower bound of epsilon from one canary, called a member at or above the threshold.

    Args:
        scores: (R,) of independent runs.
        member: (R,) bool: in which of them it was.
        threshold: Chosen on other runs (`select_threshold`).
        delta: Of the claim under audit.
        confidence: Of the bound.

    Returns:
        epsilon_lower_bound, guesses (all runs), correct, ceiling: the bound had all guesses been
        right.
    """
    scores, member = _same_shape(scores, member)
    called, positives = scores >= threshold, int(member.sum())
    negatives = len(member) - positives
    tp, fp = int((called & member).sum()), int((called & ~member).sum())
    return {
        "epsilon_lower_bound": many_run_bound(tp, positives, fp, negatives, delta, confidence),
        "guesses": len(member),
        "correct": tp + negatives - fp,
        "ceiling": many_run_bound(positives, positives, 0, negatives, delta, confidence),
    }


def select_threshold(scores: Array, member: Array, delta: float, confidence: float = 0.95) -> float:
    """The score (R,) at which `many_run_bound` would be largest.

    For use on runs that are not audited.
    """
    return _best_threshold(scores, member, delta, confidence)[0]


def _best_threshold(
    scores: Array, member: Array, delta: float, confidence: float
) -> tuple[float, float]:
    """The threshold, and its log ratio, which still ranks canaries where no bound is above 0."""
    scores, member = _same_shape(scores, member)
    thresholds, inside, outside = (
        np.unique(scores),
        np.sort(scores[member]),
        np.sort(scores[~member]),
    )
    tp, fp = (
        len(inside) - np.searchsorted(inside, thresholds),
        len(outside) - np.searchsorted(outside, thresholds),
    )
    ratios = _log_ratio(
        tp, np.asarray(len(inside)), fp, np.asarray(len(outside)), delta, confidence
    )
    best = int(ratios.argmax())
    return float(thresholds[best]), float(ratios[best])


# ---- both ----


def lower_bound(
    reference_scores: Array,
    reference_member: Array,
    scores: Array,
    member: Array,
    delta: float,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """The better of both kinds of bound, each allowed half of the error.

    Args:
        reference_scores: (R1, K) of runs that are not audited. The canary and its threshold are
            chosen on them.
        reference_member: (R1, K) bool.
        scores: (R2, K) of the audited runs, on the same canaries.
        member: (R2, K) bool: independent fair coins.
        delta: Of the claim under audit.
        confidence: Of the better bound.

    Returns:
        epsilon_lower_bound; ceiling: the larger one; one_run and many_runs: the answers of
        `audit_one_run` and `audit_many_runs`; guesses and correct of the kind that gave the bound;
        canary (column) and threshold of the many runs.
    """
    if np.shape(reference_scores)[1:] != np.shape(scores)[1:]:
        raise ValueError(
            f"reference runs have canaries {np.shape(reference_scores)[1:]}, audited runs "
            f"{np.shape(scores)[1:]}"
        )
    half = 1 - (1 - confidence) / 2
    columns = zip(np.asarray(reference_scores).T, np.asarray(reference_member).T, strict=True)
    chosen = [_best_threshold(column, coins, delta, half) for column, coins in columns]
    canary = int(np.argmax([ratio for _, ratio in chosen]))
    threshold = chosen[canary][0]
    one_run = audit_one_run(scores, member, delta, half)
    many_runs = audit_many_runs(
        np.asarray(scores)[:, canary], np.asarray(member)[:, canary], threshold, delta, half
    )
    better = max(one_run, many_runs, key=lambda audit: audit["epsilon_lower_bound"])
    return {
        "epsilon_lower_bound": better["epsilon_lower_bound"],
        "ceiling": max(one_run["ceiling"], many_runs["ceiling"]),
        "one_run": one_run,
        "many_runs": many_runs,
        "guesses": better["guesses"],
        "correct": better["correct"],
        "canary": canary,
        "threshold": threshold,
    }


def _same_shape(scores: Array, member: Array) -> tuple[Array, Array]:
    """Both flat, the coins as bool."""
    scores, member = np.asarray(scores, dtype=np.float64), np.asarray(member, dtype=bool)
    if scores.shape != member.shape or scores.size < 2:
        raise ValueError(
            f"need a coin for each of at least two scores, not {member.shape} for {scores.shape}"
        )
    if np.isnan(scores).any():
        raise ValueError("a score is missing")
    return scores.ravel(), member.ravel()
