"""What people read about inversion: the uplift beside what any model tells, and a typical patient beside the real ones."""

from dataclasses import replace

import tiny
from pipeline.config import AuditConfig
from pipeline.risks.inversion.report import (
    DISTANCES,
    inversion_section,
    shown_guesses,
    shown_typical,
)
from pipeline.risks.inversion.tables import inversion_table, typical_table
from risks.inversion.made_up import told

CFG = AuditConfig(eps=[0.0, 0.1], headline="clinical", confidence=0.95, resamples=200)
DATA = tiny.records(40, seed=2)
BASELINE = told(DATA)
TOLD = {"baseline": BASELINE, "<b>other</b>": replace(BASELINE, aided=BASELINE.alone - 0.1)}
GUESSES, TYPICAL = inversion_table(TOLD, DATA, CFG, seed=0), typical_table(TOLD, DATA)


def test_a_row_per_measurement_and_access_two_columns_per_defence():
    shown = shown_guesses(GUESSES)
    (line,) = shown.to_dict("records")
    assert line["attacker sees"] == "scores"
    assert line["error without a model"] == "30"
    assert line["baseline: uplift, trained on"] == "6 (6 to 6)"
    assert line["baseline: more than for others"] == "3 (3 to 3), more"
    assert line["<b>other</b>: more than for others"] == "0 (0 to 0)"


def test_the_typical_patient_stands_beside_the_real_ones():
    shown = shown_typical(TYPICAL)
    assert shown[""].tolist()[:5] == list(tiny.FEATURES)
    assert shown["baseline"].tolist()[0] == "120"
    assert shown["baseline"].tolist()[5:] == ["1.50 (1.00 to 2.00)"] * len(DISTANCES)


def test_names_are_escaped():
    assert "<b>other</b>" not in inversion_section(GUESSES, TYPICAL)


def test_nothing_asked_nothing_said():
    assert inversion_section(GUESSES.iloc[:0], TYPICAL.iloc[:0]) == ""
