"""MLflow's view: what a run holds, in which digits, what it never holds; logged once."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest

import pipeline.risks
from digits import cells_of, curves_of
from pipeline.config import Config, canonical
from pipeline.presentation.pictures import COLOURS
from pipeline.risks import RISKS
from pipeline.risks.conclusions import Conclusions
from pipeline.risks.risk import Context, Figure
from pipeline.tracking import runs as tracking
from pipeline.tracking.keys import safe_key
from pipeline.tracking.notes import NOTE
from report.made_up import RUMOUR, SILENCE, TABLES, only_risks

pytestmark = pytest.mark.heavy

# What a run is found by, and what is concluded of it.
TAGS = {
    "run_key", "defense", "flags", "schema_version", "threat_model", "noise", "pareto_front",
    "better", "worse", "best",
}  # fmt: skip


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
            assert flag == "none" or f"`{flag}`" in tags[NOTE]


def test_a_defense_has_the_colour_that_it_has_on_the_page(logged, evaluated):
    colours = {run.data.tags["defense"]: run.data.tags["mlflow.runColor"] for run in logged.parents}
    assert colours == dict(zip(evaluated.examined, COLOURS, strict=False))


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
        assert len(wanted) > 20


def test_a_team_compares_few_figures_parameters_and_tags(logged):
    for run in logged.parents:
        assert 10 < len(run.data.metrics) <= 30
        assert len(run.data.params) <= 12
        own = {key for key in run.data.tags if not key.startswith("mlflow.")}
        assert own <= TAGS, own - TAGS


def test_parents_and_nested_runs_hold_the_first_axes_of_the_compare_page(logged):
    """It opens with the first three parameters that differ, in the alphabet's order."""
    for runs, wanted in (
        (logged.parents, {"defense", "eps"}),
        (logged.nested, {"attack_eps", "defense", "eps"}),
    ):
        values = {key: {run.data.params.get(key) for run in runs} for key in runs[0].data.params}
        differ = sorted(key for key, of_key in values.items() if len(of_key) > 1)
        assert set(differ[:3]) >= wanted


def test_every_metric_is_a_number_that_stands_in_a_csv_of_its_defense(logged, store, evaluated):
    cells = {name: cells_of(evaluated.folder, name) for name in evaluated.examined}
    for run in logged.parents + logged.nested:
        known = cells[run.data.tags["defense"]]
        for (key, _), value in curves_of(store, run.info.run_id).items():
            assert value in known, (run.info.run_name, key, value)


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


def test_what_counts_in_another_unit_stays_out_of_the_nested_runs(logged, evaluated):
    """Two measurements are no radius of 2: the sparse threat is on the parent alone."""
    assert evaluated.cfg.threat["sparse"].eps == [0, 1, 2]
    keys = {key for run in logged.nested for key in run.data.metrics}
    assert any(key.startswith("unconstrained/") for key in keys)
    assert not any(key.startswith("sparse/") for key in keys)


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
    curves = to_log.results["evasion"]["plots/roc"]
    evasion = {**to_log.results["evasion"], "plots/roc": curves.assign(adv_train=0.0)}
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


@pytest.mark.slow
def test_the_same_run_started_twice_at_once_is_logged_once(
    logged, to_log, evaluated, monkeypatch, as_before
):
    cfg = evaluated.cfg.model_copy(update={"seed": 8})
    other = replace(to_log, context=Context(evaluated.dataset, cfg))
    asked = tracking.find_finished

    def slowly(*arguments):
        answer = asked(*arguments)
        time.sleep(0.5)  # enough for the other one to ask as well
        return answer

    monkeypatch.setattr(tracking, "find_finished", slowly)
    monkeypatch.setattr(tracking, "log_release", lambda *_: "")
    with ThreadPoolExecutor(2) as two:
        list(two.map(lambda _: tracking.log_evaluation(other, "baseline"), range(2)))
    key = tracking.run_key(other, "baseline")
    runs = logged.client.search_runs(
        [logged.parents[0].info.experiment_id], f"tags.run_key = '{key}'"
    )
    assert [run.info.status for run in runs] == ["FINISHED"]


@pytest.mark.slow
def test_a_run_that_was_cut_off_is_logged_anew(logged, to_log, evaluated, monkeypatch, as_before):
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


def few(to_log, evaluated, seed, **tracking_told):
    """The same with less for MLflow, and another seed, so that it is another run."""
    told = evaluated.cfg.tracking.model_copy(update=tracking_told)
    cfg = evaluated.cfg.model_copy(update={"seed": seed, "tracking": told})
    return replace(to_log, context=Context(evaluated.dataset, cfg))


def test_one_run_a_job_holds_what_people_compare_and_the_robust_figures_of_three_radii(
    logged, to_log, evaluated, as_before
):
    told = few(to_log, evaluated, 10, nested=False, files=False)
    tracking.log_evaluation(told, "adv_train")
    client, experiment = logged.client, logged.parents[0].info.experiment_id
    key = tracking.run_key(told, "adv_train")
    (run,) = client.search_runs([experiment], f"tags.run_key = '{key}'")
    assert not client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert not client.list_artifacts(run.info.run_id)
    assert not client.search_logged_models([experiment], f"source_run_id='{run.info.run_id}'")
    (whole,) = [one for one in logged.parents if one.data.tags["defense"] == "adv_train"]
    assert run.data.metrics == whole.data.metrics
    for figure in ("robust_accuracy", "robust_sensitivity"):
        at = [key for key in run.data.metrics if re.fullmatch(rf"{figure}_at_[\d.]+", key)]
        assert at == [f"{figure}_at_{eps:g}" for eps in evaluated.cfg.audit.eps if eps]
    assert {"defense", "eps"} <= run.data.params.keys()
    assert "No nested runs" in run.data.tags[NOTE]
    assert "report_shared" not in run.data.tags[NOTE]


def test_how_much_is_told_is_no_part_of_what_it_is(to_log, evaluated):
    less = few(to_log, evaluated, evaluated.cfg.seed, nested=False, files=False)
    assert tracking.run_key(less, "baseline") == tracking.run_key(to_log, "baseline")
    assert canonical(less.context.cfg) == canonical(evaluated.cfg)


def test_what_a_killed_process_left_is_marked_with_its_nested_runs(
    logged, to_log, evaluated, as_before
):
    told = few(to_log, evaluated, 11, nested=False, files=False)
    client, experiment = logged.client, logged.parents[0].info.experiment_id
    key = tracking.run_key(told, "baseline")
    left = client.create_run(experiment, tags={"run_key": key}).info.run_id
    below = client.create_run(experiment, tags={tracking.PARENT_TAG: left}).info.run_id
    client.set_terminated(below)
    others = client.create_run(experiment, tags={"run_key": "other"}).info.run_id
    tracking.log_evaluation(told, "baseline")
    status = {one: client.get_run(one).info.status for one in (left, below, others)}
    assert status == {left: "KILLED", below: "KILLED", others: "RUNNING"}
    runs = client.search_runs([experiment], f"tags.run_key = '{key}'")
    assert sorted(run.info.status for run in runs) == ["FINISHED", "KILLED"]


# ---- what MLflow takes ----


@pytest.fixture
def told(monkeypatch, tmp_path, empty_store, evaluated):
    """Logs what made-up risks say of the baseline into a fresh store; returns the runs."""
    import shutil

    import mlflow

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "log_release", lambda *_: "")
    (tmp_path / "evaluate").mkdir()

    def log(*risks):
        only_risks(monkeypatch, *risks)
        monkeypatch.setattr(pipeline.risks, "RISKS", risks)
        population = evaluated.populations["baseline"]
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
    root, _, runs = told(RUMOUR, SILENCE)
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
    risk = replace(SILENCE, curves=lambda tables, name, cfg: many)
    _, _, (run,) = told(risk)
    assert run.data.metrics == {name: float(value) for name, value, _ in many}
    assert run.data.tags["defense"] == "baseline"


def test_a_name_that_mlflow_would_refuse_is_written_with_dashes_below(told):
    said = [Figure("Glucose (mg/dL), <b>/uplift", 0.5)]
    risk = replace(SILENCE, curves=lambda tables, name, cfg: said)
    _, _, (run,) = told(risk)
    assert run.data.metrics == {safe_key(said[0].name): 0.5}
