"""What a recipe leaks is asked of images too, and half models answer for those who are reported."""

from dataclasses import replace

import pytest
import torch

import kinds
from pipeline.config import ModelConfig
from pipeline.data.plan import Plan
from pipeline.risks.evasion.measure.half_models import HALF_MODELS, HalfModels
from pipeline.risks.membership.measure.shadows import NOT_ASKED, UNKNOWN, Membership, why_not_asked
from pipeline.stages._examining import Examinee, _leaking

pytestmark = pytest.mark.heavy
SLOW = pytest.mark.slow  # the same path as the others, with another loss

SPLIT = torch.tensor([0] * 40 + [1] * 10 + [2] * 30)
SCANS = replace(kinds.scans(80, seed=0), split=SPLIT)


@pytest.fixture
def official(cfg):
    """A small cnn, one epoch, on the official split."""
    changes = {
        "model": ModelConfig(name="cnn", hidden=[5], channels=[4]),
        "plan": cfg.plan.model_copy(update={"kind": "official"}),
        "train": cfg.train.model_copy(update={"epochs": 1}),
    }
    for name in ("adv_train", "dp_train"):
        changes[name] = {**cfg.defenses[name]}
    changes["dp_train"] |= {"expected_batch": 20, "steps": 3, "epsilon": 60.0}
    changes["distill"] = {**cfg.defenses["distill"], "epochs": 1}
    return cfg.model_copy(update=changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["baseline", *(pytest.param(one, marks=SLOW) for one in ("dp_train", "adv_train", "distill"))],
)
def test_half_models_are_attacked_on_the_test_images_and_members_are_training_images(
    official, tmp_path, name
):
    plan = Plan.of(SCANS, official.plan, official.seed)
    _leaking(Examinee(name, None, SCANS, plan, official), tmp_path)
    halves = HalfModels.load(tmp_path / HALF_MODELS)
    clean, attacked = halves.margins
    assert clean.isfinite().all()
    assert torch.equal(attacked.isfinite(), (SPLIT == 2).expand_as(attacked))
    assert not halves.train[:, SPLIT != 0].any()
    leak = Membership.load(tmp_path / "membership")
    assert torch.equal(leak.member, halves.train[: len(leak.member), SPLIT == 0])
    assert bool(leak.claim) == (name == "dp_train")


@pytest.mark.slow
def test_a_sample_is_all_that_half_models_are_attacked_on(official, tmp_path):
    few = official.model_copy(update={"audit": official.audit.model_copy(update={"sample": 20})})
    plan = Plan.of(SCANS, few.plan, few.seed)
    _leaking(Examinee("baseline", None, SCANS, plan, few), tmp_path)
    attacked = HalfModels.load(tmp_path / HALF_MODELS).margins[1].isfinite()
    scored = plan.sampled(SCANS.y, 20, few.seed, among=plan.held_out[0]).held_out[0]
    assert torch.equal(attacked, scored.expand_as(attacked))
    assert int(scored.sum()) == 20


def test_of_a_recipe_that_is_left_out_no_half_is_trained_and_it_is_said(official, tmp_path):
    asked = official.model_extra["membership"].model_copy(update={"recipes": ["dp_train"]})
    cfg = official.model_copy(update={"membership": asked})
    plan = Plan.of(SCANS, cfg.plan, cfg.seed)
    gaps = _leaking(Examinee("baseline", None, SCANS, plan, cfg), tmp_path)
    assert gaps == {risk: {"": NOT_ASKED} for risk in ("membership", "inversion")}
    assert not list(tmp_path.iterdir())
    assert why_not_asked("dp_train", cfg) == ""
    assert why_not_asked("baseline", official) == ""  # where nobody is named, everybody is asked


def test_of_a_frozen_model_nobody_asks_whom_it_knows_unless_somebody_says(official):
    def why(trained_on):
        plan = official.plan.model_copy(update={"kind": "frozen", "trained_on": trained_on})
        return why_not_asked("baseline", official.model_copy(update={"plan": plan}))

    assert (why(None), why("rows.csv")) == (UNKNOWN, "")
