"""What a stage trains the next one opens, whatever the recipe: kept, read, or fitted again."""

import shutil
import sys

import pandas as pd
import pytest
import torch

import tiny
from pipeline import params
from pipeline.data.schema import save_dataset
from pipeline.defenses import DEFENSES
from pipeline.defenses.trained import train_reported
from pipeline.files import FOR_IMAGES_ALONE, FOR_NETWORKS_ALONE
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.models.recipes import ENDING
from pipeline.stages import (
    ARTIFACTS,
    PLAN,
    STAGE_OF,
    attack,
    evaluate,
    examine,
    forgery,
    frontier,
    poisoning,
    safeguards,
    theft,
    train,
    transport,
)

DATA = tiny.records(120, seed=0)
PLAN_OF_TWO = tiny.plan(DATA, folds=2, seeds=1, release=True)
TINY = {
    "audit": {"resamples": 100},
    "membership": {"attacks": ["loss"], "targets": 4},
    "theft": {"recipes": ["baseline"]},
    "poisoning": {
        "recipes": ["baseline"],
        "attacks": ["random_flips"],
        "doses": [1],
        "filters": [],
    },
    "frontier": {"epsilons": []},
}


@pytest.fixture
def ready(tmp_path, empty_store, monkeypatch):
    """A project after `prepare`."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    (ARTIFACTS / "prepare").mkdir(parents=True)
    save_dataset(DATA, ARTIFACTS / "prepare")
    PLAN_OF_TWO.save(ARTIFACTS / "prepare" / PLAN)
    return tmp_path


def configured(values, model, **defenses):
    """One threat, two attacks that ask for scores alone, few defenses."""
    values = {key: value for key, value in values.items() if key not in DEFENSES}
    features = {name: feature.model_dump() for name, feature in tiny.FEATURES.items()}
    values["data"] |= {"target": "outcome", "bands": {}, "classes": list(tiny.SCHEMA.classes)}
    values["data"] |= {"auroc_ceiling": None, "features": features}
    for name, numbers in TINY.items():
        values[name] |= numbers
    values["threat"] = {"clinical": values["threat"]["clinical"] | {"boxes": 100}}
    values["attack"] = {name: values["attack"][name] for name in ("noise", "square")}
    values["decision"] = {"rule": "threshold", "value": 0.5}
    values["model"] = model
    values["threads"] = 2  # what is trained goes to a process beside, too
    return params.parse({**values, "baseline": {}, **defenses, "examine": [*defenses]}, "conf")


def through_stages(cfg, monkeypatch):
    """The rows without attack, as the stage `attack` has them, and as one process has them."""
    torch.set_num_threads(cfg.threads)
    monkeypatch.setattr(sys, "argv", ["train", STAGE_OF["baseline"]])
    train.train_one(cfg)
    attack.attack_baseline(cfg)
    rows = pd.read_parquet(ARTIFACTS / "attack" / "evasion" / "rows.parquet")
    clean = rows[(rows["eps"] == 0) & (rows["attack"] == "square")].sort_values("patient")
    population = train_reported("baseline", DATA, PLAN_OF_TWO, cfg)
    margins, _ = margins_out_of_fold(population, DATA, PLAN_OF_TWO)
    return torch.from_numpy(clean["margin"].to_numpy(copy=True)), margins.flatten().to(
        torch.float32
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neighbours", "vectors", "Nearest", "by_itself"])
def test_a_recipe_that_cannot_be_kept_goes_through_the_stages(
    name, ready, values, monkeypatch, undrawn
):
    model = {"name": "estimator", "factory": f"brought:{name}", "gaps": "empty"}
    cfg = configured(values, model)
    before, alone = through_stages(cfg, monkeypatch)
    assert tiny.same_bits(before, alone)
    assert len(list((ARTIFACTS / "train_baseline").glob(f"*{ENDING}"))) == PLAN_OF_TWO.size
    if name == "vectors":
        evaluate.evaluate_everything(cfg)
        table = pd.read_csv(ARTIFACTS / "evaluate" / "comparison.csv")
        assert set(table["defense"]) == {"baseline"}
        assert len(pd.read_csv(ARTIFACTS / "evaluate" / "membership.csv"))


FOREST = {"name": "forest", "kind": "forest", "trees": 4, "depth": 4, "leaf": 1}
OTHERS = {"kind": "extra_trees", "trees": 4, "depth": 4, "leaf": 1}


@pytest.mark.slow
def test_every_stage_runs_on_a_forest(ready, values, monkeypatch, undrawn):
    cfg = configured(values, FOREST, extra_trees=OTHERS)
    before, alone = through_stages(cfg, monkeypatch)
    torch.testing.assert_close(before, alone)
    for name in cfg.examine:
        monkeypatch.setattr(sys, "argv", ["stage", name])
        train.train_one(cfg)
        examine.examine_one(cfg)
    own = (theft.steal_all, poisoning.harm_and_filter, transport.ask_everywhere)
    left = (frontier.vary_epsilon, safeguards.safeguard, forgery.forge_and_look)
    assert all("recipes" in stage(cfg) for stage in own)
    said = [stage(cfg) for stage in left]
    assert said == [
        "not asked for: frontier.epsilons is empty",
        FOR_NETWORKS_ALONE,
        FOR_IMAGES_ALONE,
    ]
    evaluate.evaluate_everything(cfg)
    tables = {path.stem: pd.read_csv(path) for path in (ARTIFACTS / "evaluate").glob("*.csv")}
    assert set(tables["comparison"]["defense"]) == {"baseline", "extra_trees"}
    assert (tables["comparison"]["undecided"] == 0).all()  # a forest is proved
    for risk in ("theft", "poisoning"):
        assert "baseline" in set(tables[risk]["defense"])
    assert set(tables["membership"]["defense"]) == {"baseline", "extra_trees"}
