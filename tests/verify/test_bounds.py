"""A bound never exceeds the network, and nothing that follows from it in closed form is missed."""

from dataclasses import replace

import pytest
import torch

import brute
import tiny
from pipeline.verify.bounds import Linear, margin_bound
from pipeline.verify.network import Network
from pipeline.verify.problem import Boxes

HIDDEN = {"linear": (), "one": (8,), "two": (8, 6), "three": (6, 5, 4)}
every_depth = pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
every_norm = pytest.mark.parametrize("norm", ["linf", "l2"])
every_grid = pytest.mark.parametrize(
    "threat", [brute.GRIDDED, brute.CONTINUOUS], ids=["gridded", "continuous"]
)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def questions(models, threat, n=40, largest=1.0, seed=1):
    x = brute.on_grid(n, threat, seed=seed)
    return brute.problem(models, x, brute.answers(models, x), threat, largest)


def random_boxes(problem, width, per=4, seed=0):
    """Boxes inside those of the problems, `width` of their sides wide; some sides are points."""
    index = torch.arange(len(problem)).repeat(per)
    low, high = problem.low[index], problem.high[index]
    a, b = uniform(2, *low.shape, seed=seed)
    start = low + a * (high - low)
    end = torch.minimum(high, start + width * b * (high - low))
    corners = [
        torch.where(
            problem.gridded, torch.round(corner / problem.step) * problem.step, corner.float()
        )
        for corner in (start, end)
    ]
    return Boxes(
        index,
        problem.x[index],
        *(
            torch.where(low < high, torch.minimum(torch.maximum(c, low), high), low)
            for c in corners
        ),
    )


def points_in(boxes, problem, n, seed=0):
    """Records that may be presented (n, B, D): corners first, then anything between."""
    share = uniform(n, *boxes.low.shape, seed=seed)
    share[: n // 3] = share[: n // 3].round()
    points = boxes.low + share * (boxes.high - boxes.low)
    ticks = torch.round(points / problem.step) * problem.step
    points = torch.where(problem.gridded & (boxes.low < boxes.high), ticks, points)
    return points


def margins(network, problem, boxes, points):
    """Of the float32 records that the points (n, B, D) stand for."""
    own, other = problem.own[boxes.index], problem.other[boxes.index]
    return torch.stack(
        [
            network.margin(network.filled(problem.as_records(boxes.index, p)), own, other)
            for p in points
        ]
    )


@every_depth
@every_grid
@pytest.mark.parametrize("seed", [0, 2, 4])
@pytest.mark.parametrize("width", [0.0, 0.05, 0.4, 1.0])
def test_no_record_in_a_box_is_below_its_bound(hidden, threat, width, seed):
    models = tiny.population(1, hidden=hidden, seed=seed)
    network, problem = Network.of(models, 0), questions(models, threat)
    boxes = random_boxes(problem, width)
    bound = margin_bound(network, boxes, problem)
    points = points_in(boxes, problem, 30)
    if not problem.gridded.any():  # only a float32 number can be recorded
        points = torch.where(boxes.low < boxes.high, points.float().double(), points)
        inside = ((points >= boxes.low) & (points <= boxes.high)).all(2)
    else:
        inside = torch.ones(points.shape[:2], dtype=torch.bool)
    slack = network.rounding(torch.maximum(problem.low.abs(), problem.high.abs()))[boxes.index]
    excess = (points * bound.slope).sum(2) + bound.offset - margins(network, problem, boxes, points)
    assert inside.sum() > len(boxes)
    assert (excess - slack)[inside].max() <= 0
    least = bound.least(boxes)
    assert (
        least - slack <= margins(network, problem, boxes, points).where(inside, torch.inf)
    ).all()


@every_depth
def test_a_record_written_with_other_bits_is_not_below_the_bound_either(hidden):
    models = tiny.population(1, hidden=hidden, seed=2)
    x = brute.on_grid(60, brute.GRIDDED, seed=1)
    x = torch.where(
        brute.GRIDDED.mutable, x * (1 + 3e-7), x
    )  # a few ulps off what the grid point becomes in float32
    network = Network.of(models, 0)
    for y in (torch.zeros(60, dtype=torch.int64), torch.ones(60, dtype=torch.int64)):
        problem = brute.problem(models, x, y, brute.GRIDDED, 0.5)
        boxes = Boxes(torch.arange(60), problem.x, problem.x, problem.x)
        slack = network.rounding(problem.x.abs())
        margin = network.margin(network.filled(x), y, 1 - y)
        assert (margin_bound(network, boxes, problem).least(boxes) <= margin + slack).all()


@every_depth
@every_grid
def test_the_bound_is_the_network_where_no_neuron_switches(hidden, threat):
    models = tiny.population(1, hidden=hidden, seed=2)
    network, problem = Network.of(models, 0), questions(models, threat)
    boxes = random_boxes(
        problem, 1.0 if not hidden else 0.002 if not problem.gridded.any() else 0.0
    )
    bound = margin_bound(network, boxes, problem)
    own, other = problem.own[boxes.index], problem.other[boxes.index]
    points = points_in(boxes, problem, 10)
    margin = torch.stack([network.margin(p, own, other) for p in points])
    stable = bound.looseness.amax(1) == 0
    assert stable.float().mean() > 0.5
    gap = margin - (points * bound.slope).sum(2) - bound.offset
    assert gap[:, stable].abs().max() < (
        1e-4 if problem.gridded.any() else 1e-10
    )  # the grid in float32


@every_depth
def test_a_smaller_box_is_bounded_more_tightly(hidden):
    models = tiny.population(1, hidden=hidden, seed=2)
    network, problem = Network.of(models, 0), questions(models, brute.CONTINUOUS)
    gaps = []
    for width in (1.0, 0.3, 0.1):
        boxes = random_boxes(problem, width)
        true = margins(network, problem, boxes, points_in(boxes, problem, 30)).amin(0)
        gaps.append((true - margin_bound(network, boxes, problem).least(boxes)).clamp_min(0).mean())
    assert gaps[0] > gaps[1] > gaps[2]


def test_bounds_do_not_depend_on_the_other_boxes():
    models = tiny.population(1, hidden=(6, 5, 4))
    network, problem = Network.of(models, 0), questions(models, brute.GRIDDED)
    boxes = random_boxes(problem, 0.3)
    whole, some = margin_bound(network, boxes, problem), torch.tensor([5, 17, 90])
    part = margin_bound(network, boxes.where(some), problem)
    assert torch.allclose(part.slope, whole.slope[some], atol=1e-10)
    assert torch.allclose(part.offset, whole.offset[some], atol=1e-9)


@every_depth
def test_no_boxes_have_no_bounds(hidden):
    models = tiny.population(1, hidden=hidden)
    problem = questions(models, brute.GRIDDED)
    boxes = random_boxes(problem, 0.3).where(torch.zeros(160, dtype=torch.bool))
    assert margin_bound(Network.of(models, 0), boxes, problem).slope.shape == (0, 5)


# ---- what follows from a linear bound ----


def made_up(problem, boxes, seed=3):
    """Linear functions that some points of their box bring below zero and others do not."""
    slope = (uniform(*boxes.low.shape, seed=seed) - 0.5) / problem.scale
    slope[::5, 1] = 0.0
    bound = Linear(slope, torch.zeros(len(boxes), dtype=torch.float64), torch.zeros_like(slope))
    most = (torch.where(slope > 0, boxes.high, boxes.low) * slope).sum(1)
    least = bound.least(boxes)
    return replace(bound, offset=-least - (most - least) * uniform(len(boxes), seed=seed + 1) * 0.6)


def mesh(boxes, row, n):
    sides = [
        torch.linspace(float(low), float(high), n if low < high else 1, dtype=torch.float64)
        for low, high in zip(boxes.low[row], boxes.high[row], strict=True)
    ]
    return torch.cartesian_prod(*sides)


@every_norm
def test_reach_is_the_distance_of_the_nearest_point_below(norm):
    models = tiny.population(1)
    problem = questions(models, replace(brute.CONTINUOUS, norm=norm), n=15)
    boxes = random_boxes(problem, 0.8)
    bound = made_up(problem, boxes)
    slack = torch.full((len(boxes),), 0.01, dtype=torch.float64)
    time, distance = bound.reach(boxes, problem, slack)
    ends = bound.towards(boxes, problem, time)
    value = (ends * bound.slope).sum(1) + bound.offset
    assert (value <= slack + 1e-9).all()  # the point at that time is one
    moved = problem.length((ends - problem.x[boxes.index]) / problem.scale)
    assert torch.allclose(moved, distance, atol=1e-12)
    started = 0
    for row in range(len(boxes)):
        points = mesh(boxes, row, 33)
        below = (points * bound.slope[row]).sum(1) + bound.offset[row] <= slack[row]
        lengths = problem.length((points[below] - problem.x[boxes.index[row]]) / problem.scale)
        assert distance[row] <= lengths.min() + 1e-9  # and none is nearer
        side = ((boxes.high[row] - boxes.low[row]) / problem.scale / 32).norm()
        assert lengths.min() <= distance[row] + side
        started += bool(value[row] > slack[row] - 1e-9)
    assert started > len(boxes) / 4  # many have to move to get there


@every_norm
@pytest.mark.parametrize("threat", [brute.COARSE, brute.CONTINUOUS], ids=["gridded", "continuous"])
def test_cut_removes_no_point_below(norm, threat):
    models = tiny.population(1)
    problem = questions(models, replace(threat, norm=norm), n=15)
    boxes = random_boxes(problem, 0.9)
    bound = made_up(problem, boxes)
    slack = torch.full((len(boxes),), 0.02, dtype=torch.float64)
    left = bound.cut(boxes, problem, slack)
    assert ((left.low >= boxes.low) & (left.high <= boxes.high) & (left.low <= left.high)).all()
    for row in range(len(boxes)):
        gridded = problem.gridded.any()
        points = grid_points(boxes, problem, row) if gridded else mesh(boxes, row, 9)
        below = (points * bound.slope[row]).sum(1) + bound.offset[row] <= slack[row]
        kept = ((points >= left.low[row] - 1e-12) & (points <= left.high[row] + 1e-12)).all(1)
        assert kept[below].all()
    assert (left.high - left.low).sum() < 0.95 * (boxes.high - boxes.low).sum()


def grid_points(boxes, problem, row):
    sides = []
    for feature, (low, high) in enumerate(
        zip(boxes.low[row].tolist(), boxes.high[row].tolist(), strict=True)
    ):
        step = float(problem.step[feature])
        first, last = round(low / step), round(high / step)
        ticks = torch.arange(first, last + 1, dtype=torch.float64) * step
        sides.append(ticks if low < high else torch.tensor([low], dtype=torch.float64))
    return torch.cartesian_prod(*sides)


def test_cut_leaves_corners_that_are_multiples_of_the_step():
    models = tiny.population(1)
    problem = questions(models, brute.GRIDDED)
    boxes = random_boxes(problem, 0.9)
    left = made_up(problem, boxes).cut(boxes, problem, torch.zeros(len(boxes), dtype=torch.float64))
    wide = problem.gridded & (boxes.low < boxes.high)
    for corner in (left.low, left.high):
        assert torch.equal(corner[wide], (torch.round(corner / problem.step) * problem.step)[wide])
