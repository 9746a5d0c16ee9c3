"""Membership as one figure and as metrics: the strongest attack that sees a model."""

import pandas as pd
import pytest

from pipeline.files import BadInput
from pipeline.risks.membership.risk import RISK

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
    assert RISK.metrics({}, cfg) == {}


def test_metrics_are_of_the_strongest_attack_with_the_interval_of_who_is_found(cfg):
    table = FOUND.assign(tpr_at_1pct=[0.04, 0.5, 0.5, 0.5, None, 0.5, 0.5, 0.5])
    table = table.assign(tpr_at_1pct_low=0.03, tpr_at_1pct_high=0.05)
    found = RISK.metrics({"membership": table}, cfg)
    assert found["baseline"] == {
        "mia_auroc": 0.6,
        "mia_tpr_at_1pct_fpr": 0.04,
        "mia_tpr_at_1pct_fpr_low": 0.03,
        "mia_tpr_at_1pct_fpr_high": 0.05,
    }
    assert "mia_tpr_at_1pct_fpr" not in found["hard"]
    assert set(RISK.shown(cfg)) <= set(found["baseline"])


def test_an_unknown_attack_is_one_line(cfg):
    numbers = cfg.membership.model_copy(update={"attacks": ["lyra"]})
    with pytest.raises(
        BadInput, match=r"^conf: membership\.attacks: 'lyra' is no membership attack"
    ):
        RISK.check(cfg.model_copy(update={"membership": numbers}), "conf")


def test_a_recipe_that_there_is_none_of_is_refused(cfg):
    numbers = cfg.model_extra["membership"].model_copy(update={"recipes": ["baselin"]})
    with pytest.raises(
        BadInput, match=r"membership\.recipes: 'baselin' is no defense; did you mean"
    ):
        RISK.check(cfg.model_copy(update={"membership": numbers}), "params.yaml")
