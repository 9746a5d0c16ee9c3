"""Whether anything within reach turns an answer: as trying every record says, in few boxes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import brute
import related
import tiny
from brute import CONTINUOUS, GRIDDED
from pipeline.verify import within
from pipeline.verify.bounds import margin_bound
from pipeline.verify.nearest import nearest_record
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem
from pipeline.verify.within import turned_within

SHAPES = {  # hidden layers, seed
    "linear": ((), 3),
    "one_layer": ((8,), 6),
    "two_layers": ((8, 6), 9),
    "three_layers": ((6, 5, 4), 1),
}
REACH = 0.8
every_shape = pytest.mark.parametrize("shape", SHAPES)
PLENTY = 5000


@cache
def asked(shape, threat, reach=REACH):
    """A network, and problems of records with missing values, answered as it answers."""
    hidden, seed = SHAPES[shape]
    models = tiny.population(1, hidden=hidden, seed=seed)
    x = brute.on_grid(24, threat, seed=seed, missing=0.15)
    network, y = Network.of(models, 0), brute.answers(models, x)
    problem = Problem.of(network, x, threat.box(x, reach), (y, 1 - y), threat, reach)
    return models, network, problem, x, y


@every_shape
def test_it_finds_a_record_exactly_where_trying_everything_does(shape):
    models, network, problem, x, y = asked(shape, GRIDDED)
    found = turned_within(network, problem, budget=PLENTY)
    truth = brute.truth(models, x, y, GRIDDED, REACH, (REACH,)).linf.isfinite().numpy()
    assert 0 < truth.sum() < len(truth)
    assert np.array_equal(found.found, truth)
    assert np.array_equal(found.proved, ~truth)
    record = torch.from_numpy(found.record)
    assert GRIDDED.violations(record, x, REACH) == 0
    assert np.array_equal((brute.answers(models, record) != y).numpy(), truth)
    assert tiny.same_bits(record[~truth], x[~truth])


@every_shape
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("grid", [True, False])
def test_it_agrees_with_the_search_for_the_nearest(shape, norm, grid):
    threat = replace(GRIDDED if grid else CONTINUOUS, norm=norm)
    _, network, problem, _, _ = asked(shape, threat)
    nearest = nearest_record(network, problem, budget=PLENTY)
    found = turned_within(network, problem, budget=PLENTY)
    assert np.array_equal(found.found, nearest.breaks_at.isfinite().numpy())
    assert np.array_equal(found.proved, nearest.breaks_at.isinf().numpy())


@every_shape
def test_the_bound_is_that_of_the_verifier(shape):
    _, network, problem, _, _ = asked(shape, GRIDDED)
    boxes = problem.boxes()
    right = margin_bound(network, boxes, problem)
    low, high = boxes.low.numpy(), boxes.high.numpy()
    bound = within._Search(network, problem).bound(np.arange(len(boxes)), low, high)
    for name in ("slope", "offset", "looseness"):
        torch.testing.assert_close(torch.from_numpy(getattr(bound, name)), getattr(right, name))


def test_relations_and_values_off_the_grid_are_left_to_the_other_search():
    data, threat = related.records(12, seed=1), related.threat()
    models = related.models(1)
    network, y = Network.of(models, 0), brute.answers(models, data.x)
    problem = Problem.of(network, data.x, threat.box(data.x, 0.3), (y, 1 - y), threat, 0.3)
    assert problem.kept is not None
    found = turned_within(network, problem, budget=500)
    nearest = nearest_record(network, problem, budget=500)
    assert np.array_equal(found.found, nearest.breaks_at.isfinite().numpy())


def test_no_answer_hangs_on_the_others():
    _, network, problem, _, _ = asked("two_layers", GRIDDED)
    found = turned_within(network, problem, budget=9)
    assert (~found.proved & ~found.found).any()  # the budget is short for somebody
    alone = [turned_within(network, part, budget=9) for part in problem.split(1)]
    each = within.Verdict.join(alone)
    for name in ("proved", "found", "record", "boxes"):
        assert np.array_equal(getattr(found, name), getattr(each, name), equal_nan=name == "record")


def test_what_is_not_found_out_is_neither_proved_nor_found():
    _, network, problem, _, _ = asked("two_layers", GRIDDED)
    found = turned_within(network, problem, budget=PLENTY, until=0.0)
    assert not (found.proved | found.found).any()
    whole = turned_within(network, problem, budget=PLENTY)
    hard = whole.proved & (whole.boxes > 1)
    assert hard.any()
    short = turned_within(network, problem, budget=1)
    assert not short.proved[hard].any()
    assert (short.boxes <= 1).all()
    assert not (short.proved & whole.found).any()
    assert not (short.found & whole.proved).any()


def test_a_margin_that_drowns_in_rounding_is_not_found_out():
    models, network, _, x, y = asked("linear", GRIDDED)
    cut = models.double()(x[:1, None].double())[0, 0]
    level = models.decide_at(models.cut + cut[1] - cut[0])
    network = replace(Network.of(level, 0), spare=1e-3)  # what float32 left of the cut
    problem = Problem.of(network, x[:1], GRIDDED.box(x[:1], 0.0), (y[:1], 1 - y[:1]), GRIDDED, 0.0)
    found = turned_within(network, problem, budget=PLENTY)
    assert not found.proved.any()
    assert not found.found.any()
    assert not found.boxes.any()


@every_shape
def test_no_margin_within_rounding_counts_as_proof_or_as_found(shape):
    models, network, problem, x, y = asked(shape, GRIDDED, 0.25)
    margins = [
        brute.margin(models, brute.everything(record, GRIDDED, 0.25), label)
        for record, label in zip(x, y.tolist(), strict=True)
    ]
    least = np.array([float(each.min()) for each in margins])
    spare = float(np.sort(np.abs(least))[8]) + 1e-6
    found = turned_within(replace(network, spare=spare), problem, budget=PLENTY)
    assert np.array_equal(found.proved, least > spare)
    assert not found.found[least > -spare].any()
    assert (np.abs(least) <= spare).sum() >= 8


@pytest.mark.parametrize("threat", [GRIDDED, CONTINUOUS], ids=["grid", "any"])
def test_halves_leave_nothing_out(threat):
    _, network, problem, _, _ = asked("two_layers", threat)
    search = within._Search(network, problem)
    low, high = search.low.copy(), search.high.copy()
    index, drawn = np.arange(len(low)), np.random.default_rng(0)
    wide = (low < high).any(1)
    low, high, index = low[wide], high[wide], index[wide]
    loose = drawn.uniform(size=low.shape) * (drawn.uniform(size=low.shape) < 0.7)
    search.halve(index, low, high, loose)
    count = len(index)
    assert np.array_equal(search.index, np.tile(index, 2))
    first_high, second_low = search.high[:count], search.low[count:]
    assert np.array_equal(search.low[:count], low)
    assert np.array_equal(search.high[count:], high)
    step = np.where(search.grid, search.unit, 0.0)
    moved = first_high != high
    assert (moved.sum(1) == 1).all()  # one side is cut
    gap = (second_low - first_high)[moved] - np.broadcast_to(step, low.shape)[moved]
    assert np.abs(gap).max() < 1e-9  # the next grid point, or the same number
    assert ((low <= first_high) & (second_low <= high)).all()
