"""A network says what the population says, and no further from the truth than it claims."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

import tiny
from pipeline.verify.network import Network

HIDDEN = {"linear": (), "one": (8,), "two": (8, 6), "three": (6, 5, 4)}
every_depth = pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)


def pairs(n, classes=2, seed=0):
    own = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))
    return own, (own + 1) % classes


@every_depth
@pytest.mark.parametrize("classes", [2, 3])
def test_the_margin_is_the_difference_of_the_populations_logits(hidden, classes):
    models, x = (
        tiny.population(3, hidden=hidden, classes=classes),
        tiny.records(50, seed=1, missing=0.2).x,
    )
    assert x.isnan().any()
    own, other = pairs(50, classes)
    logits = models.double()(x.double().expand(3, -1, -1))
    for member in range(3):
        network = Network.of(models, member)
        expected = logits[member].gather(1, own[:, None]) - logits[member].gather(1, other[:, None])
        assert torch.allclose(
            network.margin(network.filled(x), own, other), expected[:, 0], rtol=0, atol=1e-12
        )


@every_depth
def test_the_network_is_the_linear_function_around_each_record(hidden):
    models = tiny.population(1, hidden=hidden)
    network, (own, other) = Network.of(models, 0), pairs(40)
    x = network.filled(tiny.records(40, seed=2).x).requires_grad_()
    margin = network.margin(x, own, other)
    slope, offset = network.linear_at(x.detach(), own, other)
    assert torch.allclose(slope, torch.autograd.grad(margin.sum(), x)[0], atol=1e-12)
    assert torch.allclose((slope * x).sum(1) + offset, margin, atol=1e-11)


def exact_margin(models, record, own, other):
    """In rational numbers: float32 weights and constants, and the record, are rational."""

    def rational(tensor):
        return [Fraction(value) for value in tensor.flatten().tolist()]

    impute, center, scale = (
        rational(models.preprocessing[name][0]) for name in ("impute", "center", "scale")
    )
    values = [
        (constant if value != value else Fraction(value))
        for value, constant in zip(record.tolist(), impute, strict=True)
    ]
    signal = [
        (value - middle) / width for value, middle, width in zip(values, center, scale, strict=True)
    ]
    depth = len(models.parameters) // 2
    for layer in range(depth):
        weight = [rational(row) for row in models.parameters[f"weight{layer}"][0]]
        bias = rational(models.parameters[f"bias{layer}"][0])
        signal = [
            sum((a * row[j] for a, row in zip(signal, weight, strict=True)), start=bias[j])
            for j in range(len(bias))
        ]
        if layer < depth - 1:
            signal = [max(value, Fraction(0)) for value in signal]
    return signal[own] - signal[other]


def cancelling(models):
    """Centres far larger than the records; the first bias takes them back: rounding is left."""
    center = torch.tensor([[123456.7, 98765.4, 55555.5, 77777.7, 31415.9]])
    preprocessing = {**models.preprocessing, "center": center, "scale": torch.full((1, 5), 0.37)}
    shift = (center.double() / 0.37)[0] @ models.parameters["weight0"][0].double()
    parameters = {
        **models.parameters,
        "bias0": (models.parameters["bias0"].double() + shift).float(),
    }
    return replace(models, preprocessing=preprocessing, parameters=parameters)


@every_depth
@pytest.mark.parametrize("change", [lambda models: models, cancelling], ids=["usual", "cancelling"])
def test_rounding_bounds_the_distance_from_rational_arithmetic(hidden, change):
    models = change(tiny.population(1, hidden=hidden, seed=4))
    x = tiny.records(12, seed=3, missing=0.2).x
    if change is cancelling:
        x = x * 1e-3
    network, (own, other) = Network.of(models, 0), pairs(12)
    claimed = network.rounding(network.filled(x).abs())
    ours = network.margin(network.filled(x), own, other)
    logits = models.double()(x[None].double())[0]
    theirs = logits.gather(1, own[:, None])[:, 0] - logits.gather(1, other[:, None])[:, 0]
    errors = []
    for row in range(12):
        exact = exact_margin(models, x[row], int(own[row]), int(other[row]))
        errors += [
            abs(Fraction(float(margin[row])) - exact) / Fraction(float(claimed[row]))
            for margin in (ours, theirs)
        ]
    assert 0 < max(errors) < 1
    if change is not cancelling:
        assert claimed.max() < 1e-9  # and is small beside any margin that matters


def test_rounding_grows_with_the_records_and_with_nothing_else():
    network = Network.of(tiny.population(1), 0)
    x = network.filled(tiny.records(20, seed=5).x).abs()
    assert (network.rounding(2 * x) > network.rounding(x)).all()
    assert torch.equal(network.rounding(x)[3:4], network.rounding(x[3:4]))
