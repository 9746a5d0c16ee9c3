"""Conformal sets of models that set patients aside."""

import pytest
import torch

import tiny
from pipeline.defenses.referring import lead_of
from pipeline.risks.safeguards.measure.cohort import Cohort
from pipeline.risks.safeguards.measure.covered import Sets, attack_sets, calibrated_on

ALPHA = 0.1


@pytest.fixture(scope="module")
def found():
    data = tiny.records(150, seed=0)
    plan = tiny.plan(data, folds=3, seeds=2).with_tune(data.y, 0.3)
    population = tiny.untrained(plan, data)
    who = Cohort(data, plan, tiny.CLINICAL, [0.1, 0.5], 6, 2, 0)
    aside = calibrated_on(population, data, plan)
    return data, plan, population, aside, attack_sets(who, population, aside)


def test_nobody_is_calibrated_on_who_is_reported_or_trained_on(found):
    data, plan, population, aside, _ = found
    for member, (leads, y) in enumerate(aside):
        rows = plan.tune[member]
        assert not (rows & (plan.train[member] | plan.held_out[member])).any()
        assert torch.equal(y, data.y[rows])
        one = population.select(torch.tensor([member])).double()
        assert torch.equal(leads, lead_of(one, data.x[rows][None].double())[0])


def test_without_anybody_set_aside_it_says_so():
    data = tiny.records(30, seed=0)
    plan = tiny.plan(data)
    with pytest.raises(ValueError, match="sets nobody aside"):
        calibrated_on(tiny.untrained(plan, data), data, plan)


def test_an_attacker_makes_the_true_class_less_usual(found):
    *_, sets = found
    assert sets.p["adaptive"].shape == (2, 2, 150, 2)
    true = sets.y.view(1, 1, -1, 1).expand(2, 2, -1, 1)
    ignoring, adaptive = (sets.p[name].gather(-1, true)[..., 0] for name in sets.p)
    covered = (adaptive > ALPHA).double().mean((1, 2))
    assert covered[1] < covered[0]
    assert (adaptive > ALPHA).sum() <= (ignoring > ALPHA).sum()


def test_it_counts_the_fewest_that_a_model_was_calibrated_on(found):
    _, plan, _, aside, sets = found
    for repetition in range(2):
        rows = (plan.repetition == repetition).nonzero()[:, 0].tolist()
        for label in (0, 1):
            fewest = min(int((aside[row][1] == label).sum()) for row in rows)
            assert sets.calibrated[repetition, label] == fewest


def test_it_is_kept_bit_for_bit(found, tmp_path):
    *_, sets = found
    sets.save(tmp_path / "a.safetensors")
    again = Sets.load(tmp_path / "a.safetensors")
    assert all(torch.equal(again.p[name], one) for name, one in sets.p.items())
