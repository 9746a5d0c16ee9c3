"""Poisoning as a few figures and as metrics: each defense's worst attack."""

import numpy as np
import pandas as pd
import pytest

import tiny
from pipeline.files import BadInput
from pipeline.params import configured
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN
from pipeline.risks.poisoning.risk import RISK

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
HARM = HARM.assign(
    patients=768, ill=268, targets=8, control=0.125, knowledge="none", access="diagnoses"
)


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


def test_a_figure_says_of_whom_it_is_and_who_attacks(figures):
    found, ranking, won = figures
    assert (found.among, ranking.among) == ("268 ill patients", "768 patients")
    threat = "availability; knows none; writes diagnoses of 10 % of the records"
    assert found.threat == ranking.threat == threat
    assert won.among == (
        "8 ill patients with the trigger, called ill without poison; without poison 0.125"
    )


def test_named_patients_are_counted_beside_their_control(cfg):
    named = HARM.replace({"goal": {"backdoor": "targeted"}}).assign(control=[0.0] * 4 + [0.25] * 4)
    *_, figure = RISK.headline({"poisoning": named}, cfg)
    assert figure.figure == "named ill patients called healthy, 10 % of the records"
    assert figure.among == "8 named patients; without poison 0.000 to 0.250"
    few = HARM.assign(targets=NOTHING)
    *_, unsaid = RISK.headline({"poisoning": few}, cfg)
    assert unsaid.among.startswith("few ill patients")


def test_the_dose_is_the_nearest_to_the_one_configured(cfg):
    numbers = cfg.poisoning.model_copy(update={"headline_dose": 0.5})
    changed = cfg.model_copy(update={"poisoning": numbers})
    found, *_ = RISK.headline({"poisoning": HARM}, changed)
    assert "40 %" in found.figure
    assert values(found) == {"hard": 0.1}


def test_what_was_not_measured_has_no_figure(cfg):
    assert list(RISK.headline({}, cfg)) == []
    assert RISK.metrics({}, cfg) == {}
    flips = HARM[HARM["attack"].isin(["none", "flips"])]
    assert len(RISK.headline({"poisoning": flips}, cfg)) == 2


def test_metrics_carry_their_dose_in_their_names(cfg):
    found = RISK.metrics({"poisoning": HARM}, cfg)
    assert found["baseline"] == {
        "poisoned_sensitivity_at_10pct": 0.1,
        "backdoor_success_at_10pct": 0.8,
    }
    assert found["hard"] == {"poisoned_sensitivity_at_10pct": 0.3, "backdoor_success_at_10pct": 0.3}
    few = HARM.assign(dose=HARM["dose"].replace(0.1, 3.0))
    numbers = cfg.poisoning.model_copy(update={"headline_dose": 3})
    found = RISK.metrics({"poisoning": few}, cfg.model_copy(update={"poisoning": numbers}))
    assert "backdoor_success_at_3_records" in found["hard"]


def test_the_column_is_at_the_dose_nearest_to_the_one_configured(cfg):
    numbers = cfg.poisoning.model_copy(update={"headline_dose": 0.09, "doses": [1, 0.1, 0.4]})
    changed = cfg.model_copy(update={"poisoning": numbers})
    assert RISK.shown(changed) == ("backdoor_success_at_10pct",)
    assert RISK.shown(changed)[0] in RISK.metrics({"poisoning": HARM}, changed)["hard"]


def test_the_curve_is_what_a_trigger_hides_of_each_defense(cfg):
    harm = HARM.assign(poison_rate=HARM["dose"] / 2)
    (curve,) = RISK.plotted({"poisoning": harm}, cfg).values()
    assert list(curve) == ["defense", "poison_rate", "value", "low", "high"]
    assert curve["value"].tolist() == [0.8, 0.3]
    assert curve["poison_rate"].tolist() == [0.05, 0.05]
    assert RISK.plotted({}, cfg) == {}


def test_a_recipe_that_learns_from_no_poisoned_set_is_one_line():
    with pytest.raises(BadInput, match=r"poisoning\.recipes: federated: hospitals are cut"):
        configured(["poisoning.recipes=[baseline,federated]"], tiny.ROOT / "conf")
