"""What is measured of images: of whom, beside which control, and kept bit for bit."""

from dataclasses import replace

import pytest
import torch

import handwritten
import kinds
import tiny
from pipeline.config import PlanConfig
from pipeline.data.halves import halves_of
from pipeline.data.plan import Plan
from pipeline.data.schema import SPLITS
from pipeline.defenses.trained import train
from pipeline.files import NotApplicable
from pipeline.risks.inversion.measure.images import (
    Reconstruction,
    private_noise,
    reconstruct_images,
)

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def asked():
    cfg = handwritten.configured(inversion={"victims": 2, "images": 2}, train={"epochs": 2})
    scans = kinds.scans(60, seed=0)
    plan = Plan.random_halves(60, models=3, seed=0)
    return cfg, scans, plan, train("baseline", scans, plan, cfg)


@pytest.fixture(scope="module")
def found(asked):
    cfg, scans, plan, models = asked
    return reconstruct_images(models, plan.train, scans, cfg)


@pytest.mark.slow
def test_updates_are_of_images_that_the_victim_trained_on(found, asked):
    _, _, plan, _ = asked
    assert found.index.shape == (2, 2)
    assert plan.train[:2].gather(1, found.index).all()
    assert set(found.rebuilt) == {"plain", "private"}
    assert all(images.shape == (2, 2, 1, 8, 8) for images in found.rebuilt.values())


@pytest.mark.slow
def test_the_control_is_the_mean_of_those_not_trained_on(found, asked):
    _, scans, plan, _ = asked
    for mean, own in zip(found.public, plan.train[:2], strict=True):
        torch.testing.assert_close(mean, scans.x[~own].mean(0))


@pytest.mark.slow
def test_the_noise_is_that_of_the_private_recipe(found, asked):
    cfg, *_ = asked
    options = cfg.defenses["dp_train"]
    sigma, norm = found.noise.tolist()
    assert norm == options["max_grad_norm"]
    looser = cfg.model_copy(update={"dp_train": {**options, "epsilon": 2 * options["epsilon"]}})
    assert private_noise(looser)[0] < sigma


@pytest.mark.slow
def test_it_survives_the_disk(found, tmp_path):
    found.save(tmp_path / "inversion")
    again = Reconstruction.load(tmp_path / "inversion")
    assert tiny.same_bits(again.typical, found.typical)
    assert all(tiny.same_bits(again.rebuilt[kind], one) for kind, one in found.rebuilt.items())


@pytest.mark.slow
def test_the_same_seed_gives_the_same_images(found, asked):
    cfg, scans, plan, models = asked
    again = reconstruct_images(models, plan.train, scans, cfg)
    assert all(tiny.same_bits(again.rebuilt[kind], one) for kind, one in found.rebuilt.items())


def test_records_are_not_for_it(asked, dataset):
    cfg, *_ = asked
    plan = tiny.plan(dataset)
    with pytest.raises(NotApplicable, match="networks that can be differentiated"):
        reconstruct_images(tiny.untrained(plan, dataset), plan.train, dataset, cfg)


@pytest.mark.slow
def test_of_an_official_split_only_training_images_are_members_and_controls(asked):
    cfg, scans, _, models = asked
    split = torch.tensor([SPLITS.index("train")] * 40 + [SPLITS.index("test")] * 20)
    official = replace(scans, split=split)
    plan = PlanConfig.model_validate({**cfg.plan.model_dump(), "kind": "official"})
    own = halves_of(official, plan, models=3, seed=0).train
    found = reconstruct_images(models, own, official, cfg.model_copy(update={"plan": plan}))
    assert torch.equal(found.member, own[:2])
    assert not found.member[:, 40:].any()
    for mean, rows in zip(found.public, own[:2], strict=True):
        learned = scans.x[:40]
        torch.testing.assert_close(mean, learned[~rows[:40]].mean(0))
