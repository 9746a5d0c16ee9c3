"""The frontier as metrics: against epsilon, only of the recipe whose training it varies."""

import pandas as pd
import pytest

import parts
from pipeline.risks.frontier.risk import RISK, VARIED
from pipeline.risks.risk import Context, Figure, Sources
from risks.frontier.made_up import made_up

FOUND = pd.DataFrame(
    {
        "model": "mlp",
        "epsilon_claimed": [0.5, None],
        "accuracy": [0.7, 0.76],
        "auroc": 0.8,
        "sensitivity": 0.5,
        "proved_accuracy": 0.6,
        "lira_tpr_at_1pct": 0.01,
        "lira_auroc": 0.5,
        "epsilon_lower_bound": 0.0,
        "epsilon_ceiling": 3.0,
    }
)


def test_steps_are_thousandths_of_epsilon_and_no_noise_has_its_own_name(cfg):
    figures = list(RISK.figures({"frontier": FOUND}, VARIED, cfg))
    assert Figure("frontier/mlp/accuracy", 0.7, 500) in figures
    assert Figure("frontier/mlp/no_noise/accuracy", 0.76, 0) in figures
    steps = {figure.step for figure in figures if figure.name == "frontier/mlp/accuracy"}
    assert steps == {500}
    assert "frontier" in RISK.steps


@pytest.mark.parametrize("name", ["baseline", "hard"])
def test_it_belongs_to_private_training_alone(cfg, name):
    assert list(RISK.figures({"frontier": FOUND}, name, cfg)) == []
    assert list(RISK.figures({}, VARIED, cfg)) == []


def test_it_is_no_line_of_the_overview(cfg):
    assert list(RISK.headline({"frontier": FOUND}, cfg)) == []


def test_without_its_stage_there_is_no_table(tmp_path):
    assert RISK.tables(Sources({}, tmp_path), None) == {}
    assert RISK.tables(Sources({}), None) == {}


def test_every_column_is_explained_and_none_that_is_not_there(cfg, dataset, tmp_path):
    (tmp_path / "frontier").mkdir()
    made_up().save(tmp_path / "frontier")
    tables = RISK.tables(Sources({}, tmp_path), Context(dataset, cfg))
    assert list(tables) == ["frontier"]
    assert parts.unlike_its_explanation(RISK, tables, ()) == {}
