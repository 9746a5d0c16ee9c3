"""Tables of federations: shares of the patients who were asked, and paired differences."""

import numpy as np
import pytest

import tiny
from pipeline.risks.federation.measure.federations import NONE
from pipeline.risks.federation.measure.members import FINAL, SERVER
from pipeline.risks.federation.measure.settings import PRIVATE_RECIPE
from pipeline.risks.federation.tables import (
    EVERYTHING,
    harm_table,
    members_table,
    seen_table,
    verdict_table,
)
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.risks.risk import Context
from pipeline.statistics.intervals import Sampling
from risks.federation import made_up

SAMPLING = Sampling(100, 0.95, 0)


def of(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


@pytest.fixture(scope="module")
def found():
    robust = made_up.harmed(rule="median", boosted=0.9, seed=1)
    return [made_up.harmed(), robust]


def test_figures_are_those_of_the_answers(found):
    table, one = harm_table(found, SAMPLING), found[0]
    right = one.margins["boost"].numpy() > 0
    line = of(table, aggregate="mean", attack="boost").iloc[0]
    ill = one.y.numpy() == 1
    assert line["accuracy"] == pytest.approx(right.mean())
    assert line["sensitivity"] == pytest.approx(right[:, ill].mean())
    assert line["missed_diagnosis_rate"] == pytest.approx(1 - right[:, ill].mean())
    clean = (one.margins[NONE].numpy() > 0).mean()
    assert line["accuracy_difference"] == pytest.approx(right.mean() - clean)
    assert (line["malicious"], line["hospitals"], line["ill"]) == (1, 8, 60)


def test_the_control_differs_from_itself_by_nothing(found):
    control = of(harm_table(found, SAMPLING), attack=NONE)
    assert (control["malicious"] == 1).all()
    for figure in ("accuracy", "auroc", "sensitivity", "missed_diagnosis_rate"):
        assert (control[f"{figure}_difference"] == 0).all()
    assert control["attack_success_rate"].isna().all()


def test_a_trigger_counts_among_the_ill_who_are_called_ill_without_attack(found):
    one = found[0]
    line = of(harm_table(found, SAMPLING), aggregate="mean", attack="backdoor").iloc[0]
    called = (one.margins[NONE].numpy() > 0) & (one.y.numpy() == 1)
    chosen = called.any(0)
    turned = np.arange(len(chosen)) % 4 == 1  # of the ill every second one
    assert line["attack_success_rate"] == pytest.approx(turned[chosen].mean())
    assert line["control"] == 0
    assert line["targets"] == chosen.sum()


def test_a_planted_loss_is_told_and_what_is_none_is_not(found):
    table = verdict_table(found, SAMPLING)
    lost = of(table, aggregate="mean", attack="boost", figure="accuracy").iloc[0]
    assert lost["verdict"] == "worse"
    assert lost["difference"] < -0.3
    rules = of(table, against="mean")
    assert set(rules["aggregate"]) == {"median"}
    assert set(rules["attack"]) == {NONE}


def test_federations_are_judged_each_by_itself(found):
    alone = verdict_table(found, SAMPLING)
    private = made_up.harmed(recipe=PRIVATE_RECIPE, seed=2)
    both = verdict_table([*found, private], SAMPLING)
    assert both[: len(alone)].equals(alone)
    assert set(both[len(alone) :]["defense"]) == {PRIVATE_RECIPE}


def test_what_is_read_exactly_is_off_by_nothing_and_the_rest_by_what_was_planted(cfg, dataset):
    table = seen_table(made_up.seen(dataset, off=0.5), Context(dataset, cfg))
    whole = of(table, measurement=EVERYTHING)
    single, many, last = (row for _, row in whole.iterrows())
    assert (single["error"], single["exact"], single["diagnosis"]) == (0, 1, 1)
    assert many["error"] == pytest.approx(0.5, rel=1e-4)
    assert last["error"] == pytest.approx(1.0, rel=1e-4)
    assert many["exact"] == 0
    assert many["error_others"] == pytest.approx(4, rel=1e-4)
    named = of(table, measurement="glucose", records=4, when="first round").iloc[0]
    assert named["error"] == pytest.approx(0.5 * tiny.FEATURES["glucose"].scale, rel=1e-4)
    assert named["unit"] == "unit"
    assert whole["patients"].tolist() == [12, 16, 16]


def test_members_are_compared_with_what_the_model_at_the_end_tells():
    table = members_table(made_up.members(), SAMPLING).set_index("attack")
    assert table.loc[FINAL, "auroc_difference"] == 0
    assert table.loc[SERVER, "who"] == "server"
    assert table.loc[SERVER, "auroc"] > 0.85
    assert table.loc[SERVER, "auroc_difference_low"] > 0
    gap = table["auroc"] - table.loc[FINAL, "auroc"]
    assert np.allclose(table["auroc_difference"], gap)
    assert (table["auroc_low"] <= table["auroc"]).all()


def test_a_claim_stands_beside_what_is_found_and_blind_guesses_have_none():
    private = made_up.members(recipe=PRIVATE_RECIPE, strength=1.0)
    table = members_table(private, SAMPLING).set_index("attack")
    assert table.loc[SERVER, "auroc_bound"] == pytest.approx(0.7602, abs=1e-4)  # Phi(1 / sqrt 2)
    assert table.loc[SERVER, "tpr_at_1pct_bound"] == pytest.approx(0.0924, abs=1e-4)
    assert np.isnan(table.loc[BLIND, "auroc_bound"])
    assert (table["defense"] == PRIVATE_RECIPE).all()
    assert members_table(made_up.members(), SAMPLING)["auroc_bound"].isna().all()
