"""DP-SGD on images: clipped sums are what the definition says, and the mechanism is the same."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import kinds
import tiny
from benchmarks.faults import FAULTS, planted
from pipeline.config import ModelConfig
from pipeline.defenses import image_gradients
from pipeline.defenses.image_gradients import clipped_sum_of_images, trained_privately
from pipeline.defenses.opacus_engine import fit_through_opacus
from pipeline.defenses.privacy import NoisySteps, clipped_sum, fit_private, private_gradient
from pipeline.defenses.second_look import clipped_and_cut_off, clipped_each, flat
from pipeline.defenses.trained import train
from pipeline.files import BadInput, FailedCheck
from pipeline.models.cnn import as_module, convolutional
from pipeline.models.image_networks import initialise, range_constants
from pipeline.models.mlp import Architecture
from pipeline.models.training import Batch, mean_gradient

pytestmark = pytest.mark.heavy

SCANS = kinds.scans(60, seed=0)
SHAPES = {
    "two convolutions": convolutional((1, 8, 8), 2, [4, 6], [5]),
    "no hidden layer": convolutional((1, 8, 8), 2, [3], []),
    "three classes": convolutional((1, 8, 8), 3, [4], [6, 5]),
}
SHAPE = SHAPES["two convolutions"]
CLIPS = [0.05, 0.5, 50.0]


def untrained(shape, members=2, boost=2.0):
    weights = initialise(shape, torch.arange(members))
    weights = {name: boost * value for name, value in weights.items()}
    return weights, range_constants(kinds.SCANS, members)


def batch_of(index, weight=None):
    weight = torch.ones(index.shape) if weight is None else weight
    return Batch(SCANS.x[index], SCANS.y[index], index, weight)


def drawn(members=2, size=20):
    generator = torch.Generator().manual_seed(1)
    index = torch.randint(0, 60, (members, size), generator=generator)
    return batch_of(index, (torch.rand(index.shape, generator=generator) < 0.8).float())


def one_by_one(shape, weights, constants, member, batch):
    """(B, P): a backward pass for each image alone."""
    rows = []
    for image, label in zip(batch.x[member], batch.y[member], strict=True):
        own = {name: value[member].clone().requires_grad_() for name, value in weights.items()}
        z = (image[None] - constants["center"][member]) / constants["scale"][member]
        loss = cross_entropy(shape.answer(z, own), label[None])
        grads = torch.autograd.grad(loss, list(own.values()))
        rows.append(torch.cat([grad.flatten() for grad in grads]))
    return torch.stack(rows)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_clipped_sums_equal_a_loop_over_images(shape, clip):
    (weights, constants), batch = untrained(shape), drawn()
    ours = flat(clipped_sum(weights, constants, batch, clip, shape))
    clipped = 0
    for member in range(2):
        each = one_by_one(shape, weights, constants, member, batch)
        norm = each.norm(dim=1, keepdim=True)
        clipped += int((norm > clip).sum())
        expected = (batch.weight[member][:, None] * each * (clip / norm).clamp(max=1)).sum(0)
        torch.testing.assert_close(ours[member], expected, rtol=1e-4, atol=1e-5)
    assert clipped > 0 or clip == max(CLIPS)


@pytest.mark.parametrize("clip", CLIPS)
def test_clipped_sums_equal_those_of_opacus(clip):
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer

    weights, constants = untrained(SHAPE)
    batch = batch_of(torch.randint(0, 60, (2, 15), generator=torch.Generator().manual_seed(0)))
    ours = flat(clipped_sum(weights, constants, batch, clip, SHAPE))
    for member in range(2):
        own = {name: value[member] for name, value in weights.items()}
        plain = as_module(SHAPE, own, constants["center"][member], constants["scale"][member])
        module = GradSampleModule(plain, loss_reduction="sum")
        optimiser = DPOptimizer(
            torch.optim.SGD(module.parameters(), lr=1.0),
            noise_multiplier=0.0,
            max_grad_norm=clip,
            expected_batch_size=1,
            loss_reduction="sum",
        )
        cross_entropy(module(batch.x[member]), batch.y[member], reduction="sum").backward()
        optimiser.clip_and_accumulate()
        theirs = torch.cat([parameter.summed_grad.flatten() for parameter in module.parameters()])
        torch.testing.assert_close(ours[member], theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [1, 7, 256])
def test_the_second_computation_agrees_whatever_the_blocks(block, monkeypatch):
    (weights, constants), batch = untrained(SHAPE), drawn()
    whole = flat(clipped_sum_of_images(SHAPE, weights, constants, batch, 1e9))
    monkeypatch.setattr(image_gradients, "BLOCK", block)
    ours = flat(clipped_sum_of_images(SHAPE, weights, constants, batch, 0.5))
    clipped, cut = clipped_and_cut_off(weights, constants, batch, 0.5, SHAPE)
    torch.testing.assert_close(clipped, ours, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(clipped + cut, whole, rtol=1e-4, atol=1e-4)
    each = clipped_each(weights, constants, SCANS, 0.5, SHAPE)
    assert (each.norm(dim=2) <= 0.5 * (1 + 1e-5)).all()
    everyone = batch_of(torch.arange(60).expand(2, -1))
    summed = flat(clipped_sum_of_images(SHAPE, weights, constants, everyone, 0.5))
    torch.testing.assert_close(each.sum(1), summed, rtol=1e-4, atol=1e-5)


def test_one_image_more_moves_the_sum_by_its_own_clipped_gradient():
    """However large its gradient: an image far out of range is planted."""
    weights, constants = untrained(SHAPE, members=1)
    for far in (1.0, 1e3):
        x, y = SCANS.x.clone(), SCANS.y.clone()
        x[17] *= far
        z = (x[17:18] - constants["center"]) / constants["scale"]
        weights_of_one = {name: value[0] for name, value in weights.items()}
        y[17] = SHAPE.answer(z, weights_of_one).argmin()  # the network finds it wrong
        index, absent = torch.arange(60)[None], torch.ones(1, 60)
        absent[0, 17] = 0
        whole, without = (
            flat(clipped_sum(weights, constants, Batch(x[index], y[index], index, w), 0.3, SHAPE))
            for w in (torch.ones(1, 60), absent)
        )
        alone = Batch(x[None, 17:18], y[None, 17:18], index[:, 17:18], torch.ones(1, 1))
        own = one_by_one(SHAPE, weights, constants, 0, alone)[0]
        assert own.norm() > 0.3
        torch.testing.assert_close(
            (whole - without)[0], own * 0.3 / own.norm(), rtol=1e-3, atol=1e-5
        )
        assert (whole - without).norm() <= 0.3 * (1 + 1e-4)


def test_without_clipping_and_noise_it_is_the_ordinary_gradient():
    (weights, constants), index = untrained(SHAPE), torch.arange(20).expand(2, -1)
    batch = batch_of(index)
    private = private_gradient(1e9, 0.0, 20.0, torch.arange(2), False, SHAPE)
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    ordinary = mean_gradient(SHAPE)(leaves, constants, batch)
    for name, value in private(weights, constants, batch).items():
        torch.testing.assert_close(value, ordinary[name], rtol=1e-4, atol=1e-6)


def test_without_noise_it_is_the_clipped_sum_and_an_empty_batch_still_adds_noise():
    (weights, constants), batch = untrained(SHAPE), drawn()
    sums = clipped_sum(weights, constants, batch, 0.5, SHAPE)
    silent = private_gradient(0.5, 0.0, 10.0, torch.arange(2), False, SHAPE)
    for name, value in silent(weights, constants, batch).items():
        torch.testing.assert_close(value, sums[name] / 10, rtol=1e-6, atol=0)
    none = batch_of(torch.zeros(2, 0, dtype=torch.int64))
    filler = batch_of(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3))
    first, second = (
        private_gradient(0.5, 3.0, 10.0, torch.arange(2), False, SHAPE)(weights, constants, one)
        for one in (none, filler)
    )
    for name, value in first.items():
        assert torch.equal(value, second[name])
        assert (value != 0).all()
    assert flat(first).std() == pytest.approx(0.15, rel=0.1)


# ---- training ----


def how(**changes):
    numbers = {"noise": 2.0, "sample_rate": 0.5, "steps": 12, "expected_batch": 20.0}
    return NoisySteps(**{**numbers, "max_grad_norm": 0.5, "learning_rate": 0.02, **changes})


PLAN = tiny.plan(SCANS)


def test_a_noise_for_each_member_is_what_each_would_have_alone_and_bytes_are_the_same_twice():
    noises = torch.linspace(0.0, 5.0, PLAN.size, dtype=torch.float64)
    first, again = (fit_private(SCANS, PLAN, SHAPE, how(noise=noises)) for _ in range(2))
    for name, value in first.parameters.items():
        assert tiny.same_bits(value, again.parameters[name])
    for member in (0, PLAN.size - 1):
        one = PLAN.select(torch.tensor([member]))
        alone = fit_private(SCANS, one, SHAPE, how(noise=float(noises[member])))
        for name, value in alone.parameters.items():
            torch.testing.assert_close(
                first.parameters[name][member], value[0], rtol=1e-4, atol=1e-6
            )


@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_an_honest_run_passes_its_own_measurement(rate):
    found = fit_private(SCANS, PLAN, SHAPE, how(sample_rate=rate)).facts
    (checks,) = found["measured"]["checks"]
    assert found["noise"] == "seeded: not for release"
    assert checks["noise"]["measured"] == pytest.approx(1.0, abs=0.04)
    assert all(one["p_value"] > 1e-4 for name, one in checks.items() if name[-1] != "r")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused(fault):
    numbers = how(sample_rate=1.0, expected_batch=30.0, max_grad_norm=0.3, steps=40)
    with planted(FAULTS[fault]), pytest.raises(FailedCheck, match="not what is claimed"):
        fit_private(SCANS, tiny.plan(SCANS, seeds=3), SHAPE, numbers)


def test_opacus_trains_images_too_and_takes_the_same_step_without_noise(monkeypatch):
    """Almost without: the weights differ by noise of 5e-5, each engine's own."""
    monkeypatch.setattr(
        torch.optim, "Adam", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr=lr)
    )
    plan = PLAN.select(torch.arange(2))
    numbers = how(noise=1e-3, sample_rate=1.0, expected_batch=10.0, learning_rate=1.0, steps=1)
    ours = fit_private(SCANS, plan, SHAPE, numbers)
    theirs = fit_through_opacus(SCANS, plan, SHAPE, numbers)
    before = initialise(SHAPE, plan.seeds)
    assert ours.labels == theirs.labels
    assert theirs.facts["measured"]["checks"][0]["noise"]["measured"] == pytest.approx(1, abs=0.05)
    for name, value in ours.parameters.items():
        torch.testing.assert_close(value, theirs.parameters[name], rtol=0, atol=5e-4)
    moved = torch.cat([(ours.parameters[name] - before[name]).flatten() for name in before])
    assert moved.abs().max() > 0.02


def test_a_network_of_images_that_is_no_cnn_is_one_line():
    class Other:
        name = "other"

    with pytest.raises(
        BadInput, match=r"^dp_train: .* a cnn alone, not in 'other'; take model=cnn"
    ):
        trained_privately(Other(), "dp_train")
    for shape in (SHAPE, Architecture("linear", 5, 2, ())):
        assert trained_privately(shape, "dp_train") is shape


def test_the_recipe_learns_from_each_image_as_it_is(cfg, monkeypatch):
    """No image is moved, and the claim travels with networks of images."""
    recipe = {**cfg.defenses["dp_train"], "expected_batch": 40, "steps": 5, "epsilon": 60.0}
    model = ModelConfig(name="cnn", hidden=[5], channels=[4, 6])
    train_ = cfg.train.model_copy(update={"shift": 1})
    cfg = cfg.model_copy(update={"dp_train": recipe, "model": model, "train": train_})
    seen = []
    honest = image_gradients.clipped_sum_of_images

    def watched(shape, weights, constants, batch, *rest):
        seen.append(torch.equal(batch.x, SCANS.x[batch.index]))
        return honest(shape, weights, constants, batch, *rest)

    monkeypatch.setattr("pipeline.defenses.privacy.clipped_sum_of_images", watched)
    models = train("dp_train", SCANS, PLAN, cfg)
    assert seen == [True] * 5
    assert models.facts["guarantee"]["steps"] == 5
    assert models.preprocessing["center"].unique().tolist() == [8.0]
