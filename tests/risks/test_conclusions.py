"""What is said of headline figures survives the rules: planted differences, real and not."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.risks import conclusions
from pipeline.risks.conclusions import (
    NOT_COMPARED,
    Conclusions,
    Question,
    front_of,
    headline_table,
    overview_table,
    questions,
)
from pipeline.risks.pairs import Drawn, pairs_table
from pipeline.risks.risk import HeadlineFigure, Judgement
from pipeline.statistics.intervals import bootstrap_mean, bootstrap_weights
from report.made_up import SILENCE, only_risks

PATIENTS = 400
FLAGGED = {"masked": Judgement({"masked_gradients": "why"})}


def planted(values, se=0.01, good="high", name="a", weighed=False):
    """A figure with these values, whose differences all have this standard error."""
    draws = {one: Drawn(value, np.full(2, value)) for one, value in values.items()}
    pairs = pairs_table({name: draws}, PATIENTS).assign(se=se)
    return HeadlineFigure(name, good, table_of(values), pairs, weighed)


def table_of(values):
    table = pd.DataFrame({"value": values}).astype(float)
    table = table.assign(low=table["value"] - 0.01, high=table["value"] + 0.01)
    return table.rename_axis("defense")


def asked(*figures):
    return [Question.of("rumour", one) for one in figures]


def verdicts(figure):
    table = headline_table(asked(figure), 0.95)
    return dict(zip(table["defense"], table["verdict"], strict=True))


def line(figure, judged=None):
    return overview_table(
        asked(figure), headline_table(asked(figure), 0.95), judged or {}, 0.95
    ).iloc[0]


def population(rng, weights, **gains):
    """Missed diagnoses of the same patients by models of which some find more."""
    missed = rng.random(PATIENTS) < 0.4
    each = {"baseline": missed.astype(float)}
    for name, gain in gains.items():
        saved = missed & (rng.random(PATIENTS) < (0.1 + gain) / 0.4)
        lost = ~missed & (rng.random(PATIENTS) < 0.1 / 0.6)
        each[name] = ((missed & ~saved) | lost).astype(float)
    draws = {
        name: Drawn(float(one.mean()), bootstrap_mean(one, weights)) for name, one in each.items()
    }
    values = {name: one.value for name, one in draws.items()}
    pairs = pairs_table({"missed": draws}, PATIENTS)
    return HeadlineFigure("missed", "low", table_of(values), pairs)


# ---- against no defense ----


@pytest.mark.slow
def test_a_real_gain_is_told_and_no_gain_is_not():
    weights, rng = bootstrap_weights(PATIENTS, 300, 0), np.random.default_rng(0)
    found = [verdicts(population(rng, weights, real=0.15, none=0.0, idle=0.0)) for _ in range(150)]
    assert all(one["baseline"] == "" for one in found)
    assert np.mean([one["real"] == "better" for one in found]) > 0.95
    wrong = np.mean([{"better", "worse"} & {one["none"], one["idle"]} != set() for one in found])
    assert wrong < 0.05 + 3 * (0.05 * 0.95 / 150) ** 0.5


@pytest.mark.parametrize(("good", "said"), [("high", "better"), ("low", "worse")])
def test_more_is_better_or_worse_as_the_figure_says(good, said):
    figure = planted({"baseline": 0.5, "hard": 0.6}, good=good)
    assert verdicts(figure) == {"baseline": "", "hard": said}
    table = headline_table(asked(figure), 0.95)
    assert table["difference"].tolist()[1] == pytest.approx(0.1)


def test_where_zero_is_good_who_is_further_away_is_worse_on_either_side():
    figure = planted({"baseline": 0.1, "below": 0.3, "near": 0.01}, good="zero")
    turned = figure.table.assign(value=[0.1, -0.3, 0.01])
    assert verdicts(replace(figure, table=turned)) == {
        "baseline": "",
        "below": "worse",
        "near": "better",
    }
    assert line(replace(figure, table=turned))["best"] == "near"


def test_among_several_a_difference_is_not_told_that_would_be_alone():
    alone = {"baseline": 0.5, "a": 0.5225}  # p 0.024
    assert verdicts(planted(alone))["a"] == "better"
    several = verdicts(planted({**alone, "b": 0.5, "c": 0.501}))
    assert [several[name] for name in "abc"] == ["not told apart"] * 3


def test_what_is_not_told_apart_says_what_would_be():
    table = headline_table(asked(planted({"baseline": 0.5, "a": 0.51})), 0.95).set_index("defense")
    assert table.loc["a", "smallest_detectable"] == pytest.approx(2.8 * 0.01, rel=0.01)
    assert table.loc["a", "patients_to_settle"] == pytest.approx(PATIENTS * 2.8**2, rel=0.02)
    same = headline_table(asked(planted({"baseline": 0.5, "a": 0.5})), 0.95).set_index("defense")
    assert math.isnan(same.loc["a", "patients_to_settle"])


# ---- best ----


def test_best_is_who_is_told_apart_from_everybody_no_defense_among_them():
    found = line(planted({"baseline": 0.5, "a": 0.7, "b": 0.6}))
    assert (found["best"], found["conclusion"]) == ("a", "a")
    assert (found["better"], found["worse"]) == ("a b", "")
    none = line(planted({"baseline": 0.7, "a": 0.6, "b": 0.5}))
    assert (none["best"], none["worse"]) == ("baseline", "a b")


def test_who_leads_by_little_is_not_the_best():
    found = line(planted({"baseline": 0.5, "a": 0.7, "b": 0.69}))
    assert (found["best"], found["leader"], found["rivals"]) == ("", "a", "b")
    assert found["conclusion"].startswith("none told apart: a from b (ahead by 0.010; ")
    assert "would have shown" in found["conclusion"]
    assert "patients would settle it" in found["conclusion"]
    assert found["better"] == "a b"


def test_a_flagged_defense_is_compared_and_never_best():
    figure = planted({"baseline": 0.5, "masked": 0.9, "hard": 0.7})
    found = line(figure, FLAGGED)
    assert verdicts(figure)["masked"] == "better"
    assert (found["best"], found["leader"], found["better"]) == ("hard", "hard", "hard")
    assert line(figure)["better"] == "masked hard"
    assert found["conclusion"] == "hard; flagged, hence never best: masked"
    assert line(figure)["best"] == "masked"  # it is the flag that costs it
    alone = line(planted({"baseline": 0.5, "masked": 0.9}), FLAGGED)
    assert (alone["best"], alone["leader"]) == ("", "")
    why = "fewer than two without a flag; flagged, hence never best: masked"
    assert alone["conclusion"] == f"{NOT_COMPARED}: {why}"


@pytest.mark.slow
def test_the_leader_of_equals_is_seldom_called_best():
    weights, rng = bootstrap_weights(PATIENTS, 300, 0), np.random.default_rng(1)
    found = [line(population(rng, weights, a=0.0, b=0.0, c=0.0))["best"] for _ in range(150)]
    assert np.mean([name != "" for name in found]) < 0.05


# ---- what is not compared ----


@pytest.mark.parametrize("pairs", [None, planted({"baseline": 0.5}).pairs])
def test_without_pairs_nothing_is_concluded(pairs):
    figure = replace(planted({"baseline": 0.5, "a": 0.9}, weighed=True), pairs=pairs)
    assert verdicts(figure) == {"baseline": "", "a": NOT_COMPARED}
    found = line(figure)
    assert (found["best"], found["better"], found["leader"]) == ("", "", "")
    assert found["conclusion"] == f"{NOT_COMPARED}: no paired differences are known"
    assert found["undefended"] == 0.5
    assert front_of(asked(figure), {}, 0.95) is None


def test_without_the_undefended_models_defenses_are_still_compared_with_each_other():
    figure = planted({"a": 0.5, "b": 0.9})
    assert verdicts(figure) == {"a": NOT_COMPARED, "b": NOT_COMPARED}
    assert line(figure)["best"] == "b"
    assert math.isnan(line(figure)["undefended"])


def test_who_has_no_figure_is_left_out():
    figure = planted({"baseline": 0.5, "a": math.nan, "b": 0.9})
    assert verdicts(figure) == {"baseline": "", "a": NOT_COMPARED, "b": "better"}
    assert line(figure)["best"] == "b"


def test_one_defense_twice_in_a_figure_is_an_error(monkeypatch, cfg):
    one = planted({"baseline": 0.5, "a": 0.6})
    twice = replace(one, table=pd.concat([one.table, one.table]))
    only_risks(monkeypatch, replace(SILENCE, headline=lambda tables, cfg: [twice]))
    with pytest.raises(ValueError, match="not unique"):
        questions({"silence": {}}, cfg)


# ---- the Pareto front ----


def two(first, second):
    return asked(
        planted(first, good="low", name="missed", weighed=True),
        planted(second, good="high", name="spared", weighed=True),
        planted(dict(reversed(first.items())), name="not weighed"),
    )


def test_who_is_behind_in_one_figure_and_ahead_in_none_is_dominated():
    figures = two({"baseline": 0.5, "a": 0.3, "b": 0.2}, {"baseline": 0.9, "a": 0.9, "b": 0.7})
    found = front_of(figures, {}, 0.95)
    assert found.figures == ("missed", "spared")
    assert found.dominated == {"baseline": ("a",), "a": (), "b": ()}
    assert found.left_out == ()


def test_nobody_is_dominated_by_a_flagged_defense():
    figures = two(
        {"baseline": 0.5, "masked": 0.1, "b": 0.5}, {"baseline": 0.9, "masked": 1, "b": 0.9}
    )
    assert front_of(figures, {}, 0.95).dominated["b"] == ("masked",)
    found = front_of(figures, FLAGGED, 0.95)
    assert found.dominated == {"baseline": (), "b": ()}
    assert found.left_out == ("masked",)


# ---- of one defense ----


def test_what_is_said_of_a_defense_is_what_the_tables_say(monkeypatch, cfg):
    figures = [
        planted({"baseline": 0.5, "a": 0.3, "b": 0.5}, good="low", name="missed", weighed=True),
        planted({"baseline": 0.9, "a": 0.95, "b": 0.7}, name="spared", weighed=True),
    ]
    only_risks(monkeypatch, replace(SILENCE, headline=lambda tables, cfg: figures))
    results = {"silence": {}}
    found = Conclusions.of(results, cfg)
    assert found.of_defense("a") == {
        "better": "missed; spared",
        "best": "missed; spared",
        "pareto_front": "yes",
    }
    assert found.of_defense("b") == {
        "worse": "spared",
        "pareto_front": "no: dominated by baseline, a",
    }
    assert found.of_defense("nobody") == {}
    monkeypatch.setattr(conclusions, "judgements", lambda results: {"a": FLAGGED["masked"]})
    assert Conclusions.of(results, cfg).of_defense("a") == {}
