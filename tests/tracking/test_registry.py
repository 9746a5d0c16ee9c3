"""The model registry: a version for each set of weights, and who may be a candidate."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pipeline.risks.risk import Context, Judgement
from pipeline.tracking import registry, runs
from pipeline.tracking.registry import ALIAS, AUDIT, WEIGHTS, mark_as_audited, model_name, register


@pytest.mark.parametrize(
    ("data", "name"), [("pima", "pima-adv_train"), ("my/ward: 2.1", "my_ward__2_1-adv_train")]
)
def test_a_model_is_named_after_its_data_and_its_defense(data, name):
    from mlflow.utils.validation import _validate_logged_model_name, _validate_model_name

    assert model_name(data, "adv_train") == name
    _validate_model_name(name)
    _validate_logged_model_name(name)


@pytest.mark.heavy
def test_every_release_is_registered_described_and_audited_by_its_run(logged, to_log):
    known = {one.name: one for one in logged.client.search_registered_models()}
    assert set(known) == {model_name("tiny", name) for name in to_log.populations}
    for run in logged.parents:
        name = run.data.tags["defense"]
        (version,) = logged.client.search_model_versions(f"name = '{model_name('tiny', name)}'")
        assert version.run_id == version.tags[AUDIT] == run.info.run_id
        assert version.tags[WEIGHTS] == to_log.populations[name].digest
        assert version.tags["flags"] == run.data.tags["flags"]
        assert "**Intended use**" in version.description
        assert "**Threshold**" in version.description
        clean = run.data.tags["flags"] == "none" and "noise" not in run.data.tags
        assert (ALIAS in known[version.name].aliases) == clean
        assert known[version.name].description


@pytest.mark.heavy
def test_a_registered_release_answers(logged):
    import mlflow

    model = mlflow.pyfunc.load_model(f"models:/{model_name('tiny', 'baseline')}/1")
    assert len(model.predict(model.input_example)) == 2


@pytest.mark.heavy
def test_an_audit_of_the_same_weights_under_other_settings_adds_no_version(
    logged, to_log, as_before
):
    before = len(logged.client.search_model_versions(""))
    cfg = to_log.context.cfg.model_copy(update={"seed": 5})
    runs.log_evaluation(replace(to_log, context=Context(to_log.context.dataset, cfg)), "adv_train")
    assert len(logged.client.search_model_versions("")) == before


# ---- who is a candidate ----


@pytest.fixture
def audit(monkeypatch, empty_store, tmp_path):
    """Registers weights of a defense with flags, as a run of an audit would."""
    import mlflow

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("any", artifact_location=(tmp_path / "files").as_uri())
    monkeypatch.setattr(registry, "model_note", lambda *_: "a note")
    data = SimpleNamespace(name="clinic", title="Clinic", unreviewed=[], spoken={})

    def run(weights, *flags, unreviewed=(), noise="", parent="", apart=(), model="mlp"):
        data.unreviewed = list(unreviewed)
        asked = SimpleNamespace(
            context=SimpleNamespace(
                cfg=SimpleNamespace(data=data, model=SimpleNamespace(name=model), seed=0)
            ),
            parent=parent,
            overrides=apart,
            populations={
                "hard": SimpleNamespace(digest=weights, facts={"noise": noise} if noise else {})
            },
            judged=lambda name: Judgement(dict.fromkeys(flags, "why")),
        )
        run = client.create_run(experiment).info.run_id
        model = client.create_logged_model(experiment, name="clinic-hard", source_run_id=run)
        client.finalize_logged_model(model.model_id, "READY")
        register(asked, "hard", run, model.model_id)
        (named,) = client.search_registered_models("name = 'clinic-hard'")
        versions = client.search_model_versions("name = 'clinic-hard'")
        return SimpleNamespace(
            candidate=str(named.aliases.get(ALIAS, "")),
            whose={
                str(one.version): (one.tags["model"], one.tags["set_apart_by"]) for one in versions
            },
            audits={str(one.version): one.tags[AUDIT] == run for one in versions},
        )

    return run


def test_the_same_weights_are_one_version_with_the_audit_that_was_last(audit):
    assert audit("a" * 64).audits == {"1": True}
    assert audit("a" * 64).audits == {"1": True}
    assert audit("b" * 64).audits == {"1": False, "2": True}
    assert audit("a" * 64).audits == {"1": True, "2": False}


def test_the_candidate_is_the_last_audited_that_has_no_flag(audit):
    assert audit("a" * 64).candidate == "1"
    assert audit("b" * 64, "masked").candidate == "1"
    assert audit("c" * 64).candidate == "3"
    assert audit("a" * 64).candidate == "1"


def test_who_is_flagged_later_is_no_candidate_any_more(audit):
    assert audit("a" * 64).candidate == "1"
    assert audit("a" * 64, "masked").candidate == ""


@pytest.mark.parametrize("against", [{"unreviewed": ["glucose"]}, {"noise": "seeded"}])
def test_an_unreviewed_threat_model_or_seeded_noise_makes_no_candidate(audit, against):
    assert audit("a" * 64, **against).candidate == ""


def test_jobs_of_a_sweep_that_share_a_name_say_which_they_are_and_move_no_alias(audit):
    """`-m model=mlp,linear`: whichever ends last would be taken for the candidate of the other."""
    assert audit("a" * 64).candidate == "1"
    swept = {"parent": "the sweep"}
    assert audit("b" * 64, apart=["model=mlp"], **swept).candidate == "1"
    after = audit("c" * 64, apart=["model=linear"], model="linear", **swept)
    assert after.candidate == "1"
    assert after.whose == {
        "1": ("mlp", "nothing"),
        "2": ("mlp", "model=mlp"),
        "3": ("linear", "model=linear"),
    }
    # who is alone under the name in a sweep, or was asked for alone, is the candidate
    assert audit("d" * 64, apart=["adv_train.eps=0.2"], **swept).candidate == "4"
    assert audit("b" * 64, apart=["model=mlp"]).candidate == "2"
    # and what is flagged loses it, wherever that is found
    assert audit("b" * 64, "masked", apart=["model=mlp"], **swept).candidate == ""


def test_somebody_s_version_is_tagged_and_who_may_not_write_there_loses_nothing(
    audit, monkeypatch, capsys
):
    import mlflow

    audit("a" * 64)

    def marked(named):
        asked = SimpleNamespace(
            context=SimpleNamespace(
                cfg=SimpleNamespace(model=SimpleNamespace(own={"named": named}))
            ),
            populations={"baseline": SimpleNamespace(digest="b" * 64)},
            judged=lambda name: Judgement({"masked": "why"}),
        )
        mark_as_audited(asked, "baseline", "a run")
        return mlflow.MlflowClient().get_model_version("clinic-hard", "1").tags

    assert marked("runs:/0123/model")[WEIGHTS] == marked("")[WEIGHTS] == "a" * 64
    after = marked("models:/clinic-hard/1")
    assert (after[WEIGHTS], after[AUDIT], after["flags"]) == ("b" * 64, "a run", "masked")
    assert capsys.readouterr().err == ""

    def refused(*_):
        raise mlflow.MlflowException("403: no permission")

    monkeypatch.setattr(mlflow.MlflowClient, "set_model_version_tag", refused)
    marked("models:/clinic-hard/1")
    said = "MLflow: models:/clinic-hard/1: is not marked as audited (403: no permission)\n"
    assert capsys.readouterr().err == said
