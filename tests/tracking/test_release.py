"""The release model in MLflow: it answers raw records, carries its code, and no pickle."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import kinds
import tiny
from models import ensembles
from pipeline.artifact import write_artifact
from pipeline.models.answers import log_odds
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.models.foreign import Foreign, Kept
from pipeline.models.recipes import Recipe
from pipeline.tracking import release

pytestmark = pytest.mark.heavy


def run_of(logged, defense):
    return next(run for run in logged.parents if run.data.tags["defense"] == defense)


@pytest.mark.slow
def test_the_release_model_answers_raw_records_in_a_fresh_process(
    logged, evaluated, store, tmp_path
):
    """Gaps, columns in another order, a folder outside the project; unpickling is a failure."""
    data, populations = evaluated.dataset, evaluated.populations
    run = run_of(logged, "adv_train")
    frame = pd.DataFrame(data.x.double().numpy(), columns=list(data.schema.names)).round(6)
    frame[list(frame)[::-1]].to_json(tmp_path / "records.json")
    script = f"""
import pickle, sys
def refuse(*_, **__): raise AssertionError("something was unpickled")
import mlflow, pandas as pd, torch
model_records = pd.read_json({str(tmp_path / "records.json")!r}, dtype=float)
pickle.load = pickle.loads = pickle.Unpickler = torch.load = refuse
mlflow.set_tracking_uri("sqlite:///{store / "mlflow.db"}")
model = mlflow.pyfunc.load_model("runs:/{run.info.run_id}/tiny-adv_train")
model.predict(model_records).to_json({str(tmp_path / "answers.json")!r})
"""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    }
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
    )
    answers = pd.read_json(tmp_path / "answers.json")
    release = populations["adv_train"].release()
    expected = torch.sigmoid(log_odds(release, data.x[None])[0])
    healthy, ill = data.schema.classes
    assert list(answers) == [healthy, ill, "decision"]
    torch.testing.assert_close(torch.tensor(answers[ill]), expected, rtol=1e-4, atol=1e-5)
    called = (release(data.x[None])[0].argmax(-1) == 1).numpy()
    assert (answers["decision"] == np.where(called, ill, healthy)).all()
    assert data.x.isnan().any()


def test_no_artifact_of_the_model_is_a_pickle(logged, store):
    files = [path for path in (store / "mlartifacts").rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    assert not [
        path.name for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib")
    ]


def test_a_model_carries_the_code_that_it_runs_and_no_other_file(logged, store):
    codes = list((store / "mlartifacts").rglob("code/pipeline"))
    assert codes
    for code in codes:
        names = {path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file()}
        assert {"__init__.py", "data/schema.py", "models/networks.py"} <= names
        assert all(
            (tiny.ROOT / "pipeline" / name).read_text() == (code / name).read_text()
            for name in names
        )
        assert not [name for name in names if "attacks" in name or "tracking" in name]


# ---- what the model takes ----


@pytest.fixture
def served(logged):
    """The release model of the baseline, as anybody loads it."""
    import mlflow

    run = run_of(logged, "baseline")
    return mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/tiny-baseline")


def test_a_model_takes_whole_numbers_gaps_and_its_own_example(served):
    frame = pd.DataFrame([{"glucose": 148, "bmi": 30, "ratio": 5, "pedigree": 1, "age": 40}] * 2)
    assert set(frame.dtypes) == {np.dtype("int64")}
    answer = served.predict(frame)
    assert (answer.drop(columns="decision").dtypes == np.float64).all()
    assert answer["decision"].isin(["healthy", "ill"]).all()
    pd.testing.assert_frame_equal(served.predict(frame.astype(float)), answer)
    for gap in (None, float("nan"), pd.NA):
        for name in frame:
            assert served.predict(frame.astype(object).assign(**{name: gap})).notna().all().all()
    assert len(served.predict(served.input_example)) == 2
    assert served.input_example.isna().any().any()


def test_a_model_names_a_column_that_is_not_there(served):
    import mlflow

    frame = pd.DataFrame([{"glucose": 148, "bmi": 30, "ratio": 5, "age": 40}])
    with pytest.raises(mlflow.exceptions.MlflowException, match="pedigree"):
        served.predict(frame)


def test_the_example_of_a_served_request_is_json_as_the_standard_has_it(served, store):
    from mlflow.pyfunc.scoring_server import _parse_json_data

    for path in (store / "mlartifacts").rglob("*input_example.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    text = next((store / "mlartifacts").rglob("serving_input_example.json")).read_text()
    parsed = _parse_json_data(text, served.metadata, served.metadata.get_input_schema())
    assert len(served.predict(parsed.data)) == 2


def test_of_an_installed_package_no_library_beside_it_is_read(tmp_path, monkeypatch):
    """The planted faults: a folder without a loader, and code that nobody may read."""
    place = tmp_path / "site-packages"
    shutil.copytree(release.PACKAGE, place / "pipeline")
    (place / "numpy").mkdir()
    (place / "torch").mkdir()
    (place / "torch" / "__init__.py").write_text("this is no Python", encoding="utf-8")
    monkeypatch.setattr(release, "PACKAGE", place / "pipeline")
    release._copy_code(place / "pipeline" / "serving" / "release.py", tmp_path / "code")
    copied = {
        path.relative_to(tmp_path / "code").as_posix() for path in tmp_path.rglob("code/**/*.py")
    }
    assert {"__init__.py", "serving/release.py", "data/schema.py", "models/networks.py"} <= copied
    assert not [name for name in copied if name.startswith(("attacks", "risks", "stages"))]


# ---- images ----


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    [ConvolutionalNetwork("cnn", (1, 8, 8), 2, (4,), (6,)), ensembles.TRUNK, ensembles.SMALL],
    ids=lambda shape: shape.name,
)
def test_networks_of_images_are_stored_and_answer_arrays_of_bytes(shape, store, logged, as_before):
    import mlflow

    networks = ensembles.untrained(2, architecture=shape)
    with mlflow.start_run(experiment_id=logged.parents[0].info.experiment_id):
        model = release.log_release(networks, kinds.SCANS, f"scans-{shape.name}")
    served = mlflow.pyfunc.load_model(f"models:/{model}")
    x = kinds.scans(6, seed=0).x
    found = served.predict(x[:, 0].byte().numpy())
    expected = torch.sigmoid(log_odds(networks.select(torch.tensor([0])), x[None])[0])
    np.testing.assert_allclose(found["ill"], expected, rtol=1e-9)
    assert len(served.predict(served.input_example)) == 2
    for wrong in (x[:, 0].numpy(), x.byte().numpy()):  # no bytes; a channel that is not told
        with pytest.raises(mlflow.exceptions.MlflowException):
            served.predict(wrong)
    (place,) = [
        path.parent
        for path in (store / "mlartifacts").rglob("MLmodel")
        if f"model_id: {model}" in path.read_text()
    ]
    names = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert any(name.endswith("population.safetensors") for name in names)
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth"))]
    assert not [name for name in names if "attacks" in name or "tracking" in name]
    text = (place / "serving_input_example.json").read_text()
    from mlflow.pyfunc.scoring_server import _parse_json_data

    parsed = _parse_json_data(text, served.metadata, served.metadata.get_input_schema())
    assert len(served.predict(parsed.data)) == 2


def test_a_model_of_somebody_elses_is_not_stored():
    theirs = kinds.ScoresOnly(tiny.population(1, seed=0))
    assert release.log_release(theirs, tiny.SCHEMA, "theirs") == ""


def test_why_a_model_is_not_stored_is_said(tmp_path):
    known = release.why_not_stored
    assert known(tiny.population(1)) == ""
    kept = Kept("member-000.recipe.safetensors", "ward", tmp_path, tiny.SCHEMA)
    recipe = Recipe({"name": "estimator"}, 0, torch.arange(2), "d", torch.zeros(2).double())
    write_artifact(tmp_path / "member-000.recipe.safetensors", recipe)
    theirs = Foreign((kept,), tiny.SCHEMA, ("a",), "0" * 64, "ward")
    assert "records that it was fitted on" in known(theirs)
    assert "own code" in known(replace(theirs, asked=(replace(kept, source="ward:load"),)))
