"""Who scores training rows in the stead of whoever learned from them: each once, by others."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.data.nested import FOLDS, folds_within, own_folds
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset


@pytest.mark.parametrize("folds", [FOLDS, 5])
def test_every_training_row_is_scored_once_by_a_model_of_the_other_rows(folded, folds):
    dataset, plan = folded
    found, member = own_folds(plan, dataset, folds)
    assert found.size == folds * plan.size
    for row in range(plan.size):
        mine = member == row
        assert torch.equal(found.held_out[mine].sum(0), plan.train[row].long())
        for learned, asked in zip(found.train[mine], found.held_out[mine], strict=True):
            assert torch.equal(learned, plan.train[row] & ~asked)
            assert abs(int(asked.sum()) - int(plan.train[row].sum()) / folds) < 1
    assert len({*found.seeds.tolist(), *plan.seeds.tolist()}) == found.size + plan.size


def test_diagnoses_have_no_say_in_who_is_where(folded):
    """So a poisoned training set is cut as the clean one is."""
    dataset, plan = folded
    turned = replace(dataset, y=1 - dataset.y)
    one, other = own_folds(plan, dataset), own_folds(plan, turned)
    assert torch.equal(one.plan.train, other.plan.train)
    assert torch.equal(one.plan.seeds, other.plan.seeds)


def test_versions_of_records_have_no_say_either(folded):
    """Two versions of each record side by side, of which a training set takes the second."""
    dataset, plan = folded
    x, y = (one.repeat_interleave(2, 0) for one in (dataset.x, dataset.y))
    nobody = torch.zeros_like(plan.train)
    second = torch.stack([nobody, plan.train], 2).flatten(1)
    twice = replace(plan, train=second, held_out=torch.zeros_like(second))
    found = own_folds(twice, Dataset(x, y, dataset.schema)).plan
    assert torch.equal(found.train[:, 1::2], own_folds(plan, dataset).plan.train)
    assert not found.train[:, ::2].any()


def test_records_that_are_kept_together_are_in_one_fold(folded):
    dataset, plan = folded
    together = torch.arange(len(dataset.y)) // 4
    kept = replace(dataset, together=together, patient=together)
    train = plan.train[:, together * 4]  # whole groups train
    found, _ = own_folds(replace(plan, train=train, held_out=~train), kept)
    for asked, learned in zip(found.held_out, found.train, strict=True):
        assert not set(together[asked].tolist()) & set(together[learned].tolist())


def test_a_fold_beside_which_nobody_of_a_class_is_left_has_no_model():
    data = tiny.records(40, seed=0)
    y = torch.zeros(40, dtype=torch.int64)
    y[7] = 1  # who is in one of the two folds
    everyone = torch.ones(1, 40, dtype=torch.bool)
    plan = Plan(everyone, ~everyone, torch.tensor([-1]), torch.tensor([5]), ("all",))
    found, member = own_folds(plan, replace(data, y=y))
    assert member.tolist() == [0]
    assert found.train[0, 7]
    assert not found.held_out[0, 7]
    nobody = replace(plan, train=torch.zeros_like(everyone).index_fill(1, torch.tensor([7]), True))
    assert not own_folds(nobody, replace(data, y=y)).plan.size


def test_inner_folds_score_training_rows_once_by_who_has_not_seen_them(folded):
    dataset, plan = folded
    fold = plan.select(plan.scored())
    site = torch.arange(len(dataset.y)) % 4
    train = torch.stack([site != place for place in range(4) for _ in range(2)])
    named = tuple(f"beside {place} seed {seed}" for place in range(4) for seed in range(2))
    seeds, repetition = torch.arange(100, 108), torch.tensor([0, 1] * 4)
    rows = Plan(train, ~train, repetition, seeds, named)
    nested = folds_within(rows, fold)
    assert nested.plan.size == 3 * rows.size
    assert not (nested.plan.train & nested.plan.held_out).any()
    assert len(set(nested.plan.seeds.tolist())) == nested.plan.size
    for row in range(rows.size):
        mine = nested.plan.select(nested.member == row)
        assert torch.equal(mine.held_out.sum(0), rows.train[row].long())
        assert not (mine.train & ~rows.train[row]).any()
        assert not (mine.train & rows.held_out[row]).any()
