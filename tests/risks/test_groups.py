"""Who belongs to which group."""

import numpy as np

from pipeline.params import configured
from pipeline.risks.groups import band_names, groups_of


def test_one_cut_makes_two_bands():
    assert band_names([18]) == ["below 18", "18 and above"]


def test_every_patient_is_in_one_band_or_has_no_value():
    data = configured(["data=pima"]).data
    age = list(data.features).index("age")
    x = np.full((5, len(data.features)), np.nan)
    x[:, age] = [21, 30, 44.9, 45, np.nan]
    groups = groups_of(x, list(data.features), np.array([0, 1, 0, 1, 1]), data)
    assert list(groups) == [
        ("outcome", "no diabetes"),
        ("outcome", "diabetes"),
        ("age", "below 30"),
        ("age", "30 to below 45"),
        ("age", "45 and above"),
    ]
    bands = np.array([inside for (by, _), inside in groups.items() if by == "age"])
    assert bands.astype(int).tolist() == [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0]]
