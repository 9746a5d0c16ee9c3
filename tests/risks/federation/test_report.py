"""The federation as people read it: the worst first, what is told apart, what is not claimed."""

import pytest

import parts
from pipeline.risks.federation.report import COHORT, chapters, finding, untested
from pipeline.risks.risk import Context
from risks.federation import made_up


@pytest.fixture
def context(cfg, dataset):
    return Context(dataset, cfg)


@pytest.fixture
def tables(tmp_path, context):
    return made_up.tables(tmp_path, context)


def test_the_result_says_the_worst_attack_what_was_before_and_the_best_rule(
    tables, context, tmp_path
):
    first, second, _ = chapters(tables, context, tmp_path)
    assert first.result.startswith("1 hostile of 8 hospitals (boost) leaves 0.")
    assert "without it" in first.result
    assert "The worst attack on " in first.result
    assert "1.000 (" in second.result  # single records are read exactly
    assert "AUROC" in second.result
    found = finding(tables, context)
    assert found.text == first.result
    assert found.more == COHORT


def test_conclusions_are_those_of_the_table(tables, context, tmp_path):
    said = parts.items(chapters(tables, context, tmp_path)[0])
    assert "boost (right answers -0." in said["8 hospitals, mean"]
    verdicts = tables["federation_verdicts"]
    verdicts["verdict"] = "not told apart"
    said = parts.items(chapters(tables, context, tmp_path)[0])
    assert said["8 hospitals, mean"].startswith("no attack is told apart from none; a loss of")
    assert said["8 hospitals, krum"].endswith("nothing that is told apart.")
    verdicts["verdict"] = "worse"
    said = parts.items(chapters(tables, context, tmp_path)[0])
    assert "it costs, beside the mean, right answers" in said["8 hospitals, krum"]


def test_a_backdoor_stands_beside_the_same_trigger_without_attack(tables, context, tmp_path):
    said = parts.items(chapters(tables, context, tmp_path)[0])
    assert "(0.000 without attack)" in said["A trigger hides, of the ill"]


def test_who_finds_members_is_compared_with_the_end_alone(tables, context, tmp_path):
    said = parts.items(chapters(tables, context, tmp_path)[1])
    assert "alone different (+0." in said["server, each hospital's steps"]


def test_both_chapters_are_short_and_no_figure_stands_bare(tables, context, tmp_path):
    hostile, read, _ = chapters(tables, context, tmp_path)
    assert parts.is_short(hostile)
    assert parts.is_short(read)
    assert parts.bare_numbers(parts.tables(hostile)[0]) == []
    assert parts.bare_numbers(parts.tables(read)[0], "records") == []


def test_that_the_hospitals_are_no_real_ones_stands_open(tables, context, tmp_path):
    first = chapters(tables, context, tmp_path)[0]
    assert COHORT in [getattr(part, "text", "") for part in first.parts]


def test_without_measurements_nothing_is_claimed(context, tmp_path):
    assert chapters({}, context, tmp_path) == ()
    assert finding({}, context) is None
    assert untested({}, context) == ()
