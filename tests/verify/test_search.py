"""What is found out of a record does not hang on those beside it, nor on how boxes are batched."""

import numpy as np
import pytest

import brute
import groves
from brute import COARSE
from pipeline.verify import search
from pipeline.verify.cells import Ensemble, reaches
from pipeline.verify.leaves_in_reach import asked_of
from pipeline.verify.search import lowest, searched, turned

READ = Ensemble.of(groves.drawn(9, seed=2), 0)
X = brute.on_grid(12, COARSE, seed=2, missing=0.1)
Y = np.arange(12) % 2


def asked(rows):
    """What is asked of some records of which three values may move."""
    ways = reaches(READ, X[rows], COARSE.box(X[rows], 1.5), COARSE)
    return asked_of(READ, X[rows].double().numpy(), Y[rows], ways)


ALL = asked(list(range(12)))


def never(row, values):
    """No tie is a change."""
    return False


@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
def test_a_record_is_searched_as_if_it_came_alone(norm, monkeypatch):
    together = searched(ALL, norm, 2 if norm == "l0" else 1.5, 1000, never)
    assert len({one.boxes for one in together}) > 1
    monkeypatch.setattr(search, "LEAVES", 1)
    for row, one in enumerate(together):
        alone = searched(asked([row]), norm, 2 if norm == "l0" else 1.5, 1000, never)
        assert [one] == alone


def test_within_reach_is_found_what_the_nearest_says():
    nearest = searched(ALL, "linf", 1.5, 1000, never)
    for reach in (0.2, 0.7):
        for found, known in zip(turned(ALL, "linf", reach, 1000, never), nearest, strict=True):
            assert (found.breaks < np.inf) == (known.breaks <= reach)
            assert found.proved == (reach if known.breaks > reach else 0)


def test_what_is_left_when_time_is_up_is_not_found_out():
    assert {one[:3] for one in turned(ALL, "linf", 1.5, 1000, never, until=0.0)} == {
        (0.0, np.inf, 0)
    }


def test_a_search_without_boxes_knows_nothing():
    for row, found in enumerate(searched(ALL, "linf", 1.5, 0, never)):
        assert (found.breaks, found.boxes, found.values) == (np.inf, 0, {})
        moves = ALL.distance[:, row]
        assert found.proved <= moves[moves > 0].min(initial=np.inf)


def test_the_least_margin_rises_with_boxes_to_that_of_a_record():
    bounds = np.array([lowest(ALL, boxes) for boxes in (1, 2, 5, 1000)])
    assert (np.diff(bounds, axis=0) >= -1e-12).all()
    assert (np.diff(bounds, axis=0) > 0).any()
