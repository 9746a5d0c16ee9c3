"""Alarms on what was measured: who is always referred is seen, who never is, is not."""

import numpy as np
import pytest

from pipeline.risks.guard.alarms import MISSED, REFERRALS, alarm_table, rates_of, simulated
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.serving.channels import Settings
from pipeline.statistics.intervals import Sampling
from risks.guard import made_up

SAMPLING = Sampling(100, 0.95, 0)


def test_rates_are_those_of_the_records():
    found = made_up.passed()
    honest, attacked, whom = rates_of(found, "nearest", 0.3, 1, 0.1)[REFERRALS]
    assert honest == pytest.approx(float((found.radius <= 0.1 + 1e-4).double().mean()))
    assert attacked == 1.0  # all of them end at the line
    assert whom.all()
    assert rates_of(found, "adaptive", 0.3, 1, 0.1)[REFERRALS][1] == 0.0
    missed, attacked, whom = rates_of(found, "adaptive", 0.3, 1, 0.1)[MISSED]
    answered = (found.radius > 0.3 + 1e-4) & (found.y == 1)
    assert missed == pytest.approx(float((found.called[answered] == 0).double().mean()))
    assert attacked == 1.0
    assert not whom[found.y.numpy() == 0].any()
    assert np.isnan(rates_of(found, "nearest", 0.3, 1, 0.1)[MISSED][1])  # nobody passes


def test_who_is_always_referred_is_seen_and_who_never_is_hides(cfg):
    wanted = cfg.section(GuardSettings).model_copy(update={"shares": [0.5]})
    table = alarm_table({"baseline": made_up.passed()}, wanted, SAMPLING, 0)
    lazy, strong = (
        table[(table["attacker"] == one) & (table["channel"] == REFERRALS)].iloc[0]
        for one in ("nearest", "adaptive")
    )
    assert lazy["found"] == 1.0
    assert lazy["events"] < 200
    assert np.isnan(strong["events"])
    assert strong["found"] < 0.1


def test_what_cannot_be_told_is_not_simulated():
    policy = Settings()
    assert simulated(0.1, np.nan, 100, 1e4, 0.5, policy, 0) is None
    assert simulated(0.1, 1.0, 0, 1e4, 0.5, policy, 0) is None
    assert simulated(1.0, 1.0, 100, 1e4, 0.5, policy, 0) is None
