"""The frontier as a risk: its table and its chapter say all."""

import pandas as pd

import parts
from pipeline.risks.frontier.risk import RISK
from pipeline.risks.risk import Context, Sources
from risks.frontier.made_up import made_up

FOUND = pd.DataFrame({"model": ["mlp"], "epsilon_claimed": [0.5], "accuracy": [0.7]})


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
