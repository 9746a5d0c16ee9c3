"""The federation as a risk: names are checked, tables explained, few figures logged."""

import pytest

import parts
from pipeline.files import BadInput
from pipeline.risks.federation.risk import RISK, told_first, worst
from pipeline.risks.federation.tables import COLUMNS
from pipeline.risks.risk import Context, Sources
from risks.federation import made_up


@pytest.fixture
def tables(tmp_path, cfg, dataset):
    return made_up.tables(tmp_path, Context(dataset, cfg))


def test_without_its_stage_there_is_no_table_and_no_figure(tmp_path, cfg, dataset):
    (tmp_path / "federation").mkdir()
    assert RISK.tables(Sources({}, tmp_path), Context(dataset, cfg)) == {}
    for none in (RISK.metrics, RISK.trades, RISK.headline):
        assert not none({}, cfg)
    assert not RISK.points({}, "federated", cfg)
    assert RISK.shown(cfg) == ()


def test_every_column_is_explained_and_none_that_is_not_there(tables):
    assert list(tables) == list(COLUMNS)
    assert parts.unlike_its_explanation(RISK, tables, ()) == {}


def test_few_figures_are_compared_and_they_are_the_worst(tables, cfg):
    found = RISK.metrics(tables, cfg)["federated"]
    rows = told_first(tables, cfg)
    attacked = rows[rows["attack"] != "none"]
    assert set(rows["hospitals"]) == {8}
    assert set(rows["aggregate"]) == {"mean"}
    assert set(rows["malicious"]) == {1}
    assert set(rows["defense"]) == {"federated"}
    assert worst(tables, cfg)["attack"] == "boost"
    assert found["hostile_accuracy"] == attacked["accuracy"].min()
    assert found["hostile_missed"] == attacked["missed_diagnosis_rate"].max()
    assert found["hostile_backdoor"] == attacked["attack_success_rate"].max()
    assert found["server_error"] < found["server_error_guess"]
    assert found["participant_auroc"] > 0.55
    asked = made_up.settings(cfg, enabled=True)
    assert set(RISK.shown(asked)) < set(found)
    (trade,) = RISK.trades(tables, cfg)
    assert list(trade.kept.table.index) == list(trade.bought.table.index) == ["federated"]
    (figure,) = RISK.headline(tables, cfg)
    assert figure.table.loc["federated", "value"] == found["hostile_accuracy"]


def test_private_hospitals_have_figures_of_their_own_where_they_are_reported(tables, cfg):
    assert set(RISK.metrics(tables, cfg)) == {"federated"}
    both = cfg.model_copy()
    both.__pydantic_extra__ = {**(cfg.model_extra or {}), "federated_private": {}}
    found = RISK.metrics(tables, both)["federated_private"]
    assert {"hostile_accuracy", "hostile_backdoor", "participant_auroc"} <= set(found)
    assert "server_error" not in found


def test_every_federation_is_a_point_with_a_figure_for_each_attack(tables, cfg):
    points = RISK.points(tables, "federated", cfg)
    assert len(points) == 11
    assert points[0].params == {"hospitals": "8", "aggregate": "mean", "malicious": "1"}
    assert len(RISK.points(tables, "federated_private", cfg)) == 4
    names = {figure.name for figure in points[0].figures}
    assert {"accuracy_none", "accuracy_boost", "attack_success_rate_backdoor"} <= names
    assert RISK.points(tables, "baseline", cfg) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aggregate": "medain"}, "conf: federation.aggregate: 'medain' is no rule of aggregation"),
        ({"aggregates": ["krumm"]}, "conf: federation.aggregates: 'krumm' is no rule"),
        ({"attacks": ["flip"]}, "conf: federation.attacks: 'flip' is no attack"),
        ({"malicious": [4]}, "conf: federation.malicious: 4 of 4 hospitals leave no honest one"),
        ({"malicious": [1, 8]}, "conf: federation.malicious: 8 of 8 hospitals leave no honest one"),
        ({"enabled": True, "aggregate": "krum", "sites": 4}, "krum takes 5 hospitals"),
        (
            {"private_recipes": {"dp_tain": {}}},
            "federation.private_recipes: 'dp_tain' is no private recipe",
        ),
        (
            {"private_recipes": {"dp_train": {"epsilon": 1.0}}},
            "federation.private_recipes.dp_train.delta",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(cfg, changes, said):
    with pytest.raises(BadInput, match=said):
        RISK.check(made_up.settings(cfg, **changes), "conf")
