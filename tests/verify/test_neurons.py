"""No image of a box leaves what hidden neurons are said to receive; tighter is tighter."""

from dataclasses import replace

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


def test_lines_within_those_of_a_larger_box_hold_and_decide_what_is_decided_there(case):
    model, x, threat, region = case
    larger = relaxations(model, model.region(*threat.box(x, EPS + 1)))
    lines, alone = relaxations(model, region, larger), relaxations(model, region)
    for line, outer, signal in zip(lines, larger, received(model, x, threat), strict=True):
        assert (signal >= line.low).all()
        assert (signal <= line.high).all()
        assert (line.low >= outer.low).all()
        assert (line.high <= outer.high).all()
        assert not (line.unstable & ~outer.unstable).any()
    for line, own in zip(lines, alone, strict=True):
        assert int(line.unstable.sum()) <= int(own.unstable.sum())


def test_an_image_lies_within_lines_of_a_box_hardly_larger(case):
    """So near that any slip of a bound would leave it out."""
    model, x, threat, _ = case
    larger = relaxations(model, model.region(*threat.box(x, 1e-6)))
    lines = relaxations(model, model.region(x.double(), x.double()), larger)
    signal = (x.double() - model.center) / model.scale
    for line, layer in zip(lines, model.layers, strict=False):
        signal = layer(signal)
        assert (signal >= line.low).all()
        assert (signal <= line.high).all()
        signal = relu(signal)


def test_where_a_larger_box_decides_some_neurons_all_others_are_bounded_as_ever():
    population = lattice.networks((1, 8, 8), (3, 4), (12,), gain=1.5)
    x, _ = lattice.images(6, population, (1, 8, 8))
    model = Convolutions.of(population, 0)
    point = model.region(x.double(), x.double())

    def around(radius):
        return replace(point, radius=torch.full_like(point.radius, radius))

    larger = relaxations(model, around(0.19))
    lines, alone = (relaxations(model, around(0.14), within) for within in (larger, None))
    decided = ~larger[-1].unstable
    assert decided.any(1).all()
    assert (~decided).any(1).all()
    assert torch.equal(lines[-1].unstable, alone[-1].unstable)
    unstable = alone[-1].unstable
    torch.testing.assert_close(lines[-1].low[unstable], alone[-1].low[unstable])


def test_what_is_skipped_because_it_is_decided_bounds_no_margin_less(case):
    """The lines of a neuron that is decided do not depend on how far it is."""
    model, _, _, region = case
    for line in relaxations(model, region):
        decided = ~line.unstable
        assert (line.intercept[decided] == 0).all()
        assert torch.equal(line.chord[decided], (line.low[decided] >= 0).double())


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
