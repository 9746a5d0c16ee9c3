"""Jobs against their own baselines, corrected over all of them: planted differences."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.files import NOT_APPLICABLE, read_json, write_json
from pipeline.risks.risk import Judgement, Sources
from pipeline.statistics.conclusions import Difference, holm
from pipeline.sweep import compared
from sweep.planted import block, conclude, job, question

BASE = job("baseline")
ONE, TWO = job("dp_train", dp_train__epsilon=1), job("dp_train", dp_train__epsilon=2)


def verdicts(said, figure="missed"):
    own = said.headlines[said.headlines["figure"] == figure]
    return dict(zip(own["defense"], own["verdict"], strict=True))


def test_a_real_difference_is_told_and_none_is_not(monkeypatch):
    figure = question({"baseline": 0.5, ONE.name: 0.4, TWO.name: 0.499})
    said = conclude(monkeypatch, block([BASE, ONE, TWO], figure))
    assert verdicts(said) == {"baseline": "", ONE.name: "better", TWO.name: "not told apart"}
    assert said.of_job(ONE.name)["better"] == "missed"


def test_holm_counts_all_jobs_of_the_sweep_whatever_their_baseline(monkeypatch):
    """What one block alone would tell apart is no more told among the jobs of many."""
    blocks, differences = [], {}
    for seed in range(6):
        base = job("baseline", f"baseline (seed={seed})", seed=seed)
        other = job("distill", base.name, seed=seed)
        gain = 0.022 if seed == 0 else 0.001
        blocks.append(block([base, other], question({"baseline": 0.5, other.name: 0.5 - gain})))
        differences[other.name] = Difference(gain, 0.01)
    assert differences["distill (seed=0)"].p < 0.05
    alone = conclude(monkeypatch, blocks[0])
    together = conclude(monkeypatch, *blocks)
    assert verdicts(alone)["distill (seed=0)"] == "better"
    assert verdicts(together)["distill (seed=0)"] == "not told apart"
    found = together.headlines.set_index("defense")["p"]
    wanted = holm([one.p for one in differences.values()])
    for name, p in zip(differences, wanted, strict=True):
        assert found[name] == pytest.approx(p, rel=1e-5)


def test_a_job_is_compared_with_its_own_baseline_not_with_another(monkeypatch):
    blocks = []
    for seed, level in ((0, 0.5), (1, 0.3)):
        base = job("baseline", f"baseline (seed={seed})", seed=seed)
        other = job("distill", base.name, seed=seed)
        values = {"baseline": level, other.name: level + 0.1 * (2 * seed - 1)}
        blocks.append(block([base, other], question(values)))
    said = conclude(monkeypatch, *blocks)
    assert verdicts(said)["distill (seed=0)"] == "better"
    assert verdicts(said)["distill (seed=1)"] == "worse"  # 0.4, as the better one
    assert said.front is None
    assert set(said.lines["best"]) == {""}


def test_a_flagged_job_is_never_called_better(monkeypatch):
    figure = question({"baseline": 0.5, ONE.name: 0.3, TWO.name: 0.5})
    said = conclude(monkeypatch, block([BASE, ONE, TWO], figure, flagged=[ONE.name]))
    assert verdicts(said)[ONE.name] == "better"
    assert "better" not in said.of_job(ONE.name)
    assert "best" not in said.of_job(ONE.name)


def test_who_is_best_is_told_apart_from_the_baseline_once_all_jobs_are_counted(monkeypatch):
    """Flagged jobs are compared as well: they count, though they cannot be best."""
    suspects = [job("adv_train", adv_train__eps=eps) for eps in range(5)]
    values = {"baseline": 0.5, ONE.name: 0.5 - 0.021} | {one.name: 0.5 for one in suspects}
    flagged = [one.name for one in suspects]
    jobs = [BASE, ONE, *suspects]
    said = conclude(monkeypatch, block(jobs, question(values), flagged=flagged))
    assert verdicts(said)[ONE.name] == "not told apart"
    assert said.lines["best"].iloc[0] == ""
    assert "not told apart" in said.lines["conclusion"].iloc[0]
    sure = conclude(monkeypatch, block(jobs, question(values, se=0.002), flagged=flagged))
    assert sure.lines["best"].iloc[0] == ONE.name


def test_a_baseline_may_be_the_best(monkeypatch):
    said = conclude(monkeypatch, block([BASE, ONE], question({"baseline": 0.1, ONE.name: 0.5})))
    assert said.lines["best"].iloc[0] == "baseline"
    assert said.of_job(ONE.name)["worse"] == "missed"


def test_jobs_without_a_baseline_are_not_compared(monkeypatch):
    said = conclude(monkeypatch, block([ONE, TWO], question({ONE.name: 0.1, TWO.name: 0.5})))
    assert set(verdicts(said).values()) == {"not compared"}


def test_a_baseline_has_its_own_name_in_all_that_is_said(monkeypatch):
    """Of one cohort of several: inside its tables it is called `baseline` all the same."""
    base = job("baseline", "baseline (data=a)", data="a")
    other = job("distill", base.name, data="a")
    said = conclude(monkeypatch, block([base, other], question({"baseline": 0.1, other.name: 0.5})))
    assert said.lines["best"].iloc[0] == base.name
    assert base.name in said.lines["conclusion"].iloc[0]
    assert said.front.dominated == {base.name: (), other.name: (base.name,)}
    assert said.of_job(other.name)["pareto_front"] == f"no: dominated by {base.name}"


# ---- jobs without a defense that differ in what makes their models ----


def kind(model, defense="baseline"):
    return job(defense, f"baseline (model={model})", model=model)


MLP, FOREST = kind("mlp"), kind("forest")
HARD = kind("mlp", "distill"), kind("forest", "distill")


def test_kinds_of_model_are_compared_with_the_first_of_them_and_one_may_be_best(monkeypatch):
    boosting = kind("boosting")
    values = {"baseline": 0.5, FOREST.name: 0.6, boosting.name: 0.4}
    said = conclude(monkeypatch, block([MLP, FOREST, boosting], question(values)))
    assert verdicts(said) == {MLP.name: "", FOREST.name: "worse", boosting.name: "better"}
    assert said.references == {FOREST.name: MLP.name, boosting.name: MLP.name}
    close = {"baseline": 0.5, FOREST.name: 0.6, boosting.name: 0.499}
    words = conclude(monkeypatch, block([MLP, FOREST, boosting], question(close))).lines
    assert f"from {MLP.name} (ahead" in words["conclusion"].iloc[0]
    assert said.lines["best"].tolist() == [boosting.name]
    assert said.of_job(FOREST.name)["pareto_front"].startswith("no: dominated by baseline")


def test_a_defense_of_another_kind_is_compared_with_its_own_models_without_it(monkeypatch):
    values = {"baseline": 0.5, FOREST.name: 0.3, HARD[0].name: 0.45, HARD[1].name: 0.4}
    said = conclude(monkeypatch, block([MLP, HARD[0], FOREST, HARD[1]], question(values)))
    assert said.references == {
        HARD[0].name: MLP.name,
        FOREST.name: MLP.name,
        HARD[1].name: FOREST.name,
    }
    assert verdicts(said)[HARD[1].name] == "worse"  # than its own, though better than the first
    own = said.headlines.set_index("defense")["p"]
    found = [(0.05, HARD[0]), (0.2, FOREST), (-0.1, HARD[1])]
    wanted = holm([Difference(gain, 0.01).p for gain, _ in found])
    assert [own[one.name] for _, one in found] == pytest.approx(wanted, rel=1e-5, abs=1e-12)


def test_what_speaks_against_a_defense_is_said_beside_its_own_models(monkeypatch):
    drawn = []

    def drawn_up(runs):
        names = [one.name for one, _ in runs]
        drawn.append(names)
        why = {"harms": "beside the first of " + ", ".join(names)}
        told = block([one for one, _ in runs])
        judged = {inside: Judgement(why) for inside in told.names}
        return compared.Block(told.names, (), judged, 0.95)

    monkeypatch.setattr(compared, "_drawn_up", drawn_up)
    jobs = [MLP, HARD[0], FOREST, HARD[1]]
    judged = compared.draw_up_block([(one, None) for one in jobs]).judged
    assert drawn == [[one.name for one in jobs], [FOREST.name, HARD[1].name]]
    said = {name: one.flags["harms"] for name, one in judged.items()}
    assert said[HARD[1].name] == f"beside the first of {FOREST.name}, {HARD[1].name}"
    assert {said[name] for name in ("baseline", HARD[0].name, FOREST.name)} == {
        "beside the first of " + ", ".join(one.name for one in jobs)
    }


@dataclass
class Left:
    """A run that left files of risks with a stage of their own."""

    staged: Path
    defense: str = "baseline"


def test_what_stages_left_of_several_jobs_lies_together(tmp_path):
    """Filters are tried of every kind of model, under one name; what was not asked is of some."""
    for name, why in (("one", {"": "of networks alone"}), ("two", {})):
        for risk in ("poisoning", "guard"):
            (tmp_path / name / risk).mkdir(parents=True)
        for file in ("baseline", "filtered_flips"):
            (tmp_path / name / "poisoning" / f"{file}.safetensors").write_text(name)
        write_json(tmp_path / name / "guard" / NOT_APPLICABLE, {"guard": why})
    runs = {"baseline": Left(tmp_path / "one"), "baseline (model=two)": Left(tmp_path / "two")}
    with compared._staged(runs) as place:
        held = {file.stem: file.read_text() for file in (place / "poisoning").iterdir()}
        assert held == {"baseline": "one", "baseline (model=two)": "two", "filtered_flips": "one"}
        said = read_json(place / "guard" / NOT_APPLICABLE)["guard"]
        assert said == {"baseline": "of networks alone"}
        assert Sources({}, place).stage("guard")
    with compared._staged({"baseline": Left(tmp_path / "one")}) as place:
        assert Sources({}, place).stage("guard") is None
