"""Reliability and net benefit: closed forms, and no bin of a few."""

import numpy as np
import pytest

from pipeline.risks.evasion.calibrated import THRESHOLDS, decision_table, reliability_table
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.operating_point import logit
from risks.evasion.made_up import found

SAMPLING = Sampling(200, 0.95, 0)


def people(chance, share, count=50):
    """So many, told `chance`, of whom `share` is ill: log-odds and truth."""
    y = (np.arange(count) < round(share * count)).astype(int)
    return np.full(count, logit(chance)), y


def examined(groups, seeds=2):
    """An examination whose model says these chances; unchanged and attacked records are alike."""
    score, y = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    margins = np.where(y == 1, score, -score)
    return {"baseline": found({"fgsm": np.tile(margins, (3, seeds, 1))}, y)}


def test_bins_of_distinct_scores_are_the_shares_of_their_people(cfg):
    rng = np.random.default_rng(0)
    score = np.sort(rng.normal(0, 2, 200))
    y = (rng.random(200) < 0.5).astype(int)
    one = examined([(score, y)], seeds=1)
    table = reliability_table(one, cfg, SAMPLING)
    chance = 1 / (1 + np.exp(-score))
    np.testing.assert_allclose(table["predicted"], chance.reshape(10, 20).mean(1), rtol=1e-5)
    np.testing.assert_allclose(table["observed"], y.reshape(10, 20).mean(1))
    assert (table["patients"] == 20).all()


@pytest.mark.parametrize(("count", "bins"), [(40, 4), (9, 1), (25, 2)])
def test_no_bin_holds_fewer_than_ten_patients_where_there_are_ten(cfg, count, bins):
    rng = np.random.default_rng(1)
    one = examined([(rng.normal(0, 1, count), np.arange(count) % 2)], seeds=1)
    table = reliability_table(one, cfg, SAMPLING)
    assert len(table) == bins
    assert table["patients"].min() >= min(count, 10)


def test_net_benefit_is_hits_less_false_alarms_at_the_odds(cfg):
    """Of 100 told 0.3, 30 are ill; of 100 told 0.9, 90 are."""
    one = examined([people(0.3, 0.3, 100), people(0.9, 0.9, 100)])
    table = decision_table(one, cfg, SAMPLING).set_index("threshold")
    assert list(table.index) == list(THRESHOLDS)
    for threshold in THRESHOLDS:
        odds = threshold / (1 - threshold)
        everybody = (120 - odds * 80) / 200
        hits, alarms = (120, 80) if threshold < 0.3 else (90, 10) if threshold < 0.9 else (0, 0)
        if threshold not in (0.3, 0.9):  # float32 decides on the edge itself
            assert table.loc[threshold, "net_benefit"] == pytest.approx(
                (hits - odds * alarms) / 200
            )
        assert table.loc[threshold, "everybody"] == pytest.approx(everybody)
    known = (table["net_benefit_low"] <= table["net_benefit"]) & (
        table["net_benefit"] <= table["net_benefit_high"]
    )
    assert known.all()


def test_attacks_do_not_reach_the_tables_of_probabilities(tables, view):
    """Their figures are of unchanged records: the share of the ill over all bins is that."""
    bins = tables["reliability"]
    for name, own in bins.groupby("defense"):
        ill = (own["observed"] * own["patients"]).sum() / own["patients"].sum()
        line = view.line(view.clean, name)
        assert ill == pytest.approx((line["fn"] + line["tp"]) / 150, abs=0.01)
