"""Inversion as one figure and as metrics: what undefended models tell most about."""

import pandas as pd
import pytest

from pipeline.files import BadInput
from pipeline.risks.inversion.risk import RISK

TOLD = pd.DataFrame(
    {
        "defense": ["baseline"] * 2 + ["hard"] * 2,
        "attribute": ["age", "glucose"] * 2,
        "attacker": "learned",
        "diagnosis": "known",
        "access": "scores",
        "group": "members",
        "patients": 40,
        "victims": 8,
        "knowledge": "black box, all other measurements",
        "uplift": [3.0, 16.0, 5.0, 18.0],
        "share": [0.5, 0.8, 0.83, 0.9],
    }
)
MORE = TOLD.assign(group="difference", uplift=[0.6, 0.2, 0.3, 0.4], share=[0.1, 0.01, 0.05, 0.02])
GUESSES = pd.concat([TOLD, MORE], ignore_index=True)
GUESSES = GUESSES.assign(share_low=GUESSES["share"] - 0.01, share_high=GUESSES["share"] + 0.03)


def test_the_figure_is_members_less_others_of_what_the_first_defense_tells_most(cfg):
    (figure,) = RISK.headline({"inversion": GUESSES}, cfg)
    assert "glucose" in figure.figure
    assert "members less others" in figure.figure
    assert figure.good == "zero"
    assert figure.table.loc["baseline"].tolist() == pytest.approx([0.01, 0.0, 0.04])
    assert figure.table.loc["hard", "value"] == pytest.approx(0.02)
    assert figure.among == "40 patients"
    assert figure.threat == (
        "guess glucose; knows black box, all other measurements, and the diagnosis; one score of "
        "each patient, 8 models"
    )


def test_reading_a_score_back_speaks_against_nobody(cfg):
    told_most = GUESSES.assign(
        share=GUESSES["share"].where(GUESSES["group"] == "difference", GUESSES["share"] + 0.05)
    )
    (figure,), (same,) = (RISK.headline({"inversion": one}, cfg) for one in (GUESSES, told_most))
    assert same.table.equals(figure.table)


def test_only_the_attacker_who_learns_sees_scores_and_knows_the_diagnosis_heads(cfg):
    others = [("attacker", "posterior"), ("diagnosis", "unknown"), ("access", "labels")]
    stronger = [GUESSES.assign(**{column: value}, share=0.95) for column, value in others]
    (figure,) = RISK.headline({"inversion": pd.concat([*stronger, GUESSES])}, cfg)
    assert figure.table.loc["baseline", "value"] == pytest.approx(0.01)


def test_where_nobody_could_be_asked_the_other_measurement_heads(cfg):
    nobody = GUESSES["share"].where(GUESSES["attribute"] == "age")
    (figure,) = RISK.headline({"inversion": GUESSES.assign(share=nobody)}, cfg)
    assert "age" in figure.figure


def test_nothing_asked_no_figure(cfg):
    assert list(RISK.headline({"inversion": GUESSES.iloc[:0]}, cfg)) == []
    assert list(RISK.headline({}, cfg)) == []
    assert RISK.metrics({}, cfg) == {}


def test_the_metric_is_the_headline_of_each_defense_whatever_it_is_of(cfg):
    found = RISK.metrics({"inversion": GUESSES}, cfg)
    assert found == {
        "baseline": {"attribute_inference_member_gap": 0.01},
        "hard": {"attribute_inference_member_gap": 0.02},
    }
    nobody = GUESSES["share"].where(GUESSES["defense"] == "baseline")
    assert list(RISK.metrics({"inversion": GUESSES.assign(share=nobody)}, cfg)) == ["baseline"]


def test_more_victims_than_models_is_one_line(cfg):
    numbers = cfg.inversion.model_copy(update={"victims": 9})
    with pytest.raises(
        BadInput, match=r"^conf: inversion\.victims: 9 is more than membership\.targets 8"
    ):
        RISK.check(cfg.model_copy(update={"inversion": numbers}), "conf")
