"""Poisoning as a few figures and as metrics: each defense's worst attack, curves at their steps."""

import numpy as np
import pandas as pd
import pytest

from pipeline.risks.poisoning.measure.recipes import AT_CLEAN
from pipeline.risks.poisoning.risk import CURVES, RISK
from pipeline.risks.risk import Figure
from risks.poisoning.made_up import CERTIFICATE

NOTHING = np.nan
HARM = pd.DataFrame(
    [
        ("baseline", "none", 0, "none", 0.76, 0.6, NOTHING),
        ("baseline", "flips", 0.1, "availability", 0.7, 0.1, NOTHING),
        ("baseline", "other", 0.1, "availability", 0.65, 0.5, NOTHING),
        ("baseline", "backdoor", 0.1, "backdoor", NOTHING, NOTHING, 0.8),
        ("hard", "flips", 0.1, "availability", 0.66, 0.4, NOTHING),
        ("hard", "other", 0.1, "availability", 0.74, 0.3, NOTHING),
        ("hard", "backdoor", 0.1, "backdoor", NOTHING, NOTHING, 0.3),
        ("hard", "flips", 0.4, "availability", 0.1, 0.1, NOTHING),
    ],
    columns=["defense", "attack", "dose", "goal", "auroc", AT_CLEAN, "attack_success_rate"],
)
for figure in ("auroc", AT_CLEAN, "attack_success_rate"):
    HARM[f"{figure}_low"], HARM[f"{figure}_high"] = HARM[figure] - 0.01, HARM[figure] + 0.01


@pytest.fixture
def figures(cfg):
    return RISK.headline({"poisoning": HARM}, cfg)


def values(figure):
    return figure.table["value"].to_dict()


def test_each_defense_meets_the_attack_that_hurts_it_most_at_the_headline_dose(figures):
    found, ranking, _ = figures
    assert (ranking.good, found.good) == ("high", "high")
    assert values(ranking) == {"baseline": 0.65, "hard": 0.66}  # by other attacks
    assert values(found) == {"baseline": 0.1, "hard": 0.3}
    assert ranking.table.loc["hard"].tolist() == pytest.approx([0.66, 0.65, 0.67])


def test_who_wins_patients_is_a_figure_of_its_own(figures):
    assert figures[2].good == "low"
    assert values(figures[2]) == {"baseline": 0.8, "hard": 0.3}


def test_the_dose_is_the_nearest_to_the_one_configured(cfg):
    numbers = cfg.poisoning.model_copy(update={"headline_dose": 0.5})
    changed = cfg.model_copy(update={"poisoning": numbers})
    found, *_ = RISK.headline({"poisoning": HARM}, changed)
    assert "40 %" in found.figure
    assert values(found) == {"hard": 0.1}


def test_what_was_not_measured_has_no_figure(cfg):
    assert list(RISK.headline({}, cfg)) == []
    assert list(RISK.figures({}, "baseline", cfg)) == []
    flips = HARM[HARM["attack"].isin(["none", "flips"])]
    assert len(RISK.headline({"poisoning": flips}, cfg)) == 2


def test_poison_steps_in_thousandths_of_the_records(cfg):
    table = HARM.iloc[:2].assign(poison_rate=[0.0, 0.1008], accuracy=0.7, accuracy_difference=0.0)
    table = table.assign(**dict.fromkeys(set(CURVES) - set(table), 0.5))
    found = list(RISK.figures({"poisoning": table}, "baseline", cfg))
    assert Figure("poisoning/flips/accuracy", 0.7, 101) in found
    assert Figure("poisoning/none/auroc", 0.76, 0) in found
    assert list(RISK.figures({"poisoning": table}, "hard", cfg)) == []


def test_a_certificate_steps_in_records(cfg):
    found = list(RISK.figures({"certificate": CERTIFICATE}, "partition", cfg))
    curve = {one.step: one.value for one in found if one.name == "certificate/certified_accuracy"}
    assert curve == {0: 0.75, 1: 0.5, 2: 0.0}
    assert list(RISK.figures({"certificate": CERTIFICATE}, "baseline", cfg)) == []
    assert {one.name.split("/")[0] for one in found} <= set(RISK.steps)


def test_the_curve_is_what_a_trigger_hides_of_each_defense(cfg):
    harm = HARM.assign(poison_rate=HARM["dose"] / 2)
    (curve,) = RISK.curves({"poisoning": harm}, cfg).values()
    assert list(curve) == ["defense", "poison_rate", "value", "low", "high"]
    assert curve["value"].tolist() == [0.8, 0.3]
    assert curve["poison_rate"].tolist() == [0.05, 0.05]
    assert RISK.curves({}, cfg) == {}
