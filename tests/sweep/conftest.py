"""A root of its own, and runs of small configurations in it."""

import shutil
from types import SimpleNamespace

import pytest
import torch
import yaml

import clinic
import tiny
from pipeline.params import compose
from pipeline.sweep import once


@pytest.fixture(scope="module")
def composed():
    """Composes the smoke configuration with overrides, once each."""
    known = {}

    def compose_once(*overrides):
        if overrides not in known:
            known[overrides] = compose(["experiment=smoke", *overrides], tiny.ROOT / "conf")
        return yaml.safe_load(known[overrides])

    return compose_once


@pytest.fixture
def small(composed):
    """The configuration of a run on the tiny clinic, with one defense or several."""

    def configuration(*overrides, defenses=("baseline",)):
        values = composed("threads=1", "plan.folds=2", "plan.seeds=1", *overrides)
        return clinic.configuration(values, defenses)

    return configuration


@pytest.fixture
def place(tmp_path, monkeypatch, empty_store, small):
    """A root of its own; runs overrides there, and counts what is trained and what is drawn."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    data = tiny.records(60, seed=5)
    monkeypatch.setattr(once, "read_raw", lambda *_: (data, {}))
    clinic.undrawn(monkeypatch)
    trained, drawn = [], []
    train, write = once.train_reported, once.write_evaluation
    monkeypatch.setattr(
        once, "train_reported", lambda name, *rest: trained.append(name) or train(name, *rest)
    )
    monkeypatch.setattr(once, "write_evaluation", lambda *all: drawn.append(1) or write(*all))

    def run(*overrides, defenses=("baseline",)):
        trained.clear()
        drawn.clear()
        lines = once.run_recipes(small(*overrides, defenses=defenses), list(overrides))
        return SimpleNamespace(
            lines=lines, line=lines[0], trained=list(trained), drawn=len(drawn), root=tmp_path
        )

    return run


@pytest.fixture(autouse=True)
def threads():
    """Recipes set the number of threads; give it back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
