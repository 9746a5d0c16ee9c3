"""Poison made for a recipe: the attacker's own models, his choice, and whom he may look at."""

from dataclasses import replace
from functools import partial

import pytest
import torch
import yaml

import tiny
from pipeline import params
from pipeline.attacks.poisoning.adaptive import PARTS, WAYS, scores_of
from pipeline.attacks.poisoning.goals import GOALS
from pipeline.risks.poisoning.measure.recipes import craft_poison, measure_harm, trained_on
from pipeline.risks.poisoning.measure.rehearsal import SEEDS, Rehearsal, craft_adaptive, turned
from pipeline.risks.poisoning.measure.training_sets import TrainingSets, unpoisoned

pytestmark = pytest.mark.heavy

DATA = tiny.records(120, seed=1, missing=0.05, signal=4.0)
PLAN = tiny.plan(DATA, folds=3, seeds=1)
DOSES = [0.05, 0.2]
CLOSE = {"atol": 1e-4, "rtol": 0.0}  # beside other models a weight moves in its last digit


@pytest.fixture(scope="module")
def cfg(smoke_text):
    base = params.parse(yaml.safe_load(smoke_text), "conf")
    poisoning = {"attacks": list(GOALS), "doses": DOSES, "adaptive_doses": DOSES, "repetitions": 1}
    return base.model_copy(
        update={
            "model": base.model.model_copy(update={"hidden": [8]}),
            "train": base.train.model_copy(update={"epochs": 15, "learning_rate": 0.02}),
            "decision": base.decision.model_copy(update={"rule": "threshold", "value": 0.5}),
            "partition": {**base.defenses["partition"], "parts": 6},
            "poisoning": base.poisoning.model_copy(update=poisoning),
        }
    )


def attacker(cfg, name="baseline", dataset=DATA):
    return Rehearsal(dataset, PLAN, DOSES, partial(trained_on, name, cfg=cfg))


@pytest.fixture(scope="module")
def rehearsed(cfg):
    one = attacker(cfg)
    return one, one.ways({})


def test_every_way_turns_as_many_as_the_dose_of_those_whom_it_may(rehearsed):
    one, ways = rehearsed
    assert ways.shape == (len(WAYS), 2, 3, 120)
    assert torch.equal(ways.sum(-1), one.counts.expand(len(WAYS), -1, -1))
    assert (PLAN.train | ~ways).all()
    for way, table in zip(WAYS, ways, strict=True):
        assert way.either_way or (DATA.y == 1)[table.nonzero()[:, -1]].all()


def test_his_models_differ_from_those_that_he_harms_by_the_seed_alone(rehearsed, cfg):
    one, _ = rehearsed
    assert not set(one.plan.seeds.tolist()) & set(PLAN.seeds.tolist())
    assert torch.equal(one.plan.train, PLAN.train)


def test_the_best_way_is_the_one_that_leaves_his_own_models_least(rehearsed):
    one, ways = rehearsed
    best = one.best(ways, list(GOALS))
    left = []
    for way in ways:
        models = one.learn(turned(way, DATA, one.plan))
        scores = scores_of(models, DATA.x).view(2, 3, 120)
        left.append(
            [
                [
                    float((s[t & (DATA.y == 1)] > 0).double().mean())
                    for s, t in zip(dose, PLAN.train, strict=True)
                ]
                for dose in scores
            ]
        )
    chosen = torch.tensor(left).argmin(0)
    for dose in range(2):
        for model in range(3):
            expected = ways[chosen[dose, model], dose, model]
            assert torch.equal(best["adaptive_missed"][dose, model], expected)


def test_held_out_patients_do_not_move_the_poison_against_a_model(rehearsed, cfg):
    one, ways = rehearsed
    away = PLAN.held_out[0]
    other = replace(
        DATA,
        x=torch.where(away[:, None], DATA.x.flip(0), DATA.x),
        y=torch.where(away, 1 - DATA.y, DATA.y),
    )
    stranger = attacker(cfg, dataset=other)
    there = stranger.ways({})
    assert torch.equal(ways[:, :, 0], there[:, :, 0])
    assert not torch.equal(ways[:, :, 1], there[:, :, 1])
    here, there = one.best(ways, list(GOALS)), stranger.best(there, list(GOALS))
    assert all(torch.equal(here[goal][:, 0], there[goal][:, 0]) for goal in GOALS)


def test_training_sets_hold_the_turned_diagnoses_and_all_others(rehearsed):
    one, ways = rehearsed
    sets = turned(ways[0], DATA, PLAN)
    assert sets.doses == 2
    for row in range(6):
        x, y = (part[sets.plan.train[row]] for part in (sets.dataset.x, sets.dataset.y))
        dose, model = divmod(row, 3)
        own = PLAN.train[model]
        assert tiny.same_bits(x, DATA.x[own])
        assert torch.equal(y != DATA.y[own], ways[0, dose, model, own])
        assert int(sets.poisoned[row].sum()) == int(one.counts[dose, model])
    assert sets.model.tolist() == [0, 1, 2, 0, 1, 2]


def test_joined_sets_keep_the_doses_of_each_apart(rehearsed):
    _, ways = rehearsed
    first, second = turned(ways[0], DATA, PLAN), turned(ways[3, :1], DATA, PLAN)
    joint = TrainingSets.join([first, second])
    assert joint.dose.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert joint.doses == 3
    assert torch.equal(joint.poisoned, torch.cat([first.poisoned, second.poisoned]))
    assert len(set(joint.plan.labels)) == 9


def test_his_models_without_poison_differ_by_their_seeds_and_learn_as_if_alone(rehearsed):
    one, _ = rehearsed
    assert len(one.own) == SEEDS
    alone = one.learn(unpoisoned(DATA, one.plan))
    torch.testing.assert_close(scores_of(one.own[0], DATA.x), scores_of(alone, DATA.x), **CLOSE)
    apart = scores_of(one.own[0], DATA.x) - scores_of(one.own[1], DATA.x)
    assert apart.abs().amax(1).min() > 0.01


def test_a_vote_is_attacked_through_its_parts(cfg):
    one = attacker(cfg, "partition")
    ways = one.ways(cfg.defenses["partition"])
    assert len(ways) == len(PARTS)
    assert torch.equal(ways.sum(-1)[-1], one.counts)


def test_made_for_the_recipe_it_hides_more_of_the_ill_than_chance(cfg):
    attacks = ["missed_disease", *GOALS]
    numbers = cfg.poisoning.model_copy(update={"attacks": attacks})
    here = cfg.model_copy(update={"poisoning": numbers})
    found = measure_harm("baseline", craft_poison(DATA, PLAN, here), here)
    assert set(found.margins) == {"none", *attacks}
    ill = found.y == 1
    kept = {name: (m[-1][:, ill] > 0).double().mean() for name, m in found.margins.items()}
    assert kept["adaptive_missed"] < kept["missed_disease"] - 0.05
    assert found.poisoned["adaptive_missed"].tolist() == found.poisoned["missed_disease"].tolist()


def test_trained_together_each_attack_harms_as_it_does_alone(cfg):
    poison = craft_poison(DATA, PLAN, cfg)
    together = measure_harm("baseline", poison, cfg)
    for goal in GOALS:
        numbers = cfg.poisoning.model_copy(update={"attacks": [goal]})
        alone = measure_harm("baseline", poison, cfg.model_copy(update={"poisoning": numbers}))
        torch.testing.assert_close(together.margins[goal], alone.margins[goal], **CLOSE)
        assert torch.equal(together.poisoned[goal], alone.poisoned[goal])


def test_without_a_dose_nothing_is_trained():
    def never(sets):
        raise AssertionError

    assert craft_adaptive(list(GOALS), DATA, PLAN, [], never, {}) == {}
    assert craft_adaptive([], DATA, PLAN, DOSES, never, {}) == {}
