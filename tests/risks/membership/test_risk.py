"""Membership as one figure and as metrics: the strongest attack that sees a model."""

import pandas as pd
import pytest

from pipeline.files import BadInput
from pipeline.risks.membership.risk import OF_ATTACKS, OF_RECIPES, RISK
from pipeline.risks.risk import Figure

FOUND = pd.DataFrame(
    {
        "defense": ["baseline"] * 4 + ["hard"] * 4,
        "attack": ["strongest", "loss", "lira", "blind"] * 2,
        "patients": 768,
        "shadows": 127,
        "knowledge": "black box and shadow models",
        "access": "scores",
        "auroc": [0.6, 0.55, 0.61, 0.9, 0.58, 0.585, 0.57, 0.9],
    }
)
FOUND = FOUND.assign(auroc_low=FOUND["auroc"] - 0.01, auroc_high=FOUND["auroc"] + 0.01)


GROUPS = pd.DataFrame(
    {
        "defense": ["baseline"] * 2 + ["hard"] * 2,
        "group": ["most exposed 5 %", "ill"] * 2,
        "patients": [55, 268, 71, 268],
        "exposure": [0.8, 0.6, 0.7, 0.9],
        "exposure_low": 0.5,
        "exposure_high": 0.95,
    }
)


def test_each_defense_meets_what_was_chosen_elsewhere_not_the_largest_of_its_row(cfg):
    figure, _ = RISK.headline({"membership": FOUND, "subgroups": GROUPS}, cfg)
    assert figure.good == "low"
    assert figure.table.loc["baseline"].tolist() == pytest.approx([0.6, 0.59, 0.61])
    assert figure.table.loc["hard"].tolist() == pytest.approx([0.58, 0.57, 0.59])
    assert figure.among == "768 patients"
    assert figure.threat == (
        "tell members from others; black box and shadow models, sees scores; 127 shadow models"
    )


def test_the_most_exposed_patients_have_a_line_of_their_own(cfg):
    _, figure = RISK.headline({"membership": FOUND, "subgroups": GROUPS}, cfg)
    assert "5 %" in figure.figure
    assert figure.table["value"].to_dict() == {"baseline": 0.8, "hard": 0.7}
    assert figure.among == "55 to 71 patients"
    few = GROUPS.assign(patients=[float("nan"), 268, 71, 268])  # as a table holds what is hidden
    _, unsaid = RISK.headline({"membership": FOUND, "subgroups": few}, cfg)
    assert unsaid.among == "not told patients"


def test_what_was_not_measured_has_no_figure(cfg):
    assert list(RISK.headline({}, cfg)) == []
    assert list(RISK.headline({"membership": FOUND.iloc[:0]}, cfg)) == []
    assert list(RISK.figures({}, "baseline", cfg)) == []


def test_a_defense_logs_its_own_rows_and_its_recipe_once(cfg):
    table = FOUND.assign(**dict.fromkeys({*OF_ATTACKS, *OF_RECIPES} - set(FOUND), 0.5))
    found = list(RISK.figures({"membership": table}, "hard", cfg))
    assert Figure("membership/lira/auroc", 0.57) in found
    names = [figure.name for figure in found]
    assert len(names) == len(set(names)) == 4 * len(OF_ATTACKS) + len(OF_RECIPES)
    assert Figure("epsilon_claimed", 0.5) in found
    assert list(RISK.figures({"membership": table}, "other", cfg)) == []


def test_an_unknown_attack_is_one_line(cfg):
    numbers = cfg.membership.model_copy(update={"attacks": ["lyra"]})
    with pytest.raises(
        BadInput, match=r"^conf: membership\.attacks: 'lyra' is no membership attack"
    ):
        RISK.check(cfg.model_copy(update={"membership": numbers}), "conf")
