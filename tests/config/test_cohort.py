"""What a cohort's columns may be called, hold and be: one line for whatever does not fit."""

import pytest

from pipeline.config import DataConfig, FeatureConfig, same_cell
from pipeline.files import BadInput
from pipeline.validation import checked_model

NUMBER = {
    "unit": "mg/dL",
    "kind": "integer",
    "lower": 40,
    "upper": 450,
    "step": 1.0,
    "mutable": True,
    "private": False,
    "center": 120.0,
    "scale": 30.0,
    "source": "made up",
    "error": None,
    "error_source": None,
}
SEX = {
    "kind": "binary",
    "levels": {"F": "female", "M": "male"},
    "mutable": False,
    "private": True,
    "source": "made up",
}
THAL = SEX | {"kind": "categorical", "levels": {3: "normal", 6: "fixed", 7: "reversible"}}
DATA = {
    "name": "ward",
    "title": "A ward",
    "source": "file",
    "file": "ward.csv",
    "target": "ill",
    "classes": ["healthy", "ill"],
    "auroc_ceiling": None,
    "bands": {},
    "features": {"glucose": NUMBER, "sex": SEX, "thal": THAL},
}


def said(model, values):
    with pytest.raises(BadInput) as caught:
        checked_model(model, values, "params.yaml")
    line = str(caught.value)
    assert "\n" not in line
    return line.removeprefix("params.yaml: ")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3", 3, True),
        ("3.0", 3, True),
        (" 3 ", 3.0, True),
        ("1e1", 10, True),
        ("03", 3, False),
        ("-1", -1, True),
        (".5", "0.5", True),
        ("yes", "Yes", False),
        ("", "0", False),
        ("12345678901234567890", "12345678901234567891", False),
    ],
)
def test_cells_are_compared_as_numbers_where_they_are_numbers(one, other, same):
    assert (same_cell(one) == same_cell(other)) is same


def test_levels_are_their_own_range_grid_and_scale():
    thal = FeatureConfig(**THAL)
    assert (thal.lower, thal.upper, thal.step, thal.center, thal.scale) == (0, 2, 1, 1, 1)
    assert (thal.columns, FeatureConfig(**SEX).columns, FeatureConfig(**NUMBER).columns) == (
        3,
        1,
        1,
    )
    assert FeatureConfig(**thal.model_dump()) == thal


@pytest.mark.parametrize(
    ("feature", "line"),
    [
        (SEX | {"levels": {"F": "female"}}, "kind binary needs two levels, not 1"),
        (SEX | {"levels": THAL["levels"]}, "kind binary needs two levels, not 3"),
        (THAL | {"levels": SEX["levels"]}, "kind categorical needs at least 3 levels, not 2"),
        (SEX | {"levels": None}, "kind binary needs two levels, not 0"),
        (SEX | {"levels": {1: "a", "1.0": "b"}}, "levels: the cells must differ: 1, 1"),
        (SEX | {"levels": {1: "a", 2: "a"}}, "levels: the labels must differ: a, a"),
        (
            THAL | {"upper": 9.0},
            "levels are their own range and grid: leave lower, upper, step out",
        ),
        (THAL | {"missing": ["?", 3.0]}, "'3' is a level and means missing: keep one"),
        (NUMBER | {"levels": {1: "a", 2: "b"}}, "levels are for binary, ordinal and categorical"),
        (NUMBER | {"source": {"uper": "data"}}, "source: did you mean 'upper'?"),
        (
            NUMBER | {"source": {"upper": "dat"}},
            "source: upper: must be dictionary, data, guess, you, not 'dat'",
        ),
    ],
)
def test_a_feature_that_does_not_fit_is_one_line(feature, line):
    assert line in said(FeatureConfig, feature)


def test_an_unquoted_yes_is_no_cell():
    line = said(FeatureConfig, SEX | {"levels": {True: "smoker", False: "not"}})
    assert "put quotes around yes, no, on, off" in line


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"group": "glucose"}, "group: 'glucose' is a feature already; give it one part"),
        ({"target": "sex"}, "target: 'sex' is a feature already; give it one part"),
        ({"ignore": ["ill"]}, "ignore.0: 'ill' is target already; give it one part"),
        ({"outcomes": {2: "heathy", 4: "ill"}}, "outcomes.2: 'heathy': did you mean 'healthy'?"),
        ({"outcomes": {2: "ill", 4: "ill"}}, "outcomes: both classes need a cell: healthy, ill"),
    ],
)
def test_each_column_has_one_part_to_play(change, line):
    assert said(DataConfig, DATA | change) == line


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"relations": ["glucose <= glucos"]}, "relations.0: 'glucos' is no feature; did you mean"),
        (
            {"relations": ["glucose <= 3", "sex <= glucose"]},
            "relations.1: sex is binary; relations",
        ),
        ({"relations": ["glucose < 3"]}, "relations.0: 'glucose < 3' must compare by <= or >="),
        (
            {"derived": {"thal": "glucose * 2"}},
            "derived.thal: thal is categorical; relations are of",
        ),
        ({"derived": {"glucose": "round(other, 1)"}}, "derived.glucose: 'other' is no feature"),
        ({"derived": {"glucose": "glucose + 1"}}, "derived.glucose: glucose is derived itself"),
        ({"derived": {"glucose": "lactate +"}}, "derived.glucose: 'lactate +' cannot be read"),
        (
            {"derived": {"glucose": "round(lactate, 1)"}},
            "derived.glucose: rounds to 1 decimals, off the step 1",
        ),
    ],
)
def test_relations_are_of_numbers_that_are_there(change, line):
    features = DATA["features"] | {"lactate": NUMBER}
    assert said(DataConfig, DATA | {"features": features} | change).startswith(line)


def test_one_column_may_say_who_and_where():
    data = DataConfig(**DATA | {"group": "id", "site": "id"})
    assert data.columns == ["glucose", "sex", "thal", "ill", "id"]


def test_what_a_program_proposed_of_what_only_a_person_can_know_is_listed():
    proposed = {"lower": "data", "upper": "you", "mutable": "guess", "unit": "guess"}
    features = {"glucose": NUMBER | {"source": proposed}, "sex": SEX | {"source": {"kind": "data"}}}
    data = DataConfig(**DATA | {"features": features})
    assert data.unreviewed == ["glucose: lower (data), mutable (guess)"]
    assert DataConfig(**DATA).unreviewed == []
