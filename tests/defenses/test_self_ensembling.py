"""SEDA trains in the order it says, and never on an image that it is tested on."""

from dataclasses import replace

import pytest
import torch

import tiny
from defenses.transformers import configured, setting
from kinds import LEVELS, SCANS, official_split
from pipeline import kernels
from pipeline.data.threat import Threat
from pipeline.defenses import self_ensembling as recipe
from pipeline.defenses.self_ensembling import digests, forged, with_forged
from pipeline.defenses.trained import train
from pipeline.files import BadInput, FailedCheck
from pipeline.models import training
from pipeline.models.ensemble import trunk_of, voters

pytestmark = pytest.mark.heavy
OPTIONS = {
    "read": 2,
    "channels": [8],
    "hidden": [6],
    "epochs": 10,
    "adversarial": "none",
    "eps": 0.125,  # of the full range, two grey levels
    "threat": "pixels",
    "steps": 2,
    "step_size": 0.5,
    "whole_epochs": 2,
}


@pytest.fixture
def cfg(values):
    return configured(values)


def trained(cfg, dataset, plan, **options):
    return train("seda", dataset, plan, cfg.model_copy(update={"seda": {**OPTIONS, **options}}))


def test_it_learns_and_each_of_its_voters_does(cfg):
    dataset, plan = setting()
    models = trained(cfg, dataset, plan)
    said = voters(models, dataset.x[plan.held_out[0]][None])
    right = (said.argmax(-1)[:, 0] == dataset.y[plan.held_out[0]]).float().mean(-1)
    assert (right > 0.85).all()
    assert models.facts["seda"]["adversarial"] == "none"


@pytest.mark.slow
def test_the_transformer_is_frozen_while_classifiers_learn_and_not_end_to_end(cfg):
    dataset, plan = setting()
    alone = train("baseline", dataset, plan, cfg)
    for adversarial, same in (("none", True), ("heads", True), ("whole", False)):
        models = trunk_of(trained(cfg, dataset, plan, adversarial=adversarial))
        equal = [
            torch.equal(models.parameters[name], value)
            for name, value in alone.parameters.items()
            if not name.startswith("head")  # where the undefended model's cut is
        ]
        assert all(equal) if same else not any(equal), adversarial


@pytest.mark.slow
def test_a_plan_of_several_models_trains_each_as_if_alone(cfg):
    dataset, _ = setting()
    plan = official_split(dataset, train=80, seeds=2).select(torch.arange(2))
    both = trained(cfg, dataset, plan, adversarial="heads")
    second = trained(cfg, dataset, plan.select(torch.tensor([1])), adversarial="heads")
    x = dataset.x.expand(2, -1, -1, -1, -1)
    assert tiny.same_bits(both(x)[1], second(x[:1])[0])


@pytest.mark.parametrize("adversarial", ["none", "heads", "whole"])
@pytest.mark.slow
def test_what_it_is_tested_on_changes_nothing(cfg, adversarial):
    dataset, plan = setting()
    held = plan.held_out[0]
    x = dataset.x.clone()
    x[held] = LEVELS - x[held]
    other = replace(dataset, x=x, y=torch.where(held, 1 - dataset.y, dataset.y))
    first, second = (trained(cfg, one, plan, adversarial=adversarial) for one in (dataset, other))
    assert first.digest == second.digest


def test_forged_images_are_whole_grey_levels_within_the_radius_made_for_the_transformer(cfg):
    dataset, plan = setting()
    models, threat = trained(cfg, dataset, plan), Threat.of(SCANS, cfg.threat["pixels"])
    rows = plan.train[0].nonzero()[:, 0]
    x_adv = forged(models, dataset, rows, threat, 0.125)
    assert torch.equal(x_adv, x_adv.round())
    assert float((x_adv - dataset.x[rows]).abs().max()) == 2
    assert 0 <= float(x_adv.amin()) < float(x_adv.amax()) <= LEVELS
    assert threat.violations(x_adv, dataset.x[rows], 0.125) == 0
    wrong = voters(models, x_adv[None])[0, 0].argmax(-1) != dataset.y[rows]
    clean = voters(models, dataset.x[rows][None])[0, 0].argmax(-1) != dataset.y[rows]
    assert wrong.sum() > clean.sum()


def test_every_forged_image_joins_those_trained_on_and_no_others():
    dataset, plan = setting()
    rows = plan.train[0].nonzero()[:, 0]
    more, longer = with_forged(dataset, plan, rows, dataset.x[rows] + 1)
    assert torch.equal(more.x[120:], dataset.x[rows] + 1)
    assert torch.equal(more.y[120:], dataset.y[rows])
    assert longer.train[0, 120:].all()
    assert not longer.held_out[0, 120:].any()
    assert torch.equal(longer.train[0, :120], plan.train[0])


def test_an_image_that_it_is_tested_on_must_not_be_forged_for_training(cfg, monkeypatch):
    dataset, plan = setting()
    tested = plan.held_out[0].nonzero()[:, 0]
    with pytest.raises(FailedCheck, match=r"^seda: 40 adversarial images come from images"):
        with_forged(dataset, plan, tested, dataset.x[tested])
    assert not {*digests(dataset.x[tested])} & {*digests(dataset.x[plan.train[0]])}

    def leaking(dataset, plan, rows, x_adv):
        return with_forged(dataset, plan, tested, x_adv[: len(tested)])

    monkeypatch.setattr(recipe, "with_forged", leaking)
    with pytest.raises(FailedCheck):
        trained(cfg, dataset, plan, adversarial="heads")


def test_another_network_is_refused_in_a_line(cfg):
    dataset, plan = setting()
    cnn = cfg.model.model_copy(update={"name": "cnn", "channels": [4], "hidden": []})
    with pytest.raises(BadInput, match=r"^seda: reads a vision transformer's blocks, not a cnn"):
        trained(cfg.model_copy(update={"model": cnn}), dataset, plan)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("adversarial", ["none", "heads", "whole"])
def test_it_trains_on_a_gpu_as_here(cfg, monkeypatch, adversarial):
    """As near as here: signs of gradients make much of the first weights' last digits."""
    monkeypatch.setattr(kernels, "_chosen", ["cpu"])
    dataset, plan = setting()

    def fitted(device):
        kernels.use_device(device)
        return trained(cfg, dataset, plan, adversarial=adversarial, epochs=2)

    def distance(one, other):
        x = dataset.x.expand(len(one.labels), -1, -1, -1, -1)
        return (one(x).diff(dim=-1) - other(x).diff(dim=-1)).abs().mean()

    here, there, again = fitted("cpu"), fitted("cuda"), fitted("cuda")
    assert there.digest == again.digest
    first, drawn = training.initialised, torch.Generator().manual_seed(0)

    def nearly(*given):
        return {
            name: value * (1 + 1e-6 * torch.randn(value.shape, generator=drawn))
            for name, value in first(*given).items()
        }

    monkeypatch.setattr(training, "initialised", nearly)
    assert distance(here, there) < distance(here, fitted("cpu"))
