"""Enclosures hold what they promise to hold, at every point tried; and little else."""

import pytest
import torch

from pipeline.config import Formula
from pipeline.verify.intervals import Enclosure

BOXES = {"a": (1.0, 3.0), "b": (-2.0, 5.0), "c": (0.5, 0.6)}
FORMULAS = [
    "a + 2 * b - c",
    "a * b",
    "b * b",
    "b ** 2",
    "b ** 3 - a",
    "a / c ** 2",
    "10 - 3 / a",
    "a ** 0.5 * b",
    "a ** -1.154 * 175",
    "(a - b) ** 2 / (a + 1)",
    "-b / -a",
    "a / b",
    "b ** 0.5",
]


def boxes(count, seed):
    """Boxes inside `BOXES`, of all widths, points among them."""
    drawn = torch.Generator().manual_seed(seed)
    made = {}
    for name, (low, high) in BOXES.items():
        ends = low + (high - low) * torch.rand(2, count, generator=drawn, dtype=torch.float64)
        ends[1, ::4] = ends[0, ::4]
        made[name] = (ends.amin(0), ends.amax(0))
    return made


@pytest.mark.parametrize("text", FORMULAS)
def test_values_and_slopes_lie_inside(text):
    formula, made = Formula.of(text), boxes(200, seed=1)
    names = formula.names
    over = formula.at({name: Enclosure.of(name, *made[name]) for name in names})
    drawn = torch.Generator().manual_seed(2)
    for share in (0.0, 1.0, *torch.rand(20, generator=drawn).tolist()):
        where = torch.rand(200, generator=drawn, dtype=torch.float64) if 0 < share < 1 else share
        point = {}
        for name in names:
            low, high = made[name]
            point[name] = torch.minimum(low + (high - low) * where, high).requires_grad_()
        value = formula.at(point)
        known = value.isfinite()
        inside = (over.value.low <= value) & (value <= over.value.high)
        assert inside[known].all()
        slopes = torch.autograd.grad(value[known].sum(), list(point.values()))
        for name, slope in zip(names, slopes, strict=True):
            spare = 1e-9 * (1 + slope.abs())  # of autograd
            assert (over.slopes[name].low - spare <= slope)[known].all()
            assert (slope <= over.slopes[name].high + spare)[known].all()


@pytest.mark.parametrize("text", FORMULAS[:11])
def test_a_point_is_enclosed_closely(text):
    formula, made = Formula.of(text), boxes(200, seed=3)
    over = formula.at(
        {name: Enclosure.of(name, made[name][0], made[name][0]) for name in formula.names}
    )
    width = over.value.high - over.value.low
    assert (width <= 1e-9 * (1 + over.value.high.abs())).all()


def test_where_there_is_no_limit_none_is_claimed():
    low, high = torch.tensor([-1.0, 0.0]).double(), torch.tensor([1.0, 2.0]).double()
    over = Formula.of("1 / b").at({"b": Enclosure.of("b", low, high)})
    assert over.value.low.isinf().all()
    assert over.value.high.isinf().all()
