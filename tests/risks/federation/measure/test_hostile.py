"""Hostile hospitals measured: the control is the recipe itself, planted harm is found."""

import pytest
import torch

import tiny
from pipeline.defenses.federated.private import train_privately
from pipeline.defenses.federated.recipe import train_federated
from pipeline.models.out_of_fold import OutOfFold
from pipeline.risks.federation.measure.federations import NONE, options_of
from pipeline.risks.federation.measure.hostile import Asked, Harmed, harm, why_too_few
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
        found = harm(patients, plan, small, Asked(5, rule, 1, False, 1))
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


def test_among_private_hospitals_the_control_is_the_recipe_and_who_is_hostile_adds_no_noise(
    patients, small
):
    plan = tiny.plan(patients, seeds=1)
    few = small.federation.dp_sgd.model_copy(update={"rounds": 2, "local_steps": 3})
    own = settings(small, dp_sgd=few, attacks=["boost"])
    found = harm(patients, plan, own, Asked(5, "mean", 1, True, 1))
    keys = few.model_dump(exclude={"rounds"})
    options = options_of(own, 5, "mean") | {"rounds": few.rounds} | keys
    del options["local_epochs"]
    models = train_privately(patients, plan, own, **options, engine="loop")
    index, valid = plan.held_out_index()
    lead = models.double()(patients.x[index].double()).diff(dim=-1)[..., 0]
    plain = OutOfFold(plan, [0.0]).scatter(lead[None], index, valid)[0]
    ours = (2 * patients.y - 1) * found.margins[NONE] + found.cuts[NONE]
    torch.testing.assert_close(ours, plain.float(), rtol=1e-3, atol=1e-3)
    assert found.recipe == "federated_private"
    assert (found.cuts["boost"] == 0).all()
    assert not torch.equal(found.margins["boost"], found.margins[NONE])


def test_too_few_hospitals_for_a_rule_are_named(small):
    assert why_too_few(small, 4, Asked(4, "krum", 1, False, 1)) == (
        "krum takes 5 hospitals to stand 1 malicious, not 4"
    )
    assert why_too_few(small, 6, Asked(6, "krum", 2, False, 1)) == (
        "krum takes 7 hospitals to stand 2 malicious, not 6"
    )
    assert why_too_few(small, 5, Asked(5, "krum", 1, False, 1)) == ""
    assert why_too_few(small, 2, Asked(2, "mean", 1, False, 1)) == ""
