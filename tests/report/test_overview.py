"""One line per figure: a flagged defense never wins, and better is better at either end."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.report.overview import headline_table, in_words, overview_table
from pipeline.risks.risk import BOUNDS, HeadlineFigure, Judgement
from report.made_up import HEARD, RUMOUR, SILENCE, only_risks

JUDGED = {name: Judgement() for name in ("baseline", "soft", "hard")}
JUDGED["masked"] = Judgement({"masked_gradients": "why"})


def figure(name, good, **values):
    """A headline figure by defense, with an interval of 0.01 on either side."""
    table = pd.DataFrame({"value": values}).astype(float)
    table = table.assign(low=table["value"] - 0.01, high=table["value"] + 0.01)
    return HeadlineFigure(name, good, table.rename_axis("defense"))


def lines_of(monkeypatch, *figures, judged=JUDGED):
    """The overview of two risks that say the same figures, of which one says nothing."""
    talker = replace(RUMOUR, headline=lambda tables, cfg: figures)
    only_risks(monkeypatch, talker, SILENCE)
    return overview_table(headline_table({"rumour": {}, "silence": {}}, None), judged)


def test_the_headline_table_has_a_row_per_figure_and_defense(monkeypatch):
    only_risks(monkeypatch, SILENCE, RUMOUR)
    table = headline_table({"silence": {}, "rumour": {"rumour": HEARD}}, None)
    assert list(table) == ["risk", "figure", "good", "defense", *BOUNDS]
    assert table[["risk", "good", "defense"]].to_numpy().tolist() == [
        ["rumour", "low", name] for name in ("baseline", "hard", "masked")
    ]
    assert table["value"].tolist() == [0.666667, 0.2, 0.05]  # as the file holds them


def test_a_line_per_figure_in_the_order_of_risks(monkeypatch):
    first, second = (figure(name, "low", baseline=1, hard=0.5) for name in ("b", "a"))
    assert lines_of(monkeypatch, first, second)["figure"].tolist() == ["b", "a"]


@pytest.mark.parametrize(("good", "best"), [("high", "soft"), ("low", "hard")])
def test_the_best_defense_is_the_one_at_the_good_end(monkeypatch, good, best):
    values = {"baseline": 0.5, "hard": 0.3, "soft": 0.7}
    line = lines_of(monkeypatch, figure("a", good, **values)).iloc[0]
    assert (line["defense"], line["best"], line["undefended"]) == (best, values[best], 0.5)
    assert line[["best_low", "best_high"]].tolist() == pytest.approx(
        [values[best] - 0.01, values[best] + 0.01]
    )


def test_a_flagged_defense_never_wins(monkeypatch):
    line = lines_of(monkeypatch, figure("a", "high", baseline=0.6, hard=0.7, masked=0.9)).iloc[0]
    assert (line["defense"], line["best"]) == ("hard", 0.7)


@pytest.mark.parametrize("hard", [0.6, 0.5, math.nan])
def test_where_no_defense_does_better_none_is_named(monkeypatch, hard):
    table = lines_of(monkeypatch, figure("a", "high", baseline=0.6, hard=hard))
    assert table["defense"].tolist() == [""]
    assert np.isnan(table["best"][0])
    assert table["undefended"][0] == 0.6
    assert in_words(table)["best defense"].tolist() == ["no defense does better"]


@pytest.mark.parametrize("undefended", [{}, {"baseline": math.nan}])
def test_without_a_baseline_the_best_is_still_named(monkeypatch, undefended):
    table = lines_of(monkeypatch, figure("a", "high", hard=0.6, soft=0.5, **undefended))
    assert np.isnan(table["undefended"][0])
    assert table["defense"].tolist() == ["hard"]
    assert in_words(table)["undefended"].tolist() == ["-"]


def test_without_a_figure_there_is_no_line(monkeypatch):
    table = lines_of(monkeypatch)
    assert len(table) == 0
    assert len(in_words(table)) == 0
    assert {"risk", "figure", "undefended_low", "defense", "best_high"} <= set(table)


def test_one_defense_twice_in_a_figure_is_an_error(monkeypatch):
    one = figure("a", "high", baseline=0.5)
    twice = replace(one, table=pd.concat([one.table, one.table]))
    with pytest.raises(ValueError, match="unique"):
        lines_of(monkeypatch, twice)


def test_words_carry_the_interval(monkeypatch):
    said = in_words(lines_of(monkeypatch, figure("a", "low", baseline=0.6, hard=0.58))).iloc[0]
    assert said.tolist() == [
        "rumour",
        "a",
        "low",
        "0.600 (0.590 to 0.610)",
        "0.580 (0.570 to 0.590)  hard",
    ]


def test_a_headline_figure_finds_its_bounds_by_their_names_or_where_it_is_told():
    lines = HEARD[HEARD["tongues"] == 2].assign(least=0.0)
    usual = HeadlineFigure.of("a", "low", lines, "heard").table
    told = HeadlineFigure.of("a", "low", lines, "heard", "least", "heard_high").table
    assert usual["low"].tolist() == lines["heard_low"].tolist()
    assert told["low"].tolist() == [0.0] * 3
    assert list(usual) == list(told) == list(BOUNDS)
    assert usual.index.tolist() == ["baseline", "hard", "masked"]
