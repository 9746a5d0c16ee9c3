"""No image of a box leaves what hidden neurons are said to receive; tighter is tighter."""

import pytest
import torch
from torch.nn.functional import relu

import lattice
from pipeline.verify.convolution import Convolutions
from pipeline.verify.neurons import by_intervals, chosen_of, relaxations, tightened

SHAPES = [
    ((1, 8, 8), (3, 4), (5,)),
    ((1, 9, 11), (2, 3), (4, 3)),
    ((2, 16, 16), (2, 3, 4), (5,)),
    ((1, 8, 8), (2,), (4,)),
]
EPS = 2.0


@pytest.fixture(params=SHAPES, ids=str)
def case(request):
    image, channels, hidden = request.param
    population = lattice.networks(image, channels, hidden, gain=1.5)
    x, _ = lattice.images(4, population, image)
    model, threat = Convolutions.of(population, 0), lattice.pixels(image, ())
    return model, x, threat, model.region(*threat.box(x, EPS))


def received(model, x, threat, times=60):
    """What each hidden layer receives for drawn images of each box: (times, B, ...)."""
    drawn = torch.Generator().manual_seed(0)
    low, high = threat.box(x, EPS)
    ends = torch.rand(times, *x.shape, generator=drawn) < 0.5
    moved = torch.where(ends, low, high)
    signal = ((moved - model.center) / model.scale).flatten(0, 1)
    found = []
    for layer in model.layers[:-1]:
        signal = layer(signal)
        found.append(signal.unflatten(0, (times, -1)))
        signal = relu(signal)
    return found


@pytest.mark.parametrize("how", ["lines", "tightened"])
def test_every_image_stays_inside(case, how):
    model, x, threat, region = case
    lines = relaxations(model, region)
    lines = lines if how == "lines" else tightened(model, region, lines)
    for line, signal in zip(lines, received(model, x, threat), strict=True):
        assert (signal >= line.low).all()
        assert (signal <= line.high).all()


def test_lines_are_tighter_than_intervals_and_tightened_ones_than_those(case):
    model, _, _, region = case
    lines, ends = relaxations(model, region), by_intervals(model, region)
    better = tightened(model, region, lines)
    gained = 0.0
    for line, (low, high), tight in zip(lines, ends, better, strict=False):
        assert (line.low >= low - 1e-9).all()
        assert (line.high <= high + 1e-9).all()
        assert (tight.low >= line.low).all()
        assert (tight.high <= line.high).all()
        gained += float((tight.low - line.low).sum())
    assert gained > 0


def test_the_first_layer_is_exact(case):
    """It is linear in the pixels: at a corner of the box each neuron receives its bound."""
    model, x, threat, region = case
    line, layer = relaxations(model, region)[0], model.layers[0]
    low, high = threat.box(x, EPS)
    channel = 1
    up = torch.where(model.back(0, one_hot(model, channel))[:, 0] > 0, high, low)
    found = layer((up - model.center) / model.scale)[:, channel, 1, 1]
    torch.testing.assert_close(found, line.high[:, channel, 1, 1], rtol=1e-9, atol=1e-9)


def one_hot(model, channel):
    carried = torch.zeros(1, 1, *model.shapes[1], dtype=torch.float64)
    carried[0, 0, channel, 1, 1] = 1.0
    return carried


def test_lines_of_some_boxes_are_theirs(case):
    model, _, _, region = case
    rows = torch.tensor([2, 0, 2])
    chosen = chosen_of(relaxations(model, region)[-1], rows)
    again = relaxations(model, region.where(rows))[-1]
    torch.testing.assert_close(chosen.low, again.low, rtol=1e-10, atol=1e-10)
