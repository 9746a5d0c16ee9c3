"""A claim is recomputed, audited, and refused where either contradicts it."""

from dataclasses import replace

import pytest
import torch

import tiny
from benchmarks.faults import FAULTS, planted
from pipeline.config import ModelConfig
from pipeline.defenses.budget import PrivacyBudget, calibrate, composed
from pipeline.defenses.trained import train
from pipeline.files import FailedCheck
from pipeline.risks.membership.measure import claims
from pipeline.risks.membership.measure.claims import audit_claim, audited_claim, refute
from pipeline.statistics.accounting import gaussian_epsilon

pytestmark = pytest.mark.heavy

FEW = tiny.records(60, seed=0)


@pytest.fixture
def linear(cfg):
    numbers = cfg.membership.model_copy(update={"canaries": 2500, "audited_weights": 100_000})
    recipe = {**cfg.defenses["dp_train"], "expected_batch": 60}
    model = ModelConfig(name="linear", hidden=[])
    return cfg.model_copy(update={"membership": numbers, "dp_train": recipe, "model": model})


@pytest.fixture(scope="module")
def guarantee():
    numbers = {"max_grad_norm": 1.0, "denominator": 60.0, "engine": "population"}
    return {**calibrate(PrivacyBudget(1.0, 1e-4, 1.0, 80)), **numbers}


def test_a_claim_comes_with_its_accounts_its_sum_and_its_audit(linear, guarantee):
    claim = audited_claim("dp_train", FEW, linear, guarantee)
    assert claim["epsilon"] == pytest.approx(1.0, abs=1e-6)
    assert claim["accounts"]["exact"] == pytest.approx(claim["epsilon"], rel=1e-6)
    assert 0.5 < claim["audit"]["epsilon_lower_bound"] <= claim["epsilon"]
    folds, seeds = linear.plan.folds, linear.plan.seeds
    assert claim["composition"]["models"] == folds * seeds + 1
    assert claim["composition"]["models_of_a_patient"] == (folds - 1) * seeds + 1


def test_a_claim_is_told_of_patients_who_have_several_records(linear, guarantee):
    visits = replace(FEW, patient=torch.arange(60) // 3)
    plan = tiny.plan(FEW, folds=2, seeds=1)
    whole = composed(replace(plan, train=torch.ones_like(plan.train)), guarantee, visits.patient)
    assert whole["records_of_a_patient"] == 3
    mu = 80**0.5 / guarantee["noise_multiplier"]
    assert whole["epsilon_one_patient"] == pytest.approx(gaussian_epsilon(3 * mu, 1e-4))
    alone = torch.zeros_like(plan.train)
    alone[:, ::3] = True
    assert "epsilon_one_patient" not in composed(
        replace(plan, train=alone), guarantee, visits.patient
    )


def test_the_sum_is_that_of_the_plan_that_is_trained(linear):
    plan = tiny.plan(FEW, folds=linear.plan.folds, seeds=linear.plan.seeds, release=True)
    told = train("dp_train", FEW, plan, linear).facts["guarantee"]
    assert told["composition"] == audited_claim("dp_train", FEW, linear, told)["composition"]


@pytest.mark.parametrize("fault", ["no noise", "no clipping"])
def test_a_refuted_claim_is_one_line(linear, guarantee, fault):
    said = r"^dp_train: claims epsilon 1\.000, but \d+ of \d+ guesses about canaries in noisy"
    with planted(FAULTS[fault]), pytest.raises(FailedCheck, match=said):
        audit_claim("dp_train", FEW, linear, guarantee)


def test_a_bound_at_95_percent_alone_refuses_nothing():
    shown = {"correct": 1, "guesses": 2}
    refute("x", 1.0, {"surely": 0.9, "epsilon_lower_bound": 1.1, "bounds": shown})
    with pytest.raises(FailedCheck, match=r"^x: claims epsilon 1\.000, but 1 of 2 guesses"):
        refute("x", 1.0, {"surely": 1.1, "epsilon_lower_bound": 1.3, "bounds": shown})


def test_what_opacus_trains_is_not_audited(linear, guarantee):
    assert audited_claim("x", FEW, linear, {**guarantee, "engine": "opacus"})["audit"] is None


def test_a_claim_that_its_own_numbers_contradict_is_refused(linear, guarantee):
    wrong = {**guarantee, "epsilon": 0.5, "noise_multiplier": 1.0}
    with pytest.raises(
        FailedCheck,
        match=r"^dp_train: claims epsilon 0\.500, but sample_rate, noise_multiplier and steps sp",
    ):
        claims.audited_claim("dp_train", FEW, linear, wrong)
