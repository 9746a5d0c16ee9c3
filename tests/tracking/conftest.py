"""The tiny clinic, logged into a store of its own."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.tracking import runs
from pipeline.tracking.registry import AUDIT
from pipeline.tracking.store import experiment_name


@pytest.fixture(scope="session")
def to_log(evaluated):
    """The evaluation as it is handed to MLflow."""
    return runs.Evaluated(
        evaluated.results,
        evaluated.context,
        evaluated.folder,
        evaluated.examined,
        evaluated.populations,
    )


@pytest.fixture(scope="session")
def logged_root(tmp_path_factory, empty_store, to_log) -> Path:
    """A repository root whose store holds the evaluation."""
    root = tmp_path_factory.mktemp("root")
    shutil.copy(empty_store, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        runs.log_evaluations(to_log)
    return root


@pytest.fixture(scope="module")
def store(logged_root):
    """That root, named by `DVC_ROOT`, so that the default store lies in it."""
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(logged_root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        mlflow.set_tracking_uri(f"sqlite:///{logged_root / 'mlflow.db'}")
        yield logged_root


@pytest.fixture
def logged(store, evaluated):
    """What the store holds now: the client, and the parent and nested runs."""
    import mlflow

    client = mlflow.MlflowClient()
    name = experiment_name(evaluated.cfg)
    found = client.search_runs(
        [client.get_experiment_by_name(name).experiment_id], max_results=1000
    )
    return SimpleNamespace(
        client=client,
        parents=[run for run in found if runs.PARENT_TAG not in run.data.tags],
        nested=[run for run in found if runs.PARENT_TAG in run.data.tags],
    )


@pytest.fixture
def as_before(logged):
    """What a test logs beside is gone after it: others read this store, in any order."""
    client, experiment = logged.client, logged.parents[0].info.experiment_id
    known = {run.info.run_id for run in [*logged.parents, *logged.nested]}
    versions = client.search_model_versions("")
    yield
    for run in client.search_runs([experiment], max_results=1000):
        if run.info.run_id not in known:
            client.delete_run(run.info.run_id)
    for one in versions:
        client.set_model_version_tag(one.name, one.version, AUDIT, one.tags[AUDIT])
