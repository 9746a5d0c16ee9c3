"""Which figures are logged: curves at their steps, only a defence's own rows, and nothing for what was not measured."""

import pandas as pd
import pytest

from pipeline.tracking.metrics import Figure, by_budget, by_dose, by_epsilon, by_records, figures_of, flags_of
from risks.poisoning.made_up import CERTIFICATE

DAMAGE = pd.DataFrame({
    "defense": ["baseline", "baseline", "hard"], "attack": ["none", "flips", "flips"], "poison_rate": [0.0, 0.1008, 0.1],
    "accuracy": [0.76, 0.7, 0.75], "accuracy_difference": [0.0, -0.06, 0.0], "sensitivity": 0.6, "missed_diagnosis_rate": 0.4,
    "auroc": 0.8, "proved_accuracy": 0.5, "attack_success_rate": None,
})  # fmt: skip
COPIES = pd.DataFrame({
    "defense": "baseline", "strategy": ["active", "active", "uniform", "active"], "api": ["plain", "plain", "plain", "noisy"],
    "access": "labels", "surrogate": "mlp", "budget": [10, 100, 100, 100], "fidelity": [0.8, 0.9, 0.7, 0.6], "accuracy": 0.7,
    "auroc": 0.8, "evasion": 0.2, "membership": 0.5,
})  # fmt: skip
FRONTIER = pd.DataFrame({
    "model": "mlp", "epsilon_claimed": [0.5, None], "accuracy": [0.7, 0.76], "auroc": 0.8, "sensitivity": 0.5,
    "proved_accuracy": 0.6, "lira_tpr_at_1pct": 0.01, "lira_auroc": 0.5, "epsilon_lower_bound": 0.0, "epsilon_ceiling": 3.0,
})  # fmt: skip


def named(figures, name):
    return {figure.step: figure.value for figure in figures if figure.name == name}


def test_poison_steps_in_thousandths_of_the_records():
    mine = DAMAGE[DAMAGE["defense"] == "baseline"]
    assert named(by_dose(mine), "poisoning/flips/accuracy") == {101: 0.7}
    assert named(by_dose(mine), "poisoning/none/accuracy") == {0: 0.76}


def test_theft_steps_in_questions_to_the_plain_api_by_the_headline_strategy():
    assert named(by_budget(COPIES, "active"), "theft/labels/mlp/fidelity") == {10: 0.8, 100: 0.9}


def test_a_certificate_steps_in_records():
    assert named(by_records(CERTIFICATE), "certificate/certified_accuracy") == {0: 0.75, 1: 0.5, 2: 0.0}


def test_the_frontier_steps_in_thousandths_of_epsilon_and_no_noise_has_its_own_name():
    assert named(by_epsilon(FRONTIER), "frontier/mlp/accuracy") == {500: 0.7}
    assert named(by_epsilon(FRONTIER), "frontier/mlp/no_noise/accuracy") == {0: 0.76}


def test_flags_carry_their_reasons():
    table = pd.DataFrame({"flags": ["a b"], "evidence": ["why a; why b"]})
    assert flags_of(table) == {"a": "why a", "b": "why b"}
    assert flags_of(table.assign(flags="", evidence="")) == {}


@pytest.fixture
def comparison():
    columns = (
        "rank", "clean_accuracy", "clean_low", "clean_high", "auroc", "auroc_low", "auroc_high", "sensitivity", "specificity",
        "balanced_accuracy", "brier", "robust_accuracy", "verified_accuracy", "undecided", "missed_diagnosis_rate", "robust_low",
        "robust_high",
    )  # fmt: skip
    place = {"threat": "clinical", "eps_unit": "SD", "flags": "", "evidence": "", "eps": [0.0, 0.3]}
    return pd.DataFrame(place | dict.fromkeys(columns, 0.5))


@pytest.mark.parametrize("name", ["baseline", "hard", "dp_train"])
def test_a_defence_logs_its_own_rows_and_the_frontier_belongs_to_private_training(comparison, cfg, tmp_path, name):
    privacy = pd.DataFrame({"defense": [name], "attack": ["loss"]})
    figures = (
        "auroc", "auroc_low", "auroc_high", "advantage", "tpr_at_1pct", "tpr_at_01pct", "train_accuracy", "test_accuracy", "gap",
        "epsilon_claimed", "epsilon_lower_bound", "epsilon_ceiling",
    )  # fmt: skip
    privacy.assign(**dict.fromkeys(figures, 0.5)).to_csv(tmp_path / "privacy.csv", index=False)
    pd.DataFrame(columns=["defense", "attacker", "diagnosis"]).to_csv(tmp_path / "inversion.csv", index=False)
    for file, table in (("poisoning", DAMAGE), ("theft", COPIES), ("frontier", FRONTIER), ("certificate", CERTIFICATE)):
        table.to_csv(tmp_path / f"{file}.csv", index=False)
    found = figures_of(comparison, tmp_path, name, cfg)
    assert Figure("robust_accuracy_at_0.3", 0.5) in found
    assert Figure("membership/loss/auroc", 0.5) in found
    starts = {figure.name.split("/")[0] for figure in found}
    assert ("frontier" in starts) == (name == "dp_train")
    assert ("poisoning" in starts) == (name != "dp_train")
    assert ("theft" in starts) == (name == "baseline")
    assert "certificate" not in starts
