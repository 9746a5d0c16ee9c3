"""The overview in words: every defense with its interval and its verdict, and who is best."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from pipeline.report.overview import as_text, front_in_words, in_words
from pipeline.risks.conclusions import Front, headline_table, overview_table, questions
from pipeline.risks.risk import BOUNDS, HeadlineFigure, Judgement
from report.made_up import HEARD, RUMOUR, SILENCE, only_risks

JUDGED = {name: Judgement() for name in ("baseline", "soft", "hard")}
JUDGED["masked"] = Judgement({"masked_gradients": "why"})
VALUES = {"baseline": 0.5, "soft": 0.51, "hard": 0.7, "masked": 0.9}


def figure(name="a", good="high", se=0.01, paired=True, **values):
    """A headline figure by defense, with an interval of 0.01 on either side."""
    table = pd.DataFrame({"value": values}).astype(float)
    table = table.assign(low=table["value"] - 0.01, high=table["value"] + 0.01)
    pairs = pd.DataFrame(
        [
            {"defense": a, "other": b, "difference": values[a] - values[b], "se": se}
            for a in values
            for b in values
            if a != b
        ]
    ).assign(figure=name, patients=400)
    return HeadlineFigure(name, good, table.rename_axis("defense"), pairs if paired else None)


@pytest.fixture
def words(monkeypatch, cfg):
    """The overview of two risks, of which one says nothing."""

    def words(*figures, judged=JUDGED):
        talker = replace(RUMOUR, headline=lambda tables, cfg: figures)
        only_risks(monkeypatch, talker, SILENCE)
        asked = questions({"rumour": {}, "silence": {}}, cfg)
        headlines = headline_table(asked, 0.95)
        return in_words(headlines, overview_table(asked, headlines, judged, 0.95), judged)

    return words


def test_a_row_per_figure_in_the_order_of_risks_and_a_column_per_defense(words):
    table = words(figure("b", **VALUES), figure("a", "low", **VALUES))
    assert table["figure"].tolist() == ["b", "a"]
    assert list(table) == [
        "risk",
        "figure",
        "good",
        "baseline",
        "soft",
        "hard",
        "masked [masked gradients]",
        "best",
    ]


def test_every_cell_carries_its_interval_and_its_verdict(words):
    line = words(figure(**VALUES)).iloc[0]
    assert line["baseline"] == "0.500 (0.490 to 0.510)"
    assert line["hard"] == "0.700 (0.690 to 0.710), better by 0.200"
    assert line["soft"].startswith("0.510 (0.500 to 0.520), not told apart (0.03")
    assert line["soft"].endswith(" would have shown)")
    assert words(figure(good="low", **VALUES)).iloc[0]["hard"].endswith(", worse by 0.200")


def test_who_is_flagged_is_shown_with_its_verdict_and_never_best(words):
    line = words(figure(**VALUES)).iloc[0]
    assert line["masked [masked gradients]"].endswith(", better by 0.400, but flagged")
    assert line["best"] == "hard; flagged, hence never best: masked"


def test_without_pairs_no_verdict_stands_there(words):
    line = words(figure(paired=False, **VALUES), judged={}).iloc[0]
    assert line["hard"] == "0.700 (0.690 to 0.710)"
    assert line["best"] == "not compared: no paired differences are known"


def test_a_defense_without_this_figure_has_an_empty_cell(words):
    few = {name: VALUES[name] for name in ("baseline", "hard")}
    table = words(figure("a", **VALUES), figure("b", **few))
    assert table["soft"].isna().tolist() == [False, True]
    assert "soft" not in as_text(table).split("\n\n")[1]


def test_where_zero_is_good_it_says_so(words):
    assert words(figure(good="zero", **VALUES))["good"].tolist() == ["0"]


def test_the_terminal_has_a_block_per_figure_with_the_same_words(words):
    table = words(figure("b", **VALUES), figure("a", "low", **VALUES))
    blocks = as_text(table).split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        "rumour: b; good: high",
        "rumour: a; good: low",
    ]
    for block, line in zip(blocks, table.to_dict("records"), strict=True):
        assert max(map(len, block.splitlines())) <= 100
        whole = re.sub(r"\n {5,}", " ", block)  # a line that is too long goes on below
        said = dict(text.strip().split("  ", 1) for text in whole.splitlines()[1:])
        assert {name: cell.strip() for name, cell in said.items()} == {
            name: line[name] for name in (*table.columns[3:],)
        }


def test_without_a_figure_there_is_no_line(words):
    table = words()
    assert len(table) == 0
    assert list(table) == ["risk", "figure", "good", "best"]
    assert as_text(table) == ""


def test_the_front_is_one_line():
    front = Front(("missed", "spared"), {"a": (), "b": ("a",), "c": ("a", "b")}, ("masked",))
    assert front_in_words(front) == (
        "Pareto front of missed; spared: a. Dominated: b (by a), c (by a, b). "
        "Not asked, because flagged or not measured: masked. "
        "Being on it is no praise: it may mean that nothing was told apart."
    )
    assert "Nobody is dominated." in front_in_words(Front(("missed",), {"a": (), "b": ()}, ()))
    assert front_in_words(None) == ""


def test_a_headline_figure_finds_its_bounds_by_their_names_or_where_it_is_told():
    lines = HEARD[HEARD["tongues"] == 2].assign(least=0.0)
    usual = HeadlineFigure.of("a", "low", lines, "heard").table
    told = HeadlineFigure.of("a", "low", lines, "heard", "least", "heard_high").table
    assert usual["low"].tolist() == lines["heard_low"].tolist()
    assert told["low"].tolist() == [0.0] * 3
    assert list(usual) == list(told) == list(BOUNDS)
    assert usual.index.tolist() == ["baseline", "hard", "masked"]


def test_a_headline_figure_takes_its_own_pairs_of_the_table():
    lines = HEARD[HEARD["tongues"] == 2]
    pairs = pd.DataFrame({"figure": ["a", "b", "a"], "difference": [0.1, 0.2, 0.3]})
    one = HeadlineFigure.of("said", "low", lines, "heard", pairs=pairs, compared="a")
    assert one.pairs["difference"].tolist() == [0.1, 0.3]
    assert HeadlineFigure.of("said", "low", lines, "heard", compared="a").pairs is None
