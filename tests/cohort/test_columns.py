"""Planted columns of each kind are seen for what they are, from all of their rows."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cohort.columns import column_of
from pipeline.cohort.dictionary import Entry
from pipeline.cohort.measured import step_of, widened
from pipeline.cohort.proposal import feature_of
from pipeline.data.values import values_of
from pipeline.presentation.numbers import SMALL


def look(cells, name="x", decimal=".", **entry):
    known = Entry(name, **entry) if entry else None
    return column_of(name, np.array([str(c) for c in cells], dtype=object), decimal, known)


def topics(column):
    return [topic for topic, _ in column.asked]


DRAWN = np.random.default_rng(3)
WHOLE = DRAWN.integers(20, 90, 200)
REAL = DRAWN.normal(28, 4, 200).round(1)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (WHOLE, "integer"),
        ([f"{value}.0" for value in WHOLE], "integer"),
        (REAL, "real"),
        ([f"{value:e}" for value in REAL], "real"),
        ([0, 1] * 20, "binary"),
        ([1, 2] * 20, "binary"),
        (["yes", "no"] * 20, "binary"),
        (["m", "f", ""] * 20, "binary"),
        ([3, 6, 7] * 20, "ordinal"),  # no value between its levels exists
        (["mild", "severe", "moderate"] * 20, "ordinal"),
        (["40-49", "30-39", "50-59"] * 20, "ordinal"),
        (["IV", "I", "III", "II"] * 20, "ordinal"),
        (["red", "green", "blue"] * 20, "categorical"),
        (["A11", "A12", "A13"] * 20, "categorical"),
        (["01", "02", "10"] * 20, "categorical"),  # a code with a leading zero is a code
        (["0", "1", "2", "more"] * 20, "categorical"),
    ],
)
def test_kinds(cells, kind):
    column = look(cells)
    assert (column.kind, column.ignored) == (kind, "")
    assert feature_of(column).kind == kind


@pytest.mark.parametrize(
    ("cells", "levels"),
    [
        (["yes", "no"] * 9, ["no", "yes"]),
        (["Yes", "no", "YES", "Yes"], ["no", "Yes"]),  # a reader takes both for one
        (["severe", "none", "mild"] * 9, ["none", "mild", "severe"]),
        (["b", "a", "c"] * 9, ["a", "b", "c"]),
        (["10", "9", "x"] * 9, ["9", "10", "x"]),
        (["50-59", "<40", "40-49", "60+"] * 9, ["<40", "40-49", "50-59", "60+"]),
        ([7, 3, 6, 3] * 9, ["3", "6", "7"]),
        (["1.0", "0.0", "1", "0"] * 9, ["0", "1"]),
    ],
)
def test_the_order_of_levels(cells, levels):
    assert list(look(cells).levels) == levels


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("x", [""] * 30, "no value"),
        ("x", ["?"] * 30, "no value"),
        ("x", ["", "NA", "nan"] * 10, "no value"),
        ("x", [3] * 29 + [""], "one value only"),
        ("x", ["a"] * 30, "one value only"),
        ("x", ["2024-01-05", "2023-11-30", ""] * 10, "dates"),
        ("x", ["5.1.2024", "30.11.2023"] * 10, "dates"),
        ("x", [f"text number {i}" for i in range(40)], "free text: 40 different cells"),
        ("x", DRAWN.permutation(10**6)[:60], "a number of its own for every record"),
        ("x", [1, 2, 3, 4, 5, 6, 7, 8] + [""] * 300, "nearly empty: fewer than 10 values"),
        ("patient_id", WHOLE, "its name says"),
        ("MRN", WHOLE, "its name says"),
        ("HadmID", WHOLE, "its name says"),
        ("name", ["a", "b"] * 30, "its name says"),
        ("Date of birth", WHOLE, "its name says"),
        ("e-mail", WHOLE, "its name says"),
    ],
)
def test_what_is_no_feature(name, cells, why):
    column = look(cells, name)
    assert why in column.ignored
    assert column.kind is None


@pytest.mark.parametrize(
    "name", ["patient_age", "drug_name", "Number of pregnancies", "width", "video"]
)
def test_names_that_only_sound_like_identity(name):
    assert look(WHOLE, name).ignored == ""


def test_a_kind_does_not_change_with_the_number_of_records():
    few, many = look([3, 6, 7] * 3), look([3, 6, 7] * 3000)
    assert (few.kind, few.levels) == (many.kind, many.levels)
    assert look(WHOLE).kind == look(np.repeat(WHOLE, 100)).kind


# --- what means "not measured"


@pytest.mark.parametrize(
    ("cells", "missing", "topic"),
    [
        ([*WHOLE, "?"], ("?",), None),
        ([*WHOLE, "-", "."], ("-", "."), None),
        ([*WHOLE, "not done"], ("not done",), "words for missing"),
        ([*WHOLE, "none"], ("none",), "words for missing"),
        ([*WHOLE, 999], ("999",), "codes for missing"),
        ([*WHOLE, 999, 998], ("998", "999"), "codes for missing"),
        ([*WHOLE, -1], ("-1",), "codes for missing"),
        ([*WHOLE, -9, -99], ("-99", "-9"), "codes for missing"),
        ([*REAL, 99.9], ("99.9",), "codes for missing"),
        ([0, 1] * 20 + [9], ("9",), "codes for missing"),
        ([*WHOLE, 0], ("0",), "zeros"),
        ([*REAL, "<0.2"], ("<0.2",), "censored"),
        ([*REAL, "> 300"], ("> 300",), "censored"),
        ([*WHOLE, "high"], ("high",), "strays"),
        ([*WHOLE, "1e999", "5e-324"], ("1e999", "5e-324"), "strays"),
        (["m", "f", "?"] * 20, ("?",), None),
        (["m", "f", "unknown"] * 20, ("unknown",), "words for missing"),
    ],
)
def test_codes_for_missing_are_proposed_and_asked(cells, missing, topic):
    column = look(cells)
    assert column.missing == missing
    assert column.source["missing"] == ("guess" if topic else "data")
    assert column.measured == sum(str(cell) not in missing for cell in cells)
    if topic:
        assert topic in topics(column)
    if not column.levels:
        assert {column.lower, column.upper} & {0.0, 999.0, -1.0} <= {0.0}


@pytest.mark.parametrize(
    "cells",
    [
        [*range(80, 120), 99],  # among the others
        [*range(-20, 20), -1],  # others are below zero, too
        [*range(0, 40), 0],  # 1, 2, 3 lie beside it
        [0.0, 0.3, 0.4, 0.5, 0.9, 1.3, 2.0, 2.2] * 5,
        ["none", "mild", "severe"] * 9,  # a level
        ["+", "-", "++"] * 9,
    ],
)
def test_values_are_not_taken_for_codes(cells):
    assert look(cells).missing == ()


def test_a_code_is_named_as_the_file_spells_it():
    assert look(["50,5", "51,5", "52,5", "53", "999,9"], decimal=",").missing == ("999,9",)


def test_no_cell_that_few_records_have_is_told():
    column = look([*WHOLE, "Mrs Miller", *["haemolytic"] * SMALL])
    (seen,) = [seen for topic, seen in column.asked if topic == "strays"]
    assert seen == "haemolytic, 1 rare cell in 11 records"
    assert "Mrs Miller" in column.missing  # the schema has to name it


# --- numbers


@given(
    st.lists(st.integers(-500, 500), min_size=1, max_size=30), st.integers(1, 50), st.integers(0, 4)
)
def test_the_step_is_the_coarsest_grid_through_zero(places, unit, decimals):
    values = [Fraction(place * unit, 10**decimals) for place in places]
    texts = [f"{float(value):.{decimals}f}" for value in values]
    found = step_of(texts)
    if not any(values):
        assert found is None
        return
    step = Fraction(str(found))
    assert all(value % step == 0 for value in values)
    # Brute force: no coarser grid holds them.
    coarser = [step * factor for factor in range(2, 200)]
    assert not any(all(value % grid == 0 for value in values) for grid in coarser)


def test_numbers_of_a_machine_have_no_step():
    assert step_of(["0.1234567", "2"]) is None
    column = look(np.random.default_rng(0).normal(size=50))
    assert (column.kind, column.step) == ("real", None)
    assert "step" in topics(column)


@given(
    st.lists(
        st.floats(-1e9, 1e9, allow_nan=False)
        .map(lambda value: float(f"{value:.4g}"))
        .filter(lambda value: value == 0 or abs(value) > 1e-100),
        min_size=2,
        max_size=50,
        unique=True,
    ),
    st.sampled_from([None, 0.1, 1.0, 5.0]),
)
def test_everything_recorded_lies_in_the_range(values, step):
    values = np.array(sorted(values))
    if step is not None:
        values = np.unique(np.round(values / step) * step)
    if len(values) < 2:
        return
    low, high = widened(values, dict.fromkeys(values.tolist(), 1), step)
    assert low <= values[0] < values[-1] <= high
    assert values[0] < 0 or low >= 0
    # Round numbers: few digits for the width.
    assert high - low <= 3 * (values[-1] - values[0]) + 2 * (step or 0)


def test_the_proposal_for_known_numbers():
    values = np.random.default_rng(0).normal(120, 15, 2000).round().astype(int)
    column = look(values)
    assert column.lower <= values.min()
    assert column.upper >= values.max()
    assert (column.step, column.center) == (1.0, 120.0)
    assert 14 <= column.scale <= 16  # of whole numbers, by the median of their distances
    judged = {key: column.source[key] for key in ("lower", "upper", "step", "center", "scale")}
    assert set(judged.values()) == {"data"}
    assert column.source["mutable"] == column.source["private"] == "guess"


@pytest.mark.parametrize(("end", "side"), [(500.5, "above"), (-400.5, "below")])
def test_a_value_far_off_all_others_is_asked_but_not_told(end, side):
    (seen,) = [seen for topic, seen in look([*REAL, end]).asked if topic == "far"]
    assert seen == f"a value lies farther {side} all others than these lie apart"
    assert "far" not in topics(look(REAL))


def test_outliers_do_not_move_the_scale():
    calm = look(REAL)
    wild = look([*REAL, *[3000.5, 2000.5]])
    assert wild.scale == pytest.approx(calm.scale, rel=0.3)
    assert wild.upper >= 3000.5


@pytest.mark.parametrize(
    ("name", "mutable", "private"),
    [
        ("crp", True, False),
        ("age", False, True),
        ("Alcohol units", True, True),
        ("height_cm", False, False),
    ],
)
def test_who_may_change_a_value_is_guessed_by_its_name(name, mutable, private):
    column = look(WHOLE, name)
    assert (column.mutable, column.private) == (mutable, private)
    assert not look(["a", "b", "c"] * 9, name).mutable


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Glucose (mg/dL)", "mg/dL"),
        ("crp_mg_l", "mg/L"),
        ("weight [kg]", "kg"),
        ("sbp_mmhg", "mmHg"),
        ("age", ""),
        ("ratio (new)", ""),
        ("HbA1c (%)", "%"),
    ],
)
def test_units_in_names(name, unit):
    column = look(WHOLE, name)
    assert column.unit == unit
    assert ("unit" in topics(column)) == (not unit)


# --- with a dictionary


def test_a_dictionary_has_the_first_word():
    column = look(WHOLE, kind="integer", lower=10.0, upper=120.0, step=1.0, unit="years")
    assert (column.lower, column.upper, column.step, column.unit) == (10, 120, 1, "years")
    said = {key for key, origin in column.source.items() if origin == "dictionary"}
    assert said == {"kind", "lower", "upper", "step", "unit"}


def test_soft_limits_widen_and_are_asked():
    column = look(WHOLE, kind="integer", lower=30.0, upper=120.0)
    assert column.lower <= WHOLE.min()
    assert (column.upper, column.source["upper"]) == (120, "dictionary")
    assert column.source["lower"] == "data"
    outside = int((WHOLE < 30).sum())
    assert ("outside", f"{outside} values below the dictionary's 30") in column.asked


def test_zeros_and_codes_outside_the_limits_are_missing():
    column = look([*WHOLE, 0, 0, 999, -9], kind="integer", lower=10.0, upper=120.0)
    assert column.missing == ("-9", "0", "999")
    assert (column.lower, column.upper) == (10, 120)


@pytest.mark.parametrize(
    ("codes", "named", "origin"),
    [
        ([999], ("999",), "dictionary"),
        (["ND", "?"], ("ND",), "dictionary"),
        ([999, -9], ("999",), "guess"),
        ([999, "high"], ("999",), "guess"),
        (["ND", 999], ("ND",), "guess"),
    ],
)
def test_codes_that_a_dictionary_names_are_no_guesses(codes, named, origin):
    column = look([*WHOLE, *codes], missing=named)
    assert set(column.missing) == {str(code) for code in codes}
    assert column.source["missing"] == origin
    levels = look([1, 2, 3, *codes] * 9, levels=LEVELS, missing=(*named, "high"))
    if origin == "dictionary":
        assert levels.source["missing"] == origin


def test_a_dictionary_and_a_file_that_contradict_each_other():
    column = look(REAL, kind="integer", step=1.0)
    assert (column.kind, column.step) == ("real", 0.1)
    assert topics(column).count("contradiction") == 2
    assert "strays" in topics(look([*WHOLE, "high"], kind="integer"))


LEVELS = {"1": "Male", "2": "Female", "3": "Other"}


def test_levels_of_a_dictionary():
    column = look([2, 1, 1, 2] * 9, levels=LEVELS)
    assert column.kind == "categorical"
    assert column.levels == LEVELS  # in the order of the form, those without a record, too
    assert column.source["levels"] == "dictionary"
    assert look(["Male", "female", "1"] * 9, levels=LEVELS).levels == LEVELS


def test_cells_beyond_the_dictionary():
    column = look([1, 2, 9, 4] * 9, levels=LEVELS)
    assert column.missing == ("9",)
    assert column.levels == LEVELS | {"4": "4"}
    assert column.source["levels"] == "data"
    assert "levels" in topics(column)
    unknown = look([1, 2, 9] * 9, levels=LEVELS | {"9": "Unknown"})
    assert (unknown.missing, unknown.levels) == (("9",), LEVELS)


def test_labels_never_read_like_another_level():
    column = look([1, 2] * 9, levels={"1": "2", "2": "1"})
    assert column.levels == {"1": "1: 2", "2": "2: 1"}
    column = look(["a", "b", "c"] * 9, levels={"a": "Same", "b": "same", "c": "other"})
    assert column.levels == {"a": "a: Same", "b": "b: same", "c": "other"}


CELLS = st.one_of(
    st.integers(-1000, 1000).map(str),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: f"{value:.2f}"),
    st.sampled_from(
        ["", "?", "NA", "none", "-", "999", "-9", "0", "<0.2", "yes", "no", "01", "high"]
    ),
    st.text("ab1 .,<'\"", max_size=4).map(str.strip),
)


@given(st.lists(CELLS, min_size=1, max_size=40), st.sampled_from([".", ","]))
def test_whatever_a_column_holds_the_proposal_reads_it(cells, decimal):
    column = look(cells, decimal=decimal)
    if column.ignored:
        return
    values, faults = values_of(np.array(cells, dtype=object), "x", feature_of(column), decimal)
    assert faults == []
    assert int((~np.isnan(values)).sum()) == column.measured
    assert column.levels or (math.isfinite(column.lower) and column.scale > 0)
