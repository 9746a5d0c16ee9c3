"""The guard as people read it: the promise, where it ends, and what it costs."""

import pandas as pd
import pytest

import parts
from pipeline.presentation.chapter import Items, Picture
from pipeline.risks.guard.alarms import alarm_table
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.guard.report import chapters, finding, untested
from pipeline.risks.guard.tables import (
    attack_table,
    membership_table,
    price_table,
    theft_table,
    verdict_table,
)
from pipeline.risks.risk import Context
from pipeline.statistics.intervals import Sampling
from risks.guard import made_up


@pytest.fixture
def context(cfg, dataset):
    return Context(dataset, cfg)


@pytest.fixture
def tables(context):
    sampling, wanted = Sampling(100, 0.95, 0), context.cfg.section(GuardSettings)
    passed = {"baseline": made_up.passed(120), "adv_train": made_up.passed(120, seed=1)}
    taken = {name: made_up.taken(120) for name in passed}
    return {
        "guard_price": price_table(passed, context, sampling),
        "guard_attacks": attack_table(passed, sampling),
        "guard_verdicts": verdict_table(passed, sampling),
        "guard_theft": theft_table(taken, wanted, sampling),
        "guard_membership": membership_table(taken, wanted, sampling),
        "guard_alarms": alarm_table(passed, wanted, sampling, 0),
    }


def told(chapter):
    (items,) = [part for part in chapter.parts if isinstance(part, Items)]
    return items.entries


def test_the_result_says_what_is_promised_and_where_it_ends(tables, context, tmp_path):
    first, second = chapters(tables, context, tmp_path)
    assert "Nobody who reaches at most so far turns an answer: proved, and attacked" in first.result
    assert "2 times as far turns" in first.result
    assert "without the guard" in second.result
    assert finding(tables, context).text == first.result
    names = [name for name, _ in told(first)]
    assert {"Another recipe", "A larger radius", "Who is referred", "Where it ends"} == {*names}


def test_where_somebody_passed_within_r_nothing_is_promised(tables, context, tmp_path):
    attacks = tables["guard_attacks"]
    attacks.loc[attacks["proved_none"], "passed"] = 0.01
    assert "attacked in vain" not in chapters(tables, context, tmp_path)[0].result


def test_conclusions_are_those_of_the_table(tables, context, tmp_path):
    verdicts = tables["guard_verdicts"]
    verdicts["verdict"] = "not told apart"
    said = dict(told(chapters(tables, context, tmp_path)[0]))
    assert " by " not in said["A larger radius"]
    verdicts["verdict"] = "better"
    said = dict(told(chapters(tables, context, tmp_path)[0]))
    assert "fewer wrong answers: better by " in said["A larger radius"]


def test_both_chapters_are_short_and_no_figure_stands_bare(tables, context, tmp_path):
    for chapter in chapters(tables, context, tmp_path):
        assert parts.is_short(chapter)
    price = parts.tables(chapters(tables, context, tmp_path)[0])[0]
    assert parts.bare_numbers(price, "r") == []


def test_the_picture_says_in_words_where_lines_end(tables, context, tmp_path):
    (picture,) = [
        part for part in chapters(tables, context, tmp_path)[0].parts if isinstance(part, Picture)
    ]
    assert picture.path.exists()
    assert "baseline, r 0.1 0." in picture.shows


def test_an_attacker_who_is_not_seen_is_said_not_to_be(tables, context, tmp_path):
    said = [text for _, text in told(chapters(tables, context, tmp_path)[1])]
    assert any("adaptive" in text and "not seen" in text for text in said)
    assert any("nearest" in text and "seen after" in text for text in said)


def test_without_measurements_nothing_is_claimed(context, tmp_path):
    assert chapters({}, context, tmp_path) == ()
    assert finding({}, context) is None
    assert "not measured" in untested({}, context)[0]
    assert len(untested({"guard_price": pd.DataFrame()}, context)) == 2


def test_without_another_repetition_nothing_is_said_of_members(tables, context, tmp_path):
    left = {name: table for name, table in tables.items() if name != "guard_membership"}
    said = str(chapters(left, context, tmp_path))
    assert "Members are told" not in said
    assert "Members are told" in str(chapters(tables, context, tmp_path))
