"""Bounds of boxes hold, and halves are all of a box."""

import itertools

import numpy as np
import pytest

import brute
import groves
from brute import COARSE
from pipeline.verify.cells import Ensemble, reaches
from pipeline.verify.search import halves, searched
from pipeline.verify.trees import asked_of


@pytest.fixture(params=range(4))
def asked(request):
    """What is asked of one record of which three values may move."""
    read = Ensemble.of(groves.drawn(9, seed=request.param), 0)
    x = brute.on_grid(1, COARSE, seed=request.param, missing=0)
    (ways,) = reaches(read, x, COARSE.box(x, 1.5), COARSE)
    return asked_of(read, x[0].double().numpy(), 1, ways)


def margins(asked, low, high):
    """Of every cell vector of a box."""
    everything = np.arange(len(asked.value))
    ends = [range(first, last + 1) for first, last in zip(low, high, strict=True)]
    for cells in itertools.product(*ends):
        at = np.array(cells)
        inside = asked.inside(everything, at, at)
        assert asked.tree[inside].tolist() == list(range(9))  # one leaf of each tree
        yield asked.margin(inside)


def test_no_record_of_a_box_is_below_its_bound_and_halves_are_all_of_it(asked):
    last = np.array([len(way.cell) - 1 for way in asked.ways])
    boxes = [(-np.inf, (np.zeros_like(last), last))]
    for _ in range(6):
        bound, (low, high) = boxes.pop(0)
        inside = asked.inside(np.arange(len(asked.value)), low, high)
        own = asked.bound(inside)
        every = sorted(margins(asked, low, high))
        assert own <= every[0] + asked.rounding
        assert bound <= own + asked.rounding
        parts = halves(asked, inside, low, high)
        assert bool(parts) == (len(every) > 1)
        of_parts = [one for _, part in parts for one in margins(asked, *part)]
        assert not parts or sorted(of_parts) == every
        boxes += parts


def test_from_lowered_cells_no_other_cell_of_one_feature_leads_lower(asked):
    high = np.array([len(way.cell) - 1 for way in asked.ways])
    low, every = np.zeros_like(high), np.arange(len(asked.value))

    def margin(cells):
        return asked.margin(asked.inside(every, cells, cells))

    for begin in (low, high, asked.own):
        cells = asked.lowered(every, begin, low, high)
        assert margin(cells) <= margin(begin) + asked.rounding
        for j, last in enumerate(high):
            for other in range(last + 1):
                there = cells.copy()
                there[j] = other
                assert margin(there) >= margin(cells) - asked.rounding
        inner = np.maximum(low, begin - 1), np.minimum(high, begin + 1)
        within = asked.lowered(asked.inside(every, *inner), begin, *inner)
        assert (inner[0] <= within).all()
        assert (within <= inner[1]).all()
    np.testing.assert_array_equal(asked.lowered(asked.inside(every, low, low), low, low, low), low)


def test_a_search_without_boxes_knows_nothing(asked):
    found = searched(asked, "linf", 1.5, 0, lambda _: True)
    assert (found.breaks, found.boxes, found.values) == (np.inf, 0, {})
    assert found.proved <= min(way.distance[way.distance > 0].min() for way in asked.ways)
