"""Fixtures shared by all tests. Everything here is tiny, seeded and offline."""

import contextlib
import gc
import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

from pipeline.kernels import fix_kernels

gc.set_threshold(100_000)  # before the imports, as in a stage
fix_kernels()  # before torch and NumPy, which look at the processor once

import pytest
import torch
import yaml

import tiny

# More threads than the models are wide only add noise to the timing, and parallel test runners
# share the cores.
torch.set_num_threads(1)


PLAIN = re.compile(r"[\w./-]", re.ASCII)  # of a path

LONGEST = (
    "test_pipeline.py",
    "test_main.py",
)  # files that take minutes: with two workers they must not come last


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)  # stable: the rest keeps its order


CLINIC = ("tests/report/", "tests/sweep/", "tests/tracking/")  # who reads `evaluated`


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to workers whole; in `make test` those of the clinic to one: it costs seconds."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "clinic" if nodeid.startswith(CLINIC) else super()._split_scope(nodeid)

    together = config.getoption("dist") == "loadfile" and config.getoption("markexpr") == "not slow"
    return Together(config, log) if together else None


def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported and collected stays: no search for cycles walks through it


def copied(values: Any) -> Any:
    """Plain values, the caller's own."""
    if isinstance(values, dict):
        return {key: copied(value) for key, value in values.items()}
    return [copied(value) for value in values] if isinstance(values, list) else values


@pytest.fixture(autouse=True)
def _one_thread_again():
    """Whatever a stage that ran in this process was configured with."""
    yield
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_path_again():
    """A model of MLflow's that is loaded here puts its own copy of the package on the path.

    The processes that a later test starts would import that copy, which holds a part of it.
    """
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(scope="session", autouse=True)
def read_once():
    """Equal YAML is read once: the same few presets are read thousands of times, and slowly."""
    known: dict[tuple[object, ...], Any] = {}
    load = yaml.load

    def once(stream: Any, Loader: Any) -> Any:
        text = stream
        if hasattr(stream, "read"):
            start, text = stream.tell(), stream.read()
            stream.seek(start)  # a mistake is told of the stream, by its name
        key = (Loader.__qualname__, text)
        if key not in known:
            known[key] = load(stream, Loader)
        return copied(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def composed_once():
    """Hydra composes equal files by equal overrides once; half a second each time adds up.

    Of a folder only the odd characters of its path count: what Hydra could stumble over.
    """
    from pipeline.project import composition

    known: dict[tuple[object, ...], str] = {}
    compose = composition.composed_text

    def once(overrides: list[str], places: list[Path]) -> str:
        files = [
            (PLAIN.sub("", str(place)), path.relative_to(place), path.read_bytes())
            for place in places
            for path in sorted(place.rglob("*.yaml"))
        ]
        key = (*overrides, *files)
        if key not in known:
            known[key] = compose(overrides, places)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "composed_text", once)
        yield


@pytest.fixture(scope="session")
def smoke_text(composed_once) -> str:
    """`params.yaml` as the preset for tests composes it."""
    from pipeline import params  # and with it every risk

    return params.compose(["experiment=smoke"], tiny.ROOT / "conf")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A database that MLflow has set up, to be copied: setting one up takes seconds.

    From here on no database waits for the disk: no test cuts the power.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from pipeline.tracking.store import one_writer, tracking_uri

    @event.listens_for(Engine, "connect")
    def unsynced(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            with contextlib.suppress(sqlite3.DatabaseError):  # some are damaged on purpose
                connection.execute("PRAGMA synchronous = OFF")

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        with one_writer():
            import mlflow

            mlflow.set_tracking_uri(tracking_uri())
            mlflow.MlflowClient().search_experiments()
    return path


@pytest.fixture(scope="session")
def smoke_values(smoke_text):
    return yaml.safe_load(smoke_text)


@pytest.fixture
def values(smoke_values):
    """The composed configuration as plain values, the test's own copy."""
    return copied(smoke_values)


@pytest.fixture(scope="session")
def evaluated(smoke_values, tmp_path_factory):
    """A tiny clinic (`clinic.Clinic`) with three defenses, evaluated; to be read only."""
    import clinic  # and with it all that draws tables and pages

    return clinic.evaluated(smoke_values, tmp_path_factory.mktemp("clinic"))


@pytest.fixture(scope="session")
def cfg(smoke_values):
    """The composed configuration, checked; to be read only."""
    from pipeline import params

    checked = params.parse(copied(smoke_values), "conf")
    yield checked
    assert checked == params.parse(copied(smoke_values), "conf"), "a test changed what others read"


@pytest.fixture(scope="session")
def folded():
    """240 records with missing values, and a plan of them with a release model; nobody writes."""
    records = tiny.records(240, seed=3, missing=0.05)
    return records, tiny.plan(records, folds=3, seeds=2, release=True)


@pytest.fixture
def dataset():
    """120 records with missing values."""
    return tiny.records(120, seed=0)


@pytest.fixture
def undrawn(monkeypatch):
    """For tests of what is said, and which pictures there are."""
    import parts

    parts.undrawn(monkeypatch)


@pytest.fixture
def two_threads():
    """For what shares work out to processes."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)
