"""What the guard answers: brute force, planted ties, and the claim itself."""

from dataclasses import replace

import pytest
import torch

import brute
import tiny
from pipeline.models.mlp import Architecture
from pipeline.models.networks import Networks
from pipeline.risks.guard.measure.guarded import TOLERANCE, admissible
from risks.guard import made_up


def ramp(cut: float, scale: float = 1.0) -> Networks:
    """One linear model of glucose alone: class 1 from `cut` on."""
    weight = torch.zeros(1, 5, 2)
    weight[0, 0] = torch.tensor([-1.0, 1.0]) / scale
    made = tiny.population(1, hidden=())
    constants = {
        name: torch.ones_like(one) if name == "scale" else torch.zeros_like(one)
        for name, one in made.preprocessing.items()
    }
    parameters = {"weight0": weight, "bias0": torch.tensor([[[cut, -cut]]]) / scale}
    return Networks(Architecture("linear", 5, 2, ()), constants, parameters, ("ramp",))


def record(glucose: float) -> torch.Tensor:
    return torch.tensor([[[glucose, 30.0, 5.0, 0.5, 40.0]]])


def test_a_tie_at_r_is_referred_and_a_guard_that_forgets_the_tolerance_answers_it():
    """127 and 130 lie 3 / 30 = 0.1 apart, and the line between 129 and 130.

    Whoever reaches exactly r = 0.1 turns the answer.
    """
    guard = made_up.guard(ramp(129.5), largest=0.2, threat=brute.GRIDDED)
    x, asked = record(127.0), torch.ones(1, 1, dtype=torch.bool)
    radius = guard.radius(x, asked)
    assert radius.item() == pytest.approx(0.1, abs=1e-9)
    assert not guard.answered(radius, 0.1)
    assert guard.answered(radius, 0.09)
    forgetful = replace(guard, tolerance=0.0)
    ties = torch.tensor([0.1 * (1 + 1e-7)])  # as float32 makes it
    assert forgetful.answered(ties, 0.1)
    assert not guard.answered(ties, 0.1)


def test_radii_are_those_of_every_record_one_by_one():
    models = tiny.population(1, hidden=(6,))
    threat, r = brute.COARSE, 0.7
    guard = made_up.guard(models, largest=r, threat=threat)
    x = brute.on_grid(12, threat, seed=3, missing=0.0)[None]
    radius = guard.radius(x, torch.ones(1, 12, dtype=torch.bool))[0]
    called = guard.called(x)[0]
    inside = 0
    for n in range(12):
        near = brute.everything(x[0, n], threat, r)
        other = brute.margin(models, near, int(called[n])) <= 0
        distance = brute.change(near, x[0, n], threat)[:, threat.mutable].amax(1)
        nearest = distance[other].min() if other.any() else torch.inf
        assert bool(guard.answered(radius[n], r)) == bool(nearest > r + TOLERANCE)
        if other.any():
            assert float(radius[n]) == pytest.approx(float(nearest), abs=1e-6)
            inside += 1
    assert 0 < inside < 12


def test_of_two_records_that_are_decided_differently_within_r_neither_is_answered():
    models, threat, r = tiny.population(1, hidden=(6,)), brute.COARSE, 0.7
    guard = made_up.guard(models, largest=r, threat=threat)
    x = brute.on_grid(8, threat, seed=3, missing=0.0)
    found = 0
    for one in x:
        near = brute.everything(one, threat, r)
        called, own = guard.called(near[None])[0], guard.called(one[None, None])[0, 0]
        others = near[called != own][None]
        if others.shape[1]:
            asked = torch.ones(others.shape[:2], dtype=torch.bool)
            assert not guard.answered(guard.radius(others, asked), r).any()
            found += others.shape[1]
    assert found > 20


def test_what_is_not_admissible_is_referred_however_sure_the_model_is():
    x = torch.cat([record(100.0), record(100.4), record(39.0), record(451.0)], 1)
    assert admissible(x, tiny.CLINICAL).tolist() == [[True, False, False, False]]
    guard = made_up.guard(ramp(300.0))
    radius = guard.radius(x, torch.ones(1, 4, dtype=torch.bool))
    assert guard.answered(radius, 0.3).tolist() == [[True, False, False, False]]
    gap = record(100.0)
    gap[..., 0] = torch.nan
    assert admissible(gap, tiny.CLINICAL).all()


def test_whoever_is_not_asked_about_has_no_radius():
    guard = made_up.guard(ramp(300.0))
    assert guard.radius(record(100.0), torch.zeros(1, 1, dtype=torch.bool)).item() == 0
