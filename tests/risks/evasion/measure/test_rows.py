"""Rows of attacks: one for each radius, repetition and patient, in an order relied on."""

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from pipeline.models.out_of_fold import OutOfFold
from pipeline.risks.evasion.measure.rows import rows_of

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


@pytest.fixture(scope="module")
def margins():
    return torch.randn(3, 2, 61, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def frame(plan, dataset, margins):
    changed = torch.arange(margins.numel()).view(margins.shape) % 5
    return rows_of(
        OutOfFold(plan, EPS), {"threat": "clinical", "attack": "fgsm"}, margins, changed, dataset.y
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
    rows = rows_of(OutOfFold(plan, [0.0]), {}, margins, torch.zeros(1, 2, 61), dataset.y)
    assert (~rows["broken"]).sum() == 30


def test_rows_name_the_patients_that_were_scored(plan, dataset):
    out = torch.arange(61) < 3
    part = tiny.without(plan, out)
    rows = rows_of(
        OutOfFold(part, [0.0]), {}, torch.zeros(1, 2, 58), torch.zeros(1, 2, 58), dataset.y
    )
    assert rows["patient"].tolist() == 2 * list(range(3, 61))
    np.testing.assert_array_equal(rows["y"], dataset.y[3:].repeat(2))
