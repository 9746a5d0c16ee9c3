"""A finished run is not run again, whatever ended the process; anything that decides a result is part of its key."""

import shutil

import pytest
import torch

import tiny
from pipeline import sweep
from pipeline.params import configured
from pipeline.report import write
from risks.evasion import made_up

SMALL = [
    "experiment=smoke",
    "threads=1",
    "train.epochs=2",
    "plan.folds=2",
    "plan.seeds=1",
    "audit.eps=[0.0,0.3]",
]
SMALL += [
    "audit.resamples=100",
    "model.hidden=[8]",
    "privacy.membership=[loss]",
    "privacy.targets=4",
]


@pytest.fixture
def place(tmp_path, monkeypatch, empty_store):
    """A repository root of its own; returns a function that runs overrides there and counts what was trained."""
    (tmp_path / "conf").symlink_to(tiny.ROOT / "conf")
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    data = tiny.records(60, seed=5)
    monkeypatch.setattr(sweep, "read_raw", lambda *_: (data, {}))
    for draw in ("draw_all", "draw_privacy"):
        monkeypatch.setattr(write, draw, lambda *_: [])  # pictures take longer than all the rest
    trained = []
    original = sweep.train
    monkeypatch.setattr(
        sweep, "train", lambda name, *rest: trained.append(name) or original(name, *rest)
    )

    def run(*overrides):
        trained.clear()
        return sweep.run_recipes(small(*overrides), list(overrides)), list(trained)

    return run


def small(*overrides):
    """The configuration of a run on the tiny clinic."""
    cfg = configured([*SMALL, *overrides])
    return made_up.small(
        cfg.model_copy(
            update={"data": cfg.data.model_copy(update={"features": dict(tiny.FEATURES)})}
        )
    )


@pytest.fixture(autouse=True)
def threads():
    """Recipes set the number of threads; give it back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_finished_run_is_not_run_again(place):
    (first,), trained = place("defense=baseline")
    assert trained == ["baseline"]
    assert not first["done_before"]
    (again,), trained = place("defense=baseline")
    assert trained == []
    assert again == {**first, "done_before": True}


def test_what_decides_the_result_decides_the_key(place):
    changes = ((), ("seed=1",), ("train.epochs=3",), ("model.hidden=[4]",), ("model=linear",))
    data, _ = sweep.read_raw()
    keys = [
        sweep.run_key(sweep.only(small("defense=baseline", *more), "baseline"), data)[:16]
        for more in changes
    ]
    assert len(set(keys)) == 5
    assert [place("defense=baseline", *changes[at])[0][0]["key"] for at in (0, 1)] == keys[:2]


def test_the_sections_of_other_defences_do_not(place):
    (alone,), _ = place("defense=baseline")
    lines, trained = place("defense=[baseline,distill]", "distill.epochs=1")
    assert [line["key"] == alone["key"] for line in lines] == [True, False]
    assert trained == ["distill"]


def test_the_records_and_the_code_are_part_of_the_key(monkeypatch, tmp_path):
    cfg, data = sweep.only(configured(["defense=baseline"]), "baseline"), tiny.records(20, seed=0)
    key = sweep.run_key(cfg, data)
    changed = data.x.clone()
    changed[3, 0] += 1
    assert sweep.run_key(cfg, type(data)(changed, data.y, data.schema)) != key
    (tmp_path / "module.py").write_text("")
    monkeypatch.setattr(sweep, "__file__", str(tmp_path / "sweep.py"))
    assert sweep.run_key(cfg, data) != key


def test_a_run_that_was_cut_off_leaves_nothing_and_is_run_again(place, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            sweep, "write_evaluation", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            place("defense=baseline")
    assert not [path for path in (tmp_path / "sweeps").iterdir() if not path.name.startswith(".")]
    (line,), trained = place("defense=baseline")
    assert trained == ["baseline"]
    assert not line["done_before"]


def test_a_result_that_never_reached_mlflow_is_logged_without_training(place, monkeypatch):
    import mlflow

    with monkeypatch.context() as patch:
        patch.setattr(
            sweep, "log_evaluation", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            place("defense=baseline")
    (line,), trained = place("defense=baseline")
    assert trained == []
    assert line["done_before"]
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("medsecure-pima").experiment_id
    runs = client.search_runs([experiment], "attributes.status = 'FINISHED'")
    assert len(runs) == 1 + 2  # the defence and its two radii
