"""Defenses under poison two by two: the table's own figures, on the same patients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from pipeline.attacks.poisoning import ATTACKS
from pipeline.risks.conclusions import Question, headline_table
from pipeline.risks.poisoning.harm_tables import harm_table
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN
from pipeline.risks.poisoning.pair_tables import SUCCESS, headline_pairs, worst_on_everybody
from pipeline.risks.poisoning.risk import RISK
from risks.poisoning.made_up import made_up_harm

DOSES, HEADLINE = [1, 0.1], 0.1
EACH = dict.fromkeys(ATTACKS, DOSES)


@pytest.fixture
def configured(cfg):
    numbers = {"attacks": list(ATTACKS), "doses": DOSES, "adaptive_doses": DOSES}
    poisoning = cfg.poisoning.model_copy(update={**numbers, "headline_dose": HEADLINE})
    return cfg.model_copy(update={"poisoning": poisoning})


def made_up(**harms):
    """Defenses with the same random numbers, that lose more or less to poison."""
    return {name: made_up_harm(240, doses=2, harm=harm) for name, harm in harms.items()}


def compared(harms, cfg):
    table = harm_table(harms, cfg, tiny.sampling(cfg.audit, cfg.seed))
    return table, headline_pairs(harms, table, EACH, HEADLINE, tiny.sampling(cfg.audit, cfg.seed))


@pytest.mark.parametrize("figure", [AT_CLEAN, "auroc"])
def test_a_difference_is_that_of_the_worst_figures_of_the_table(configured, figure):
    table, pairs = compared(made_up(baseline=3.0, soft=4.0, hard=1.0), configured)
    worst = worst_on_everybody(table[table["dose"] == HEADLINE], figure)
    least = worst.set_index("defense")[figure]
    own = pairs[pairs["figure"] == figure]
    assert len(own) == 3
    for line in own.to_dict("records"):
        expected = least[line["defense"]] - least[line["other"]]
        assert line["difference"] == pytest.approx(expected, abs=1e-9)
        assert line["patients"] == 240


def test_the_backdoor_is_compared_over_whom_each_defense_has_to_lose(configured):
    table, pairs = compared(made_up(baseline=3.0, hard=1.0), configured)
    at = table[(table["attack"] == "backdoor") & (table["dose"] == HEADLINE)]
    won = at.set_index("defense")[SUCCESS]
    (line,) = pairs[pairs["figure"] == SUCCESS].to_dict("records")
    assert line["difference"] == pytest.approx(won["hard"] - won["baseline"], abs=1e-9)


def test_a_defense_that_is_another_differs_by_nothing(configured):
    pairs = compared(made_up(baseline=3.0, same=3.0), configured)[1].set_index("figure")
    assert len(pairs) == 3
    assert pairs["difference"].to_numpy() == pytest.approx(0.0, abs=1e-9)
    shares = pairs["se"].drop("auroc")
    assert (shares > 0).all()  # so many patients do not prove that no other would differ


def test_patients_are_paired(configured):
    """Both find or miss the same ill, but a few: drawn apart, they would differ by far more."""
    harms = made_up(baseline=1.0, alike=1.0)
    lost = {name: margins.clone() for name, margins in harms["alike"].margins.items()}
    for name, margins in lost.items():
        if name != "none":
            few = (harms["alike"].y == 1).nonzero()[:6, 0]
            margins[..., few] -= 9.0
    harms["alike"] = replace(harms["alike"], margins=lost)
    pairs = compared(harms, configured)[1].set_index("figure")
    ill = int((harms["baseline"].y == 1).sum())
    assert 0 < pairs.loc[AT_CLEAN, "se"] < 0.5 * (0.5 * 0.5 * 2 / ill) ** 0.5


def test_a_planted_loss_is_concluded_and_the_named_patients_are_not(configured):
    harms = made_up(baseline=1.0, fragile=4.0)
    table, pairs = compared(harms, configured)
    asked = RISK.headline({"poisoning": table, "poisoning_pairs": pairs}, configured)
    verdicts = {}
    for figure in asked:
        lines = headline_table([Question.of("poisoning", figure)], 0.95).set_index("defense")
        verdicts[figure.figure] = lines.loc["fragile", "verdict"]
    found, ranking, hidden, named = verdicts.values()
    assert (found, hidden) == ("worse", "worse")
    assert ranking in ("worse", "not told apart")
    assert named == "not compared"


def test_without_a_backdoor_or_named_patients_the_others_are_compared(configured):
    harms = {
        name: replace(
            harm, triggered=torch.zeros(0), poisoned={"worst_missed": harm.poisoned["worst_missed"]}
        )
        for name, harm in made_up(baseline=3.0, hard=1.0).items()
    }
    pairs = compared(harms, configured)[1]
    assert pairs["figure"].tolist() == [AT_CLEAN, "auroc"]
    assert np.isfinite(pairs["se"]).all()
