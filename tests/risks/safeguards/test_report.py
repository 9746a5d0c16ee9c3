"""Safeguards as people read them: missed diagnoses first, and conclusions that figures decide."""

import pandas as pd
import pytest

import parts
from pipeline.presentation.chapter import Items, Picture
from pipeline.risks.risk import Context
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.risks.safeguards.report import chapters, finding, untested
from pipeline.risks.safeguards.tables import conformal_table, referred_table, sanitised_table
from pipeline.risks.safeguards.verdicts import verdict_table
from pipeline.statistics.intervals import Sampling
from risks.safeguards import made_up


def drawn_up(context, gains=None):
    margins, referrals = made_up.margins(gains=gains), made_up.referrals()
    sampling, rates = Sampling(200, 0.95, 0), context.cfg.section(SafeguardsSettings).rates
    return {
        "sanitised": sanitised_table(margins, ["adv"], sampling),
        "referred": referred_table(referrals, rates, sampling),
        "conformal_sets": conformal_table(made_up.sets(), 0.1, sampling),
        "safeguard_verdicts": verdict_table(
            margins, referrals, beside=["adv"], rate=rates[0], eps=0.3, sampling=sampling
        ),
    }


@pytest.fixture
def context(cfg, dataset):
    return Context(dataset, cfg)


@pytest.fixture
def written(context, tmp_path):
    def write(gains=None):
        tables = drawn_up(context, gains)
        return tables, *chapters(tables, context, tmp_path)

    return write


def told(chapter):
    (items,) = [part for part in chapter.parts if isinstance(part, Items)]
    return dict(items.entries)


def test_missed_diagnoses_come_first_and_all_three_attackers_stand_in_a_row(written):
    tables, chapter, _ = written()
    shown = parts.tables(chapter)[0]
    assert list(shown[""]) == ["undefended", "mask", "help", "adv"]
    assert list(shown)[1:4] == ["missed, no attack", "missed, ignored", "missed, through"]
    eps = tables["sanitised"]["eps"]
    at = tables["sanitised"]
    line = at[
        (at["safeguard"] == "mask") & (at["attacker"] == "ignoring") & (eps == 0.1)
    ]  # the nearest
    assert shown.loc[1, "right, ignored"].startswith(f"{line['accuracy'].iloc[0]:.3f} (")


def test_only_what_survives_the_adaptive_attacker_is_said_to(written):
    said = told(written()[1])
    assert "sanitise: help;" in said["What survives"]
    assert "algorithms: adv." in said["What survives"]
    assert "not told apart: mask (it seems +" in said["Sanitise"]


def test_where_nothing_survives_it_says_so(written):
    gains = {"none": (0.0, 0.0), "mask": (1.5, 0.0), "adv": (0.0, 0.0)}
    said = told(written(gains)[1])
    assert "sanitise: nothing;" in said["What survives"]
    assert "algorithms: nothing." in said["What survives"]


def test_the_result_sets_the_claim_beside_the_truth(written, context):
    tables, chapter, _ = written()
    assert "where the attacker ignores it, and of" in chapter.result
    found = finding(tables, context)
    assert found.text == chapter.result
    assert found.defense == "baseline"


def test_every_rule_stands_beside_the_control(written):
    shown = parts.tables(written()[2])[0]
    assert list(shown["rule"]) == ["margin", "random", "proved radius", "adv: margin"]


def test_the_picture_says_in_words_where_lines_end(written, tmp_path):
    _, chapter, _ = written()
    (picture,) = [part for part in chapter.parts if isinstance(part, Picture)]
    assert picture.path.exists()
    for name in ("undefended", "mask", "help", "adv"):
        assert f"{name} 0." in picture.shows


def test_without_measurements_nothing_is_claimed(context, tmp_path):
    assert chapters({}, context, tmp_path) == ()
    assert finding({}, context) is None
    assert "not measured" in untested({}, context)[0]
    assert len(untested({"sanitised": pd.DataFrame()}, context)) == 2


def test_both_chapters_are_short_and_no_figure_stands_bare(written):
    for chapter, proved in zip(written()[1:], ([], ["none turned below eps"]), strict=True):
        assert parts.is_short(chapter)
        assert parts.bare_numbers(parts.tables(chapter)[0], *proved) == []


def test_the_second_result_names_the_control_and_what_is_proved(written):
    result = written()[2].result
    assert "by the margin alone" in result
    assert "of proved radius it is proved that no answer that was right passes" in result
