"""Differences of two defenses by hand, and the intervals that the comparison gives for them."""

import numpy as np
import pytest

import tiny
from pipeline.risks.evasion.pairs import headline_pairs
from risks.evasion.made_up import CFG, found, model
from tiny import records

Y = records(200, seed=0).y.numpy()


@pytest.fixture(scope="module")
def margins():
    return {"baseline": model(1.2, Y), "sturdy": model(1.0, Y, loss=0.5)}


@pytest.fixture(scope="module")
def pairs(margins):
    examined = {name: found(one, Y) for name, one in margins.items()}
    return headline_pairs(examined, CFG, tiny.sampling(CFG, 3)).set_index("figure")


def lost(margins, at):
    """(N,): how often a patient is answered wrongly, by any attack at this radius or before."""
    worst = np.minimum.reduce(list(margins.values()))
    return (np.minimum.accumulate(worst, 0)[at] <= 0).mean(0)


@pytest.mark.parametrize(
    ("figure", "attacked", "whose", "sign"),
    [
        ("missed_diagnosis_rate", True, Y == 1, 1),
        ("robust_accuracy", True, Y >= 0, -1),
        ("clean_missed_diagnosis_rate", False, Y == 1, 1),
        ("clean_false_alarm_rate", False, Y == 0, 1),
    ],
)
def test_the_difference_is_that_of_the_same_patients(margins, pairs, figure, attacked, whose, sign):
    eps = np.asarray(found(margins["baseline"], Y).rows["eps"].unique())
    at = int(np.abs(eps - CFG.headline_eps).argmin()) if attacked else 0
    each = sign * (lost(margins["sturdy"], at) - lost(margins["baseline"], at))[whose]
    line = pairs.loc[figure]
    assert (line["defense"], line["other"], line["patients"]) == ("sturdy", "baseline", 200)
    assert line["difference"] == pytest.approx(each.mean())
    few = np.abs(each).sum() ** 2 <= 10 * np.square(each).sum()
    square = np.square(each).mean() + 2 / len(each) if few else each.var()
    assert line["se"] == pytest.approx((square / len(each)) ** 0.5, rel=0.15)


def test_twins_do_not_differ_and_no_more_is_said_than_so_many_patients_can(margins):
    twins = {name: found(margins["baseline"], Y) for name in ("baseline", "twin")}
    table = headline_pairs(twins, CFG, tiny.sampling(CFG, 0)).set_index("figure")
    assert (table["difference"] == 0).all()
    asked = {"missed_diagnosis_rate": Y == 1, "clean_false_alarm_rate": Y == 0}
    for figure, whom in asked.items():
        assert table.loc[figure, "se"] == pytest.approx(2**0.5 / (whom.sum() + 2))


def test_one_defense_has_no_pair(margins):
    assert (
        len(headline_pairs({"baseline": found(margins["baseline"], Y)}, CFG, tiny.sampling(CFG, 0)))
        == 0
    )
