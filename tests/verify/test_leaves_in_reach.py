"""The leaves that are searched are those that a cell in reach lies in; each record by itself."""

import numpy as np
import pytest

import brute
import groves
from brute import COARSE
from pipeline.verify.cells import Ensemble, reaches
from pipeline.verify.leaves_in_reach import asked_of


@pytest.fixture(params=["drawn", "chances", "forest", "boosting"])
def asked(request):
    """An ensemble, records with missing values and off the grid, their answers, and the cells."""
    if request.param in ("drawn", "chances"):
        link = "probability" if request.param == "chances" else "log_odds"
        models = groves.drawn(9, seed=8, link=link)
    else:
        models = groves.grown(request.param)[0]
    x = brute.on_grid(18, COARSE, seed=3, missing=0.15)
    x[::3] = brute.off_grid(x[::3], seed=3)
    read, y = Ensemble.of(models, 0), brute.answers(models, x)
    return read, x.double().numpy(), y.numpy(), reaches(read, x, COARSE.box(x, 0.7), COARSE)


def test_the_leaves_are_those_that_a_reachable_cell_lies_in(asked):
    read, x, y, ways = asked
    found = asked_of(read, x, y, ways)
    for row, own in enumerate(ways):
        meets = np.ones(len(read.leaves.value), bool)
        for place, value in enumerate(x[row]):
            low, high = read.leaves.low[:, place], read.leaves.high[:, place]
            cells = own[place].cell if place in own else []
            met = [(low <= cell) & (cell <= high) for cell in cells]
            meets &= read.leaves.missing[:, place] if np.isnan(value) else np.any(met, axis=0)
        at = slice(*found.begin[row : row + 2])
        value = (1 if y[row] else -1) * read.leaves.value[meets]
        pairs = sorted(zip(read.leaves.tree[meets].tolist(), value.tolist(), strict=True))
        assert list(zip(found.tree[at].tolist(), found.value[at].tolist(), strict=True)) == pairs


def test_records_side_by_side_are_asked_as_each_by_itself(asked):
    read, x, y, ways = asked
    every = asked_of(read, x, y, ways)
    for row in range(len(x)):
        alone = asked_of(read, x[row : row + 1], y[row : row + 1], ways[row : row + 1])
        at = slice(*every.begin[row : row + 2])
        shared = np.isin(every.features, alone.features)
        assert (every.low[~shared][:, at] == 0).all()
        assert (every.last[~shared, row] == 0).all()
        for name in ("low", "high"):
            np.testing.assert_array_equal(getattr(every, name)[shared][:, at], getattr(alone, name))
        for name in ("value", "tree"):
            np.testing.assert_array_equal(getattr(every, name)[at], getattr(alone, name))
        cells = alone.distance.shape[2]
        np.testing.assert_array_equal(every.distance[shared, row, :cells], alone.distance[:, 0])
        assert np.isinf(every.distance[shared, row, cells:]).all()
        assert every.start[row] == alone.start[0]


def test_distances_and_values_are_those_of_the_nearest_record_of_each_cell(asked):
    read, x, y, ways = asked
    found = asked_of(read, x, y, ways)
    rng, rows = np.random.default_rng(0), np.arange(len(x))
    cells = rng.integers(0, found.last + 1)
    moves = np.array(
        [
            [
                own[place].distance[cell] if place in own else 0.0
                for place, cell in zip(found.features.tolist(), cells[:, row], strict=True)
            ]
            for row, own in enumerate(ways)
        ]
    )
    np.testing.assert_array_equal(found.distances(rows, cells, "linf"), moves.max(1))
    np.testing.assert_allclose(found.distances(rows, cells, "l2"), np.linalg.norm(moves, axis=1))
    changed = [len(found.values(row, cells[:, row])) for row in rows]
    assert found.distances(rows, cells, "l0").tolist() == changed
    for row in rows:
        for place, value in found.values(row, cells[:, row]).items():
            cell = read.cells(place, np.array([value]))[0]
            where = found.features.tolist().index(place)
            assert ways[row][place].cell[cells[where, row]] == cell
