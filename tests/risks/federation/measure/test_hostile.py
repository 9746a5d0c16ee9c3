"""Hostile hospitals measured: the control is the recipe itself, planted harm is found."""

import pytest
import torch

import tiny
from pipeline.defenses.federated.recipe import train_federated
from pipeline.models.out_of_fold import OutOfFold
from pipeline.risks.federation.measure.federations import NONE, options_of
from pipeline.risks.federation.measure.hostile import Harmed, harm, why_too_few
from risks.federation.made_up import settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def patients():
    return tiny.records(120, seed=3, missing=0.0, signal=4.0)


@pytest.fixture
def small(cfg):
    changes = {"rounds": 6, "repetitions": 1, "attacks": ["flips", "boost", "backdoor"]}
    train = cfg.train.model_copy(update={"learning_rate": 0.02})
    return settings(cfg.model_copy(update={"train": train}), **changes)


def test_the_control_is_the_recipe_and_a_boost_undoes_the_mean_alone(patients, small, tmp_path):
    plan = tiny.plan(patients, seeds=1)
    right = {}
    for rule in ("mean", "trimmed_mean"):
        found = harm(patients, plan, small, 5, rule)
        right[rule] = {
            name: float((one > 0).double().mean()) for name, one in found.margins.items()
        }
        if rule == "mean":
            found.save(tmp_path / "harm.safetensors")
            again = Harmed.load(tmp_path / "harm.safetensors")
            assert tiny.same_bits(again.margins["boost"], found.margins["boost"])
            models = train_federated(
                patients, plan, small, **options_of(small, 5, rule), engine="loop"
            )
            index, valid = plan.held_out_index()
            lead = models.double()(patients.x[index].double()).diff(dim=-1)[..., 0]
            plain = OutOfFold(plan, [0.0]).scatter(lead[None], index, valid)[0]
            sign = 2 * patients.y - 1
            ours = sign * found.margins[NONE] + found.cuts[NONE]
            torch.testing.assert_close(ours, plain.float(), rtol=1e-3, atol=1e-3)
            learned = float(plan.train.sum(1).double().mean())
            assert found.learned.sum() == pytest.approx(learned)
            assert list(found.triggered) == [NONE, "backdoor"]
    assert right["mean"][NONE] > 0.8
    assert right["mean"]["boost"] < right["mean"][NONE] - 0.2
    assert right["trimmed_mean"]["boost"] > right["mean"]["boost"] + 0.2


def test_too_few_hospitals_for_a_rule_are_named(small):
    assert why_too_few(small, 4, "krum") == "krum takes 5 hospitals, not 4"
    assert why_too_few(small, 5, "krum") == why_too_few(small, 2, "mean") == ""
