"""Records are found in a cohort by their values, and who shares a patient is no stranger."""

import pandas as pd
import pytest
import torch

import tiny
from pipeline.config import PlanConfig
from pipeline.data.known import trained_on
from pipeline.data.plan import RELEASE, Plan
from pipeline.data.schema import Dataset
from pipeline.files import BadInput

DATA = tiny.records(20, seed=6)
FRAME = pd.DataFrame(DATA.x.numpy(), columns=list(tiny.SCHEMA.names))


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def write(frame):
        frame.to_csv(tmp_path / "rows.csv", index=False)
        return "rows.csv"

    return write


def test_nobody_without_a_file():
    assert not trained_on(DATA, None).any()


def test_rows_are_found_wherever_they_stand_gaps_included(written):
    path = written(FRAME.iloc[[7, 2, 11]].assign(note="x")[["note", *tiny.SCHEMA.names]])
    assert trained_on(DATA, path).nonzero()[:, 0].tolist() == [2, 7, 11]


def test_a_stranger_is_named_by_line_and_not_by_value(written):
    row = FRAME.iloc[[3]].assign(glucose=41.0)
    with pytest.raises(BadInput, match=r"rows\.csv: line 4: no such record in the cohort$") as said:
        trained_on(DATA, written(pd.concat([FRAME.iloc[[1, 2]], row])))
    assert "41" not in str(said.value)


def test_a_missing_column_is_named(written):
    with pytest.raises(BadInput, match="lacks the columns bmi"):
        trained_on(DATA, written(FRAME.drop(columns="bmi")))
    with pytest.raises(BadInput, match="cannot be read"):
        trained_on(DATA, "nowhere.csv")


def test_a_frozen_plan_tests_on_all_others_but_not_on_the_same_patients(written):
    patient = torch.arange(20) // 2
    data = Dataset(DATA.x, DATA.y, DATA.schema, patient)
    cfg = PlanConfig(kind="frozen", trained_on=written(FRAME.iloc[[4]]), folds=2, seeds=1)
    plan = Plan.of(data, cfg, 0)
    assert plan.labels == (RELEASE,)
    assert plan.train[0].nonzero()[:, 0].tolist() == [4]
    assert (~plan.held_out[0]).nonzero()[:, 0].tolist() == [4, 5]


def test_somebody_must_be_left_to_test_on():
    with pytest.raises(BadInput, match="leaves nobody of the cohort to test on"):
        Plan.frozen(torch.ones(20, dtype=torch.bool), torch.arange(20), seed=0)
