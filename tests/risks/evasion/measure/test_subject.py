"""Records of which nothing may be forged: said, and everything else is measured."""

import numpy as np
import pytest
import torch

import mixed
import tiny
from pipeline.data.schema import Dataset, Schema
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.risks.evasion.evaluation import evaluate_all
from pipeline.risks.evasion.measure.examination import examine
from pipeline.risks.evasion.measure.idle import UNFORGEABLE, UNLISTED, UNSTATED
from pipeline.risks.evasion.measure.subject import cannot_be_asked
from pipeline.risks.evasion.movable import movable_shares
from pipeline.risks.evasion.risk import RISK, headline
from pipeline.statistics.intervals import Sampling

pytestmark = pytest.mark.heavy

DRAWN = Sampling(resamples=100, confidence=0.95, seed=0)


@pytest.fixture
def frozen(cfg):
    """The configuration of the tiny clinic, of whose records nothing is mutable."""
    features = {
        name: feature.model_copy(update={"mutable": False})
        for name, feature in tiny.FEATURES.items()
    }
    data = cfg.data.model_copy(update={"features": features, "bands": {}})
    chosen = {name: cfg.threat[name] for name in ("clinical", "sparse")}
    return cfg.model_copy(update={"data": data, "threat": chosen})


def cohort(cfg):
    data = tiny.records(60, seed=1)
    return Dataset(data.x, data.y, Schema.of(cfg.data))


def test_what_nobody_can_forge_is_no_mistake_of_the_configuration(frozen):
    RISK.check(frozen, "params.yaml")
    said = cannot_be_asked(tiny.population(1), frozen)
    assert said == {f"threat {name}": UNFORGEABLE for name in frozen.threat}


def test_a_headline_in_errors_that_nobody_states_still_is_one(cfg):
    features = {
        name: feature.model_copy(update={"error": None, "error_source": None})
        for name, feature in cfg.data.features.items()
    }
    data = cfg.data.model_copy(update={"features": features})
    audit = cfg.audit.model_copy(update={"headline": "repeat"})
    unstated = cfg.model_copy(update={"data": data, "audit": audit})
    with pytest.raises(BadInput, match=r"audit\.headline: under 'repeat' no value"):
        RISK.check(unstated, "params.yaml")
    assert cannot_be_asked(tiny.population(1), unstated)["threat repeat"] == UNSTATED


def of_categories(cfg, *, recodes, withhold=None, **threats):
    """The mixed clinic where no number may be forged: `thal` alone, by what is listed of it."""
    features = {
        name: feature.model_copy(update={"mutable": False})
        for name, feature in mixed.FEATURES.items()
    }
    thal = {} if recodes else {"recodes": {}}
    features["thal"] = mixed.FEATURES["thal"].model_copy(update=thal)
    data = cfg.data.model_copy(update={"features": features, "bands": {}})
    threat = {
        name: cfg.threat[name].model_copy(update={"withhold": withhold})
        for name in ("clinical", "sparse", "repeat")
    }
    return cfg.model_copy(update={"data": data, "threat": threat})


@pytest.mark.parametrize(
    ("recodes", "withhold", "why"),
    [(True, None, None), (False, 0.3, None), (True, 0.3, None), (False, None, UNLISTED)],
)
def test_a_category_alone_that_may_be_recoded_or_left_out_can_be_forged(
    cfg, recodes, withhold, why
):
    only = of_categories(cfg, recodes=recodes, withhold=withhold)
    RISK.check(only, "params.yaml")
    said = cannot_be_asked(tiny.population(1), only)
    assert said.pop("threat repeat") == UNSTATED
    assert said == ({} if why is None else dict.fromkeys(("threat clinical", "threat sparse"), why))


def test_a_category_alone_is_attacked_and_verified(cfg):
    only = of_categories(cfg, recodes=True, withhold=0.9)
    records = mixed.records(60, seed=1)
    data = Dataset(records.x, records.y, Schema.of(only.data))
    plan = tiny.plan(data, folds=3, seeds=1, release=True)
    population = train("baseline", data, plan, only)
    found, _ = examine(population, data, plan, only)
    assert list(found.margins) == ["clinical", "sparse"]
    assert set(found.rows["mutable"]) == {"thal"}
    assert set(found.rows["attack"]) >= {"recodes", "exact"}
    assert found.diagnostics["violations"] == found.diagnostics["attack_beats_proof"] == 0
    movable = movable_shares({"baseline": found}, data, only)
    may = (data.x[:, 2] < 2).double().mean()  # out of level 2 nothing may be forged
    assert movable["clinical", 0.5] == pytest.approx(float(may))
    assert movable["sparse", 1.0] == pytest.approx(float((~data.x[:, 2].isnan()).double().mean()))


def test_the_headline_is_there_and_says_that_nothing_was_tested(frozen):
    data = cohort(frozen)
    plan = tiny.plan(data, folds=3, seeds=1, release=True)
    population = train("baseline", data, plan, frozen)
    found, x_adv = examine(population, data, plan, frozen)
    assert list(found.margins) == ["clinical"]
    assert "recodes" not in set(found.rows["attack"])  # nobody could use it
    assert found.diagnostics["violations"] == found.diagnostics["attack_beats_proof"] == 0
    for records in x_adv.values():
        assert tiny.same_bits(records, data.x.expand_as(records).contiguous())
    examined = {"baseline": found}
    movable = movable_shares(examined, data, frozen)
    assert set(movable.values()) == {0.0}
    table = evaluate_all(examined, frozen, DRAWN, movable=movable).comparison
    assert (table["robust_accuracy"] == table["clean_accuracy"]).all()
    assert "empty_radius" in table["flags"].iloc[0].split()
    assert set(table["mutable"]) == {"nothing"}
    said = [one.figure for one in headline({"comparison": table}, frozen)]
    assert said == ["missed diagnoses without attack", "false alarms without attack"]


def test_where_nobody_moves_within_the_radius_one_changed_measurement_leads(frozen):
    lines = {"defense": "baseline", "flags": "", "clean_accuracy": 0.9}
    rows = []
    for threat, norm, eps, movable, left in (
        ("clinical", "linf", 0.0, 0.0, 0.9),
        ("clinical", "linf", 0.3, 0.0, 0.9),
        ("sparse", "l0", 0.0, 0.0, 0.9),
        ("sparse", "l0", 1.0, 1.0, 0.4),
    ):
        figures = {}
        for name in ("robust_accuracy", "missed_diagnosis_rate", "false_alarm_rate"):
            figures |= {name: left, f"{name}_low": left, f"{name}_high": left}
        rows.append(
            lines
            | {"threat": threat, "norm": norm, "eps": eps, "movable": movable}
            | figures
            | {"robust_low": left, "robust_high": left}
        )
    import pandas as pd

    first, second, *_ = headline({"comparison": pd.DataFrame(rows)}, frozen)
    assert first.figure == "missed diagnoses with one measurement changed"
    assert second.figure == "right answers with one measurement changed"
    assert float(second.table["value"].iloc[0]) == 0.4


def test_adversarial_training_against_nobody_says_so(frozen):
    data = cohort(frozen)
    plan = tiny.plan(data, folds=3, seeds=1, release=True)
    trained = train("adv_train", data, plan, frozen)
    assert trained.facts["attacked"].startswith("nobody: under clinical")
    assert torch.isfinite(trained(data.x.expand(plan.size, -1, -1))).all()


@pytest.mark.slow
def test_a_sample_is_attacked_and_every_figure_says_so(cfg):
    data = tiny.records(90, seed=1)
    plan = tiny.plan(data, folds=3, seeds=2, release=True)
    chosen = {name: cfg.threat[name] for name in ("clinical", "sparse")}
    few = cfg.model_copy(update={"threat": chosen})
    population = train("baseline", data, plan, few)
    found, _ = examine(population, data, plan.sampled(data.y, 30, 0), few)
    assert found.rows["patient"].nunique() == 30
    assert {len(one.margin[0]) for one in found.proofs.values()} == {30}
    whole, _ = examine(population, data, plan, few)
    own = found.rows["patient"].unique()
    of_own = whole.margins["clinical"].by_attack["exact"][..., own]
    np.testing.assert_allclose(found.margins["clinical"].by_attack["exact"], of_own, atol=1e-5)
    table = evaluate_all({"baseline": found}, few, DRAWN).comparison.assign(attacked=30, records=90)
    for one in headline({"comparison": table}, few):
        assert one.figure.endswith("; a stratified sample of 30 of 90 records")
