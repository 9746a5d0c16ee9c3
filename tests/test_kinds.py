"""Populations of other kinds go the whole road: what applies is measured, the rest says why not."""

import re
import shutil
import sys

import pandas as pd
import pytest

import kinds
import tiny
from pipeline import defenses, params
from pipeline.data.schema import save_dataset
from pipeline.defenses import DEFENSES
from pipeline.defenses.trained import train
from pipeline.models.population import KINDS, load_population
from pipeline.stages import PLAN, attack, evaluate, examine

pytestmark = pytest.mark.heavy

SUITE = ("noise", "fgsm", "pgd_margin", "square")


def configured(values, data, defenses):
    """The configuration of a run on these data: one threat, few attacks, two defenses."""
    values = {key: value for key, value in values.items() if key not in DEFENSES}
    values["data"] |= data
    values["audit"] |= {"resamples": 100}
    values["membership"] |= {"attacks": ["loss"], "targets": 4}
    values["threat"] = {"clinical": values["threat"]["clinical"] | {"boxes": 500}}
    values["attack"] = {name: values["attack"][name] for name in SUITE}
    others = [name for name in defenses if name != "baseline"]
    return params.parse({**values, **{name: {} for name in defenses}, "examine": others}, "conf")


def road(place, dataset, plan, cfg, monkeypatch):
    """Trains what is configured, attacks and examines it, and draws up everything; the results."""
    monkeypatch.chdir(place)
    prepared = place / "artifacts" / "prepare"
    prepared.mkdir(parents=True)
    save_dataset(dataset, prepared)
    plan.save(prepared / PLAN)
    for name in cfg.defenses:
        folder = place / "artifacts" / ("train_baseline" if name == "baseline" else name)
        folder.mkdir()
        train(name, dataset, plan, cfg).save(folder)
    attack.attack_baseline(cfg)
    for name in cfg.examine:
        monkeypatch.setattr(sys, "argv", ["examine", name])
        examine.examine_one(cfg)
    evaluate.evaluate_everything(cfg)
    return place / "artifacts" / "evaluate"


@pytest.fixture
def stored(tmp_path, empty_store, monkeypatch):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return tmp_path


def table(folder, name):
    return pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values=[""])


def words(folder):
    text = (folder / "report.html").read_text()
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL).split())


@pytest.mark.slow
def test_a_convolutional_network_on_images_with_an_official_split(stored, values, monkeypatch):
    dataset = kinds.scans(90, seed=0)
    plan = kinds.official_split(dataset, train=60, seeds=2)
    monkeypatch.setitem(DEFENSES, "baseline", kinds.convolutions)
    monkeypatch.setitem(DEFENSES, "again", kinds.convolutions)
    monkeypatch.setitem(defenses.SERVES, "again", defenses.Serves(images=True))
    monkeypatch.setitem(KINDS, "convolutions", kinds.Convolutions.load)
    pixel = kinds.PIXEL.model_dump()
    data = {"name": "scans", "title": "Scans", "target": "diagnosis", "bands": {}}
    data |= {
        "classes": list(kinds.SCANS.classes),
        "auroc_ceiling": None,
        "features": {"pixel": pixel},
        "source": "sklearn",
        "image": {"shape": [1, kinds.SIDE, kinds.SIDE]},
    }
    values["model"] = {"name": "cnn", "hidden": [4], "channels": [4]}
    # sixty images are too few to choose a specificity on
    values["decision"] = {"rule": "threshold", "value": 0.5}
    cfg = configured(values, data, {"baseline": {}, "again": {}})
    folder = road(stored, dataset, plan, cfg, monkeypatch)

    again = load_population(stored / "artifacts" / "again")
    assert isinstance(again, kinds.Convolutions)
    comparison = table(folder, "comparison")
    assert set(comparison["defense"]) == {"baseline", "again"}
    clean = comparison[comparison["eps"] == 0]
    assert (clean["clean_accuracy"] > 0.8).all()  # it learned what there is to see
    assert (clean["robust_accuracy"] == clean["clean_accuracy"]).all()
    worst = comparison[comparison["eps"] == comparison["eps"].max()]
    assert (worst["robust_accuracy"] < worst["clean_accuracy"]).all()
    # Nothing is proved of it, and it is said so: undecided, neither a zero nor "exact".
    assert (comparison["verified_accuracy"] == 0).all()
    assert (comparison["undecided"] == comparison["robust_accuracy"]).all()
    assert len(table(folder, "membership")) > 0
    why = table(folder, "inversion_not_applicable").set_index("defense")["why"]
    assert set(why.index) == {"baseline", "again"}
    # Known exactly is only where everybody is broken.
    html = (folder / "report.html").read_text()
    before = re.findall(r"<td>([^<]*)</td><td>exact</td>", html)
    assert all(robust.startswith("0.000 (") for robust in before)
    page = words(folder)
    assert page.count(f"not applicable: {why['again']}") == 2


@pytest.mark.slow
def test_a_black_box_that_gives_scores_alone(stored, values, monkeypatch, undrawn):
    dataset = tiny.records(120, seed=0)
    plan = tiny.plan(dataset, release=True)
    monkeypatch.setitem(DEFENSES, "black_box", kinds.scores_only)
    monkeypatch.setitem(KINDS, "scores_only", kinds.ScoresOnly.load)
    features = {name: feature.model_dump() for name, feature in tiny.FEATURES.items()}
    data = {"target": "outcome", "bands": {}, "classes": list(tiny.SCHEMA.classes)}
    data |= {"auroc_ceiling": None, "features": features}
    cfg = configured(values, data, {"baseline": {}, "black_box": {}})
    folder = road(stored, dataset, plan, cfg, monkeypatch)

    attacks = table(folder, "attacks")
    tried = {name: set(lines["attack"]) for name, lines in attacks.groupby("defense")}
    assert {"fgsm", "pgd_margin", "square", "noise", "exact"} <= tried["baseline"]
    assert {"square", "noise", "transfer", "surrogate"} <= tried["black_box"]
    assert not {"fgsm", "pgd_margin"} & tried["black_box"]
    gaps = table(folder, "evasion_not_applicable")
    assert set(gaps["defense"]) == {"black_box"}
    assert {"fgsm", "pgd_margin"} <= set(gaps["what"])
    comparison = table(folder, "comparison").set_index("defense")
    assert (comparison.loc["black_box", "verified_accuracy"] == 0).all()
    assert (comparison.loc["baseline", "undecided"] == 0).all()
    assert (table(folder, "membership")["defense"] == "black_box").any()
    page = words(folder)
    named = r"black_box( \[[^\]]*\])?"  # with its flags, where it has any
    assert re.search(rf"{named}, fgsm: not applicable: ", page)
    assert (table(folder, "inversion")["defense"] == "black_box").any()
    assert "black_box" not in set(table(folder, "typical")["defense"])  # along gradients alone
