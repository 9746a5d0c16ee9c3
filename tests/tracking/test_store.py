"""A store in trouble is one line, and many processes may be the first to open it."""

import os
import sqlite3
import subprocess
import sys

import pytest

import tiny
from pipeline.files import BadInput
from pipeline.tracking.store import open_store


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("./mlruns", r"MLFLOW_TRACKING_URI: '\./mlruns' is a file store"),
        ("file:///tmp/mlruns", "is a file store"),
        ("http://127.0.0.1:9", r"MLflow at http://127\.0\.0\.1:9: "),
        ("sqlite:////proc/nowhere/mlflow.db", "cannot write"),
    ],
)
def test_a_store_in_trouble_is_one_line(cfg, monkeypatch, uri, message):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(BadInput, match=message) as caught:
        open_store(cfg)
    assert "\n" not in str(caught.value)


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
from types import SimpleNamespace
from pipeline.tracking import store
from pipeline.tracking.store import one_writer, open_store
store.experiment_tags = dict  # what it would ask of the registry takes seconds to load
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
