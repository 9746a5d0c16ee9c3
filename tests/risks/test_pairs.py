"""Differences are those of the same patients, and a figure that is good at 0 is not folded."""

import numpy as np
import pytest

from pipeline.risks.pairs import PAIRS, Drawn, pairs_table
from pipeline.statistics.conclusions import Difference
from pipeline.statistics.intervals import bootstrap_mean, bootstrap_weights

WEIGHTS = bootstrap_weights(200, 500, 0)


def drawn(each):
    return Drawn(float(each.mean()), bootstrap_mean(each, WEIGHTS))


def test_every_pair_stands_there_once_the_later_less_the_earlier():
    figures = {
        name: Drawn(value, np.zeros(3)) for name, value in zip("abc", (1, 4, 9), strict=True)
    }
    table = pairs_table({"f": figures}, patients=7)
    assert list(table) == list(PAIRS)
    assert table[["defense", "other", "difference"]].to_numpy().tolist() == [
        ["b", "a", 3.0],
        ["c", "a", 8.0],
        ["c", "b", 5.0],
    ]
    assert (table["patients"] == 7).all()


def test_what_two_defenses_share_is_no_uncertainty_of_their_difference():
    rng = np.random.default_rng(0)
    first = rng.random(200) < 0.6
    second = np.where(rng.random(200) < 0.1, ~first, first)
    (line,) = pairs_table({"f": {"a": drawn(first), "b": drawn(second)}}, 200).to_dict("records")
    each = second.astype(float) - first.astype(float)
    assert line["difference"] == pytest.approx(each.mean())
    assert line["se"] == pytest.approx(each.std() / 200**0.5, rel=0.1)
    unpaired = (first.var() / 200 + second.var() / 200) ** 0.5
    assert line["se"] < 0.7 * unpaired


def test_one_defense_has_no_pair():
    table = pairs_table({"f": {"a": Drawn(1.0, np.ones(3))}, "g": {}}, 5)
    assert (len(table), list(table)) == (0, list(PAIRS))


def test_a_resample_that_says_nothing_is_left_out():
    one = Drawn(0.5, np.array([0.4, np.nan, 0.6]))
    table = pairs_table({"f": {"a": Drawn(0.0, np.zeros(3)), "b": one}}, 5)
    assert table["se"].tolist() == pytest.approx([0.1])


@pytest.mark.parametrize("value", [-0.2, 0.2])
def test_the_distance_from_zero_is_turned_not_folded(value):
    samples = value + np.linspace(-0.5, 0.5, 11)
    turned = Drawn(value, samples).distance_from_zero()
    assert turned.value == pytest.approx(0.2)
    assert turned.samples.std() == pytest.approx(samples.std())
    assert turned.samples.min() < 0


@pytest.mark.slow
def test_equal_distances_from_zero_are_seldom_told_apart():
    """On the same side, on different sides, and at 0, where folded draws would look surer."""
    rng = np.random.default_rng(1)
    for centers in ((0.0, 0.0), (0.3, 0.3), (0.3, -0.3)):
        wrong = 0
        for _ in range(400):
            figures = {
                name: Drawn(value, value + rng.normal(0, 0.1, 200)).distance_from_zero()
                for name, value in zip("ab", rng.normal(centers, 0.1), strict=True)
            }
            (line,) = pairs_table({"f": figures}, 100).to_dict("records")
            wrong += Difference(line["difference"], line["se"]).p < 0.05
        assert wrong / 400 < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
