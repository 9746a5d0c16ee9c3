"""A hospital's process gets its own records, what every hospital is told, and nothing else."""

import stat
from dataclasses import asdict

import pytest
import torch

import tiny
from pipeline.config import ModelConfig, TrainConfig
from pipeline.defenses.federated.flare.handed import (
    Task,
    checks_left,
    hand_over,
    leave_checks,
    take_over,
)
from pipeline.defenses.federated.local import Training
from pipeline.defenses.federated.sites import hospitals_of, sites_of
from pipeline.defenses.privacy import NoisySteps
from pipeline.defenses.self_measurement import Check
from pipeline.files import BadInput
from pipeline.models.designs import architecture_of

MODEL = ModelConfig(name="mlp", hidden=[4])
TRAIN = TrainConfig(epochs=1, batch_size=8, learning_rate=0.01, weight_decay=0.0)

HOW = NoisySteps(1 / 3, 1.0, 4, 40.0, 0.1, 0.02, True)


def task(site):
    told = {"number": site.number, "name": site.name, "model": MODEL, "train": TRAIN}
    noisy = asdict(HOW) if site.number else None
    return Task(**told, rounds=3, local_epochs=2, noisy=noisy)


def test_what_is_handed_over_is_taken_over(dataset, tmp_path):
    plan = tiny.plan(dataset)
    for site in sites_of(dataset, plan, hospitals_of(dataset, 3, "age")):
        folder = tmp_path / f"of {site.number}"
        hand_over(site, task(site), folder)
        taken, training, how = take_over(folder)
        assert how == (HOW if site.number else None)
        assert (taken.number, taken.name) == (site.number, site.name)
        assert tiny.same_bits(taken.dataset.x, site.dataset.x)
        for one in ("train", "seeds"):
            assert torch.equal(getattr(taken, one), getattr(site, one))
        assert torch.equal(taken.dataset.y, site.dataset.y)
        architecture = architecture_of(dataset.schema, MODEL)
        assert training == Training(architecture, TRAIN, 3, 2)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_lacks_something_is_one_line(dataset, tmp_path):
    (site,) = sites_of(dataset, tiny.plan(dataset), hospitals_of(dataset, 1, "age"))
    hand_over(site, task(site), tmp_path / "one")
    (tmp_path / "one" / "members.safetensors").unlink()
    with pytest.raises(BadInput, match=r"members\.safetensors"):
        take_over(tmp_path / "one")


def test_what_a_training_measured_of_itself_is_read_as_it_was(tmp_path):
    found = [{"noise": Check(1 / 3, 1.0, 1e-30), "next step": Check(0.1 + 0.2, 0.0, 0.7)}, {}]
    leave_checks(found, tmp_path)
    assert checks_left(tmp_path) == found
    (tmp_path / "measured.json").unlink()
    with pytest.raises(BadInput, match=r"measured\.json"):
        checks_left(tmp_path)
