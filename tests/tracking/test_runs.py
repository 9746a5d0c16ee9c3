"""MLflow's view: what a run holds, in which digits, what it never holds; logged once."""

import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import pipeline.risks
import tiny
from digits import cells_of, curves_of
from pipeline import report
from pipeline.config import Config, ReportConfig
from pipeline.presentation.pictures import COLOURS
from pipeline.risks import RISKS
from pipeline.risks.conclusions import Conclusions
from pipeline.risks.risk import Context, Figure, Judgement, Point
from pipeline.tracking import runs as tracking
from pipeline.tracking.keys import safe_key
from report.made_up import RUMOUR, SILENCE, TABLES, only_risks
from search import records_in

pytestmark = pytest.mark.heavy

BY_NAME = {risk.name: risk for risk in RISKS}


def figures_of(evaluated, name):
    """What every risk says of a defense, as {(name, step): value}, without what is missing."""
    said = [
        ((figure.name, figure.step), float(figure.value))
        for risk in RISKS
        for figure in risk.figures(evaluated.results[risk.name], name, evaluated.cfg)
        if not pd.isna(figure.value)
    ]
    assert len(dict(said)) == len(said), "two figures of one name and step"
    return dict(said)


def points_of(evaluated, name):
    return [
        point
        for risk in RISKS
        for point in risk.points(evaluated.results[risk.name], name, evaluated.cfg)
    ]


# ---- runs ----


def test_one_parent_per_defense_and_one_nested_run_per_setting_of_an_attacker(
    logged, store, evaluated
):
    assert sorted(run.data.tags["defense"] for run in logged.parents) == sorted(evaluated.examined)
    assert {run.info.status for run in logged.parents + logged.nested} == {"FINISHED"}
    of = {run.info.run_id: run.data.tags["defense"] for run in logged.parents}
    settings = {name: [] for name in evaluated.examined}
    for run in logged.nested:
        name = of[run.data.tags[tracking.PARENT_TAG]]
        assert name == run.data.params["defense"] == run.data.tags["defense"]
        settings[name].append(run.info.run_name.split(", ")[-1])
    for name in settings:
        wanted = [
            ", ".join(f"{key} {value}" for key, value in point.params.items())
            for point in points_of(evaluated, name)
        ]
        assert sorted(settings[name]) == sorted(wanted)
        assert wanted
    assert (store / "mlflow.db").exists()


def test_a_run_is_named_after_its_defense_and_flags(logged):
    for run in logged.parents:
        tags = run.data.tags
        flags = tags["flags"].replace(" ", ", ")
        name = tags["defense"] if flags == "none" else f"{tags['defense']} [{flags}]"
        assert run.info.run_name == name
        for flag in tags["flags"].split():
            assert flag == "none" or tags[f"flag.{flag}"]


def test_a_defense_has_the_colour_that_it_has_on_the_page(logged, evaluated):
    colours = {run.data.tags["defense"]: run.data.tags["mlflow.runColor"] for run in logged.parents}
    assert colours == dict(zip(evaluated.examined, COLOURS, strict=False))


def test_tags_tell_where_a_run_comes_from(logged, evaluated):
    for run in logged.parents:
        tags = run.data.tags
        assert (tags["data"], tags["model"]) == ("tiny", "mlp")
        assert re.fullmatch(r"[0-9a-f]{64}", tags["params_sha256"])
        assert tags["population_sha256"] == evaluated.populations[tags["defense"]].digest


def test_tags_say_what_is_concluded_of_a_defense(logged, evaluated):
    found = Conclusions.of(evaluated.results, evaluated.cfg)
    said = {name: found.of_defense(name) for name in evaluated.examined}
    assert said["partition"]["worse"]
    for run in logged.parents:
        tags = run.data.tags
        kept = {
            key: tags[key] for key in ("better", "worse", "best", "pareto_front") if key in tags
        }
        assert kept == said[tags["defense"]]


# ---- digits ----


def test_a_parent_holds_every_figure_of_every_risk_to_the_last_bit(logged, store, evaluated):
    for run in logged.parents:
        wanted = figures_of(evaluated, run.data.tags["defense"])
        assert curves_of(store, run.info.run_id) == wanted
        assert len(wanted) > 50


def test_every_metric_is_a_number_that_stands_in_a_csv_of_its_defense(logged, store, evaluated):
    """But for the mark of a flag, which is 1."""
    cells = {name: cells_of(evaluated.folder, name) for name in evaluated.examined}
    for run in logged.parents + logged.nested:
        known = cells[run.data.tags["defense"]]
        for (key, _), value in curves_of(store, run.info.run_id).items():
            assert value in known or key.startswith("flag/"), (run.info.run_name, key, value)


def test_nested_runs_hold_the_figures_of_their_setting_as_plain_metrics(logged, evaluated):
    for run in logged.nested:
        (point,) = [
            point
            for point in points_of(evaluated, run.data.params["defense"])
            if point.params.items() <= run.data.params.items()
        ]
        wanted = {name: float(value) for name, value, _ in point.figures if not pd.isna(value)}
        assert run.data.metrics == wanted
        assert wanted


def test_curves_step_as_the_experiment_says(logged, evaluated):
    """`clinical/robust_accuracy` at step 100 is the value at eps 0.1; sparse counts in 1000."""
    table = evaluated.results["evasion"]["comparison"]
    for run in logged.parents:
        lines = table[table["defense"] == run.data.tags["defense"]]
        for threat in lines["threat"].unique():
            of_threat = lines[lines["threat"] == threat]
            history = logged.client.get_metric_history(run.info.run_id, f"{threat}/robust_accuracy")
            assert {metric.step: metric.value for metric in history} == {
                round(eps * 1000): value
                for eps, value in zip(of_threat["eps"], of_threat["robust_accuracy"], strict=True)
            }


def test_what_counts_in_another_unit_stays_out_of_the_nested_runs(logged, evaluated):
    """Two measurements are no radius of 2: the sparse threat is on the parent alone."""
    assert evaluated.cfg.threat["sparse"].eps == [0, 1, 2]
    keys = {key for run in logged.nested for key in run.data.metrics}
    assert any(key.startswith("unconstrained/") for key in keys)
    assert not any(key.startswith("sparse/") for key in keys)


# ---- parameters ----


def test_parameters_are_the_configuration_of_this_defense_alone(logged, evaluated):
    for run in logged.parents:
        params = run.data.params
        assert params["train.epochs"] == str(evaluated.cfg.train.epochs)
        assert params["threat.sparse.norm"] == "l0"
        assert params["audit.eps"] == str(evaluated.cfg.audit.eps)
        sections = {name.split(".")[0] for name in params}
        others = set(evaluated.examined) - {run.data.tags["defense"]}
        assert not sections & {*others, *BY_NAME, "features", "threads"}
    own = {run.data.params["defense"]: run.data.params for run in logged.parents}
    assert own["adv_train"]["adv_train.eps"] == str(evaluated.cfg.defenses["adv_train"]["eps"])
    for key, value in evaluated.populations["partition"].facts["certificate"].items():
        assert own["partition"][f"certificate.{key}"] == str(value)


def test_a_nested_run_has_few_parameters_the_defense_and_the_setting_among_them(logged):
    for run in logged.nested:
        assert {"defense", "seed", "model"} < set(run.data.params)
        assert len(run.data.params) <= 5


def test_what_sets_a_run_apart_is_a_parameter_of_its_nested_runs(cfg):
    point = Point({"eps": "0.1"}, ())
    overrides = ["dp_train.epsilon=8", "+train.note=a=b", "~attack.square", "seed=2"]
    assert tracking.point_parameters(cfg, "dp_train", point, overrides) == {
        "seed": "2",
        "model": "mlp",
        "dp_train.epsilon": "8",
        "train.note": "a=b",
        "attack.square": "removed",
        "defense": "dp_train",
        "eps": "0.1",
    }


def test_a_name_says_what_sets_a_run_apart_in_few_letters():
    assert tracking.run_name("dp_train", Judgement()) == "dp_train"
    flagged = Judgement({"degenerate": "why", "masked": "so"})
    overrides = ["dp_train.epsilon=8", "seed=2"]
    said = "dp_train (epsilon=8, seed=2) [degenerate, masked]"
    assert tracking.run_name("dp_train", flagged, overrides) == said


# ---- files ----


def test_the_files_of_the_report_and_the_own_rows_are_artifacts(logged, store):
    def listed(run, place=None):
        return {item.path for item in logged.client.list_artifacts(run.info.run_id, place)}

    for run in logged.parents:
        names = listed(run)
        assert {"report_shared.html", "comparison.csv", "overview.csv", "metrics.json"} <= names
        assert {"plots/roc.csv", "plots/confusion.png"} <= listed(run, "plots")
        assert listed(run, "measured") == {"measured/evasion"}
        (rows,) = listed(run, "measured/evasion")
        sent = logged.client.download_artifacts(run.info.run_id, rows)
        sent_rows = pd.read_parquet(sent)
        assert len(sent_rows)


def test_what_shows_single_patients_is_not_sent(logged, store, evaluated):
    private = {table for risk in RISKS for table in risk.private | risk.per_patient}
    kept = {"report.html", *(f"{table}.csv" for table in private)}
    kept |= {f"{table}.parquet" for table in private}
    here = {path.name for path in evaluated.folder.iterdir() if path.is_file()}
    assert {"report.html", "patients.parquet", "exposed.csv", "fragile.csv"} <= here & kept
    sent = {path.relative_to(store) for path in (store / "mlartifacts").rglob("*")}
    assert sent
    assert not [path for path in sent if path.name in kept or set(path.parts) & private]


def test_the_page_that_is_not_sent_is_the_one_that_the_report_writes():
    assert f"{tracking.PAGE}.html" == report.REPORT
    assert Path(report.SHARED).stem != tracking.PAGE


def test_rows_of_records_are_sent_only_where_patients_are_shown(tmp_path):
    (tmp_path / "evasion").mkdir()
    (tmp_path / "evasion" / "rows.parquet").write_text("")

    def rows(patients):
        cfg = SimpleNamespace(report=ReportConfig(metrics=[], patients=patients))
        asked = SimpleNamespace(
            folder=tmp_path / "none",
            examined={"baseline": tmp_path},
            context=SimpleNamespace(cfg=cfg),
        )
        sent = tracking.files_of(asked, "baseline")
        return [file for file, _ in sent if file.suffix == ".parquet"]

    assert rows("shown")
    assert not rows("hidden")


def test_what_is_private_is_kept_whatever_its_risk(monkeypatch, tmp_path):
    only_risks(monkeypatch, RUMOUR, SILENCE)
    for name in ("report.html", "report_shared.html", "rumour.csv", "named.csv", "summary.txt"):
        (tmp_path / name).write_text("")
    for name in ("plots/a.png", "plots/rumour.csv", "by/baseline.csv", "ears.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    hidden = SimpleNamespace(cfg=SimpleNamespace(report=SimpleNamespace(patients="hidden")))
    asked = SimpleNamespace(folder=tmp_path, examined={}, context=hidden)
    assert [
        (file.relative_to(tmp_path).as_posix(), place)
        for file, place in tracking.files_of(asked, "baseline")
    ] == [
        ("plots/a.png", "plots"),
        ("plots/rumour.csv", "plots"),
        ("report_shared.html", None),
        ("rumour.csv", None),
    ]


def test_no_logged_file_shows_a_measurement_of_a_single_patient(store, evaluated):
    """Their changes, "glucose 148 → 147", stand on the page in the folder alone."""
    fragile = evaluated.results["evasion"]["fragile"]
    changes = set(fragile["change that misses the diagnosis"])
    whole = (evaluated.folder / "report.html").read_text(encoding="utf-8")
    assert any(change in whole for change in changes)
    pages = list((store / "mlartifacts").rglob("*.html"))
    assert len(pages) == len(evaluated.examined)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not [change for change in changes if change in text]
        assert "Left out here" in text


def test_nothing_in_the_store_holds_a_record_of_the_cohort(store, evaluated):
    """The files of runs and models, and the database; what was logged from does hold some."""
    found = {Path(file).name for file in records_in(evaluated.folder, evaluated.dataset)}
    assert found == {"exposed.csv", "exposure.parquet"}
    assert any((store / "mlartifacts").rglob("input_example.json"))
    assert records_in(store, evaluated.dataset) == {}


def test_nothing_that_is_logged_says_where_the_project_lies(logged, store):
    places = [f"{place}/" for place in (tiny.ROOT, store, tempfile.gettempdir(), sys.prefix)]
    for path in (store / "mlartifacts").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [place for place in places if place.encode() in content], path
    models = logged.client.search_logged_models([logged.parents[0].info.experiment_id])
    assert models
    said = [
        value
        for run in logged.parents + logged.nested
        for value in (run.data.tags | run.data.params).values()
    ]
    said += [value for model in models for value in (model.tags | model.params).values()]
    assert not [value for value in said if any(place in value for place in places)]


# ---- once ----


def test_a_changed_table_is_another_key_of_its_defense_alone(to_log):
    before = {name: tracking.run_key(to_log, name) for name in to_log.populations}
    assert len(set(before.values())) == len(before)
    table = to_log.results["membership"]["membership"].copy()
    table.loc[table["defense"] == "adv_train", "auroc"] += 0.01
    results = {**to_log.results}
    results["membership"] = {**results["membership"], "membership": table}
    changed = replace(to_log, results=results)
    same = {name for name in before if tracking.run_key(changed, name) == before[name]}
    assert same == set(before) - {"adv_train"}


def test_a_curve_of_one_defense_is_no_news_of_another(to_log):
    curves = to_log.results["evasion"]["plots/robustness"]
    evasion = {**to_log.results["evasion"], "plots/robustness": curves.assign(adv_train=0.0)}
    changed = replace(to_log, results={**to_log.results, "evasion": evasion})
    assert tracking.run_key(changed, "baseline") == tracking.run_key(to_log, "baseline")


def test_other_weights_or_another_configuration_are_another_key(to_log, evaluated):
    key = tracking.run_key(to_log, "baseline")
    swapped = {**to_log.populations, "baseline": to_log.populations["adv_train"]}
    assert tracking.run_key(replace(to_log, populations=swapped), "baseline") != key
    cfg: Config = evaluated.cfg.model_copy(update={"seed": 1})
    context = Context(evaluated.dataset, cfg)
    assert tracking.run_key(replace(to_log, context=context), "baseline") != key


def test_the_same_evaluation_is_not_logged_twice(logged, to_log):
    tracking.log_evaluations(to_log)
    experiment = logged.parents[0].info.experiment_id
    again = logged.client.search_runs([experiment], max_results=1000)
    assert len(again) == len(logged.parents) + len(logged.nested)


def test_the_same_run_started_twice_at_once_is_logged_once(logged, to_log, evaluated, monkeypatch):
    cfg = evaluated.cfg.model_copy(update={"seed": 8})
    other = replace(to_log, context=Context(evaluated.dataset, cfg))
    asked = tracking.find_finished

    def slowly(*arguments):
        answer = asked(*arguments)
        time.sleep(0.5)  # enough for the other one to ask as well
        return answer

    monkeypatch.setattr(tracking, "find_finished", slowly)
    monkeypatch.setattr(tracking, "log_release", lambda *_: None)
    with ThreadPoolExecutor(2) as two:
        list(two.map(lambda _: tracking.log_evaluation(other, "baseline"), range(2)))
    key = tracking.run_key(other, "baseline")
    runs = logged.client.search_runs(
        [logged.parents[0].info.experiment_id], f"tags.run_key = '{key}'"
    )
    assert [run.info.status for run in runs] == ["FINISHED"]


def test_a_run_that_was_cut_off_is_logged_anew(logged, to_log, evaluated, monkeypatch):
    cfg = evaluated.cfg.model_copy(update={"seed": 9})
    other = replace(to_log, context=Context(evaluated.dataset, cfg), overrides=["seed=9"])
    key = tracking.run_key(other, "baseline")
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "log_release", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tracking.log_evaluation(other, "baseline")
    tracking.log_evaluation(other, "baseline")
    runs = logged.client.search_runs(
        [logged.parents[0].info.experiment_id], f"tags.run_key = '{key}'"
    )
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED"]
    assert all(run.info.run_name.startswith("baseline (seed=9)") for run in runs)


# ---- what MLflow takes ----


@pytest.fixture
def told(monkeypatch, tmp_path, empty_store, evaluated):
    """Logs what made-up risks say of the baseline into a fresh store; returns the runs."""
    import shutil

    import mlflow

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "log_release", lambda *_: None)
    (tmp_path / "evaluate").mkdir()

    def log(*risks, facts=None):
        only_risks(monkeypatch, *risks)
        monkeypatch.setattr(pipeline.risks, "RISKS", risks)
        population = replace(evaluated.populations["baseline"], facts=facts or {})
        asked = tracking.Evaluated(
            {risk.name: TABLES for risk in risks},
            evaluated.context,
            tmp_path / "evaluate",
            {"baseline": tmp_path / "evaluate"},
            {"baseline": population},
        )
        tracking.log_evaluation(asked, "baseline")
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("medsecure-tiny")
        return tmp_path, experiment, client.search_runs([experiment.experiment_id])

    return log


def test_a_made_up_risk_is_logged_as_the_others_are(told):
    root, experiment, runs = told(RUMOUR, SILENCE)
    assert "under `rumour` tongues" in experiment.tags["mlflow.note.content"]
    by_name = {run.info.run_name: run for run in runs}
    assert set(by_name) == {"baseline", "baseline, tongues 1", "baseline, tongues 2"}
    assert curves_of(root, by_name["baseline"].info.run_id) == {
        ("rumour/heard", 1): 1 / 3,
        ("rumour/heard", 2): 2 / 3,
        ("heard", 0): 2 / 3,
    }
    assert by_name["baseline, tongues 2"].data.metrics == {"heard": 2 / 3}
    assert "mlflow.runColor" not in by_name["baseline"].data.tags  # compared with its like


def test_more_than_mlflow_takes_at_once_is_logged_whole(told):
    many = [Figure(f"a{number}", number) for number in range(1900)]
    risk = replace(SILENCE, figures=lambda tables, name, cfg: many)
    _, _, (run,) = told(risk, facts={f"fact{number}": number for number in range(230)})
    assert run.data.metrics == {name: float(value) for name, value, _ in many}
    assert run.data.params["fact229"] == "229"
    assert run.data.tags["defense"] == "baseline"


def test_a_name_that_mlflow_would_refuse_is_written_with_dashes_below(told):
    said = [Figure("Glucose (mg/dL), <b>/uplift", 0.5)]
    risk = replace(SILENCE, figures=lambda tables, name, cfg: said)
    _, _, (run,) = told(risk, facts={"a+b": 1})
    assert run.data.metrics == {safe_key(said[0].name): 0.5}
    assert run.data.params[safe_key("a+b")] == "1"
