"""MLflow's view: what a run holds and what it never holds, that it is logged once, and that a store in trouble is one line."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
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
from search import as_written, records_in


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A tiny clinic with two defences, evaluated: configuration, dataset, populations, evaluation, its folder."""
    import yaml

    values = yaml.safe_load(compose(["experiment=smoke"], tiny.ROOT / "conf"))
    values["data"] |= {
        "name": "tiny",
        "target": tiny.SCHEMA.target,
        "classes": list(tiny.SCHEMA.classes),
    }
    values["train"]["epochs"], values["audit"]["resamples"], values["model"]["hidden"] = 3, 100, [8]
    values["data"]["features"] = {
        name: feature.model_dump() for name, feature in tiny.FEATURES.items()
    }
    others = ("distill", "dp_train", "partition")
    cfg = small(parse({key: value for key, value in values.items() if key not in others}, "conf"))
    data = tiny.records(90, seed=3)
    plan = tiny.plan(data, seeds=1, release=True)
    populations = {name: train(name, data, plan, cfg) for name in cfg.defenses}
    audits = {
        name: audit(models, data, plan, cfg, name=name).findings
        for name, models in populations.items()
    }
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
    tracking.log_evaluations(evaluation, populations, data.schema, cfg, folder)
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


def test_a_defence_has_the_colour_that_it_has_on_the_page_unless_it_is_compared_with_itself(
    logged, evaluated
):
    cfg, parents = logged[0], logged[2]
    colours = {run.data.tags["defense"]: run.data.tags["mlflow.runColor"] for run in parents}
    assert colours == dict(zip(cfg.defenses, COLOURS, strict=False))
    assert tracking._colour(SimpleNamespace(defenses={"adv_train": {}}), "adv_train") == ""


def test_curves_step_in_thousandths_of_the_radius(logged, evaluated):
    client, parents = logged[1:3]
    comparison = evaluated[3].comparison
    for run in parents:
        lines = comparison[
            (comparison["defense"] == run.data.tags["defense"])
            & (comparison["threat"] == "clinical")
        ]
        history = client.get_metric_history(run.info.run_id, "clinical/robust_accuracy")
        assert {m.step: m.value for m in history} == {
            round(eps * 1000): value
            for eps, value in zip(lines["eps"], lines["robust_accuracy"], strict=True)
        }


def test_nested_runs_hold_the_figures_of_the_comparison(logged, evaluated):
    nested, comparison = logged[3], evaluated[3].comparison
    for run in nested:
        lines = comparison[
            (comparison["defense"] == run.data.params["defense"])
            & (comparison["eps"] == float(run.data.params["eps"]))
        ]
        for threat, prefix in (("clinical", ""), ("unconstrained", "unconstrained/")):
            line = lines[lines["threat"] == threat].iloc[0]
            for key in (
                "robust_accuracy",
                "robust_low",
                "robust_high",
                "missed_diagnosis_rate",
                "sensitivity",
            ):
                assert run.data.metrics[prefix + key] == pytest.approx(line[key])


def test_what_counts_in_another_unit_stays_out_of_the_nested_runs(logged, evaluated):
    """Two measurements are no radius of 2: the sparse threat is on the parent alone."""
    cfg, client, parents, nested = logged
    assert cfg.threat["sparse"].eps == [0, 1, 2]
    assert not [key for run in nested for key in run.data.metrics if key.startswith("sparse/")]
    comparison = evaluated[3].comparison
    for run in parents:
        lines = comparison[
            (comparison["defense"] == run.data.tags["defense"]) & (comparison["threat"] == "sparse")
        ]
        history = client.get_metric_history(run.info.run_id, "sparse/robust_accuracy")
        assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [
            (1000 * count, value)
            for count, value in zip(range(3), lines["robust_accuracy"], strict=True)
        ]


def test_the_share_that_is_proved_is_a_curve_too(logged, evaluated):
    client, parents = logged[1:3]
    comparison = evaluated[3].comparison
    for run in parents:
        lines = comparison[
            (comparison["defense"] == run.data.tags["defense"])
            & (comparison["threat"] == "clinical")
        ]
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
        assert tags["population_sha256"] == populations[tags["defense"]].digest


def test_the_files_of_the_report_are_artifacts_of_the_parent(logged):
    client, parents = logged[1:3]
    for run in parents:
        names = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert {"report.html", "comparison.csv", "attacks.csv", "metrics.json", "plots"} <= names
        name = run.data.tags["defense"]
        own = {
            "rows": f"rows/{name}.parquet",
            "verdicts": f"verdicts/{name}.parquet",
            "leakage": f"leakage/{name}",
        }
        for place, path in own.items():
            assert [item.path for item in client.list_artifacts(run.info.run_id, place)] == [path]
        assert [item.path for item in client.list_artifacts(run.info.run_id, own["leakage"])] == [
            f"leakage/{name}/claim.json"
        ]


def test_what_a_defence_leaks_stands_beside_its_robustness(logged, evaluated):
    tables = {name: pd.read_csv(evaluated[4] / f"{name}.csv") for name in ("privacy", "inversion")}
    for run in logged[2]:
        found, own = (
            run.data.metrics,
            {
                name: table[table["defense"] == run.data.tags["defense"]]
                for name, table in tables.items()
            },
        )
        for _, line in own["privacy"].iterrows():
            assert found[f"membership/{line['attack']}/auroc"] == pytest.approx(line["auroc"])
        for _, line in own["inversion"].iterrows():
            assert found[f"inversion/glucose/scores/uplift_{line['group']}"] == pytest.approx(
                line["uplift"]
            )


def test_a_changed_table_is_logged_anew(evaluated, tmp_path):
    shutil.copytree(evaluated[4], tmp_path / "evaluate")
    before = {
        name: tracking._results(tmp_path / "evaluate", name) for name in ("baseline", "adv_train")
    }
    table = pd.read_csv(tmp_path / "evaluate" / "privacy.csv")
    table.loc[table["defense"] == "adv_train", "auroc"] = 0.9
    table.to_csv(tmp_path / "evaluate" / "privacy.csv", index=False)
    assert tracking._results(tmp_path / "evaluate", "baseline") == before["baseline"]
    assert tracking._results(tmp_path / "evaluate", "adv_train") != before["adv_train"]


def test_the_same_evaluation_is_not_logged_twice(logged, evaluated):
    cfg, data, populations, evaluation, folder = evaluated
    tracking.log_evaluations(evaluation, populations, data.schema, cfg, folder)
    _, parents, nested = runs_of(cfg)
    assert (len(parents), len(nested)) == (len(logged[2]), len(logged[3]))


def test_the_same_run_started_twice_at_once_is_logged_once(store, evaluated, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    cfg, data, populations, evaluation, folder = evaluated
    table = evaluation.comparison[evaluation.comparison["defense"] == "baseline"]
    asked = tracking.find_finished

    def slowly(*arguments):
        answer = asked(*arguments)
        time.sleep(0.5)  # enough for the other one to ask as well
        return answer

    monkeypatch.setattr(tracking, "find_finished", slowly)
    monkeypatch.setattr(tracking, "_log_release", lambda *_: None)

    def log(_):
        tracking.log_evaluation(
            cfg,
            "baseline",
            table,
            populations["baseline"],
            schema=data.schema,
            folder=folder,
            run_key="at once",
        )

    with ThreadPoolExecutor(2) as two:
        list(two.map(log, range(2)))
    runs = [run for run in runs_of(cfg)[1] if run.data.tags.get("run_key") == "at once"]
    assert [run.info.status for run in runs] == ["FINISHED"]


def test_a_run_that_was_cut_off_is_logged_anew(store, evaluated, monkeypatch):
    cfg, data, populations, evaluation, folder = evaluated
    table = evaluation.comparison[evaluation.comparison["defense"] == "baseline"]

    def log():
        tracking.log_evaluation(
            cfg,
            "baseline",
            table,
            populations["baseline"],
            schema=data.schema,
            folder=folder,
            run_key="cut",
            overrides=["seed=9"],
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


def test_the_release_model_answers_raw_records_in_a_fresh_process(
    logged, evaluated, store, tmp_path
):
    """Missing values, the columns in another order, a folder outside the project, and unpickling a failure."""
    data, populations = evaluated[1:3]
    run = next(run for run in logged[2] if run.data.tags["defense"] == "adv_train")
    frame = pd.DataFrame(data.x.double().numpy(), columns=list(data.schema.names)).round(6)
    frame[list(frame)[::-1]].to_json(tmp_path / "records.json")
    script = f"""
import pickle, sys
def refuse(*_, **__): raise AssertionError("something was unpickled")
import mlflow, pandas as pd, torch
model_records = pd.read_json({str(tmp_path / "records.json")!r}, dtype=float)
pickle.load = pickle.loads = pickle.Unpickler = torch.load = refuse
mlflow.set_tracking_uri("sqlite:///{store / "mlflow.db"}")
model = mlflow.pyfunc.load_model("runs:/{run.info.run_id}/model")
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
    answers = pd.read_json(tmp_path / "answers.json", dtype=float)
    release = populations["adv_train"].release()
    expected = torch.softmax(release(data.x[None])[0].double(), -1)
    assert list(answers) == list(data.schema.classes)
    torch.testing.assert_close(torch.tensor(answers.to_numpy()), expected, rtol=1e-4, atol=1e-5)
    assert data.x.isnan().any()


def test_no_artifact_of_the_model_is_a_pickle(logged, store):
    files = [path for path in (store / "mlartifacts").rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    assert not [
        path.name for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib")
    ]


# ---- no patient, no place ----


def coded(cells, code):
    return [code if cell is None else cell for cell in cells]


NAMES = list(tiny.SCHEMA.names)
# A record, in every layout that somebody may think of.
LAYOUTS = {
    "a.csv": lambda r: f"patient,{','.join(NAMES)}\n7,{','.join(coded(map_text(r), ''))}\n",
    "reordered.csv": lambda r: (
        f"{','.join(NAMES[::-1])}\n{','.join(coded(map_text(r), '')[::-1])}\n"
    ),
    "text.md": lambda r: "one patient: " + ", ".join(coded(map_text(r), "NaN")),
    "row.json": lambda r: json.dumps({"columns": NAMES, "data": [r]}),
    "nan.json": lambda r: json.dumps([coded(r, float("nan"))]),
    "records.json": lambda r: json.dumps(
        [{"patient": 7} | dict(zip(NAMES[::-1], r[::-1], strict=True))]
    ),
    "columns.json": lambda r: json.dumps(
        {name: [1.0, cell] for name, cell in zip(NAMES, r, strict=True)}
    ),
    "indexed.json": lambda r: json.dumps(
        {name: {"0": 1.0, "1": cell} for name, cell in zip(NAMES, r, strict=True)}
    ),
    "side.json": lambda r: json.dumps([[1.0, cell] for cell in r]),
    "in_text.json": lambda r: json.dumps({"signature": json.dumps(r)}),
    "page.html": lambda r: (
        f"<table><tr><td>7</td>{''.join(f'<td>{c}</td>' for c in coded(map_text(r), '-'))}</tr></table>"
    ),
    "list.yaml": lambda r: "\n".join(f"- {cell}" for cell in coded(r, "null")),
    "float32.txt": lambda r: str(coded([cell and float(np.float32(cell)) for cell in r], None)),
}


def map_text(record):
    return [None if cell is None else f"{cell:g}" for cell in record]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("missing", [0, 1, 2])
def test_the_search_finds_a_planted_record(tmp_path, layout, missing):
    data = tiny.records(90, seed=3)
    patient = int((data.x.isnan().sum(1) == missing).nonzero()[0])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / layout).write_text(LAYOUTS[layout](as_written(data, patient)))
    assert list(records_in(tmp_path, data).values()) == [[patient]]
    assert not records_in(tmp_path, tiny.records(90, seed=4))


@pytest.mark.parametrize("name", ["a.parquet", "a.safetensors", "a.db"])
def test_the_search_finds_a_record_in_files_that_are_no_text(tmp_path, name):
    import sqlite3

    from pipeline.files import write_tensors

    data = tiny.records(90, seed=3)
    record = as_written(data, 5)
    if name == "a.parquet":
        pd.DataFrame([record], columns=NAMES)[NAMES[::-1]].assign(patient=7).to_parquet(
            tmp_path / name
        )
    elif name == "a.safetensors":
        write_tensors(tmp_path / name, {"x": data.x[None, 5:6], "columns": data.x[6:8].T})
    else:
        with sqlite3.connect(tmp_path / name) as database:
            database.execute("create table tags (key text, value text)")
            database.execute("insert into tags values ('example', ?)", [json.dumps(record)])
    assert list(records_in(tmp_path, data).values()) == [
        [5, 6, 7] if name == "a.safetensors" else [5]
    ]


def test_the_search_knows_codes_for_missing_values(tmp_path):
    coded_schema = {
        name: feature.model_copy(update={"missing": -9.0})
        for name, feature in tiny.FEATURES.items()
    }
    data = tiny.records(90, seed=3)
    data = type(data)(
        data.x,
        data.y,
        type(data.schema)(tuple(coded_schema), tuple(coded_schema.values()), "outcome", ("a", "b")),
    )
    patient = int((data.x.isnan().sum(1) == 2).nonzero()[0])
    (tmp_path / "a.txt").write_text(" ".join(map(str, coded(as_written(data, patient), -9))))
    assert list(records_in(tmp_path, data).values()) == [[patient]]


def test_nothing_in_the_store_holds_a_record_of_the_cohort(logged, store, evaluated):
    """The files of runs and models, and the database; the folder that was logged from does hold some."""
    data, folder = evaluated[1], evaluated[4]
    assert {Path(file).name for file in records_in(folder, data)} == {
        "exposed.csv",
        "exposure.parquet",
    }
    assert any((store / "mlartifacts").rglob("input_example.json"))
    assert records_in(store, data) == {}


def test_no_logged_file_shows_a_measurement_of_a_single_patient(logged, store, evaluated):
    """Their changes, "glucose 148 → 147", stand on the page in the folder and not on the one in the store."""
    fragile = pd.read_csv(evaluated[4] / "fragile.csv")
    change = fragile["change that misses the diagnosis"].iloc[0]
    pages = [
        path.read_text(encoding="utf-8") for path in (store / "mlartifacts").rglob("report.html")
    ]
    assert change in (evaluated[4] / "report.html").read_text(encoding="utf-8")
    assert pages
    for page in pages:
        assert change not in page
        assert page.count("Left out here") == fragile["defense"].nunique()
        assert "Correct answers that one measurement can turn by itself" in page
        assert page.count("<table") == page.count("</table>")
    assert not [
        path for path in (store / "mlartifacts").rglob("*") if path.name in tracking.OF_PATIENTS
    ]


def test_nothing_that_is_logged_says_where_the_project_lies(logged, store):
    places = [f"{place}/" for place in (tiny.ROOT, store, tempfile.gettempdir(), sys.prefix)]
    for path in (store / "mlartifacts").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [place for place in places if place.encode() in content], path
    client, parents, nested = logged[1:]
    models = client.search_logged_models([parents[0].info.experiment_id])
    assert models
    said = [
        value for run in parents + nested for value in (run.data.tags | run.data.params).values()
    ]
    said += [value for model in models for value in (model.tags | model.params).values()]
    assert not [value for value in said if any(place in value for place in places)]


def test_a_model_carries_the_code_that_it_runs_and_no_other_file(logged, store):
    codes = list((store / "mlartifacts").rglob("code/pipeline"))
    assert codes
    for code in codes:
        names = {path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file()}
        assert {"__init__.py", "data/schema.py", "models/population.py"} <= names
        assert all(
            (tiny.ROOT / "pipeline" / name).read_text() == (code / name).read_text()
            for name in names
        )
        assert not [name for name in names if "attacks" in name or "tracking" in name]


# ---- what the model takes ----


@pytest.fixture(scope="module")
def served(logged):
    """The release model of the baseline, as anybody loads it."""
    import mlflow

    run = next(run for run in logged[2] if run.data.tags["defense"] == "baseline")
    return mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")


def test_a_model_takes_whole_numbers_gaps_and_its_own_example(served, evaluated):
    frame = pd.DataFrame([{"glucose": 148, "bmi": 30, "ratio": 5, "pedigree": 1, "age": 40}] * 2)
    assert set(frame.dtypes) == {np.dtype("int64")}
    answer = served.predict(frame)
    assert (answer.dtypes == np.float64).all()
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
