"""Models of a real store: what is opened of one, and that nothing that could run code is."""

import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import torch
import yaml

from pipeline.files import BadInput
from pipeline.models.endpoint import Endpoint
from pipeline.models.population import load_population
from pipeline.models.questions import framed
from pipeline.tracking.kept import brought, opened_of, resolved
from pipeline.tracking.registry import model_name


@pytest.mark.heavy
def test_a_registered_model_of_ours_is_brought_and_is_the_one_that_was_logged(logged, to_log):
    for name, population in to_log.populations.items():
        source = brought(f"models:/{model_name('tiny', name)}/1")
        assert load_population(Path(source)).digest == population.release().digest


def test_what_an_alias_named_before_is_gone(tmp_path, monkeypatch):
    """First a population of ours, then a model of skops: the file of the first is not opened."""
    import mlflow

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(mlflow, "set_tracking_uri", lambda _: None)

    def holds(*names, flavors=None):
        def download(artifact_uri, dst_path):
            described(Path(dst_path), flavors or {}, *names)
            return dst_path

        monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
        return Path(brought("models:/ward@champion"))

    assert (holds("population.json") / "population.json").is_file()
    assert holds("m.skops", flavors={"sklearn": {"pickled_model": "m.skops"}}).name == "m.skops"


@pytest.mark.heavy
def test_what_moves_is_taken_for_the_version_that_it_is_on(logged, to_log):
    name = model_name("tiny", next(iter(to_log.populations)))
    logged.client.set_registered_model_alias(name, "champion", "1")
    assert resolved(f"models:/{name}@champion") == f"models:/{name}/1"
    assert resolved(f"models:/{name}/latest") == f"models:/{name}/1"
    logged.client.delete_registered_model_alias(name, "champion")
    for stays in (f"models:/{name}/1", "runs:/0123/model", "models:/m-0123"):
        assert resolved(stays) == stays
    with pytest.raises(BadInput, match="champion not found"):
        resolved(f"models:/{name}@champion")


@pytest.mark.heavy
def test_a_model_that_is_not_there_is_one_line(logged):
    with pytest.raises(BadInput, match=r"--model models:/nobody/1: ") as caught:
        brought("models:/nobody/1")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_served_model_answers_as_it_does_here(logged, to_log, tmp_path, monkeypatch):
    """MLflow's own server, on loopback."""
    name = next(iter(to_log.populations))
    folder = Path(brought(f"models:/{model_name('tiny', name)}/1"))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    place = next(one for one in folder.parents if (one / "MLmodel").exists())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(place)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/ping")
            dataset = to_log.context.dataset
            x = dataset.x[~dataset.x.isnan().all(1)][:20].numpy()
            said = Endpoint(f"http://127.0.0.1:{port}/invocations")(framed(x, dataset.schema))
        finally:
            server.terminate()
    logits = load_population(folder).double()(torch.from_numpy(x).double()[None])[0]
    cut = load_population(folder).cut[0]
    expected = (logits[:, 1] - logits[:, 0] + cut).sigmoid().numpy()
    np.testing.assert_allclose(said, expected, atol=1e-6)


def wait_for(address):
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            with urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server does not answer")


def described(folder, flavors, *files):
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    for name in files:
        (folder / name).touch()
    return folder


def test_what_is_safe_is_opened_by_its_own_file(tmp_path):
    flavors = {"python_function": {}, "sklearn": {"pickled_model": "model.skops"}}
    assert opened_of(described(tmp_path, flavors, "model.skops"), "m").endswith("/model.skops")
    flavors = {"xgboost": {"data": "model.json"}}
    assert opened_of(described(tmp_path, flavors, "model.json"), "m").endswith("/model.json")


@pytest.mark.parametrize(
    ("flavors", "said"),
    [
        ({"sklearn": {"pickled_model": "model.pkl"}}, "kept as model.pkl, which could run code"),
        ({"xgboost": {"data": "model.ubj"}}, "kept as model.ubj, which could run code"),
        ({"python_function": {"loader_module": "evil"}}, "of kind python_function; known"),
        ({"sklearn": {"pickled_model": "../model.skops"}}, "of kind sklearn; known"),
        ({}, "of kind none; known"),
    ],
)
def test_what_could_run_code_is_refused_in_a_line(flavors, said, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "model.skops").touch()
    with pytest.raises(BadInput, match=said) as caught:
        opened_of(described(folder, flavors, "model.pkl", "model.ubj"), "models:/m/1")
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_description_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="has no readable MLmodel"):
        opened_of(tmp_path, "models:/m/1")
