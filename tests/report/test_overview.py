"""The overview in words: who is better, worse and best, flags beside names, in few lines."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.report.overview import NOTHING_BESIDE, UNTOLD, front_in_words, verdicts_in_words
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
    """The verdicts of two risks, of which one says nothing."""

    def words(*figures, judged=JUDGED):
        talker = replace(RUMOUR, headline=lambda tables, cfg: figures)
        only_risks(monkeypatch, talker, SILENCE)
        asked = questions({"rumour": {}, "silence": {}}, cfg)
        headlines = headline_table(asked, 0.95)
        return verdicts_in_words(overview_table(asked, headlines, judged, 0.95), judged)

    return words


def test_a_line_per_figure_says_who_is_better_worse_and_best(words):
    assert words(figure("b", **VALUES), figure("a", "low", **VALUES)).splitlines() == [
        "rumour: b: better: hard; best: hard",
        "rumour: a: worse: hard, masked [masked gradients]",
    ]


def test_who_is_flagged_is_neither_better_nor_best(words):
    praised = {"baseline": 0.5, "masked": 0.9}
    assert words(figure("b", **praised)) == f"{UNTOLD}: b"
    assert words(figure("b", **praised), judged={}) == "rumour: b: better: masked; best: masked"


def test_of_one_recipe_alone_nothing_is_said_to_be_told(words):
    assert words(figure("b", soft=0.5)) == f"{NOTHING_BESIDE}: b"
    assert UNTOLD not in words(figure("b", **VALUES, paired=False))


def test_figures_that_tell_nobody_apart_are_one_line(words):
    alike = dict.fromkeys(VALUES, 0.5)
    text = words(figure("a", **alike), figure("b", **VALUES), figure("c", paired=False, **VALUES))
    assert text.splitlines()[-2:] == [f"{NOTHING_BESIDE}: c", f"{UNTOLD}: a"]
    assert words() == ""


def test_a_long_line_goes_on_below(words):
    text = words(figure("heard of " * 20, **VALUES))
    assert max(map(len, text.splitlines())) <= 100
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


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
