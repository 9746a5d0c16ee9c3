"""MLflow's view: what a run holds, that it is logged once, and that a store in trouble is one line."""

import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

import tiny
from pipeline.defenses import train
from pipeline.params import compose, parse
from pipeline.presentation.pictures import COLOURS
from pipeline.report.write import write_evaluation
from pipeline.risks.evasion.measure.examination import audit
from pipeline.risks.evasion.tables import evaluate_audits
from pipeline.tracking import runs as tracking
from pipeline.tracking.store import experiment_name
from risks.evasion.made_up import small
from risks.membership.made_up import made_up_leak


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A tiny clinic with two defences, evaluated: configuration, dataset, populations, evaluation, its folder."""
    import yaml

    values = yaml.safe_load(compose(["experiment=smoke"], tiny.ROOT / "conf"))
    values["data"] |= {"name": "tiny", "target": tiny.SCHEMA.target, "classes": list(tiny.SCHEMA.classes)}
    values["train"]["epochs"], values["audit"]["resamples"], values["model"]["hidden"] = 3, 100, [8]
    values["data"]["features"] = {name: feature.model_dump() for name, feature in tiny.FEATURES.items()}
    others = ("distill", "dp_train", "partition")
    cfg = small(parse({key: value for key, value in values.items() if key not in others}, "conf"))
    data = tiny.records(90, seed=3)
    plan = tiny.plan(data, seeds=1, release=True)
    populations = {name: train(name, data, plan, cfg) for name in cfg.defenses}
    audits = {name: audit(models, data, plan, cfg, name=name).findings for name, models in populations.items()}
    evaluation = evaluate_audits(audits, cfg)
    folder = tmp_path_factory.mktemp("evaluate")
    leaks = {name: made_up_leak(data, targets=20, effect=0.5) for name in populations}
    write_evaluation(evaluation, leaks, data, cfg, folder)
    for name, leak in leaks.items():
        leak.save(folder / "leakage" / name)
    return cfg, data, populations, evaluation, folder


@pytest.fixture(scope="module")
def store(tmp_path_factory, empty_store):
    """A fresh place for one module: `DVC_ROOT` names it, so the default store lies in it."""
    root = tmp_path_factory.mktemp("root")
    shutil.copy(empty_store, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield root


@pytest.fixture(scope="module")
def logged(store, evaluated):
    """Both defences logged; returns the client, and the parent and nested runs."""
    cfg, data, populations, evaluation, folder = evaluated
    tracking.log_evaluations(evaluation, populations, data, cfg, folder)
    return cfg, *runs_of(cfg)


def runs_of(cfg):
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(experiment_name(cfg)).experiment_id
    runs = client.search_runs([experiment], max_results=1000)
    return (
        client,
        [r for r in runs if tracking.PARENT_TAG not in r.data.tags],
        [r for r in runs if tracking.PARENT_TAG in r.data.tags],
    )


def test_one_parent_per_defence_and_one_nested_run_per_radius(logged, store):
    cfg, _, parents, nested = logged
    assert sorted(run.data.tags["defense"] for run in parents) == ["adv_train", "baseline"]
    assert len(nested) == len(parents) * len(cfg.audit.eps)
    assert {run.info.status for run in parents + nested} == {"FINISHED"}
    of = {run.info.run_id: run.data.tags["defense"] for run in parents}
    for run in nested:
        assert of[run.data.tags[tracking.PARENT_TAG]] == run.data.params["defense"]
        assert run.info.run_name.endswith(f", eps {run.data.params['eps']}")
    assert (store / "mlflow.db").exists()


def test_a_defence_has_the_colour_that_it_has_on_the_page_unless_it_is_compared_with_itself(logged, evaluated):
    cfg, parents = logged[0], logged[2]
    colours = {run.data.tags["defense"]: run.data.tags["mlflow.runColor"] for run in parents}
    assert colours == dict(zip(cfg.defenses, COLOURS, strict=False))
    assert tracking._colour(SimpleNamespace(defenses={"adv_train": {}}), "adv_train") == ""


def test_curves_step_in_thousandths_of_the_radius(logged, evaluated):
    client, parents = logged[1:3]
    comparison = evaluated[3].comparison
    for run in parents:
        lines = comparison[(comparison["defense"] == run.data.tags["defense"]) & (comparison["threat"] == "clinical")]
        history = client.get_metric_history(run.info.run_id, "clinical/robust_accuracy")
        assert {m.step: m.value for m in history} == {
            round(eps * 1000): value for eps, value in zip(lines["eps"], lines["robust_accuracy"], strict=True)
        }


def test_nested_runs_hold_the_figures_of_the_comparison(logged, evaluated):
    nested, comparison = logged[3], evaluated[3].comparison
    for run in nested:
        lines = comparison[
            (comparison["defense"] == run.data.params["defense"]) & (comparison["eps"] == float(run.data.params["eps"]))
        ]
        for threat, prefix in (("clinical", ""), ("unconstrained", "unconstrained/")):
            line = lines[lines["threat"] == threat].iloc[0]
            for key in ("robust_accuracy", "robust_low", "robust_high", "missed_diagnosis_rate", "sensitivity"):
                assert run.data.metrics[prefix + key] == pytest.approx(line[key])


def test_what_counts_in_another_unit_stays_out_of_the_nested_runs(logged, evaluated):
    """Two measurements are no radius of 2: the sparse threat is on the parent alone."""
    cfg, client, parents, nested = logged
    assert cfg.threat["sparse"].eps == [0, 1, 2]
    assert not [key for run in nested for key in run.data.metrics if key.startswith("sparse/")]
    comparison = evaluated[3].comparison
    for run in parents:
        lines = comparison[(comparison["defense"] == run.data.tags["defense"]) & (comparison["threat"] == "sparse")]
        history = client.get_metric_history(run.info.run_id, "sparse/robust_accuracy")
        assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [
            (1000 * count, value) for count, value in zip(range(3), lines["robust_accuracy"], strict=True)
        ]


def test_the_share_that_is_proved_is_a_curve_too(logged, evaluated):
    client, parents = logged[1:3]
    comparison = evaluated[3].comparison
    for run in parents:
        lines = comparison[(comparison["defense"] == run.data.tags["defense"]) & (comparison["threat"] == "clinical")]
        for key in ("verified_accuracy", "undecided"):
            history = client.get_metric_history(run.info.run_id, f"clinical/{key}")
            assert [m.value for m in sorted(history, key=lambda m: m.step)] == lines[key].tolist()


def test_tags_tell_where_a_run_comes_from(logged, evaluated):
    populations = evaluated[2]
    for run in logged[2]:
        tags = run.data.tags
        assert tags["data"] == "tiny"
        assert tags["model"] == "mlp"
        assert re.fullmatch(r"[0-9a-f]{64}", tags["params_sha256"])
        assert tags["population_sha256"] == tracking.weights_digest(populations[tags["defense"]])


def test_the_files_of_the_report_are_artifacts_of_the_parent(logged):
    client, parents = logged[1:3]
    for run in parents:
        names = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert {"report.html", "comparison.csv", "attacks.csv", "patients.parquet", "metrics.json", "plots"} <= names
        name = run.data.tags["defense"]
        own = {"rows": f"rows/{name}.parquet", "verdicts": f"verdicts/{name}.parquet", "leakage": f"leakage/{name}"}
        for place, path in own.items():
            assert [item.path for item in client.list_artifacts(run.info.run_id, place)] == [path]
        assert [item.path for item in client.list_artifacts(run.info.run_id, own["leakage"])] == [f"leakage/{name}/claim.json"]


def test_what_a_defence_leaks_stands_beside_its_robustness(logged, evaluated):
    tables = {name: pd.read_csv(evaluated[4] / f"{name}.csv") for name in ("privacy", "inversion")}
    for run in logged[2]:
        found, own = (
            run.data.metrics,
            {name: table[table["defense"] == run.data.tags["defense"]] for name, table in tables.items()},
        )
        for _, line in own["privacy"].iterrows():
            assert found[f"membership/{line['attack']}/auroc"] == pytest.approx(line["auroc"])
        for _, line in own["inversion"].iterrows():
            assert found[f"inversion/glucose/scores/uplift_{line['group']}"] == pytest.approx(line["uplift"])


def test_a_changed_table_is_logged_anew(evaluated, tmp_path):
    shutil.copytree(evaluated[4], tmp_path / "evaluate")
    before = {name: tracking._results(tmp_path / "evaluate", name) for name in ("baseline", "adv_train")}
    table = pd.read_csv(tmp_path / "evaluate" / "privacy.csv")
    table.loc[table["defense"] == "adv_train", "auroc"] = 0.9
    table.to_csv(tmp_path / "evaluate" / "privacy.csv", index=False)
    assert tracking._results(tmp_path / "evaluate", "baseline") == before["baseline"]
    assert tracking._results(tmp_path / "evaluate", "adv_train") != before["adv_train"]


def test_the_same_evaluation_is_not_logged_twice(logged, evaluated):
    cfg, data, populations, evaluation, folder = evaluated
    tracking.log_evaluations(evaluation, populations, data, cfg, folder)
    _, parents, nested = runs_of(cfg)
    assert (len(parents), len(nested)) == (len(logged[2]), len(logged[3]))


def test_a_run_that_was_cut_off_is_logged_anew(store, evaluated, monkeypatch):
    cfg, data, populations, evaluation, folder = evaluated
    table = evaluation.comparison[evaluation.comparison["defense"] == "baseline"]

    def log():
        tracking.log_evaluation(
            cfg, "baseline", table, populations["baseline"], dataset=data, folder=folder, run_key="cut", overrides=["seed=9"]
        )

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_log_release", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            log()
    log()
    runs = [run for run in runs_of(cfg)[1] if run.data.tags.get("run_key") == "cut"]
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED"]
    assert all(run.info.run_name.startswith("baseline (seed=9)") for run in runs)


def test_a_name_says_what_sets_a_run_apart_in_few_letters():
    assert tracking.run_name("dp_train", "") == "dp_train"
    assert (
        tracking.run_name("dp_train", "degenerate", ["dp_train.epsilon=8", "seed=2"])
        == "dp_train (epsilon=8, seed=2) [degenerate]"
    )


def test_the_release_model_answers_raw_records_in_a_fresh_process(logged, evaluated, store):
    """Missing values, the columns in another order, a folder outside the project, and unpickling a failure."""
    data, populations = evaluated[1:3]
    run = next(run for run in logged[2] if run.data.tags["defense"] == "adv_train")
    frame = pd.DataFrame(data.x.double().numpy(), columns=list(data.schema.names)).round(6)
    frame[list(frame)[::-1]].to_json(store / "records.json")
    script = f"""
import pickle, sys
def refuse(*_, **__): raise AssertionError("something was unpickled")
import mlflow, pandas as pd, torch
model_records = pd.read_json({str(store / "records.json")!r}, dtype=float)
pickle.load = pickle.loads = pickle.Unpickler = torch.load = refuse
mlflow.set_tracking_uri("sqlite:///{store / "mlflow.db"}")
model = mlflow.pyfunc.load_model("runs:/{run.info.run_id}/model")
model.predict(model_records).to_json({str(store / "answers.json")!r})
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=store, env=environment, capture_output=True)
    answers = pd.read_json(store / "answers.json", dtype=float)
    release = populations["adv_train"].release()
    expected = torch.softmax(release(data.x[None])[0].double(), -1)
    assert list(answers) == list(data.schema.classes)
    torch.testing.assert_close(torch.tensor(answers.to_numpy()), expected, rtol=1e-4, atol=1e-5)
    assert data.x.isnan().any()


def test_no_artifact_of_the_model_is_a_pickle(logged, store):
    files = [path for path in (store / "mlartifacts").rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    assert not [path.name for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib")]
