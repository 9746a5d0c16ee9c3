"""Records that break what is said of them are counted, by what they break."""

import torch

import related
from pipeline.data.schema import Dataset
from pipeline.data.slips import Slips
from tiny import SCHEMA


def test_they_are_counted_and_told():
    x = torch.tensor(
        [
            [120.0, 80.0, 70.0, 170.0, 24.2, 50.0],
            [120.0, 110.0, 70.0, 170.0, 24.2, 50.0],  # only ten apart
            [120.0, 105.0, 70.0, 170.0, 24.3, 50.0],  # 24.22, written down as 24.3
            [120.0, 80.0, 70.0, 170.0, 24.1, 50.0],
            [120.0, 80.0, 110.0, 170.0, 38.1, 50.0],  # 110 - 85 is above 20
            [120.0, float("nan"), 70.0, 170.0, float("nan"), 50.0],
        ]
    )
    found = Slips.of(Dataset(x, torch.zeros(6, dtype=torch.int64), related.SCHEMA))
    assert found.break_relation == dict(zip(related.RELATIONS, [1, 1], strict=True))
    assert found.differ_from_formula == {"bmi": 2}
    relations, formulas = found.remarks
    assert "diastolic + 15 <= systolic (1), weight - 0.5 * height <= 20 (1)" in relations
    assert "bmi (2)" in formulas


def test_where_nothing_is_said_nothing_is_counted():
    found = Slips.of(Dataset(torch.zeros(2, 5), torch.zeros(2, dtype=torch.int64), SCHEMA))
    assert found == Slips({}, {})
    assert found.remarks == []
