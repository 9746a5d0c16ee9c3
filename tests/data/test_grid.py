"""The grid that holds a column's values, against values that were made on one."""

import numpy as np
import pytest

from pipeline.data.grid import finer_step, off_grid


@pytest.mark.parametrize(
    ("values", "stated", "right"),
    [
        ([1.0, 2.0, 7.0], 1.0, 1.0),
        ([1.5, 2.0], 1.0, 0.5),
        ([1.25, 2.0], 1.0, 0.25),
        ([0.1, 0.3, np.nan], 1.0, 0.1),
        ([12.34, 12.35, 5.0], 0.1, 0.01),
        ([12.34, 5.0], 0.1, 0.02),
        ([29.92, 30.0], 0.1, 0.02),
        ([1.002], 0.1, 0.002),
        ([0.123456], 0.1, 0.000001),
        ([np.pi, np.e], 0.1, None),
        ([4.0, 8.0], 2.0, 2.0),
        ([3.0, 8.0], 2.0, 1.0),
        ([np.nan], 0.5, 0.5),
    ],
)
def test_the_coarsest_step_that_fits(values, stated, right):
    found = finer_step(np.array(values), stated)
    assert found == (pytest.approx(right) if right else None)


def test_decimals_lie_on_the_grid_that_they_were_typed_on():
    typed = np.arange(0, 500) / 10
    assert not off_grid(typed, 0.1).any()
    assert off_grid(typed + 0.05, 0.1).all()
    assert off_grid(np.array([0.1, np.nan, 0.15]), 0.1).tolist() == [False, False, True]


def test_every_grid_of_decimals_is_found():
    draw = np.random.default_rng(0)
    for decimals in range(1, 5):
        step = 10.0**-decimals
        values = draw.integers(-2000, 2000, 400) * step
        assert finer_step(values, 1.0) == pytest.approx(step)
