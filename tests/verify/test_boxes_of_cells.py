"""Bounds of boxes hold, and halves are all of a box that could matter."""

import itertools

import numpy as np
import pytest

import brute
import groves
from brute import COARSE
from pipeline.verify.boxes_of_cells import (
    Box,
    Boxes,
    drawn_in,
    guessed,
    halves,
    lowered,
    opened,
    proved_at_once,
)
from pipeline.verify.cells import Ensemble, reaches
from pipeline.verify.leaves_in_reach import asked_of

RECORDS, TREES, ROUNDING = 3, 9, 1e-9
ANY = np.full(RECORDS, np.inf)


@pytest.fixture(params=range(4), scope="module")
def asked(request):
    """What is asked of three records of which three values may move."""
    read = Ensemble.of(groves.drawn(TREES, seed=request.param), 0)
    x = brute.on_grid(RECORDS, COARSE, seed=request.param, missing=0)
    ways = reaches(read, x, COARSE.box(x, 1.5), COARSE)
    return asked_of(read, x.double().numpy(), np.array([1, 0, 1]), ways)


def whole(asked, record):
    """All that a record can reach."""
    last = asked.last[:, record]
    return boxed(asked, record, np.zeros_like(last), last)


def boxed(asked, record, low, high):
    """A box with its leaves."""
    return Box(record, low, high, asked.inside(record, low, high))


def margin(asked, record, cells):
    """One leaf after another."""
    inside = asked.inside(record, cells, cells)
    assert asked.tree[inside].tolist() == list(range(TREES))  # one leaf of each tree
    return asked.start[record] + asked.value[inside].sum()


def margins(asked, box):
    """Of every cell vector of a box."""
    ends = [range(first, last + 1) for first, last in zip(box.low, box.high, strict=True)]
    return [margin(asked, box.record, np.array(cells)) for cells in itertools.product(*ends)]


def test_no_record_of_a_box_is_below_its_bound_and_halves_are_all_of_it(asked):
    boxes = [whole(asked, record) for record in range(RECORDS)]
    for depth in range(4):
        level = np.full(len(boxes), 0.5 if depth % 2 else np.inf)
        every = [sorted(margins(asked, box)) for box in boxes]
        known = opened(asked, boxes, "linf", np.full(len(boxes), -1.0), level)
        parts = halves(Boxes.of(asked, boxes), level)
        for box, own, one, both, above in zip(boxes, every, known, parts, level, strict=True):
            assert one.bound <= own[0] + ROUNDING
            assert [bound for bound, _ in one.parts] == [
                bound for bound, _ in both if one.bound <= above
            ]
            kept = [value for bound, part in both for value in margins(asked, part)]
            assert set(np.round(kept, 9)) <= set(np.round(own, 9))
            assert sum(value <= above for value in kept) == (len(own) > 1) * sum(
                value <= above for value in own
            )
            for bound, part in both:
                assert part.leaves.tolist() == asked.inside(box.record, *part[1:3]).tolist()
                exact = asked.start[box.record] + sum(
                    asked.value[part.leaves][asked.tree[part.leaves] == tree].min()
                    for tree in range(TREES)
                )
                assert bound == pytest.approx(exact, abs=1e-12)
                assert bound >= one.bound - 1e-12
        boxes = [part for both in parts for _, part in both][:6]


def test_of_all_cuts_the_one_that_raises_the_bounds_most_is_taken(asked):
    for level in (np.inf, 0.2):
        boxes = [whole(asked, record) for record in range(RECORDS)]
        for box, parts in zip(boxes, halves(Boxes.of(asked, boxes), ANY), strict=True):
            best = -np.inf
            for j, last in enumerate(box.high.tolist()):
                for at in range(last):
                    ends = box.high.copy(), box.low.copy()
                    ends[0][j], ends[1][j] = at, at + 1
                    sides = [(box.low, ends[0]), (ends[1], box.high)]
                    known = opened(
                        asked,
                        [boxed(asked, box.record, *side) for side in sides],
                        "linf",
                        np.full(2, -1.0),
                        np.full(2, np.inf),
                    )
                    best = max(best, sum(min(one.bound, level) for one in known))
            if level == np.inf:
                assert sum(bound for bound, _ in parts) == pytest.approx(best, abs=1e-12)


def test_a_box_in_which_no_tree_has_a_choice_is_halved_all_the_same(asked):
    """So that each cell of it is asked about, where rounding could decide."""
    for record in range(RECORDS):
        box, own = whole(asked, record), asked.own[:, record]
        alone = box._replace(leaves=asked.inside(record, own, own))
        (parts,) = halves(Boxes.of(asked, [alone]), ANY[:1])
        assert [bound for bound, _ in parts] == pytest.approx([margin(asked, record, own)] * 2)


def test_from_lowered_cells_no_other_cell_of_one_feature_leads_lower(asked):
    boxes = [whole(asked, record) for record in range(RECORDS)]
    there = Boxes.of(asked, boxes)
    for begin in (there.low, there.high, there.own, guessed(there)):
        cells, least = lowered(there, begin, ROUNDING)
        for record in range(RECORDS):
            own = margin(asked, record, cells[:, record])
            assert own == pytest.approx(least[record], abs=1e-12)
            assert own <= margin(asked, record, begin[:, record]) + ROUNDING
            for j, last in enumerate(there.high[:, record]):
                for other in range(last + 1):
                    near = cells[:, record].copy()
                    near[j] = other
                    assert margin(asked, record, near) >= own - ROUNDING
    inner = [
        boxed(
            asked, n, np.maximum(asked.own[:, n] - 1, 0), np.minimum(asked.own[:, n] + 1, box.high)
        )
        for n, box in enumerate(boxes)
    ]
    there = Boxes.of(asked, inner)
    cells, _ = lowered(there, there.own, ROUNDING)
    assert ((there.low <= cells) & (cells <= there.high)).all()


def test_what_is_proved_at_once_is_what_the_bound_of_the_ball_proves(asked):
    steps = [np.unique(asked.distance[:, n][np.isfinite(asked.distance[:, n])]) for n in range(3)]
    for record, (last, own) in enumerate(zip(proved_at_once(asked, steps), steps, strict=True)):
        proved = []
        for radius in own:
            near = asked.distance[:, record] <= radius
            low, high = near.argmax(1), near.shape[1] - 1 - near[:, ::-1].argmax(1)
            box = boxed(asked, record, low, high)
            (known,) = opened(asked, [box], "linf", np.array([-1.0]), np.array([-np.inf]))
            proved.append(known.bound > asked.rounding)
        assert last == max([0, *np.flatnonzero(proved)])


def test_cells_are_drawn_in_to_the_nearest_wrong_ones_on_the_way(asked):
    for record in range(RECORDS):
        box, drawn = whole(asked, record), 0
        for cells in itertools.product(*(range(last + 1) for last in box.high)):
            there = np.array(cells)
            if margin(asked, record, there) >= -asked.rounding:
                continue
            found, moves = drawn_in(asked, record, there), asked.distance[:, record]
            way = []
            for radius in np.unique(moves[np.isfinite(moves)]):
                near = moves <= radius
                ends = near.argmax(1), near.shape[1] - 1 - near[:, ::-1].argmax(1)
                way.append(np.clip(there, *ends))
            wrong = [one for one in way if margin(asked, record, one) < -asked.rounding]
            assert found.tolist() == wrong[0].tolist()
            drawn += bool((found != there).any())
        assert drawn or not box.high.any() or margin(asked, record, asked.own[:, record]) < 0
