"""The rectangle that models work on and the patients: each way and back.

Rows come in an order that everybody relies on.
"""

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from pipeline.data.plan import Plan
from pipeline.models.out_of_fold import OutOfFold

EPS = [0.0, 0.1, 0.5]
COLUMNS = [
    "threat",
    "attack",
    "eps",
    "repetition",
    "patient",
    "model",
    "y",
    "margin",
    "broken",
    "changed",
]


@pytest.fixture(scope="module")
def dataset():
    return tiny.records(61, seed=0)  # not a multiple of the folds: the rectangle has filler


@pytest.fixture(scope="module")
def plan(dataset):
    return tiny.plan(dataset)


def without(plan, patients):
    """The plan that scores nobody of these."""
    return Plan(plan.train, plan.held_out & ~patients, plan.repetition, plan.seeds, plan.labels)


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
    part = without(plan, out)
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


# ---- rows ----


@pytest.fixture(scope="module")
def margins():
    return torch.randn(3, 2, 61, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def frame(plan, dataset, margins):
    changed = torch.arange(margins.numel()).view(margins.shape) % 5
    return OutOfFold(plan, EPS).frame(
        {"threat": "clinical", "attack": "fgsm"}, margins, changed, dataset.y
    )


def test_rows_run_over_radii_then_repetitions_then_patients(frame, margins, dataset):
    assert list(frame) == COLUMNS
    wanted = pd.MultiIndex.from_product([EPS, range(2), range(61)])
    assert (
        pd.MultiIndex.from_frame(frame[["eps", "repetition", "patient"]]).tolist()
        == wanted.tolist()
    )
    np.testing.assert_array_equal(frame["margin"], margins.flatten().float())
    np.testing.assert_array_equal(frame["broken"], margins.flatten() <= 0)
    np.testing.assert_array_equal(frame["changed"], np.arange(len(frame)) % 5)
    np.testing.assert_array_equal(frame["y"], dataset.y.repeat(6))


def test_the_model_is_the_one_that_held_the_patient_out(frame, plan):
    for row in frame[["repetition", "patient", "model"]].itertuples():
        member = plan.labels.index(row.model)
        assert plan.held_out[member, row.patient]
        assert plan.repetition[member] == row.repetition


def test_what_takes_few_values_is_a_category(frame, plan):
    for column, values in (
        ("threat", ["clinical"]),
        ("attack", ["fgsm"]),
        ("model", list(plan.labels)),
    ):
        assert list(frame[column].cat.categories) == values
    kinds = {
        "repetition": "int16",
        "patient": "int32",
        "y": "int8",
        "margin": "float32",
        "broken": "bool",
        "changed": "int16",
    }
    assert frame.dtypes[list(kinds)].astype(str).to_dict() == kinds


def test_a_tie_is_an_error_even_where_float32_cannot_tell(plan, dataset):
    """A margin of 1e-50 is right, and is 0 as float32."""
    margins = torch.zeros(1, 2, 61, dtype=torch.float64)
    margins[0, 0, :30] = 1e-50
    rows = OutOfFold(plan, [0.0]).frame({}, margins, torch.zeros(1, 2, 61), dataset.y)
    assert (~rows["broken"]).sum() == 30


def test_rows_name_the_patients_that_were_scored(plan, dataset):
    out = torch.arange(61) < 3
    part = without(plan, out)
    rows = OutOfFold(part, [0.0]).frame({}, torch.zeros(1, 2, 58), torch.zeros(1, 2, 58), dataset.y)
    assert rows["patient"].tolist() == 2 * list(range(3, 61))
    np.testing.assert_array_equal(rows["y"], dataset.y[3:].repeat(2))
