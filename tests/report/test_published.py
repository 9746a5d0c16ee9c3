"""Figures and curves that may lie in git: few, small, of no patient, and only where one says so."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline import params
from pipeline.presentation.numbers import COUNTS
from pipeline.presentation.pictures import styles_of
from pipeline.report.published import RESULTS, curves_of, keep_out_of_git, write_published
from pipeline.risks import RISKS
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from report.made_up import RUMOUR, SILENCE, only_risks
from tiny import ROOT

pytestmark = pytest.mark.heavy

PIMA = ROOT / RESULTS / "pima"
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
DRAWING = ROOT / ".dvc" / "plots"


@pytest.fixture
def context(dataset, cfg):
    report = cfg.report.model_copy(update={"metrics": ["heard", "unknown"]})
    return Context(dataset, cfg.model_copy(update={"report": report}))


@pytest.fixture
def results(monkeypatch, context):
    only_risks(monkeypatch, RUMOUR, SILENCE)
    return draw_up_all(Sources({}), context)


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_holds_every_figure_once_and_the_wanted_ones_by_defense(results, context, tmp_path):
    write_published(results, context, tmp_path)
    assert files_in(tmp_path) == {
        "metrics.json",
        "metrics/baseline.json",
        "metrics/hard.json",
        "plots/loudness.csv",
    }
    every = json.loads((tmp_path / "metrics.json").read_text())
    assert every == {"baseline": {"heard": 0.6667}, "hard": {"heard": 0.2}}
    assert json.loads((tmp_path / "metrics/hard.json").read_text()) == {"heard": 0.2}


def test_a_figure_that_is_not_wanted_is_no_column(results, context, tmp_path):
    quiet = context.cfg.report.model_copy(update={"metrics": []})
    write_published(
        results,
        Context(context.dataset, context.cfg.model_copy(update={"report": quiet})),
        tmp_path,
    )
    assert json.loads((tmp_path / "metrics/hard.json").read_text()) == {}


def test_a_curve_has_its_interval_and_its_defense_its_flags(results, context):
    (curve,) = curves_of(results, context.cfg).values()
    assert list(curve) == ["defense", "flags", "tongues", "value", "low", "high"]
    flags = dict(zip(curve["defense"], curve["flags"], strict=True))
    assert flags == {"baseline": "", "hard": "", "masked": "masked_mouth deaf"}
    assert ((curve["low"] <= curve["value"]) & (curve["value"] <= curve["high"])).all()


def test_a_point_without_a_value_is_none(results, context):
    rumour = results["rumour"]["rumour"]
    holes = {"rumour": {**results["rumour"], "rumour": rumour.assign(heard=float("nan"))}}
    (curve,) = curves_of({**results, **holes}, context.cfg).values()
    assert len(curve) == 0
    assert len(curves_of(results, context.cfg)["loudness"]) == len(rumour)


# ---- git ----


def git(folder, *command):
    done = subprocess.run(
        ["git", "-C", folder, *command], capture_output=True, text=True, check=True
    )
    return done.stdout


def seen(folder):
    return set(git(folder, "status", "--short", "--untracked-files=all").split()) - {"??"}


def test_figures_of_a_cohort_enter_git_only_when_a_line_says_so(tmp_path):
    git(tmp_path, "init", "-q")
    results = tmp_path / RESULTS
    for name in ("ward", "other"):
        (results / name / "plots").mkdir(parents=True)
        (results / name / "metrics.json").write_text("{}")
        (results / name / "plots" / "a.csv").write_text("a")
    keep_out_of_git(results)
    assert seen(tmp_path) == set()
    with (results / ".gitignore").open("a") as lines:
        lines.write("!/ward/\n")
    keep_out_of_git(results)  # what somebody wrote there stays
    assert seen(tmp_path) == {"results/ward/metrics.json", "results/ward/plots/a.csv"}


@pytest.mark.parametrize(("name", "kept_out"), [("pima", False), ("ward", True), ("a b", True)])
def test_here_only_the_public_cohort_is_named(tmp_path, name, kept_out):
    git(tmp_path, "init", "-q")
    place = tmp_path / RESULTS / name
    place.mkdir(parents=True)
    (place / "metrics.json").write_text("{}")
    (tmp_path / RESULTS / ".gitignore").write_text((ROOT / RESULTS / ".gitignore").read_text())
    assert any("metrics.json" in path for path in seen(tmp_path)) != kept_out


def test_what_lies_in_git_is_small_and_counts_nobody():
    private = {table for risk in RISKS for table in risk.private | risk.per_patient}
    assert {"fragile", "changes"} <= private
    assert files_in(PIMA)
    for name in files_in(PIMA):
        assert (PIMA / name).stat().st_size < 10_000, name
        assert Path(name).suffix in (".json", ".csv")
        assert Path(name).stem not in private
    for path in (PIMA / "plots").iterdir():
        curve = pd.read_csv(path, keep_default_na=False)
        assert not set(curve) & set(COUNTS)
        assert curve[["value", "low", "high"]].stack().between(0, 1).all()  # shares, no counts
        assert curve.groupby("defense").size().max() <= 20


def test_the_figures_side_by_side_fit_a_terminal():
    """As `dvc metrics show` sets them: a row a file, as `test_dvc` sees it do."""
    cfg = params.load(ROOT / "params.yaml")
    shown = {path: json.loads(path.read_text()) for path in (PIMA / "metrics").iterdir()}
    assert {path.stem for path in shown} == set(cfg.defenses)
    for path, figures in shown.items():
        assert list(figures) == cfg.report.metrics
        names = sum(max(len(name), 6) for name in figures)
        assert len(str(path.relative_to(ROOT))) + 2 + names + 4 * (len(figures) - 1) <= 100


# ---- how they are drawn ----


def test_every_curve_in_git_is_drawn_once():
    drawn = [path for plot in DVC["plots"] for how in plot.values() for path in how["y"]]
    assert sorted(Path(path).name for path in drawn) == sorted(
        path.name for path in (PIMA / "plots").iterdir()
    )
    for how in (how for plot in DVC["plots"] for how in plot.values()):
        (file,) = how["y"]
        columns = list(pd.read_csv(PIMA / "plots" / Path(file).name))
        assert columns == ["defense", "flags", how["x"], "value", "low", "high"]
        assert (DRAWING / f"{how['template']}.json").is_file()


def test_colours_are_those_of_the_page():
    plain, log = (
        json.loads((DRAWING / f"{name}.json").read_text())
        for name in ("intervals", "intervals_log")
    )
    scale = plain["encoding"]["color"]["scale"]
    drawn = dict(zip(scale["domain"], scale["range"], strict=True))
    named = list(params.load(ROOT / "params.yaml").defenses)
    assert {name: drawn[name] for name in named} == {
        name: style.colour for name, style in styles_of(named).items()
    }
    assert len(set(drawn.values())) == len(drawn)
    log["encoding"]["x"].pop("scale")
    assert plain == log


def test_the_page_names_no_server():
    text = (DRAWING / "page.html").read_text()
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == text.count("http-equiv")
    assert "{scripts}" not in text  # DVC would put Vega's address there
    assert text.count("{plot_divs}") == 1
