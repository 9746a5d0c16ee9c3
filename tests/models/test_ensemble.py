"""Votes by brute force, disagreement against SciPy, and what is saved comes back bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import entropy

import tiny
from kinds import official_split, scans
from models.ensembles import SMALL, untrained
from pipeline.models.ensemble import (
    climbed,
    inconsistency,
    is_ensemble,
    trunk_of,
    voters,
    votes,
    with_detector,
)
from pipeline.models.population import load_population
from pipeline.models.self_ensemble import THRESHOLD, DecidingVote, SmoothVotes
from pipeline.verify import why_no_proof


def asked(count=40, members=2, seed=5):
    return scans(count, seed=seed).x.expand(members, -1, -1, -1, -1)


def test_votes_are_those_of_the_majority_counted_one_by_one():
    models, x = untrained(), asked()
    said, found = voters(models, x), votes(models, x)
    torn = 0
    for member in range(2):
        for image in range(x.shape[1]):
            each = [int(said[v, member, image, 1] > said[v, member, image, 0]) for v in range(3)]
            assert int(found[member, image]) == int(sum(each) >= 2)
            torn += len(set(each)) > 1
    assert torn > 10  # or counting would be no test


def test_voters_take_a_grid_of_radii_and_answer_one_image_at_a_time_alike():
    models, x = untrained(), asked(6)
    grid = torch.stack([x, x.flip(-1)])
    found = voters(models, grid)
    assert found.shape == (3, 2, 2, 6, 2)
    torch.testing.assert_close(found[:, 1], voters(models, x.flip(-1)))
    alone = torch.cat([voters(models, x[:, i : i + 1]) for i in range(6)], 2)
    torch.testing.assert_close(found[:, 0], alone, rtol=1e-4, atol=1e-5)


def test_the_answer_is_the_mean_of_what_its_voters_say():
    models, x = untrained(), asked(6)
    torch.testing.assert_close(models(x), voters(models, x).mean(0))


def test_disagreement_is_the_norm_of_scipys_divergences():
    said = torch.randn(4, 3, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    said = (4 * said).log_softmax(-1)
    p = said.exp().numpy()
    for place in np.ndindex(3, 5):
        each = [[entropy(p[i][place], p[j][place]) for j in range(4)] for i in range(4)]
        assert float(inconsistency(said)[place]) == pytest.approx(np.linalg.norm(each), rel=1e-9)


def test_who_says_the_same_does_not_disagree():
    said = torch.tensor([0.2, 0.8]).log().expand(5, 7, 2)
    assert inconsistency(said.double()).abs().max() < 1e-12


@pytest.mark.parametrize("aside", [True, False])
def test_the_detector_reports_as_many_as_it_may_of_those_that_choose(aside):
    dataset = scans(120, seed=1)
    plan = official_split(dataset, train=80, seeds=2).select(torch.arange(2))
    if aside:
        tune = torch.zeros_like(plan.train)
        tune[:, 40:80] = True
        plan = replace(plan, train=plan.train & ~tune, tune=tune)
    models = with_detector(untrained(), dataset, plan, 0.1)
    chosen = plan.tune if aside else plan.train
    for member in range(2):
        x = dataset.x[chosen[member]]
        said = voters(models.select(torch.tensor([member])), x[None]).double()
        flagged = inconsistency(said) > models.parameters[THRESHOLD][member]
        assert int(flagged.sum()) == len(x) // 10


def test_the_transformer_alone_and_softened_votes_are_of_the_same_weights():
    models, x = untrained(), asked(6)
    alone = trunk_of(models)
    torch.testing.assert_close(alone(x).log_softmax(-1), voters(models, x)[0])
    counted = climbed(models, SmoothVotes)(x)
    torch.testing.assert_close(counted, voters(models, x).exp().sum(0))
    assert is_ensemble(models)
    assert not is_ensemble(alone)


def test_the_vote_turns_where_the_voter_in_the_middle_does():
    models, x = untrained(), asked()
    middle = climbed(models, DecidingVote)(x)
    assert torch.equal(middle.argmax(-1), votes(models, x))
    said = voters(models, x)
    odds = (said[..., 1] - said[..., 0]).sort(0).values[1]
    torch.testing.assert_close(middle[..., 1] - middle[..., 0], odds)


def test_gradients_reach_the_image_through_every_voter():
    models, x = untrained(1), asked(3, 1)
    whole, pull = models.pullback(x)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(voters(models, leaf).mean(0)[..., 1].sum(), leaf)
    towards = torch.zeros_like(whole)
    towards[..., 1] = 1
    torch.testing.assert_close(pull(towards), expected)
    trunk, pull_trunk = trunk_of(models).pullback(x)
    assert (
        pull_trunk(torch.ones_like(trunk) * torch.tensor([0.0, 1.0])) - expected
    ).abs().max() > 1e-4


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    models = with_detector(
        untrained(3), scans(60, seed=2), official_split(scans(60, seed=2), train=40, seeds=2), 0.05
    ).decide_at(torch.tensor([0.1, -0.2, 0.3]).double())
    models.facts["seda"] = {"adversarial": "none"}
    models.save(tmp_path)
    again = load_population(tmp_path)
    assert tiny.same_bits(again(asked(members=3)), models(asked(members=3)))
    assert (again.architecture, again.facts, again.labels) == (SMALL, models.facts, models.labels)
    assert again.digest == models.digest
    assert torch.equal(again.parameters[THRESHOLD], models.parameters[THRESHOLD])


def test_of_no_members_there_are_no_answers():
    nobody = untrained().select(torch.tensor([], dtype=torch.int64))
    assert nobody(asked(4)[:0]).shape == (0, 4, 2)


def test_a_cut_moves_the_answer_and_no_vote():
    models, x = untrained(), asked()
    moved = models.decide_at(torch.tensor([0.5, -0.5]).double())
    line = models(x)[..., 1] - models(x)[..., 0]
    after = moved(x)[..., 1] - moved(x)[..., 0]
    torch.testing.assert_close(after, line - torch.tensor([[0.5], [-0.5]]), rtol=1e-4, atol=1e-5)
    assert torch.equal(votes(moved, x), votes(models, x))


def test_selecting_doubling_and_releasing_keep_what_a_member_says():
    models, x = untrained(3), asked(members=3)
    one = models.select(torch.tensor([2]))
    assert torch.equal(votes(one, x[:1]), votes(models, x)[2:])
    assert models.double()(x.double()).dtype == torch.float64
    torch.testing.assert_close(models.double()(x.double()).float(), models(x), rtol=1e-4, atol=1e-4)
    assert torch.equal(models.release()(x[:1]), models(x)[:1])


def test_nothing_is_proved_of_it_and_that_is_said():
    assert why_no_proof(untrained())
    assert why_no_proof(trunk_of(untrained()))
