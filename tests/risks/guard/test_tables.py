"""Tables of the guard: shares of the patients who were asked, and the guard's own arithmetic."""

import numpy as np
import pytest

from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.guard.tables import (
    attack_table,
    membership_table,
    price_of,
    price_table,
    theft_table,
    verdict_table,
)
from pipeline.risks.risk import Context
from pipeline.statistics.intervals import Sampling
from risks.guard import made_up

SAMPLING = Sampling(100, 0.95, 0)


@pytest.fixture
def passed():
    return {"baseline": made_up.passed(120), "adv_train": made_up.passed(120, seed=1)}


@pytest.fixture
def price(passed, cfg, dataset):
    return price_table(passed, Context(dataset, cfg), SAMPLING)


def of(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def test_who_is_answered_and_who_is_referred_are_everybody(passed):
    found = passed["baseline"]
    for r in (0.0, *found.radii):
        each = price_of(found, r)
        assert np.allclose(each["referred"] + each["answered"], 1)
        assert np.allclose(each["right"] + each["wrong"], each["answered"])
    assert not price_of(found, 0.0)["referred"].any()


def test_the_price_is_that_of_the_answers(price, passed):
    found = passed["baseline"]
    answered = found.radius.numpy() > 0.3 + 1e-4
    right = (found.called == found.y).numpy()
    line = of(price, defense="baseline", r=0.3, by="").iloc[0]
    ill = found.y.numpy() == 1
    assert line["referred"] == pytest.approx(1 - answered.mean())
    assert line["accuracy"] == pytest.approx(right[answered].mean())
    assert line["sensitivity"] == pytest.approx(right[:, ill][answered[:, ill]].mean())
    assert line["missed"] == pytest.approx((answered & ~right)[:, ill].mean())
    assert line["wrong"] == pytest.approx((answered & ~right).mean())


def test_groups_add_up_to_everybody_and_few_are_not_told(passed, cfg, dataset):
    context = Context(dataset, cfg)
    table = price_table(passed, context, SAMPLING)
    whole = of(table, by="")["patients"].iloc[0]
    by = of(table, defense="baseline", r=0.1, by=cfg.data.target)
    assert by["patients"].sum() == whole
    healthy = by[by["ill"] == 0].iloc[0]
    assert np.isnan(healthy["missed"])
    assert not np.isnan(healthy["referred"])


def test_a_larger_radius_refers_more_and_answers_fewer_wrongly(price):
    for name in ("baseline", "adv_train"):
        own = of(price, defense=name, by="").sort_values("r")
        assert own["referred"].is_monotonic_increasing
        assert own["wrong"].is_monotonic_decreasing


def test_who_passes_is_who_was_turned_and_answered(passed):
    table = attack_table(passed, SAMPLING)
    assert (of(table, proved_none=True)["passed"] == 0).all()
    assert set(of(table, proved_none=True)["reach"]) == {1.0}
    assert (table["passed"] <= table["turned"]).all()
    line = of(table, defense="baseline", r=0.3, attacker="adaptive", reach=2.0).iloc[0]
    expected = passed["baseline"].passed["adaptive/0.3"][1].double().mean()
    assert line["passed"] == pytest.approx(float(expected))
    assert line["passed_low"] <= line["passed"] <= line["passed_high"]
    assert line["eps"] == 0.6


def test_each_radius_is_compared_with_the_one_before_and_recipes_at_the_same(passed):
    table = verdict_table(passed, SAMPLING)
    same = table[table["defense"] == table["other"]]
    assert set(zip(same["r"], same["other_r"], strict=True)) == {(0.1, 0.0), (0.3, 0.1)}
    others = table[table["defense"] != table["other"]]
    assert set(others["other"]) == {"baseline"}
    assert (others["r"] == others["other_r"]).all()
    assert (of(same, figure="referred")["difference"] < 0).all()  # more are referred: worse
    assert (of(same, figure="referred")["verdict"] == "worse").all()
    assert (of(same, figure="wrong")["difference"] >= 0).all()


def test_copies_agree_as_often_as_they_do(cfg):
    wanted, made = cfg.section(GuardSettings), made_up.taken(120)
    table = theft_table({"baseline": made}, wanted, SAMPLING)
    line = of(table, role="researcher", r=0.3, budget=1000).iloc[0]
    assert line["fidelity"] == pytest.approx(float(made.agrees["labels/0.3"][1].double().mean()))
    assert (line["patients"], line["referred"]) == (60, 0.3)
    assert set(table["role"]) == {"nobody", *wanted.roles}


def test_without_shadows_there_is_no_row_of_members(cfg):
    wanted = cfg.section(GuardSettings)
    made = {"baseline": made_up.taken(120, shadows=False)}
    assert not len(membership_table(made, wanted, SAMPLING))
    table = membership_table({"baseline": made_up.taken(120)}, wanted, SAMPLING)
    assert (table["auroc"] > 0.5).all()
    assert set(table["targets"]) == {5}
