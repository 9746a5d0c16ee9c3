"""What is concluded of safeguards: from the adaptive attacker alone, by rule."""

import numpy as np
import pytest

from pipeline.risks.safeguards.report import surviving
from pipeline.risks.safeguards.verdicts import ALGORITHM, LOT, REFER, SANITISE, verdict_table
from pipeline.statistics.intervals import Sampling
from risks.safeguards import made_up

SAMPLING = Sampling(300, 0.95, 0)


def verdicts(margins=None, referrals=None):
    return verdict_table(
        margins or made_up.margins(),
        referrals or made_up.referrals(),
        beside=["adv"],
        rate=0.1,
        eps=0.3,
        sampling=SAMPLING,
    )


def test_a_gain_against_who_ignores_it_is_none():
    table = verdicts()
    assert surviving(table, SANITISE) == ["help"]  # `mask` gains as much where it is ignored
    assert surviving(table, ALGORITHM) == ["adv"]
    mask = table[table["name"] == "mask"]
    assert (mask["verdict"] == "not told apart").all()
    assert (mask["difference"] == 0).all()


def test_who_finds_fewer_ill_does_not_survive():
    margins = made_up.margins(600)
    ill = margins.y == 1
    help_ = margins.adaptive["help"]
    help_[-1][:, ill] = -1.0
    help_[-1][:, ~ill] = 1.0
    assert surviving(verdicts(margins, made_up.referrals(600)), SANITISE) == []


def test_differences_are_of_the_same_patients_and_the_right_way_round():
    margins = made_up.margins()
    table = verdicts(margins).set_index(["name", "figure"])
    right = {name: (each[-1].numpy() > 0).mean(0) for name, each in margins.adaptive.items()}
    expected = (right["help"] - right["none"]).mean()
    assert table.loc[("help", "accuracy"), "difference"] == pytest.approx(expected)
    ill = margins.y.numpy() == 1
    expected = (right["help"] - right["none"])[ill].mean()
    assert table.loc[("help", "sensitivity"), "difference"] == pytest.approx(expected)


def test_a_rule_is_compared_with_lot_and_with_its_own_margin():
    table = verdicts()
    own = table[table["mitigation"] == REFER]
    against = own.groupby("name")["against"].apply(list).to_dict()
    assert against["margin"] == [LOT]
    assert against["random"] == [LOT, "margin"]
    assert against["adv: margin"] == [LOT]


def test_a_rule_that_doubts_at_random_is_not_told_from_lot():
    own = verdicts()
    line = own[(own["name"] == "random") & (own["against"] == LOT)].iloc[0]
    assert line["verdict"] == "not told apart"
    assert abs(line["difference"]) < 3 * line["se"]


def test_all_comparisons_of_a_mitigation_are_corrected_together():
    table = verdicts()
    own = table[table["mitigation"] == SANITISE]
    plain = verdicts(made_up.margins(gains={"none": (0.0, 0.0), "help": (1.5, 1.2)}))
    alone = plain[plain["mitigation"] == SANITISE]
    p, q = (t.set_index(["name", "figure"])["p"] for t in (own, alone))
    assert p["help", "sensitivity"] >= q["help", "sensitivity"]
    assert len(own) == 2 * len(alone)
    assert np.isfinite(table["se"]).all()
