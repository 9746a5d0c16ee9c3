"""Columns that hold nothing, one value, or the outcome itself."""

import pytest
import torch

from pipeline.data.columns import Columns, refuse_unmeasured
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import BadInput
from tiny import SCHEMA, records


@pytest.fixture
def cohort():
    data = records(240, seed=6)
    return Dataset(data.x.clone(), data.y, SCHEMA)


def plan_of(cohort, folds=5):
    return Plan.cross_validation(cohort.y, folds=folds, seeds=2, seed=0)


def test_an_ordinary_cohort_gives_no_cause(cohort):
    found = Columns.of(cohort)
    assert (found.constant, found.alone, found.remarks) == ({}, {}, [])
    refuse_unmeasured(cohort, plan_of(cohort), "data/x.csv")


def test_a_column_of_one_value_is_named(cohort):
    cohort.x[:, 1] = 22.5
    cohort.x[::3, 1] = torch.nan
    found = Columns.of(cohort)
    assert found.constant == {"bmi": 22.5}
    assert found.remarks == ["one value only, so it counts for nothing: bmi (22.5)"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_that_is_the_outcome_is_a_leak_whichever_way_it_points(cohort, sign):
    cohort.x[:, 2] = 5 + sign * (cohort.y - 0.5) + torch.linspace(0, 0.4, 240)
    cohort.x[::7, 2] = torch.nan
    found = Columns.of(cohort)
    assert found.alone == {"ratio": 1.0}
    assert found.remarks[0].startswith("suspected_leak: ")
    assert "ratio (AUROC 1.000)" in found.remarks[0]


def test_a_strong_column_is_no_leak(cohort):
    noise = torch.randn(240, generator=torch.Generator().manual_seed(0))
    cohort.x[:, 2] = 2.5 * cohort.y + noise  # AUROC of about .96
    assert Columns.of(cohort).alone == {}


def test_a_column_without_a_value_in_a_fold_is_named_with_the_fold(cohort):
    plan = plan_of(cohort)
    row = 3
    cohort.x[:, 3] = torch.nan
    cohort.x[plan.held_out[row].nonzero()[:3, 0], 3] = 1.0
    wanted = (
        r"^data/x.csv: column 'pedigree': no value among the training rows of seed0-fold3 "
        r"\(3 of 240 measured\); drop it, or lower plan.folds$"
    )
    with pytest.raises(BadInput, match=wanted):
        refuse_unmeasured(cohort, plan, "data/x.csv")
    cohort.x[:, 1] = torch.nan
    with pytest.raises(BadInput, match="and 1 other columns"):
        refuse_unmeasured(cohort, plan, "data/x.csv")
