"""Parameters: the few that tell runs apart, by plain names, and no place on this machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

import groves
import tiny
from pipeline.config import ModelConfig
from pipeline.risks.risk import Judgement, Point
from pipeline.tracking.params import (
    COMPARED,
    apart,
    parameters,
    placeless,
    point_parameters,
    settings,
)
from pipeline.tracking.runs import run_name

OVERRIDES = [
    "dp_train.epsilon=8",
    "+train.note=a=b",
    "~attack.square",
    "adv_train.eps=0.1",
    "seed=2",
]


class Population:
    facts = {"decision": {"rule": "specificity", "value": 0.85, "chosen_on": "public"}}


def test_a_run_says_how_strong_its_defense_is_whatever_the_recipe(cfg):
    told = {name: parameters(cfg, name, Population()) for name in ("baseline", "adv_train")}
    assert {name: one["eps"] for name, one in told.items()} == {
        "baseline": "0",
        "adv_train": f"{cfg.defenses['adv_train']['eps']:g}",
    }
    assert all("epsilon" not in one for one in told.values())  # no number would be true
    private = parameters(cfg, "dp_train", Population())
    assert private["epsilon"] == f"{cfg.defenses['dp_train']['epsilon']:g}"
    assert private["threshold_rule"] == "specificity 0.85"
    assert len(private) <= 12


def test_what_the_plan_does_not_read_is_no_parameter(cfg):
    def told(kind):
        plan = cfg.plan.model_copy(update={"kind": kind})
        known = parameters(cfg.model_copy(update={"plan": plan}), "baseline", Population())
        return {"folds", "repetitions"} & set(known)

    assert [told(kind) for kind in ("folds", "official", "frozen")] == [
        {"folds", "repetitions"},
        {"repetitions"},
        set(),
    ]


def test_nothing_stands_before_the_three_that_are_compared_first(cfg):
    told = sorted(set(parameters(cfg, "dp_train", Population())) - {"data"})  # one an experiment
    assert tuple(told[:3]) == COMPARED


def test_what_sets_a_run_apart_is_a_parameter_without_the_name_of_its_recipe():
    assert apart("dp_train", OVERRIDES) == {
        "epsilon": "8",
        "train.note": "a=b",
        "attack.square": "removed",
        "seed": "2",
    }


def test_the_kind_of_model_is_that_which_was_trained_not_that_which_was_configured(cfg):
    forest, network = groves.grown("forest")[0], tiny.population(1)
    assert cfg.model.name == "mlp"
    assert parameters(cfg, "logistic", forest)["model"] == "forest"
    assert parameters(cfg, "adv_train", network)["model"] == "mlp"
    point = Point({"attack_eps": "0.1"}, ())
    assert point_parameters(cfg, "logistic", forest, point, [])["model"] == "forest"
    estimator = cfg.model_copy(update={"model": ModelConfig(name="estimator", factory="a:b")})
    assert parameters(estimator, "baseline", forest)["model"] == "estimator"


def test_a_nested_run_has_the_setting_of_the_attacker_beside_that_of_the_defense(cfg):
    point = Point({"attack_eps": "0.1"}, ())
    assert point_parameters(
        cfg, "adv_train", tiny.population(1), point, ["adv_train.eps=0.5", "seed=2"]
    ) == {
        "defense": "adv_train",
        "eps": "0.5",
        "model": "mlp",
        "seed": cfg.seed,
        "attack_eps": "0.1",
    }


def test_a_name_says_what_sets_a_run_apart_in_few_letters():
    assert run_name("dp_train", Judgement()) == "dp_train"
    flagged = Judgement({"degenerate": "why", "masked": "so"})
    overrides = ["dp_train.epsilon=8", "seed=2", "data.file=/home/somebody/cohort.csv"]
    said = "dp_train (epsilon=8, seed=2, data.file=cohort.csv) [degenerate, masked]"
    assert run_name("dp_train", flagged, overrides) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [("/home/me/a.csv", "a.csv"), ("data/a.csv", "data/a.csv"), ("mg/dL", "mg/dL"), ("", "")],
)
def test_a_place_on_this_machine_is_a_name(value, said):
    assert placeless(value) == said


@given(
    some.recursive(
        some.just("/home/me/x.csv"),
        lambda inner: (
            some.lists(inner, max_size=3)
            | some.dictionaries(some.text(max_size=3), inner, max_size=3)
        ),
    )
)
def test_settings_hold_no_place_however_deep(values):
    assert "/home" not in repr(settings({"a": values}))
