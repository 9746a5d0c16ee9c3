"""What leaves the project: secret noise, its facts, and one clear line for a mistake."""

import json
import sys
from functools import wraps

import pytest
import torch

import tiny
from pipeline import release as module
from pipeline.config import ModelConfig
from pipeline.data.plan import RELEASE, Plan
from pipeline.data.schema import load_schema
from pipeline.defenses.trained import train
from pipeline.files import BadInput, FailedCheck
from pipeline.models.population import load_population
from pipeline.release import hand_out, train_for_release

pytestmark = pytest.mark.heavy

DATA = tiny.records(120, seed=0)
PLAN = tiny.plan(DATA, release=True, seed=7)


@pytest.fixture
def linear(cfg):
    recipe = {**cfg.defenses["dp_train"], "expected_batch": 60, "steps": 10}
    return cfg.model_copy(
        update={"dp_train": recipe, "model": ModelConfig(name="linear", hidden=[])}
    )


@pytest.fixture
def called(linear, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "prepared", lambda: (DATA, PLAN))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["release", *map(str, arguments)])
        return hand_out(linear)

    return call


def test_two_calls_give_two_models_that_say_so(called, tmp_path, linear):
    said = [called("dp_train", tmp_path / name) for name in ("one", "two")]
    first, second = (load_population(tmp_path / name) for name in ("one", "two"))
    assert not torch.equal(first.parameters["weight0"], second.parameters["weight0"])
    assert first.labels == (RELEASE,)
    assert first.facts["noise"].endswith("not kept: for release")
    assert first.facts["measured"]["checks"][0]["noise"]["measured"] == pytest.approx(1, abs=0.3)
    assert first.facts["guarantee"]["composition"]["models"] == 1
    assert load_schema(tmp_path / "one") == DATA.schema
    assert all("epsilon 3.000 at delta 0.0001" in line for line in said)
    everything = json.loads((tmp_path / "one" / "population.json").read_text())
    assert str(int(PLAN.seeds[-1])) not in json.dumps(everything["facts"])


def test_it_does_not_train_on_whom_the_plan_sets_aside(linear, monkeypatch):
    honest, seen = module.DEFENSES["dp_train"], []

    def watched(dataset, plan, cfg, **options):
        seen.append(plan)
        return honest(dataset, plan, cfg, **options)

    monkeypatch.setitem(module.DEFENSES, "dp_train", wraps(honest)(watched))
    aside = PLAN.with_tune(DATA.y, 0.25)
    model = train_for_release("dp_train", DATA, aside, linear)
    assert torch.equal(seen[0].train, aside.train[-1:])
    assert torch.equal(seen[0].tune, aside.tune[-1:])
    assert model.facts["decision"]["not_covered"].startswith("records of the tune table")


def test_of_an_official_split_it_does_not_train_on_whom_figures_are_made_of(linear, monkeypatch):
    honest, seen = module.DEFENSES["dp_train"], []

    def watched(dataset, plan, cfg, **options):
        seen.append(plan)
        return honest(dataset, plan, cfg, **options)

    monkeypatch.setitem(module.DEFENSES, "dp_train", wraps(honest)(watched))
    split = torch.arange(len(DATA.y)) % 5 % 3  # train, tune, test
    plan = Plan.official(split, seeds=2, seed=0)
    model = train_for_release("dp_train", DATA, plan, linear)
    assert torch.equal(seen[0].train, (split == 0)[None])
    assert torch.equal(seen[0].tune, (split == 1)[None])
    assert not seen[0].held_out.any()
    assert model.labels == (RELEASE,)


def test_a_seeded_model_is_marked(linear):
    facts = train("dp_train", DATA, PLAN, linear).facts
    assert facts["noise"] == "seeded: not for release"


def test_it_starts_where_the_seeded_release_model_starts(linear, monkeypatch):
    from pipeline.defenses import noise

    monkeypatch.setattr(noise, "secret_normals", torch.zeros)
    monkeypatch.setattr("pipeline.defenses.self_measurement.FALSE_ALARM", -1.0)
    monkeypatch.setattr(module, "claim_of", lambda *_: None)
    still = linear.model_copy(
        update={"dp_train": {**linear.defenses["dp_train"], "learning_rate": 1e-30}}
    )
    secret = train_for_release("dp_train", DATA, PLAN, still)
    seeded = train("dp_train", DATA, PLAN, still).release()
    for name, value in secret.parameters.items():
        assert torch.equal(value, seeded.parameters[name])


def test_an_earlier_release_is_left_alone(called, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(BadInput, match="there: is there already; name a new folder"):
        called("dp_train", tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "^command line: expected a defense and a new folder, not nothing"),
        (("dp_train",), r"^command line: expected a defense and a new folder, not \['dp_train'\]"),
        (("dp_tran", "x"), r"^params\.yaml: dp_tran: missing"),
        (("baseline", "x"), "^command line: baseline claims no privacy"),
    ],
)
def test_a_mistake_is_one_line(called, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=line):
        called(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_opacus_makes_no_release(linear, monkeypatch):
    recipe = {**linear.defenses["dp_train"], "engine": "opacus"}
    with pytest.raises(BadInput, match=r"^dp_train\.engine: opacus draws from a seeded generator"):
        train_for_release("dp_train", DATA, PLAN, linear.model_copy(update={"dp_train": recipe}))


def test_a_weak_generator_is_refused(called, tmp_path, monkeypatch):
    from pipeline.defenses import noise

    monkeypatch.setattr(noise, "secret_normals", torch.ones)
    with pytest.raises(FailedCheck, match="the mechanism is not what is claimed"):
        called("dp_train", tmp_path / "out")
    assert not (tmp_path / "out").exists()
