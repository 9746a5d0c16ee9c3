"""Tags say what the last gate found; an alias moves on a pass, forwards, to the audited weights."""

import json
import shutil
import threading

import pytest

from gate.made_up import content
from pipeline.api.verbs import run_verb
from pipeline.files import BadInput
from pipeline.tracking.gated import STATE, mark_version
from pipeline.tracking.registry import AUDIT, WEIGHTS
from tiny import ROOT

ALIAS, NAME = "medsecure-passed", "ward-good"
WEIGHT = {number: str(number) * 64 for number in (1, 2, 3)}


@pytest.fixture
def store(empty_store, tmp_path, monkeypatch):
    """A store with three versions of a model; returns its client."""
    import mlflow

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("any", artifact_location=(tmp_path / "files").as_uri())
    client.create_registered_model(NAME)
    for digest in WEIGHT.values():
        run = client.create_run(experiment).info.run_id
        tags = {WEIGHTS: digest, AUDIT: run}
        model = client.create_logged_model(experiment, name=NAME, source_run_id=run).model_id
        client.finalize_logged_model(model, "READY")
        client.create_model_version(NAME, f"models:/{model}", run, tags=tags, model_id=model)
    return client


def mark(number, state, **more):
    more = {"alias": ALIAS, **more}
    return mark_version("ward", "good", WEIGHT[number], {STATE: state}, **more)


def held(client):
    (model,) = client.search_registered_models(f"name = '{NAME}'")
    return {alias: int(place) for alias, place in model.aliases.items()}


def test_a_pass_moves_the_alias_and_is_tagged_on_version_and_run(store):
    mark(1, "passed")
    assert held(store) == {ALIAS: 1}
    version = store.get_model_version(NAME, "1")
    assert version.tags[STATE] == store.get_run(version.tags[AUDIT]).data.tags[STATE] == "passed"
    assert STATE not in store.get_model_version(NAME, "2").tags


@pytest.mark.parametrize("state", ["failed", "unclear"])
def test_what_is_not_passed_is_tagged_and_moves_nothing(store, state):
    mark(1, "passed")
    assert "stays on version 1" in mark(2, state)[1]
    assert held(store) == {ALIAS: 1}
    assert store.get_model_version(NAME, "2").tags[STATE] == state
    assert "not passed any more" in mark(1, state)[1]
    assert held(store) == {ALIAS: 1}  # something may be served by it
    assert store.get_model_version(NAME, "1").tags[STATE] == state


def test_the_alias_moves_only_forwards(store):
    mark(2, "passed")
    assert "which is newer" in mark(1, "passed")[1]
    assert held(store) == {ALIAS: 2}
    mark(3, "passed")
    assert held(store) == {ALIAS: 3}


def test_weights_that_were_not_audited_are_refused(store):
    with pytest.raises(BadInput, match=r"audited weights 9{12} \(versions: .*3"):
        mark_version("ward", "good", "9" * 64, {STATE: "passed"}, ALIAS)
    with pytest.raises(BadInput, match="names no digest"):
        mark_version("ward", "good", "", {STATE: "passed"}, ALIAS)
    assert held(store) == {}


def test_somebody_s_model_is_found_by_the_weights_that_were_audited(store):
    """Under its own name; of two versions with these weights the newer, and nothing of others."""
    for name, number in (("theirs", 2), ("theirs", 2), ("theirs", 1)):
        if not store.search_registered_models(f"name = '{name}'"):
            store.create_registered_model(name)
        store.create_model_version(name, f"models:/{NAME}/1", tags={WEIGHTS: WEIGHT[number]})
    lines = mark_version("ward", "another", WEIGHT[2], {STATE: "passed"}, ALIAS)
    assert [line for line in lines if STATE in line] == [
        f"theirs version 2: {STATE} passed",
        f"{NAME} version 2: {STATE} passed",
    ]
    (theirs,) = store.search_registered_models("name = 'theirs'")
    assert {name: int(one) for name, one in theirs.aliases.items()} == {ALIAS: 2}
    assert STATE not in store.get_model_version("theirs", "3").tags
    assert held(store) == {ALIAS: 2}


def test_a_dry_run_and_no_alias_move_nothing(store):
    assert all(line.startswith("would: ") for line in mark(1, "passed", dry_run=True))
    assert STATE not in store.get_model_version(NAME, "1").tags
    mark(1, "passed", alias=None)
    assert held(store) == {}
    assert store.get_model_version(NAME, "1").tags[STATE] == "passed"


def test_two_at_once_leave_the_newest(store):
    both = [threading.Thread(target=mark, args=(number, "passed")) for number in (3, 2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert held(store) == {ALIAS: 3}


@pytest.mark.heavy
def test_the_command_marks_the_release_that_was_audited(store, tmp_path, monkeypatch, capsys):
    audit = content()
    audit["audited"]["models"]["sha256"]["good"] = WEIGHT[2]
    (tmp_path / "audit.json").write_text(json.dumps(audit))
    monkeypatch.chdir(ROOT)
    call = ["gate", "--audit", str(tmp_path / "audit.json"), "--defense", "good"]
    assert run_verb([*call, "--dry-run"]) == 0
    assert held(store) == {}
    assert run_verb([*call, "--mlflow"]) == 0
    assert held(store) == {ALIAS: 2}
    assert len(store.get_model_version(NAME, "2").tags["medsecure.audit"]) == 64
    too_much = "+gate.one={figure: evasion/right_answers_under_attack, at_least: 0.99}"
    assert run_verb([*call, "--mlflow", too_much]) == 1
    assert store.get_model_version(NAME, "2").tags[STATE] == "failed"
    capsys.readouterr()
