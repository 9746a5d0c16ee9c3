"""A root of its own, and runs of small configurations in it."""

import copy
import shutil
from types import SimpleNamespace

import pytest
import torch
import yaml

import clinic
import tiny
from mistakes import overridden
from pipeline.params import compose
from pipeline.sweep import once


@pytest.fixture(scope="module")
def composed(smoke_values):
    """The smoke configuration with overrides of single keys, or with a file of `conf/`."""

    def with_overrides(*overrides):
        files = [one for one in overrides if one.startswith("model=")]
        values = copy.deepcopy(smoke_values)
        if files:
            values = yaml.safe_load(compose(["experiment=smoke", *files], tiny.ROOT / "conf"))
        return overridden(values, [one for one in overrides if one not in files])

    return with_overrides


@pytest.fixture(scope="module")
def small(composed):
    """The configuration of a run on the tiny clinic, with one defense or several."""

    def configuration(*overrides, defenses=("baseline",)):
        values = composed("threads=1", "plan.folds=2", "plan.seeds=1", *overrides)
        return clinic.configuration(values, defenses)

    return configuration


def runs_at(root, patch, small):
    """Runs overrides in a root of its own, and counts what is trained and what is drawn."""
    patch.setenv("DVC_ROOT", str(root))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    data = tiny.records(60, seed=5)
    patch.setattr(once, "read_raw", lambda *_: (data, {}))
    clinic.undrawn(patch)
    trained, drawn = [], []
    train, write = once.train_reported, once.write_evaluation
    patch.setattr(
        once, "train_reported", lambda name, *rest: trained.append(name) or train(name, *rest)
    )
    patch.setattr(once, "write_evaluation", lambda *all: drawn.append(1) or write(*all))

    def run(*overrides, defenses=("baseline",)):
        trained.clear()
        drawn.clear()
        lines = once.run_recipes(small(*overrides, defenses=defenses), list(overrides))
        return SimpleNamespace(
            lines=lines, line=lines[0], trained=list(trained), drawn=len(drawn), root=root
        )

    run.trained, run.drawn, run.root = trained, drawn, root
    return run


@pytest.fixture
def place(tmp_path, monkeypatch, empty_store, small):
    """Runs in a root where nothing was run before."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return runs_at(tmp_path, monkeypatch, small)


@pytest.fixture(scope="module")
def first(tmp_path_factory, empty_store, small):
    """A first run, to its end."""
    root = tmp_path_factory.mktemp("finished")
    shutil.copy(empty_store, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        return runs_at(root, patch, small)("seed=1")


@pytest.fixture
def after_first(first, tmp_path, monkeypatch, small):
    """Runs in a root where `first` was run before."""
    shutil.copytree(first.root, tmp_path, dirs_exist_ok=True)
    return runs_at(tmp_path, monkeypatch, small)


@pytest.fixture(autouse=True)
def threads():
    """Recipes set the number of threads; give it back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
