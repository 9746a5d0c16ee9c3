"""The cross-reference: nothing unmeasured is evidence, nothing uncovered is left out."""

from dataclasses import replace

import pytest

from pipeline.presentation.chapter import Chapter, Fold, Table
from pipeline.report.evidence import (
    ALL_RISKS,
    COMMON,
    counted,
    cross_reference,
    evidence_chapter,
    sections_of,
    status_of,
)
from pipeline.risks.catalogues import CATALOGUES, HERE, NOT_COVERED, PARTLY, ROWS, Evidence
from report.made_up import RUMOUR, SILENCE, TABLES, only_risks

RESULTS = {"rumour": TABLES, "silence": {}}
SECTIONS = {"rumour": "What is told"}


@pytest.fixture
def claims(monkeypatch):
    only_risks(monkeypatch, RUMOUR, SILENCE)
    return cross_reference(RESULTS, SECTIONS)


def of(claims, row):
    return [one for one in claims if one.id == row]


def test_every_row_of_every_catalogue_is_listed_in_its_order(claims):
    listed = list(dict.fromkeys((one.document, one.id) for one in claims))
    assert listed == [(one.document, row) for one in CATALOGUES for row in one.rows]


def test_a_row_leads_to_its_section_and_its_file(claims):
    (line,) = of(claims, "AML.T0015")
    assert (line.section, line.artefact, line.status) == ("What is told", "rumour.csv", HERE)
    assert of(claims, "ML01:2023")[0].status == PARTLY


def test_a_table_that_nobody_drew_is_no_evidence(claims):
    (line,) = of(claims, "AML.T0020")
    assert (line.section, line.artefact, line.status, line.what) == ("", "", NOT_COVERED, "")


def test_a_risk_without_a_chapter_is_no_evidence(monkeypatch):
    only_risks(monkeypatch, RUMOUR)
    (line,) = of(cross_reference(RESULTS, {}), "AML.T0015")
    assert line.status == NOT_COVERED


def test_only_rows_that_somebody_claims_are_covered(claims):
    covered = {one.id for one in claims if one.status != NOT_COVERED}
    assert covered == {"AML.T0015", "ML01:2023", *(row for row, *_ in COMMON)}


def test_what_all_risks_share_has_rows_that_exist_and_is_named_so(claims):
    assert {row for row, *_ in COMMON} <= set(ROWS)
    assert {one.section for one in of(claims, "MEASURE 1.1")} == {ALL_RISKS}


def test_a_row_of_several_risks_has_the_most_that_one_says(monkeypatch):
    second = replace(
        RUMOUR, name="second", catalogued=(Evidence("AML.T0015", "rumour", PARTLY, "half"),)
    )
    only_risks(monkeypatch, second, RUMOUR)
    found = cross_reference({"rumour": TABLES, "second": TABLES}, {**SECTIONS, "second": "Again"})
    assert [one.status for one in of(found, "AML.T0015")] == [PARTLY, HERE]
    assert status_of(found)[of(found, "AML.T0015")[0].document, "AML.T0015"] == HERE


def test_the_counts_are_those_of_the_rows(claims):
    table = counted(claims).set_index("catalogue")
    for one in CATALOGUES:
        assert table.loc[one.document].sum() == len(one.rows)
    assert table[NOT_COVERED].sum() == sum(s == NOT_COVERED for s in status_of(claims).values())


def test_the_chapter_shows_every_line_folded_and_a_short_table_open(claims):
    chapter = evidence_chapter(claims)
    opened = [part for part in chapter.parts if isinstance(part, Table)]
    (fold,) = [part for part in chapter.parts if isinstance(part, Fold)]
    folds = fold.parts
    assert len(opened[0].table) == len(CATALOGUES) <= 10
    assert sum(len(fold.parts[0].table) for fold in folds) == len(claims)
    assert f"Of {len(ROWS)} rows" in chapter.result


def test_a_section_is_the_first_chapter_of_a_risk():
    chapters = {"rumour": [Chapter("One", []), Chapter("Two", [])], "silence": []}
    assert sections_of(chapters) == {"rumour": "One"}
