"""Radii of a vote under noise: against the closed form of a line, and against their own promise."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import beta, binom, norm

from pipeline.verify.smoothing import (
    AT_ONCE,
    Ballot,
    least_share,
    radius,
    reach,
    voted,
    within_ball,
)

SIGMA, ALPHA = 2.0, 0.001
SLOPE = torch.tensor([3.0, -4.0])  # of length 5


def line(x):
    """Ill where 3 a - 4 b > 0: the distance of x from the line is |3 a - 4 b| / 5."""
    return x @ SLOPE > 0


def count(x, draws=20_000, seed=0, verdict=line):
    generator = torch.Generator().manual_seed(seed)
    return voted(
        verdict, x, sigma=SIGMA, selection=500, estimation=draws, generator=generator
    )  # fmt: skip


def at_distances(*distances):
    return torch.stack([distance * SLOPE / 5 for distance in distances])


def test_of_a_line_radii_stay_below_the_true_distance_and_approach_it():
    distances = torch.tensor([0.5, 1.0, 2.0, 4.0])
    x = at_distances(*distances)
    few, many = (radius(count(x, draws).hits, draws, SIGMA, ALPHA) for draws in (1_000, 100_000))
    assert (few <= distances).all()
    assert (many <= distances).all()
    assert (many > few).all()
    assert ((distances - many) < 0.05 * SIGMA).all()
    expected = norm.cdf(distances.numpy() / SIGMA)
    for images, own in ((x, 1), (-x, 0)):  # the same distances on the other side
        found = count(images)
        assert (found.selected == own).all()
        np.testing.assert_allclose(found.hits / 20_000, expected, atol=2 / math.sqrt(20_000))


def test_shares_are_those_of_clopper_and_pearson():
    hits = torch.tensor([0, 1, 400, 999, 1000])
    found = least_share(hits, 1000, ALPHA).numpy()
    for one, low in zip(hits.tolist(), found, strict=True):
        assert low == pytest.approx(beta.ppf(ALPHA, one, 1001 - one) if one else 0.0)
        if one:  # at the bound so many hits or more are as rare as alpha: the definition
            assert binom.sf(one - 1, 1000, low) == pytest.approx(ALPHA, rel=1e-6)
    assert found[-1] == pytest.approx(ALPHA ** (1 / 1000))


def test_a_radius_holds_as_often_as_it_promises():
    """Of 40 000 counted votes of a known share; alpha 5 %, so that failures can be counted."""
    drawn, draws, alpha = np.random.default_rng(0), 200, 0.05
    for share in (0.55, 0.7, 0.95):
        hits = torch.from_numpy(drawn.binomial(draws, share, size=40_000))
        truth = SIGMA * norm.ppf(share)
        wrong = float((radius(hits, draws, SIGMA, alpha) > truth).double().mean())
        assert 0.01 < wrong < alpha + 4 * math.sqrt(alpha / 40_000)


def test_a_class_selected_on_the_copies_that_are_counted_would_promise_too_much():
    """Why selection and estimation are apart: of an even vote half of all leads are luck."""
    drawn, draws, alpha = np.random.default_rng(0), 200, 0.05
    hits = drawn.binomial(draws, 0.5, size=40_000)
    leading = torch.from_numpy(np.maximum(hits, draws - hits))
    lucky = float((radius(leading, draws, SIGMA, alpha) >= 0).double().mean())
    assert lucky > 1.5 * alpha
    apart = float((radius(torch.from_numpy(hits), draws, SIGMA, alpha) >= 0).double().mean())
    assert apart < alpha + 4 * math.sqrt(alpha / 40_000)


def test_where_no_majority_is_shown_there_is_no_answer():
    found = radius(torch.tensor([0, 500, 510, 560]), 1000, SIGMA, ALPHA)
    assert (found[:3] == -1).all()
    assert found[3] > 0


def test_nothing_beyond_a_unanimous_vote():
    assert reach(1000, SIGMA, ALPHA) == pytest.approx(SIGMA * norm.ppf(ALPHA ** (1 / 1000)))
    always = count(at_distances(1.0), 1000, verdict=lambda x: torch.ones(len(x)) > 0)
    assert always.hits.tolist() == [1000]
    assert float(radius(always.hits, 1000, SIGMA, ALPHA)) == reach(1000, SIGMA, ALPHA)


def test_a_promise_of_all_at_once_is_shorter():
    hits = torch.tensor([990, 700])
    each, together = (radius(hits, 1000, SIGMA, alpha) for alpha in (ALPHA, ALPHA / 600))
    assert (together < each).all()


def test_the_same_seed_counts_the_same_and_every_copy_once():
    x = at_distances(0.3, -0.7, 1.0)
    one, again = count(x, AT_ONCE + 5, seed=3), count(x, AT_ONCE + 5, seed=3)
    assert isinstance(one, Ballot)
    assert torch.equal(one.hits, again.hits)
    assert not torch.equal(one.hits, count(x, AT_ONCE + 5, seed=4).hits)
    seen = []

    def watch(copies):
        seen.append(len(copies))
        return line(copies)

    count(x, AT_ONCE + 5, verdict=watch)
    assert sum(seen) == len(x) * (500 + AT_ONCE + 5)
    assert max(seen) <= AT_ONCE


def test_a_cube_fits_into_the_ball_corner_and_all():
    half = within_ball(28.0, 784)
    assert half == pytest.approx(1.0)
    assert math.dist([half] * 784, [0.0] * 784) == pytest.approx(28.0)
