"""Chapters as data, the cuts of readers, and PDFs by Typst: tagged, the same bytes, no patient."""

import json
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from pipeline.files import BadInput
from pipeline.presentation.chapter import (
    Chapter,
    Fold,
    Heading,
    Items,
    NotApplicable,
    Note,
    Part,
    Picture,
    Table,
)
from pipeline.report import paged
from pipeline.report.paged import (
    LEFT_OUT,
    SIZES,
    _audited,
    chapters_as_data,
    cut_of,
    draw_pdf,
    pages,
    texts_of,
)

SECRET = "glucose 148 → 147"
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="60" viewBox="0 0 100 60">'
    '<text x="5" y="20" font-family="DejaVu Sans">fell</text><path d="M 0 0 L 90 50"/></svg>'
)
AUDIT = {
    "use": "For research.",
    "audited": {
        "cohort": {"title": "Ward", "patients": 80, "ill": None, "sha256": "0" * 64},
        "models": {"architecture": "mlp", "defenses": ["baseline"], "folds": 5, "seeds": 1},
        "threats": {"reviewed": False, "guessed": ["glucose: range", "bmi: step"]},
        "confidence": 0.95,
        "configuration_sha256": "1" * 64,
    },
    "findings": [
        {"risk": "rumour", "defense": "", "text": "8 of 12 heard it."},
        {"risk": "mute", "defense": "", "text": "Nobody spoke."},
    ],
    "flags": [{"defense": "masked", "flag": "deaf_ear", "evidence": "no ear"}],
    "figures": [
        {
            "risk": "rumour", "figure": "heard", "defense": "baseline", "value": 0.5, "low": 0.4,
            "high": None, "among": "12 listeners", "threat": "", "verdict": "",
        }
    ],
    "not_tested": ["Three tongues."],
}  # fmt: skip


@pytest.fixture
def chapter(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.svg").write_text(SVG, encoding="utf-8")
    picture = Picture(tmp_path / "plots" / "a.svg", "a curve that falls", "Curve")
    table = pd.DataFrame({"name_of_it": ["x", None], "value": [0.5, float("nan")]})
    parts = [
        Note("A note.", small=False),
        Items([("first", "said of it")]),
        Heading("A section"),
        Table(table, "numbers", "What is heard"),
        Table(pd.DataFrame({"change": [SECRET]}), "patients"),
        picture,
        Picture(tmp_path / "plots" / "b.svg", SECRET, patients=True),
        NotApplicable("A bound", "nothing is claimed"),
        Fold("Every row", [Note("Folded.")]),
    ]
    brief = {"clinician": [Note("For the ward.")], "privacy": [picture]}
    return Chapter("What is told", parts, "Half hear it.", brief)


@pytest.fixture
def chapters(chapter, tmp_path):
    data = chapters_as_data([chapter], tmp_path)
    return [{"risk": "rumour", **one} for one in json.loads(json.dumps(data))]


# ---- as data ----


def test_there_is_a_part_of_every_kind(chapter):
    assert {type(part) for part in chapter.parts} == set(get_args(Part))


def test_every_text_of_a_chapter_is_in_the_data_in_its_order(chapters):
    said = texts_of(chapters[0]["parts"])
    order = ["A note.", "first", "A section", "What is heard", "a curve that falls", "Folded."]
    assert [text for text in said if text in order] == order
    assert "A bound: not applicable: nothing is claimed" in said


def test_no_single_patient_is_in_the_data(chapters):
    assert SECRET not in json.dumps(chapters, ensure_ascii=False)
    assert texts_of(chapters[0]["parts"]).count(LEFT_OUT) == 2


def test_a_missing_cell_is_a_dash(chapters):
    (table,) = [part for part in chapters[0]["parts"] if part["kind"] == "table"]
    assert table["rows"] == [["x", "0.5"], ["-", "-"]]


def test_a_picture_is_named_by_its_place_beside_the_data(chapters):
    (picture,) = [part for part in chapters[0]["parts"] if part["kind"] == "picture"]
    assert picture["path"] == "plots/a.svg"


# ---- cuts ----


def test_a_cut_holds_what_is_said_to_its_reader_and_of_those_risks_the_findings(chapters):
    facts, privacy, full = (cut_of(AUDIT, chapters, cut) for cut in ("facts", "privacy", "full"))
    assert texts_of(facts["chapters"][0]["parts"]) == ["For the ward."]
    assert facts["findings"] == ["8 of 12 heard it."]
    assert "a curve that falls" in texts_of(privacy["chapters"][0]["parts"])
    silent = [{**chapters[0], "brief": {}}]
    assert cut_of(AUDIT, silent, "facts")["chapters"] == []
    assert full["not_tested"] == ["Three tongues."]
    assert full["flags"] == ["masked: deaf ear: no ear"]
    assert full["overview"]["rows"][0][:3] == ["rumour: heard", "baseline", "0.500 (0.400 to nan)"]


def test_who_reviewed_nothing_is_told_on_every_cut_and_a_hidden_count_on_none(chapters):
    for cut in ("facts", "privacy", "full"):
        said = cut_of(AUDIT, chapters, cut)
        assert said["warnings"] == [
            "Threat model not reviewed: 2 measurements are a program's guess."
        ]
        assert "80 patients, not told how many of them ill" in said["audited"][0][1]


# ---- Typst ----


def test_without_typst_one_line_says_how_to_get_it(chapters, tmp_path, monkeypatch):
    monkeypatch.setattr(paged, "has_typst", lambda: False)
    with pytest.raises(BadInput, match=r"medsecure\[pdf\]"):
        draw_pdf(cut_of(AUDIT, chapters, "full"), tmp_path)


@pytest.fixture
def drawn(chapters, tmp_path):
    pytest.importorskip("typst", reason="the extra pdf")

    def draw(cut="full", of=chapters, signature=None):
        return draw_pdf(cut_of(AUDIT, of, cut), tmp_path, signature)

    return draw


@pytest.mark.heavy
@pytest.mark.parametrize("cut", ["full", "facts", "privacy"])
def test_a_pdf_is_tagged_has_a_title_and_a_language_and_the_same_bytes_twice(drawn, cut):
    once = drawn(cut)
    assert once == drawn(cut)
    assert once.startswith(b"%PDF-")
    for said in (b"/MarkInfo", b"/StructTreeRoot", b"/Lang(en)", b"pdfuaid:part>1<"):
        assert said in once, said
    assert b"CreationDate" not in once


@pytest.mark.heavy
def test_a_picture_has_words_and_one_without_is_refused(drawn, chapters):
    assert b"a curve that falls" in drawn()
    broken = json.loads(json.dumps(chapters))
    (picture,) = [part for part in broken[0]["parts"] if part["kind"] == "picture"]
    picture["path"] = "plots/none.svg"
    with pytest.raises(BadInput, match="Typst"):
        drawn(of=broken)


@pytest.mark.heavy
def test_letters_come_from_the_fonts_of_matplotlib(drawn):
    fonts = {part.split(b"/")[0].split(b"+")[-1] for part in drawn().split(b"/BaseFont/")[1:]}
    assert {font.split(b"-")[0].split(b"\n")[0][:10] for font in fonts} == {b"DejaVuSans"}


@pytest.mark.heavy
def test_a_page_for_a_reader_is_one_and_shrinks_to_stay_one(drawn, chapters):
    long = json.loads(json.dumps(chapters))
    note = {"kind": "note", "text": "Word " * 60, "small": False}
    for count in (1, 14):
        long[0]["brief"]["clinician"] = [note] * count
        assert pages(drawn("facts", of=long)) == 1
    long[0]["brief"]["clinician"] = [note] * 60
    assert pages(drawn("facts", of=long)) == 1  # what no size makes fit is counted and pointed to


def test_a_reader_is_told_of_what_was_not_tested_of_the_own_risks_and_of_all(chapters):
    other = {**chapters[0], "risk": "mute", "brief": {}, "untested": ["Mute, untested."]}
    told = [{**chapters[0], "untested": ["Heard, untested."]}, other]
    audit = {**AUDIT, "not_tested": ["Heard, untested.", "Mute, untested.", "Of all."]}
    assert cut_of(audit, told, "facts")["not_tested"] == ["Heard, untested.", "Of all."]
    assert cut_of(audit, told, "full")["not_tested"] == audit["not_tested"]


def test_sizes_fall_and_stay_readable():
    assert list(SIZES) == sorted(SIZES, reverse=True)
    assert SIZES[-1] >= 7


@pytest.mark.heavy
def test_text_from_outside_is_text(drawn, chapters):
    """Nothing that a data set or a person is called runs in Typst."""
    hostile = json.loads(json.dumps(chapters))
    hostile[0]["title"] = "#panic() $x$ *a* `b` @c <d> \\ _e_"
    hostile[0]["parts"][0]["text"] = '#import "x.typ"'
    assert pages(drawn(of=hostile)) >= 1


@pytest.mark.heavy
def test_a_signature_line_stands_at_the_end_only_where_it_is_asked_for(drawn):
    signature = {"commit": "abc", "date": "2027-01-31", "signed_by": ""}
    assert drawn() != drawn(signature=signature)
    assert len(drawn(signature=signature)) > len(drawn())


def test_the_template_travels_with_the_package():
    assert (Path(paged.__file__).parent / paged.TEMPLATE).is_file()


def test_in_a_sector_the_first_page_is_in_its_words_and_its_names_stay():
    audited = {**AUDIT["audited"], "cohort": {
        **AUDIT["audited"]["cohort"], "title": "Ill patients",
        "words": {"patients": "lots", "ill": "low-grade", "Ill patients": "Ill patients"},
    }}  # fmt: skip
    audit = {**AUDIT, "audited": audited, "not_tested": ["No patients.", "Other patients."]}
    chapters = [{"risk": "mute", "title": "T", "result": "", "parts": [], "brief": {},
                 "untested": ["Other lots."]}]  # fmt: skip
    told = cut_of(audit, chapters, "privacy")
    assert told["title"].endswith("Ill patients")
    assert told["audited"][0][1] == "Ill patients: 80 lots, not told how many of them low-grade"
    assert told["not_tested"] == ["No lots."]  # a chapter's own, which is told in its words
    assert "patients" in cut_of(AUDIT, [], "full")["audited"][0][1]


def test_a_deployed_model_is_named_and_its_scorer_is_not_a_fold():
    assert dict(_audited(AUDIT["audited"]))["Scored by"].endswith("5 folds x 1 seed")
    models = {**AUDIT["audited"]["models"], "scored": "by that model", "named": "models:/ward/3"}
    told = dict(_audited({**AUDIT["audited"], "models": models}))
    assert told["Scored by"] == "by that model"
    assert told["Models"] == "mlp (models:/ward/3): baseline"
