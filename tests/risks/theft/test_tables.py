"""Figures of copies: known answers, honest intervals, and what is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import handwritten
import kinds
import tiny
from pipeline.config import AuditConfig
from pipeline.risks.risk import Context, Sources
from pipeline.risks.theft.measure.copies import TRUE_LABELS
from pipeline.risks.theft.measure.stolen import Theft
from pipeline.risks.theft.measure.victims import PLAIN
from pipeline.risks.theft.tables import (
    api_table,
    draw_up,
    headline_copies,
    headline_pairs,
    theft_table,
)
from pipeline.standards import ATLAS, NIST, OWASP
from risks.theft.made_up import made_up

CFG = AuditConfig(
    eps=[0.0, 0.1], headline="clinical", headline_eps=0.1, confidence=0.95, resamples=200
)


@pytest.fixture(scope="module")
def stolen():
    return made_up(0.8)


@pytest.fixture(scope="module")
def table(stolen):
    return theft_table({"baseline": stolen, "other": made_up(1.0)}, tiny.sampling(CFG))


def test_a_row_for_each_defense_and_attacker(table):
    assert table[["defense", "strategy"]].to_numpy().tolist() == [
        ["baseline", "public"],
        ["baseline", TRUE_LABELS],
        ["other", "public"],
        ["other", TRUE_LABELS],
    ]
    assert table["queries"].tolist() == [100, 0, 100, 0]


def test_fidelity_is_the_share_of_test_patients_by_hand(table, stolen):
    same = (stolen.log_odds[:2] > 0) == (stolen.victims[PLAIN] > 0)
    assert table.loc[0, "fidelity"] == pytest.approx(float(same[stolen.test].float().mean()))
    right = (stolen.log_odds[:2] > 0).long() == stolen.y
    assert table.loc[0, "accuracy"] == pytest.approx(float(right[stolen.test].float().mean()))


def test_a_copy_of_the_same_weights_is_as_good_as_its_victim_in_everything(table):
    same = table[(table["defense"] == "other") & (table["strategy"] == "public")].iloc[0]
    assert (same["fidelity"], same["fidelity_high"]) == (1, 1)
    assert 0.9 < same["fidelity_low"] < 1  # of patients who were not asked nobody is sure
    assert same["uniform_fidelity"] == 1
    for name in ("accuracy", "auroc", "evasion", "membership"):
        assert same[name] == pytest.approx(same[f"victim_{name}"]), name


def test_figures_lie_inside_intervals_of_the_right_width(table, stolen):
    for name in (
        "fidelity",
        "uniform_fidelity",
        "accuracy",
        "auroc",
        "evasion",
        "membership",
        "victim_accuracy",
    ):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    share, tests = table.loc[0, "fidelity"], int(stolen.test.sum())
    width = table.loc[0, "fidelity_high"] - table.loc[0, "fidelity_low"]
    assert width == pytest.approx(2 * 1.96 * (share * (1 - share) / tests) ** 0.5, rel=0.25)


def test_only_rightly_answered_test_patients_can_be_broken(table, stolen):
    right = ((stolen.victims[PLAIN] > 0).long() == stolen.y) & stolen.test
    assert table.loc[0, "evasion"] == pytest.approx(float(stolen.broken[:2][right].float().mean()))


def test_membership_compares_members_with_test_patients_alone(stolen):
    told = stolen.log_odds.clone()
    signs = torch.where(stolen.y == 1, 1.0, -1.0)
    known = torch.where(stolen.member, 9.0, torch.where(stolen.test, 1.0, 99.0)).repeat(
        2, 1
    )  # the attacker's: ignored
    betrayed = Theft(**{**vars(stolen), "log_odds": known * signs})
    assert theft_table({"baseline": betrayed}, tiny.sampling(CFG))["membership"].tolist() == [
        1.0,
        1.0,
    ]
    assert torch.equal(told, stolen.log_odds)


def test_figures_are_of_test_records_and_members_stand_beside_strangers(stolen):
    """Of an official split: whatever is said of other strangers moves membership alone."""
    test = stolen.test & (torch.arange(400) < 200)
    strangers = stolen.test & ~test
    reported = replace(stolen, test=test)
    table = theft_table({"baseline": reported}, tiny.sampling(CFG), strangers)
    signs = torch.where(stolen.y == 1, 1.0, -1.0)
    known = torch.where(stolen.member, 9.0, torch.where(strangers, 1.0, 99.0)).repeat(2, 1)
    betrayed = replace(reported, log_odds=known * signs)
    found = theft_table({"baseline": betrayed}, tiny.sampling(CFG), strangers)
    assert found["membership"].tolist() == [1.0, 1.0]
    moved = torch.where(strangers.repeat(2, 1), 5.0, stolen.log_odds)
    other = theft_table(
        {"baseline": replace(reported, log_odds=moved)}, tiny.sampling(CFG), strangers
    )
    same = [name for name in table if not name.startswith("membership")]
    assert other[same].equals(table[same])
    assert not other["membership"].equals(table["membership"])


def test_figures_of_an_official_split_are_drawn_up_of_its_test_records(stolen, tmp_path):
    cfg = handwritten.configured(
        plan={"kind": "official"}, theft={"recipes": ["baseline"], "headline": "public"}
    )
    split = torch.tensor([0] * 200 + [1] * 50 + [2] * 150)
    scans = replace(kinds.scans(400, seed=0), split=split)
    stolen.save(tmp_path / "theft" / "baseline")
    tables = draw_up(Sources({}, tmp_path), Context(scans, cfg))
    expected = theft_table(
        {"baseline": replace(stolen, test=stolen.test & (split == 2))},
        Context(scans, cfg).sampling,
        stolen.test & (split == 0),
    )
    assert tables["theft"].equals(expected)
    assert tables["theft"]["patients"].max() <= 150


def test_every_row_names_known_ids_but_for_diagnoses_of_ones_own(table):
    for column, known in (("atlas", ATLAS), ("nist", NIST), ("owasp", OWASP)):
        stolen_ids = table.loc[table["strategy"] == "public", column]
        assert all(one in known for ids in stolen_ids for one in ids.split())
        assert (table.loc[table["strategy"] == TRUE_LABELS, column] == "none").all()
    assert table["knowledge"].str.len().min() > 0


def test_what_an_answer_costs_an_honest_user(stolen, table):
    answers = api_table({"baseline": stolen}, table, tiny.sampling(CFG), "public", 100).set_index(
        "access"
    )
    test, y = stolen.test, stolen.y.expand(2, -1)
    for access in ("labels", "probabilities"):
        squares = (stolen.shown[f"{PLAIN}/{access}"] - y) ** 2
        assert answers.loc[access, "brier"] == pytest.approx(float(squares[test].mean()), rel=1e-5)
    assert answers.loc["labels", "brier"] > answers.loc["probabilities", "brier"]
    assert answers.loc["labels", "auroc"] < answers.loc["probabilities", "auroc"]
    assert answers.loc["labels", "fidelity"] == table.loc[0, "fidelity"]
    assert np.isnan(answers.loc["probabilities", "fidelity"])


def test_headline_copies_are_compared_on_the_patients_who_test_both(table, stolen):
    other = made_up(1.0)
    copies = headline_copies(table, 100)
    (line,) = headline_pairs(
        {"baseline": stolen, "other": other}, copies, tiny.sampling(CFG)
    ).to_dict("records")
    assert line["difference"] == pytest.approx(table.loc[2, "fidelity"] - table.loc[0, "fidelity"])
    assert (line["defense"], line["other"], line["patients"]) == ("other", "baseline", 400)
    # the other's copies agree everywhere: all that varies is who the first copies agree with
    width = table.loc[0, "fidelity_high"] - table.loc[0, "fidelity_low"]
    assert line["se"] == pytest.approx(width / (2 * 1.96), rel=0.1)
    assert table["victims"].tolist() == [2] * 4
