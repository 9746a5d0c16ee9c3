"""A number and its interval, or a dash."""

import pandas as pd

from pipeline.presentation.numbers import interval_text, proved, with_interval


def test_a_number_stands_with_its_interval():
    assert interval_text(0.5934, 0.585, 0.6011) == "0.593 (0.585 to 0.601)"
    assert interval_text(float("nan"), 0.1, 0.2) == "-"


def test_a_column_finds_its_bounds_by_its_name_or_where_they_are_said_to_be():
    table = pd.DataFrame(
        {
            "auroc": [0.5, None],
            "auroc_low": [0.4, None],
            "auroc_high": [0.6, None],
            "least": [0.3, 0.0],
        }
    )
    assert with_interval(table, "auroc") == ["0.500 (0.400 to 0.600)", "-"]
    assert with_interval(table.iloc[:1], "auroc", "least", "auroc_high") == [
        "0.500 (0.300 to 0.600)"
    ]


def test_what_is_proved_is_exact_or_says_what_is_undecided():
    lines = pd.DataFrame({"verified_accuracy": [0.5, 0.4], "undecided": [1e-12, 0.125]})
    assert proved(lines) == ["exact", "0.400, undecided 0.125"]
