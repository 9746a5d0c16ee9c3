"""Who trains a victim, who is asked about, who is tested; and records that may be sent."""

import pytest
import torch

import tiny
from pipeline.data.plan import Plan, rectangle
from pipeline.data.threat import Threat
from pipeline.risks.theft.measure.victims import PLAIN, companions

pytestmark = pytest.mark.heavy


def test_the_attackers_patients_trained_nobody_and_test_nobody(victims, cohort):
    public = ~victims.member & ~victims.test
    assert not (victims.member & victims.test).any()
    assert (victims.member.float().mean(1) - 0.5).abs().max() < 0.15
    assert ((public.float().mean(1) - 0.25).abs() < 0.15).all()
    for records, rows in zip(victims.publics, public, strict=True):
        assert tiny.same_bits(records, cohort.x[rows])


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
