"""p-values: closed forms, and uniform where the claim is true."""

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.statistics import p_values


def test_a_normal_number_against_the_textbook():
    assert p_values.normal(1.959964) == pytest.approx(0.05, abs=1e-6)
    assert p_values.normal(-1.959964) == p_values.normal(1.959964)
    assert p_values.normal(0.0) == 1.0


@pytest.mark.parametrize("degrees", [1, 7, 400])
def test_a_sum_of_squares_is_surprising_at_both_ends(degrees):
    low, high = stats.chi2.ppf([0.005, 0.995], degrees)
    assert p_values.chi_square(low, degrees) == pytest.approx(0.01)
    assert p_values.chi_square(high, degrees) == pytest.approx(0.01)
    assert p_values.chi_square(degrees, degrees) > 0.6


def test_a_binomial_count_by_brute_force():
    chance = [math.comb(9, k) * 0.3**k * 0.7 ** (9 - k) for k in range(10)]
    assert p_values.binomial(8, 9, 0.3) == pytest.approx(2 * (chance[8] + chance[9]))
    assert p_values.binomial(0, 9, 0.3) == pytest.approx(2 * chance[0])
    assert p_values.binomial(3, 9, 0.3) == 1.0


def spread(counts, trials, rate):
    variance = trials * rate * (1 - rate)
    total = ((counts - trials * rate) ** 2 / variance).sum()
    return p_values.spread_of_counts(total, len(counts), len(counts) / variance, rate)


def test_the_spread_of_counts_is_uniform_where_they_are_binomial():
    generator = np.random.default_rng(0)
    found = np.array([spread(generator.binomial(80, 0.1, 300), 80, 0.1) for _ in range(2000)])
    for share in (0.01, 0.1, 0.5):
        assert (found < share).mean() == pytest.approx(share, abs=4 * (share / 2000) ** 0.5)


def test_counts_that_never_vary_or_vary_too_much_are_found():
    assert spread(np.full(300, 8), 80, 0.1) < 1e-9
    assert spread(np.repeat([0, 16], 150), 80, 0.1) < 1e-9


def test_the_likest_of_many_vectors_is_rarely_as_like_as_that():
    generator = np.random.default_rng(0)
    found = []
    for _ in range(400):
        draws = generator.standard_normal((20, 6))
        draws /= np.linalg.norm(draws, axis=1, keepdims=True)
        largest = np.abs(np.triu(draws @ draws.T, 1)).max()
        found.append(p_values.likeness(float(largest), 6, 190))
    assert (np.array(found) < 0.05).mean() <= 0.05 + 3 * (0.05 / 400) ** 0.5
    assert (np.array(found) < 0.05).mean() > 0.02
    assert p_values.likeness(1.0, 6, 190) == 0.0


@pytest.mark.parametrize(
    "p_value",
    [
        p_values.normal(math.nan),
        p_values.chi_square(math.nan, 3),
        p_values.likeness(math.nan, 4, 1),
    ],
)
def test_what_could_not_be_measured_is_no_evidence(p_value):
    assert math.isnan(p_value)
