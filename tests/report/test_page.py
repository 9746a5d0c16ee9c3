"""Contents as pages: every kind of part, nothing that loads, no patient by mistake."""

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Fold,
    Heading,
    Items,
    NotApplicable,
    Note,
    Part,
    Reader,
    Table,
)
from pipeline.presentation.glossary import GLOSSARY
from pipeline.presentation.pictures import axes_of, save_picture
from pipeline.report.audited import USE
from pipeline.report.matrix import Cell, Matrix
from pipeline.report.page import BESIDE, HEADINGS, OPEN_ROWS, first_and_more, render, render_cut
from pipeline.risks import RISKS
from pipeline.risks.risk import Judgement
from report.made_up_contents import FLAGGED, LABEL, MATRIX, NOTHING
from report.reader import check, read, sections

HOSTILE = "<script>alert('x')</script> & \"co\""
LEFT_OUT = "Left out here, because it shows single patients."
SECRET = "glucose 148 → 147"


@pytest.fixture
def picture(tmp_path):
    figure, (axis,) = axes_of(1, 1, (3, 2))
    axis.plot([0, 1], [1, 0], marker="o")
    axis.set_xlabel("a & b")
    return save_picture(figure, tmp_path / "falls.svg", "A fall", "a curve that falls")


@pytest.fixture
def parts(picture):
    """One part of each kind."""
    return {
        "Note": Note("A note."),
        "Items": Items([("first", "said of it"), ("second", "and of that")]),
        "Heading": Heading("A section"),
        "Table": Table(pd.DataFrame({"a": ["x", "y"], "b": [1.5, np.nan]}), "numbers", "Of all."),
        "Picture": picture,
        "NotApplicable": NotApplicable("A bound", "nothing is claimed"),
        "Fold": Fold("More of it", [Note("Folded away.")]),
    }


def with_chapter(*parts, title="A chapter", **more):
    return replace(NOTHING, chapters=[Chapter(title, parts)], **more)


def page_of(*parts, patients=True, **more):
    return render(with_chapter(*parts, **more), patients=patients)


def cut_of(*parts, reader="privacy", **more):
    chapter = Chapter("A chapter", [], "", {reader: parts})
    owned = {"chapters": [chapter], "owners": {"a-chapter": "rumour"}}
    return render_cut(replace(NOTHING, **owned, **more), reader)


def body_of(text):
    """What follows the heading of the first chapter."""
    return text.split('<h2 id="a-chapter">')[1].split("</h2>")[1]


# ---- parts ----


def test_there_is_a_made_up_part_of_every_kind(parts):
    assert set(parts) == {kind.__name__ for kind in get_args(Part)}


SAID = {
    "Note": '<p class="note">A note.</p>',
    "Items": "<li><b>first</b>: said of it</li>\n<li><b>second</b>: and of that</li>",
    "Heading": "<h3>A section</h3>",
    "Table": '<tr><th scope="row">y</th><td>-</td></tr>',
    "Picture": '<title id="falls-title">A fall</title><desc id="falls-desc">a curve that falls',
    "NotApplicable": '<p class="note">A bound: not applicable: nothing is claimed</p>',
    "Fold": '<details><summary>More of it</summary>\n<p class="note">Folded away.</p>',
}


@pytest.mark.parametrize("kind", SAID)
def test_every_kind_of_part_is_on_every_page(parts, kind):
    page, cut = page_of(parts[kind]), cut_of(parts[kind])
    assert SAID[kind] in body_of(page)
    assert SAID[kind] in cut
    check(page)
    check(cut)


def test_a_part_of_an_unknown_kind_is_an_error():
    @dataclass(frozen=True)
    class Video:
        text: str

    with pytest.raises(UndefinedError, match="Video"):
        page_of(Video("a film"))


def test_parts_stand_in_their_order(parts):
    body = body_of(page_of(*parts.values()))
    said = ("A note.", "first", "A section", ">x</th>", "<svg", "A bound", "Folded")
    places = [body.index(one) for one in said]
    assert places == sorted(places)


def test_a_note_that_is_not_small_is_plain():
    assert "<p>Mind this.</p>" in page_of(Note("Mind this.", small=False))


def test_a_list_of_nothing_is_not_drawn():
    assert "<ul" not in body_of(page_of(Items([])))


def test_a_picture_that_stands_there_twice_keeps_its_parts_apart(picture):
    found = check(page_of(picture, picture, cover=picture, findings=[("a", Finding("b"))]))
    assert [one["title"] for one in found.pictures] == ["A fall"] * 3


@pytest.mark.parametrize("kind", ["numbers", "text", "patients"])
def test_a_table_has_its_kind_and_caption_scrolls_and_is_reached_by_keyboard(parts, kind):
    text = page_of(replace(parts["Table"], kind=kind))
    found = read(text)
    assert f'tabindex="0" aria-label="Of all.">\n<table class="{kind}">' in text
    assert found.captions == ["Of all."]
    assert '<th scope="col">a</th>' in text
    assert found.tables[-1] == [["a", "b"], ["x", "1.5"], ["y", "-"]]


def test_a_long_table_is_folded_and_one_in_a_fold_is_not_folded_twice():
    short, long = (
        Table(pd.DataFrame({"a": range(rows)}), "numbers", "All of them")
        for rows in (OPEN_ROWS, OPEN_ROWS + 1)
    )
    of_page = len(read(page_of()).folds)
    assert len(read(page_of(short)).folds) == of_page
    assert read(page_of(long)).folds[-1] == f"All of them ({OPEN_ROWS + 1} rows)"
    assert read(page_of(Fold("More", [long]))).folds[of_page:] == ["More"]


def test_folds_stand_in_a_row_and_an_interval_in_one_line(parts):
    fold, note = parts["Fold"], parts["Note"]
    body = body_of(page_of(fold, fold, note, fold))
    assert [one.count("<summary>") for one in body.split('<div class="folds">')] == [0, 2, 1]
    table = Table(pd.DataFrame({"a": ["x"], "b": ["0.5 (0.4 to 0.6) <i>"]}))
    assert "<td>0.5 <span>(0.4 to 0.6)</span> &lt;i&gt;</td>" in page_of(table)


def test_a_chapter_is_set_beside_its_picture_where_one_is_shown(parts, picture):
    single = replace(picture, patients=True)
    assert 'class="beside"' in body_of(page_of(parts["Note"], picture))
    assert 'class="beside"' in body_of(page_of(single))
    assert 'class="beside"' not in body_of(page_of(single, patients=False))
    assert 'class="beside"' not in body_of(page_of(Fold("a", [picture])))


def test_a_table_of_much_text_has_the_whole_width():
    of = {"a": "b", "c": "d" * (BESIDE - 1)}
    assert 'class="wide"' in body_of(page_of(Table(pd.DataFrame([of]))))
    more = {**of, "c": of["c"] + "d"}
    assert 'class="wide under"' in body_of(page_of(Table(pd.DataFrame([more]))))


# ---- single patients ----


def of_patients(picture):
    table = pd.DataFrame({"patient": [7], "change": [SECRET]})
    one = replace(picture, shows=SECRET, patients=True)
    one.path.write_text(one.path.read_text().replace("a &amp; b", SECRET))
    return [Table(table, "patients", SECRET.replace("148", "149")), one, Fold("In a fold", [one])]


def test_what_shows_patients_is_left_out_where_others_may_look(picture, parts):
    named = of_patients(picture)
    shown, shared = (page_of(*named, parts["Note"], patients=wanted) for wanted in (True, False))
    assert shown.count(SECRET) >= 3
    assert "148" not in shared
    assert "149" not in shared
    assert shared.count(LEFT_OUT) == 3
    check(shared)


def test_the_page_of_one_reader_never_shows_patients(picture):
    for reader in get_args(Reader):
        text = cut_of(*of_patients(picture), reader=reader)
        assert "148" not in text
        assert text.count(LEFT_OUT) == 3


# ---- the first screen ----


def test_the_page_opens_with_what_was_audited():
    text = render(replace(NOTHING, warnings=["Nobody looked."]), patients=True)
    found = check(text)
    assert found.headings[0] == ["h1", NOTHING.title]
    for said in (USE, "Nobody looked.", "<dt>Cohort</dt><dd>3 listeners, 1 ill</dd>"):
        assert said in text
    made = "medsecure 1.2.3; sha256 of code 0123456789ab, data fedcba987654"
    assert made in " ".join(found.text.split())


def test_the_verdict_stands_before_the_matrix_and_it_before_what_was_not_tested(picture):
    findings = [("rumour", Finding("2 of 3 hear.")), ("silence", Finding("Nobody hears."))]
    text = page_of(Note("a"), findings=findings, matrix=MATRIX, cover=picture)
    order = ["<h1>", "2 of 3 hear.", "Nobody hears.", "<svg", 'class="matrix"', "Whispers.",
             'id="page-terms"', 'id="a-chapter"']  # fmt: skip
    places = [text.index(one) for one in order]
    assert places == sorted(places)


def test_a_cell_of_the_matrix_says_in_words_what_its_colour_says():
    text = page_of(Note("a"), matrix=MATRIX, judged=FLAGGED, places={"rumour": "a-chapter"})
    found = check(text)
    assert found.tables[0][0] == ["figure", "baseline", "hard", LABEL]
    name, undefended, hard, masked = found.tables[0][1]
    assert name == "rumour: heard lower is better; of 3 listeners two tongues"
    assert undefended == "0.667 0.600 to 0.733"
    assert hard == "0.200 0.180 to 0.220 ▲ better"
    assert masked == "0.050 0.045 to 0.055 better, but flagged"
    assert re.findall(r'<td class="([^"]+)"', text) == ["better", "flagged"]
    assert '<a href="#a-chapter">rumour: heard</a>' in text


def test_figures_that_do_not_decide_are_folded_and_counted():
    more = replace(MATRIX.rows[0], figure="heard far away", decides=False)
    found = check(page_of(Note("a"), matrix=replace(MATRIX, rows=[*MATRIX.rows, more, more])))
    open_, folded = found.tables[:2]
    assert (len(open_), len(folded)) == (2, 3)
    assert "2 more figures of every defense" in found.folds
    assert "more figures" not in " ".join(read(page_of(matrix=MATRIX)).folds)


def test_a_finding_is_one_sentence_and_what_more_is_said_of_it_is_folded():
    findings = [("a", Finding("2 of 3 hear.", "", "1 of 3 without a rumour.")), ("b", Finding("c"))]
    text = page_of(Note("a"), findings=findings)
    open_, folded = text.split("What this is compared with")
    assert "<li>2 of 3 hear.</li>" in open_
    assert "without a rumour" not in open_
    assert "<li>2 of 3 hear. 1 of 3 without a rumour.</li>" in folded
    assert "<li>c</li>" not in folded
    assert "What this is compared with" not in page_of(findings=findings[1:])
    cut = cut_of(findings=[("rumour", findings[0][1])])
    assert "<li>2 of 3 hear. 1 of 3 without a rumour.</li>" in cut
    assert "<details" not in cut


def test_of_what_was_not_tested_the_first_of_each_risk_stands_open_and_the_rest_is_counted():
    said = [("a", "A1"), ("a", "A2"), ("b", "B1"), ("a", "A3"), ("", "X"), ("", "Y")]
    first, more = first_and_more(said)
    assert first == [("a", "A1"), ("b", "B1"), ("", "X"), ("", "Y")]
    assert more == {"a": ["A2", "A3"]}
    assert sorted([*first, *(("a", one) for one in more["a"])]) == sorted(said)
    text = page_of(untested=said)
    assert "2 more not tested of a" in read(text).folds
    assert all(f"{one}</li>" in text for _, one in said)
    assert "more not tested" not in page_of(untested=first)


def test_a_figure_of_a_risk_without_a_chapter_is_no_link():
    found = check(page_of(Note("a"), matrix=MATRIX))
    assert found.tables[0][1][0].startswith("rumour: heard")
    assert "#" not in {link for link in found.links if "rumour" in link}


def test_why_a_defense_is_flagged_is_told_in_a_fold():
    text = page_of(judged=FLAGGED)
    assert "Why 1 of 3 are flagged" in read(text).folds
    assert f"<li><b>{LABEL}</b>: why so; and so</li>" in text
    assert "are flagged" not in page_of()


def test_conclusions_and_their_rule_are_folded():
    text = page_of(conclusions=[("heard", "none told apart: hard from soft")])
    fold = text.split("by which rule</summary>")[1].split("</details>")[0]
    assert "By this rule." in fold
    assert "<li><b>heard</b>: none told apart: hard from soft</li>" in fold


# ---- contents and chapters ----


def test_every_chapter_is_numbered_and_linked_to(parts):
    titles = ["First", "Second & last"]
    chapters = [Chapter(title, [Note("a")], "It came out.") for title in titles]
    text = render(replace(NOTHING, chapters=chapters), patients=True)
    found = check(text)
    assert sections(found) == [
        "What was found",
        "What was not tested",
        "Words of the field",
        *titles,
    ]
    assert [title for _, title in found.headings][-1] == "2. Second & last"
    assert found.links[-2:] == ["#first", "#second-last"]
    assert text.count('<p class="result">It came out.</p>') == 2


def test_a_chapter_without_a_result_has_no_empty_sentence():
    assert 'class="result"' not in page_of(Note("a"))


def test_the_glossary_stands_on_the_page():
    text = " ".join(read(page_of()).text.split())
    assert all(term in text for term in GLOSSARY)
    assert all(term in text for risk in RISKS for term in risk.glossary)


def test_without_chapters_and_defenses_the_page_is_still_one():
    found = check(render(replace(NOTHING, judged={}), patients=True))
    assert len(sections(found)) == 3
    assert not found.tables


# ---- the page of one reader ----


def test_the_page_of_a_reader_has_its_findings_parts_and_what_was_not_tested():
    text = cut_of(
        Note("For data protection."),
        Heading("More"),
        findings=[("rumour", Finding("2 of 3 hear.")), ("silence", Finding("Nobody hears."))],
        judged=FLAGGED,
        warnings=["Nobody looked."],
    )
    found = check(text)
    assert found.headings[0] == ["h1", HEADINGS["privacy"]]
    assert sections(found) == ["What was found", "A chapter", "What was not tested"]
    for said in ("For data protection.", "2 of 3 hear.", "Whispers.", LABEL, "Nobody looked.", USE):
        assert said in found.text
    assert "Nobody hears." not in found.text
    assert not found.scripts


@pytest.mark.parametrize("reader", get_args(Reader))
def test_a_reader_of_whom_no_chapter_thought_still_gets_a_page(reader):
    found = check(render_cut(NOTHING, reader))
    assert sections(found) == ["What was not tested"]


# ---- whoever writes into the page ----


def test_the_one_script_is_our_own_and_nothing_may_be_loaded():
    text = page_of(Note("a"))
    (script,) = read(text).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    assert "http" not in text.replace('http-equiv="', "").replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("kind", [*SAID, "title", "result"])
def test_whatever_a_risk_says_is_escaped(parts, picture, kind):
    hostile = {
        "Note": Note(HOSTILE),
        "Items": Items([(HOSTILE, HOSTILE)]),
        "Heading": Heading(HOSTILE),
        "Table": Table(pd.DataFrame({HOSTILE: [HOSTILE]}), "numbers", HOSTILE),
        "Picture": replace(picture, caption=HOSTILE),
        "NotApplicable": NotApplicable(HOSTILE, HOSTILE),
        "Fold": Fold(HOSTILE, [Note(HOSTILE)]),
    }
    chapter = Chapter(
        HOSTILE if kind == "title" else "A chapter",
        [hostile.get(kind, Note("a"))],
        HOSTILE if kind == "result" else "",
    )
    text = render(replace(NOTHING, chapters=[chapter]), patients=True)
    assert text.count("<script") == 1
    assert HOSTILE in check(text).text


def test_a_hostile_data_set_threat_defense_finding_and_reason_are_escaped():
    row = replace(MATRIX.rows[0], figure=HOSTILE, among=HOSTILE, threat=HOSTILE)
    everywhere = replace(
        NOTHING,
        title=HOSTILE,
        facts=[(HOSTILE, HOSTILE)],
        warnings=[HOSTILE],
        judged={"<b>c</b>": Judgement({"<u>": HOSTILE})},
        findings=[("a", Finding(HOSTILE))],
        matrix=Matrix([(HOSTILE, HOSTILE)], [replace(row, cells=[Cell(HOSTILE)])]),
        conclusions=[(HOSTILE, HOSTILE)],
        untested=[("", HOSTILE)],
        notes=[HOSTILE],
    )
    text = render(everywhere, patients=True)
    cut = render_cut(everywhere, "privacy")
    assert (text.count("<script"), cut.count("<script")) == (1, 0)
    for page in (text, cut):
        assert "<u>" not in page
        assert "<b>c" not in page
        assert HOSTILE in check(page).text
