"""A simulation that goes on where it was stopped, counts what it says it counts, and stands so."""

import json

import numpy as np
import pytest
import torch

from benchmarks import coverage
from pipeline.data.schema import Schema
from pipeline.files import BadInput, read_json

FIGURE = "undefended: accuracy"


def lines(n, *, sd=0.02, claimed=0.02, shift=0.0, seed=0):
    """Cohorts whose figure varies with `sd` around 0.7, while `claimed` is the standard error."""
    rng = np.random.default_rng(seed)
    return [
        {FIGURE: [0.7 + shift + rng.normal(0, sd), 0.7, claimed**2, 0.0, 0.0, 0.0, None]}
        for _ in range(n)
    ]


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Cohorts without work; which of them were asked for."""
    asked = []

    def cohort(kind, number, cfg):
        asked.append(number)
        return {FIGURE: [0.7, 0.7, 0.0004, 0.0, 0.0, 0.0, None]}

    monkeypatch.setattr(coverage, "COHORTS", tmp_path / "coverage")
    monkeypatch.setattr(coverage, "cohort", cohort)
    return asked


# ---- runs that are stopped ----


def test_a_run_goes_on_where_it_was_stopped(stand_in):
    coverage.run("stand_ins", 3)
    place = coverage.COHORTS / "stand_ins.jsonl"
    text = place.read_text()
    place.write_text(text[: text.rfind('"values"')])  # killed while it wrote the third
    coverage.run("stand_ins", 5)
    assert stand_in == [0, 1, 2, 2, 3, 4]
    assert list(coverage.read(place)) == [0, 1, 2, 3, 4]
    coverage.run("stand_ins", 5)
    assert len(stand_in) == 6


def test_lines_are_in_order_whoever_was_first(stand_in, monkeypatch):
    def backwards(function, jobs):
        for job in reversed(jobs):
            yield job, function(*job)

    monkeypatch.setattr(coverage, "as_done", backwards)
    coverage.run("stand_ins", 4)
    assert stand_in == [3, 2, 1, 0]
    assert list(coverage.read(coverage.COHORTS / "stand_ins.jsonl")) == [0, 1, 2, 3]


def test_a_run_that_was_killed_before_its_first_line_begins_anew(stand_in):
    coverage.COHORTS.mkdir()
    (coverage.COHORTS / "stand_ins.jsonl").write_text('{"records"')
    coverage.run("stand_ins", 1)
    assert list(coverage.read(coverage.COHORTS / "stand_ins.jsonl")) == [0]


def test_cohorts_of_another_design_are_not_mixed(stand_in, monkeypatch):
    coverage.run("stand_ins", 1)
    monkeypatch.setitem(coverage.DESIGN, "halves", 64)
    with pytest.raises(BadInput, match="of another design"):
        coverage.run("stand_ins", 2)


@pytest.mark.parametrize("arguments", [["all", "5"], ["own"], ["own", "many"]])
def test_what_is_not_understood_is_one_clear_line(arguments):
    with pytest.raises(BadInput, match=r"usage: .*stand_ins\|own COHORTS"):
        coverage.main(arguments)


# ---- what is counted ----


def test_a_true_interval_covers_and_is_as_wide_as_needed():
    (entry,) = coverage.covered(lines(2000))
    assert entry["coverage"] == pytest.approx(0.95, abs=0.015)
    assert entry["width"] == pytest.approx(1, abs=0.05)
    assert entry["low"] < entry["coverage"] < entry["high"]


def test_verdicts_find_what_is_too_narrow_too_wide_and_off():
    good, narrow, wide = (
        coverage.covered(lines(500, claimed=claimed)) for claimed in (0.02, 0.01, 0.05)
    )
    off = coverage.covered(lines(500, shift=0.03))
    assert coverage.verdict(good) == {
        "cohorts": 500,
        "mean_coverage": good[0]["coverage"],
        "mean_passes": True,
        "too_rarely": [],
        "too_often": [],
        "too_wide": [],
    }
    assert coverage.verdict(narrow)["too_rarely"] == [FIGURE]
    assert coverage.verdict(off)["too_rarely"] == [FIGURE]
    assert not coverage.verdict(off)["mean_passes"]
    assert coverage.verdict(wide)["too_often"] == coverage.verdict(wide)["too_wide"] == [FIGURE]


def test_a_figure_fails_only_where_the_simulation_is_sure_of_it():
    rarely = {"figure": "a", "cohorts": 30, "coverage": 0.87, "low": 0.7, "high": 0.95, "width": 1}
    assert coverage.verdict([rarely])["too_rarely"] == []
    assert coverage.verdict([{**rarely, "high": 0.919}])["too_rarely"] == ["a"]


# ---- a cohort ----


def test_the_cut_is_the_smallest_that_spares_enough_of_the_healthy():
    rng = np.random.default_rng(0)
    for specificity in (0.5, 0.85, 1.0):
        scores, y = rng.normal(size=101).round(1), rng.integers(0, 2, 101)
        cut, healthy = coverage.cut_at_specificity(scores, y, specificity), scores[y == 0]
        assert (healthy <= cut).mean() >= specificity
        below = healthy[healthy < cut]
        assert not below.size or (healthy <= below.max()).mean() < specificity


def test_every_model_of_the_plan_has_a_seed_and_each_patient_a_model_per_repetition(cfg):
    y = (torch.rand(100, generator=torch.Generator().manual_seed(0)) < 0.4).long()
    plan = coverage.whole_plan(y, 3)
    assert len(set(plan.seeds.tolist())) == plan.size == 25 + coverage.HALVES + coverage.AGAIN
    model_of = coverage.model_of_patient(plan)
    for repetition, row in enumerate(model_of):
        assert plan.held_out[row, torch.arange(100)].all()
        assert set(row // coverage.FOLDS) == {repetition}


def test_patients_of_the_population_are_as_a_clinic_writes_them_down(cfg):
    schema = Schema.of(cfg.data)
    data = coverage.draw(2000, schema, torch.Generator().manual_seed(0))
    assert 0.2 < data.y.double().mean() < 0.5
    assert data.x.isnan().double().mean() == pytest.approx(0.1, abs=0.01)
    lower, upper = schema.column("lower").float(), schema.column("upper").float()
    assert ((data.x >= lower) & (data.x <= upper) | data.x.isnan()).all()
    again = coverage.draw(2000, schema, torch.Generator().manual_seed(0))
    assert torch.equal(data.x.nan_to_num(), again.x.nan_to_num())


def test_the_attack_on_a_stand_in_lowers_every_right_answer(cfg):
    generator = torch.Generator().manual_seed(0)
    schema = Schema.of(cfg.data)
    data, fresh = (coverage.draw(n, schema, generator) for n in (120, 60))
    plan = coverage.whole_plan(data.y, 0)
    found = coverage.stand_ins(data, fresh, plan, cfg)
    sign = 2 * data.y.numpy() - 1
    for one in found.values():
        assert one.held
        assert one.clean.shape == (plan.size, 120)
        assert one.fresh.shape == (coverage.MODELS, 60)
        assert (sign * (one.attacked - one.clean)).mean() < 0


@pytest.mark.parametrize("kind", coverage.KINDS)
def test_the_committed_table_is_that_of_the_committed_cohorts(kind):
    cohorts = list(coverage.read(coverage.COHORTS / f"{kind}.jsonl").values())
    entries = coverage.covered(cohorts)
    committed = read_json(coverage.RESULT)[kind]
    assert committed == json.loads(
        json.dumps({"verdict": coverage.verdict(entries), "figures": entries})
    )
