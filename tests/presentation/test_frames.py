"""Tables of several defenses as one, and as text."""

import numpy as np
import pandas as pd

from pipeline.presentation.frames import by_defense, cells, left_justified

ONE = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def test_tables_of_defenses_stand_below_each_other_with_the_name_in_front():
    table = by_defense({"baseline": ONE, "hard": ONE.iloc[:1]})
    assert list(table) == ["defense", "a", "b"]
    assert table["defense"].tolist() == ["baseline", "baseline", "hard"]
    assert table["a"].tolist() == [1, 2, 1]
    assert table.index.tolist() == [0, 1, 2]


def test_columns_of_text_begin_in_one_place():
    table = pd.DataFrame({"name": ["a", "longer"], "said": ["first", "x"]})
    lines = left_justified(table).splitlines()
    assert [line.rstrip() for line in lines] == ["name   said", "a      first", "longer x"]


def test_a_table_without_a_row_is_no_text():
    assert left_justified(pd.DataFrame({"a": []})) == ""


def test_a_missing_value_is_a_dash_and_nothing_else_is():
    table = pd.DataFrame(
        {
            "float": [np.nan, 0.0],
            "whole": pd.array([None, 0], dtype="Int64"),
            "object": [None, ""],
            "formatted": ["{:.3f}".format(float("nan")), "none"],
        }
    )
    assert cells(table) == [["-"] * 4, ["0.0", "0", "", "none"]]
