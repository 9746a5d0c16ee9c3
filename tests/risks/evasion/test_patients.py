"""What a clinician reads of each patient: hand-made results with known answers."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import mixed
import tiny
from pipeline.risks.evasion.patients import (
    alone_shares,
    decimals,
    most_fragile,
    transition,
    typical,
)
from pipeline.statistics.intervals import Sampling
from risks.evasion.made_up_patients import (
    BY_GLUCOSE,
    INF,
    NAN,
    SCHEMA,
    UNCHANGED,
    WRONG,
    one,
    proofs_of,
    row,
    table,
)

# ---- the change, as text ----


def test_the_change_names_only_the_values_that_change_in_their_units():
    line = row(one())
    assert line["change"] == "glucose 148 → 141 mg/dL, bmi 33.6 → 33.1 kg/m2"
    assert line["changed"] == 2


@pytest.mark.parametrize(
    ("name", "before", "after", "text"),
    [
        ("thal", 1.0, 2.0, "thal label 1 → label 2"),
        ("thal", 1.0, NAN, "thal label 1 → not stated"),
        ("smoker", 0.0, 1.0, "smoker label 0 → label 1"),
        ("glucose", 120.0, NAN, "glucose 120 → not stated"),
        ("glucose", 10.0, -0.0, "glucose 10 → 0 unit"),
        ("glucose", 10.0, -1e-9, "glucose 10 → 0 unit"),
    ],
)
def test_levels_and_gaps_are_said_in_words_and_zero_has_no_sign(name, before, after, text):
    assert transition(mixed.SCHEMA, mixed.SCHEMA.names.index(name), before, after) == text


@pytest.mark.parametrize(
    ("name", "before", "after", "text"),
    [
        ("glucose", 148.0, 149.0, "glucose 148 → 149 mg/dL"),
        ("bmi", 33.0, 32.900001526, "bmi 33.0 → 32.9 kg/m2"),  # as float32 holds it
        ("pedigree", 0.5, 0.471, "pedigree 0.500 → 0.471 score"),
        ("ratio", 5.0, 4.875, "ratio 5.00 → 4.88 1"),
        ("ratio", 5.0, 4.9999, "ratio 5.0000 → 4.9999 1"),  # as many decimals as it takes
        (
            "glucose",
            148.0,
            146.3721,
            "glucose 148.00 → 146.37 mg/dL",
        ),  # an attacker who need not keep to the grid
        ("bmi", 33.64, 33.6, "bmi 33.64 → 33.60 kg/m2"),  # recorded off the grid
    ],
)
def test_a_value_has_the_decimals_of_its_step(name, before, after, text):
    assert transition(SCHEMA, SCHEMA.names.index(name), before, after) == text


@pytest.mark.parametrize(
    ("step", "scale", "places"),
    [
        (1.0, 30.0, 0),
        (10.0, 30.0, 0),
        (0.1, 7.0, 1),
        (0.25, 7.0, 2),
        (0.001, 0.3, 3),
        (0.00001, 1.0, 5),
        (None, 30.0, 1),
        (None, 570.0, 0),
        (None, 3.5, 2),
        (None, 0.0071, 5),
    ],
)
def test_decimals(step, scale, places):
    assert decimals(tiny.feature(0.0, 1000.0, step, True, 1.0, scale)) == places


def test_a_missing_value_is_not_a_change():
    line = row(one(record=[NAN, 33.6, 5.0, 0.5, 50.0], found=[NAN, 33.4, 5.0, 0.5, 50.0]))
    assert line["change"] == "bmi 33.6 → 33.4 kg/m2"
    assert line["within_error"]


def test_a_rounding_error_is_not_a_change():
    line = row(one(found=[141.0, 33.6 + 4e-6, 5.0, 0.5, 50.0]))
    assert line["change"] == "glucose 148 → 141 mg/dL"


def test_an_answer_that_is_already_wrong_needs_no_change():
    alone = {"alone": [0.1, INF, INF, NAN, NAN], "alone_value": [151.0, NAN, NAN, NAN, NAN]}
    line = row(one(**WRONG | alone | {"found": one()["found"]}))
    assert not line["correct"]
    assert line["diagnosis"] == "healthy"
    assert (line["radius"], line["change"], line["changed"], line["alone"]) == (0.0, "", 0, "")
    assert not line["within_error"]
    assert np.isnan(line["confidence_after"])


def test_where_nothing_was_found_there_is_nothing_to_say():
    line = row(one(**UNCHANGED))
    assert (line["change"], line["changed"], line["within_error"], line["decided"]) == (
        "",
        0,
        False,
        False,
    )
    assert np.isnan(line["confidence_after"])
    assert np.isnan(line["largest_change_in_errors"])


def test_one_measurement_alone_the_smallest_change_first():
    alone, value = [0.9, 0.5, INF, NAN, NAN], [121.0, 30.1, NAN, NAN, NAN]
    assert (
        row(one(alone=alone, alone_value=value))["alone"]
        == "bmi 33.6 → 30.1 kg/m2, glucose 148 → 121 mg/dL"
    )
    assert row(one())["alone"] == ""


# ---- who, and how sure ----


@pytest.mark.parametrize(
    ("y", "margin", "diagnosis", "correct"),
    [
        (1, 2.0, "ill", True),
        (1, -2.0, "healthy", False),
        (0, 2.0, "healthy", True),
        (0, -2.0, "ill", False),
    ],
)
def test_the_diagnosis_is_the_answer_of_the_model(y, margin, diagnosis, correct):
    line = row(one(y=y, margin=margin))
    assert (line["patient"], line["y"], line["diagnosis"], line["correct"]) == (
        10,
        y,
        diagnosis,
        correct,
    )


def test_confidence_is_that_of_the_own_answer():
    line = row(one(margin=math.log(3), counter_margin=-math.log(4)))
    assert line["confidence_before"] == pytest.approx(0.75)
    assert line["confidence_after"] == pytest.approx(0.2)
    assert row(one(**WRONG | {"margin": -math.log(3)}))["confidence_before"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("distances", "index"),
    [
        ([0.3], 0),
        ([0.3, 0.1], 1),
        ([0.1, 0.3], 0),
        ([0.3, 0.1, 0.2], 2),
        ([INF, 0.0, INF], 0),
        ([0.2, 0.2, 0.2], 0),
        ([0.4, 0.2, 0.1, 0.2], 1),
        ([INF, 0.5, 0.2, INF], 1),
        ([0.0, 0.3, 0.3, 0.3], 1),
    ],
)
def test_the_typical_repetition_is_the_lower_median_and_the_first_of_those_that_tie(
    distances, index
):
    assert typical(torch.tensor(distances, dtype=torch.float64)[:, None]).tolist() == [index]


def test_everything_is_told_of_the_same_repetition():
    far = one(breaks_at=0.9, robust_below=0.8, found=[121.0, 33.6, 5.0, 0.5, 50.0], margin=9.0)
    middle = one(breaks_at=0.3, robust_below=0.1, margin=math.log(3))
    line = row(far, one(**WRONG), middle)
    assert line["repetition"] == 2
    assert (line["radius"], line["breaks_at"], line["decided"]) == (0.1, 0.3, False)
    assert (line["radius_min"], line["radius_max"]) == (0.0, 0.8)
    assert line["change"] == "glucose 148 → 141 mg/dL, bmi 33.6 → 33.1 kg/m2"
    assert line["confidence_before"] == pytest.approx(0.75)


def test_each_patient_has_a_repetition_of_their_own():
    near, far = one(breaks_at=0.1, robust_below=0.1), one(breaks_at=0.5, robust_below=0.5)
    lines = table([near, far], [far, near])
    assert lines["repetition"].tolist() == [0, 1]
    assert lines["breaks_at"].tolist() == [0.1, 0.1]
    assert lines["patient"].tolist() == [10, 11]


# ---- in units of the measurement error ----


@pytest.mark.parametrize(
    ("found", "largest", "within"),
    [
        ([145.0, 33.6, 5.0, 0.5, 50.0], 1.0, True),  # exactly one error
        ([144.0, 33.6, 5.0, 0.5, 50.0], 4 / 3, False),
        ([148.0, 33.8, 5.0, 0.5, 50.0], 1.0, True),  # 0.2000008 in float32
        ([148.0, 33.9, 5.0, 0.5, 50.0], 1.5, False),
        ([146.0, 33.5, 5.0, 0.5, 50.0], 2 / 3, True),
        ([145.0, 34.6, 5.0, 0.5, 50.0], 5.0, False),  # one of two
        ([147.0, 33.6, 4.9, 0.5, 50.0], 1 / 3, False),  # nobody says how well the ratio is measured
        ([148.0, 33.6, 4.9, 0.5, 50.0], NAN, False),
    ],
)
def test_a_change_within_the_measurement_error_of_every_value(found, largest, within):
    line = row(one(found=found))
    assert line["within_error"] == within
    assert line["largest_change_in_errors"] == pytest.approx(largest, rel=1e-4, nan_ok=True)


# ---- the most fragile ----


def test_the_most_fragile_are_correct_diagnoses_of_disease_by_distance():
    lines = most_fragile(
        table(
            one(breaks_at=0.5, robust_below=0.4),
            one(y=0, breaks_at=0.01),
            one(**WRONG),
            one(**UNCHANGED),
            one(breaks_at=0.2, robust_below=0.2),
            one(breaks_at=0.2, robust_below=0.1),
        )
    )
    assert lines["patient"].tolist() == [15, 14, 10]
    assert lines["missed at eps"].tolist() == ["0.2", "0.2", "0.5"]
    assert lines["proved below eps"].tolist() == ["0.1", "0.2", "0.4"]


def test_the_most_fragile_are_no_more_than_asked_for():
    lines = table(*(one(breaks_at=0.01 * n, robust_below=0.0) for n in range(30, 0, -1)))
    assert most_fragile(lines)["patient"].tolist() == list(range(39, 19, -1))
    assert len(most_fragile(lines, top=3)) == 3
    assert len(most_fragile(lines.iloc[:0])) == 0


def test_the_most_fragile_are_told_in_words():
    line = most_fragile(table(one(margin=math.log(3), counter_margin=-math.log(4)))).iloc[0]
    assert (
        line["change that misses the diagnosis"] == "glucose 148 → 141 mg/dL, bmi 33.6 → 33.1 kg/m2"
    )
    assert (line["confidence before"], line["confidence after"]) == ("75.0%", "20.0%")
    assert (line["largest change in measurement errors"], line["within measurement error"]) == (
        "2.5",
        "no",
    )
    assert line["one value that suffices"] == "none"
    unknown = most_fragile(table(one(found=[148.0, 33.6, 4.9, 0.5, 50.0]))).iloc[0]
    assert unknown["largest change in measurement errors"] == "not known"


def test_how_many_models_turn_with_the_same_change_and_how_far_from_the_cut():
    right = one(margin=1.5, counter_margin=-0.25, typical_margin=-0.25)
    holds = one(margin=2.0, typical_margin=0.5)
    wrong = {**one(**WRONG), "typical_margin": -1.0}
    line = row(right, holds, right, wrong, right)
    assert (line["repetitions"], line["wrong_before"], line["turned_by"]) == (5, 1, 3)
    assert (line["margin_before"], line["margin_after"]) == (1.5, -0.25)
    shown = most_fragile(table([right, holds, right, wrong, right])).iloc[0]
    assert shown["models that it turns"] == "3 of 5"
    assert shown["distance to the cut, log-odds"] == "1.50"
    nothing = row(one(**UNCHANGED))
    assert nothing["turned_by"] == 0
    assert math.isnan(nothing["margin_after"])


# ---- one measurement alone ----


def shares(*people):
    table = alone_shares(proofs_of(*people)[0], SCHEMA, Sampling(500, 0.95, 0))
    return table.set_index("feature")


def test_the_share_is_of_those_answered_correctly():
    lines = shares(
        one(alone=BY_GLUCOSE),
        one(),
        one(),
        one(margin=-1.0, alone=BY_GLUCOSE),  # already wrong: neither above nor below the line
        one(y=0, alone=BY_GLUCOSE),
        one(y=0, alone=[NAN, 0.1, INF, NAN, NAN]),  # glucose is missing
    )
    assert lines.loc["glucose", ["all", "ill", "healthy"]].tolist() == pytest.approx(
        [2 / 5, 1 / 3, 1 / 2]
    )
    assert lines.loc["bmi", ["all", "ill", "healthy"]].tolist() == pytest.approx([1 / 5, 0, 1 / 2])
    assert lines.loc["ratio", ["all", "ill", "healthy"]].tolist() == [0, 0, 0]
    assert lines.loc[["pedigree", "age"]].isna().all(axis=None)  # cannot be changed


def test_repetitions_are_averaged():
    yes, no, wrong = one(alone=BY_GLUCOSE), one(), one(margin=-1.0, alone=BY_GLUCOSE)
    assert shares([yes, no], [no, no]).loc["glucose", "all"] == pytest.approx(1 / 4)
    assert shares([yes, wrong], [no, no]).loc["glucose", "all"] == pytest.approx(
        1 / 3
    )  # 0.5 of 1.5 correct answers


def test_nobody_answered_correctly_is_no_share():
    lines = shares(one(alone=BY_GLUCOSE), one(y=0, margin=-1.0))
    assert lines.loc["glucose", "ill"] == 1
    assert np.isnan(
        lines.loc["glucose", ["healthy", "healthy_low", "healthy_high"]].astype(float)
    ).all()


def test_the_interval_is_that_of_a_proportion():
    people = [one(alone=BY_GLUCOSE)] * 30 + [one()] * 70
    line = alone_shares(proofs_of(*people)[0], SCHEMA, Sampling(4000, 0.95, 1)).iloc[0]
    half = 1.96 * math.sqrt(0.3 * 0.7 / 100)
    # 4000 resamples place a bound to 0.0013 (one standard error of a 2.5 % quantile) and the grid
    # of counts to 0.01.
    assert line["all_low"] == pytest.approx(0.3 - half, abs=0.015)
    assert line["all_high"] == pytest.approx(0.3 + half, abs=0.015)
    same = alone_shares(proofs_of(*people)[0], SCHEMA, Sampling(4000, 0.95, 1))
    pd.testing.assert_series_equal(same.iloc[0], line)
