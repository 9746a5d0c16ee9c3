"""Random halves are of those whom a recipe learns from; an official split's test is nobody's."""

from dataclasses import replace

import pytest
import torch

import kinds
from pipeline.config import PlanConfig
from pipeline.data.halves import halves_of, learned_from, only, reported_on
from pipeline.data.plan import Plan

FOLDS = PlanConfig(kind="folds", folds=3, seeds=2, tune=0.0)
OFFICIAL = PlanConfig(kind="official", folds=3, seeds=2, tune=0.0)
TRAIN, TUNE, TEST = range(3)
SPLIT = torch.tensor([TRAIN] * 40 + [TUNE] * 8 + [TEST] * 12)
SCANS = replace(kinds.scans(60, seed=0), split=SPLIT)


@pytest.mark.parametrize(("plan", "dataset"), [(FOLDS, SCANS), (OFFICIAL, kinds.scans(60, seed=0))])
def test_without_an_official_split_halves_are_of_everybody(plan, dataset):
    found = halves_of(dataset, plan, models=4, seed=1)
    expected = Plan.random_halves(60, models=4, seed=1)
    for name in ("train", "held_out", "seeds"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert found.tune is None
    assert learned_from(dataset, plan).all()
    assert reported_on(dataset, plan).all()
    assert only(dataset, learned_from(dataset, plan)) is dataset


def test_under_an_official_split_they_are_of_its_training_records():
    found = halves_of(SCANS, OFFICIAL, models=200, seed=1)
    whole = Plan.random_halves(60, models=200, seed=1)
    assert torch.equal(found.train[:, SPLIT == TRAIN], whole.train[:, SPLIT == TRAIN])
    assert not found.train[:, SPLIT != TRAIN].any()
    assert torch.equal(found.tune, (SPLIT == TUNE).expand(200, -1))
    assert torch.equal(found.held_out, ~found.train & ~found.tune)
    assert torch.equal(found.seeds, whole.seeds)
    assert torch.equal(learned_from(SCANS, OFFICIAL), SPLIT == TRAIN)
    assert torch.equal(reported_on(SCANS, OFFICIAL), SPLIT == TEST)


def test_a_split_that_sets_nobody_aside_leaves_no_tune_table():
    dataset = replace(SCANS, split=torch.where(SPLIT == TUNE, TRAIN, SPLIT))
    found = halves_of(dataset, OFFICIAL, models=3, seed=1)
    assert found.tune is None
    assert torch.equal(found.held_out, ~found.train)


def test_some_of_the_records_keep_what_is_known_of_them():
    rows = SPLIT == TRAIN
    some = only(replace(SCANS, patient=torch.arange(60) // 2), rows)
    assert torch.equal(some.x, SCANS.x[rows])
    assert torch.equal(some.y, SCANS.y[rows])
    assert torch.equal(some.patient, torch.arange(40) // 2)
    assert torch.equal(some.split, SPLIT[rows])
