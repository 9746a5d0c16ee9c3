"""A finished run is not run again, whatever ended the process; what decides it is in its key."""

import ast
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml

import clinic
import tiny
from digits import cells_of, curves_of
from pipeline import sweep
from pipeline.params import compose
from pipeline.presentation.numbers import with_interval
from pipeline.risks import RISKS
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Sources
from report.reader import check

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def composed():
    """Composes the smoke configuration with overrides, once each."""
    known = {}

    def compose_once(*overrides):
        if overrides not in known:
            known[overrides] = compose(["experiment=smoke", *overrides], tiny.ROOT / "conf")
        return yaml.safe_load(known[overrides])

    return compose_once


@pytest.fixture
def small(composed):
    """The configuration of a run on the tiny clinic, with one defense or several."""

    def configuration(*overrides, defenses=("baseline",)):
        values = composed("threads=1", "plan.folds=2", "plan.seeds=1", *overrides)
        return clinic.configuration(values, defenses)

    return configuration


@pytest.fixture
def place(tmp_path, monkeypatch, empty_store, small):
    """A root of its own; runs overrides there, and counts what is trained and what is drawn."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    data = tiny.records(60, seed=5)
    monkeypatch.setattr(sweep, "read_raw", lambda *_: (data, {}))
    clinic.undrawn(monkeypatch)
    trained, drawn = [], []
    train, write = sweep.train_reported, sweep.write_evaluation
    monkeypatch.setattr(
        sweep, "train_reported", lambda name, *rest: trained.append(name) or train(name, *rest)
    )
    monkeypatch.setattr(sweep, "write_evaluation", lambda *all: drawn.append(1) or write(*all))

    def run(*overrides, defenses=("baseline",)):
        trained.clear()
        drawn.clear()
        lines = sweep.run_recipes(small(*overrides, defenses=defenses), list(overrides))
        return SimpleNamespace(
            lines=lines, line=lines[0], trained=list(trained), drawn=len(drawn), root=tmp_path
        )

    return run


@pytest.fixture(autouse=True)
def threads():
    """Recipes set the number of threads; give it back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def cut(monkeypatch, name):
    """Ends the process where the sweep calls this."""
    monkeypatch.setattr(sweep, name, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))


def runs_in(root):
    """The finished runs in the store: parents and nested ones."""
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("medsecure-tiny").experiment_id
    found = client.search_runs([experiment], "attributes.status = 'FINISHED'")
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    return parents, [run for run in found if run not in parents]


# ---- once ----


def test_a_finished_run_is_neither_trained_nor_drawn_nor_logged_again(place):
    first = place()
    assert (first.trained, first.drawn) == (["baseline"], 1)
    assert not first.line["done_before"]
    again = place()
    assert (again.trained, again.drawn) == ([], 0)
    assert again.line == {**first.line, "done_before": True}
    parents, nested = runs_in(first.root)
    assert (len(parents), len(nested)) == (1, 3)


def test_what_other_code_drew_is_drawn_again_without_training(place, monkeypatch):
    first = place()
    page = next((first.root / "sweeps").glob("*/evaluation/report.html"))
    page.write_text("of other code")
    monkeypatch.setattr(sweep, "drawn_by", lambda: "another digest")
    again = place()
    assert (again.trained, again.drawn) == ([], 1)
    assert again.line == {**first.line, "done_before": True}
    assert page.read_text().startswith("<!doctype html>")
    assert place().drawn == 0


def test_a_run_that_was_cut_off_leaves_nothing_and_is_run_again(place, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        cut(patch, "examine")
        with pytest.raises(KeyboardInterrupt):
            place()
    assert not [path for path in (tmp_path / "sweeps").iterdir() if not path.name.startswith(".")]
    again = place()
    assert again.trained == ["baseline"]
    assert not again.line["done_before"]


def test_a_run_that_was_cut_off_while_it_was_drawn_is_not_trained_again(place, monkeypatch):
    with monkeypatch.context() as patch:
        cut(patch, "write_evaluation")
        with pytest.raises(KeyboardInterrupt):
            place()
    again = place()
    assert (again.trained, again.drawn) == ([], 1)
    assert again.line["done_before"]


def test_a_result_that_never_reached_mlflow_is_logged_without_training(place, monkeypatch):
    with monkeypatch.context() as patch:
        cut(patch, "log_evaluation")
        with pytest.raises(KeyboardInterrupt):
            place()
    again = place()
    assert (again.trained, again.drawn) == ([], 0)
    parents, nested = runs_in(again.root)
    assert (len(parents), len(nested)) == (1, 3)  # the defense and its radii


def test_a_run_is_named_after_what_sets_it_apart(place):
    place("seed=1")
    parents, nested = runs_in(place("seed=1").root)
    assert [run.info.run_name.split(" [")[0] for run in parents] == ["baseline (seed=1)"]
    assert {run.data.params["seed"] for run in nested} == {"1"}


# ---- the same digits by every road ----


def test_csv_page_and_mlflow_show_the_same_digits(place):
    ran = place()
    (evaluation,) = (ran.root / "sweeps").glob("*/evaluation")
    cells = cells_of(evaluation, "baseline")
    parents, nested = runs_in(ran.root)
    for run in parents + nested:
        curves = curves_of(ran.root, run.info.run_id)
        assert curves
        for (key, _), value in curves.items():
            assert value in cells or key.startswith("flag/"), (key, value)
    page = check((evaluation / "report.html").read_text(encoding="utf-8"))
    said = pd.read_csv(evaluation / "headline.csv", float_precision="round_trip")
    words = with_interval(said, "value", "low", "high")
    assert len(page.tables[0]) == 1 + len(said)
    for figure, one in zip(said["figure"], words, strict=True):
        assert ran.line[figure] == one
        assert any(one in cell for row in page.tables[0][1:] for cell in row), figure


def test_a_sweep_and_an_evaluation_of_the_same_models_hold_the_same_figures(
    evaluated, monkeypatch, tmp_path, empty_store
):
    """One defense of the tiny clinic by the other road: MLflow and CSV agree to the last bit."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    clinic.undrawn(monkeypatch)
    monkeypatch.setattr(sweep, "read_raw", lambda *_: (evaluated.dataset, {}))
    monkeypatch.setattr(sweep.Plan, "cross_validation", lambda *_, **__: evaluated.plan)
    monkeypatch.setattr(sweep, "train_reported", lambda name, *_: evaluated.populations[name])
    cfg = sweep.only(evaluated.cfg, "baseline")
    sweep.run_recipes(cfg)
    (run,), _ = runs_in(tmp_path)
    # a sweep runs no stage of a single risk
    results = draw_up_all(Sources(evaluated.examined), evaluated.context)
    wanted = {
        (figure.name, figure.step): float(figure.value)
        for risk in RISKS
        for figure in risk.figures(results[risk.name], "baseline", evaluated.cfg)
        if not pd.isna(figure.value)
    }
    found = curves_of(tmp_path, run.info.run_id)
    differs = {key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)}
    assert not differs
    (evaluation,) = (tmp_path / "sweeps").glob("*/evaluation")
    assert set(found.values()) - {1.0} <= cells_of(evaluation, "baseline")


# ---- keys ----


def test_what_decides_the_result_decides_the_key(small):
    changes = ("seed=1", "train.batch_size=16", "model=linear", "inversion.candidates=9")
    data = tiny.records(60, seed=5)
    configurations = [small(), *map(small, changes)]
    keys = [sweep.run_key(sweep.only(cfg, "baseline"), data) for cfg in configurations]
    assert len(set(keys)) == len(keys)
    other = small("distill.epochs=1", defenses=("baseline", "distill"))
    assert sweep.run_key(sweep.only(other, "baseline"), data) == keys[0]


def test_the_sections_of_other_defenses_do_not(place):
    alone = place().line
    both = place("distill.epochs=1", defenses=("baseline", "distill"))
    assert [line["key"] == alone["key"] for line in both.lines] == [True, False]
    assert both.trained == ["distill"]


def test_the_records_and_the_code_are_part_of_the_key(small, monkeypatch, tmp_path):
    cfg, data = sweep.only(small(), "baseline"), tiny.records(20, seed=0)
    key = sweep.run_key(cfg, data)
    changed = data.x.clone()
    changed[3, 0] += 1
    assert sweep.run_key(cfg, type(data)(changed, data.y, data.schema)) != key
    (tmp_path / "module.py").write_text("")
    monkeypatch.setattr(sweep, "__file__", str(tmp_path / "sweep.py"))
    assert sweep.run_key(cfg, data) != key


# ---- which code decides a measurement ----

PACKAGE = tiny.ROOT / "pipeline"


def imports(file):
    """The files of the package that a file imports anywhere."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = tiny.ROOT / name.replace(".", "/")
            yield from (
                one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()
            )


def test_all_code_that_a_measurement_runs_is_part_of_the_key():
    waiting = [
        PACKAGE / "stages" / "_examining.py",
        PACKAGE / "defenses" / "__init__.py",
        PACKAGE / "data" / "tabular.py",
        PACKAGE / "data" / "plan.py",
    ]
    # They list and hand on; what they list is found by who imports it.
    listing = {PACKAGE / "risks" / "__init__.py", PACKAGE / "risks" / "risk.py"}
    found = set()
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += set(imports(one)) - found - listing
    assert len(found) > 30
    assert found <= set(sweep.measuring_code())


def test_what_draws_up_shows_and_logs_is_no_part_of_it():
    names = {file.relative_to(PACKAGE).as_posix() for file in sweep.measuring_code()}
    assert not {name for name in names if name.startswith(("report", "tracking", "presentation"))}
    assert not {name for name in names if name.endswith(("tables.py", "report.py", "risk.py"))}
    assert {"config/cohort.py", "files.py", "stages/_examining.py", "models/training.py"} <= names
    assert not {"sweep.py", "params.py", "__main__.py"} & names


@pytest.mark.parametrize("name", ["templates/page.html.jinja", "write.py"])
def test_the_page_and_its_code_decide_what_is_drawn_again(monkeypatch, tmp_path, name):
    shutil.copytree(PACKAGE / "report", tmp_path / "report")
    monkeypatch.setattr(sweep, "__file__", str(tmp_path / "sweep.py"))
    before = sweep.drawn_by()
    file = tmp_path / "report" / name
    file.write_text(file.read_text() + "\n")
    assert sweep.drawn_by() != before


# ---- the common table ----


def test_the_table_of_a_sweep_has_a_line_per_run_and_a_dash_where_a_figure_is_not_said(capsys):
    summary = sweep.Summary()
    for overrides, line in ((["seed=0"], {"a": "1", "b": "2"}), (["seed=1"], {"a": "3"})):
        task = SimpleNamespace(hydra=SimpleNamespace(overrides=SimpleNamespace(task=overrides)))
        done = SimpleNamespace(status=SimpleNamespace(name="COMPLETED"), return_value=[line])
        summary.bar = SimpleNamespace(update=lambda: None, close=lambda: None)
        summary.on_job_end(task, done)
    summary.on_multirun_end(task)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[:3] == [["overrides", "a", "b"], ["seed=0", "1", "2"], ["seed=1", "3", "-"]]
