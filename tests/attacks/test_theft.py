"""A copy learns from what it asked about and from nothing else; a linear model is stolen whole."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import mixed
import tiny
from pipeline.attacks import theft
from pipeline.attacks.equations import steal_linear
from pipeline.attacks.oracle import Oracle, plain
from pipeline.attacks.theft import (
    STRATEGIES,
    Effort,
    ask,
    ask_actively,
    imitation,
    least_sure,
    prefixes,
    proposals,
    train_copies,
    with_replacement,
)
from pipeline.data.plan import Plan
from pipeline.models.mlp import Architecture
from pipeline.models.training import Batch, mean_gradient
from tiny import SCHEMA

pytestmark = pytest.mark.heavy

BUDGETS = [5, 20, 60]
SMALL, LINEAR = Architecture("mlp", 5, 2, (8,)), Architecture("linear", 5, 2, ())
PUBLIC = [tiny.records(25, seed=seed).x for seed in (3, 4)]


@pytest.fixture(scope="module")
def victims():
    return tiny.population(2)


def proposed(strategy, count, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return proposals(strategy, SCHEMA, PUBLIC, count, generator)


def asked(victims, access=("probabilities", "labels")):
    oracles = [Oracle(plain(victims.double()), one, BUDGETS[-1]) for one in access]
    x = proposed("marginals", BUDGETS[-1]).expand(len(oracles), -1, -1, -1)
    return x, *ask(oracles, x, BUDGETS)


def copies_of(x, answers, seeds=(0, 0), budgets=BUDGETS, architecture=SMALL):
    effort = Effort(architecture, steps=30, batch_size=16, learning_rate=1e-2, weight_decay=0.0)
    return train_copies(x, answers, budgets, torch.tensor(seeds), SCHEMA, effort)


# ---- what is asked ----


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_records_are_plausible_and_on_the_grid(strategy):
    x = proposed(strategy, 200)
    assert x.shape == (2, 200, 5)
    for column, feature in zip(x.unbind(-1), SCHEMA.features, strict=True):
        known = column[~column.isnan()].double()
        assert ((known >= feature.lower - 1e-6) & (known <= feature.upper + 1e-6)).all()
        if feature.step:
            ticks = known / feature.step
            torch.testing.assert_close(ticks, ticks.round(), rtol=0, atol=1e-3)


def test_public_records_are_asked_about_once_each_and_then_moved():
    x = proposed("public", 60)
    for mine, own in zip(x, PUBLIC, strict=True):
        first = {tuple(row) for row in mine[:25].nan_to_num(-1).tolist()}
        assert first == {tuple(row) for row in own.nan_to_num(-1).tolist()}
        assert not any(tuple(row) in first for row in mine[25:].nan_to_num(-1).tolist())
        patterns = {tuple(row) for row in own.isnan().tolist()}
        assert {tuple(row) for row in mine[25:].isnan().tolist()} <= patterns


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_seed_decides_what_is_asked(strategy):
    first, same, other = (proposed(strategy, 40, seed=seed) for seed in (0, 0, 1))
    assert tiny.same_bits(first, same)
    assert not tiny.same_bits(first, other)


def test_the_oracle_has_counted_each_budget(victims):
    _, answers, counts = asked(victims)
    assert counts.tolist() == [BUDGETS, BUDGETS]
    assert answers.shape == (2, 2, 60)
    assert set(answers[1].unique().tolist()) <= {0.0, 1.0}


def test_the_least_sure_are_nearest_to_the_boundary(victims):
    candidates = proposed("uniform", 50)[None]
    chosen = least_sure(victims, candidates, 10)
    doubt, all_doubt = (plain(victims)(x[0]).abs() for x in (chosen, candidates))
    torch.testing.assert_close(doubt, all_doubt.sort(-1).values[:, :10], rtol=1e-4, atol=1e-4)


def test_an_active_attacker_pays_for_its_records_and_not_for_its_candidates(victims):
    oracles = [Oracle(plain(victims.double()), "probabilities", BUDGETS[-1])]
    seen = []

    def learn(x, answers, budget):
        seen.append((x.shape[2], answers.shape[2], budget))
        return copies_of(x, answers, (0,), [budget])

    def drawn(number, count):
        return proposed("active", count, seed=number)[None]

    copies, counts = ask_actively(oracles, drawn, BUDGETS, learn)
    assert counts.tolist() == [BUDGETS]
    assert seen == [(budget, budget, budget) for budget in BUDGETS]
    assert copies.labels == ("copy0-5", "copy0-20", "copy0-60", "copy1-5", "copy1-20", "copy1-60")
    assert copies.parameters["weight0"].shape[0] == 6


# ---- what is learned ----


def test_a_member_sees_its_own_prefix_and_nothing_else(victims):
    x, answers, _ = asked(victims)
    changed, other = x.clone(), answers.clone()
    changed[:, :, 5:], other[:, :, 5:] = 100.0, 0.5
    changed[1], other[1] = 100.0, 0.5
    before, after = copies_of(x, answers), copies_of(changed, other)
    for name, weights in before.parameters.items():
        same = (weights == after.parameters[name]).flatten(1).all(1).view(2, 2, 3)
        assert same[0, :, 0].all(), name  # budget 5 of the first attacker
        assert not same[0, :, 1:].any() or name.startswith("bias1"), name
        assert not same[1].all(), name


def test_a_member_does_not_depend_on_its_neighbours(victims):
    x, answers, _ = asked(victims)
    together, alone = copies_of(x, answers), copies_of(x[1:], answers[1:], (0,), [20])
    for name, weights in together.parameters.items():
        torch.testing.assert_close(
            weights.unflatten(0, (2, 2, 3))[1, :, 1], alone.parameters[name], rtol=1e-4, atol=1e-5
        )


def test_the_seed_decides_the_weights(victims):
    x, answers, _ = asked(victims)
    first, same, other = (
        copies_of(x, answers, seeds).parameters["weight0"] for seeds in ((0, 1), (0, 1), (2, 1))
    )
    assert torch.equal(first, same)
    assert not torch.equal(first[:6], other[:6])
    assert torch.equal(first[6:], other[6:])


def test_prefixes_give_each_block_its_own_first_records():
    plan = prefixes(2, 4, [1, 3], torch.tensor([8, 9]))
    assert plan.train.int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0],
    ]
    assert plan.seeds.tolist() == [8, 8, 9, 9]
    assert not plan.held_out.any()


def test_batches_are_drawn_evenly_and_only_from_the_own_rows():
    train = torch.tensor([[1, 1, 0, 0, 1], [0, 0, 1, 0, 0]]).bool()
    plan = Plan(train, ~train, torch.tensor([-1, -1]), torch.tensor([0, 1]), ("a", "b"))
    drawn = torch.cat([index for index, _ in with_replacement(300, 10)(plan.train, plan.seeds)], 1)
    assert torch.bincount(drawn[1]).tolist() == [0, 0, 3000]
    counts = torch.bincount(drawn[0], minlength=5)
    assert counts[[2, 3]].sum() == 0
    assert (counts[[0, 1, 4]] - 1000).abs().max() < 5 * (3000 * 2 / 9) ** 0.5


def test_the_gradient_is_that_of_cross_entropy_against_what_was_told(victims):
    told = torch.rand(50, generator=torch.Generator().manual_seed(0))
    index = torch.arange(40).view(2, 20)
    data = tiny.records(50, seed=5)
    batch = Batch(data.x[index], data.y[index], index, torch.ones(2, 20))
    parameters = {
        name: value.clone().requires_grad_() for name, value in victims.parameters.items()
    }

    def loss(out, batch):
        target = torch.stack([1 - told[batch.index], told[batch.index]], -1)
        return cross_entropy(out.flatten(0, 1), target.flatten(0, 1), reduction="none").view(
            index.shape
        )

    wanted = mean_gradient(victims.architecture, loss)(parameters, victims.preprocessing, batch)
    found = imitation(told, victims.architecture)(parameters, victims.preprocessing, batch)
    assert list(wanted) == list(parameters)
    for name, grad in wanted.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-4, atol=1e-6)


def test_a_copy_approaches_a_victim_that_it_can_represent():
    victims = tiny.population(2, hidden=())
    oracle = Oracle(plain(victims.double()), "probabilities", 500)
    x = proposed("marginals", 500)[None]
    answers, _ = ask([oracle], x, [500])
    effort = Effort(LINEAR, steps=400, batch_size=64, learning_rate=5e-2, weight_decay=0.0)
    copies = train_copies(x, answers, [500], torch.tensor([0]), SCHEMA, effort)
    fresh = proposed("marginals", 500, seed=1)
    torch.testing.assert_close(plain(copies)(fresh), plain(victims)(fresh), rtol=0, atol=0.2)


# ---- equations ----


def test_a_linear_model_is_stolen_whole_by_equations():
    victims = tiny.population(3, hidden=()).double()
    oracle = Oracle(plain(victims), "probabilities", 2 * 5 + 1)
    stolen = steal_linear(oracle, SCHEMA, 3)
    assert oracle.asked == 11
    x = tiny.records(300, seed=9, missing=0.3).x.double().expand(3, -1, -1)
    assert x.isnan().any()
    torch.testing.assert_close(plain(stolen)(x), plain(victims)(x), rtol=0, atol=1e-6)
    slope = (
        victims.parameters["weight0"][..., 1] - victims.parameters["weight0"][..., 0]
    ) / victims.preprocessing["scale"]
    found = (
        stolen.parameters["weight0"][..., 1] - stolen.parameters["weight0"][..., 0]
    ) / stolen.preprocessing["scale"]
    torch.testing.assert_close(found, slope, rtol=0, atol=1e-6)


def test_d_plus_one_answers_are_enough_for_complete_records():
    victims = tiny.population(2, hidden=()).double()
    asked = []

    def watched(x):
        asked.append(x)
        return plain(victims)(x)

    stolen = steal_linear(Oracle(watched, "probabilities", 11), SCHEMA, 2)
    assert asked[0].shape[1] == 6  # D + 1
    assert not asked[0].isnan().any()
    x = tiny.records(100, seed=9, missing=0.0).x.double().expand(2, -1, -1)
    forgetful = type(stolen)(
        stolen.architecture,
        {**stolen.preprocessing, "impute": x[:, 0]},
        stolen.parameters,
        stolen.labels,
    )
    torch.testing.assert_close(plain(forgetful)(x), plain(victims)(x), rtol=0, atol=1e-6)


def test_an_mlp_is_not_stolen_by_equations():
    victims = tiny.population(2).double()
    stolen = steal_linear(Oracle(plain(victims), "probabilities", 11), SCHEMA, 2)
    x = proposed("uniform", 200).double()
    assert (plain(stolen)(x) - plain(victims)(x)).abs().max() > 0.1


def test_every_strategy_says_what_it_knows():
    assert list(theft.KNOWLEDGE) == list(STRATEGIES)


# ---- categories ----


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_records_that_a_thief_proposes_could_be_a_clinics(strategy):
    own = mixed.records(40, seed=1).x
    made = STRATEGIES[strategy](mixed.SCHEMA, own, 400, torch.Generator().manual_seed(0))
    for column, feature in zip(made.T, mixed.SCHEMA.features, strict=True):
        known = column[~column.isnan()]
        if feature.levels:
            assert set(known.tolist()) <= set(map(float, range(len(feature.levels))))
            assert len(known.unique()) == len(feature.levels)
