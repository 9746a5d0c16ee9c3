"""The saved view: MLflow's own form, and columns and axes that runs hold."""

import json
from urllib.parse import parse_qs, unquote

import pytest

import pipeline.tracking.views as views
from pipeline.risks import RISKS
from pipeline.tracking.params import COMPARED
from report.made_up import RUMOUR, SILENCE, only_risks


def everything(cfg):
    return {name for risk in views.RISKS for name in risk.shown(cfg)}


def state(cfg, curves=("by/a",), held=None):
    saved = json.loads(views.view(cfg, curves, everything(cfg) if held is None else held))
    assert {"name", "createdAt", "updatedAt", "state"} == set(saved)
    assert isinstance(saved["createdAt"], int)
    return json.loads(saved["state"])


def test_a_table_has_about_ten_columns_the_strength_first_and_flags_last(cfg):
    found = views.columns(cfg)
    assert found[:2] == ["params.`eps`", "params.`epsilon`"]
    assert found[-1] == "tags.`flags`"
    assert 8 <= len(found) <= 12
    shown = state(cfg)
    assert shown["selectedColumns"] == found
    assert shown["columnOrder"][1:] == found
    assert set(shown["columnWidths"]) == set(shown["columnOrder"])


def test_charts_compare_what_is_shown_first_without_its_bounds(cfg):
    compared = views.axes(cfg, everything(cfg))
    across, up, *others = compared
    assert across == "sensitivity"
    assert up.startswith("robust_sensitivity_at_")
    assert others
    assert not [name for name in compared if name.endswith(("_low", "_high"))]
    kinds = {one["type"]: one for one in state(cfg)["compareRunCharts"]}
    assert kinds["PARALLEL"]["selectedParams"] == list(COMPARED[:2])
    assert kinds["PARALLEL"]["selectedMetrics"] == compared
    assert (kinds["SCATTER"]["xaxis"]["key"], kinds["SCATTER"]["yaxis"]["key"]) == (across, up)
    assert kinds["LINE"]["metricKey"] == "by/a"


def test_jobs_of_a_sweep_are_one_list_in_the_order_of_a_figure(cfg):
    alone = state(cfg)
    assert (alone["searchFilter"], alone["orderByKey"]) == ("", "attributes.start_time")
    below = json.loads(views.view(cfg, ("by/a",), everything(cfg), below=True))
    below = json.loads(below["state"])
    assert below["searchFilter"] == views.JOBS
    assert below["orderByKey"].startswith("metrics.`robust_sensitivity_at_")
    assert not below["orderByAsc"]


def test_what_one_run_lacks_is_no_axis_because_it_would_hide_that_run(cfg):
    first, second, lacked, _ = views.axes(cfg, everything(cfg))
    held = everything(cfg) - {lacked}
    assert views.axes(cfg, held)[:2] == [first, second]
    assert lacked not in json.dumps(state(cfg, held=held)["compareRunCharts"])
    assert f"metrics.`{lacked}`" in views.columns(cfg)
    assert views.axes(cfg, {lacked}) == [lacked]


def test_every_chart_has_an_id_of_its_own_in_the_one_section(cfg):
    shown = state(cfg, ("by/a", "by/b"))
    (section,) = shown["compareRunSections"]
    charts = shown["compareRunCharts"]
    assert len({one["uuid"] for one in charts}) == len(charts) == 4
    assert {one["metricSectionId"] for one in charts} == {section["uuid"]}


@pytest.mark.parametrize(("risks", "count"), [((RUMOUR, SILENCE), 1), ((SILENCE,), 0)])
def test_any_risks_make_a_view(cfg, monkeypatch, risks, count):
    only_risks(monkeypatch, *risks)
    monkeypatch.setattr(views, "RISKS", risks)
    asked = [name for risk in risks for name in risk.shown(cfg) if not name.endswith("_low")]
    assert views.axes(cfg, asked) == asked
    kinds = [one["type"] for one in views.charts(cfg, [], asked)]
    assert kinds.count("PARALLEL") == count
    assert len(views.columns(cfg)) == 3 + sum(len(risk.shown(cfg)) for risk in risks)


def filled(table):
    numbers = table.select_dtypes("number")
    return table.assign(**{name: numbers[name].fillna(0.5) for name in numbers})


def test_no_risk_shows_what_it_does_not_measure(evaluated):
    """A column that no run holds would be empty for ever."""
    for risk in RISKS:
        # so few patients leave gaps, such as a rate at 1 % false alarms
        tables = {name: filled(one) for name, one in evaluated.results[risk.name].items()}
        measured = risk.metrics(tables, evaluated.cfg)
        known = {key for figures in measured.values() for key in figures}
        assert not known or set(risk.shown(evaluated.cfg)) <= known, risk.name


def test_a_view_fits_into_a_tag(cfg):
    assert len(views.view(cfg, ["by/a", "by/b"], everything(cfg))) < 20000


def test_addresses_name_the_view_and_ask_for_the_runs_first():
    table = views.runs_address("http://here", "7")
    assert table.startswith("http://here/#/experiments/7/runs?")
    asked = parse_qs(table.partition("?")[2])
    assert asked == {"workflowType": ["machine_learning"], "viewStateShareKey": [views.VIEW]}
    charts = parse_qs(views.runs_address("http://here", "7", charts=True).partition("?")[2])
    assert charts == asked | {"compareRunsMode": ["CHART"]}
    assert f"mlflow.sharedViewState.{views.VIEW}" == views.TAG
    compared = views.compare_address("http://here", "7", ["a", "b"])
    assert unquote(compared).startswith(
        'http://here/#/compare-runs?runs=["a","b"]&experiments=["7"]'
    )
