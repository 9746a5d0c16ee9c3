"""Files of a run: report, tables, settings, origin; never a patient, never a place."""

import json
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

import tiny
from pipeline import report
from pipeline.config import ReportConfig
from pipeline.risks import RISKS
from pipeline.risks.risk import Context
from pipeline.tracking.artifacts import (
    PAGE,
    PROVENANCE,
    SETTINGS,
    SHARED,
    files_of,
    logged_files,
    provenance,
)
from report.made_up import RUMOUR, SILENCE, only_risks
from search import records_in

pytestmark = pytest.mark.heavy


@pytest.mark.slow
def test_the_files_of_the_report_and_the_own_rows_are_artifacts(logged, store):
    def listed(run, place=None):
        return {item.path for item in logged.client.list_artifacts(run.info.run_id, place)}

    for run in logged.parents:
        names = listed(run)
        assert {SHARED, SETTINGS, PROVENANCE, "comparison.csv", "metrics.json"} <= names
        assert {"plots/roc.csv", "plots/confusion.svg"} <= listed(run, "plots")
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
    assert f"{PAGE}.html" == report.REPORT
    assert report.SHARED == SHARED != f"{PAGE}.html"


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
        sent = files_of(asked, "baseline")
        return [file for file, _ in sent if file.suffix == ".parquet"]

    assert rows("shown")
    assert not rows("hidden")


def test_what_is_private_is_kept_whatever_its_risk(monkeypatch, tmp_path):
    only_risks(monkeypatch, RUMOUR, SILENCE)
    for name in ("report.html", "report_shared.html", "rumour.csv", "named.csv", "summary.txt"):
        (tmp_path / name).write_text("")
    for name in (
        "plots/a.svg",
        "plots/named.svg",
        "plots/rumour.csv",
        "by/baseline.csv",
        "ears.parquet",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    hidden = SimpleNamespace(cfg=SimpleNamespace(report=SimpleNamespace(patients="hidden")))
    asked = SimpleNamespace(folder=tmp_path, examined={}, context=hidden)
    assert [
        (file.relative_to(tmp_path).as_posix(), place)
        for file, place in files_of(asked, "baseline")
    ] == [
        ("plots/a.svg", "plots"),
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
    assert len(pages) == 3 * len(evaluated.examined)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not [change for change in changes if change in text]
        assert page.name != "report_shared.html" or "Left out here" in text


@pytest.mark.slow
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
    experiment = logged.parents[0].info.experiment_id
    models = logged.client.search_logged_models([experiment])
    assert models
    said = [
        value
        for run in logged.parents + logged.nested
        for value in (run.data.tags | run.data.params).values()
    ]
    said += [value for model in models for value in (model.tags | model.params).values()]
    said += logged.client.get_experiment(experiment).tags.values()
    for version in logged.client.search_model_versions(""):
        said += [version.description, *version.tags.values()]
    for run in logged.parents:
        entity = run.inputs.dataset_inputs[0].dataset
        said += [entity.source, entity.schema, entity.profile]
    assert not [value for value in said if any(place in value for place in places)]


def test_nobody_who_uses_this_machine_is_named(logged):
    for run in logged.parents + logged.nested:
        assert run.data.tags["mlflow.user"] == run.info.user_id == "medsecure"
    for model in logged.client.search_logged_models([logged.parents[0].info.experiment_id]):
        assert model.tags["mlflow.user"] == "medsecure"


# ---- settings and origin ----


def test_the_settings_are_the_whole_configuration_and_name_no_place(to_log):
    cfg = to_log.context.cfg
    moved = cfg.data.model_copy(update={"file": "/home/somebody/cohort.csv"})
    context = Context(to_log.context.dataset, cfg.model_copy(update={"data": moved}))
    with logged_files(replace(to_log, context=context), "baseline") as files:
        (file,) = [file for file, _ in files if file.name == SETTINGS]
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert told["data"].pop("file") == "cohort.csv"
    wanted = json.loads(json.dumps(cfg.model_dump(mode="json")))
    wanted["data"].pop("file")
    assert told == wanted


def test_digests_tell_where_figures_come_from(logged, to_log):
    for run in logged.parents:
        name = run.data.tags["defense"]
        file = logged.client.download_artifacts(run.info.run_id, PROVENANCE)
        told = json.loads(Path(file).read_text(encoding="utf-8"))
        assert told["population_sha256"] == to_log.populations[name].digest
        assert re.fullmatch(r"[0-9a-f]{64}", told["config_sha256"])
        assert told["data_digest"] == run.inputs.dataset_inputs[0].dataset.digest
        assert not [key for key in run.data.tags if key.endswith("sha256")]
    cfg = to_log.context.cfg.model_copy(update={"seed": 99})
    other = replace(to_log, context=Context(to_log.context.dataset, cfg))
    assert provenance(other, "baseline")["config_sha256"] != told["config_sha256"]
