"""Records read off updates: exact where mathematics says so, gradients as autograd has them."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import tiny
from pipeline.attacks.update_inversion import (
    assigned,
    batch_behind,
    gradient_of,
    in_units,
    private_gradient,
    record_behind,
)
from pipeline.models.mlp import Architecture, layers_of
from pipeline.models.networks import public_preprocessing, standardise

CONSTANTS = public_preprocessing(tiny.SCHEMA, 1)
CENTER, SCALE = (CONSTANTS[name][0].double() for name in ("center", "scale"))
LOWER, UPPER = ((tiny.SCHEMA.column(end) - CENTER) / SCALE for end in ("lower", "upper"))


def networks(count, hidden=(12, 8)):
    shape = Architecture("mlp" if hidden else "linear", 5, 2, hidden)
    drawn = tiny.drawn(shape, torch.arange(count))
    return {name: value.double() for name, value in drawn.items()}


def batches(count, records, seed=0):
    """Clinical records (T, B, D), their inputs, and diagnoses."""
    data = tiny.records(count * records, seed=seed, missing=0.0)
    x, y = data.x.view(count, records, 5), data.y.view(count, records)
    inputs = standardise(x, {name: value.expand(count, -1) for name, value in CONSTANTS.items()})
    return x.double(), inputs.double(), y.double()


@pytest.mark.parametrize("hidden", [(), (12,), (12, 8)])
def test_the_gradient_is_that_of_autograd(hidden):
    weights, (_, inputs, ill) = networks(3, hidden), batches(3, 4)
    found = gradient_of(weights, inputs, ill)
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    out = inputs
    for place, (weight, bias) in enumerate(layers_of(leaves)):
        out = (out.relu() if place else out) @ weight + bias
    loss = sum(cross_entropy(one, y) for one, y in zip(out, ill.long(), strict=True))
    expected = torch.autograd.grad(loss, list(leaves.values()))
    for one, other in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("hidden", [(), (12, 8)])
def test_the_gradient_of_one_record_is_the_record(hidden):
    weights, (x, inputs, ill) = networks(6, hidden), batches(6, 1)
    read, diagnosis = record_behind(gradient_of(weights, inputs, ill))
    torch.testing.assert_close(read, inputs[:, 0])
    assert torch.equal(diagnosis.double(), ill[:, 0])
    units = in_units(read, tiny.SCHEMA, CENTER, SCALE)
    torch.testing.assert_close(units, x[:, 0], rtol=0, atol=1e-4)


def test_an_exact_gradient_of_one_record_needs_no_search():
    weights, (_, inputs, ill) = networks(4), batches(4, 1)
    sent = gradient_of(weights, inputs, ill)
    found = batch_behind(
        weights, sent, LOWER, UPPER, records=1, exact=True, generator=torch.Generator(), steps=1
    )
    torch.testing.assert_close(found.inputs, inputs)
    assert torch.equal(found.ill, ill)


@pytest.mark.slow
def test_a_search_comes_nearer_than_it_began_and_stays_in_range():
    weights, (x, inputs, ill) = networks(3), batches(3, 2)
    sent = gradient_of(weights, inputs, ill)

    def off(steps):
        found = batch_behind(
            weights,
            sent,
            LOWER,
            UPPER,
            records=2,
            generator=torch.Generator().manual_seed(0),
            steps=steps,
            restarts=2,
        )
        assert (found.inputs >= LOWER).all()
        assert (found.inputs <= UPPER).all()
        read = assigned(in_units(found.inputs, tiny.SCHEMA, CENTER, SCALE), x, SCALE)
        return ((read - x) / SCALE).abs().mean(), found.apart.mean()

    (far, before), (near, after) = off(1), off(150)
    assert after < before / 10
    assert near < far / 2


def test_noise_without_clipping_and_without_noise_is_the_gradient():
    weights, (_, inputs, ill) = networks(2), batches(2, 3)
    plain = gradient_of(weights, inputs, ill)
    same = private_gradient(weights, inputs, ill, 1e9, 0.0, torch.Generator())
    for one, other in zip(same.values(), plain.values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_clipped_record_moves_no_more_than_its_norm():
    weights, (_, inputs, ill) = networks(2), batches(2, 1)
    clipped = private_gradient(weights, inputs, ill, 0.01, 0.0, torch.Generator())
    length = sum(part.flatten(1).square().sum(1) for part in clipped.values()).sqrt()
    torch.testing.assert_close(length, torch.full((2,), 0.01, dtype=torch.float64))


def test_noise_has_the_size_that_is_said():
    weights, (_, inputs, ill) = networks(2), batches(2, 4)
    drawn = torch.Generator().manual_seed(0)
    quiet = private_gradient(weights, inputs, ill, 1.0, 0.0, drawn)
    noisy = private_gradient(weights, inputs, ill, 1.0, 2.0, drawn)
    each = torch.cat([(noisy[name] - quiet[name]).flatten() for name in quiet])
    # of 500 numbers: within four standard errors
    assert abs(float(each.std()) / (2.0 / 4) - 1) < 4 / (2 * len(each)) ** 0.5


def test_guesses_stand_beside_the_records_they_come_nearest_to():
    true = torch.tensor([[[0.0, 0.0], [10.0, torch.nan], [20.0, 5.0]]], dtype=torch.float64)
    guessed = torch.tensor([[[19.0, 5.0, 3.0], [1.0, 0.0, 1.0], [11.0, 99.0, 2.0]]])
    found = assigned(guessed.double(), true, torch.ones(2, dtype=torch.float64))
    assert found[0, :, -1].tolist() == [1.0, 2.0, 3.0]


def test_what_is_read_lies_on_the_grid_and_in_the_range():
    wild = torch.full((1, 5), 1e3, dtype=torch.float64)
    assert torch.equal(in_units(wild, tiny.SCHEMA, CENTER, SCALE)[0], tiny.SCHEMA.column("upper"))
    read = in_units(torch.full((1, 5), 0.123456, dtype=torch.float64), tiny.SCHEMA, CENTER, SCALE)
    steps = [feature.step for feature in tiny.SCHEMA.features]
    for value, step in zip(read[0].tolist(), steps, strict=True):
        if step:
            assert abs(value / step - round(value / step)) < 1e-9


def test_one_active_unit_is_enough_whichever_way_it_is_pulled():
    record = torch.tensor([[0.5, -2.0, 3.0]], dtype=torch.float64)
    for pull in (0.25, -0.25):
        bias = torch.tensor([[[0.0, pull]]], dtype=torch.float64)
        gradient = {"weight0": record[..., None] * bias, "bias0": bias}
        torch.testing.assert_close(record_behind(gradient)[0], record)
    nothing = {"weight0": torch.zeros(1, 3, 2), "bias0": torch.zeros(1, 1, 2)}
    assert record_behind(nothing)[0].isnan().all()
