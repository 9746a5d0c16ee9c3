"""Who trains a victim, who is asked about, who is tested; and records that may be sent."""

import pytest
import torch

import tiny
from pipeline.config import ModelConfig
from pipeline.data.plan import Plan, rectangle
from pipeline.data.threat import Threat
from pipeline.risks.theft.measure.victims import PLAIN, Victims, companions

DATA = tiny.records(120, seed=0)


@pytest.fixture(scope="module")
def quick(request):
    import yaml

    from pipeline import params

    cfg = params.parse(yaml.safe_load(request.getfixturevalue("smoke_text")), "conf")
    return cfg.model_copy(update={"model": ModelConfig(name="mlp", hidden=[6])})


@pytest.fixture(scope="module")
def victims(quick):
    return Victims.of("baseline", DATA, quick)


def test_the_attackers_patients_trained_nobody_and_test_nobody(victims):
    public = ~victims.member & ~victims.test
    assert not (victims.member & victims.test).any()
    assert (victims.member.float().mean(1) - 0.5).abs().max() < 0.15
    assert ((public.float().mean(1) - 0.25).abs() < 0.15).all()
    for records, rows in zip(victims.publics, public, strict=True):
        assert tiny.same_bits(records, DATA.x[rows])


def test_records_sent_to_the_victim_are_allowed(victims, quick):
    threat = Threat.of(DATA.schema.features, quick.threat[quick.audit.headline])
    x = DATA.x[rectangle(victims.test)[0]].double()
    assert threat.violations(victims.evaded(victims.models[PLAIN]), x, quick.theft.eps) == 0
    assert (victims.evaded(victims.models[PLAIN]) != x).any()


def test_companions_share_records_and_not_luck():
    plan = Plan.random_halves(30, models=2, seed=0)
    many = companions(plan, 3)
    assert torch.equal(many.train, plan.train.repeat_interleave(3, 0))
    assert many.seeds[::3].tolist() == plan.seeds.tolist()
    assert len(many.seeds.unique()) == 6
