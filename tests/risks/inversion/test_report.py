"""Inversion as people read it: uplift beside what any model tells, a typical patient."""

from dataclasses import replace

import pandas as pd
import pytest
import yaml

import parts
import tiny
from pipeline import params
from pipeline.presentation.chapter import Chapter
from pipeline.risks.inversion import pictures
from pipeline.risks.inversion.report import shown_guesses, shown_typical
from pipeline.risks.inversion.risk import RISK
from pipeline.risks.inversion.tables import image_tables
from pipeline.risks.risk import Context, Sources
from risks.inversion.made_up import DISTANCES, SCANS, seen, told

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


def test_a_row_per_measurement_and_access_two_columns_per_defense(tables, context):
    (line,) = shown_guesses(tables["inversion"], context).to_dict("records")
    assert line["attacker sees"] == "scores"
    assert line["error without a model"] == "30"
    assert line["patients"] == 40
    assert line["baseline: information in the answer"] == (
        "6 (6 to 6); of the error 0.200 (0.200 to 0.200)"
    )
    assert line["baseline: more than for others"] == "3 (3 to 3), more"
    assert line["other: more than for others"] == "0 (0 to 0)"


def test_the_typical_patient_stands_beside_the_real_ones(tables, context):
    shown = shown_typical(tables["typical"], context)
    assert shown[""].tolist()[:5] == list(tiny.FEATURES)
    assert shown["baseline"].tolist()[0] == "120"
    assert shown["baseline"].tolist()[5:] == ["1.50 (1.00 to 2.00)"] * len(DISTANCES)


def test_the_chapter_holds_both_and_the_number_of_victims(tables, context, tmp_path):
    (chapter,) = RISK.chapters(tables, context, tmp_path)
    own, first, second, typical = parts.tables(chapter)
    whole = shown_guesses(tables["inversion"], context)
    assert pd.concat([first, second.iloc[:, 2:]], axis=1).equals(whole)
    assert typical.equals(shown_typical(tables["typical"], context))
    assert own["of it taken away"].tolist() == ["0.200 (0.200 to 0.200)"]
    assert own["more than for others"].tolist() == ["3 (3 to 3), more"]
    assert parts.is_short(chapter)
    assert f"{len(BASELINE.typical)} models" in parts.notes(chapter)


def test_the_finding_says_what_the_table_says(tables, context, tmp_path):
    found = RISK.finding(tables, context)
    table = tables["inversion"]
    own = table[table["defense"] == "baseline"].set_index("group")
    members, more = own.loc["members"], own.loc["difference"]
    assert f"{100 * members['share']:.1f} % (20.0 to 20.0) less error" in found.whole
    assert f"Off by {members['error_aided']:.3g} instead of {members['error_alone']:.3g}" in (
        found.whole
    )
    assert f"members less others {100 * more['share']:.2f}" in found.whole
    assert f"members are told more of {members['attribute']}: 3 (3 to 3)" in found.whole
    alike = table.assign(finding=table["finding"].replace("more", "no difference"))
    unsaid = RISK.finding({**tables, "inversion": alike}, context)
    assert "of no measurement are members told more" in unsaid.whole
    (chapter,) = RISK.chapters(tables, context, tmp_path)
    brief = Chapter("", chapter.brief["privacy"])
    assert parts.items(brief)["A private value"] == found.whole
    (path,) = parts.pictures(chapter)
    assert "members less others" in path.read_text()
    assert path.stat().st_size < 80_000


def test_marks_are_the_differences_of_the_table(tables, context, tmp_path, monkeypatch):
    figures = parts.drawn(monkeypatch, pictures)
    table = tables["inversion"]
    lines = table[table["group"] == "difference"]
    pictures.draw(lines, "", context, tmp_path)
    drawn = [bars.lines[0].get_xdata().tolist() for bars in figures[0].axes[0].containers]
    assert drawn == [[100 * share] for share in lines["share"]]


def test_nothing_private_only_the_typical_patient(tables, context, tmp_path):
    nothing = {**tables, "inversion": tables["inversion"].iloc[:0]}
    (chapter,) = RISK.chapters(nothing, context, tmp_path)
    assert [list(table) for table in parts.tables(chapter)] == [["", "baseline", "other"]]


def test_nothing_measured_nothing_said(tables, context, tmp_path):
    assert RISK.tables(Sources({"baseline": tmp_path}), context) == {}
    assert RISK.chapters({}, context, tmp_path) == ()
    empty = {name: table.iloc[:0] for name, table in tables.items()}
    assert RISK.chapters(empty, context, tmp_path) == ()


def test_every_column_is_explained_and_none_that_is_not_there(tables, context):
    scans = Context(SCANS, context.cfg)
    shown = scans.cfg.report.model_copy(update={"patients": "shown"})
    scans = replace(scans, cfg=scans.cfg.model_copy(update={"report": shown}))
    every = {**tables, **image_tables({"baseline": seen(), "other": seen()}, scans)}
    assert parts.unlike_its_explanation(RISK, every, tiny.FEATURES) == {}
