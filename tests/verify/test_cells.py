"""Each record lies in one leaf of each tree; each cell in reach is known by its nearest value."""

import numpy as np
import pytest
import torch

import brute
import groves
import tiny
from brute import COARSE, CONTINUOUS, GRIDDED
from pipeline.verify.cells import Ensemble, reach, reaches


@pytest.mark.parametrize("name", ["drawn", *groves.RECIPES])
def test_each_record_lies_in_one_leaf_of_each_tree(name):
    models = groves.drawn() if name == "drawn" else groves.grown(name)[0]
    read, x = Ensemble.of(models, 0), tiny.records(80, seed=5, missing=0.3).x
    leaves, gap = read.leaves, x.isnan().numpy()
    cells = np.stack([read.cells(j, x[:, j].double().numpy()) for j in range(5)], 1)
    for record, missing in zip(cells, gap, strict=True):
        known = (leaves.low <= record) & (record <= leaves.high)
        inside = np.where(missing, leaves.missing, known).all(1)
        assert np.bincount(leaves.tree[inside]).tolist() == [1] * models.architecture.trees


@pytest.mark.parametrize("threat", [GRIDDED, COARSE], ids=["fine", "coarse"])
def test_cells_in_reach_are_those_of_the_values_that_may_be_presented(threat):
    read = Ensemble.of(groves.drawn(9, seed=4), 0)
    x = brute.off_grid(brute.on_grid(12, threat, seed=6), seed=6)
    found = reaches(read, x, threat.box(x, 1.0), threat)
    for row, record in enumerate(x):
        for place, way in found[row].items():
            values = brute.choices(record, place, threat, 1.0)
            moved = (
                brute.written(values, place, threat) - brute.written(record[place], place, threat)
            ).abs()
            cells = read.cells(place, values.double().numpy())
            assert way.cell.tolist() == sorted(set(cells.tolist()))
            for cell, distance in zip(way.cell, way.distance, strict=True):
                nearest = float(moved[torch.from_numpy(cells == cell)].min() / threat.scale[place])
                assert distance == pytest.approx(nearest, abs=1e-9)
            assert way.cell[way.own] == cells[0]
        assert set(found[row]) == set((~record.isnan()).nonzero()[:, 0].tolist())


def test_without_a_grid_the_next_float32_number_is_the_nearest():
    cuts = np.array([1.0, 1.5, 2.0000000001])
    way = reach(cuts, 1.25, 0.5, 3.0, 0.0, 1.0)
    assert way.cell.tolist() == [0, 1, 2, 3]
    assert way.value.tolist() == [
        1.0,
        1.25,
        np.nextafter(np.float32(1.5), np.float32(2)),
        np.nextafter(np.float32(2), np.float32(3)),
    ]
    assert way.distance[1] == 0


def test_a_value_is_compared_as_the_float32_number_that_it_is():
    """0.3 is more than this threshold as float32, and less as float64."""
    way = reach(np.array([0.300000005]), float(np.float32(0.1)), 0.1, 0.3, 0.1, 1.0)
    assert way.cell.tolist() == [0, 1]
    assert way.distance.tolist() == [0.0, pytest.approx(0.2)]


def test_what_may_not_move_has_its_own_cell():
    x = tiny.records(5, seed=0, missing=0).x
    read = Ensemble.of(groves.drawn(), 0)
    for own in reaches(read, x, CONTINUOUS.box(x, 1.0), CONTINUOUS):
        assert {place for place, way in own.items() if len(way.cell) > 1} <= {0, 1, 2}
        assert all(way.distance[way.own] == 0 for way in own.values())
