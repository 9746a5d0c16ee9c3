"""Where to look: the view of the experiment logged to last, and its newest runs side by side."""

import json
import shutil
from urllib.parse import parse_qs, unquote
from urllib.request import Request, urlopen

import pytest

from mlflow_server import served
from pipeline.files import BadInput
from pipeline.tracking import pages
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


def log(client, experiment, name, at, status="FINISHED", **told):
    tags = {"run_key": "k", **told}
    run = client.create_run(experiment, start_time=at, run_name=name, tags=tags).info
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


def test_of_many_those_are_compared_that_no_other_surpasses(client, monkeypatch):
    monkeypatch.setattr(pages, "MOST", 2)
    place = client.create_experiment("new", tags={TAG: "view"})
    front = log(client, place, "a", 1, pareto_front="yes")
    log(client, place, "b", 2, pareto_front="no: dominated by a")
    newest = log(client, place, "c", 3)
    asked = unquote(addresses("http://here")["Compare"]).partition("runs=")[2].partition("&")[0]
    assert json.loads(asked) == [newest, front]


def test_one_run_is_compared_with_nothing(client):
    place = client.create_experiment("new", tags={TAG: "view"})
    log(client, place, "baseline", 1)
    assert list(addresses("http://here")) == ["Runs", "Charts"]


# ---- a real server, asked as its own pages ask it ----


@pytest.fixture(scope="module")
def server(logged_root):
    """The address of a server of the store of the tiny clinic."""
    with served(f"sqlite:///{logged_root / 'mlflow.db'}", logged_root) as address:
        yield address


def ask(server, path, body=None):
    """What the REST API says."""
    request = Request(
        f"{server}/api/2.0/mlflow/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_a_server_shows_what_the_view_asks_for(server, logged_root, evaluated, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(logged_root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    pages = addresses(server)
    place = pages["Runs"].partition("/experiments/")[2].partition("/")[0]
    tags = {
        one["key"]: one["value"]
        for one in ask(server, f"experiments/get?experiment_id={place}")["experiment"]["tags"]
    }
    share = parse_qs(pages["Runs"].partition("?")[2])["viewStateShareKey"][0]
    view = json.loads(json.loads(tags[f"mlflow.sharedViewState.{share}"])["state"])
    found = ask(server, "runs/search", {"experiment_ids": [place], "max_results": 1000})["runs"]
    asked = json.loads(unquote(pages["Compare"]).partition("runs=")[2].partition("&")[0])
    parents = [run for run in found if run["info"]["run_id"] in asked]
    assert len(parents) == len(evaluated.examined)
    held = {"metrics": set(), "params": set(), "tags": set()}
    for run in parents:
        assert len({one["key"] for one in run["data"]["metrics"]}) <= 30
        for kind, names in held.items():
            names |= {one["key"] for one in run["data"][kind]}
        (cohort,) = run["inputs"]["dataset_inputs"]
        assert cohort["dataset"]["name"] == evaluated.cfg.data.name
    wanted = [column.partition(".") for column in view["selectedColumns"]]
    missing = {name.strip("`") for kind, _, name in wanted if name.strip("`") not in held[kind]}
    # a tiny clinic has no private recipe, and too few patients for a rate at 1 % false alarms
    assert missing <= {"epsilon", "mia_tpr_at_1pct_fpr"}
    charts = view["compareRunCharts"]
    compared = {name for chart in charts for name in metrics_of(chart)}
    axes = {name for chart in charts if chart["type"] != "LINE" for name in metrics_of(chart)}
    of_each = [{one["key"] for one in run["data"]["metrics"]} for run in parents]
    assert compared <= held["metrics"]
    assert axes
    assert axes <= set.intersection(*of_each)  # a run that lacks an axis would be left out


def metrics_of(chart):
    axes = [chart[axis]["key"] for axis in ("xaxis", "yaxis") if axis in chart]
    return [*chart.get("selectedMetrics", []), *chart.get("selectedMetricKeys", []), *axes]


@pytest.mark.slow
def test_a_server_knows_registered_models_by_name_and_alias(server, evaluated):
    models = ask(server, "registered-models/search")["registered_models"]
    data = evaluated.cfg.data.name
    assert {one["name"] for one in models} == {f"{data}-{name}" for name in evaluated.examined}
    for one in models:
        (version,) = one["latest_versions"]
        flags = {tag["key"]: tag["value"] for tag in version["tags"]}["flags"]
        assert flags == "none" or not one.get("aliases")
        assert "Intended use" in version["description"]
        assert "user_id" not in version or version["user_id"] == ""
