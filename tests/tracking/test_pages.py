"""Where to look: the view of the experiment logged to last, and its newest runs side by side."""

import json
import shutil
from urllib.parse import unquote

import pytest

from pipeline.files import BadInput
from pipeline.tracking.pages import addresses
from pipeline.tracking.views import TAG


@pytest.fixture
def client(monkeypatch, empty_store, tmp_path):
    import mlflow

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    return mlflow.MlflowClient()


def log(client, experiment, name, at, status="FINISHED", key="k"):
    run = client.create_run(experiment, start_time=at, run_name=name, tags={"run_key": key}).info
    client.set_terminated(run.run_id, status)
    return run.run_id


def test_nothing_logged_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(BadInput, match="nothing was logged yet"):
        addresses("http://here")


def test_a_store_without_runs_of_ours_is_opened_as_it_is(client):
    assert addresses("http://here") == {"MLflow": "http://here"}


def test_the_last_experiment_and_its_newest_finished_runs_of_each_name(client):
    old, new = (client.create_experiment(name, tags={TAG: "view"}) for name in ("old", "new"))
    log(client, old, "baseline", 1)
    log(client, new, "baseline", 2)
    newer = log(client, new, "baseline", 3)
    failed = log(client, new, "adv_train", 4, "FAILED")
    other = log(client, new, "adv_train", 5)
    client.create_run(new, start_time=6, run_name="nested")  # without a key
    found = addresses("http://here")
    assert list(found) == ["Runs", "Charts", "Compare"]
    assert all(f"/experiments/{new}/" in found[page] for page in ("Runs", "Charts"))
    asked = unquote(found["Compare"]).partition("runs=")[2].partition("&")[0]
    assert json.loads(asked) == [newer, other]
    assert failed not in asked


def test_one_run_is_compared_with_nothing(client):
    place = client.create_experiment("new", tags={TAG: "view"})
    log(client, place, "baseline", 1)
    assert list(addresses("http://here")) == ["Runs", "Charts"]
