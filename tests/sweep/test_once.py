"""A finished run is not run again, whatever ended the process."""

import shutil

import pandas as pd
import pytest

import clinic
from digits import cells_of, curves_of
from pipeline.data.plan import Plan
from pipeline.files import BadInput
from pipeline.presentation.numbers import with_interval
from pipeline.risks import RISKS
from pipeline.risks.evasion.measure.attackers import TRANSFER
from pipeline.risks.evasion.measure.rows import load_rows
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Sources
from pipeline.sweep import keys, once
from report.reader import check

pytestmark = [pytest.mark.heavy, pytest.mark.slow]


def cut(monkeypatch, name):
    """Ends the process where the sweep calls this."""
    monkeypatch.setattr(once, name, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))


def runs_in(root):
    """The finished runs in the store: parents and nested ones."""
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("medsecure-tiny").experiment_id
    found = client.search_runs([experiment], "attributes.status = 'FINISHED'")
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    return parents, [run for run in found if run not in parents]


# ---- once ----


def test_a_finished_run_is_neither_trained_nor_drawn_nor_logged_again(first, after_first):
    assert (first.trained, first.drawn) == (["baseline"], 1)
    assert not first.line["done_before"]
    again = after_first("seed=1")
    assert (again.trained, again.drawn) == ([], 0)
    assert again.line == {**first.line, "done_before": True}
    parents, nested = runs_in(again.root)
    assert (len(parents), len(nested)) == (1, 3)


def test_what_other_code_drew_is_drawn_again_without_training(first, after_first, monkeypatch):
    page = next((after_first.root / "sweeps").glob("*/evaluation/report.html"))
    page.write_text("of other code")
    monkeypatch.setattr(once, "package_digest", lambda: "another digest")
    again = after_first("seed=1")
    assert (again.trained, again.drawn) == ([], 1)
    assert again.line == {**first.line, "done_before": True}
    assert page.read_text().startswith("<!doctype html>")
    assert after_first("seed=1").drawn == 0


def test_a_run_that_was_cut_off_goes_on_where_something_whole_is_left(place, monkeypatch, tmp_path):
    def cut_at(name):
        with monkeypatch.context() as patch:
            cut(patch, name)
            with pytest.raises(KeyboardInterrupt):
                place()

    cut_at("examine")
    assert not [path for path in (tmp_path / "sweeps").iterdir() if not path.name.startswith(".")]
    cut_at("write_evaluation")
    assert place.trained == ["baseline"]
    cut_at("log_evaluation")
    assert (place.trained, place.drawn) == ([], [1])
    again = place()
    assert (again.trained, again.drawn) == ([], 0)
    assert again.line["done_before"]
    parents, nested = runs_in(again.root)
    assert (len(parents), len(nested)) == (1, 3)  # the defense and its radii


def test_a_run_is_named_after_what_sets_it_apart(after_first):
    parents, nested = runs_in(after_first("seed=1").root)
    assert [run.info.run_name.split(" [")[0] for run in parents] == ["baseline (seed=1)"]
    assert {run.data.params["seed"] for run in nested} == {"1"}


def test_a_delta_that_does_not_fit_is_refused_before_any_recipe_is_trained(place, tmp_path):
    with pytest.raises(
        BadInput, match=r"^dp_train\.delta: 0\.02 is not below 1 / records = 0\.017"
    ):
        place("dp_train.delta=0.02", defenses=("baseline", "dp_train"))
    assert not (tmp_path / "sweeps").exists()


# ---- the same digits by every road ----


def test_csv_page_and_mlflow_show_the_same_digits(after_first):
    ran = after_first("seed=1")
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
    shown_first, folded = page.tables[:2]  # the figures that decide, and the others
    assert len(shown_first) + len(folded) == 2 + len(said)
    for figure, one in zip(said["figure"], words, strict=True):
        assert ran.line[figure] == one
        shown = one.replace("(", "").rstrip(")")  # the matrix sets them below each other
        cells = [" ".join(cell.split()) for row in shown_first + folded for cell in row]
        assert any(shown in cell for cell in cells), figure


@pytest.mark.parametrize("defense", ["baseline", "adv_train"])
def test_a_sweep_and_an_evaluation_of_the_same_models_hold_the_same_figures(
    evaluated, monkeypatch, tmp_path, empty_store, defense
):
    """One defense of the tiny clinic by the other road: rows, MLflow and CSV are the same.

    Also what records made against the undefended models do to it.
    """
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    clinic.undrawn(monkeypatch)
    monkeypatch.setattr(once, "read_raw", lambda *_: (evaluated.dataset, {}))
    monkeypatch.setattr(Plan, "cross_validation", lambda *_, **__: evaluated.plan)
    monkeypatch.setattr(once, "train_reported", lambda name, *_: evaluated.populations[name])
    once.run_recipes(keys.only(evaluated.cfg, defense))
    (run,), _ = runs_in(tmp_path)  # the undefended models of a defense are measured, not logged
    # a sweep runs no stage of a single risk
    results = draw_up_all(Sources(evaluated.examined), evaluated.context)
    wanted = {
        (figure.name, figure.step): float(figure.value)
        for risk in RISKS
        for figure in risk.figures(results[risk.name], defense, evaluated.cfg)
        if not pd.isna(figure.value)
    }
    found = curves_of(tmp_path, run.info.run_id)
    differs = {key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)}
    assert not differs
    (evaluation,) = (tmp_path / "sweeps").glob("*/evaluation")
    assert set(found.values()) - {1.0} <= cells_of(evaluation, defense)
    rows, whole = (
        load_rows(place / "evasion")
        for place in (evaluation.parent / once.MEASURED / defense, evaluated.examined[defense])
    )
    assert (TRANSFER in set(rows["attack"])) == (defense != "baseline")
    pd.testing.assert_frame_equal(rows, whole)


def test_the_sections_of_other_defenses_do_not(first, after_first):
    """They decide nothing of a run: it is not run again beside them."""
    both = after_first("seed=1", "distill.epochs=1", defenses=("baseline", "distill"))
    assert [line["key"] == first.line["key"] for line in both.lines] == [True, False]
    assert both.trained == ["distill"]


def test_other_settings_of_risks_with_a_stage_leave_a_page_of_their_own(cfg, dataset):
    """They share the models, and so the folder of the job."""

    def page(dose, risks="all"):
        poisoning = cfg.poisoning.model_copy(update={"headline_dose": dose})
        asked = cfg.model_copy(update={"poisoning": poisoning, "risks": risks})
        return once.Run("baseline", asked, dataset, "0" * 64, done_before=False).evaluation

    assert page(0.1) != page(0.2)
    assert page(0.1, "examined") == page(0.2, "examined") == once.place_of("0" * 64) / "evaluation"
