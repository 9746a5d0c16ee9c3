"""Conformal p-values: against their definition, and their promise against counting."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.statistics.conformal import p_values, promised


def test_a_p_value_is_the_share_that_is_as_strange():
    drawn = np.random.default_rng(0)
    calibrated, score = drawn.integers(0, 9, 40).astype(float), drawn.integers(-1, 10, (5, 7))
    found = p_values(calibrated, score)
    for place, value in np.ndenumerate(score):
        assert found[place] == (1 + (calibrated >= value).sum()) / 41


@pytest.mark.parametrize("n", [1, 8, 9, 10, 19, 57])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_the_promise_is_kept_exactly_over_all_places_of_a_new_record(n, alpha):
    """Of n + 1 exchangeable records without ties each is as likely to be the new one."""
    every = np.arange(n + 1.0)
    kept = [p_values(np.delete(every, new), every[new]) > alpha for new in range(n + 1)]
    assert np.mean(kept) == pytest.approx(promised(n, alpha))
    assert promised(n, alpha) >= 1 - alpha


def test_the_promise_holds_in_simulation():
    drawn, n, alpha, trials = np.random.default_rng(1), 99, 0.1, 4000
    kept = [p_values(drawn.normal(size=n), drawn.normal(size=1))[0] > alpha for _ in range(trials)]
    sd = (alpha * (1 - alpha) / trials) ** 0.5
    assert abs(np.mean(kept) - promised(n, alpha)) < 4 * sd


def test_stranger_records_are_less_usual():
    calibrated = np.random.default_rng(2).normal(size=50)
    found = p_values(calibrated, np.linspace(-4, 4, 60))
    assert all(one >= other for one, other in pairwise(found))
    assert found[-1] == 1 / 51


def test_crepes_says_the_same():
    """Its p-values without randomised ties, class by class."""
    crepes = pytest.importorskip("crepes")
    drawn = np.random.default_rng(3)
    calibrated, score = drawn.normal(size=30), drawn.normal(size=(20, 1))
    classifier = crepes.ConformalClassifier()
    classifier.fit(calibrated)
    theirs = classifier.predict_p(score, smoothing=False)
    assert np.allclose(np.asarray(theirs), p_values(calibrated, score))
