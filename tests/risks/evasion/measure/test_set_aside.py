"""What is said of those who choose a cut: by models that are reported, of official splits alone."""

from dataclasses import replace

import pytest
import torch

import handwritten
import kinds
import tiny
from models import ensembles
from pipeline.data.plan import Plan
from pipeline.models.answers import log_odds
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.risks.evasion.measure.set_aside import SetAside, answer_those_set_aside

pytestmark = pytest.mark.heavy

SPLIT = torch.tensor([0] * 20 + [1] * 6 + [2] * 10)  # train, tune, test
SCANS = replace(kinds.scans(36, seed=0), split=SPLIT)


@pytest.fixture(scope="module")
def asked():
    cfg = handwritten.configured(plan={"kind": "official", "seeds": 2})
    plan = Plan.of(SCANS, cfg.plan, 0)
    shape = ConvolutionalNetwork("cnn", (1, 8, 8), 2, (4,), (6,))
    models = ensembles.untrained(plan.size, architecture=shape)
    return models.decide_at(torch.tensor([0.25, -0.5], dtype=torch.float64)), plan, cfg


def test_each_model_answers_tune_and_test_alone(asked):
    models, plan, cfg = asked
    found = answer_those_set_aside(models, SCANS, plan, cfg)
    expected = log_odds(models, SCANS.x.expand(2, *SCANS.x.shape))
    torch.testing.assert_close(found.log_odds[:, 20:], expected[:, 20:])
    assert found.log_odds[:, :20].isnan().all()
    assert torch.equal(found.train, (SPLIT == 0).expand(2, -1))
    assert torch.equal(found.tune, (SPLIT == 1).expand(2, -1))
    assert torch.equal(found.test, (SPLIT == 2).expand(2, -1))
    assert torch.equal(found.cut, models.cut)


def test_without_a_part_that_chooses_nothing_is_said(asked):
    models, plan, cfg = asked
    assert answer_those_set_aside(models, SCANS, replace(plan, tune=None), cfg) is None
    folds = cfg.model_copy(update={"plan": cfg.plan.model_copy(update={"kind": "folds"})})
    assert answer_those_set_aside(models, SCANS, plan, folds) is None


def test_it_survives_the_disk(asked, tmp_path):
    models, plan, cfg = asked
    found = answer_those_set_aside(models, SCANS, plan, cfg)
    found.save(tmp_path / "one.safetensors")
    again = SetAside.load(tmp_path / "one.safetensors")
    assert all(tiny.same_bits(value, getattr(found, name)) for name, value in vars(again).items())
