"""Figures of a recipe are those of its margins; how sure they are is read off half models."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from pipeline.config import DecisionConfig
from pipeline.models.answers import disease_score, predicted
from pipeline.risks.evasion.comparison import compare as compare_with
from pipeline.risks.evasion.measure.half_models import HALF_MODELS, HalfModels
from pipeline.risks.evasion.questions import in_words
from pipeline.risks.evasion.recipes import (
    EVERY,
    Answers,
    figures_of,
    recipe_figures,
    recipe_pairs,
    recipes_of,
)
from pipeline.risks.evasion.tables import draw_up
from pipeline.risks.risk import Sources
from pipeline.statistics import intervals, rates
from risks.evasion.made_up import (
    CFG,
    DEFENSES,
    HEADLINE,
    KNOWN,
    OTHER,
    found,
    model,
    three_defenses,
)
from tiny import records

N = 80
AT = 0.1  # the radius at which half models are attacked: of 0, 0.1 and 0.5, nearest to 0.3


@pytest.fixture
def halves():
    train = np.random.default_rng(5).random((6, N)) < 0.5
    return np.concatenate([train, train[:3]])


@pytest.fixture
def y():
    return (np.random.default_rng(6).random(N) < 0.4).astype(np.int64)


def answers(seed):
    rng = np.random.default_rng(seed)
    return Answers(rng.normal(0.5, 1, (2, N)), rng.normal(0.5, 1, (9, N)))


# ---- figures ----


def test_values_are_those_of_the_rates(halves, y):
    one = answers(0)
    found = recipe_figures(one, halves, y, models=10)
    expected = rates.classification(predicted(one.reported, y), y)
    for figure in ("accuracy", "sensitivity", "specificity"):
        assert found[figure].value == pytest.approx(expected[figure])
    assert found["auroc"].value == pytest.approx(rates.auroc(disease_score(one.reported, y), y))
    assert {one.spread.models for one in found.values()} == {10}


def test_auroc_is_that_of_what_models_say_wherever_they_draw_the_line(halves, y):
    one = answers(0)
    cut = np.random.default_rng(8).normal(0, 2, (2, N))
    found = recipe_figures(replace(one, cut=cut), halves, y, models=10)
    said = disease_score(one.reported, y, cut)
    assert found["auroc"].value == pytest.approx(rates.auroc(said, y))
    assert found["accuracy"] == recipe_figures(one, halves, y, models=10)["accuracy"]


def test_a_difference_is_that_of_two_recipes_and_paired(halves, y):
    one, other = answers(0), answers(1)
    apart = [recipe_figures(side, halves, y, models=10) for side in (one, other)]
    paired = recipe_figures(one, halves, y, models=10, against=other)
    for figure, estimate in paired.items():
        assert estimate.value == pytest.approx(apart[0][figure].value - apart[1][figure].value)
    with_itself = recipe_figures(one, halves, y, models=10, against=one)
    assert {found.value for found in with_itself.values()} == {0.0}
    least = {"accuracy": len(y), "sensitivity": (y == 1).sum(), "specificity": (y == 0).sum()}
    for figure, asked in least.items():  # as many others may differ, though these do not
        assert with_itself[figure].se() == pytest.approx(2**0.5 / (asked + 2))


def test_whom_a_half_model_saw_is_not_read(halves, y):
    one = answers(0)
    blank = replace(one, halves=np.where(halves, np.nan, one.halves))
    assert recipe_figures(one, halves, y, models=10) == recipe_figures(blank, halves, y, models=10)


def test_a_figure_of_which_half_models_say_nothing_is_left_out(halves, y):
    """Every ill patient was learned from by all, so nobody can be asked about them."""
    found = recipe_figures(answers(0), halves | (y == 1), y, models=10)
    assert set(found) == {"accuracy", "specificity"}
    other = np.random.default_rng(9).random(halves.shape) < 0.5  # no half with two seeds
    assert recipe_figures(answers(0), other, y, models=10) == {}


# ---- in the comparison ----


@pytest.fixture(scope="module")
def diagnoses():
    return records(200, seed=0).y.numpy()


def half_models(y, moved, *, attacked=True, seed=3):
    """Sixteen half models and four second seeds; `moved` = how much trainings and seeds differ."""
    rng = np.random.default_rng(seed)
    train = rng.random((16, len(y))) < 0.5
    train = np.concatenate([train, train[:4]])
    margins = np.stack([1.0 + rng.normal(0, 1.5, len(y))] * 2) - np.array([[0.0], [0.2]])
    each = margins[:, None] + moved * rng.normal(0, 1, (len(train), 1))
    tensors = (
        torch.tensor(one) for one in ([0.0, AT][: 1 + attacked], train, each[: 1 + attacked])
    )
    return HalfModels(*tensors)


@pytest.fixture(scope="module")
def examined(diagnoses):
    y = diagnoses
    return {"baseline": found(model(1.2, y), y), "sturdy": found(model(1.0, y, loss=0.5), y)}


def compared(examined, halves=None):
    recipes = recipes_of(examined, halves or {}, HEADLINE, "threshold", tiny.sampling(CFG))
    at_half = DecisionConfig(rule="threshold", value=0.5)
    how = {"decision": at_half, "sampling": tiny.sampling(CFG), "auroc_ceiling": None}
    return compare_with(examined, CFG, KNOWN, recipes=recipes, **how)


@pytest.fixture(scope="module")
def alike(examined, diagnoses):
    return compared(examined, {name: half_models(diagnoses, 0.0) for name in examined})


@pytest.fixture(scope="module")
def moved(examined, diagnoses):
    own = {name: half_models(diagnoses, 2.0, seed=3) for name in examined}
    rng = torch.Generator().manual_seed(1)
    other = own["sturdy"].margins + torch.randn(20, 1, generator=rng, dtype=torch.float64)
    return compared(examined, own | {"sturdy": replace(own["sturdy"], margins=other)})


@pytest.fixture(scope="module")
def bootstrapped(examined):
    return compared(examined)


def line(table, defense, eps):
    return table[(table["defense"] == defense) & (table["eps"] == eps)].iloc[0]


CLEAN = ["clean", "auroc", "robust", "sensitivity", "specificity", "attacked_auc"]
UNDER_ATTACK = ["robust", "sensitivity", "missed_diagnosis_rate"]
PLACES = [(0.0, prefix) for prefix in CLEAN] + [(AT, prefix) for prefix in UNDER_ATTACK]
GAINS = [(0.0, ""), (AT, ""), (0.0, "sensitivity_"), (AT, "sensitivity_"), (0.0, "specificity_")]
PLACES += [(eps, f"{prefix}difference") for eps, prefix in GAINS]
PLACES += [(0.0, "attacked_auc_difference")]


def width(table, eps, prefix):
    one = line(table, "sturdy", eps)
    return one[f"{prefix}_high"] - one[f"{prefix}_low"]


@pytest.mark.parametrize(("eps", "prefix"), PLACES)
def test_where_trainings_are_alike_the_interval_is_that_of_patients(
    alike, bootstrapped, eps, prefix
):
    """The one is normal, the other one of 300 resamples."""
    assert width(alike, eps, prefix) == pytest.approx(width(bootstrapped, eps, prefix), rel=0.2)


@pytest.mark.parametrize(("eps", "prefix"), [one for one in PLACES if "au" not in one[1]])
def test_where_trainings_differ_it_is_wider(moved, bootstrapped, eps, prefix):
    assert width(moved, eps, prefix) > 1.3 * width(bootstrapped, eps, prefix)


def test_no_value_changes_and_no_other_interval(moved, alike, bootstrapped):
    mine = {f"{prefix}_{side}" for _, prefix in PLACES for side in ("low", "high")}
    mine |= {f"false_alarm_rate_{side}" for side in ("low", "high")}
    mine |= {f"{prefix}smallest_detectable" for _, prefix in GAINS}
    rest = [name for name in bootstrapped if name not in mine | {"of_recipe"}]
    assert len(rest) > 30
    farther = bootstrapped["eps"] > AT
    always = {"clean_low", "clean_high", "auroc_low", "auroc_high"}
    for table in (moved, alike):
        pd.testing.assert_frame_equal(table[rest], bootstrapped[rest])
        others = sorted(mine - always)
        pd.testing.assert_frame_equal(table.loc[farther, others], bootstrapped.loc[farther, others])


def test_a_line_names_the_figures_whose_interval_is_of_the_recipe(moved, bootstrapped):
    assert set(bootstrapped["of_recipe"]) == {""}
    named = {eps: set(line(moved, "sturdy", eps)["of_recipe"].split()) for eps in (0.0, AT, 0.5)}
    assert named[0.5] == {"clean_accuracy", "auroc"}
    attacked = {"robust_accuracy", "sensitivity", "missed_diagnosis_rate"}
    assert named[AT] == named[0.5] | attacked | {"difference", "sensitivity_difference"}
    for eps, figures in named.items():
        for name in figures:
            bounds = {"clean_accuracy": "clean", "robust_accuracy": "robust"}.get(name, name)
            one = line(moved, "sturdy", eps)
            assert one[f"{bounds}_low"] < one[name] < one[f"{bounds}_high"]


def test_of_whom_a_rate_misses_the_interval_is_the_mirrored_one(moved):
    for eps, wrong, right in (
        (0.0, "missed_diagnosis_rate", "sensitivity"),
        (AT, "missed_diagnosis_rate", "sensitivity"),
        (0.0, "false_alarm_rate", "specificity"),
    ):
        one = line(moved, "sturdy", eps)
        mirrored = [1 - one[f"{right}_high"], 1 - one[f"{right}_low"]]
        assert [one[f"{wrong}_low"], one[f"{wrong}_high"]] == mirrored


def test_values_of_estimates_are_those_of_the_table(examined, diagnoses):
    cut = torch.tensor([[-1.0], [2.0]]).expand(2, len(diagnoses)).double()
    cut = cut + torch.randn(cut.shape, generator=torch.Generator().manual_seed(0))
    examined = {name: replace(one, cut=cut) for name, one in examined.items()}
    bootstrapped = compared(examined)
    halves = {name: half_models(diagnoses, 1.0) for name in examined}
    own = figures_of(
        recipes_of(examined, halves, HEADLINE, "threshold", tiny.sampling(CFG))["sturdy"]
    )
    assert own.eps == AT
    assert set(own.clean) == set(EVERY)
    for figures, eps in ((own.clean, 0.0), (own.attacked, AT)):
        one = line(bootstrapped, "sturdy", eps)
        names = {"accuracy": "robust_accuracy", "auroc": "attacked_auc"}
        for figure, estimate in figures.items():
            assert estimate.value == pytest.approx(one[names.get(figure, figure)])


def test_the_smallest_detectable_difference_follows_the_interval(moved):
    for eps, prefix in GAINS:
        reach = width(moved, eps, f"{prefix}difference") / 2
        least = line(moved, "sturdy", eps)[f"{prefix}smallest_detectable"]
        assert least == pytest.approx(intervals.smallest_detectable(reach / 1.959964), rel=1e-4)


# ---- what falls back ----


def test_models_that_were_not_attacked_and_other_halves_fall_back(
    examined, diagnoses, bootstrapped
):
    halves = {
        "baseline": half_models(diagnoses, 1.0),
        "sturdy": half_models(diagnoses, 1.0, attacked=False),
    }
    table = compared(examined, halves)
    at = ["robust_low", "sensitivity_low", "difference_low"]
    pd.testing.assert_series_equal(
        line(table, "sturdy", AT)[at], line(bootstrapped, "sturdy", AT)[at]
    )
    assert "robust_accuracy" not in line(table, "sturdy", AT)["of_recipe"].split()
    assert "difference" in line(table, "sturdy", 0.0)["of_recipe"].split()
    other = compared(examined, halves | {"sturdy": half_models(diagnoses, 1.0, seed=4)})
    assert "difference" not in " ".join(other["of_recipe"])
    assert "robust_accuracy" in line(other, "sturdy", AT)["of_recipe"].split()


def test_halves_of_people_who_are_not_asked_widen_intervals_too(examined, diagnoses, bootstrapped):
    """As with an official split: half models learned from records beyond those who are reported."""
    asked = len(diagnoses)

    def elsewhere(one):
        others = one.train[:, :50]
        train = torch.cat([torch.zeros_like(one.train), others], 1)
        margins = torch.cat([one.margins, torch.full((*one.margins.shape[:2], 50), torch.nan)], 2)
        return HalfModels(one.eps, train, margins)

    halves = {name: elsewhere(half_models(diagnoses, 1.0)) for name in examined}
    recipes = recipes_of(examined, halves, HEADLINE, "threshold", tiny.sampling(CFG))
    assert not recipes["baseline"].train.any()
    assert recipes["baseline"].train.shape[1] == asked
    assert len(set(recipes["baseline"].half)) == 16
    table = compared(examined, halves)
    assert width(table, AT, "robust") > 1.1 * width(bootstrapped, AT, "robust")
    assert "robust_accuracy" in line(table, "baseline", AT)["of_recipe"].split()


def test_what_intervals_mean_is_said_in_words(examined, diagnoses, moved, bootstrapped):
    models = "bootstrap over patients (these models on new patients)"
    assert in_words(bootstrapped) == f"intervals: {models}"
    assert in_words(bootstrapped.drop(columns="of_recipe")) == f"intervals: {models}"
    recipe = f"this recipe on a new cohort of this size; all others: {models}"
    at = "of right answers and sensitivity at eps 0.1"
    assert in_words(moved) == f"intervals without attack and {at}: {recipe}"
    clean = half_models(diagnoses, 1.0, attacked=False)
    some = compared(examined, {"baseline": half_models(diagnoses, 1.0), "sturdy": clean})
    assert in_words(some) == f"intervals without attack and {at} (but for sturdy): {recipe}"
    one = compared(examined, {"sturdy": clean})
    assert in_words(one) == f"intervals without attack (but for baseline): {recipe}"


def test_half_models_are_read_where_they_lie(context, tmp_path):
    examined = three_defenses(context.dataset)
    for name, one in examined.items():
        (tmp_path / name / "evasion").mkdir(parents=True)
        one.save(tmp_path / name / "evasion")
    places = {name: tmp_path / name for name in DEFENSES}
    for name in ("baseline", "adv_train"):
        half_models(context.dataset.y.numpy(), 1.0).save(places[name] / HALF_MODELS)
    table = draw_up(Sources(places), context)["comparison"]
    named = table[table["of_recipe"].str.contains("robust_accuracy")]
    assert set(named["defense"]) == {"baseline", "adv_train"}
    assert set(named.loc[named["threat"] == OTHER, "eps"]) == {0.0}
    assert set(named.loc[named["threat"] == HEADLINE, "eps"]) == {0.0, AT}


# ---- a figure that the rule of decision holds where it wants it ----


def test_a_rule_holds_its_figure_where_cuts_were_chosen(examined, diagnoses):
    halves = {name: half_models(diagnoses, 1.0) for name in examined}
    chosen = torch.randn(2, len(diagnoses), generator=torch.Generator().manual_seed(0)).double()
    sturdy = replace(examined["sturdy"], cut=chosen)
    public = replace(examined["baseline"], cut=torch.full_like(chosen, 0.3))
    both = {"baseline": public, "sturdy": sturdy}
    for rule, held in (("specificity", "specificity"), ("sensitivity", "sensitivity")):
        recipes = recipes_of(both, halves, HEADLINE, rule, tiny.sampling(CFG))
        assert recipes["sturdy"].held == held
        assert recipes["baseline"].held is None
    for rule in ("youden", "prevalence", "threshold"):
        assert recipes_of(both, halves, HEADLINE, rule, tiny.sampling(CFG))["sturdy"].held is None


def test_only_what_both_sides_hold_is_held_of_a_difference(examined, diagnoses):
    three = replace(
        recipes_of(
            examined,
            {"sturdy": half_models(diagnoses, 1.0)},
            HEADLINE,
            "specificity",
            tiny.sampling(CFG),
        )["sturdy"],
        held="specificity",
    )
    reported = np.concatenate([three.clean.reported] * 2)
    three = replace(three, clean=replace(three.clean, reported=reported))
    free = replace(three, held=None)
    assert figures_of(three).clean["specificity"].spread.held is not None
    assert figures_of(three).clean["sensitivity"].spread.held is None
    assert figures_of(three).attacked["sensitivity"].spread.held is None
    assert figures_of(three, three).clean["specificity"].spread.held is not None
    for one, other in ((three, free), (free, three), (free, free)):
        assert figures_of(one, other).clean["specificity"].spread.held is None


# ---- two by two ----


def test_pairs_are_the_differences_of_the_comparison(examined, diagnoses):
    halves = {name: half_models(diagnoses, 1.0, seed=3) for name in examined}
    rng = torch.Generator().manual_seed(1)
    other = halves["sturdy"].margins + torch.randn(20, 1, generator=rng, dtype=torch.float64)
    halves["sturdy"] = replace(halves["sturdy"], margins=other)
    table = compared(examined, halves)
    pairs = {
        one.figure: one
        for one in recipe_pairs(
            recipes_of(examined, halves, HEADLINE, "threshold", tiny.sampling(CFG))
        )
    }
    assert {(one.defense, one.other) for one in pairs.values()} == {("sturdy", "baseline")}
    for figure, eps, column, sign in (
        ("missed_diagnosis_rate", AT, "sensitivity_difference", -1),
        ("robust_accuracy", AT, "difference", 1),
        ("clean_missed_diagnosis_rate", 0.0, "sensitivity_difference", -1),
        ("clean_false_alarm_rate", 0.0, "specificity_difference", -1),
    ):
        one = line(table, "sturdy", eps)
        assert pairs[figure].difference == pytest.approx(sign * one[column])
        reach = (one[f"{column}_high"] - one[f"{column}_low"]) / 2
        assert pairs[figure].se == pytest.approx(reach / 1.959964, rel=1e-4)
    assert recipe_pairs(recipes_of(examined, {}, HEADLINE, "threshold", tiny.sampling(CFG))) == []
