"""The image rows: both sides get the same task, and what they are measured on can be learned."""

import pytest
import torch

import scans
from benchmarks import images
from benchmarks.contest import OURS
from benchmarks.images import Scans, made_up, whole_range
from pipeline.data.plan import Plan
from pipeline.data.schema import Schema
from pipeline.params import configured

pytestmark = pytest.mark.heavy


@pytest.fixture
def small(monkeypatch):
    """Made-up images, and a network that learns them in a moment."""
    sizes = ["model.channels=[4]", "model.hidden=[]", "train.epochs=6", "train.learning_rate=0.01"]
    fixed = ["train.schedule=constant", "train.shift=0", "plan.seeds=2"]
    cfg = configured(["experiment=pneumonia", *sizes, *fixed])
    dataset = made_up(Schema.of(cfg.data), seed=0)
    plan = Plan.official(dataset.split, seeds=2, seed=0)
    monkeypatch.setattr(images, "load_scans", lambda: Scans(cfg, dataset, plan))
    for name, value in {"MODELS": 2, "ATTACKED": 2, "IMAGES": 64, "STEPS": 5}.items():
        monkeypatch.setattr(images, name, value)
    return dataset


def test_made_up_images_are_whole_levels_of_two_classes_on_an_official_split():
    schema = Schema.of(scans.configured("pneumonia"))
    dataset = made_up(schema, seed=0)
    assert dataset.x.shape[1:] == schema.image
    assert torch.equal(dataset.x, dataset.x.round())
    assert 0 <= dataset.x.min() < dataset.x.max() <= 255
    assert dataset.split.bincount().tolist() == [images.MADE_UP["train"], 0, images.MADE_UP["test"]]


@pytest.mark.slow
def test_both_sides_learn_the_same_task(small):
    contenders = images.training(None)
    quality = {name: one.quality([one.run(0)]) for name, one in contenders.items()}
    assert set(quality) == {OURS, "torch"}
    assert min(quality.values()) > 0.9, quality


def test_every_attacker_starts_from_the_same_networks_and_images(small, monkeypatch):
    pytest.importorskip("art")
    pytest.importorskip("torchattacks")
    monkeypatch.setattr(images, "LEVELS", 1e-6)
    none = {name: one.quality([one.run(0)]) for name, one in images.attack(None).items()}
    assert len(set(none.values())) == 1, none
    monkeypatch.setattr(images, "LEVELS", 4.0)
    broken = {name: one.quality([one.run(0)]) for name, one in images.attack(None).items()}
    assert len(broken) == 4
    assert broken[OURS] < none[OURS]
    assert broken[OURS] <= min(broken.values()), broken


def test_the_whole_range_may_be_used_by_everybody(small):
    threat = whole_range(small)
    x = small.x[:2]
    moved = threat.project(x + 3.7, x, 4 / 255)
    assert torch.allclose(moved, (x + 3.7).clamp(0, 255), atol=1e-3)
