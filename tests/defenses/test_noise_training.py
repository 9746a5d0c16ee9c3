"""The network learns under noise, the vote keeps its noise, and what is claimed is of the vote."""

import pytest
import torch

import tiny
from kinds import scans
from pipeline.data.plan import Plan
from pipeline.defenses.noise_training import noisy
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.models.noisy_vote import FACTS, NOISE, NoisyVote
from pipeline.models.training import Batch
from pipeline.params import configured
from pipeline.verify import why_no_proof

SHORT = ["experiment=digits", "defense=smoothed", "train.epochs=1", "smoothed.sigma=4"]
SMALL = ["model.channels=[4]", "model.hidden=[6]", "smoothed.copies=3"]


def trained(*overrides, seeds=(0, 1)):
    dataset = scans(48, seed=0)
    rows = torch.arange(48) < 32
    every = torch.tensor(seeds)
    plan = Plan(
        rows.expand(len(every), -1), ~rows.expand(len(every), -1), every, every,
        tuple(f"seed{seed}" for seed in seeds),
    )  # fmt: skip
    cfg = configured([*SHORT, *SMALL, *overrides])
    return train("smoothed", dataset, plan, cfg), dataset


@pytest.mark.parametrize("model", ["model=cnn", "model=vit"])
def test_it_is_a_vote_whose_noise_has_the_size_that_is_claimed(model):
    small = [] if model == "model=cnn" else ["model.patch=2", "model.width=8", "model.heads=2"]
    dropped = SMALL if model == "model=cnn" else ["smoothed.copies=3"]
    dataset = scans(48, seed=0)
    rows = (torch.arange(48) < 32)[None]
    plan = Plan(rows, ~rows, torch.tensor([0]), torch.tensor([0]), ("seed0",))
    cfg = configured([*SHORT, model, *dropped, *small])
    population = train("smoothed", dataset, plan, cfg)
    assert isinstance(population.architecture, NoisyVote)
    assert population.facts[FACTS]["sigma"] == 4 * dataset.schema.features[0].scale
    noise = population.parameters[NOISE] * population.preprocessing["scale"]
    spread = float(noise.std()) / population.facts[FACTS]["sigma"]
    assert spread == pytest.approx(1, abs=4 / noise.numel() ** 0.5)
    assert "votes" in why_no_proof(population)  # no bound of the network is taken for one of it


def test_members_have_noise_of_their_own_and_the_same_seed_the_same():
    (one, _), (again, _) = trained(), trained()
    assert one.digest == again.digest
    assert not torch.equal(one.parameters[NOISE][0], one.parameters[NOISE][1])


def test_a_member_does_not_depend_on_who_is_trained_beside_it():
    (pair, dataset), (alone, _) = trained(), trained(seeds=(0,))
    x = dataset.x[None]
    torch.testing.assert_close(pair.select(torch.tensor([0]))(x), alone(x))


def test_what_is_learned_from_is_under_noise_of_that_size_anew_each_time():
    drawn = torch.Generator().manual_seed(0)
    perturb = noisy(3.0, drawn)
    x = torch.full((2, 50, 1, 8, 8), 7.0)
    batch = Batch(x, torch.zeros(2, 50), torch.zeros(2, 50), torch.ones(2, 50))
    first, second = perturb(None, batch) - x, perturb(None, batch) - x
    assert float(first.std()) == pytest.approx(3.0, rel=0.05)
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


def test_records_are_refused(cfg, dataset):
    with pytest.raises(BadInput, match="smoothed: for images alone"):
        train("smoothed", dataset, tiny.plan(dataset), cfg)
