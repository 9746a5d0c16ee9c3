"""Pages where they are read: a phone, a tablet, a desk, paper; nobody is asked for anything."""

import json
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from browser import Browser, needs_chromium
from pipeline.presentation.chapter import Chapter, Finding, Fold, Items, Note, Table
from pipeline.presentation.pictures import STYLES, axes_of, save_picture, styles_of
from pipeline.report.matrix import Cell, Matrix, Row
from pipeline.report.page import OPEN_COLUMNS, OPEN_ROWS, render, render_cut
from pipeline.risks.risk import Judgement
from report.made_up_contents import FLAGGED, NOTHING

pytestmark = [pytest.mark.slow, needs_chromium]

WIDTHS = {"phone": 390, "tablet": 820, "desk": 1280}
A4 = 718  # CSS pixels between the margins of a page: 190 mm
PAGES = ("report.html", "report_shared.html", "facts.html", "privacy.html")
FLAGS = "masked gradients, zero gradients"
SAYS = "Of 268 ill patients 121 (0.451, 0.398 to 0.502) are missed, where lab values are forged."
# What sticks out of the page to the right, but for what lies in a box that scrolls.
OVERFLOW = """[...document.querySelectorAll("body *")].filter(one =>
  one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
  && !one.closest(".wide, .drawing, nav, .skip")).map(one => one.outerHTML.slice(0, 120))"""
CUT = """[...document.querySelectorAll("table, svg, p, li")].filter(one =>
  one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
  && one.checkVisibility()).map(one => one.outerHTML.slice(0, 120))"""
HIDDEN = """Math.max(...[...document.querySelectorAll(".beside > .wide")].map(
  one => one.scrollWidth - one.clientWidth))"""
AXE = """axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations
  .filter(one => ["serious", "critical"].includes(one.impact))
  .map(one => one.id + ": " + one.nodes[0].html.slice(0, 200)))"""


@pytest.fixture(scope="module")
def browser():
    one = Browser()
    yield one
    one.close()


def contents(folder, defenses):
    """As much as a page may hold: many defenses, wide tables, pictures, folds, briefs."""
    names = ["baseline", *(f"defense_{number}" for number in range(1, defenses))]
    cells = [
        Cell("0.554", "0.484 to 0.625", "▲ better" if odd else "", "better" if odd else "", not odd)
        for odd in (number % 2 for number in range(defenses))
    ]
    figure, axes = axes_of(1, 2, (9, 3.5))
    for place, (name, style) in enumerate(styles_of(names).items()):
        axes[0].plot([0, 1], [place, place + 1], label=name, **style.line)
    picture = save_picture(figure, folder / "many.svg", "Many lines", "each rises by one")
    wide = pd.DataFrame({f"sensitivity_at_{n}": ["0.554 (0.484 to 0.625)"] * 30 for n in range(12)})
    text = pd.DataFrame({"who": names, "says": [SAYS * 2] * defenses, "why": [SAYS] * defenses})
    parts = [
        Note(SAYS * 5), picture, Table(text, "text", "Who says what"),
        Fold("More of it", [Table(wide, "numbers", "All of them")]),
    ]  # fmt: skip
    # about two hundred words, a table and a picture: as much as a page of paper holds
    missed = ["121 of 268 (0.398 to 0.502)"] * defenses
    said = pd.DataFrame({"who": names, "missed": missed}).iloc[:6]
    brief = [Note(SAYS), Items([("a", SAYS)] * 4), Table(said, "text", "Who misses whom")]
    briefs = {"clinician": [*brief, picture], "privacy": [*brief, *brief]}
    rows = [
        Row("evasion", f"missed diagnoses {n}", "lower is better", "268 ill patients", SAYS, cells)
        for n in range(12)
    ]
    return replace(
        NOTHING,
        judged={**FLAGGED, **{name: Judgement() for name in names}},
        findings=[(f"risk {n}", Finding(SAYS)) for n in range(7)],
        cover=picture,
        matrix=Matrix([(name, FLAGS if n % 3 else "") for n, name in enumerate(names)], rows),
        untested=[("", SAYS)] * 4,
        chapters=[Chapter(f"Chapter {n}", parts, SAYS, briefs if not n else {}) for n in range(4)],
        owners={f"chapter-{n}": f"risk {n}" for n in range(4)},
        places={"evasion": "chapter-0"},
    )


@pytest.fixture(scope="module", params=[3, OPEN_COLUMNS, 2 * len(STYLES)])
def folder(tmp_path_factory, request):
    """The pages of few and of many defenses."""
    place = tmp_path_factory.mktemp("pages")
    of = contents(place, request.param)
    pages = [render(of, patients=True), render(of, patients=False)]
    pages += [render_cut(of, "clinician"), render_cut(of, "privacy")]
    for name, text in zip(PAGES, pages, strict=True):
        (place / name).write_text(text, encoding="utf-8")
    return place


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_nothing_sticks_out_and_nothing_is_asked_for(browser, folder, name, width):
    browser.open(folder / name, width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(OVERFLOW) == []
    assert browser.requests() == []
    assert browser.complaints() == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_on_paper(browser, folder, name):
    browser.open(folder / name, A4, media="print")
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.run(CUT) == []
    assert browser.run("document.documentElement.scrollWidth") <= A4


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["report.html", "facts.html"])
def test_axe_finds_nothing_serious(browser, folder, name, dark):
    browser.open(folder / name, dark=dark)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.run(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    assert browser.run(AXE) == []


def test_axe_sees_what_is_wrong(browser, tmp_path):
    (tmp_path / "a.html").write_text("<html><body><img src='data:,'><a href='#'></a></body></html>")
    browser.open(tmp_path / "a.html")
    browser.run(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = browser.run(AXE)
    assert {one.split(":")[0] for one in found} >= {"image-alt", "html-has-lang", "link-name"}


@pytest.mark.parametrize("width", [1200, 1280, 1366, 1425, 1440, 1920])
def test_no_column_hides_beside_a_picture(browser, tmp_path, width):
    """Five figures of a defense and their intervals, as the headline has them."""
    figure, (axis,) = axes_of(1, 1, (5, 4))
    axis.plot([0, 1], [0, 1])
    picture = save_picture(figure, tmp_path / "one.svg", "One line", "it rises by one")
    lines = {f"missed under attack {n}": ["0.554 (0.484 to 0.625)"] * 4 for n in range(5)}
    table = Table(pd.DataFrame({"who": ["adv_train [harms a group]"] * 4, **lines}))
    one = replace(NOTHING, chapters=[Chapter("Chapter", [picture, table], SAYS * 3)])
    (tmp_path / "a.html").write_text(render(one, patients=True), encoding="utf-8")
    browser.open(tmp_path / "a.html", width)
    assert browser.run(HIDDEN) == 0


def test_a_chapter_by_the_rule_is_less_than_a_screen_at_a_desk(browser, tmp_path):
    """A result, a picture, a table of ten rows, folds: side by side; on a phone one by one."""
    figure, (axis,) = axes_of(1, 1, (5, 4))
    axis.plot([0, 1], [0, 1])
    picture = save_picture(figure, tmp_path / "one.svg", "One line", "it rises by one")
    lines = {f"figure {n}": ["0.554 (0.484 to 0.625)"] * OPEN_ROWS for n in range(4)}
    table = Table(pd.DataFrame({"who": ["distill [masked gradients]"] * OPEN_ROWS, **lines}))
    parts = [picture, table, *(Fold(f"More {n}", [table]) for n in range(4))]
    one = replace(NOTHING, chapters=[Chapter(f"Chapter {n}", parts, SAYS * 3) for n in range(9)])
    (tmp_path / "a.html").write_text(render(one, patients=True), encoding="utf-8")
    place = "JSON.stringify(document.querySelector('section {}').getBoundingClientRect())"

    def placed(what):
        return json.loads(browser.run(place.format(what)))

    browser.open(tmp_path / "a.html", 1440)
    assert browser.run("document.querySelector('section').offsetHeight") < 900
    assert placed("figure")["right"] <= placed(".wide")["left"]
    assert browser.run(OVERFLOW) == []
    browser.run("document.querySelector('section details').open = true")
    assert placed("details")["left"] == placed("figure")["left"]  # what is opened has all the width
    assert placed("details")["top"] >= placed("figure")["bottom"]
    browser.open(tmp_path / "a.html", WIDTHS["phone"])
    assert placed("figure")["bottom"] <= placed(".wide")["top"]


def pages_of(pdf):
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


@pytest.mark.parametrize("name", ["facts.html", "privacy.html"])
def test_the_page_of_one_reader_is_one_page_of_paper(browser, folder, name):
    browser.open(folder / name)
    assert pages_of(browser.printed()) == 1


@pytest.mark.parametrize("reader", ["clinician", "privacy"])
def test_it_is_one_however_much_there_is_to_say(browser, tmp_path, reader):
    """Fourteen recipes with four flags each in every table, and fifty sentences not tested."""
    flags = {f"flag_number_{n}": "why" for n in range(4)}
    of = contents(tmp_path, 14)
    chapters = [replace(one, brief=of.chapters[0].brief) for one in of.chapters]
    much = replace(
        of,
        judged={f"defense_{n}": Judgement(flags) for n in range(14)},
        untested=[("risk 0", SAYS)] * 50,
        chapters=chapters,
    )
    (tmp_path / "a.html").write_text(render_cut(much, reader), encoding="utf-8")
    browser.open(tmp_path / "a.html")
    assert pages_of(browser.printed()) == 1
    assert "Left out, so that this is one page" in browser.run("document.body.textContent")


@pytest.mark.parametrize("name", ["facts.html", "privacy.html"])
def test_so_it_is_of_the_real_risks(browser, evaluated, name):
    """All three recipes of the tiny clinic are flagged, with up to four flags beside each name."""
    browser.open(evaluated.folder / name)
    assert pages_of(browser.printed()) == 1


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_pages_of_the_real_risks_fit_and_ask_for_nothing(browser, evaluated, name, width):
    browser.open(evaluated.folder / name, width)
    assert browser.run(OVERFLOW) == []
    assert browser.requests() == []


def test_a_long_page_is_more_than_one_page_of_paper(browser, folder):
    browser.open(folder / "report.html")
    assert pages_of(browser.printed()) > 1


def test_a_column_is_sorted_by_its_numbers_and_back(browser, tmp_path):
    table = pd.DataFrame({"who": ["a", "b", "c"], "much": ["9.5 (1 to 10)", "-0.5", "10.0"]})
    one = replace(NOTHING, chapters=[Chapter("A chapter", [Table(table, "numbers")])])
    (tmp_path / "a.html").write_text(render(one, patients=True), encoding="utf-8")
    browser.open(tmp_path / "a.html")
    order = "[...document.querySelectorAll('tbody th')].map(one => one.textContent).join('')"
    assert browser.run(order) == "abc"
    for said in ("bac", "cab"):
        browser.run("document.querySelectorAll('thead button')[1].click()")
        assert browser.run(order) == said
    assert browser.run("document.querySelectorAll('th')[1].ariaSort") == "descending"


def test_folds_open_all_at_once_and_without_script_nothing_is_missing(browser, folder):
    browser.open(folder / "report.html")
    count = "document.querySelectorAll('details[open]').length"
    assert browser.run(count) == 0
    browser.run("document.querySelector('nav button').click()")
    assert browser.run(count) == browser.run("document.querySelectorAll('details').length") > 0
    words = "document.querySelector('main').textContent.replace(/\\s+/g, ' ')"
    with_script = browser.run(words)
    browser("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(folder / "report.html")
        assert browser.run(words) == with_script
        assert browser.run("document.querySelector('nav button')") is None
    finally:
        browser("Emulation.setScriptExecutionDisabled", value=False)


def test_the_first_screen_shows_the_verdict_the_picture_and_the_matrix(browser, folder):
    browser.open(folder / "report.html")
    top = "document.querySelector('{}').getBoundingClientRect().top"
    tops = [browser.run(top.format(what)) for what in ("h1", ".verdict li", ".verdict svg")]
    assert tops == sorted(tops)
    assert np.all(np.array(tops) < 900)
