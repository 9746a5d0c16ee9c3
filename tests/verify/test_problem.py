"""Boxes hold exactly the records that may be presented, and lose none when they are cut."""

from dataclasses import replace

import pytest
import torch

import brute
from pipeline.verify.bounds import Linear
from pipeline.verify.network import Network
from pipeline.verify.problem import Boxes, Problem
from tiny import population, same_bits

EPS = (0.0, 0.04, 0.1, 0.3, 1.0)


@pytest.fixture(scope="module")
def models():
    return population(1)


@pytest.fixture(scope="module")
def x():
    x = brute.on_grid(60, brute.GRIDDED, seed=7)
    x[30:] = brute.off_grid(x[30:], seed=8)
    return x


def asked(models, x, threat, largest):
    return brute.problem(models, x, torch.zeros(len(x), dtype=torch.int64), threat, largest)


def values(boxes, row, feature, problem):
    """The values of one feature in one box: off the grid only the patient's own."""
    low, high = float(boxes.low[row, feature]), float(boxes.high[row, feature])
    if low == high:
        return {low}
    step, own = float(problem.step[feature]), float(boxes.x[row, feature])
    ticks = [tick * step for tick in range(round(low / step) - 1, round(high / step) + 2)]
    if bool(problem.stray[boxes.index[row], feature]):
        ticks.append(own)
    return {tick for tick in ticks if low <= tick <= high}


@pytest.mark.parametrize("eps", EPS)
def test_boxes_hold_what_may_be_presented_and_nothing_else(models, x, eps):
    problem = asked(models, x, brute.GRIDDED, eps)
    boxes = problem.boxes()
    whole = (boxes.low <= boxes.high).all(1)
    strays = 0
    for row in range(len(x)):
        mine = torch.nonzero(whole & (boxes.index == row))[:, 0].tolist()
        assert mine
        for feature in range(x.shape[1]):
            if x[row, feature].isnan():
                continue
            held = set().union(*(values(boxes, box, feature, problem) for box in mine))
            expected = brute.choices(x[row], feature, brute.GRIDDED, eps)
            meant = set(brute.written(expected, feature, brute.GRIDDED).tolist())
            if len(expected) == 1 and len(held) == 1:  # cannot be changed: its own bits
                meant = {float(x[row, feature])}
            assert held == meant, (row, feature)
            strays += bool(problem.stray[row, feature])
    assert len(boxes) == len(x)
    assert strays or eps == 0


def test_a_lone_grid_point_on_one_side_does_not_force_a_value_off_the_grid_onto_it(models):
    x = torch.tensor([[120.4, 27.34, 5.1, 0.5, 40.0]])
    problem = asked(models, x, brute.GRIDDED, 0.015)  # 0.45 mg/dl: 120 can be reached, 121 cannot
    boxes = problem.boxes()
    boxes = boxes.where((boxes.low <= boxes.high).all(1))
    held = {value for box in range(len(boxes)) for value in values(boxes, box, 0, problem)}
    assert held == {120.0, float(x[0, 0])}


@pytest.mark.parametrize("ulps", [0.0, 3e-7])
def test_values_left_alone_keep_their_bits(models, x, ulps):
    x = x * (1 + ulps)  # not the nearest float32 to the grid point, and still recorded on it
    problem = asked(models, x, brute.GRIDDED, 0.3)
    rows = torch.arange(len(x))
    assert same_bits(problem.as_records(rows, problem.x), x)
    drifted = torch.where(problem.gridded, problem.x * (1 + 1e-15), problem.x)
    assert same_bits(problem.as_records(rows, drifted), x)
    assert torch.equal(problem.distance(rows, x), torch.zeros(len(x), dtype=torch.float64))
    moved = problem.as_records(rows, problem.x + problem.step)
    assert same_bits(moved[x.isnan()], x[x.isnan()])
    assert (moved != x)[~x.isnan()].all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_distances_are_those_of_the_definition(models, x, norm):
    threat = replace(brute.GRIDDED, norm=norm)
    problem = asked(models, x, threat, 1.0)
    generator = torch.Generator().manual_seed(0)
    for row in range(0, len(x), 5):
        tried = brute.everything(x[row], threat, 0.3)
        tried = tried[torch.randperm(len(tried), generator=generator)[:200]]
        moved = brute.change(tried, x[row], threat)
        expected = moved.norm(dim=1) if norm == "l2" else moved.amax(1)
        index = torch.full((len(tried),), row)
        assert torch.allclose(problem.distance(index, tried), expected, atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_distance_of_a_box_is_that_of_its_nearest_point(models, x, norm):
    problem = asked(models, x[:30], replace(brute.GRIDDED, norm=norm), 1.0)
    boxes = problem.boxes()
    boxes = boxes.halves(problem, torch.ones_like(boxes.low))
    boxes = boxes.halves(problem, torch.ones_like(boxes.low)[:, [1, 0, 2, 3, 4]])
    nearest = torch.minimum(torch.maximum(problem.x[boxes.index], boxes.low), boxes.high)
    moved = (nearest - problem.x[boxes.index]) / problem.scale
    assert torch.allclose(boxes.distance(problem), problem.length(moved), atol=1e-12)
    assert (boxes.distance(problem) > 0).any()


@pytest.mark.parametrize("stray", [False, True])
def test_halving_down_to_single_records_loses_none_and_doubles_none(models, stray):
    """From one box of each record to boxes of single records: corners must stay on the grid."""
    x = brute.on_grid(8, brute.GRIDDED, seed=9, missing=0.0)
    x = brute.off_grid(x, seed=2) if stray else x
    problem = asked(models, x, brute.GRIDDED, 0.15)
    boxes, finished = problem.boxes(), []
    generator = torch.Generator().manual_seed(0)
    while len(boxes):
        assert (boxes.low <= boxes.high).all()
        single = (boxes.low == boxes.high).all(1)
        finished.append(boxes.where(single))
        boxes = boxes.where(~single)
        boxes = boxes.halves(
            problem, torch.rand(boxes.low.shape, generator=generator, dtype=torch.float64)
        )
        boxes = boxes.where((boxes.low <= boxes.high).all(1))
    finished = Boxes.join(finished)
    for row in range(8):
        mine = finished.low[finished.index == row]
        expected = brute.everything(x[row], brute.GRIDDED, 0.15)
        found = {
            tuple(point)
            for point in problem.as_records(torch.full((len(mine),), row), mine).tolist()
        }
        assert len(mine) == len(found) == len(expected)
        assert found == {tuple(point) for point in expected.tolist()}


@pytest.mark.parametrize("feature", [0, 1, 2])
def test_halves_of_a_whole_range_share_no_tick_and_lack_none(models, feature):
    step = float(brute.STEP[feature])
    x = brute.on_grid(1, brute.GRIDDED, seed=1, missing=0.0)
    problem = asked(models, x, brute.GRIDDED, 100.0)
    first, last = (round(float(limit[0, feature]) / step) for limit in (problem.low, problem.high))
    start, stop = torch.triu_indices(last - first + 1, last - first + 1)
    chosen = torch.randperm(len(start), generator=torch.Generator().manual_seed(0))[:20_000]
    start, stop = (first + ends[chosen] for ends in (start, stop))
    start, stop = start[start < stop], stop[start < stop]
    low, high = (problem.x.expand(len(start), -1).clone() for _ in range(2))
    low[:, feature], high[:, feature] = start * step, stop * step
    boxes = Boxes(
        torch.zeros(len(start), dtype=torch.int64), problem.x.expand(len(start), -1), low, high
    )
    halves = boxes.halves(problem, torch.ones_like(low))
    below, above = (half[:, feature].view(2, -1) for half in (halves.low, halves.high))
    assert torch.equal(below[0], start * step)
    assert torch.equal(above[1], stop * step)
    middle = torch.round(above[0] / step)
    assert torch.equal(above[0], middle * step)
    assert torch.equal(below[1], (middle + 1) * step)
    assert ((middle >= start) & (middle < stop)).all()


@pytest.mark.parametrize("stray", [False, True])
@pytest.mark.parametrize("threat", [brute.GRIDDED, brute.COARSE], ids=["fine", "coarse"])
def test_what_is_strictly_nearer_stays_and_nothing_else(models, threat, stray):
    """Under linf: the points of `nearer` are those of the box at smaller distances, at each one."""
    x = brute.on_grid(20, threat, seed=3, missing=0.0)
    x = brute.off_grid(x, seed=3) if stray else x
    problem = asked(models, x, threat, 1.0)
    boxes = problem.boxes()
    boxes = boxes.halves(
        problem, torch.rand(boxes.low.shape, generator=torch.Generator().manual_seed(0)).double()
    )
    for feature in (0, 1, 2):
        for ticks in range(1, 12):
            than = torch.full(
                (len(boxes),),
                ticks * float(problem.step[feature] / problem.scale[feature]),
                dtype=torch.float64,
            )
            inside = boxes.nearer(problem, than)
            for row in range(len(boxes)):
                before, after = (values(b, row, feature, problem) for b in (boxes, inside))
                centre, reach = (
                    float(problem.x[boxes.index[row], feature]),
                    float(than[row] * problem.scale[feature]),
                )
                assert (
                    after == {value for value in before if abs(value - centre) < reach - 1e-9}
                    or len(before) == 1
                )


def test_no_limit_takes_nothing_away(models, x):
    problem = asked(models, x, brute.GRIDDED, 1.0)
    boxes = problem.boxes()
    same = boxes.nearer(problem, torch.full((len(boxes),), torch.inf, dtype=torch.float64))
    assert torch.equal(same.low, boxes.low)
    assert torch.equal(same.high, boxes.high)


def test_continuous_halves_share_their_border_and_fill_the_box(models):
    x = brute.on_grid(20, brute.GRIDDED, seed=3, missing=0.0)
    problem = asked(models, x, brute.CONTINUOUS, 0.5)
    boxes = problem.boxes()
    halves = boxes.halves(problem, torch.ones_like(boxes.low))
    size = (halves.high - halves.low)[:, :3].prod(1).view(2, -1)
    assert torch.allclose(size.sum(0), (boxes.high - boxes.low)[:, :3].prod(1))
    assert torch.equal(halves.high[:20, 0], halves.low[20:, 0])


def test_spared_corners_are_the_record_bit_for_bit(models, x):
    network = Network.of(models, 0)
    own = x.double()
    y = torch.zeros(len(x), dtype=torch.int64)
    problem = Problem.of(network, x, (own, own), (y, 1 - y), brute.GRIDDED, 1.0)
    assert torch.equal(problem.low, network.filled(x))
    assert torch.equal(problem.high, problem.low)
    assert not problem.blur.any()
    assert len(problem.boxes()) == len(x)


@pytest.mark.parametrize("stray", [False, True])
def test_a_cut_takes_away_only_what_the_bound_proves(models, stray):
    x = brute.on_grid(25, brute.GRIDDED, seed=5, missing=0.0)
    x = brute.off_grid(x, seed=5) if stray else x
    problem = asked(models, x, brute.GRIDDED, 0.2)
    boxes, slack = problem.boxes(), torch.zeros(len(x), dtype=torch.float64)
    assert problem.strays == stray
    generator = torch.Generator().manual_seed(1)
    removed = 0
    for _ in range(20):
        slope = torch.randn(boxes.low.shape, generator=generator, dtype=torch.float64)
        bound = Linear(slope, torch.zeros(len(x), dtype=torch.float64), torch.zeros_like(slope))
        least = bound.least(boxes)
        spare = torch.rand(len(x), generator=generator).double() * slope.abs().amax(1)
        bound = Linear(slope, -least - spare, bound.looseness)
        cut = bound.cut(boxes, problem, slack)
        for row in range(len(x)):
            for feature in range(3):
                before, after = (values(b, row, feature, problem) for b in (boxes, cut))
                steep = float(slope[row, feature])
                worst = float((boxes.low if steep > 0 else boxes.high)[row, feature])
                open_ = {v for v in before if abs(v - worst) * abs(steep) <= float(spare[row])}
                assert open_ <= after <= before
                # a box has no holes: what lies between what stays and the worst end stays, too
                allowed = float(spare[row]) + 1e-6
                assert all(abs(v - worst) * abs(steep) <= allowed for v in after)
                removed += len(before) - len(after)
    assert removed > 100
