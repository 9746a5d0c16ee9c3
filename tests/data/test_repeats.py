"""Records that may be of one person, against a comparison of every two."""

import numpy as np
import pytest
import torch

import tiny
from pipeline.data.repeats import Repeats
from pipeline.data.schema import Dataset


def brute(x, y, patient):
    """Near-equal and contradictory records, by looking at all pairs."""
    near, contradictory = set(), set()
    for i in range(len(x)):
        for j in range(len(x)):
            if patient[i] == patient[j]:
                continue
            same = (x[i] == x[j]) | (np.isnan(x[i]) & np.isnan(x[j]))
            if (~same).sum() == 1:
                near.add(i)
            if same.all() and y[i] != y[j]:
                contradictory.add(i)
    return len(near), len(contradictory)


@pytest.mark.parametrize("values", [2, 3, 6])
@pytest.mark.parametrize("patients", [None, 25])
def test_they_are_those_that_all_pairs_show(values, patients):
    rng = np.random.default_rng(values)
    x = rng.integers(0, values, size=(80, 5)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = rng.integers(0, 2, size=80)
    patient = np.arange(80) if patients is None else rng.integers(0, patients, size=80)
    data = Dataset(
        torch.from_numpy(x), torch.from_numpy(y), tiny.SCHEMA, patient=torch.from_numpy(patient)
    )
    found = Repeats.of(data)
    assert (found.near_equal, found.contradictory) == brute(x, y, patient)


def test_an_ordinary_cohort_gives_no_cause():
    assert Repeats.of(tiny.records(240, seed=6)).remarks == []


def test_visits_are_named_until_somebody_says_whose_they_are():
    data = tiny.records(50, seed=3, missing=0.0)
    rows = torch.arange(50).repeat_interleave(4)
    x = data.x[rows].clone()
    x[:, 1] += torch.arange(4).repeat(50) * 0.1
    found = Repeats.of(Dataset(x, data.y[rows], data.schema))
    assert found == Repeats(near_equal=200, contradictory=0)
    assert found.remarks[0].startswith(
        "200 records differ from another one in one value only; if they are of one patient, name "
        "the column of patients as data.group"
    )
    assert Repeats.of(Dataset(x, data.y[rows], data.schema, patient=rows)).remarks == []


def test_equal_measurements_of_both_classes_are_named():
    data = tiny.records(50, seed=3)
    twice = Dataset(data.x.repeat(2, 1), torch.cat([data.y, 1 - data.y]), data.schema)
    (said,) = Repeats.of(twice).remarks
    assert said.startswith("100 records equal another one in every value, but not in the diagnosis")
