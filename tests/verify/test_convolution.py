"""Bounds of a convolutional network are those of the same network written as linear layers."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import relu

import lattice
from pipeline.data.threat import Threat
from pipeline.verify import bounds
from pipeline.verify.convolution import Convolutions, composed, margin_bound
from pipeline.verify.network import UNIT_ROUNDOFF, Network
from pipeline.verify.neurons import relaxations
from pipeline.verify.problem import Problem

SHAPES = [
    ((1, 8, 8), (3, 4), (5,)),
    ((1, 9, 11), (2, 3), (4, 3)),
    ((2, 16, 16), (2, 3, 4), (5,)),
    ((1, 6, 6), (3,), ()),
]
EPS = 2.0


def asked(image, channels, hidden, count=5):
    population = lattice.networks(image, channels, hidden, gain=1.5)
    x, y = lattice.images(count, population, image)
    model = Convolutions.of(population, 0)
    threat = lattice.pixels(image, ())
    return population, model, x, y, threat, model.region(*threat.box(x, EPS))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_its_margin_is_that_of_the_population(shape):
    population, model, x, y, *_ = asked(*shape)
    logits = population.double()(x[None].double())[0]
    expected = (logits[:, 1] - logits[:, 0]) * (2 * y - 1)
    torch.testing.assert_close(model.margin(x, y), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_crown_is_that_of_the_house_on_the_same_network_unrolled(shape):
    """Written as linear layers, `pipeline.verify.bounds` bounds it by other code."""
    _, model, x, y, _, region = asked(*shape)
    found = margin_bound(model, region, y, relaxations(model, region))
    network = Network.of(lattice.unrolled(model), 0)
    z = ((x - lattice.LEVELS / 2) / (lattice.LEVELS / 4)).flatten(1)
    full = torch.ones(z.shape[1], dtype=torch.float64)
    threat = Threat(full > 0, -2 * full, 2 * full, 0.25 * full, 0.25 * full)
    problem = Problem.of(network, z, threat.box(z, EPS), (y, 1 - y), threat, EPS)
    expected = bounds.margin_bound(network, problem.boxes(), problem)
    least = expected.least(problem.boxes())
    torch.testing.assert_close(found.least, least, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.slope.flatten(1), expected.slope, rtol=1e-5, atol=1e-5)
    assert (least < model.margin(x, y) - 0.1).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_bound_is_a_line_below_the_margin(shape):
    _, model, x, y, threat, region = asked(*shape)
    bound = margin_bound(model, region, y, relaxations(model, region))
    drawn = torch.Generator().manual_seed(0)
    for _ in range(50):
        moved = x + torch.randint(-2, 3, x.shape, generator=drawn)
        moved = threat.project(moved, x, EPS)
        z = (moved.double() - model.center) / model.scale
        line = (bound.slope * z).flatten(1).sum(1) + bound.offset
        assert (line <= model.margin(moved, y) + 1e-9).all()
        assert (bound.least <= line + 1e-9).all()


def test_back_is_the_transpose_of_each_layer():
    _, model, *_ = asked((1, 9, 11), (2, 3), (4,))
    drawn = torch.Generator().manual_seed(1)
    for depth, (layer, shape) in enumerate(zip(model.layers, model.shapes, strict=False)):
        signal = torch.randn(1, *shape, generator=drawn, dtype=torch.float64)
        flat = layer._replace(bias=torch.zeros_like(layer.bias))(signal)
        carried = torch.randn(1, 1, *flat.shape[1:], generator=drawn, dtype=torch.float64)
        left = (carried[:, 0] * flat).sum()
        right = (model.back(depth, carried)[:, 0] * signal).sum()
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


def test_two_convolutions_composed_are_one_after_the_other():
    _, model, *_ = asked((1, 16, 16), (2, 3), (4,))
    before, after = (layer._replace(bias=layer.bias * 0) for layer in model.layers[:2])
    image = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(2)).double()
    expected = after(before(image))[0, :, 1, 1]  # sees pixels 1 to 10 each way, none beyond an edge
    steps = composed(before, after).unflatten(1, (3, -1)).sum(0)
    found = steps @ image[0, 0, 1:11, 1:11].flatten()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def exact(model, x, y):
    """Margins of whole grey levels by rational numbers."""
    from fractions import Fraction

    def dot(weight, signal):
        return sum((Fraction(w) * s for w, s in zip(weight, signal, strict=True)), Fraction(0))

    margins = []
    dense = lattice.unrolled(model).parameters
    for image, label in zip(x, y.tolist(), strict=True):
        center, scale = Fraction(float(model.center)), Fraction(float(model.scale))
        signal = [(Fraction(v) - center) / scale for v in image.flatten().tolist()]
        for number in range(len(model.layers)):
            weight = dense[f"weight{number}"][0].T.tolist()
            bias = dense[f"bias{number}"][0, 0].tolist()
            signal = [dot(w, signal) + Fraction(b) for w, b in zip(weight, bias, strict=True)]
            if number < len(model.layers) - 1:
                signal = [max(one, Fraction(0)) for one in signal]
        margins.append((signal[1] - signal[0]) * (2 * label - 1))
    return margins


def test_what_rounding_takes_is_less_than_is_taken_off():
    """Against rational arithmetic; in float32 the same formula holds with float32's rounding."""
    population = lattice.networks((1, 6, 6), (2,), (3,))
    x, y = lattice.images(4, population)
    model = Convolutions.of(population, 0)
    truth = exact(model, x, y)
    region = model.region(x.double(), x.double())
    found = model.margin(x, y).tolist()
    off = [abs(float(one - other)) for one, other in zip(truth, found, strict=True)]
    assert all(one <= error for one, error in zip(off, region.rounding.tolist(), strict=True))
    rough = model.to(torch.float32)
    signal = ((x - model.center.float()) / model.scale.float()).float()
    for layer in rough.layers[:-1]:
        signal = relu(layer(signal))
    logits = rough.layers[-1](signal).double()
    margins = ((logits[:, 1] - logits[:, 0]) * (2 * y - 1)).tolist()
    off = [abs(float(one - other)) for one, other in zip(truth, margins, strict=True)]
    times = torch.finfo(torch.float32).eps / 2 / UNIT_ROUNDOFF
    allowed = (region.rounding * times).tolist()
    assert max(off) > 0
    assert all(one <= error for one, error in zip(off, allowed, strict=True))


def test_parts_of_a_region_are_those_boxes():
    *_, region = asked(*SHAPES[0])
    rows = torch.tensor([3, 1])
    some = region.where(rows)
    assert torch.equal(some.centre, region.centre[rows])
    assert torch.equal(some.rounding, region.rounding[rows])
    assert (replace(region, errors=[]).radius > 0).all()
