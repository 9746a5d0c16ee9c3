"""Near 0 and 1 intervals hold as often as they say: every outcome of so many patients, counted."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from pipeline.statistics.conclusions import Difference
from pipeline.statistics.edges import (
    Share,
    error_of_difference,
    error_of_share,
    is_at_edge,
    widened_auroc,
    wilson,
)
from pipeline.statistics.intervals import (
    bootstrap_mean,
    bootstrap_weights,
    bounded_mean,
    bounded_mean_share,
    paired_difference,
)
from pipeline.statistics.rates import auroc

N = 53
SHARES = np.r_[np.linspace(0.0005, 0.2, 400), np.linspace(0.8, 0.9995, 400)]


def bounds(bounded, whose=None):
    """(n + 1, 2): the interval of each number of n patients, of whom the first say yes."""
    n = N if whose is None else int(whose.max()) + 1
    weights = bootstrap_weights(n, 500, seed=0)
    weights, whose = (weights, np.arange(n)) if whose is None else (weights[:, whose], whose)
    found = [bounded("x", (whose < k).astype(float), weights, 0.95) for k in range(n + 1)]
    return np.array([[one["x_low"], one["x_high"]] for one in found])


def held(ends, n):
    """How often an interval holds each of `SHARES`, of n independent patients."""
    chance = binom.pmf(np.arange(n + 1)[:, None], n, SHARES)
    return (chance * ((ends[:, :1] <= SHARES) & (ends[:, 1:] >= SHARES))).sum(0)


def test_of_53_patients_every_share_near_0_or_1_is_held():
    """Of 0 a bootstrap draws nothing else, of 1 seldom more than 3; Wilson's alone hold 0.84."""
    honest, drawn = (held(bounds(one), N) for one in (bounded_mean_share, bounded_mean))
    assert honest.min() > 0.92
    assert honest.mean() > 0.95
    assert drawn.min() < 0.05


@pytest.mark.parametrize(("yes", "low", "high"), [(0, 0.0, 0.068), (1, 0.0, 0.099), (53, 0.932, 1)])
def test_a_few_of_53_are_no_certainty(yes, low, high):
    found = bounds(bounded_mean_share)[yes]
    assert found == pytest.approx([low, high], abs=5e-4)


def test_three_records_of_each_patient_are_as_sure_as_one():
    """They say the same, so the number is that of patients; of records it would hold far less."""
    whose = np.repeat(np.arange(N), 3)
    thrice = bounds(bounded_mean_share, whose)
    np.testing.assert_allclose(thrice, bounds(bounded_mean_share), atol=1e-6)
    of_records = np.array([wilson(3 * k, 3 * N) for k in range(N + 1)])
    assert held(thrice, N).min() > 0.92
    assert held(of_records, N).min() < 0.8


def test_of_patients_with_more_records_and_fewer_the_number_is_kish_s():
    """All outcomes of 12 patients, each of whom says the same in 1 to 4 records."""
    sizes = np.array([1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4])
    whose = np.repeat(np.arange(12), sizes)
    weights = bootstrap_weights(12, 400, seed=0)[:, whose]
    likely = [said for said in product((0, 1), repeat=12) if sum(said) <= 3]
    said = np.array(likely)
    found = [bounded_mean_share("x", one[whose].astype(float), weights, 0.95) for one in said]
    ends = np.array([[one["x_low"], one["x_high"]] for one in found])
    for share in (0.01, 0.03):
        chance = share ** said.sum(1) * (1 - share) ** (12 - said.sum(1))
        inside = (ends[:, 0] <= share) & (ends[:, 1] >= share)
        assert (chance * inside).sum() > 0.95


def test_far_from_0_and_1_the_bootstrap_stands():
    weights = bootstrap_weights(400, 300, seed=0)
    each = (np.arange(400) < 120).astype(float)
    assert bounded_mean_share("x", each, weights, 0.95) == bounded_mean("x", each, weights, 0.95)
    assert not is_at_edge(0.3, 0.02)
    assert is_at_edge(0.3, 0.0)
    assert is_at_edge(0.05, 0.02)
    assert is_at_edge(0.95, 0.02)


# ---- differences ----


def outcomes(n):
    """(K, 2): how many patients only the one, and only the other is right about."""
    return np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)])


def errors(n):
    """(K, 2): the difference of each outcome and its standard error, resamples without chance."""
    found = []
    for b, c in outcomes(n):
        one = (np.arange(n) < b).astype(float)
        other = ((np.arange(n) >= b) & (np.arange(n) < b + c)).astype(float)
        drawn = float((one - other).std()) / n**0.5
        found.append((b / n - c / n, error_of_difference(Share(one), Share(other), drawn)))
    return np.array(found)


@pytest.mark.parametrize(("n", "most", "rarely"), [(10, 0.05, 0.005), (20, 0.08, 0.013)])
def test_two_that_are_alike_are_seldom_told_apart_and_their_difference_is_held(n, most, rarely):
    found, plain = errors(n), outcomes(n)
    for turned in (0.02, 0.1, 0.3, 0.6, 0.9):  # as many by the one as by the other
        half = turned / 2
        chance = multinomial.pmf(np.c_[plain, n - plain.sum(1)], n, [half, half, 1 - turned])
        p = np.array([Difference(*one).p for one in found])
        assert chance[p <= 0.05].sum() <= most
        assert chance[p <= 0.005].sum() <= rarely
    for more, less in product((0.002, 0.02, 0.2, 0.5), (0.002, 0.02, 0.2)):
        chance = multinomial.pmf(np.c_[plain, n - plain.sum(1)], n, [more, less, 1 - more - less])
        missed = np.abs(found[:, 0] - (more - less)) > 1.96 * found[:, 1] + 1e-9
        assert chance[~missed].sum() > 0.93


def test_none_of_53_against_none_of_53_says_little():
    none, three = np.zeros(N), (np.arange(N) < 3).astype(float)
    weights = bootstrap_weights(N, 500, seed=0)
    alike = paired_difference(none, np.zeros(N), weights)
    assert alike["high"] == -alike["low"] == pytest.approx(1.96 * 2**0.5 / (N + 2), abs=1e-4)
    few = paired_difference(three, none, weights)
    assert few["low"] < 0 < few["difference"] < few["high"]
    assert Difference(few["difference"], few["se"]).p > 0.05  # a sign test says 0.25


def test_all_that_differ_alike_have_the_p_of_a_sign_test():
    """All ten: a bootstrap draws nothing else, so that even two of two would be proof."""
    ten = paired_difference(np.ones(10), np.zeros(10), bootstrap_weights(10, 200, seed=0))
    assert 2**-9 < Difference(ten["difference"], ten["se"]).p < 0.005
    two = paired_difference(np.ones(2), np.zeros(2), bootstrap_weights(2, 200, seed=0))
    assert Difference(two["difference"], two["se"]).p > 0.05


def test_copies_of_patients_make_no_difference_surer():
    whose = np.repeat(np.arange(20), 3)
    one = (np.arange(20) < 4).astype(float)
    alone = error_of_difference(Share(one), Share(np.zeros(20)), 0.09)
    copied = error_of_difference(Share(one[whose], whose), Share(np.zeros(60), whose), 0.09)
    assert copied == pytest.approx(alone)
    assert alone > 0.09


def test_where_many_differ_the_bootstrap_stands():
    one = (np.arange(400) < 30).astype(float)
    assert error_of_difference(Share(one), Share(np.zeros(400)), 0.0123) == 0.0123


def test_of_other_patients_each_share_has_its_own_error():
    asked = np.arange(60) < 20
    here, there = np.where(asked, 0.0, np.nan), np.where(asked, np.nan, 0.0)
    assert error_of_difference(Share(here), Share(there), 0.0) == pytest.approx(
        (22.0**-2 + 42.0**-2) ** 0.5
    )
    assert error_of_share(Share(here), 0.0) == pytest.approx(1 / 22)
    half = np.where(asked, np.arange(60) % 2, np.nan)
    assert error_of_share(Share(half), 0.1) == 0.1


# ---- AUROC ----


def test_an_auroc_of_1_is_no_certainty():
    """Its bound solves Newcombe's equation, and comes nearer with more patients."""
    low, high = widened_auroc(1.0, (1.0, 1.0), 20, 30, 0.95)
    assert high == 1
    middle = 24
    spread = 1 + middle * ((1 - low) / (2 - low) + low / (1 + low))
    assert 1 - low == pytest.approx(1.959964 * (low * (1 - low) * spread / 600) ** 0.5, abs=1e-6)
    assert widened_auroc(1.0, (1.0, 1.0), 200, 300, 0.95)[0] > low
    mirrored = widened_auroc(0.0, (0.0, 0.0), 20, 30, 0.95)
    assert mirrored == pytest.approx((0.0, 1 - low), abs=1e-6)


def test_an_auroc_near_1_is_held():
    """Normal scores of 10 ill and 30 healthy, 2.5 apart: the truth is 0.961."""
    rng = np.random.default_rng(0)
    y = np.repeat([1, 0], [10, 30])
    truth, inside = 0.961, []
    for _ in range(400):
        area = auroc(rng.standard_normal(40) + 2.5 * y, y)
        low, high = widened_auroc(area, (area, area), 10, 30, 0.95)
        inside.append(low <= truth <= high)
    assert np.mean(inside) > 0.93


def test_resamples_and_bounds_are_of_the_same_share():
    each = (np.arange(N) < 2).astype(float)
    weights = bootstrap_weights(N, 500, seed=0)
    found = bounded_mean_share("x", each, weights, 0.95)
    drawn = np.quantile(bootstrap_mean(each, weights), [0.025, 0.975])
    assert found["x_low"] == min(drawn[0], wilson(2, N)[0])
    assert found["x_high"] == max(drawn[1], wilson(2, N)[1])
