"""A store in trouble is one line, and many processes may be the first to open it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import tiny
from pipeline.files import BadInput
from pipeline.tracking.store import (
    follow_the_checkout,
    one_writer,
    open_store,
    readable_errors,
    shown,
    store_to_look_at,
)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("./mlruns", r"MLFLOW_TRACKING_URI: '\./mlruns' is a file store"),
        ("file:///tmp/mlruns", "is a file store"),
        ("http://127.0.0.1:9", r"MLflow at http://127\.0\.0\.1:9: "),
        ("sqlite:////proc/nowhere/mlflow.db", "cannot write"),
        ("http://ward:Gehe!m@127.0.0.1:9", r"^MLflow at http://127\.0\.0\.1:9: "),
        ("postgresql+psycopg://ward:Gehe!m@db.clinic.example/mlflow", "only MLflow's server"),
        ("ward:Gehe!m@mlflow.clinic.example", "'mlflow.clinic.example' is a file store"),
    ],
)
def test_a_store_in_trouble_is_one_line(cfg, monkeypatch, uri, message):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(BadInput, match=message) as caught:
        open_store(cfg)
    assert "\n" not in str(caught.value)
    assert "Gehe!m" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("https://mlflow.clinic.example", "https://mlflow.clinic.example"),
        ("https://ward:a@b?c/d@mlflow.clinic.example/x", "https://mlflow.clinic.example/x"),
        ("https://mlflow.clinic.example?password=b", "https://mlflow.clinic.example"),
        ("sqlite:////home/me@work/a?b.db", "sqlite:////home/me@work/a?b.db"),
    ],
)
def test_an_address_is_shown_without_who_opens_it(uri, said):
    assert shown(uri) == said


def test_a_damaged_store_is_one_line(cfg, monkeypatch, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(BadInput, match="MLflow at sqlite") as caught:
        open_store(cfg)
    assert "\n" not in str(caught.value)


PROCESSES = 3


@pytest.mark.slow
def test_processes_share_a_fresh_store(tmp_path):
    """MLflow's own first use of a fresh SQLite file is not safe in parallel; ours loses no run."""
    script = """
import sys
from contextlib import closing
from types import SimpleNamespace
from pipeline.tracking import store
from pipeline.tracking.store import one_writer, open_store
store.experiment_tags = lambda cfg: {}  # what it would ask of the registry takes seconds to load
experiment = open_store(SimpleNamespace(data=SimpleNamespace(name="pima")))
import mlflow
with one_writer(), mlflow.start_run(experiment_id=experiment, run_name=sys.argv[1]):
    mlflow.log_metric("robust_accuracy", 0.5)
"""
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "DVC_ROOT": str(tiny.ROOT),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(number)],
            cwd=tiny.ROOT,
            env=environment,
            stderr=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, errors
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        names = {
            name for (name,) in database.execute("select name from runs where status = 'FINISHED'")
        }
    assert names == {str(number) for number in range(PROCESSES)}


def models_of(root):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    places = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(places, "tags.run_key != ''")
    return {run.info.run_id: run.info.artifact_uri for run in runs}


@pytest.mark.parametrize("original", ["gone", "kept"])
def test_a_moved_or_copied_repository_loads_its_own_models(
    logged_root, cfg, tmp_path, monkeypatch, original
):
    import mlflow

    old, new = tmp_path / "first place", tmp_path / "Zweiter Ort"
    shutil.copytree(logged_root, old)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(old))
    open_store(cfg)  # it was copied itself
    before = models_of(old)
    assert before
    assert all(place.startswith(f"{old.as_uri()}/mlartifacts/") for place in before.values())
    shutil.copytree(old, new)
    if original == "gone":
        shutil.rmtree(old)
    monkeypatch.setenv("DVC_ROOT", str(new))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # which MLflow itself sets
    open_store(cfg)
    after = models_of(new)
    assert set(after) == set(before)
    assert all(place.startswith(f"{new.as_uri()}/mlartifacts/") for place in after.values())
    shutil.rmtree(old, ignore_errors=True)
    run = next(iter(after))
    assert mlflow.artifacts.list_artifacts(run_id=run)
    (made,) = mlflow.get_run(run).outputs.model_outputs
    model = mlflow.pyfunc.load_model(f"models:/{made.model_id}")
    assert model.metadata.signature is not None


def test_a_store_elsewhere_keeps_its_places(logged_root, cfg, tmp_path, monkeypatch):
    other = tmp_path / "shared.db"
    shutil.copy(logged_root / "mlflow.db", other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    before = other.read_bytes()
    with one_writer():
        follow_the_checkout()
    assert other.read_bytes() == before


def test_whoever_looks_at_a_moved_store_first_finds_its_places(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with pytest.raises(BadInput, match="nothing was logged yet"):
        store_to_look_at()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store, store:
        store.execute("create table experiments (artifact_location text)")
        store.execute("insert into experiments values ('file:///elsewhere/mlartifacts')")
    assert store_to_look_at() == f"sqlite:///{tmp_path / 'mlflow.db'}"
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        ((place,),) = store.execute("select artifact_location from experiments")
    assert place == (tmp_path / "mlartifacts").as_uri()
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(BadInput, match="MLflow at sqlite"):
        store_to_look_at()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Max retries (Caused by ResponseError('too many 500 error responses'))", "fails itself"),
        ("Max retries (Caused by ProtocolError('Connection aborted.', ...))", "fails itself"),
        ("failed with error code 500 != 200. Response body: '...'", "fails itself"),
        ("failed with error code 401 != 200. Response body: 'Unauthorized'", "USERNAME"),
        ("Max retries (Caused by ReadTimeoutError('Read timed out.'))", "in time"),
        ("Max retries (Caused by NewConnectionError('Connection refused'))", "nobody answers"),
        ("something else", "something else"),
    ],
)
def test_what_is_wrong_with_a_server_is_said_in_a_few_words(monkeypatch, said, told):
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.clinic.example")
    with pytest.raises(BadInput, match=told), readable_errors():
        raise MlflowException(f"API request to http://... failed with {said}")
