"""Votes are counted of the copies' own verdicts, at the line at which the model decides."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from kinds import official_split, scans
from models.noisy_votes import BASES, votes
from pipeline.models.noisy_vote import FACTS
from pipeline.risks.evasion.measure.smoothing import Smoothing, count_votes, verdict_of

SETTINGS = {"sigma": 5.0, "selection": 20, "estimation": 200, "alpha": 0.01}
DATASET = scans(40, seed=2)
PLAN = official_split(DATASET, train=16, seeds=2)


def counted(seed=0, base="cnn", **facts):
    population = replace(votes(base, members=3), facts={FACTS: SETTINGS | facts})
    return count_votes(population, DATASET, PLAN, SimpleNamespace(seed=seed)), population


@pytest.mark.parametrize("base", BASES)
def test_each_patient_is_counted_once_a_seed_by_a_model_that_held_him_out(base):
    found, _ = counted(base=base)
    assert found.hits.shape == found.selected.shape == (2, 24)
    assert torch.equal(found.y, DATASET.y[16:])
    assert found.values == 64
    assert (found.sigma, found.draws, found.alpha) == (5.0, 200, 0.01)
    assert (found.hits <= 200).all()


def test_without_noise_to_speak_of_the_vote_is_the_networks_own_verdict_and_unanimous():
    found, population = counted(sigma=1e-6)
    for number in range(2):
        own = verdict_of(population, number)(DATASET.x[16:])
        assert torch.equal(found.selected[number], own.long())
    assert (found.hits == 200).all()


def test_the_line_of_a_copy_lies_where_the_vote_calls_ill():
    """A cut, and a line by which it was recalibrated, move the verdict of one copy likewise."""
    _, population = counted()
    x, design = DATASET.x, population.architecture.base
    odds = []
    for number in range(3):
        center, scale = (population.preprocessing[name][number] for name in ("center", "scale"))
        logits = design.answer((x - center) / scale, population.member(number))
        odds.append(logits[:, 1] - logits[:, 0])
    slope, shift = torch.full((3,), 2.0).double(), torch.full((3,), 0.1).double()
    cut = 2.0 * torch.stack([one.mean() for one in odds]).double() + 0.1
    moved = population.recalibrate(slope, shift).decide_at(cut)
    for number, own in enumerate(odds):
        wanted = 2.0 * own + 0.1 > cut[number]
        assert 0 < int(wanted.sum()) < len(x)
        assert torch.equal(verdict_of(moved, number)(x), wanted)


def test_the_same_seed_counts_the_same_votes_and_they_read_back(tmp_path):
    (one, _), (again, _), (other, _) = counted(), counted(), counted(seed=1)
    assert torch.equal(one.hits, again.hits)
    assert not torch.equal(one.hits, other.hits)
    one.save(tmp_path / "votes.safetensors")
    read = Smoothing.load(tmp_path / "votes.safetensors")
    assert torch.equal(read.hits, one.hits)
    assert (read.sigma, read.draws) == (one.sigma, one.draws)


def test_of_any_other_population_nothing_is_counted():
    assert count_votes(votes("cnn", members=3), DATASET, PLAN, SimpleNamespace(seed=0)) is None
