"""The guard, poisoning and theft of one recipe alone."""

from pipeline.attacks.poisoning import ATTACKS
from pipeline.files import NOT_APPLICABLE, read_json
from pipeline.risks.poisoning.measure.filtering import PREFIX
from pipeline.stages import poisoning, theft
from pipeline.sweep import staged
from pipeline.sweep.keys import only
from tiny import plan


class Crafted:
    """Poison that is made for nobody but the undefended models."""

    def __init__(self, undefended):
        self.sets = undefended


class Saved:
    """Something that leaves a file."""

    def save(self, path):
        path.write_text("saved")


def measured(monkeypatch, cfg, dataset, place, name):
    """What is measured of a recipe, and the files that this leaves."""
    asked = []
    monkeypatch.setattr(staged.Plan, "of", lambda *_: plan(dataset))
    # poison is chosen by what it does to undefended models
    monkeypatch.setattr(
        poisoning, "craft_poison", lambda *given: Crafted(given[-1].defenses["baseline"])
    )
    monkeypatch.setattr(poisoning.filtering, "filtered_attacks", lambda *_: [next(iter(ATTACKS))])
    for owner, function in ((poisoning, "measure_harm"), (poisoning.filtering, "filter_poison")):
        monkeypatch.setattr(
            owner, function, lambda one, *_, f=function: asked.append((f, one)) or Saved()
        )
    monkeypatch.setattr(theft, "steal", lambda one, *_: asked.append(("steal", one)) or Saved())
    monkeypatch.setattr(staged, "train_reported", lambda one, *_: one)
    monkeypatch.setattr(
        staged, "guard_models", lambda models, *_: asked.append(("guard", *models.items()))
    )
    staged.measure_staged(name, dataset, only(cfg, name), place)
    return asked, sorted(file.relative_to(place).as_posix() for file in place.rglob("*.*"))


def test_a_defense_is_poisoned_and_stolen_and_nobody_else(monkeypatch, cfg, dataset, tmp_path):
    asked, files = measured(monkeypatch, cfg, dataset, tmp_path, "dp_train")
    guarded = ("guard", ("dp_train", "dp_train"))
    assert asked == [guarded, ("measure_harm", "dp_train"), ("steal", "dp_train")]
    assert files == ["federation/not_applicable.json", "poisoning/dp_train.safetensors"]
    assert read_json(tmp_path / files[0]) == {}  # nobody asks


def test_filters_are_tried_on_the_undefended_one_alone(monkeypatch, cfg, dataset, tmp_path):
    asked, files = measured(monkeypatch, cfg, dataset, tmp_path, "baseline")
    first = next(iter(ATTACKS))
    assert ("filter_poison", first) in asked
    assert f"poisoning/{PREFIX}{first}.safetensors" in files


def test_a_federation_is_looked_into_where_it_is_asked_for(monkeypatch, cfg, dataset, tmp_path):
    asked = []
    monkeypatch.setattr(
        staged, "federate_all", lambda *given: asked.append(given[-1]) or {"krum": "too few"}
    )
    monkeypatch.setattr(staged.Plan, "of", lambda *_: plan(dataset))
    measure, _ = staged.MEASURES["federation"]
    for name in ("federated", "baseline"):
        (tmp_path / name).mkdir()
        measure(name, dataset, cfg, tmp_path / name)
    assert asked == [tmp_path / "federated" / "federated"]
    said = [read_json(tmp_path / name / NOT_APPLICABLE) for name in ("federated", "baseline")]
    assert said == [{"federation": {"krum": "too few"}}, {}]


def test_who_cuts_hospitals_from_all_records_is_not_poisoned_and_says_why(cfg, dataset, tmp_path):
    measure, _ = staged.MEASURES["poisoning"]
    for name in ("federated", "federated_private"):
        (tmp_path / name).mkdir()
        measure(name, dataset, cfg, tmp_path / name)
        (said,) = read_json(tmp_path / name / NOT_APPLICABLE)["poisoning"].values()
        assert "risk federation" in said
