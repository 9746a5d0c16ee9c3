"""What is written of an evaluation: all flags, never nothing untested, readers get their part."""

from dataclasses import replace

import pytest

from pipeline.presentation.chapter import Chapter, Finding, Note, Picture
from pipeline.report.contents import FEW, NEVER_TESTED, contents_of, told_by_all
from pipeline.report.overview import RULE
from pipeline.risks.conclusions import Conclusions
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from report.made_up import RUMOUR, SILENCE, only_risks

LABEL = "masked [masked mouth, deaf]"


@pytest.fixture
def contents(monkeypatch, dataset, cfg, tmp_path):
    def contents(*risks, cfg=cfg, more=()):
        only_risks(monkeypatch, *risks)
        context = Context(dataset, cfg)
        results = draw_up_all(Sources({}), context)
        found = Conclusions.of(results, cfg)
        context = replace(context, judged=found.judged)
        told = told_by_all(results, context, tmp_path)
        return contents_of(told, results, context, found, {"all": more})

    return contents


def test_findings_are_those_of_risks_that_found_something_with_flags(contents):
    found = contents(SILENCE, RUMOUR).findings
    assert found == [("rumour", Finding(f"Of {LABEL} 2 of 3 listeners hear.", "masked"))]


def test_what_was_not_tested_is_never_nothing_and_names_who_was_left_out(contents):
    assert contents(RUMOUR).untested == [("rumour", "Whispers."), ("", NEVER_TESTED)]
    said = contents(RUMOUR, SILENCE).untested
    left_out = ("", "Not measured in this audit: silence.")
    assert said == [("rumour", "Whispers."), left_out, ("", NEVER_TESTED)]


def test_early_chapters_stand_first_and_a_risk_is_found_by_its_first_other_one(contents):
    told = [Chapter("One", [], early=True), Chapter("Two", []), Chapter("Three", [])]
    spoken = replace(SILENCE, written=lambda *_: told)
    one = contents(RUMOUR, spoken)
    assert [chapter.title for chapter in one.chapters] == ["One", "What is told", "Two", "Three"]
    assert one.places == {"rumour": "what-is-told", "silence": "two"}
    assert one.owners == {
        "what-is-told": "rumour", "one": "silence", "two": "silence", "three": "silence",
    }  # fmt: skip


def test_the_cover_is_the_first_there_is(contents, tmp_path):
    assert contents(RUMOUR).cover is None
    first, second = (Picture(tmp_path / f"{name}.svg", name) for name in "ab")
    risks = [replace(SILENCE, front=lambda *_: first), replace(RUMOUR, front=lambda *_: second)]
    assert contents(*risks).cover == first


def test_a_reader_gets_what_is_meant_for_them(contents):
    loud = replace(
        SILENCE,
        written=lambda *_: [Chapter("Loud", [], "", {"clinician": [Note("a")]})],
        worst=lambda *_: Finding("Loud."),
    )
    one = contents(RUMOUR, loud)
    assert [title for title, _ in one.brief("clinician")] == ["Loud"]
    assert [title for title, _ in one.brief("privacy")] == ["What is told"]
    assert one.brief("privacy")[0][1][0] == Note(f"{LABEL} tells little.")
    assert [found.text for found in one.findings_for("clinician")] == ["Loud."]
    quiet = replace(loud, written=lambda *_: [Chapter("Loud", [])])
    assert len(contents(RUMOUR, quiet).findings_for("clinician")) == 2  # nobody has a part: all


def test_the_notes_say_the_rule_and_what_is_hidden(contents, cfg):
    shown, hidden = (
        contents(
            RUMOUR,
            cfg=cfg.model_copy(
                update={"report": cfg.report.model_copy(update={"patients": which})}
            ),
        )
        for which in ("shown", "hidden")
    )
    assert RULE in shown.notes
    assert FEW not in shown.notes
    assert FEW in hidden.notes


def test_who_is_best_is_said_with_flags(contents):
    ((figure, said),) = contents(RUMOUR).conclusions
    assert figure == "heard from two tongues"
    assert said == f"hard; flagged, hence never best: {LABEL}"


def test_chapters_of_no_single_risk_stand_last(contents):
    one = contents(RUMOUR, more=[Chapter("Catalogues", [])])
    assert [chapter.title for chapter in one.chapters] == ["What is told", "Catalogues"]
    assert one.owners["catalogues"] == "all"
