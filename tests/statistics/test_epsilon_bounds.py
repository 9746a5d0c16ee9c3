"""Bounds equal naive formulas, reach their ceiling, and err as rarely as they say."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from pipeline.statistics.accounting import gaussian_epsilon
from pipeline.statistics.epsilon_bounds import (
    MAX_EPSILON,
    THRESHOLDS,
    Slots,
    as_epsilon,
    bounds,
    clopper_pearson,
    count_bound,
    gaussian_bound,
    guessing_bound,
    most_counted,
)

pytestmark = pytest.mark.heavy

DELTA, MU = 1e-4, 0.8176
CLAIM = gaussian_epsilon(MU, DELTA)
AUDITS = 400
MOST_WRONG = binom.ppf(
    0.999, AUDITS, 0.05
)  # of audits at 95 % confidence, but for one in a thousand


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def made_up(rng, n=2000, mu=MU, size=1.0, strength=1.0, noise=None):
    """Slots of a Gaussian mechanism with noise of another size than claimed."""
    member = rng.random(n) < 0.5
    strengths = np.full(n, strength)
    drawn = rng.standard_normal(n) if noise is None else noise(n)
    return Slots(size * drawn + mu * strengths * member, member, strengths, mu)


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


# ---- guesses ----


def test_the_share_of_right_guesses_is_read_along_the_gaussian_curve():
    n = 500
    for correct in (251, 300, 480):
        share = clopper_pearson(correct, n, 0.9)[0]
        mu = guessing_bound(correct, n, 0.95)
        assert mu == 0 if share <= 0.5 else norm.cdf(mu / 2) == pytest.approx(float(share))
    assert guessing_bound(250, n, 0.95) == guessing_bound(0, n, 0.95) == 0.0


def test_all_guesses_right_are_the_ceiling_and_it_is_finite():
    assert guessing_bound(100, 100, 0.95) == pytest.approx(2 * norm.ppf(0.05 ** (1 / 100)))


@pytest.mark.parametrize("mu", [0.3, 1.5])
def test_guesses_exceed_the_truth_as_rarely_as_promised(rng, mu):
    """The best guess of a Gaussian mechanism is right with probability cdf(mu / 2)."""
    correct = rng.binomial(300, norm.cdf(mu / 2), AUDITS)
    wrong = sum(guessing_bound(int(one), 300, 0.95) > mu for one in correct)
    assert 0 < wrong <= MOST_WRONG


# ---- normal scores ----


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("size", [1.0, 0.5])
def test_normal_scores_exceed_the_truth_as_rarely_as_promised_and_come_near(rng, size, strength):
    truth = MU / size
    found = np.array(
        [
            gaussian_bound(made_up(rng, 1000, size=size, strength=strength), 0.95)
            for _ in range(AUDITS)
        ]
    )
    assert (found > truth).sum() <= MOST_WRONG
    assert np.median(found) > truth - 2 * 2 / (strength * 1000**0.5) - 0.05 * truth


def test_scores_without_noise_are_beyond_every_epsilon(rng):
    assert as_epsilon(gaussian_bound(made_up(rng, size=0.0), 0.95), DELTA) == pytest.approx(
        MAX_EPSILON
    )


def test_scores_that_say_nothing_bound_nothing(rng):
    slots = made_up(rng, mu=0.0)
    assert gaussian_bound(slots._replace(member=~slots.member), 0.95) < 0.1
    everybody = slots._replace(member=np.ones(2000, dtype=bool))
    assert gaussian_bound(everybody, 0.95) == 0.0


# ---- counts ----


def test_counts_all_right_have_a_closed_form():
    p = 0.025 ** (1 / 50)
    assert count_bound(50, 50, 0, 50, 1e-5) == pytest.approx(math.log((p - 1e-5) / (1 - p)))


def test_counts_count_the_not_called_too():
    both = count_bound(500, 500, 300, 500, 0.0), count_bound(200, 500, 0, 500, 0.0)
    assert both[0] == pytest.approx(both[1])
    assert both[0] > 3


def test_counts_without_evidence_give_nothing():
    assert count_bound(25, 50, 25, 50, 0.0) == 0.0
    assert count_bound(0, 0, 0, 0, 0.0) == 0.0


def test_the_best_threshold_pays_for_all_of_them(rng):
    slots = made_up(rng)
    found, ceiling = most_counted(slots.score, slots.member, DELTA, 0.95)
    inside, outside = slots.score[slots.member], slots.score[~slots.member]
    each = [
        count_bound(
            int((inside >= one).sum()),
            len(inside),
            int((outside >= one).sum()),
            len(outside),
            DELTA,
            1 - 0.05 / len(THRESHOLDS),
        )
        for one in THRESHOLDS
    ]
    assert found == max(each)
    assert found <= ceiling


# ---- all of them ----


def randomised_response(rng, epsilon, n=2000):
    """The coins, each told truly with the probability that is exactly (epsilon, 0)-private."""
    member = rng.random(n) < 0.5
    told = np.where(rng.random(n) < 1 / (1 + math.exp(-epsilon)), member, ~member)
    return Slots(4.0 * told, member, np.ones(n), 4.0)


def test_bounds_of_an_honest_mechanism_hold_and_of_half_the_noise_refute(rng):
    shown = bounds(made_up(rng, 8000), DELTA, 0.95, gaussian=True)
    for kind in ("guessing", "gaussian"):
        assert 0.8 * CLAIM < shown[kind] < CLAIM
    assert 0.2 * CLAIM < shown["counts"] < CLAIM
    assert shown["guessing"] < shown["guessing_ceiling"]
    half = bounds(made_up(rng, 8000, size=0.5), DELTA, 1 - 1e-6, gaussian=True)
    assert min(half["guessing"], half["gaussian"]) > CLAIM


@pytest.mark.slow
def test_counts_need_no_gaussian_mechanism(rng):
    wrong = [
        bounds(randomised_response(rng, 1.0), 0.0, 0.95, gaussian=False)["counts"] > 1.0
        for _ in range(AUDITS)
    ]
    assert sum(wrong) <= MOST_WRONG
    shown = bounds(randomised_response(rng, 1.0, 20_000), 0.0, 0.95, gaussian=False)
    assert shown["counts"] > 0.85
    assert shown["guessing"] is None


@pytest.mark.slow
def test_guesses_need_no_normal_noise(rng):
    """Noise of another shape that is as private: randomised response at cdf(mu / 2)."""
    right = norm.cdf(MU / 2)
    wrong = 0
    for _ in range(AUDITS):
        slots = randomised_response(rng, math.log(right / (1 - right)))
        wrong += bounds(slots, DELTA, 0.95, gaussian=True)["guessing"] > CLAIM
    assert 0 < wrong <= MOST_WRONG


def test_epsilon_of_mu_has_an_end():
    assert as_epsilon(0.0, DELTA) == 0.0
    assert as_epsilon(MU, DELTA) == pytest.approx(3.0, abs=1e-3)
    assert as_epsilon(math.inf, DELTA) == pytest.approx(MAX_EPSILON)
