"""The tables about poisoning from the folders of its stages: which there are, columns explained."""

import pytest
import torch

import parts
from pipeline.attacks.poisoning import POISONS
from pipeline.risks.poisoning.measure.certificate import CERTIFICATE, Certificate
from pipeline.risks.poisoning.measure.filtering import PREFIX
from pipeline.risks.poisoning.risk import RISK
from pipeline.risks.risk import Context, Sources
from risks.poisoning.made_up import made_up_filtered, made_up_harm

DOSES, FILTERS = [1, 0.1], ("neighbours", "loss")
RECIPES = ("baseline", "distill")


@pytest.fixture
def context(cfg, dataset):
    numbers = {"attacks": list(POISONS), "doses": DOSES, "adaptive_doses": DOSES}
    numbers |= {"recipes": [*RECIPES, "not_configured"]}
    poisoning = cfg.poisoning.model_copy(update=numbers)
    return Context(dataset, cfg.model_copy(update={"poisoning": poisoning}))


@pytest.fixture
def sources(tmp_path):
    stage, examined = tmp_path / "poisoning", {name: tmp_path / name for name in RECIPES}
    stage.mkdir()
    for name in RECIPES:
        made_up_harm(60, doses=2, harm=2.0).save(stage / f"{name}.safetensors")
    harm = made_up_harm(60, doses=2, harm=2.0)
    for attack, one in made_up_filtered(harm, filters=FILTERS, gain=1.0).items():
        one.save(stage / f"{PREFIX}{attack}.safetensors")
    y = torch.arange(60) % 2
    records = torch.arange(60).expand(2, -1).clone() - 1
    Certificate(y, records).save(examined["distill"] / CERTIFICATE)
    return Sources(examined, tmp_path)


def test_each_recipe_filter_and_certificate_has_its_rows(sources, context):
    tables = RISK.tables(sources, context)
    assert list(tables) == ["poisoning", "poisoning_pairs", "filters", "certificate"]
    assert list(tables["poisoning"]["defense"].unique()) == list(RECIPES)
    assert list(tables["filters"]["filter"].unique()) == list(FILTERS)
    order = ["none", *(name for name in POISONS if name != "one_patient")]
    assert list(tables["filters"]["attack"].unique()) == order
    assert set(tables["certificate"]["defense"]) == {"distill"}


def test_what_was_not_run_has_no_table(sources, context):
    assert list(RISK.tables(Sources(sources.examined), context)) == ["certificate"]
    assert list(RISK.tables(Sources({}, sources.stages), context)) == [
        "poisoning",
        "poisoning_pairs",
        "filters",
    ]
    assert RISK.tables(Sources({}), context) == {}


def test_every_column_is_explained_and_none_that_is_not_there(sources, context):
    assert parts.unlike_its_explanation(RISK, RISK.tables(sources, context), ()) == {}
