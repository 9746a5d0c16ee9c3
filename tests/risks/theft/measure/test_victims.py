"""Who trains a victim, who is asked about, who is tested; and records that may be sent."""

from dataclasses import replace

import pytest
import torch

import handwritten
import kinds
import tiny
from pipeline.config import ModelConfig
from pipeline.data.plan import Plan, rectangle
from pipeline.data.threat import Threat
from pipeline.risks.theft.measure.victims import PLAIN, Victims, companions

pytestmark = pytest.mark.heavy


def test_the_attackers_patients_trained_nobody_and_test_nobody(victims, cohort):
    public = ~victims.member & ~victims.test
    assert not (victims.member & victims.test).any()
    assert (victims.member.float().mean(1) - 0.5).abs().max() < 0.15
    assert ((public.float().mean(1) - 0.25).abs() < 0.15).all()
    for records, rows in zip(victims.publics, public, strict=True):
        assert tiny.same_bits(records, cohort.x[rows])


def test_without_an_official_split_figures_are_of_all_who_are_neither(victims):
    assert torch.equal(victims.test, victims.others)
    assert torch.equal(victims.public, ~victims.member & ~victims.test)


def test_of_an_official_split_halves_are_of_its_training_images_and_figures_of_its_test():
    scans = kinds.scans(120, seed=0)
    split = torch.tensor([0] * 80 + [1] * 12 + [2] * 28)  # train, tune, test
    decision = {"rule": "youden", "value": None}
    cfg = handwritten.configured(train={"epochs": 1}, plan={"kind": "official"}, decision=decision)
    found = Victims.of("baseline", replace(scans, split=split), cfg)
    train, tune, test = (split == part for part in range(3))
    assert not (found.member | found.public)[:, ~train].any()
    assert torch.equal(found.test, test.expand_as(found.test))
    assert torch.equal(found.others, ~found.member & ~found.public & ~tune)
    for own in (found.public, found.others & train):
        assert own.any(1).all()
        assert ((own.sum(1) / 80 - 0.25).abs() < 0.15).all()
    for records, rows in zip(found.publics, found.public, strict=True):
        assert tiny.same_bits(records, scans.x[rows])
    assert (found.models[PLAIN].cut != 0).any()  # chosen on the tune images


def test_a_victim_that_knows_its_training_records_by_heart_finds_as_many_as_was_chosen(
    quick, cohort
):
    forest = {"name": "forest", "kind": "forest", "trees": 10, "depth": 0, "leaf": 1}
    decision = quick.decision.model_copy(update={"rule": "sensitivity", "value": 0.8})
    cfg = quick.model_copy(update={"model": ModelConfig(**forest), "decision": decision})
    victims = Victims.of("baseline", cohort, cfg)
    logits = victims.models[PLAIN](cohort.x.double().expand(2, -1, -1))
    ill = victims.test & (cohort.y == 1)
    kept = ((logits[..., 1] > logits[..., 0]) & ill).sum() / ill.sum()
    assert kept == pytest.approx(0.8, abs=0.15)


def test_records_sent_to_the_victim_are_allowed(victims, quick, cohort):
    threat = Threat.of(cohort.schema, quick.threat[quick.audit.headline])
    x = cohort.x[rectangle(victims.test)[0]].double()
    assert threat.violations(victims.evaded(victims.models[PLAIN]), x, quick.theft.eps) == 0
    assert (victims.evaded(victims.models[PLAIN]) != x).any()


def test_companions_share_records_and_not_luck():
    plan = Plan.random_halves(30, models=2, seed=0)
    many = companions(plan, 3)
    assert torch.equal(many.train, plan.train.repeat_interleave(3, 0))
    assert many.seeds[::3].tolist() == plan.seeds.tolist()
    assert len(many.seeds.unique()) == 6
    assert many.tune is None
    choosing = plan.with_tune(torch.arange(30) % 2, 0.2)
    assert torch.equal(companions(choosing, 3).tune, choosing.tune.repeat_interleave(3, 0))
