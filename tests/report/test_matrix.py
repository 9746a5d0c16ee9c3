"""The matrix: undefended first, a word where the interval decides, no praise of a flagged one."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.report.matrix import DOUBTED, MARKS, Cell, matrix_of
from pipeline.risks.conclusions import NOT_COMPARED, headline_table, questions
from pipeline.risks.risk import HeadlineFigure, Judgement
from report.made_up import RUMOUR, only_risks

FLAGGED = Judgement({"masked_gradients": "why", "deaf": "why"})
JUDGED = {"hard": Judgement(), "masked": FLAGGED, "baseline": Judgement(), "soft": Judgement()}


def figure(good, values, **said):
    table = pd.DataFrame({"value": values}).astype(float).rename_axis("defense")
    table = table.assign(low=table["value"] - 0.01, high=table["value"] + 0.01)
    pairs = pd.DataFrame(
        [
            {"defense": a, "other": b, "difference": values[a] - values[b], "se": 0.01}
            for a in values
            for b in values
            if a != b
        ]
    ).assign(patients=400)
    return HeadlineFigure("found", good, table, pairs, **said)


@pytest.fixture
def drawn(monkeypatch, cfg):
    def drawn(*figures):
        talker = replace(RUMOUR, headline=lambda tables, cfg: figures)
        only_risks(monkeypatch, talker)
        asked = questions({"rumour": {}}, cfg)
        return matrix_of(asked, headline_table(asked, 0.95), JUDGED)

    return drawn


VALUES = {"baseline": 0.5, "hard": 0.7, "soft": 0.51, "masked": 0.9}


def test_what_is_weighed_decides_and_of_each_risk_the_first_figure(drawn):
    first, second, third = (figure("high", VALUES, weighed=weighed) for weighed in (0, 1, 0))
    named = [replace(one, figure=f"found {n}") for n, one in enumerate((first, second, third))]
    assert [row.decides for row in drawn(*named).rows] == [True, True, False]


def test_the_undefended_models_come_first_and_flags_stand_beside_names(drawn):
    columns = drawn(figure("high", VALUES)).columns
    assert columns == [
        ("baseline", ""),
        ("hard", ""),
        ("masked", "masked gradients, deaf"),
        ("soft", ""),
    ]


@pytest.mark.parametrize(("good", "hard"), [("high", "better"), ("low", "worse")])
def test_a_cell_is_coloured_only_where_the_paired_interval_decides(drawn, good, hard):
    (row,) = drawn(figure(good, VALUES)).rows
    undefended, decided, masked, untold = row.cells
    assert decided == Cell("0.700", "0.690 to 0.710", MARKS[hard], hard)
    assert untold == Cell("0.510", "0.500 to 0.520")
    assert undefended == Cell("0.500", "0.490 to 0.510")
    assert masked.flagged


def test_a_flagged_defense_is_never_coloured_as_better_but_as_worse(drawn):
    better, worse = (drawn(figure(good, VALUES)).rows[0].cells[2] for good in ("high", "low"))
    assert (better.word, better.tone, better.flagged) == (DOUBTED, "", True)
    assert (worse.word, worse.tone, worse.flagged) == (MARKS["worse"], "worse", True)


def test_a_missing_figure_is_empty_and_one_without_a_pair_is_not_compared(drawn):
    only = {name: VALUES[name] for name in ("baseline", "hard")}
    (row,) = drawn(figure("high", only)).rows
    assert len(row.cells) == 2 + 2
    assert row.cells[2:] == [Cell(flagged=True), Cell()]
    (row,) = drawn(replace(figure("high", only), pairs=None)).rows
    assert row.cells[1] == Cell("0.700", "0.690 to 0.710", NOT_COMPARED)


def test_a_row_says_whose_it_is_among_whom_and_who_attacks(drawn):
    said = {"among": "268 ill patients", "threat": "forges lab values, eps 0.3"}
    (row,) = drawn(figure("zero", VALUES, **said)).rows
    assert (row.risk, row.figure, row.good) == ("rumour", "found", "0 is best")
    assert (row.among, row.threat) == ("268 ill patients", "forges lab values, eps 0.3")
