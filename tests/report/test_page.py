"""Chapters as one page: every kind of part, nothing that runs or loads, no patient by mistake."""

import base64
import re
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from pipeline.presentation.chapter import (
    Chapter,
    Heading,
    Items,
    NotApplicable,
    Note,
    Part,
    Picture,
    Table,
)
from pipeline.report.page import cells, render
from pipeline.risks.risk import Judgement
from report.reader import check, read

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))
LINES = pd.DataFrame({"risk": ["rumour"], "figure": ["heard"]})
HONEST = {"baseline": Judgement(), "hard": Judgement()}
FLAGGED = {**HONEST, "masked": Judgement({"masked_mouth": "why so", "deaf": "and so"})}
HOSTILE = "<script>alert('x')</script> & \"co\""


@pytest.fixture
def parts(tmp_path):
    """One part of each kind."""
    (tmp_path / "a.png").write_bytes(PNG)
    return {
        "Note": Note("A note."),
        "Items": Items([("first", "said of it"), ("second", "and of that")]),
        "Heading": Heading("A section"),
        "Table": Table(pd.DataFrame({"a": ["x", "y"], "b": [1.5, np.nan]}), "numbers"),
        "Picture": Picture(tmp_path / "a.png", "a curve that falls"),
        "NotApplicable": NotApplicable("A bound", "nothing is claimed"),
    }


@pytest.fixture
def drawn(cfg):
    """Draws a page of these parts in one chapter."""

    def draw(*parts, judged=HONEST, patients=True, title="A chapter", lines=LINES, cfg=cfg):
        return render([Chapter(title, parts)], lines, judged, cfg, patients=patients)

    return draw


def body_of(text):
    """What follows the heading of the first chapter."""
    return text.split('<h2 id="chapter1">')[1].split("</h2>")[1]


# ---- parts ----


def test_there_is_a_made_up_part_of_every_kind(parts):
    assert set(parts) == {kind.__name__ for kind in get_args(Part)}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("Note", '<p class="note">A note.</p>'),
        ("Items", "<li><b>first</b>: said of it</li>\n<li><b>second</b>: and of that</li>"),
        ("Heading", "<h3>A section</h3>"),
        ("Table", "<tr><td>y</td><td>-</td></tr>"),
        ("Picture", '<img alt="a curve that falls" src="data:image/png;base64,'),
        ("NotApplicable", '<p class="note">A bound: not applicable: nothing is claimed</p>'),
    ],
)
def test_every_kind_of_part_is_on_the_page(drawn, parts, kind, said):
    text = drawn(parts[kind])
    assert said in body_of(text)
    check(text)


def test_a_part_of_an_unknown_kind_is_an_error(drawn):
    @dataclass(frozen=True)
    class Video:
        text: str

    with pytest.raises(UndefinedError, match="Video"):
        drawn(Video("a film"))


def test_parts_stand_in_their_order(drawn, parts):
    body = body_of(drawn(*parts.values()))
    places = [body.index(said) for said in ("A note.", "first", "A section", "<td>x</td>", "<img")]
    assert places == sorted(places)


def test_a_note_that_is_not_small_is_plain(drawn):
    assert "<p>Mind this.</p>" in drawn(Note("Mind this.", small=False))


def test_a_list_of_nothing_is_not_drawn(drawn):
    assert "<ul" not in drawn(Items([]))


def test_a_picture_lies_in_the_page(drawn, parts):
    source = read(drawn(parts["Picture"])).pictures[0]["src"]
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == PNG


@pytest.mark.parametrize("kind", ["numbers", "text", "patients"])
def test_a_table_has_its_kind_scrolls_and_is_reached_by_keyboard(drawn, parts, kind):
    text = drawn(replace(parts["Table"], kind=kind))
    assert f'<div class="wide" tabindex="0">\n<table class="{kind}">' in text
    assert read(text).tables[-1] == [["a", "b"], ["x", "1.5"], ["y", "-"]]


def test_a_missing_value_is_a_dash_and_nothing_else_is():
    table = pd.DataFrame(
        {
            "float": [np.nan, 0.0],
            "whole": pd.array([None, 0], dtype="Int64"),
            "object": [None, ""],
            "formatted": ["{:.3f}".format(float("nan")), "none"],
        }
    )
    assert cells(table) == [["-"] * 4, ["0.0", "0", "", "none"]]


# ---- single patients ----


def test_tables_of_patients_are_left_out_where_others_may_look(drawn, parts):
    named = Table(pd.DataFrame({"patient": [7], "change": ["glucose 148 → 147"]}), "patients")
    shown, shared = (drawn(named, parts["Table"], patients=wanted) for wanted in (True, False))
    assert "glucose 148 → 147" in shown
    assert "148" not in shared
    assert "Left out here, because it shows single patients." in shared
    assert len(read(shared).tables) == len(read(shown).tables) - 1
    check(shared)


# ---- the page itself ----


def test_the_page_says_what_its_numbers_are(drawn, cfg):
    text = re.sub(r"\s+", " ", drawn(Note("A note.")))
    for said in ("did not train on", "bootstrap over patients", "not for clinical use"):
        assert said in text
    assert f"({cfg.plan.folds} folds x {cfg.plan.seeds} seeds)" in text
    assert f"{100 * cfg.audit.confidence:.0f}%" in text
    assert read(text).headings[0] == ["h1", cfg.data.title]


def test_every_chapter_is_linked_to_by_its_title(cfg):
    titles = ["First", "Second & last"]
    chapters = [Chapter(title, [Note("a")]) for title in titles]
    found = check(render(chapters, LINES, HONEST, cfg, patients=True))
    assert found.headings[1:] == [["h2", title] for title in ("All risks", *titles)]
    assert (
        found.links == ["#overview", "#chapter1", "#chapter2"] == [f"#{one}" for one in found.ids]
    )


def test_without_chapters_and_defenses_the_page_is_still_one(cfg):
    found = check(render([], LINES.iloc[:0], {}, cfg, patients=True))
    assert [title for _, title in found.headings] == [cfg.data.title, "All risks"]
    assert "Defenses" not in found.text


def test_a_flag_stands_beside_the_name_with_its_reasons(drawn):
    text = drawn(judged=FLAGGED)
    label = "masked [masked mouth, deaf]"
    said = f"baseline; hard; {label}. A flagged defense is called best in nothing."
    assert said in " ".join(re.sub(r"<.*?>", "", text).split())
    assert f'<ul class="note">\n<li><b>{label}</b>: why so; and so</li>\n</ul>' in text
    assert text.count("<li>") == 1


def test_the_page_of_honest_defenses_has_no_reasons(drawn):
    assert "<ul" not in drawn(Note("a"))


# ---- whoever writes into the page ----


@pytest.mark.parametrize(
    "kind", ["Note", "Items", "Heading", "Table", "Picture", "NotApplicable", "title"]
)
def test_whatever_a_risk_says_is_escaped(drawn, parts, kind):
    hostile = {
        "Note": Note(HOSTILE),
        "Items": Items([(HOSTILE, HOSTILE)]),
        "Heading": Heading(HOSTILE),
        "Table": Table(pd.DataFrame({HOSTILE: [HOSTILE]}), "numbers"),
        "Picture": Picture(parts["Picture"].path, HOSTILE),
        "NotApplicable": NotApplicable(HOSTILE, HOSTILE),
        "title": Note("a"),
    }[kind]
    text = drawn(hostile, title=HOSTILE if kind == "title" else "A chapter")
    assert "<script" not in text
    found = check(text)
    assert HOSTILE in found.text + "".join(one["alt"] for one in found.pictures)


def test_a_hostile_data_set_threat_defense_and_reason_are_escaped(drawn, cfg):
    data = cfg.data.model_copy(update={"title": HOSTILE})
    lines = pd.DataFrame({"figure": ["right answers under <i>x</i>"]})
    judged = {"a & b": Judgement({"<u>": HOSTILE}), "<b>c</b>": Judgement()}
    text = drawn(judged=judged, lines=lines, cfg=cfg.model_copy(update={"data": data}))
    for tag in ("<script", "<i>", "<u>", "<b>c"):
        assert tag not in text
    found = check(text)
    assert found.headings[0] == ["h1", HOSTILE]
    assert found.tables[0][1] == ["right answers under <i>x</i>"]
    assert "a & b [<u>]" in found.text
