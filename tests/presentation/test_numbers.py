"""A number and its interval, or a dash."""

import pandas as pd

from pipeline.presentation.numbers import (
    NOT_TOLD,
    SMALL,
    as_told,
    few,
    interval_text,
    proved,
    with_interval,
    without_few,
)


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


def told(table, parts=()):
    return without_few(pd.DataFrame(table), parts)


def test_no_count_of_one_to_nine_is_told_and_none_that_a_subtraction_would_tell():
    table = {
        "by": ["age"] * 3 + ["sex"] * 2,
        "patients": [100, 7, 40, 147, 0],
        "ill": [95, 3, 20, 60, 0],  # 95 of 100: five healthy ones
    }
    shown = told(table, ["by"])
    assert shown["patients"].isna().tolist() == [False, True, True, False, False]
    assert shown["ill"].isna().tolist() == [True, True, False, False, False]
    alone = told(table)
    assert alone["patients"].isna().tolist() == [False, True, False, False, False]
    for column in (shown["patients"], shown["ill"], shown["patients"] - shown["ill"]):
        assert not ((column > 0) & (column < SMALL)).any()


def test_counts_that_are_everybody_in_a_line_do_not_tell_a_small_one_of_them():
    """300 patients at three sites, or before and after a day: 7 asked about at the first."""
    table = {
        "tried": ["site"] * 3 + ["later"],
        "patients": [7, 120, 173, 9],
        "learned": [293, 176, 117, 281],
        "left_out": [0, 4, 10, 10],
    }
    shown = told(table, ["tried"])
    hidden = shown[["patients", "learned", "left_out"]].isna()
    assert hidden["patients"].tolist() == [True, True, False, True]
    assert hidden["learned"].tolist() == [True, False, False, False]
    assert hidden["left_out"].tolist() == [False, True, False, True]
    assert (pd.DataFrame(table)[list(hidden)].sum(1) == 300).all()
    assert (hidden.sum(1) != 1).all()  # else 300 less the others


def test_what_is_hidden_for_one_sum_is_not_told_by_another():
    """Left out: 3. So the asked about are hidden, and then those of another site as well."""
    shown = told({"patients": [50, 60], "learned": [57, 50], "left_out": [3, 0], "by": 0}, ["by"])
    assert shown["left_out"].isna().tolist() == [True, False]
    assert shown["patients"].isna().tolist() == [True, True]
    assert shown["learned"].isna().tolist() == [False, True]


def test_of_a_confusion_matrix_in_one_line_neither_a_few_nor_their_complement_is_told():
    table = {"tn": [480.0, 491.5], "fp": [20.0, 8.5], "fn": [9.6, 0.0], "tp": [258.4, 268.0]}
    shown = told(table)
    assert shown["tn"].isna().tolist() == shown["fp"].isna().tolist() == [False, True]
    assert shown["fn"].isna().tolist() == shown["tp"].isna().tolist() == [True, False]
    assert told({"tn": [480.0], "fn": [9.0]}).isna().to_numpy().tolist() == [[False, True]]


def test_a_table_without_few_is_left_as_it_is():
    table = pd.DataFrame({"patients": [10, 0, 250], "share": [0.5, 0.1, 0.2]})
    pd.testing.assert_frame_equal(without_few(table), table)
    pd.testing.assert_series_equal(as_told(table["patients"]), table["patients"])


def test_counts_in_words():
    assert [few(count) for count in (0, 1, 9, 10)] == ["0", *["fewer than 10"] * 2, "10"]
    assert as_told(pd.Series([12.0, float("nan")])).tolist() == ["12", NOT_TOLD]
