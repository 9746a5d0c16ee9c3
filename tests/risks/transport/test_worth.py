"""Figures of some patients, against definitions; how far chance moves them, against resampling."""

import numpy as np
import pytest

from pipeline.risks.transport.worth import MEASURES, Cohort, Told, at_least, chance, luck
from pipeline.statistics.intervals import Sampling, bootstrap_weights

RIGHT = ("accuracy", "sensitivity", "specificity")


def made(n=400, seed=0, patients=None):
    drawn = np.random.default_rng(seed)
    y = drawn.integers(0, 2, n)
    score = drawn.standard_normal((2, n)) * 0.3 + drawn.standard_normal(n) + 1.2 * y
    right = ((score > 0.6) == (y == 1)).astype(float)
    proved = np.where(drawn.random(n) < 0.1, np.nan, right[0] * (drawn.random(n) < 0.8))
    whose = np.arange(n) if patients is None else np.arange(n) % patients
    sampling = Sampling(500, 0.95, 0, whose)
    return Told(right, score, proved), Cohort(y, sampling.whose(n), sampling.weights(n))


@pytest.fixture
def some():
    return np.random.default_rng(9).random(400) < 0.4


def test_figures_are_what_they_are_called(some):
    told, cohort = made()
    value = {name: one.drawn(told, some, cohort).value for name, one in MEASURES.items()}
    y, right = cohort.y, told.right.mean(0)
    ill, healthy = some & (y == 1), some & (y == 0)
    assert value["accuracy"] == pytest.approx(right[some].mean())
    assert value["sensitivity"] == pytest.approx(right[ill].mean())
    assert value["specificity"] == pytest.approx(right[healthy].mean())
    known = some & ~np.isnan(told.proved)
    assert value["proved_accuracy"] == pytest.approx(told.proved[known].mean())
    wins = [(s[ill][:, None] > s[healthy]).mean() for s in told.score]
    assert value["auroc"] == pytest.approx(np.mean(wins))


@pytest.mark.parametrize("name", MEASURES)
def test_whoever_is_not_among_them_plays_no_part(name, some):
    told, cohort = made()
    other = Told(*(np.where(some, one, np.nan) for one in (told.right, told.score, told.proved)))
    first, second = (MEASURES[name].drawn(one, some, cohort) for one in (told, other))
    assert first.value == second.value
    np.testing.assert_array_equal(first.samples, second.samples)


@pytest.mark.parametrize("name", MEASURES)
def test_chance_is_what_resamples_of_many_show(name):
    """Both estimate one spread: 500 resamples know theirs to 3 %; the sides differ in size."""
    told, cohort = made(n=3000, seed=3)
    asked = np.random.default_rng(1).random(3000) < 0.3
    measure = MEASURES[name]
    found = chance(measure, told, ~asked, asked, cohort)
    for rows, se in ((asked, found[0]), (~asked, found[1])):
        assert se == pytest.approx(measure.drawn(told, rows, cohort).samples.std(), rel=0.15)


@pytest.mark.parametrize("name", MEASURES)
def test_a_handful_answered_alike_is_not_certain(name):
    told, cohort = made()
    asked = np.zeros(400, dtype=bool)
    asked[np.r_[np.flatnonzero(cohort.y)[:10], np.flatnonzero(cohort.y == 0)[:10]]] = True
    flawless = Told(*(np.where(asked, 1.0, one) for one in (told.right, told.score, told.proved)))
    flawless.score[:, asked] = 10.0 * cohort.y[asked]
    drawn = MEASURES[name].drawn(flawless, asked, cohort)
    assert (drawn.value, drawn.samples.std()) == (1.0, 0.0)
    least = chance(MEASURES[name], told, ~asked, asked, cohort)[0]
    assert least > 0.05
    assert at_least(0.0, least) == least


def test_two_records_of_each_patient_are_worth_one():
    told, alone = made(n=400)
    twice = Told(*(np.concatenate([one, one], -1) for one in (told.right, told.score, told.proved)))
    cohort = Cohort(
        np.tile(alone.y, 2),
        np.tile(np.arange(400), 2),
        bootstrap_weights(400, 500, 0)[:, np.tile(np.arange(400), 2)],
    )
    asked = np.arange(400) < 150
    for measure in MEASURES.values():
        one = chance(measure, told, ~asked, asked, alone)
        two = chance(measure, twice, np.tile(~asked, 2), np.tile(asked, 2), cohort)
        assert two == pytest.approx(one)


def test_luck_is_the_variance_between_repetitions(some):
    told, cohort = made()
    for name in RIGHT:
        inside = MEASURES[name].among(told, some, cohort.y)
        each = [one[inside].mean() for one in told.right]
        assert luck(MEASURES[name], told, some, cohort.y) == pytest.approx(np.var(each, ddof=1))
    same = Told(told.right[[0, 0]], told.score[[0, 0]], told.proved)
    one = Told(told.right[:1], told.score[:1], told.proved)
    for measure in MEASURES.values():
        assert luck(measure, same, some, cohort.y) == 0
        assert luck(measure, told, some, cohort.y) > 0
        assert np.isnan(luck(measure, one, some, cohort.y))
