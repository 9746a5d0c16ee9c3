"""A sweep is one run of MLflow, found again by its key."""

import shutil

import pytest

from pipeline.tracking.groups import CONCLUDED, TITLE, Group, conclude_group, open_group

pytestmark = pytest.mark.heavy
SWEEP = Group("digest", "sweep of defense, eps", {"defense": "a,b", "eps": "0.1,0.3"})


@pytest.fixture
def client(tmp_path, monkeypatch, empty_store):
    import mlflow

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    return mlflow.MlflowClient()


def child(client, parent, name, **tags):
    experiment = client.get_run(parent).info.experiment_id
    tags = {"mlflow.parentRunId": parent, **tags}
    return client.create_run(experiment, run_name=name, tags=tags).info.run_id


def test_a_sweep_is_opened_once(client, cfg):
    first = open_group(cfg, SWEEP)
    assert open_group(cfg, SWEEP) == first
    assert open_group(cfg, Group("other", "n", {})) != first
    run = client.get_run(first)
    assert run.data.params == SWEEP.params
    assert run.info.run_name == SWEEP.name
    assert not run.data.tags.get("mlflow.source.git.repoURL")


def test_what_is_concluded_stands_on_the_jobs_and_their_points(client, cfg, tmp_path):
    parent, place = open_group(cfg, SWEEP), tmp_path / "page"
    place.mkdir()
    (place / "report.html").write_text("page")
    (place / "drawn_by.txt").write_text("kept here")
    job = child(client, parent, "a (eps=1)", run_key="k", better="old", worse="older")
    point = child(client, job, "a (eps=1), eps 0.1")
    stranger = child(client, parent, "b", run_key="other")
    said = {"k": {"better": "missed", "flags": "masked", TITLE: "a (eps=1) [masked]"}}
    conclude_group(cfg, parent, "first", said, place)
    tags = client.get_run(job).data.tags
    assert (tags["better"], tags["flags"]) == ("missed", "masked")
    assert "worse" not in tags
    assert client.get_run(job).info.run_name == "a (eps=1) [masked]"
    assert client.get_run(point).info.run_name == "a (eps=1) [masked], eps 0.1"
    assert "better" not in client.get_run(stranger).data.tags
    assert [file.path for file in client.list_artifacts(parent)] == ["report.html"]
    assert client.get_run(parent).info.status == "FINISHED"
    assert client.get_run(parent).data.tags[CONCLUDED] == "first"


def test_the_same_is_not_logged_twice(client, cfg, tmp_path):
    parent, place = open_group(cfg, SWEEP), tmp_path / "page"
    place.mkdir()
    conclude_group(cfg, parent, "first", {}, place)
    (place / "late.csv").write_text("a")
    conclude_group(cfg, parent, "first", {}, place)
    assert client.list_artifacts(parent) == []
    conclude_group(cfg, parent, "second", {}, place)
    assert [file.path for file in client.list_artifacts(parent)] == ["late.csv"]
