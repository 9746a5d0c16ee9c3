"""Real servers on loopback, once for all tests; where one is not installed, these are skipped."""

import os
import shutil

import pytest

import tiny
from benchmarks.servers import team, why_absent
from pipeline.sweep import claims


def pytest_collection_modifyitems(items):
    absent = why_absent()
    for item in items:
        if item.path.parent.name == "team":
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))
            if absent:
                item.add_marker(pytest.mark.skip(reason=absent))


@pytest.fixture(scope="session")
def servers():
    with team() as running:
        yield running


@pytest.fixture
def told(servers, tmp_path, monkeypatch):
    """The environment of somebody of the team, in a repository root of their own."""
    for name, value in {**servers.store.env, "MLFLOW_TRACKING_URI": servers.tracking}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tiny.ROOT))
    import mlflow

    mlflow.set_tracking_uri(servers.tracking)
    yield {**os.environ}
    for claim in list(claims._held.values()):
        claim.release()


@pytest.fixture
def records(tmp_path):
    """The cohort in that root."""
    file = tiny.ROOT / "data" / "pima.csv"
    if not file.exists():
        pytest.skip("data/pima.csv is not here")
    (tmp_path / "data").mkdir()
    shutil.copy(file, tmp_path / "data")
    return tmp_path / "data" / "pima.csv"
