"""Referral at an equal rate, counted by brute force."""

import numpy as np
import pytest

from pipeline.risks.safeguards.figures import Passed, proved_to, ratio, thresholds, whose_rule
from pipeline.statistics.intervals import Sampling


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.33, 0.999])
def test_so_many_unchanged_records_are_referred_as_asked(rate):
    doubt = -np.random.default_rng(0).random((3, 101))
    referred = doubt >= thresholds(doubt, rate)
    assert (referred.sum(1) == round(rate * 101)).all()
    for row, who in zip(doubt, referred, strict=True):
        if who.any() and not who.all():
            assert row[who].min() > row[~who].max()  # the most doubtful


def test_equal_doubts_are_referred_alike():
    doubt = np.array([[-1.0, -1.0, -1.0, -2.0]])
    assert (doubt >= thresholds(doubt, 0.25)).sum() == 3


def test_what_passes_is_counted_by_hand():
    clean = np.array([[1.0, 1.0, -1.0, 1.0]])
    margin, doubt = np.array([[-1.0, -1.0, -1.0, 1.0]]), np.array([[-5.0, -1.0, -5.0, -5.0]])
    passed = Passed(clean, margin, doubt, np.array([[-2.0]]))
    assert passed.wrong.tolist() == [1, 0, 1, 0]
    assert passed.turned.tolist() == [1, 1, 0, 0]
    assert passed.turned_on.tolist() == [1, 0, 0, 0]


def test_the_proved_radius_is_the_least_of_those_who_pass():
    radius = np.array([[0.0, 1.0, 2.0, 4.0], [0.0, 0.5, 2.0, 4.0]])
    limit = thresholds(-radius, 0.5)
    passing = [row[-row < one] for row, one in zip(radius, limit[:, 0], strict=True)]
    assert proved_to(limit, 8.0) == 0.5 <= min(map(min, passing))
    assert proved_to(thresholds(-radius, 0.0), 8.0) == 0


def test_a_share_of_the_turned_has_an_interval_and_of_nobody_none():
    sampling = Sampling(200, 0.95, 0)
    part, whole = np.arange(50) % 4 == 0, np.arange(50) % 2 == 0
    weights = sampling.weights(50)
    found = ratio("passed", part.astype(float), whole.astype(float), weights, sampling)
    assert found["passed"] == 13 / 25
    assert found["passed_low"] < 13 / 25 < found["passed_high"]
    nobody = ratio("passed", part * 0.0, whole * 0.0, weights, sampling)
    assert all(np.isnan(value) for value in nobody.values())


def test_a_rule_is_of_the_recipe_before_its_colon():
    assert whose_rule("margin") == ("baseline", "margin")
    assert whose_rule("adv_train: proved radius") == ("adv_train", "proved radius")
