"""The rectangle that models work on and the patients: each way and back."""

import numpy as np
import pytest
import torch

import tiny
from pipeline.data.plan import Plan
from pipeline.models.out_of_fold import OutOfFold

EPS = [0.0, 0.1, 0.5]


@pytest.fixture(scope="module")
def dataset():
    return tiny.records(61, seed=0)  # not a multiple of the folds: the rectangle has filler


@pytest.fixture(scope="module")
def plan(dataset):
    return tiny.plan(dataset)


# ---- scatter and gather ----


@pytest.mark.parametrize("trailing", [(), (4,), (2, 3)])
def test_scatter_and_gather_are_inverse(plan, trailing):
    grid, (index, valid) = OutOfFold(plan, EPS), plan.held_out_index()
    shape = (3, 2, 61, *trailing)
    dense = torch.arange(int(np.prod(shape)), dtype=torch.float32).view(shape)
    rectangle = grid.gather(dense, index)
    assert rectangle.shape == (3, *index.shape, *trailing)
    assert torch.equal(grid.scatter(rectangle, index, valid), dense)
    assert not valid.all()  # the filler is dropped


def test_a_value_lands_at_the_patient_and_the_repetition_it_belongs_to(plan):
    grid, (index, valid) = OutOfFold(plan, [0.0]), plan.held_out_index()
    dense = grid.scatter((100 * torch.arange(plan.size)[:, None] + index)[None], index, valid)[0]
    for repetition in range(2):
        for patient in range(61):
            model = int((plan.held_out[:, patient] & (plan.repetition == repetition)).nonzero())
            assert dense[repetition, patient] == 100 * model + patient


def test_filler_never_arrives(plan):
    grid, (index, valid) = OutOfFold(plan, [0.0]), plan.held_out_index()
    values = torch.where(valid, 1.0, torch.nan)[None]
    assert torch.equal(grid.scatter(values, index, valid), torch.ones(1, 2, 61))


def test_a_plan_may_leave_patients_out_altogether(plan):
    out = torch.arange(61) % 4 == 1
    part = tiny.without(plan, out)
    grid, (index, valid) = OutOfFold(part, EPS), part.held_out_index()
    assert torch.equal(grid.patients, (~out).nonzero()[:, 0])
    dense = torch.rand(3, 2, len(grid.patients), generator=torch.Generator().manual_seed(0))
    assert torch.equal(grid.scatter(grid.gather(dense, index), index, valid), dense)


@pytest.mark.parametrize("change", ["twice", "in one repetition only"])
def test_a_plan_that_scores_unevenly_is_refused(plan, change):
    table = plan.held_out.clone()
    table[0, 0] = change == "twice"
    table[1, 0] = change == "twice"
    table[2, 0] = False
    with pytest.raises(ValueError, match="the same patients, each of them once"):
        OutOfFold(Plan(plan.train, table, plan.repetition, plan.seeds, plan.labels), EPS)
