"""The chapter on images says what was found, the control beside it, and what the rule says."""

from dataclasses import replace

import pandas as pd
import pytest

import handwritten
import parts
from pipeline.presentation.chapter import Chapter
from pipeline.risks.inversion.image_report import conclusion, image_parts, sentence
from pipeline.risks.inversion.image_tables import REBUILT, TOLD
from pipeline.risks.inversion.risk import RISK
from pipeline.risks.inversion.tables import image_tables
from pipeline.risks.risk import Context
from risks.inversion.made_up import SCANS, seen


@pytest.fixture(scope="module")
def context():
    return Context(SCANS, handwritten.configured(report={"patients": "hidden"}))


@pytest.fixture(scope="module")
def tables(context):
    blurred = replace(seen(), rebuilt={kind: one + 1 for kind, one in seen().rebuilt.items()})
    return image_tables({"baseline": seen(), "other": blurred}, context)


def test_the_sentence_names_finding_control_and_number(tables, context):
    said = sentence(tables, context)
    for part in ("1.00 (1.00 to 1.00, 4 images)", "[public mean: 0.", "dp_train -1.00"):
        assert part in said
    alone = {**tables, TOLD: tables[TOLD][tables[TOLD]["source"] != "private"]}
    assert "dp_train" not in sentence(alone, context)


@pytest.mark.parametrize("answer", ["yes", "no", "not told apart"])
def test_the_rule_is_said_of_each_attacker(tables, answer):
    said = conclusion({TOLD: tables[TOLD].assign(finding=answer)})
    assert f": {answer.capitalize()}, from one plain update (+0." in said
    assert said.count("from ") == 3
    assert said.lower().count(f"{answer}, from") == 1


def test_the_chapter_and_the_first_screen_say_the_same(tables, context, tmp_path):
    (chapter,) = RISK.chapters(tables, context, tmp_path)
    found = RISK.finding(tables, context)
    assert found.defense == "baseline"
    assert chapter.result.startswith(found.whole)
    assert "Against no defense, not told apart: other" in chapter.result
    brief = Chapter("", chapter.brief["privacy"])
    assert parts.items(brief)["A person's image"] == found.whole
    assert parts.is_short(chapter)


def test_every_row_is_shown_with_its_control(tables, context, tmp_path):
    shown = image_parts(tables, context, tmp_path)
    assert not list(tmp_path.iterdir())  # no picture where no patient is shown
    own, *_ = parts.tables(Chapter("", shown))
    assert own["more is told"].tolist() == tables[TOLD]["finding"].tolist()[:3]
    assert own["images"].tolist() == ["4", "4", "3"]
    assert all("(" in cell for cell in own["control: public mean"])


def test_images_are_drawn_where_they_may_be_shown(tables, context, tmp_path):
    lines = [
        {"defense": "baseline", "kind": kind, "place": place, "height": 2, "pixels": "00ff7f80"}
        for kind in ("original", "control", "plain")
        for place in range(2)
    ]
    shown = image_parts({**tables, REBUILT: pd.DataFrame(lines)}, context, tmp_path)
    (path,) = parts.pictures(Chapter("", shown))
    assert path.name == "image_updates.svg"
    assert path.read_text().count("<image") == 6
