"""What the numbers mean in the clinic: radii in units, shares with intervals, nothing shortened."""

import math

import pytest
import yaml

from pipeline.config import DataConfig
from pipeline.risks.evasion.clinic import eps_table, shares_in_words, within_error_sentence
from pipeline.risks.evasion.patients import alone_shares
from pipeline.statistics import edges
from pipeline.statistics.intervals import Sampling
from risks.evasion.made_up_patients import (
    BY_GLUCOSE,
    FEATURES,
    SCHEMA,
    UNCHANGED,
    WRONG,
    one,
    proofs_of,
    table,
)
from tiny import ROOT

NOISE = [146.0, 33.6, 5.0, 0.5, 50.0]  # glucose, within one error


def shares(*people):
    return alone_shares(proofs_of(*people)[0], SCHEMA, Sampling(200, 0.95, 0))


# ---- what one eps means ----


@pytest.mark.parametrize(
    ("feature", "eps", "text"),
    [
        ("glucose", 0.1, "3 (3)"),
        ("glucose", 0.05, "1.5 (1)"),
        ("glucose", 0.01, "0.3 (0)"),
        ("bmi", 0.05, "0.35 (0.3)"),
        ("bmi", 0.7, "4.9 (4.9)"),  # 7 * 0.7 / 0.1 is 48.99999999999999
        ("ratio", 0.05, "0.05"),  # no grid
        ("age", 0.05, "0.6"),  # nobody may change it
    ],
)
def test_a_radius_in_units_and_on_the_grid(feature, eps, text):
    lines = eps_table(FEATURES, [0.0, eps]).set_index("feature")
    assert lines.loc[f"{feature}, {FEATURES[feature].unit}", f"eps {eps:g}"] == text


def test_the_radii_stand_beside_the_error_of_the_measurement():
    lines = eps_table(FEATURES, [0.0, 0.1, 1.0])
    assert list(lines)[:3] == ["feature", "eps 0.1", "eps 1"]
    assert lines["usual measurement error"].tolist() == [
        "3 (eps 0.1)",
        "0.2 (eps 0.029)",
        *["none stated"] * 3,
    ]
    assert lines["source of the error"].tolist() == ["made up", "made up", "", "", ""]
    assert lines["an attacker may change it"].tolist() == ["yes", "yes", "yes", "no", "no"]
    assert lines["recorded in steps of"].tolist() == ["1", "0.1", "any", "0.001", "1"]


@pytest.fixture
def pima():
    return DataConfig.model_validate(
        yaml.safe_load((ROOT / "conf" / "data" / "pima.yaml").read_text(encoding="utf-8"))
    ).features


def test_the_card_tells_the_errors_that_the_schema_holds(pima):
    text = (ROOT / "docs" / "data" / "pima.md").read_text(encoding="utf-8")
    told = {name: feature for name, feature in pima.items() if feature.error is not None}
    for name, feature in told.items():
        assert (
            f"| {name} | {feature.error:g} {feature.unit} | {feature.error / feature.scale:.2g} |"
            in text
        )
    assert text.count("| eps of one error |") == 1


def test_what_an_attacker_may_change_is_a_measurement_with_an_error(pima):
    assert {name for name, feature in pima.items() if feature.error is not None} == {
        n for n, f in pima.items() if f.mutable
    }


# ---- single patients ----


def test_the_sentence_counts_correct_answers_that_noise_turns():
    lines = table(
        one(found=NOISE),
        one(),
        one(**UNCHANGED),
        one(**WRONG | {"found": NOISE}),
        one(y=0, found=NOISE),
    )
    sentence = within_error_sentence(lines)
    ill, healthy = edges.wilson(1, 3), edges.wilson(1, 1)
    assert f"1 of 3 correct diagnoses of disease (33.3%; {ill[0]:.1%} to {ill[1]:.1%})" in sentence
    assert f"1 of 1 correct all-clears (100.0%; {healthy[0]:.1%} to {healthy[1]:.1%})" in sentence
    assert "at least" in sentence


def test_a_model_that_is_never_right_has_nothing_to_lose():
    assert within_error_sentence(table(one(**WRONG))) == "No patient is answered correctly."


def test_shares_are_told_with_their_interval_and_a_dash_where_nothing_can_be_changed():
    people = [one(alone=BY_GLUCOSE, alone_value=[131.0, *[math.nan] * 4]), one(y=0), one()]
    lines = shares_in_words(shares(*people)).set_index("measurement")
    groups = ("of all", "of the ill", "of the healthy")
    for group, share in zip(groups, ("33.3% (", "50.0% (", "0.0% ("), strict=True):
        assert lines.loc["glucose", group].startswith(share)
        assert lines.loc["age", group] == "-"
