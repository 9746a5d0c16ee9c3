"""Adversarial training with privacy: a record moves one clipped gradient; the claim is DP-SGD's."""

import pytest
import torch

import kinds
import tiny
from pipeline.attacks.evasion import evasion_attack
from pipeline.config import ModelConfig
from pipeline.data.plan import Plan
from pipeline.data.threat import Threat
from pipeline.defenses.adversarial import attack_part_of_batch
from pipeline.defenses.privacy import NoisySteps, clipped_sum, fit_private
from pipeline.defenses.private_adversarial import attack_each_record
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.models.answers import margin
from pipeline.models.cnn import convolutional
from pipeline.models.image_networks import ImageNetworks, range_constants
from pipeline.models.image_networks import initialise as initialise_images
from pipeline.models.mlp import Architecture, initialise
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.models.training import Batch
from pipeline.params import configured

pytestmark = pytest.mark.heavy

CLIP, DENOMINATOR = 0.3, 50.0
PERTURB = attack_each_record(tiny.CLINICAL, 0.5, 3, 0.5)


def batch_of(data, index):
    return Batch(data.x[index], data.y[index], index, torch.ones(index.shape))


@pytest.fixture(scope="module")
def configuration():
    """With the recipe, which no run has by default."""
    return configured(["experiment=smoke", "defense=[dp_train,dp_adv_train]"], tiny.ROOT / "conf")


@pytest.fixture
def recipe(configuration):
    cfg = configuration

    def change(**options):
        numbers = {**cfg.defenses["dp_adv_train"], "expected_batch": 60, **options}
        return cfg.model_copy(
            update={"dp_adv_train": numbers, "model": ModelConfig(name="linear", hidden=[])}
        )

    return change


def test_a_copy_depends_on_its_own_record_alone(dataset):
    models, everyone = tiny.population(2), torch.arange(120).expand(2, -1)
    together = PERTURB(models, batch_of(dataset, everyone))
    shuffled = torch.randperm(120, generator=torch.Generator().manual_seed(0))[:40]
    torch.testing.assert_close(
        PERTURB(models, batch_of(dataset, everyone[:, shuffled])),
        together[:, shuffled],
        equal_nan=True,
    )
    assert not torch.equal(together.nan_to_num(), dataset.x[everyone].nan_to_num())


def test_a_copy_is_one_that_the_attacker_may_present_and_no_easier(dataset):
    models, batch = tiny.population(2), batch_of(dataset, torch.arange(120).expand(2, -1))
    copies = PERTURB(models, batch)
    assert tiny.CLINICAL.violations(copies, batch.x, 0.5) == 0
    before, after = (margin(models(x), batch.y) for x in (batch.x, copies))
    assert (after <= before + 1e-5).all()
    assert (after < before - 1e-3).float().mean() > 0.5


def one_step(data, present, monkeypatch, perturb):
    """What one noisy step without momentum moves, times the denominator, by who is there."""
    monkeypatch.setattr(
        torch.optim, "Adam", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr=lr)
    )
    plan = Plan(present[None], ~present[None], torch.tensor([-1]), torch.tensor([5]), ("one",))
    shape = Architecture("mlp", 5, 2, (6,))
    how = NoisySteps(
        noise=2.0,
        sample_rate=1.0,
        steps=1,
        expected_batch=DENOMINATOR,
        max_grad_norm=CLIP,
        learning_rate=1.0,
    )
    trained = fit_private(data, plan, shape, how, perturb=perturb)
    before = initialise(shape, plan.seeds)
    moved = [(trained.parameters[name] - before[name]).flatten() for name in before]
    return -torch.cat(moved) * DENOMINATOR, trained.preprocessing, before


def test_one_record_moves_one_clipped_gradient_of_its_own_copy(dataset, monkeypatch):
    everyone = torch.ones(120, dtype=torch.bool)
    without = everyone.clone()
    without[17] = False
    (a, constants, before), (b, _, _) = (
        one_step(dataset, who, monkeypatch, PERTURB) for who in (everyone, without)
    )
    models = tiny.untrained(tiny.plan(dataset), dataset)
    models = type(models)(Architecture("mlp", 5, 2, (6,)), constants, before, ("one",))
    alone = batch_of(dataset, torch.tensor([[17]]))
    copy = Batch(PERTURB(models, alone), alone.y, alone.index, alone.weight)
    own = torch.cat(
        [value.flatten() for value in clipped_sum(before, constants, copy, CLIP).values()]
    )
    torch.testing.assert_close(a - b, own, rtol=1e-3, atol=2e-5)
    assert (a - b).norm() <= CLIP * (1 + 1e-3)


def test_random_numbers_that_all_records_share_move_more_than_one_gradient(dataset, monkeypatch):
    """Why `adv_train`'s `perturb` would void the claim: a copy hangs on who else is there."""
    everyone = torch.ones(120, dtype=torch.bool)
    without = everyone.clone()
    without[0] = False
    part = [(evasion_attack({"method": "noise"}, "a"), 1.0, 1.0)]
    moved = []
    for who in (everyone, without):
        perturb = attack_part_of_batch(tiny.CLINICAL, part, torch.Generator().manual_seed(0))
        moved.append(one_step(dataset, who, monkeypatch, perturb)[0])
    assert (moved[0] - moved[1]).norm() > 2 * CLIP


def test_the_claim_is_that_of_dp_train(dataset, recipe):
    options = recipe(steps=5)
    plain = {
        name: value
        for name, value in options.defenses["dp_adv_train"].items()
        if name in options.defenses["dp_train"]
    }
    both = options.model_copy(update={"dp_train": plain})
    claims = [
        train(name, dataset, tiny.plan(dataset), both).facts["guarantee"]
        for name in ("dp_train", "dp_adv_train")
    ]
    assert claims[0] == claims[1]


def test_a_delta_of_one_in_the_cohort_is_refused(dataset, recipe):
    with pytest.raises(BadInput, match=r"^dp_adv_train\.delta: .* is not below 1 / records"):
        train("dp_adv_train", dataset, tiny.plan(dataset), recipe(delta=0.5))


def test_with_little_noise_it_withstands_more_than_dp_train(recipe):
    data = tiny.records(300, seed=2, missing=0.0, signal=3.0)
    plan = tiny.plan(data, seeds=1)
    options = recipe(epsilon=1000.0, steps=80, eps=0.3, expected_batch=200)
    plain = {
        name: value
        for name, value in options.defenses["dp_adv_train"].items()
        if name in options.defenses["dp_train"]
    }
    both = options.model_copy(update={"dp_train": plain})

    def withstands(name):
        models = train(name, data, plan, both)
        index, valid = plan.held_out_index()
        batch = batch_of(data, index)
        copies = attack_each_record(tiny.CLINICAL, 0.3, 10, 0.2)(models, batch)
        assert (margins_out_of_fold(models, data, plan)[0] > 0).float().mean() > 0.6
        return float((margin(models(copies), batch.y) > 0)[valid].float().mean())

    assert withstands("dp_adv_train") > withstands("dp_train")


def test_of_images_a_copy_depends_on_its_own_image_alone_and_the_recipe_trains(recipe):
    scans, shape = kinds.scans(60, seed=0), convolutional((1, 8, 8), 2, [4], [5])
    threat = Threat.of(kinds.SCANS, tiny.threat_config())
    constants = range_constants(kinds.SCANS, 2)
    models = ImageNetworks(shape, constants, initialise_images(shape, torch.arange(2)), ("a", "b"))
    perturb = attack_each_record(threat, 0.25, 3, 0.5)
    together = perturb(models, batch_of(scans, torch.arange(60).expand(2, -1)))
    some = torch.tensor([3, 17, 42])
    alone = perturb(models, batch_of(scans, some.expand(2, -1)))
    assert torch.equal(alone, together[:, some])
    assert threat.violations(together, scans.x.expand(2, *scans.x.shape), 0.25) == 0
    cfg = recipe(steps=3, epsilon=60.0, expected_batch=40, eps=0.1)
    cfg = cfg.model_copy(update={"model": ModelConfig(name="cnn", hidden=[5], channels=[4])})
    trained = train("dp_adv_train", scans, tiny.plan(scans), cfg)
    assert trained.facts["guarantee"]["steps"] == 3
    assert trained.architecture.name == "cnn"
