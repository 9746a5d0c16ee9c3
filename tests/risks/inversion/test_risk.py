"""Inversion as one figure and as metrics: what undefended models tell most about."""

import pandas as pd
import pytest

from pipeline.files import BadInput
from pipeline.risks.inversion.risk import RISK
from pipeline.risks.risk import Figure

GUESSES = pd.DataFrame(
    {
        "defense": ["baseline"] * 2 + ["hard"] * 2,
        "attribute": ["age", "glucose"] * 2,
        "attacker": "learned",
        "diagnosis": "known",
        "access": "scores",
        "group": "members",
        "error_alone": [6.0, 20.0] * 2,
        "uplift": [3.0, 16.0, 5.0, 18.0],
    }
)
GUESSES = GUESSES.assign(uplift_low=GUESSES["uplift"] - 0.01, uplift_high=GUESSES["uplift"] + 0.01)


def test_the_figure_is_about_what_the_first_defense_tells_most(cfg):
    (figure,) = RISK.headline({"inversion": GUESSES}, cfg)
    assert "glucose" in figure.figure
    assert figure.good == "low"
    assert figure.table.loc["baseline"].tolist() == pytest.approx([0.8, 15.99 / 20, 16.01 / 20])
    assert figure.table.loc["hard", "value"] == pytest.approx(0.9)


def test_only_the_attacker_who_learns_sees_scores_and_knows_the_diagnosis_heads(cfg):
    others = [("attacker", "posterior"), ("diagnosis", "unknown"), ("access", "labels")]
    stronger = [GUESSES.assign(**{column: value}, uplift=20.0) for column, value in others]
    (figure,) = RISK.headline({"inversion": pd.concat([*stronger, GUESSES])}, cfg)
    assert figure.table.loc["baseline", "value"] == pytest.approx(0.8)


def test_nothing_asked_no_figure(cfg):
    assert list(RISK.headline({"inversion": GUESSES.iloc[:0]}, cfg)) == []
    assert list(RISK.headline({}, cfg)) == []
    assert list(RISK.figures({}, "baseline", cfg)) == []
    empty = pd.DataFrame(columns=["defense", "attacker", "diagnosis"])
    assert list(RISK.figures({"inversion": empty}, "baseline", cfg)) == []


def test_a_defense_logs_its_own_uplifts_by_group(cfg):
    both = pd.concat([GUESSES, GUESSES.assign(group="others", uplift=1.0)])
    assert list(RISK.figures({"inversion": both}, "hard", cfg)) == [
        Figure("inversion/age/scores/uplift_members", 5.0),
        Figure("inversion/glucose/scores/uplift_members", 18.0),
        Figure("inversion/age/scores/uplift_others", 1.0),
        Figure("inversion/glucose/scores/uplift_others", 1.0),
    ]


def test_more_victims_than_models_is_one_line(cfg):
    numbers = cfg.inversion.model_copy(update={"victims": 9})
    with pytest.raises(
        BadInput, match=r"^conf: inversion\.victims: 9 is more than membership\.targets 8"
    ):
        RISK.check(cfg.model_copy(update={"inversion": numbers}), "conf")
