"""Any name of a column becomes a key that every store of MLflow takes, and no two become one."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.risks.risk import Figure
from pipeline.tracking import runs
from pipeline.tracking.keys import safe_key

UGLY = [
    "Glucose(mg/dL)",
    "Packs (per year)",
    "chol/hdl",
    "chol%2Fhdl",
    "100 %",
    "größe in cm",
    "血糖",
    "血压",
    "a" * 400,
    "a" * 401,
    " leading",
    "trailing ",
    "..",
    "a/../b",
    "/etc",
    "a//b",
    "patient",
    "defense",
    "eps",
    "model",
    "line\nbreak",
    "<b>bold</b>",
    "x--0a1b2c3d",
    "tab\there",
    "A",
    "a",
    "🫀",
]


@pytest.mark.parametrize("name", ["robust_accuracy", "clinical/fgsm/accuracy", "eps", "a.b-c d"])
def test_a_plain_name_stays(name):
    assert safe_key(name) == name


def taken_by_mlflow(key):
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    _validate_metric_name(key)
    _validate_param_name(key)
    assert len(key) <= 250


@settings(max_examples=300, deadline=None)
@given(some.text(min_size=1, max_size=300))
@pytest.mark.slow
def test_every_key_is_taken(name):
    taken_by_mlflow(safe_key(name))


@settings(max_examples=300, deadline=None)
@given(some.lists(some.text(alphabet="a/.-_ %()ä2F", min_size=1, max_size=6), unique=True))
def test_no_two_names_become_one_key(names):
    keys = [safe_key(name) for name in names]
    assert len(set(keys)) == len(names)
    for one in keys:
        taken_by_mlflow(one)


def test_a_real_store_takes_them_all(empty_store, tmp_path):
    import mlflow

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("ugly", artifact_location=tmp_path.as_uri())
    run = client.create_run(experiment).info.run_id
    figures = [Figure(name, float(place)) for place, name in enumerate(UGLY)]
    figures.append(Figure("nothing", float("nan")))
    runs._log(run, figures, {f"p {name}": name[:50] for name in UGLY}, {})
    data = client.get_run(run).data
    assert {name: data.metrics[safe_key(name)] for name in UGLY} == {
        name: float(place) for place, name in enumerate(UGLY)
    }
    assert len(data.metrics) == len(data.params) == len(UGLY)
