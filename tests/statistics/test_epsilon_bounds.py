"""Bounds equal naive formulas, reach their ceiling, and err as rarely as they say."""

import math
import time

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from pipeline.statistics.accounting import gaussian_epsilon
from pipeline.statistics.epsilon_bounds import (
    SHARES,
    audit_many_runs,
    audit_one_run,
    clopper_pearson,
    lower_bound,
    many_run_bound,
    one_run_bound,
    one_run_p_value,
    select_threshold,
)

pytestmark = pytest.mark.heavy

AUDITS = 400
MOST_WRONG = binom.ppf(
    0.999, AUDITS, 0.05
)  # of audits at 95 % confidence, but for one in a thousand


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def coins(rng, *shape):
    return rng.random(shape) < 0.5


def randomised_response(rng, member, epsilon):
    """The coins, each told truly with the probability that is exactly (epsilon, 0)-private."""
    truth = rng.random(member.shape) < 1 / (1 + math.exp(-epsilon))
    return np.where(truth, member, ~member) + 1e-3 * rng.random(member.shape)


# ---- Clopper-Pearson ----


@pytest.mark.parametrize("n", [1, 7, 50])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_exact_interval_is_scipys(n, confidence):
    for successes in range(n + 1):
        reference = binomtest(successes, n).proportion_ci(confidence, method="exact")
        assert clopper_pearson(successes, n, confidence) == pytest.approx(
            (reference.low, reference.high), abs=1e-12
        )


@pytest.mark.parametrize("p", [0.01, 0.3, 0.77])
def test_each_side_of_the_interval_misses_at_most_half_of_the_error(p):
    n = 60
    intervals = np.array([clopper_pearson(successes, n) for successes in range(n + 1)])
    probability = binom.pmf(np.arange(n + 1), n, p)
    assert probability[intervals[:, 0] > p].sum() <= 0.025
    assert probability[intervals[:, 1] < p].sum() <= 0.025


def test_no_trials_say_nothing():
    assert clopper_pearson(0, 0) == (0.0, 1.0)


# ---- the p-value of one run ----


def naive_p_value(m, r, v, epsilon, delta):
    """The theorem, term by term."""
    q = 1 / (1 + math.exp(-epsilon))

    def pmf(k):
        return math.comb(r, k) * q**k * (1 - q) ** (r - k)

    beta = sum(pmf(k) for k in range(v, r + 1))
    alpha = max(
        (sum(pmf(v - j) for j in range(1, i + 1) if v >= j) / i for i in range(1, m + 1)), default=0
    )
    return min(beta + 2 * m * delta * alpha, 1)


@pytest.mark.parametrize(("m", "r"), [(10, 10), (30, 20), (100, 6)])
@pytest.mark.parametrize("epsilon", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("delta", [0.0, 1e-4, 1e-2])
def test_the_p_value_is_the_formula(m, r, epsilon, delta):
    for v in range(r + 1):
        assert one_run_p_value(m, r, v, epsilon, delta) == pytest.approx(
            naive_p_value(m, r, v, epsilon, delta), rel=1e-9
        )


def test_the_p_value_falls_with_correct_guesses_and_rises_with_epsilon_and_delta():
    by_correct = [one_run_p_value(80, 60, v, 0.8, 1e-4) for v in range(61)]
    assert by_correct == sorted(by_correct, reverse=True)
    by_epsilon = [one_run_p_value(80, 60, 55, epsilon, 0.0) for epsilon in np.linspace(0, 5, 21)]
    assert by_epsilon == sorted(by_epsilon)
    assert (
        one_run_p_value(80, 60, 55, 0.8, 1e-3)
        > one_run_p_value(80, 60, 55, 0.8, 1e-5)
        > one_run_p_value(80, 60, 55, 0.8, 0)
    )


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="correct <= guesses <= canaries"):
        one_run_p_value(10, 5, 6, 1.0, 0.0)


# ---- the bound of one run ----


@pytest.mark.parametrize(("r", "rounded"), [(50, 2.8), (100, 3.5), (1000, 5.8)])
def test_all_guesses_right_certify_no_more_than_the_closed_form(r, rounded):
    p = 0.05 ** (1 / r)
    assert one_run_bound(r, r, r, 0.0) == pytest.approx(math.log(p / (1 - p)), abs=1e-5)
    assert one_run_bound(r, r, r, 0.0) == pytest.approx(rounded, abs=0.05)


def test_the_bound_is_where_the_p_value_crosses():
    bound = one_run_bound(500, 300, 260, 1e-5)
    assert (
        one_run_p_value(500, 300, 260, bound, 1e-5)
        <= 0.05
        < one_run_p_value(500, 300, 260, bound + 1e-4, 1e-5)
    )


def test_the_bound_rises_with_correct_guesses_and_falls_with_delta_and_confidence():
    bounds = [one_run_bound(100, 100, v, 1e-5) for v in range(0, 101, 10)]
    assert bounds == sorted(bounds)
    assert bounds[5] == 0.0 < bounds[-1]
    assert (
        one_run_bound(100, 100, 95, 1e-3)
        < one_run_bound(100, 100, 95, 1e-6)
        < one_run_bound(100, 100, 95, 0.0)
    )
    assert one_run_bound(100, 100, 95, 0.0, 0.99) < one_run_bound(100, 100, 95, 0.0, 0.9)


def test_a_hundred_thousand_canaries_take_no_time():
    start = time.perf_counter()
    assert one_run_bound(100_000, 100_000, 80_000, 1e-6) == pytest.approx(math.log(4), abs=0.05)
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 2.5])
def test_guesses_at_randomised_response_exceed_its_epsilon_as_rarely_as_promised(epsilon):
    n, right = 200, 1 / (1 + math.exp(-epsilon))
    bound = [one_run_bound(n, n, v, 0.0) for v in range(n + 1)]
    assert binom.pmf(np.arange(n + 1), n, right)[np.array(bound) > epsilon].sum() <= 0.05


# ---- an audit in one run ----


def test_an_audit_of_randomised_response_is_wrong_in_at_most_one_of_twenty(rng):
    epsilon, wrong = 1.0, 0
    for _ in range(AUDITS):
        member = coins(rng, 2, 30)
        scores = randomised_response(rng, member, epsilon)
        wrong += (
            audit_one_run(scores, member, 0.0, shares=(0.1, 0.5))["epsilon_lower_bound"] > epsilon
        )
    assert wrong <= MOST_WRONG


def test_many_canaries_bring_the_bound_near_epsilon(rng):
    member = coins(rng, 4, 5000)
    audit = audit_one_run(randomised_response(rng, member, 1.5), member, 1e-6)
    assert 1.35 < audit["epsilon_lower_bound"] < 1.5
    assert audit["canaries"] == 20_000


def test_a_mechanism_that_hides_nothing_reaches_the_ceiling_of_one_run(rng):
    member = coins(rng, 3, 100)
    audit = audit_one_run(
        member + 0.1 * rng.random(member.shape), member, 1e-5, shares=(0.005, 0.02, 0.1, 0.3)
    )
    assert audit["epsilon_lower_bound"] == audit["ceiling"] > 3
    assert audit["correct"] == audit["guesses"]


def test_the_ceiling_pays_for_every_share(rng):
    member = coins(rng, 100)
    ceiling = audit_one_run(member, member, 0.0)["ceiling"]
    assert ceiling == pytest.approx(
        one_run_bound(100, 100, 100, 0.0, 1 - 0.05 / len(SHARES)), abs=1e-9
    )
    assert ceiling < one_run_bound(100, 100, 100, 0.0)


def test_members_are_expected_at_the_top(rng):
    member = coins(rng, 1, 200)
    assert audit_one_run(member, member, 0.0)["epsilon_lower_bound"] > 2
    assert audit_one_run(~member, member, 0.0)["epsilon_lower_bound"] == 0


def test_a_small_share_is_at_least_one_canary_of_each_side():
    audit = audit_one_run(np.arange(6.0), np.arange(6) > 2, 0.0, shares=(1e-6,))
    assert (audit["guesses"], audit["correct"]) == (2, 2)


# ---- many runs ----


def test_many_runs_all_right_have_a_closed_form():
    high, low = 1 - 0.025 ** (1 / 500), 0.025 ** (1 / 500)
    assert many_run_bound(500, 500, 0, 500, 1e-3) == pytest.approx(math.log((low - 1e-3) / high))


def test_many_runs_count_the_not_called_too():
    assert many_run_bound(500, 500, 300, 500, 0.0) == pytest.approx(
        many_run_bound(200, 500, 0, 500, 0.0)
    )
    assert many_run_bound(500, 500, 300, 500, 0.0) > 3


def test_many_runs_without_evidence_give_nothing():
    assert (
        many_run_bound(0, 0, 0, 10, 0.0)
        == many_run_bound(5, 10, 5, 10, 0.0)
        == many_run_bound(0, 10, 10, 10, 0.0)
        == 0
    )
    assert many_run_bound(10, 10, 0, 0, 0.0) == 0


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_an_audit_of_the_gaussian_mechanism_is_wrong_in_at_most_one_of_twenty(rng, mu):
    delta = 1e-3
    epsilon = gaussian_epsilon(mu, delta)
    wrong = 0
    for _ in range(AUDITS):
        member = coins(rng, 400)
        scores = mu * member + rng.normal(size=400)
        half = slice(0, 200), slice(200, 400)
        threshold = select_threshold(scores[half[0]], member[half[0]], delta)
        wrong += (
            audit_many_runs(scores[half[1]], member[half[1]], threshold, delta)[
                "epsilon_lower_bound"
            ]
            > epsilon
        )
    assert wrong <= MOST_WRONG


def test_randomised_response_is_the_worst_case_and_still_is_not_exceeded_more_often():
    """Exactly, over all outcomes: the bound is above epsilon with a probability of at most 5 %."""
    n, epsilon = 40, 1.0
    right = 1 / (1 + math.exp(-epsilon))
    above = np.array(
        [
            [many_run_bound(tp, n, fp, n, 0.0) > epsilon for fp in range(n + 1)]
            for tp in range(n + 1)
        ]
    )
    joint = np.outer(
        binom.pmf(np.arange(n + 1), n, right), binom.pmf(np.arange(n + 1), n, 1 - right)
    )
    assert 0 < joint[above].sum() <= 0.05


def test_many_runs_bring_the_bound_near_epsilon(rng):
    mu, delta, member = 1.0, 1e-2, coins(rng, 100_000)
    scores = mu * member + rng.normal(size=len(member))
    threshold = select_threshold(scores[:50_000], member[:50_000], delta)
    epsilon = gaussian_epsilon(mu, delta)
    assert (
        0.8 * epsilon
        < audit_many_runs(scores[50_000:], member[50_000:], threshold, delta)["epsilon_lower_bound"]
        < epsilon
    )


def test_the_selected_threshold_is_the_best_of_all(rng):
    member = coins(rng, 120)
    scores = np.round(2 * member + rng.normal(size=120), 1)
    best = select_threshold(scores, member, 1e-3)
    bounds = {
        threshold: audit_many_runs(scores, member, threshold, 1e-3)["epsilon_lower_bound"]
        for threshold in scores
    }
    assert bounds[best] == max(bounds.values()) > 0


# ---- both ----


def test_coins_without_a_mechanism_give_nothing(rng):
    wrong = 0
    for _ in range(100):
        reference, member = coins(rng, 20, 5), coins(rng, 20, 5)
        noise = rng.normal(size=(2, 20, 5))
        wrong += lower_bound(noise[0], reference, noise[1], member, 1e-5)["epsilon_lower_bound"] > 0
    assert wrong <= binom.ppf(0.999, 100, 0.05)


def test_a_mechanism_that_hides_nothing_reaches_the_ceiling(rng):
    reference, member = coins(rng, 40, 5), coins(rng, 60, 5)
    audit = lower_bound(reference, reference, member, member, 1e-6)
    many = audit["many_runs"]
    assert many["epsilon_lower_bound"] == many["ceiling"] > 0
    assert many["correct"] == many["guesses"] == 60
    assert audit["epsilon_lower_bound"] == max(
        audit["one_run"]["epsilon_lower_bound"], many["epsilon_lower_bound"]
    )
    assert audit["ceiling"] == max(audit["one_run"]["ceiling"], many["ceiling"])


def test_the_canary_that_leaks_is_found_on_the_reference_runs(rng):
    reference, member = coins(rng, 300, 6), coins(rng, 300, 6)
    leak = np.array([0, 0, 0, 8.0, 0, 0])
    audit = lower_bound(
        leak * reference + rng.normal(size=reference.shape),
        reference,
        leak * member + rng.normal(size=member.shape),
        member,
        1e-5,
    )
    assert audit["canary"] == 3
    assert audit["many_runs"]["epsilon_lower_bound"] > 3
    assert 0 < audit["threshold"] < 8


def test_both_bounds_are_held_at_half_of_the_error(rng):
    reference, member = coins(rng, 30, 4), coins(rng, 30, 4)
    scores = member + rng.normal(size=member.shape)
    audit = lower_bound(reference + 0.0, reference, scores, member, 1e-5, confidence=0.9)
    assert audit["one_run"] == audit_one_run(scores, member, 1e-5, 0.95)
    assert audit["many_runs"] == audit_many_runs(
        scores[:, audit["canary"]], member[:, audit["canary"]], audit["threshold"], 1e-5, 0.95
    )


def test_scores_without_coins_missing_scores_and_other_canaries_are_refused(rng):
    member = coins(rng, 4, 3)
    with pytest.raises(ValueError, match="need a coin"):
        audit_one_run(np.zeros((4, 2)), member, 0.0)
    with pytest.raises(ValueError, match="missing"):
        audit_one_run(np.full((4, 3), np.nan), member, 0.0)
    with pytest.raises(ValueError, match="reference runs"):
        lower_bound(member[:, :2], member[:, :2], member, member, 0.0)
