"""Inversion as people read it: uplift beside what any model tells, a typical patient."""

from dataclasses import replace

import pytest
import yaml

import parts
import tiny
from pipeline import params
from pipeline.risks.inversion.report import shown_guesses, shown_typical
from pipeline.risks.inversion.risk import RISK
from pipeline.risks.risk import Context, Sources
from risks.inversion.made_up import DISTANCES, told

DATA = tiny.records(40, seed=2)
BASELINE = told(DATA)
TOLD = {"baseline": BASELINE, "other": replace(BASELINE, aided=BASELINE.alone - 0.1)}


@pytest.fixture(scope="module")
def context(smoke_text):
    return Context(DATA, params.parse(yaml.safe_load(smoke_text), "conf"))


@pytest.fixture(scope="module")
def tables(context, tmp_path_factory):
    examined = {}
    for name, one in TOLD.items():
        examined[name] = tmp_path_factory.mktemp(name)
        one.save(examined[name] / "inversion")
    return RISK.tables(Sources(examined), context)


def test_a_row_per_measurement_and_access_two_columns_per_defense(tables):
    (line,) = shown_guesses(tables["inversion"]).to_dict("records")
    assert line["attacker sees"] == "scores"
    assert line["error without a model"] == "30"
    assert line["patients"] == 40
    assert line["baseline: information in the answer"] == (
        "6 (6 to 6); of the error 0.200 (0.200 to 0.200)"
    )
    assert line["baseline: more than for others"] == "3 (3 to 3), more"
    assert line["other: more than for others"] == "0 (0 to 0)"


def test_the_typical_patient_stands_beside_the_real_ones(tables):
    shown = shown_typical(tables["typical"])
    assert shown[""].tolist()[:5] == list(tiny.FEATURES)
    assert shown["baseline"].tolist()[0] == "120"
    assert shown["baseline"].tolist()[5:] == ["1.50 (1.00 to 2.00)"] * len(DISTANCES)


def test_the_chapter_holds_both_and_the_number_of_victims(tables, context, tmp_path):
    (chapter,) = RISK.chapters(tables, context, tmp_path)
    guesses, typical = parts.tables(chapter)
    assert guesses.equals(shown_guesses(tables["inversion"]))
    assert typical.equals(shown_typical(tables["typical"]))
    assert f"{len(BASELINE.typical)} models" in parts.notes(chapter)


def test_nothing_private_only_the_typical_patient(tables, context, tmp_path):
    nothing = {**tables, "inversion": tables["inversion"].iloc[:0]}
    (chapter,) = RISK.chapters(nothing, context, tmp_path)
    assert [list(table) for table in parts.tables(chapter)] == [["", "baseline", "other"]]


def test_nothing_measured_nothing_said(tables, context, tmp_path):
    assert RISK.tables(Sources({"baseline": tmp_path}), context) == {}
    assert RISK.chapters({}, context, tmp_path) == ()
    empty = {name: table.iloc[:0] for name, table in tables.items()}
    assert RISK.chapters(empty, context, tmp_path) == ()


def test_every_column_is_explained_and_none_that_is_not_there(tables):
    assert parts.unlike_its_explanation(RISK, tables, tiny.FEATURES) == {}
