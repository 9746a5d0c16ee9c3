"""Columns that know the outcome, and records of one patient: planted, found; absent, not found."""

import numpy as np
import pytest

from pipeline.cohort.suspects import LEAK, lookalikes, separation
from pipeline.statistics.separation import auroc

DRAWN = np.random.default_rng(5)
ILL = DRAWN.random(400) < 0.3


@pytest.mark.parametrize("turned", [1, -1])
def test_the_outcome_in_other_words_is_seen(turned):
    leak = turned * (ILL + DRAWN.normal(0, 0.2, 400))
    assert separation(leak, ILL) > LEAK
    weak = turned * (ILL + DRAWN.normal(0, 1, 400))
    area = auroc(weak[ILL], weak[~ILL])
    assert separation(weak, ILL) == pytest.approx(max(area, 1 - area))
    assert 0.6 < separation(weak, ILL) < LEAK


def test_being_measured_at_all_can_be_the_outcome():
    values = np.where(ILL, DRAWN.normal(size=400), np.nan)
    assert separation(values, ILL) == 1
    assert separation(np.full(400, np.nan), ILL) == 0.5


def test_a_category_is_judged_by_its_other_records():
    leak = np.where(ILL, 1.0, DRAWN.integers(2, 5, 400))
    assert separation(leak, ILL, categories=True) > LEAK
    noise = DRAWN.integers(0, 200, 400).astype(float)  # by its own records .8 and more
    assert separation(noise, ILL, categories=True) < 0.6


def test_equal_and_contradictory_records_are_counted():
    values = np.array([[1, 2.5], [1, 2.5], [1, np.nan], [1, np.nan], [3, 4], [3, 5]])
    ill = np.array([True, False, True, True, False, False])
    found = lookalikes(values, ill)
    assert (found.equal, found.contradictory) == (4, 2)


def brute(values):
    """Records, equal ones counted once, of which another one differs in a single column."""
    rows = [tuple(row) for row in dict.fromkeys(map(tuple, values.tolist()))]
    return sum(
        any(sum(a != b for a, b in zip(row, other, strict=True)) == 1 for other in rows)
        for row in rows
    )


def test_near_records_equal_brute_force():
    for seed in range(20):
        values = np.random.default_rng(seed).integers(0, 3, (30, 4)).astype(float)
        assert lookalikes(values, np.zeros(30, dtype=bool)).near == brute(values)


def test_the_expected_pairs_are_those_of_simulation():
    drawn = np.random.default_rng(1)
    counted, expected = [], []
    for _ in range(200):
        values = np.stack([drawn.integers(0, width, 80) for width in (5, 9, 14)], 1)
        differ = (values[:, None] != values[None]).sum(2)
        counted.append((differ == 1).sum() / 2)
        expected.append(lookalikes(values.astype(float), np.zeros(80, dtype=bool)).by_chance)
    assert np.mean(counted) == pytest.approx(np.mean(expected), rel=0.05)


def test_visits_are_suspect_and_yes_no_answers_are_not():
    people = np.stack([DRAWN.normal(size=100).round(2) for _ in range(5)], 1)
    visits = np.repeat(people, 4, 0)
    visits[:, 2] += DRAWN.normal(0, 0.1, 400).round(2)
    assert lookalikes(visits, ILL).suspect
    assert not lookalikes(DRAWN.normal(size=(400, 5)).round(2), ILL).suspect
    assert not lookalikes(DRAWN.integers(0, 2, (400, 6)).astype(float), ILL).suspect
