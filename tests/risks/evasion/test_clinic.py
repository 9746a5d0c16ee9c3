"""What the numbers mean in the clinic: radii in units, shares with intervals, nothing shortened."""

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.config import DataConfig
from pipeline.presentation.chapter import Heading, Note, Table
from pipeline.presentation.frames import by_defense
from pipeline.risks.evasion.clinic import eps_table, patient_parts, within_error_sentence
from pipeline.risks.evasion.patients import alone_shares
from pipeline.statistics import intervals
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

HOSTILE = "<script>alert('x')</script> & \"co\""
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
    ill, healthy = intervals.wilson(1, 3), intervals.wilson(1, 1)
    assert f"1 of 3 correct diagnoses of disease (33.3%; {ill[0]:.1%} to {ill[1]:.1%})" in sentence
    assert f"1 of 1 correct all-clears (100.0%; {healthy[0]:.1%} to {healthy[1]:.1%})" in sentence
    assert "at least" in sentence


def parts_of(patients, of_measurements, shown=None):
    """The parts about single patients, of tables by defense."""
    shown = shown or dict.fromkeys(patients, "")
    shares = by_defense(of_measurements) if of_measurements else pd.DataFrame({"defense": []})
    return patient_parts(by_defense(patients), shares, shown)


def tables_in(parts, kind):
    return [part.table for part in parts if isinstance(part, Table) and part.kind == kind]


def notes_in(parts):
    return [part.text for part in parts if isinstance(part, Note)]


def test_a_model_that_is_never_right_has_nothing_to_lose():
    wrong = table(one(**WRONG))
    assert within_error_sentence(wrong) == "No patient is answered correctly."
    assert not any(isinstance(part, Table) for part in parts_of({"baseline": wrong}, {}))


def test_every_defense_has_its_patients_and_its_shares():
    people = [
        one(alone=BY_GLUCOSE, alone_value=[131.0, *[np.nan] * 4]),
        one(y=0),
        one(breaks_at=0.9),
    ]
    labels = {"baseline": "baseline", "distill": "distill [masked gradients]"}
    parts = parts_of(dict.fromkeys(labels, table(*people)), {"baseline": shares(*people)}, labels)
    for label in labels.values():
        assert len([text for text in notes_in(parts) if text.startswith(f"{label}. ")]) == 1
    fragile = tables_in(parts, "patients")
    assert len(fragile) == len(labels)
    for of_defense in fragile:  # two ill patients
        changes = of_defense["change that misses the diagnosis"].tolist()
        assert changes == ["glucose 148 → 141 mg/dL, bmi 33.6 → 33.1 kg/m2"] * 2
        assert of_defense["one value that suffices"][0] == "glucose 148 → 131 mg/dL"
        assert "defense" not in of_defense  # it stands above the table
    (turned,) = tables_in(parts, "text")
    lines = turned.set_index("measurement")
    groups = ("of all", "of the ill", "of the healthy")
    for group, share in zip(groups, ("33.3% (", "50.0% (", "0.0% ("), strict=True):
        assert lines.loc["glucose", group].startswith(share)
        assert lines.loc["age", group] == "-"


def test_without_patients_nothing_is_said():
    assert patient_parts(pd.DataFrame({"defense": []}), pd.DataFrame({"defense": []}), {}) == []


def test_the_part_of_the_patients_opens_with_a_heading():
    first, second, *_ = parts_of({"baseline": table(one())}, {})
    assert isinstance(first, Heading)
    assert isinstance(second, Note)


def test_texts_reach_the_page_as_they_are():
    """Nothing is shortened, and nothing escaped twice: to escape is the page's task."""
    long = ", ".join(["glucose 148 → 141 mg/dL"] * 20) + HOSTILE
    lines, turned = table(one()).assign(change=long), shares(one()).assign(feature=long)
    parts = parts_of({"baseline": lines}, {"baseline": turned})
    (fragile,), (of_measurements,) = tables_in(parts, "patients"), tables_in(parts, "text")
    assert fragile["change that misses the diagnosis"].tolist() == [long]
    assert set(of_measurements["measurement"]) == {long}
