"""Three answers and one test: closed forms, and what must hold whatever the figures are."""

import math
from statistics import NormalDist

import pytest

from pipeline.gate.judging import Interval, Limits, NonInferiority, compared, held, times_as_many

HALF = Interval(0.5, 0.4, 0.6)
Z = NormalDist().inv_cdf


@pytest.mark.parametrize(
    ("limits", "answer"),
    [
        (Limits(low=0.4), "pass"),
        (Limits(low=0.41), "unclear"),
        (Limits(low=0.6), "unclear"),
        (Limits(low=0.61), "fail"),
        (Limits(high=0.6), "pass"),
        (Limits(high=0.4), "unclear"),
        (Limits(high=0.39), "fail"),
        (Limits(0.4, 0.6), "pass"),
        (Limits(0.45, 0.7), "unclear"),
        (Limits(0.45, 0.55), "unclear"),
        (Limits(0.7, 0.8), "fail"),
        (Limits(), "pass"),
    ],
)
def test_a_figure_is_held_by_its_whole_interval(limits, answer):
    assert held(HALF, limits) == answer


def test_so_many_patients_have_the_power_they_promise():
    times = times_as_many(HALF, Limits(low=0.45), 0.95)
    se = HALF.se(0.95) / math.sqrt(times)
    # the low end of such a sample is above the limit in 80 of 100 cases
    assert 1 - NormalDist(0.5 - Z(0.975) * se, se).cdf(0.45) == pytest.approx(0.8)
    assert times_as_many(HALF, Limits(low=0.5), 0.95) == math.inf
    nearer = times_as_many(HALF, Limits(low=0.45, high=0.51), 0.95)
    assert nearer == times_as_many(HALF, Limits(high=0.51), 0.95) > times


def test_an_uneven_interval_is_taken_on_the_side_of_the_limit():
    uneven = Interval(0.5, 0.4, 0.9)
    assert times_as_many(uneven, Limits(low=0.45), 0.95) == times_as_many(
        HALF, Limits(low=0.45), 0.95
    )
    wide = times_as_many(uneven, Limits(high=0.55), 0.95)
    assert wide == pytest.approx(16 * times_as_many(HALF, Limits(high=0.55), 0.95))


def test_one_comparison_passes_where_its_interval_is_above_the_margin():
    for z in (1.9, 2.0):
        one = compared({"one": NonInferiority(z * 0.01 - 0.05, 0.01, 0.05)}, 0.95)["one"]
        assert (one.answer == "pass") == (one.low > -0.05) == (z > Z(0.975))
        assert one.p == pytest.approx(1 - NormalDist().cdf(z))
        other = compared({"one": NonInferiority(-z * 0.01 - 0.05, 0.01, 0.05)}, 0.95)["one"]
        assert (other.answer == "fail") == (other.high < -0.05) == (z > Z(0.975))


def test_being_inferior_is_corrected_as_well():
    one = NonInferiority(-0.05 - 2.1 * 0.01, 0.01, 0.05)
    assert compared({"one": one}, 0.95)["one"].answer == "fail"
    both = compared({"one": one, "two": one}, 0.95)
    assert {found.answer for found in both.values()} == {"unclear"}


def test_without_any_spread_the_difference_decides():
    told = {
        difference: compared({"one": NonInferiority(difference, 0.0, 0.05)}, 0.95)["one"].answer
        for difference in (0.0, -0.04, -0.05, -0.06)
    }
    assert told == {0.0: "pass", -0.04: "pass", -0.05: "unclear", -0.06: "fail"}


def test_more_comparisons_never_make_a_test_easier():
    one = NonInferiority(0.0, 0.02, 0.045)
    alone = compared({"one": one}, 0.95)["one"]
    assert alone.answer == "pass"
    for others in (1, 3, 10):
        many = compared({"one": one} | {f"{n}": one for n in range(others)}, 0.95)["one"]
        assert many.p == pytest.approx(min(1, (others + 1) * alone.p))
        assert many.times >= alone.times
