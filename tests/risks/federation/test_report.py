"""The federation as people read it: the worst first, what is told apart, what is not claimed."""

import pytest

import parts
from pipeline.risks.federation.report import COHORT, chapters, finding, untested
from pipeline.risks.risk import Context
from risks.federation import made_up


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    parts.undrawn(monkeypatch)


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


def test_conclusions_are_those_of_the_tables(tables, context, tmp_path):
    said = parts.items(chapters(tables, context, tmp_path)[0])
    ours = ["8 hospitals, 1 hostile", "4 hospitals, 1 hostile", "8 hospitals, 2 hostile"]
    assert {*ours, "8 hospitals, 1 hostile, private"} < set(said)
    assert "mean gives way (" in said["8 hospitals, 1 hostile"]
    verdicts, rules = tables["federation_verdicts"], tables["federation_rules"]
    rules["verdict"], rules["why"], verdicts["verdict"] = "stands", "", "not told apart"
    first = chapters(tables, context, tmp_path)[0]
    said = parts.items(first)["8 hospitals, 1 hostile"]
    assert said.startswith("mean stands; median stands")
    assert said.endswith("they cost, beside the mean, nothing that is told apart.")
    assert "every attack is stood by median" in first.result
    rules["verdict"], rules["why"], verdicts["verdict"] = "not told", "flips", "worse"
    first = chapters(tables, context, tmp_path)[0]
    said = parts.items(first)["8 hospitals, 1 hostile"]
    assert "krum is not told to stand (flips)" in said
    assert "krum right answers " in said
    assert "no rule is told to stand all" in first.result


def test_a_backdoor_stands_beside_the_same_trigger_without_attack(tables, context, tmp_path):
    said = parts.items(chapters(tables, context, tmp_path)[0])
    assert "(0.000 without attack)" in said["A trigger hides, of the ill"]


def test_who_finds_members_is_compared_with_the_end_alone(tables, context, tmp_path):
    said = parts.items(chapters(tables, context, tmp_path)[1])
    assert "alone different (+0." in said["server, each hospital's steps"]
    assert "The claim allows" not in said["server, each hospital's steps"]
    assert "The claim allows 0.714" in said["server, private, each hospital's steps"]


def test_both_chapters_are_short_and_no_figure_stands_bare(tables, context, tmp_path):
    hostile, read, _ = chapters(tables, context, tmp_path)
    assert parts.is_short(hostile)
    assert parts.is_short(read)
    assert parts.bare_numbers(parts.tables(hostile)[0]) == []
    assert len(parts.pictures(hostile)) == 1
    assert parts.bare_numbers(parts.tables(read)[0], "records") == []


def test_that_the_hospitals_are_no_real_ones_stands_open(tables, context, tmp_path):
    first = chapters(tables, context, tmp_path)[0]
    assert COHORT in [getattr(part, "text", "") for part in first.parts]


def test_without_measurements_nothing_is_claimed(context, tmp_path):
    assert chapters({}, context, tmp_path) == ()
    assert finding({}, context) is None
    assert untested({}, context) == ()
