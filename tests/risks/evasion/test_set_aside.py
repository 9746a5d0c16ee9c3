"""Parts of a split side by side, by hand, and what follows for the cut."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from pipeline.risks.evasion.measure.set_aside import SetAside
from pipeline.risks.evasion.set_aside import (
    COLUMNS,
    LESS,
    TEST,
    TRAIN,
    TUNE,
    in_words,
    split_table,
    transfers,
)
from pipeline.statistics.intervals import Sampling

SAMPLING = Sampling(400, 0.95, 0)
N = 400


def answered(*, clear=True, more_ill=True) -> SetAside:
    """Tune: three of four ill and told apart, if wanted; test: half ill, a quarter told wrongly."""
    part = torch.arange(N) % 4  # 0 train, 1 tune, 2 and 3 test
    tune, test, train = part == 1, part >= 2, part == 0
    place = torch.arange(N) // 4
    y = torch.where(tune & more_ill, (place % 4 > 0).long(), place % 2)
    wrong = (place // 4 % 4 == 0) & (test | (tune & (not clear)))
    score = torch.where(wrong, 1 - 2 * y, 2 * y - 1).double() * (1 + place / 1000)
    score = torch.where(train, torch.nan, score)
    rows = (one.expand(2, -1) for one in (tune, test, train))
    cut = torch.zeros(2, dtype=torch.float64)
    return SetAside(score.expand(2, -1), *rows, cut, y)


def lines(one) -> pd.DataFrame:
    return split_table({"baseline": one}, SAMPLING).set_index("part")


def test_each_part_by_hand():
    table = lines(answered())
    assert table.index.tolist() == [TRAIN, TUNE, TEST, LESS]
    assert table["patients"].tolist()[:3] == [100, 100, 200]
    assert table["ill"].tolist()[:3] == [50, 75, 100]
    assert table["prevalence"].tolist() == pytest.approx([0.5, 0.75, 0.5, 0.25])
    assert table.loc[TUNE, ["auroc", "sensitivity", "specificity"]].tolist() == [1.0, 1.0, 1.0]
    assert table.loc[TEST, "sensitivity"] == pytest.approx(0.74, abs=0.03)
    assert table.loc[LESS, "auroc"] == pytest.approx(1 - table.loc[TEST, "auroc"])
    assert pd.isna(table.loc[TRAIN, "auroc"])
    for name in ("prevalence", "auroc", "sensitivity", "specificity"):
        own = table.dropna(subset=name)
        assert (own[f"{name}_low"] <= own[name]).all()
        assert (own[name] <= own[f"{name}_high"]).all()


def test_the_cut_of_each_model_is_where_it_calls_ill():
    one = answered()
    moved = replace(one, cut=torch.tensor([0.0, 9.0], dtype=torch.float64))  # one calls nobody ill
    table = lines(moved)
    assert table.loc[TUNE, "sensitivity"] == pytest.approx(0.5)
    assert table.loc[TUNE, "auroc"] == 1.0


@pytest.mark.parametrize(
    ("clear", "more_ill", "expected"),
    [
        (True, True, "are easier (AUROC 1.000 against 0."),
        (True, False, "are easier"),
        (False, True, "have more ill (share 0.750 against 0.500)"),
        (False, False, "not told apart from the test records"),
    ],
)
def test_the_rule(clear, more_ill, expected):
    table = split_table({"baseline": answered(clear=clear, more_ill=more_ill)}, SAMPLING)
    said = transfers(table, "baseline")
    assert expected in said
    assert ("does not transfer fully" in said) == (clear or more_ill)
    assert ("have more ill" in said) == more_ill
    assert ("easier" in said) == clear


def test_the_other_way_round_is_said_so():
    one = answered()
    turned = replace(one, tune=one.test, test=one.tune)
    said = transfers(split_table({"baseline": turned}, SAMPLING), "baseline")
    assert "are harder" in said
    assert "have fewer ill (share 0.500 against 0.750)" in said


def test_nobody_set_aside_nothing_said():
    assert transfers(split_table({}, SAMPLING), "baseline") == ""


def test_every_column_is_explained_and_shown_with_its_interval():
    table = split_table({"baseline": answered()}, SAMPLING)
    plain = {name.removesuffix("_low").removesuffix("_high") for name in table}
    assert plain == set(COLUMNS["split"])
    shown = in_words(table, {"baseline": "baseline"})
    assert shown["AUROC"].tolist()[0] == "-"
    assert all("(" in cell for cell in shown["share of the ill"])


def test_of_a_defense_that_nobody_set_anything_aside_for_nothing_is_said():
    table = split_table({"seda": answered()}, SAMPLING)
    assert transfers(table, "seda")
    assert transfers(table, "baseline") == ""
